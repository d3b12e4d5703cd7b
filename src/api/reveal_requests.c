/*
 * /v1/reveal-requests: the break-glass path, two persons.
 */
#include "api/body.h"
#include "api/records.h"
#include "base/secret.h"
#include "vehicle/reveal.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum problem answer_reveal(struct call *call, int status, const struct reveal_request *reveal)
{
	struct json_writer writer;
	answer_json(call, status, &writer);
	write_reveal_request(&writer, reveal, clock_now_ms(call->api->platform->clock));
	return answer_end(&writer);
}

static enum problem read_input(struct call *call, struct reveal_input *ret_input)
{
	static const char *const members[] = {"referenceId", "purpose", "reason", "ticket"};
	struct span reference_id;
	enum problem problem = body_read(call, members, COUNT(members));

	if (problem == PROBLEM_NONE)
		problem = body_text(call, "referenceId", BODY_REQUIRED, 64, &reference_id);
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "purpose", BODY_REQUIRED, PURPOSE_LENGTH_MAX, &ret_input->purpose);
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "reason", BODY_REQUIRED, 1024, &ret_input->reason);
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "ticket", BODY_OPTIONAL, 128, &ret_input->ticket);
	if (problem == PROBLEM_NONE && uuid_parse(reference_id, &ret_input->reference_id) != RESULT_OK)
		return call_explain(call, PROBLEM_VALUE_INVALID, "The member referenceId must be a UUID.");
	return problem;
}

enum problem reveal_request_create(struct call *call)
{
	struct reveal_input input = {0};
	struct reveal_request reveal;
	char location[64], id[UUID_TEXT_SIZE];
	enum problem problem = read_input(call, &input);

	if (problem == PROBLEM_NONE)
		problem = reveal_ask(&call->flow, &input, &reveal);
	if (problem == PROBLEM_NONE)
		problem = answer_reveal(call, 201, &reveal);
	if (problem != PROBLEM_NONE)
		return problem;
	uuid_format(&reveal.id, id);
	snprintf(location, sizeof location, "/v1/reveal-requests/%s", id);
	answer_header(call, "Location", location);
	return PROBLEM_NONE;
}

static enum problem read_id(struct call *call, struct uuid *ret_id)
{
	if (uuid_parse(call->parameters[0], ret_id) != RESULT_OK)
		return PROBLEM_NOT_FOUND;
	call->event.has_reveal_request_id = true;
	call->event.reveal_request_id = *ret_id;
	return PROBLEM_NONE;
}

enum problem reveal_request_read(struct call *call)
{
	struct reveal_request reveal;
	struct uuid id;
	enum problem problem = query_check(call, NULL, 0);

	if (problem == PROBLEM_NONE)
		problem = read_id(call, &id);
	if (problem == PROBLEM_NONE)
		problem = reveal_get(&call->flow, &id, &reveal);
	return problem == PROBLEM_NONE ? answer_reveal(call, 200, &reveal) : problem;
}

enum problem reveal_request_approve(struct call *call)
{
	struct reveal_request reveal;
	struct uuid id;
	enum problem problem = read_id(call, &id);

	if (problem == PROBLEM_NONE)
		problem = reveal_approve(&call->flow, &id, &reveal);
	return problem == PROBLEM_NONE ? answer_reveal(call, 200, &reveal) : problem;
}

static enum problem answer_vin(struct call *call, const struct vin *vin)
{
	struct json_writer writer;
	answer_json(call, 200, &writer);
	json_object_begin(&writer);
	json_member_text(&writer, "vin", vin->text);
	json_object_end(&writer);
	return answer_end(&writer);
}

enum problem reveal_request_open(struct call *call)
{
	struct vin vin = {0};
	struct uuid id;
	enum problem problem = read_id(call, &id);

	if (problem == PROBLEM_NONE)
		problem = reveal_open(&call->flow, &id, &vin);
	if (problem == PROBLEM_NONE)
		problem = answer_vin(call, &vin);
	secret_wipe(&vin, sizeof vin);
	return problem;
}
