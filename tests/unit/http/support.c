#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 60 /* of a test that fails */

/* ---- client ---------------------------------------------------------------------------------------- */

struct client client_connect(const char *address, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
	if (!is_v4)
		assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
	struct client client = {.descriptor = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM, 0)};
	assert_true(client.descriptor >= 0);
	struct timeval patience = {.tv_sec = PATIENCE_S};
	setsockopt(client.descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(client.descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	client.input.size_max = (size_t)16 << 20;
	int failed = is_v4 ? connect(client.descriptor, (struct sockaddr *)&v4, sizeof(v4))
			   : connect(client.descriptor, (struct sockaddr *)&v6, sizeof(v6));
	assert_int_equal(failed, 0);
	return client;
}

bool client_start_tls(struct client *client, const char *root_path, const struct client_identity *identity)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	assert_non_null(context);
	assert_int_equal(SSL_CTX_load_verify_locations(context, root_path, NULL), 1);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (identity != NULL) {
		assert_int_equal(SSL_CTX_use_certificate_chain_file(context, identity->certificate_path), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(context, identity->key_path, SSL_FILETYPE_PEM), 1);
	}
	SSL *ssl = SSL_new(context);
	SSL_CTX_free(context);
	assert_non_null(ssl);
	SSL_set_fd(ssl, client->descriptor);
	client->ssl = ssl;
	return SSL_connect(ssl) == 1;
}

void client_send(struct client *client, struct span bytes)
{
	while (bytes.size > 0) {
		ssize_t size;
		do { /* a process that was stopped and goes on finds its calls interrupted */
			errno = 0;
			if (client->ssl != NULL)
				size = SSL_write(client->ssl, bytes.data, bytes.size < 16384 ? (int)bytes.size : 16384);
			else
				size = send(client->descriptor, bytes.data, bytes.size, MSG_NOSIGNAL);
		} while (size < 0 && errno == EINTR);
		assert_true(size > 0);
		bytes = span_of(bytes.data + size, bytes.size - (size_t)size);
	}
}

void client_send_text(struct client *client, const char *text)
{
	client_send(client, span_of_text(text));
}

/* 0 at the end of the stream, -1 on an error or when nothing comes. */
static ssize_t receive_some(struct client *client)
{
	uint8_t bytes[65536];
	ssize_t size;
	errno = 0;
	do
		size = client->ssl != NULL ? SSL_read(client->ssl, bytes, sizeof(bytes))
					   : recv(client->descriptor, bytes, sizeof(bytes), 0);
	while (size < 0 && errno == EINTR);
	if (client->ssl != NULL && size <= 0)
		return SSL_get_error(client->ssl, (int)size) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
	if (size > 0)
		assert_int_equal(buf_append(&client->input, span_of(bytes, (size_t)size)), RESULT_OK);
	return size;
}

static void receive_more(struct client *client)
{
	if (receive_some(client) <= 0)
		fail_msg("the connection ended before the response did");
}

void client_receive(struct client *client, bool has_no_body, struct answer *ret_answer)
{
	char *end;
	*ret_answer = (struct answer){.body.size_max = (size_t)16 << 20};
	while (client->input.size == 0 || (end = strstr((char *)client->input.data, "\r\n\r\n")) == NULL)
		receive_more(client);
	size_t head_size = (size_t)(end - (char *)client->input.data) + 4;
	assert_in_range(head_size, 1, sizeof(ret_answer->head) - 1);
	memcpy(ret_answer->head, client->input.data, head_size);
	ret_answer->head[head_size] = '\0';
	buf_consume(&client->input, head_size);
	assert_int_equal(sscanf(ret_answer->head, "HTTP/1.1 %d ", &ret_answer->status), 1);
	const char *length = strstr(ret_answer->head, "\r\nContent-Length: ");
	size_t size = length != NULL && !has_no_body ? strtoul(length + 18, NULL, 10) : 0;
	while (client->input.size < size)
		receive_more(client);
	assert_int_equal(buf_append(&ret_answer->body, span_of(client->input.data, size)), RESULT_OK);
	buf_consume(&client->input, size);
}

void client_expect(struct client *client, const char *request, int status, const char *body)
{
	struct answer answer;
	client_send_text(client, request);
	client_receive(client, false, &answer);
	assert_int_equal(answer.status, status);
	if (body != NULL)
		assert_true(span_is_text(buf_span(&answer.body), body));
	answer_release(&answer);
}

void client_expect_end(struct client *client)
{
	assert_int_equal(client->input.size, 0);
	assert_int_equal(receive_some(client), 0);
}

void client_expect_cut(struct client *client)
{
	assert_true(receive_some(client) <= 0);
}

void client_close(struct client *client)
{
	SSL_free(client->ssl);
	close(client->descriptor);
	buf_release(&client->input);
}

void client_reset(struct client *client)
{
	struct linger linger = {.l_onoff = 1};
	setsockopt(client->descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	client_close(client);
}

void answer_release(struct answer *answer)
{
	buf_release(&answer->body);
}

bool answer_has(const struct answer *answer, const char *header_line)
{
	return strstr(answer->head, header_line) != NULL;
}

/* ---- application ----------------------------------------------------------------------------------- */

static void count(struct app *app, size_t *counter, size_t more)
{
	pthread_mutex_lock(&app->lock);
	*counter += more;
	pthread_cond_broadcast(&app->changed);
	pthread_mutex_unlock(&app->lock);
}

static bool is_path(const struct http_exchange *exchange, const char *path)
{
	return span_is_text(exchange->request.path, path);
}

static enum http_body_mode on_head(void *context, struct http_exchange *exchange)
{
	struct app *app = context;
	count(app, &app->heads, 1);
	if (is_path(exchange, "/refuse")) {
		exchange->response.status = 403;
		exchange->response.static_body = span_of_text("no");
		return HTTP_BODY_REFUSE;
	}
	if (is_path(exchange, "/limited") || is_path(exchange, "/limited-hold"))
		exchange->body_size_max = 10;
	if (is_path(exchange, "/stream") || is_path(exchange, "/pause"))
		return HTTP_BODY_STREAM;
	return HTTP_BODY_COLLECT;
}

static void push(struct app *app, struct http_exchange **list, struct http_exchange *exchange)
{
	pthread_mutex_lock(&app->lock);
	struct http_exchange **at = list;
	while (*at != NULL)
		at = &(*at)->next;
	exchange->next = NULL;
	*at = exchange;
	if (list == &app->held)
		app->held_count++;
	pthread_cond_broadcast(&app->changed);
	pthread_mutex_unlock(&app->lock);
}

static struct http_exchange *pop(struct app *app, struct http_exchange **list)
{
	pthread_mutex_lock(&app->lock);
	struct http_exchange *exchange = *list;
	if (exchange != NULL)
		*list = exchange->next;
	if (exchange != NULL && list == &app->held)
		app->held_count--;
	pthread_mutex_unlock(&app->lock);
	return exchange;
}

static void echo(struct http_exchange *exchange)
{
	exchange->response.status = 200;
	if (buf_append(&exchange->response.body, buf_span(&exchange->body)) != RESULT_OK)
		exchange->response.status = 500;
	http_respond(exchange);
}

static void answer_text(struct http_exchange *exchange, int status, const char *text)
{
	exchange->response.status = status;
	if (buf_append_text(&exchange->response.body, text) != RESULT_OK)
		exchange->response.status = 500;
	http_respond(exchange);
}

static void answer_large(struct http_exchange *exchange)
{
	struct buf *body = &exchange->response.body;
	body->size_max = (size_t)4 << 20;
	exchange->response.status = 200;
	for (size_t i = 0; i < ((size_t)4 << 20) / 64; i++)
		if (buf_append_format(body, "%063zu\n", i) != RESULT_OK)
			exchange->response.status = 500;
	http_respond(exchange);
}

/* The bound as the request found it, raised for itself. */
static void answer_arena(struct http_exchange *exchange)
{
	char text[32];
	(void)snprintf(text, sizeof(text), "%zu", exchange->arena.size_max);
	exchange->arena.size_max = (size_t)1 << 30;
	answer_text(exchange, 200, text);
}

static void answer_streamed(struct app *app, struct http_exchange *exchange)
{
	char text[64];
	pthread_mutex_lock(&app->lock);
	(void)snprintf(text, sizeof(text), "%zu %s", app->streamed, exchange->body_complete ? "complete" : "broken");
	pthread_mutex_unlock(&app->lock);
	if (!exchange->body_complete)
		count(app, &app->broken, 1);
	answer_text(exchange, exchange->body_complete ? 200 : 400, text);
}

static void on_request(void *context, struct http_exchange *exchange)
{
	struct app *app = context;
	if (is_path(exchange, "/thread"))
		push(app, &app->queue, exchange);
	else if (is_path(exchange, "/turn"))
		push(app, &app->turn, exchange);
	else if (is_path(exchange, "/hold"))
		push(app, &app->held, exchange);
	else if (is_path(exchange, "/stream") || is_path(exchange, "/pause"))
		answer_streamed(app, exchange);
	else if (is_path(exchange, "/large"))
		answer_large(exchange);
	else if (is_path(exchange, "/arena"))
		answer_arena(exchange);
	else if (is_path(exchange, "/nothing"))
		answer_text(exchange, 204, "dropped");
	else if (is_path(exchange, "/peer"))
		answer_text(exchange, 200, exchange->peer != NULL ? exchange->peer->common_name : "none");
	else {
		exchange->response.close = is_path(exchange, "/close");
		echo(exchange);
	}
}

static void on_body_chunk(void *context, struct http_exchange *exchange)
{
	struct app *app = context;
	pthread_mutex_lock(&app->lock);
	app->chunks++;
	app->streamed += exchange->body.size;
	if (exchange->body.size < 16384)
		app->short_chunks++;
	pthread_mutex_unlock(&app->lock);
	if (is_path(exchange, "/pause"))
		push(app, &app->held, exchange);
	else
		http_body_continue(exchange);
}

static void on_release(void *context, struct http_exchange *exchange)
{
	struct app *app = context;
	assert_non_null(exchange->source_address);
	count(app, &app->releases, 1);
}

static void on_turn_end(void *context, struct http_loop *loop)
{
	struct app *app = context;
	struct http_exchange *exchange;
	(void)loop;
	while ((exchange = pop(app, &app->turn)) != NULL)
		echo(exchange);
}

static void on_refused(void *context, struct http_exchange *exchange, int status, const char *reason)
{
	struct app *app = context;
	count(app, &app->refusals, 1);
	exchange->response.status = status;
	if (buf_append_text(&exchange->response.body, reason) != RESULT_OK)
		exchange->response.status = 500;
}

static void on_body_refused(void *context, struct http_exchange *exchange, int status, const char *reason)
{
	struct app *app = context;
	count(app, &app->refusals, 1);
	exchange->response.status = status;
	if (buf_append_text(&exchange->response.body, reason) != RESULT_OK)
		exchange->response.status = 500;
	if (is_path(exchange, "/limited-hold"))
		push(app, &app->held, exchange);
	else
		http_respond(exchange);
}

static void *work(void *context)
{
	struct app *app = context;
	for (;;) {
		pthread_mutex_lock(&app->lock);
		while (app->queue == NULL && !app->is_stopping)
			pthread_cond_wait(&app->changed, &app->lock);
		pthread_mutex_unlock(&app->lock);
		struct http_exchange *exchange = pop(app, &app->queue);
		if (exchange == NULL)
			return NULL;
		echo(exchange);
	}
}

void app_prepare(struct app *app)
{
	static const struct http_application application = {
		.on_head = on_head,
		.on_request = on_request,
		.on_body_chunk = on_body_chunk,
		.on_release = on_release,
		.on_turn_end = on_turn_end,
		.on_refused = on_refused,
		.on_body_refused = on_body_refused,
	};
	*app = (struct app){0};
	pthread_mutex_init(&app->lock, NULL);
	pthread_cond_init(&app->changed, NULL);
	http_server_config_defaults(&app->config);
	app->config.application = &application;
	app->config.application_context = app;
}

void app_start(struct app *app, const struct tls_server_config *tls_config)
{
	struct note note = {0};
	app->config.listeners[0] = (struct http_listener){.address = "127.0.0.1"};
	app->config.listener_count = 1;
	if (tls_config != NULL) {
		if (tls_server_open(tls_config, &app->tls, &note) != RESULT_OK)
			fail_msg("%s", note.text);
		app->config.listeners[1] = (struct http_listener){.address = "127.0.0.1", .tls = app->tls};
		app->config.listener_count = 2;
	}
	assert_int_equal(pthread_create(&app->worker, NULL, work, app), 0);
	if (http_server_open(&app->config, &app->server, &note) != RESULT_OK)
		fail_msg("%s", note.text);
}

void app_stop(struct app *app)
{
	http_server_close(app->server, 0);
	pthread_mutex_lock(&app->lock);
	app->is_stopping = true;
	pthread_cond_broadcast(&app->changed);
	pthread_mutex_unlock(&app->lock);
	pthread_join(app->worker, NULL);
	tls_server_close(app->tls);
	pthread_mutex_destroy(&app->lock);
	pthread_cond_destroy(&app->changed);
}

uint16_t app_port(const struct app *app)
{
	return http_server_port(app->server, 0);
}

uint16_t app_tls_port(const struct app *app)
{
	return http_server_port(app->server, 1);
}

void held_respond(struct app *app)
{
	app_wait(app, &app->held_count, 1);
	echo(pop(app, &app->held));
}

void held_give_back(struct app *app)
{
	app_wait(app, &app->held_count, 1);
	http_respond(pop(app, &app->held));
}

void held_continue(struct app *app)
{
	app_wait(app, &app->held_count, 1);
	http_body_continue(pop(app, &app->held));
}

size_t app_get(struct app *app, const size_t *counter)
{
	pthread_mutex_lock(&app->lock);
	size_t value = *counter;
	pthread_mutex_unlock(&app->lock);
	return value;
}

void app_wait(struct app *app, const size_t *counter, size_t value)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	int error = 0;
	pthread_mutex_lock(&app->lock);
	while (*counter != value && error == 0)
		error = pthread_cond_timedwait(&app->changed, &app->lock, &until);
	size_t last = *counter;
	pthread_mutex_unlock(&app->lock);
	assert_int_equal(last, value);
}

void app_wait_connections(struct app *app, size_t value)
{
	struct http_server_counters counters = {0};
	for (int i = 0; i < PATIENCE_S * 500; i++) {
		http_server_count(app->server, &counters);
		if (counters.connections_open == value)
			return;
		usleep(2000);
	}
	assert_int_equal(counters.connections_open, value);
}
