#include "adapters/audit/tlog_state.h"

#include <stdlib.h>

/* Leaf IDs are random (UUIDv4), so any of their bytes are as good as a hash. */
static size_t slot_of(const struct id_set *set, const struct uuid *id)
{
	uint64_t hash;

	memcpy(&hash, id->bytes + 8, sizeof(hash));
	return (size_t)(hash * 0x9e3779b97f4a7c15ULL >> 20) & (set->capacity - 1);
}

static void set_release(struct id_set *set)
{
	free(set->ids);
	free(set->indexes);
	*set = (struct id_set){0};
}

/* The place of the ID, or the free one where it would go. Of a leaf ID that was written twice the last counts. */
static size_t find_slot(const struct id_set *set, const struct uuid *id)
{
	size_t slot = slot_of(set, id);

	while (set->indexes[slot] != 0 && !uuid_equal(&set->ids[slot], id))
		slot = (slot + 1) & (set->capacity - 1);
	return slot;
}

static enum result grow(struct id_set *set)
{
	struct id_set larger = *set;

	if (set->count * 2 < set->capacity)
		return RESULT_OK;
	larger.capacity = set->capacity ? set->capacity * 2 : 1024;
	larger.ids = calloc(larger.capacity, sizeof(*larger.ids));
	larger.indexes = calloc(larger.capacity, sizeof(*larger.indexes));
	if (larger.ids == NULL || larger.indexes == NULL) {
		free(larger.ids);
		free(larger.indexes);
		return RESULT_MEMORY;
	}
	for (size_t i = 0; i < set->capacity; i++) {
		size_t slot;

		if (set->indexes[i] == 0)
			continue;
		slot = find_slot(&larger, &set->ids[i]);
		larger.ids[slot] = set->ids[i];
		larger.indexes[slot] = set->indexes[i];
	}
	free(set->ids);
	free(set->indexes);
	*set = larger;
	return RESULT_OK;
}

static enum result add_entry(struct id_set *set, struct span entry, uint64_t index)
{
	struct leaf_facts facts;
	struct uuid id;
	size_t slot;

	/* An entry without a leaf ID can be in no outbox. */
	if (leaf_scan(entry, &facts) != RESULT_OK || uuid_parse(facts.leaf_id, &id) != RESULT_OK)
		return RESULT_OK;
	TRY(grow(set));
	slot = find_slot(set, &id);
	set->count += set->indexes[slot] == 0;
	set->ids[slot] = id;
	set->indexes[slot] = index + 1;
	return RESULT_OK;
}

static enum result find_offset(const struct audit_store *store, uint64_t index, uint64_t *ret_offset)
{
	struct index_record record;

	*ret_offset = 0;
	if (index % SEGMENT_ENTRIES == 0)
		return RESULT_OK;
	TRY(store_read_record(store, index - 1, &record, NULL));
	*ret_offset = (uint64_t)record.offset + FRAME_SIZE + record.length;
	return RESULT_OK;
}

static enum result read_ids(struct tlog *log, struct id_set *set, uint64_t until)
{
	struct entry_reader reader;
	struct span entry;
	uint64_t offset;
	enum result result;

	TRY(derive_until(log, until, NULL));
	TRY(find_offset(&log->store, set->to, &offset));
	result = entry_reader_open(&reader, &log->store, set->to, offset);
	while (result == RESULT_OK && reader.index < until) {
		result = entry_reader_next(&reader, &entry, NULL);
		if (result == RESULT_OK)
			result = add_entry(set, entry, reader.index - 1);
		if (result == RESULT_OK)
			set->to = reader.index;
	}
	entry_reader_close(&reader);
	return result == RESULT_ABSENT ? RESULT_CORRUPT : result;
}

static enum result contains(struct tlog *log, const struct uuid *leaf_id, uint64_t from_index)
{
	struct id_set *set = &log->ids;
	uint64_t durable = atomic_load(&log->durable_size);
	size_t slot;

	if (from_index >= durable)
		return RESULT_ABSENT;
	if (set->capacity == 0 || from_index < set->from) {
		set_release(set);
		set->from = set->to = from_index;
	}
	if (set->to < durable)
		TRY(read_ids(log, set, durable));
	if (set->capacity == 0)
		return RESULT_ABSENT;
	slot = find_slot(set, leaf_id);
	return set->indexes[slot] > from_index ? RESULT_OK : RESULT_ABSENT;
}

enum result audit_tlog_contains(void *context, const struct uuid *leaf_id, uint64_t from_index)
{
	struct tlog *log = context;
	enum result result;

	pthread_mutex_lock(&log->ids_mutex);
	result = contains(log, leaf_id, from_index);
	pthread_mutex_unlock(&log->ids_mutex);
	return result;
}

void audit_tlog_contains_end(struct audit_log *base)
{
	struct tlog *log = tlog_of(base);

	pthread_mutex_lock(&log->ids_mutex);
	set_release(&log->ids);
	pthread_mutex_unlock(&log->ids_mutex);
}
