/* Payloads of vehicles/{id}/signals. What they mean is held against the JSON library in tests/fuzz/fuzz_telemetry.c. */
#include "base/buf.h"
#include "vehicle/telemetry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define RECEIVED_AT_MS INT64_C(1767225600000) /* 2026-01-01 */

struct outcome {
	struct arena arena;
	enum result result;
	struct telemetry_message *messages;
	size_t count;
	uint64_t withheld;
	const char *reason;
};

static void release(struct outcome *outcome)
{
	arena_release(&outcome->arena);
}
#define OUTCOME_CLEANUP __attribute__((cleanup(release)))

static struct outcome read_span(struct span payload)
{
	struct outcome outcome = {.arena = {.size_max = (size_t)64 << 20}, .reason = ""};
	const struct uuid vehicle = {{7}};

	outcome.result = telemetry_read(&vehicle, RECEIVED_AT_MS, payload, &outcome.arena, &outcome.messages,
					&outcome.count, &outcome.withheld, &outcome.reason);
	return outcome;
}

static struct outcome read_text(const char *text)
{
	return read_span(span_of_text(text));
}

static void test_what_is_refused_and_why(void **state)
{
	static const struct {
		const char *payload, *reason;
	} table[] = {
		{"", "payload-malformed"},
		{" \n", "payload-malformed"},
		{"{", "payload-malformed"},
		{"{\"signals\":{\"a\":1}} x", "payload-malformed"},
		{"{\"signals\":{\"a\":1},}", "payload-malformed"},
		{"{\"signals\":{\"a\":1,}}", "payload-malformed"},
		{"{\"signals\":{\"a\" 1}}", "payload-malformed"},
		{"{\"signals\":{\"a\":01}}", "payload-malformed"},
		{"{\"signals\":{\"a\":1.}}", "payload-malformed"},
		{"{\"signals\":{\"a\":.5}}", "payload-malformed"},
		{"{\"signals\":{\"a\":1e}}", "payload-malformed"},
		{"{\"signals\":{\"a\":+1}}", "payload-malformed"},
		{"{\"signals\":{\"a\":tru}}", "payload-malformed"},
		{"{\"signals\":{\"a\":\"x\ny\"}}", "payload-malformed"},
		{"{\"signals\":{\"a\":\"\\x\"}}", "payload-malformed"},
		{"{\"signals\":{\"a\":\"x}}", "payload-malformed"},
		{"{\"signals\":{\"a\":\"x\\", "payload-malformed"},
		{"{\"signals\":{'a':1}}", "payload-malformed"},
		{"[{\"signals\":{\"a\":1}}", "payload-malformed"},
		{"{}", "payload-unexpected"},
		{"7", "payload-unexpected"},
		{"[7]", "payload-unexpected"},
		{"[[{\"signals\":{}}]]", "payload-unexpected"},
		{"{\"timestamp\":1767225599000}", "payload-unexpected"},
		{"{\"signals\":[]}", "payload-unexpected"},
		{"{\"signals\":{},\"vehicle\":\"x\"}", "payload-unexpected"},
		{"{\"signals\":{},\"signals\":{}}", "payload-unexpected"},
		{"{\"timestamp\":null,\"signals\":{}}", "payload-unexpected"},
		{"{\"timestamp\":946684799999,\"signals\":{}}", "timestamp-invalid"},
		{"{\"timestamp\":-1,\"signals\":{}}", "timestamp-invalid"},
		{"{\"timestamp\":1767312000001,\"signals\":{}}", "timestamp-invalid"},
		{"{\"timestamp\":1e300,\"signals\":{}}", "timestamp-invalid"},
		{"{\"timestamp\":\"yesterday\",\"signals\":{}}", "timestamp-invalid"},
		{"{\"timestamp\":\"1999-12-31T23:59:59Z\",\"signals\":{}}", "timestamp-invalid"},
		{"{\"signals\":{\"\":1}}", "name-invalid"},
		{"{\"signals\":{\"a b\":1}}", "name-invalid"},
		{"{\"signals\":{\".a\":1}}", "name-invalid"},
		{"{\"signals\":{\"a.\":1}}", "name-invalid"},
		{"{\"signals\":{\"a..b\":1}}", "name-invalid"},
		{"{\"signals\":{\"\xc3\xa9\":1}}", "name-invalid"},
		{"{\"signals\":{\"a\":1,\"a\":1}}", "name-repeated"},
		{"{\"signals\":{\"a\":1,\"\\u0061\":1}}", "name-repeated"},
		{"{\"signals\":{\"a\":null}}", "value-invalid"},
		{"{\"signals\":{\"a\":{}}}", "value-invalid"},
		{"{\"signals\":{\"a\":[[1]]}}", "value-invalid"},
		{"{\"signals\":{\"a\":[null]}}", "value-invalid"},
		{"{\"signals\":{\"a\":[{}]}}", "value-invalid"},
		{"{\"signals\":{\"a\":NaN}}", "value-not-finite"},
		{"{\"signals\":{\"a\":Infinity}}", "value-not-finite"},
		{"{\"signals\":{\"a\":[NaN]}}", "value-not-finite"},
		{"{\"signals\":{\"a\":1e309}}", "value-not-finite"},
		{"{\"signals\":{\"a\":\"\xff\"}}", "text-malformed"},
		{"{\"signals\":{\"a\":\"\xed\xa0\x80\"}}", "text-malformed"},
		{"{\"signals\":{\"a\":\"\\u0000\"}}", "text-malformed"},
		{"{\"signals\":{\"a\":\"\\ud800\"}}", "text-malformed"},
		{"{\"signals\":{\"a\":\"\\udc00\\ud800\"}}", "text-malformed"},
		{"{\"signals\":{\"a\":[\"\\u12g4\"]}}", "text-malformed"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		OUTCOME_CLEANUP struct outcome outcome = read_text(table[i].payload);

		if (outcome.result != RESULT_INVALID || strcmp(outcome.reason, table[i].reason) != 0)
			fail_msg("%s: %s, %s", table[i].payload, result_name(outcome.result), outcome.reason);
		assert_true(telemetry_reason_index(outcome.reason) + 1 < telemetry_reason_count);
	}
	assert_int_equal(telemetry_reason_index("never heard of"), telemetry_reason_count - 1);
}

/* head, then count times the part, its '#' a number, then tail */
static struct outcome read_repeated(const char *head, const char *part, size_t count, const char *tail)
{
	struct buf text = {.size_max = (size_t)4 << 20};

	assert_int_equal(buf_append_text(&text, head), RESULT_OK);
	for (size_t i = 0; i < count; i++)
		for (const char *at = part; *at != '\0'; at++)
			assert_int_equal(*at == '#' ? buf_append_format(&text, "%zu", i)
						    : buf_append_byte(&text, (uint8_t)*at),
					 RESULT_OK);
	assert_int_equal(buf_append_text(&text, tail), RESULT_OK);
	struct outcome outcome = read_span(buf_span(&text));
	buf_release(&text);
	return outcome;
}

static void test_bounds(void **state)
{
	static const struct {
		const char *head, *part;
		size_t count;
		const char *tail;
		const char *reason; /* NULL: taken */
	} table[] = {
		{"{\"signals\":{\"a\":\"", "x", SIGNAL_TEXT_SIZE_MAX, "\"}}", NULL},
		{"{\"signals\":{\"a\":\"", "x", SIGNAL_TEXT_SIZE_MAX + 1, "\"}}", "value-too-long"},
		{"{\"signals\":{\"a\":[0", ",1", SIGNAL_TEXT_SIZE_MAX / 2 - 2, "]}}", NULL},
		{"{\"signals\":{\"a\":[0", ",1", SIGNAL_TEXT_SIZE_MAX / 2 - 1, "]}}", "value-too-long"},
		{"{\"signals\":{\"a\":1", "0", 200, "}}", "value-too-long"},
		{"{\"signals\":{\"", "x", SIGNAL_NAME_LENGTH_MAX, "\":1}}", NULL},
		{"{\"signals\":{\"", "x", SIGNAL_NAME_LENGTH_MAX + 1, "\":1}}", "name-invalid"},
		{"{\"signals\":{\"a\":1", ",\"n#\":1", SIGNALS_PER_MESSAGE_MAX - 1, "}}", NULL},
		{"{\"signals\":{\"a\":1", ",\"n#\":1", SIGNALS_PER_MESSAGE_MAX, "}}", "too-many-signals"},
		{"{\"signals\":{\"n19\":1", ",\"n#\":1", 20, "}}", "name-repeated"},
		{"[{\"signals\":{}}", ",{\"signals\":{}}", TELEMETRY_MESSAGES_MAX - 1, "]", NULL},
		{"[{\"signals\":{}}", ",{\"signals\":{}}", TELEMETRY_MESSAGES_MAX, "]", "too-many-messages"},
		{"", " ", TELEMETRY_PAYLOAD_SIZE_MAX, "{\"signals\":{}}", "payload-too-large"},
		{"", "[", 100000, "", "payload-unexpected"},
		{"{\"signals\":{\"a\":", "[", 100000, "", "value-invalid"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		OUTCOME_CLEANUP struct outcome outcome =
			read_repeated(table[i].head, table[i].part, table[i].count, table[i].tail);

		if (table[i].reason == NULL
			    ? outcome.result != RESULT_OK
			    : outcome.result != RESULT_INVALID || strcmp(outcome.reason, table[i].reason) != 0)
			fail_msg("row %zu: %s, %s", i, result_name(outcome.result), outcome.reason);
	}
}

static void test_what_no_one_may_keep_is_dropped_and_counted(void **state)
{
	OUTCOME_CLEANUP struct outcome outcome = read_text(
		"{\"signals\":{\"Vehicle.VehicleIdentification.VIN\":\"anything\",\"A\":\"is 1M8GDM9AXKP042788.\","
		"\"B\":[\"\\u0031M8GDM9AXKP042788\"],\"C.1M8GDM9AXKP042788\":1,\"D\":\"fine\","
		"\"vehicle.vehicleidentification.vin\":3,"
		"\"E\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}}");

	(void)state;
	assert_int_equal(outcome.result, RESULT_OK);
	assert_int_equal(outcome.withheld, 6);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.messages[0].count, 1);
	assert_true(span_is_text(outcome.messages[0].samples[0].name, "D"));
	OUTCOME_CLEANUP struct outcome nothing = read_text("{\"signals\":{\"Vehicle.VehicleIdentification.VIN\":1}}");
	assert_int_equal(nothing.result, RESULT_OK);
	assert_int_equal(nothing.count, 0);
	assert_int_equal(nothing.withheld, 1);
}

static void test_a_message_of_every_type(void **state)
{
	OUTCOME_CLEANUP struct outcome outcome = read_text(
		" { \"signals\" : {\"N\":-12.5e-1,\"B\":true,\"F\":false,\"T\":\"a\\\"\\u00e9\\ud83d\\ude97\","
		"\"L\": [ 1 , \"x y\\\" ]\" , true ],\"E\":[ ]} , \"timestamp\":1767225599001.9} ");
	const struct telemetry_message *message = outcome.messages;

	(void)state;
	assert_int_equal(outcome.result, RESULT_OK);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(message->at_ms, 1767225599001);
	assert_int_equal(message->received_at_ms, RECEIVED_AT_MS);
	assert_int_equal(message->reference_id.bytes[0], 7);
	assert_int_equal(message->count, 6);
	assert_true(message->samples[0].value.number == -1.25);
	assert_int_equal(message->samples[1].value.type, SIGNAL_BOOL);
	assert_true(message->samples[1].value.boolean);
	assert_false(message->samples[2].value.boolean);
	assert_true(span_is_text(message->samples[3].value.text, "a\"\xc3\xa9\xf0\x9f\x9a\x97"));
	assert_int_equal(message->samples[4].value.type, SIGNAL_ARRAY);
	assert_true(span_is_text(message->samples[4].value.text, "[1,\"x y\\\" ]\",true]"));
	assert_true(span_is_text(message->samples[5].value.text, "[]"));
}

static void test_a_batch_with_times_of_its_own(void **state)
{
	OUTCOME_CLEANUP struct outcome outcome = read_text(
		"[{\"timestamp\":\"2025-12-31T23:59:59.250+01:00\",\"signals\":{\"a\":1}},"
		"{\"signals\":{\"a\":1}},{\"timestamp\":1767312000000,\"signals\":{\"a\":2}},{\"signals\":{}}]");

	(void)state;
	assert_int_equal(outcome.result, RESULT_OK);
	assert_int_equal(outcome.count, 3);
	assert_int_equal(outcome.messages[0].at_ms, INT64_C(1767221999250));
	assert_int_equal(outcome.messages[1].at_ms, RECEIVED_AT_MS);
	assert_int_equal(outcome.messages[2].at_ms, RECEIVED_AT_MS + TELEMETRY_AHEAD_MAX_MS);
	assert_int_equal(outcome.messages[0].digest, outcome.messages[1].digest);
	assert_int_not_equal(outcome.messages[0].digest, outcome.messages[2].digest);
	OUTCOME_CLEANUP struct outcome empty = read_text("[]");
	assert_int_equal(empty.result, RESULT_OK);
	assert_int_equal(empty.count, 0);
}

static void test_different_samples_have_different_digests(void **state)
{
	static const char *const payloads[] = {
		"{\"signals\":{\"a\":1}}",	"{\"signals\":{\"a\":true}}",	   "{\"signals\":{\"a\":false}}",
		"{\"signals\":{\"a\":\"1\"}}",	"{\"signals\":{\"a\":[1]}}",	   "{\"signals\":{\"a\":\"[1]\"}}",
		"{\"signals\":{\"b\":1}}",	"{\"signals\":{\"a\":1,\"b\":1}}", "{\"signals\":{\"b\":1,\"a\":1}}",
		"{\"signals\":{\"a\":0}}",	"{\"signals\":{\"a\":\"\"}}",	   "{\"signals\":{\"ab\":\"c\"}}",
		"{\"signals\":{\"a\":\"bc\"}}",
	};
	enum { COUNT = sizeof(payloads) / sizeof(payloads[0]) };
	uint64_t digests[COUNT];

	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		OUTCOME_CLEANUP struct outcome outcome = read_text(payloads[i]);

		assert_int_equal(outcome.result, RESULT_OK);
		digests[i] = outcome.messages[0].digest;
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(digests[i], digests[j]);
	}
}

static void test_a_small_arena_is_told(void **state)
{
	const struct uuid vehicle = {{7}};
	struct arena arena = {.size_max = 64};
	struct telemetry_message *messages;
	const char *reason;
	uint64_t withheld;
	size_t count;

	(void)state;
	assert_int_equal(telemetry_read(&vehicle, RECEIVED_AT_MS, span_of_text("{\"signals\":{\"a\":1}}"), &arena,
					&messages, &count, &withheld, &reason),
			 RESULT_MEMORY);
	arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_refused_and_why),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_what_no_one_may_keep_is_dropped_and_counted),
		cmocka_unit_test(test_a_message_of_every_type),
		cmocka_unit_test(test_a_batch_with_times_of_its_own),
		cmocka_unit_test(test_different_samples_have_different_digests),
		cmocka_unit_test(test_a_small_arena_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
