#include "crypto/csr.h"
#include "support.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

/* ---- CSRs as others make them, with OpenSSL ------------------------------------------------------------ */

static EVP_PKEY *ec_key(const char *curve)
{
	EVP_PKEY *key = EVP_EC_gen(curve);

	assert_non_null(key);
	return key;
}

static EVP_PKEY *rsa_key(size_t bits)
{
	EVP_PKEY *key = EVP_RSA_gen(bits);

	assert_non_null(key);
	return key;
}

static EVP_PKEY *rsa_key_with_exponent(unsigned long word)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *exponent = BN_new();
	EVP_PKEY *key = NULL;

	assert_int_equal(BN_set_word(exponent, word), 1);
	assert_int_equal(EVP_PKEY_keygen_init(context), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048), 1);
	assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, exponent), 1);
	assert_int_equal(EVP_PKEY_generate(context, &key), 1);
	BN_free(exponent);
	EVP_PKEY_CTX_free(context);
	return key;
}

static EVP_PKEY *ec_key_with(const char *parameter, const char *value)
{
	EVP_PKEY *key = ec_key("P-256");

	assert_int_equal(EVP_PKEY_set_utf8_string_param(key, parameter, value), 1);
	return key;
}

static EVP_PKEY *dsa_key(void)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
	EVP_PKEY *parameters = NULL, *key = NULL;

	assert_int_equal(EVP_PKEY_paramgen_init(context), 1);
	assert_int_equal(EVP_PKEY_CTX_set_dsa_paramgen_bits(context, 1024), 1);
	assert_int_equal(EVP_PKEY_paramgen(context, &parameters), 1);
	EVP_PKEY_CTX_free(context);
	context = EVP_PKEY_CTX_new_from_pkey(NULL, parameters, NULL);
	assert_int_equal(EVP_PKEY_keygen_init(context), 1);
	assert_int_equal(EVP_PKEY_generate(context, &key), 1);
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(parameters);
	return key;
}

static X509_REQ *request_for(EVP_PKEY *key)
{
	X509_REQ *request = X509_REQ_new();
	X509_NAME *subject = X509_REQ_get_subject_name(request);

	assert_int_equal(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC,
						    (const unsigned char *)"a name that is ignored", -1, -1, 0),
			 1);
	assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
	return request;
}

static void encode(X509_REQ *request, struct buf *ret_der)
{
	unsigned char *encoding = NULL;
	int size = i2d_X509_REQ(request, &encoding);

	assert_true(size > 0);
	assert_ok(buf_append(ret_der, span_of(encoding, (size_t)size)));
	OPENSSL_free(encoding);
}

/* Takes the key. */
static void make_csr(EVP_PKEY *take_key, const EVP_MD *digest, struct buf *ret_der)
{
	X509_REQ *request = request_for(take_key);

	assert_true(X509_REQ_sign(request, take_key, digest) > 0);
	encode(request, ret_der);
	X509_REQ_free(request);
	EVP_PKEY_free(take_key);
}

static void assert_good(EVP_PKEY *take_key, const EVP_MD *digest)
{
	uint8_t hash[SHA256_SIZE], expected[SHA256_SIZE];
	unsigned char *spki = NULL;
	int spki_size = i2d_PUBKEY(take_key, &spki);
	BUF_CLEANUP struct buf der = {0};
	struct note note = {0};

	assert_true(spki_size > 0);
	assert_ok(sha256(span_of(spki, (size_t)spki_size), expected));
	OPENSSL_free(spki);
	make_csr(take_key, digest, &der);
	if (csr_check(buf_span(&der), hash, &note) != RESULT_OK)
		fail_msg("refused: %s", note.text);
	assert_memory_equal(hash, expected, SHA256_SIZE);
	memset(hash, 0, sizeof(hash));
	assert_ok(csr_read_key(buf_span(&der), hash, NULL));
	assert_memory_equal(hash, expected, SHA256_SIZE);
}

static void assert_bad_der(struct span der, const char *said)
{
	uint8_t hash[SHA256_SIZE];
	struct note note = {0};

	assert_result(csr_check(der, hash, &note), RESULT_INVALID);
	if (strstr(note.text, said) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", note.text, said);
}

static void assert_bad(EVP_PKEY *take_key, const EVP_MD *digest, const char *said)
{
	BUF_CLEANUP struct buf der = {0};

	make_csr(take_key, digest, &der);
	assert_bad_der(buf_span(&der), said);
}

/* ---- keys and signatures ------------------------------------------------------------------------------- */

static void good_keys_are_accepted(void **state)
{
	(void)state;
	assert_good(ec_key("P-256"), EVP_sha256());
	assert_good(ec_key("P-256"), EVP_sha512());
	assert_good(ec_key("P-384"), EVP_sha384());
	assert_good(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL);
	assert_good(rsa_key(2048), EVP_sha256());
	assert_good(rsa_key(3072), EVP_sha384());
}

static void other_keys_are_refused(void **state)
{
	(void)state;
	assert_bad(rsa_key(1024), EVP_sha256(), "2048 to 4096");
	assert_bad(rsa_key(2047), EVP_sha256(), "2048 to 4096");
	assert_bad(rsa_key_with_exponent(3), EVP_sha256(), "exponent");
	assert_bad(ec_key("P-192"), EVP_sha256(), "P-256 or P-384");
	assert_bad(ec_key("P-224"), EVP_sha256(), "P-256 or P-384");
	assert_bad(ec_key("P-521"), EVP_sha256(), "P-256 or P-384");
	assert_bad(ec_key("secp256k1"), EVP_sha256(), "P-256 or P-384");
	assert_bad(ec_key("brainpoolP256r1"), EVP_sha256(), "P-256 or P-384");
	assert_bad(dsa_key(), EVP_sha256(), "P-256, P-384, Ed25519 or RSA");
	assert_bad(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), NULL, "P-256, P-384, Ed25519 or RSA");
}

/* The same curve, or the same point, in another encoding would hash to another key. */
static void other_encodings_of_good_keys_are_refused(void **state)
{
	(void)state;
	assert_bad(ec_key_with(OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_EXPLICIT), EVP_sha256(), "by name");
	assert_bad(ec_key_with(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
			       OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_COMPRESSED),
		   EVP_sha256(), "uncompressed");
}

static void weak_signatures_are_refused(void **state)
{
	(void)state;
	assert_bad(ec_key("P-256"), EVP_sha1(), "SHA-256");
	assert_bad(rsa_key(2048), EVP_sha1(), "SHA-256");
	assert_bad(rsa_key(2048), EVP_md5(), "SHA-256");
	assert_bad(ec_key("P-256"), EVP_sha224(), "SHA-256");
}

static void possession_must_be_proven(void **state)
{
	EVP_PKEY *key = ec_key("P-256"), *other = ec_key("P-256");
	X509_REQ *request = request_for(key);
	BUF_CLEANUP struct buf der = {0};
	uint8_t hash[SHA256_SIZE];

	(void)state;
	assert_true(X509_REQ_sign(request, other, EVP_sha256()) > 0);
	encode(request, &der);
	assert_bad_der(buf_span(&der), "does not verify");
	assert_ok(csr_read_key(buf_span(&der), hash, NULL)); /* as it says */
	X509_REQ_free(request);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

/* ---- the plain form, and OpenSSL as the judge of what is taken for it -------------------------------------- */

enum oddity {
	ODD_NOT,
	ODD_EXTENSIONS,
	ODD_PASSWORD,
	ODD_SUBJECT_ENCODING,
	ODD_SUBJECT_TEXT,
	ODD_SUBJECT_SET,
	ODD_NO_SUBJECT,
	ODD_END
};

static void make_odd(X509_REQ *request, enum oddity oddity)
{
	X509_NAME *subject = X509_REQ_get_subject_name(request);
	STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
	int good = 1;

	sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:tcu.example"));
	if (oddity == ODD_EXTENSIONS)
		good = X509_REQ_add_extensions(request, extensions);
	else if (oddity == ODD_PASSWORD)
		good = X509_REQ_add1_attr_by_NID(request, NID_pkcs9_challengePassword, MBSTRING_ASC,
						 (const unsigned char *)"password", -1);
	else if (oddity == ODD_SUBJECT_ENCODING)
		good = X509_NAME_add_entry_by_NID(subject, NID_organizationName, V_ASN1_BMPSTRING,
						  (const unsigned char *)"\0a\0b", 4, -1, 0);
	else if (oddity == ODD_SUBJECT_TEXT)
		good = X509_NAME_add_entry_by_NID(subject, NID_organizationName, V_ASN1_UTF8STRING,
						  (const unsigned char *)"M\xc3\xbcller", -1, -1, 0);
	else if (oddity == ODD_SUBJECT_SET)
		good = X509_NAME_add_entry_by_NID(subject, NID_organizationName, MBSTRING_ASC,
						  (const unsigned char *)"second of a set", -1, -1, -1);
	else if (oddity == ODD_NO_SUBJECT)
		X509_NAME_ENTRY_free(X509_NAME_delete_entry(subject, 0));
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	assert_int_equal(good, 1);
}

/* What is not plain is as good. */
static void oddities_are_accepted(void **state)
{
	static const bool is_plain[ODD_END] = {[ODD_NOT] = true, [ODD_EXTENSIONS] = true, [ODD_NO_SUBJECT] = true};

	(void)state;
	for (enum oddity oddity = ODD_NOT; oddity < ODD_END; oddity++) {
		EVP_PKEY *key = ec_key("P-256");
		X509_REQ *request = request_for(key);
		uint8_t hash[SHA256_SIZE], read[SHA256_SIZE], expected[SHA256_SIZE];
		BUF_CLEANUP struct buf der = {0};
		struct plain_csr plain;

		make_odd(request, oddity);
		assert_true(X509_REQ_sign(request, key, EVP_sha256()) > 0);
		encode(request, &der);
		assert_int_equal(csr_read_plain(buf_span(&der), &plain), is_plain[oddity]);
		assert_ok(spki_sha256(X509_REQ_get_X509_PUBKEY(request), expected));
		assert_ok(csr_check(buf_span(&der), hash, NULL));
		assert_ok(csr_read_key(buf_span(&der), read, NULL));
		assert_memory_equal(hash, expected, SHA256_SIZE);
		assert_memory_equal(read, expected, SHA256_SIZE);
		X509_REQ_free(request);
		EVP_PKEY_free(key);
	}
}

static void assert_same_to_openssl(struct span der, const struct plain_csr *plain)
{
	const unsigned char *at = der.data;
	X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)der.size);
	const ASN1_BIT_STRING *signature;
	unsigned char *signed_part = NULL;
	int size;
	uint8_t theirs[SHA256_SIZE], ours[SHA256_SIZE];

	assert_non_null(request);
	assert_ptr_equal(at, der.data + der.size);
	assert_ok(spki_sha256(X509_REQ_get_X509_PUBKEY(request), theirs));
	assert_ok(sha256(plain->spki, ours));
	assert_memory_equal(ours, theirs, SHA256_SIZE);
	X509_REQ_get0_signature(request, &signature, NULL);
	assert_true(span_equal(plain->signature, span_of(signature->data, (size_t)signature->length)));
	size = i2d_re_X509_REQ_tbs(request, &signed_part);
	assert_true(size > 0 && span_equal(plain->signed_part, span_of(signed_part, (size_t)size)));
	OPENSSL_free(signed_part);
	X509_REQ_free(request);
}

/* Whatever is changed: what is still read as plain OpenSSL reads too, and the same, and is refused when judged. */
static void assert_changes_are_judged_alike(struct buf *der, size_t step)
{
	uint8_t hash[SHA256_SIZE];
	struct plain_csr plain;
	size_t read = 0;

	for (size_t bit = 0; bit < 8 * der->size; bit += step) {
		der->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		if (csr_read_plain(buf_span(der), &plain)) {
			assert_same_to_openssl(buf_span(der), &plain);
			read++;
		}
		assert_result(csr_check(buf_span(der), hash, NULL), RESULT_INVALID);
		der->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	assert_true(read > 0);
	assert_ok(csr_check(buf_span(der), hash, NULL));
}

static void changed_csrs_are_judged_alike(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		BUF_CLEANUP struct buf der = {0};
		EVP_PKEY *key = i == 0	 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
				: i == 1 ? ec_key("P-384")
					 : ec_key("P-256");
		X509_REQ *request = request_for(key);

		if (i == 3)
			make_odd(request, ODD_EXTENSIONS);
		assert_true(X509_REQ_sign(request, key, i == 0 ? NULL : EVP_sha384()) > 0);
		encode(request, &der);
		assert_changes_are_judged_alike(&der, i == 1 ? 7 : 1); /* P-384 is slow */
		X509_REQ_free(request);
		EVP_PKEY_free(key);
	}
}

/* X.690 section 8.19.2: of one object there must not be several spellings. */
static void idle_bytes_in_objects_are_refused(void **state)
{
	BUF_CLEANUP struct buf der = {0};
	struct plain_csr plain;
	uint8_t *object;

	(void)state;
	make_csr(ec_key("P-256"), EVP_sha256(), &der);
	object = memmem(der.data, der.size, "\x06\x03\x55\x04\x03", 5); /* commonName */
	assert_non_null(object);
	object[2] = 0x80;
	assert_false(csr_read_plain(buf_span(&der), &plain));
	assert_bad_der(buf_span(&der), "not a PKCS #10");
}

/* A point beside the curve is read, and refused when it is judged. */
static void points_beside_the_curve_are_refused(void **state)
{
	BUF_CLEANUP struct buf der = {0};
	struct plain_csr plain;

	(void)state;
	make_csr(ec_key("P-256"), EVP_sha256(), &der);
	assert_true(csr_read_plain(buf_span(&der), &plain));
	memset(der.data + (plain.key.data - der.data) + 1, 1, plain.key.size - 1);
	assert_true(csr_read_plain(buf_span(&der), &plain));
	assert_bad_der(buf_span(&der), "cannot be read");
}

/* ---- encoding ------------------------------------------------------------------------------------------ */

static void every_truncation_is_refused(void **state)
{
	BUF_CLEANUP struct buf der = {0};
	uint8_t hash[SHA256_SIZE];

	(void)state;
	make_csr(ec_key("P-256"), EVP_sha256(), &der);
	for (size_t size = 0; size < der.size; size++) {
		/* A copy of that size, so that reading beyond it is caught. */
		uint8_t *cut = malloc(size == 0 ? 1 : size);

		memcpy(cut, der.data, size);
		assert_result(csr_check(span_of(cut, size), hash, NULL), RESULT_INVALID);
		free(cut);
	}
}

static void bytes_behind_are_refused(void **state)
{
	BUF_CLEANUP struct buf der = {0};

	(void)state;
	make_csr(ec_key("P-256"), EVP_sha256(), &der);
	assert_ok(buf_append_byte(&der, 0));
	assert_bad_der(buf_span(&der), "bytes behind");
}

/* BER's other spellings of the outer length: indefinite, and longer than needed. */
static void ber_is_refused(void **state)
{
	BUF_CLEANUP struct buf der = {0}, indefinite = {0}, padded = {0};

	(void)state;
	make_csr(ec_key("P-256"), EVP_sha256(), &der);
	assert_int_equal(der.data[1], 0x81); /* below 256 bytes */
	assert_ok(buf_append(&indefinite, span_of("\x30\x80", 2)));
	assert_ok(buf_append(&indefinite, span_of(der.data + 3, der.size - 3)));
	assert_ok(buf_append(&indefinite, span_of("\0\0", 2)));
	assert_bad_der(buf_span(&indefinite), "not DER");
	assert_ok(buf_append(&padded, span_of("\x30\x82\0", 3)));
	assert_ok(buf_append(&padded, span_of(der.data + 2, der.size - 2)));
	assert_bad_der(buf_span(&padded), "not DER");
}

static void deep_nesting_is_refused(void **state)
{
	uint8_t nested[400];
	size_t size = 0;

	(void)state;
	for (int i = 0; i < 60; i++) {
		nested[size++] = 0x30;
		nested[size++] = (uint8_t)(118 - 2 * i);
	}
	assert_bad_der(span_of(nested, size), "not DER");
}

static void too_large_is_refused(void **state)
{
	static uint8_t large[CSR_SIZE_MAX + 1];

	(void)state;
	assert_bad_der(span_of(large, sizeof(large)), "too large");
	assert_bad_der(span_of(NULL, 0), "empty");
}

static void another_version_is_refused(void **state)
{
	EVP_PKEY *key = ec_key("P-256");
	X509_REQ *request = request_for(key);
	BUF_CLEANUP struct buf der = {0};

	(void)state;
	assert_int_equal(X509_REQ_set_version(request, 2), 1);
	assert_true(X509_REQ_sign(request, key, EVP_sha256()) > 0);
	encode(request, &der);
	assert_bad_der(buf_span(&der), "version");
	X509_REQ_free(request);
	EVP_PKEY_free(key);
}

/* ---- text ---------------------------------------------------------------------------------------------- */

#define BEGIN	  "-----BEGIN CERTIFICATE REQUEST-----\n"
#define END	  "-----END CERTIFICATE REQUEST-----\n"
#define BEGIN_NEW "-----BEGIN NEW CERTIFICATE REQUEST-----\n"
#define END_NEW	  "-----END NEW CERTIFICATE REQUEST-----\n"

static void good_text_is_decoded(void **state)
{
	static const char *const texts[] = {
		BEGIN "AAEC\nAwQF\n" END,
		BEGIN "AAEC\r\nAwQF\r\n" END "\r\n\n",
		BEGIN_NEW "AAECAwQF\n" END_NEW,
		"Certificate Request:\n  Data:\n" BEGIN "AAECAwQF\n" END,
		"AAECAwQF",
		" AAEC\n AwQF\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		BUF_CLEANUP struct buf der = {0};

		assert_ok(csr_decode(span_of_text(texts[i]), &der, NULL));
		assert_int_equal(der.size, 6);
		assert_memory_equal(der.data, "\0\1\2\3\4\5", 6);
	}
}

static void bad_text_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"AAEC!",
		"AAE",
		"AAECAx==x",
		BEGIN "AAEC",
		BEGIN END_NEW,
		BEGIN "AAEC*\n" END,
		BEGIN "AAEC\n" END "rest",
		BEGIN "AAEC\n" END BEGIN "AAEC\n" END,
		"-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		BUF_CLEANUP struct buf der = {0};
		struct note note = {0};

		if (csr_decode(span_of_text(texts[i]), &der, &note) != RESULT_INVALID)
			fail_msg("text %zu was accepted", i);
		assert_true(note.text[0] != '\0');
		assert_int_equal(der.size, 0);
	}
}

static void text_is_bounded(void **state)
{
	static uint8_t text[CSR_TEXT_SIZE_MAX + 1];
	BUF_CLEANUP struct buf der = {0};

	(void)state;
	memset(text, 'A', sizeof(text));
	assert_result(csr_decode(span_of(text, sizeof(text)), &der, NULL), RESULT_INVALID);
	assert_result(csr_decode(span_of(text, (CSR_SIZE_MAX / 3 + 2) * 4), &der, NULL), RESULT_INVALID);
	assert_ok(csr_decode(span_of(text, CSR_SIZE_MAX / 3 * 4), &der, NULL));
}

static void a_made_csr_is_good_and_says_nothing(void **state)
{
	static const enum private_key_kind kinds[] = {PRIVATE_KEY_P256, PRIVATE_KEY_ED25519};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		BUF_CLEANUP struct buf der = {0};
		uint8_t hash[SHA256_SIZE];
		struct private_key *key;
		const unsigned char *at;
		X509_REQ *request;

		assert_ok(private_key_generate(kinds[i], &key, NULL));
		assert_ok(csr_make(key, &der, NULL));
		assert_ok(csr_check(buf_span(&der), hash, NULL));
		at = der.data;
		request = d2i_X509_REQ(NULL, &at, (long)der.size);
		assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(request)), 0);
		assert_int_equal(X509_REQ_get_attr_count(request), 0);
		X509_REQ_free(request);
		private_key_release(key);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_keys_are_accepted),
		cmocka_unit_test(other_keys_are_refused),
		cmocka_unit_test(other_encodings_of_good_keys_are_refused),
		cmocka_unit_test(weak_signatures_are_refused),
		cmocka_unit_test(possession_must_be_proven),
		cmocka_unit_test(oddities_are_accepted),
		cmocka_unit_test(changed_csrs_are_judged_alike),
		cmocka_unit_test(idle_bytes_in_objects_are_refused),
		cmocka_unit_test(points_beside_the_curve_are_refused),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(bytes_behind_are_refused),
		cmocka_unit_test(ber_is_refused),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(too_large_is_refused),
		cmocka_unit_test(another_version_is_refused),
		cmocka_unit_test(good_text_is_decoded),
		cmocka_unit_test(bad_text_is_refused),
		cmocka_unit_test(text_is_bounded),
		cmocka_unit_test(a_made_csr_is_good_and_says_nothing),
	};

	return cmocka_run_group_tests(tests, set_up_crypto, NULL);
}
