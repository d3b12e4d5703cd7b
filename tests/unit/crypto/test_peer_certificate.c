/* What a broker's plugin reads of the certificates that are issued here. */
#include "support.h"

#include "crypto/peer_certificate.h"

#include <openssl/x509.h>

#define REFERENCE_ID "0b0e4f2c-9a51-4c0b-8d7e-1f2a3b4c5d6e"
#define FROM_MS	     ((int64_t)1767225600 * 1000) /* 2026-01-01T00:00:00Z */
#define UNTIL_MS     (FROM_MS + 365 * DAY_MS)

static struct issuer *root;

static int set_up(void **state)
{
	if (set_up_crypto(state) != 0)
		return -1;
	root = make_test_root(PRIVATE_KEY_P256, 1, FROM_MS - 30 * DAY_MS);
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

static void read_der(struct span der, struct peer_certificate *ret_certificate)
{
	const unsigned char *at = der.data;
	X509 *x509 = d2i_X509(NULL, &at, (long)der.size);

	assert_non_null(x509);
	assert_ok(peer_certificate_read(x509, ret_certificate));
	peer_certificate_release(x509);
}

static void issue(enum certificate_profile profile, const char *name, struct serial *ret_serial,
		  struct peer_certificate *ret_certificate)
{
	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf der = {0};
	struct certificate_request request = {
		.profile = profile, .name = name, .not_before_ms = FROM_MS, .not_after_ms = UNTIL_MS};

	make_csr(&csr);
	request.csr = buf_span(&csr);
	assert_ok(uuid_parse(span_of_text(REFERENCE_ID), &request.reference_id));
	assert_ok(issuer_issue(root, entropy_system(), &request, &der, ret_serial, NULL));
	read_der(buf_span(&der), ret_certificate);
}

static void a_vehicle_is_one(void **state)
{
	struct peer_certificate certificate;
	struct serial serial;

	(void)state;
	issue(CERTIFICATE_DEVICE, NULL, &serial, &certificate);
	assert_string_equal(certificate.common_name, REFERENCE_ID);
	assert_string_equal(certificate.uri, "urn:uuid:" REFERENCE_ID);
	assert_true(certificate.has_alternative_names);
	assert_true(certificate.is_for_clients);
	assert_false(certificate.is_ca);
	assert_memory_equal(&certificate.serial, &serial, SERIAL_SIZE);
	assert_int_equal(certificate.not_before_ms, FROM_MS);
	assert_int_equal(certificate.not_after_ms, UNTIL_MS);
}

static void a_claim_has_no_other_name(void **state)
{
	struct peer_certificate certificate;
	struct serial serial;

	(void)state;
	issue(CERTIFICATE_CLAIM, "plant-7", &serial, &certificate);
	assert_string_equal(certificate.common_name, "plant-7");
	assert_string_equal(certificate.uri, "");
	assert_false(certificate.has_alternative_names);
	assert_true(certificate.is_for_clients);
	assert_false(certificate.is_ca);
}

static void a_server_is_no_client(void **state)
{
	struct peer_certificate certificate;
	struct serial serial;

	(void)state;
	issue(CERTIFICATE_SERVER, "localhost", &serial, &certificate);
	assert_false(certificate.is_for_clients);
	assert_string_equal(certificate.uri, "");
	assert_true(certificate.has_alternative_names);
}

static void an_authority_is_one(void **state)
{
	struct peer_certificate certificate;
	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf der = {0};

	(void)state;
	make_csr(&csr);
	assert_ok(issuer_issue_intermediate(root, entropy_system(), REFERENCE_ID, buf_span(&csr), FROM_MS, UNTIL_MS,
					    &der, NULL));
	read_der(buf_span(&der), &certificate);
	assert_true(certificate.is_ca);
	assert_false(certificate.is_for_clients);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vehicle_is_one),
		cmocka_unit_test(a_claim_has_no_other_name),
		cmocka_unit_test(a_server_is_no_client),
		cmocka_unit_test(an_authority_is_one),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
