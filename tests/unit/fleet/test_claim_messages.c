/* What claims say, in AWS IoT's words, and what they are told. */
#include "tests/unit/cmocka_all.h"

#include "base/text.h"
#include "fleet/claim_messages.h"

#include <string.h>

#define VIN_TEXT     "1M8GDM9AXKP042788"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum problem read_create(const char *text, char detail[static CLAIM_DETAIL_SIZE])
{
	JSON_CLEANUP json_t *json = NULL;
	struct span csr;

	detail[0] = '\0';
	return claim_read_create(span_of_text(text), &json, &csr, detail);
}

static enum problem read_provision(const char *text, char detail[static CLAIM_DETAIL_SIZE])
{
	JSON_CLEANUP json_t *json = NULL;
	struct claimed_provisioning input;

	detail[0] = '\0';
	return claim_read_provision(span_of_text(text), &json, &input, detail);
}

static void test_no_requests_for_a_certificate(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"\"csr\"",
		"{}",
		"{\"certificateSigningRequest\": 1}",
		"{\"certificateSigningRequest\": null}",
		"{\"certificateSigningRequest\": [\"csr\"]}",
		"{\"certificateSigningRequest\": \"a\", \"certificateSigningRequest\": \"b\"}",
		"{\"certificateSigningRequest\": \"a\\u0000b\"}",
		"{\"certificateSigningRequest\": \"\xff\"}",
		"{\"certificateSigningRequest\": \"a\"} x",
		"{\"CertificateSigningRequest\": \"a\"}",
	};
	char detail[CLAIM_DETAIL_SIZE];

	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(read_create(bad[i], detail), PROBLEM_MALFORMED);
		assert_string_not_equal(detail, "");
	}
}

static void test_a_csr_too_long(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf text = {0};
	char detail[CLAIM_DETAIL_SIZE];

	assert_int_equal(buf_append_text(&text, "{\"certificateSigningRequest\": \""), RESULT_OK);
	for (int i = 0; i <= CSR_TEXT_SIZE_MAX; i++)
		assert_int_equal(buf_append_byte(&text, 'A'), RESULT_OK);
	assert_int_equal(buf_append_text(&text, "\"}"), RESULT_OK);
	assert_int_equal(buf_append_byte(&text, 0), RESULT_OK);
	assert_int_equal(read_create((const char *)text.data, detail), PROBLEM_MALFORMED);
}

static void test_a_request_for_a_certificate(void **state)
{
	(void)state;
	JSON_CLEANUP json_t *json = NULL;
	char detail[CLAIM_DETAIL_SIZE];
	struct span csr;

	/* Clients of AWS's send members that only their own side needs. */
	assert_int_equal(claim_read_create(span_of_text("{\"other\": {}, \"certificateSigningRequest\": \"a\\nb\"}"),
					   &json, &csr, detail),
			 PROBLEM_NONE);
	assert_true(span_is_text(csr, "a\nb"));
}

static void test_no_requests_for_a_vehicle(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"[]",
		"{\"parameters\": {\"VIN\": \"" VIN_TEXT "\", \"DeviceId\": \"tcu\"}}",
		"{\"certificateOwnershipToken\": 1, \"parameters\": {\"VIN\": \"" VIN_TEXT "\", \"DeviceId\": \"d\"}}",
		"{\"certificateOwnershipToken\": \"t\"}",
		"{\"certificateOwnershipToken\": \"t\", \"parameters\": null}",
		"{\"certificateOwnershipToken\": \"t\", \"parameters\": [\"" VIN_TEXT "\"]}",
		"{\"certificateOwnershipToken\": \"t\", \"parameters\": {}}",
		"{\"certificateOwnershipToken\": \"t\", \"parameters\": {\"VIN\": \"" VIN_TEXT "\"}}",
		"{\"certificateOwnershipToken\": \"t\", \"parameters\": {\"DeviceId\": \"tcu\"}}",
		"{\"certificateOwnershipToken\": \"t\", \"parameters\": {\"vin\": \"" VIN_TEXT
		"\", \"DeviceId\": \"d\"}}",
		"{\"certificateOwnershipToken\": \"t\", \"parameters\": {\"VIN\": {\"" VIN_TEXT
		"\": 1}, \"DeviceId\": \"d\"}}",
		"{\"certificateOwnershipToken\": \"t\", \"parameters\": {\"VIN\": \"a\", \"VIN\": \"" VIN_TEXT
		"\", \"DeviceId\": \"d\"}}",
		"{\"certificateOwnershipToken\": \"t\", \"VIN\": \"" VIN_TEXT "\", \"DeviceId\": \"tcu\"}",
		"{\"" VIN_TEXT "\": ",
	};
	char detail[CLAIM_DETAIL_SIZE];

	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(read_provision(bad[i], detail), PROBLEM_MALFORMED);
		assert_string_not_equal(detail, "");
		assert_null(strstr(detail, VIN_TEXT));
	}
}

static void test_a_request_for_a_vehicle(void **state)
{
	(void)state;
	JSON_CLEANUP json_t *json = NULL;
	char detail[CLAIM_DETAIL_SIZE];
	struct claimed_provisioning input;

	assert_int_equal(claim_read_provision(
				 span_of_text("{\"templateName\": \"vinveil\", \"certificateOwnershipToken\": \"t\","
					      "\"parameters\": {\"VIN\": \"" VIN_TEXT "\", \"DeviceId\": \"tcu-1\","
					      "\"Colour\": \"blue\"}}"),
				 &json, &input, detail),
			 PROBLEM_NONE);
	assert_true(span_is_text(input.token, "t"));
	assert_true(span_is_text(input.vin, VIN_TEXT));
	assert_true(span_is_text(input.device_id, "tcu-1"));
}

static json_t *reread(const struct buf *payload)
{
	json_t *json = NULL;

	assert_int_equal(json_read(buf_span(payload), &json, NULL), RESULT_OK);
	return json;
}

/* Every problem has its answer, in the three members that AWS's clients read. */
static void test_rejections(void **state)
{
	(void)state;
	for (int i = PROBLEM_NONE + 1; i < PROBLEM_COUNT; i++) {
		BUF_CLEANUP struct buf payload = {0};
		assert_int_equal(claim_write_rejected((enum problem)i, "", &payload), RESULT_OK);
		JSON_CLEANUP json_t *json = reread(&payload);
		json_int_t status = json_integer_value(json_object_get(json, "statusCode"));
		assert_in_range(status, 400, 599);
		assert_true(json_string_length(json_object_get(json, "errorCode")) > 0);
		assert_string_equal(json_string_value(json_object_get(json, "errorMessage")),
				    problem_name((enum problem)i));
		assert_int_equal(json_object_size(json), 3);
	}
}

static void test_what_rejections_say(void **state)
{
	(void)state;
	static const struct {
		enum problem problem;
		const char *detail, *payload;
	} cases[] = {
		{PROBLEM_MALFORMED, "The member VIN is missing.",
		 "{\"statusCode\":400,\"errorCode\":\"InvalidPayload\","
		 "\"errorMessage\":\"malformed: The member VIN is missing.\"}"},
		{PROBLEM_OWNERSHIP_INVALID, "",
		 "{\"statusCode\":400,\"errorCode\":\"InvalidCertificateOwnershipToken\","
		 "\"errorMessage\":\"ownership-invalid\"}"},
		{PROBLEM_CLAIM_REFUSED, "",
		 "{\"statusCode\":403,\"errorCode\":\"AccessDenied\",\"errorMessage\":\"claim-refused\"}"},
		{PROBLEM_NOT_FOUND, "",
		 "{\"statusCode\":404,\"errorCode\":\"ResourceNotFound\",\"errorMessage\":\"not-found\"}"},
		{PROBLEM_DEVICE_IN_USE, "",
		 "{\"statusCode\":409,\"errorCode\":\"ResourceConflict\",\"errorMessage\":\"device-in-use\"}"},
		{PROBLEM_VIN_INVALID, VIN_TEXT,
		 "{\"statusCode\":400,\"errorCode\":\"InvalidParameters\","
		 "\"errorMessage\":\"vin-invalid: [withheld]\"}"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		BUF_CLEANUP struct buf payload = {0};
		assert_int_equal(claim_write_rejected(cases[i].problem, cases[i].detail, &payload), RESULT_OK);
		assert_int_equal(payload.size, strlen(cases[i].payload));
		assert_memory_equal(payload.data, cases[i].payload, payload.size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_requests_for_a_certificate), cmocka_unit_test(test_a_csr_too_long),
		cmocka_unit_test(test_a_request_for_a_certificate),   cmocka_unit_test(test_no_requests_for_a_vehicle),
		cmocka_unit_test(test_a_request_for_a_vehicle),	      cmocka_unit_test(test_rejections),
		cmocka_unit_test(test_what_rejections_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
