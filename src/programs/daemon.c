#include "programs/daemon.h"

#include "base/log.h"
#include "base/text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void print_help(const struct daemon_program *program)
{
	const struct config_key *keys = program->keys;

	printf("usage: %s --config FILE [--check-config]\n\n%s\n--check-config says what is wrong with FILE, and ends; "
	       "the files that it names are not opened.\nKeys of FILE (INI):\n",
	       program->name, program->purpose);
	for (size_t i = 0; i < program->key_count; i++) {
		if (i == 0 || strcmp(keys[i].section, keys[i - 1].section) != 0)
			printf("\n[%s]\n", keys[i].section);
		printf("  %-28s %s%s\n", keys[i].key, keys[i].help, keys[i].required ? " (required)" : "");
	}
}

static int usage(const struct daemon_program *program, const char *what, const char *argument)
{
	fprintf(stderr, "%s: %s%s\nusage: %s --config FILE [--check-config] | --help | --version\n", program->name,
		what, argument, program->name);
	return EXIT_CONFIG;
}

bool daemon_read_arguments(const struct daemon_program *program, int argument_count, char **arguments,
			   struct daemon_arguments *ret_arguments, int *ret_code)
{
	struct daemon_arguments read = {0};

	*ret_code = EXIT_SUCCESS;
	for (int i = 1; i < argument_count; i++) {
		if (strcmp(arguments[i], "--help") == 0) {
			print_help(program);
			return false;
		}
		if (strcmp(arguments[i], "--version") == 0) {
			printf("%s %s\n", program->name, VINVEIL_VERSION);
			return false;
		}
		if (strcmp(arguments[i], "--check-config") == 0) {
			read.check_only = true;
		} else if (strcmp(arguments[i], "--config") == 0 && i + 1 < argument_count) {
			read.config_path = arguments[++i];
		} else {
			*ret_code = usage(program, "unknown or incomplete option ", arguments[i]);
			return false;
		}
	}
	if (read.config_path == NULL) {
		*ret_code = usage(program, "say --config FILE", "");
		return false;
	}
	*ret_arguments = read;
	return true;
}

enum result daemon_check_address(const char *key, const char *address, struct note *note)
{
	if (text_is_address(address))
		return RESULT_OK;
	note_set(note, "%s: must be a numeric address, as 127.0.0.1 or ::", key);
	return RESULT_INVALID;
}

void daemon_harden(void)
{
	struct rlimit no_core = {0, 0}, files;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(077);
}

void daemon_block_signals(sigset_t *ret_signals)
{
	sigemptyset(ret_signals);
	sigaddset(ret_signals, SIGTERM);
	sigaddset(ret_signals, SIGINT);
	sigaddset(ret_signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, ret_signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

void daemon_wait_for_end(const sigset_t *signals, const char *what_follows)
{
	int signal = 0;

	do {
		if (sigwait(signals, &signal) != 0)
			return;
		if (signal == SIGHUP)
			log_event(LOG_INFO, "signal", "SIGHUP is ignored; restart to read files anew");
	} while (signal == SIGHUP);
	log_event(LOG_INFO, "stopping", "%s", what_follows);
}
