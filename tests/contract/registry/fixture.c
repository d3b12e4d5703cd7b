#include "tests/contract/registry/fixture.h"

#include "adapters/registry/sqlite.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct tenant_id demo = {"demo"}, other = {"other"};

/* ---- adapters -------------------------------------------------------------------------------------- */

static struct registry *open_sqlite(const char *directory, struct clock *clock)
{
	const struct registry_sqlite_options options = {.clock = clock};
	struct registry *registry = NULL;
	struct note note = {0};
	char path[128];

	snprintf(path, sizeof(path), "%s/registry.db", directory);
	if (registry_sqlite_open(path, &options, &registry, &note) != RESULT_OK)
		fprintf(stderr, "%s\n", note.text);
	return registry;
}

const struct registry_adapter registry_adapters[] = {
	{"sqlite", open_sqlite, registry_sqlite_close},
};
const size_t registry_adapter_count = COUNT(registry_adapters);

/* ---- fixture --------------------------------------------------------------------------------------- */

static int64_t test_now_ms(struct clock *clock)
{
	return ((struct test_clock *)clock)->now_ms;
}

void make_directory(char ret_directory[static 64])
{
	snprintf(ret_directory, 64, "/tmp/vinveil-registry-XXXXXX");
	assert_non_null(mkdtemp(ret_directory));
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

void remove_directory(const char *directory)
{
	nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void fixture_open(struct fixture *fixture, const struct registry_adapter *adapter)
{
	*fixture = (struct fixture){.adapter = adapter};
	fixture->clock = (struct test_clock){.clock = {test_now_ms, test_now_ms}, .now_ms = NOW_MS};
	make_directory(fixture->directory);
	fixture->registry = adapter->open(fixture->directory, &fixture->clock.clock);
	assert_non_null(fixture->registry);

	const struct tenant first = {.id = demo, .manifest_required = true, .created_at_ms = NOW_MS};
	const struct tenant second = {.id = other, .check_digit = CHECK_DIGIT_WARN, .created_at_ms = NOW_MS + 1};
	COMMIT(fixture->registry, {.kind = REGISTRY_INSERT_TENANT, .tenant = &first},
	       {.kind = REGISTRY_INSERT_TENANT, .tenant = &second});
}

void fixture_reopen(struct fixture *fixture)
{
	fixture->adapter->close(fixture->registry);
	fixture->registry = fixture->adapter->open(fixture->directory, &fixture->clock.clock);
	assert_non_null(fixture->registry);
}

void fixture_close(struct fixture *fixture)
{
	fixture->adapter->close(fixture->registry);
	arena_release(&fixture->arena);
	remove_directory(fixture->directory);
}

/* ---- records --------------------------------------------------------------------------------------- */

/* Spreads like random bytes do, and is the same in every run. */
static void fill(void *bytes, size_t size, uint32_t number, uint32_t salt)
{
	uint64_t state = ((uint64_t)salt << 32 | number) + 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < size; i++) {
		state = (state ^ (state >> 27)) * 0x94d049bb133111ebu;
		((uint8_t *)bytes)[i] = (uint8_t)(state >> 56);
		state += 0x9e3779b97f4a7c15u;
	}
}

struct uuid uuid_numbered(uint32_t number)
{
	struct uuid uuid;

	fill(uuid.bytes, sizeof(uuid.bytes), number, 1);
	return uuid;
}

struct serial serial_numbered(uint32_t number)
{
	struct serial serial;

	fill(serial.bytes, sizeof(serial.bytes), number, 2);
	return serial;
}

struct vehicle vehicle_numbered(uint32_t number)
{
	struct vehicle vehicle = {
		.reference_id = uuid_numbered(number),
		.tenant = demo,
		.state = VEHICLE_PROVISIONED,
		.created_at_ms = NOW_MS,
		.updated_at_ms = NOW_MS,
		.version = 1,
	};

	snprintf(vehicle.device_id, sizeof(vehicle.device_id), "device-%u", number);
	fill(vehicle.sealed.bytes, sizeof(vehicle.sealed.bytes), number, 3);
	return vehicle;
}

struct vin_index_set index_numbered(uint32_t number, uint16_t generation)
{
	struct vin_index_set set = {.count = 1};

	set.indexes[0].generation = generation;
	fill(set.indexes[0].bytes, VIN_INDEX_SIZE, number, 100u + generation);
	return set;
}

struct certificate_record certificate_numbered(uint32_t number, const struct vehicle *vehicle)
{
	struct certificate_record record = {
		.serial = serial_numbered(number),
		.reference_id = vehicle->reference_id,
		.tenant = vehicle->tenant,
		.not_before_ms = NOW_MS,
		.not_after_ms = NOW_MS + 365 * DAY_MS,
	};

	memcpy(record.device_id, vehicle->device_id, sizeof(record.device_id));
	fill(record.spki_sha256, SHA256_SIZE, number, 4);
	return record;
}

/* ---- commits --------------------------------------------------------------------------------------- */

enum result commit_try(struct registry *registry, const struct registry_write *writes, size_t count,
		       enum registry_conflict *ret_conflict)
{
	const struct change_set change = {.writes = writes, .count = count, .log_size = 7};
	struct note note = {0};

	*ret_conflict = REGISTRY_CONFLICT_NONE;
	return registry->ops->commit(registry, &change, ret_conflict, &note);
}

void commit_ok(struct registry *registry, const struct registry_write *writes, size_t count)
{
	const struct change_set change = {.writes = writes, .count = count, .log_size = 7};
	enum registry_conflict conflict = REGISTRY_CONFLICT_NONE;
	struct note note = {0};
	enum result result = registry->ops->commit(registry, &change, &conflict, &note);

	if (result != RESULT_OK)
		fail_msg("commit: %s, conflict %d, %s", result_name(result), (int)conflict, note.text);
}

void commit_refused(struct registry *registry, enum registry_conflict conflict, const struct registry_write *writes,
		    size_t count)
{
	enum registry_conflict got;

	assert_int_equal(commit_try(registry, writes, count, &got), RESULT_CONFLICT);
	assert_int_equal(got, conflict);
}

enum result provision_as(struct registry *registry, const struct vehicle *vehicle, const struct vin_index_set *indexes,
			 const struct uuid *leaf_id, enum registry_conflict *ret_conflict)
{
	const struct history_entry entry = {.at_ms = NOW_MS, .actor = "factory", .event = HISTORY_PROVISIONED};
	const struct audit_leaf leaf = {.json = span_of_text("{\"action\":\"provision\"}"), .leaf_id = *leaf_id};
	const struct registry_write writes[] = {
		{.kind = REGISTRY_INSERT_VEHICLE, .vehicle = vehicle},
		{.kind = REGISTRY_INSERT_INDEXES,
		 .vin = {.reference_id = &vehicle->reference_id, .tenant = &vehicle->tenant, .indexes = indexes}},
		{.kind = REGISTRY_APPEND_HISTORY, .history = {.reference_id = &vehicle->reference_id, .entry = &entry}},
		{.kind = REGISTRY_ADD_LEAF, .leaf = &leaf},
	};

	return commit_try(registry, writes, COUNT(writes), ret_conflict);
}

enum result provision(struct registry *registry, uint32_t number, enum registry_conflict *ret_conflict)
{
	const struct vehicle vehicle = vehicle_numbered(number);
	const struct vin_index_set indexes = index_numbered(number, 1);
	const struct uuid leaf_id = uuid_numbered(number + 0x40000000u);

	return provision_as(registry, &vehicle, &indexes, &leaf_id, ret_conflict);
}

void provision_ok(struct registry *registry, uint32_t number)
{
	enum registry_conflict conflict;

	assert_int_equal(provision(registry, number, &conflict), RESULT_OK);
}

bool vehicle_is_there(struct fixture *fixture, uint32_t number)
{
	const struct uuid id = uuid_numbered(number);
	struct vehicle vehicle;
	enum result result =
		fixture->registry->ops->get_vehicle(fixture->registry, &demo, &id, &fixture->arena, &vehicle, NULL);

	assert_true(result == RESULT_OK || result == RESULT_ABSENT);
	return result == RESULT_OK;
}
