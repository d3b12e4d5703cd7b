#include "support.h"

#include "vehicle/conversion.h"

#include <stdio.h>
#include <stdlib.h>

static struct conversion conversion_of(const struct tenant *tenant, const char *vin)
{
	return (struct conversion){.tenant = tenant->id, .hashed_vin = hash_of(vin)};
}

static void test_many_tenants_in_one_run(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct tenant nobody = {.id = {"nobody"}};
	struct conversion conversions[] = {
		conversion_of(&fixture->tenant, VIN_A), conversion_of(&fixture->other_tenant, VIN_A),
		conversion_of(&nobody, VIN_A),		conversion_of(&fixture->tenant, VIN_B),
		conversion_of(&fixture->tenant, VIN_A),
	};
	static const struct hashed_vin wiped;

	conversion_run(&fixture->platform, conversions, 5, NULL);
	assert_problem(conversions[0].ret_problem, PROBLEM_NONE);
	assert_true(uuid_equal(&conversions[0].ret_reference_id, &id));
	assert_problem(conversions[1].ret_problem, PROBLEM_NOT_FOUND);
	assert_problem(conversions[2].ret_problem, PROBLEM_NOT_FOUND);
	assert_problem(conversions[3].ret_problem, PROBLEM_NOT_FOUND);
	assert_problem(conversions[4].ret_problem, PROBLEM_NONE);
	for (size_t i = 0; i < 5; i++)
		assert_memory_equal(&conversions[i].hashed_vin, &wiped, sizeof(wiped));
}

static void test_keyd_is_asked_once_a_tenant(void **state)
{
	struct fixture *fixture = *state;
	struct conversion conversions[64];

	for (size_t i = 0; i < 64; i++)
		conversions[i] = conversion_of(i % 2 == 0 ? &fixture->tenant : &fixture->other_tenant, VIN_A);
	fixture->keys.index_calls = 0;
	conversion_run(&fixture->platform, conversions, 64, NULL);
	assert_int_equal(fixture->keys.index_calls, 2);
}

static void test_more_than_one_exchange(void **state)
{
	struct fixture *fixture = *state;
	const size_t count = 2 * KEY_INDEX_BATCH_MAX + 3;
	struct conversion *conversions = calloc(count, sizeof(*conversions));
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");

	assert_non_null(conversions);
	for (size_t i = 0; i < count; i++)
		conversions[i] = conversion_of(&fixture->tenant, VIN_A);
	conversion_run(&fixture->platform, conversions, count, NULL);
	for (size_t i = 0; i < count; i++) {
		assert_problem(conversions[i].ret_problem, PROBLEM_NONE);
		assert_true(uuid_equal(&conversions[i].ret_reference_id, &id));
	}
	free(conversions);
	conversion_run(&fixture->platform, NULL, 0, NULL);
}

static void test_what_is_left_of_the_budget_is_used(void **state)
{
	struct fixture *fixture = *state;
	struct conversion conversions[4];

	provisioned_vehicle(fixture, VIN_A, "tcu-1");
	for (size_t i = 0; i < 4; i++)
		conversions[i] = conversion_of(&fixture->tenant, VIN_A);
	fixture->keys.index_budget = 2;
	conversion_run(&fixture->platform, conversions, 4, NULL);
	assert_problem(conversions[0].ret_problem, PROBLEM_NONE);
	assert_problem(conversions[1].ret_problem, PROBLEM_NONE);
	assert_problem(conversions[2].ret_problem, PROBLEM_BUDGET_EXHAUSTED);
	assert_problem(conversions[3].ret_problem, PROBLEM_BUDGET_EXHAUSTED);
}

static void test_keyd_away(void **state)
{
	struct fixture *fixture = *state;
	struct conversion conversion = conversion_of(&fixture->tenant, VIN_A);
	struct audit_event event = {0};

	fixture->keys.index_result = RESULT_UNAVAILABLE;
	conversion_run(&fixture->platform, &conversion, 1, NULL);
	assert_problem(conversion.ret_problem, PROBLEM_UNAVAILABLE);
	conversion_note(&conversion, &event);
	assert_int_equal(event.outcome, AUDIT_FAILED);
	assert_string_equal(event.problem, "unavailable");
}

static void test_both_generations_find(void **state)
{
	struct fixture *fixture = *state;
	struct uuid old = provisioned_vehicle(fixture, VIN_A, "tcu-1");

	/* A rotation begins: what is provisioned now has indexes of both generations. */
	fixture->keys.newest = 2;
	struct uuid new = provisioned_vehicle(fixture, VIN_B, "tcu-2");
	struct conversion conversions[] = {conversion_of(&fixture->tenant, VIN_A),
					   conversion_of(&fixture->tenant, VIN_B)};
	conversion_run(&fixture->platform, conversions, 2, NULL);
	assert_true(uuid_equal(&conversions[0].ret_reference_id, &old));
	assert_true(uuid_equal(&conversions[1].ret_reference_id, &new));
	fixture->keys.oldest = 2;
	struct conversion later = conversion_of(&fixture->tenant, VIN_B);
	conversion_run(&fixture->platform, &later, 1, NULL);
	assert_true(uuid_equal(&later.ret_reference_id, &new));
}

static void test_batch_refusals(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;
	struct hashed_vin vins[CONVERSION_BATCH_MAX + 1] = {hash_of(VIN_A)};
	struct conversion_result results[CONVERSION_BATCH_MAX + 1];
	static const struct hashed_vin wiped;

	session_open(&session, fixture, &fixture->admin);
	assert_problem(conversion_lookup_batch(&session.request, "marketing", vins, 1, results),
		       PROBLEM_PURPOSE_NOT_ALLOWED);
	assert_memory_equal(&vins[0], &wiped, sizeof(wiped));
	assert_null(session.event.purpose); /* a purpose that nobody allowed may be anything */
	assert_problem(conversion_lookup_batch(&session.request, "legal-request", vins, 0, results),
		       PROBLEM_VALUE_INVALID);
	assert_problem(
		conversion_lookup_batch(&session.request, "legal-request", vins, CONVERSION_BATCH_MAX + 1, results),
		PROBLEM_VALUE_INVALID);
	fixture->keys.index_budget = 1;
	assert_problem(conversion_lookup_batch(&session.request, "legal-request", vins, 2, results),
		       PROBLEM_BUDGET_EXHAUSTED);
	assert_int_equal(session.event.reference_id_count, 0);
}

static void test_batch_in_the_order_asked(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;
	struct uuid a = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct uuid b = provisioned_vehicle(fixture, VIN_B, "tcu-2");
	struct hashed_vin vins[] = {hash_of(VIN_B), hash_of(VIN_WITHOUT_DIGIT), hash_of(VIN_A), hash_of(VIN_B)};
	struct conversion_result results[4];

	session_open(&session, fixture, &fixture->admin);
	assert_problem(conversion_lookup_batch(&session.request, "legal-request", vins, 4, results), PROBLEM_NONE);
	assert_true(results[0].found && uuid_equal(&results[0].reference_id, &b));
	assert_false(results[1].found);
	assert_true(results[2].found && uuid_equal(&results[2].reference_id, &a));
	assert_true(results[3].found && uuid_equal(&results[3].reference_id, &b));
	assert_int_equal(session.event.reference_id_count, 2); /* each once */
	assert_string_equal(session.event.purpose, "legal-request");
}

static void test_the_largest_leaf_fits(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;
	struct uuid ids[CONVERSION_BATCH_MAX] = {{{0}}};

	session_open(&session, fixture, &fixture->admin);
	session.event.reference_ids = ids;
	session.event.reference_id_count = CONVERSION_BATCH_MAX;
	assert_ok(audit_record(&fixture->platform, &session.event, &session.arena));
	assert_true(strlen(fake_audit_last(&fixture->audit)) < AUDIT_LEAF_SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_many_tenants_in_one_run),
		TEST(test_keyd_is_asked_once_a_tenant),
		TEST(test_more_than_one_exchange),
		TEST(test_what_is_left_of_the_budget_is_used),
		TEST(test_keyd_away),
		TEST(test_both_generations_find),
		TEST(test_batch_refusals),
		TEST(test_batch_in_the_order_asked),
		TEST(test_the_largest_leaf_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
