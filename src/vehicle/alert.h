/* A suspicious pattern that somebody should look at: the record. Listed by GET /v1/alerts. */
#ifndef VINVEIL_VEHICLE_ALERT_H
#define VINVEIL_VEHICLE_ALERT_H

#include "vehicle/vehicle.h"

/* Stored: never renumber. */
enum alert_kind {
	ALERT_CLONED_KEY = 1, /* a second connection under a live client ID came from another address */
};
const char *alert_kind_name(enum alert_kind kind); /* "cloned-key" */
MUST_USE enum result alert_kind_parse(struct span text, enum alert_kind *ret_kind);

/* A vehicle that gives cause again within this time gets no second alert of the kind. */
#define ALERT_INTERVAL_MS ((int64_t)10 * 60 * 1000)

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

struct alert_query {
	int64_t from_ms, to_ms; /* [from, to); 0: open */
	enum alert_kind kind;	/* 0: any */
	uint64_t before;	/* 0, or the number of the last one seen */
	size_t limit;
};

#endif
