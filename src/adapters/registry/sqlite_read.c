#include "adapters/registry/sqlite_read.h"

size_t read_bounded(size_t limit)
{
	return limit < PAGE_ROWS_MAX ? limit : PAGE_ROWS_MAX;
}

static enum result run_plain(struct sqlite_db *db, enum sql_statement which, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(db, which, &query, note));
	return sql_run(&query, note);
}

enum result read_begin(struct sqlite_db *db, struct note *note)
{
	return run_plain(db, SQL_BEGIN_READ, note);
}

enum result read_end(struct sqlite_db *db, enum result result, struct note *note)
{
	enum result ended = run_plain(db, SQL_COMMIT, note);

	if (ended != RESULT_OK)
		sqlite_db_rollback(db);
	return result != RESULT_OK ? result : ended;
}

/* ---- vehicles -------------------------------------------------------------------------------------- */

/* The row's VEHICLE_COLUMNS. */
static enum result vehicle_from_row(struct sql *query, const struct tenant_id *tenant, struct arena *arena,
				    struct vehicle *vehicle)
{
	TRY(sql_column_blob(query, 1, vehicle->reference_id.bytes, UUID_SIZE));
	TRY(sql_column_text(query, 2, vehicle->device_id, sizeof(vehicle->device_id)));
	TRY(sql_column_blob(query, 5, vehicle->sealed.bytes, SEALED_VIN_SIZE));
	TRY(sql_column_arena_text(query, 9, arena, &vehicle->attributes));
	vehicle->tenant = *tenant;
	vehicle->state = (enum vehicle_state)sql_column_number(query, 3);
	vehicle->state_before_suspension = (enum vehicle_state)sql_column_number(query, 4);
	vehicle->created_at_ms = sql_column_number(query, 6);
	vehicle->updated_at_ms = vehicle->created_at_ms + sql_column_number(query, 7);
	vehicle->version = (uint32_t)sql_column_number(query, 8);
	return RESULT_OK;
}

static enum result one_vehicle(struct sql *query, const struct tenant_id *tenant, struct arena *arena,
			       struct vehicle *ret_vehicle, struct note *note)
{
	struct vehicle vehicle = {0};

	TRY(sql_row(query, note));
	TRY(vehicle_from_row(query, tenant, arena, &vehicle));
	*ret_vehicle = vehicle;
	return RESULT_OK;
}

enum result read_vehicle(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *reference_id,
			 struct arena *arena, struct vehicle *ret_vehicle, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant_number;

	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(sql_begin(db, SQL_GET_VEHICLE, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_blob(&query, 2, reference_id->bytes, UUID_SIZE);
	return one_vehicle(&query, tenant, arena, ret_vehicle, note);
}

enum result read_vehicle_by_device(struct sqlite_db *db, const struct tenant_id *tenant, const char *device_id,
				   struct arena *arena, struct vehicle *ret_vehicle, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant_number;

	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(sql_begin(db, SQL_GET_VEHICLE_BY_DEVICE, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_text(&query, 2, device_id);
	return one_vehicle(&query, tenant, arena, ret_vehicle, note);
}

static enum result find_one(struct sql *query, const struct vin_index_set *set, struct uuid *id, bool *found,
			    struct note *note)
{
	bool has_row = false;

	for (size_t i = 0; i < set->count && !has_row; i++) {
		sql_again(query);
		sql_number(query, 2, set->indexes[i].generation);
		sql_blob(query, 3, set->indexes[i].bytes, VIN_INDEX_SIZE);
		TRY(sql_step(query, &has_row, note));
	}
	if (has_row)
		TRY(sql_column_blob(query, 0, id->bytes, UUID_SIZE));
	*found = has_row;
	return RESULT_OK;
}

static enum result find_all(struct sqlite_db *db, int64_t tenant_number, const struct vin_index_set *sets, size_t count,
			    struct uuid *ids, bool *found, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(db, SQL_FIND_BY_INDEX, &query, note));
	sql_number(&query, 1, tenant_number);
	for (size_t i = 0; i < count; i++)
		TRY(find_one(&query, &sets[i], &ids[i], &found[i], note));
	return RESULT_OK;
}

enum result read_by_index(struct sqlite_db *db, const struct tenant_id *tenant, const struct vin_index_set *sets,
			  size_t count, struct uuid *ret_ids, bool *ret_found, struct note *note)
{
	int64_t tenant_number;
	enum result result = sqlite_db_tenant(db, tenant->text, &tenant_number, note);

	if (result == RESULT_ABSENT) {
		memset(ret_found, 0, count * sizeof(*ret_found));
		return RESULT_OK;
	}
	TRY(result);
	if (count == 1 && sets[0].count == 1)
		return find_all(db, tenant_number, sets, count, ret_ids, ret_found, note);
	/* One transaction spares each further look-up the locks of its own, and all see the same state. */
	TRY(read_begin(db, note));
	return read_end(db, find_all(db, tenant_number, sets, count, ret_ids, ret_found, note), note);
}

/* Reads one row more than the page holds, to know whether there is a next one. */
static enum result fill_page(struct sql *query, const struct page_query *page_query, size_t limit, struct arena *arena,
			     struct vehicle_page *page, struct note *note)
{
	bool has_row = false;
	uint64_t last = 0;

	TRY(sql_step(query, &has_row, note));
	while (has_row && page->count < limit) {
		last = (uint64_t)sql_column_number(query, 0);
		TRY(vehicle_from_row(query, page_query->tenant, arena, &page->vehicles[page->count]));
		page->count++;
		TRY(sql_step(query, &has_row, note));
	}
	page->next_cursor = has_row ? last : 0;
	return RESULT_OK;
}

enum result read_vehicle_page(struct sqlite_db *db, const struct page_query *page_query, struct arena *arena,
			      struct vehicle_page *ret_page, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct vehicle_page page = {0};
	size_t limit = read_bounded(page_query->limit);
	int64_t tenant_number;

	if (limit == 0 || page_query->cursor > INT64_MAX)
		return RESULT_INVALID;
	enum result result = sqlite_db_tenant(db, page_query->tenant->text, &tenant_number, note);
	if (result == RESULT_ABSENT) {
		*ret_page = page;
		return RESULT_OK;
	}
	TRY(result);
	page.vehicles = arena_alloc(arena, limit * sizeof(*page.vehicles));
	if (page.vehicles == NULL)
		return RESULT_MEMORY;
	TRY(sql_begin(db, page_query->statement, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_number(&query, 2, (int64_t)page_query->cursor);
	sql_number(&query, 3, (int64_t)limit + 1);
	if (page_query->has_fourth)
		sql_number(&query, 4, page_query->fourth);
	TRY(fill_page(&query, page_query, limit, arena, &page, note));
	*ret_page = page;
	return RESULT_OK;
}

/* ---- history and certificates ---------------------------------------------------------------------- */

static enum result history_from_row(struct sql *query, struct history_entry *entry)
{
	entry->number = (uint64_t)sql_column_number(query, 0);
	entry->at_ms = sql_column_number(query, 1);
	TRY(sql_column_text(query, 2, entry->actor, sizeof(entry->actor)));
	entry->event = (enum history_event)sql_column_number(query, 3);
	TRY(sql_column_text(query, 4, entry->from, sizeof(entry->from)));
	TRY(sql_column_text(query, 5, entry->to, sizeof(entry->to)));
	entry->has_serial = !sql_column_is_null(query, 6);
	if (entry->has_serial)
		TRY(sql_column_blob(query, 6, entry->serial.bytes, SERIAL_SIZE));
	entry->reason = (enum revocation_reason)sql_column_number(query, 7);
	return RESULT_OK;
}

enum result read_check_vehicle(struct sqlite_db *db, int64_t tenant_number, const struct uuid *reference_id,
			       struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(db, SQL_GET_VEHICLE, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_blob(&query, 2, reference_id->bytes, UUID_SIZE);
	return sql_row(&query, note);
}

enum result read_history(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *reference_id,
			 uint64_t before, size_t limit, struct arena *arena, struct history_entry **ret_entries,
			 size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant_number;
	bool has_row = false;
	size_t count = 0;

	limit = read_bounded(limit);
	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(read_check_vehicle(db, tenant_number, reference_id, note));
	struct history_entry *entries = arena_alloc(arena, limit * sizeof(*entries) + 1);
	if (entries == NULL)
		return RESULT_MEMORY;
	TRY(sql_begin(db, SQL_GET_HISTORY, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_blob(&query, 2, reference_id->bytes, UUID_SIZE);
	sql_number(&query, 3, before == 0 || before > INT64_MAX ? INT64_MAX : (int64_t)before);
	sql_number(&query, 4, (int64_t)limit);
	TRY(sql_step(&query, &has_row, note));
	while (has_row && count < limit) {
		TRY(history_from_row(&query, &entries[count]));
		count++;
		TRY(sql_step(&query, &has_row, note));
	}
	*ret_entries = entries;
	*ret_count = count;
	return RESULT_OK;
}

enum result read_certificate_row(struct sql *query, struct certificate_record *record)
{
	TRY(sql_column_blob(query, 0, record->serial.bytes, SERIAL_SIZE));
	TRY(sql_column_text(query, 1, record->device_id, sizeof(record->device_id)));
	TRY(sql_column_blob(query, 2, record->spki_sha256, SHA256_SIZE));
	record->not_before_ms = sql_column_number(query, 3);
	record->not_after_ms = sql_column_number(query, 4);
	record->is_revoked = !sql_column_is_null(query, 5);
	record->revoked_at_ms = sql_column_number(query, 5);
	record->reason = (enum revocation_reason)sql_column_number(query, 6);
	return RESULT_OK;
}

enum result read_certificates(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *reference_id,
			      const int64_t *valid_at_ms, size_t limit, struct arena *arena,
			      struct certificate_record **ret_records, size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant_number;
	bool has_row = false;
	size_t count = 0;

	limit = read_bounded(limit);
	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(read_check_vehicle(db, tenant_number, reference_id, note));
	struct certificate_record *records = arena_alloc(arena, limit * sizeof(*records) + 1);
	if (records == NULL)
		return RESULT_MEMORY;
	TRY(sql_begin(db, SQL_GET_CERTIFICATES, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_blob(&query, 2, reference_id->bytes, UUID_SIZE);
	sql_number(&query, 3, (int64_t)limit);
	if (valid_at_ms != NULL)
		sql_number(&query, 4, *valid_at_ms);
	TRY(sql_step(&query, &has_row, note));
	while (has_row && count < limit) {
		records[count].reference_id = *reference_id;
		records[count].tenant = *tenant;
		TRY(read_certificate_row(&query, &records[count]));
		count++;
		TRY(sql_step(&query, &has_row, note));
	}
	*ret_records = records;
	*ret_count = count;
	return RESULT_OK;
}

enum result read_row_count(struct sqlite_db *db, enum sql_statement which, const int64_t *parameter, size_t *ret_count,
			   struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(db, which, &query, note));
	if (parameter != NULL)
		sql_number(&query, 1, *parameter);
	TRY(sql_row(&query, note));
	*ret_count = (size_t)sql_column_number(&query, 0);
	return RESULT_OK;
}

static enum result collect_revoked(struct sqlite_db *db, int64_t at_ms, struct arena *arena,
				   struct revoked_certificate **ret_revoked, size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	size_t limit = 0, count = 0;
	bool has_row = false;

	TRY(read_row_count(db, SQL_COUNT_REVOKED, &at_ms, &limit, note));
	struct revoked_certificate *revoked = arena_alloc(arena, limit * sizeof(*revoked) + 1);
	if (revoked == NULL)
		return RESULT_MEMORY;
	TRY(sql_begin(db, SQL_SCAN_REVOKED, &query, note));
	sql_number(&query, 1, at_ms);
	TRY(sql_step(&query, &has_row, note));
	while (has_row && count < limit) {
		TRY(sql_column_blob(&query, 0, revoked[count].serial.bytes, SERIAL_SIZE));
		revoked[count].revoked_at_ms = sql_column_number(&query, 1);
		revoked[count].reason = (enum revocation_reason)sql_column_number(&query, 2);
		count++;
		TRY(sql_step(&query, &has_row, note));
	}
	*ret_revoked = revoked;
	*ret_count = count;
	return RESULT_OK;
}

enum result read_revoked(struct sqlite_db *db, int64_t at_ms, struct arena *arena,
			 struct revoked_certificate **ret_revoked, size_t *ret_count, struct note *note)
{
	TRY(read_begin(db, note));
	return read_end(db, collect_revoked(db, at_ms, arena, ret_revoked, ret_count, note), note);
}

enum result read_certified_key(struct sqlite_db *db, const struct tenant_id *tenant,
			       const uint8_t spki_sha256[SHA256_SIZE], struct uuid *ret_reference_id,
			       char ret_device_id[DEVICE_ID_SIZE], struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	char device_id[DEVICE_ID_SIZE];
	struct uuid reference_id;
	int64_t tenant_number;

	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(sql_begin(db, SQL_FIND_CERTIFIED_KEY, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_blob(&query, 2, spki_sha256, SHA256_SIZE);
	TRY(sql_row(&query, note));
	TRY(sql_column_text(&query, 2, device_id, sizeof(device_id)));
	TRY(sql_column_blob(&query, 3, reference_id.bytes, UUID_SIZE));
	*ret_reference_id = reference_id;
	memcpy(ret_device_id, device_id, sizeof(device_id));
	return RESULT_OK;
}

/* ---- devices, tenants, clients --------------------------------------------------------------------- */

enum result read_device(struct sqlite_db *db, const struct tenant_id *tenant, const char *device_id,
			struct device_manifest_entry *ret_entry, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct device_manifest_entry entry = {.tenant = *tenant};
	size_t length = strlen(device_id);
	int64_t tenant_number;

	if (length >= sizeof(entry.device_id))
		return RESULT_ABSENT;
	memcpy(entry.device_id, device_id, length);
	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(sql_begin(db, SQL_GET_DEVICE, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_text(&query, 2, device_id);
	TRY(sql_row(&query, note));
	TRY(sql_column_text(&query, 0, entry.model, sizeof(entry.model)));
	TRY(sql_column_text(&query, 1, entry.manufacturer, sizeof(entry.manufacturer)));
	entry.has_key = !sql_column_is_null(&query, 2);
	if (entry.has_key)
		TRY(sql_column_blob(&query, 2, entry.public_key_sha256, SHA256_SIZE));
	*ret_entry = entry;
	return RESULT_OK;
}

static enum result tenant_from_row(struct sql *query, struct tenant *tenant)
{
	TRY(sql_column_text(query, 0, tenant->id.text, sizeof(tenant->id.text)));
	tenant->check_digit = (enum check_digit_policy)sql_column_number(query, 1);
	tenant->manifest_required = sql_column_number(query, 2) != 0;
	tenant->created_at_ms = sql_column_number(query, 3);
	tenant->telemetry_retention_days = (uint32_t)sql_column_number(query, 4);
	return RESULT_OK;
}

enum result read_tenant(struct sqlite_db *db, const struct tenant_id *id, struct tenant *ret_tenant, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct tenant tenant = {0};

	TRY(sql_begin(db, SQL_GET_TENANT, &query, note));
	sql_text(&query, 1, id->text);
	TRY(sql_row(&query, note));
	TRY(tenant_from_row(&query, &tenant));
	*ret_tenant = tenant;
	return RESULT_OK;
}

static enum result collect_tenants(struct sqlite_db *db, struct arena *arena, struct tenant **ret_tenants,
				   size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	size_t limit = 0, count = 0;
	bool has_row = false;

	TRY(read_row_count(db, SQL_COUNT_TENANTS, NULL, &limit, note));
	struct tenant *tenants = arena_alloc(arena, limit * sizeof(*tenants) + 1);
	if (tenants == NULL)
		return RESULT_MEMORY;
	TRY(sql_begin(db, SQL_LIST_TENANTS, &query, note));
	TRY(sql_step(&query, &has_row, note));
	while (has_row && count < limit) {
		TRY(tenant_from_row(&query, &tenants[count]));
		count++;
		TRY(sql_step(&query, &has_row, note));
	}
	*ret_tenants = tenants;
	*ret_count = count;
	return RESULT_OK;
}

enum result read_tenants(struct sqlite_db *db, struct arena *arena, struct tenant **ret_tenants, size_t *ret_count,
			 struct note *note)
{
	TRY(read_begin(db, note));
	return read_end(db, collect_tenants(db, arena, ret_tenants, ret_count, note), note);
}

static enum result client_from_row(struct sql *query, struct client *client)
{
	TRY(sql_column_text(query, 1, client->id, sizeof(client->id)));
	TRY(sql_column_text(query, 2, client->tenant.text, sizeof(client->tenant.text)));
	client->scopes = (uint32_t)sql_column_number(query, 3);
	client->limits.requests_per_second = (uint32_t)sql_column_number(query, 4);
	client->limits.burst = (uint32_t)sql_column_number(query, 5);
	client->state = (enum client_state)sql_column_number(query, 6);
	client->created_at_ms = sql_column_number(query, 7);
	client->version = (uint32_t)sql_column_number(query, 8);
	return RESULT_OK;
}

static enum result read_purposes(struct sqlite_db *db, int64_t number, struct client *client, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	bool has_row = false;

	TRY(sql_begin(db, SQL_GET_PURPOSES, &query, note));
	sql_number(&query, 1, number);
	TRY(sql_step(&query, &has_row, note));
	while (has_row) {
		if (client->purpose_count == PURPOSES_MAX)
			return RESULT_CORRUPT;
		TRY(sql_column_text(&query, 0, client->purposes[client->purpose_count], sizeof(client->purposes[0])));
		client->purpose_count++;
		TRY(sql_step(&query, &has_row, note));
	}
	return RESULT_OK;
}

static enum result read_fingerprints(struct sqlite_db *db, int64_t number, struct client *client, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	bool has_row = false;

	TRY(sql_begin(db, SQL_GET_FINGERPRINTS, &query, note));
	sql_number(&query, 1, number);
	TRY(sql_step(&query, &has_row, note));
	while (has_row) {
		if (client->fingerprint_count == FINGERPRINTS_MAX)
			return RESULT_CORRUPT;
		TRY(sql_column_blob(&query, 0, client->fingerprints[client->fingerprint_count], SHA256_SIZE));
		client->fingerprint_count++;
		TRY(sql_step(&query, &has_row, note));
	}
	return RESULT_OK;
}

static enum result collect_clients(struct sqlite_db *db, struct arena *arena, struct client **ret_clients,
				   size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	size_t limit = 0, count = 0;
	bool has_row = false;

	TRY(read_row_count(db, SQL_COUNT_CLIENTS, NULL, &limit, note));
	struct client *clients = arena_alloc(arena, limit * sizeof(*clients) + 1);
	if (clients == NULL)
		return RESULT_MEMORY;
	TRY(sql_begin(db, SQL_LIST_CLIENTS, &query, note));
	TRY(sql_step(&query, &has_row, note));
	while (has_row && count < limit) {
		int64_t number = sql_column_number(&query, 0);

		TRY(client_from_row(&query, &clients[count]));
		TRY(read_purposes(db, number, &clients[count], note));
		TRY(read_fingerprints(db, number, &clients[count], note));
		count++;
		TRY(sql_step(&query, &has_row, note));
	}
	*ret_clients = clients;
	*ret_count = count;
	return RESULT_OK;
}

enum result read_clients(struct sqlite_db *db, struct arena *arena, struct client **ret_clients, size_t *ret_count,
			 struct note *note)
{
	TRY(read_begin(db, note));
	return read_end(db, collect_clients(db, arena, ret_clients, ret_count, note), note);
}

/* ---- reveals, idempotency, outbox ------------------------------------------------------------------ */

enum result read_reveal(struct sqlite_db *db, const struct tenant_id *tenant, const struct uuid *id,
			struct reveal_request *ret_request, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct reveal_request request = {.id = *id, .tenant = *tenant};
	int64_t tenant_number;

	TRY(sqlite_db_tenant(db, tenant->text, &tenant_number, note));
	TRY(sql_begin(db, SQL_GET_REVEAL, &query, note));
	sql_number(&query, 1, tenant_number);
	sql_blob(&query, 2, id->bytes, UUID_SIZE);
	TRY(sql_row(&query, note));
	TRY(sql_column_blob(&query, 0, request.reference_id.bytes, UUID_SIZE));
	TRY(sql_column_text(&query, 1, request.purpose, sizeof(request.purpose)));
	TRY(sql_column_text(&query, 2, request.reason, sizeof(request.reason)));
	TRY(sql_column_text(&query, 3, request.ticket, sizeof(request.ticket)));
	TRY(sql_column_text(&query, 4, request.requested_by, sizeof(request.requested_by)));
	TRY(sql_column_text(&query, 5, request.approved_by, sizeof(request.approved_by)));
	request.status = (enum reveal_status)sql_column_number(&query, 6);
	request.created_at_ms = sql_column_number(&query, 7);
	request.expires_at_ms = sql_column_number(&query, 8);
	*ret_request = request;
	return RESULT_OK;
}

static enum result idempotency_from_row(struct sql *query, struct arena *arena, struct idempotency_record *record)
{
	TRY(sql_column_blob(query, 0, record->fingerprint, SHA256_SIZE));
	record->status = (int)sql_column_number(query, 1);
	TRY(sql_column_arena_text(query, 2, arena, &record->body));
	record->has_serial = !sql_column_is_null(query, 3);
	if (record->has_serial) {
		TRY(sql_column_blob(query, 3, record->serial.bytes, SERIAL_SIZE));
		TRY(sql_column_blob(query, 4, record->reference_id.bytes, UUID_SIZE));
	}
	record->created_at_ms = sql_column_number(query, 5);
	return RESULT_OK;
}

static bool copy_name(char *ret_text, size_t size, const char *text)
{
	size_t length = strlen(text);

	if (length >= size)
		return false;
	memcpy(ret_text, text, length + 1);
	return true;
}

enum result read_idempotency(struct sqlite_db *db, const char *client_id, const char *route, const char *key,
			     int64_t now_ms, struct arena *arena, struct idempotency_record *ret_record,
			     struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	struct idempotency_record record = {0};

	if (!copy_name(record.client_id, sizeof(record.client_id), client_id) ||
	    !copy_name(record.route, sizeof(record.route), route) || !copy_name(record.key, sizeof(record.key), key))
		return RESULT_INVALID;
	TRY(sql_begin(db, SQL_GET_IDEMPOTENCY, &query, note));
	sql_text(&query, 1, client_id);
	sql_text(&query, 2, route);
	sql_text(&query, 3, key);
	sql_number(&query, 4, now_ms - IDEMPOTENCY_AGE_MS);
	TRY(sql_row(&query, note));
	TRY(idempotency_from_row(&query, arena, &record));
	*ret_record = record;
	return RESULT_OK;
}

static enum result leaf_from_row(struct sql *query, struct arena *arena, struct outbox_leaf *leaf)
{
	const char *json = NULL;

	TRY(sql_column_blob(query, 0, leaf->leaf_id.bytes, UUID_SIZE));
	TRY(sql_column_arena_text(query, 1, arena, &json));
	leaf->json = json == NULL ? span_of(NULL, 0) : span_of_text(json);
	leaf->log_size = (uint64_t)sql_column_number(query, 2);
	return RESULT_OK;
}

enum result read_outbox_leaves(struct sqlite_db *db, size_t limit, struct arena *arena, struct outbox_leaf **ret_leaves,
			       size_t *ret_count, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	bool has_row = false;
	size_t count = 0;

	limit = read_bounded(limit);
	struct outbox_leaf *leaves = arena_alloc(arena, limit * sizeof(*leaves) + 1);
	if (leaves == NULL)
		return RESULT_MEMORY;
	TRY(sql_begin(db, SQL_READ_OUTBOX, &query, note));
	sql_number(&query, 1, (int64_t)limit);
	TRY(sql_step(&query, &has_row, note));
	while (has_row && count < limit) {
		enum result result = leaf_from_row(&query, arena, &leaves[count]);
		if (result == RESULT_MEMORY && count > 0)
			break; /* as many as the arena holds */
		TRY(result);
		count++;
		TRY(sql_step(&query, &has_row, note));
	}
	*ret_leaves = leaves;
	*ret_count = count;
	return RESULT_OK;
}

enum result read_counts(struct sqlite_db *db, struct registry_counts *ret_counts, struct note *note)
{
	size_t vehicles = 0, outbox = 0;

	TRY(read_row_count(db, SQL_COUNT_VEHICLES, NULL, &vehicles, note));
	TRY(read_row_count(db, SQL_COUNT_OUTBOX, NULL, &outbox, note));
	*ret_counts = (struct registry_counts){.vehicles = vehicles, .outbox = outbox};
	return RESULT_OK;
}
