/*
 * What the tests of crypto/ share. OpenSSL is used directly here, as an oracle and as the other side.
 */
#ifndef VINVEIL_TESTS_CRYPTO_SUPPORT_H
#define VINVEIL_TESTS_CRYPTO_SUPPORT_H

#include "../cmocka_all.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "crypto/certificate.h"

#include <stdio.h>
#include <stdlib.h>

#define HEX_BYTES_MAX 512

#define assert_result(expression, expected) assert_string_equal(result_name(expression), result_name(expected))
#define assert_ok(expression)		    assert_result(expression, RESULT_OK)

struct hex_bytes {
	uint8_t bytes[HEX_BYTES_MAX];
	size_t size;
};

static inline struct hex_bytes from_hex(const char *text)
{
	struct hex_bytes decoded = {.size = strlen(text) / 2};

	assert_true(decoded.size <= HEX_BYTES_MAX);
	assert_ok(hex_parse(span_of_text(text), false, decoded.bytes, decoded.size));
	return decoded;
}

static inline struct span hex_span(const struct hex_bytes *decoded)
{
	return span_of(decoded->bytes, decoded->size);
}

static inline int set_up_crypto(void **state)
{
	struct note note = {0};

	(void)state;
	if (crypto_init(&note) == RESULT_OK)
		return 0;
	print_error("crypto_init: %s\n", note.text);
	return -1;
}

#define DAY_MS ((int64_t)24 * 3600 * 1000)

/* A root of its own key. */
static inline struct issuer *make_test_root(enum private_key_kind kind, int path_length, int64_t not_before_ms)
{
	BUF_CLEANUP struct buf pem = {0};
	struct private_key *key;
	struct issuer *root;
	struct note note = {0};

	assert_ok(private_key_generate(kind, &key, &note));
	assert_ok(certificate_make_root(key, "test root", path_length, not_before_ms, entropy_system(), &pem, &note));
	assert_ok(issuer_open(buf_span(&pem), key, &root, &note));
	return root;
}

#endif
