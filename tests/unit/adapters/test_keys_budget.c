/* keyd's own limits, with a clock that the test moves, over restarts and clock jumps. */
#include "../cmocka_all.h"

#include "adapters/keys/durable_cell.h"
#include "keys_support.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)

static struct test_vault vault;

static int begin(void **state)
{
	(void)state;
	test_vault_begin(&vault);
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_vault_remove(&vault);
	return 0;
}

/* ---- rates ---------------------------------------------------------------------------------------- */

static void test_bucket(void **state)
{
	(void)state;
	struct token_bucket bucket;
	token_bucket_init(&bucket, 2000, 4000, 1000);
	assert_int_equal(token_bucket_take(&bucket, 1, 1000), RESULT_EXHAUSTED);
	assert_int_equal(token_bucket_take(&bucket, 20, 1010), RESULT_OK);
	assert_int_equal(token_bucket_take(&bucket, 1, 1010), RESULT_EXHAUSTED);
	assert_int_equal(token_bucket_take(&bucket, 1, 500), RESULT_EXHAUSTED);
	assert_int_equal(token_bucket_take(&bucket, 4001, INT64_C(1) << 50), RESULT_EXHAUSTED);
	assert_int_equal(token_bucket_take(&bucket, 4000, INT64_C(1) << 50), RESULT_OK);
	assert_int_equal(token_bucket_take(&bucket, 1, INT64_C(1) << 50), RESULT_EXHAUSTED);
}

static enum result index_some(size_t count)
{
	struct tenant_id demo = tenant_named("demo");
	struct hashed_vin vins[KEY_INDEX_BATCH_MAX] = {0};
	struct vin_index_set sets[KEY_INDEX_BATCH_MAX];
	return vault.keys->ops->index_vins(vault.keys, &demo, vins, count, sets, NULL);
}

static void test_index_budget_starts_empty(void **state)
{
	(void)state;
	assert_int_equal(index_some(256), RESULT_OK);
	test_vault_reopen(&vault);
	assert_int_equal(index_some(1), RESULT_EXHAUSTED);
	fake_clock_pass(&vault.clock, 5); /* ten tokens */
	assert_int_equal(index_some(11), RESULT_EXHAUSTED);
	assert_int_equal(index_some(10), RESULT_OK);
	assert_int_equal(index_some(1), RESULT_EXHAUSTED);
}

static void test_batch_bounds(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo");
	struct hashed_vin vins[1] = {0};
	struct vin_index_set sets[1];
	assert_int_equal(vault.keys->ops->index_vins(vault.keys, &demo, vins, 0, sets, NULL), RESULT_INVALID);
	assert_int_equal(vault.keys->ops->index_vins(vault.keys, &demo, vins, KEY_INDEX_BATCH_MAX + 1, sets, NULL),
			 RESULT_INVALID);
}

static void test_seal_budget(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo");
	struct uuid id = new_uuid();
	struct vin vin = vin_numbered(1);
	struct sealed_vin sealed;
	vault.budgets.seal_per_second = 3;
	test_vault_reopen(&vault);
	assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &sealed, NULL), RESULT_EXHAUSTED);
	fake_clock_pass(&vault.clock, 5000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &sealed, NULL), RESULT_OK);
	assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &sealed, NULL), RESULT_EXHAUSTED);
}

static enum result fingerprint_one(void)
{
	struct tenant_id demo = tenant_named("demo");
	uint8_t code[SHA256_SIZE];
	return vault.keys->ops->fingerprint(vault.keys, &demo, span_of_text("a body"), code, NULL);
}

/* Or the fingerprints that the registry keeps were a way round the index budget. */
static void test_fingerprint_budget(void **state)
{
	(void)state;
	vault.budgets.fingerprint_per_second = 3;
	test_vault_reopen(&vault);
	assert_int_equal(fingerprint_one(), RESULT_EXHAUSTED);
	fake_clock_pass(&vault.clock, 5000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fingerprint_one(), RESULT_OK);
	assert_int_equal(fingerprint_one(), RESULT_EXHAUSTED);
}

/* ---- reveals -------------------------------------------------------------------------------------- */

static enum result reveal(void)
{
	static const struct reveal_authorisation persons = {.requested_by = "anna", .approved_by = "ben"};
	struct tenant_id demo = tenant_named("demo");
	struct uuid id = {{1}};
	struct vin vin = vin_numbered(1), opened = {0};
	struct sealed_vin sealed;
	fake_clock_pass(&vault.clock, 1); /* a token for sealing */
	assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &sealed, NULL), RESULT_OK);
	enum result result = vault.keys->ops->open_vin(vault.keys, &demo, &id, &sealed, &persons, &opened, NULL);
	assert_true((result == RESULT_OK) == (opened.text[0] != '\0'));
	return result;
}

static void reveal_times(int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(reveal(), RESULT_OK);
	assert_int_equal(reveal(), RESULT_EXHAUSTED);
}

static void test_reveals_an_hour_outlive_a_restart(void **state)
{
	(void)state;
	reveal_times(10);
	test_vault_reopen(&vault);
	assert_int_equal(reveal(), RESULT_EXHAUSTED);
	fake_clock_pass(&vault.clock, HOUR - MINUTE);
	assert_int_equal(reveal(), RESULT_EXHAUSTED);
	fake_clock_pass(&vault.clock, 2 * MINUTE);
	reveal_times(10);
}

static void test_reveals_a_day(void **state)
{
	(void)state;
	for (int hour = 0; hour < 5; hour++) {
		reveal_times(10);
		fake_clock_pass(&vault.clock, HOUR + MINUTE);
		test_vault_reopen(&vault);
	}
	assert_int_equal(reveal(), RESULT_EXHAUSTED);
	fake_clock_pass(&vault.clock, 19 * HOUR);
	reveal_times(10);
}

static void test_clock_jumps_refill_nothing(void **state)
{
	(void)state;
	reveal_times(10);
	int64_t now = vault.clock.now_ms;
	vault.clock.now_ms = now + 100 * 24 * HOUR; /* while running */
	assert_int_equal(reveal(), RESULT_EXHAUSTED);
	vault.clock.now_ms = now - 100 * 24 * HOUR;
	assert_int_equal(reveal(), RESULT_EXHAUSTED);
	test_vault_reopen(&vault); /* started with a clock set back */
	assert_int_equal(reveal(), RESULT_EXHAUSTED);
	fake_clock_pass(&vault.clock, HOUR + MINUTE);
	reveal_times(10);
}

static void test_a_moment_in_the_far_future_does_not_lock(void **state)
{
	(void)state;
	int64_t now = vault.clock.now_ms;
	vault.clock.now_ms = now + 20000 * 24 * HOUR;
	test_vault_reopen(&vault);
	fake_clock_pass(&vault.clock, 1000);
	reveal_times(10);
	vault.clock.now_ms = now;
	test_vault_reopen(&vault);
	fake_clock_pass(&vault.clock, HOUR + MINUTE);
	reveal_times(10);
}

static void test_no_reveals_at_all(void **state)
{
	(void)state;
	vault.budgets.reveals_per_hour = 0;
	test_vault_reopen(&vault);
	fake_clock_pass(&vault.clock, 1000);
	assert_int_equal(reveal(), RESULT_EXHAUSTED);
}

/* ---- issuances ------------------------------------------------------------------------------------ */

static enum result issue(struct span csr)
{
	struct uuid id = new_uuid();
	struct issued_certificate certificate = {0};
	enum result result = vault.authority->ops->issue_device(vault.authority, &id, csr, &certificate, NULL);
	if (result == RESULT_OK)
		buf_release(&certificate.der);
	return result;
}

static void test_issuances(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf csr = {0};
	make_csr(&csr);
	vault.budgets.issuances_per_hour = 3;
	test_vault_reopen(&vault);
	assert_int_equal(issue(span_of_text("no CSR")), RESULT_INVALID); /* costs nothing */
	for (int i = 0; i < 3; i++)
		assert_int_equal(issue(buf_span(&csr)), RESULT_OK);
	assert_int_equal(issue(buf_span(&csr)), RESULT_EXHAUSTED);
	vault.clock.now_ms -= 48 * HOUR;
	test_vault_reopen(&vault);
	assert_int_equal(issue(buf_span(&csr)), RESULT_EXHAUSTED);
	vault.clock.now_ms += 48 * HOUR;
	test_vault_reopen(&vault);
	assert_int_equal(issue(buf_span(&csr)), RESULT_EXHAUSTED);
	fake_clock_pass(&vault.clock, HOUR);
	assert_int_equal(issue(buf_span(&csr)), RESULT_OK);
}

static void test_reserved_block_is_lost_at_restart(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf csr = {0};
	make_csr(&csr);
	vault.budgets.issuances_per_hour = 200; /* blocks of two */
	for (int i = 0; i < 100; i++) {
		test_vault_reopen(&vault);
		assert_int_equal(issue(buf_span(&csr)), RESULT_OK);
	}
	test_vault_reopen(&vault);
	assert_int_equal(issue(buf_span(&csr)), RESULT_EXHAUSTED);
}

/* ---- the cell ------------------------------------------------------------------------------------- */

static void cell_path(char path[static PATH_SIZE])
{
	assert_int_equal(path_join(vault.directory, "cell", path), RESULT_OK);
}

static void expect_content(const char *path, const char *expected)
{
	BUF_CLEANUP struct buf content = {0};
	assert_int_equal(durable_cell_read(path, 100, &content, NULL), RESULT_OK);
	assert_true(span_is_text(buf_span(&content), expected));
}

static void spoil(const char *path, off_t offset)
{
	int descriptor = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte = 0;
	assert_int_equal(pread(descriptor, &byte, 1, offset), 1);
	byte ^= 1;
	assert_int_equal(pwrite(descriptor, &byte, 1, offset), 1);
	close(descriptor);
}

static void test_cell_survives_a_torn_write(void **state)
{
	(void)state;
	char path[PATH_SIZE];
	BUF_CLEANUP struct buf content = {0};
	struct durable_cell *cell = NULL, *second = NULL;
	cell_path(path);
	assert_int_equal(durable_cell_create(path, 100, span_of_text("one"), NULL), RESULT_OK);
	assert_int_equal(durable_cell_create(path, 100, span_of_text("one"), NULL), RESULT_CONFLICT);
	assert_int_equal(durable_cell_open(path, 100, &content, &cell, NULL), RESULT_OK);
	assert_int_equal(durable_cell_open(path, 100, &content, &second, NULL), RESULT_CONFLICT);
	assert_int_equal(durable_cell_store(cell, span_of_text("two"), NULL), RESULT_OK);
	expect_content(path, "two");
	assert_int_equal(durable_cell_store(cell, span_of_text("three"), NULL), RESULT_OK);
	durable_cell_close(cell);
	expect_content(path, "three");
	spoil(path, 54); /* in "three", which stands in the first slot */
	expect_content(path, "two");
	spoil(path, 4096 + 54);
	assert_int_equal(durable_cell_read(path, 100, &content, NULL), RESULT_CORRUPT);
}

static void test_missing_state_is_told(void **state)
{
	(void)state;
	char path[PATH_SIZE];
	struct note note = {0};
	struct keys_local_config config = {.directory = vault.directory, .budgets = vault.budgets};
	struct key_service *keys = NULL;
	assert_int_equal(keys_local_open(&config, &keys, &note), RESULT_CONFLICT);
	test_vault_close(&vault);
	assert_int_equal(path_join(vault.directory, "state/reveals", path), RESULT_OK);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(keys_local_open(&config, &keys, &note), RESULT_ABSENT);
	assert_non_null(strstr(note.text, "state/reveals"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bucket),
		cmocka_unit_test_setup_teardown(test_index_budget_starts_empty, begin, end),
		cmocka_unit_test_setup_teardown(test_batch_bounds, begin, end),
		cmocka_unit_test_setup_teardown(test_seal_budget, begin, end),
		cmocka_unit_test_setup_teardown(test_fingerprint_budget, begin, end),
		cmocka_unit_test_setup_teardown(test_reveals_an_hour_outlive_a_restart, begin, end),
		cmocka_unit_test_setup_teardown(test_reveals_a_day, begin, end),
		cmocka_unit_test_setup_teardown(test_clock_jumps_refill_nothing, begin, end),
		cmocka_unit_test_setup_teardown(test_a_moment_in_the_far_future_does_not_lock, begin, end),
		cmocka_unit_test_setup_teardown(test_no_reveals_at_all, begin, end),
		cmocka_unit_test_setup_teardown(test_issuances, begin, end),
		cmocka_unit_test_setup_teardown(test_reserved_block_is_lost_at_restart, begin, end),
		cmocka_unit_test_setup_teardown(test_cell_survives_a_torn_write, begin, end),
		cmocka_unit_test_setup_teardown(test_missing_state_is_told, begin, end),
	};
	if (crypto_init(NULL) != RESULT_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
