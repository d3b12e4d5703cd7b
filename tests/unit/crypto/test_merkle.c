#include "support.h"

#include "crypto/merkle.h"

#define SIZE_MAX_HERE 130

/* ---- the oracle: RFC 6962 section 2.1, word by word, over an array of leaf hashes ---------------------- */

static struct merkle_hash leaves[SIZE_MAX_HERE];

static struct merkle_hash oracle_join(struct merkle_hash left, struct merkle_hash right)
{
	uint8_t bytes[1 + 2 * SHA256_SIZE] = {0x01};
	struct merkle_hash joined;

	memcpy(bytes + 1, left.bytes, SHA256_SIZE);
	memcpy(bytes + 1 + SHA256_SIZE, right.bytes, SHA256_SIZE);
	assert_ok(sha256(span_of(bytes, sizeof(bytes)), joined.bytes));
	return joined;
}

static size_t oracle_split(size_t size)
{
	size_t split = 1;

	while (split * 2 < size)
		split *= 2;
	return split;
}

static struct merkle_hash oracle_root(const struct merkle_hash *first, size_t size)
{
	size_t split;

	if (size == 1)
		return *first;
	split = oracle_split(size);
	return oracle_join(oracle_root(first, split), oracle_root(first + split, size - split));
}

static void push(struct merkle_proof *proof, struct merkle_hash hash)
{
	proof->hashes[proof->count++] = hash;
}

static void oracle_path(size_t index, const struct merkle_hash *first, size_t size, struct merkle_proof *proof)
{
	size_t split;

	if (size == 1)
		return;
	split = oracle_split(size);
	if (index < split) {
		oracle_path(index, first, split, proof);
		push(proof, oracle_root(first + split, size - split));
	} else {
		oracle_path(index - split, first + split, size - split, proof);
		push(proof, oracle_root(first, split));
	}
}

static void oracle_subproof(size_t old_size, const struct merkle_hash *first, size_t size, bool is_known,
			    struct merkle_proof *proof)
{
	size_t split;

	if (old_size == size) {
		if (!is_known)
			push(proof, oracle_root(first, size));
		return;
	}
	split = oracle_split(size);
	if (old_size <= split) {
		oracle_subproof(old_size, first, split, is_known, proof);
		push(proof, oracle_root(first + split, size - split));
	} else {
		oracle_subproof(old_size - split, first + split, size - split, false, proof);
		push(proof, oracle_root(first, split));
	}
}

/* ---- the reader under test gets complete subtrees, and is watched for asking beyond the tree ----------- */

struct watched_reader {
	struct merkle_reader base;
	uint64_t size;
	unsigned asked;
};

static enum result read_node(struct merkle_reader *base, unsigned level, uint64_t index, struct merkle_hash *ret_hash)
{
	struct watched_reader *reader = (struct watched_reader *)base;

	assert_true(level < 8);
	assert_true((index + 1) << level <= reader->size);
	reader->asked++;
	*ret_hash = oracle_root(leaves + (index << level), (size_t)1 << level);
	return RESULT_OK;
}

static struct watched_reader reader_of(uint64_t size)
{
	return (struct watched_reader){.base = {.node = read_node}, .size = size};
}

static void assert_same_proof(const struct merkle_proof *proof, const struct merkle_proof *expected)
{
	assert_int_equal(proof->count, expected->count);
	for (size_t i = 0; i < proof->count; i++)
		assert_memory_equal(proof->hashes[i].bytes, expected->hashes[i].bytes, SHA256_SIZE);
}

static int make_leaves(void **state)
{
	if (set_up_crypto(state) != 0)
		return -1;
	for (uint8_t i = 0; i < SIZE_MAX_HERE; i++) {
		uint8_t leaf[2] = {0x00, i};

		if (sha256(span_of(leaf, sizeof(leaf)), leaves[i].bytes) != RESULT_OK)
			return -1;
	}
	return 0;
}

static struct merkle_hash root_of(size_t size)
{
	struct merkle_hash root;

	if (size > 0)
		return oracle_root(leaves, size);
	assert_ok(sha256(span_of(NULL, 0), root.bytes));
	return root;
}

/* ---- tests --------------------------------------------------------------------------------------------- */

/* The eight leaves and roots that every implementation of Certificate Transparency is tested with. */
static void known_answers(void **state)
{
	static const char *const inputs[] = {
		"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
	static const char *const roots[] = {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
					    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
					    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
					    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
					    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
					    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
					    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
					    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
	struct merkle_hash kept[8], root;

	(void)state;
	memcpy(kept, leaves, sizeof(kept));
	for (size_t i = 0; i < 8; i++) {
		struct hex_bytes leaf = from_hex(inputs[i]), expected = from_hex(roots[i]);
		struct watched_reader reader = reader_of(i + 1);

		assert_ok(merkle_leaf_hash(hex_span(&leaf), &leaves[i]));
		assert_ok(merkle_root(&reader.base, i + 1, &root));
		assert_memory_equal(root.bytes, expected.bytes, SHA256_SIZE);
	}
	memcpy(leaves, kept, sizeof(kept));
}

static void roots_agree_with_the_recursion(void **state)
{
	(void)state;
	for (size_t size = 0; size <= SIZE_MAX_HERE; size++) {
		struct watched_reader reader = reader_of(size);
		struct merkle_hash root, expected = root_of(size);

		assert_ok(merkle_root(&reader.base, size, &root));
		assert_memory_equal(root.bytes, expected.bytes, SHA256_SIZE);
		assert_int_equal(reader.asked, (unsigned)__builtin_popcountll(size));
	}
}

static void inclusion_proofs_agree_and_hold(void **state)
{
	(void)state;
	for (size_t size = 1; size <= SIZE_MAX_HERE; size++) {
		struct merkle_hash root = root_of(size);

		for (size_t index = 0; index < size; index++) {
			struct watched_reader reader = reader_of(size);
			struct merkle_proof proof, expected = {.count = 0};

			oracle_path(index, leaves, size, &expected);
			assert_ok(merkle_prove_inclusion(&reader.base, index, size, &proof));
			assert_same_proof(&proof, &expected);
			assert_ok(merkle_verify_inclusion(&proof, index, size, &leaves[index], &root));
		}
	}
}

static void consistency_proofs_agree_and_hold(void **state)
{
	(void)state;
	for (size_t new_size = 0; new_size <= SIZE_MAX_HERE; new_size++) {
		struct merkle_hash new_root = root_of(new_size);

		for (size_t old_size = 0; old_size <= new_size; old_size++) {
			struct watched_reader reader = reader_of(new_size);
			struct merkle_hash old_root = root_of(old_size);
			struct merkle_proof proof, expected = {.count = 0};

			if (old_size > 0)
				oracle_subproof(old_size, leaves, new_size, true, &expected);
			assert_ok(merkle_prove_consistency(&reader.base, old_size, new_size, &proof));
			assert_same_proof(&proof, &expected);
			assert_ok(merkle_verify_consistency(&proof, old_size, new_size, &old_root, &new_root));
		}
	}
}

static void flip(void *bytes, size_t bit)
{
	((uint8_t *)bytes)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
}

static void refuse_flipped_inclusion(size_t index, size_t size)
{
	struct watched_reader reader = reader_of(size);
	struct merkle_hash root = root_of(size), leaf = leaves[index];
	struct merkle_proof proof;

	assert_ok(merkle_prove_inclusion(&reader.base, index, size, &proof));
	for (size_t bit = 0; bit < 8 * SHA256_SIZE * proof.count; bit++) {
		flip(proof.hashes, bit);
		assert_result(merkle_verify_inclusion(&proof, index, size, &leaf, &root), RESULT_DENIED);
		flip(proof.hashes, bit);
	}
	for (size_t bit = 0; bit < 8 * SHA256_SIZE; bit++) {
		flip(leaf.bytes, bit);
		assert_result(merkle_verify_inclusion(&proof, index, size, &leaf, &root), RESULT_DENIED);
		flip(leaf.bytes, bit);
		flip(root.bytes, bit);
		assert_result(merkle_verify_inclusion(&proof, index, size, &leaf, &root), RESULT_DENIED);
		flip(root.bytes, bit);
	}
	assert_ok(merkle_verify_inclusion(&proof, index, size, &leaf, &root));
}

static void every_flipped_bit_of_an_inclusion_proof_is_refused(void **state)
{
	(void)state;
	for (size_t size = 1; size <= SIZE_MAX_HERE; size += size < 20 ? 1 : 11) {
		for (size_t index = 0; index < size; index += size < 20 ? 1 : 7)
			refuse_flipped_inclusion(index, size);
	}
}

static void refuse_flipped_consistency(size_t old_size, size_t new_size)
{
	struct watched_reader reader = reader_of(new_size);
	struct merkle_hash old_root = root_of(old_size), new_root = root_of(new_size);
	struct merkle_proof proof;

	assert_ok(merkle_prove_consistency(&reader.base, old_size, new_size, &proof));
	for (size_t bit = 0; bit < 8 * SHA256_SIZE * proof.count; bit++) {
		flip(proof.hashes, bit);
		assert_result(merkle_verify_consistency(&proof, old_size, new_size, &old_root, &new_root),
			      RESULT_DENIED);
		flip(proof.hashes, bit);
	}
	for (size_t bit = 0; bit < 8 * SHA256_SIZE; bit++) {
		flip(old_root.bytes, bit);
		assert_result(merkle_verify_consistency(&proof, old_size, new_size, &old_root, &new_root),
			      RESULT_DENIED);
		flip(old_root.bytes, bit);
		if (old_size == 0)
			continue; /* anything grows out of nothing */
		flip(new_root.bytes, bit);
		assert_result(merkle_verify_consistency(&proof, old_size, new_size, &old_root, &new_root),
			      RESULT_DENIED);
		flip(new_root.bytes, bit);
	}
	assert_ok(merkle_verify_consistency(&proof, old_size, new_size, &old_root, &new_root));
}

static void every_flipped_bit_of_a_consistency_proof_is_refused(void **state)
{
	(void)state;
	for (size_t new_size = 1; new_size <= SIZE_MAX_HERE; new_size += new_size < 20 ? 1 : 11) {
		for (size_t old_size = 0; old_size <= new_size; old_size += new_size < 20 ? 1 : 7)
			refuse_flipped_consistency(old_size, new_size);
	}
}

static void other_places_and_lengths_are_refused(void **state)
{
	struct watched_reader reader = reader_of(100);
	struct merkle_hash root = root_of(100), old_root = root_of(37);
	struct merkle_proof proof;

	(void)state;
	assert_ok(merkle_prove_inclusion(&reader.base, 42, 100, &proof));
	for (size_t index = 0; index <= 130; index++) {
		if (index != 42)
			assert_result(merkle_verify_inclusion(&proof, index, 100, &leaves[42], &root), RESULT_DENIED);
	}
	assert_result(merkle_verify_inclusion(&proof, 0, 0, &leaves[42], &root), RESULT_DENIED);
	proof.count--;
	assert_result(merkle_verify_inclusion(&proof, 42, 100, &leaves[42], &root), RESULT_DENIED);
	proof.count += 2;
	assert_result(merkle_verify_inclusion(&proof, 42, 100, &leaves[42], &root), RESULT_DENIED);
	proof.count = MERKLE_PROOF_MAX + 1;
	assert_result(merkle_verify_inclusion(&proof, 42, 100, &leaves[42], &root), RESULT_DENIED);

	assert_ok(merkle_prove_consistency(&reader.base, 37, 100, &proof));
	for (size_t size = 0; size <= 130; size++) {
		if (size != 37)
			assert_result(merkle_verify_consistency(&proof, size, 100, &old_root, &root), RESULT_DENIED);
	}
	proof.count--;
	assert_result(merkle_verify_consistency(&proof, 37, 100, &old_root, &root), RESULT_DENIED);
	proof.count += 2;
	assert_result(merkle_verify_consistency(&proof, 37, 100, &old_root, &root), RESULT_DENIED);
	proof.count = 0;
	assert_result(merkle_verify_consistency(&proof, 37, 100, &old_root, &root), RESULT_DENIED);
}

/* A proof that leads to the root given, but in a smaller tree than claimed: length alone gives it away. */
static void proofs_of_smaller_trees_are_refused(void **state)
{
	struct watched_reader reader = reader_of(4);
	struct merkle_hash root = root_of(4), old_root = root_of(3);
	struct merkle_proof proof;

	(void)state;
	assert_ok(merkle_prove_inclusion(&reader.base, 1, 4, &proof));
	assert_ok(merkle_verify_inclusion(&proof, 1, 4, &leaves[1], &root));
	assert_result(merkle_verify_inclusion(&proof, 1, 5, &leaves[1], &root), RESULT_DENIED);
	assert_result(merkle_verify_inclusion(&proof, 1, 8, &leaves[1], &root), RESULT_DENIED);
	assert_ok(merkle_prove_consistency(&reader.base, 3, 4, &proof));
	assert_ok(merkle_verify_consistency(&proof, 3, 4, &old_root, &root));
	assert_result(merkle_verify_consistency(&proof, 3, 5, &old_root, &root), RESULT_DENIED);
	assert_result(merkle_verify_consistency(&proof, 3, 8, &old_root, &root), RESULT_DENIED);
}

static void impossible_questions_are_invalid(void **state)
{
	struct watched_reader reader = reader_of(10);
	struct merkle_proof proof;

	(void)state;
	assert_result(merkle_prove_inclusion(&reader.base, 10, 10, &proof), RESULT_INVALID);
	assert_result(merkle_prove_inclusion(&reader.base, 0, 0, &proof), RESULT_INVALID);
	assert_result(merkle_prove_consistency(&reader.base, 11, 10, &proof), RESULT_INVALID);
	assert_result(merkle_prove_inclusion(&reader.base, 0, MERKLE_SIZE_MAX + 1, &proof), RESULT_INVALID);
}

static enum result fail_node(struct merkle_reader *base, unsigned level, uint64_t index, struct merkle_hash *ret_hash)
{
	(void)base;
	(void)level;
	(void)index;
	(void)ret_hash;
	return RESULT_UNAVAILABLE;
}

static void a_reader_that_fails_is_heard(void **state)
{
	struct merkle_reader reader = {.node = fail_node};
	struct merkle_proof proof;
	struct merkle_hash root;

	(void)state;
	assert_result(merkle_root(&reader, 3, &root), RESULT_UNAVAILABLE);
	assert_result(merkle_prove_inclusion(&reader, 1, 3, &proof), RESULT_UNAVAILABLE);
	assert_result(merkle_prove_consistency(&reader, 1, 3, &proof), RESULT_UNAVAILABLE);
}

static enum result any_node(struct merkle_reader *base, unsigned level, uint64_t index, struct merkle_hash *ret_hash)
{
	(void)base;
	*ret_hash = (struct merkle_hash){.bytes = {(uint8_t)level, (uint8_t)index, (uint8_t)(index >> 8)}};
	return RESULT_OK;
}

/* Proofs in trees of astronomical size stay within MERKLE_PROOF_MAX. */
static void the_largest_trees_fit(void **state)
{
	struct merkle_reader reader = {.node = any_node};
	struct merkle_proof proof;

	(void)state;
	assert_ok(merkle_prove_inclusion(&reader, 0, MERKLE_SIZE_MAX, &proof));
	assert_int_equal(proof.count, 62);
	assert_ok(merkle_prove_inclusion(&reader, 0, MERKLE_SIZE_MAX - 1, &proof));
	assert_int_equal(proof.count, 62);
	assert_ok(merkle_prove_consistency(&reader, MERKLE_SIZE_MAX - 1, MERKLE_SIZE_MAX, &proof));
	assert_int_equal(proof.count, 63);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(roots_agree_with_the_recursion),
		cmocka_unit_test(inclusion_proofs_agree_and_hold),
		cmocka_unit_test(consistency_proofs_agree_and_hold),
		cmocka_unit_test(every_flipped_bit_of_an_inclusion_proof_is_refused),
		cmocka_unit_test(every_flipped_bit_of_a_consistency_proof_is_refused),
		cmocka_unit_test(other_places_and_lengths_are_refused),
		cmocka_unit_test(proofs_of_smaller_trees_are_refused),
		cmocka_unit_test(impossible_questions_are_invalid),
		cmocka_unit_test(a_reader_that_fails_is_heard),
		cmocka_unit_test(the_largest_trees_fit),
	};

	return cmocka_run_group_tests(tests, make_leaves, NULL);
}
