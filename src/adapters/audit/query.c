#include "adapters/audit/tlog_state.h"

#include <fcntl.h>
#include <unistd.h>

/* A call's bounds: some milliseconds each. */
#define QUERY_RECORDS_MAX    524288 /* index records looked at */
#define QUERY_CANDIDATES_MAX 4096   /* entries read */
#define QUERY_BLOCK	     512

/* The segment that was read last stays open: neighbours are asked for together. */
struct entry_source {
	const struct audit_store *store;
	int fd;
	uint64_t segment;
};

static enum result source_enter(struct entry_source *source, uint64_t segment, struct note *note)
{
	enum result result;

	if (source->fd >= 0 && source->segment == segment)
		return RESULT_OK;
	if (source->fd >= 0)
		close(source->fd);
	source->fd = -1;
	source->segment = segment;
	result = segment_open(source->store, segment, O_RDONLY, &source->fd, note);
	if (result != RESULT_ABSENT)
		return result;
	note_set(note, "audit log: entries-%06llu is missing", (unsigned long long)segment);
	return RESULT_CORRUPT;
}

static void source_close(struct entry_source *source)
{
	if (source->fd >= 0)
		close(source->fd);
}
#define SOURCE_CLEANUP __attribute__((cleanup(source_close)))

/* Frame and entry into room[FRAME_SIZE + record->length]. */
static enum result source_read(struct entry_source *source, uint64_t index, const struct index_record *record,
			       uint8_t *ret_room, struct note *note)
{
	TRY(source_enter(source, index / SEGMENT_ENTRIES, note));
	if (record->flags & INDEX_WRITTEN) {
		TRY(read_at(source->fd, ret_room, FRAME_SIZE + (size_t)record->length, record->offset, note));
		if ((ret_room[0] << 8 | ret_room[1]) == record->length)
			return RESULT_OK;
	}
	note_set(note,
		 "audit log: the index does not fit entry %llu; delete hashes-* and index while the log is closed",
		 (unsigned long long)index);
	return RESULT_CORRUPT;
}

enum result tlog_read(struct audit_log *base, uint64_t index, struct arena *arena, struct span *ret_json,
		      struct note *note)
{
	struct tlog *log = tlog_of(base);
	SOURCE_CLEANUP struct entry_source source = {.store = &log->store, .fd = -1};
	uint64_t durable = atomic_load(&log->durable_size);
	struct index_record record;
	uint8_t *room;

	if (index >= durable)
		return RESULT_ABSENT;
	TRY(derive_until(log, durable, note));
	TRY(store_read_record(&log->store, index, &record, note));
	room = arena_alloc(arena, FRAME_SIZE + (size_t)record.length);
	if (room == NULL)
		return RESULT_MEMORY;
	TRY(source_read(&source, index, &record, room, note));
	*ret_json = span_of(room + FRAME_SIZE, record.length);
	return RESULT_OK;
}

/* ---- queries -------------------------------------------------------------------------------------------- */

/* What is asked for, as texts to confirm on the JSON and as hashes to find candidates by. Empty: any. */
struct filter {
	int64_t from_ms, to_ms;
	struct span tenant, actor, action, outcome, reference_id;
	uint32_t tenant_hash, actor_hash, action_hash, reference_hash;
	uint8_t outcome_hash;
	char reference_text[UUID_TEXT_SIZE];
};

static struct span text_or_none(const char *text)
{
	return text == NULL ? (struct span){NULL, 0} : span_of_text(text);
}

static void filter_make(const struct audit_query *query, struct filter *filter)
{
	*filter = (struct filter){
		.from_ms = query->from_ms,
		.to_ms = query->to_ms,
		.tenant = text_or_none(query->tenant),
		.actor = text_or_none(query->actor),
		.action = text_or_none(query->action),
		.outcome = text_or_none(query->outcome),
	};
	if (query->reference_id != NULL) {
		uuid_format(query->reference_id, filter->reference_text);
		filter->reference_id = span_of_text(filter->reference_text);
	}
	filter->tenant_hash = index_hash(filter->tenant);
	filter->actor_hash = index_hash(filter->actor);
	filter->action_hash = index_hash(filter->action);
	filter->outcome_hash = (uint8_t)index_hash(filter->outcome);
	filter->reference_hash = index_hash(filter->reference_id);
}

static bool may_match(const struct filter *filter, const struct index_record *record)
{
	if (filter->from_ms != 0 && record->at_ms < filter->from_ms)
		return false;
	if (filter->to_ms != 0 && record->at_ms >= filter->to_ms)
		return false;
	if (filter->tenant.data != NULL && record->tenant != filter->tenant_hash)
		return false;
	if (filter->actor.data != NULL && record->actor != filter->actor_hash)
		return false;
	if (filter->action.data != NULL && record->action != filter->action_hash)
		return false;
	if (filter->outcome.data != NULL && record->outcome != filter->outcome_hash)
		return false;
	return filter->reference_id.data == NULL || record->reference_id == filter->reference_hash ||
	       (record->flags & INDEX_BATCH) != 0;
}

static bool is_asked(struct span asked, struct span actual)
{
	return asked.data == NULL || span_equal(asked, actual);
}

static bool has_reference(const struct filter *filter, const struct leaf_facts *facts)
{
	struct span id = filter->reference_id;

	if (is_asked(id, facts->reference_id))
		return true;
	return facts->reference_ids.size > 0 &&
	       memmem(facts->reference_ids.data, facts->reference_ids.size, id.data, id.size) != NULL;
}

static bool does_match(const struct filter *filter, struct span json)
{
	struct leaf_facts facts;

	return leaf_scan(json, &facts) == RESULT_OK && is_asked(filter->tenant, facts.tenant) &&
	       is_asked(filter->actor, facts.actor) && is_asked(filter->action, facts.action) &&
	       is_asked(filter->outcome, facts.outcome) && has_reference(filter, &facts);
}

struct search {
	const struct filter *filter;
	struct entry_source source;
	struct arena *arena;
	struct audit_found *found;
	size_t count, limit, candidates_left;
};

/* RESULT_MEMORY when the arena is full: what was found before it is still an answer. */
static enum result try_entry(struct search *search, uint64_t index, const struct index_record *record,
			     struct note *note)
{
	uint8_t room[FRAME_SIZE + UINT16_MAX];
	char *copy;

	if (!may_match(search->filter, record))
		return RESULT_OK;
	search->candidates_left--;
	TRY(source_read(&search->source, index, record, room, note));
	if (!does_match(search->filter, span_of(room + FRAME_SIZE, record->length)))
		return RESULT_OK;
	copy = arena_copy_text(search->arena, span_of(room + FRAME_SIZE, record->length));
	if (copy == NULL)
		return RESULT_MEMORY;
	search->found[search->count++] = (struct audit_found){.index = index, .json = span_of(copy, record->length)};
	return RESULT_OK;
}

static bool is_finished(const struct search *search)
{
	return search->count == search->limit || search->candidates_left == 0;
}

/* Backwards through [start, *before); *before: what was not looked at yet. */
static enum result search_block(struct search *search, uint64_t start, uint64_t *before, struct note *note)
{
	uint8_t block[QUERY_BLOCK][INDEX_RECORD_SIZE];
	struct index_record record;

	TRY(read_at(search->source.store->index_fd, block, (size_t)(*before - start) * INDEX_RECORD_SIZE,
		    start * INDEX_RECORD_SIZE, note));
	while (*before > start && !is_finished(search)) {
		index_record_parse(block[*before - 1 - start], &record);
		TRY(try_entry(search, *before - 1, &record, note));
		--*before;
	}
	return RESULT_OK;
}

static enum result search_back(struct search *search, uint64_t *before, struct note *note)
{
	uint64_t end = *before > QUERY_RECORDS_MAX ? *before - QUERY_RECORDS_MAX : 0;

	while (*before > end && !is_finished(search)) {
		uint64_t start = (*before - 1) / QUERY_BLOCK * QUERY_BLOCK;
		enum result result = search_block(search, start, before, note);

		if (result == RESULT_MEMORY && search->count > 0)
			return RESULT_OK;
		TRY(result);
	}
	return RESULT_OK;
}

enum result tlog_query(struct audit_log *base, const struct audit_query *query, struct arena *arena,
		       struct audit_found *ret_found, size_t *ret_count, uint64_t *ret_next, struct note *note)
{
	struct tlog *log = tlog_of(base);
	uint64_t durable = atomic_load(&log->durable_size);
	uint64_t before = query->before_index < durable ? query->before_index : durable;
	struct search search = {
		.source = {.store = &log->store, .fd = -1},
		.arena = arena,
		.found = ret_found,
		.limit = query->limit,
		.candidates_left = QUERY_CANDIDATES_MAX,
	};
	struct filter filter;
	enum result result;

	if (query->limit == 0)
		return RESULT_INVALID;
	TRY(derive_until(log, durable, note));
	filter_make(query, &filter);
	search.filter = &filter;
	result = search_back(&search, &before, note);
	source_close(&search.source);
	TRY(result);
	*ret_count = search.count;
	*ret_next = before;
	return RESULT_OK;
}

/* ---- what a checkpoint covers ------------------------------------------------------------------------------ */

enum result tlog_checkpoint(struct audit_log *base, struct buf *ret_note, struct note *note)
{
	struct tlog *log = tlog_of(base);
	enum result result = RESULT_ABSENT;

	(void)note;
	pthread_mutex_lock(&log->checkpoint_mutex);
	if (log->head.note.size > 0)
		result = buf_append(ret_note, buf_span(&log->head.note));
	pthread_mutex_unlock(&log->checkpoint_mutex);
	return result;
}

static void get_head(struct tlog *log, uint64_t *ret_size, struct merkle_hash *ret_root)
{
	pthread_mutex_lock(&log->checkpoint_mutex);
	*ret_size = log->head.size;
	*ret_root = log->head.root;
	pthread_mutex_unlock(&log->checkpoint_mutex);
}

/* The proof is checked before it is given out: a damaged hash file must not look like a forged entry. */
enum result tlog_prove(struct audit_log *base, uint64_t index, struct merkle_proof *ret_proof, uint64_t *ret_tree_size,
		       struct note *note)
{
	struct tlog *log = tlog_of(base);
	struct merkle_hash root, leaf;
	struct merkle_proof proof;
	uint64_t size;

	get_head(log, &size, &root);
	if (index >= size)
		return RESULT_ABSENT;
	TRY(store_read_hashes(&log->store, 0, index, 1, &leaf, note));
	TRY(merkle_prove_inclusion(&log->store.reader, index, size, &proof));
	if (merkle_verify_inclusion(&proof, index, size, &leaf, &root) != RESULT_OK) {
		note_set(note,
			 "audit log: the hash files give no proof of entry %llu; delete hashes-* and index while the "
			 "log is closed",
			 (unsigned long long)index);
		return RESULT_CORRUPT;
	}
	*ret_proof = proof;
	*ret_tree_size = size;
	return RESULT_OK;
}

/* Entries are framed in the files as in a bundle, so a bundle is a slice of its segment. */
static enum result read_bundle(struct tlog *log, uint64_t first, unsigned width, struct buf *ret_bytes,
			       struct note *note)
{
	SOURCE_CLEANUP struct entry_source source = {.store = &log->store, .fd = -1};
	struct index_record start, last;
	uint64_t end;
	uint8_t *room;

	TRY(store_read_record(&log->store, first, &start, note));
	TRY(store_read_record(&log->store, first + width - 1, &last, note));
	end = (uint64_t)last.offset + FRAME_SIZE + last.length;
	if (end <= start.offset || end - start.offset > AUDIT_BUNDLE_SIZE_MAX) {
		note_set(note, "audit log: the index is damaged; delete hashes-* and index while the log is closed");
		return RESULT_CORRUPT;
	}
	TRY(source_enter(&source, first / SEGMENT_ENTRIES, note));
	TRY(buf_reserve(ret_bytes, (size_t)(end - start.offset), &room));
	TRY(read_at(source.fd, room, (size_t)(end - start.offset), start.offset, note));
	ret_bytes->size += (size_t)(end - start.offset);
	return RESULT_OK;
}

enum result tlog_tile(struct audit_log *base, int level, uint64_t number, unsigned width, struct buf *ret_bytes,
		      struct note *note)
{
	struct tlog *log = tlog_of(base);
	struct merkle_hash hashes[TILE_HASHES];
	uint64_t covered = atomic_load(&log->head_size);

	if (level < AUDIT_TILE_ENTRIES || width == 0 || width > TILE_HASHES)
		return RESULT_INVALID;
	if (level >= TILE_LEVELS_MAX)
		return RESULT_ABSENT;
	if (level > 0)
		covered >>= 8 * level;
	if (number > covered / TILE_HASHES || number * TILE_HASHES + width > covered)
		return RESULT_ABSENT;
	if (level == AUDIT_TILE_ENTRIES)
		return read_bundle(log, number * TILE_HASHES, width, ret_bytes, note);
	TRY(store_read_hashes(&log->store, (unsigned)level, number * TILE_HASHES, width, hashes, note));
	return buf_append(ret_bytes, span_of(hashes, width * SHA256_SIZE));
}
