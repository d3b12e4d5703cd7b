#include "vehicle/telemetry.h"

#include "base/hash.h"
#include "base/text.h"
#include "vehicle/vin.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

#define VIN_SIGNAL	   "Vehicle.VehicleIdentification.VIN"
#define NUMBER_LENGTH_MAX  128
#define PAIRWISE_COUNT_MAX 16 /* up to here comparing each with each finds a repeated name fastest */
#define WITHHELD_TYPE	   0  /* of a sample that is to be dropped */

const char *const telemetry_reasons[] = {
	"payload-malformed",  /* not JSON; neither snappy nor protobuf */
	"payload-unexpected", /* JSON of another shape */
	"payload-too-large",
	"timestamp-invalid", /* not a time, before 2000, or more than a day ahead */
	"name-invalid",
	"name-repeated",
	"value-invalid", /* null, an object, an array in an array */
	"value-not-finite",
	"value-too-long",
	"text-malformed", /* not UTF-8, or with a NUL */
	"too-many-signals",
	"too-many-messages",
	"manifest-id-invalid",
	"signal-malformed",
	"record-unknown", /* of a kind that this program does not know */
	"other",
};
const size_t telemetry_reason_count = sizeof(telemetry_reasons) / sizeof(telemetry_reasons[0]);
_Static_assert(sizeof(telemetry_reasons) / sizeof(telemetry_reasons[0]) <= TELEMETRY_REASONS_MAX, "counters have room");

size_t telemetry_reason_index(const char *reason)
{
	for (size_t i = 0; i < telemetry_reason_count; i++)
		if (strcmp(reason, telemetry_reasons[i]) == 0)
			return i;
	return telemetry_reason_count - 1;
}

struct reading {
	const uint8_t *at, *end;
	struct arena *arena;
	int64_t received_at_ms;
	const char *reason;
	uint64_t withheld;
	struct signal_sample *samples; /* of the message that is read */
	size_t count, capacity;
	size_t count_total; /* of the payload so far */
	struct telemetry_message *messages;
	size_t message_count, message_capacity;
};

static enum result refuse(struct reading *reading, const char *reason)
{
	reading->reason = reason;
	return RESULT_INVALID;
}

static enum result refuse_json(struct reading *reading)
{
	return refuse(reading, "payload-malformed");
}

/* ---- tokens ------------------------------------------------------------------------------------------- */

/* The next byte that is not white space; 0 at the end. */
static inline uint8_t peek(struct reading *reading)
{
	while (reading->at < reading->end &&
	       (*reading->at == ' ' || *reading->at == '\n' || *reading->at == '\t' || *reading->at == '\r'))
		reading->at++;
	return reading->at < reading->end ? *reading->at : 0;
}

static inline enum result expect(struct reading *reading, uint8_t byte)
{
	if (peek(reading) != byte)
		return refuse_json(reading);
	reading->at++;
	return RESULT_OK;
}

/* Behind a member or element: RESULT_OK with *ret_more, or the closing bracket was taken. */
static enum result next_or_close(struct reading *reading, uint8_t closing, bool *ret_more)
{
	uint8_t byte = peek(reading);

	if (byte != ',' && byte != closing)
		return refuse_json(reading);
	reading->at++;
	*ret_more = byte == ',';
	return RESULT_OK;
}

static enum result read_word(struct reading *reading, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(reading->end - reading->at) < length || memcmp(reading->at, word, length) != 0)
		return refuse_json(reading);
	reading->at += length;
	return RESULT_OK;
}

/* ---- strings ------------------------------------------------------------------------------------------ */

static int hex_value(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f')
		return (byte | 0x20) - 'a' + 10;
	return -1;
}

/* Four digits; -1. */
static int32_t read_unit(const uint8_t *at, const uint8_t *end)
{
	int32_t unit = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int value = hex_value(at[i]);

		if (value < 0)
			return -1;
		unit = unit << 4 | value;
	}
	return unit;
}

static size_t put_utf8(uint32_t character, uint8_t *out)
{
	if (character < 0x80) {
		out[0] = (uint8_t)character;
		return 1;
	}
	size_t more = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
	static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};
	out[0] = (uint8_t)(leads[more] | character >> 6 * more);
	for (size_t i = 1; i <= more; i++)
		out[i] = (uint8_t)(0x80 | (character >> 6 * (more - i) & 0x3f));
	return more + 1;
}

/* Behind "\u": one character, of one or two units. False: a half of a pair, NUL, or no digits. */
static bool read_escaped_unicode(const uint8_t **at, const uint8_t *end, uint32_t *ret_character)
{
	int32_t unit = read_unit(*at, end);

	if (unit <= 0 || (unit >= 0xdc00 && unit <= 0xdfff))
		return false;
	*at += 4;
	*ret_character = (uint32_t)unit;
	if (unit < 0xd800 || unit > 0xdbff)
		return true;
	if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return false;
	int32_t low = read_unit(*at + 2, end);
	if (low < 0xdc00 || low > 0xdfff)
		return false;
	*at += 6;
	*ret_character = 0x10000 + (((uint32_t)unit - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
	return true;
}

static enum result unescape(struct reading *reading, struct span raw, struct span *ret_text)
{
	static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	uint8_t *text = arena_alloc(reading->arena, raw.size); /* what is escaped is never shorter than what it means */
	const uint8_t *at = raw.data, *end = raw.data + raw.size;
	size_t size = 0;

	if (text == NULL)
		return RESULT_MEMORY;
	while (at < end) {
		uint8_t byte = *at++;

		if (byte != '\\') {
			text[size++] = byte;
			continue;
		}
		if (at < end && *at == 'u') {
			uint32_t character;

			at++;
			if (!read_escaped_unicode(&at, end, &character))
				return refuse(reading, "text-malformed");
			size += put_utf8(character, text + size);
			continue;
		}
		const char *letter = at < end && *at != 0 ? strchr(letters, *at) : NULL;
		if (letter == NULL)
			return refuse_json(reading);
		text[size++] = (uint8_t)meanings[letter - letters];
		at++;
	}
	*ret_text = span_of(text, size);
	return RESULT_OK;
}

/* Finds the closing quote. */
static enum result scan_string(struct reading *reading, struct span *ret_raw, bool *ret_is_escaped, bool *ret_is_ascii)
{
	const uint8_t *at = reading->at, *start = at;
	bool is_escaped = false, is_ascii = true;

	for (;;) {
		while (reading->end - at >= 8 && text_eight_are_plain(at))
			at += 8;
		if (at >= reading->end)
			return refuse_json(reading);
		if (*at == '"')
			break;
		if (*at < 0x20)
			return refuse_json(reading);
		if (*at >= 0x80)
			is_ascii = false;
		if (*at == '\\') {
			is_escaped = true;
			at++;
		}
		at++;
	}
	*ret_raw = span_of(start, (size_t)(at - start));
	*ret_is_escaped = is_escaped;
	*ret_is_ascii = is_ascii;
	reading->at = at + 1;
	return RESULT_OK;
}

static enum result read_string(struct reading *reading, struct span *ret_text)
{
	struct span raw = {0};
	bool is_escaped = false, is_ascii = true;

	TRY(expect(reading, '"'));
	TRY(scan_string(reading, &raw, &is_escaped, &is_ascii));
	if (!is_ascii && !utf8_is_valid(raw))
		return refuse(reading, "text-malformed");
	if (is_escaped)
		return unescape(reading, raw, ret_text);
	*ret_text = raw;
	return RESULT_OK;
}

/* ---- numbers ------------------------------------------------------------------------------------------ */

static bool is_digit(const struct reading *reading, const uint8_t *at)
{
	return at < reading->end && *at >= '0' && *at <= '9';
}

static const uint8_t *skip_digits(const struct reading *reading, const uint8_t *at)
{
	while (is_digit(reading, at))
		at++;
	return at;
}

/* RFC 8259 section 6. */
static enum result scan_number(struct reading *reading, const uint8_t **ret_end)
{
	const uint8_t *at = reading->at;

	if (at < reading->end && *at == '-')
		at++;
	if (!is_digit(reading, at))
		return refuse_json(reading);
	at = *at == '0' ? at + 1 : skip_digits(reading, at);
	if (at < reading->end && *at == '.') {
		if (!is_digit(reading, ++at))
			return refuse_json(reading);
		at = skip_digits(reading, at);
	}
	if (at < reading->end && (*at | 0x20) == 'e') {
		at++;
		if (at < reading->end && (*at == '+' || *at == '-'))
			at++;
		if (!is_digit(reading, at))
			return refuse_json(reading);
		at = skip_digits(reading, at);
	}
	*ret_end = at;
	return RESULT_OK;
}

/* At most 15 digits with at most 22 behind the point: both sides are exact doubles, so the quotient is the nearest one.
   False: not such a number. */
static bool read_short_number(const uint8_t *at, const uint8_t *end, double *ret_number)
{
	static const double powers[] = {1e0, 1e1, 1e2,	1e3,  1e4,  1e5,  1e6,	1e7,
					1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
	bool is_negative = *at == '-';
	uint64_t digits = 0;
	const uint8_t *point = NULL;

	at += is_negative;
	if (end - at > 16)
		return false;
	for (const uint8_t *start = at; at < end; at++) {
		if (*at == '.')
			point = at;
		else if (*at > '9')
			return false; /* an exponent */
		else
			digits = digits * 10 + (uint64_t)(*at - '0');
		if (point == NULL && at - start >= 15)
			return false;
	}
	double number = (double)digits / powers[point != NULL ? end - point - 1 : 0];
	*ret_number = is_negative ? -number : number;
	return true;
}

static enum result read_number(struct reading *reading, double *ret_number)
{
	const uint8_t *start = reading->at, *end = NULL;
	char text[NUMBER_LENGTH_MAX + 1];

	TRY(scan_number(reading, &end));
	reading->at = end;
	if (read_short_number(start, end, ret_number))
		return RESULT_OK;
	size_t length = (size_t)(end - start);
	if (length > NUMBER_LENGTH_MAX)
		return refuse(reading, "value-too-long");
	memcpy(text, start, length);
	text[length] = '\0';
	double number = strtod(text, NULL); /* the locale is C: no program of ours sets another */
	if (!isfinite(number))
		return refuse(reading, "value-not-finite");
	*ret_number = number;
	return RESULT_OK;
}

/* ---- values ------------------------------------------------------------------------------------------- */

static enum result read_bool(struct reading *reading, bool *ret_value)
{
	bool value = *reading->at == 't';

	TRY(read_word(reading, value ? "true" : "false"));
	*ret_value = value;
	return RESULT_OK;
}

/* NaN and Infinity as some libraries write them are not JSON, but deserve their own reason. */
static enum result refuse_value(struct reading *reading, uint8_t first)
{
	if (first == 'N' || first == 'I')
		return refuse(reading, "value-not-finite");
	return refuse(reading, first == 'n' || first == '{' || first == '[' ? "value-invalid" : "payload-malformed");
}

static enum result read_element(struct reading *reading, bool *is_withheld)
{
	struct span text = {0};
	double number;
	bool boolean;
	uint8_t first = peek(reading);

	if (first == '"') {
		TRY(read_string(reading, &text));
		*is_withheld |= text.size >= VIN_LENGTH && vin_stands_in(text);
		return RESULT_OK;
	}
	if (first == '-' || (first >= '0' && first <= '9'))
		return read_number(reading, &number);
	if (first == 't' || first == 'f')
		return read_bool(reading, &boolean);
	return refuse_value(reading, first);
}

/* The array's text without the white space between its tokens. */
static enum result compact(struct reading *reading, struct span raw, struct span *ret_text)
{
	uint8_t *text = arena_alloc(reading->arena, raw.size);
	size_t size = 0;
	bool in_string = false;

	if (text == NULL)
		return RESULT_MEMORY;
	for (size_t i = 0; i < raw.size; i++) {
		uint8_t byte = raw.data[i];

		if (!in_string && (byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r'))
			continue;
		text[size++] = byte;
		if (byte == '"')
			in_string = !in_string;
		else if (byte == '\\')
			text[size++] = raw.data[++i];
	}
	*ret_text = span_of(text, size);
	return RESULT_OK;
}

static enum result read_array(struct reading *reading, struct signal_value *ret_value)
{
	const uint8_t *start = reading->at++;
	bool is_withheld = false, more = peek(reading) != ']';

	if (!more)
		reading->at++;
	while (more) {
		TRY(read_element(reading, &is_withheld));
		TRY(next_or_close(reading, ']', &more));
	}
	struct span text = {0};
	TRY(compact(reading, span_of(start, (size_t)(reading->at - start)), &text));
	if (text.size > SIGNAL_TEXT_SIZE_MAX)
		return refuse(reading, "value-too-long");
	*ret_value = (struct signal_value){.type = is_withheld ? WITHHELD_TYPE : SIGNAL_ARRAY, .text = text};
	return RESULT_OK;
}

static enum result read_text(struct reading *reading, struct signal_value *ret_value)
{
	struct span text = {0};

	TRY(read_string(reading, &text));
	if (text.size > SIGNAL_TEXT_SIZE_MAX)
		return refuse(reading, "value-too-long");
	bool is_withheld = text.size >= VIN_LENGTH && vin_stands_in(text);
	*ret_value = (struct signal_value){.type = is_withheld ? WITHHELD_TYPE : SIGNAL_TEXT, .text = text};
	return RESULT_OK;
}

static enum result read_value(struct reading *reading, struct signal_value *ret_value)
{
	uint8_t first = peek(reading);

	*ret_value = (struct signal_value){.type = SIGNAL_NUMBER};
	if (first == '-' || (first >= '0' && first <= '9'))
		return read_number(reading, &ret_value->number);
	if (first == '"')
		return read_text(reading, ret_value);
	if (first == '[')
		return read_array(reading, ret_value);
	if (first != 't' && first != 'f')
		return refuse_value(reading, first);
	ret_value->type = SIGNAL_BOOL;
	return read_bool(reading, &ret_value->boolean);
}

/* ---- names -------------------------------------------------------------------------------------------- */

bool signal_name_is_valid(struct span name)
{
	if (name.size == 0 || name.size > SIGNAL_NAME_LENGTH_MAX || name.data[name.size - 1] == '.')
		return false;
	uint8_t before = '.';
	for (size_t i = 0; i < name.size; before = name.data[i++])
		if (name.data[i] < 0x21 || name.data[i] > 0x7e || (name.data[i] == '.' && before == '.'))
			return false;
	return true;
}

static bool has_digit(struct span text)
{
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] >= '0' && text.data[i] <= '9')
			return true;
	return false;
}

/* Signal or not, its value is never kept. Few names have a digit, and none that hides a VIN has none. */
static bool is_secret_name(struct span name)
{
	if (name.size == sizeof(VIN_SIGNAL) - 1 &&
	    strncasecmp((const char *)name.data, VIN_SIGNAL, sizeof(VIN_SIGNAL) - 1) == 0)
		return true;
	return name.size >= VIN_LENGTH && (has_digit(name) || name.size >= 64) && vin_stands_in(name);
}

static uint64_t mix(uint64_t state, uint64_t word)
{
	__extension__ unsigned __int128 product = (unsigned __int128)(state ^ word) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t mix_bytes(uint64_t state, struct span bytes)
{
	uint64_t word = 0;

	state = mix(state, bytes.size ^ UINT64_C(0xa0761d6478bd642f));
	for (; bytes.size >= 8; bytes = span_of(bytes.data + 8, bytes.size - 8)) {
		memcpy(&word, bytes.data, 8);
		state = mix(state, word);
	}
	if (bytes.size == 0)
		return state;
	word = 0;
	memcpy(&word, bytes.data, bytes.size);
	return mix(state, word);
}

uint64_t telemetry_digest(const struct signal_sample *samples, size_t count)
{
	uint64_t state = UINT64_C(0x8ebc6af09c88c6e3);

	for (size_t i = 0; i < count; i++) {
		const struct signal_value *value = &samples[i].value;
		uint64_t bits = value->boolean;

		if (value->type == SIGNAL_NUMBER)
			memcpy(&bits, &value->number, sizeof(bits));
		state = mix_bytes(state, samples[i].name);
		state = mix(mix(state, value->type), bits);
		if (value->type == SIGNAL_TEXT || value->type == SIGNAL_ARRAY)
			state = mix_bytes(state, value->text);
	}
	return state;
}

/* With many names through a table of indexes, plus 1, of half as much again at least. */
static enum result check_many_names(struct reading *reading)
{
	size_t size = 64;

	while (size < 2 * reading->count)
		size *= 2;
	uint16_t *table = arena_alloc(reading->arena, size * sizeof(*table));
	if (table == NULL)
		return RESULT_MEMORY;
	for (size_t i = 0; i < reading->count; i++) {
		size_t slot = hash_bytes(reading->samples[i].name) & (size - 1);

		for (; table[slot] != 0; slot = (slot + 1) & (size - 1))
			if (span_equal(reading->samples[table[slot] - 1].name, reading->samples[i].name))
				return refuse(reading, "name-repeated");
		table[slot] = (uint16_t)(i + 1);
	}
	return RESULT_OK;
}

static enum result check_names(struct reading *reading)
{
	if (reading->count > PAIRWISE_COUNT_MAX)
		return check_many_names(reading);
	for (size_t i = 1; i < reading->count; i++)
		for (size_t j = 0; j < i; j++)
			if (span_equal(reading->samples[i].name, reading->samples[j].name))
				return refuse(reading, "name-repeated");
	return RESULT_OK;
}

/* ---- messages ----------------------------------------------------------------------------------------- */

/* Room for one more element, at first for so many; the old place stays in the arena. */
static enum result grow(struct arena *arena, void **array, size_t count, size_t *capacity, size_t size, size_t first)
{
	size_t wanted = *capacity ? 4 * *capacity : first;
	void *larger;

	if (count < *capacity)
		return RESULT_OK;
	larger = arena_alloc(arena, wanted * size);
	if (larger == NULL)
		return RESULT_MEMORY;
	if (count > 0)
		memcpy(larger, *array, count * size);
	*array = larger;
	*capacity = wanted;
	return RESULT_OK;
}

static enum result read_sample(struct reading *reading)
{
	struct signal_sample sample = {0};

	TRY(read_string(reading, &sample.name));
	if (!signal_name_is_valid(sample.name))
		return refuse(reading, "name-invalid");
	TRY(expect(reading, ':'));
	TRY(read_value(reading, &sample.value));
	if (is_secret_name(sample.name))
		sample.value.type = WITHHELD_TYPE;
	if (reading->count >= SIGNALS_PER_MESSAGE_MAX || ++reading->count_total > TELEMETRY_SAMPLES_MAX)
		return refuse(reading, "too-many-signals");
	void *samples = reading->samples;
	TRY(grow(reading->arena, &samples, reading->count, &reading->capacity, sizeof(sample), 8));
	reading->samples = samples;
	reading->samples[reading->count++] = sample;
	return RESULT_OK;
}

/* Names that are to be withheld count as names: only then do they go. */
static void drop_withheld(struct reading *reading)
{
	size_t kept = 0;

	for (size_t i = 0; i < reading->count; i++)
		if (reading->samples[i].value.type != WITHHELD_TYPE)
			reading->samples[kept++] = reading->samples[i];
	reading->withheld += reading->count - kept;
	reading->count = kept;
}

static enum result read_signals(struct reading *reading)
{
	bool more;

	if (peek(reading) != '{')
		return refuse(reading, "payload-unexpected");
	reading->at++;
	reading->samples = NULL;
	reading->count = reading->capacity = 0;
	more = peek(reading) != '}';
	if (!more)
		reading->at++;
	while (more) {
		TRY(read_sample(reading));
		TRY(next_or_close(reading, '}', &more));
	}
	TRY(check_names(reading));
	drop_withheld(reading);
	return RESULT_OK;
}

static enum result read_timestamp(struct reading *reading, int64_t *ret_at_ms)
{
	struct span text = {0};
	double number = 0;
	int64_t at_ms = 0;
	uint8_t first = peek(reading);

	if (first == '"') {
		TRY(read_string(reading, &text));
		if (rfc3339_parse(text, &at_ms) != RESULT_OK)
			return refuse(reading, "timestamp-invalid");
	} else if (first == '-' || (first >= '0' && first <= '9')) {
		TRY(read_number(reading, &number));
		if (number < (double)TELEMETRY_AT_MIN_MS || number > 1e15)
			return refuse(reading, "timestamp-invalid");
		at_ms = (int64_t)number;
	} else {
		return refuse(reading, "payload-unexpected");
	}
	if (at_ms < TELEMETRY_AT_MIN_MS || at_ms - TELEMETRY_AHEAD_MAX_MS > reading->received_at_ms)
		return refuse(reading, "timestamp-invalid");
	*ret_at_ms = at_ms;
	return RESULT_OK;
}

static enum result read_member(struct reading *reading, int64_t *at_ms, bool *has_timestamp, bool *has_signals)
{
	struct span name = {0};

	TRY(read_string(reading, &name));
	TRY(expect(reading, ':'));
	if (span_is_text(name, "timestamp") && !*has_timestamp) {
		*has_timestamp = true;
		return read_timestamp(reading, at_ms);
	}
	if (span_is_text(name, "signals") && !*has_signals) {
		*has_signals = true;
		return read_signals(reading);
	}
	return refuse(reading, "payload-unexpected");
}

static enum result add_message(struct reading *reading, const struct uuid *reference_id, int64_t at_ms)
{
	void *messages = reading->messages;

	if (reading->count == 0)
		return RESULT_OK;
	TRY(grow(reading->arena, &messages, reading->message_count, &reading->message_capacity,
		 sizeof(*reading->messages), 1)); /* most payloads are one message */
	reading->messages = messages;
	reading->messages[reading->message_count++] = (struct telemetry_message){
		.reference_id = *reference_id,
		.at_ms = at_ms,
		.received_at_ms = reading->received_at_ms,
		.digest = telemetry_digest(reading->samples, reading->count),
		.samples = reading->samples,
		.count = reading->count,
	};
	return RESULT_OK;
}

static enum result read_message(struct reading *reading, const struct uuid *reference_id)
{
	bool has_timestamp = false, has_signals = false, more;
	int64_t at_ms = reading->received_at_ms;

	uint8_t first = peek(reading);

	if (first != '{')
		return refuse(reading, first != 0 && strchr("\"-0123456789tfn[", first) != NULL ? "payload-unexpected"
												: "payload-malformed");
	reading->at++;
	for (more = peek(reading) != '}'; more;) {
		TRY(read_member(reading, &at_ms, &has_timestamp, &has_signals));
		TRY(next_or_close(reading, '}', &more));
	}
	if (!has_signals)
		return refuse(reading, "payload-unexpected");
	return add_message(reading, reference_id, at_ms);
}

static enum result read_payload(struct reading *reading, const struct uuid *reference_id)
{
	bool more = true;

	if (peek(reading) != '[')
		return read_message(reading, reference_id);
	reading->at++;
	if (peek(reading) == ']') {
		reading->at++;
		return RESULT_OK;
	}
	for (size_t count = 0; more; count++) {
		if (count == TELEMETRY_MESSAGES_MAX)
			return refuse(reading, "too-many-messages");
		TRY(read_message(reading, reference_id));
		TRY(next_or_close(reading, ']', &more));
	}
	return RESULT_OK;
}

enum result telemetry_read(const struct uuid *reference_id, int64_t received_at_ms, struct span payload,
			   struct arena *arena, struct telemetry_message **ret_messages, size_t *ret_count,
			   uint64_t *ret_withheld, const char **ret_reason)
{
	struct reading reading = {.at = payload.data,
				  .end = payload.data + payload.size,
				  .arena = arena,
				  .received_at_ms = received_at_ms};
	enum result result = payload.size > TELEMETRY_PAYLOAD_SIZE_MAX ? refuse(&reading, "payload-too-large")
								       : read_payload(&reading, reference_id);

	peek(&reading);
	if (result == RESULT_OK && reading.at != reading.end)
		result = refuse_json(&reading);
	if (result == RESULT_INVALID)
		*ret_reason = reading.reason;
	TRY(result);
	*ret_messages = reading.messages;
	*ret_count = reading.message_count;
	*ret_withheld = reading.withheld;
	return RESULT_OK;
}
