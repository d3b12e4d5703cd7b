/*
 * A device gateway that delivers nothing and remembers everything it was told, in order.
 */
#ifndef VINVEIL_TESTS_VEHICLE_FAKE_GATEWAY_H
#define VINVEIL_TESTS_VEHICLE_FAKE_GATEWAY_H

#include "vehicle/ports/device_gateway.h"

#include <pthread.h>

enum fake_gateway_kind {
	GATEWAY_TOLD_REVOKE = 1, /* one call a revoked certificate: serial, reference_id, not_after_ms */
	GATEWAY_TOLD_REFRESH,	 /* tenant, reference_id */
	GATEWAY_TOLD_ACTIVATE,	 /* serial */
	GATEWAY_TOLD_COMMAND,	 /* reference_id, command_id, payload */
	GATEWAY_TOLD_PUBLISH,	 /* reference_id, topic, payload */
	GATEWAY_TOLD_ANSWER,	 /* caller, topic, payload */
};

struct fake_gateway_call {
	enum fake_gateway_kind kind;
	struct serial serial;
	struct tenant_id tenant;
	struct uuid reference_id, command_id;
	int64_t not_after_ms;
	struct gateway_caller caller;
	char topic[GATEWAY_TOPIC_SIZE];
	char *payload; /* a text, owned; NULL: none */
	size_t payload_size;
};

struct fake_gateway {
	struct device_gateway gateway;
	pthread_mutex_t mutex; /* events are handled side by side; tests read when all is still */
	struct fake_gateway_call *calls;
	size_t count, capacity;
};

void fake_gateway_init(struct fake_gateway *gateway);
void fake_gateway_release(struct fake_gateway *gateway);
/* Forgets what it was told. */
void fake_gateway_clear(struct fake_gateway *gateway);
size_t fake_gateway_count(const struct fake_gateway *gateway, enum fake_gateway_kind kind);
/* The number-th call of the kind, from 0; NULL: there is none. */
const struct fake_gateway_call *fake_gateway_call(const struct fake_gateway *gateway, enum fake_gateway_kind kind,
						  size_t number);

#endif
