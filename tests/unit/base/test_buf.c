#include "base/buf.h"

#include "../cmocka_all.h"

static void appends_and_stays_a_c_string(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf buf = {0};
	assert_int_equal(buf_append_text(&buf, "one"), RESULT_OK);
	assert_int_equal(buf_append_byte(&buf, ' '), RESULT_OK);
	assert_int_equal(buf_append_format(&buf, "%s-%d", "two", 3), RESULT_OK);
	assert_int_equal(buf_append(&buf, (struct span){0}), RESULT_OK);
	assert_string_equal((char *)buf.data, "one two-3");
	assert_int_equal(buf.size, 9);
}

static void empty_append_gives_an_empty_string(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf buf = {0};
	assert_int_equal(buf_append_text(&buf, ""), RESULT_OK);
	assert_string_equal((char *)buf.data, "");
}

static void grows_and_keeps_content(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf buf = {0};
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(buf_append_byte(&buf, (uint8_t)(i % 251)), RESULT_OK);
	assert_int_equal(buf.size, 10000);
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(buf.data[i], i % 251);
	assert_int_equal(buf.data[10000], 0);
}

static void bound_holds_and_leaves_the_buf_alone(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf buf = {.size_max = 10};
	assert_int_equal(buf_append_text(&buf, "12345678"), RESULT_OK);
	assert_int_equal(buf_append_text(&buf, "abc"), RESULT_EXHAUSTED);
	assert_int_equal(buf_append_format(&buf, "%d", 123), RESULT_EXHAUSTED);
	assert_string_equal((char *)buf.data, "12345678");
	assert_int_equal(buf_append_text(&buf, "ab"), RESULT_OK);
	assert_int_equal(buf_append_byte(&buf, 'x'), RESULT_EXHAUSTED);
	assert_string_equal((char *)buf.data, "12345678ab");
	uint8_t *room = NULL;
	assert_int_equal(buf_reserve(&buf, SIZE_MAX, &room), RESULT_EXHAUSTED);
	assert_null(room);
	BUF_CLEANUP struct buf by_default = {0};
	assert_int_equal(buf_reserve(&by_default, BUF_SIZE_MAX_DEFAULT + 1, &room), RESULT_EXHAUSTED);
	assert_int_equal(buf_reserve(&by_default, BUF_SIZE_MAX_DEFAULT, &room), RESULT_OK);
}

static void reserved_room_is_written_by_the_caller(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf buf = {0};
	assert_int_equal(buf_append_text(&buf, "ab"), RESULT_OK);
	uint8_t *room = NULL;
	assert_int_equal(buf_reserve(&buf, 100, &room), RESULT_OK);
	memcpy(room, "cd", 2);
	buf.size += 2;
	assert_string_equal((char *)buf.data, "abcd");
}

static void consuming_wipes_what_it_leaves(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf buf = {0};
	assert_int_equal(buf_append_text(&buf, "0123456789"), RESULT_OK);
	buf_consume(&buf, 4);
	assert_string_equal((char *)buf.data, "456789");
	assert_memory_equal(buf.data + 6, "\0\0\0\0", 4);
	buf_consume(&buf, 0);
	assert_int_equal(buf.size, 6);
	buf_consume(&buf, 100);
	assert_int_equal(buf.size, 0);
	assert_memory_equal(buf.data, "\0\0\0\0\0\0", 6);
}

static void clearing_wipes_and_keeps_the_memory(void **state)
{
	(void)state;
	BUF_CLEANUP struct buf buf = {0};
	buf_clear(&buf);
	assert_int_equal(buf_append_text(&buf, "secret"), RESULT_OK);
	uint8_t *data = buf.data;
	buf_clear(&buf);
	assert_int_equal(buf.size, 0);
	assert_ptr_equal(buf.data, data);
	assert_memory_equal(data, "\0\0\0\0\0\0", 6);
	assert_int_equal(buf_append_text(&buf, "x"), RESULT_OK);
	assert_string_equal((char *)buf.data, "x");
	buf_release(&buf);
	assert_null(buf.data);
	buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_and_stays_a_c_string),
		cmocka_unit_test(empty_append_gives_an_empty_string),
		cmocka_unit_test(grows_and_keeps_content),
		cmocka_unit_test(bound_holds_and_leaves_the_buf_alone),
		cmocka_unit_test(reserved_room_is_written_by_the_caller),
		cmocka_unit_test(consuming_wipes_what_it_leaves),
		cmocka_unit_test(clearing_wipes_and_keeps_the_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
