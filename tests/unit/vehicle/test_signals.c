/* Who may read whose telemetry, and what is asked of the store; and what ingest is told of a new tenant. */
#include "support.h"
#include "vehicle/signals.h"
#include "vehicle/tenants.h"

struct fake_store {
	struct telemetry_store store;
	enum result result;
	int reads;
	struct telemetry_query query;
};

static enum result get_latest(struct telemetry_store *base, const struct uuid *reference_id, struct arena *arena,
			      struct telemetry_latest **ret_latest, size_t *ret_count, struct note *note)
{
	struct fake_store *fake = (struct fake_store *)base;

	(void)arena;
	(void)note;
	fake->reads++;
	fake->query.reference_id = *reference_id;
	*ret_latest = NULL;
	*ret_count = 0;
	return fake->result;
}

static enum result get_range(struct telemetry_store *base, const struct telemetry_query *query, struct arena *arena,
			     struct telemetry_page *ret_page, struct note *note)
{
	struct fake_store *fake = (struct fake_store *)base;

	(void)arena;
	(void)note;
	fake->reads++;
	fake->query = *query;
	*ret_page = (struct telemetry_page){0};
	return fake->result;
}

static const struct telemetry_store_ops store_ops = {.get_latest = get_latest, .get_range = get_range};

static enum problem read_as(struct fixture *fixture, const struct client *client, const struct telemetry_query *query)
{
	SESSION_CLEANUP struct session session = {0};
	struct telemetry_latest *latest;
	struct telemetry_page page;
	size_t count;

	session_open(&session, fixture, client);
	if (query->limit > 0)
		return signals_range(&session.request, query, &page);
	return signals_latest(&session.request, &query->reference_id, &latest, &count);
}

static void test_what_is_foreign_is_not_found_served_or_not(void **state)
{
	struct fixture *fixture = *state;
	struct fake_store fake = {.store = {.ops = &store_ops}};
	struct telemetry_query mine = {.reference_id = provisioned_vehicle(fixture, VIN_A, "TCU-1")},
			       nobodys = {.reference_id = {{9}}};

	for (size_t limit = 0; limit < 2; limit++) {
		mine.limit = nobodys.limit = limit;
		fixture->platform.telemetry = NULL;
		assert_problem(read_as(fixture, &fixture->stranger, &mine), PROBLEM_NOT_FOUND);
		assert_problem(read_as(fixture, &fixture->admin, &nobodys), PROBLEM_NOT_FOUND);
		assert_problem(read_as(fixture, &fixture->admin, &mine), PROBLEM_UNAVAILABLE);
		fixture->platform.telemetry = &fake.store;
		assert_problem(read_as(fixture, &fixture->stranger, &mine), PROBLEM_NOT_FOUND);
		assert_problem(read_as(fixture, &fixture->admin, &nobodys), PROBLEM_NOT_FOUND);
	}
	assert_int_equal(fake.reads, 0);
}

static void test_what_the_store_says_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct fake_store fake = {.store = {.ops = &store_ops}};
	struct telemetry_query query = {.reference_id = provisioned_vehicle(fixture, VIN_A, "TCU-1"), .limit = 5};

	fixture->platform.telemetry = &fake.store;
	fake.result = RESULT_UNAVAILABLE;
	assert_problem(read_as(fixture, &fixture->admin, &query), PROBLEM_UNAVAILABLE);
	fake.result = RESULT_INVALID;
	assert_problem(read_as(fixture, &fixture->admin, &query), PROBLEM_MALFORMED);
	fake.result = RESULT_CORRUPT;
	assert_problem(read_as(fixture, &fixture->admin, &query), PROBLEM_INTERNAL);
	fake.result = RESULT_OK;
	query.name = span_of_text("Vehicle.Speed");
	assert_problem(read_as(fixture, &fixture->admin, &query), PROBLEM_NONE);
	assert_true(uuid_equal(&fake.query.reference_id, &query.reference_id));
	assert_true(span_is_text(fake.query.name, "Vehicle.Speed"));
	query.limit = 0;
	assert_problem(read_as(fixture, &fixture->admin, &query), PROBLEM_NONE);
}

static void test_names_are_judged_before_anything_is_read(void **state)
{
	struct fixture *fixture = *state;
	struct fake_store fake = {.store = {.ops = &store_ops}};
	struct telemetry_query query = {.reference_id = provisioned_vehicle(fixture, VIN_A, "TCU-1"), .limit = 5};

	fixture->platform.telemetry = &fake.store;
	query.name = span_of_text(".Speed");
	assert_problem(read_as(fixture, &fixture->admin, &query), PROBLEM_VALUE_INVALID);
	query.name = span_of_text("A." VIN_B);
	assert_problem(read_as(fixture, &fixture->admin, &query), PROBLEM_VIN_NOT_ALLOWED);
	assert_int_equal(fake.reads, 0);
}

/* ---- retention ------------------------------------------------------------------------------------------ */

struct fake_control {
	struct telemetry_control control;
	enum result result;
	struct tenant_id tenant;
	uint32_t days;
};

static enum result set_retention(struct telemetry_control *base, const struct tenant_id *tenant, uint32_t days,
				 struct note *note)
{
	struct fake_control *fake = (struct fake_control *)base;

	(void)note;
	fake->tenant = *tenant;
	fake->days = days;
	return fake->result;
}

static enum problem create_tenant(struct fixture *fixture, const struct tenant *tenant)
{
	SESSION_CLEANUP struct session session = {0};
	struct tenant created;

	session_open(&session, fixture, &fixture->admin);
	return tenants_create(&session.request, tenant, &created);
}

static void test_ingest_is_told_how_long_a_new_tenant_keeps_telemetry(void **state)
{
	static const struct telemetry_control_ops control_ops = {.set_retention = set_retention};
	struct fixture *fixture = *state;
	struct fake_control fake = {.control = {.ops = &control_ops}, .result = RESULT_UNAVAILABLE};
	const struct tenant tenant = {.id = {"brief"}, .telemetry_retention_days = 3};
	struct registry *registry = fixture->platform.registry;
	struct tenant stored;

	fixture->platform.telemetry_control = &fake.control;
	assert_problem(create_tenant(fixture, &tenant), PROBLEM_UNAVAILABLE);
	assert_result(registry->ops->get_tenant(registry, &tenant.id, &stored, NULL), RESULT_ABSENT);
	fake.result = RESULT_OK;
	assert_problem(create_tenant(fixture, &tenant), PROBLEM_NONE);
	assert_string_equal(fake.tenant.text, "brief");
	assert_int_equal(fake.days, 3);
	assert_ok(registry->ops->get_tenant(registry, &tenant.id, &stored, NULL));
	assert_int_equal(stored.telemetry_retention_days, 3);
	assert_problem(create_tenant(fixture, &tenant), PROBLEM_ALREADY_EXISTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_foreign_is_not_found_served_or_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_the_store_says_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_are_judged_before_anything_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ingest_is_told_how_long_a_new_tenant_keeps_telemetry, set_up,
						tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
