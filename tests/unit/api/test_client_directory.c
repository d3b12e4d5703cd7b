#include "api/client_directory.h"

#include "../cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define CLIENT_COUNT 100

/* A registry that can list, and nothing else. */
struct listing {
	struct registry registry;
	struct tenant tenant;
	struct client clients[CLIENT_COUNT];
	size_t count;
	enum result result;
};

static enum result list_tenants(struct registry *registry, struct arena *arena, struct tenant **ret_tenants,
				size_t *ret_count, struct note *note)
{
	struct listing *listing = (struct listing *)registry;
	(void)arena;
	(void)note;
	*ret_tenants = &listing->tenant;
	*ret_count = 1;
	return listing->result;
}

static enum result list_clients(struct registry *registry, struct arena *arena, struct client **ret_clients,
				size_t *ret_count, struct note *note)
{
	struct listing *listing = (struct listing *)registry;
	(void)arena;
	(void)note;
	*ret_clients = listing->clients;
	*ret_count = listing->count;
	return RESULT_OK;
}

static const struct registry_ops ops = {.list_tenants = list_tenants, .list_clients = list_clients};

static void add(struct listing *listing, const char *tenant)
{
	struct client *client = &listing->clients[listing->count++];
	*client = (struct client){.state = CLIENT_ACTIVE, .fingerprint_count = 2};
	snprintf(client->id, sizeof client->id, "client-%zu", listing->count);
	snprintf(client->tenant.text, sizeof client->tenant.text, "%s", tenant);
	/* the worst case for open addressing: all begin alike */
	memset(client->fingerprints, 7, sizeof client->fingerprints);
	client->fingerprints[0][31] = (uint8_t)(listing->count * 2);
	client->fingerprints[1][31] = (uint8_t)(listing->count * 2 + 1);
}

static struct listing new_listing(void)
{
	struct listing listing = {.registry = {.ops = &ops}};
	snprintf(listing.tenant.id.text, sizeof listing.tenant.id.text, "demo");
	return listing;
}

static void clients_are_found_by_either_certificate(void **state)
{
	(void)state;
	struct listing listing = new_listing();
	struct client_directory *directory;
	for (int i = 0; i < CLIENT_COUNT; i++)
		add(&listing, "demo");
	assert_int_equal(client_directory_open(&listing.registry, &directory, NULL), RESULT_OK);
	struct client_snapshot *snapshot = client_directory_take(directory);
	for (int i = 0; i < CLIENT_COUNT; i++)
		for (int j = 0; j < 2; j++) {
			const struct principal *found =
				client_snapshot_find(snapshot, listing.clients[i].fingerprints[j]);
			assert_non_null(found);
			assert_string_equal(found->client.id, listing.clients[i].id);
			assert_string_equal(found->tenant.id.text, "demo");
		}
	uint8_t unknown[SHA256_SIZE] = {7};
	assert_null(client_snapshot_find(snapshot, unknown));
	client_snapshot_release(snapshot);
	client_directory_close(directory);
}

static void a_client_without_tenant_is_shut_out(void **state)
{
	(void)state;
	struct listing listing = new_listing();
	struct client_directory *directory;
	add(&listing, "gone");
	assert_int_equal(client_directory_open(&listing.registry, &directory, NULL), RESULT_OK);
	struct client_snapshot *snapshot = client_directory_take(directory);
	assert_null(client_snapshot_find(snapshot, listing.clients[0].fingerprints[0]));
	client_snapshot_release(snapshot);
	client_directory_close(directory);
}

static void a_reload_is_seen_and_an_old_snapshot_stays_readable(void **state)
{
	(void)state;
	struct listing listing = new_listing();
	struct client_directory *directory;
	add(&listing, "demo");
	assert_int_equal(client_directory_open(&listing.registry, &directory, NULL), RESULT_OK);
	struct client_snapshot *before = client_directory_take(directory);
	listing.clients[0].state = CLIENT_SUSPENDED;
	assert_int_equal(client_directory_reload(directory, NULL), RESULT_OK);
	struct client_snapshot *after = client_directory_take(directory);
	const uint8_t *fingerprint = listing.clients[0].fingerprints[0];
	assert_int_equal(client_snapshot_find(before, fingerprint)->client.state, CLIENT_ACTIVE);
	assert_int_equal(client_snapshot_find(after, fingerprint)->client.state, CLIENT_SUSPENDED);
	client_snapshot_release(before);
	client_snapshot_release(after);
	/* A registry that is away leaves what is known. */
	listing.result = RESULT_UNAVAILABLE;
	assert_int_equal(client_directory_reload(directory, NULL), RESULT_UNAVAILABLE);
	after = client_directory_take(directory);
	assert_non_null(client_snapshot_find(after, fingerprint));
	client_snapshot_release(after);
	client_directory_close(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_are_found_by_either_certificate),
		cmocka_unit_test(a_client_without_tenant_is_shut_out),
		cmocka_unit_test(a_reload_is_seen_and_an_old_snapshot_stays_readable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
