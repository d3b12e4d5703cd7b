/*
 * The port's contract under threads and sudden death: the registry alone decides who was first, and what was
 * reported as committed is there whatever happens to the process.
 */
#include "tests/contract/registry/fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define RACES 200

static const struct registry_adapter *adapter;
static struct fixture fixture;

static int open_fixture(void **state)
{
	(void)state;
	fixture_open(&fixture, adapter);
	return 0;
}

static int close_fixture(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

/* ---- races ----------------------------------------------------------------------------------------- */

struct racer {
	uint32_t side; /* 0 or 1 */
	bool same_vin, same_device;
	pthread_barrier_t *start;
	enum result results[RACES];
	enum registry_conflict conflicts[RACES];
	pthread_t thread;
};

/* Each race is one provisioning a side: another Reference ID, and the same VIN or the same device. */
static void *race(void *context)
{
	struct racer *racer = context;

	for (uint32_t i = 0; i < RACES; i++) {
		uint32_t own = 10000 + 2 * i + racer->side, common = 20000 + i;
		struct vehicle vehicle = vehicle_numbered(own);
		const struct vin_index_set index = index_numbered(racer->same_vin ? common : own, 1);
		const struct uuid leaf = uuid_numbered(own + 0x50000000u);

		snprintf(vehicle.device_id, sizeof(vehicle.device_id), "d-%u", racer->same_device ? common : own);
		pthread_barrier_wait(racer->start);
		racer->results[i] = provision_as(fixture.registry, &vehicle, &index, &leaf, &racer->conflicts[i]);
	}
	return NULL;
}

static void run_races(bool same_vin, bool same_device, enum registry_conflict expected)
{
	struct racer racers[2] = {{.side = 0}, {.side = 1}};
	struct registry_counts counts;
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, 2);
	for (int i = 0; i < 2; i++) {
		racers[i].same_vin = same_vin;
		racers[i].same_device = same_device;
		racers[i].start = &start;
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(racers[i].thread, NULL);
	pthread_barrier_destroy(&start);
	for (int i = 0; i < RACES; i++) {
		int winner = racers[0].results[i] == RESULT_OK ? 0 : 1;

		assert_int_equal(racers[winner].results[i], RESULT_OK);
		assert_int_equal(racers[1 - winner].results[i], RESULT_CONFLICT);
		assert_int_equal(racers[1 - winner].conflicts[i], expected);
	}
	assert_int_equal(fixture.registry->ops->count(fixture.registry, &counts, NULL), RESULT_OK);
	assert_int_equal(counts.vehicles, RACES);
	assert_int_equal(counts.outbox, RACES);
}

static void one_vin_never_makes_two_vehicles(void **state)
{
	(void)state;
	run_races(true, false, REGISTRY_CONFLICT_VIN_INDEX);
}

static void one_device_is_never_on_two_vehicles(void **state)
{
	(void)state;
	run_races(false, true, REGISTRY_CONFLICT_DEVICE_ID);
}

/* Each thread adds one to the same vehicle's version, reading again when another was first. */
static void *add_versions(void *context)
{
	const struct uuid id = uuid_numbered(1);
	struct arena arena = {0};

	(void)context;
	for (int done = 0; done < 50;) {
		struct vehicle vehicle;
		const struct registry_write update = {.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &vehicle};
		enum registry_conflict conflict;

		if (fixture.registry->ops->get_vehicle(fixture.registry, &demo, &id, &arena, &vehicle, NULL) !=
		    RESULT_OK)
			break;
		vehicle.version++;
		done += commit_try(fixture.registry, &update, 1, &conflict) == RESULT_OK;
		arena_reset(&arena);
	}
	arena_release(&arena);
	return NULL;
}

static void no_update_is_lost(void **state)
{
	(void)state;
	const struct uuid id = uuid_numbered(1);
	struct vehicle vehicle;
	pthread_t threads[4];

	provision_ok(fixture.registry, 1);
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_versions, NULL), 0);
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(
		fixture.registry->ops->get_vehicle(fixture.registry, &demo, &id, &fixture.arena, &vehicle, NULL),
		RESULT_OK);
	assert_int_equal(vehicle.version, 1 + 4 * 50);
}

static atomic_bool stop_reading;

/* A reader sees a provisioning whole: whoever is found by VIN has history, too. */
static void *read_along(void *context)
{
	struct arena arena = {0};
	uintptr_t torn = 0;

	(void)context;
	while (!atomic_load(&stop_reading)) {
		struct vin_index_set sets[20];
		struct uuid ids[20];
		bool found[20];

		for (uint32_t i = 0; i < COUNT(sets); i++)
			sets[i] = index_numbered(100 + i * 10, 1);
		torn += fixture.registry->ops->find_by_index(fixture.registry, &demo, sets, COUNT(sets), ids, found,
							     NULL) != RESULT_OK;
		for (size_t i = 0; i < COUNT(sets); i++) {
			struct history_entry *entries;
			size_t count = 0;

			if (found[i] &&
			    (fixture.registry->ops->get_history(fixture.registry, &demo, &ids[i], 0, 10, &arena,
								&entries, &count, NULL) != RESULT_OK ||
			     count != 1))
				torn++;
			arena_reset(&arena);
		}
	}
	arena_release(&arena);
	return (void *)torn;
}

static void readers_beyond_the_connections_wait_and_see_whole_changes(void **state)
{
	(void)state;
	pthread_t readers[24];

	atomic_store(&stop_reading, false);
	for (size_t i = 0; i < COUNT(readers); i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_along, NULL), 0);
	for (uint32_t i = 0; i < 200; i++)
		provision_ok(fixture.registry, 100 + i);
	atomic_store(&stop_reading, true);
	for (size_t i = 0; i < COUNT(readers); i++) {
		void *torn = NULL;

		pthread_join(readers[i], &torn);
		assert_null(torn);
	}
}

/* ---- sudden death ---------------------------------------------------------------------------------- */

#define WRITERS 3

struct child_writer {
	struct registry *registry;
	uint32_t first;
	int pipe;
};

/* Tells the parent each number whose commit was reported. */
static void *provision_for_ever(void *context)
{
	const struct child_writer *writer = context;

	for (uint32_t number = writer->first;; number += WRITERS) {
		enum registry_conflict conflict;

		if (provision(writer->registry, number, &conflict) != RESULT_OK)
			_exit(3);
		if (write(writer->pipe, &number, sizeof(number)) != sizeof(number))
			_exit(4);
	}
	return NULL;
}

static void child_main(int pipe_end, uint32_t first)
{
	struct registry *registry = adapter->open(fixture.directory, clock_system());
	struct child_writer writers[WRITERS];
	pthread_t threads[WRITERS];

	if (registry == NULL)
		_exit(2);
	for (uint32_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct child_writer){registry, first + i, pipe_end};
		pthread_create(&threads[i], NULL, provision_for_ever, &writers[i]);
	}
	pthread_join(threads[0], NULL);
	_exit(5);
}

/* The highest number is told by one of the writers; every told number must be there. */
static uint32_t kill_once(uint32_t first, unsigned delay_us)
{
	uint32_t told[4096], highest = first;
	size_t count = 0;
	int ends[2], status;

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		close(ends[0]);
		child_main(ends[1], first);
	}
	close(ends[1]);
	usleep(delay_us);
	kill(child, SIGKILL);
	while (count < COUNT(told) && read(ends[0], &told[count], sizeof(told[0])) == sizeof(told[0]))
		count++;
	close(ends[0]);
	waitpid(child, &status, 0);
	assert_true(WIFSIGNALED(status));

	fixture.registry = adapter->open(fixture.directory, &fixture.clock.clock);
	assert_non_null(fixture.registry);
	for (size_t i = 0; i < count; i++) {
		const struct vin_index_set index = index_numbered(told[i], 1);
		struct uuid id;
		bool found;

		assert_true(vehicle_is_there(&fixture, told[i]));
		assert_int_equal(
			fixture.registry->ops->find_by_index(fixture.registry, &demo, &index, 1, &id, &found, NULL),
			RESULT_OK);
		assert_true(found);
		highest = told[i] > highest ? told[i] : highest;
		arena_reset(&fixture.arena);
	}
	return highest;
}

/* What the child committed without being able to tell is whole, too: as many leaves as vehicles. */
static void every_reported_commit_survives_sigkill(void **state)
{
	(void)state;
	uint32_t first = 1;
	uint64_t told = 0;

	for (unsigned i = 0; i < 12; i++) {
		struct registry_counts counts;

		adapter->close(fixture.registry);
		uint32_t highest = kill_once(first, 30000 + i * 7919);
		told += highest - first;
		first = highest + 1000;
		assert_int_equal(fixture.registry->ops->count(fixture.registry, &counts, NULL), RESULT_OK);
		assert_int_equal(counts.vehicles, counts.outbox);
	}
	assert_true(told > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(one_vin_never_makes_two_vehicles),
		TEST(one_device_is_never_on_two_vehicles),
		TEST(no_update_is_lost),
		TEST(readers_beyond_the_connections_wait_and_see_whole_changes),
		TEST(every_reported_commit_survives_sigkill),
	};
	int failed = 0;

	for (size_t i = 0; i < registry_adapter_count; i++) {
		adapter = &registry_adapters[i];
		failed += cmocka_run_group_tests_name(adapter->name, tests, NULL, NULL);
	}
	return failed;
}
