/* What the plugin tells vinveild: frames over the socket, and the bodies of the events spool's records. */
#include "adapters/gateway/protocol.h"

#include "adapters/gateway/protocol_fields.h"

/* ---- channel: encoding ---------------------------------------------------------------------------------------- */

static enum result begin(struct buf *frame, enum channel_kind kind)
{
	frame->size_max = CHANNEL_FRAME_SIZE_MAX;
	TRY(wire_put_u32(frame, 0));
	return wire_put_u8(frame, (uint8_t)kind);
}

/* The length is known only now. */
static enum result end(struct buf *frame)
{
	uint32_t length = (uint32_t)(frame->size - 4);
	for (size_t i = 0; i < 4; i++)
		frame->data[i] = (uint8_t)(length >> (24 - 8 * i));
	return RESULT_OK;
}

enum result channel_put_hello(struct buf *frame)
{
	TRY(begin(frame, CHANNEL_HELLO));
	TRY(wire_put_u16(frame, GATEWAY_PROTOCOL_VERSION));
	return end(frame);
}

enum result channel_put_claim(struct buf *frame, const struct gateway_claim_message *claim)
{
	if (claim->payload.size > CHANNEL_PAYLOAD_MAX || claim->caller.client_id[0] == '\0')
		return RESULT_INVALID;
	TRY(begin(frame, CHANNEL_CLAIM));
	TRY(wire_put_u8(frame, (uint8_t)claim->request));
	TRY(wire_put_u64(frame, claim->caller.connection));
	TRY(put_short_text(frame, claim->caller.client_id, sizeof(claim->caller.client_id) - 1));
	TRY(wire_put(frame, claim->serial.bytes, SERIAL_SIZE));
	TRY(put_short_text(frame, claim->address, sizeof(claim->address) - 1));
	TRY(put_short_text(frame, claim->template_name, sizeof(claim->template_name) - 1));
	TRY(wire_put(frame, claim->payload.data, claim->payload.size));
	return end(frame);
}

#define COUNTERS (sizeof(struct plugin_counters) / sizeof(uint64_t))

enum result channel_put_status(struct buf *frame, const struct plugin_counters *counters)
{
	uint64_t values[COUNTERS];
	_Static_assert(sizeof(values) == sizeof(*counters), "counters are numbers");
	memcpy(values, counters, sizeof(values));
	TRY(begin(frame, CHANNEL_STATUS));
	for (size_t i = 0; i < COUNTERS; i++)
		TRY(wire_put_u64(frame, values[i]));
	return end(frame);
}

/* ---- channel: decoding ---------------------------------------------------------------------------------------- */

enum result channel_frame_size(struct span header, size_t *ret_size)
{
	struct wire_reader reader = {.rest = header};
	size_t size = (size_t)wire_get_u32(&reader) + 4;
	if (reader.failed || size < CHANNEL_HEADER_SIZE || size > CHANNEL_FRAME_SIZE_MAX)
		return RESULT_INVALID;
	*ret_size = size;
	return RESULT_OK;
}

static void get_claim(struct wire_reader *reader, struct gateway_claim_message *claim)
{
	claim->request = (enum gateway_claim_request)wire_get_u8(reader);
	if (claim->request != GATEWAY_CREATE_FROM_CSR && claim->request != GATEWAY_PROVISION)
		reader->failed = true;
	claim->caller.connection = wire_get_u64(reader);
	get_short_text(reader, 1, claim->caller.client_id, sizeof(claim->caller.client_id));
	wire_get(reader, claim->serial.bytes, SERIAL_SIZE);
	get_short_text(reader, 0, claim->address, sizeof(claim->address));
	get_short_text(reader, 0, claim->template_name, sizeof(claim->template_name));
	claim->payload = get_rest(reader, CHANNEL_PAYLOAD_MAX);
}

static void get_status(struct wire_reader *reader, struct plugin_counters *counters)
{
	uint64_t values[COUNTERS];
	for (size_t i = 0; i < COUNTERS; i++)
		values[i] = wire_get_u64(reader);
	memcpy(counters, values, sizeof(values));
}

enum result channel_get(struct span bytes, struct channel_frame *ret_frame)
{
	struct wire_reader reader = {.rest = bytes};
	struct channel_frame frame = {0};
	size_t size = 0;
	TRY(channel_frame_size(span_of(bytes.data, bytes.size < 4 ? 0 : 4), &size));
	if (size != bytes.size)
		return RESULT_INVALID;
	(void)wire_get_u32(&reader);
	frame.kind = (enum channel_kind)wire_get_u8(&reader);
	switch (frame.kind) {
	case CHANNEL_HELLO:
		frame.version = wire_get_u16(&reader);
		break;
	case CHANNEL_CLAIM:
		get_claim(&reader, &frame.claim);
		break;
	case CHANNEL_STATUS:
		get_status(&reader, &frame.counters);
		break;
	default:
		return RESULT_INVALID;
	}
	TRY(wire_end(&reader));
	*ret_frame = frame;
	return RESULT_OK;
}

/* ---- events --------------------------------------------------------------------------------------------------- */

enum result event_put(struct buf *body, const struct gateway_event *event)
{
	if (event->payload.size > GATEWAY_PAYLOAD_MAX)
		return RESULT_INVALID;
	body->size_max = EVENT_BODY_SIZE_MAX;
	TRY(wire_put(body, event->serial.bytes, SERIAL_SIZE));
	TRY(put_short_text(body, event->address, sizeof(event->address) - 1));
	switch (event->kind) {
	case GATEWAY_VEHICLE_CONNECTED:
	case GATEWAY_VEHICLE_DISCONNECTED:
	case GATEWAY_VEHICLE_READY:
		return RESULT_OK;
	case GATEWAY_COMMAND_RESPONSE:
		TRY(wire_put(body, event->command_id.bytes, UUID_SIZE));
		return wire_put(body, event->payload.data, event->payload.size);
	case GATEWAY_CHECKIN:
		return wire_put(body, event->payload.data, event->payload.size);
	case GATEWAY_CLONE_SUSPECTED:
		return put_short_text(body, event->other_address, sizeof(event->other_address) - 1);
	}
	return RESULT_INVALID;
}

enum result event_get(uint16_t kind, struct span body, struct gateway_event *ret_event)
{
	struct wire_reader reader = {.rest = body};
	struct gateway_event event = {.kind = (enum gateway_event_kind)kind};
	wire_get(&reader, event.serial.bytes, SERIAL_SIZE);
	get_short_text(&reader, 0, event.address, sizeof(event.address));
	switch (event.kind) {
	case GATEWAY_VEHICLE_CONNECTED:
	case GATEWAY_VEHICLE_DISCONNECTED:
	case GATEWAY_VEHICLE_READY:
		break;
	case GATEWAY_COMMAND_RESPONSE:
		wire_get(&reader, event.command_id.bytes, UUID_SIZE);
		event.payload = get_rest(&reader, GATEWAY_PAYLOAD_MAX);
		break;
	case GATEWAY_CHECKIN:
		event.payload = get_rest(&reader, GATEWAY_PAYLOAD_MAX);
		break;
	case GATEWAY_CLONE_SUSPECTED:
		get_short_text(&reader, 0, event.other_address, sizeof(event.other_address));
		break;
	default:
		return RESULT_INVALID;
	}
	TRY(wire_end(&reader));
	*ret_event = event;
	return RESULT_OK;
}
