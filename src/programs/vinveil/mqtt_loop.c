#include "programs/vinveil/mqtt_loop.h"

#include "base/clock.h"

#include <errno.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <sys/epoll.h>
#include <unistd.h>

#define KEEPALIVE_S    60
#define CARE_EVERY_MS  1000
#define EVENTS_MAX     512
#define IN_FLIGHT_MAX  64
#define PACKETS_A_READ 1

static struct mosquitto *mosquitto_of(struct mqtt_client *client)
{
	return client->mosquitto;
}

/* ---- epoll ------------------------------------------------------------------------------------------------- */

/*
 * After anything that libmosquitto did: its socket may be gone or new, and it may have more to write. Until CONNACK
 * the interest is edge-triggered: the library wants to write while the TLS handshake waits for the broker, and a
 * socket that can be written would wake us for nothing.
 */
static void watch(struct mqtt_client *client)
{
	int descriptor = mosquitto_socket(mosquitto_of(client));
	uint32_t interest = EPOLLIN;
	if (!client->is_connected)
		interest |= EPOLLOUT | EPOLLET;
	else if (mosquitto_want_write(mosquitto_of(client)))
		interest |= EPOLLOUT;
	if (descriptor == client->descriptor && interest == client->interest)
		return;
	struct epoll_event event = {.events = interest, .data.ptr = client};
	if (descriptor >= 0 &&
	    epoll_ctl(client->loop->epoll, descriptor == client->descriptor ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor,
		      &event) != 0)
		descriptor = -1; /* its next care ends it */
	client->descriptor = descriptor;
	client->interest = descriptor >= 0 ? interest : 0;
}

static void on_disconnect(struct mosquitto *mosquitto, void *context, int code, const mosquitto_property *list);

static void handle(struct mqtt_client *client, uint32_t events)
{
	int code = MOSQ_ERR_SUCCESS;
	/* While the handshake goes on each event moves both directions. */
	if (!client->is_connected || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		code = mosquitto_loop_read(mosquitto_of(client), PACKETS_A_READ);
	if (code == MOSQ_ERR_SUCCESS && (!client->is_connected || (events & EPOLLOUT) != 0))
		code = mosquitto_loop_write(mosquitto_of(client), PACKETS_A_READ);
	/* An end is told by the disconnect callback, but not one in the middle of the TLS handshake. */
	if (code != MOSQ_ERR_SUCCESS && client->descriptor >= 0 && mosquitto_socket(mosquitto_of(client)) < 0)
		on_disconnect(mosquitto_of(client), client, code, NULL);
	watch(client);
}

static void take_care(struct mqtt_loop *loop)
{
	int64_t now_ms = clock_monotonic_ms(clock_system());
	if (now_ms < loop->next_care_ms)
		return;
	loop->next_care_ms = now_ms + CARE_EVERY_MS;
	for (struct mqtt_client *client = loop->first; client != NULL; client = client->next)
		if (client->descriptor >= 0) {
			mosquitto_loop_misc(mosquitto_of(client));
			watch(client);
		}
}

enum result mqtt_loop_open(const struct mqtt_endpoint *endpoint, struct mqtt_loop *ret_loop)
{
	if (mosquitto_lib_init() != MOSQ_ERR_SUCCESS)
		return RESULT_MEMORY;
	*ret_loop = (struct mqtt_loop){.epoll = epoll_create1(EPOLL_CLOEXEC), .endpoint = endpoint};
	return ret_loop->epoll >= 0 ? RESULT_OK : RESULT_UNAVAILABLE;
}

void mqtt_loop_close(struct mqtt_loop *loop)
{
	if (loop->epoll < 0)
		return;
	close(loop->epoll);
	loop->epoll = -1;
	mosquitto_lib_cleanup();
}

void mqtt_loop_turn(struct mqtt_loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(loop->epoll, events, EVENTS_MAX, timeout_ms);
	for (int i = 0; i < count; i++)
		handle(events[i].data.ptr, events[i].events);
	take_care(loop);
}

/* ---- callbacks --------------------------------------------------------------------------------------------- */

static void on_connect(struct mosquitto *mosquitto, void *context, int reason, int flags,
		       const mosquitto_property *list)
{
	struct mqtt_client *client = context;
	(void)mosquitto;
	(void)flags;
	(void)list;
	client->is_connected = reason == 0;
	client->reason = reason;
	if (client->is_connected)
		client->callbacks->connected(client);
}

static void on_disconnect(struct mosquitto *mosquitto, void *context, int code, const mosquitto_property *list)
{
	struct mqtt_client *client = context;
	(void)mosquitto;
	(void)list;
	/* Beyond 0x80 the broker has said why; below it are the library's own codes. */
	int reason = client->reason != 0 ? client->reason : code >= MQTT_RC_UNSPECIFIED ? code : 0;
	bool was_connected = client->is_connected;
	client->is_connected = false;
	client->reason = 0;
	client->descriptor = -1; /* closed, and so out of epoll */
	client->callbacks->closed(client, was_connected, reason);
}

static void on_publish(struct mosquitto *mosquitto, void *context, int id, int reason, const mosquitto_property *list)
{
	struct mqtt_client *client = context;
	(void)mosquitto;
	(void)list;
	client->callbacks->acknowledged(client, id, reason);
}

static void on_message(struct mosquitto *mosquitto, void *context, const struct mosquitto_message *message,
		       const mosquitto_property *list)
{
	struct mqtt_client *client = context;
	(void)mosquitto;
	(void)list;
	client->callbacks->message(client, message->topic, span_of(message->payload, (size_t)message->payloadlen));
}

/* libmosquitto does not say which of the three files it could not read. */
static void note_unreadable(const char *path, struct note *note)
{
	if (access(path, R_OK) != 0)
		note_set(note, "%.180s: %s", path, strerror(errno));
}

/* ---- one client -------------------------------------------------------------------------------------------- */

enum result mqtt_client_open(struct mqtt_loop *loop, struct mqtt_client *client, const struct mqtt_callbacks *callbacks,
			     const char *client_id, const char *certificate, const char *key, struct note *note)
{
	struct mosquitto *mosquitto = mosquitto_new(client_id, true, client);
	if (mosquitto == NULL)
		return RESULT_MEMORY;
	*client = (struct mqtt_client){.callbacks = callbacks, .loop = loop, .mosquitto = mosquitto, .descriptor = -1};
	int code = mosquitto_tls_set(mosquitto, loop->endpoint->ca, NULL, certificate, key, NULL);
	if (code == MOSQ_ERR_SUCCESS)
		code = mosquitto_int_option(mosquitto, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
	if (code == MOSQ_ERR_SUCCESS)
		code = mosquitto_int_option(mosquitto, MOSQ_OPT_TCP_NODELAY, 1);
	if (code == MOSQ_ERR_SUCCESS)
		code = mosquitto_int_option(mosquitto, MOSQ_OPT_SEND_MAXIMUM, IN_FLIGHT_MAX);
	if (code != MOSQ_ERR_SUCCESS) {
		note_set(note, "%.100s: %s", certificate, mosquitto_strerror(code));
		note_unreadable(loop->endpoint->ca, note);
		note_unreadable(key, note);
		note_unreadable(certificate, note);
		mosquitto_destroy(mosquitto);
		client->mosquitto = NULL;
		return RESULT_INVALID;
	}
	mosquitto_connect_v5_callback_set(mosquitto, on_connect);
	mosquitto_disconnect_v5_callback_set(mosquitto, on_disconnect);
	mosquitto_publish_v5_callback_set(mosquitto, on_publish);
	mosquitto_message_v5_callback_set(mosquitto, on_message);
	client->next = loop->first;
	loop->first = client;
	return RESULT_OK;
}

void mqtt_client_close(struct mqtt_client *client)
{
	if (client->mosquitto == NULL)
		return;
	mosquitto_disconnect_v5_callback_set(mosquitto_of(client), NULL);
	if (client->is_connected)
		mosquitto_disconnect(mosquitto_of(client));
	mosquitto_destroy(mosquitto_of(client));
	for (struct mqtt_client **at = &client->loop->first; *at != NULL; at = &(*at)->next)
		if (*at == client) {
			*at = client->next;
			break;
		}
	*client = (struct mqtt_client){.descriptor = -1};
}

enum result mqtt_client_connect(struct mqtt_client *client, struct note *note)
{
	const struct mqtt_endpoint *endpoint = client->loop->endpoint;
	client->is_connected = false;
	client->reason = 0;
	client->descriptor = -1;
	int code = mosquitto_connect(mosquitto_of(client), endpoint->host, endpoint->port, KEEPALIVE_S);
	if (code == MOSQ_ERR_SUCCESS) {
		watch(client);
		return RESULT_OK;
	}
	note_set(note, "%.100s:%u: %s", endpoint->host, endpoint->port,
		 code == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(code));
	return code == MOSQ_ERR_TLS || code == MOSQ_ERR_INVAL ? RESULT_INVALID : RESULT_UNAVAILABLE;
}

enum result mqtt_client_publish(struct mqtt_client *client, const char *topic, struct span payload, int *ret_message_id)
{
	if (!client->is_connected)
		return RESULT_UNAVAILABLE;
	int code = mosquitto_publish(mosquitto_of(client), ret_message_id, topic, (int)payload.size, payload.data, 1,
				     false);
	if (client->descriptor >= 0 || mosquitto_socket(mosquitto_of(client)) >= 0)
		watch(client);
	return code == MOSQ_ERR_SUCCESS ? RESULT_OK : RESULT_UNAVAILABLE;
}

enum result mqtt_client_subscribe(struct mqtt_client *client, const char *filter)
{
	int code = mosquitto_subscribe(mosquitto_of(client), NULL, filter, 1);
	watch(client);
	return code == MOSQ_ERR_SUCCESS ? RESULT_OK : RESULT_UNAVAILABLE;
}
