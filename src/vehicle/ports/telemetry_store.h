/*
 * Port: telemetry by Reference ID: what a vehicle sent, when, and its latest values. The store holds no VIN and no
 * key. vinveil-ingest alone writes it; vinveild reads it. What a caller may read is decided before (the vehicle must
 * be the caller's tenant's), so reads take no tenant. Calls block; thread-safe.
 */
#ifndef VINVEIL_VEHICLE_PORTS_TELEMETRY_STORE_H
#define VINVEIL_VEHICLE_PORTS_TELEMETRY_STORE_H

#include "base/arena.h"
#include "base/uuid.h"
#include "vehicle/tenant.h"

#define SIGNAL_NAME_LENGTH_MAX	255  /* COVESA VSS: a dotted path of printable ASCII, "Vehicle.Speed" */
#define SIGNAL_TEXT_SIZE_MAX	4096 /* a string, or an array as JSON text */
#define SIGNALS_PER_MESSAGE_MAX 4096

/* Stored: never renumber. */
enum signal_type { SIGNAL_NUMBER = 1, SIGNAL_BOOL = 2, SIGNAL_TEXT = 3, SIGNAL_ARRAY = 4 };

struct signal_value {
	enum signal_type type;
	double number; /* finite */
	bool boolean;
	struct span text; /* TEXT: UTF-8; ARRAY: a JSON array of numbers, strings and booleans */
};

struct signal_sample {
	struct span name;
	struct signal_value value;
};

/* What was measured at one instant: the unit of storage and of duplicates. Two messages of a vehicle with equal at_ms
   and equal digest are one. */
struct telemetry_message {
	struct uuid reference_id;
	int64_t at_ms; /* by the vehicle's clock, as it said */
	int64_t received_at_ms;
	uint64_t digest; /* of the samples */
	const struct signal_sample *samples;
	size_t count;
};

/* Kept aside: bounded in count and size, the oldest go first. */
struct telemetry_reject {
	struct uuid reference_id;
	int64_t received_at_ms;
	const char *reason;  /* "payload-malformed", …: a closed list */
	struct span payload; /* cut to fit; whatever has the shape of a VIN is withheld before it comes here */
};

/* Where in the spool the next record stands; committed with what was read before it, so that nothing is stored twice
   or forgotten. */
struct telemetry_position {
	uint64_t segment, offset;
};

struct telemetry_batch {
	const struct telemetry_message *messages;
	size_t message_count;
	const struct telemetry_reject *rejects;
	size_t reject_count;
	uint64_t withheld; /* VIN-shaped values that were dropped */
	struct telemetry_position position;
};

struct telemetry_latest {
	struct span name; /* in the caller's arena, as the value's text */
	struct signal_value value;
	int64_t at_ms;
};

struct telemetry_query {
	struct uuid reference_id;
	struct span name;	/* empty: every signal */
	int64_t from_ms, to_ms; /* [from, to); 0: open */
	size_t limit;		/* points */
	const char *cursor;	/* NULL: from the start; else what the last page gave */
};

struct telemetry_page {
	struct telemetry_latest *points; /* oldest first */
	size_t count;
	const char *next_cursor; /* NULL: no more */
};

struct telemetry_counts {
	uint64_t messages, samples, duplicates, rejects, withheld; /* since the store was made */
};

struct telemetry_store;
struct telemetry_store_ops {
	/* Durable when it returns RESULT_OK; whole or not at all. RESULT_UNAVAILABLE: disk full and the like. */
	enum result (*commit)(struct telemetry_store *store, const struct telemetry_batch *batch, struct note *note);
	/* Zeros before the first commit. */
	enum result (*get_position)(struct telemetry_store *store, struct telemetry_position *ret_position,
				    struct note *note);
	/* In the order of names. A vehicle that never sent anything: RESULT_OK with none. */
	enum result (*get_latest)(struct telemetry_store *store, const struct uuid *reference_id, struct arena *arena,
				  struct telemetry_latest **ret_latest, size_t *ret_count, struct note *note);
	/* RESULT_INVALID: not a cursor of this query. */
	enum result (*get_range)(struct telemetry_store *store, const struct telemetry_query *query,
				 struct arena *arena, struct telemetry_page *ret_page, struct note *note);
	/* Whose the vehicle is, for retention. */
	enum result (*assign)(struct telemetry_store *store, const struct uuid *reference_id,
			      const struct tenant_id *tenant, struct note *note);
	/* days 0: the installation's default */
	enum result (*set_retention)(struct telemetry_store *store, const struct tenant_id *tenant, uint32_t days,
				     struct note *note);
	/* Everything of a vehicle goes (erasure). */
	enum result (*forget)(struct telemetry_store *store, const struct uuid *reference_id, struct note *note);
	/* Removes what is older than its retention; bounded work a call, *ret_more when there is more to do. */
	enum result (*expire)(struct telemetry_store *store, int64_t now_ms, bool *ret_more, struct note *note);
	enum result (*count)(struct telemetry_store *store, struct telemetry_counts *ret_counts, struct note *note);
	enum result (*check)(struct telemetry_store *store, struct note *note);
};

struct telemetry_store {
	const struct telemetry_store_ops *ops;
};

#endif
