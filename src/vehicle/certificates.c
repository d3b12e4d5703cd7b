#include "vehicle/certificates.h"

#include "vehicle/change.h"
#include "vehicle/issuance.h"

#include <stdio.h>

/* Each lost race means that another change of the same vehicle was made. */
#define ATTEMPTS_MAX 16

void credentials_release(struct credentials *credentials)
{
	buf_release(&credentials->certificate_pem);
	buf_release(&credentials->chain_pem);
	buf_release(&credentials->private_key_pem);
}

bool certificate_is_live(const struct certificate_record *record, const struct vehicle *vehicle, int64_t now_ms)
{
	return !record->is_revoked && record->not_after_ms > now_ms && vehicle->device_id[0] != '\0' &&
	       strcmp(record->device_id, vehicle->device_id) == 0;
}

/* ---- renewal -------------------------------------------------------------------------------------- */

static enum problem check_renewable(struct flow_request *request, const struct vehicle *vehicle)
{
	if (vehicle->state == VEHICLE_SUSPENDED || vehicle->state == VEHICLE_DECOMMISSIONED)
		return PROBLEM_VEHICLE_NOT_PROVISIONABLE;
	if (vehicle->device_id[0] == '\0') {
		snprintf(request->detail, sizeof(request->detail), "The vehicle has no device to issue to.");
		return PROBLEM_DEVICE_MISMATCH;
	}
	return PROBLEM_NONE;
}

/* Revokes what the renewal replaces, or finds that there is no room beside it. */
static enum problem make_room(struct change *change, const struct vehicle *vehicle,
			      const struct certificate_renewal *renewal)
{
	enum revocation_reason reason =
		renewal->reason == REVOCATION_UNSPECIFIED ? REVOCATION_SUPERSEDED : renewal->reason;
	struct certificate_list valid;
	enum result result = certificates_read_valid(change->request, &vehicle->reference_id, &valid);

	if (result != RESULT_OK)
		return problem_of_result(result);
	if (!renewal->revoke_others)
		return valid.count < CERTIFICATES_LIVE_MAX ? PROBLEM_NONE : PROBLEM_CERTIFICATE_LIMIT;
	for (size_t i = 0; i < valid.count; i++)
		change_revoke(change, &valid.records[i], reason);
	return PROBLEM_NONE;
}

static enum problem commit_renewal(struct change *change, struct vehicle *vehicle,
				   const struct certificate_record *record, bool *ret_again)
{
	enum registry_conflict conflict;

	change_update_vehicle(change, vehicle);
	change_add_certificate(change, record);
	enum result result = change_commit(change, &conflict);
	*ret_again = conflict == REGISTRY_CONFLICT_VERSION;
	if (conflict == REGISTRY_CONFLICT_CERTIFIED_KEY)
		return PROBLEM_KEY_REUSED;
	return problem_of_result(result);
}

static enum problem renew_once(struct flow_request *request, const struct uuid *reference_id,
			       const struct certificate_renewal *renewal, struct credentials *ret_credentials,
			       bool *ret_again)
{
	CERTIFICATE_ORDER_CLEANUP struct certificate_order order = {0};
	struct vehicle_name name = {.by = VEHICLE_BY_REFERENCE_ID, .reference_id = *reference_id};
	struct certificate_record record;
	struct vehicle vehicle;
	struct change change;

	change_init(&change, request);
	enum problem problem = vehicle_find(request, &name, NULL, &vehicle);
	if (problem == PROBLEM_NONE)
		problem = check_renewable(request, &vehicle);
	if (problem == PROBLEM_NONE)
		problem = certificate_order_make_for(request, renewal->csr, &vehicle, &order);
	if (problem == PROBLEM_NONE)
		problem = make_room(&change, &vehicle, renewal);
	if (problem == PROBLEM_NONE)
		problem = certificate_order_issue(request, &order, &vehicle, &record, ret_credentials);
	if (problem == PROBLEM_NONE)
		problem = commit_renewal(&change, &vehicle, &record, ret_again);
	return problem;
}

enum problem certificates_renew(struct flow_request *request, const struct uuid *reference_id,
				const struct certificate_renewal *renewal, struct credentials *ret_credentials)
{
	enum problem problem = PROBLEM_UNAVAILABLE;
	bool again = true;

	for (int attempt = 0; again && attempt < ATTEMPTS_MAX; attempt++) {
		CREDENTIALS_CLEANUP struct credentials credentials = {0};

		again = false;
		problem = renew_once(request, reference_id, renewal, &credentials, &again);
		if (problem != PROBLEM_NONE)
			continue;
		*ret_credentials = credentials;
		credentials = (struct credentials){0};
	}
	return problem;
}

/* ---- CRL ------------------------------------------------------------------------------------------ */

enum result crl_make(const struct platform *platform, struct buf *ret_der, struct note *note)
{
	ARENA_CLEANUP struct arena arena = {.size_max = (size_t)1 << 30}; /* some 10 million revoked ones */
	struct revoked_certificate *revoked;
	size_t count;

	TRY(platform->registry->ops->scan_revoked(platform->registry, clock_now_ms(platform->clock), &arena, &revoked,
						  &count, note));
	return platform->authority->ops->sign_crl(platform->authority, revoked, count, ret_der, note);
}
