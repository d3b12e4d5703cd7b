/* Making, exporting and importing a vault; its configuration file. */
#include "../cmocka_all.h"

#include "adapters/keys/keyd_config.h"
#include "keys_support.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSPHRASE "correct horse battery"

static struct test_vault vault;

static int begin(void **state)
{
	(void)state;
	test_vault_begin(&vault);
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_vault_remove(&vault);
	return 0;
}

static void test_files_are_private_and_never_overwritten(void **state)
{
	(void)state;
	static const char *const names[] = {"root.key", "audit.key", "device-issuer.key", "state/tenants"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[PATH_SIZE];
		struct stat status;
		assert_int_equal(path_join(vault.directory, names[i], path), RESULT_OK);
		assert_int_equal(stat(path, &status), 0);
		assert_int_equal(status.st_mode & 0777, 0600);
	}
	BUF_CLEANUP struct buf csr = {0};
	struct note note = {0};
	assert_int_equal(keys_local_create(vault.directory, entropy_system(), &csr, &note), RESULT_CONFLICT);
	assert_non_null(strstr(note.text, "root.key"));
}

static void test_readable_root_key_is_refused(void **state)
{
	(void)state;
	char path[PATH_SIZE];
	struct keys_local_config config = {.directory = vault.directory, .budgets = vault.budgets};
	struct key_service *keys = NULL;
	test_vault_close(&vault);
	assert_int_equal(path_join(vault.directory, "root.key", path), RESULT_OK);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(keys_local_open(&config, &keys, NULL), RESULT_DENIED);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(truncate(path, 31), 0);
	assert_int_equal(keys_local_open(&config, &keys, NULL), RESULT_CORRUPT);
}

static void test_foreign_issuer_certificate_is_refused(void **state)
{
	(void)state;
	char path[PATH_SIZE];
	BUF_CLEANUP struct buf root = {0};
	assert_int_equal(path_join(vault.directory, "device-root.pem", path), RESULT_OK);
	assert_int_equal(file_read(path, &root, NULL), RESULT_OK);
	assert_int_equal(keys_local_install_issuer(vault.directory, buf_span(&root), buf_span(&root), NULL),
			 RESULT_INVALID);
}

static void test_export_and_import(void **state)
{
	(void)state;
	struct tenant_id demo = tenant_named("demo");
	struct key_generations generations;
	struct vin vin = vin_numbered(1), opened = {0};
	struct reseal_item item = {.reference_id = new_uuid()};
	BUF_CLEANUP struct buf file = {.size_max = KEY_EXPORT_SIZE_MAX};
	struct span passphrase = span_of_text(PASSPHRASE);
	assert_int_equal(vault.keys->ops->begin_rotation(vault.keys, &demo, &generations, NULL), RESULT_OK);
	assert_int_equal(vault.keys->ops->seal_vin(vault.keys, &demo, &item.reference_id, &vin, &item.sealed, NULL),
			 RESULT_OK);
	assert_int_equal(keys_local_export(vault.directory, entropy_system(), span_of_text("short"), &file, NULL),
			 RESULT_INVALID);
	assert_int_equal(keys_local_export(vault.directory, entropy_system(), passphrase, &file, NULL), RESULT_OK);
	assert_int_equal(keys_local_import(vault.directory, buf_span(&file), passphrase, NULL), RESULT_CONFLICT);

	/* The old machine burns down; another directory takes its place. */
	test_vault_remove(&vault);
	assert_int_equal(keys_local_import(vault.directory, buf_span(&file), span_of_text("a wrong passphrase"), NULL),
			 RESULT_DENIED);
	file.data[60] ^= 1;
	assert_int_equal(keys_local_import(vault.directory, buf_span(&file), passphrase, NULL), RESULT_DENIED);
	file.data[60] ^= 1;
	assert_int_equal(keys_local_import(vault.directory, span_of_text("something"), passphrase, NULL),
			 RESULT_INVALID);
	assert_int_equal(keys_local_import(vault.directory, buf_span(&file), passphrase, NULL), RESULT_OK);
	test_vault_open(&vault);
	assert_int_equal(vault.keys->ops->get_generations(vault.keys, &demo, &generations, NULL), RESULT_OK);
	assert_true(generations.newest == 2 && generations.oldest == 1);
	struct reveal_authorisation persons = {.requested_by = "anna", .approved_by = "ben"};
	assert_int_equal(
		vault.keys->ops->open_vin(vault.keys, &demo, &item.reference_id, &item.sealed, &persons, &opened, NULL),
		RESULT_OK);
	assert_string_equal(opened.text, vin.text);
}

/* ---- keyd.conf ------------------------------------------------------------------------------------ */

static enum result read_config(const char *text, struct keyd_config *config, struct note *note)
{
	char path[PATH_SIZE];
	assert_int_equal(path_join(vault.directory, "keyd.conf", path), RESULT_OK);
	assert_int_equal(file_replace(path, span_of_text(text), 0600, NULL), RESULT_OK);
	return keyd_config_read(path, config, note);
}

static void test_config_reads_what_it_writes(void **state)
{
	(void)state;
	struct keyd_config config, back;
	BUF_CLEANUP struct buf text = {0};
	keyd_config_default(&config);
	snprintf(config.directory, sizeof(config.directory), "/var/lib/vinveil/keyd");
	snprintf(config.socket, sizeof(config.socket), "/run/vinveil/keyd.sock");
	config.budgets.reveals_per_hour = 3;
	config.device_days = 30;
	assert_int_equal(keyd_config_format(&config, &text), RESULT_OK);
	struct note note = {0};
	if (read_config((const char *)text.data, &back, &note) != RESULT_OK)
		fail_msg("%s", note.text);
	assert_memory_equal(&config, &back, sizeof(config));
}

static void test_bad_configs(void **state)
{
	(void)state;
	static const struct {
		const char *text, *named;
	} cases[] = {
		{"[keyd]\nsocket = /s\n", "directory"},
		{"[keyd]\ndirectory = d\nsocket = /s\n", "absolute"},
		{"[keyd]\ndirectory = /d\nsocket = /s\norigin = a b\n", "origin"},
		{"[keyd]\ndirectory = /d\nsocket = /s\nreveals = 1\n", "reveals"},
		{"[keyd]\ndirectory = /d\nsocket = /s\n[budget]\nreveals-per-hour = -1\n", "reveals-per-hour"},
		{"[keyd]\ndirectory = /d\nsocket = /s\n[budget]\nindex-burst = 255\n", "index-burst"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keyd_config config;
		struct note note = {0};
		assert_int_equal(read_config(cases[i].text, &config, &note), RESULT_INVALID);
		if (!strstr(note.text, cases[i].named))
			fail_msg("case %zu: %s", i, note.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_files_are_private_and_never_overwritten, begin, end),
		cmocka_unit_test_setup_teardown(test_readable_root_key_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_foreign_issuer_certificate_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_export_and_import, begin, end),
		cmocka_unit_test_setup_teardown(test_config_reads_what_it_writes, begin, end),
		cmocka_unit_test_setup_teardown(test_bad_configs, begin, end),
	};
	if (crypto_init(NULL) != RESULT_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
