#include "adapters/keys/keyd_server.h"

#include "adapters/keys/protocol.h"

#include <stdlib.h>

/* What is at hand while one request is answered. */
struct answering {
	const struct keyd_services *services;
	enum keyd_caller caller;
	struct keyd_request request;
	struct buf *answer;
	struct note note;
};

/* Each returns what the vault said, having encoded the answer when that is RESULT_OK. */

static enum result answer_hello(struct answering *a)
{
	if (a->request.version != KEYD_PROTOCOL_VERSION) {
		note_set(&a->note, "the key daemon speaks protocol version %d", KEYD_PROTOCOL_VERSION);
		return RESULT_INVALID;
	}
	return keyd_put_hello_answer(a->answer, KEYD_PROTOCOL_VERSION);
}

static enum result answer_create_tenant(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	TRY(keys->ops->create_tenant(keys, &a->request.tenant, &a->note));
	return keyd_put_empty_answer(a->answer, a->request.call);
}

static enum result answer_index(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	struct vin_index_set sets[KEY_INDEX_BATCH_MAX];
	size_t count = a->request.index.count;
	TRY(keys->ops->index_vins(keys, &a->request.tenant, a->request.index.vins, count, sets, &a->note));
	return keyd_put_index_answer(a->answer, sets, count);
}

static enum result answer_seal(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	struct sealed_vin sealed;
	TRY(keys->ops->seal_vin(keys, &a->request.tenant, &a->request.reference_id, &a->request.vin, &sealed,
				&a->note));
	return keyd_put_bytes_answer(a->answer, a->request.call, span_of(sealed.bytes, SEALED_VIN_SIZE));
}

static enum result answer_open(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	struct vin vin = {0};
	enum result result =
		keys->ops->open_vin(keys, &a->request.tenant, &a->request.reference_id, &a->request.open.sealed,
				    &a->request.open.authorisation, &vin, &a->note);
	if (result == RESULT_OK)
		result = keyd_put_bytes_answer(a->answer, a->request.call, span_of(vin.text, VIN_LENGTH));
	secret_wipe(&vin, sizeof(vin));
	return result;
}

static enum result answer_reseal(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	struct reseal_item *items = a->request.reseal.items;
	size_t count = a->request.reseal.count;
	TRY(keys->ops->reseal_vins(keys, &a->request.tenant, items, count, &a->note));
	return keyd_put_reseal_answer(a->answer, items, count);
}

static enum result answer_fingerprint(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	uint8_t code[SHA256_SIZE];
	TRY(keys->ops->fingerprint(keys, &a->request.tenant, a->request.content, code, &a->note));
	return keyd_put_bytes_answer(a->answer, a->request.call, span_of(code, sizeof(code)));
}

static enum result answer_get_generations(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	struct key_generations generations;
	TRY(keys->ops->get_generations(keys, &a->request.tenant, &generations, &a->note));
	return keyd_put_generations_answer(a->answer, a->request.call, generations);
}

static enum result answer_begin_rotation(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	struct key_generations generations;
	TRY(keys->ops->begin_rotation(keys, &a->request.tenant, &generations, &a->note));
	return keyd_put_generations_answer(a->answer, a->request.call, generations);
}

static enum result answer_finish_rotation(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	TRY(keys->ops->finish_rotation(keys, &a->request.tenant, &a->note));
	return keyd_put_empty_answer(a->answer, a->request.call);
}

static enum result answer_sign_checkpoint(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	BUF_CLEANUP struct buf text = {.size_max = KEYD_SMALL_FRAME_MAX / 2};
	TRY(keys->ops->sign_checkpoint(keys, a->request.checkpoint.size, &a->request.checkpoint.root,
				       &a->request.checkpoint.proof, &text, &a->note));
	return keyd_put_bytes_answer(a->answer, a->request.call, buf_span(&text));
}

static enum result answer_last_checkpoint(struct answering *a)
{
	struct key_service *keys = a->services->keys;
	uint64_t size = 0;
	struct merkle_hash root;
	TRY(keys->ops->last_checkpoint(keys, &size, &root, &a->note));
	return keyd_put_last_checkpoint_answer(a->answer, size, &root);
}

static enum result answer_issue(struct answering *a)
{
	struct cert_authority *authority = a->services->authority;
	struct issued_certificate certificate = {.der = {.size_max = CERTIFICATE_SIZE_MAX}};
	TRY(authority->ops->issue_device(authority, &a->request.reference_id, a->request.csr, &certificate, &a->note));
	enum result result = keyd_put_issue_answer(a->answer, a->request.call, &certificate);
	buf_release(&certificate.der);
	return result;
}

/* Not for vinveild: with a claim of its own making, who takes it over could provision without a trace of whom. */
static enum result answer_issue_claim(struct answering *a)
{
	struct cert_authority *authority = a->services->authority;
	struct issued_certificate certificate = {.der = {.size_max = CERTIFICATE_SIZE_MAX}};
	if (a->caller != KEYD_CALLER_OWNER) {
		note_set(&a->note, "claim certificates are issued to root and to the key daemon's own user only");
		return RESULT_DENIED;
	}
	TRY(authority->ops->issue_claim(authority, a->request.claim.name, a->request.claim.csr, a->request.claim.days,
					&certificate, &a->note));
	enum result result = keyd_put_issue_answer(a->answer, a->request.call, &certificate);
	buf_release(&certificate.der);
	return result;
}

static enum result answer_sign_crl(struct answering *a)
{
	struct cert_authority *authority = a->services->authority;
	BUF_CLEANUP struct buf der = {.size_max = KEYD_CRL_SIZE_MAX - KEYD_SMALL_FRAME_MAX};
	size_t count = a->request.crl.count;
	struct revoked_certificate *revoked = calloc(count + 1, sizeof(*revoked));
	if (!revoked)
		return RESULT_MEMORY;
	for (size_t i = 0; i < count; i++)
		keyd_get_revoked(a->request.crl.entries, i, &revoked[i]);
	enum result result = authority->ops->sign_crl(authority, revoked, count, &der, &a->note);
	free(revoked);
	return result == RESULT_OK ? keyd_put_bytes_answer(a->answer, a->request.call, buf_span(&der)) : result;
}

static enum result answer_get_chain(struct answering *a)
{
	struct cert_authority *authority = a->services->authority;
	BUF_CLEANUP struct buf pem = {.size_max = KEYD_SMALL_FRAME_MAX};
	TRY(authority->ops->get_chain(authority, &pem, &a->note));
	return keyd_put_bytes_answer(a->answer, a->request.call, buf_span(&pem));
}

static enum result (*const answerers[])(struct answering *a) = {
	[KEYD_HELLO] = answer_hello,
	[KEYD_CREATE_TENANT] = answer_create_tenant,
	[KEYD_INDEX_VINS] = answer_index,
	[KEYD_SEAL_VIN] = answer_seal,
	[KEYD_OPEN_VIN] = answer_open,
	[KEYD_RESEAL_VINS] = answer_reseal,
	[KEYD_FINGERPRINT] = answer_fingerprint,
	[KEYD_GET_GENERATIONS] = answer_get_generations,
	[KEYD_BEGIN_ROTATION] = answer_begin_rotation,
	[KEYD_FINISH_ROTATION] = answer_finish_rotation,
	[KEYD_SIGN_CHECKPOINT] = answer_sign_checkpoint,
	[KEYD_LAST_CHECKPOINT] = answer_last_checkpoint,
	[KEYD_ISSUE_DEVICE] = answer_issue,
	[KEYD_SIGN_CRL] = answer_sign_crl,
	[KEYD_GET_CHAIN] = answer_get_chain,
	[KEYD_ISSUE_CLAIM] = answer_issue_claim,
};

/* Deep calls of the library are below this frame, so that the caller's scrubbing reaches what they left. */
__attribute__((noinline)) static enum result answer_request(const struct keyd_services *services,
							    enum keyd_caller caller, struct span request,
							    struct buf *ret_answer)
{
	struct answering answering = {.services = services, .caller = caller, .answer = ret_answer};
	enum result result = keyd_get_request(request, &answering.request);
	if (result == RESULT_OK) {
		enum result said = answerers[answering.request.call](&answering);
		if (said != RESULT_OK) {
			buf_clear(ret_answer);
			result = keyd_put_failure(ret_answer, (uint8_t)answering.request.call, said, &answering.note);
		}
	}
	secret_wipe(&answering, sizeof(answering));
	return result;
}

enum result keyd_answer(const struct keyd_services *services, enum keyd_caller caller, struct span request,
			struct buf *ret_answer)
{
	enum result result = answer_request(services, caller, request, ret_answer);
	secret_scrub_stack();
	return result;
}
