/*
 * vinveil-ingest: brings telemetry from the broker's spool into the store. Wiring only. It holds no key and no VIN, and
 * its only socket is the operations listener.
 */
#include "adapters/telemetry/sqlite.h"
#include "base/config.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "programs/daemon.h"
#include "programs/ingest/ingest.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS 1000

struct program_config {
	char telemetry_spool[PATH_SIZE], control_spool[PATH_SIZE];
	char store[PATH_SIZE];
	int64_t retention_days, rejects_max, reject_size;
	int64_t batch_records, batch_ms, batch_mib;
	char operations_listen[64];
	int64_t operations_port;
};

#define TEXT(section, key, member, required, help)                                         \
	{                                                                                  \
		section, key, CONFIG_TEXT, offsetof(struct program_config, member),        \
			sizeof(((struct program_config *)0)->member), 0, 0, required, help \
	}
#define NUMBER(section, key, member, min, max, help)                                                           \
	{                                                                                                      \
		section, key, CONFIG_NUMBER, offsetof(struct program_config, member), 0, min, max, false, help \
	}

static const struct config_key keys[] = {
	TEXT("server", "operations_listen", operations_listen, false,
	     "numeric address of health and metrics, plain HTTP (default 127.0.0.1)"),
	NUMBER("server", "operations_port", operations_port, 1, 65535, "its port (default 8446)"),
	TEXT("spool", "telemetry", telemetry_spool, true, "the directory of the spool that the broker writes"),
	TEXT("spool", "control", control_spool, true, "the directory of the spool that vinveild writes"),
	TEXT("storage", "telemetry", store, true, "where telemetry is kept"),
	NUMBER("storage", "retention_days", retention_days, 1, TELEMETRY_RETENTION_MAX_DAYS,
	       "how long, for tenants that say nothing else (default 90)"),
	NUMBER("storage", "rejects_max", rejects_max, 1, 1000000, "payloads kept aside (default 1000)"),
	NUMBER("storage", "reject_size", reject_size, 64, 131072, "bytes kept of each (default 2048)"),
	NUMBER("batch", "records", batch_records, 1, 1000000, "records committed together, at most (default 50000)"),
	NUMBER("batch", "milliseconds", batch_ms, 1, 10000, "how long the first of them waits, at most (default 100)"),
	NUMBER("batch", "mebibytes", batch_mib, 1, 1024, "memory that a batch may take (default 64)"),
};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

struct daemon {
	struct program_config config;
	struct telemetry_store *store;
	struct fleetwise_decoders *decoders;
	struct ingest ingest;
	struct operations *operations;
	pthread_t thread;
};

/* ---- configuration ---------------------------------------------------------------------------------- */

static void set_defaults(struct program_config *config)
{
	*config = (struct program_config){
		.retention_days = TELEMETRY_RETENTION_DAYS_DEFAULT,
		.rejects_max = TELEMETRY_REJECTS_MAX_DEFAULT,
		.reject_size = TELEMETRY_REJECT_SIZE_DEFAULT,
		.batch_records = 50000,
		.batch_ms = 100,
		.batch_mib = 64,
		.operations_listen = "127.0.0.1",
		.operations_port = 8446,
	};
}

static void log_failure(enum result result, const char *event, const char *text)
{
	log_event(result == RESULT_OK ? LOG_INFO : result == RESULT_CORRUPT ? LOG_ERROR : LOG_WARN, event, "%s", text);
}

/* ---- opening ---------------------------------------------------------------------------------------- */

static enum result open_decoders(struct daemon *daemon, struct note *note)
{
	char directory[PATH_SIZE];
	size_t skipped = 0;

	TRY(path_join(daemon->config.store, "decoders", directory));
	TRY(fleetwise_decoders_open(directory, &daemon->decoders, &skipped, note));
	if (skipped > 0)
		log_event(LOG_WARN, "decoders", "%zu %s in %s cannot be used: %s", skipped,
			  text_plural(skipped, "file", "files"), directory, note->text);
	return RESULT_OK;
}

static enum result open_all(struct daemon *daemon, struct note *note)
{
	const struct program_config *config = &daemon->config;
	const struct telemetry_sqlite_options options = {
		.retention_days = (uint32_t)config->retention_days,
		.rejects_max = (uint32_t)config->rejects_max,
		.reject_size = (uint32_t)config->reject_size,
	};
	const struct ingest_config ingest = {
		.telemetry_spool = config->telemetry_spool,
		.control_spool = config->control_spool,
		.batch_records = (size_t)config->batch_records,
		.batch_ms = config->batch_ms,
		.batch_size = (size_t)config->batch_mib << 20,
		.reject_size = (size_t)config->reject_size,
		.retry_ms = RETRY_MS,
		.clock = clock_system(),
	};

	TRY(crypto_init(note));
	TRY(telemetry_sqlite_open(config->store, &options, &daemon->store, note));
	TRY(open_decoders(daemon, note));
	TRY(ingest_open(&daemon->ingest, &ingest, daemon->store, daemon->decoders, note));
	return operations_open(&daemon->ingest, config->operations_listen, (uint16_t)config->operations_port,
			       &daemon->operations, note);
}

static void close_all(struct daemon *daemon)
{
	operations_close(daemon->operations);
	ingest_close(&daemon->ingest);
	if (daemon->decoders != NULL)
		fleetwise_decoders_close(daemon->decoders);
	telemetry_sqlite_close(daemon->store);
}

/* ---- running ------------------------------------------------------------------------------------------ */

static void *work(void *context)
{
	ingest_run(context);
	return NULL;
}

static enum result serve(struct daemon *daemon, const sigset_t *signals, struct note *note)
{
	TRY(open_all(daemon, note));
	if (pthread_create(&daemon->thread, NULL, work, &daemon->ingest) != 0) {
		note_set(note, "no thread can be started");
		return RESULT_UNAVAILABLE;
	}
	pthread_setname_np(daemon->thread, "ingest");
	log_event(LOG_INFO, "listening", "operations on %s port %lld", daemon->config.operations_listen,
		  (long long)daemon->config.operations_port);
	daemon_wait_for_end(signals, "committing what was read");
	ingest_stop(&daemon->ingest);
	pthread_join(daemon->thread, NULL);
	return RESULT_OK;
}

static int run(struct daemon *daemon)
{
	struct note note = {0};
	sigset_t signals;

	daemon_block_signals(&signals);
	daemon->ingest.log = log_failure;
	enum result result = serve(daemon, &signals, &note);
	if (result != RESULT_OK)
		log_event(LOG_ERROR, "start", "%s: %s", result_name(result), note.text);
	close_all(daemon);
	if (result == RESULT_OK)
		log_event(LOG_INFO, "stopped", "everything is closed");
	return result == RESULT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- command line ----------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
	static const struct daemon_program program = {
		.name = "vinveil-ingest",
		.purpose = "Brings telemetry from the spool into the store.",
		.keys = keys,
		.key_count = KEY_COUNT,
	};
	static struct daemon daemon;
	struct daemon_arguments arguments;
	struct note note = {0};
	int code;

	if (!daemon_read_arguments(&program, argc, argv, &arguments, &code))
		return code;
	set_defaults(&daemon.config);
	enum result result = config_read(arguments.config_path, keys, KEY_COUNT, &daemon.config, &note);
	if (result == RESULT_OK)
		result = daemon_check_address("[server] operations_listen", daemon.config.operations_listen, &note);
	if (result != RESULT_OK) {
		fprintf(stderr, "vinveil-ingest: %s\n", note.text);
		return EXIT_CONFIG;
	}
	if (arguments.check_only) {
		printf("%s: good\n", arguments.config_path);
		return EXIT_SUCCESS;
	}
	daemon_harden();
	log_init("vinveil-ingest", LOG_INFO);
	json_init();
	return run(&daemon);
}
