/*
 * The one thread that writes (group commit): it takes every change that waits, runs each in a savepoint of its own
 * within one transaction, commits, and answers all. A change that is refused leaves the others alone; when the disk
 * fails, none of the group happened and the next group tries anew with a fresh connection.
 */
#ifndef VINVEIL_ADAPTERS_REGISTRY_SQLITE_WRITER_H
#define VINVEIL_ADAPTERS_REGISTRY_SQLITE_WRITER_H

#include "adapters/registry/sqlite_write.h"

#include <pthread.h>

/* A change that waits for its turn; on the stack of the thread that waits for it. */
struct writer_job {
	/* On the writer's thread, within the transaction. */
	enum result (*run)(struct writer_job *job, struct write *write);
	enum result result;
	enum registry_conflict conflict;
	struct note note;
	bool is_answered;
	pthread_cond_t answered;
	struct writer_job *next;
};

struct writer;

MUST_USE enum result writer_open(const char *path, const struct sqlite_db_options *options, struct clock *clock,
				 struct writer **ret_writer, struct note *note);
/* Runs the job and returns when it is durable, or surely not done. */
MUST_USE enum result writer_submit(struct writer *writer, struct writer_job *job, struct note *note);
/* The next group deletes these leaves from the outbox. Never blocks. */
void writer_forget(struct writer *writer, const struct uuid *leaf_ids, size_t count);
/* How many leaves wait to be deleted. */
size_t writer_forgotten(struct writer *writer);
/* Runs what is queued, deletes the leaves to be forgotten, ends the thread. NULL is allowed. */
void writer_close(struct writer *writer);

#endif
