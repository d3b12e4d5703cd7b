/*
 * /v1/claims: what batches of new telematics units provision with; of the caller's own tenant.
 */
#include "vehicle/claims.h"
#include "api/body.h"
#include "api/records.h"

#include <stdio.h>

#define COUNT(array)	     (sizeof(array) / sizeof((array)[0]))
#define CERTIFICATE_TEXT_MAX ((size_t)32 * 1024)

static enum problem answer_claim(struct call *call, int status, const struct claim *claim)
{
	struct json_writer writer;
	answer_json(call, status, &writer);
	write_claim(&writer, claim, clock_now_ms(call->flow.platform->clock));
	return answer_end(&writer);
}

/* The name of the path; one that cannot exist is one that does not. */
static enum problem read_claim_name(struct call *call, char ret_name[static CLAIM_NAME_LENGTH_MAX + 1])
{
	if (vin_stands_in(call->parameters[0]) || claim_name_parse(call->parameters[0], ret_name) != RESULT_OK)
		return PROBLEM_NOT_FOUND;
	call->event.subject = arena_copy_text(&call->exchange->arena, span_of_text(ret_name));
	return PROBLEM_NONE;
}

static enum problem read_registration(struct call *call, struct claim_registration *ret_registration)
{
	static const char *const members[] = {"name", "certificate", "count"};
	enum problem problem = body_read(call, members, COUNT(members));

	if (problem == PROBLEM_NONE)
		problem = body_text(call, "name", BODY_REQUIRED, CLAIM_NAME_LENGTH_MAX, &ret_registration->name);
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "certificate", BODY_REQUIRED, CERTIFICATE_TEXT_MAX,
				    &ret_registration->certificate_pem);
	if (problem == PROBLEM_NONE)
		problem = body_number(call, "count", 1, CLAIM_COUNT_MAX, &ret_registration->count_max);
	if (problem == PROBLEM_NONE && ret_registration->count_max == 0)
		return call_explain(call, PROBLEM_MALFORMED, "The member count is missing.");
	return problem;
}

enum problem claim_create(struct call *call)
{
	struct claim_registration registration = {0};
	struct claim claim;
	enum problem problem = read_registration(call, &registration);

	if (problem == PROBLEM_NONE)
		problem = claims_register(&call->flow, &registration, &claim);
	if (problem == PROBLEM_NONE)
		problem = answer_claim(call, 201, &claim);
	if (problem == PROBLEM_NONE) {
		char location[CLAIM_NAME_LENGTH_MAX + 16];
		snprintf(location, sizeof location, "/v1/claims/%s", claim.name);
		answer_header(call, "Location", location);
	}
	return problem;
}

enum problem claim_list(struct call *call)
{
	struct claim *claims;
	struct json_writer writer;
	size_t count;
	enum problem problem = query_check(call, NULL, 0);

	if (problem == PROBLEM_NONE)
		problem = claims_list(&call->flow, &claims, &count);
	if (problem != PROBLEM_NONE)
		return problem;
	answer_json(call, 200, &writer);
	call->exchange->response.body.size_max = (count + 1) * 1024;
	json_object_begin(&writer);
	json_key(&writer, "claims");
	json_array_begin(&writer);
	for (size_t i = 0; i < count; i++)
		write_claim(&writer, &claims[i], clock_now_ms(call->flow.platform->clock));
	json_array_end(&writer);
	json_object_end(&writer);
	return answer_end(&writer);
}

enum problem claim_read(struct call *call)
{
	char name[CLAIM_NAME_LENGTH_MAX + 1];
	struct claim claim;
	enum problem problem = query_check(call, NULL, 0);

	if (problem == PROBLEM_NONE)
		problem = read_claim_name(call, name);
	if (problem == PROBLEM_NONE)
		problem = claims_get(&call->flow, name, &claim);
	return problem == PROBLEM_NONE ? answer_claim(call, 200, &claim) : problem;
}

enum problem claim_revoke(struct call *call)
{
	char name[CLAIM_NAME_LENGTH_MAX + 1];
	struct claim claim;
	enum problem problem = read_claim_name(call, name);

	if (problem == PROBLEM_NONE)
		problem = claims_revoke(&call->flow, name, &claim);
	if (problem != PROBLEM_NONE)
		return problem;
	call_mark_revoked(call);
	return answer_claim(call, 200, &claim);
}
