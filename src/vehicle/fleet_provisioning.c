#include "vehicle/fleet_provisioning.h"

#include "base/text.h"
#include "crypto/names.h"
#include "vehicle/device.h"
#include "vehicle/issuance.h"

void claimed_certificate_release(struct claimed_certificate *certificate)
{
	secret_wipe(certificate->token, sizeof(certificate->token));
	buf_release(&certificate->der);
}

/*
 * The registry refuses what is too many when an ownership is entered, and by then its certificate was issued, out of
 * keyd's budget. So it is asked before, too.
 */
static enum problem check_room(struct flow_request *request, const struct claim *claim)
{
	const struct platform *platform = request->platform;
	size_t waiting = 0;
	enum result result = platform->registry->ops->count_ownerships(
		platform->registry, &claim->serial, clock_now_ms(platform->clock), &waiting, &request->note);

	if (result != RESULT_OK)
		return problem_of_result(result);
	return waiting < OWNERSHIPS_PER_CLAIM_MAX ? PROBLEM_NONE : PROBLEM_RATE_LIMITED;
}

/* ---- under which name ------------------------------------------------------------------------------- */

/* RESULT_ABSENT: no device is named, or none that waits for a certificate. */
static enum result find_waiting(struct flow_request *request, const char *device_id, struct uuid *ret_id)
{
	struct registry *registry = request->platform->registry;
	int64_t now_ms = clock_now_ms(request->platform->clock);
	struct certificate_list valid;
	struct vehicle vehicle;

	TRY(registry->ops->find_by_device(registry, &request->tenant.id, device_id, request->arena, &vehicle,
					  &request->note));
	if (vehicle.state == VEHICLE_SUSPENDED || vehicle.state == VEHICLE_DECOMMISSIONED)
		return RESULT_ABSENT;
	TRY(certificates_read_valid(request, &vehicle.reference_id, &valid));
	for (size_t i = 0; i < valid.count; i++)
		if (certificate_is_live(&valid.records[i], &vehicle, now_ms))
			return RESULT_ABSENT;
	*ret_id = vehicle.reference_id;
	return RESULT_OK;
}

static enum result choose_reference_id(struct flow_request *request, struct span csr_der, struct uuid *ret_id)
{
	struct certified_names names;
	char common_name[65], device_id[DEVICE_ID_SIZE];
	enum result result = RESULT_ABSENT;

	if (csr_read_names(csr_der, &names) == RESULT_OK && names_read_common_name(&names, common_name) == RESULT_OK &&
	    device_id_parse(span_of_text(common_name), device_id) == RESULT_OK)
		result = find_waiting(request, device_id, ret_id);
	if (result == RESULT_ABSENT)
		return uuid_generate_v4(request->platform->entropy, ret_id);
	if (result == RESULT_OK) {
		request->event->device_id = arena_copy_text(request->arena, span_of_text(device_id));
		request->event->has_reference_id = true;
		request->event->reference_id = *ret_id;
	}
	return result;
}

/* ---- a certificate ahead ---------------------------------------------------------------------------- */

static enum result make_token(const struct platform *platform, struct claimed_certificate *certificate,
			      uint8_t ret_sha256[static SHA256_SIZE])
{
	uint8_t token[OWNERSHIP_TOKEN_BYTES];
	enum result result = entropy_fill(platform->entropy, token, sizeof(token));

	if (result == RESULT_OK)
		result = sha256(span_of(token, sizeof(token)), ret_sha256);
	if (result == RESULT_OK)
		hex_format(span_of(token, sizeof(token)), certificate->token);
	secret_wipe(token, sizeof(token));
	return result;
}

static void fill_ownership(const struct platform *platform, const struct claim *claim,
			   const struct certificate_order *order, const struct issued_certificate *issued,
			   struct ownership *ownership)
{
	memcpy(ownership->claim, claim->name, sizeof(ownership->claim));
	ownership->tenant = claim->tenant;
	ownership->serial = issued->serial;
	memcpy(ownership->spki_sha256, issued->spki_sha256, SHA256_SIZE);
	ownership->not_before_ms = issued->not_before_ms;
	ownership->not_after_ms = issued->not_after_ms;
	ownership->created_at_ms = clock_now_ms(platform->clock);
	ownership->expires_at_ms = ownership->created_at_ms + OWNERSHIP_LIFETIME_MS;
	ownership->csr = buf_span(&order->csr_der);
}

/* The registry denies it durably with this change; the gateway learns it here, and cuts nobody: it is new. */
static void deny(const struct platform *platform, const struct ownership *ownership)
{
	struct gateway_revocation denied = {
		.serial = ownership->serial,
		.reference_id = ownership->reference_id, /* so that no other session is looked at */
		.not_after_ms = ownership->not_after_ms,
	};

	if (platform->gateway != NULL)
		platform->gateway->ops->revoke(platform->gateway, &denied, 1);
}

static enum problem enter(struct flow_request *request, const struct ownership *ownership)
{
	const struct platform *platform = request->platform;
	struct registry_write write = {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = ownership};
	enum registry_conflict conflict = REGISTRY_CONFLICT_NONE;

	request->event->has_serial = true;
	request->event->serial = ownership->serial;
	enum result result =
		audit_commit(platform, request->event, request->arena, &write, 1, &conflict, &request->note);
	if (request->event->is_recorded)
		deny(platform, ownership);
	else
		request->event->has_serial = false; /* it is nobody's */
	if (result != RESULT_CONFLICT)
		return problem_of_result(result);
	return conflict == REGISTRY_CONFLICT_CLAIM ? PROBLEM_CLAIM_REFUSED : PROBLEM_RATE_LIMITED;
}

static enum problem issue(struct flow_request *request, const struct claim *claim,
			  const struct certificate_order *order, struct claimed_certificate *certificate)
{
	struct issued_certificate issued = {0};
	struct ownership ownership = {0};
	enum result result = choose_reference_id(request, buf_span(&order->csr_der), &ownership.reference_id);

	if (result == RESULT_OK)
		result = make_token(request->platform, certificate, ownership.token_sha256);
	enum problem problem = problem_of_result(result);
	if (problem == PROBLEM_NONE)
		problem = certificate_order_issue_ahead(request, order, &ownership.reference_id, &issued);
	if (problem != PROBLEM_NONE)
		return problem;
	certificate->der = issued.der;
	fill_ownership(request->platform, claim, order, &issued, &ownership);
	return enter(request, &ownership);
}

enum problem fleet_provisioning_create(struct flow_request *request, const struct claim *claim, struct span csr,
				       struct claimed_certificate *ret_certificate)
{
	static const struct device_manifest_entry no_device; /* none is known yet: its key is judged when it is */
	CERTIFICATE_ORDER_CLEANUP struct certificate_order order = {0};
	CLAIMED_CERTIFICATE_CLEANUP struct claimed_certificate certificate = {0};

	enum problem problem = csr.size > 0 ? check_room(request, claim) : PROBLEM_CSR_INVALID;
	if (problem == PROBLEM_NONE)
		problem = certificate_order_make(request, csr, &no_device, &order);
	if (problem == PROBLEM_NONE)
		problem = issue(request, claim, &order, &certificate);
	if (problem != PROBLEM_NONE)
		return problem;
	*ret_certificate = certificate;
	certificate = (struct claimed_certificate){0};
	return PROBLEM_NONE;
}

/* ---- a vehicle -------------------------------------------------------------------------------------- */

static enum result find_ownership(struct flow_request *request, const struct claim *claim, struct span text,
				  struct ownership *ret_ownership)
{
	struct registry *registry = request->platform->registry;
	int64_t now_ms = clock_now_ms(request->platform->clock);
	uint8_t token[OWNERSHIP_TOKEN_BYTES], digest[SHA256_SIZE];

	if (hex_parse(text, false, token, sizeof(token)) != RESULT_OK)
		return RESULT_ABSENT;
	enum result result = sha256(span_of(token, sizeof(token)), digest);
	secret_wipe(token, sizeof(token));
	TRY(result);
	TRY(registry->ops->find_ownership(registry, digest, now_ms, request->arena, ret_ownership, &request->note));
	return strcmp(ret_ownership->claim, claim->name) == 0 ? RESULT_OK : RESULT_ABSENT;
}

/* Does the refusal tell whether the registry knows the VIN, or what it knows of it? */
static bool tells_of_vin(enum problem problem)
{
	switch (problem) {
	case PROBLEM_VEHICLE_HAS_OTHER_DEVICE:
	case PROBLEM_DEVICE_IN_USE:
	case PROBLEM_DEVICE_UNKNOWN:
	case PROBLEM_VEHICLE_NOT_PROVISIONABLE:
	case PROBLEM_CERTIFICATE_LIMIT:
	case PROBLEM_KEY_REUSED:
	case PROBLEM_KEY_MISMATCH:
		return true;
	default:
		return false;
	}
}

/*
 * Who could go on asking with one token would try VINs until one is known; and who could have another for it at once,
 * as fast as keyd issues certificates. The leaf is the refusal's own.
 */
static enum problem spend(struct flow_request *request, const struct ownership *ownership, enum problem refusal)
{
	const struct platform *platform = request->platform;
	struct registry_write write = {
		.kind = REGISTRY_SPEND_OWNERSHIP,
		.ownership_take = {.token_sha256 = ownership->token_sha256, .at_ms = clock_now_ms(platform->clock)}};
	struct change_set change = {
		.writes = &write, .count = 1, .log_size = platform->audit->ops->durable_size(platform->audit)};
	enum registry_conflict conflict;
	enum result result = platform->registry->ops->commit(platform->registry, &change, &conflict, &request->note);

	if (result == RESULT_OK)
		return refusal;
	request->detail[0] = '\0';
	return result == RESULT_CONFLICT ? PROBLEM_OWNERSHIP_INVALID : problem_of_result(result);
}

enum problem fleet_provisioning_run(struct flow_request *request, const struct claim *claim,
				    const struct claimed_provisioning *input, struct provisioned *ret_provisioned)
{
	struct ownership ownership;
	enum result result = find_ownership(request, claim, input->token, &ownership);

	if (result != RESULT_OK)
		return result == RESULT_ABSENT ? PROBLEM_OWNERSHIP_INVALID : problem_of_result(result);
	struct provisioning provisioning = {.vin = input->vin, .device_id = input->device_id, .prepared = &ownership};
	enum problem problem = provisioning_run(request, &provisioning, ret_provisioned);
	return tells_of_vin(problem) ? spend(request, &ownership, problem) : problem;
}
