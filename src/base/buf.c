#include "base/buf.h"

#include "base/secret.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_MIN 64

static size_t bound_of(const struct buf *buf)
{
	size_t bound = buf->size_max ? buf->size_max : BUF_SIZE_MAX_DEFAULT;
	return bound < SIZE_MAX / 4 ? bound : SIZE_MAX / 4;
}

/*
 * Doubles, but never beyond the bound. Not realloc(): that may leave the old bytes behind. The new memory
 * is zeroed, and every byte behind `size` stays zero, which is what keeps the promised NUL.
 */
static enum result grow(struct buf *buf, size_t needed)
{
	size_t capacity = buf->capacity ? buf->capacity : CAPACITY_MIN;
	while (capacity < needed)
		capacity *= 2;
	size_t capacity_max = bound_of(buf) + 1;
	if (capacity > capacity_max)
		capacity = capacity_max;
	uint8_t *data = calloc(1, capacity);
	if (!data)
		return RESULT_MEMORY;
	if (buf->size > 0)
		memcpy(data, buf->data, buf->size);
	if (buf->data) {
		secret_wipe(buf->data, buf->capacity);
		free(buf->data);
	}
	buf->data = data;
	buf->capacity = capacity;
	return RESULT_OK;
}

enum result buf_reserve(struct buf *buf, size_t more, uint8_t **ret_room)
{
	size_t bound = bound_of(buf);
	if (buf->size > bound || more > bound - buf->size)
		return RESULT_EXHAUSTED;
	size_t needed = buf->size + more + 1;
	if (needed > buf->capacity)
		TRY(grow(buf, needed));
	*ret_room = buf->data + buf->size;
	return RESULT_OK;
}

enum result buf_append(struct buf *buf, struct span bytes)
{
	uint8_t *room = NULL;
	TRY(buf_reserve(buf, bytes.size, &room));
	if (bytes.size > 0)
		memcpy(room, bytes.data, bytes.size);
	buf->size += bytes.size;
	return RESULT_OK;
}

enum result buf_append_text(struct buf *buf, const char *text)
{
	return buf_append(buf, span_of_text(text));
}

enum result buf_append_byte(struct buf *buf, uint8_t byte)
{
	uint8_t *room = NULL;
	TRY(buf_reserve(buf, 1, &room));
	*room = byte;
	buf->size++;
	return RESULT_OK;
}

enum result buf_append_format(struct buf *buf, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (length < 0)
		return RESULT_INVALID;
	uint8_t *room = NULL;
	TRY(buf_reserve(buf, (size_t)length, &room));
	va_start(arguments, format);
	vsnprintf((char *)room, (size_t)length + 1, format, arguments);
	va_end(arguments);
	buf->size += (size_t)length;
	return RESULT_OK;
}

void buf_consume(struct buf *buf, size_t count)
{
	if (count >= buf->size) {
		buf_clear(buf);
		return;
	}
	size_t rest = buf->size - count;
	memmove(buf->data, buf->data + count, rest);
	secret_wipe(buf->data + rest, count);
	buf->size = rest;
}

void buf_clear(struct buf *buf)
{
	if (buf->data)
		secret_wipe(buf->data, buf->size);
	buf->size = 0;
}

void buf_release(struct buf *buf)
{
	if (buf->data) {
		secret_wipe(buf->data, buf->capacity);
		free(buf->data);
	}
	buf->data = NULL;
	buf->size = 0;
	buf->capacity = 0;
}
