#include "base/arena.h"

#include "../cmocka_all.h"

static void allocations_are_zeroed_aligned_and_apart(void **state)
{
	(void)state;
	ARENA_CLEANUP struct arena arena = {0};
	uint8_t *places[200];
	for (size_t i = 0; i < 200; i++) {
		places[i] = arena_alloc(&arena, i);
		assert_non_null(places[i]);
		assert_int_equal((uintptr_t)places[i] % 16, 0);
		for (size_t k = 0; k < i; k++)
			assert_int_equal(places[i][k], 0);
		memset(places[i], (int)(i + 1), i);
	}
	for (size_t i = 0; i < 200; i++) {
		for (size_t k = 0; k < i; k++)
			assert_int_equal(places[i][k], (uint8_t)(i + 1));
	}
}

static void bound_holds(void **state)
{
	(void)state;
	ARENA_CLEANUP struct arena arena = {.size_max = 1024};
	assert_null(arena_alloc(&arena, 1025));
	assert_null(arena_alloc(&arena, SIZE_MAX));
	assert_null(arena_alloc(&arena, SIZE_MAX - 7));
	assert_non_null(arena_alloc(&arena, 1000));
	assert_null(arena_alloc(&arena, 32));
	assert_non_null(arena_alloc(&arena, 16));
	assert_null(arena_alloc(&arena, 1));
	arena_reset(&arena);
	assert_non_null(arena_alloc(&arena, 1024));

	ARENA_CLEANUP struct arena unbounded = {0};
	assert_null(arena_alloc(&unbounded, ARENA_SIZE_MAX_DEFAULT + 1));
	assert_non_null(arena_alloc(&unbounded, ARENA_SIZE_MAX_DEFAULT));
}

static void reset_wipes_and_keeps_an_ordinary_chunk(void **state)
{
	(void)state;
	ARENA_CLEANUP struct arena arena = {0};
	char *secret = arena_copy_text(&arena, span_of_text("a secret of this request"));
	assert_string_equal(secret, "a secret of this request");
	assert_non_null(arena_alloc(&arena, 100000));
	struct arena_chunk *large = arena.chunk;
	arena_reset(&arena);
	assert_non_null(arena.chunk);
	assert_ptr_not_equal(arena.chunk, large);
	char *again = arena_alloc(&arena, 32);
	assert_ptr_equal(again, secret); /* the same memory, and nothing left in it */
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(again[i], 0);
}

static void copies_end_with_nul(void **state)
{
	(void)state;
	ARENA_CLEANUP struct arena arena = {0};
	assert_string_equal(arena_copy_text(&arena, span_of("abcdef", 3)), "abc");
	assert_string_equal(arena_copy_text(&arena, (struct span){0}), "");
	assert_null(arena_copy_text(&arena, span_of("x", SIZE_MAX)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_are_zeroed_aligned_and_apart),
		cmocka_unit_test(bound_holds),
		cmocka_unit_test(reset_wipes_and_keeps_an_ordinary_chunk),
		cmocka_unit_test(copies_end_with_nul),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
