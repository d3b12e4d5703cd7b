/*
 * The plugin's state, and what it does at each of the broker's events, told in plain values: plugin.c alone knows the
 * broker. One thread, the broker's. Nothing here waits.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_GATEWAY_H
#define VINVEIL_MOSQUITTO_PLUGIN_GATEWAY_H

#include "base/clock.h"
#include "programs/mosquitto-plugin/claim_channel.h"
#include "programs/mosquitto-plugin/deliveries.h"
#include "programs/mosquitto-plugin/deny_list.h"
#include "programs/mosquitto-plugin/options.h"
#include "programs/mosquitto-plugin/sessions.h"
#include "programs/mosquitto-plugin/spooling.h"

/* What the broker does for the plugin. */
struct broker_ops {
	void (*kick)(void *context, const char *client_id);
	/* client_id NULL: to whoever has subscribed to the topic */
	void (*publish)(void *context, const char *client_id, const char *topic, struct span payload, int qos);
	int (*count_subscriptions)(void *context, const void *client);
	void (*log)(void *context, bool is_warning, const char *text);
};

#define LOG_LINES_MAX 20 /* a second */

/* A vehicle that came back to a session which had subscribed to command requests; judged when the broker is done. */
#define RESUMPTIONS_MAX 1024
struct resumption {
	const void *client;
	uint64_t number;
};

struct gateway {
	const struct plugin_options *options;
	const struct broker_ops *broker;
	void *broker_context;
	struct clock *clock;
	uint8_t token[GATEWAY_TOKEN_SIZE];
	struct deny_list deny_list;
	struct sessions sessions;
	struct flood_left flood_left, direct_left;
	struct key_set commanded; /* vehicles whose last session had subscribed to command requests */
	struct resumption resumptions[RESUMPTIONS_MAX];
	size_t resumption_count;
	struct spooling spooling;
	struct claim_channel *channel;
	struct deliveries deliveries;
	struct plugin_counters counters;
	int64_t told_at_ms;	  /* monotonic: when counters were told, and dates looked at */
	uint64_t refusals_told;	  /* of the spools */
	int64_t refusals_told_ms; /* monotonic; 0: never */
	int log_tokens;		  /* lines that may still be written in this second */
	bool is_reloading;	  /* until the end of this turn */
};

/* Opens spools and channel. options: borrowed for the gateway's life. */
MUST_USE enum result gateway_open(struct gateway *gateway, const struct plugin_options *options,
				  const struct broker_ops *broker, void *broker_context, struct note *note);
void gateway_close(struct gateway *gateway);

/* What the broker is to do. */
enum verdict {
	VERDICT_ALLOW,
	VERDICT_DENY, /* refused, and the connection stays */
	VERDICT_CUT,  /* refused without an acknowledgement: the connection ends, and the client sends again */
};

/* ---- admission.c ---------------------------------------------------------------------------------------------- */

struct arrival {
	const void *client;
	const char *client_id; /* may be NULL */
	const char *address;
	bool is_clean;
	const struct peer_certificate *certificate; /* NULL: none */
	const char *user_name, *password;	    /* may be NULL */
};

/* Also of one that is here already, as the broker asks when it reloads its settings: that changes nothing. */
bool gateway_admit(struct gateway *gateway, const struct arrival *arrival);
/* From here to the end of the turn the broker asks about everybody it knows, also about sessions that sleep. */
void gateway_reload(struct gateway *gateway);
void gateway_lose(struct gateway *gateway, const void *client);
/* Ends the live session; the broker may tell of it at once, and then it is gone when this returns. */
void gateway_kick(struct gateway *gateway, struct session *session);

/* ---- traffic.c ------------------------------------------------------------------------------------------------ */

struct publication {
	const void *client;
	const char *topic;
	uint8_t *payload; /* NULL when empty */
	size_t size;
	bool is_retained;
	bool knows_reasons; /* MQTT 5: a refusal reaches the client */
};

enum verdict gateway_judge_publish(struct gateway *gateway, const struct publication *publication);
enum verdict gateway_judge_subscribe(struct gateway *gateway, const void *client, const char *filter);
enum verdict gateway_judge_unsubscribe(struct gateway *gateway, const void *client, const char *filter);
bool gateway_may_read(const struct gateway *gateway, const void *client, const char *topic);
/* One that was allowed. *ret_is_consumed: the payload is secret, has been copied, and must not live on in the broker.
 */
enum verdict gateway_take(struct gateway *gateway, const struct publication *publication, bool *ret_is_consumed);

/* ---- control.c ------------------------------------------------------------------------------------------------ */

void gateway_control(struct gateway *gateway, const void *client, struct span payload);
/* At the end of each of the broker's turns. */
void gateway_tick(struct gateway *gateway);

/* ---- for all of them ------------------------------------------------------------------------------------------ */

void gateway_log(struct gateway *gateway, bool is_warning, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
MUST_USE enum result gateway_record(struct gateway *gateway, const struct session *session,
				    enum gateway_event_kind kind);

#endif
