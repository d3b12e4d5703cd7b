/*
 * A fixed set of threads and a bounded queue of jobs. A full queue refuses at once (RESULT_EXHAUSTED), so
 * that overload becomes a 503 and not memory. Jobs are intrusive: the caller owns the struct pool_job and
 * keeps it until run() is called; nothing is allocated on submit.
 */
#ifndef VINVEIL_BASE_POOL_H
#define VINVEIL_BASE_POOL_H

#include "base/result.h"

#include <stddef.h>

struct pool;

struct pool_job {
	void (*run)(struct pool_job *job);
	struct pool_job *next;
};

#define POOL_THREADS_MAX 256

/*
 * At least one thread and one place in the queue, else RESULT_INVALID. Threads are named "thread_name-0", …
 * (the name cut to 11 characters) and run with all signals blocked.
 */
MUST_USE enum result pool_open(size_t thread_count, size_t queue_max, const char *thread_name, struct pool **ret_pool);
/* From any thread. RESULT_EXHAUSTED: the queue is full; RESULT_UNAVAILABLE: the pool is closing. */
MUST_USE enum result pool_submit(struct pool *pool, struct pool_job *job);
/* Finishes what is queued, joins the threads, frees; NULL is allowed. */
void pool_close(struct pool *pool);

#endif
