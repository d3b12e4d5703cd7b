/* Streamed bodies: in pieces, only as fast as the application takes them, and broken ones said to be so. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define H	"Host: a\r\n"
#define SIZED	"POST /stream HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n"
#define CHUNKED "POST /stream HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
#define FILLER	100000

static struct app app;
static const char filler[FILLER];

static struct client start(void)
{
	app_start(&app, NULL);
	return client_connect("127.0.0.1", app_port(&app));
}

static int set_up(void **state)
{
	(void)state;
	app_prepare(&app);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	app_stop(&app);
	assert_int_equal(app.releases, app.heads);
	return 0;
}

static void test_sized_body(void **state)
{
	struct client client = start();
	(void)state;
	client_send_text(&client, SIZED);
	for (int i = 0; i < 10; i++)
		client_send(&client, span_of(filler, FILLER));
	client_expect(&client, "", 200, "1000000 complete");
	assert_in_range(app_get(&app, &app.chunks), 15, 62);
	assert_in_range(app_get(&app, &app.short_chunks), 0, 1);
	client_expect(&client, "GET /echo HTTP/1.1\r\n" H "\r\n", 200, "");
	client_close(&client);
}

static void test_chunked_body(void **state)
{
	struct client client = start();
	(void)state;
	client_send_text(&client, CHUNKED);
	for (int i = 0; i < 10; i++) {
		client_send_text(&client, "186a0\r\n");
		client_send(&client, span_of(filler, FILLER));
		client_send_text(&client, "\r\n");
	}
	client_expect(&client, "0\r\n\r\n", 200, "1000000 complete");
	client_expect(&client, "GET /echo HTTP/1.1\r\n" H "\r\n", 200, "");
	client_close(&client);
}

static void test_empty_body(void **state)
{
	struct client client = start();
	(void)state;
	client_expect(&client, "POST /stream HTTP/1.1\r\n" H "\r\n", 200, "0 complete");
	client_expect(&client, "POST /stream HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 200, "0 complete");
	client_expect(&client, CHUNKED "0\r\n\r\n", 200, "0 complete");
	assert_int_equal(app_get(&app, &app.chunks), 0);
	client_close(&client);
}

/* While a chunk is held nothing more is read: what the client can send is what the kernel's buffers take. */
static void test_back_pressure(void **state)
{
	struct client client = start();
	size_t total = (size_t)64 << 20, sent = 0;
	char head[128];
	(void)state;
	(void)snprintf(head, sizeof(head), "POST /pause HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", total);
	client_send_text(&client, head);
	for (int idle = 0; idle < 20;) {
		ssize_t size = send(client.descriptor, filler, FILLER, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (size > 0) {
			sent += (size_t)size;
			idle = 0;
			continue;
		}
		assert_int_equal(errno, EAGAIN);
		usleep(10000);
		idle++;
	}
	assert_true(sent < total);
	assert_int_equal(app_get(&app, &app.chunks), 1);
	assert_in_range(app_get(&app, &app.streamed), 16384, 16384 + 32768);
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(app_get(&app, &app.chunks), i + 1);
		held_continue(&app);
		app_wait(&app, &app.held_count, 1);
	}
	client_reset(&client);
	/* The chunk comes back to a connection that is gone. */
	app_wait_connections(&app, 0);
	held_continue(&app);
	app_wait(&app, &app.broken, 1);
	app_wait(&app, &app.releases, 1);
}

static void test_client_goes_in_the_middle(void **state)
{
	struct client client = start();
	(void)state;
	client_send_text(&client, SIZED);
	client_send(&client, span_of(filler, FILLER));
	client_close(&client);
	app_wait(&app, &app.broken, 1);
	app_wait(&app, &app.releases, 1);
	app_wait_connections(&app, 0);
}

/* Everything had come before the client went: the body is whole, only nobody reads the answer. */
static void test_client_goes_after_the_whole_body(void **state)
{
	struct client client = start();
	(void)state;
	client_send_text(&client, "POST /pause HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
	app_wait(&app, &app.held_count, 1);
	client_reset(&client);
	app_wait_connections(&app, 0);
	held_continue(&app);
	app_wait(&app, &app.releases, 1);
	assert_int_equal(app_get(&app, &app.broken), 0);
}

static void test_malformed_chunk(void **state)
{
	struct client client = start();
	struct answer answer;
	(void)state;
	client_send_text(&client, CHUNKED "5\r\nhello\r\nnonsense\r\n");
	client_receive(&client, false, &answer);
	assert_int_equal(answer.status, 400);
	assert_true(span_is_text(buf_span(&answer.body), "0 broken"));
	assert_true(answer_has(&answer, "\r\nConnection: close\r\n"));
	answer_release(&answer);
	client_expect_end(&client);
	client_close(&client);
	assert_int_equal(app_get(&app, &app.refusals), 0);
}

/* The application may answer before the body has ended; the connection cannot be used further then. */
static void test_early_answer(void **state)
{
	struct client client = start();
	struct answer answer;
	(void)state;
	client_send_text(&client, "POST /pause HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n");
	client_send(&client, span_of(filler, FILLER));
	held_respond(&app);
	client_receive(&client, false, &answer);
	assert_int_equal(answer.status, 200);
	assert_true(answer_has(&answer, "\r\nConnection: close\r\n"));
	answer_release(&answer);
	client_expect_end(&client);
	client_close(&client);
}

static void *close_server(void *context)
{
	struct app *closing = context;
	http_server_close(closing->server, 100);
	return NULL;
}

static void test_server_closes_in_the_middle(void **state)
{
	struct client client = start();
	pthread_t closer;
	(void)state;
	client_send_text(&client, SIZED);
	client_send(&client, span_of(filler, FILLER));
	app_wait(&app, &app.heads, 1);
	assert_int_equal(pthread_create(&closer, NULL, close_server, &app), 0);
	app_wait(&app, &app.broken, 1);
	pthread_join(closer, NULL);
	app.server = NULL;
	client_close(&client);
}

#define server_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		server_test(test_sized_body),
		server_test(test_chunked_body),
		server_test(test_empty_body),
		server_test(test_back_pressure),
		server_test(test_client_goes_in_the_middle),
		server_test(test_client_goes_after_the_whole_body),
		server_test(test_malformed_chunk),
		server_test(test_early_answer),
		server_test(test_server_closes_in_the_middle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
