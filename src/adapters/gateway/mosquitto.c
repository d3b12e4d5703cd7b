/* Opening and closing, and the port's calls: each becomes an entry of the queue. */
#include "adapters/gateway/mosquitto_parts.h"

#include <mosquitto.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct gateway_mosquitto *of(struct device_gateway *gateway)
{
	return (struct gateway_mosquitto *)(void *)gateway;
}

/* ---- the port's calls ----------------------------------------------------------------------------------------- */

/* Takes the frame; what could not be encoded for want of memory makes the whole list due. */
static void push_frame(struct gateway_mosquitto *gateway, struct buf *take_frame, enum result encoded, bool is_of_list)
{
	struct push *push = encoded == RESULT_OK ? calloc(1, sizeof(*push)) : NULL;
	if (push) {
		push->is_of_list = is_of_list;
		push->frame = *take_frame;
		gateway_push(gateway, push);
		return;
	}
	buf_release(take_frame);
	if (!is_of_list)
		return;
	pthread_mutex_lock(&gateway->mutex);
	gateway->is_list_due = true;
	pthread_mutex_unlock(&gateway->mutex);
}

static void revoke_some(struct gateway_mosquitto *gateway, const struct gateway_revocation *revoked, size_t count)
{
	struct control_denial denials[64];
	struct buf frame = {0};
	for (size_t i = 0; i < count; i++)
		denials[i] = (struct control_denial){revoked[i].serial, revoked[i].reference_id};
	enum result encoded = control_put_denials(&frame, denials, count);
	push_frame(gateway, &frame, encoded, true);
}

static void revoke_certificates(struct device_gateway *base, const struct gateway_revocation *revoked, size_t count)
{
	for (size_t at = 0; at < count; at += 64)
		revoke_some(of(base), revoked + at, count - at < 64 ? count - at : 64);
}

/* NULL: there is no memory, and the whole list is due. */
static struct push *new_row_push(struct gateway_mosquitto *gateway)
{
	struct push *push = calloc(1, sizeof(*push));
	struct buf nothing = {0};
	if (push)
		push->is_of_list = true;
	else
		push_frame(gateway, &nothing, RESULT_MEMORY, true);
	return push;
}

static void refresh(struct device_gateway *base, const struct tenant_id *tenant, const struct uuid *reference_id)
{
	struct gateway_mosquitto *gateway = of(base);
	struct push *push = new_row_push(gateway);
	if (!push)
		return;
	push->is_refresh = true;
	push->tenant = *tenant;
	push->reference_id = *reference_id;
	gateway_push(gateway, push);
}

static void activate(struct device_gateway *base, const struct serial *serial)
{
	struct gateway_mosquitto *gateway = of(base);
	struct push *push = new_row_push(gateway);
	if (!push)
		return;
	push->is_activation = true;
	push->serial = *serial;
	gateway_push(gateway, push);
}

static void send_command(struct device_gateway *base, const struct uuid *reference_id, const struct uuid *command_id,
			 struct span payload)
{
	char topic[GATEWAY_TOPIC_SIZE];
	char reference[UUID_TEXT_SIZE];
	char command[UUID_TEXT_SIZE];
	struct buf frame = {0};
	uuid_format(reference_id, reference);
	uuid_format(command_id, command);
	snprintf(topic, sizeof(topic), "$aws/commands/things/%s/executions/%s/request/json", reference, command);
	enum result encoded = control_put_deliver(&frame, reference_id, true, topic, payload);
	push_frame(of(base), &frame, encoded, false);
}

static void publish(struct device_gateway *base, const struct uuid *reference_id, const char *topic,
		    struct span payload)
{
	struct buf frame = {0};
	enum result encoded = control_put_deliver(&frame, reference_id, false, topic, payload);
	push_frame(of(base), &frame, encoded, false);
}

static void answer(struct device_gateway *base, const struct gateway_caller *caller, const char *topic,
		   struct span payload)
{
	struct buf frame = {0};
	enum result encoded = control_put_answer(&frame, caller, topic, payload);
	push_frame(of(base), &frame, encoded, false);
}

static bool has_counters(const struct gateway_mosquitto *gateway)
{
	return gateway->counters_at_ms != 0 &&
	       clock_monotonic_ms(gateway->clock) - gateway->counters_at_ms < STATUS_VALID_MS;
}

bool gateway_is_silent(const struct gateway_mosquitto *gateway)
{
	return gateway->status.is_connected &&
	       clock_monotonic_ms(gateway->clock) - gateway->heard_at_ms >= STATUS_VALID_MS;
}

static void get_status(struct device_gateway *base, struct gateway_status *ret_status)
{
	struct gateway_mosquitto *gateway = of(base);
	pthread_mutex_lock(&gateway->mutex);
	*ret_status = gateway->status;
	ret_status->is_connected = gateway->status.is_connected && !gateway_is_silent(gateway);
	ret_status->queued = gateway->push_count;
	ret_status->vehicles = has_counters(gateway) ? gateway->counters.vehicles : 0;
	pthread_mutex_unlock(&gateway->mutex);
}

enum result gateway_mosquitto_counters(struct device_gateway *base, struct plugin_counters *ret_counters)
{
	struct gateway_mosquitto *gateway = of(base);
	pthread_mutex_lock(&gateway->mutex);
	bool is_known = has_counters(gateway);
	if (is_known)
		*ret_counters = gateway->counters;
	pthread_mutex_unlock(&gateway->mutex);
	return is_known ? RESULT_OK : RESULT_ABSENT;
}

static const struct device_gateway_ops ops = {
	.revoke = revoke_certificates,
	.refresh = refresh,
	.activate = activate,
	.send_command = send_command,
	.publish = publish,
	.answer = answer,
	.get_status = get_status,
};

/* ---- for the threads ------------------------------------------------------------------------------------------ */

void gateway_notice(struct gateway_mosquitto *gateway, enum gateway_notice notice, const struct note *note)
{
	static const struct note nothing;
	if (gateway->config.on_notice)
		gateway->config.on_notice(gateway->config.notice_context, notice, note ? note : &nothing);
}

enum result gateway_start_thread(pthread_t *thread, const char *name, void *(*run)(void *argument), void *argument)
{
	sigset_t all;
	sigset_t before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failure = pthread_create(thread, NULL, run, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure != 0)
		return RESULT_UNAVAILABLE;
	pthread_setname_np(*thread, name);
	return RESULT_OK;
}

/* ---- opening and closing -------------------------------------------------------------------------------------- */

static enum result copy_path(char *ret_path, const char *path, struct note *note)
{
	size_t length = strlen(path);
	if (length == 0 || length >= PATH_SIZE) {
		note_set(note, "a path of the gateway is missing or too long");
		return RESULT_INVALID;
	}
	memcpy(ret_path, path, length + 1);
	return RESULT_OK;
}

static enum result copy_config(struct gateway_mosquitto *gateway, const struct gateway_mosquitto_config *config,
			       struct note *note)
{
	gateway->config = *config;
	gateway->clock = config->clock ? config->clock : clock_system();
	if (config->allowed_count > GATEWAY_ALLOWED_MAX)
		return RESULT_INVALID;
	TRY(copy_path(gateway->broker_socket, config->broker_socket, note));
	TRY(copy_path(gateway->token_path, config->token_path, note));
	TRY(copy_path(gateway->events_spool, config->events_spool, note));
	return copy_path(gateway->claim_socket, config->claim_socket, note);
}

enum result gateway_mosquitto_start(struct device_gateway *base)
{
	struct gateway_mosquitto *gateway = of(base);

	TRY(gateway_start_thread(&gateway->server, "gateway-claims", gateway_claims_main, gateway));
	gateway->has_server = true;
	TRY(gateway_start_thread(&gateway->reader_thread, "gateway-events", gateway_events_main, gateway));
	gateway->has_reader_thread = true;
	TRY(gateway_start_thread(&gateway->pusher, "gateway-push", gateway_push_main, gateway));
	gateway->has_pusher = true;
	return RESULT_OK;
}

static enum result open_parts(struct gateway_mosquitto *gateway, const struct gateway_mosquitto_config *config,
			      struct note *note)
{
	TRY(copy_config(gateway, config, note));
	gateway->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	gateway->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (gateway->wake < 0 || gateway->stop < 0) {
		note_set(note, "no descriptors are left: %s", strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	(void)mosquitto_lib_init();
	gateway->client = mosquitto_new(GATEWAY_CLIENT_NAME, true, gateway);
	if (!gateway->client)
		return RESULT_MEMORY;
	TRY(spool_reader_open(gateway->events_spool, NULL, &gateway->reader, note));
	return gateway_claims_listen(gateway, note);
}

static void init_empty(struct gateway_mosquitto *gateway)
{
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&gateway->mutex, NULL);
	pthread_cond_init(&gateway->closing, &monotonic);
	pthread_condattr_destroy(&monotonic);
	gateway->base.ops = &ops;
	gateway->last = &gateway->first;
	gateway->wake = gateway->stop = gateway->listener = -1;
}

enum result gateway_mosquitto_open(const struct gateway_mosquitto_config *config, struct device_gateway **ret_gateway,
				   struct note *note)
{
	struct gateway_mosquitto *gateway = calloc(1, sizeof(*gateway));
	if (!gateway)
		return RESULT_MEMORY;
	init_empty(gateway);
	enum result result = open_parts(gateway, config, note);
	if (result != RESULT_OK) {
		gateway_mosquitto_close(&gateway->base);
		return result;
	}
	*ret_gateway = &gateway->base;
	return RESULT_OK;
}

static void wake_all(struct gateway_mosquitto *gateway)
{
	pthread_mutex_lock(&gateway->mutex);
	atomic_store(&gateway->is_closing, true);
	pthread_cond_broadcast(&gateway->closing);
	pthread_mutex_unlock(&gateway->mutex);
	if (gateway->wake >= 0)
		eventfd_write(gateway->wake, 1);
	if (gateway->stop >= 0)
		eventfd_write(gateway->stop, 1);
	if (gateway->reader)
		spool_interrupt(gateway->reader);
}

static void close_descriptor(int descriptor)
{
	if (descriptor >= 0)
		close(descriptor);
}

static void end_thread(pthread_t thread, bool *has_thread)
{
	if (*has_thread)
		pthread_join(thread, NULL);
	*has_thread = false;
}

void gateway_mosquitto_stop(struct device_gateway *base)
{
	if (!base)
		return;
	struct gateway_mosquitto *gateway = of(base);
	wake_all(gateway);
	end_thread(gateway->server, &gateway->has_server);
	end_thread(gateway->reader_thread, &gateway->has_reader_thread);
	end_thread(gateway->pusher, &gateway->has_pusher);
}

void gateway_mosquitto_close(struct device_gateway *base)
{
	if (!base)
		return;
	struct gateway_mosquitto *gateway = of(base);
	gateway_mosquitto_stop(base);
	spool_reader_close(gateway->reader);
	if (gateway->client)
		mosquitto_destroy(gateway->client);
	gateway_push_release(gateway);
	if (gateway->listener >= 0)
		unlink(gateway->claim_socket);
	close_descriptor(gateway->listener);
	close_descriptor(gateway->wake);
	close_descriptor(gateway->stop);
	pthread_cond_destroy(&gateway->closing);
	pthread_mutex_destroy(&gateway->mutex);
	free(gateway);
}
