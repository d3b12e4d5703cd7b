/*
 * /v1/alerts: suspicious patterns that somebody should look at.
 */
#include "vehicle/alerts.h"
#include "api/body.h"
#include "api/records.h"

#define COUNT(array)	   (sizeof(array) / sizeof((array)[0]))
#define PAGE_LIMIT_DEFAULT 100
#define RECORD_SIZE	   1024

static enum problem read_kind(struct call *call, enum alert_kind *ret_kind)
{
	const char *text;
	enum problem problem = query_text(call, "kind", &text);

	if (problem != PROBLEM_NONE || text == NULL)
		return problem;
	if (alert_kind_parse(span_of_text(text), ret_kind) != RESULT_OK)
		return call_explain(call, PROBLEM_MALFORMED, "The query parameter kind must be cloned-key.");
	return PROBLEM_NONE;
}

static enum problem read_query(struct call *call, struct alert_query *ret_query)
{
	static const char *const names[] = {"from", "to", "kind", "cursor", "limit"};
	uint64_t limit = PAGE_LIMIT_DEFAULT;
	enum problem problem = query_check(call, names, COUNT(names));

	if (problem == PROBLEM_NONE)
		problem = query_time(call, "from", &ret_query->from_ms);
	if (problem == PROBLEM_NONE)
		problem = query_time(call, "to", &ret_query->to_ms);
	if (problem == PROBLEM_NONE)
		problem = read_kind(call, &ret_query->kind);
	if (problem == PROBLEM_NONE)
		problem = query_cursor(call, INT64_MAX, &ret_query->before);
	if (problem == PROBLEM_NONE)
		problem = query_number(call, "limit", ALERTS_PAGE_MAX, &limit);
	ret_query->limit = (size_t)limit;
	return problem;
}

enum problem alert_list(struct call *call)
{
	struct alert_query query = {0};
	struct json_writer writer;
	struct alert_page page;
	enum problem problem = read_query(call, &query);

	if (problem == PROBLEM_NONE)
		problem = alerts_list(&call->flow, &query, &page);
	if (problem != PROBLEM_NONE)
		return problem;
	answer_json(call, 200, &writer);
	call->exchange->response.body.size_max = (page.count + 1) * RECORD_SIZE;
	json_object_begin(&writer);
	json_key(&writer, "alerts");
	json_array_begin(&writer);
	for (size_t i = 0; i < page.count; i++)
		write_alert(&writer, &page.alerts[i]);
	json_array_end(&writer);
	write_cursor(&writer, page.next_before);
	json_object_end(&writer);
	return answer_end(&writer);
}
