/*
 * Reading and verifying signed notes (C2SP signed-note, Ed25519 signatures only) and the checkpoints in them (C2SP
 * tlog-checkpoint). Strict: UTF-8, no control characters but newline, canonical base64, canonical decimals. Pure and
 * thread-safe. What is parsed borrows from the bytes given.
 */
#ifndef VINVEIL_ADAPTERS_AUDIT_NOTE_H
#define VINVEIL_ADAPTERS_AUDIT_NOTE_H

#include "crypto/merkle.h"
#include "crypto/private_key.h"

#define SIGNED_NOTE_SIZE_MAX	   65536
#define SIGNED_NOTE_SIGNATURES_MAX 32 /* the specification asks for at least 16 */
#define VERIFIER_KEY_NAME_MAX	   255

struct verifier_key {
	char name[VERIFIER_KEY_NAME_MAX + 1];
	uint32_t id;
	uint8_t public_key[ED25519_PUBLIC_SIZE];
};

/* name: not empty, UTF-8, no spaces, no '+'. The ID is the one the specification recommends. */
MUST_USE enum result verifier_key_make(const char *name, const uint8_t public_key[static ED25519_PUBLIC_SIZE],
				       struct verifier_key *ret_key);
/* "<name>+<8 hex digits>+<base64>"; white space around it is not accepted. */
MUST_USE enum result verifier_key_parse(struct span text, struct verifier_key *ret_key, struct note *note);
MUST_USE enum result verifier_key_format(const struct verifier_key *key, struct buf *ret_text);

struct note_signature {
	struct span name;
	uint32_t id;
	struct span base64; /* key ID and signature */
};

struct signed_note {
	struct span text; /* with its last newline: what is signed */
	struct note_signature signatures[SIGNED_NOTE_SIGNATURES_MAX];
	size_t signature_count;
};

/* RESULT_INVALID with a note that says what is wrong with the form. Verifies nothing. */
MUST_USE enum result signed_note_parse(struct span bytes, struct signed_note *ret_note, struct note *note);
/* RESULT_DENIED unless the key signed it: no signature of that name and ID, or one that does not hold. */
MUST_USE enum result signed_note_verify(const struct signed_note *signed_note, const struct verifier_key *key,
					struct note *note);

struct checkpoint {
	struct span origin;
	uint64_t size;
	struct merkle_hash root;
};

/* The text of a note as a checkpoint. Extension lines are not accepted: this log's never have any. */
MUST_USE enum result checkpoint_parse(struct span text, struct checkpoint *ret_checkpoint, struct note *note);
/*
 * A checkpoint with its signatures. origin: what it must be. key NULL: the form is checked, no signature is.
 * RESULT_INVALID: malformed, or of another origin; RESULT_DENIED: not signed by the key.
 */
MUST_USE enum result checkpoint_read(struct span bytes, const char *origin, const struct verifier_key *key,
				     struct checkpoint *ret_checkpoint, struct note *note);

#endif
