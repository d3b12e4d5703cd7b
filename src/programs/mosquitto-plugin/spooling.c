#include "programs/mosquitto-plugin/spooling.h"

#include "programs/mosquitto-plugin/mask.h"

#define EVENTS_SEGMENT_SIZE ((size_t)1 << 20)
#define EVENTS_SEGMENTS_MAX 128

enum result spooling_open(struct spooling *spooling, const struct spooling_config *config, struct note *note)
{
	const struct spool_config telemetry = {
		.directory = config->telemetry_directory,
		.segments_max = (uint32_t)((config->telemetry_mib << 20) / SPOOL_SEGMENT_SIZE_DEFAULT),
	};
	const struct spool_config events = {
		.directory = config->events_directory,
		.segment_size = EVENTS_SEGMENT_SIZE,
		.segments_max = EVENTS_SEGMENTS_MAX,
	};
	*spooling = (struct spooling){0};
	TRY(spool_writer_open(&telemetry, &spooling->telemetry, note));
	enum result result = spool_writer_open(&events, &spooling->events, note);
	if (result != RESULT_OK)
		spooling_close(spooling);
	return result;
}

void spooling_close(struct spooling *spooling)
{
	spool_writer_close(spooling->telemetry);
	spool_writer_close(spooling->events);
	buf_release(&spooling->body);
	*spooling = (struct spooling){0};
}

static const char *describe(const struct spooling *spooling, const struct spool_writer *writer, enum result result)
{
	if (result != RESULT_EXHAUSTED)
		return "no room can be made for them on the spool's disk";
	return writer == spooling->telemetry
		       ? "the telemetry spool is full: is vinveil-ingest running, with room on its disk?"
		       : "the events spool is full: is vinveild running?";
}

static enum result append(struct spooling *spooling, struct spool_writer *writer, const struct spool_record *record)
{
	enum result result = spool_append(writer, record);
	if (result == RESULT_OK)
		return RESULT_OK;
	spooling->refused++;
	spooling->refusal = describe(spooling, writer, result);
	return result;
}

enum result spooling_telemetry(struct spooling *spooling, enum telemetry_record_kind kind,
			       const struct uuid *reference_id, int64_t at_ms, uint8_t *payload, size_t size)
{
	spooling->masked += kind == TELEMETRY_RECORD_JSON ? mask_text(payload, size) : mask_binary(payload, size);
	const struct spool_record record = {
		.kind = (uint16_t)kind,
		.at_ms = at_ms,
		.subject = *reference_id,
		.body = span_of(payload, size),
	};
	TRY(append(spooling, spooling->telemetry, &record));
	spooling->appended++;
	return RESULT_OK;
}

enum result spooling_event(struct spooling *spooling, const struct gateway_event *event)
{
	buf_clear(&spooling->body);
	TRY(event_put(&spooling->body, event));
	const struct spool_record record = {
		.kind = (uint16_t)event->kind,
		.at_ms = event->at_ms,
		.subject = event->reference_id,
		.body = buf_span(&spooling->body),
	};
	return append(spooling, spooling->events, &record);
}
