/* The records' small rules: lifecycle, device IDs, names of tenants, clients, purposes, scopes and problems. */
#include "../cmocka_all.h"
#include "vehicle/access.h"
#include "vehicle/audit.h"
#include "vehicle/flow.h"

#include <stdio.h>

#define LONG_65 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"

static void test_lifecycle_table(void **state)
{
	enum { NOT_ALLOWED = 0 };
	static const struct {
		enum vehicle_state state, before;
		enum vehicle_event event;
		int next;
	} cases[] = {
		{VEHICLE_PROVISIONED, 0, VEHICLE_IS_RESUMED, NOT_ALLOWED},
		{VEHICLE_ACTIVE, 0, VEHICLE_IS_RESUMED, NOT_ALLOWED},
		{VEHICLE_SUSPENDED, VEHICLE_ACTIVE, VEHICLE_CONNECTS, NOT_ALLOWED},
		{VEHICLE_SUSPENDED, VEHICLE_ACTIVE, VEHICLE_IS_SUSPENDED, NOT_ALLOWED},
		{VEHICLE_DECOMMISSIONED, 0, VEHICLE_CONNECTS, NOT_ALLOWED},
		{VEHICLE_DECOMMISSIONED, 0, VEHICLE_IS_SUSPENDED, NOT_ALLOWED},
		{VEHICLE_DECOMMISSIONED, 0, VEHICLE_IS_RESUMED, NOT_ALLOWED},
		{VEHICLE_DECOMMISSIONED, 0, VEHICLE_CHANGES_DEVICE, NOT_ALLOWED},
		{VEHICLE_DECOMMISSIONED, 0, VEHICLE_IS_DECOMMISSIONED, NOT_ALLOWED},
		{VEHICLE_PROVISIONED, 0, VEHICLE_CONNECTS, VEHICLE_ACTIVE},
		{VEHICLE_PROVISIONED, 0, VEHICLE_IS_SUSPENDED, VEHICLE_SUSPENDED},
		{VEHICLE_PROVISIONED, 0, VEHICLE_CHANGES_DEVICE, VEHICLE_PROVISIONED},
		{VEHICLE_PROVISIONED, 0, VEHICLE_IS_DECOMMISSIONED, VEHICLE_DECOMMISSIONED},
		{VEHICLE_ACTIVE, 0, VEHICLE_CONNECTS, VEHICLE_ACTIVE},
		{VEHICLE_ACTIVE, 0, VEHICLE_IS_SUSPENDED, VEHICLE_SUSPENDED},
		{VEHICLE_ACTIVE, 0, VEHICLE_CHANGES_DEVICE, VEHICLE_PROVISIONED},
		{VEHICLE_ACTIVE, 0, VEHICLE_IS_DECOMMISSIONED, VEHICLE_DECOMMISSIONED},
		{VEHICLE_SUSPENDED, VEHICLE_ACTIVE, VEHICLE_IS_RESUMED, VEHICLE_ACTIVE},
		{VEHICLE_SUSPENDED, VEHICLE_PROVISIONED, VEHICLE_IS_RESUMED, VEHICLE_PROVISIONED},
		{VEHICLE_SUSPENDED, VEHICLE_ACTIVE, VEHICLE_CHANGES_DEVICE, VEHICLE_SUSPENDED},
		{VEHICLE_SUSPENDED, VEHICLE_ACTIVE, VEHICLE_IS_DECOMMISSIONED, VEHICLE_DECOMMISSIONED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vehicle vehicle = {.state = cases[i].state, .state_before_suspension = cases[i].before};
		enum vehicle_state next = 0;
		enum result result = vehicle_transition(&vehicle, cases[i].event, &next);

		assert_int_equal(result, cases[i].next == NOT_ALLOWED ? RESULT_CONFLICT : RESULT_OK);
		assert_int_equal(next, cases[i].next);
	}
}

static void test_states_are_named(void **state)
{
	enum vehicle_state parsed;

	(void)state;
	assert_int_equal(vehicle_state_parse(span_of_text(""), &parsed), RESULT_INVALID);
	assert_int_equal(vehicle_state_parse(span_of_text("Active"), &parsed), RESULT_INVALID);
	for (int i = VEHICLE_PROVISIONED; i <= VEHICLE_DECOMMISSIONED; i++) {
		const char *name = vehicle_state_name((enum vehicle_state)i);
		assert_int_equal(vehicle_state_parse(span_of_text(name), &parsed), RESULT_OK);
		assert_int_equal(parsed, i);
	}
	assert_string_equal(history_event_name(HISTORY_CERTIFICATE_REVOKED), "certificate-revoked");
	assert_string_equal(history_event_name(HISTORY_REFERENCE_ID_ROTATED), "reference-id-rotated");
}

static void test_device_ids(void **state)
{
	static const char *const bad[] = {"", " ", "a b", "a\tb", "a\x7f", "\xc3\xa4", LONG_65};
	static const char *const good[] = {"a", "TCU-000001", "!~", "{}\"\\/"};
	char id[DEVICE_ID_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(device_id_parse(span_of_text(bad[i]), id), RESULT_INVALID);
	assert_int_equal(device_id_parse(span_of("a\0b", 3), id), RESULT_INVALID);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(device_id_parse(span_of_text(good[i]), id), RESULT_OK);
		assert_string_equal(id, good[i]);
	}
	assert_int_equal(device_id_parse(span_of(LONG_65, 64), id), RESULT_OK);
	assert_int_equal(strlen(id), 64);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", "-a", "A", "a_b", "a b", "a.b", "\xc3\xa4", LONG_65};
	struct tenant_id tenant;
	char client[CLIENT_ID_LENGTH_MAX + 1], purpose[PURPOSE_LENGTH_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(tenant_id_parse(span_of_text(bad[i]), &tenant), RESULT_INVALID);
		assert_int_equal(client_id_parse(span_of_text(bad[i]), client), RESULT_INVALID);
		assert_int_equal(purpose_parse(span_of_text(bad[i]), purpose), RESULT_INVALID);
	}
	assert_int_equal(tenant_id_parse(span_of(LONG_65, 33), &tenant), RESULT_INVALID);
	assert_int_equal(tenant_id_parse(span_of(LONG_65, 32), &tenant), RESULT_OK);
	assert_int_equal(client_id_parse(span_of(LONG_65, 64), client), RESULT_OK);
	assert_int_equal(purpose_parse(span_of_text("customer-service"), purpose), RESULT_OK);
	assert_string_equal(purpose, "customer-service");
}

static void test_check_digit_policies(void **state)
{
	enum check_digit_policy policy;

	(void)state;
	assert_int_equal(check_digit_policy_parse(span_of_text("Warn"), &policy), RESULT_INVALID);
	for (int i = CHECK_DIGIT_OFF; i <= CHECK_DIGIT_ENFORCE; i++) {
		const char *name = check_digit_policy_name((enum check_digit_policy)i);
		assert_int_equal(check_digit_policy_parse(span_of_text(name), &policy), RESULT_OK);
		assert_int_equal(policy, i);
	}
}

static void test_scopes_and_purposes(void **state)
{
	struct client client = {.scopes = SCOPE_VIN_APPROVE, .purposes = {"a", "b"}, .purpose_count = 1};
	enum scope scope;

	(void)state;
	assert_int_equal(scope_parse(span_of_text("vehicle"), &scope), RESULT_INVALID);
	for (unsigned i = 0; i < SCOPE_COUNT; i++) {
		enum scope bit = (enum scope)(1u << i);
		assert_int_equal(scope_parse(span_of_text(scope_name(bit)), &scope), RESULT_OK);
		assert_int_equal(scope, bit);
	}
	assert_string_equal(scope_name(SCOPE_PLATFORM_AUDIT), "platform:audit");
	assert_string_equal(scope_name(SCOPE_REFID_LOOKUP_BATCH), "refid:lookup-batch");
	assert_false(client_has_scope(&client, SCOPE_VIN_REVEAL));
	assert_true(client_has_scope(&client, SCOPE_VIN_APPROVE));
	assert_false(client_has_purpose(&client, "b"));
	assert_false(client_has_purpose(&client, ""));
	assert_true(client_has_purpose(&client, "a"));
}

static void test_every_problem_has_its_own_name(void **state)
{
	(void)state;
	assert_null(problem_name(PROBLEM_NONE));
	for (int i = PROBLEM_NONE + 1; i < PROBLEM_COUNT; i++) {
		assert_non_null(problem_name((enum problem)i));
		for (int other = PROBLEM_NONE + 1; other < i; other++)
			assert_string_not_equal(problem_name((enum problem)i), problem_name((enum problem)other));
	}
}

static void test_what_callers_are_told_of_failures(void **state)
{
	(void)state;
	assert_int_equal(problem_of_result(RESULT_OK), PROBLEM_NONE);
	assert_int_equal(problem_of_result(RESULT_ABSENT), PROBLEM_NOT_FOUND);
	assert_int_equal(problem_of_result(RESULT_EXHAUSTED), PROBLEM_BUDGET_EXHAUSTED);
	assert_int_equal(problem_of_result(RESULT_UNAVAILABLE), PROBLEM_UNAVAILABLE);
	assert_int_equal(problem_of_result(RESULT_MEMORY), PROBLEM_UNAVAILABLE);
	assert_int_equal(problem_of_result(RESULT_CORRUPT), PROBLEM_INTERNAL);
	assert_int_equal(audit_outcome_of(PROBLEM_NONE), AUDIT_ALLOWED);
	assert_int_equal(audit_outcome_of(PROBLEM_NOT_FOUND), AUDIT_ABSENT);
	assert_int_equal(audit_outcome_of(PROBLEM_INTERNAL), AUDIT_FAILED);
	assert_int_equal(audit_outcome_of(PROBLEM_SCOPE_MISSING), AUDIT_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lifecycle_table),
		cmocka_unit_test(test_states_are_named),
		cmocka_unit_test(test_device_ids),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_check_digit_policies),
		cmocka_unit_test(test_scopes_and_purposes),
		cmocka_unit_test(test_every_problem_has_its_own_name),
		cmocka_unit_test(test_what_callers_are_told_of_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
