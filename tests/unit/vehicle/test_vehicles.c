#include "support.h"

#include <stdio.h>

static enum problem patch(struct fixture *fixture, const struct uuid *id, uint32_t version, const char *attributes,
			  enum vehicle_state wanted, struct session *session, struct vehicle *ret_vehicle)
{
	json_t *json = attributes == NULL ? NULL : json_loads(attributes, JSON_DECODE_ANY, NULL);
	struct vehicle_patch what = {
		.has_version = version > 0, .version = version, .attributes = json, .state = wanted};
	size_t revoked;

	session_open(session, fixture, &fixture->admin);
	enum problem problem = vehicles_patch(&session->request, id, &what, ret_vehicle, &revoked);
	json_decref(json);
	return problem;
}

static enum problem patch_attributes(struct fixture *fixture, const struct uuid *id, const char *attributes,
				     const char *expected)
{
	SESSION_CLEANUP struct session session = {0};
	struct vehicle vehicle = vehicle_now(fixture, id);
	enum problem problem = patch(fixture, id, vehicle.version, attributes, 0, &session, &vehicle);

	if (problem == PROBLEM_NONE)
		assert_string_equal(vehicle.attributes, expected);
	return problem;
}

/* A row alone, without keys and certificate. */
static void insert_vehicle(struct fixture *fixture, size_t number, const char *attributes)
{
	struct vehicle vehicle = {.tenant = fixture->tenant.id,
				  .state = VEHICLE_PROVISIONED,
				  .state_before_suspension = VEHICLE_PROVISIONED,
				  .version = 1,
				  .attributes = attributes};

	memcpy(vehicle.reference_id.bytes, &number, sizeof(number));
	snprintf(vehicle.device_id, sizeof(vehicle.device_id), "tcu-%zu", number);
	commit_alone(fixture, (struct registry_write){.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &vehicle});
}

static void test_unknown_and_foreign_are_alike(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1"), unknown = {{1}};
	SESSION_CLEANUP struct session session;
	struct history_page history;
	struct vehicle_page page;
	struct vehicle vehicle;

	session_open(&session, fixture, &fixture->stranger);
	assert_problem(vehicles_get(&session.request, &id, &vehicle), PROBLEM_NOT_FOUND);
	assert_problem(vehicles_get(&session.request, &unknown, &vehicle), PROBLEM_NOT_FOUND);
	assert_problem(vehicles_history(&session.request, &id, 0, 10, &history), PROBLEM_NOT_FOUND);
	assert_problem(vehicles_find_by_device(&session.request, span_of_text("tcu-1"), &vehicle), PROBLEM_NOT_FOUND);
	assert_problem(vehicles_list(&session.request, 0, 0, 10, &page), PROBLEM_NONE);
	assert_int_equal(page.count, 0);
	assert_false(session.event.has_reference_id);
}

static void test_by_device(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session session;
	struct vehicle vehicle;

	session_open(&session, fixture, &fixture->admin);
	assert_problem(vehicles_find_by_device(&session.request, span_of_text(""), &vehicle), PROBLEM_NOT_FOUND);
	assert_problem(vehicles_find_by_device(&session.request, span_of_text("tcu-2"), &vehicle), PROBLEM_NOT_FOUND);
	assert_problem(vehicles_find_by_device(&session.request, span_of_text("tcu-1"), &vehicle), PROBLEM_NONE);
	assert_true(uuid_equal(&vehicle.reference_id, &id));
	assert_true(session.event.has_reference_id);
}

static void test_listing_pages(void **state)
{
	struct fixture *fixture = *state;
	uint64_t cursor = 0;
	size_t seen = 0;

	for (int i = 0; i < 5; i++) {
		char vin[VIN_LENGTH + 1], device[16];
		snprintf(vin, sizeof(vin), "1M8GDM9AXKP%06d", i);
		snprintf(device, sizeof(device), "tcu-%d", i);
		provisioned_vehicle(fixture, vin, device);
	}
	do {
		SESSION_CLEANUP struct session session;
		struct vehicle_page page;
		session_open(&session, fixture, &fixture->admin);
		assert_problem(vehicles_list(&session.request, VEHICLE_PROVISIONED, cursor, 2, &page), PROBLEM_NONE);
		assert_true(page.count <= 2);
		seen += page.count;
		cursor = page.next_cursor;
	} while (cursor != 0);
	assert_int_equal(seen, 5);

	SESSION_CLEANUP struct session session;
	struct vehicle_page page;
	session_open(&session, fixture, &fixture->admin);
	assert_problem(vehicles_list(&session.request, VEHICLE_ACTIVE, 0, 2, &page), PROBLEM_NONE);
	assert_int_equal(page.count, 0);
}

/* Six hundred rows with eight kilobytes each: more than a request's memory usually is. */
static void test_the_largest_page(void **state)
{
	const size_t count = 600;
	struct fixture *fixture = *state;
	char attributes[ATTRIBUTES_SIZE_MAX + 1];

	snprintf(attributes, sizeof(attributes), "{\"a\":\"%0*d\"}", ATTRIBUTES_SIZE_MAX - 8, 0);
	for (size_t i = 0; i < count; i++)
		insert_vehicle(fixture, i, attributes);

	SESSION_CLEANUP struct session session;
	struct vehicle_page page;
	session_open(&session, fixture, &fixture->admin);
	assert_problem(vehicles_list(&session.request, 0, 0, VEHICLES_PAGE_MAX, &page), PROBLEM_NONE);
	assert_int_equal(page.count, count);
	assert_string_equal(page.vehicles[count - 1].attributes, attributes);
}

static void test_history_pages(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	uint64_t before = 0;
	size_t seen = 0;

	for (int i = 0; i < 2; i++) {
		assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
		assert_problem(set_state(fixture, &id, VEHICLE_PROVISIONED), PROBLEM_NONE);
	}
	do {
		SESSION_CLEANUP struct session session;
		struct history_page page;
		session_open(&session, fixture, &fixture->admin);
		assert_problem(vehicles_history(&session.request, &id, before, 4, &page), PROBLEM_NONE);
		if (before == 0) {
			assert_int_equal(page.entries[0].event, HISTORY_STATE_CHANGED);
			assert_string_equal(page.entries[0].from, "suspended");
			assert_string_equal(page.entries[0].to, "provisioned");
			assert_string_equal(page.entries[0].actor, "admin");
		}
		seen += page.count;
		before = page.next_before;
	} while (before != 0);
	assert_int_equal(seen, 6); /* provisioned, certificate issued, four changes of state */
}

/* The largest page has a next one like any other. */
static void test_the_largest_page_of_a_history(void **state)
{
	struct fixture *fixture = *state;
	struct registry *registry = fixture->platform.registry;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct history_entry entry = {.at_ms = START_MS, .actor = "admin", .event = HISTORY_ATTRIBUTES_CHANGED};
	static struct registry_write writes[HISTORY_PAGE_MAX];
	struct change_set change = {.writes = writes, .count = HISTORY_PAGE_MAX};
	enum registry_conflict conflict;
	SESSION_CLEANUP struct session session;
	struct history_page page;

	for (size_t i = 0; i < HISTORY_PAGE_MAX; i++)
		writes[i] = (struct registry_write){.kind = REGISTRY_APPEND_HISTORY,
						    .history = {.reference_id = &id, .entry = &entry}};
	assert_ok(registry->ops->commit(registry, &change, &conflict, NULL));
	session_open(&session, fixture, &fixture->admin);
	assert_problem(vehicles_history(&session.request, &id, 0, HISTORY_PAGE_MAX, &page), PROBLEM_NONE);
	assert_int_equal(page.count, HISTORY_PAGE_MAX);
	assert_int_not_equal(page.next_before, 0);
	assert_problem(vehicles_history(&session.request, &id, page.next_before, HISTORY_PAGE_MAX, &page),
		       PROBLEM_NONE);
	assert_int_equal(page.count, 2); /* provisioned, certificate issued */
	assert_int_equal(page.next_before, 0);
}

static void test_versions(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session first = {0};
	SESSION_CLEANUP struct session second = {0};
	SESSION_CLEANUP struct session third = {0};
	struct vehicle vehicle;

	assert_problem(patch(fixture, &id, 0, "{}", 0, &first, &vehicle), PROBLEM_VERSION_REQUIRED);
	assert_problem(patch(fixture, &id, 2, "{\"a\":1}", 0, &second, &vehicle), PROBLEM_VERSION_MISMATCH);
	assert_problem(patch(fixture, &id, 1, "{\"a\":1}", 0, &third, &vehicle), PROBLEM_NONE);
	assert_int_equal(vehicle.version, 2);
}

static void test_attributes_are_merged(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");

	assert_problem(patch_attributes(fixture, &id, "7", NULL), PROBLEM_VALUE_INVALID);
	assert_problem(patch_attributes(fixture, &id, "{\"a\":\"" VIN_A "\"}", NULL), PROBLEM_VIN_NOT_ALLOWED);
	assert_problem(patch_attributes(fixture, &id, "{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1,\"c\":2}}"),
		       PROBLEM_NONE);
	assert_problem(patch_attributes(fixture, &id, "{\"a\":{\"b\":null,\"d\":[1]},\"e\":true}",
					"{\"a\":{\"c\":2,\"d\":[1]},\"e\":true}"),
		       PROBLEM_NONE);
	assert_problem(patch_attributes(fixture, &id, "{\"a\":\"text\",\"e\":null}", "{\"a\":\"text\"}"), PROBLEM_NONE);
	assert_problem(patch_attributes(fixture, &id, "{\"a\":{\"b\":{\"c\":null}}}", "{\"a\":{\"b\":{}}}"),
		       PROBLEM_NONE);
	assert_int_equal(history_count(fixture, &id, HISTORY_ATTRIBUTES_CHANGED), 4);
	assert_int_equal(vehicle_now(fixture, &id).version, 5);
}

static void test_attributes_are_bounded(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	char json[ATTRIBUTES_SIZE_MAX + 64];

	/* {"a":"…"} takes eight characters around the text */
	snprintf(json, sizeof(json), "{\"a\":\"%0*d\"}", ATTRIBUTES_SIZE_MAX - 7, 0);
	assert_problem(patch_attributes(fixture, &id, json, NULL), PROBLEM_VALUE_INVALID);
	snprintf(json, sizeof(json), "{\"a\":\"%0*d\"}", ATTRIBUTES_SIZE_MAX - 8, 0);
	assert_problem(patch_attributes(fixture, &id, json, json), PROBLEM_NONE);
	assert_problem(patch_attributes(fixture, &id, "{\"b\":0}", NULL), PROBLEM_VALUE_INVALID);
}

static void test_what_changes_nothing_writes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session session = {0};
	struct vehicle vehicle;

	assert_problem(patch(fixture, &id, 1, "{}", VEHICLE_PROVISIONED, &session, &vehicle), PROBLEM_NONE);
	assert_int_equal(vehicle.version, 1);
	assert_false(session.event.is_recorded);
}

static void test_lifecycle(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");

	assert_problem(set_state(fixture, &id, VEHICLE_ACTIVE), PROBLEM_TRANSITION_NOT_ALLOWED);
	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_int_equal(live_certificates(fixture, &id), 1);
	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_problem(set_state(fixture, &id, VEHICLE_PROVISIONED), PROBLEM_NONE);
	assert_int_equal(vehicle_now(fixture, &id).state, VEHICLE_PROVISIONED);
	assert_int_equal(history_count(fixture, &id, HISTORY_STATE_CHANGED), 2);
}

static void test_decommissioning_is_final(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session session;
	struct vehicle_patch what = {.any_version = true, .state = VEHICLE_DECOMMISSIONED};
	struct vehicle vehicle;
	size_t revoked = 0;

	session_open(&session, fixture, &fixture->admin);
	assert_problem(vehicles_patch(&session.request, &id, &what, &vehicle, &revoked), PROBLEM_NONE);
	assert_int_equal(revoked, 1);
	assert_string_equal(vehicle.device_id, "");
	assert_int_equal(history_count(fixture, &id, HISTORY_DEVICE_REMOVED), 1);
	assert_int_equal(history_count(fixture, &id, HISTORY_CERTIFICATE_REVOKED), 1);
	assert_problem(set_state(fixture, &id, VEHICLE_PROVISIONED), PROBLEM_TRANSITION_NOT_ALLOWED);
	assert_problem(set_state(fixture, &id, VEHICLE_ACTIVE), PROBLEM_TRANSITION_NOT_ALLOWED);
	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_TRANSITION_NOT_ALLOWED);
	provisioned_vehicle(fixture, VIN_B, "tcu-1");
}

static const struct registry_ops *real_ops;
static int interferences;

/* The vehicle connects for the first time after it was read: its version moves. */
static enum result get_vehicle_and_interfere(struct registry *registry, const struct tenant_id *tenant,
					     const struct uuid *reference_id, struct arena *arena,
					     struct vehicle *ret_vehicle, struct note *note)
{
	enum result result = real_ops->get_vehicle(registry, tenant, reference_id, arena, ret_vehicle, note);
	struct vehicle moved = *ret_vehicle;
	const struct registry_write write = {.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &moved};
	const struct change_set change = {.writes = &write, .count = 1};
	enum registry_conflict conflict;

	if (result != RESULT_OK || interferences == 0)
		return result;
	interferences--;
	moved.version++;
	return real_ops->commit(registry, &change, &conflict, note);
}

static void test_whoever_names_no_version_loses_no_race(void **state)
{
	struct fixture *fixture = *state;
	struct registry *registry = fixture->platform.registry;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session session = {0};
	struct registry_ops interfering = *registry->ops;
	struct vehicle vehicle;

	real_ops = registry->ops;
	interfering.get_vehicle = get_vehicle_and_interfere;
	registry->ops = &interfering;
	interferences = 1;
	assert_problem(patch(fixture, &id, 1, NULL, VEHICLE_SUSPENDED, &session, &vehicle), PROBLEM_VERSION_MISMATCH);
	interferences = 2;
	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	interferences = 100;
	assert_problem(set_state(fixture, &id, VEHICLE_PROVISIONED), PROBLEM_VERSION_MISMATCH);
	interferences = 0;
	registry->ops = real_ops;
	assert_int_equal(vehicle_now(fixture, &id).state, VEHICLE_SUSPENDED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_unknown_and_foreign_are_alike),
		TEST(test_by_device),
		TEST(test_listing_pages),
		TEST(test_the_largest_page),
		TEST(test_history_pages),
		TEST(test_the_largest_page_of_a_history),
		TEST(test_versions),
		TEST(test_attributes_are_merged),
		TEST(test_attributes_are_bounded),
		TEST(test_what_changes_nothing_writes_nothing),
		TEST(test_lifecycle),
		TEST(test_decommissioning_is_final),
		TEST(test_whoever_names_no_version_loses_no_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
