/* `vinveil restore`: a backup into an installation whose daemons are stopped, and what the log tells of since. */
#include "programs/vinveil/backup_manifest.h"
#include "programs/vinveil/commands.h"
#include "programs/vinveil/log_copy.h"
#include "programs/vinveil/offline.h"

#include "adapters/audit/tlog.h"
#include "adapters/audit/verify.h"
#include "adapters/keys/key_material.h"
#include "adapters/keys/local.h"
#include "adapters/registry/sqlite.h"
#include "base/json.h"
#include "base/text.h"
#include "vehicle/restoration.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FINDINGS_SIZE_MAX ((size_t)256 << 20)

struct restore {
	struct offline_paths paths;
	const char *from;
	bool accept_loss, is_json;
	struct backup_manifest manifest;
	struct verifier_key log_key;
	bool log_survived;
	char registry_path[PATH_SIZE]; /* beside its final place, until it is right */
	struct key_service *keys;
	struct audit_log *log;
	struct registry *registry;
	struct buf findings; /* JSON array */
	struct json_writer writer;
	struct restoration_report report;
	struct audit_verify_report verdict;
};

static void close_ports(struct restore *restore)
{
	registry_sqlite_close(restore->registry);
	restore->registry = NULL;
	audit_tlog_close(restore->log);
	restore->log = NULL;
	keys_local_close(restore->keys);
	restore->keys = NULL;
}

static void restore_release(struct restore *restore)
{
	close_ports(restore);
	backup_manifest_release(&restore->manifest);
	buf_release(&restore->findings);
}
#define RESTORE_CLEANUP __attribute__((cleanup(restore_release)))

/* ---- certificates ----------------------------------------------------------------------------------- */

static enum result put_missing(const struct restore *restore, const char *name, struct note *note)
{
	BUF_CLEANUP struct buf content = {0};
	char source[PATH_SIZE], target[PATH_SIZE];
	TRY(path_join(restore->from, name, source));
	TRY(path_join(restore->paths.directory, name, target));
	if (path_exists(target))
		return RESULT_OK;
	TRY(file_read(source, &content, note));
	return file_create(target, buf_span(&content), 0644, note);
}

static enum result restore_certificates(struct restore *restore, struct note *note)
{
	char path[PATH_SIZE];
	TRY(path_join(restore->paths.directory, "ca", path));
	TRY(directory_make(path, 0700, note));
	for (size_t i = 0; i < restore->manifest.file_count; i++)
		if (strncmp(restore->manifest.files[i].name, "ca/", 3) == 0)
			TRY(put_missing(restore, restore->manifest.files[i].name, note));
	TRY(path_join(restore->paths.directory, "ca/audit-log.vkey", path));
	return log_key_read(path, &restore->log_key, note);
}

/* ---- the log ---------------------------------------------------------------------------------------- */

static enum result move(const char *from, const char *to, struct note *note)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return RESULT_OK;
	note_set(note, "%.200s: %s", to, strerror(errno));
	return RESULT_UNAVAILABLE;
}

/* A copy of its own that is put in place whole; what a log without entries left there is moved aside. */
static enum result place_backup_log(struct restore *restore, struct note *note)
{
	char source[PATH_SIZE], fresh[PATH_SIZE], aside[PATH_SIZE];
	uint64_t count;
	long stamp = (long)(clock_now_ms(clock_system()) / 1000);
	const char *place = restore->paths.audit;
	TRY(path_join(restore->from, "audit", source));
	if (snprintf(fresh, sizeof fresh, "%s.restoring-%ld", place, stamp) >= PATH_SIZE ||
	    snprintf(aside, sizeof aside, "%s.before-restore-%ld", place, stamp) >= PATH_SIZE)
		return RESULT_INVALID;
	TRY(directory_make(fresh, 0700, note));
	TRY(log_copy(source, fresh, &count, note));
	if (path_exists(place) && rmdir(place) != 0)
		TRY(move(place, aside, note));
	TRY(move(fresh, place, note));
	return directory_sync(restore->paths.directory, note);
}

static enum result settle_log(struct restore *restore, struct note *note)
{
	uint64_t count;
	TRY(log_count(restore->paths.audit, &count, note));
	if (count == 0)
		return place_backup_log(restore, note);
	if (count < restore->manifest.log_size) {
		note_set(note,
			 "the audit log here has %" PRIu64 " entries, fewer than the backup's %" PRIu64
			 ": move %.100s away to take the backup's",
			 count, restore->manifest.log_size, restore->paths.audit);
		return RESULT_CONFLICT;
	}
	restore->log_survived = true;
	return RESULT_OK;
}

static enum result open_log(struct restore *restore, bool accept_loss, struct note *note)
{
	struct keys_local_config keys_config = {
		.directory = restore->paths.keys, .origin = restore->log_key.name, .budgets = key_budgets_default()};
	TRY(keys_local_open(&keys_config, &restore->keys, note));
	struct audit_tlog_config config = {.directory = restore->paths.audit,
					   .origin = restore->log_key.name,
					   .signer = restore->keys,
					   .checkpoint_interval_ms = -1,
					   .accept_loss = accept_loss};
	return audit_tlog_open(&config, &restore->log, note);
}

/* Keyd forgets what it signed in favour of the log that is there; only the operator can answer for that. */
static enum result accept_loss(struct restore *restore, struct note *note)
{
	struct merkle_hash root;
	uint64_t size;
	close_ports(restore);
	TRY(open_log(restore, true, note));
	size = restore->log->ops->durable_size(restore->log);
	close_ports(restore);
	TRY(log_root(restore->paths.audit, size, &root, note));
	TRY(keys_local_accept_loss(restore->paths.keys, size, &root, note));
	say("keyd now takes this log of %" PRIu64 " entries for the whole one", size);
	return open_log(restore, false, note);
}

/* Is it shorter than, or another one than, what keyd signed? */
static enum result open_judged_log(struct restore *restore, struct note *note)
{
	enum result result = open_log(restore, false, note);
	if (result != RESULT_CORRUPT)
		return result;
	if (restore->accept_loss)
		return accept_loss(restore, note);
	say_error("entries of the audit log that keyd has signed are lost. Look for a longer copy of the log; only if "
		  "there is none, say --accept-loss");
	return result;
}

/* The log that survived must be the one that the backup's was the beginning of. */
static enum result check_same_log(const struct restore *restore, struct note *note)
{
	struct merkle_hash expected, actual;
	char path[PATH_SIZE];
	uint64_t size;
	TRY(path_join(restore->from, "audit", path));
	TRY(log_head(path, &restore->log_key, &size, &expected, note));
	if (!restore->log_survived || size == 0)
		return RESULT_OK;
	TRY(log_root(restore->paths.audit, size, &actual, note));
	if (memcmp(expected.bytes, actual.bytes, sizeof actual.bytes) == 0)
		return RESULT_OK;
	note_set(note, "the audit log here is not the continuation of the backup's");
	return RESULT_CORRUPT;
}

/* ---- the registry ----------------------------------------------------------------------------------- */

static void remove_leftovers(const struct restore *restore)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".partial", ".partial.lock"};
	char path[PATH_SIZE + 16];
	for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
		snprintf(path, sizeof path, "%s%s", restore->registry_path, suffixes[i]);
		unlink(path);
	}
}

static enum result place_registry_copy(struct restore *restore, struct note *note)
{
	char source[PATH_SIZE], directory[PATH_SIZE];
	if (path_exists(restore->paths.registry)) {
		note_set(note, "%.200s is there: move it away first", restore->paths.registry);
		return RESULT_CONFLICT;
	}
	if (snprintf(restore->registry_path, PATH_SIZE, "%s.restoring", restore->paths.registry) >= PATH_SIZE)
		return RESULT_INVALID;
	TRY(path_join(restore->paths.directory, "registry", directory));
	TRY(directory_make(directory, 0700, note));
	remove_leftovers(restore);
	TRY(path_join(restore->from, BACKUP_REGISTRY_FILE, source));
	return registry_sqlite_restore(source, restore->registry_path, note);
}

static void take_finding(void *context, const struct restoration_event *event)
{
	static const char *const names[] = {[RESTORATION_VEHICLE_LOST] = "vehicle-lost",
					    [RESTORATION_DEVICE_TAKEN] = "device-taken",
					    [RESTORATION_NOT_REPLAYED] = "not-replayed"};
	static const char *const advice[] = {
		[RESTORATION_VEHICLE_LOST] = "this vehicle must be provisioned again",
		[RESTORATION_DEVICE_TAKEN] = "its device is another vehicle's now: change one of them",
		[RESTORATION_NOT_REPLAYED] = "is not done again: look whether the registry has it"};
	struct restore *restore = context;
	struct json_writer *writer = &restore->writer;
	char id[UUID_TEXT_SIZE];
	uuid_format(&event->reference_id, id);
	json_object_begin(writer);
	json_member_text(writer, "finding", names[event->finding]);
	json_member_number(writer, "index", (int64_t)event->index);
	json_member_text(writer, "action", event->action);
	json_member_text(writer, "tenantId", event->tenant);
	if (event->finding == RESTORATION_NOT_REPLAYED)
		json_member_text(writer, "subject", event->subject);
	else
		json_member_uuid(writer, "referenceId", &event->reference_id);
	json_object_end(writer);
	if (!restore->is_json)
		printf("entry %" PRIu64 ": %s %s: %s\n", event->index, event->action,
		       event->finding == RESTORATION_NOT_REPLAYED ? event->subject : id, advice[event->finding]);
}

static enum result record_restore(const struct restore *restore, const struct platform *platform)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct audit_event event = {.action = "installation.restore",
				    .outcome = AUDIT_ALLOWED,
				    .actor = restore->paths.actor,
				    .count = restore->report.entries};
	TRY(uuid_generate_v4(platform->entropy, &event.request_id));
	return audit_record(platform, &event, &arena);
}

static enum result replay(struct restore *restore, struct note *note)
{
	size_t drained;
	TRY(registry_sqlite_open(restore->registry_path, NULL, &restore->registry, note));
	const struct platform platform = {.registry = restore->registry,
					  .audit = restore->log,
					  .clock = clock_system(),
					  .entropy = entropy_system()};
	TRY(audit_drain_outbox(&platform, audit_tlog_contains, restore->log, &drained, note));
	audit_tlog_contains_end(restore->log);
	restore->findings.size_max = FINDINGS_SIZE_MAX;
	json_writer_init(&restore->writer, &restore->findings);
	json_array_begin(&restore->writer);
	TRY(restoration_replay(&platform, restore->manifest.replay_from, take_finding, restore, &restore->report,
			       note));
	json_array_end(&restore->writer);
	TRY(json_writer_end(&restore->writer));
	TRY(record_restore(restore, &platform));
	return audit_tlog_checkpoint_now(restore->log, note);
}

/* Both are checked as they now are; the registry takes its place last, so that nothing can start before. */
static enum result conclude(struct restore *restore, struct note *note)
{
	char directory[PATH_SIZE];
	struct audit_verify_config config = {
		.directory = restore->paths.audit, .origin = restore->log_key.name, .key = &restore->log_key};
	close_ports(restore);
	enum result result = audit_verify(&config, &restore->verdict, note);
	if (result == RESULT_CORRUPT)
		note_set(note, "the audit log does not verify: %s: %s", restore->verdict.failure.file,
			 restore->verdict.failure.what);
	TRY(result);
	TRY(registry_sqlite_check(restore->registry_path, note));
	TRY(move(restore->registry_path, restore->paths.registry, note));
	remove_leftovers(restore);
	TRY(path_join(restore->paths.directory, "registry", directory));
	return directory_sync(directory, note);
}

/* ---- the command ------------------------------------------------------------------------------------ */

static enum result run_steps(struct restore *restore, struct note *note)
{
	char path[PATH_SIZE];
	TRY(path_join(restore->paths.keys, "root.key", path));
	if (!path_exists(path)) {
		note_set(note, "%.200s is not there: bring keyd's keys first (vinveil keys import)", path);
		return RESULT_ABSENT;
	}
	TRY(backup_manifest_read(restore->from, &restore->manifest, note));
	if (path_exists(restore->paths.registry)) {
		note_set(note, "%.200s is there: move it away first", restore->paths.registry);
		return RESULT_CONFLICT;
	}
	TRY(restore_certificates(restore, note));
	TRY(settle_log(restore, note));
	TRY(open_judged_log(restore, note));
	TRY(check_same_log(restore, note));
	TRY(place_registry_copy(restore, note));
	TRY(replay(restore, note));
	return conclude(restore, note);
}

static void tell(const struct restore *restore)
{
	const struct restoration_report *report = &restore->report;
	if (restore->is_json) {
		printf("{\"entriesReplayed\":%" PRIu64 ",\"vehiclesChanged\":%" PRIu64
		       ",\"certificatesRevoked\":%" PRIu64 ",\"certificatesEntered\":%" PRIu64
		       ",\"clientsChanged\":%" PRIu64 ",\"vehiclesLost\":%" PRIu64 ",\"logSize\":%" PRIu64
		       ",\"findings\":%.*s}\n",
		       report->entries, report->vehicles, report->revoked, report->entered, report->clients,
		       report->vehicles_lost, restore->verdict.entry_count, (int)restore->findings.size,
		       (const char *)restore->findings.data);
		return;
	}
	printf("restored. From the log since the backup (entries: %" PRIu64 "): vehicles changed: %" PRIu64
	       ", certificates revoked: %" PRIu64 ", unknown ones entered as revoked: %" PRIu64
	       ", clients changed: %" PRIu64 "\n",
	       report->entries, report->vehicles, report->revoked, report->entered, report->clients);
	if (report->vehicles_lost > 0)
		printf("%" PRIu64 " %s provisioned after the backup and must be provisioned again\n",
		       report->vehicles_lost, text_plural(report->vehicles_lost, "vehicle was", "vehicles were"));
	printf("registry and audit log verified (entries: %" PRIu64 ")\n", restore->verdict.entry_count);
}

static int run_restore(const struct invocation *invocation)
{
	RESTORE_CLEANUP struct restore restore = {.from = option_get(invocation, "from"),
						  .accept_loss = option_is_set(invocation, "accept-loss"),
						  .is_json = option_is_set(invocation, "json")};
	struct note note = {0};
	if (restore.from == NULL) {
		say_error("say which backup: --from DIR");
		return EXIT_USAGE;
	}
	int code = offline_open(invocation, &restore.paths);
	if (code != EXIT_DONE)
		return code;
	enum result result = run_steps(&restore, &note);
	if (result != RESULT_OK)
		return fail("restore", result, &note);
	tell(&restore);
	return EXIT_DONE;
}

const struct command command_restore = {
	.words = "restore",
	.arguments = "",
	.summary = "put a backup in place, offline, and replay what the audit log tells since",
	.description =
		"vinveild and vinveil-keyd must be stopped, keyd's keys be in place (vinveil keys import), and the "
		"old\n"
		"registry moved away. An audit log that survived in DIR/audit stays, and what happened after the\n"
		"backup is brought about again from it: revocations, device changes, states, suspended clients.\n"
		"Certificates that the backup does not know are revoked. What the log cannot bring back is listed:\n"
		"vehicles provisioned since, which must be provisioned again, and administrators' changes.\n\n"
		"A log that lacks entries which keyd has signed is refused unless you say --accept-loss. Log and\n"
		"registry are verified before the registry takes its place; until then nothing can start on it.",
	.run = run_restore,
	.options = {DATA_OPTION,
		    {"from", "DIR", "the backup", false},
		    {"accept-loss", NULL, "take a log that is shorter than what keyd signed: entries are lost", false},
		    {"json", NULL, "the outcome as JSON", false},
		    {NULL, NULL, NULL, false}},
};
