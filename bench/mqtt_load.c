/*
 * MQTT clients for the benchmarks, too many and too fast for a library: MQTT 3.1.1 over mutual TLS, one thread, one
 * descriptor a connection. It serves vinveil's broker and a bare one alike, so that the ratio is the brokers' own.
 *
 *   mqtt_load publish   HOST PORT CA CREDENTIALS CONNECTIONS WINDOW SECONDS
 *             QoS 1 to vehicles/ID/signals, WINDOW messages in flight on each connection; each message is another.
 *   mqtt_load hold      HOST PORT CA CREDENTIALS CONNECTIONS
 *             Stays silent, and prints "cut ID NANOSECONDS" (CLOCK_MONOTONIC) when the broker closes a connection.
 *   mqtt_load takeover  HOST PORT CA CREDENTIALS CONNECTIONS
 *             Connects each a second time; prints how long the broker took to close the first one.
 *   mqtt_load subscribe HOST PORT FILTER
 *             Without TLS: one subscriber at QoS 1. Counts until SIGTERM.
 *
 * CREDENTIALS is a directory as `vinveil simulate` keeps it: NNNNNN-ID.pem. hold and publish print "connected" when
 * all are; publish, takeover and subscribe end with one line of JSON.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 20000
#define WINDOW_MAX	1024
#define ID_LENGTH	36
#define NAME_LENGTH	(7 + ID_LENGTH + 4) /* "000001-ID.pem" */
#define OUT_SIZE	16384		    /* one TLS record */
#define IN_SIZE		16384
#define DRAIN_NS	UINT64_C(10000000000)
#define SECOND_NS	UINT64_C(1000000000)

struct connection {
	SSL *ssl;
	int descriptor;
	char id[ID_LENGTH + 1];
	uint16_t message_id;
	unsigned in_flight;
	int64_t timestamp_ms;
	size_t in_size; /* bytes of a packet that has not come whole */
	uint8_t *out;	/* what the socket has not taken yet */
	size_t out_size;
};

struct load {
	SSL_CTX *context;
	const char *host, *credentials;
	uint16_t port;
	struct connection *connections;
	size_t count;
	unsigned window;
	uint64_t sent, acknowledged;
	bool is_ending;
};

static volatile sig_atomic_t is_stopped;

static void stop(int signal)
{
	(void)signal;
	is_stopped = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "mqtt_load: %s: %s\n", what, errno != 0 ? strerror(errno) : "");
	ERR_print_errors_fp(stderr);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* ---- connections -------------------------------------------------------------------------------------------- */

static int connect_socket(const char *host, uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int on = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		die("HOST must be an IPv4 address");
	if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0)
		die("connect");
	setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return descriptor;
}

static void open_context(struct load *load, const char *ca)
{
	load->context = SSL_CTX_new(TLS_client_method());
	if (load->context == NULL || SSL_CTX_set_min_proto_version(load->context, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_load_verify_locations(load->context, ca, NULL) != 1)
		die("TLS");
	SSL_CTX_set_verify(load->context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(load->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
						SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(load->context, SSL_SESS_CACHE_OFF);
}

static void use_credentials(SSL *ssl, const char *path)
{
	FILE *file = fopen(path, "r");
	X509 *certificate = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
	if (certificate == NULL)
		die(path);
	rewind(file);
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	if (key == NULL || SSL_use_certificate(ssl, certificate) != 1 || SSL_use_PrivateKey(ssl, key) != 1)
		die(path);
	X509_free(certificate);
	EVP_PKEY_free(key);
	fclose(file);
}

static SSL *open_tls(struct load *load, const char *path, int *ret_descriptor)
{
	SSL *ssl = SSL_new(load->context);
	*ret_descriptor = connect_socket(load->host, load->port);
	if (ssl == NULL || SSL_set_fd(ssl, *ret_descriptor) != 1)
		die("TLS");
	use_credentials(ssl, path);
	if (SSL_connect(ssl) != 1)
		die("handshake");
	return ssl;
}

static size_t write_connect(const char *id, uint8_t *ret_packet)
{
	static const uint8_t head[] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, 2 /* clean */, 0, 0 /* keepalive: none */};
	size_t length = strlen(id);
	memcpy(ret_packet, head, sizeof head);
	ret_packet[1] = (uint8_t)(sizeof head - 2 + 2 + length);
	ret_packet[sizeof head] = 0;
	ret_packet[sizeof head + 1] = (uint8_t)length;
	memcpy(ret_packet + sizeof head + 2, id, length);
	return sizeof head + 2 + length;
}

/* Blocks until CONNACK. Returns when CONNECT was sent. */
static uint64_t connect_mqtt(SSL *ssl, const char *id)
{
	uint8_t packet[128], answer[4];
	size_t size = write_connect(id, packet);
	uint64_t sent_ns = now_ns();
	if (SSL_write(ssl, packet, (int)size) != (int)size)
		die("CONNECT");
	for (int got = 0, more; got < 4; got += more)
		if ((more = SSL_read(ssl, answer + got, 4 - got)) <= 0)
			die("the broker refused a connection");
	if (answer[0] != 0x20 || answer[3] != 0)
		die("the broker refused a connection (CONNACK)");
	return sent_ns;
}

static void path_of(const struct load *load, const char *name, char ret_path[static 4096])
{
	if (snprintf(ret_path, 4096, "%s/%s", load->credentials, name) >= 4096)
		die("path too long");
}

static int is_credentials(const struct dirent *entry)
{
	return strlen(entry->d_name) == NAME_LENGTH && strcmp(entry->d_name + NAME_LENGTH - 4, ".pem") == 0;
}

static void connect_all(struct load *load, char (*ret_paths)[4096])
{
	struct dirent **names;
	int found = scandir(load->credentials, &names, is_credentials, alphasort);
	if (found < (int)load->count)
		die("too few credentials");
	for (size_t i = 0; i < load->count; i++) {
		struct connection *connection = &load->connections[i];
		char path[4096];
		path_of(load, names[i]->d_name, path);
		memcpy(connection->id, names[i]->d_name + 7, ID_LENGTH);
		connection->ssl = open_tls(load, path, &connection->descriptor);
		connect_mqtt(connection->ssl, connection->id);
		fcntl(connection->descriptor, F_SETFL, fcntl(connection->descriptor, F_GETFL) | O_NONBLOCK);
		if (ret_paths != NULL)
			memcpy(ret_paths[i], path, sizeof path);
	}
	for (int i = 0; i < found; i++)
		free(names[i]);
	free(names);
	puts("connected");
	fflush(stdout);
}

static int watch_all(struct load *load)
{
	int poll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < load->count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &load->connections[i]};
		if (epoll_ctl(poll, EPOLL_CTL_ADD, load->connections[i].descriptor, &event) != 0)
			die("epoll");
	}
	return poll;
}

/* ---- publish ------------------------------------------------------------------------------------------------ */

/* One PUBLISH, QoS 1, of about 200 bytes of payload; its timestamp makes it another than all before it. */
static size_t write_publish(struct connection *connection, uint8_t *ret_packet)
{
	char topic[64], payload[256];
	int topic_size = snprintf(topic, sizeof topic, "vehicles/%s/signals", connection->id);
	int payload_size = snprintf(
		payload, sizeof payload,
		"{\"timestamp\":%" PRId64 ",\"signals\":{\"Vehicle.Speed\":%.1f,\"Vehicle.TraveledDistance\":%.1f,"
		"\"Vehicle.CurrentLocation.Latitude\":48.137154,\"Vehicle.CurrentLocation.Longitude\":11.576124,"
		"\"Vehicle.IsMoving\":true}}",
		connection->timestamp_ms, (double)(connection->message_id % 1300) / 10,
		(double)connection->timestamp_ms / 1e6);
	size_t left = (size_t)(2 + topic_size + 2 + payload_size), at = 0;
	connection->timestamp_ms++;
	if (++connection->message_id == 0)
		connection->message_id = 1;
	ret_packet[at++] = 0x32;
	ret_packet[at++] = (uint8_t)(left % 128 + 128); /* always more than 127, less than 16384 */
	ret_packet[at++] = (uint8_t)(left / 128);
	ret_packet[at++] = (uint8_t)(topic_size / 256);
	ret_packet[at++] = (uint8_t)(topic_size % 256);
	memcpy(ret_packet + at, topic, (size_t)topic_size);
	at += (size_t)topic_size;
	ret_packet[at++] = (uint8_t)(connection->message_id / 256);
	ret_packet[at++] = (uint8_t)(connection->message_id % 256);
	memcpy(ret_packet + at, payload, (size_t)payload_size);
	return at + (size_t)payload_size;
}

static void watch_writing(int poll, struct connection *connection, bool is_writing)
{
	struct epoll_event event = {.events = EPOLLIN | (is_writing ? EPOLLOUT : 0u), .data.ptr = connection};
	epoll_ctl(poll, EPOLL_CTL_MOD, connection->descriptor, &event);
}

/* False when the socket takes no more for now. */
static bool flush(int poll, struct connection *connection)
{
	size_t done = 0;
	while (done < connection->out_size) {
		int written = SSL_write(connection->ssl, connection->out + done, (int)(connection->out_size - done));
		if (written <= 0) {
			if (SSL_get_error(connection->ssl, written) != SSL_ERROR_WANT_WRITE)
				die("the broker closed a connection");
			memmove(connection->out, connection->out + done, connection->out_size - done);
			connection->out_size -= done;
			watch_writing(poll, connection, true);
			return false;
		}
		done += (size_t)written;
	}
	connection->out_size = 0;
	return true;
}

static void send_more(struct load *load, int poll, struct connection *connection)
{
	while (connection->out_size == 0 && connection->in_flight < load->window && !load->is_ending) {
		while (connection->in_flight < load->window && connection->out_size + 512 < OUT_SIZE) {
			connection->out_size += write_publish(connection, connection->out + connection->out_size);
			connection->in_flight++;
			load->sent++;
		}
		if (!flush(poll, connection))
			return;
	}
}

static void take_acknowledgements(struct load *load, struct connection *connection)
{
	uint8_t bytes[IN_SIZE];
	for (;;) {
		int got = SSL_read(connection->ssl, bytes, sizeof bytes);
		if (got <= 0) {
			if (SSL_get_error(connection->ssl, got) == SSL_ERROR_WANT_READ)
				return;
			die("the broker closed a connection");
		}
		/* All that comes is PUBACK, 4 bytes each; what was cut is 0 to 3 bytes of one. */
		size_t all = connection->in_size + (size_t)got;
		connection->in_size = all % 4;
		connection->in_flight -= (unsigned)(all / 4);
		load->acknowledged += all / 4;
	}
}

static void run_publish(struct load *load, double seconds)
{
	static struct epoll_event events[1024];
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < load->count; i++) {
		load->connections[i].timestamp_ms = ((int64_t)now.tv_sec - 3600) * 1000;
		load->connections[i].out = malloc(OUT_SIZE);
		if (load->connections[i].out == NULL)
			die("memory");
	}
	int poll = watch_all(load);
	uint64_t began = now_ns(), until = began + (uint64_t)(seconds * 1e9), last = began;
	for (size_t i = 0; i < load->count; i++)
		send_more(load, poll, &load->connections[i]);
	while (!load->is_ending || load->acknowledged < load->sent) {
		int ready = epoll_wait(poll, events, 1024, 50);
		uint64_t at = now_ns();
		load->is_ending = load->is_ending || at >= until || is_stopped;
		if (at > until + DRAIN_NS)
			break;
		for (int i = 0; i < ready; i++) {
			struct connection *connection = events[i].data.ptr;
			if ((events[i].events & EPOLLOUT) != 0 && flush(poll, connection))
				watch_writing(poll, connection, false);
			if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
				take_acknowledgements(load, connection);
			send_more(load, poll, connection);
		}
		last = ready > 0 ? at : last;
	}
	printf("{\"sent\":%" PRIu64 ",\"acknowledged\":%" PRIu64 ",\"seconds\":%.3f,\"perSecond\":%.0f,"
	       "\"beganNs\":%" PRIu64 ",\"endedNs\":%" PRIu64 "}\n",
	       load->sent, load->acknowledged, (double)(last - began) / 1e9,
	       (double)load->acknowledged * 1e9 / (double)(last - began), began, last);
}

/* ---- hold, takeover ----------------------------------------------------------------------------------------- */

/* Whether the broker has closed it; what it says meanwhile is not listened to. */
static bool is_closed(struct connection *connection)
{
	uint8_t bytes[IN_SIZE];
	for (;;) {
		int got = SSL_read(connection->ssl, bytes, sizeof bytes);
		if (got > 0)
			continue;
		return SSL_get_error(connection->ssl, got) != SSL_ERROR_WANT_READ;
	}
}

static void run_hold(struct load *load)
{
	struct epoll_event events[256];
	int poll = watch_all(load);
	while (!is_stopped) {
		int ready = epoll_wait(poll, events, 256, -1);
		uint64_t at = now_ns();
		for (int i = 0; i < ready; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!is_closed(connection))
				continue;
			printf("cut %s %" PRIu64 "\n", connection->id, at);
			fflush(stdout);
			close(connection->descriptor);
		}
	}
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
	return (left > right) - (left < right);
}

static void run_takeover(struct load *load, char (*paths)[4096])
{
	static uint64_t taken_ns[CONNECTIONS_MAX];
	for (size_t i = 0; i < load->count; i++) {
		struct connection *connection = &load->connections[i];
		struct epoll_event event = {.events = EPOLLIN};
		uint8_t packet[128];
		int descriptor, poll = epoll_create1(EPOLL_CLOEXEC);
		SSL *second = open_tls(load, paths[i], &descriptor);
		size_t size = write_connect(connection->id, packet);
		epoll_ctl(poll, EPOLL_CTL_ADD, connection->descriptor, &event);
		uint64_t sent_ns = now_ns();
		if (SSL_write(second, packet, (int)size) != (int)size)
			die("CONNECT");
		do {
			if (epoll_wait(poll, &event, 1, 5000) != 1)
				die("the first connection was not closed");
			taken_ns[i] = now_ns() - sent_ns;
		} while (!is_closed(connection));
		close(poll);
		close(descriptor);
		SSL_free(second);
	}
	qsort(taken_ns, load->count, sizeof *taken_ns, compare_u64);
	size_t half = load->count / 2, most = load->count * 99 / 100;
	printf("{\"count\":%zu,\"p50ms\":%.3f,\"p99ms\":%.3f,\"maxMs\":%.3f}\n", load->count,
	       (double)taken_ns[half] / 1e6, (double)taken_ns[most] / 1e6, (double)taken_ns[load->count - 1] / 1e6);
}

/* ---- subscribe ---------------------------------------------------------------------------------------------- */

struct subscriber {
	int descriptor;
	uint8_t in[1 << 18];
	size_t size;
	uint64_t received, first_ns, last_ns;
	uint8_t out[1 << 16];
	size_t out_size;
};

static void write_whole(int descriptor, const uint8_t *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t written = write(descriptor, bytes + done, size - done);
		if (written < 0 && errno != EINTR)
			die("write");
		done += written > 0 ? (size_t)written : 0;
	}
}

static void acknowledge(struct subscriber *subscriber, const uint8_t *message_id)
{
	if (subscriber->out_size + 4 > sizeof subscriber->out) {
		write_whole(subscriber->descriptor, subscriber->out, subscriber->out_size);
		subscriber->out_size = 0;
	}
	uint8_t *at = subscriber->out + subscriber->out_size;
	at[0] = 0x40;
	at[1] = 2;
	memcpy(at + 2, message_id, 2);
	subscriber->out_size += 4;
}

/* The packet's size; 0 when it has not come whole. *ret_head: its type and length's bytes. */
static size_t packet_size(const uint8_t *bytes, size_t size, size_t *ret_head)
{
	size_t length = 0, at = 1;
	for (unsigned shift = 0; at < size && at < 5; shift += 7) {
		length |= (size_t)(bytes[at] & 127) << shift;
		if ((bytes[at++] & 128) == 0) {
			*ret_head = at;
			return at + length <= size ? at + length : 0;
		}
	}
	return 0;
}

static void take_packets(struct subscriber *subscriber)
{
	size_t at = 0, head, size;
	while ((size = packet_size(subscriber->in + at, subscriber->size - at, &head)) > 0) {
		const uint8_t *packet = subscriber->in + at;
		if ((packet[0] & 0xf0) == 0x30) {
			size_t topic = (size_t)packet[head] * 256 + packet[head + 1];
			if ((packet[0] & 6) != 0)
				acknowledge(subscriber, packet + head + 2 + topic);
			subscriber->last_ns = now_ns();
			if (subscriber->received++ == 0)
				subscriber->first_ns = subscriber->last_ns;
		}
		at += size;
	}
	memmove(subscriber->in, subscriber->in + at, subscriber->size - at);
	subscriber->size -= at;
	write_whole(subscriber->descriptor, subscriber->out, subscriber->out_size);
	subscriber->out_size = 0;
}

static void run_subscribe(const char *host, uint16_t port, const char *filter)
{
	static struct subscriber subscriber;
	uint8_t packet[512];
	size_t length = strlen(filter);
	subscriber.descriptor = connect_socket(host, port);
	write_whole(subscriber.descriptor, packet, write_connect("subscriber", packet));
	if (length > 100)
		die("FILTER too long");
	packet[0] = 0x82;
	packet[1] = (uint8_t)(2 + 2 + length + 1);
	packet[2] = 0;
	packet[3] = 1;
	packet[4] = 0;
	packet[5] = (uint8_t)length;
	memcpy(packet + 6, filter, length);
	packet[6 + length] = 1;
	write_whole(subscriber.descriptor, packet, 7 + length);
	puts("connected");
	fflush(stdout);
	while (!is_stopped) {
		ssize_t got = read(subscriber.descriptor, subscriber.in + subscriber.size,
				   sizeof subscriber.in - subscriber.size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			die("the broker closed the subscriber");
		subscriber.size += (size_t)got;
		take_packets(&subscriber);
	}
	printf("{\"received\":%" PRIu64 ",\"firstNs\":%" PRIu64 ",\"lastNs\":%" PRIu64 "}\n", subscriber.received,
	       subscriber.first_ns, subscriber.last_ns);
}

/* ---- */

static void usage(void)
{
	fputs("usage: mqtt_load publish HOST PORT CA CREDENTIALS CONNECTIONS WINDOW SECONDS\n"
	      "       mqtt_load hold|takeover HOST PORT CA CREDENTIALS CONNECTIONS\n"
	      "       mqtt_load subscribe HOST PORT FILTER\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = stop};
	const char *mode = argc > 1 ? argv[1] : "";
	bool is_publish = argc == 9 && strcmp(mode, "publish") == 0;
	bool is_hold = argc == 7 && strcmp(mode, "hold") == 0, is_takeover = argc == 7 && strcmp(mode, "takeover") == 0;
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &action, NULL);
	if (argc == 5 && strcmp(mode, "subscribe") == 0) {
		run_subscribe(argv[2], (uint16_t)strtoul(argv[3], NULL, 10), argv[4]);
		return 0;
	}
	if (!is_publish && !is_hold && !is_takeover)
		usage();
	struct load load = {.host = argv[2], .port = (uint16_t)strtoul(argv[3], NULL, 10), .credentials = argv[5]};
	load.count = strtoul(argv[6], NULL, 10);
	load.window = is_publish ? (unsigned)strtoul(argv[7], NULL, 10) : 0;
	if (load.count == 0 || load.count > CONNECTIONS_MAX || load.window > WINDOW_MAX)
		usage();
	load.connections = calloc(load.count, sizeof *load.connections);
	char(*paths)[4096] = is_takeover ? calloc(load.count, sizeof *paths) : NULL;
	if (load.connections == NULL || (is_takeover && paths == NULL))
		die("memory");
	open_context(&load, argv[4]);
	connect_all(&load, paths);
	if (is_publish)
		run_publish(&load, strtod(argv[8], NULL));
	else if (is_hold)
		run_hold(&load);
	else
		run_takeover(&load, paths);
	free(paths);
	free(load.connections);
	return 0;
}
