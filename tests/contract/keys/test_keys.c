/*
 * The contract of the port key_service, operation by operation.
 */
#include "tests/contract/keys/fixture.h"

#include "adapters/audit/note.h"

#include <pthread.h>
#include <stdio.h>

static const struct keys_adapter *adapter;
static struct fixture fixture;
static struct tenant_id demo, other, nobody;

#define ASK(op, ...)	 (fixture.keys->ops->op(fixture.keys, __VA_ARGS__))
#define ASSERT_OK(asked) assert_int_equal((asked), RESULT_OK)

static int open_fixture(void **state)
{
	(void)state;
	demo = tenant_named("demo");
	other = tenant_named("other");
	nobody = tenant_named("nobody");
	fixture_open(&fixture, adapter);
	return 0;
}

static int close_fixture(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

static const struct reveal_authorisation two_persons = {.requested_by = "anna", .approved_by = "ben"};

static struct vin_index_set index_of(const struct tenant_id *tenant, unsigned number)
{
	const struct vin vin = vin_numbered(number);
	const struct hashed_vin hash = hash_of(&vin);
	struct vin_index_set set;

	memset(&set, 0, sizeof(set));
	ASSERT_OK(ASK(index_vins, tenant, &hash, 1, &set, NULL));
	return set;
}

static struct sealed_vin seal(const struct uuid *reference_id, unsigned number)
{
	const struct vin vin = vin_numbered(number);
	struct sealed_vin sealed;

	ASSERT_OK(ASK(seal_vin, &demo, reference_id, &vin, &sealed, NULL));
	return sealed;
}

static enum result open_as(const struct tenant_id *tenant, const struct uuid *reference_id,
			   const struct sealed_vin *sealed, struct vin *ret_vin)
{
	return ASK(open_vin, tenant, reference_id, sealed, &two_persons, ret_vin, NULL);
}

static void assert_opens_as(const struct uuid *reference_id, const struct sealed_vin *sealed, unsigned number)
{
	const struct vin vin = vin_numbered(number);
	struct vin opened = {0};

	ASSERT_OK(open_as(&demo, reference_id, sealed, &opened));
	assert_string_equal(opened.text, vin.text);
}

static void assert_generations(const struct tenant_id *tenant, uint16_t newest, uint16_t oldest)
{
	struct key_generations generations = {0};

	ASSERT_OK(ASK(get_generations, tenant, &generations, NULL));
	assert_int_equal(generations.newest, newest);
	assert_int_equal(generations.oldest, oldest);
}

static void begin_rotation(void)
{
	struct key_generations generations = {0};

	ASSERT_OK(ASK(begin_rotation, &demo, &generations, NULL));
	assert_int_equal(generations.newest, 2);
	assert_int_equal(generations.oldest, 1);
}

/* ---- tenants --------------------------------------------------------------------------------------- */

static void a_tenant_is_made_once(void **state)
{
	(void)state;
	const struct vin_index_set before = index_of(&demo, 1);

	assert_generations(&demo, 1, 1);
	begin_rotation();
	ASSERT_OK(ASK(create_tenant, &demo, NULL));
	assert_generations(&demo, 2, 1);
	struct vin_index_set after = index_of(&demo, 1);
	assert_memory_equal(after.indexes[1].bytes, before.indexes[0].bytes, VIN_INDEX_SIZE);
}

static void an_unknown_tenant_is_absent_everywhere(void **state)
{
	(void)state;
	const struct vin vin = vin_numbered(1);
	const struct hashed_vin hash = hash_of(&vin);
	struct reseal_item item = {.reference_id = new_uuid()};
	struct key_generations generations;
	uint8_t fingerprint[SHA256_SIZE];
	struct vin_index_set set;
	struct note note = {0};
	struct vin opened;

	item.sealed = seal(&item.reference_id, 1);
	struct sealed_vin sealed = item.sealed;
	assert_int_equal(ASK(index_vins, &nobody, &hash, 1, &set, &note), RESULT_ABSENT);
	assert_string_not_equal(note.text, "");
	assert_int_equal(ASK(seal_vin, &nobody, &item.reference_id, &vin, &sealed, NULL), RESULT_ABSENT);
	assert_int_equal(open_as(&nobody, &item.reference_id, &item.sealed, &opened), RESULT_ABSENT);
	assert_int_equal(ASK(reseal_vins, &nobody, &item, 1, NULL), RESULT_ABSENT);
	assert_int_equal(ASK(fingerprint, &nobody, span_of_text("x"), fingerprint, NULL), RESULT_ABSENT);
	assert_int_equal(ASK(get_generations, &nobody, &generations, NULL), RESULT_ABSENT);
	assert_int_equal(ASK(begin_rotation, &nobody, &generations, NULL), RESULT_ABSENT);
	assert_int_equal(ASK(finish_rotation, &nobody, NULL), RESULT_ABSENT);
}

/* ---- indexes --------------------------------------------------------------------------------------- */

static void indexes_come_in_batches_that_are_bounded(void **state)
{
	(void)state;
	static struct hashed_vin hashes[KEY_INDEX_BATCH_MAX + 1];
	static struct vin_index_set sets[KEY_INDEX_BATCH_MAX + 1];

	for (unsigned i = 0; i < COUNT(hashes); i++) {
		const struct vin vin = vin_numbered(i);

		hashes[i] = hash_of(&vin);
	}
	assert_int_equal(ASK(index_vins, &demo, hashes, 0, sets, NULL), RESULT_INVALID);
	assert_int_equal(ASK(index_vins, &demo, hashes, KEY_INDEX_BATCH_MAX + 1, sets, NULL), RESULT_INVALID);
	ASSERT_OK(ASK(index_vins, &demo, hashes, KEY_INDEX_BATCH_MAX, sets, NULL));
	/* Each in its place, the same as when asked for alone, and no two alike. */
	for (unsigned i = 0; i < KEY_INDEX_BATCH_MAX; i++) {
		const struct vin_index_set alone = index_of(&demo, i);

		assert_int_equal(sets[i].count, 1);
		assert_int_equal(sets[i].indexes[0].generation, 1);
		assert_memory_equal(sets[i].indexes[0].bytes, alone.indexes[0].bytes, VIN_INDEX_SIZE);
		if (i > 0)
			assert_memory_not_equal(sets[i].indexes[0].bytes, sets[i - 1].indexes[0].bytes, VIN_INDEX_SIZE);
	}
}

static void tenants_have_indexes_and_fingerprints_of_their_own(void **state)
{
	(void)state;
	const struct vin_index_set mine = index_of(&demo, 1), theirs = index_of(&other, 1);
	uint8_t my_fingerprint[SHA256_SIZE], their_fingerprint[SHA256_SIZE];

	assert_memory_not_equal(mine.indexes[0].bytes, theirs.indexes[0].bytes, VIN_INDEX_SIZE);
	ASSERT_OK(ASK(fingerprint, &demo, span_of_text("a body"), my_fingerprint, NULL));
	ASSERT_OK(ASK(fingerprint, &other, span_of_text("a body"), their_fingerprint, NULL));
	assert_memory_not_equal(my_fingerprint, their_fingerprint, SHA256_SIZE);
}

/* ---- sealed VINs ----------------------------------------------------------------------------------- */

static void a_sealed_vin_opens_and_no_two_blobs_are_alike(void **state)
{
	(void)state;
	const struct uuid id = new_uuid();
	const struct sealed_vin first = seal(&id, 1), second = seal(&id, 1);

	assert_memory_not_equal(first.bytes, second.bytes, SEALED_VIN_SIZE);
	assert_opens_as(&id, &first, 1);
	assert_opens_as(&id, &second, 1);
}

static void a_sealed_vin_opens_in_its_place_only(void **state)
{
	(void)state;
	const struct uuid id = new_uuid(), another = new_uuid();
	const struct sealed_vin sealed = seal(&id, 1);
	struct vin opened = {0};

	assert_int_equal(open_as(&demo, &another, &sealed, &opened), RESULT_CORRUPT);
	assert_int_equal(open_as(&other, &id, &sealed, &opened), RESULT_CORRUPT);
	for (size_t i = 0; i < SEALED_VIN_SIZE; i++) {
		struct sealed_vin bent = sealed;

		bent.bytes[i] ^= 0x10;
		assert_int_equal(open_as(&demo, &id, &bent, &opened), RESULT_CORRUPT);
	}
	assert_string_equal(opened.text, "");
	/* None of that was paid for. */
	for (int i = 0; i < REVEALS_PER_HOUR; i++)
		assert_opens_as(&id, &sealed, 1);
}

static void one_person_opens_nothing(void **state)
{
	(void)state;
	static const struct reveal_authorisation bad[] = {
		{.requested_by = "anna", .approved_by = "anna"},
		{.requested_by = "anna"},
		{.approved_by = "ben"},
		{.requested_by = ""},
	};
	const struct uuid id = new_uuid();
	const struct sealed_vin sealed = seal(&id, 1);
	struct vin opened = {0};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct note note = {0};

		assert_int_equal(ASK(open_vin, &demo, &id, &sealed, &bad[i], &opened, &note), RESULT_DENIED);
		assert_string_not_equal(note.text, "");
	}
	assert_string_equal(opened.text, "");
}

static void reveals_are_counted_over_tenants_and_restarts(void **state)
{
	(void)state;
	const struct uuid id = new_uuid();
	const struct vin vin = vin_numbered(2);
	const struct sealed_vin sealed = seal(&id, 1);
	struct sealed_vin theirs;
	struct vin opened = {0};
	struct note note = {0};

	ASSERT_OK(ASK(seal_vin, &other, &id, &vin, &theirs, NULL));
	for (int i = 0; i < REVEALS_PER_HOUR; i++)
		assert_opens_as(&id, &sealed, 1);
	assert_int_equal(ASK(open_vin, &demo, &id, &sealed, &two_persons, &opened, &note), RESULT_EXHAUSTED);
	assert_string_not_equal(note.text, "");
	assert_int_equal(open_as(&other, &id, &theirs, &opened), RESULT_EXHAUSTED);
	fixture_reopen(&fixture);
	assert_int_equal(open_as(&demo, &id, &sealed, &opened), RESULT_EXHAUSTED);
	assert_string_equal(opened.text, "");
}

/* ---- generations ----------------------------------------------------------------------------------- */

static void a_rotation_has_two_live_generations_until_it_ends(void **state)
{
	(void)state;
	const struct uuid id = new_uuid();
	const struct vin_index_set before = index_of(&demo, 1);
	const struct sealed_vin old = seal(&id, 1);

	begin_rotation();
	begin_rotation(); /* goes on with the one that is under way */
	assert_generations(&demo, 2, 1);
	assert_generations(&other, 1, 1);
	struct vin_index_set during = index_of(&demo, 1);
	assert_int_equal(during.count, 2);
	assert_int_equal(during.indexes[0].generation, 2);
	assert_int_equal(during.indexes[1].generation, 1);
	assert_memory_equal(during.indexes[1].bytes, before.indexes[0].bytes, VIN_INDEX_SIZE);
	assert_memory_not_equal(during.indexes[0].bytes, before.indexes[0].bytes, VIN_INDEX_SIZE);
	struct sealed_vin new = seal(&id, 1);
	assert_opens_as(&id, &old, 1);
	assert_opens_as(&id, &new, 1);

	ASSERT_OK(ASK(finish_rotation, &demo, NULL));
	ASSERT_OK(ASK(finish_rotation, &demo, NULL));
	assert_generations(&demo, 2, 2);
	struct vin_index_set after = index_of(&demo, 1);
	assert_int_equal(after.count, 1);
	assert_int_equal(after.indexes[0].generation, 2);
	assert_memory_equal(after.indexes[0].bytes, during.indexes[0].bytes, VIN_INDEX_SIZE);
	struct vin opened = {0};
	assert_int_equal(open_as(&demo, &id, &old, &opened), RESULT_CORRUPT);
	assert_opens_as(&id, &new, 1);
}

static void resealing_moves_to_the_newest_generation_one_by_one(void **state)
{
	(void)state;
	struct reseal_item items[3] = {{.result = RESULT_OK}};

	for (unsigned i = 0; i < COUNT(items); i++) {
		items[i].reference_id = new_uuid();
		items[i].sealed = seal(&items[i].reference_id, i);
	}
	items[1].sealed = items[0].sealed; /* under a Reference ID that it is not of */
	const struct sealed_vin bad = items[1].sealed;
	begin_rotation();
	ASSERT_OK(ASK(reseal_vins, &demo, items, COUNT(items), NULL));
	ASSERT_OK(items[0].result);
	assert_int_equal(items[1].result, RESULT_CORRUPT);
	ASSERT_OK(items[2].result);
	assert_memory_equal(items[1].sealed.bytes, bad.bytes, SEALED_VIN_SIZE);
	ASSERT_OK(ASK(finish_rotation, &demo, NULL));
	for (unsigned i = 0; i < COUNT(items); i += 2) {
		const struct vin_index_set set = index_of(&demo, i);

		assert_int_equal(items[i].index.generation, 2);
		assert_memory_equal(items[i].index.bytes, set.indexes[0].bytes, VIN_INDEX_SIZE);
		assert_opens_as(&items[i].reference_id, &items[i].sealed, i);
	}
}

static void resealing_is_bounded(void **state)
{
	(void)state;
	static struct reseal_item items[KEY_RESEAL_BATCH_MAX + 1];

	for (unsigned i = 0; i < COUNT(items); i++) {
		items[i].reference_id = new_uuid();
		items[i].sealed = seal(&items[i].reference_id, i);
	}
	assert_int_equal(ASK(reseal_vins, &demo, items, 0, NULL), RESULT_INVALID);
	assert_int_equal(ASK(reseal_vins, &demo, items, COUNT(items), NULL), RESULT_INVALID);
	ASSERT_OK(ASK(reseal_vins, &demo, items, KEY_RESEAL_BATCH_MAX, NULL));
	for (unsigned i = 0; i < KEY_RESEAL_BATCH_MAX; i++)
		ASSERT_OK(items[i].result);
	assert_opens_as(&items[127].reference_id, &items[127].sealed, 127);
}

/* An Idempotency-Key of yesterday is still known after a rotation. */
static void fingerprints_outlive_rotations_and_restarts(void **state)
{
	(void)state;
	uint8_t before[SHA256_SIZE], after[SHA256_SIZE], another[SHA256_SIZE], empty[SHA256_SIZE];

	ASSERT_OK(ASK(fingerprint, &demo, span_of_text("a body"), before, NULL));
	ASSERT_OK(ASK(fingerprint, &demo, span_of_text("a bodz"), another, NULL));
	ASSERT_OK(ASK(fingerprint, &demo, span_of_text(""), empty, NULL));
	assert_memory_not_equal(before, another, SHA256_SIZE);
	assert_memory_not_equal(before, empty, SHA256_SIZE);
	begin_rotation();
	ASSERT_OK(ASK(fingerprint, &demo, span_of_text("a body"), after, NULL));
	assert_memory_equal(before, after, SHA256_SIZE);
	ASSERT_OK(ASK(finish_rotation, &demo, NULL));
	fixture_reopen(&fixture);
	ASSERT_OK(ASK(fingerprint, &demo, span_of_text("a body"), after, NULL));
	assert_memory_equal(before, after, SHA256_SIZE);
}

static void keys_and_generations_outlive_restarts(void **state)
{
	(void)state;
	const struct uuid id = new_uuid();
	const struct sealed_vin sealed = seal(&id, 1);

	begin_rotation();
	struct vin_index_set before = index_of(&demo, 1);
	fixture_reopen(&fixture);
	assert_generations(&demo, 2, 1);
	assert_generations(&other, 1, 1);
	struct vin_index_set after = index_of(&demo, 1);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_opens_as(&id, &sealed, 1);
}

/* ---- checkpoints ----------------------------------------------------------------------------------- */

#define LEAVES 40

/* A tree in memory. */
struct tree {
	struct merkle_reader reader;
	struct merkle_hash leaves[LEAVES];
};

static enum result tree_node(struct merkle_reader *reader, unsigned level, uint64_t index, struct merkle_hash *ret_hash)
{
	struct tree *tree = (struct tree *)reader;
	struct merkle_hash left, right;

	if (level == 0) {
		*ret_hash = tree->leaves[index];
		return RESULT_OK;
	}
	TRY(tree_node(reader, level - 1, 2 * index, &left));
	TRY(tree_node(reader, level - 1, 2 * index + 1, &right));
	return merkle_node_hash(&left, &right, ret_hash);
}

/* The histories part at leaf 10. */
static void tree_init(struct tree *tree, const char *history)
{
	tree->reader.node = tree_node;
	for (int i = 0; i < LEAVES; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%s %d", i < 10 ? "common" : history, i);
		ASSERT_OK(merkle_leaf_hash(span_of_text(text), &tree->leaves[i]));
	}
}

static enum result sign(struct tree *tree, uint64_t from, uint64_t size, struct buf *ret_text, struct note *note)
{
	struct merkle_hash root;
	struct merkle_proof proof = {0};

	ASSERT_OK(merkle_root(&tree->reader, size, &root));
	if (from > 0 && from < size)
		ASSERT_OK(merkle_prove_consistency(&tree->reader, from, size, &proof));
	return ASK(sign_checkpoint, size, &root, &proof, ret_text, note);
}

static void assert_last(struct tree *tree, uint64_t expected)
{
	struct merkle_hash root, last;
	uint64_t size = UINT64_MAX;

	ASSERT_OK(ASK(last_checkpoint, &size, &last, NULL));
	assert_int_equal(size, expected);
	if (size == 0)
		return;
	ASSERT_OK(merkle_root(&tree->reader, size, &root));
	assert_memory_equal(root.bytes, last.bytes, SHA256_SIZE);
}

static void assert_signs(struct tree *tree, uint64_t from, uint64_t size)
{
	BUF_CLEANUP struct buf text = {0};
	BUF_CLEANUP struct buf verifier = {0};
	struct verifier_key key;
	struct checkpoint checkpoint;
	struct merkle_hash root;
	struct note note = {0};

	if (sign(tree, from, size, &text, &note) != RESULT_OK)
		fail_msg("%d to %d: %s", (int)from, (int)size, note.text);
	ASSERT_OK(keys_local_verifier_key(fixture.vault.directory, KEYS_ORIGIN_DEFAULT, &verifier, NULL));
	ASSERT_OK(verifier_key_parse(buf_span(&verifier), &key, NULL));
	ASSERT_OK(checkpoint_read(buf_span(&text), KEYS_ORIGIN_DEFAULT, &key, &checkpoint, NULL));
	ASSERT_OK(merkle_root(&tree->reader, size, &root));
	assert_int_equal(checkpoint.size, size);
	assert_memory_equal(checkpoint.root.bytes, root.bytes, SHA256_SIZE);
	assert_last(tree, size);
}

static void assert_denied(struct tree *tree, uint64_t from, uint64_t size)
{
	BUF_CLEANUP struct buf text = {0};
	struct note note = {0};

	assert_int_equal(sign(tree, from, size, &text, &note), RESULT_DENIED);
	assert_int_equal(text.size, 0);
	assert_string_not_equal(note.text, "");
}

static void a_checkpoint_grows_by_proof_only(void **state)
{
	(void)state;
	struct tree tree, fork;

	tree_init(&tree, "a");
	tree_init(&fork, "b");
	assert_last(&tree, 0);
	assert_signs(&tree, 0, 13);
	assert_signs(&tree, 13, 13);
	assert_denied(&tree, 0, 12);
	assert_denied(&tree, 0, 0);
	assert_denied(&fork, 13, 13);
	assert_denied(&fork, 13, 20);
	assert_denied(&tree, 12, 20); /* a proof from elsewhere */
	assert_denied(&tree, 0, 20);  /* none */
	assert_last(&tree, 13);
	assert_signs(&tree, 13, 20);
	assert_signs(&tree, 20, LEAVES);
}

static void an_empty_tree_has_one_root(void **state)
{
	(void)state;
	const struct merkle_hash any = {.bytes = "thirty-two bytes of one's own..."};
	const struct merkle_proof none = {0};
	BUF_CLEANUP struct buf text = {0};
	struct tree tree;

	tree_init(&tree, "a");
	assert_int_equal(ASK(sign_checkpoint, 0, &any, &none, &text, NULL), RESULT_DENIED);
	assert_signs(&tree, 0, 0);
	assert_signs(&tree, 0, 1);
}

static void the_last_checkpoint_outlives_restarts(void **state)
{
	(void)state;
	struct tree tree, fork;

	tree_init(&tree, "a");
	tree_init(&fork, "b");
	for (uint64_t size = 11, last = 0; size < 20; last = size, size += 4) {
		assert_signs(&tree, last, size);
		fixture_reopen(&fixture);
		assert_last(&tree, size);
		assert_denied(&tree, 0, size - 1);
		assert_denied(&fork, size, size);
		assert_denied(&fork, size, size + 1);
	}
}

/* ---- threads --------------------------------------------------------------------------------------- */

#define THREADS 6
#define ROUNDS	50

struct worker {
	pthread_t thread;
	unsigned number;
	struct vin_index_set indexes;
	uint8_t fingerprint[SHA256_SIZE];
	struct merkle_hash root;
	const char *failure; /* cmocka's asserts are the main thread's */
};

static const char *work_once(const struct worker *worker)
{
	const struct vin vin = vin_numbered(worker->number);
	const struct hashed_vin hash = hash_of(&vin);
	const struct merkle_proof none = {0};
	struct reseal_item item = {.reference_id = new_uuid()};
	BUF_CLEANUP struct buf text = {0};
	uint8_t fingerprint[SHA256_SIZE];
	struct vin_index_set set;

	if (ASK(index_vins, &demo, &hash, 1, &set, NULL) != RESULT_OK ||
	    memcmp(set.indexes[0].bytes, worker->indexes.indexes[0].bytes, VIN_INDEX_SIZE) != 0)
		return "another index";
	if (ASK(fingerprint, &demo, span_of_text(vin.text), fingerprint, NULL) != RESULT_OK ||
	    memcmp(fingerprint, worker->fingerprint, SHA256_SIZE) != 0)
		return "another fingerprint";
	if (ASK(seal_vin, &demo, &item.reference_id, &vin, &item.sealed, NULL) != RESULT_OK)
		return "not sealed";
	if (ASK(reseal_vins, &demo, &item, 1, NULL) != RESULT_OK || item.result != RESULT_OK ||
	    memcmp(item.index.bytes, set.indexes[0].bytes, VIN_INDEX_SIZE) != 0)
		return "not resealed as what was sealed";
	if (ASK(sign_checkpoint, 1, &worker->root, &none, &text, NULL) != RESULT_OK || text.size == 0)
		return "not signed";
	return NULL;
}

static void *work(void *context)
{
	struct worker *worker = context;

	for (int i = 0; i < ROUNDS && worker->failure == NULL; i++)
		worker->failure = work_once(worker);
	return NULL;
}

static void threads_get_their_own_answers(void **state)
{
	(void)state;
	struct worker workers[THREADS];
	struct key_generations generations;
	struct tree tree;

	tree_init(&tree, "a");
	for (unsigned i = 0; i < THREADS; i++) {
		const struct vin vin = vin_numbered(i);

		workers[i] = (struct worker){.number = i, .indexes = index_of(&demo, i), .root = tree.leaves[0]};
		ASSERT_OK(ASK(fingerprint, &demo, span_of_text(vin.text), workers[i].fingerprint, NULL));
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	/* A neighbour's rotation disturbs nobody. */
	enum result begun = ASK(begin_rotation, &other, &generations, NULL);
	enum result finished = ASK(finish_rotation, &other, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		if (workers[i].failure != NULL)
			fail_msg("thread %u: %s", i, workers[i].failure);
	}
	ASSERT_OK(begun);
	ASSERT_OK(finished);
	assert_generations(&other, 2, 2);
}

/* Of those who open at once, exactly as many as are paid for get a VIN. */
static void *open_once(void *context)
{
	struct reseal_item *item = context;
	struct vin opened = {0};

	item->result = open_as(&demo, &item->reference_id, &item->sealed, &opened);
	return NULL;
}

static void threads_share_one_reveal_budget(void **state)
{
	(void)state;
	struct reseal_item items[2 * REVEALS_PER_HOUR] = {{.result = RESULT_OK}};
	pthread_t threads[COUNT(items)];
	int opened = 0;

	for (unsigned i = 0; i < COUNT(items); i++) {
		items[i].reference_id = new_uuid();
		items[i].sealed = seal(&items[i].reference_id, i);
	}
	for (unsigned i = 0; i < COUNT(items); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_once, &items[i]), 0);
	for (unsigned i = 0; i < COUNT(items); i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < COUNT(items); i++) {
		opened += items[i].result == RESULT_OK;
		assert_true(items[i].result == RESULT_OK || items[i].result == RESULT_EXHAUSTED);
	}
	assert_int_equal(opened, REVEALS_PER_HOUR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(int argument_count, char **arguments)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_tenant_is_made_once),
		TEST(an_unknown_tenant_is_absent_everywhere),
		TEST(indexes_come_in_batches_that_are_bounded),
		TEST(tenants_have_indexes_and_fingerprints_of_their_own),
		TEST(a_sealed_vin_opens_and_no_two_blobs_are_alike),
		TEST(a_sealed_vin_opens_in_its_place_only),
		TEST(one_person_opens_nothing),
		TEST(reveals_are_counted_over_tenants_and_restarts),
		TEST(a_rotation_has_two_live_generations_until_it_ends),
		TEST(resealing_moves_to_the_newest_generation_one_by_one),
		TEST(resealing_is_bounded),
		TEST(fingerprints_outlive_rotations_and_restarts),
		TEST(keys_and_generations_outlive_restarts),
		TEST(a_checkpoint_grows_by_proof_only),
		TEST(an_empty_tree_has_one_root),
		TEST(the_last_checkpoint_outlives_restarts),
		TEST(threads_get_their_own_answers),
		TEST(threads_share_one_reveal_budget),
	};
	int failed = 0;

	if (!begin_program(argument_count, arguments))
		return 1;
	for (size_t i = 0; i < keys_adapter_count; i++) {
		adapter = &keys_adapters[i];
		failed += cmocka_run_group_tests_name(adapter->name, tests, NULL, NULL);
	}
	return failed;
}
