/* What the server's tests share: a client over real loopback sockets, an application with a path a behaviour. */
#ifndef VINVEIL_TESTS_HTTP_SUPPORT_H
#define VINVEIL_TESTS_HTTP_SUPPORT_H

#include "../cmocka_all.h"

#include "http/http.h"

#include <pthread.h>

/* ---- client ---------------------------------------------------------------------------------------- */

struct client {
	int descriptor;
	void *ssl; /* NULL: plain */
	struct buf input;
};

struct answer {
	int status;
	char head[2048];
	struct buf body;
};

struct client_identity {
	const char *certificate_path, *key_path; /* NULL: none */
};

struct client client_connect(const char *address, uint16_t port);
/* NULL for no certificate. False when the handshake fails. */
bool client_start_tls(struct client *client, const char *root_path, const struct client_identity *identity);
void client_send(struct client *client, struct span bytes);
void client_send_text(struct client *client, const char *text);
/* A whole response with its body (none when has_no_body); fails the test when none comes. */
void client_receive(struct client *client, bool has_no_body, struct answer *ret_answer);
/* Sends, receives, checks the status. The answer's body is compared unless it is NULL. */
void client_expect(struct client *client, const char *request, int status, const char *body);
/* The server has ended the connection properly, without a byte more. */
void client_expect_end(struct client *client);
/* The connection is cut without an answer, by end or reset. */
void client_expect_cut(struct client *client);
void client_close(struct client *client);
/* As a client that crashes: the server is sent a reset. */
void client_reset(struct client *client);
void answer_release(struct answer *answer);
bool answer_has(const struct answer *answer, const char *header_line);

/* ---- application ----------------------------------------------------------------------------------- */

/*
 * /echo      the body back                         /thread   the same, from another thread
 * /turn      the same, at the turn's end           /hold     kept until held_respond()
 * /limited   takes 10 bytes of body                /refuse   403 without a look at the body
 * /stream    streamed; answers "COUNT complete|broken" (200 or 400)
 * /pause     streamed; each chunk is kept until held_continue()
 * /close     ends the connection                   /large    4 MiB
 * /nothing   204                                   /peer     the common name of the client, or "none"
 */
struct app {
	struct http_server *server;
	struct http_server_config config;
	struct tls_server *tls;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t worker;
	bool is_stopping;
	struct http_exchange *queue; /* for the worker */
	struct http_exchange *held;
	struct http_exchange *turn; /* of the one loop that has it */
	size_t heads, refusals, releases, chunks, short_chunks, streamed, broken, held_count;
	int refused_status;
	int64_t drain_ms; /* of who closes the server on a thread of its own */
};

/* Starts a server with one plain listener (and a TLS one when tls_config is not NULL) by app->config. */
void app_prepare(struct app *app);
void app_start(struct app *app, const struct tls_server_config *tls_config);
void app_stop(struct app *app);
uint16_t app_port(const struct app *app);
uint16_t app_tls_port(const struct app *app);

void held_respond(struct app *app);
/* With the response as it is. */
void held_give_back(struct app *app);
void held_continue(struct app *app);
size_t app_get(struct app *app, const size_t *counter);
/* Waits until *counter is `value`; fails the test when that takes seconds. */
void app_wait(struct app *app, const size_t *counter, size_t value);
void app_wait_connections(struct app *app, size_t value);

#endif
