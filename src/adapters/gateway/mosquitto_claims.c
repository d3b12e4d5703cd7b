/* The thread that serves the claims' socket: what it reads holds VINs, and is wiped as it is consumed. */
#include "adapters/gateway/mosquitto_parts.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PEERS_MAX 4 /* one broker, and those that are about to notice that they are dead */
#define BACKLOG	  8
#define READ_SIZE ((size_t)16 << 10)

struct peer {
	int descriptor;
	bool has_greeted;
	struct buf input;
};

struct serving {
	struct gateway_mosquitto *gateway;
	struct peer peers[PEERS_MAX];
	size_t count;
};

/* ---- listening ------------------------------------------------------------------------------------------------- */

static enum result fail(struct gateway_mosquitto *gateway, const char *what, struct note *note)
{
	note_set(note, "cannot %s %s: %s", what, gateway->claim_socket, strerror(errno));
	return RESULT_UNAVAILABLE;
}

enum result gateway_claims_listen(struct gateway_mosquitto *gateway, struct note *note)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mode = gateway->config.claim_socket_mode != 0 ? gateway->config.claim_socket_mode : 0600;
	size_t length = strlen(gateway->claim_socket);
	if (length >= sizeof(address.sun_path)) {
		note_set(note, "a socket's path must have 1 to %zu bytes", sizeof(address.sun_path) - 1);
		return RESULT_INVALID;
	}
	memcpy(address.sun_path, gateway->claim_socket, length + 1);
	gateway->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (gateway->listener < 0)
		return fail(gateway, "make a socket for", note);
	if (unlink(gateway->claim_socket) != 0 && errno != ENOENT)
		return fail(gateway, "replace", note);
	/* Before it has a name it is given the mode that the name will have; the umask can take from that, not add. */
	if (fchmod(gateway->listener, mode) != 0 ||
	    bind(gateway->listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    chmod(gateway->claim_socket, mode) != 0 || listen(gateway->listener, BACKLOG) != 0)
		return fail(gateway, "listen on", note);
	return RESULT_OK;
}

static bool is_allowed(const struct gateway_mosquitto *gateway, int descriptor)
{
	const struct gateway_mosquitto_config *config = &gateway->config;
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t size = sizeof(peer);
	if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return false;
	if (config->allowed_count == 0)
		return peer.uid == geteuid();
	for (size_t i = 0; i < config->allowed_count; i++) {
		if (config->allowed[i] == peer.uid)
			return true;
	}
	return false;
}

/* ---- one peer -------------------------------------------------------------------------------------------------- */

static void hang_up(struct serving *serving, size_t i)
{
	close(serving->peers[i].descriptor);
	buf_release(&serving->peers[i].input);
	serving->peers[i] = serving->peers[--serving->count];
	serving->peers[serving->count] = (struct peer){0};
}

static enum result handle(struct serving *serving, struct peer *peer, struct span bytes)
{
	struct gateway_mosquitto *gateway = serving->gateway;
	struct channel_frame frame;
	TRY(channel_get(bytes, &frame));
	if ((frame.kind == CHANNEL_HELLO) == peer->has_greeted)
		return RESULT_INVALID;
	switch (frame.kind) {
	case CHANNEL_HELLO:
		peer->has_greeted = true;
		return frame.version == GATEWAY_PROTOCOL_VERSION ? RESULT_OK : RESULT_INVALID;
	case CHANNEL_CLAIM:
		gateway->config.events->take_claim(gateway->config.events_context, &frame.claim);
		return RESULT_OK;
	case CHANNEL_STATUS:
		pthread_mutex_lock(&gateway->mutex);
		gateway->counters = frame.counters;
		gateway->counters_at_ms = gateway->heard_at_ms = clock_monotonic_ms(gateway->clock);
		pthread_mutex_unlock(&gateway->mutex);
		return RESULT_OK;
	}
	return RESULT_INVALID;
}

static enum result handle_all(struct serving *serving, struct peer *peer)
{
	size_t size = 0;
	while (peer->input.size >= CHANNEL_HEADER_SIZE) {
		TRY(channel_frame_size(span_of(peer->input.data, CHANNEL_HEADER_SIZE), &size));
		if (peer->input.size < size)
			return RESULT_OK;
		TRY(handle(serving, peer, span_of(peer->input.data, size)));
		buf_consume(&peer->input, size);
	}
	return RESULT_OK;
}

/* RESULT_ABSENT: it has gone. */
static enum result read_some(struct peer *peer)
{
	uint8_t *room = NULL;
	TRY(buf_reserve(&peer->input, READ_SIZE, &room));
	ssize_t count = recv(peer->descriptor, room, READ_SIZE, 0);
	if (count > 0) {
		peer->input.size += (size_t)count;
		return RESULT_OK;
	}
	return count < 0 && (errno == EINTR || errno == EAGAIN) ? RESULT_OK : RESULT_ABSENT;
}

/* False: the peer is there no more. */
static bool serve_peer(struct serving *serving, size_t i)
{
	struct peer *peer = &serving->peers[i];
	enum result result = read_some(peer);
	if (result == RESULT_OK)
		result = handle_all(serving, peer);
	if (result == RESULT_OK)
		return true;
	if (result != RESULT_ABSENT)
		gateway_notice(serving->gateway, GATEWAY_NOTICE_PEER_NONSENSE, NULL);
	hang_up(serving, i);
	return false;
}

static void welcome(struct serving *serving)
{
	int descriptor = accept4(serving->gateway->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (descriptor < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			poll(NULL, 0, 100); /* out of descriptors: wait for somebody to leave, rather than spin */
		return;
	}
	if (!is_allowed(serving->gateway, descriptor)) {
		gateway_notice(serving->gateway, GATEWAY_NOTICE_PEER_REFUSED, NULL);
		close(descriptor);
		return;
	}
	/* The oldest is a broker's that died, or it would not be the fifth. */
	if (serving->count == PEERS_MAX)
		hang_up(serving, 0);
	serving->peers[serving->count++] =
		(struct peer){.descriptor = descriptor, .input = {.size_max = CHANNEL_FRAME_SIZE_MAX + READ_SIZE}};
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

static void turn(struct serving *serving)
{
	struct pollfd waiting[PEERS_MAX + 2] = {
		{.fd = serving->gateway->stop, .events = POLLIN},
		{.fd = serving->gateway->listener, .events = POLLIN},
	};
	size_t count = serving->count;
	for (size_t i = 0; i < count; i++)
		waiting[i + 2] = (struct pollfd){.fd = serving->peers[i].descriptor, .events = POLLIN};
	if (poll(waiting, (nfds_t)count + 2, -1) < 0)
		return;
	/* From the last: one that goes is replaced by the last. */
	for (size_t i = count; i-- > 0;) {
		if (waiting[i + 2].revents != 0)
			(void)serve_peer(serving, i);
	}
	if (waiting[1].revents != 0)
		welcome(serving);
}

void *gateway_claims_main(void *argument)
{
	struct serving serving = {.gateway = argument};
	while (!atomic_load(&serving.gateway->is_closing))
		turn(&serving);
	while (serving.count > 0)
		hang_up(&serving, serving.count - 1);
	return NULL;
}
