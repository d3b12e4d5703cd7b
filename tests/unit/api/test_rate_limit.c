#include "api/rate_limit.h"

#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

static const struct client_limits limits = {.requests_per_second = 10, .burst = 20};

static int set_up(void **state)
{
	struct rate_limit *limit = malloc(sizeof *limit);
	rate_limit_init(limit);
	*state = limit;
	return 0;
}

static int tear_down(void **state)
{
	rate_limit_release(*state);
	free(*state);
	return 0;
}

static struct rate_verdict take(void **state, const char *client, uint32_t cost, int64_t now_ms)
{
	struct rate_verdict verdict;
	rate_limit_take(*state, client, &limits, cost, now_ms, &verdict);
	return verdict;
}

static void a_fresh_bucket_is_full(void **state)
{
	struct rate_verdict verdict = take(state, "crm", 1, 1000);
	assert_true(verdict.is_allowed);
	assert_int_equal(verdict.burst, 20);
	assert_int_equal(verdict.window_seconds, 2);
	assert_int_equal(verdict.remaining, 19);
	assert_int_equal(verdict.reset_seconds, 1);
}

static void the_burst_ends_and_says_when_to_go_on(void **state)
{
	for (int i = 0; i < 20; i++)
		assert_true(take(state, "crm", 1, 1000).is_allowed);
	struct rate_verdict verdict = take(state, "crm", 1, 1000);
	assert_false(verdict.is_allowed);
	assert_int_equal(verdict.remaining, 0);
	assert_int_equal(verdict.retry_after_seconds, 1);
	/* a tenth of a second is one token, no more */
	assert_false(take(state, "crm", 1, 1099).is_allowed);
	assert_true(take(state, "crm", 1, 1100).is_allowed);
	assert_false(take(state, "crm", 1, 1100).is_allowed);
}

static void a_refused_request_costs_nothing(void **state)
{
	assert_true(take(state, "crm", 15, 1000).is_allowed);
	assert_false(take(state, "crm", 6, 1000).is_allowed);
	assert_true(take(state, "crm", 5, 1000).is_allowed);
}

static void a_batch_is_all_or_nothing(void **state)
{
	struct rate_verdict verdict = take(state, "crm", 21, 1000);
	assert_false(verdict.is_allowed);
	assert_int_equal(verdict.remaining, 20);
	assert_true(take(state, "crm", 20, 1000).is_allowed);
	verdict = take(state, "crm", 20, 1000);
	assert_int_equal(verdict.retry_after_seconds, 2);
}

static void a_bucket_never_holds_more_than_its_burst(void **state)
{
	take(state, "crm", 20, 1000);
	assert_true(take(state, "crm", 20, INT64_MAX / 2).is_allowed);
	assert_false(take(state, "crm", 1, INT64_MAX / 2).is_allowed);
}

static void clients_do_not_share(void **state)
{
	assert_true(take(state, "crm", 20, 1000).is_allowed);
	assert_true(take(state, "factory", 20, 1000).is_allowed);
	assert_false(take(state, "crm", 1, 1000).is_allowed);
}

static void time_that_goes_back_gives_nothing(void **state)
{
	assert_true(take(state, "crm", 20, 5000).is_allowed);
	assert_false(take(state, "crm", 1, 1000).is_allowed);
}

/* More clients than places: who is busy keeps his bucket as long as there are idle ones. */
static void a_flood_of_clients_does_not_refill_a_busy_one(void **state)
{
	char name[32];
	assert_true(take(state, "crm", 20, 1000).is_allowed);
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof name, "client-%d", i);
		take(state, name, 1, 1000);
	}
	assert_false(take(state, "crm", 1, 1000).is_allowed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_fresh_bucket_is_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_burst_ends_and_says_when_to_go_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_refused_request_costs_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_batch_is_all_or_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_bucket_never_holds_more_than_its_burst, set_up, tear_down),
		cmocka_unit_test_setup_teardown(clients_do_not_share, set_up, tear_down),
		cmocka_unit_test_setup_teardown(time_that_goes_back_gives_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_of_clients_does_not_refill_a_busy_one, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
