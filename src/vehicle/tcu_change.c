#include "vehicle/tcu_change.h"

#include "vehicle/change.h"
#include "vehicle/device.h"
#include "vehicle/issuance.h"

#include <stdio.h>

#define ATTEMPTS_MAX	  16
#define HISTORY_PAGE_SIZE 100

/* The request as read; empty device IDs are null. */
struct tcu_request {
	const struct vehicle_name *name;
	char device_id[DEVICE_ID_SIZE];
	char new_device_id[DEVICE_ID_SIZE];
};

/* ---- the body ------------------------------------------------------------------------------------- */

static enum problem read_device_ids(struct flow_request *request, const struct tcu_change *change,
				    const struct hashed_vin *hash, struct tcu_request *read)
{
	enum problem problem = PROBLEM_NONE;

	if (change->device_id.size > 0)
		problem = device_read_id(request, change->device_id, hash, read->device_id);
	if (problem == PROBLEM_NONE && change->new_device_id.size > 0)
		problem = device_read_id(request, change->new_device_id, hash, read->new_device_id);
	if (problem == PROBLEM_NONE && strcmp(read->device_id, read->new_device_id) == 0)
		problem = PROBLEM_DEVICE_UNCHANGED;
	return problem;
}

static enum problem read_body(struct flow_request *request, const struct tcu_change *change, struct tcu_request *read)
{
	struct hashed_vin hash;
	const struct hashed_vin *known = &hash;
	enum result result = RESULT_OK;

	if (change->name.by == VEHICLE_BY_VIN)
		result = vin_hash(&change->name.vin, &hash);
	else if (change->name.by == VEHICLE_BY_HASHED_VIN)
		hash = change->name.hashed_vin;
	else
		known = NULL;
	enum problem problem =
		result == RESULT_OK ? read_device_ids(request, change, known, read) : problem_of_result(result);
	secret_wipe(&hash, sizeof(hash));
	if (problem != PROBLEM_NONE)
		return problem;
	request->event->device_id = arena_copy_text(request->arena, span_of_text(read->device_id));
	request->event->new_device_id = arena_copy_text(request->arena, span_of_text(read->new_device_id));
	return PROBLEM_NONE;
}

/* ---- a change that was made before ------------------------------------------------------------------ */

static bool is_device_event(const struct history_entry *entry)
{
	return entry->event == HISTORY_DEVICE_CHANGED || entry->event == HISTORY_DEVICE_REMOVED ||
	       entry->event == HISTORY_PROVISIONED;
}

/* Is the newest change of the vehicle's device the one that is asked for? */
static enum result check_repeats(struct flow_request *request, const struct vehicle *vehicle,
				 const struct tcu_request *read, bool *ret_repeats)
{
	struct registry *registry = request->platform->registry;
	struct history_entry *entries;
	uint64_t before = 0;
	size_t count;

	*ret_repeats = false;
	do {
		TRY(registry->ops->get_history(registry, &vehicle->tenant, &vehicle->reference_id, before,
					       HISTORY_PAGE_SIZE, request->arena, &entries, &count, &request->note));
		for (size_t i = 0; i < count; i++) {
			if (!is_device_event(&entries[i]))
				continue;
			*ret_repeats = strcmp(entries[i].from, read->device_id) == 0 &&
				       strcmp(entries[i].to, read->new_device_id) == 0;
			return RESULT_OK;
		}
		if (count > 0)
			before = entries[count - 1].number;
	} while (count == HISTORY_PAGE_SIZE);
	return RESULT_OK;
}

/* The vehicle has another device than the request says: a repetition, or a mistake. */
static enum problem judge_other_device(struct flow_request *request, const struct vehicle *vehicle,
				       const struct tcu_request *read)
{
	bool repeats = false;

	if (strcmp(vehicle->device_id, read->new_device_id) == 0) {
		enum result result = check_repeats(request, vehicle, read, &repeats);
		if (result != RESULT_OK)
			return problem_of_result(result);
	}
	return repeats ? PROBLEM_NONE : device_refuse(request, PROBLEM_DEVICE_MISMATCH, read->device_id);
}

/* ---- the change ------------------------------------------------------------------------------------- */

static void move_state(struct change *change, struct vehicle *vehicle, enum vehicle_state state)
{
	struct history_entry entry = {.event = HISTORY_STATE_CHANGED};

	/* The device that comes has not connected yet: resuming leads to provisioned, too. */
	vehicle->state_before_suspension = VEHICLE_PROVISIONED;
	if (vehicle->state == state)
		return;
	snprintf(entry.from, sizeof(entry.from), "%s", vehicle_state_name(vehicle->state));
	snprintf(entry.to, sizeof(entry.to), "%s", vehicle_state_name(state));
	change_add_history(change, &vehicle->reference_id, entry);
	vehicle->state = state;
}

static enum problem revoke_certificates(struct change *change, const struct vehicle *vehicle,
					enum revocation_reason reason)
{
	struct certificate_list valid;
	enum result result = certificates_read_valid(change->request, &vehicle->reference_id, &valid);

	if (result != RESULT_OK)
		return problem_of_result(result);
	for (size_t i = 0; i < valid.count; i++)
		change_revoke(change, &valid.records[i], reason);
	return PROBLEM_NONE;
}

static enum problem draft(struct change *change, const struct tcu_request *read, struct vehicle *vehicle)
{
	bool is_delete = read->new_device_id[0] == '\0';
	struct device_manifest_entry entry;
	enum vehicle_state state;

	if (vehicle_transition(vehicle, VEHICLE_CHANGES_DEVICE, &state) != RESULT_OK)
		return PROBLEM_TRANSITION_NOT_ALLOWED;
	enum problem problem =
		is_delete ? PROBLEM_NONE : device_check_manifest(change->request, read->new_device_id, &entry);
	if (problem != PROBLEM_NONE)
		return problem;
	memcpy(vehicle->device_id, read->new_device_id, sizeof(vehicle->device_id));
	change_add_device_history(change, &vehicle->reference_id, read->device_id, read->new_device_id);
	move_state(change, vehicle, state);
	change_update_vehicle(change, vehicle);
	return revoke_certificates(change, vehicle,
				   is_delete ? REVOCATION_CESSATION_OF_OPERATION : REVOCATION_SUPERSEDED);
}

static enum problem change_once(struct flow_request *request, const struct tcu_request *read,
				struct vehicle *ret_vehicle, size_t *ret_revoked_count, bool *ret_again)
{
	enum registry_conflict conflict;
	struct vehicle vehicle;
	struct change change;
	enum problem problem = vehicle_find(request, read->name, PURPOSE_TCU_CHANGE, &vehicle);

	change_init(&change, request);
	if (problem != PROBLEM_NONE)
		return problem;
	if (strcmp(vehicle.device_id, read->device_id) == 0) {
		problem = draft(&change, read, &vehicle);
		if (problem != PROBLEM_NONE)
			return problem;
		enum result result = change_commit(&change, &conflict);
		*ret_again = conflict == REGISTRY_CONFLICT_VERSION;
		problem = conflict == REGISTRY_CONFLICT_DEVICE_ID
				  ? device_refuse(request, PROBLEM_DEVICE_IN_USE, read->new_device_id)
				  : problem_of_result(result);
	} else {
		problem = judge_other_device(request, &vehicle, read);
	}
	*ret_vehicle = vehicle;
	*ret_revoked_count = change.revoked_count;
	return problem;
}

enum problem tcu_change_run(struct flow_request *request, struct tcu_change *change, struct vehicle *ret_vehicle,
			    size_t *ret_revoked_count)
{
	struct tcu_request read = {.name = &change->name};
	enum problem problem = read_body(request, change, &read);
	bool again = problem == PROBLEM_NONE;

	for (int i = 0; again && i < ATTEMPTS_MAX; i++) {
		again = false;
		problem = change_once(request, &read, ret_vehicle, ret_revoked_count, &again);
	}
	secret_wipe(&change->name, sizeof(change->name));
	return problem;
}
