/*
 * What the tests of keys and certificates share: the adapters to run over, each behind the same two ports, with a
 * vault of its own in a directory that goes away.
 */
#ifndef VINVEIL_TESTS_CONTRACT_KEYS_FIXTURE_H
#define VINVEIL_TESTS_CONTRACT_KEYS_FIXTURE_H

#include "tests/unit/cmocka_all.h"

#include "adapters/keys/keyd_client.h"
#include "tests/unit/adapters/keys_support.h"

#include <sys/types.h>

#define COUNT(array)	   (sizeof(array) / sizeof((array)[0]))
#define REVEALS_PER_HOUR   5
#define ISSUANCES_PER_HOUR 60 /* below 100 they are reserved one by one */

struct fixture;

struct keys_adapter {
	const char *name;
	void (*open)(struct fixture *fixture);
	/* Without a word of farewell, where there is a process to kill. */
	void (*close)(struct fixture *fixture);
	/* Budgets of a second are full afterwards; those of an hour are as they were. */
	void (*refill)(struct fixture *fixture);
};

extern const struct keys_adapter keys_adapters[];
extern const size_t keys_adapter_count;

struct fixture {
	const struct keys_adapter *adapter;
	struct test_vault vault; /* open itself only behind the adapter `local` */
	struct key_service *keys;
	struct cert_authority *authority;
	struct keyd_client *client;
	pid_t daemon;
	char config_path[PATH_SIZE], socket_path[PATH_SIZE];
};

/* A fresh vault with the tenants demo and other. */
void fixture_open(struct fixture *fixture, const struct keys_adapter *adapter);
void fixture_reopen(struct fixture *fixture);
void fixture_close(struct fixture *fixture);

/* Of main(): its one argument is the daemon's program. */
bool begin_program(int argument_count, char **arguments);

#endif
