/* Opening after everything that can happen to the files: kills, torn ends, lost and damaged derived files. */
#include "audit_support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static enum result try_open(struct audit_fixture *fixture, struct note *note)
{
	return audit_tlog_open(&fixture->config, &fixture->log, note);
}

static uint64_t durable(struct audit_fixture *fixture)
{
	return fixture->log->ops->durable_size(fixture->log);
}

static void assert_sound(struct audit_fixture *fixture, uint64_t entry_count)
{
	struct audit_verify_report report;

	if (verify(fixture, &report) != RESULT_OK)
		fail_msg("%s, byte %llu: %s", report.failure.file, (unsigned long long)report.failure.offset,
			 report.failure.what);
	assert_int_equal(report.entry_count, entry_count);
}

static void test_a_restart_goes_on(void **state)
{
	struct audit_fixture *fixture = *state;

	for (uint64_t round = 0; round < 20; round++) {
		audit_open(fixture);
		assert_int_equal(durable(fixture), round * 37);
		append_numbers(fixture->log, round * 37, 37, 5);
		if (round % 3 == 0)
			audit_checkpoint(fixture);
		assert_entry(fixture->log, round, round);
		audit_close(fixture);
	}
	audit_open(fixture);
	audit_checkpoint(fixture);
	for (uint64_t i = 0; i < 20 * 37; i++)
		assert_entry(fixture->log, i, i);
	audit_close(fixture);
	assert_sound(fixture, 20 * 37);
	assert_int_equal(fixture->signer.denied_count, 0);
}

static void test_segments_follow_each_other(void **state)
{
	struct audit_fixture *fixture = *state;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 65530, 8191);
	append_numbers(fixture->log, 65530, 20, 20); /* one group over the border */
	assert_entry(fixture->log, 65535, 65535);
	assert_entry(fixture->log, 65536, 65536);
	audit_close(fixture);
	audit_open(fixture);
	assert_int_equal(durable(fixture), 65550);
	assert_entry(fixture->log, 65549, 65549);
	append_numbers(fixture->log, 65550, 65536 * 2 - 65550, 6000); /* exactly to the next border */
	audit_checkpoint(fixture);
	audit_close(fixture);
	assert_sound(fixture, 65536 * 2);
	audit_open(fixture);
	append_numbers(fixture->log, 65536 * 2, 1, 1);
	assert_entry(fixture->log, 65536 * 2, 65536 * 2);
	audit_checkpoint(fixture);
	audit_close(fixture);
	assert_sound(fixture, 65536 * 2 + 1);
}

/* ---- torn ends ------------------------------------------------------------------------------------------- */

/* Ten entries under a checkpoint and five after it. */
static void make_log(struct audit_fixture *fixture, struct buf *entries, size_t ends[16])
{
	size_t at = 0;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 10, 10);
	audit_checkpoint(fixture);
	append_numbers(fixture->log, 10, 5, 5);
	audit_close(fixture);
	load_file(fixture, "entries-000000", entries);
	for (size_t i = 0; i < 15; i++) {
		ends[i] = at;
		at += 2 + (size_t)(entries->data[at] << 8 | entries->data[at + 1]);
	}
	ends[15] = at;
	assert_int_equal(entries->size, at); /* nothing is written ahead when it is closed */
}

static void reopen_and_count(struct audit_fixture *fixture, uint64_t expected, size_t cut)
{
	audit_open(fixture);
	if (durable(fixture) != expected)
		fail_msg("cut at %zu: %llu entries, not %llu", cut, (unsigned long long)durable(fixture),
			 (unsigned long long)expected);
	append_numbers(fixture->log, expected, 1, 1);
	for (uint64_t i = 0; i <= expected; i++)
		assert_entry(fixture->log, i, i);
	audit_close(fixture);
	audit_open(fixture);
	assert_int_equal(durable(fixture), expected + 1);
	audit_close(fixture);
}

static void fill(uint8_t *bytes, size_t size, int variant)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = variant == 0 ? 0 : variant == 1 ? 0xff : (uint8_t)(i * 2654435761U >> 24);
}

/* Every place where the last entries can be torn: nothing, zeros, ones or rubbish from there on. */
static void test_a_torn_end_is_cut_at_every_byte(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf entries = {0}, checkpoint = {0};
	struct fake_signer *signer = &fixture->signer;
	uint64_t signed_size;
	struct merkle_hash signed_root;
	size_t ends[16];

	fixture->config.preallocation = 4096;
	make_log(fixture, &entries, ends);
	signed_size = signer->last_size;
	signed_root = signer->last_root;
	load_file(fixture, "checkpoint", &checkpoint);
	for (size_t cut = ends[10]; cut < ends[15]; cut++) {
		for (int variant = -1; variant < 3; variant++) {
			uint8_t *bytes = malloc(entries.size + 100);
			uint64_t whole = 10;

			while (ends[whole + 1] <= cut)
				whole++;
			memcpy(bytes, entries.data, cut);
			fill(bytes + cut, entries.size + 100 - cut, variant);
			store_file(fixture, "entries-000000", bytes, variant < 0 ? cut : entries.size + 100);
			store_file(fixture, "checkpoint", checkpoint.data, checkpoint.size);
			signer->last_size = signed_size;
			signer->last_root = signed_root;
			reopen_and_count(fixture, whole, cut);
			free(bytes);
			if (cut % 7 != 0 && variant >= 0)
				break; /* all variants at some places, cut and zeros at all */
		}
	}
}

/* What a lost page leaves: an entry before the end is zeros, whole ones stand behind it. */
static void test_a_hole_ends_the_log(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf entries = {0};
	size_t ends[16];

	make_log(fixture, &entries, ends);
	memset(entries.data + ends[12], 0, ends[13] - ends[12]);
	store_file(fixture, "entries-000000", entries.data, entries.size);
	reopen_and_count(fixture, 12, ends[12]);
}

static void test_a_group_torn_over_two_segments(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf entries = {0};

	audit_open(fixture);
	append_numbers(fixture->log, 0, 65530, 8191);
	audit_checkpoint(fixture);
	append_numbers(fixture->log, 65530, 20, 20);
	audit_close(fixture);
	load_file(fixture, "entries-000000", &entries);
	store_file(fixture, "entries-000000", entries.data, entries.size - 1);
	audit_open(fixture);
	assert_int_equal(durable(fixture), 65535);
	append_numbers(fixture->log, 65535, 3, 3);
	assert_entry(fixture->log, 65537, 65537);
	audit_checkpoint(fixture);
	audit_close(fixture);
	assert_sound(fixture, 65538);
}

/* ---- what was signed is missing or other --------------------------------------------------------------------- */

static void test_a_smaller_tree_is_refused(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf entries = {0}, after = {0};
	struct note note = {0};
	size_t ends[16];

	make_log(fixture, &entries, ends);
	for (size_t cut = 0; cut < ends[10]; cut += 97) {
		store_file(fixture, "entries-000000", entries.data, cut);
		assert_int_equal(try_open(fixture, &note), RESULT_CORRUPT);
		assert_non_null(strstr(note.text, "restore"));
		load_file(fixture, "entries-000000", &after);
		assert_int_equal(after.size, cut); /* evidence stays as it is */
	}
	store_file(fixture, "entries-000000", entries.data, entries.size);
	audit_open(fixture);
	assert_int_equal(durable(fixture), 15);
}

static void test_another_tree_is_refused(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf entries = {0};
	char path[PATH_SIZE];
	struct note note = {0};
	size_t ends[16];

	make_log(fixture, &entries, ends);
	entries.data[ends[4] - 2] ^= 1; /* a digit of the number of entry 3 */
	store_file(fixture, "entries-000000", entries.data, entries.size);
	fixture->config.rebuild = true;
	assert_int_equal(try_open(fixture, &note), RESULT_CORRUPT);
	assert_non_null(strstr(note.text, "changed"));
	/* Nor does it help to take the checkpoint and the derived files away. */
	fixture->config.rebuild = false;
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"checkpoint", "hashes-0", "index"};

		file_path(fixture, names[i], path);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(try_open(fixture, &note), RESULT_CORRUPT);
	fixture->config.accept_loss = true;
	audit_open(fixture);
	assert_int_equal(durable(fixture), 15);
	assert_int_equal(audit_tlog_checkpoint_now(fixture->log, NULL), RESULT_CORRUPT); /* keyd knows better */
	fixture->signer.last_size = 0;							 /* …until it is told */
	audit_checkpoint(fixture);
}

static void test_loss_can_be_accepted(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf entries = {0};
	size_t ends[16];

	make_log(fixture, &entries, ends);
	store_file(fixture, "entries-000000", entries.data, ends[7] + 5);
	fixture->config.accept_loss = true;
	audit_open(fixture);
	assert_int_equal(durable(fixture), 7);
	append_numbers(fixture->log, 7, 1, 1);
	assert_entry(fixture->log, 7, 7);
	assert_true(file_size(fixture, "checkpoint.lost") > 0);
	fixture->signer.last_size = 0;
	audit_checkpoint(fixture);
	audit_close(fixture);
	assert_sound(fixture, 8);
}

static void test_another_logs_directory_is_refused(void **state)
{
	struct audit_fixture *fixture = *state;
	struct note note = {0};

	audit_open(fixture);
	append_numbers(fixture->log, 0, 1, 1);
	audit_checkpoint(fixture);
	audit_close(fixture);
	fixture->config.origin = "other.test/log";
	assert_int_equal(try_open(fixture, &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, "origin"));
}

/* A crash between keyd's signature and our file: keyd is ahead of the checkpoint file. */
static void test_a_checkpoint_that_was_lost_is_made_again(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf old = {0};
	struct audit_tlog_status status;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 300, 300);
	audit_checkpoint(fixture);
	load_file(fixture, "checkpoint", &old);
	append_numbers(fixture->log, 300, 300, 300);
	audit_checkpoint(fixture);
	audit_close(fixture);
	store_file(fixture, "checkpoint", old.data, old.size);
	audit_open(fixture);
	audit_tlog_status(fixture->log, &status);
	assert_int_equal(status.checkpoint_size, 300);
	audit_checkpoint(fixture);
	audit_tlog_status(fixture->log, &status);
	assert_int_equal(status.checkpoint_size, 600);
	assert_int_equal(fixture->signer.denied_count, 0);
}

/* ---- derived files -------------------------------------------------------------------------------------------- */

#define DERIVED_SIZE 70000

static void check_whole(struct audit_fixture *fixture, const char *what)
{
	struct audit_verify_report report;
	struct merkle_proof proof;
	uint64_t size;

	audit_open(fixture);
	assert_int_equal(durable(fixture), DERIVED_SIZE);
	assert_entry(fixture->log, 12345, 12345);
	assert_int_equal(fixture->log->ops->prove(fixture->log, 12345, &proof, &size, NULL), RESULT_OK);
	audit_close(fixture);
	if (verify(fixture, &report) != RESULT_OK)
		fail_msg("%s: %s, byte %llu: %s", what, report.failure.file, (unsigned long long)report.failure.offset,
			 report.failure.what);
}

static void test_derived_files_are_made_anew(void **state)
{
	struct audit_fixture *fixture = *state;
	static const char *const names[] = {"hashes-0", "hashes-1", "hashes-2", "index"};
	char path[PATH_SIZE];

	audit_open(fixture);
	append_numbers(fixture->log, 0, DERIVED_SIZE, 8000);
	audit_checkpoint(fixture);
	audit_close(fixture);
	for (size_t i = 0; i < 4; i++) {
		BUF_CLEANUP struct buf content = {0};

		load_file(fixture, names[i], &content);
		file_path(fixture, names[i], path);
		assert_int_equal(unlink(path), 0);
		check_whole(fixture, "lost");
		store_file(fixture, names[i], content.data, content.size / 2);
		check_whole(fixture, "halved");
		content.data[content.size - 1] ^= 0x80; /* the right edge, where the root and the last record are */
		store_file(fixture, names[i], content.data, content.size);
		fixture->config.rebuild = i == 3; /* a query field is not seen at opening */
		check_whole(fixture, "damaged");
		fixture->config.rebuild = false;
	}
	for (size_t i = 0; i < 4; i++) {
		file_path(fixture, names[i], path);
		assert_int_equal(unlink(path), 0);
	}
	check_whole(fixture, "all lost");
}

/* Damage in the middle is not seen at opening; it is told, never given out, and mended on demand. */
static void test_a_damaged_hash_gives_no_false_proof(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf hashes = {0};
	struct merkle_proof proof;
	struct note note = {0};
	uint64_t size;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 1000, 1000);
	audit_checkpoint(fixture);
	audit_close(fixture);
	load_file(fixture, "hashes-0", &hashes);
	hashes.data[100 * 32] ^= 1;
	store_file(fixture, "hashes-0", hashes.data, hashes.size);
	audit_open(fixture);
	assert_int_equal(fixture->log->ops->prove(fixture->log, 101, &proof, &size, &note), RESULT_CORRUPT);
	assert_non_null(strstr(note.text, "delete"));
	audit_close(fixture);
	fixture->config.rebuild = true;
	audit_open(fixture);
	assert_int_equal(fixture->log->ops->prove(fixture->log, 101, &proof, &size, &note), RESULT_OK);
	audit_close(fixture);
	assert_sound(fixture, 1000);
}

static void test_a_damaged_checkpoint_file_is_replaced(void **state)
{
	struct audit_fixture *fixture = *state;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 10, 10);
	audit_checkpoint(fixture);
	audit_close(fixture);
	store_file(fixture, "checkpoint", "rubbish\n", 8);
	audit_open(fixture);
	audit_checkpoint(fixture);
	audit_close(fixture);
	assert_sound(fixture, 10);
}

/* ---- kill -9 ------------------------------------------------------------------------------------------------------
 */

struct acknowledgement {
	uint64_t index, number;
};

static int acknowledgements = -1;

/* One write of 16 bytes into a pipe is whole or not there. */
static void acknowledge(void *context, enum result result, uint64_t first_index)
{
	struct acknowledgement one = {.index = first_index, .number = (uint64_t)(uintptr_t)context};

	if (result != RESULT_OK || write(acknowledgements, &one, sizeof(one)) != sizeof(one))
		_exit(3);
}

struct flood {
	struct audit_log *log;
	uint64_t base;
};

static void *flood_run(void *context)
{
	const struct flood *flood = context;
	static const struct timespec pause = {.tv_nsec = 20000};

	for (uint64_t number = flood->base;; number++) {
		char room[AUDIT_LEAF_SIZE_MAX + 1];
		struct audit_leaf leaf;

		plain_leaf(number, room, &leaf);
		while (flood->log->ops->append(flood->log, &leaf, 1, acknowledge, (void *)(uintptr_t)number) !=
		       RESULT_OK)
			nanosleep(&pause, NULL);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void __attribute__((noreturn)) child(struct audit_fixture *fixture, uint64_t base)
{
	static struct flood floods[4];
	pthread_t thread;

	fixture->config.checkpoint_interval_ms = 3;
	if (audit_tlog_open(&fixture->config, &fixture->log, NULL) != RESULT_OK)
		_exit(2);
	for (uint64_t i = 0; i < 4; i++) {
		floods[i] = (struct flood){.log = fixture->log, .base = base + i * 1000000};
		if (pthread_create(&thread, NULL, flood_run, &floods[i]) != 0)
			_exit(4);
	}
	for (;;)
		pause();
}

static void read_acknowledged(int fd, struct buf *acknowledged)
{
	uint8_t bytes[65536];
	ssize_t got;

	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		assert_int_equal(buf_append(acknowledged, span_of(bytes, (size_t)got)), RESULT_OK);
}

/* keyd outlives vinveild: what the child signed last is in the checkpoint file at the latest one behind. */
static void take_over_signer(struct audit_fixture *fixture)
{
	BUF_CLEANUP struct buf note = {0};
	struct checkpoint checkpoint;
	char path[PATH_SIZE];

	file_path(fixture, "checkpoint", path);
	if (!path_exists(path))
		return;
	load_file(fixture, "checkpoint", &note);
	assert_int_equal(checkpoint_read(buf_span(&note), TEST_ORIGIN, &fixture->signer.verifier, &checkpoint, NULL),
			 RESULT_OK);
	fixture->signer.last_size = checkpoint.size;
	fixture->signer.last_root = checkpoint.root;
}

static void kill_once(struct audit_fixture *fixture, unsigned round, struct buf *acknowledged)
{
	struct timespec moment = {.tv_nsec = (long)(2 + round * 7919 % 60) * 1000000};
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		acknowledgements = ends[1];
		child(fixture, (uint64_t)round * 10000000);
	}
	close(ends[1]);
	if (fork() == 0) { /* kills while we read, so that the pipe never fills */
		nanosleep(&moment, NULL);
		kill(pid, SIGKILL);
		_exit(0);
	}
	read_acknowledged(ends[0], acknowledged);
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	wait(NULL);
}

static void test_nothing_acknowledged_is_lost_by_a_kill(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf acknowledged = {.size_max = (size_t)64 << 20};
	const struct acknowledgement *all;
	size_t count = 0;

	for (unsigned round = 0; round < 50; round++) {
		kill_once(fixture, round, &acknowledged);
		take_over_signer(fixture);
		fixture->config.checkpoint_interval_ms = -1;
		audit_open(fixture);
		all = (const struct acknowledgement *)(const void *)acknowledged.data;
		for (; count < acknowledged.size / sizeof(*all); count++)
			assert_entry(fixture->log, all[count].index, all[count].number);
		audit_close(fixture);
	}
	assert_true(count > 500);
	audit_open(fixture);
	for (size_t i = 0; i < count; i++)
		assert_entry(fixture->log, all[i].index, all[i].number);
	audit_checkpoint(fixture);
	count = (size_t)durable(fixture);
	audit_close(fixture);
	assert_sound(fixture, count);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, audit_setup, audit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_restart_goes_on),
		TEST(test_segments_follow_each_other),
		TEST(test_a_torn_end_is_cut_at_every_byte),
		TEST(test_a_hole_ends_the_log),
		TEST(test_a_group_torn_over_two_segments),
		TEST(test_a_smaller_tree_is_refused),
		TEST(test_another_tree_is_refused),
		TEST(test_loss_can_be_accepted),
		TEST(test_another_logs_directory_is_refused),
		TEST(test_a_checkpoint_that_was_lost_is_made_again),
		TEST(test_derived_files_are_made_anew),
		TEST(test_a_damaged_hash_gives_no_false_proof),
		TEST(test_a_damaged_checkpoint_file_is_replaced),
		TEST(test_nothing_acknowledged_is_lost_by_a_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
