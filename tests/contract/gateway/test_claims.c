/* Claims ask, vinveild answers, and nobody else hears of it. */
#include "tests/contract/gateway/client.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CREATE	  "$aws/certificates/create-from-csr/json"
#define PROVISION "$aws/provisioning-templates/vinveil/provision/json"
#define VIN	  "WVWZZZ1JZXW000001"
#define REQUEST	  "{\"parameters\":{\"VIN\":\"" VIN "\"}}"

static struct fixture fixture;
static struct credential claim;

static int setup(void **state)
{
	(void)state;
	fixture_open(&fixture, NULL);
	make_claim(&fixture, "plant-7", &claim);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

static void enter(struct mqtt_client *client, const char *client_id)
{
	client_enter(client, &fixture, &claim, &(struct client_options){.client_id = client_id});
}

static void subscribe_all(struct mqtt_client *client)
{
	static const char *const filters[] = {CREATE,	 CREATE "/accepted",	CREATE "/rejected",
					      PROVISION, PROVISION "/accepted", PROVISION "/rejected"};
	for (size_t i = 0; i < COUNT(filters); i++)
		assert_int_equal(client_subscribe(client, filters[i]), 1);
}

static struct kept_claim last_claim(void)
{
	pthread_mutex_lock(&fixture.handler.mutex);
	struct kept_claim kept = fixture.handler.claims[fixture.handler.claim_count - 1];
	pthread_mutex_unlock(&fixture.handler.mutex);
	return kept;
}

static void answer(const struct gateway_caller *caller, const char *topic, const char *text)
{
	fixture.gateway->ops->answer(fixture.gateway, caller, topic, span_of_text(text));
}

static void may_do_nothing_else(void **state)
{
	static const char *const filters[] = {
		"#",
		"$aws/#",
		"$aws/certificates/#",
		"$aws/certificates/+/json",
		CREATE "/#",
		CREATE "/+",
		CREATE "/accepted/x",
		"$aws/provisioning-templates/+/provision/json/accepted",
		"$aws/provisioning-templates/other/provision/json/accepted",
		"vehicles/#",
		"$SYS/#",
		"$CONTROL/#",
		"$share/g/" CREATE "/accepted",
	};
	static const char *const topics[] = {
		CREATE "/accepted",
		PROVISION "/accepted",
		"$aws/provisioning-templates/other/provision/json",
		"vehicles/8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f11/signals",
		"$CONTROL/vinveil/v1",
		"anything",
	};
	struct mqtt_client client;
	(void)state;
	client_enter(&client, &fixture, &claim,
		     &(struct client_options){.client_id = "station", .version = MQTT_PROTOCOL_V5});
	for (size_t i = 0; i < COUNT(filters); i++) {
		if (client_subscribe(&client, filters[i]) != 0x87)
			fail_msg("%s is granted", filters[i]);
	}
	for (size_t i = 0; i < COUNT(topics); i++) {
		assert_true(client_publish(&client, topics[i], "{}", false));
		if (client.publish_reason != 0x87)
			fail_msg("%s is taken", topics[i]);
	}
	assert_true(client_publish(&client, CREATE, "{}", true));
	assert_int_equal(client.publish_reason, 0x87);
	assert_int_equal(count_claims(&fixture), 0);
	client_close(&client);
}

static void asks_and_is_answered_alone(void **state)
{
	struct mqtt_client asking;
	struct mqtt_client listening;
	(void)state;
	enter(&asking, "station-1");
	enter(&listening, "station-2");
	subscribe_all(&asking);
	subscribe_all(&listening);
	assert_true(client_publish(&asking, PROVISION, REQUEST, false));
	AWAIT(count_claims(&fixture) == 1);
	struct kept_claim kept = last_claim();
	assert_int_equal(kept.message.request, GATEWAY_PROVISION);
	assert_string_equal(kept.message.caller.client_id, "station-1");
	assert_string_equal(kept.message.template_name, "vinveil");
	assert_string_equal(kept.message.address, "127.0.0.1");
	assert_memory_equal(&kept.message.serial, &claim.serial, SERIAL_SIZE);
	assert_string_equal(kept.payload, REQUEST);
	answer(&kept.message.caller, PROVISION "/accepted", "{\"thingName\":\"x\"}");

	assert_true(client_publish(&listening, CREATE, "{\"certificateSigningRequest\":\"y\"}", false));
	AWAIT(count_claims(&fixture) == 2);
	kept = last_claim();
	assert_int_equal(kept.message.request, GATEWAY_CREATE_FROM_CSR);
	answer(&kept.message.caller, CREATE "/rejected", "{\"statusCode\":400}");

	/* Nor does what was asked come to those who subscribed to the requests' own topics. */
	CLIENT_AWAIT(&listening,
		     listening.received_count > 0 &&
			     strcmp(listening.received[listening.received_count - 1].topic, CREATE "/rejected") == 0);
	CLIENT_AWAIT(&asking, asking.received_count > 0 && strcmp(asking.received[asking.received_count - 1].topic,
								  PROVISION "/accepted") == 0);
	assert_string_equal(asking.received[asking.received_count - 1].payload, "{\"thingName\":\"x\"}");
	assert_int_equal(asking.received_count, 1);
	assert_int_equal(listening.received_count, 1);
	client_close(&asking);
	client_close(&listening);
}

static void an_answer_never_reaches_a_successor(void **state)
{
	struct mqtt_client first;
	struct mqtt_client second;
	(void)state;
	enter(&first, "station-1");
	assert_true(client_publish(&first, CREATE, "{}", false));
	AWAIT(count_claims(&fixture) == 3);
	struct kept_claim kept = last_claim();
	enter(&second, "station-1");
	subscribe_all(&second);
	answer(&kept.message.caller, CREATE "/accepted", "{\"secret\":1}");
	assert_true(client_publish(&second, CREATE, "{}", false));
	AWAIT(count_claims(&fixture) == 4);
	kept = last_claim();
	answer(&kept.message.caller, CREATE "/accepted", "{\"mine\":2}");
	CLIENT_AWAIT(&second, second.received_count > 0);
	assert_string_equal(second.received[0].payload, "{\"mine\":2}");
	client_close(&first);
	client_close(&second);
}

static void an_answer_is_not_kept_for_a_session_that_sleeps(void **state)
{
	const struct client_options keeping = {.client_id = "station-3", .keeps_session = true};
	struct mqtt_client client;
	(void)state;
	client_enter(&client, &fixture, &claim, &keeping);
	subscribe_all(&client);
	assert_true(client_publish(&client, CREATE, "{}", false));
	AWAIT(count_claims(&fixture) == 5);
	struct kept_claim kept = last_claim();
	client_close(&client);
	answer(&kept.message.caller, CREATE "/accepted", "{\"secret\":1}");
	client_enter(&client, &fixture, &claim, &keeping);
	assert_true(client_publish(&client, CREATE, "{}", false));
	AWAIT(count_claims(&fixture) == 6);
	kept = last_claim();
	answer(&kept.message.caller, CREATE "/accepted", "{\"mine\":2}");
	CLIENT_AWAIT(&client, client.received_count > 0);
	assert_string_equal(client.received[0].payload, "{\"mine\":2}");
	client_close(&client);
}

static void waits_for_vinveild_a_while(void **state)
{
	struct mqtt_client client;
	(void)state;
	gateway_stop(&fixture);
	enter(&client, "station-4");
	assert_true(client_publish(&client, PROVISION, REQUEST, false));
	gateway_start(&fixture);
	AWAIT(count_claims(&fixture) == 7);
	assert_string_equal(last_claim().payload, REQUEST);
	client_close(&client);
}

static void refuses_what_is_too_large(void **state)
{
	static char large[CHANNEL_PAYLOAD_MAX + 2];
	struct mqtt_client client;
	(void)state;
	memset(large, 'a', sizeof(large) - 1);
	enter(&client, "station-5");
	assert_false(client_publish(&client, CREATE, large, false));
	client_close(&client);
	assert_int_equal(count_claims(&fixture), 7);
}

static int call_socket(const char *path, const uint8_t *bytes, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char answer_byte;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(descriptor, (struct sockaddr *)&address, sizeof(address)) != 0)
		return -1;
	(void)!write(descriptor, bytes, size);
	int count = (int)read(descriptor, &answer_byte, 1); /* 0: hung up on */
	close(descriptor);
	return count;
}

static void hangs_up_on_nonsense(void **state)
{
	static const uint8_t nonsense[] = {0, 0, 0, 3, CHANNEL_HELLO, 0, 9};
	static const uint8_t early[] = {0, 0, 0, 1, CHANNEL_STATUS};
	static const uint8_t large[] = {0xff, 0xff, 0xff, 0xff, CHANNEL_CLAIM};
	char path[PATH_SIZE];
	struct stat status;
	(void)state;
	snprintf(path, sizeof(path), "%s/gateway.sock", fixture.directory);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	unsigned before = atomic_load(&fixture.notices[GATEWAY_NOTICE_PEER_NONSENSE]);
	assert_int_equal(call_socket(path, nonsense, sizeof(nonsense)), 0);
	assert_int_equal(call_socket(path, early, sizeof(early)), 0);
	assert_int_equal(call_socket(path, large, sizeof(large)), 0);
	assert_int_equal(atomic_load(&fixture.notices[GATEWAY_NOTICE_PEER_NONSENSE]), before + 3);
}

/* Somebody else's user: even where the file's mode would let it in. Only root can try. */
static void refuses_another_user(void **state)
{
	char path[PATH_SIZE];
	int status = 0;
	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s/gateway.sock", fixture.directory);
	assert_int_equal(chmod(fixture.directory, 0711), 0);
	assert_int_equal(chmod(path, 0666), 0);
	pid_t child = fork();
	if (child == 0)
		_exit(setuid(65534) == 0 && call_socket(path, (const uint8_t *)"", 0) == 0 ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(atomic_load(&fixture.notices[GATEWAY_NOTICE_PEER_REFUSED]), 1);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(may_do_nothing_else),
		cmocka_unit_test(asks_and_is_answered_alone),
		cmocka_unit_test(an_answer_never_reaches_a_successor),
		cmocka_unit_test(an_answer_is_not_kept_for_a_session_that_sleeps),
		cmocka_unit_test(waits_for_vinveild_a_while),
		cmocka_unit_test(refuses_what_is_too_large),
		cmocka_unit_test(hangs_up_on_nonsense),
		cmocka_unit_test(refuses_another_user),
	};
	if (!begin_program(argument_count, arguments))
		return 1;
	return cmocka_run_group_tests(tests, setup, teardown);
}
