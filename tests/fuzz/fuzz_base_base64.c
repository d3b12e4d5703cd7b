/* base64_parse: there is one text for any bytes, so what it takes is what base64_append writes. */
#include "base/text.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t size_max = size / 4 * 3;
	uint8_t *bytes = malloc(size_max ? size_max : 1);
	size_t parsed = 0;
	FUZZ_CHECK(bytes);
	if (base64_parse(span_of(data, size), bytes, size_max, &parsed) == RESULT_OK) {
		BUF_CLEANUP struct buf again = {.size_max = size};
		FUZZ_CHECK(base64_append(&again, span_of(bytes, parsed)) == RESULT_OK);
		FUZZ_CHECK(span_equal(buf_span(&again), span_of(data, size)));
		/* A byte less of room is refused. */
		size_t untouched = 0;
		if (parsed > 0)
			FUZZ_CHECK(base64_parse(span_of(data, size), bytes, parsed - 1, &untouched) == RESULT_INVALID);
	}
	free(bytes);
	return 0;
}
