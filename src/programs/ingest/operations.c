/*
 * Plain HTTP for whoever watches: /healthz, /readyz, /metrics. Nobody is authenticated and nothing is secret. It has
 * a loop of its own, which may look into the store.
 */
#include "base/buf.h"
#include "base/json.h"
#include "base/metrics.h"
#include "http/http.h"
#include "programs/ingest/ingest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DRAIN_MS	1000
#define CONNECTIONS_MAX 64

struct operations {
	struct ingest *ingest;
	struct http_server *server;
};

/* ---- metrics: Prometheus text format 0.0.4 -------------------------------------------------------------------- */

/* What is stored, since the store was made. Without it these are missing, the others are not. */
static void write_store(struct metrics *metrics, struct ingest *ingest)
{
	struct telemetry_counts counts;

	if (ingest->store->ops->count(ingest->store, &counts, NULL) != RESULT_OK)
		return;
	metrics_sample(metrics, "telemetry_messages_total", "counter", "Messages stored.", counts.messages);
	metrics_sample(metrics, "telemetry_samples_total", "counter", "Signals' values in them.", counts.samples);
	metrics_sample(metrics, "telemetry_duplicates_total", "counter", "Messages that were stored already.",
		       counts.duplicates);
	metrics_sample(metrics, "telemetry_rejected_total", "counter", "Payloads refused.", counts.rejects);
	metrics_sample(metrics, "telemetry_withheld_total", "counter", "Values dropped because a VIN stood in them.",
		       counts.withheld);
}

static void write_rejects(struct metrics *metrics, const struct ingest_counters *counters)
{
	metrics_head(metrics, "ingest_rejects_total", "counter", "Payloads refused since the start, by reason.");
	for (size_t i = 0; i < telemetry_reason_count; i++)
		if (metrics->result == RESULT_OK)
			metrics->result = buf_append_format(
				metrics->buf, "vinveil_ingest_rejects_total{reason=\"%s\"} %" PRIu64 "\n",
				telemetry_reasons[i], (uint64_t)atomic_load(&counters->rejects[i]));
}

static void write_commits(struct metrics *metrics, const struct ingest_counters *counters)
{
	uint64_t sum = 0, us = atomic_load(&counters->commit_us);

	metrics_head(metrics, "ingest_commit_seconds", "histogram", "How long a batch's commit took.");
	for (size_t i = 0; i < COMMIT_BUCKETS && metrics->result == RESULT_OK; i++) {
		sum += atomic_load(&counters->commit_buckets[i]);
		if (i < COMMIT_BUCKETS - 1)
			metrics->result = buf_append_format(
				metrics->buf, "vinveil_ingest_commit_seconds_bucket{le=\"%u.%03u\"} %" PRIu64 "\n",
				commit_bucket_ms[i] / 1000, commit_bucket_ms[i] % 1000, sum);
	}
	if (metrics->result == RESULT_OK)
		metrics->result = buf_append_format(metrics->buf,
						    "vinveil_ingest_commit_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
						    "vinveil_ingest_commit_seconds_sum %" PRIu64 ".%06" PRIu64 "\n"
						    "vinveil_ingest_commit_seconds_count %" PRIu64 "\n",
						    sum, us / 1000000, us % 1000000, sum);
}

static void write_counters(struct metrics *metrics, const struct ingest_counters *counters)
{
	metrics_sample(metrics, "ingest_records_total", "counter", "Records read from the spool.",
		       atomic_load(&counters->records));
	metrics_sample(metrics, "ingest_damaged_total", "counter",
		       "Stretches of a spool that were damaged and skipped.", atomic_load(&counters->damaged));
	metrics_sample(metrics, "ingest_orders_total", "counter", "What vinveild had to say.",
		       atomic_load(&counters->orders));
	metrics_sample(metrics, "ingest_orders_refused_total", "counter", "… of it what was not understood.",
		       atomic_load(&counters->orders_refused));
	metrics_sample(metrics, "ingest_failures_total", "counter", "Attempts that failed and are made again.",
		       atomic_load(&counters->failures));
	metrics_sample(metrics, "ingest_failing", "gauge", "1 while the store takes nothing.",
		       atomic_load(&counters->is_failing) ? 1 : 0);
	metrics_sample(metrics, "ingest_behind_bytes", "gauge", "Bytes in the spool that are not yet read (about).",
		       atomic_load(&counters->behind_bytes));
	metrics_sample(metrics, "ingest_behind_segments", "gauge", "Segments of the spool that are not yet read.",
		       atomic_load(&counters->behind_segments));
	uint64_t lag_ms = atomic_load(&counters->lag_ms);
	metrics_head(metrics, "ingest_lag_seconds", "gauge", "Age of what was read last, while there is more.");
	if (metrics->result == RESULT_OK)
		metrics->result = buf_append_format(metrics->buf, "vinveil_ingest_lag_seconds %" PRIu64 ".%03u\n",
						    lag_ms / 1000, (unsigned)(lag_ms % 1000));
}

static enum result write_metrics(struct ingest *ingest, struct buf *body)
{
	struct metrics metrics = {.buf = body};

	metrics_head(&metrics, "build_info", "gauge", "The version that runs.");
	if (metrics.result == RESULT_OK)
		metrics.result =
			buf_append_text(metrics.buf, "vinveil_build_info{version=\"" VINVEIL_VERSION "\"} 1\n");
	write_store(&metrics, ingest);
	write_rejects(&metrics, &ingest->counters);
	write_counters(&metrics, &ingest->counters);
	write_commits(&metrics, &ingest->counters);
	return metrics.result;
}

/* ---- answers ------------------------------------------------------------------------------------------------------
 */

static void answer_text(struct http_exchange *exchange, int status, const char *type, const char *text)
{
	exchange->response.status = status;
	if (buf_append_text(&exchange->response.body, text) != RESULT_OK ||
	    http_response_header(&exchange->response, "Content-Type", type) != RESULT_OK)
		exchange->response.status = 500;
}

static void answer_ready(struct ingest *ingest, struct http_exchange *exchange)
{
	bool is_ready = !atomic_load(&ingest->counters.is_failing) &&
			ingest->store->ops->check(ingest->store, NULL) == RESULT_OK;

	answer_text(exchange, is_ready ? 200 : 503, "application/json",
		    is_ready ? "{\"status\":\"ready\",\"checks\":{\"store\":\"ok\"}}"
			     : "{\"status\":\"not-ready\",\"checks\":{\"store\":\"failing\"}}");
	if (!is_ready && http_response_header(&exchange->response, "Retry-After", "1") != RESULT_OK)
		exchange->response.status = 500;
}

static void answer_metrics(struct ingest *ingest, struct http_exchange *exchange)
{
	answer_text(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", "");
	if (write_metrics(ingest, &exchange->response.body) != RESULT_OK)
		exchange->response.status = 503;
}

static void answer(struct ingest *ingest, struct http_exchange *exchange)
{
	const struct http_request *request = &exchange->request;

	if (request->method != HTTP_GET && request->method != HTTP_HEAD)
		answer_text(exchange, 405, "text/plain", "GET and HEAD only\n");
	else if (span_is_text(request->path, "/healthz"))
		answer_text(exchange, 200, "application/json", "{\"status\":\"ok\"}");
	else if (span_is_text(request->path, "/readyz"))
		answer_ready(ingest, exchange);
	else if (span_is_text(request->path, "/metrics"))
		answer_metrics(ingest, exchange);
	else
		answer_text(exchange, 404, "text/plain", "no such page: /healthz, /readyz, /metrics\n");
	if (exchange->response.status == 405 &&
	    http_response_header(&exchange->response, "Allow", "GET, HEAD") != RESULT_OK)
		exchange->response.close = true;
}

static enum http_body_mode on_head(void *context, struct http_exchange *exchange)
{
	(void)context;
	exchange->body_size_max = 1;
	return HTTP_BODY_COLLECT;
}

static void on_request(void *context, struct http_exchange *exchange)
{
	const struct operations *operations = context;

	answer(operations->ingest, exchange);
	http_respond(exchange);
}

static void on_refused(void *context, struct http_exchange *exchange, int status, const char *reason)
{
	(void)context;
	answer_text(exchange, status, "text/plain", reason);
}

static void on_body_refused(void *context, struct http_exchange *exchange, int status, const char *reason)
{
	on_refused(context, exchange, status, reason);
	http_respond(exchange);
}

static const struct http_application application = {
	.on_head = on_head,
	.on_request = on_request,
	.on_refused = on_refused,
	.on_body_refused = on_body_refused,
};

/* ---- opening
 * --------------------------------------------------------------------------------------------------------- */

enum result operations_open(struct ingest *ingest, const char *address, uint16_t port,
			    struct operations **ret_operations, struct note *note)
{
	struct operations *operations = calloc(1, sizeof(*operations));
	struct http_server_config config;

	if (operations == NULL)
		return RESULT_MEMORY;
	operations->ingest = ingest;
	http_server_config_defaults(&config);
	config.listener_count = 1;
	config.listeners[0].port = port;
	snprintf(config.listeners[0].address, sizeof(config.listeners[0].address), "%s", address);
	config.loop_count = 1;
	config.connections_max = CONNECTIONS_MAX;
	config.application = &application;
	config.application_context = operations;
	config.clock = clock_system();
	enum result result = http_server_open(&config, &operations->server, note);
	if (result != RESULT_OK) {
		free(operations);
		return result;
	}
	*ret_operations = operations;
	return RESULT_OK;
}

void operations_close(struct operations *operations)
{
	if (operations == NULL)
		return;
	http_server_close(operations->server, DRAIN_MS);
	free(operations);
}
