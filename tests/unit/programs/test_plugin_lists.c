#include "../cmocka_all.h"

#include "programs/mosquitto-plugin/deny_list.h"
#include "programs/mosquitto-plugin/sessions.h"

#include <stdio.h>
#include <string.h>

#define KEYS 2000

static void key_of(unsigned number, uint8_t ret_key[static KEY_SIZE])
{
	memset(ret_key, 0, KEY_SIZE);
	memcpy(ret_key, &number, sizeof(number));
}

/* Added and removed at random, beside a plain table. */
static void a_set_holds_what_was_added(void **state)
{
	struct key_set set = {0};
	bool expected[KEYS] = {0};
	unsigned seed = 7;
	(void)state;
	for (int round = 0; round < 100000; round++) {
		uint8_t key[KEY_SIZE];
		seed = seed * 1103515245 + 12345;
		unsigned number = (seed >> 8) % KEYS;
		key_of(number, key);
		assert_int_equal(key_set_has(&set, key), expected[number]);
		expected[number] = (seed >> 24) % 2 == 0;
		if (expected[number])
			assert_int_equal(key_set_add(&set, key), RESULT_OK);
		else
			key_set_remove(&set, key);
	}
	size_t count = 0;
	for (unsigned number = 0; number < KEYS; number++) {
		uint8_t key[KEY_SIZE];
		key_of(number, key);
		assert_int_equal(key_set_has(&set, key), expected[number]);
		count += expected[number];
	}
	assert_int_equal(set.count, count);
	key_set_release(&set);
}

static const struct serial first = {{1}}, second = {{2}};
static const struct uuid vehicle = {{3}}, other = {{4}};

static void fill(struct deny_list *list, uint64_t epoch, int64_t now_ms)
{
	deny_list_begin(list, epoch);
	assert_int_equal(deny_list_collect_serial(list, &first), RESULT_OK);
	assert_int_equal(deny_list_collect_vehicle(list, &vehicle), RESULT_OK);
	assert_int_equal(deny_list_end(list, epoch, 1, 1, now_ms), RESULT_OK);
}

static void a_list_counts_when_it_is_whole(void **state)
{
	struct deny_list list = {0};
	(void)state;
	assert_true(deny_list_age_ms(&list, 0) == INT64_MAX);
	assert_int_equal(deny_list_collect_serial(&list, &first), RESULT_INVALID);
	assert_int_equal(deny_list_end(&list, 1, 0, 0, 0), RESULT_INVALID);
	deny_list_begin(&list, 1);
	assert_int_equal(deny_list_collect_serial(&list, &first), RESULT_OK);
	assert_int_equal(deny_list_end(&list, 1, 2, 0, 0), RESULT_INVALID); /* one is missing */
	assert_true(deny_list_age_ms(&list, 0) == INT64_MAX);
	deny_list_begin(&list, 1);
	assert_int_equal(deny_list_end(&list, 2, 0, 0, 0), RESULT_INVALID); /* another's end */
	assert_true(deny_list_age_ms(&list, 0) == INT64_MAX);
	fill(&list, 5, 1000);
	assert_int_equal(deny_list_age_ms(&list, 1500), 500);
	assert_true(deny_list_denies(&list, &first, NULL));
	assert_true(deny_list_denies(&list, &second, &vehicle));
	assert_false(deny_list_denies(&list, &second, &other));
	assert_false(deny_list_denies(&list, &second, NULL));
	deny_list_release(&list);
}

static void the_old_list_counts_until_the_new_one_is_whole(void **state)
{
	struct deny_list list = {0};
	(void)state;
	fill(&list, 1, 0);
	deny_list_begin(&list, 2);
	assert_int_equal(deny_list_collect_serial(&list, &second), RESULT_OK);
	assert_true(deny_list_denies(&list, &first, NULL));
	assert_false(deny_list_denies(&list, &second, NULL));
	assert_int_equal(deny_list_deny(&list, &second), RESULT_OK);
	assert_true(deny_list_denies(&list, &second, NULL));
	assert_int_equal(deny_list_end(&list, 2, 1, 0, 100), RESULT_OK);
	assert_false(deny_list_denies(&list, &first, NULL));
	assert_true(deny_list_denies(&list, &second, NULL));
	deny_list_release(&list);
}

static void only_its_own_heartbeat_keeps_it_fresh(void **state)
{
	struct deny_list list = {0};
	(void)state;
	assert_int_equal(deny_list_heartbeat(&list, 0, 0), RESULT_CONFLICT);
	fill(&list, 1, 0);
	assert_int_equal(deny_list_heartbeat(&list, 2, 700), RESULT_CONFLICT);
	assert_int_equal(deny_list_age_ms(&list, 1000), 1000);
	assert_int_equal(deny_list_heartbeat(&list, 1, 700), RESULT_OK);
	assert_int_equal(deny_list_age_ms(&list, 1000), 300);
	deny_list_begin(&list, 2); /* what is coming is nobody's yet */
	assert_int_equal(deny_list_heartbeat(&list, 2, 900), RESULT_CONFLICT);
	deny_list_release(&list);
}

static void changes_go_both_ways(void **state)
{
	struct deny_list list = {0};
	(void)state;
	fill(&list, 1, 0);
	deny_list_activate(&list, &first);
	assert_false(deny_list_denies(&list, &first, NULL));
	deny_list_admit(&list, &vehicle);
	assert_false(deny_list_denies(&list, &first, &vehicle));
	assert_int_equal(deny_list_refuse(&list, &other), RESULT_OK);
	assert_true(deny_list_denies(&list, &first, &other));
	deny_list_release(&list);
}

/* ---- sessions ------------------------------------------------------------------------------------------------- */

static char clients[1000]; /* their addresses stand for the broker's objects */

static struct session *add(struct sessions *sessions, size_t client, const struct uuid *id, const char *name,
			   struct session **ret_superseded)
{
	struct identity identity = {.kind = id ? IDENTITY_VEHICLE : IDENTITY_CLAIM};
	struct session *session = NULL;
	if (id)
		identity.reference_id = *id;
	assert_int_equal(
		sessions_add(sessions, &clients[client], &identity, name, "127.0.0.1", &session, ret_superseded),
		RESULT_OK);
	return session;
}

static void a_successor_takes_the_name_over(void **state)
{
	struct sessions sessions = {0};
	char name[UUID_TEXT_SIZE];
	struct session *superseded = NULL;
	(void)state;
	uuid_format(&vehicle, name);
	struct session *old = add(&sessions, 0, &vehicle, name, &superseded);
	assert_null(superseded);
	struct session *fresh = add(&sessions, 1, &vehicle, name, &superseded);
	assert_ptr_equal(superseded, old);
	assert_true(old->is_superseded);
	assert_ptr_equal(sessions_find_vehicle(&sessions, &vehicle), fresh);
	assert_ptr_equal(sessions_find(&sessions, &clients[0]), old);
	assert_int_equal(sessions.vehicles, 1);
	assert_true(fresh->number > old->number);
	sessions_remove(&sessions, old); /* late, as over WebSockets */
	assert_ptr_equal(sessions_find_vehicle(&sessions, &vehicle), fresh);
	assert_int_equal(sessions.vehicles, 1);
	/* The broker uses memory again without having told of its end. */
	struct session *reused = add(&sessions, 1, &other, "x", &superseded);
	assert_null(superseded);
	assert_null(sessions_find_vehicle(&sessions, &vehicle));
	assert_ptr_equal(sessions_find(&sessions, &clients[1]), reused);
	assert_int_equal(sessions.count, 1);
	sessions_release(&sessions);
}

static void many_sessions_are_all_found(void **state)
{
	struct sessions sessions = {0};
	struct session *superseded = NULL;
	char name[32];
	(void)state;
	for (size_t i = 0; i < sizeof(clients); i++) {
		snprintf(name, sizeof(name), "station-%zu", i);
		add(&sessions, i, NULL, name, &superseded);
	}
	for (size_t i = 0; i < sizeof(clients); i += 2)
		sessions_remove(&sessions, sessions_find(&sessions, &clients[i]));
	for (size_t i = 0; i < sizeof(clients); i++) {
		snprintf(name, sizeof(name), "station-%zu", i);
		struct session *session = sessions_find_name(&sessions, name);
		assert_int_equal(session != NULL, i % 2 == 1);
		assert_ptr_equal(session, sessions_find(&sessions, &clients[i]));
	}
	assert_int_equal(sessions.count, sizeof(clients) / 2);
	assert_int_equal(sessions.vehicles, 0);
	sessions_release(&sessions);
}

/* ---- floods --------------------------------------------------------------------------------------------------- */

static void a_bucket_refills_with_time(void **state)
{
	const struct flood_limit limit = {.per_second = 10, .burst = 5};
	struct flood_bucket bucket;
	(void)state;
	flood_bucket_fill(&bucket, &limit, 1000);
	for (int i = 0; i < 5; i++)
		assert_true(flood_bucket_take(&bucket, &limit, 100, 1000));
	assert_false(flood_bucket_take(&bucket, &limit, 100, 1000));
	assert_false(flood_bucket_take(&bucket, &limit, 100, 1050));
	assert_true(flood_bucket_take(&bucket, &limit, 100, 1100));
	assert_false(flood_bucket_take(&bucket, &limit, 100, 900)); /* a clock that goes back gives nothing */
	for (int i = 0; i < 5; i++)
		assert_true(flood_bucket_take(&bucket, &limit, 100, 100000));
	assert_false(flood_bucket_take(&bucket, &limit, 100, 100000));
}

static void large_messages_cost_more(void **state)
{
	const struct flood_limit limit = {.per_second = 10, .burst = 5};
	struct flood_bucket bucket;
	(void)state;
	flood_bucket_fill(&bucket, &limit, 1000);
	assert_true(flood_bucket_take(&bucket, &limit, 0, 1000));
	assert_true(flood_bucket_take(&bucket, &limit, FLOOD_TOKEN_SIZE, 1000));
	assert_true(flood_bucket_take(&bucket, &limit, FLOOD_TOKEN_SIZE + 1, 1000));
	assert_false(flood_bucket_take(&bucket, &limit, FLOOD_TOKEN_SIZE + 1, 1000));
	assert_true(flood_bucket_take(&bucket, &limit, 1, 1000)); /* what was refused has cost nothing */
	/* One that costs more than there may ever be takes all there is. */
	assert_false(flood_bucket_take(&bucket, &limit, 100 * FLOOD_TOKEN_SIZE, 1499));
	assert_true(flood_bucket_take(&bucket, &limit, 100 * FLOOD_TOKEN_SIZE, 1500));
	assert_false(flood_bucket_take(&bucket, &limit, 1, 1500));
}

static void a_bucket_waits_for_its_vehicle(void **state)
{
	static struct flood_left left;
	const struct flood_limit limit = {.per_second = 10, .burst = 5};
	struct flood_bucket bucket = {.tokens = 0, .at_ms = 1000};
	(void)state;
	flood_leave(&left, &vehicle, &bucket);
	assert_true(flood_return(&left, &vehicle, &limit, 1000).tokens < 1);
	assert_true(flood_return(&left, &vehicle, &limit, 1200).tokens >= 1);
	assert_true(flood_return(&left, &other, &limit, 1000).tokens >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_holds_what_was_added),
		cmocka_unit_test(a_list_counts_when_it_is_whole),
		cmocka_unit_test(the_old_list_counts_until_the_new_one_is_whole),
		cmocka_unit_test(only_its_own_heartbeat_keeps_it_fresh),
		cmocka_unit_test(changes_go_both_ways),
		cmocka_unit_test(a_successor_takes_the_name_over),
		cmocka_unit_test(many_sessions_are_all_found),
		cmocka_unit_test(a_bucket_refills_with_time),
		cmocka_unit_test(large_messages_cost_more),
		cmocka_unit_test(a_bucket_waits_for_its_vehicle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
