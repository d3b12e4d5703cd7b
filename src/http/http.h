/*
 * The HTTP transport: listeners, connections, TLS, HTTP/1.1. It knows nothing of what it carries; an
 * application (struct http_application) gives it meaning. The wire syntax is RFC 9112, the semantics
 * RFC 9110. Between connection and application stands one object, the exchange: one request and its
 * answer. An HTTP/2 reader would make exchanges out of streams and change nothing above this header.
 *
 * Threads: each loop is one thread with its own SO_REUSEPORT listeners and epoll. Callbacks of the
 * application run on the loop and must not block. An exchange belongs to its loop until a callback hands
 * it out; whoever holds it may fill the response from any thread and gives it back by exactly one
 * http_respond(). After that call the exchange must not be touched.
 *
 * Life of an exchange:
 *   head parsed  → on_head: the application says what to do with the body (or answers at once)
 *   HTTP_BODY_COLLECT: whole body in exchange->body      → on_request
 *   HTTP_BODY_STREAM:  chunk by chunk in exchange->body  → on_body_chunk, next one after http_body_continue()
 *                      after the last, or a broken body  → on_request with body_complete true or false; when
 *                      broken, exchange->body holds what came after the last chunk
 *   HTTP_BODY_REFUSE:  the response is already filled    → sent; the connection closes unless the body was read
 *   sent, or the connection is gone → on_release, then freed
 * A request that never becomes one (malformed, too large, too slow) goes to on_refused instead, which only fills
 * the response; whatever exchange the application has seen, there or in on_head, gets its on_release.
 * One whose head was let in and whose collected body then breaks a bound is handed out by on_body_refused instead of
 * on_request.
 * on_request with body_complete false is answered like any other; the client may be there still to read why.
 * A client that goes away while the exchange is handed out changes nothing: the answer is dropped later.
 */
#ifndef VINVEIL_HTTP_HTTP_H
#define VINVEIL_HTTP_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "crypto/tls.h"

#include <netinet/in.h>

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_PATCH,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_METHOD_OTHER, /* a well-formed token that is none of these */
};

struct http_header {
	struct span name;  /* lower case */
	struct span value; /* trimmed of optional white space */
};

#define HTTP_HEADERS_MAX	 64
#define HTTP_HEAD_SIZE_MAX	 16384 /* request line and headers: 431 beyond */
#define HTTP_TARGET_SIZE_MAX	 2048  /* 414 beyond */
#define HTTP_RESPONSE_HEADER_MAX 1024

struct http_loop;

/* How the request's body is to be treated, said by on_head. */
enum http_body_mode { HTTP_BODY_COLLECT, HTTP_BODY_STREAM, HTTP_BODY_REFUSE };

struct http_request {
	enum http_method method;
	struct span path;  /* percent-decoding not done: paths with '%' never match a route */
	struct span query; /* without '?'; may be empty */
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t header_count;
	bool has_body;
	uint64_t content_length; /* meaningful when has_body and not chunked */
	bool is_chunked;
};

struct http_response {
	int status;
	struct buf headers;	 /* complete lines "Name: value\r\n"; see http_response_header() */
	struct buf body;	 /* Content-Length is the transport's */
	struct span static_body; /* used instead of body when not empty; must outlive the process */
	bool close;		 /* end the connection after it */
};

struct http_exchange {
	struct http_request request;
	struct http_response response;
	struct buf body;	     /* what was collected, or the current chunk */
	bool body_complete;	     /* false in on_request: the client broke off in the middle of a streamed body */
	size_t body_size_max;	     /* COLLECT: 413 beyond; set by on_head (else BUF_SIZE_MAX_DEFAULT) */
	const struct tls_peer *peer; /* the verified client certificate of this connection, NULL without one */
	const char *source_address;  /* numeric, without port */
	struct http_loop *loop;
	size_t listener;	    /* index into the configuration's listeners */
	struct arena arena;	    /* the request's memory: wiped after on_release */
	void *application_data;	    /* the application's own */
	struct http_exchange *next; /* for whoever holds it: intrusive lists */
};

/* What the transport asks of above. `context` is http_server_config.application_context. */
struct http_application {
	enum http_body_mode (*on_head)(void *context, struct http_exchange *exchange);
	void (*on_request)(void *context, struct http_exchange *exchange);
	void (*on_body_chunk)(void *context, struct http_exchange *exchange); /* NULL when nothing streams */
	void (*on_release)(void *context, struct http_exchange *exchange);
	/*
	 * After the events of one turn of a loop were handled, whenever a callback above was called since the last
	 * one: the place to hand on what the turn gathered.
	 */
	void (*on_turn_end)(void *context, struct http_loop *loop);
	/*
	 * Fills the response of a request that never becomes one: status is 400, 408, 413, 414, 417, 431, 501
	 * or 505, reason a constant sentence. peer and source_address of the exchange are set.
	 */
	void (*on_refused)(void *context, struct http_exchange *exchange, int status, const char *reason);
	/*
	 * A request that on_head has seen, whose collected body was refused by the transport: status is 400, 408 or
	 * 413. Handed out, and answered by http_respond() like any other, so that the answer can wait.
	 */
	void (*on_body_refused)(void *context, struct http_exchange *exchange, int status, const char *reason);
};

struct http_listener {
	char address[INET6_ADDRSTRLEN]; /* numeric, v4 or v6 */
	uint16_t port;			/* 0: the kernel picks; see http_server_port() */
	struct tls_server *tls;		/* NULL: plain HTTP */
};

#define HTTP_LISTENERS_MAX 4

struct http_server_config {
	struct http_listener listeners[HTTP_LISTENERS_MAX];
	size_t listener_count;
	size_t loop_count;		    /* threads */
	size_t connections_max;		    /* over all loops; beyond it a new connection is closed at once */
	size_t connections_per_address_max; /* 0: unlimited */
	/*
	 * Bytes of answers (and of their requests' arenas) that wait for clients to read them, over all connections.
	 * Beyond it the connection of a client that does not keep up is closed. 0: unlimited.
	 */
	size_t unread_max;
	/*
	 * Deadlines for the whole of a phase, however busy the connection looks meanwhile. head_ms counts from the
	 * first byte of a head (of a new connection: from its beginning); body_ms is for a whole collected body, and
	 * for every 16 KiB of a streamed one, not counting the time in which the application has the chunk.
	 */
	int64_t handshake_ms, head_ms, body_ms, idle_ms, write_ms;
	const struct http_application *application;
	void *application_context;
	struct clock *clock;
};

void http_server_config_defaults(struct http_server_config *config);

struct http_server;

/*
 * Binds and listens, and starts the loops. RESULT_UNAVAILABLE with a note that names address and port,
 * RESULT_INVALID for a configuration without a loop or with too many listeners. No write
 * raises SIGPIPE, and the loops' threads block every signal, so the process's signal handling stays its owner's.
 */
MUST_USE enum result http_server_open(const struct http_server_config *config, struct http_server **ret_server,
				      struct note *note);
uint16_t http_server_port(const struct http_server *server, size_t listener);

/*
 * Stops accepting, closes idle connections, lets what is in flight finish for at most drain_ms, then closes the
 * rest; blocks; frees. Exchanges that the application still has are waited for beyond drain_ms: it must give back
 * each of them. NULL is allowed.
 */
void http_server_close(struct http_server *server, int64_t drain_ms);

struct http_server_counters {
	uint64_t connections_open, connections_total, connections_refused, handshakes_failed, requests_total;
};
void http_server_count(const struct http_server *server, struct http_server_counters *ret_counters);

/* The number of a loop in [0, loop_count): for per-loop data of the application. */
size_t http_loop_number(const struct http_loop *loop);

/* ---- for the holder of an exchange ----------------------------------------------------------------- */

/* Gives the exchange back with its response filled, status between 200 and 599. Any thread; never blocks. */
void http_respond(struct http_exchange *exchange);
/* STREAM: done with this chunk; read on. Any thread. */
void http_body_continue(struct http_exchange *exchange);

/* The header's value, or an empty span with NULL data. name in lower case. */
struct span http_request_header(const struct http_request *request, const char *name);

/* Value must not hold CR, LF or NUL (programmer's error otherwise). */
MUST_USE enum result http_response_header(struct http_response *response, const char *name, const char *value);

/*
 * Finds a parameter of the query string, percent-decoded into ret_value (at most size_max - 1 bytes and a
 * NUL). ABSENT when it is not there; INVALID when it stands twice, is badly encoded, holds a NUL or is too long.
 * '+' is itself, as in RFC 3986, not a space: times with an offset come unencoded more often than spaces do.
 */
MUST_USE enum result http_query_get(struct span query, const char *name, char *ret_value, size_t size_max);

#endif
