#include "adapters/keys/wire.h"

struct span wire_get_span(struct wire_reader *reader, size_t size)
{
	if (reader->failed || reader->rest.size < size) {
		reader->failed = true;
		return (struct span){0};
	}
	struct span taken = span_of(reader->rest.data, size);
	reader->rest = span_of(reader->rest.data + size, reader->rest.size - size);
	return taken;
}

void wire_get(struct wire_reader *reader, void *ret_bytes, size_t size)
{
	struct span taken = wire_get_span(reader, size);
	if (size == 0)
		return;
	if (taken.data)
		memcpy(ret_bytes, taken.data, size);
	else
		memset(ret_bytes, 0, size);
}

static uint64_t get_number(struct wire_reader *reader, size_t size)
{
	struct span taken = wire_get_span(reader, size);
	uint64_t value = 0;
	for (size_t i = 0; i < taken.size; i++)
		value = value << 8 | taken.data[i];
	return value;
}

uint8_t wire_get_u8(struct wire_reader *reader)
{
	return (uint8_t)get_number(reader, 1);
}

uint16_t wire_get_u16(struct wire_reader *reader)
{
	return (uint16_t)get_number(reader, 2);
}

uint32_t wire_get_u32(struct wire_reader *reader)
{
	return (uint32_t)get_number(reader, 4);
}

uint64_t wire_get_u64(struct wire_reader *reader)
{
	return get_number(reader, 8);
}

enum result wire_end(const struct wire_reader *reader)
{
	return reader->failed || reader->rest.size > 0 ? RESULT_INVALID : RESULT_OK;
}

static enum result put_number(struct buf *buf, uint64_t value, size_t size)
{
	uint8_t bytes[8];
	for (size_t i = size; i-- > 0; value >>= 8)
		bytes[i] = (uint8_t)value;
	return buf_append(buf, span_of(bytes, size));
}

enum result wire_put_u8(struct buf *buf, uint8_t value)
{
	return put_number(buf, value, 1);
}

enum result wire_put_u16(struct buf *buf, uint16_t value)
{
	return put_number(buf, value, 2);
}

enum result wire_put_u32(struct buf *buf, uint32_t value)
{
	return put_number(buf, value, 4);
}

enum result wire_put_u64(struct buf *buf, uint64_t value)
{
	return put_number(buf, value, 8);
}

enum result wire_put(struct buf *buf, const void *bytes, size_t size)
{
	return buf_append(buf, span_of(bytes, size));
}
