/* `vinveil backup`: registry, audit log and public certificates into a directory, beside the running daemons. */
#include "programs/vinveil/backup_manifest.h"
#include "programs/vinveil/commands.h"
#include "programs/vinveil/log_copy.h"
#include "programs/vinveil/offline.h"

#include "adapters/registry/sqlite.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool directory_is_empty(const char *path)
{
	DIR *directory = opendir(path);
	if (directory == NULL)
		return errno == ENOENT;
	bool empty = true;
	for (struct dirent *entry; empty && (entry = readdir(directory)) != NULL;)
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	closedir(directory);
	return empty;
}

/* Only certificates and the log's public key: whatever else somebody laid there is not copied. */
static bool is_public(const char *name)
{
	size_t length = strlen(name);
	return length > 5 && (strcmp(name + length - 4, ".pem") == 0 || strcmp(name + length - 5, ".vkey") == 0);
}

static enum result copy_public(const char *from, const char *to, const char *name, struct note *note)
{
	BUF_CLEANUP struct buf content = {0};
	char source[PATH_SIZE], target[PATH_SIZE];
	TRY(path_join(from, name, source));
	TRY(path_join(to, name, target));
	TRY(file_read(source, &content, note));
	if (memmem(content.data, content.size, "PRIVATE KEY", 11) != NULL) {
		note_set(note, "%.180s holds a private key, which has no place there; nothing more was copied", source);
		return RESULT_DENIED;
	}
	return file_create(target, buf_span(&content), 0644, note);
}

static enum result copy_certificates(const char *from, const char *to, struct note *note)
{
	DIR *directory = opendir(from);
	enum result result = RESULT_OK;
	if (directory == NULL) {
		note_set(note, "%.200s: %s", from, strerror(errno));
		return RESULT_ABSENT;
	}
	for (struct dirent *entry; result == RESULT_OK && (entry = readdir(directory)) != NULL;)
		if (is_public(entry->d_name))
			result = copy_public(from, to, entry->d_name, note);
	closedir(directory);
	return result;
}

static enum result add_directory(struct backup_manifest *manifest, const char *out, const char *name, struct note *note)
{
	char path[PATH_SIZE], file[BACKUP_NAME_SIZE];
	enum result result = RESULT_OK;
	TRY(path_join(out, name, path));
	DIR *directory = opendir(path);
	if (directory == NULL)
		return RESULT_UNAVAILABLE;
	for (struct dirent *entry; result == RESULT_OK && (entry = readdir(directory)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		result = snprintf(file, sizeof file, "%s/%s", name, entry->d_name) < (int)sizeof file
				 ? backup_manifest_add(manifest, out, file, note)
				 : RESULT_EXHAUSTED;
	}
	closedir(directory);
	return result;
}

static enum result make_inside(const char *out, const char *name, char ret_path[static PATH_SIZE], struct note *note)
{
	TRY(path_join(out, name, ret_path));
	return directory_make(ret_path, 0700, note);
}

/*
 * The registry first: every change in it has its leaf in the log that is copied after it, or in its own outbox. What
 * the log held before the copy began is surely in the registry, so a restore replays from there.
 */
static enum result copy_all(const struct offline_paths *paths, const char *out, struct backup_manifest *manifest,
			    struct note *note)
{
	char certificates[PATH_SIZE], path[PATH_SIZE];
	struct verifier_key key;
	struct merkle_hash root;
	TRY(path_join(paths->directory, "ca", certificates));
	TRY(path_join(certificates, "audit-log.vkey", path));
	TRY(log_key_read(path, &key, note));
	TRY(log_head(paths->audit, &key, &manifest->replay_from, &root, note));
	TRY(path_join(out, BACKUP_REGISTRY_FILE, path));
	TRY(registry_sqlite_backup(paths->registry, path, note));
	TRY(make_inside(out, "audit", path, note));
	TRY(log_copy(paths->audit, path, &manifest->log_size, note));
	TRY(make_inside(out, "ca", path, note));
	return copy_certificates(certificates, path, note);
}

static enum result make_backup(const struct offline_paths *paths, const char *out, struct backup_manifest *manifest,
			       struct note *note)
{
	manifest->created_at_ms = clock_now_ms(clock_system());
	TRY(directory_make(out, 0700, note));
	TRY(copy_all(paths, out, manifest, note));
	TRY(backup_manifest_add(manifest, out, BACKUP_REGISTRY_FILE, note));
	TRY(add_directory(manifest, out, "audit", note));
	TRY(add_directory(manifest, out, "ca", note));
	return backup_manifest_write(manifest, out, note);
}

static int run_backup(const struct invocation *invocation)
{
	BACKUP_MANIFEST_CLEANUP struct backup_manifest manifest = {0};
	struct offline_paths paths;
	struct note note = {0};
	const char *out = option_get(invocation, "out");
	if (out == NULL) {
		say_error("say where to: --out DIR");
		return EXIT_USAGE;
	}
	int code = offline_open(invocation, &paths);
	if (code != EXIT_DONE)
		return code;
	if (!directory_is_empty(out)) {
		say_error("%s is not empty (or cannot be read); a backup begins with an empty directory", out);
		return EXIT_FAILED;
	}
	enum result result = make_backup(&paths, out, &manifest, &note);
	if (result != RESULT_OK)
		return fail("backup", result, &note);
	if (option_is_set(invocation, "json"))
		printf("{\"logSize\":%" PRIu64 ",\"files\":%zu}\n", manifest.log_size, manifest.file_count);
	else
		printf("%s: registry and %" PRIu64 " audit %s. Keys are not in it: vinveil keys export\n", out,
		       manifest.log_size, text_plural(manifest.log_size, "entry", "entries"));
	return EXIT_DONE;
}

const struct command command_backup = {
	.words = "backup",
	.arguments = "",
	.summary = "copy registry and audit log, beside the running platform",
	.description =
		"Makes DIR with the registry as of one instant, the audit log, the public certificates, and\n"
		"backup.json with the digest of each file. A backup never holds a key: without those of\n"
		"vinveil keys export nobody can read a VIN in it, you included. Keep a copy of the configuration\n"
		"files and of DIR/tls beside that export: they are not in a backup either.\n"
		"Nor is what vehicles have sent: DIR/telemetry and DIR/spool are yours to copy, while nothing runs.",
	.run = run_backup,
	.options = {DATA_OPTION,
		    {"out", "DIR", "the directory to make; must be empty", false},
		    {"json", NULL, "the outcome as JSON", false},
		    {NULL, NULL, NULL, false}},
};
