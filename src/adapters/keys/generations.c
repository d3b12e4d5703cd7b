#include "adapters/keys/generations.h"

#include "adapters/keys/durable_cell.h"
#include "adapters/keys/vault_files.h"
#include "adapters/keys/wire.h"

#include <stdlib.h>

size_t vault_tenant_generation_count(const struct vault_tenant *tenant)
{
	return tenant->generations.newest == tenant->generations.oldest ? 1 : 2;
}

/* ---- keys in memory ------------------------------------------------------------------------------- */

/* The keys of some generations, made before anything of the tenant is changed: it must never be left without. */
struct prepared {
	struct generation_keys keys[KEY_GENERATIONS_MAX];
	struct hmac_key *index_hmac[KEY_GENERATIONS_MAX];
};

static void close_hmacs(struct hmac_key *hmacs[static KEY_GENERATIONS_MAX])
{
	for (size_t i = 0; i < KEY_GENERATIONS_MAX; i++) {
		hmac_key_close(hmacs[i]);
		hmacs[i] = NULL;
	}
}

static void prepared_release(struct prepared *prepared)
{
	close_hmacs(prepared->index_hmac);
	secret_wipe(prepared->keys, sizeof(prepared->keys));
}
#define PREPARED_CLEANUP __attribute__((cleanup(prepared_release)))

static enum result prepare(const struct tenant_table *table, const struct tenant_id *id,
			   struct key_generations generations, struct prepared *prepared)
{
	struct span root = span_of(table->root_key.data, table->root_key.size);
	size_t count = generations.newest == generations.oldest ? 1 : 2;
	for (size_t i = 0; i < count; i++) {
		struct generation_keys *keys = &prepared->keys[i];
		TRY(generation_keys_derive(root, id, (uint16_t)(generations.newest - i), keys));
		TRY(hmac_key_open(span_of(keys->index, TENANT_KEY_SIZE), &prepared->index_hmac[i]));
	}
	return RESULT_OK;
}

/* Cannot fail. The tenant's former keys go. */
static void adopt(struct vault_tenant *tenant, struct key_generations generations, struct prepared *prepared)
{
	close_hmacs(tenant->index_hmac);
	memcpy(tenant->index_hmac, prepared->index_hmac, sizeof(tenant->index_hmac));
	memset(prepared->index_hmac, 0, sizeof(prepared->index_hmac));
	memcpy(tenant->keys->generations, prepared->keys, sizeof(tenant->keys->generations));
	tenant->generations = generations;
}

static enum result load_fingerprint(const struct tenant_table *table, struct vault_tenant *tenant)
{
	struct span root = span_of(table->root_key.data, table->root_key.size);
	TRY(fingerprint_key_derive(root, &tenant->id, tenant->keys->fingerprint));
	return hmac_key_open(span_of(tenant->keys->fingerprint, TENANT_KEY_SIZE), &tenant->fingerprint_hmac);
}

static void tenant_free(struct vault_tenant *tenant)
{
	if (!tenant)
		return;
	close_hmacs(tenant->index_hmac);
	hmac_key_close(tenant->fingerprint_hmac);
	pthread_mutex_destroy(&tenant->mutex);
	free(tenant);
}

/* The tenant takes the next place in locked memory, but is not counted yet. */
static enum result tenant_make(struct tenant_table *table, const struct tenant_id *id,
			       struct key_generations generations, struct vault_tenant **ret_tenant)
{
	PREPARED_CLEANUP struct prepared prepared = {0};
	if (table->count >= KEYS_TENANTS_MAX)
		return RESULT_EXHAUSTED;
	TRY(prepare(table, id, generations, &prepared));
	struct vault_tenant *tenant = calloc(1, sizeof(*tenant));
	if (!tenant)
		return RESULT_MEMORY;
	int64_t now = clock_monotonic_ms(table->clock);
	tenant->id = *id;
	tenant->keys = (struct tenant_keys *)(void *)table->keys.data + table->count;
	pthread_mutex_init(&tenant->mutex, NULL);
	token_bucket_init(&tenant->index_bucket, table->budgets.index_per_second, table->budgets.index_burst, now);
	token_bucket_init(&tenant->seal_bucket, table->budgets.seal_per_second, table->budgets.seal_per_second, now);
	token_bucket_init(&tenant->fingerprint_bucket, table->budgets.fingerprint_per_second,
			  table->budgets.fingerprint_per_second, now);
	adopt(tenant, generations, &prepared);
	enum result result = load_fingerprint(table, tenant);
	if (result != RESULT_OK) {
		tenant_free(tenant);
		return result;
	}
	*ret_tenant = tenant;
	return RESULT_OK;
}

/* ---- the durable table: count u16 | records -------------------------------------------------------- */

static enum result read_record(struct wire_reader *reader, struct tenant_id *ret_id,
			       struct key_generations *ret_generations)
{
	char text[TENANT_ID_LENGTH_MAX + 1] = {0};
	wire_get(reader, text, TENANT_ID_LENGTH_MAX);
	ret_generations->newest = wire_get_u16(reader);
	ret_generations->oldest = wire_get_u16(reader);
	int between = ret_generations->newest - ret_generations->oldest;
	if (reader->failed || ret_generations->oldest == 0 || between < 0 || between >= KEY_GENERATIONS_MAX)
		return RESULT_CORRUPT;
	return tenant_id_parse(span_of_text(text), ret_id) == RESULT_OK ? RESULT_OK : RESULT_CORRUPT;
}

static enum result read_tenants(struct tenant_table *table, struct span stored)
{
	struct wire_reader reader = {.rest = stored};
	size_t count = wire_get_u16(&reader);
	if (count > KEYS_TENANTS_MAX)
		return RESULT_CORRUPT;
	while (table->count < count) {
		struct tenant_id id;
		struct key_generations generations;
		TRY(read_record(&reader, &id, &generations));
		TRY(tenant_make(table, &id, generations, &table->tenants[table->count]));
		table->count++;
	}
	return wire_end(&reader) == RESULT_OK ? RESULT_OK : RESULT_CORRUPT;
}

static enum result append_record(struct buf *buf, const struct tenant_id *id, struct key_generations generations)
{
	TRY(wire_put(buf, id->text, TENANT_ID_LENGTH_MAX));
	TRY(wire_put_u16(buf, generations.newest));
	return wire_put_u16(buf, generations.oldest);
}

/* The table as it will be: `changed` with other generations, `added` at the end; both may be NULL. */
static enum result store(struct tenant_table *table, const struct vault_tenant *changed,
			 struct key_generations generations, const struct vault_tenant *added, struct note *note)
{
	BUF_CLEANUP struct buf content = {.size_max = TENANTS_CELL_SIZE};
	TRY(wire_put_u16(&content, (uint16_t)(table->count + (added ? 1 : 0))));
	for (size_t i = 0; i < table->count; i++) {
		const struct vault_tenant *tenant = table->tenants[i];
		TRY(append_record(&content, &tenant->id, tenant == changed ? generations : tenant->generations));
	}
	if (added)
		TRY(append_record(&content, &added->id, added->generations));
	return durable_cell_store(table->cell, buf_span(&content), note);
}

/* ---- opening -------------------------------------------------------------------------------------- */

static enum result read_root_key(struct tenant_table *table, const char *directory, struct note *note)
{
	char path[PATH_SIZE];
	BUF_CLEANUP struct buf content = {.size_max = ROOT_KEY_SIZE + 1};
	TRY(path_join(directory, VAULT_ROOT_KEY, path));
	TRY(file_read(path, &content, note));
	TRY(file_check_private(path, note));
	if (content.size != ROOT_KEY_SIZE) {
		note_set(note, "%s must hold %d bytes", path, ROOT_KEY_SIZE);
		return RESULT_CORRUPT;
	}
	TRY(secret_init(&table->root_key, ROOT_KEY_SIZE, note));
	memcpy(table->root_key.data, content.data, ROOT_KEY_SIZE);
	return RESULT_OK;
}

enum result tenant_table_open(const struct keys_local_config *config, struct tenant_table *table, struct note *note)
{
	char path[PATH_SIZE];
	BUF_CLEANUP struct buf stored = {.size_max = TENANTS_CELL_SIZE};
	table->budgets = config->budgets;
	table->clock = config->clock;
	TRY(read_root_key(table, config->directory, note));
	TRY(secret_init(&table->keys, KEYS_TENANTS_MAX * sizeof(struct tenant_keys), note));
	TRY(path_join(config->directory, VAULT_TENANTS, path));
	TRY(durable_cell_open(path, TENANTS_CELL_SIZE, &stored, &table->cell, note));
	enum result result = read_tenants(table, buf_span(&stored));
	if (result == RESULT_CORRUPT)
		note_set(note, "%s holds something else than tenants", path);
	return result;
}

void tenant_table_release(struct tenant_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		tenant_free(table->tenants[i]);
	table->count = 0;
	durable_cell_close(table->cell);
	table->cell = NULL;
	secret_release(&table->keys);
	secret_release(&table->root_key);
}

/* ---- use ------------------------------------------------------------------------------------------ */

enum result tenant_table_find(struct tenant_table *table, const struct tenant_id *id, struct vault_tenant **ret_tenant)
{
	for (size_t i = 0; i < table->count; i++) {
		if (tenant_id_equal(&table->tenants[i]->id, id)) {
			*ret_tenant = table->tenants[i];
			return RESULT_OK;
		}
	}
	return RESULT_ABSENT;
}

enum result vault_tenant_keys_of(const struct vault_tenant *tenant, const struct sealed_vin *sealed,
				 const struct generation_keys **ret_keys)
{
	uint16_t generation = 0;
	TRY(sealed_vin_generation(sealed, &generation));
	if (generation < tenant->generations.oldest || generation > tenant->generations.newest)
		return RESULT_CORRUPT;
	*ret_keys = &tenant->keys->generations[tenant->generations.newest - generation];
	return RESULT_OK;
}

enum result tenant_table_add(struct tenant_table *table, const struct tenant_id *id, struct note *note)
{
	struct vault_tenant *known = NULL;
	if (tenant_table_find(table, id, &known) == RESULT_OK)
		return RESULT_OK;
	struct vault_tenant *tenant = NULL;
	struct key_generations first = {.newest = 1, .oldest = 1};
	TRY(tenant_make(table, id, first, &tenant));
	enum result result = store(table, NULL, first, tenant, note);
	if (result != RESULT_OK) {
		tenant_free(tenant);
		return result;
	}
	table->tenants[table->count++] = tenant;
	return RESULT_OK;
}

enum result tenant_table_set_generations(struct tenant_table *table, struct vault_tenant *tenant,
					 struct key_generations generations, struct note *note)
{
	PREPARED_CLEANUP struct prepared prepared = {0};
	TRY(prepare(table, &tenant->id, generations, &prepared));
	TRY(store(table, tenant, generations, NULL, note));
	adopt(tenant, generations, &prepared);
	return RESULT_OK;
}
