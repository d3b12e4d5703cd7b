#include "support.h"

#include "crypto/private_key.h"

#include <sys/stat.h>
#include <unistd.h>

static struct private_key *generate(enum private_key_kind kind)
{
	struct private_key *key;

	assert_ok(private_key_generate(kind, &key, NULL));
	return key;
}

/* A PKCS #8 Ed25519 key around the 32 secret bytes of a test vector. */
static struct private_key *ed25519_from_seed(const char *seed)
{
	struct hex_bytes der = from_hex("302e020100300506032b657004220420");
	struct hex_bytes secret = from_hex(seed);
	BUF_CLEANUP struct buf pem = {0};
	struct private_key *key;

	memcpy(der.bytes + der.size, secret.bytes, secret.size);
	der.size += secret.size;
	assert_ok(buf_append_text(&pem, "-----BEGIN PRIVATE KEY-----\n"));
	assert_ok(base64_append(&pem, hex_span(&der)));
	assert_ok(buf_append_text(&pem, "\n-----END PRIVATE KEY-----\n"));
	assert_ok(private_key_from_pem(buf_span(&pem), NULL, &key, NULL));
	return key;
}

/* RFC 8032 section 7.1, tests 1 to 3. */
static const struct signature_case {
	const char *seed, *public_key, *message, *signature;
} signature_cases[] = {
	{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	 "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bb"
	 "e"
	 "24655141438e7a100b"},
	{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	 "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	 "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302"
	 "a"
	 "eeb00d291612bb0c00"},
	{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
	 "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
	 "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed"
	 "2"
	 "8dc027beceea1ec40a"},
};

static void ed25519_known_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(signature_cases) / sizeof(signature_cases[0]); i++) {
		struct private_key *key = ed25519_from_seed(signature_cases[i].seed);
		struct hex_bytes expected_public = from_hex(signature_cases[i].public_key);
		struct hex_bytes message = from_hex(signature_cases[i].message);
		struct hex_bytes expected = from_hex(signature_cases[i].signature);
		uint8_t public_key[ED25519_PUBLIC_SIZE], signature[ED25519_SIGNATURE_SIZE];

		assert_ok(ed25519_public(key, public_key));
		assert_memory_equal(public_key, expected_public.bytes, sizeof(public_key));
		assert_ok(ed25519_sign(key, hex_span(&message), signature));
		assert_memory_equal(signature, expected.bytes, sizeof(signature));
		assert_ok(ed25519_verify(public_key, hex_span(&message), signature));
		private_key_release(key);
	}
}

static void ed25519_refuses_every_flipped_bit(void **state)
{
	struct private_key *key = generate(PRIVATE_KEY_ED25519);
	uint8_t public_key[ED25519_PUBLIC_SIZE], signature[ED25519_SIGNATURE_SIZE];

	(void)state;
	assert_ok(ed25519_public(key, public_key));
	assert_ok(ed25519_sign(key, span_of_text("checkpoint"), signature));
	for (size_t bit = 0; bit < 8 * sizeof(signature); bit++) {
		signature[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_result(ed25519_verify(public_key, span_of_text("checkpoint"), signature), RESULT_DENIED);
		signature[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	assert_result(ed25519_verify(public_key, span_of_text("checkpoinT"), signature), RESULT_DENIED);
	assert_ok(ed25519_verify(public_key, span_of_text("checkpoint"), signature));
	private_key_release(key);
}

static void p256_is_no_ed25519_key(void **state)
{
	struct private_key *key = generate(PRIVATE_KEY_P256);
	uint8_t bytes[ED25519_SIGNATURE_SIZE];

	(void)state;
	assert_result(ed25519_public(key, bytes), RESULT_INVALID);
	assert_result(ed25519_sign(key, span_of_text("m"), bytes), RESULT_INVALID);
	private_key_release(key);
	private_key_release(NULL);
}

static void assert_pem_round_trip(enum private_key_kind kind, const char *passphrase, const char *expected_label)
{
	BUF_CLEANUP struct buf pem = {0}, plain = {0}, again = {0};
	struct private_key *key = generate(kind), *read;

	assert_ok(private_key_to_pem(key, passphrase, &pem));
	assert_non_null(strstr((const char *)pem.data, expected_label));
	assert_ok(private_key_from_pem(buf_span(&pem), passphrase, &read, NULL));
	assert_ok(private_key_to_pem(key, NULL, &plain));
	assert_ok(private_key_to_pem(read, NULL, &again));
	assert_true(span_equal(buf_span(&plain), buf_span(&again)));
	private_key_release(key);
	private_key_release(read);
}

static void pem_round_trips(void **state)
{
	(void)state;
	assert_pem_round_trip(PRIVATE_KEY_P256, NULL, "BEGIN PRIVATE KEY");
	assert_pem_round_trip(PRIVATE_KEY_ED25519, NULL, "BEGIN PRIVATE KEY");
	assert_pem_round_trip(PRIVATE_KEY_P256, "correct horse", "BEGIN ENCRYPTED PRIVATE KEY");
	assert_pem_round_trip(PRIVATE_KEY_ED25519, "correct horse", "BEGIN ENCRYPTED PRIVATE KEY");
}

static void a_wrapped_key_needs_its_passphrase(void **state)
{
	struct private_key *key = generate(PRIVATE_KEY_P256), *read = NULL;
	BUF_CLEANUP struct buf pem = {0};
	struct note note = {0};

	(void)state;
	assert_ok(private_key_to_pem(key, "right", &pem));
	assert_result(private_key_from_pem(buf_span(&pem), "wrong", &read, &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, "wrong passphrase"));
	assert_result(private_key_from_pem(buf_span(&pem), NULL, &read, &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, "without a passphrase"));
	assert_null(read);
	private_key_release(key);
}

static void bad_passphrases_are_refused(void **state)
{
	struct private_key *key = generate(PRIVATE_KEY_P256);
	char long_one[PASSPHRASE_SIZE_MAX + 2];
	BUF_CLEANUP struct buf pem = {0};

	(void)state;
	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	assert_result(private_key_to_pem(key, "", &pem), RESULT_INVALID);
	assert_result(private_key_to_pem(key, long_one, &pem), RESULT_INVALID);
	long_one[PASSPHRASE_SIZE_MAX] = '\0';
	assert_ok(private_key_to_pem(key, long_one, &pem));
	private_key_release(key);
}

/* PBES2 with scrypt and AES-256-CBC: the OIDs stand in the DER. */
static void wrapping_is_scrypt_and_aes_256(void **state)
{
	struct hex_bytes scrypt = from_hex("06092b06010401da47040b"), aes = from_hex("060960864801650304012a");
	struct private_key *key = generate(PRIVATE_KEY_P256);
	BUF_CLEANUP struct buf pem = {0};
	uint8_t der[1024];
	char packed[2048];
	size_t packed_size = 0, size;
	const char *at;

	(void)state;
	assert_ok(private_key_to_pem(key, "pass", &pem));
	for (at = strchr((const char *)pem.data, '\n'); *at != '-'; at++) {
		if (*at != '\n')
			packed[packed_size++] = *at;
	}
	assert_ok(base64_parse(span_of(packed, packed_size), der, sizeof(der), &size));
	assert_non_null(memmem(der, size, scrypt.bytes, scrypt.size));
	assert_non_null(memmem(der, size, aes.bytes, aes.size));
	private_key_release(key);
}

static void other_keys_and_garbage_are_refused(void **state)
{
	static const char secp384r1[] = "-----BEGIN PRIVATE KEY-----\n"
					"MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDBhnn9C0SR2ZsgUfoJF\n"
					"-----END PRIVATE KEY-----\n";
	static const char *const texts[] = {"", "hello", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
					    secp384r1};
	struct private_key *key = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_result(private_key_from_pem(span_of_text(texts[i]), NULL, &key, NULL), RESULT_INVALID);
	assert_null(key);
}

static void a_key_file_must_be_private(void **state)
{
	struct private_key *key = generate(PRIVATE_KEY_P256), *read = NULL;
	char path[] = "/tmp/vinveil-key-XXXXXX";
	int descriptor = mkstemp(path);
	BUF_CLEANUP struct buf pem = {0};
	struct note note = {0};

	(void)state;
	assert_ok(private_key_to_pem(key, NULL, &pem));
	assert_int_equal(write(descriptor, pem.data, pem.size), pem.size);
	assert_int_equal(fchmod(descriptor, 0644), 0);
	assert_result(private_key_read(path, &read, &note), RESULT_DENIED);
	assert_int_equal(fchmod(descriptor, 0600), 0);
	assert_ok(private_key_read(path, &read, &note));
	private_key_release(read);
	assert_int_equal(ftruncate(descriptor, 40), 0);
	assert_result(private_key_read(path, &read, &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, path));
	close(descriptor);
	unlink(path);
	assert_result(private_key_read(path, &read, &note), RESULT_ABSENT);
	private_key_release(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ed25519_known_answers),
		cmocka_unit_test(ed25519_refuses_every_flipped_bit),
		cmocka_unit_test(p256_is_no_ed25519_key),
		cmocka_unit_test(pem_round_trips),
		cmocka_unit_test(a_wrapped_key_needs_its_passphrase),
		cmocka_unit_test(bad_passphrases_are_refused),
		cmocka_unit_test(wrapping_is_scrypt_and_aes_256),
		cmocka_unit_test(other_keys_and_garbage_are_refused),
		cmocka_unit_test(a_key_file_must_be_private),
	};

	return cmocka_run_group_tests(tests, set_up_crypto, NULL);
}
