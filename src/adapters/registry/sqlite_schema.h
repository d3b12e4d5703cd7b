/*
 * The schema as numbered migrations, each in one transaction, and the secondary indexes of vehicles,
 * which an import into an empty registry builds last.
 */
#ifndef VINVEIL_ADAPTERS_REGISTRY_SQLITE_SCHEMA_H
#define VINVEIL_ADAPTERS_REGISTRY_SQLITE_SCHEMA_H

#include "base/result.h"

#include <stddef.h>
#include <stdint.h>

struct sqlite_db;

/* PRAGMA application_id, "vinV": tells our files from any other SQLite database. */
#define SQLITE_REGISTRY_ID "1986621014"

/* migrations[n] leads from version n to n + 1. */
extern const char *const sqlite_migrations[];
extern const size_t sqlite_migration_count;

/*
 * Leads the schema from whatever version it has to `count`. A migration that fails leaves the version before it.
 * RESULT_INVALID with a note when the schema is newer than that.
 */
MUST_USE enum result sqlite_migrate(struct sqlite_db *db, const char *const *migrations, size_t count, int64_t now_ms,
				    struct note *note);

#define SQL_INDEX_REFERENCE_ID "CREATE UNIQUE INDEX vehicle_reference_id ON vehicle (reference_id)"
#define SQL_INDEX_DEVICE_ID \
	"CREATE UNIQUE INDEX vehicle_device_id ON vehicle (tenant, device_id) WHERE device_id IS NOT NULL"
#define SQL_INDEX_STATE "CREATE INDEX vehicle_state ON vehicle (tenant, state)"

#endif
