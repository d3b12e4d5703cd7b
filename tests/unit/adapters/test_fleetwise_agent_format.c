/* Descriptions and what is made of them, against bytes that another encoder made by hand; faults first. */
#include "adapters/fleetwise/agent_format.h"
#include "base/file.h"
#include "base/text.h"
#include "crypto/library.h"
#include "fleetwise_support.h"

#include <stdio.h>

static const struct tenant_id demo = {"demo"};

static enum result make(const json_t *description, struct arena *arena, struct agent_documents *ret_documents,
			struct description_fault *ret_fault)
{
	struct agent_format *format = fleetwise_agent_format();

	return format->ops->make_documents(format, &demo, description, AT_MS, arena, ret_documents, ret_fault);
}

static json_t *described(void)
{
	BUF_CLEANUP struct buf content = {0};
	json_t *json;

	assert_int_equal(file_read(VECTORS "/fleetwise-description.json", &content, NULL), RESULT_OK);
	assert_int_equal(json_read(buf_span(&content), &json, NULL), RESULT_OK);
	return json;
}

/* ---- faults ------------------------------------------------------------------------------------------- */

/* One member of the description, "/signals/0/canSignal/length", is replaced (NULL: removed). */
static void change(json_t *json, const char *path, const char *value)
{
	char parts[6][48] = {0};
	int count = sscanf(path, "/%47[^/]/%47[^/]/%47[^/]/%47[^/]/%47[^/]", parts[0], parts[1], parts[2], parts[3],
			   parts[4]);
	for (int i = 0; i + 1 < count; i++) {
		json = json_is_array(json) ? json_array_get(json, (size_t)(parts[i][0] - '0'))
					   : json_object_get(json, parts[i]);
		assert_non_null(json);
	}
	const char *last = parts[count - 1];
	json_t *made = value != NULL ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
	assert_true(value == NULL || made != NULL);
	if (json_is_array(json))
		assert_int_equal(json_array_set_new(json, (size_t)(last[0] - '0'), made), 0);
	else if (made == NULL)
		assert_int_equal(json_object_del(json, last), 0);
	else
		assert_int_equal(json_object_set_new(json, last, made), 0);
}

#define MALFORMED PROBLEM_MALFORMED
#define VALUE	  PROBLEM_VALUE_INVALID
#define HOLDS_VIN PROBLEM_VIN_NOT_ALLOWED
#define DEEP(x)	  "{\"operator\":\"not\",\"left\":" x "}"

static const struct {
	const char *path, *value;
	enum problem problem;
	const char *detail;
} faults[] = {
	{"/name", NULL, MALFORMED, "In the description: the member name is missing."},
	{"/name", "3", MALFORMED, "In the description: the member name must be a string."},
	{"/name", "\"Car\"", VALUE, "In the description: the member name must be a lower-case"},
	{"/name", "\"-car\"", VALUE, "In the description: "},
	{"/name", "\"5yjsa1h12ffp71790\"", HOLDS_VIN, "In the description: the member name holds"},
	{"/other", "1", MALFORMED, "In the description: member \"other\" is not known here."},
	{"/signals", NULL, MALFORMED, "In the description: the member signals must be an array."},
	{"/signals", "[]", VALUE, "In the description: the member signals must hold 1 to 4096 signals."},
	{"/signals/1", "3", MALFORMED, "In signal 2: an object is expected."},
	{"/signals/1/id", "10", VALUE, "In the signals: two of them have the same ID."},
	{"/signals/1/id", "0", VALUE, "In signal 2: the member id must be from 1 to 2147483647."},
	{"/signals/1/id", "2147483648", VALUE, "In signal 2: "},
	{"/signals/1/id", "1.5", MALFORMED, "In signal 2: the member id must be a whole number."},
	{"/signals/1/name", "\"Vehicle.Speed\"", VALUE, "In the signals: two of them have the same name."},
	{"/signals/1/name", "\"Vehicle Speed\"", VALUE, "In signal 2: the member name must be 1 to 255 printable"},
	{"/signals/1/name", "\"\"", VALUE, "In signal 2: "},
	{"/signals/1/name", "\"Vehicle.5YJSA1H12FFP71790\"", HOLDS_VIN, "In signal 2: the member name holds"},
	{"/signals/1/name", "\"Vehicle.VehicleIdentification.VIN\"", HOLDS_VIN, "In signal 2: it is the VIN"},
	{"/signals/1/name", "\"Vehicle..Speed\"", VALUE, "In signal 2: the member name must be a dotted path"},
	{"/signals/1/datatype", "\"bool\"", VALUE, "In signal 2: the member datatype is none of the words"},
	{"/signals/1/datatype", "\"string\"", VALUE, "In signal 2: only a customDecodingSignal can be a string."},
	{"/signals/1/interfaceId", NULL, MALFORMED, "In signal 2: the member interfaceId is missing."},
	{"/signals/1/canSignal", NULL, MALFORMED, "In signal 2: exactly one of canSignal, obdSignal"},
	{"/signals/1/obdSignal", "{}", MALFORMED, "In signal 2: exactly one of canSignal, obdSignal"},
	{"/signals/0/canSignal/length", NULL, MALFORMED, "In signal 1: the member length is missing."},
	{"/signals/0/canSignal/length", "65", VALUE, "In signal 1: the member length must be from 1 to 64."},
	{"/signals/0/canSignal/startBit", "-1", VALUE, "In signal 1: the member startBit must be from 0 to 511."},
	{"/signals/0/canSignal/factor", "0", VALUE, "In signal 1: the member factor must not be 0."},
	{"/signals/0/canSignal/factor", "\"1\"", MALFORMED, "In signal 1: the member factor must be a number."},
	{"/signals/0/canSignal/isSigned", "1", MALFORMED, "In signal 1: the member isSigned must be true or false."},
	{"/signals/0/canSignal/mux", "1", MALFORMED, "In signal 1: member \"mux\" is not known here."},
	{"/signals/2/obdSignal/pid", "256", VALUE, "In signal 3: the member pid must be from 0 to 255."},
	{"/signals/2/obdSignal/scaling", "0", VALUE, "In signal 3: the member scaling must not be 0."},
	{"/signals/3/customDecodingSignal/id", "7", MALFORMED, "In signal 4: the member id must be a string."},
	{"/schemes", "{}", MALFORMED, "In the description: the member schemes must be an array."},
	{"/schemes", "[]", VALUE, "In the description: the member schemes must hold 1 to 64 schemes."},
	{"/schemes/0/name", NULL, MALFORMED, "In scheme 1: the member name is missing."},
	{"/schemes/0/periodMs", "99", VALUE, "In scheme 1: the member periodMs must be from 100 to 86400000."},
	{"/schemes/0/periodMs", NULL, MALFORMED, "In scheme 1: exactly one of periodMs, condition is needed."},
	{"/schemes/0/condition", "true", MALFORMED, "In scheme 1: exactly one of periodMs, condition is needed."},
	{"/schemes/0/trigger", "\"always\"", MALFORMED, "In scheme 1: minimumIntervalMs and trigger belong"},
	{"/schemes/0/signals", "\"some\"", MALFORMED, "In scheme 1: the member signals must be \"all\" or"},
	{"/schemes/0/signals", "[]", MALFORMED, "In scheme 1: the member signals must be"},
	{"/schemes/0/signals", "[\"Vehicle.Spee\"]", VALUE, "In scheme 1: the member signals holds one that is not"},
	{"/schemes/0/signals", "[3]", VALUE, "In scheme 1: the member signals holds one that is not described."},
	{"/schemes/0/signals", "[\"Vehicle.Speed\", {\"name\": \"Vehicle.Speed\"}]", VALUE,
	 "In scheme 1: the member signals holds one twice."},
	{"/schemes/1/signals/0/sampleBufferSize", "0", VALUE, "In scheme 2: the member sampleBufferSize must be"},
	{"/schemes/1/expiresAt", "\"2025-01-01T00:00:00Z\"", VALUE, "In scheme 2: it expires before it starts."},
	{"/schemes/1/expiresAt", "\"soon\"", MALFORMED, "In scheme 2: the member expiresAt must be an RFC 3339 time."},
	{"/schemes/1/trigger", "\"never\"", VALUE, "In scheme 2: the member trigger is none of the words known here."},
	{"/schemes/1/condition", "3", VALUE, "In scheme 2: the condition must be a comparison, or and, or, not."},
	{"/schemes/1/condition", "{\"operator\":\"+\",\"left\":1,\"right\":2}", VALUE,
	 "In scheme 2: the condition must"},
	{"/schemes/1/condition", "{\"operator\":\"~\",\"left\":1,\"right\":2}", VALUE,
	 "In scheme 2: the member operator"},
	{"/schemes/1/condition", "{\"operator\":\"<\",\"left\":1}", MALFORMED, "In scheme 2: an operator of the"},
	{"/schemes/1/condition", "{\"operator\":\"not\",\"left\":1,\"right\":2}", MALFORMED,
	 "In scheme 2: an operator"},
	{"/schemes/1/condition", "{\"operator\":\"<\",\"right\":1}", MALFORMED,
	 "In scheme 2: the member left is missing"},
	{"/schemes/1/condition", "{\"signal\":\"Vehicle.Spee\"}", VALUE,
	 "In scheme 2: a signal of the condition is not"},
	{"/schemes/1/condition", "{\"signal\":3}", VALUE, "In scheme 2: a signal of the condition is not described."},
	{"/schemes/1/condition", "[]", MALFORMED, "In scheme 2: an object is expected."},
	{"/schemes/1/condition", "null", MALFORMED, "In scheme 2: an object is expected."},
	{"/schemes/1/condition", "{\"operator\":\"==\",\"left\":1,\"right\":\"5YJSA1H12FFP71790\"}", HOLDS_VIN,
	 "In scheme 2: a text of the condition holds what looks like a VIN."},
	{"/schemes/1/condition", DEEP(DEEP(DEEP(DEEP(DEEP(DEEP(DEEP(DEEP(DEEP(DEEP("true")))))))))), VALUE,
	 "In scheme 2: the condition is nested deeper than 10."},
	{"/schemes/1", "{\"name\": \"heartbeat\", \"periodMs\": 5000, \"includeActiveDtcs\": true}", VALUE,
	 "In scheme 2: it is the same as scheme 1."},
};

static void test_faults_are_named_with_their_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		ARENA_CLEANUP struct arena arena = {0};
		JSON_CLEANUP json_t *json = described();
		struct agent_documents documents;
		struct description_fault fault = {0};
		change(json, faults[i].path, faults[i].value);
		if (make(json, &arena, &documents, &fault) != RESULT_INVALID)
			fail_msg("%s = %s is taken", faults[i].path, faults[i].value);
		if (strncmp(fault.detail, faults[i].detail, strlen(faults[i].detail)) != 0)
			fail_msg("%s = %s: %s", faults[i].path, faults[i].value, fault.detail);
		assert_int_equal(fault.problem, faults[i].problem);
		assert_false(vin_stands_in(span_of_text(fault.detail)));
	}
}

/* Signals "S.1", "S.2", … on a CAN bus, with names as long as asked. */
static json_t *many_signals(int count, int name_length)
{
	json_t *signals = json_array();

	for (int i = 1; i <= count; i++)
		json_array_append_new(signals, json_pack("{s:o, s:s, s:{s:i, s:i, s:i}}", "name",
							 json_sprintf("S.%0*d", name_length - 2, i), "interfaceId",
							 "CAN-POWERTRAIN", "canSignal", "messageId", i, "startBit", 0,
							 "length", 8));
	return json_pack("{s:s, s:o}", "name", "many", "signals", signals);
}

static void test_what_vehicles_or_ingest_could_not_take_is_refused(void **state)
{
	ARENA_CLEANUP struct arena arena = {.size_max = (size_t)64 << 20};
	JSON_CLEANUP json_t *wide = many_signals(4096, 10);
	JSON_CLEANUP json_t *long_names = many_signals(1000, 250);
	struct agent_documents documents;
	struct description_fault fault = {0};

	(void)state;
	assert_int_equal(make(wide, &arena, &documents, &fault), RESULT_INVALID);
	assert_string_equal(fault.detail,
			    "In the signals: described like this they are more than the 128 KiB that vehicles accept.");
	assert_int_equal(make(long_names, &arena, &documents, &fault), RESULT_INVALID);
	assert_string_equal(fault.detail, "In the signals: their names are more than 192 KiB.");
}

static void test_schemes_that_collect_too_much_are_refused(void **state)
{
	ARENA_CLEANUP struct arena arena = {.size_max = (size_t)16 << 20};
	JSON_CLEANUP json_t *json = many_signals(1000, 10);
	struct agent_documents documents;
	struct description_fault fault = {0};
	json_t *schemes = json_array();

	(void)state;
	for (int i = 0; i < 17; i++)
		json_array_append_new(schemes, json_pack("{s:s, s:i}", "name", "all", "periodMs", 1000 + i));
	json_object_set_new(json, "schemes", schemes);
	assert_int_equal(make(json, &arena, &documents, &fault), RESULT_INVALID);
	assert_string_equal(fault.detail, "In scheme 17: the schemes collect more than 16384 signals in all.");
}

static void test_too_little_memory_is_no_fault(void **state)
{
	ARENA_CLEANUP struct arena arena = {.size_max = 1024};
	JSON_CLEANUP json_t *json = described();
	struct agent_documents documents;
	struct description_fault fault = {0};

	(void)state;
	assert_int_equal(make(json, &arena, &documents, &fault), RESULT_MEMORY);
}

/* ---- what is made ------------------------------------------------------------------------------------- */

static void assert_bytes(struct span bytes, const char *name)
{
	struct span expected = vector(name);

	assert_int_equal(bytes.size, expected.size);
	assert_memory_equal(bytes.data, expected.data, expected.size);
}

static void test_documents_are_what_another_encoder_makes(void **state)
{
	ARENA_CLEANUP struct arena arena = {0};
	JSON_CLEANUP json_t *json = described();
	struct agent_documents documents;
	struct description_fault fault = {0};

	(void)state;
	if (make(json, &arena, &documents, &fault) != RESULT_OK)
		fail_msg("%s", fault.detail);
	assert_bytes(documents.decoder_manifest.bytes, "described-manifest");
	assert_bytes(span_of_text(documents.decoder_manifest.sync_id), "described-manifest-id");
	assert_bytes(documents.collection_schemes.bytes, "described-schemes");
	assert_bytes(span_of_text(documents.collection_schemes.sync_id), "described-schemes-id");
	assert_bytes(documents.names, "described-names");
	assert_int_equal(documents.signal_count, 4);
	assert_int_equal(documents.scheme_count, 2);
	assert_int_equal(documents.decoder_manifest.kind, SIGNAL_DECODER_MANIFEST);
	assert_int_equal(documents.collection_schemes.kind, SIGNAL_COLLECTION_SCHEMES);
	assert_true(tenant_id_equal(&documents.decoder_manifest.tenant, &demo));
}

static void test_without_schemes_everything_is_sent(void **state)
{
	ARENA_CLEANUP struct arena arena = {0};
	JSON_CLEANUP json_t *json = described();
	struct agent_format *format = fleetwise_agent_format();
	struct agent_documents documents;
	struct description_fault fault = {0};
	struct agent_scheme *schemes;
	size_t count;

	(void)state;
	change(json, "/schemes", NULL);
	assert_int_equal(make(json, &arena, &documents, &fault), RESULT_OK);
	assert_bytes(documents.decoder_manifest.bytes, "described-manifest");
	assert_int_equal(
		format->ops->read_schemes(format, documents.collection_schemes.bytes, &arena, &schemes, &count),
		RESULT_OK);
	assert_int_equal(count, 1);
	assert_memory_equal(schemes[0].sync_id.data, "demo/all/", 9);
}

static void test_another_content_is_another_document(void **state)
{
	ARENA_CLEANUP struct arena arena = {0};
	JSON_CLEANUP json_t *json = described();
	struct agent_documents first, renamed, changed;
	struct description_fault fault = {0};

	(void)state;
	assert_int_equal(make(json, &arena, &first, &fault), RESULT_OK);
	/* Names are ingest's: agents need not load a manifest anew for them. */
	change(json, "/schemes", NULL);
	change(json, "/signals/0/name", "\"Vehicle.Powertrain.Speed\"");
	assert_int_equal(make(json, &arena, &renamed, &fault), RESULT_OK);
	assert_string_equal(first.decoder_manifest.sync_id, renamed.decoder_manifest.sync_id);
	assert_false(span_equal(first.names, renamed.names));
	change(json, "/signals/0/canSignal/factor", "0.02");
	assert_int_equal(make(json, &arena, &changed, &fault), RESULT_OK);
	assert_string_not_equal(first.decoder_manifest.sync_id, changed.decoder_manifest.sync_id);
	assert_string_not_equal(renamed.collection_schemes.sync_id, changed.collection_schemes.sync_id);
}

static void test_ingest_takes_the_names(void **state)
{
	ARENA_CLEANUP struct arena arena = {0};
	JSON_CLEANUP json_t *json = described();
	struct agent_documents documents;
	struct description_fault fault = {0};
	struct fleetwise_decoders *decoders;
	size_t skipped;

	(void)state;
	assert_int_equal(make(json, &arena, &documents, &fault), RESULT_OK);
	assert_int_equal(fleetwise_decoders_open(NULL, &decoders, &skipped, NULL), RESULT_OK);
	assert_int_equal(fleetwise_decoders_put(decoders, documents.decoder_manifest.sync_id, documents.names, NULL),
			 RESULT_OK);
	fleetwise_decoders_close(decoders);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

static void test_checkins_are_read(void **state)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct agent_format *format = fleetwise_agent_format();
	static const uint8_t wrong_type[] = {0x08, 0x01};
	struct span *sync_ids;
	size_t count;

	(void)state;
	struct span whole = vector("checkin");
	assert_int_equal(
		format->ops->read_checkin(format, span_of(whole.data, whole.size - 1), &arena, &sync_ids, &count),
		RESULT_INVALID);
	assert_int_equal(
		format->ops->read_checkin(format, span_of(wrong_type, sizeof wrong_type), &arena, &sync_ids, &count),
		RESULT_INVALID);
	assert_int_equal(format->ops->read_checkin(format, whole, &arena, &sync_ids, &count), RESULT_OK);
	assert_int_equal(count, 2);
	assert_true(span_is_text(sync_ids[1], "demo/car/1"));
	assert_int_equal(format->ops->read_checkin(format, vector("checkin-empty"), &arena, &sync_ids, &count),
			 RESULT_OK);
	assert_int_equal(count, 0);
	assert_int_equal(format->ops->read_checkin(format, vector("checkin-not-printable"), &arena, &sync_ids, &count),
			 RESULT_OK);
	assert_int_equal(count, 3);
	assert_int_equal(sync_ids[0].size, 3);
}

static void test_a_checkin_bomb_is_refused(void **state)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct agent_format *format = fleetwise_agent_format();
	uint8_t bomb[(size_t)128 << 10];
	struct span *sync_ids;
	size_t count;

	(void)state;
	for (size_t i = 0; i < sizeof bomb; i += 2)
		memcpy(bomb + i, "\x0a\0", 2);
	assert_int_equal(format->ops->read_checkin(format, span_of(bomb, sizeof bomb), &arena, &sync_ids, &count),
			 RESULT_INVALID);
	assert_int_equal(format->ops->read_checkin(format, span_of(bomb, 2 * (AGENT_SYNC_IDS_MAX + 1)), &arena,
						   &sync_ids, &count),
			 RESULT_INVALID);
	assert_int_equal(
		format->ops->read_checkin(format, span_of(bomb, 2 * AGENT_SYNC_IDS_MAX), &arena, &sync_ids, &count),
		RESULT_OK);
}

static void test_schemes_are_read_back(void **state)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct agent_format *format = fleetwise_agent_format();
	struct agent_scheme *schemes;
	size_t count;

	(void)state;
	struct span whole = vector("described-schemes");
	assert_int_equal(
		format->ops->read_schemes(format, span_of(whole.data, whole.size - 1), &arena, &schemes, &count),
		RESULT_CORRUPT);
	assert_int_equal(format->ops->read_schemes(format, whole, &arena, &schemes, &count), RESULT_OK);
	assert_int_equal(count, 2);
	assert_true(span_equal(schemes[0].sync_id, vector("described-heartbeat-id")));
	assert_true(span_equal(schemes[1].sync_id, vector("described-hot-id")));
	assert_true(span_equal(schemes[1].decoder_sync_id, vector("described-manifest-id")));
	assert_int_equal(schemes[1].expires_at_ms, INT64_C(1798761600000));
}

static int set_up_group(void **state)
{
	return crypto_init(NULL) == RESULT_OK ? read_vectors(state) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults_are_named_with_their_place),
		cmocka_unit_test(test_what_vehicles_or_ingest_could_not_take_is_refused),
		cmocka_unit_test(test_schemes_that_collect_too_much_are_refused),
		cmocka_unit_test(test_too_little_memory_is_no_fault),
		cmocka_unit_test(test_documents_are_what_another_encoder_makes),
		cmocka_unit_test(test_without_schemes_everything_is_sent),
		cmocka_unit_test(test_another_content_is_another_document),
		cmocka_unit_test(test_ingest_takes_the_names),
		cmocka_unit_test(test_checkins_are_read),
		cmocka_unit_test(test_a_checkin_bomb_is_refused),
		cmocka_unit_test(test_schemes_are_read_back),
	};

	return cmocka_run_group_tests(tests, set_up_group, release_vectors);
}
