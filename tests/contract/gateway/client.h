/* MQTT clients with certificates: libmosquitto over TLS, driven by hand; and one byte by byte, over TLS or WebSockets.
 */
#ifndef VINVEIL_TESTS_CONTRACT_GATEWAY_CLIENT_H
#define VINVEIL_TESTS_CONTRACT_GATEWAY_CLIENT_H

#include "tests/contract/gateway/fixture.h"

#include <mosquitto.h>

#define RECEIVED_MAX 64

struct received {
	char topic[GATEWAY_TOPIC_SIZE];
	char payload[2048];
	int qos;
};

struct mqtt_client {
	struct fixture *fixture;
	struct mosquitto *mosquitto;
	int connack; /* -1: none yet */
	bool is_down;
	unsigned acknowledged; /* publications */
	int publish_reason;    /* of the last one; MQTT 5 */
	int granted;	       /* of the last subscription: QoS, or a reason from 0x80; -1: none yet */
	struct received received[RECEIVED_MAX];
	size_t received_count;
};

struct client_options {
	const char *client_id; /* NULL: the credential's name */
	int version;	       /* MQTT_PROTOCOL_V311 or _V5; 0: the former */
	bool keeps_session;
	const char *from;	/* address to connect from; NULL: 127.0.0.1 */
	const char *will_topic; /* retained, so that it would still be there when somebody looks */
	const char *user_name;
};

/* credential NULL: none. */
void client_open(struct mqtt_client *client, struct fixture *fixture, const struct credential *credential,
		 const struct client_options *options);
void client_close(struct mqtt_client *client);
/* The CONNACK's code; -1 when the connection ends without one. */
int client_connect(struct mqtt_client *client);
/* Opens, and must be let in. */
void client_enter(struct mqtt_client *client, struct fixture *fixture, const struct credential *credential,
		  const struct client_options *options);
void client_step(struct mqtt_client *client);
#define CLIENT_AWAIT(client, condition)                                                       \
	do {                                                                                  \
		int64_t until_ms_ = now_ms() + WAIT_LIMIT_MS;                                 \
		while (!(condition)) {                                                        \
			if (now_ms() > until_ms_)                                             \
				fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition); \
			client_step(client);                                                  \
		}                                                                             \
	} while (0)
/* At QoS 1, until it is acknowledged (true) or the connection ends (false). */
bool client_publish(struct mqtt_client *client, const char *topic, const char *payload, bool is_retained);
/* The granted QoS, or the refusal; -1 when the connection ends. */
int client_subscribe(struct mqtt_client *client, const char *filter);
/* Is it let in? Closes it again. */
bool is_admitted(struct fixture *fixture, const struct credential *credential, const struct client_options *options);

/* ---- byte by byte ----------------------------------------------------------------------------------------------- */

struct wire;
/* NULL: refused by TLS. */
struct wire *wire_open(struct fixture *fixture, const struct credential *credential, bool is_web);
void wire_close(struct wire *wire);
void wire_send(struct wire *wire, const uint8_t *packet, size_t size);
/* A whole packet, its fixed header's first byte first; 0: the connection has ended. */
size_t wire_receive(struct wire *wire, uint8_t *ret_packet, size_t size);
/* A CONNECT of MQTT 3.1.1 with keepalive 60, and its answer's code; -1 when the connection ends. */
int wire_connect(struct wire *wire, const char *client_id);

#endif
