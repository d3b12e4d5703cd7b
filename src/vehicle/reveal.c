#include "vehicle/reveal.h"

#include <stdio.h>

static int64_t now(const struct flow_request *request)
{
	return clock_now_ms(request->platform->clock);
}

const char *reveal_status_name(const struct reveal_request *reveal, int64_t now_ms)
{
	if (reveal->status == REVEAL_OPENED)
		return "opened";
	if (now_ms >= reveal->expires_at_ms)
		return "expired";
	return reveal->status == REVEAL_APPROVED ? "approved" : "pending";
}

/* ---- what is asked ---------------------------------------------------------------------------------- */

static enum problem refuse_value(struct flow_request *request, const char *name, size_t length_max)
{
	snprintf(request->detail, sizeof(request->detail), "%s must be text of at most %zu bytes.", name, length_max);
	return PROBLEM_VALUE_INVALID;
}

static bool holds_nul(struct span text)
{
	return text.size > 0 && memchr(text.data, '\0', text.size) != NULL;
}

/* A text that we are to keep. ret_text has room for length_max and a NUL. */
static enum problem keep_text(struct flow_request *request, const char *name, struct span text, size_t length_max,
			      char *ret_text)
{
	if (text.size > length_max || holds_nul(text))
		return refuse_value(request, name, length_max);
	if (vin_stands_in(text)) {
		snprintf(request->detail, sizeof(request->detail), "%s must not hold a VIN or its hash.", name);
		return PROBLEM_VIN_NOT_ALLOWED;
	}
	memset(ret_text, 0, length_max + 1);
	if (text.size > 0)
		memcpy(ret_text, text.data, text.size);
	return PROBLEM_NONE;
}

static enum problem read_input(struct flow_request *request, const struct reveal_input *input,
			       struct reveal_request *reveal)
{
	if (purpose_parse(input->purpose, reveal->purpose) != RESULT_OK ||
	    !client_has_purpose(request->client, reveal->purpose))
		return PROBLEM_PURPOSE_NOT_ALLOWED;
	if (input->reason.size == 0) {
		snprintf(request->detail, sizeof(request->detail), "reason must say why.");
		return PROBLEM_VALUE_INVALID;
	}
	enum problem problem = keep_text(request, "reason", input->reason, sizeof(reveal->reason) - 1, reveal->reason);
	if (problem == PROBLEM_NONE)
		problem = keep_text(request, "ticket", input->ticket, sizeof(reveal->ticket) - 1, reveal->ticket);
	return problem;
}

/* What the trail tells of a reveal, at each of its steps. */
static enum result describe(struct flow_request *request, const struct reveal_request *reveal)
{
	struct audit_event *event = request->event;
	struct reveal_request *kept = arena_alloc(request->arena, sizeof(*kept));

	if (kept == NULL)
		return RESULT_MEMORY;
	*kept = *reveal;
	event->has_reference_id = true;
	event->reference_id = kept->reference_id;
	event->purpose = kept->purpose;
	event->reason = kept->reason;
	event->ticket = kept->ticket;
	event->approved_by = kept->approved_by;
	event->has_reveal_request_id = true;
	event->reveal_request_id = kept->id;
	return RESULT_OK;
}

static enum result commit(struct flow_request *request, enum registry_write_kind kind,
			  const struct reveal_request *reveal)
{
	struct registry_write write = {.kind = kind, .reveal = reveal};
	enum registry_conflict conflict;

	TRY(describe(request, reveal));
	return audit_commit(request->platform, request->event, request->arena, &write, 1, &conflict, &request->note);
}

/* ---- the steps -------------------------------------------------------------------------------------- */

enum problem reveal_ask(struct flow_request *request, const struct reveal_input *input,
			struct reveal_request *ret_reveal)
{
	struct vehicle_name name = {.by = VEHICLE_BY_REFERENCE_ID, .reference_id = input->reference_id};
	struct reveal_request reveal = {
		.tenant = request->tenant.id,
		.reference_id = input->reference_id,
		.status = REVEAL_PENDING,
		.created_at_ms = now(request),
		.expires_at_ms = now(request) + REVEAL_PENDING_MS,
	};
	struct vehicle vehicle;
	enum problem problem = read_input(request, input, &reveal);

	if (problem == PROBLEM_NONE)
		problem = vehicle_find(request, &name, NULL, &vehicle);
	if (problem == PROBLEM_NONE)
		problem = problem_of_result(uuid_generate_v4(request->platform->entropy, &reveal.id));
	if (problem != PROBLEM_NONE)
		return problem;
	memcpy(reveal.requested_by, request->client->id, sizeof(reveal.requested_by));
	problem = problem_of_result(commit(request, REGISTRY_INSERT_REVEAL, &reveal));
	if (problem == PROBLEM_NONE)
		*ret_reveal = reveal;
	return problem;
}

enum problem reveal_get(struct flow_request *request, const struct uuid *id, struct reveal_request *ret_reveal)
{
	struct registry *registry = request->platform->registry;
	enum result result = registry->ops->get_reveal(registry, &request->tenant.id, id, ret_reveal, &request->note);

	if (result == RESULT_OK)
		result = describe(request, ret_reveal);
	return problem_of_result(result);
}

static bool is_gone(const struct flow_request *request, const struct reveal_request *reveal)
{
	return reveal->status == REVEAL_OPENED || now(request) >= reveal->expires_at_ms;
}

static enum problem check_approval(const struct flow_request *request, const struct reveal_request *reveal)
{
	if (strcmp(reveal->requested_by, request->client->id) == 0)
		return PROBLEM_SAME_PERSON;
	if (!client_has_purpose(request->client, reveal->purpose))
		return PROBLEM_PURPOSE_NOT_ALLOWED;
	return is_gone(request, reveal) ? PROBLEM_REVEAL_GONE : PROBLEM_NONE;
}

/* *ret_again: another approver was faster, so read what he made of it. */
static enum problem approve_once(struct flow_request *request, const struct uuid *id, struct reveal_request *ret_reveal,
				 bool *ret_again)
{
	struct reveal_request reveal;
	enum problem problem = reveal_get(request, id, &reveal);

	if (problem == PROBLEM_NONE)
		problem = check_approval(request, &reveal);
	if (problem == PROBLEM_NONE && reveal.status == REVEAL_PENDING) {
		reveal.status = REVEAL_APPROVED;
		reveal.expires_at_ms = now(request) + REVEAL_APPROVED_MS;
		memcpy(reveal.approved_by, request->client->id, sizeof(reveal.approved_by));
		enum result result = commit(request, REGISTRY_UPDATE_REVEAL, &reveal);
		*ret_again = result == RESULT_CONFLICT;
		problem = problem_of_result(result);
	}
	if (problem == PROBLEM_NONE)
		*ret_reveal = reveal;
	return problem;
}

enum problem reveal_approve(struct flow_request *request, const struct uuid *id, struct reveal_request *ret_reveal)
{
	bool again = false;
	enum problem problem = approve_once(request, id, ret_reveal, &again);

	return again ? approve_once(request, id, ret_reveal, &again) : problem;
}

/* ---- opening -------------------------------------------------------------------------------------- */

static enum problem check_opening(const struct flow_request *request, const struct reveal_request *reveal)
{
	if (strcmp(reveal->requested_by, request->client->id) != 0)
		return PROBLEM_SAME_PERSON;
	if (!client_has_purpose(request->client, reveal->purpose)) /* withdrawn meanwhile */
		return PROBLEM_PURPOSE_NOT_ALLOWED;
	if (is_gone(request, reveal))
		return PROBLEM_REVEAL_GONE;
	return reveal->status == REVEAL_APPROVED ? PROBLEM_NONE : PROBLEM_REVEAL_NOT_APPROVED;
}

static enum result ask_keyd(struct flow_request *request, const struct reveal_request *reveal,
			    const struct vehicle *vehicle, struct vin *ret_vin)
{
	struct key_service *keys = request->platform->keys;
	struct reveal_authorisation authorisation = {.reveal_request_id = reveal->id};

	memcpy(authorisation.requested_by, reveal->requested_by, sizeof(authorisation.requested_by));
	memcpy(authorisation.approved_by, reveal->approved_by, sizeof(authorisation.approved_by));
	return keys->ops->open_vin(keys, &vehicle->tenant, &vehicle->reference_id, &vehicle->sealed, &authorisation,
				   ret_vin, &request->note);
}

/*
 * The opening is committed, but the VIN did not come out: back to approved, with a leaf that says why. Should this
 * fail as well there is nothing left to try: the approval stays used, which is the safe side.
 */
static void take_back(struct flow_request *request, struct reveal_request *reveal, enum problem problem)
{
	const struct platform *platform = request->platform;
	struct registry_write write = {.kind = REGISTRY_RESTORE_REVEAL, .reveal = reveal};
	struct audit_event event = *request->event;
	enum registry_conflict conflict;

	reveal->status = REVEAL_APPROVED;
	event.is_recorded = false; /* the opening is; this is not yet */
	event.outcome = AUDIT_FAILED;
	event.problem = problem_name(problem);
	if (audit_commit(platform, &event, request->arena, &write, 1, &conflict, NULL) != RESULT_OK &&
	    !event.is_recorded)
		note_set(&request->note, "the approval is used up, because its opening could not be taken back");
}

static enum result open_once(struct flow_request *request, struct reveal_request *reveal, const struct vehicle *vehicle,
			     struct vin *ret_vin)
{
	reveal->status = REVEAL_OPENED;
	enum result result = commit(request, REGISTRY_UPDATE_REVEAL, reveal);
	if (result == RESULT_OK)
		result = ask_keyd(request, reveal, vehicle, ret_vin);
	if (result != RESULT_OK && request->event->is_recorded)
		take_back(request, reveal, problem_of_result(result));
	return result;
}

enum problem reveal_open(struct flow_request *request, const struct uuid *id, struct vin *ret_vin)
{
	struct reveal_request reveal;
	struct vehicle vehicle;
	enum problem problem = reveal_get(request, id, &reveal);

	if (problem == PROBLEM_NONE)
		problem = check_opening(request, &reveal);
	if (problem == PROBLEM_NONE) {
		struct vehicle_name name = {.by = VEHICLE_BY_REFERENCE_ID, .reference_id = reveal.reference_id};
		problem = vehicle_find(request, &name, NULL, &vehicle);
	}
	if (problem != PROBLEM_NONE)
		return problem;
	enum result result = open_once(request, &reveal, &vehicle, ret_vin);
	/* Whoever opened it first has had it. */
	return result == RESULT_CONFLICT ? PROBLEM_REVEAL_GONE : problem_of_result(result);
}
