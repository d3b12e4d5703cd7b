/*
 * A real broker with the plugin, on ports and in a directory of its own; the adapter in front of it; a registry and a
 * handler of events that remember, and fail when they are told to.
 */
#ifndef VINVEIL_TESTS_CONTRACT_GATEWAY_FIXTURE_H
#define VINVEIL_TESTS_CONTRACT_GATEWAY_FIXTURE_H

#include "tests/contract/gateway/certificates.h"

#include "adapters/gateway/mosquitto.h"
#include "adapters/spool/spool.h"
#include "base/file.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define WAIT_LIMIT_MS	30000
#define EVENTS_KEPT_MAX 4096
#define CLAIMS_KEPT_MAX 64

struct fake_registry {
	struct registry base;
	pthread_mutex_t mutex;
	struct denied_certificate denied[1024];
	size_t denied_count;
	struct uuid suspended[64];
	size_t suspended_count;
	struct serial revoked; /* the certificate whose row says so */
	bool is_away;
	unsigned scans;
};

struct kept_event {
	struct gateway_event event;
	char payload[512];
};

struct kept_claim {
	struct gateway_claim_message message;
	char payload[1024];
};

struct fake_handler {
	pthread_mutex_t mutex;
	struct kept_event events[EVENTS_KEPT_MAX];
	size_t event_count;
	struct kept_claim claims[CLAIMS_KEPT_MAX];
	size_t claim_count;
	unsigned failures_left; /* of take */
	unsigned failures;
};

struct fixture_options {
	int stale_refuse_s, stale_close_s, spool_mib, per_second, burst; /* 0: the plugin's default */
	bool without_gateway;						 /* started by the test */
};

struct fixture {
	char directory[64];
	struct authority root, issuer, other, server;
	int port, web_port;
	pid_t broker;
	struct fixture_options options;
	struct device_gateway *gateway;
	struct fake_registry registry;
	struct fake_handler handler;
	atomic_uint notices[GATEWAY_NOTICE_PEER_NONSENSE + 1];
	unsigned credentials;
};

extern const struct tenant_id demo;

/* Of main(): its one argument is the plugin. */
bool begin_program(int argument_count, char **arguments);

void fixture_open(struct fixture *fixture, const struct fixture_options *options);
void fixture_close(struct fixture *fixture);
void broker_start(struct fixture *fixture);
void broker_kill(struct fixture *fixture); /* -9 */
void gateway_start(struct fixture *fixture);
void gateway_stop(struct fixture *fixture);
/* To one that the broker, which has read it, does not know. */
void change_token(struct fixture *fixture);
/* Until the adapter says that the list has been pushed. */
void await_list(struct fixture *fixture);

/* A vehicle's certificate as keyd issues them; the Reference ID is its name. */
void make_vehicle(struct fixture *fixture, struct credential *ret_credential, struct uuid *ret_reference_id);
void make_claim(struct fixture *fixture, const char *name, struct credential *ret_credential);
void make_specimen(struct fixture *fixture, const struct authority *authority, const struct specimen *specimen,
		   struct credential *ret_credential);
struct uuid random_uuid(void);

/* What a change of the registry and its push are, in the order in which the platform does them. */
void deny(struct fixture *fixture, const struct serial *serial, const struct uuid *reference_id);
void suspend(struct fixture *fixture, const struct uuid *reference_id, bool is_suspended);

int64_t now_ms(void);
/* Waits for the condition, 2 ms at a time, and fails with its text after WAIT_LIMIT_MS. */
#define AWAIT(condition)                                                                      \
	do {                                                                                  \
		int64_t until_ms_ = now_ms() + WAIT_LIMIT_MS;                                 \
		while (!(condition)) {                                                        \
			if (now_ms() > until_ms_)                                             \
				fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition); \
			pause_ms(2);                                                          \
		}                                                                             \
	} while (0)
void pause_ms(int ms);

/* How many events of the kind, of the vehicle (NULL: of any), have been taken. */
size_t count_events(struct fixture *fixture, enum gateway_event_kind kind, const struct uuid *reference_id);
/* The last one. */
struct kept_event last_event(struct fixture *fixture, enum gateway_event_kind kind, const struct uuid *reference_id);
size_t count_claims(struct fixture *fixture);

/* Everything in the telemetry spool, read from its beginning: how many records of the vehicle hold the text. */
size_t count_telemetry(struct fixture *fixture, const struct uuid *reference_id, const char *text);

#endif
