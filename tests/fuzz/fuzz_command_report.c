/* What vehicles say became of a command. What is taken can be stored and shown; what is not is told why. */
#include "vehicle/command_report.h"

#include "base/json.h"
#include "base/text.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct command_report report = {0};
	const char *detail = "";
	enum problem problem = command_report_read(span_of(data, size), &arena, &report, &detail);

	if (problem != PROBLEM_NONE) {
		FUZZ_CHECK(problem == PROBLEM_MALFORMED || problem == PROBLEM_VALUE_INVALID ||
			   problem == PROBLEM_VIN_NOT_ALLOWED);
		FUZZ_CHECK(detail[0] != '\0');
		return 0;
	}
	FUZZ_CHECK(report.status > COMMAND_CREATED && report.status <= COMMAND_TIMED_OUT);
	FUZZ_CHECK(text_is_printable(span_of_text(report.reason_code), false));
	FUZZ_CHECK(utf8_is_valid(span_of_text(report.reason_text)));
	if (report.result != NULL) {
		JSON_CLEANUP json_t *json = NULL;

		FUZZ_CHECK(strlen(report.result) <= COMMAND_RESULT_SIZE_MAX);
		FUZZ_CHECK(json_read(span_of_text(report.result), &json, NULL) == RESULT_OK && json_is_object(json));
	}
	return 0;
}
