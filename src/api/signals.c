/*
 * /v1/vehicles/{referenceId}/signals: telemetry, the latest values and ranges.
 */
#include "vehicle/signals.h"
#include "api/body.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array)	   (sizeof(array) / sizeof((array)[0]))
#define PAGE_LIMIT_DEFAULT 100
#define ANSWER_SIZE_MAX	   ((size_t)16 << 20) /* what the store gives for one page, escaped */
#define NUMBER_SIZE	   32

/* The shortest digits that are this number again. */
static void write_number(struct json_writer *writer, double number)
{
	char text[NUMBER_SIZE];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, number);
		if (strtod(text, NULL) == number)
			break;
	}
	json_raw(writer, span_of_text(text));
}

static void write_value(struct json_writer *writer, const struct signal_value *value)
{
	switch (value->type) {
	case SIGNAL_NUMBER:
		write_number(writer, value->number);
		break;
	case SIGNAL_BOOL:
		json_bool(writer, value->boolean);
		break;
	case SIGNAL_TEXT:
		json_text(writer, value->text);
		break;
	case SIGNAL_ARRAY:
		json_raw(writer, value->text);
		break;
	}
}

/* ---- the latest values --------------------------------------------------------------------------------- */

static enum problem answer_latest(struct call *call, const struct uuid *id, const struct telemetry_latest *latest,
				  size_t count)
{
	struct json_writer writer;

	answer_json(call, 200, &writer);
	call->exchange->response.body.size_max = ANSWER_SIZE_MAX;
	json_object_begin(&writer);
	json_member_uuid(&writer, "referenceId", id);
	json_key(&writer, "signals");
	json_object_begin(&writer);
	for (size_t i = 0; i < count; i++) {
		const char *name = arena_copy_text(&call->exchange->arena, latest[i].name);
		if (name == NULL)
			return PROBLEM_UNAVAILABLE;
		json_key(&writer, name);
		json_object_begin(&writer);
		json_key(&writer, "value");
		write_value(&writer, &latest[i].value);
		json_member_time(&writer, "at", latest[i].at_ms);
		json_object_end(&writer);
	}
	json_object_end(&writer);
	json_object_end(&writer);
	return answer_end(&writer);
}

enum problem signals_read_latest(struct call *call)
{
	struct telemetry_latest *latest = NULL;
	struct uuid id;
	size_t count = 0;
	enum problem problem = query_check(call, NULL, 0);

	if (problem == PROBLEM_NONE)
		problem = call_reference_id(call, &id);
	if (problem == PROBLEM_NONE)
		problem = signals_latest(&call->flow, &id, &latest, &count);
	return problem == PROBLEM_NONE ? answer_latest(call, &id, latest, count) : problem;
}

/* ---- ranges ------------------------------------------------------------------------------------------------ */

static enum problem read_query(struct call *call, struct telemetry_query *ret_query)
{
	static const char *const names[] = {"name", "from", "to", "limit", "cursor"};
	uint64_t limit = PAGE_LIMIT_DEFAULT;
	const char *name = NULL;
	enum problem problem = query_check(call, names, COUNT(names));

	if (problem == PROBLEM_NONE)
		problem = query_text(call, "name", &name);
	if (problem == PROBLEM_NONE)
		problem = query_time(call, "from", &ret_query->from_ms);
	if (problem == PROBLEM_NONE)
		problem = query_time(call, "to", &ret_query->to_ms);
	if (problem == PROBLEM_NONE)
		problem = query_number(call, "limit", SIGNALS_PAGE_MAX, &limit);
	if (problem == PROBLEM_NONE)
		problem = query_text(call, "cursor", &ret_query->cursor);
	if (problem == PROBLEM_NONE && name != NULL && name[0] == '\0')
		problem = call_explain(call, PROBLEM_MALFORMED, "The parameter name must not be empty.");
	if (problem == PROBLEM_NONE)
		problem = call_reference_id(call, &ret_query->reference_id);
	ret_query->limit = (size_t)limit;
	if (name != NULL)
		ret_query->name = span_of_text(name);
	return problem;
}

static enum problem answer_range(struct call *call, const struct telemetry_query *query,
				 const struct telemetry_page *page)
{
	struct json_writer writer;

	answer_json(call, 200, &writer);
	call->exchange->response.body.size_max = ANSWER_SIZE_MAX;
	json_object_begin(&writer);
	json_member_uuid(&writer, "referenceId", &query->reference_id);
	json_key(&writer, "points");
	json_array_begin(&writer);
	for (size_t i = 0; i < page->count; i++) {
		json_object_begin(&writer);
		json_key(&writer, "name");
		json_text(&writer, page->points[i].name);
		json_member_time(&writer, "at", page->points[i].at_ms);
		json_key(&writer, "value");
		write_value(&writer, &page->points[i].value);
		json_object_end(&writer);
	}
	json_array_end(&writer);
	if (page->next_cursor != NULL)
		json_member_text(&writer, "nextCursor", page->next_cursor);
	json_object_end(&writer);
	return answer_end(&writer);
}

enum problem signals_read(struct call *call)
{
	struct telemetry_query query = {0};
	struct telemetry_page page = {0};
	enum problem problem = read_query(call, &query);

	if (problem == PROBLEM_NONE)
		problem = signals_range(&call->flow, &query, &page);
	return problem == PROBLEM_NONE ? answer_range(call, &query, &page) : problem;
}
