#include "programs/ingest/ingest.h"

#include "base/text.h"

#include <stdlib.h>

/* Doubles what it points to when it is full. */
static enum result reserve(void **array, size_t count, size_t *capacity, size_t size)
{
	size_t wanted = *capacity > 0 ? *capacity : 256;

	while (wanted < count)
		wanted *= 2;
	if (wanted == *capacity)
		return RESULT_OK;
	void *larger = reallocarray(*array, wanted, size);
	if (larger == NULL)
		return RESULT_MEMORY;
	*array = larger;
	*capacity = wanted;
	return RESULT_OK;
}

static enum result add_messages(struct ingest *ingest, const struct telemetry_message *messages, size_t count)
{
	void *array = ingest->messages;

	if (count == 0)
		return RESULT_OK;
	TRY(reserve(&array, ingest->message_count + count, &ingest->message_capacity, sizeof(*messages)));
	ingest->messages = array;
	memcpy(ingest->messages + ingest->message_count, messages, count * sizeof(*messages));
	ingest->message_count += count;
	for (size_t i = 0; i < count; i++)
		atomic_fetch_add(&ingest->counters.samples, messages[i].count);
	atomic_fetch_add(&ingest->counters.messages, count);
	return RESULT_OK;
}

/* ---- rejects ------------------------------------------------------------------------------------------------ */

/* The byte that a \uXXXX stands for; '?' when it is none of ASCII. */
static char escaped_byte(const char digits[static 4])
{
	char copy[5] = {digits[0], digits[1], digits[2], digits[3]}, *end = NULL;
	unsigned long unit = strtoul(copy, &end, 16);

	return end == copy + 4 && unit >= 0x20 && unit <= 0x7e ? (char)unit : '?';
}

/* As plain text that hides nothing: an escape could stand for a letter of a VIN. Returns the size that is left. */
static size_t make_plain(char *text, size_t size)
{
	size_t kept = 0;

	for (size_t i = 0; i < size; i++) {
		char byte = text[i];

		if (byte == '\\' && size - i >= 6 && text[i + 1] == 'u') {
			byte = escaped_byte(text + i + 2);
			i += 5;
		}
		text[kept++] = byte >= 0x20 && byte <= 0x7e ? byte : '?';
	}
	text[kept] = '\0';
	return kept;
}

/* A protobuf may hold anything in any form: of it the size is kept. */
static enum result describe_payload(struct ingest *ingest, const struct spool_record *record, struct span *ret_kept)
{
	char *text = arena_copy_text(&ingest->arena,
				     record->kind == TELEMETRY_RECORD_JSON ? record->body : (struct span){0});

	if (text == NULL)
		return RESULT_MEMORY;
	if (record->kind != TELEMETRY_RECORD_JSON) {
		*ret_kept = (struct span){0};
		return RESULT_OK;
	}
	size_t plain_size = make_plain(text, record->body.size);
	text_withhold(text);
	size_t length = strnlen(text, plain_size);
	*ret_kept = span_of(text, length < ingest->config.reject_size ? length : ingest->config.reject_size);
	return RESULT_OK;
}

static enum result add_reject(struct ingest *ingest, const struct spool_record *record, const char *reason)
{
	struct telemetry_reject reject = {
		.reference_id = record->subject, .received_at_ms = record->at_ms, .reason = reason};
	void *array = ingest->rejects;

	TRY(describe_payload(ingest, record, &reject.payload));
	TRY(reserve(&array, ingest->reject_count + 1, &ingest->reject_capacity, sizeof(reject)));
	ingest->rejects = array;
	ingest->rejects[ingest->reject_count++] = reject;
	atomic_fetch_add(&ingest->counters.rejects[telemetry_reason_index(reason)], 1);
	return RESULT_OK;
}

/* ---- records ------------------------------------------------------------------------------------------------ */

static enum result decode(struct ingest *ingest, const struct spool_record *record, struct span payload,
			  struct telemetry_message **ret_messages, size_t *ret_count, uint64_t *ret_withheld,
			  const char **ret_reason)
{
	if (record->kind == TELEMETRY_RECORD_JSON)
		return telemetry_read(&record->subject, record->at_ms, payload, &ingest->arena, ret_messages, ret_count,
				      ret_withheld, ret_reason);
	if (record->kind == TELEMETRY_RECORD_FLEETWISE)
		return fleetwise_decode(ingest->decoders, &record->subject, record->at_ms, payload, &ingest->arena,
					ret_messages, ret_count, ret_withheld, ret_reason);
	*ret_reason = "record-unknown";
	return RESULT_INVALID;
}

enum result batch_add(struct ingest *ingest, const struct spool_record *record)
{
	/* The record's mapping goes with the next one; what is decoded borrows from the payload. */
	const char *copy = arena_copy_text(&ingest->arena, record->body), *reason = NULL;
	struct telemetry_message *messages = NULL;
	uint64_t withheld = 0;
	size_t count = 0;

	if (copy == NULL)
		return RESULT_MEMORY;
	atomic_fetch_add(&ingest->counters.records, 1);
	ingest->record_count++;
	enum result result =
		decode(ingest, record, span_of(copy, record->body.size), &messages, &count, &withheld, &reason);
	if (result == RESULT_INVALID)
		return add_reject(ingest, record, reason);
	TRY(result);
	ingest->withheld += withheld;
	atomic_fetch_add(&ingest->counters.withheld, withheld);
	return add_messages(ingest, messages, count);
}

/* Wipes what vehicles sent. */
void batch_clear(struct ingest *ingest)
{
	arena_reset(&ingest->arena);
	ingest->message_count = ingest->reject_count = ingest->record_count = 0;
	ingest->withheld = 0;
}

bool batch_is_full(const struct ingest *ingest)
{
	return ingest->record_count >= ingest->config.batch_records ||
	       ingest->arena.size_total >= ingest->config.batch_size;
}
