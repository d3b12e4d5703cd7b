/* rfc3339_parse: what it takes is a time in range that is read back from what rfc3339_format writes. */
#include "base/text.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t at_ms = -1;
	if (rfc3339_parse(span_of(data, size), &at_ms) != RESULT_OK) {
		FUZZ_CHECK(at_ms == -1);
		return 0;
	}
	char text[RFC3339_TEXT_SIZE];
	int64_t again = -1;
	rfc3339_format(at_ms, text);
	FUZZ_CHECK(rfc3339_parse(span_of_text(text), &again) == RESULT_OK && again == at_ms);
	return 0;
}
