#include "adapters/keys/keyd_server.h"

#include "adapters/keys/keyd_socket.h"
#include "adapters/keys/protocol.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_MS  10000 /* in the middle of a frame, or for an answer that is not read */
#define STACK_SIZE  ((size_t)512 << 10)
#define KEPT_BUFFER ((size_t)256 << 10) /* more than that is given back after a large request */

struct serving {
	const struct keyd_server *server;
	pthread_mutex_t mutex; /* of what follows */
	pthread_cond_t ended;
	struct connection *connections;
	size_t count;
};

struct connection {
	struct serving *serving;
	int descriptor;
	uid_t uid;
	bool greeted;
	struct connection *next;
};

/* ---- one connection ------------------------------------------------------------------------------- */

static void clear_buffer(struct buf *buf)
{
	if (buf->capacity > KEPT_BUFFER)
		buf_release(buf);
	else
		buf_clear(buf);
}

/* The first request must be the hello, and only the first. */
static bool is_in_order(struct connection *connection, struct span request)
{
	bool is_hello = request.data[KEYD_FRAME_HEADER_SIZE - 1] == KEYD_HELLO;
	bool in_order = is_hello != connection->greeted;
	connection->greeted = true;
	return in_order;
}

static enum keyd_caller caller_of(const struct connection *connection)
{
	const struct keyd_server *server = connection->serving->server;
	bool is_owner = connection->uid == 0 || connection->uid == server->own_user;
	return is_owner ? KEYD_CALLER_OWNER : KEYD_CALLER_SERVICE;
}

static enum result serve_request(struct connection *connection, struct buf *request, struct buf *answer)
{
	const struct keyd_server *server = connection->serving->server;
	enum result result = keyd_receive(connection->descriptor, false, request);
	if (result == RESULT_EXHAUSTED)
		return RESULT_OK; /* idle, as it may be */
	TRY(result);
	if (!is_in_order(connection, buf_span(request)))
		return RESULT_INVALID;
	TRY(keyd_answer(&server->services, caller_of(connection), buf_span(request), answer));
	return keyd_send(connection->descriptor, buf_span(answer));
}

static void serve_requests(struct connection *connection)
{
	const struct keyd_server *server = connection->serving->server;
	BUF_CLEANUP struct buf request = {0};
	BUF_CLEANUP struct buf answer = {0};
	enum result result = RESULT_OK;
	while (result == RESULT_OK) {
		result = serve_request(connection, &request, &answer);
		clear_buffer(&request);
		clear_buffer(&answer);
	}
	if (result == RESULT_INVALID)
		server->on_event(KEYD_EVENT_NOT_PROTOCOL, connection->uid);
}

static void forget(struct connection *connection)
{
	struct serving *serving = connection->serving;
	pthread_mutex_lock(&serving->mutex);
	struct connection **place = &serving->connections;
	while (*place != connection)
		place = &(*place)->next;
	*place = connection->next;
	/* Closed under the lock: stop_all() must never shut down a descriptor that has become another's. */
	close(connection->descriptor);
	serving->count--;
	pthread_cond_signal(&serving->ended);
	pthread_mutex_unlock(&serving->mutex);
	free(connection);
}

static void *connection_main(void *argument)
{
	struct connection *connection = argument;
	serve_requests(connection);
	/* Once it is forgotten, the process may end before this thread does. */
	crypto_end_thread();
	forget(connection);
	return NULL;
}

/* ---- accepting ------------------------------------------------------------------------------------ */

static bool is_allowed(const struct keyd_server *server, int descriptor, uid_t *ret_uid)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t size = sizeof(peer);
	if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return false;
	*ret_uid = peer.uid;
	for (size_t i = 0; i < server->allowed_count; i++)
		if (server->allowed[i] == peer.uid)
			return true;
	return false;
}

static bool start_thread(struct connection *connection)
{
	pthread_t thread;
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	bool started = pthread_create(&thread, &attributes, connection_main, connection) == 0;
	pthread_attr_destroy(&attributes);
	return started;
}

/* RESULT_EXHAUSTED beyond the maximum. */
static enum result remember(struct serving *serving, int descriptor, uid_t uid, struct connection **ret_connection)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	if (!connection)
		return RESULT_MEMORY;
	connection->serving = serving;
	connection->descriptor = descriptor;
	connection->uid = uid;
	pthread_mutex_lock(&serving->mutex);
	bool room = serving->count < serving->server->connections_max;
	if (room) {
		connection->next = serving->connections;
		serving->connections = connection;
		serving->count++;
	}
	pthread_mutex_unlock(&serving->mutex);
	if (!room) {
		free(connection);
		return RESULT_EXHAUSTED;
	}
	*ret_connection = connection;
	return RESULT_OK;
}

static void welcome(struct serving *serving, int descriptor)
{
	const struct keyd_server *server = serving->server;
	uid_t uid = (uid_t)-1;
	struct connection *connection = NULL;
	if (!is_allowed(server, descriptor, &uid)) {
		server->on_event(KEYD_EVENT_REFUSED_USER, uid);
		close(descriptor);
		return;
	}
	if (keyd_set_timeout(descriptor, TIMEOUT_MS) != RESULT_OK ||
	    remember(serving, descriptor, uid, &connection) != RESULT_OK) {
		server->on_event(KEYD_EVENT_TOO_MANY, uid);
		close(descriptor);
		return;
	}
	if (!start_thread(connection)) {
		server->on_event(KEYD_EVENT_NO_THREAD, uid);
		forget(connection);
	}
}

static enum result accept_one(struct serving *serving, struct note *note)
{
	int descriptor = accept4(serving->server->listener, NULL, NULL, SOCK_CLOEXEC);
	if (descriptor >= 0) {
		welcome(serving, descriptor);
		return RESULT_OK;
	}
	switch (errno) {
	case EINTR:
	case EAGAIN:
	case ECONNABORTED:
		return RESULT_OK;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		/* Wait for somebody to leave, rather than spin. */
		poll(NULL, 0, 100);
		return RESULT_OK;
	default:
		note_set(note, "the listening socket fails: %s", strerror(errno));
		return RESULT_UNAVAILABLE;
	}
}

static enum result accept_until_stopped(struct serving *serving, struct note *note)
{
	const struct keyd_server *server = serving->server;
	for (;;) {
		struct pollfd waiting[] = {{.fd = server->stop_descriptor, .events = POLLIN},
					   {.fd = server->listener, .events = POLLIN}};
		if (poll(waiting, 2, -1) < 0 && errno != EINTR) {
			note_set(note, "cannot wait for connections: %s", strerror(errno));
			return RESULT_UNAVAILABLE;
		}
		if (waiting[0].revents != 0)
			return RESULT_OK;
		if (waiting[1].revents != 0)
			TRY(accept_one(serving, note));
	}
}

/* A request that is being carried out is finished; its answer may find nobody. */
static void stop_all(struct serving *serving)
{
	pthread_mutex_lock(&serving->mutex);
	for (struct connection *connection = serving->connections; connection; connection = connection->next)
		shutdown(connection->descriptor, SHUT_RD);
	while (serving->count > 0)
		pthread_cond_wait(&serving->ended, &serving->mutex);
	pthread_mutex_unlock(&serving->mutex);
}

enum result keyd_server_run(const struct keyd_server *server, struct note *note)
{
	struct serving serving = {.server = server};
	pthread_mutex_init(&serving.mutex, NULL);
	pthread_cond_init(&serving.ended, NULL);
	enum result result = accept_until_stopped(&serving, note);
	stop_all(&serving);
	pthread_cond_destroy(&serving.ended);
	pthread_mutex_destroy(&serving.mutex);
	return result;
}
