#include "programs/vinveil/import_rejects.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define HEADER		 "line,reason\n"
#define HEADER_SIZE	 (sizeof HEADER - 1)
#define DUPLICATE_PREFIX "duplicate-"
#define LINE_SIZE_MAX	 512

static enum result failed(const char *path, struct note *note)
{
	note_set(note, "%s: %s", path, strerror(errno));
	return RESULT_UNAVAILABLE;
}

static const char *duplicate_name(enum import_rejection why)
{
	switch (why) {
	case IMPORT_DUPLICATE_REFERENCE_ID:
		return DUPLICATE_PREFIX "reference-id";
	case IMPORT_DUPLICATE_VIN:
		return DUPLICATE_PREFIX "vin";
	case IMPORT_DUPLICATE_DEVICE:
		return DUPLICATE_PREFIX "device";
	}
	return DUPLICATE_PREFIX "unknown";
}

/* ---- going on with a file --------------------------------------------------------------------------- */

/* Does this line of the file stay? Duplicates are told anew at the end, and torn lines are no lines. */
static bool stays(const char *text, uint64_t last_line)
{
	const char *comma = strchr(text, ',');
	uint64_t line;
	size_t length = strlen(text);
	return comma != NULL && length > 0 && text[length - 1] == '\n' &&
	       text_parse_u64(span_of(text, (size_t)(comma - text)), INT64_MAX, &line) == RESULT_OK &&
	       line <= last_line && strncmp(comma + 1, DUPLICATE_PREFIX, strlen(DUPLICATE_PREFIX)) != 0;
}

/* Where what stays ends, and how many lines it is. RESULT_CONFLICT: not a reject file. */
static enum result find_end(FILE *file, uint64_t last_line, off_t *ret_end, uint64_t *ret_count)
{
	char text[LINE_SIZE_MAX];
	off_t end = HEADER_SIZE;
	uint64_t count = 0;
	if (fgets(text, sizeof text, file) == NULL || strcmp(text, HEADER) != 0)
		return RESULT_CONFLICT;
	while (fgets(text, sizeof text, file) != NULL && stays(text, last_line)) {
		end += (off_t)strlen(text);
		count++;
	}
	*ret_end = end;
	*ret_count = count;
	return RESULT_OK;
}

enum result import_rejects_check(const char *path, struct note *note)
{
	off_t end;
	uint64_t count;
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return errno == ENOENT ? RESULT_OK : failed(path, note);
	enum result result = find_end(file, 0, &end, &count);
	fclose(file);
	if (result != RESULT_OK)
		note_set(note, "%.180s is there and is no reject file: move it, or say --rejects FILE", path);
	return result;
}

static enum result go_on(struct import_rejects *rejects, FILE *file, uint64_t last_line, struct note *note)
{
	off_t end;
	TRY(find_end(file, last_line, &end, &rejects->count));
	if (rejects->count == 0)
		return unlink(rejects->path) == 0 ? RESULT_OK : failed(rejects->path, note);
	rejects->descriptor = open(rejects->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (rejects->descriptor < 0 || ftruncate(rejects->descriptor, end) != 0)
		return failed(rejects->path, note);
	return RESULT_OK;
}

enum result import_rejects_open(const char *path, uint64_t last_line, struct import_rejects *ret_rejects,
				struct note *note)
{
	ret_rejects->descriptor = -1;
	if (snprintf(ret_rejects->path, sizeof ret_rejects->path, "%s", path) >= (int)sizeof ret_rejects->path) {
		note_set(note, "the reject file's path is too long");
		return RESULT_INVALID;
	}
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return errno == ENOENT ? RESULT_OK : failed(path, note);
	enum result result = go_on(ret_rejects, file, last_line, note);
	fclose(file);
	return result;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static enum result write_all(struct import_rejects *rejects, struct span bytes, struct note *note)
{
	while (bytes.size > 0) {
		ssize_t written = write(rejects->descriptor, bytes.data, bytes.size);
		if (written < 0)
			return failed(rejects->path, note);
		bytes = span_of(bytes.data + written, bytes.size - (size_t)written);
	}
	return RESULT_OK;
}

static enum result ensure_file(struct import_rejects *rejects, struct note *note)
{
	if (rejects->descriptor >= 0)
		return RESULT_OK;
	rejects->descriptor = open(rejects->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (rejects->descriptor < 0)
		return failed(rejects->path, note);
	return write_all(rejects, span_of(HEADER, HEADER_SIZE), note);
}

enum result import_rejects_add(struct import_rejects *rejects, struct span lines, size_t count, struct note *note)
{
	if (count == 0)
		return RESULT_OK;
	TRY(ensure_file(rejects, note));
	TRY(write_all(rejects, lines, note));
	rejects->count += count;
	return fdatasync(rejects->descriptor) == 0 ? RESULT_OK : failed(rejects->path, note);
}

void import_rejects_add_duplicate(void *context, uint64_t line, enum import_rejection why)
{
	struct import_rejects *rejects = context;
	char text[64];
	if (rejects->result != RESULT_OK)
		return;
	int length = snprintf(text, sizeof text, "%llu,%s\n", (unsigned long long)line, duplicate_name(why));
	rejects->result = ensure_file(rejects, &rejects->note);
	if (rejects->result == RESULT_OK)
		rejects->result = write_all(rejects, span_of(text, (size_t)length), &rejects->note);
	rejects->count++;
}

enum result import_rejects_close(struct import_rejects *rejects, struct note *note)
{
	if (rejects->descriptor >= 0 && fsync(rejects->descriptor) != 0 && rejects->result == RESULT_OK)
		rejects->result = failed(rejects->path, &rejects->note);
	if (rejects->descriptor >= 0)
		close(rejects->descriptor);
	rejects->descriptor = -1;
	note_set(note, "%s", rejects->note.text);
	return rejects->result;
}
