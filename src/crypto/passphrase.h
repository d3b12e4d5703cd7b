/*
 * Keys from passphrases: scrypt (RFC 7914) with N = 2^17, r = 8, p = 1: 128 MiB and some 0.3 s a try.
 */
#ifndef VINVEIL_CRYPTO_PASSPHRASE_H
#define VINVEIL_CRYPTO_PASSPHRASE_H

#include "base/result.h"
#include "base/span.h"

#define PASSPHRASE_SCRYPT_N  ((uint64_t)1 << 17)
#define PASSPHRASE_SCRYPT_R  8
#define PASSPHRASE_SCRYPT_P  1
#define PASSPHRASE_SALT_SIZE 16

MUST_USE enum result passphrase_derive(struct span passphrase, const uint8_t salt[static PASSPHRASE_SALT_SIZE],
				       uint8_t *ret_key, size_t size);

#endif
