#include "support.h"

#include "adapters/registry/sqlite.h"
#include "base/text.h"
#include "vehicle/clients.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *name_of(enum problem problem)
{
	return problem == PROBLEM_NONE ? "none" : problem_name(problem);
}

static int64_t fake_now(struct clock *clock)
{
	return ((struct fake_clock *)clock)->now_ms;
}

void commit_together(struct fixture *fixture, const struct registry_write *writes, size_t count)
{
	struct change_set change = {.writes = writes, .count = count};
	enum registry_conflict conflict;
	struct note note = {0};
	enum result result =
		fixture->platform.registry->ops->commit(fixture->platform.registry, &change, &conflict, &note);

	if (result != RESULT_OK)
		print_error("commit: %s (%d) %s\n", result_name(result), (int)conflict, note.text);
	assert_ok(result);
}

void commit_alone(struct fixture *fixture, struct registry_write write)
{
	commit_together(fixture, &write, 1);
}

static struct tenant add_tenant(struct fixture *fixture, const char *id)
{
	struct tenant tenant = {.check_digit = CHECK_DIGIT_OFF, .created_at_ms = START_MS};

	assert_ok(tenant_id_parse(span_of_text(id), &tenant.id));
	assert_ok(fixture->keys.service.ops->create_tenant(&fixture->keys.service, &tenant.id, NULL));
	commit_alone(fixture, (struct registry_write){.kind = REGISTRY_INSERT_TENANT, .tenant = &tenant});
	return tenant;
}

static struct client insert_client(struct fixture *fixture, const struct tenant *tenant, const char *id,
				   uint32_t scopes, const char *purpose)
{
	struct client client = {.tenant = tenant->id,
				.scopes = scopes,
				.purpose_count = 1,
				.state = CLIENT_ACTIVE,
				.created_at_ms = START_MS,
				.version = 1};

	snprintf(client.id, sizeof(client.id), "%s", id);
	snprintf(client.purposes[0], sizeof(client.purposes[0]), "%s", purpose);
	commit_alone(fixture, (struct registry_write){.kind = REGISTRY_INSERT_CLIENT, .client = &client});
	return client;
}

struct client add_client(struct fixture *fixture, const char *id, uint32_t scopes, const char *purpose)
{
	return insert_client(fixture, &fixture->tenant, id, scopes, purpose);
}

static void open_registry(struct fixture *fixture)
{
	struct registry_sqlite_options options = {.clock = &fixture->clock.clock};
	char path[96];
	struct note note = {0};

	snprintf(path, sizeof(path), "%s/registry.db", fixture->directory);
	enum result result = registry_sqlite_open(path, &options, &fixture->platform.registry, &note);
	if (result != RESULT_OK)
		print_error("registry: %s\n", note.text);
	assert_ok(result);
}

int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	assert_ok(crypto_init(NULL));
	snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/vinveil-vehicle-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	fixture->clock = (struct fake_clock){{fake_now, fake_now}, START_MS};
	fake_keys_init(&fixture->keys);
	assert_ok(fake_authority_init(&fixture->authority, &fixture->clock.clock));
	fake_audit_init(&fixture->audit);
	fake_gateway_init(&fixture->gateway);
	fixture->platform = (struct platform){.keys = &fixture->keys.service,
					      .authority = &fixture->authority.authority,
					      .audit = &fixture->audit.log,
					      .gateway = &fixture->gateway.gateway,
					      .clock = &fixture->clock.clock,
					      .entropy = entropy_system()};
	open_registry(fixture);
	fixture->tenant = add_tenant(fixture, "demo");
	fixture->other_tenant = add_tenant(fixture, "other");
	fixture->admin = insert_client(fixture, &fixture->tenant, "admin", ALL_SCOPES, "legal-request");
	fixture->stranger =
		insert_client(fixture, &fixture->other_tenant, "stranger",
			      ALL_SCOPES & ~(uint32_t)(SCOPE_PLATFORM | SCOPE_PLATFORM_AUDIT), "legal-request");
	*state = fixture;
	return 0;
}

static void remove_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
		unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory != NULL)
		closedir(directory);
	rmdir(path);
}

int tear_down(void **state)
{
	struct fixture *fixture = *state;

	registry_sqlite_close(fixture->platform.registry);
	fake_authority_release(&fixture->authority);
	fake_audit_release(&fixture->audit);
	fake_gateway_release(&fixture->gateway);
	remove_directory(fixture->directory);
	free(fixture);
	return 0;
}

void session_open(struct session *session, struct fixture *fixture, const struct client *client)
{
	bool is_demo = tenant_id_equal(&client->tenant, &fixture->tenant.id);

	*session = (struct session){
		.event = {.action = "test", .actor = client->id, .tenant = client->tenant, .source_address = "::1"}};
	session->request = (struct flow_request){.platform = &fixture->platform,
						 .client = client,
						 .tenant = is_demo ? fixture->tenant : fixture->other_tenant,
						 .arena = &session->arena,
						 .event = &session->event};
}

void session_close(struct session *session)
{
	arena_release(&session->arena);
}

struct vin vin_of(const char *text)
{
	struct vin vin = {0};

	assert_ok(vin_parse(span_of_text(text), &vin));
	return vin;
}

struct hashed_vin hash_of(const char *text)
{
	struct vin vin = vin_of(text);
	struct hashed_vin hash = {0};

	assert_ok(vin_hash(&vin, &hash));
	return hash;
}

void add_device(struct fixture *fixture, const char *device_id, const uint8_t *key_sha256)
{
	struct device_manifest_entry entry = {.tenant = fixture->tenant.id, .has_key = key_sha256 != NULL};
	enum device_put put = DEVICE_OTHER_KEY;

	snprintf(entry.device_id, sizeof(entry.device_id), "%s", device_id);
	if (key_sha256 != NULL)
		memcpy(entry.public_key_sha256, key_sha256, SHA256_SIZE);
	commit_alone(fixture, (struct registry_write){.kind = REGISTRY_PUT_DEVICE,
						      .device = {.entry = &entry, .ret_device = &put}});
	assert_int_equal(put, DEVICE_ADDED);
}

void set_manifest_required(struct fixture *fixture, bool required)
{
	fixture->tenant.manifest_required = required; /* requests carry it */
}

struct test_csr make_csr(void)
{
	BUF_CLEANUP struct buf der = {0};
	BUF_CLEANUP struct buf text = {0};
	struct private_key *key;
	struct test_csr csr = {0};

	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(csr_make(key, &der, NULL));
	private_key_release(key);
	assert_ok(csr_check(buf_span(&der), csr.spki_sha256, NULL));
	assert_ok(base64_append(&text, buf_span(&der)));
	snprintf(csr.pem, sizeof(csr.pem), "%s", (const char *)text.data);
	return csr;
}

enum problem provision(struct fixture *fixture, const char *vin, const char *device_id, const struct test_csr *csr,
		       struct provisioned *ret_provisioned)
{
	SESSION_CLEANUP struct session session;
	struct provisioning input = {.vin = span_of_text(vin), .device_id = span_of_text(device_id)};

	if (csr != NULL)
		input.csr = span_of_text(csr->pem);
	session_open(&session, fixture, &fixture->admin);
	enum problem problem = provisioning_run(&session.request, &input, ret_provisioned);
	if (problem == PROBLEM_NONE)
		ret_provisioned->vehicle.attributes = NULL; /* lived in the session */
	return problem;
}

struct uuid provisioned_vehicle(struct fixture *fixture, const char *vin, const char *device_id)
{
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	assert_problem(provision(fixture, vin, device_id, NULL, &provisioned), PROBLEM_NONE);
	assert_true(provisioned.is_created);
	return provisioned.vehicle.reference_id;
}

struct vehicle vehicle_now(struct fixture *fixture, const struct uuid *reference_id)
{
	SESSION_CLEANUP struct session session;
	struct vehicle vehicle = {0};

	session_open(&session, fixture, &fixture->admin);
	assert_problem(vehicles_get(&session.request, reference_id, &vehicle), PROBLEM_NONE);
	vehicle.attributes = NULL;
	return vehicle;
}

size_t live_certificates(struct fixture *fixture, const struct uuid *reference_id)
{
	SESSION_CLEANUP struct session session;
	struct registry *registry = fixture->platform.registry;
	struct vehicle vehicle = vehicle_now(fixture, reference_id);
	struct certificate_record *records;
	size_t count, live = 0;

	session_open(&session, fixture, &fixture->admin);
	assert_ok(registry->ops->get_certificates(registry, &fixture->tenant.id, reference_id, 100, &session.arena,
						  &records, &count, NULL));
	for (size_t i = 0; i < count; i++)
		live += certificate_is_live(&records[i], &vehicle, fixture->clock.now_ms);
	return live;
}

size_t history_count(struct fixture *fixture, const struct uuid *reference_id, enum history_event event)
{
	SESSION_CLEANUP struct session session;
	struct history_page page;
	size_t found = 0;

	session_open(&session, fixture, &fixture->admin);
	assert_problem(vehicles_history(&session.request, reference_id, 0, 0, &page), PROBLEM_NONE);
	for (size_t i = 0; i < page.count; i++)
		found += page.entries[i].event == event;
	return found;
}

enum problem change_device(struct fixture *fixture, const struct uuid *reference_id, const char *device_id,
			   const char *new_device_id, struct vehicle *ret_vehicle)
{
	SESSION_CLEANUP struct session session;
	struct tcu_change change = {.name = {.by = VEHICLE_BY_REFERENCE_ID, .reference_id = *reference_id},
				    .device_id = span_of_text(device_id),
				    .new_device_id = span_of_text(new_device_id)};
	size_t revoked;

	session_open(&session, fixture, &fixture->admin);
	enum problem problem = tcu_change_run(&session.request, &change, ret_vehicle, &revoked);
	ret_vehicle->attributes = NULL;
	return problem;
}

enum problem set_state(struct fixture *fixture, const struct uuid *reference_id, enum vehicle_state state)
{
	SESSION_CLEANUP struct session session;
	struct vehicle_patch patch = {.any_version = true, .state = state};
	struct vehicle vehicle;
	size_t revoked;

	session_open(&session, fixture, &fixture->admin);
	return vehicles_patch(&session.request, reference_id, &patch, &vehicle, &revoked);
}

uint64_t outbox_count(struct fixture *fixture)
{
	struct registry_counts counts = {0};

	assert_ok(fixture->platform.registry->ops->count(fixture->platform.registry, &counts, NULL));
	return counts.outbox;
}
