#include "residue.h"

#include "crypto/aead.h"

/* What passes through digests and AEAD must not stay behind in contexts, heap or stack. */

#define SECRET_SHIFTED "TIJGUFE.TFDSFU.18" /* not a VIN: "SHIFTED-SECRET-07" */

static uint8_t *reveal(const struct shifted *secret)
{
	uint8_t *bytes = wiping_malloc(secret->size);

	assert_non_null(bytes);
	unshift(secret, bytes);
	return bytes;
}

/* The search finds what is there, or none of the other tests proves anything. */
static void the_search_can_find(void **state)
{
	struct shifted secret = shifted_text(SECRET_SHIFTED);
	uint8_t *bytes;

	(void)state;
	if (RESIDUE_CANNOT_LOOK)
		skip();
	assert_int_equal(residue_count(&secret), 0);
	bytes = reveal(&secret);
	assert_int_equal(residue_count(&secret), 1);
	wiping_free(bytes);
	assert_int_equal(residue_count(&secret), 0);
}

static void assert_digest_gone(uint8_t digest[SHA256_SIZE])
{
	struct shifted gone = shift_away(digest, SHA256_SIZE);
	struct shifted swapped = swap_words(&gone);

	assert_int_equal(residue_count(&gone), 0);
	assert_int_equal(residue_count(&swapped), 0);
}

static void sha256_keeps_neither_message_nor_digest(void **state)
{
	struct shifted secret = shifted_text(SECRET_SHIFTED);
	uint8_t digest[SHA256_SIZE], *bytes;

	(void)state;
	if (RESIDUE_CANNOT_LOOK)
		skip();
	bytes = reveal(&secret);
	assert_ok(sha256(span_of(bytes, secret.size), digest));
	wiping_free(bytes);
	assert_int_equal(residue_count(&secret), 0);
	assert_digest_gone(digest);
}

static void hmac_keeps_neither_message_nor_code(void **state)
{
	struct shifted secret = shifted_text(SECRET_SHIFTED);
	uint8_t code[SHA256_SIZE], *bytes;
	struct hmac_key *key;

	(void)state;
	if (RESIDUE_CANNOT_LOOK)
		skip();
	assert_ok(hmac_key_open(span_of_text("a key of no interest"), &key));
	bytes = reveal(&secret);
	assert_ok(hmac_sha256(key, span_of(bytes, secret.size), code));
	wiping_free(bytes);
	assert_int_equal(residue_count(&secret), 0);
	assert_digest_gone(code);
	hmac_key_close(key);
}

static void hkdf_keeps_neither_secret_nor_key(void **state)
{
	struct shifted secret = shifted_text(SECRET_SHIFTED);
	uint8_t key[SHA256_SIZE], *bytes;

	(void)state;
	if (RESIDUE_CANNOT_LOOK)
		skip();
	bytes = reveal(&secret);
	assert_ok(
		hkdf_sha256(span_of(bytes, secret.size), span_of_text("salt"), span_of_text("info"), key, sizeof(key)));
	wiping_free(bytes);
	assert_int_equal(residue_count(&secret), 0);
	assert_digest_gone(key);
}

static void aead_keeps_neither_plaintext_nor_key(void **state)
{
	struct shifted secret = shifted_text(SECRET_SHIFTED), key_gone;
	uint8_t key[AEAD_KEY_SIZE], nonce[AEAD_NONCE_SIZE] = {0}, tag[AEAD_TAG_SIZE], ciphertext[RESIDUE_SIZE], *bytes;

	(void)state;
	if (RESIDUE_CANNOT_LOOK)
		skip();
	assert_ok(entropy_fill(entropy_system(), key, sizeof(key)));
	bytes = reveal(&secret);
	assert_ok(aead_seal(key, nonce, span_of_text("context"), span_of(bytes, secret.size), ciphertext, tag));
	secret_wipe(bytes, secret.size);
	assert_int_equal(residue_count(&secret), 0);
	assert_ok(aead_open(key, nonce, span_of_text("context"), span_of(ciphertext, secret.size), tag, bytes));
	assert_int_equal(residue_count(&secret), 1);
	wiping_free(bytes);
	assert_int_equal(residue_count(&secret), 0);
	key_gone = shift_away(key, sizeof(key));
	/* AES-256's key schedule begins with the key itself. */
	assert_int_equal(residue_count(&key_gone), 0);
	key_gone = swap_words(&key_gone);
	assert_int_equal(residue_count(&key_gone), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_search_can_find),
		cmocka_unit_test(sha256_keeps_neither_message_nor_digest),
		cmocka_unit_test(hmac_keeps_neither_message_nor_code),
		cmocka_unit_test(hkdf_keeps_neither_secret_nor_key),
		cmocka_unit_test(aead_keeps_neither_plaintext_nor_key),
	};

	return cmocka_run_group_tests(tests, set_up_crypto, NULL);
}
