/*
 * The work of vinveil-ingest: what vehicles sent goes from the spool to the telemetry store, in batches; what vinveild
 * has to say goes to the store and the decoders. One thread does it; others may look at the counters and stop it.
 *
 * A record is behind the position that a batch commits, or it is read again: the death of this process loses nothing
 * and doubles nothing. While the store cannot take a batch, that batch waits and nothing else is read, so the spool
 * fills and the broker refuses: memory stays bounded.
 */
#ifndef VINVEIL_PROGRAMS_INGEST_INGEST_H
#define VINVEIL_PROGRAMS_INGEST_INGEST_H

#include "adapters/fleetwise/decode.h"
#include "adapters/spool/spool.h"
#include "adapters/spool/telemetry_record.h"
#include "vehicle/telemetry.h"

#include <stdatomic.h>

#define COMMIT_BUCKETS 8

struct ingest_config {
	const char *telemetry_spool, *control_spool;
	size_t batch_records;
	int64_t batch_ms;
	size_t batch_size;  /* bytes of memory that a batch may take, before it is committed */
	size_t reject_size; /* of a payload that is kept aside */
	int64_t retry_ms;   /* between two attempts at a store that takes nothing */
	struct clock *clock;
};

/* Since the process started; any thread may read them. */
struct ingest_counters {
	atomic_uint_fast64_t records, messages, samples, withheld, orders, orders_refused, damaged, batches, failures;
	atomic_uint_fast64_t rejects[TELEMETRY_REASONS_MAX];
	atomic_uint_fast64_t behind_bytes, behind_segments, lag_ms;
	atomic_uint_fast64_t commit_us, commit_buckets[COMMIT_BUCKETS];
	atomic_bool is_failing; /* the last commit, or whatever else was tried, did not succeed */
};
/* Upper ends, in milliseconds; the last one is for all above. */
extern const unsigned commit_bucket_ms[COMMIT_BUCKETS - 1];

struct ingest {
	struct ingest_config config;
	struct telemetry_store *store;
	struct fleetwise_decoders *decoders;
	struct spool_reader *telemetry, *control;
	struct ingest_counters counters;
	atomic_bool is_stopping;
	void (*log)(enum result result, const char *event, const char *text); /* each failure once */

	struct arena arena; /* of a batch */
	struct telemetry_message *messages;
	size_t message_count, message_capacity;
	struct telemetry_reject *rejects;
	size_t reject_count, reject_capacity;
	uint64_t withheld;
	struct telemetry_position position;
	size_t record_count;
	int64_t expire_at_ms, look_at_ms; /* monotonic: when the next step of each is due */
};

/* store and decoders are the caller's and must outlive it. As spool_reader_open(). */
MUST_USE enum result ingest_open(struct ingest *ingest, const struct ingest_config *config,
				 struct telemetry_store *store, struct fleetwise_decoders *decoders, struct note *note);
void ingest_close(struct ingest *ingest);
/* Works until it is stopped; what was read by then is committed, unless the store takes nothing. */
void ingest_run(struct ingest *ingest);
/* From any thread. */
void ingest_stop(struct ingest *ingest);

/* ---- between the files of ingest/ ------------------------------------------------------------------------ */

/* batch.c: one record's messages, or its reject, join the batch. RESULT_MEMORY only when the process has none. */
MUST_USE enum result batch_add(struct ingest *ingest, const struct spool_record *record);
void batch_clear(struct ingest *ingest);
bool batch_is_full(const struct ingest *ingest);

/* orders.c: does what one record of the control spool says. RESULT_INVALID: it says nothing that can be done. */
MUST_USE enum result order_carry_out(struct ingest *ingest, const struct spool_record *record, struct note *note);

/* operations.c: health, readiness and metrics over plain HTTP. */
struct operations;
MUST_USE enum result operations_open(struct ingest *ingest, const char *address, uint16_t port,
				     struct operations **ret_operations, struct note *note);
void operations_close(struct operations *operations);

#endif
