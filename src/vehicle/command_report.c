#include "vehicle/command_report.h"

#include "base/json.h"
#include "vehicle/attributes.h"

static enum problem refuse(const char **ret_detail, enum problem problem, const char *detail)
{
	*ret_detail = detail;
	return problem;
}

/* AWS IoT's pattern, [A-Z0-9_-]+. */
static bool is_reason_code(struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		uint8_t byte = text.data[i];

		if (!((byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '_' || byte == '-'))
			return false;
	}
	return text.size > 0;
}

/* Of ASCII and, in UTF-8, U+0080 to U+009F: a terminal may obey either. */
static bool holds_control_character(struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		bool is_c1 = i > 0 && text.data[i - 1] == 0xc2 && text.data[i] < 0xa0;

		if (text.data[i] < 0x20 || text.data[i] == 0x7f || is_c1)
			return true;
	}
	return false;
}

static enum problem read_reason(const json_t *reason, struct command_report *report, const char **ret_detail)
{
	static const char *const members[] = {"reasonCode", "reasonDescription"};
	struct span code, text = {0};

	if (reason == NULL)
		return PROBLEM_NONE;
	if (!json_is_object(reason) || json_check_members(reason, members, 2, NULL) != RESULT_OK)
		return refuse(ret_detail, PROBLEM_VALUE_INVALID,
			      "statusReason must be an object of reasonCode and reasonDescription.");
	if (json_get_text(reason, "reasonCode", sizeof(report->reason_code) - 1, &code) != RESULT_OK ||
	    !is_reason_code(code))
		return refuse(ret_detail, PROBLEM_VALUE_INVALID,
			      "reasonCode must be 1 to 64 of A-Z, 0-9, '_' and '-'.");
	enum result result = json_get_text(reason, "reasonDescription", sizeof(report->reason_text) - 1, &text);
	if ((result != RESULT_OK && result != RESULT_ABSENT) || holds_control_character(text))
		return refuse(ret_detail, PROBLEM_VALUE_INVALID,
			      "reasonDescription must be text of at most 1024 bytes without control characters.");
	memcpy(report->reason_code, code.data, code.size);
	if (text.size > 0)
		memcpy(report->reason_text, text.data, text.size);
	return PROBLEM_NONE;
}

static enum problem read_result(const json_t *value, struct arena *arena, struct command_report *report,
				const char **ret_detail)
{
	if (value == NULL)
		return PROBLEM_NONE;
	if (!json_is_object(value))
		return refuse(ret_detail, PROBLEM_VALUE_INVALID, "result must be an object.");
	enum result result = json_copy_text(arena, value, COMMAND_RESULT_SIZE_MAX, &report->result);
	if (result == RESULT_EXHAUSTED)
		return refuse(ret_detail, PROBLEM_VALUE_INVALID, "result must fit into 8192 bytes of compact JSON.");
	return result == RESULT_OK ? PROBLEM_NONE : PROBLEM_UNAVAILABLE;
}

static enum problem read_members(const json_t *json, struct arena *arena, struct command_report *report,
				 const char **ret_detail)
{
	/* The last three repeat the topic, which decides: AWS IoT's clients put them in. */
	static const char *const members[] = {"status",	     "statusReason", "result",
					      "executionId", "deviceType",   "deviceId"};
	struct span status;

	if (!json_is_object(json) ||
	    json_check_members(json, members, sizeof(members) / sizeof(members[0]), NULL) != RESULT_OK)
		return refuse(ret_detail, PROBLEM_VALUE_INVALID,
			      "The report must be an object of status, statusReason and result.");
	if (json_holds_vin(json))
		return refuse(ret_detail, PROBLEM_VIN_NOT_ALLOWED, "The report must not hold a VIN or its hash.");
	if (json_get_text(json, "status", 32, &status) != RESULT_OK ||
	    command_status_parse(status, &report->status) != RESULT_OK || report->status == COMMAND_CREATED)
		return refuse(ret_detail, PROBLEM_VALUE_INVALID,
			      "status must be IN_PROGRESS, SUCCEEDED, FAILED, REJECTED or TIMED_OUT.");
	enum problem problem = read_reason(json_object_get(json, "statusReason"), report, ret_detail);
	if (problem != PROBLEM_NONE)
		return problem;
	return read_result(json_object_get(json, "result"), arena, report, ret_detail);
}

enum problem command_report_read(struct span payload, struct arena *arena, struct command_report *ret_report,
				 const char **ret_detail)
{
	JSON_CLEANUP json_t *json = NULL;
	struct command_report report = {0};
	enum result result = json_read(payload, &json, NULL);

	if (result == RESULT_INVALID)
		return refuse(ret_detail, PROBLEM_MALFORMED, "The report is not JSON as accepted here.");
	if (result != RESULT_OK)
		return PROBLEM_UNAVAILABLE;
	enum problem problem = read_members(json, arena, &report, ret_detail);
	if (problem == PROBLEM_NONE)
		*ret_report = report;
	return problem;
}
