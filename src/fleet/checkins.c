/*
 * Checkins of edge agents: each names the documents that it has, and is sent those of its tenant that it lacks. To say
 * the same again does no harm: an agent that has everything is sent nothing, and one that was sent something is not
 * heard again for ten seconds.
 */
#include "fleet/call.h"

#include "base/log.h"

#include <stdio.h>

#define HEARD_AGAIN_S  10
#define CHECKIN_MEMORY ((size_t)16 << 20)

struct checkin {
	struct fleet *fleet;
	const struct uuid *reference_id;
	const struct tenant_id *tenant;
	struct arena arena;
	struct note note;
	int64_t now_ms;
	struct span *sync_ids; /* what the agent has */
	size_t count;
};

/* ---- not too often ---------------------------------------------------------------------------------- */

/* Vehicles share places: one that was pushed out is merely heard a little sooner. The upper half of a place tells
   vehicles apart, the lower half is the time in seconds. */
static atomic_uint_fast64_t *place_of(struct fleet *fleet, const struct uuid *reference_id, uint32_t *ret_tag)
{
	uint16_t place;

	memcpy(ret_tag, reference_id->bytes, sizeof *ret_tag);
	memcpy(&place, reference_id->bytes + sizeof *ret_tag, sizeof place);
	return &fleet->checkin_times[place % FLEET_CHECKIN_PLACES];
}

static bool is_too_soon(const struct checkin *checkin)
{
	uint32_t tag;
	uint64_t heard = atomic_load(place_of(checkin->fleet, checkin->reference_id, &tag));
	int64_t since_s = checkin->now_ms / 1000 - (int64_t)(uint32_t)heard;

	return heard >> 32 == tag && since_s >= 0 && since_s < HEARD_AGAIN_S;
}

static void note_heard(const struct checkin *checkin)
{
	uint32_t tag;
	atomic_uint_fast64_t *place = place_of(checkin->fleet, checkin->reference_id, &tag);

	atomic_store(place, (uint64_t)tag << 32 | (uint32_t)(checkin->now_ms / 1000));
}

/* ---- what is missing ---------------------------------------------------------------------------------- */

static bool has(const struct checkin *checkin, struct span sync_id)
{
	for (size_t i = 0; i < checkin->count; i++)
		if (span_equal(checkin->sync_ids[i], sync_id))
			return true;
	return false;
}

static bool is_current(struct span sync_id, const struct signal_document *manifest, const struct agent_scheme *schemes,
		       size_t count)
{
	bool found = span_is_text(sync_id, manifest->sync_id);

	for (size_t i = 0; i < count && !found; i++)
		found = span_equal(sync_id, schemes[i].sync_id);
	return found;
}

/* Ours of an earlier loading: the new schemes push it out. What the agent has from elsewhere is no reason: state
   templates are among it, and stay. */
static bool has_outdated(const struct checkin *checkin, const struct signal_document *manifest,
			 const struct agent_scheme *schemes, size_t count)
{
	size_t length = strlen(checkin->tenant->text);

	for (size_t i = 0; i < checkin->count; i++) {
		struct span sync_id = checkin->sync_ids[i];
		bool is_ours = sync_id.size > length && memcmp(sync_id.data, checkin->tenant->text, length) == 0 &&
			       sync_id.data[length] == '/';
		if (is_ours && !is_current(sync_id, manifest, schemes, count))
			return true;
	}
	return false;
}

static bool lacks_schemes(const struct checkin *checkin, const struct signal_document *manifest,
			  const struct agent_scheme *schemes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		/* Between two loadings: the next checkin finds both. */
		if (!span_is_text(schemes[i].decoder_sync_id, manifest->sync_id))
			return false;
		if (schemes[i].expires_at_ms > checkin->now_ms && !has(checkin, schemes[i].sync_id))
			return true;
	}
	return has_outdated(checkin, manifest, schemes, count);
}

/* ---- sending ------------------------------------------------------------------------------------------ */

static enum result get_document(struct checkin *checkin, enum signal_document_kind kind,
				struct signal_document *ret_document)
{
	struct registry *registry = checkin->fleet->platform->registry;

	return registry->ops->get_signal_document(registry, checkin->tenant, kind, true, &checkin->arena, ret_document,
						  &checkin->note);
}

static void publish(const struct checkin *checkin, const char *document, struct span payload)
{
	struct device_gateway *gateway = checkin->fleet->platform->gateway;
	char id[UUID_TEXT_SIZE], topic[GATEWAY_TOPIC_SIZE];

	uuid_format(checkin->reference_id, id);
	snprintf(topic, sizeof topic, "$aws/iotfleetwise/vehicles/%s/%s", id, document);
	gateway->ops->publish(gateway, checkin->reference_id, topic, payload);
}

static enum result send_missing(struct checkin *checkin)
{
	struct agent_format *format = checkin->fleet->platform->agent_format;
	struct signal_document manifest, schemes;
	struct agent_scheme *listed;
	size_t count;

	TRY(get_document(checkin, SIGNAL_DECODER_MANIFEST, &manifest));
	if (!has(checkin, span_of_text(manifest.sync_id)))
		publish(checkin, "decoder_manifests", manifest.bytes);
	TRY(get_document(checkin, SIGNAL_COLLECTION_SCHEMES, &schemes));
	TRY(format->ops->read_schemes(format, schemes.bytes, &checkin->arena, &listed, &count));
	if (lacks_schemes(checkin, &manifest, listed, count))
		publish(checkin, "collection_schemes", schemes.bytes);
	return RESULT_OK;
}

static enum result answer(struct checkin *checkin, struct span payload)
{
	struct agent_format *format = checkin->fleet->platform->agent_format;

	TRY(format->ops->read_checkin(format, payload, &checkin->arena, &checkin->sync_ids, &checkin->count));
	enum result result = send_missing(checkin);
	return result == RESULT_ABSENT ? RESULT_OK : result; /* nothing is loaded */
}

enum result checkins_take(struct fleet *fleet, const struct gateway_event *event, const struct tenant_id *tenant)
{
	const struct platform *platform = fleet->platform;
	struct checkin checkin = {.fleet = fleet,
				  .reference_id = &event->reference_id,
				  .tenant = tenant,
				  .arena = {.size_max = CHECKIN_MEMORY},
				  .now_ms = clock_now_ms(platform->clock)};

	if (platform->agent_format == NULL || platform->gateway == NULL || is_too_soon(&checkin))
		return RESULT_OK;
	enum result result = answer(&checkin, event->payload);
	arena_release(&checkin.arena);
	/* The registry is away: the event comes again. Anything else would only keep those behind it waiting. */
	if (result == RESULT_UNAVAILABLE)
		return result;
	note_heard(&checkin);
	if (result != RESULT_OK && result != RESULT_INVALID)
		log_event(LOG_ERROR, "checkin", "%s: %s", result_name(result), checkin.note.text);
	return RESULT_OK;
}
