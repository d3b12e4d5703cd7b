#include "adapters/keys/protocol.h"

#include "adapters/keys/protocol_frame.h"

#define ANSWER_HEADER_SIZE (KEYD_FRAME_HEADER_SIZE + 1)
#define RESULT_LAST	   RESULT_MEMORY
#define RESEALED_SIZE	   (1 + SEALED_VIN_SIZE + 2 + VIN_INDEX_SIZE)

/* ---- encoding ------------------------------------------------------------------------------------- */

static enum result begin(struct buf *frame, uint8_t call, enum result result)
{
	TRY(keyd_frame_begin(frame, call | KEYD_ANSWER_BIT, keyd_answer_size_max(call)));
	return wire_put_u8(frame, (uint8_t)result);
}

enum result keyd_put_failure(struct buf *frame, uint8_t call, enum result failure, const struct note *note)
{
	TRY(begin(frame, call & (uint8_t)~KEYD_ANSWER_BIT, failure));
	TRY(wire_put(frame, note->text, strnlen(note->text, KEYD_NOTE_TEXT_MAX)));
	return keyd_frame_end(frame);
}

enum result keyd_put_hello_answer(struct buf *frame, uint16_t version)
{
	TRY(begin(frame, KEYD_HELLO, RESULT_OK));
	TRY(wire_put_u16(frame, version));
	return keyd_frame_end(frame);
}

enum result keyd_put_empty_answer(struct buf *frame, enum keyd_call call)
{
	TRY(begin(frame, (uint8_t)call, RESULT_OK));
	return keyd_frame_end(frame);
}

enum result keyd_put_index_answer(struct buf *frame, const struct vin_index_set *sets, size_t count)
{
	size_t generations = sets[0].count;
	TRY(begin(frame, KEYD_INDEX_VINS, RESULT_OK));
	TRY(wire_put_u8(frame, (uint8_t)generations));
	for (size_t i = 0; i < generations; i++)
		TRY(wire_put_u16(frame, sets[0].indexes[i].generation));
	for (size_t i = 0; i < count; i++)
		for (size_t place = 0; place < generations; place++)
			TRY(wire_put(frame, sets[i].indexes[place].bytes, VIN_INDEX_SIZE));
	return keyd_frame_end(frame);
}

enum result keyd_put_bytes_answer(struct buf *frame, enum keyd_call call, struct span bytes)
{
	TRY(begin(frame, (uint8_t)call, RESULT_OK));
	TRY(buf_append(frame, bytes));
	return keyd_frame_end(frame);
}

enum result keyd_put_reseal_answer(struct buf *frame, const struct reseal_item *items, size_t count)
{
	TRY(begin(frame, KEYD_RESEAL_VINS, RESULT_OK));
	for (size_t i = 0; i < count; i++) {
		TRY(wire_put_u8(frame, (uint8_t)items[i].result));
		TRY(wire_put(frame, items[i].sealed.bytes, SEALED_VIN_SIZE));
		TRY(wire_put_u16(frame, items[i].index.generation));
		TRY(wire_put(frame, items[i].index.bytes, VIN_INDEX_SIZE));
	}
	return keyd_frame_end(frame);
}

enum result keyd_put_generations_answer(struct buf *frame, enum keyd_call call, struct key_generations generations)
{
	TRY(begin(frame, (uint8_t)call, RESULT_OK));
	TRY(wire_put_u16(frame, generations.newest));
	TRY(wire_put_u16(frame, generations.oldest));
	return keyd_frame_end(frame);
}

enum result keyd_put_last_checkpoint_answer(struct buf *frame, uint64_t size, const struct merkle_hash *root)
{
	TRY(begin(frame, KEYD_LAST_CHECKPOINT, RESULT_OK));
	TRY(wire_put_u64(frame, size));
	TRY(wire_put(frame, root->bytes, SHA256_SIZE));
	return keyd_frame_end(frame);
}

enum result keyd_put_issue_answer(struct buf *frame, enum keyd_call call, const struct issued_certificate *certificate)
{
	TRY(begin(frame, (uint8_t)call, RESULT_OK));
	TRY(wire_put(frame, certificate->serial.bytes, SERIAL_SIZE));
	TRY(wire_put(frame, certificate->spki_sha256, SHA256_SIZE));
	TRY(wire_put_u64(frame, (uint64_t)certificate->not_before_ms));
	TRY(wire_put_u64(frame, (uint64_t)certificate->not_after_ms));
	TRY(wire_put_u16(frame, (uint16_t)certificate->der.size));
	TRY(buf_append(frame, buf_span(&certificate->der)));
	return keyd_frame_end(frame);
}

/* ---- decoding ------------------------------------------------------------------------------------- */

enum result keyd_get_answer(struct span frame, enum keyd_call call, enum result *ret_result, struct span *ret_body,
			    struct note *note)
{
	size_t size = 0;
	if (frame.size < ANSWER_HEADER_SIZE)
		return RESULT_INVALID;
	TRY(keyd_frame_size(span_of(frame.data, KEYD_FRAME_HEADER_SIZE), true, &size));
	uint8_t result = frame.data[KEYD_FRAME_HEADER_SIZE];
	if (size != frame.size || frame.data[4] != ((uint8_t)call | KEYD_ANSWER_BIT) || result > RESULT_LAST)
		return RESULT_INVALID;
	struct span body = span_of(frame.data + ANSWER_HEADER_SIZE, frame.size - ANSWER_HEADER_SIZE);
	if (result != RESULT_OK) {
		if (body.size > KEYD_NOTE_TEXT_MAX)
			return RESULT_INVALID;
		note_set(note, "%.*s", (int)body.size, (const char *)body.data);
	}
	*ret_result = (enum result)result;
	*ret_body = body;
	return RESULT_OK;
}

enum result keyd_get_hello_answer(struct span body, uint16_t *ret_version)
{
	struct wire_reader reader = {.rest = body};
	uint16_t version = wire_get_u16(&reader);
	TRY(wire_end(&reader));
	*ret_version = version;
	return RESULT_OK;
}

enum result keyd_get_index_answer(struct span body, size_t count, struct vin_index_set *ret_sets)
{
	struct wire_reader reader = {.rest = body};
	uint16_t numbers[KEY_GENERATIONS_MAX] = {0};
	size_t generations = wire_get_u8(&reader);
	if (generations == 0 || generations > KEY_GENERATIONS_MAX)
		return RESULT_INVALID;
	for (size_t i = 0; i < generations; i++)
		numbers[i] = wire_get_u16(&reader);
	if (reader.failed || reader.rest.size != count * generations * VIN_INDEX_SIZE)
		return RESULT_INVALID;
	for (size_t i = 0; i < count; i++) {
		ret_sets[i].count = generations;
		for (size_t place = 0; place < generations; place++) {
			ret_sets[i].indexes[place].generation = numbers[place];
			wire_get(&reader, ret_sets[i].indexes[place].bytes, VIN_INDEX_SIZE);
		}
	}
	return RESULT_OK;
}

enum result keyd_get_fixed_answer(struct span body, void *ret_bytes, size_t size)
{
	if (body.size != size)
		return RESULT_INVALID;
	if (size > 0)
		memcpy(ret_bytes, body.data, size);
	return RESULT_OK;
}

enum result keyd_get_reseal_answer(struct span body, struct reseal_item *items, size_t count)
{
	struct wire_reader reader = {.rest = body};
	if (body.size != count * RESEALED_SIZE)
		return RESULT_INVALID;
	for (size_t i = 0; i < count; i++)
		if (body.data[i * RESEALED_SIZE] > RESULT_LAST)
			return RESULT_INVALID;
	for (size_t i = 0; i < count; i++) {
		items[i].result = (enum result)wire_get_u8(&reader);
		wire_get(&reader, items[i].sealed.bytes, SEALED_VIN_SIZE);
		items[i].index.generation = wire_get_u16(&reader);
		wire_get(&reader, items[i].index.bytes, VIN_INDEX_SIZE);
	}
	return RESULT_OK;
}

enum result keyd_get_generations_answer(struct span body, struct key_generations *ret_generations)
{
	struct wire_reader reader = {.rest = body};
	struct key_generations generations = {.newest = wire_get_u16(&reader)};
	generations.oldest = wire_get_u16(&reader);
	TRY(wire_end(&reader));
	*ret_generations = generations;
	return RESULT_OK;
}

enum result keyd_get_last_checkpoint_answer(struct span body, uint64_t *ret_size, struct merkle_hash *ret_root)
{
	struct wire_reader reader = {.rest = body};
	struct merkle_hash root;
	uint64_t size = wire_get_u64(&reader);
	wire_get(&reader, root.bytes, SHA256_SIZE);
	TRY(wire_end(&reader));
	*ret_size = size;
	*ret_root = root;
	return RESULT_OK;
}

enum result keyd_get_issue_answer(struct span body, struct issued_certificate *ret_certificate)
{
	struct wire_reader reader = {.rest = body};
	struct issued_certificate certificate = {.der = ret_certificate->der};
	wire_get(&reader, certificate.serial.bytes, SERIAL_SIZE);
	wire_get(&reader, certificate.spki_sha256, SHA256_SIZE);
	certificate.not_before_ms = (int64_t)wire_get_u64(&reader);
	certificate.not_after_ms = (int64_t)wire_get_u64(&reader);
	struct span der = wire_get_span(&reader, wire_get_u16(&reader));
	TRY(wire_end(&reader));
	TRY(buf_append(&certificate.der, der));
	*ret_certificate = certificate;
	return RESULT_OK;
}
