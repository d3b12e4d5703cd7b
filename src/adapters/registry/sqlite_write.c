#include "adapters/registry/sqlite_write.h"

#include "adapters/registry/sqlite_fleet_write.h"
#include "adapters/registry/sqlite_read.h"

enum result write_refuse(struct write *write, enum registry_conflict conflict)
{
	write->conflict = conflict;
	return RESULT_CONFLICT;
}

enum result write_tenant_number(struct write *write, const struct tenant_id *tenant, int64_t *ret_number)
{
	enum result result = sqlite_db_tenant(write->db, tenant->text, ret_number, write->note);

	return result == RESULT_ABSENT ? write_refuse(write, REGISTRY_CONFLICT_TENANT) : result;
}

enum result write_run_expecting_one(struct write *write, struct sql *query, enum registry_conflict conflict)
{
	TRY(sql_run(query, write->note));
	return sql_changes(query) == 1 ? RESULT_OK : write_refuse(write, conflict);
}

enum result write_run_unique(struct write *write, struct sql *query, enum registry_conflict conflict)
{
	enum result result = sql_run(query, write->note);

	return result == RESULT_CONFLICT ? write_refuse(write, conflict) : result;
}

/* ---- vehicles -------------------------------------------------------------------------------------- */

static enum result find_vehicle(struct write *write, const struct uuid *reference_id, struct vehicle_key *ret_key)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_VEHICLE_KEY, &query, write->note));
	sql_blob(&query, 1, reference_id->bytes, UUID_SIZE);
	enum result result = sql_row(&query, write->note);
	if (result == RESULT_ABSENT)
		return write_refuse(write, REGISTRY_CONFLICT_REFERENCE_ID);
	TRY(result);
	*ret_key = (struct vehicle_key){
		.number = sql_column_number(&query, 0),
		.tenant = sql_column_number(&query, 1),
		.created_at_ms = sql_column_number(&query, 2),
		.generation = sql_column_number(&query, 3),
	};
	return RESULT_OK;
}

enum result write_find_vehicle(struct write *write, const struct tenant_id *tenant, const struct uuid *reference_id,
			       struct vehicle_key *ret_key)
{
	int64_t number;

	TRY(write_tenant_number(write, tenant, &number));
	TRY(find_vehicle(write, reference_id, ret_key));
	return ret_key->tenant == number ? RESULT_OK : write_refuse(write, REGISTRY_CONFLICT_REFERENCE_ID);
}

enum result write_generation_count(struct write *write, int64_t tenant, int64_t generation, int64_t more)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_ADD_GENERATION_COUNT, &query, write->note));
	sql_number(&query, 1, tenant);
	sql_number(&query, 2, generation);
	sql_number(&query, 3, more);
	return sql_run(&query, write->note);
}

static const char *stored_attributes(const struct vehicle *vehicle)
{
	return vehicle->attributes != NULL && strcmp(vehicle->attributes, "{}") != 0 ? vehicle->attributes : NULL;
}

/* A decommissioned vehicle has no device, whatever the caller left in the record. */
static const char *stored_device(const struct vehicle *vehicle)
{
	return vehicle->state != VEHICLE_DECOMMISSIONED ? vehicle->device_id : NULL;
}

static void bind_state(struct sql *query, int index, const struct vehicle *vehicle)
{
	sql_number(query, index, vehicle->state);
	if (vehicle->state == VEHICLE_SUSPENDED)
		sql_number(query, index + 1, vehicle->state_before_suspension);
	else
		sql_null(query, index + 1);
}

static enum result name_vehicle_conflict(struct write *write, const struct uuid *reference_id)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_HAS_REFERENCE_ID, &query, write->note));
	sql_blob(&query, 1, reference_id->bytes, UUID_SIZE);
	enum result result = sql_row(&query, write->note);
	if (result == RESULT_OK)
		return write_refuse(write, REGISTRY_CONFLICT_REFERENCE_ID);
	return result == RESULT_ABSENT ? write_refuse(write, REGISTRY_CONFLICT_DEVICE_ID) : result;
}

enum result write_vehicle_row(struct write *write, int64_t number, int64_t tenant, const struct vehicle *vehicle,
			      uint16_t generation)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_INSERT_VEHICLE, &query, write->note));
	if (number != 0)
		sql_number(&query, 1, number);
	sql_blob(&query, 2, vehicle->reference_id.bytes, UUID_SIZE);
	sql_number(&query, 3, tenant);
	sql_text_or_null(&query, 4, stored_device(vehicle));
	bind_state(&query, 5, vehicle);
	sql_blob(&query, 7, vehicle->sealed.bytes, SEALED_VIN_SIZE);
	sql_number(&query, 8, generation);
	sql_number(&query, 9, vehicle->created_at_ms);
	sql_number(&query, 10, vehicle->updated_at_ms - vehicle->created_at_ms);
	sql_text_or_null(&query, 11, stored_attributes(vehicle));
	enum result result = sql_run(&query, write->note);
	return result == RESULT_CONFLICT ? name_vehicle_conflict(write, &vehicle->reference_id) : result;
}

static enum result insert_vehicle(struct write *write, const struct vehicle *vehicle)
{
	int64_t tenant;

	if (vehicle->version != 1)
		return RESULT_INVALID;
	TRY(write_tenant_number(write, &vehicle->tenant, &tenant));
	TRY(write_vehicle_row(write, 0, tenant, vehicle, 0));
	return write_generation_count(write, tenant, 0, 1);
}

static enum result update_vehicle(struct write *write, const struct vehicle *vehicle)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &vehicle->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_UPDATE_VEHICLE, &query, write->note));
	sql_number(&query, 1, tenant);
	sql_blob(&query, 2, vehicle->reference_id.bytes, UUID_SIZE);
	sql_text_or_null(&query, 3, stored_device(vehicle));
	bind_state(&query, 4, vehicle);
	sql_number(&query, 6, vehicle->updated_at_ms);
	sql_number(&query, 7, vehicle->version);
	sql_text_or_null(&query, 8, stored_attributes(vehicle));
	enum result result = sql_run(&query, write->note);
	if (result == RESULT_CONFLICT)
		return write_refuse(write, REGISTRY_CONFLICT_DEVICE_ID);
	TRY(result);
	return sql_changes(&query) == 1 ? RESULT_OK : write_refuse(write, REGISTRY_CONFLICT_VERSION);
}

/* ---- VIN indexes ----------------------------------------------------------------------------------- */

static enum result check_index_is_of(struct write *write, int64_t tenant, int64_t vehicle,
				     const struct vin_index *index)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_INDEX_VEHICLE, &query, write->note));
	sql_number(&query, 1, tenant);
	sql_number(&query, 2, index->generation);
	sql_blob(&query, 3, index->bytes, VIN_INDEX_SIZE);
	TRY(sql_row(&query, write->note));
	return sql_column_number(&query, 0) == vehicle ? RESULT_OK : write_refuse(write, REGISTRY_CONFLICT_VIN_INDEX);
}

enum result write_index_row(struct write *write, int64_t tenant, int64_t vehicle, const struct vin_index *index)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_INSERT_INDEX, &query, write->note));
	sql_number(&query, 1, tenant);
	sql_number(&query, 2, index->generation);
	sql_blob(&query, 3, index->bytes, VIN_INDEX_SIZE);
	sql_number(&query, 4, vehicle);
	enum result result = sql_run(&query, write->note);
	/* The vehicle's own index is no conflict: a rotation may meet what a provisioning wrote. */
	return result == RESULT_CONFLICT ? check_index_is_of(write, tenant, vehicle, index) : result;
}

static enum result raise_generation(struct write *write, const struct vehicle_key *key, uint16_t generation)
{
	SQL_CLEANUP struct sql query = {0};

	if (generation <= key->generation)
		return RESULT_OK;
	TRY(sql_begin(write->db, SQL_SET_GENERATION, &query, write->note));
	sql_number(&query, 1, key->number);
	sql_number(&query, 2, generation);
	TRY(sql_run(&query, write->note));
	TRY(write_generation_count(write, key->tenant, key->generation, -1));
	return write_generation_count(write, key->tenant, generation, 1);
}

static enum result read_dropped(struct write *write, int64_t tenant, int64_t *ret_generation)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_DROPPED_GENERATION, &query, write->note));
	sql_number(&query, 1, tenant);
	TRY(sql_row(&query, write->note));
	*ret_generation = sql_column_number(&query, 0);
	return RESULT_OK;
}

/*
 * Indexes of a dropped generation are left out. When none is left, the caller computed them before a key rotation
 * that has ended since, and nobody would ever find the vehicle by them.
 */
static enum result insert_indexes(struct write *write, const struct registry_write *what)
{
	const struct vin_index_set *set = what->vin.indexes;
	struct vehicle_key key;
	int64_t dropped;
	uint16_t newest = 0;

	TRY(write_find_vehicle(write, what->vin.tenant, what->vin.reference_id, &key));
	TRY(read_dropped(write, key.tenant, &dropped));
	for (size_t i = 0; i < set->count; i++) {
		if (set->indexes[i].generation <= dropped)
			continue;
		TRY(write_index_row(write, key.tenant, key.number, &set->indexes[i]));
		if (set->indexes[i].generation > newest)
			newest = set->indexes[i].generation;
	}
	return newest > 0 ? raise_generation(write, &key, newest) : write_refuse(write, REGISTRY_CONFLICT_GENERATION);
}

static enum result reseal(struct write *write, const struct registry_write *what)
{
	SQL_CLEANUP struct sql query = {0};
	struct vehicle_key key;

	TRY(write_find_vehicle(write, what->reseal.tenant, what->reseal.reference_id, &key));
	TRY(sql_begin(write->db, SQL_RESEAL_VEHICLE, &query, write->note));
	sql_number(&query, 1, key.number);
	sql_blob(&query, 2, what->reseal.expected_sealed->bytes, SEALED_VIN_SIZE);
	sql_blob(&query, 3, what->reseal.sealed->bytes, SEALED_VIN_SIZE);
	TRY(write_run_expecting_one(write, &query, REGISTRY_CONFLICT_GENERATION));
	TRY(write_index_row(write, key.tenant, key.number, what->reseal.index));
	return raise_generation(write, &key, what->reseal.index->generation);
}

/* Every vehicle's newest generation is counted, so that this need not look at the vehicles. */
static enum result check_generation_is_unused(struct write *write, int64_t tenant, uint16_t generation)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_HAS_VEHICLE_AT_GENERATION, &query, write->note));
	sql_number(&query, 1, tenant);
	sql_number(&query, 2, generation);
	enum result result = sql_row(&query, write->note);
	if (result == RESULT_OK)
		return write_refuse(write, REGISTRY_CONFLICT_GENERATION);
	return result == RESULT_ABSENT ? RESULT_OK : result;
}

enum result write_drop_generation(struct write *write, const struct tenant_id *tenant, uint16_t generation,
				  size_t limit, size_t *ret_removed)
{
	SQL_CLEANUP struct sql remember = {0}, query = {0};
	int64_t number;

	TRY(sqlite_db_tenant(write->db, tenant->text, &number, write->note));
	TRY(check_generation_is_unused(write, number, generation));
	TRY(sql_begin(write->db, SQL_SET_DROPPED_GENERATION, &remember, write->note));
	sql_number(&remember, 1, number);
	sql_number(&remember, 2, generation);
	TRY(sql_run(&remember, write->note));
	TRY(sql_begin(write->db, SQL_DELETE_INDEXES, &query, write->note));
	sql_number(&query, 1, number);
	sql_number(&query, 2, generation);
	sql_number(&query, 3, (int64_t)(limit < 100000 ? limit : 100000));
	TRY(sql_run(&query, write->note));
	*ret_removed = (size_t)sql_changes(&query);
	return RESULT_OK;
}

/* ---- history and certificates ---------------------------------------------------------------------- */

static enum result append_history(struct write *write, const struct registry_write *what)
{
	SQL_CLEANUP struct sql query = {0};
	const struct history_entry *entry = what->history.entry;
	struct vehicle_key key;
	int64_t actor;

	TRY(find_vehicle(write, what->history.reference_id, &key));
	TRY(sqlite_db_actor(write->db, entry->actor, &actor, write->note));
	TRY(sql_begin(write->db, SQL_APPEND_HISTORY, &query, write->note));
	sql_number(&query, 1, key.number);
	sql_number(&query, 2, entry->at_ms - key.created_at_ms);
	sql_number(&query, 3, actor);
	sql_number(&query, 4, entry->event);
	sql_text_or_null(&query, 5, entry->from);
	sql_text_or_null(&query, 6, entry->to);
	if (entry->has_serial)
		sql_blob(&query, 7, entry->serial.bytes, SERIAL_SIZE);
	if (entry->reason != REVOCATION_UNSPECIFIED)
		sql_number(&query, 8, entry->reason);
	return sql_run(&query, write->note);
}

/* RESULT_ABSENT when the key was never certified. */
static enum result find_key(struct write *write, const struct vehicle_key *key,
			    const struct certificate_record *certificate, int64_t *ret_number)
{
	SQL_CLEANUP struct sql query = {0};
	char device_id[DEVICE_ID_SIZE];

	TRY(sql_begin(write->db, SQL_FIND_CERTIFIED_KEY, &query, write->note));
	sql_number(&query, 1, key->tenant);
	sql_blob(&query, 2, certificate->spki_sha256, SHA256_SIZE);
	TRY(sql_row(&query, write->note));
	TRY(sql_column_text(&query, 2, device_id, sizeof(device_id)));
	if (sql_column_number(&query, 1) != key->number || strcmp(device_id, certificate->device_id) != 0)
		return write_refuse(write, REGISTRY_CONFLICT_CERTIFIED_KEY);
	*ret_number = sql_column_number(&query, 0);
	return RESULT_OK;
}

static enum result remember_key(struct write *write, const struct vehicle_key *key,
				const struct certificate_record *certificate, int64_t *ret_number)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_INSERT_CERTIFIED_KEY, &query, write->note));
	sql_number(&query, 1, key->tenant);
	sql_blob(&query, 2, certificate->spki_sha256, SHA256_SIZE);
	sql_number(&query, 3, key->number);
	sql_text(&query, 4, certificate->device_id);
	TRY(sql_row(&query, write->note));
	*ret_number = sql_column_number(&query, 0);
	return sql_run(&query, write->note);
}

static enum result insert_certificate(struct write *write, const struct certificate_record *certificate)
{
	SQL_CLEANUP struct sql query = {0};
	struct vehicle_key key;
	int64_t key_number;

	TRY(write_find_vehicle(write, &certificate->tenant, &certificate->reference_id, &key));
	enum result result = find_key(write, &key, certificate, &key_number);
	if (result == RESULT_ABSENT)
		result = remember_key(write, &key, certificate, &key_number);
	TRY(result);
	TRY(sql_begin(write->db, SQL_INSERT_CERTIFICATE, &query, write->note));
	sql_blob(&query, 1, certificate->serial.bytes, SERIAL_SIZE);
	sql_number(&query, 2, key.number);
	sql_number(&query, 3, key_number);
	sql_number(&query, 4, certificate->not_before_ms);
	sql_number(&query, 5, certificate->not_after_ms);
	if (certificate->is_revoked) {
		sql_number(&query, 6, certificate->revoked_at_ms);
		sql_number(&query, 7, certificate->reason);
	}
	return write_run_unique(write, &query, REGISTRY_CONFLICT_CERTIFIED_KEY);
}

static enum result revoke_certificate(struct write *write, const struct registry_write *what)
{
	SQL_CLEANUP struct sql query = {0}, known = {0};

	TRY(sql_begin(write->db, SQL_REVOKE_CERTIFICATE, &query, write->note));
	sql_blob(&query, 1, what->revoke.serial->bytes, SERIAL_SIZE);
	sql_number(&query, 2, what->revoke.at_ms);
	sql_number(&query, 3, what->revoke.reason);
	TRY(sql_run(&query, write->note));
	if (sql_changes(&query) == 1)
		return RESULT_OK;
	/* Revoked already is fine; a revocation that revokes nothing must not look like one that did. */
	TRY(sql_begin(write->db, SQL_HAS_CERTIFICATE, &known, write->note));
	sql_blob(&known, 1, what->revoke.serial->bytes, SERIAL_SIZE);
	return sql_row(&known, write->note);
}

/* ---- devices and tenants --------------------------------------------------------------------------- */

static enum result compare_device(struct write *write, const struct device_manifest_entry *entry,
				  enum device_put *ret_device)
{
	struct device_manifest_entry known;

	TRY(read_device(write->db, &entry->tenant, entry->device_id, &known, write->note));
	bool has_other_key = entry->has_key && (!known.has_key || memcmp(entry->public_key_sha256,
									 known.public_key_sha256, SHA256_SIZE) != 0);
	*ret_device = has_other_key ? DEVICE_OTHER_KEY : DEVICE_KNOWN;
	return RESULT_OK;
}

static enum result put_device(struct write *write, const struct device_manifest_entry *entry,
			      enum device_put *ret_device)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &entry->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_INSERT_DEVICE, &query, write->note));
	sql_number(&query, 1, tenant);
	sql_text(&query, 2, entry->device_id);
	sql_text_or_null(&query, 3, entry->model);
	sql_text_or_null(&query, 4, entry->manufacturer);
	if (entry->has_key)
		sql_blob(&query, 5, entry->public_key_sha256, SHA256_SIZE);
	TRY(sql_run(&query, write->note));
	if (sql_changes(&query) == 0)
		return compare_device(write, entry, ret_device);
	*ret_device = DEVICE_ADDED;
	return RESULT_OK;
}

static enum result insert_tenant(struct write *write, const struct tenant *tenant)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_INSERT_TENANT, &query, write->note));
	sql_text(&query, 1, tenant->id.text);
	sql_number(&query, 2, tenant->check_digit);
	sql_number(&query, 3, tenant->manifest_required);
	sql_number(&query, 4, tenant->created_at_ms);
	sql_number(&query, 5, tenant->telemetry_retention_days);
	return write_run_unique(write, &query, REGISTRY_CONFLICT_TENANT);
}

/* ---- clients --------------------------------------------------------------------------------------- */

static enum result delete_of_client(struct write *write, enum sql_statement which, int64_t number)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, which, &query, write->note));
	sql_number(&query, 1, number);
	return sql_run(&query, write->note);
}

static enum result write_purposes(struct write *write, const struct client *client, int64_t number)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(delete_of_client(write, SQL_DELETE_PURPOSES, number));
	TRY(sql_begin(write->db, SQL_INSERT_PURPOSE, &query, write->note));
	sql_number(&query, 1, number);
	for (size_t i = 0; i < client->purpose_count; i++) {
		sql_again(&query);
		sql_number(&query, 2, (int64_t)i);
		sql_text(&query, 3, client->purposes[i]);
		TRY(sql_run(&query, write->note));
	}
	return RESULT_OK;
}

static enum result write_fingerprints(struct write *write, const struct client *client, int64_t number)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(delete_of_client(write, SQL_DELETE_FINGERPRINTS, number));
	TRY(sql_begin(write->db, SQL_INSERT_FINGERPRINT, &query, write->note));
	sql_number(&query, 1, number);
	for (size_t i = 0; i < client->fingerprint_count; i++) {
		sql_again(&query);
		sql_number(&query, 2, (int64_t)i);
		sql_blob(&query, 3, client->fingerprints[i], SHA256_SIZE);
		TRY(write_run_unique(write, &query, REGISTRY_CONFLICT_CLIENT));
	}
	return RESULT_OK;
}

static enum result find_client(struct write *write, const struct client *client, int64_t *ret_number)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &client->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_CLIENT_NUMBER, &query, write->note));
	sql_text(&query, 1, client->id);
	sql_number(&query, 2, tenant);
	enum result result = sql_row(&query, write->note);
	if (result == RESULT_ABSENT)
		return write_refuse(write, REGISTRY_CONFLICT_CLIENT);
	TRY(result);
	*ret_number = sql_column_number(&query, 0);
	return RESULT_OK;
}

static enum result write_client_parts(struct write *write, const struct client *client, int64_t number)
{
	if (client->purpose_count > PURPOSES_MAX || client->fingerprint_count > FINGERPRINTS_MAX)
		return RESULT_INVALID;
	TRY(write_purposes(write, client, number));
	return write_fingerprints(write, client, number);
}

static enum result insert_client(struct write *write, const struct client *client)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &client->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_INSERT_CLIENT, &query, write->note));
	sql_text(&query, 1, client->id);
	sql_number(&query, 2, tenant);
	sql_number(&query, 3, client->scopes);
	sql_number(&query, 4, client->limits.requests_per_second);
	sql_number(&query, 5, client->limits.burst);
	sql_number(&query, 6, client->state);
	sql_number(&query, 7, client->created_at_ms);
	sql_number(&query, 8, 1); /* a new client is at version 1 */
	TRY(write_run_unique(write, &query, REGISTRY_CONFLICT_CLIENT));
	return write_client_parts(write, client, sqlite3_last_insert_rowid(write->db->handle));
}

static enum result update_client(struct write *write, const struct client *client)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t number;

	TRY(find_client(write, client, &number));
	TRY(sql_begin(write->db, SQL_UPDATE_CLIENT, &query, write->note));
	sql_number(&query, 1, number);
	sql_number(&query, 2, client->scopes);
	sql_number(&query, 3, client->limits.requests_per_second);
	sql_number(&query, 4, client->limits.burst);
	sql_number(&query, 5, client->state);
	sql_number(&query, 6, client->version);
	TRY(write_run_expecting_one(write, &query, REGISTRY_CONFLICT_VERSION));
	return write_client_parts(write, client, number);
}

/* ---- reveals --------------------------------------------------------------------------------------- */

static enum result insert_reveal(struct write *write, const struct reveal_request *reveal)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &reveal->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_INSERT_REVEAL, &query, write->note));
	sql_blob(&query, 1, reveal->id.bytes, UUID_SIZE);
	sql_number(&query, 2, tenant);
	sql_blob(&query, 3, reveal->reference_id.bytes, UUID_SIZE);
	sql_text(&query, 4, reveal->purpose);
	sql_text(&query, 5, reveal->reason);
	sql_text_or_null(&query, 6, reveal->ticket);
	sql_text(&query, 7, reveal->requested_by);
	sql_text_or_null(&query, 8, reveal->approved_by);
	sql_number(&query, 9, reveal->status);
	sql_number(&query, 10, reveal->created_at_ms);
	sql_number(&query, 11, reveal->expires_at_ms);
	return write_run_unique(write, &query, REGISTRY_CONFLICT_REVEAL);
}

static enum result update_reveal(struct write *write, const struct reveal_request *reveal)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &reveal->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_UPDATE_REVEAL, &query, write->note));
	sql_number(&query, 1, tenant);
	sql_blob(&query, 2, reveal->id.bytes, UUID_SIZE);
	sql_number(&query, 3, reveal->status);
	sql_text_or_null(&query, 4, reveal->approved_by);
	sql_number(&query, 5, reveal->expires_at_ms);
	return write_run_expecting_one(write, &query, REGISTRY_CONFLICT_REVEAL);
}

/* Back to approved: keyd could not open it. */
static enum result restore_reveal(struct write *write, const struct reveal_request *reveal)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t tenant;

	TRY(write_tenant_number(write, &reveal->tenant, &tenant));
	TRY(sql_begin(write->db, SQL_RESTORE_REVEAL, &query, write->note));
	sql_number(&query, 1, tenant);
	sql_blob(&query, 2, reveal->id.bytes, UUID_SIZE);
	return write_run_expecting_one(write, &query, REGISTRY_CONFLICT_REVEAL);
}

/* ---- idempotency ----------------------------------------------------------------------------------- */

static void bind_idempotency_key(struct sql *query, const struct idempotency_record *record)
{
	sql_text(query, 1, record->client_id);
	sql_text(query, 2, record->route);
	sql_text(query, 3, record->key);
}

/* status, body, serial, reference_id from `index` on */
static void bind_answer(struct sql *query, int index, const struct idempotency_record *record)
{
	sql_number(query, index, record->status);
	sql_text_or_null(query, index + 1, record->body);
	if (record->has_serial) {
		sql_blob(query, index + 2, record->serial.bytes, SERIAL_SIZE);
		sql_blob(query, index + 3, record->reference_id.bytes, UUID_SIZE);
	}
}

static enum result expire_idempotency(struct write *write, const struct idempotency_record *record)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_EXPIRE_IDEMPOTENCY, &query, write->note));
	bind_idempotency_key(&query, record);
	sql_number(&query, 4, write->now_ms - IDEMPOTENCY_AGE_MS);
	return sql_run(&query, write->note);
}

static enum result insert_idempotency(struct write *write, const struct idempotency_record *record)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(expire_idempotency(write, record));
	TRY(sql_begin(write->db, SQL_INSERT_IDEMPOTENCY, &query, write->note));
	bind_idempotency_key(&query, record);
	sql_blob(&query, 4, record->fingerprint, SHA256_SIZE);
	bind_answer(&query, 5, record);
	sql_number(&query, 9, record->created_at_ms);
	return write_run_unique(write, &query, REGISTRY_CONFLICT_IDEMPOTENCY);
}

static enum result update_idempotency(struct write *write, const struct idempotency_record *record)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_UPDATE_IDEMPOTENCY, &query, write->note));
	bind_idempotency_key(&query, record);
	sql_number(&query, 4, record->created_at_ms);
	bind_answer(&query, 5, record);
	return write_run_expecting_one(write, &query, REGISTRY_CONFLICT_IDEMPOTENCY);
}

static enum result delete_idempotency(struct write *write, const struct idempotency_record *record)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_DELETE_IDEMPOTENCY, &query, write->note));
	bind_idempotency_key(&query, record);
	sql_number(&query, 4, record->created_at_ms);
	return write_run_expecting_one(write, &query, REGISTRY_CONFLICT_IDEMPOTENCY);
}

/* ---- the change set -------------------------------------------------------------------------------- */

static enum result add_leaf(struct write *write, const struct audit_leaf *leaf)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(write->db, SQL_INSERT_LEAF, &query, write->note));
	sql_blob(&query, 1, leaf->leaf_id.bytes, UUID_SIZE);
	sql_blob(&query, 2, leaf->json.data, leaf->json.size);
	sql_number(&query, 3, (int64_t)write->log_size);
	/* A leaf ID is random: meeting it again is a repeated change set. */
	return write_run_unique(write, &query, REGISTRY_CONFLICT_IDEMPOTENCY);
}

enum result write_one(struct write *write, const struct registry_write *what)
{
	switch (what->kind) {
	case REGISTRY_INSERT_VEHICLE:
		return insert_vehicle(write, what->vehicle);
	case REGISTRY_UPDATE_VEHICLE:
		return update_vehicle(write, what->vehicle);
	case REGISTRY_INSERT_INDEXES:
		return insert_indexes(write, what);
	case REGISTRY_RESEAL:
		return reseal(write, what);
	case REGISTRY_APPEND_HISTORY:
		return append_history(write, what);
	case REGISTRY_INSERT_CERTIFICATE:
		return insert_certificate(write, what->certificate);
	case REGISTRY_REVOKE_CERTIFICATE:
		return revoke_certificate(write, what);
	case REGISTRY_PUT_DEVICE:
		return put_device(write, what->device.entry, what->device.ret_device);
	case REGISTRY_INSERT_TENANT:
		return insert_tenant(write, what->tenant);
	case REGISTRY_INSERT_CLIENT:
		return insert_client(write, what->client);
	case REGISTRY_UPDATE_CLIENT:
		return update_client(write, what->client);
	case REGISTRY_INSERT_REVEAL:
		return insert_reveal(write, what->reveal);
	case REGISTRY_UPDATE_REVEAL:
		return update_reveal(write, what->reveal);
	case REGISTRY_RESTORE_REVEAL:
		return restore_reveal(write, what->reveal);
	case REGISTRY_INSERT_IDEMPOTENCY:
		return insert_idempotency(write, what->idempotency);
	case REGISTRY_UPDATE_IDEMPOTENCY:
		return update_idempotency(write, what->idempotency);
	case REGISTRY_DELETE_IDEMPOTENCY:
		return delete_idempotency(write, what->idempotency);
	case REGISTRY_INSERT_COMMAND:
		return write_insert_command(write, what->command);
	case REGISTRY_UPDATE_COMMAND:
		return write_update_command(write, what->command);
	case REGISTRY_INSERT_ALERT:
		return write_insert_alert(write, what->alert);
	case REGISTRY_INSERT_CLAIM:
		return write_insert_claim(write, what->claim);
	case REGISTRY_REVOKE_CLAIM:
		return write_revoke_claim(write, what->claim);
	case REGISTRY_USE_CLAIM:
		return write_use_claim(write, what);
	case REGISTRY_INSERT_OWNERSHIP:
		return write_insert_ownership(write, what->ownership);
	case REGISTRY_TAKE_OWNERSHIP:
	case REGISTRY_SPEND_OWNERSHIP:
		return write_take_ownership(write, what);
	case REGISTRY_PUT_SIGNAL_DOCUMENT:
		return write_signal_document(write, what->document);
	case REGISTRY_ADD_LEAF:
		return add_leaf(write, what->leaf);
	}
	return RESULT_INVALID;
}

enum result write_change_set(struct write *write, const struct change_set *change)
{
	write->log_size = change->log_size;
	for (size_t i = 0; i < change->count; i++)
		TRY(write_one(write, &change->writes[i]));
	return RESULT_OK;
}
