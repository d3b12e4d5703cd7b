/*
 * The writes of a change set, each over the writing connection within its transaction.
 */
#ifndef VINVEIL_ADAPTERS_REGISTRY_SQLITE_WRITE_H
#define VINVEIL_ADAPTERS_REGISTRY_SQLITE_WRITE_H

#include "adapters/registry/sqlite_db.h"

struct write {
	struct sqlite_db *db;
	int64_t now_ms;
	uint64_t log_size;
	enum registry_conflict conflict; /* set with RESULT_CONFLICT */
	struct note *note;
};

/* Applies all writes in order, up to the first that fails. */
MUST_USE enum result write_change_set(struct write *write, const struct change_set *change);
MUST_USE enum result write_one(struct write *write, const struct registry_write *what);

/* Part of REGISTRY_INSERT_VEHICLE: number 0 lets the registry choose; generation is that of the newest index. */
MUST_USE enum result write_vehicle_row(struct write *write, int64_t number, int64_t tenant,
				       const struct vehicle *vehicle, uint16_t generation);
MUST_USE enum result write_index_row(struct write *write, int64_t tenant, int64_t vehicle,
				     const struct vin_index *index);
/* Adds to the number of vehicles whose newest index is of this generation. */
MUST_USE enum result write_generation_count(struct write *write, int64_t tenant, int64_t generation, int64_t more);
/* The port's drop_generation. */
MUST_USE enum result write_drop_generation(struct write *write, const struct tenant_id *tenant, uint16_t generation,
					   size_t limit, size_t *ret_removed);

#endif
