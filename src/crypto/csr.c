#include "crypto/csr.h"

#include "crypto/certificate.h"
#include "crypto/der.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#define RSA_BITS_MIN	   2048
#define RSA_BITS_MAX	   4096
#define RSA_EXPONENT	   65537
#define POINT_UNCOMPRESSED 0x04

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

/*
 * What stands before the key's bits in a SubjectPublicKeyInfo: for these keys the whole DER is this and bits of a
 * fixed number, so comparing it spares OpenSSL's encoder (four fifths of the time to judge a CSR).
 */
static const struct spki_prefix {
	int curve; /* NID_undef for Ed25519 */
	size_t prefix_size, key_size;
	const char *prefix;
} spki_prefixes[] = {
	{NID_X9_62_prime256v1, 26, 65,
	 "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"},
	{NID_secp384r1, 23, 97,
	 "\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"},
	{NID_undef, 12, 32, "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"},
};

static bool has_prefix(struct span spki, int curve)
{
	for (size_t i = 0; i < sizeof(spki_prefixes) / sizeof(spki_prefixes[0]); i++) {
		const struct spki_prefix *one = &spki_prefixes[i];

		if (one->curve == curve)
			return spki.size == one->prefix_size + one->key_size &&
			       memcmp(spki.data, one->prefix, one->prefix_size) == 0;
	}
	return false;
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

	if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA)
		is_good = is_encoding_of(bytes, pkey);
	else
		is_good = has_prefix(bytes, EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC ? named_curve(spki) : NID_undef);
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

enum result csr_parse(struct span der, X509_REQ **ret_request, struct note *note)
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

enum result csr_check(struct span der, uint8_t ret_spki_sha256[static SHA256_SIZE], struct note *note)
{
	OPENSSL_CLEANUP(X509_REQ) X509_REQ *request = NULL;

	TRY(csr_parse(der, &request, note));
	return spki_sha256(X509_REQ_get_X509_PUBKEY(request), ret_spki_sha256);
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
