/*
 * The quick reading of a lookup's body may give up whenever it likes, but what it does read, the thorough one must
 * read alike. Shown on thousands of bodies, each a good one with some bytes changed.
 */
#include "api/body.h"
#include "api/lookup_body.h"
#include "crypto/digest.h"

#include "../cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#define HASH	     "8cfa5f66c5ee3d6f7bd4b8f6aee4d0d4a7f4d7f6d7a1ff0e1f5d0c3a9b8e7d6c"
#define VIN	     "1M8GDM9AXKP042788"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const plain[] = {
	"{\"hashedVin\":\"" HASH "\",\"purpose\":\"customer-service\"}",
	"{\"purpose\":\"customer-service\",\"hashedVin\":\"" HASH "\"}",
	"{\"vin\":\"" VIN "\",\"purpose\":\"x\"}",
	"{\"purpose\": \"customer-service\", \"vin\": \"1m8gdm9axkp042788\"}",
	" {\r\n\t\"purpose\" : \"\" , \"vin\" : \"" VIN "\"\n}\n",
	"{\"hashedVin\":\"8CFA5F66C5EE3D6F7BD4B8F6AEE4D0D4A7F4D7F6D7A1FF0E1F5D0C3A9B8E7D6C\",\"purpose\":\"a b/c\"}",
};

/* Read by the quick way as well as by the thorough one; both hold something else for whom they do not take. */
struct reading {
	bool is_taken;
	char purpose[256];
	struct hashed_vin hash;
};

static void read_quickly(struct span body, struct reading *ret_reading)
{
	struct span purpose;
	*ret_reading = (struct reading){0};
	ret_reading->is_taken = lookup_body_scan(body, &purpose, &ret_reading->hash);
	if (ret_reading->is_taken)
		memcpy(ret_reading->purpose, purpose.data, purpose.size);
}

static void read_thoroughly(struct span body, struct reading *ret_reading)
{
	static const char *const members[] = {"hashedVin", "vin", "purpose"};
	struct http_exchange exchange = {0};
	struct call *call = calloc(1, sizeof *call);
	struct span purpose;
	*ret_reading = (struct reading){0};
	assert_non_null(call);
	call->exchange = &exchange;
	assert_int_equal(buf_append(&exchange.body, body), RESULT_OK);
	ret_reading->is_taken =
		body_read(call, members, COUNT(members)) == PROBLEM_NONE &&
		body_text(call, "purpose", BODY_REQUIRED, PURPOSE_LENGTH_MAX, &purpose) == PROBLEM_NONE &&
		body_hashed_vin(call, &ret_reading->hash) == PROBLEM_NONE;
	if (ret_reading->is_taken)
		memcpy(ret_reading->purpose, purpose.data, purpose.size);
	json_decref(call->json);
	buf_release(&exchange.body);
	free(call);
}

/* True when the quick way took it. */
static bool agree(struct span body)
{
	struct reading quick, thorough;
	read_quickly(body, &quick);
	if (!quick.is_taken)
		return false;
	read_thoroughly(body, &thorough);
	assert_true(thorough.is_taken);
	assert_string_equal(quick.purpose, thorough.purpose);
	assert_memory_equal(&quick.hash, &thorough.hash, sizeof quick.hash);
	return true;
}

static void plain_bodies_are_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(plain); i++)
		assert_true(agree(span_of_text(plain[i])));
}

static void what_is_not_plain_is_left_to_the_thorough_reader(void **state)
{
	(void)state;
	static const char *const others[] = {
		"",
		"{",
		"{}",
		"{}{}",
		"[]",
		"{\"purpose\":\"x\"}",
		"{\"vin\":\"" VIN "\"}",
		"{\"vin\":\"" VIN "\",\"purpose\":\"x\"}x",
		"{\"vin\":\"" VIN "\",\"purpose\":\"x\",}",
		"{\"vin\":\"" VIN "\",\"purpose\":\"x\"",
		"{\"vin\":\"" VIN "\",\"purpose\":\"x",
		"{\"vin\":\"" VIN "\",\"vin\":\"" VIN "\"}",
		"{\"vin\":\"" VIN "\",\"hashedVin\":\"" HASH "\"}",
		"{\"vin\":\"" VIN "\",\"purpose\":\"x\",\"hashedVin\":\"" HASH "\"}",
		"{\"purpose\":\"x\",\"purpose\":\"x\"}",
		"{\"vin\":\" " VIN "\",\"purpose\":\"x\"}",
		"{\"vin\":\"1M8GDM9AXKP04278O\",\"purpose\":\"x\"}",
		"{\"vin\":\"" VIN "\",\"purpose\":\"\\u0078\"}",
		"{\"vin\":\"" VIN "\",\"purpose\":\"\xc3\xa4\"}",
		"{\"vin\":\"" VIN "\",\"purpose\":\"a\nb\"}",
		"{\"vin\":\"" VIN "\",\"purpose\":\"1234567890123456789012345678901234567890123456789\"}",
		"{\"vin\":\"" VIN "\",\"purpose\":1}",
		"{\"vin\":\"" VIN "\",\"Purpose\":\"x\"}",
		"{\"hashedVin\":\"" HASH "0\",\"purpose\":\"x\"}",
	};
	for (size_t i = 0; i < COUNT(others); i++)
		assert_false(agree(span_of_text(others[i])));
}

/* xorshift: the same bodies each time. */
static uint32_t next_number(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Changes, inserts, drops or doubles; mostly bytes that mean something in such a body. */
static size_t mutate(uint8_t *bytes, size_t size, uint32_t *numbers)
{
	static const char meaningful[] = "{}[]\":,\\ \t\n/u0aAfFgGvinhashedVinpurpose\x7f\x80\xc3\0";
	size_t at = next_number(numbers) % size;
	uint8_t byte = (uint8_t)meaningful[next_number(numbers) % (sizeof meaningful - 1)];
	switch (next_number(numbers) % 4) {
	case 0:
		bytes[at] = byte;
		return size;
	case 1:
		memmove(bytes + at + 1, bytes + at, size - at);
		bytes[at] = byte;
		return size + 1;
	case 2:
		memmove(bytes + at, bytes + at + 1, size - at - 1);
		return size - 1;
	default:
		bytes[at] = bytes[next_number(numbers) % size];
		return size;
	}
}

static void both_readers_agree(void **state)
{
	(void)state;
	uint32_t numbers = 20260101;
	size_t taken = 0;
	for (size_t i = 0; i < 60000; i++) {
		uint8_t bytes[256] = {0};
		const char *text = plain[i % COUNT(plain)];
		size_t size = strlen(text);
		memcpy(bytes, text, size);
		for (size_t changes = 1 + next_number(&numbers) % 4; changes > 0; changes--)
			size = mutate(bytes, size, &numbers);
		/* Of its own size, so that a sanitizer sees a read beyond. */
		uint8_t *body = malloc(size);
		assert_non_null(body);
		memcpy(body, bytes, size);
		taken += agree(span_of(body, size));
		free(body);
	}
	/* Neither all nor nothing, or it would show nothing. */
	assert_in_range(taken, 600, 30000);
}

static int start_crypto(void **state)
{
	(void)state;
	return crypto_init(NULL) == RESULT_OK ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_bodies_are_taken),
		cmocka_unit_test(what_is_not_plain_is_left_to_the_thorough_reader),
		cmocka_unit_test(both_readers_agree),
	};
	return cmocka_run_group_tests(tests, start_crypto, NULL);
}
