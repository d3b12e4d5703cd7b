/*
 * The command line of `vinveil`: a table of commands, each with its options, its help and its function. The
 * parser, --help and the usage errors all read the same table.
 *
 * Exit codes: 0 done; 1 it did not succeed (the message says why and what to do); 2 the command line is wrong;
 * 3 something that is needed is away (try again); 4 refused (not authorised, or the platform said no).
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_COMMAND_H
#define VINVEIL_PROGRAMS_VINVEIL_COMMAND_H

#include "base/result.h"

#include <stddef.h>
#include <stdint.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_AWAY = 3, EXIT_REFUSED = 4 };

struct command_option {
	const char *name;  /* without "--" */
	const char *value; /* what stands for its value in the help; NULL: a switch */
	const char *help;  /* one line */
	bool repeatable;
};

#define COMMAND_OPTIONS_MAX   16
#define COMMAND_VALUES_MAX    64
#define COMMAND_ARGUMENTS_MAX 4

struct invocation;

struct command {
	const char *words;	 /* "client add" */
	const char *arguments;	 /* "NAME", "FILE.csv"; "" when it takes none; "[…]" marks an optional last one */
	const char *summary;	 /* one line, for the list of commands */
	const char *description; /* paragraphs, for --help */
	int (*run)(const struct invocation *invocation);
	struct command_option options[COMMAND_OPTIONS_MAX]; /* ends with a NULL name */
	bool uses_api;					    /* takes the options of the API connection, too */
};

/* A parsed command line; texts are argv's own. */
struct invocation {
	const struct command *command;
	const char *arguments[COMMAND_ARGUMENTS_MAX];
	size_t argument_count;
	struct {
		const char *name;
		const char *value;
	} values[COMMAND_VALUES_MAX];
	size_t value_count;
};

/* The option's last value, or NULL. */
const char *option_get(const struct invocation *invocation, const char *name);
bool option_is_set(const struct invocation *invocation, const char *name);
/* The option's value as a number within bounds; `otherwise` when it is not given. On a bad value says so and returns
 * false. */
bool option_get_number(const struct invocation *invocation, const char *name, int64_t min, int64_t max,
		       int64_t otherwise, int64_t *ret_number);

/* Parses, runs, and returns the exit code. Prints help and usage errors itself. */
int command_main(const struct command *const *commands, size_t command_count, int argc, char **argv);

/* "vinveil: MESSAGE" on stderr. */
void say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* For people, on stderr, unless --quiet or --json asked for silence. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the failure of `what` and gives the exit code that fits. */
int fail(const char *what, enum result result, const struct note *note);

#endif
