/* The device issuer: what it issues, and its CRL, read by OpenSSL itself. */
#include "../cmocka_all.h"

#include "keys_support.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define DAY INT64_C(86400000)

static struct test_vault vault;

static int begin(void **state)
{
	(void)state;
	test_vault_begin(&vault);
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_vault_remove(&vault);
	return 0;
}

static X509 *read_issuer(void)
{
	char path[PATH_SIZE];
	BUF_CLEANUP struct buf pem = {0};
	BUF_CLEANUP struct buf der = {0};
	assert_int_equal(path_join(vault.directory, "device-issuer.pem", path), RESULT_OK);
	assert_int_equal(file_read(path, &pem, NULL), RESULT_OK);
	assert_int_equal(certificate_pem_to_der(buf_span(&pem), &der, NULL), RESULT_OK);
	const uint8_t *at = der.data;
	return d2i_X509(NULL, &at, (long)der.size);
}

static void test_device_certificate(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf csr = {0};
	struct uuid id = new_uuid();
	char text[UUID_TEXT_SIZE], name[128] = {0};
	uint8_t spki[SHA256_SIZE];
	struct issued_certificate issued = {0};
	make_csr(&csr);
	uuid_format(&id, text);
	assert_int_equal(csr_check(buf_span(&csr), spki, NULL), RESULT_OK);
	assert_int_equal(vault.authority->ops->issue_device(vault.authority, &id, buf_span(&csr), &issued, NULL),
			 RESULT_OK);
	assert_memory_equal(issued.spki_sha256, spki, SHA256_SIZE);
	/* X.509 knows whole seconds */
	assert_in_range(issued.not_after_ms, vault.clock.now_ms + 90 * DAY - 1000, vault.clock.now_ms + 90 * DAY);

	const uint8_t *at = issued.der.data;
	X509 *certificate = d2i_X509(NULL, &at, (long)issued.der.size);
	X509 *issuer = read_issuer();
	assert_int_equal(X509_verify(certificate, X509_get0_pubkey(issuer)), 1);
	X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
	assert_string_equal(name, text);
	assert_int_equal(X509_check_ca(certificate), 0);
	assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_CLIENT);
	X509_free(issuer);
	X509_free(certificate);
	buf_release(&issued.der);
}

static void test_bad_csr(void **state)
{
	(void)state;
	struct uuid id = new_uuid();
	struct note note = {0};
	struct issued_certificate issued = {0};
	BUF_CLEANUP struct buf csr = {0};
	make_csr(&csr);
	csr.data[csr.size - 3] ^= 1; /* its own signature */
	assert_int_equal(vault.authority->ops->issue_device(vault.authority, &id, buf_span(&csr), &issued, &note),
			 RESULT_INVALID);
	assert_true(note.text[0] != '\0');
	assert_null(issued.der.data);
}

static X509_CRL *sign_crl(const struct revoked_certificate *revoked, size_t count)
{
	BUF_CLEANUP struct buf der = {0};
	assert_int_equal(vault.authority->ops->sign_crl(vault.authority, revoked, count, &der, NULL), RESULT_OK);
	const uint8_t *at = der.data;
	X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.size);
	assert_non_null(crl);
	return crl;
}

static int64_t crl_number(X509_CRL *crl)
{
	ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
	int64_t value = ASN1_INTEGER_get(number);
	ASN1_INTEGER_free(number);
	X509_CRL_free(crl);
	return value;
}

static void test_crl(void **state)
{
	(void)state;
	struct revoked_certificate revoked[2] = {
		{.serial = {{0x40, 1}}, .revoked_at_ms = vault.clock.now_ms, .reason = REVOCATION_KEY_COMPROMISE},
		{.serial = {{0x40, 2}}, .revoked_at_ms = vault.clock.now_ms, .reason = REVOCATION_SUPERSEDED},
	};
	X509_CRL *crl = sign_crl(revoked, 2);
	X509 *issuer = read_issuer();
	int days = 0, seconds = 0;
	assert_int_equal(X509_CRL_verify(crl, X509_get0_pubkey(issuer)), 1);
	assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 2);
	assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_nextUpdate(crl)),
			 1);
	assert_true(days == 7 && seconds == 0);
	X509_free(issuer);
	int64_t first = crl_number(crl);
	assert_int_equal(crl_number(sign_crl(NULL, 0)), first + 1);
	test_vault_reopen(&vault);
	assert_int_equal(crl_number(sign_crl(revoked, 1)), first + 2);
}

static void test_chain(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf chain = {0};
	assert_int_equal(vault.authority->ops->get_chain(vault.authority, &chain, NULL), RESULT_OK);
	const char *first = strstr((const char *)chain.data, "-----BEGIN CERTIFICATE-----");
	assert_non_null(first);
	assert_non_null(strstr(first + 1, "-----BEGIN CERTIFICATE-----"));
}

static void test_claim_certificate(void **state)
{
	(void)state;
	struct cert_authority *authority = vault.authority;
	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf chain = {0};
	struct issued_certificate claim = {0}, device = {0};
	struct certificate_facts facts;
	struct uuid id = new_uuid();
	struct note note = {0};
	make_csr(&csr);
	assert_int_equal(authority->ops->issue_claim(authority, "claim-line-1", buf_span(&csr), 30, &claim, NULL),
			 RESULT_OK);
	assert_int_equal(certificate_read_der(buf_span(&claim.der), &facts, NULL), RESULT_OK);
	assert_string_equal(facts.common_name, "claim-line-1");
	assert_memory_equal(facts.serial.bytes, claim.serial.bytes, SERIAL_SIZE);
	assert_in_range(facts.not_after_ms, vault.clock.now_ms + 30 * DAY - 1000, vault.clock.now_ms + 30 * DAY);
	assert_int_equal(facts.not_after_ms, claim.not_after_ms);

	assert_int_equal(authority->ops->get_chain(authority, &chain, NULL), RESULT_OK);
	assert_int_equal(certificate_check_claim(buf_span(&claim.der), buf_span(&chain), &note), RESULT_OK);
	assert_int_equal(authority->ops->issue_device(authority, &id, buf_span(&csr), &device, NULL), RESULT_OK);
	assert_int_equal(certificate_check_claim(buf_span(&device.der), buf_span(&chain), &note), RESULT_INVALID);
	assert_string_equal(note.text, "the certificate is not of the claim profile");
	claim.der.data[claim.der.size - 3] ^= 1;
	assert_int_equal(certificate_check_claim(buf_span(&claim.der), buf_span(&chain), &note), RESULT_INVALID);
	assert_string_equal(note.text, "the certificate is not of the device issuer");
	buf_release(&claim.der);
	buf_release(&device.der);
}

static void test_bad_claims(void **state)
{
	(void)state;
	struct cert_authority *authority = vault.authority;
	static const struct {
		const char *name;
		int64_t days;
	} bad[] = {{"", 30},
		   {"Line", 30},
		   {"0b9e4f1a-7c2d-4e3f-8a1b-2c3d4e5f6071", 30},
		   {"line", 0},
		   {"line", CLAIM_DAYS_MAX + 1}};
	BUF_CLEANUP struct buf csr = {0};
	struct issued_certificate claim = {0};
	make_csr(&csr);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			authority->ops->issue_claim(authority, bad[i].name, buf_span(&csr), bad[i].days, &claim, NULL),
			RESULT_INVALID);
	assert_int_equal(authority->ops->issue_claim(authority, "line", span_of_text("?"), 30, &claim, NULL),
			 RESULT_INVALID);
	assert_null(claim.der.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_device_certificate, begin, end),
		cmocka_unit_test_setup_teardown(test_bad_csr, begin, end),
		cmocka_unit_test_setup_teardown(test_crl, begin, end),
		cmocka_unit_test_setup_teardown(test_chain, begin, end),
		cmocka_unit_test_setup_teardown(test_claim_certificate, begin, end),
		cmocka_unit_test_setup_teardown(test_bad_claims, begin, end),
	};
	if (crypto_init(NULL) != RESULT_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
