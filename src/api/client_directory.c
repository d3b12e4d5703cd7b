#include "api/client_directory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct slot {
	uint8_t fingerprint[SHA256_SIZE];
	uint32_t principal; /* number + 1; 0: free */
};

struct client_snapshot {
	atomic_size_t references;
	struct principal *principals;
	size_t principal_count;
	struct slot *slots; /* open addressing; at least twice as many as fingerprints */
	size_t slot_count;  /* a power of two */
};

struct client_directory {
	struct registry *registry;
	pthread_mutex_t reload_lock; /* so that an older reading never replaces a newer one */
	pthread_rwlock_t lock;	     /* of `current` */
	struct client_snapshot *current;
};

/* A fingerprint is a hash already: its first bytes are as good as any. */
static size_t slot_of(const struct client_snapshot *snapshot, const uint8_t *fingerprint)
{
	uint64_t value;
	memcpy(&value, fingerprint, sizeof value);
	return (size_t)value & (snapshot->slot_count - 1);
}

static void snapshot_index(struct client_snapshot *snapshot, uint32_t number, const uint8_t *fingerprint)
{
	size_t at = slot_of(snapshot, fingerprint);
	while (snapshot->slots[at].principal != 0)
		at = (at + 1) & (snapshot->slot_count - 1);
	memcpy(snapshot->slots[at].fingerprint, fingerprint, SHA256_SIZE);
	snapshot->slots[at].principal = number + 1;
}

static const struct tenant *find_tenant(const struct tenant *tenants, size_t count, const struct tenant_id *id)
{
	for (size_t i = 0; i < count; i++)
		if (tenant_id_equal(&tenants[i].id, id))
			return &tenants[i];
	return NULL;
}

static void snapshot_free(struct client_snapshot *snapshot)
{
	free(snapshot->principals);
	free(snapshot->slots);
	free(snapshot);
}

static struct client_snapshot *snapshot_new(size_t client_count)
{
	struct client_snapshot *snapshot = calloc(1, sizeof *snapshot);
	if (snapshot == NULL)
		return NULL;
	atomic_init(&snapshot->references, 1);
	snapshot->slot_count = 16;
	while (snapshot->slot_count < client_count * FINGERPRINTS_MAX * 2)
		snapshot->slot_count *= 2;
	snapshot->slots = calloc(snapshot->slot_count, sizeof *snapshot->slots);
	snapshot->principals = calloc(client_count > 0 ? client_count : 1, sizeof *snapshot->principals);
	if (snapshot->slots != NULL && snapshot->principals != NULL)
		return snapshot;
	snapshot_free(snapshot);
	return NULL;
}

/* A client whose tenant is not there would be a damaged registry: it is left out, and so shut out. */
static void snapshot_add(struct client_snapshot *snapshot, const struct client *client, const struct tenant *tenant)
{
	if (tenant == NULL)
		return;
	uint32_t number = (uint32_t)snapshot->principal_count++;
	snapshot->principals[number] = (struct principal){.client = *client, .tenant = *tenant};
	for (size_t i = 0; i < client->fingerprint_count; i++)
		snapshot_index(snapshot, number, client->fingerprints[i]);
}

#define DIRECTORY_SIZE_MAX ((size_t)256 << 20)

static enum result read_snapshot(struct registry *registry, struct client_snapshot **ret_snapshot, struct note *note)
{
	struct arena arena ARENA_CLEANUP = {.size_max = DIRECTORY_SIZE_MAX};
	struct client *clients;
	struct tenant *tenants;
	size_t client_count, tenant_count;

	TRY(registry->ops->list_tenants(registry, &arena, &tenants, &tenant_count, note));
	TRY(registry->ops->list_clients(registry, &arena, &clients, &client_count, note));
	struct client_snapshot *snapshot = snapshot_new(client_count);
	if (snapshot == NULL)
		return RESULT_MEMORY;
	for (size_t i = 0; i < client_count; i++)
		snapshot_add(snapshot, &clients[i], find_tenant(tenants, tenant_count, &clients[i].tenant));
	*ret_snapshot = snapshot;
	return RESULT_OK;
}

enum result client_directory_open(struct registry *registry, struct client_directory **ret_directory, struct note *note)
{
	struct client_directory *directory = calloc(1, sizeof *directory);
	if (directory == NULL)
		return RESULT_MEMORY;
	directory->registry = registry;
	enum result result = read_snapshot(registry, &directory->current, note);
	if (result != RESULT_OK) {
		free(directory);
		return result;
	}
	pthread_mutex_init(&directory->reload_lock, NULL);
	pthread_rwlock_init(&directory->lock, NULL);
	*ret_directory = directory;
	return RESULT_OK;
}

void client_directory_close(struct client_directory *directory)
{
	if (directory == NULL)
		return;
	client_snapshot_release(directory->current);
	pthread_rwlock_destroy(&directory->lock);
	pthread_mutex_destroy(&directory->reload_lock);
	free(directory);
}

static enum result reload_locked(struct client_directory *directory, struct note *note)
{
	struct client_snapshot *snapshot;
	TRY(read_snapshot(directory->registry, &snapshot, note));
	pthread_rwlock_wrlock(&directory->lock);
	struct client_snapshot *former = directory->current;
	directory->current = snapshot;
	pthread_rwlock_unlock(&directory->lock);
	client_snapshot_release(former);
	return RESULT_OK;
}

enum result client_directory_reload(struct client_directory *directory, struct note *note)
{
	pthread_mutex_lock(&directory->reload_lock);
	enum result result = reload_locked(directory, note);
	pthread_mutex_unlock(&directory->reload_lock);
	return result;
}

struct client_snapshot *client_directory_take(struct client_directory *directory)
{
	pthread_rwlock_rdlock(&directory->lock);
	struct client_snapshot *snapshot = directory->current;
	atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
	pthread_rwlock_unlock(&directory->lock);
	return snapshot;
}

void client_snapshot_release(struct client_snapshot *snapshot)
{
	if (atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) == 1)
		snapshot_free(snapshot);
}

const struct principal *client_snapshot_find(const struct client_snapshot *snapshot,
					     const uint8_t fingerprint[static SHA256_SIZE])
{
	size_t at = slot_of(snapshot, fingerprint);
	while (snapshot->slots[at].principal != 0) {
		if (memcmp(snapshot->slots[at].fingerprint, fingerprint, SHA256_SIZE) == 0)
			return &snapshot->principals[snapshot->slots[at].principal - 1];
		at = (at + 1) & (snapshot->slot_count - 1);
	}
	return NULL;
}

size_t client_snapshot_count(const struct client_snapshot *snapshot)
{
	return snapshot->principal_count;
}
