#include "crypto/library.h"

#include "base/secret.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include <pthread.h>

struct algorithms algorithms;

static pthread_key_t contexts_key;
static _Thread_local struct thread_contexts *contexts_here;

/* OpenSSL hands size 0 and NULL through to its allocator; what it then expects is what its own does. */
static void *allocate(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size == 0 ? NULL : wiping_malloc(size);
}

static void release(void *block, const char *file, int line)
{
	(void)file;
	(void)line;
	wiping_free(block);
}

static void *reallocate(void *block, size_t size, const char *file, int line)
{
	if (block == NULL)
		return allocate(size, file, line);
	if (size == 0) {
		release(block, file, line);
		return NULL;
	}
	return wiping_realloc(block, size);
}

enum result openssl_failure(enum result result, struct note *note, const char *what)
{
	unsigned long code = ERR_get_error();
	const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

	ERR_clear_error();
	if (reason != NULL)
		note_set(note, "%s: %s", what, reason);
	else
		note_set(note, "%s", what);
	return result;
}

static void contexts_free(void *opaque)
{
	struct thread_contexts *contexts = opaque;

	EVP_MD_CTX_free(contexts->sha256);
	EVP_MAC_CTX_free(contexts->hmac);
	EVP_CIPHER_CTX_free(contexts->seal);
	EVP_CIPHER_CTX_free(contexts->open);
	OPENSSL_free(contexts);
	contexts_here = NULL;
}

EVP_MAC_CTX *hmac_context_new(void)
{
	char digest[] = "SHA2-256";
	const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
					 OSSL_PARAM_construct_end()};
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(algorithms.hmac);

	if (context != NULL && EVP_MAC_CTX_set_params(context, parameters) != 1) {
		EVP_MAC_CTX_free(context);
		return NULL;
	}
	return context;
}

static bool contexts_fill(struct thread_contexts *contexts)
{
	contexts->sha256 = EVP_MD_CTX_new();
	contexts->hmac = hmac_context_new();
	contexts->seal = EVP_CIPHER_CTX_new();
	contexts->open = EVP_CIPHER_CTX_new();
	return contexts->sha256 != NULL && contexts->hmac != NULL && contexts->seal != NULL && contexts->open != NULL &&
	       EVP_DigestInit_ex2(contexts->sha256, algorithms.sha256, NULL) == 1 &&
	       EVP_EncryptInit_ex2(contexts->seal, algorithms.aes_256_gcm, NULL, NULL, NULL) == 1 &&
	       EVP_DecryptInit_ex2(contexts->open, algorithms.aes_256_gcm, NULL, NULL, NULL) == 1;
}

static struct thread_contexts *contexts_make(void)
{
	struct thread_contexts *contexts = OPENSSL_zalloc(sizeof(*contexts));

	if (contexts == NULL)
		return NULL;
	if (!contexts_fill(contexts) || pthread_setspecific(contexts_key, contexts) != 0) {
		contexts_free(contexts);
		ERR_clear_error();
		return NULL;
	}
	contexts_here = contexts;
	return contexts;
}

struct thread_contexts *thread_contexts_get(void)
{
	return contexts_here != NULL ? contexts_here : contexts_make();
}

void thread_contexts_drop(void)
{
	if (contexts_here == NULL)
		return;
	(void)!pthread_setspecific(contexts_key, NULL);
	contexts_free(contexts_here);
}

void crypto_end_thread(void)
{
	thread_contexts_drop();
	OPENSSL_thread_stop();
}

static EVP_PKEY *curve_new(char *name)
{
	OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
				   OSSL_PARAM_construct_end()};
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *curve = NULL;

	if (context != NULL && EVP_PKEY_fromdata_init(context) == 1)
		(void)EVP_PKEY_fromdata(context, &curve, EVP_PKEY_KEY_PARAMETERS, parameters);
	EVP_PKEY_CTX_free(context);
	return curve;
}

/* The environment (OPENSSL_CONF) must not decide what this process's cryptography is. */
static enum result fetch_algorithms(struct note *note)
{
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		return openssl_failure(RESULT_UNAVAILABLE, note, "OpenSSL does not start");
	algorithms.sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	algorithms.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	algorithms.aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	algorithms.p256 = curve_new((char[]){"P-256"});
	algorithms.p384 = curve_new((char[]){"P-384"});
	if (algorithms.sha256 == NULL || algorithms.hmac == NULL || algorithms.aes_256_gcm == NULL ||
	    algorithms.p256 == NULL || algorithms.p384 == NULL)
		return openssl_failure(RESULT_UNAVAILABLE, note, "OpenSSL lacks an algorithm");
	if (pthread_key_create(&contexts_key, contexts_free) != 0)
		return openssl_failure(RESULT_UNAVAILABLE, note, "no thread-local storage is left");
	return RESULT_OK;
}

enum result crypto_init_as_guest(struct note *note)
{
	if (algorithms.sha256 != NULL)
		return RESULT_OK;
	return fetch_algorithms(note);
}

enum result crypto_init(struct note *note)
{
	if (algorithms.sha256 != NULL)
		return RESULT_OK;
	if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1)
		return openssl_failure(RESULT_UNAVAILABLE, note, "OpenSSL has allocated memory before crypto_init");
	return fetch_algorithms(note);
}

/* Takes what i2d_… allocated (and whose size, or failure, it returned). */
static enum result append_encoding(struct buf *buf, unsigned char *encoding, int size)
{
	enum result result;

	if (size <= 0)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	result = buf_append(buf, span_of(encoding, (size_t)size));
	OPENSSL_free(encoding);
	return result;
}

enum result der_append_request(struct buf *buf, X509_REQ *request)
{
	unsigned char *encoding = NULL;
	int size = i2d_X509_REQ(request, &encoding);

	return append_encoding(buf, encoding, size);
}

enum result der_append_certificate(struct buf *buf, X509 *certificate)
{
	unsigned char *encoding = NULL;
	int size = i2d_X509(certificate, &encoding);

	return append_encoding(buf, encoding, size);
}

enum result der_append_crl(struct buf *buf, X509_CRL *crl)
{
	unsigned char *encoding = NULL;
	int size = i2d_X509_CRL(crl, &encoding);

	return append_encoding(buf, encoding, size);
}

enum result spki_sha256(X509_PUBKEY *spki, uint8_t ret_digest[static SHA256_SIZE])
{
	unsigned char *encoding = NULL;
	int size = i2d_X509_PUBKEY(spki, &encoding);
	enum result result;

	if (size <= 0)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	result = sha256(span_of(encoding, (size_t)size), ret_digest);
	OPENSSL_free(encoding);
	return result;
}

const EVP_MD *signature_digest(const EVP_PKEY *pkey)
{
	return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_ED25519 ? NULL : algorithms.sha256;
}
