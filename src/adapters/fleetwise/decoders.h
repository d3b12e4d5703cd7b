/*
 * What ingest knows of FleetWise agents' signals: for each decoder manifest, by its sync ID, the names of its signal
 * IDs. What is put is kept in files as well, so that it is there after a restart; the documents come from
 * adapters/fleetwise/documents.h by way of the port telemetry_control.
 *
 *   DIRECTORY/%016x.names    a document, numbered in the order in which they were put
 *
 * Bounded: beyond FLEETWISE_DECODERS_OF_TENANT_MAX of one tenant (its sync IDs begin alike, up to the first slash), or
 * FLEETWISE_DECODERS_MAX in all, the one that was put longest ago goes. Thread-safe.
 */
#ifndef VINVEIL_ADAPTERS_FLEETWISE_DECODERS_H
#define VINVEIL_ADAPTERS_FLEETWISE_DECODERS_H

#include "base/arena.h"
#include "base/result.h"
#include "base/span.h"

#define FLEETWISE_DECODERS_MAX		 1024
#define FLEETWISE_DECODERS_OF_TENANT_MAX 32
#define FLEETWISE_NAMES_DOCUMENT_MAX	 ((size_t)192 << 10) /* fits a spool's record with its envelope */
#define FLEETWISE_SIGNAL_ID_MAX		 INT32_MAX	     /* the highest bit is the agent's own */

struct fleetwise_decoders;

/* directory NULL: in memory only. Files that cannot be read or are damaged are left aside, counted and told by the
   note; RESULT_UNAVAILABLE: the directory cannot be made or read. */
MUST_USE enum result fleetwise_decoders_open(const char *directory, struct fleetwise_decoders **ret_decoders,
					     size_t *ret_skipped, struct note *note);
void fleetwise_decoders_close(struct fleetwise_decoders *decoders);

/* What telemetry_control's put_decoder carries. Replaces what stands under the sync ID. RESULT_INVALID: not such a
   document; RESULT_UNAVAILABLE: the file cannot be written (and nothing has changed). */
MUST_USE enum result fleetwise_decoders_put(struct fleetwise_decoders *decoders, const char *sync_id,
					    struct span document, struct note *note);
size_t fleetwise_decoders_count(struct fleetwise_decoders *decoders);

struct fleetwise_signal {
	uint32_t id;
	struct span name;
	bool is_boolean;
};

/* While the lookup lasts, what it finds stands still; begun and ended by the same thread. */
struct fleetwise_lookup {
	struct fleetwise_decoders *decoders;
	const struct fleetwise_decoder *decoder; /* NULL: no manifest of that sync ID */
};
void fleetwise_lookup_begin(struct fleetwise_lookup *lookup, struct fleetwise_decoders *decoders, struct span sync_id);
/* NULL: not known. */
const struct fleetwise_signal *fleetwise_lookup_find(const struct fleetwise_lookup *lookup, uint32_t signal_id);
void fleetwise_lookup_end(struct fleetwise_lookup *lookup);

#endif
