#include "programs/vinveil/backup_manifest.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "crypto/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT		  1
#define MANIFEST_SIZE_MAX ((size_t)32 << 20)

void backup_manifest_release(struct backup_manifest *manifest)
{
	free(manifest->files);
	manifest->files = NULL;
}

/* ---- one file --------------------------------------------------------------------------------------- */

static enum result failed(const char *path, struct note *note)
{
	note_set(note, "%.200s: %s", path, strerror(errno));
	return errno == ENOENT ? RESULT_ABSENT : RESULT_UNAVAILABLE;
}

static enum result digest_of(int descriptor, size_t size, uint8_t ret_digest[static SHA256_SIZE])
{
	if (size == 0)
		return sha256((struct span){0}, ret_digest);
	void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
	if (bytes == MAP_FAILED)
		return RESULT_UNAVAILABLE;
	enum result result = sha256(span_of(bytes, size), ret_digest);
	munmap(bytes, size);
	return result;
}

static enum result describe(const char *directory, const char *name, struct backup_file *ret_file, struct note *note)
{
	char path[PATH_SIZE];
	uint8_t digest[SHA256_SIZE];
	struct stat status = {0};
	TRY(path_join(directory, name, path));
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (descriptor < 0 || fstat(descriptor, &status) != 0) {
		enum result failure = failed(path, note);
		if (descriptor >= 0)
			close(descriptor);
		return failure;
	}
	enum result result = digest_of(descriptor, (size_t)status.st_size, digest);
	close(descriptor);
	TRY(result);
	snprintf(ret_file->name, sizeof ret_file->name, "%s", name);
	ret_file->size = (uint64_t)status.st_size;
	hex_format(span_of(digest, sizeof digest), ret_file->sha256);
	return RESULT_OK;
}

static enum result append_file(struct backup_manifest *manifest, const struct backup_file *file)
{
	if (manifest->file_count == BACKUP_FILES_MAX)
		return RESULT_EXHAUSTED;
	struct backup_file *files = realloc(manifest->files, (manifest->file_count + 1) * sizeof files[0]);
	if (files == NULL)
		return RESULT_MEMORY;
	manifest->files = files;
	files[manifest->file_count++] = *file;
	return RESULT_OK;
}

enum result backup_manifest_add(struct backup_manifest *manifest, const char *directory, const char *name,
				struct note *note)
{
	struct backup_file file = {0};
	TRY(describe(directory, name, &file, note));
	return append_file(manifest, &file);
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static void write_files(struct json_writer *writer, const struct backup_manifest *manifest)
{
	json_key(writer, "files");
	json_array_begin(writer);
	for (size_t i = 0; i < manifest->file_count; i++) {
		json_object_begin(writer);
		json_member_text(writer, "name", manifest->files[i].name);
		json_member_number(writer, "size", (int64_t)manifest->files[i].size);
		json_member_text(writer, "sha256", manifest->files[i].sha256);
		json_object_end(writer);
	}
	json_array_end(writer);
}

enum result backup_manifest_write(const struct backup_manifest *manifest, const char *directory, struct note *note)
{
	BUF_CLEANUP struct buf text = {.size_max = MANIFEST_SIZE_MAX};
	struct json_writer writer;
	char path[PATH_SIZE];
	json_writer_init(&writer, &text);
	json_object_begin(&writer);
	json_member_number(&writer, "format", FORMAT);
	json_member_text(&writer, "vinveil", VINVEIL_VERSION);
	json_member_time(&writer, "createdAt", manifest->created_at_ms);
	json_member_number(&writer, "logSize", (int64_t)manifest->log_size);
	json_member_number(&writer, "replayFrom", (int64_t)manifest->replay_from);
	write_files(&writer, manifest);
	json_object_end(&writer);
	TRY(json_writer_end(&writer));
	TRY(buf_append_byte(&text, '\n'));
	TRY(path_join(directory, BACKUP_MANIFEST_FILE, path));
	return file_create(path, buf_span(&text), 0600, note);
}

/* ---- reading ---------------------------------------------------------------------------------------- */

/* Nothing that a manifest names may lie outside the backup. */
static bool is_inside(const char *name)
{
	return name[0] != '/' && name[0] != '\0' && strstr(name, "..") == NULL && strlen(name) < BACKUP_NAME_SIZE;
}

static enum result check_file(const char *directory, const json_t *entry, struct backup_manifest *manifest,
			      struct note *note)
{
	const char *name = json_string_value(json_object_get(entry, "name"));
	const char *digest = json_string_value(json_object_get(entry, "sha256"));
	json_int_t size = json_integer_value(json_object_get(entry, "size"));
	struct backup_file file = {0};
	if (name == NULL || digest == NULL || !is_inside(name)) {
		note_set(note, "%s names a file that cannot be", BACKUP_MANIFEST_FILE);
		return RESULT_INVALID;
	}
	TRY(describe(directory, name, &file, note));
	if ((json_int_t)file.size != size || strcmp(file.sha256, digest) != 0) {
		note_set(note, "%s of the backup is not as it was when the backup was made", name);
		return RESULT_CORRUPT;
	}
	return append_file(manifest, &file);
}

static enum result read_number(const json_t *json, const char *name, uint64_t *ret_number, struct note *note)
{
	const json_t *number = json_object_get(json, name);
	if (!json_is_integer(number) || json_integer_value(number) < 0) {
		note_set(note, "%s: %s is missing", BACKUP_MANIFEST_FILE, name);
		return RESULT_INVALID;
	}
	*ret_number = (uint64_t)json_integer_value(number);
	return RESULT_OK;
}

static enum result read_members(const char *directory, const json_t *json, struct backup_manifest *manifest,
				struct note *note)
{
	uint64_t format;
	struct span created;
	json_t *entry;
	size_t i;
	TRY(read_number(json, "format", &format, note));
	if (format != FORMAT) {
		note_set(note, "the backup was made by a newer vinveil");
		return RESULT_INVALID;
	}
	TRY(read_number(json, "logSize", &manifest->log_size, note));
	TRY(read_number(json, "replayFrom", &manifest->replay_from, note));
	TRY(json_get_text(json, "createdAt", 64, &created));
	TRY(rfc3339_parse(created, &manifest->created_at_ms));
	json_array_foreach(json_object_get(json, "files"), i, entry) TRY(check_file(directory, entry, manifest, note));
	return RESULT_OK;
}

enum result backup_manifest_read(const char *directory, struct backup_manifest *ret_manifest, struct note *note)
{
	BUF_CLEANUP struct buf text = {.size_max = MANIFEST_SIZE_MAX};
	JSON_CLEANUP json_t *json = NULL;
	struct backup_manifest manifest = {0};
	char path[PATH_SIZE];
	TRY(path_join(directory, BACKUP_MANIFEST_FILE, path));
	TRY(file_read(path, &text, note));
	TRY(json_read(buf_span(&text), &json, note));
	enum result result = read_members(directory, json, &manifest, note);
	if (result == RESULT_OK)
		*ret_manifest = manifest;
	else
		backup_manifest_release(&manifest);
	return result;
}
