#include "crypto/merkle.h"

/*
 * Everything here is a fold over complete subtrees. A tree of n leaves is the row of complete subtrees that the
 * binary digits of n name, largest first; RFC 6962's recursion joins that row from the right.
 */

enum result merkle_leaf_hash(struct span leaf, struct merkle_hash *ret_hash)
{
	static const uint8_t prefix = 0x00;
	const struct span parts[] = {span_of(&prefix, 1), leaf};

	return sha256_parts(parts, 2, ret_hash->bytes);
}

enum result merkle_node_hash(const struct merkle_hash *left, const struct merkle_hash *right,
			     struct merkle_hash *ret_hash)
{
	static const uint8_t prefix = 0x01;
	const struct span parts[] = {span_of(&prefix, 1), span_of(left->bytes, SHA256_SIZE),
				     span_of(right->bytes, SHA256_SIZE)};

	return sha256_parts(parts, 3, ret_hash->bytes);
}

static unsigned lowest_bit(uint64_t value)
{
	return (unsigned)__builtin_ctzll(value);
}

static unsigned highest_bit(uint64_t value)
{
	return 63u - (unsigned)__builtin_clzll(value);
}

/*
 * The hash of leaves [start, start + size), where start is a multiple of the largest power of two in size (as it
 * is for every subtree that a proof names). size > 0.
 */
static enum result range_root(struct merkle_reader *reader, uint64_t start, uint64_t size, struct merkle_hash *ret_hash)
{
	unsigned level = lowest_bit(size);
	struct merkle_hash hash = {0};
	struct merkle_hash left = {0};

	TRY(reader->node(reader, level, (start + size - 1) >> level, &hash));
	for (size &= size - 1; size != 0; size &= size - 1) {
		level = lowest_bit(size);
		TRY(reader->node(reader, level, (start + size - 1) >> level, &left));
		TRY(merkle_node_hash(&left, &hash, &hash));
	}
	*ret_hash = hash;
	return RESULT_OK;
}

enum result merkle_root(struct merkle_reader *reader, uint64_t size, struct merkle_hash *ret_root)
{
	if (size == 0)
		return sha256(span_of(NULL, 0), ret_root->bytes);
	return range_root(reader, 0, size, ret_root);
}

/* The largest power of two below size (> 1): where RFC 6962 splits a tree. */
static uint64_t split_of(uint64_t size)
{
	return (uint64_t)1 << highest_bit(size - 1);
}

static void reverse(struct merkle_proof *proof)
{
	for (size_t i = 0; i < proof->count / 2; i++) {
		struct merkle_hash kept = proof->hashes[i];

		proof->hashes[i] = proof->hashes[proof->count - 1 - i];
		proof->hashes[proof->count - 1 - i] = kept;
	}
}

/* PATH(m, D[n]), RFC 6962 section 2.1.1, walked from the root down and turned round at the end. */
enum result merkle_prove_inclusion(struct merkle_reader *reader, uint64_t index, uint64_t size,
				   struct merkle_proof *ret_proof)
{
	struct merkle_proof proof = {.count = 0};
	uint64_t start = 0;

	if (index >= size || size > MERKLE_SIZE_MAX)
		return RESULT_INVALID;
	while (size > 1) {
		uint64_t split = split_of(size);
		struct merkle_hash *sibling = &proof.hashes[proof.count++];

		if (index - start < split) {
			TRY(range_root(reader, start + split, size - split, sibling));
			size = split;
		} else {
			TRY(range_root(reader, start, split, sibling));
			start += split;
			size -= split;
		}
	}
	reverse(&proof);
	*ret_proof = proof;
	return RESULT_OK;
}

/* SUBPROOF(m, D[n], b), RFC 6962 section 2.1.2: b says that the old tree's root is known to the asker. */
enum result merkle_prove_consistency(struct merkle_reader *reader, uint64_t old_size, uint64_t new_size,
				     struct merkle_proof *ret_proof)
{
	struct merkle_proof proof = {.count = 0};
	uint64_t start = 0;
	uint64_t size = new_size;

	if (old_size > new_size || new_size > MERKLE_SIZE_MAX)
		return RESULT_INVALID;
	while (old_size != 0 && old_size - start < size) {
		uint64_t split = split_of(size);
		struct merkle_hash *sibling = &proof.hashes[proof.count++];

		if (old_size - start <= split) {
			TRY(range_root(reader, start + split, size - split, sibling));
			size = split;
		} else {
			TRY(range_root(reader, start, split, sibling));
			start += split;
			size -= split;
		}
	}
	if (start != 0)
		TRY(range_root(reader, start, size, &proof.hashes[proof.count++]));
	reverse(&proof);
	*ret_proof = proof;
	return RESULT_OK;
}

static enum result expect(const struct merkle_hash *computed, const struct merkle_hash *given)
{
	return memcmp(computed->bytes, given->bytes, SHA256_SIZE) == 0 ? RESULT_OK : RESULT_DENIED;
}

/* RFC 9162 section 2.1.3.2. */
enum result merkle_verify_inclusion(const struct merkle_proof *proof, uint64_t index, uint64_t size,
				    const struct merkle_hash *leaf_hash, const struct merkle_hash *root)
{
	struct merkle_hash hash = *leaf_hash;
	uint64_t node = index;
	uint64_t last = size - 1;

	if (index >= size || size > MERKLE_SIZE_MAX || proof->count > MERKLE_PROOF_MAX)
		return RESULT_DENIED;
	for (size_t i = 0; i < proof->count; i++) {
		if (last == 0)
			return RESULT_DENIED;
		if ((node & 1) == 0 && node != last) {
			TRY(merkle_node_hash(&hash, &proof->hashes[i], &hash));
		} else {
			TRY(merkle_node_hash(&proof->hashes[i], &hash, &hash));
			/* The right edge: skip the levels where this node has no sibling. */
			while ((node & 1) == 0 && node != 0) {
				node >>= 1;
				last >>= 1;
			}
		}
		node >>= 1;
		last >>= 1;
	}
	return last == 0 ? expect(&hash, root) : RESULT_DENIED;
}

/* The general case of RFC 9162 section 2.1.4.2: 0 < old_size < new_size. */
static enum result verify_growth(const struct merkle_hash *hashes, size_t count, uint64_t node, uint64_t last,
				 const struct merkle_hash *old_root, const struct merkle_hash *new_root)
{
	struct merkle_hash old_hash = hashes[0];
	struct merkle_hash new_hash = hashes[0];

	for (size_t i = 1; i < count; i++) {
		if (last == 0)
			return RESULT_DENIED;
		if ((node & 1) == 0 && node != last) {
			TRY(merkle_node_hash(&new_hash, &hashes[i], &new_hash));
		} else {
			TRY(merkle_node_hash(&hashes[i], &old_hash, &old_hash));
			TRY(merkle_node_hash(&hashes[i], &new_hash, &new_hash));
			while ((node & 1) == 0 && node != 0) {
				node >>= 1;
				last >>= 1;
			}
		}
		node >>= 1;
		last >>= 1;
	}
	if (last != 0)
		return RESULT_DENIED;
	TRY(expect(&old_hash, old_root));
	return expect(&new_hash, new_root);
}

static enum result verify_from_nothing(const struct merkle_proof *proof, const struct merkle_hash *old_root)
{
	struct merkle_hash empty = {0};

	if (proof->count != 0)
		return RESULT_DENIED;
	TRY(sha256(span_of(NULL, 0), empty.bytes));
	return expect(&empty, old_root);
}

enum result merkle_verify_consistency(const struct merkle_proof *proof, uint64_t old_size, uint64_t new_size,
				      const struct merkle_hash *old_root, const struct merkle_hash *new_root)
{
	struct merkle_hash path[MERKLE_PROOF_MAX + 1];
	size_t count = 0;
	uint64_t node = old_size - 1;
	uint64_t last = new_size - 1;

	if (old_size > new_size || new_size > MERKLE_SIZE_MAX || proof->count > MERKLE_PROOF_MAX)
		return RESULT_DENIED;
	if (old_size == new_size)
		return proof->count == 0 ? expect(old_root, new_root) : RESULT_DENIED;
	if (old_size == 0)
		return verify_from_nothing(proof, old_root);
	if (proof->count == 0)
		return RESULT_DENIED;
	/* A complete old tree is a node of the new one: its root, left out of the proof, begins the path. */
	if ((old_size & (old_size - 1)) == 0)
		path[count++] = *old_root;
	memcpy(path + count, proof->hashes, proof->count * sizeof(*path));
	count += proof->count;
	while ((node & 1) != 0) {
		node >>= 1;
		last >>= 1;
	}
	return verify_growth(path, count, node, last, old_root, new_root);
}
