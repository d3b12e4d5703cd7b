#include "support.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

/* Certificates are judged by parsing what was issued with OpenSSL, field by field. */

#define REFERENCE_ID "0b0e4f2c-9a51-4c0b-8d7e-1f2a3b4c5d6e"
#define FROM_MS	     ((int64_t)1767225600 * 1000) /* 2026-01-01T00:00:00Z */
#define UNTIL_MS     (FROM_MS + 365 * DAY_MS)
#define ROOT_FROM_MS (FROM_MS - 30 * DAY_MS)
#define SERIAL_COUNT 64

static struct issuer *root;

static int set_up(void **state)
{
	if (set_up_crypto(state) != 0)
		return -1;
	root = make_test_root(PRIVATE_KEY_P256, 1, ROOT_FROM_MS);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	issuer_close(root);
	return 0;
}

static void make_csr(struct buf *ret_der)
{
	struct private_key *key;

	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(csr_make(key, ret_der, NULL));
	private_key_release(key);
}

static X509 *parse(struct span der)
{
	const unsigned char *at = der.data;
	X509 *certificate = d2i_X509(NULL, &at, (long)der.size);

	assert_non_null(certificate);
	assert_ptr_equal(at, der.data + der.size);
	return certificate;
}

static struct certificate_request request_of(enum certificate_profile profile, const char *name, struct span csr)
{
	struct certificate_request request = {
		.profile = profile, .name = name, .csr = csr, .not_before_ms = FROM_MS, .not_after_ms = UNTIL_MS};

	assert_ok(uuid_parse(span_of_text(REFERENCE_ID), &request.reference_id));
	return request;
}

struct issued {
	struct buf csr, der;
	struct serial serial;
	X509 *certificate;
};

static void issue(const struct certificate_request *template, struct issued *ret_issued)
{
	struct certificate_request request = *template;
	struct note note = {0};

	*ret_issued = (struct issued){0};
	make_csr(&ret_issued->csr);
	request.csr = buf_span(&ret_issued->csr);
	if (issuer_issue(root, entropy_system(), &request, &ret_issued->der, &ret_issued->serial, &note) != RESULT_OK)
		fail_msg("refused: %s", note.text);
	ret_issued->certificate = parse(buf_span(&ret_issued->der));
}

static void release(struct issued *issued)
{
	X509_free(issued->certificate);
	buf_release(&issued->csr);
	buf_release(&issued->der);
}

/* ---- what every certificate has ------------------------------------------------------------------------ */

static void assert_critical(const X509 *certificate, int nid, bool expected)
{
	int at = X509_get_ext_by_NID(certificate, nid, -1);

	assert_true(at >= 0);
	assert_int_equal(X509_get_ext_by_NID(certificate, nid, at), -1);
	assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(certificate, at)), expected ? 1 : 0);
}

static void assert_subject_is(const X509 *certificate, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	const ASN1_STRING *value;

	assert_int_equal(X509_NAME_entry_count(subject), 1);
	value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, 0));
	assert_int_equal(OBJ_obj2nid(X509_NAME_ENTRY_get_object(X509_NAME_get_entry(subject, 0))), NID_commonName);
	assert_int_equal(ASN1_STRING_type(value), V_ASN1_UTF8STRING);
	assert_true(span_is_text(span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)), name));
}

static void assert_time(const ASN1_TIME *at, int64_t expected_ms)
{
	assert_int_equal(ASN1_TIME_cmp_time_t(at, (time_t)(expected_ms / 1000)), 0);
}

static void assert_serial(const X509 *certificate, const struct serial *serial)
{
	const ASN1_INTEGER *number = X509_get0_serialNumber(certificate);

	assert_int_equal(ASN1_STRING_type(number), V_ASN1_INTEGER); /* not V_ASN1_NEG_INTEGER */
	assert_int_equal(ASN1_STRING_length(number), SERIAL_SIZE);
	assert_memory_equal(ASN1_STRING_get0_data(number), serial->bytes, SERIAL_SIZE);
	assert_int_equal(serial->bytes[0] & 0xc0, 0x40);
}

static void assert_key_usage(X509 *certificate, uint32_t expected)
{
	assert_critical(certificate, NID_key_usage, true);
	assert_int_equal(X509_get_key_usage(certificate), expected);
}

static void assert_only_purpose(const X509 *certificate, int nid)
{
	EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);

	assert_non_null(purposes);
	assert_int_equal(sk_ASN1_OBJECT_num(purposes), 1);
	assert_int_equal(OBJ_obj2nid(sk_ASN1_OBJECT_value(purposes, 0)), nid);
	assert_critical(certificate, NID_ext_key_usage, false);
	EXTENDED_KEY_USAGE_free(purposes);
}

static void assert_basic_constraints(const X509 *certificate, bool is_ca, long path_length)
{
	BASIC_CONSTRAINTS *constraints = X509_get_ext_d2i(certificate, NID_basic_constraints, NULL, NULL);

	assert_non_null(constraints);
	assert_critical(certificate, NID_basic_constraints, true);
	assert_int_equal(constraints->ca != 0, is_ca);
	if (path_length < 0)
		assert_null(constraints->pathlen);
	else
		assert_int_equal(ASN1_INTEGER_get(constraints->pathlen), path_length);
	BASIC_CONSTRAINTS_free(constraints);
}

/* RFC 7093 section 2, method 1: the leftmost 160 bits of SHA-256 of the subjectPublicKey's bits. */
static void assert_subject_key(X509 *certificate)
{
	const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(certificate);
	const ASN1_OCTET_STRING *key_id = X509_get0_subject_key_id(certificate);
	uint8_t digest[SHA256_SIZE];

	assert_ok(sha256(span_of(bits->data, (size_t)bits->length), digest));
	assert_int_equal(ASN1_STRING_length(key_id), 20);
	assert_memory_equal(ASN1_STRING_get0_data(key_id), digest, 20);
	assert_critical(certificate, NID_subject_key_identifier, false);
}

static void assert_issued_by_root(X509 *certificate)
{
	const ASN1_OCTET_STRING *authority = X509_get0_authority_key_id(certificate);
	char issuer[64];

	assert_non_null(authority);
	assert_null(X509_get0_authority_issuer(certificate));
	assert_critical(certificate, NID_authority_key_identifier, false);
	assert_true(X509_NAME_get_text_by_NID(X509_get_issuer_name(certificate), NID_commonName, issuer,
					      sizeof(issuer)) > 0);
	assert_string_equal(issuer, "test root");
}

static void assert_leaf(const struct issued *issued, const char *name, int purpose)
{
	X509 *certificate = issued->certificate;

	assert_int_equal(X509_get_version(certificate), X509_VERSION_3);
	assert_subject_is(certificate, name);
	assert_serial(certificate, &issued->serial);
	assert_time(X509_get0_notBefore(certificate), FROM_MS);
	assert_time(X509_get0_notAfter(certificate), UNTIL_MS);
	assert_int_equal(X509_get_signature_nid(certificate), NID_ecdsa_with_SHA256);
	assert_key_usage(certificate, KU_DIGITAL_SIGNATURE);
	assert_only_purpose(certificate, purpose);
	assert_basic_constraints(certificate, false, -1);
	assert_subject_key(certificate);
	assert_issued_by_root(certificate);
}

/* The public key of the CSR, byte for byte. */
static void assert_key_of_csr(const struct issued *issued)
{
	struct certificate_facts facts;
	uint8_t hash[SHA256_SIZE];

	assert_ok(csr_check(buf_span(&issued->csr), hash, NULL));
	assert_ok(certificate_read_der(buf_span(&issued->der), &facts, NULL));
	assert_memory_equal(facts.spki_sha256, hash, SHA256_SIZE);
}

/* ---- profiles ------------------------------------------------------------------------------------------ */

static void the_device_profile(void **state)
{
	struct certificate_request request = request_of(CERTIFICATE_DEVICE, "not used", span_of(NULL, 0));
	GENERAL_NAMES *names;
	const ASN1_STRING *uri;
	struct issued issued;
	int kind;

	(void)state;
	issue(&request, &issued);
	assert_leaf(&issued, REFERENCE_ID, NID_client_auth);
	assert_key_of_csr(&issued);
	assert_int_equal(X509_get_ext_count(issued.certificate), 6);
	names = X509_get_ext_d2i(issued.certificate, NID_subject_alt_name, NULL, NULL);
	assert_int_equal(sk_GENERAL_NAME_num(names), 1);
	uri = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, 0), &kind);
	assert_int_equal(kind, GEN_URI);
	assert_true(span_is_text(span_of(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri)),
				 "urn:uuid:" REFERENCE_ID));
	assert_critical(issued.certificate, NID_subject_alt_name, false);
	GENERAL_NAMES_free(names);
	release(&issued);
}

static void the_claim_and_operator_profiles(void **state)
{
	static const enum certificate_profile profiles[] = {CERTIFICATE_CLAIM, CERTIFICATE_OPERATOR};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct certificate_request request = request_of(profiles[i], "plant 7", span_of(NULL, 0));
		struct issued issued;

		issue(&request, &issued);
		assert_leaf(&issued, "plant 7", NID_client_auth);
		assert_key_of_csr(&issued);
		assert_int_equal(X509_get_ext_count(issued.certificate), 5); /* no alternative name */
		release(&issued);
	}
}

static void the_server_profile(void **state)
{
	static const char *const alternatives[] = {"localhost", "127.0.0.1", "::1", NULL};
	struct certificate_request request = request_of(CERTIFICATE_SERVER, "api.example.com", span_of(NULL, 0));
	struct issued issued;
	X509 *certificate;

	(void)state;
	request.alternatives = alternatives;
	issue(&request, &issued);
	certificate = issued.certificate;
	assert_leaf(&issued, "api.example.com", NID_server_auth);
	assert_int_equal(X509_check_host(certificate, "api.example.com", 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL),
			 1);
	assert_int_equal(X509_check_host(certificate, "localhost", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(certificate, "example.com", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(certificate, "::1", 0), 1);
	assert_int_equal(X509_check_ip_asc(certificate, "127.0.0.2", 0), 0);
	release(&issued);
}

static X509_STORE *store_with(struct span root_pem, struct span intermediate_der)
{
	BIO *bio = BIO_new_mem_buf(root_pem.data, (int)root_pem.size);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	X509_STORE *store = X509_STORE_new();

	assert_int_equal(X509_STORE_add_cert(store, certificate), 1);
	X509_free(certificate);
	BIO_free(bio);
	certificate = parse(intermediate_der);
	assert_int_equal(X509_STORE_add_cert(store, certificate), 1);
	X509_free(certificate);
	return store;
}

static int verify_in(X509_STORE *store, X509 *certificate, int64_t at_ms)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int error;

	assert_int_equal(X509_STORE_CTX_init(context, store, certificate, NULL), 1);
	X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT);
	X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT);
	X509_STORE_CTX_set_time(context, 0, (time_t)(at_ms / 1000));
	(void)X509_verify_cert(context);
	error = X509_STORE_CTX_get_error(context);
	X509_STORE_CTX_free(context);
	return error;
}

/* Root, intermediate, leaf, verified by OpenSSL in its strict mode. */
static void a_chain_verifies(void **state)
{
	BUF_CLEANUP struct buf root_pem = {0}, csr = {0}, der = {0}, pem = {0}, leaf_der = {0};
	struct private_key *root_key, *key;
	struct issuer *top, *intermediate;
	struct certificate_request request;
	struct serial serial;
	X509_STORE *store;
	X509 *certificate;

	(void)state;
	assert_ok(private_key_generate(PRIVATE_KEY_ED25519, &root_key, NULL));
	assert_ok(certificate_make_root(root_key, "device root", 1, ROOT_FROM_MS, entropy_system(), &root_pem, NULL));
	assert_ok(issuer_open(buf_span(&root_pem), root_key, &top, NULL));
	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(csr_make(key, &csr, NULL));
	assert_ok(issuer_issue_intermediate(top, entropy_system(), "device issuer", buf_span(&csr), ROOT_FROM_MS,
					    FROM_MS + 3650 * DAY_MS, &der, NULL));
	certificate = parse(buf_span(&der));
	assert_basic_constraints(certificate, true, 0);
	assert_key_usage(certificate, KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_int_equal(X509_get_signature_nid(certificate), NID_ED25519);
	X509_free(certificate);
	assert_ok(certificate_der_to_pem(buf_span(&der), &pem));
	assert_ok(issuer_open(buf_span(&pem), key, &intermediate, NULL));

	buf_clear(&csr);
	make_csr(&csr);
	request = request_of(CERTIFICATE_DEVICE, NULL, buf_span(&csr));
	assert_ok(issuer_issue(intermediate, entropy_system(), &request, &leaf_der, &serial, NULL));
	store = store_with(buf_span(&root_pem), buf_span(&der));
	certificate = parse(buf_span(&leaf_der));
	assert_int_equal(verify_in(store, certificate, FROM_MS + DAY_MS), X509_V_OK);
	assert_int_equal(verify_in(store, certificate, UNTIL_MS + DAY_MS), X509_V_ERR_CERT_HAS_EXPIRED);
	assert_int_equal(verify_in(store, certificate, FROM_MS - DAY_MS), X509_V_ERR_CERT_NOT_YET_VALID);
	X509_free(certificate);
	X509_STORE_free(store);
	issuer_close(top);
	issuer_close(intermediate);
}

static void a_root_is_a_root(void **state)
{
	BUF_CLEANUP struct buf pem = {0}, der = {0};
	struct private_key *key;
	X509 *certificate;

	(void)state;
	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(certificate_make_root(key, "operator root", 0, FROM_MS, entropy_system(), &pem, NULL));
	assert_ok(certificate_pem_to_der(buf_span(&pem), &der, NULL));
	certificate = parse(buf_span(&der));
	assert_subject_is(certificate, "operator root");
	assert_int_equal(X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)), 0);
	assert_int_equal(X509_verify(certificate, X509_get0_pubkey(certificate)), 1);
	assert_basic_constraints(certificate, true, 0);
	assert_key_usage(certificate, KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_subject_key(certificate);
	assert_time(X509_get0_notBefore(certificate), FROM_MS);
	assert_time(X509_get0_notAfter(certificate), FROM_MS + 7305 * DAY_MS);
	X509_free(certificate);
	private_key_release(key);
}

static void serials_are_random(void **state)
{
	struct certificate_request request = request_of(CERTIFICATE_DEVICE, NULL, span_of(NULL, 0));
	struct serial serials[SERIAL_COUNT];
	BUF_CLEANUP struct buf csr = {0};
	uint8_t seen_or[SERIAL_SIZE] = {0}, seen_and[SERIAL_SIZE];

	(void)state;
	memset(seen_and, 0xff, sizeof(seen_and));
	make_csr(&csr);
	request.csr = buf_span(&csr);
	for (size_t i = 0; i < SERIAL_COUNT; i++) {
		BUF_CLEANUP struct buf der = {0};

		assert_ok(issuer_issue(root, entropy_system(), &request, &der, &serials[i], NULL));
		for (size_t j = 0; j < SERIAL_SIZE; j++) {
			seen_or[j] |= serials[i].bytes[j];
			seen_and[j] &= serials[i].bytes[j];
		}
	}
	/* Every bit has been both, but for the two that are fixed. */
	for (size_t j = 0; j < SERIAL_SIZE; j++) {
		assert_int_equal(seen_or[j], j == 0 ? 0x7f : 0xff);
		assert_int_equal(seen_and[j], j == 0 ? 0x40 : 0x00);
	}
}

static enum result no_entropy(struct entropy *entropy, void *ret_bytes, size_t size)
{
	(void)entropy;
	(void)ret_bytes;
	(void)size;
	return RESULT_UNAVAILABLE;
}

static void without_entropy_nothing_is_issued(void **state)
{
	struct certificate_request request = request_of(CERTIFICATE_DEVICE, NULL, span_of(NULL, 0));
	struct entropy broken = {.fill = no_entropy};
	BUF_CLEANUP struct buf csr = {0}, der = {0};
	struct serial serial;

	(void)state;
	make_csr(&csr);
	request.csr = buf_span(&csr);
	assert_result(issuer_issue(root, &broken, &request, &der, &serial, NULL), RESULT_UNAVAILABLE);
	assert_int_equal(der.size, 0);
}

/* ---- what is refused ----------------------------------------------------------------------------------- */

static void assert_refused(const struct certificate_request *request, const char *said)
{
	BUF_CLEANUP struct buf der = {0};
	struct serial serial;
	struct note note = {0};

	assert_result(issuer_issue(root, entropy_system(), request, &der, &serial, &note), RESULT_INVALID);
	if (strstr(note.text, said) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", note.text, said);
	assert_int_equal(der.size, 0);
}

static void bad_names_are_refused(void **state)
{
	static const char *const bad_alternatives[] = {"localhost", "*.example.com", NULL};
	char long_name[66];
	BUF_CLEANUP struct buf csr = {0};
	struct certificate_request request;

	(void)state;
	make_csr(&csr);
	memset(long_name, 'x', 65);
	long_name[65] = '\0';
	request = request_of(CERTIFICATE_OPERATOR, long_name, buf_span(&csr));
	assert_refused(&request, "1 to 64");
	request = request_of(CERTIFICATE_OPERATOR, "", buf_span(&csr));
	assert_refused(&request, "1 to 64");
	request = request_of(CERTIFICATE_OPERATOR, NULL, buf_span(&csr));
	assert_refused(&request, "1 to 64");
	request = request_of(CERTIFICATE_OPERATOR, "two\nlines", buf_span(&csr));
	assert_refused(&request, "printable");
	request = request_of(CERTIFICATE_CLAIM, REFERENCE_ID, buf_span(&csr));
	assert_refused(&request, "UUID");
	request = request_of(CERTIFICATE_SERVER, "not a host", buf_span(&csr));
	assert_refused(&request, "DNS name");
	request = request_of(CERTIFICATE_SERVER, "localhost", buf_span(&csr));
	request.alternatives = bad_alternatives;
	assert_refused(&request, "alternative");
	request = request_of((enum certificate_profile)99, "x", buf_span(&csr));
	assert_refused(&request, "profile");
}

static void bad_dates_are_refused(void **state)
{
	BUF_CLEANUP struct buf csr = {0};
	struct certificate_request request;

	(void)state;
	make_csr(&csr);
	request = request_of(CERTIFICATE_DEVICE, NULL, buf_span(&csr));
	request.not_after_ms = request.not_before_ms;
	assert_refused(&request, "end after it begins");
	request.not_after_ms = ROOT_FROM_MS + 7306 * DAY_MS;
	assert_refused(&request, "after its issuer");
	request.not_after_ms = UNTIL_MS;
	request.not_before_ms = -DAY_MS;
	assert_refused(&request, "1970");
}

static void a_bad_csr_is_judged_again(void **state)
{
	BUF_CLEANUP struct buf csr = {0};
	struct certificate_request request;

	(void)state;
	make_csr(&csr);
	csr.data[csr.size - 1] ^= 1;
	request = request_of(CERTIFICATE_DEVICE, NULL, buf_span(&csr));
	assert_refused(&request, "CSR");
}

static void only_a_ca_with_its_key_is_an_issuer(void **state)
{
	struct certificate_request request = request_of(CERTIFICATE_OPERATOR, "crm", span_of(NULL, 0));
	BUF_CLEANUP struct buf pem = {0}, root_pem = {0}, csr = {0}, der = {0};
	struct private_key *key, *other;
	struct issuer *issuer = NULL;
	struct serial serial;
	struct note note = {0};

	(void)state;
	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(private_key_generate(PRIVATE_KEY_P256, &other, NULL));
	assert_ok(csr_make(key, &csr, NULL));
	request.csr = buf_span(&csr);
	assert_ok(issuer_issue(root, entropy_system(), &request, &der, &serial, NULL));
	assert_ok(certificate_der_to_pem(buf_span(&der), &pem));
	assert_result(issuer_open(buf_span(&pem), key, &issuer, &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, "not a CA"));
	assert_ok(certificate_make_root(key, "root", -1, FROM_MS, entropy_system(), &root_pem, NULL));
	assert_result(issuer_open(buf_span(&root_pem), other, &issuer, &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, "key"));
	assert_result(issuer_open(span_of_text("nothing"), key, &issuer, &note), RESULT_INVALID);
	assert_null(issuer);
	/* The key was not taken by any of these. */
	private_key_release(key);
	private_key_release(other);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static void facts_are_read(void **state)
{
	struct certificate_request request = request_of(CERTIFICATE_DEVICE, NULL, span_of(NULL, 0));
	struct certificate_facts facts, from_pem;
	uint8_t fingerprint[SHA256_SIZE];
	BUF_CLEANUP struct buf pem = {0};
	struct issued issued;

	(void)state;
	issue(&request, &issued);
	assert_ok(certificate_read_der(buf_span(&issued.der), &facts, NULL));
	assert_ok(sha256(buf_span(&issued.der), fingerprint));
	assert_memory_equal(facts.fingerprint, fingerprint, SHA256_SIZE);
	assert_memory_equal(facts.serial.bytes, issued.serial.bytes, SERIAL_SIZE);
	assert_int_equal(facts.not_before_ms, FROM_MS);
	assert_int_equal(facts.not_after_ms, UNTIL_MS);
	assert_string_equal(facts.common_name, REFERENCE_ID);
	assert_ok(certificate_der_to_pem(buf_span(&issued.der), &pem));
	assert_ok(certificate_der_to_pem(buf_span(&issued.der), &pem)); /* a chain: the first counts */
	assert_ok(certificate_read_pem(buf_span(&pem), &from_pem, NULL));
	assert_memory_equal(&from_pem, &facts, sizeof(facts));
	release(&issued);
}

static void bad_certificates_are_not_read(void **state)
{
	struct certificate_request request = request_of(CERTIFICATE_DEVICE, NULL, span_of(NULL, 0));
	struct certificate_facts facts;
	static uint8_t large[CERTIFICATE_SIZE_MAX + 1];
	struct issued issued;

	(void)state;
	issue(&request, &issued);
	for (size_t size = 0; size < issued.der.size; size++)
		assert_result(certificate_read_der(span_of(issued.der.data, size), &facts, NULL), RESULT_INVALID);
	assert_ok(buf_append_byte(&issued.der, 0));
	assert_result(certificate_read_der(buf_span(&issued.der), &facts, NULL), RESULT_INVALID);
	assert_result(certificate_read_der(buf_span(&issued.csr), &facts, NULL), RESULT_INVALID);
	assert_result(certificate_read_der(span_of(large, sizeof(large)), &facts, NULL), RESULT_INVALID);
	assert_result(certificate_read_pem(span_of_text("-----BEGIN CERTIFICATE-----\n"), &facts, NULL),
		      RESULT_INVALID);
	release(&issued);
}

/* Certificates of others: made with OpenSSL, then read. */
static void read_foreign(const char *serial_hex, int name_nid, const char *name, struct certificate_facts *ret_facts,
			 enum result expected)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	unsigned char *encoding = NULL;
	BIGNUM *serial = NULL;
	int size;

	assert_true(BN_hex2bn(&serial, serial_hex) > 0);
	assert_non_null(BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate)));
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	assert_int_equal(X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), name_nid, V_ASN1_UTF8STRING,
						    (const unsigned char *)name, -1, -1, 0),
			 1);
	assert_int_equal(X509_set_pubkey(certificate, key), 1);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	size = i2d_X509(certificate, &encoding);
	assert_result(certificate_read_der(span_of(encoding, (size_t)size), ret_facts, NULL), expected);
	OPENSSL_free(encoding);
	BN_free(serial);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static void foreign_certificates_are_read_within_bounds(void **state)
{
	static const uint8_t one[SERIAL_SIZE] = {[SERIAL_SIZE - 1] = 1};
	struct certificate_facts facts;

	(void)state;
	read_foreign("01", NID_commonName, "short", &facts, RESULT_OK);
	assert_memory_equal(facts.serial.bytes, one, SERIAL_SIZE);
	assert_string_equal(facts.common_name, "short");
	read_foreign("01", NID_organizationName, "no common name", &facts, RESULT_OK);
	assert_string_equal(facts.common_name, "");
	read_foreign("01", NID_commonName, "control\x01", &facts, RESULT_OK);
	assert_string_equal(facts.common_name, "");
	read_foreign("ffffffffffffffffffffffffffffffff", NID_commonName, "x", &facts, RESULT_OK);
	read_foreign("01ffffffffffffffffffffffffffffffff", NID_commonName, "x", &facts, RESULT_INVALID);
	read_foreign("-01", NID_commonName, "x", &facts, RESULT_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_device_profile),
		cmocka_unit_test(the_claim_and_operator_profiles),
		cmocka_unit_test(the_server_profile),
		cmocka_unit_test(a_chain_verifies),
		cmocka_unit_test(a_root_is_a_root),
		cmocka_unit_test(serials_are_random),
		cmocka_unit_test(without_entropy_nothing_is_issued),
		cmocka_unit_test(bad_names_are_refused),
		cmocka_unit_test(bad_dates_are_refused),
		cmocka_unit_test(a_bad_csr_is_judged_again),
		cmocka_unit_test(only_a_ca_with_its_key_is_an_issuer),
		cmocka_unit_test(facts_are_read),
		cmocka_unit_test(bad_certificates_are_not_read),
		cmocka_unit_test(foreign_certificates_are_read_within_bounds),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
