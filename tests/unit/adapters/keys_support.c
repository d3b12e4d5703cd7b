#include "../cmocka_all.h"

#include "keys_support.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

static int64_t fake_now(struct clock *clock)
{
	return ((struct fake_clock *)clock)->now_ms;
}

static int64_t fake_monotonic(struct clock *clock)
{
	return ((struct fake_clock *)clock)->monotonic_ms;
}

void fake_clock_init(struct fake_clock *clock)
{
	*clock = (struct fake_clock){
		.clock = {.now_ms = fake_now, .monotonic_ms = fake_monotonic},
		.now_ms = INT64_C(1790000000000),
		.monotonic_ms = 5000,
	};
}

void fake_clock_pass(struct fake_clock *clock, int64_t ms)
{
	clock->now_ms += ms;
	clock->monotonic_ms += ms;
}

static struct issuer *make_root(struct buf *ret_pem, int64_t now_ms)
{
	struct private_key *key = NULL;
	struct issuer *root = NULL;
	assert_int_equal(private_key_generate(PRIVATE_KEY_P256, &key, NULL), RESULT_OK);
	assert_int_equal(certificate_make_root(key, "test device root", 1, now_ms, entropy_system(), ret_pem, NULL),
			 RESULT_OK);
	assert_int_equal(issuer_open(buf_span(ret_pem), key, &root, NULL), RESULT_OK);
	return root;
}

void test_vault_create(struct test_vault *vault)
{
	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf root_pem = {0};
	BUF_CLEANUP struct buf der = {0};
	BUF_CLEANUP struct buf pem = {0};
	struct note note = {0};
	*vault = (struct test_vault){.directory = "/tmp/vinveil-keys-XXXXXX", .budgets = key_budgets_default()};
	fake_clock_init(&vault->clock);
	assert_non_null(mkdtemp(vault->directory));
	assert_int_equal(keys_local_create(vault->directory, entropy_system(), &csr, &note), RESULT_OK);
	/* The certificates must hold for both the fake and the real clock. */
	int64_t from = clock_now_ms(clock_system()) - INT64_C(3600000);
	struct issuer *root = make_root(&root_pem, from);
	int64_t end = from + INT64_C(3650) * 24 * 3600 * 1000;
	assert_int_equal(issuer_issue_intermediate(root, entropy_system(), "test device issuer", buf_span(&csr), from,
						   end, &der, &note),
			 RESULT_OK);
	assert_int_equal(certificate_der_to_pem(buf_span(&der), &pem), RESULT_OK);
	assert_int_equal(keys_local_install_issuer(vault->directory, buf_span(&pem), buf_span(&root_pem), &note),
			 RESULT_OK);
	issuer_close(root);
	vault->clock.now_ms = from + INT64_C(7200000);
}

void test_vault_open(struct test_vault *vault)
{
	struct note note = {0};
	struct keys_local_config keys = {
		.directory = vault->directory, .budgets = vault->budgets, .clock = &vault->clock.clock};
	struct authority_openssl_config authority = {
		.directory = vault->directory,
		.issuances_per_hour = vault->budgets.issuances_per_hour,
		.clock = &vault->clock.clock,
	};
	enum result result = keys_local_open(&keys, &vault->keys, &note);
	if (result != RESULT_OK)
		fail_msg("%s: %s", result_name(result), note.text);
	assert_int_equal(authority_openssl_open(&authority, &vault->authority, &note), RESULT_OK);
}

void test_vault_close(struct test_vault *vault)
{
	keys_local_close(vault->keys);
	authority_openssl_close(vault->authority);
	vault->keys = NULL;
	vault->authority = NULL;
}

void test_vault_reopen(struct test_vault *vault)
{
	test_vault_close(vault);
	test_vault_open(vault);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

void test_vault_remove(struct test_vault *vault)
{
	test_vault_close(vault);
	nftw(vault->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void test_vault_begin(struct test_vault *vault)
{
	struct tenant_id demo = tenant_named("demo");
	test_vault_create(vault);
	test_vault_open(vault);
	assert_int_equal(vault->keys->ops->create_tenant(vault->keys, &demo, NULL), RESULT_OK);
	fake_clock_pass(&vault->clock, 10000);
}

struct tenant_id tenant_named(const char *name)
{
	struct tenant_id id;
	assert_int_equal(tenant_id_parse(span_of_text(name), &id), RESULT_OK);
	return id;
}

struct vin vin_numbered(unsigned number)
{
	char text[VIN_LENGTH + 1];
	struct vin vin;
	snprintf(text, sizeof(text), "WVWZZZ1JZ%08u", number % 100000000);
	assert_int_equal(vin_parse(span_of_text(text), &vin), RESULT_OK);
	return vin;
}

struct hashed_vin hash_of(const struct vin *vin)
{
	struct hashed_vin hash;
	assert_int_equal(vin_hash(vin, &hash), RESULT_OK);
	return hash;
}

struct uuid new_uuid(void)
{
	struct uuid uuid;
	assert_int_equal(uuid_generate_v4(entropy_system(), &uuid), RESULT_OK);
	return uuid;
}

void make_csr(struct buf *ret_der)
{
	struct private_key *key = NULL;
	assert_int_equal(private_key_generate(PRIVATE_KEY_P256, &key, NULL), RESULT_OK);
	assert_int_equal(csr_make(key, ret_der, NULL), RESULT_OK);
	private_key_release(key);
}
