/* The thread that reads the spool of events, and offers them in batches until they are taken. */
#include "adapters/gateway/mosquitto_parts.h"

#include "base/arena.h"

#include <time.h>

#define WAIT_MS	       1000
#define BATCH_SIZE_MAX (EVENTS_BATCH_MAX * (EVENT_BODY_SIZE_MAX + 1024))

struct batch {
	struct gateway_event events[EVENTS_BATCH_MAX];
	size_t count;
	struct spool_position after;
	bool has_position;
	struct arena arena; /* of payloads: a record lives only until the next is read */
};

static enum result add(struct batch *batch, const struct spool_record *record)
{
	struct gateway_event *event = &batch->events[batch->count];
	TRY(event_get(record->kind, record->body, event));
	event->at_ms = record->at_ms;
	event->reference_id = record->subject;
	if (event->payload.size > 0) {
		uint8_t *copy = arena_alloc(&batch->arena, event->payload.size);
		if (!copy)
			return RESULT_MEMORY;
		memcpy(copy, event->payload.data, event->payload.size);
		event->payload.data = copy;
	}
	batch->count++;
	return RESULT_OK;
}

static void pause_ms(struct gateway_mosquitto *gateway, int64_t ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms % 1000 * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&gateway->mutex);
	if (!atomic_load(&gateway->is_closing))
		pthread_cond_timedwait(&gateway->closing, &gateway->mutex, &until);
	pthread_mutex_unlock(&gateway->mutex);
}

/* False: there is nothing more for now. */
static bool read_one(struct gateway_mosquitto *gateway, struct batch *batch)
{
	struct spool_record record;
	struct note note = {0};
	struct spool_position after = {0};
	enum result result = spool_read(gateway->reader, &record, &after, &note);
	if (result == RESULT_CORRUPT) {
		gateway_notice(gateway, GATEWAY_NOTICE_EVENTS_DAMAGED, &note);
		return true;
	}
	if (result != RESULT_OK)
		return false;
	/* What there is no memory for now is still in the spool, but the reader has passed it. */
	while ((result = add(batch, &record)) == RESULT_MEMORY && !atomic_load(&gateway->is_closing))
		pause_ms(gateway, EVENTS_RETRY_MS);
	if (result == RESULT_MEMORY)
		return false;
	batch->after = after;
	batch->has_position = true;
	if (result != RESULT_OK) {
		note_set(&note, "a record of kind %u is no event", record.kind);
		gateway_notice(gateway, GATEWAY_NOTICE_EVENTS_DAMAGED, &note);
	}
	return true;
}

static void fill(struct gateway_mosquitto *gateway, struct batch *batch)
{
	batch->count = 0;
	batch->has_position = false;
	arena_reset(&batch->arena);
	while (batch->count < EVENTS_BATCH_MAX && !atomic_load(&gateway->is_closing)) {
		if (!read_one(gateway, batch))
			return;
	}
}

/* RESULT_UNAVAILABLE: the gateway closes. What was not taken comes again at the next start. */
static enum result offer(struct gateway_mosquitto *gateway, const struct batch *batch)
{
	const struct gateway_mosquitto_config *config = &gateway->config;
	int64_t retry_ms = EVENTS_RETRY_MS;
	struct note note = {0};
	while (!atomic_load(&gateway->is_closing)) {
		enum result result = config->events->take(config->events_context, batch->events, batch->count);
		if (result == RESULT_OK)
			return RESULT_OK;
		note_set(&note, "%s", result_name(result));
		gateway_notice(gateway, GATEWAY_NOTICE_EVENTS_DELAYED, &note);
		pause_ms(gateway, retry_ms);
		retry_ms = retry_ms * 2 < EVENTS_RETRY_MAX_MS ? retry_ms * 2 : EVENTS_RETRY_MAX_MS;
	}
	return RESULT_UNAVAILABLE;
}

static void settle(struct gateway_mosquitto *gateway, const struct batch *batch)
{
	struct note note = {0};
	pthread_mutex_lock(&gateway->mutex);
	gateway->status.events += batch->count;
	pthread_mutex_unlock(&gateway->mutex);
	/* If it is not remembered, they come again: a handler must stand that. */
	if (spool_mark(gateway->reader, &batch->after, &note) != RESULT_OK)
		gateway_notice(gateway, GATEWAY_NOTICE_EVENTS_DELAYED, &note);
}

void *gateway_events_main(void *argument)
{
	struct gateway_mosquitto *gateway = argument;
	static _Thread_local struct batch batch;
	batch.arena.size_max = BATCH_SIZE_MAX;
	while (!atomic_load(&gateway->is_closing)) {
		fill(gateway, &batch);
		if (batch.count > 0 && offer(gateway, &batch) != RESULT_OK)
			break;
		if (batch.has_position)
			settle(gateway, &batch);
		else
			spool_wait(gateway->reader, WAIT_MS);
	}
	arena_release(&batch.arena);
	return NULL;
}
