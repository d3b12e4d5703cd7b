/* Offline verification: one changed byte anywhere is found and named, and proofs stand on their own. */
#include "audit_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COVERED 300
#define ENTRIES 310

/* A log of one full tile and a part, some entries of it not covered by the checkpoint yet. */
static void make_log(struct audit_fixture *fixture)
{
	audit_open(fixture);
	append_numbers(fixture->log, 0, COVERED, COVERED);
	audit_checkpoint(fixture);
	append_numbers(fixture->log, COVERED, ENTRIES - COVERED, 1);
	assert_entry(fixture->log, ENTRIES - 1, ENTRIES - 1);
	audit_close(fixture);
}

static void assert_found(struct audit_fixture *fixture, const char *name, size_t at, const char *file)
{
	struct audit_verify_report report;

	if (verify(fixture, &report) != RESULT_CORRUPT)
		fail_msg("byte %zu of %s was changed and not found", at, name);
	if (file != NULL && strcmp(report.failure.file, file) != 0)
		fail_msg("byte %zu of %s was changed and %s blamed: %s", at, name, report.failure.file,
			 report.failure.what);
	assert_true(report.failure.what[0] != '\0');
}

static void change_every(struct audit_fixture *fixture, const char *name, size_t step, const char *blamed)
{
	BUF_CLEANUP struct buf content = {0};
	struct audit_verify_report report;
	char path[PATH_SIZE];
	FILE *file;

	load_file(fixture, name, &content);
	file_path(fixture, name, path);
	file = fopen(path, "r+");
	assert_non_null(file);
	setbuf(file, NULL);
	for (size_t at = 0; at < content.size; at += step) {
		int changed = content.data[at] ^ (at % 2 ? 0x01 : 0x80);

		assert_true(fseek(file, (long)at, SEEK_SET) == 0 && fputc(changed, file) != EOF);
		assert_found(fixture, name, at, blamed);
		assert_true(fseek(file, (long)at, SEEK_SET) == 0 && fputc(content.data[at], file) != EOF);
	}
	assert_int_equal(fclose(file), 0);
	assert_int_equal(verify(fixture, &report), RESULT_OK);
}

static void test_one_changed_byte_is_found_anywhere(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_verify_report report;

	make_log(fixture);
	assert_int_equal(verify(fixture, &report), RESULT_OK);
	assert_int_equal(report.checkpoint_size, COVERED);
	assert_int_equal(report.entry_count, ENTRIES);
	assert_false(report.is_live);
	change_every(fixture, "checkpoint", 1, "checkpoint");
	change_every(fixture, "entries-000000", 59, NULL);
	change_every(fixture, "index", 17, "index");
	change_every(fixture, "hashes-0", 7, NULL);
	change_every(fixture, "hashes-1", 1, "hashes-1");
}

/* The signed root tells who was changed, entry or hash. */
static void test_the_culprit_is_named(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf entries = {0}, hashes = {0};
	struct audit_verify_report report;
	size_t at = 0;

	make_log(fixture);
	load_file(fixture, "entries-000000", &entries);
	for (size_t i = 0; i < 123; i++)
		at += 2 + (size_t)(entries.data[at] << 8 | entries.data[at + 1]);
	entries.data[at + 60] ^= 1;
	store_file(fixture, "entries-000000", entries.data, entries.size);
	assert_int_equal(verify(fixture, &report), RESULT_CORRUPT);
	assert_string_equal(report.failure.file, "entries-000000");
	assert_true(report.failure.has_index);
	assert_int_equal(report.failure.index, 123);
	assert_int_equal(report.failure.offset, at);
	assert_non_null(strstr(report.failure.what, "not what was signed"));
	entries.data[at + 60] ^= 1;
	store_file(fixture, "entries-000000", entries.data, entries.size);
	load_file(fixture, "hashes-0", &hashes);
	hashes.data[7 * 32 + 3] ^= 1;
	store_file(fixture, "hashes-0", hashes.data, hashes.size);
	assert_int_equal(verify(fixture, &report), RESULT_CORRUPT);
	assert_string_equal(report.failure.file, "hashes-0");
	assert_int_equal(report.failure.offset, 7 * 32);
}

/* Everything derived made anew over a changed entry: only the signature still tells. */
static void test_a_log_made_anew_is_found(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf entries = {0}, note = {0};
	struct audit_verify_report report;

	make_log(fixture);
	load_file(fixture, "checkpoint", &note);
	load_file(fixture, "entries-000000", &entries);
	entries.data[60] ^= 1;
	store_file(fixture, "entries-000000", entries.data, entries.size);
	fixture->config.rebuild = true;
	fixture->config.accept_loss = true;
	audit_open(fixture);
	audit_close(fixture);
	store_file(fixture, "checkpoint", note.data, note.size);
	assert_int_equal(verify(fixture, &report), RESULT_CORRUPT);
	assert_string_equal(report.failure.file, "checkpoint");
	assert_non_null(strstr(report.failure.what, "signed"));
}

static void test_what_is_missing_or_too_much_is_found(void **state)
{
	struct audit_fixture *fixture = *state;
	static const char *const names[] = {"entries-000000", "hashes-0", "hashes-1", "index"};
	struct audit_verify_report report;
	char path[PATH_SIZE];

	make_log(fixture);
	for (size_t i = 0; i < 4; i++) {
		BUF_CLEANUP struct buf content = {0};
		static const uint8_t more[64] = {0x41};

		load_file(fixture, names[i], &content);
		store_file(fixture, names[i], content.data, content.size / 2);
		assert_found(fixture, names[i], content.size / 2, NULL);
		file_path(fixture, names[i], path);
		assert_int_equal(unlink(path), 0);
		assert_found(fixture, names[i], 0, NULL);
		content.size_max = content.size + 64;
		assert_int_equal(buf_append(&content, span_of(more, 64)), RESULT_OK);
		store_file(fixture, names[i], content.data, content.size);
		assert_found(fixture, names[i], content.size, names[i]);
		store_file(fixture, names[i], content.data, content.size - 64);
		assert_int_equal(verify(fixture, &report), RESULT_OK);
	}
	store_file(fixture, "entries-000001", "x", 1);
	assert_found(fixture, "entries-000001", 0, "entries-000001");
}

static void test_zeros_written_ahead_are_no_failure(void **state)
{
	struct audit_fixture *fixture = *state;
	BUF_CLEANUP struct buf entries = {0};
	struct audit_verify_report report;
	static const uint8_t zeros[5000];

	make_log(fixture);
	load_file(fixture, "entries-000000", &entries);
	assert_int_equal(buf_append(&entries, span_of(zeros, sizeof(zeros))), RESULT_OK);
	store_file(fixture, "entries-000000", entries.data, entries.size);
	assert_int_equal(verify(fixture, &report), RESULT_OK);
	entries.data[entries.size - 1] = 1;
	store_file(fixture, "entries-000000", entries.data, entries.size);
	assert_found(fixture, "entries-000000", entries.size - 1, "entries-000000");
}

static void test_a_running_log_can_be_verified(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_verify_report report;

	audit_open(fixture);
	assert_int_equal(verify(fixture, &report), RESULT_ABSENT);
	append_numbers(fixture->log, 0, 400, 400);
	audit_checkpoint(fixture);
	append_numbers(fixture->log, 400, 100, 100);
	assert_int_equal(verify(fixture, &report), RESULT_OK);
	assert_true(report.is_live);
	assert_int_equal(report.entry_count, 400);
}

static void test_another_key_or_origin_is_refused(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_verify_report report;
	struct verifier_key other = fixture->signer.verifier;
	struct audit_verify_config config = {.directory = fixture->directory, .origin = TEST_ORIGIN, .key = &other};

	make_log(fixture);
	other.public_key[0] ^= 1;
	assert_int_equal(audit_verify(&config, &report, NULL), RESULT_CORRUPT);
	assert_non_null(strstr(report.failure.what, "signature"));
	assert_int_equal(verifier_key_make(TEST_ORIGIN, other.public_key, &other), RESULT_OK);
	assert_int_equal(audit_verify(&config, &report, NULL), RESULT_CORRUPT);
	assert_non_null(strstr(report.failure.what, "not signed by"));
	config.key = &fixture->signer.verifier;
	config.origin = "other.test/log";
	assert_int_equal(audit_verify(&config, &report, NULL), RESULT_CORRUPT);
	assert_non_null(strstr(report.failure.what, "origin"));
	config.directory = "/nonexistent/audit";
	assert_int_equal(audit_verify(&config, &report, NULL), RESULT_ABSENT);
}

static uint64_t progress_done, progress_total;

static void note_progress(void *context, uint64_t done, uint64_t total)
{
	assert_true(done > *(uint64_t *)context || done == total);
	*(uint64_t *)context = done;
	progress_done = done;
	progress_total = total;
}

/* ---- proofs --------------------------------------------------------------------------------------------------- */

static void test_proofs_stand_on_their_own(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_verify_config config = {
		.directory = fixture->directory, .origin = TEST_ORIGIN, .key = &fixture->signer.verifier};
	static const uint64_t indexes[] = {0, 1, 255, 256, 299};

	make_log(fixture);
	for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
		BUF_CLEANUP struct buf text = {0}, leaf = {0};
		uint64_t index = 99999;

		assert_int_equal(audit_proof_make(&config, indexes[i], &text, &leaf, NULL), RESULT_OK);
		assert_int_equal(audit_proof_verify(buf_span(&text), buf_span(&leaf), TEST_ORIGIN,
						    &fixture->signer.verifier, &index, NULL),
				 RESULT_OK);
		assert_int_equal(index, indexes[i]);
		/* No byte of leaf or proof can be another. */
		for (size_t at = 0; at < leaf.size; at += 13) {
			leaf.data[at] ^= 1;
			assert_int_equal(audit_proof_verify(buf_span(&text), buf_span(&leaf), TEST_ORIGIN,
							    &fixture->signer.verifier, &index, NULL),
					 RESULT_DENIED);
			leaf.data[at] ^= 1;
		}
		for (size_t at = 0; at < text.size; at++) {
			text.data[at] ^= 1;
			assert_int_not_equal(audit_proof_verify(buf_span(&text), buf_span(&leaf), TEST_ORIGIN,
								&fixture->signer.verifier, &index, NULL),
					     RESULT_OK);
			text.data[at] ^= 1;
		}
		for (size_t size = 0; size < text.size; size++)
			assert_int_not_equal(audit_proof_verify(span_of(text.data, size), buf_span(&leaf), TEST_ORIGIN,
								&fixture->signer.verifier, &index, NULL),
					     RESULT_OK);
	}
}

static void test_no_proof_of_what_is_not_covered_or_changed(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_verify_config config = {
		.directory = fixture->directory, .origin = TEST_ORIGIN, .key = &fixture->signer.verifier};
	BUF_CLEANUP struct buf text = {0}, leaf = {0}, entries = {0};

	make_log(fixture);
	assert_int_equal(audit_proof_make(&config, COVERED, &text, &leaf, NULL), RESULT_ABSENT);
	load_file(fixture, "entries-000000", &entries);
	entries.data[60] ^= 1;
	store_file(fixture, "entries-000000", entries.data, entries.size);
	assert_int_equal(audit_proof_make(&config, 0, &text, &leaf, NULL), RESULT_CORRUPT);
	assert_int_equal(audit_proof_make(&config, 1, &text, &leaf, NULL), RESULT_OK);
}

static void test_progress_is_told(void **state)
{
	struct audit_fixture *fixture = *state;
	uint64_t last = 0;
	struct audit_verify_report report;
	struct audit_verify_config config = {
		.directory = fixture->directory,
		.origin = TEST_ORIGIN,
		.key = &fixture->signer.verifier,
		.progress = note_progress,
		.context = &last,
	};

	audit_open(fixture);
	append_numbers(fixture->log, 0, 70000, 7000);
	audit_checkpoint(fixture);
	audit_close(fixture);
	assert_int_equal(audit_verify(&config, &report, NULL), RESULT_OK);
	assert_int_equal(progress_done, 70000);
	assert_int_equal(progress_total, 70000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, audit_setup, audit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_changed_byte_is_found_anywhere),
		TEST(test_the_culprit_is_named),
		TEST(test_a_log_made_anew_is_found),
		TEST(test_what_is_missing_or_too_much_is_found),
		TEST(test_zeros_written_ahead_are_no_failure),
		TEST(test_a_running_log_can_be_verified),
		TEST(test_another_key_or_origin_is_refused),
		TEST(test_proofs_stand_on_their_own),
		TEST(test_no_proof_of_what_is_not_covered_or_changed),
		TEST(test_progress_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
