#include "support.h"

#include "crypto/pkcs7.h"

#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#define FROM_MS ((int64_t)1767225600 * 1000)

static void append_root(const char *name, struct buf *pem)
{
	struct private_key *key;

	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(certificate_make_root(key, name, 0, FROM_MS, entropy_system(), pem, NULL));
	private_key_release(key);
}

static void assert_is(X509 *certificate, const char *name)
{
	char text[64];

	assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text, sizeof(text)) >
		    0);
	assert_string_equal(text, name);
}

static void openssl_finds_the_certificates_and_nothing_else(void **state)
{
	BUF_CLEANUP struct buf pem = {0}, der = {0};
	const unsigned char *at;
	PKCS7 *message;

	(void)state;
	append_root("issuer", &pem);
	append_root("root", &pem);
	assert_ok(pkcs7_wrap_certificates(buf_span(&pem), &der, NULL));
	at = der.data;
	message = d2i_PKCS7(NULL, &at, (long)der.size);
	assert_non_null(message);
	assert_ptr_equal(at, der.data + der.size);
	assert_true(PKCS7_type_is_signed(message));
	assert_int_equal(ASN1_INTEGER_get(message->d.sign->version), 1);
	assert_int_equal(sk_X509_num(message->d.sign->cert), 2);
	assert_is(sk_X509_value(message->d.sign->cert, 0), "issuer");
	assert_is(sk_X509_value(message->d.sign->cert, 1), "root");
	assert_int_equal(sk_PKCS7_SIGNER_INFO_num(message->d.sign->signer_info), 0);
	assert_int_equal(sk_X509_ALGOR_num(message->d.sign->md_algs), 0);
	assert_true(PKCS7_get_detached(message));
	PKCS7_free(message);
}

static void what_holds_no_certificate_is_refused(void **state)
{
	BUF_CLEANUP struct buf pem = {0}, der = {0};
	struct note note = {0};

	(void)state;
	assert_result(pkcs7_wrap_certificates(span_of_text(""), &der, &note), RESULT_INVALID);
	assert_result(pkcs7_wrap_certificates(span_of_text("nothing"), &der, &note), RESULT_INVALID);
	append_root("root", &pem);
	assert_result(pkcs7_wrap_certificates(span_of(pem.data, pem.size - 40), &der, &note), RESULT_INVALID);
	/* A good one, and a damaged one behind it. */
	assert_ok(buf_append_text(&pem, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
	assert_result(pkcs7_wrap_certificates(buf_span(&pem), &der, &note), RESULT_INVALID);
	assert_true(note.text[0] != '\0');
	assert_int_equal(der.size, 0);
	assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openssl_finds_the_certificates_and_nothing_else),
		cmocka_unit_test(what_holds_no_certificate_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up_crypto, NULL);
}
