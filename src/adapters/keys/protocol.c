/* Frames, and the requests of the protocol; protocol_answers.c holds the answers. */
#include "adapters/keys/protocol.h"

#include "adapters/keys/protocol_frame.h"

#define RESEAL_ITEM_SIZE (UUID_SIZE + SEALED_VIN_SIZE)

/* ---- frames --------------------------------------------------------------------------------------- */

size_t keyd_request_size_max(uint8_t call)
{
	if (call == KEYD_FINGERPRINT)
		return KEYD_SMALL_FRAME_MAX + KEYD_FINGERPRINT_MAX;
	if (call == KEYD_SIGN_CRL)
		return KEYD_SMALL_FRAME_MAX + KEYD_REVOKED_MAX * KEYD_REVOKED_SIZE;
	return call >= KEYD_HELLO && call <= KEYD_ISSUE_CLAIM ? KEYD_SMALL_FRAME_MAX : KEYD_FRAME_HEADER_SIZE;
}

size_t keyd_answer_size_max(uint8_t call)
{
	return call == KEYD_SIGN_CRL ? KEYD_CRL_SIZE_MAX : KEYD_SMALL_FRAME_MAX;
}

enum result keyd_frame_size(struct span header, bool is_answer, size_t *ret_size)
{
	struct wire_reader reader = {.rest = header};
	size_t size = (size_t)wire_get_u32(&reader) + 4;
	uint8_t call = wire_get_u8(&reader);
	if (reader.failed || size < KEYD_FRAME_HEADER_SIZE)
		return RESULT_INVALID;
	if (is_answer != ((call & KEYD_ANSWER_BIT) != 0))
		return RESULT_INVALID;
	size_t size_max =
		is_answer ? keyd_answer_size_max(call & (uint8_t)~KEYD_ANSWER_BIT) : keyd_request_size_max(call);
	if (size > size_max)
		return RESULT_INVALID;
	*ret_size = size;
	return RESULT_OK;
}

enum result keyd_frame_begin(struct buf *frame, uint8_t call, size_t size_max)
{
	frame->size_max = size_max;
	TRY(wire_put_u32(frame, 0));
	return wire_put_u8(frame, call);
}

/* The length is known only now. */
enum result keyd_frame_end(struct buf *frame)
{
	uint32_t length = (uint32_t)(frame->size - 4);
	for (size_t i = 0; i < 4; i++)
		frame->data[i] = (uint8_t)(length >> (24 - 8 * i));
	return RESULT_OK;
}

static enum result begin(struct buf *frame, enum keyd_call call)
{
	return keyd_frame_begin(frame, (uint8_t)call, keyd_request_size_max((uint8_t)call));
}

static enum result put_text(struct buf *frame, const char *text)
{
	size_t length = strlen(text);
	if (length > UINT8_MAX)
		return RESULT_INVALID;
	TRY(wire_put_u8(frame, (uint8_t)length));
	return wire_put(frame, text, length);
}

/* ---- encoding requests ---------------------------------------------------------------------------- */

enum result keyd_put_hello(struct buf *frame, uint16_t version)
{
	TRY(begin(frame, KEYD_HELLO));
	TRY(wire_put(frame, KEYD_MAGIC, KEYD_MAGIC_SIZE));
	TRY(wire_put_u16(frame, version));
	return keyd_frame_end(frame);
}

enum result keyd_put_tenant_call(struct buf *frame, enum keyd_call call, const struct tenant_id *tenant)
{
	TRY(begin(frame, call));
	TRY(put_text(frame, tenant->text));
	return keyd_frame_end(frame);
}

enum result keyd_put_plain_call(struct buf *frame, enum keyd_call call)
{
	TRY(begin(frame, call));
	return keyd_frame_end(frame);
}

enum result keyd_put_index(struct buf *frame, const struct tenant_id *tenant, const struct hashed_vin *vins,
			   size_t count)
{
	if (count == 0 || count > KEY_INDEX_BATCH_MAX)
		return RESULT_INVALID;
	TRY(begin(frame, KEYD_INDEX_VINS));
	TRY(put_text(frame, tenant->text));
	TRY(wire_put_u16(frame, (uint16_t)count));
	TRY(wire_put(frame, vins, count * sizeof(*vins)));
	return keyd_frame_end(frame);
}

enum result keyd_put_seal(struct buf *frame, const struct tenant_id *tenant, const struct uuid *reference_id,
			  const struct vin *vin)
{
	TRY(begin(frame, KEYD_SEAL_VIN));
	TRY(put_text(frame, tenant->text));
	TRY(wire_put(frame, reference_id->bytes, UUID_SIZE));
	TRY(wire_put(frame, vin->text, VIN_LENGTH));
	return keyd_frame_end(frame);
}

enum result keyd_put_open(struct buf *frame, const struct tenant_id *tenant, const struct uuid *reference_id,
			  const struct sealed_vin *sealed, const struct reveal_authorisation *authorisation)
{
	TRY(begin(frame, KEYD_OPEN_VIN));
	TRY(put_text(frame, tenant->text));
	TRY(wire_put(frame, reference_id->bytes, UUID_SIZE));
	TRY(wire_put(frame, sealed->bytes, SEALED_VIN_SIZE));
	TRY(wire_put(frame, authorisation->reveal_request_id.bytes, UUID_SIZE));
	TRY(put_text(frame, authorisation->requested_by));
	TRY(put_text(frame, authorisation->approved_by));
	TRY(wire_put_u16(frame, 0)); /* the approver's signature: none in version 1 */
	return keyd_frame_end(frame);
}

enum result keyd_put_reseal(struct buf *frame, const struct tenant_id *tenant, const struct reseal_item *items,
			    size_t count)
{
	if (count == 0 || count > KEY_RESEAL_BATCH_MAX)
		return RESULT_INVALID;
	TRY(begin(frame, KEYD_RESEAL_VINS));
	TRY(put_text(frame, tenant->text));
	TRY(wire_put_u16(frame, (uint16_t)count));
	for (size_t i = 0; i < count; i++) {
		TRY(wire_put(frame, items[i].reference_id.bytes, UUID_SIZE));
		TRY(wire_put(frame, items[i].sealed.bytes, SEALED_VIN_SIZE));
	}
	return keyd_frame_end(frame);
}

enum result keyd_put_fingerprint(struct buf *frame, const struct tenant_id *tenant, struct span content)
{
	if (content.size > KEYD_FINGERPRINT_MAX)
		return RESULT_EXHAUSTED;
	TRY(begin(frame, KEYD_FINGERPRINT));
	TRY(put_text(frame, tenant->text));
	TRY(wire_put_u32(frame, (uint32_t)content.size));
	TRY(buf_append(frame, content));
	return keyd_frame_end(frame);
}

enum result keyd_put_checkpoint(struct buf *frame, uint64_t size, const struct merkle_hash *root,
				const struct merkle_proof *proof)
{
	if (proof->count > MERKLE_PROOF_MAX)
		return RESULT_INVALID;
	TRY(begin(frame, KEYD_SIGN_CHECKPOINT));
	TRY(wire_put_u64(frame, size));
	TRY(wire_put(frame, root->bytes, SHA256_SIZE));
	TRY(wire_put_u8(frame, (uint8_t)proof->count));
	TRY(wire_put(frame, proof->hashes, proof->count * sizeof(proof->hashes[0])));
	return keyd_frame_end(frame);
}

enum result keyd_put_issue(struct buf *frame, const struct uuid *reference_id, struct span csr)
{
	if (csr.size > CSR_SIZE_MAX)
		return RESULT_INVALID;
	TRY(begin(frame, KEYD_ISSUE_DEVICE));
	TRY(wire_put(frame, reference_id->bytes, UUID_SIZE));
	TRY(wire_put_u16(frame, (uint16_t)csr.size));
	TRY(buf_append(frame, csr));
	return keyd_frame_end(frame);
}

enum result keyd_put_issue_claim(struct buf *frame, const char *name, int64_t days, struct span csr)
{
	char checked[CLAIM_NAME_LENGTH_MAX + 1];
	if (csr.size > CSR_SIZE_MAX || days < 1 || days > CLAIM_DAYS_MAX ||
	    claim_name_parse(span_of_text(name), checked) != RESULT_OK)
		return RESULT_INVALID;
	TRY(begin(frame, KEYD_ISSUE_CLAIM));
	TRY(put_text(frame, name));
	TRY(wire_put_u16(frame, (uint16_t)days));
	TRY(wire_put_u16(frame, (uint16_t)csr.size));
	TRY(buf_append(frame, csr));
	return keyd_frame_end(frame);
}

enum result keyd_put_crl(struct buf *frame, const struct revoked_certificate *revoked, size_t count)
{
	if (count > KEYD_REVOKED_MAX)
		return RESULT_EXHAUSTED;
	TRY(begin(frame, KEYD_SIGN_CRL));
	TRY(wire_put_u32(frame, (uint32_t)count));
	for (size_t i = 0; i < count; i++) {
		TRY(wire_put(frame, revoked[i].serial.bytes, SERIAL_SIZE));
		TRY(wire_put_u64(frame, (uint64_t)revoked[i].revoked_at_ms));
		TRY(wire_put_u8(frame, (uint8_t)revoked[i].reason));
	}
	return keyd_frame_end(frame);
}

/* ---- decoding requests ---------------------------------------------------------------------------- */

/* Length and bytes without NUL into a zero-filled array of length_max + 1. */
static void get_text(struct wire_reader *reader, char *ret_text, size_t length_max)
{
	size_t length = wire_get_u8(reader);
	struct span text = wire_get_span(reader, length);
	memset(ret_text, 0, length_max + 1);
	if (length > length_max || (text.size > 0 && memchr(text.data, '\0', text.size)))
		reader->failed = true;
	else if (text.size > 0)
		memcpy(ret_text, text.data, text.size);
}

static void get_tenant(struct wire_reader *reader, struct tenant_id *ret_tenant)
{
	char text[TENANT_ID_LENGTH_MAX + 1];
	get_text(reader, text, TENANT_ID_LENGTH_MAX);
	if (tenant_id_parse(span_of_text(text), ret_tenant) != RESULT_OK)
		reader->failed = true;
}

static void get_hello(struct wire_reader *reader, struct keyd_request *request)
{
	struct span magic = wire_get_span(reader, KEYD_MAGIC_SIZE);
	if (!span_equal(magic, span_of(KEYD_MAGIC, KEYD_MAGIC_SIZE)))
		reader->failed = true;
	request->version = wire_get_u16(reader);
}

static void get_index(struct wire_reader *reader, struct keyd_request *request)
{
	get_tenant(reader, &request->tenant);
	size_t count = wire_get_u16(reader);
	struct span vins = wire_get_span(reader, count * sizeof(struct hashed_vin));
	if (count == 0 || count > KEY_INDEX_BATCH_MAX)
		reader->failed = true;
	/* Bytes all through, so the frame's own memory serves as the array. */
	request->index.vins = (const struct hashed_vin *)(const void *)vins.data;
	request->index.count = count;
}

static void get_seal(struct wire_reader *reader, struct keyd_request *request)
{
	char text[VIN_LENGTH + 1] = {0};
	get_tenant(reader, &request->tenant);
	wire_get(reader, request->reference_id.bytes, UUID_SIZE);
	wire_get(reader, text, VIN_LENGTH);
	/* Parsing would also trim and raise letters: what is sealed must be what was sent. */
	if (vin_parse(span_of(text, VIN_LENGTH), &request->vin) != RESULT_OK ||
	    memcmp(request->vin.text, text, sizeof(text)) != 0)
		reader->failed = true;
	secret_wipe(text, sizeof(text));
}

static void get_open(struct wire_reader *reader, struct keyd_request *request)
{
	struct reveal_authorisation *authorisation = &request->open.authorisation;
	get_tenant(reader, &request->tenant);
	wire_get(reader, request->reference_id.bytes, UUID_SIZE);
	wire_get(reader, request->open.sealed.bytes, SEALED_VIN_SIZE);
	wire_get(reader, authorisation->reveal_request_id.bytes, UUID_SIZE);
	get_text(reader, authorisation->requested_by, CLIENT_ID_LENGTH_MAX);
	get_text(reader, authorisation->approved_by, CLIENT_ID_LENGTH_MAX);
	if (wire_get_u16(reader) != 0)
		reader->failed = true;
}

static void get_reseal(struct wire_reader *reader, struct keyd_request *request)
{
	get_tenant(reader, &request->tenant);
	size_t count = wire_get_u16(reader);
	if (count == 0 || count > KEY_RESEAL_BATCH_MAX || reader->rest.size != count * RESEAL_ITEM_SIZE) {
		reader->failed = true;
		return;
	}
	request->reseal.count = count;
	for (size_t i = 0; i < count; i++) {
		struct reseal_item *item = &request->reseal.items[i];
		*item = (struct reseal_item){0};
		wire_get(reader, item->reference_id.bytes, UUID_SIZE);
		wire_get(reader, item->sealed.bytes, SEALED_VIN_SIZE);
	}
}

static void get_fingerprint(struct wire_reader *reader, struct keyd_request *request)
{
	get_tenant(reader, &request->tenant);
	size_t size = wire_get_u32(reader);
	if (size > KEYD_FINGERPRINT_MAX)
		reader->failed = true;
	request->content = wire_get_span(reader, size);
}

static void get_checkpoint(struct wire_reader *reader, struct keyd_request *request)
{
	request->checkpoint.size = wire_get_u64(reader);
	wire_get(reader, request->checkpoint.root.bytes, SHA256_SIZE);
	size_t count = wire_get_u8(reader);
	if (count > MERKLE_PROOF_MAX) {
		reader->failed = true;
		return;
	}
	request->checkpoint.proof.count = count;
	wire_get(reader, request->checkpoint.proof.hashes, count * sizeof(struct merkle_hash));
}

static struct span get_csr(struct wire_reader *reader)
{
	size_t size = wire_get_u16(reader);
	if (size > CSR_SIZE_MAX)
		reader->failed = true;
	return wire_get_span(reader, size);
}

static void get_issue(struct wire_reader *reader, struct keyd_request *request)
{
	wire_get(reader, request->reference_id.bytes, UUID_SIZE);
	request->csr = get_csr(reader);
}

static void get_issue_claim(struct wire_reader *reader, struct keyd_request *request)
{
	char text[CLAIM_NAME_LENGTH_MAX + 1];
	get_text(reader, text, CLAIM_NAME_LENGTH_MAX);
	request->claim.days = wire_get_u16(reader);
	request->claim.csr = get_csr(reader);
	if (claim_name_parse(span_of_text(text), request->claim.name) != RESULT_OK || request->claim.days < 1 ||
	    request->claim.days > CLAIM_DAYS_MAX)
		reader->failed = true;
}

static bool reason_is_known(uint8_t reason)
{
	switch ((enum revocation_reason)reason) {
	case REVOCATION_UNSPECIFIED:
	case REVOCATION_KEY_COMPROMISE:
	case REVOCATION_AFFILIATION_CHANGED:
	case REVOCATION_SUPERSEDED:
	case REVOCATION_CESSATION_OF_OPERATION:
	case REVOCATION_PRIVILEGE_WITHDRAWN:
		return true;
	}
	return false;
}

static void get_crl(struct wire_reader *reader, struct keyd_request *request)
{
	size_t count = wire_get_u32(reader);
	if (count > KEYD_REVOKED_MAX) {
		reader->failed = true;
		return;
	}
	request->crl.entries = wire_get_span(reader, count * KEYD_REVOKED_SIZE);
	request->crl.count = count;
	for (size_t i = 0; i < count && !reader->failed; i++) {
		const uint8_t *entry = request->crl.entries.data + i * KEYD_REVOKED_SIZE;
		if ((entry[SERIAL_SIZE] & 0x80) != 0 || !reason_is_known(entry[KEYD_REVOKED_SIZE - 1]))
			reader->failed = true;
	}
}

void keyd_get_revoked(struct span entries, size_t i, struct revoked_certificate *ret_revoked)
{
	struct wire_reader reader = {.rest = span_of(entries.data + i * KEYD_REVOKED_SIZE, KEYD_REVOKED_SIZE)};
	wire_get(&reader, ret_revoked->serial.bytes, SERIAL_SIZE);
	ret_revoked->revoked_at_ms = (int64_t)wire_get_u64(&reader);
	ret_revoked->reason = (enum revocation_reason)wire_get_u8(&reader);
}

static void get_tenant_only(struct wire_reader *reader, struct keyd_request *request)
{
	get_tenant(reader, &request->tenant);
}

static void get_nothing(struct wire_reader *reader, struct keyd_request *request)
{
	(void)reader;
	(void)request;
}

static void (*const body_readers[])(struct wire_reader *reader, struct keyd_request *request) = {
	[KEYD_HELLO] = get_hello,
	[KEYD_CREATE_TENANT] = get_tenant_only,
	[KEYD_INDEX_VINS] = get_index,
	[KEYD_SEAL_VIN] = get_seal,
	[KEYD_OPEN_VIN] = get_open,
	[KEYD_RESEAL_VINS] = get_reseal,
	[KEYD_FINGERPRINT] = get_fingerprint,
	[KEYD_GET_GENERATIONS] = get_tenant_only,
	[KEYD_BEGIN_ROTATION] = get_tenant_only,
	[KEYD_FINISH_ROTATION] = get_tenant_only,
	[KEYD_SIGN_CHECKPOINT] = get_checkpoint,
	[KEYD_LAST_CHECKPOINT] = get_nothing,
	[KEYD_ISSUE_DEVICE] = get_issue,
	[KEYD_SIGN_CRL] = get_crl,
	[KEYD_GET_CHAIN] = get_nothing,
	[KEYD_ISSUE_CLAIM] = get_issue_claim,
};

enum result keyd_get_request(struct span frame, struct keyd_request *ret_request)
{
	size_t size = 0;
	if (frame.size < KEYD_FRAME_HEADER_SIZE)
		return RESULT_INVALID;
	TRY(keyd_frame_size(span_of(frame.data, KEYD_FRAME_HEADER_SIZE), false, &size));
	uint8_t call = frame.data[4];
	if (size != frame.size || call >= sizeof(body_readers) / sizeof(body_readers[0]) || !body_readers[call])
		return RESULT_INVALID;
	struct wire_reader reader = {
		.rest = span_of(frame.data + KEYD_FRAME_HEADER_SIZE, frame.size - KEYD_FRAME_HEADER_SIZE)};
	ret_request->call = (enum keyd_call)call;
	body_readers[call](&reader, ret_request);
	return wire_end(&reader);
}
