/* text_withhold: never longer, and nothing is left for a second pass to withhold. */
#include "base/text.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1);
	FUZZ_CHECK(text);
	if (size > 0)
		memcpy(text, data, size);
	size_t before = strlen(text);
	text_withhold(text);
	size_t after = strlen(text);
	FUZZ_CHECK(after <= before);
	char *again = strdup(text);
	FUZZ_CHECK(again);
	text_withhold(again);
	FUZZ_CHECK(strcmp(text, again) == 0);
	free(again);
	free(text);
	return 0;
}
