/* What is published, subscribed to and delivered. */
#include "programs/mosquitto-plugin/gateway.h"

#include "programs/mosquitto-plugin/mask.h"
#include "programs/mosquitto-plugin/topics.h"

#define SUBSCRIPTIONS_MAX 64
#define COMMANDED_MAX	  ((size_t)1 << 20)
/* What is sent to a vehicle that becomes ready counts as so much of its own; it may be more. */
#define RESEND_SIZE ((size_t)64 << 10)

/* Whoever was superseded or kicked, or is not there at all (a last will), may do nothing. */
static struct session *find_active(const struct gateway *gateway, const void *client)
{
	struct session *session = sessions_find(&gateway->sessions, client);
	return session && !session->is_superseded && !session->was_kicked ? session : NULL;
}

static bool is_too_fast(struct gateway *gateway, struct session *session, size_t size)
{
	if (session->identity.kind == IDENTITY_PLATFORM ||
	    flood_bucket_take(&session->bucket, &gateway->options->flood, size, clock_monotonic_ms(gateway->clock)))
		return false;
	gateway->counters.flooded++;
	/* A vehicle's client ID is its Reference ID; a claim's is whatever it likes, and not for the log. */
	bool is_vehicle = session->identity.kind == IDENTITY_VEHICLE;
	gateway_log(gateway, true, "vinveil: too many messages%s%s from %.64s: disconnected",
		    is_vehicle ? " of vehicle " : "", is_vehicle ? session->client_id : "", session->address);
	return true;
}

/* ---- publishing ----------------------------------------------------------------------------------------------- */

/* The broker remembers names as long as sessions last. */
static bool has_vin(const char *name)
{
	return mask_count(span_of(name, strlen(name))) > 0;
}

static enum topic_use use_of(const struct gateway *gateway, const struct session *session, const char *topic,
			     struct uuid *ret_command_id)
{
	if (session->identity.kind == IDENTITY_VEHICLE && !has_vin(topic))
		return topic_of_vehicle(&session->identity.reference_id, topic, ret_command_id);
	if (session->identity.kind == IDENTITY_CLAIM)
		return topic_of_claim(gateway->options->template_name, topic);
	return TOPIC_REFUSED;
}

/* MQTT 3 has no refusal but the end: it would take an acknowledgement for what it is not. */
static enum verdict refuse(const struct publication *publication)
{
	return publication->knows_reasons ? VERDICT_DENY : VERDICT_CUT;
}

enum verdict gateway_judge_publish(struct gateway *gateway, const struct publication *publication)
{
	struct session *session = find_active(gateway, publication->client);
	struct uuid command_id;
	if (!session)
		return VERDICT_DENY;
	if (session->identity.kind == IDENTITY_PLATFORM)
		return strcmp(publication->topic, GATEWAY_CONTROL_TOPIC) == 0 ? VERDICT_ALLOW : VERDICT_DENY;
	if (is_too_fast(gateway, session, publication->size))
		return VERDICT_CUT;
	enum topic_use use = use_of(gateway, session, publication->topic, &command_id);
	if (use == TOPIC_REFUSED)
		return VERDICT_DENY;
	if (publication->is_retained || publication->size > GATEWAY_PAYLOAD_MAX)
		return refuse(publication);
	return VERDICT_ALLOW;
}

/* What a vehicle publishes to itself waits in the broker's memory until it has taken it. */
static enum verdict pass_on(struct gateway *gateway, const struct publication *publication)
{
	gateway->spooling.masked += mask_text(publication->payload, publication->size);
	gateway->spooling.masked += mask_binary(publication->payload, publication->size);
	return VERDICT_ALLOW;
}

static enum verdict take_event(struct gateway *gateway, const struct session *session, enum gateway_event_kind kind,
			       const struct uuid *command_id, const struct publication *publication)
{
	gateway->spooling.masked += kind == GATEWAY_CHECKIN ? mask_binary(publication->payload, publication->size)
							    : mask_text(publication->payload, publication->size);
	const struct gateway_event event = {
		.kind = kind,
		.at_ms = clock_now_ms(gateway->clock),
		.reference_id = session->identity.reference_id,
		.serial = session->identity.serial,
		.command_id = *command_id,
		.payload = span_of(publication->payload, publication->size),
	};
	return spooling_event(&gateway->spooling, &event) == RESULT_OK ? VERDICT_ALLOW : VERDICT_CUT;
}

static enum verdict take_signals(struct gateway *gateway, const struct session *session,
				 enum telemetry_record_kind kind, const struct publication *publication)
{
	enum result result = spooling_telemetry(&gateway->spooling, kind, &session->identity.reference_id,
						clock_now_ms(gateway->clock), publication->payload, publication->size);
	return result == RESULT_OK ? VERDICT_ALLOW : VERDICT_CUT;
}

static enum verdict take_claim(struct gateway *gateway, const struct session *session, enum topic_use use,
			       const struct publication *publication)
{
	struct gateway_claim_message message = {
		.request = use == TOPIC_PROVISION ? GATEWAY_PROVISION : GATEWAY_CREATE_FROM_CSR,
		.caller.connection = session->number,
		.serial = session->identity.serial,
		.payload = span_of(publication->payload, publication->size),
	};
	memcpy(message.caller.client_id, session->client_id, strlen(session->client_id) + 1);
	memcpy(message.address, session->address, sizeof(message.address));
	if (use == TOPIC_PROVISION)
		memcpy(message.template_name, gateway->options->template_name, sizeof(message.template_name));
	if (claim_channel_put(gateway->channel, &message) == RESULT_OK)
		return VERDICT_ALLOW;
	gateway->counters.claims_dropped++;
	return VERDICT_CUT;
}

enum verdict gateway_take(struct gateway *gateway, const struct publication *publication, bool *ret_is_consumed)
{
	struct session *session = find_active(gateway, publication->client);
	struct uuid command_id = {0};
	enum topic_use use = session ? use_of(gateway, session, publication->topic, &command_id) : TOPIC_REFUSED;
	*ret_is_consumed = use == TOPIC_CREATE_FROM_CSR || use == TOPIC_PROVISION;
	switch (use) {
	case TOPIC_OWN:
		return pass_on(gateway, publication);
	case TOPIC_SIGNALS_JSON:
		return take_signals(gateway, session, TELEMETRY_RECORD_JSON, publication);
	case TOPIC_SIGNALS_FLEETWISE:
		return take_signals(gateway, session, TELEMETRY_RECORD_FLEETWISE, publication);
	case TOPIC_CHECKIN:
		return take_event(gateway, session, GATEWAY_CHECKIN, &command_id, publication);
	case TOPIC_COMMAND_RESPONSE:
		return take_event(gateway, session, GATEWAY_COMMAND_RESPONSE, &command_id, publication);
	case TOPIC_CREATE_FROM_CSR:
	case TOPIC_PROVISION:
		return take_claim(gateway, session, use, publication);
	case TOPIC_REFUSED:
		break;
	}
	return VERDICT_DENY;
}

/* ---- subscribing ---------------------------------------------------------------------------------------------- */

/* A vehicle that is ready is sent what waits for it; if that cannot be told, it must subscribe again. */
static enum verdict become_ready(struct gateway *gateway, struct session *session)
{
	if (gateway_record(gateway, session, GATEWAY_VEHICLE_READY) != RESULT_OK)
		return VERDICT_CUT;
	session->is_ready = true;
	const uint8_t *key = session->identity.reference_id.bytes;
	if (gateway->commanded.count < COMMANDED_MAX && key_set_add(&gateway->commanded, key) != RESULT_OK)
		return VERDICT_CUT;
	return VERDICT_ALLOW;
}

enum verdict gateway_judge_subscribe(struct gateway *gateway, const void *client, const char *filter)
{
	struct session *session = find_active(gateway, client);
	if (!session)
		return VERDICT_DENY;
	bool is_vehicle = session->identity.kind == IDENTITY_VEHICLE;
	bool takes_commands = is_vehicle && filter_takes_commands(&session->identity.reference_id, filter);
	if (is_too_fast(gateway, session, takes_commands ? RESEND_SIZE : strlen(filter)))
		return VERDICT_CUT;
	if (session->identity.kind == IDENTITY_CLAIM)
		return claim_may_subscribe(gateway->options->template_name, filter) ? VERDICT_ALLOW : VERDICT_DENY;
	if (!is_vehicle || !vehicle_may_subscribe(&session->identity.reference_id, filter) || has_vin(filter) ||
	    gateway->broker->count_subscriptions(gateway->broker_context, client) >= SUBSCRIPTIONS_MAX)
		return VERDICT_DENY;
	return takes_commands ? become_ready(gateway, session) : VERDICT_ALLOW;
}

/* Never refused, but for its pace: the broker has as much to do for one as for a small message. */
enum verdict gateway_judge_unsubscribe(struct gateway *gateway, const void *client, const char *filter)
{
	struct session *session = find_active(gateway, client);
	if (!session)
		return VERDICT_ALLOW;
	if (is_too_fast(gateway, session, strlen(filter)))
		return VERDICT_CUT;
	if (session->identity.kind != IDENTITY_VEHICLE ||
	    !filter_takes_commands(&session->identity.reference_id, filter))
		return VERDICT_ALLOW;
	session->is_ready = false;
	key_set_remove(&gateway->commanded, session->identity.reference_id.bytes);
	return VERDICT_ALLOW;
}

/* Through a subscription comes what a vehicle has published itself, and its commands. */
bool gateway_may_read(const struct gateway *gateway, const void *client, const char *topic)
{
	const struct session *session = find_active(gateway, client);
	return session && session->identity.kind == IDENTITY_VEHICLE &&
	       vehicle_may_read(&session->identity.reference_id, topic);
}
