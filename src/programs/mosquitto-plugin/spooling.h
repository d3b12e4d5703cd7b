/*
 * What the broker has taken, laid where the death of any process does not lose it: telemetry for vinveil-ingest, events
 * for vinveild. Everything is masked before. Only the broker's thread calls these; none waits for a disk or for a
 * reader.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_SPOOLING_H
#define VINVEIL_MOSQUITTO_PLUGIN_SPOOLING_H

#include "adapters/gateway/protocol.h"
#include "adapters/spool/spool.h"
#include "adapters/spool/telemetry_record.h"

struct spooling {
	struct spool_writer *telemetry, *events;
	struct buf body; /* of an event under construction */
	uint64_t masked, appended, refused;
	const char *refusal; /* why, the last time, and what to look at */
};

struct spooling_config {
	const char *telemetry_directory, *events_directory;
	size_t telemetry_mib;
};

MUST_USE enum result spooling_open(struct spooling *spooling, const struct spooling_config *config, struct note *note);
void spooling_close(struct spooling *spooling);

/* Masks the payload in place. Anything but RESULT_OK: it is not kept, and must not be acknowledged. */
MUST_USE enum result spooling_telemetry(struct spooling *spooling, enum telemetry_record_kind kind,
					const struct uuid *reference_id, int64_t at_ms, uint8_t *payload, size_t size);
/* The event's payload is masked already. */
MUST_USE enum result spooling_event(struct spooling *spooling, const struct gateway_event *event);

#endif
