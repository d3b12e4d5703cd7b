/*
 * From the transport to a handler: route, authenticate, rate, access, and where it runs.
 */
#include "api/authentication.h"
#include "api/body.h"
#include "api/conversion_worker.h"
#include "api/problem.h"
#include "api/records.h"
#include "base/log.h"

#include <stdio.h>

#define ACTION_UNROUTED	 "request.unrouted"
#define BODY_IGNORED_MAX 4096
#define BODY_REFUSED_MAX ((size_t)64 * 1024)

/* ---- admission: what the head alone decides --------------------------------------------------------- */

static void take_request_id(struct call *call)
{
	struct span given = http_request_header(&call->exchange->request, "request-id");
	struct uuid *id = &call->event.request_id;

	/* Kept from outside only when it is a UUID; without randomness a zero one is still an answer. */
	if (given.data == NULL || uuid_parse(given, id) != RESULT_OK)
		if (uuid_generate_v4(call->api->platform->entropy, id) != RESULT_OK)
			memset(id, 0, sizeof *id);
	uuid_format(id, call->request_id);
}

static struct call *call_new(struct api *api, struct http_exchange *exchange)
{
	struct call *call = arena_alloc(&exchange->arena, sizeof *call);
	if (call == NULL)
		return NULL;
	exchange->application_data = call;
	call->api = api;
	call->exchange = exchange;
	call->event.action = ACTION_UNROUTED;
	call->event.source_address = exchange->source_address;
	call->flow.platform = api->platform;
	call->flow.arena = &exchange->arena;
	call->flow.event = &call->event;
	take_request_id(call);
	return call;
}

static enum problem find_route(struct call *call)
{
	struct http_exchange *exchange = call->exchange;
	enum route_listener listener =
		exchange->listener == call->api->config.operations_listener ? ROUTE_OPERATIONS : ROUTE_API;
	enum result result =
		route_match(listener, exchange->request.method, exchange->request.path, &call->route, call->parameters);
	if (result == RESULT_ABSENT)
		return PROBLEM_NOT_FOUND;
	call->event.action = call->route->action;
	/* Without the device authority no such caller can come. */
	if (is_known_later(call->route) && !call->api->config.serves_devices)
		return PROBLEM_NOT_FOUND;
	return result == RESULT_OK ? PROBLEM_NONE : PROBLEM_METHOD_NOT_ALLOWED;
}

enum problem call_take_tokens(struct call *call, uint32_t cost)
{
	const struct client *client = &call->principal->client;
	const struct client_limits *installation = &call->api->config.limits;
	struct client_limits limits = {
		.requests_per_second = client->limits.requests_per_second > 0 ? client->limits.requests_per_second
									      : installation->requests_per_second,
		.burst = client->limits.burst > 0 ? client->limits.burst : installation->burst,
	};

	rate_limit_take(call->api->rates, client->id, &limits, cost, clock_monotonic_ms(call->api->platform->clock),
			&call->verdict);
	call->has_verdict = true;
	if (call->verdict.is_allowed)
		return PROBLEM_NONE;
	if (cost >= limits.burst)
		return call_explain(
			call, PROBLEM_RATE_LIMITED,
			"The batch has more items than the client's limit ever allows at once; send fewer.");
	return PROBLEM_RATE_LIMITED;
}

static enum problem check_access(const struct principal *principal, const struct route *route)
{
	if (principal->client.state != CLIENT_ACTIVE)
		return PROBLEM_CLIENT_SUSPENDED;
	if ((principal->client.scopes & route->scopes) == 0)
		return PROBLEM_SCOPE_MISSING;
	return PROBLEM_NONE;
}

/* The API's description names them, too. */
static enum problem explain_scopes(struct call *call)
{
	char names[SCOPE_COUNT * 24] = "";
	size_t length = 0;
	for (size_t i = 0; i < SCOPE_COUNT; i++)
		if ((call->route->scopes & 1u << i) != 0)
			length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s",
						   length > 0 ? " or " : "", scope_name((enum scope)(1u << i)));
	return call_explain(call, PROBLEM_SCOPE_MISSING, "This client does not hold the scope %s.", names);
}

static enum problem check_access_of(struct call *call)
{
	enum problem problem =
		call->route->caller == ROUTE_CLIENT ? check_access(call->principal, call->route) : PROBLEM_NONE;
	return problem == PROBLEM_SCOPE_MISSING ? explain_scopes(call) : problem;
}

static const char *media_type(enum route_body body)
{
	switch (body) {
	case ROUTE_BODY_JSON:
		return "application/json";
	case ROUTE_BODY_NDJSON:
		return "application/x-ndjson";
	case ROUTE_BODY_PKCS10:
		return "application/pkcs10";
	case ROUTE_BODY_NONE:
	case ROUTE_BODY_EMPTY:
		break;
	}
	return NULL;
}

static enum problem check_content_type(struct call *call)
{
	const struct http_request *request = &call->exchange->request;
	bool is_empty = !request->has_body || (!request->is_chunked && request->content_length == 0);
	const char *wanted = media_type(call->route->body);

	if (wanted == NULL || (is_empty && call->route->body != ROUTE_BODY_NDJSON) ||
	    content_type_is(http_request_header(request, "content-type"), wanted))
		return PROBLEM_NONE;
	return call_explain(call, PROBLEM_MEDIA_TYPE, "Send the body with Content-Type %s.", wanted);
}

/*
 * Everything before the body. Rates come before access, so that a client without rights cannot fill the log either:
 * what access refuses has a leaf of its own.
 */
static enum problem admit(struct call *call)
{
	enum problem problem = find_route(call);
	if (problem != PROBLEM_NONE || call->route->caller == ROUTE_ANYBODY)
		return problem;
	problem = authenticate(call);
	if (problem != PROBLEM_NONE)
		return problem;
	call->refusal = check_access_of(call);
	if (call->refusal == PROBLEM_NONE)
		call->refusal = check_content_type(call);
	return PROBLEM_NONE;
}

/* Refused before authentication or by rate limit: answered at once, recorded with others (rule 10). */
static void note_refusal(struct call *call, enum problem problem)
{
	struct api_counters *counters = &call->api->counters;
	if (problem == PROBLEM_UNAUTHENTICATED)
		atomic_fetch_add_explicit(&counters->unauthenticated, 1, memory_order_relaxed);
	if (problem == PROBLEM_RATE_LIMITED)
		atomic_fetch_add_explicit(&counters->rate_limited, 1, memory_order_relaxed);
	/* The operations listener is nobody's way to anything: scrapers that miss do not belong in the trail. */
	if (call->exchange->listener != call->api->config.operations_listener)
		refusals_add(call->api->refusals, call->event.action, problem, call->flow.client,
			     call->exchange->source_address, &call->event.request_id);
}

void call_finish_coalesced(struct call *call, enum problem problem)
{
	note_refusal(call, problem);
	call_fill(call, problem);
	call_release_answer(call, RESULT_OK);
}

static enum http_body_mode refuse_without_memory(struct http_exchange *exchange)
{
	exchange->response.status = 503;
	exchange->response.close = true;
	return HTTP_BODY_REFUSE;
}

static enum http_body_mode on_head(void *context, struct http_exchange *exchange)
{
	struct call *call = call_new(context, exchange);
	if (call == NULL)
		return refuse_without_memory(exchange);
	enum problem problem = admit(call);
	if (problem != PROBLEM_NONE) {
		note_refusal(call, problem);
		call_fill(call, problem);
		return HTTP_BODY_REFUSE;
	}
	if (call->route->place == ROUTE_STREAM)
		return HTTP_BODY_STREAM;
	/* A refused one is answered after its body, so that the answer can wait for its leaf. */
	exchange->body_size_max = call->refusal != PROBLEM_NONE		 ? BODY_REFUSED_MAX
				  : call->route->body == ROUTE_BODY_NONE ? BODY_IGNORED_MAX
									 : call->route->body_size_max;
	return HTTP_BODY_COLLECT;
}

/* ---- running ---------------------------------------------------------------------------------------- */

static enum problem check_empty_body(struct call *call)
{
	return call->exchange->body.size == 0 ? PROBLEM_NONE : body_read(call, NULL, 0);
}

/* Location and ETag are not kept: both follow from the body. */
static void answer_fields_again(struct call *call, const json_t *body)
{
	char location[256];
	struct span name;
	const json_t *version = json_object_get(body, "version");

	if (json_is_integer(version))
		answer_etag(call, (uint32_t)json_integer_value(version));
	if (call->route->location_member == NULL ||
	    json_get_text(body, call->route->location_member, CLIENT_ID_LENGTH_MAX, &name) != RESULT_OK)
		return;
	/* What was made stands below what it was asked of. */
	struct span path = call->exchange->request.path;
	snprintf(location, sizeof location, "%.*s/%.*s", (int)path.size, (const char *)path.data, (int)name.size,
		 (const char *)name.data);
	answer_header(call, "Location", location);
}

/* Whoever is answered again learns again which vehicle it is, so the leaf names it again. */
static void note_answered_vehicle(struct call *call, const json_t *body)
{
	struct audit_event *event = &call->event;
	const char *text = json_string_value(json_object_get(body, "referenceId"));
	bool is_in_path = strstr(call->route->pattern, "/{referenceId}") != NULL; /* the first parameter then */
	struct span id = text == NULL && is_in_path ? call->parameters[0] : span_of_text(text != NULL ? text : "");
	event->has_reference_id = uuid_parse(id, &event->reference_id) == RESULT_OK;
}

static enum problem replay(struct call *call)
{
	const struct idempotency_record *record = &call->idempotency.record;
	JSON_CLEANUP json_t *body = NULL;
	struct json_writer writer;

	if (record->body == NULL || json_read(span_of_text(record->body), &body, &call->flow.note) != RESULT_OK)
		return PROBLEM_INTERNAL;
	answer_json(call, record->status, &writer);
	answer_fields_again(call, body);
	note_answered_vehicle(call, body);
	json_raw(&writer, span_of_text(record->body));
	return answer_end(&writer);
}

/* A vehicle was given a certificate, but nobody its answer: the next attempt makes that anew, with another one. */
static bool lost_credentials(const struct call *call)
{
	return call->route->handler == vehicle_provision && call->event.is_recorded && call->event.has_serial;
}

/* Only what succeeded is kept: a problem changed nothing, so asking again is safe, and may succeed by then. */
static void keep_answer(struct call *call, enum problem problem)
{
	const struct http_response *response = &call->exchange->response;
	enum result result = RESULT_OK;

	if (problem == PROBLEM_NONE)
		result = idempotency_complete(&call->flow, &call->idempotency, response->status,
					      call->answer_holds_key ? NULL : (const char *)response->body.data,
					      call->answer_holds_key ? &call->answer_serial : NULL,
					      call->answer_holds_key ? &call->answer_reference_id : NULL);
	else if (lost_credentials(call))
		result = idempotency_complete(&call->flow, &call->idempotency, 200, NULL, &call->event.serial,
					      &call->event.reference_id);
	else if (call->idempotency.decision == IDEMPOTENCY_RUN)
		result = idempotency_abandon(&call->flow, &call->idempotency);
	if (result != RESULT_OK)
		log_event(LOG_ERROR, "idempotency", "request %s: %s: %s", call->request_id, result_name(result),
			  call->flow.note.text);
}

static enum problem run_idempotently(struct call *call, struct span key)
{
	const struct span content[2] = {call->exchange->request.path, buf_span(&call->exchange->body)};
	char route[sizeof call->idempotency.record.route];

	snprintf(route, sizeof route, "%s %s", http_method_name(call->route->method), call->route->pattern);
	enum problem problem = idempotency_begin(&call->flow, route, key, content, &call->idempotency);
	if (problem != PROBLEM_NONE)
		return problem;
	if (call->idempotency.decision == IDEMPOTENCY_ANSWER)
		return replay(call);
	problem = call->route->handler(call);
	keep_answer(call, problem);
	return problem;
}

static enum problem run_handler(struct call *call)
{
	struct span key = http_request_header(&call->exchange->request, "idempotency-key");

	if (call->route->body == ROUTE_BODY_EMPTY) {
		enum problem problem = check_empty_body(call);
		if (problem != PROBLEM_NONE)
			return problem;
	}
	return call->route->is_idempotent && key.data != NULL ? run_idempotently(call, key)
							      : call->route->handler(call);
}

/* By rate limit inside the handler, as a batch that costs more than is left; or by the registry, which knows nobody. */
static bool is_coalesced(const struct call *call, enum problem problem)
{
	return problem == PROBLEM_RATE_LIMITED || (problem == PROBLEM_UNAUTHENTICATED && call->principal == NULL);
}

static enum problem run_known(struct call *call)
{
	enum problem problem = authenticate_by_registry(call);
	if (problem == PROBLEM_NONE)
		problem = call->refusal;
	return problem == PROBLEM_NONE ? run_handler(call) : problem;
}

static void run_pool_job(struct pool_job *job)
{
	struct call *call = (struct call *)job;
	enum problem problem = run_known(call);
	/* Behind every handler, not only those that expect a VIN: a caller may send one where none belongs. */
	secret_scrub_stack();
	if (is_coalesced(call, problem))
		call_finish_coalesced(call, problem);
	else
		call_finish(call, problem);
}

static void submit(struct call *call, void (*run)(struct pool_job *job))
{
	call->job.run = run;
	if (pool_submit(call->api->pool, &call->job) == RESULT_OK)
		return;
	note_set(&call->flow.note, "the queue of requests is full");
	call_finish(call, PROBLEM_UNAVAILABLE);
}

static void gather(struct call *call)
{
	struct gathered *gathered = &call->api->gathered[http_loop_number(call->exchange->loop)];
	call->exchange->next = NULL;
	if (gathered->last == NULL)
		gathered->first = call->exchange;
	else
		gathered->last->next = call->exchange;
	gathered->last = call->exchange;
}

static void run_batch(struct call *call)
{
	call->api->gathered[http_loop_number(call->exchange->loop)].is_soiled = true;
	enum problem problem = call->route->handler(call);
	if (problem != PROBLEM_NONE)
		call_finish(call, problem);
	else
		gather(call);
}

/* ---- streams: the manifest -------------------------------------------------------------------------- */

/* A stream has no end of its own: whoever loses his rights meanwhile is stopped at the next chunk. */
static enum problem check_access_again(struct call *call)
{
	struct client_snapshot *snapshot = client_directory_take(call->api->directory);
	const struct principal *now = client_snapshot_find(snapshot, call->exchange->peer->fingerprint);
	enum problem problem = now != NULL ? check_access(now, call->route) : PROBLEM_UNAUTHENTICATED;
	client_snapshot_release(snapshot);
	return problem;
}

static enum problem feed_load(struct call *call)
{
	if (call->load == NULL) {
		enum result result = manifest_load_open(&call->flow, &call->load);
		if (result != RESULT_OK)
			return problem_of_result(result);
	}
	return manifest_load_feed(call->load, buf_span(&call->exchange->body));
}

static void run_chunk_job(struct pool_job *job)
{
	struct call *call = (struct call *)job;
	call->load_problem = check_access_again(call);
	if (call->load_problem == PROBLEM_NONE)
		call->load_problem = feed_load(call);
	secret_scrub_stack();
	http_body_continue(call->exchange);
}

static void on_body_chunk(void *context, struct http_exchange *exchange)
{
	struct call *call = call_of(exchange);
	(void)context;
	/* Once it is refused or has failed, the rest is read and dropped. */
	if (call->refusal != PROBLEM_NONE || call->load_problem != PROBLEM_NONE) {
		http_body_continue(exchange);
		return;
	}
	call->job.run = run_chunk_job;
	if (pool_submit(call->api->pool, &call->job) == RESULT_OK)
		return;
	note_set(&call->flow.note, "the queue of requests is full");
	call->load_problem = PROBLEM_UNAVAILABLE;
	http_body_continue(exchange);
}

static void on_request(void *context, struct http_exchange *exchange)
{
	struct call *call = call_of(exchange);
	(void)context;
	if (call->refusal != PROBLEM_NONE && !is_known_later(call->route)) {
		call_finish(call, call->refusal);
		return;
	}
	switch (call->route->place) {
	case ROUTE_INLINE:
		call_finish(call, call->route->handler(call));
		break;
	case ROUTE_BATCH:
		run_batch(call);
		break;
	default:
		submit(call, run_pool_job);
	}
}

static void on_turn_end(void *context, struct http_loop *loop)
{
	struct api *api = context;
	struct gathered *gathered = &api->gathered[http_loop_number(loop)];
	if (gathered->first != NULL)
		conversion_worker_submit(api->worker, gathered->first, gathered->last);
	if (gathered->is_soiled)
		secret_scrub_stack();
	*gathered = (struct gathered){0};
}

static void on_release(void *context, struct http_exchange *exchange)
{
	struct call *call = call_of(exchange);
	(void)context;
	if (call == NULL)
		return;
	json_decref(call->json);
	if (call->load != NULL)
		manifest_load_close(call->load);
	if (call->snapshot != NULL)
		client_snapshot_release(call->snapshot);
}

static void on_refused(void *context, struct http_exchange *exchange, int status, const char *reason)
{
	struct call *call = call_new(context, exchange);
	enum problem problem = problem_of_status(status);

	if (call == NULL) {
		refuse_without_memory(exchange);
		return;
	}
	call_explain(call, problem, "%s", reason);
	note_refusal(call, problem);
	call_fill(call, problem);
}

/* Its client was authenticated, or is now, so the answer waits for a leaf of its own (rule 10). */
static void on_body_refused(void *context, struct http_exchange *exchange, int status, const char *reason)
{
	struct call *call = call_of(exchange);
	enum problem problem = call_explain(call, problem_of_status(status), "%s", reason);

	(void)context;
	call->refusal = problem;
	if (is_known_later(call->route))
		submit(call, run_pool_job);
	else if (call->principal != NULL)
		call_finish(call, problem);
	else
		call_finish_coalesced(call, problem);
}

const struct http_application api_application = {
	.on_head = on_head,
	.on_request = on_request,
	.on_body_chunk = on_body_chunk,
	.on_release = on_release,
	.on_turn_end = on_turn_end,
	.on_refused = on_refused,
	.on_body_refused = on_body_refused,
};
