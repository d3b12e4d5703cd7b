#include "tests/contract/gateway/client.h"

#include <stdio.h>
#include <string.h>

static void on_connect(struct mosquitto *mosquitto, void *context, int code, int flags, const mosquitto_property *list)
{
	struct mqtt_client *client = context;
	(void)mosquitto;
	(void)flags;
	(void)list;
	client->connack = code;
}

static void on_disconnect(struct mosquitto *mosquitto, void *context, int code, const mosquitto_property *list)
{
	struct mqtt_client *client = context;
	(void)mosquitto;
	(void)code;
	(void)list;
	client->is_down = true;
}

static void on_publish(struct mosquitto *mosquitto, void *context, int id, int reason, const mosquitto_property *list)
{
	struct mqtt_client *client = context;
	(void)mosquitto;
	(void)id;
	(void)list;
	client->acknowledged++;
	client->publish_reason = reason;
}

static void on_subscribe(struct mosquitto *mosquitto, void *context, int id, int count, const int *granted,
			 const mosquitto_property *list)
{
	struct mqtt_client *client = context;
	(void)mosquitto;
	(void)id;
	(void)list;
	client->granted = count > 0 ? granted[0] : -1;
}

static void on_message(struct mosquitto *mosquitto, void *context, const struct mosquitto_message *message,
		       const mosquitto_property *list)
{
	struct mqtt_client *client = context;
	(void)mosquitto;
	(void)list;
	if (client->received_count == RECEIVED_MAX)
		return;
	struct received *received = &client->received[client->received_count++];
	snprintf(received->topic, sizeof(received->topic), "%s", message->topic);
	snprintf(received->payload, sizeof(received->payload), "%.*s", message->payloadlen,
		 message->payloadlen > 0 ? (const char *)message->payload : "");
	received->qos = message->qos;
}

static void set_callbacks(struct mosquitto *mosquitto)
{
	mosquitto_connect_v5_callback_set(mosquitto, on_connect);
	mosquitto_disconnect_v5_callback_set(mosquitto, on_disconnect);
	mosquitto_publish_v5_callback_set(mosquitto, on_publish);
	mosquitto_subscribe_v5_callback_set(mosquitto, on_subscribe);
	mosquitto_message_v5_callback_set(mosquitto, on_message);
}

void client_open(struct mqtt_client *client, struct fixture *fixture, const struct credential *credential,
		 const struct client_options *options)
{
	static const struct client_options plain;
	char authority[PATH_SIZE];
	if (!options)
		options = &plain;
	*client = (struct mqtt_client){.fixture = fixture, .connack = -1, .granted = -1};
	const char *id = options->client_id ? options->client_id : credential->name;
	client->mosquitto = mosquitto_new(id, !options->keeps_session, client);
	assert_non_null(client->mosquitto);
	set_callbacks(client->mosquitto);
	mosquitto_int_option(client->mosquitto, MOSQ_OPT_PROTOCOL_VERSION,
			     options->version ? options->version : MQTT_PROTOCOL_V311);
	mosquitto_int_option(client->mosquitto, MOSQ_OPT_TCP_NODELAY, 1);
	snprintf(authority, sizeof(authority), "%s/server-ca.pem", fixture->directory);
	assert_int_equal(mosquitto_tls_set(client->mosquitto, authority, NULL,
					   credential ? credential->certificate_path : NULL,
					   credential ? credential->key_path : NULL, NULL),
			 MOSQ_ERR_SUCCESS);
	if (options->will_topic)
		mosquitto_will_set(client->mosquitto, options->will_topic, 4, "will", 1, true);
	if (options->user_name)
		mosquitto_username_pw_set(client->mosquitto, options->user_name, "secret");
	int failure = mosquitto_connect_bind(client->mosquitto, "127.0.0.1", fixture->port, 60, options->from);
	if (failure != MOSQ_ERR_SUCCESS)
		client->is_down = true;
}

void client_close(struct mqtt_client *client)
{
	mosquitto_disconnect(client->mosquitto);
	mosquitto_destroy(client->mosquitto);
	client->mosquitto = NULL;
}

void client_step(struct mqtt_client *client)
{
	if (client->is_down) {
		pause_ms(2);
		return;
	}
	if (mosquitto_loop(client->mosquitto, 5, 1) != MOSQ_ERR_SUCCESS)
		client->is_down = true;
}

int client_connect(struct mqtt_client *client)
{
	CLIENT_AWAIT(client, client->connack >= 0 || client->is_down);
	return client->connack;
}

void client_enter(struct mqtt_client *client, struct fixture *fixture, const struct credential *credential,
		  const struct client_options *options)
{
	client_open(client, fixture, credential, options);
	assert_int_equal(client_connect(client), 0);
}

bool client_publish(struct mqtt_client *client, const char *topic, const char *payload, bool is_retained)
{
	unsigned before = client->acknowledged;
	if (mosquitto_publish(client->mosquitto, NULL, topic, (int)strlen(payload), payload, 1, is_retained) !=
	    MOSQ_ERR_SUCCESS)
		client->is_down = true;
	CLIENT_AWAIT(client, client->acknowledged > before || client->is_down);
	return client->acknowledged > before;
}

int client_subscribe(struct mqtt_client *client, const char *filter)
{
	client->granted = -1;
	if (mosquitto_subscribe(client->mosquitto, NULL, filter, 1) != MOSQ_ERR_SUCCESS)
		client->is_down = true;
	CLIENT_AWAIT(client, client->granted >= 0 || client->is_down);
	return client->granted;
}

bool is_admitted(struct fixture *fixture, const struct credential *credential, const struct client_options *options)
{
	struct mqtt_client client;
	client_open(&client, fixture, credential, options);
	int code = client_connect(&client);
	client_close(&client);
	return code == 0;
}
