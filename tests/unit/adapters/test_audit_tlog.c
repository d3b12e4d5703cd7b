/* The log in use: appending, order, durability, tiles, proofs, checkpoints, status. */
#include "audit_support.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void test_appends_are_read_back(void **state)
{
	struct audit_fixture *fixture = *state;
	ARENA_CLEANUP struct arena arena = {0};
	struct span json;
	struct note note;

	audit_open(fixture);
	assert_int_equal(fixture->log->ops->size(fixture->log), 0);
	assert_int_equal(fixture->log->ops->read(fixture->log, 0, &arena, &json, &note), RESULT_ABSENT);
	append_numbers(fixture->log, 0, 700, 7);
	assert_int_equal(fixture->log->ops->size(fixture->log), 700);
	assert_int_equal(fixture->log->ops->durable_size(fixture->log), 700);
	for (uint64_t i = 0; i < 700; i++)
		assert_entry(fixture->log, i, i);
	assert_int_equal(fixture->log->ops->read(fixture->log, 700, &arena, &json, &note), RESULT_ABSENT);
}

static void never(void *context, enum result result, uint64_t first_index)
{
	(void)result;
	(void)first_index;
	*(bool *)context = true;
}

static void test_bad_leaves_are_refused(void **state)
{
	struct audit_fixture *fixture = *state;
	static const char *const bad[] = {
		"",
		"x",
		"{",
		"[]",
		"{}",
		"{\"leafId\":1}",
		"{\"leafId\":\"00000000-0000-4000-8000-000000000001\"}",
		"{\"leafId\":\"00000000-0000-4000-8000-000000000000\"} x",
		"{\"leafId\":\"\\u0000\"}",
	};
	struct uuid id = {.bytes = {[6] = 0x40, [8] = 0x80}};
	struct audit_leaf good, large;
	char room[AUDIT_LEAF_SIZE_MAX + 1];
	static uint8_t spaces[AUDIT_LEAF_SIZE_MAX + 1];
	bool was_called = false;

	audit_open(fixture);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct audit_leaf leaf = {.json = span_of_text(bad[i]), .leaf_id = id};

		assert_int_equal(fixture->log->ops->append(fixture->log, &leaf, 1, never, &was_called), RESULT_INVALID);
	}
	plain_leaf(1, room, &good);
	memset(spaces, ' ', sizeof(spaces));
	memcpy(spaces, good.json.data, good.json.size);
	large = (struct audit_leaf){.json = span_of(spaces, sizeof(spaces)), .leaf_id = good.leaf_id};
	assert_int_equal(fixture->log->ops->append(fixture->log, &large, 1, never, &was_called), RESULT_INVALID);
	assert_int_equal(fixture->log->ops->append(fixture->log, &good, 0, never, &was_called), RESULT_INVALID);
	large.json.size--;
	assert_int_equal(append_wait(fixture->log, &large, 1, NULL), RESULT_OK);
	assert_false(was_called);
	assert_int_equal(fixture->log->ops->size(fixture->log), 1);
}

static void test_the_queue_is_bounded(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_leaf leaves[4];
	char room[AUDIT_LEAF_SIZE_MAX + 1];
	bool was_called = false;

	plain_leaf(1, room, &leaves[0]);
	leaves[1] = leaves[2] = leaves[3] = leaves[0];
	fixture->config.queue_size_max = 3 * leaves[0].json.size;
	audit_open(fixture);
	assert_int_equal(fixture->log->ops->append(fixture->log, leaves, 4, never, &was_called), RESULT_EXHAUSTED);
	assert_false(was_called);
	assert_int_equal(fixture->log->ops->size(fixture->log), 0);
	assert_int_equal(append_wait(fixture->log, leaves, 2, NULL), RESULT_OK);
}

/* ---- many threads ---------------------------------------------------------------------------------------- */

#define THREADS	   8
#define PER_THREAD 400

struct writer {
	struct audit_fixture *fixture;
	uint64_t base;
	uint64_t indexes[PER_THREAD];
};

static _Atomic uint64_t next_expected;
static atomic_size_t out_of_order;

struct ordered {
	struct audit_log *log;
	uint64_t count;
	_Atomic uint64_t *ret_index;
	_Atomic bool done;
};

/* Called in the order of the indexes, and never before the leaves are durable. */
static void check_order(void *context, enum result result, uint64_t first)
{
	struct ordered *ordered = context;

	if (result != RESULT_OK || first != atomic_load(&next_expected) ||
	    ordered->log->ops->durable_size(ordered->log) < first + ordered->count)
		atomic_fetch_add(&out_of_order, 1);
	atomic_store(&next_expected, first + ordered->count);
	atomic_store(ordered->ret_index, first);
	atomic_store(&ordered->done, true);
}

static void *write_many(void *context)
{
	struct writer *writer = context;
	struct audit_log *log = writer->fixture->log;
	static const struct timespec moment = {.tv_nsec = 50000};

	for (uint64_t i = 0; i < PER_THREAD; i++) {
		char rooms[2][AUDIT_LEAF_SIZE_MAX + 1];
		struct audit_leaf leaves[2];
		_Atomic uint64_t index = 0;
		struct ordered ordered = {.log = log, .count = 1 + i % 2, .ret_index = &index};

		plain_leaf(writer->base + 2 * i, rooms[0], &leaves[0]);
		plain_leaf(writer->base + 2 * i + 1, rooms[1], &leaves[1]);
		if (log->ops->append(log, leaves, (size_t)ordered.count, check_order, &ordered) != RESULT_OK)
			abort();
		while (!atomic_load(&ordered.done))
			nanosleep(&moment, NULL);
		writer->indexes[i] = atomic_load(&index);
	}
	return NULL;
}

static void test_many_threads_append_in_one_order(void **state)
{
	struct audit_fixture *fixture = *state;
	static struct writer writers[THREADS];
	struct audit_tlog_status status;
	pthread_t threads[THREADS];

	atomic_store(&next_expected, 0);
	atomic_store(&out_of_order, 0);
	fixture->config.checkpoint_interval_ms = 5;
	audit_open(fixture);
	for (uint64_t i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){.fixture = fixture, .base = i * 10000};
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&out_of_order), 0);
	assert_int_equal(fixture->log->ops->durable_size(fixture->log), THREADS * PER_THREAD * 3 / 2);
	for (size_t i = 0; i < THREADS; i++)
		for (uint64_t j = 0; j < PER_THREAD; j++)
			assert_entry(fixture->log, writers[i].indexes[j], writers[i].base + 2 * j);
	audit_tlog_status(fixture->log, &status);
	assert_true(status.group_count < THREADS * PER_THREAD); /* syncs were shared */
	assert_false(status.is_failing);
}

/* ---- the tree ----------------------------------------------------------------------------------------------- */

static struct merkle_hash *leaf_hashes(uint64_t count)
{
	struct merkle_hash *hashes = calloc((size_t)count, sizeof(*hashes));
	char room[AUDIT_LEAF_SIZE_MAX + 1];
	struct audit_leaf leaf;

	for (uint64_t i = 0; i < count; i++) {
		plain_leaf(i, room, &leaf);
		assert_int_equal(merkle_leaf_hash(leaf.json, &hashes[i]), RESULT_OK);
	}
	return hashes;
}

static void assert_hash_tile(struct audit_log *log, int level, uint64_t number, unsigned width,
			     const struct merkle_hash *leaves)
{
	BUF_CLEANUP struct buf tile = {0};
	uint64_t span = level == 0 ? 1 : level == 1 ? 256 : 65536;

	assert_int_equal(log->ops->tile(log, level, number, width, &tile, NULL), RESULT_OK);
	assert_int_equal(tile.size, width * SHA256_SIZE);
	for (unsigned i = 0; i < width; i++) {
		struct merkle_hash own;

		naive_root(leaves + (number * 256 + i) * span, span, &own);
		assert_memory_equal(own.bytes, tile.data + i * SHA256_SIZE, SHA256_SIZE);
	}
}

static void assert_bundle(struct audit_log *log, uint64_t number, unsigned width)
{
	BUF_CLEANUP struct buf bundle = {.size_max = AUDIT_BUNDLE_SIZE_MAX};
	char room[AUDIT_LEAF_SIZE_MAX + 1];
	struct audit_leaf leaf;
	size_t at = 0;

	assert_int_equal(log->ops->tile(log, AUDIT_TILE_ENTRIES, number, width, &bundle, NULL), RESULT_OK);
	for (unsigned i = 0; i < width; i++) {
		plain_leaf(number * 256 + i, room, &leaf);
		assert_true(at + 2 + leaf.json.size <= bundle.size);
		assert_int_equal(bundle.data[at] << 8 | bundle.data[at + 1], leaf.json.size);
		assert_memory_equal(bundle.data + at + 2, leaf.json.data, leaf.json.size);
		at += 2 + leaf.json.size;
	}
	assert_int_equal(at, bundle.size);
}

#define TREE_SIZE                                                                                          \
	70000 /* the specification's example: 273 full level 0 tiles and one of 112; one full level 1 tile \
		 and one of 17; a level 2 tile of 1 */

static void assert_absent(struct audit_log *log, int level, uint64_t number, unsigned width)
{
	BUF_CLEANUP struct buf tile = {.size_max = AUDIT_BUNDLE_SIZE_MAX};

	assert_int_equal(log->ops->tile(log, level, number, width, &tile, NULL), RESULT_ABSENT);
}

static void test_tiles_and_proofs_fit_the_tree(void **state)
{
	struct audit_fixture *fixture = *state;
	struct merkle_hash *leaves = leaf_hashes(TREE_SIZE), root;
	BUF_CLEANUP struct buf note = {0};
	struct checkpoint checkpoint;
	struct audit_log *log;

	audit_open(fixture);
	log = fixture->log;
	assert_absent(log, 0, 0, 1);
	assert_int_equal(log->ops->checkpoint(log, &note, NULL), RESULT_ABSENT);
	append_numbers(log, 0, TREE_SIZE, 999);
	assert_absent(log, 0, 0, 1); /* durable, not yet covered */
	audit_checkpoint(fixture);
	assert_int_equal(log->ops->checkpoint(log, &note, NULL), RESULT_OK);
	assert_int_equal(checkpoint_read(buf_span(&note), TEST_ORIGIN, &fixture->signer.verifier, &checkpoint, NULL),
			 RESULT_OK);
	assert_int_equal(checkpoint.size, TREE_SIZE);
	naive_root(leaves, TREE_SIZE, &root);
	assert_memory_equal(root.bytes, checkpoint.root.bytes, SHA256_SIZE);
	assert_hash_tile(log, 0, 0, 256, leaves);
	assert_hash_tile(log, 0, 255, 256, leaves);
	assert_hash_tile(log, 0, 256, 256, leaves);
	assert_hash_tile(log, 0, 273, 112, leaves);
	assert_hash_tile(log, 0, 273, 1, leaves);
	assert_hash_tile(log, 1, 0, 256, leaves);
	assert_hash_tile(log, 1, 1, 17, leaves);
	assert_hash_tile(log, 2, 0, 1, leaves);
	assert_absent(log, 0, 273, 113);
	assert_absent(log, 0, 273, 256);
	assert_absent(log, 0, 274, 1);
	assert_absent(log, 1, 1, 18);
	assert_absent(log, 2, 0, 2);
	assert_absent(log, 3, 0, 1);
	assert_absent(log, 63, 0, 1);
	assert_absent(log, 0, UINT64_MAX / 256, 256);
	assert_absent(log, AUDIT_TILE_ENTRIES, UINT64_MAX, 256);
	assert_int_equal(log->ops->tile(log, 0, 0, 0, &note, NULL), RESULT_INVALID);
	assert_int_equal(log->ops->tile(log, 0, 0, 257, &note, NULL), RESULT_INVALID);
	assert_int_equal(log->ops->tile(log, -2, 0, 1, &note, NULL), RESULT_INVALID);
	assert_bundle(log, 0, 256);
	assert_bundle(log, 255, 256);
	assert_bundle(log, 256, 256);
	assert_bundle(log, 273, 112);
	assert_bundle(log, 273, 3);
	for (uint64_t index = 0; index < TREE_SIZE; index += index < 300 ? 1 : 997) {
		struct merkle_proof proof;
		uint64_t size;

		assert_int_equal(log->ops->prove(log, index, &proof, &size, NULL), RESULT_OK);
		assert_int_equal(size, TREE_SIZE);
		assert_int_equal(merkle_verify_inclusion(&proof, index, size, &leaves[index], &root), RESULT_OK);
	}
	free(leaves);
}

static void test_a_proof_needs_a_checkpoint(void **state)
{
	struct audit_fixture *fixture = *state;
	struct merkle_proof proof;
	uint64_t size;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 5, 5);
	assert_int_equal(fixture->log->ops->prove(fixture->log, 4, &proof, &size, NULL), RESULT_ABSENT);
	audit_checkpoint(fixture);
	append_numbers(fixture->log, 5, 1, 1);
	assert_int_equal(fixture->log->ops->prove(fixture->log, 4, &proof, &size, NULL), RESULT_OK);
	assert_int_equal(size, 5);
	assert_int_equal(fixture->log->ops->prove(fixture->log, 5, &proof, &size, NULL), RESULT_ABSENT);
}

static void test_every_size_gets_a_consistent_checkpoint(void **state)
{
	struct audit_fixture *fixture = *state;
	struct merkle_hash *leaves = leaf_hashes(300);

	audit_open(fixture);
	for (uint64_t size = 1; size <= 300; size++) {
		struct merkle_hash root;

		append_numbers(fixture->log, size - 1, 1, 1);
		audit_checkpoint(fixture);
		naive_root(leaves, size, &root);
		assert_memory_equal(root.bytes, fixture->signer.last_root.bytes, SHA256_SIZE);
	}
	assert_int_equal(fixture->signer.signed_count, 300);
	assert_int_equal(fixture->signer.denied_count, 0);
	audit_checkpoint(fixture);
	assert_int_equal(fixture->signer.signed_count, 300); /* nothing new, nothing signed */
	free(leaves);
}

/* ---- the key service away ------------------------------------------------------------------------------------ */

/* Waits for the checkpoint thread; the test hangs (and times out) when it never comes. */
static void wait_for_checkpoint(struct audit_log *log, uint64_t size)
{
	static const struct timespec moment = {.tv_nsec = 1000000};
	struct audit_tlog_status status;

	do {
		nanosleep(&moment, NULL);
		audit_tlog_status(log, &status);
	} while (status.checkpoint_size < size);
}

static void test_appends_go_on_while_keyd_is_away(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_tlog_status status;

	audit_open(fixture);
	append_numbers(fixture->log, 0, 10, 10);
	audit_tlog_status(fixture->log, &status);
	assert_int_equal(status.checkpoint_size, 0);
	fixture->signer.is_away = true;
	assert_int_equal(audit_tlog_checkpoint_now(fixture->log, NULL), RESULT_UNAVAILABLE);
	append_numbers(fixture->log, 10, 10, 10);
	audit_tlog_status(fixture->log, &status);
	assert_string_equal(status.failure, "the key service is away");
	assert_false(status.is_failing);
	fixture->signer.is_away = false;
	audit_checkpoint(fixture);
	audit_tlog_status(fixture->log, &status);
	assert_int_equal(status.checkpoint_size, 20);
	assert_int_equal(status.checkpoint_age_ms, 0);
	assert_string_equal(status.failure, "");
}

static void test_the_thread_signs_when_keyd_is_back(void **state)
{
	struct audit_fixture *fixture = *state;

	fixture->config.checkpoint_interval_ms = 5;
	audit_open(fixture);
	fixture->signer.is_away = true;
	append_numbers(fixture->log, 0, 300, 300);
	assert_entry(fixture->log, 299, 299);
	fixture->signer.is_away = false;
	wait_for_checkpoint(fixture->log, 300);
	append_numbers(fixture->log, 300, 1, 1); /* from idle */
	wait_for_checkpoint(fixture->log, 301);
}

static int64_t fake_now_ms;

static int64_t get_fake_ms(struct clock *clock)
{
	(void)clock;
	return fake_now_ms;
}

static void test_the_age_of_the_checkpoint_is_told(void **state)
{
	struct audit_fixture *fixture = *state;
	struct clock clock = {.now_ms = get_fake_ms, .monotonic_ms = get_fake_ms};
	struct audit_tlog_status status;

	fake_now_ms = 1000;
	fixture->config.clock = &clock;
	audit_open(fixture);
	append_numbers(fixture->log, 0, 1, 1);
	fake_now_ms = 4000;
	append_numbers(fixture->log, 1, 1, 1);
	audit_tlog_status(fixture->log, &status);
	assert_int_equal(status.checkpoint_age_ms, 3000);
	audit_checkpoint(fixture);
	fake_now_ms = 9000;
	audit_tlog_status(fixture->log, &status);
	assert_int_equal(status.checkpoint_age_ms, 0);
	append_numbers(fixture->log, 2, 1, 1);
	fake_now_ms = 9500;
	audit_tlog_status(fixture->log, &status);
	assert_int_equal(status.checkpoint_age_ms, 500);
	audit_close(fixture);
}

static void test_a_lying_signer_changes_nothing(void **state)
{
	struct audit_fixture *fixture = *state;
	struct verifier_key honest = fixture->signer.verifier;
	BUF_CLEANUP struct buf note = {0};

	audit_open(fixture);
	append_numbers(fixture->log, 0, 3, 3);
	memcpy(fixture->signer.verifier.name, "other.test/log", 15);
	assert_int_equal(audit_tlog_checkpoint_now(fixture->log, NULL), RESULT_CORRUPT);
	assert_int_equal(fixture->log->ops->checkpoint(fixture->log, &note, NULL), RESULT_ABSENT);
	fixture->signer.verifier = honest;
	audit_checkpoint(fixture);
}

/* ---- the outbox's question --------------------------------------------------------------------------------------- */

static void test_contains(void **state)
{
	struct audit_fixture *fixture = *state;
	struct uuid id, other;

	audit_open(fixture);
	number_uuid(40, &id);
	number_uuid(5000, &other);
	assert_int_equal(audit_tlog_contains(fixture->log, &id, 0), RESULT_ABSENT);
	append_numbers(fixture->log, 0, 100, 100);
	assert_int_equal(audit_tlog_contains(fixture->log, &id, 40), RESULT_OK);
	assert_int_equal(audit_tlog_contains(fixture->log, &id, 41), RESULT_ABSENT);
	assert_int_equal(audit_tlog_contains(fixture->log, &id, 0), RESULT_OK);
	assert_int_equal(audit_tlog_contains(fixture->log, &other, 0), RESULT_ABSENT);
	append_numbers(fixture->log, 100, 4901, 700);
	assert_int_equal(audit_tlog_contains(fixture->log, &other, 30), RESULT_OK);
	assert_int_equal(audit_tlog_contains(fixture->log, &other, 5000), RESULT_OK);
	assert_int_equal(audit_tlog_contains(fixture->log, &other, 5001), RESULT_ABSENT);
	audit_tlog_contains_end(fixture->log);
	assert_int_equal(audit_tlog_contains(fixture->log, &id, 17), RESULT_OK);
}

static void test_a_second_writer_is_refused(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_log *second = NULL;

	audit_open(fixture);
	assert_int_equal(audit_tlog_open(&fixture->config, &second, NULL), RESULT_CONFLICT);
	assert_null(second);
}

static void test_bad_configurations_are_refused(void **state)
{
	struct audit_fixture *fixture = *state;
	static const char *const origins[] = {"", "with space", "with+plus", "with\nnewline", "\xff"};
	struct audit_log *log = NULL;
	struct note note = {0};

	for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
		fixture->config.origin = origins[i];
		assert_int_equal(audit_tlog_open(&fixture->config, &log, &note), RESULT_INVALID);
		assert_non_null(strstr(note.text, "origin"));
	}
	fixture->config.origin = TEST_ORIGIN;
	fixture->config.signer = NULL;
	assert_int_equal(audit_tlog_open(&fixture->config, &log, &note), RESULT_INVALID);
	fixture->config.signer = &fixture->signer.base;
	fixture->signer.is_away = true;
	assert_int_equal(audit_tlog_open(&fixture->config, &log, &note), RESULT_UNAVAILABLE);
	assert_null(log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, audit_setup, audit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_appends_are_read_back),
		TEST(test_bad_leaves_are_refused),
		TEST(test_the_queue_is_bounded),
		TEST(test_many_threads_append_in_one_order),
		TEST(test_tiles_and_proofs_fit_the_tree),
		TEST(test_a_proof_needs_a_checkpoint),
		TEST(test_every_size_gets_a_consistent_checkpoint),
		TEST(test_appends_go_on_while_keyd_is_away),
		TEST(test_the_thread_signs_when_keyd_is_back),
		TEST(test_the_age_of_the_checkpoint_is_told),
		TEST(test_a_lying_signer_changes_nothing),
		TEST(test_contains),
		TEST(test_a_second_writer_is_refused),
		TEST(test_bad_configurations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
