#include "vehicle/flow.h"

enum problem problem_of_result(enum result result)
{
	switch (result) {
	case RESULT_OK:
		return PROBLEM_NONE;
	case RESULT_ABSENT:
		return PROBLEM_NOT_FOUND;
	case RESULT_INVALID:
		return PROBLEM_VALUE_INVALID;
	case RESULT_EXHAUSTED:
		return PROBLEM_BUDGET_EXHAUSTED;
	case RESULT_CONFLICT: /* lost every race it was in: too busy, not wrong */
	case RESULT_UNAVAILABLE:
	case RESULT_MEMORY:
		return PROBLEM_UNAVAILABLE;
	case RESULT_DENIED: /* a port refuses what the rules allowed */
	case RESULT_CORRUPT:
		break;
	}
	return PROBLEM_INTERNAL;
}

static enum result find_by_hash(struct flow_request *request, const struct hashed_vin *hash,
				struct uuid *ret_reference_id)
{
	const struct platform *platform = request->platform;
	const struct tenant_id *tenant = &request->tenant.id;
	struct vin_index_set indexes;
	bool found;

	TRY(platform->keys->ops->index_vins(platform->keys, tenant, hash, 1, &indexes, &request->note));
	TRY(platform->registry->ops->find_by_index(platform->registry, tenant, &indexes, 1, ret_reference_id, &found,
						   &request->note));
	return found ? RESULT_OK : RESULT_ABSENT;
}

static enum result find_by_vin(struct flow_request *request, const struct vin *vin, struct uuid *ret_reference_id)
{
	struct hashed_vin hash;
	enum result result = vin_hash(vin, &hash);

	if (result == RESULT_OK)
		result = find_by_hash(request, &hash, ret_reference_id);
	secret_wipe(&hash, sizeof(hash));
	return result;
}

static enum result resolve(struct flow_request *request, const struct vehicle_name *name, const char *implied_purpose,
			   struct uuid *ret_reference_id)
{
	if (name->by == VEHICLE_BY_REFERENCE_ID) {
		*ret_reference_id = name->reference_id;
		return RESULT_OK;
	}
	request->event->purpose = implied_purpose;
	if (name->by == VEHICLE_BY_HASHED_VIN)
		return find_by_hash(request, &name->hashed_vin, ret_reference_id);
	return find_by_vin(request, &name->vin, ret_reference_id);
}

enum problem vehicle_find(struct flow_request *request, const struct vehicle_name *name, const char *implied_purpose,
			  struct vehicle *ret_vehicle)
{
	struct registry *registry = request->platform->registry;
	struct uuid reference_id;
	enum result result = resolve(request, name, implied_purpose, &reference_id);

	if (result != RESULT_OK)
		return problem_of_result(result);
	result = registry->ops->get_vehicle(registry, &request->tenant.id, &reference_id, request->arena, ret_vehicle,
					    &request->note);
	if (result != RESULT_OK)
		return problem_of_result(result);
	request->event->has_reference_id = true;
	request->event->reference_id = reference_id;
	return PROBLEM_NONE;
}
