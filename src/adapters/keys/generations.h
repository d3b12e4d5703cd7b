/*
 * The tenants that the vault knows, their live key generations (durable) and their keys (in locked memory).
 *
 * Not thread-safe by itself: readers and writers are held apart by the vault's lock; what a reader changes (budgets,
 * HMAC contexts) stands behind the tenant's own mutex.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_GENERATIONS_H
#define VINVEIL_ADAPTERS_KEYS_GENERATIONS_H

#include "adapters/keys/budget.h"
#include "adapters/keys/local.h"
#include "adapters/keys/sealing.h"

#include <pthread.h>

/* In locked memory. */
struct tenant_keys {
	struct generation_keys generations[KEY_GENERATIONS_MAX]; /* newest first */
	uint8_t fingerprint[TENANT_KEY_SIZE];
};

struct vault_tenant {
	struct tenant_id id;
	struct key_generations generations;
	struct tenant_keys *keys;
	pthread_mutex_t mutex; /* of what follows */
	struct hmac_key *index_hmac[KEY_GENERATIONS_MAX];
	struct hmac_key *fingerprint_hmac;
	struct token_bucket index_bucket, seal_bucket, fingerprint_bucket;
};

struct tenant_table {
	struct durable_cell *cell;
	struct secret root_key;
	struct secret keys; /* struct tenant_keys [KEYS_TENANTS_MAX] */
	struct key_budgets budgets;
	struct clock *clock;
	struct vault_tenant *tenants[KEYS_TENANTS_MAX]; /* in the order of their making */
	size_t count;
};

/* Reads root key and tenants; release also after a failure. */
MUST_USE enum result tenant_table_open(const struct keys_local_config *config, struct tenant_table *table,
				       struct note *note);
void tenant_table_release(struct tenant_table *table);

/* RESULT_ABSENT. Borrowed. */
MUST_USE enum result tenant_table_find(struct tenant_table *table, const struct tenant_id *id,
				       struct vault_tenant **ret_tenant);
/* How many generations live: 1 or 2. */
size_t vault_tenant_generation_count(const struct vault_tenant *tenant);
/* RESULT_CORRUPT for a blob of a generation that does not live. */
MUST_USE enum result vault_tenant_keys_of(const struct vault_tenant *tenant, const struct sealed_vin *sealed,
					  const struct generation_keys **ret_keys);

/* Changes: durable when they return. Adding a known tenant changes nothing. */
MUST_USE enum result tenant_table_add(struct tenant_table *table, const struct tenant_id *id, struct note *note);
MUST_USE enum result tenant_table_set_generations(struct tenant_table *table, struct vault_tenant *tenant,
						  struct key_generations generations, struct note *note);

#endif
