/*
 * Deadlines: each phase has its own, for the whole of the phase, however busy the client seems. The server's time
 * stands still but for what the tests let pass, so that it makes no difference how late a thread is.
 */
#include "support.h"

#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define H	 "Host: a\r\n"
#define SHORT_MS 150
#define LONG_MS	 60000

static struct app app;

/* ---- time ------------------------------------------------------------------------------------------- */

static _Atomic int64_t passed_ms;

static int64_t read_wall(struct clock *clock)
{
	(void)clock;
	return clock_now_ms(clock_system());
}

static int64_t read_passed(struct clock *clock)
{
	(void)clock;
	return atomic_load(&passed_ms);
}

static struct clock standing = {.now_ms = read_wall, .monotonic_ms = read_passed};

static void pass(int64_t ms)
{
	atomic_fetch_add(&passed_ms, ms);
}

/* And the server has seen it: what a bystander asks second is answered when the first one's turn is over. */
static void pass_and_turn(int64_t ms)
{
	pass(ms);
	struct client bystander = client_connect("127.0.0.1", app_port(&app));
	for (int i = 0; i < 2; i++)
		client_expect(&bystander, "GET /echo HTTP/1.1\r\n" H "\r\n", 200, "");
	client_close(&bystander);
}

/* ---- the tests -------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	(void)state;
	app_prepare(&app);
	app.config.handshake_ms = app.config.head_ms = app.config.body_ms = LONG_MS;
	app.config.idle_ms = app.config.write_ms = LONG_MS;
	app.config.clock = &standing;
	app.config.loop_count = 1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	app_stop(&app);
	return 0;
}

/* Sends byte after byte, 20 ms apart, until the server answers or `count` is reached. */
static void drip(struct client *client, const char *byte, int count)
{
	for (int i = 0; i < count; i++) {
		char seen;
		if (recv(client->descriptor, &seen, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
			return;
		client_send_text(client, byte);
		pass(20);
	}
}

static void expect_timeout(struct client *client, int64_t began_ms)
{
	struct answer answer;
	client_receive(client, false, &answer);
	assert_int_equal(answer.status, 408);
	assert_true(answer_has(&answer, "\r\nConnection: close\r\n"));
	answer_release(&answer);
	client_expect_end(client);
	assert_true(atomic_load(&passed_ms) - began_ms >= SHORT_MS);
	client_close(client);
}

static void test_head(void **state)
{
	(void)state;
	app.config.head_ms = SHORT_MS;
	app_start(&app, NULL);
	int64_t began_ms = atomic_load(&passed_ms);
	struct client client = client_connect("127.0.0.1", app_port(&app));
	app_wait_connections(&app, 1);
	client_send_text(&client, "GET /echo HTTP/1.1\r\nX: ");
	drip(&client, "a", 100);
	expect_timeout(&client, began_ms);
	assert_int_equal(app_get(&app, &app.refusals), 1);
}

static void test_new_connection_without_a_byte_is_closed_silently(void **state)
{
	(void)state;
	app.config.head_ms = SHORT_MS;
	app_start(&app, NULL);
	struct client client = client_connect("127.0.0.1", app_port(&app));
	app_wait_connections(&app, 1);
	pass(SHORT_MS);
	client_expect_end(&client);
	client_close(&client);
	assert_int_equal(app_get(&app, &app.refusals), 0);
}

static void test_idle(void **state)
{
	(void)state;
	app.config.idle_ms = SHORT_MS;
	app_start(&app, NULL);
	struct client client = client_connect("127.0.0.1", app_port(&app));
	for (int i = 0; i < 5; i++) {
		client_expect(&client, "GET /echo HTTP/1.1\r\n" H "\r\n", 200, "");
		pass(SHORT_MS / 2);
	}
	pass(SHORT_MS / 2);
	client_expect_end(&client);
	client_close(&client);
	assert_int_equal(app_get(&app, &app.refusals), 0);
}

static void test_body(void **state)
{
	(void)state;
	app.config.body_ms = SHORT_MS;
	app_start(&app, NULL);
	struct client client = client_connect("127.0.0.1", app_port(&app));
	int64_t began_ms = atomic_load(&passed_ms);
	client_send_text(&client, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\n");
	app_wait(&app, &app.heads, 1);
	drip(&client, "a", 100);
	expect_timeout(&client, began_ms);
	app_wait(&app, &app.releases, 1);
}

static void test_body_of_a_stream(void **state)
{
	(void)state;
	app.config.body_ms = SHORT_MS;
	app_start(&app, NULL);
	struct client client = client_connect("127.0.0.1", app_port(&app));
	client_send_text(&client, "POST /stream HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\n");
	app_wait(&app, &app.heads, 1);
	drip(&client, "a", 100);
	client_expect(&client, "", 400, "0 broken");
	client_expect_end(&client);
	client_close(&client);
}

/* What the application takes for a chunk is not the client's time. */
static void test_held_chunk_does_not_count(void **state)
{
	static const char filler[16384];
	(void)state;
	app.config.body_ms = SHORT_MS;
	app_start(&app, NULL);
	struct client client = client_connect("127.0.0.1", app_port(&app));
	client_send_text(&client, "POST /pause HTTP/1.1\r\n" H "Content-Length: 32768\r\n\r\n");
	client_send(&client, span_of(filler, sizeof(filler)));
	app_wait(&app, &app.held_count, 1);
	pass_and_turn(2 * SHORT_MS);
	held_continue(&app);
	client_send(&client, span_of(filler, sizeof(filler)));
	held_continue(&app);
	client_expect(&client, "", 200, "32768 complete");
	client_close(&client);
}

/* A request that is being worked on has no deadline here: that is the application's. */
static void test_held_request_has_none(void **state)
{
	(void)state;
	app.config.head_ms = app.config.body_ms = app.config.idle_ms = app.config.write_ms = SHORT_MS;
	app_start(&app, NULL);
	struct client client = client_connect("127.0.0.1", app_port(&app));
	client_send_text(&client, "POST /hold HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi");
	app_wait(&app, &app.held_count, 1);
	pass_and_turn(2 * SHORT_MS);
	held_respond(&app);
	client_expect(&client, "", 200, "hi");
	client_close(&client);
}

static void test_write(void **state)
{
	(void)state;
	app.config.write_ms = SHORT_MS;
	app_start(&app, NULL);
	struct client client = client_connect("127.0.0.1", app_port(&app));
	int small = 4096;
	setsockopt(client.descriptor, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	/* Several of them, because the kernel takes some megabytes on its own account. */
	for (int i = 0; i < 8; i++)
		client_send_text(&client, "GET /large HTTP/1.1\r\n" H "\r\n");
	struct http_server_counters counters = {.connections_open = 1};
	for (int i = 0; counters.connections_open > 0; i++) {
		assert_true(i < 30000);
		pass(1);
		usleep(2000);
		http_server_count(app.server, &counters);
	}
	assert_int_equal(app_get(&app, &app.releases), app_get(&app, &app.heads));
	client_close(&client);
}

/* The second request's head has its own time, though its first bytes came long before. */
static void test_pipelined_head_counts_from_its_turn(void **state)
{
	(void)state;
	app.config.head_ms = 2 * SHORT_MS;
	app_start(&app, NULL);
	struct client client = client_connect("127.0.0.1", app_port(&app));
	client_send_text(&client, "POST /hold HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhiGET /echo HT");
	app_wait(&app, &app.held_count, 1);
	pass_and_turn(3 * SHORT_MS);
	held_respond(&app);
	client_expect(&client, "", 200, "hi");
	client_expect(&client, "TP/1.1\r\n" H "\r\n", 200, "");
	client_close(&client);
}

#define server_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		server_test(test_head),
		server_test(test_new_connection_without_a_byte_is_closed_silently),
		server_test(test_idle),
		server_test(test_body),
		server_test(test_body_of_a_stream),
		server_test(test_held_chunk_does_not_count),
		server_test(test_held_request_has_none),
		server_test(test_write),
		server_test(test_pipelined_head_counts_from_its_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
