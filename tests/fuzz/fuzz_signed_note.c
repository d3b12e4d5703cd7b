/*
 * Signed notes, checkpoints, verifier keys and tlog-proofs: whatever is taken lies within the bytes and has the form
 * that its readers rely on, and nothing verifies that was not signed.
 */
#include "adapters/audit/note.h"
#include "adapters/audit/verify.h"
#include "fuzz.h"

static bool is_within(struct span part, const uint8_t *data, size_t size)
{
	return part.data >= data && part.data + part.size <= data + size;
}

static void check_key(struct span text)
{
	BUF_CLEANUP struct buf again = {0};
	struct verifier_key key;

	if (verifier_key_parse(text, &key, NULL) != RESULT_OK)
		return;
	FUZZ_CHECK(verifier_key_format(&key, &again) == RESULT_OK);
	FUZZ_CHECK(span_equal(buf_span(&again), text));
}

static void check_note(struct span bytes, const struct verifier_key *key)
{
	struct signed_note note;
	struct checkpoint checkpoint;

	if (signed_note_parse(bytes, &note, NULL) != RESULT_OK)
		return;
	FUZZ_CHECK(is_within(note.text, bytes.data, bytes.size) && note.text.size > 0);
	FUZZ_CHECK(note.text.data[note.text.size - 1] == '\n');
	FUZZ_CHECK(note.signature_count > 0 && note.signature_count <= SIGNED_NOTE_SIGNATURES_MAX);
	for (size_t i = 0; i < note.signature_count; i++) {
		FUZZ_CHECK(is_within(note.signatures[i].name, bytes.data, bytes.size));
		FUZZ_CHECK(note.signatures[i].name.size > 0);
		FUZZ_CHECK(is_within(note.signatures[i].base64, bytes.data, bytes.size));
	}
	FUZZ_CHECK(signed_note_verify(&note, key, NULL) == RESULT_DENIED);
	if (checkpoint_parse(note.text, &checkpoint, NULL) == RESULT_OK)
		FUZZ_CHECK(is_within(checkpoint.origin, bytes.data, bytes.size) && checkpoint.origin.size > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct verifier_key key;
	struct span bytes = span_of(data, size);
	uint64_t index;

	if (key.name[0] == '\0') {
		const uint8_t nobody[ED25519_PUBLIC_SIZE] = {1};

		FUZZ_CHECK(crypto_init(NULL) == RESULT_OK);
		FUZZ_CHECK(verifier_key_make("log.test/audit", nobody, &key) == RESULT_OK);
	}
	check_key(bytes);
	check_note(bytes, &key);
	FUZZ_CHECK(audit_proof_verify(bytes, span_of_text("leaf"), "log.test/audit", &key, &index, NULL) != RESULT_OK);
	return 0;
}
