#include "crypto/private_key.h"

#include "base/file.h"
#include "crypto/library.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include <limits.h>

#define PRIVATE_KEY_FILE_SIZE_MAX 16384

struct private_key {
	EVP_PKEY *pkey;
};

/* scrypt (RFC 7914) at 16 MiB and five passes: about a quarter of a second of an attacker's core per guess. */
enum { SCRYPT_COST = 16384, SCRYPT_BLOCK = 8, SCRYPT_PARALLEL = 5, SCRYPT_SALT_SIZE = 16 };

EVP_PKEY *private_key_pkey(const struct private_key *key)
{
	return key->pkey;
}

static bool pkey_is_p256(const EVP_PKEY *pkey)
{
	char group[32];

	return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC &&
	       EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
	       strcmp(group, SN_X9_62_prime256v1) == 0;
}

static enum result wrap(EVP_PKEY *pkey, struct private_key **ret_key)
{
	struct private_key *key = OPENSSL_zalloc(sizeof(*key));

	if (key == NULL) {
		EVP_PKEY_free(pkey);
		return RESULT_MEMORY;
	}
	key->pkey = pkey;
	*ret_key = key;
	return RESULT_OK;
}

enum result private_key_generate(enum private_key_kind kind, struct private_key **ret_key, struct note *note)
{
	EVP_PKEY *pkey = kind == PRIVATE_KEY_P256 ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	if (pkey == NULL)
		return openssl_failure(RESULT_UNAVAILABLE, note, "cannot generate a key");
	return wrap(pkey, ret_key);
}

void private_key_release(struct private_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	OPENSSL_free(key);
}

/* Without a callback of ours OpenSSL would ask on the terminal. */
static int give_passphrase(char *room, int size_max, int writing, void *opaque)
{
	const char *passphrase = opaque;
	size_t size;

	(void)writing;
	if (passphrase == NULL)
		return -1;
	size = strlen(passphrase);
	if (size > (size_t)size_max)
		return -1;
	memcpy(room, passphrase, size);
	return (int)size;
}

enum result pkey_from_pem(struct span pem, const char *passphrase, EVP_PKEY **ret_pkey, struct note *note)
{
	OPENSSL_CLEANUP(BIO) BIO *bio = NULL;
	EVP_PKEY *pkey = NULL;

	if (pem.size == 0 || pem.size > PRIVATE_KEY_FILE_SIZE_MAX) {
		note_set(note, "no private key in PEM form");
		return RESULT_INVALID;
	}
	bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	if (bio == NULL)
		return openssl_failure(RESULT_MEMORY, note, "cannot read a private key");
	pkey = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, (void *)(uintptr_t)passphrase);
	if (pkey == NULL && passphrase != NULL)
		return openssl_failure(RESULT_INVALID, note, "wrong passphrase, or no private key in PEM form");
	if (pkey == NULL)
		return openssl_failure(RESULT_INVALID, note, "no private key in PEM form without a passphrase");
	ERR_clear_error();
	*ret_pkey = pkey;
	return RESULT_OK;
}

enum result private_key_from_pem(struct span pem, const char *passphrase, struct private_key **ret_key,
				 struct note *note)
{
	EVP_PKEY *pkey = NULL;

	TRY(pkey_from_pem(pem, passphrase, &pkey, note));
	if (!pkey_is_p256(pkey) && EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(pkey);
		return openssl_failure(RESULT_INVALID, note, "the private key is neither P-256 nor Ed25519");
	}
	return wrap(pkey, ret_key);
}

static enum result read_private_file(const char *path, struct buf *ret_content, struct note *note)
{
	TRY(file_check_private(path, note));
	return file_read(path, ret_content, note);
}

/* Puts the path before what went wrong: whoever reads the log must know which file to look at. */
static enum result name_file(enum result result, const char *path, const struct note *inner, struct note *note)
{
	if (result != RESULT_OK)
		note_set(note, "%s: %s", path, inner->text);
	return result;
}

enum result pkey_read(const char *path, EVP_PKEY **ret_pkey, struct note *note)
{
	BUF_CLEANUP struct buf pem = {.size_max = PRIVATE_KEY_FILE_SIZE_MAX};
	struct note inner = {0};

	TRY(read_private_file(path, &pem, note));
	return name_file(pkey_from_pem(buf_span(&pem), NULL, ret_pkey, &inner), path, &inner, note);
}

enum result private_key_read(const char *path, struct private_key **ret_key, struct note *note)
{
	BUF_CLEANUP struct buf pem = {.size_max = PRIVATE_KEY_FILE_SIZE_MAX};
	struct note inner = {0};

	TRY(read_private_file(path, &pem, note));
	return name_file(private_key_from_pem(buf_span(&pem), NULL, ret_key, &inner), path, &inner, note);
}

static bool write_plain(BIO *bio, EVP_PKEY *pkey)
{
	return PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1;
}

/* PBES2 with scrypt: OpenSSL's own PEM writer only knows PBKDF2. */
static bool write_wrapped(BIO *bio, EVP_PKEY *pkey, const char *passphrase)
{
	OPENSSL_CLEANUP(PKCS8_PRIV_KEY_INFO) PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(pkey);
	X509_ALGOR *scheme;
	X509_SIG *wrapped;
	bool good;

	if (plain == NULL)
		return false;
	scheme = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, SCRYPT_SALT_SIZE, NULL, SCRYPT_COST, SCRYPT_BLOCK,
				       SCRYPT_PARALLEL);
	if (scheme == NULL)
		return false;
	wrapped = PKCS8_set0_pbe(passphrase, (int)strlen(passphrase), plain, scheme);
	if (wrapped == NULL) {
		X509_ALGOR_free(scheme);
		return false;
	}
	good = PEM_write_bio_PKCS8(bio, wrapped) == 1;
	X509_SIG_free(wrapped);
	return good;
}

enum result private_key_to_pem(const struct private_key *key, const char *passphrase, struct buf *ret_pem)
{
	OPENSSL_CLEANUP(BIO) BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long size;
	bool good;

	if (passphrase != NULL && (*passphrase == '\0' || strlen(passphrase) > PASSPHRASE_SIZE_MAX))
		return RESULT_INVALID;
	if (bio == NULL)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	good = passphrase == NULL ? write_plain(bio, key->pkey) : write_wrapped(bio, key->pkey, passphrase);
	if (!good)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	size = BIO_get_mem_data(bio, &text);
	return buf_append(ret_pem, span_of(text, (size_t)size));
}

enum result ed25519_public(const struct private_key *key, uint8_t ret_public[static ED25519_PUBLIC_SIZE])
{
	size_t size = ED25519_PUBLIC_SIZE;

	if (EVP_PKEY_get_base_id(key->pkey) != EVP_PKEY_ED25519)
		return RESULT_INVALID;
	if (EVP_PKEY_get_raw_public_key(key->pkey, ret_public, &size) != 1)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	return RESULT_OK;
}

enum result ed25519_sign(const struct private_key *key, struct span message,
			 uint8_t ret_signature[static ED25519_SIGNATURE_SIZE])
{
	OPENSSL_CLEANUP(EVP_MD_CTX) EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t size = ED25519_SIGNATURE_SIZE;

	if (EVP_PKEY_get_base_id(key->pkey) != EVP_PKEY_ED25519)
		return RESULT_INVALID;
	if (context == NULL || EVP_DigestSignInit(context, NULL, NULL, NULL, key->pkey) != 1 ||
	    EVP_DigestSign(context, ret_signature, &size, message.data, message.size) != 1)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	return RESULT_OK;
}

enum result ed25519_verify(const uint8_t public_key[static ED25519_PUBLIC_SIZE], struct span message,
			   const uint8_t signature[static ED25519_SIGNATURE_SIZE])
{
	OPENSSL_CLEANUP(EVP_PKEY)
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, ED25519_PUBLIC_SIZE);
	OPENSSL_CLEANUP(EVP_MD_CTX) EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (pkey == NULL || context == NULL || EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) != 1)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	if (EVP_DigestVerify(context, signature, ED25519_SIGNATURE_SIZE, message.data, message.size) != 1)
		return openssl_failure(RESULT_DENIED, NULL, "");
	return RESULT_OK;
}
