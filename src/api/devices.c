/*
 * POST /v1/devices: the manufacturer's manifest. The chunks have been fed by dispatch.c as they came; this is the end.
 */
#include "api/call.h"

static enum problem answer_report(struct call *call)
{
	struct manifest_report report;
	struct json_writer writer;

	manifest_load_report(call->load, &report);
	answer_json(call, 200, &writer);
	json_object_begin(&writer);
	json_member_number(&writer, "accepted", (int64_t)report.accepted);
	json_member_number(&writer, "duplicates", (int64_t)report.duplicates);
	json_member_number(&writer, "rejectedCount", (int64_t)report.rejected_count);
	json_key(&writer, "rejected");
	json_array_begin(&writer);
	for (size_t i = 0; i < report.rejected_listed; i++) {
		json_object_begin(&writer);
		json_member_number(&writer, "line", (int64_t)report.rejected[i].line);
		json_member_text(&writer, "problem", problem_name(report.rejected[i].problem));
		json_object_end(&writer);
	}
	json_array_end(&writer);
	json_object_end(&writer);
	return answer_end(&writer);
}

enum problem manifest_answer(struct call *call)
{
	if (call->load_problem != PROBLEM_NONE)
		return call->load_problem;
	/* An empty manifest is one, too. */
	if (call->load == NULL) {
		enum result result = manifest_load_open(&call->flow, &call->load);
		if (result != RESULT_OK)
			return problem_of_result(result);
	}
	/* Cut off in the middle: lines that came whole stand, though nobody may be there to read the answer. */
	enum problem problem = PROBLEM_NONE;
	if (!call->exchange->body_complete)
		problem = manifest_load_feed(call->load, buf_span(&call->exchange->body));
	if (problem == PROBLEM_NONE)
		problem = manifest_load_finish(call->load, call->exchange->body_complete);
	return problem == PROBLEM_NONE ? answer_report(call) : problem;
}
