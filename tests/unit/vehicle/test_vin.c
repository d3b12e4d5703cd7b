#include "../cmocka_all.h"
#include "base/text.h"
#include "vehicle/vin.h"

#include <stdio.h>
#include <stdlib.h>

#define GOOD "1M8GDM9AXKP042788"
#define HASH "5beaef6c3688a5ad856426a7161f577aec0fb06dd3fb2d17bc2cd973ff2aaf88"

static int set_up(void **state)
{
	(void)state;
	return crypto_init(NULL) == RESULT_OK ? 0 : -1;
}

static void test_refuses_what_is_no_vin(void **state)
{
	static const char *const cases[] = {
		"",
		" ",
		"1M8GDM9AXKP04278",
		"1M8GDM9AXKP0427888", /* 0, 16, 18 characters */
		"1M8GDM9AXKPO42788",
		"1M8GDM9AXKPI42788",
		"1M8GDM9AXKPQ42788",
		"1m8gdm9axkpo42788", /* I, O, Q */
		"1M8GDM9AX P042788",
		"1M8GDM9AX-P042788",
		"1M8GDM9AX\xc3\x84P0427",
		"1M8GDM9AXKP04278\x80",
		"11111111111111111",
		"AAAAAAAAAAAAAAAAA",
		"AaAaAaAaAaAaAaAaA",
		"1M8GDM9AXKP042788x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vin vin = {"untouched"};
		assert_int_equal(vin_parse(span_of_text(cases[i]), &vin), RESULT_INVALID);
		assert_string_equal(vin.text, "untouched");
	}
	struct vin vin;
	assert_int_equal(vin_parse(span_of("1M8GDM9AXKP04278\0", 17), &vin), RESULT_INVALID);
	assert_int_equal(vin_parse(span_of(NULL, 0), &vin), RESULT_INVALID);
}

static void test_normalises(void **state)
{
	static const char *const cases[] = {GOOD, "1m8gdm9axkp042788", " \t\r\n" GOOD " \v\f\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vin vin;
		assert_int_equal(vin_parse(span_of_text(cases[i]), &vin), RESULT_OK);
		assert_string_equal(vin.text, GOOD);
	}
}

static void check_vector(const char *text, const char *check, const char *sha256_text)
{
	struct vin vin;
	struct hashed_vin hash, parsed;
	char hex[2 * SHA256_SIZE + 1];

	assert_int_equal(vin_parse(span_of_text(text), &vin), RESULT_OK);
	assert_int_equal(vin_has_check_digit(&vin), strcmp(check, "pass") == 0);
	assert_int_equal(vin_hash(&vin, &hash), RESULT_OK);
	hex_format(span_of(hash.bytes, sizeof(hash.bytes)), hex);
	assert_string_equal(hex, sha256_text);
	assert_int_equal(hashed_vin_parse(span_of_text(sha256_text), &parsed), RESULT_OK);
	assert_memory_equal(parsed.bytes, hash.bytes, sizeof(hash.bytes));
}

static void test_all_vectors(void **state)
{
	FILE *file = fopen(VECTORS "/vins.tsv", "r");
	char line[256], vin[32], check[16], digest[80];
	size_t checked = 0;

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (line[0] == '#' || strncmp(line, "vin\t", 4) == 0)
			continue;
		assert_int_equal(sscanf(line, "%31s %15s %79s", vin, check, digest), 3);
		check_vector(vin, check, digest);
		checked++;
	}
	fclose(file);
	assert_true(checked >= 40);
}

static void test_one_wrong_character_breaks_the_check_digit(void **state)
{
	struct vin vin;

	(void)state;
	assert_int_equal(vin_parse(span_of_text("1M8GDM9A1KP042788"), &vin), RESULT_OK);
	assert_false(vin_has_check_digit(&vin));
	assert_int_equal(vin_parse(span_of_text("1M8GDM9AXKP042789"), &vin), RESULT_OK);
	assert_false(vin_has_check_digit(&vin));
}

static void test_hashed_vin_parsing(void **state)
{
	struct hashed_vin hash;

	(void)state;
	assert_int_equal(hashed_vin_parse(span_of_text(""), &hash), RESULT_INVALID);
	assert_int_equal(hashed_vin_parse(span_of_text(HASH "0"), &hash), RESULT_INVALID);
	assert_int_equal(hashed_vin_parse(span_of(HASH, 63), &hash), RESULT_INVALID);
	assert_int_equal(hashed_vin_parse(span_of_text("g" HASH), &hash), RESULT_INVALID);
	assert_int_equal(
		hashed_vin_parse(span_of_text("5BEAEF6C3688A5AD856426A7161F577AEC0FB06DD3FB2D17BC2CD973FF2AAF88"),
				 &hash),
		RESULT_OK);
}

static void test_vin_stands_in(void **state)
{
	static const struct {
		const char *text;
		bool expected;
	} cases[] = {
		{GOOD, true},
		{"1m8gdm9axkp042788", true},
		{"see " GOOD ".", true},
		{"x_" GOOD "_y", true},
		{"(" GOOD ")", true},
		{"\xc3\xa4" GOOD "\xc3\xa4", true},
		{HASH, true},
		{"hash=" HASH ";", true},
		{"5BEAEF6C3688A5AD856426A7161F577AEC0FB06DD3FB2D17BC2CD973FF2AAF88", true},
		{"", false},
		{"ordinary text of a ticket", false},
		{"x" GOOD, false}, /* 18 characters: no VIN */
		{GOOD "1", false},
		{"12345678901234567", false}, /* no letter: a serial number */
		{"ABCDEFGHJKLMNPRST", false}, /* no digit: a word */
		{"1M8GDM9AXKPO42788", false}, /* an O */
		{"0" HASH, false},
		{"0b0e4f2c-9a51-4c0b-8d7e-1f2a3b4c5d6e", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (vin_stands_in(span_of_text(cases[i].text)) != cases[i].expected)
			print_error("case %zu\n", i);
		assert_int_equal(vin_stands_in(span_of_text(cases[i].text)), cases[i].expected);
	}
	assert_false(vin_stands_in(span_of(NULL, 0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses_what_is_no_vin),
		cmocka_unit_test(test_normalises),
		cmocka_unit_test(test_all_vectors),
		cmocka_unit_test(test_one_wrong_character_breaks_the_check_digit),
		cmocka_unit_test(test_hashed_vin_parsing),
		cmocka_unit_test(test_vin_stands_in),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
