#include "base/uuid.h"

#include "../cmocka_all.h"

static enum result fill_ones(struct entropy *entropy, void *ret_bytes, size_t size)
{
	(void)entropy;
	memset(ret_bytes, 0xff, size);
	return RESULT_OK;
}

static enum result fill_fails(struct entropy *entropy, void *ret_bytes, size_t size)
{
	(void)entropy;
	(void)ret_bytes;
	(void)size;
	return RESULT_UNAVAILABLE;
}

static void generation_sets_version_and_variant(void **state)
{
	(void)state;
	struct entropy ones = {.fill = fill_ones};
	struct uuid uuid;
	assert_int_equal(uuid_generate_v4(&ones, &uuid), RESULT_OK);
	char text[UUID_TEXT_SIZE];
	uuid_format(&uuid, text);
	assert_string_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

static void generation_fails_closed(void **state)
{
	(void)state;
	struct entropy none = {.fill = fill_fails};
	struct uuid uuid = {{1, 2, 3}};
	assert_int_equal(uuid_generate_v4(&none, &uuid), RESULT_UNAVAILABLE);
	assert_int_equal(uuid.bytes[0], 1);
}

static void generated_ones_differ(void **state)
{
	(void)state;
	static struct uuid seen[1000];
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(uuid_generate_v4(entropy_system(), &seen[i]), RESULT_OK);
		assert_int_equal(seen[i].bytes[6] >> 4, 4);
		assert_int_equal(seen[i].bytes[8] >> 6, 2);
		for (size_t k = 0; k < i; k++)
			assert_false(uuid_equal(&seen[i], &seen[k]));
	}
}

static void text_goes_both_ways(void **state)
{
	(void)state;
	struct uuid uuid;
	char text[UUID_TEXT_SIZE];
	assert_int_equal(uuid_parse(span_of_text("F81D4FAE-7dec-11d0-A765-00a0c91e6bf6"), &uuid), RESULT_OK);
	assert_memory_equal(uuid.bytes, "\xf8\x1d\x4f\xae\x7d\xec\x11\xd0\xa7\x65\x00\xa0\xc9\x1e\x6b\xf6", 16);
	uuid_format(&uuid, text);
	assert_string_equal(text, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
}

static void other_forms_are_refused(void **state)
{
	(void)state;
	const char *const wrong[] = {
		"",
		"f81d4fae7dec11d0a76500a0c91e6bf6",
		"{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}",
		"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
		"f81d4fae-7dec-11d0-a765-00a0c91e6bf",
		"f81d4fae-7dec-11d0-a765-00a0c91e6bf6a",
		"f81d4fae-7dec-11d0-a765-00a0c91e6bfg",
		"f81d4fae-7dec-11d0-a76500a0-c91e6bf6",
		"f81d4fae-7dec-11d0-a765-00a0c91e6bf-",
		"f81d4fae_7dec-11d0-a765-00a0c91e6bf6",
		"f81d4fae-7dec_11d0-a765-00a0c91e6bf6",
		"f81d4fae-7dec-11d0_a765-00a0c91e6bf6",
		"f81d4fae-7dec-11d0-a765_00a0c91e6bf6",
		" 81d4fae-7dec-11d0-a765-00a0c91e6bf6",
	};
	struct uuid uuid = {{9}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(uuid_parse(span_of_text(wrong[i]), &uuid), RESULT_INVALID);
	assert_int_equal(uuid.bytes[0], 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generation_sets_version_and_variant),
		cmocka_unit_test(generation_fails_closed),
		cmocka_unit_test(generated_ones_differ),
		cmocka_unit_test(text_goes_both_ways),
		cmocka_unit_test(other_forms_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
