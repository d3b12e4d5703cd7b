#include "vehicle/claims.h"

#include <stdio.h>

#define LIST_SIZE_MAX ((size_t)64 << 20)

static bool is_name_byte(uint8_t byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-';
}

enum result claim_name_parse(struct span text, char ret_name[static CLAIM_NAME_LENGTH_MAX + 1])
{
	struct uuid uuid;

	if (text.size == 0 || text.size > CLAIM_NAME_LENGTH_MAX || text.data[0] == '-')
		return RESULT_INVALID;
	for (size_t i = 0; i < text.size; i++)
		if (!is_name_byte(text.data[i]))
			return RESULT_INVALID;
	if (uuid_parse(text, &uuid) == RESULT_OK)
		return RESULT_INVALID;
	memset(ret_name, 0, CLAIM_NAME_LENGTH_MAX + 1);
	memcpy(ret_name, text.data, text.size);
	return RESULT_OK;
}

/* ---- registering ------------------------------------------------------------------------------------ */

static enum problem explain(struct flow_request *request, const char *sentence)
{
	snprintf(request->detail, sizeof(request->detail), "%s", sentence);
	return PROBLEM_VALUE_INVALID;
}

static enum problem judge_limits(struct flow_request *request, const struct claim_registration *registration,
				 struct claim *claim)
{
	if (vin_stands_in(registration->name))
		return PROBLEM_VIN_NOT_ALLOWED;
	if (claim_name_parse(registration->name, claim->name) != RESULT_OK)
		return explain(request, "A claim's name is a lower-case letter or digit, then those and '-', at most "
					"48, and no UUID.");
	if (registration->count_max < 1 || registration->count_max > CLAIM_COUNT_MAX)
		return explain(request, "A claim's count is 1 to 10000000.");
	claim->count_max = (uint32_t)registration->count_max;
	return PROBLEM_NONE;
}

/* The note of a judge of certificates is fit for the caller. */
static enum result read_certificate(struct flow_request *request, struct span pem, struct certificate_facts *facts)
{
	struct cert_authority *authority = request->platform->authority;
	BUF_CLEANUP struct buf chain = {0};
	BUF_CLEANUP struct buf der = {0};

	TRY(authority->ops->get_chain(authority, &chain, &request->note));
	TRY(certificate_pem_to_der(pem, &der, &request->note));
	TRY(certificate_read_der(buf_span(&der), facts, &request->note));
	return certificate_check_claim(buf_span(&der), buf_span(&chain), &request->note);
}

static enum problem judge_certificate(struct flow_request *request, struct span pem, struct claim *claim)
{
	struct certificate_facts facts;
	enum result result = read_certificate(request, pem, &facts);

	if (result == RESULT_INVALID)
		return explain(request, request->note.text);
	if (result != RESULT_OK)
		return problem_of_result(result);
	if (strcmp(facts.common_name, claim->name) != 0)
		return explain(request, "The claim's name must be its certificate's common name.");
	if (facts.not_after_ms <= claim->created_at_ms)
		return explain(request, "The certificate has expired.");
	claim->serial = facts.serial;
	claim->not_after_ms = facts.not_after_ms;
	return PROBLEM_NONE;
}

/* The trail tells which claim and which certificate it was about. */
static enum result commit(struct flow_request *request, enum registry_write_kind kind, const struct claim *claim)
{
	struct registry_write write = {.kind = kind, .claim = claim};
	enum registry_conflict conflict;

	request->event->subject = arena_copy_text(request->arena, span_of_text(claim->name));
	request->event->has_serial = true;
	request->event->serial = claim->serial;
	return audit_commit(request->platform, request->event, request->arena, &write, 1, &conflict, &request->note);
}

enum problem claims_register(struct flow_request *request, const struct claim_registration *registration,
			     struct claim *ret_claim)
{
	struct claim claim = {.tenant = request->tenant.id, .created_at_ms = clock_now_ms(request->platform->clock)};
	enum problem problem = judge_limits(request, registration, &claim);

	if (problem == PROBLEM_NONE)
		problem = judge_certificate(request, registration->certificate_pem, &claim);
	if (problem != PROBLEM_NONE)
		return problem;
	enum result result = commit(request, REGISTRY_INSERT_CLAIM, &claim);
	if (result == RESULT_OK)
		*ret_claim = claim;
	return result == RESULT_CONFLICT ? PROBLEM_ALREADY_EXISTS : problem_of_result(result);
}

/* ---- reading ---------------------------------------------------------------------------------------- */

enum problem claims_list(struct flow_request *request, struct claim **ret_claims, size_t *ret_count)
{
	struct registry *registry = request->platform->registry;

	request->arena->size_max = LIST_SIZE_MAX;
	return problem_of_result(registry->ops->list_claims(registry, &request->tenant.id, request->arena, ret_claims,
							    ret_count, &request->note));
}

enum problem claims_get(struct flow_request *request, const char *name, struct claim *ret_claim)
{
	struct registry *registry = request->platform->registry;

	return problem_of_result(
		registry->ops->get_claim(registry, &request->tenant.id, name, ret_claim, &request->note));
}

/* ---- revoking --------------------------------------------------------------------------------------- */

/* The registry has it durably already; here the live sessions are cut. */
static void tell_gateway(struct flow_request *request, const struct claim *claim)
{
	struct device_gateway *gateway = request->platform->gateway;
	struct gateway_revocation revoked = {.serial = claim->serial, .not_after_ms = claim->not_after_ms};

	if (gateway != NULL)
		gateway->ops->revoke(gateway, &revoked, 1);
}

enum problem claims_revoke(struct flow_request *request, const char *name, struct claim *ret_claim)
{
	struct claim claim;
	enum problem problem = claims_get(request, name, &claim);

	if (problem != PROBLEM_NONE)
		return problem;
	if (!claim.is_revoked) {
		claim.is_revoked = true;
		claim.revoked_at_ms = clock_now_ms(request->platform->clock);
		enum result result = commit(request, REGISTRY_REVOKE_CLAIM, &claim);
		if (request->event->is_recorded)
			tell_gateway(request, &claim);
		problem = problem_of_result(result);
	}
	if (problem == PROBLEM_NONE)
		*ret_claim = claim;
	return problem;
}

/* ---- authenticating --------------------------------------------------------------------------------- */

const char *claim_state_name(const struct claim *claim, int64_t now_ms)
{
	if (claim->is_revoked)
		return "revoked";
	if (claim->not_after_ms <= now_ms)
		return "expired";
	return claim->used >= claim->count_max ? "used-up" : "active";
}

enum problem claims_authenticate(const struct platform *platform, const struct serial *serial, struct claim *ret_claim,
				 struct note *note)
{
	struct claim claim;
	enum result result = platform->registry->ops->find_claim(platform->registry, serial, &claim, note);

	if (result == RESULT_ABSENT)
		return PROBLEM_UNAUTHENTICATED;
	if (result != RESULT_OK)
		return problem_of_result(result);
	*ret_claim = claim;
	if (claim.is_revoked || claim.not_after_ms <= clock_now_ms(platform->clock) || claim.used >= claim.count_max)
		return PROBLEM_CLAIM_REFUSED;
	return PROBLEM_NONE;
}
