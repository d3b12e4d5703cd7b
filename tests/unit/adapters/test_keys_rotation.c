/*
 * Key rotation over the real vault and the real registry, interrupted after every change, with conversions and
 * provisionings in between.
 */
#include "../vehicle/support.h"

#include "adapters/keys/key_material.h"
#include "adapters/keys/local.h"
#include "base/file.h"
#include "vehicle/key_rotation.h"

#include <stdio.h>
#include <unistd.h>

#define VEHICLES_MAX 64

static struct fixture *fixture;
static char vault_directory[PATH_SIZE];
static struct key_service *keys;
static struct uuid ids[VEHICLES_MAX];
static size_t vehicle_count;

static void open_vault(void)
{
	struct keys_local_config config = {.directory = vault_directory, .budgets = key_budgets_default()};
	config.budgets.index_per_second = config.budgets.index_burst = 1000000;
	config.budgets.seal_per_second = 1000000;
	assert_ok(keys_local_open(&config, &keys, NULL));
	fixture->platform.keys = keys;
	usleep(2000); /* budgets start empty */
}

static int begin(void **state)
{
	BUF_CLEANUP struct buf csr = {0};
	set_up(state);
	fixture = *state;
	vehicle_count = 0;
	assert_ok(path_join(fixture->directory, "vault", vault_directory));
	assert_ok(keys_local_create(vault_directory, entropy_system(), &csr, NULL));
	open_vault();
	assert_ok(keys->ops->create_tenant(keys, &fixture->tenant.id, NULL));
	usleep(2000);
	return 0;
}

static int end(void **state)
{
	char path[PATH_SIZE];
	static const char *const names[] = {"state/tenants",	"state/reveals", "state/issuances",
					    "state/checkpoint", "state/crl",	 "state",
					    "root.key",		"audit.key",	 "device-issuer.key"};
	keys_local_close(keys);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_ok(path_join(vault_directory, names[i], path));
		assert_int_equal(remove(path), 0);
	}
	assert_int_equal(rmdir(vault_directory), 0);
	return tear_down(state);
}

static void vin_text(size_t number, char text[static VIN_LENGTH + 1])
{
	snprintf(text, VIN_LENGTH + 1, "WVWZZZ1JZ%08u", (unsigned)number);
}

static void add_vehicle(void)
{
	char vin[VIN_LENGTH + 1], device[32];
	vin_text(vehicle_count, vin);
	snprintf(device, sizeof(device), "device-%zu", vehicle_count);
	ids[vehicle_count++] = provisioned_vehicle(fixture, vin, device);
}

/* Each VIN leads to its vehicle, by whatever indexes live now. */
static void check_all_convert(void)
{
	struct hashed_vin hashes[VEHICLES_MAX];
	struct vin_index_set sets[VEHICLES_MAX];
	struct uuid found_ids[VEHICLES_MAX];
	bool found[VEHICLES_MAX];
	for (size_t i = 0; i < vehicle_count; i++) {
		char vin[VIN_LENGTH + 1];
		vin_text(i, vin);
		hashes[i] = hash_of(vin);
	}
	assert_ok(keys->ops->index_vins(keys, &fixture->tenant.id, hashes, vehicle_count, sets, NULL));
	struct registry *registry = fixture->platform.registry;
	assert_ok(registry->ops->find_by_index(registry, &fixture->tenant.id, sets, vehicle_count, found_ids, found,
					       NULL));
	for (size_t i = 0; i < vehicle_count; i++) {
		assert_true(found[i]);
		assert_true(uuid_equal(&found_ids[i], &ids[i]));
	}
}

static void check_all_blobs_open(uint16_t generation)
{
	for (size_t i = 0; i < vehicle_count; i++) {
		struct vehicle vehicle = vehicle_now(fixture, &ids[i]);
		struct reseal_item item = {.reference_id = ids[i], .sealed = vehicle.sealed};
		assert_int_equal(vehicle.sealed.bytes[2], generation);
		assert_ok(keys->ops->reseal_vins(keys, &fixture->tenant.id, &item, 1, NULL));
		assert_ok(item.result);
	}
}

/* Lets `allowed` changes happen, then stops the run. */
struct interruption {
	int allowed;
	bool adds_vehicles;
};

static bool progress(void *context, const struct key_rotation_progress *done)
{
	struct interruption *interruption = context;
	check_all_convert();
	if (interruption->adds_vehicles && vehicle_count < 40 && done->step == KEY_ROTATION_RESEALING)
		add_vehicle();
	return --interruption->allowed > 0;
}

static enum result rotate(struct interruption *interruption, bool only_continue, struct key_rotation_progress *done)
{
	struct key_rotation rotation = {
		.platform = &fixture->platform,
		.tenant = fixture->tenant.id,
		.actor = "vinveil",
		.only_continue = only_continue,
		.batch = 4,
		.settle_ms = -1,
		.progress = progress,
		.context = interruption,
	};
	return key_rotation_run(&rotation, done, NULL);
}

static void test_runs_through(void **state)
{
	(void)state;
	struct interruption none = {.allowed = 1000};
	struct key_rotation_progress done;
	while (vehicle_count < 10)
		add_vehicle();
	assert_result(rotate(&none, true, &done), RESULT_ABSENT);
	assert_ok(rotate(&none, false, &done));
	assert_int_equal(done.resealed, 10);
	assert_int_equal(done.dropped, 10);
	assert_true(done.generations.newest == 2 && done.generations.oldest == 1);
	check_all_convert();
	check_all_blobs_open(2);
	assert_result(rotate(&none, true, &done), RESULT_ABSENT);
	assert_true(fake_audit_holds(&fixture->audit, "keys.rotation-finished"));
	add_vehicle();
	check_all_convert();
}

static void test_interrupted_everywhere(void **state)
{
	(void)state;
	struct key_rotation_progress done;
	while (vehicle_count < 12)
		add_vehicle();
	enum result result = RESULT_CONFLICT;
	for (int run = 0; run < 200 && result != RESULT_OK; run++) {
		struct interruption interruption = {.allowed = 1 + run / 6, .adds_vehicles = true};
		result = rotate(&interruption, run > 0, &done);
		if (result != RESULT_OK)
			assert_result(result, RESULT_CONFLICT);
		keys_local_close(keys);
		open_vault();
		check_all_convert();
	}
	assert_ok(result);
	assert_true(vehicle_count > 12);
	check_all_blobs_open(2);
}

/* ---- a blob that does not open --------------------------------------------------------------------- */

static const struct key_service_ops *real_ops;

static enum result reseal_all_but_one(struct key_service *service, const struct tenant_id *tenant,
				      struct reseal_item *items, size_t count, struct note *note)
{
	TRY(real_ops->reseal_vins(service, tenant, items, count, note));
	for (size_t i = 0; i < count; i++)
		if (uuid_equal(&items[i].reference_id, &ids[3]))
			items[i].result = RESULT_CORRUPT;
	return RESULT_OK;
}

static void test_what_does_not_open_keeps_the_old_generation(void **state)
{
	(void)state;
	struct interruption none = {.allowed = 1000};
	struct key_rotation_progress done = {0};
	struct key_generations generations;
	while (vehicle_count < 10)
		add_vehicle();
	real_ops = keys->ops;
	struct key_service_ops bent = *real_ops;
	bent.reseal_vins = reseal_all_but_one;
	keys->ops = &bent;
	assert_result(rotate(&none, false, &done), RESULT_CORRUPT);
	keys->ops = real_ops;
	assert_ok(keys->ops->get_generations(keys, &fixture->tenant.id, &generations, NULL));
	assert_true(generations.newest == 2 && generations.oldest == 1);
	check_all_convert();
	assert_ok(rotate(&none, true, &done));
	assert_int_equal(done.resealed, 1);
	check_all_blobs_open(2);
}

static void test_continue_all(void **state)
{
	(void)state;
	struct interruption none = {.allowed = 1000};
	struct key_generations generations;
	struct key_rotation rotation = {.platform = &fixture->platform,
					.actor = "vinveil",
					.settle_ms = -1,
					.progress = progress,
					.context = &none};
	assert_ok(keys->ops->create_tenant(keys, &fixture->other_tenant.id, NULL));
	add_vehicle();
	assert_ok(key_rotation_continue_all(&rotation, NULL));
	assert_ok(keys->ops->begin_rotation(keys, &fixture->tenant.id, &generations, NULL));
	assert_ok(key_rotation_continue_all(&rotation, NULL));
	assert_ok(keys->ops->get_generations(keys, &fixture->tenant.id, &generations, NULL));
	assert_true(generations.newest == 2 && generations.oldest == 2);
	check_all_convert();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_runs_through, begin, end),
		cmocka_unit_test_setup_teardown(test_interrupted_everywhere, begin, end),
		cmocka_unit_test_setup_teardown(test_what_does_not_open_keeps_the_old_generation, begin, end),
		cmocka_unit_test_setup_teardown(test_continue_all, begin, end),
	};
	if (crypto_init(NULL) != RESULT_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
