#include "base/file.h"

#include "../cmocka_all.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory of its own for each test; tests change into it, so that paths are short. */
static int enter_directory(void **state)
{
	char template[] = "/tmp/vinveil-file-XXXXXX";
	if (!mkdtemp(template) || chdir(template) != 0)
		return -1;
	*state = strdup(template);
	return *state ? 0 : -1;
}

static int entry_count(const char *path)
{
	DIR *directory = opendir(path);
	assert_non_null(directory);
	int count = 0;
	while (readdir(directory))
		count++;
	closedir(directory);
	return count - 2; /* . and .. */
}

static int leave_directory(void **state)
{
	DIR *directory = opendir(".");
	struct dirent *entry = NULL;
	while (directory && (entry = readdir(directory))) {
		if (remove(entry->d_name) != 0)
			continue;
	}
	if (directory)
		closedir(directory);
	int result = chdir("/");
	rmdir(*state);
	free(*state);
	return result;
}

static mode_t mode_of(const char *path)
{
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	return status.st_mode & 07777;
}

static void content_is_replaced_whole(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf content = {0};
	assert_int_equal(file_replace("a", span_of_text("first, and longer"), 0600, NULL), RESULT_OK);
	assert_int_equal(mode_of("a"), 0600);
	assert_int_equal(file_replace("a", span_of_text("second"), 0644, NULL), RESULT_OK);
	assert_int_equal(mode_of("a"), 0644);
	assert_int_equal(file_read("a", &content, NULL), RESULT_OK);
	assert_string_equal((char *)content.data, "second");
	assert_int_equal(entry_count("."), 1); /* nothing temporary left */
	assert_int_equal(file_replace("empty", (struct span){0}, 0600, NULL), RESULT_OK);
	assert_int_equal(file_read("empty", &content, NULL), RESULT_OK);
	assert_int_equal(content.size, 0);
}

static void creation_does_not_replace(void **state)
{
	(void)state;
	struct note note = {0};
	BUF_CLEANUP struct buf content = {0};
	assert_int_equal(file_create("a", span_of_text("first"), 0600, &note), RESULT_OK);
	assert_int_equal(file_create("a", span_of_text("second"), 0600, &note), RESULT_CONFLICT);
	assert_non_null(strstr(note.text, "create a"));
	assert_int_equal(file_read("a", &content, NULL), RESULT_OK);
	assert_string_equal((char *)content.data, "first");
	assert_int_equal(entry_count("."), 1);
}

static void reading_respects_the_bound(void **state)
{
	(void)state;
	static uint8_t bytes[50000];
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(file_replace("a", span_of(bytes, sizeof(bytes)), 0600, NULL), RESULT_OK);
	BUF_CLEANUP struct buf exact = {.size_max = sizeof(bytes)};
	assert_int_equal(file_read("a", &exact, NULL), RESULT_OK);
	assert_int_equal(exact.size, sizeof(bytes));
	BUF_CLEANUP struct buf small = {.size_max = sizeof(bytes) - 1};
	struct note note = {0};
	assert_int_equal(file_read("a", &small, &note), RESULT_EXHAUSTED);
	assert_int_equal(small.size, 0);
	assert_non_null(strstr(note.text, "larger than 49999"));
}

static void absence_and_trouble_differ(void **state)
{
	(void)state;
	struct note note = {0};
	BUF_CLEANUP struct buf content = {0};
	assert_int_equal(file_read("nowhere", &content, &note), RESULT_ABSENT);
	assert_non_null(strstr(note.text, "nowhere"));
	assert_int_equal(file_read(".", &content, &note), RESULT_INVALID);
	assert_int_equal(file_replace("no/such/directory", span_of_text("x"), 0600, &note), RESULT_ABSENT);
	assert_int_equal(directory_sync("nowhere", NULL), RESULT_ABSENT);
	assert_int_equal(file_check_private("nowhere", NULL), RESULT_ABSENT);
	assert_false(path_exists("nowhere"));
	assert_true(path_exists("."));
}

static void directories_are_made_with_parents(void **state)
{
	char path[PATH_SIZE];
	assert_int_equal(path_join(*state, "one//two/three/", path), RESULT_OK);
	assert_int_equal(directory_make(path, 0700, NULL), RESULT_OK);
	assert_int_equal(mode_of("one/two/three"), 0700);
	assert_int_equal(directory_make(path, 0700, NULL), RESULT_OK);
	assert_int_equal(directory_make("one", 0700, NULL), RESULT_OK);
	assert_int_equal(directory_make("", 0700, NULL), RESULT_INVALID);
	assert_int_equal(file_create("one/file", span_of_text("x"), 0600, NULL), RESULT_OK);
	assert_int_equal(directory_make("one/file", 0700, NULL), RESULT_CONFLICT);
	assert_int_equal(directory_make("one/file/below", 0700, NULL), RESULT_CONFLICT);
	assert_int_equal(unlink("one/file") | rmdir("one/two/three") | rmdir("one/two") | rmdir("one"), 0);
}

static void what_a_group_shares_is_told_from_what_everybody_has(void **state)
{
	(void)state;
	struct note note = {0};
	const mode_t public_modes[] = {0644, 0604, 0602, 0601};
	assert_int_equal(file_check_not_public("nowhere", NULL), RESULT_ABSENT);
	assert_int_equal(file_check_not_public(".", &note), RESULT_DENIED);
	assert_int_equal(file_create("token", span_of_text("x"), 0600, NULL), RESULT_OK);
	assert_int_equal(file_check_not_public("token", &note), RESULT_OK);
	assert_int_equal(chmod("token", 0640), 0);
	assert_int_equal(file_check_not_public("token", &note), RESULT_OK);
	for (size_t i = 0; i < sizeof(public_modes) / sizeof(public_modes[0]); i++) {
		assert_int_equal(chmod("token", public_modes[i]), 0);
		assert_int_equal(file_check_not_public("token", &note), RESULT_DENIED);
		assert_non_null(strstr(note.text, "token"));
	}
	assert_int_equal(unlink("token"), 0);
}

static void private_files_are_told_from_open_ones(void **state)
{
	(void)state;
	struct note note = {0};
	assert_int_equal(file_create("key", span_of_text("x"), 0600, NULL), RESULT_OK);
	assert_int_equal(file_check_private("key", &note), RESULT_OK);
	assert_int_equal(chmod("key", 0400), 0);
	assert_int_equal(file_check_private("key", &note), RESULT_OK);
	const mode_t open_modes[] = {0640, 0604, 0620, 0602, 0610};
	for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
		assert_int_equal(chmod("key", open_modes[i]), 0);
		assert_int_equal(file_check_private("key", &note), RESULT_DENIED);
	}
	assert_non_null(strstr(note.text, "chmod 600"));
	assert_int_equal(file_check_private(".", &note), RESULT_DENIED);
	if (geteuid() == 0) { /* only root can give a file away */
		assert_int_equal(chmod("key", 0600) | chown("key", 65534, 65534) | chmod(".", 0755), 0);
		assert_int_equal(file_check_private("key", &note), RESULT_OK);
		assert_int_equal(seteuid(65533), 0);
		assert_int_equal(file_check_private("key", &note), RESULT_DENIED);
		assert_int_equal(seteuid(0), 0);
		assert_non_null(strstr(note.text, "chown"));
	}
}

static void paths_join(void **state)
{
	(void)state;
	char path[PATH_SIZE] = "untouched";
	static const char *const cases[][3] = {
		{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a//", "/b", "a/b"},
		{"/", "b", "/b"},  {"", "b", "b"},     {"a", "", "a/"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(path_join(cases[i][0], cases[i][1], path), RESULT_OK);
		assert_string_equal(path, cases[i][2]);
	}
	char longest[PATH_SIZE];
	memset(longest, 'x', sizeof(longest));
	longest[PATH_SIZE - 3] = '\0'; /* PATH_SIZE - 3 and a slash leave room for one character and the NUL */
	assert_int_equal(path_join(longest, "b", path), RESULT_OK);
	assert_int_equal(strlen(path), PATH_SIZE - 1);
	assert_int_equal(path_join(longest, "bc", path), RESULT_EXHAUSTED);
	longest[PATH_SIZE - 3] = 'x';
	longest[PATH_SIZE - 1] = '\0';
	assert_int_equal(path_join(longest, "b", path), RESULT_EXHAUSTED);
	assert_int_equal(path_join("b", longest, path), RESULT_EXHAUSTED);
}

#define FILE_TEST(test) cmocka_unit_test_setup_teardown(test, enter_directory, leave_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILE_TEST(content_is_replaced_whole),
		FILE_TEST(creation_does_not_replace),
		FILE_TEST(reading_respects_the_bound),
		FILE_TEST(absence_and_trouble_differ),
		FILE_TEST(directories_are_made_with_parents),
		FILE_TEST(what_a_group_shares_is_told_from_what_everybody_has),
		FILE_TEST(private_files_are_told_from_open_ones),
		cmocka_unit_test(paths_join),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
