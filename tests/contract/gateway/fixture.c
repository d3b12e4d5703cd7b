#include "tests/contract/gateway/fixture.h"
#include "tests/free_port.h"

#include "base/file.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BROKER	    "/usr/sbin/mosquitto"
#define TOKEN	    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER_TOKEN "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

const struct tenant_id demo = {"demo"};

static const char *plugin_path;

bool begin_program(int argument_count, char **arguments)
{
	plugin_path = argument_count > 1 ? arguments[1] : "";
	if (access(BROKER, X_OK) == 0 && access(plugin_path, R_OK) == 0)
		return true;
	fprintf(stderr, "the broker %s or the plugin '%s' is missing\n", BROKER, plugin_path);
	return false;
}

int64_t now_ms(void)
{
	return clock_monotonic_ms(clock_system());
}

void pause_ms(int ms)
{
	const struct timespec time = {.tv_nsec = ms * 1000000L};
	nanosleep(&time, NULL);
}

struct uuid random_uuid(void)
{
	struct uuid uuid;
	assert_int_equal(uuid_generate_v4(entropy_system(), &uuid), RESULT_OK);
	return uuid;
}

/* ---- registry ------------------------------------------------------------------------------------------------- */

static enum result scan_denied(struct registry *base, int64_t at_ms, struct arena *arena,
			       struct denied_certificate **ret_denied, size_t *ret_count, struct note *note)
{
	struct fake_registry *registry = (struct fake_registry *)(void *)base;
	(void)at_ms;
	pthread_mutex_lock(&registry->mutex);
	enum result result = registry->is_away ? RESULT_UNAVAILABLE : RESULT_OK;
	registry->scans++;
	if (result == RESULT_OK) {
		*ret_count = registry->denied_count;
		*ret_denied = arena_alloc(arena, sizeof(registry->denied));
		memcpy(*ret_denied, registry->denied, sizeof(registry->denied));
	} else {
		note_set(note, "the registry is away");
	}
	pthread_mutex_unlock(&registry->mutex);
	return result;
}

static enum result scan_suspended(struct registry *base, struct arena *arena, struct uuid **ret_ids, size_t *ret_count,
				  struct note *note)
{
	struct fake_registry *registry = (struct fake_registry *)(void *)base;
	(void)note;
	pthread_mutex_lock(&registry->mutex);
	*ret_count = registry->suspended_count;
	*ret_ids = arena_alloc(arena, sizeof(registry->suspended));
	memcpy(*ret_ids, registry->suspended, sizeof(registry->suspended));
	pthread_mutex_unlock(&registry->mutex);
	return RESULT_OK;
}

static enum result get_vehicle(struct registry *base, const struct tenant_id *tenant, const struct uuid *reference_id,
			       struct arena *arena, struct vehicle *ret_vehicle, struct note *note)
{
	struct fake_registry *registry = (struct fake_registry *)(void *)base;
	(void)arena;
	(void)note;
	*ret_vehicle = (struct vehicle){.reference_id = *reference_id, .tenant = *tenant, .state = VEHICLE_ACTIVE};
	pthread_mutex_lock(&registry->mutex);
	for (size_t i = 0; i < registry->suspended_count; i++) {
		if (uuid_equal(&registry->suspended[i], reference_id))
			ret_vehicle->state = VEHICLE_SUSPENDED;
	}
	enum result result = registry->is_away ? RESULT_UNAVAILABLE : RESULT_OK;
	pthread_mutex_unlock(&registry->mutex);
	return result;
}

static enum result find_certificate(struct registry *base, const struct serial *serial,
				    struct certificate_record *ret_record, struct note *note)
{
	struct fake_registry *registry = (struct fake_registry *)(void *)base;
	(void)note;
	*ret_record = (struct certificate_record){.serial = *serial};
	pthread_mutex_lock(&registry->mutex);
	ret_record->is_revoked = memcmp(registry->revoked.bytes, serial->bytes, SERIAL_SIZE) == 0;
	enum result result = registry->is_away ? RESULT_UNAVAILABLE : RESULT_OK;
	pthread_mutex_unlock(&registry->mutex);
	return result;
}

static const struct registry_ops registry_ops = {
	.find_certificate = find_certificate,
	.scan_denied = scan_denied,
	.scan_suspended = scan_suspended,
	.get_vehicle = get_vehicle,
};

void deny(struct fixture *fixture, const struct serial *serial, const struct uuid *reference_id)
{
	struct fake_registry *registry = &fixture->registry;
	struct gateway_revocation revocation = {.serial = *serial};
	if (reference_id)
		revocation.reference_id = *reference_id;
	pthread_mutex_lock(&registry->mutex);
	registry->denied[registry->denied_count++] =
		(struct denied_certificate){.serial = *serial, .reference_id = revocation.reference_id};
	pthread_mutex_unlock(&registry->mutex);
	if (fixture->gateway)
		fixture->gateway->ops->revoke(fixture->gateway, &revocation, 1);
}

void suspend(struct fixture *fixture, const struct uuid *reference_id, bool is_suspended)
{
	struct fake_registry *registry = &fixture->registry;
	pthread_mutex_lock(&registry->mutex);
	if (is_suspended)
		registry->suspended[registry->suspended_count++] = *reference_id;
	for (size_t i = 0; !is_suspended && i < registry->suspended_count; i++) {
		if (uuid_equal(&registry->suspended[i], reference_id))
			registry->suspended[i--] = registry->suspended[--registry->suspended_count];
	}
	pthread_mutex_unlock(&registry->mutex);
	if (fixture->gateway)
		fixture->gateway->ops->refresh(fixture->gateway, &demo, reference_id);
}

/* ---- handler -------------------------------------------------------------------------------------------------- */

static enum result take(void *context, const struct gateway_event *events, size_t count)
{
	struct fake_handler *handler = context;
	pthread_mutex_lock(&handler->mutex);
	bool fails = handler->failures_left > 0;
	if (fails) {
		handler->failures_left--;
		handler->failures++;
	}
	for (size_t i = 0; i < count && !fails && handler->event_count < EVENTS_KEPT_MAX; i++) {
		struct kept_event *kept = &handler->events[handler->event_count++];
		size_t size = events[i].payload.size < sizeof(kept->payload) - 1 ? events[i].payload.size
										 : sizeof(kept->payload) - 1;
		kept->event = events[i];
		if (size > 0)
			memcpy(kept->payload, events[i].payload.data, size);
		kept->payload[size] = '\0';
	}
	pthread_mutex_unlock(&handler->mutex);
	return fails ? RESULT_UNAVAILABLE : RESULT_OK;
}

static void take_claim(void *context, const struct gateway_claim_message *message)
{
	struct fake_handler *handler = context;
	pthread_mutex_lock(&handler->mutex);
	if (handler->claim_count < CLAIMS_KEPT_MAX) {
		struct kept_claim *kept = &handler->claims[handler->claim_count++];
		size_t size = message->payload.size < sizeof(kept->payload) - 1 ? message->payload.size
										: sizeof(kept->payload) - 1;
		kept->message = *message;
		memcpy(kept->payload, message->payload.data, size);
		kept->payload[size] = '\0';
	}
	pthread_mutex_unlock(&handler->mutex);
}

static const struct gateway_events handler_events = {.take = take, .take_claim = take_claim};

static bool is_of(const struct kept_event *kept, enum gateway_event_kind kind, const struct uuid *reference_id)
{
	return kept->event.kind == kind && (!reference_id || uuid_equal(&kept->event.reference_id, reference_id));
}

size_t count_events(struct fixture *fixture, enum gateway_event_kind kind, const struct uuid *reference_id)
{
	struct fake_handler *handler = &fixture->handler;
	size_t count = 0;
	pthread_mutex_lock(&handler->mutex);
	for (size_t i = 0; i < handler->event_count; i++)
		count += is_of(&handler->events[i], kind, reference_id) ? 1 : 0;
	pthread_mutex_unlock(&handler->mutex);
	return count;
}

struct kept_event last_event(struct fixture *fixture, enum gateway_event_kind kind, const struct uuid *reference_id)
{
	struct fake_handler *handler = &fixture->handler;
	struct kept_event found = {0};
	pthread_mutex_lock(&handler->mutex);
	for (size_t i = 0; i < handler->event_count; i++) {
		if (is_of(&handler->events[i], kind, reference_id))
			found = handler->events[i];
	}
	pthread_mutex_unlock(&handler->mutex);
	return found;
}

size_t count_claims(struct fixture *fixture)
{
	pthread_mutex_lock(&fixture->handler.mutex);
	size_t count = fixture->handler.claim_count;
	pthread_mutex_unlock(&fixture->handler.mutex);
	return count;
}

/* ---- directory, ports, certificates --------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

static void path_of(const struct fixture *fixture, const char *name, char ret_path[static PATH_SIZE])
{
	assert_int_equal(path_join(fixture->directory, name, ret_path), RESULT_OK);
}

void make_specimen(struct fixture *fixture, const struct authority *authority, const struct specimen *specimen,
		   struct credential *ret_credential)
{
	char name[32];
	snprintf(name, sizeof(name), "client-%u", fixture->credentials++);
	credential_make(authority, fixture->directory, name, specimen, ret_credential);
}

void make_vehicle(struct fixture *fixture, struct credential *ret_credential, struct uuid *ret_reference_id)
{
	char name[UUID_TEXT_SIZE];
	char alternative[64];
	*ret_reference_id = random_uuid();
	uuid_format(ret_reference_id, name);
	snprintf(alternative, sizeof(alternative), "URI:urn:uuid:%s", name);
	make_specimen(fixture, &fixture->issuer,
		      &(struct specimen){.common_name = name, .alternative = alternative, .purpose = "clientAuth"},
		      ret_credential);
}

void make_claim(struct fixture *fixture, const char *name, struct credential *ret_credential)
{
	make_specimen(fixture, &fixture->issuer, &(struct specimen){.common_name = name, .purpose = "clientAuth"},
		      ret_credential);
}

static void make_authorities(struct fixture *fixture)
{
	char path[PATH_SIZE];
	struct credential broker;
	authority_make(&fixture->root, "device root", NULL);
	authority_make(&fixture->issuer, "device issuer", &fixture->root);
	authority_make(&fixture->other, "another root", NULL);
	authority_make(&fixture->server, "server root", NULL);
	path_of(fixture, "vehicles-ca.pem", path);
	authority_write(&fixture->root, path, false);
	authority_write(&fixture->issuer, path, true);
	path_of(fixture, "server-ca.pem", path);
	authority_write(&fixture->server, path, false);
	credential_make(&fixture->server, fixture->directory, "broker",
			&(struct specimen){.common_name = "127.0.0.1",
					   .alternative = "IP:127.0.0.1,IP:127.0.0.2",
					   .purpose = "serverAuth"},
			&broker);
}

/* ---- the broker ------------------------------------------------------------------------------------------------ */

static void write_listener(FILE *file, const struct fixture *fixture, int port, const char *more)
{
	const char *directory = fixture->directory;
	fprintf(file,
		"listener %d\n%s"
		"cafile %s/vehicles-ca.pem\ncertfile %s/broker.pem\nkeyfile %s/broker.key\n"
		"tls_version tlsv1.2\nrequire_certificate true\n"
		"use_identity_as_username false\nuse_subject_as_username false\nmax_qos 1\n",
		port, more, directory, directory, directory);
}

static void write_option(FILE *file, const char *name, int value)
{
	if (value > 0)
		fprintf(file, "plugin_opt_%s %d\n", name, value);
}

static void write_config(const struct fixture *fixture, const char *path)
{
	const struct fixture_options *options = &fixture->options;
	const char *directory = fixture->directory;
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file,
		"per_listener_settings false\nallow_anonymous false\nuser root\n"
		"plugin %s\n"
		"plugin_opt_telemetry_spool %s/telemetry\nplugin_opt_events_spool %s/events\n"
		"plugin_opt_socket %s/gateway.sock\nplugin_opt_token_file %s/token\nplugin_opt_template vinveil\n",
		plugin_path, directory, directory, directory, directory);
	write_option(file, "stale_refuse_seconds", options->stale_refuse_s);
	write_option(file, "stale_close_seconds", options->stale_close_s);
	write_option(file, "telemetry_spool_mib", options->spool_mib);
	write_option(file, "messages_per_second", options->per_second);
	write_option(file, "messages_burst", options->burst);
	fprintf(file,
		"persistence false\nset_tcp_nodelay true\nmax_packet_size 262144\nmax_queued_messages 256\n"
		"max_queued_bytes 4194304\nmax_inflight_bytes 1048576\nqueue_qos0_messages false\nsys_interval 0\n"
		"connection_messages false\nlog_dest stderr\nlog_type error\nlog_type warning\n");
	fprintf(file, "listener 0 %s/broker.sock\n", directory);
	write_listener(file, fixture, fixture->port, "protocol mqtt\n");
	write_listener(file, fixture, fixture->web_port, "protocol websockets\nsocket_domain ipv4\n");
	fclose(file);
}

static bool answers(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool does = connect(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(descriptor);
	return does;
}

void broker_start(struct fixture *fixture)
{
	char config[PATH_SIZE];
	char log[PATH_SIZE];
	path_of(fixture, "mosquitto.conf", config);
	path_of(fixture, "mosquitto.log", log);
	write_config(fixture, config);
	fixture->broker = fork();
	assert_true(fixture->broker >= 0);
	if (fixture->broker == 0) {
		int descriptor = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(descriptor, STDERR_FILENO);
		execl(BROKER, BROKER, "-c", config, (char *)NULL);
		_exit(127);
	}
	bool has_ended = false;
	AWAIT((has_ended = waitpid(fixture->broker, NULL, WNOHANG) == fixture->broker) || answers(fixture->port));
	if (has_ended)
		fail_msg("the broker does not start: see %s", log);
}

void broker_kill(struct fixture *fixture)
{
	if (fixture->broker <= 0)
		return;
	kill(fixture->broker, SIGKILL);
	waitpid(fixture->broker, NULL, 0);
	fixture->broker = 0;
}

/* ---- the adapter ----------------------------------------------------------------------------------------------- */

static void on_notice(void *context, enum gateway_notice notice, const struct note *note)
{
	struct fixture *fixture = context;
	(void)note;
	atomic_fetch_add(&fixture->notices[notice], 1);
}

void gateway_start(struct fixture *fixture)
{
	char broker_socket[PATH_SIZE];
	char token[PATH_SIZE];
	char events[PATH_SIZE];
	char claims[PATH_SIZE];
	struct note note = {0};
	path_of(fixture, "broker.sock", broker_socket);
	path_of(fixture, "token", token);
	path_of(fixture, "events", events);
	path_of(fixture, "gateway.sock", claims);
	const struct gateway_mosquitto_config config = {
		.broker_socket = broker_socket,
		.token_path = token,
		.events_spool = events,
		.claim_socket = claims,
		.registry = &fixture->registry.base,
		.events = &handler_events,
		.events_context = &fixture->handler,
		.on_notice = on_notice,
		.notice_context = fixture,
	};
	if (gateway_mosquitto_open(&config, &fixture->gateway, &note) != RESULT_OK)
		fail_msg("the adapter does not open: %s", note.text);
	assert_int_equal(gateway_mosquitto_start(fixture->gateway), RESULT_OK);
}

void gateway_stop(struct fixture *fixture)
{
	gateway_mosquitto_close(fixture->gateway);
	fixture->gateway = NULL;
}

void change_token(struct fixture *fixture)
{
	char path[PATH_SIZE];
	path_of(fixture, "token", path);
	unlink(path);
	assert_int_equal(file_create(path, span_of_text(OTHER_TOKEN "\n"), 0600, NULL), RESULT_OK);
}

static bool has_list(struct fixture *fixture)
{
	struct gateway_status status;
	fixture->gateway->ops->get_status(fixture->gateway, &status);
	return status.is_connected;
}

void await_list(struct fixture *fixture)
{
	AWAIT(has_list(fixture));
}

/* ---- telemetry ------------------------------------------------------------------------------------------------- */

size_t count_telemetry(struct fixture *fixture, const struct uuid *reference_id, const char *text)
{
	char path[PATH_SIZE];
	const struct spool_position start = {0};
	struct spool_position after;
	struct spool_reader *reader = NULL;
	struct spool_record record;
	size_t count = 0;
	path_of(fixture, "telemetry", path);
	assert_int_equal(spool_reader_open(path, &start, &reader, NULL), RESULT_OK);
	while (spool_read(reader, &record, &after, NULL) == RESULT_OK) {
		if (uuid_equal(&record.subject, reference_id) &&
		    memmem(record.body.data, record.body.size, text, strlen(text)))
			count++;
	}
	spool_reader_close(reader);
	return count;
}

/* ---- whole ----------------------------------------------------------------------------------------------------- */

void fixture_open(struct fixture *fixture, const struct fixture_options *options)
{
	char path[PATH_SIZE];
	memset(fixture, 0, sizeof(*fixture));
	if (options)
		fixture->options = *options;
	snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/vinveil-gateway-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	pthread_mutex_init(&fixture->registry.mutex, NULL);
	pthread_mutex_init(&fixture->handler.mutex, NULL);
	fixture->registry.base.ops = &registry_ops;
	make_authorities(fixture);
	path_of(fixture, "token", path);
	assert_int_equal(file_create(path, span_of_text(TOKEN "\n"), 0600, NULL), RESULT_OK);
	fixture->port = free_port();
	fixture->web_port = free_port();
	broker_start(fixture);
	if (fixture->options.without_gateway)
		return;
	gateway_start(fixture);
	await_list(fixture);
}

void fixture_close(struct fixture *fixture)
{
	gateway_stop(fixture);
	broker_kill(fixture);
	authority_free(&fixture->root);
	authority_free(&fixture->issuer);
	authority_free(&fixture->other);
	authority_free(&fixture->server);
	pthread_mutex_destroy(&fixture->registry.mutex);
	pthread_mutex_destroy(&fixture->handler.mutex);
	nftw(fixture->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
