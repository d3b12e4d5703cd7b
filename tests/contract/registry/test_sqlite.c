/*
 * What is SQLite's own: schema versions, foreign files, backup, check, a disk that fills, other processes' locks.
 */
#include "tests/contract/registry/fixture.h"

#include "adapters/registry/sqlite.h"
#include "adapters/registry/sqlite_db.h"
#include "adapters/registry/sqlite_schema.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture fixture;
static char path[128], copy[128];

static int set_up(void **state)
{
	(void)state;
	fixture_open(&fixture, &registry_adapters[0]);
	snprintf(path, sizeof(path), "%s/registry.db", fixture.directory);
	snprintf(copy, sizeof(copy), "%s/backup.db", fixture.directory);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

static void close_registry(void)
{
	registry_sqlite_close(fixture.registry);
	fixture.registry = NULL;
}

static void raw_sql(const char *file, const char *text)
{
	sqlite3 *handle = NULL;

	assert_int_equal(sqlite3_open(file, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(handle);
}

static enum result try_open(const char *file, struct note *note)
{
	struct registry *registry = NULL;
	enum result result = registry_sqlite_open(file, NULL, &registry, note);

	registry_sqlite_close(registry);
	return result;
}

/* ---- schema ---------------------------------------------------------------------------------------- */

static const struct sqlite_db_options db_options = {.cache_kib = 1024, .busy_timeout_ms = 1000};

static int64_t version_of(struct sqlite_db *db)
{
	sqlite3_stmt *statement = NULL;

	assert_int_equal(
		sqlite3_prepare_v2(db->handle, "SELECT max(version) FROM schema_version", -1, &statement, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	int64_t version = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return version;
}

/* What this program's first version left behind, with a tenant in it. */
static void make_version_1(const char *file)
{
	struct sqlite_db db = {0};

	assert_int_equal(sqlite_db_open(file, &db_options, &db, NULL), RESULT_OK);
	assert_int_equal(sqlite_migrate(&db, sqlite_migrations, 1, NOW_MS, NULL), RESULT_OK);
	assert_int_equal(sqlite_db_execute(&db,
					   "INSERT INTO tenant (id, check_digit, manifest_required, created_at)"
					   " VALUES ('demo', 1, 1, 7)",
					   NULL),
			 RESULT_OK);
	assert_int_equal(version_of(&db), 1);
	sqlite_db_close(&db);
}

static void assert_is_current(const char *file)
{
	struct registry *registry = NULL;
	struct tenant tenant;

	assert_int_equal(registry_sqlite_open(file, NULL, &registry, NULL), RESULT_OK);
	assert_int_equal(registry->ops->get_tenant(registry, &demo, &tenant, NULL), RESULT_OK);
	assert_int_equal(tenant.created_at_ms, 7);
	assert_int_equal(tenant.telemetry_retention_days, 0);
	registry_sqlite_close(registry);
}

static void version_1_is_migrated_with_its_data(void **state)
{
	(void)state;
	make_version_1(copy);
	assert_is_current(copy);
	assert_is_current(copy); /* once is enough */
}

static void a_backup_of_version_1_is_restored(void **state)
{
	(void)state;
	char target[160];
	struct note note = {0};

	snprintf(target, sizeof(target), "%s/restored.db", fixture.directory);
	make_version_1(copy);
	assert_int_equal(registry_sqlite_restore(copy, target, &note), RESULT_OK);
	assert_int_equal(registry_sqlite_check(target, &note), RESULT_OK);
	assert_is_current(target);
}

#define MIGRATIONS_MAX 16

/* The program's own migrations, and what a later program adds. */
static size_t later_migrations(const char *ret_migrations[static MIGRATIONS_MAX], const char *first, const char *second)
{
	size_t count = sqlite_migration_count;

	assert_true(count + 2 <= MIGRATIONS_MAX);
	memcpy(ret_migrations, sqlite_migrations, count * sizeof(ret_migrations[0]));
	ret_migrations[count++] = first;
	if (second != NULL)
		ret_migrations[count++] = second;
	return count;
}

static void what_a_later_program_made_is_refused(void **state)
{
	(void)state;
	const char *later[MIGRATIONS_MAX];
	const size_t count = later_migrations(
		later, "ALTER TABLE vehicle ADD COLUMN colour TEXT",
		"CREATE TABLE paint (number INTEGER PRIMARY KEY) STRICT; UPDATE vehicle SET colour = 'red'");
	struct sqlite_db db = {0};
	struct note note = {0};

	provision_ok(fixture.registry, 1);
	close_registry();
	assert_int_equal(sqlite_db_open(path, &db_options, &db, &note), RESULT_OK);
	assert_int_equal(sqlite_migrate(&db, later, count, NOW_MS, &note), RESULT_OK);
	assert_int_equal(version_of(&db), (int64_t)count);
	assert_int_equal(sqlite_db_execute(&db, "SELECT colour FROM vehicle; SELECT * FROM paint", &note), RESULT_OK);
	/* Once is enough. */
	assert_int_equal(sqlite_migrate(&db, later, count, NOW_MS, &note), RESULT_OK);
	sqlite_db_close(&db);
	assert_int_equal(try_open(path, &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, "newer"));
}

static void a_migration_that_fails_leaves_the_version_before(void **state)
{
	(void)state;
	const char *later[MIGRATIONS_MAX];
	const size_t count = later_migrations(
		later, "CREATE TABLE paint (number INTEGER PRIMARY KEY); INSERT INTO nowhere VALUES (1)", NULL);
	struct sqlite_db db = {0};

	close_registry();
	assert_int_equal(sqlite_db_open(path, &db_options, &db, NULL), RESULT_OK);
	assert_int_not_equal(sqlite_migrate(&db, later, count, NOW_MS, NULL), RESULT_OK);
	assert_int_equal(version_of(&db), (int64_t)sqlite_migration_count);
	assert_int_not_equal(sqlite_db_execute(&db, "SELECT * FROM paint", NULL), RESULT_OK);
	sqlite_db_close(&db);
	assert_int_equal(try_open(path, NULL), RESULT_OK);
}

/* Neither read from end to end nor sorted: but for tenants, of which there are few. */
static void assert_goes_by_index(struct sqlite_db *db, enum sql_statement which)
{
	sqlite3_stmt *statement = NULL;
	char text[4096];

	snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", sql_statements[which]);
	assert_int_equal(sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL), SQLITE_OK);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		const char *step = (const char *)sqlite3_column_text(statement, 3);
		bool is_scan = strstr(step, "SCAN ") != NULL && strstr(step, "SCAN CONSTANT ROW") == NULL &&
			       strstr(step, "SCAN t ") == NULL;

		if (is_scan || strstr(step, "TEMP B-TREE") != NULL)
			fail_msg("%s: %s", step, sql_statements[which]);
	}
	sqlite3_finalize(statement);
}

static void what_vehicles_ask_goes_by_an_index(void **state)
{
	(void)state;
	struct sqlite_db db = {0};

	assert_int_equal(sqlite_db_open(path, &db_options, &db, NULL), RESULT_OK);
	for (int which = SQL_INSERT_COMMAND; which <= SQL_GET_SIGNAL_DOCUMENT; which++)
		assert_goes_by_index(&db, (enum sql_statement)which);
	assert_goes_by_index(&db, SQL_COUNT_REVOKED);
	assert_goes_by_index(&db, SQL_SCAN_REVOKED);
	sqlite_db_close(&db);
}

static void other_files_are_not_taken_over(void **state)
{
	(void)state;
	struct note note = {0};
	FILE *file = fopen(copy, "w");

	for (int i = 0; i < 1000; i++)
		fprintf(file, "this is no database\n");
	fclose(file);
	assert_int_equal(try_open(copy, &note), RESULT_CORRUPT);
	unlink(copy);
	raw_sql(copy, "CREATE TABLE addresses (name TEXT)");
	assert_int_equal(try_open(copy, &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, "not a vinveil registry"));
	assert_int_equal(try_open("/nowhere/registry.db", &note), RESULT_UNAVAILABLE);
}

static void the_file_is_private(void **state)
{
	(void)state;
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

/* ---- backup ---------------------------------------------------------------------------------------- */

static atomic_bool stop_writing;

static void *keep_writing(void *context)
{
	uint32_t number = 1000;

	while (!atomic_load(&stop_writing))
		provision_ok(fixture.registry, number++);
	*(uint32_t *)context = number;
	return NULL;
}

static void a_backup_is_taken_beside_writers_and_restored(void **state)
{
	(void)state;
	struct registry_counts counts;
	struct note note = {0};
	uint32_t last = 0;
	pthread_t writer;

	provision_ok(fixture.registry, 1);
	atomic_store(&stop_writing, false);
	pthread_create(&writer, NULL, keep_writing, &last);
	enum result result = registry_sqlite_backup(path, copy, &note);
	atomic_store(&stop_writing, true);
	pthread_join(writer, NULL);
	assert_string_equal(note.text, "");
	assert_int_equal(result, RESULT_OK);
	assert_int_equal(registry_sqlite_backup(path, copy, &note), RESULT_CONFLICT);
	assert_int_equal(registry_sqlite_check(copy, &note), RESULT_OK);
	struct stat status;
	assert_int_equal(stat(copy, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);

	/* Restoring over a registry is refused, and so is restoring while it is served. */
	assert_int_equal(registry_sqlite_restore(copy, path, &note), RESULT_CONFLICT);
	close_registry();
	assert_int_equal(registry_sqlite_restore(copy, path, &note), RESULT_CONFLICT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(registry_sqlite_restore(copy, path, &note), RESULT_OK);
	fixture_reopen(&fixture);
	assert_true(vehicle_is_there(&fixture, 1));
	assert_int_equal(fixture.registry->ops->count(fixture.registry, &counts, NULL), RESULT_OK);
	assert_true(counts.vehicles >= 1 && counts.vehicles <= last);
	provision_ok(fixture.registry, 999);
}

static void a_damaged_backup_is_not_restored(void **state)
{
	(void)state;
	struct note note = {0};
	char target[160];

	snprintf(target, sizeof(target), "%s/restored.db", fixture.directory);
	for (uint32_t i = 1; i <= 200; i++)
		provision_ok(fixture.registry, i);
	assert_int_equal(registry_sqlite_backup(path, copy, &note), RESULT_OK);
	int fd = open(copy, O_RDWR);
	uint8_t zeros[8192] = {0};
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), (off_t)4096 * 20), sizeof(zeros));
	close(fd);
	assert_int_equal(registry_sqlite_restore(copy, target, &note), RESULT_CORRUPT);
	assert_int_not_equal(access(target, F_OK), 0);
	assert_int_equal(registry_sqlite_restore("/nowhere/backup.db", target, &note), RESULT_UNAVAILABLE);
}

static void the_check_finds_what_does_not_agree(void **state)
{
	(void)state;
	static const struct {
		const char *damage, *finding;
	} cases[] = {
		{"DELETE FROM vin_index", "no VIN index"},
		{"UPDATE vin_index SET vehicle = 77", "belongs to no vehicle"},
		{"UPDATE vin_index SET reference_id = zeroblob(16)", "another vehicle's Reference ID"},
		{"UPDATE generation_count SET vehicles = vehicles + 1 WHERE vehicles > 0", "as counted"},
		{"DELETE FROM generation_count", "as counted"},
		{"UPDATE vehicle SET state = 9", "malformed"},
		{"UPDATE history SET vehicle = 77", "history"},
		{"DELETE FROM certified_key", "certified key"},
		{"UPDATE command SET vehicle = 77", "command"},
		{"UPDATE claim SET used = 9", "too often"},
		{"UPDATE ownership SET claim = 77", "no claim"},
		{"UPDATE ownership SET serial = (SELECT serial FROM certificate)", "issued ahead"},
		{"INSERT INTO import_progress VALUES (1, 'f', 1, 2, 0, 0, 0, 0)", "unfinished"},
	};
	const struct vehicle vehicle = vehicle_numbered(1);
	const struct certificate_record certificate = certificate_numbered(1, &vehicle);
	const struct remote_command command = {.id = uuid_numbered(2),
					       .tenant = demo,
					       .reference_id = vehicle.reference_id,
					       .name = "horn",
					       .payload = "null",
					       .status = COMMAND_CREATED,
					       .created_by = "crm",
					       .version = 1};
	const struct claim claim = {
		.name = "plant-7", .tenant = demo, .serial = serial_numbered(3), .count_max = 8, .used = 8};
	const struct ownership ownership = {
		.claim = "plant-7", .tenant = demo, .serial = serial_numbered(4), .not_after_ms = NOW_MS + DAY_MS};
	struct note note = {0};

	provision_ok(fixture.registry, 1);
	COMMIT(fixture.registry, {.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &certificate},
	       {.kind = REGISTRY_INSERT_COMMAND, .command = &command}, {.kind = REGISTRY_INSERT_CLAIM, .claim = &claim},
	       {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownership});
	assert_int_equal(registry_sqlite_check(path, &note), RESULT_OK);
	for (size_t i = 0; i < COUNT(cases); i++) {
		unlink(copy);
		assert_int_equal(registry_sqlite_backup(path, copy, &note), RESULT_OK);
		raw_sql(copy, cases[i].damage);
		assert_int_equal(registry_sqlite_check(copy, &note), RESULT_CORRUPT);
		if (strstr(note.text, cases[i].finding) == NULL)
			fail_msg("%s: %s", cases[i].damage, note.text);
	}
	assert_int_equal(registry_sqlite_check("/nowhere/registry.db", &note), RESULT_ABSENT);
}

/* ---- other processes and failing disks ------------------------------------------------------------- */

static void *hold_write_lock(void *context)
{
	sqlite3 *handle = context;

	usleep(150000);
	sqlite3_exec(handle, "COMMIT", NULL, NULL, NULL);
	return NULL;
}

static void another_writer_is_waited_for(void **state)
{
	(void)state;
	sqlite3 *handle = NULL;
	pthread_t holder;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	pthread_create(&holder, NULL, hold_write_lock, handle);
	provision_ok(fixture.registry, 1);
	pthread_join(holder, NULL);
	sqlite3_close(handle);
}

static void a_writer_that_stays_makes_it_unavailable(void **state)
{
	(void)state;
	const struct registry_sqlite_options options = {.busy_timeout_ms = 50};
	struct registry *impatient = NULL;
	enum registry_conflict conflict;
	sqlite3 *handle = NULL;

	assert_int_equal(registry_sqlite_open(path, &options, &impatient, NULL), RESULT_OK);
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(provision(impatient, 1, &conflict), RESULT_UNAVAILABLE);
	assert_int_equal(impatient->ops->check(impatient, NULL), RESULT_UNAVAILABLE);
	assert_int_equal(sqlite3_exec(handle, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	provision_ok(impatient, 1);
	assert_int_equal(impatient->ops->check(impatient, NULL), RESULT_OK);
	sqlite3_close(handle);
	registry_sqlite_close(impatient);
}

#define FILLERS 4

struct filler {
	struct registry *registry;
	uint32_t first, stored;
	bool was_refused;
	pthread_t thread;
};

/* Provisions until the disk is full; counts what was reported. */
static void *fill_disk(void *context)
{
	struct filler *filler = context;

	for (uint32_t i = 0; i < 100000; i++) {
		enum registry_conflict conflict;
		enum result result = provision(filler->registry, filler->first + i, &conflict);

		if (result == RESULT_UNAVAILABLE)
			filler->was_refused = true;
		if (result != RESULT_OK)
			break;
		filler->stored++;
	}
	return NULL;
}

static int complain(const char *what)
{
	fprintf(stderr, "%s\n", what);
	return 1;
}

/* Until the disk is full; every reported one must be there, and nothing half-done. */
static int fill_and_recover(const char *where, void (*make_room)(void))
{
	struct registry *registry = registry_adapters[0].open(where, clock_system());
	const struct tenant tenant = {.id = demo};
	const struct registry_write write = {.kind = REGISTRY_INSERT_TENANT, .tenant = &tenant};
	struct filler fillers[FILLERS];
	struct registry_counts counts;
	enum registry_conflict conflict;
	uint64_t stored = 0;

	if (registry == NULL || commit_try(registry, &write, 1, &conflict) != RESULT_OK)
		return complain("cannot begin");
	for (uint32_t i = 0; i < FILLERS; i++) {
		fillers[i] = (struct filler){.registry = registry, .first = 1 + i * 100000};
		pthread_create(&fillers[i].thread, NULL, fill_disk, &fillers[i]);
	}
	for (uint32_t i = 0; i < FILLERS; i++) {
		pthread_join(fillers[i].thread, NULL);
		stored += fillers[i].stored;
		if (!fillers[i].was_refused)
			return complain("the disk was not full, or the answer was not unavailable");
	}
	make_room();
	if (registry->ops->check(registry, NULL) != RESULT_OK)
		return complain("it did not recover");
	if (registry->ops->count(registry, &counts, NULL) != RESULT_OK || counts.vehicles != stored ||
	    counts.outbox != stored)
		return complain("what is stored is not what was reported");
	if (provision(registry, 99999999, &conflict) != RESULT_OK)
		return complain("no new vehicle after the recovery");
	registry_sqlite_close(registry);
	return 0;
}

static char mount_point[128], ballast[160];

static void remove_ballast(void)
{
	unlink(ballast);
}

static bool map_user(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return is_written;
}

/* A namespace of mounts: root may have one, others where the system lets them be root of their own. */
static bool enter_namespace(void)
{
	char map[32];

	snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
	if (unshare(CLONE_NEWNS) != 0 &&
	    (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 || !map_user("/proc/self/uid_map", map)))
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* A small file system of its own; 77 where that is forbidden. */
static int on_a_small_disk(void)
{
	uint8_t block[65536] = {0};

	if (!enter_namespace() || mount("tmpfs", mount_point, "tmpfs", 0, "size=4m,mode=0700") != 0)
		return 77;
	int fd = open(ballast, O_WRONLY | O_CREAT, 0600);
	for (int i = 0; i < 24; i++) {
		if (write(fd, block, sizeof(block)) != sizeof(block))
			return complain("no ballast");
	}
	close(fd);
	return fill_and_recover(mount_point, remove_ballast);
}

static int run_in_child(int (*run)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(run());
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void a_full_disk_is_unavailable_and_recovers_by_itself(void **state)
{
	(void)state;
	snprintf(mount_point, sizeof(mount_point), "%s/disk", fixture.directory);
	snprintf(ballast, sizeof(ballast), "%s/ballast", mount_point);
	close_registry();
	assert_int_equal(mkdir(mount_point, 0700), 0);
	int status = run_in_child(on_a_small_disk);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

static void lift_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
}

/* Writes fail with EFBIG here: an I/O error in the middle of a group, as a broken disk gives. */
static int with_files_that_cannot_grow(void)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 1500000;
	setrlimit(RLIMIT_FSIZE, &limit);
	return fill_and_recover(mount_point, lift_limit);
}

static void an_io_error_is_unavailable_and_recovers_by_itself(void **state)
{
	(void)state;
	snprintf(mount_point, sizeof(mount_point), "%s/disk", fixture.directory);
	close_registry();
	assert_int_equal(mkdir(mount_point, 0700), 0);
	assert_int_equal(run_in_child(with_files_that_cannot_grow), 0);
}

static void a_damaged_page_is_corrupt(void **state)
{
	(void)state;
	const struct uuid id = uuid_numbered(500);
	struct vehicle vehicle;
	uint8_t junk[4096 * 8];
	struct stat status;

	for (uint32_t i = 1; i <= 600; i++)
		provision_ok(fixture.registry, i);
	close_registry();
	memset(junk, 0x5a, sizeof(junk));
	int fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &status), 0);
	/* All but the schema's pages. */
	for (off_t at = 4096 * 80; at + (off_t)sizeof(junk) <= status.st_size; at += (off_t)sizeof(junk))
		assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
	close(fd);
	fixture_reopen(&fixture);
	assert_int_equal(
		fixture.registry->ops->get_vehicle(fixture.registry, &demo, &id, &fixture.arena, &vehicle, NULL),
		RESULT_CORRUPT);
	assert_int_equal(registry_sqlite_check(path, NULL), RESULT_CORRUPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(version_1_is_migrated_with_its_data),
		TEST(a_backup_of_version_1_is_restored),
		TEST(what_a_later_program_made_is_refused),
		TEST(what_vehicles_ask_goes_by_an_index),
		TEST(a_migration_that_fails_leaves_the_version_before),
		TEST(other_files_are_not_taken_over),
		TEST(the_file_is_private),
		TEST(a_backup_is_taken_beside_writers_and_restored),
		TEST(a_damaged_backup_is_not_restored),
		TEST(the_check_finds_what_does_not_agree),
		TEST(another_writer_is_waited_for),
		TEST(a_writer_that_stays_makes_it_unavailable),
		TEST(a_full_disk_is_unavailable_and_recovers_by_itself),
		TEST(an_io_error_is_unavailable_and_recovers_by_itself),
		TEST(a_damaged_page_is_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
