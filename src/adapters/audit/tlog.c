#include "adapters/audit/tlog.h"

#include "adapters/audit/tlog_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static uint64_t tlog_size(struct audit_log *base)
{
	struct tlog *log = tlog_of(base);
	uint64_t size;

	pthread_mutex_lock(&log->queue_mutex);
	size = log->size;
	pthread_mutex_unlock(&log->queue_mutex);
	return size;
}

static uint64_t tlog_durable_size(struct audit_log *base)
{
	return atomic_load(&tlog_of(base)->durable_size);
}

static const struct audit_log_ops tlog_ops = {
	.append = tlog_append,
	.size = tlog_size,
	.durable_size = tlog_durable_size,
	.read = tlog_read,
	.query = tlog_query,
	.checkpoint = tlog_checkpoint,
	.prove = tlog_prove,
	.tile = tlog_tile,
};

/* ---- opening and closing ------------------------------------------------------------------------------------ */

static void init_locks(struct tlog *log)
{
	pthread_mutex_t *mutexes[] = {&log->queue_mutex,      &log->derive_mutex, &log->signing_mutex, &log->wake_mutex,
				      &log->checkpoint_mutex, &log->status_mutex, &log->ids_mutex};
	pthread_condattr_t monotonic;

	for (size_t i = 0; i < sizeof(mutexes) / sizeof(mutexes[0]); i++)
		pthread_mutex_init(mutexes[i], NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&log->queue_filled, NULL);
	pthread_cond_init(&log->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static void stop_sequencer(struct tlog *log)
{
	if (!log->has_sequencer)
		return;
	pthread_mutex_lock(&log->queue_mutex);
	log->is_closing = true;
	pthread_cond_signal(&log->queue_filled);
	pthread_mutex_unlock(&log->queue_mutex);
	pthread_join(log->sequencer, NULL);
}

static void stop_signing(struct tlog *log)
{
	if (!log->has_signing_thread)
		return;
	pthread_mutex_lock(&log->wake_mutex);
	log->is_stopping = true;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->wake_mutex);
	pthread_join(log->signing_thread, NULL);
}

static void tlog_free(struct tlog *log)
{
	if (log->end.fd >= 0)
		close(log->end.fd);
	store_close(&log->store);
	if (log->lock_fd >= 0)
		close(log->lock_fd);
	audit_tlog_contains_end(&log->base);
	append_group_release(&log->groups[0]);
	append_group_release(&log->groups[1]);
	buf_release(&log->head.note);
	free(log);
}

void audit_tlog_close(struct audit_log *base)
{
	struct tlog *log = tlog_of(base);

	if (log == NULL)
		return;
	stop_sequencer(log);
	stop_signing(log);
	if (log->interval_ms >= 0)
		(void)!signing_make_checkpoint(log, NULL); /* the next opening brings it otherwise */
	/* The zeros written ahead; should this fail, opening cuts them off. */
	if (log->end.fd >= 0 && !log->end.needs_repair && ftruncate(log->end.fd, (off_t)log->end.offset) == 0)
		fdatasync(log->end.fd);
	tlog_free(log);
}

static enum result check_config(const struct audit_tlog_config *config, struct note *note)
{
	struct verifier_key key;
	const uint8_t none[ED25519_PUBLIC_SIZE] = {0};

	if (config->directory == NULL || config->signer == NULL || config->origin == NULL) {
		note_set(note, "audit log: directory, origin and signer are needed");
		return RESULT_INVALID;
	}
	if (verifier_key_make(config->origin, none, &key) != RESULT_OK) {
		note_set(note, "audit log: the origin must be 1 to %d bytes of UTF-8 without spaces or '+'",
			 VERIFIER_KEY_NAME_MAX);
		return RESULT_INVALID;
	}
	return RESULT_OK;
}

static struct tlog *tlog_new(const struct audit_tlog_config *config)
{
	struct tlog *log = calloc(1, sizeof(*log));

	if (log == NULL)
		return NULL;
	log->base.ops = &tlog_ops;
	log->signer = config->signer;
	log->clock = config->clock != NULL ? config->clock : clock_system();
	log->interval_ms =
		config->checkpoint_interval_ms != 0 ? config->checkpoint_interval_ms : AUDIT_TLOG_INTERVAL_MS_DEFAULT;
	log->preallocation = config->preallocation != 0 ? config->preallocation : AUDIT_TLOG_PREALLOCATION_DEFAULT;
	memcpy(log->origin, config->origin, strlen(config->origin) + 1);
	log->lock_fd = log->end.fd = log->store.directory_fd = log->store.index_fd = -1;
	for (unsigned level = 0; level < TILE_LEVELS_MAX; level++)
		log->store.hash_fds[level] = -1;
	for (int i = 0; i < 2; i++)
		log->groups[i].frames.size_max =
			config->queue_size_max != 0 ? config->queue_size_max : AUDIT_TLOG_QUEUE_SIZE_DEFAULT;
	log->queue = &log->groups[0];
	init_locks(log);
	return log;
}

static enum result take_lock(struct tlog *log, struct note *note)
{
	log->lock_fd =
		openat(log->store.directory_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, STORE_FILE_MODE);
	if (log->lock_fd < 0) {
		note_set(note, "audit log: %s/%s: %s", log->directory, LOCK_FILE, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	if (flock(log->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		note_set(note, "audit log: %s is open in another process", log->directory);
		return RESULT_CONFLICT;
	}
	return RESULT_OK;
}

static enum result start_threads(struct tlog *log, struct note *note)
{
	if (pthread_create(&log->sequencer, NULL, sequencer_run, log) == 0)
		log->has_sequencer = true;
	if (log->interval_ms >= 0 && pthread_create(&log->signing_thread, NULL, signing_run, log) == 0)
		log->has_signing_thread = true;
	if (log->has_sequencer && (log->has_signing_thread || log->interval_ms < 0)) {
		pthread_setname_np(log->sequencer, "audit-log");
		if (log->has_signing_thread)
			pthread_setname_np(log->signing_thread, "audit-sign");
		return RESULT_OK;
	}
	note_set(note, "audit log: no thread can be started");
	return RESULT_UNAVAILABLE;
}

static enum result open_log(struct tlog *log, const struct audit_tlog_config *config, struct note *note)
{
	size_t length = strlen(config->directory);

	if (length >= PATH_SIZE - STORE_NAME_SIZE) {
		note_set(note, "audit log: the directory's name is too long");
		return RESULT_INVALID;
	}
	memcpy(log->directory, config->directory, length + 1);
	TRY(directory_make(log->directory, 0700, note));
	TRY(store_open(log->directory, true, &log->store, note));
	TRY(take_lock(log, note));
	TRY(recovery_run(log, config, note));
	return start_threads(log, note);
}

enum result audit_tlog_open(const struct audit_tlog_config *config, struct audit_log **ret_log, struct note *note)
{
	struct note own = {0};
	struct tlog *log;
	enum result result;

	TRY(check_config(config, note));
	log = tlog_new(config);
	if (log == NULL)
		return RESULT_MEMORY;
	result = open_log(log, config, &own);
	if (result == RESULT_OK) {
		*ret_log = &log->base;
		return RESULT_OK;
	}
	note_set(note, "%s", own.text);
	stop_sequencer(log);
	stop_signing(log);
	tlog_free(log);
	return result;
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

enum result audit_tlog_checkpoint_now(struct audit_log *log, struct note *note)
{
	return signing_make_checkpoint(tlog_of(log), note);
}

void audit_tlog_status(struct audit_log *base, struct audit_tlog_status *ret_status)
{
	struct tlog *log = tlog_of(base);
	int64_t since_ms = atomic_load(&log->uncovered_since_ms);
	bool is_covered;

	*ret_status = (struct audit_tlog_status){
		.size = tlog_size(base),
		.durable_size = tlog_durable_size(base),
		.checkpoint_size = atomic_load(&log->head_size),
		.group_count = atomic_load(&log->group_count),
		.failure_count = atomic_load(&log->failure_count),
	};
	is_covered = ret_status->checkpoint_size >= ret_status->durable_size;
	if (since_ms != 0 && !is_covered)
		ret_status->checkpoint_age_ms = clock_monotonic_ms(log->clock) - since_ms;
	pthread_mutex_lock(&log->status_mutex);
	ret_status->is_failing = log->write_failure[0] != '\0' || atomic_load(&log->is_broken);
	memcpy(ret_status->failure, log->write_failure[0] != '\0' ? log->write_failure : log->sign_failure, NOTE_SIZE);
	pthread_mutex_unlock(&log->status_mutex);
}
