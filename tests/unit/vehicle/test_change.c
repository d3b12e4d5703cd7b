/*
 * What the device gateway learns of a change: everything that cuts, after the commit, and nothing when there was none.
 */
#include "support.h"

static enum result commit_fails(struct registry *registry, const struct change_set *change,
				enum registry_conflict *ret_conflict, struct note *note)
{
	(void)registry;
	(void)change;
	(void)ret_conflict;
	note_set(note, "the disk is full");
	return RESULT_UNAVAILABLE;
}

static struct serial only_certificate(struct fixture *fixture, const struct uuid *id, int64_t *ret_not_after_ms)
{
	SESSION_CLEANUP struct session session;
	struct registry *registry = fixture->platform.registry;
	struct certificate_record *records;
	size_t count;

	session_open(&session, fixture, &fixture->admin);
	assert_ok(registry->ops->get_certificates(registry, &fixture->tenant.id, id, 10, &session.arena, &records,
						  &count, NULL));
	assert_int_equal(count, 1);
	*ret_not_after_ms = records[0].not_after_ms;
	return records[0].serial;
}

static void assert_told(struct fixture *fixture, size_t revocations, size_t refreshes)
{
	assert_int_equal(fake_gateway_count(&fixture->gateway, GATEWAY_TOLD_REVOKE), revocations);
	assert_int_equal(fake_gateway_count(&fixture->gateway, GATEWAY_TOLD_REFRESH), refreshes);
	assert_int_equal(fixture->gateway.count, revocations + refreshes);
}

static void test_a_failed_commit_tells_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct registry *registry = fixture->platform.registry;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct registry_ops failing = *registry->ops;
	const struct registry_ops *real = registry->ops;
	struct vehicle vehicle;

	failing.commit = commit_fails;
	registry->ops = &failing;
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_UNAVAILABLE);
	assert_problem(change_device(fixture, &id, "tcu-1", "", &vehicle), PROBLEM_UNAVAILABLE);
	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_UNAVAILABLE);
	assert_problem(set_state(fixture, &id, VEHICLE_DECOMMISSIONED), PROBLEM_UNAVAILABLE);
	registry->ops = real;
	assert_told(fixture, 0, 0);
}

static void test_what_is_refused_tells_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct vehicle vehicle;

	provisioned_vehicle(fixture, VIN_B, "tcu-b");
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-b", &vehicle), PROBLEM_DEVICE_IN_USE);
	assert_problem(set_state(fixture, &id, VEHICLE_ACTIVE), PROBLEM_TRANSITION_NOT_ALLOWED);
	assert_told(fixture, 0, 0);
}

static void test_a_device_change_revokes(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	int64_t not_after_ms;
	struct serial serial = only_certificate(fixture, &id, &not_after_ms);
	struct vehicle vehicle;

	assert_told(fixture, 0, 0); /* a provisioning cuts nothing */
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	assert_told(fixture, 1, 0);
	const struct fake_gateway_call *call = fake_gateway_call(&fixture->gateway, GATEWAY_TOLD_REVOKE, 0);
	assert_memory_equal(&call->serial, &serial, sizeof(serial));
	assert_true(uuid_equal(&call->reference_id, &id));
	assert_int_equal(call->not_after_ms, not_after_ms);
	/* Repeated: there is nothing more to tell. */
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	assert_told(fixture, 1, 0);
}

static void test_a_device_delete_revokes(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct vehicle vehicle;

	assert_problem(change_device(fixture, &id, "tcu-1", "", &vehicle), PROBLEM_NONE);
	assert_told(fixture, 1, 0);
}

static void test_suspension_and_resumption_refresh(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");

	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_told(fixture, 0, 1);
	const struct fake_gateway_call *call = fake_gateway_call(&fixture->gateway, GATEWAY_TOLD_REFRESH, 0);
	assert_true(uuid_equal(&call->reference_id, &id));
	assert_string_equal(call->tenant.text, "demo");
	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE); /* no change */
	assert_told(fixture, 0, 1);
	assert_problem(set_state(fixture, &id, VEHICLE_PROVISIONED), PROBLEM_NONE);
	assert_told(fixture, 0, 2);
}

static void test_decommissioning_revokes_and_refreshes(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");

	assert_problem(set_state(fixture, &id, VEHICLE_DECOMMISSIONED), PROBLEM_NONE);
	assert_told(fixture, 1, 1);
}

/* The change stands and its leaf is owed: the session must not outlive it. */
static void test_a_commit_without_its_leaf_tells_all_the_same(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct vehicle vehicle;

	fixture->audit.durable_result = RESULT_UNAVAILABLE;
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_UNAVAILABLE);
	assert_told(fixture, 1, 0);
}

static void test_no_gateway_no_harm(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");

	fixture->platform.gateway = NULL;
	assert_problem(set_state(fixture, &id, VEHICLE_DECOMMISSIONED), PROBLEM_NONE);
	assert_told(fixture, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_a_failed_commit_tells_nothing),
		TEST(test_what_is_refused_tells_nothing),
		TEST(test_a_device_change_revokes),
		TEST(test_a_device_delete_revokes),
		TEST(test_suspension_and_resumption_refresh),
		TEST(test_decommissioning_revokes_and_refreshes),
		TEST(test_a_commit_without_its_leaf_tells_all_the_same),
		TEST(test_no_gateway_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
