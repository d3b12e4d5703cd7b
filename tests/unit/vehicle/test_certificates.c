#include "support.h"

static enum problem renew(struct fixture *fixture, const struct uuid *id, struct span csr, bool revoke_others,
			  enum revocation_reason reason, struct credentials *ret_credentials)
{
	SESSION_CLEANUP struct session session;
	struct certificate_renewal renewal = {.csr = csr, .revoke_others = revoke_others, .reason = reason};

	session_open(&session, fixture, &fixture->admin);
	return certificates_renew(&session.request, id, &renewal, ret_credentials);
}

static enum problem renew_with(struct fixture *fixture, const struct uuid *id, const struct test_csr *csr,
			       bool revoke_others)
{
	CREDENTIALS_CLEANUP struct credentials credentials = {0};

	return renew(fixture, id, span_of_text(csr->pem), revoke_others, REVOCATION_UNSPECIFIED, &credentials);
}

static void test_refusals(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1"), unknown = {{1}};
	struct test_csr csr = make_csr();
	struct vehicle vehicle;
	CREDENTIALS_CLEANUP struct credentials credentials = {0};

	assert_problem(renew_with(fixture, &unknown, &csr, false), PROBLEM_NOT_FOUND);
	assert_problem(renew(fixture, &id, span_of_text("no CSR"), false, 0, &credentials), PROBLEM_CSR_INVALID);
	assert_problem(renew(fixture, &id, span_of(NULL, 0), false, 0, &credentials), PROBLEM_CSR_REQUIRED);
	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_problem(renew_with(fixture, &id, &csr, false), PROBLEM_VEHICLE_NOT_PROVISIONABLE);
	assert_problem(set_state(fixture, &id, VEHICLE_PROVISIONED), PROBLEM_NONE);
	assert_problem(change_device(fixture, &id, "tcu-1", "", &vehicle), PROBLEM_NONE);
	assert_problem(renew_with(fixture, &id, &csr, false), PROBLEM_DEVICE_MISMATCH);
	assert_int_equal(fixture->authority.issued, 1);
}

static void test_foreign_vehicle_is_unknown(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct test_csr csr = make_csr();
	struct certificate_renewal renewal = {.csr = span_of_text(csr.pem)};
	struct credentials credentials;
	SESSION_CLEANUP struct session session;

	session_open(&session, fixture, &fixture->stranger);
	assert_problem(certificates_renew(&session.request, &id, &renewal, &credentials), PROBLEM_NOT_FOUND);
}

static void test_at_most_two_live(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct test_csr second = make_csr(), third = make_csr();

	assert_problem(renew_with(fixture, &id, &second, false), PROBLEM_NONE);
	assert_int_equal(live_certificates(fixture, &id), 2);
	assert_problem(renew_with(fixture, &id, &third, false), PROBLEM_CERTIFICATE_LIMIT);
	assert_int_equal(live_certificates(fixture, &id), 2);
	/* Each certificate moves the vehicle's version: two renewals at once cannot both be the second. */
	assert_int_equal(vehicle_now(fixture, &id).version, 2);
}

static void test_revoke_others(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct test_csr second = make_csr(), third = make_csr();
	CREDENTIALS_CLEANUP struct credentials credentials = {0};

	assert_problem(renew_with(fixture, &id, &second, false), PROBLEM_NONE);
	assert_problem(renew(fixture, &id, span_of_text(third.pem), true, REVOCATION_KEY_COMPROMISE, &credentials),
		       PROBLEM_NONE);
	assert_int_equal(live_certificates(fixture, &id), 1);
	assert_int_equal(history_count(fixture, &id, HISTORY_CERTIFICATE_REVOKED), 2);
	assert_int_equal(history_count(fixture, &id, HISTORY_CERTIFICATE_ISSUED), 3);

	SESSION_CLEANUP struct session session;
	struct history_page page;
	session_open(&session, fixture, &fixture->admin);
	assert_problem(vehicles_history(&session.request, &id, 0, 0, &page), PROBLEM_NONE);
	for (size_t i = 0; i < page.count; i++)
		if (page.entries[i].event == HISTORY_CERTIFICATE_REVOKED)
			assert_int_equal(page.entries[i].reason, REVOCATION_KEY_COMPROMISE);
}

static void test_keys(void **state)
{
	struct fixture *fixture = *state;
	struct test_csr pinned = make_csr(), other = make_csr();
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	add_device(fixture, "pinned", pinned.spki_sha256);
	assert_problem(provision(fixture, VIN_A, "pinned", &pinned, &provisioned), PROBLEM_NONE);
	struct uuid id = provisioned.vehicle.reference_id;
	assert_problem(renew_with(fixture, &id, &other, false), PROBLEM_KEY_MISMATCH);
	/* The same key of the same device may be certified again. */
	assert_problem(renew_with(fixture, &id, &pinned, false), PROBLEM_NONE);
	struct uuid second = provisioned_vehicle(fixture, VIN_B, "tcu-2");
	assert_problem(renew_with(fixture, &second, &pinned, false), PROBLEM_KEY_REUSED);
}

static void test_expired_ones_make_room(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct test_csr second = make_csr(), third = make_csr();

	assert_problem(renew_with(fixture, &id, &second, false), PROBLEM_NONE);
	fixture->clock.now_ms += FAKE_VALIDITY_MS;
	assert_problem(renew_with(fixture, &id, &third, false), PROBLEM_NONE);
	assert_int_equal(live_certificates(fixture, &id), 1);
}

#define RENEWALS 16

struct renewal_race {
	struct fixture *fixture;
	struct uuid id;
	struct test_csr csr;
	enum problem problem;
};

static void *renew_at_once(void *context)
{
	struct renewal_race *race = context;

	race->problem = renew_with(race->fixture, &race->id, &race->csr, false);
	return NULL;
}

static void test_renewals_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct renewal_race races[RENEWALS];
	pthread_t threads[RENEWALS];
	size_t issued = 0;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");

	for (size_t i = 0; i < RENEWALS; i++) {
		races[i] = (struct renewal_race){.fixture = fixture, .id = id, .csr = make_csr()};
		assert_int_equal(pthread_create(&threads[i], NULL, renew_at_once, &races[i]), 0);
	}
	for (size_t i = 0; i < RENEWALS; i++) {
		pthread_join(threads[i], NULL);
		issued += races[i].problem == PROBLEM_NONE;
		if (races[i].problem != PROBLEM_NONE)
			assert_problem(races[i].problem, PROBLEM_CERTIFICATE_LIMIT);
	}
	assert_int_equal(issued, 1);
	assert_int_equal(live_certificates(fixture, &id), 2);
}

static void test_crl(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	BUF_CLEANUP struct buf empty = {0}, one = {0}, later = {0};
	struct vehicle vehicle;

	assert_ok(crl_make(&fixture->platform, &empty, NULL));
	assert_int_equal(fixture->authority.revoked_count, 0);
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	assert_ok(crl_make(&fixture->platform, &one, NULL));
	assert_int_equal(fixture->authority.revoked_count, 1);
	assert_true(one.size > empty.size);
	/* An entry goes only after its certificate's end. */
	fixture->clock.now_ms += FAKE_VALIDITY_MS;
	assert_ok(crl_make(&fixture->platform, &later, NULL));
	assert_int_equal(fixture->authority.revoked_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_refusals),
		TEST(test_foreign_vehicle_is_unknown),
		TEST(test_at_most_two_live),
		TEST(test_revoke_others),
		TEST(test_keys),
		TEST(test_expired_ones_make_room),
		TEST(test_renewals_at_once),
		TEST(test_crl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
