/*
 * The operations listener: plain HTTP, loopback by default, nobody authenticated, nothing secret: health, readiness,
 * metrics, the CRL.
 */
#include "api/call.h"
#include "base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum problem operations_health(struct call *call)
{
	struct json_writer writer;
	answer_json(call, 200, &writer);
	json_object_begin(&writer);
	json_member_text(&writer, "status", "ok");
	json_object_end(&writer);
	return answer_end(&writer);
}

/* ---- readiness -------------------------------------------------------------------------------------- */

/* The device gateway is told of, but without it this daemon can still do all else: it stays ready. */
struct readiness {
	bool registry, keys, audit, gateway, draining;
};

static bool gateway_answers(struct call *call)
{
	struct device_gateway *gateway = call->api->platform->gateway;
	struct gateway_status status = {0};
	if (gateway != NULL)
		gateway->ops->get_status(gateway, &status);
	return status.is_connected;
}

static bool keys_answer(struct call *call)
{
	struct key_service *keys = call->api->platform->keys;
	struct merkle_hash root;
	uint64_t size;
	return keys->ops->last_checkpoint(keys, &size, &root, &call->flow.note) == RESULT_OK;
}

static void find_readiness(struct call *call, struct readiness *ret)
{
	struct registry *registry = call->api->platform->registry;
	struct api_audit_state audit = {0};

	call->api->config.audit_state(call->api->config.context, &audit);
	ret->registry = registry->ops->check(registry, &call->flow.note) == RESULT_OK;
	ret->keys = keys_answer(call);
	ret->audit = !audit.is_failing;
	ret->gateway = gateway_answers(call);
	ret->draining = atomic_load(&call->api->is_draining);
}

static void write_check(struct json_writer *writer, const char *name, bool is_good)
{
	json_member_text(writer, name, is_good ? "ok" : "failing");
}

enum problem operations_ready(struct call *call)
{
	struct readiness ready;
	struct json_writer writer;

	find_readiness(call, &ready);
	bool is_ready = ready.registry && ready.keys && ready.audit && !ready.draining;
	answer_json(call, is_ready ? 200 : 503, &writer);
	if (!is_ready)
		answer_header(call, "Retry-After", "1");
	json_object_begin(&writer);
	json_member_text(&writer, "status", is_ready ? "ready" : ready.draining ? "draining" : "not-ready");
	json_key(&writer, "checks");
	json_object_begin(&writer);
	write_check(&writer, "registry", ready.registry);
	write_check(&writer, "keyService", ready.keys);
	write_check(&writer, "auditLog", ready.audit);
	if (call->api->platform->gateway != NULL)
		write_check(&writer, "deviceGateway", ready.gateway);
	json_object_end(&writer);
	json_object_end(&writer);
	return answer_end(&writer);
}

/* ---- metrics: Prometheus text format 0.0.4 ---------------------------------------------------------- */

static void answers_of(struct metrics *metrics, const struct api *api, size_t row, const char *method,
		       const char *pattern)
{
	for (int class = 0; class < 5; class ++) {
		uint64_t count = atomic_load_explicit(&api->counters.answers[row][class], memory_order_relaxed);
		if (count > 0 && metrics->result == RESULT_OK)
			metrics->result = buf_append_format(
				metrics->buf,
				"vinveil_http_responses_total{method=\"%s\",route=\"%s\",class=\"%dxx\"} %" PRIu64 "\n",
				method, pattern, class + 1, count);
	}
}

static void write_answers(struct metrics *metrics, const struct api *api)
{
	metrics_head(metrics, "http_responses_total", "counter", "Answers by route and class of status.");
	for (size_t i = 0; i < route_count; i++)
		answers_of(metrics, api, i, http_method_name(routes[i].method), routes[i].pattern);
	answers_of(metrics, api, ROUTE_COUNT_MAX, "", "");
}

static void write_counters(struct metrics *metrics, const struct api *api)
{
	const struct api_counters *counters = &api->counters;
	metrics_sample(metrics, "conversion_batches_total", "counter",
		       "Groups of lookups that went to the key service at once.",
		       atomic_load(&counters->conversion_batches));
	metrics_sample(metrics, "conversions_total", "counter", "Single lookups.", atomic_load(&counters->conversions));
	metrics_sample(metrics, "rate_limited_total", "counter", "Requests refused by rate limit.",
		       atomic_load(&counters->rate_limited));
	metrics_sample(metrics, "unauthenticated_total", "counter",
		       "Requests refused for want of a registered certificate.",
		       atomic_load(&counters->unauthenticated));
	metrics_sample(metrics, "unrecorded_total", "counter",
		       "Requests failed because the audit log did not take their leaf.",
		       atomic_load(&counters->leaf_failures));
}

static void write_transport(struct metrics *metrics, const struct api *api)
{
	struct http_server_counters counters = {0};
	api->config.transport_state(api->config.context, &counters);
	metrics_sample(metrics, "connections_open", "gauge", "Connections now.", counters.connections_open);
	metrics_sample(metrics, "connections_total", "counter", "Connections accepted.", counters.connections_total);
	metrics_sample(metrics, "connections_refused_total", "counter", "Connections closed at once: too many.",
		       counters.connections_refused);
	metrics_sample(metrics, "handshakes_failed_total", "counter", "TLS handshakes that failed.",
		       counters.handshakes_failed);
	metrics_sample(metrics, "http_requests_total", "counter", "Requests read.", counters.requests_total);
}

static void write_audit(struct metrics *metrics, const struct api *api)
{
	struct api_audit_state state = {0};
	api->config.audit_state(api->config.context, &state);
	metrics_sample(metrics, "audit_log_size", "gauge", "Leaves in the audit log.", state.size);
	metrics_sample(metrics, "audit_log_durable_size", "gauge", "Leaves that are durable.", state.durable_size);
	metrics_sample(metrics, "audit_log_checkpoint_size", "gauge", "Leaves under the newest signed checkpoint.",
		       state.checkpoint_size);
	metrics_head(metrics, "audit_log_checkpoint_lag_seconds", "gauge",
		     "How long leaves have been waiting for a checkpoint.");
	if (metrics->result == RESULT_OK)
		metrics->result =
			buf_append_format(metrics->buf, "vinveil_audit_log_checkpoint_lag_seconds %" PRId64 ".%03d\n",
					  state.checkpoint_age_ms / 1000, (int)(state.checkpoint_age_ms % 1000));
	metrics_sample(metrics, "audit_log_groups_total", "counter", "Groups of leaves made durable together.",
		       state.group_count);
	metrics_sample(metrics, "audit_log_failing", "gauge", "1 while the log cannot be written.",
		       state.is_failing ? 1 : 0);
}

/* As the broker's plugin last told; missing while it is silent. */
static void write_broker(struct metrics *metrics, const struct api_broker_state *state)
{
	if (!state->is_known)
		return;
	metrics_sample(metrics, "broker_refused_total", "counter", "Connections that the broker refused.",
		       state->refused);
	metrics_sample(metrics, "broker_kicked_total", "counter", "Sessions that a revocation or suspension ended.",
		       state->kicked);
	metrics_sample(metrics, "broker_flooded_total", "counter", "Sessions that ended for too many messages.",
		       state->flooded);
	metrics_sample(metrics, "broker_masked_total", "counter",
		       "VIN-shaped texts overwritten in what vehicles published.", state->masked);
	metrics_sample(metrics, "broker_telemetry_total", "counter", "Telemetry messages put into the spool.",
		       state->telemetry);
	metrics_sample(metrics, "broker_spool_refused_total", "counter", "Messages that a full spool refused.",
		       state->spool_refused);
	metrics_sample(metrics, "broker_claims_dropped_total", "counter",
		       "Requests of claims that found the queue to vinveild full.", state->claims_dropped);
}

static void write_fleet(struct metrics *metrics, const struct api *api)
{
	struct api_fleet_state state = {0};
	api->config.fleet_state(api->config.context, &state);
	metrics_sample(metrics, "vehicle_connections_total", "counter", "Connections of vehicles.", state.connections);
	metrics_sample(metrics, "command_responses_total", "counter", "Answers of vehicles to commands.",
		       state.command_responses);
	metrics_sample(metrics, "checkins_total", "counter", "Checkins of FleetWise agents.", state.checkins);
	metrics_sample(metrics, "cloned_keys_total", "counter",
		       "Second connections under a live client ID from another address.", state.cloned_keys);
	metrics_sample(metrics, "claims_provisioned_total", "counter", "Vehicles provisioned by claim over MQTT.",
		       state.claims_provisioned);
	metrics_sample(metrics, "claims_rejected_total", "counter", "Requests of claims that were rejected.",
		       state.claims_rejected);
	write_broker(metrics, &state.broker);
}

static void write_gateway(struct metrics *metrics, const struct api *api)
{
	struct device_gateway *gateway = api->platform->gateway;
	struct gateway_status status = {0};

	if (gateway == NULL)
		return;
	gateway->ops->get_status(gateway, &status);
	metrics_sample(metrics, "gateway_connected", "gauge", "1 while the broker takes what it is told.",
		       status.is_connected ? 1 : 0);
	metrics_sample(metrics, "gateway_denied", "gauge", "Entries of the deny list that was pushed last.",
		       status.denied);
	metrics_sample(metrics, "gateway_vehicles", "gauge", "Vehicles connected, as the broker last told.",
		       status.vehicles);
	metrics_sample(metrics, "gateway_queued", "gauge", "Messages not yet sent to the broker.", status.queued);
	if (api->config.fleet_state != NULL)
		write_fleet(metrics, api);
}

static uint64_t resident_bytes(void)
{
	unsigned long long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	if (file == NULL)
		return 0;
	int read = fscanf(file, "%llu %llu", &size, &resident);
	fclose(file);
	return read == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void write_registry(struct metrics *metrics, struct call *call)
{
	struct registry *registry = call->api->platform->registry;
	struct registry_counts counts;
	struct client_snapshot *snapshot = client_directory_take(call->api->directory);

	metrics_sample(metrics, "clients", "gauge", "Registered clients.", client_snapshot_count(snapshot));
	client_snapshot_release(snapshot);
	/* Without the registry its metrics are missing, the others are not. */
	if (registry->ops->count(registry, &counts, &call->flow.note) != RESULT_OK)
		return;
	metrics_sample(metrics, "vehicles", "gauge", "Vehicles in the registry.", counts.vehicles);
	metrics_sample(metrics, "outbox_leaves", "gauge", "Committed leaves not yet known to be in the log.",
		       counts.outbox);
}

enum problem operations_metrics(struct call *call)
{
	struct metrics metrics = {.buf = &call->exchange->response.body};

	answer_begin(call, 200, "text/plain; version=0.0.4; charset=utf-8");
	metrics_head(&metrics, "build_info", "gauge", "The version that runs.");
	if (metrics.result == RESULT_OK)
		metrics.result =
			buf_append_text(metrics.buf, "vinveil_build_info{version=\"" VINVEIL_VERSION "\"} 1\n");
	write_answers(&metrics, call->api);
	write_counters(&metrics, call->api);
	write_transport(&metrics, call->api);
	write_audit(&metrics, call->api);
	write_registry(&metrics, call);
	write_gateway(&metrics, call->api);
	metrics_sample(&metrics, "process_resident_bytes", "gauge", "Resident memory.", resident_bytes());
	return metrics.result == RESULT_OK ? PROBLEM_NONE : PROBLEM_UNAVAILABLE;
}

/* ---- the CRL ---------------------------------------------------------------------------------------- */

enum problem operations_crl(struct call *call)
{
	answer_begin(call, 200, "application/pkix-crl");
	call->exchange->response.body.size_max = (size_t)64 << 20;
	enum result result = crl_keeper_copy(call->api->crl, &call->exchange->response.body);
	if (result == RESULT_ABSENT) {
		note_set(&call->flow.note, "no CRL was signed yet");
		return PROBLEM_UNAVAILABLE;
	}
	return result == RESULT_OK ? PROBLEM_NONE : PROBLEM_UNAVAILABLE;
}
