/*
 * What vinveild tells the plugin: one frame. Whatever is read must be written alike again, and the plugin's deny list
 * must stand whatever it is told.
 */
#include "adapters/gateway/protocol.h"
#include "fuzz.h"
#include "programs/mosquitto-plugin/deny_list.h"

static enum result put_serials(const struct control_frame *frame, struct buf *again)
{
	static struct serial serials[CONTROL_ENTRIES_MAX];
	for (size_t i = 0; i < frame->count; i++)
		control_frame_serial(frame, i, &serials[i]);
	return control_put_serials(again, serials, frame->count);
}

static enum result put_refused(const struct control_frame *frame, struct buf *again)
{
	static struct uuid refused[CONTROL_ENTRIES_MAX];
	for (size_t i = 0; i < frame->count; i++)
		control_frame_refused(frame, i, &refused[i]);
	return control_put_refused(again, refused, frame->count);
}

static enum result put_denials(const struct control_frame *frame, struct buf *again)
{
	static struct control_denial denials[CONTROL_ENTRIES_MAX];
	for (size_t i = 0; i < frame->count; i++)
		control_frame_denial(frame, i, &denials[i]);
	return control_put_denials(again, denials, frame->count);
}

static enum result put_answer(const struct control_frame *frame, struct buf *again)
{
	struct gateway_caller caller = {.connection = frame->connection};
	memcpy(caller.client_id, frame->client_id, sizeof(caller.client_id));
	return control_put_answer(again, &caller, frame->topic, frame->payload);
}

static enum result put_again(const struct control_frame *frame, struct buf *again)
{
	switch (frame->kind) {
	case CONTROL_HELLO:
	case CONTROL_SNAPSHOT_BEGIN:
	case CONTROL_HEARTBEAT:
		return control_put_epoch(again, frame->kind, frame->epoch);
	case CONTROL_SNAPSHOT_SERIALS:
		return put_serials(frame, again);
	case CONTROL_SNAPSHOT_REFUSED:
		return put_refused(frame, again);
	case CONTROL_SNAPSHOT_END:
		return control_put_end(again, frame->epoch, frame->serial_count, frame->refused_count);
	case CONTROL_DENY:
		return put_denials(frame, again);
	case CONTROL_ACTIVATE:
		return control_put_activate(again, &frame->serial);
	case CONTROL_REFUSE:
	case CONTROL_ADMIT:
		return control_put_vehicle(again, frame->kind, &frame->reference_id);
	case CONTROL_DELIVER:
		return control_put_deliver(again, &frame->reference_id, frame->only_when_ready, frame->topic,
					   frame->payload);
	case CONTROL_ANSWER:
		return put_answer(frame, again);
	}
	return RESULT_INVALID;
}

/* A list that has been told of the frame's first entry denies it, until it is told otherwise. */
static void tell_list(const struct control_frame *frame)
{
	struct deny_list list = {0};
	struct control_denial denial;
	if (frame->kind != CONTROL_DENY)
		return;
	for (size_t i = 0; i < frame->count; i++) {
		control_frame_denial(frame, i, &denial);
		FUZZ_CHECK(deny_list_deny(&list, &denial.serial) == RESULT_OK);
		FUZZ_CHECK(deny_list_denies(&list, &denial.serial, NULL));
	}
	control_frame_denial(frame, 0, &denial);
	deny_list_activate(&list, &denial.serial);
	FUZZ_CHECK(!deny_list_denies(&list, &denial.serial, NULL));
	deny_list_release(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BUF_CLEANUP struct buf again = {0};
	struct control_frame frame;
	if (control_get(span_of(data, size), &frame) != RESULT_OK)
		return 0;
	FUZZ_CHECK(put_again(&frame, &again) == RESULT_OK);
	FUZZ_CHECK(span_equal(buf_span(&again), span_of(data, size)));
	tell_list(&frame);
	return 0;
}
