#include "claim_support.h"

#include "base/text.h"
#include "vehicle/claims.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>

bool gateway_denies(const struct fixture *fixture, const struct serial *serial)
{
	bool is_denied = false;

	for (size_t i = 0; i < fixture->gateway.count; i++) {
		const struct fake_gateway_call *call = &fixture->gateway.calls[i];
		bool is_of_it = memcmp(call->serial.bytes, serial->bytes, SERIAL_SIZE) == 0;
		if (is_of_it && call->kind == GATEWAY_TOLD_REVOKE)
			is_denied = true;
		if (is_of_it && call->kind == GATEWAY_TOLD_ACTIVATE)
			is_denied = false;
	}
	return is_denied;
}

void make_claim_certificate(struct fixture *fixture, const char *name, struct buf *ret_pem)
{
	struct cert_authority *authority = &fixture->authority.authority;
	struct issued_certificate issued = {0};
	BUF_CLEANUP struct buf csr = {0};
	struct private_key *key;

	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(csr_make(key, &csr, NULL));
	private_key_release(key);
	assert_ok(authority->ops->issue_claim(authority, name, buf_span(&csr), CLAIM_DAYS, &issued, NULL));
	atomic_fetch_sub(&fixture->authority.issued, 1); /* tests count vehicles' */
	assert_ok(certificate_der_to_pem(buf_span(&issued.der), ret_pem));
	buf_release(&issued.der);
}

struct claim add_claim(struct fixture *fixture, const struct client *client, const char *name, int64_t count_max)
{
	SESSION_CLEANUP struct session session;
	BUF_CLEANUP struct buf pem = {0};
	struct claim claim = {0};

	make_claim_certificate(fixture, name, &pem);
	struct claim_registration registration = {
		.name = span_of_text(name), .certificate_pem = buf_span(&pem), .count_max = count_max};
	session_open(&session, fixture, client);
	assert_problem(claims_register(&session.request, &registration, &claim), PROBLEM_NONE);
	return claim;
}

struct claim claim_now(struct fixture *fixture, const struct claim *claim)
{
	struct registry *registry = fixture->platform.registry;
	struct claim now = {0};

	assert_ok(registry->ops->get_claim(registry, &claim->tenant, claim->name, &now, NULL));
	return now;
}

struct client client_of_claim(const struct claim *claim)
{
	struct client client = {.tenant = claim->tenant, .state = CLIENT_ACTIVE};

	snprintf(client.id, sizeof(client.id), "claim:%s", claim->name);
	return client;
}

struct test_csr make_named_csr(const char *common_name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_REQ *request = X509_REQ_new();
	BUF_CLEANUP struct buf text = {0};
	struct test_csr csr = {0};
	uint8_t *der = NULL;

	assert_int_equal(X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(request), NID_commonName,
						    V_ASN1_UTF8STRING, (const unsigned char *)common_name, -1, -1, 0),
			 1);
	assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
	assert_true(X509_REQ_sign(request, key, EVP_sha256()) > 0);
	int size = i2d_X509_REQ(request, &der);
	assert_true(size > 0);
	assert_ok(csr_check(span_of(der, (size_t)size), csr.spki_sha256, NULL));
	assert_ok(base64_append(&text, span_of(der, (size_t)size)));
	snprintf(csr.pem, sizeof(csr.pem), "%.*s", (int)text.size, (const char *)text.data);
	OPENSSL_free(der);
	X509_REQ_free(request);
	EVP_PKEY_free(key);
	return csr;
}

enum problem create_certificate(struct fixture *fixture, const struct claim *claim, const struct test_csr *csr,
				struct claimed_certificate *ret_certificate)
{
	SESSION_CLEANUP struct session session;
	struct client client = client_of_claim(claim);

	session_open(&session, fixture, &client);
	return fleet_provisioning_create(&session.request, claim, span_of_text(csr->pem), ret_certificate);
}

struct claimed_certificate created_certificate(struct fixture *fixture, const struct claim *claim,
					       const struct test_csr *csr)
{
	struct claimed_certificate certificate = {0};

	assert_problem(create_certificate(fixture, claim, csr, &certificate), PROBLEM_NONE);
	return certificate;
}

enum problem provision_claimed(struct fixture *fixture, const struct claim *claim, const char *token, const char *vin,
			       const char *device_id, struct provisioned *ret_provisioned)
{
	SESSION_CLEANUP struct session session;
	struct client client = client_of_claim(claim);
	struct claimed_provisioning input = {
		.token = span_of_text(token), .vin = span_of_text(vin), .device_id = span_of_text(device_id)};

	session_open(&session, fixture, &client);
	enum problem problem = fleet_provisioning_run(&session.request, claim, &input, ret_provisioned);
	if (problem == PROBLEM_NONE)
		ret_provisioned->vehicle.attributes = NULL; /* lived in the session */
	/* As the floor above: the leaf of a refusal. */
	session.event.outcome = audit_outcome_of(problem);
	session.event.problem = problem_name(problem);
	assert_ok(audit_record(&fixture->platform, &session.event, &session.arena));
	return problem;
}

struct certificate_facts facts_of(const struct claimed_certificate *certificate)
{
	struct certificate_facts facts;

	assert_ok(certificate_read_der(buf_span(&certificate->der), &facts, NULL));
	return facts;
}
