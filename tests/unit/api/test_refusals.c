#include "api/refusals.h"

#include "../cmocka_all.h"
#include "base/entropy.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A log that keeps what it is given, or refuses. */
struct fake_log {
	struct audit_log log;
	struct buf text; /* leaves, a line each */
	size_t count;
	enum result result;
};

static enum result append(struct audit_log *log, const struct audit_leaf *leaves, size_t count, audit_append_done *done,
			  void *context)
{
	struct fake_log *fake = (struct fake_log *)log;
	if (fake->result != RESULT_OK)
		return fake->result;
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(buf_append(&fake->text, leaves[i].json), RESULT_OK);
		assert_int_equal(buf_append_text(&fake->text, "\n"), RESULT_OK);
	}
	fake->count += count;
	done(context, RESULT_OK, 0);
	return RESULT_OK;
}

static const struct audit_log_ops ops = {.append = append};

struct fixture {
	struct fake_log log;
	struct platform platform;
	struct refusals *refusals;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	fixture->log.log.ops = &ops;
	fixture->platform =
		(struct platform){.audit = &fixture->log.log, .clock = clock_system(), .entropy = entropy_system()};
	assert_int_equal(refusals_open(&fixture->platform, &fixture->refusals), RESULT_OK);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	refusals_close(fixture->refusals);
	buf_release(&fixture->log.text);
	free(fixture);
	return 0;
}

static void add(struct fixture *fixture, const char *action, const struct client *client, const char *address)
{
	struct uuid id = {{1}};
	refusals_add(fixture->refusals, action, PROBLEM_UNAUTHENTICATED, client, address, &id);
}

static bool holds(const struct fixture *fixture, const char *text)
{
	return strstr((const char *)fixture->log.text.data, text) != NULL;
}

static void nothing_counted_is_no_leaf(void **state)
{
	struct fixture *fixture = *state;
	refusals_flush(fixture->refusals);
	assert_int_equal(fixture->log.count, 0);
}

static void a_source_and_route_make_one_leaf_with_a_count(void **state)
{
	struct fixture *fixture = *state;
	for (int i = 0; i < 1000; i++)
		add(fixture, "vehicle.list", NULL, "192.0.2.1");
	add(fixture, "vehicle.list", NULL, "192.0.2.2");
	add(fixture, "tcu.change", NULL, "192.0.2.1");
	refusals_flush(fixture->refusals);
	assert_int_equal(fixture->log.count, 3);
	assert_true(holds(fixture, "\"count\":1000"));
	assert_true(holds(fixture, "\"sourceAddress\":\"192.0.2.2\""));
	refusals_flush(fixture->refusals);
	assert_int_equal(fixture->log.count, 3);
}

static void a_client_is_one_whatever_address_it_uses(void **state)
{
	struct fixture *fixture = *state;
	struct client client = {.id = "crm", .tenant = {"demo"}};
	add(fixture, "vehicle.list", &client, "192.0.2.1");
	add(fixture, "vehicle.list", &client, "192.0.2.2");
	refusals_flush(fixture->refusals);
	assert_int_equal(fixture->log.count, 1);
	assert_true(holds(fixture, "\"actor\":\"crm\"") && holds(fixture, "\"count\":2"));
}

static void a_flood_of_sources_stays_within_the_table(void **state)
{
	struct fixture *fixture = *state;
	char address[32];
	for (int i = 0; i < 10000; i++) {
		snprintf(address, sizeof address, "10.0.%d.%d", i / 256, i % 256);
		add(fixture, "vehicle.list", NULL, address);
	}
	refusals_flush(fixture->refusals);
	assert_int_equal(fixture->log.count, REFUSALS_SIZE + 1);
	assert_true(holds(fixture, "\"count\":9488"));
}

static void a_log_that_is_away_loses_no_count(void **state)
{
	struct fixture *fixture = *state;
	add(fixture, "vehicle.list", NULL, "192.0.2.1");
	fixture->log.result = RESULT_UNAVAILABLE;
	refusals_flush(fixture->refusals);
	add(fixture, "vehicle.list", NULL, "192.0.2.1");
	fixture->log.result = RESULT_OK;
	refusals_flush(fixture->refusals);
	assert_int_equal(fixture->log.count, 1);
	assert_true(holds(fixture, "\"count\":2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_counted_is_no_leaf, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_source_and_route_make_one_leaf_with_a_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_client_is_one_whatever_address_it_uses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_of_sources_stays_within_the_table, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_is_away_loses_no_count, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
