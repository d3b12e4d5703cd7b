/*
 * What the files of http/ share. Everything here belongs to one loop's thread, but for what says otherwise.
 *
 *   server.c      opening and closing, counters, the limit per address
 *   loop.c        epoll, deadlines, what comes back from other threads, accepting
 *   connection.c  one connection from handshake to close: reading, handing out, answering
 *   channel.c     bytes over a descriptor, with or without TLS
 *   message.c     exchanges and their memory, the response's head, headers and query strings
 *   http1.c       the HTTP/1.1 reader (pure)
 */
#ifndef VINVEIL_HTTP_INTERNAL_H
#define VINVEIL_HTTP_INTERNAL_H

#include "http/http.h"
#include "http/http1.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#define INPUT_SIZE	   32768 /* of a loop's read buffer, and so the most that is kept of pipelined input */
#define OUTPUT_SIZE	   16384 /* head and body up to here are one write, and one TLS record */
#define STREAM_CHUNK_SIZE  16384 /* a streamed body is handed out in pieces of at least this, but the last */
#define READS_MAX	   16	 /* a turn and connection */
#define EXCHANGES_KEPT_MAX 128
#define BODY_KEPT_SIZE_MAX 65536
#define DATE_LINE_SIZE	   38
#define ACCEPT_PAUSE_MS	   100
#define LINGER_MS	   2000
#define WARM_MS		   150 /* after a request, the buffers of TLS are kept for the next one */
#define LINGER_SIZE_MAX	   (1 << 20)

/* What an epoll event leads to. */
struct event_source {
	void (*handle)(struct event_source *source, uint32_t events);
};

/* ---- deadlines: each phase has a constant length, so a queue a phase is in order of deadline ---------- */

enum phase {
	PHASE_NONE,
	PHASE_HANDSHAKE,
	PHASE_HEAD,
	PHASE_BODY,
	PHASE_WARM, /* between requests, as long as the next one is likely to come at once; then PHASE_IDLE */
	PHASE_IDLE,
	PHASE_WRITE,
	PHASE_LINGER,
	PHASE_COUNT
};

struct phase_queue {
	struct connection *first, *last;
	int64_t length_ms;
};

/* ---- exchanges ------------------------------------------------------------------------------------- */

enum posted { POSTED_RESPONSE, POSTED_CONTINUE };

struct exchange {
	struct http_exchange public; /* first: a struct http_exchange * is a struct exchange * */
	struct connection *connection;
	struct http1_reader reader;
	enum http_body_mode mode;
	enum posted posted;
	bool is_announced; /* the application has seen it: on_release is owed */
	bool is_out;	   /* in the application's hands */
	bool is_body_ended;
	bool is_broken;	    /* STREAM: the body will never be whole */
	size_t unread_size; /* what the server counts of it as waiting for its client */
	struct exchange *next_free;
	uint8_t head[HTTP_HEAD_SIZE_MAX];
};

static inline struct exchange *exchange_of(struct http_exchange *public)
{
	return (struct exchange *)public;
}

/* NULL when there is no memory. */
struct exchange *exchange_take(struct connection *connection);
/* Tells the application, wipes, and keeps or frees. */
void exchange_release(struct exchange *exchange);
void exchange_free(struct exchange *exchange);

/* The status line and headers of the response, with its Content-Length. RESULT_EXHAUSTED when they do not fit. */
MUST_USE enum result response_format_head(struct exchange *exchange, bool close, struct buf *head);

static inline struct span response_body(const struct http_response *response)
{
	return response->static_body.size > 0 ? response->static_body : buf_span(&response->body);
}

/* ---- connections ----------------------------------------------------------------------------------- */

enum connection_state {
	CONNECTION_HANDSHAKE,
	CONNECTION_READING, /* idle, or a request is coming in */
	CONNECTION_OUT,	    /* the application has the exchange */
	CONNECTION_SENDING,
	CONNECTION_LINGER, /* answered; what still comes in is dropped, so that the answer is not reset away */
	CONNECTION_CLOSED, /* descriptor closed; freed at the turn's end, or when its exchange comes back */
};

struct connection {
	struct event_source source;
	struct http_loop *loop;
	struct connection *previous, *next;		/* of the loop, or its list of closed ones */
	struct connection *phase_previous, *phase_next; /* of the phase's queue */
	struct tls_connection *tls;
	struct exchange *exchange;
	int64_t deadline_ms;
	struct buf input; /* pipelined bytes that wait for the answer before them */
	size_t input_used;
	struct buf output; /* what the socket did not take of heads (and small bodies) */
	size_t output_sent;
	size_t body_sent;
	size_t lingered_size;
	int descriptor;
	uint32_t interest; /* what epoll watches */
	enum connection_state state;
	enum phase phase;
	uint8_t listener;
	bool is_used;	     /* a request was answered on it */
	bool watches_output; /* while reading: TLS must send first, or a turn was too short for all there is */
	bool is_closing;     /* nothing more is read; closes after the response */
	uint8_t address_key[16];
	char address[INET6_ADDRSTRLEN];
};

/* Takes the descriptor, whatever happens. */
void connection_open(struct http_loop *loop, size_t listener, int descriptor, const struct sockaddr_storage *peer);
void connection_close(struct connection *connection);
void connection_on_deadline(struct connection *connection);
/* An exchange came back from the application. */
void connection_on_posted(struct exchange *exchange);
/* The server is closing: true when the connection has nothing in flight and may go. */
bool connection_is_idle(const struct connection *connection);
void connection_free(struct connection *connection);

/* ---- channel --------------------------------------------------------------------------------------- */

/* As tls_read() and tls_write(), over the connection's descriptor or its TLS. */
enum tls_progress channel_read(struct connection *connection, uint8_t *ret_bytes, size_t size_max, size_t *ret_size);
enum tls_progress channel_write(struct connection *connection, struct span bytes, size_t *ret_size);

/* ---- loops ----------------------------------------------------------------------------------------- */

struct listener_source {
	struct event_source source;
	struct http_loop *loop;
	size_t number;
	int descriptor;
};

struct http_loop {
	struct http_server *server;
	size_t number;
	pthread_t thread;
	bool is_started;
	int epoll;
	int wake; /* eventfd */
	struct event_source wake_source;
	struct listener_source listeners[HTTP_LISTENERS_MAX];
	int64_t now_ms;		  /* monotonic, read once a turn */
	int64_t accept_resume_ms; /* 0: accepting */
	int64_t drain_deadline_ms;
	bool is_draining;
	bool is_turn_dirty; /* the application was called since its last on_turn_end */
	struct phase_queue phases[PHASE_COUNT];
	struct connection *connections;
	struct connection *closed; /* to be freed at the turn's end */
	size_t connection_count;   /* with those that wait for their exchange */
	struct exchange *free_exchanges;
	size_t free_exchange_count;
	struct http_exchange *local_first, *local_last; /* came back on this thread */
	_Atomic(struct http_exchange *) inbox;		/* came back on others, newest first */
	atomic_size_t posters;				/* other threads inside http_respond() and the like */
	atomic_uint_fast64_t connections_total, connections_refused, handshakes_failed, requests_total;
	int64_t date_second;
	char date_line[DATE_LINE_SIZE];
	struct buf output;
	uint8_t input[INPUT_SIZE];
};

void loop_set_phase(struct connection *connection, enum phase phase);
void loop_watch(struct connection *connection, uint32_t interest);
/* RESULT_UNAVAILABLE with a note. */
MUST_USE enum result loop_open(struct http_server *server, size_t number, struct http_loop **ret_loop,
			       struct note *note);
MUST_USE enum result loop_listen(struct http_loop *loop, size_t listener, int descriptor, struct note *note);
MUST_USE enum result loop_start(struct http_loop *loop, struct note *note);
void loop_wake(struct http_loop *loop);
/* Joins the thread, if it was started, and frees. */
void loop_close(struct http_loop *loop);

static inline void loop_count_up(atomic_uint_fast64_t *counter)
{
	/* One writer: a plain load and store, without the cost of a locked instruction. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* ---- server ---------------------------------------------------------------------------------------- */

#define ADDRESS_BUCKETS 1024

struct address_count; /* a client address that has connections */

struct http_server {
	struct http_server_config config;
	struct http_loop **loops;
	uint16_t ports[HTTP_LISTENERS_MAX];
	atomic_size_t connections_open, unread_size;
	atomic_bool is_draining;
	int64_t drain_ms; /* written before is_draining */
	pthread_mutex_t address_lock;
	struct address_count *addresses[ADDRESS_BUCKETS];
};

/* Any thread. False when a limit is reached; otherwise to be given back by server_forget(). */
bool server_admit(struct http_server *server, const uint8_t address_key[static 16]);
void server_forget(struct http_server *server, const uint8_t address_key[static 16]);
/* The exchange's answer waits for its client. False when too much does; to be given back in either case. */
bool server_admit_unread(struct http_server *server, struct exchange *exchange);
void server_forget_unread(struct http_server *server, struct exchange *exchange);

#endif
