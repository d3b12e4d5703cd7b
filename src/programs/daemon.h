/*
 * What vinveild and vinveil-ingest do alike as processes: their command line, their hardening, and how they are told to
 * end; and what an exit code says of all three daemons.
 */
#ifndef VINVEIL_PROGRAMS_DAEMON_H
#define VINVEIL_PROGRAMS_DAEMON_H

#include "base/config.h"

#include <signal.h>

/* The command line or the configuration is wrong, and would be again: systemd is told not to try (packaging/). */
#define EXIT_CONFIG 2

struct daemon_program {
	const char *name, *purpose; /* the purpose as a sentence, for --help */
	const struct config_key *keys;
	size_t key_count;
};

struct daemon_arguments {
	const char *config_path;
	bool check_only;
};

/* True: go on. False: end with *ret_code; help, version or what is wrong has been printed. */
bool daemon_read_arguments(const struct daemon_program *program, int argument_count, char **arguments,
			   struct daemon_arguments *ret_arguments, int *ret_code);

/* RESULT_INVALID unless it is a numeric address; the note names the key ("[server] listen"). */
MUST_USE enum result daemon_check_address(const char *key, const char *address, struct note *note);

/* No core dumps, no new privileges, files for this user alone, and as many descriptors as there may be. */
void daemon_harden(void);

/* SIGTERM, SIGINT and SIGHUP. Before any thread is started, so that all of them have these blocked and main alone takes
   them. */
void daemon_block_signals(sigset_t *ret_signals);

/* Returns at SIGTERM or SIGINT, which it logs with what follows. */
void daemon_wait_for_end(const sigset_t *signals, const char *what_follows);

#endif
