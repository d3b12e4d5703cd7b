#include "programs/vinveil/import_line.h"

#include "../cmocka_all.h"

#include <stdio.h>

#define VIN	    "1M8GDM9AXKP042788"
#define OTHER_VIN   "5YJSA1H12FFP71790"
#define WRONG_DIGIT "1M8GDM9A1KP042788"

struct fixture {
	struct buf field;
	struct csv_reader reader;
	struct csv_record record;
	struct import_columns columns;
	struct arena arena;
	struct vin vin;
	struct vehicle vehicle;
	const char *reason;
};

static void begin(struct fixture *fixture, const char *text)
{
	*fixture = (struct fixture){.field.size_max = CSV_RECORD_SIZE_MAX};
	fixture->reader = (struct csv_reader){.bytes = span_of_text(text), .line = 1, .field = &fixture->field};
	assert_int_equal(csv_next(&fixture->reader, &fixture->record, NULL), RESULT_OK);
}

static void end(struct fixture *fixture)
{
	buf_release(&fixture->field);
	arena_release(&fixture->arena);
}

static enum result judge(struct fixture *fixture, enum check_digit_policy policy)
{
	assert_int_equal(csv_next(&fixture->reader, &fixture->record, NULL), RESULT_OK);
	fixture->reason = NULL;
	return import_line_judge(&fixture->record, &fixture->columns, policy, &fixture->arena, &fixture->vin,
				 &fixture->vehicle, &fixture->reason);
}

static enum result read_header(const char *text)
{
	struct fixture fixture;
	struct note note = {0};
	begin(&fixture, text);
	enum result result = import_columns_read(&fixture.record, &fixture.columns, &note);
	assert_true(result == RESULT_OK || note.text[0] != '\0');
	assert_null(strstr(note.text, VIN));
	end(&fixture);
	return result;
}

static void headers(void **state)
{
	(void)state;
	assert_int_equal(read_header("vin,deviceId\n"), RESULT_OK);
	assert_int_equal(read_header("vin,deviceId,model,\"sold by\"\n"), RESULT_OK);
	static const char *const wrong[] = {"vin\n",
					    "VIN,deviceId\n",
					    "deviceId,vin\n",
					    VIN ",dev-1\n",
					    "vin,deviceId,\n",
					    "vin,deviceId,vin\n",
					    "vin,deviceId,a,a\n",
					    "vin,deviceId," VIN "\n",
					    "vin,deviceId,\xff\n"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(read_header(wrong[i]), RESULT_INVALID);
}

static void good_lines(void **state)
{
	(void)state;
	struct fixture fixture;
	begin(&fixture, "vin,deviceId,model,note\n"
			" 1m8gdm9axkp042788 ,dev-1,Roadster,\"said \"\"yes\"\"\"\n" OTHER_VIN ",,,\n");
	assert_int_equal(import_columns_read(&fixture.record, &fixture.columns, NULL), RESULT_OK);
	assert_int_equal(judge(&fixture, CHECK_DIGIT_ENFORCE), RESULT_OK);
	assert_string_equal(fixture.vin.text, VIN);
	assert_string_equal(fixture.vehicle.device_id, "dev-1");
	assert_string_equal(fixture.vehicle.attributes, "{\"model\":\"Roadster\",\"note\":\"said \\\"yes\\\"\"}");
	assert_int_equal(judge(&fixture, CHECK_DIGIT_ENFORCE), RESULT_OK);
	assert_string_equal(fixture.vehicle.device_id, "");
	assert_null(fixture.vehicle.attributes);
	end(&fixture);
}

static void bad_lines(void **state)
{
	(void)state;
	static const struct {
		const char *line, *reason;
	} cases[] = {
		{"1M8GDM9AXKP04278,d,\n", "vin-invalid"},
		{",d,\n", "vin-invalid"},
		{WRONG_DIGIT ",d,\n", "check-digit"},
		{VIN ",a b,\n", "value-invalid: deviceId"},
		{VIN ",1m8gdm9axkp042788,\n", "vin-not-allowed"},
		{VIN ",d,see " OTHER_VIN "\n", "vin-not-allowed"},
		{VIN ",d,\xff\n", "value-invalid: an attribute is not UTF-8"},
		{VIN ",d\n", "malformed: not as many fields as the header"},
		{VIN ",d,,\n", "malformed: not as many fields as the header"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		struct fixture fixture;
		snprintf(text, sizeof(text), "vin,deviceId,model\n%s", cases[i].line);
		begin(&fixture, text);
		assert_int_equal(import_columns_read(&fixture.record, &fixture.columns, NULL), RESULT_OK);
		assert_int_equal(judge(&fixture, CHECK_DIGIT_ENFORCE), RESULT_INVALID);
		assert_non_null(fixture.reason);
		assert_string_equal(fixture.reason, cases[i].reason);
		end(&fixture);
	}
}

static void the_check_digit_is_policy(void **state)
{
	(void)state;
	struct fixture fixture;
	begin(&fixture, "vin,deviceId\n" WRONG_DIGIT ",d\n" WRONG_DIGIT ",d\n");
	assert_int_equal(import_columns_read(&fixture.record, &fixture.columns, NULL), RESULT_OK);
	assert_int_equal(judge(&fixture, CHECK_DIGIT_WARN), RESULT_OK);
	assert_int_equal(judge(&fixture, CHECK_DIGIT_OFF), RESULT_OK);
	end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(good_lines),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(the_check_digit_is_policy),
	};
	struct note note = {0};
	if (crypto_init(&note) != RESULT_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
