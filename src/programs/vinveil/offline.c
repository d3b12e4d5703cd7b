#include "programs/vinveil/offline.h"

#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define PASSPHRASE_SIZE_MAX 1024

static int become_owner(const char *directory)
{
	struct stat status;
	if (stat(directory, &status) != 0) {
		say_error("%s: %s", directory, strerror(errno));
		return EXIT_FAILED;
	}
	if (geteuid() != 0 || status.st_uid == 0)
		return EXIT_DONE;
	if (setgroups(0, NULL) != 0 || setgid(status.st_gid) != 0 || setuid(status.st_uid) != 0) {
		say_error("cannot become the owner of %s: %s", directory, strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

/* Who is at the keyboard: the login behind sudo where there is one. Only what a client ID may hold is kept. */
static void name_actor(char ret_actor[static 65])
{
	char text[2048];
	struct passwd entry, *found = NULL;
	if (getpwuid_r(getuid(), &entry, text, sizeof text, &found) != 0 || found == NULL)
		snprintf(ret_actor, 65, "operator-%u", (unsigned)getuid());
	else
		snprintf(ret_actor, 65, "operator-%.48s", found->pw_name);
	for (char *at = ret_actor; *at != '\0'; at++)
		if (!((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9')))
			*at = '-';
}

int offline_open(const struct invocation *invocation, struct offline_paths *ret_paths)
{
	const char *directory = option_get(invocation, "data");
	if (directory == NULL) {
		say_error("say which installation: --data DIR");
		return EXIT_USAGE;
	}
	name_actor(ret_paths->actor);
	if (snprintf(ret_paths->directory, PATH_SIZE, "%s", directory) >= PATH_SIZE ||
	    path_join(directory, "registry/registry.db", ret_paths->registry) != RESULT_OK ||
	    path_join(directory, "audit", ret_paths->audit) != RESULT_OK ||
	    path_join(directory, "keyd", ret_paths->keys) != RESULT_OK ||
	    path_join(directory, "run/keyd.sock", ret_paths->keyd_socket) != RESULT_OK) {
		say_error("--data: the path is too long");
		return EXIT_USAGE;
	}
	return become_owner(directory);
}

/* ---- passphrases ----------------------------------------------------------------------------------- */

static int take_line(int descriptor, const char *name, struct buf *ret_line)
{
	uint8_t *room;
	buf_clear(ret_line);
	for (;;) {
		if (buf_reserve(ret_line, 1, &room) != RESULT_OK || ret_line->size > PASSPHRASE_SIZE_MAX) {
			say_error("%s: the passphrase is too long", name);
			return EXIT_USAGE;
		}
		ssize_t got = read(descriptor, room, 1);
		if (got < 0) {
			say_error("%s: %s", name, strerror(errno));
			return EXIT_FAILED;
		}
		if (got == 0 || *room == '\n')
			return EXIT_DONE;
		ret_line->size++;
	}
}

static int ask(int terminal, const char *prompt, struct buf *ret_line)
{
	struct termios former, silent;
	if (tcgetattr(terminal, &former) != 0) {
		say_error("no terminal to ask at: say --passphrase-file FILE");
		return EXIT_USAGE;
	}
	silent = former;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	fputs(prompt, stderr);
	tcsetattr(terminal, TCSAFLUSH, &silent);
	int code = take_line(terminal, "terminal", ret_line);
	tcsetattr(terminal, TCSAFLUSH, &former);
	fputc('\n', stderr);
	return code;
}

static int ask_twice(int terminal, bool confirm, struct buf *ret_passphrase)
{
	BUF_CLEANUP struct buf again = {0};
	int code = ask(terminal, "passphrase: ", ret_passphrase);
	if (code != EXIT_DONE || !confirm)
		return code;
	code = ask(terminal, "once more: ", &again);
	if (code == EXIT_DONE && !span_equal(buf_span(ret_passphrase), buf_span(&again))) {
		say_error("the two differ");
		return EXIT_USAGE;
	}
	return code;
}

int offline_read_passphrase(const struct invocation *invocation, bool confirm, struct buf *ret_passphrase)
{
	const char *path = option_get(invocation, "passphrase-file");
	if (path == NULL)
		return ask_twice(STDIN_FILENO, confirm, ret_passphrase);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0) {
		say_error("%s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	int code = take_line(descriptor, path, ret_passphrase);
	close(descriptor);
	return code;
}
