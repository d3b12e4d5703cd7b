/*
 * POST /v1/tcu-changes: another device for a vehicle, or none.
 */
#include "api/body.h"
#include "api/records.h"
#include "base/secret.h"
#include "vehicle/tcu_change.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Both device IDs must be there, if only as null: what is left out might be forgotten, and the loss is a device's. */
static enum problem read_device(struct call *call, const char *name, struct span *ret_device)
{
	bool is_null;
	enum problem problem = body_text_or_null(call, name, BODY_REQUIRED, DEVICE_ID_LENGTH_MAX, ret_device, &is_null);
	if (problem == PROBLEM_NONE && !is_null && ret_device->size == 0)
		return call_explain(call, PROBLEM_VALUE_INVALID, "The member %s must not be empty; null says none.",
				    name);
	return problem;
}

static enum problem read_change(struct call *call, struct tcu_change *ret_change)
{
	static const char *const members[] = {"referenceId", "hashedVin", "vin", "deviceId", "newDeviceId"};
	enum problem problem = body_read(call, members, COUNT(members));

	if (problem == PROBLEM_NONE)
		problem = read_device(call, "deviceId", &ret_change->device_id);
	if (problem == PROBLEM_NONE)
		problem = read_device(call, "newDeviceId", &ret_change->new_device_id);
	if (problem == PROBLEM_NONE)
		problem = body_vehicle_name(call, &ret_change->name);
	return problem;
}

enum problem tcu_change_apply(struct call *call)
{
	struct tcu_change change = {0};
	struct vehicle vehicle;
	size_t revoked = 0;
	enum problem problem = read_change(call, &change);

	if (problem == PROBLEM_NONE)
		problem = tcu_change_run(&call->flow, &change, &vehicle, &revoked);
	secret_wipe(&change.name, sizeof change.name);
	if (problem != PROBLEM_NONE)
		return problem;
	if (revoked > 0)
		call_mark_revoked(call);
	return answer_vehicle(call, &vehicle);
}
