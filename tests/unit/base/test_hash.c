#include "base/hash.h"

#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#define PAIRS 12

/*
 * Keys of pairs of words, of which each is there in two forms. With a plain product instead of a folded one half of the
 * pairs do not change the hash, whatever the seed is: the bit that the first word moves is moved back by the second.
 */
static void make_key(unsigned forms, char ret_key[static 16 * PAIRS])
{
	memset(ret_key, 'A', 16 * PAIRS);
	for (size_t pair = 0; pair < PAIRS; pair++) {
		if (!(forms >> pair & 1))
			continue;
		ret_key[16 * pair + 7] ^= 0x20;
		ret_key[16 * pair + 8 + 7] ^= 0x20;
		ret_key[16 * pair + 8 + 3] ^= 0x20;
	}
}

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;
	return *a < *b ? -1 : *a > *b;
}

static void chosen_keys_do_not_meet(void **state)
{
	static uint64_t hashes[1 << PAIRS];
	char key[16 * PAIRS];
	(void)state;
	for (unsigned i = 0; i < 1 << PAIRS; i++) {
		make_key(i, key);
		hashes[i] = hash_bytes(span_of(key, sizeof(key)));
		assert_int_equal(hashes[i], hash_bytes(span_of(key, sizeof(key))));
	}
	qsort(hashes, 1 << PAIRS, sizeof(hashes[0]), compare);
	for (unsigned i = 1; i < 1 << PAIRS; i++)
		assert_true(hashes[i - 1] < hashes[i]);
}

/* A table of twice as many places takes what is put in: few share one. */
static void low_bits_are_spread(void **state)
{
	static uint8_t places[8192];
	char name[32];
	(void)state;
	for (int i = 0; i < 4096; i++) {
		int length = snprintf(name, sizeof(name), "Vehicle.Cabin.Signal%d", i);
		places[hash_bytes(span_of(name, (size_t)length)) % 8192]++;
	}
	for (size_t i = 0; i < sizeof(places); i++)
		assert_true(places[i] < 12);
}

static void length_counts(void **state)
{
	static const char zeros[32];
	(void)state;
	for (size_t i = 0; i < sizeof(zeros); i++)
		assert_true(hash_bytes(span_of(zeros, i)) != hash_bytes(span_of(zeros, i + 1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chosen_keys_do_not_meet),
		cmocka_unit_test(low_bits_are_spread),
		cmocka_unit_test(length_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
