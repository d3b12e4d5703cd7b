/*
 * csr_decode and csr_check, with the input as text and as DER. What is accepted can be issued for, and the
 * certificate then carries the very key that was judged.
 */
#include "crypto/certificate.h"
#include "crypto/csr.h"
#include "fuzz.h"

#define FROM_MS	 ((int64_t)1767225600 * 1000)
#define UNTIL_MS (FROM_MS + (int64_t)86400 * 1000)

static struct issuer *issuer_get(void)
{
	static struct issuer *issuer;
	BUF_CLEANUP struct buf pem = {0};
	struct private_key *key;

	if (issuer != NULL)
		return issuer;
	FUZZ_CHECK(crypto_init(NULL) == RESULT_OK);
	FUZZ_CHECK(private_key_generate(PRIVATE_KEY_P256, &key, NULL) == RESULT_OK);
	FUZZ_CHECK(certificate_make_root(key, "root", 0, FROM_MS, entropy_system(), &pem, NULL) == RESULT_OK);
	FUZZ_CHECK(issuer_open(buf_span(&pem), key, &issuer, NULL) == RESULT_OK);
	return issuer;
}

/* Our own reader must take nothing that OpenSSL would not take, nor see another key or signature in it. */
static void check_reader(struct span der)
{
	const unsigned char *at = der.data;
	const ASN1_BIT_STRING *signature;
	struct plain_csr plain;
	uint8_t theirs[SHA256_SIZE], ours[SHA256_SIZE];
	X509_REQ *request;

	if (!csr_read_plain(der, &plain))
		return;
	request = d2i_X509_REQ(NULL, &at, (long)der.size);
	FUZZ_CHECK(request != NULL && at == der.data + der.size);
	FUZZ_CHECK(spki_sha256(X509_REQ_get_X509_PUBKEY(request), theirs) == RESULT_OK);
	FUZZ_CHECK(sha256(plain.spki, ours) == RESULT_OK && memcmp(ours, theirs, SHA256_SIZE) == 0);
	X509_REQ_get0_signature(request, &signature, NULL);
	FUZZ_CHECK(span_equal(plain.signature, span_of(signature->data, (size_t)signature->length)));
	X509_REQ_free(request);
}

static void check(struct span der)
{
	const struct certificate_request request = {
		.profile = CERTIFICATE_DEVICE, .csr = der, .not_before_ms = FROM_MS, .not_after_ms = UNTIL_MS};
	BUF_CLEANUP struct buf issued = {0};
	struct certificate_facts facts;
	uint8_t judged_sha256[SHA256_SIZE], read_sha256[SHA256_SIZE];
	struct serial serial;
	struct note note = {0};

	check_reader(der);
	if (csr_check(der, judged_sha256, &note) != RESULT_OK) {
		FUZZ_CHECK(note.text[0] != '\0');
		return;
	}
	FUZZ_CHECK(csr_read_key(der, read_sha256, NULL) == RESULT_OK);
	FUZZ_CHECK(memcmp(read_sha256, judged_sha256, SHA256_SIZE) == 0);
	FUZZ_CHECK(issuer_issue(issuer_get(), entropy_system(), &request, &issued, &serial, NULL) == RESULT_OK);
	FUZZ_CHECK(certificate_read_der(buf_span(&issued), &facts, NULL) == RESULT_OK);
	FUZZ_CHECK(memcmp(facts.spki_sha256, judged_sha256, SHA256_SIZE) == 0);
	FUZZ_CHECK(memcmp(facts.serial.bytes, serial.bytes, SERIAL_SIZE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BUF_CLEANUP struct buf der = {0};

	(void)issuer_get();
	check(span_of(data, size));
	if (csr_decode(span_of(data, size), &der, NULL) == RESULT_OK)
		check(buf_span(&der));
	return 0;
}
