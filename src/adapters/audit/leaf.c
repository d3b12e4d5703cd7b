#include "adapters/audit/leaf.h"

#include "base/text.h"

#include <endian.h>

#define LEAF_DEPTH_MAX 16

struct scanner {
	const uint8_t *at, *end;
};

static bool is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

static void skip_space(struct scanner *scanner)
{
	while (scanner->at < scanner->end &&
	       (*scanner->at == ' ' || *scanner->at == '\n' || *scanner->at == '\t' || *scanner->at == '\r'))
		scanner->at++;
}

static bool take(struct scanner *scanner, uint8_t byte)
{
	if (scanner->at == scanner->end || *scanner->at != byte)
		return false;
	scanner->at++;
	return true;
}

static bool take_word(struct scanner *scanner, const char *word)
{
	size_t size = strlen(word);

	if ((size_t)(scanner->end - scanner->at) < size || memcmp(scanner->at, word, size) != 0)
		return false;
	scanner->at += size;
	return true;
}

static int hex_digit(uint8_t byte)
{
	if (is_digit(byte))
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool take_hex4(struct scanner *scanner, unsigned *ret_unit)
{
	unsigned unit = 0;

	if (scanner->end - scanner->at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(*scanner->at++);

		if (digit < 0)
			return false;
		unit = unit << 4 | (unsigned)digit;
	}
	*ret_unit = unit;
	return true;
}

/* After the backslash. Lone surrogates and NUL are refused, as by base/json. */
static bool take_escape(struct scanner *scanner)
{
	unsigned unit, low;

	if (scanner->at == scanner->end)
		return false;
	switch (*scanner->at++) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return true;
	case 'u':
		break;
	default:
		return false;
	}
	if (!take_hex4(scanner, &unit) || unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff))
		return false;
	if (unit < 0xd800 || unit > 0xdbff)
		return true;
	return take(scanner, '\\') && take(scanner, 'u') && take_hex4(scanner, &low) && low >= 0xdc00 && low <= 0xdfff;
}

static bool take_string(struct scanner *scanner, struct span *ret_text)
{
	const uint8_t *start;

	if (!take(scanner, '"'))
		return false;
	start = scanner->at;
	while (scanner->at < scanner->end) {
		if (scanner->end - scanner->at >= 8 && text_eight_are_plain(scanner->at)) {
			scanner->at += 8;
			continue;
		}
		uint8_t byte = *scanner->at++;

		if (byte == '"') {
			*ret_text = span_of(start, (size_t)(scanner->at - start) - 1);
			return true;
		}
		if (byte < 0x20 || (byte == '\\' && !take_escape(scanner)))
			return false;
	}
	return false;
}

static bool take_digits(struct scanner *scanner)
{
	const uint8_t *start = scanner->at;

	while (scanner->at < scanner->end && is_digit(*scanner->at))
		scanner->at++;
	return scanner->at > start;
}

static bool take_number(struct scanner *scanner)
{
	take(scanner, '-');
	if (!take(scanner, '0') && !take_digits(scanner))
		return false;
	if (take(scanner, '.') && !take_digits(scanner))
		return false;
	if (take(scanner, 'e') || take(scanner, 'E')) {
		if (!take(scanner, '+'))
			take(scanner, '-');
		return take_digits(scanner);
	}
	return true;
}

static bool take_value(struct scanner *scanner, unsigned depth, struct span *ret_value);

static bool take_array(struct scanner *scanner, unsigned depth)
{
	struct span value;

	skip_space(scanner);
	if (take(scanner, ']'))
		return true;
	for (;;) {
		if (!take_value(scanner, depth, &value))
			return false;
		if (take(scanner, ']'))
			return true;
		if (!take(scanner, ','))
			return false;
	}
}

/* facts: where the members go, NULL for an object within. */
static bool take_object(struct scanner *scanner, unsigned depth, struct leaf_facts *facts);

/* A value with the space around it. Of a text its content, of anything else all of it. */
static bool take_value(struct scanner *scanner, unsigned depth, struct span *ret_value)
{
	const uint8_t *start;
	bool good;

	if (depth == 0)
		return false;
	skip_space(scanner);
	start = scanner->at;
	if (start == scanner->end)
		return false;
	if (*start == '"') {
		good = take_string(scanner, ret_value);
		skip_space(scanner);
		return good;
	}
	if (take(scanner, '['))
		good = take_array(scanner, depth - 1);
	else if (take(scanner, '{'))
		good = take_object(scanner, depth - 1, NULL);
	else
		good = take_word(scanner, "true") || take_word(scanner, "false") || take_word(scanner, "null") ||
		       take_number(scanner);
	*ret_value = span_of(start, (size_t)(scanner->at - start));
	skip_space(scanner);
	return good;
}

/* False for a member that was there before: which of the two would count? */
static bool keep_member(struct leaf_facts *facts, struct span key, struct span value)
{
	static const struct {
		const char *name;
		size_t size, offset;
	} members[] = {
		{"leafId", 6, offsetof(struct leaf_facts, leaf_id)},
		{"at", 2, offsetof(struct leaf_facts, at)},
		{"actor", 5, offsetof(struct leaf_facts, actor)},
		{"tenantId", 8, offsetof(struct leaf_facts, tenant)},
		{"action", 6, offsetof(struct leaf_facts, action)},
		{"outcome", 7, offsetof(struct leaf_facts, outcome)},
		{"referenceId", 11, offsetof(struct leaf_facts, reference_id)},
		{"referenceIds", 12, offsetof(struct leaf_facts, reference_ids)},
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (key.size == members[i].size && memcmp(key.data, members[i].name, key.size) == 0) {
			struct span *place = (struct span *)(void *)((char *)facts + members[i].offset);

			if (place->data != NULL)
				return false;
			*place = value;
			return true;
		}
	}
	return true;
}

static bool take_object(struct scanner *scanner, unsigned depth, struct leaf_facts *facts)
{
	struct span key, value;

	skip_space(scanner);
	if (take(scanner, '}'))
		return true;
	for (;;) {
		skip_space(scanner);
		if (!take_string(scanner, &key))
			return false;
		skip_space(scanner);
		if (!take(scanner, ':') || !take_value(scanner, depth, &value))
			return false;
		if (facts != NULL && !keep_member(facts, key, value))
			return false;
		if (take(scanner, '}'))
			return true;
		if (!take(scanner, ','))
			return false;
	}
}

enum result leaf_scan(struct span json, struct leaf_facts *ret_facts)
{
	struct scanner scanner = {.at = json.data, .end = json.data + json.size};
	struct leaf_facts facts = {0};

	if (json.size == 0 || !utf8_is_valid(json))
		return RESULT_INVALID;
	skip_space(&scanner);
	if (!take(&scanner, '{') || !take_object(&scanner, LEAF_DEPTH_MAX, &facts))
		return RESULT_INVALID;
	skip_space(&scanner);
	if (scanner.at != scanner.end)
		return RESULT_INVALID;
	*ret_facts = facts;
	return RESULT_OK;
}

uint32_t index_hash(struct span text)
{
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < text.size; i++)
		hash = (hash ^ text.data[i]) * 16777619U;
	hash ^= hash >> 15;
	hash *= 0x2c1b3c6dU;
	return hash ^ hash >> 12;
}

void index_record_make(const struct leaf_facts *facts, uint32_t offset, uint16_t length,
		       struct index_record *ret_record)
{
	int64_t at_ms = 0;

	if (rfc3339_parse(facts->at, &at_ms) != RESULT_OK)
		at_ms = 0;
	*ret_record = (struct index_record){
		.offset = offset,
		.length = length,
		.outcome = (uint8_t)index_hash(facts->outcome),
		.flags = INDEX_WRITTEN | (facts->reference_ids.size > 0 ? INDEX_BATCH : 0),
		.at_ms = at_ms,
		.tenant = index_hash(facts->tenant),
		.actor = index_hash(facts->actor),
		.action = index_hash(facts->action),
		.reference_id = index_hash(facts->reference_id),
	};
}

/* The record as it lies in the file. */
struct packed_record {
	uint32_t offset;
	uint16_t length;
	uint8_t outcome, flags;
	uint64_t at_ms;
	uint32_t tenant, actor, action, reference_id;
};
_Static_assert(sizeof(struct packed_record) == INDEX_RECORD_SIZE, "no padding");

void index_record_format(const struct index_record *record, uint8_t ret_bytes[static INDEX_RECORD_SIZE])
{
	struct packed_record packed = {
		.offset = htobe32(record->offset),
		.length = htobe16(record->length),
		.outcome = record->outcome,
		.flags = record->flags,
		.at_ms = htobe64((uint64_t)record->at_ms),
		.tenant = htobe32(record->tenant),
		.actor = htobe32(record->actor),
		.action = htobe32(record->action),
		.reference_id = htobe32(record->reference_id),
	};

	memcpy(ret_bytes, &packed, sizeof(packed));
}

void index_record_parse(const uint8_t bytes[static INDEX_RECORD_SIZE], struct index_record *ret_record)
{
	struct packed_record packed;

	memcpy(&packed, bytes, sizeof(packed));
	*ret_record = (struct index_record){
		.offset = be32toh(packed.offset),
		.length = be16toh(packed.length),
		.outcome = packed.outcome,
		.flags = packed.flags,
		.at_ms = (int64_t)be64toh(packed.at_ms),
		.tenant = be32toh(packed.tenant),
		.actor = be32toh(packed.actor),
		.action = be32toh(packed.action),
		.reference_id = be32toh(packed.reference_id),
	};
}
