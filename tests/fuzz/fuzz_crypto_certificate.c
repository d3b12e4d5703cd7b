/* certificate_read_der and certificate_read_pem: PEM made of what was read is read as the same. */
#include "crypto/certificate.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	BUF_CLEANUP struct buf pem = {0};
	struct certificate_facts facts, again;

	FUZZ_CHECK(crypto_init(NULL) == RESULT_OK);
	(void)!certificate_read_pem(input, &facts, NULL);
	if (certificate_read_der(input, &facts, NULL) != RESULT_OK)
		return 0;
	FUZZ_CHECK(strlen(facts.common_name) < sizeof(facts.common_name));
	FUZZ_CHECK(certificate_der_to_pem(input, &pem) == RESULT_OK);
	FUZZ_CHECK(certificate_read_pem(buf_span(&pem), &again, NULL) == RESULT_OK);
	FUZZ_CHECK(memcmp(&facts, &again, sizeof(facts)) == 0);
	return 0;
}
