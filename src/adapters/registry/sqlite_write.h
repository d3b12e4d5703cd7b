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

/* RESULT_CONFLICT with the conflict named. */
enum result write_refuse(struct write *write, enum registry_conflict conflict);
MUST_USE enum result write_tenant_number(struct write *write, const struct tenant_id *tenant, int64_t *ret_number);
/* An update of a row that must be there in the state expected. */
MUST_USE enum result write_run_expecting_one(struct write *write, struct sql *query, enum registry_conflict conflict);
/* An insert whose unique columns all mean the same conflict. */
MUST_USE enum result write_run_unique(struct write *write, struct sql *query, enum registry_conflict conflict);

struct vehicle_key {
	int64_t number, tenant, created_at_ms, generation;
};
/* REGISTRY_CONFLICT_REFERENCE_ID unless the tenant has it. */
MUST_USE enum result write_find_vehicle(struct write *write, const struct tenant_id *tenant,
					const struct uuid *reference_id, struct vehicle_key *ret_key);

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
