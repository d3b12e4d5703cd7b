#include "support.h"

#include "crypto/passphrase.h"

static const uint8_t salt[PASSPHRASE_SALT_SIZE] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* The answer is that of another implementation: Python's hashlib.scrypt(…, n=1 << 17, r=8, p=1). */
static void known_answer(void **state)
{
	struct hex_bytes expected =
		from_hex("4c6bc95145350a07e4000e6b475195a0b9c727c25a0517bbc2ac76edc10e426cb4b9dfb54ac5bdf4");
	uint8_t key[40];

	(void)state;
	assert_ok(passphrase_derive(span_of_text("correct horse"), salt, key, sizeof(key)));
	assert_memory_equal(key, expected.bytes, sizeof(key));
}

static void another_passphrase_or_salt_is_another_key(void **state)
{
	uint8_t other_salt[PASSPHRASE_SALT_SIZE], key[16], other[16];

	(void)state;
	memcpy(other_salt, salt, sizeof(other_salt));
	other_salt[15] ^= 1;
	assert_ok(passphrase_derive(span_of_text("correct horse"), salt, key, sizeof(key)));
	assert_ok(passphrase_derive(span_of_text("correct horsf"), salt, other, sizeof(other)));
	assert_memory_not_equal(key, other, sizeof(key));
	assert_ok(passphrase_derive(span_of_text("correct horse"), other_salt, other, sizeof(other)));
	assert_memory_not_equal(key, other, sizeof(key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answer),
		cmocka_unit_test(another_passphrase_or_salt_is_another_key),
	};

	return cmocka_run_group_tests(tests, set_up_crypto, NULL);
}
