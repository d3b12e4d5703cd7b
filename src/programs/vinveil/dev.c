/*
 * `vinveil dev`: a whole installation in one directory and one terminal, on loopback. Initialises an empty
 * directory, starts every process as a child in the foreground, keeps them running, and stops them all on
 * SIGINT or SIGTERM. A child that dies is started again, as an init system would do in production.
 */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/installation.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_WAIT_MS	30000
#define STOP_WAIT_MS	20000
#define RESTART_WAIT_MS 200
#define PORT_WAIT_MS	2000 /* for one that just ended here */

struct child {
	const char *name;    /* in dev.json and in messages */
	const char *program; /* beside our own executable */
	char config[PATH_SIZE];
	pid_t pid;	  /* 0: not running */
	bool is_ready;	  /* has answered since it was started */
	int64_t start_ms; /* when it is not running: when to start it again */
	int64_t ready_ms; /* when it is not ready: until when to wait for that */
};

/* In the order of starting; stopped in reverse. */
enum { CHILD_KEYD, CHILD_VINVEILD, CHILD_COUNT };

struct dev {
	struct installation installation;
	struct child children[CHILD_COUNT];
	int signals; /* signalfd: SIGINT, SIGTERM, SIGCHLD */
	sigset_t former_mask;
};

static int start_child(struct dev *dev, struct child *child)
{
	char path[PATH_SIZE];
	if (installation_program(child->program, path) != RESULT_OK) {
		say_error("cannot find %s beside this program", child->program);
		return EXIT_FAILED;
	}
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
		execl(path, child->program, "--config", child->config, (char *)NULL);
		_exit(127);
	}
	child->pid = pid;
	child->is_ready = false;
	child->ready_ms = clock_monotonic_ms(clock_system()) + READY_WAIT_MS;
	return EXIT_DONE;
}

/* ---- waiting for answers --------------------------------------------------------------------------- */

static bool keyd_answers(const struct dev *dev)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (snprintf(address.sun_path, sizeof address.sun_path, "%s", dev->installation.keyd_socket) >=
	    (int)sizeof address.sun_path)
		return false;
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return false;
	bool answers = connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0;
	close(descriptor);
	return answers;
}

/* GET /readyz on the operations listener says 200. */
static bool vinveild_answers(const struct dev *dev)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(dev->installation.operations_port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static const char request[] = "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
	char answer[16] = {0};
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return false;
	struct timeval timeout = {.tv_sec = 2};
	setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	bool answers = connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0 &&
		       send(descriptor, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1 &&
		       recv(descriptor, answer, sizeof answer - 1, MSG_WAITALL) > 0 &&
		       strncmp(answer, "HTTP/1.1 200", 12) == 0;
	close(descriptor);
	return answers;
}

static bool child_answers(const struct dev *dev, size_t which)
{
	return which == CHILD_KEYD ? keyd_answers(dev) : vinveild_answers(dev);
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

/* EXIT_DONE when it answers; EXIT_FAILED when it died first or never did; EXIT_AWAY when we were asked to stop. */
static int wait_until_ready(struct dev *dev, size_t which)
{
	struct child *child = &dev->children[which];
	int64_t until = clock_monotonic_ms(clock_system()) + READY_WAIT_MS;
	while (clock_monotonic_ms(clock_system()) < until) {
		if (child_answers(dev, which)) {
			child->is_ready = true;
			return EXIT_DONE;
		}
		int got = next_signal(dev, 20);
		int status;
		if (got == SIGINT || got == SIGTERM)
			return EXIT_AWAY;
		if (got == SIGCHLD && reap(dev, &status) == child) {
			char end[48];
			say_error("%s %s before it was ready; its messages above say why", child->name,
				  describe_end(status, end, sizeof end));
			return EXIT_FAILED;
		}
	}
	say_error("%s does not answer after %d seconds", child->name, READY_WAIT_MS / 1000);
	return EXIT_FAILED;
}

static int start_all(struct dev *dev)
{
	for (size_t i = 0; i < CHILD_COUNT; i++) {
		int code = start_child(dev, &dev->children[i]);
		if (code == EXIT_DONE)
			code = wait_until_ready(dev, i);
		if (code != EXIT_DONE)
			return code;
	}
	return EXIT_DONE;
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

/* ---- dev.json -------------------------------------------------------------------------------------- */

/* A member that names a file of the installation. */
static void write_path(struct json_writer *writer, const char *key, const struct installation *installation,
		       const char *name)
{
	char path[PATH_SIZE];
	enum result result = path_join(installation->directory, name, path);
	if (result != RESULT_OK)
		writer->result = result;
	else
		json_member_text(writer, key, path);
}

static void write_client(struct json_writer *writer, const char *name, const struct installation *installation)
{
	char file[CLIENT_ID_LENGTH_MAX + 16];
	json_key(writer, name);
	json_object_begin(writer);
	snprintf(file, sizeof file, "clients/%s.pem", name);
	write_path(writer, "certificate", installation, file);
	snprintf(file, sizeof file, "clients/%s.key", name);
	write_path(writer, "key", installation, file);
	json_object_end(writer);
}

static void write_addresses(struct json_writer *writer, const struct installation *installation)
{
	char text[64];
	snprintf(text, sizeof text, "https://127.0.0.1:%u", installation->api_port);
	json_member_text(writer, "api", text);
	snprintf(text, sizeof text, "http://127.0.0.1:%u", installation->operations_port);
	json_member_text(writer, "operations", text);
	write_path(writer, "caCertificate", installation, "ca/server-root.pem");
	write_path(writer, "deviceCaCertificate", installation, "ca/device-root.pem");
	json_member_text(writer, "tenant", "demo");
}

static int write_dev_json(const struct dev *dev)
{
	BUF_CLEANUP struct buf content = {0};
	struct note note = {0};
	char path[PATH_SIZE];
	struct json_writer writer;
	json_writer_init(&writer, &content);
	json_object_begin(&writer);
	write_addresses(&writer, &dev->installation);
	json_key(&writer, "clients");
	json_object_begin(&writer);
	for (const struct dev_client *client = dev_clients; client->name != NULL; client++)
		write_client(&writer, client->name, &dev->installation);
	json_object_end(&writer);
	json_key(&writer, "mqtt");
	json_null_value(&writer);
	json_key(&writer, "processes");
	json_object_begin(&writer);
	for (size_t i = 0; i < CHILD_COUNT; i++)
		json_member_number(&writer, dev->children[i].name, dev->children[i].pid);
	json_object_end(&writer);
	json_object_end(&writer);
	enum result result = json_writer_end(&writer);
	if (result == RESULT_OK)
		result = path_join(dev->installation.directory, "dev.json", path);
	if (result == RESULT_OK)
		result = file_replace(path, buf_span(&content), 0600, &note);
	return result == RESULT_OK ? EXIT_DONE : fail("writing dev.json", result, &note);
}

/* ---- the run --------------------------------------------------------------------------------------- */

/* One that ended by itself before it was ready refuses to run, and would again; one that was killed is brought back. */
static int note_end(struct child *child, int status)
{
	char end[48];
	describe_end(status, end, sizeof end);
	if (!child->is_ready && !WIFSIGNALED(status)) {
		say_error("%s %s before it was ready; its messages above say why", child->name, end);
		return EXIT_FAILED;
	}
	say("vinveil dev: %s %s; starting it again", child->name, end);
	child->start_ms = clock_monotonic_ms(clock_system()) + RESTART_WAIT_MS;
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

static bool port_is_free(uint16_t port)
{
	const int on = 1;
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return false;
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	bool is_free = bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0 && listen(descriptor, 1) == 0;
	close(descriptor);
	return is_free;
}

/* Asked first: another installation on these ports would answer in the place of ours, and we would call it ready. */
static int check_ports(const struct installation *installation)
{
	const uint16_t ports[] = {installation->api_port, installation->operations_port};
	int64_t until = clock_monotonic_ms(clock_system()) + PORT_WAIT_MS;
	for (size_t i = 0; i < 2; i++)
		while (!port_is_free(ports[i])) {
			if (clock_monotonic_ms(clock_system()) > until) {
				say_error("port %u is in use: choose others with --port-base N", ports[i]);
				return EXIT_FAILED;
			}
			usleep(50000);
		}
	return EXIT_DONE;
}

static int prepare(const struct invocation *invocation, struct dev *dev)
{
	struct note note = {0};
	int64_t port_base, rate, reveals;
	if (!option_get_number(invocation, "port-base", 1024, 65000, 8443, &port_base) ||
	    !option_get_number(invocation, "rate-limit", 1, 500000, 0, &rate) ||
	    !option_get_number(invocation, "reveals-per-hour", 1, 1000, 0, &reveals))
		return EXIT_USAGE;
	if (option_get(invocation, "data") == NULL) {
		say_error("say where: vinveil dev --data DIR");
		return EXIT_USAGE;
	}
	dev->installation.api_port = (uint16_t)port_base;
	dev->installation.operations_port = (uint16_t)(port_base + 1);
	dev->installation.requests_per_second = rate;
	dev->installation.reveals_per_hour = reveals;
	int code = check_ports(&dev->installation);
	if (code != EXIT_DONE)
		return code;
	enum result result = installation_prepare_dev(&dev->installation, option_get(invocation, "data"), &note);
	if (result != RESULT_OK)
		return fail("preparing the directory", result, &note);
	dev->children[CHILD_KEYD] = (struct child){.name = "vinveil-keyd", .program = "vinveil-keyd"};
	dev->children[CHILD_VINVEILD] = (struct child){.name = "vinveild", .program = "vinveild"};
	if (path_join(dev->installation.directory, "keyd.conf", dev->children[CHILD_KEYD].config) != RESULT_OK ||
	    path_join(dev->installation.directory, "vinveild.conf", dev->children[CHILD_VINVEILD].config) != RESULT_OK)
		return fail("the directory's name", RESULT_EXHAUSTED, NULL);
	return EXIT_DONE;
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
	struct dev dev = {.signals = -1};
	int code = prepare(invocation, &dev);
	if (code == EXIT_DONE)
		code = take_signals(&dev);
	if (code == EXIT_DONE)
		code = start_all(&dev);
	if (code == EXIT_DONE)
		code = write_dev_json(&dev);
	if (code == EXIT_DONE) {
		printf("ready: https://127.0.0.1:%u (operations http://127.0.0.1:%u); clients and paths in "
		       "%s/dev.json\n",
		       dev.installation.api_port, dev.installation.operations_port, dev.installation.directory);
		fflush(stdout);
		code = supervise(&dev);
	} else if (code == EXIT_AWAY) {
		code = EXIT_DONE;
	}
	stop_all(&dev);
	if (dev.signals >= 0)
		close(dev.signals);
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
		    {"port-base", "N", "API on port N, operations on N+1 (default 8443)", false},
		    {"rate-limit", "N", "requests a second for each client (default 200, as in production)", false},
		    {"reveals-per-hour", "N", "keyd's reveal budget (default as in production)", false},
		    {NULL, NULL, NULL, false}},
};
