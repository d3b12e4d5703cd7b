/*
 * Telemetry in SQLite (doc/telemetry-format.md): a file a day with the messages, a main file with everything else.
 * vinveil-ingest writes; vinveild reads the same directory, from its own process.
 */
#ifndef VINVEIL_ADAPTERS_TELEMETRY_SQLITE_H
#define VINVEIL_ADAPTERS_TELEMETRY_SQLITE_H

#include "vehicle/ports/telemetry_store.h"

#define TELEMETRY_RETENTION_DAYS_DEFAULT 90
#define TELEMETRY_REJECTS_MAX_DEFAULT	 1000
#define TELEMETRY_REJECT_SIZE_DEFAULT	 2048

struct telemetry_sqlite_options {
	bool is_read_only;	 /* any number of them; commit and what else changes is RESULT_DENIED */
	uint32_t retention_days; /* 0: default; of tenants that have no retention of their own, and of unknown vehicles
				  */
	uint32_t rejects_max;	 /* 0: default; as many are kept */
	uint32_t reject_size;	 /* 0: default; of a kept payload */
};

/*
 * Writing takes the directory (RESULT_CONFLICT when another process writes it) and makes it when it is missing.
 * Read-only succeeds without anything there: reads are RESULT_UNAVAILABLE until the writer has made it.
 */
MUST_USE enum result telemetry_sqlite_open(const char *directory, const struct telemetry_sqlite_options *options,
					   struct telemetry_store **ret_store, struct note *note);
/* NULL is allowed. */
void telemetry_sqlite_close(struct telemetry_store *store);

#endif
