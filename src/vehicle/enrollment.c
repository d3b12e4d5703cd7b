#include "vehicle/enrollment.h"

#include "base/text.h"
#include "crypto/names.h"
#include "vehicle/change.h"
#include "vehicle/issuance.h"

#include <stdio.h>

/* Each lost race means that another change of the same vehicle was made. */
#define ATTEMPTS_MAX 16

#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)

/* One request, through all its attempts. */
struct enrollment {
	struct flow_request *request;
	const struct claim *claim;	  /* simpleenroll; NULL: */
	const struct reenrollment *asked; /* simplereenroll */
	struct span csr;
	char device_id[DEVICE_ID_SIZE]; /* simpleenroll: the CSR's CN */
	/* of this attempt */
	struct vehicle vehicle;
	struct change change;
	struct certificate_order order;
};

/* ---- who is asking ---------------------------------------------------------------------------------- */

enum problem enrollment_authenticate(const struct platform *platform, const struct serial *serial,
				     struct certificate_record *ret_record, bool *ret_is_known, struct note *note)
{
	struct registry *registry = platform->registry;
	struct certificate_record record;
	enum result result = registry->ops->find_certificate(registry, serial, &record, note);

	*ret_is_known = result == RESULT_OK;
	if (result == RESULT_ABSENT)
		return PROBLEM_UNAUTHENTICATED;
	if (result != RESULT_OK)
		return problem_of_result(result);
	*ret_record = record;
	return record.is_revoked || record.not_after_ms <= clock_now_ms(platform->clock) ? PROBLEM_UNAUTHENTICATED
											 : PROBLEM_NONE;
}

/* ---- what a CSR names ------------------------------------------------------------------------------- */

static enum problem explain(struct flow_request *request, enum problem problem, const char *sentence)
{
	snprintf(request->detail, sizeof(request->detail), "%s", sentence);
	return problem;
}

static enum problem read_names(struct flow_request *request, struct span csr, struct buf *der,
			       struct certified_names *ret_names)
{
	enum result result = csr_decode(csr, der, &request->note);

	if (result == RESULT_INVALID || result == RESULT_EXHAUSTED)
		return explain(request, PROBLEM_CSR_INVALID, request->note.text);
	if (result == RESULT_OK)
		result = csr_read_names(buf_span(der), ret_names);
	if (result == RESULT_INVALID)
		return explain(request, PROBLEM_CSR_INVALID, "the CSR's subject and extensions cannot be read");
	return problem_of_result(result);
}

static enum problem read_device_id(struct enrollment *enrollment)
{
	BUF_CLEANUP struct buf der = {0};
	struct certified_names names;
	char name[65];
	enum problem problem = read_names(enrollment->request, enrollment->csr, &der, &names);

	if (problem != PROBLEM_NONE)
		return problem;
	if (names_read_common_name(&names, name) != RESULT_OK ||
	    device_id_parse(span_of_text(name), enrollment->device_id) != RESULT_OK)
		return explain(enrollment->request, PROBLEM_CSR_INVALID,
			       "the CSR's subject must have one common name, which is the device ID");
	return PROBLEM_NONE;
}

static enum problem check_names(const struct enrollment *enrollment)
{
	BUF_CLEANUP struct buf der = {0};
	struct certified_names asked, has;
	enum problem problem = read_names(enrollment->request, enrollment->csr, &der, &asked);

	if (problem != PROBLEM_NONE)
		return problem;
	if (certificate_read_names(enrollment->asked->certificate, &has) != RESULT_OK)
		return PROBLEM_INTERNAL; /* it was issued here */
	return names_are_same(&asked, &has) ? PROBLEM_NONE : PROBLEM_NAMES_DIFFER;
}

static enum problem check_time(const struct enrollment *enrollment)
{
	struct flow_request *request = enrollment->request;
	const struct certificate_record *record = enrollment->asked->record;
	int64_t from_ms = record->not_after_ms - (record->not_after_ms - record->not_before_ms) / 3;
	char text[RFC3339_TEXT_SIZE];

	if (clock_now_ms(request->platform->clock) >= from_ms)
		return PROBLEM_NONE;
	rfc3339_format(from_ms, text);
	snprintf(request->detail, sizeof(request->detail),
		 "A certificate is renewed within the last third of its life: this one from %s on.", text);
	return PROBLEM_RENEWAL_TOO_EARLY;
}

/* ---- the vehicle ------------------------------------------------------------------------------------ */

static enum problem find_vehicle(struct enrollment *enrollment)
{
	struct flow_request *request = enrollment->request;
	struct registry *registry = request->platform->registry;
	struct vehicle *vehicle = &enrollment->vehicle;
	enum result result;

	if (enrollment->claim == NULL) {
		result = registry->ops->get_vehicle(registry, &request->tenant.id,
						    &enrollment->asked->record->reference_id, request->arena, vehicle,
						    &request->note);
		return result == RESULT_ABSENT ? PROBLEM_UNAUTHENTICATED : problem_of_result(result);
	}
	result = registry->ops->find_by_device(registry, &request->tenant.id, enrollment->device_id, request->arena,
					       vehicle, &request->note);
	if (result != RESULT_OK)
		return problem_of_result(result);
	/* Only now: what a CSR calls its device may be anything, a VIN too. */
	request->event->device_id = arena_copy_text(request->arena, span_of_text(vehicle->device_id));
	request->event->has_reference_id = true;
	request->event->reference_id = vehicle->reference_id;
	return PROBLEM_NONE;
}

static enum problem check_provisionable(const struct vehicle *vehicle)
{
	return vehicle->state == VEHICLE_SUSPENDED || vehicle->state == VEHICLE_DECOMMISSIONED
		       ? PROBLEM_VEHICLE_NOT_PROVISIONABLE
		       : PROBLEM_NONE;
}

/* ---- the certificates that it has ------------------------------------------------------------------- */

static bool is_asking(const struct enrollment *enrollment, const struct certificate_record *record)
{
	return enrollment->asked != NULL &&
	       memcmp(enrollment->asked->record->serial.bytes, record->serial.bytes, SERIAL_SIZE) == 0;
}

/* What lives beside the new one, when those for its own key are gone. */
struct standing {
	size_t live;
	bool asking_lives;
};

static enum problem take_stock(struct enrollment *enrollment, struct standing *ret_standing)
{
	struct flow_request *request = enrollment->request;
	int64_t now_ms = clock_now_ms(request->platform->clock);
	struct certificate_list valid;
	enum result result = certificates_read_valid(request, &enrollment->vehicle.reference_id, &valid);

	if (result != RESULT_OK)
		return problem_of_result(result);
	for (size_t i = 0; i < valid.count; i++) {
		const struct certificate_record *record = &valid.records[i];
		bool asks = is_asking(enrollment, record);

		if (!certificate_is_live(record, &enrollment->vehicle, now_ms))
			continue;
		ret_standing->asking_lives |= asks;
		if (!asks && memcmp(record->spki_sha256, enrollment->order.spki_sha256, SHA256_SIZE) == 0)
			change_revoke(&enrollment->change, record, REVOCATION_SUPERSEDED);
		else
			ret_standing->live++;
	}
	return PROBLEM_NONE;
}

/*
 * Each certificate that is replaced stands in the CRL and in the gateway's list to its end, and each is one of keyd's
 * budget, which is everybody's: whoever has one vehicle's key must not be able to use it up.
 */
static enum problem check_pace(struct enrollment *enrollment)
{
	struct flow_request *request = enrollment->request;
	struct registry *registry = request->platform->registry;
	struct certificate_record *newest;
	size_t count;
	enum result result =
		registry->ops->get_certificates(registry, &request->tenant.id, &enrollment->vehicle.reference_id,
						RENEWALS_A_DAY_MAX, request->arena, &newest, &count, &request->note);

	if (result != RESULT_OK)
		return problem_of_result(result);
	if (count < RENEWALS_A_DAY_MAX ||
	    newest[count - 1].not_before_ms + DAY_MS <= clock_now_ms(request->platform->clock))
		return PROBLEM_NONE;
	return explain(request, PROBLEM_CERTIFICATE_LIMIT, "The vehicle was given too many certificates within a day.");
}

/*
 * The one that asks was looked at before, but only here, under the vehicle's version, is it certain that it lives: it
 * may have been revoked, or its device changed, since.
 */
static enum problem make_room(struct enrollment *enrollment)
{
	struct standing standing = {0};
	enum problem problem = take_stock(enrollment, &standing);

	if (problem != PROBLEM_NONE)
		return problem;
	if (enrollment->claim != NULL)
		return standing.live > 0 ? PROBLEM_VEHICLE_HAS_CERTIFICATE : PROBLEM_NONE;
	if (!standing.asking_lives)
		return explain(enrollment->request, PROBLEM_UNAUTHENTICATED, "The certificate is revoked.");
	if (standing.live >= CERTIFICATES_LIVE_MAX)
		return explain(enrollment->request, PROBLEM_CERTIFICATE_LIMIT,
			       "The vehicle was given another certificate already, for another key.");
	return check_pace(enrollment);
}

/* ---- the change ------------------------------------------------------------------------------------- */

static void use_claim(struct enrollment *enrollment)
{
	struct registry_write write = {
		.kind = REGISTRY_USE_CLAIM,
		.claim_use = {.name = enrollment->claim->name,
			      .at_ms = clock_now_ms(enrollment->request->platform->clock)},
	};

	change_add(&enrollment->change, write);
}

static enum problem commit(struct enrollment *enrollment, const struct certificate_record *record, bool *ret_again)
{
	struct change *change = &enrollment->change;
	enum registry_conflict conflict;

	change_update_vehicle(change, &enrollment->vehicle);
	change_add_certificate(change, record);
	if (enrollment->claim != NULL)
		use_claim(enrollment);
	enum result result = change_commit(change, &conflict);
	*ret_again = conflict == REGISTRY_CONFLICT_VERSION;
	if (conflict == REGISTRY_CONFLICT_CERTIFIED_KEY)
		return PROBLEM_KEY_REUSED;
	if (conflict == REGISTRY_CONFLICT_CLAIM)
		return PROBLEM_CLAIM_REFUSED;
	return problem_of_result(result);
}

static enum problem attempt(struct enrollment *enrollment, struct credentials *ret_credentials, bool *ret_again)
{
	struct flow_request *request = enrollment->request;
	struct certificate_record record;
	enum problem problem = find_vehicle(enrollment);

	change_init(&enrollment->change, request);
	if (problem == PROBLEM_NONE)
		problem = check_provisionable(&enrollment->vehicle);
	if (problem == PROBLEM_NONE)
		problem =
			certificate_order_make_for(request, enrollment->csr, &enrollment->vehicle, &enrollment->order);
	if (problem == PROBLEM_NONE)
		problem = make_room(enrollment);
	if (problem == PROBLEM_NONE)
		problem = certificate_order_issue(request, &enrollment->order, &enrollment->vehicle, &record,
						  ret_credentials);
	if (problem == PROBLEM_NONE)
		problem = commit(enrollment, &record, ret_again);
	certificate_order_release(&enrollment->order);
	enrollment->order = (struct certificate_order){0};
	return problem;
}

static enum problem run(struct enrollment *enrollment, struct credentials *ret_credentials, bool *ret_revoked)
{
	enum problem problem = PROBLEM_UNAVAILABLE;
	bool again = true;

	for (int i = 0; again && i < ATTEMPTS_MAX; i++) {
		CREDENTIALS_CLEANUP struct credentials credentials = {0};

		again = false;
		problem = attempt(enrollment, &credentials, &again);
		if (problem != PROBLEM_NONE)
			continue;
		*ret_revoked = enrollment->change.revoked_count > 0;
		*ret_credentials = credentials;
		credentials = (struct credentials){0};
	}
	return problem;
}

enum problem enrollment_enroll(struct flow_request *request, const struct claim *claim, struct span csr,
			       struct credentials *ret_credentials, bool *ret_revoked)
{
	struct enrollment enrollment = {.request = request, .claim = claim, .csr = csr};
	enum problem problem = read_device_id(&enrollment);

	return problem == PROBLEM_NONE ? run(&enrollment, ret_credentials, ret_revoked) : problem;
}

enum problem enrollment_renew(struct flow_request *request, const struct reenrollment *asked,
			      struct credentials *ret_credentials, bool *ret_revoked)
{
	struct enrollment enrollment = {.request = request, .asked = asked, .csr = asked->csr};
	enum problem problem = check_names(&enrollment);

	if (problem == PROBLEM_NONE)
		problem = check_time(&enrollment);
	return problem == PROBLEM_NONE ? run(&enrollment, ret_credentials, ret_revoked) : problem;
}
