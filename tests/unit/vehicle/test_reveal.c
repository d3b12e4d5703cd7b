#include "support.h"

#include "vehicle/reveal.h"

#define REVEAL_SCOPES (SCOPE_VIN_REVEAL | SCOPE_VIN_APPROVE)

struct people {
	struct fixture *fixture;
	struct client asker, approver, other;
	struct uuid vehicle;
};

static struct people people_of(struct fixture *fixture)
{
	return (struct people){.fixture = fixture,
			       .asker = add_client(fixture, "asker", REVEAL_SCOPES, "legal-request"),
			       .approver = add_client(fixture, "approver", REVEAL_SCOPES, "legal-request"),
			       .other = add_client(fixture, "marketing", REVEAL_SCOPES, "marketing"),
			       .vehicle = provisioned_vehicle(fixture, VIN_A, "tcu-1")};
}

static enum problem ask(struct people *people, const struct uuid *vehicle, const char *purpose, const char *reason,
			const char *ticket, struct reveal_request *ret_reveal)
{
	SESSION_CLEANUP struct session session;
	struct reveal_input input = {.reference_id = *vehicle,
				     .purpose = span_of_text(purpose),
				     .reason = span_of_text(reason),
				     .ticket = span_of_text(ticket)};

	session_open(&session, people->fixture, &people->asker);
	return reveal_ask(&session.request, &input, ret_reveal);
}

static struct uuid asked(struct people *people)
{
	struct reveal_request reveal;

	assert_problem(ask(people, &people->vehicle, "legal-request", "court order", "T-1", &reveal), PROBLEM_NONE);
	assert_int_equal(reveal.status, REVEAL_PENDING);
	assert_int_equal(reveal.expires_at_ms, START_MS + REVEAL_PENDING_MS);
	return reveal.id;
}

static enum problem approve(struct people *people, const struct client *client, const struct uuid *id,
			    struct reveal_request *ret_reveal)
{
	SESSION_CLEANUP struct session session;

	session_open(&session, people->fixture, client);
	return reveal_approve(&session.request, id, ret_reveal);
}

static struct uuid approved(struct people *people)
{
	struct uuid id = asked(people);
	struct reveal_request reveal;

	assert_problem(approve(people, &people->approver, &id, &reveal), PROBLEM_NONE);
	assert_int_equal(reveal.status, REVEAL_APPROVED);
	assert_string_equal(reveal.approved_by, "approver");
	return id;
}

static enum problem open_as(struct people *people, const struct client *client, const struct uuid *id,
			    struct vin *ret_vin)
{
	SESSION_CLEANUP struct session session;

	session_open(&session, people->fixture, client);
	return reveal_open(&session.request, id, ret_vin);
}

static enum reveal_status status_of(struct people *people, const struct uuid *id)
{
	SESSION_CLEANUP struct session session;
	struct reveal_request reveal = {0};

	session_open(&session, people->fixture, &people->asker);
	assert_problem(reveal_get(&session.request, id, &reveal), PROBLEM_NONE);
	return reveal.status;
}

static void test_asking_is_refused(void **state)
{
	struct people people = people_of(*state);
	struct uuid unknown = {{1}};
	struct reveal_request reveal;
	char long_reason[1026] = {0};

	memset(long_reason, 'x', sizeof(long_reason) - 1);
	assert_problem(ask(&people, &people.vehicle, "marketing", "why", "", &reveal), PROBLEM_PURPOSE_NOT_ALLOWED);
	assert_problem(ask(&people, &people.vehicle, "", "why", "", &reveal), PROBLEM_PURPOSE_NOT_ALLOWED);
	assert_problem(ask(&people, &people.vehicle, "legal-request", "", "", &reveal), PROBLEM_VALUE_INVALID);
	assert_problem(ask(&people, &people.vehicle, "legal-request", long_reason, "", &reveal), PROBLEM_VALUE_INVALID);
	assert_problem(ask(&people, &people.vehicle, "legal-request", "of " VIN_A, "", &reveal),
		       PROBLEM_VIN_NOT_ALLOWED);
	assert_problem(ask(&people, &people.vehicle, "legal-request", "why", VIN_A, &reveal), PROBLEM_VIN_NOT_ALLOWED);
	assert_problem(ask(&people, &unknown, "legal-request", "why", "", &reveal), PROBLEM_NOT_FOUND);
}

static void test_who_may_approve(void **state)
{
	struct people people = people_of(*state);
	struct uuid id = asked(&people);
	struct reveal_request reveal;

	assert_problem(approve(&people, &people.asker, &id, &reveal), PROBLEM_SAME_PERSON);
	assert_problem(approve(&people, &people.other, &id, &reveal), PROBLEM_PURPOSE_NOT_ALLOWED);
	assert_problem(approve(&people, &people.fixture->stranger, &id, &reveal), PROBLEM_NOT_FOUND);
	assert_problem(approve(&people, &people.approver, &id, &reveal), PROBLEM_NONE);
	assert_int_equal(reveal.expires_at_ms, START_MS + REVEAL_APPROVED_MS);
	/* Again: as it stands. */
	people.fixture->clock.now_ms += 1000;
	assert_problem(approve(&people, &people.approver, &id, &reveal), PROBLEM_NONE);
	assert_int_equal(reveal.expires_at_ms, START_MS + REVEAL_APPROVED_MS);
}

static void test_who_may_open(void **state)
{
	struct people people = people_of(*state);
	struct uuid pending = asked(&people), id = approved(&people);
	struct vin vin = {0};

	assert_problem(open_as(&people, &people.asker, &pending, &vin), PROBLEM_REVEAL_NOT_APPROVED);
	assert_problem(open_as(&people, &people.approver, &id, &vin), PROBLEM_SAME_PERSON);
	assert_problem(open_as(&people, &people.fixture->stranger, &id, &vin), PROBLEM_NOT_FOUND);
	assert_int_equal(people.fixture->keys.open_calls, 0);
	assert_problem(open_as(&people, &people.asker, &id, &vin), PROBLEM_NONE);
	assert_string_equal(vin.text, VIN_A);
	assert_string_equal(people.fixture->keys.authorisation.requested_by, "asker");
	assert_string_equal(people.fixture->keys.authorisation.approved_by, "approver");
}

static void test_once(void **state)
{
	struct people people = people_of(*state);
	struct uuid id = approved(&people);
	struct reveal_request reveal;
	struct vin vin;

	assert_problem(open_as(&people, &people.asker, &id, &vin), PROBLEM_NONE);
	assert_problem(open_as(&people, &people.asker, &id, &vin), PROBLEM_REVEAL_GONE);
	assert_problem(approve(&people, &people.approver, &id, &reveal), PROBLEM_REVEAL_GONE);
	assert_int_equal(people.fixture->keys.open_calls, 1);
	assert_false(fake_audit_holds(&people.fixture->audit, VIN_A));
	assert_non_null(strstr(fake_audit_last(&people.fixture->audit), "\"approvedBy\":\"approver\""));
}

static void test_expiry(void **state)
{
	struct people people = people_of(*state);
	struct uuid pending = asked(&people), id = approved(&people);
	struct reveal_request reveal;
	struct vin vin;

	people.fixture->clock.now_ms += REVEAL_APPROVED_MS;
	assert_problem(open_as(&people, &people.asker, &id, &vin), PROBLEM_REVEAL_GONE);
	people.fixture->clock.now_ms = START_MS + REVEAL_PENDING_MS;
	assert_problem(approve(&people, &people.approver, &pending, &reveal), PROBLEM_REVEAL_GONE);
	reveal = (struct reveal_request){.status = REVEAL_PENDING, .expires_at_ms = 10};
	assert_string_equal(reveal_status_name(&reveal, 9), "pending");
	assert_string_equal(reveal_status_name(&reveal, 10), "expired");
}

static void test_keyd_away_burns_nothing(void **state)
{
	static const enum result failures[] = {RESULT_UNAVAILABLE, RESULT_EXHAUSTED, RESULT_CORRUPT};
	static const enum problem problems[] = {PROBLEM_UNAVAILABLE, PROBLEM_BUDGET_EXHAUSTED, PROBLEM_INTERNAL};
	struct people people = people_of(*state);
	struct uuid id = approved(&people);
	struct vin vin = {"untouched"};

	for (size_t i = 0; i < 3; i++) {
		people.fixture->keys.open_result = failures[i];
		assert_problem(open_as(&people, &people.asker, &id, &vin), problems[i]);
		assert_string_equal(vin.text, "untouched");
		assert_int_equal(status_of(&people, &id), REVEAL_APPROVED);
		assert_non_null(strstr(fake_audit_last(&people.fixture->audit), "\"outcome\":\"failed\""));
	}
	people.fixture->keys.open_result = RESULT_OK;
	assert_problem(open_as(&people, &people.asker, &id, &vin), PROBLEM_NONE);
	assert_string_equal(vin.text, VIN_A);
}

static const struct registry_ops *real_ops;

static enum result commit_all_but_restoring(struct registry *registry, const struct change_set *change,
					    enum registry_conflict *ret_conflict, struct note *note)
{
	if (change->writes[0].kind == REGISTRY_RESTORE_REVEAL)
		return RESULT_UNAVAILABLE;
	return real_ops->commit(registry, change, ret_conflict, note);
}

/* The VIN did not come out, and the opening cannot be taken back: an operator must be able to read why. */
static void test_a_burned_approval_is_told(void **state)
{
	SESSION_CLEANUP struct session session;
	struct people people = people_of(*state);
	struct registry *registry = people.fixture->platform.registry;
	struct uuid id = approved(&people);
	struct registry_ops ops = *registry->ops;
	struct vin vin;

	real_ops = registry->ops;
	ops.commit = commit_all_but_restoring;
	registry->ops = &ops;
	people.fixture->keys.open_result = RESULT_UNAVAILABLE;
	session_open(&session, people.fixture, &people.asker);
	assert_problem(reveal_open(&session.request, &id, &vin), PROBLEM_UNAVAILABLE);
	registry->ops = real_ops;
	assert_non_null(strstr(session.request.note.text, "used up"));
	assert_int_equal(status_of(&people, &id), REVEAL_OPENED);
}

static void test_log_away_gives_no_vin_and_burns_nothing(void **state)
{
	struct people people = people_of(*state);
	struct uuid id = approved(&people);
	struct vin vin = {"untouched"};

	people.fixture->audit.append_result = RESULT_UNAVAILABLE;
	assert_problem(open_as(&people, &people.asker, &id, &vin), PROBLEM_UNAVAILABLE);
	assert_string_equal(vin.text, "untouched");
	assert_int_equal(people.fixture->keys.open_calls, 0);
	people.fixture->audit.append_result = RESULT_OK;
	people.fixture->audit.durable_result = RESULT_UNAVAILABLE;
	assert_problem(open_as(&people, &people.asker, &id, &vin), PROBLEM_UNAVAILABLE);
	assert_int_equal(people.fixture->keys.open_calls, 0);
	people.fixture->audit.durable_result = RESULT_OK;
	assert_int_equal(status_of(&people, &id), REVEAL_APPROVED);
}

#define OPENINGS 24

struct opening_race {
	struct people *people;
	struct uuid id;
	enum problem problem;
	struct vin vin;
};

static void *open_at_once(void *context)
{
	struct opening_race *race = context;

	race->problem = open_as(race->people, &race->people->asker, &race->id, &race->vin);
	return NULL;
}

static void test_openings_at_once(void **state)
{
	struct people people = people_of(*state);
	struct uuid id = approved(&people);
	struct opening_race races[OPENINGS];
	pthread_t threads[OPENINGS];
	size_t opened = 0;

	for (size_t i = 0; i < OPENINGS; i++) {
		races[i] = (struct opening_race){.people = &people, .id = id};
		assert_int_equal(pthread_create(&threads[i], NULL, open_at_once, &races[i]), 0);
	}
	for (size_t i = 0; i < OPENINGS; i++) {
		pthread_join(threads[i], NULL);
		opened += races[i].problem == PROBLEM_NONE;
		if (races[i].problem != PROBLEM_NONE)
			assert_problem(races[i].problem, PROBLEM_REVEAL_GONE);
	}
	assert_int_equal(opened, 1);
	assert_int_equal(people.fixture->keys.open_calls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_asking_is_refused),
		TEST(test_who_may_approve),
		TEST(test_who_may_open),
		TEST(test_once),
		TEST(test_expiry),
		TEST(test_keyd_away_burns_nothing),
		TEST(test_a_burned_approval_is_told),
		TEST(test_log_away_gives_no_vin_and_burns_nothing),
		TEST(test_openings_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
