#include "http/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

void http_server_config_defaults(struct http_server_config *config)
{
	*config = (struct http_server_config){
		.loop_count = 1,
		.connections_max = 10000,
		.connections_per_address_max = 0,
		.unread_max = (size_t)512 << 20,
		.handshake_ms = 10000,
		.head_ms = 10000,
		.body_ms = 30000,
		.idle_ms = 60000,
		.write_ms = 30000,
		.clock = clock_system(),
	};
}

/* ---- limits ---------------------------------------------------------------------------------------- */

struct address_count {
	struct address_count *next;
	uint8_t key[16];
	size_t connections;
};

static struct address_count **address_find(struct http_server *server, const uint8_t key[static 16])
{
	/* FNV-1a; somebody who makes addresses collide only lengthens a list that connections_max bounds. */
	uint32_t hash = 2166136261U;
	for (size_t i = 0; i < 16; i++)
		hash = (hash ^ key[i]) * 16777619U;
	struct address_count **at = &server->addresses[hash % ADDRESS_BUCKETS];
	while (*at != NULL && memcmp((*at)->key, key, 16) != 0)
		at = &(*at)->next;
	return at;
}

static bool address_admit(struct http_server *server, const uint8_t key[static 16])
{
	struct address_count **at = address_find(server, key);
	if (*at == NULL) {
		*at = calloc(1, sizeof(**at));
		if (*at == NULL)
			return false;
		memcpy((*at)->key, key, 16);
	}
	if ((*at)->connections >= server->config.connections_per_address_max)
		return false;
	(*at)->connections++;
	return true;
}

static void address_forget(struct http_server *server, const uint8_t key[static 16])
{
	struct address_count **at = address_find(server, key);
	struct address_count *found = *at;
	if (--found->connections > 0)
		return;
	*at = found->next;
	free(found);
}

bool server_admit(struct http_server *server, const uint8_t address_key[static 16])
{
	if (atomic_fetch_add(&server->connections_open, 1) >= server->config.connections_max) {
		atomic_fetch_sub(&server->connections_open, 1);
		return false;
	}
	if (server->config.connections_per_address_max == 0)
		return true;
	pthread_mutex_lock(&server->address_lock);
	bool is_admitted = address_admit(server, address_key);
	pthread_mutex_unlock(&server->address_lock);
	if (!is_admitted)
		atomic_fetch_sub(&server->connections_open, 1);
	return is_admitted;
}

void server_forget(struct http_server *server, const uint8_t address_key[static 16])
{
	atomic_fetch_sub(&server->connections_open, 1);
	if (server->config.connections_per_address_max == 0)
		return;
	pthread_mutex_lock(&server->address_lock);
	address_forget(server, address_key);
	pthread_mutex_unlock(&server->address_lock);
}

bool server_admit_unread(struct http_server *server, struct exchange *exchange)
{
	size_t unread_max = server->config.unread_max;
	if (exchange->unread_size > 0)
		return true;
	exchange->unread_size = exchange->public.response.body.capacity + exchange->public.arena.size_total + 1;
	size_t before = atomic_fetch_add(&server->unread_size, exchange->unread_size);
	return unread_max == 0 || before + exchange->unread_size <= unread_max;
}

void server_forget_unread(struct http_server *server, struct exchange *exchange)
{
	atomic_fetch_sub(&server->unread_size, exchange->unread_size);
	exchange->unread_size = 0;
}

/* ---- binding --------------------------------------------------------------------------------------- */

static bool make_address(const struct http_listener *listener, uint16_t port, struct sockaddr_storage *ret_address,
			 socklen_t *ret_size)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	memset(ret_address, 0, sizeof(*ret_address));
	if (inet_pton(AF_INET, listener->address, &v4.sin_addr) == 1) {
		memcpy(ret_address, &v4, sizeof(v4));
		*ret_size = sizeof(v4);
		return true;
	}
	if (inet_pton(AF_INET6, listener->address, &v6.sin6_addr) == 1) {
		memcpy(ret_address, &v6, sizeof(v6));
		*ret_size = sizeof(v6);
		return true;
	}
	return false;
}

/* -1 with errno. */
static int bind_socket(const struct sockaddr_storage *address, socklen_t size, bool is_shared)
{
	int descriptor = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return -1;
	int on = 1;
	bool is_v6 = address->ss_family == AF_INET6;
	/* TCP_NODELAY is inherited by what is accepted, which saves a call a connection. */
	if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (!is_shared || setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
	    (!is_v6 || setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
	    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
	    bind(descriptor, (const struct sockaddr *)address, size) == 0)
		return descriptor;
	int error = errno;
	close(descriptor);
	errno = error;
	return -1;
}

/*
 * SO_REUSEPORT would let a second server of the same user take half of this one's connections unnoticed;
 * a socket without it tells whether somebody is there.
 */
static bool is_port_free(const struct sockaddr_storage *address, socklen_t size, uint16_t port)
{
	if (port == 0)
		return true;
	int descriptor = bind_socket(address, size, false);
	if (descriptor < 0)
		return false;
	close(descriptor);
	return true;
}

static uint16_t bound_port(int descriptor)
{
	struct sockaddr_storage bound = {0};
	socklen_t size = sizeof(bound);
	struct sockaddr_in v4;
	if (getsockname(descriptor, (struct sockaddr *)&bound, &size) != 0)
		return 0;
	/* The port stands at the same place in both families. */
	memcpy(&v4, &bound, sizeof(v4));
	return ntohs(v4.sin_port);
}

static enum result listen_failed(const struct http_listener *listener, uint16_t port, int error, struct note *note)
{
	char text[128];
	note_set(note, "cannot listen on %s port %u: %s", listener->address, (unsigned)port,
		 strerror_r(error, text, sizeof(text)));
	return RESULT_UNAVAILABLE;
}

static enum result listen_one(struct http_server *server, struct http_loop *loop, size_t number, struct note *note)
{
	const struct http_listener *listener = &server->config.listeners[number];
	uint16_t port = server->ports[number];
	struct sockaddr_storage address;
	socklen_t size;
	if (!make_address(listener, port, &address, &size)) {
		note_set(note, "\"%.46s\" is no numeric address to listen on", listener->address);
		return RESULT_UNAVAILABLE;
	}
	if (loop->number == 0 && !is_port_free(&address, size, port))
		return listen_failed(listener, port, errno, note);
	int descriptor = bind_socket(&address, size, true);
	if (descriptor < 0)
		return listen_failed(listener, port, errno, note);
	if (listen(descriptor, BACKLOG) != 0) {
		int error = errno;
		close(descriptor);
		return listen_failed(listener, port, error, note);
	}
	server->ports[number] = bound_port(descriptor);
	return loop_listen(loop, number, descriptor, note);
}

/* ---- opening and closing --------------------------------------------------------------------------- */

static void server_free(struct http_server *server)
{
	for (size_t i = 0; i < server->config.loop_count; i++)
		if (server->loops[i] != NULL)
			loop_close(server->loops[i]);
	for (size_t i = 0; i < ADDRESS_BUCKETS; i++) {
		while (server->addresses[i] != NULL) {
			struct address_count *address = server->addresses[i];
			server->addresses[i] = address->next;
			free(address);
		}
	}
	pthread_mutex_destroy(&server->address_lock);
	free(server->loops);
	free(server);
}

static void stop_loops(struct http_server *server, int64_t drain_ms)
{
	server->drain_ms = drain_ms;
	atomic_store_explicit(&server->is_draining, true, memory_order_release);
	for (size_t i = 0; i < server->config.loop_count; i++)
		if (server->loops[i] != NULL)
			loop_wake(server->loops[i]);
}

/* Every loop listens before the first one runs, so that a failure has nothing in flight. */
static enum result start_loops(struct http_server *server, struct note *note)
{
	const struct http_server_config *config = &server->config;
	for (size_t i = 0; i < config->loop_count; i++) {
		TRY(loop_open(server, i, &server->loops[i], note));
		for (size_t j = 0; j < config->listener_count; j++)
			TRY(listen_one(server, server->loops[i], j, note));
	}
	for (size_t i = 0; i < config->loop_count; i++)
		TRY(loop_start(server->loops[i], note));
	return RESULT_OK;
}

enum result http_server_open(const struct http_server_config *config, struct http_server **ret_server,
			     struct note *note)
{
	if (config->loop_count == 0 || config->listener_count > HTTP_LISTENERS_MAX) {
		note_set(note, "a server needs a loop and has at most %d listeners", HTTP_LISTENERS_MAX);
		return RESULT_INVALID;
	}
	struct http_server *server = calloc(1, sizeof(*server));
	struct http_loop **loops = calloc(config->loop_count, sizeof(struct http_loop *));
	if (server == NULL || loops == NULL) {
		free(server);
		free(loops);
		return RESULT_MEMORY;
	}
	server->config = *config;
	server->loops = loops;
	for (size_t i = 0; i < config->listener_count; i++)
		server->ports[i] = config->listeners[i].port;
	pthread_mutex_init(&server->address_lock, NULL);
	enum result result = start_loops(server, note);
	if (result != RESULT_OK) {
		stop_loops(server, 0);
		server_free(server);
		return result;
	}
	*ret_server = server;
	return RESULT_OK;
}

void http_server_close(struct http_server *server, int64_t drain_ms)
{
	if (server == NULL)
		return;
	stop_loops(server, drain_ms);
	server_free(server);
}

uint16_t http_server_port(const struct http_server *server, size_t listener)
{
	return server->ports[listener];
}

static uint64_t count_of(const atomic_uint_fast64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void http_server_count(const struct http_server *server, struct http_server_counters *ret_counters)
{
	struct http_server_counters counters = {
		.connections_open = atomic_load_explicit(&server->connections_open, memory_order_relaxed)};
	for (size_t i = 0; i < server->config.loop_count; i++) {
		const struct http_loop *loop = server->loops[i];
		counters.connections_total += count_of(&loop->connections_total);
		counters.connections_refused += count_of(&loop->connections_refused);
		counters.handshakes_failed += count_of(&loop->handshakes_failed);
		counters.requests_total += count_of(&loop->requests_total);
	}
	*ret_counters = counters;
}
