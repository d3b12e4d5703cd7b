#include "base/log.h"
#include "base/secret.h"
#include "fleet/call.h"
#include "fleet/claim_messages.h"

#include <stdio.h>
#include <stdlib.h>

#define THREADS_DEFAULT 8
#define QUEUE_DEFAULT	1024
#define THREADS_MAX	64

/* ---- events ------------------------------------------------------------------------------------------ */

/* One batch: divided by vehicle, so that those of one vehicle stay in order. */
struct round {
	struct fleet *fleet;
	const struct gateway_event *events;
	size_t count, shares;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	size_t running;
	enum result result; /* the first failure */
	struct note note;
};

struct share {
	struct pool_job job; /* first */
	struct round *round;
	size_t number;
};

static size_t share_of(const struct round *round, const struct gateway_event *event)
{
	return event->reference_id.bytes[UUID_SIZE - 1] % round->shares;
}

/* The registry's failure is everybody's: what comes behind it is left for the next attempt. */
static enum result run_share(const struct share *share, struct note *note)
{
	const struct round *round = share->round;

	for (size_t i = 0; i < round->count; i++)
		if (share_of(round, &round->events[i]) == share->number)
			TRY(event_handle(round->fleet, &round->events[i], note));
	return RESULT_OK;
}

static void run_share_job(struct pool_job *job)
{
	struct share *share = (struct share *)job;
	struct round *round = share->round;
	struct note note = {0};
	enum result result = run_share(share, &note);

	pthread_mutex_lock(&round->mutex);
	if (round->result == RESULT_OK && result != RESULT_OK) {
		round->result = result;
		round->note = note;
	}
	round->running--;
	pthread_cond_signal(&round->changed); /* under the lock: the waiter may be gone with the round otherwise */
	pthread_mutex_unlock(&round->mutex);
}

static void run_round(struct round *round)
{
	struct share shares[THREADS_MAX];

	round->running = round->shares;
	for (size_t i = 0; i < round->shares; i++) {
		shares[i] = (struct share){.job = {.run = run_share_job}, .round = round, .number = i};
		/* The last share is this thread's; so is one for which the queue has no room. */
		if (i + 1 == round->shares || pool_submit(round->fleet->events, &shares[i].job) != RESULT_OK)
			run_share_job(&shares[i].job);
	}
	pthread_mutex_lock(&round->mutex);
	while (round->running > 0)
		pthread_cond_wait(&round->changed, &round->mutex);
	pthread_mutex_unlock(&round->mutex);
}

static void tell(struct fleet *fleet, const struct round *round)
{
	bool fails = round->result != RESULT_OK;
	bool failed = atomic_exchange(&fleet->is_failing, fails);

	if (fails && !failed)
		log_event(LOG_ERROR, "gateway-events", "%s: %s", result_name(round->result), round->note.text);
	else if (!fails && failed)
		log_event(LOG_INFO, "gateway-events", "are handled again");
}

static enum result take(void *context, const struct gateway_event *events, size_t count)
{
	struct fleet *fleet = context;
	struct round round = {
		.fleet = fleet,
		.events = events,
		.count = count,
		.shares = count < fleet->config.threads ? count : fleet->config.threads,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};

	if (count == 0)
		return RESULT_OK;
	run_round(&round);
	tell(fleet, &round);
	pthread_cond_destroy(&round.changed);
	pthread_mutex_destroy(&round.mutex);
	return round.result;
}

/* ---- claims' messages -------------------------------------------------------------------------------- */

struct claim_job {
	struct pool_job job; /* first */
	struct fleet *fleet;
	struct gateway_claim_message message; /* its payload follows */
	size_t size;
	uint8_t payload[];
};

static void claim_job_free(struct claim_job *job)
{
	secret_wipe(job, job->size);
	free(job);
}

static void run_claim_job(struct pool_job *pool_job)
{
	struct claim_job *job = (struct claim_job *)pool_job;

	fleet_provisioning_take(job->fleet, &job->message);
	claim_job_free(job);
}

static struct claim_job *copy_message(struct fleet *fleet, const struct gateway_claim_message *message)
{
	size_t size = sizeof(struct claim_job) + message->payload.size;
	struct claim_job *job = malloc(size);

	if (job == NULL)
		return NULL;
	*job = (struct claim_job){.job = {.run = run_claim_job}, .fleet = fleet, .message = *message, .size = size};
	if (message->payload.size > 0)
		memcpy(job->payload, message->payload.data, message->payload.size);
	job->message.payload = span_of(job->payload, message->payload.size);
	return job;
}

static void take_claim(void *context, const struct gateway_claim_message *message)
{
	struct fleet *fleet = context;
	struct claim_job *job = copy_message(fleet, message);

	if (job != NULL && pool_submit(fleet->claims, &job->job) == RESULT_OK)
		return;
	if (job != NULL)
		claim_job_free(job);
	fleet_provisioning_refuse(fleet, message, PROBLEM_RATE_LIMITED);
}

const struct gateway_events fleet_events = {.take = take, .take_claim = take_claim};

/* ---- opening ----------------------------------------------------------------------------------------- */

static size_t or_default(size_t value, size_t otherwise)
{
	return value != 0 ? value : otherwise;
}

/* A round has at most one job a thread. */
static enum result open_pools(struct fleet *fleet)
{
	const struct fleet_config *config = &fleet->config;

	TRY(pool_open(config->threads, config->threads, "fleet", &fleet->events));
	return pool_open(config->threads, config->queue_max, "claims", &fleet->claims);
}

enum result fleet_open(const struct fleet_config *config, struct fleet **ret_fleet, struct note *note)
{
	struct fleet *fleet = calloc(1, sizeof(*fleet));

	if (fleet == NULL)
		return RESULT_MEMORY;
	fleet->config = *config;
	fleet->config.threads = or_default(config->threads, THREADS_DEFAULT);
	if (fleet->config.threads > THREADS_MAX)
		fleet->config.threads = THREADS_MAX;
	fleet->config.queue_max = or_default(config->queue_max, QUEUE_DEFAULT);
	fleet->platform = config->platform;
	pthread_mutex_init(&fleet->assigned_mutex, NULL);
	fleet->assigned = calloc(FLEET_ASSIGNED_MAX, sizeof(*fleet->assigned));
	if (fleet->assigned == NULL || open_pools(fleet) != RESULT_OK) {
		note_set(note, "cannot start the fleet's threads");
		fleet_close(fleet);
		return RESULT_UNAVAILABLE;
	}
	*ret_fleet = fleet;
	return RESULT_OK;
}

void fleet_close(struct fleet *fleet)
{
	if (fleet == NULL)
		return;
	pool_close(fleet->events);
	pool_close(fleet->claims);
	pthread_mutex_destroy(&fleet->assigned_mutex);
	free(fleet->assigned);
	free(fleet);
}

const struct fleet_counters *fleet_get_counters(const struct fleet *fleet)
{
	return &fleet->counters;
}
