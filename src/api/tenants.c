/*
 * /v1/tenants: brands, regions, operators; the platform scope's.
 */
#include "vehicle/tenants.h"
#include "api/body.h"
#include "api/records.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum problem read_tenant(struct call *call, struct tenant *ret_tenant)
{
	static const char *const members[] = {"tenantId", "checkDigitPolicy", "manifestRequired",
					      "telemetryRetentionDays"};
	struct span id, policy = {0};
	int64_t days = 0;
	enum problem problem = body_read(call, members, COUNT(members));

	if (problem == PROBLEM_NONE)
		problem = body_text(call, "tenantId", BODY_REQUIRED, TENANT_ID_LENGTH_MAX, &id);
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "checkDigitPolicy", BODY_OPTIONAL, 32, &policy);
	if (problem == PROBLEM_NONE)
		problem = body_bool(call, "manifestRequired", &ret_tenant->manifest_required);
	if (problem == PROBLEM_NONE)
		problem = body_number(call, "telemetryRetentionDays", 1, TELEMETRY_RETENTION_MAX_DAYS, &days);
	if (problem != PROBLEM_NONE)
		return problem;
	ret_tenant->telemetry_retention_days = (uint32_t)days;
	if (vin_stands_in(id))
		return PROBLEM_VIN_NOT_ALLOWED;
	if (tenant_id_parse(id, &ret_tenant->id) != RESULT_OK)
		return call_explain(call, PROBLEM_VALUE_INVALID,
				    "The member tenantId must be a lower-case letter or digit, then those and '-'.");
	if (policy.data != NULL && check_digit_policy_parse(policy, &ret_tenant->check_digit) != RESULT_OK)
		return call_explain(call, PROBLEM_VALUE_INVALID,
				    "The member checkDigitPolicy must be off, warn or enforce.");
	return PROBLEM_NONE;
}

enum problem tenant_create(struct call *call)
{
	/* What is not said is the safer of the two. */
	struct tenant tenant = {.check_digit = CHECK_DIGIT_WARN, .manifest_required = true}, created;
	struct json_writer writer;
	enum problem problem = read_tenant(call, &tenant);

	if (problem == PROBLEM_NONE) {
		call->event.subject = arena_copy_text(&call->exchange->arena, span_of_text(tenant.id.text));
		problem = tenants_create(&call->flow, &tenant, &created);
	}
	if (problem != PROBLEM_NONE)
		return problem;
	answer_json(call, 201, &writer);
	write_tenant(&writer, &created);
	return answer_end(&writer);
}

enum problem tenant_list(struct call *call)
{
	struct tenant *tenants;
	struct json_writer writer;
	size_t count;
	enum problem problem = query_check(call, NULL, 0);

	if (problem == PROBLEM_NONE)
		problem = tenants_list(&call->flow, &tenants, &count);
	if (problem != PROBLEM_NONE)
		return problem;
	answer_json(call, 200, &writer);
	call->exchange->response.body.size_max = (count + 1) * 512;
	json_object_begin(&writer);
	json_key(&writer, "tenants");
	json_array_begin(&writer);
	for (size_t i = 0; i < count; i++)
		write_tenant(&writer, &tenants[i]);
	json_array_end(&writer);
	json_object_end(&writer);
	return answer_end(&writer);
}
