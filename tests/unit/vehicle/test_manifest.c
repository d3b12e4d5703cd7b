#include "support.h"

#include "vehicle/manifest.h"

#include <stdio.h>

#define KEY_1 "5beaef6c3688a5ad856426a7161f577aec0fb06dd3fb2d17bc2cd973ff2aaf88"
#define KEY_2 "3c59de0638386c2d66deb27ce496073c13bc94d5945f59f43ef2de832c2dc151"

struct loading {
	struct session session;
	struct manifest_load *load;
	struct manifest_report report;
};

static void loading_open(struct loading *loading, struct fixture *fixture)
{
	session_open(&loading->session, fixture, &fixture->admin);
	assert_ok(manifest_load_open(&loading->session.request, &loading->load));
}

static void loading_close(struct loading *loading)
{
	manifest_load_close(loading->load);
	session_close(&loading->session);
}
#define LOADING_CLEANUP __attribute__((cleanup(loading_close)))

/* Fed in pieces of `step` bytes. */
static void load_all(struct loading *loading, const char *text, size_t step, bool is_whole)
{
	size_t size = strlen(text);

	for (size_t at = 0; at < size; at += step) {
		size_t count = size - at < step ? size - at : step;
		assert_problem(manifest_load_feed(loading->load, span_of(text + at, count)), PROBLEM_NONE);
	}
	assert_problem(manifest_load_finish(loading->load, is_whole), PROBLEM_NONE);
	manifest_load_report(loading->load, &loading->report);
}

static bool is_known(struct fixture *fixture, const char *device_id, struct device_manifest_entry *ret_entry)
{
	struct registry *registry = fixture->platform.registry;
	enum result result = registry->ops->get_device(registry, &fixture->tenant.id, device_id, ret_entry, NULL);

	assert_true(result == RESULT_OK || result == RESULT_ABSENT);
	return result == RESULT_OK;
}

static void test_lines(void **state)
{
	static const struct {
		const char *line;
		enum problem problem;
	} cases[] = {
		{"", PROBLEM_MALFORMED},
		{"{", PROBLEM_MALFORMED},
		{"[]", PROBLEM_MALFORMED},
		{"\"tcu-1\"", PROBLEM_MALFORMED},
		{"{\"deviceId\":\"a\"}{}", PROBLEM_MALFORMED},
		{"{\"deviceId\":\"a\",\"deviceId\":\"b\"}", PROBLEM_MALFORMED},
		{"{\"deviceId\":\"a\",\"colour\":\"blue\"}", PROBLEM_MALFORMED},
		{"{}", PROBLEM_VALUE_INVALID},
		{"{\"deviceId\":7}", PROBLEM_VALUE_INVALID},
		{"{\"deviceId\":\"\"}", PROBLEM_VALUE_INVALID},
		{"{\"deviceId\":\"two words\"}", PROBLEM_VALUE_INVALID},
		{"{\"deviceId\":\"a\",\"model\":7}", PROBLEM_VALUE_INVALID},
		{"{\"deviceId\":\"a\",\"publicKeySha256\":\"00\"}", PROBLEM_VALUE_INVALID},
		{"{\"deviceId\":\"a\",\"publicKeySha256\":\"x" KEY_1 "\"}", PROBLEM_VALUE_INVALID},
		{"{\"deviceId\":\"a\",\"model\":\"" VIN_A "\"}", PROBLEM_VIN_NOT_ALLOWED},
		{"{\"deviceId\":\"a\",\"manufacturer\":\"" VIN_A "\"}", PROBLEM_VIN_NOT_ALLOWED},
		{"{\"deviceId\":\"a\"}", PROBLEM_NONE},
		{" {\"deviceId\":\"a\",\"model\":\"\xc3\x84\",\"manufacturer\":\"b\"} ", PROBLEM_NONE},
		{"{\"deviceId\":\"a\",\"publicKeySha256\":\"" KEY_1 "\"}", PROBLEM_NONE},
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct device_manifest_entry entry = {0};
		assert_problem(manifest_parse_line(span_of_text(cases[i].line), &fixture->tenant.id, &entry),
			       cases[i].problem);
		assert_string_equal(entry.device_id, cases[i].problem == PROBLEM_NONE ? "a" : "");
	}
}

static void test_good_lines_stand_and_bad_ones_are_named(void **state)
{
	static const char text[] = "{\"deviceId\":\"tcu-1\",\"publicKeySha256\":\"" KEY_1 "\"}\n"
				   "nonsense\r\n"
				   "\n"
				   "{\"deviceId\":\"tcu-2\"}\r\n"
				   "{\"deviceId\":\"tcu-1\",\"publicKeySha256\":\"" KEY_2 "\"}\n"
				   "{\"deviceId\":\"tcu-1\",\"publicKeySha256\":\"" KEY_1 "\"}\n"
				   "{\"deviceId\":\"tcu-3\"}";
	struct fixture *fixture = *state;
	struct device_manifest_entry entry;
	static const size_t steps[] = {sizeof(text), 1, 7};

	for (size_t i = 0; i < 3; i++) {
		LOADING_CLEANUP struct loading loading = {0};
		loading_open(&loading, fixture);
		load_all(&loading, text, steps[i], true);
		assert_int_equal(loading.report.accepted, i == 0 ? 3 : 0);
		assert_int_equal(loading.report.duplicates, i == 0 ? 1 : 4);
		assert_int_equal(loading.report.rejected_count, 2);
		assert_int_equal(loading.report.rejected[0].line, 2);
		assert_problem(loading.report.rejected[0].problem, PROBLEM_MALFORMED);
		assert_int_equal(loading.report.rejected[1].line, 5);
		assert_problem(loading.report.rejected[1].problem, PROBLEM_KEY_MISMATCH);
		assert_int_equal(loading.session.event.count, 4);
		assert_false(loading.session.event.is_recorded);
	}
	assert_true(is_known(fixture, "tcu-1", &entry));
	assert_int_equal(entry.public_key_sha256[0], 0x5b); /* never overwritten */
	assert_true(is_known(fixture, "tcu-3", &entry));
}

static void test_cut_off_in_the_middle(void **state)
{
	struct fixture *fixture = *state;
	struct device_manifest_entry entry;
	LOADING_CLEANUP struct loading loading = {0};

	loading_open(&loading, fixture);
	load_all(&loading, "{\"deviceId\":\"tcu-1\"}\n{\"deviceId\":\"tcu-2\"}", 5, false);
	assert_int_equal(loading.report.accepted, 1);
	assert_int_equal(loading.report.rejected_count, 0);
	assert_true(is_known(fixture, "tcu-1", &entry));
	assert_false(is_known(fixture, "tcu-2", &entry));
}

static void test_lines_that_are_too_long(void **state)
{
	struct fixture *fixture = *state;
	LOADING_CLEANUP struct loading loading = {0};
	char filler[1000];

	memset(filler, ' ', sizeof(filler));
	loading_open(&loading, fixture);
	for (int i = 0; i < 10000; i++)
		assert_problem(manifest_load_feed(loading.load, span_of(filler, sizeof(filler))), PROBLEM_NONE);
	load_all(&loading, "\n{\"deviceId\":\"tcu-1\"}\n", 100, true);
	assert_int_equal(loading.report.accepted, 1);
	assert_int_equal(loading.report.rejected_count, 1);
	assert_int_equal(loading.report.rejected[0].line, 1);
}

static void test_the_longest_line(void **state)
{
	struct fixture *fixture = *state;
	LOADING_CLEANUP struct loading loading = {0};
	char line[MANIFEST_LINE_SIZE_MAX + 3];
	static const char device[] = "{\"deviceId\":\"tcu-1\"}";

	memset(line, ' ', sizeof(line));
	memcpy(line, device, sizeof(device) - 1);
	line[MANIFEST_LINE_SIZE_MAX] = '\n';
	line[MANIFEST_LINE_SIZE_MAX + 1] = '\0';
	loading_open(&loading, fixture);
	load_all(&loading, line, 1000, true);
	assert_int_equal(loading.report.accepted, 1);

	LOADING_CLEANUP struct loading longer = {0};
	line[MANIFEST_LINE_SIZE_MAX] = ' ';
	line[MANIFEST_LINE_SIZE_MAX + 1] = '\n';
	line[MANIFEST_LINE_SIZE_MAX + 2] = '\0';
	loading_open(&longer, fixture);
	load_all(&longer, line, 1000, true);
	assert_int_equal(longer.report.rejected_count, 1);
}

static void test_chunks_and_their_leaves(void **state)
{
	struct fixture *fixture = *state;
	LOADING_CLEANUP struct loading loading = {0};
	char line[64];

	loading_open(&loading, fixture);
	for (int i = 0; i < 2 * MANIFEST_CHUNK_LINES + 1; i++) {
		snprintf(line, sizeof(line), "{\"deviceId\":\"tcu-%06d\"}\n", i);
		assert_problem(manifest_load_feed(loading.load, span_of_text(line)), PROBLEM_NONE);
	}
	assert_int_equal(fixture->audit.count, 2);
	load_all(&loading, "", 1, true);
	assert_int_equal(fixture->audit.count, 3);
	assert_int_equal(loading.report.accepted, 2 * MANIFEST_CHUNK_LINES + 1);
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"count\":1"));
}

static void test_the_first_thousand_rejected_are_named(void **state)
{
	struct fixture *fixture = *state;
	LOADING_CLEANUP struct loading loading = {0};

	loading_open(&loading, fixture);
	for (int i = 0; i < MANIFEST_REJECTED_MAX + 500; i++)
		assert_problem(manifest_load_feed(loading.load, span_of_text("x\n")), PROBLEM_NONE);
	load_all(&loading, "", 1, true);
	assert_int_equal(loading.report.rejected_count, MANIFEST_REJECTED_MAX + 500);
	assert_int_equal(loading.report.rejected_listed, MANIFEST_REJECTED_MAX);
	assert_int_equal(loading.report.rejected[999].line, 1000);
	assert_int_equal(fixture->audit.count, 0); /* nothing was changed */
}

static void test_log_away(void **state)
{
	struct fixture *fixture = *state;
	LOADING_CLEANUP struct loading loading = {0};

	fixture->audit.append_result = RESULT_UNAVAILABLE;
	loading_open(&loading, fixture);
	assert_problem(manifest_load_feed(loading.load, span_of_text("{\"deviceId\":\"tcu-1\"}\n")), PROBLEM_NONE);
	assert_problem(manifest_load_finish(loading.load, true), PROBLEM_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_lines),
		TEST(test_good_lines_stand_and_bad_ones_are_named),
		TEST(test_cut_off_in_the_middle),
		TEST(test_lines_that_are_too_long),
		TEST(test_the_longest_line),
		TEST(test_chunks_and_their_leaves),
		TEST(test_the_first_thousand_rejected_are_named),
		TEST(test_log_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
