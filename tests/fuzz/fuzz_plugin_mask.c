/* What vehicles send is masked before it is kept: its length stays, masking again finds nothing, and no VIN stands in
 * it. */
#include "fuzz.h"
#include "programs/mosquitto-plugin/mask.h"
#include "vehicle/vin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	FUZZ_CHECK(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	size_t counted = mask_count(span_of(data, size));
	bool has_escape = memmem(data, size, "\\u00", 4) != NULL;
	FUZZ_CHECK(mask_text(copy, size) == counted || has_escape);
	FUZZ_CHECK(mask_count(span_of(copy, size)) == 0);
	FUZZ_CHECK(!vin_stands_in(span_of(copy, size)));
	/* Nothing but letters and digits is touched; an escape becomes that of an X. */
	for (size_t i = 0; i < size; i++)
		FUZZ_CHECK(copy[i] == data[i] || copy[i] == 'X' || has_escape);
	(void)mask_binary(copy, size);
	FUZZ_CHECK(!vin_stands_in(span_of(copy, size)));
	free(copy);
	return 0;
}
