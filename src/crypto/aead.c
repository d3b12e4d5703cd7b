#include "crypto/aead.h"

#include "base/buf.h"
#include "base/secret.h"
#include "crypto/library.h"

#include <openssl/err.h>

#include <limits.h>

/* EVP counts in int; far above any message here. */
#define MESSAGE_SIZE_MAX ((size_t)1 << 30)

static bool sizes_are_good(struct span associated, struct span message)
{
	return associated.size <= MESSAGE_SIZE_MAX && message.size <= MESSAGE_SIZE_MAX;
}

/* A keyed context would outlive the call: the key schedule of zeros overwrites it. */
static bool forget_key(EVP_CIPHER_CTX *context, bool encrypting)
{
	static const uint8_t zeros[AEAD_KEY_SIZE];

	return EVP_CipherInit_ex2(context, NULL, zeros, zeros, encrypting ? 1 : 0, NULL) == 1;
}

static bool seal(EVP_CIPHER_CTX *context, struct span associated, struct span plaintext, uint8_t *ret_ciphertext,
		 uint8_t ret_tag[static AEAD_TAG_SIZE])
{
	int size;

	if (associated.size > 0 && EVP_EncryptUpdate(context, NULL, &size, associated.data, (int)associated.size) != 1)
		return false;
	if (plaintext.size > 0 &&
	    EVP_EncryptUpdate(context, ret_ciphertext, &size, plaintext.data, (int)plaintext.size) != 1)
		return false;
	return EVP_EncryptFinal_ex(context, ret_tag, &size) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, ret_tag) == 1;
}

enum result aead_seal(const uint8_t key[static AEAD_KEY_SIZE], const uint8_t nonce[static AEAD_NONCE_SIZE],
		      struct span associated, struct span plaintext, uint8_t *ret_ciphertext,
		      uint8_t ret_tag[static AEAD_TAG_SIZE])
{
	struct thread_contexts *contexts = thread_contexts_get();
	bool good;

	if (contexts == NULL)
		return RESULT_MEMORY;
	if (!sizes_are_good(associated, plaintext))
		return RESULT_INVALID;
	good = EVP_EncryptInit_ex2(contexts->seal, NULL, key, nonce, NULL) == 1 &&
	       seal(contexts->seal, associated, plaintext, ret_ciphertext, ret_tag);
	if (!forget_key(contexts->seal, true) || !good) {
		ERR_clear_error();
		return RESULT_MEMORY;
	}
	return RESULT_OK;
}

static enum result open_into(EVP_CIPHER_CTX *context, struct span associated, struct span ciphertext,
			     const uint8_t tag[static AEAD_TAG_SIZE], uint8_t *plaintext)
{
	uint8_t expected[AEAD_TAG_SIZE];
	uint8_t rest[AEAD_TAG_SIZE];
	int size;

	memcpy(expected, tag, AEAD_TAG_SIZE);
	if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE, expected) != 1)
		return RESULT_MEMORY;
	if (associated.size > 0 && EVP_DecryptUpdate(context, NULL, &size, associated.data, (int)associated.size) != 1)
		return RESULT_MEMORY;
	if (ciphertext.size > 0 &&
	    EVP_DecryptUpdate(context, plaintext, &size, ciphertext.data, (int)ciphertext.size) != 1)
		return RESULT_MEMORY;
	return EVP_DecryptFinal_ex(context, rest, &size) == 1 ? RESULT_OK : RESULT_CORRUPT;
}

/* GCM writes the plaintext before it knows the tag, so it writes into a place of ours first. */
enum result aead_open(const uint8_t key[static AEAD_KEY_SIZE], const uint8_t nonce[static AEAD_NONCE_SIZE],
		      struct span associated, struct span ciphertext, const uint8_t tag[static AEAD_TAG_SIZE],
		      uint8_t *ret_plaintext)
{
	BUF_CLEANUP struct buf plaintext = {.size_max = MESSAGE_SIZE_MAX};
	struct thread_contexts *contexts = thread_contexts_get();
	enum result result;
	uint8_t *room;

	if (contexts == NULL)
		return RESULT_MEMORY;
	if (!sizes_are_good(associated, ciphertext))
		return RESULT_INVALID;
	TRY(buf_reserve(&plaintext, ciphertext.size, &room));
	result = RESULT_MEMORY;
	if (EVP_DecryptInit_ex2(contexts->open, NULL, key, nonce, NULL) == 1)
		result = open_into(contexts->open, associated, ciphertext, tag, room);
	if (!forget_key(contexts->open, false) && result == RESULT_OK)
		result = RESULT_MEMORY;
	if (result == RESULT_OK && ciphertext.size > 0)
		memcpy(ret_plaintext, room, ciphertext.size);
	plaintext.size = ciphertext.size; /* so that releasing wipes it */
	ERR_clear_error();
	return result;
}
