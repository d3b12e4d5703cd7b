/* The server over TLS, with a real certification authority of the project's own. */
#include "support.h"

#include "base/clock.h"
#include "crypto/certificate.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define H      "Host: a\r\n"
#define POST_5 "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello"

static struct app app;
static char directory[] = "/tmp/vinveil-http-XXXXXX";
static char root_path[64], server_certificate[64], server_key[64], client_certificate[64], client_key[64];
static char device_root_path[64], device_certificate[64], device_key[64];

#define assert_ok(expression) assert_string_equal(result_name(expression), "ok")

/* ---- certificates ---------------------------------------------------------------------------------- */

static void write_file(char path[static 64], const char *name, struct span content)
{
	(void)snprintf(path, 64, "%s/%s", directory, name);
	FILE *file = fopen(path, "wxb");
	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	assert_int_equal(fwrite(content.data, 1, content.size, file), content.size);
	assert_int_equal(fclose(file), 0);
}

static struct issuer *make_root(const char *name, char path[static 64])
{
	BUF_CLEANUP struct buf pem = {0};
	struct private_key *key;
	struct issuer *root;
	int64_t now_ms = clock_now_ms(clock_system());
	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(certificate_make_root(key, name, 0, now_ms - 60000, entropy_system(), &pem, NULL));
	assert_ok(issuer_open(buf_span(&pem), key, &root, NULL));
	write_file(path, name, buf_span(&pem));
	return root;
}

static void make_leaf(struct issuer *root, struct certificate_request request, const char *name,
		      char certificate_path[static 64], char key_path[static 64])
{
	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf der = {0};
	BUF_CLEANUP struct buf pem = {0};
	BUF_CLEANUP struct buf key_pem = {0};
	struct private_key *key;
	struct serial serial;
	char file_name[32];
	int64_t now_ms = clock_now_ms(clock_system());
	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(csr_make(key, &csr, NULL));
	request.csr = buf_span(&csr);
	request.not_before_ms = now_ms - 60000;
	request.not_after_ms = now_ms + 3600000;
	assert_ok(issuer_issue(root, entropy_system(), &request, &der, &serial, NULL));
	assert_ok(certificate_der_to_pem(buf_span(&der), &pem));
	assert_ok(private_key_to_pem(key, NULL, &key_pem));
	private_key_release(key);
	(void)snprintf(file_name, sizeof(file_name), "%s.pem", name);
	write_file(certificate_path, file_name, buf_span(&pem));
	(void)snprintf(file_name, sizeof(file_name), "%s.key", name);
	write_file(key_path, file_name, buf_span(&key_pem));
}

static int make_certificates(void **state)
{
	static const char *const names[] = {"127.0.0.1", NULL};
	struct note note = {0};
	(void)state;
	assert_ok(crypto_init(&note));
	assert_non_null(mkdtemp(directory));
	struct issuer *root = make_root("root.pem", root_path);
	struct issuer *device_root = make_root("device-root.pem", device_root_path);
	make_leaf(
		root,
		(struct certificate_request){.profile = CERTIFICATE_SERVER, .name = "localhost", .alternatives = names},
		"server", server_certificate, server_key);
	make_leaf(root, (struct certificate_request){.profile = CERTIFICATE_OPERATOR, .name = "crm"}, "client",
		  client_certificate, client_key);
	make_leaf(device_root, (struct certificate_request){.profile = CERTIFICATE_CLAIM, .name = "batch"}, "device",
		  device_certificate, device_key);
	issuer_close(root);
	issuer_close(device_root);
	return 0;
}

static int remove_certificates(void **state)
{
	const char *const paths[] = {root_path,	 server_certificate, server_key,	 client_certificate,
				     client_key, device_root_path,   device_certificate, device_key};
	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		(void)unlink(paths[i]);
	return rmdir(directory);
}

/* ---- tests ----------------------------------------------------------------------------------------- */

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
	return 0;
}

static void start(void)
{
	struct tls_server_config config = {
		.certificate_path = server_certificate, .key_path = server_key, .client_root_path = root_path};
	app_start(&app, &config);
}

static struct client connect_tls(bool with_certificate)
{
	struct client_identity identity = {.certificate_path = client_certificate, .key_path = client_key};
	struct client client = client_connect("127.0.0.1", app_tls_port(&app));
	assert_true(client_start_tls(&client, root_path, with_certificate ? &identity : NULL));
	return client;
}

static void test_requests_and_peer(void **state)
{
	(void)state;
	start();
	struct client known = connect_tls(true);
	struct client unknown = connect_tls(false);
	for (int i = 0; i < 3; i++) {
		client_expect(&known, POST_5, 200, "hello");
		client_expect(&known, "GET /peer HTTP/1.1\r\n" H "\r\n", 200, "crm");
		client_expect(&unknown, "GET /peer HTTP/1.1\r\n" H "\r\n", 200, "none");
	}
	client_close(&known);
	client_expect(&unknown, "GET /echo HTTP/1.1\r\n" H "Connection: close\r\n\r\n", 200, "");
	client_expect_end(&unknown);
	client_close(&unknown);
	app_wait_connections(&app, 0);
}

static void test_pipelining_in_one_record_and_many(void **state)
{
	BUF_CLEANUP struct buf requests = {0};
	(void)state;
	start();
	struct client client = connect_tls(false);
	for (int i = 0; i < 600; i++)
		assert_ok(buf_append_text(
			&requests, i % 2 ? POST_5 : "POST /thread HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nworld"));
	client_send(&client, buf_span(&requests));
	for (int i = 0; i < 600; i++)
		client_expect(&client, "", 200, i % 2 ? "hello" : "world");
	for (size_t i = 0; i < requests.size; i += 777)
		client_send(&client, span_of(requests.data + i, requests.size - i < 777 ? requests.size - i : 777));
	for (int i = 0; i < 600; i++)
		client_expect(&client, "", 200, i % 2 ? "hello" : "world");
	client_close(&client);
}

#define FLOOD_BURST 20000

static atomic_bool is_flood_over;

/* Takes the answers off the wire as they come, encrypted as they are. */
static void *drain(void *context)
{
	static char bytes[65536];
	const struct client *client = context;
	while (recv(client->descriptor, bytes, sizeof(bytes), 0) > 0)
		;
	return NULL;
}

/* Sends pipelined requests faster than they can be answered. */
static void *flood(void *context)
{
	struct client *client = context;
	BUF_CLEANUP struct buf requests = {0};
	for (size_t i = 0; i < FLOOD_BURST; i++)
		if (buf_append_text(&requests, "GET /echo HTTP/1.1\r\n" H "\r\n") != RESULT_OK)
			return NULL;
	while (!atomic_load(&is_flood_over))
		client_send(client, buf_span(&requests));
	(void)shutdown(client->descriptor, SHUT_WR);
	return NULL;
}

static void test_flood_leaves_others_their_turn(void **state)
{
	pthread_t sender, receiver;
	(void)state;
	atomic_store(&is_flood_over, false);
	start();
	struct client flooder = connect_tls(false);
	struct client other = connect_tls(false);
	assert_int_equal(pthread_create(&sender, NULL, flood, &flooder), 0);
	assert_int_equal(pthread_create(&receiver, NULL, drain, &flooder), 0);
	while (app_get(&app, &app.heads) < FLOOD_BURST / 2)
		usleep(1000);
	/* The flood does not end before this one has its answer. */
	client_expect(&other, POST_5, 200, "hello");
	atomic_store(&is_flood_over, true);
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	client_close(&flooder);
	client_close(&other);
}

static void test_large_bodies_both_ways(void **state)
{
	static uint8_t body[900000];
	struct answer answer;
	(void)state;
	start();
	struct client client = connect_tls(false);
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * 7 + i / 4096);
	client_send_text(&client, "POST /echo HTTP/1.1\r\n" H "Content-Length: 900000\r\n\r\n");
	client_send(&client, span_of(body, sizeof(body)));
	usleep(50000);
	client_receive(&client, false, &answer);
	assert_int_equal(answer.status, 200);
	assert_true(span_equal(buf_span(&answer.body), span_of(body, sizeof(body))));
	answer_release(&answer);
	client_send_text(&client, "POST /stream HTTP/1.1\r\n" H "Content-Length: 900000\r\n\r\n");
	client_send(&client, span_of(body, sizeof(body)));
	client_expect(&client, "", 200, "900000 complete");
	client_expect(&client, "GET /large HTTP/1.1\r\n" H "\r\n", 200, NULL);
	client_close(&client);
}

static void test_peer_outlives_the_client(void **state)
{
	(void)state;
	start();
	struct client client = connect_tls(true);
	client_send_text(&client, "POST /hold HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n1");
	app_wait(&app, &app.held_count, 1);
	client_reset(&client);
	app_wait_connections(&app, 0);
	assert_string_equal(app.held->peer->common_name, "crm");
	held_respond(&app);
	app_wait(&app, &app.releases, 1);
}

static void start_for_devices(void)
{
	struct tls_server_config config = {.certificate_path = server_certificate,
					   .key_path = server_key,
					   .client_root_path = root_path,
					   .device_root_path = device_root_path};
	app_start(&app, &config);
}

/* Whose certificate it is, and the certificate itself, are there as long as the exchange. */
static void test_a_devices_certificate_outlives_the_client(void **state)
{
	struct client_identity identity = {.certificate_path = device_certificate, .key_path = device_key};
	struct certificate_facts facts;
	(void)state;
	start_for_devices();
	struct client client = client_connect("127.0.0.1", app_tls_port(&app));
	assert_true(client_start_tls(&client, root_path, &identity));
	client_expect(&client, "GET /peer HTTP/1.1\r\n" H "\r\n", 200, "batch");
	client_send_text(&client, "POST /hold HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n1");
	app_wait(&app, &app.held_count, 1);
	client_reset(&client);
	app_wait_connections(&app, 0);
	assert_int_equal(app.held->peer->authority, TLS_AUTHORITY_DEVICE);
	assert_ok(certificate_read_der(app.held->peer->certificate, &facts, NULL));
	assert_string_equal(facts.common_name, "batch");
	assert_memory_equal(facts.serial.bytes, app.held->peer->serial.bytes, SERIAL_SIZE);
	held_respond(&app);
	app_wait(&app, &app.releases, 2);
}

static void test_an_operator_is_none_of_the_devices(void **state)
{
	(void)state;
	start_for_devices();
	struct client client = connect_tls(true);
	client_send_text(&client, "POST /hold HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n1");
	app_wait(&app, &app.held_count, 1);
	assert_int_equal(app.held->peer->authority, TLS_AUTHORITY_OPERATOR);
	assert_int_equal(app.held->peer->certificate.size, 0);
	held_respond(&app);
	client_close(&client);
	app_wait(&app, &app.releases, 1);
}

static void test_plain_client_fails_the_handshake(void **state)
{
	struct http_server_counters counters = {0};
	(void)state;
	start();
	struct client client = client_connect("127.0.0.1", app_tls_port(&app));
	client_send_text(&client, POST_5);
	client_expect_cut(&client);
	client_close(&client);
	http_server_count(app.server, &counters);
	assert_int_equal(counters.handshakes_failed, 1);
	assert_int_equal(app_get(&app, &app.heads) + app_get(&app, &app.refusals), 0);
}

static void test_tls_client_on_the_plain_port(void **state)
{
	(void)state;
	app.config.head_ms = 100;
	start();
	struct client client = client_connect("127.0.0.1", app_port(&app));
	assert_false(client_start_tls(&client, root_path, NULL));
	client_close(&client);
	app_wait_connections(&app, 0);
}

static void test_deadline_of_the_handshake(void **state)
{
	(void)state;
	app.config.handshake_ms = 150;
	start();
	struct client client = client_connect("127.0.0.1", app_tls_port(&app));
	client_expect_end(&client);
	client_close(&client);
	client = client_connect("127.0.0.1", app_tls_port(&app));
	client_send(&client, span_of("\x16\x03\x01", 3));
	client_expect_end(&client);
	client_close(&client);
}

static void test_idle_end_and_refusal_over_tls(void **state)
{
	(void)state;
	app.config.idle_ms = 150;
	start();
	struct client client = connect_tls(false);
	client_expect(&client, POST_5, 200, "hello");
	client_expect_end(&client);
	client_close(&client);
	client = connect_tls(false);
	client_expect(&client, "nonsense\r\n", 400, NULL);
	client_expect_end(&client);
	client_close(&client);
}

#define server_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		server_test(test_requests_and_peer),
		server_test(test_pipelining_in_one_record_and_many),
		server_test(test_flood_leaves_others_their_turn),
		server_test(test_large_bodies_both_ways),
		server_test(test_peer_outlives_the_client),
		server_test(test_a_devices_certificate_outlives_the_client),
		server_test(test_an_operator_is_none_of_the_devices),
		server_test(test_plain_client_fails_the_handshake),
		server_test(test_tls_client_on_the_plain_port),
		server_test(test_deadline_of_the_handshake),
		server_test(test_idle_end_and_refusal_over_tls),
	};
	return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
