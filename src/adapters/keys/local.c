#include "adapters/keys/local.h"

#include "adapters/keys/checkpoint.h"
#include "adapters/keys/durable_cell.h"
#include "adapters/keys/generations.h"
#include "adapters/keys/vault_files.h"

#include <stdlib.h>

struct vault {
	struct key_service service;
	struct entropy *entropy;
	pthread_rwlock_t lock; /* of the table: written when a tenant is made or rotated */
	struct tenant_table table;
	pthread_mutex_t reveal_mutex;
	struct durable_cell *reveal_cell;
	struct reveal_budget reveals;
	struct checkpoint_signer signer;
};

static struct vault *vault_of(struct key_service *service)
{
	return (struct vault *)service;
}

/* Finds the tenant and leaves the table locked for reading; RESULT_ABSENT leaves it unlocked. */
static enum result enter(struct vault *vault, const struct tenant_id *id, struct vault_tenant **ret_tenant,
			 struct note *note)
{
	pthread_rwlock_rdlock(&vault->lock);
	enum result result = tenant_table_find(&vault->table, id, ret_tenant);
	if (result != RESULT_OK) {
		pthread_rwlock_unlock(&vault->lock);
		note_set(note, "the key daemon knows no such tenant");
	}
	return result;
}

static void leave(struct vault *vault)
{
	pthread_rwlock_unlock(&vault->lock);
}

static enum result create_tenant(struct key_service *service, const struct tenant_id *tenant, struct note *note)
{
	struct vault *vault = vault_of(service);
	pthread_rwlock_wrlock(&vault->lock);
	enum result result = tenant_table_add(&vault->table, tenant, note);
	pthread_rwlock_unlock(&vault->lock);
	return result;
}

/* ---- indexes -------------------------------------------------------------------------------------- */

static enum result compute_index(struct vault_tenant *tenant, size_t place, const struct hashed_vin *vin,
				 struct vin_index *ret_index)
{
	uint8_t code[SHA256_SIZE];
	TRY(hmac_sha256(tenant->index_hmac[place], span_of(vin->bytes, SHA256_SIZE), code));
	ret_index->generation = (uint16_t)(tenant->generations.newest - place);
	memcpy(ret_index->bytes, code, VIN_INDEX_SIZE);
	secret_wipe(code, sizeof(code));
	return RESULT_OK;
}

static enum result compute_sets(struct vault *vault, struct vault_tenant *tenant, const struct hashed_vin *vins,
				size_t count, struct vin_index_set *ret_sets, struct note *note)
{
	int64_t now = clock_monotonic_ms(vault->table.clock);
	size_t generations = vault_tenant_generation_count(tenant);
	if (token_bucket_take(&tenant->index_bucket, (int64_t)count, now) != RESULT_OK) {
		note_set(note, "the key daemon's budget of VIN indexes is used up for the moment");
		return RESULT_EXHAUSTED;
	}
	for (size_t i = 0; i < count; i++) {
		ret_sets[i].count = generations;
		for (size_t place = 0; place < generations; place++)
			TRY(compute_index(tenant, place, &vins[i], &ret_sets[i].indexes[place]));
	}
	return RESULT_OK;
}

static enum result index_vins(struct key_service *service, const struct tenant_id *tenant_id,
			      const struct hashed_vin *vins, size_t count, struct vin_index_set *ret_sets,
			      struct note *note)
{
	struct vault *vault = vault_of(service);
	struct vault_tenant *tenant = NULL;
	if (count == 0 || count > KEY_INDEX_BATCH_MAX)
		return RESULT_INVALID;
	TRY(enter(vault, tenant_id, &tenant, note));
	pthread_mutex_lock(&tenant->mutex);
	enum result result = compute_sets(vault, tenant, vins, count, ret_sets, note);
	pthread_mutex_unlock(&tenant->mutex);
	leave(vault);
	return result;
}

/* ---- sealing -------------------------------------------------------------------------------------- */

static enum result take_seal(struct vault *vault, struct vault_tenant *tenant, struct note *note)
{
	int64_t now = clock_monotonic_ms(vault->table.clock);
	pthread_mutex_lock(&tenant->mutex);
	enum result result = token_bucket_take(&tenant->seal_bucket, 1, now);
	pthread_mutex_unlock(&tenant->mutex);
	if (result != RESULT_OK)
		note_set(note, "the key daemon's budget of sealings is used up for the moment");
	return result;
}

static enum result seal_vin(struct key_service *service, const struct tenant_id *tenant_id,
			    const struct uuid *reference_id, const struct vin *vin, struct sealed_vin *ret_sealed,
			    struct note *note)
{
	struct vault *vault = vault_of(service);
	struct vault_tenant *tenant = NULL;
	TRY(enter(vault, tenant_id, &tenant, note));
	enum result result = take_seal(vault, tenant, note);
	if (result == RESULT_OK)
		result = vin_seal(&tenant->keys->generations[0], tenant->generations.newest, tenant_id, reference_id,
				  vin, vault->entropy, ret_sealed);
	leave(vault);
	return result;
}

static enum result unseal(struct vault_tenant *tenant, const struct uuid *reference_id, const struct sealed_vin *sealed,
			  struct vin *ret_vin)
{
	const struct generation_keys *keys = NULL;
	TRY(vault_tenant_keys_of(tenant, sealed, &keys));
	return vin_unseal(keys, &tenant->id, reference_id, sealed, ret_vin);
}

/* Until protocol v2 carries signatures this checks no more than that two persons are named (product rule 14). */
static enum result check_authorisation(const struct reveal_authorisation *authorisation, struct note *note)
{
	if (authorisation->requested_by[0] != '\0' && authorisation->approved_by[0] != '\0' &&
	    strcmp(authorisation->requested_by, authorisation->approved_by) != 0)
		return RESULT_OK;
	note_set(note, "a reveal must name two persons");
	return RESULT_DENIED;
}

static enum result take_reveal(struct vault *vault, struct note *note)
{
	pthread_mutex_lock(&vault->reveal_mutex);
	enum result result = reveal_budget_take(&vault->reveals, note);
	pthread_mutex_unlock(&vault->reveal_mutex);
	return result;
}

static enum result open_vin(struct key_service *service, const struct tenant_id *tenant_id,
			    const struct uuid *reference_id, const struct sealed_vin *sealed,
			    const struct reveal_authorisation *authorisation, struct vin *ret_vin, struct note *note)
{
	struct vault *vault = vault_of(service);
	struct vault_tenant *tenant = NULL;
	struct vin vin = {0};
	TRY(check_authorisation(authorisation, note));
	TRY(enter(vault, tenant_id, &tenant, note));
	/* Opened before it is paid for, so that a damaged blob costs nothing; given out only when it is paid. */
	enum result result = unseal(tenant, reference_id, sealed, &vin);
	leave(vault);
	if (result == RESULT_OK)
		result = take_reveal(vault, note);
	if (result == RESULT_OK)
		*ret_vin = vin;
	secret_wipe(&vin, sizeof(vin));
	return result;
}

static enum result reseal_opened(struct vault *vault, struct vault_tenant *tenant, const struct vin *vin,
				 struct reseal_item *item)
{
	struct hashed_vin hash = {0};
	struct sealed_vin sealed;
	struct vin_index index;
	TRY(vin_seal(&tenant->keys->generations[0], tenant->generations.newest, &tenant->id, &item->reference_id, vin,
		     vault->entropy, &sealed));
	TRY(vin_hash(vin, &hash));
	pthread_mutex_lock(&tenant->mutex);
	enum result result = compute_index(tenant, 0, &hash, &index);
	pthread_mutex_unlock(&tenant->mutex);
	secret_wipe(&hash, sizeof(hash));
	if (result == RESULT_OK) {
		item->sealed = sealed;
		item->index = index;
	}
	return result;
}

static enum result reseal_vins(struct key_service *service, const struct tenant_id *tenant_id,
			       struct reseal_item *items, size_t count, struct note *note)
{
	struct vault *vault = vault_of(service);
	struct vault_tenant *tenant = NULL;
	if (count == 0 || count > KEY_RESEAL_BATCH_MAX)
		return RESULT_INVALID;
	TRY(enter(vault, tenant_id, &tenant, note));
	for (size_t i = 0; i < count; i++) {
		struct vin vin = {0};
		items[i].result = unseal(tenant, &items[i].reference_id, &items[i].sealed, &vin);
		if (items[i].result == RESULT_OK)
			items[i].result = reseal_opened(vault, tenant, &vin, &items[i]);
		secret_wipe(&vin, sizeof(vin));
	}
	leave(vault);
	return RESULT_OK;
}

/* A stored fingerprint of a body that held a VIN could be found by trying VINs, were this not limited as well. */
static enum result compute_fingerprint(struct vault *vault, struct vault_tenant *tenant, struct span content,
				       uint8_t ret_fingerprint[SHA256_SIZE], struct note *note)
{
	int64_t now = clock_monotonic_ms(vault->table.clock);
	if (token_bucket_take(&tenant->fingerprint_bucket, 1, now) == RESULT_OK)
		return hmac_sha256(tenant->fingerprint_hmac, content, ret_fingerprint);
	note_set(note, "the key daemon's budget of fingerprints is used up for the moment");
	return RESULT_EXHAUSTED;
}

static enum result fingerprint(struct key_service *service, const struct tenant_id *tenant_id, struct span content,
			       uint8_t ret_fingerprint[SHA256_SIZE], struct note *note)
{
	struct vault *vault = vault_of(service);
	struct vault_tenant *tenant = NULL;
	TRY(enter(vault, tenant_id, &tenant, note));
	pthread_mutex_lock(&tenant->mutex);
	enum result result = compute_fingerprint(vault, tenant, content, ret_fingerprint, note);
	pthread_mutex_unlock(&tenant->mutex);
	leave(vault);
	return result;
}

/* ---- generations ---------------------------------------------------------------------------------- */

static enum result get_generations(struct key_service *service, const struct tenant_id *tenant_id,
				   struct key_generations *ret_generations, struct note *note)
{
	struct vault *vault = vault_of(service);
	struct vault_tenant *tenant = NULL;
	TRY(enter(vault, tenant_id, &tenant, note));
	*ret_generations = tenant->generations;
	leave(vault);
	return RESULT_OK;
}

static enum result begin_locked(struct vault *vault, const struct tenant_id *tenant_id,
				struct key_generations *ret_generations, struct note *note)
{
	struct vault_tenant *tenant = NULL;
	TRY(tenant_table_find(&vault->table, tenant_id, &tenant));
	struct key_generations next = tenant->generations;
	/* One that was begun already goes on: asking again after a crash must not make a third generation. */
	if (next.newest == next.oldest) {
		if (next.newest == UINT16_MAX)
			return RESULT_EXHAUSTED;
		next.newest++;
		TRY(tenant_table_set_generations(&vault->table, tenant, next, note));
	}
	*ret_generations = next;
	return RESULT_OK;
}

static enum result begin_rotation(struct key_service *service, const struct tenant_id *tenant_id,
				  struct key_generations *ret_generations, struct note *note)
{
	struct vault *vault = vault_of(service);
	pthread_rwlock_wrlock(&vault->lock);
	enum result result = begin_locked(vault, tenant_id, ret_generations, note);
	pthread_rwlock_unlock(&vault->lock);
	return result;
}

static enum result finish_locked(struct vault *vault, const struct tenant_id *tenant_id, struct note *note)
{
	struct vault_tenant *tenant = NULL;
	TRY(tenant_table_find(&vault->table, tenant_id, &tenant));
	struct key_generations only = {.newest = tenant->generations.newest, .oldest = tenant->generations.newest};
	if (tenant->generations.oldest == only.oldest)
		return RESULT_OK;
	return tenant_table_set_generations(&vault->table, tenant, only, note);
}

static enum result finish_rotation(struct key_service *service, const struct tenant_id *tenant_id, struct note *note)
{
	struct vault *vault = vault_of(service);
	pthread_rwlock_wrlock(&vault->lock);
	enum result result = finish_locked(vault, tenant_id, note);
	pthread_rwlock_unlock(&vault->lock);
	return result;
}

/* ---- checkpoints ---------------------------------------------------------------------------------- */

static enum result sign_checkpoint(struct key_service *service, uint64_t size, const struct merkle_hash *root,
				   const struct merkle_proof *proof, struct buf *ret_note, struct note *note)
{
	return checkpoint_sign(&vault_of(service)->signer, size, root, proof, ret_note, note);
}

static enum result last_checkpoint(struct key_service *service, uint64_t *ret_size, struct merkle_hash *ret_root,
				   struct note *note)
{
	(void)note;
	checkpoint_last(&vault_of(service)->signer, ret_size, ret_root);
	return RESULT_OK;
}

static const struct key_service_ops vault_ops = {
	.create_tenant = create_tenant,
	.index_vins = index_vins,
	.seal_vin = seal_vin,
	.open_vin = open_vin,
	.reseal_vins = reseal_vins,
	.fingerprint = fingerprint,
	.get_generations = get_generations,
	.begin_rotation = begin_rotation,
	.finish_rotation = finish_rotation,
	.sign_checkpoint = sign_checkpoint,
	.last_checkpoint = last_checkpoint,
};

/* ---- opening -------------------------------------------------------------------------------------- */

static enum result open_reveals(struct vault *vault, const struct keys_local_config *config, struct note *note)
{
	char path[PATH_SIZE];
	BUF_CLEANUP struct buf stored = {.size_max = REVEALS_CELL_SIZE};
	TRY(path_join(config->directory, VAULT_REVEALS, path));
	TRY(durable_cell_open(path, REVEALS_CELL_SIZE, &stored, &vault->reveal_cell, note));
	enum result result = reveal_budget_open(vault->reveal_cell, config->clock, config->budgets.reveals_per_hour,
						config->budgets.reveals_per_day, buf_span(&stored), &vault->reveals);
	if (result != RESULT_OK)
		note_set(note, "%s holds something else than a budget", path);
	return result;
}

static enum result vault_open(struct vault *vault, const struct keys_local_config *config, struct note *note)
{
	TRY(tenant_table_open(config, &vault->table, note));
	TRY(open_reveals(vault, config, note));
	return checkpoint_signer_open(config->directory, config->origin, &vault->signer, note);
}

enum result keys_local_open(const struct keys_local_config *config, struct key_service **ret_service, struct note *note)
{
	struct keys_local_config complete = *config;
	if (!complete.origin)
		complete.origin = KEYS_ORIGIN_DEFAULT;
	if (!complete.clock)
		complete.clock = clock_system();
	if (!complete.entropy)
		complete.entropy = entropy_system();
	struct vault *vault = calloc(1, sizeof(*vault));
	if (!vault)
		return RESULT_MEMORY;
	vault->service.ops = &vault_ops;
	vault->entropy = complete.entropy;
	pthread_rwlock_init(&vault->lock, NULL);
	pthread_mutex_init(&vault->reveal_mutex, NULL);
	enum result result = vault_open(vault, &complete, note);
	if (result != RESULT_OK) {
		keys_local_close(&vault->service);
		return result;
	}
	*ret_service = &vault->service;
	return RESULT_OK;
}

void keys_local_close(struct key_service *service)
{
	if (!service)
		return;
	struct vault *vault = vault_of(service);
	tenant_table_release(&vault->table);
	durable_cell_close(vault->reveal_cell);
	checkpoint_signer_release(&vault->signer);
	pthread_rwlock_destroy(&vault->lock);
	pthread_mutex_destroy(&vault->reveal_mutex);
	free(vault);
}
