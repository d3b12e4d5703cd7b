#include "fleet/call.h"

#include <stdio.h>

enum result fleet_call_begin(struct fleet_call *call, struct fleet *fleet, const char *action, const char *actor,
			     const struct tenant_id *tenant, const char *address)
{
	const struct platform *platform = fleet->platform;
	struct registry *registry = platform->registry;

	*call = (struct fleet_call){.fleet = fleet};
	snprintf(call->client.id, sizeof(call->client.id), "%s", actor);
	call->client.tenant = *tenant;
	call->client.state = CLIENT_ACTIVE;
	call->event = (struct audit_event){
		.action = action, .actor = call->client.id, .tenant = *tenant, .source_address = address};
	call->flow = (struct flow_request){
		.platform = platform, .client = &call->client, .arena = &call->arena, .event = &call->event};
	TRY(uuid_generate_v4(platform->entropy, &call->event.request_id));
	return registry->ops->get_tenant(registry, tenant, &call->flow.tenant, &call->flow.note);
}

enum result fleet_call_end(struct fleet_call *call, enum problem problem)
{
	if (!call->event.is_recorded) {
		call->event.outcome = audit_outcome_of(problem);
		call->event.problem = problem_name(problem);
	}
	return audit_record(call->fleet->platform, &call->event, &call->arena);
}

void fleet_call_release(struct fleet_call *call)
{
	arena_release(&call->arena);
	secret_wipe(call, sizeof(*call));
}
