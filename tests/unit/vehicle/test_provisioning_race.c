/* Many requests at once: one VIN never becomes two vehicles, one device never comes to two, nobody gets a second
   certificate. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#define REQUESTS 200
#define THREADS	 40

struct race {
	struct fixture *fixture;
	pthread_barrier_t start;
	char vins[REQUESTS][VIN_LENGTH + 1];
	char devices[REQUESTS][DEVICE_ID_SIZE];
	const struct test_csr *csr; /* NULL: keys are made */
	struct serial superseded;
	bool is_replay;
	enum problem problems[REQUESTS];
	struct provisioned provisioned[REQUESTS];
};

struct runner {
	struct race *race;
	size_t first, end;
};

static void run_one(struct race *race, size_t i)
{
	SESSION_CLEANUP struct session session;
	struct provisioning input = {.vin = span_of_text(race->vins[i]), .device_id = span_of_text(race->devices[i])};

	if (race->csr != NULL)
		input.csr = span_of_text(race->csr->pem);
	if (race->is_replay)
		input.superseded = &race->superseded;
	session_open(&session, race->fixture, &race->fixture->admin);
	race->problems[i] = provisioning_run(&session.request, &input, &race->provisioned[i]);
}

static void *run(void *context)
{
	struct runner *runner = context;

	pthread_barrier_wait(&runner->race->start);
	for (size_t i = runner->first; i < runner->end; i++)
		run_one(runner->race, i);
	return NULL;
}

static struct race *race_new(struct fixture *fixture)
{
	struct race *race = calloc(1, sizeof(*race));

	assert_non_null(race);
	race->fixture = fixture;
	for (size_t i = 0; i < REQUESTS; i++) {
		snprintf(race->vins[i], sizeof(race->vins[i]), "%s", VIN_A);
		snprintf(race->devices[i], sizeof(race->devices[i]), "tcu-1");
	}
	return race;
}

static void race_run(struct race *race)
{
	pthread_t threads[THREADS];
	struct runner runners[THREADS];

	pthread_barrier_init(&race->start, NULL, THREADS);
	for (size_t i = 0; i < THREADS; i++) {
		runners[i] = (struct runner){race, i * REQUESTS / THREADS, (i + 1) * REQUESTS / THREADS};
		assert_int_equal(pthread_create(&threads[i], NULL, run, &runners[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&race->start);
}

static void race_free(struct race *race)
{
	for (size_t i = 0; i < REQUESTS; i++)
		provisioned_release(&race->provisioned[i]);
	free(race);
}

static size_t count_problem(const struct race *race, enum problem problem)
{
	size_t count = 0;

	for (size_t i = 0; i < REQUESTS; i++)
		count += race->problems[i] == problem;
	return count;
}

static size_t count_created(const struct race *race)
{
	size_t count = 0;

	for (size_t i = 0; i < REQUESTS; i++)
		count += race->problems[i] == PROBLEM_NONE && race->provisioned[i].is_created;
	return count;
}

static size_t count_credentials(const struct race *race)
{
	size_t count = 0;

	for (size_t i = 0; i < REQUESTS; i++)
		count += race->problems[i] == PROBLEM_NONE && race->provisioned[i].has_credentials;
	return count;
}

static uint64_t count_vehicles(struct fixture *fixture)
{
	struct registry_counts counts = {0};

	assert_ok(fixture->platform.registry->ops->count(fixture->platform.registry, &counts, NULL));
	return counts.vehicles;
}

static void check_one_vehicle(struct race *race)
{
	assert_int_equal(count_problem(race, PROBLEM_NONE), REQUESTS);
	assert_int_equal(count_created(race), 1);
	assert_int_equal(count_credentials(race), 1);
	assert_int_equal(count_vehicles(race->fixture), 1);
	for (size_t i = 1; i < REQUESTS; i++)
		assert_true(uuid_equal(&race->provisioned[i].vehicle.reference_id,
				       &race->provisioned[0].vehicle.reference_id));
	assert_int_equal(live_certificates(race->fixture, &race->provisioned[0].vehicle.reference_id), 1);
}

static void test_one_vin(void **state)
{
	struct race *race = race_new(*state);

	race_run(race);
	check_one_vehicle(race);
	race_free(race);
}

/* The twin's key is certified when the loser looks: that is no reuse. */
static void test_one_vin_with_one_csr(void **state)
{
	struct race *race = race_new(*state);
	struct test_csr csr = make_csr();

	race->csr = &csr;
	race_run(race);
	check_one_vehicle(race);
	race_free(race);
}

static void test_one_vin_with_different_devices(void **state)
{
	struct race *race = race_new(*state);

	for (size_t i = 0; i < REQUESTS; i++)
		snprintf(race->devices[i], sizeof(race->devices[i]), "tcu-%zu", i);
	race_run(race);
	assert_int_equal(count_created(race), 1);
	assert_int_equal(count_problem(race, PROBLEM_VEHICLE_HAS_OTHER_DEVICE), REQUESTS - 1);
	assert_int_equal(count_vehicles(race->fixture), 1);
	race_free(race);
}

static void test_one_device_over_different_vins(void **state)
{
	struct race *race = race_new(*state);

	for (size_t i = 0; i < REQUESTS; i++)
		snprintf(race->vins[i], sizeof(race->vins[i]), "1M8GDM9AXKP%06zu", i);
	race_run(race);
	assert_int_equal(count_created(race), 1);
	assert_int_equal(count_problem(race, PROBLEM_DEVICE_IN_USE), REQUESTS - 1);
	assert_int_equal(count_vehicles(race->fixture), 1);
	race_free(race);
}

static void test_a_known_vehicle_without_certificate(void **state)
{
	struct race *race = race_new(*state);
	struct uuid id = provisioned_vehicle(*state, VIN_A, "tcu-1");

	race->fixture->clock.now_ms += FAKE_VALIDITY_MS;
	race_run(race);
	assert_int_equal(count_problem(race, PROBLEM_NONE), REQUESTS);
	assert_int_equal(count_created(race), 0);
	assert_int_equal(count_credentials(race), 1);
	assert_int_equal(live_certificates(race->fixture, &id), 1);
	race_free(race);
}

static void test_replays_of_one_answer(void **state)
{
	struct race *race = race_new(*state);
	PROVISIONED_CLEANUP struct provisioned first = {0};

	assert_problem(provision(*state, VIN_A, "tcu-1", NULL, &first), PROBLEM_NONE);
	race->superseded = first.credentials.serial;
	race->is_replay = true;
	race_run(race);
	assert_int_equal(count_problem(race, PROBLEM_NONE), REQUESTS);
	assert_int_equal(count_credentials(race), 1);
	assert_int_equal(live_certificates(race->fixture, &first.vehicle.reference_id), 1);
	race_free(race);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_one_vin),
		TEST(test_one_vin_with_one_csr),
		TEST(test_one_vin_with_different_devices),
		TEST(test_one_device_over_different_vins),
		TEST(test_a_known_vehicle_without_certificate),
		TEST(test_replays_of_one_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
