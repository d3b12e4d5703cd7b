/*
 * Looks through this process's own writable memory for bytes that should be gone. What is looked for is kept
 * shifted by one (each byte one higher), or the search would find itself.
 */
#ifndef VINVEIL_TESTS_CRYPTO_RESIDUE_H
#define VINVEIL_TESTS_CRYPTO_RESIDUE_H

#include "support.h"

#include "base/secret.h"

#define RESIDUE_SIZE 32

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RESIDUE_CANNOT_LOOK true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define RESIDUE_CANNOT_LOOK true
#endif
#endif
#ifndef RESIDUE_CANNOT_LOOK
#define RESIDUE_CANNOT_LOOK false
#endif

struct shifted {
	uint8_t bytes[RESIDUE_SIZE];
	size_t size;
};

/* "BCD" stands for "ABC". */
static inline struct shifted shifted_text(const char *text)
{
	struct shifted shifted = {.size = strlen(text)};

	memcpy(shifted.bytes, text, shifted.size);
	return shifted;
}

/* Takes the bytes away from where they were. */
static inline struct shifted shift_away(uint8_t *bytes, size_t size)
{
	struct shifted shifted = {.size = size};

	for (size_t i = 0; i < size; i++)
		shifted.bytes[i] = (uint8_t)(bytes[i] + 1);
	secret_wipe(bytes, size);
	return shifted;
}

/* How SHA-256 keeps its state: each word of four bytes the other way round. */
static inline struct shifted swap_words(const struct shifted *shifted)
{
	struct shifted swapped = {.size = shifted->size};

	for (size_t i = 0; i < shifted->size; i++)
		swapped.bytes[i] = shifted->bytes[i ^ 3];
	return swapped;
}

static inline void unshift(const struct shifted *shifted, uint8_t *ret_bytes)
{
	for (size_t i = 0; i < shifted->size; i++)
		ret_bytes[i] = (uint8_t)(shifted->bytes[i] - 1);
}

static inline bool stands_at(const volatile uint8_t *at, const struct shifted *shifted)
{
	for (size_t i = 0; i < shifted->size; i++) {
		if ((uint8_t)(at[i] + 1) != shifted->bytes[i])
			return false;
	}
	return true;
}

static inline size_t count_between(uintptr_t from, uintptr_t to, const struct shifted *shifted)
{
	size_t count = 0;

	for (; from + shifted->size <= to; from++)
		count += stands_at((const volatile uint8_t *)from, shifted);
	return count;
}

/* In every mapping that is readable and writable. */
static inline size_t residue_count(const struct shifted *shifted)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	size_t count = 0;
	char line[512], mode[5];

	assert_non_null(maps);
	secret_scrub_stack();
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) == 3 && mode[0] == 'r' && mode[1] == 'w')
			count += count_between(from, to, shifted);
	}
	fclose(maps);
	return count;
}

#endif
