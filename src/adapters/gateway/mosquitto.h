/*
 * The device gateway behind Mosquitto with mosquitto_vinveil.so (doc/gateway-protocol.md). Three threads: one that is
 * an MQTT client of the broker's over its UNIX socket and pushes what the platform tells; one that reads the spool of
 * events; one that serves the socket over which the plugin hands on what claims ask. Each finds its other side again by
 * itself. When the broker is back, or more was told than the queue holds, the whole list is read from the registry and
 * pushed before anything else; while that fails no heartbeat goes out, so the plugin's list grows stale and it refuses.
 */
#ifndef VINVEIL_ADAPTERS_GATEWAY_MOSQUITTO_H
#define VINVEIL_ADAPTERS_GATEWAY_MOSQUITTO_H

#include "adapters/gateway/protocol.h"
#include "base/clock.h"
#include "vehicle/ports/device_gateway.h"
#include "vehicle/ports/registry.h"

#include <sys/types.h>

#define GATEWAY_ALLOWED_MAX 8

/* What the boundary may want to log; the note says more where there is more. */
enum gateway_notice {
	GATEWAY_NOTICE_CONNECTED,	 /* the broker takes what it is told: the list has been pushed */
	GATEWAY_NOTICE_DISCONNECTED,	 /* or it cannot be reached; once each time */
	GATEWAY_NOTICE_REFUSED,		 /* the broker does not accept our token */
	GATEWAY_NOTICE_SILENT,		 /* the connection stands, but the plugin says nothing any more */
	GATEWAY_NOTICE_HEARD,		 /* again */
	GATEWAY_NOTICE_LIST_UNAVAILABLE, /* the registry did not give the list; tried again */
	GATEWAY_NOTICE_EVENTS_DELAYED,	 /* the handler did not take a batch; offered again */
	GATEWAY_NOTICE_EVENTS_DAMAGED,	 /* a stretch of the spool, or a record, was skipped */
	GATEWAY_NOTICE_PEER_REFUSED,	 /* somebody at the claims' socket is not the broker's user */
	GATEWAY_NOTICE_PEER_NONSENSE,	 /* it said what is not the protocol, and was hung up on */
};

struct gateway_mosquitto_config {
	const char *broker_socket;	    /* the broker's UNIX listener */
	const char *token_path;		    /* GATEWAY_TOKEN_SIZE bytes in hex, read at each connection */
	const char *events_spool;	    /* directory */
	const char *claim_socket;	    /* made here */
	mode_t claim_socket_mode;	    /* 0: 0600 */
	uid_t allowed[GATEWAY_ALLOWED_MAX]; /* who may connect there, and nobody else */
	size_t allowed_count;		    /* 0: this process's own user */
	struct registry *registry;	    /* outlives the adapter */
	const struct gateway_events *events;
	void *events_context;
	struct clock *clock; /* NULL: the system's */
	/* From any of the threads; must not block. NULL: nobody listens. */
	void (*on_notice)(void *context, enum gateway_notice notice, const struct note *note);
	void *notice_context;
};

/* The config's texts are copied. RESULT_UNAVAILABLE: the socket or the spool cannot be opened; the broker may be away.
 */
MUST_USE enum result gateway_mosquitto_open(const struct gateway_mosquitto_config *config,
					    struct device_gateway **ret_gateway, struct note *note);
/* Begins to push and to call the handler, which may use the gateway from its first call on. */
MUST_USE enum result gateway_mosquitto_start(struct device_gateway *gateway);
/* The handler is not called any more, nothing is pushed any more; whoever still tells it something does no harm. */
void gateway_mosquitto_stop(struct device_gateway *gateway);
/* Stops it. What is queued is dropped. NULL is allowed, to both. */
void gateway_mosquitto_close(struct device_gateway *gateway);

/* What the plugin told last; RESULT_ABSENT when that is longer ago than a few seconds. */
MUST_USE enum result gateway_mosquitto_counters(struct device_gateway *gateway, struct plugin_counters *ret_counters);

#endif
