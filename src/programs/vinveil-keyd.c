/*
 * vinveil-keyd: the key daemon. Every secret and every authority of an installation is in this process, which has no
 * network and after its start opens nothing: no file, no socket.
 */
#include "adapters/authority/openssl.h"
#include "adapters/keys/keyd_config.h"
#include "adapters/keys/keyd_server.h"
#include "adapters/keys/local.h"
#include "adapters/keys/sandbox.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "programs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

struct daemon {
	struct keyd_config config;
	struct key_service *keys;
	struct cert_authority *authority;
	struct keyd_server server;
	struct sockaddr_un address;
	int run_directory;	 /* of the socket */
	const char *socket_name; /* in it */
};

/* ---- users ---------------------------------------------------------------------------------------- */

static enum result parse_user(const char *name, uid_t *ret_uid, struct note *note)
{
	char *end = NULL;
	errno = 0;
	unsigned long number = strtoul(name, &end, 10);
	if (name[0] >= '0' && name[0] <= '9' && *end == '\0' && errno == 0 && number < UINT32_MAX) {
		*ret_uid = (uid_t)number;
		return RESULT_OK;
	}
	const struct passwd *user = getpwnam(name);
	if (!user) {
		note_set(note, "allow: there is no user %.64s", name);
		return RESULT_INVALID;
	}
	*ret_uid = user->pw_uid;
	return RESULT_OK;
}

static enum result read_allowed(const char *text, struct keyd_server *server, struct note *note)
{
	char copy[sizeof(((struct keyd_config *)NULL)->allow)];
	char *rest = copy;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *name = strtok_r(copy, " ,", &rest); name; name = strtok_r(NULL, " ,", &rest)) {
		if (server->allowed_count == KEYD_ALLOWED_MAX) {
			note_set(note, "allow: at most %d users", KEYD_ALLOWED_MAX);
			return RESULT_INVALID;
		}
		TRY(parse_user(name, &server->allowed[server->allowed_count], note));
		server->allowed_count++;
	}
	if (server->allowed_count == 0) {
		server->allowed[server->allowed_count++] = 0;
		server->allowed[server->allowed_count++] = geteuid();
	}
	return RESULT_OK;
}

/* ---- socket --------------------------------------------------------------------------------------- */

static enum result system_failure(struct note *note, const char *what, const char *path)
{
	note_set(note, "cannot %s %s: %s", what, path, strerror(errno));
	return RESULT_UNAVAILABLE;
}

static enum result open_run_directory(struct daemon *daemon, struct note *note)
{
	char directory[KEYD_SOCKET_PATH_SIZE];
	snprintf(directory, sizeof(directory), "%s", daemon->config.socket);
	char *slash = strrchr(directory, '/');
	*slash = '\0';
	daemon->socket_name = strrchr(daemon->config.socket, '/') + 1;
	const char *path = directory[0] ? directory : "/";
	TRY(directory_make(path, 0750, note));
	daemon->run_directory = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return daemon->run_directory >= 0 ? RESULT_OK : system_failure(note, "open", path);
}

/* A socket of this name is a dead daemon's: a living one would hold the vault's lock. Anything else is kept. */
static enum result remove_stale_socket(const struct daemon *daemon, struct note *note)
{
	struct stat status;
	if (fstatat(daemon->run_directory, daemon->socket_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? RESULT_OK : system_failure(note, "look at", daemon->config.socket);
	if (!S_ISSOCK(status.st_mode)) {
		note_set(note, "%s is there and is not a socket", daemon->config.socket);
		return RESULT_CONFLICT;
	}
	if (unlinkat(daemon->run_directory, daemon->socket_name, 0) != 0)
		return system_failure(note, "remove", daemon->config.socket);
	return RESULT_OK;
}

static enum result listen_on_socket(struct daemon *daemon, struct note *note)
{
	const char *path = daemon->config.socket;
	TRY(open_run_directory(daemon, note));
	TRY(remove_stale_socket(daemon, note));
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor < 0)
		return system_failure(note, "make socket", path);
	daemon->server.listener = descriptor;
	daemon->address.sun_family = AF_UNIX;
	memcpy(daemon->address.sun_path, path, strlen(path) + 1);
	umask(0117);
	int bound = bind(descriptor, (struct sockaddr *)&daemon->address, sizeof(daemon->address));
	umask(077);
	if (bound != 0 || listen(descriptor, BACKLOG) != 0)
		return system_failure(note, "listen on", path);
	return RESULT_OK;
}

/* ---- start ---------------------------------------------------------------------------------------- */

static enum result open_services(struct daemon *daemon, struct note *note)
{
	const struct keyd_config *config = &daemon->config;
	struct keys_local_config keys = {
		.directory = config->directory, .origin = config->origin, .budgets = config->budgets};
	struct authority_openssl_config authority = {
		.directory = config->directory,
		.device_days = config->device_days,
		.crl_days = config->crl_days,
		.issuances_per_hour = config->budgets.issuances_per_hour,
	};
	TRY(keys_local_open(&keys, &daemon->keys, note));
	TRY(authority_openssl_open(&authority, &daemon->authority, note));
	daemon->server.services = (struct keyd_services){.keys = daemon->keys, .authority = daemon->authority};
	return RESULT_OK;
}

/* SIGTERM and SIGINT become readable; SIGPIPE cannot kill. */
static enum result take_signals(struct daemon *daemon, struct note *note)
{
	sigset_t stopping;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&stopping);
	sigaddset(&stopping, SIGTERM);
	sigaddset(&stopping, SIGINT);
	sigprocmask(SIG_BLOCK, &stopping, NULL);
	daemon->server.stop_descriptor = signalfd(-1, &stopping, SFD_CLOEXEC);
	return daemon->server.stop_descriptor >= 0 ? RESULT_OK : system_failure(note, "take", "signals");
}

static void on_event(enum keyd_event event, uid_t uid)
{
	static const char *const names[] = {
		[KEYD_EVENT_REFUSED_USER] = "user-refused",
		[KEYD_EVENT_TOO_MANY] = "too-many-connections",
		[KEYD_EVENT_NOT_PROTOCOL] = "protocol-violated",
		[KEYD_EVENT_NO_THREAD] = "no-thread",
	};
	log_event(LOG_WARN, names[event], "uid %u", (unsigned)uid);
}

static enum result start(struct daemon *daemon, struct note *note)
{
	struct note lesser = {0};
	daemon->server.connections_max = (size_t)daemon->config.connections_max;
	daemon->server.on_event = on_event;
	daemon->server.own_user = geteuid();
	TRY(sandbox_begin(note));
	TRY(crypto_init(note));
	TRY(take_signals(daemon, note));
	if (sandbox_lock_memory(&lesser) != RESULT_OK)
		log_event(LOG_WARN, "memory-not-locked", "%s", lesser.text);
	TRY(open_services(daemon, note));
	TRY(listen_on_socket(daemon, note));
	enum result filtered = sandbox_filter_calls(daemon->run_directory, daemon->socket_name, note);
	if (filtered == RESULT_ABSENT) {
		log_event(LOG_WARN, "system-calls-not-filtered", "%s", note->text);
		return RESULT_OK;
	}
	return filtered;
}

static int run(struct daemon *daemon)
{
	struct note note = {0};
	enum result result = start(daemon, &note);
	if (result == RESULT_OK) {
		log_event(LOG_INFO, "listening", "%s", daemon->config.socket);
		result = keyd_server_run(&daemon->server, &note);
	}
	if (result != RESULT_OK)
		log_event(LOG_ERROR, "failed", "%s: %s", result_name(result), note.text);
	else
		log_event(LOG_INFO, "stopped", "cleanly");
	if (daemon->address.sun_family == AF_UNIX && daemon->socket_name != NULL)
		unlinkat(daemon->run_directory, daemon->socket_name, 0);
	authority_openssl_close(daemon->authority);
	keys_local_close(daemon->keys);
	return result == RESULT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- command line --------------------------------------------------------------------------------- */

#define SHORT_USAGE "usage: vinveil-keyd --config FILE [--check-config] | --help | --version\n"

static int print_help(void)
{
	size_t count = 0;
	const struct config_key *keys = keyd_config_keys(&count);
	fputs("usage: vinveil-keyd --config FILE [--check-config]\n\n"
	      "The key daemon of vinveil: holds the keys that seal VINs, the device issuer and the audit key,\n"
	      "and serves vinveild over a UNIX socket. SIGTERM stops it.\n\n"
	      "  --config FILE    the configuration, INI; `vinveil init` writes one\n"
	      "  --check-config   read it, say what is wrong with it, and end; the files it names are not opened\n"
	      "  --version\n"
	      "  --help\n\n"
	      "Keys of the configuration, as section.key:\n",
	      stdout);
	for (size_t i = 0; i < count; i++)
		printf("  %s.%s%s\n      %s\n", keys[i].section, keys[i].key, keys[i].required ? " (required)" : "",
		       keys[i].help);
	return EXIT_SUCCESS;
}

static int run_with(const char *path, bool check_only)
{
	static struct daemon daemon = {.run_directory = -1};
	struct note note = {0};
	log_init("vinveil-keyd", LOG_INFO);
	enum result result = keyd_config_read(path, &daemon.config, &note);
	if (result == RESULT_OK)
		result = read_allowed(daemon.config.allow, &daemon.server, &note);
	if (result != RESULT_OK) {
		fprintf(stderr, "vinveil-keyd: %s\n", note.text);
		return EXIT_CONFIG;
	}
	if (!check_only)
		return run(&daemon);
	printf("%s: good\n", path);
	return EXIT_SUCCESS;
}

int main(int argument_count, char **arguments)
{
	const char *path = NULL;
	bool check_only = false;
	for (int i = 1; i < argument_count; i++) {
		if (strcmp(arguments[i], "--config") == 0 && i + 1 < argument_count) {
			path = arguments[++i];
		} else if (strcmp(arguments[i], "--check-config") == 0) {
			check_only = true;
		} else if (strcmp(arguments[i], "--help") == 0) {
			return print_help();
		} else if (strcmp(arguments[i], "--version") == 0) {
			puts("vinveil-keyd " VINVEIL_VERSION);
			return EXIT_SUCCESS;
		} else {
			fprintf(stderr, "vinveil-keyd: unknown or incomplete option %s\n" SHORT_USAGE, arguments[i]);
			return EXIT_CONFIG;
		}
	}
	if (!path) {
		fputs("vinveil-keyd: say --config FILE\n" SHORT_USAGE, stderr);
		return EXIT_CONFIG;
	}
	return run_with(path, check_only);
}
