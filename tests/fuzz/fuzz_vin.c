/* vin_parse, hashed_vin_parse, vin_stands_in: what is taken is in its one form, and stands in a text around it. */
#include "base/text.h"
#include "fuzz.h"
#include "vehicle/vin.h"

static void check_forbidden_characters(const struct vin *vin)
{
	FUZZ_CHECK(strlen(vin->text) == VIN_LENGTH);
	FUZZ_CHECK(strspn(vin->text, "ABCDEFGHJKLMNPRSTUVWXYZ0123456789") == VIN_LENGTH);
	FUZZ_CHECK(strspn(vin->text, "0123456789") == VIN_LENGTH || strcspn(vin->text, "0123456789") == VIN_LENGTH ||
		   vin_stands_in(span_of_text(vin->text)));
}

static void check_hash(struct span text)
{
	struct hashed_vin hash;
	char hex[2 * SHA256_SIZE + 1];

	if (hashed_vin_parse(text, &hash) != RESULT_OK)
		return;
	hex_format(span_of(hash.bytes, sizeof(hash.bytes)), hex);
	FUZZ_CHECK(text.size == 2 * SHA256_SIZE && vin_stands_in(span_of_text(hex)) && vin_stands_in(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vin vin, again;

	vin_stands_in(span_of(data, size));
	check_hash(span_of(data, size));
	if (vin_parse(span_of(data, size), &vin) != RESULT_OK)
		return 0;
	check_forbidden_characters(&vin);
	vin_has_check_digit(&vin);
	FUZZ_CHECK(vin_parse(span_of_text(vin.text), &again) == RESULT_OK && strcmp(vin.text, again.text) == 0);
	return 0;
}
