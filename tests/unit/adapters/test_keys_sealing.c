/* Indexes and sealed VINs, against OpenSSL used directly, and every way in which a blob must not open. */
#include "../cmocka_all.h"

#include "keys_support.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

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

/* ---- HKDF by OpenSSL itself ------------------------------------------------------------------------ */

static void hkdf(const void *key, size_t key_size, const void *salt, size_t salt_size, const void *info,
		 size_t info_size, uint8_t *out, size_t size)
{
	char digest[] = "SHA256";
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, key_size),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, salt_size),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_size),
		OSSL_PARAM_construct_end(),
	};
	assert_int_equal(EVP_KDF_derive(context, out, size, parameters), 1);
	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
}

static void tenant_key(const char *label, const char *tenant, unsigned generation, uint8_t out[32])
{
	uint8_t info[128];
	char path[PATH_SIZE];
	BUF_CLEANUP struct buf root = {0};
	assert_int_equal(path_join(vault.directory, "root.key", path), RESULT_OK);
	assert_int_equal(file_read(path, &root, NULL), RESULT_OK);
	size_t size = 0;
	memcpy(info, label, strlen(label));
	size += strlen(label);
	info[size++] = 0;
	memcpy(info + size, tenant, strlen(tenant));
	size += strlen(tenant);
	info[size++] = 0;
	info[size++] = (uint8_t)(generation >> 8);
	info[size++] = (uint8_t)generation;
	hkdf(root.data, root.size, "", 0, info, size, out, 32);
}

static void test_index_is_the_documented_hmac(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo");
	struct vin vin = vin_numbered(7);
	struct hashed_vin hash = hash_of(&vin);
	struct vin_index_set set;
	uint8_t key[32], code[32];
	assert_int_equal(vault.keys->ops->index_vins(vault.keys, &demo, &hash, 1, &set, NULL), RESULT_OK);
	tenant_key("vinveil index key v1", "demo", 1, key);
	HMAC(EVP_sha256(), key, sizeof(key), hash.bytes, sizeof(hash.bytes), code, NULL);
	assert_int_equal(set.count, 1);
	assert_int_equal(set.indexes[0].generation, 1);
	assert_memory_equal(set.indexes[0].bytes, code, VIN_INDEX_SIZE);
}

static void test_fingerprint_is_the_documented_hmac(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo");
	uint8_t key[32], code[32], fingerprint[32];
	assert_int_equal(vault.keys->ops->fingerprint(vault.keys, &demo, span_of_text("a body"), fingerprint, NULL),
			 RESULT_OK);
	tenant_key("vinveil fingerprint key v1", "demo", 0, key);
	HMAC(EVP_sha256(), key, sizeof(key), (const uint8_t *)"a body", 6, code, NULL);
	assert_memory_equal(fingerprint, code, 32);
}

static void test_blob_opens_with_openssl_alone(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo");
	struct uuid id = new_uuid();
	struct vin vin = vin_numbered(8);
	struct sealed_vin sealed;
	uint8_t key[32], blob[60], info[64], associated[64], plain[32];
	int size = 0;
	assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &sealed, NULL), RESULT_OK);
	const uint8_t *b = sealed.bytes;
	assert_true(b[0] == 1 && b[1] == 0 && b[2] == 1);
	tenant_key("vinveil sealing key v1", "demo", 1, key);
	memcpy(info, "vinveil sealed VIN v1\0demo\0", 27);
	memcpy(info + 27, id.bytes, 16);
	hkdf(key, 32, b + 3, 12, info, 43, blob, 60);
	assert_memory_equal(b + 15, blob + 44, 16);
	memcpy(associated, "demo\0", 5);
	memcpy(associated + 5, id.bytes, 16);
	memcpy(associated + 21, b + 1, 2);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	assert_int_equal(EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, blob, blob + 32), 1);
	assert_int_equal(EVP_DecryptUpdate(context, NULL, &size, associated, 23), 1);
	assert_int_equal(EVP_DecryptUpdate(context, plain, &size, b + 31, 17), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, 16, (void *)(uintptr_t)(b + 48)), 1);
	assert_int_equal(EVP_DecryptFinal_ex(context, plain + 17, &size), 1);
	EVP_CIPHER_CTX_free(context);
	assert_memory_equal(plain, vin.text, 17);
}

/* ---- opening -------------------------------------------------------------------------------------- */

static const struct reveal_authorisation two_persons = {.requested_by = "anna", .approved_by = "ben"};

static enum result open_as(const struct tenant_id *tenant, const struct uuid *id, const struct sealed_vin *sealed,
			   struct vin *ret_vin)
{
	return vault.keys->ops->open_vin(vault.keys, tenant, id, sealed, &two_persons, ret_vin, NULL);
}

static void test_round_trip(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo");
	struct uuid id = new_uuid();
	struct vin vin = vin_numbered(9), opened = {0};
	struct sealed_vin sealed, again;
	assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &sealed, NULL), RESULT_OK);
	assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &again, NULL), RESULT_OK);
	assert_memory_not_equal(sealed.bytes, again.bytes, SEALED_VIN_SIZE);
	assert_int_equal(open_as(&demo, &id, &sealed, &opened), RESULT_OK);
	assert_string_equal(opened.text, vin.text);
}

static void test_any_flipped_bit_is_refused(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo");
	struct uuid id = new_uuid();
	struct vin vin = vin_numbered(10), opened = {0};
	struct sealed_vin sealed;
	assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &sealed, NULL), RESULT_OK);
	for (size_t bit = 0; bit < 8 * SEALED_VIN_SIZE; bit++) {
		struct sealed_vin bent = sealed;
		bent.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(open_as(&demo, &id, &bent, &opened), RESULT_CORRUPT);
	}
	assert_int_equal(opened.text[0], '\0');
}

static void test_wrong_place_is_refused(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo"), other = tenant_named("other");
	struct uuid id = new_uuid(), other_id = new_uuid();
	struct vin vin = vin_numbered(11), opened = {0};
	struct sealed_vin sealed;
	assert_int_equal(vault.keys->ops->create_tenant(vault.keys, &other, NULL), RESULT_OK);
	assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &sealed, NULL), RESULT_OK);
	assert_int_equal(open_as(&other, &id, &sealed, &opened), RESULT_CORRUPT);
	assert_int_equal(open_as(&demo, &other_id, &sealed, &opened), RESULT_CORRUPT);
	struct tenant_id unknown = tenant_named("unknown");
	assert_int_equal(open_as(&unknown, &id, &sealed, &opened), RESULT_ABSENT);
}

static void test_one_person_is_refused(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo");
	struct uuid id = new_uuid();
	struct vin vin = vin_numbered(12), opened = {0};
	struct sealed_vin sealed;
	struct reveal_authorisation same = {.requested_by = "anna", .approved_by = "anna"};
	struct reveal_authorisation none = {.requested_by = "anna"};
	assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &sealed, NULL), RESULT_OK);
	assert_int_equal(vault.keys->ops->open_vin(vault.keys, &demo, &id, &sealed, &same, &opened, NULL),
			 RESULT_DENIED);
	assert_int_equal(vault.keys->ops->open_vin(vault.keys, &demo, &id, &sealed, &none, &opened, NULL),
			 RESULT_DENIED);
}

/* ---- generations ---------------------------------------------------------------------------------- */

static void test_rotation(void **state)
{
	(void)state;
	struct key_service *keys = vault.keys;
	struct tenant_id demo = tenant_named("demo");
	struct key_generations generations;
	struct vin vin = vin_numbered(13), opened = {0};
	struct hashed_vin hash = hash_of(&vin);
	struct vin_index_set before, during, after;
	struct reseal_item items[2] = {{.reference_id = new_uuid()}, {.reference_id = new_uuid()}};
	assert_int_equal(keys->ops->seal_vin(keys, &demo, &items[0].reference_id, &vin, &items[0].sealed, NULL),
			 RESULT_OK);
	items[1].sealed = items[0].sealed; /* under a Reference ID that it is not of */
	struct sealed_vin old = items[0].sealed;
	assert_int_equal(keys->ops->index_vins(keys, &demo, &hash, 1, &before, NULL), RESULT_OK);

	assert_int_equal(keys->ops->begin_rotation(keys, &demo, &generations, NULL), RESULT_OK);
	assert_true(generations.newest == 2 && generations.oldest == 1);
	assert_int_equal(keys->ops->begin_rotation(keys, &demo, &generations, NULL), RESULT_OK);
	assert_int_equal(generations.newest, 2);
	test_vault_reopen(&vault);
	keys = vault.keys;
	fake_clock_pass(&vault.clock, 1000);

	assert_int_equal(keys->ops->index_vins(keys, &demo, &hash, 1, &during, NULL), RESULT_OK);
	assert_int_equal(during.count, 2);
	assert_int_equal(during.indexes[0].generation, 2);
	assert_memory_equal(during.indexes[1].bytes, before.indexes[0].bytes, VIN_INDEX_SIZE);
	assert_memory_not_equal(during.indexes[0].bytes, before.indexes[0].bytes, VIN_INDEX_SIZE);

	assert_int_equal(keys->ops->reseal_vins(keys, &demo, items, 2, NULL), RESULT_OK);
	assert_int_equal(items[0].result, RESULT_OK);
	assert_int_equal(items[1].result, RESULT_CORRUPT);
	assert_int_equal(items[0].index.generation, 2);
	assert_memory_equal(items[0].index.bytes, during.indexes[0].bytes, VIN_INDEX_SIZE);

	assert_int_equal(keys->ops->finish_rotation(keys, &demo, NULL), RESULT_OK);
	assert_int_equal(keys->ops->finish_rotation(keys, &demo, NULL), RESULT_OK);
	test_vault_reopen(&vault);
	keys = vault.keys;
	fake_clock_pass(&vault.clock, 1000);
	assert_int_equal(keys->ops->index_vins(keys, &demo, &hash, 1, &after, NULL), RESULT_OK);
	assert_int_equal(after.count, 1);
	assert_memory_equal(after.indexes[0].bytes, during.indexes[0].bytes, VIN_INDEX_SIZE);
	assert_int_equal(open_as(&demo, &items[0].reference_id, &old, &opened), RESULT_CORRUPT);
	assert_int_equal(open_as(&demo, &items[0].reference_id, &items[0].sealed, &opened), RESULT_OK);
	assert_string_equal(opened.text, vin.text);
}

/* ---- failures --------------------------------------------------------------------------------------- */

static int fails_after = -1; /* so many derivations from now; -1: none */

enum result __real_hkdf_sha256(struct span secret, struct span salt, struct span info, uint8_t *ret_key, size_t size);
enum result __wrap_hkdf_sha256(struct span secret, struct span salt, struct span info, uint8_t *ret_key, size_t size);
enum result __real_hmac_key_open(struct span key, struct hmac_key **ret_key);
enum result __wrap_hmac_key_open(struct span key, struct hmac_key **ret_key);

static bool fails_now(void)
{
	return fails_after >= 0 && fails_after-- == 0;
}

enum result __wrap_hkdf_sha256(struct span secret, struct span salt, struct span info, uint8_t *ret_key, size_t size)
{
	return fails_now() ? RESULT_MEMORY : __real_hkdf_sha256(secret, salt, info, ret_key, size);
}

enum result __wrap_hmac_key_open(struct span key, struct hmac_key **ret_key)
{
	return fails_now() ? RESULT_MEMORY : __real_hmac_key_open(key, ret_key);
}

/* Nothing is sealed under a key that is half made. */
static void test_a_rotation_that_fails_changes_nothing(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo");
	struct key_generations generations;
	struct uuid id = new_uuid();
	struct vin vin = vin_numbered(14), opened = {0};
	struct hashed_vin hash = hash_of(&vin);
	struct sealed_vin sealed;
	struct vin_index_set set;
	enum result result = RESULT_MEMORY;
	int failures = 0;
	for (; result != RESULT_OK; failures++) {
		fails_after = failures;
		result = vault.keys->ops->begin_rotation(vault.keys, &demo, &generations, NULL);
		fails_after = -1;
		assert_true(result == RESULT_OK || result == RESULT_MEMORY);
		fake_clock_pass(&vault.clock, 1000);
		assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &id, &vin, &sealed, NULL), RESULT_OK);
		assert_int_equal(vault.keys->ops->index_vins(vault.keys, &demo, &hash, 1, &set, NULL), RESULT_OK);
		assert_int_equal(set.count, result == RESULT_OK ? 2 : 1);
		test_vault_reopen(&vault);
		assert_int_equal(vault.keys->ops->get_generations(vault.keys, &demo, &generations, NULL), RESULT_OK);
		assert_int_equal(generations.newest, result == RESULT_OK ? 2 : 1);
	}
	assert_int_equal(failures, 7); /* three of each generation */
	assert_int_equal(open_as(&demo, &id, &sealed, &opened), RESULT_OK);
}

static void test_tenants_survive_and_are_made_once(void **state)
{
	(void)state;
	struct key_generations generations;
	struct tenant_id demo = tenant_named("demo"), none = tenant_named("none");
	assert_int_equal(vault.keys->ops->begin_rotation(vault.keys, &demo, &generations, NULL), RESULT_OK);
	assert_int_equal(vault.keys->ops->create_tenant(vault.keys, &demo, NULL), RESULT_OK);
	test_vault_reopen(&vault);
	assert_int_equal(vault.keys->ops->get_generations(vault.keys, &demo, &generations, NULL), RESULT_OK);
	assert_int_equal(generations.newest, 2);
	assert_int_equal(vault.keys->ops->get_generations(vault.keys, &none, &generations, NULL), RESULT_ABSENT);
	assert_int_equal(vault.keys->ops->begin_rotation(vault.keys, &none, &generations, NULL), RESULT_ABSENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_index_is_the_documented_hmac, begin, end),
		cmocka_unit_test_setup_teardown(test_fingerprint_is_the_documented_hmac, begin, end),
		cmocka_unit_test_setup_teardown(test_blob_opens_with_openssl_alone, begin, end),
		cmocka_unit_test_setup_teardown(test_round_trip, begin, end),
		cmocka_unit_test_setup_teardown(test_any_flipped_bit_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_wrong_place_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_one_person_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_rotation, begin, end),
		cmocka_unit_test_setup_teardown(test_a_rotation_that_fails_changes_nothing, begin, end),
		cmocka_unit_test_setup_teardown(test_tenants_survive_and_are_made_once, begin, end),
	};
	if (crypto_init(NULL) != RESULT_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
