#include "adapters/telemetry/sqlite_store.h"

static const char *const main_statements[DB_STATEMENTS_MAX] = {
	[MAIN_GET_STATE] =
		("SELECT segment, offset, seen, expired, rejects, withheld, retired_messages, retired_samples "
		 "FROM state"),
	[MAIN_SET_STATE] = ("UPDATE state SET segment = ?1, offset = ?2, seen = ?3, expired = ?4, rejects = ?5, "
			    "withheld = ?6, retired_messages = ?7, retired_samples = ?8"),
	[MAIN_RETIRE] = ("UPDATE state SET retired_messages = retired_messages + "
			 "coalesce((SELECT messages FROM day WHERE day = ?1), 0), retired_samples = retired_samples + "
			 "coalesce((SELECT samples FROM day WHERE day = ?1), 0)"),
	[MAIN_FIND_VEHICLE] = "SELECT number, tenant, names FROM vehicle WHERE reference_id = ?1",
	[MAIN_ADD_VEHICLE] = "INSERT INTO vehicle (reference_id, tenant, names) VALUES (?1, ?2, 0)",
	[MAIN_ASSIGN_VEHICLE] = "UPDATE vehicle SET tenant = ?2 WHERE number = ?1",
	[MAIN_COUNT_NAMES] = "UPDATE vehicle SET names = ?2 WHERE number = ?1",
	[MAIN_FORGET_VEHICLE] = "DELETE FROM vehicle WHERE number = ?1",
	[MAIN_FORGET_LATEST] = "DELETE FROM latest WHERE vehicle = ?1",
	[MAIN_FORGET_REJECTS] = "DELETE FROM reject WHERE reference_id = ?1",
	[MAIN_TENANT_VEHICLES] =
		"SELECT number FROM vehicle WHERE tenant = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
	[MAIN_FIND_TENANT] = "SELECT number FROM tenant WHERE id = ?1",
	[MAIN_ADD_TENANT] = "INSERT INTO tenant (id, days, cleaned) VALUES (?1, 0, 0) ON CONFLICT DO NOTHING",
	[MAIN_SET_RETENTION] = "UPDATE tenant SET days = ?2, cleaned = 0 WHERE id = ?1",
	[MAIN_SET_CLEANED] = "UPDATE tenant SET cleaned = ?2 WHERE number = ?1",
	[MAIN_LIST_TENANTS] = "SELECT number, id, days, cleaned FROM tenant ORDER BY number",
	[MAIN_ADD_NAME] = "INSERT INTO name (number, name) VALUES (?1, ?2)",
	[MAIN_LIST_NAMES] = "SELECT number, name FROM name WHERE number > ?1 ORDER BY number",
	[MAIN_GET_LATEST] = "SELECT signals FROM latest WHERE vehicle = ?1",
	[MAIN_PUT_LATEST] = ("INSERT INTO latest (vehicle, signals) VALUES (?1, ?2) "
			     "ON CONFLICT DO UPDATE SET signals = ?2"),
	[MAIN_PUT_DAY] = ("INSERT INTO day (day, messages, samples) VALUES (?1, ?2, ?3) "
			  "ON CONFLICT DO UPDATE SET messages = ?2, samples = ?3"),
	[MAIN_REMOVE_DAY] = "DELETE FROM day WHERE day = ?1",
	[MAIN_LIST_DAYS] = "SELECT day FROM day WHERE day BETWEEN ?1 AND ?2 ORDER BY day",
	[MAIN_ADD_REJECT] = "INSERT INTO reject (reference_id, received_at, reason, payload) VALUES (?1, ?2, ?3, ?4)",
	[MAIN_TRIM_REJECTS] = "DELETE FROM reject WHERE number <= (SELECT max(number) FROM reject) - ?1",
	[MAIN_SUM_DAYS] = "SELECT coalesce(sum(messages), 0), coalesce(sum(samples), 0) FROM day",
};

const struct db_kind main_kind = {
	.application_id = "1987466289", /* "vvT1" */
	.cache_kib = 32768,
	.texts = main_statements,
	.schema = "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), segment INTEGER NOT NULL, "
		  "offset INTEGER NOT NULL, seen INTEGER NOT NULL, expired INTEGER NOT NULL, rejects INTEGER NOT NULL, "
		  "withheld INTEGER NOT NULL, retired_messages INTEGER NOT NULL, retired_samples INTEGER NOT NULL) "
		  "STRICT;"
		  "INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0);"
		  "CREATE TABLE tenant (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, days INTEGER NOT NULL, "
		  "cleaned INTEGER NOT NULL) STRICT;"
		  /* A number is never given twice: what still lies in a day file must not become another's. */
		  "CREATE TABLE vehicle (number INTEGER PRIMARY KEY AUTOINCREMENT, reference_id BLOB NOT NULL UNIQUE, "
		  "tenant INTEGER NOT NULL, names INTEGER NOT NULL) STRICT;"
		  "CREATE INDEX vehicle_by_tenant ON vehicle (tenant, number);"
		  "CREATE TABLE name (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
		  "CREATE TABLE latest (vehicle INTEGER PRIMARY KEY, signals BLOB NOT NULL) STRICT;"
		  "CREATE TABLE day (day INTEGER PRIMARY KEY, messages INTEGER NOT NULL, samples INTEGER NOT NULL) "
		  "STRICT;"
		  "CREATE TABLE reject (number INTEGER PRIMARY KEY AUTOINCREMENT, reference_id BLOB NOT NULL, "
		  "received_at INTEGER NOT NULL, reason TEXT NOT NULL, payload BLOB NOT NULL) STRICT;",
};

static const char *const day_statements[DB_STATEMENTS_MAX] = {
	[DAY_INSERT] = "INSERT OR IGNORE INTO message (vehicle, at, digest, samples) VALUES (?1, ?2, ?3, ?4)",
	[DAY_GET_COUNTS] = "SELECT messages, samples FROM counts",
	[DAY_SET_COUNTS] = "UPDATE counts SET messages = ?1, samples = ?2",
	[DAY_SCAN] = ("SELECT at, digest, samples FROM message WHERE vehicle = ?1 AND at >= ?2 AND at < ?3 "
		      "ORDER BY at, digest"),
	[DAY_FORGET] = "DELETE FROM message WHERE vehicle = ?1",
};

#define DAY_SCHEMA                                                                                       \
	"CREATE TABLE message (vehicle INTEGER NOT NULL, at INTEGER NOT NULL, digest INTEGER NOT NULL, " \
	"samples BLOB NOT NULL, PRIMARY KEY (vehicle, at, digest)) STRICT, WITHOUT ROWID;"               \
	"CREATE TABLE counts (id INTEGER PRIMARY KEY CHECK (id = 1), messages INTEGER NOT NULL, "        \
	"samples INTEGER NOT NULL) STRICT;"                                                              \
	"INSERT INTO counts VALUES (1, 0, 0);"

const struct db_kind day_kind = {
	.application_id = "1987466290", /* "vvT2" */
	.cache_kib = 32768,
	.texts = day_statements,
	.schema = DAY_SCHEMA,
};

const struct db_kind day_reading_kind = {
	.application_id = "1987466290",
	.cache_kib = 2048,
	.texts = day_statements,
	.schema = DAY_SCHEMA,
};
