/*
 * A disk that fails: full, an error of write or sync. Nothing is acknowledged wrongly, no hole is left, and when the
 * disk is well again so is the log. pwrite and fdatasync are wrapped by the linker (see meson.build).
 */
#include "audit_support.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is to fail. `only`: the name of the files it concerns; NULL: all. */
static atomic_int failing_syncs, failing_writes;
static _Atomic(const char *) only;
static void (*_Atomic on_sync_failure)(int fd);

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
/* What pwrite is called where off_t is asked to be 64 bits wide. */
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);

static bool is_concerned(int fd)
{
	char link[64], path[PATH_MAX];
	const char *name = atomic_load(&only);
	ssize_t size;

	if (name == NULL)
		return true;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof(path) - 1);
	if (size < 0)
		return false;
	path[size] = '\0';
	return strstr(path, name) != NULL;
}

static bool take_failure(atomic_int *failures)
{
	int left = atomic_load(failures);

	while (left > 0)
		if (atomic_compare_exchange_weak(failures, &left, left - 1))
			return true;
	return false;
}

int __wrap_fdatasync(int fd)
{
	void (*hook)(int) = atomic_load(&on_sync_failure);

	if (atomic_load(&failing_syncs) == 0 || !is_concerned(fd) || !take_failure(&failing_syncs))
		return __real_fdatasync(fd);
	if (hook != NULL)
		hook(fd);
	errno = EIO;
	return -1;
}

/* Half of it is written, then the device gives up. */
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	if (atomic_load(&failing_writes) == 0 || !is_concerned(fd))
		return __real_pwrite(fd, bytes, size, offset);
	if (size > 1)
		return __real_pwrite(fd, bytes, size / 2, offset);
	take_failure(&failing_writes);
	errno = EIO;
	return -1;
}

static int faults_setup(void **state)
{
	failing_syncs = failing_writes = 0;
	only = NULL;
	on_sync_failure = NULL;
	return audit_setup(state);
}

static enum result append_one(struct audit_log *log, uint64_t number)
{
	char room[AUDIT_LEAF_SIZE_MAX + 1];
	struct audit_leaf leaf;

	plain_leaf(number, room, &leaf);
	return append_wait(log, &leaf, 1, NULL);
}

ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
	return __wrap_pwrite(fd, bytes, size, offset);
}

static void assert_sound(struct audit_fixture *fixture, uint64_t count)
{
	struct audit_verify_report report;

	audit_checkpoint(fixture);
	for (uint64_t i = 0; i < count; i++)
		assert_entry(fixture->log, i, i);
	audit_close(fixture);
	if (verify(fixture, &report) != RESULT_OK)
		fail_msg("%s, byte %llu: %s", report.failure.file, (unsigned long long)report.failure.offset,
			 report.failure.what);
	assert_int_equal(report.entry_count, count);
	audit_open(fixture);
	assert_int_equal(fixture->log->ops->durable_size(fixture->log), count);
}

static void assert_fails_and_recovers(struct audit_fixture *fixture, atomic_int *failures)
{
	struct audit_tlog_status status;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 20, 1);
	only = "entries-";
	for (int count = 1; count <= 4; count++) { /* the write itself, then the repair, several times */
		atomic_store(failures, count);
		assert_int_equal(append_one(fixture->log, 999), RESULT_UNAVAILABLE);
		assert_int_equal(fixture->log->ops->durable_size(fixture->log), 19 + count);
		assert_int_equal(fixture->log->ops->size(fixture->log), 19 + count);
		audit_tlog_status(fixture->log, &status);
		assert_true(status.is_failing);
		assert_true(status.failure[0] != '\0');
		while (atomic_load(failures) > 0)
			assert_int_equal(append_one(fixture->log, 999), RESULT_UNAVAILABLE);
		assert_int_equal(append_one(fixture->log, 19 + (uint64_t)count), RESULT_OK);
		audit_tlog_status(fixture->log, &status);
		assert_false(status.is_failing);
	}
	assert_sound(fixture, 24);
}

static void test_a_failed_sync(void **state)
{
	assert_fails_and_recovers(*state, &failing_syncs);
}

static void test_a_failed_write(void **state)
{
	assert_fails_and_recovers(*state, &failing_writes);
}

static void test_a_failure_at_the_border_of_segments(void **state)
{
	struct audit_fixture *fixture = *state;
	char room[AUDIT_LEAF_SIZE_MAX + 1], path[PATH_SIZE];
	static char rooms[20][1024];
	struct audit_leaf leaves[20];

	audit_open(fixture);
	append_numbers(fixture->log, 0, 65530, 8191);
	for (size_t i = 0; i < 20; i++) {
		plain_leaf(900000 + i, room, &leaves[i]);
		memcpy(rooms[i], room, leaves[i].json.size);
		leaves[i].json.data = (const uint8_t *)rooms[i];
	}
	only = "entries-000001";
	failing_writes = 1;
	assert_int_equal(append_wait(fixture->log, leaves, 20, NULL), RESULT_UNAVAILABLE);
	assert_int_equal(fixture->log->ops->durable_size(fixture->log), 65530);
	append_numbers(fixture->log, 65530, 3, 3);
	file_path(fixture, "entries-000001", path);
	assert_false(path_exists(path)); /* what the failed group began is gone */
	failing_syncs = 1;
	assert_int_equal(append_wait(fixture->log, leaves, 20, NULL), RESULT_UNAVAILABLE);
	append_numbers(fixture->log, 65533, 20, 20);
	assert_sound(fixture, 65553);
}

/* The kernel dropped a page of what had been acknowledged: the log must notice and stop. */
static void damage(int fd)
{
	assert_int_equal(__real_pwrite(fd, "\0\0\0\0", 4, 700), 4);
}

static void test_lost_pages_are_noticed(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_tlog_status status;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 20, 1);
	only = "entries-";
	on_sync_failure = damage;
	failing_syncs = 1;
	assert_int_equal(append_one(fixture->log, 20), RESULT_UNAVAILABLE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(append_one(fixture->log, 20), RESULT_UNAVAILABLE);
	audit_tlog_status(fixture->log, &status);
	assert_true(status.is_failing);
	assert_non_null(strstr(status.failure, "restore"));
	assert_int_equal(status.durable_size, 20);
}

/* Changed to something that still is JSON: only the hashes can tell. */
static void damage_text(int fd)
{
	assert_int_equal(__real_pwrite(fd, "2", 1, 60), 1);
}

static void test_changed_pages_are_noticed(void **state)
{
	struct audit_fixture *fixture = *state;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 20, 1);
	assert_entry(fixture->log, 19, 19); /* brings the hashes up */
	only = "entries-";
	on_sync_failure = damage_text;
	failing_syncs = 1;
	assert_int_equal(append_one(fixture->log, 20), RESULT_UNAVAILABLE);
	assert_int_equal(append_one(fixture->log, 20), RESULT_UNAVAILABLE);
	assert_int_equal(append_one(fixture->log, 20), RESULT_UNAVAILABLE);
}

/* Hashes and index that cannot be written keep neither appends nor acknowledgements back. */
static void test_derived_files_may_fail(void **state)
{
	struct audit_fixture *fixture = *state;
	ARENA_CLEANUP struct arena arena = {0};
	struct span json;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 300, 300);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"hashes-0", "hashes-1", "index"};

		only = names[i];
		failing_writes = 1;
		if (i != 1) /* a level above is written for a full tile only */
			append_numbers(fixture->log, 300 + (uint64_t)i, 1, 1);
		else
			append_numbers(fixture->log, 301, 1, 1);
		(void)!fixture->log->ops->read(fixture->log, 0, &arena, &json, NULL);
		failing_writes = 0;
		failing_syncs = 1;
		(void)!audit_tlog_checkpoint_now(fixture->log, NULL);
		failing_syncs = 0;
	}
	assert_sound(fixture, 303);
}

/* ---- disk full -------------------------------------------------------------------------------------------------- */

static uint64_t fill_up(struct audit_log *log)
{
	uint64_t number = 0;

	while (append_one(log, number) == RESULT_OK)
		assert_true(++number < 100000);
	for (int i = 0; i < 20; i++)
		assert_int_equal(append_one(log, number), RESULT_UNAVAILABLE);
	assert_int_equal(log->ops->durable_size(log), number);
	return number;
}

static void test_a_file_size_limit(void **state)
{
	struct audit_fixture *fixture = *state;
	struct rlimit limit, small;
	uint64_t number;

	audit_open(fixture);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 100000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	number = fill_up(fixture->log);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	append_numbers(fixture->log, number, 10, 3);
	assert_sound(fixture, number + 10);
}

static void test_a_full_disk(void **state)
{
	struct audit_fixture *fixture = *state;
	uint64_t number;

	if (mount("vinveil-test", fixture->directory, "tmpfs", 0, "size=512k") != 0) {
		print_message("skipped: mounting a tmpfs needs root: %s\n", strerror(errno));
		skip();
	}
	audit_open(fixture);
	number = fill_up(fixture->log);
	assert_int_equal(mount("vinveil-test", fixture->directory, "tmpfs", MS_REMOUNT, "size=8m"), 0);
	append_numbers(fixture->log, number, 10, 3);
	assert_sound(fixture, number + 10);
	audit_close(fixture);
	assert_int_equal(umount2(fixture->directory, MNT_DETACH), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, faults_setup, audit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_failed_sync),
		TEST(test_a_failed_write),
		TEST(test_a_failure_at_the_border_of_segments),
		TEST(test_lost_pages_are_noticed),
		TEST(test_changed_pages_are_noticed),
		TEST(test_derived_files_may_fail),
		TEST(test_a_file_size_limit),
		TEST(test_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
