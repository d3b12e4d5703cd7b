#include "base/pool.h"

#include "../cmocka_all.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

struct counted_job {
	struct pool_job job;
	sem_t *begun;
	sem_t *gate;
	_Atomic int *count;
};

static void run_counted(struct pool_job *job)
{
	struct counted_job *counted = (struct counted_job *)job;
	if (counted->begun)
		sem_post(counted->begun);
	if (counted->gate)
		sem_wait(counted->gate);
	atomic_fetch_add(counted->count, 1);
}

static void every_job_runs_once(void **state)
{
	(void)state;
	static struct counted_job jobs[1000];
	_Atomic int count = 0;
	struct pool *pool = NULL;
	assert_int_equal(pool_open(4, 1000, "test", &pool), RESULT_OK);
	for (size_t i = 0; i < 1000; i++) {
		jobs[i] = (struct counted_job){.job.run = run_counted, .count = &count};
		assert_int_equal(pool_submit(pool, &jobs[i].job), RESULT_OK);
	}
	pool_close(pool); /* finishes what is queued */
	assert_int_equal(atomic_load(&count), 1000);
}

static void full_queue_refuses_at_once(void **state)
{
	(void)state;
	sem_t begun, gate;
	sem_init(&begun, 0, 0);
	sem_init(&gate, 0, 0);
	_Atomic int count = 0;
	struct counted_job jobs[4];
	for (size_t i = 0; i < 4; i++)
		jobs[i] = (struct counted_job){.job.run = run_counted, .begun = &begun, .gate = &gate, .count = &count};
	struct pool *pool = NULL;
	assert_int_equal(pool_open(1, 2, "test", &pool), RESULT_OK);
	assert_int_equal(pool_submit(pool, &jobs[0].job), RESULT_OK);
	sem_wait(&begun); /* the one thread holds it now, the queue is empty */
	assert_int_equal(pool_submit(pool, &jobs[1].job), RESULT_OK);
	assert_int_equal(pool_submit(pool, &jobs[2].job), RESULT_OK);
	assert_int_equal(pool_submit(pool, &jobs[3].job), RESULT_EXHAUSTED);
	for (int i = 0; i < 3; i++)
		sem_post(&gate);
	pool_close(pool);
	assert_int_equal(atomic_load(&count), 3);
	sem_destroy(&begun);
	sem_destroy(&gate);
}

struct look_job {
	struct pool_job job;
	sem_t *done;
	char name[16];
	bool term_blocked;
};

static void look_around(struct pool_job *job)
{
	struct look_job *look = (struct look_job *)job;
	sigset_t blocked;
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	look->term_blocked = sigismember(&blocked, SIGTERM) == 1;
	pthread_getname_np(pthread_self(), look->name, sizeof(look->name));
	sem_post(look->done);
}

static void threads_are_named_and_take_no_signals(void **state)
{
	(void)state;
	sem_t done;
	sem_init(&done, 0, 0);
	struct look_job first = {.job.run = look_around, .done = &done};
	struct look_job second = first;
	struct pool *pool = NULL;
	assert_int_equal(pool_open(1, 2, "conversions-long", &pool), RESULT_OK);
	/* The name is given just after the thread's start: the second look is late enough. */
	assert_int_equal(pool_submit(pool, &first.job), RESULT_OK);
	sem_wait(&done);
	assert_int_equal(pool_submit(pool, &second.job), RESULT_OK);
	pool_close(pool);
	assert_true(second.term_blocked);
	assert_string_equal(second.name, "conversions-0");
	sigset_t blocked;
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	assert_int_equal(sigismember(&blocked, SIGTERM), 0); /* the opener's mask is as before */
	sem_destroy(&done);
}

struct late_job {
	struct pool_job job;
	struct pool *pool;
	struct counted_job *next;
	enum result result;
	sem_t *begun;
	sem_t *gate;
};

static void submit_late(struct pool_job *job)
{
	struct late_job *late = (struct late_job *)job;
	sem_post(late->begun);
	sem_wait(late->gate);
	/* Until the closing is seen; one of these is refused. */
	while ((late->result = pool_submit(late->pool, &late->next->job)) == RESULT_EXHAUSTED)
		;
}

static void *close_pool(void *pool)
{
	pool_close(pool);
	return NULL;
}

static void closing_pool_refuses(void **state)
{
	(void)state;
	sem_t begun, gate;
	sem_init(&begun, 0, 0);
	sem_init(&gate, 0, 0);
	_Atomic int count = 0;
	struct counted_job filler = {.job.run = run_counted, .count = &count};
	struct counted_job next = {.job.run = run_counted, .count = &count};
	struct pool *pool = NULL;
	assert_int_equal(pool_open(1, 1, "test", &pool), RESULT_OK);
	struct late_job late = {.job.run = submit_late, .pool = pool, .next = &next, .begun = &begun, .gate = &gate};
	assert_int_equal(pool_submit(pool, &late.job), RESULT_OK);
	sem_wait(&begun);
	assert_int_equal(pool_submit(pool, &filler.job), RESULT_OK); /* the queue is full: exhausted until closing */
	sem_post(&gate);
	pthread_t closer;
	assert_int_equal(pthread_create(&closer, NULL, close_pool, pool), 0);
	pthread_join(closer, NULL);
	assert_int_equal(late.result, RESULT_UNAVAILABLE);
	assert_int_equal(atomic_load(&count), 1);
	sem_destroy(&begun);
	sem_destroy(&gate);
}

static void bounds_are_checked(void **state)
{
	(void)state;
	struct pool *pool = NULL;
	assert_int_equal(pool_open(0, 1, "test", &pool), RESULT_INVALID);
	assert_int_equal(pool_open(1, 0, "test", &pool), RESULT_INVALID);
	assert_int_equal(pool_open(SIZE_MAX, 1, "test", &pool), RESULT_INVALID);
	assert_null(pool);
	pool_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_runs_once),
		cmocka_unit_test(full_queue_refuses_at_once),
		cmocka_unit_test(threads_are_named_and_take_no_signals),
		cmocka_unit_test(closing_pool_refuses),
		cmocka_unit_test(bounds_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
