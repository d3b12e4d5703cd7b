/*
 * /v1/vehicles/{referenceId}/commands: remote commands and what became of them.
 */
#include "api/body.h"
#include "api/records.h"
#include "crypto/digest.h"
#include "vehicle/remote_commands.h"

#include <stdio.h>

#define COUNT(array)	   (sizeof(array) / sizeof((array)[0]))
#define PAGE_LIMIT_DEFAULT 20
#define RECORD_SIZE	   4096 /* of a command, beside its result */

/* ---- sending ----------------------------------------------------------------------------------------- */

static enum problem read_command(struct call *call, struct command_input *ret_input)
{
	static const char *const members[] = {"name", "payload", "timeoutSeconds"};
	enum problem problem = body_read(call, members, COUNT(members));

	if (problem == PROBLEM_NONE)
		problem = body_text(call, "name", BODY_REQUIRED, COMMAND_NAME_LENGTH_MAX, &ret_input->name);
	if (problem == PROBLEM_NONE)
		problem = body_number(call, "timeoutSeconds", 1, COMMAND_TIMEOUT_MAX_S, &ret_input->timeout_s);
	if (problem == PROBLEM_NONE)
		ret_input->payload = json_object_get(call->json, "payload");
	return problem;
}

/*
 * With an Idempotency-Key the command's ID follows from the key and from what was asked, so that an attempt that was
 * cut off after its commit is found by the next one, and the vehicle is not commanded twice. RFC 9562 version 8.
 */
static enum result derive_id(const struct idempotency_record *record, const struct uuid *reference_id,
			     struct uuid *ret_id)
{
	const struct span parts[] = {
		span_of_text("vinveil command\n"),
		span_of_text(record->client_id),
		span_of_text("\n"),
		span_of_text(record->key),
		span_of_text("\n"),
		span_of(reference_id->bytes, UUID_SIZE),
		span_of(record->fingerprint, SHA256_SIZE),
	};
	uint8_t digest[SHA256_SIZE];

	TRY(sha256_parts(parts, COUNT(parts), digest));
	memcpy(ret_id->bytes, digest, UUID_SIZE);
	ret_id->bytes[6] = (uint8_t)((ret_id->bytes[6] & 0x0f) | 0x80);
	ret_id->bytes[8] = (uint8_t)((ret_id->bytes[8] & 0x3f) | 0x80);
	return RESULT_OK;
}

static enum problem choose_id(struct call *call, const struct uuid *reference_id, struct uuid *id,
			      struct command_input *input)
{
	const struct idempotency_record *record = &call->idempotency.record;

	if (record->key[0] == '\0') /* none was given */
		return PROBLEM_NONE;
	input->id = id;
	return problem_of_result(derive_id(record, reference_id, id));
}

static enum problem answer_command(struct call *call, int status, const struct remote_command *command)
{
	struct json_writer writer;

	answer_json(call, status, &writer);
	call->exchange->response.body.size_max = RECORD_SIZE + COMMAND_RESULT_SIZE_MAX;
	write_command(&writer, command);
	return answer_end(&writer);
}

enum problem command_send(struct call *call)
{
	struct command_input input = {0};
	struct remote_command command;
	char location[128], reference_id[UUID_TEXT_SIZE], command_id[UUID_TEXT_SIZE];
	struct uuid id, chosen;
	enum problem problem = call_reference_id(call, &id);

	if (problem == PROBLEM_NONE)
		problem = read_command(call, &input);
	if (problem == PROBLEM_NONE)
		problem = choose_id(call, &id, &chosen, &input);
	if (problem == PROBLEM_NONE)
		problem = remote_commands_send(&call->flow, &id, &input, &command);
	if (problem == PROBLEM_NONE)
		problem = answer_command(call, 202, &command);
	if (problem != PROBLEM_NONE)
		return problem;
	uuid_format(&id, reference_id);
	uuid_format(&command.id, command_id);
	snprintf(location, sizeof location, "/v1/vehicles/%s/commands/%s", reference_id, command_id);
	answer_header(call, "Location", location);
	return PROBLEM_NONE;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

enum problem command_read(struct call *call)
{
	struct remote_command command;
	struct uuid id, command_id;
	enum problem problem = query_check(call, NULL, 0);

	if (problem == PROBLEM_NONE)
		problem = call_reference_id(call, &id);
	if (problem == PROBLEM_NONE && uuid_parse(call->parameters[1], &command_id) != RESULT_OK)
		problem = PROBLEM_NOT_FOUND;
	if (problem == PROBLEM_NONE)
		problem = remote_commands_get(&call->flow, &id, &command_id, &command);
	return problem == PROBLEM_NONE ? answer_command(call, 200, &command) : problem;
}

static enum problem answer_page(struct call *call, const struct command_page *page)
{
	struct json_writer writer;

	answer_json(call, 200, &writer);
	call->exchange->response.body.size_max = (page->count + 1) * (RECORD_SIZE + COMMAND_RESULT_SIZE_MAX);
	json_object_begin(&writer);
	json_key(&writer, "commands");
	json_array_begin(&writer);
	for (size_t i = 0; i < page->count; i++)
		write_command(&writer, &page->commands[i]);
	json_array_end(&writer);
	if (page->has_more)
		json_member_uuid(&writer, "nextCursor", &page->commands[page->count - 1].id);
	json_object_end(&writer);
	return answer_end(&writer);
}

enum problem command_list(struct call *call)
{
	static const char *const names[] = {"cursor", "limit"};
	uint64_t limit = PAGE_LIMIT_DEFAULT;
	struct command_page page;
	struct uuid id, before;
	bool has_cursor = false;
	enum problem problem = query_check(call, names, COUNT(names));

	if (problem == PROBLEM_NONE)
		problem = query_uuid(call, "cursor", &has_cursor, &before);
	if (problem == PROBLEM_NONE)
		problem = query_number(call, "limit", COMMANDS_PAGE_MAX, &limit);
	if (problem == PROBLEM_NONE)
		problem = call_reference_id(call, &id);
	if (problem == PROBLEM_NONE)
		problem = remote_commands_list(&call->flow, &id, has_cursor ? &before : NULL, (size_t)limit, &page);
	return problem == PROBLEM_NONE ? answer_page(call, &page) : problem;
}
