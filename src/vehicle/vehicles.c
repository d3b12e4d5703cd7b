#include "vehicle/vehicles.h"

#include "vehicle/attributes.h"
#include "vehicle/change.h"
#include "vehicle/issuance.h"

#include <stdio.h>

#define TRIES	      4 /* against changes that come between reading and writing */
#define PAGE_SIZE_MAX (ARENA_SIZE_MAX_DEFAULT + VEHICLES_PAGE_MAX * (sizeof(struct vehicle) + 2 * ATTRIBUTES_SIZE_MAX))

/* ---- reading -------------------------------------------------------------------------------------- */

enum problem vehicles_get(struct flow_request *request, const struct uuid *reference_id, struct vehicle *ret_vehicle)
{
	struct vehicle_name name = {.by = VEHICLE_BY_REFERENCE_ID, .reference_id = *reference_id};

	return vehicle_find(request, &name, NULL, ret_vehicle);
}

enum problem vehicles_find_by_device(struct flow_request *request, struct span device_id, struct vehicle *ret_vehicle)
{
	struct registry *registry = request->platform->registry;
	char id[DEVICE_ID_SIZE];
	struct vehicle vehicle;

	/* What is no device ID is no vehicle's. */
	if (device_id_parse(device_id, id) != RESULT_OK)
		return PROBLEM_NOT_FOUND;
	enum result result = registry->ops->find_by_device(registry, &request->tenant.id, id, request->arena, &vehicle,
							   &request->note);
	if (result != RESULT_OK)
		return problem_of_result(result);
	request->event->has_reference_id = true;
	request->event->reference_id = vehicle.reference_id;
	*ret_vehicle = vehicle;
	return PROBLEM_NONE;
}

static size_t bounded(size_t limit, size_t limit_max)
{
	return limit == 0 || limit > limit_max ? limit_max : limit;
}

enum problem vehicles_list(struct flow_request *request, enum vehicle_state state, uint64_t cursor, size_t limit,
			   struct vehicle_page *ret_page)
{
	struct registry *registry = request->platform->registry;

	/* A full page of vehicles whose attributes are as large as they may be is more than a request usually needs. */
	request->arena->size_max = PAGE_SIZE_MAX;
	return problem_of_result(registry->ops->scan_vehicles(registry, &request->tenant.id, state, cursor,
							      bounded(limit, VEHICLES_PAGE_MAX), request->arena,
							      ret_page, &request->note));
}

enum problem vehicles_history(struct flow_request *request, const struct uuid *reference_id, uint64_t before,
			      size_t limit, struct history_page *ret_page)
{
	struct registry *registry = request->platform->registry;
	size_t wanted = bounded(limit, HISTORY_PAGE_MAX);
	struct history_page page = {0};
	struct vehicle vehicle;
	enum problem problem = vehicles_get(request, reference_id, &vehicle);

	if (problem != PROBLEM_NONE)
		return problem;
	/* One more than wanted tells whether there is a next page. */
	enum result result = registry->ops->get_history(registry, &request->tenant.id, reference_id, before, wanted + 1,
							request->arena, &page.entries, &page.count, &request->note);
	if (result != RESULT_OK)
		return problem_of_result(result);
	if (page.count > wanted) {
		page.count = wanted;
		page.next_before = page.entries[wanted - 1].number;
	}
	*ret_page = page;
	return PROBLEM_NONE;
}

/* ---- patching ------------------------------------------------------------------------------------- */

static void add_state_history(struct change *change, const struct vehicle *vehicle, enum vehicle_state next)
{
	struct history_entry entry = {.event = HISTORY_STATE_CHANGED};

	snprintf(entry.from, sizeof(entry.from), "%s", vehicle_state_name(vehicle->state));
	snprintf(entry.to, sizeof(entry.to), "%s", vehicle_state_name(next));
	change_add_history(change, &vehicle->reference_id, entry);
}

/* What a wanted state asks to happen. A vehicle that is not suspended cannot be resumed: the table says so. */
static enum vehicle_event event_for(enum vehicle_state wanted)
{
	switch (wanted) {
	case VEHICLE_SUSPENDED:
		return VEHICLE_IS_SUSPENDED;
	case VEHICLE_DECOMMISSIONED:
		return VEHICLE_IS_DECOMMISSIONED;
	case VEHICLE_PROVISIONED:
	case VEHICLE_ACTIVE:
		break;
	}
	return VEHICLE_IS_RESUMED;
}

/* Certificates go, and the device is free for another vehicle. */
static enum problem retire(struct change *change, struct vehicle *vehicle)
{
	struct certificate_list valid;
	enum result result = certificates_read_valid(change->request, &vehicle->reference_id, &valid);

	if (result != RESULT_OK)
		return problem_of_result(result);
	for (size_t i = 0; i < valid.count; i++)
		change_revoke(change, &valid.records[i], REVOCATION_CESSATION_OF_OPERATION);
	if (vehicle->device_id[0] != '\0')
		change_add_device_history(change, &vehicle->reference_id, vehicle->device_id, "");
	memset(vehicle->device_id, 0, sizeof(vehicle->device_id));
	return PROBLEM_NONE;
}

static enum problem patch_state(struct change *change, enum vehicle_state wanted, struct vehicle *vehicle)
{
	enum vehicle_state next;

	if (wanted == 0 || wanted == vehicle->state)
		return PROBLEM_NONE;
	if (vehicle_transition(vehicle, event_for(wanted), &next) != RESULT_OK) {
		snprintf(change->request->detail, sizeof(change->request->detail),
			 "A vehicle that is %s cannot be made %s.", vehicle_state_name(vehicle->state),
			 vehicle_state_name(wanted));
		return PROBLEM_TRANSITION_NOT_ALLOWED;
	}
	add_state_history(change, vehicle, next);
	if (next == VEHICLE_SUSPENDED)
		vehicle->state_before_suspension = vehicle->state;
	vehicle->state = next;
	return next == VEHICLE_DECOMMISSIONED ? retire(change, vehicle) : PROBLEM_NONE;
}

static enum problem patch_attributes(struct change *change, const json_t *patch, struct vehicle *vehicle)
{
	const char *before = vehicle->attributes == NULL ? "{}" : vehicle->attributes;

	if (patch == NULL)
		return PROBLEM_NONE;
	enum problem problem = attributes_merge(change->request, vehicle->attributes, patch, &vehicle->attributes);
	if (problem == PROBLEM_NONE && strcmp(before, vehicle->attributes) != 0)
		change_add_history(change, &vehicle->reference_id,
				   (struct history_entry){.event = HISTORY_ATTRIBUTES_CHANGED});
	return problem;
}

static enum problem check_version(const struct vehicle_patch *patch, const struct vehicle *vehicle)
{
	if (patch->any_version)
		return PROBLEM_NONE;
	if (!patch->has_version)
		return PROBLEM_VERSION_REQUIRED;
	return patch->version == vehicle->version ? PROBLEM_NONE : PROBLEM_VERSION_MISMATCH;
}

/* A patch that changes nothing writes nothing, and leaves the version. */
static enum problem commit_patch(struct change *change, struct vehicle *vehicle)
{
	enum registry_conflict conflict;

	if (change->count == 0)
		return problem_of_result(change->result);
	change_update_vehicle(change, vehicle);
	enum result result = change_commit(change, &conflict);
	return conflict == REGISTRY_CONFLICT_VERSION ? PROBLEM_VERSION_MISMATCH : problem_of_result(result);
}

static enum problem patch_once(struct flow_request *request, const struct uuid *reference_id,
			       const struct vehicle_patch *patch, struct vehicle *ret_vehicle,
			       size_t *ret_revoked_count)
{
	struct vehicle vehicle;
	struct change change;
	enum problem problem = vehicles_get(request, reference_id, &vehicle);

	change_init(&change, request);
	if (problem == PROBLEM_NONE)
		problem = check_version(patch, &vehicle);
	if (problem == PROBLEM_NONE)
		problem = patch_attributes(&change, patch->attributes, &vehicle);
	if (problem == PROBLEM_NONE)
		problem = patch_state(&change, patch->state, &vehicle);
	if (problem == PROBLEM_NONE)
		problem = commit_patch(&change, &vehicle);
	if (problem != PROBLEM_NONE)
		return problem;
	*ret_vehicle = vehicle;
	*ret_revoked_count = change.revoked_count;
	return PROBLEM_NONE;
}

/* Whoever names no version does not mind a change that came between, as a vehicle's first connection. */
enum problem vehicles_patch(struct flow_request *request, const struct uuid *reference_id,
			    const struct vehicle_patch *patch, struct vehicle *ret_vehicle, size_t *ret_revoked_count)
{
	enum problem problem = patch_once(request, reference_id, patch, ret_vehicle, ret_revoked_count);

	for (int i = 1; i < TRIES && problem == PROBLEM_VERSION_MISMATCH && patch->any_version; i++)
		problem = patch_once(request, reference_id, patch, ret_vehicle, ret_revoked_count);
	return problem;
}

/* ---- connecting ----------------------------------------------------------------------------------- */

/* Read after the vehicle, whose version the commit checks: so no change of device comes between unseen. */
static enum problem check_certificate(struct flow_request *request, const struct serial *serial, bool *ret_is_revoked)
{
	struct registry *registry = request->platform->registry;
	struct certificate_record now;
	enum result result = registry->ops->find_certificate(registry, serial, &now, &request->note);

	if (result == RESULT_OK)
		*ret_is_revoked = now.is_revoked;
	return problem_of_result(result);
}

static enum problem connect_once(struct flow_request *request, const struct certificate_record *certificate)
{
	enum vehicle_state next;
	struct vehicle vehicle;
	struct change change;
	bool is_revoked = false;
	enum problem problem = vehicles_get(request, &certificate->reference_id, &vehicle);

	if (problem != PROBLEM_NONE)
		return problem;
	if (vehicle_transition(&vehicle, VEHICLE_CONNECTS, &next) != RESULT_OK || next == vehicle.state)
		return PROBLEM_NONE;
	problem = check_certificate(request, &certificate->serial, &is_revoked);
	if (problem != PROBLEM_NONE || is_revoked)
		return problem;
	change_init(&change, request);
	add_state_history(&change, &vehicle, next);
	vehicle.state = next;
	return commit_patch(&change, &vehicle);
}

enum problem vehicles_connected(struct flow_request *request, const struct certificate_record *certificate)
{
	enum problem problem = PROBLEM_VERSION_MISMATCH;

	for (int i = 0; i < TRIES && problem == PROBLEM_VERSION_MISMATCH; i++)
		problem = connect_once(request, certificate);
	return problem == PROBLEM_VERSION_MISMATCH ? PROBLEM_UNAVAILABLE : problem;
}
