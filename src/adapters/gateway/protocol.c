/* Frames to the plugin; protocol_channel.c holds what the plugin sends. */
#include "adapters/gateway/protocol.h"

#include "adapters/gateway/protocol_fields.h"

#define DENIAL_SIZE (SERIAL_SIZE + UUID_SIZE)

/* ---- fields of both directions -------------------------------------------------------------------------------- */

enum result put_short_text(struct buf *buf, const char *text, size_t length_max)
{
	size_t length = strlen(text);
	if (length > length_max || length > UINT16_MAX)
		return RESULT_INVALID;
	TRY(wire_put_u16(buf, (uint16_t)length));
	return wire_put(buf, text, length);
}

/* Printable ASCII: these come to logs, and a NUL in them would be an end in one place and none in another. */
void get_short_text(struct wire_reader *reader, size_t length_min, char *ret_text, size_t text_size)
{
	size_t length = wire_get_u16(reader);
	struct span text = wire_get_span(reader, length < text_size ? length : SIZE_MAX);
	if (text.size < length_min || !text_is_printable(text, true))
		reader->failed = true;
	memset(ret_text, 0, text_size);
	if (!reader->failed && text.size > 0)
		memcpy(ret_text, text.data, text.size);
}

struct span get_rest(struct wire_reader *reader, size_t size_max)
{
	if (reader->rest.size > size_max)
		reader->failed = true;
	return wire_get_span(reader, reader->rest.size);
}

/* ---- encoding ------------------------------------------------------------------------------------------------- */

static enum result begin(struct buf *frame, enum control_kind kind)
{
	frame->size_max = CONTROL_FRAME_SIZE_MAX;
	TRY(wire_put_u8(frame, GATEWAY_PROTOCOL_VERSION));
	return wire_put_u8(frame, (uint8_t)kind);
}

enum result control_put_epoch(struct buf *frame, enum control_kind kind, uint64_t epoch)
{
	TRY(begin(frame, kind));
	return wire_put_u64(frame, epoch);
}

static enum result put_entries(struct buf *frame, enum control_kind kind, const void *entries, size_t count,
			       size_t entry_size)
{
	if (count == 0 || count > CONTROL_ENTRIES_MAX)
		return RESULT_INVALID;
	TRY(begin(frame, kind));
	TRY(wire_put_u16(frame, (uint16_t)count));
	return wire_put(frame, entries, count * entry_size);
}

enum result control_put_serials(struct buf *frame, const struct serial *serials, size_t count)
{
	return put_entries(frame, CONTROL_SNAPSHOT_SERIALS, serials, count, SERIAL_SIZE);
}

enum result control_put_refused(struct buf *frame, const struct uuid *reference_ids, size_t count)
{
	return put_entries(frame, CONTROL_SNAPSHOT_REFUSED, reference_ids, count, UUID_SIZE);
}

enum result control_put_denials(struct buf *frame, const struct control_denial *denials, size_t count)
{
	_Static_assert(sizeof(*denials) == DENIAL_SIZE, "an entry is the struct");
	return put_entries(frame, CONTROL_DENY, denials, count, DENIAL_SIZE);
}

enum result control_put_end(struct buf *frame, uint64_t epoch, uint64_t serial_count, uint64_t refused_count)
{
	TRY(begin(frame, CONTROL_SNAPSHOT_END));
	TRY(wire_put_u64(frame, epoch));
	TRY(wire_put_u64(frame, serial_count));
	return wire_put_u64(frame, refused_count);
}

enum result control_put_activate(struct buf *frame, const struct serial *serial)
{
	TRY(begin(frame, CONTROL_ACTIVATE));
	return wire_put(frame, serial->bytes, SERIAL_SIZE);
}

enum result control_put_vehicle(struct buf *frame, enum control_kind kind, const struct uuid *reference_id)
{
	TRY(begin(frame, kind));
	return wire_put(frame, reference_id->bytes, UUID_SIZE);
}

static enum result put_message(struct buf *frame, const char *topic, struct span payload)
{
	if (*topic == '\0' || payload.size > GATEWAY_PAYLOAD_MAX)
		return RESULT_INVALID;
	TRY(put_short_text(frame, topic, GATEWAY_TOPIC_SIZE - 1));
	return wire_put(frame, payload.data, payload.size);
}

enum result control_put_deliver(struct buf *frame, const struct uuid *reference_id, bool only_when_ready,
				const char *topic, struct span payload)
{
	TRY(begin(frame, CONTROL_DELIVER));
	TRY(wire_put(frame, reference_id->bytes, UUID_SIZE));
	TRY(wire_put_u8(frame, only_when_ready ? 1 : 0));
	return put_message(frame, topic, payload);
}

enum result control_put_answer(struct buf *frame, const struct gateway_caller *caller, const char *topic,
			       struct span payload)
{
	TRY(begin(frame, CONTROL_ANSWER));
	TRY(wire_put_u64(frame, caller->connection));
	TRY(put_short_text(frame, caller->client_id, GATEWAY_CLIENT_ID_SIZE - 1));
	return put_message(frame, topic, payload);
}

/* ---- decoding ------------------------------------------------------------------------------------------------- */

static void get_entries(struct wire_reader *reader, struct control_frame *frame, size_t entry_size)
{
	frame->count = wire_get_u16(reader);
	if (frame->count == 0 || frame->count > CONTROL_ENTRIES_MAX)
		reader->failed = true;
	frame->entries = wire_get_span(reader, frame->count * entry_size);
}

static void get_message(struct wire_reader *reader, struct control_frame *frame)
{
	get_short_text(reader, 1, frame->topic, sizeof(frame->topic));
	frame->payload = get_rest(reader, GATEWAY_PAYLOAD_MAX);
}

static void get_deliver(struct wire_reader *reader, struct control_frame *frame)
{
	wire_get(reader, frame->reference_id.bytes, UUID_SIZE);
	uint8_t only_when_ready = wire_get_u8(reader);
	if (only_when_ready > 1)
		reader->failed = true;
	frame->only_when_ready = only_when_ready == 1;
	get_message(reader, frame);
}

static void get_answer(struct wire_reader *reader, struct control_frame *frame)
{
	frame->connection = wire_get_u64(reader);
	get_short_text(reader, 1, frame->client_id, sizeof(frame->client_id));
	get_message(reader, frame);
}

static void get_end(struct wire_reader *reader, struct control_frame *frame)
{
	frame->epoch = wire_get_u64(reader);
	frame->serial_count = wire_get_u64(reader);
	frame->refused_count = wire_get_u64(reader);
}

static void get_body(struct wire_reader *reader, struct control_frame *frame)
{
	switch (frame->kind) {
	case CONTROL_HELLO:
	case CONTROL_SNAPSHOT_BEGIN:
	case CONTROL_HEARTBEAT:
		frame->epoch = wire_get_u64(reader);
		return;
	case CONTROL_SNAPSHOT_SERIALS:
		get_entries(reader, frame, SERIAL_SIZE);
		return;
	case CONTROL_SNAPSHOT_REFUSED:
		get_entries(reader, frame, UUID_SIZE);
		return;
	case CONTROL_SNAPSHOT_END:
		get_end(reader, frame);
		return;
	case CONTROL_DENY:
		get_entries(reader, frame, DENIAL_SIZE);
		return;
	case CONTROL_ACTIVATE:
		wire_get(reader, frame->serial.bytes, SERIAL_SIZE);
		return;
	case CONTROL_REFUSE:
	case CONTROL_ADMIT:
		wire_get(reader, frame->reference_id.bytes, UUID_SIZE);
		return;
	case CONTROL_DELIVER:
		get_deliver(reader, frame);
		return;
	case CONTROL_ANSWER:
		get_answer(reader, frame);
		return;
	}
	reader->failed = true;
}

enum result control_get(struct span bytes, struct control_frame *ret_frame)
{
	struct wire_reader reader = {.rest = bytes};
	if (wire_get_u8(&reader) != GATEWAY_PROTOCOL_VERSION)
		return RESULT_INVALID;
	struct control_frame frame = {.kind = (enum control_kind)wire_get_u8(&reader)};
	get_body(&reader, &frame);
	TRY(wire_end(&reader));
	*ret_frame = frame;
	return RESULT_OK;
}

void control_frame_serial(const struct control_frame *frame, size_t i, struct serial *ret_serial)
{
	memcpy(ret_serial->bytes, frame->entries.data + i * SERIAL_SIZE, SERIAL_SIZE);
}

void control_frame_refused(const struct control_frame *frame, size_t i, struct uuid *ret_reference_id)
{
	memcpy(ret_reference_id->bytes, frame->entries.data + i * UUID_SIZE, UUID_SIZE);
}

void control_frame_denial(const struct control_frame *frame, size_t i, struct control_denial *ret_denial)
{
	memcpy(ret_denial, frame->entries.data + i * DENIAL_SIZE, DENIAL_SIZE);
}
