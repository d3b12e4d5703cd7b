/*
 * What keyd signs: checkpoints of the audit log, which it composes itself (C2SP tlog-checkpoint in a C2SP signed-note,
 * Ed25519). It remembers the last size and root durably, and goes on only to a tree that is proved to extend it
 * (RFC 9162 section 2.1.4), so a taken-over API daemon cannot make two histories. Thread-safe.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_CHECKPOINT_H
#define VINVEIL_ADAPTERS_KEYS_CHECKPOINT_H

#include "adapters/keys/local.h"
#include "crypto/private_key.h"

#include <pthread.h>

struct checkpoint_signer {
	pthread_mutex_t mutex;
	struct durable_cell *cell;
	struct private_key *key;
	char origin[KEYS_ORIGIN_MAX + 1];
	uint8_t key_id[4];
	uint64_t size; /* signed last */
	struct merkle_hash root;
};

/* The first four bytes of SHA-256(name | "\n" | 01 | public key). */
MUST_USE enum result note_key_id(const char *name, const uint8_t public_key[static ED25519_PUBLIC_SIZE],
				 uint8_t ret_id[static 4]);
/* Not empty; UTF-8; no space, control character or '+', as the name of a key must be. */
MUST_USE enum result origin_check(const char *origin, struct note *note);

/* Release also after a failure. */
MUST_USE enum result checkpoint_signer_open(const char *directory, const char *origin, struct checkpoint_signer *signer,
					    struct note *note);
void checkpoint_signer_release(struct checkpoint_signer *signer);

/* As key_service.h says of sign_checkpoint and last_checkpoint. */
MUST_USE enum result checkpoint_sign(struct checkpoint_signer *signer, uint64_t size, const struct merkle_hash *root,
				     const struct merkle_proof *proof, struct buf *ret_note, struct note *note);
void checkpoint_last(struct checkpoint_signer *signer, uint64_t *ret_size, struct merkle_hash *ret_root);

/* The cell's content, for creating and resetting it. */
MUST_USE enum result checkpoint_state_format(uint64_t size, const struct merkle_hash *root, struct buf *ret_content);

#endif
