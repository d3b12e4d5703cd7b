/* Queries: every filter alone and together, paging, bounds, and readers beside a writer. */
#include "audit_support.h"

#include <stdio.h>
#include <stdlib.h>

#define ENTRIES	  5000
#define START_MS  1767225600000
#define PAGE_SIZE 64

static const char *const tenants[] = {"demo", "other", "third"};
static const char *const actors[] = {"crm", "factory", "investigator", "auditor", "service-center"};
static const char *const actions[] = {"reference-id.lookup", "vehicle.provision"};
static const char *const outcomes[] = {"allowed", "refused", "absent", "failed"};

static struct test_leaf content_of(uint64_t number)
{
	return (struct test_leaf){
		.tenant = tenants[number % 3],
		.actor = actors[number % 5],
		.action = actions[number % 2],
		.outcome = outcomes[number % 4],
		.at_ms = START_MS + (int64_t)(number * 1000) - (number % 10 == 0 ? 5000000 : 0), /* some come late */
		.reference = number % 11 == 0 ? 0 : 1 + number % 97,
		.batch = number % 13 == 1 ? 3 + number % 40 : 0,
	};
}

static void append_content(struct audit_log *log, uint64_t count)
{
	char(*rooms)[2048] = calloc(500, sizeof(*rooms));
	static struct audit_leaf leaves[500];
	char room[AUDIT_LEAF_SIZE_MAX + 1];

	for (uint64_t first = 0; first < count; first += 500) {
		for (uint64_t i = 0; i < 500; i++) {
			struct test_leaf content = content_of(first + i);

			make_leaf(first + i, &content, room, &leaves[i]);
			memcpy(rooms[i], room, leaves[i].json.size);
			leaves[i].json.data = (const uint8_t *)rooms[i];
		}
		assert_int_equal(append_wait(log, leaves, 500, NULL), RESULT_OK);
	}
	free(rooms);
}

/* The same question asked of what was appended. */
static bool is_wanted(const struct audit_query *query, uint64_t number)
{
	struct test_leaf content = content_of(number);
	bool has_reference = query->reference_id == NULL;
	struct uuid id;

	for (size_t i = 0; content.reference != 0 && i < (content.batch == 0 ? 1 : content.batch); i++) {
		number_uuid(content.reference + i, &id);
		has_reference = has_reference || uuid_equal(&id, query->reference_id);
	}
	return has_reference && (query->from_ms == 0 || content.at_ms >= query->from_ms) &&
	       (query->to_ms == 0 || content.at_ms < query->to_ms) &&
	       (query->tenant == NULL || strcmp(query->tenant, content.tenant) == 0) &&
	       (query->actor == NULL || strcmp(query->actor, content.actor) == 0) &&
	       (query->action == NULL || strcmp(query->action, content.action) == 0) &&
	       (query->outcome == NULL || strcmp(query->outcome, content.outcome) == 0);
}

static size_t assert_answers(struct audit_log *log, struct audit_query query)
{
	struct audit_found found[PAGE_SIZE];
	uint64_t next = ENTRIES, expected = ENTRIES;
	size_t count, total = 0;

	query.before_index = UINT64_MAX;
	while (next != 0) {
		ARENA_CLEANUP struct arena arena = {0};

		assert_int_equal(log->ops->query(log, &query, &arena, found, &count, &next, NULL), RESULT_OK);
		assert_true(count <= query.limit);
		for (size_t i = 0; i < count; i++) {
			char room[AUDIT_LEAF_SIZE_MAX + 1];
			struct test_leaf content;
			struct audit_leaf leaf;

			do
				assert_true(expected-- > 0);
			while (!is_wanted(&query, expected));
			assert_int_equal(found[i].index, expected);
			content = content_of(expected);
			make_leaf(expected, &content, room, &leaf);
			assert_int_equal(found[i].json.size, leaf.json.size);
			assert_memory_equal(found[i].json.data, leaf.json.data, leaf.json.size);
		}
		total += count;
		query.before_index = next;
	}
	while (expected-- > 0)
		assert_false(is_wanted(&query, expected));
	return total;
}

static void test_every_filter(void **state)
{
	struct audit_fixture *fixture = *state;
	struct uuid reference, unknown;

	audit_open(fixture);
	append_content(fixture->log, ENTRIES);
	number_uuid(17, &reference);
	number_uuid(100000, &unknown);
	for (unsigned filters = 0; filters < 128; filters++) {
		struct audit_query query = {
			.limit = 1 + filters % PAGE_SIZE,
			.from_ms = filters & 1 ? START_MS + 1000000 : 0,
			.to_ms = filters & 2 ? START_MS + 4000000 : 0,
			.tenant = filters & 4 ? "other" : NULL,
			.actor = filters & 8 ? "investigator" : NULL,
			.action = filters & 16 ? "vehicle.provision" : NULL,
			.outcome = filters & 32 ? "refused" : NULL,
			.reference_id = filters & 64 ? &reference : NULL,
		};
		size_t count = assert_answers(fixture->log, query);

		assert_true(count > 0 || filters >= 64);
	}
	assert_true(assert_answers(fixture->log, (struct audit_query){.limit = 10, .reference_id = &reference}) >
		    ENTRIES / 97);
	assert_int_equal(assert_answers(fixture->log, (struct audit_query){.limit = 10, .reference_id = &unknown}), 0);
	assert_int_equal(assert_answers(fixture->log, (struct audit_query){.limit = 10, .tenant = "nobody"}), 0);
	assert_int_equal(assert_answers(fixture->log, (struct audit_query){.limit = 10, .actor = ""}), 0);
}

static void test_an_empty_log_answers(void **state)
{
	struct audit_fixture *fixture = *state;
	ARENA_CLEANUP struct arena arena = {0};
	struct audit_query query = {.before_index = UINT64_MAX, .limit = 1};
	struct audit_found found[1];
	uint64_t next = 99;
	size_t count = 99;

	audit_open(fixture);
	assert_int_equal(fixture->log->ops->query(fixture->log, &query, &arena, found, &count, &next, NULL), RESULT_OK);
	assert_int_equal(count, 0);
	assert_int_equal(next, 0);
	query.limit = 0;
	assert_int_equal(fixture->log->ops->query(fixture->log, &query, &arena, found, &count, &next, NULL),
			 RESULT_INVALID);
}

/* A small arena makes short pages, not failures. */
static void test_pages_end_where_memory_ends(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_query query = {.before_index = UINT64_MAX, .limit = PAGE_SIZE};
	struct audit_found found[PAGE_SIZE];
	uint64_t next = 1, expected = 500;
	size_t count;

	audit_open(fixture);
	append_content(fixture->log, 500);
	while (next != 0) {
		ARENA_CLEANUP struct arena arena = {.size_max = 16384};

		assert_int_equal(fixture->log->ops->query(fixture->log, &query, &arena, found, &count, &next, NULL),
				 RESULT_OK);
		assert_true(count > 0);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(found[i].index, --expected);
		query.before_index = next;
	}
	assert_int_equal(expected, 0);
}

/* A call reads a bounded number of entries, so a page may be empty and still have a next one. */
static void test_a_call_is_bounded(void **state)
{
	struct audit_fixture *fixture = *state;
	struct uuid unknown;
	struct audit_query query = {.before_index = UINT64_MAX, .limit = 10, .reference_id = &unknown};
	struct test_leaf content = {.tenant = "demo",
				    .actor = "crm",
				    .action = "a",
				    .outcome = "allowed",
				    .at_ms = START_MS,
				    .reference = 1,
				    .batch = 2};
	ARENA_CLEANUP struct arena arena = {0};
	static struct audit_leaf leaves[5000];
	char room[AUDIT_LEAF_SIZE_MAX + 1];
	struct audit_found found[10];
	uint64_t next = 0;
	size_t count = 99;

	number_uuid(77777, &unknown);
	make_leaf(0, &content, room, &leaves[0]);
	for (size_t i = 1; i < 5000; i++)
		leaves[i] = leaves[0];
	audit_open(fixture);
	assert_int_equal(append_wait(fixture->log, leaves, 5000, NULL), RESULT_OK);
	assert_int_equal(fixture->log->ops->query(fixture->log, &query, &arena, found, &count, &next, NULL), RESULT_OK);
	assert_int_equal(count, 0);
	assert_true(next > 0);
	query.before_index = next;
	assert_int_equal(fixture->log->ops->query(fixture->log, &query, &arena, found, &count, &next, NULL), RESULT_OK);
	assert_int_equal(next, 0);
}

static void test_a_damaged_index_is_told(void **state)
{
	struct audit_fixture *fixture = *state;
	struct audit_query query = {.before_index = UINT64_MAX, .limit = 10};
	BUF_CLEANUP struct buf index = {0};
	ARENA_CLEANUP struct arena arena = {0};
	struct audit_found found[10];
	struct note note = {0};
	uint64_t next;
	size_t count;

	audit_open(fixture);
	append_content(fixture->log, 500);
	audit_checkpoint(fixture);
	audit_close(fixture);
	load_file(fixture, "index", &index);
	index.data[495 * 32 + 2] ^= 1; /* an offset */
	store_file(fixture, "index", index.data, index.size);
	audit_open(fixture);
	assert_int_equal(fixture->log->ops->query(fixture->log, &query, &arena, found, &count, &next, &note),
			 RESULT_CORRUPT);
	assert_non_null(strstr(note.text, "delete"));
	audit_close(fixture);
	fixture->config.rebuild = true;
	audit_open(fixture);
	assert_int_equal(fixture->log->ops->query(fixture->log, &query, &arena, found, &count, &next, &note),
			 RESULT_OK);
}

/* ---- readers beside a writer ------------------------------------------------------------------------------ */

struct reader {
	struct audit_log *log;
	_Atomic bool stop;
	size_t calls, failures;
};

static void read_newest(struct reader *reader, uint64_t *newest)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct audit_query query = {.before_index = UINT64_MAX, .limit = PAGE_SIZE, .tenant = "demo"};
	struct audit_found found[PAGE_SIZE];
	uint64_t durable = reader->log->ops->durable_size(reader->log), next;
	struct span json;
	size_t count = 0;

	if (reader->log->ops->query(reader->log, &query, &arena, found, &count, &next, NULL) != RESULT_OK)
		reader->failures++;
	/* What was durable when we asked is in the answer, and nothing that was seen goes away. */
	if (durable >= 3 && (count == 0 || found[0].index + 3 < durable || found[0].index < *newest))
		reader->failures++;
	for (size_t i = 1; i < count; i++)
		if (found[i].index >= found[i - 1].index)
			reader->failures++;
	if (durable > 0 && reader->log->ops->read(reader->log, durable - 1, &arena, &json, NULL) != RESULT_OK)
		reader->failures++;
	if (count > 0)
		*newest = found[0].index;
	reader->calls++;
}

static void *read_run(void *context)
{
	struct reader *reader = context;
	uint64_t newest = 0;

	while (!reader->stop)
		read_newest(reader, &newest);
	return NULL;
}

static void test_queries_beside_appends(void **state)
{
	struct audit_fixture *fixture = *state;
	struct reader readers[3];
	pthread_t threads[3];

	fixture->config.checkpoint_interval_ms = 2;
	audit_open(fixture);
	for (size_t i = 0; i < 3; i++) {
		readers[i] = (struct reader){.log = fixture->log};
		assert_int_equal(pthread_create(&threads[i], NULL, read_run, &readers[i]), 0);
	}
	for (uint64_t round = 0; round < 20; round++)
		append_content(fixture->log, 500);
	for (uint64_t number = 0; number < 300; number++)
		append_numbers(fixture->log, 3 * number, 3, 3);
	for (size_t i = 0; i < 3; i++) {
		readers[i].stop = true;
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].failures, 0);
		assert_true(readers[i].calls > 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, audit_setup, audit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_filter),
		TEST(test_an_empty_log_answers),
		TEST(test_pages_end_where_memory_ends),
		TEST(test_a_call_is_bounded),
		TEST(test_a_damaged_index_is_told),
		TEST(test_queries_beside_appends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
