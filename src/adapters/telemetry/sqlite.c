#include "adapters/telemetry/sqlite.h"

#include "adapters/telemetry/sqlite_store.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAIN_NAME "main.db"
#define LOCK_NAME "lock"

/* ---- readers ---------------------------------------------------------------------------------------------- */

static enum result reader_open(struct sqlite_store *store, struct reader *reader, struct note *note)
{
	char path[PATH_LENGTH];

	if (reader->main.handle != NULL)
		return RESULT_OK;
	reader->days = (struct days){.directory = store->directory, .is_read_only = true, .count = READER_DAYS_MAX};
	snprintf(path, sizeof(path), "%s/" MAIN_NAME, store->directory);
	enum result result = db_open(path, &main_kind, true, 0, &reader->main, note);
	if (result != RESULT_ABSENT)
		return result;
	note_set(note, "%s is not there: vinveil-ingest has not made it yet", path);
	return RESULT_UNAVAILABLE;
}

/* After an error it begins anew, with other descriptors. */
static void reader_reset(struct reader *reader)
{
	days_close(&reader->days);
	db_close(&reader->main);
	names_release(&reader->names);
}

/* Whichever is free, else the next one in turn. */
static enum result reader_take(struct sqlite_store *store, struct reader **ret_reader, struct note *note)
{
	uint32_t turn = atomic_fetch_add(&store->next_reader, 1);
	struct reader *reader = NULL;

	for (uint32_t i = 0; reader == NULL && i < READERS_MAX; i++)
		if (pthread_mutex_trylock(&store->readers[(turn + i) % READERS_MAX].mutex) == 0)
			reader = &store->readers[(turn + i) % READERS_MAX];
	if (reader == NULL) {
		reader = &store->readers[turn % READERS_MAX];
		pthread_mutex_lock(&reader->mutex);
	}
	enum result result = reader_open(store, reader, note);
	if (result != RESULT_OK) {
		pthread_mutex_unlock(&reader->mutex);
		return result;
	}
	*ret_reader = reader;
	return RESULT_OK;
}

static void reader_give_back(struct reader *reader, enum result result)
{
	if (result == RESULT_UNAVAILABLE || result == RESULT_CORRUPT)
		reader_reset(reader);
	pthread_mutex_unlock(&reader->mutex);
}

/* ---- the port: reading ------------------------------------------------------------------------------------- */

static enum result get_position(struct telemetry_store *base, struct telemetry_position *ret_position,
				struct note *note)
{
	struct reader *reader;
	struct state state = {0};

	TRY(reader_take(self_of(base), &reader, note));
	enum result result = state_load(&reader->main, &state, note);
	reader_give_back(reader, result);
	if (result == RESULT_OK)
		*ret_position = state.position;
	return result;
}

static enum result get_latest(struct telemetry_store *base, const struct uuid *reference_id, struct arena *arena,
			      struct telemetry_latest **ret_latest, size_t *ret_count, struct note *note)
{
	struct reader *reader;

	TRY(reader_take(self_of(base), &reader, note));
	enum result result = reader_latest(reader, reference_id, arena, ret_latest, ret_count, note);
	reader_give_back(reader, result);
	return result;
}

static enum result get_range(struct telemetry_store *base, const struct telemetry_query *query, struct arena *arena,
			     struct telemetry_page *ret_page, struct note *note)
{
	struct reader *reader;

	TRY(reader_take(self_of(base), &reader, note));
	enum result result = reader_range(reader, query, arena, ret_page, note);
	reader_give_back(reader, result);
	return result;
}

static enum result count(struct telemetry_store *base, struct telemetry_counts *ret_counts, struct note *note)
{
	struct reader *reader;

	TRY(reader_take(self_of(base), &reader, note));
	enum result result = reader_count(reader, ret_counts, note);
	reader_give_back(reader, result);
	return result;
}

static enum result check(struct telemetry_store *base, struct note *note)
{
	struct telemetry_position ignored;

	return get_position(base, &ignored, note);
}

/* ---- the port: writing ------------------------------------------------------------------------------------- */

static enum result begin_write(struct sqlite_store *store, struct note *note)
{
	if (store->options.is_read_only) {
		note_set(note, "telemetry: opened for reading");
		return RESULT_DENIED;
	}
	pthread_mutex_lock(&store->mutex);
	return RESULT_OK;
}

static enum result commit(struct telemetry_store *base, const struct telemetry_batch *batch, struct note *note)
{
	struct sqlite_store *store = self_of(base);

	TRY(begin_write(store, note));
	enum result result = store_commit(store, batch, note);
	pthread_mutex_unlock(&store->mutex);
	return result;
}

static enum result assign(struct telemetry_store *base, const struct uuid *reference_id, const struct tenant_id *tenant,
			  struct note *note)
{
	struct sqlite_store *store = self_of(base);

	TRY(begin_write(store, note));
	enum result result = store_assign(store, reference_id, tenant, note);
	pthread_mutex_unlock(&store->mutex);
	return result;
}

static enum result set_retention(struct telemetry_store *base, const struct tenant_id *tenant, uint32_t days,
				 struct note *note)
{
	struct sqlite_store *store = self_of(base);

	TRY(begin_write(store, note));
	enum result result = store_set_retention(store, tenant, days, note);
	pthread_mutex_unlock(&store->mutex);
	return result;
}

static enum result forget(struct telemetry_store *base, const struct uuid *reference_id, struct note *note)
{
	struct sqlite_store *store = self_of(base);

	TRY(begin_write(store, note));
	enum result result = store_forget(store, reference_id, note);
	pthread_mutex_unlock(&store->mutex);
	return result;
}

static enum result expire(struct telemetry_store *base, int64_t now_ms, bool *ret_more, struct note *note)
{
	struct sqlite_store *store = self_of(base);

	TRY(begin_write(store, note));
	enum result result = store_expire(store, now_ms, ret_more, note);
	pthread_mutex_unlock(&store->mutex);
	return result;
}

static const struct telemetry_store_ops ops = {
	.commit = commit,
	.get_position = get_position,
	.get_latest = get_latest,
	.get_range = get_range,
	.assign = assign,
	.set_retention = set_retention,
	.forget = forget,
	.expire = expire,
	.count = count,
	.check = check,
};

/* ---- opening ------------------------------------------------------------------------------------------------- */

static enum result take_lock(struct sqlite_store *store, struct note *note)
{
	char path[PATH_LENGTH];

	snprintf(path, sizeof(path), "%s/" LOCK_NAME, store->directory);
	store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, store->mode);
	if (store->lock_fd < 0) {
		note_set(note, "%s: %s", path, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return RESULT_OK;
	note_set(note, "%s is written by another process", store->directory);
	return errno == EWOULDBLOCK ? RESULT_CONFLICT : RESULT_UNAVAILABLE;
}

static enum result open_writer(struct sqlite_store *store, struct note *note)
{
	char path[PATH_LENGTH];
	struct stat status;

	TRY(directory_make(store->directory, S_IRWXU, note));
	if (stat(store->directory, &status) != 0) {
		note_set(note, "%s: %s", store->directory, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	/* Who may read the directory may read what is in it: vinveild through a group. Nobody else writes. */
	store->mode = S_IRUSR | S_IWUSR | (status.st_mode & S_IRGRP);
	TRY(take_lock(store, note));
	snprintf(path, sizeof(path), "%s/" MAIN_NAME, store->directory);
	TRY(db_open(path, &main_kind, false, store->mode, &store->main, note));
	store->days = (struct days){.directory = store->directory, .mode = store->mode, .count = DAYS_OPEN_MAX};
	TRY(names_load(&store->names, &store->main, note));
	TRY(tenants_load(store, note));
	return state_load(&store->main, &store->state, note);
}

static void set_defaults(struct telemetry_sqlite_options *options)
{
	if (options->retention_days == 0)
		options->retention_days = TELEMETRY_RETENTION_DAYS_DEFAULT;
	if (options->rejects_max == 0)
		options->rejects_max = TELEMETRY_REJECTS_MAX_DEFAULT;
	if (options->reject_size == 0)
		options->reject_size = TELEMETRY_REJECT_SIZE_DEFAULT;
}

enum result telemetry_sqlite_open(const char *directory, const struct telemetry_sqlite_options *options,
				  struct telemetry_store **ret_store, struct note *note)
{
	struct sqlite_store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		return RESULT_MEMORY;
	store->base.ops = &ops;
	store->options = *options;
	store->lock_fd = -1;
	store->encoded.size_max = BATCH_SIZE_MAX;
	store->merged.size_max = 4 * LATEST_SIZE_MAX;
	set_defaults(&store->options);
	pthread_mutex_init(&store->mutex, NULL);
	for (size_t i = 0; i < READERS_MAX; i++)
		pthread_mutex_init(&store->readers[i].mutex, NULL);
	store->directory = strdup(directory);
	enum result result = store->directory == NULL ? RESULT_MEMORY : RESULT_OK;
	if (result == RESULT_OK && strlen(directory) > PATH_LENGTH - 64)
		result = RESULT_INVALID;
	if (result == RESULT_OK && !options->is_read_only)
		result = open_writer(store, note);
	if (result != RESULT_OK) {
		telemetry_sqlite_close(&store->base);
		return result;
	}
	*ret_store = &store->base;
	return RESULT_OK;
}

static void close_writer(struct sqlite_store *store)
{
	days_close(&store->days);
	db_close(&store->main);
	names_release(&store->names);
	vehicles_clear(&store->vehicles);
	buf_release(&store->encoded);
	buf_release(&store->merged);
	free(store->entries);
	free(store->fresh);
	free(store->touched);
	free(store->tenants.list);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
}

void telemetry_sqlite_close(struct telemetry_store *base)
{
	struct sqlite_store *store = self_of(base);

	if (store == NULL)
		return;
	for (size_t i = 0; i < READERS_MAX; i++) {
		reader_reset(&store->readers[i]);
		pthread_mutex_destroy(&store->readers[i].mutex);
	}
	close_writer(store);
	pthread_mutex_destroy(&store->mutex);
	free(store->directory);
	free(store);
}
