#include "vehicle/alerts.h"

#include <stdio.h>

enum problem alerts_list(struct flow_request *request, const struct alert_query *query, struct alert_page *ret_page)
{
	struct registry *registry = request->platform->registry;
	size_t wanted = query->limit == 0 || query->limit > ALERTS_PAGE_MAX ? ALERTS_PAGE_MAX : query->limit;
	struct alert_query one_more = *query;
	struct alert_page page = {0};

	one_more.limit = wanted + 1; /* tells whether there is a next page */
	enum result result = registry->ops->list_alerts(registry, &request->tenant.id, &one_more, request->arena,
							&page.alerts, &page.count, &request->note);
	if (result != RESULT_OK)
		return problem_of_result(result);
	if (page.count > wanted) {
		page.count = wanted;
		page.next_before = page.alerts[wanted - 1].number;
	}
	*ret_page = page;
	return PROBLEM_NONE;
}

enum result alerts_raise(struct flow_request *request, enum alert_kind kind, const struct uuid *reference_id,
			 int64_t at_ms, const char *detail, bool *ret_is_raised)
{
	struct alert alert = {
		.tenant = request->tenant.id,
		.kind = kind,
		.at_ms = at_ms,
		.has_reference_id = true,
		.reference_id = *reference_id,
	};
	const struct registry_write write = {.kind = REGISTRY_INSERT_ALERT, .alert = &alert};
	enum registry_conflict conflict = REGISTRY_CONFLICT_NONE;

	TRY(uuid_generate_v4(request->platform->entropy, &alert.id));
	snprintf(alert.detail, sizeof(alert.detail), "%s", detail);
	request->event->has_reference_id = true;
	request->event->reference_id = *reference_id;
	request->event->subject = alert_kind_name(kind);
	enum result result =
		audit_commit(request->platform, request->event, request->arena, &write, 1, &conflict, &request->note);
	if (result == RESULT_CONFLICT && conflict == REGISTRY_CONFLICT_ALERT) {
		*ret_is_raised = false;
		return RESULT_OK;
	}
	*ret_is_raised = request->event->is_recorded;
	return result;
}
