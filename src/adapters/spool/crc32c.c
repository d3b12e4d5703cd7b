#include "adapters/spool/crc32c.h"

#include <pthread.h>

#define POLYNOMIAL UINT32_C(0x82f63b78) /* reflected */

static uint32_t tables[8][256];

static void make_tables(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t value = byte;

		for (int bit = 0; bit < 8; bit++)
			value = value >> 1 ^ ((value & 1) ? POLYNOMIAL : 0);
		tables[0][byte] = value;
	}
	for (uint32_t byte = 0; byte < 256; byte++)
		for (int i = 1; i < 8; i++)
			tables[i][byte] = tables[i - 1][byte] >> 8 ^ tables[0][tables[i - 1][byte] & 0xff];
}

uint32_t crc32c_by_table(uint32_t before, struct span bytes)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint32_t crc = ~before;
	const uint8_t *at = bytes.data, *end = bytes.data + bytes.size;

	pthread_once(&once, make_tables);
	for (; end - at >= 8; at += 8) {
		uint32_t low =
			crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);

		crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
		      tables[4][low >> 24] ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
	}
	for (; at < end; at++)
		crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_processor(uint32_t before, struct span bytes)
{
	uint64_t crc = (uint32_t)~before;
	const uint8_t *at = bytes.data, *end = bytes.data + bytes.size;

	for (; end - at >= 8; at += 8) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		crc = __builtin_ia32_crc32di(crc, word);
	}
	for (; at < end; at++)
		crc = __builtin_ia32_crc32qi((uint32_t)crc, *at);
	return ~(uint32_t)crc;
}
#endif

uint32_t crc32c(uint32_t before, struct span bytes)
{
	if (bytes.size == 0)
		return before;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return by_processor(before, bytes);
#endif
	return crc32c_by_table(before, bytes);
}
