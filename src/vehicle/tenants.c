#include "vehicle/tenants.h"

/* Keys first: a tenant without keys could not provision, keys without a tenant do no harm. */
static enum result make_keys(struct flow_request *request, const struct tenant_id *id)
{
	struct key_service *keys = request->platform->keys;
	enum result result = keys->ops->create_tenant(keys, id, &request->note);

	/* They are there from an attempt that got no further. */
	return result == RESULT_CONFLICT ? RESULT_OK : result;
}

/* Before the row as well: it tells of the tenant again when the attempt is made again. */
static enum result tell_retention(struct flow_request *request, const struct tenant *tenant)
{
	struct telemetry_control *control = request->platform->telemetry_control;

	return control == NULL ? RESULT_OK
			       : control->ops->set_retention(control, &tenant->id, tenant->telemetry_retention_days,
							     &request->note);
}

static enum problem check_is_new(struct flow_request *request, const struct tenant_id *id)
{
	struct registry *registry = request->platform->registry;
	struct tenant known;
	enum result result = registry->ops->get_tenant(registry, id, &known, &request->note);

	if (result == RESULT_OK)
		return PROBLEM_ALREADY_EXISTS;
	return result == RESULT_ABSENT ? PROBLEM_NONE : problem_of_result(result);
}

enum problem tenants_create(struct flow_request *request, const struct tenant *tenant, struct tenant *ret_tenant)
{
	struct tenant created = *tenant;
	struct registry_write write = {.kind = REGISTRY_INSERT_TENANT, .tenant = &created};
	enum registry_conflict conflict;

	if (vin_stands_in(span_of_text(tenant->id.text)))
		return PROBLEM_VIN_NOT_ALLOWED;
	enum problem problem = check_is_new(request, &tenant->id);
	if (problem == PROBLEM_NONE)
		problem = problem_of_result(make_keys(request, &tenant->id));
	if (problem == PROBLEM_NONE)
		problem = problem_of_result(tell_retention(request, tenant));
	if (problem != PROBLEM_NONE)
		return problem;

	created.created_at_ms = clock_now_ms(request->platform->clock);
	request->event->subject = arena_copy_text(request->arena, span_of_text(created.id.text));
	enum result result =
		audit_commit(request->platform, request->event, request->arena, &write, 1, &conflict, &request->note);
	if (result == RESULT_OK)
		*ret_tenant = created;
	return result == RESULT_CONFLICT ? PROBLEM_ALREADY_EXISTS : problem_of_result(result);
}

enum problem tenants_list(struct flow_request *request, struct tenant **ret_tenants, size_t *ret_count)
{
	struct registry *registry = request->platform->registry;

	return problem_of_result(
		registry->ops->list_tenants(registry, request->arena, ret_tenants, ret_count, &request->note));
}
