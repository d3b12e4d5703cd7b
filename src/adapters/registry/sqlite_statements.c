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

/* Of certificate and claim, and of ownership: what the CRL names at ?1. */
#define REVOKED "revoked_at IS NOT NULL AND not_after > ?1"
#define LAPSED	"not_after > ?1 AND (taken_at IS NOT NULL OR expires_at <= ?1)"

#define COUNT_WAITING(claim) \
	"SELECT count(*) FROM ownership WHERE claim = " claim " AND expires_at > ?2 AND taken_at IS NULL"

#define TENANT_COLUMNS "id, check_digit, manifest_required, created_at, telemetry_retention_days"

/* What command_from_row() reads, in its order. */
#define COMMANDS                                                                                                    \
	"SELECT c.id, t.id, v.reference_id, c.name, c.payload, c.status, c.is_final, c.reason_code, c.reason_text," \
	" c.result, a.name, c.created_at, c.updated_at, c.expires_at, c.version FROM "
#define OF_COMMANDS " JOIN tenant t ON t.number = v.tenant LEFT JOIN actor a ON a.number = c.created_by"

/* What claim_from_row() reads. */
#define CLAIMS                                                                                        \
	"SELECT c.name, t.id, c.serial, c.count_max, c.used, c.revoked_at, c.not_after, c.created_at" \
	" FROM claim c JOIN tenant t ON t.number = c.tenant"

/* The oldest, so that no commit does more of it than this. */
#define PURGE(table, condition, order)                                                                            \
	"DELETE FROM " table " WHERE number IN (SELECT number FROM " table " WHERE " condition " ORDER BY " order \
	" LIMIT 1000)"

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
		" WHERE v.reference_id = ?2 AND v.tenant = ?1"
		" AND (?4 IS NULL OR (c.revoked_at IS NULL AND c.not_after > ?4)) ORDER BY c.number DESC LIMIT ?3",
	[SQL_COUNT_REVOKED] = "SELECT (SELECT count(*) FROM certificate WHERE " REVOKED ")"
			      " + (SELECT count(*) FROM claim WHERE " REVOKED ")"
			      " + (SELECT count(*) FROM ownership WHERE " LAPSED ")",
	/* A claim's: privilege withdrawn (9). One issued ahead: another took its place (4), or its time was over (5).
	 */
	[SQL_SCAN_REVOKED] =
		"SELECT serial, revoked_at, reason FROM certificate WHERE " REVOKED
		" UNION ALL SELECT serial, revoked_at, 9 FROM claim WHERE " REVOKED
		" UNION ALL SELECT serial, coalesce(taken_at, expires_at), iif(taken_at IS NULL, 5, 4) FROM ownership"
		" WHERE " LAPSED,
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
	[SQL_GET_TENANT] = "SELECT " TENANT_COLUMNS " FROM tenant WHERE id = ?1",
	[SQL_COUNT_TENANTS] = "SELECT count(*) FROM tenant",
	[SQL_LIST_TENANTS] = "SELECT " TENANT_COLUMNS " FROM tenant ORDER BY number",
	[SQL_INSERT_TENANT] = "INSERT INTO tenant (" TENANT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5)",
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
	[SQL_PURGE_IDEMPOTENCY] = PURGE("idempotency", "created_at <= ?1", "created_at"),
	[SQL_READ_OUTBOX] = "SELECT leaf_id, json, log_size FROM outbox ORDER BY number LIMIT ?1",
	[SQL_COUNT_OUTBOX] = "SELECT count(*) FROM outbox",
	[SQL_COUNT_VEHICLES] = "SELECT coalesce(sum(vehicles), 0) FROM generation_count",
	[SQL_COUNT_GENERATION] =
		"SELECT coalesce(sum(vehicles) FILTER (WHERE generation >= ?2), 0), coalesce(sum(vehicles), 0)"
		" FROM generation_count WHERE tenant = ?1",
	[SQL_INSERT_LEAF] = "INSERT INTO outbox (leaf_id, json, log_size) VALUES (?1, ?2, ?3)",
	[SQL_DELETE_LEAF] = "DELETE FROM outbox WHERE leaf_id = ?1",
	[SQL_WRITE_PROBE] = "INSERT INTO probe (number, at) VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = excluded.at",

	[SQL_INSERT_COMMAND] =
		"INSERT INTO command (id, vehicle, name, payload, status, is_final, reason_code, reason_text, result,"
		" created_by, created_at, updated_at, expires_at, version)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 1)",
	[SQL_UPDATE_COMMAND] = "UPDATE command SET status = ?3, is_final = ?4, reason_code = ?5, reason_text = ?6,"
			       " result = ?7, updated_at = ?8, expires_at = ?9, version = ?10"
			       " WHERE id = ?1 AND vehicle = ?2 AND version = ?10 - 1",
	[SQL_GET_COMMAND] = COMMANDS "command c JOIN vehicle v ON v.number = c.vehicle" OF_COMMANDS
				     " WHERE c.id = ?3 AND v.reference_id = ?2 AND v.tenant = ?1",
	[SQL_LIST_COMMANDS] = COMMANDS
	"vehicle v CROSS JOIN command c INDEXED BY command_vehicle ON c.vehicle = v.number" OF_COMMANDS
	" WHERE v.reference_id = ?2 AND v.tenant = ?1"
	" AND c.number < iif(?3 IS NULL, 9223372036854775807, (SELECT number FROM command WHERE id = ?3))"
	" ORDER BY c.number DESC LIMIT ?4",
	[SQL_LIST_WAITING_COMMANDS] =
		COMMANDS "vehicle v CROSS JOIN command c INDEXED BY command_waiting ON c.vehicle = v.number" OF_COMMANDS
			 " WHERE v.reference_id = ?2 AND v.tenant = ?1 AND c.status = 1 AND c.expires_at > ?3"
			 " ORDER BY c.number LIMIT ?4",
	[SQL_LIST_OPEN_COMMANDS] = COMMANDS
	"command c INDEXED BY command_due CROSS JOIN vehicle v ON v.number = c.vehicle" OF_COMMANDS
	" WHERE c.status < 3 AND c.expires_at > ?1 AND c.expires_at <= ?2 ORDER BY c.expires_at LIMIT ?3",
	[SQL_PURGE_COMMANDS] = PURGE("command", "status > 2 AND updated_at <= ?1", "updated_at"),
	/* Nothing is inserted when the vehicle has one of this kind that is not older than ?7. */
	[SQL_INSERT_ALERT] = "INSERT INTO alert (id, tenant, kind, at, reference_id, detail)"
			     " SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (SELECT 1 FROM alert"
			     " WHERE reference_id = ?5 AND reference_id IS NOT NULL AND kind = ?3 AND at > ?7)",
	/* Pages begin where the one before ended: the last alert seen bounds the range of the index. */
	[SQL_LIST_ALERTS] = "SELECT number, id, kind, at, reference_id, detail FROM alert INDEXED BY alert_tenant"
			    " WHERE tenant = ?1 AND at >= ?2"
			    " AND at <= iif(?5 = 0, ?3 - 1, min(?3 - 1, (SELECT at FROM alert WHERE number = ?5)))"
			    " AND (?5 = 0 OR number < ?5 OR at < (SELECT at FROM alert WHERE number = ?5))"
			    " AND (?4 = 0 OR kind = ?4) ORDER BY at DESC, number DESC LIMIT ?6",
	[SQL_PURGE_ALERTS] = PURGE("alert", "at <= ?1", "at"),
	[SQL_INSERT_CLAIM] = "INSERT INTO claim (name, tenant, serial, count_max, used, revoked_at, not_after,"
			     " created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[SQL_REVOKE_CLAIM] = "UPDATE claim SET revoked_at = ?3 WHERE name = ?1 AND tenant = ?2 AND revoked_at IS NULL",
	[SQL_HAS_CLAIM] = "SELECT 1 FROM claim WHERE name = ?1 AND tenant = ?2",
	[SQL_USE_CLAIM] = "UPDATE claim SET used = used + 1 WHERE name = ?1 AND used < count_max"
			  " AND revoked_at IS NULL AND not_after > ?2",
	[SQL_FIND_CLAIM] = CLAIMS " WHERE c.serial = ?1",
	[SQL_GET_CLAIM] = CLAIMS " WHERE c.tenant = ?1 AND c.name = ?2",
	[SQL_COUNT_CLAIMS] = "SELECT count(*) FROM claim WHERE tenant = ?1",
	[SQL_LIST_CLAIMS] = CLAIMS " WHERE c.tenant = ?1 ORDER BY c.number",
	[SQL_CLAIM_NUMBER] = "SELECT number FROM claim WHERE name = ?1 AND tenant = ?2",
	[SQL_COUNT_WAITING_OWNERSHIPS] = COUNT_WAITING("?1"),
	[SQL_COUNT_OWNERSHIPS_OF] = COUNT_WAITING("(SELECT number FROM claim WHERE serial = ?1)"),
	[SQL_INSERT_OWNERSHIP] =
		"INSERT INTO ownership (token_sha256, claim, reference_id, serial, spki_sha256, not_before, not_after,"
		" created_at, expires_at, csr) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[SQL_ADMIT_OWNERSHIP] =
		"DELETE FROM ownership WHERE token_sha256 = ?1 AND taken_at IS NULL AND expires_at > ?2",
	[SQL_TAKE_OWNERSHIP] = "UPDATE ownership SET taken_at = ?2, csr = NULL"
			       " WHERE token_sha256 = ?1 AND taken_at IS NULL AND expires_at > ?2",
	/* It waits on, and nobody has its token. */
	[SQL_SPEND_OWNERSHIP] = "UPDATE ownership SET token_sha256 = randomblob(32), csr = NULL"
				" WHERE token_sha256 = ?1 AND taken_at IS NULL AND expires_at > ?2",
	[SQL_FIND_OWNERSHIP] = "SELECT c.name, t.id, o.reference_id, o.serial, o.spki_sha256, o.not_before,"
			       " o.not_after, o.created_at, o.expires_at, o.csr FROM ownership o"
			       " JOIN claim c ON c.number = o.claim JOIN tenant t ON t.number = c.tenant"
			       " WHERE o.token_sha256 = ?1 AND o.taken_at IS NULL AND o.expires_at > ?2",
	[SQL_PURGE_OWNERSHIPS] = PURGE("ownership", "not_after <= ?1", "not_after"),
	[SQL_FIND_CERTIFICATE] = "SELECT c.serial, k.device_id, k.spki_sha256, c.not_before, c.not_after, c.revoked_at,"
				 " c.reason, v.reference_id, t.id FROM certificate c"
				 " JOIN certified_key k ON k.number = c.certified_key"
				 " JOIN vehicle v ON v.number = c.vehicle JOIN tenant t ON t.number = v.tenant"
				 " WHERE c.serial = ?1",
	[SQL_COUNT_DENIED] = "SELECT (SELECT count(*) FROM certificate WHERE " REVOKED ")"
			     " + (SELECT count(*) FROM claim WHERE " REVOKED ")"
			     " + (SELECT count(*) FROM ownership WHERE not_after > ?1)",
	[SQL_SCAN_DENIED] =
		"SELECT c.serial, v.reference_id, c.not_after FROM certificate c"
		" JOIN vehicle v ON v.number = c.vehicle WHERE c.revoked_at IS NOT NULL AND c.not_after > ?1"
		" UNION ALL SELECT serial, zeroblob(16), not_after FROM claim WHERE " REVOKED
		" UNION ALL SELECT serial, reference_id, not_after FROM ownership WHERE not_after > ?1",
	/* By tenant, because the index of states begins with it. */
	[SQL_COUNT_SUSPENDED] = "SELECT count(*) FROM tenant t CROSS JOIN vehicle v INDEXED BY vehicle_state"
				" ON v.tenant = t.number AND v.state = 3",
	[SQL_SCAN_SUSPENDED] = "SELECT v.reference_id FROM tenant t CROSS JOIN vehicle v INDEXED BY vehicle_state"
			       " ON v.tenant = t.number AND v.state = 3",
	[SQL_PUT_SIGNAL_DOCUMENT] = "INSERT OR REPLACE INTO signal_document (tenant, kind, sync_id, created_at, bytes)"
				    " VALUES (?1, ?2, ?3, ?4, ?5)",
	[SQL_GET_SIGNAL_DOCUMENT] =
		"SELECT sync_id, created_at, iif(?3, bytes, NULL) FROM signal_document INDEXED BY signal_document_kind"
		" WHERE tenant = ?1 AND kind = ?2 ORDER BY number DESC LIMIT 1",

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
