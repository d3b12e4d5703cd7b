/*
 * `vinveil dev`: a whole installation in one directory and one terminal, on loopback. Initialises an empty
 * directory, starts every process as a child in the foreground, keeps them running, and stops them all on
 * SIGINT or SIGTERM. A child that dies is started again, as an init system would do in production.
 */
#include "programs/vinveil/broker_config.h"
#include "programs/vinveil/commands.h"
#include "programs/vinveil/dev_json.h"
#include "programs/vinveil/dev_probe.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_WAIT_MS	30000
#define STOP_WAIT_MS	20000
#define RESTART_WAIT_MS 200
#define PORT_WAIT_MS	2000 /* for one that just ended here */
#define FILES_WANTED	65536

struct child {
	const char *name;	 /* in dev.json and in messages */
	const char *option;	 /* what its configuration file follows */
	const char *config_name; /* in the directory */
	char program[PATH_SIZE], config[PATH_SIZE];
	pid_t pid;	    /* 0: not running */
	bool is_ready;	    /* has answered since it was started */
	int64_t start_ms;   /* when it is not running: when to start it again */
	int64_t ready_ms;   /* when it is not ready: until when to wait for that */
	int64_t give_up_ms; /* when it has been ready before: until when to start it again */
};

/* In the order of starting; stopped in reverse: first nothing more comes in, the vault closes last. */
enum { CHILD_KEYD, CHILD_VINVEILD, CHILD_INGEST, CHILD_BROKER, CHILD_COUNT };

static const struct child descriptions[CHILD_COUNT] = {
	[CHILD_KEYD] = {.name = "vinveil-keyd", .option = "--config", .config_name = "keyd.conf"},
	[CHILD_VINVEILD] = {.name = "vinveild", .option = "--config", .config_name = "vinveild.conf"},
	[CHILD_INGEST] = {.name = "vinveil-ingest", .option = "--config", .config_name = "ingest.conf"},
	[CHILD_BROKER] = {.name = "mosquitto", .option = "-c", .config_name = "gateway/mosquitto.conf"},
};

struct dev {
	struct installation installation;
	struct child children[CHILD_COUNT];
	int lock;    /* the directory, locked */
	int signals; /* signalfd: SIGINT, SIGTERM, SIGCHLD */
	sigset_t former_mask;
};

static int start_child(struct dev *dev, struct child *child)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0) {
		say_error("cannot start %s: %s", child->program, strerror(errno));
		return EXIT_AWAY;
	}
	if (pid == 0) {
		/* A killed parent must not leave daemons behind; and ^C reaches us alone: we stop them in order. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(EXIT_FAILED);
		setpgid(0, 0);
		sigprocmask(SIG_SETMASK, &dev->former_mask, NULL);
		execl(child->program, child->name, child->option, child->config, (char *)NULL);
		_exit(127);
	}
	child->pid = pid;
	child->is_ready = false;
	child->ready_ms = clock_monotonic_ms(clock_system()) + READY_WAIT_MS;
	return EXIT_DONE;
}

/* ---- waiting for answers --------------------------------------------------------------------------- */

static bool child_answers(const struct dev *dev, size_t which)
{
	const struct installation *installation = &dev->installation;
	switch (which) {
	case CHILD_KEYD:
		return probe_socket(installation->keyd_socket);
	case CHILD_VINVEILD:
		return probe_ready(installation->operations_port);
	case CHILD_INGEST:
		return probe_ready(installation->ingest_port);
	default: /* the broker refuses vehicles until vinveild has found it */
		return probe_port(installation->mqtt_port) && probe_port(installation->websockets_port) &&
		       probe_check(installation->operations_port, "deviceGateway");
	}
}

/* Reaps whoever ended; returns the child or NULL. */
static struct child *reap(struct dev *dev, int *ret_status)
{
	pid_t pid = waitpid(-1, ret_status, WNOHANG);
	for (size_t i = 0; pid > 0 && i < CHILD_COUNT; i++)
		if (dev->children[i].pid == pid) {
			dev->children[i].pid = 0;
			return &dev->children[i];
		}
	return NULL;
}

/* Waits for one signal for at most timeout_ms; 0: none came. */
static int next_signal(const struct dev *dev, int timeout_ms)
{
	struct pollfd poll_entry = {.fd = dev->signals, .events = POLLIN};
	struct signalfd_siginfo information;
	if (poll(&poll_entry, 1, timeout_ms) <= 0 ||
	    read(dev->signals, &information, sizeof information) != (ssize_t)sizeof information)
		return 0;
	return (int)information.ssi_signo;
}

static const char *describe_end(int status, char *ret_text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(ret_text, size, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(ret_text, size, "ended with exit code %d", WEXITSTATUS(status));
	return ret_text;
}

/* Whoever ended before it answered would again. */
static int tell_ended(const struct child *child, int status)
{
	char end[48];
	say_error("%s %s before it was ready; its messages above say why", child->name,
		  describe_end(status, end, sizeof end));
	return EXIT_FAILED;
}

/* EXIT_DONE when it answers; EXIT_FAILED when one of those started died first, or it never did; EXIT_AWAY when we were
   asked to stop. */
static int wait_until_ready(struct dev *dev, size_t which)
{
	struct child *child = &dev->children[which];
	while (clock_monotonic_ms(clock_system()) < child->ready_ms) {
		if (child_answers(dev, which)) {
			child->is_ready = true;
			return EXIT_DONE;
		}
		int got = next_signal(dev, 20);
		if (got == SIGINT || got == SIGTERM)
			return EXIT_AWAY;
		int status;
		struct child *ended = reap(dev, &status);
		if (ended != NULL)
			return tell_ended(ended, status);
	}
	say_error("%s does not answer after %d seconds", child->name, READY_WAIT_MS / 1000);
	return EXIT_FAILED;
}

/* keyd first; the others need each other to be ready, so they are started together. */
static int start_all(struct dev *dev)
{
	int code = start_child(dev, &dev->children[CHILD_KEYD]);
	if (code == EXIT_DONE)
		code = wait_until_ready(dev, CHILD_KEYD);
	for (size_t i = CHILD_KEYD + 1; i < CHILD_COUNT && code == EXIT_DONE; i++)
		code = start_child(dev, &dev->children[i]);
	for (size_t i = CHILD_KEYD + 1; i < CHILD_COUNT && code == EXIT_DONE; i++)
		code = wait_until_ready(dev, i);
	return code;
}

static void stop_child(struct dev *dev, struct child *child)
{
	if (child->pid == 0)
		return;
	kill(child->pid, SIGTERM);
	int64_t until = clock_monotonic_ms(clock_system()) + STOP_WAIT_MS;
	while (waitpid(child->pid, NULL, WNOHANG) == 0) {
		if (clock_monotonic_ms(clock_system()) > until) {
			say_error("%s did not stop in time and was killed", child->name);
			kill(child->pid, SIGKILL);
			waitpid(child->pid, NULL, 0);
			break;
		}
		next_signal(dev, 20);
	}
	child->pid = 0;
}

static void stop_all(struct dev *dev)
{
	for (size_t i = CHILD_COUNT; i-- > 0;)
		stop_child(dev, &dev->children[i]);
}

static int write_dev_json(const struct dev *dev)
{
	struct dev_process processes[CHILD_COUNT];
	struct note note = {0};
	for (size_t i = 0; i < CHILD_COUNT; i++)
		processes[i] = (struct dev_process){dev->children[i].name, dev->children[i].pid};
	enum result result = dev_json_write(&dev->installation, processes, CHILD_COUNT, &note);
	return result == RESULT_OK ? EXIT_DONE : fail("writing dev.json", result, &note);
}

/* ---- the run --------------------------------------------------------------------------------------- */

/*
 * All of them were ready once, so it is brought back: also one that refuses to run, since what is in its way
 * (somebody's connection on its port, say) may go; but not for ever.
 */
static int note_end(struct child *child, int status)
{
	char end[48];
	int64_t now_ms = clock_monotonic_ms(clock_system());
	if (child->is_ready)
		child->give_up_ms = now_ms + READY_WAIT_MS;
	if (now_ms > child->give_up_ms && !WIFSIGNALED(status))
		return tell_ended(child, status);
	say("vinveil dev: %s %s; starting it again", child->name, describe_end(status, end, sizeof end));
	child->start_ms = now_ms + RESTART_WAIT_MS;
	child->is_ready = false;
	return EXIT_DONE;
}

/* Starts a child again when it is time, and looks whether it answers. */
static int bring_back(struct dev *dev, struct child *child)
{
	int64_t now_ms = clock_monotonic_ms(clock_system());
	if (child->is_ready)
		return EXIT_DONE;
	if (child->pid == 0)
		return now_ms < child->start_ms ? EXIT_DONE : start_child(dev, child);
	if (child_answers(dev, (size_t)(child - dev->children))) {
		child->is_ready = true;
		return write_dev_json(dev);
	}
	if (now_ms < child->ready_ms)
		return EXIT_DONE;
	say_error("%s does not answer after %d seconds", child->name, READY_WAIT_MS / 1000);
	return EXIT_FAILED;
}

static bool all_ready(const struct dev *dev)
{
	for (size_t i = 0; i < CHILD_COUNT; i++)
		if (!dev->children[i].is_ready)
			return false;
	return true;
}

/* Until SIGINT or SIGTERM, or until a child cannot be brought back. Any of them may die at any time. */
static int supervise(struct dev *dev)
{
	for (;;) {
		int got = next_signal(dev, all_ready(dev) ? 1000 : 20);
		if (got == SIGINT || got == SIGTERM)
			return EXIT_DONE;
		/* Signals coalesce, and one may have been taken while waiting elsewhere: always look. */
		int status, code = EXIT_DONE;
		struct child *child;
		while (code == EXIT_DONE && (child = reap(dev, &status)) != NULL)
			code = note_end(child, status);
		for (size_t i = 0; i < CHILD_COUNT && code == EXIT_DONE; i++)
			code = bring_back(dev, &dev->children[i]);
		if (code != EXIT_DONE)
			return code;
	}
}

/* Asked first: another installation on these ports would answer in the place of ours, and we would call it ready. */
static int check_ports(const struct installation *installation)
{
	const uint16_t ports[] = {installation->api_port,  installation->operations_port, installation->mqtt_port,
				  installation->alpn_port, installation->websockets_port, installation->ingest_port};
	int64_t until = clock_monotonic_ms(clock_system()) + PORT_WAIT_MS;
	for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
		while (!port_is_free(ports[i])) {
			if (clock_monotonic_ms(clock_system()) > until) {
				say_error("port %u is in use: choose others with --port-base N", ports[i]);
				return EXIT_FAILED;
			}
			usleep(50000);
		}
	return EXIT_DONE;
}

/* What a child runs and with which configuration; the broker is not ours, so it is looked for elsewhere. */
static int find_child(struct dev *dev, size_t which)
{
	struct child *child = &dev->children[which];
	*child = descriptions[which];
	if (path_join(dev->installation.directory, child->config_name, child->config) != RESULT_OK)
		return fail("the directory's name", RESULT_EXHAUSTED, NULL);
	if (which != CHILD_BROKER) {
		if (installation_program(child->name, child->program) == RESULT_OK)
			return EXIT_DONE;
		say_error("cannot find %s beside this program", child->name);
		return EXIT_FAILED;
	}
	if (broker_find(child->program) == RESULT_OK)
		return EXIT_DONE;
	say_error("there is no mosquitto, the MQTT broker that vehicles connect to: install it (on Debian: apt install "
		  "mosquitto; that also starts one on port 1883, which is not needed: systemctl disable --now "
		  "mosquitto)");
	return EXIT_FAILED;
}

/* Each connection is a descriptor, and the broker's limit is ours: as many as we may have, within reason (it makes
   tables of that size). */
static void raise_limits(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= FILES_WANTED)
		return;
	struct rlimit more = {FILES_WANTED, files.rlim_max > FILES_WANTED ? files.rlim_max : FILES_WANTED};
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	more = (struct rlimit){files.rlim_max, files.rlim_max};
	setrlimit(RLIMIT_NOFILE, &more);
}

static bool take_limits(const struct invocation *invocation, struct installation *installation)
{
	installation_set_gateway_defaults(installation);
	return option_get_number(invocation, "rate-limit", 1, 500000, 0, &installation->requests_per_second) &&
	       option_get_number(invocation, "reveals-per-hour", 1, 1000, 0, &installation->reveals_per_hour) &&
	       option_get_number(invocation, "messages-per-second", 1, 500000, installation->messages_per_second,
				 &installation->messages_per_second) &&
	       option_get_number(invocation, "messages-burst", 1, 1000000, 2 * installation->messages_per_second,
				 &installation->messages_burst) &&
	       option_get_number(invocation, "stale-refuse-seconds", 2, 86400, installation->stale_refuse_seconds,
				 &installation->stale_refuse_seconds) &&
	       option_get_number(invocation, "stale-close-seconds", 2, 864000, installation->stale_close_seconds,
				 &installation->stale_close_seconds) &&
	       option_get_number(invocation, "telemetry-spool-mib", 48, 1048576, installation->telemetry_spool_mib,
				 &installation->telemetry_spool_mib);
}

/* Before anything is written there: a second one would change the first one's configuration under its feet. */
static int take_directory(struct dev *dev, const char *directory)
{
	dev->lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dev->lock < 0 || flock(dev->lock, LOCK_EX | LOCK_NB) == 0)
		return EXIT_DONE; /* what else is wrong with it is said where it is used */
	say_error("another vinveil dev runs in %s: end it, or choose another --data", directory);
	return EXIT_FAILED;
}

static int prepare(const struct invocation *invocation, struct dev *dev)
{
	struct installation *installation = &dev->installation;
	struct note note = {0};
	int64_t port_base;
	if (!option_get_number(invocation, "port-base", 1024, 65000, 8443, &port_base) ||
	    !take_limits(invocation, installation))
		return EXIT_USAGE;
	if (option_get(invocation, "data") == NULL) {
		say_error("say where: vinveil dev --data DIR");
		return EXIT_USAGE;
	}
	installation->api_port = (uint16_t)port_base;
	installation->operations_port = (uint16_t)(port_base + 1);
	installation->mqtt_port = (uint16_t)(port_base + 2);
	installation->alpn_port = (uint16_t)(port_base + 3);
	installation->websockets_port = (uint16_t)(port_base + 4);
	installation->ingest_port = (uint16_t)(port_base + 5);
	raise_limits();
	int code = take_directory(dev, option_get(invocation, "data"));
	if (code == EXIT_DONE)
		code = check_ports(installation);
	if (code != EXIT_DONE)
		return code;
	enum result result = installation_prepare_dev(installation, option_get(invocation, "data"), &note);
	if (result != RESULT_OK)
		return fail("preparing the directory", result, &note);
	if (dev->lock < 0)
		code = take_directory(dev, installation->directory);
	for (size_t i = 0; i < CHILD_COUNT && code == EXIT_DONE; i++)
		code = find_child(dev, i);
	return code;
}

static int take_signals(struct dev *dev)
{
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, &dev->former_mask);
	dev->signals = signalfd(-1, &mask, SFD_CLOEXEC);
	return dev->signals >= 0 ? EXIT_DONE : fail("signalfd", RESULT_UNAVAILABLE, NULL);
}

static int run_dev(const struct invocation *invocation)
{
	struct dev dev = {.signals = -1, .lock = -1};
	int code = prepare(invocation, &dev);
	if (code == EXIT_DONE)
		code = take_signals(&dev);
	if (code == EXIT_DONE)
		code = start_all(&dev);
	if (code == EXIT_DONE)
		code = write_dev_json(&dev);
	if (code == EXIT_DONE) {
		printf("ready: https://127.0.0.1:%u (operations http://127.0.0.1:%u), vehicles mqtts://127.0.0.1:%u; "
		       "clients and paths in %s/dev.json\n",
		       dev.installation.api_port, dev.installation.operations_port, dev.installation.mqtt_port,
		       dev.installation.directory);
		fflush(stdout);
		code = supervise(&dev);
	} else if (code == EXIT_AWAY) {
		code = EXIT_DONE;
	}
	stop_all(&dev);
	if (dev.signals >= 0)
		close(dev.signals);
	if (dev.lock >= 0)
		close(dev.lock);
	return code;
}

const struct command command_dev = {
	.words = "dev",
	.arguments = "",
	.summary = "run everything on this machine, in the foreground, for development",
	.description =
		"Initialises DIR when it is empty, starts every process on loopback and stops them all on ^C.\n"
		"When everything answers it writes DIR/dev.json (addresses, client certificates, process IDs)\n"
		"and prints a line that starts with \"ready\". The root keys stay in DIR: never use it for real\n"
		"vehicles; `vinveil serve` refuses such a directory.",
	.run = run_dev,
	.options = {{"data", "DIR", "where everything lives", false},
		    {"port-base", "N", "API on port N, operations N+1, MQTT N+2 to N+4, ingest N+5 (default 8443)",
		     false},
		    {"rate-limit", "N", "requests a second for each client (default 200, as in production)", false},
		    {"reveals-per-hour", "N", "keyd's reveal budget (default as in production)", false},
		    {"messages-per-second", "N", "flood limit of one vehicle (default 100)", false},
		    {"messages-burst", "N", "and how many at once (default 200, or twice the rate)", false},
		    {"stale-refuse-seconds", "N", "broker without vinveild: no new connections (default 10)", false},
		    {"stale-close-seconds", "N", "and no connections at all (default 3600)", false},
		    {"telemetry-spool-mib", "N", "telemetry that may wait for vinveil-ingest (default 1024)", false},
		    {NULL, NULL, NULL, false}},
};
