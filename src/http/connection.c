/*
 * A connection from its handshake to its close. The way of one request, all of it on the loop's thread but
 * what the application does with the exchange in between:
 *
 *   connection_readable → connection_feed → on_head … on_request   (state OUT)
 *   http_respond, any thread → loop → connection_on_posted → send → finish → the next pipelined request
 *
 * epoll is level-triggered and asked for input all the time, so a request costs no epoll_ctl: only input
 * that arrives while an exchange is out switches it off, until the answer is sent.
 */
#include "http/internal.h"

#include "base/secret.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void connection_feed(struct connection *connection, struct span *input);
static void connection_readable(struct connection *connection);
static void connection_resume(struct connection *connection);

static const struct http_application *application_of(const struct connection *connection)
{
	return connection->loop->server->config.application;
}

static void *context_of(const struct connection *connection)
{
	return connection->loop->server->config.application_context;
}

/* ---- closing --------------------------------------------------------------------------------------- */

void connection_free(struct connection *connection)
{
	tls_connection_close(connection->tls);
	buf_release(&connection->input);
	buf_release(&connection->output);
	free(connection);
}

static void connection_unlink(struct connection *connection)
{
	struct http_loop *loop = connection->loop;
	if (connection->previous != NULL)
		connection->previous->next = connection->next;
	else
		loop->connections = connection->next;
	if (connection->next != NULL)
		connection->next->previous = connection->previous;
	connection->previous = NULL;
}

/* Freed at the turn's end only: epoll may have an event for it in hand. */
static void connection_bury(struct connection *connection)
{
	struct http_loop *loop = connection->loop;
	connection->next = loop->closed;
	loop->closed = connection;
}

/* The exchange is in the application's hands until it comes back. */
static void take_out(struct connection *connection)
{
	if (connection->state != CONNECTION_CLOSED) {
		connection->state = CONNECTION_OUT;
		loop_set_phase(connection, PHASE_NONE);
	}
	connection->exchange->is_out = true;
	connection->loop->is_turn_dirty = true;
}

static void hand_out(struct connection *connection, void (*callback)(void *, struct http_exchange *))
{
	struct exchange *exchange = connection->exchange;
	take_out(connection);
	callback(context_of(connection), &exchange->public);
}

/* The body of a streamed request will not be whole: on_request tells, with what came after the last chunk. */
static void break_stream(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;
	exchange->is_broken = true;
	connection->is_closing = true;
	exchange->public.body_complete = false;
	hand_out(connection, application_of(connection)->on_request);
}

static bool is_streaming(const struct exchange *exchange)
{
	return exchange->is_announced && exchange->mode == HTTP_BODY_STREAM && !exchange->is_broken;
}

void connection_close(struct connection *connection)
{
	struct http_loop *loop = connection->loop;
	bool was_sending = connection->state == CONNECTION_SENDING;
	if (connection->state == CONNECTION_CLOSED)
		return;
	if (connection->tls != NULL && connection->state != CONNECTION_LINGER)
		tls_shutdown(connection->tls);
	loop_set_phase(connection, PHASE_NONE);
	close(connection->descriptor);
	connection->descriptor = -1;
	connection->state = CONNECTION_CLOSED;
	connection_unlink(connection);
	server_forget(loop->server, connection->address_key);
	buf_release(&connection->input);
	buf_release(&connection->output);

	struct exchange *exchange = connection->exchange;
	if (exchange != NULL && exchange->is_out)
		return;
	if (exchange != NULL && is_streaming(exchange) && !was_sending) {
		break_stream(connection);
		return;
	}
	connection->exchange = NULL;
	if (exchange != NULL)
		exchange_release(exchange);
	connection_bury(connection);
}

/* The exchange of a connection that is gone came back. */
static void finish_closed(struct connection *connection)
{
	exchange_release(connection->exchange);
	connection->exchange = NULL;
	connection_bury(connection);
}

/*
 * Closing while the client still sends would make the kernel answer with a reset, which can overtake the
 * response and destroy it unread (RFC 9112 section 9.6): so first only our half is closed.
 */
static void connection_linger(struct connection *connection)
{
	if (connection->tls != NULL)
		tls_shutdown(connection->tls);
	(void)shutdown(connection->descriptor, SHUT_WR);
	connection->state = CONNECTION_LINGER;
	loop_set_phase(connection, PHASE_LINGER);
	loop_watch(connection, EPOLLIN);
}

static void linger_on(struct connection *connection)
{
	uint8_t *scratch = connection->loop->input;
	ssize_t size = recv(connection->descriptor, scratch, INPUT_SIZE, MSG_DONTWAIT);
	if (size > 0) {
		secret_wipe(scratch, (size_t)size);
		connection->lingered_size += (size_t)size;
	}
	bool is_failed = size < 0 && errno != EAGAIN && errno != EINTR;
	if (size == 0 || is_failed || connection->lingered_size > LINGER_SIZE_MAX)
		connection_close(connection);
}

/* ---- sending --------------------------------------------------------------------------------------- */

/* In which phase a connection waits for its client. Once idle it stays so until a request begins. */
static enum phase phase_of(const struct connection *connection)
{
	const struct exchange *exchange = connection->exchange;
	if (exchange != NULL)
		return http1_is_in_head(&exchange->reader) ? PHASE_HEAD : PHASE_BODY;
	if (!connection->is_used)
		return PHASE_HEAD;
	return connection->phase == PHASE_IDLE ? PHASE_IDLE : PHASE_WARM;
}

/* The state in which a connection waits for its client, with the deadline that belongs to it. */
static void settle(struct connection *connection)
{
	if (connection->state != CONNECTION_READING)
		return;
	loop_set_phase(connection, phase_of(connection));
	/* Only who asks one thing after another gets to keep buffers; whoever is slow in between does not. */
	if (connection->tls != NULL && connection->phase != PHASE_WARM)
		tls_rest(connection->tls);
	loop_watch(connection, connection->watches_output ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* The answer is with the kernel. */
static void finish(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;
	bool is_all_read = exchange->reader.state == HTTP1_ENDED && connection->input.size == 0;
	connection->exchange = NULL;
	exchange_release(exchange);
	connection->is_used = true;
	connection->body_sent = 0;
	loop_set_phase(connection, PHASE_NONE);
	if (!connection->is_closing) {
		connection->state = CONNECTION_READING;
		return;
	}
	if (is_all_read)
		connection_close(connection);
	else
		connection_linger(connection);
}

/* Writes as much as the socket takes; *ret_size says how much, TLS_DONE that it was all. */
static enum tls_progress write_some(struct connection *connection, struct span bytes, size_t *ret_size)
{
	size_t done = 0;
	enum tls_progress progress = TLS_DONE;
	while (done < bytes.size && progress == TLS_DONE) {
		size_t size = 0;
		progress = channel_write(connection, span_of(bytes.data + done, bytes.size - done), &size);
		done += size;
	}
	*ret_size = done;
	return progress;
}

static enum tls_progress flush_output(struct connection *connection)
{
	struct buf *output = &connection->output;
	if (output->size == 0)
		return TLS_DONE;
	size_t size = 0;
	size_t sent = connection->output_sent;
	enum tls_progress progress = write_some(connection, span_of(output->data + sent, output->size - sent), &size);
	connection->output_sent += size;
	if (progress == TLS_DONE) {
		buf_release(output);
		connection->output_sent = 0;
	}
	return progress;
}

static enum tls_progress flush_body(struct connection *connection)
{
	const struct exchange *exchange = connection->exchange;
	if (exchange->public.request.method == HTTP_HEAD)
		return TLS_DONE;
	struct span body = response_body(&exchange->public.response);
	size_t sent = connection->body_sent;
	if (sent >= body.size)
		return TLS_DONE;
	size_t size = 0;
	enum tls_progress progress = write_some(connection, span_of(body.data + sent, body.size - sent), &size);
	connection->body_sent += size;
	return progress;
}

static void flush(struct connection *connection)
{
	enum tls_progress progress = flush_output(connection);
	if (progress == TLS_DONE)
		progress = flush_body(connection);
	switch (progress) {
	case TLS_DONE:
		finish(connection);
		return;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
		if (!server_admit_unread(connection->loop->server, connection->exchange)) {
			connection_close(connection);
			return;
		}
		loop_set_phase(connection, PHASE_WRITE);
		loop_watch(connection, progress == TLS_WANT_READ ? EPOLLIN : EPOLLOUT);
		return;
	default:
		connection_close(connection);
	}
}

/* Writes from a loop's scratch; what the socket does not take is kept. False when the connection must go. */
static bool write_or_keep(struct connection *connection, struct span bytes)
{
	size_t size = 0;
	if (connection->output.size == 0) {
		enum tls_progress progress = write_some(connection, bytes, &size);
		if (progress == TLS_CLOSED || progress == TLS_FAILED)
			return false;
	}
	return size == bytes.size ||
	       buf_append(&connection->output, span_of(bytes.data + size, bytes.size - size)) == RESULT_OK;
}

/* Head and, as far as it fits, body in one piece: one write, one TLS record. */
static bool send_first(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;
	struct buf *scratch = &connection->loop->output;
	if (response_format_head(exchange, connection->is_closing, scratch) != RESULT_OK)
		return false;
	if (exchange->public.request.method != HTTP_HEAD && exchange->public.response.status != 204 &&
	    exchange->public.response.status != 304) {
		struct span body = response_body(&exchange->public.response);
		size_t room = OUTPUT_SIZE - scratch->size;
		size_t size = body.size < room ? body.size : room;
		if (buf_append(scratch, span_of(body.data, size)) != RESULT_OK)
			return false;
		connection->body_sent = size;
	} else {
		connection->body_sent = response_body(&exchange->public.response).size;
	}
	return write_or_keep(connection, buf_span(scratch));
}

static void send_response(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;
	connection->state = CONNECTION_SENDING;
	if (exchange->public.response.close || exchange->reader.close || connection->loop->is_draining ||
	    exchange->reader.state != HTTP1_ENDED)
		connection->is_closing = true;
	bool is_sent = send_first(connection);
	buf_clear(&connection->loop->output);
	if (is_sent)
		flush(connection);
	else
		connection_close(connection);
}

/* A request that never becomes one; the connection ends with the answer. */
static void refuse(struct connection *connection, int status, const char *reason)
{
	const struct http_application *application = application_of(connection);
	struct exchange *exchange = connection->exchange;
	connection->is_closing = true;
	if (exchange->is_announced) {
		take_out(connection);
		application->on_body_refused(context_of(connection), &exchange->public, status, reason);
		return;
	}
	exchange->is_announced = true;
	exchange->public.response.status = status;
	connection->loop->is_turn_dirty = true;
	application->on_refused(context_of(connection), &exchange->public, status, reason);
	send_response(connection);
}

/* ---- reading --------------------------------------------------------------------------------------- */

static void send_continue(struct connection *connection)
{
	if (!write_or_keep(connection, span_of_text("HTTP/1.1 100 Continue\r\n\r\n")))
		connection_close(connection);
}

static void on_head(struct connection *connection, bool body_has_begun)
{
	struct exchange *exchange = connection->exchange;
	struct http_exchange *public = &exchange->public;
	exchange->is_announced = true;
	connection->loop->is_turn_dirty = true;
	loop_count_up(&connection->loop->requests_total);
	exchange->mode = application_of(connection)->on_head(context_of(connection), public);
	if (exchange->mode == HTTP_BODY_REFUSE || !public->request.has_body)
		return;
	if (exchange->mode == HTTP_BODY_COLLECT && public->request.content_length > public->body_size_max) {
		refuse(connection, 413, "The request body is larger than this resource takes.");
		return;
	}
	public->body.size_max =
		exchange->mode == HTTP_BODY_STREAM ? STREAM_CHUNK_SIZE + INPUT_SIZE : public->body_size_max;
	if (exchange->reader.expects_continue && !body_has_begun)
		send_continue(connection);
}

static void on_data(struct connection *connection, struct span data)
{
	struct exchange *exchange = connection->exchange;
	struct http_exchange *public = &exchange->public;
	if (exchange->mode == HTTP_BODY_REFUSE)
		return;
	bool is_collected = exchange->mode == HTTP_BODY_COLLECT;
	if (is_collected && data.size > public->body_size_max - public->body.size) {
		refuse(connection, 413, "The request body is larger than this resource takes.");
		return;
	}
	if (buf_append(&public->body, data) != RESULT_OK)
		connection_close(connection);
	else if (!is_collected && public->body.size >= STREAM_CHUNK_SIZE)
		hand_out(connection, application_of(connection)->on_body_chunk);
}

static void on_end(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;
	exchange->is_body_ended = true;
	if (exchange->mode == HTTP_BODY_REFUSE) {
		send_response(connection);
		return;
	}
	if (exchange->mode == HTTP_BODY_STREAM && exchange->public.body.size > 0) {
		hand_out(connection, application_of(connection)->on_body_chunk);
		return;
	}
	exchange->public.body_complete = true;
	hand_out(connection, application_of(connection)->on_request);
}

static void on_malformed(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;
	if (is_streaming(exchange))
		break_stream(connection);
	else if (exchange->mode == HTTP_BODY_REFUSE)
		send_response(connection);
	else
		refuse(connection, exchange->reader.status, exchange->reader.reason);
}

/* Reads requests out of the input until it is used up or an answer has to be waited for. */
static void connection_feed(struct connection *connection, struct span *input)
{
	while (connection->state == CONNECTION_READING) {
		if (connection->exchange == NULL) {
			if (input->size == 0)
				return;
			connection->exchange = exchange_take(connection);
			if (connection->exchange == NULL) {
				connection_close(connection);
				return;
			}
		}
		struct span data = {0};
		switch (http1_read(&connection->exchange->reader, input, &data)) {
		case HTTP1_MORE:
			/* A refused body that is not here yet is not waited for. */
			if (connection->exchange->mode == HTTP_BODY_REFUSE)
				send_response(connection);
			return;
		case HTTP1_HEAD:
			on_head(connection, input->size > 0);
			break;
		case HTTP1_DATA:
			on_data(connection, data);
			break;
		case HTTP1_END:
			on_end(connection);
			break;
		case HTTP1_REFUSED:
			on_malformed(connection);
			break;
		}
	}
}

/* False when the loop must wait for epoll before there is more. */
static bool read_once(struct connection *connection)
{
	uint8_t *scratch = connection->loop->input;
	size_t size = 0;
	connection->watches_output = false;
	switch (channel_read(connection, scratch, INPUT_SIZE, &size)) {
	case TLS_DONE:
		break;
	case TLS_WANT_READ:
		return false;
	case TLS_WANT_WRITE:
		connection->watches_output = true;
		return false;
	default:
		connection_close(connection);
		return false;
	}
	struct span input = span_of(scratch, size);
	connection_feed(connection, &input);
	bool is_kept = input.size == 0 || connection->state == CONNECTION_CLOSED || connection->is_closing ||
		       buf_append(&connection->input, input) == RESULT_OK;
	secret_wipe(scratch, size);
	if (!is_kept)
		connection_close(connection);
	/* Level-triggered: what is still in the kernel comes back by itself, what TLS holds does not. */
	return connection->state == CONNECTION_READING && connection->tls != NULL && tls_has_pending(connection->tls);
}

static void connection_readable(struct connection *connection)
{
	bool has_more = true;
	for (size_t i = 0; i < READS_MAX && has_more; i++)
		has_more = read_once(connection);
	/* Others want their turn; that the socket can be written to brings us back at once. */
	if (has_more)
		connection->watches_output = true;
	settle(connection);
}

/* Feeds what was kept of the input, as far as it is wanted now. */
static void feed_kept(struct connection *connection)
{
	struct buf *kept = &connection->input;
	struct span input = {0};
	if (kept->size > 0)
		input = span_of(kept->data + connection->input_used, kept->size - connection->input_used);
	connection_feed(connection, &input);
	if (input.size > 0 && connection->state != CONNECTION_CLOSED) {
		connection->input_used = kept->size - input.size;
		return;
	}
	buf_release(kept);
	connection->input_used = 0;
}

/*
 * After an answer or a chunk: what was pipelined behind it, then what TLS still holds. Fed once even without
 * input: the end of a body whose last byte was in that chunk has yet to be noticed.
 */
static void connection_resume(struct connection *connection)
{
	do {
		feed_kept(connection);
	} while (connection->state == CONNECTION_READING && connection->input.size > 0);
	if (connection->state != CONNECTION_READING)
		return;
	if (connection->tls != NULL && tls_has_pending(connection->tls))
		connection_readable(connection);
	else
		settle(connection);
}

/* ---- what comes back ------------------------------------------------------------------------------- */

static void on_continue(struct exchange *exchange)
{
	struct connection *connection = exchange->connection;
	exchange->public.body.size_max = STREAM_CHUNK_SIZE + INPUT_SIZE;
	buf_clear(&exchange->public.body);
	if (connection->state == CONNECTION_CLOSED) {
		/* All of the body came before the client went: then it is whole. */
		if (exchange->is_body_ended) {
			exchange->public.body_complete = true;
			hand_out(connection, application_of(connection)->on_request);
		} else {
			break_stream(connection);
		}
		return;
	}
	connection->state = CONNECTION_READING;
	if (exchange->is_body_ended) {
		exchange->public.body_complete = true;
		hand_out(connection, application_of(connection)->on_request);
		return;
	}
	connection_resume(connection);
}

void connection_on_posted(struct exchange *exchange)
{
	struct connection *connection = exchange->connection;
	exchange->is_out = false;
	if (exchange->posted == POSTED_CONTINUE) {
		on_continue(exchange);
		return;
	}
	if (connection->state == CONNECTION_CLOSED) {
		finish_closed(connection);
		return;
	}
	send_response(connection);
	connection_resume(connection);
}

void connection_on_deadline(struct connection *connection)
{
	struct exchange *exchange = connection->exchange;
	if (connection->phase == PHASE_WARM) {
		loop_set_phase(connection, PHASE_IDLE);
		if (connection->tls != NULL)
			tls_rest(connection->tls);
		return;
	}
	if (connection->phase == PHASE_HANDSHAKE)
		loop_count_up(&connection->loop->handshakes_failed);
	bool in_head = connection->phase == PHASE_HEAD && exchange != NULL && http1_has_begun(&exchange->reader);
	if (connection->phase == PHASE_BODY && is_streaming(exchange))
		break_stream(connection);
	else if (in_head)
		refuse(connection, 408, "The request's head did not arrive in time.");
	else if (connection->phase == PHASE_BODY)
		refuse(connection, 408, "The request's body did not arrive in time.");
	else
		connection_close(connection);
}

bool connection_is_idle(const struct connection *connection)
{
	if (connection->state == CONNECTION_HANDSHAKE || connection->state == CONNECTION_LINGER)
		return true;
	return connection->state == CONNECTION_READING && connection->exchange == NULL && connection->input.size == 0;
}

/* ---- events ---------------------------------------------------------------------------------------- */

static void handshake(struct connection *connection)
{
	switch (tls_handshake(connection->tls)) {
	case TLS_DONE:
		connection->state = CONNECTION_READING;
		/* The first request may have come along with the client's last flight. */
		if (tls_has_pending(connection->tls))
			connection_readable(connection);
		else
			settle(connection);
		return;
	case TLS_WANT_READ:
		loop_watch(connection, EPOLLIN);
		return;
	case TLS_WANT_WRITE:
		loop_watch(connection, EPOLLOUT);
		return;
	default:
		loop_count_up(&connection->loop->handshakes_failed);
		connection_close(connection);
	}
}

static void connection_handle(struct event_source *source, uint32_t events)
{
	struct connection *connection = (struct connection *)source;
	switch (connection->state) {
	case CONNECTION_HANDSHAKE:
		handshake(connection);
		break;
	case CONNECTION_READING:
		connection_readable(connection);
		break;
	case CONNECTION_OUT:
		/* Back-pressure: input waits in the kernel. A broken connection cannot be waited on, though. */
		if ((events & (EPOLLERR | EPOLLHUP)) != 0)
			connection_close(connection);
		else
			loop_watch(connection, 0);
		break;
	case CONNECTION_SENDING:
		if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
			connection_close(connection);
			break;
		}
		flush(connection);
		connection_resume(connection);
		break;
	case CONNECTION_LINGER:
		linger_on(connection);
		break;
	case CONNECTION_CLOSED:
		break;
	}
}

/* ---- opening --------------------------------------------------------------------------------------- */

static void read_address(struct connection *connection, const struct sockaddr_storage *peer)
{
	if (peer->ss_family == AF_INET) {
		struct sockaddr_in v4;
		memcpy(&v4, peer, sizeof(v4));
		(void)inet_ntop(AF_INET, &v4.sin_addr, connection->address, sizeof(connection->address));
		memcpy(connection->address_key, &v4.sin_addr, sizeof(v4.sin_addr));
		return;
	}
	struct sockaddr_in6 v6;
	memcpy(&v6, peer, sizeof(v6));
	(void)inet_ntop(AF_INET6, &v6.sin6_addr, connection->address, sizeof(connection->address));
	/* A site has a /64 to itself, so that is what counts as one address. The mark keeps v4 apart. */
	memcpy(connection->address_key, &v6.sin6_addr, 8);
	connection->address_key[15] = 6;
}

static bool connection_start(struct connection *connection, size_t listener)
{
	struct http_loop *loop = connection->loop;
	struct tls_server *tls = loop->server->config.listeners[listener].tls;
	if (tls != NULL && tls_connection_open(tls, connection->descriptor, &connection->tls) != RESULT_OK)
		return false;
	connection->state = tls != NULL ? CONNECTION_HANDSHAKE : CONNECTION_READING;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connection->source};
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, connection->descriptor, &event) != 0)
		return false;
	connection->interest = EPOLLIN;
	return true;
}

void connection_open(struct http_loop *loop, size_t listener, int descriptor, const struct sockaddr_storage *peer)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	if (connection == NULL) {
		close(descriptor);
		loop_count_up(&loop->connections_refused);
		return;
	}
	connection->source.handle = connection_handle;
	connection->loop = loop;
	connection->descriptor = descriptor;
	connection->listener = (uint8_t)listener;
	connection->input.size_max = INPUT_SIZE;
	read_address(connection, peer);
	bool is_admitted = server_admit(loop->server, connection->address_key);
	if (!is_admitted || !connection_start(connection, listener)) {
		if (is_admitted)
			server_forget(loop->server, connection->address_key);
		loop_count_up(&loop->connections_refused);
		close(descriptor);
		connection_free(connection);
		return;
	}
	loop_count_up(&loop->connections_total);
	connection->next = loop->connections;
	if (loop->connections != NULL)
		loop->connections->previous = connection;
	loop->connections = connection;
	loop->connection_count++;
	loop_set_phase(connection, connection->tls != NULL ? PHASE_HANDSHAKE : PHASE_HEAD);
}
