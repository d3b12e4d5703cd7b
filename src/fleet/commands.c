#include "vehicle/remote_commands.h"

#include "base/json.h"
#include "fleet/call.h"

#include <stdio.h>

#define ACTION_REPORT "command.report"

enum result commands_ready(struct fleet *fleet, const struct gateway_event *event, const struct tenant_id *tenant,
			   struct note *note)
{
	return remote_commands_resend(fleet->platform, tenant, &event->reference_id, event->at_ms, note);
}

/* ---- what is said to a report ------------------------------------------------------------------------ */

/* AWS IoT's RejectedErrorCode. */
static const char *error_code(enum problem problem)
{
	switch (problem) {
	case PROBLEM_MALFORMED:
		return "InvalidJson";
	case PROBLEM_NOT_FOUND:
		return "ResourceNotFound";
	case PROBLEM_TRANSITION_NOT_ALLOWED:
		return "InvalidStateTransition";
	case PROBLEM_VALUE_INVALID:
	case PROBLEM_VIN_NOT_ALLOWED:
		return "InvalidRequest";
	default:
		return "InternalError";
	}
}

static enum result write_answer(const struct gateway_event *event, enum problem problem, const char *detail,
				struct buf *ret_payload)
{
	struct json_writer writer;

	json_writer_init(&writer, ret_payload);
	json_object_begin(&writer);
	if (problem != PROBLEM_NONE) {
		json_member_text(&writer, "error", error_code(problem));
		json_member_text(&writer, "errorMessage",
				 detail[0] != '\0' ? detail : "The command's report cannot be accepted.");
	}
	json_member_uuid(&writer, "executionId", &event->command_id);
	json_object_end(&writer);
	return json_writer_end(&writer);
}

static enum result answer(struct fleet *fleet, const struct gateway_event *event, enum problem problem,
			  const char *detail)
{
	BUF_CLEANUP struct buf payload = {0};
	struct device_gateway *gateway = fleet->platform->gateway;
	char topic[GATEWAY_TOPIC_SIZE], reference_id[UUID_TEXT_SIZE], command_id[UUID_TEXT_SIZE];

	uuid_format(&event->reference_id, reference_id);
	uuid_format(&event->command_id, command_id);
	snprintf(topic, sizeof(topic), "$aws/commands/things/%s/executions/%s/response/%s/json", reference_id,
		 command_id, problem == PROBLEM_NONE ? "accepted" : "rejected");
	TRY(write_answer(event, problem, detail, &payload));
	gateway->ops->publish(gateway, &event->reference_id, topic, buf_span(&payload));
	return RESULT_OK;
}

/*
 * A change has its leaf with it. A report that is refused has none: a vehicle could fill the trail with them, and they
 * say nothing of anybody else.
 */
enum result commands_reported(struct fleet *fleet, const struct gateway_event *event, const struct tenant_id *tenant,
			      struct note *note)
{
	FLEET_CALL_CLEANUP struct fleet_call call;
	enum result result = fleet_call_begin(&call, fleet, ACTION_REPORT, ACTOR_GATEWAY, tenant, event->address);

	if (result != RESULT_OK) {
		*note = call.flow.note;
		return result;
	}
	enum problem problem =
		remote_commands_report(&call.flow, &event->reference_id, &event->command_id, event->payload);
	*note = call.flow.note;
	if (problem == PROBLEM_UNAVAILABLE)
		return RESULT_UNAVAILABLE;
	atomic_fetch_add(&fleet->counters.command_responses, 1);
	return answer(fleet, event, problem, call.flow.detail);
}
