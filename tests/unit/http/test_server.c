/* The server over real sockets: requests, answers, limits, closing. Deadlines and streams stand beside it. */
#include "support.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define H      "Host: a\r\n"
#define POST_5 "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello"

static struct app app;

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

/* Whatever the application saw, it must have seen go. */
static int tear_down(void **state)
{
	(void)state;
	app_stop(&app);
	assert_true(app.releases >= app.heads);
	assert_true(app.releases <= app.heads + app.refusals);
	return 0;
}

static void test_keep_alive(void **state)
{
	struct client client = start();
	struct answer answer;
	struct http_server_counters counters;
	(void)state;
	for (int i = 0; i < 3; i++)
		client_expect(&client, POST_5, 200, "hello");
	client_send_text(&client, "GET /echo HTTP/1.1\r\n" H "\r\n");
	client_receive(&client, false, &answer);
	assert_true(answer_has(&answer, "HTTP/1.1 200 OK\r\n"));
	assert_true(answer_has(&answer, "\r\nDate: "));
	assert_true(answer_has(&answer, " GMT\r\n"));
	assert_true(answer_has(&answer, "\r\nContent-Length: 0\r\n"));
	assert_false(answer_has(&answer, "Connection:"));
	assert_false(answer_has(&answer, "Server:"));
	answer_release(&answer);
	http_server_count(app.server, &counters);
	assert_int_equal(counters.connections_total, 1);
	assert_int_equal(counters.requests_total, 4);
	client_close(&client);
	app_wait_connections(&app, 0);
}

static void test_what_a_request_allows_itself_ends_with_it(void **state)
{
	struct client client = start();
	(void)state;
	for (int i = 0; i < 2; i++)
		client_expect(&client, "GET /arena HTTP/1.1\r\n" H "\r\n", 200, "0");
	client_close(&client);
}

static void test_pipelining_keeps_the_order(void **state)
{
	static const char *const paths[] = {"/echo", "/thread", "/turn", "/echo", "/turn"};
	struct client client = start();
	BUF_CLEANUP struct buf requests = {0};
	(void)state;
	for (int i = 0; i < 300; i++)
		assert_int_equal(buf_append_format(&requests, "POST %s HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\n%06d",
						   paths[i % 5], i),
				 RESULT_OK);
	client_send(&client, buf_span(&requests));
	for (int i = 0; i < 300; i++) {
		struct answer answer;
		char expected[16];
		(void)snprintf(expected, sizeof(expected), "%06d", i);
		client_receive(&client, false, &answer);
		assert_int_equal(answer.status, 200);
		assert_true(span_is_text(buf_span(&answer.body), expected));
		answer_release(&answer);
	}
	client_close(&client);
}

static void test_byte_by_byte(void **state)
{
	struct client client = start();
	struct answer answer;
	(void)state;
	for (size_t i = 0; i < strlen(POST_5); i++)
		client_send(&client, span_of(&POST_5[i], 1));
	client_receive(&client, false, &answer);
	assert_true(span_is_text(buf_span(&answer.body), "hello"));
	answer_release(&answer);
	client_close(&client);
}

static void test_chunked_body(void **state)
{
	struct client client = start();
	(void)state;
	client_expect(&client,
		      "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
		      "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: x\r\n\r\n",
		      200, "hello world");
	client_expect(&client, POST_5, 200, "hello");
	client_close(&client);
}

static void test_bodiless_answers(void **state)
{
	struct client client = start();
	struct answer answer;
	(void)state;
	client_send_text(&client, "HEAD /large HTTP/1.1\r\n" H "\r\n");
	client_receive(&client, true, &answer);
	assert_true(answer_has(&answer, "\r\nContent-Length: 4194304\r\n"));
	answer_release(&answer);
	client_send_text(&client, "GET /nothing HTTP/1.1\r\n" H "\r\n");
	client_receive(&client, true, &answer);
	assert_int_equal(answer.status, 204);
	assert_false(answer_has(&answer, "Content-Length"));
	answer_release(&answer);
	client_expect(&client, POST_5, 200, "hello");
	client_close(&client);
}

static void test_closing_is_said_and_done(void **state)
{
	static const char *const requests[] = {
		"GET /echo HTTP/1.0\r\n\r\n",
		"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"GET /echo HTTP/1.1\r\n" H "Connection: close\r\n\r\n",
		"GET /close HTTP/1.1\r\n" H "\r\n",
		"GET /close HTTP/1.1\r\n" H "\r\n" POST_5,
	};
	app_start(&app, NULL);
	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct client client = client_connect("127.0.0.1", app_port(&app));
		struct answer answer;
		client_send_text(&client, requests[i]);
		client_receive(&client, false, &answer);
		assert_int_equal(answer.status, 200);
		assert_true(answer_has(&answer, "\r\nConnection: close\r\n"));
		answer_release(&answer);
		client_expect_end(&client);
		client_close(&client);
	}
}

static void test_half_closed_client_is_answered(void **state)
{
	struct client client = start();
	struct answer answer;
	(void)state;
	client_send_text(&client, "POST /hold HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi");
	shutdown(client.descriptor, SHUT_WR);
	held_respond(&app);
	client_receive(&client, false, &answer);
	assert_true(span_is_text(buf_span(&answer.body), "hi"));
	answer_release(&answer);
	client_expect_end(&client);
	client_close(&client);
}

#define EXPECT_HEAD(path, length) \
	"POST " path " HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: " length "\r\n\r\n"

static void test_expect_continue(void **state)
{
	struct client client = start();
	struct answer answer;
	(void)state;
	client_expect(&client, EXPECT_HEAD("/echo", "5"), 100, "");
	client_expect(&client, "hello", 200, "hello");
	/* The body came along: no interim answer is needed. */
	client_expect(&client, EXPECT_HEAD("/echo", "5") "hello", 200, "hello");
	client_expect(&client, EXPECT_HEAD("/stream", "5"), 100, "");
	client_expect(&client, "hello", 200, "5 complete");
	client_send_text(&client, EXPECT_HEAD("/refuse", "5"));
	client_receive(&client, false, &answer);
	assert_int_equal(answer.status, 403);
	assert_true(answer_has(&answer, "\r\nConnection: close\r\n"));
	answer_release(&answer);
	client_expect_end(&client);
	client_close(&client);

	client = client_connect("127.0.0.1", app_port(&app));
	client_expect(&client, EXPECT_HEAD("/limited", "11"), 413, NULL);
	client_expect_end(&client);
	client_close(&client);
}

static void test_refused_body_that_was_read_keeps_the_connection(void **state)
{
	struct client client = start();
	(void)state;
	client_expect(&client, "POST /refuse HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", 403, "no");
	client_expect(&client, "GET /refuse HTTP/1.1\r\n" H "\r\n", 403, "no");
	client_expect(&client, POST_5, 200, "hello");
	client_close(&client);
}

static void test_refusals_are_answered_and_close(void **state)
{
	static const struct {
		const char *request;
		int status;
	} cases[] = {
		{"nonsense\r\n\r\n", 400},
		{"GET /echo HTTP/1.1\r\n\r\n", 400},
		{"GET /echo HTTP/3.0\r\n" H "\r\n", 505},
		{"GET /echo HTTP/1.1\r\n" H "Expect: gold\r\n\r\n", 417},
		{"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", 501},
		{"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400},
		{"POST /limited HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\nhello worldGET ", 413},
		{"POST /limited HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n", 413},
	};
	app_start(&app, NULL);
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client client = client_connect("127.0.0.1", app_port(&app));
		struct answer answer;
		client_expect(&client, POST_5, 200, "hello");
		client_send_text(&client, cases[i].request);
		client_receive(&client, false, &answer);
		assert_int_equal(answer.status, cases[i].status);
		assert_true(answer_has(&answer, "\r\nConnection: close\r\n"));
		answer_release(&answer);
		client_expect_end(&client);
		client_close(&client);
	}
	assert_int_equal(app_get(&app, &app.refusals), sizeof(cases) / sizeof(cases[0]));
	struct client client = client_connect("127.0.0.1", app_port(&app));
	client_expect(&client, "POST /limited HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nhello worl", 200,
		      "hello worl");
	client_close(&client);
}

/* The answer must reach a client that is still sending, though the server has stopped reading. */
static void test_refusal_reaches_a_busy_client(void **state)
{
	static const char piece[100000];
	struct client client = start();
	(void)state;
	client_send_text(&client, "POST /limited HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n");
	for (int i = 0; i < 10; i++) {
		client_send(&client, span_of(piece, sizeof(piece)));
		usleep(10000);
	}
	client_expect(&client, "", 413, NULL);
	client_expect_end(&client);
	client_close(&client);
}

/* What on_head has let in is handed out when its body breaks a bound: the answer may wait for something. */
static void test_refused_body_is_handed_out(void **state)
{
	static const char *const requests[] = {
		"POST /limited-hold HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\nhello world" POST_5,
		"POST /limited-hold HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n",
		"POST /limited-hold HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
	};
	static const int statuses[] = {413, 413, 400};
	(void)state;
	app_start(&app, NULL);
	for (size_t i = 0; i < 3; i++) {
		struct client client = client_connect("127.0.0.1", app_port(&app));
		client_send_text(&client, requests[i]);
		app_wait(&app, &app.held_count, 1);
		client_send_text(&client, POST_5);
		usleep(20000);
		assert_int_equal(app_get(&app, &app.releases), i);
		held_give_back(&app);
		client_expect(&client, "", statuses[i], NULL);
		client_expect_end(&client);
		client_close(&client);
		app_wait(&app, &app.releases, i + 1);
	}
	assert_int_equal(app_get(&app, &app.heads), 3);
	/* Nobody is left to read the answer. */
	struct client client = client_connect("127.0.0.1", app_port(&app));
	client_send_text(&client, requests[0]);
	app_wait(&app, &app.held_count, 1);
	client_reset(&client);
	app_wait_connections(&app, 0);
	held_give_back(&app);
	app_wait(&app, &app.releases, 4);
}

static void test_large_answer_to_a_slow_reader(void **state)
{
	struct client client = start();
	struct answer answer;
	(void)state;
	client_send_text(&client, "GET /large HTTP/1.1\r\n" H "\r\n" POST_5);
	usleep(50000);
	client_receive(&client, false, &answer);
	assert_int_equal(answer.body.size, (size_t)4 << 20);
	assert_memory_equal(answer.body.data + answer.body.size - 6, "65535\n", 6);
	answer_release(&answer);
	client_expect(&client, "", 200, "hello");
	client_close(&client);
}

/* To a client with small segments and a small window the kernel takes little on its own account. */
static struct client connect_narrow(uint16_t port)
{
	struct client client = {.descriptor = socket(AF_INET, SOCK_STREAM, 0), .input.size_max = (size_t)16 << 20};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int room = 65536, segment = 1400;
	setsockopt(client.descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	setsockopt(client.descriptor, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
	assert_int_equal(connect(client.descriptor, (struct sockaddr *)&to, sizeof(to)), 0);
	return client;
}

/* Clients that do not read what they asked for must not fill the memory. */
static void test_unread_answers_are_bounded(void **state)
{
	struct client clients[3];
	struct answer answer;
	size_t cut = 0;
	(void)state;
	app.config.unread_max = (size_t)9 << 20;
	app_start(&app, NULL);
	for (size_t i = 0; i < 3; i++) {
		clients[i] = connect_narrow(app_port(&app));
		client_send_text(&clients[i], "GET /large HTTP/1.1\r\n" H "\r\n");
		app_wait(&app, &app.heads, i + 1);
	}
	app_wait_connections(&app, 2);
	app_wait(&app, &app.releases, 1);
	for (size_t i = 0; i < 2; i++) {
		client_receive(&clients[i], false, &answer);
		assert_int_equal(answer.body.size, (size_t)4 << 20);
		answer_release(&answer);
		client_expect(&clients[i], POST_5, 200, "hello");
	}
	uint8_t bytes[65536];
	ssize_t size;
	while ((size = recv(clients[2].descriptor, bytes, sizeof(bytes), 0)) > 0)
		cut += (size_t)size;
	assert_true(cut < (size_t)4 << 20);
	/* What has been read counts no more. */
	client_close(&clients[2]);
	clients[2] = client_connect("127.0.0.1", app_port(&app));
	client_send_text(&clients[2], "GET /large HTTP/1.1\r\n" H "\r\n");
	client_receive(&clients[2], false, &answer);
	assert_int_equal(answer.body.size, (size_t)4 << 20);
	answer_release(&answer);
	for (size_t i = 0; i < 3; i++)
		client_close(&clients[i]);
}

static double cpu_seconds(void)
{
	struct timespec used;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void test_input_behind_a_held_request_waits(void **state)
{
	struct client client = start();
	(void)state;
	client_send_text(&client, "POST /hold HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n1");
	app_wait(&app, &app.held_count, 1);
	client_send_text(&client, POST_5);
	usleep(20000);
	client_send_text(&client, POST_5);
	double used = cpu_seconds();
	usleep(200000);
	assert_true(cpu_seconds() - used < 0.02); /* it is not polled for either */
	assert_int_equal(app_get(&app, &app.heads), 1);
	held_respond(&app);
	client_expect(&client, "", 200, "1");
	client_expect(&client, "", 200, "hello");
	client_expect(&client, "", 200, "hello");
	client_close(&client);
}

static void test_client_vanishes_while_held(void **state)
{
	struct client client = start();
	(void)state;
	client_send_text(&client, "POST /hold HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n1");
	app_wait(&app, &app.held_count, 1);
	client_reset(&client);
	app_wait_connections(&app, 0);
	assert_int_equal(app_get(&app, &app.releases), 0);
	assert_string_equal(app.held->source_address, "127.0.0.1");
	held_respond(&app);
	app_wait(&app, &app.releases, 1);

	/* Gone without a reset: the answer is written into the void. */
	client = client_connect("127.0.0.1", app_port(&app));
	client_send_text(&client, "POST /hold HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n1");
	app_wait(&app, &app.held_count, 1);
	client_close(&client);
	held_respond(&app);
	app_wait(&app, &app.releases, 2);
	app_wait_connections(&app, 0);
}

static void test_client_vanishes_in_the_middle(void **state)
{
	static const char *const parts[] = {
		"GET /ec", "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhel",
		"GET /large HTTP/1.1\r\n" H "\r\n", /* the answer's write fails */
	};
	static const size_t heads[] = {0, 1, 2, 2, 3, 4};
	app_start(&app, NULL);
	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct client client = client_connect("127.0.0.1", app_port(&app));
		client_send_text(&client, parts[i % 3]);
		app_wait(&app, &app.heads, heads[i]); /* what is reset may be lost unread */
		if (i < 3)
			client_close(&client);
		else
			client_reset(&client);
		app_wait_connections(&app, 0);
	}
	app_wait(&app, &app.releases, 4);
}

static void *request_many(void *context)
{
	struct client client = client_connect("127.0.0.1", app_port(context));
	for (int i = 0; i < 300; i++)
		client_expect(&client, "POST /thread HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", 200, "hello");
	client_close(&client);
	return NULL;
}

static void test_many_clients_over_two_loops(void **state)
{
	pthread_t threads[8];
	(void)state;
	app.config.loop_count = 2;
	app_start(&app, NULL);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, request_many, &app), 0);
	for (size_t i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	app_wait(&app, &app.releases, 2400);
	app_wait_connections(&app, 0);
}

static void test_limit_of_connections(void **state)
{
	(void)state;
	app.config.connections_max = 2;
	app_start(&app, NULL);
	struct client a = client_connect("127.0.0.1", app_port(&app));
	struct client b = client_connect("127.0.0.1", app_port(&app));
	client_expect(&a, POST_5, 200, "hello");
	client_expect(&b, POST_5, 200, "hello");
	struct client c = client_connect("127.0.0.1", app_port(&app));
	client_expect_end(&c);
	client_close(&c);
	client_close(&a);
	app_wait_connections(&app, 1);
	struct client d = client_connect("127.0.0.1", app_port(&app));
	client_expect(&d, POST_5, 200, "hello");
	struct http_server_counters counters;
	http_server_count(app.server, &counters);
	assert_int_equal(counters.connections_refused, 1);
	assert_int_equal(counters.connections_total, 3);
	client_close(&b);
	client_close(&d);
}

static struct client connect_from(const char *source, uint16_t port)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	unsigned last = (unsigned)strtoul(strrchr(source, '.') + 1, NULL, 10);
	from.sin_addr.s_addr = htonl(0x7f000000U | last);
	struct client client = {.descriptor = socket(AF_INET, SOCK_STREAM, 0)};
	assert_int_equal(bind(client.descriptor, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(client.descriptor, (struct sockaddr *)&to, sizeof(to)), 0);
	return client;
}

static void test_limit_per_address(void **state)
{
	(void)state;
	app.config.connections_per_address_max = 1;
	app_start(&app, NULL);
	struct client a = connect_from("127.0.0.2", app_port(&app));
	client_expect(&a, POST_5, 200, "hello");
	struct client b = connect_from("127.0.0.2", app_port(&app));
	client_expect_end(&b);
	struct client c = connect_from("127.0.0.3", app_port(&app));
	client_expect(&c, POST_5, 200, "hello");
	struct http_server_counters counters;
	http_server_count(app.server, &counters);
	assert_int_equal(counters.connections_refused, 1);
	assert_int_equal(counters.connections_open, 2);
	client_close(&a);
	app_wait_connections(&app, 1);
	struct client d = connect_from("127.0.0.2", app_port(&app));
	client_expect(&d, POST_5, 200, "hello");
	client_close(&b);
	client_close(&c);
	client_close(&d);
}

static void test_out_of_descriptors_waits_without_spinning(void **state)
{
	struct rlimit before, none;
	(void)state;
	app_start(&app, NULL);
	struct client client = {.descriptor = socket(AF_INET, SOCK_STREAM, 0)};
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(app_port(&app)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(connect(client.descriptor, (struct sockaddr *)&to, sizeof(to)), 0);
	client_send_text(&client, POST_5);
	double used = cpu_seconds();
	usleep(250000);
	used = cpu_seconds() - used;
	assert_int_equal(app_get(&app, &app.heads), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(used < 0.02);
	client_expect(&client, "", 200, "hello");
	client_close(&client);
}

static void test_taken_port_is_named(void **state)
{
	struct http_server *second = NULL;
	struct note note = {0};
	char expected[64];
	(void)state;
	app_start(&app, NULL);
	struct http_server_config config = app.config;
	config.listeners[0].port = app_port(&app);
	assert_int_equal(http_server_open(&config, &second, &note), RESULT_UNAVAILABLE);
	assert_null(second);
	(void)snprintf(expected, sizeof(expected), "127.0.0.1 port %u", (unsigned)app_port(&app));
	assert_non_null(strstr(note.text, expected));
	config.listeners[0] = (struct http_listener){.address = "localhost"};
	assert_int_equal(http_server_open(&config, &second, &note), RESULT_UNAVAILABLE);
	assert_non_null(strstr(note.text, "localhost"));
}

static void test_ipv6(void **state)
{
	struct http_server *server = NULL;
	struct note note = {0};
	(void)state;
	app_start(&app, NULL);
	struct http_server_config config = app.config;
	config.listeners[0] = (struct http_listener){.address = "::1"};
	config.connections_per_address_max = 1;
	if (http_server_open(&config, &server, &note) != RESULT_OK)
		skip();
	struct client client = client_connect("::1", http_server_port(server, 0));
	client_expect(&client, POST_5, 200, "hello");
	client_close(&client);
	http_server_close(server, 0);
}

static void *close_server(void *context)
{
	struct app *closing = context;
	http_server_close(closing->server, closing->drain_ms);
	return NULL;
}

static void test_graceful_close(void **state)
{
	pthread_t closer;
	struct client held = start();
	struct answer answer;
	(void)state;
	struct client idle = client_connect("127.0.0.1", app_port(&app));
	client_expect(&idle, POST_5, 200, "hello");
	client_send_text(&held, "POST /hold HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi" POST_5);
	app_wait(&app, &app.held_count, 1);
	uint16_t port = app_port(&app);
	app.drain_ms = 60000; /* it ends as soon as all are answered */
	assert_int_equal(pthread_create(&closer, NULL, close_server, &app), 0);
	client_expect_end(&idle);
	int probe = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	assert_int_equal(connect(probe, (struct sockaddr *)&to, sizeof(to)), -1);
	close(probe);
	held_respond(&app);
	client_receive(&held, false, &answer);
	assert_true(span_is_text(buf_span(&answer.body), "hi"));
	assert_true(answer_has(&answer, "\r\nConnection: close\r\n"));
	answer_release(&answer);
	client_close(&idle);
	client_close(&held);
	pthread_join(closer, NULL);
	app.server = NULL;
}

static void test_close_waits_for_held_exchanges_but_not_their_clients(void **state)
{
	pthread_t closer;
	struct client held = start();
	(void)state;
	client_send_text(&held, "POST /hold HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi");
	app_wait(&app, &app.held_count, 1);
	app.drain_ms = 300;
	assert_int_equal(pthread_create(&closer, NULL, close_server, &app), 0);
	client_expect_end(&held);
	assert_int_equal(app_get(&app, &app.releases), 0);
	held_respond(&app);
	pthread_join(closer, NULL);
	app.server = NULL;
	assert_int_equal(app_get(&app, &app.releases), 1);
	client_close(&held);
}

#define server_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		server_test(test_keep_alive),
		server_test(test_what_a_request_allows_itself_ends_with_it),
		server_test(test_pipelining_keeps_the_order),
		server_test(test_byte_by_byte),
		server_test(test_chunked_body),
		server_test(test_bodiless_answers),
		server_test(test_closing_is_said_and_done),
		server_test(test_half_closed_client_is_answered),
		server_test(test_expect_continue),
		server_test(test_refused_body_that_was_read_keeps_the_connection),
		server_test(test_refusals_are_answered_and_close),
		server_test(test_refusal_reaches_a_busy_client),
		server_test(test_refused_body_is_handed_out),
		server_test(test_large_answer_to_a_slow_reader),
		server_test(test_unread_answers_are_bounded),
		server_test(test_input_behind_a_held_request_waits),
		server_test(test_client_vanishes_while_held),
		server_test(test_client_vanishes_in_the_middle),
		server_test(test_many_clients_over_two_loops),
		server_test(test_limit_of_connections),
		server_test(test_limit_per_address),
		server_test(test_out_of_descriptors_waits_without_spinning),
		server_test(test_taken_port_is_named),
		server_test(test_ipv6),
		server_test(test_graceful_close),
		server_test(test_close_waits_for_held_exchanges_but_not_their_clients),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
