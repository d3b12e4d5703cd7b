/*
 * Recovery of the audit log from any entries file: it opens, keeps exactly the whole entries at the front, and is the
 * same log when it is opened again.
 */
#include "adapters/audit/leaf.h"
#include "adapters/audit/tlog.h"
#include "base/file.h"
#include "fuzz.h"

#include <sys/stat.h>
#include <unistd.h>

static enum result last_checkpoint(struct key_service *service, uint64_t *ret_size, struct merkle_hash *ret_root,
				   struct note *note)
{
	(void)service;
	(void)note;
	*ret_size = 0;
	*ret_root = (struct merkle_hash){{0}};
	return RESULT_OK;
}

static const struct key_service_ops signer_ops = {.last_checkpoint = last_checkpoint};

/* The framing read once more, in the plainest way. */
static uint64_t count_entries(const uint8_t *data, size_t size)
{
	uint64_t count = 0;
	size_t at = 0;

	while (size - at >= 2) {
		size_t length = (size_t)data[at] << 8 | data[at + 1];
		struct leaf_facts facts;

		if (length == 0 || length > AUDIT_LEAF_SIZE_MAX || length > size - at - 2 ||
		    leaf_scan(span_of(data + at + 2, length), &facts) != RESULT_OK)
			break;
		at += 2 + length;
		count++;
	}
	return count;
}

static void write_entries(const char *where, const uint8_t *data, size_t size)
{
	static const char *const names[] = {"entries-000000", "index", "hashes-0", "hashes-1", "checkpoint"};
	char path[PATH_SIZE];
	FILE *file;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		FUZZ_CHECK(path_join(where, names[i], path) == RESULT_OK);
		unlink(path);
	}
	FUZZ_CHECK(path_join(where, names[0], path) == RESULT_OK);
	file = fopen(path, "w");
	FUZZ_CHECK(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static void check_opening(const struct audit_tlog_config *config, uint64_t count)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct audit_log *log = NULL;
	struct span json;

	FUZZ_CHECK(audit_tlog_open(config, &log, NULL) == RESULT_OK);
	FUZZ_CHECK(log->ops->durable_size(log) == count);
	if (count > 0)
		FUZZ_CHECK(log->ops->read(log, count - 1, &arena, &json, NULL) == RESULT_OK);
	FUZZ_CHECK(log->ops->read(log, count, &arena, &json, NULL) == RESULT_ABSENT);
	audit_tlog_close(log);
}

static char directory[] = "/dev/shm/vinveil-fuzz-XXXXXX";

static void clean_up(void)
{
	static const char *const names[] = {"entries-000000", "index", "hashes-0", "hashes-1", "checkpoint", "lock"};
	char path[PATH_SIZE];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (path_join(directory, names[i], path) == RESULT_OK)
			unlink(path);
	rmdir(directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_ready;
	struct key_service signer = {.ops = &signer_ops};
	struct audit_tlog_config config = {
		.directory = directory, .origin = "log.test/audit", .signer = &signer, .checkpoint_interval_ms = -1};
	uint64_t count = count_entries(data, size);

	if (!is_ready) {
		FUZZ_CHECK(crypto_init(NULL) == RESULT_OK && mkdtemp(directory) != NULL && atexit(clean_up) == 0);
		is_ready = true;
	}
	write_entries(directory, data, size);
	check_opening(&config, count);
	check_opening(&config, count);
	return 0;
}
