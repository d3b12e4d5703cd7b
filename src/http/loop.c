#include "http/internal.h"

#include "base/secret.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX  256
#define ROUNDS_MAX  16
#define ACCEPTS_MAX 64 /* a turn and listener: a flood of connections must not starve those that are open */

static _Thread_local struct http_loop *current_loop;

/* ---- deadlines ------------------------------------------------------------------------------------- */

static void phase_unlink(struct connection *connection)
{
	struct phase_queue *queue = &connection->loop->phases[connection->phase];
	if (connection->phase_previous != NULL)
		connection->phase_previous->phase_next = connection->phase_next;
	else
		queue->first = connection->phase_next;
	if (connection->phase_next != NULL)
		connection->phase_next->phase_previous = connection->phase_previous;
	else
		queue->last = connection->phase_previous;
	connection->phase_previous = connection->phase_next = NULL;
}

/* Being in the phase already changes nothing: a deadline is for the whole of a phase. */
void loop_set_phase(struct connection *connection, enum phase phase)
{
	if (connection->phase == phase)
		return;
	if (connection->phase != PHASE_NONE)
		phase_unlink(connection);
	connection->phase = phase;
	if (phase == PHASE_NONE)
		return;
	struct phase_queue *queue = &connection->loop->phases[phase];
	connection->deadline_ms = connection->loop->now_ms + queue->length_ms;
	connection->phase_previous = queue->last;
	if (queue->last != NULL)
		queue->last->phase_next = connection;
	else
		queue->first = connection;
	queue->last = connection;
}

static void expire(struct http_loop *loop)
{
	for (size_t i = PHASE_NONE + 1; i < PHASE_COUNT; i++) {
		struct phase_queue *queue = &loop->phases[i];
		while (queue->first != NULL && queue->first->deadline_ms <= loop->now_ms)
			connection_on_deadline(queue->first);
	}
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Milliseconds until something is due, -1 for never. */
static int turn_timeout(const struct http_loop *loop)
{
	if (loop->local_first != NULL)
		return 0;
	int64_t due_ms = INT64_MAX;
	for (size_t i = PHASE_NONE + 1; i < PHASE_COUNT; i++)
		if (loop->phases[i].first != NULL)
			due_ms = sooner(due_ms, loop->phases[i].first->deadline_ms);
	if (loop->accept_resume_ms != 0)
		due_ms = sooner(due_ms, loop->accept_resume_ms);
	if (loop->is_draining && loop->connections != NULL)
		due_ms = sooner(due_ms, loop->drain_deadline_ms);
	if (due_ms == INT64_MAX)
		return -1;
	int64_t left_ms = due_ms - loop->now_ms;
	if (left_ms <= 0)
		return 0;
	return left_ms < 60000 ? (int)left_ms : 60000;
}

/* ---- epoll ----------------------------------------------------------------------------------------- */

void loop_watch(struct connection *connection, uint32_t interest)
{
	if (connection->interest == interest)
		return;
	struct epoll_event event = {.events = interest, .data.ptr = &connection->source};
	if (epoll_ctl(connection->loop->epoll, EPOLL_CTL_MOD, connection->descriptor, &event) == 0)
		connection->interest = interest;
	else
		connection_close(connection);
}

static void watch_listeners(struct http_loop *loop, bool is_watched)
{
	for (size_t i = 0; i < loop->server->config.listener_count; i++) {
		struct listener_source *listener = &loop->listeners[i];
		struct epoll_event event = {.events = is_watched ? EPOLLIN : 0, .data.ptr = &listener->source};
		if (listener->descriptor >= 0)
			(void)epoll_ctl(loop->epoll, EPOLL_CTL_MOD, listener->descriptor, &event);
	}
}

/* ---- accepting ------------------------------------------------------------------------------------- */

static void listener_handle(struct event_source *source, uint32_t events)
{
	struct listener_source *listener = (struct listener_source *)source;
	struct http_loop *loop = listener->loop;
	(void)events;
	for (size_t i = 0; i < ACCEPTS_MAX && listener->descriptor >= 0; i++) {
		struct sockaddr_storage peer = {0};
		socklen_t size = sizeof(peer);
		int descriptor =
			accept4(listener->descriptor, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (descriptor >= 0) {
			connection_open(loop, listener->number, descriptor, &peer);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The connection stays in the kernel's queue and would wake us again at once. */
			watch_listeners(loop, false);
			loop->accept_resume_ms = loop->now_ms + ACCEPT_PAUSE_MS;
		}
		return;
	}
}

enum result loop_listen(struct http_loop *loop, size_t number, int descriptor, struct note *note)
{
	struct listener_source *listener = &loop->listeners[number];
	*listener = (struct listener_source){
		.source = {.handle = listener_handle}, .loop = loop, .number = number, .descriptor = descriptor};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener->source};
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0)
		return RESULT_OK;
	note_set(note, "epoll refuses a listener: errno %d", errno);
	return RESULT_UNAVAILABLE;
}

/* ---- what comes back from the application ---------------------------------------------------------- */

static void post_local(struct http_loop *loop, struct http_exchange *public)
{
	public->next = NULL;
	if (loop->local_last != NULL)
		loop->local_last->next = public;
	else
		loop->local_first = public;
	loop->local_last = public;
}

static void post(struct http_exchange *public, enum posted posted)
{
	struct http_loop *loop = public->loop;
	exchange_of(public)->posted = posted;
	if (loop == current_loop) {
		post_local(loop, public);
		return;
	}
	/* Once it is pushed the loop may take it, finish and end; loop_close() waits for us to be done with it. */
	atomic_fetch_add_explicit(&loop->posters, 1, memory_order_relaxed);
	struct http_exchange *newest = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
	do {
		public->next = newest;
	} while (!atomic_compare_exchange_weak_explicit(&loop->inbox, &newest, public, memory_order_release,
							memory_order_relaxed));
	/* Not empty: whoever filled it first has woken the loop, which empties it whole. */
	if (newest == NULL)
		loop_wake(loop);
	atomic_fetch_sub_explicit(&loop->posters, 1, memory_order_release);
}

void http_respond(struct http_exchange *exchange)
{
	post(exchange, POSTED_RESPONSE);
}

void http_body_continue(struct http_exchange *exchange)
{
	post(exchange, POSTED_CONTINUE);
}

void loop_wake(struct http_loop *loop)
{
	uint64_t one = 1;
	ssize_t written = write(loop->wake, &one, sizeof(one));
	/* Only a counter that is full already refuses, and then the loop is awake. */
	(void)written;
}

static void take_inbox(struct http_loop *loop)
{
	if (atomic_load_explicit(&loop->inbox, memory_order_relaxed) == NULL)
		return;
	struct http_exchange *newest = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
	struct http_exchange *oldest = NULL;
	while (newest != NULL) {
		struct http_exchange *older = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = older;
	}
	while (oldest != NULL) {
		struct http_exchange *next = oldest->next;
		post_local(loop, oldest);
		oldest = next;
	}
}

/* What has come back until now, and not what its handling brings back. */
static void handle_posted(struct http_loop *loop)
{
	take_inbox(loop);
	struct http_exchange *public = loop->local_first;
	loop->local_first = loop->local_last = NULL;
	while (public != NULL) {
		struct http_exchange *next = public->next;
		public->next = NULL;
		connection_on_posted(exchange_of(public));
		public = next;
	}
}

static void wake_handle(struct event_source *source, uint32_t events)
{
	struct http_loop *loop = (struct http_loop *)((char *)source - offsetof(struct http_loop, wake_source));
	uint64_t count;
	(void)events;
	ssize_t size = read(loop->wake, &count, sizeof(count));
	(void)size;
}

/* ---- closing --------------------------------------------------------------------------------------- */

static void close_listeners(struct http_loop *loop)
{
	for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++) {
		if (loop->listeners[i].descriptor >= 0)
			close(loop->listeners[i].descriptor);
		loop->listeners[i].descriptor = -1;
	}
	loop->accept_resume_ms = 0;
}

static void close_connections(struct http_loop *loop, bool only_idle)
{
	struct connection *next;
	for (struct connection *connection = loop->connections; connection != NULL; connection = next) {
		next = connection->next;
		if (!only_idle || connection_is_idle(connection))
			connection_close(connection);
	}
}

static void begin_drain(struct http_loop *loop)
{
	loop->is_draining = true;
	loop->drain_deadline_ms = loop->now_ms + loop->server->drain_ms;
	close_listeners(loop);
	close_connections(loop, true);
}

static void bury_closed(struct http_loop *loop)
{
	while (loop->closed != NULL) {
		struct connection *connection = loop->closed;
		loop->closed = connection->next;
		loop->connection_count--;
		connection_free(connection);
	}
}

/* ---- turns ----------------------------------------------------------------------------------------- */

/*
 * Answers make room for pipelined requests, and those for more answers: some rounds of that, and the rest in the
 * next turn, lest one client that never stops sending keeps all others waiting.
 */
static void end_turn(struct http_loop *loop)
{
	const struct http_server_config *config = &loop->server->config;
	for (size_t i = 0; i < ROUNDS_MAX; i++) {
		handle_posted(loop);
		if (loop->is_turn_dirty && config->application->on_turn_end != NULL)
			config->application->on_turn_end(config->application_context, loop);
		loop->is_turn_dirty = false;
		if (loop->local_first == NULL)
			break;
	}
	bury_closed(loop);
}

static void turn(struct http_loop *loop)
{
	struct epoll_event events[EVENTS_MAX];
	struct http_server *server = loop->server;
	int count = epoll_wait(loop->epoll, events, EVENTS_MAX, turn_timeout(loop));
	loop->now_ms = clock_monotonic_ms(server->config.clock);
	for (int i = 0; i < count; i++) {
		struct event_source *source = events[i].data.ptr;
		source->handle(source, events[i].events);
	}
	expire(loop);
	if (loop->accept_resume_ms != 0 && loop->accept_resume_ms <= loop->now_ms) {
		loop->accept_resume_ms = 0;
		watch_listeners(loop, true);
	}
	if (!loop->is_draining && atomic_load_explicit(&server->is_draining, memory_order_acquire))
		begin_drain(loop);
	if (loop->is_draining && loop->drain_deadline_ms <= loop->now_ms)
		close_connections(loop, false);
	end_turn(loop);
}

static void *loop_run(void *context)
{
	struct http_loop *loop = context;
	current_loop = loop;
	loop->now_ms = clock_monotonic_ms(loop->server->config.clock);
	/* Exchanges that are out come back to this memory, so the loop outlives them all. */
	while (!loop->is_draining || loop->connection_count > 0)
		turn(loop);
	secret_scrub_stack();
	return NULL;
}

/* ---- opening --------------------------------------------------------------------------------------- */

static void set_lengths(struct http_loop *loop)
{
	const struct http_server_config *config = &loop->server->config;
	loop->phases[PHASE_HANDSHAKE].length_ms = config->handshake_ms;
	loop->phases[PHASE_HEAD].length_ms = config->head_ms;
	loop->phases[PHASE_BODY].length_ms = config->body_ms;
	/* Both together are what is configured. */
	loop->phases[PHASE_WARM].length_ms = sooner(WARM_MS, config->idle_ms);
	loop->phases[PHASE_IDLE].length_ms = config->idle_ms - loop->phases[PHASE_WARM].length_ms;
	loop->phases[PHASE_WRITE].length_ms = config->write_ms;
	loop->phases[PHASE_LINGER].length_ms = sooner(LINGER_MS, config->write_ms);
}

enum result loop_open(struct http_server *server, size_t number, struct http_loop **ret_loop, struct note *note)
{
	struct http_loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL)
		return RESULT_MEMORY;
	loop->server = server;
	loop->number = number;
	loop->date_second = -1;
	loop->output.size_max = OUTPUT_SIZE + 1;
	loop->wake_source.handle = wake_handle;
	for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++)
		loop->listeners[i].descriptor = -1;
	set_lengths(loop);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &loop->wake_source};
	if (loop->epoll < 0 || loop->wake < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) != 0) {
		note_set(note, "epoll or eventfd is refused: errno %d", errno);
		loop_close(loop);
		return RESULT_UNAVAILABLE;
	}
	*ret_loop = loop;
	return RESULT_OK;
}

enum result loop_start(struct http_loop *loop, struct note *note)
{
	/* Signals are for the main thread. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&loop->thread, NULL, loop_run, loop);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0) {
		note_set(note, "no thread for a loop: errno %d", error);
		return RESULT_UNAVAILABLE;
	}
	char name[16];
	(void)snprintf(name, sizeof(name), "http-%u", (unsigned)(loop->number % 1000));
	(void)pthread_setname_np(loop->thread, name);
	loop->is_started = true;
	return RESULT_OK;
}

void loop_close(struct http_loop *loop)
{
	if (loop->is_started)
		pthread_join(loop->thread, NULL);
	while (atomic_load_explicit(&loop->posters, memory_order_acquire) > 0)
		sched_yield();
	close_listeners(loop);
	if (loop->epoll >= 0)
		close(loop->epoll);
	if (loop->wake >= 0)
		close(loop->wake);
	while (loop->free_exchanges != NULL) {
		struct exchange *exchange = loop->free_exchanges;
		loop->free_exchanges = exchange->next_free;
		exchange_free(exchange);
	}
	buf_release(&loop->output);
	secret_wipe(loop->input, sizeof(loop->input));
	free(loop);
}

size_t http_loop_number(const struct http_loop *loop)
{
	return loop->number;
}
