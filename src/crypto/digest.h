/*
 * SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869). Algorithms are fetched once
 * per process (crypto_init) and contexts are reused: HMAC() with its implicit fetch costs six times as much.
 */
#ifndef VINVEIL_CRYPTO_DIGEST_H
#define VINVEIL_CRYPTO_DIGEST_H

#include "base/result.h"
#include "base/span.h"

#define SHA256_SIZE 32

/*
 * Once, at program start, before any thread and any other call of crypto/: gives OpenSSL the wiping
 * allocator and fetches algorithms. OpenSSL's configuration file is not read, so neither OPENSSL_CONF nor
 * /etc decides what this process accepts. RESULT_UNAVAILABLE when OpenSSL cannot serve. Again: does nothing.
 */
MUST_USE enum result crypto_init(struct note *note);
/* The same inside a program of somebody else's that uses OpenSSL already (a broker): leaves its allocator. */
MUST_USE enum result crypto_init_as_guest(struct note *note);

/* What is kept for the calling thread goes. It does by itself when a thread ends; one that nobody joins does it before
   it says that it is done. */
void crypto_end_thread(void);

/* One call; thread-safe (a context per thread inside). A failure of OpenSSL here is memory only. */
MUST_USE enum result sha256(struct span bytes, uint8_t ret_digest[static SHA256_SIZE]);
/* Of the concatenation of parts. */
MUST_USE enum result sha256_parts(const struct span *parts, size_t count, uint8_t ret_digest[static SHA256_SIZE]);

/* A keyed context for many messages. Not thread-safe: one a thread. */
struct hmac_key;
MUST_USE enum result hmac_key_open(struct span key, struct hmac_key **ret_key);
void hmac_key_close(struct hmac_key *key);
MUST_USE enum result hmac_sha256(struct hmac_key *key, struct span message, uint8_t ret_code[static SHA256_SIZE]);

#define HKDF_SIZE_MAX ((size_t)255 * SHA256_SIZE)
/* Extract and expand. RESULT_INVALID for a size of 0 or beyond HKDF_SIZE_MAX. Thread-safe. */
MUST_USE enum result hkdf_sha256(struct span secret, struct span salt, struct span info, uint8_t *ret_key, size_t size);

#endif
