#include "../cmocka_all.h"

#include "adapters/gateway/protocol.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct uuid vehicle = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const struct serial serial = {{0x41, 0x42}};

/* A frame of every kind. */
static void put_control(size_t kind, struct buf *frame)
{
	const struct control_denial denials[] = {{serial, vehicle}, {serial, {{0}}}};
	const struct gateway_caller caller = {"station-1", 77};
	const struct uuid refused[] = {vehicle, vehicle};
	const struct serial serials[] = {serial};
	enum result result = RESULT_INVALID;
	switch (kind) {
	case CONTROL_HELLO:
	case CONTROL_SNAPSHOT_BEGIN:
	case CONTROL_HEARTBEAT:
		result = control_put_epoch(frame, (enum control_kind)kind, 0x0102030405060708);
		break;
	case CONTROL_SNAPSHOT_SERIALS:
		result = control_put_serials(frame, serials, 1);
		break;
	case CONTROL_SNAPSHOT_REFUSED:
		result = control_put_refused(frame, refused, 2);
		break;
	case CONTROL_SNAPSHOT_END:
		result = control_put_end(frame, 9, 100000, 2);
		break;
	case CONTROL_DENY:
		result = control_put_denials(frame, denials, 2);
		break;
	case CONTROL_ACTIVATE:
		result = control_put_activate(frame, &serial);
		break;
	case CONTROL_REFUSE:
	case CONTROL_ADMIT:
		result = control_put_vehicle(frame, (enum control_kind)kind, &vehicle);
		break;
	case CONTROL_DELIVER:
		result = control_put_deliver(frame, &vehicle, true, "a/b", span_of_text("payload"));
		break;
	case CONTROL_ANSWER:
		result = control_put_answer(frame, &caller, "a/b", span_of_text("payload"));
		break;
	}
	assert_int_equal(result, RESULT_OK);
}

static void control_survives_writing_and_reading(void **state)
{
	(void)state;
	struct control_denial denial;
	struct control_frame frame;
	BUF_CLEANUP struct buf bytes = {0};
	put_control(CONTROL_DENY, &bytes);
	assert_int_equal(control_get(buf_span(&bytes), &frame), RESULT_OK);
	assert_int_equal(frame.kind, CONTROL_DENY);
	assert_int_equal(frame.count, 2);
	control_frame_denial(&frame, 0, &denial);
	assert_memory_equal(&denial.serial, &serial, SERIAL_SIZE);
	assert_true(uuid_equal(&denial.reference_id, &vehicle));
	buf_clear(&bytes);
	put_control(CONTROL_ANSWER, &bytes);
	assert_int_equal(control_get(buf_span(&bytes), &frame), RESULT_OK);
	assert_int_equal(frame.connection, 77);
	assert_string_equal(frame.client_id, "station-1");
	assert_string_equal(frame.topic, "a/b");
	assert_true(span_is_text(frame.payload, "payload"));
	buf_clear(&bytes);
	put_control(CONTROL_SNAPSHOT_END, &bytes);
	assert_int_equal(control_get(buf_span(&bytes), &frame), RESULT_OK);
	assert_int_equal(frame.serial_count, 100000);
	buf_clear(&bytes);
	put_control(CONTROL_DELIVER, &bytes);
	assert_int_equal(control_get(buf_span(&bytes), &frame), RESULT_OK);
	assert_true(frame.only_when_ready);
}

static bool has_payload(size_t kind)
{
	return kind == CONTROL_DELIVER || kind == CONTROL_ANSWER;
}

/* Every frame cut at every place, and with a byte more. */
static void control_is_read_strictly(void **state)
{
	(void)state;
	for (size_t kind = CONTROL_HELLO; kind <= CONTROL_ANSWER; kind++) {
		struct control_frame frame;
		BUF_CLEANUP struct buf bytes = {0};
		put_control(kind, &bytes);
		size_t least = has_payload(kind) ? bytes.size - strlen("payload") : bytes.size;
		for (size_t size = 0; size < bytes.size; size++) {
			enum result result = control_get(span_of(bytes.data, size), &frame);
			assert_int_equal(result, size < least ? RESULT_INVALID : RESULT_OK);
		}
		assert_int_equal(control_get(buf_span(&bytes), &frame), RESULT_OK);
		assert_int_equal(buf_append_byte(&bytes, 0), RESULT_OK);
		assert_int_equal(control_get(buf_span(&bytes), &frame), has_payload(kind) ? RESULT_OK : RESULT_INVALID);
		bytes.data[0] = GATEWAY_PROTOCOL_VERSION + 1;
		assert_int_equal(control_get(buf_span(&bytes), &frame), RESULT_INVALID);
	}
}

static void refuses_values_out_of_range(void **state)
{
	static const uint8_t unknown_kind[] = {GATEWAY_PROTOCOL_VERSION, CONTROL_ANSWER + 1};
	static const uint8_t no_entries[] = {GATEWAY_PROTOCOL_VERSION, CONTROL_DENY, 0, 0};
	static const uint8_t many_entries[4 + 0x1001 * SERIAL_SIZE] = {GATEWAY_PROTOCOL_VERSION,
								       CONTROL_SNAPSHOT_SERIALS, 0x10, 0x01};
	static uint8_t large[GATEWAY_PAYLOAD_MAX + 1];
	struct control_frame frame;
	BUF_CLEANUP struct buf bytes = {0};
	(void)state;
	assert_int_equal(control_get(span_of(unknown_kind, sizeof(unknown_kind)), &frame), RESULT_INVALID);
	assert_int_equal(control_get(span_of(no_entries, sizeof(no_entries)), &frame), RESULT_INVALID);
	assert_int_equal(control_get(span_of(many_entries, sizeof(many_entries)), &frame), RESULT_INVALID);
	put_control(CONTROL_DELIVER, &bytes);
	bytes.data[2 + UUID_SIZE] = 2; /* ready, not ready, and what? */
	assert_int_equal(control_get(buf_span(&bytes), &frame), RESULT_INVALID);
	buf_clear(&bytes);
	put_control(CONTROL_DELIVER, &bytes);
	bytes.data[2 + UUID_SIZE + 4] = '\0'; /* in the topic */
	assert_int_equal(control_get(buf_span(&bytes), &frame), RESULT_INVALID);
	buf_clear(&bytes);
	assert_int_equal(control_put_deliver(&bytes, &vehicle, false, "a", span_of(large, sizeof(large))),
			 RESULT_INVALID);
	buf_clear(&bytes);
	assert_int_equal(control_put_deliver(&bytes, &vehicle, false, "", span_of_text("x")), RESULT_INVALID);
	buf_clear(&bytes);
	assert_int_equal(control_put_denials(&bytes, NULL, 0), RESULT_INVALID);
}

static struct gateway_claim_message a_claim(void)
{
	return (struct gateway_claim_message){
		.request = GATEWAY_PROVISION,
		.caller = {"station-1", 0xfedcba9876543210},
		.serial = serial,
		.address = "127.0.0.1",
		.template_name = "vinveil",
		.payload = span_of_text("{}"),
	};
}

static void channel_survives_writing_and_reading(void **state)
{
	const struct gateway_claim_message claim = a_claim();
	const struct plugin_counters counters = {.vehicles = 3, .claims_dropped = 9};
	struct channel_frame frame;
	size_t size = 0;
	BUF_CLEANUP struct buf bytes = {0};
	(void)state;
	assert_int_equal(channel_put_claim(&bytes, &claim), RESULT_OK);
	assert_int_equal(channel_frame_size(span_of(bytes.data, CHANNEL_HEADER_SIZE), &size), RESULT_OK);
	assert_int_equal(size, bytes.size);
	assert_int_equal(channel_get(buf_span(&bytes), &frame), RESULT_OK);
	assert_int_equal(frame.kind, CHANNEL_CLAIM);
	assert_int_equal(frame.claim.request, GATEWAY_PROVISION);
	assert_true(frame.claim.caller.connection == claim.caller.connection);
	assert_string_equal(frame.claim.caller.client_id, "station-1");
	assert_string_equal(frame.claim.template_name, "vinveil");
	assert_true(span_is_text(frame.claim.payload, "{}"));
	buf_clear(&bytes);
	assert_int_equal(channel_put_status(&bytes, &counters), RESULT_OK);
	assert_int_equal(channel_get(buf_span(&bytes), &frame), RESULT_OK);
	assert_memory_equal(&frame.counters, &counters, sizeof(counters));
	buf_clear(&bytes);
	assert_int_equal(channel_put_hello(&bytes), RESULT_OK);
	assert_int_equal(channel_get(buf_span(&bytes), &frame), RESULT_OK);
	assert_int_equal(frame.version, GATEWAY_PROTOCOL_VERSION);
}

static void channel_is_read_strictly(void **state)
{
	static const uint8_t too_long[] = {0x7f, 0xff, 0xff, 0xff, CHANNEL_CLAIM};
	static const uint8_t too_short[] = {0, 0, 0, 0, CHANNEL_CLAIM};
	static uint8_t large[CHANNEL_PAYLOAD_MAX + 1];
	struct gateway_claim_message claim = a_claim();
	struct channel_frame frame;
	size_t size = 0;
	BUF_CLEANUP struct buf bytes = {0};
	(void)state;
	assert_int_equal(channel_frame_size(span_of(too_long, sizeof(too_long)), &size), RESULT_INVALID);
	assert_int_equal(channel_frame_size(span_of(too_short, sizeof(too_short)), &size), RESULT_INVALID);
	assert_int_equal(channel_put_claim(&bytes, &claim), RESULT_OK);
	for (size_t i = 0; i < bytes.size; i++)
		assert_int_equal(channel_get(span_of(bytes.data, i), &frame), RESULT_INVALID);
	bytes.data[CHANNEL_HEADER_SIZE] = 3; /* no such request */
	assert_int_equal(channel_get(buf_span(&bytes), &frame), RESULT_INVALID);
	buf_clear(&bytes);
	claim.payload = span_of(large, sizeof(large));
	assert_int_equal(channel_put_claim(&bytes, &claim), RESULT_INVALID);
}

static void events_survive_writing_and_reading(void **state)
{
	(void)state;
	for (uint16_t kind = GATEWAY_VEHICLE_CONNECTED; kind <= GATEWAY_CLONE_SUSPECTED; kind++) {
		struct gateway_event event = {.kind = (enum gateway_event_kind)kind,
					      .serial = serial,
					      .command_id = vehicle,
					      .address = "10.0.0.1",
					      .other_address = "10.0.0.2",
					      .payload = span_of_text("payload")};
		struct gateway_event again;
		BUF_CLEANUP struct buf body = {0};
		assert_int_equal(event_put(&body, &event), RESULT_OK);
		assert_int_equal(event_get(kind, buf_span(&body), &again), RESULT_OK);
		assert_int_equal(again.kind, kind);
		assert_memory_equal(&again.serial, &serial, SERIAL_SIZE);
		assert_string_equal(again.address, "10.0.0.1");
		bool has_body = kind == GATEWAY_COMMAND_RESPONSE || kind == GATEWAY_CHECKIN;
		assert_int_equal(again.payload.size, has_body ? strlen("payload") : 0);
		if (kind == GATEWAY_COMMAND_RESPONSE)
			assert_true(uuid_equal(&again.command_id, &vehicle));
		if (kind == GATEWAY_CLONE_SUSPECTED)
			assert_string_equal(again.other_address, "10.0.0.2");
		for (size_t i = 0; i < SERIAL_SIZE + 2; i++)
			assert_int_equal(event_get(kind, span_of(body.data, i), &again), RESULT_INVALID);
		assert_int_equal(event_get(0, buf_span(&body), &again), RESULT_INVALID);
		assert_int_equal(event_get(7, buf_span(&body), &again), RESULT_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_survives_writing_and_reading),
		cmocka_unit_test(control_is_read_strictly),
		cmocka_unit_test(refuses_values_out_of_range),
		cmocka_unit_test(channel_survives_writing_and_reading),
		cmocka_unit_test(channel_is_read_strictly),
		cmocka_unit_test(events_survive_writing_and_reading),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
