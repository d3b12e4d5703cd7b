#include "support.h"

#include "crypto/aead.h"

#define ZEROS_12 "000000000000000000000000"
#define ZEROS_32 "0000000000000000000000000000000000000000000000000000000000000000"
#define KEY	 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define NONCE	 "cafebabefacedbaddecaf888"
#define PLAIN_60                                                                                                       \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0d" \
	"e657ba637b39"
#define CIPHER_60                                                                                                      \
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba" \
	"7a0abcc9f662"

/* McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, cases 13 to 16: AES-256. */
static const struct aead_case {
	const char *key, *nonce, *associated, *plaintext, *ciphertext, *tag;
} cases[] = {
	{ZEROS_32, ZEROS_12, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{ZEROS_32, ZEROS_12, "", "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
	 "d0d1c8a799996bf0265b98b5d48ab919"},
	{KEY, NONCE, "", PLAIN_60 "1aafd255", CIPHER_60 "898015ad", "b094dac5d93471bdec1a502270e3cc6c"},
	{KEY, NONCE, "feedfacedeadbeeffeedfacedeadbeefabaddad2", PLAIN_60, CIPHER_60,
	 "76fc6ece0f4e1768cddf8853bb2d551b"},
};

#define CASE_COUNT (sizeof(cases) / sizeof(cases[0]))

struct decoded {
	struct hex_bytes key, nonce, associated, plaintext, ciphertext, tag;
};

static struct decoded decode(const struct aead_case *one)
{
	return (struct decoded){from_hex(one->key),	  from_hex(one->nonce),	     from_hex(one->associated),
				from_hex(one->plaintext), from_hex(one->ciphertext), from_hex(one->tag)};
}

static void known_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASE_COUNT; i++) {
		struct decoded one = decode(&cases[i]);
		uint8_t bytes[HEX_BYTES_MAX], tag[AEAD_TAG_SIZE];

		assert_ok(aead_seal(one.key.bytes, one.nonce.bytes, hex_span(&one.associated), hex_span(&one.plaintext),
				    bytes, tag));
		assert_memory_equal(bytes, one.ciphertext.bytes, one.ciphertext.size);
		assert_memory_equal(tag, one.tag.bytes, AEAD_TAG_SIZE);
		memset(bytes, 0, sizeof(bytes));
		assert_ok(aead_open(one.key.bytes, one.nonce.bytes, hex_span(&one.associated),
				    hex_span(&one.ciphertext), one.tag.bytes, bytes));
		assert_memory_equal(bytes, one.plaintext.bytes, one.plaintext.size);
	}
}

static void refuse_each_flipped_bit(struct decoded *one, uint8_t *bytes, size_t size)
{
	uint8_t untouched[HEX_BYTES_MAX], plaintext[HEX_BYTES_MAX];

	memset(untouched, 0x5a, sizeof(untouched));
	for (size_t bit = 0; bit < 8 * size; bit++) {
		memset(plaintext, 0x5a, sizeof(plaintext));
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_result(aead_open(one->key.bytes, one->nonce.bytes, hex_span(&one->associated),
					hex_span(&one->ciphertext), one->tag.bytes, plaintext),
			      RESULT_CORRUPT);
		assert_memory_equal(plaintext, untouched, sizeof(plaintext));
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
}

static void every_flipped_bit_is_refused_and_gives_nothing(void **state)
{
	struct decoded one = decode(&cases[3]);

	(void)state;
	refuse_each_flipped_bit(&one, one.key.bytes, one.key.size);
	refuse_each_flipped_bit(&one, one.nonce.bytes, one.nonce.size);
	refuse_each_flipped_bit(&one, one.associated.bytes, one.associated.size);
	refuse_each_flipped_bit(&one, one.ciphertext.bytes, one.ciphertext.size);
	refuse_each_flipped_bit(&one, one.tag.bytes, one.tag.size);
	known_answers(state);
}

static void lengths_matter(void **state)
{
	struct decoded one = decode(&cases[3]);
	uint8_t plaintext[HEX_BYTES_MAX];

	(void)state;
	one.associated.size--;
	assert_result(aead_open(one.key.bytes, one.nonce.bytes, hex_span(&one.associated), hex_span(&one.ciphertext),
				one.tag.bytes, plaintext),
		      RESULT_CORRUPT);
	one.associated.size++;
	one.ciphertext.size--;
	assert_result(aead_open(one.key.bytes, one.nonce.bytes, hex_span(&one.associated), hex_span(&one.ciphertext),
				one.tag.bytes, plaintext),
		      RESULT_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(every_flipped_bit_is_refused_and_gives_nothing),
		cmocka_unit_test(lengths_matter),
	};

	return cmocka_run_group_tests(tests, set_up_crypto, NULL);
}
