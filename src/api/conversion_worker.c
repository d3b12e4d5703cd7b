#include "api/conversion_worker.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

/* As many as go to the key service at once, and to the log as one. */
#define GROUP_MAX KEY_INDEX_BATCH_MAX

struct conversion_worker {
	struct api *api;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct http_exchange *first, *last;
	bool is_closing;
	struct conversion conversions[GROUP_MAX];
	struct audit_leaf leaves[GROUP_MAX];
};

/* ---- one group -------------------------------------------------------------------------------------- */

/* Unlinks at most GROUP_MAX exchanges from the list. */
static struct http_exchange *cut_group(struct http_exchange **list, size_t *ret_count)
{
	struct http_exchange *first = *list, *at = first;
	size_t count = 1;
	while (count < GROUP_MAX && at->next != NULL) {
		at = at->next;
		count++;
	}
	*list = at->next;
	at->next = NULL;
	*ret_count = count;
	return first;
}

static enum problem write_reference_id(struct call *call)
{
	struct json_writer writer;
	answer_json(call, 200, &writer);
	json_object_begin(&writer);
	json_member_uuid(&writer, "referenceId", &call->conversion.ret_reference_id);
	json_object_end(&writer);
	return answer_end(&writer);
}

static enum result answer_one(struct call *call, const struct conversion *done, const struct note *note,
			      struct audit_leaf *ret_leaf)
{
	call->conversion.ret_problem = done->ret_problem;
	call->conversion.ret_reference_id = done->ret_reference_id;
	conversion_note(&call->conversion, &call->event);
	if (done->ret_problem == PROBLEM_NONE) {
		call_fill(call, write_reference_id(call));
	} else {
		call->flow.note = *note;
		call_fill(call, done->ret_problem);
	}
	return audit_format(call->api->platform, &call->event, &call->exchange->arena, ret_leaf);
}

/* On the log's thread: the whole group is durable, or surely is not. */
static void group_done(void *context, enum result result, uint64_t first_index)
{
	(void)first_index;
	for (struct http_exchange *exchange = context, *next; exchange != NULL; exchange = next) {
		next = exchange->next;
		call_release_answer(call_of(exchange), result);
	}
}

static void run_group(struct conversion_worker *worker, struct http_exchange *first, size_t count)
{
	const struct platform *platform = worker->api->platform;
	struct note note = {0};
	enum result result = RESULT_OK;
	size_t i = 0;

	for (struct http_exchange *at = first; at != NULL; at = at->next, i++) {
		worker->conversions[i] = call_of(at)->conversion;
		secret_wipe(&call_of(at)->conversion.hashed_vin, sizeof(struct hashed_vin));
	}
	conversion_run(platform, worker->conversions, count, &note);
	i = 0;
	for (struct http_exchange *at = first; at != NULL && result == RESULT_OK; at = at->next, i++)
		result = answer_one(call_of(at), &worker->conversions[i], &note, &worker->leaves[i]);
	atomic_fetch_add_explicit(&worker->api->counters.conversion_batches, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&worker->api->counters.conversions, count, memory_order_relaxed);
	if (result == RESULT_OK)
		result = platform->audit->ops->append(platform->audit, worker->leaves, count, group_done, first);
	if (result != RESULT_OK)
		group_done(first, result, 0);
}

/* ---- the thread ------------------------------------------------------------------------------------- */

static struct http_exchange *wait_for_list(struct conversion_worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	while (worker->first == NULL && !worker->is_closing)
		pthread_cond_wait(&worker->wake, &worker->lock);
	struct http_exchange *list = worker->first;
	worker->first = worker->last = NULL;
	pthread_mutex_unlock(&worker->lock);
	return list;
}

static void *run(void *context)
{
	struct conversion_worker *worker = context;
	struct http_exchange *list;
	/*
	 * Whoever fills the list is not preempted for it: on a core of its own this thread starts at once, on a shared
	 * one it starts when the loop has nothing more to read, and takes more at a time. A wish: a refusal costs
	 * speed.
	 */
	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &(struct sched_param){0});
	while ((list = wait_for_list(worker)) != NULL) {
		while (list != NULL) {
			size_t count;
			struct http_exchange *first = cut_group(&list, &count);
			run_group(worker, first, count);
		}
		secret_scrub_stack();
	}
	return NULL;
}

enum result conversion_worker_open(struct api *api, struct conversion_worker **ret_worker)
{
	struct conversion_worker *worker = calloc(1, sizeof *worker);
	if (worker == NULL)
		return RESULT_MEMORY;
	worker->api = api;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->wake, NULL);
	if (pthread_create(&worker->thread, NULL, run, worker) != 0) {
		free(worker);
		return RESULT_MEMORY;
	}
	pthread_setname_np(worker->thread, "conversion");
	*ret_worker = worker;
	return RESULT_OK;
}

void conversion_worker_submit(struct conversion_worker *worker, struct http_exchange *first, struct http_exchange *last)
{
	pthread_mutex_lock(&worker->lock);
	bool was_empty = worker->first == NULL;
	if (was_empty)
		worker->first = first;
	else
		worker->last->next = first;
	worker->last = last;
	if (was_empty)
		pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
}

void conversion_worker_close(struct conversion_worker *worker)
{
	if (worker == NULL)
		return;
	pthread_mutex_lock(&worker->lock);
	worker->is_closing = true;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	pthread_cond_destroy(&worker->wake);
	pthread_mutex_destroy(&worker->lock);
	secret_wipe(worker->conversions, sizeof worker->conversions);
	free(worker);
}
