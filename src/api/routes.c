#include "api/routes.h"

#include "api/handlers.h"

#include <stdio.h>

#define BODY_SMALL   ((size_t)16 * 1024)
#define BODY_SIGNALS ((size_t)4 * 1024 * 1024) /* some thousand signals, each described */
#define BODY_CSR     ((size_t)64 * 1024)       /* a CSR in PEM, attributes, and JSON's escapes */

/* What a row leaves out is zero: a client, the API listener, no body, not idempotent. */
const struct route routes[] = {
	/* conversion first: it is asked for most */
	{.method = HTTP_POST,
	 .pattern = "/v1/reference-ids/lookup",
	 .scopes = SCOPE_REFID_LOOKUP,
	 .action = "reference-id.lookup",
	 .body_size_max = 4096,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_BATCH,
	 .handler = lookup_prepare},
	{.method = HTTP_POST,
	 .pattern = "/v1/reference-ids/lookup-batch",
	 .scopes = SCOPE_REFID_LOOKUP_BATCH,
	 .action = "reference-id.lookup-batch",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .handler = lookup_batch},

	{.method = HTTP_POST,
	 .pattern = "/v1/vehicles",
	 .scopes = SCOPE_VEHICLE_PROVISION,
	 .action = "vehicle.provision",
	 .body_size_max = BODY_CSR,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .location_member = "referenceId",
	 .handler = vehicle_provision},
	{.method = HTTP_GET,
	 .pattern = "/v1/vehicles",
	 .scopes = SCOPE_VEHICLE_READ,
	 .action = "vehicle.list",
	 .place = ROUTE_POOL,
	 .handler = vehicle_list},
	{.method = HTTP_GET,
	 .pattern = "/v1/vehicles/{referenceId}",
	 .scopes = SCOPE_VEHICLE_READ,
	 .action = "vehicle.read",
	 .place = ROUTE_POOL,
	 .handler = vehicle_read},
	{.method = HTTP_PATCH,
	 .pattern = "/v1/vehicles/{referenceId}",
	 .scopes = SCOPE_VEHICLE_WRITE,
	 .action = "vehicle.update",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .handler = vehicle_update},
	{.method = HTTP_GET,
	 .pattern = "/v1/vehicles/{referenceId}/history",
	 .scopes = SCOPE_VEHICLE_READ,
	 .action = "vehicle.history",
	 .place = ROUTE_POOL,
	 .handler = vehicle_history},
	{.method = HTTP_POST,
	 .pattern = "/v1/vehicles/{referenceId}/certificates",
	 .scopes = SCOPE_VEHICLE_PROVISION,
	 .action = "vehicle.renew-certificate",
	 .body_size_max = BODY_CSR,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .handler = vehicle_renew_certificate},
	{.method = HTTP_GET,
	 .pattern = "/v1/vehicles/{referenceId}/access-report",
	 .scopes = SCOPE_AUDIT_READ,
	 .action = "vehicle.access-report",
	 .place = ROUTE_POOL,
	 .handler = vehicle_access_report},

	{.method = HTTP_POST,
	 .pattern = "/v1/vehicles/{referenceId}/commands",
	 .scopes = SCOPE_COMMAND_SEND,
	 .action = "command.send",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .location_member = "commandId",
	 .handler = command_send},
	{.method = HTTP_GET,
	 .pattern = "/v1/vehicles/{referenceId}/commands",
	 .scopes = SCOPE_COMMAND_SEND,
	 .action = "command.list",
	 .place = ROUTE_POOL,
	 .handler = command_list},
	{.method = HTTP_GET,
	 .pattern = "/v1/vehicles/{referenceId}/commands/{commandId}",
	 .scopes = SCOPE_COMMAND_SEND,
	 .action = "command.read",
	 .place = ROUTE_POOL,
	 .handler = command_read},
	{.method = HTTP_GET,
	 .pattern = "/v1/vehicles/{referenceId}/signals/latest",
	 .scopes = SCOPE_SIGNAL_READ,
	 .action = "signal.read-latest",
	 .place = ROUTE_POOL,
	 .handler = signals_read_latest},
	{.method = HTTP_GET,
	 .pattern = "/v1/vehicles/{referenceId}/signals",
	 .scopes = SCOPE_SIGNAL_READ,
	 .action = "signal.read",
	 .place = ROUTE_POOL,
	 .handler = signals_read},
	{.method = HTTP_GET,
	 .pattern = "/v1/alerts",
	 .scopes = SCOPE_AUDIT_READ,
	 .action = "alert.list",
	 .place = ROUTE_POOL,
	 .handler = alert_list},

	{.method = HTTP_POST,
	 .pattern = "/v1/tcu-changes",
	 .scopes = SCOPE_TCU_CHANGE,
	 .action = "tcu.change",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .handler = tcu_change_apply},
	{.method = HTTP_POST,
	 .pattern = "/v1/devices",
	 .scopes = SCOPE_DEVICE_MANIFEST,
	 .action = "device.manifest",
	 .body = ROUTE_BODY_NDJSON,
	 .place = ROUTE_STREAM,
	 .handler = manifest_answer},

	{.method = HTTP_POST,
	 .pattern = "/v1/reveal-requests",
	 .scopes = SCOPE_VIN_REVEAL,
	 .action = "reveal.request",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .location_member = "revealRequestId",
	 .handler = reveal_request_create},
	{.method = HTTP_GET,
	 .pattern = "/v1/reveal-requests/{id}",
	 .scopes = SCOPE_VIN_REVEAL | SCOPE_VIN_APPROVE,
	 .action = "reveal.read",
	 .place = ROUTE_POOL,
	 .handler = reveal_request_read},
	{.method = HTTP_POST,
	 .pattern = "/v1/reveal-requests/{id}/approve",
	 .scopes = SCOPE_VIN_APPROVE,
	 .action = "reveal.approve",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_EMPTY,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .handler = reveal_request_approve},
	/* not idempotent: what it answers must never be kept, and asking again is 410 (rule 11) */
	{.method = HTTP_POST,
	 .pattern = "/v1/reveal-requests/{id}/open",
	 .scopes = SCOPE_VIN_REVEAL,
	 .action = "reveal.open",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_EMPTY,
	 .place = ROUTE_POOL,
	 .handler = reveal_request_open},

	{.method = HTTP_GET,
	 .pattern = "/v1/audit/entries",
	 .scopes = SCOPE_AUDIT_READ,
	 .action = "audit.read",
	 .place = ROUTE_POOL,
	 .handler = audit_entries},
	{.method = HTTP_GET,
	 .pattern = "/v1/audit/log/checkpoint",
	 .scopes = SCOPE_PLATFORM_AUDIT,
	 .action = "audit.checkpoint",
	 .place = ROUTE_POOL,
	 .handler = audit_checkpoint},
	{.method = HTTP_GET,
	 .pattern = "/v1/audit/log/tile/{tile*}",
	 .scopes = SCOPE_PLATFORM_AUDIT,
	 .action = "audit.tile",
	 .place = ROUTE_POOL,
	 .handler = audit_tile},

	{.method = HTTP_GET,
	 .pattern = "/v1/clients",
	 .scopes = SCOPE_ADMIN,
	 .action = "client.list",
	 .place = ROUTE_POOL,
	 .handler = client_list},
	{.method = HTTP_POST,
	 .pattern = "/v1/clients",
	 .scopes = SCOPE_ADMIN,
	 .action = "client.create",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .location_member = "clientId",
	 .handler = client_create},
	{.method = HTTP_GET,
	 .pattern = "/v1/clients/{id}",
	 .scopes = SCOPE_ADMIN,
	 .action = "client.read",
	 .place = ROUTE_POOL,
	 .handler = client_read},
	{.method = HTTP_POST,
	 .pattern = "/v1/clients/{id}/suspend",
	 .scopes = SCOPE_ADMIN,
	 .action = "client.suspend",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_EMPTY,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .handler = client_suspend},
	{.method = HTTP_POST,
	 .pattern = "/v1/clients/{id}/resume",
	 .scopes = SCOPE_ADMIN,
	 .action = "client.resume",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_EMPTY,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .handler = client_resume},
	{.method = HTTP_POST,
	 .pattern = "/v1/clients/{id}/certificates",
	 .scopes = SCOPE_ADMIN,
	 .action = "client.add-certificate",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .handler = client_add_certificate},
	{.method = HTTP_DELETE,
	 .pattern = "/v1/clients/{id}/certificates/{fingerprint}",
	 .scopes = SCOPE_ADMIN,
	 .action = "client.remove-certificate",
	 .place = ROUTE_POOL,
	 .handler = client_remove_certificate},

	{.method = HTTP_GET,
	 .pattern = "/v1/claims",
	 .scopes = SCOPE_ADMIN,
	 .action = "claim.list",
	 .place = ROUTE_POOL,
	 .handler = claim_list},
	{.method = HTTP_POST,
	 .pattern = "/v1/claims",
	 .scopes = SCOPE_ADMIN,
	 .action = "claim.create",
	 .body_size_max = BODY_CSR,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .location_member = "name",
	 .handler = claim_create},
	{.method = HTTP_GET,
	 .pattern = "/v1/claims/{name}",
	 .scopes = SCOPE_ADMIN,
	 .action = "claim.read",
	 .place = ROUTE_POOL,
	 .handler = claim_read},
	{.method = HTTP_POST,
	 .pattern = "/v1/claims/{name}/revoke",
	 .scopes = SCOPE_ADMIN,
	 .action = "claim.revoke",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_EMPTY,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .handler = claim_revoke},

	{.method = HTTP_GET,
	 .pattern = "/v1/tenants",
	 .scopes = SCOPE_PLATFORM,
	 .action = "tenant.list",
	 .place = ROUTE_POOL,
	 .handler = tenant_list},
	{.method = HTTP_POST,
	 .pattern = "/v1/tenants",
	 .scopes = SCOPE_PLATFORM,
	 .action = "tenant.create",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .handler = tenant_create},

	{.method = HTTP_GET,
	 .pattern = "/.well-known/est/cacerts",
	 .caller = ROUTE_ANYBODY,
	 .action = "est.cacerts",
	 .place = ROUTE_POOL,
	 .handler = est_cacerts},
	{.method = HTTP_POST,
	 .pattern = "/.well-known/est/simpleenroll",
	 .caller = ROUTE_CLAIM,
	 .action = "est.enroll",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_PKCS10,
	 .place = ROUTE_POOL,
	 .handler = est_enroll},
	{.method = HTTP_POST,
	 .pattern = "/.well-known/est/simplereenroll",
	 .caller = ROUTE_DEVICE,
	 .action = "est.renew",
	 .body_size_max = BODY_SMALL,
	 .body = ROUTE_BODY_PKCS10,
	 .place = ROUTE_POOL,
	 .handler = est_renew},

	{.method = HTTP_GET,
	 .pattern = "/openapi.json",
	 .caller = ROUTE_ANYBODY,
	 .action = "openapi.read",
	 .handler = openapi_document},

	{.method = HTTP_GET,
	 .pattern = "/v1/signal-documents",
	 .scopes = SCOPE_ADMIN,
	 .action = "signal-documents.list",
	 .place = ROUTE_POOL,
	 .handler = signal_documents_read},
	{.method = HTTP_POST,
	 .pattern = "/v1/signal-documents",
	 .scopes = SCOPE_ADMIN,
	 .action = "signal-documents.load",
	 .body_size_max = BODY_SIGNALS,
	 .body = ROUTE_BODY_JSON,
	 .place = ROUTE_POOL,
	 .is_idempotent = true,
	 .handler = signal_documents_create},

	{.method = HTTP_GET,
	 .pattern = "/healthz",
	 .caller = ROUTE_ANYBODY,
	 .action = "health.read",
	 .listener = ROUTE_OPERATIONS,
	 .handler = operations_health},
	{.method = HTTP_GET,
	 .pattern = "/readyz",
	 .caller = ROUTE_ANYBODY,
	 .action = "ready.read",
	 .place = ROUTE_POOL,
	 .listener = ROUTE_OPERATIONS,
	 .handler = operations_ready},
	{.method = HTTP_GET,
	 .pattern = "/metrics",
	 .caller = ROUTE_ANYBODY,
	 .action = "metrics.read",
	 .place = ROUTE_POOL,
	 .listener = ROUTE_OPERATIONS,
	 .handler = operations_metrics},
	{.method = HTTP_GET,
	 .pattern = "/crl/device.crl",
	 .caller = ROUTE_ANYBODY,
	 .action = "crl.read",
	 .listener = ROUTE_OPERATIONS,
	 .handler = operations_crl},
};

const size_t route_count = sizeof routes / sizeof routes[0];
_Static_assert(sizeof routes / sizeof routes[0] <= ROUTE_COUNT_MAX, "metrics have a place for every route");

const char *http_method_name(enum http_method method)
{
	static const char *const names[] = {
		[HTTP_GET] = "GET",	    [HTTP_HEAD] = "HEAD",	   [HTTP_POST] = "POST",
		[HTTP_PUT] = "PUT",	    [HTTP_PATCH] = "PATCH",	   [HTTP_DELETE] = "DELETE",
		[HTTP_OPTIONS] = "OPTIONS", [HTTP_METHOD_OTHER] = "OTHER",
	};
	return names[method];
}

/* The segment of the path that starts at `at`, up to the next slash or the end. */
static struct span segment_at(struct span path, size_t at)
{
	size_t end = at;
	while (end < path.size && path.data[end] != '/')
		end++;
	return span_of(path.data + at, end - at);
}

bool route_pattern_matches(const char *pattern, struct span path, struct span ret_parameters[ROUTE_PARAMETERS_MAX])
{
	size_t at = 0, count = 0;
	for (const char *p = pattern; *p != '\0';) {
		if (*p != '{') {
			if (at >= path.size || path.data[at] != (uint8_t)*p)
				return false;
			at++;
			p++;
			continue;
		}
		const char *end = strchr(p, '}');
		struct span taken = end[-1] == '*' ? span_of(path.data + at, path.size - at) : segment_at(path, at);
		if (taken.size == 0)
			return false;
		ret_parameters[count++] = taken;
		at += taken.size;
		p = end + 1;
	}
	return at == path.size;
}

enum result route_match(enum route_listener listener, enum http_method method, struct span path,
			const struct route **ret_route, struct span ret_parameters[ROUTE_PARAMETERS_MAX])
{
	const struct route *other = NULL;
	/* A HEAD is a GET whose body the transport does not send. */
	enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;

	if (path.size > 0 && memchr(path.data, '%', path.size) != NULL)
		return RESULT_ABSENT;
	for (size_t i = 0; i < route_count; i++) {
		const struct route *route = &routes[i];
		if (route->listener != listener || !route_pattern_matches(route->pattern, path, ret_parameters))
			continue;
		if (route->method == wanted) {
			*ret_route = route;
			return RESULT_OK;
		}
		other = route;
	}
	if (other == NULL)
		return RESULT_ABSENT;
	*ret_route = other;
	return RESULT_DENIED;
}

void route_allowed_methods(enum route_listener listener, struct span path, char *ret_text, size_t size)
{
	struct span ignored[ROUTE_PARAMETERS_MAX];
	size_t used = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; i < route_count && used < size; i++) {
		const struct route *route = &routes[i];
		if (route->listener != listener || !route_pattern_matches(route->pattern, path, ignored))
			continue;
		int added = snprintf(ret_text + used, size - used, "%s%s%s", used > 0 ? ", " : "",
				     http_method_name(route->method), route->method == HTTP_GET ? ", HEAD" : "");
		used += added > 0 ? (size_t)added : 0;
	}
}
