#include "programs/ingest/ingest.h"

#include "adapters/telemetry/control.h"
#include "base/secret.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_MS		   200	 /* until the control spool is looked at again */
#define EXPIRE_INTERVAL_MS 60000 /* when nothing was left to expire */
#define EXPIRE_STEP_MS	   100	 /* when there was */
#define LOOK_INTERVAL_MS   1000
#define DRAIN_MS	   60000
#define ARENA_MARGIN	   ((size_t)32 << 20) /* over batch_size: more than the largest record needs */

const unsigned commit_bucket_ms[COMMIT_BUCKETS - 1] = {5, 10, 25, 50, 100, 250, 1000};

static bool is_stopping(struct ingest *ingest)
{
	return atomic_load(&ingest->is_stopping);
}

static int64_t monotonic_ms(const struct ingest *ingest)
{
	return clock_monotonic_ms(ingest->config.clock);
}

/* ---- failing and recovering ----------------------------------------------------------------------------------- */

/* The first of a row is logged, and its end. */
static void tell_failure(struct ingest *ingest, enum result result, const char *event, const char *text)
{
	atomic_fetch_add(&ingest->counters.failures, 1);
	if (!atomic_exchange(&ingest->counters.is_failing, true))
		ingest->log(result, event, text);
}

static void tell_success(struct ingest *ingest)
{
	if (atomic_exchange(&ingest->counters.is_failing, false))
		ingest->log(RESULT_OK, "recovered", "the store takes telemetry again");
}

/* False: there is no time left, ingest stops. */
static bool pause_before_retry(struct ingest *ingest)
{
	if (!is_stopping(ingest)) {
		/* An interrupt ends it; what is appended must not. */
		int64_t until = monotonic_ms(ingest) + ingest->config.retry_ms;

		for (int64_t left; !is_stopping(ingest) && (left = until - monotonic_ms(ingest)) > 0;) {
			struct timespec pause = {.tv_nsec = (left < 50 ? left : 50) * 1000000};

			nanosleep(&pause, NULL);
		}
	}
	return !is_stopping(ingest);
}

/* ---- committing ------------------------------------------------------------------------------------------------- */

static void count_commit(struct ingest *ingest, int64_t took_us)
{
	size_t bucket = 0;

	while (bucket < COMMIT_BUCKETS - 1 && took_us > (int64_t)commit_bucket_ms[bucket] * 1000)
		bucket++;
	atomic_fetch_add(&ingest->counters.commit_buckets[bucket], 1);
	atomic_fetch_add(&ingest->counters.commit_us, (uint64_t)took_us);
	atomic_fetch_add(&ingest->counters.batches, 1);
}

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static enum result commit_once(struct ingest *ingest, struct note *note)
{
	const struct telemetry_batch batch = {
		.messages = ingest->messages,
		.message_count = ingest->message_count,
		.rejects = ingest->rejects,
		.reject_count = ingest->reject_count,
		.withheld = ingest->withheld,
		.position = ingest->position,
	};
	int64_t started_us = now_us();

	TRY(ingest->store->ops->commit(ingest->store, &batch, note));
	count_commit(ingest, now_us() - started_us);
	return RESULT_OK;
}

/* Frees what is safe now. That it cannot be told costs room, and nothing else. */
static void mark(struct ingest *ingest)
{
	const struct spool_position position = {.segment = ingest->position.segment, .offset = ingest->position.offset};
	struct note note = {0};

	if (spool_mark(ingest->telemetry, &position, &note) != RESULT_OK)
		ingest->log(RESULT_UNAVAILABLE, "spool", note.text);
}

/* Until the store has it. RESULT_UNAVAILABLE: ingest stops before that; the spool has it still. */
static enum result commit_batch(struct ingest *ingest)
{
	struct note note = {0};
	enum result result;

	while ((result = commit_once(ingest, &note)) != RESULT_OK) {
		tell_failure(ingest, result, "commit", note.text);
		if (!pause_before_retry(ingest))
			return RESULT_UNAVAILABLE;
	}
	tell_success(ingest);
	mark(ingest);
	return RESULT_OK;
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

static enum result read_record(struct ingest *ingest, struct spool_reader *reader, struct spool_record *ret_record,
			       struct spool_position *ret_after)
{
	struct note note = {0};
	enum result result;

	while ((result = spool_read(reader, ret_record, ret_after, &note)) == RESULT_CORRUPT) {
		atomic_fetch_add(&ingest->counters.damaged, 1);
		ingest->log(result, "spool", note.text);
	}
	if (result != RESULT_OK && result != RESULT_ABSENT)
		tell_failure(ingest, result, "spool", note.text);
	return result == RESULT_OK ? RESULT_OK : RESULT_ABSENT;
}

static enum result add_record(struct ingest *ingest, const struct spool_record *record,
			      const struct spool_position *after)
{
	int64_t lag_ms = clock_now_ms(ingest->config.clock) - record->at_ms;

	TRY(batch_add(ingest, record));
	atomic_store(&ingest->counters.lag_ms, lag_ms > 0 ? (uint64_t)lag_ms : 0);
	ingest->position = (struct telemetry_position){.segment = after->segment, .offset = after->offset};
	return RESULT_OK;
}

/*
 * What there is, until the batch is full or its time is over. *ret_drained: nothing was left. RESULT_MEMORY: the batch
 * is what it was before the record that found no room.
 */
static enum result gather(struct ingest *ingest, bool *ret_drained)
{
	int64_t until_ms = monotonic_ms(ingest) + ingest->config.batch_ms;
	struct spool_position after;
	struct spool_record record;

	*ret_drained = false;
	while (!batch_is_full(ingest)) {
		if (read_record(ingest, ingest->telemetry, &record, &after) == RESULT_OK) {
			TRY(add_record(ingest, &record, &after));
			continue;
		}
		int64_t left_ms = until_ms - monotonic_ms(ingest);
		*ret_drained = true;
		if (left_ms <= 0 || ingest->record_count == 0 || is_stopping(ingest))
			break;
		spool_wait(ingest->telemetry, left_ms);
	}
	return RESULT_OK;
}

static enum result open_telemetry(struct ingest *ingest, struct note *note)
{
	struct telemetry_position position = {0};

	TRY(ingest->store->ops->get_position(ingest->store, &position, note));
	const struct spool_position from = {.segment = position.segment, .offset = position.offset};
	return spool_reader_open(ingest->config.telemetry_spool, &from, &ingest->telemetry, note);
}

/* A record that was read and could not be kept is read again from where the store stands. */
static void begin_again(struct ingest *ingest)
{
	struct note note = {0};

	tell_failure(ingest, RESULT_MEMORY, "memory", "out of memory: the batch is read again");
	batch_clear(ingest);
	do {
		spool_reader_close(ingest->telemetry);
		ingest->telemetry = NULL;
		if (open_telemetry(ingest, &note) == RESULT_OK)
			return;
		tell_failure(ingest, RESULT_UNAVAILABLE, "spool", note.text);
	} while (pause_before_retry(ingest));
}

/* One batch, read and stored. */
static void turn(struct ingest *ingest, bool *ret_drained)
{
	if (gather(ingest, ret_drained) != RESULT_OK) {
		begin_again(ingest);
		pause_before_retry(ingest);
		return;
	}
	if (ingest->record_count > 0 && commit_batch(ingest) == RESULT_OK) {
		batch_clear(ingest);
		secret_scrub_stack();
	}
}

/* ---- what vinveild has to say ---------------------------------------------------------------------------------------
 */

/* What a vehicle sent before it was to be forgotten must not be stored after it. */
static void drain_before(struct ingest *ingest, const struct spool_record *record)
{
	int64_t until_ms = monotonic_ms(ingest) + DRAIN_MS;
	bool drained = record->kind != ORDER_FORGET;

	while (!drained && !is_stopping(ingest) && monotonic_ms(ingest) < until_ms)
		turn(ingest, &drained);
}

/* RESULT_UNAVAILABLE: ingest stops; the order is read again next time. */
static enum result carry_out(struct ingest *ingest, const struct spool_record *record)
{
	struct note note = {0};
	enum result result;

	drain_before(ingest, record);
	if (is_stopping(ingest))
		return RESULT_UNAVAILABLE;
	while ((result = order_carry_out(ingest, record, &note)) != RESULT_OK && result != RESULT_INVALID) {
		tell_failure(ingest, result, "control", note.text);
		if (!pause_before_retry(ingest))
			return RESULT_UNAVAILABLE;
	}
	atomic_fetch_add(&ingest->counters.orders, 1);
	if (result == RESULT_OK) {
		tell_success(ingest);
		return RESULT_OK;
	}
	atomic_fetch_add(&ingest->counters.orders_refused, 1);
	ingest->log(result, "control", note.text);
	return RESULT_OK;
}

static void follow_orders(struct ingest *ingest)
{
	struct spool_position after = {0};
	struct spool_record record;
	struct note note = {0};
	bool has_any = false;

	while (!is_stopping(ingest) && read_record(ingest, ingest->control, &record, &after) == RESULT_OK) {
		if (carry_out(ingest, &record) != RESULT_OK)
			return;
		has_any = true;
	}
	if (has_any && spool_mark(ingest->control, &after, &note) != RESULT_OK)
		ingest->log(RESULT_UNAVAILABLE, "spool", note.text);
}

/* ---- now and then
 * ------------------------------------------------------------------------------------------------------ */

static void expire(struct ingest *ingest)
{
	struct note note = {0};
	bool more = false;

	if (monotonic_ms(ingest) < ingest->expire_at_ms)
		return;
	enum result result =
		ingest->store->ops->expire(ingest->store, clock_now_ms(ingest->config.clock), &more, &note);
	if (result != RESULT_OK)
		tell_failure(ingest, result, "expire", note.text);
	ingest->expire_at_ms = monotonic_ms(ingest) + (more ? EXPIRE_STEP_MS : EXPIRE_INTERVAL_MS);
}

static void look(struct ingest *ingest, bool drained)
{
	uint64_t bytes = 0;
	uint32_t segments = 0;

	if (drained)
		atomic_store(&ingest->counters.lag_ms, 0);
	if (monotonic_ms(ingest) < ingest->look_at_ms)
		return;
	spool_behind(ingest->telemetry, &bytes, &segments);
	atomic_store(&ingest->counters.behind_bytes, bytes);
	atomic_store(&ingest->counters.behind_segments, segments);
	ingest->look_at_ms = monotonic_ms(ingest) + LOOK_INTERVAL_MS;
}

/* ---- all of it
 * ----------------------------------------------------------------------------------------------------------- */

void ingest_run(struct ingest *ingest)
{
	while (!is_stopping(ingest)) {
		bool drained = false;

		follow_orders(ingest);
		turn(ingest, &drained);
		if (ingest->telemetry == NULL)
			return;
		expire(ingest);
		look(ingest, drained);
		if (drained && !is_stopping(ingest))
			spool_wait(ingest->telemetry, WAIT_MS);
	}
}

/* The reader may be another one in a moment, but a wait ends by itself soon. */
void ingest_stop(struct ingest *ingest)
{
	atomic_store(&ingest->is_stopping, true);
}

enum result ingest_open(struct ingest *ingest, const struct ingest_config *config, struct telemetry_store *store,
			struct fleetwise_decoders *decoders, struct note *note)
{
	ingest->config = *config;
	ingest->store = store;
	ingest->decoders = decoders;
	ingest->arena.size_max = config->batch_size + ARENA_MARGIN;
	TRY(open_telemetry(ingest, note));
	return spool_reader_open(config->control_spool, NULL, &ingest->control, note);
}

void ingest_close(struct ingest *ingest)
{
	spool_reader_close(ingest->telemetry);
	spool_reader_close(ingest->control);
	arena_release(&ingest->arena);
	free(ingest->messages);
	free(ingest->rejects);
}
