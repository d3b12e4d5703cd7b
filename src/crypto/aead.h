/*
 * AES-256-GCM (NIST SP 800-38D), one message a call. The caller answers for never using a nonce twice
 * under one key (the vault derives a key per sealing). Thread-safe (a context per thread inside).
 */
#ifndef VINVEIL_CRYPTO_AEAD_H
#define VINVEIL_CRYPTO_AEAD_H

#include "base/result.h"
#include "base/span.h"

#define AEAD_KEY_SIZE	32
#define AEAD_NONCE_SIZE 12
#define AEAD_TAG_SIZE	16

/* ret_ciphertext has the plaintext's size. */
MUST_USE enum result aead_seal(const uint8_t key[static AEAD_KEY_SIZE], const uint8_t nonce[static AEAD_NONCE_SIZE],
			       struct span associated, struct span plaintext, uint8_t *ret_ciphertext,
			       uint8_t ret_tag[static AEAD_TAG_SIZE]);
/* RESULT_CORRUPT when the tag does not match; then nothing of the plaintext is written. */
MUST_USE enum result aead_open(const uint8_t key[static AEAD_KEY_SIZE], const uint8_t nonce[static AEAD_NONCE_SIZE],
			       struct span associated, struct span ciphertext, const uint8_t tag[static AEAD_TAG_SIZE],
			       uint8_t *ret_plaintext);

#endif
