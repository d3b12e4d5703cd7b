#include "base/config.h"

#include "base/file.h"

#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct settings {
	char listen[32];
	char root[8];
	int64_t workers;
	bool manifest;
};

static const struct config_key keys[] = {
	{"server", "listen", CONFIG_TEXT, offsetof(struct settings, listen), 32, 0, 0, true, "where to listen"},
	{"server", "root", CONFIG_TEXT, offsetof(struct settings, root), 8, 0, 0, false, "where things are"},
	{"server", "workers", CONFIG_NUMBER, offsetof(struct settings, workers), 0, -1, 64, false, "how many"},
	{"policy", "manifest", CONFIG_SWITCH, offsetof(struct settings, manifest), 0, 0, 0, false, "asked for or not"},
};

static char path[64];

static enum result read_text(const char *text, struct settings *settings, struct note *note)
{
	assert_int_equal(file_replace(path, span_of_text(text), 0600, NULL), RESULT_OK);
	enum result result = config_read(path, keys, sizeof(keys) / sizeof(keys[0]), settings, note);
	unlink(path);
	return result;
}

static void right_file_is_read(void **state)
{
	(void)state;
	struct settings settings = {.root = "kept", .workers = 4};
	const char *text =
		"# comment\n; another\n\n[server]\nlisten = 127.0.0.1:8443 ; behind\r\n[policy]\nmanifest=on\n"
		"[server]\nworkers = -1";
	assert_int_equal(read_text(text, &settings, NULL), RESULT_OK);
	assert_string_equal(settings.listen, "127.0.0.1:8443");
	assert_string_equal(settings.root, "kept");
	assert_int_equal(settings.workers, -1);
	assert_true(settings.manifest);
	assert_int_equal(read_text("[server]\nlisten=x\n[policy]\nmanifest = off\n", &settings, NULL), RESULT_OK);
	assert_false(settings.manifest);
}

struct wrong {
	const char *text;
	const char *cause; /* behind the path */
};

static void refuses(const struct wrong *wrong)
{
	struct settings settings;
	memset(&settings, 0x55, sizeof(settings));
	struct settings before = settings;
	struct note note = {0};
	assert_int_equal(read_text(wrong->text, &settings, &note), RESULT_INVALID);
	assert_memory_equal(note.text, path, strlen(path));
	assert_string_equal(note.text + strlen(path), wrong->cause);
	assert_memory_equal(&settings, &before, sizeof(settings)); /* untouched */
}

static void wrong_files_are_refused_by_line_and_key(void **state)
{
	(void)state;
	static const struct wrong cases[] = {
		{"[server]\nlisten = x\nlisten = y\n", ":3: listen: is there twice"},
		{"[server]\nlisten = x\nport = 1\n", ":3: port: no such key in section [server]"},
		{"[policy]\nlisten = x\n", ":2: listen: no such key in section [policy]"},
		{"listen = x\n", ":1: listen: no such key in section []"},
		{"[server]\nlisten = x\n[nowhere]\n", ":3: [nowhere]: no such section"},
		{"[server]\nlisten = x\n  root = y\n", ":3: a line must not begin with white space"},
		{"[server]\nlisten = x\nworkers\n", ":3: neither a [section], a \"key = value\" nor a comment"},
		{"[server\nlisten = x\n", ":1: a section's name must end with ]"},
		{"[server]\nlisten = x\nworkers = 65\n", ":3: workers: must be a whole number from -1 to 64"},
		{"[server]\nlisten = x\nworkers = -2\n", ":3: workers: must be a whole number from -1 to 64"},
		{"[server]\nlisten = x\nworkers = 1x\n", ":3: workers: must be a whole number from -1 to 64"},
		{"[server]\nlisten = x\nworkers =\n", ":3: workers: must be a whole number from -1 to 64"},
		{"[server]\nlisten = x\nworkers = 18446744073709551617\n",
		 ":3: workers: must be a whole number from -1 to 64"},
		{"[server]\nlisten = x\n[policy]\nmanifest = yes\n", ":4: manifest: must be on or off"},
		{"[server]\nlisten = x\nroot = 12345678\n", ":3: root: must be at most 7 bytes long"},
		{"[server]\nlisten = x\nroot = a\001b\n", ":3: root: holds a control character"},
		{"[server]\nlisten =\n", ":2: listen: must not be empty"},
		{"[server]\nroot = x\n", ":2: listen: is missing in section [server]"},
		{"", ":0: listen: is missing in section [server]"},
		{"[server]\nlisten = \xff\n", ":0: the file is not UTF-8 text"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuses(&cases[i]);
}

static void long_lines_are_refused(void **state)
{
	(void)state;
	char text[400] = "[server]\nlisten = x\n#";
	memset(text + strlen(text), '-', 300);
	struct settings settings;
	struct note note = {0};
	assert_int_equal(read_text(text, &settings, &note), RESULT_INVALID);
	assert_non_null(strstr(note.text, ":3: the line is longer than 199 bytes"));
}

static void absent_file_is_told(void **state)
{
	(void)state;
	struct settings settings;
	struct note note = {0};
	assert_int_equal(config_read("/nonexistent/vinveild.conf", keys, 4, &settings, &note), RESULT_ABSENT);
	assert_non_null(strstr(note.text, "/nonexistent/vinveild.conf"));
}

int main(void)
{
	snprintf(path, sizeof(path), "/tmp/vinveil-config-%d", (int)getpid());
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_file_is_read),
		cmocka_unit_test(wrong_files_are_refused_by_line_and_key),
		cmocka_unit_test(long_lines_are_refused),
		cmocka_unit_test(absent_file_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
