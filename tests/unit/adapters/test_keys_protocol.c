/* The protocol: what is written is read alike; what is cut, lengthened or bent is refused. */
#include "../cmocka_all.h"

#include "adapters/keys/protocol.h"
#include "keys_support.h"

static struct keyd_request request;

static void put_every_call(struct buf frames[17])
{
	static struct hashed_vin vins[KEY_INDEX_BATCH_MAX];
	static struct reseal_item items[KEY_RESEAL_BATCH_MAX];
	static const struct revoked_certificate revoked[2] = {{.serial = {{0x41}}, .reason = REVOCATION_SUPERSEDED}};
	struct tenant_id demo = tenant_named("demo");
	struct uuid id = new_uuid();
	struct vin vin = vin_numbered(1);
	struct sealed_vin sealed = {{1}};
	struct merkle_hash root = {{7}};
	struct merkle_proof proof = {.count = 3};
	struct reveal_authorisation persons = {.requested_by = "anna", .approved_by = "ben"};
	assert_int_equal(keyd_put_hello(&frames[1], 1), RESULT_OK);
	assert_int_equal(keyd_put_tenant_call(&frames[2], KEYD_CREATE_TENANT, &demo), RESULT_OK);
	assert_int_equal(keyd_put_index(&frames[3], &demo, vins, KEY_INDEX_BATCH_MAX), RESULT_OK);
	assert_int_equal(keyd_put_seal(&frames[4], &demo, &id, &vin), RESULT_OK);
	assert_int_equal(keyd_put_open(&frames[5], &demo, &id, &sealed, &persons), RESULT_OK);
	assert_int_equal(keyd_put_reseal(&frames[6], &demo, items, KEY_RESEAL_BATCH_MAX), RESULT_OK);
	assert_int_equal(keyd_put_fingerprint(&frames[7], &demo, span_of_text("content")), RESULT_OK);
	assert_int_equal(keyd_put_tenant_call(&frames[8], KEYD_GET_GENERATIONS, &demo), RESULT_OK);
	assert_int_equal(keyd_put_tenant_call(&frames[9], KEYD_BEGIN_ROTATION, &demo), RESULT_OK);
	assert_int_equal(keyd_put_tenant_call(&frames[10], KEYD_FINISH_ROTATION, &demo), RESULT_OK);
	assert_int_equal(keyd_put_checkpoint(&frames[11], 99, &root, &proof), RESULT_OK);
	assert_int_equal(keyd_put_plain_call(&frames[12], KEYD_LAST_CHECKPOINT), RESULT_OK);
	assert_int_equal(keyd_put_issue(&frames[13], &id, span_of_text("csr")), RESULT_OK);
	assert_int_equal(keyd_put_crl(&frames[14], revoked, 2), RESULT_OK);
	assert_int_equal(keyd_put_plain_call(&frames[15], KEYD_GET_CHAIN), RESULT_OK);
	assert_int_equal(keyd_put_issue_claim(&frames[16], "line-1", 30, span_of_text("csr")), RESULT_OK);
}

static void set_length(struct buf *frame)
{
	for (int i = 0; i < 4; i++)
		frame->data[i] = (uint8_t)((frame->size - 4) >> (24 - 8 * i));
}

static void test_every_call_is_read(void **state)
{
	(void)state;
	struct buf frames[17] = {0};
	put_every_call(frames);
	for (uint8_t call = 1; call < 17; call++) {
		assert_int_equal(keyd_get_request(buf_span(&frames[call]), &request), RESULT_OK);
		assert_int_equal(request.call, call);
		buf_release(&frames[call]);
	}
}

/* Every prefix, with its length field put right, and every frame with a byte more. */
static void test_cut_and_lengthened_frames_are_refused(void **state)
{
	(void)state;
	struct buf frames[17] = {0};
	put_every_call(frames);
	for (uint8_t call = 1; call < 17; call++) {
		struct buf *frame = &frames[call];
		size_t whole = frame->size;
		frame->size_max = 0;
		assert_int_equal(buf_append_byte(frame, 0), RESULT_OK);
		assert_int_equal(keyd_get_request(buf_span(frame), &request), RESULT_INVALID);
		set_length(frame);
		assert_int_equal(keyd_get_request(buf_span(frame), &request), RESULT_INVALID);
		for (size_t size = whole; size-- > 0;) {
			frame->size = size;
			assert_int_equal(keyd_get_request(buf_span(frame), &request), RESULT_INVALID);
			if (size >= KEYD_FRAME_HEADER_SIZE) {
				set_length(frame);
				assert_int_equal(keyd_get_request(buf_span(frame), &request), RESULT_INVALID);
			}
		}
		buf_release(frame);
	}
}

static void expect_refused(const void *bytes, size_t size)
{
	assert_int_equal(keyd_get_request(span_of(bytes, size), &request), RESULT_INVALID);
}
#define REFUSE(bytes) expect_refused(bytes, sizeof(bytes) - 1)

static void test_values_out_of_range_are_refused(void **state)
{
	(void)state;
	REFUSE("\0\0\0\x01\x00");		 /* call 0 */
	REFUSE("\0\0\0\x01\x11");		 /* call 17 */
	REFUSE("\0\0\0\x01\x8c");		 /* an answer */
	REFUSE("\0\0\0\x0b\x01vinveil\r\0\x01"); /* magic */
	REFUSE("\0\0\0\x02\x02\0");		 /* no tenant */
	REFUSE("\0\0\0\x06\x02\4DEMO");		 /* no tenant ID */
	REFUSE("\0\0\0\x07\x02\5dem\0o");	 /* NUL */
	REFUSE("\0\0\0\x08\x03\4demo\0\0");	 /* batch of none */
	REFUSE("\0\0\0\x08\x03\4demo\xff\xff");	 /* batch too large */
	REFUSE("\0\0\0\x08\x06\4demo\0\0");
	REFUSE("\0\0\0\x08\x06\4demo\xff\xff");
	REFUSE("\0\0\0\x0a\x07\4demo\xff\xff\xff\xff");
	REFUSE("\0\0\0\x05\x0e\xff\xff\xff\xff");
	REFUSE("\xff\xff\xff\xff\x0c");
	REFUSE("\0\0\0\x07\x10\1a\0\0\0\0");	   /* a claim of no days */
	REFUSE("\0\0\0\x07\x10\1a\x0e\x43\0\0");   /* of 3,651 */
	REFUSE("\0\0\0\x06\x10\0\0\x1e\0\0");	   /* without a name */
	REFUSE("\0\0\0\x07\x10\1A\0\x1e\0\0");	   /* of a bad one */
	REFUSE("\0\0\0\x07\x10\1a\0\x1e\x20\x01"); /* a CSR too large */
}

static void test_reserved_signature_must_be_empty(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf frame = {0};
	struct tenant_id demo = tenant_named("demo");
	struct uuid id = new_uuid();
	struct sealed_vin sealed = {{1}};
	struct reveal_authorisation persons = {.requested_by = "anna", .approved_by = "ben"};
	assert_int_equal(keyd_put_open(&frame, &demo, &id, &sealed, &persons), RESULT_OK);
	assert_int_equal(keyd_get_request(buf_span(&frame), &request), RESULT_OK);
	assert_string_equal(request.open.authorisation.approved_by, "ben");
	frame.data[frame.size - 1] = 1;
	frame.size_max = 0;
	assert_int_equal(buf_append_byte(&frame, 0), RESULT_OK);
	set_length(&frame);
	assert_int_equal(keyd_get_request(buf_span(&frame), &request), RESULT_INVALID);
}

static void test_bad_vin_and_bad_revocations_are_refused(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf seal = {0};
	BUF_CLEANUP struct buf crl = {0};
	struct tenant_id demo = tenant_named("demo");
	struct uuid id = new_uuid();
	struct vin vin = vin_numbered(1);
	struct revoked_certificate revoked = {.serial = {{0x41}}, .reason = REVOCATION_SUPERSEDED};
	assert_int_equal(keyd_put_seal(&seal, &demo, &id, &vin), RESULT_OK);
	static const char bad[] = {'I', 'v', ' ', 0};
	for (size_t i = 0; i < sizeof(bad); i++) {
		seal.data[seal.size - 1] = (uint8_t)bad[i];
		assert_int_equal(keyd_get_request(buf_span(&seal), &request), RESULT_INVALID);
	}
	assert_int_equal(keyd_put_crl(&crl, &revoked, 1), RESULT_OK);
	crl.data[crl.size - 1] = 2;
	assert_int_equal(keyd_get_request(buf_span(&crl), &request), RESULT_INVALID);
	crl.data[crl.size - 1] = REVOCATION_SUPERSEDED;
	crl.data[crl.size - 9] = 0x80; /* a time before 1970 */
	assert_int_equal(keyd_get_request(buf_span(&crl), &request), RESULT_INVALID);
}

static void test_a_claim_has_no_vehicles_name(void **state)
{
	(void)state;
	static const char *const bad[] = {"",
					  "-a",
					  "Line",
					  "a b",
					  "a/b",
					  "0b9e4f1a-7c2d-4e3f-8a1b-2c3d4e5f6071",
					  "a23456789a123456789a123456789a123456789a123456789"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		BUF_CLEANUP struct buf frame = {0};
		assert_int_equal(keyd_put_issue_claim(&frame, bad[i], 1, span_of_text("csr")), RESULT_INVALID);
	}
	BUF_CLEANUP struct buf frame = {0};
	assert_int_equal(keyd_put_issue_claim(&frame, "a", 0, span_of_text("csr")), RESULT_INVALID);
	assert_int_equal(keyd_put_issue_claim(&frame, "a", CLAIM_DAYS_MAX + 1, span_of_text("csr")), RESULT_INVALID);
	assert_int_equal(keyd_put_issue_claim(&frame, "a", CLAIM_DAYS_MAX, span_of_text("csr")), RESULT_OK);
	assert_int_equal(keyd_get_request(buf_span(&frame), &request), RESULT_OK);
	assert_string_equal(request.claim.name, "a");
	assert_int_equal(request.claim.days, CLAIM_DAYS_MAX);
	assert_int_equal(request.claim.csr.size, 3);
}

static void test_answers(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf frame = {0};
	struct vin_index_set sets[2] = {{.count = 2, .indexes = {{.generation = 3}, {.generation = 2}}}, {.count = 2}};
	struct vin_index_set back[2];
	enum result said = RESULT_OK;
	struct span body;
	sets[1].indexes[1].bytes[15] = 9;
	assert_int_equal(keyd_put_index_answer(&frame, sets, 2), RESULT_OK);
	assert_int_equal(keyd_get_answer(buf_span(&frame), KEYD_SEAL_VIN, &said, &body, NULL), RESULT_INVALID);
	assert_int_equal(keyd_get_answer(buf_span(&frame), KEYD_INDEX_VINS, &said, &body, NULL), RESULT_OK);
	assert_int_equal(said, RESULT_OK);
	assert_int_equal(keyd_get_index_answer(body, 1, back), RESULT_INVALID);
	assert_int_equal(keyd_get_index_answer(body, 3, back), RESULT_INVALID);
	assert_int_equal(keyd_get_index_answer(body, 2, back), RESULT_OK);
	assert_int_equal(back[1].indexes[0].generation, 3);
	assert_int_equal(back[1].indexes[1].bytes[15], 9);
}

static void test_failures_carry_their_note(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf frame = {0};
	struct note note = {.text = "used up"}, back = {0};
	enum result said = RESULT_OK;
	struct span body;
	assert_int_equal(keyd_put_failure(&frame, KEYD_OPEN_VIN, RESULT_EXHAUSTED, &note), RESULT_OK);
	assert_int_equal(keyd_get_answer(buf_span(&frame), KEYD_OPEN_VIN, &said, &body, &back), RESULT_OK);
	assert_int_equal(said, RESULT_EXHAUSTED);
	assert_string_equal(back.text, "used up");
	frame.data[5] = 200; /* no such result */
	assert_int_equal(keyd_get_answer(buf_span(&frame), KEYD_OPEN_VIN, &said, &body, &back), RESULT_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_call_is_read),
		cmocka_unit_test(test_cut_and_lengthened_frames_are_refused),
		cmocka_unit_test(test_values_out_of_range_are_refused),
		cmocka_unit_test(test_reserved_signature_must_be_empty),
		cmocka_unit_test(test_bad_vin_and_bad_revocations_are_refused),
		cmocka_unit_test(test_a_claim_has_no_vehicles_name),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_failures_carry_their_note),
	};
	if (crypto_init(NULL) != RESULT_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
