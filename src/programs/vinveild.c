/*
 * vinveild: the API daemon. Wiring only: reads the configuration, opens everything in order, brings the outbox's
 * leaves into the audit log, listens, and on SIGTERM or SIGINT lets go of it all in reverse. It holds no key but its
 * own TLS key.
 */
#include "adapters/audit/tlog.h"
#include "adapters/fleetwise/agent_format.h"
#include "adapters/keys/keyd_client.h"
#include "adapters/registry/sqlite.h"
#include "api/api.h"
#include "base/config.h"
#include "base/entropy.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "programs/daemon.h"
#include "programs/vinveild_devices.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define KEYD_WAIT_MS	 60000
#define KEYD_PATIENCE_MS 3000
#define DRAIN_MS	 10000
#define LOOPS_DEFAULT	 4
#define READER_CACHE_KIB 1024
#define SETTLE_SECONDS	 60

struct vinveild_config {
	char listen[64], operations_listen[64];
	int64_t port, operations_port;
	int64_t threads, request_threads, request_queue;
	int64_t connections_max, connections_per_address_max;
	char certificate[PATH_SIZE], key[PATH_SIZE], client_root[PATH_SIZE];
	char device_root[PATH_SIZE], device_issuer[PATH_SIZE];
	bool tls12;
	char registry[PATH_SIZE], audit[PATH_SIZE], crl[PATH_SIZE], audit_origin[256];
	char keyd_socket[PATH_SIZE];
	int64_t rotation_settle_seconds;
	int64_t requests_per_second, burst;
	char gateway_endpoint[256];
	int64_t gateway_port;
	struct devices_config devices;
	bool dev;
};

#define TEXT(section, key, member, required, help)                                          \
	{                                                                                   \
		section, key, CONFIG_TEXT, offsetof(struct vinveild_config, member),        \
			sizeof(((struct vinveild_config *)0)->member), 0, 0, required, help \
	}
#define NUMBER(section, key, member, min, max, help)                                                            \
	{                                                                                                       \
		section, key, CONFIG_NUMBER, offsetof(struct vinveild_config, member), 0, min, max, false, help \
	}
#define SWITCH(section, key, member, help)                                                                  \
	{                                                                                                   \
		section, key, CONFIG_SWITCH, offsetof(struct vinveild_config, member), 0, 0, 0, false, help \
	}

static const struct config_key keys[] = {
	TEXT("server", "listen", listen, false, "numeric address of the API (default 127.0.0.1)"),
	NUMBER("server", "port", port, 1, 65535, "port of the API (default 8443)"),
	TEXT("server", "operations_listen", operations_listen, false,
	     "numeric address of health, metrics and CRL, plain HTTP (default 127.0.0.1)"),
	NUMBER("server", "operations_port", operations_port, 1, 65535, "its port (default 8444)"),
	NUMBER("server", "threads", threads, 1, 64, "event loops (default: one a processor, at most 4)"),
	NUMBER("server", "request_threads", request_threads, 1, 256, "threads that run requests (default 16)"),
	NUMBER("server", "request_queue", request_queue, 1, 65536, "requests that may wait for one (default 1024)"),
	NUMBER("server", "connections_max", connections_max, 1, 1000000, "connections at once (default 10000)"),
	NUMBER("server", "connections_per_address_max", connections_per_address_max, 0, 1000000,
	       "of them from one address (default 0: unlimited)"),
	TEXT("tls", "certificate", certificate, true, "the server's certificate chain, PEM, leaf first"),
	TEXT("tls", "key", key, true, "its private key, PEM, readable by this user alone"),
	TEXT("tls", "client_root", client_root, true, "the operator root that client certificates are judged by, PEM"),
	TEXT("tls", "device_root", device_root, false,
	     "the device root, PEM: vehicles and claims may come to EST (default: no EST)"),
	TEXT("tls", "device_issuer", device_issuer, false, "the device issuer below it, which they need not send, PEM"),
	SWITCH("tls", "allow_tls12", tls12, "accept TLS 1.2 beside 1.3 (default off)"),
	TEXT("storage", "registry", registry, true, "the vehicle registry's file"),
	TEXT("storage", "audit", audit, true, "the audit log's directory"),
	TEXT("storage", "audit_origin", audit_origin, true, "the audit log's name, the first line of its checkpoints"),
	TEXT("storage", "crl", crl, true, "where the CRL is kept"),
	TEXT("keyd", "socket", keyd_socket, true, "the key daemon's socket"),
	NUMBER("keyd", "rotation_settle_seconds", rotation_settle_seconds, 1, 3600,
	       "how long a key rotation waits for requests begun before it (default 60)"),
	NUMBER("limits", "requests_per_second", requests_per_second, 1, 1000000,
	       "of a client whose registration says nothing else (default 200)"),
	NUMBER("limits", "burst", burst, 1, 10000000, "how many of them at once (default 400)"),
	TEXT("gateway", "endpoint", gateway_endpoint, false, "host name of the device gateway, told to vehicles"),
	NUMBER("gateway", "port", gateway_port, 1, 65535, "its port (default 8883)"),
	TEXT("gateway", "broker_socket", devices.broker_socket, false,
	     "the broker's UNIX listener, to which this daemon connects (default: no broker is served)"),
	TEXT("gateway", "token", devices.token, false, "the file that the plugin knows as token_file"),
	TEXT("gateway", "events_spool", devices.events_spool, false, "the directory that the plugin spools events to"),
	TEXT("gateway", "claim_socket", devices.claim_socket, false,
	     "the socket made here, that the plugin knows as socket"),
	TEXT("gateway", "broker_user", devices.broker_user, false,
	     "the user whom the broker runs as (default: this daemon's own)"),
	TEXT("gateway", "template", devices.template_name, false,
	     "name of the provisioning template in the topics of claims (default vinveil)"),
	TEXT("telemetry", "store", devices.store, false,
	     "the directory that vinveil-ingest stores to (default: no telemetry is served)"),
	TEXT("telemetry", "control_spool", devices.control_spool, false,
	     "the directory through which vinveil-ingest is told of vehicles and tenants"),
	SWITCH("development", "dev", dev, "serve a directory that `vinveil dev` made, on loopback (default off)"),
};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

struct daemon {
	struct vinveild_config config;
	struct platform platform;
	struct registry *registry;
	struct keyd_client *keyd;
	struct audit_log *audit;
	struct owed_leaves *owed;
	struct devices devices;
	struct api *api;
	struct tls_server *tls;
	pthread_mutex_t server_lock; /* metrics ask from pool threads while main opens and closes it */
	struct http_server *server;
};

/* ---- configuration ---------------------------------------------------------------------------------- */

/* Those that this process may use: a loop more would only take turns with another. */
static int64_t processors(void)
{
	cpu_set_t usable;
	int count = sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable) : 1;
	return count > LOOPS_DEFAULT ? LOOPS_DEFAULT : count;
}

static void set_defaults(struct vinveild_config *config)
{
	*config = (struct vinveild_config){
		.listen = "127.0.0.1",
		.operations_listen = "127.0.0.1",
		.port = 8443,
		.operations_port = 8444,
		.threads = processors(),
		.request_threads = 16,
		.request_queue = 1024,
		.connections_max = 10000,
		.requests_per_second = CLIENT_REQUESTS_PER_SECOND_DEFAULT,
		.burst = CLIENT_BURST_DEFAULT,
		.gateway_port = 8883,
		.devices.template_name = "vinveil",
		.rotation_settle_seconds = SETTLE_SECONDS,
	};
}

static bool is_loopback(const char *address)
{
	struct in_addr v4;
	return (inet_pton(AF_INET, address, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127) ||
	       strcmp(address, "::1") == 0;
}

/* The directory two levels above the registry's file: where `vinveil dev` puts its mark. */
static bool is_marked(const char *registry)
{
	char path[PATH_SIZE];
	snprintf(path, sizeof path, "%s", registry);
	for (int i = 0; i < 2; i++) {
		char *slash = strrchr(path, '/');
		if (slash == NULL)
			return false;
		*slash = '\0';
	}
	size_t length = strlen(path);
	if (snprintf(path + length, sizeof path - length, "/dev") >= (int)(sizeof path - length))
		return false;
	return path_exists(path);
}

static enum result check_config(const struct vinveild_config *config, struct note *note)
{
	TRY(daemon_check_address("[server] listen", config->listen, note));
	TRY(daemon_check_address("[server] operations_listen", config->operations_listen, note));
	TRY(devices_check_config(&config->devices, note));
	if (is_marked(config->registry) && !config->dev) {
		note_set(note,
			 "this directory was made by `vinveil dev`, with its root keys in it: it is not for production "
			 "(start it by `vinveil dev`)");
		return RESULT_DENIED;
	}
	if (config->dev && (!is_loopback(config->listen) || !is_loopback(config->operations_listen))) {
		note_set(note, "[development] dev = on: listen and operations_listen must be loopback addresses");
		return RESULT_INVALID;
	}
	return RESULT_OK;
}

/* ---- opening ---------------------------------------------------------------------------------------- */

static void tell_audit_state(void *context, struct api_audit_state *ret_state)
{
	struct daemon *daemon = context;
	struct audit_tlog_status status;
	audit_tlog_status(daemon->audit, &status);
	*ret_state = (struct api_audit_state){
		.size = status.size,
		.durable_size = status.durable_size,
		.checkpoint_size = status.checkpoint_size,
		.checkpoint_age_ms = status.checkpoint_age_ms,
		.group_count = status.group_count,
		.is_failing = status.is_failing,
	};
	memcpy(ret_state->failure, status.failure, sizeof(ret_state->failure));
}

static void tell_fleet_state(void *context, struct api_fleet_state *ret_state)
{
	struct daemon *daemon = context;
	devices_tell_state(&daemon->devices, ret_state);
}

static void tell_transport_state(void *context, struct http_server_counters *ret_counters)
{
	struct daemon *daemon = context;
	pthread_mutex_lock(&daemon->server_lock);
	if (daemon->server != NULL)
		http_server_count(daemon->server, ret_counters);
	pthread_mutex_unlock(&daemon->server_lock);
}

static enum result open_storage(struct daemon *daemon, struct note *note)
{
	const struct vinveild_config *config = &daemon->config;
	struct registry_sqlite_options options = {.reader_cache_kib = READER_CACHE_KIB};
	struct keyd_client_config keyd = {.socket_path = config->keyd_socket};

	enum result result = registry_sqlite_open(config->registry, &options, &daemon->registry, note);
	if (result != RESULT_OK) {
		struct note cause = *note;
		note_set(note, "registry %.150s: %.200s%s", config->registry, cause.text,
			 result == RESULT_CORRUPT ? "; restore it (vinveil restore)" : "");
		return result;
	}
	TRY(keyd_client_open(&keyd, &daemon->keyd, note));
	TRY(owed_leaves_open(&daemon->owed));
	daemon->platform = (struct platform){
		.owed = daemon->owed,
		.registry = daemon->registry,
		.keys = keyd_client_keys(daemon->keyd),
		.authority = keyd_client_authority(daemon->keyd),
		.agent_format = fleetwise_agent_format(),
		.clock = clock_system(),
		.entropy = entropy_system(),
	};
	return devices_open(&daemon->devices, &config->devices, &daemon->platform, note);
}

/* keyd may be starting at the same time, which is nothing to tell: it is waited for, but not for ever, and not when we
   are asked to stop. */
static enum result open_audit(struct daemon *daemon, const sigset_t *signals, struct note *note)
{
	struct audit_tlog_config config = {.directory = daemon->config.audit,
					   .origin = daemon->config.audit_origin,
					   .signer = daemon->platform.keys};
	int64_t begin = clock_monotonic_ms(clock_system());
	struct timespec pause = {.tv_nsec = 200000000};
	bool is_told = false;

	for (;;) {
		enum result result = audit_tlog_open(&config, &daemon->audit, note);
		daemon->platform.audit = daemon->audit;
		int64_t waited = clock_monotonic_ms(clock_system()) - begin;
		if (result != RESULT_UNAVAILABLE || waited > KEYD_WAIT_MS)
			return result;
		if (!is_told && waited > KEYD_PATIENCE_MS)
			log_event(LOG_WARN, "waiting", "%s", note->text);
		is_told = waited > KEYD_PATIENCE_MS;
		int signal = sigtimedwait(signals, NULL, &pause);
		if (signal == SIGTERM || signal == SIGINT)
			return result;
	}
}

static enum result drain_outbox(struct daemon *daemon, struct note *note)
{
	size_t drained = 0;
	enum result result = audit_drain_outbox(&daemon->platform, audit_tlog_contains, daemon->audit, &drained, note);
	audit_tlog_contains_end(daemon->audit);
	if (drained > 0)
		log_event(LOG_INFO, "outbox", "%zu %s brought into the audit log", drained,
			  text_plural(drained, "leaf was", "leaves were"));
	return result;
}

static enum result open_api(struct daemon *daemon, struct note *note)
{
	const struct vinveild_config *config = &daemon->config;
	struct api_config api = {
		.platform = &daemon->platform,
		.loop_count = (size_t)config->threads,
		.operations_listener = 1,
		.pool_threads = (size_t)config->request_threads,
		.pool_queue_max = (size_t)config->request_queue,
		.limits = {(uint32_t)config->requests_per_second, (uint32_t)config->burst},
		.crl_path = config->crl,
		.gateway_endpoint = config->gateway_endpoint,
		.gateway_port = (uint16_t)config->gateway_port,
		.serves_devices = config->device_root[0] != '\0',
		.rotation_settle_ms = config->rotation_settle_seconds * 1000,
		.audit_state = tell_audit_state,
		.fleet_state = tell_fleet_state,
		.transport_state = tell_transport_state,
		.context = daemon,
	};
	return api_open(&api, &daemon->api, note);
}

static struct http_server *set_server(struct daemon *daemon, struct http_server *server)
{
	pthread_mutex_lock(&daemon->server_lock);
	struct http_server *former = daemon->server;
	daemon->server = server;
	pthread_mutex_unlock(&daemon->server_lock);
	return former;
}

static const char *path_or_none(const char *path)
{
	return path[0] != '\0' ? path : NULL;
}

static enum result open_server(struct daemon *daemon, struct note *note)
{
	const struct vinveild_config *config = &daemon->config;
	struct tls_server_config tls = {
		.certificate_path = config->certificate,
		.key_path = config->key,
		.client_root_path = config->client_root,
		.allow_tls12 = config->tls12,
		.device_root_path = path_or_none(config->device_root),
		.device_issuer_path = path_or_none(config->device_issuer),
	};
	struct http_server_config http;
	struct http_server *server;

	TRY(tls_server_open(&tls, &daemon->tls, note));
	http_server_config_defaults(&http);
	http.listener_count = 2;
	http.listeners[0].port = (uint16_t)config->port;
	http.listeners[0].tls = daemon->tls;
	http.listeners[1].port = (uint16_t)config->operations_port;
	snprintf(http.listeners[0].address, sizeof http.listeners[0].address, "%s", config->listen);
	snprintf(http.listeners[1].address, sizeof http.listeners[1].address, "%s", config->operations_listen);
	http.loop_count = (size_t)config->threads;
	http.connections_max = (size_t)config->connections_max;
	http.connections_per_address_max = (size_t)config->connections_per_address_max;
	http.application = &api_application;
	http.application_context = daemon->api;
	http.clock = clock_system();
	TRY(http_server_open(&http, &server, note));
	set_server(daemon, server);
	return RESULT_OK;
}

static enum result open_all(struct daemon *daemon, const sigset_t *signals, struct note *note)
{
	TRY(crypto_init(note));
	TRY(open_storage(daemon, note));
	TRY(open_audit(daemon, signals, note));
	TRY(drain_outbox(daemon, note));
	TRY(devices_serve(&daemon->devices, &daemon->config.devices, &daemon->platform, note));
	TRY(open_api(daemon, note));
	return open_server(daemon, note);
}

static void close_all(struct daemon *daemon)
{
	if (daemon->api != NULL)
		api_begin_drain(daemon->api);
	struct http_server *server = set_server(daemon, NULL);
	if (server != NULL)
		http_server_close(server, DRAIN_MS);
	api_close(daemon->api);
	devices_close(&daemon->devices);
	audit_tlog_close(daemon->audit);
	owed_leaves_close(daemon->owed);
	keyd_client_close(daemon->keyd);
	registry_sqlite_close(daemon->registry);
	if (daemon->tls != NULL)
		tls_server_close(daemon->tls);
}

static int run(struct daemon *daemon)
{
	struct note note = {0};
	sigset_t signals;

	daemon_block_signals(&signals);
	enum result result = open_all(daemon, &signals, &note);
	if (result == RESULT_OK) {
		log_event(LOG_INFO, "listening", "API on %s port %lld, operations on %s port %lld",
			  daemon->config.listen, (long long)daemon->config.port, daemon->config.operations_listen,
			  (long long)daemon->config.operations_port);
		daemon_wait_for_end(&signals, "finishing what is in flight");
	} else {
		log_event(LOG_ERROR, "start", "%s: %s", result_name(result), note.text);
	}
	close_all(daemon);
	if (result == RESULT_OK)
		log_event(LOG_INFO, "stopped", "everything is closed");
	return result == RESULT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- command line ----------------------------------------------------------------------------------- */

static enum result read_config(const char *path, struct vinveild_config *config, struct note *note)
{
	set_defaults(config);
	TRY(config_read(path, keys, KEY_COUNT, config, note));
	return check_config(config, note);
}

int main(int argc, char **argv)
{
	static const struct daemon_program program = {
		.name = "vinveild",
		.purpose = "The API daemon.",
		.keys = keys,
		.key_count = KEY_COUNT,
	};
	static struct daemon daemon = {.server_lock = PTHREAD_MUTEX_INITIALIZER};
	struct daemon_arguments arguments;
	struct note note = {0};
	int code;

	if (!daemon_read_arguments(&program, argc, argv, &arguments, &code))
		return code;
	if (read_config(arguments.config_path, &daemon.config, &note) != RESULT_OK) {
		fprintf(stderr, "vinveild: %s\n", note.text);
		return EXIT_CONFIG;
	}
	if (arguments.check_only) {
		printf("%s: good\n", arguments.config_path);
		return EXIT_SUCCESS;
	}
	daemon_harden();
	log_init("vinveild", LOG_INFO);
	json_init();
	return run(&daemon);
}
