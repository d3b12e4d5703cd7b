/*
 * The registry's questions, each over one connection: the read half of struct registry_ops.
 */
#ifndef VINVEIL_ADAPTERS_REGISTRY_SQLITE_READ_H
#define VINVEIL_ADAPTERS_REGISTRY_SQLITE_READ_H

#include "adapters/registry/sqlite_db.h"

#define PAGE_ROWS_MAX	   1001 /* the rules' largest page, and the row that tells that there is a next one */
#define IDEMPOTENCY_AGE_MS ((int64_t)24 * 60 * 60 * 1000)

/* At most PAGE_ROWS_MAX. */
size_t read_bounded(size_t limit);
/* Several statements that must see one state of the registry. */
MUST_USE enum result read_begin(struct sqlite_db *db, struct note *note);
MUST_USE enum result read_end(struct sqlite_db *db, enum result result, struct note *note);
/* Of a statement that counts; parameter NULL: it has none. */
MUST_USE enum result read_row_count(struct sqlite_db *db, enum sql_statement which, const int64_t *parameter,
				    size_t *ret_count, struct note *note);
/* RESULT_ABSENT unless the tenant has this vehicle. */
MUST_USE enum result read_check_vehicle(struct sqlite_db *db, int64_t tenant_number, const struct uuid *reference_id,
					struct note *note);
/* serial, device_id, spki_sha256, not_before, not_after, revoked_at, reason */
MUST_USE enum result read_certificate_row(struct sql *query, struct certificate_record *record);

MUST_USE enum result read_vehicle(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *reference_id,
				  struct arena *arena, struct vehicle *ret_vehicle, struct note *note);
MUST_USE enum result read_vehicle_by_device(struct sqlite_db *db, const struct tenant_id *tenant, const char *device_id,
					    struct arena *arena, struct vehicle *ret_vehicle, struct note *note);
MUST_USE enum result read_by_index(struct sqlite_db *db, const struct tenant_id *tenant,
				   const struct vin_index_set *sets, size_t count, struct uuid *ret_ids,
				   bool *ret_found, struct note *note);

/* Which vehicles a page is of. */
struct page_query {
	const struct tenant_id *tenant;
	enum sql_statement statement; /* tenant, cursor, limit, and its own fourth */
	bool has_fourth;
	int64_t fourth;
	uint64_t cursor;
	size_t limit;
};
MUST_USE enum result read_vehicle_page(struct sqlite_db *db, const struct page_query *query, struct arena *arena,
				       struct vehicle_page *ret_page, struct note *note);

MUST_USE enum result read_history(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *reference_id,
				  uint64_t before, size_t limit, struct arena *arena,
				  struct history_entry **ret_entries, size_t *ret_count, struct note *note);
/* valid_at_ms NULL: revoked and expired ones, too. */
MUST_USE enum result read_certificates(struct sqlite_db *db, const struct tenant_id *tenant,
				       const struct uuid *reference_id, const int64_t *valid_at_ms, size_t limit,
				       struct arena *arena, struct certificate_record **ret_records, size_t *ret_count,
				       struct note *note);
MUST_USE enum result read_revoked(struct sqlite_db *db, int64_t at_ms, struct arena *arena,
				  struct revoked_certificate **ret_revoked, size_t *ret_count, struct note *note);
MUST_USE enum result read_certified_key(struct sqlite_db *db, const struct tenant_id *tenant,
					const uint8_t spki_sha256[SHA256_SIZE], struct uuid *ret_reference_id,
					char ret_device_id[DEVICE_ID_SIZE], struct note *note);
MUST_USE enum result read_device(struct sqlite_db *db, const struct tenant_id *tenant, const char *device_id,
				 struct device_manifest_entry *ret_entry, struct note *note);
MUST_USE enum result read_tenant(struct sqlite_db *db, const struct tenant_id *id, struct tenant *ret_tenant,
				 struct note *note);
MUST_USE enum result read_tenants(struct sqlite_db *db, struct arena *arena, struct tenant **ret_tenants,
				  size_t *ret_count, struct note *note);
MUST_USE enum result read_clients(struct sqlite_db *db, struct arena *arena, struct client **ret_clients,
				  size_t *ret_count, struct note *note);
MUST_USE enum result read_reveal(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *id,
				 struct reveal_request *ret_request, struct note *note);
MUST_USE enum result read_idempotency(struct sqlite_db *db, const char *client_id, const char *route, const char *key,
				      int64_t now_ms, struct arena *arena, struct idempotency_record *ret_record,
				      struct note *note);
MUST_USE enum result read_outbox_leaves(struct sqlite_db *db, size_t limit, struct arena *arena,
					struct outbox_leaf **ret_leaves, size_t *ret_count, struct note *note);
MUST_USE enum result read_counts(struct sqlite_db *db, struct registry_counts *ret_counts, struct note *note);

#endif
