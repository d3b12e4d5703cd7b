/*
 * Backup, restore, and the check that both end with.
 */
#include "adapters/registry/sqlite.h"
#include "adapters/registry/sqlite_db.h"
#include "adapters/registry/sqlite_lock.h"
#include "adapters/registry/sqlite_schema.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define FD_CLEANUP __attribute__((cleanup(close_fd)))

static const struct sqlite_db_options reading = {
	.cache_kib = 16384,
	.busy_timeout_ms = 10000,
	.must_exist = true,
	.is_bulk = true, /* the check's sorting belongs on disk */
};

/* ---- check ----------------------------------------------------------------------------------------- */

/* Each question yields a row when something is wrong. */
static const struct {
	const char *question, *finding;
} agreements[] = {
	{"SELECT 1 FROM vin_index i LEFT JOIN vehicle v ON v.number = i.vehicle"
	 " WHERE v.number IS NULL OR v.tenant <> i.tenant OR i.generation > v.generation LIMIT 1",
	 "a VIN index belongs to no vehicle of its tenant"},
	{"SELECT 1 FROM vin_index i JOIN vehicle v ON v.number = i.vehicle WHERE v.reference_id <> i.reference_id"
	 " LIMIT 1",
	 "a VIN index leads to another vehicle's Reference ID"},
	{"SELECT 1 WHERE (SELECT count(*) FROM vehicle WHERE generation > 0) <> (SELECT count(*) FROM vin_index i"
	 " JOIN vehicle v ON v.number = i.vehicle AND v.generation = i.generation)",
	 "a vehicle has no VIN index of its generation"},
	{"SELECT 1 FROM (SELECT tenant, generation, count(*) AS vehicles FROM vehicle GROUP BY tenant, generation) v"
	 " LEFT JOIN generation_count g USING (tenant, generation) WHERE v.vehicles IS NOT g.vehicles LIMIT 1",
	 "the vehicles of a generation are not as many as counted"},
	{"SELECT 1 WHERE (SELECT count(*) FROM vehicle) <> (SELECT coalesce(sum(vehicles), 0) FROM generation_count)",
	 "the vehicles are not as many as counted"},
	{"SELECT 1 FROM vehicle WHERE state NOT BETWEEN 1 AND 4 OR (state = 4 AND device_id IS NOT NULL)"
	 " OR length(reference_id) <> 16 OR length(sealed) <> 64 LIMIT 1",
	 "a vehicle's row is malformed"},
	{"SELECT 1 FROM vehicle v LEFT JOIN tenant t ON t.number = v.tenant WHERE t.number IS NULL LIMIT 1",
	 "a vehicle has no tenant"},
	{"SELECT 1 FROM history h LEFT JOIN vehicle v ON v.number = h.vehicle WHERE v.number IS NULL LIMIT 1",
	 "a history entry has no vehicle"},
	{"SELECT 1 FROM certificate c LEFT JOIN certified_key k ON k.number = c.certified_key"
	 " WHERE k.number IS NULL OR k.vehicle <> c.vehicle LIMIT 1",
	 "a certificate has no certified key of its vehicle"},
	{"SELECT 1 FROM command c LEFT JOIN vehicle v ON v.number = c.vehicle WHERE v.number IS NULL LIMIT 1",
	 "a command has no vehicle"},
	{"SELECT 1 FROM claim c LEFT JOIN tenant t ON t.number = c.tenant"
	 " WHERE t.number IS NULL OR c.used > c.count_max LIMIT 1",
	 "a claim has no tenant, or was used too often"},
	{"SELECT 1 FROM ownership o LEFT JOIN claim c ON c.number = o.claim WHERE c.number IS NULL LIMIT 1",
	 "a certificate issued ahead has no claim"},
	{"SELECT 1 FROM ownership o JOIN certificate c ON c.serial = o.serial LIMIT 1",
	 "a vehicle's certificate is denied as one issued ahead"},
	{"SELECT 1 FROM import_progress WHERE phase IN (2, 3)", "an import is unfinished"},
};

/* *ret_text: the first column of the first row, "" without one. */
static enum result first_value(struct sqlite_db *db, const char *question, char *ret_text, size_t size,
			       struct note *note)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(db->handle, question, -1, &statement, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	enum result result = sqlite_db_result(db, code, note);
	if (result == RESULT_OK)
		snprintf(ret_text, size, "%s",
			 code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : "");
	sqlite3_finalize(statement);
	return result;
}

static enum result check_agreements(struct sqlite_db *db, struct note *note)
{
	char value[160];

	TRY(first_value(db, "PRAGMA integrity_check(1)", value, sizeof(value), note));
	if (strcmp(value, "ok") != 0) {
		note_set(note, "%s", value);
		return RESULT_CORRUPT;
	}
	for (size_t i = 0; i < sizeof(agreements) / sizeof(agreements[0]); i++) {
		TRY(first_value(db, agreements[i].question, value, sizeof(value), note));
		if (value[0] != '\0') {
			note_set(note, "%s", agreements[i].finding);
			return RESULT_CORRUPT;
		}
	}
	return RESULT_OK;
}

static enum result check_version(struct sqlite_db *db, struct note *note)
{
	char value[32], expected[32];

	TRY(first_value(db, "SELECT coalesce(max(version), 0) FROM schema_version", value, sizeof(value), note));
	snprintf(expected, sizeof(expected), "%zu", sqlite_migration_count);
	if (strcmp(value, expected) == 0)
		return RESULT_OK;
	note_set(note,
		 "the registry has schema version %s, this program has %s: open it with vinveild first, or run a"
		 " newer vinveil",
		 value, expected);
	return RESULT_INVALID;
}

/* All questions see one instant, though a server may go on writing. */
static enum result check_file(const char *path, struct note *note)
{
	DB_CLEANUP struct sqlite_db db = {0};

	TRY(sqlite_db_open(path, &reading, &db, note));
	TRY(check_version(&db, note));
	TRY(sqlite_db_execute(&db, "BEGIN", note));
	return check_agreements(&db, note);
}

enum result registry_sqlite_check(const char *path, struct note *note)
{
	FD_CLEANUP int lock_fd = -1;

	if (!path_exists(path)) {
		note_set(note, "%s: no such file", path);
		return RESULT_ABSENT;
	}
	TRY(registry_lock_take(path, REGISTRY_LOCK_SHARED, &lock_fd, note));
	return check_file(path, note);
}

/* ---- copies that appear whole ---------------------------------------------------------------------- */

static enum result failed(const char *path, struct note *note)
{
	note_set(note, "%s: %s", path, strerror(errno));
	return errno == EEXIST ? RESULT_CONFLICT : RESULT_UNAVAILABLE;
}

static enum result sync_file(const char *path, struct note *note)
{
	FD_CLEANUP int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd >= 0 && fsync(fd) == 0 ? RESULT_OK : failed(path, note);
}

/* Names the finished copy, never in place of another file. */
static enum result put_in_place(const char *temporary, const char *path, struct note *note)
{
	char directory[PATH_SIZE];

	TRY(sync_file(temporary, note));
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) != 0)
		return failed(path, note);
	snprintf(directory, sizeof(directory), "%s", path);
	return directory_sync(dirname(directory), note);
}

static enum result temporary_name(const char *path, char ret_path[static PATH_SIZE], struct note *note)
{
	int length = snprintf(ret_path, PATH_SIZE, "%s.partial", path);

	if (length > 0 && length < PATH_SIZE)
		return RESULT_OK;
	note_set(note, "the path is too long");
	return RESULT_INVALID;
}

static enum result refuse_existing(const char *path, const char *suffix, struct note *note)
{
	char full[PATH_SIZE];
	int length = snprintf(full, sizeof(full), "%s%s", path, suffix);

	if (length > 0 && length < PATH_SIZE && !path_exists(full))
		return RESULT_OK;
	note_set(note, "%s%s is there already: move it away first", path, suffix);
	return RESULT_CONFLICT;
}

/* ---- backup ---------------------------------------------------------------------------------------- */

static enum result copy_pages(struct sqlite_db *from, struct sqlite_db *to, struct note *note)
{
	sqlite3_backup *backup = sqlite3_backup_init(to->handle, "main", from->handle, "main");

	if (backup == NULL)
		return sqlite_db_result(to, sqlite3_errcode(to->handle), note);
	/* All pages in one step: a stepped backup begins anew with every write to the source. */
	int code = sqlite3_backup_step(backup, -1);
	int finished = sqlite3_backup_finish(backup);
	return sqlite_db_result(to, code == SQLITE_DONE ? finished : code, note);
}

static enum result copy_registry(const char *from, const char *temporary, struct note *note)
{
	DB_CLEANUP struct sqlite_db source = {0}, target = {0};
	FD_CLEANUP int fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return failed(temporary, note);
	TRY(sqlite_db_open(from, &reading, &source, note));
	int code = sqlite3_open_v2(temporary, &target.handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL);
	TRY(sqlite_db_result(&target, code, note));
	TRY(sqlite_db_execute(&target, "PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF;", note));
	return copy_pages(&source, &target, note);
}

enum result registry_sqlite_backup(const char *from, const char *to, struct note *note)
{
	FD_CLEANUP int lock_fd = -1;
	char temporary[PATH_SIZE];

	TRY(temporary_name(to, temporary, note));
	TRY(refuse_existing(to, "", note));
	if (!path_exists(from)) {
		note_set(note, "%s: no such file", from);
		return RESULT_ABSENT;
	}
	TRY(registry_lock_take(from, REGISTRY_LOCK_SHARED, &lock_fd, note));
	enum result result = copy_registry(from, temporary, note);
	if (result == RESULT_OK)
		result = put_in_place(temporary, to, note);
	if (result != RESULT_OK)
		unlink(temporary);
	return result;
}

/* ---- restore --------------------------------------------------------------------------------------- */

static enum result copy_file(const char *from, const char *to, struct note *note)
{
	FD_CLEANUP int source = open(from, O_RDONLY | O_CLOEXEC);
	FD_CLEANUP int target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	uint8_t bytes[65536];

	if (source < 0)
		return failed(from, note);
	if (target < 0)
		return failed(to, note);
	while (true) {
		ssize_t size = read(source, bytes, sizeof(bytes));

		if (size == 0)
			return RESULT_OK;
		if (size < 0)
			return failed(from, note);
		for (ssize_t done = 0; done < size;) {
			ssize_t written = write(target, bytes + done, (size_t)(size - done));

			if (written < 0)
				return failed(to, note);
			done += written;
		}
	}
}

/* A backup may be older than the program. */
static enum result migrate_file(const char *path, struct note *note)
{
	DB_CLEANUP struct sqlite_db db = {0};

	TRY(sqlite_db_open(path, &reading, &db, note));
	return sqlite_migrate(&db, sqlite_migrations, sqlite_migration_count, clock_now_ms(clock_system()), note);
}

static enum result restore_alone(const char *backup, const char *path, struct note *note)
{
	char temporary[PATH_SIZE];

	TRY(temporary_name(path, temporary, note));
	/* A WAL without its file would be taken for the restored file's own. */
	TRY(refuse_existing(path, "", note));
	TRY(refuse_existing(path, "-wal", note));
	enum result result = copy_file(backup, temporary, note);
	if (result == RESULT_OK)
		result = migrate_file(temporary, note);
	if (result == RESULT_OK)
		result = check_file(temporary, note);
	if (result == RESULT_OK)
		result = put_in_place(temporary, path, note);
	if (result != RESULT_OK)
		unlink(temporary);
	return result;
}

enum result registry_sqlite_restore(const char *backup, const char *path, struct note *note)
{
	FD_CLEANUP int lock_fd = -1;

	TRY(registry_lock_take(path, REGISTRY_LOCK_ALONE, &lock_fd, note));
	return restore_alone(backup, path, note);
}
