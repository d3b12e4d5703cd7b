/* Suspicious patterns: raised by the platform, read by the tenant's auditors. */
#ifndef VINVEIL_VEHICLE_ALERTS_H
#define VINVEIL_VEHICLE_ALERTS_H

#include "vehicle/flow.h"

#define ALERTS_PAGE_MAX 1000

struct alert_page {
	struct alert *alerts; /* newest first */
	size_t count;
	uint64_t next_before; /* 0: no more */
};
/* query->limit 0: the largest page. */
enum problem alerts_list(struct flow_request *request, const struct alert_query *query, struct alert_page *ret_page);

/*
 * Raises one about a vehicle of the request's tenant, with its leaf. Raising it again within ALERT_INTERVAL_MS does
 * nothing and leaves no leaf: so it may be repeated. *ret_is_raised tells which it was.
 */
MUST_USE enum result alerts_raise(struct flow_request *request, enum alert_kind kind, const struct uuid *reference_id,
				  int64_t at_ms, const char *detail, bool *ret_is_raised);

#endif
