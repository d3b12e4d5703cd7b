/*
 * Import into the SQLite registry: whole, resumable at any instant, alone, and exact about what it rejects.
 */
#include "tests/contract/registry/fixture.h"

#include "adapters/registry/sqlite.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64], path[128];
static struct arena arena;

static int set_up(void **state)
{
	(void)state;
	make_directory(directory);
	snprintf(path, sizeof(path), "%s/registry.db", directory);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_release(&arena);
	remove_directory(directory);
	return 0;
}

static const struct tenant demo_tenant = {.id = {"demo"}, .created_at_ms = NOW_MS};

static enum result open_import(const char *file, struct registry_import **ret_import,
			       struct import_position *ret_position, struct note *note)
{
	struct registry_import_options options = {.tenant = demo, .actor = "importer", .cache_kib = 8192};

	snprintf(options.file_identity, sizeof(options.file_identity), "%s", file);
	return registry_import_open(path, &options, &demo_tenant, ret_import, ret_position, note);
}

static struct import_row row_numbered(uint32_t number)
{
	return (struct import_row){
		.line = number, .vehicle = vehicle_numbered(number), .indexes = index_numbered(number, 1)};
}

/* Lines first..last, each with the vehicle of its number, changed by `change` when there is one. */
static enum result add(struct registry_import *import, uint32_t first, uint32_t last,
		       void (*change)(struct import_row *row))
{
	size_t count = last - first + 1;
	struct import_row *rows = calloc(count, sizeof(*rows));
	const struct import_position end = {.line = last, .byte_offset = (uint64_t)last * 100};
	struct audit_leaf leaf = {.json = span_of_text("{\"action\":\"import\"}")};

	assert_int_equal(uuid_generate_v4(entropy_system(), &leaf.leaf_id), RESULT_OK);
	for (size_t i = 0; i < count; i++) {
		rows[i] = row_numbered(first + (uint32_t)i);
		if (change != NULL)
			change(&rows[i]);
	}
	enum result result = registry_import_add(import, rows, count, &end, &leaf, 3, NULL);
	free(rows);
	return result;
}

struct rejections {
	uint64_t lines[64];
	enum import_rejection why[64];
	size_t count;
};

static void note_rejected(void *context, uint64_t line, enum import_rejection why)
{
	struct rejections *rejections = context;

	if (rejections->count < COUNT(rejections->lines)) {
		rejections->lines[rejections->count] = line;
		rejections->why[rejections->count] = why;
	}
	rejections->count++;
}

static uint64_t finish(struct registry_import *import, struct rejections *rejections)
{
	struct note note = {0};
	uint64_t rows = 0;

	*rejections = (struct rejections){0};
	enum result result = registry_import_finish(import, note_rejected, rejections, &rows, &note);
	if (result != RESULT_OK)
		fail_msg("finish: %s: %s", result_name(result), note.text);
	registry_import_close(import);
	return rows;
}

static struct registry_import *opened(const char *file)
{
	struct registry_import *import = NULL;
	struct import_position position;
	struct note note = {0};

	if (open_import(file, &import, &position, &note) != RESULT_OK)
		fail_msg("%s", note.text);
	return import;
}

static struct registry *open_registry(void)
{
	struct registry *registry = NULL;
	struct note note = {0};

	if (registry_sqlite_open(path, NULL, &registry, &note) != RESULT_OK)
		fail_msg("%s", note.text);
	return registry;
}

static bool is_found(struct registry *registry, uint32_t number, uint16_t generation)
{
	const struct vin_index_set index = index_numbered(number, generation);
	struct uuid id;
	bool found = false;

	assert_int_equal(registry->ops->find_by_index(registry, &demo, &index, 1, &id, &found, NULL), RESULT_OK);
	return found;
}

static void assert_whole(uint64_t vehicles)
{
	struct registry_counts counts;
	struct note note = {0};

	if (registry_sqlite_check(path, &note) != RESULT_OK)
		fail_msg("%s", note.text);
	struct registry *registry = open_registry();
	assert_int_equal(registry->ops->count(registry, &counts, NULL), RESULT_OK);
	assert_int_equal(counts.vehicles, vehicles);
	registry_sqlite_close(registry);
}

/* ---- whole imports --------------------------------------------------------------------------------- */

static void an_import_into_an_empty_registry_reads_like_provisionings(void **state)
{
	(void)state;
	struct registry_import *import = opened("a");
	const struct uuid id = uuid_numbered(7);
	struct rejections rejections;
	struct history_entry *entries;
	struct outbox_leaf *leaves;
	struct vehicle vehicle;
	size_t count;

	for (uint32_t first = 1; first <= 3000; first += 1000)
		assert_int_equal(add(import, first, first + 999, NULL), RESULT_OK);
	assert_int_equal(finish(import, &rejections), 3000);
	assert_int_equal(rejections.count, 0);
	assert_whole(3000);
	struct registry *registry = open_registry();
	for (uint32_t i = 1; i <= 3000; i += 7)
		assert_true(is_found(registry, i, 1));
	assert_int_equal(registry->ops->find_by_device(registry, &demo, "device-7", &arena, &vehicle, NULL), RESULT_OK);
	assert_memory_equal(&vehicle.reference_id, &id, UUID_SIZE);
	assert_int_equal(registry->ops->get_history(registry, &demo, &id, 0, 10, &arena, &entries, &count, NULL),
			 RESULT_OK);
	assert_int_equal(count, 1);
	assert_int_equal(entries[0].event, HISTORY_PROVISIONED);
	assert_int_equal(entries[0].at_ms, NOW_MS);
	assert_string_equal(entries[0].actor, "importer");
	/* one leaf a chunk */
	assert_int_equal(registry->ops->read_outbox(registry, 10, &arena, &leaves, &count, NULL), RESULT_OK);
	assert_int_equal(count, 3);
	assert_int_equal(leaves[0].log_size, 3);
	/* uniqueness stands again */
	enum registry_conflict conflict;
	assert_int_equal(provision(registry, 5, &conflict), RESULT_CONFLICT);
	assert_int_equal(conflict, REGISTRY_CONFLICT_REFERENCE_ID);
	provision_ok(registry, 3001);
	registry_sqlite_close(registry);
}

/* Line 20 repeats line 10's VIN, 30 its device, 40 its Reference ID; 50 repeats VIN and device of 11. */
static void repeat_some(struct import_row *row)
{
	const struct import_row tenth = row_numbered(10), eleventh = row_numbered(11);

	if (row->line == 20 || row->line == 50)
		row->indexes = row->line == 20 ? tenth.indexes : eleventh.indexes;
	if (row->line == 30 || row->line == 50)
		memcpy(row->vehicle.device_id, row->line == 30 ? tenth.vehicle.device_id : eleventh.vehicle.device_id,
		       DEVICE_ID_SIZE);
	if (row->line == 40)
		row->vehicle.reference_id = tenth.vehicle.reference_id;
}

static void assert_repeated_rejected(const struct rejections *rejections)
{
	assert_int_equal(rejections->count, 4);
	assert_int_equal(rejections->lines[0], 20);
	assert_int_equal(rejections->why[0], IMPORT_DUPLICATE_VIN);
	assert_int_equal(rejections->lines[1], 30);
	assert_int_equal(rejections->why[1], IMPORT_DUPLICATE_DEVICE);
	assert_int_equal(rejections->lines[2], 40);
	assert_int_equal(rejections->why[2], IMPORT_DUPLICATE_REFERENCE_ID);
	assert_int_equal(rejections->lines[3], 50);
	assert_int_equal(rejections->why[3], IMPORT_DUPLICATE_VIN);
}

static void duplicates_within_a_file_are_rejected_by_line(void **state)
{
	(void)state;
	struct registry_import *import = opened("a");
	struct rejections rejections;

	assert_int_equal(add(import, 1, 25, repeat_some), RESULT_OK);
	assert_int_equal(add(import, 26, 100, repeat_some), RESULT_OK);
	assert_int_equal(finish(import, &rejections), 96);
	assert_repeated_rejected(&rejections);
	assert_whole(96);
	struct registry *registry = open_registry();
	assert_true(is_found(registry, 10, 1) && is_found(registry, 11, 1));
	/* What was rejected left nothing behind that would be in the way. */
	provision_ok(registry, 20);
	provision_ok(registry, 30);
	provision_ok(registry, 40);
	registry_sqlite_close(registry);
	assert_whole(99);
}

static void duplicates_are_rejected_beside_other_vehicles_too(void **state)
{
	(void)state;
	struct registry_import *import = opened("first");
	struct rejections rejections;

	assert_int_equal(add(import, 1000, 1000, NULL), RESULT_OK);
	assert_int_equal(finish(import, &rejections), 1);
	import = opened("second");
	assert_int_equal(add(import, 1, 25, repeat_some), RESULT_OK);
	assert_int_equal(add(import, 26, 100, repeat_some), RESULT_OK);
	assert_int_equal(finish(import, &rejections), 96);
	assert_repeated_rejected(&rejections);
	assert_whole(97);
	/* The same file once more: every line is known. */
	import = opened("second");
	assert_int_equal(add(import, 1, 100, repeat_some), RESULT_OK);
	assert_int_equal(finish(import, &rejections), 0);
	assert_int_equal(rejections.count, 100);
	assert_whole(97);
}

static void add_second_generation(struct import_row *row)
{
	row->indexes.indexes[1] = row->indexes.indexes[0];
	row->indexes.indexes[0] = index_numbered((uint32_t)row->line, 2).indexes[0];
	row->indexes.count = 2;
	if (row->line == 9)
		row->indexes = row_numbered(3).indexes;
}

static void both_generations_are_imported_during_a_rotation(void **state)
{
	(void)state;
	struct registry_import *import = opened("a");
	struct rejections rejections;

	assert_int_equal(add(import, 1, 20, add_second_generation), RESULT_OK);
	assert_int_equal(finish(import, &rejections), 19);
	assert_int_equal(rejections.lines[0], 9);
	assert_whole(19);
	struct registry *registry = open_registry();
	assert_true(is_found(registry, 4, 1) && is_found(registry, 4, 2));
	assert_false(is_found(registry, 9, 1) || is_found(registry, 9, 2));
	registry_sqlite_close(registry);
}

static void rows_out_of_order_are_refused(void **state)
{
	(void)state;
	struct registry_import *import = opened("a");
	struct import_row rows[2] = {row_numbered(2), row_numbered(1)};
	const struct import_position end = {.line = 2};

	assert_int_equal(registry_import_add(import, rows, 2, &end, NULL, 0, NULL), RESULT_INVALID);
	assert_int_equal(add(import, 1, 5, NULL), RESULT_OK);
	assert_int_equal(add(import, 5, 6, NULL), RESULT_INVALID);
	registry_import_close(import);
}

static void an_unknown_tenant_is_named(void **state)
{
	(void)state;
	const struct registry_import_options options = {.tenant = {"nobody"}, .actor = "a", .file_identity = "f"};
	struct registry_import *import = NULL;
	struct import_position position;
	struct note note = {0};

	assert_int_equal(registry_import_open(path, &options, NULL, &import, &position, &note), RESULT_ABSENT);
	assert_non_null(strstr(note.text, "nobody"));
	/* and nothing was begun */
	registry_sqlite_close(open_registry());
}

/* ---- alone ----------------------------------------------------------------------------------------- */

/* In another process, because one process may not stand in its own way unnoticed either. */
static void the_process_in_the_way_is_named(void **state)
{
	(void)state;
	struct registry_import *import = opened("a");
	char expected[32];

	snprintf(expected, sizeof(expected), "process %d", getpid());
	pid_t child = fork();
	if (child == 0) {
		struct registry *registry = NULL;
		struct note note = {0};
		enum result result = registry_sqlite_open(path, NULL, &registry, &note);

		_exit(result == RESULT_CONFLICT && strstr(note.text, expected) != NULL ? 0 : 1);
	}
	int status;
	waitpid(child, &status, 0);
	assert_int_equal(WEXITSTATUS(status), 0);
	registry_import_close(import);
}

static void an_import_waits_for_no_server(void **state)
{
	(void)state;
	struct registry *registry = open_registry();
	struct registry_import *import = NULL;
	struct import_position position;
	struct note note = {0};

	assert_int_equal(open_import("a", &import, &position, &note), RESULT_CONFLICT);
	assert_non_null(strstr(note.text, "in use"));
	registry_sqlite_close(registry);
	registry_import_close(opened("a"));
}

/* ---- interrupted ----------------------------------------------------------------------------------- */

static void an_interrupted_import_goes_on_where_it_was(void **state)
{
	(void)state;
	struct registry_import *import = opened("a");
	struct import_position position;
	struct rejections rejections;
	struct registry *registry = NULL;
	struct note note = {0};

	assert_int_equal(add(import, 1, 500, NULL), RESULT_OK);
	registry_import_close(import);
	assert_int_equal(registry_sqlite_open(path, NULL, &registry, &note), RESULT_UNAVAILABLE);
	assert_non_null(strstr(note.text, "line 500"));
	assert_int_equal(open_import("b", &import, &position, &note), RESULT_CONFLICT);
	assert_int_equal(open_import("a", &import, &position, &note), RESULT_OK);
	assert_int_equal(position.line, 500);
	assert_int_equal(position.byte_offset, 50000);
	assert_int_equal(position.chunk, 1);
	assert_int_equal(position.rows, 500);
	assert_int_equal(add(import, 501, 900, NULL), RESULT_OK);
	assert_int_equal(finish(import, &rejections), 900);
	assert_whole(900);
}

static void raw_sql(const char *text)
{
	sqlite3 *handle = NULL;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(handle);
}

static void an_interrupted_build_is_completed_by_the_next_open(void **state)
{
	(void)state;
	struct registry_import *import = opened("a");
	struct import_position position;
	struct rejections rejections;

	assert_int_equal(add(import, 1, 100, repeat_some), RESULT_OK);
	registry_import_close(import);
	raw_sql("UPDATE import_progress SET phase = 3");
	struct registry *registry = open_registry();
	assert_true(is_found(registry, 10, 1));
	registry_sqlite_close(registry);
	assert_whole(96);
	/* What was rejected is still told to whoever runs the import again. */
	assert_int_equal(open_import("a", &import, &position, NULL), RESULT_OK);
	assert_int_equal(position.line, 100);
	assert_int_equal(add(import, 101, 102, NULL), RESULT_INVALID);
	assert_int_equal(finish(import, &rejections), 96);
	assert_repeated_rejected(&rejections);
}

#define ROWS_TO_IMPORT 6000

static void import_everything(void)
{
	struct registry_import *import = NULL;
	struct import_position position;
	struct rejections rejections = {0};
	uint64_t rows;

	if (open_import("a", &import, &position, NULL) != RESULT_OK)
		_exit(2);
	for (uint32_t first = (uint32_t)position.line + 1; first <= ROWS_TO_IMPORT; first += 250) {
		if (add(import, first, first + 249, repeat_some) != RESULT_OK)
			_exit(3);
	}
	if (registry_import_finish(import, note_rejected, &rejections, &rows, NULL) != RESULT_OK)
		_exit(4);
	registry_import_close(import);
	_exit(rows == ROWS_TO_IMPORT - 4 && rejections.count == 4 ? 0 : 5);
}

/* Kills at ever later instants until an import comes to its end; each goes on where the one before was killed. */
static void an_import_survives_sigkill_at_any_instant(void **state)
{
	(void)state;
	int status = 0;
	unsigned killed = 0;

	for (unsigned delay_us = 3000;; delay_us += 2500) {
		pid_t child = fork();
		if (child == 0)
			import_everything();
		usleep(delay_us);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		if (WIFEXITED(status))
			break;
		killed++;
		assert_true(killed < 400);
	}
	/* Killed after it had forgotten the import but before it could say so, the last one began anew. */
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 5);
	assert_true(killed > 2);
	assert_whole(ROWS_TO_IMPORT - 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(an_import_into_an_empty_registry_reads_like_provisionings),
		TEST(duplicates_within_a_file_are_rejected_by_line),
		TEST(duplicates_are_rejected_beside_other_vehicles_too),
		TEST(both_generations_are_imported_during_a_rotation),
		TEST(rows_out_of_order_are_refused),
		TEST(an_unknown_tenant_is_named),
		TEST(the_process_in_the_way_is_named),
		TEST(an_import_waits_for_no_server),
		TEST(an_interrupted_import_goes_on_where_it_was),
		TEST(an_interrupted_build_is_completed_by_the_next_open),
		TEST(an_import_survives_sigkill_at_any_instant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
