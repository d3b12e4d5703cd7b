#include "programs/vinveil/latency.h"

#include "../cmocka_all.h"

static void nothing_has_no_percentiles(void **state)
{
	(void)state;
	struct latency latency = {0};
	assert_int_equal(latency_of(&latency, 500), 0);
	assert_int_equal(latency_of(&latency, 1000), 0);
}

static void every_time_falls_near_itself(void **state)
{
	(void)state;
	for (uint64_t us = 0; us < UINT64_C(1) << 36; us = us * 9 / 8 + 1) {
		struct latency latency = {0};
		latency_add(&latency, us);
		latency_add(&latency, UINT64_C(1) << 37); /* so that the most is not what is told */
		uint64_t told = latency_of(&latency, 500);
		assert_true(told >= us && told <= us + us / 16 + 1);
	}
}

static void percentiles_are_of_all(void **state)
{
	(void)state;
	struct latency latency = {0};
	for (uint64_t us = 1; us <= 1000; us++)
		latency_add(&latency, us);
	assert_in_range(latency_of(&latency, 500), 500, 532);
	assert_in_range(latency_of(&latency, 990), 990, 1000);
	assert_int_equal(latency_of(&latency, 1000), 1000);
}

static void the_longest_is_kept_beyond_the_last_bucket(void **state)
{
	(void)state;
	struct latency latency = {0};
	latency_add(&latency, UINT64_MAX);
	assert_int_equal(latency.most_us, UINT64_MAX);
	assert_int_equal(latency.total, 1);
}

static void merging_adds(void **state)
{
	(void)state;
	struct latency a = {0}, b = {0};
	latency_add(&a, 10);
	latency_add(&b, 20);
	latency_add(&b, 30);
	latency_merge(&a, &b);
	assert_int_equal(a.total, 3);
	assert_int_equal(latency_of(&a, 500), 20);
	assert_int_equal(a.most_us, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_has_no_percentiles),
		cmocka_unit_test(every_time_falls_near_itself),
		cmocka_unit_test(percentiles_are_of_all),
		cmocka_unit_test(the_longest_is_kept_beyond_the_last_bucket),
		cmocka_unit_test(merging_adds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
