#include "support.h"

#include "vehicle/idempotency.h"

#define ROUTE "POST /v1/vehicles"

struct attempt {
	struct session session;
	struct idempotency idempotency;
};

static void attempt_close(struct attempt *attempt)
{
	session_close(&attempt->session);
}
#define ATTEMPT_CLEANUP __attribute__((cleanup(attempt_close)))

static enum problem begin(struct attempt *attempt, struct fixture *fixture, const struct client *client,
			  const char *route, const char *key, const char *body)
{
	struct span content[2] = {span_of_text("/v1/vehicles"), span_of_text(body)};

	session_open(&attempt->session, fixture, client);
	return idempotency_begin(&attempt->session.request, route, span_of_text(key), content, &attempt->idempotency);
}

static enum problem begin_plainly(struct attempt *attempt, struct fixture *fixture, const char *body)
{
	return begin(attempt, fixture, &fixture->admin, ROUTE, "key-1", body);
}

static void test_keys(void **state)
{
	char too_long[IDEMPOTENCY_KEY_LENGTH_MAX + 2] = {0};
	const char *const bad[] = {"", "\x01", "\xc3\xa4", VIN_A, too_long};

	memset(too_long, 'k', IDEMPOTENCY_KEY_LENGTH_MAX + 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ATTEMPT_CLEANUP struct attempt attempt = {0};
		struct fixture *fixture = *state;
		assert_problem(begin(&attempt, fixture, &fixture->admin, ROUTE, bad[i], "body"), PROBLEM_VALUE_INVALID);
	}
}

static void test_running_and_other_bodies(void **state)
{
	ATTEMPT_CLEANUP struct attempt first = {0}, same = {0}, other = {0};

	assert_problem(begin_plainly(&first, *state, "body"), PROBLEM_NONE);
	assert_int_equal(first.idempotency.decision, IDEMPOTENCY_RUN);
	assert_problem(begin_plainly(&same, *state, "body"), PROBLEM_REQUEST_IN_PROGRESS);
	assert_problem(begin_plainly(&other, *state, "another body"), PROBLEM_IDEMPOTENCY_MISMATCH);
}

static void test_scope_is_client_and_route(void **state)
{
	struct fixture *fixture = *state;
	ATTEMPT_CLEANUP struct attempt first = {0}, stranger = {0}, route = {0};

	assert_problem(begin_plainly(&first, fixture, "body"), PROBLEM_NONE);
	assert_problem(begin(&stranger, fixture, &fixture->stranger, ROUTE, "key-1", "body"), PROBLEM_NONE);
	assert_problem(begin(&route, fixture, &fixture->admin, "POST /v1/tcu-changes", "key-1", "x"), PROBLEM_NONE);
}

static void test_the_answer_is_kept(void **state)
{
	struct fixture *fixture = *state;
	ATTEMPT_CLEANUP struct attempt first = {0}, again = {0}, other = {0};

	assert_problem(begin_plainly(&first, fixture, "body"), PROBLEM_NONE);
	assert_ok(idempotency_complete(&first.session.request, &first.idempotency, 201, "{\"a\":1}", NULL, NULL));
	assert_problem(begin_plainly(&again, fixture, "body"), PROBLEM_NONE);
	assert_int_equal(again.idempotency.decision, IDEMPOTENCY_ANSWER);
	assert_int_equal(again.idempotency.record.status, 201);
	assert_string_equal(again.idempotency.record.body, "{\"a\":1}");
	assert_ok(idempotency_abandon(&again.session.request, &again.idempotency)); /* it stands as it was */
	assert_problem(begin_plainly(&other, fixture, "another body"), PROBLEM_IDEMPOTENCY_MISMATCH);
}

static void test_credentials_are_made_anew(void **state)
{
	struct fixture *fixture = *state;
	struct serial one = {{0x41}}, two = {{0x42}};
	struct uuid id = {{7}};
	ATTEMPT_CLEANUP struct attempt first = {0}, second = {0}, third = {0};

	assert_problem(begin_plainly(&first, fixture, "body"), PROBLEM_NONE);
	assert_ok(idempotency_complete(&first.session.request, &first.idempotency, 201, "the private key", &one, &id));
	assert_problem(begin_plainly(&second, fixture, "body"), PROBLEM_NONE);
	assert_int_equal(second.idempotency.decision, IDEMPOTENCY_ANSWER_ANEW);
	assert_null(second.idempotency.record.body);
	assert_memory_equal(second.idempotency.record.serial.bytes, one.bytes, SERIAL_SIZE);
	assert_true(uuid_equal(&second.idempotency.record.reference_id, &id));
	assert_ok(idempotency_complete(&second.session.request, &second.idempotency, 200, NULL, &two, &id));
	assert_problem(begin_plainly(&third, fixture, "body"), PROBLEM_NONE);
	assert_memory_equal(third.idempotency.record.serial.bytes, two.bytes, SERIAL_SIZE);
}

/* Two replays of one provisioning at once: the second finds the first one's certificate alive, and returns no key. */
static void test_a_replay_without_a_key_does_not_hide_the_one_with(void **state)
{
	struct fixture *fixture = *state;
	struct serial one = {{0x41}}, two = {{0x42}};
	struct uuid id = {{7}};
	ATTEMPT_CLEANUP struct attempt first = {0}, second = {0}, third = {0}, fourth = {0};

	assert_problem(begin_plainly(&first, fixture, "body"), PROBLEM_NONE);
	assert_ok(idempotency_complete(&first.session.request, &first.idempotency, 201, NULL, &one, &id));
	assert_problem(begin_plainly(&second, fixture, "body"), PROBLEM_NONE);
	assert_problem(begin_plainly(&third, fixture, "body"), PROBLEM_NONE);
	assert_ok(idempotency_complete(&second.session.request, &second.idempotency, 201, NULL, &two, &id));
	assert_ok(idempotency_complete(&third.session.request, &third.idempotency, 201, "no key", NULL, NULL));
	assert_problem(begin_plainly(&fourth, fixture, "body"), PROBLEM_NONE);
	assert_int_equal(fourth.idempotency.decision, IDEMPOTENCY_ANSWER_ANEW);
	assert_memory_equal(fourth.idempotency.record.serial.bytes, two.bytes, SERIAL_SIZE);
}

static void test_abandoned_keys_are_free(void **state)
{
	ATTEMPT_CLEANUP struct attempt first = {0}, again = {0};

	assert_problem(begin_plainly(&first, *state, "body"), PROBLEM_NONE);
	assert_ok(idempotency_abandon(&first.session.request, &first.idempotency));
	assert_problem(begin_plainly(&again, *state, "another body"), PROBLEM_NONE);
	assert_int_equal(again.idempotency.decision, IDEMPOTENCY_RUN);
}

static void test_a_dead_process_s_key_is_taken_over(void **state)
{
	struct fixture *fixture = *state;
	ATTEMPT_CLEANUP struct attempt dead = {0}, early = {0}, next = {0}, last = {0};

	assert_problem(begin_plainly(&dead, fixture, "body"), PROBLEM_NONE);
	fixture->clock.now_ms += IDEMPOTENCY_STALE_MS - 1;
	assert_problem(begin_plainly(&early, fixture, "body"), PROBLEM_REQUEST_IN_PROGRESS);
	fixture->clock.now_ms += 1;
	assert_problem(begin_plainly(&next, fixture, "body"), PROBLEM_NONE);
	assert_int_equal(next.idempotency.decision, IDEMPOTENCY_RUN);
	/* It was not dead, only slow: its answer finds nothing of its own. */
	assert_result(idempotency_complete(&dead.session.request, &dead.idempotency, 201, "late", NULL, NULL),
		      RESULT_CONFLICT);
	assert_result(idempotency_abandon(&dead.session.request, &dead.idempotency), RESULT_CONFLICT);
	assert_ok(idempotency_complete(&next.session.request, &next.idempotency, 200, "{}", NULL, NULL));
	assert_problem(begin_plainly(&last, fixture, "body"), PROBLEM_NONE);
	assert_string_equal(last.idempotency.record.body, "{}");
}

static void test_a_day_later_it_is_forgotten(void **state)
{
	struct fixture *fixture = *state;
	ATTEMPT_CLEANUP struct attempt first = {0}, again = {0};

	assert_problem(begin_plainly(&first, fixture, "body"), PROBLEM_NONE);
	assert_ok(idempotency_complete(&first.session.request, &first.idempotency, 200, "{}", NULL, NULL));
	fixture->clock.now_ms += IDEMPOTENCY_KEPT_MS;
	assert_problem(begin_plainly(&again, fixture, "another body"), PROBLEM_NONE);
	assert_int_equal(again.idempotency.decision, IDEMPOTENCY_RUN);
}

static void test_keyd_away(void **state)
{
	struct fixture *fixture = *state;
	ATTEMPT_CLEANUP struct attempt attempt = {0};

	fixture->keys.fingerprint_result = RESULT_UNAVAILABLE;
	assert_problem(begin_plainly(&attempt, fixture, "body"), PROBLEM_UNAVAILABLE);
}

#define CLAIMS 24

struct claim_race {
	struct fixture *fixture;
	enum problem problem;
};

static void *claim_at_once(void *context)
{
	struct claim_race *race = context;
	ATTEMPT_CLEANUP struct attempt attempt = {0};

	race->problem = begin_plainly(&attempt, race->fixture, "body");
	return NULL;
}

static void test_claims_at_once(void **state)
{
	struct claim_race races[CLAIMS];
	pthread_t threads[CLAIMS];
	size_t claimed = 0;

	for (size_t i = 0; i < CLAIMS; i++) {
		races[i] = (struct claim_race){.fixture = *state};
		assert_int_equal(pthread_create(&threads[i], NULL, claim_at_once, &races[i]), 0);
	}
	for (size_t i = 0; i < CLAIMS; i++) {
		pthread_join(threads[i], NULL);
		claimed += races[i].problem == PROBLEM_NONE;
		if (races[i].problem != PROBLEM_NONE)
			assert_problem(races[i].problem, PROBLEM_REQUEST_IN_PROGRESS);
	}
	assert_int_equal(claimed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_keys),
		TEST(test_running_and_other_bodies),
		TEST(test_scope_is_client_and_route),
		TEST(test_the_answer_is_kept),
		TEST(test_credentials_are_made_anew),
		TEST(test_a_replay_without_a_key_does_not_hide_the_one_with),
		TEST(test_abandoned_keys_are_free),
		TEST(test_a_dead_process_s_key_is_taken_over),
		TEST(test_a_day_later_it_is_forgotten),
		TEST(test_keyd_away),
		TEST(test_claims_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
