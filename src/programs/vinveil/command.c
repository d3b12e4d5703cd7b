#include "programs/vinveil/command.h"

#include "base/text.h"
#include "base/uuid.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Options that every command which speaks to the API takes; see api_connection.h. */
static const struct command_option api_options[] = {
	{"data", "DIR", "a development installation: takes address and client from DIR/dev.json", false},
	{"as", "CLIENT", "with --data: which of its clients to be (default admin)", false},
	{"profile", "FILE", "address and credentials (default: $VINVEIL_PROFILE, then /etc/vinveil/cli.conf)", false},
	{"json", NULL, "print the platform's JSON as it is, for machines", false},
	{NULL, NULL, NULL, false},
};

const char *option_get(const struct invocation *invocation, const char *name)
{
	const char *value = NULL;
	for (size_t i = 0; i < invocation->value_count; i++)
		if (strcmp(invocation->values[i].name, name) == 0)
			value = invocation->values[i].value;
	return value;
}

bool option_is_set(const struct invocation *invocation, const char *name)
{
	for (size_t i = 0; i < invocation->value_count; i++)
		if (strcmp(invocation->values[i].name, name) == 0)
			return true;
	return false;
}

bool option_get_number(const struct invocation *invocation, const char *name, int64_t min, int64_t max,
		       int64_t otherwise, int64_t *ret_number)
{
	const char *text = option_get(invocation, name);
	if (text == NULL) {
		*ret_number = otherwise;
		return true;
	}
	uint64_t number;
	if (text_parse_u64(span_of_text(text), (uint64_t)max, &number) != RESULT_OK || (int64_t)number < min) {
		say_error("--%s takes a number from %lld to %lld", name, (long long)min, (long long)max);
		return false;
	}
	*ret_number = (int64_t)number;
	return true;
}

void say_error(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("vinveil: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
}

void say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
}

int fail(const char *what, enum result result, const struct note *note)
{
	const char *detail = note != NULL && note->text[0] != '\0' ? note->text : result_name(result);
	if (strstr(detail, what) != NULL) /* a file's name is told once */
		say_error("%s", detail);
	else
		say_error("%s: %s", what, detail);
	if (result == RESULT_UNAVAILABLE || result == RESULT_EXHAUSTED)
		return EXIT_AWAY;
	return result == RESULT_DENIED ? EXIT_REFUSED : EXIT_FAILED;
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* ---- help ------------------------------------------------------------------------------------------ */

static void print_options(const struct command_option *options)
{
	for (; options->name != NULL; options++) {
		char left[64];
		snprintf(left, sizeof left, "--%s%s%s", options->name, options->value != NULL ? " " : "",
			 options->value != NULL ? options->value : "");
		printf("  %-26s %s%s\n", left, options->help, options->repeatable ? " (may be repeated)" : "");
	}
}

static void print_command_help(const struct command *command)
{
	printf("usage: vinveil %s%s%s%s\n\n%s\n", command->words, command->arguments[0] != '\0' ? " " : "",
	       command->arguments, command->options[0].name != NULL || command->uses_api ? " [options]" : "",
	       command->description);
	if (command->options[0].name != NULL) {
		puts("\nOptions:");
		print_options(command->options);
	}
	if (command->uses_api) {
		puts("\nWhere and as whom:");
		print_options(api_options);
	}
}

static void print_help(const struct command *const *commands, size_t count)
{
	puts("vinveil: vehicles known by a random Reference ID; the VIN never leaves the vault.\n\n"
	     "usage: vinveil COMMAND [options]        vinveil COMMAND --help says more\n");
	for (size_t i = 0; i < count; i++)
		printf("  %-18s %s\n", commands[i]->words, commands[i]->summary);
	puts("\nTry it: vinveil dev --data /tmp/vinveil-demo");
}

static bool is_in_group(const struct command *command, const char *word)
{
	size_t length = strlen(word);
	return strncmp(command->words, word, length) == 0 && command->words[length] == ' ';
}

static bool is_group(const struct command *const *commands, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++)
		if (is_in_group(commands[i], word))
			return true;
	return false;
}

static void print_group_help(const struct command *const *commands, size_t count, const char *word)
{
	printf("usage: vinveil %s COMMAND [options]\n\n", word);
	for (size_t i = 0; i < count; i++)
		if (is_in_group(commands[i], word))
			printf("  %-18s %s\n", commands[i]->words, commands[i]->summary);
}

/* No command has this name: help on a group of them, or an error. */
static int refuse_command(const struct command *const *commands, size_t count, int argc, char **argv)
{
	if (!is_group(commands, count, argv[1]))
		say_error("there is no command '%s'; vinveil --help lists them", argv[1]);
	else if (argc > 2 && is_help(argv[2])) {
		print_group_help(commands, count, argv[1]);
		return EXIT_DONE;
	} else if (argc > 2)
		say_error("there is no command '%s %s'; vinveil %s --help lists them", argv[1], argv[2], argv[1]);
	else
		say_error("'%s' needs another word; vinveil %s --help lists them", argv[1], argv[1]);
	return EXIT_USAGE;
}

/* ---- parsing --------------------------------------------------------------------------------------- */

/* How many leading words of argv are this command's name; 0: another command. */
static size_t count_matching_words(const struct command *command, int argc, char **argv)
{
	const char *at = command->words;
	size_t words = 0;
	while (*at != '\0') {
		size_t length = strcspn(at, " ");
		if ((int)words + 1 >= argc || strlen(argv[words + 1]) != length ||
		    strncmp(argv[words + 1], at, length) != 0)
			return 0;
		words++;
		at += length;
		at += strspn(at, " ");
	}
	return words;
}

static const struct command *find_command(const struct command *const *commands, size_t count, int argc, char **argv,
					  size_t *ret_words)
{
	const struct command *best = NULL;
	*ret_words = 0;
	for (size_t i = 0; i < count; i++) {
		size_t words = count_matching_words(commands[i], argc, argv);
		if (words > *ret_words) {
			*ret_words = words;
			best = commands[i];
		}
	}
	return best;
}

static const struct command_option *find_option(const struct command *command, struct span name)
{
	for (const struct command_option *option = command->options; option->name != NULL; option++)
		if (span_is_text(name, option->name))
			return option;
	if (command->uses_api)
		for (const struct command_option *option = api_options; option->name != NULL; option++)
			if (span_is_text(name, option->name))
				return option;
	return NULL;
}

/* Takes one "--name", "--name=value" or "--name value"; returns how many words it used, 0 on an error told. */
static int take_option(struct invocation *invocation, int left, char **argv)
{
	const char *name = argv[0] + 2;
	const char *equals = strchr(name, '=');
	size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
	const struct command_option *option = find_option(invocation->command, span_of(name, length));
	if (option == NULL) {
		say_error("%s has no option --%.*s; see vinveil %s --help", invocation->command->words, (int)length,
			  name, invocation->command->words);
		return 0;
	}
	if (!option->repeatable && option_is_set(invocation, option->name)) {
		say_error("--%s is given twice", option->name);
		return 0;
	}
	if (option->value == NULL && equals != NULL) {
		say_error("--%s takes no value", option->name);
		return 0;
	}
	bool from_next = option->value != NULL && equals == NULL;
	const char *value = from_next ? (left < 2 ? "" : argv[1]) : equals != NULL ? equals + 1 : "";
	if (option->value != NULL && value[0] == '\0') { /* a script's variable that is not set, most likely */
		say_error("--%s needs a value: --%s %s", option->name, option->name, option->value);
		return 0;
	}
	if (invocation->value_count == COMMAND_VALUES_MAX) {
		say_error("too many options");
		return 0;
	}
	invocation->values[invocation->value_count].name = option->name;
	invocation->values[invocation->value_count].value = value;
	invocation->value_count++;
	return from_next ? 2 : 1;
}

static size_t count_words(const char *text)
{
	size_t words = 0;
	while (*(text += strspn(text, " ")) != '\0') {
		words++;
		text += strcspn(text, " ");
	}
	return words;
}

/* Whatever is called …-ID is a UUID. Told before it stands in an address, and not repeated: it may be a VIN. */
static bool check_ids(const struct invocation *invocation)
{
	const char *name = invocation->command->arguments;
	for (size_t i = 0; i < invocation->argument_count; i++) {
		name += strspn(name, " ");
		size_t length = strcspn(name, " ");
		struct uuid uuid;
		bool is_id = length > 3 && strncmp(name + length - 3, "-ID", 3) == 0;
		if (is_id && uuid_parse(span_of_text(invocation->arguments[i]), &uuid) != RESULT_OK) {
			say_error("%.*s must be a UUID%s", (int)length, name,
				  strncmp(name, "REFERENCE-ID", length) == 0 ? "; vinveil lookup finds it by the VIN"
									     : "");
			return false;
		}
		name += length;
	}
	return true;
}

static bool check_arguments(const struct invocation *invocation)
{
	const char *wanted = invocation->command->arguments;
	size_t most = count_words(wanted);
	size_t least = most - (strchr(wanted, '[') != NULL ? 1 : 0);
	if (invocation->argument_count >= least && invocation->argument_count <= most)
		return check_ids(invocation);
	if (wanted[0] != '\0')
		say_error("usage: vinveil %s %s", invocation->command->words, wanted);
	else /* a VIN most likely, which must not stand on a command line */
		say_error("vinveil %s takes no arguments; --help says what it takes, and what it reads from standard "
			  "input",
			  invocation->command->words);
	return false;
}

/* One place to be, and one client: none of them is passed over in silence. */
static bool check_connection(const struct invocation *invocation)
{
	bool has_data = option_is_set(invocation, "data");
	if (!invocation->command->uses_api)
		return true;
	if (has_data && option_is_set(invocation, "profile")) {
		say_error("say --data DIR or --profile FILE, not both");
		return false;
	}
	if (has_data || !option_is_set(invocation, "as"))
		return true;
	say_error("--as names a client of a development installation: say --data DIR, too");
	return false;
}

/* Fills the invocation from the words after the command's name. 0, or the exit code when there is nothing to run. */
static int parse(struct invocation *invocation, int argc, char **argv, bool *ret_run)
{
	*ret_run = false;
	for (int i = 0; i < argc;) {
		if (is_help(argv[i])) {
			print_command_help(invocation->command);
			return EXIT_DONE;
		}
		if (strncmp(argv[i], "--", 2) == 0) {
			int used = take_option(invocation, argc - i, argv + i);
			if (used == 0)
				return EXIT_USAGE;
			i += used;
			continue;
		}
		if (invocation->argument_count == COMMAND_ARGUMENTS_MAX) {
			say_error("too many arguments");
			return EXIT_USAGE;
		}
		invocation->arguments[invocation->argument_count++] = argv[i++];
	}
	*ret_run = check_arguments(invocation) && check_connection(invocation);
	return *ret_run ? EXIT_DONE : EXIT_USAGE;
}

/* "help COMMAND" is "COMMAND --help". */
static void move_help_behind(int argc, char **argv)
{
	char *help = argv[1];
	memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof(*argv));
	argv[argc - 1] = help;
}

int command_main(const struct command *const *commands, size_t command_count, int argc, char **argv)
{
	if (argc > 2 && is_help(argv[1]))
		move_help_behind(argc, argv);
	if (argc < 2 || is_help(argv[1])) {
		print_help(commands, command_count);
		return argc < 2 ? EXIT_USAGE : EXIT_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("vinveil " VINVEIL_VERSION);
		return EXIT_DONE;
	}
	size_t words;
	struct invocation invocation = {.command = find_command(commands, command_count, argc, argv, &words)};
	if (invocation.command == NULL)
		return refuse_command(commands, command_count, argc, argv);
	bool run;
	int code = parse(&invocation, argc - 1 - (int)words, argv + 1 + words, &run);
	return run ? invocation.command->run(&invocation) : code;
}
