#include "adapters/registry/sqlite_writer.h"

#include "adapters/registry/sqlite_read.h"

#include <stdlib.h>

#define GROUP_JOBS_MAX	  512
#define PURGE_INTERVAL_MS 1000
#define DAY_MS		  ((int64_t)24 * 60 * 60 * 1000)
#define COMMAND_AGE_MS	  (30 * DAY_MS) /* since its last change, when it is over */
#define ALERT_AGE_MS	  (365 * DAY_MS)

struct leaf_list {
	struct uuid *ids;
	size_t count, capacity;
};

struct writer {
	/* the thread's own */
	char *path;
	struct sqlite_db_options options;
	struct clock *clock;
	struct sqlite_db db;
	bool db_is_open;
	int64_t purged_at_ms; /* monotonic */
	pthread_t thread;
	/* shared */
	pthread_mutex_t mutex;
	pthread_cond_t work;
	struct writer_job *first, **end;
	struct leaf_list forgotten;
	bool is_stopping;
};

/* ---- the group ------------------------------------------------------------------------------------- */

static enum result run_plain(struct sqlite_db *db, enum sql_statement which, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(db, which, &query, note));
	return sql_run(&query, note);
}

/* These concern the connection or the disk, not the change that met them: nothing of the group can be trusted. */
static bool is_fatal(enum result result)
{
	return result == RESULT_UNAVAILABLE || result == RESULT_CORRUPT || result == RESULT_MEMORY;
}

static enum result delete_leaves(struct sqlite_db *db, const struct leaf_list *leaves, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	if (leaves->count == 0)
		return RESULT_OK;
	TRY(sql_begin(db, SQL_DELETE_LEAF, &query, note));
	for (size_t i = 0; i < leaves->count; i++) {
		sql_again(&query);
		sql_blob(&query, 1, leaves->ids[i].bytes, UUID_SIZE);
		TRY(sql_run(&query, note));
	}
	return RESULT_OK;
}

static enum result purge_table(struct writer *writer, enum sql_statement which, int64_t until_ms, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};

	TRY(sql_begin(&writer->db, which, &query, note));
	sql_number(&query, 1, until_ms);
	return sql_run(&query, note);
}

/* A bounded number of rows of each table, by an index on their time. */
static enum result purge_old(struct writer *writer, struct note *note)
{
	int64_t monotonic_ms = clock_monotonic_ms(writer->clock), now_ms = clock_now_ms(writer->clock);

	if (writer->purged_at_ms != 0 && monotonic_ms - writer->purged_at_ms < PURGE_INTERVAL_MS)
		return RESULT_OK;
	TRY(purge_table(writer, SQL_PURGE_IDEMPOTENCY, now_ms - IDEMPOTENCY_AGE_MS, note));
	TRY(purge_table(writer, SQL_PURGE_COMMANDS, now_ms - COMMAND_AGE_MS, note));
	TRY(purge_table(writer, SQL_PURGE_ALERTS, now_ms - ALERT_AGE_MS, note));
	TRY(purge_table(writer, SQL_PURGE_OWNERSHIPS, now_ms, note));
	writer->purged_at_ms = monotonic_ms;
	return RESULT_OK;
}

static enum result undo_job(struct sqlite_db *db, struct note *note)
{
	TRY(run_plain(db, SQL_SAVEPOINT_ROLLBACK, note));
	sqlite_db_forget_names(db);
	return run_plain(db, SQL_SAVEPOINT_RELEASE, note);
}

/* The job's own answer goes into the job; what is returned concerns the group. */
static enum result run_job(struct writer *writer, struct writer_job *job, struct note *note)
{
	struct write write = {.db = &writer->db, .now_ms = clock_now_ms(writer->clock), .note = &job->note};

	TRY(run_plain(&writer->db, SQL_SAVEPOINT, note));
	job->result = job->run(job, &write);
	job->conflict = write.conflict;
	if (job->result == RESULT_OK)
		return run_plain(&writer->db, SQL_SAVEPOINT_RELEASE, note);
	if (is_fatal(job->result)) {
		*note = job->note;
		return job->result;
	}
	return undo_job(&writer->db, note);
}

static enum result run_group(struct writer *writer, struct writer_job *jobs, const struct leaf_list *leaves,
			     struct note *note)
{
	if (!writer->db_is_open) {
		/* Whatever hinders it was not so at the start, and may pass. */
		if (sqlite_db_open(writer->path, &writer->options, &writer->db, note) != RESULT_OK)
			return RESULT_UNAVAILABLE;
		writer->db_is_open = true;
	}
	TRY(run_plain(&writer->db, SQL_BEGIN_WRITE, note));
	TRY(delete_leaves(&writer->db, leaves, note));
	TRY(purge_old(writer, note));
	for (struct writer_job *job = jobs; job != NULL; job = job->next)
		TRY(run_job(writer, job, note));
	return run_plain(&writer->db, SQL_COMMIT, note);
}

static void fail_group(struct writer *writer, struct writer_job *jobs, enum result result, const struct note *note)
{
	sqlite_db_rollback(&writer->db);
	/* After an I/O error SQLite may hold on to what it believes of the file; begin anew next time. */
	sqlite_db_close(&writer->db);
	writer->db_is_open = false;
	for (struct writer_job *job = jobs; job != NULL; job = job->next) {
		job->result = result;
		job->conflict = REGISTRY_CONFLICT_NONE;
		job->note = *note;
	}
}

/* ---- forgetting ------------------------------------------------------------------------------------ */

/* Without memory the leaves stay in the outbox: the next start finds them in the log and forgets them then. */
static void leaves_append(struct leaf_list *list, const struct uuid *ids, size_t count)
{
	if (count > list->capacity - list->count) {
		size_t capacity = (list->count + count) * 2;
		struct uuid *grown = realloc(list->ids, capacity * sizeof(*grown));

		if (grown == NULL)
			return;
		list->ids = grown;
		list->capacity = capacity;
	}
	if (count > 0)
		memcpy(&list->ids[list->count], ids, count * sizeof(*ids));
	list->count += count;
}

void writer_forget(struct writer *writer, const struct uuid *leaf_ids, size_t count)
{
	pthread_mutex_lock(&writer->mutex);
	leaves_append(&writer->forgotten, leaf_ids, count);
	pthread_mutex_unlock(&writer->mutex);
}

size_t writer_forgotten(struct writer *writer)
{
	pthread_mutex_lock(&writer->mutex);
	size_t count = writer->forgotten.count;
	pthread_mutex_unlock(&writer->mutex);
	return count;
}

/* ---- the thread ------------------------------------------------------------------------------------ */

static struct writer_job *take_jobs(struct writer *writer)
{
	struct writer_job *jobs = writer->first, **end = &jobs;

	for (size_t i = 0; i < GROUP_JOBS_MAX && *end != NULL; i++)
		end = &(*end)->next;
	writer->first = *end;
	*end = NULL;
	if (writer->first == NULL)
		writer->end = &writer->first;
	return jobs;
}

/* A job lives on its waiter's stack, so it is not touched once the waiter can see the answer. */
static void answer_jobs(struct writer_job *jobs)
{
	while (jobs != NULL) {
		struct writer_job *job = jobs;

		jobs = job->next;
		job->is_answered = true;
		pthread_cond_signal(&job->answered);
	}
}

static void serve_group(struct writer *writer)
{
	struct writer_job *jobs = take_jobs(writer);
	struct leaf_list leaves = writer->forgotten;
	struct note note = {0};

	writer->forgotten = (struct leaf_list){0};
	pthread_mutex_unlock(&writer->mutex);
	enum result result = run_group(writer, jobs, &leaves, &note);
	if (result != RESULT_OK)
		fail_group(writer, jobs, result, &note);
	pthread_mutex_lock(&writer->mutex);
	if (result != RESULT_OK)
		leaves_append(&writer->forgotten, leaves.ids, leaves.count);
	free(leaves.ids);
	answer_jobs(jobs);
}

static void *writer_main(void *context)
{
	struct writer *writer = context;

	pthread_setname_np(pthread_self(), "registry");
	pthread_mutex_lock(&writer->mutex);
	while (!writer->is_stopping || writer->first != NULL) {
		if (writer->first == NULL)
			pthread_cond_wait(&writer->work, &writer->mutex);
		else
			serve_group(writer);
	}
	if (writer->forgotten.count > 0)
		serve_group(writer);
	pthread_mutex_unlock(&writer->mutex);
	return NULL;
}

enum result writer_submit(struct writer *writer, struct writer_job *job, struct note *note)
{
	pthread_cond_init(&job->answered, NULL);
	pthread_mutex_lock(&writer->mutex);
	job->next = NULL;
	*writer->end = job;
	writer->end = &job->next;
	pthread_cond_signal(&writer->work);
	while (!job->is_answered)
		pthread_cond_wait(&job->answered, &writer->mutex);
	pthread_mutex_unlock(&writer->mutex);
	pthread_cond_destroy(&job->answered);
	if (job->result != RESULT_OK)
		note_set(note, "%s", job->note.text);
	return job->result;
}

static void release(struct writer *writer)
{
	sqlite_db_close(&writer->db);
	pthread_cond_destroy(&writer->work);
	pthread_mutex_destroy(&writer->mutex);
	free(writer->forgotten.ids);
	free(writer->path);
	free(writer);
}

enum result writer_open(const char *path, const struct sqlite_db_options *options, struct clock *clock,
			struct writer **ret_writer, struct note *note)
{
	struct writer *writer = calloc(1, sizeof(*writer));

	if (writer == NULL)
		return RESULT_MEMORY;
	writer->options = *options;
	writer->clock = clock;
	writer->end = &writer->first;
	pthread_mutex_init(&writer->mutex, NULL);
	pthread_cond_init(&writer->work, NULL);
	writer->path = strdup(path);
	enum result result = writer->path != NULL ? sqlite_db_open(path, options, &writer->db, note) : RESULT_MEMORY;
	writer->db_is_open = result == RESULT_OK;
	if (result == RESULT_OK && pthread_create(&writer->thread, NULL, writer_main, writer) != 0) {
		note_set(note, "cannot start the registry's thread");
		result = RESULT_UNAVAILABLE;
	}
	if (result != RESULT_OK) {
		release(writer);
		return result;
	}
	*ret_writer = writer;
	return RESULT_OK;
}

void writer_close(struct writer *writer)
{
	if (writer == NULL)
		return;
	pthread_mutex_lock(&writer->mutex);
	writer->is_stopping = true;
	pthread_cond_signal(&writer->work);
	pthread_mutex_unlock(&writer->mutex);
	pthread_join(writer->thread, NULL);
	release(writer);
}
