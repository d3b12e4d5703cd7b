/*
 * What the registry's tests share: adapters to run over, a directory that goes away, records with a number in
 * them, and commits that must succeed or be refused in one particular way.
 */
#ifndef VINVEIL_TESTS_CONTRACT_REGISTRY_FIXTURE_H
#define VINVEIL_TESTS_CONTRACT_REGISTRY_FIXTURE_H

#include "tests/unit/cmocka_all.h"

#include "base/clock.h"
#include "vehicle/ports/registry.h"

struct registry_adapter {
	const char *name;
	struct registry *(*open)(const char *directory, struct clock *clock);
	void (*close)(struct registry *registry);
};

extern const struct registry_adapter registry_adapters[];
extern const size_t registry_adapter_count;

/* Time that stands still until it is moved. */
struct test_clock {
	struct clock clock;
	int64_t now_ms;
};

struct fixture {
	const struct registry_adapter *adapter;
	char directory[64];
	struct test_clock clock;
	struct registry *registry;
	struct arena arena;
};

#define NOW_MS	     INT64_C(1767323045678) /* 2026-01-02T03:04:05.678Z */
#define DAY_MS	     INT64_C(86400000)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

extern const struct tenant_id demo, other;

/* A fresh registry with the tenants demo and other. */
void fixture_open(struct fixture *fixture, const struct registry_adapter *adapter);
void fixture_reopen(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
void make_directory(char ret_directory[static 64]);
void remove_directory(const char *directory);

struct uuid uuid_numbered(uint32_t number);
struct serial serial_numbered(uint32_t number);
struct vehicle vehicle_numbered(uint32_t number); /* tenant demo, device "device-N" */
struct vin_index_set index_numbered(uint32_t number, uint16_t generation);
struct certificate_record certificate_numbered(uint32_t number, const struct vehicle *vehicle);

#define COMMIT(registry, ...)                                               \
	commit_ok((registry), (const struct registry_write[]){__VA_ARGS__}, \
		  sizeof((const struct registry_write[]){__VA_ARGS__}) / sizeof(struct registry_write))
#define REFUSED(registry, conflict, ...)                                                     \
	commit_refused((registry), (conflict), (const struct registry_write[]){__VA_ARGS__}, \
		       sizeof((const struct registry_write[]){__VA_ARGS__}) / sizeof(struct registry_write))

void commit_ok(struct registry *registry, const struct registry_write *writes, size_t count);
void commit_refused(struct registry *registry, enum registry_conflict conflict, const struct registry_write *writes,
		    size_t count);
enum result commit_try(struct registry *registry, const struct registry_write *writes, size_t count,
		       enum registry_conflict *ret_conflict);

/* Vehicle, VIN index (generation 1), first history entry and leaf, as a provisioning writes them. */
enum result provision(struct registry *registry, uint32_t number, enum registry_conflict *ret_conflict);
enum result provision_as(struct registry *registry, const struct vehicle *vehicle, const struct vin_index_set *indexes,
			 const struct uuid *leaf_id, enum registry_conflict *ret_conflict);
void provision_ok(struct registry *registry, uint32_t number);
bool vehicle_is_there(struct fixture *fixture, uint32_t number);

#endif
