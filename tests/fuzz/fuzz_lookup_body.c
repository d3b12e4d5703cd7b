/* lookup_body_scan: what it takes is JSON of just these members, with the values that it says. */
#include "api/lookup_body.h"
#include "base/json.h"
#include "crypto/digest.h"
#include "fuzz.h"

static void check_hash(const json_t *json, const struct hashed_vin *hash)
{
	struct hashed_vin again;
	struct vin vin;
	struct span text;

	if (json_get_text(json, "hashedVin", 256, &text) == RESULT_OK) {
		FUZZ_CHECK(json_object_get(json, "vin") == NULL && hashed_vin_parse(text, &again) == RESULT_OK);
	} else {
		FUZZ_CHECK(json_get_text(json, "vin", 256, &text) == RESULT_OK && vin_parse(text, &vin) == RESULT_OK);
		FUZZ_CHECK(vin_hash(&vin, &again) == RESULT_OK);
	}
	FUZZ_CHECK(memcmp(again.bytes, hash->bytes, sizeof again.bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span purpose, text;
	struct hashed_vin hash;
	struct note note = {0};
	JSON_CLEANUP json_t *json = NULL;

	FUZZ_CHECK(crypto_init(NULL) == RESULT_OK);
	if (!lookup_body_scan(span_of(data, size), &purpose, &hash))
		return 0;
	FUZZ_CHECK(json_read(span_of(data, size), &json, &note) == RESULT_OK && json_object_size(json) == 2);
	FUZZ_CHECK(json_get_text(json, "purpose", 256, &text) == RESULT_OK && span_equal(text, purpose));
	check_hash(json, &hash);
	return 0;
}
