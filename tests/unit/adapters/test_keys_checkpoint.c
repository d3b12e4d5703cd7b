/* Checkpoints: their form (C2SP signed-note, tlog-checkpoint), and that no second history is ever signed. */
#include "../cmocka_all.h"

#include "keys_support.h"

#include "base/text.h"

#include <stdio.h>
#include <unistd.h>

#define LEAVES 40

static struct test_vault vault;

/* A tree in memory. */
struct tree {
	struct merkle_reader reader;
	struct merkle_hash leaves[LEAVES];
};

static enum result tree_node(struct merkle_reader *reader, unsigned level, uint64_t index, struct merkle_hash *ret_hash)
{
	struct tree *tree = (struct tree *)reader;
	if (level == 0) {
		*ret_hash = tree->leaves[index];
		return RESULT_OK;
	}
	struct merkle_hash left, right;
	TRY(tree_node(reader, level - 1, 2 * index, &left));
	TRY(tree_node(reader, level - 1, 2 * index + 1, &right));
	return merkle_node_hash(&left, &right, ret_hash);
}

static void tree_init(struct tree *tree, const char *history)
{
	tree->reader.node = tree_node;
	for (int i = 0; i < LEAVES; i++) {
		char text[32];
		/* The histories part at leaf 10. */
		snprintf(text, sizeof(text), "%s %d", i < 10 ? "common" : history, i);
		assert_int_equal(merkle_leaf_hash(span_of_text(text), &tree->leaves[i]), RESULT_OK);
	}
}

static enum result sign(struct tree *tree, uint64_t from, uint64_t size, struct buf *ret_note)
{
	struct merkle_hash root;
	struct merkle_proof proof = {0};
	assert_int_equal(merkle_root(&tree->reader, size, &root), RESULT_OK);
	if (from > 0 && from < size)
		assert_int_equal(merkle_prove_consistency(&tree->reader, from, size, &proof), RESULT_OK);
	return vault.keys->ops->sign_checkpoint(vault.keys, size, &root, &proof, ret_note, NULL);
}

static enum result try_sign(struct tree *tree, uint64_t from, uint64_t size)
{
	BUF_CLEANUP struct buf text = {0};
	enum result result = sign(tree, from, size, &text);
	assert_true((result == RESULT_OK) == (text.size > 0));
	return result;
}

static uint64_t last_size(void)
{
	uint64_t size = 0;
	struct merkle_hash root;
	assert_int_equal(vault.keys->ops->last_checkpoint(vault.keys, &size, &root, NULL), RESULT_OK);
	return size;
}

static int begin(void **state)
{
	(void)state;
	test_vault_begin(&vault);
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_vault_remove(&vault);
	return 0;
}

/* The form, read here by hand, with the verifier key that auditors get. */
static void test_signed_note_form(void **state)
{
	(void)state;
	struct tree tree;
	struct merkle_hash root;
	BUF_CLEANUP struct buf text = {0};
	BUF_CLEANUP struct buf expected = {0};
	BUF_CLEANUP struct buf verifier = {0};
	tree_init(&tree, "a");
	assert_int_equal(sign(&tree, 0, 12, &text), RESULT_OK);
	assert_int_equal(merkle_root(&tree.reader, 12, &root), RESULT_OK);
	assert_int_equal(buf_append_text(&expected, KEYS_ORIGIN_DEFAULT "\n12\n"), RESULT_OK);
	assert_int_equal(base64_append(&expected, span_of(root.bytes, 32)), RESULT_OK);
	assert_int_equal(buf_append_text(&expected, "\n"), RESULT_OK);
	assert_memory_equal(text.data, expected.data, expected.size);

	static const char line[] = "\n\xe2\x80\x94 " KEYS_ORIGIN_DEFAULT " ";
	assert_memory_equal(text.data + expected.size, line, sizeof(line) - 1);
	size_t start = expected.size + sizeof(line) - 1;
	assert_int_equal(text.data[text.size - 1], '\n');
	uint8_t signature[68];
	size_t size = 0;
	assert_int_equal(base64_parse(span_of(text.data + start, text.size - start - 1), signature, 68, &size),
			 RESULT_OK);
	assert_int_equal(size, 68);

	assert_int_equal(keys_local_verifier_key(vault.directory, KEYS_ORIGIN_DEFAULT, &verifier, NULL), RESULT_OK);
	char id[9];
	hex_format(span_of(signature, 4), id);
	static const size_t origin = sizeof(KEYS_ORIGIN_DEFAULT) - 1;
	assert_memory_equal(verifier.data, KEYS_ORIGIN_DEFAULT "+", origin + 1);
	assert_memory_equal(verifier.data + origin + 1, id, 8);
	uint8_t key[33];
	assert_int_equal(
		base64_parse(span_of(verifier.data + origin + 10, verifier.size - origin - 10), key, 33, &size),
		RESULT_OK);
	assert_true(size == 33 && key[0] == 1);
	assert_int_equal(ed25519_verify(key + 1, buf_span(&expected), signature + 4), RESULT_OK);

	uint8_t named[sizeof(KEYS_ORIGIN_DEFAULT) - 1 + 2 + 32], digest[32];
	memcpy(named, KEYS_ORIGIN_DEFAULT "\n\x01", origin + 2);
	memcpy(named + origin + 2, key + 1, 32);
	assert_int_equal(sha256(span_of(named, sizeof(named)), digest), RESULT_OK);
	assert_memory_equal(digest, signature, 4);
}

static void test_grows_by_proof_only(void **state)
{
	(void)state;
	struct tree tree, fork;
	tree_init(&tree, "a");
	tree_init(&fork, "b");
	assert_int_equal(last_size(), 0);
	assert_int_equal(try_sign(&tree, 0, 13), RESULT_OK);
	assert_int_equal(try_sign(&tree, 13, 13), RESULT_OK);
	assert_int_equal(try_sign(&tree, 0, 12), RESULT_DENIED);
	assert_int_equal(try_sign(&fork, 13, 13), RESULT_DENIED);
	assert_int_equal(try_sign(&fork, 13, 20), RESULT_DENIED);
	assert_int_equal(try_sign(&tree, 12, 20), RESULT_DENIED); /* a proof from elsewhere */
	assert_int_equal(try_sign(&tree, 0, 20), RESULT_DENIED);  /* none */
	assert_int_equal(last_size(), 13);
	assert_int_equal(try_sign(&tree, 13, 20), RESULT_OK);
	assert_int_equal(last_size(), 20);
}

/* Or a client could have 32 bytes of its own signed under the log's name. */
static void test_an_empty_tree_has_one_root(void **state)
{
	(void)state;
	struct merkle_hash any = {.bytes = "thirty-two bytes of one's own..."}, root;
	struct merkle_proof none = {0};
	struct tree tree;
	BUF_CLEANUP struct buf text = {0};
	tree_init(&tree, "a");
	assert_int_equal(vault.keys->ops->sign_checkpoint(vault.keys, 0, &any, &none, &text, NULL), RESULT_DENIED);
	assert_int_equal(merkle_root(&tree.reader, 0, &root), RESULT_OK);
	assert_int_equal(vault.keys->ops->sign_checkpoint(vault.keys, 0, &root, &none, &text, NULL), RESULT_OK);
	assert_int_equal(try_sign(&tree, 0, 13), RESULT_OK);
}

static void test_remembers_over_restarts(void **state)
{
	(void)state;
	struct tree tree, fork;
	tree_init(&tree, "a");
	tree_init(&fork, "b");
	for (uint64_t size = 11; size < 30; size += 3) {
		assert_int_equal(try_sign(&tree, last_size(), size), RESULT_OK);
		test_vault_reopen(&vault);
		assert_int_equal(last_size(), size);
		assert_int_equal(try_sign(&tree, 0, size - 1), RESULT_DENIED);
		assert_int_equal(try_sign(&fork, size, size), RESULT_DENIED);
		assert_int_equal(try_sign(&fork, size, size + 1), RESULT_DENIED);
	}
}

static void test_accepting_loss(void **state)
{
	(void)state;
	struct tree tree;
	struct merkle_hash root;
	tree_init(&tree, "a");
	assert_int_equal(try_sign(&tree, 0, 20), RESULT_OK);
	assert_int_equal(merkle_root(&tree.reader, 15, &root), RESULT_OK);
	assert_int_equal(keys_local_accept_loss(vault.directory, 15, &root, NULL), RESULT_CONFLICT);
	test_vault_close(&vault);
	assert_int_equal(keys_local_accept_loss(vault.directory, 15, &root, NULL), RESULT_OK);
	test_vault_open(&vault);
	assert_int_equal(try_sign(&tree, 15, 16), RESULT_OK);
}

static void test_bad_origins(void **state)
{
	(void)state;
	static const char *const origins[] = {"", "with space", "with+plus", "two\nlines", "\xff"};
	for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
		BUF_CLEANUP struct buf verifier = {0};
		assert_int_equal(keys_local_verifier_key(vault.directory, origins[i], &verifier, NULL), RESULT_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_signed_note_form, begin, end),
		cmocka_unit_test_setup_teardown(test_grows_by_proof_only, begin, end),
		cmocka_unit_test_setup_teardown(test_an_empty_tree_has_one_root, begin, end),
		cmocka_unit_test_setup_teardown(test_remembers_over_restarts, begin, end),
		cmocka_unit_test_setup_teardown(test_accepting_loss, begin, end),
		cmocka_unit_test_setup_teardown(test_bad_origins, begin, end),
	};
	if (crypto_init(NULL) != RESULT_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
