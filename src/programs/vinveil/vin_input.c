#include "programs/vinveil/vin_input.h"

#include "base/text.h"
#include "crypto/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE_MAX 256

/* The first line of the descriptor; more than LINE_SIZE_MAX bytes are not a VIN. */
static enum result read_line(int descriptor, struct buf *ret_line)
{
	for (;;) {
		uint8_t *room;
		TRY(buf_reserve(ret_line, LINE_SIZE_MAX - ret_line->size, &room));
		ssize_t got = read(descriptor, room, LINE_SIZE_MAX - ret_line->size);
		if (got < 0)
			return RESULT_UNAVAILABLE;
		ret_line->size += (size_t)got;
		const uint8_t *end = memchr(ret_line->data, '\n', ret_line->size);
		if (end != NULL) {
			ret_line->size = (size_t)(end - ret_line->data);
			return RESULT_OK;
		}
		if (got == 0)
			return RESULT_OK;
		if (ret_line->size == LINE_SIZE_MAX)
			return RESULT_INVALID;
	}
}

static int open_input(const struct invocation *invocation, bool is_plain, int *ret_descriptor)
{
	const char *path = option_get(invocation, "vin-file");
	if (path == NULL || strcmp(path, "-") == 0) {
		if (isatty(STDIN_FILENO))
			fputs(is_plain ? "VIN: " : "VIN (or its SHA-256): ", stderr);
		*ret_descriptor = STDIN_FILENO;
		return EXIT_DONE;
	}
	*ret_descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret_descriptor >= 0)
		return EXIT_DONE;
	say_error("%s: %s", path, strerror(errno));
	return EXIT_FAILED;
}

static void trim(struct buf *line)
{
	while (line->size > 0 && (line->data[line->size - 1] == '\r' || line->data[line->size - 1] == ' '))
		line->size--;
}

static int tell_unusable(enum result result, bool is_empty, bool is_plain)
{
	if (result == RESULT_UNAVAILABLE) {
		say_error("the VIN cannot be read: %s", strerror(errno));
		return EXIT_FAILED;
	}
	say_error("%sexpected one line with a VIN (17 characters)%s", is_empty ? "nothing was read: " : "",
		  is_plain ? "" : " or its SHA-256 (64 hex digits)");
	return EXIT_USAGE;
}

static int write_input(const struct invocation *invocation, bool is_plain, struct json_writer *writer)
{
	BUF_CLEANUP struct buf line = {.size_max = LINE_SIZE_MAX + 1};
	int descriptor;
	int code = open_input(invocation, is_plain, &descriptor);
	if (code != EXIT_DONE)
		return code;
	enum result result = read_line(descriptor, &line);
	if (descriptor != STDIN_FILENO)
		close(descriptor);
	trim(&line);
	if (result != RESULT_OK || line.size == 0 || !utf8_is_valid(buf_span(&line)))
		return tell_unusable(result, result == RESULT_OK && line.size == 0, is_plain);
	if (is_plain && line.size == 2 * SHA256_SIZE) {
		say_error("a hash does not do here: the vault has to be given the VIN itself");
		return EXIT_USAGE;
	}
	json_key(writer, line.size == 2 * SHA256_SIZE ? "hashedVin" : "vin");
	json_text(writer, buf_span(&line));
	return EXIT_DONE;
}

int vin_input_write(const struct invocation *invocation, struct json_writer *writer)
{
	return write_input(invocation, false, writer);
}

int vin_input_write_plain(const struct invocation *invocation, struct json_writer *writer)
{
	return write_input(invocation, true, writer);
}

int vehicle_name_write(const struct invocation *invocation, struct json_writer *writer)
{
	const char *reference_id = option_get(invocation, "reference-id");
	if (reference_id == NULL)
		return vin_input_write(invocation, writer);
	if (option_is_set(invocation, "vin-file")) {
		say_error("say --reference-id ID or --vin-file FILE, not both");
		return EXIT_USAGE;
	}
	json_member_text(writer, "referenceId", reference_id);
	return EXIT_DONE;
}
