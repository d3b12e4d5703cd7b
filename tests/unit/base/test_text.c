#include "base/text.h"

#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void hex_goes_both_ways(void **state)
{
	(void)state;
	char text[9];
	hex_format(span_of("\x00\x7f\x80\xff", 4), text);
	assert_string_equal(text, "007f80ff");
	uint8_t bytes[4];
	assert_int_equal(hex_parse(span_of_text("007f80ff"), false, bytes, 4), RESULT_OK);
	assert_memory_equal(bytes, "\x00\x7f\x80\xff", 4);
	assert_int_equal(hex_parse(span_of_text("007F80fF"), true, bytes, 4), RESULT_OK);
	assert_int_equal(hex_parse((struct span){0}, false, bytes, 0), RESULT_OK);
}

static void hex_refuses(void **state)
{
	(void)state;
	uint8_t bytes[4] = "abc";
	const char *const wrong[] = {"007f80f",	 "007f80ff0", "007f80fg", "007F80FF",
				     "007f80f ", "",	      "007f80/f", "007f80:f"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(hex_parse(span_of_text(wrong[i]), false, bytes, 4), RESULT_INVALID);
	assert_int_equal(hex_parse(span_of_text("0"), false, bytes, 0), RESULT_INVALID);
	assert_memory_equal(bytes, "abc", 4); /* untouched */
}

/* RFC 4648 section 10 */
static const char *const base64_vectors[][2] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
	{"\xfb\xff\xfe", "+//+"},
};

static void base64_goes_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(base64_vectors) / sizeof(base64_vectors[0]); i++) {
		struct span plain = span_of_text(base64_vectors[i][0]);
		BUF_CLEANUP struct buf buf = {0};
		assert_int_equal(base64_append(&buf, plain), RESULT_OK);
		assert_string_equal((char *)buf.data, base64_vectors[i][1]);
		uint8_t bytes[8];
		size_t size = 99;
		assert_int_equal(base64_parse(buf_span(&buf), bytes, sizeof(bytes), &size), RESULT_OK);
		assert_true(span_equal(span_of(bytes, size), plain));
	}
}

static void base64_refuses(void **state)
{
	(void)state;
	const char *const wrong[] = {"Zg",	 "Zg=",	  "Zg=a",   "Zh==",  "Zm9=",	  "=Zg=", "====",	"Z===",
				     "Zg==Zg==", "Zm9v ", "Zm9v\n", "Zm 9v", "Zm9vYmFy=", "Zm-_", "Zm9vYmE=\n", "A"};
	uint8_t bytes[16] = "untouched";
	size_t size = 99;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(base64_parse(span_of_text(wrong[i]), bytes, sizeof(bytes), &size), RESULT_INVALID);
	assert_int_equal(base64_parse(span_of_text("Zm9vYmFy"), bytes, 5, &size), RESULT_INVALID);
	assert_string_equal((char *)bytes, "untouched");
	assert_int_equal(size, 99);
}

static void times_format_as_the_c_library_says(void **state)
{
	(void)state;
	uint64_t seed = 88172645463325252;
	for (int i = 0; i < 20000; i++) {
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		int64_t at_ms = (int64_t)(seed % UINT64_C(253402300800000));
		time_t seconds = (time_t)(at_ms / 1000);
		struct tm parts;
		gmtime_r(&seconds, &parts);
		char expected[64];
		size_t length = strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &parts);
		snprintf(expected + length, sizeof(expected) - length, ".%03dZ", (int)(at_ms % 1000));
		char text[RFC3339_TEXT_SIZE];
		rfc3339_format(at_ms, text);
		assert_string_equal(text, expected);
		int64_t parsed = -1;
		assert_int_equal(rfc3339_parse(span_of_text(text), &parsed), RESULT_OK);
		assert_true(parsed == at_ms);
	}
}

static void times_at_the_edges(void **state)
{
	(void)state;
	static const struct {
		int64_t at_ms;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{-1, "1970-01-01T00:00:00.000Z"},
		{INT64_MIN, "1970-01-01T00:00:00.000Z"},
		{951782400000, "2000-02-29T00:00:00.000Z"},
		{951868799999, "2000-02-29T23:59:59.999Z"},
		{4107542400000, "2100-03-01T00:00:00.000Z"},
		{4107542399999, "2100-02-28T23:59:59.999Z"},
		{253402300799999, "9999-12-31T23:59:59.999Z"},
		{253402300800000, "9999-12-31T23:59:59.999Z"},
		{INT64_MAX, "9999-12-31T23:59:59.999Z"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[RFC3339_TEXT_SIZE];
		rfc3339_format(cases[i].at_ms, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void times_parse(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t at_ms;
	} cases[] = {
		{"2026-01-02T03:04:05Z", 1767323045000},
		{"2026-01-02t03:04:05z", 1767323045000},
		{"2026-01-02T03:04:05.6Z", 1767323045600},
		{"2026-01-02T03:04:05.678Z", 1767323045678},
		{"2026-01-02T03:04:05.678999999Z", 1767323045678},
		{"2026-01-02T05:04:05+02:00", 1767323045000},
		{"2026-01-01T21:34:05-05:30", 1767323045000},
		{"2026-01-02T03:04:05-00:00", 1767323045000},
		{"1969-12-31T23:00:00-01:00", 0},
		{"9999-12-31T23:59:59.999Z", 253402300799999},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t at_ms = -1;
		assert_int_equal(rfc3339_parse(span_of_text(cases[i].text), &at_ms), RESULT_OK);
		assert_true(at_ms == cases[i].at_ms);
	}
}

static void times_refuse(void **state)
{
	(void)state;
	const char *const wrong[] = {
		"",
		"2026-01-02",
		"2026-01-02T03:04:05",
		"2026-01-02 03:04:05Z",
		"2026-1-02T03:04:05Z",
		"2026-13-02T03:04:05Z",
		"2026-00-02T03:04:05Z",
		"2026-01-00T03:04:05Z",
		"2026-01-32T03:04:05Z",
		"2026-04-31T03:04:05Z",
		"2026-02-29T03:04:05Z",
		"2100-02-29T03:04:05Z",
		"2026-01-02T24:00:00Z",
		"2026-01-02T03:60:05Z",
		"2026-01-02T03:04:60Z",
		"2026-01-02T03:04:05.Z",
		"2026-01-02T03:04:05.1234567890Z",
		"2026-01-02T03:04:05,5Z",
		"2026-01-02T03:04:05+0200",
		"2026-01-02T03:04:05+24:00",
		"2026-01-02T03:04:05+02:60",
		"2026-01-02T03:04:05ZZ",
		"2026-01-02T03:04:05Z ",
		" 2026-01-02T03:04:05Z",
		"1969-12-31T23:59:59Z",
		"1970-01-01T00:30:00+01:00",
		"9999-12-31T23:59:59-01:00",
		"+2026-01-02T03:04:05Z",
		"20260-01-02T03:04:05Z",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int64_t at_ms = 42;
		assert_int_equal(rfc3339_parse(span_of_text(wrong[i]), &at_ms), RESULT_INVALID);
		assert_true(at_ms == 42);
	}
}

static void utf8_is_judged(void **state)
{
	(void)state;
	const char *const right[] = {"",
				     "plain text of some length",
				     "gr\xc3\xbc\xc3\x9f",
				     "\xe2\x82\xac",
				     "\xf0\x9f\x9a\x97",
				     "\xed\x9f\xbf",
				     "\xee\x80\x80",
				     "\xf4\x8f\xbf\xbf",
				     "12345678\302\20012345678"};
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		assert_true(utf8_is_valid(span_of_text(right[i])));
	const char *const wrong[] = {
		"\x80",		"\xc3",		 "\xc0\xaf",	     "\xc1\xbf",	 "\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xe2\x82",	 "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xff",		"12345678\302a", "1234567\xe2\x82"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(utf8_is_valid(span_of_text(wrong[i])));
	assert_false(utf8_is_valid(span_of("a\0b", 3)));
	assert_false(utf8_is_valid(span_of("abcdefg\0abcdefgh", 16)));
}

static void printable_is_judged(void **state)
{
	(void)state;
	assert_true(text_is_printable(span_of_text("TCU-4711~!"), false));
	assert_false(text_is_printable(span_of_text("a b"), false));
	assert_true(text_is_printable(span_of_text("a b"), true));
	assert_false(text_is_printable(span_of_text("a\tb"), true));
	assert_false(text_is_printable(span_of_text("\x7f"), true));
	assert_false(text_is_printable(span_of_text("\xc3\xbc"), true));
}

static void numbers_parse(void **state)
{
	(void)state;
	uint64_t value = 7;
	assert_int_equal(text_parse_u64(span_of_text("0"), 10, &value), RESULT_OK);
	assert_true(value == 0);
	assert_int_equal(text_parse_u64(span_of_text("18446744073709551615"), UINT64_MAX, &value), RESULT_OK);
	assert_true(value == UINT64_MAX);
	value = 7;
	const char *const wrong[] = {"",
				     "00",
				     "01",
				     "-1",
				     "+1",
				     " 1",
				     "1 ",
				     "1a",
				     "18446744073709551616",
				     "99999999999999999999",
				     "123456789012345678901"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(text_parse_u64(span_of_text(wrong[i]), UINT64_MAX, &value), RESULT_INVALID);
	assert_int_equal(text_parse_u64(span_of_text("11"), 10, &value), RESULT_INVALID);
	assert_true(value == 7);
}

#define HASH "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

static void secrets_are_withheld(void **state)
{
	(void)state;
	const char *const cases[][2] = {
		{"", ""},
		{"nothing here", "nothing here"},
		{"1M8GDM9AXKP042788", "[withheld]"},
		{"vin=1M8GDM9AXKP042788.", "vin=[withheld]."},
		{"vin 1m8gdm9axkp042788 and 11111111111111111", "vin [withheld] and [withheld]"},
		{"%201M8GDM9AXKP042788%20", "%20[withheld]%20"},
		{"gr\303\2741M8GDM9AXKP042788", "gr\xc3\xbc[withheld]"},
		{"1M8GDM9AXKP04278", "1M8GDM9AXKP04278"},     /* 16 */
		{"1M8GDM9AXKP0427889", "1M8GDM9AXKP0427889"}, /* 18 */
		{"1M8GDM9AXKPO42788", "1M8GDM9AXKPO42788"},   /* an O */
		{"hash " HASH " end", "hash [withheld] end"},
		{"x" HASH "yz-", "[withheld]-"},
		{"1M8GDM9AXKP042788" HASH "1M8GDM9AXKP042788", "[withheld]"},
		{"100%1FTFW1ET0EKE51234", "100%[withheld]"}, /* no escape, though it could be one */
		{HASH "0", "[withheld]"},
		{"123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef",
		 "123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"}, /* 63 */
		{"8a1f6f5e-1b1c-4a7e-9d3e-2f1a0b9c8d7e", "8a1f6f5e-1b1c-4a7e-9d3e-2f1a0b9c8d7e"},
		{"100%", "100%"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		snprintf(text, sizeof(text), "%s", cases[i][0]);
		text_withhold(text);
		assert_string_equal(text, cases[i][1]);
	}
}

/* The eight at once must never pass what a byte by itself would not; a plain one among plain ones must pass. */
static void eight_at_once_agree_with_one(void **state)
{
	(void)state;
	for (unsigned place = 0; place < 8; place++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			for (unsigned other = 0; other < 256; other++) {
				uint8_t bytes[8];
				memset(bytes, (int)other, sizeof(bytes));
				bytes[place] = (uint8_t)byte;
				bool byte_is_plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
				bool other_is_plain = other >= 0x20 && other < 0x7f && other != '"' && other != '\\';
				assert_int_equal(text_eight_are_plain(bytes), byte_is_plain && other_is_plain);
			}
		}
	}
}

static void one_is_not_many(void **state)
{
	(void)state;
	assert_string_equal(text_plural(0, "entry", "entries"), "entries");
	assert_string_equal(text_plural(1, "entry", "entries"), "entry");
	assert_string_equal(text_plural(2, "entry", "entries"), "entries");
}

static void addresses_are_in_figures(void **state)
{
	(void)state;
	assert_true(text_is_address("127.0.0.1"));
	assert_true(text_is_address("::"));
	assert_false(text_is_address("localhost"));
	assert_false(text_is_address("127.0.0.256"));
	assert_false(text_is_address("127.1"));
	assert_false(text_is_address(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eight_at_once_agree_with_one),
		cmocka_unit_test(hex_goes_both_ways),
		cmocka_unit_test(hex_refuses),
		cmocka_unit_test(addresses_are_in_figures),
		cmocka_unit_test(base64_goes_both_ways),
		cmocka_unit_test(base64_refuses),
		cmocka_unit_test(times_format_as_the_c_library_says),
		cmocka_unit_test(times_at_the_edges),
		cmocka_unit_test(times_parse),
		cmocka_unit_test(times_refuse),
		cmocka_unit_test(utf8_is_judged),
		cmocka_unit_test(printable_is_judged),
		cmocka_unit_test(numbers_parse),
		cmocka_unit_test(secrets_are_withheld),
		cmocka_unit_test(one_is_not_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
