#include "programs/mosquitto-plugin/deliveries.h"

#include "base/secret.h"

#include <stdlib.h>

struct delivery {
	struct delivery *next;
	bool is_answer;
	bool only_when_ready;
	uint64_t connection;
	struct uuid reference_id;
	char client_id[GATEWAY_CLIENT_ID_SIZE];
	char topic[GATEWAY_TOPIC_SIZE];
	size_t size;
	uint8_t payload[];
};

void deliveries_add(struct deliveries *deliveries, const struct control_frame *frame)
{
	size_t size = sizeof(struct delivery) + frame->payload.size;
	if (deliveries->count >= DELIVERIES_MAX || deliveries->bytes + size > DELIVERIES_BYTES_MAX) {
		deliveries->dropped++;
		return;
	}
	struct delivery *delivery = calloc(1, size);
	if (!delivery) {
		deliveries->dropped++;
		return;
	}
	delivery->is_answer = frame->kind == CONTROL_ANSWER;
	delivery->only_when_ready = frame->only_when_ready;
	delivery->connection = frame->connection;
	delivery->reference_id = frame->reference_id;
	memcpy(delivery->client_id, frame->client_id, sizeof(delivery->client_id));
	memcpy(delivery->topic, frame->topic, sizeof(delivery->topic));
	delivery->size = frame->payload.size;
	if (delivery->size > 0)
		memcpy(delivery->payload, frame->payload.data, delivery->size);
	if (!deliveries->first)
		deliveries->last = &deliveries->first;
	*deliveries->last = delivery;
	deliveries->last = &delivery->next;
	deliveries->count++;
	deliveries->bytes += size;
}

static struct delivery *take(struct deliveries *deliveries)
{
	struct delivery *delivery = deliveries->first;
	if (!delivery)
		return NULL;
	deliveries->first = delivery->next;
	deliveries->count--;
	deliveries->bytes -= sizeof(*delivery) + delivery->size;
	return delivery;
}

static void delivery_free(struct delivery *delivery)
{
	secret_wipe(delivery->payload, delivery->size);
	free(delivery);
}

static struct session *find_addressee(const struct sessions *sessions, const struct delivery *delivery)
{
	struct session *session = delivery->is_answer ? sessions_find_name(sessions, delivery->client_id)
						      : sessions_find_vehicle(sessions, &delivery->reference_id);
	if (!session || session->was_kicked)
		return NULL;
	if (delivery->is_answer && session->number != delivery->connection)
		return NULL;
	if (delivery->only_when_ready && !session->is_ready)
		return NULL;
	return session;
}

/* Whoever has provisioned had read the token in an earlier answer: he takes what he is sent. */
static bool shows_reading(const struct delivery *delivery)
{
	static const char end[] = "/provision/json/accepted";
	size_t length = strlen(delivery->topic);
	return delivery->is_answer && length >= sizeof(end) - 1 &&
	       strcmp(delivery->topic + length - (sizeof(end) - 1), end) == 0;
}

static bool has_room(struct session *session, const struct delivery *delivery, int64_t now_ms)
{
	if (shows_reading(delivery))
		flood_bucket_fill(&session->direct, &DELIVERIES_DIRECT, now_ms);
	return delivery->only_when_ready ||
	       flood_bucket_take(&session->direct, &DELIVERIES_DIRECT, delivery->size, now_ms);
}

/*
 * Answers go at QoS 0: at QoS 1 what is not acknowledged would be kept in the session, and given to the next connection
 * that resumes it.
 */
void deliveries_flush(struct deliveries *deliveries, const struct sessions *sessions, int64_t now_ms,
		      void (*publish)(void *context, const char *client_id, const char *topic, struct span payload,
				      int qos),
		      void *context)
{
	for (struct delivery *delivery = take(deliveries); delivery; delivery = take(deliveries)) {
		struct session *session = find_addressee(sessions, delivery);
		if (session && has_room(session, delivery, now_ms))
			publish(context, delivery->only_when_ready ? NULL : session->client_id, delivery->topic,
				span_of(delivery->payload, delivery->size), delivery->is_answer ? 0 : 1);
		else
			deliveries->dropped++;
		delivery_free(delivery);
	}
}

void deliveries_release(struct deliveries *deliveries)
{
	for (struct delivery *delivery = take(deliveries); delivery; delivery = take(deliveries))
		delivery_free(delivery);
}
