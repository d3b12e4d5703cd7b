/* A blob of samples, whatever stands in it: decoding ends within it, and what it gives survives being written again. */
#include "adapters/telemetry/sqlite_codec.h"
#include "fuzz.h"

#include <math.h>

static void check_again(const struct signal_value *value)
{
	uint8_t *bytes = malloc(value_size_max(value));
	struct signal_value again;

	FUZZ_CHECK(bytes != NULL);
	uint8_t *end = put_value(bytes, value);
	FUZZ_CHECK((size_t)(end - bytes) <= value_size_max(value));
	struct span span = span_of(bytes, (size_t)(end - bytes));
	FUZZ_CHECK(take_value(&span, &again) == RESULT_OK && span.size == 0);
	FUZZ_CHECK(again.type == value->type && again.boolean == value->boolean && span_equal(again.text, value->text));
	FUZZ_CHECK(value->type != SIGNAL_NUMBER || memcmp(&again.number, &value->number, sizeof(double)) == 0);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = span_of(data, size);

	while (bytes.size > 0) {
		struct span before = bytes, encoded = {0};
		struct signal_value value = {0};
		uint64_t number = 0;

		if (take_varint(&bytes, &number) != RESULT_OK)
			break;
		FUZZ_CHECK(bytes.size < before.size);
		before = bytes;
		if (take_value(&bytes, &value) != RESULT_OK) {
			FUZZ_CHECK(take_encoded_value(&before, &encoded) == RESULT_CORRUPT);
			break;
		}
		FUZZ_CHECK(take_encoded_value(&before, &encoded) == RESULT_OK && before.data == bytes.data);
		check_again(&value);
	}
	/* Any double at all. */
	if (size >= sizeof(double)) {
		struct signal_value value = {.type = SIGNAL_NUMBER};
		memcpy(&value.number, data, sizeof(double));
		if (isfinite(value.number))
			check_again(&value);
	}
	return 0;
}
