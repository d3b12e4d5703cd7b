/* A suspicious pattern that somebody should look at: the record. Listed by GET /v1/alerts. */
#ifndef VINVEIL_VEHICLE_ALERT_H
#define VINVEIL_VEHICLE_ALERT_H

#include "vehicle/vehicle.h"

/* Stored: never renumber. */
enum alert_kind {
	ALERT_CLONED_KEY = 1, /* a second connection under a live client ID came from another address */
};
const char *alert_kind_name(enum alert_kind kind); /* "cloned-key" */

struct alert {
	uint64_t number; /* registry's order, for paging; 0 in a write */
	struct uuid id;
	struct tenant_id tenant;
	enum alert_kind kind;
	int64_t at_ms;
	bool has_reference_id;
	struct uuid reference_id;
	char detail[256]; /* a sentence; no secrets */
};

#endif
