/* The plugin's state over a broker that only remembers, with a clock that is set by hand. */
#include "programs/mosquitto-plugin/gateway.h"

#include "../cmocka_all.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SOON  INT64_C(1800000000000)

static struct gateway gateway;
static struct plugin_options options;
static char directory[64];
static int64_t monotonic;

static struct {
	unsigned kicks, publications, subscriptions;
	char kicked[GATEWAY_CLIENT_ID_SIZE], addressee[GATEWAY_CLIENT_ID_SIZE], topic[GATEWAY_TOPIC_SIZE];
	int qos;
	char log[256];
} broker;

static int64_t now(struct clock *clock)
{
	(void)clock;
	return SOON - 1000;
}

static int64_t passed(struct clock *clock)
{
	(void)clock;
	return monotonic;
}

static struct clock hand = {.now_ms = now, .monotonic_ms = passed};

/* As Mosquitto does over TLS: it tells of the end before it returns. */
static void kick(void *context, const char *client_id)
{
	(void)context;
	broker.kicks++;
	snprintf(broker.kicked, sizeof(broker.kicked), "%s", client_id);
	gateway_lose(&gateway, sessions_find_name(&gateway.sessions, client_id)->client);
}

static void publish(void *context, const char *client_id, const char *topic, struct span payload, int qos)
{
	(void)context;
	(void)payload;
	broker.publications++;
	broker.qos = qos;
	snprintf(broker.addressee, sizeof(broker.addressee), "%s", client_id ? client_id : "who has subscribed");
	snprintf(broker.topic, sizeof(broker.topic), "%s", topic);
}

static int count_subscriptions(void *context, const void *client)
{
	(void)context;
	(void)client;
	return (int)broker.subscriptions;
}

static void write_log(void *context, bool is_warning, const char *text)
{
	(void)context;
	(void)is_warning;
	assert_null(strstr(text, "WVWZZZ1JZXW000001"));
	snprintf(broker.log, sizeof(broker.log), "%s", text);
}

static const struct broker_ops broker_ops = {
	.kick = kick, .publish = publish, .count_subscriptions = count_subscriptions, .log = write_log};

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

static int setup(void **state)
{
	struct note note = {0};
	(void)state;
	memset(&broker, 0, sizeof(broker));
	monotonic = 1000;
	snprintf(directory, sizeof(directory), "/tmp/vinveil-plugin-XXXXXX");
	assert_non_null(mkdtemp(directory));
	options_init(&options);
	snprintf(options.telemetry_spool, PATH_SIZE, "%s/telemetry", directory);
	snprintf(options.events_spool, PATH_SIZE, "%s/events", directory);
	snprintf(options.socket, PATH_SIZE, "%s/gateway.sock", directory);
	snprintf(options.token_file, PATH_SIZE, "%s/token", directory);
	options.telemetry_spool_mib = 48;
	assert_int_equal(file_create(options.token_file, span_of_text(TOKEN "\n"), 0600, NULL), RESULT_OK);
	if (gateway_open(&gateway, &options, &broker_ops, NULL, &note) != RESULT_OK)
		fail_msg("%s", note.text);
	gateway.clock = &hand;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gateway_close(&gateway);
	nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}

/* ---- who comes ------------------------------------------------------------------------------------------------ */

static char clients[16]; /* their addresses stand for the broker's objects */

static struct uuid vehicle_id(uint8_t number)
{
	return (struct uuid){{number, 0, 0, 0, 0, 0, 0x40, 0, 0x80}};
}

static struct peer_certificate certificate_of(uint8_t number)
{
	struct peer_certificate certificate = {
		.serial = {{number}}, .not_after_ms = SOON, .has_alternative_names = true, .is_for_clients = true};
	struct uuid id = vehicle_id(number);
	uuid_format(&id, certificate.common_name);
	snprintf(certificate.uri, sizeof(certificate.uri), "urn:uuid:%s", certificate.common_name);
	return certificate;
}

static bool come(uint8_t number, bool is_clean)
{
	struct peer_certificate certificate = certificate_of(number);
	return gateway_admit(&gateway, &(struct arrival){.client = &clients[number],
							 .client_id = certificate.common_name,
							 .address = "10.0.0.1",
							 .is_clean = is_clean,
							 .certificate = &certificate});
}

static bool come_platform(const char *address, const char *password)
{
	return gateway_admit(&gateway, &(struct arrival){.client = &clients[0],
							 .client_id = "vinveild",
							 .address = address,
							 .user_name = "vinveild",
							 .password = password});
}

static void control(struct buf *frame, enum result encoded)
{
	assert_int_equal(encoded, RESULT_OK);
	gateway_control(&gateway, &clients[0], buf_span(frame));
	buf_release(frame);
}

static void tell_epoch(enum control_kind kind, uint64_t epoch)
{
	struct buf frame = {0};
	enum result encoded = control_put_epoch(&frame, kind, epoch);
	control(&frame, encoded);
}

/* vinveild comes and tells an empty list. */
static void tell_list(uint64_t epoch)
{
	struct buf frame = {0};
	assert_true(come_platform("/run/vinveil/broker.sock", TOKEN));
	tell_epoch(CONTROL_HELLO, epoch);
	tell_epoch(CONTROL_SNAPSHOT_BEGIN, epoch);
	enum result encoded = control_put_end(&frame, epoch, 0, 0);
	control(&frame, encoded);
}

static void only_vinveild_comes_without_a_certificate(void **state)
{
	static const char wrong[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee00";
	(void)state;
	assert_false(come_platform("127.0.0.1", TOKEN));
	assert_false(come_platform("/run/x", wrong));
	assert_false(come_platform("/run/x", NULL));
	assert_false(come_platform("/run/x", ""));
	assert_true(come_platform("/run/x", TOKEN));
}

static void a_list_must_be_there_and_fresh(void **state)
{
	(void)state;
	assert_false(come(1, true));
	assert_non_null(strstr(broker.log, "has not said yet whom to refuse")); /* as at each start, for a moment */
	tell_list(5);
	assert_true(come(1, true));
	monotonic += 10000;
	assert_true(come(2, true));
	monotonic += 1;
	assert_false(come(3, true));
	assert_non_null(strstr(broker.log, "the deny list is stale"));
	assert_non_null(strstr(broker.log, certificate_of(3).common_name)); /* so that one knows who is away, and why */
	tell_epoch(CONTROL_HEARTBEAT, 4);
	assert_false(come(3, true));
	tell_epoch(CONTROL_HEARTBEAT, 5);
	assert_true(come(3, true));
	assert_int_equal(gateway.counters.refused, 3);
}

static void too_stale_a_list_ends_sessions(void **state)
{
	(void)state;
	tell_list(5);
	assert_true(come(1, true));
	monotonic += options.stale_close_ms;
	gateway_tick(&gateway);
	assert_int_equal(broker.kicks, 0);
	monotonic += 1001;
	gateway_tick(&gateway);
	assert_int_equal(broker.kicks, 1);
	assert_int_equal(gateway.sessions.count, 1); /* vinveild's own */
}

static void only_vinveild_is_obeyed(void **state)
{
	BUF_CLEANUP struct buf frame = {0};
	(void)state;
	tell_list(5);
	assert_true(come(1, true));
	assert_true(come(2, true));
	struct uuid id = vehicle_id(2);
	assert_int_equal(control_put_vehicle(&frame, CONTROL_REFUSE, &id), RESULT_OK);
	gateway_control(&gateway, &clients[1], buf_span(&frame));
	gateway_control(&gateway, &clients[9], buf_span(&frame));
	assert_int_equal(broker.kicks, 0);
	gateway_control(&gateway, &clients[0], buf_span(&frame));
	assert_int_equal(broker.kicks, 1);
	assert_false(come(2, true));
	gateway_control(&gateway, &clients[0], span_of("\x01\xff", 2)); /* nonsense ends nothing */
	assert_true(come(3, true));
}

static void a_certificate_that_ends_ends_its_session(void **state)
{
	struct peer_certificate certificate = certificate_of(4);
	(void)state;
	tell_list(5);
	assert_true(come(1, true));
	gateway.sessions.first->identity.not_after_ms = now(NULL) - 1;
	gateway_tick(&gateway);
	assert_int_equal(broker.kicks, 1);
	certificate.not_after_ms = now(NULL) - 1;
	assert_false(gateway_admit(&gateway, &(struct arrival){.client = &clients[4],
							       .client_id = certificate.common_name,
							       .address = "10.0.0.1",
							       .certificate = &certificate}));
}

/* ---- what is said --------------------------------------------------------------------------------------------- */

static const char *topic_of(uint8_t number, const char *suffix)
{
	static char topic[GATEWAY_TOPIC_SIZE];
	char id_text[UUID_TEXT_SIZE];
	struct uuid id = vehicle_id(number);
	uuid_format(&id, id_text);
	snprintf(topic, sizeof(topic), "vehicles/%s/%s", id_text, suffix);
	return topic;
}

static enum verdict say(uint8_t number, const char *topic, bool is_retained, bool knows_reasons)
{
	uint8_t payload[] = "{\"x\":1}";
	bool is_consumed = false;
	const struct publication publication = {.client = &clients[number],
						.topic = topic,
						.payload = payload,
						.size = sizeof(payload) - 1,
						.is_retained = is_retained,
						.knows_reasons = knows_reasons};
	enum verdict verdict = gateway_judge_publish(&gateway, &publication);
	if (verdict == VERDICT_ALLOW)
		verdict = gateway_take(&gateway, &publication, &is_consumed);
	assert_false(is_consumed);
	return verdict;
}

static void what_is_taken_is_spooled(void **state)
{
	(void)state;
	tell_list(5);
	assert_true(come(1, true));
	assert_int_equal(say(1, topic_of(1, "signals"), false, false), VERDICT_ALLOW);
	assert_int_equal(gateway.spooling.appended, 1);
	assert_int_equal(say(1, topic_of(2, "signals"), false, false), VERDICT_DENY);
	assert_int_equal(say(1, topic_of(1, "signals"), true, true), VERDICT_DENY);
	assert_int_equal(say(1, topic_of(1, "signals"), true, false), VERDICT_CUT);
	assert_int_equal(say(2, topic_of(2, "signals"), false, false), VERDICT_DENY); /* who is not there */
	assert_int_equal(gateway.spooling.appended, 1);
}

static void no_vin_is_passed_on(void **state)
{
	uint8_t payload[] = "WVWZZZ1JZXW000001";
	bool is_consumed = false;
	(void)state;
	tell_list(5);
	assert_true(come(1, true));
	assert_int_equal(say(1, topic_of(1, "diary"), false, false), VERDICT_ALLOW);
	assert_int_equal(say(1, topic_of(1, "WVWZZZ1JZXW000001"), false, false), VERDICT_DENY);
	assert_int_equal(gateway_judge_subscribe(&gateway, &clients[1], topic_of(1, "diary/#")), VERDICT_ALLOW);
	assert_int_equal(gateway_judge_subscribe(&gateway, &clients[1], topic_of(1, "wvwzzz1jzxw000001/#")),
			 VERDICT_DENY);
	const struct publication publication = {
		.client = &clients[1], .topic = topic_of(1, "diary"), .payload = payload, .size = sizeof(payload) - 1};
	assert_int_equal(gateway_take(&gateway, &publication, &is_consumed), VERDICT_ALLOW);
	assert_string_equal((const char *)payload, "XXXXXXXXXXXXXXXXX");
}

static void who_was_superseded_says_nothing_more(void **state)
{
	struct peer_certificate certificate = certificate_of(1);
	(void)state;
	tell_list(5);
	assert_true(come(1, true));
	assert_true(gateway_admit(&gateway, &(struct arrival){.client = &clients[7],
							      .client_id = certificate.common_name,
							      .address = "10.0.0.2",
							      .certificate = &certificate}));
	assert_int_equal(say(1, topic_of(1, "signals"), false, false), VERDICT_DENY);
	gateway_lose(&gateway, &clients[1]);
	assert_int_equal(gateway.sessions.vehicles, 1);
}

static void a_flood_is_cut_and_stays_out_for_a_while(void **state)
{
	unsigned said = 0;
	(void)state;
	tell_list(5);
	assert_true(come(1, true));
	while (say(1, topic_of(1, "signals"), false, false) == VERDICT_ALLOW)
		said++;
	assert_int_equal(said, 200);
	assert_non_null(strstr(broker.log, certificate_of(1).common_name));
	gateway_lose(&gateway, &clients[1]);
	assert_false(come(1, true));
	monotonic += 10;
	assert_true(come(1, true));
	assert_int_equal(say(1, topic_of(1, "signals"), false, false), VERDICT_ALLOW);
	assert_int_equal(say(1, topic_of(1, "signals"), false, false), VERDICT_CUT);
}

/* The broker asks about everybody it knows, also about sessions without a connection. */
static enum verdict say_much(uint8_t number)
{
	static uint8_t payload[GATEWAY_PAYLOAD_MAX];
	bool is_consumed;
	return gateway_take(&gateway,
			    &(struct publication){.client = &clients[number],
						  .topic = topic_of(number, "signals"),
						  .payload = payload,
						  .size = sizeof(payload)},
			    &is_consumed);
}

/* Once, and then once a minute as long as it goes on: every vehicle that is cut off comes back at once. */
static void a_full_spool_is_told_of(void **state)
{
	(void)state;
	tell_list(5);
	assert_true(come(1, true));
	while (say_much(1) == VERDICT_ALLOW)
		;
	monotonic += 1000;
	gateway_tick(&gateway);
	assert_non_null(strstr(broker.log, "(count: 1): the telemetry spool is full: is vinveil-ingest running"));
	broker.log[0] = '\0';
	assert_int_equal(say_much(1), VERDICT_CUT);
	assert_int_equal(say_much(1), VERDICT_CUT);
	monotonic += 59000;
	gateway_tick(&gateway);
	assert_string_equal(broker.log, "");
	monotonic += 1000;
	gateway_tick(&gateway);
	assert_non_null(strstr(broker.log, "(count: 2)"));
}

static void a_reload_lets_nobody_new_in(void **state)
{
	struct peer_certificate certificate = certificate_of(2);
	const struct arrival sleeping = {
		.client = &clients[2], .client_id = certificate.common_name, .address = "10.0.0.1"};
	(void)state;
	tell_list(5);
	assert_true(come(1, true));
	uint64_t number = gateway.sessions.last_number;
	assert_false(gateway_admit(&gateway, &sleeping));
	monotonic += 20000; /* a stale list ends nobody */
	gateway_reload(&gateway);
	assert_true(come(1, true));
	assert_true(come_platform("/run/x", TOKEN));
	assert_false(come_platform("/run/x", "00"));
	assert_true(gateway_admit(&gateway, &sleeping));
	assert_false(come(3, true));
	assert_int_equal(gateway.sessions.last_number, number);
	assert_int_equal(say(1, topic_of(1, "signals"), false, false), VERDICT_ALLOW);
	assert_int_equal(say(2, topic_of(2, "signals"), false, false), VERDICT_DENY);
	assert_int_equal(gateway_judge_subscribe(&gateway, &clients[2], topic_of(2, "#")), VERDICT_DENY);
	assert_false(gateway_may_read(&gateway, &clients[2], topic_of(2, "x")));
	gateway_tick(&gateway);
	assert_false(gateway_admit(&gateway, &sleeping));
}

/* ---- what is delivered ---------------------------------------------------------------------------------------- */

static void deliver(uint8_t number, bool only_when_ready)
{
	struct buf frame = {0};
	struct uuid id = vehicle_id(number);
	enum result encoded = control_put_deliver(&frame, &id, only_when_ready, "a/b", span_of_text("x"));
	control(&frame, encoded);
	gateway_tick(&gateway);
}

static void commands_go_to_who_is_ready(void **state)
{
	char filter[GATEWAY_TOPIC_SIZE];
	struct uuid id = vehicle_id(1);
	char id_text[UUID_TEXT_SIZE];
	(void)state;
	uuid_format(&id, id_text);
	snprintf(filter, sizeof(filter), "$aws/commands/things/%s/#", id_text);
	tell_list(5);
	assert_true(come(1, true));
	deliver(1, true);
	deliver(2, false);
	assert_int_equal(broker.publications, 0);
	deliver(1, false);
	assert_int_equal(broker.publications, 1);
	assert_string_equal(broker.addressee, id_text);
	assert_int_equal(broker.qos, 1);
	assert_int_equal(gateway_judge_subscribe(&gateway, &clients[1], filter), VERDICT_ALLOW);
	deliver(1, true);
	assert_int_equal(broker.publications, 2);
	assert_string_equal(broker.addressee, "who has subscribed");
	assert_int_equal(gateway_judge_unsubscribe(&gateway, &clients[1], filter), VERDICT_ALLOW);
	deliver(1, true);
	assert_int_equal(broker.publications, 2);
	/* It had unsubscribed: coming back makes it no readier. */
	gateway_lose(&gateway, &clients[1]);
	broker.subscriptions = 1;
	assert_true(come(1, false));
	deliver(1, true);
	assert_int_equal(broker.publications, 2);
	assert_int_equal(gateway_judge_subscribe(&gateway, &clients[1], filter), VERDICT_ALLOW);
	gateway_lose(&gateway, &clients[1]);
	assert_true(come(1, false));
	gateway_tick(&gateway);
	deliver(1, true);
	assert_int_equal(broker.publications, 3);
}

/* The broker loses memory with each that it finds no room for. */
static void what_goes_to_a_client_id_has_a_limit(void **state)
{
	const int burst = (int)DELIVERIES_DIRECT.burst;
	(void)state;
	tell_list(5);
	assert_true(come(1, true));
	for (int i = 0; i < 2 * burst; i++)
		deliver(1, false);
	assert_int_equal(broker.publications, burst);
	/* Coming back gives nothing. */
	gateway_lose(&gateway, &clients[1]);
	assert_true(come(1, true));
	deliver(1, false);
	assert_int_equal(broker.publications, burst);
	monotonic += 1000;
	deliver(1, false);
	deliver(1, false);
	deliver(1, false);
	assert_int_equal(broker.publications, burst + (int)DELIVERIES_DIRECT.per_second);
}

static void answer_on(uint64_t connection, const char *client_id, const char *topic)
{
	struct buf frame = {0};
	struct gateway_caller caller = {.connection = connection};
	snprintf(caller.client_id, sizeof(caller.client_id), "%s", client_id);
	enum result encoded = control_put_answer(&frame, &caller, topic, span_of_text("x"));
	control(&frame, encoded);
	gateway_tick(&gateway);
}

static void answer(uint64_t connection, const char *client_id)
{
	answer_on(connection, client_id, "a/b");
}

static void answers_go_to_one_connection(void **state)
{
	const struct peer_certificate claim = {
		.serial = {{9}}, .not_after_ms = SOON, .common_name = "plant-7", .is_for_clients = true};
	const struct arrival arrival = {
		.client = &clients[3], .client_id = "station", .address = "10.0.0.1", .certificate = &claim};
	(void)state;
	tell_list(5);
	assert_true(gateway_admit(&gateway, &arrival));
	uint64_t number = sessions_find_name(&gateway.sessions, "station")->number;
	answer(number + 1, "station");
	answer(number, "other");
	assert_int_equal(broker.publications, 0);
	answer(number, "station");
	assert_int_equal(broker.publications, 1);
	assert_int_equal(broker.qos, 0);
	gateway_lose(&gateway, &clients[3]);
	assert_true(gateway_admit(&gateway, &arrival));
	answer(number, "station");
	assert_int_equal(broker.publications, 1);
}

static void who_provisions_is_answered_for_as_long_as_he_does(void **state)
{
	const struct peer_certificate claim = {
		.serial = {{9}}, .not_after_ms = SOON, .common_name = "plant-7", .is_for_clients = true};
	const struct arrival arrival = {
		.client = &clients[3], .client_id = "station", .address = "10.0.0.1", .certificate = &claim};
	const unsigned burst = DELIVERIES_DIRECT.burst;
	(void)state;
	tell_list(5);
	assert_true(gateway_admit(&gateway, &arrival));
	uint64_t number = sessions_find_name(&gateway.sessions, "station")->number;
	for (unsigned i = 0; i < 2 * burst; i++)
		answer(number, "station");
	assert_int_equal(broker.publications, burst);
	answer_on(number, "station", "$aws/provisioning-templates/vinveil/provision/json/rejected");
	assert_int_equal(broker.publications, burst);
	for (unsigned i = 0; i < 2 * burst; i++)
		answer_on(number, "station", "$aws/provisioning-templates/vinveil/provision/json/accepted");
	assert_int_equal(broker.publications, 3 * burst);
}

static void what_claims_ask_is_handed_on_and_consumed(void **state)
{
	const struct peer_certificate claim = {
		.serial = {{9}}, .not_after_ms = SOON, .common_name = "plant-7", .is_for_clients = true};
	uint8_t payload[] = "WVWZZZ1JZXW000001";
	bool is_consumed = false;
	struct publication publication = {.client = &clients[3],
					  .topic = "$aws/provisioning-templates/vinveil/provision/json",
					  .payload = payload,
					  .size = sizeof(payload) - 1};
	(void)state;
	tell_list(5);
	assert_true(gateway_admit(&gateway, &(struct arrival){.client = &clients[3],
							      .client_id = "station",
							      .address = "10.0.0.1",
							      .certificate = &claim}));
	assert_int_equal(gateway_take(&gateway, &publication, &is_consumed), VERDICT_ALLOW);
	assert_true(is_consumed);
	for (int i = 0; i < CLAIM_QUEUE_MAX; i++)
		(void)gateway_take(&gateway, &publication, &is_consumed);
	assert_int_equal(gateway_take(&gateway, &publication, &is_consumed), VERDICT_CUT);
	assert_true(is_consumed);
	assert_true(gateway.counters.claims_dropped > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_vinveild_comes_without_a_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_must_be_there_and_fresh, setup, teardown),
		cmocka_unit_test_setup_teardown(too_stale_a_list_ends_sessions, setup, teardown),
		cmocka_unit_test_setup_teardown(only_vinveild_is_obeyed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_certificate_that_ends_ends_its_session, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_taken_is_spooled, setup, teardown),
		cmocka_unit_test_setup_teardown(no_vin_is_passed_on, setup, teardown),
		cmocka_unit_test_setup_teardown(who_was_superseded_says_nothing_more, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_is_cut_and_stays_out_for_a_while, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_spool_is_told_of, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reload_lets_nobody_new_in, setup, teardown),
		cmocka_unit_test_setup_teardown(commands_go_to_who_is_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(what_goes_to_a_client_id_has_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_go_to_one_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(who_provisions_is_answered_for_as_long_as_he_does, setup, teardown),
		cmocka_unit_test_setup_teardown(what_claims_ask_is_handed_on_and_consumed, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
