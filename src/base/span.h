/*
 * A span borrows bytes that somebody else owns; it is passed by value and never freed.
 * {NULL, 0} is the empty span.
 */
#ifndef VINVEIL_BASE_SPAN_H
#define VINVEIL_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *data;
	size_t size;
};

static inline struct span span_of(const void *data, size_t size)
{
	return (struct span){.data = data, .size = size};
}

/* The bytes of a C string without its terminator. */
static inline struct span span_of_text(const char *text)
{
	return span_of(text, strlen(text));
}

/* Plain comparison, for public bytes only; secrets go through secret_equal(). */
static inline bool span_equal(struct span a, struct span b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool span_is_text(struct span a, const char *text)
{
	return span_equal(a, span_of_text(text));
}

#endif
