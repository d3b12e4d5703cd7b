/*
 * What is to go out to single connections. The broker resolves a client ID only when it works off what a plugin has
 * published, so each waits here until the end of the broker's turn: there the connection is looked up, and nothing can
 * come between that and the sending.
 *
 * Mosquitto 2.0 never frees what it was to send to a client ID and found no room for in that client's queue. So what
 * has been subscribed to goes the way of subscriptions, where it frees it (nobody else can subscribe to a vehicle's
 * topics), and of the rest each connection is sent no more than DELIVERIES_DIRECT: a queue that nothing was taken out
 * of has room for so many, and a client that takes nothing leaves little behind.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_DELIVERIES_H
#define VINVEIL_MOSQUITTO_PLUGIN_DELIVERIES_H

#include "programs/mosquitto-plugin/sessions.h"

#define DELIVERIES_MAX	     ((size_t)1 << 16)
#define DELIVERIES_BYTES_MAX ((size_t)64 << 20)

#define DELIVERIES_DIRECT ((struct flood_limit){.per_second = 2, .burst = 200})

struct deliveries {
	struct delivery *first, **last;
	size_t count, bytes;
	uint64_t dropped; /* no room, here or there, or nobody there any more */
};

/* Copies what a DELIVER or ANSWER frame says. */
void deliveries_add(struct deliveries *deliveries, const struct control_frame *frame);
/* Hands each that has somebody to go to on to publish; client_id NULL: to who has subscribed to the topic. */
void deliveries_flush(struct deliveries *deliveries, const struct sessions *sessions, int64_t now_ms,
		      void (*publish)(void *context, const char *client_id, const char *topic, struct span payload,
				      int qos),
		      void *context);
void deliveries_release(struct deliveries *deliveries);

#endif
