#include "crypto/digest.h"

#include "base/secret.h"
#include "crypto/library.h"

#include <openssl/err.h>

struct hmac_key {
	EVP_MAC_CTX *context; /* keyed and ready for a message whenever no call is under way */
	bool is_broken;	      /* it could not be made ready again, for want of memory: OpenSSL would crash on it */
};

/*
 * The context is initialised after the message instead of before: it costs the same, and the state that
 * stays behind in the meantime is that of the empty message and not the digest just given out.
 */
static enum result sha256_finish(EVP_MD_CTX *context, bool good, uint8_t ret_digest[static SHA256_SIZE])
{
	uint8_t digest[SHA256_SIZE];

	good = good && EVP_DigestFinal_ex(context, digest, NULL) == 1;
	if (EVP_DigestInit_ex2(context, NULL, NULL) != 1 || !good) {
		/* Without memory it has no state any more, and OpenSSL would write to where that was. */
		thread_contexts_drop();
		ERR_clear_error();
		return RESULT_MEMORY;
	}
	memcpy(ret_digest, digest, SHA256_SIZE);
	OPENSSL_cleanse(digest, sizeof(digest));
	return RESULT_OK;
}

enum result sha256_parts(const struct span *parts, size_t count, uint8_t ret_digest[static SHA256_SIZE])
{
	struct thread_contexts *contexts = thread_contexts_get();
	bool good = true;

	if (contexts == NULL)
		return RESULT_MEMORY;
	for (size_t i = 0; i < count && good; i++)
		good = EVP_DigestUpdate(contexts->sha256, parts[i].data, parts[i].size) == 1;
	return sha256_finish(contexts->sha256, good, ret_digest);
}

enum result sha256(struct span bytes, uint8_t ret_digest[static SHA256_SIZE])
{
	return sha256_parts(&bytes, 1, ret_digest);
}

/* OpenSSL takes a NULL key to mean "as before"; the empty key must be a pointer all the same. */
static bool hmac_rekey(EVP_MAC_CTX *context, struct span key)
{
	static const uint8_t empty[1];

	return EVP_MAC_init(context, key.size == 0 ? empty : key.data, key.size, NULL) == 1;
}

static bool hmac_finish(EVP_MAC_CTX *context, uint8_t ret_code[static SHA256_SIZE])
{
	size_t size;

	return EVP_MAC_final(context, ret_code, &size, SHA256_SIZE) == 1 && size == SHA256_SIZE;
}

enum result hmac_key_open(struct span key, struct hmac_key **ret_key)
{
	struct hmac_key *opened = OPENSSL_zalloc(sizeof(*opened));

	if (opened == NULL)
		return RESULT_MEMORY;
	opened->context = hmac_context_new();
	if (opened->context == NULL || !hmac_rekey(opened->context, key)) {
		hmac_key_close(opened);
		ERR_clear_error();
		return RESULT_MEMORY;
	}
	*ret_key = opened;
	return RESULT_OK;
}

void hmac_key_close(struct hmac_key *key)
{
	if (key == NULL)
		return;
	EVP_MAC_CTX_free(key->context);
	OPENSSL_free(key);
}

enum result hmac_sha256(struct hmac_key *key, struct span message, uint8_t ret_code[static SHA256_SIZE])
{
	uint8_t code[SHA256_SIZE];
	bool good;

	if (key->is_broken)
		return RESULT_MEMORY;
	good = EVP_MAC_update(key->context, message.data, message.size) == 1 && hmac_finish(key->context, code);
	/* Back to the keyed state, whatever happened: nothing of the message stays in the context. */
	key->is_broken = EVP_MAC_init(key->context, NULL, 0, NULL) != 1;
	if (key->is_broken || !good) {
		ERR_clear_error();
		return RESULT_MEMORY;
	}
	memcpy(ret_code, code, SHA256_SIZE);
	OPENSSL_cleanse(code, sizeof(code));
	return RESULT_OK;
}

/* T(n) = HMAC(PRK, T(n - 1) | info | n), RFC 5869 section 2.3; `context` is keyed with the PRK. */
static bool hkdf_expand(EVP_MAC_CTX *context, struct span info, uint8_t *ret_key, size_t size)
{
	uint8_t block[SHA256_SIZE];
	uint8_t number = 0;
	bool good = true;

	for (size_t done = 0; done < size && good; done += SHA256_SIZE) {
		good = (number == 0 || EVP_MAC_update(context, block, sizeof(block)) == 1) &&
		       EVP_MAC_update(context, info.data, info.size) == 1;
		number++;
		good = good && EVP_MAC_update(context, &number, 1) == 1 && hmac_finish(context, block) &&
		       EVP_MAC_init(context, NULL, 0, NULL) == 1;
		memcpy(ret_key + done, block, size - done < SHA256_SIZE ? size - done : SHA256_SIZE);
	}
	OPENSSL_cleanse(block, sizeof(block));
	return good;
}

enum result hkdf_sha256(struct span secret, struct span salt, struct span info, uint8_t *ret_key, size_t size)
{
	static const uint8_t zeros[SHA256_SIZE];
	struct thread_contexts *contexts = thread_contexts_get();
	uint8_t prk[SHA256_SIZE];
	bool good;

	if (size == 0 || size > HKDF_SIZE_MAX)
		return RESULT_INVALID;
	if (contexts == NULL)
		return RESULT_MEMORY;
	good = hmac_rekey(contexts->hmac, salt) && EVP_MAC_update(contexts->hmac, secret.data, secret.size) == 1 &&
	       hmac_finish(contexts->hmac, prk) && hmac_rekey(contexts->hmac, span_of(prk, sizeof(prk))) &&
	       hkdf_expand(contexts->hmac, info, ret_key, size);
	OPENSSL_cleanse(prk, sizeof(prk));
	/* The thread's context forgets the key. */
	if (!hmac_rekey(contexts->hmac, span_of(zeros, sizeof(zeros))) || !good) {
		thread_contexts_drop();
		OPENSSL_cleanse(ret_key, size);
		ERR_clear_error();
		return RESULT_MEMORY;
	}
	return RESULT_OK;
}
