/*
 * A load generator for the benchmarks: N keep-alive TLS 1.3 connections with a client certificate, one request in
 * flight on each, from one thread. It serves vinveil and nginx alike, so that the ratio of the two is the servers' own.
 *
 *   load HOST PORT CA CERTIFICATE KEY PATH BODIES CONNECTIONS SECONDS [once]
 *
 * BODIES is a file with a JSON body a line; requests take them at random, or with `once` each in turn and none twice,
 * until all are used. Prints one line of JSON: requests, seconds,
 * requests a second, microseconds at the 50th and 99th percentile, answers that were not 2xx.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX	 1024
#define REQUEST_SIZE_MAX 8192
#define ANSWER_SIZE_MAX	 16384
#define LATENCIES_MAX	 (64u << 20)
#define WARM_UP_NS	 UINT64_C(1000000000)

struct connection {
	SSL *ssl;
	int descriptor;
	uint64_t sent_ns;
	char answer[ANSWER_SIZE_MAX];
	size_t size;
};

struct load {
	SSL_CTX *context;
	const char *host, *path;
	uint16_t port;
	char **bodies;
	size_t body_count;
	uint64_t random;
	uint32_t *latencies_ns;
	size_t latency_count;
	uint64_t answers, failures;
	uint64_t counted_from_ns;
	bool is_once;
	size_t next_body, in_flight;
};

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, errno != 0 ? strerror(errno) : "");
	ERR_print_errors_fp(stderr);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* xorshift64: the choice of bodies need not be good, only spread and repeatable. */
static uint64_t next_random(struct load *load)
{
	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	return load->random;
}

static void read_bodies(struct load *load, const char *path)
{
	char *line = NULL;
	size_t capacity = 0, room = 0;
	FILE *file = fopen(path, "r");
	if (file == NULL)
		die(path);
	for (ssize_t length; (length = getline(&line, &capacity, file)) > 0;) {
		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		if (load->body_count == room) {
			room = room == 0 ? 1024 : 2 * room;
			load->bodies = realloc(load->bodies, room * sizeof *load->bodies);
		}
		if (load->bodies == NULL || (load->bodies[load->body_count++] = strdup(line)) == NULL)
			die("memory");
	}
	free(line);
	fclose(file);
	if (load->body_count == 0)
		die("no bodies");
}

static void open_context(struct load *load, const char *ca, const char *certificate, const char *key)
{
	load->context = SSL_CTX_new(TLS_client_method());
	if (load->context == NULL || SSL_CTX_set_min_proto_version(load->context, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_load_verify_locations(load->context, ca, NULL) != 1 ||
	    SSL_CTX_use_certificate_file(load->context, certificate, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(load->context, key, SSL_FILETYPE_PEM) != 1)
		die("TLS");
	SSL_CTX_set_verify(load->context, SSL_VERIFY_PEER, NULL);
}

static const char *choose_body(struct load *load)
{
	if (!load->is_once)
		return load->bodies[next_random(load) % load->body_count];
	return load->next_body < load->body_count ? load->bodies[load->next_body++] : NULL;
}

static void send_request(struct load *load, struct connection *connection)
{
	char request[REQUEST_SIZE_MAX];
	const char *body = choose_body(load);
	if (body == NULL)
		return;
	load->in_flight++;
	int size = snprintf(request, sizeof request,
			    "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
			    "\r\n%s",
			    load->path, load->host, strlen(body), body);
	if (size < 0 || (size_t)size >= sizeof request)
		die("request too long");
	connection->size = 0;
	connection->sent_ns = now_ns();
	if (SSL_write(connection->ssl, request, size) != size)
		die("write");
}

static void connect_one(struct load *load, struct connection *connection)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(load->port)};
	int on = 1;
	if (inet_pton(AF_INET, load->host, &address.sin_addr) != 1)
		die("HOST must be an IPv4 address");
	connection->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->descriptor < 0 ||
	    connect(connection->descriptor, (struct sockaddr *)&address, sizeof address) != 0)
		die("connect");
	setsockopt(connection->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	connection->ssl = SSL_new(load->context);
	if (connection->ssl == NULL || SSL_set_fd(connection->ssl, connection->descriptor) != 1 ||
	    SSL_connect(connection->ssl) != 1)
		die("handshake");
	fcntl(connection->descriptor, F_SETFL, fcntl(connection->descriptor, F_GETFL) | O_NONBLOCK);
}

/* Is a whole answer there? Its status in *ret_status. */
static bool is_complete(const struct connection *connection, int *ret_status)
{
	const char *end = memmem(connection->answer, connection->size, "\r\n\r\n", 4);
	if (end == NULL)
		return false;
	const char *length = strcasestr(connection->answer, "\r\ncontent-length:");
	size_t body = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
	*ret_status = (int)strtol(connection->answer + 9, NULL, 10);
	return connection->size >= (size_t)(end - connection->answer) + 4 + body;
}

static void count_answer(struct load *load, const struct connection *connection, int status)
{
	uint64_t now = now_ns();
	if (now < load->counted_from_ns)
		return;
	load->answers++;
	load->failures += status < 200 || status > 299;
	if (load->latency_count < LATENCIES_MAX)
		load->latencies_ns[load->latency_count++] = (uint32_t)(now - connection->sent_ns);
}

static void take_answer(struct load *load, struct connection *connection)
{
	for (;;) {
		int room = (int)(ANSWER_SIZE_MAX - 1 - connection->size);
		int got = SSL_read(connection->ssl, connection->answer + connection->size, room);
		if (got <= 0) {
			if (SSL_get_error(connection->ssl, got) == SSL_ERROR_WANT_READ)
				return;
			die("the server closed a connection");
		}
		connection->size += (size_t)got;
		connection->answer[connection->size] = '\0';
		int status;
		if (is_complete(connection, &status)) {
			load->in_flight--;
			count_answer(load, connection, status);
			send_request(load, connection);
			if (load->in_flight == 0)
				return;
		}
	}
}

static int compare_latencies(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	return (left > right) - (left < right);
}

static void print_results(struct load *load, double seconds)
{
	qsort(load->latencies_ns, load->latency_count, sizeof *load->latencies_ns, compare_latencies);
	size_t count = load->latency_count;
	printf("{\"requests\":%" PRIu64 ",\"seconds\":%.2f,\"perSecond\":%.0f,\"p50us\":%.0f,\"p99us\":%.0f,"
	       "\"failures\":%" PRIu64 "}\n",
	       load->answers, seconds, (double)load->answers / seconds,
	       count > 0 ? load->latencies_ns[count / 2] / 1000.0 : 0,
	       count > 0 ? load->latencies_ns[count * 99 / 100] / 1000.0 : 0, load->failures);
}

static void run(struct load *load, struct connection *connections, size_t count, double seconds)
{
	struct epoll_event events[CONNECTIONS_MAX];
	int poll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < count; i++) {
		connect_one(load, &connections[i]);
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
		epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].descriptor, &event);
	}
	load->counted_from_ns = now_ns() + (load->is_once ? 0 : WARM_UP_NS);
	uint64_t until = load->counted_from_ns + (uint64_t)(seconds * 1e9);
	for (size_t i = 0; i < count; i++)
		send_request(load, &connections[i]);
	while (now_ns() < until && load->in_flight > 0) {
		int ready = epoll_wait(poll, events, CONNECTIONS_MAX, 100);
		for (int i = 0; i < ready; i++)
			take_answer(load, events[i].data.ptr);
	}
	print_results(load, (double)(now_ns() - load->counted_from_ns) / 1e9);
}

int main(int argc, char **argv)
{
	if (argc != 10 && !(argc == 11 && strcmp(argv[10], "once") == 0)) {
		fputs("usage: load HOST PORT CA CERTIFICATE KEY PATH BODIES CONNECTIONS SECONDS [once]\n", stderr);
		return 2;
	}
	struct load load = {.host = argv[1],
			    .port = (uint16_t)strtoul(argv[2], NULL, 10),
			    .path = argv[6],
			    .random = UINT64_C(0x9e3779b97f4a7c15),
			    .is_once = argc == 11};
	size_t count = strtoul(argv[8], NULL, 10);
	struct connection *connections = calloc(CONNECTIONS_MAX, sizeof *connections);
	load.latencies_ns = malloc(LATENCIES_MAX * sizeof *load.latencies_ns);
	if (connections == NULL || load.latencies_ns == NULL || count == 0 || count > CONNECTIONS_MAX)
		die("memory, or CONNECTIONS out of bounds");
	open_context(&load, argv[3], argv[4], argv[5]);
	read_bodies(&load, argv[7]);
	run(&load, connections, count, strtod(argv[9], NULL));
	return 0;
}
