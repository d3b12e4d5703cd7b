/* Which of many texts stand in a buffer, in one pass: a bitmap of their first four bytes, then a comparison. */
#include <stdint.h>
#include <string.h>

#define BITS 20

struct text {
	const uint8_t *bytes;
	uint32_t size;
	int64_t at; /* where it was first found; -1: nowhere */
	int32_t next;
};

struct index {
	uint64_t map[(1 << BITS) / 64];
	int32_t first[1 << 12];
};

static uint32_t hash(const uint8_t *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof word);
	return word * 2654435761u >> (32 - BITS);
}

unsigned long index_size(void)
{
	return sizeof(struct index);
}

/* Every text has four bytes or more. */
void index_make(struct index *index, struct text *texts, int count)
{
	memset(index, 0, sizeof *index);
	memset(index->first, 0xff, sizeof index->first);
	for (int i = 0; i < count; i++) {
		uint32_t key = hash(texts[i].bytes);

		index->map[key / 64] |= UINT64_C(1) << key % 64;
		texts[i].next = index->first[key & 0xfff];
		index->first[key & 0xfff] = i;
	}
}

void index_search(const struct index *index, struct text *texts, int count, const uint8_t *bytes, uint64_t size)
{
	for (int i = 0; i < count; i++)
		texts[i].at = -1;
	for (uint64_t at = 0; at + 4 <= size; at++) {
		uint32_t key = hash(bytes + at);

		if (!(index->map[key / 64] >> key % 64 & 1))
			continue;
		for (int32_t i = index->first[key & 0xfff]; i >= 0; i = texts[i].next)
			if (texts[i].at < 0 && texts[i].size <= size - at &&
			    memcmp(bytes + at, texts[i].bytes, texts[i].size) == 0)
				texts[i].at = (int64_t)at;
	}
}
