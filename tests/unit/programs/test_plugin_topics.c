#include "../cmocka_all.h"

#include "programs/mosquitto-plugin/options.h"
#include "programs/mosquitto-plugin/topics.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ID	     "8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f11"
#define OTHER	     "8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f12"
#define COMMAND	     "01020304-0506-4708-890a-0b0c0d0e0f10"

static struct uuid id(void)
{
	struct uuid uuid;
	assert_int_equal(uuid_parse(span_of_text(ID), &uuid), RESULT_OK);
	return uuid;
}

static const struct {
	const char *topic;
	enum topic_use use;
} topics[] = {
	{"vehicles/" ID "/signals", TOPIC_SIGNALS_JSON},
	{"vehicles/" ID "/signals/", TOPIC_OWN},
	{"vehicles/" ID "/x", TOPIC_OWN},
	{"vehicles/" ID "/", TOPIC_REFUSED},
	{"vehicles/" ID, TOPIC_REFUSED},
	{"vehicles/" OTHER "/signals", TOPIC_REFUSED},
	{"vehicles/8F7F3B2E-0C7A-4C58-9D59-0A4A5B9D8F11/signals", TOPIC_REFUSED},
	{"Vehicles/" ID "/signals", TOPIC_REFUSED},
	{"$aws/iotfleetwise/vehicles/" ID "/signals", TOPIC_SIGNALS_FLEETWISE},
	{"$aws/iotfleetwise/vehicles/" ID "/checkins", TOPIC_CHECKIN},
	{"$aws/iotfleetwise/vehicles/" ID "/signals/x", TOPIC_REFUSED},
	{"$aws/iotfleetwise/vehicles/" OTHER "/signals", TOPIC_REFUSED},
	{"$aws/commands/things/" ID "/executions/" COMMAND "/response/json", TOPIC_COMMAND_RESPONSE},
	{"$aws/commands/things/" ID "/executions/" COMMAND "/response/cbor", TOPIC_REFUSED},
	{"$aws/commands/things/" ID "/executions/" COMMAND "/response/json/", TOPIC_REFUSED},
	{"$aws/commands/things/" ID "/executions//response/json", TOPIC_REFUSED},
	{"$aws/commands/things/" ID "/executions/" COMMAND "/request/json", TOPIC_REFUSED},
	{"$aws/commands/things/" OTHER "/executions/" COMMAND "/response/json", TOPIC_REFUSED},
	{"", TOPIC_REFUSED},
};

static void vehicles_publish_what_is_theirs(void **state)
{
	const struct uuid vehicle = id();
	(void)state;
	for (size_t i = 0; i < COUNT(topics); i++) {
		struct uuid command_id = {{0}};
		enum topic_use use = topic_of_vehicle(&vehicle, topics[i].topic, &command_id);
		if (use != topics[i].use)
			fail_msg("%s: %d", topics[i].topic, (int)use);
		assert_int_equal(command_id.bytes[0], use == TOPIC_COMMAND_RESPONSE ? 1 : 0);
	}
}

/* The broker keeps a topic with each message that waits, and counts it nowhere. */
static void topics_are_not_long(void **state)
{
	const struct uuid vehicle = id();
	struct uuid command_id;
	char topic[258] = "vehicles/" ID "/";
	(void)state;
	size_t length = strlen(topic);
	memset(topic + length, 'x', sizeof(topic) - 1 - length);
	assert_int_equal(strlen(topic), 257);
	assert_int_equal(topic_of_vehicle(&vehicle, topic, &command_id), TOPIC_REFUSED);
	topic[256] = '\0';
	assert_int_equal(topic_of_vehicle(&vehicle, topic, &command_id), TOPIC_OWN);
}

static const struct {
	const char *filter;
	bool takes;
} filters[] = {
	{"$aws/commands/things/" ID "/#", true},
	{"$aws/commands/things/" ID "/executions/#", true},
	{"$aws/commands/things/" ID "/executions/+/#", true},
	{"$aws/commands/things/" ID "/executions/+/request/#", true},
	{"$aws/commands/things/" ID "/executions/+/request/json", true},
	{"$aws/commands/things/" ID "/executions/+/request/json/#", true},
	{"$aws/commands/things/" ID "/executions/+/request/+", true},
	{"$aws/commands/things/" ID "/+/+/+/+", true},
	{"$aws/commands/things/" ID "/executions/+/request", false},
	{"$aws/commands/things/" ID "/executions/+/request/json/x", false},
	{"$aws/commands/things/" ID "/executions/" COMMAND "/request/json", false},
	{"$aws/commands/things/" ID "/executions/+/request/cbor", false},
	{"$aws/commands/things/" ID "/executions/+/response/#", false},
	{"$aws/commands/things/" OTHER "/#", false},
	{"vehicles/" ID "/#", false},
};

static void knows_who_takes_commands(void **state)
{
	const struct uuid vehicle = id();
	(void)state;
	for (size_t i = 0; i < COUNT(filters); i++) {
		if (filter_takes_commands(&vehicle, filters[i].filter) != filters[i].takes)
			fail_msg("%s", filters[i].filter);
	}
}

static void claims_have_two_requests(void **state)
{
	(void)state;
	assert_int_equal(topic_of_claim("t", "$aws/certificates/create-from-csr/json"), TOPIC_CREATE_FROM_CSR);
	assert_int_equal(topic_of_claim("t", "$aws/provisioning-templates/t/provision/json"), TOPIC_PROVISION);
	assert_int_equal(topic_of_claim("t", "$aws/provisioning-templates/tt/provision/json"), TOPIC_REFUSED);
	assert_int_equal(topic_of_claim("t", "$aws/provisioning-templates/t/provision/json/accepted"), TOPIC_REFUSED);
	assert_int_equal(topic_of_claim("t", "$aws/provisioning-templates//provision/json"), TOPIC_REFUSED);
	assert_true(claim_may_subscribe("t", "$aws/provisioning-templates/t/provision/json/rejected"));
	assert_false(claim_may_subscribe("t", "$aws/provisioning-templates/t/provision/json/+"));
	assert_false(claim_may_subscribe("t", "$aws/provisioning-templates/+/provision/json/rejected"));
}

/* ---- options -------------------------------------------------------------------------------------------------- */

static void set_required(struct plugin_options *options)
{
	static const char *const names[] = {"telemetry_spool", "events_spool", "socket", "token_file"};
	options_init(options);
	for (size_t i = 0; i < COUNT(names); i++)
		assert_int_equal(options_set(options, names[i], "/x", NULL), RESULT_OK);
}

static void options_are_judged(void **state)
{
	static struct plugin_options options;
	struct note note;
	(void)state;
	options_init(&options);
	assert_int_equal(options_check(&options, &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, "plugin_opt_telemetry_spool"));
	set_required(&options);
	assert_int_equal(options_check(&options, &note), RESULT_OK);
	assert_int_equal(options_set(&options, "colour", "x", &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, "plugin_opt_colour"));
	assert_int_equal(options_set(&options, "messages_burst", "0", &note), RESULT_INVALID);
	assert_int_equal(options_set(&options, "messages_burst", "-1", &note), RESULT_INVALID);
	assert_int_equal(options_set(&options, "messages_burst", "1e3", &note), RESULT_INVALID);
	assert_int_equal(options_set(&options, "messages_burst", "", &note), RESULT_INVALID);
	assert_int_equal(options_set(&options, "messages_burst", "300", &note), RESULT_OK);
	assert_int_equal(options.flood.burst, 300);
	assert_int_equal(options_set(&options, "stale_refuse_seconds", "60", &note), RESULT_OK);
	assert_int_equal(options.stale_refuse_ms, 60000);
	assert_int_equal(options_set(&options, "stale_close_seconds", "30", &note), RESULT_OK);
	assert_int_equal(options_check(&options, &note), RESULT_INVALID);
	set_required(&options);
	assert_int_equal(options_set(&options, "template", "a/b", &note), RESULT_OK);
	assert_int_equal(options_check(&options, &note), RESULT_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vehicles_publish_what_is_theirs),
		cmocka_unit_test(topics_are_not_long),
		cmocka_unit_test(knows_who_takes_commands),
		cmocka_unit_test(claims_have_two_requests),
		cmocka_unit_test(options_are_judged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
