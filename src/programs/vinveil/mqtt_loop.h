/*
 * Many MQTT clients (libmosquitto, MQTT 5, mutual TLS) in one thread, on one epoll. A client is opened once and then
 * connected as often as its owner likes; what happens to it is told through its callbacks, from within
 * mqtt_loop_turn(). In a callback a client may publish and subscribe, but not connect or close.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_MQTT_LOOP_H
#define VINVEIL_PROGRAMS_VINVEIL_MQTT_LOOP_H

#include "base/file.h"
#include "base/span.h"

struct mqtt_endpoint {
	char host[256];
	uint16_t port;
	char ca[PATH_SIZE];
};

struct mqtt_loop {
	int epoll; /* -1: not open */
	const struct mqtt_endpoint *endpoint;
	int64_t next_care_ms; /* when keepalives are looked after again */
	struct mqtt_client *first;
};

struct mqtt_client;
struct mqtt_callbacks {
	void (*connected)(struct mqtt_client *client);
	/* Every connection that was begun ends with this, whether it came to be (CONNACK) or not. reason: MQTT 5's
	   (0x87: not authorised), or 0 when the connection was just lost. */
	void (*closed)(struct mqtt_client *client, bool was_connected, int reason);
	void (*acknowledged)(struct mqtt_client *client, int message_id, int reason);
	void (*message)(struct mqtt_client *client, const char *topic, struct span payload);
};

struct mqtt_client {
	const struct mqtt_callbacks *callbacks;
	struct mqtt_loop *loop;
	struct mqtt_client *next; /* of the loop's */
	void *mosquitto;	  /* struct mosquitto * */
	int descriptor;		  /* in epoll; -1: none */
	uint32_t interest;
	int reason; /* of a refusal, until it is told */
	bool is_connected;
};

MUST_USE enum result mqtt_loop_open(const struct mqtt_endpoint *endpoint, struct mqtt_loop *ret_loop);
void mqtt_loop_close(struct mqtt_loop *loop); /* after its clients */
/* Waits for at most timeout_ms and handles what has come. */
void mqtt_loop_turn(struct mqtt_loop *loop, int timeout_ms);

/* credentials: PEM with certificate, chain and private key. The client's place must not move. */
MUST_USE enum result mqtt_client_open(struct mqtt_loop *loop, struct mqtt_client *client,
				      const struct mqtt_callbacks *callbacks, const char *client_id,
				      const char *certificate, const char *key, struct note *note);
/* Says good-bye when it is connected; tells nobody. */
void mqtt_client_close(struct mqtt_client *client);

/* Begins a connection; blocks for the TCP handshake alone. RESULT_UNAVAILABLE: nobody is there (closed() is not
   called); RESULT_INVALID: the credentials cannot be used. */
MUST_USE enum result mqtt_client_connect(struct mqtt_client *client, struct note *note);
/* QoS 1. *ret_message_id comes back in acknowledged(). RESULT_UNAVAILABLE: not connected. */
MUST_USE enum result mqtt_client_publish(struct mqtt_client *client, const char *topic, struct span payload,
					 int *ret_message_id);
MUST_USE enum result mqtt_client_subscribe(struct mqtt_client *client, const char *filter);

#endif
