#include "base/uuid.h"

#include "base/text.h"

/* Where the five groups begin, and their sizes in bytes. */
static const struct {
	uint8_t text_at;
	uint8_t byte_at;
	uint8_t size;
} groups[] = {{0, 0, 4}, {9, 4, 2}, {14, 6, 2}, {19, 8, 2}, {24, 10, 6}};

#define GROUP_COUNT (sizeof(groups) / sizeof(groups[0]))

enum result uuid_generate_v4(struct entropy *entropy, struct uuid *ret_uuid)
{
	struct uuid uuid;
	TRY(entropy_fill(entropy, uuid.bytes, sizeof(uuid.bytes)));
	uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x40);
	uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80);
	*ret_uuid = uuid;
	return RESULT_OK;
}

enum result uuid_parse(struct span text, struct uuid *ret_uuid)
{
	if (text.size != UUID_TEXT_LENGTH)
		return RESULT_INVALID;
	if (text.data[8] != '-' || text.data[13] != '-' || text.data[18] != '-' || text.data[23] != '-')
		return RESULT_INVALID;
	struct uuid uuid;
	for (size_t i = 0; i < GROUP_COUNT; i++) {
		struct span digits = span_of(text.data + groups[i].text_at, 2 * (size_t)groups[i].size);
		TRY(hex_parse(digits, true, uuid.bytes + groups[i].byte_at, groups[i].size));
	}
	*ret_uuid = uuid;
	return RESULT_OK;
}

void uuid_format(const struct uuid *uuid, char ret_text[static UUID_TEXT_SIZE])
{
	/* Each group writes a NUL where the next dash goes. */
	for (size_t i = 0; i < GROUP_COUNT; i++) {
		hex_format(span_of(uuid->bytes + groups[i].byte_at, groups[i].size), ret_text + groups[i].text_at);
		if (i + 1 < GROUP_COUNT)
			ret_text[groups[i + 1].text_at - 1] = '-';
	}
}
