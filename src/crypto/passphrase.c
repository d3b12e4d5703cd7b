#include "crypto/passphrase.h"

#include "crypto/library.h"

#define MEMORY_MAX ((uint64_t)256 << 20)

enum result passphrase_derive(struct span passphrase, const uint8_t salt[static PASSPHRASE_SALT_SIZE], uint8_t *ret_key,
			      size_t size)
{
	if (EVP_PBE_scrypt((const char *)passphrase.data, passphrase.size, salt, PASSPHRASE_SALT_SIZE,
			   PASSPHRASE_SCRYPT_N, PASSPHRASE_SCRYPT_R, PASSPHRASE_SCRYPT_P, MEMORY_MAX, ret_key,
			   size) != 1)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	return RESULT_OK;
}
