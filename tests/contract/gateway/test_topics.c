/* What a vehicle may publish and subscribe to. */
#include "tests/contract/gateway/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFUSED	       0x80
#define NOT_AUTHORIZED 0x87

static struct fixture fixture;
static struct credential vehicle, other;
static struct uuid vehicle_id, other_id;

static int setup(void **state)
{
	(void)state;
	fixture_open(&fixture, &(struct fixture_options){.per_second = 10000, .burst = 10000});
	make_vehicle(&fixture, &vehicle, &vehicle_id);
	make_vehicle(&fixture, &other, &other_id);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

/* @ stands for the vehicle's Reference ID, ! for another's. */
static const char *topic(const char *pattern)
{
	static char text[GATEWAY_TOPIC_SIZE];
	const char *at = strchr(pattern, '@');
	const char *star = strchr(pattern, '!');
	const char *place = at ? at : star;
	if (!place)
		return pattern;
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(place - pattern), pattern, at ? vehicle.name : other.name,
		 place + 1);
	return text;
}

static const struct {
	const char *filter;
	bool is_allowed;
} filters[] = {
	{"#", false},
	{"+/+/signals", false},
	{"vehicles/#", false},
	{"vehicles/+/signals", false},
	{"vehicles/+/#", false},
	{"+/@/signals", false},
	{"+/@/#", false},
	{"vehicles/!/signals", false},
	{"vehicles/!/#", false},
	{"vehicles/@", false},
	{"vehicles/@x/signals", false},
	{"/vehicles/@/signals", false},
	{"$aws/#", false},
	{"$aws/iotfleetwise/#", false},
	{"$aws/iotfleetwise/vehicles/+/signals", false},
	{"$aws/iotfleetwise/vehicles/!/#", false},
	{"$aws/commands/things/+/#", false},
	{"$aws/commands/things/!/executions/+/request/json", false},
	{"$aws/certificates/create-from-csr/json/accepted", false},
	{"$aws/provisioning-templates/vinveil/provision/json/accepted", false},
	{"$SYS/#", false},
	{"$SYS/broker/clients/connected", false},
	{"$CONTROL/#", false},
	{"$CONTROL/vinveil/v1", false},
	{"$share/g/vehicles/@/#", false},
	{"$share/g/#", false},
	{"$share/g/$aws/commands/things/@/#", false},
	{"vehicles/@/#", true},
	{"vehicles/@/+", true},
	{"$aws/iotfleetwise/vehicles/@/#", true},
	{"$aws/commands/things/@/executions/+/request/json", true},
	{"$aws/commands/things/@/#", true},
};

static void subscribes_under_its_own_name_only(void **state)
{
	static const int versions[] = {MQTT_PROTOCOL_V311, MQTT_PROTOCOL_V5};
	(void)state;
	for (size_t v = 0; v < COUNT(versions); v++) {
		struct mqtt_client client;
		client_enter(&client, &fixture, &vehicle, &(struct client_options){.version = versions[v]});
		for (size_t i = 0; i < COUNT(filters); i++) {
			int granted = client_subscribe(&client, topic(filters[i].filter));
			int refusal = versions[v] == MQTT_PROTOCOL_V5 ? NOT_AUTHORIZED : REFUSED;
			if (granted != (filters[i].is_allowed ? 1 : refusal))
				fail_msg("%s: %d", filters[i].filter, granted);
		}
		client_close(&client);
	}
}

static const struct {
	const char *topic;
	bool is_allowed;
} topics[] = {
	{"vehicles/!/signals", false},
	{"vehicles/@", false},
	{"signals", false},
	{"$aws/iotfleetwise/vehicles/!/signals", false},
	{"$aws/iotfleetwise/vehicles/@/collection_schemes", false},
	{"$aws/iotfleetwise/vehicles/@/decoder_manifests", false},
	{"$aws/commands/things/!/executions/8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f11/response/json", false},
	{"$aws/commands/things/@/executions/8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f11/request/json", false},
	{"$aws/commands/things/@/executions/1/response/json", false},
	{"$aws/commands/things/@/executions/8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f11/response/json/accepted", false},
	{"$aws/certificates/create-from-csr/json", false},
	{"$aws/provisioning-templates/vinveil/provision/json", false},
	{"$CONTROL/vinveil/v1", false},
	{"$CONTROL/dynamic-security/v1", false},
	{"$SYS/broker/clients/connected", false},
	{"vehicles/@/signals", true},
	{"vehicles/@/anything/else", true},
	{"$aws/iotfleetwise/vehicles/@/signals", true},
	{"$aws/iotfleetwise/vehicles/@/checkins", true},
	{"$aws/commands/things/@/executions/8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f11/response/json", true},
};

static void publishes_under_its_own_name_only(void **state)
{
	struct mqtt_client client;
	(void)state;
	client_enter(&client, &fixture, &vehicle, &(struct client_options){.version = MQTT_PROTOCOL_V5});
	for (size_t i = 0; i < COUNT(topics); i++) {
		assert_true(client_publish(&client, topic(topics[i].topic), "{}", false));
		bool was_allowed = client.publish_reason < REFUSED;
		if (was_allowed != topics[i].is_allowed)
			fail_msg("%s: %d", topics[i].topic, client.publish_reason);
	}
	client_close(&client);
	assert_int_equal(count_telemetry(&fixture, &vehicle_id, "{}"), 2);
	assert_int_equal(count_telemetry(&fixture, &other_id, "{}"), 0);
}

static void cannot_tell_the_plugin_anything(void **state)
{
	static const uint8_t admit[] = {
		GATEWAY_PROTOCOL_VERSION, CONTROL_ADMIT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	struct mqtt_client client;
	(void)state;
	client_enter(&client, &fixture, &vehicle, NULL);
	mosquitto_publish(client.mosquitto, NULL, GATEWAY_CONTROL_TOPIC, sizeof(admit), admit, 1, false);
	CLIENT_AWAIT(&client, client.acknowledged > 0 || client.is_down);
	client_close(&client);
	assert_true(is_admitted(&fixture, &vehicle, NULL));
}

/* MQTT 3 cannot be told why: its connection ends, rather than that it takes an acknowledgement for what it is not. */
static void retains_nothing(void **state)
{
	struct mqtt_client client;
	(void)state;
	client_enter(&client, &fixture, &vehicle, &(struct client_options){.version = MQTT_PROTOCOL_V5});
	assert_true(client_publish(&client, topic("vehicles/@/signals"), "\"retained\"", true));
	assert_int_equal(client.publish_reason, NOT_AUTHORIZED);
	assert_true(client_publish(&client, topic("vehicles/@/else"), "\"retained\"", true));
	assert_int_equal(client.publish_reason, NOT_AUTHORIZED);
	client_close(&client);
	client_enter(&client, &fixture, &vehicle, NULL);
	assert_false(client_publish(&client, topic("vehicles/@/signals"), "\"retained\"", true));
	client_close(&client);
	client_enter(&client, &fixture, &vehicle, NULL);
	assert_int_equal(client_subscribe(&client, topic("vehicles/@/#")), 1);
	assert_true(client_publish(&client, topic("vehicles/@/else"), "now", false));
	CLIENT_AWAIT(&client, client.received_count > 0);
	assert_string_equal(client.received[0].payload, "now");
	client_close(&client);
	assert_int_equal(count_telemetry(&fixture, &vehicle_id, "retained"), 0);
}

/* Without a farewell, so that the broker would send its will. */
static void vanish(struct mqtt_client *client)
{
	close(mosquitto_socket(client->mosquitto));
	mosquitto_destroy(client->mosquitto);
}

static void publishes_no_will(void **state)
{
	static const char *const wills[] = {"vehicles/@/signals", "vehicles/@/will", "vehicles/!/signals",
					    "$aws/iotfleetwise/vehicles/@/signals"};
	(void)state;
	for (size_t i = 0; i < COUNT(wills); i++) {
		struct mqtt_client client;
		size_t ends = count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &vehicle_id);
		client_enter(&client, &fixture, &vehicle,
			     &(struct client_options){.keeps_session = true, .will_topic = topic(wills[i])});
		vanish(&client);
		AWAIT(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &vehicle_id) > ends);
		client_enter(&client, &fixture, &vehicle, &(struct client_options){.keeps_session = true});
		assert_int_equal(client_subscribe(&client, topic("vehicles/@/#")), 1);
		assert_int_equal(client_subscribe(&client, topic("$aws/iotfleetwise/vehicles/@/#")), 1);
		assert_true(client_publish(&client, topic("vehicles/@/mark"), "mark", false));
		CLIENT_AWAIT(&client, client.received_count > 0);
		assert_string_equal(client.received[0].payload, "mark");
		client_close(&client);
	}
	/* The same when it is pushed off by a connection of its own. */
	struct mqtt_client first;
	struct mqtt_client second;
	client_enter(&first, &fixture, &vehicle, &(struct client_options){.will_topic = topic("vehicles/@/signals")});
	client_enter(&second, &fixture, &vehicle, NULL);
	CLIENT_AWAIT(&first, first.is_down);
	client_close(&first);
	client_close(&second);
	assert_int_equal(count_telemetry(&fixture, &vehicle_id, "will"), 0);
}

static void reads_only_its_own(void **state)
{
	struct mqtt_client reader;
	struct mqtt_client writer;
	(void)state;
	client_enter(&reader, &fixture, &vehicle, NULL);
	client_enter(&writer, &fixture, &other, NULL);
	assert_int_equal(client_subscribe(&reader, topic("vehicles/@/#")), 1);
	assert_true(client_publish(&writer, topic("vehicles/!/signals"), "other's", false));
	assert_true(client_publish(&writer, topic("vehicles/@/signals"), "forged", false));
	assert_true(client_publish(&reader, topic("vehicles/@/signals"), "mine", false));
	CLIENT_AWAIT(&reader, reader.received_count > 0);
	assert_string_equal(reader.received[0].payload, "mine");
	client_close(&reader);
	client_close(&writer);
	assert_int_equal(count_telemetry(&fixture, &vehicle_id, "forged"), 0);
	assert_int_equal(count_telemetry(&fixture, &other_id, "other's"), 1);
}

static void subscribes_to_so_much_and_no_more(void **state)
{
	struct mqtt_client client;
	char filter[GATEWAY_TOPIC_SIZE];
	(void)state;
	client_enter(&client, &fixture, &vehicle, NULL);
	for (int i = 0; i < 64; i++) {
		snprintf(filter, sizeof(filter), "vehicles/%s/%d", vehicle.name, i);
		assert_int_equal(client_subscribe(&client, filter), 1);
	}
	assert_int_equal(client_subscribe(&client, topic("vehicles/@/more")), REFUSED);
	client_close(&client);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(subscribes_under_its_own_name_only),
		cmocka_unit_test(publishes_under_its_own_name_only),
		cmocka_unit_test(cannot_tell_the_plugin_anything),
		cmocka_unit_test(retains_nothing),
		cmocka_unit_test(publishes_no_will),
		cmocka_unit_test(reads_only_its_own),
		cmocka_unit_test(subscribes_to_so_much_and_no_more),
	};
	if (!begin_program(argument_count, arguments))
		return 1;
	return cmocka_run_group_tests(tests, setup, teardown);
}
