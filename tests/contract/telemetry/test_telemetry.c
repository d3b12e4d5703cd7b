/* What every telemetry store must do. */
#include "tests/contract/telemetry/fixture.h"

#include <pthread.h>
#include <stdio.h>

static struct fixture *open_fixture(void **state, struct fixture *fixture)
{
	fixture_open(fixture, *state);
	return fixture;
}

#define FIXTURE                                                                \
	struct fixture fixture_ __attribute__((cleanup(fixture_close))) = {0}; \
	struct fixture *fixture = open_fixture(state, &fixture_)

static void test_an_empty_store_answers(void **state)
{
	FIXTURE;
	struct telemetry_position position = {7, 7};
	struct telemetry_query query = {.reference_id = vehicle_numbered(1), .limit = 10};

	assert_int_equal(fixture->store->ops->check(fixture->store, NULL), RESULT_OK);
	assert_int_equal(fixture->store->ops->get_position(fixture->store, &position, NULL), RESULT_OK);
	assert_int_equal(position.segment, 0);
	assert_int_equal(position.offset, 0);
	assert_string_equal(latest_text(fixture, 1), "");
	assert_string_equal(range_text(fixture, &query), "");
	assert_int_equal(counts_of(fixture).messages, 0);
	expire_all(fixture, NOW_MS);
}

static void test_every_type_comes_back_as_it_was(void **state)
{
	FIXTURE;
	struct telemetry_query query = {.reference_id = vehicle_numbered(1), .limit = 100};

	put(fixture, 1, NOW_MS,
	    "{\"T\":\"caf\xc3\xa9\",\"B\":true,\"A\":[1,\"x\",false],\"F\":false,\"E\":\"\",\"N\":52.5,"
	    "\"Z\":-0.0,\"L\":48.137154,\"I\":-9007199254740993,\"P\":0.1,\"X\":1.7976931348623157e308,\"S\":5e-324}");
	assert_string_equal(latest_text(fixture, 1),
			    "A@0=[1,\"x\",false] B@0=true E@0='' F@0=false I@0=-9007199254740992 "
			    "L@0=48.137154000000002 N@0=52.5 P@0=0.10000000000000001 S@0=4.9406564584124654e-324 "
			    "T@0='caf\xc3\xa9' X@0=1.7976931348623157e+308 Z@0=-0");
	assert_string_equal(range_text(fixture, &query),
			    "T@0='caf\xc3\xa9' B@0=true A@0=[1,\"x\",false] F@0=false E@0='' N@0=52.5 Z@0=-0 "
			    "L@0=48.137154000000002 I@0=-9007199254740992 P@0=0.10000000000000001 "
			    "X@0=1.7976931348623157e+308 S@0=4.9406564584124654e-324");
}

static void test_an_older_value_never_replaces_a_newer_one(void **state)
{
	FIXTURE;

	put(fixture, 1, NOW_MS, "{\"a\":2,\"b\":2}");
	put(fixture, 1, NOW_MS - 5000, "{\"a\":1,\"c\":1}");
	put(fixture, 1, NOW_MS - 40 * 3600000, "{\"b\":0,\"d\":0}");
	assert_string_equal(latest_text(fixture, 1), "a@0=2 b@0=2 c@-5000=1 d@-144000000=0");
	put(fixture, 1, NOW_MS + 1, "{\"d\":9}");
	assert_string_equal(latest_text(fixture, 1), "a@0=2 b@0=2 c@-5000=1 d@1=9");
	/* In one batch, whatever their order. */
	const struct telemetry_message messages[] = {
		message_of(fixture, 2, NOW_MS, "{\"a\":3}"),
		message_of(fixture, 2, NOW_MS - 1, "{\"a\":2,\"b\":2}"),
		message_of(fixture, 2, NOW_MS - 2 * DAY_MS, "{\"a\":1,\"b\":1,\"c\":1}"),
	};
	assert_int_equal(commit_messages(fixture, messages, 3), RESULT_OK);
	assert_string_equal(latest_text(fixture, 2), "a@0=3 b@-1=2 c@-172800000=1");
	fixture_reopen(fixture);
	assert_string_equal(latest_text(fixture, 2), "a@0=3 b@-1=2 c@-172800000=1");
}

static void test_what_comes_twice_is_stored_once(void **state)
{
	FIXTURE;
	struct telemetry_query query = {.reference_id = vehicle_numbered(1), .limit = 10};
	const struct telemetry_message messages[] = {
		message_of(fixture, 1, NOW_MS, "{\"a\":1,\"b\":2}"),
		message_of(fixture, 1, NOW_MS, "{\"a\":1,\"b\":2}"),
		message_of(fixture, 1, NOW_MS, "{\"a\":1}"),
		message_of(fixture, 1, NOW_MS + 1, "{\"a\":1,\"b\":2}"),
		message_of(fixture, 2, NOW_MS, "{\"a\":1,\"b\":2}"),
	};

	assert_int_equal(commit_messages(fixture, messages, 5), RESULT_OK);
	assert_int_equal(commit_messages(fixture, messages, 2), RESULT_OK);
	assert_int_equal(counts_of(fixture).messages, 4);
	assert_int_equal(counts_of(fixture).samples, 7);
	assert_int_equal(counts_of(fixture).duplicates, 3);
	query.name = span_of_text("b");
	assert_string_equal(range_text(fixture, &query), "b@0=2 b@1=2");
	fixture_reopen(fixture);
	assert_int_equal(counts_of(fixture).duplicates, 3);
}

static void test_the_position_is_committed_with_what_was_read(void **state)
{
	FIXTURE;
	const struct telemetry_message message = message_of(fixture, 1, NOW_MS, "{\"a\":1}");
	const struct telemetry_reject reject = {
		.reference_id = vehicle_numbered(1), .received_at_ms = NOW_MS, .reason = "payload-malformed"};
	struct telemetry_batch batch = {.messages = &message,
					.message_count = 1,
					.rejects = &reject,
					.reject_count = 1,
					.withheld = 3,
					.position = {5, UINT64_C(1) << 40}};
	struct telemetry_position position;

	assert_int_equal(fixture->store->ops->commit(fixture->store, &batch, NULL), RESULT_OK);
	fixture_reopen(fixture);
	assert_int_equal(fixture->store->ops->get_position(fixture->store, &position, NULL), RESULT_OK);
	assert_int_equal(position.segment, 5);
	assert_int_equal(position.offset, UINT64_C(1) << 40);
	assert_int_equal(counts_of(fixture).rejects, 1);
	assert_int_equal(counts_of(fixture).withheld, 3);
	batch = (struct telemetry_batch){.position = {6, 1}};
	assert_int_equal(fixture->store->ops->commit(fixture->store, &batch, NULL), RESULT_OK);
	assert_int_equal(fixture->store->ops->get_position(fixture->store, &position, NULL), RESULT_OK);
	assert_int_equal(position.segment, 6);
}

/* ---- ranges ------------------------------------------------------------------------------------------- */

/* Three days, ten messages, two signals each. */
static void put_ten(struct fixture *fixture)
{
	struct telemetry_message messages[10];

	for (int i = 0; i < 10; i++) {
		char signals[64];

		snprintf(signals, sizeof(signals), "{\"n\":%d,\"half\":%d.5}", i, i);
		messages[9 - i] = message_of(fixture, 1, NOW_MS - (9 - i) * 6 * 3600000, signals);
	}
	assert_int_equal(commit_messages(fixture, messages, 10), RESULT_OK);
	put(fixture, 2, NOW_MS, "{\"n\":77}");
}

static void test_a_range_over_days_comes_in_pages(void **state)
{
	FIXTURE;
	struct telemetry_query query = {.reference_id = vehicle_numbered(1), .limit = 1000};
	size_t pages;

	put_ten(fixture);
	const char *all = range_text(fixture, &query);
	assert_non_null(strstr(all, "n@-194400000=0 half@-194400000=0.5 n@-172800000=1"));
	assert_null(strstr(all, "77"));
	for (size_t limit = 1; limit <= 21; limit++) {
		assert_string_equal(pages_text(fixture, query, limit, &pages), all);
		assert_int_equal(pages, (20 + limit - 1) / limit);
	}
	query.name = span_of_text("n");
	assert_string_equal(pages_text(fixture, query, 3, &pages),
			    "n@-194400000=0 n@-172800000=1 n@-151200000=2 n@-129600000=3 n@-108000000=4 "
			    "n@-86400000=5 n@-64800000=6 n@-43200000=7 n@-21600000=8 n@0=9");
	assert_int_equal(pages, 4);
	query.name = span_of_text("never");
	assert_string_equal(range_text(fixture, &query), "");
}

static void test_a_range_has_ends(void **state)
{
	FIXTURE;
	struct telemetry_query query = {.reference_id = vehicle_numbered(1), .name = span_of_text("n"), .limit = 1000};
	size_t pages;

	put_ten(fixture);
	query.from_ms = NOW_MS - 43200000;
	query.to_ms = NOW_MS;
	assert_string_equal(range_text(fixture, &query), "n@-43200000=7 n@-21600000=8");
	assert_string_equal(pages_text(fixture, query, 1, &pages), "n@-43200000=7 n@-21600000=8");
	query.to_ms = NOW_MS + 1;
	assert_string_equal(range_text(fixture, &query), "n@-43200000=7 n@-21600000=8 n@0=9");
	query.to_ms = query.from_ms;
	assert_string_equal(range_text(fixture, &query), "");
	query.to_ms = query.from_ms - 5;
	assert_string_equal(range_text(fixture, &query), "");
	query = (struct telemetry_query){.reference_id = vehicle_numbered(1),
					 .name = span_of_text("n"),
					 .to_ms = NOW_MS - 172799999,
					 .limit = 9};
	assert_string_equal(range_text(fixture, &query), "n@-194400000=0 n@-172800000=1");
}

static void test_a_cursor_belongs_to_its_query(void **state)
{
	FIXTURE;
	static const char *const wrong[] = {"", "x", "00", "zz000000000000000000000000000000000000000000000000000000",
					    "00000000000000000000000000000000000000000000000000000000"};
	struct telemetry_query query = {.reference_id = vehicle_numbered(1), .limit = 3};
	struct telemetry_page page = {0};

	put_ten(fixture);
	assert_int_equal(fixture->store->ops->get_range(fixture->store, &query, &fixture->arena, &page, NULL),
			 RESULT_OK);
	assert_non_null(page.next_cursor);
	query.cursor = page.next_cursor;
	assert_int_equal(fixture->store->ops->get_range(fixture->store, &query, &fixture->arena, &page, NULL),
			 RESULT_OK);
	query.name = span_of_text("n");
	assert_int_equal(fixture->store->ops->get_range(fixture->store, &query, &fixture->arena, &page, NULL),
			 RESULT_INVALID);
	query.name = (struct span){0};
	query.reference_id = vehicle_numbered(2);
	assert_int_equal(fixture->store->ops->get_range(fixture->store, &query, &fixture->arena, &page, NULL),
			 RESULT_INVALID);
	query.reference_id = vehicle_numbered(1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		query.cursor = wrong[i];
		assert_int_equal(fixture->store->ops->get_range(fixture->store, &query, &fixture->arena, &page, NULL),
				 RESULT_INVALID);
	}
}

static void test_large_texts_make_short_pages(void **state)
{
	FIXTURE;
	struct telemetry_query query = {.reference_id = vehicle_numbered(1)};
	struct telemetry_page page = {0};
	struct telemetry_message messages[400];
	char signals[SIGNAL_TEXT_SIZE_MAX + 32];
	size_t count = 0, pages = 0;

	for (int i = 0; i < 400; i++) {
		snprintf(signals, sizeof(signals), "{\"t\":\"%0*d\"}", SIGNAL_TEXT_SIZE_MAX, i);
		messages[i] = message_of(fixture, 1, NOW_MS + i, signals);
	}
	assert_int_equal(commit_messages(fixture, messages, 400), RESULT_OK);
	query.limit = 1000;
	do {
		ARENA_CLEANUP struct arena arena = {0}; /* as a request has it */

		assert_int_equal(fixture->store->ops->get_range(fixture->store, &query, &arena, &page, NULL),
				 RESULT_OK);
		count += page.count;
		query.cursor = page.next_cursor == NULL
				       ? NULL
				       : arena_copy_text(&fixture->arena, span_of_text(page.next_cursor));
		pages++;
	} while (query.cursor != NULL);
	assert_int_equal(count, 400);
	assert_true(pages >= 2);
}

/* ---- retention ------------------------------------------------------------------------------------------ */

static const struct tenant_id brief = {"brief"}, lasting = {"lasting"};

static void test_what_is_too_old_goes(void **state)
{
	FIXTURE;
	const struct uuid one = vehicle_numbered(1), two = vehicle_numbered(2), four = vehicle_numbered(4),
			  five = vehicle_numbered(5);
	struct telemetry_query query = {.limit = 1000};

	assert_int_equal(fixture->store->ops->set_retention(fixture->store, &brief, 5, NULL), RESULT_OK);
	assert_int_equal(fixture->store->ops->set_retention(fixture->store, &lasting, 60, NULL), RESULT_OK);
	assert_int_equal(fixture->store->ops->assign(fixture->store, &one, &brief, NULL), RESULT_OK);
	assert_int_equal(fixture->store->ops->assign(fixture->store, &two, &lasting, NULL), RESULT_OK);
	for (uint32_t vehicle = 1; vehicle <= 4; vehicle++)
		for (int day = 0; day < 5; day++)
			put(fixture, vehicle, NOW_MS - day * DAY_MS, "{\"a\":1}");
	put(fixture, 5, NOW_MS - 10 * DAY_MS, "{\"a\":1}");
	expire_all(fixture, NOW_MS);
	assert_int_equal(counts_of(fixture).messages, 21);
	/* Vehicle 5 turns out to be of the tenant that keeps little. */
	assert_int_equal(fixture->store->ops->assign(fixture->store, &five, &brief, NULL), RESULT_OK);
	expire_all(fixture, NOW_MS);
	query.reference_id = five;
	assert_string_equal(range_text(fixture, &query), "");
	/* So does vehicle 4, and three days pass. */
	assert_int_equal(fixture->store->ops->assign(fixture->store, &four, &brief, NULL), RESULT_OK);
	expire_all(fixture, NOW_MS + 3 * DAY_MS);
	query.reference_id = one;
	assert_string_equal(range_text(fixture, &query), "a@-172800000=1 a@-86400000=1 a@0=1");
	query.reference_id = four;
	assert_string_equal(range_text(fixture, &query), "a@-172800000=1 a@-86400000=1 a@0=1");
	query.reference_id = two;
	assert_string_equal(range_text(fixture, &query),
			    "a@-345600000=1 a@-259200000=1 a@-172800000=1 a@-86400000=1 a@0=1");
	query.reference_id = vehicle_numbered(3); /* nobody's: the default */
	assert_string_equal(range_text(fixture, &query),
			    "a@-345600000=1 a@-259200000=1 a@-172800000=1 a@-86400000=1 a@0=1");
	expire_all(fixture, NOW_MS + 61 * DAY_MS);
	query.reference_id = two;
	assert_string_equal(range_text(fixture, &query), "");
	/* What was stored is counted all the same, and what came last is still known. */
	assert_int_equal(counts_of(fixture).messages, 21);
	assert_int_equal(counts_of(fixture).duplicates, 0);
	assert_string_equal(latest_text(fixture, 2), "a@0=1");
}

static void test_what_comes_too_late_is_not_kept(void **state)
{
	FIXTURE;
	const struct uuid one = vehicle_numbered(1);
	struct telemetry_query query = {.reference_id = one, .limit = 10};

	put(fixture, 1, NOW_MS - RETENTION_DAYS * DAY_MS, "{\"a\":1}");
	put(fixture, 1, NOW_MS - (RETENTION_DAYS + 1) * DAY_MS, "{\"a\":2}");
	assert_string_equal(range_text(fixture, &query), "a@-2592000000=1");
	assert_int_equal(counts_of(fixture).messages, 1);
	assert_int_equal(counts_of(fixture).duplicates, 0);
	assert_int_equal(fixture->store->ops->set_retention(fixture->store, &brief, 2, NULL), RESULT_OK);
	assert_int_equal(fixture->store->ops->assign(fixture->store, &one, &brief, NULL), RESULT_OK);
	put(fixture, 1, NOW_MS - 3 * DAY_MS, "{\"a\":3}");
	put(fixture, 1, NOW_MS - 2 * DAY_MS, "{\"a\":4}");
	expire_all(fixture, NOW_MS);
	assert_string_equal(range_text(fixture, &query), "a@-172800000=4");
	fixture_reopen(fixture); /* who keeps what is remembered */
	put(fixture, 1, NOW_MS - 3 * DAY_MS, "{\"a\":5}");
	assert_string_equal(range_text(fixture, &query), "a@-172800000=4");
	assert_int_equal(fixture->store->ops->set_retention(fixture->store, &brief, 0, NULL), RESULT_OK);
	put(fixture, 1, NOW_MS - 3 * DAY_MS, "{\"a\":5}");
	assert_string_equal(range_text(fixture, &query), "a@-259200000=5 a@-172800000=4");
}

static void test_a_vehicle_is_forgotten(void **state)
{
	FIXTURE;
	const struct uuid one = vehicle_numbered(1), never = vehicle_numbered(99);
	struct telemetry_query query = {.reference_id = one, .limit = 100};

	for (uint32_t vehicle = 1; vehicle <= 2; vehicle++)
		for (int day = 0; day < 12; day++)
			put(fixture, vehicle, NOW_MS - day * DAY_MS, "{\"a\":1}");
	assert_int_equal(fixture->store->ops->forget(fixture->store, &one, NULL), RESULT_OK);
	assert_int_equal(fixture->store->ops->forget(fixture->store, &one, NULL), RESULT_OK);
	assert_int_equal(fixture->store->ops->forget(fixture->store, &never, NULL), RESULT_OK);
	assert_string_equal(latest_text(fixture, 1), "");
	assert_string_equal(range_text(fixture, &query), "");
	put(fixture, 1, NOW_MS + 1, "{\"b\":1}");
	assert_string_equal(range_text(fixture, &query), "b@1=1");
	query.reference_id = vehicle_numbered(2);
	size_t pages;
	assert_int_equal(strlen(pages_text(fixture, query, 100, &pages)) > 100, 1);
	assert_string_equal(latest_text(fixture, 2), "a@0=1");
}

/* ---- many ----------------------------------------------------------------------------------------------- */

static void *read_on(void *context)
{
	struct fixture *fixture = context;
	const struct uuid reference_id = vehicle_numbered(3);
	struct telemetry_query query = {.reference_id = reference_id, .limit = 50};

	for (int i = 0; i < 200; i++) {
		ARENA_CLEANUP struct arena arena = {0};
		struct telemetry_latest *latest;
		struct telemetry_page page;
		size_t count;

		if (fixture->store->ops->get_latest(fixture->store, &reference_id, &arena, &latest, &count, NULL) !=
			    RESULT_OK ||
		    fixture->store->ops->get_range(fixture->store, &query, &arena, &page, NULL) != RESULT_OK)
			return (void *)1;
	}
	return NULL;
}

static void test_reading_goes_on_while_batches_come(void **state)
{
	FIXTURE;
	pthread_t threads[3];
	struct telemetry_message messages[100];

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, fixture), 0);
	for (int batch = 0; batch < 30; batch++) {
		for (uint32_t i = 0; i < 100; i++)
			messages[i] = message_of(fixture, i % 10, NOW_MS + batch * 1000 + i, "{\"a\":1,\"b\":\"x\"}");
		assert_int_equal(commit_messages(fixture, messages, 100), RESULT_OK);
	}
	for (size_t i = 0; i < 3; i++) {
		void *outcome;

		pthread_join(threads[i], &outcome);
		assert_null(outcome);
	}
	assert_int_equal(counts_of(fixture).messages, 3000);
}

static void put_invented(struct fixture *fixture, uint32_t vehicle, int batch)
{
	struct buf signals = {.size_max = (size_t)4 << 20};

	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_append_format(&signals, "%s\"n%d.%d\":1", i == 0 ? "{" : ",", batch, i),
				 RESULT_OK);
	assert_int_equal(buf_append_text(&signals, "}"), RESULT_OK);
	put(fixture, vehicle, NOW_MS + batch, (const char *)signals.data);
	buf_release(&signals);
}

/* Names have one room for all vehicles: whoever fills it would silence the others' new signals. */
static void test_a_vehicle_that_invents_names_takes_no_room_from_others(void **state)
{
	FIXTURE;

	for (int batch = 0; batch < 3; batch++)
		put_invented(fixture, 1, batch);
	fixture_reopen(fixture);
	for (int batch = 3; batch < 6; batch++)
		put_invented(fixture, 1, batch);
	assert_int_equal(counts_of(fixture).samples, 4096);
	assert_int_equal(counts_of(fixture).withheld, 6000 - 4096);
	/* What it has named, and what others name, it may send on. */
	put_invented(fixture, 2, 6);
	put(fixture, 1, NOW_MS + 7, "{\"n0.1\":2,\"n6.1\":2,\"m\":2}");
	assert_int_equal(counts_of(fixture).samples, 4096 + 1000 + 2);
	assert_int_equal(counts_of(fixture).withheld, 6000 - 4096 + 1);
}

static void test_the_latest_values_of_a_vehicle_are_bounded(void **state)
{
	FIXTURE;
	const struct uuid reference_id = vehicle_numbered(1);
	struct telemetry_latest *latest;
	size_t count;

	for (int batch = 0; batch < 6; batch++) {
		put_invented(fixture, (uint32_t)batch % 2 + 2, batch);
		put_invented(fixture, 1, batch);
	}
	assert_int_equal(
		fixture->store->ops->get_latest(fixture->store, &reference_id, &fixture->arena, &latest, &count, NULL),
		RESULT_OK);
	assert_int_equal(count, 4096);
	assert_int_equal(counts_of(fixture).samples, 12000);
}

int main(void)
{
	int failed = 0;

	for (size_t i = 0; i < telemetry_adapter_count; i++) {
		void *adapter = (void *)&telemetry_adapters[i];
#define TEST(name) cmocka_unit_test_prestate(name, adapter)
		const struct CMUnitTest tests[] = {
			TEST(test_an_empty_store_answers),
			TEST(test_every_type_comes_back_as_it_was),
			TEST(test_an_older_value_never_replaces_a_newer_one),
			TEST(test_what_comes_twice_is_stored_once),
			TEST(test_the_position_is_committed_with_what_was_read),
			TEST(test_a_range_over_days_comes_in_pages),
			TEST(test_a_range_has_ends),
			TEST(test_a_cursor_belongs_to_its_query),
			TEST(test_large_texts_make_short_pages),
			TEST(test_what_is_too_old_goes),
			TEST(test_what_comes_too_late_is_not_kept),
			TEST(test_a_vehicle_is_forgotten),
			TEST(test_reading_goes_on_while_batches_come),
			TEST(test_a_vehicle_that_invents_names_takes_no_room_from_others),
			TEST(test_the_latest_values_of_a_vehicle_are_bounded),
		};
		failed += cmocka_run_group_tests_name(telemetry_adapters[i].name, tests, NULL, NULL);
	}
	return failed;
}
