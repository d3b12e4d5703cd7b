#include "programs/mosquitto-plugin/claim_channel.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct message {
	struct buf frame;
	int64_t queued_at_ms; /* monotonic */
	struct message *next;
};

struct claim_channel {
	struct sockaddr_un address;
	pthread_t thread;
	pthread_mutex_t mutex; /* of what follows, up to the empty line */
	pthread_cond_t wake;
	struct message *first, **last;
	size_t count; /* of those, and the one that is being sent */
	struct plugin_counters counters;
	bool is_closing;

	int descriptor; /* the thread's alone; -1: not connected */
	int64_t status_at_ms;
};

static int64_t monotonic_ms(void)
{
	return clock_monotonic_ms(clock_system());
}

static void message_free(struct message *message)
{
	buf_release(&message->frame);
	free(message);
}

/* ---- the socket ------------------------------------------------------------------------------------------------ */

static void hang_up(struct claim_channel *channel)
{
	if (channel->descriptor >= 0)
		close(channel->descriptor);
	channel->descriptor = -1;
}

static enum result send_all(struct claim_channel *channel, struct span frame)
{
	while (frame.size > 0) {
		ssize_t count = send(channel->descriptor, frame.data, frame.size, MSG_NOSIGNAL);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			hang_up(channel);
			return RESULT_UNAVAILABLE;
		}
		frame = span_of(frame.data + count, frame.size - (size_t)count);
	}
	return RESULT_OK;
}

static enum result send_hello(struct claim_channel *channel)
{
	BUF_CLEANUP struct buf frame = {0};
	TRY(channel_put_hello(&frame));
	return send_all(channel, buf_span(&frame));
}

static enum result call_up(struct claim_channel *channel)
{
	const struct timeval limit = {.tv_sec = CHANNEL_SEND_LIMIT_MS / 1000};
	if (channel->descriptor >= 0)
		return RESULT_OK;
	channel->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (channel->descriptor < 0)
		return RESULT_UNAVAILABLE;
	if (setsockopt(channel->descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
	    connect(channel->descriptor, (const struct sockaddr *)&channel->address, sizeof(channel->address)) != 0) {
		hang_up(channel);
		return RESULT_UNAVAILABLE;
	}
	return send_hello(channel);
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

static void wait_ms(struct claim_channel *channel, int64_t ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&channel->wake, &channel->mutex, &until);
}

static struct message *take(struct claim_channel *channel)
{
	struct message *message = channel->first;
	if (!message)
		return NULL;
	channel->first = message->next;
	if (!channel->first)
		channel->last = &channel->first;
	return message;
}

/* Behind nobody: it was the oldest. */
static void put_back(struct claim_channel *channel, struct message *message)
{
	message->next = channel->first;
	if (!channel->first)
		channel->last = &message->next;
	channel->first = message;
}

static void drop_old(struct claim_channel *channel)
{
	int64_t now_ms = monotonic_ms();
	while (channel->first && now_ms - channel->first->queued_at_ms > CLAIM_QUEUE_WAIT_MS) {
		message_free(take(channel));
		channel->count--;
	}
}

/* Outside the lock. */
static enum result send_status(struct claim_channel *channel, const struct plugin_counters *counters)
{
	BUF_CLEANUP struct buf frame = {0};
	int64_t now_ms = monotonic_ms();
	if (now_ms - channel->status_at_ms < CHANNEL_STATUS_MS)
		return RESULT_OK;
	channel->status_at_ms = now_ms;
	TRY(channel_put_status(&frame, counters));
	return send_all(channel, buf_span(&frame));
}

/* One turn: the lock is held when it begins and when it ends, and not while it sends. */
static void turn(struct claim_channel *channel)
{
	drop_old(channel);
	struct message *message = take(channel);
	struct plugin_counters counters = channel->counters;
	pthread_mutex_unlock(&channel->mutex);
	enum result result = call_up(channel);
	if (result == RESULT_OK && message)
		result = send_all(channel, buf_span(&message->frame));
	bool is_sent = result == RESULT_OK && message;
	if (is_sent)
		message_free(message);
	if (result == RESULT_OK)
		result = send_status(channel, &counters);
	pthread_mutex_lock(&channel->mutex);
	if (is_sent)
		channel->count--;
	else if (message)
		put_back(channel, message);
	if (channel->is_closing)
		return;
	if (result != RESULT_OK)
		wait_ms(channel, CHANNEL_RECONNECT_MS);
	else if (!channel->first)
		wait_ms(channel, CHANNEL_STATUS_MS);
}

static void *channel_main(void *argument)
{
	struct claim_channel *channel = argument;
	pthread_mutex_lock(&channel->mutex);
	while (!channel->is_closing)
		turn(channel);
	pthread_mutex_unlock(&channel->mutex);
	hang_up(channel);
	return NULL;
}

/* ---- the broker's thread --------------------------------------------------------------------------------------- */

static enum result start(struct claim_channel *channel)
{
	pthread_condattr_t monotonic;
	sigset_t all;
	sigset_t before;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&channel->mutex, NULL);
	pthread_cond_init(&channel->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	/* Signals are the broker's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failure = pthread_create(&channel->thread, NULL, channel_main, channel);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failure == 0 ? RESULT_OK : RESULT_UNAVAILABLE;
}

enum result claim_channel_open(const char *socket_path, struct claim_channel **ret_channel, struct note *note)
{
	size_t length = strlen(socket_path);
	struct claim_channel *channel = calloc(1, sizeof(*channel));
	if (!channel)
		return RESULT_MEMORY;
	if (length == 0 || length >= sizeof(channel->address.sun_path)) {
		note_set(note, "a socket's path must have 1 to %zu bytes", sizeof(channel->address.sun_path) - 1);
		free(channel);
		return RESULT_INVALID;
	}
	channel->address.sun_family = AF_UNIX;
	memcpy(channel->address.sun_path, socket_path, length + 1);
	channel->last = &channel->first;
	channel->descriptor = -1;
	enum result result = start(channel);
	if (result != RESULT_OK) {
		note_set(note, "no thread for vinveild's socket");
		free(channel);
		return result;
	}
	pthread_setname_np(channel->thread, "vinveil-claims");
	*ret_channel = channel;
	return RESULT_OK;
}

void claim_channel_close(struct claim_channel *channel)
{
	if (!channel)
		return;
	pthread_mutex_lock(&channel->mutex);
	channel->is_closing = true;
	pthread_cond_signal(&channel->wake);
	pthread_mutex_unlock(&channel->mutex);
	pthread_join(channel->thread, NULL);
	while (channel->first)
		message_free(take(channel));
	pthread_cond_destroy(&channel->wake);
	pthread_mutex_destroy(&channel->mutex);
	free(channel);
}

static enum result make_message(const struct gateway_claim_message *claim, struct message **ret_message)
{
	struct message *message = calloc(1, sizeof(*message));
	if (!message)
		return RESULT_MEMORY;
	enum result result = channel_put_claim(&message->frame, claim);
	if (result != RESULT_OK) {
		message_free(message);
		return result;
	}
	message->queued_at_ms = monotonic_ms();
	*ret_message = message;
	return RESULT_OK;
}

enum result claim_channel_put(struct claim_channel *channel, const struct gateway_claim_message *claim)
{
	struct message *message = NULL;
	TRY(make_message(claim, &message));
	pthread_mutex_lock(&channel->mutex);
	bool has_room = channel->count < CLAIM_QUEUE_MAX;
	if (has_room) {
		*channel->last = message;
		channel->last = &message->next;
		channel->count++;
		pthread_cond_signal(&channel->wake);
	}
	pthread_mutex_unlock(&channel->mutex);
	if (has_room)
		return RESULT_OK;
	message_free(message);
	return RESULT_EXHAUSTED;
}

void claim_channel_tell(struct claim_channel *channel, const struct plugin_counters *counters)
{
	pthread_mutex_lock(&channel->mutex);
	channel->counters = *counters;
	pthread_mutex_unlock(&channel->mutex);
}
