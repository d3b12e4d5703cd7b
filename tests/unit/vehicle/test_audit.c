#include "support.h"

static void test_nothing_is_recorded_without_the_log(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;

	session_open(&session, fixture, &fixture->admin);
	fixture->audit.append_result = RESULT_UNAVAILABLE;
	assert_result(audit_record(&fixture->platform, &session.event, &session.arena), RESULT_UNAVAILABLE);
	fixture->audit.append_result = RESULT_OK;
	fixture->audit.durable_result = RESULT_UNAVAILABLE;
	assert_result(audit_record(&fixture->platform, &session.event, &session.arena), RESULT_UNAVAILABLE);
	assert_false(session.event.is_recorded);
}

static void test_members_in_their_order(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;
	struct uuid ids[2] = {{{1}}, {{2}}};
	const char *leaf;

	session_open(&session, fixture, &fixture->admin);
	session.event = (struct audit_event){.action = "an.action",
					     .outcome = AUDIT_REFUSED,
					     .problem = "not-found",
					     .actor = "admin",
					     .tenant = fixture->tenant.id,
					     .source_address = "::1",
					     .has_reference_id = true,
					     .reference_id = {{0xab}},
					     .reference_ids = ids,
					     .reference_id_count = 2,
					     .purpose = "p",
					     .device_id = "d",
					     .new_device_id = "n",
					     .reason = "\"r\"\n",
					     .ticket = "t",
					     .approved_by = "b",
					     .subject = "s",
					     .has_serial = true,
					     .serial = {{0x40}},
					     .has_reveal_request_id = true,
					     .reveal_request_id = {{3}},
					     .count = 7};
	assert_ok(audit_record(&fixture->platform, &session.event, &session.arena));
	leaf = fake_audit_last(&fixture->audit);
	assert_memory_equal(leaf, "{\"leafId\":\"", 11);
	assert_string_equal(
		leaf + 11 + UUID_TEXT_LENGTH,
		"\",\"at\":\"2026-01-01T00:00:00.000Z\",\"actor\":\"admin\",\"tenantId\":\"demo\",\"action\":\"an."
		"action\","
		"\"outcome\":\"refused\",\"problem\":\"not-found\","
		"\"referenceId\":\"ab000000-0000-0000-0000-000000000000\","
		"\"referenceIds\":[\"01000000-0000-0000-0000-000000000000\",\"02000000-0000-0000-0000-000000000000\"],"
		"\"purpose\":\"p\",\"deviceId\":\"d\",\"newDeviceId\":\"n\","
		"\"serialNumber\":\"40000000000000000000000000000000\","
		"\"revealRequestId\":\"03000000-0000-0000-0000-000000000000\",\"reason\":\"\\\"r\\\"\\n\",\"ticket\":"
		"\"t\","
		"\"approvedBy\":\"b\",\"subject\":\"s\",\"count\":7,"
		"\"requestId\":\"00000000-0000-0000-0000-000000000000\",\"sourceAddress\":\"::1\"}");
}

static void test_recorded_once(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;

	session_open(&session, fixture, &fixture->admin);
	assert_ok(audit_record(&fixture->platform, &session.event, &session.arena));
	assert_ok(audit_record(&fixture->platform, &session.event, &session.arena));
	assert_int_equal(fixture->audit.count, 1);
}

static void test_a_change_that_is_refused_has_no_leaf(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;
	struct registry_write write = {.kind = REGISTRY_INSERT_TENANT, .tenant = &fixture->tenant};
	enum registry_conflict conflict;

	session_open(&session, fixture, &fixture->admin);
	assert_result(audit_commit(&fixture->platform, &session.event, &session.arena, &write, 1, &conflict, NULL),
		      RESULT_CONFLICT);
	assert_int_equal(conflict, REGISTRY_CONFLICT_TENANT);
	assert_false(session.event.is_recorded);
	assert_int_equal(fixture->audit.count, 0);
	assert_int_equal(outbox_count(fixture), 0);
}

/* Commits tenants whose leaves do not reach the log. */
static void strand_leaves(struct fixture *fixture, size_t count)
{
	fixture->audit.append_result = RESULT_UNAVAILABLE;
	for (size_t i = 0; i < count; i++) {
		SESSION_CLEANUP struct session session;
		struct tenant tenant = {.id = {{(char)('a' + i / 26), (char)('a' + i % 26)}}};
		struct registry_write write = {.kind = REGISTRY_INSERT_TENANT, .tenant = &tenant};
		enum registry_conflict conflict;

		session_open(&session, fixture, &fixture->admin);
		assert_result(
			audit_commit(&fixture->platform, &session.event, &session.arena, &write, 1, &conflict, NULL),
			RESULT_UNAVAILABLE);
		assert_true(session.event.is_recorded);
	}
	fixture->audit.append_result = RESULT_OK;
	assert_int_equal(outbox_count(fixture), count);
}

static void test_draining_the_outbox(void **state)
{
	const size_t count = 300; /* more than one batch */
	struct fixture *fixture = *state;
	size_t drained = 0;

	strand_leaves(fixture, count);
	assert_ok(audit_drain_outbox(&fixture->platform, fake_audit_contains, &fixture->audit, &drained, NULL));
	assert_int_equal(drained, count);
	assert_int_equal(fixture->audit.count, count);
	assert_int_equal(outbox_count(fixture), 0);
	assert_ok(audit_drain_outbox(&fixture->platform, fake_audit_contains, &fixture->audit, &drained, NULL));
	assert_int_equal(drained, 0);
}

/* The log refuses leaves of committed changes and works again: they follow once, in their order, without a restart. */
static void test_owed_leaves_are_paid(void **state)
{
	const size_t count = 3;
	struct fixture *fixture = *state;
	size_t paid = 0, drained = 0;

	assert_ok(owed_leaves_open(&fixture->platform.owed));
	strand_leaves(fixture, count);
	fixture->audit.durable_result = RESULT_UNAVAILABLE;
	assert_result(owed_leaves_pay(&fixture->platform, &paid), RESULT_UNAVAILABLE);
	fixture->audit.durable_result = RESULT_OK;
	assert_int_equal(fixture->audit.count, 0);
	assert_ok(owed_leaves_pay(&fixture->platform, &paid));
	assert_int_equal(paid, count);
	assert_int_equal(fixture->audit.count, count);
	assert_ok(owed_leaves_pay(&fixture->platform, &paid));
	assert_int_equal(paid, 0);
	/* What is left in the outbox until the next commit is not brought a second time at the next start. */
	assert_ok(audit_drain_outbox(&fixture->platform, fake_audit_contains, &fixture->audit, &drained, NULL));
	assert_int_equal(fixture->audit.count, count);
	assert_int_equal(outbox_count(fixture), 0);
	owed_leaves_close(fixture->platform.owed);
	fixture->platform.owed = NULL;
}

static enum result contains_all(void *context, const struct uuid *leaf_id, uint64_t from_index)
{
	(void)context;
	(void)leaf_id;
	assert_int_equal(from_index, 0);
	return RESULT_OK;
}

static void test_what_is_in_the_log_is_not_appended_again(void **state)
{
	struct fixture *fixture = *state;
	size_t drained;

	strand_leaves(fixture, 3);
	assert_ok(audit_drain_outbox(&fixture->platform, contains_all, NULL, &drained, NULL));
	assert_int_equal(fixture->audit.count, 0);
	assert_int_equal(outbox_count(fixture), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_nothing_is_recorded_without_the_log),
		TEST(test_members_in_their_order),
		TEST(test_recorded_once),
		TEST(test_a_change_that_is_refused_has_no_leaf),
		TEST(test_draining_the_outbox),
		TEST(test_owed_leaves_are_paid),
		TEST(test_what_is_in_the_log_is_not_appended_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
