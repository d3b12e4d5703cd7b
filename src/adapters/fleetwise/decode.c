#include "adapters/fleetwise/decode.h"

#include "adapters/fleetwise/memory.h"
#include "adapters/fleetwise/vehicle_data.pb-c.h"
#include "base/json.h"
#include "base/text.h"
#include "vehicle/ports/registry.h"

#include <math.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>

#define READING_MEMORY	 ((size_t)10 << 20) /* uncompressed bytes and protobuf-c's structures */
#define VIN_SIGNAL	 "Vehicle.VehicleIdentification.VIN"
#define TROUBLE_CODES	 "Vehicle.OBD.DTCList"
#define MEMBER_STEPS_MAX 16

struct entry {
	int64_t at_ms;
	size_t order; /* as the payload has it */
	struct signal_sample sample;
};

struct decoding {
	struct fleetwise_lookup lookup;
	struct uuid reference_id;
	int64_t received_at_ms;
	int64_t event_at_ms;
	struct span sync_id;
	struct arena *arena; /* the caller's */
	struct entry *entries;
	size_t count;
	uint64_t withheld;
	const char *reason; /* of a refusal */
};

static enum result refuse(struct decoding *decoding, const char *reason)
{
	decoding->reason = reason;
	return RESULT_INVALID;
}

/* ---- names -------------------------------------------------------------------------------------------- */

/* What a sample is of: a signal, or a member of a structured one. */
struct signal_place {
	uint32_t id;
	const uint32_t *steps;
	size_t step_count;
};

static enum result place_of(struct decoding *decoding, const Fleetwise__CapturedSignal *signal,
			    struct signal_place *ret_place)
{
	struct signal_place place = {0};

	if (signal->identity_case == FLEETWISE__CAPTURED_SIGNAL__IDENTITY_SIGNAL_ID) {
		place.id = signal->signal_id;
	} else if (signal->identity_case == FLEETWISE__CAPTURED_SIGNAL__IDENTITY_MEMBER_OF_SIGNAL) {
		place.id = signal->member_of_signal->signal_id;
		if (signal->member_of_signal->signal_path != NULL) {
			place.steps = signal->member_of_signal->signal_path->steps;
			place.step_count = signal->member_of_signal->signal_path->n_steps;
		}
	}
	if (place.id == 0 || place.step_count > MEMBER_STEPS_MAX)
		return refuse(decoding, "signal-malformed");
	*ret_place = place;
	return RESULT_OK;
}

static enum result name_of(struct decoding *decoding, const struct fleetwise_signal *known,
			   const struct signal_place *place, struct span *ret_name)
{
	/* No unknown signal's name is longer: the sync ID is bounded. A member of a long one may be, and is cut. */
	char name[SIGNAL_NAME_LENGTH_MAX + MEMBER_STEPS_MAX * 11 + 1];
	int length;

	if (known != NULL)
		length = snprintf(name, sizeof name, "%.*s", (int)known->name.size, (const char *)known->name.data);
	else
		length = snprintf(name, sizeof name, "FleetWise.%.*s.Signal.%u", (int)decoding->sync_id.size,
				  (const char *)decoding->sync_id.data, place->id);
	for (size_t i = 0; i < place->step_count; i++)
		length += snprintf(name + length, sizeof name - (size_t)length, ".%u", place->steps[i]);
	if (length > SIGNAL_NAME_LENGTH_MAX)
		return refuse(decoding, "signal-malformed");
	struct span text = span_of(name, (size_t)length);
	const char *copy = arena_copy_text(decoding->arena, text);
	if (copy == NULL)
		return RESULT_MEMORY;
	*ret_name = span_of(copy, text.size);
	return RESULT_OK;
}

/* ---- values ------------------------------------------------------------------------------------------- */

static enum result time_of(struct decoding *decoding, int64_t relative_ms, int64_t *ret_at_ms)
{
	int64_t at_ms;

	if (__builtin_add_overflow(decoding->event_at_ms, relative_ms, &at_ms) || at_ms < TELEMETRY_AT_MIN_MS ||
	    at_ms > decoding->received_at_ms + TELEMETRY_AHEAD_MAX_MS)
		return refuse(decoding, "timestamp-invalid");
	*ret_at_ms = at_ms;
	return RESULT_OK;
}

static enum result number_value(struct decoding *decoding, double number, bool is_boolean,
				struct signal_value *ret_value)
{
	if (!isfinite(number))
		return refuse(decoding, "value-not-finite");
	if (is_boolean)
		*ret_value = (struct signal_value){.type = SIGNAL_BOOL, .boolean = number != 0};
	else
		*ret_value = (struct signal_value){.type = SIGNAL_NUMBER, .number = number};
	return RESULT_OK;
}

static enum result text_value(struct decoding *decoding, struct span text, struct signal_value *ret_value)
{
	if (text.size > SIGNAL_TEXT_SIZE_MAX)
		return refuse(decoding, "value-too-long");
	if (!utf8_is_valid(text))
		return refuse(decoding, "text-malformed");
	const char *copy = arena_copy_text(decoding->arena, text);
	if (copy == NULL)
		return RESULT_MEMORY;
	*ret_value = (struct signal_value){.type = SIGNAL_TEXT, .text = span_of(copy, text.size)};
	return RESULT_OK;
}

static enum result value_of(struct decoding *decoding, const Fleetwise__CapturedSignal *signal, bool is_boolean,
			    struct signal_value *ret_value)
{
	if (signal->value_case == FLEETWISE__CAPTURED_SIGNAL__VALUE_DOUBLE_VALUE)
		return number_value(decoding, signal->double_value, is_boolean, ret_value);
	if (signal->value_case == FLEETWISE__CAPTURED_SIGNAL__VALUE_STRING_VALUE)
		return text_value(decoding, span_of_bytes(signal->string_value), ret_value);
	return refuse(decoding, "signal-malformed");
}

static bool is_withheld(const struct fleetwise_signal *known, const struct signal_value *value)
{
	if (known != NULL && span_is_text(known->name, VIN_SIGNAL))
		return true;
	return value->type == SIGNAL_TEXT && vin_stands_in(value->text);
}

static void add(struct decoding *decoding, int64_t at_ms, struct span name, struct signal_value value)
{
	decoding->entries[decoding->count] = (struct entry){at_ms, decoding->count, {name, value}};
	decoding->count++;
}

static enum result take_signal(struct decoding *decoding, const Fleetwise__CapturedSignal *signal)
{
	struct signal_place place;
	struct signal_value value;
	struct span name;
	int64_t at_ms;

	TRY(place_of(decoding, signal, &place));
	TRY(time_of(decoding, signal->relative_time_ms, &at_ms));
	const struct fleetwise_signal *known = fleetwise_lookup_find(&decoding->lookup, place.id);
	TRY(value_of(decoding, signal, known != NULL && known->is_boolean, &value));
	if (is_withheld(known, &value)) {
		decoding->withheld++;
		return RESULT_OK;
	}
	TRY(name_of(decoding, known, &place, &name));
	add(decoding, at_ms, name, value);
	return RESULT_OK;
}

/* ---- trouble codes -------------------------------------------------------------------------------------- */

static enum result write_codes(struct decoding *decoding, const Fleetwise__DtcData *data, struct buf *buf)
{
	struct json_writer writer;

	json_writer_init(&writer, buf);
	json_array_begin(&writer);
	for (size_t i = 0; i < data->n_active_dtc_codes; i++) {
		struct span code = span_of_bytes(data->active_dtc_codes[i]);
		if (!utf8_is_valid(code))
			return refuse(decoding, "text-malformed");
		if (vin_stands_in(code))
			decoding->withheld++;
		else
			json_text(&writer, code);
	}
	json_array_end(&writer);
	enum result result = json_writer_end(&writer);
	return result == RESULT_EXHAUSTED ? refuse(decoding, "value-too-long") : result;
}

static enum result take_codes(struct decoding *decoding, const Fleetwise__DtcData *data)
{
	BUF_CLEANUP struct buf codes = {.size_max = SIGNAL_TEXT_SIZE_MAX};
	int64_t at_ms;

	if (data == NULL)
		return RESULT_OK;
	TRY(time_of(decoding, data->relative_time_ms, &at_ms));
	TRY(write_codes(decoding, data, &codes));
	const char *copy = arena_copy_text(decoding->arena, buf_span(&codes));
	if (copy == NULL)
		return RESULT_MEMORY;
	add(decoding, at_ms, span_of_text(TROUBLE_CODES),
	    (struct signal_value){.type = SIGNAL_ARRAY, .text = span_of(copy, codes.size)});
	return RESULT_OK;
}

/* ---- messages ------------------------------------------------------------------------------------------- */

static int compare_names(struct span a, struct span b)
{
	int difference = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

	return difference != 0 ? difference : (a.size > b.size) - (a.size < b.size);
}

static int by_time_and_name(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	if (left->at_ms != right->at_ms)
		return left->at_ms < right->at_ms ? -1 : 1;
	int difference = compare_names(left->sample.name, right->sample.name);
	return difference != 0 ? difference : (left->order > right->order) - (left->order < right->order);
}

/* Of two samples of a signal at one instant the later one stays. */
static size_t drop_overwritten(struct entry *entries, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		bool is_overwritten = i + 1 < count && entries[i].at_ms == entries[i + 1].at_ms &&
				      span_equal(entries[i].sample.name, entries[i + 1].sample.name);
		if (!is_overwritten)
			entries[kept++] = entries[i];
	}
	return kept;
}

static size_t count_instants(const struct entry *entries, size_t count)
{
	size_t instants = 0;

	for (size_t i = 0; i < count; i++)
		instants += i == 0 || entries[i].at_ms != entries[i - 1].at_ms;
	return instants;
}

static enum result gather(struct decoding *decoding, struct telemetry_message **ret_messages, size_t *ret_count)
{
	if (decoding->count > 0)
		qsort(decoding->entries, decoding->count, sizeof *decoding->entries, by_time_and_name);
	size_t count = drop_overwritten(decoding->entries, decoding->count);
	size_t message_count = count_instants(decoding->entries, count), used = 0;
	struct telemetry_message *messages = arena_alloc(decoding->arena, message_count * sizeof *messages);
	struct signal_sample *samples = arena_alloc(decoding->arena, count * sizeof *samples);

	if (messages == NULL || samples == NULL)
		return RESULT_MEMORY;
	for (size_t from = 0; from < count; used++) {
		int64_t at_ms = decoding->entries[from].at_ms;
		size_t to = from;
		for (; to < count && decoding->entries[to].at_ms == at_ms; to++)
			samples[to] = decoding->entries[to].sample;
		if (to - from > SIGNALS_PER_MESSAGE_MAX)
			return refuse(decoding, "too-many-signals");
		messages[used] = (struct telemetry_message){
			decoding->reference_id,	  at_ms,
			decoding->received_at_ms, telemetry_digest(samples + from, to - from),
			samples + from,		  to - from};
		from = to;
	}
	*ret_messages = messages;
	*ret_count = message_count;
	return RESULT_OK;
}

/* ---- payloads ------------------------------------------------------------------------------------------- */

static enum result check_head(struct decoding *decoding, const Fleetwise__VehicleData *data)
{
	struct span sync_id = span_of_bytes(data->decoder_sync_id);

	/* It has no default in an agent's message, but in what merely happens to decode. */
	if (data->collection_event_time_ms_epoch == 0)
		return refuse(decoding, "payload-malformed");
	if (data->n_captured_signals > TELEMETRY_SAMPLES_MAX)
		return refuse(decoding, "too-many-signals");
	if (data->collection_event_time_ms_epoch > INT64_MAX)
		return refuse(decoding, "timestamp-invalid");
	decoding->event_at_ms = (int64_t)data->collection_event_time_ms_epoch;
	int64_t ignored;
	TRY(time_of(decoding, 0, &ignored));
	if (sync_id.size > SYNC_ID_LENGTH_MAX || !signal_name_is_valid(sync_id) || vin_stands_in(sync_id))
		return refuse(decoding, "manifest-id-invalid");
	decoding->sync_id = sync_id;
	return RESULT_OK;
}

static enum result take_samples(struct decoding *decoding, const Fleetwise__VehicleData *data)
{
	for (size_t i = 0; i < data->n_captured_signals; i++)
		TRY(take_signal(decoding, data->captured_signals[i]));
	return take_codes(decoding, data->dtc_data);
}

/* The message lives in `reading`; what is taken from it, in the caller's arena. */
static enum result take_plain(struct decoding *decoding, struct fleetwise_decoders *decoders, struct span bytes,
			      struct arena *reading)
{
	ProtobufCMessage *message;
	enum result result = message_read(&fleetwise__vehicle_data__descriptor, bytes, reading, &message);

	if (result == RESULT_EXHAUSTED)
		return refuse(decoding, "payload-too-large");
	if (result != RESULT_OK)
		return refuse(decoding, "payload-malformed");
	const Fleetwise__VehicleData *data = (const Fleetwise__VehicleData *)message;
	TRY(check_head(decoding, data));
	decoding->count = 0;
	decoding->withheld = 0;
	decoding->entries = arena_alloc(decoding->arena, (data->n_captured_signals + 1) * sizeof *decoding->entries);
	if (decoding->entries == NULL)
		return RESULT_MEMORY;
	fleetwise_lookup_begin(&decoding->lookup, decoders, decoding->sync_id);
	result = take_samples(decoding, data);
	fleetwise_lookup_end(&decoding->lookup);
	return result;
}

/* RESULT_ABSENT: these bytes are not snappy. The length is bounded before anything is uncompressed. */
static enum result uncompress(struct decoding *decoding, struct span payload, struct arena *reading,
			      struct span *ret_bytes)
{
	const char *compressed = (const char *)payload.data;
	size_t size = 0;

	if (payload.size == 0 || snappy_uncompressed_length(compressed, payload.size, &size) != SNAPPY_OK)
		return RESULT_ABSENT;
	if (size > FLEETWISE_UNCOMPRESSED_MAX)
		return refuse(decoding, "payload-too-large");
	char *bytes = arena_alloc(reading, size);
	if (bytes == NULL)
		return RESULT_MEMORY;
	if (snappy_uncompress(compressed, payload.size, bytes, &size) != SNAPPY_OK)
		return RESULT_ABSENT;
	*ret_bytes = span_of(bytes, size);
	return RESULT_OK;
}

static enum result take_compressed(struct decoding *decoding, struct fleetwise_decoders *decoders, struct span payload,
				   struct arena *reading)
{
	struct span bytes;

	TRY(uncompress(decoding, payload, reading, &bytes));
	return take_plain(decoding, decoders, bytes, reading);
}

/* Of two refusals the one is told that belongs to the form that the payload has. */
static enum result take_payload(struct decoding *decoding, struct fleetwise_decoders *decoders, struct span payload)
{
	ARENA_CLEANUP struct arena reading = {.size_max = READING_MEMORY};
	enum result result = take_compressed(decoding, decoders, payload, &reading);

	if (result != RESULT_INVALID && result != RESULT_ABSENT)
		return result;
	const char *reason = result == RESULT_INVALID ? decoding->reason : NULL;
	arena_reset(&reading);
	result = take_plain(decoding, decoders, payload, &reading);
	if (result == RESULT_INVALID && reason != NULL && strcmp(decoding->reason, "payload-malformed") == 0)
		decoding->reason = reason;
	return result;
}

enum result fleetwise_decode(struct fleetwise_decoders *decoders, const struct uuid *reference_id,
			     int64_t received_at_ms, struct span payload, struct arena *arena,
			     struct telemetry_message **ret_messages, size_t *ret_count, uint64_t *ret_withheld,
			     const char **ret_reason)
{
	struct decoding decoding = {.reference_id = *reference_id, .received_at_ms = received_at_ms, .arena = arena};
	struct telemetry_message *messages = NULL;
	size_t count = 0;
	enum result result = payload.size > FLEETWISE_UNCOMPRESSED_MAX ? refuse(&decoding, "payload-too-large")
								       : take_payload(&decoding, decoders, payload);

	if (result == RESULT_OK)
		result = gather(&decoding, &messages, &count);
	if (result == RESULT_INVALID)
		*ret_reason = decoding.reason;
	if (result != RESULT_OK)
		return result;
	*ret_messages = messages;
	*ret_count = count;
	*ret_withheld = decoding.withheld;
	return RESULT_OK;
}
