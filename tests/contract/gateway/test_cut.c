/* Live sessions end, old certificates never come back, and nobody is let in by a list that nobody keeps. */
#include "tests/contract/gateway/client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct fixture fixture;

static int setup(void **state)
{
	(void)state;
	fixture_open(&fixture, NULL);
	return 0;
}

static int setup_short(void **state)
{
	(void)state;
	fixture_open(&fixture, &(struct fixture_options){.stale_refuse_s = 2, .stale_close_s = 4});
	return 0;
}

static int setup_alone(void **state)
{
	(void)state;
	fixture_open(&fixture, &(struct fixture_options){.without_gateway = true});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

static bool is_live(struct mqtt_client *client)
{
	return client_publish(client, "vehicles/0/x", "?", false); /* refused, but answered */
}

static void cuts_a_revoked_session(void **state)
{
	struct credential vehicle;
	struct credential bystander;
	struct uuid id;
	struct uuid bystander_id;
	struct mqtt_client client;
	struct mqtt_client other;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	make_vehicle(&fixture, &bystander, &bystander_id);
	client_enter(&client, &fixture, &vehicle, NULL);
	client_enter(&other, &fixture, &bystander, NULL);
	deny(&fixture, &vehicle.serial, &id);
	CLIENT_AWAIT(&client, client.is_down);
	assert_true(is_live(&other));
	assert_false(is_admitted(&fixture, &vehicle, NULL));
	client_close(&client);
	client_close(&other);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &id) == 1);
}

/* Two certificates may live: the end of one is not the end of a session with the other. */
static void leaves_the_session_of_another_certificate(void **state)
{
	struct credential vehicle;
	struct uuid id;
	struct mqtt_client client;
	struct serial older = {{0x41, 1}};
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	client_enter(&client, &fixture, &vehicle, NULL);
	deny(&fixture, &older, &id);
	deny(&fixture, &vehicle.serial, NULL); /* as a marker: it ends this one, whatever vehicle it names */
	CLIENT_AWAIT(&client, client.is_down);
	client_close(&client);
	make_vehicle(&fixture, &vehicle, &id);
	client_enter(&client, &fixture, &vehicle, NULL);
	deny(&fixture, &older, &id);
	fixture.gateway->ops->publish(fixture.gateway, &id, "mark", span_of_text("mark"));
	CLIENT_AWAIT(&client, client.received_count > 0 || client.is_down);
	assert_false(client.is_down);
	client_close(&client);
}

static void cuts_over_web_sockets(void **state)
{
	struct credential vehicle;
	struct uuid id;
	uint8_t packet[16];
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	struct wire *wire = wire_open(&fixture, &vehicle, true);
	assert_non_null(wire);
	assert_int_equal(wire_connect(wire, vehicle.name), 0);
	deny(&fixture, &vehicle.serial, &id);
	assert_int_equal(wire_receive(wire, packet, sizeof(packet)), 0);
	wire_close(wire);
	wire = wire_open(&fixture, &vehicle, true);
	if (wire)
		assert_int_not_equal(wire_connect(wire, vehicle.name), 0);
	wire_close(wire);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &id) == 1);
}

static void cuts_a_suspended_vehicle(void **state)
{
	struct credential vehicle;
	struct uuid id;
	struct mqtt_client client;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	client_enter(&client, &fixture, &vehicle, NULL);
	suspend(&fixture, &id, true);
	CLIENT_AWAIT(&client, client.is_down);
	client_close(&client);
	assert_false(is_admitted(&fixture, &vehicle, NULL));
	suspend(&fixture, &id, false);
	AWAIT(is_admitted(&fixture, &vehicle, NULL));
}

static void cuts_a_revoked_claim(void **state)
{
	struct credential claim;
	struct credential other;
	struct mqtt_client client;
	struct mqtt_client bystander;
	(void)state;
	make_claim(&fixture, "plant-7", &claim);
	make_claim(&fixture, "plant-8", &other);
	client_enter(&client, &fixture, &claim, &(struct client_options){.client_id = "station-1"});
	client_enter(&bystander, &fixture, &other, &(struct client_options){.client_id = "station-2"});
	deny(&fixture, &claim.serial, NULL);
	CLIENT_AWAIT(&client, client.is_down);
	assert_true(is_live(&bystander));
	client_close(&client);
	client_close(&bystander);
}

/* A session that outlives its connection is no way around: who comes back to it is refused. */
static void refuses_a_revoked_session_that_slept(void **state)
{
	const struct client_options keeping = {.keeps_session = true};
	struct credential vehicle;
	struct uuid id;
	struct mqtt_client client;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	client_enter(&client, &fixture, &vehicle, &keeping);
	client_close(&client);
	AWAIT(count_events(&fixture, GATEWAY_VEHICLE_DISCONNECTED, &id) == 1);
	deny(&fixture, &vehicle.serial, &id);
	AWAIT(!is_admitted(&fixture, &vehicle, &keeping));
}

static void has_the_whole_list_after_vinveild_was_away(void **state)
{
	struct credential vehicle;
	struct credential suspended;
	struct uuid id;
	struct uuid suspended_id;
	struct mqtt_client client;
	struct mqtt_client sleeper;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	make_vehicle(&fixture, &suspended, &suspended_id);
	client_enter(&client, &fixture, &vehicle, NULL);
	client_enter(&sleeper, &fixture, &suspended, NULL);
	gateway_stop(&fixture);
	deny(&fixture, &vehicle.serial, &id);
	suspend(&fixture, &suspended_id, true);
	assert_true(is_live(&client));
	gateway_start(&fixture);
	CLIENT_AWAIT(&client, client.is_down);
	CLIENT_AWAIT(&sleeper, sleeper.is_down);
	client_close(&client);
	client_close(&sleeper);
	assert_false(is_admitted(&fixture, &vehicle, NULL));
	assert_false(is_admitted(&fixture, &suspended, NULL));
}

static void has_the_whole_list_after_the_broker_died(void **state)
{
	struct credential vehicle;
	struct credential good;
	struct uuid id;
	struct uuid good_id;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	make_vehicle(&fixture, &good, &good_id);
	deny(&fixture, &vehicle.serial, &id);
	AWAIT(!is_admitted(&fixture, &vehicle, NULL));
	broker_kill(&fixture);
	broker_start(&fixture);
	AWAIT(is_admitted(&fixture, &good, NULL));
	assert_false(is_admitted(&fixture, &vehicle, NULL));
}

/* More is told than the queue holds, while the broker does not read. */
static void reads_the_list_anew_when_the_queue_overflows(void **state)
{
	struct credential vehicle;
	struct uuid id;
	struct mqtt_client client;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	client_enter(&client, &fixture, &vehicle, NULL);
	unsigned scans = fixture.registry.scans;
	kill(fixture.broker, SIGSTOP);
	for (uint32_t i = 0; i < 60000; i++) {
		struct serial serial = {{0x42}};
		memcpy(serial.bytes + 4, &i, sizeof(i));
		fixture.gateway->ops->activate(fixture.gateway, &serial);
	}
	deny(&fixture, &vehicle.serial, &id);
	kill(fixture.broker, SIGCONT);
	CLIENT_AWAIT(&client, client.is_down);
	client_close(&client);
	AWAIT(fixture.registry.scans > scans);
	assert_false(is_admitted(&fixture, &vehicle, NULL));
}

/* A process that is stopped holds its connections: only what it does not say tells. */
static void tells_of_a_broker_that_is_silent(void **state)
{
	(void)state;
	await_list(&fixture);
	kill(fixture.broker, SIGSTOP);
	AWAIT(atomic_load(&fixture.notices[GATEWAY_NOTICE_SILENT]) == 1);
	struct gateway_status status;
	fixture.gateway->ops->get_status(fixture.gateway, &status);
	assert_false(status.is_connected);
	kill(fixture.broker, SIGCONT);
	AWAIT(atomic_load(&fixture.notices[GATEWAY_NOTICE_HEARD]) == 1);
	await_list(&fixture);
}

/* Hangs up on whoever calls, as a broker that ends does. */
static bool is_told_that_nobody_is_there(int listener)
{
	int descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (descriptor >= 0)
		close(descriptor);
	return atomic_load(&fixture.notices[GATEWAY_NOTICE_DISCONNECTED]) > 0;
}

/* Only who has said so has refused our token: a broker that ends, or is about to begin, is away. */
static void tells_a_refusal_from_an_absence(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	(void)state;
	broker_kill(&fixture);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/broker.sock", fixture.directory);
	unlink(address.sun_path);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	gateway_start(&fixture);
	AWAIT(is_told_that_nobody_is_there(listener));
	assert_int_equal(atomic_load(&fixture.notices[GATEWAY_NOTICE_REFUSED]), 0);
	gateway_stop(&fixture);
	close(listener);
	unlink(address.sun_path);
	broker_start(&fixture);
	change_token(&fixture);
	gateway_start(&fixture);
	AWAIT(atomic_load(&fixture.notices[GATEWAY_NOTICE_REFUSED]) > 0);
}

static void lets_nobody_in_before_it_has_a_list(void **state)
{
	struct credential vehicle;
	struct uuid id;
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	assert_false(is_admitted(&fixture, &vehicle, NULL));
	fixture.registry.is_away = true;
	gateway_start(&fixture);
	AWAIT(atomic_load(&fixture.notices[GATEWAY_NOTICE_LIST_UNAVAILABLE]) > 0);
	assert_false(is_admitted(&fixture, &vehicle, NULL));
	pthread_mutex_lock(&fixture.registry.mutex);
	fixture.registry.is_away = false;
	pthread_mutex_unlock(&fixture.registry.mutex);
	AWAIT(is_admitted(&fixture, &vehicle, NULL));
}

static void a_stale_list_first_refuses_and_then_closes(void **state)
{
	struct credential vehicle;
	struct credential other;
	struct uuid id;
	struct uuid other_id;
	struct mqtt_client client;
	uint8_t packet[16];
	(void)state;
	make_vehicle(&fixture, &vehicle, &id);
	make_vehicle(&fixture, &other, &other_id);
	client_enter(&client, &fixture, &vehicle, NULL);
	struct wire *wire = wire_open(&fixture, &other, true);
	assert_non_null(wire);
	assert_int_equal(wire_connect(wire, other.name), 0);
	/* As long as it is heard, its age does not grow. */
	int64_t begin_ms = now_ms();
	CLIENT_AWAIT(&client, now_ms() - begin_ms > 2500);
	assert_true(is_live(&client));
	gateway_stop(&fixture);
	int64_t stopped_ms = now_ms();
	struct credential third;
	struct uuid third_id;
	make_vehicle(&fixture, &third, &third_id);
	assert_true(is_admitted(&fixture, &third, NULL));
	AWAIT(!is_admitted(&fixture, &third, NULL));
	assert_true(now_ms() - stopped_ms > 900);
	assert_true(is_live(&client));
	CLIENT_AWAIT(&client, client.is_down);
	assert_true(now_ms() - stopped_ms > 2900);
	assert_int_equal(wire_receive(wire, packet, sizeof(packet)), 0);
	wire_close(wire);
	client_close(&client);
	gateway_start(&fixture);
	AWAIT(is_admitted(&fixture, &third, NULL));
}

static int compare(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a;
	int64_t right = *(const int64_t *)b;
	return left < right ? -1 : left > right;
}

static int64_t now_us(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* Printed, not judged: from revoke() to the end of the session, as the client sees it. */
static void measures_the_cut(void **state)
{
	int64_t took_us[50];
	uint8_t packet[16];
	(void)state;
	for (size_t i = 0; i < COUNT(took_us); i++) {
		struct credential vehicle;
		struct uuid id;
		make_vehicle(&fixture, &vehicle, &id);
		struct wire *wire = wire_open(&fixture, &vehicle, false);
		assert_non_null(wire);
		assert_int_equal(wire_connect(wire, vehicle.name), 0);
		int64_t begin_us = now_us();
		deny(&fixture, &vehicle.serial, &id);
		assert_int_equal(wire_receive(wire, packet, sizeof(packet)), 0);
		took_us[i] = now_us() - begin_us;
		wire_close(wire);
	}
	qsort(took_us, COUNT(took_us), sizeof(took_us[0]), compare);
	print_message("revoke to end of session: median %lld us, worst of %zu %lld us\n",
		      (long long)took_us[COUNT(took_us) / 2], COUNT(took_us), (long long)took_us[COUNT(took_us) - 1]);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_a_revoked_session),
		cmocka_unit_test(leaves_the_session_of_another_certificate),
		cmocka_unit_test(cuts_over_web_sockets),
		cmocka_unit_test(cuts_a_suspended_vehicle),
		cmocka_unit_test(cuts_a_revoked_claim),
		cmocka_unit_test(refuses_a_revoked_session_that_slept),
		cmocka_unit_test(has_the_whole_list_after_vinveild_was_away),
		cmocka_unit_test(has_the_whole_list_after_the_broker_died),
		cmocka_unit_test(reads_the_list_anew_when_the_queue_overflows),
		cmocka_unit_test(tells_of_a_broker_that_is_silent),
		cmocka_unit_test(measures_the_cut),
	};
	const struct CMUnitTest alone[] = {cmocka_unit_test(lets_nobody_in_before_it_has_a_list)};
	const struct CMUnitTest away[] = {cmocka_unit_test(tells_a_refusal_from_an_absence)};
	const struct CMUnitTest stale[] = {cmocka_unit_test(a_stale_list_first_refuses_and_then_closes)};
	if (!begin_program(argument_count, arguments))
		return 1;
	int failures = cmocka_run_group_tests(tests, setup, teardown);
	failures += cmocka_run_group_tests(alone, setup_alone, teardown);
	failures += cmocka_run_group_tests(away, setup_alone, teardown);
	return failures + cmocka_run_group_tests(stale, setup_short, teardown);
}
