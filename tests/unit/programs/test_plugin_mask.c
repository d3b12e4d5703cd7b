#include "../cmocka_all.h"

#include "programs/mosquitto-plugin/mask.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define VIN	     "WVWZZZ1JZXW000001"
#define XS	     "XXXXXXXXXXXXXXXXX"
#define HASH	     "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define HASH_XS	     XS XS XS "XXXXXXXXXXXXX"

static const struct {
	const char *text, *masked; /* masked NULL: it stays */
} cases[] = {
	{"", NULL},
	{VIN, XS},
	{"wvwzzz1jzxw000001", XS},
	{"{\"a\":\"" VIN "\"}", "{\"a\":\"" XS "\"}"},
	{VIN "," VIN, XS "," XS},
	{" " VIN, " " XS},
	{"a_" VIN "_b", "a_" XS "_b"},
	{"..............." VIN "...............", "..............." XS "..............."},
	/* behind an escape of JSON's, which must stay one */
	{"\\n" VIN, "\\n" XS},
	{"\\t" VIN "\\r", "\\t" XS "\\r"},
	{"\\u0020" VIN, "\\u0020" XS},
	{"\\\\" VIN, "\\\\" XS},
	{HASH, HASH_XS},
	{"x" HASH, "X" HASH_XS},
	{"\"" HASH "\"", "\"" HASH_XS "\""},
	/* not of a VIN's shape */
	{"WVWZZZ1JZXW00000", NULL},
	{"WVWZZZ1JZXW0000012", NULL},
	{"a" VIN, NULL},
	{"WVWZZZ1JZXW0O0001", NULL},
	{"WVWZZZ1JZXW0I0001", NULL},
	{"WVWZZZ1JZXW0q0001", NULL},
	{"12345678901234567", NULL},
	{"0.12345678901234567", NULL},
	{"ABCDEFGHJKLMNPRST", NULL},
	{"8f7f3b2e-0c7a-4c58-9d59-0a4a5b9d8f11", NULL},
	{"WVWZZZ1J\xc3\xa9ZXW00001", NULL},
	{"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde", NULL},
};

static void masks_what_has_the_shape(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *masked = cases[i].masked ? cases[i].masked : cases[i].text;
		size_t size = strlen(cases[i].text);
		uint8_t text[256];
		memcpy(text, cases[i].text, size + 1);
		size_t found = mask_text(text, size);
		if (strcmp((const char *)text, masked) != 0)
			fail_msg("%s became %s", cases[i].text, (const char *)text);
		assert_int_equal(found > 0, cases[i].masked != NULL);
		assert_int_equal(mask_count(span_of_text(cases[i].text)), found);
	}
}

/* protobuf: a string's length stands before it, and the next field's tag behind it may be a letter. */
static void masks_behind_a_length(void **state)
{
	uint8_t bytes[] = "\x22\x11" VIN "2\x05hello";
	uint8_t end[] = "\x22\x11" VIN;
	uint8_t cut[] = "\x22\x11"
			"WVWZZZ1JZXW00000";
	(void)state;
	assert_int_equal(mask_binary(bytes, sizeof(bytes) - 1), 1);
	assert_memory_equal(bytes, "\x22\x11" XS "2\x05hello", sizeof(bytes));
	assert_int_equal(mask_binary(end, sizeof(end) - 1), 1);
	assert_memory_equal(end, "\x22\x11" XS, sizeof(end));
	assert_int_equal(mask_binary(cut, sizeof(cut) - 1), 0);
	assert_int_equal(mask_binary(cut, 0), 0);
}

/* JSON may write any letter as an escape. */
static void masks_what_escapes_hide(void **state)
{
	static const struct {
		const char *text, *masked;
	} hidden[] = {
		{"\\u0057VWZZZ1JZXW000001", "\\u0058XXXXXXXXXXXXXXXX"},
		{"\"WVWZZZ1JZXW00000\\u0031\"", "\"XXXXXXXXXXXXXXXX\\u0058\""},
		{"WVWZ\\u005A\\u005aJZXW0000\\u0030\\u00311", "XXXX\\u0058\\u0058XXXXXXXX\\u0058\\u0058X"},
		/* the escape's own last digit would complete it */
		{"\\u00311WVZZZJJZXW00000", "\\u0058XXXXXXXXXXXXXXXX"},
		{"\\n\\u0057VWZZZ1JZXW000001\\n", "\\n\\u0058XXXXXXXXXXXXXXXX\\n"},
		{"a\\u0057VWZZZ1JZXW000001", "a\\u0057VWZZZ1JZXW000001"},
		{"\\u00e9VWZZZ1JZXW000001", "\\u00e9VWZZZ1JZXW000001"},
		{"\\u0157VWZZZ1JZXW000001", "\\u0157VWZZZ1JZXW000001"},
		{"WVWZZZ1JZXW00000\\u003", "WVWZZZ1JZXW00000\\u003"},
		{"\\u0030\\", "\\u0030\\"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(hidden); i++) {
		uint8_t text[256];
		size_t size = strlen(hidden[i].text);
		memcpy(text, hidden[i].text, size + 1);
		mask_text(text, size);
		if (strcmp((const char *)text, hidden[i].masked) != 0)
			fail_msg("%s became %s", hidden[i].text, (const char *)text);
	}
}

static bool is_alphanumeric(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_shaped(const uint8_t *token)
{
	bool letter = false;
	bool digit = false;
	for (size_t i = 0; i < 17; i++) {
		if (strchr("IOQioq", token[i]))
			return false;
		digit = digit || (token[i] >= '0' && token[i] <= '9');
		letter = letter || token[i] >= 'A';
	}
	return letter && digit;
}

/* The same, token by token. */
static size_t count_plainly(const uint8_t *text, size_t size)
{
	size_t found = 0;
	for (size_t begin = 0; begin < size;) {
		size_t end = begin;
		while (end < size && is_alphanumeric(text[end]))
			end++;
		found += end - begin == 17 && is_shaped(text + begin) ? 1 : 0;
		begin = end + 1;
	}
	return found;
}

static void finds_what_a_plain_search_finds(void **state)
{
	static const char alphabet[] = "ABHJ0123Zz.I";
	unsigned seed = 1;
	size_t total = 0;
	(void)state;
	for (int round = 0; round < 200000; round++) {
		uint8_t text[96];
		for (size_t i = 0; i < sizeof(text); i++) {
			seed = seed * 1103515245 + 12345;
			unsigned pick = seed >> 16;
			text[i] = (uint8_t)(pick % 17 == 0 ? '.' : alphabet[pick % 10]);
		}
		size_t size = seed % sizeof(text);
		size_t found = count_plainly(text, size);
		total += found;
		assert_int_equal(mask_count(span_of(text, size)), found);
	}
	assert_true(total > 1000); /* or it has proved nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masks_what_has_the_shape),
		cmocka_unit_test(masks_behind_a_length),
		cmocka_unit_test(masks_what_escapes_hide),
		cmocka_unit_test(finds_what_a_plain_search_finds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
