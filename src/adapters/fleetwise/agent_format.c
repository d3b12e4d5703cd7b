#include "adapters/fleetwise/agent_format.h"

#include "adapters/fleetwise/checkin.pb-c.h"
#include "adapters/fleetwise/description.h"

#include <stdio.h>

#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define READING_MEMORY ((size_t)1 << 20)

static enum result make_documents(struct agent_format *format, const struct tenant_id *tenant,
				  const json_t *description_json, int64_t at_ms, struct arena *arena,
				  struct agent_documents *ret_documents, struct description_fault *ret_fault)
{
	static const char *const members[] = {"name", "signals", "schemes"};
	struct agent_documents documents = {0};
	struct description_fault fault = {0};
	struct description description = {
		.tenant = tenant, .json = description_json, .at_ms = at_ms, .arena = arena, .fault = &fault};
	char *name = NULL;

	(void)format;
	snprintf(description.place, sizeof description.place, "In the description");
	enum result result = member_check(&description, description.json, members, COUNT(members));
	if (result == RESULT_OK)
		result = member_name(&description, description.json, "name", &name);
	description.name = name;
	if (result == RESULT_OK)
		result = describe_manifest(&description, &documents);
	if (result == RESULT_OK)
		result = describe_schemes(&description, &documents);
	if (result == RESULT_INVALID)
		*ret_fault = fault;
	if (result == RESULT_OK)
		*ret_documents = documents;
	return result;
}

static enum result read_checkin(struct agent_format *format, struct span payload, struct arena *arena,
				struct span **ret_sync_ids, size_t *ret_count)
{
	ARENA_CLEANUP struct arena reading = {.size_max = READING_MEMORY};
	ProtobufCMessage *message;

	(void)format;
	if (message_read(&fleetwise__checkin__descriptor, payload, &reading, &message) != RESULT_OK)
		return RESULT_INVALID;
	const Fleetwise__Checkin *checkin = (const Fleetwise__Checkin *)message;
	size_t count = checkin->n_document_sync_ids;
	if (count > AGENT_SYNC_IDS_MAX)
		return RESULT_INVALID;
	struct span *sync_ids = arena_alloc(arena, count * sizeof *sync_ids);
	if (sync_ids == NULL)
		return RESULT_MEMORY;
	for (size_t i = 0; i < count; i++) {
		struct span sync_id = span_of_bytes(checkin->document_sync_ids[i]);
		const char *copy = arena_copy_text(arena, sync_id);
		if (copy == NULL)
			return RESULT_MEMORY;
		sync_ids[i] = span_of(copy, sync_id.size);
	}
	*ret_sync_ids = sync_ids;
	*ret_count = count;
	return RESULT_OK;
}

static enum result read_schemes(struct agent_format *format, struct span document, struct arena *arena,
				struct agent_scheme **ret_schemes, size_t *ret_count)
{
	ProtobufCMessage *message;
	enum result result = message_read(&fleetwise__collection_schemes__descriptor, document, arena, &message);

	(void)format;
	if (result != RESULT_OK)
		return result == RESULT_EXHAUSTED ? RESULT_MEMORY : RESULT_CORRUPT;
	const Fleetwise__CollectionSchemes *read = (const Fleetwise__CollectionSchemes *)message;
	struct agent_scheme *schemes = arena_alloc(arena, read->n_schemes * sizeof *schemes);
	if (schemes == NULL)
		return RESULT_MEMORY;
	for (size_t i = 0; i < read->n_schemes; i++)
		schemes[i] = (struct agent_scheme){span_of_text(read->schemes[i]->campaign_sync_id),
						   span_of_text(read->schemes[i]->decoder_manifest_sync_id),
						   (int64_t)read->schemes[i]->expiry_time_ms_epoch};
	*ret_schemes = schemes;
	*ret_count = read->n_schemes;
	return RESULT_OK;
}

struct agent_format *fleetwise_agent_format(void)
{
	static const struct agent_format_ops ops = {make_documents, read_checkin, read_schemes};
	static struct agent_format format = {&ops};

	return &format;
}
