/*
 * What claims send. First byte: 0 a request for a certificate, otherwise one for a vehicle. Whatever is refused is said
 * in a sentence that makes a well-formed answer.
 */
#include "fleet/claim_messages.h"
#include "fuzz.h"

static void check_answer(enum problem problem, const char *detail)
{
	BUF_CLEANUP struct buf payload = {0};
	JSON_CLEANUP json_t *json = NULL;

	FUZZ_CHECK(problem == PROBLEM_MALFORMED && detail[0] != '\0');
	FUZZ_CHECK(claim_write_rejected(problem, detail, &payload) == RESULT_OK);
	FUZZ_CHECK(json_read(buf_span(&payload), &json, NULL) == RESULT_OK && json_object_size(json) == 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	JSON_CLEANUP json_t *json = NULL;
	struct claimed_provisioning input = {0};
	char detail[CLAIM_DETAIL_SIZE] = "";
	struct span csr = {0};

	if (size == 0)
		return 0;
	struct span payload = span_of(data + 1, size - 1);
	enum problem problem = data[0] == 0 ? claim_read_create(payload, &json, &csr, detail)
					    : claim_read_provision(payload, &json, &input, detail);
	if (problem != PROBLEM_NONE) {
		check_answer(problem, detail);
		return 0;
	}
	FUZZ_CHECK(json_is_object(json));
	FUZZ_CHECK(data[0] == 0 ? csr.size <= CSR_TEXT_SIZE_MAX
				: input.token.data != NULL && input.vin.data != NULL && input.device_id.data != NULL);
	return 0;
}
