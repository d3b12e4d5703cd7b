#include "crypto/csr.h"

#include "crypto/certificate.h"
#include "crypto/der.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 4096
#define RSA_EXPONENT 65537

/* What is refused is refused in fixed words: they go to the caller, and nothing of the CSR may. */
static enum result refuse(struct note *note, const char *reason)
{
	ERR_clear_error();
	note_set(note, "%s", reason);
	return RESULT_INVALID;
}

static bool is_only_blank(struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (strchr(" \t\r\n", text.data[i]) == NULL || text.data[i] == '\0')
			return false;
	}
	return true;
}

/* A second request behind the first would leave open which one was meant. */
static bool has_text_behind(struct span text)
{
	static const char end[] = "REQUEST-----";
	const uint8_t *at = memmem(text.data, text.size, "-----END ", 9);
	const uint8_t *behind;

	if (at == NULL)
		return false;
	at = memmem(at, text.size - (size_t)(at - text.data), end, strlen(end));
	if (at == NULL)
		return false;
	behind = at + strlen(end);
	return !is_only_blank(span_of(behind, text.size - (size_t)(behind - text.data)));
}

enum result csr_decode(struct span text, struct buf *ret_der, struct note *note)
{
	enum result result;

	if (text.size == 0 || text.size > CSR_TEXT_SIZE_MAX)
		return refuse(note, text.size == 0 ? "the CSR is empty" : "the CSR is too large");
	if (has_text_behind(text))
		return refuse(note, "there is something behind the CSR");
	result = pem_decode(text, "CERTIFICATE REQUEST", CSR_SIZE_MAX, ret_der);
	if (result == RESULT_ABSENT)
		result = pem_decode(text, "NEW CERTIFICATE REQUEST", CSR_SIZE_MAX, ret_der);
	if (result == RESULT_ABSENT)
		result = base64_decode_lines(text, CSR_SIZE_MAX, ret_der);
	if (result == RESULT_INVALID)
		return refuse(note, "the CSR is neither one PEM CERTIFICATE REQUEST nor base64 of DER");
	return result;
}

/* The named curve of an EC key, as the CSR spells it; NID_undef for explicit parameters. */
static int named_curve(X509_PUBKEY *spki)
{
	X509_ALGOR *algorithm;
	const void *parameter;
	int kind;

	if (X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm, spki) != 1)
		return NID_undef;
	X509_ALGOR_get0(NULL, &kind, &parameter, algorithm);
	return kind == V_ASN1_OBJECT ? OBJ_obj2nid(parameter) : NID_undef;
}

static const char *judge_ec(X509_PUBKEY *spki)
{
	const unsigned char *point;
	int curve = named_curve(spki);
	int size;

	if (curve != NID_X9_62_prime256v1 && curve != NID_secp384r1)
		return "the CSR's elliptic curve must be P-256 or P-384, by name";
	if (X509_PUBKEY_get0_param(NULL, &point, &size, NULL, spki) != 1 || size < 1 || *point != POINT_UNCOMPRESSED)
		return "the CSR's public key must be an uncompressed point";
	return NULL;
}

static const char *judge_rsa(const EVP_PKEY *pkey)
{
	BIGNUM *exponent = NULL;
	bool is_good;
	int bits = EVP_PKEY_get_bits(pkey);

	if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
		return "the CSR's RSA key must have 2048 to 4096 bits";
	is_good = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 &&
		  BN_is_word(exponent, RSA_EXPONENT) == 1;
	BN_free(exponent);
	return is_good ? NULL : "the CSR's RSA exponent must be 65537";
}

static bool is_encoding_of(struct span spki, EVP_PKEY *pkey)
{
	unsigned char *canonical = NULL;
	int size = i2d_PUBKEY(pkey, &canonical);
	bool is_equal = size > 0 && span_equal(spki, span_of(canonical, (size_t)size));

	OPENSSL_free(canonical);
	return is_equal;
}

/* One key must have one encoding, or a reused key would not be known again by its hash. */
static bool is_canonical(X509_PUBKEY *spki, EVP_PKEY *pkey)
{
	unsigned char *given = NULL;
	int size = i2d_X509_PUBKEY(spki, &given);
	struct span bytes = span_of(given, size > 0 ? (size_t)size : 0);
	bool is_good;

	/* For all but RSA, comparing what stands before the bits spares OpenSSL's slow encoder. */
	if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA)
		is_good = is_encoding_of(bytes, pkey);
	else
		is_good = plain_key_find(bytes) != NULL;
	OPENSSL_free(given);
	return is_good;
}

static const char *judge_key(X509_REQ *request)
{
	X509_PUBKEY *spki = X509_REQ_get_X509_PUBKEY(request);
	EVP_PKEY *pkey = X509_REQ_get0_pubkey(request);
	const char *fault = NULL;

	if (pkey == NULL)
		return "the CSR's public key cannot be read";
	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_EC:
		fault = judge_ec(spki);
		break;
	case EVP_PKEY_RSA:
		fault = judge_rsa(pkey);
		break;
	case EVP_PKEY_ED25519:
		break;
	default:
		return "the CSR's key must be P-256, P-384, Ed25519 or RSA";
	}
	if (fault == NULL && !is_canonical(spki, pkey))
		return "the CSR's public key is not in its canonical encoding";
	return fault;
}

static const char *judge_signature(X509_REQ *request)
{
	switch (X509_REQ_get_signature_nid(request)) {
	case NID_ecdsa_with_SHA256:
	case NID_ecdsa_with_SHA384:
	case NID_ecdsa_with_SHA512:
	case NID_sha256WithRSAEncryption:
	case NID_sha384WithRSAEncryption:
	case NID_sha512WithRSAEncryption:
	case NID_ED25519:
		break;
	default:
		return "the CSR's signature must use SHA-256, SHA-384, SHA-512 or Ed25519";
	}
	/* The key was judged before: verifying under a giant RSA key would be a gift of time. */
	if (X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) != 1)
		return "the CSR's own signature does not verify";
	return NULL;
}

static const char *judge(X509_REQ *request)
{
	const char *fault;

	if (X509_REQ_get_version(request) != X509_REQ_VERSION_1)
		return "the CSR's version must be 1";
	fault = judge_key(request);
	return fault != NULL ? fault : judge_signature(request);
}

static enum result parse(struct span der, X509_REQ **ret_request, struct note *note)
{
	const unsigned char *at = der.data;
	X509_REQ *request;
	const char *fault;

	if (der.size == 0 || der.size > CSR_SIZE_MAX)
		return refuse(note, der.size == 0 ? "the CSR is empty" : "the CSR is too large");
	if (!der_is_framed(der))
		return refuse(note, "the CSR is not DER, is cut off, or has bytes behind it");
	request = d2i_X509_REQ(NULL, &at, (long)der.size);
	if (request == NULL)
		return refuse(note, "the CSR is not a PKCS #10 certification request");
	fault = at == der.data + der.size ? judge(request) : "the CSR has bytes behind it";
	if (fault != NULL) {
		X509_REQ_free(request);
		return refuse(note, fault);
	}
	*ret_request = request;
	return RESULT_OK;
}

static enum result copy_key(X509_PUBKEY *spki, struct csr_key *key)
{
	const unsigned char *bits;
	X509_ALGOR *algorithm;
	ASN1_OBJECT *kind;
	const void *parameter;
	int size;

	if (X509_PUBKEY_get0_param(&kind, &bits, &size, &algorithm, spki) != 1)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	X509_ALGOR_get0(NULL, &key->parameter_kind, &parameter, algorithm);
	key->algorithm = OBJ_obj2nid(kind);
	key->curve = key->parameter_kind == V_ASN1_OBJECT ? OBJ_obj2nid(parameter) : NID_undef;
	TRY(spki_sha256(spki, key->spki_sha256));
	return buf_append(&key->bits, span_of(bits, (size_t)size));
}

static enum result judge_any(struct span der, struct csr_key *key, struct note *note)
{
	OPENSSL_CLEANUP(X509_REQ) X509_REQ *request = NULL;

	TRY(parse(der, &request, note));
	return copy_key(X509_REQ_get_X509_PUBKEY(request), key);
}

/* ---- in plain form -------------------------------------------------------------------------------- */

/* NULL when the point is not on its curve, too. */
static EVP_PKEY *open_key(const struct plain_csr *csr)
{
	EVP_PKEY *pkey;

	if (csr->kind->algorithm == EVP_PKEY_ED25519)
		return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, csr->key.data, csr->key.size);
	pkey = EVP_PKEY_dup(csr->kind->curve == NID_secp384r1 ? algorithms.p384 : algorithms.p256);
	if (pkey != NULL && EVP_PKEY_set1_encoded_public_key(pkey, csr->key.data, csr->key.size) != 1) {
		EVP_PKEY_free(pkey);
		return NULL;
	}
	return pkey;
}

static const EVP_MD *digest_of(int nid)
{
	switch (nid) {
	case NID_sha256:
		return algorithms.sha256;
	case NID_sha384:
		return EVP_sha384();
	case NID_sha512:
		return EVP_sha512();
	default:
		return NULL;
	}
}

static bool is_signed(const struct plain_csr *csr, EVP_PKEY *pkey)
{
	OPENSSL_CLEANUP(EVP_MD_CTX) EVP_MD_CTX *context = EVP_MD_CTX_new();

	return context != NULL && EVP_DigestVerifyInit(context, NULL, digest_of(csr->digest), NULL, pkey) == 1 &&
	       EVP_DigestVerify(context, csr->signature.data, csr->signature.size, csr->signed_part.data,
				csr->signed_part.size) == 1;
}

/* False leaves it to judge_any(), which finds out why. */
static bool is_good(const struct plain_csr *csr)
{
	OPENSSL_CLEANUP(EVP_PKEY) EVP_PKEY *pkey = open_key(csr);
	bool good = pkey != NULL && is_signed(csr, pkey);

	ERR_clear_error();
	return good;
}

static enum result read_key(const struct plain_csr *csr, struct csr_key *key)
{
	key->algorithm = csr->kind->algorithm;
	key->parameter_kind = csr->kind->curve == NID_undef ? V_ASN1_UNDEF : V_ASN1_OBJECT;
	key->curve = csr->kind->curve;
	TRY(sha256(csr->spki, key->spki_sha256));
	return buf_append(&key->bits, csr->key);
}

/* ---- either way ----------------------------------------------------------------------------------- */

void csr_key_release(struct csr_key *key)
{
	buf_release(&key->bits);
}

enum result csr_judge(struct span der, struct csr_key *ret_key, struct note *note)
{
	struct csr_key key = {0};
	struct plain_csr csr;
	enum result result;

	if (der.size <= CSR_SIZE_MAX && csr_read_plain(der, &csr) && is_good(&csr))
		result = read_key(&csr, &key);
	else
		result = judge_any(der, &key, note);
	if (result == RESULT_OK)
		*ret_key = key;
	else
		csr_key_release(&key);
	return result;
}

enum result csr_check(struct span der, uint8_t ret_spki_sha256[static SHA256_SIZE], struct note *note)
{
	CSR_KEY_CLEANUP struct csr_key key = {0};

	TRY(csr_judge(der, &key, note));
	memcpy(ret_spki_sha256, key.spki_sha256, SHA256_SIZE);
	return RESULT_OK;
}

enum result csr_read_key(struct span der, uint8_t ret_spki_sha256[static SHA256_SIZE], struct note *note)
{
	struct plain_csr csr;

	if (der.size <= CSR_SIZE_MAX && csr_read_plain(der, &csr))
		return sha256(csr.spki, ret_spki_sha256);
	return csr_check(der, ret_spki_sha256, note);
}

enum result csr_make(const struct private_key *key, struct buf *ret_der, struct note *note)
{
	OPENSSL_CLEANUP(X509_REQ) X509_REQ *request = X509_REQ_new();
	EVP_PKEY *pkey = private_key_pkey(key);

	if (request == NULL || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
	    X509_REQ_set_pubkey(request, pkey) != 1 || X509_REQ_sign(request, pkey, signature_digest(pkey)) <= 0)
		return openssl_failure(RESULT_MEMORY, note, "cannot make a CSR");
	return der_append_request(ret_der, request);
}
