/*
 * Port: the broker where vehicles connect (MQTT over mutual TLS), as the platform sees it. Two halves: what the
 * platform tells the gateway (struct device_gateway_ops), and what happens there (struct gateway_events, implemented
 * by fleet/). The gateway enforces client ID = certificate CN = Reference ID and the topics of that ID; it is told
 * here only of what may no longer connect, and of what is to be delivered.
 *
 * The registry is the durable deny list: revoked and unexpired certificates, suspended vehicles, certificates that
 * were issued but not yet provisioned. What follows a committed change is pushed at once by the calls below; when
 * either side has restarted, the adapter reads the whole list from the registry (scan_denied) and pushes it again
 * before anything else. So these calls neither block nor fail: a broker that is away learns it when it is back, and
 * until then it refuses, because its list is stale. Call them after the commit, never before. Thread-safe.
 */
#ifndef VINVEIL_VEHICLE_PORTS_DEVICE_GATEWAY_H
#define VINVEIL_VEHICLE_PORTS_DEVICE_GATEWAY_H

#include "vehicle/vehicle.h"

#define GATEWAY_CLIENT_ID_SIZE 129 /* of a claim's connection: its own choice, at most 128 printable bytes */
#define GATEWAY_ADDRESS_SIZE   46  /* INET6_ADDRSTRLEN */
#define GATEWAY_TOPIC_SIZE     257 /* with its NUL; no topic of the platform is longer */
#define GATEWAY_PAYLOAD_MAX    ((size_t)128 << 10) /* AWS IoT's own bound, and a FleetWise agent's */

/* A certificate that must not connect any more; its live session ends. */
struct gateway_revocation {
	struct serial serial;
	struct uuid reference_id; /* whose session ends, when it is by this certificate; zero for a claim's */
	int64_t not_after_ms;	  /* the gateway may forget it then */
};

/* One live connection; the number is never used twice while the broker runs, so that an answer never reaches somebody
   who took over the client ID meanwhile. */
struct gateway_caller {
	char client_id[GATEWAY_CLIENT_ID_SIZE];
	uint64_t connection;
};

struct gateway_status {
	bool is_connected;	 /* the broker takes what it is told */
	int64_t connected_at_ms; /* since when; meaningful while is_connected */
	uint64_t denied;	 /* entries of the deny list pushed last */
	uint64_t vehicles;	 /* connected, as the plugin last told; 0 while unknown */
	uint64_t queued;	 /* not yet sent */
	uint64_t events;	 /* handled since start */
};

struct device_gateway;
struct device_gateway_ops {
	void (*revoke)(struct device_gateway *gateway, const struct gateway_revocation *revoked, size_t count);
	/*
	 * The vehicle's state has moved: the adapter reads its row and refuses (suspended) or admits it. It is not told
	 * the state, because two changes at once may tell in the other order than they were committed.
	 */
	void (*refresh)(struct device_gateway *gateway, const struct tenant_id *tenant,
			const struct uuid *reference_id);
	/* A certificate that was denied because it was issued ahead of its vehicle: the vehicle is there now. */
	void (*activate)(struct device_gateway *gateway, const struct serial *serial);
	/*
	 * Delivers, as it has subscribed, when the vehicle is connected and has subscribed to its command requests;
	 * drops it otherwise: `vehicle_ready` follows when it subscribes, and the caller sends again what is still due.
	 */
	void (*send_command)(struct device_gateway *gateway, const struct uuid *reference_id,
			     const struct uuid *command_id, struct span payload);
	/* To the vehicle's live connection, at QoS 1, whether it has subscribed or not; dropped when there is none, or
	   it is sent too much. */
	void (*publish)(struct device_gateway *gateway, const struct uuid *reference_id, const char *topic,
			struct span payload);
	/* To that connection only, or to nobody. */
	void (*answer)(struct device_gateway *gateway, const struct gateway_caller *caller, const char *topic,
		       struct span payload);
	void (*get_status)(struct device_gateway *gateway, struct gateway_status *ret_status);
};

struct device_gateway {
	const struct device_gateway_ops *ops;
};

/* ---- what happens at the gateway ------------------------------------------------------------------------------ */

enum gateway_event_kind {
	GATEWAY_VEHICLE_CONNECTED = 1,	  /* serial, address */
	GATEWAY_VEHICLE_DISCONNECTED = 2, /* */
	GATEWAY_VEHICLE_READY = 3,    /* it has subscribed to its command requests (or resumed a session that had) */
	GATEWAY_COMMAND_RESPONSE = 4, /* command_id, payload: published to …/executions/{commandId}/response/json */
	GATEWAY_CHECKIN = 5,	      /* payload: FleetWise agent's checkin */
	GATEWAY_CLONE_SUSPECTED = 6,  /* a second connection under a live client ID: address, other_address, serial */
};

/* Of an authenticated vehicle. Borrowed for the call. */
struct gateway_event {
	enum gateway_event_kind kind;
	int64_t at_ms; /* when the broker saw it */
	struct uuid reference_id;
	struct serial serial; /* of the certificate of the connection */
	struct uuid command_id;
	char address[GATEWAY_ADDRESS_SIZE], other_address[GATEWAY_ADDRESS_SIZE];
	struct span payload;
};

enum gateway_claim_request {
	GATEWAY_CREATE_FROM_CSR = 1, /* $aws/certificates/create-from-csr/json */
	GATEWAY_PROVISION = 2,	     /* $aws/provisioning-templates/{template}/provision/json; holds a VIN */
};

/* From a connection with a claim certificate. The payload is secret, and the adapter wipes it after the call. */
struct gateway_claim_message {
	enum gateway_claim_request request;
	struct gateway_caller caller;
	struct serial serial; /* of the claim certificate */
	char address[GATEWAY_ADDRESS_SIZE];
	char template_name[65]; /* GATEWAY_PROVISION */
	struct span payload;
};

struct gateway_events {
	/*
	 * In the order in which the broker saw them. Durable until taken: RESULT_OK takes them all, for good; anything
	 * else (the registry is away) has the same batch offered again a little later. So it must not matter when an
	 * event is handled twice. May block; one call at a time.
	 */
	enum result (*take)(void *context, const struct gateway_event *events, size_t count);
	/* Must not block: copies what it needs (wiping it later) and answers by ops->answer. */
	void (*take_claim)(void *context, const struct gateway_claim_message *message);
};

#endif
