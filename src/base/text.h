/*
 * Small codecs for text: hex, base64 (RFC 4648 sections 4 and 5), RFC 3339 times, UTF-8.
 * No locale, no allocation; all are pure.
 */
#ifndef VINVEIL_BASE_TEXT_H
#define VINVEIL_BASE_TEXT_H

#include "base/buf.h"
#include "base/result.h"
#include "base/span.h"

#include <string.h>

/* Writes 2 * bytes.size lower-case digits and a NUL. */
void hex_format(struct span bytes, char *ret_text);
/* Exactly 2 * size digits; upper case only when accept_upper. RESULT_INVALID otherwise. */
MUST_USE enum result hex_parse(struct span text, bool accept_upper, uint8_t *ret_bytes, size_t size);

/* Standard alphabet with padding. */
MUST_USE enum result base64_append(struct buf *buf, struct span bytes);
/* Strict: padding required, no white space, no stray bits; at most size_max bytes out. */
MUST_USE enum result base64_parse(struct span text, uint8_t *ret_bytes, size_t size_max, size_t *ret_size);

#define RFC3339_TEXT_SIZE 25 /* "2026-01-02T03:04:05.678Z" and a NUL */

/* Times outside 1970 to 9999 are shown as the nearest end of that range. */
void rfc3339_format(int64_t at_ms, char ret_text[static RFC3339_TEXT_SIZE]);
/* Accepts a fraction of up to 9 digits and any offset; years 1970 to 9999 (in UTC). Digits beyond milliseconds are cut
   off. A leap second (:60) is RESULT_INVALID: it has no place in milliseconds since 1970. */
MUST_USE enum result rfc3339_parse(struct span text, int64_t *ret_at_ms);

/* Well-formed UTF-8 (RFC 3629) without NUL. */
bool utf8_is_valid(struct span text);

/* Eight bytes of ASCII that stand in JSON as they are: no control character, quote, backslash or DEL. */
static inline bool text_eight_are_plain(const uint8_t *bytes)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t word;
	memcpy(&word, bytes, sizeof(word));
	uint64_t quote = word ^ ones * '"';
	uint64_t backslash = word ^ ones * '\\';
	/* Taking n from a byte below n sets its highest bit; so does adding 1 to 0x7f. What a byte borrows from the
	   next, or carries over, can at most make a plain one look suspicious. */
	uint64_t found = word | (word - ones * 0x20) | (quote - ones) | (backslash - ones) | (word + ones);
	return (found & ones * 0x80) == 0;
}

/* Printable ASCII 0x21..0x7e, or with spaces 0x20..0x7e. */
bool text_is_printable(struct span text, bool spaces_allowed);

/*
 * Replaces in place what must never be shown, wherever it came from, by "[withheld]": each token (run of
 * letters and digits) that has the shape of a VIN or holds 64 hex digits in a row. A last guard for logs and
 * messages, not a reason to pass such things to them.
 */
void text_withhold(char *text);

/* An IPv4 or IPv6 address in figures, as 127.0.0.1 or ::1. */
bool text_is_address(const char *text);

/* What stands behind a count: `one` behind 1, else `many`. */
const char *text_plural(uint64_t count, const char *one, const char *many);

/* Decimal, no sign, no leading zero but "0" itself, at most max. */
MUST_USE enum result text_parse_u64(struct span text, uint64_t max, uint64_t *ret_value);

#endif
