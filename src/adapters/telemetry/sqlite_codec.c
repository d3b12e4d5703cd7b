#include "adapters/telemetry/sqlite_codec.h"

#include <math.h>

enum tag {
	TAG_FALSE = 0,
	TAG_TRUE = 1,
	TAG_TEXT = 2,
	TAG_ARRAY = 3,
	TAG_DOUBLE = 4,
	TAG_DECIMAL = 8, /* and how many digits stand behind the point */
};

#define DECIMALS_MAX 7
#define EXACT_MAX    9007199254740992.0 /* 2^53 */

static const double powers[DECIMALS_MAX + 1] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7};

uint8_t *put_varint(uint8_t *at, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		*at++ = (uint8_t)(number | 0x80);
	*at++ = (uint8_t)number;
	return at;
}

static uint64_t zigzag(int64_t number)
{
	return (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t number)
{
	return (int64_t)(number >> 1 ^ (number & 1 ? UINT64_MAX : 0));
}

/* What vehicles measure has few digits: 52.5 is 525 and one of them behind the point. */
static bool as_decimal(double number, unsigned *ret_decimals, int64_t *ret_digits)
{
	for (unsigned decimals = 0; decimals <= DECIMALS_MAX; decimals++) {
		double scaled = number * powers[decimals];

		if (!(fabs(scaled) < EXACT_MAX))
			return false;
		int64_t digits = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
		if ((double)digits / powers[decimals] != number)
			continue;
		*ret_decimals = decimals;
		*ret_digits = digits;
		return digits != 0 || !signbit(number); /* -0 is kept as it is */
	}
	return false;
}

static uint8_t *put_number(uint8_t *at, double number)
{
	unsigned decimals;
	int64_t digits;

	if (as_decimal(number, &decimals, &digits)) {
		*at++ = (uint8_t)(TAG_DECIMAL + decimals);
		return put_varint(at, zigzag(digits));
	}
	*at++ = TAG_DOUBLE;
	memcpy(at, &number, sizeof(number));
	return at + sizeof(number);
}

uint8_t *put_value(uint8_t *at, const struct signal_value *value)
{
	switch (value->type) {
	case SIGNAL_NUMBER:
		return put_number(at, value->number);
	case SIGNAL_BOOL:
		*at++ = value->boolean ? TAG_TRUE : TAG_FALSE;
		return at;
	case SIGNAL_TEXT:
	case SIGNAL_ARRAY:
		break;
	}
	*at++ = value->type == SIGNAL_ARRAY ? TAG_ARRAY : TAG_TEXT;
	at = put_varint(at, value->text.size);
	if (value->text.size > 0)
		memcpy(at, value->text.data, value->text.size);
	return at + value->text.size;
}

/* ---- back ------------------------------------------------------------------------------------------------ */

static void skip(struct span *bytes, size_t size)
{
	*bytes = span_of(bytes->data + size, bytes->size - size);
}

enum result take_varint(struct span *bytes, uint64_t *ret_number)
{
	uint64_t number = 0;

	for (size_t i = 0; i < bytes->size && i < VARINT_SIZE_MAX; i++) {
		number |= (uint64_t)(bytes->data[i] & 0x7f) << 7 * i;
		if (bytes->data[i] >= 0x80)
			continue;
		*ret_number = number;
		skip(bytes, i + 1);
		return RESULT_OK;
	}
	return RESULT_CORRUPT;
}

static enum result take_decimal(struct span *bytes, unsigned decimals, double *ret_number)
{
	uint64_t digits = 0;

	TRY(take_varint(bytes, &digits));
	*ret_number = (double)unzigzag(digits) / powers[decimals];
	return RESULT_OK;
}

static enum result take_bytes(struct span *bytes, size_t size, struct span *ret_taken)
{
	if (bytes->size < size)
		return RESULT_CORRUPT;
	*ret_taken = span_of(bytes->data, size);
	skip(bytes, size);
	return RESULT_OK;
}

static enum result take_text(struct span *bytes, struct span *ret_text)
{
	uint64_t size = 0;

	TRY(take_varint(bytes, &size));
	return size > SIGNAL_TEXT_SIZE_MAX ? RESULT_CORRUPT : take_bytes(bytes, size, ret_text);
}

enum result take_value(struct span *bytes, struct signal_value *ret_value)
{
	struct signal_value value = {.type = SIGNAL_BOOL};
	struct span raw = {0};
	uint8_t tag;

	TRY(take_bytes(bytes, 1, &raw));
	tag = raw.data[0];
	if (tag == TAG_FALSE || tag == TAG_TRUE) {
		value.boolean = tag == TAG_TRUE;
	} else if (tag == TAG_TEXT || tag == TAG_ARRAY) {
		value.type = tag == TAG_TEXT ? SIGNAL_TEXT : SIGNAL_ARRAY;
		TRY(take_text(bytes, &value.text));
	} else if (tag == TAG_DOUBLE) {
		value.type = SIGNAL_NUMBER;
		TRY(take_bytes(bytes, sizeof(value.number), &raw));
		memcpy(&value.number, raw.data, sizeof(value.number));
		if (!isfinite(value.number))
			return RESULT_CORRUPT;
	} else if (tag >= TAG_DECIMAL && tag <= TAG_DECIMAL + DECIMALS_MAX) {
		value.type = SIGNAL_NUMBER;
		TRY(take_decimal(bytes, (unsigned)(tag - TAG_DECIMAL), &value.number));
	} else {
		return RESULT_CORRUPT;
	}
	*ret_value = value;
	return RESULT_OK;
}

enum result take_encoded_value(struct span *bytes, struct span *ret_encoded)
{
	const uint8_t *start = bytes->data;
	struct signal_value ignored;

	TRY(take_value(bytes, &ignored));
	*ret_encoded = span_of(start, (size_t)(bytes->data - start));
	return RESULT_OK;
}
