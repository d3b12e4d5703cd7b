#include "api/authentication.h"

#include "base/text.h"
#include "vehicle/claims.h"
#include "vehicle/enrollment.h"

#include <stdio.h>

/* A device renews its certificate once in months; what asks more often has gone astray. */
static const struct client_limits device_limits = {.requests_per_second = 1, .burst = 20};

bool is_known_later(const struct route *route)
{
	return route->caller == ROUTE_DEVICE || route->caller == ROUTE_CLAIM;
}

static enum problem refuse(struct call *call, const char *sentence)
{
	return call_explain(call, PROBLEM_UNAUTHENTICATED, "%s", sentence);
}

/* ---- from the head ---------------------------------------------------------------------------------- */

static enum problem find_client(struct call *call, const struct tls_peer *peer)
{
	call->snapshot = client_directory_take(call->api->directory);
	/* Not even when somebody has registered a device's fingerprint (product rule 12). */
	if (peer->authority == TLS_AUTHORITY_OPERATOR)
		call->principal = client_snapshot_find(call->snapshot, peer->fingerprint);
	if (call->principal == NULL)
		return refuse(call, "The client certificate is not registered to any client.");
	call->event.actor = call->principal->client.id;
	call->event.tenant = call->principal->client.tenant;
	call->flow.client = &call->principal->client;
	call->flow.tenant = call->principal->tenant;
	return call_take_tokens(call, 1);
}

static enum problem admit_device_certificate(struct call *call, const struct tls_peer *peer)
{
	const struct client_limits *limits =
		call->route->caller == ROUTE_DEVICE ? &device_limits : &call->api->config.limits;
	char bucket[sizeof("serial:") + 2 * SERIAL_SIZE] = "serial:"; /* no client is called so */

	if (peer->authority != TLS_AUTHORITY_DEVICE)
		return refuse(call, "The certificate is not of the device authority.");
	hex_format(span_of(peer->serial.bytes, SERIAL_SIZE), bucket + strlen("serial:"));
	rate_limit_take(call->api->rates, bucket, limits, 1, clock_monotonic_ms(call->api->platform->clock),
			&call->verdict);
	call->has_verdict = true;
	return call->verdict.is_allowed ? PROBLEM_NONE : PROBLEM_RATE_LIMITED;
}

enum problem authenticate(struct call *call)
{
	const struct tls_peer *peer = call->exchange->peer;

	if (peer == NULL)
		return refuse(call, "No client certificate was presented.");
	/* A connection can outlive the certificate it was opened with. */
	if (peer->not_after_ms <= clock_now_ms(call->api->platform->clock))
		return refuse(call, "The client certificate has expired.");
	return is_known_later(call->route) ? admit_device_certificate(call, peer) : find_client(call, peer);
}

/* ---- by the registry -------------------------------------------------------------------------------- */

/* From here on the request is that tenant's, and has a leaf of its own. Stands for a client in the flows. */
static enum problem introduce(struct call *call, const char *actor, const struct tenant_id *tenant)
{
	struct registry *registry = call->api->platform->registry;
	struct principal *principal = arena_alloc(&call->exchange->arena, sizeof *principal);

	if (principal == NULL)
		return PROBLEM_UNAVAILABLE;
	snprintf(principal->client.id, sizeof principal->client.id, "%s", actor);
	principal->client.tenant = *tenant;
	principal->client.state = CLIENT_ACTIVE;
	enum result result = registry->ops->get_tenant(registry, tenant, &principal->tenant, &call->flow.note);
	if (result != RESULT_OK)
		return result == RESULT_ABSENT ? PROBLEM_INTERNAL : problem_of_result(result);
	call->principal = principal;
	call->event.actor = principal->client.id;
	call->event.tenant = *tenant;
	call->flow.client = &principal->client;
	call->flow.tenant = principal->tenant;
	return PROBLEM_NONE;
}

static enum problem find_device(struct call *call, const struct serial *serial)
{
	struct certificate_record *record = arena_alloc(&call->exchange->arena, sizeof *record);
	bool is_known = false;

	if (record == NULL)
		return PROBLEM_UNAVAILABLE;
	enum problem verdict =
		enrollment_authenticate(call->api->platform, serial, record, &is_known, &call->flow.note);
	if (!is_known)
		return verdict == PROBLEM_UNAUTHENTICATED ? refuse(call, "The certificate is not a vehicle's.")
							  : verdict;
	call->event.has_reference_id = true;
	call->event.reference_id = record->reference_id;
	call->device = record;
	enum problem problem = introduce(call, ACTOR_DEVICE, &record->tenant);
	if (problem != PROBLEM_NONE)
		return problem;
	return verdict == PROBLEM_UNAUTHENTICATED ? refuse(call, "The certificate is revoked or has expired.")
						  : verdict;
}

static enum problem find_claim(struct call *call, const struct serial *serial)
{
	struct claim *claim = arena_alloc(&call->exchange->arena, sizeof *claim);
	char actor[sizeof("claim:") + CLAIM_NAME_LENGTH_MAX];

	if (claim == NULL)
		return PROBLEM_UNAVAILABLE;
	enum problem verdict = claims_authenticate(call->api->platform, serial, claim, &call->flow.note);
	if (verdict == PROBLEM_UNAUTHENTICATED)
		return refuse(call, "The certificate is not a claim's.");
	if (verdict != PROBLEM_NONE && verdict != PROBLEM_CLAIM_REFUSED)
		return verdict;
	snprintf(actor, sizeof actor, "claim:%s", claim->name);
	call->claim = claim;
	enum problem problem = introduce(call, actor, &claim->tenant);
	return problem != PROBLEM_NONE ? problem : verdict;
}

enum problem authenticate_by_registry(struct call *call)
{
	if (!is_known_later(call->route))
		return PROBLEM_NONE;
	const struct serial *serial = &call->exchange->peer->serial;
	return call->route->caller == ROUTE_DEVICE ? find_device(call, serial) : find_claim(call, serial);
}
