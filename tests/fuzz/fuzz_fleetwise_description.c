/* An operator's description, as JSON: a fault with a sentence, or documents that are read back. */
#include "adapters/fleetwise/agent_format.h"
#include "adapters/fleetwise/decoders.h"
#include "crypto/library.h"
#include "fuzz.h"
#include "vehicle/ports/device_gateway.h"
#include "vehicle/vin.h"

static void check_documents(const struct agent_documents *documents, struct arena *arena)
{
	struct agent_format *format = fleetwise_agent_format();
	struct fleetwise_decoders *decoders;
	struct agent_scheme *schemes;
	size_t count, skipped;

	FUZZ_CHECK(documents->decoder_manifest.bytes.size <= GATEWAY_PAYLOAD_MAX);
	FUZZ_CHECK(format->ops->read_schemes(format, documents->collection_schemes.bytes, arena, &schemes, &count) ==
		   RESULT_OK);
	FUZZ_CHECK(count == documents->scheme_count);
	for (size_t i = 0; i < count; i++)
		FUZZ_CHECK(span_is_text(schemes[i].decoder_sync_id, documents->decoder_manifest.sync_id));
	FUZZ_CHECK(fleetwise_decoders_open(NULL, &decoders, &skipped, NULL) == RESULT_OK);
	FUZZ_CHECK(fleetwise_decoders_put(decoders, documents->decoder_manifest.sync_id, documents->names, NULL) ==
		   RESULT_OK);
	fleetwise_decoders_close(decoders);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tenant_id tenant = {"demo"};
	ARENA_CLEANUP struct arena arena = {.size_max = (size_t)64 << 20};
	struct agent_format *format = fleetwise_agent_format();
	JSON_CLEANUP json_t *json = NULL;
	struct agent_documents documents;
	struct description_fault fault = {0};

	FUZZ_CHECK(crypto_init(NULL) == RESULT_OK);
	if (json_read(span_of(data, size), &json, NULL) != RESULT_OK)
		return 0;
	enum result result = format->ops->make_documents(format, &tenant, json, 0, &arena, &documents, &fault);
	if (result == RESULT_OK) {
		check_documents(&documents, &arena);
		return 0;
	}
	FUZZ_CHECK(result == RESULT_INVALID && fault.problem != PROBLEM_NONE && fault.detail[0] != '\0');
	FUZZ_CHECK(!vin_stands_in(span_of_text(fault.detail)));
	return 0;
}
