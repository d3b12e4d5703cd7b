/* Administration: clients and tenants. */
#include "support.h"

#include "vehicle/clients.h"
#include "vehicle/tenants.h"

#include <stdio.h>

static struct client draft(const char *id, const char *tenant, uint32_t scopes)
{
	struct client client = {.scopes = scopes};

	snprintf(client.id, sizeof(client.id), "%s", id);
	snprintf(client.tenant.text, sizeof(client.tenant.text), "%s", tenant);
	return client;
}

static enum problem create(struct fixture *fixture, const struct client *caller, const struct client *client)
{
	SESSION_CLEANUP struct session session;
	struct client created;

	session_open(&session, fixture, caller);
	return clients_create(&session.request, client, &created);
}

typedef enum problem change_state(struct flow_request *request, const char *client_id, struct client *ret_client);

static enum problem set_client_state(struct fixture *fixture, const struct client *caller, const char *id,
				     change_state *change, struct client *ret_client)
{
	SESSION_CLEANUP struct session session;

	session_open(&session, fixture, caller);
	return change(&session.request, id, ret_client);
}

typedef enum problem change_fingerprint(struct flow_request *request, const char *client_id,
					const uint8_t fingerprint[static SHA256_SIZE], struct client *ret_client);

static enum problem set_fingerprint(struct fixture *fixture, const struct client *caller, const char *id, uint8_t value,
				    change_fingerprint *change, struct client *ret_client)
{
	SESSION_CLEANUP struct session session;
	uint8_t fingerprint[SHA256_SIZE] = {value};

	session_open(&session, fixture, caller);
	return change(&session.request, id, fingerprint, ret_client);
}

static void test_creating(void **state)
{
	struct fixture *fixture = *state;
	struct client local = add_client(fixture, "local", SCOPE_ADMIN | SCOPE_VEHICLE_READ, "none");
	struct client too_much = draft("new", "demo", SCOPE_VEHICLE_READ | SCOPE_VIN_REVEAL);
	struct client foreign = draft("new", "other", SCOPE_VEHICLE_READ);
	struct client nowhere = draft("new", "nowhere", SCOPE_VEHICLE_READ);
	struct client vin = draft("1m8gdm9axkp042788", "demo", SCOPE_VEHICLE_READ);
	struct client good = draft("new", "demo", SCOPE_VEHICLE_READ);
	struct client twin = draft("twin", "demo", 0);

	assert_problem(create(fixture, &local, &too_much), PROBLEM_SCOPE_MISSING);
	assert_problem(create(fixture, &local, &foreign), PROBLEM_NOT_FOUND);
	assert_problem(create(fixture, &local, &nowhere), PROBLEM_NOT_FOUND);
	assert_problem(create(fixture, &fixture->admin, &nowhere), PROBLEM_NOT_FOUND);
	assert_problem(create(fixture, &local, &vin), PROBLEM_VIN_NOT_ALLOWED);
	good.fingerprint_count = twin.fingerprint_count = 1;
	assert_problem(create(fixture, &local, &good), PROBLEM_NONE);
	assert_problem(create(fixture, &local, &good), PROBLEM_ALREADY_EXISTS);
	assert_problem(create(fixture, &local, &twin), PROBLEM_ALREADY_EXISTS); /* the certificate is another's */
	foreign = draft("newer", "other", SCOPE_VEHICLE_READ);
	assert_problem(create(fixture, &fixture->admin, &foreign), PROBLEM_NONE); /* the platform's */
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"subject\":\"newer\""));
}

static void test_listing(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session local = {0};
	SESSION_CLEANUP struct session platform = {0};
	struct client *clients;
	size_t count;

	session_open(&local, fixture, &fixture->stranger);
	assert_problem(clients_list(&local.request, &clients, &count), PROBLEM_NONE);
	assert_int_equal(count, 1);
	assert_string_equal(clients[0].id, "stranger");
	session_open(&platform, fixture, &fixture->admin);
	assert_problem(clients_list(&platform.request, &clients, &count), PROBLEM_NONE);
	assert_int_equal(count, 2);
}

static void test_suspending(void **state)
{
	struct fixture *fixture = *state;
	struct client local = add_client(fixture, "local", SCOPE_ADMIN | SCOPE_VEHICLE_READ, "none");
	struct client client;

	add_client(fixture, "reader", SCOPE_VEHICLE_READ, "none");
	assert_problem(set_client_state(fixture, &local, "local", clients_suspend, &client), PROBLEM_SAME_PERSON);
	assert_problem(set_client_state(fixture, &local, "nobody", clients_suspend, &client), PROBLEM_NOT_FOUND);
	assert_problem(set_client_state(fixture, &local, "stranger", clients_suspend, &client), PROBLEM_NOT_FOUND);
	assert_problem(set_client_state(fixture, &local, "admin", clients_suspend, &client), PROBLEM_SCOPE_MISSING);
	assert_problem(set_client_state(fixture, &local, "reader", clients_suspend, &client), PROBLEM_NONE);
	assert_int_equal(client.state, CLIENT_SUSPENDED);
	assert_problem(set_client_state(fixture, &local, "reader", clients_suspend, &client), PROBLEM_NONE);
	assert_int_equal(client.version, 2);
	assert_problem(set_client_state(fixture, &local, "reader", clients_resume, &client), PROBLEM_NONE);
	assert_int_equal(client.state, CLIENT_ACTIVE);
}

static void test_fingerprints(void **state)
{
	struct fixture *fixture = *state;
	struct client local = add_client(fixture, "local", SCOPE_ADMIN | SCOPE_VEHICLE_READ, "none");
	struct client client;

	add_client(fixture, "reader", SCOPE_VEHICLE_READ, "none");
	add_client(fixture, "other-reader", SCOPE_VEHICLE_READ, "none");
	/* His own certificate on a mightier client: no. */
	assert_problem(set_fingerprint(fixture, &local, "admin", 1, clients_add_fingerprint, &client),
		       PROBLEM_SCOPE_MISSING);
	assert_problem(set_fingerprint(fixture, &local, "reader", 1, clients_add_fingerprint, &client), PROBLEM_NONE);
	assert_problem(set_fingerprint(fixture, &local, "reader", 1, clients_add_fingerprint, &client), PROBLEM_NONE);
	assert_int_equal(client.fingerprint_count, 1);
	assert_problem(set_fingerprint(fixture, &local, "other-reader", 1, clients_add_fingerprint, &client),
		       PROBLEM_ALREADY_EXISTS);
	assert_problem(set_fingerprint(fixture, &local, "reader", 2, clients_add_fingerprint, &client), PROBLEM_NONE);
	assert_problem(set_fingerprint(fixture, &local, "reader", 3, clients_add_fingerprint, &client),
		       PROBLEM_CERTIFICATE_LIMIT);
	assert_problem(set_fingerprint(fixture, &local, "reader", 3, clients_remove_fingerprint, &client),
		       PROBLEM_NOT_FOUND);
	assert_problem(set_fingerprint(fixture, &local, "reader", 1, clients_remove_fingerprint, &client),
		       PROBLEM_NONE);
	assert_int_equal(client.fingerprint_count, 1);
	assert_int_equal(client.fingerprints[0][0], 2);
	assert_problem(set_fingerprint(fixture, &local, "reader", 2, clients_remove_fingerprint, &client),
		       PROBLEM_NONE);
	assert_int_equal(client.fingerprint_count, 0);
}

#define EDITS 16

struct edit_race {
	struct fixture *fixture;
	size_t number;
	enum problem problem;
};

/* One suspends, the others come and go with certificates: the suspension must stand. */
static void *edit_at_once(void *context)
{
	struct edit_race *race = context;
	struct fixture *fixture = race->fixture;
	struct client client;

	if (race->number == 0) {
		race->problem = set_client_state(fixture, &fixture->admin, "reader", clients_suspend, &client);
		return NULL;
	}
	race->problem = set_fingerprint(fixture, &fixture->admin, "reader", (uint8_t)race->number,
					clients_add_fingerprint, &client);
	set_fingerprint(fixture, &fixture->admin, "reader", (uint8_t)race->number, clients_remove_fingerprint, &client);
	return NULL;
}

static void test_edits_at_once_lose_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct edit_race races[EDITS];
	pthread_t threads[EDITS];
	struct client client;

	add_client(fixture, "reader", SCOPE_VEHICLE_READ, "none");
	for (size_t i = 0; i < EDITS; i++) {
		races[i] = (struct edit_race){.fixture = fixture, .number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, edit_at_once, &races[i]), 0);
	}
	for (size_t i = 0; i < EDITS; i++)
		pthread_join(threads[i], NULL);
	assert_problem(races[0].problem, PROBLEM_NONE);

	SESSION_CLEANUP struct session session;
	session_open(&session, fixture, &fixture->admin);
	assert_problem(clients_get(&session.request, "reader", &client), PROBLEM_NONE);
	assert_int_equal(client.state, CLIENT_SUSPENDED);
	assert_int_equal(client.fingerprint_count, 0);
}

static void test_tenants(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session first = {0};
	SESSION_CLEANUP struct session second = {0};
	struct tenant tenant = {.id = {"new"}, .check_digit = CHECK_DIGIT_WARN, .manifest_required = true}, created;
	struct tenant named_as_vin = {.id = {"1m8gdm9axkp042788"}};
	struct tenant *tenants;
	size_t count;

	session_open(&first, fixture, &fixture->admin);
	assert_problem(tenants_create(&first.request, &named_as_vin, &created), PROBLEM_VIN_NOT_ALLOWED);
	assert_problem(tenants_create(&first.request, &fixture->tenant, &created), PROBLEM_ALREADY_EXISTS);
	/* Its keys are there from an attempt that got no further. */
	assert_ok(fixture->keys.service.ops->create_tenant(&fixture->keys.service, &tenant.id, NULL));
	assert_problem(tenants_create(&first.request, &tenant, &created), PROBLEM_NONE);
	assert_int_equal(created.created_at_ms, START_MS);
	session_open(&second, fixture, &fixture->admin);
	assert_problem(tenants_list(&second.request, &tenants, &count), PROBLEM_NONE);
	assert_int_equal(count, 3);
	assert_string_equal(tenants[2].id.text, "new");
	assert_true(tenants[2].manifest_required);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_creating),
		TEST(test_listing),
		TEST(test_suspending),
		TEST(test_fingerprints),
		TEST(test_edits_at_once_lose_nothing),
		TEST(test_tenants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
