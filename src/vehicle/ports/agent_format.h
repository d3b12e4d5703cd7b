/*
 * Port: the documents of vehicles' edge agents (AWS IoT FleetWise's): the decoder manifest that says how an agent reads
 * the vehicle's networks, the collection schemes that say what it sends and when, and its checkin, which says what it
 * has. They are made from an operator's description and read here, so that no format of an agent goes further up. Pure
 * computation: nothing blocks, nothing is kept; thread-safe.
 */
#ifndef VINVEIL_VEHICLE_PORTS_AGENT_FORMAT_H
#define VINVEIL_VEHICLE_PORTS_AGENT_FORMAT_H

#include "base/json.h"
#include "vehicle/ports/registry.h"
#include "vehicle/problem.h"

#define AGENT_SIGNALS_MAX  4096
#define AGENT_SCHEMES_MAX  64
#define AGENT_SYNC_IDS_MAX 1024 /* of a checkin */

/* What is wrong with a description: MALFORMED, VALUE_INVALID or VIN_NOT_ALLOWED, and a sentence that names the place,
   never a value. */
struct description_fault {
	enum problem problem;
	char detail[160];
};

/*
 * What a description makes. Sync IDs are "{tenant}/{name}/{digest of the content}": another content is always another
 * document to an agent, equal content the same one, and no tenant's document can be taken for another's.
 */
struct agent_documents {
	struct signal_document decoder_manifest, collection_schemes;
	struct span names; /* what telemetry_control->put_decoder is told under the manifest's sync ID */
	size_t signal_count, scheme_count;
};

/* A scheme that an agent with the document is to have. */
struct agent_scheme {
	struct span sync_id;
	struct span decoder_sync_id; /* of the manifest that it was made for */
	int64_t expires_at_ms;	     /* agents forget it then */
};

struct agent_format;
struct agent_format_ops {
	/* The description: doc/fleetwise.md. RESULT_INVALID: *ret_fault says why. What is returned lives in the arena.
	 */
	enum result (*make_documents)(struct agent_format *format, const struct tenant_id *tenant,
				      const json_t *description, int64_t at_ms, struct arena *arena,
				      struct agent_documents *ret_documents, struct description_fault *ret_fault);
	/* RESULT_INVALID: not a checkin, or one with more than AGENT_SYNC_IDS_MAX. The IDs are outside bytes. */
	enum result (*read_checkin)(struct agent_format *format, struct span payload, struct arena *arena,
				    struct span **ret_sync_ids, size_t *ret_count);
	/* Of a document that make_documents() made; RESULT_CORRUPT when it is none. */
	enum result (*read_schemes)(struct agent_format *format, struct span document, struct arena *arena,
				    struct agent_scheme **ret_schemes, size_t *ret_count);
};

struct agent_format {
	const struct agent_format_ops *ops;
};

#endif
