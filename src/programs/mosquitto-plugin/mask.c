#include "programs/mosquitto-plugin/mask.h"

#include "base/secret.h"

#define VIN_LENGTH  17
#define HASH_DIGITS 64

/* Of each byte. A VIN has no I, O or Q; it may be written in either case. */
enum { IN_TOKEN = 1, IN_VIN = 2, LETTER = 4, DIGIT = 8, HEX = 16 };

#define VIN_LETTER (IN_TOKEN | IN_VIN | LETTER)
#define VIN_HEX	   (IN_TOKEN | IN_VIN | LETTER | HEX)
#define ANY_DIGIT  (IN_TOKEN | IN_VIN | DIGIT | HEX)
#define NO_VIN	   (IN_TOKEN | LETTER)

static const uint8_t classes[256] = {
	['0'] = ANY_DIGIT,  ['1'] = ANY_DIGIT,	['2'] = ANY_DIGIT,  ['3'] = ANY_DIGIT,	['4'] = ANY_DIGIT,
	['5'] = ANY_DIGIT,  ['6'] = ANY_DIGIT,	['7'] = ANY_DIGIT,  ['8'] = ANY_DIGIT,	['9'] = ANY_DIGIT,
	['A'] = VIN_HEX,    ['B'] = VIN_HEX,	['C'] = VIN_HEX,    ['D'] = VIN_HEX,	['E'] = VIN_HEX,
	['F'] = VIN_HEX,    ['G'] = VIN_LETTER, ['H'] = VIN_LETTER, ['I'] = NO_VIN,	['J'] = VIN_LETTER,
	['K'] = VIN_LETTER, ['L'] = VIN_LETTER, ['M'] = VIN_LETTER, ['N'] = VIN_LETTER, ['O'] = NO_VIN,
	['P'] = VIN_LETTER, ['Q'] = NO_VIN,	['R'] = VIN_LETTER, ['S'] = VIN_LETTER, ['T'] = VIN_LETTER,
	['U'] = VIN_LETTER, ['V'] = VIN_LETTER, ['W'] = VIN_LETTER, ['X'] = VIN_LETTER, ['Y'] = VIN_LETTER,
	['Z'] = VIN_LETTER, ['a'] = VIN_HEX,	['b'] = VIN_HEX,    ['c'] = VIN_HEX,	['d'] = VIN_HEX,
	['e'] = VIN_HEX,    ['f'] = VIN_HEX,	['g'] = VIN_LETTER, ['h'] = VIN_LETTER, ['i'] = NO_VIN,
	['j'] = VIN_LETTER, ['k'] = VIN_LETTER, ['l'] = VIN_LETTER, ['m'] = VIN_LETTER, ['n'] = VIN_LETTER,
	['o'] = NO_VIN,	    ['p'] = VIN_LETTER, ['q'] = NO_VIN,	    ['r'] = VIN_LETTER, ['s'] = VIN_LETTER,
	['t'] = VIN_LETTER, ['u'] = VIN_LETTER, ['v'] = VIN_LETTER, ['w'] = VIN_LETTER, ['x'] = VIN_LETTER,
	['y'] = VIN_LETTER, ['z'] = VIN_LETTER,
};

static bool is_in_token(uint8_t byte)
{
	return classes[byte] != 0;
}

/* All seventeen of a VIN's alphabet, with a letter and a digit: a number is none. */
static bool is_vin(const uint8_t *bytes)
{
	uint8_t all = IN_VIN;
	uint8_t any = 0;
	for (size_t i = 0; i < VIN_LENGTH; i++) {
		all &= classes[bytes[i]];
		any |= classes[bytes[i]];
	}
	return (all & IN_VIN) && (any & LETTER) && (any & DIGIT);
}

static bool has_hash(const uint8_t *token, size_t length)
{
	size_t digits = 0;
	for (size_t i = 0; i < length && digits < HASH_DIGITS; i++)
		digits = classes[token[i]] & HEX ? digits + 1 : 0;
	return digits >= HASH_DIGITS;
}

/* How much of a token is no part of it: behind a backslash JSON's \n is a line's end, and \u0020 a space. */
static size_t escape_length(const uint8_t *bytes, size_t begin, size_t end)
{
	if (begin == 0 || bytes[begin - 1] != '\\')
		return 0;
	size_t length = bytes[begin] == 'u' ? 5 : 1;
	return length < end - begin ? length : end - begin;
}

/* What of the token is to be overwritten begins at *ret_from: an escape in front of it must stay, or JSON ends there.
 */
static bool is_secret(const uint8_t *bytes, size_t begin, size_t end, size_t *ret_from)
{
	size_t escape = escape_length(bytes, begin, end);
	*ret_from = begin;
	if (end - begin == VIN_LENGTH && is_vin(bytes + begin))
		return true;
	*ret_from = begin + escape;
	if (end - *ret_from == VIN_LENGTH && is_vin(bytes + *ret_from))
		return true;
	return end - *ret_from >= HASH_DIGITS && has_hash(bytes + *ret_from, end - *ret_from);
}

/*
 * A window of 17 bytes moves on to behind the last one in it that is in no token: no token that is long enough reaches
 * over that. Where there is none, a token begins with the window.
 */
static size_t scan(const uint8_t *bytes, size_t size, uint8_t *ret_masked)
{
	size_t found = 0;
	size_t begin = 0;
	while (begin + VIN_LENGTH <= size) {
		size_t end = begin + VIN_LENGTH;
		size_t secret = 0;
		while (end > begin && is_in_token(bytes[end - 1]))
			end--;
		if (end > begin) {
			begin = end;
			continue;
		}
		end = begin + VIN_LENGTH;
		while (end < size && is_in_token(bytes[end]))
			end++;
		if (is_secret(bytes, begin, end, &secret)) {
			found++;
			if (ret_masked)
				memset(ret_masked + secret, 'X', end - secret);
		}
		begin = end;
	}
	return found;
}

/* ---- letters written as \uXXXX ------------------------------------------------------------------------------- */

#define ESCAPE_LENGTH 6

static int hex_value(uint8_t digit)
{
	if (!(classes[digit] & HEX))
		return -1;
	return digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
}

/* How many bytes the next character of a JSON text has, and which it is; 0 stands for what is in no token. */
static size_t read_character(const uint8_t *bytes, size_t size, size_t at, uint8_t *ret_character)
{
	*ret_character = bytes[at];
	if (bytes[at] != '\\' || size - at < 2)
		return 1;
	*ret_character = 0;
	if (bytes[at + 1] != 'u' || size - at < ESCAPE_LENGTH)
		return 2;
	int high = hex_value(bytes[at + 4]);
	int low = hex_value(bytes[at + 5]);
	if (bytes[at + 2] == '0' && bytes[at + 3] == '0' && high >= 0 && low >= 0)
		*ret_character = (uint8_t)(high << 4 | low);
	return ESCAPE_LENGTH;
}

/* The token's characters, its escapes as what they stand for: X is \u0058, so that JSON stays JSON. */
static void overwrite(uint8_t *bytes, size_t begin, size_t end)
{
	uint8_t ignored;
	for (size_t at = begin, length; at < end; at += length) {
		length = read_character(bytes, end, at, &ignored);
		if (length == ESCAPE_LENGTH)
			memcpy(bytes + at, "\\u0058", ESCAPE_LENGTH);
		else
			bytes[at] = 'X';
	}
}

/* Where the token ends that begins here; *ret_is_secret: it is what must not stay. */
static size_t judge_escaped(const uint8_t *bytes, size_t size, size_t begin, bool *ret_is_secret)
{
	uint8_t vin[VIN_LENGTH];
	uint8_t character;
	size_t count = 0;
	size_t digits = 0;
	size_t digits_max = 0;
	size_t at = begin;
	while (at < size) {
		size_t length = read_character(bytes, size, at, &character);
		if (!is_in_token(character))
			break;
		if (count < VIN_LENGTH)
			vin[count] = character;
		count++;
		digits = classes[character] & HEX ? digits + 1 : 0;
		digits_max = digits > digits_max ? digits : digits_max;
		at += length;
	}
	*ret_is_secret = (count == VIN_LENGTH && is_vin(vin)) || digits_max >= HASH_DIGITS;
	secret_wipe(vin, sizeof(vin));
	return at;
}

static size_t mask_escaped(uint8_t *bytes, size_t size)
{
	size_t found = 0;
	for (size_t begin = 0, end; begin < size; begin = end) {
		bool is_secret;
		uint8_t ignored;
		end = judge_escaped(bytes, size, begin, &is_secret);
		if (is_secret) {
			overwrite(bytes, begin, end);
			found++;
		}
		if (end == begin)
			end += read_character(bytes, size, begin, &ignored);
	}
	return found;
}

size_t mask_text(uint8_t *bytes, size_t size)
{
	size_t found = scan(bytes, size, bytes);
	/* Hardly any telemetry has such an escape. */
	if (memmem(bytes, size, "\\u00", 4))
		found += mask_escaped(bytes, size) + scan(bytes, size, bytes);
	return found;
}

size_t mask_binary(uint8_t *bytes, size_t size)
{
	size_t found = 0;
	for (size_t i = 0; i + VIN_LENGTH < size; i++) {
		const uint8_t *length = memchr(bytes + i, VIN_LENGTH, size - VIN_LENGTH - i);
		if (!length)
			break;
		i = (size_t)(length - bytes);
		if (is_vin(bytes + i + 1)) {
			memset(bytes + i + 1, 'X', VIN_LENGTH);
			found++;
		}
	}
	return found + scan(bytes, size, bytes);
}

size_t mask_count(struct span text)
{
	return scan(text.data, text.size, NULL);
}
