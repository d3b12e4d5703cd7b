#include "crypto/der.h"

#include "base/text.h"

#include <stdio.h>

#define DEPTH_MAX     16
#define PEM_LINE_SIZE 64
#define PEM_MARK_SIZE 64

#define TAG_CONSTRUCTED 0x20
#define TAG_NUMBER_LONG 0x1f

struct der_value {
	bool is_constructed;
	size_t content; /* where it begins */
	size_t end;
};

/* The length at `*at`, which moves behind it; false when it is indefinite or not in its shortest form. */
static bool read_length(struct span bytes, size_t *at, size_t end, size_t *ret_length)
{
	static const size_t least[] = {0, 0x80, 0x100, 0x10000};
	size_t length = bytes.data[(*at)++];
	size_t count;

	if (length >= 0x80) {
		count = length & 0x7f;
		if (count == 0 || count > 3 || end - *at < count)
			return false;
		length = 0;
		for (size_t i = 0; i < count; i++)
			length = length << 8 | bytes.data[(*at)++];
		if (length < least[count])
			return false;
	}
	*ret_length = length;
	return true;
}

static bool read_value(struct span bytes, size_t at, size_t end, struct der_value *ret_value)
{
	size_t length = 0;
	uint8_t tag;

	if (end - at < 2)
		return false;
	tag = bytes.data[at++];
	if ((tag & TAG_NUMBER_LONG) == TAG_NUMBER_LONG || !read_length(bytes, &at, end, &length) || length > end - at)
		return false;
	ret_value->is_constructed = (tag & TAG_CONSTRUCTED) != 0;
	ret_value->content = at;
	ret_value->end = at + length;
	return true;
}

bool der_take(struct span *rest, uint8_t tag, struct span *ret_content, struct span *ret_whole)
{
	struct der_value value = {0};

	if (!read_value(*rest, 0, rest->size, &value) || rest->data[0] != tag)
		return false;
	*ret_content = span_of(rest->data + value.content, value.end - value.content);
	if (ret_whole != NULL)
		*ret_whole = span_of(rest->data, value.end);
	*rest = span_of(rest->data + value.end, rest->size - value.end);
	return true;
}

bool der_is_framed(struct span bytes)
{
	size_t ends[DEPTH_MAX];
	struct der_value value = {0};
	size_t depth = 0;
	size_t at;

	if (!read_value(bytes, 0, bytes.size, &value) || value.end != bytes.size)
		return false;
	for (;;) {
		if (value.is_constructed) {
			if (depth == DEPTH_MAX)
				return false;
			ends[depth++] = value.end;
			at = value.content;
		} else {
			at = value.end;
		}
		while (depth > 0 && at == ends[depth - 1])
			depth--;
		if (depth == 0)
			return true;
		if (!read_value(bytes, at, ends[depth - 1], &value))
			return false;
	}
}

/* Where `mark` begins in text; text.size when it does not. */
static size_t find(struct span text, const char *mark)
{
	const uint8_t *found = memmem(text.data, text.size, mark, strlen(mark));

	return found == NULL ? text.size : (size_t)(found - text.data);
}

static bool is_blank(uint8_t byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static enum result pack(struct span text, struct buf *packed)
{
	size_t size_max = text.size < packed->size_max ? text.size : packed->size_max;
	uint8_t *room;

	TRY(buf_reserve(packed, size_max, &room));
	for (size_t i = 0; i < text.size; i++) {
		if (is_blank(text.data[i]))
			continue;
		if (packed->size == size_max)
			return RESULT_INVALID;
		room[packed->size++] = text.data[i];
	}
	return RESULT_OK;
}

enum result base64_decode_lines(struct span text, size_t size_max, struct buf *ret_bytes)
{
	BUF_CLEANUP struct buf packed = {.size_max = size_max / 3 * 4 + 8};
	uint8_t *room;
	size_t size = 0;

	TRY(pack(text, &packed));
	if (packed.size / 4 * 3 < size_max)
		size_max = packed.size / 4 * 3;
	TRY(buf_reserve(ret_bytes, size_max, &room));
	TRY(base64_parse(buf_span(&packed), room, size_max, &size));
	ret_bytes->size += size;
	return RESULT_OK;
}

static void format_mark(const char *which, const char *label, char ret_mark[static PEM_MARK_SIZE])
{
	snprintf(ret_mark, PEM_MARK_SIZE, "-----%s %s-----", which, label);
}

enum result pem_decode(struct span text, const char *label, size_t size_max, struct buf *ret_der)
{
	char begin[PEM_MARK_SIZE], end[PEM_MARK_SIZE];
	size_t from;
	struct span body;

	format_mark("BEGIN", label, begin);
	format_mark("END", label, end);
	if (text.size == 0)
		return RESULT_ABSENT;
	from = find(text, begin);
	if (from == text.size)
		return RESULT_ABSENT;
	from += strlen(begin);
	body = span_of(text.data + from, text.size - from);
	body.size = find(body, end);
	if (from + body.size == text.size)
		return RESULT_INVALID;
	return base64_decode_lines(body, size_max, ret_der);
}

enum result pem_encode(struct span der, const char *label, struct buf *ret_text)
{
	BUF_CLEANUP struct buf packed = {0};
	char begin[PEM_MARK_SIZE], end[PEM_MARK_SIZE];

	format_mark("BEGIN", label, begin);
	format_mark("END", label, end);
	TRY(base64_append(&packed, der));
	TRY(buf_append_format(ret_text, "%s\n", begin));
	for (size_t at = 0; at < packed.size; at += PEM_LINE_SIZE) {
		size_t rest = packed.size - at;

		TRY(buf_append(ret_text, span_of(packed.data + at, rest < PEM_LINE_SIZE ? rest : PEM_LINE_SIZE)));
		TRY(buf_append_byte(ret_text, '\n'));
	}
	return buf_append_format(ret_text, "%s\n", end);
}
