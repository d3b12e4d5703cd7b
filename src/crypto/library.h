/*
 * What the files of this folder share about OpenSSL. Private to crypto/: no other folder may see an OpenSSL
 * type, so nobody else includes this.
 */
#ifndef VINVEIL_CRYPTO_LIBRARY_H
#define VINVEIL_CRYPTO_LIBRARY_H

#include "base/buf.h"
#include "crypto/digest.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* Fetched once by crypto_init() and never freed: an implicit fetch costs more than the hash itself. */
struct algorithms {
	EVP_MD *sha256;
	EVP_MAC *hmac;
	EVP_CIPHER *aes_256_gcm;
	EVP_PKEY *p256, *p384; /* the curves alone, without a key: to be copied and given one */
};
extern struct algorithms algorithms;

/*
 * Contexts of the calling thread, freed when it ends. Between two calls they hold no trace of the last
 * message or key: whoever uses one puts it back as it was (freshly initialised, or keyed with zeros).
 */
struct thread_contexts {
	EVP_MD_CTX *sha256;
	EVP_MAC_CTX *hmac;
	EVP_CIPHER_CTX *seal;
	EVP_CIPHER_CTX *open;
};
/* NULL when the memory is used up. */
struct thread_contexts *thread_contexts_get(void);
/* After a failure that may have left one of them without its state; the next get makes them anew. */
void thread_contexts_drop(void);

/* An HMAC-SHA-256 context without a key; NULL when the memory is used up. */
EVP_MAC_CTX *hmac_context_new(void);

/*
 * Empties OpenSSL's error queue into the note (reason words only: the data that OpenSSL attaches may quote
 * input) and returns `result`, so that a failing call is one line: return openssl_failure(…).
 */
enum result openssl_failure(enum result result, struct note *note, const char *what);

/* Append the DER. */
MUST_USE enum result der_append_request(struct buf *buf, X509_REQ *request);
MUST_USE enum result der_append_certificate(struct buf *buf, X509 *certificate);
MUST_USE enum result der_append_crl(struct buf *buf, X509_CRL *crl);

/* SHA-256 of the DER SubjectPublicKeyInfo. */
MUST_USE enum result spki_sha256(X509_PUBKEY *spki, uint8_t ret_digest[static SHA256_SIZE]);

/* The digest a key signs with here: SHA-256, or none for Ed25519, which brings its own. */
const EVP_MD *signature_digest(const EVP_PKEY *pkey);

struct private_key;
/* The key inside; lives as long as `key`. */
EVP_PKEY *private_key_pkey(const struct private_key *key);
/* A private key of any kind (a TLS server may have RSA) from a private file, or from PEM. */
MUST_USE enum result pkey_from_pem(struct span pem, const char *passphrase, EVP_PKEY **ret_pkey, struct note *note);
MUST_USE enum result pkey_read(const char *path, EVP_PKEY **ret_pkey, struct note *note);

#define DEFINE_OPENSSL_CLEANUP(type)                     \
	static inline void type##_cleanup(type **object) \
	{                                                \
		type##_free(*object);                    \
	}
#define OPENSSL_CLEANUP(type) __attribute__((cleanup(type##_cleanup)))

static inline void BIO_cleanup(BIO **bio)
{
	BIO_free_all(*bio);
}
DEFINE_OPENSSL_CLEANUP(EVP_MD_CTX)
DEFINE_OPENSSL_CLEANUP(EVP_PKEY)
DEFINE_OPENSSL_CLEANUP(PKCS8_PRIV_KEY_INFO)
DEFINE_OPENSSL_CLEANUP(X509)
DEFINE_OPENSSL_CLEANUP(X509_CRL)
DEFINE_OPENSSL_CLEANUP(X509_REQ)

#endif
