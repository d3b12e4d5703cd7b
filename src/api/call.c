#include "api/call.h"

#include "api/housekeeping.h"
#include "api/problem.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- answers ---------------------------------------------------------------------------------------- */

void answer_header(struct call *call, const char *name, const char *value)
{
	/* Room for all that are ever set is there; a missing field is not worth failing an answer for. */
	enum result ignored = http_response_header(&call->exchange->response, name, value);
	(void)ignored;
}

void answer_begin(struct call *call, int status, const char *content_type)
{
	struct http_response *response = &call->exchange->response;
	buf_clear(&response->headers);
	buf_clear(&response->body);
	response->static_body = (struct span){0};
	response->status = status;
	answer_header(call, "Content-Type", content_type);
}

void answer_json(struct call *call, int status, struct json_writer *ret_writer)
{
	answer_begin(call, status, "application/json");
	json_writer_init(ret_writer, &call->exchange->response.body);
}

enum problem answer_end(struct json_writer *writer)
{
	return json_writer_end(writer) == RESULT_OK ? PROBLEM_NONE : PROBLEM_UNAVAILABLE;
}

enum problem call_explain(struct call *call, enum problem problem, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(call->flow.detail, sizeof call->flow.detail, format, arguments);
	va_end(arguments);
	return problem;
}

enum problem call_reference_id(struct call *call, struct uuid *ret_id)
{
	if (uuid_parse(call->parameters[0], ret_id) != RESULT_OK)
		return PROBLEM_NOT_FOUND;
	call->event.has_reference_id = true;
	call->event.reference_id = *ret_id;
	return PROBLEM_NONE;
}

void call_reload_clients(struct call *call)
{
	struct note note = {0};
	enum result result = client_directory_reload(call->api->directory, &note);
	if (result != RESULT_OK)
		log_event(LOG_ERROR, "clients", "request %s: %s: %s", call->request_id, result_name(result), note.text);
}

void call_mark_revoked(struct call *call)
{
	crl_keeper_mark(call->api->crl);
	housekeeping_wake(call->api->housekeeping);
}

/* ---- the end of a call ------------------------------------------------------------------------------ */

static void add_retry_after(struct call *call, enum problem problem)
{
	char text[16] = "1";
	if (problem == PROBLEM_RATE_LIMITED && call->has_verdict)
		snprintf(text, sizeof text, "%u", call->verdict.retry_after_seconds);
	else if (problem == PROBLEM_BUDGET_EXHAUSTED && call->route != NULL &&
		 (call->route->scopes & SCOPE_REFID_LOOKUP) == 0)
		snprintf(text, sizeof text, "60"); /* all but the index budget are by hour or day */
	else if (problem != PROBLEM_RATE_LIMITED && problem != PROBLEM_UNAVAILABLE &&
		 problem != PROBLEM_BUDGET_EXHAUSTED && problem != PROBLEM_REQUEST_IN_PROGRESS)
		return;
	answer_header(call, "Retry-After", text);
}

static void add_allow(struct call *call)
{
	char allowed[64];
	enum route_listener listener =
		call->exchange->listener == call->api->config.operations_listener ? ROUTE_OPERATIONS : ROUTE_API;
	route_allowed_methods(listener, call->exchange->request.path, allowed, sizeof allowed);
	answer_header(call, "Allow", allowed);
}

static void log_failure(const struct call *call, enum problem problem)
{
	if (problem == PROBLEM_UNAVAILABLE || problem == PROBLEM_INTERNAL)
		log_event(LOG_ERROR, problem_name(problem), "request %s, %s: %s", call->request_id, call->event.action,
			  call->flow.note.text);
}

static void fill_problem(struct call *call, enum problem problem)
{
	/* Whatever is not found looks the same, whyever it was not. */
	const char *detail = problem == PROBLEM_NOT_FOUND ? "" : call->flow.detail;

	answer_begin(call, problem_text(problem)->status, "application/problem+json");
	if (problem == PROBLEM_METHOD_NOT_ALLOWED)
		add_allow(call);
	add_retry_after(call, problem);
	if (problem_format(problem, detail, call->request_id, &call->exchange->response.body) != RESULT_OK)
		buf_clear(&call->exchange->response.body);
}

/* ---- the fields of every answer: put together by hand, for printf() took longer than all else about them ---- */

#define COMMON_FIELDS_SIZE 256 /* with each number at its longest they are 179 bytes */

static char *put_text(char *at, const char *text)
{
	size_t size = strlen(text);
	memcpy(at, text, size);
	return at + size;
}

static char *put_number(char *at, uint32_t number)
{
	char digits[10];
	size_t from = sizeof digits;
	do {
		digits[--from] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	memcpy(at, digits + from, sizeof digits - from);
	return at + sizeof digits - from;
}

static char *put_rate_limit(char *at, const struct rate_verdict *verdict)
{
	at = put_text(at, "RateLimit-Policy: \"default\";q=");
	at = put_number(at, verdict->burst);
	at = put_text(at, ";w=");
	at = put_number(at, verdict->window_seconds);
	at = put_text(at, "\r\nRateLimit: \"default\";r=");
	at = put_number(at, verdict->remaining);
	at = put_text(at, ";t=");
	at = put_number(at, verdict->reset_seconds);
	return put_text(at, "\r\n");
}

static void add_common_fields(struct call *call)
{
	char lines[COMMON_FIELDS_SIZE];
	char *at = lines;
	if (call->has_verdict)
		at = put_rate_limit(at, &call->verdict);
	at = put_text(at, "Cache-Control: no-store\r\nRequest-Id: ");
	at = put_text(at, call->request_id);
	at = put_text(at, "\r\n");
	/* As in answer_header(). */
	enum result ignored = buf_append(&call->exchange->response.headers, span_of(lines, (size_t)(at - lines)));
	(void)ignored;
}

void call_fill(struct call *call, enum problem problem)
{
	log_failure(call, problem);
	if (problem != PROBLEM_NONE)
		fill_problem(call, problem);
	add_common_fields(call);
	if (call->event.is_recorded)
		return;
	call->event.outcome = audit_outcome_of(problem);
	call->event.problem = problem_name(problem);
}

static void count_answer(const struct call *call)
{
	struct api_counters *counters = &call->api->counters;
	size_t row = call->route != NULL ? (size_t)(call->route - routes) : ROUTE_COUNT_MAX;
	int class = call->exchange->response.status / 100 - 1;
	if (class >= 0 && class < 5)
		atomic_fetch_add_explicit(&counters->answers[row][class], 1, memory_order_relaxed);
}

void call_release_answer(struct call *call, enum result leaf_result)
{
	if (leaf_result != RESULT_OK) {
		/* Unrecorded is unanswered (rule 10). Filling wipes what the answer would have been. */
		atomic_fetch_add_explicit(&call->api->counters.leaf_failures, 1, memory_order_relaxed);
		note_set(&call->flow.note, "the audit log did not take the leaf: %s", result_name(leaf_result));
		call->flow.detail[0] = '\0';
		log_failure(call, PROBLEM_UNAVAILABLE);
		fill_problem(call, PROBLEM_UNAVAILABLE);
		add_common_fields(call);
	}
	count_answer(call);
	http_respond(call->exchange);
}

static void leaf_done(void *context, enum result result, uint64_t first_index)
{
	(void)first_index;
	call_release_answer(context, result);
}

static enum result append_leaf(struct call *call)
{
	struct audit_log *log = call->api->platform->audit;
	struct audit_leaf leaf;
	TRY(audit_format(call->api->platform, &call->event, &call->exchange->arena, &leaf));
	return log->ops->append(log, &leaf, 1, leaf_done, call);
}

void call_finish(struct call *call, enum problem problem)
{
	call_fill(call, problem);
	bool needs_leaf = call->principal != NULL && !call->event.is_recorded;
	enum result result = needs_leaf ? append_leaf(call) : RESULT_OK;
	if (!needs_leaf || result != RESULT_OK)
		call_release_answer(call, result);
}
