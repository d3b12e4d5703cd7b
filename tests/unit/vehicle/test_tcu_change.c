#include "support.h"

static enum problem change_named(struct fixture *fixture, const struct client *client, struct vehicle_name name,
				 const char *device_id, const char *new_device_id, struct session *session,
				 size_t *ret_revoked)
{
	struct tcu_change change = {
		.name = name, .device_id = span_of_text(device_id), .new_device_id = span_of_text(new_device_id)};
	struct vehicle vehicle;
	static const struct vehicle_name wiped;

	session_open(session, fixture, client);
	enum problem problem = tcu_change_run(&session->request, &change, &vehicle, ret_revoked);
	assert_memory_equal(&change.name, &wiped, sizeof(wiped));
	return problem;
}

static void test_refusals(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1"), unknown = {{1}};
	struct vehicle vehicle;
	static const struct {
		const char *device_id, *new_device_id;
		enum problem problem;
	} cases[] = {
		{"tcu-1", "tcu-1", PROBLEM_DEVICE_UNCHANGED}, {"", "", PROBLEM_DEVICE_UNCHANGED},
		{"tcu-9", "tcu-2", PROBLEM_DEVICE_MISMATCH},  {"tcu-9", "tcu-1", PROBLEM_DEVICE_MISMATCH},
		{"tcu-9", "", PROBLEM_DEVICE_MISMATCH},	      {"", "tcu-2", PROBLEM_DEVICE_MISMATCH},
		{"tcu-1", "tcu-b", PROBLEM_DEVICE_IN_USE},    {"tcu-1", "two words", PROBLEM_VALUE_INVALID},
	};

	provisioned_vehicle(fixture, VIN_B, "tcu-b");
	assert_problem(change_device(fixture, &unknown, "tcu-1", "tcu-2", &vehicle), PROBLEM_NOT_FOUND);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_problem(change_device(fixture, &id, cases[i].device_id, cases[i].new_device_id, &vehicle),
			       cases[i].problem);
	set_manifest_required(fixture, true);
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_DEVICE_UNKNOWN);
	assert_int_equal(vehicle_now(fixture, &id).version, 1);
	assert_int_equal(live_certificates(fixture, &id), 1);
}

static void test_a_foreign_vehicle_is_unknown(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session first = {0};
	SESSION_CLEANUP struct session second = {0};
	size_t revoked;
	struct vehicle_name by_id = {.by = VEHICLE_BY_REFERENCE_ID, .reference_id = id};
	struct vehicle_name by_hash = {.by = VEHICLE_BY_HASHED_VIN, .hashed_vin = hash_of(VIN_A)};

	assert_problem(change_named(fixture, &fixture->stranger, by_id, "tcu-1", "x", &first, &revoked),
		       PROBLEM_NOT_FOUND);
	assert_problem(change_named(fixture, &fixture->stranger, by_hash, "tcu-1", "x", &second, &revoked),
		       PROBLEM_NOT_FOUND);
	assert_false(second.event.has_reference_id);
}

static void test_update(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	PROVISIONED_CLEANUP struct provisioned again = {0};
	struct vehicle vehicle;

	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	assert_true(uuid_equal(&vehicle.reference_id, &id));
	assert_string_equal(vehicle.device_id, "tcu-2");
	assert_int_equal(vehicle.version, 2);
	assert_int_equal(live_certificates(fixture, &id), 0);
	assert_int_equal(history_count(fixture, &id, HISTORY_DEVICE_CHANGED), 1);
	assert_int_equal(history_count(fixture, &id, HISTORY_CERTIFICATE_REVOKED), 1);
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"newDeviceId\":\"tcu-2\""));
	/* The new device provisions and keeps the Reference ID; the old one is free. */
	assert_problem(provision(fixture, VIN_A, "tcu-2", NULL, &again), PROBLEM_NONE);
	assert_true(uuid_equal(&again.vehicle.reference_id, &id));
	assert_true(again.has_credentials);
	provisioned_vehicle(fixture, VIN_B, "tcu-1");
}

static void test_delete_and_attach(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct vehicle vehicle;

	assert_problem(change_device(fixture, &id, "tcu-1", "", &vehicle), PROBLEM_NONE);
	assert_string_equal(vehicle.device_id, "");
	assert_int_equal(history_count(fixture, &id, HISTORY_DEVICE_REMOVED), 1);
	assert_problem(change_device(fixture, &id, "", "tcu-2", &vehicle), PROBLEM_NONE);
	assert_string_equal(vehicle_now(fixture, &id).device_id, "tcu-2");
}

static void test_repeating_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct vehicle vehicle;

	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	assert_int_equal(vehicle.version, 2);
	assert_int_equal(history_count(fixture, &id, HISTORY_DEVICE_CHANGED), 1);
	assert_problem(change_device(fixture, &id, "tcu-3", "tcu-2", &vehicle), PROBLEM_DEVICE_MISMATCH);

	assert_problem(change_device(fixture, &id, "tcu-2", "", &vehicle), PROBLEM_NONE);
	assert_problem(change_device(fixture, &id, "tcu-2", "", &vehicle), PROBLEM_NONE);
	assert_int_equal(vehicle.version, 3);
	/* It was done, but something else has been done since. */
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_DEVICE_MISMATCH);
}

static void test_by_vin_it_is_a_conversion(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session by_hash = {0};
	SESSION_CLEANUP struct session by_vin = {0};
	SESSION_CLEANUP struct session refused = {0};
	struct vehicle_name hash = {.by = VEHICLE_BY_HASHED_VIN, .hashed_vin = hash_of(VIN_A)};
	struct vehicle_name vin = {.by = VEHICLE_BY_VIN, .vin = vin_of(VIN_A)};
	size_t revoked = 0;

	assert_problem(change_named(fixture, &fixture->admin, hash, "tcu-1", VIN_A, &refused, &revoked),
		       PROBLEM_VIN_NOT_ALLOWED);
	assert_null(refused.event.new_device_id);
	assert_problem(change_named(fixture, &fixture->admin, hash, "tcu-1", "tcu-2", &by_hash, &revoked),
		       PROBLEM_NONE);
	assert_int_equal(revoked, 1);
	assert_string_equal(by_hash.event.purpose, PURPOSE_TCU_CHANGE);
	assert_true(uuid_equal(&by_hash.event.reference_id, &id));
	assert_problem(change_named(fixture, &fixture->admin, vin, "tcu-2", "tcu-3", &by_vin, &revoked), PROBLEM_NONE);
	assert_int_equal(revoked, 0);
	assert_false(fake_audit_holds(&fixture->audit, VIN_A));
}

/* As the first connection does. */
static void make_active(struct fixture *fixture, const struct uuid *id)
{
	struct vehicle vehicle = vehicle_now(fixture, id);

	vehicle.state = VEHICLE_ACTIVE;
	vehicle.version++;
	commit_alone(fixture, (struct registry_write){.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &vehicle});
}

static void test_states(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-0");
	struct vehicle vehicle;

	make_active(fixture, &id);
	assert_problem(change_device(fixture, &id, "tcu-0", "tcu-1", &vehicle), PROBLEM_NONE);
	assert_int_equal(vehicle.state, VEHICLE_PROVISIONED);
	make_active(fixture, &id);
	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	assert_int_equal(vehicle.state, VEHICLE_SUSPENDED);
	assert_problem(set_state(fixture, &id, VEHICLE_ACTIVE), PROBLEM_NONE);
	assert_int_equal(vehicle_now(fixture, &id).state, VEHICLE_PROVISIONED);
	assert_problem(set_state(fixture, &id, VEHICLE_DECOMMISSIONED), PROBLEM_NONE);
	assert_problem(change_device(fixture, &id, "", "tcu-3", &vehicle), PROBLEM_TRANSITION_NOT_ALLOWED);
}

#define CHANGES 24

struct change_race {
	struct fixture *fixture;
	struct uuid id;
	enum problem problem;
};

static void *change_at_once(void *context)
{
	struct change_race *race = context;
	struct vehicle vehicle;

	race->problem = change_device(race->fixture, &race->id, "tcu-1", "tcu-2", &vehicle);
	return NULL;
}

static void test_the_same_change_at_once(void **state)
{
	struct change_race races[CHANGES];
	pthread_t threads[CHANGES];
	struct uuid id = provisioned_vehicle(*state, VIN_A, "tcu-1");

	for (size_t i = 0; i < CHANGES; i++) {
		races[i] = (struct change_race){.fixture = *state, .id = id};
		assert_int_equal(pthread_create(&threads[i], NULL, change_at_once, &races[i]), 0);
	}
	for (size_t i = 0; i < CHANGES; i++) {
		pthread_join(threads[i], NULL);
		assert_problem(races[i].problem, PROBLEM_NONE);
	}
	assert_int_equal(vehicle_now(*state, &id).version, 2);
	assert_int_equal(history_count(*state, &id, HISTORY_DEVICE_CHANGED), 1);
}

static void test_a_long_history_still_tells_a_repetition(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct vehicle vehicle;

	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	for (int i = 0; i < 60; i++) {
		assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
		assert_problem(set_state(fixture, &id, VEHICLE_PROVISIONED), PROBLEM_NONE);
	}
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_refusals),
		TEST(test_a_foreign_vehicle_is_unknown),
		TEST(test_update),
		TEST(test_delete_and_attach),
		TEST(test_repeating_changes_nothing),
		TEST(test_by_vin_it_is_a_conversion),
		TEST(test_states),
		TEST(test_the_same_change_at_once),
		TEST(test_a_long_history_still_tells_a_repetition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
