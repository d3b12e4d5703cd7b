/*
 * What the plugin tells vinveild. First byte 0: a frame of the channel; otherwise that is the kind of a record of the
 * events spool, and the rest its body. Whatever is read must be written alike again.
 */
#include "adapters/gateway/protocol.h"
#include "fuzz.h"

static void read_frame(struct span bytes)
{
	BUF_CLEANUP struct buf again = {0};
	struct channel_frame frame;
	if (channel_get(bytes, &frame) != RESULT_OK)
		return;
	enum result result = RESULT_INVALID;
	if (frame.kind == CHANNEL_CLAIM)
		result = channel_put_claim(&again, &frame.claim);
	else if (frame.kind == CHANNEL_STATUS)
		result = channel_put_status(&again, &frame.counters);
	else
		return; /* a hello of another version is read, and refused by whoever reads it */
	FUZZ_CHECK(result == RESULT_OK);
	FUZZ_CHECK(span_equal(buf_span(&again), bytes));
}

static void read_event(uint16_t kind, struct span body)
{
	BUF_CLEANUP struct buf again = {0};
	struct gateway_event event;
	if (event_get(kind, body, &event) != RESULT_OK)
		return;
	FUZZ_CHECK(event_put(&again, &event) == RESULT_OK);
	FUZZ_CHECK(span_equal(buf_span(&again), body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 0)
		read_frame(span_of(data + 1, size - 1));
	else
		read_event(data[0], span_of(data + 1, size - 1));
	return 0;
}
