/* An agent's checkin: bounded, and every ID within what was read. */
#include "adapters/fleetwise/agent_format.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct agent_format *format = fleetwise_agent_format();
	struct span *sync_ids;
	size_t count, total = 0;
	enum result result = format->ops->read_checkin(format, span_of(data, size), &arena, &sync_ids, &count);

	FUZZ_CHECK(result == RESULT_OK || result == RESULT_INVALID);
	if (result != RESULT_OK)
		return 0;
	FUZZ_CHECK(count <= AGENT_SYNC_IDS_MAX);
	for (size_t i = 0; i < count; i++)
		total += sync_ids[i].size;
	FUZZ_CHECK(total <= size);
	return 0;
}
