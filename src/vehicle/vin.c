#include "vehicle/vin.h"

#include "base/text.h"

static bool is_white(uint8_t byte)
{
	return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

static uint8_t upper(uint8_t byte)
{
	return byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 'a' + 'A') : byte;
}

static bool is_letter(uint8_t byte)
{
	return upper(byte) >= 'A' && upper(byte) <= 'Z';
}

static bool is_hex_digit(uint8_t byte)
{
	return is_digit(byte) || (upper(byte) >= 'A' && upper(byte) <= 'F');
}

/* ISO 3779: no I, O, Q, which look like 1 and 0. */
static bool is_vin_character(uint8_t byte)
{
	uint8_t letter = upper(byte);

	return is_digit(byte) || (is_letter(byte) && letter != 'I' && letter != 'O' && letter != 'Q');
}

static struct span trim(struct span text)
{
	while (text.size > 0 && is_white(text.data[0]))
		text = span_of(text.data + 1, text.size - 1);
	while (text.size > 0 && is_white(text.data[text.size - 1]))
		text.size--;
	return text;
}

static bool is_one_character(struct span text)
{
	for (size_t i = 1; i < text.size; i++)
		if (upper(text.data[i]) != upper(text.data[0]))
			return false;
	return true;
}

enum result vin_parse(struct span text, struct vin *ret_vin)
{
	struct span vin = trim(text);

	if (vin.size != VIN_LENGTH || is_one_character(vin))
		return RESULT_INVALID;
	for (size_t i = 0; i < VIN_LENGTH; i++)
		if (!is_vin_character(vin.data[i]))
			return RESULT_INVALID;
	for (size_t i = 0; i < VIN_LENGTH; i++)
		ret_vin->text[i] = (char)upper(vin.data[i]);
	ret_vin->text[VIN_LENGTH] = '\0';
	return RESULT_OK;
}

/* 49 CFR 565.15 table III: a character's value. */
static unsigned check_value(char character)
{
	static const uint8_t letters[26] = {
		['A' - 'A'] = 1, ['B' - 'A'] = 2, ['C' - 'A'] = 3, ['D' - 'A'] = 4, ['E' - 'A'] = 5, ['F' - 'A'] = 6,
		['G' - 'A'] = 7, ['H' - 'A'] = 8, ['J' - 'A'] = 1, ['K' - 'A'] = 2, ['L' - 'A'] = 3, ['M' - 'A'] = 4,
		['N' - 'A'] = 5, ['P' - 'A'] = 7, ['R' - 'A'] = 9, ['S' - 'A'] = 2, ['T' - 'A'] = 3, ['U' - 'A'] = 4,
		['V' - 'A'] = 5, ['W' - 'A'] = 6, ['X' - 'A'] = 7, ['Y' - 'A'] = 8, ['Z' - 'A'] = 9,
	};

	if (character >= '0' && character <= '9')
		return (unsigned)(character - '0');
	return letters[character - 'A'];
}

bool vin_has_check_digit(const struct vin *vin)
{
	/* Table IV: a position's weight; the check digit's own is none. */
	static const uint8_t weights[VIN_LENGTH] = {8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2};
	unsigned sum = 0;

	for (size_t i = 0; i < VIN_LENGTH; i++)
		sum += weights[i] * check_value(vin->text[i]);
	return vin->text[8] == "0123456789X"[sum % 11];
}

enum result vin_hash(const struct vin *vin, struct hashed_vin *ret_hash)
{
	return sha256(span_of(vin->text, VIN_LENGTH), ret_hash->bytes);
}

enum result hashed_vin_parse(struct span text, struct hashed_vin *ret_hash)
{
	return hex_parse(text, true, ret_hash->bytes, sizeof(ret_hash->bytes));
}

/* `token` holds letters and digits only. */
static bool is_vin_shaped(struct span token)
{
	bool letter = false, digit = false;

	if (token.size != VIN_LENGTH)
		return false;
	for (size_t i = 0; i < token.size; i++) {
		if (!is_vin_character(token.data[i]))
			return false;
		letter |= is_letter(token.data[i]);
		digit |= is_digit(token.data[i]);
	}
	return letter && digit;
}

static bool is_hash_shaped(struct span token)
{
	if (token.size != 2 * SHA256_SIZE)
		return false;
	for (size_t i = 0; i < token.size; i++)
		if (!is_hex_digit(token.data[i]))
			return false;
	return true;
}

bool vin_stands_in(struct span text)
{
	size_t start = 0;

	if (text.size == 0)
		return false;
	for (size_t i = 0; i <= text.size; i++) {
		if (i < text.size && (is_letter(text.data[i]) || is_digit(text.data[i])))
			continue;
		struct span token = span_of(text.data + start, i - start);
		if (is_vin_shaped(token) || is_hash_shaped(token))
			return true;
		start = i + 1;
	}
	return false;
}
