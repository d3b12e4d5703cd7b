/* Who is let in, and who is not. */
#include "tests/contract/gateway/client.h"

#include <stdio.h>
#include <string.h>

static struct fixture fixture;

static int setup(void **state)
{
	(void)state;
	fixture_open(&fixture, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

/* A specimen that is a vehicle's in all but what the caller changes. */
struct odd {
	char name[UUID_TEXT_SIZE], alternative[64];
	struct specimen specimen;
};

static struct specimen *odd_vehicle(struct odd *odd)
{
	struct uuid id = random_uuid();
	uuid_format(&id, odd->name);
	snprintf(odd->alternative, sizeof(odd->alternative), "URI:urn:uuid:%s", odd->name);
	odd->specimen =
		(struct specimen){.common_name = odd->name, .alternative = odd->alternative, .purpose = "clientAuth"};
	return &odd->specimen;
}

static void assert_refused(const struct authority *authority, const struct specimen *specimen)
{
	struct credential credential;
	make_specimen(&fixture, authority, specimen, &credential);
	if (is_admitted(&fixture, &credential, NULL))
		fail_msg("admitted: %s, %s, %s, %d", specimen->common_name,
			 specimen->alternative ? specimen->alternative : "no other name",
			 specimen->purpose ? specimen->purpose : "no purpose", specimen->is_ca);
}

static void refuses_certificates_that_are_no_vehicles(void **state)
{
	struct odd odd;
	(void)state;
	odd_vehicle(&odd)->begins_s = -7200;
	odd.specimen.ends_s = -3600;
	assert_refused(&fixture.issuer, &odd.specimen);
	odd_vehicle(&odd)->begins_s = 1800;
	assert_refused(&fixture.issuer, &odd.specimen);
	assert_refused(&fixture.other, odd_vehicle(&odd));
	assert_refused(&fixture.server, odd_vehicle(&odd));
	odd_vehicle(&odd)->purpose = "serverAuth";
	assert_refused(&fixture.issuer, &odd.specimen);
	odd_vehicle(&odd)->purpose = NULL;
	assert_refused(&fixture.issuer, &odd.specimen);
	odd_vehicle(&odd)->is_ca = true;
	assert_refused(&fixture.issuer, &odd.specimen);
	odd_vehicle(&odd)->alternative = NULL;
	assert_refused(&fixture.issuer, &odd.specimen);
	odd_vehicle(&odd)->alternative = "URI:urn:uuid:00000000-0000-4000-8000-000000000000";
	assert_refused(&fixture.issuer, &odd.specimen);
	odd_vehicle(&odd);
	snprintf(odd.alternative, sizeof(odd.alternative), "URI:urn:uuid:%s,DNS:x", odd.name);
	assert_refused(&fixture.issuer, &odd.specimen);
}

static void refuses_names_in_capitals(void **state)
{
	struct odd odd;
	(void)state;
	odd_vehicle(&odd);
	memcpy(odd.name, "ABCDEFAB", 8);
	snprintf(odd.alternative, sizeof(odd.alternative), "URI:urn:uuid:%s", odd.name);
	assert_refused(&fixture.issuer, &odd.specimen);
}

static void admits_a_vehicle_under_its_own_name_only(void **state)
{
	struct credential vehicle;
	struct credential other;
	struct uuid id;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	make_vehicle(&fixture, &other, &id);
	assert_false(is_admitted(&fixture, &vehicle, &(struct client_options){.client_id = other.name}));
	assert_false(is_admitted(&fixture, &vehicle, &(struct client_options){.client_id = "vinveild"}));
	assert_false(is_admitted(&fixture, &vehicle, &(struct client_options){.client_id = "x"}));
	assert_true(is_admitted(&fixture, &vehicle, NULL));
	assert_true(is_admitted(&fixture, &vehicle, &(struct client_options){.version = MQTT_PROTOCOL_V5}));
	assert_true(is_admitted(&fixture, &vehicle, &(struct client_options){.user_name = "whatever"}));
}

static void refuses_who_has_no_certificate(void **state)
{
	(void)state;
	assert_false(is_admitted(&fixture, NULL,
				 &(struct client_options){.client_id = "vinveild", .user_name = "vinveild"}));
	struct wire *wire = wire_open(&fixture, NULL, true);
	if (wire)
		assert_int_equal(wire_connect(wire, "vinveild"), -1);
	wire_close(wire);
}

/* Over the UNIX socket: only vinveild, only with its token. */
static int connect_platform(const char *client_id, const char *user_name, const char *password)
{
	char path[PATH_SIZE];
	struct mqtt_client client = {.connack = -1};
	snprintf(path, sizeof(path), "%s/broker.sock", fixture.directory);
	client.mosquitto = mosquitto_new(client_id, true, &client);
	mosquitto_username_pw_set(client.mosquitto, user_name, password);
	assert_int_equal(mosquitto_connect(client.mosquitto, path, 0, 60), MOSQ_ERR_SUCCESS);
	while (mosquitto_loop(client.mosquitto, 100, 1) == MOSQ_ERR_SUCCESS)
		continue;
	mosquitto_destroy(client.mosquitto);
	return client.connack;
}

static void refuses_who_is_not_vinveild_at_its_socket(void **state)
{
	static const char wrong[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
	(void)state;
	assert_int_not_equal(connect_platform("vinveild", "vinveild", wrong), 0);
	assert_int_not_equal(connect_platform("vinveild", "vinveild", NULL), 0);
	assert_int_not_equal(connect_platform("vinveild", NULL, NULL), 0);
	assert_int_not_equal(connect_platform("x", "vinveild", wrong), 0);
}

static void refuses_what_the_registry_denies(void **state)
{
	struct credential vehicle;
	struct credential other;
	struct uuid id;
	struct uuid other_id;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	make_vehicle(&fixture, &other, &other_id);
	assert_true(is_admitted(&fixture, &vehicle, NULL));
	deny(&fixture, &vehicle.serial, &id);
	AWAIT(!is_admitted(&fixture, &vehicle, NULL));
	assert_true(is_admitted(&fixture, &other, NULL));
	suspend(&fixture, &other_id, true);
	AWAIT(!is_admitted(&fixture, &other, NULL));
	suspend(&fixture, &other_id, false);
	AWAIT(is_admitted(&fixture, &other, NULL));
	assert_false(is_admitted(&fixture, &vehicle, NULL));
	fixture.gateway->ops->activate(fixture.gateway, &vehicle.serial);
	AWAIT(is_admitted(&fixture, &vehicle, NULL));
}

/* One thread admits a certificate, another revokes it, and tells first: the order of telling is not that of the
 * registry. */
static void admits_nothing_that_was_revoked_meanwhile(void **state)
{
	struct credential vehicle;
	struct credential other;
	struct uuid id;
	struct uuid other_id;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	make_vehicle(&fixture, &other, &other_id);
	deny(&fixture, &vehicle.serial, &id);
	deny(&fixture, &other.serial, &other_id);
	AWAIT(!is_admitted(&fixture, &other, NULL));
	pthread_mutex_lock(&fixture.registry.mutex);
	fixture.registry.revoked = vehicle.serial;
	pthread_mutex_unlock(&fixture.registry.mutex);
	fixture.gateway->ops->activate(fixture.gateway, &vehicle.serial);
	fixture.gateway->ops->activate(fixture.gateway, &other.serial);
	AWAIT(is_admitted(&fixture, &other, NULL));
	assert_false(is_admitted(&fixture, &vehicle, NULL));
}

static void knows_claims(void **state)
{
	struct credential claim;
	struct credential other;
	(void)state;
	make_claim(&fixture, "plant-7", &claim);
	assert_true(is_admitted(&fixture, &claim, &(struct client_options){.client_id = "station-12"}));
	assert_false(is_admitted(&fixture, &claim,
				 &(struct client_options){.client_id = "8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f11"}));
	assert_false(is_admitted(&fixture, &claim,
				 &(struct client_options){.client_id = "8F7F3B2E-0C7A-4C58-9D59-0A4A5B9D8F11"}));
	assert_false(is_admitted(&fixture, &claim, &(struct client_options){.client_id = "WVWZZZ1JZXW000001"}));
	assert_false(is_admitted(&fixture, &claim, &(struct client_options){.client_id = "vinveild"}));
	assert_false(is_admitted(&fixture, &claim, &(struct client_options){.client_id = "a b"}));
	make_claim(&fixture, "Plant 7", &other);
	assert_false(is_admitted(&fixture, &other, &(struct client_options){.client_id = "station-12"}));
	deny(&fixture, &claim.serial, NULL);
	AWAIT(!is_admitted(&fixture, &claim, &(struct client_options){.client_id = "station-12"}));
}

/* CONNECT of MQTT 5 that asks for an authentication of its own. */
static void refuses_extended_authentication(void **state)
{
	static const uint8_t connect[] = {0x10, 17 + 36 + 3, 0,	    4,	  'M', 'Q', 'T', 'T', 5, 2,
					  0,	60,	     4 + 0, 0x15, 0,   1,   'X', 0,   36};
	uint8_t packet[128];
	struct credential vehicle;
	struct uuid id;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	struct wire *wire = wire_open(&fixture, &vehicle, false);
	assert_non_null(wire);
	memcpy(packet, connect, sizeof(connect));
	memcpy(packet + sizeof(connect), vehicle.name, 36);
	packet[1] = (uint8_t)(sizeof(connect) + 36 - 2);
	wire_send(wire, packet, sizeof(connect) + 36);
	size_t size = wire_receive(wire, packet, sizeof(packet));
	assert_true(size == 0 || (packet[0] == 0x20 && packet[3] >= 0x80));
	wire_close(wire);
	assert_int_equal(count_events(&fixture, GATEWAY_VEHICLE_CONNECTED, &id), 0);
}

static void knows_vehicles_over_web_sockets(void **state)
{
	struct credential vehicle;
	struct credential other;
	struct uuid id;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	make_vehicle(&fixture, &other, &id);
	struct wire *wire = wire_open(&fixture, &vehicle, true);
	assert_non_null(wire);
	assert_int_equal(wire_connect(wire, vehicle.name), 0);
	wire_close(wire);
	wire = wire_open(&fixture, &vehicle, true);
	assert_non_null(wire);
	assert_int_not_equal(wire_connect(wire, other.name), 0);
	wire_close(wire);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_certificates_that_are_no_vehicles),
		cmocka_unit_test(refuses_names_in_capitals),
		cmocka_unit_test(admits_a_vehicle_under_its_own_name_only),
		cmocka_unit_test(refuses_who_has_no_certificate),
		cmocka_unit_test(refuses_who_is_not_vinveild_at_its_socket),
		cmocka_unit_test(refuses_what_the_registry_denies),
		cmocka_unit_test(admits_nothing_that_was_revoked_meanwhile),
		cmocka_unit_test(knows_claims),
		cmocka_unit_test(refuses_extended_authentication),
		cmocka_unit_test(knows_vehicles_over_web_sockets),
	};
	if (!begin_program(argument_count, arguments))
		return 1;
	return cmocka_run_group_tests(tests, setup, teardown);
}
