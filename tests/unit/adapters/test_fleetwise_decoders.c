/* The names of agents' signals: what is refused, what is kept, and that it is there after a restart. */
#include "fleetwise_support.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char directory[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof directory, "/tmp/vinveil-decoders-XXXXXX");
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static size_t for_each_file(void (*visit)(const char *path))
{
	DIR *listing = opendir(directory);
	const struct dirent *entry;
	char path[PATH_SIZE];
	size_t count = 0;

	assert_non_null(listing);
	while ((entry = readdir(listing)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		assert_int_equal(path_join(directory, entry->d_name, path), RESULT_OK);
		if (visit != NULL)
			visit(path);
		count++;
	}
	closedir(listing);
	return count;
}

static void remove_file(const char *path)
{
	unlink(path);
}

static void damage_file(const char *path)
{
	assert_int_equal(truncate(path, 20), 0);
}

static int tear_down(void **state)
{
	(void)state;
	for_each_file(remove_file);
	return rmdir(directory);
}

static struct fleetwise_decoders *open_decoders(size_t expected_skipped)
{
	struct fleetwise_decoders *decoders;
	size_t skipped = 0;

	assert_int_equal(fleetwise_decoders_open(directory, &decoders, &skipped, NULL), RESULT_OK);
	assert_int_equal(skipped, expected_skipped);
	return decoders;
}

static bool is_known(struct fleetwise_decoders *decoders, const char *sync_id, uint32_t id, const char *name)
{
	struct fleetwise_lookup lookup;

	fleetwise_lookup_begin(&lookup, decoders, span_of_text(sync_id));
	const struct fleetwise_signal *signal = fleetwise_lookup_find(&lookup, id);
	bool known = signal != NULL && span_is_text(signal->name, name);
	fleetwise_lookup_end(&lookup);
	return known;
}

static void test_wrong_documents_are_refused(void **state)
{
	static const char *const wrong[] = {"names-twice",	     "names-id-0",  "names-id-high-bit", "names-space",
					    "names-without-sync-id", "text-longest"};
	struct fleetwise_decoders *decoders = open_decoders(0);
	struct span names = vector("names");
	struct note note;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		note.text[0] = '\0';
		assert_int_equal(fleetwise_decoders_put(decoders, "demo/car/1", vector(wrong[i]), &note),
				 RESULT_INVALID);
		assert_true(note.text[0] != '\0');
	}
	assert_int_equal(fleetwise_decoders_put(decoders, "demo/car/1", span_of(names.data, names.size - 1), NULL),
			 RESULT_INVALID);
	assert_int_equal(fleetwise_decoders_put(decoders, "demo/car/2", names, NULL), RESULT_INVALID);
	assert_int_equal(fleetwise_decoders_count(decoders), 0);
	assert_int_equal(for_each_file(NULL), 0);
	fleetwise_decoders_close(decoders);
}

static void test_what_cannot_be_kept_changes_nothing(void **state)
{
	struct fleetwise_decoders *decoders = open_decoders(0);

	(void)state;
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(fleetwise_decoders_put(decoders, "demo/car/1", vector("names"), NULL), RESULT_UNAVAILABLE);
	assert_int_equal(fleetwise_decoders_count(decoders), 0);
	fleetwise_decoders_close(decoders);
	assert_int_equal(directory_make(directory, 0700, NULL), RESULT_OK);
}

static void test_names_outlive_a_restart(void **state)
{
	struct fleetwise_decoders *decoders = open_decoders(0);

	(void)state;
	assert_int_equal(fleetwise_decoders_put(decoders, "demo/car/1", vector("names"), NULL), RESULT_OK);
	assert_int_equal(fleetwise_decoders_put(decoders, "demo/car/1", vector("names"), NULL), RESULT_OK);
	assert_int_equal(fleetwise_decoders_count(decoders), 1);
	fleetwise_decoders_close(decoders);
	decoders = open_decoders(0);
	assert_true(is_known(decoders, "demo/car/1", 1, "Vehicle.Speed"));
	assert_true(is_known(decoders, "demo/car/1", 5, "Vehicle.Objects"));
	assert_false(is_known(decoders, "demo/car/1", 6, "Vehicle.Objects"));
	assert_false(is_known(decoders, "demo/car/2", 1, "Vehicle.Speed"));
	fleetwise_decoders_close(decoders);
}

static void test_a_damaged_file_is_left_aside(void **state)
{
	struct fleetwise_decoders *decoders = open_decoders(0);

	(void)state;
	assert_int_equal(fleetwise_decoders_put(decoders, "demo/car/1", vector("names"), NULL), RESULT_OK);
	fleetwise_decoders_close(decoders);
	for_each_file(damage_file);
	decoders = open_decoders(1);
	assert_int_equal(fleetwise_decoders_count(decoders), 0);
	assert_int_equal(fleetwise_decoders_put(decoders, "demo/car/1", vector("names"), NULL), RESULT_OK);
	fleetwise_decoders_close(decoders);
	decoders = open_decoders(1);
	assert_true(is_known(decoders, "demo/car/1", 1, "Vehicle.Speed"));
	fleetwise_decoders_close(decoders);
}

/* A document of one signal, "Name.NUMBER", under "TENANT/NUMBER"; both are four digits. */
static void put_numbered(struct fleetwise_decoders *decoders, unsigned tenant, unsigned number)
{
	uint8_t document[64] = {0x0a, 9};
	char sync_id[24], name[24];

	snprintf(sync_id, sizeof sync_id, "%04u/%04u", tenant, number);
	snprintf(name, sizeof name, "Name.%04u", number);
	memcpy(document + 2, sync_id, 9);
	memcpy(document + 11, "\x12\x0d\x08\x01\x12\x09", 6);
	memcpy(document + 17, name, 9);
	assert_int_equal(fleetwise_decoders_put(decoders, sync_id, span_of(document, 26), NULL), RESULT_OK);
}

static void test_the_tenants_one_put_longest_ago_goes(void **state)
{
	struct fleetwise_decoders *decoders = open_decoders(0);

	(void)state;
	put_numbered(decoders, 7, 0);
	for (unsigned i = 0; i < FLEETWISE_DECODERS_OF_TENANT_MAX; i++)
		put_numbered(decoders, 1, i);
	put_numbered(decoders, 1, 0); /* again: it is new */
	put_numbered(decoders, 1, FLEETWISE_DECODERS_OF_TENANT_MAX);
	assert_int_equal(fleetwise_decoders_count(decoders), FLEETWISE_DECODERS_OF_TENANT_MAX + 1);
	assert_int_equal(for_each_file(NULL), FLEETWISE_DECODERS_OF_TENANT_MAX + 1);
	assert_true(is_known(decoders, "0001/0000", 1, "Name.0000"));
	assert_false(is_known(decoders, "0001/0001", 1, "Name.0001"));
	assert_true(is_known(decoders, "0007/0000", 1, "Name.0000"));
	fleetwise_decoders_close(decoders);
	/* and in the same order after a restart */
	decoders = open_decoders(0);
	put_numbered(decoders, 1, FLEETWISE_DECODERS_OF_TENANT_MAX + 1);
	assert_true(is_known(decoders, "0001/0000", 1, "Name.0000"));
	assert_false(is_known(decoders, "0001/0002", 1, "Name.0002"));
	fleetwise_decoders_close(decoders);
}

static void test_of_all_the_one_put_longest_ago_goes(void **state)
{
	struct fleetwise_decoders *decoders;
	size_t skipped;

	(void)state;
	assert_int_equal(fleetwise_decoders_open(NULL, &decoders, &skipped, NULL), RESULT_OK);
	for (unsigned tenant = 0; tenant <= FLEETWISE_DECODERS_MAX; tenant++)
		put_numbered(decoders, tenant, 0);
	assert_int_equal(fleetwise_decoders_count(decoders), FLEETWISE_DECODERS_MAX);
	assert_false(is_known(decoders, "0000/0000", 1, "Name.0000"));
	assert_true(is_known(decoders, "0001/0000", 1, "Name.0000"));
	fleetwise_decoders_close(decoders);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_wrong_documents_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_kept_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_outlive_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_damaged_file_is_left_aside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_tenants_one_put_longest_ago_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_of_all_the_one_put_longest_ago_goes, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, read_vectors, release_vectors);
}
