#include "support.h"

#include <pthread.h>

static void assert_digest(const uint8_t digest[SHA256_SIZE], const char *expected)
{
	char text[2 * SHA256_SIZE + 1];

	hex_format(span_of(digest, SHA256_SIZE), text);
	assert_string_equal(text, expected);
}

/* FIPS 180-4's examples, and the empty message. */
static void sha256_known_answers(void **state)
{
	static const struct {
		const char *message, *digest;
	} cases[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};
	uint8_t digest[SHA256_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_ok(sha256(span_of_text(cases[i].message), digest));
		assert_digest(digest, cases[i].digest);
	}
}

static void sha256_of_a_million_letters_in_parts(void **state)
{
	static uint8_t letters[1000];
	static struct span parts[1000];
	uint8_t digest[SHA256_SIZE];

	(void)state;
	memset(letters, 'a', sizeof(letters));
	for (size_t i = 0; i < 1000; i++)
		parts[i] = span_of(letters, sizeof(letters));
	assert_ok(sha256_parts(parts, 1000, digest));
	assert_digest(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	assert_ok(sha256_parts(parts, 0, digest));
	assert_digest(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

struct hmac_case {
	const char *key, *message, *code;
};

/* RFC 4231 section 4, cases 1 to 4, 6 and 7 (5 is about truncation). */
static const struct hmac_case hmac_cases[] = {
	{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
	 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
	{"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
	 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	 "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
	 "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	{"0102030405060708090a0b0c0d0e0f10111213141516171819",
	 "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
	 "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	 "aaa"
	 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	 "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374",
	 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
};

static void hmac_known_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hmac_cases) / sizeof(hmac_cases[0]); i++) {
		struct hex_bytes key = from_hex(hmac_cases[i].key);
		struct hex_bytes message = from_hex(hmac_cases[i].message);
		uint8_t code[SHA256_SIZE];
		struct hmac_key *opened;

		assert_ok(hmac_key_open(hex_span(&key), &opened));
		/* Twice: the second use of a context must not see the first. */
		for (int again = 0; again < 2; again++) {
			assert_ok(hmac_sha256(opened, hex_span(&message), code));
			assert_digest(code, hmac_cases[i].code);
		}
		hmac_key_close(opened);
	}
}

static void hmac_takes_an_empty_key_and_message(void **state)
{
	uint8_t code[SHA256_SIZE];
	struct hmac_key *opened;

	(void)state;
	assert_ok(hmac_key_open(span_of(NULL, 0), &opened));
	assert_ok(hmac_sha256(opened, span_of(NULL, 0), code));
	assert_digest(code, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
	hmac_key_close(opened);
	hmac_key_close(NULL);
}

static const struct hkdf_case {
	const char *secret, *salt, *info, *key;
} hkdf_cases[] = {
	/* RFC 5869 appendix A.1 to A.3 */
	{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
	 "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
	{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353"
	 "6"
	 "3738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
	 "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f9091929394959"
	 "6"
	 "9798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
	 "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e"
	 "6"
	 "e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
	 "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f0"
	 "9"
	 "b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
	{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
	 "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
};

static void hkdf_known_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hkdf_cases) / sizeof(hkdf_cases[0]); i++) {
		struct hex_bytes secret = from_hex(hkdf_cases[i].secret), salt = from_hex(hkdf_cases[i].salt);
		struct hex_bytes info = from_hex(hkdf_cases[i].info), expected = from_hex(hkdf_cases[i].key);
		uint8_t key[HEX_BYTES_MAX + 1];

		key[expected.size] = 0x5a;
		assert_ok(hkdf_sha256(hex_span(&secret), hex_span(&salt), hex_span(&info), key, expected.size));
		assert_memory_equal(key, expected.bytes, expected.size);
		assert_int_equal(key[expected.size], 0x5a);
	}
}

static void hkdf_refuses_sizes_it_cannot_give(void **state)
{
	static uint8_t key[HKDF_SIZE_MAX + 1];

	(void)state;
	assert_result(hkdf_sha256(span_of_text("s"), span_of_text(""), span_of_text(""), key, 0), RESULT_INVALID);
	assert_result(hkdf_sha256(span_of_text("s"), span_of_text(""), span_of_text(""), key, sizeof(key)),
		      RESULT_INVALID);
	assert_ok(hkdf_sha256(span_of_text("s"), span_of_text(""), span_of_text(""), key, HKDF_SIZE_MAX));
}

/* Each thread has contexts of its own, and they go when it ends (the leak checker sees whether they do). */
static void *digest_in_thread(void *opaque)
{
	unsigned *failures = opaque;
	uint8_t digest[SHA256_SIZE], expected[SHA256_SIZE];
	uint8_t message[64] = {0};

	if (sha256(span_of(message, sizeof(message)), expected) != RESULT_OK)
		(*failures)++;
	for (int i = 0; i < 2000; i++) {
		if (sha256(span_of(message, sizeof(message)), digest) != RESULT_OK ||
		    memcmp(digest, expected, SHA256_SIZE) != 0)
			(*failures)++;
	}
	return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
	pthread_t threads[8];
	unsigned failures[8] = {0};

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, digest_in_thread, &failures[i]), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(failures[i], 0);
	}
}

static void initialising_again_changes_nothing(void **state)
{
	(void)state;
	assert_ok(crypto_init(NULL));
	assert_ok(crypto_init_as_guest(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_known_answers),
		cmocka_unit_test(sha256_of_a_million_letters_in_parts),
		cmocka_unit_test(hmac_known_answers),
		cmocka_unit_test(hmac_takes_an_empty_key_and_message),
		cmocka_unit_test(hkdf_known_answers),
		cmocka_unit_test(hkdf_refuses_sizes_it_cannot_give),
		cmocka_unit_test(threads_do_not_disturb_each_other),
		cmocka_unit_test(initialising_again_changes_nothing),
	};

	return cmocka_run_group_tests(tests, set_up_crypto, NULL);
}
