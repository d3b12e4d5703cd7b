#include "programs/vinveil/simulate_credentials.h"

#include "../cmocka_all.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST  "0b54c8d0-9f8e-4c55-8c3f-9f1f6a3f2b11"
#define SECOND "7d9a51f2-33aa-4f0e-9d53-0a1b2c3d4e5f"

static char directory[] = "/tmp/vinveil-credentials-XXXXXX";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	DIR *entries = opendir(directory);
	for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
		unlinkat(dirfd(entries), entry->d_name, 0);
	closedir(entries);
	return rmdir(directory);
}

static void put(const char *name)
{
	char path[PATH_SIZE];
	struct note note = {0};
	assert_int_equal(path_join(directory, name, path), RESULT_OK);
	assert_int_equal(file_replace(path, span_of_text("x"), 0600, &note), RESULT_OK);
}

static void what_is_not_ours_is_left_alone(void **state)
{
	(void)state;
	struct vehicle_identity identities[3];
	struct note note = {0};
	put("000001.pem");
	put("00000x-" FIRST ".pem");
	put("000001-not-a-reference-id-but-of-its-length.pem");
	put("000002-" FIRST ".key");
	put("000009-" FIRST ".pem"); /* beyond the fleet */
	put("000000-" FIRST ".pem");
	assert_int_equal(credentials_find(directory, identities, 3, &note), RESULT_OK);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(identities[i].number, i + 1);
		assert_string_equal(identities[i].reference_id, "");
	}
}

static void what_was_kept_is_found_and_replaced(void **state)
{
	(void)state;
	struct vehicle_identity identities[3];
	struct note note = {0};
	struct stat status;
	BUF_CLEANUP struct buf content = {0};
	assert_int_equal(credentials_find(directory, identities, 3, &note), RESULT_OK);
	assert_int_equal(credentials_keep(directory, &identities[1], FIRST, span_of_text("certificate"),
					  span_of_text("chain\n"), span_of_text("key\n"), &note),
			 RESULT_OK);
	assert_int_equal(file_read(identities[1].path, &content, &note), RESULT_OK);
	assert_string_equal((char *)content.data, "certificate\nchain\nkey\n");
	assert_int_equal(stat(identities[1].path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);

	assert_int_equal(credentials_find(directory, identities, 3, &note), RESULT_OK);
	assert_string_equal(identities[1].reference_id, FIRST);
	char former[PATH_SIZE];
	snprintf(former, sizeof former, "%s", identities[1].path);
	assert_int_equal(credentials_keep(directory, &identities[1], SECOND, span_of_text("c\n"), span_of_text(""),
					  span_of_text("k\n"), &note),
			 RESULT_OK);
	assert_false(path_exists(former));
	assert_int_equal(credentials_find(directory, identities, 3, &note), RESULT_OK);
	assert_string_equal(identities[1].reference_id, SECOND);
	assert_string_equal(identities[0].reference_id, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_ours_is_left_alone),
		cmocka_unit_test(what_was_kept_is_found_and_replaced),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
