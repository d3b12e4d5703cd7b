/*
 * The contract of the port cert_authority, operation by operation; what is issued is read by OpenSSL itself.
 */
#include "tests/contract/keys/fixture.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>

static const struct keys_adapter *adapter;
static struct fixture fixture;

#define ASK(op, ...)	 (fixture.authority->ops->op(fixture.authority, __VA_ARGS__))
#define ASSERT_OK(asked) assert_int_equal((asked), RESULT_OK)

static int open_fixture(void **state)
{
	(void)state;
	fixture_open(&fixture, adapter);
	return 0;
}

static int close_fixture(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

/* ---- chain ----------------------------------------------------------------------------------------- */

struct chain {
	X509 *issuer, *root;
};

static struct chain read_chain(void)
{
	BUF_CLEANUP struct buf pem = {0};
	struct chain chain;

	ASSERT_OK(ASK(get_chain, &pem, NULL));
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	chain.issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	chain.root = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	assert_non_null(chain.issuer);
	assert_non_null(chain.root);
	assert_null(PEM_read_bio_X509(bio, NULL, NULL, NULL));
	BIO_free(bio);
	return chain;
}

static void chain_release(struct chain *chain)
{
	X509_free(chain->issuer);
	X509_free(chain->root);
}

static void the_chain_is_issuer_then_root(void **state)
{
	(void)state;
	struct chain chain = read_chain();

	assert_int_equal(X509_verify(chain.issuer, X509_get0_pubkey(chain.root)), 1);
	assert_int_equal(X509_verify(chain.root, X509_get0_pubkey(chain.root)), 1);
	assert_int_equal(X509_check_ca(chain.issuer), 1);
	assert_int_not_equal(X509_cmp(chain.issuer, chain.root), 0);
	chain_release(&chain);
}

static void the_chain_is_appended_each_time(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf pem = {0};

	ASSERT_OK(ASK(get_chain, &pem, NULL));
	size_t size = pem.size;
	ASSERT_OK(ASK(get_chain, &pem, NULL));
	assert_int_equal(pem.size, 2 * size);
	assert_memory_equal(pem.data, pem.data + size, size);
}

/* ---- issuing --------------------------------------------------------------------------------------- */

/* As the device profile says, by the chain's issuer, and as it was reported. */
static void assert_is_devices(const struct issued_certificate *issued, const struct uuid *id, struct span csr)
{
	struct chain chain = read_chain();
	struct certificate_facts facts;
	uint8_t spki[SHA256_SIZE];
	char text[UUID_TEXT_SIZE];
	const uint8_t *at = issued->der.data;
	X509 *certificate = d2i_X509(NULL, &at, (long)issued->der.size);

	assert_non_null(certificate);
	assert_int_equal(X509_verify(certificate, X509_get0_pubkey(chain.issuer)), 1);
	assert_int_equal(X509_check_issued(chain.issuer, certificate), X509_V_OK);
	assert_int_equal(X509_check_ca(certificate), 0);
	assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_CLIENT);
	X509_free(certificate);
	chain_release(&chain);
	uuid_format(id, text);
	ASSERT_OK(csr_check(csr, spki, NULL));
	ASSERT_OK(certificate_read_der(buf_span(&issued->der), &facts, NULL));
	assert_string_equal(facts.common_name, text);
	assert_memory_equal(facts.serial.bytes, issued->serial.bytes, SERIAL_SIZE);
	assert_memory_equal(facts.spki_sha256, spki, SHA256_SIZE);
	assert_memory_equal(issued->spki_sha256, spki, SHA256_SIZE);
	assert_int_equal(issued->not_before_ms, facts.not_before_ms);
	assert_int_equal(issued->not_after_ms, facts.not_after_ms);
	assert_true(issued->not_before_ms < issued->not_after_ms);
}

static void a_device_certificate_is_of_its_csr_and_reference_id(void **state)
{
	(void)state;
	const struct uuid id = new_uuid();
	struct issued_certificate first = {0}, second = {0};
	BUF_CLEANUP struct buf csr = {0};

	make_csr(&csr);
	ASSERT_OK(ASK(issue_device, &id, buf_span(&csr), &first, NULL));
	ASSERT_OK(ASK(issue_device, &id, buf_span(&csr), &second, NULL));
	assert_is_devices(&first, &id, buf_span(&csr));
	assert_is_devices(&second, &id, buf_span(&csr));
	assert_memory_not_equal(first.serial.bytes, second.serial.bytes, SERIAL_SIZE);
	buf_release(&first.der);
	buf_release(&second.der);
}

static void assert_refused(struct span csr)
{
	const struct uuid id = new_uuid();
	struct issued_certificate issued = {0};
	struct note note = {0};

	assert_int_equal(ASK(issue_device, &id, csr, &issued, &note), RESULT_INVALID);
	assert_string_not_equal(note.text, "");
	assert_null(issued.der.data);
}

/* Well-formed and signed, with a key that is too short. */
static void make_weak_csr(struct buf *ret_der)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
	X509_REQ *request = X509_REQ_new();
	uint8_t *der = NULL;

	assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
	assert_true(X509_REQ_sign(request, key, EVP_sha256()) > 0);
	int size = i2d_X509_REQ(request, &der);
	assert_true(size > 0);
	ASSERT_OK(buf_append(ret_der, span_of(der, (size_t)size)));
	OPENSSL_free(der);
	X509_REQ_free(request);
	EVP_PKEY_free(key);
}

static void a_bad_csr_is_refused_with_a_reason(void **state)
{
	(void)state;
	static const uint8_t zeros[CSR_SIZE_MAX + 1];
	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf weak = {0};

	make_csr(&csr);
	make_weak_csr(&weak);
	assert_refused(span_of_text(""));
	assert_refused(span_of_text("no CSR"));
	assert_refused(span_of(zeros, CSR_SIZE_MAX));
	assert_refused(span_of(zeros, sizeof(zeros)));
	assert_refused(buf_span(&weak));
	assert_refused(span_of(csr.data, csr.size - 1));
	csr.data[csr.size - 3] ^= 1; /* its own signature */
	assert_refused(buf_span(&csr));
	csr.data[csr.size - 3] ^= 1;
	ASSERT_OK(buf_append(&csr, span_of_text("x")));
	assert_refused(buf_span(&csr));
}

static void issuances_are_counted_over_restarts(void **state)
{
	(void)state;
	const struct uuid id = new_uuid();
	struct issued_certificate issued = {0};
	struct note note = {0};
	BUF_CLEANUP struct buf csr = {0};

	make_csr(&csr);
	assert_refused(span_of_text("no CSR")); /* costs nothing */
	for (int i = 0; i < ISSUANCES_PER_HOUR; i++) {
		ASSERT_OK(ASK(issue_device, &id, buf_span(&csr), &issued, NULL));
		buf_release(&issued.der);
	}
	issued = (struct issued_certificate){0};
	assert_int_equal(ASK(issue_device, &id, buf_span(&csr), &issued, &note), RESULT_EXHAUSTED);
	assert_string_not_equal(note.text, "");
	fixture_reopen(&fixture);
	assert_int_equal(ASK(issue_device, &id, buf_span(&csr), &issued, NULL), RESULT_EXHAUSTED);
	assert_null(issued.der.data);
}

static void a_claim_certificate_is_of_its_csr_and_name(void **state)
{
	(void)state;
	struct issued_certificate claim = {0};
	struct certificate_facts facts;
	uint8_t spki[SHA256_SIZE];
	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf chain = {0};

	make_csr(&csr);
	ASSERT_OK(csr_check(buf_span(&csr), spki, NULL));
	ASSERT_OK(ASK(issue_claim, "line-1", buf_span(&csr), 30, &claim, NULL));
	ASSERT_OK(ASK(get_chain, &chain, NULL));
	ASSERT_OK(certificate_check_claim(buf_span(&claim.der), buf_span(&chain), NULL));
	ASSERT_OK(certificate_read_der(buf_span(&claim.der), &facts, NULL));
	assert_string_equal(facts.common_name, "line-1");
	assert_memory_equal(facts.serial.bytes, claim.serial.bytes, SERIAL_SIZE);
	assert_memory_equal(claim.spki_sha256, spki, SHA256_SIZE);
	assert_int_equal(claim.not_before_ms, facts.not_before_ms);
	assert_int_equal(claim.not_after_ms, facts.not_after_ms);
	buf_release(&claim.der);
}

static void assert_claim_refused(const char *name, struct span csr, int64_t days)
{
	struct issued_certificate claim = {0};
	struct note note = {0};

	assert_int_equal(ASK(issue_claim, name, csr, days, &claim, &note), RESULT_INVALID);
	assert_string_not_equal(note.text, "");
	assert_null(claim.der.data);
}

static void a_bad_claim_is_refused_with_a_reason(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf csr = {0};

	make_csr(&csr);
	assert_claim_refused("", buf_span(&csr), 30);
	assert_claim_refused("Line 1", buf_span(&csr), 30);
	assert_claim_refused("0b9e4f1a-7c2d-4e3f-8a1b-2c3d4e5f6071", buf_span(&csr), 30);
	assert_claim_refused("line-1", buf_span(&csr), 0);
	assert_claim_refused("line-1", buf_span(&csr), CLAIM_DAYS_MAX + 1);
	assert_claim_refused("line-1", span_of_text("no CSR"), 30);
	csr.data[csr.size - 3] ^= 1; /* its own signature */
	assert_claim_refused("line-1", buf_span(&csr), 30);
}

/* ---- CRL ------------------------------------------------------------------------------------------- */

static X509_CRL *sign_crl(const struct revoked_certificate *revoked, size_t count)
{
	struct chain chain = read_chain();
	BUF_CLEANUP struct buf der = {0};

	ASSERT_OK(ASK(sign_crl, revoked, count, &der, NULL));
	const uint8_t *at = der.data;
	X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.size);
	assert_non_null(crl);
	assert_ptr_equal(at, der.data + der.size);
	assert_int_equal(X509_CRL_verify(crl, X509_get0_pubkey(chain.issuer)), 1);
	chain_release(&chain);
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

/* Was it revoked, and for this reason? */
static void assert_revoked(X509_CRL *crl, const struct serial *serial, enum revocation_reason reason)
{
	BIGNUM *value = BN_bin2bn(serial->bytes, SERIAL_SIZE, NULL);
	ASN1_INTEGER *number = BN_to_ASN1_INTEGER(value, NULL);
	X509_REVOKED *entry = NULL;

	assert_int_equal(X509_CRL_get0_by_serial(crl, &entry, number), 1);
	ASN1_ENUMERATED *code = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
	assert_int_equal(ASN1_ENUMERATED_get(code), reason);
	ASN1_ENUMERATED_free(code);
	ASN1_INTEGER_free(number);
	BN_free(value);
}

static void a_crl_lists_what_is_revoked(void **state)
{
	(void)state;
	const struct uuid id = new_uuid();
	struct issued_certificate issued = {0};
	BUF_CLEANUP struct buf csr = {0};

	make_csr(&csr);
	ASSERT_OK(ASK(issue_device, &id, buf_span(&csr), &issued, NULL));
	const struct revoked_certificate revoked[] = {
		{issued.serial, fixture.vault.clock.now_ms, REVOCATION_KEY_COMPROMISE},
		{{{0x40, 2}}, fixture.vault.clock.now_ms, REVOCATION_SUPERSEDED},
	};
	X509_CRL *crl = sign_crl(revoked, COUNT(revoked));
	assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 2);
	assert_revoked(crl, &issued.serial, REVOCATION_KEY_COMPROMISE);
	assert_revoked(crl, &revoked[1].serial, REVOCATION_SUPERSEDED);
	assert_true(ASN1_TIME_compare(X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_nextUpdate(crl)) < 0);
	X509_CRL_free(crl);
	buf_release(&issued.der);
}

static void a_crl_may_be_empty_or_long(void **state)
{
	(void)state;
	static struct revoked_certificate revoked[20000];
	X509_CRL *crl = sign_crl(NULL, 0);

	assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), -1); /* no list at all */
	X509_CRL_free(crl);
	for (unsigned i = 0; i < COUNT(revoked); i++) {
		revoked[i].serial = (struct serial){{0x40, (uint8_t)(i >> 8), (uint8_t)i}};
		revoked[i].revoked_at_ms = fixture.vault.clock.now_ms;
		revoked[i].reason = REVOCATION_SUPERSEDED;
	}
	crl = sign_crl(revoked, COUNT(revoked));
	assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), COUNT(revoked));
	assert_revoked(crl, &revoked[COUNT(revoked) - 1].serial, REVOCATION_SUPERSEDED);
	X509_CRL_free(crl);
}

static void crl_numbers_grow_over_restarts(void **state)
{
	(void)state;
	const struct revoked_certificate revoked = {{{0x40, 1}}, fixture.vault.clock.now_ms, REVOCATION_UNSPECIFIED};
	int64_t first = crl_number(sign_crl(&revoked, 1));

	assert_int_equal(crl_number(sign_crl(NULL, 0)), first + 1);
	fixture_reopen(&fixture);
	assert_int_equal(crl_number(sign_crl(&revoked, 1)), first + 2);
}

/* ---- threads --------------------------------------------------------------------------------------- */

#define THREADS	   6
#define PER_THREAD 5

struct worker {
	pthread_t thread;
	struct uuid id;
	struct buf csr;
	enum result result;
	struct issued_certificate issued[PER_THREAD];
};

static void *issue_some(void *context)
{
	struct worker *worker = context;

	for (int i = 0; i < PER_THREAD && worker->result == RESULT_OK; i++)
		worker->result = ASK(issue_device, &worker->id, buf_span(&worker->csr), &worker->issued[i], NULL);
	return NULL;
}

static void threads_get_their_own_certificates(void **state)
{
	(void)state;
	static struct worker workers[THREADS];

	memset(workers, 0, sizeof(workers));
	for (size_t i = 0; i < THREADS; i++) {
		workers[i].id = new_uuid();
		make_csr(&workers[i].csr);
	}
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, issue_some, &workers[i]), 0);
	int64_t number = crl_number(sign_crl(NULL, 0));
	assert_int_equal(crl_number(sign_crl(NULL, 0)), number + 1);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (size_t i = 0; i < THREADS; i++) {
		ASSERT_OK(workers[i].result);
		for (int j = 0; j < PER_THREAD; j++) {
			assert_is_devices(&workers[i].issued[j], &workers[i].id, buf_span(&workers[i].csr));
			buf_release(&workers[i].issued[j].der);
		}
		buf_release(&workers[i].csr);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(int argument_count, char **arguments)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_chain_is_issuer_then_root),
		TEST(the_chain_is_appended_each_time),
		TEST(a_device_certificate_is_of_its_csr_and_reference_id),
		TEST(a_bad_csr_is_refused_with_a_reason),
		TEST(issuances_are_counted_over_restarts),
		TEST(a_claim_certificate_is_of_its_csr_and_name),
		TEST(a_bad_claim_is_refused_with_a_reason),
		TEST(a_crl_lists_what_is_revoked),
		TEST(a_crl_may_be_empty_or_long),
		TEST(crl_numbers_grow_over_restarts),
		TEST(threads_get_their_own_certificates),
	};
	int failed = 0;

	if (!begin_program(argument_count, arguments))
		return 1;
	for (size_t i = 0; i < keys_adapter_count; i++) {
		adapter = &keys_adapters[i];
		failed += cmocka_run_group_tests_name(adapter->name, tests, NULL, NULL);
	}
	return failed;
}
