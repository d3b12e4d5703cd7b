/* `vinveil import`: an existing fleet, from a CSV into the registry, with the daemons stopped. */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/import_feed.h"
#include "programs/vinveil/import_rejects.h"
#include "programs/vinveil/offline.h"

#include "adapters/keys/local.h"
#include "base/text.h"
#include "vehicle/audit.h"
#include "vehicle/flow.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUBJECT_SIZE	    17 /* 16 hex digits of the file's digest: enough to know it again */
#define PROGRESS_MS	    500
#define LEAF_ARENA_SIZE	    65536
#define PREPARE_THREADS_MAX 8

struct import {
	struct offline_paths paths;
	struct span file; /* mapped */
	char identity[IMPORT_FILE_IDENTITY_SIZE], subject[SUBJECT_SIZE];
	struct key_service *keys;
	struct registry_import *registry;
	struct tenant tenant;
	struct import_position position;
	struct import_rejects rejects;
	struct import_feed *feed;
	uint64_t log_size; /* what keyd signed last: nothing of this import can stand in the log before it */
	uint64_t rows_begun_at, bytes_begun_at;
	int64_t begun_ms, shown_ms;
	struct uuid request_id;
};

static void import_release(struct import *import)
{
	import_feed_close(import->feed);
	registry_import_close(import->registry);
	keys_local_close(import->keys);
	if (import->rejects.descriptor >= 0)
		close(import->rejects.descriptor);
	if (import->file.data != NULL)
		munmap((void *)import->file.data, import->file.size);
}
#define IMPORT_CLEANUP __attribute__((cleanup(import_release)))

/* ---- opening ---------------------------------------------------------------------------------------- */

static enum result map_descriptor(int descriptor, const char *path, struct span *ret_bytes, struct note *note)
{
	struct stat status;
	if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) {
		note_set(note, "%.200s is empty, or not a file", path);
		return RESULT_INVALID;
	}
	void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
	if (bytes == MAP_FAILED) {
		note_set(note, "%.200s: %s", path, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	/* The file holds VINs: they need not stand in a crash dump of this process, too. */
	madvise(bytes, (size_t)status.st_size, MADV_DONTDUMP);
	madvise(bytes, (size_t)status.st_size, MADV_SEQUENTIAL);
	*ret_bytes = span_of(bytes, (size_t)status.st_size);
	return RESULT_OK;
}

static enum result map_file(const char *path, struct span *ret_bytes, struct note *note)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0) {
		note_set(note, "%.200s: %s", path, strerror(errno));
		return RESULT_ABSENT;
	}
	enum result result = map_descriptor(descriptor, path, ret_bytes, note);
	close(descriptor);
	return result;
}

/* Size and digest: the same file under another name is the same import, another file never is. */
static enum result identify(struct import *import)
{
	uint8_t digest[SHA256_SIZE];
	char text[2 * SHA256_SIZE + 1];
	TRY(sha256(import->file, digest));
	hex_format(span_of(digest, sizeof digest), text);
	snprintf(import->identity, sizeof import->identity, "%zu-%s", import->file.size, text);
	snprintf(import->subject, sizeof import->subject, "%.16s", text);
	return RESULT_OK;
}

/* The operator's own command with keyd stopped: keyd's rates protect against others. */
static enum result open_keys(struct import *import, struct note *note)
{
	struct merkle_hash root;
	struct keys_local_config config = {.directory = import->paths.keys, .budgets = key_budgets_default()};
	config.budgets.index_per_second = config.budgets.index_burst = BUDGET_RATE_MAX;
	config.budgets.seal_per_second = BUDGET_RATE_MAX;
	TRY(keys_local_open(&config, &import->keys, note));
	return import->keys->ops->last_checkpoint(import->keys, &import->log_size, &root, note);
}

static enum result open_registry(struct import *import, const struct tenant_id *tenant, struct note *note)
{
	struct registry_import_options options = {.tenant = *tenant};
	memcpy(options.actor, import->paths.actor, sizeof options.actor);
	memcpy(options.file_identity, import->identity, sizeof options.file_identity);
	TRY(registry_import_open(import->paths.registry, &options, NULL, &import->registry, &import->position, note));
	return registry_import_tenant(import->registry, &import->tenant, note);
}

static size_t choose_thread_count(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	if (processors <= 2)
		return 1;
	return processors - 1 > PREPARE_THREADS_MAX ? PREPARE_THREADS_MAX : (size_t)processors - 1;
}

static enum result open_feed(struct import *import, struct note *note)
{
	struct import_feed_config config = {.bytes = import->file,
					    .tenant = import->tenant,
					    .keys = import->keys,
					    .thread_count = choose_thread_count()};
	return import_feed_open(&config, &import->position, &import->feed, note);
}

/* ---- storing ---------------------------------------------------------------------------------------- */

static void show_progress(struct import *import, bool is_last)
{
	int64_t now_ms = clock_monotonic_ms(clock_system());
	if (!isatty(STDERR_FILENO) || (!is_last && now_ms - import->shown_ms < PROGRESS_MS))
		return;
	import->shown_ms = now_ms;
	double seconds = (double)(now_ms - import->begun_ms) / 1000 + 0.001;
	double rows = (double)(import->position.rows - import->rows_begun_at);
	double bytes = (double)(import->position.byte_offset - import->bytes_begun_at) + 1;
	double left = seconds / bytes * (double)(import->file.size - import->position.byte_offset);
	fprintf(stderr, "\r%3.0f %%  %" PRIu64 " rows  %.0f rows/s  %.0f s left  %" PRIu64 " rejected ",
		100.0 * (double)import->position.byte_offset / (double)import->file.size, import->position.rows,
		rows / seconds, left, import->rejects.count);
	if (is_last)
		fputc('\n', stderr);
}

static enum result format_leaf(const struct import *import, size_t count, struct arena *arena,
			       struct audit_leaf *ret_leaf)
{
	struct platform platform = {.clock = clock_system(), .entropy = entropy_system()};
	struct audit_event event = {.action = "vehicle.import",
				    .outcome = AUDIT_ALLOWED,
				    .actor = import->paths.actor,
				    .tenant = import->tenant.id,
				    .request_id = import->request_id,
				    .subject = import->subject,
				    .count = count};
	return audit_format(&platform, &event, arena, ret_leaf);
}

/* Rejects first: see import_rejects.h. */
static enum result store_chunk(struct import *import, const struct import_chunk *chunk, struct note *note)
{
	ARENA_CLEANUP struct arena arena = {.size_max = LEAF_ARENA_SIZE};
	struct audit_leaf leaf;
	TRY(import_rejects_add(&import->rejects, buf_span(&chunk->rejects), chunk->reject_count, note));
	if (chunk->count > 0)
		TRY(format_leaf(import, chunk->count, &arena, &leaf));
	TRY(registry_import_add(import->registry, chunk->rows, chunk->count, &chunk->end,
				chunk->count > 0 ? &leaf : NULL, import->log_size, note));
	import->position.byte_offset = chunk->end.byte_offset;
	import->position.line = chunk->end.line;
	import->position.rows += chunk->count;
	return RESULT_OK;
}

static enum result store_all(struct import *import, struct note *note)
{
	const struct import_chunk *chunk;
	for (;;) {
		enum result result = import_feed_next(import->feed, &chunk, note);
		if (result == RESULT_ABSENT)
			break;
		TRY(result);
		TRY(store_chunk(import, chunk, note));
		show_progress(import, false);
	}
	show_progress(import, true);
	return RESULT_OK;
}

/* ---- the command ------------------------------------------------------------------------------------ */

static void tell(const struct invocation *invocation, const struct import *import, uint64_t imported)
{
	double seconds = (double)(clock_monotonic_ms(clock_system()) - import->begun_ms) / 1000;
	double rows = (double)(import->position.rows - import->rows_begun_at);
	double rate = seconds > 0 ? rows / seconds : rows;
	uint64_t rejected = import->rejects.count;
	if (option_is_set(invocation, "json")) {
		printf("{\"imported\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"seconds\":%.3f,\"rowsPerSecond\":%.0f}\n",
		       imported, rejected, seconds, rate);
		return;
	}
	printf("%" PRIu64 " imported, %" PRIu64 " rejected, %.1f seconds, %.0f rows/s\n", imported, rejected, seconds,
	       rate);
	if (rejected > 0)
		printf("what was rejected, and why: %s\n", import->rejects.path);
}

static enum result prepare(struct import *import, const struct invocation *invocation, const struct tenant_id *tenant,
			   struct note *note)
{
	const char *file = invocation->arguments[0], *said = option_get(invocation, "rejects");
	char path[PATH_SIZE];
	if (snprintf(path, sizeof path, "%s%s", said != NULL ? said : file, said != NULL ? "" : ".rejects") >=
	    PATH_SIZE)
		return RESULT_INVALID;
	TRY(map_file(file, &import->file, note));
	TRY(import_feed_check(import->file, note));
	TRY(import_rejects_check(path, note));
	TRY(identify(import));
	TRY(uuid_generate_v4(entropy_system(), &import->request_id));
	TRY(open_keys(import, note));
	TRY(open_registry(import, tenant, note));
	TRY(open_feed(import, note));
	import->rows_begun_at = import->position.rows;
	import->bytes_begun_at = import->position.byte_offset;
	if (import->position.chunk > 0)
		say("going on after line %" PRIu64, import->position.line);
	return import_rejects_open(path, import->position.chunk > 0 ? import->position.line : 0, &import->rejects,
				   note);
}

static enum result finish(struct import *import, uint64_t *ret_imported, struct note *note)
{
	if (isatty(STDERR_FILENO))
		say("building the indexes");
	TRY(registry_import_finish(import->registry, import_rejects_add_duplicate, &import->rejects, ret_imported,
				   note));
	return import_rejects_close(&import->rejects, note);
}

static int run_import(const struct invocation *invocation)
{
	IMPORT_CLEANUP struct import import = {.rejects.descriptor = -1};
	struct tenant_id tenant;
	struct note note = {0};
	uint64_t imported = 0;
	const char *name = option_get(invocation, "tenant");
	if (name == NULL || tenant_id_parse(span_of_text(name), &tenant) != RESULT_OK) {
		say_error("say whose vehicles these are: --tenant TENANT");
		return EXIT_USAGE;
	}
	int code = offline_open(invocation, &import.paths);
	if (code != EXIT_DONE)
		return code;
	import.begun_ms = clock_monotonic_ms(clock_system());
	enum result result = prepare(&import, invocation, &tenant, &note);
	if (result == RESULT_OK)
		result = store_all(&import, &note);
	if (result == RESULT_OK)
		result = finish(&import, &imported, &note);
	if (result != RESULT_OK)
		return fail("import", result, &note);
	tell(invocation, &import, imported);
	return EXIT_DONE;
}

const struct command command_import = {
	.words = "import",
	.arguments = "FILE.csv",
	.summary = "take an existing fleet into the registry, offline",
	.description =
		"FILE.csv begins with the line vin,deviceId[,NAME...]; further columns become attributes. An empty\n"
		"deviceId means none. The manifest is not asked: these devices are on the road already. vinveild and\n"
		"vinveil-keyd must be stopped.\n\n"
		"May be interrupted at any time, even by a crash: the same command goes on where it was. Lines that\n"
		"cannot be taken are named in the reject file by number and reason; the exit code is 0 when every\n"
		"good line was taken, however many were rejected.",
	.run = run_import,
	.options = {DATA_OPTION,
		    {"tenant", "TENANT", "whose vehicles these are", false},
		    {"rejects", "FILE", "where to name rejected lines (default: FILE.csv.rejects)", false},
		    {"json", NULL, "the outcome as JSON", false},
		    {NULL, NULL, NULL, false}},
};
