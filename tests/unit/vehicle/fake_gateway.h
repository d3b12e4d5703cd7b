/*
 * A device gateway that remembers what it was told. Thread-safe; beyond its room it forgets the newest.
 */
#ifndef VINVEIL_TESTS_FAKE_GATEWAY_H
#define VINVEIL_TESTS_FAKE_GATEWAY_H

#include "vehicle/ports/device_gateway.h"

#include <pthread.h>

#define FAKE_TOLD_MAX	     4096
#define FAKE_DELIVERIES_MAX  64
#define FAKE_PAYLOAD_SIZE    8192

enum fake_told_kind { FAKE_REVOKED, FAKE_ACTIVATED, FAKE_REFRESHED };

struct fake_told {
	enum fake_told_kind kind;
	struct gateway_revocation revocation; /* FAKE_ACTIVATED: its serial */
	struct uuid reference_id;	      /* FAKE_REFRESHED */
};

/* A command, a publication or an answer. */
struct fake_delivery {
	struct uuid reference_id, command_id;
	struct gateway_caller caller;
	char topic[GATEWAY_TOPIC_SIZE];
	char payload[FAKE_PAYLOAD_SIZE]; /* with a NUL, cut off when longer */
	size_t payload_size;
};

struct fake_gateway {
	struct device_gateway gateway;
	pthread_mutex_t mutex;
	struct fake_told told[FAKE_TOLD_MAX]; /* in order */
	size_t told_count;
	struct fake_delivery commands[FAKE_DELIVERIES_MAX], publications[FAKE_DELIVERIES_MAX],
		answers[FAKE_DELIVERIES_MAX];
	size_t command_count, publication_count, answer_count;
};

void fake_gateway_init(struct fake_gateway *gateway);
/* By what it was told last of this certificate. */
bool fake_gateway_denies(struct fake_gateway *gateway, const struct serial *serial);
size_t fake_gateway_count(struct fake_gateway *gateway, enum fake_told_kind kind);

#endif
