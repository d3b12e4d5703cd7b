/*
 * The protocol between keyd and its clients, version 1 (doc/keyd-protocol.md): frames over a UNIX stream socket, one
 * answer for each request, in order; a client sends its next request when it has the answer. Encoding and decoding
 * for both sides. Decoding is strict: every length is bounded, every value in range, no byte left over
 * (RESULT_INVALID); what is decoded borrows from the frame unless it says otherwise. Pure and thread-safe.
 *
 *   frame:    length u32 BE (of what follows) | call u8 | body
 *   answer:   length u32 BE | call u8 with the top bit set | result u8 | body, or for a failure: a note's text
 */
#ifndef VINVEIL_ADAPTERS_KEYS_PROTOCOL_H
#define VINVEIL_ADAPTERS_KEYS_PROTOCOL_H

#include "adapters/keys/wire.h"
#include "vehicle/claim.h"
#include "vehicle/ports/cert_authority.h"
#include "vehicle/ports/key_service.h"

#define KEYD_PROTOCOL_VERSION  1
#define KEYD_MAGIC	       "vinveil\n"
#define KEYD_MAGIC_SIZE	       8
#define KEYD_FRAME_HEADER_SIZE 5 /* length and call */
#define KEYD_FINGERPRINT_MAX   ((size_t)1 << 20)
#define KEYD_REVOKED_MAX       ((size_t)1 << 18)
#define KEYD_REVOKED_SIZE      (SERIAL_SIZE + 8 + 1)
#define KEYD_SMALL_FRAME_MAX   ((size_t)64 << 10)
#define KEYD_CRL_SIZE_MAX      ((size_t)16 << 20)
#define KEYD_NOTE_TEXT_MAX     (NOTE_SIZE - 1)

/* Never renumber. */
enum keyd_call {
	KEYD_HELLO = 1,
	KEYD_CREATE_TENANT = 2,
	KEYD_INDEX_VINS = 3,
	KEYD_SEAL_VIN = 4,
	KEYD_OPEN_VIN = 5,
	KEYD_RESEAL_VINS = 6,
	KEYD_FINGERPRINT = 7,
	KEYD_GET_GENERATIONS = 8,
	KEYD_BEGIN_ROTATION = 9,
	KEYD_FINISH_ROTATION = 10,
	KEYD_SIGN_CHECKPOINT = 11,
	KEYD_LAST_CHECKPOINT = 12,
	KEYD_ISSUE_DEVICE = 13,
	KEYD_SIGN_CRL = 14,
	KEYD_GET_CHAIN = 15,
	KEYD_ISSUE_CLAIM = 16,
};

/* The largest frame of a call, header included; that of an unknown call is a header. */
size_t keyd_request_size_max(uint8_t call);
size_t keyd_answer_size_max(uint8_t call);
/* Of the frame whose first KEYD_FRAME_HEADER_SIZE bytes these are: RESULT_INVALID beyond the call's maximum. */
MUST_USE enum result keyd_frame_size(struct span header, bool is_answer, size_t *ret_size);

/* ---- requests: each encoder appends a whole frame --------------------------------------------------- */

MUST_USE enum result keyd_put_hello(struct buf *frame, uint16_t version);
/* CREATE_TENANT, GET_GENERATIONS, BEGIN_ROTATION, FINISH_ROTATION */
MUST_USE enum result keyd_put_tenant_call(struct buf *frame, enum keyd_call call, const struct tenant_id *tenant);
/* LAST_CHECKPOINT, GET_CHAIN */
MUST_USE enum result keyd_put_plain_call(struct buf *frame, enum keyd_call call);
MUST_USE enum result keyd_put_index(struct buf *frame, const struct tenant_id *tenant, const struct hashed_vin *vins,
				    size_t count);
MUST_USE enum result keyd_put_seal(struct buf *frame, const struct tenant_id *tenant, const struct uuid *reference_id,
				   const struct vin *vin);
MUST_USE enum result keyd_put_open(struct buf *frame, const struct tenant_id *tenant, const struct uuid *reference_id,
				   const struct sealed_vin *sealed, const struct reveal_authorisation *authorisation);
MUST_USE enum result keyd_put_reseal(struct buf *frame, const struct tenant_id *tenant, const struct reseal_item *items,
				     size_t count);
MUST_USE enum result keyd_put_fingerprint(struct buf *frame, const struct tenant_id *tenant, struct span content);
MUST_USE enum result keyd_put_checkpoint(struct buf *frame, uint64_t size, const struct merkle_hash *root,
					 const struct merkle_proof *proof);
MUST_USE enum result keyd_put_issue(struct buf *frame, const struct uuid *reference_id, struct span csr);
MUST_USE enum result keyd_put_issue_claim(struct buf *frame, const char *name, int64_t days, struct span csr);
MUST_USE enum result keyd_put_crl(struct buf *frame, const struct revoked_certificate *revoked, size_t count);

/* A request as keyd reads it. Holds secrets by value (vin): wipe it. */
struct keyd_request {
	enum keyd_call call;
	struct tenant_id tenant;
	struct uuid reference_id;
	union {
		uint16_t version; /* HELLO */
		struct {
			const struct hashed_vin *vins;
			size_t count;
		} index;
		struct vin vin; /* SEAL_VIN */
		struct {
			struct sealed_vin sealed;
			struct reveal_authorisation authorisation;
		} open;
		struct {
			struct reseal_item items[KEY_RESEAL_BATCH_MAX];
			size_t count;
		} reseal;
		struct span content; /* FINGERPRINT */
		struct {
			uint64_t size;
			struct merkle_hash root;
			struct merkle_proof proof;
		} checkpoint;
		struct span csr; /* ISSUE_DEVICE */
		struct {
			char name[CLAIM_NAME_LENGTH_MAX + 1];
			int64_t days;
			struct span csr;
		} claim;
		struct {
			struct span entries; /* KEYD_REVOKED_SIZE each: keyd_get_revoked() */
			size_t count;
		} crl;
	};
};

MUST_USE enum result keyd_get_request(struct span frame, struct keyd_request *ret_request);
/* Entry i, i < crl.count, whose form was judged by keyd_get_request(). */
void keyd_get_revoked(struct span entries, size_t i, struct revoked_certificate *ret_revoked);

/* ---- answers ---------------------------------------------------------------------------------------- */

/* The answer to a call that failed. */
MUST_USE enum result keyd_put_failure(struct buf *frame, uint8_t call, enum result failure, const struct note *note);
/* Answers of HELLO; of calls without one (CREATE_TENANT, FINISH_ROTATION) */
MUST_USE enum result keyd_put_hello_answer(struct buf *frame, uint16_t version);
MUST_USE enum result keyd_put_empty_answer(struct buf *frame, enum keyd_call call);
MUST_USE enum result keyd_put_index_answer(struct buf *frame, const struct vin_index_set *sets, size_t count);
/* SEAL_VIN, OPEN_VIN, FINGERPRINT, SIGN_CHECKPOINT, SIGN_CRL, GET_CHAIN: bytes to the frame's end */
MUST_USE enum result keyd_put_bytes_answer(struct buf *frame, enum keyd_call call, struct span bytes);
MUST_USE enum result keyd_put_reseal_answer(struct buf *frame, const struct reseal_item *items, size_t count);
/* GET_GENERATIONS, BEGIN_ROTATION */
MUST_USE enum result keyd_put_generations_answer(struct buf *frame, enum keyd_call call,
						 struct key_generations generations);
MUST_USE enum result keyd_put_last_checkpoint_answer(struct buf *frame, uint64_t size, const struct merkle_hash *root);
/* ISSUE_DEVICE, ISSUE_CLAIM */
MUST_USE enum result keyd_put_issue_answer(struct buf *frame, enum keyd_call call,
					   const struct issued_certificate *certificate);

/*
 * Splits an answer to `call`: *ret_result is what keyd says; for RESULT_OK *ret_body is the body, else the note is
 * set. RESULT_INVALID for what is no such answer.
 */
MUST_USE enum result keyd_get_answer(struct span frame, enum keyd_call call, enum result *ret_result,
				     struct span *ret_body, struct note *note);
MUST_USE enum result keyd_get_hello_answer(struct span body, uint16_t *ret_version);
MUST_USE enum result keyd_get_index_answer(struct span body, size_t count, struct vin_index_set *ret_sets);
/* Exactly `size` bytes. */
MUST_USE enum result keyd_get_fixed_answer(struct span body, void *ret_bytes, size_t size);
/* Fills the items' sealed, index and result. The items are changed only when all of the answer is good. */
MUST_USE enum result keyd_get_reseal_answer(struct span body, struct reseal_item *items, size_t count);
MUST_USE enum result keyd_get_generations_answer(struct span body, struct key_generations *ret_generations);
MUST_USE enum result keyd_get_last_checkpoint_answer(struct span body, uint64_t *ret_size,
						     struct merkle_hash *ret_root);
/* Appends to ret_certificate->der. */
MUST_USE enum result keyd_get_issue_answer(struct span body, struct issued_certificate *ret_certificate);

#endif
