#include "adapters/audit/tlog_state.h"

#include <errno.h>
#include <time.h>

/* How often the derived files are brought up between two checkpoints, so that the work comes in small pieces. */
#define DERIVE_TICK_MS 100

void signing_set_head(struct tlog *log, struct buf *take_note, const struct checkpoint *checkpoint)
{
	pthread_mutex_lock(&log->checkpoint_mutex);
	buf_release(&log->head.note);
	log->head.note = *take_note;
	*take_note = (struct buf){0};
	log->head.size = checkpoint->size;
	log->head.root = checkpoint->root;
	atomic_store(&log->head_size, checkpoint->size);
	pthread_mutex_unlock(&log->checkpoint_mutex);
}

/* What keyd is asked to sign, and from where the proof leads. */
struct request {
	uint64_t size, last_size;
	struct merkle_hash root, last_root;
	struct merkle_proof proof;
};

static enum result prepare(struct tlog *log, struct request *request, struct note *note)
{
	struct merkle_reader *reader = &log->store.reader;

	request->size = atomic_load(&log->durable_size);
	TRY(derive_until(log, request->size, note));
	TRY(derive_flush(log, note));
	TRY(merkle_root(reader, request->size, &request->root));
	TRY(log->signer->ops->last_checkpoint(log->signer, &request->last_size, &request->last_root, note));
	if (request->last_size > request->size) {
		note_set(note, "audit log: the key service has signed size %llu, the log holds %llu",
			 (unsigned long long)request->last_size, (unsigned long long)request->size);
		return RESULT_CORRUPT;
	}
	if (request->last_size > 0)
		TRY(merkle_prove_consistency(reader, request->last_size, request->size, &request->proof));
	if (merkle_verify_consistency(&request->proof, request->last_size, request->size,
				      request->last_size > 0 ? &request->last_root : &request->root,
				      &request->root) == RESULT_OK ||
	    request->last_size == 0)
		return RESULT_OK;
	note_set(note, "audit log: the hash files do not lead from what was signed last; delete hashes-* and index "
		       "while the log is closed");
	return RESULT_CORRUPT;
}

/* What came back must be what was asked for, before it replaces the checkpoint that is there. */
static enum result check_answer(struct tlog *log, const struct request *request, struct span answer,
				struct checkpoint *ret_checkpoint, struct note *note)
{
	if (checkpoint_read(answer, log->origin, NULL, ret_checkpoint, note) == RESULT_OK &&
	    ret_checkpoint->size == request->size &&
	    memcmp(ret_checkpoint->root.bytes, request->root.bytes, SHA256_SIZE) == 0)
		return RESULT_OK;
	note_set(note, "audit log: the key service answered with the checkpoint of another log or tree");
	return RESULT_CORRUPT;
}

static enum result make_checkpoint(struct tlog *log, struct note *note)
{
	struct request request = {0};
	BUF_CLEANUP struct buf answer = {.size_max = SIGNED_NOTE_SIZE_MAX};
	int64_t started_ms = clock_monotonic_ms(log->clock);
	struct checkpoint checkpoint;
	char path[PATH_SIZE];

	if (atomic_load(&log->head_size) >= atomic_load(&log->durable_size))
		return RESULT_OK;
	TRY(prepare(log, &request, note));
	TRY(log->signer->ops->sign_checkpoint(log->signer, request.size, &request.root, &request.proof, &answer, note));
	TRY(check_answer(log, &request, buf_span(&answer), &checkpoint, note));
	TRY(path_join(log->directory, CHECKPOINT_FILE, path));
	TRY(file_replace(path, buf_span(&answer), STORE_FILE_MODE, note));
	signing_set_head(log, &answer, &checkpoint);
	/* What came since counts from before the signing: rather too old than too young. */
	atomic_store(&log->uncovered_since_ms, 0);
	if (request.size < atomic_load(&log->durable_size))
		atomic_store(&log->uncovered_since_ms, started_ms);
	return RESULT_OK;
}

enum result signing_make_checkpoint(struct tlog *log, struct note *note)
{
	struct note own = {0};
	enum result result;

	pthread_mutex_lock(&log->signing_mutex);
	result = make_checkpoint(log, &own);
	pthread_mutex_unlock(&log->signing_mutex);
	if (result != RESULT_OK && own.text[0] == '\0')
		note_set(&own, "audit log: no checkpoint: %s", result_name(result));
	pthread_mutex_lock(&log->status_mutex);
	memset(log->sign_failure, 0, sizeof(log->sign_failure));
	if (result != RESULT_OK)
		memcpy(log->sign_failure, own.text, sizeof(log->sign_failure));
	pthread_mutex_unlock(&log->status_mutex);
	if (result != RESULT_OK && note != NULL)
		*note = own;
	return result;
}

/* ---- the thread ------------------------------------------------------------------------------------------ */

void signing_wake(struct tlog *log)
{
	pthread_mutex_lock(&log->wake_mutex);
	if (log->is_idle)
		pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->wake_mutex);
}

static void wait_ms(struct tlog *log, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!log->is_stopping && pthread_cond_timedwait(&log->wake, &log->wake_mutex, &until) != ETIMEDOUT)
		;
}

/* Returns with wake_mutex held; false when the log closes. */
static bool wait_for_work(struct tlog *log)
{
	log->is_idle = true;
	while (!log->is_stopping && atomic_load(&log->head_size) >= atomic_load(&log->durable_size))
		pthread_cond_wait(&log->wake, &log->wake_mutex);
	log->is_idle = false;
	return !log->is_stopping;
}

void *signing_run(void *context)
{
	struct tlog *log = context;
	int64_t tick_ms = log->interval_ms < DERIVE_TICK_MS ? log->interval_ms : DERIVE_TICK_MS;
	int64_t attempted_ms = INT64_MIN / 2;

	pthread_mutex_lock(&log->wake_mutex);
	while (wait_for_work(log)) {
		pthread_mutex_unlock(&log->wake_mutex);
		if (clock_monotonic_ms(log->clock) - attempted_ms >= log->interval_ms) {
			attempted_ms = clock_monotonic_ms(log->clock);
			(void)!signing_make_checkpoint(log, NULL); /* a failure is kept for the status */
		} else {
			(void)!derive_until(log, atomic_load(&log->durable_size), NULL); /* the next one tells */
		}
		pthread_mutex_lock(&log->wake_mutex);
		wait_ms(log, tick_ms);
	}
	pthread_mutex_unlock(&log->wake_mutex);
	return NULL;
}
