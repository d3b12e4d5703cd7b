#include "vehicle/provisioning.h"

#include "vehicle/attributes.h"
#include "vehicle/change.h"
#include "vehicle/device.h"
#include "vehicle/issuance.h"

#include <stdio.h>

/* Each lost race means that somebody else's change was made, so a request loses few. */
#define ATTEMPTS_MAX 16

/* One request, through all its attempts. Secret: wiped at the end. */
struct provisioner {
	struct flow_request *request;
	const struct provisioning *input;
	struct vin vin;
	struct hashed_vin hash;
	char device_id[DEVICE_ID_SIZE];
	const char *attributes;
	bool has_order;
	struct certificate_order order;
	bool is_name_taken; /* the prepared certificate's Reference ID is another vehicle's */
	/* of this attempt */
	struct vin_index_set indexes;
	struct vehicle holder; /* the vehicle that has the device */
	bool is_held;
};

static void provisioner_release(struct provisioner *provisioner)
{
	certificate_order_release(&provisioner->order);
	secret_wipe(provisioner, sizeof(*provisioner));
}
#define PROVISIONER_CLEANUP __attribute__((cleanup(provisioner_release)))

void provisioned_release(struct provisioned *provisioned)
{
	credentials_release(&provisioned->credentials);
}

/* ---- the body ------------------------------------------------------------------------------------- */

static enum problem judge_vin(struct provisioner *provisioner, struct provisioned *provisioned)
{
	enum check_digit_policy policy = provisioner->request->tenant.check_digit;

	if (vin_parse(provisioner->input->vin, &provisioner->vin) != RESULT_OK)
		return PROBLEM_VIN_INVALID;
	if (policy == CHECK_DIGIT_OFF || vin_has_check_digit(&provisioner->vin))
		return PROBLEM_NONE;
	if (policy == CHECK_DIGIT_ENFORCE)
		return PROBLEM_CHECK_DIGIT;
	provisioned->check_digit_fails = true;
	provisioner->request->event->subject = "check-digit-fails";
	return PROBLEM_NONE;
}

static enum problem judge_body(struct provisioner *provisioner, struct provisioned *provisioned)
{
	struct flow_request *request = provisioner->request;
	const struct provisioning *input = provisioner->input;
	enum problem problem = judge_vin(provisioner, provisioned);

	if (problem == PROBLEM_NONE)
		problem = problem_of_result(vin_hash(&provisioner->vin, &provisioner->hash));
	if (problem == PROBLEM_NONE)
		problem = device_read_id(request, input->device_id, &provisioner->hash, provisioner->device_id);
	if (problem != PROBLEM_NONE)
		return problem;
	/* The event outlives the provisioner. */
	request->event->device_id = arena_copy_text(request->arena, span_of_text(provisioner->device_id));
	if (input->attributes == NULL)
		return PROBLEM_NONE;
	return attributes_merge(request, NULL, input->attributes, &provisioner->attributes);
}

/* ---- common to both ways -------------------------------------------------------------------------- */

/* The key is judged (or made) once, however many attempts it takes. */
static enum problem ensure_order(struct provisioner *provisioner)
{
	struct device_manifest_entry device;

	if (provisioner->has_order)
		return PROBLEM_NONE;
	const struct provisioning *input = provisioner->input;
	enum problem problem = device_check_manifest(provisioner->request, provisioner->device_id, &device);
	if (problem == PROBLEM_NONE && input->prepared != NULL)
		problem = certificate_order_again(input->prepared, &device, &provisioner->order);
	else if (problem == PROBLEM_NONE)
		problem = certificate_order_make(provisioner->request, input->csr, &device, &provisioner->order);
	provisioner->has_order = problem == PROBLEM_NONE;
	return problem;
}

/* A certificate for the vehicle; the credentials stay empty when whoever asks has it already. */
struct grant {
	struct certificate_record record;
	struct credentials credentials;
	bool is_prepared;
};
static void grant_release(struct grant *grant)
{
	credentials_release(&grant->credentials);
}
#define GRANT_CLEANUP __attribute__((cleanup(grant_release)))

static void grant_prepared(const struct ownership *prepared, const struct vehicle *vehicle, struct grant *grant)
{
	grant->is_prepared = true;
	grant->record = (struct certificate_record){
		.serial = prepared->serial,
		.reference_id = vehicle->reference_id,
		.tenant = vehicle->tenant,
		.not_before_ms = prepared->not_before_ms,
		.not_after_ms = prepared->not_after_ms,
	};
	memcpy(grant->record.device_id, vehicle->device_id, sizeof(grant->record.device_id));
	memcpy(grant->record.spki_sha256, prepared->spki_sha256, SHA256_SIZE);
}

/* A prepared certificate serves when it carries the vehicle's name; else its key gets another. */
static enum problem make_grant(struct provisioner *provisioner, const struct vehicle *vehicle, struct grant *grant)
{
	const struct ownership *prepared = provisioner->input->prepared;
	enum problem problem = ensure_order(provisioner);

	if (problem != PROBLEM_NONE)
		return problem;
	if (prepared != NULL && uuid_equal(&prepared->reference_id, &vehicle->reference_id)) {
		grant_prepared(prepared, vehicle, grant);
		return PROBLEM_NONE;
	}
	return certificate_order_issue(provisioner->request, &provisioner->order, vehicle, &grant->record,
				       &grant->credentials);
}

/* *ret_again: somebody else was first, so read what is there now. */
static enum problem problem_of_conflict(struct provisioner *provisioner, enum registry_conflict conflict,
					bool *ret_again)
{
	switch (conflict) {
	case REGISTRY_CONFLICT_CERTIFIED_KEY:
		return PROBLEM_KEY_REUSED;
	case REGISTRY_CONFLICT_CLAIM:
		return PROBLEM_CLAIM_REFUSED;
	case REGISTRY_CONFLICT_OWNERSHIP:
		return PROBLEM_OWNERSHIP_INVALID;
	case REGISTRY_CONFLICT_REFERENCE_ID:
		provisioner->is_name_taken = true;
		break;
	default:
		break;
	}
	*ret_again = true;
	return PROBLEM_UNAVAILABLE;
}

/*
 * Commits the vehicle with its certificate. *ret_again: somebody else was first; the credentials are then of no
 * vehicle, and dropped.
 */
static enum problem commit(struct provisioner *provisioner, struct change *change, const struct vehicle *vehicle,
			   struct grant *grant, struct provisioned *provisioned, bool *ret_again)
{
	const struct ownership *prepared = provisioner->input->prepared;
	enum registry_conflict conflict;

	change_add_certificate(change, &grant->record);
	if (prepared != NULL)
		change_take_ownership(change, prepared, grant->is_prepared);
	enum result result = change_commit(change, &conflict);
	if (conflict != REGISTRY_CONFLICT_NONE)
		return problem_of_conflict(provisioner, conflict, ret_again);
	if (result != RESULT_OK)
		return problem_of_result(result);
	provisioned->vehicle = *vehicle;
	provisioned->has_credentials = !grant->is_prepared;
	provisioned->credentials = grant->credentials;
	grant->credentials = (struct credentials){0};
	return PROBLEM_NONE;
}

/* ---- a VIN seen for the first time ------------------------------------------------------------------ */

/* That of the prepared certificate, unless it was issued under the name of a vehicle that there is. */
static enum result choose_reference_id(const struct provisioner *provisioner, struct uuid *ret_id)
{
	const struct ownership *prepared = provisioner->input->prepared;

	if (prepared == NULL || provisioner->is_name_taken)
		return uuid_generate_v4(provisioner->request->platform->entropy, ret_id);
	*ret_id = prepared->reference_id;
	return RESULT_OK;
}

static enum result draft_vehicle(struct provisioner *provisioner, struct vehicle *ret_vehicle)
{
	struct flow_request *request = provisioner->request;
	const struct platform *platform = request->platform;
	int64_t now_ms = clock_now_ms(platform->clock);
	struct vehicle vehicle = {
		.tenant = request->tenant.id,
		.state = VEHICLE_PROVISIONED,
		.state_before_suspension = VEHICLE_PROVISIONED,
		.created_at_ms = now_ms,
		.updated_at_ms = now_ms,
		.version = 1,
		.attributes = provisioner->attributes,
	};

	TRY(choose_reference_id(provisioner, &vehicle.reference_id));
	memcpy(vehicle.device_id, provisioner->device_id, sizeof(vehicle.device_id));
	TRY(platform->keys->ops->seal_vin(platform->keys, &vehicle.tenant, &vehicle.reference_id, &provisioner->vin,
					  &vehicle.sealed, &request->note));
	*ret_vehicle = vehicle;
	return RESULT_OK;
}

static void add_new_vehicle(struct change *change, const struct provisioner *provisioner, const struct vehicle *vehicle)
{
	struct history_entry entry = {.event = HISTORY_PROVISIONED};

	memcpy(entry.to, vehicle->device_id, sizeof(entry.to));
	change_add(change, (struct registry_write){.kind = REGISTRY_INSERT_VEHICLE, .vehicle = vehicle});
	change_add(change, (struct registry_write){.kind = REGISTRY_INSERT_INDEXES,
						   .vin = {.reference_id = &vehicle->reference_id,
							   .tenant = &vehicle->tenant,
							   .indexes = &provisioner->indexes}});
	change_add_history(change, &vehicle->reference_id, entry);
}

static enum problem provision_new(struct provisioner *provisioner, struct provisioned *provisioned, bool *ret_again)
{
	struct flow_request *request = provisioner->request;
	GRANT_CLEANUP struct grant grant = {0};
	struct vehicle vehicle;
	struct change change;

	if (provisioner->is_held)
		return device_refuse(request, PROBLEM_DEVICE_IN_USE, provisioner->device_id);
	enum problem problem = ensure_order(provisioner);
	if (problem == PROBLEM_NONE)
		problem = problem_of_result(draft_vehicle(provisioner, &vehicle));
	if (problem == PROBLEM_NONE)
		problem = make_grant(provisioner, &vehicle, &grant);
	if (problem != PROBLEM_NONE)
		return problem;

	request->event->has_reference_id = true;
	request->event->reference_id = vehicle.reference_id;
	change_init(&change, request);
	add_new_vehicle(&change, provisioner, &vehicle);
	problem = commit(provisioner, &change, &vehicle, &grant, provisioned, ret_again);
	provisioned->is_created = problem == PROBLEM_NONE;
	request->event->has_reference_id = request->event->is_recorded; /* else it is nobody's */
	return problem;
}

/* ---- a VIN that is known ---------------------------------------------------------------------------- */

/* Attaches the device when the vehicle has none (product rule 1). */
static enum problem match_device(struct provisioner *provisioner, struct change *change, struct vehicle *vehicle)
{
	struct device_manifest_entry device;

	if (strcmp(vehicle->device_id, provisioner->device_id) == 0)
		return PROBLEM_NONE;
	if (vehicle->device_id[0] != '\0')
		return device_refuse(provisioner->request, PROBLEM_VEHICLE_HAS_OTHER_DEVICE, provisioner->device_id);
	if (provisioner->is_held)
		return device_refuse(provisioner->request, PROBLEM_DEVICE_IN_USE, provisioner->device_id);
	enum problem problem = device_check_manifest(provisioner->request, provisioner->device_id, &device);
	if (problem != PROBLEM_NONE)
		return problem;
	memcpy(vehicle->device_id, provisioner->device_id, sizeof(vehicle->device_id));
	change_add_device_history(change, &vehicle->reference_id, "", vehicle->device_id);
	return PROBLEM_NONE;
}

static bool is_superseded(const struct provisioner *provisioner, const struct certificate_record *record)
{
	const struct serial *superseded = provisioner->input->superseded;

	return superseded != NULL && memcmp(superseded->bytes, record->serial.bytes, SERIAL_SIZE) == 0;
}

/* Does it need credentials? No when one lives, unless that one is to be replaced. Who brings a certificate does. */
static enum problem needs_credentials(struct provisioner *provisioner, struct change *change,
				      const struct vehicle *vehicle, bool *ret_needs)
{
	struct flow_request *request = provisioner->request;
	int64_t now_ms = clock_now_ms(request->platform->clock);
	struct certificate_list valid;
	enum result result = certificates_read_valid(request, &vehicle->reference_id, &valid);
	bool has_live = false;

	if (result != RESULT_OK)
		return problem_of_result(result);
	for (size_t i = 0; i < valid.count; i++) {
		if (!certificate_is_live(&valid.records[i], vehicle, now_ms))
			continue;
		has_live = true;
		if (is_superseded(provisioner, &valid.records[i]))
			change_revoke(change, &valid.records[i], REVOCATION_SUPERSEDED);
	}
	*ret_needs = !has_live || change->revoked_count > 0;
	if (!*ret_needs && provisioner->input->prepared != NULL) {
		snprintf(request->detail, sizeof(request->detail), "The vehicle has a certificate that lives.");
		return PROBLEM_CERTIFICATE_LIMIT;
	}
	return PROBLEM_NONE;
}

static enum problem issue_to_known(struct provisioner *provisioner, struct change *change, struct vehicle *vehicle,
				   struct provisioned *provisioned, bool *ret_again)
{
	GRANT_CLEANUP struct grant grant = {0};
	enum problem problem = make_grant(provisioner, vehicle, &grant);

	if (problem != PROBLEM_NONE)
		return problem;
	change_update_vehicle(change, vehicle);
	return commit(provisioner, change, vehicle, &grant, provisioned, ret_again);
}

static enum problem provision_known(struct provisioner *provisioner, struct vehicle *vehicle,
				    struct provisioned *provisioned, bool *ret_again)
{
	struct audit_event *event = provisioner->request->event;
	struct change change;
	bool needs = false;

	/* That it is known has been told: a conversion (product rule 7). */
	event->purpose = PURPOSE_PROVISIONING;
	event->has_reference_id = true;
	event->reference_id = vehicle->reference_id;
	if (vehicle->state == VEHICLE_SUSPENDED || vehicle->state == VEHICLE_DECOMMISSIONED)
		return PROBLEM_VEHICLE_NOT_PROVISIONABLE;

	change_init(&change, provisioner->request);
	enum problem problem = match_device(provisioner, &change, vehicle);
	if (problem == PROBLEM_NONE)
		problem = needs_credentials(provisioner, &change, vehicle, &needs);
	if (problem != PROBLEM_NONE)
		return problem;
	if (needs)
		return issue_to_known(provisioner, &change, vehicle, provisioned, ret_again);
	provisioned->vehicle = *vehicle;
	return PROBLEM_NONE;
}

/* ---- one attempt ------------------------------------------------------------------------------------ */

/*
 * Reads who has the device, then who has the VIN. In this order: a vehicle is committed whole, so when the
 * device is held and the VIN, read later, is not known, then another vehicle holds the device.
 */
static enum result read_standing(struct provisioner *provisioner, struct vehicle *ret_vehicle)
{
	struct flow_request *request = provisioner->request;
	struct registry *registry = request->platform->registry;
	struct key_service *keys = request->platform->keys;
	const struct tenant_id *tenant = &request->tenant.id;
	struct uuid reference_id;
	bool found;

	enum result result = registry->ops->find_by_device(registry, tenant, provisioner->device_id, request->arena,
							   &provisioner->holder, &request->note);
	if (result != RESULT_OK && result != RESULT_ABSENT)
		return result;
	provisioner->is_held = result == RESULT_OK;
	TRY(keys->ops->index_vins(keys, tenant, &provisioner->hash, 1, &provisioner->indexes, &request->note));
	TRY(registry->ops->find_by_index(registry, tenant, &provisioner->indexes, 1, &reference_id, &found,
					 &request->note));
	if (!found)
		return RESULT_ABSENT;
	return registry->ops->get_vehicle(registry, tenant, &reference_id, request->arena, ret_vehicle, &request->note);
}

/*
 * The key may have been certified for this very VIN a moment ago, by the same request sent twice at once. A
 * certificate is committed with its vehicle, so the VIN, read later, is then known.
 */
static bool lost_to_its_twin(struct provisioner *provisioner, enum problem problem)
{
	struct vehicle vehicle;

	return problem == PROBLEM_KEY_REUSED && read_standing(provisioner, &vehicle) == RESULT_OK;
}

static enum problem attempt(struct provisioner *provisioner, struct provisioned *provisioned, bool *ret_again)
{
	struct vehicle vehicle;
	enum result result = read_standing(provisioner, &vehicle);

	if (result == RESULT_OK)
		return provision_known(provisioner, &vehicle, provisioned, ret_again);
	if (result != RESULT_ABSENT)
		return problem_of_result(result);
	enum problem problem = provision_new(provisioner, provisioned, ret_again);
	if (lost_to_its_twin(provisioner, problem))
		*ret_again = true;
	return problem;
}

enum problem provisioning_run(struct flow_request *request, const struct provisioning *input,
			      struct provisioned *ret_provisioned)
{
	PROVISIONER_CLEANUP struct provisioner provisioner = {.request = request, .input = input};
	struct provisioned provisioned = {0};
	enum problem problem = judge_body(&provisioner, &provisioned);
	bool again = problem == PROBLEM_NONE;

	for (int i = 0; again && i < ATTEMPTS_MAX; i++) {
		again = false;
		problem = attempt(&provisioner, &provisioned, &again);
	}
	if (problem == PROBLEM_NONE)
		*ret_provisioned = provisioned;
	return problem;
}
