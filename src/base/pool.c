#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define THREAD_NAME_SIZE 16 /* the kernel's bound */

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct pool_job *first; /* queued, oldest first */
	struct pool_job **last;
	size_t queued;
	size_t queue_max;
	size_t idle;
	bool closing;
	size_t thread_count;
	pthread_t threads[];
};

/* Waits for a job; NULL when the pool closes and nothing is queued any more. */
static struct pool_job *take_job(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->idle++;
	while (!pool->first && !pool->closing)
		pthread_cond_wait(&pool->wake, &pool->lock);
	pool->idle--;
	struct pool_job *job = pool->first;
	if (job) {
		pool->first = job->next;
		if (!pool->first)
			pool->last = &pool->first;
		pool->queued--;
	}
	pthread_mutex_unlock(&pool->lock);
	return job;
}

static void *run_jobs(void *argument)
{
	struct pool *pool = argument;
	struct pool_job *job = NULL;
	while ((job = take_job(pool)))
		job->run(job); /* the job may be gone when this returns */
	return NULL;
}

/* Signals are for the thread that waits for them: a pool thread is started with all of them blocked. */
static enum result start_threads(struct pool *pool, size_t count, const char *name)
{
	sigset_t all;
	sigset_t before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	enum result result = RESULT_OK;
	while (result == RESULT_OK && pool->thread_count < count) {
		pthread_t *thread = &pool->threads[pool->thread_count];
		if (pthread_create(thread, NULL, run_jobs, pool) != 0) {
			result = RESULT_UNAVAILABLE;
			break;
		}
		char thread_name[THREAD_NAME_SIZE];
		snprintf(thread_name, sizeof(thread_name), "%.11s-%zu", name, pool->thread_count % 1000);
		pthread_setname_np(*thread, thread_name);
		pool->thread_count++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

enum result pool_open(size_t thread_count, size_t queue_max, const char *thread_name, struct pool **ret_pool)
{
	if (thread_count == 0 || thread_count > POOL_THREADS_MAX || queue_max == 0)
		return RESULT_INVALID;
	struct pool *pool = calloc(1, sizeof(*pool) + thread_count * sizeof(pool->threads[0]));
	if (!pool)
		return RESULT_MEMORY;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wake, NULL);
	pool->last = &pool->first;
	pool->queue_max = queue_max;
	enum result result = start_threads(pool, thread_count, thread_name);
	if (result != RESULT_OK) {
		pool_close(pool);
		return result;
	}
	*ret_pool = pool;
	return RESULT_OK;
}

enum result pool_submit(struct pool *pool, struct pool_job *job)
{
	enum result result = RESULT_OK;
	pthread_mutex_lock(&pool->lock);
	if (pool->closing) {
		result = RESULT_UNAVAILABLE;
	} else if (pool->queued == pool->queue_max) {
		result = RESULT_EXHAUSTED;
	} else {
		job->next = NULL;
		*pool->last = job;
		pool->last = &job->next;
		pool->queued++;
	}
	bool wake = result == RESULT_OK && pool->idle > 0;
	pthread_mutex_unlock(&pool->lock);
	if (wake)
		pthread_cond_signal(&pool->wake);
	return result;
}

void pool_close(struct pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	pthread_mutex_unlock(&pool->lock);
	pthread_cond_broadcast(&pool->wake);
	for (size_t i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->wake);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
