/*
 * The pushing thread: a client of the broker's that publishes to the plugin's control topic. It owns the connection:
 * whoever has something to push wakes it, and it writes to the socket itself, so that there is one change of threads
 * between a revocation and the broker.
 */
#include "adapters/gateway/mosquitto_parts.h"

#include "base/secret.h"

#include <mosquitto.h>

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#define KEEPALIVE_S 60

/* ---- the queue ------------------------------------------------------------------------------------------------- */

static void push_free(struct push *push)
{
	buf_release(&push->frame);
	free(push);
}

static void append(struct gateway_mosquitto *gateway, struct push *push)
{
	*gateway->last = push;
	gateway->last = &push->next;
	gateway->push_count++;
	gateway->push_bytes += push->frame.size;
}

void gateway_push(struct gateway_mosquitto *gateway, struct push *take_push)
{
	pthread_mutex_lock(&gateway->mutex);
	bool has_room = gateway->push_count < PUSHES_MAX && gateway->push_bytes < PUSHES_BYTES_MAX;
	/* Once the whole list is due, a change of it need not wait for its turn. */
	bool is_void = take_push->is_of_list && gateway->is_list_due;
	if (has_room && !is_void)
		append(gateway, take_push);
	else if (take_push->is_of_list)
		gateway->is_list_due = true;
	pthread_mutex_unlock(&gateway->mutex);
	if (!has_room || is_void)
		push_free(take_push);
	eventfd_write(gateway->wake, 1);
}

static struct push *take_first(struct gateway_mosquitto *gateway)
{
	pthread_mutex_lock(&gateway->mutex);
	struct push *push = gateway->first;
	if (push) {
		gateway->first = push->next;
		if (!gateway->first)
			gateway->last = &gateway->first;
		gateway->push_count--;
		gateway->push_bytes -= push->frame.size;
	}
	pthread_mutex_unlock(&gateway->mutex);
	return push;
}

/* What changed the list until now is in the registry, and so in the list that is read after this. */
static void begin_list(struct gateway_mosquitto *gateway)
{
	pthread_mutex_lock(&gateway->mutex);
	struct push *push = gateway->first;
	gateway->first = NULL;
	gateway->last = &gateway->first;
	gateway->push_count = gateway->push_bytes = 0;
	gateway->is_list_due = false;
	while (push) {
		struct push *next = push->next;
		push->next = NULL;
		if (push->is_of_list)
			push_free(push);
		else
			append(gateway, push);
		push = next;
	}
	pthread_mutex_unlock(&gateway->mutex);
}

/* Nobody is connected who could be reached, and whoever will be has not asked yet. */
static void drop_deliveries(struct gateway_mosquitto *gateway)
{
	for (struct push *push = take_first(gateway); push; push = take_first(gateway)) {
		if (push->is_of_list) {
			pthread_mutex_lock(&gateway->mutex);
			gateway->is_list_due = true;
			pthread_mutex_unlock(&gateway->mutex);
		}
		push_free(push);
	}
}

void gateway_push_release(struct gateway_mosquitto *gateway)
{
	drop_deliveries(gateway);
}

static bool is_list_due(struct gateway_mosquitto *gateway)
{
	pthread_mutex_lock(&gateway->mutex);
	bool is_due = gateway->is_list_due;
	pthread_mutex_unlock(&gateway->mutex);
	return is_due;
}

static void set_list_due(struct gateway_mosquitto *gateway)
{
	pthread_mutex_lock(&gateway->mutex);
	gateway->is_list_due = true;
	pthread_mutex_unlock(&gateway->mutex);
}

static void set_connected(struct gateway_mosquitto *gateway, bool is_connected)
{
	pthread_mutex_lock(&gateway->mutex);
	gateway->status.is_connected = is_connected;
	gateway->status.connected_at_ms = clock_now_ms(gateway->clock);
	gateway->heard_at_ms = clock_monotonic_ms(gateway->clock);
	pthread_mutex_unlock(&gateway->mutex);
}

/* ---- the connection -------------------------------------------------------------------------------------------- */

static int64_t now_ms(struct gateway_mosquitto *gateway)
{
	return clock_monotonic_ms(gateway->clock);
}

/* A broker that is started when we are is nothing to look into. */
static void tell_away(struct gateway_mosquitto *gateway, enum gateway_notice notice, const struct note *note)
{
	bool is_starting = notice == GATEWAY_NOTICE_DISCONNECTED && now_ms(gateway) < gateway->starting_until_ms;
	bool is_told = gateway->epoch == 0 && gateway->away_told == notice;
	if (is_starting || is_told)
		return;
	gateway_notice(gateway, notice, note);
	gateway->away_told = notice;
}

static void lose(struct gateway_mosquitto *gateway, enum gateway_notice notice, int64_t retry_ms,
		 const struct note *note)
{
	tell_away(gateway, notice, note);
	gateway->is_accepted = false;
	gateway->epoch = 0;
	gateway->retry_at_ms = now_ms(gateway) + retry_ms;
	set_connected(gateway, false);
	drop_deliveries(gateway);
	/* From now on what changes the list need not be queued. */
	set_list_due(gateway);
}

static void on_connect(struct mosquitto *client, void *context, int code)
{
	struct gateway_mosquitto *gateway = context;
	(void)client;
	gateway->is_accepted = code == 0;
	gateway->is_refused = code != 0;
	if (code == 0)
		set_list_due(gateway);
}

static enum result read_token(struct gateway_mosquitto *gateway, struct note *note)
{
	BUF_CLEANUP struct buf text = {.size_max = 256};
	TRY(file_check_not_public(gateway->token_path, note));
	TRY(file_read(gateway->token_path, &text, note));
	if (text.size > 0 && text.data[text.size - 1] == '\n')
		text.data[text.size - 1] = '\0';
	int failure = mosquitto_username_pw_set(gateway->client, GATEWAY_CLIENT_NAME, (const char *)text.data);
	return failure == MOSQ_ERR_SUCCESS ? RESULT_OK : RESULT_MEMORY;
}

static void call_up(struct gateway_mosquitto *gateway)
{
	struct note note = {0};
	gateway->is_accepted = gateway->is_refused = false;
	gateway->epoch = 0;
	enum result result = read_token(gateway, &note);
	if (result != RESULT_OK) {
		gateway->starting_until_ms = 0; /* a broker that is ready would not help */
		lose(gateway, GATEWAY_NOTICE_DISCONNECTED, LIST_RETRY_MS, &note);
		return;
	}
	int failure = mosquitto_connect(gateway->client, gateway->broker_socket, 0, KEEPALIVE_S);
	if (failure == MOSQ_ERR_SUCCESS)
		return;
	note_set(&note, "%s: %s", gateway->broker_socket, mosquitto_strerror(failure));
	lose(gateway, GATEWAY_NOTICE_DISCONNECTED, RETRY_MS, &note);
}

/* ---- pushing --------------------------------------------------------------------------------------------------- */

enum result gateway_send_frame(struct gateway_mosquitto *gateway, const struct buf *frame)
{
	int failure = mosquitto_publish(gateway->client, NULL, GATEWAY_CONTROL_TOPIC, (int)frame->size, frame->data, 0,
					false);
	return failure == MOSQ_ERR_SUCCESS ? RESULT_OK : RESULT_UNAVAILABLE;
}

static void push_list(struct gateway_mosquitto *gateway)
{
	struct note note = {0};
	begin_list(gateway);
	gateway->epoch = 0;
	enum result result = gateway_push_list(gateway, &note);
	if (result != RESULT_OK) {
		set_list_due(gateway);
		set_connected(gateway, false);
		gateway->retry_at_ms = now_ms(gateway) + LIST_RETRY_MS;
		gateway_notice(gateway, GATEWAY_NOTICE_LIST_UNAVAILABLE, &note);
		return;
	}
	set_connected(gateway, true);
	gateway->heartbeat_at_ms = now_ms(gateway) + HEARTBEAT_MS;
	gateway->away_told = GATEWAY_NOTICE_CONNECTED;
	gateway->starting_until_ms = 0;
	gateway_notice(gateway, GATEWAY_NOTICE_CONNECTED, NULL);
}

/* Read now, in the order of the queue: what was committed before is seen, and what is committed later comes later. */
static enum result push_row(struct gateway_mosquitto *gateway, const struct push *push)
{
	BUF_CLEANUP struct buf frame = {0};
	struct note note = {0};
	enum result result = push->is_activation ? gateway_read_certificate(gateway, push, &frame, &note)
						 : gateway_read_vehicle(gateway, push, &frame, &note);
	if (result == RESULT_ABSENT)
		return RESULT_OK; /* erased or revoked: it stays denied */
	if (result == RESULT_OK)
		return gateway_send_frame(gateway, &frame);
	gateway_notice(gateway, GATEWAY_NOTICE_LIST_UNAVAILABLE, &note);
	gateway->retry_at_ms = now_ms(gateway) + LIST_RETRY_MS;
	set_list_due(gateway);
	return result;
}

/* Until the queue is empty, or the socket is full, or the whole list must go first. */
static void push_queued(struct gateway_mosquitto *gateway)
{
	while (!mosquitto_want_write(gateway->client) && !is_list_due(gateway)) {
		struct push *push = take_first(gateway);
		if (!push)
			return;
		enum result result = push->is_refresh || push->is_activation
					     ? push_row(gateway, push)
					     : gateway_send_frame(gateway, &push->frame);
		if (result != RESULT_OK && push->is_of_list)
			set_list_due(gateway);
		push_free(push);
	}
}

static void send_heartbeat(struct gateway_mosquitto *gateway)
{
	BUF_CLEANUP struct buf frame = {0};
	gateway->heartbeat_at_ms = now_ms(gateway) + HEARTBEAT_MS;
	enum result result = control_put_epoch(&frame, CONTROL_HEARTBEAT, gateway->epoch);
	if (result == RESULT_OK)
		result = gateway_send_frame(gateway, &frame);
	if (result != RESULT_OK)
		set_list_due(gateway);
}

/* Its keepalive would notice after minutes: a process that is stopped holds its connections. */
static void watch(struct gateway_mosquitto *gateway)
{
	pthread_mutex_lock(&gateway->mutex);
	bool is_silent = gateway_is_silent(gateway);
	pthread_mutex_unlock(&gateway->mutex);
	if (is_silent != gateway->is_silence_told)
		gateway_notice(gateway, is_silent ? GATEWAY_NOTICE_SILENT : GATEWAY_NOTICE_HEARD, NULL);
	gateway->is_silence_told = is_silent;
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

static void work(struct gateway_mosquitto *gateway)
{
	if (!gateway->is_accepted)
		return;
	if (is_list_due(gateway)) {
		if (now_ms(gateway) < gateway->retry_at_ms)
			return;
		push_list(gateway);
	}
	if (gateway->epoch == 0)
		return;
	push_queued(gateway);
	if (now_ms(gateway) >= gateway->heartbeat_at_ms && !mosquitto_want_write(gateway->client) &&
	    !is_list_due(gateway))
		send_heartbeat(gateway);
	watch(gateway);
}

static int wait_limit_ms(struct gateway_mosquitto *gateway, bool is_connected)
{
	int64_t until_ms = gateway->heartbeat_at_ms;
	if (!is_connected || gateway->epoch == 0 || is_list_due(gateway))
		until_ms = gateway->retry_at_ms;
	int64_t left_ms = until_ms - now_ms(gateway);
	bool waits_for_socket = is_connected && (!gateway->is_accepted || mosquitto_want_write(gateway->client));
	if (left_ms > HEARTBEAT_MS || waits_for_socket)
		return HEARTBEAT_MS;
	return left_ms > 0 ? (int)left_ms : 0;
}

static int serve_socket(struct gateway_mosquitto *gateway, short events)
{
	int failure = MOSQ_ERR_SUCCESS;
	if (events & (POLLIN | POLLERR | POLLHUP))
		failure = mosquitto_loop_read(gateway->client, 1);
	if (failure == MOSQ_ERR_SUCCESS && (events & POLLOUT))
		failure = mosquitto_loop_write(gateway->client, 1);
	if (failure == MOSQ_ERR_SUCCESS)
		failure = mosquitto_loop_misc(gateway->client);
	return failure;
}

static void turn(struct gateway_mosquitto *gateway)
{
	int socket = mosquitto_socket(gateway->client);
	if (socket < 0 && now_ms(gateway) >= gateway->retry_at_ms) {
		call_up(gateway);
		socket = mosquitto_socket(gateway->client);
	}
	struct pollfd waiting[] = {
		{.fd = gateway->wake, .events = POLLIN},
		{.fd = socket, .events = POLLIN},
	};
	if (socket >= 0 && mosquitto_want_write(gateway->client))
		waiting[1].events |= POLLOUT;
	if (poll(waiting, 2, wait_limit_ms(gateway, socket >= 0)) < 0)
		return;
	eventfd_t ignored;
	if (waiting[0].revents != 0)
		eventfd_read(gateway->wake, &ignored);
	if (socket < 0)
		return;
	int failure = serve_socket(gateway, waiting[1].revents);
	if (failure == MOSQ_ERR_SUCCESS) {
		work(gateway);
		return;
	}
	struct note note = {0};
	note_set(&note, "%s", mosquitto_strerror(failure));
	lose(gateway, gateway->is_refused ? GATEWAY_NOTICE_REFUSED : GATEWAY_NOTICE_DISCONNECTED,
	     gateway->is_refused ? LIST_RETRY_MS : RETRY_MS, &note);
}

void *gateway_push_main(void *argument)
{
	struct gateway_mosquitto *gateway = argument;
	gateway->starting_until_ms = now_ms(gateway) + STARTING_MS;
	mosquitto_connect_callback_set(gateway->client, on_connect);
	while (!atomic_load(&gateway->is_closing))
		turn(gateway);
	mosquitto_disconnect(gateway->client);
	return NULL;
}
