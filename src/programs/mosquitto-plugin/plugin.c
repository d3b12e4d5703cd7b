/*
 * mosquitto_vinveil.so: the broker's events, told to the gateway in plain values, and what the gateway wants done, told
 * to the broker. Mosquitto 2.0, plugin API version 5. The only file here that knows the broker.
 */
#include "programs/mosquitto-plugin/gateway.h"

#include "base/secret.h"

#include <stdlib.h>

/* Its entry points must be found; everything else stays inside. */
#pragma GCC visibility push(default)
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#pragma GCC visibility pop

#define MQTT_5 5

struct plugin {
	struct plugin_options options;
	struct gateway gateway;
	mosquitto_plugin_id_t *identifier;
};

/* ---- what the gateway wants ----------------------------------------------------------------------------------- */

static void kick(void *context, const char *client_id)
{
	(void)context;
	mosquitto_kick_client_by_clientid(client_id, false);
}

static void publish(void *context, const char *client_id, const char *topic, struct span payload, int qos)
{
	(void)context;
	static const uint8_t nothing;
	int failure = mosquitto_broker_publish_copy(client_id, topic, (int)payload.size,
						    payload.size > 0 ? payload.data : &nothing, qos, false, NULL);
	if (failure != MOSQ_ERR_SUCCESS)
		mosquitto_log_printf(MOSQ_LOG_WARNING, "vinveil: a message could not be delivered: %s",
				     mosquitto_strerror(failure));
}

static int count_subscriptions(void *context, const void *client)
{
	(void)context;
	return mosquitto_client_sub_count(client);
}

static void write_log(void *context, bool is_warning, const char *text)
{
	(void)context;
	mosquitto_log_printf(is_warning ? MOSQ_LOG_WARNING : MOSQ_LOG_NOTICE, "%s", text);
}

static const struct broker_ops broker_ops = {
	.kick = kick,
	.publish = publish,
	.count_subscriptions = count_subscriptions,
	.log = write_log,
};

/* ---- connections ---------------------------------------------------------------------------------------------- */

static bool admit(struct gateway *gateway, const struct mosquitto_evt_basic_auth *event,
		  const struct peer_certificate *certificate)
{
	const char *address = mosquitto_client_address(event->client);
	const struct arrival arrival = {
		.client = event->client,
		.client_id = mosquitto_client_id(event->client),
		.address = address ? address : "",
		.is_clean = mosquitto_client_clean_session(event->client),
		.certificate = certificate,
		.user_name = certificate ? NULL : event->username,
		.password = certificate ? NULL : event->password,
	};
	return gateway_admit(gateway, &arrival);
}

/*
 * Whatever user name a client gives is wiped, for it may be a VIN, and its client ID put in its place: whoever has none
 * is disconnected when the broker reloads its settings.
 */
static bool admit_certified(struct gateway *gateway, const struct mosquitto_evt_basic_auth *event, void *x509)
{
	struct peer_certificate certificate;
	const char *client_id = mosquitto_client_id(event->client);
	if (event->username)
		secret_wipe(event->username, strlen(event->username));
	return client_id && *client_id != '\0' && peer_certificate_read(x509, &certificate) == RESULT_OK &&
	       mosquitto_set_username(event->client, client_id) == MOSQ_ERR_SUCCESS &&
	       admit(gateway, event, &certificate);
}

static int on_basic_auth(int kind, void *event_data, void *context)
{
	struct gateway *gateway = context;
	const struct mosquitto_evt_basic_auth *event = event_data;
	(void)kind;
	void *x509 = mosquitto_client_certificate(event->client);
	bool is_admitted = x509 ? admit_certified(gateway, event, x509) : admit(gateway, event, NULL);
	peer_certificate_release(x509);
	return is_admitted ? MOSQ_ERR_SUCCESS : MOSQ_ERR_AUTH;
}

/* MQTT 5's own authentication would pass on_basic_auth by. */
static int on_ext_auth(int kind, void *event_data, void *context)
{
	(void)kind;
	(void)event_data;
	struct gateway *gateway = context;
	gateway->counters.refused++;
	return MOSQ_ERR_AUTH;
}

static int on_reload(int kind, void *event_data, void *context)
{
	(void)kind;
	(void)event_data;
	gateway_reload(context);
	return MOSQ_ERR_SUCCESS;
}

static int on_disconnect(int kind, void *event_data, void *context)
{
	const struct mosquitto_evt_disconnect *event = event_data;
	(void)kind;
	gateway_lose(context, event->client);
	return MOSQ_ERR_SUCCESS;
}

/* ---- traffic -------------------------------------------------------------------------------------------------- */

/* MOSQ_ERR_ACL_DENIED leaves the connection; MOSQ_ERR_UNKNOWN ends it without an acknowledgement (MQTT 5: 0x80). */
static int outcome(enum verdict verdict)
{
	if (verdict == VERDICT_ALLOW)
		return MOSQ_ERR_SUCCESS;
	return verdict == VERDICT_DENY ? MOSQ_ERR_ACL_DENIED : MOSQ_ERR_UNKNOWN;
}

static int judge_publish(struct gateway *gateway, const struct mosquitto_evt_acl_check *event)
{
	const struct publication publication = {
		.client = event->client,
		.topic = event->topic,
		.size = event->payloadlen,
		.is_retained = event->retain,
		.knows_reasons = mosquitto_client_protocol_version(event->client) >= MQTT_5,
	};
	return outcome(gateway_judge_publish(gateway, &publication));
}

static int on_acl_check(int kind, void *event_data, void *context)
{
	struct gateway *gateway = context;
	const struct mosquitto_evt_acl_check *event = event_data;
	(void)kind;
	switch (event->access) {
	case MOSQ_ACL_WRITE:
		return judge_publish(gateway, event);
	case MOSQ_ACL_SUBSCRIBE:
		return outcome(gateway_judge_subscribe(gateway, event->client, event->topic));
	case MOSQ_ACL_UNSUBSCRIBE:
		return outcome(gateway_judge_unsubscribe(gateway, event->client, event->topic));
	case MOSQ_ACL_READ:
		return gateway_may_read(gateway, event->client, event->topic) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
	default:
		return MOSQ_ERR_ACL_DENIED;
	}
}

/*
 * Nobody asked for the MQTT 5 properties of what is published. They may hold a VIN, and the broker counts them in none
 * of its bounds: they go no further.
 */
static int on_message(int kind, void *event_data, void *context)
{
	struct mosquitto_evt_message *event = event_data;
	const struct publication publication = {
		.client = event->client,
		.topic = event->topic,
		.payload = event->payload,
		.size = event->payloadlen,
		.is_retained = event->retain,
		.knows_reasons = mosquitto_client_protocol_version(event->client) >= MQTT_5,
	};
	bool is_consumed = false;
	(void)kind;
	mosquitto_property_free_all(&event->properties);
	enum verdict verdict = gateway_take(context, &publication, &is_consumed);
	if (is_consumed && event->payload) {
		secret_wipe(event->payload, event->payloadlen);
		/* The broker frees what it had, and goes on with nothing. */
		event->payload = NULL;
		event->payloadlen = 0;
	}
	return outcome(verdict);
}

static int on_control(int kind, void *event_data, void *context)
{
	const struct mosquitto_evt_control *event = event_data;
	(void)kind;
	gateway_control(context, event->client, span_of(event->payload, event->payloadlen));
	return MOSQ_ERR_SUCCESS;
}

static int on_tick(int kind, void *event_data, void *context)
{
	(void)kind;
	(void)event_data;
	gateway_tick(context);
	return MOSQ_ERR_SUCCESS;
}

/* ---- loading -------------------------------------------------------------------------------------------------- */

static const struct {
	int event;
	MOSQ_FUNC_generic_callback function;
	const char *topic;
} callbacks[] = {
	{MOSQ_EVT_BASIC_AUTH, on_basic_auth, NULL},
	{MOSQ_EVT_EXT_AUTH_START, on_ext_auth, NULL},
	{MOSQ_EVT_ACL_CHECK, on_acl_check, NULL},
	{MOSQ_EVT_MESSAGE, on_message, NULL},
	{MOSQ_EVT_DISCONNECT, on_disconnect, NULL},
	{MOSQ_EVT_CONTROL, on_control, GATEWAY_CONTROL_TOPIC},
	{MOSQ_EVT_TICK, on_tick, NULL},
	{MOSQ_EVT_RELOAD, on_reload, NULL},
};
#define CALLBACKS (sizeof(callbacks) / sizeof(callbacks[0]))

static int register_callbacks(struct plugin *plugin)
{
	for (size_t i = 0; i < CALLBACKS; i++) {
		int failure = mosquitto_callback_register(plugin->identifier, callbacks[i].event, callbacks[i].function,
							  callbacks[i].topic, &plugin->gateway);
		if (failure != MOSQ_ERR_SUCCESS) {
			mosquitto_log_printf(MOSQ_LOG_ERR, "vinveil: the broker refuses a callback: %s",
					     mosquitto_strerror(failure));
			return failure;
		}
	}
	return MOSQ_ERR_SUCCESS;
}

static enum result read_options(struct plugin *plugin, const struct mosquitto_opt *options, int count,
				struct note *note)
{
	options_init(&plugin->options);
	for (int i = 0; i < count; i++)
		TRY(options_set(&plugin->options, options[i].key, options[i].value ? options[i].value : "", note));
	return options_check(&plugin->options, note);
}

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for (int i = 0; i < supported_version_count; i++) {
		if (supported_versions[i] == MOSQ_PLUGIN_VERSION)
			return MOSQ_PLUGIN_VERSION;
	}
	return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options,
			  int option_count)
{
	struct note note = {0};
	struct plugin *plugin = calloc(1, sizeof(*plugin));
	if (!plugin)
		return MOSQ_ERR_NOMEM;
	plugin->identifier = identifier;
	enum result result = read_options(plugin, options, option_count, &note);
	if (result == RESULT_OK)
		result = gateway_open(&plugin->gateway, &plugin->options, &broker_ops, plugin, &note);
	if (result != RESULT_OK) {
		mosquitto_log_printf(MOSQ_LOG_ERR, "vinveil: %s: %s", result_name(result), note.text);
		free(plugin);
		return MOSQ_ERR_INVAL;
	}
	*userdata = plugin;
	return register_callbacks(plugin);
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	struct plugin *plugin = userdata;
	(void)options;
	(void)option_count;
	if (!plugin)
		return MOSQ_ERR_SUCCESS;
	for (size_t i = 0; i < CALLBACKS; i++)
		mosquitto_callback_unregister(plugin->identifier, callbacks[i].event, callbacks[i].function,
					      callbacks[i].topic);
	gateway_close(&plugin->gateway);
	free(plugin);
	return MOSQ_ERR_SUCCESS;
}
