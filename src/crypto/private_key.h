/*
 * Private keys: P-256 (certificates) and Ed25519 (checkpoints). The key material stays inside OpenSSL's
 * objects; PEM is PKCS #8 (RFC 5958), optionally wrapped by a passphrase (PBES2, RFC 8018, AES-256-CBC with
 * scrypt). Thread-safe to use, not to release.
 */
#ifndef VINVEIL_CRYPTO_PRIVATE_KEY_H
#define VINVEIL_CRYPTO_PRIVATE_KEY_H

#include "base/buf.h"

struct private_key;

enum private_key_kind { PRIVATE_KEY_P256, PRIVATE_KEY_ED25519 };

#define ED25519_PUBLIC_SIZE    32
#define ED25519_SIGNATURE_SIZE 64

#define PASSPHRASE_SIZE_MAX 1024

MUST_USE enum result private_key_generate(enum private_key_kind kind, struct private_key **ret_key, struct note *note);
/*
 * passphrase NULL: not encrypted. Reading with a wrong one, or another kind of key, is RESULT_INVALID with a
 * note; writing with an empty one, or one beyond PASSPHRASE_SIZE_MAX, is RESULT_INVALID.
 */
MUST_USE enum result private_key_from_pem(struct span pem, const char *passphrase, struct private_key **ret_key,
					  struct note *note);
MUST_USE enum result private_key_to_pem(const struct private_key *key, const char *passphrase, struct buf *ret_pem);
/* Reads a file that must be private (file_check_private). */
MUST_USE enum result private_key_read(const char *path, struct private_key **ret_key, struct note *note);
void private_key_release(struct private_key *key);

/* Ed25519 only (RFC 8032). */
MUST_USE enum result ed25519_public(const struct private_key *key, uint8_t ret_public[static ED25519_PUBLIC_SIZE]);
MUST_USE enum result ed25519_sign(const struct private_key *key, struct span message,
				  uint8_t ret_signature[static ED25519_SIGNATURE_SIZE]);
/* RESULT_DENIED when the signature is not good. */
MUST_USE enum result ed25519_verify(const uint8_t public_key[static ED25519_PUBLIC_SIZE], struct span message,
				    const uint8_t signature[static ED25519_SIGNATURE_SIZE]);

#endif
