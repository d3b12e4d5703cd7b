/*
 * Merkle trees of RFC 6962 section 2.1 (as RFC 9162): leaf and node hashes, roots, inclusion and
 * consistency proofs, and their verification. Pure but for hashing; a tree is read through a callback, so
 * that it may live in memory, in a file or behind a network.
 */
#ifndef VINVEIL_CRYPTO_MERKLE_H
#define VINVEIL_CRYPTO_MERKLE_H

#include "base/result.h"
#include "base/span.h"
#include "crypto/digest.h"

#define MERKLE_PROOF_MAX 64
#define MERKLE_SIZE_MAX	 ((uint64_t)1 << 62) /* so that no proof is longer than MERKLE_PROOF_MAX */

struct merkle_hash {
	uint8_t bytes[SHA256_SIZE];
};

struct merkle_proof {
	struct merkle_hash hashes[MERKLE_PROOF_MAX];
	size_t count;
};

/*
 * Gives the hash of a complete subtree: level 0 is the leaves; node `index` of `level` covers leaves
 * [index << level, (index + 1) << level), all of which exist.
 */
struct merkle_reader {
	enum result (*node)(struct merkle_reader *reader, unsigned level, uint64_t index, struct merkle_hash *ret_hash);
};

MUST_USE enum result merkle_leaf_hash(struct span leaf, struct merkle_hash *ret_hash);
MUST_USE enum result merkle_node_hash(const struct merkle_hash *left, const struct merkle_hash *right,
				      struct merkle_hash *ret_hash);
/* The root of the first `size` leaves; of none: SHA-256 of the empty string. */
MUST_USE enum result merkle_root(struct merkle_reader *reader, uint64_t size, struct merkle_hash *ret_root);
/* RESULT_INVALID unless index < size, and old_size <= new_size. A proof from 0, or to itself, is empty. */
MUST_USE enum result merkle_prove_inclusion(struct merkle_reader *reader, uint64_t index, uint64_t size,
					    struct merkle_proof *ret_proof);
MUST_USE enum result merkle_prove_consistency(struct merkle_reader *reader, uint64_t old_size, uint64_t new_size,
					      struct merkle_proof *ret_proof);

/* RESULT_DENIED when the proof does not hold, or is longer or shorter than it must be. */
MUST_USE enum result merkle_verify_inclusion(const struct merkle_proof *proof, uint64_t index, uint64_t size,
					     const struct merkle_hash *leaf_hash, const struct merkle_hash *root);
MUST_USE enum result merkle_verify_consistency(const struct merkle_proof *proof, uint64_t old_size, uint64_t new_size,
					       const struct merkle_hash *old_root, const struct merkle_hash *new_root);

#endif
