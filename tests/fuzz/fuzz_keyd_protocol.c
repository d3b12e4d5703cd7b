/*
 * keyd's protocol, both sides. First byte: what the rest is. 0: a request, which when it is read must be written alike
 * again; otherwise an answer to that call, for the client to read.
 */
#include "adapters/keys/protocol.h"
#include "fuzz.h"

static struct keyd_request request;

static enum result put_crl(struct buf *frame)
{
	struct revoked_certificate *revoked = calloc(request.crl.count + 1, sizeof(*revoked));
	FUZZ_CHECK(revoked != NULL);
	for (size_t i = 0; i < request.crl.count; i++)
		keyd_get_revoked(request.crl.entries, i, &revoked[i]);
	enum result result = keyd_put_crl(frame, revoked, request.crl.count);
	free(revoked);
	return result;
}

static enum result put_again(struct buf *frame)
{
	switch (request.call) {
	case KEYD_HELLO:
		return keyd_put_hello(frame, request.version);
	case KEYD_INDEX_VINS:
		return keyd_put_index(frame, &request.tenant, request.index.vins, request.index.count);
	case KEYD_SEAL_VIN:
		return keyd_put_seal(frame, &request.tenant, &request.reference_id, &request.vin);
	case KEYD_OPEN_VIN:
		return keyd_put_open(frame, &request.tenant, &request.reference_id, &request.open.sealed,
				     &request.open.authorisation);
	case KEYD_RESEAL_VINS:
		return keyd_put_reseal(frame, &request.tenant, request.reseal.items, request.reseal.count);
	case KEYD_FINGERPRINT:
		return keyd_put_fingerprint(frame, &request.tenant, request.content);
	case KEYD_SIGN_CHECKPOINT:
		return keyd_put_checkpoint(frame, request.checkpoint.size, &request.checkpoint.root,
					   &request.checkpoint.proof);
	case KEYD_ISSUE_DEVICE:
		return keyd_put_issue(frame, &request.reference_id, request.csr);
	case KEYD_ISSUE_CLAIM:
		return keyd_put_issue_claim(frame, request.claim.name, request.claim.days, request.claim.csr);
	case KEYD_SIGN_CRL:
		return put_crl(frame);
	case KEYD_LAST_CHECKPOINT:
	case KEYD_GET_CHAIN:
		return keyd_put_plain_call(frame, request.call);
	case KEYD_CREATE_TENANT:
	case KEYD_GET_GENERATIONS:
	case KEYD_BEGIN_ROTATION:
	case KEYD_FINISH_ROTATION:
		return keyd_put_tenant_call(frame, request.call, &request.tenant);
	}
	return RESULT_INVALID;
}

static void read_request(struct span frame)
{
	BUF_CLEANUP struct buf again = {0};
	if (keyd_get_request(frame, &request) != RESULT_OK)
		return;
	FUZZ_CHECK(put_again(&again) == RESULT_OK);
	FUZZ_CHECK(span_equal(buf_span(&again), frame));
}

/* What a decoder may say. */
static void judge(enum result result)
{
	FUZZ_CHECK(result == RESULT_OK || result == RESULT_INVALID || result == RESULT_EXHAUSTED);
}

/* By every decoder: none may trust that the body is of its call. */
static void read_body(struct span body)
{
	static struct vin_index_set sets[KEY_INDEX_BATCH_MAX];
	static struct reseal_item items[KEY_RESEAL_BATCH_MAX];
	struct key_generations generations;
	struct merkle_hash root;
	uint64_t size = 0;
	uint16_t version = 0;
	struct issued_certificate certificate = {.der = {.size_max = CERTIFICATE_SIZE_MAX}};
	for (size_t count = 1; count <= KEY_INDEX_BATCH_MAX; count++)
		judge(keyd_get_index_answer(body, count, sets));
	for (size_t count = 1; count <= KEY_RESEAL_BATCH_MAX; count++)
		judge(keyd_get_reseal_answer(body, items, count));
	judge(keyd_get_generations_answer(body, &generations));
	judge(keyd_get_last_checkpoint_answer(body, &size, &root));
	judge(keyd_get_hello_answer(body, &version));
	judge(keyd_get_fixed_answer(body, root.bytes, SHA256_SIZE));
	judge(keyd_get_issue_answer(body, &certificate));
	buf_release(&certificate.der);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span body = {0};
	struct note note = {0};
	enum result said = RESULT_OK;
	if (size == 0)
		return 0;
	struct span rest = span_of(data + 1, size - 1);
	if (data[0] == 0)
		read_request(rest);
	else if (keyd_get_answer(rest, (enum keyd_call)(data[0] & 0x1f), &said, &body, &note) == RESULT_OK &&
		 said == RESULT_OK)
		read_body(body);
	return 0;
}
