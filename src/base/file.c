#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE 16384

static void close_descriptor(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
}
#define DESCRIPTOR_CLEANUP __attribute__((cleanup(close_descriptor)))

/* What errno means to the caller, with a note that names the path. Call before anything changes errno. */
static enum result fail(struct note *note, const char *what, const char *path)
{
	int error = errno;
	note_set(note, "cannot %s %s: %s", what, path, strerror(error));
	switch (error) {
	case ENOENT:
		return RESULT_ABSENT;
	case EEXIST:
		return RESULT_CONFLICT;
	case EACCES:
	case EPERM:
	case EROFS:
		return RESULT_DENIED;
	case ENOMEM:
		return RESULT_MEMORY;
	case ENAMETOOLONG:
		return RESULT_EXHAUSTED;
	case ENOTDIR:
	case EISDIR:
	case ELOOP:
		return RESULT_INVALID;
	default:
		return RESULT_UNAVAILABLE;
	}
}

/* ---- reading ------------------------------------------------------------------------------------- */

/* One read; *ret_count is 0 at the end of the file. */
static enum result read_some(int descriptor, const char *path, struct buf *content, size_t *ret_count,
			     struct note *note)
{
	uint8_t probe[1];
	uint8_t *room = probe;
	size_t size_max = content->size_max ? content->size_max : BUF_SIZE_MAX_DEFAULT;
	size_t size = size_max - content->size < READ_SIZE ? size_max - content->size : READ_SIZE;
	/* A full buf still has to tell a file that ends here from one that goes on. */
	bool full = size == 0;
	if (!full)
		TRY(buf_reserve(content, size, &room));
	ssize_t count = 0;
	do
		count = read(descriptor, room, full ? sizeof(probe) : size);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return fail(note, "read", path);
	if (full && count > 0) {
		note_set(note, "%s is larger than %zu bytes", path, size_max);
		return RESULT_EXHAUSTED;
	}
	content->size += (size_t)count;
	*ret_count = (size_t)count;
	return RESULT_OK;
}

enum result file_read(const char *path, struct buf *ret_content, struct note *note)
{
	DESCRIPTOR_CLEANUP int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (descriptor < 0)
		return fail(note, "open", path);
	buf_clear(ret_content);
	size_t count = 0;
	do {
		enum result result = read_some(descriptor, path, ret_content, &count, note);
		if (result != RESULT_OK) {
			buf_clear(ret_content);
			return result;
		}
	} while (count > 0);
	return RESULT_OK;
}

/* ---- writing ------------------------------------------------------------------------------------- */

/* The directory that holds the path's last part. */
static enum result parent_of(const char *path, char parent[static PATH_SIZE])
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;
	if (!slash) {
		memcpy(parent, ".", 2);
		return RESULT_OK;
	}
	if (length == 0)
		length = 1; /* the root itself */
	if (length >= PATH_SIZE)
		return RESULT_EXHAUSTED;
	memcpy(parent, path, length);
	parent[length] = '\0';
	return RESULT_OK;
}

static enum result sync_parent(const char *path, struct note *note)
{
	char parent[PATH_SIZE];
	TRY(parent_of(path, parent));
	return directory_sync(parent, note);
}

static enum result write_all(int descriptor, struct span content, const char *path, struct note *note)
{
	while (content.size > 0) {
		ssize_t count = write(descriptor, content.data, content.size);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return fail(note, "write", path);
		content = span_of(content.data + count, content.size - (size_t)count);
	}
	return RESULT_OK;
}

/* A whole, durable file under a name of its own beside the path; on failure nothing is left of it. */
static enum result write_temporary(const char *path, struct span content, mode_t mode, char temporary[static PATH_SIZE],
				   struct note *note)
{
	int length = snprintf(temporary, PATH_SIZE, "%s.XXXXXX", path);
	if (length < 0 || length >= PATH_SIZE) {
		note_set(note, "path too long: %s", path);
		return RESULT_EXHAUSTED;
	}
	DESCRIPTOR_CLEANUP int descriptor = mkostemp(temporary, O_CLOEXEC);
	if (descriptor < 0)
		return fail(note, "create a file beside", path);
	enum result result = write_all(descriptor, content, path, note);
	if (result == RESULT_OK && fchmod(descriptor, mode) != 0)
		result = fail(note, "set the mode of", path);
	if (result == RESULT_OK && fsync(descriptor) != 0)
		result = fail(note, "sync", path);
	if (result != RESULT_OK)
		unlink(temporary);
	return result;
}

enum result file_replace(const char *path, struct span content, mode_t mode, struct note *note)
{
	char temporary[PATH_SIZE];
	TRY(write_temporary(path, content, mode, temporary, note));
	if (rename(temporary, path) != 0) {
		enum result result = fail(note, "replace", path);
		unlink(temporary);
		return result;
	}
	return sync_parent(path, note);
}

enum result file_create(const char *path, struct span content, mode_t mode, struct note *note)
{
	char temporary[PATH_SIZE];
	TRY(write_temporary(path, content, mode, temporary, note));
	/* link(2) refuses an existing name, which rename(2) would replace. */
	enum result result = RESULT_OK;
	if (link(temporary, path) != 0)
		result = fail(note, "create", path);
	unlink(temporary);
	if (result != RESULT_OK)
		return result;
	return sync_parent(path, note);
}

/* ---- directories --------------------------------------------------------------------------------- */

enum result directory_sync(const char *path, struct note *note)
{
	DESCRIPTOR_CLEANUP int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return fail(note, "open", path);
	if (fsync(descriptor) != 0)
		return fail(note, "sync", path);
	return RESULT_OK;
}

static bool is_directory(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static enum result make_one(const char *path, mode_t mode, struct note *note)
{
	if (is_directory(path))
		return RESULT_OK;
	if (mkdir(path, mode) == 0)
		return sync_parent(path, note);
	if (errno == EEXIST && is_directory(path))
		return RESULT_OK; /* somebody else was faster */
	return fail(note, "make", path);
}

enum result directory_make(const char *path, mode_t mode, struct note *note)
{
	char part[PATH_SIZE];
	size_t length = strlen(path);
	while (length > 1 && path[length - 1] == '/')
		length--;
	if (length == 0 || length >= sizeof(part)) {
		note_set(note, "not a usable path: %s", path);
		return RESULT_INVALID;
	}
	for (size_t i = 1; i < length; i++) {
		if (path[i] != '/' || path[i - 1] == '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		TRY(make_one(part, mode, note));
	}
	memcpy(part, path, length);
	part[length] = '\0';
	return make_one(part, mode, note);
}

/* ---- looking ------------------------------------------------------------------------------------- */

enum result file_check_private(const char *path, struct note *note)
{
	struct stat status;
	if (stat(path, &status) != 0)
		return fail(note, "look at", path);
	if (!S_ISREG(status.st_mode)) {
		note_set(note, "%s is not a regular file", path);
		return RESULT_DENIED;
	}
	/* Root does on behalf of whom it belongs to what that user may not: a daemon's keys go to the safe. */
	if (geteuid() != 0 && status.st_uid != 0 && status.st_uid != geteuid()) {
		note_set(note, "%s belongs to another user: chown it to the user that runs this", path);
		return RESULT_DENIED;
	}
	if (status.st_mode & (S_IRWXG | S_IRWXO)) {
		note_set(note, "%s is open to others (mode %04o): chmod 600 it", path,
			 (unsigned)status.st_mode & 07777);
		return RESULT_DENIED;
	}
	return RESULT_OK;
}

enum result file_check_not_public(const char *path, struct note *note)
{
	struct stat status;
	if (stat(path, &status) != 0)
		return fail(note, "look at", path);
	if (S_ISREG(status.st_mode) && (status.st_mode & S_IRWXO) == 0)
		return RESULT_OK;
	note_set(note,
		 "%s is open to everybody (mode %04o): chmod o= it, and make a new one if others may have read it",
		 path, (unsigned)status.st_mode & 07777);
	return RESULT_DENIED;
}

enum result path_join(const char *directory, const char *name, char ret_path[static PATH_SIZE])
{
	size_t directory_length = strlen(directory);
	while (directory_length > 0 && directory[directory_length - 1] == '/')
		directory_length--;
	while (*name == '/')
		name++;
	size_t name_length = strlen(name);
	bool bare = directory[0] == '\0'; /* not the root: "" and "x" make "x" */
	if (directory_length >= PATH_SIZE || name_length >= PATH_SIZE - 1 - directory_length)
		return RESULT_EXHAUSTED;
	snprintf(ret_path, PATH_SIZE, "%.*s%s%s", (int)directory_length, directory, bare ? "" : "/", name);
	return RESULT_OK;
}

bool path_exists(const char *path)
{
	return access(path, F_OK) == 0;
}
