#include "vehicle/remote_commands.h"

#include "base/json.h"
#include "vehicle/attributes.h"
#include "vehicle/command_report.h"
#include "vehicle/vehicles.h"

#include <stdio.h>

#define EXPIRE_BATCH   100
#define RESEND_BATCH   500
#define REPORT_TRIES   4 /* against the platform's own time-out: one is enough, and repeated events do not race */
#define REPEATED_MS    ((int64_t)24 * 60 * 60 * 1000)
#define ARENA_OF(rows) (ARENA_SIZE_MAX_DEFAULT + (rows) * (COMMAND_PAYLOAD_SIZE_MAX + COMMAND_RESULT_SIZE_MAX))

static enum problem refuse(struct flow_request *request, enum problem problem, const char *detail)
{
	snprintf(request->detail, sizeof(request->detail), "%s", detail);
	return problem;
}

/* What the trail tells of a command, at each of its steps. */
static enum result describe(struct audit_event *event, struct arena *arena, const struct remote_command *command)
{
	char id[UUID_TEXT_SIZE], text[COMMAND_NAME_LENGTH_MAX + 1 + UUID_TEXT_SIZE];

	uuid_format(&command->id, id);
	snprintf(text, sizeof(text), "%s %s", command->name, id);
	event->subject = arena_copy_text(arena, span_of_text(text));
	event->has_reference_id = true;
	event->reference_id = command->reference_id;
	event->reason = command_status_name(command->status);
	return event->subject != NULL ? RESULT_OK : RESULT_MEMORY;
}

/* ---- what goes to the vehicle ----------------------------------------------------------------------- */

/*
 * The payload as it is, because that is what firmware written for AWS IoT reads; the topic carries the ID. A command
 * without a payload, which AWS IoT does not have, is its name.
 */
static void deliver(const struct platform *platform, const struct remote_command *command)
{
	struct device_gateway *gateway = platform->gateway;
	char named[COMMAND_NAME_LENGTH_MAX + 16];
	const char *payload = command->payload;

	if (strcmp(payload, "null") == 0) {
		snprintf(named, sizeof(named), "{\"name\":\"%s\"}", command->name);
		payload = named;
	}
	gateway->ops->send_command(gateway, &command->reference_id, &command->id, span_of_text(payload));
}

enum result remote_commands_resend(const struct platform *platform, const struct tenant_id *tenant,
				   const struct uuid *reference_id, int64_t since_ms, struct note *note)
{
	ARENA_CLEANUP struct arena arena = {.size_max = ARENA_OF(COMMANDS_WAITING_MAX)};
	struct registry *registry = platform->registry;
	struct remote_command *commands;
	size_t count;

	if (platform->gateway == NULL)
		return RESULT_OK;
	TRY(registry->ops->list_waiting_commands(registry, tenant, reference_id, clock_now_ms(platform->clock),
						 COMMANDS_WAITING_MAX, &arena, &commands, &count, note));
	for (size_t i = 0; i < count; i++)
		if (commands[i].created_at_ms <= since_ms)
			deliver(platform, &commands[i]);
	return RESULT_OK;
}

enum result remote_commands_resend_all(const struct platform *platform, int64_t since_ms, struct note *note)
{
	struct registry *registry = platform->registry;
	int64_t after_ms = clock_now_ms(platform->clock);
	size_t count = RESEND_BATCH;

	/* Pages end where time-outs differ; of more than a page with one time-out the rest waits for its vehicles. */
	while (platform->gateway != NULL && count == RESEND_BATCH) {
		ARENA_CLEANUP struct arena arena = {.size_max = ARENA_OF(RESEND_BATCH)};
		struct remote_command *commands;

		TRY(registry->ops->list_open_commands(registry, after_ms, INT64_MAX, RESEND_BATCH, &arena, &commands,
						      &count, note));
		for (size_t i = 0; i < count; i++) {
			after_ms = commands[i].expires_at_ms;
			if (commands[i].status == COMMAND_CREATED && commands[i].created_at_ms <= since_ms)
				deliver(platform, &commands[i]);
		}
	}
	return RESULT_OK;
}

/* ---- sending ---------------------------------------------------------------------------------------- */

static enum problem read_name(struct flow_request *request, struct span text, struct remote_command *command)
{
	if (command_name_parse(text, command->name) != RESULT_OK)
		return refuse(
			request, PROBLEM_VALUE_INVALID,
			"name must be 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit.");
	if (vin_stands_in(text))
		return refuse(request, PROBLEM_VIN_NOT_ALLOWED, "name must not hold a VIN or its hash.");
	return PROBLEM_NONE;
}

static enum problem read_payload(struct flow_request *request, const json_t *payload, struct remote_command *command)
{
	command->payload = "null";
	if (payload == NULL)
		return PROBLEM_NONE;
	if (json_holds_vin(payload))
		return refuse(request, PROBLEM_VIN_NOT_ALLOWED, "payload must not hold a VIN or its hash.");
	enum result result = json_copy_text(request->arena, payload, COMMAND_PAYLOAD_SIZE_MAX, &command->payload);
	return result == RESULT_EXHAUSTED
		       ? refuse(request, PROBLEM_VALUE_INVALID, "payload must fit into 8192 bytes of compact JSON.")
		       : problem_of_result(result);
}

static enum problem read_input(struct flow_request *request, const struct command_input *input,
			       struct remote_command *command)
{
	int64_t timeout_s = input->timeout_s == 0 ? COMMAND_TIMEOUT_DEFAULT_S : input->timeout_s;

	if (timeout_s < 1 || timeout_s > COMMAND_TIMEOUT_MAX_S)
		return refuse(request, PROBLEM_VALUE_INVALID, "timeoutSeconds must be from 1 to 604800.");
	command->created_at_ms = command->updated_at_ms = clock_now_ms(request->platform->clock);
	command->expires_at_ms = command->created_at_ms + timeout_s * 1000;
	enum problem problem = read_name(request, input->name, command);
	return problem == PROBLEM_NONE ? read_payload(request, input->payload, command) : problem;
}

static enum problem check_vehicle(struct flow_request *request, const struct uuid *reference_id)
{
	struct registry *registry = request->platform->registry;
	struct remote_command *waiting;
	struct vehicle vehicle;
	size_t count;
	enum problem problem = vehicles_get(request, reference_id, &vehicle);

	if (problem != PROBLEM_NONE)
		return problem;
	if ((vehicle.state != VEHICLE_PROVISIONED && vehicle.state != VEHICLE_ACTIVE) || vehicle.device_id[0] == '\0')
		return PROBLEM_VEHICLE_NOT_COMMANDABLE;
	request->arena->size_max = ARENA_OF(COMMANDS_WAITING_MAX);
	enum result result = registry->ops->list_waiting_commands(
		registry, &request->tenant.id, reference_id, clock_now_ms(request->platform->clock),
		COMMANDS_WAITING_MAX, request->arena, &waiting, &count, &request->note);
	if (result != RESULT_OK)
		return problem_of_result(result);
	return count < COMMANDS_WAITING_MAX ? PROBLEM_NONE : PROBLEM_COMMAND_LIMIT;
}

static enum result commit(struct flow_request *request, enum registry_write_kind kind,
			  const struct remote_command *command, enum registry_conflict *ret_conflict)
{
	const struct registry_write write = {.kind = kind, .command = command};

	TRY(describe(request->event, request->arena, command));
	return audit_commit(request->platform, request->event, request->arena, &write, 1, ret_conflict, &request->note);
}

/* What the same request made before it was cut off. RESULT_ABSENT: the ID belongs to something else, or to long ago. */
static enum result find_repeated(struct flow_request *request, const struct remote_command *wanted,
				 struct remote_command *ret_command)
{
	struct registry *registry = request->platform->registry;
	struct remote_command found;

	TRY(registry->ops->get_command(registry, &request->tenant.id, &wanted->reference_id, &wanted->id,
				       request->arena, &found, &request->note));
	if (wanted->created_at_ms - found.created_at_ms >= REPEATED_MS)
		return RESULT_ABSENT;
	*ret_command = found;
	return RESULT_OK;
}

static enum problem create(struct flow_request *request, const struct command_input *input,
			   struct remote_command *command)
{
	enum registry_conflict conflict = REGISTRY_CONFLICT_NONE;
	enum result result = RESULT_CONFLICT;

	if (input->id != NULL) {
		command->id = *input->id;
		result = commit(request, REGISTRY_INSERT_COMMAND, command, &conflict);
		if (result == RESULT_CONFLICT && conflict == REGISTRY_CONFLICT_COMMAND &&
		    find_repeated(request, command, command) == RESULT_OK)
			return problem_of_result(describe(request->event, request->arena, command));
	}
	if (result == RESULT_CONFLICT) {
		result = uuid_generate_v4(request->platform->entropy, &command->id);
		if (result == RESULT_OK)
			result = commit(request, REGISTRY_INSERT_COMMAND, command, &conflict);
	}
	if (request->event->is_recorded) /* it stands, whatever became of its leaf */
		deliver(request->platform, command);
	return problem_of_result(result);
}

enum problem remote_commands_send(struct flow_request *request, const struct uuid *reference_id,
				  const struct command_input *input, struct remote_command *ret_command)
{
	struct remote_command command = {
		.tenant = request->tenant.id,
		.reference_id = *reference_id,
		.status = COMMAND_CREATED,
		.version = 1,
	};

	snprintf(command.created_by, sizeof(command.created_by), "%s", request->client->id);
	enum problem problem = read_input(request, input, &command);
	if (problem == PROBLEM_NONE)
		problem = check_vehicle(request, reference_id);
	if (problem == PROBLEM_NONE && request->platform->gateway == NULL)
		problem = refuse(request, PROBLEM_UNAVAILABLE, "This installation serves no device gateway.");
	if (problem == PROBLEM_NONE)
		problem = create(request, input, &command);
	if (problem == PROBLEM_NONE)
		*ret_command = command;
	return problem;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

enum problem remote_commands_get(struct flow_request *request, const struct uuid *reference_id,
				 const struct uuid *command_id, struct remote_command *ret_command)
{
	struct registry *registry = request->platform->registry;
	enum result result = registry->ops->get_command(registry, &request->tenant.id, reference_id, command_id,
							request->arena, ret_command, &request->note);

	if (result == RESULT_OK)
		result = describe(request->event, request->arena, ret_command);
	return problem_of_result(result);
}

enum problem remote_commands_list(struct flow_request *request, const struct uuid *reference_id,
				  const struct uuid *before, size_t limit, struct command_page *ret_page)
{
	struct registry *registry = request->platform->registry;
	size_t wanted = limit == 0 || limit > COMMANDS_PAGE_MAX ? COMMANDS_PAGE_MAX : limit;
	struct command_page page = {0};

	request->arena->size_max = ARENA_OF(COMMANDS_PAGE_MAX);
	enum result result =
		registry->ops->list_commands(registry, &request->tenant.id, reference_id, before, wanted + 1,
					     request->arena, &page.commands, &page.count, &request->note);
	if (result != RESULT_OK)
		return problem_of_result(result);
	request->event->has_reference_id = true;
	request->event->reference_id = *reference_id;
	page.has_more = page.count > wanted;
	if (page.has_more)
		page.count = wanted;
	*ret_page = page;
	return PROBLEM_NONE;
}

/* ---- what the vehicle reports ----------------------------------------------------------------------- */

static bool is_same(const struct remote_command *command, const struct command_report *report)
{
	bool has_result = command->result != NULL;

	return command->status == report->status && strcmp(command->reason_code, report->reason_code) == 0 &&
	       strcmp(command->reason_text, report->reason_text) == 0 && has_result == (report->result != NULL) &&
	       (!has_result || strcmp(command->result, report->result) == 0);
}

static enum problem refuse_transition(struct flow_request *request, const struct remote_command *command,
				      const struct command_report *report)
{
	snprintf(request->detail, sizeof(request->detail), "A command that is %s cannot become %s.",
		 command_status_name(command->status), command_status_name(report->status));
	return PROBLEM_TRANSITION_NOT_ALLOWED;
}

/* *ret_conflict: somebody else changed it meanwhile. */
static enum problem apply_report(struct flow_request *request, struct remote_command *command,
				 const struct command_report *report, enum registry_conflict *ret_conflict)
{
	bool is_platforms = command->status == COMMAND_TIMED_OUT && !command->is_final;
	bool is_final;

	if (!is_platforms && is_same(command, report)) /* QoS 1, or the event again */
		return PROBLEM_NONE;
	if (command_transition(command, report->status, COMMAND_REPORTED_BY_VEHICLE, &is_final) != RESULT_OK)
		return refuse_transition(request, command, report);
	if (!is_final && command->version >= COMMAND_VERSIONS_MAX)
		return refuse(request, PROBLEM_TRANSITION_NOT_ALLOWED, "The command's progress was told often enough.");
	command->status = report->status;
	command->is_final = is_final;
	memcpy(command->reason_code, report->reason_code, sizeof(command->reason_code));
	memcpy(command->reason_text, report->reason_text, sizeof(command->reason_text));
	command->result = report->result;
	command->updated_at_ms = clock_now_ms(request->platform->clock);
	command->version++;
	return problem_of_result(commit(request, REGISTRY_UPDATE_COMMAND, command, ret_conflict));
}

enum problem remote_commands_report(struct flow_request *request, const struct uuid *reference_id,
				    const struct uuid *command_id, struct span payload)
{
	struct command_report report = {0};
	const char *detail = "";
	enum registry_conflict conflict = REGISTRY_CONFLICT_COMMAND;
	enum problem problem = command_report_read(payload, request->arena, &report, &detail);

	snprintf(request->detail, sizeof(request->detail), "%s", detail);
	for (int i = 0; problem == PROBLEM_NONE && conflict == REGISTRY_CONFLICT_COMMAND; i++) {
		struct remote_command command;

		if (i == REPORT_TRIES)
			return PROBLEM_UNAVAILABLE;
		problem = remote_commands_get(request, reference_id, command_id, &command);
		conflict = REGISTRY_CONFLICT_NONE;
		if (problem == PROBLEM_NONE)
			problem = apply_report(request, &command, &report, &conflict);
		if (conflict == REGISTRY_CONFLICT_COMMAND)
			problem = PROBLEM_NONE;
	}
	return problem;
}

/* ---- time-outs -------------------------------------------------------------------------------------- */

static enum result expire(const struct platform *platform, struct arena *arena, struct remote_command *command,
			  struct note *note)
{
	struct audit_event event = {.action = "command.time-out", .actor = "platform", .tenant = command->tenant};
	const struct registry_write write = {.kind = REGISTRY_UPDATE_COMMAND, .command = command};
	enum registry_conflict conflict = REGISTRY_CONFLICT_NONE;

	TRY(command_transition(command, COMMAND_TIMED_OUT, COMMAND_REPORTED_BY_PLATFORM, &command->is_final));
	command->status = COMMAND_TIMED_OUT;
	command->updated_at_ms = clock_now_ms(platform->clock);
	command->version++;
	snprintf(command->reason_code, sizeof(command->reason_code), "TIMEOUT");
	snprintf(command->reason_text, sizeof(command->reason_text),
		 "The vehicle did not say in time what became of it.");
	TRY(uuid_generate_v4(platform->entropy, &event.request_id));
	TRY(describe(&event, arena, command));
	enum result result = audit_commit(platform, &event, arena, &write, 1, &conflict, note);
	/* The vehicle has just said something: the next turn looks again. */
	return result == RESULT_CONFLICT && conflict == REGISTRY_CONFLICT_COMMAND ? RESULT_OK : result;
}

enum result remote_commands_expire(const struct platform *platform, bool *ret_more, struct note *note)
{
	ARENA_CLEANUP struct arena arena = {.size_max = ARENA_OF(EXPIRE_BATCH)};
	struct registry *registry = platform->registry;
	struct remote_command *commands;
	size_t count;

	TRY(registry->ops->list_open_commands(registry, 0, clock_now_ms(platform->clock), EXPIRE_BATCH, &arena,
					      &commands, &count, note));
	for (size_t i = 0; i < count; i++)
		TRY(expire(platform, &arena, &commands[i], note));
	*ret_more = count == EXPIRE_BATCH;
	return RESULT_OK;
}
