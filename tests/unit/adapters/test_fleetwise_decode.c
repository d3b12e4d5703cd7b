/* What edge agents publish, by the vectors of tests/vectors/fleetwise.py; refusals first. */
#include "fleetwise_support.h"

#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>

static const struct uuid vehicle = {{1, 2, 3}};

struct fixture {
	struct fleetwise_decoders *decoders;
	struct arena arena;
	struct telemetry_message *messages;
	size_t count;
	uint64_t withheld;
	const char *reason;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	size_t skipped;

	assert_non_null(fixture);
	assert_int_equal(fleetwise_decoders_open(NULL, &fixture->decoders, &skipped, NULL), RESULT_OK);
	assert_int_equal(fleetwise_decoders_put(fixture->decoders, "demo/car/1", vector("names"), NULL), RESULT_OK);
	fixture->arena.size_max = FLEETWISE_ARENA_MAX;
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	arena_release(&fixture->arena);
	fleetwise_decoders_close(fixture->decoders);
	free(fixture);
	return 0;
}

static enum result decode(struct fixture *fixture, struct span payload)
{
	arena_reset(&fixture->arena);
	fixture->reason = NULL;
	return fleetwise_decode(fixture->decoders, &vehicle, AT_MS + 1000, payload, &fixture->arena, &fixture->messages,
				&fixture->count, &fixture->withheld, &fixture->reason);
}

static void assert_refused(struct fixture *fixture, struct span payload, const char *reason)
{
	assert_int_equal(decode(fixture, payload), RESULT_INVALID);
	assert_non_null(fixture->reason);
	assert_string_equal(fixture->reason, reason);
}

static void assert_taken(struct fixture *fixture, struct span payload, size_t count)
{
	enum result result = decode(fixture, payload);
	if (result != RESULT_OK)
		fail_msg("%s: %s", result_name(result), fixture->reason != NULL ? fixture->reason : "-");
	assert_int_equal(fixture->count, count);
	for (size_t i = 0; i < count; i++) {
		assert_true(uuid_equal(&fixture->messages[i].reference_id, &vehicle));
		assert_int_equal(fixture->messages[i].received_at_ms, AT_MS + 1000);
		assert_true(fixture->messages[i].count > 0);
	}
}

static const struct signal_sample *sample(const struct fixture *fixture, size_t message, size_t place, const char *name)
{
	assert_true(message < fixture->count && place < fixture->messages[message].count);
	const struct signal_sample *found = &fixture->messages[message].samples[place];
	if (!span_is_text(found->name, name))
		fail_msg("%.*s, not %s", (int)found->name.size, (const char *)found->name.data, name);
	return found;
}

/* ---- refusals ------------------------------------------------------------------------------------------- */

static void test_what_is_no_message_is_refused(void **state)
{
	static const uint8_t end_group[] = {0x0c}, wire_type_6[] = {0x0e, 0x00}, tag_0[] = {0x00, 0x01};
	/* the event's time as a text; a signal as a number; a signal's ID as a double */
	static const uint8_t time_as_text[] = {0x22, 0x01, 'x'}, signal_as_number[] = {0x28, 0x01};
	static const uint8_t id_as_double[] = {0x2a, 0x09, 0x11, 0, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t endless_varint[] = {0x20, 0x80, 0x80, 0x80, 0x80, 0x80,
						 0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
	static const struct span cases[] = {
		{NULL, 0},
		{end_group, sizeof end_group},
		{wire_type_6, sizeof wire_type_6},
		{tag_0, sizeof tag_0},
		{time_as_text, sizeof time_as_text},
		{signal_as_number, sizeof signal_as_number},
		{id_as_double, sizeof id_as_double},
		{endless_varint, sizeof endless_varint},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_refused(*state, cases[i], "payload-malformed");
	assert_refused(*state, span_of_text("{\"timestamp\": 1}"), "payload-malformed");
}

static void test_what_is_cut_off_is_refused(void **state)
{
	struct span plain = vector("drive");
	/* Cut in the middle, in front of a field's end: no prefix that ends behind a whole field. */
	for (size_t size = 1; size < plain.size; size++) {
		enum result result = decode(*state, span_of(plain.data, size));
		assert_true(result == RESULT_INVALID || result == RESULT_OK);
	}
	assert_refused(*state, span_of(plain.data, plain.size - 1), "payload-malformed");
	struct span compressed = vector("drive-snappy");
	for (size_t size = 1; size < compressed.size; size++)
		assert_int_equal(decode(*state, span_of(compressed.data, size)), RESULT_INVALID);
}

static void test_a_huge_length_takes_no_memory(void **state)
{
	struct fixture *fixture = *state;
	static const uint8_t four_gib[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0x00};
	static const uint8_t field_of_two_gib[] = {0x2a, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00};

	assert_refused(fixture, span_of(four_gib, sizeof four_gib), "payload-too-large");
	assert_refused(fixture, span_of(field_of_two_gib, sizeof field_of_two_gib), "payload-malformed");
	assert_int_equal(fixture->arena.size_total, 0);
}

static struct span compress(const uint8_t *bytes, size_t size, uint8_t **ret_place)
{
	size_t compressed_size = snappy_max_compressed_length(size);

	*ret_place = malloc(compressed_size);
	assert_non_null(*ret_place);
	assert_int_equal(snappy_compress((const char *)bytes, size, (char *)*ret_place, &compressed_size), SNAPPY_OK);
	return span_of(*ret_place, compressed_size);
}

static void assert_bomb_refused(struct fixture *fixture, const uint8_t *bytes, size_t size, const char *reason)
{
	uint8_t *compressed;
	struct span payload = compress(bytes, size, &compressed);

	assert_true(payload.size < ((size_t)128 << 10));
	assert_refused(fixture, payload, reason);
	free(compressed);
}

static void test_bombs_are_refused(void **state)
{
	size_t size = FLEETWISE_UNCOMPRESSED_MAX + 1;
	uint8_t *bytes = calloc(1, size);

	assert_non_null(bytes);
	/* more than is ever uncompressed */
	assert_bomb_refused(*state, bytes, size, "payload-too-large");
	/* empty signals: two bytes each that would make some eighty */
	for (size_t i = 0; i + 1 < size; i += 2)
		memcpy(bytes + i, "\x2a\0", 2);
	assert_bomb_refused(*state, bytes, size - 1, "payload-too-large");
	/* unknown fields, which protobuf-c keeps */
	for (size_t i = 0; i + 1 < size; i += 2)
		memcpy(bytes + i, "\x78\x01", 2);
	assert_bomb_refused(*state, bytes, size - 1, "payload-too-large");
	free(bytes);
}

static void test_too_many_signals_are_refused(void **state)
{
	static const uint8_t signal[] = {0x2a, 0x0b, 0x10, 0x01, 0x19, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f};
	struct span head = vector("nothing");
	size_t count = TELEMETRY_SAMPLES_MAX + 1;
	uint8_t *bytes = malloc(head.size + count * sizeof signal);

	assert_non_null(bytes);
	memcpy(bytes, head.data, head.size);
	for (size_t i = 0; i < count; i++)
		memcpy(bytes + head.size + i * sizeof signal, signal, sizeof signal);
	assert_refused(*state, span_of(bytes, head.size + count * sizeof signal), "too-many-signals");
	/* and all of them are one when they are of one signal and instant */
	assert_taken(*state, span_of(bytes, head.size + (count - 1) * sizeof signal), 1);
	/* different signals, more than one instant may have */
	size_t at = head.size;
	for (uint32_t i = 0; i <= SIGNALS_PER_MESSAGE_MAX; i++) {
		uint8_t numbered[] = {
			0x2a, 0x0c, 0x10, (uint8_t)(0x80 | (i & 0x7f)), (uint8_t)(0x20 + (i >> 7)), 0x19, 0, 0, 0, 0, 0,
			0,    0xf0, 0x3f};
		memcpy(bytes + at, numbered, sizeof numbered);
		at += sizeof numbered;
	}
	assert_refused(*state, span_of(bytes, at), "too-many-signals");
	free(bytes);
}

static void test_wrong_values_are_refused(void **state)
{
	static const struct {
		const char *name, *reason;
	} cases[] = {
		{"nan", "value-not-finite"},
		{"infinite", "value-not-finite"},
		{"nan-boolean", "value-not-finite"},
		{"no-value", "signal-malformed"},
		{"no-id", "signal-malformed"},
		{"id-0", "signal-malformed"},
		{"member-of-0", "signal-malformed"},
		{"path-long", "signal-malformed"},
		{"text-not-utf8", "text-malformed"},
		{"text-nul", "text-malformed"},
		{"text-long", "value-too-long"},
		{"trouble-codes-not-utf8", "text-malformed"},
		{"trouble-codes-long", "value-too-long"},
		{"time-0", "payload-malformed"},
		{"time-1999", "timestamp-invalid"},
		{"time-far-ahead", "timestamp-invalid"},
		{"time-beyond-int64", "timestamp-invalid"},
		{"relative-least", "timestamp-invalid"},
		{"relative-greatest", "timestamp-invalid"},
		{"relative-far", "timestamp-invalid"},
		{"decoder-missing", "manifest-id-invalid"},
		{"decoder-long", "manifest-id-invalid"},
		{"decoder-dots", "manifest-id-invalid"},
		{"decoder-space", "manifest-id-invalid"},
		{"decoder-vin", "manifest-id-invalid"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_refused(*state, vector(cases[i].name), cases[i].reason);
}

static void test_a_compressed_refusal_tells_its_own_reason(void **state)
{
	struct span payload = vector("nan");
	uint8_t *compressed;

	assert_refused(*state, compress(payload.data, payload.size, &compressed), "value-not-finite");
	free(compressed);
}

static void test_an_arena_without_room_is_no_refusal(void **state)
{
	struct fixture *fixture = *state;

	fixture->arena.size_max = 256;
	assert_int_equal(decode(fixture, vector("drive")), RESULT_MEMORY);
}

/* ---- withheld ------------------------------------------------------------------------------------------- */

static void assert_no_vin(const struct fixture *fixture)
{
	for (size_t i = 0; i < fixture->count; i++)
		for (size_t j = 0; j < fixture->messages[i].count; j++)
			assert_false(vin_stands_in(fixture->messages[i].samples[j].value.text));
}

static void test_vins_are_dropped_and_counted(void **state)
{
	struct fixture *fixture = *state;

	assert_taken(fixture, vector("vin-signal"), 1);
	assert_int_equal(fixture->withheld, 1);
	assert_int_equal(fixture->messages[0].count, 1);
	sample(fixture, 0, 0, "Vehicle.Speed");
	assert_taken(fixture, vector("vin-text"), 1);
	assert_int_equal(fixture->withheld, 2);
	assert_int_equal(fixture->messages[0].count, 1);
	assert_taken(fixture, vector("hash-text"), 1);
	assert_int_equal(fixture->withheld, 1);
	assert_taken(fixture, vector("vin-only"), 0);
	assert_int_equal(fixture->withheld, 1);
	assert_taken(fixture, vector("trouble-codes-vin"), 1);
	assert_int_equal(fixture->withheld, 1);
	assert_true(span_is_text(sample(fixture, 0, 0, "Vehicle.OBD.DTCList")->value.text, "[\"P0420\"]"));
	assert_no_vin(fixture);
}

/* ---- what is taken ---------------------------------------------------------------------------------------- */

static void assert_drive(struct fixture *fixture, const char *name)
{
	assert_taken(fixture, vector(name), 2);
	assert_int_equal(fixture->withheld, 0);
	assert_int_equal(fixture->messages[0].at_ms, AT_MS - 100);
	assert_int_equal(fixture->messages[0].count, 1);
	assert_true(sample(fixture, 0, 0, "Vehicle.Speed")->value.number == 51.0);
	assert_int_equal(fixture->messages[1].at_ms, AT_MS);
	assert_int_equal(fixture->messages[1].count, 4);
	assert_true(sample(fixture, 1, 0, "FleetWise.demo/car/1.Signal.99")->value.number == 7.0);
	const struct signal_value *moving = &sample(fixture, 1, 1, "Vehicle.IsMoving")->value;
	assert_int_equal(moving->type, SIGNAL_BOOL);
	assert_true(moving->boolean);
	const struct signal_value *gear = &sample(fixture, 1, 2, "Vehicle.Powertrain.Transmission.SelectedGear")->value;
	assert_int_equal(gear->type, SIGNAL_TEXT);
	assert_true(span_is_text(gear->text, "D"));
	const struct signal_value *speed = &sample(fixture, 1, 3, "Vehicle.Speed")->value;
	assert_int_equal(speed->type, SIGNAL_NUMBER);
	assert_true(speed->number == 52.5);
}

static void test_plain_and_compressed_are_one(void **state)
{
	struct fixture *fixture = *state;

	assert_drive(fixture, "drive");
	uint64_t first = fixture->messages[0].digest, second = fixture->messages[1].digest;
	assert_drive(fixture, "drive-snappy");
	assert_int_equal(fixture->messages[0].digest, first);
	assert_int_equal(fixture->messages[1].digest, second);
	assert_int_not_equal(first, second);
	assert_taken(fixture, vector("long-snappy"), 64);
	assert_int_equal(fixture->messages[0].at_ms, AT_MS - 63);
}

static void test_an_unknown_manifest_loses_nothing(void **state)
{
	struct fixture *fixture = *state;

	assert_taken(fixture, vector("unknown-manifest"), 1);
	sample(fixture, 0, 0, "FleetWise.arn:aws:iotfleetwise:eu-central-1:1:decoder-manifest/x.Signal.1");
	assert_taken(fixture, vector("decoder-longest"), 1);
}

static void test_members_of_structures_have_their_path(void **state)
{
	struct fixture *fixture = *state;

	assert_taken(fixture, vector("members"), 1);
	sample(fixture, 0, 0, "FleetWise.demo/car/1.Signal.98.3");
	sample(fixture, 0, 1, "Vehicle.Objects");
	sample(fixture, 0, 2, "Vehicle.Objects.0.15.1");
}

static void test_the_later_of_two_at_one_instant_stays(void **state)
{
	struct fixture *fixture = *state;

	assert_taken(fixture, vector("same-instant-twice"), 1);
	assert_int_equal(fixture->messages[0].count, 1);
	assert_true(sample(fixture, 0, 0, "Vehicle.Speed")->value.number == 3.0);
}

static void test_trouble_codes_are_an_array(void **state)
{
	struct fixture *fixture = *state;

	assert_taken(fixture, vector("trouble-codes"), 2);
	const struct signal_value *codes = &sample(fixture, 0, 0, "Vehicle.OBD.DTCList")->value;
	assert_int_equal(fixture->messages[0].at_ms, AT_MS - 5);
	assert_int_equal(codes->type, SIGNAL_ARRAY);
	assert_true(span_is_text(codes->text, "[\"P0420\",\"U0100\"]"));
	assert_taken(fixture, vector("trouble-codes-none"), 1);
	assert_true(span_is_text(sample(fixture, 0, 0, "Vehicle.OBD.DTCList")->value.text, "[]"));
}

static void test_bounds_are_within(void **state)
{
	assert_taken(*state, vector("time-2000"), 1);
	assert_taken(*state, vector("text-longest"), 1);
	assert_taken(*state, vector("objects-only"), 0);
	assert_taken(*state, vector("nothing"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_no_message_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_cut_off_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_huge_length_takes_no_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bombs_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_signals_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_values_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_compressed_refusal_tells_its_own_reason, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_arena_without_room_is_no_refusal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_vins_are_dropped_and_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_plain_and_compressed_are_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_unknown_manifest_loses_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_members_of_structures_have_their_path, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_later_of_two_at_one_instant_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_trouble_codes_are_an_array, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bounds_are_within, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, read_vectors, release_vectors);
}
