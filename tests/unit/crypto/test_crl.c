#include "support.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define AT_MS	((int64_t)1767225600 * 1000)
#define NEXT_MS (AT_MS + 7 * DAY_MS)
#define MANY	1000
#define MAX_U64 UINT64_C(0xffffffffffffffff)
#define ABSENT	(-1)

static struct issuer *issuer;
static EVP_PKEY *issuer_public;

static int set_up(void **state)
{
	BUF_CLEANUP struct buf pem = {0};
	struct private_key *key;
	X509 *certificate;
	BIO *bio;

	if (set_up_crypto(state) != 0)
		return -1;
	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(certificate_make_root(key, "device issuer", 0, AT_MS, entropy_system(), &pem, NULL));
	assert_ok(issuer_open(buf_span(&pem), key, &issuer, NULL));
	bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	issuer_public = X509_get_pubkey(certificate);
	X509_free(certificate);
	BIO_free(bio);
	return issuer_public == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	issuer_close(issuer);
	EVP_PKEY_free(issuer_public);
	return 0;
}

static X509_CRL *sign(const struct revoked_certificate *revoked, size_t count, uint64_t number)
{
	BUF_CLEANUP struct buf der = {0};
	const unsigned char *at;
	X509_CRL *crl;

	assert_ok(issuer_sign_crl(issuer, revoked, count, number, AT_MS, NEXT_MS, &der, NULL));
	at = der.data;
	crl = d2i_X509_CRL(NULL, &at, (long)der.size);
	assert_non_null(crl);
	assert_ptr_equal(at, der.data + der.size);
	assert_int_equal(X509_CRL_verify(crl, issuer_public), 1);
	return crl;
}

static void an_empty_crl_is_complete(void **state)
{
	X509_CRL *crl = sign(NULL, 0, 1);
	ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
	AUTHORITY_KEYID *authority = X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, NULL, NULL);
	EVP_PKEY *other = EVP_EC_gen("P-256");
	char name[64];

	(void)state;
	assert_int_equal(X509_CRL_get_version(crl), X509_CRL_VERSION_2);
	assert_true(X509_NAME_get_text_by_NID(X509_CRL_get_issuer(crl), NID_commonName, name, sizeof(name)) > 0);
	assert_string_equal(name, "device issuer");
	assert_int_equal(ASN1_TIME_cmp_time_t(X509_CRL_get0_lastUpdate(crl), AT_MS / 1000), 0);
	assert_int_equal(ASN1_TIME_cmp_time_t(X509_CRL_get0_nextUpdate(crl), NEXT_MS / 1000), 0);
	assert_int_equal(ASN1_INTEGER_get(number), 1);
	assert_int_equal(ASN1_STRING_length(authority->keyid), 20);
	assert_null(X509_CRL_get_REVOKED(crl));
	assert_int_not_equal(X509_CRL_verify(crl, other), 1);
	EVP_PKEY_free(other);
	ASN1_INTEGER_free(number);
	AUTHORITY_KEYID_free(authority);
	X509_CRL_free(crl);
}

static X509_REVOKED *find(X509_CRL *crl, const struct serial *serial)
{
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	X509_REVOKED *entry = NULL;
	size_t skip = 0;

	while (serial->bytes[skip] == 0)
		skip++;
	assert_int_equal(ASN1_STRING_set(number, serial->bytes + skip, (int)(SERIAL_SIZE - skip)), 1);
	assert_int_equal(X509_CRL_get0_by_serial(crl, &entry, number), 1);
	ASN1_INTEGER_free(number);
	return entry;
}

static long reason_of(const X509_REVOKED *entry)
{
	ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
	long value = reason == NULL ? ABSENT : ASN1_ENUMERATED_get(reason);

	ASN1_ENUMERATED_free(reason);
	return value;
}

static void entries_carry_date_and_reason(void **state)
{
	static const struct {
		enum revocation_reason reason;
		long expected;
	} cases[] = {{REVOCATION_UNSPECIFIED, ABSENT},	     {REVOCATION_KEY_COMPROMISE, 1},
		     {REVOCATION_AFFILIATION_CHANGED, 3},    {REVOCATION_SUPERSEDED, 4},
		     {REVOCATION_CESSATION_OF_OPERATION, 5}, {REVOCATION_PRIVILEGE_WITHDRAWN, 9}};
	struct revoked_certificate revoked[6];
	X509_CRL *crl;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		revoked[i] = (struct revoked_certificate){.revoked_at_ms = AT_MS - (int64_t)i * DAY_MS,
							  .reason = cases[i].reason};
		/* Descending, and one shorter than the rest: they must be found all the same. */
		memset(revoked[i].serial.bytes, (int)(0x7f - i), SERIAL_SIZE);
	}
	memset(revoked[3].serial.bytes, 0, 10);
	crl = sign(revoked, 6, MAX_U64);
	assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 6);
	for (size_t i = 0; i < 6; i++) {
		X509_REVOKED *entry = find(crl, &revoked[i].serial);

		assert_int_equal(
			ASN1_TIME_cmp_time_t(X509_REVOKED_get0_revocationDate(entry), revoked[i].revoked_at_ms / 1000),
			0);
		assert_int_equal(reason_of(entry), cases[i].expected);
	}
	X509_CRL_free(crl);
}

static void the_number_may_be_large(void **state)
{
	X509_CRL *crl = sign(NULL, 0, MAX_U64);
	ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
	uint64_t value;

	(void)state;
	assert_int_equal(ASN1_INTEGER_get_uint64(&value, number), 1);
	assert_true(value == MAX_U64);
	ASN1_INTEGER_free(number);
	X509_CRL_free(crl);
}

static void many_entries_fit(void **state)
{
	static struct revoked_certificate revoked[MANY];
	X509_CRL *crl;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		revoked[i].revoked_at_ms = AT_MS;
		assert_ok(entropy_fill(entropy_system(), revoked[i].serial.bytes, SERIAL_SIZE));
		revoked[i].serial.bytes[0] = (uint8_t)((revoked[i].serial.bytes[0] & 0x3f) | 0x40);
	}
	crl = sign(revoked, MANY, 7);
	assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), MANY);
	X509_CRL_free(crl);
}

static void impossible_crls_are_refused(void **state)
{
	const struct revoked_certificate before_time = {.serial = {.bytes = {1}}, .revoked_at_ms = -1};
	BUF_CLEANUP struct buf der = {0}, small = {.size_max = 16};

	(void)state;
	assert_result(issuer_sign_crl(issuer, NULL, 0, 1, AT_MS, AT_MS, &der, NULL), RESULT_INVALID);
	assert_result(issuer_sign_crl(issuer, &before_time, 1, 1, AT_MS, NEXT_MS, &der, NULL), RESULT_INVALID);
	assert_int_equal(der.size, 0);
	assert_result(issuer_sign_crl(issuer, NULL, 0, 1, AT_MS, NEXT_MS, &small, NULL), RESULT_EXHAUSTED);
}

static void reasons_have_names(void **state)
{
	static const enum revocation_reason reasons[] = {
		REVOCATION_UNSPECIFIED, REVOCATION_KEY_COMPROMISE,	   REVOCATION_AFFILIATION_CHANGED,
		REVOCATION_SUPERSEDED,	REVOCATION_CESSATION_OF_OPERATION, REVOCATION_PRIVILEGE_WITHDRAWN};
	enum revocation_reason parsed;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		parsed = (enum revocation_reason)99;
		assert_ok(revocation_reason_parse(span_of_text(revocation_reason_name(reasons[i])), &parsed));
		assert_int_equal(parsed, reasons[i]);
	}
	assert_string_equal(revocation_reason_name(REVOCATION_KEY_COMPROMISE), "keyCompromise");
	assert_result(revocation_reason_parse(span_of_text("KeyCompromise"), &parsed), RESULT_INVALID);
	assert_result(revocation_reason_parse(span_of_text("certificateHold"), &parsed), RESULT_INVALID);
	assert_result(revocation_reason_parse(span_of_text(""), &parsed), RESULT_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_crl_is_complete),    cmocka_unit_test(entries_carry_date_and_reason),
		cmocka_unit_test(the_number_may_be_large),     cmocka_unit_test(many_entries_fit),
		cmocka_unit_test(impossible_crls_are_refused), cmocka_unit_test(reasons_have_names),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
