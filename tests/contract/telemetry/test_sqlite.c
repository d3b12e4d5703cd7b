/* What is particular to the SQLite adapter: its files, other processes, a disk that fails, a death in between. */
#include "tests/contract/telemetry/fixture.h"

#include "adapters/telemetry/sqlite.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIXTURE                                                                \
	struct fixture fixture_ __attribute__((cleanup(fixture_close))) = {0}; \
	struct fixture *fixture = &fixture_;                                   \
	(void)state;                                                           \
	fixture_open(fixture, &telemetry_adapters[0])

static void path_of(const struct fixture *fixture, const char *name, char ret_path[static 160])
{
	snprintf(ret_path, 160, "%s/telemetry/%s", fixture->directory, name);
}

static int64_t query_number(const struct fixture *fixture, const char *file, const char *text)
{
	sqlite3 *handle = NULL;
	sqlite3_stmt *statement = NULL;
	char path[160];

	path_of(fixture, file, path);
	assert_int_equal(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, text, -1, &statement, NULL), SQLITE_OK);
	int code = sqlite3_step(statement);
	int64_t number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	assert_true(code == SQLITE_ROW || code == SQLITE_DONE);
	sqlite3_finalize(statement);
	sqlite3_close(handle);
	return number;
}

static size_t count_files(const struct fixture *fixture, const char *part)
{
	char path[160];
	size_t count = 0;

	path_of(fixture, "", path);
	DIR *directory = opendir(path);
	assert_non_null(directory);
	for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
		count += strstr(entry->d_name, part) != NULL;
	closedir(directory);
	return count;
}

/* ---- opening ------------------------------------------------------------------------------------------ */

static void test_one_writes_many_read(void **state)
{
	FIXTURE;
	const struct telemetry_sqlite_options reading = {.is_read_only = true}, writing = {0};
	struct telemetry_store *reader = NULL, *second = NULL, *writer = fixture->store;
	struct note note = {0};
	char path[160];

	path_of(fixture, "", path);
	assert_int_equal(telemetry_sqlite_open(path, &writing, &second, &note), RESULT_CONFLICT);
	assert_int_equal(telemetry_sqlite_open(path, &reading, &reader, &note), RESULT_OK);
	fixture->store = reader;
	assert_string_equal(latest_text(fixture, 1), "");
	fixture->store = writer;
	put(fixture, 1, NOW_MS, "{\"a\":1}");
	fixture->store = reader;
	assert_string_equal(latest_text(fixture, 1), "a@0=1");
	const struct telemetry_batch batch = {0};
	const struct uuid one = vehicle_numbered(1);
	bool more;
	assert_int_equal(reader->ops->commit(reader, &batch, &note), RESULT_DENIED);
	assert_int_equal(reader->ops->forget(reader, &one, &note), RESULT_DENIED);
	assert_int_equal(reader->ops->expire(reader, NOW_MS, &more, &note), RESULT_DENIED);
	/* Names and days that came after it has looked. */
	fixture->store = writer;
	put(fixture, 1, NOW_MS + DAY_MS, "{\"b\":2}");
	fixture->store = reader;
	struct telemetry_query query = {.reference_id = one, .limit = 9};
	assert_string_equal(range_text(fixture, &query), "a@0=1 b@86400000=2");
	fixture->store = writer;
	telemetry_sqlite_close(reader);
}

static void test_a_reader_may_come_before_the_writer(void **state)
{
	const struct telemetry_sqlite_options reading = {.is_read_only = true};
	struct telemetry_store *reader = NULL;
	struct fixture fixture = {.adapter = &telemetry_adapters[0]};
	struct note note = {0};
	char path[160];

	(void)state;
	make_directory(fixture.directory);
	path_of(&fixture, "", path);
	assert_int_equal(telemetry_sqlite_open(path, &reading, &reader, &note), RESULT_OK);
	assert_int_equal(reader->ops->check(reader, &note), RESULT_UNAVAILABLE);
	assert_non_null(strstr(note.text, "vinveil-ingest"));
	fixture.store = fixture.adapter->open(fixture.directory);
	assert_non_null(fixture.store);
	assert_int_equal(reader->ops->check(reader, &note), RESULT_OK);
	telemetry_sqlite_close(reader);
	fixture_close(&fixture);
}

static void test_somebody_elses_file_is_left_alone(void **state)
{
	FIXTURE;
	const struct telemetry_message message = message_of(fixture, 1, NOW_MS, "{\"a\":1}");

	assert_int_equal(query_number(fixture, "2026-02-16.db", "CREATE TABLE theirs (x)"), 0);
	assert_int_equal(commit_messages(fixture, &message, 1), RESULT_CORRUPT);
	assert_int_equal(query_number(fixture, "2026-02-16.db", "SELECT count(*) FROM sqlite_schema"), 1);
	assert_int_equal(counts_of(fixture).messages, 0);
}

static void test_files_are_as_open_as_their_directory(void **state)
{
	FIXTURE;
	struct stat status;
	char path[160];

	put(fixture, 1, NOW_MS, "{\"a\":1}");
	path_of(fixture, "2026-02-16.db", path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	path_of(fixture, "", path);
	assert_int_equal(chmod(path, 0770), 0); /* writing is never shared */
	fixture_reopen(fixture);
	put(fixture, 1, NOW_MS + DAY_MS, "{\"a\":1}");
	path_of(fixture, "2026-02-17.db-wal", path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0640);
}

#define READERS_USER 65534

/* vinveild's user, in a process of its own. */
static void assert_another_user_reads(struct fixture *fixture, const char *expected)
{
	const struct telemetry_sqlite_options reading = {.is_read_only = true};
	const struct telemetry_query query = {.reference_id = vehicle_numbered(1), .limit = 9};
	struct note note = {0};
	char path[160], file[160];
	int status = 0;

	path_of(fixture, "", path);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		path_of(fixture, "main.db", file);
		if (setgid(READERS_USER) != 0 || setuid(READERS_USER) != 0 || access(file, W_OK) == 0 ||
		    telemetry_sqlite_open(path, &reading, &fixture->store, &note) != RESULT_OK)
			_exit(2);
		_exit(strcmp(range_text(fixture, &query), expected) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* While it is written, when its writer has closed it, and when its writer has died. Only root can try. */
static void test_another_user_reads_and_cannot_write(void **state)
{
	struct fixture shared __attribute__((cleanup(fixture_close))) = {.adapter = &telemetry_adapters[0]};
	struct fixture *fixture = &shared;
	char path[160];

	(void)state;
	if (geteuid() != 0)
		skip();
	make_directory(fixture->directory);
	path_of(fixture, "", path);
	if (chmod(fixture->directory, 0711) != 0 || mkdir(path, 0700) != 0 || chown(path, 0, READERS_USER) != 0 ||
	    chmod(path, 02750) != 0)
		fail();
	fixture->store = fixture->adapter->open(fixture->directory);
	put(fixture, 1, NOW_MS, "{\"a\":1}");
	assert_another_user_reads(fixture, "a@0=1");
	fixture->adapter->close(fixture->store);
	assert_another_user_reads(fixture, "a@0=1");
	pid_t child = fork();
	if (child == 0) {
		fixture->store = fixture->adapter->open(fixture->directory);
		put(fixture, 1, NOW_MS + 1, "{\"a\":2}");
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_another_user_reads(fixture, "a@0=1 a@1=2");
	fixture->store = fixture->adapter->open(fixture->directory);
	assert_another_user_reads(fixture, "a@0=1 a@1=2");
}

/* ---- what is kept ----------------------------------------------------------------------------------------- */

static void test_days_are_files_and_dropped_as_such(void **state)
{
	FIXTURE;

	for (int day = 0; day < 12; day++) /* more than are kept open */
		put(fixture, 1, NOW_MS - day * DAY_MS, "{\"a\":1}");
	assert_int_equal(query_number(fixture, "2026-02-07.db", "SELECT count(*) FROM message"), 1);
	expire_all(fixture, NOW_MS + (RETENTION_DAYS - 10) * DAY_MS);
	assert_int_equal(count_files(fixture, "2026-02-05"), 0);
	assert_int_equal(count_files(fixture, "2026-02-06.db") > 0, 1);
	expire_all(fixture, NOW_MS + 1000 * DAY_MS);
	assert_int_equal(count_files(fixture, "2026-"), 0);
	assert_int_equal(counts_of(fixture).messages, 12);
}

static void test_rejects_are_bounded_in_count_and_size(void **state)
{
	FIXTURE;
	static char payload[TELEMETRY_REJECT_SIZE_DEFAULT * 2];
	struct telemetry_reject rejects[500];

	memset(payload, 'x', sizeof(payload));
	for (size_t i = 0; i < 500; i++)
		rejects[i] = (struct telemetry_reject){.reference_id = vehicle_numbered(1),
						       .received_at_ms = (int64_t)i,
						       .reason = "payload-malformed",
						       .payload = span_of(payload, sizeof(payload))};
	const struct telemetry_batch batch = {.rejects = rejects, .reject_count = 500, .position = {1, 1}};
	for (int i = 0; i < 5; i++)
		assert_int_equal(fixture->store->ops->commit(fixture->store, &batch, NULL), RESULT_OK);
	assert_int_equal(counts_of(fixture).rejects, 2500);
	assert_int_equal(query_number(fixture, "main.db", "SELECT count(*) FROM reject"),
			 TELEMETRY_REJECTS_MAX_DEFAULT);
	assert_int_equal(query_number(fixture, "main.db", "SELECT max(length(payload)) FROM reject"),
			 TELEMETRY_REJECT_SIZE_DEFAULT);
	const struct uuid one = vehicle_numbered(1);
	assert_int_equal(fixture->store->ops->forget(fixture->store, &one, NULL), RESULT_OK);
	assert_int_equal(query_number(fixture, "main.db", "SELECT count(*) FROM reject"), 0);
}

static void test_a_forgotten_vehicle_is_in_no_file(void **state)
{
	FIXTURE;
	const struct uuid one = vehicle_numbered(1);
	static char bytes[1 << 20];
	char path[256], directory[160];

	put(fixture, 1, NOW_MS, "{\"a\":\"unmistakable\"}");
	put(fixture, 2, NOW_MS, "{\"a\":\"kept\"}");
	assert_int_equal(fixture->store->ops->forget(fixture->store, &one, NULL), RESULT_OK);
	path_of(fixture, "", directory);
	DIR *stream = opendir(directory);
	assert_non_null(stream);
	for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
		snprintf(path, sizeof(path), "%s/%.80s", directory, entry->d_name);
		FILE *file = fopen(path, "r");
		size_t size = file == NULL ? 0 : fread(bytes, 1, sizeof(bytes), file);
		if (memmem(bytes, size, "unmistakable", 12) != NULL)
			fail_msg("it is still in %s", entry->d_name);
		if (file != NULL)
			fclose(file);
	}
	closedir(stream);
}

/* ---- failures ------------------------------------------------------------------------------------------------ */

static struct telemetry_message *many_messages(struct fixture *fixture, size_t count, int64_t from_ms)
{
	struct telemetry_message *messages = arena_alloc(&fixture->arena, count * sizeof(*messages));
	char signals[256];

	assert_non_null(messages);
	for (size_t i = 0; i < count; i++) {
		snprintf(signals, sizeof(signals), "{\"n\":%zu,\"filler\":\"%0*zu\"}", i, 200, i);
		messages[i] = message_of(fixture, (uint32_t)(i % 7), from_ms + (int64_t)i, signals);
	}
	return messages;
}

/* Files may not grow: what a full disk is to SQLite. */
static void test_a_full_disk_loses_and_doubles_nothing(void **state)
{
	FIXTURE;
	const struct telemetry_message *messages = many_messages(fixture, 2000, NOW_MS);
	struct rlimit before, tight = {.rlim_cur = 200000};
	int refused = 0;

	put(fixture, 1, NOW_MS - 1, "{\"n\":1}");
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tight.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	for (int i = 0; i < 3; i++)
		refused += commit_messages(fixture, messages, 2000) == RESULT_UNAVAILABLE;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(refused, 3);
	assert_int_equal(counts_of(fixture).messages, 1);
	assert_int_equal(commit_messages(fixture, messages, 2000), RESULT_OK);
	assert_int_equal(counts_of(fixture).messages, 2001);
	assert_int_equal(counts_of(fixture).samples, 4001);
	assert_int_equal(counts_of(fixture).duplicates, 0);
}

/* What could not be numbered has no number in memory either. */
static void test_a_name_that_could_not_be_kept_is_not_known(void **state)
{
	FIXTURE;
	const struct telemetry_message message = message_of(fixture, 9, NOW_MS, "{\"first\":1,\"second\":2}");
	struct rlimit before, tight = {.rlim_cur = 4096};

	put(fixture, 1, NOW_MS, "{\"n\":1}");
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tight.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	assert_int_equal(commit_messages(fixture, &message, 1), RESULT_UNAVAILABLE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	put(fixture, 1, NOW_MS + 1, "{\"third\":3}");
	assert_int_equal(commit_messages(fixture, &message, 1), RESULT_OK);
	fixture_reopen(fixture);
	assert_string_equal(latest_text(fixture, 1), "n@0=1 third@1=3");
	assert_string_equal(latest_text(fixture, 9), "first@0=1 second@0=2");
}

/* A page that finds nothing among very many messages ends all the same, and the next one goes on. */
static void test_a_page_looks_at_so_much_and_no_more(void **state)
{
	FIXTURE;
	enum { COUNT = 60000 };
	struct telemetry_message *messages = arena_alloc(&fixture->arena, COUNT * sizeof(*messages));
	struct telemetry_query query = {.reference_id = vehicle_numbered(1), .name = span_of_text("rare")};
	size_t pages;

	assert_non_null(messages);
	const struct telemetry_message one = message_of(fixture, 1, NOW_MS, "{\"common\":1}");
	for (int i = 0; i < COUNT; i++) {
		messages[i] = one;
		messages[i].at_ms = NOW_MS + i;
	}
	assert_int_equal(commit_messages(fixture, messages, COUNT), RESULT_OK);
	put(fixture, 1, NOW_MS + COUNT, "{\"rare\":1}");
	assert_string_equal(pages_text(fixture, query, 10, &pages), "rare@60000=1");
	assert_int_equal(pages, 2);
}

/* In the child: batch after batch, until it is killed at whatever instant. */
static void commit_until_killed(struct fixture *fixture, const struct telemetry_message *messages)
{
	fixture->store = fixture->adapter->open(fixture->directory);
	for (size_t at = 0; fixture->store != NULL; at = (at + 10) % 500)
		if (commit_messages(fixture, messages + 100 + at, 10) != RESULT_OK)
			_exit(2);
	_exit(3);
}

static void test_a_death_between_the_files_is_completed_by_reading_again(void **state)
{
	FIXTURE;
	const struct telemetry_message *messages = many_messages(fixture, 600, NOW_MS);
	int status;

	assert_int_equal(commit_messages(fixture, messages, 100), RESULT_OK);
	for (int round = 0; round < 12; round++) {
		fixture->adapter->close(fixture->store); /* its lock would go with the child */
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0)
			commit_until_killed(fixture, messages);
		usleep((useconds_t)(30000 + round * 3700));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		fixture->store = fixture->adapter->open(fixture->directory);
		assert_non_null(fixture->store);
	}
	/* All of it once more, as from the last position: each is there once, and counted once. */
	for (size_t at = 0; at < 600; at += 50)
		assert_int_equal(commit_messages(fixture, messages + at, 50), RESULT_OK);
	assert_int_equal(counts_of(fixture).messages, 600);
	assert_int_equal(counts_of(fixture).samples, 1200);
	assert_int_equal(query_number(fixture, "2026-02-16.db", "SELECT count(*) FROM message"), 600);
	assert_int_equal(query_number(fixture, "main.db", "SELECT count(*) FROM vehicle"), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_writes_many_read),
		cmocka_unit_test(test_a_reader_may_come_before_the_writer),
		cmocka_unit_test(test_somebody_elses_file_is_left_alone),
		cmocka_unit_test(test_files_are_as_open_as_their_directory),
		cmocka_unit_test(test_another_user_reads_and_cannot_write),
		cmocka_unit_test(test_days_are_files_and_dropped_as_such),
		cmocka_unit_test(test_rejects_are_bounded_in_count_and_size),
		cmocka_unit_test(test_a_forgotten_vehicle_is_in_no_file),
		cmocka_unit_test(test_a_name_that_could_not_be_kept_is_not_known),
		cmocka_unit_test(test_a_page_looks_at_so_much_and_no_more),
		cmocka_unit_test(test_a_full_disk_loses_and_doubles_nothing),
		cmocka_unit_test(test_a_death_between_the_files_is_completed_by_reading_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
