/* A document of signal names: what is taken can be found. */
#include "adapters/fleetwise/decoders.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fleetwise_decoders *decoders;
	struct fleetwise_lookup lookup;
	size_t skipped;

	FUZZ_CHECK(fleetwise_decoders_open(NULL, &decoders, &skipped, NULL) == RESULT_OK);
	enum result result = fleetwise_decoders_put(decoders, "demo/car/1", span_of(data, size), NULL);
	FUZZ_CHECK(result == RESULT_OK || result == RESULT_INVALID);
	fleetwise_lookup_begin(&lookup, decoders, span_of_text("demo/car/1"));
	FUZZ_CHECK((lookup.decoder != NULL) == (result == RESULT_OK));
	for (uint32_t id = 0; id < 8; id++) {
		const struct fleetwise_signal *signal = fleetwise_lookup_find(&lookup, id);
		FUZZ_CHECK(signal == NULL || (signal->id == id && signal->name.size > 0));
	}
	fleetwise_lookup_end(&lookup);
	fleetwise_decoders_close(decoders);
	return 0;
}
