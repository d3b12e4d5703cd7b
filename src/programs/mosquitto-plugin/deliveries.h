/*
 * What is to go out to single connections. The broker resolves a client ID only when it works off what a plugin has
 * published, so each waits here until the end of the broker's turn: there the connection is looked up, and nothing can
 * come between that and the sending.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_DELIVERIES_H
#define VINVEIL_MOSQUITTO_PLUGIN_DELIVERIES_H

#include "programs/mosquitto-plugin/sessions.h"

#define DELIVERIES_MAX	     ((size_t)1 << 16)
#define DELIVERIES_BYTES_MAX ((size_t)64 << 20)

struct deliveries {
	struct delivery *first, **last;
	size_t count, bytes;
	uint64_t dropped; /* no room, or nobody there any more */
};

/* Copies what a DELIVER or ANSWER frame says. */
void deliveries_add(struct deliveries *deliveries, const struct control_frame *frame);
/* Hands each that has somebody to go to on to publish. */
void deliveries_flush(struct deliveries *deliveries, const struct sessions *sessions,
		      void (*publish)(void *context, const char *client_id, const char *topic, struct span payload,
				      int qos),
		      void *context);
void deliveries_release(struct deliveries *deliveries);

#endif
