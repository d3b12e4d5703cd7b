#include "base/text.h"

#include <arpa/inet.h>

#define DAY_MS	 86400000
#define TIME_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

/* ---- hex ----------------------------------------------------------------------------------------- */

static const char hex_digits[] = "0123456789abcdef";

/* 0x40 marks a digit, 0x20 an upper-case one; the low half is its value. */
static const uint8_t hex_values[256] = {
	['0'] = 0x40, ['1'] = 0x41, ['2'] = 0x42, ['3'] = 0x43, ['4'] = 0x44, ['5'] = 0x45, ['6'] = 0x46, ['7'] = 0x47,
	['8'] = 0x48, ['9'] = 0x49, ['a'] = 0x4a, ['b'] = 0x4b, ['c'] = 0x4c, ['d'] = 0x4d, ['e'] = 0x4e, ['f'] = 0x4f,
	['A'] = 0x6a, ['B'] = 0x6b, ['C'] = 0x6c, ['D'] = 0x6d, ['E'] = 0x6e, ['F'] = 0x6f,
};

void hex_format(struct span bytes, char *ret_text)
{
	for (size_t i = 0; i < bytes.size; i++) {
		ret_text[2 * i] = hex_digits[bytes.data[i] >> 4];
		ret_text[2 * i + 1] = hex_digits[bytes.data[i] & 0x0f];
	}
	ret_text[2 * bytes.size] = '\0';
}

enum result hex_parse(struct span text, bool accept_upper, uint8_t *ret_bytes, size_t size)
{
	if (text.size % 2 != 0 || text.size / 2 != size)
		return RESULT_INVALID;
	/* No branch on what a digit is: this reads hashed VINs and keys. */
	uint8_t all = 0x40;
	uint8_t any = 0;
	for (size_t i = 0; i < text.size; i++) {
		all &= hex_values[text.data[i]];
		any |= hex_values[text.data[i]];
	}
	if (!(all & 0x40) || (any & 0x20 && !accept_upper))
		return RESULT_INVALID;
	for (size_t i = 0; i < size; i++) {
		unsigned high = hex_values[text.data[2 * i]] & 0x0fU;
		unsigned low = hex_values[text.data[2 * i + 1]] & 0x0fU;
		ret_bytes[i] = (uint8_t)(high << 4 | low);
	}
	return RESULT_OK;
}

/* ---- base64 -------------------------------------------------------------------------------------- */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

enum result base64_append(struct buf *buf, struct span bytes)
{
	if (bytes.size > SIZE_MAX / 2)
		return RESULT_EXHAUSTED;
	size_t length = (bytes.size + 2) / 3 * 4;
	uint8_t *room = NULL;
	TRY(buf_reserve(buf, length, &room));
	for (size_t i = 0; i < bytes.size; i += 3) {
		size_t left = bytes.size - i;
		uint32_t three = (uint32_t)bytes.data[i] << 16;
		if (left > 1)
			three |= (uint32_t)bytes.data[i + 1] << 8;
		if (left > 2)
			three |= bytes.data[i + 2];
		*room++ = (uint8_t)base64_digits[three >> 18];
		*room++ = (uint8_t)base64_digits[three >> 12 & 63];
		*room++ = left > 1 ? (uint8_t)base64_digits[three >> 6 & 63] : '=';
		*room++ = left > 2 ? (uint8_t)base64_digits[three & 63] : '=';
	}
	buf->size += length;
	return RESULT_OK;
}

/* Everything but the size: digits where digits belong, and no bits that decoding would drop. */
static bool base64_is_well_formed(struct span text, size_t padding)
{
	size_t digits = text.size - padding;
	for (size_t i = 0; i < digits; i++) {
		if (base64_value(text.data[i]) < 0)
			return false;
	}
	if (padding == 0)
		return true;
	int stray = padding == 1 ? 3 : 15;
	return (base64_value(text.data[digits - 1]) & stray) == 0;
}

enum result base64_parse(struct span text, uint8_t *ret_bytes, size_t size_max, size_t *ret_size)
{
	if (text.size % 4 != 0)
		return RESULT_INVALID;
	size_t padding = 0;
	if (text.size > 0 && text.data[text.size - 1] == '=')
		padding = text.data[text.size - 2] == '=' ? 2 : 1;
	size_t size = text.size / 4 * 3 - padding;
	if (size > size_max || !base64_is_well_formed(text, padding))
		return RESULT_INVALID;
	uint32_t bits = 0;
	size_t written = 0;
	for (size_t i = 0; i < text.size - padding; i++) {
		bits = bits << 6 | (uint32_t)base64_value(text.data[i]);
		/* 6, 12, 18, 24 bits after each of four digits: the last three complete a byte */
		if (i % 4 != 0)
			ret_bytes[written++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	*ret_size = size;
	return RESULT_OK;
}

/* ---- time ---------------------------------------------------------------------------------------- */

static void put_digits(char *place, unsigned value, int count)
{
	for (int i = count - 1; i >= 0; i--) {
		place[i] = (char)('0' + value % 10);
		value /= 10;
	}
}

/*
 * Days since 1970 to a date, and back. Years are counted from 1 March, so that the leap day is the last
 * day of a year and months follow the pattern 31 30 31 30 31 in groups of 153 days; 400 years are an era
 * of 146,097 days, and era 0 began 719,468 days before 1970.
 */
static void date_from_days(int64_t days, unsigned *year, unsigned *month, unsigned *day)
{
	unsigned shifted = (unsigned)(days + 719468);
	unsigned era = shifted / 146097;
	unsigned day_of_era = shifted % 146097;
	unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned month_from_march = (5 * day_of_year + 2) / 153;
	*day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
	*month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	*year = year_of_era + era * 400 + (*month <= 2);
}

static int64_t days_from_date(unsigned year, unsigned month, unsigned day)
{
	unsigned shifted = year - (month <= 2);
	unsigned era = shifted / 400;
	unsigned year_of_era = shifted % 400;
	unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	return (int64_t)era * 146097 + day_of_era - 719468;
}

void rfc3339_format(int64_t at_ms, char ret_text[static RFC3339_TEXT_SIZE])
{
	if (at_ms < 0)
		at_ms = 0;
	if (at_ms > TIME_MAX)
		at_ms = TIME_MAX;
	unsigned year, month, day;
	date_from_days(at_ms / DAY_MS, &year, &month, &day);
	unsigned ms = (unsigned)(at_ms % DAY_MS);
	memcpy(ret_text, "0000-00-00T00:00:00.000Z", RFC3339_TEXT_SIZE);
	put_digits(ret_text, year, 4);
	put_digits(ret_text + 5, month, 2);
	put_digits(ret_text + 8, day, 2);
	put_digits(ret_text + 11, ms / 3600000, 2);
	put_digits(ret_text + 14, ms / 60000 % 60, 2);
	put_digits(ret_text + 17, ms / 1000 % 60, 2);
	put_digits(ret_text + 20, ms % 1000, 3);
}

/* Takes text off the front; each tells whether it was there. */
static bool take_digits(struct span *text, size_t count, unsigned max, unsigned *value)
{
	if (text->size < count)
		return false;
	unsigned number = 0;
	for (size_t i = 0; i < count; i++) {
		if (text->data[i] < '0' || text->data[i] > '9')
			return false;
		number = number * 10 + text->data[i] - '0';
	}
	*text = span_of(text->data + count, text->size - count);
	*value = number;
	return number <= max;
}

static bool take_either(struct span *text, uint8_t one, uint8_t other)
{
	if (text->size == 0 || (text->data[0] != one && text->data[0] != other))
		return false;
	*text = span_of(text->data + 1, text->size - 1);
	return true;
}

static bool take_date(struct span *text, int64_t *days)
{
	static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	unsigned year, month, day;
	if (!take_digits(text, 4, 9999, &year) || !take_either(text, '-', '-') || !take_digits(text, 2, 12, &month) ||
	    !take_either(text, '-', '-') || !take_digits(text, 2, 31, &day))
		return false;
	/* One year less than the range: an offset may still lift it into 1970. */
	if (year < 1969 || month == 0 || day == 0)
		return false;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (day > month_days[month - 1] + (month == 2 && leap ? 1U : 0U))
		return false;
	*days = days_from_date(year, month, day);
	return true;
}

/* Up to 9 digits; those beyond milliseconds are cut off. */
static bool take_fraction(struct span *text, unsigned *ms)
{
	unsigned digit, value = 0, count = 0;
	while (text->size > 0 && take_digits(text, 1, 9, &digit)) {
		if (count < 3)
			value = value * 10 + digit;
		count++;
	}
	for (unsigned i = count; i < 3; i++)
		value *= 10;
	*ms = value;
	return count >= 1 && count <= 9;
}

static bool take_time(struct span *text, int64_t *ms)
{
	unsigned hour, minute, second, fraction = 0;
	if (!take_digits(text, 2, 23, &hour) || !take_either(text, ':', ':') || !take_digits(text, 2, 59, &minute) ||
	    !take_either(text, ':', ':') || !take_digits(text, 2, 59, &second))
		return false;
	if (take_either(text, '.', '.') && !take_fraction(text, &fraction))
		return false;
	*ms = ((int64_t)hour * 3600 + minute * 60 + second) * 1000 + fraction;
	return true;
}

static bool take_offset(struct span *text, int64_t *ms)
{
	*ms = 0;
	if (take_either(text, 'Z', 'z'))
		return true;
	int sign = text->size > 0 && text->data[0] == '-' ? -1 : 1;
	unsigned hours, minutes;
	if (!take_either(text, '+', '-') || !take_digits(text, 2, 23, &hours) || !take_either(text, ':', ':') ||
	    !take_digits(text, 2, 59, &minutes))
		return false;
	*ms = sign * ((int64_t)hours * 3600000 + minutes * 60000);
	return true;
}

enum result rfc3339_parse(struct span text, int64_t *ret_at_ms)
{
	int64_t days, time_ms, offset_ms;
	if (!take_date(&text, &days) || !take_either(&text, 'T', 't') || !take_time(&text, &time_ms) ||
	    !take_offset(&text, &offset_ms) || text.size > 0)
		return RESULT_INVALID;
	int64_t at_ms = days * DAY_MS + time_ms - offset_ms;
	if (at_ms < 0 || at_ms > TIME_MAX)
		return RESULT_INVALID;
	*ret_at_ms = at_ms;
	return RESULT_OK;
}

/* ---- characters ---------------------------------------------------------------------------------- */

/* Bytes of the sequence at the front, by the table of RFC 3629 section 4; 0 when it is not well-formed. */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
	uint8_t first = at[0];
	if (first < 0x80)
		return first ? 1 : 0;
	size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (first < 0xc2 || first > 0xf4 || left < size)
		return 0;
	/* The second byte shuts out overlong forms, surrogates, and what lies beyond U+10FFFF. */
	uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	return size;
}

/* Nearly all text is ASCII: eight bytes at a time, none of them NUL or above 0x7f. */
static bool are_eight_plain(const uint8_t *at)
{
	uint64_t word;
	memcpy(&word, at, sizeof(word));
	const uint64_t ones = UINT64_C(0x0101010101010101);
	const uint64_t tops = UINT64_C(0x8080808080808080);
	return (word & tops) == 0 && ((word - ones) & tops) == 0;
}

bool utf8_is_valid(struct span text)
{
	for (size_t i = 0; i < text.size;) {
		if (text.size - i >= 8 && are_eight_plain(text.data + i)) {
			i += 8;
			continue;
		}
		size_t size = utf8_sequence(text.data + i, text.size - i);
		if (size == 0)
			return false;
		i += size;
	}
	return true;
}

bool text_is_printable(struct span text, bool spaces_allowed)
{
	uint8_t least = spaces_allowed ? 0x20 : 0x21;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < least || text.data[i] > 0x7e)
			return false;
	}
	return true;
}

bool text_is_address(const char *text)
{
	uint8_t bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

const char *text_plural(uint64_t count, const char *one, const char *many)
{
	return count == 1 ? one : many;
}

enum result text_parse_u64(struct span text, uint64_t max, uint64_t *ret_value)
{
	if (text.size == 0 || text.size > 20 || (text.size > 1 && text.data[0] == '0'))
		return RESULT_INVALID;
	uint64_t value = 0;
	for (size_t i = 0; i < text.size; i++) {
		uint8_t digit = (uint8_t)(text.data[i] - '0');
		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return RESULT_INVALID;
		value = value * 10 + digit;
	}
	if (value > max)
		return RESULT_INVALID;
	*ret_value = value;
	return RESULT_OK;
}

/* ---- withholding --------------------------------------------------------------------------------- */

#define VIN_LENGTH	17
#define HASH_DIGITS	64
#define WITHHELD	"[withheld]"
#define WITHHELD_LENGTH (sizeof(WITHHELD) - 1)

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_hex(char c)
{
	return hex_values[(uint8_t)c] != 0;
}

/* ISO 3779: no I, O or Q; of either case, because whoever leaks one may have typed it */
static bool is_vin_shaped(const char *token, size_t length)
{
	if (length != VIN_LENGTH)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!is_alphanumeric(token[i]) || strchr("IOQioq", token[i]))
			return false;
	}
	return true;
}

static size_t count_while(const char *text, size_t length, bool (*is_one)(char c))
{
	size_t count = 0;
	while (count < length && is_one(text[count]))
		count++;
	return count;
}

/* Returns where the next output goes; output never passes the reading place, as marks only shorten. */
static char *put_kept(char *out, const char *text, size_t length)
{
	memmove(out, text, length);
	return out + length;
}

static bool is_secret(const char *token, size_t length)
{
	if (is_vin_shaped(token, length))
		return true;
	for (size_t i = 0; i < length;) {
		size_t digits = count_while(token + i, length - i, is_hex);
		if (digits >= HASH_DIGITS)
			return true;
		i += digits > 0 ? digits : 1;
	}
	return false;
}

/* Whether a percent escape stands in front of a VIN: its digits then look like the token's beginning. */
static bool is_escaped_vin(const char *text)
{
	if (text[0] != '%' || !is_hex(text[1]) || !is_hex(text[2]))
		return false;
	return is_vin_shaped(text + 3, count_while(text + 3, SIZE_MAX, is_alphanumeric));
}

void text_withhold(char *text)
{
	char *out = text;
	while (*text) {
		size_t length = count_while(text, SIZE_MAX, is_alphanumeric);
		if (length > 0 && is_secret(text, length)) {
			out = put_kept(out, WITHHELD, WITHHELD_LENGTH);
		} else {
			if (length == 0)
				length = is_escaped_vin(text) ? 3 : 1;
			out = put_kept(out, text, length);
		}
		text += length;
	}
	memset(out, 0, (size_t)(text - out));
}
