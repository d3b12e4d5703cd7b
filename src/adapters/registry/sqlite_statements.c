#include "adapters/registry/sqlite_statements.h"

/* What vehicle_from_row() reads, in its order. */
#define VEHICLE_COLUMNS                                                                                            \
	"v.number, v.reference_id, v.device_id, v.state, v.state_before, v.sealed, v.created_at, v.updated_after," \
	" v.version, v.attributes"

/* Vehicles of any state in order of their numbers: four ranges of the index are merged, none is sorted. */
#define NUMBERS_IN_STATE(state) "SELECT number FROM vehicle WHERE tenant = ?1 AND state = " state " AND number > ?2"
#define NUMBERS_IN_ANY_STATE  \
	NUMBERS_IN_STATE("1") \
	" UNION ALL " NUMBERS_IN_STATE("2") " UNION ALL " NUMBERS_IN_STATE("3") " UNION ALL " NUMBERS_IN_STATE("4")

const char *const sql_statements[SQL_COUNT] = {
	[SQL_BEGIN_READ] = "BEGIN",
	[SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_SAVEPOINT] = "SAVEPOINT change_set",
	[SQL_SAVEPOINT_RELEASE] = "RELEASE change_set",
	[SQL_SAVEPOINT_ROLLBACK] = "ROLLBACK TO change_set",

	[SQL_TENANT_NUMBER] = "SELECT number FROM tenant WHERE id = ?1",
	[SQL_ACTOR_NUMBER] = "SELECT number FROM actor WHERE name = ?1",
	[SQL_INSERT_ACTOR] = "INSERT INTO actor (name) VALUES (?1) ON CONFLICT DO NOTHING",

	[SQL_GET_VEHICLE] = "SELECT " VEHICLE_COLUMNS " FROM vehicle v WHERE v.reference_id = ?2 AND v.tenant = ?1",
	[SQL_GET_VEHICLE_BY_DEVICE] =
		"SELECT " VEHICLE_COLUMNS " FROM vehicle v WHERE v.tenant = ?1 AND v.device_id = ?2",
	/* The Reference ID stands here, too: the hottest query looks into one table. */
	[SQL_FIND_BY_INDEX] = "SELECT reference_id FROM vin_index"
			      " WHERE tenant = ?1 AND generation = ?2 AND vin_index = ?3",
	[SQL_SCAN_VEHICLES] = "SELECT " VEHICLE_COLUMNS " FROM (" NUMBERS_IN_ANY_STATE
			      " ORDER BY number LIMIT ?3) n CROSS JOIN vehicle v ON v.number = n.number"
			      " ORDER BY n.number",
	[SQL_SCAN_VEHICLES_IN_STATE] = "SELECT " VEHICLE_COLUMNS " FROM vehicle v INDEXED BY vehicle_state"
				       " WHERE v.tenant = ?1 AND v.number > ?2 AND v.state = ?4"
				       " ORDER BY v.number LIMIT ?3",
	[SQL_SCAN_STALE] = "SELECT " VEHICLE_COLUMNS " FROM vehicle v NOT INDEXED"
			   " WHERE v.tenant = ?1 AND v.number > ?2 AND v.generation < ?4 ORDER BY v.number LIMIT ?3",
	[SQL_VEHICLE_KEY] = "SELECT number, tenant, created_at, generation FROM vehicle WHERE reference_id = ?1",
	[SQL_HAS_REFERENCE_ID] = "SELECT 1 FROM vehicle WHERE reference_id = ?1",
	[SQL_INSERT_VEHICLE] =
		"INSERT INTO vehicle (number, reference_id, tenant, device_id, state, state_before, sealed, generation,"
		" created_at, updated_after, version, attributes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, "
		"?11)",
	/* Not the sealed VIN: a key rotation may have replaced it since the caller read the vehicle. */
	[SQL_UPDATE_VEHICLE] = "UPDATE vehicle SET device_id = ?3, state = ?4, state_before = ?5,"
			       " updated_after = ?6 - created_at, version = ?7, attributes = ?8"
			       " WHERE reference_id = ?2 AND tenant = ?1 AND version = ?7 - 1",
	[SQL_RESEAL_VEHICLE] = "UPDATE vehicle SET sealed = ?3 WHERE number = ?1 AND sealed = ?2",
	[SQL_SET_GENERATION] = "UPDATE vehicle SET generation = ?2 WHERE number = ?1",
	[SQL_ADD_GENERATION_COUNT] = "INSERT INTO generation_count (tenant, generation, vehicles) VALUES (?1, ?2, ?3)"
				     " ON CONFLICT DO UPDATE SET vehicles = vehicles + excluded.vehicles",
	[SQL_INSERT_INDEX] = "INSERT INTO vin_index (tenant, generation, vin_index, vehicle, reference_id)"
			     " VALUES (?1, ?2, ?3, ?4, (SELECT reference_id FROM vehicle WHERE number = ?4))",
	[SQL_INDEX_VEHICLE] = "SELECT vehicle FROM vin_index WHERE tenant = ?1 AND generation = ?2 AND vin_index = ?3",
	[SQL_DROPPED_GENERATION] = "SELECT dropped_generation FROM tenant WHERE number = ?1",
	[SQL_SET_DROPPED_GENERATION] =
		"UPDATE tenant SET dropped_generation = ?2 WHERE number = ?1 AND dropped_generation < ?2",
	[SQL_HAS_VEHICLE_AT_GENERATION] =
		"SELECT 1 FROM generation_count WHERE tenant = ?1 AND generation <= ?2 AND vehicles > 0 LIMIT 1",
	[SQL_DELETE_INDEXES] = "DELETE FROM vin_index WHERE tenant = ?1 AND generation = ?2 AND vin_index IN"
			       " (SELECT vin_index FROM vin_index WHERE tenant = ?1 AND generation = ?2 LIMIT ?3)",

	[SQL_GET_HISTORY] =
		"SELECT h.number, v.created_at + h.after, a.name, h.event, h.value_from, h.value_to, h.serial, h.reason"
		" FROM vehicle v JOIN history h ON h.vehicle = v.number LEFT JOIN actor a ON a.number = h.actor"
		" WHERE v.reference_id = ?2 AND v.tenant = ?1 AND h.number < ?3 ORDER BY h.number DESC LIMIT ?4",
	[SQL_APPEND_HISTORY] = "INSERT INTO history (vehicle, number, after, actor, event, value_from, value_to, "
			       "serial, reason) VALUES"
			       " (?1, (SELECT coalesce(max(number), 0) + 1 FROM history WHERE vehicle = ?1), ?2, ?3, "
			       "?4, ?5, ?6, ?7, ?8)",
	[SQL_GET_CERTIFICATES] =
		"SELECT c.serial, k.device_id, k.spki_sha256, c.not_before, c.not_after, c.revoked_at, c.reason"
		" FROM vehicle v JOIN certificate c ON c.vehicle = v.number JOIN certified_key k ON k.number = "
		"c.certified_key"
		" WHERE v.reference_id = ?2 AND v.tenant = ?1 ORDER BY c.number DESC LIMIT ?3",
	[SQL_COUNT_REVOKED] = "SELECT count(*) FROM certificate WHERE revoked_at IS NOT NULL AND not_after > ?1",
	[SQL_SCAN_REVOKED] = "SELECT serial, revoked_at, reason FROM certificate"
			     " WHERE revoked_at IS NOT NULL AND not_after > ?1",
	[SQL_FIND_CERTIFIED_KEY] =
		"SELECT k.number, k.vehicle, k.device_id, v.reference_id FROM certified_key k"
		" LEFT JOIN vehicle v ON v.number = k.vehicle WHERE k.tenant = ?1 AND k.spki_sha256 = ?2",
	[SQL_INSERT_CERTIFIED_KEY] = "INSERT INTO certified_key (tenant, spki_sha256, vehicle, device_id)"
				     " VALUES (?1, ?2, ?3, ?4) RETURNING number",
	[SQL_INSERT_CERTIFICATE] =
		"INSERT INTO certificate (serial, vehicle, certified_key, not_before, not_after, revoked_at, reason)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[SQL_REVOKE_CERTIFICATE] =
		"UPDATE certificate SET revoked_at = ?2, reason = ?3 WHERE serial = ?1 AND revoked_at IS NULL",
	[SQL_HAS_CERTIFICATE] = "SELECT 1 FROM certificate WHERE serial = ?1",

	[SQL_GET_DEVICE] =
		"SELECT model, manufacturer, public_key_sha256 FROM device WHERE tenant = ?1 AND device_id = ?2",
	[SQL_INSERT_DEVICE] = "INSERT INTO device (tenant, device_id, model, manufacturer, public_key_sha256)"
			      " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
	[SQL_GET_TENANT] = "SELECT id, check_digit, manifest_required, created_at FROM tenant WHERE id = ?1",
	[SQL_COUNT_TENANTS] = "SELECT count(*) FROM tenant",
	[SQL_LIST_TENANTS] = "SELECT id, check_digit, manifest_required, created_at FROM tenant ORDER BY number",
	[SQL_INSERT_TENANT] =
		"INSERT INTO tenant (id, check_digit, manifest_required, created_at) VALUES (?1, ?2, ?3, ?4)",
	[SQL_COUNT_CLIENTS] = "SELECT count(*) FROM client",
	[SQL_LIST_CLIENTS] =
		"SELECT c.number, c.id, t.id, c.scopes, c.requests_per_second, c.burst, c.state, c.created_at,"
		" c.version FROM client c JOIN tenant t ON t.number = c.tenant ORDER BY c.number",
	[SQL_CLIENT_NUMBER] = "SELECT number FROM client WHERE id = ?1 AND tenant = ?2",
	[SQL_INSERT_CLIENT] = "INSERT INTO client (id, tenant, scopes, requests_per_second, burst, state, created_at,"
			      " version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[SQL_UPDATE_CLIENT] = "UPDATE client SET scopes = ?2, requests_per_second = ?3, burst = ?4, state = ?5,"
			      " version = ?6 WHERE number = ?1 AND version = ?6 - 1",
	[SQL_GET_PURPOSES] = "SELECT purpose FROM client_purpose WHERE client = ?1 ORDER BY position",
	[SQL_DELETE_PURPOSES] = "DELETE FROM client_purpose WHERE client = ?1",
	[SQL_INSERT_PURPOSE] = "INSERT INTO client_purpose (client, position, purpose) VALUES (?1, ?2, ?3)",
	[SQL_GET_FINGERPRINTS] = "SELECT fingerprint FROM client_fingerprint WHERE client = ?1 ORDER BY position",
	[SQL_DELETE_FINGERPRINTS] = "DELETE FROM client_fingerprint WHERE client = ?1",
	[SQL_INSERT_FINGERPRINT] = "INSERT INTO client_fingerprint (client, position, fingerprint) VALUES (?1, ?2, ?3)",
	[SQL_GET_REVEAL] =
		"SELECT reference_id, purpose, reason, ticket, requested_by, approved_by, status, created_at,"
		" expires_at FROM reveal WHERE id = ?2 AND tenant = ?1",
	[SQL_INSERT_REVEAL] = "INSERT INTO reveal (id, tenant, reference_id, purpose, reason, ticket, requested_by,"
			      " approved_by, status, created_at, expires_at)"
			      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
	[SQL_UPDATE_REVEAL] = "UPDATE reveal SET status = ?3, approved_by = ?4, expires_at = ?5"
			      " WHERE id = ?2 AND tenant = ?1 AND status = ?3 - 1",
	[SQL_RESTORE_REVEAL] = "UPDATE reveal SET status = 2 WHERE id = ?2 AND tenant = ?1 AND status = 3",
	[SQL_GET_IDEMPOTENCY] = "SELECT fingerprint, status, body, serial, reference_id, created_at FROM idempotency"
				" WHERE client_id = ?1 AND route = ?2 AND key = ?3 AND created_at > ?4",
	[SQL_EXPIRE_IDEMPOTENCY] =
		"DELETE FROM idempotency WHERE client_id = ?1 AND route = ?2 AND key = ?3 AND created_at <= ?4",
	[SQL_INSERT_IDEMPOTENCY] =
		"INSERT INTO idempotency (client_id, route, key, fingerprint, status, body, serial, reference_id,"
		" created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	/* Whoever made a record knows its time: after a takeover a late answer finds nothing of its own. */
	[SQL_UPDATE_IDEMPOTENCY] = "UPDATE idempotency SET status = ?5, body = ?6, serial = ?7, reference_id = ?8"
				   " WHERE client_id = ?1 AND route = ?2 AND key = ?3 AND created_at = ?4",
	[SQL_DELETE_IDEMPOTENCY] = "DELETE FROM idempotency WHERE client_id = ?1 AND route = ?2 AND key = ?3 AND "
				   "created_at = ?4 AND status = 0",
	[SQL_PURGE_IDEMPOTENCY] =
		"DELETE FROM idempotency WHERE number IN"
		" (SELECT number FROM idempotency WHERE created_at <= ?1 ORDER BY created_at LIMIT 1000)",
	[SQL_READ_OUTBOX] = "SELECT leaf_id, json, log_size FROM outbox ORDER BY number LIMIT ?1",
	[SQL_COUNT_OUTBOX] = "SELECT count(*) FROM outbox",
	[SQL_COUNT_VEHICLES] = "SELECT coalesce(sum(vehicles), 0) FROM generation_count",
	[SQL_COUNT_GENERATION] =
		"SELECT coalesce(sum(vehicles) FILTER (WHERE generation >= ?2), 0), coalesce(sum(vehicles), 0)"
		" FROM generation_count WHERE tenant = ?1",
	[SQL_INSERT_LEAF] = "INSERT INTO outbox (leaf_id, json, log_size) VALUES (?1, ?2, ?3)",
	[SQL_DELETE_LEAF] = "DELETE FROM outbox WHERE leaf_id = ?1",
	[SQL_WRITE_PROBE] = "INSERT INTO probe (number, at) VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = excluded.at",

	[SQL_GET_IMPORT] = "SELECT file, tenant, phase, byte_offset, line, chunk, rows FROM import_progress",
	[SQL_BEGIN_IMPORT] =
		"INSERT OR REPLACE INTO import_progress (number, file, tenant, phase, byte_offset, line, chunk,"
		" rows) VALUES (1, ?1, ?2, ?3, 0, 0, 0, 0)",
	[SQL_ADVANCE_IMPORT] =
		"UPDATE import_progress SET byte_offset = ?1, line = ?2, chunk = chunk + 1, rows = rows + ?3",
	[SQL_SET_IMPORT_PHASE] = "UPDATE import_progress SET phase = ?1",
	[SQL_DELETE_IMPORT] = "DELETE FROM import_progress",
	[SQL_REJECT_LINE] = "INSERT INTO import_rejected (line, reason) VALUES (?1, ?2)",
	[SQL_SCAN_REJECTED] = "SELECT line, reason FROM import_rejected ORDER BY line",
	[SQL_DELETE_REJECTED] = "DELETE FROM import_rejected",
	[SQL_STAGE_INDEX] = "INSERT INTO import_index (vehicle, tenant, generation, vin_index) VALUES (?1, ?2, ?3, ?4)",
	[SQL_IMPORT_HISTORY] = "INSERT INTO history (vehicle, number, after, actor, event) VALUES (?1, 1, 0, ?2, 1)",
};
