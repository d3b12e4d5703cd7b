/*
 * The HTTP API: what the transport (http/) and the rules (vehicle/) know nothing of each other through.
 *
 * A request's way: route → authenticate → rate → access → handler → one flow → ports, and back: the answer leaves
 * when its audit leaf is durable (product rule 10). Routes run inline on the loop, on the pool, in the conversion
 * worker's batch, or as a stream; routes.h says which.
 */
#ifndef VINVEIL_API_API_H
#define VINVEIL_API_API_H

#include "http/http.h"
#include "vehicle/flow.h"

/* What the audit log's adapter tells beyond its port. Every pointer is set by `audit_state`. */
struct api_audit_state {
	uint64_t size, durable_size, checkpoint_size;
	int64_t checkpoint_age_ms;
	uint64_t group_count;
	bool is_failing;
	char failure[NOTE_SIZE]; /* why it cannot be written or signed; empty while all is well */
};

/* What the broker counts since it was started, as it last told. */
struct api_broker_state {
	bool is_known;
	uint64_t refused, kicked, flooded, masked, telemetry, spool_refused, claims_dropped;
};

/* What the fleet's side counts since start. */
struct api_fleet_state {
	struct api_broker_state broker;
	uint64_t connections, command_responses, checkins, cloned_keys, claims_provisioned, claims_rejected;
};

struct api_config {
	const struct platform *platform; /* outlives the API */
	size_t loop_count;
	size_t operations_listener; /* its number in the transport's configuration; the others serve /v1 */
	size_t pool_threads, pool_queue_max;
	struct client_limits limits;  /* of clients whose row says none */
	const char *crl_path;	      /* where the CRL is kept beside memory */
	const char *gateway_endpoint; /* the device gateway, told to vehicles; empty: none yet */
	uint16_t gateway_port;
	bool serves_devices;	    /* the API's listener takes certificates of the device root: EST */
	int64_t rotation_settle_ms; /* 0: the default of vehicle/key_rotation.h */
	void (*audit_state)(void *context, struct api_audit_state *ret_state);
	void (*fleet_state)(void *context, struct api_fleet_state *ret_state); /* NULL without a device gateway */
	void (*transport_state)(void *context, struct http_server_counters *ret_counters);
	void *context;
};

struct api;

/* Starts the pool, the conversion worker and housekeeping, and reads the clients. The config is copied. */
MUST_USE enum result api_open(const struct api_config *config, struct api **ret_api, struct note *note);

/* For http_server_config.application, with the api as its context. */
extern const struct http_application api_application;

/* /readyz answers 503 from here on, so that a load balancer goes elsewhere while what is in flight finishes. */
void api_begin_drain(struct api *api);

/* After the transport is closed: finishes what is queued, records what is coalesced, frees. NULL is allowed. */
void api_close(struct api *api);

#endif
