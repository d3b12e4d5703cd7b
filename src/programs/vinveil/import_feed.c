#include "programs/vinveil/import_feed.h"

#include "base/entropy.h"
#include "programs/vinveil/import_line.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* A chunk is never longer, so that a file of bad lines alone still makes progress that a resume can use. */
#define CHUNK_LINES_MAX	 (2 * (uint64_t)IMPORT_CHUNK_ROWS_MAX)
#define CHUNK_ARENA_SIZE ((size_t)IMPORT_CHUNK_ROWS_MAX * (ATTRIBUTES_SIZE_MAX + 64))
#define REJECTS_SIZE_MAX ((size_t)CHUNK_LINES_MAX * 128)
#define BUDGET_WAIT_NS	 1000000
#define BUDGET_WAITS_MAX 5000

enum slot_state { SLOT_FREE, SLOT_WORKING, SLOT_READY };

struct slot {
	struct import_chunk chunk;
	struct vin *vins; /* of the rows; wiped once they are sealed */
	struct arena arena;
	enum slot_state state;
	enum result result;
	struct note note;
};

struct import_feed {
	struct import_feed_config config;
	struct import_columns columns;

	pthread_mutex_t reading; /* of the reader: one worker cuts off a chunk at a time; taken before `mutex` */
	struct csv_reader reader;
	struct buf field;

	pthread_mutex_t mutex; /* of the slots' states and all below; chunks_cut and is_at_end need both to change */
	pthread_cond_t changed;
	uint64_t chunks_cut;
	bool is_at_end;
	bool is_stopping;
	uint64_t chunks_taken;
	struct slot *taken; /* what the caller still borrows */

	struct slot slots[IMPORT_FEED_THREADS_MAX + 2]; /* chunk n goes to slot n mod slot_count */
	size_t slot_count;
	pthread_t threads[IMPORT_FEED_THREADS_MAX];
	size_t thread_count;
};

/* ---- cutting a chunk off, line by line -------------------------------------------------------------- */

static enum result add_reject(struct import_chunk *chunk, uint64_t line, const char *reason)
{
	chunk->reject_count++;
	return buf_append_format(&chunk->rejects, "%llu,%s\n", (unsigned long long)line, reason);
}

/* "malformed: why": the reader's sentences hold no comma-sensitive content, but they are quoted all the same. */
static enum result add_malformed(struct import_chunk *chunk, uint64_t line, const struct note *why)
{
	chunk->reject_count++;
	return buf_append_format(&chunk->rejects, "%llu,\"malformed: %s\"\n", (unsigned long long)line, why->text);
}

static enum result add_record(struct import_feed *feed, struct slot *slot, const struct csv_record *record)
{
	struct import_chunk *chunk = &slot->chunk;
	struct import_row *row = &chunk->rows[chunk->count];
	const char *reason = NULL;
	enum result result = import_line_judge(record, &feed->columns, feed->config.tenant.check_digit, &slot->arena,
					       &slot->vins[chunk->count], &row->vehicle, &reason);
	if (result == RESULT_INVALID)
		return add_reject(chunk, record->line, reason);
	TRY(result);
	row->line = record->line;
	chunk->count++;
	return RESULT_OK;
}

static void forget_chunk(struct slot *slot)
{
	buf_clear(&slot->chunk.rejects);
	arena_reset(&slot->arena);
	slot->chunk.count = slot->chunk.reject_count = 0;
	slot->note = (struct note){0};
}

/* RESULT_ABSENT: the file has no more. */
static enum result cut_chunk(struct import_feed *feed, struct slot *slot)
{
	struct import_chunk *chunk = &slot->chunk;
	struct csv_record record;
	uint64_t first = feed->reader.line;
	size_t first_offset = feed->reader.offset;
	enum result result = RESULT_OK;
	forget_chunk(slot);
	while (result == RESULT_OK && chunk->count < IMPORT_CHUNK_ROWS_MAX &&
	       feed->reader.line - first < CHUNK_LINES_MAX) {
		struct note why = {0};
		result = csv_next(&feed->reader, &record, &why);
		if (result == RESULT_INVALID)
			result = add_malformed(chunk, feed->reader.line - 1, &why);
		else if (result == RESULT_OK)
			result = add_record(feed, slot, &record);
	}
	buf_clear(&feed->field);
	if (result != RESULT_OK && result != RESULT_ABSENT)
		return result;
	chunk->end = (struct import_position){.byte_offset = feed->reader.offset, .line = feed->reader.line - 1};
	return feed->reader.offset == first_offset ? RESULT_ABSENT : RESULT_OK;
}

/* ---- index and seal --------------------------------------------------------------------------------- */

/* The vault's rates begin empty even for the operator; they fill within milliseconds. */
static bool wait_for_budget(enum result result, unsigned *waits)
{
	struct timespec pause = {.tv_nsec = BUDGET_WAIT_NS};
	if (result != RESULT_EXHAUSTED || ++*waits > BUDGET_WAITS_MAX)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

static enum result index_batch(const struct import_feed *feed, struct slot *slot, size_t first, size_t count)
{
	struct key_service *keys = feed->config.keys;
	struct hashed_vin hashes[KEY_INDEX_BATCH_MAX];
	struct vin_index_set sets[KEY_INDEX_BATCH_MAX];
	enum result result = RESULT_OK;
	unsigned waits = 0;
	for (size_t i = 0; i < count && result == RESULT_OK; i++)
		result = vin_hash(&slot->vins[first + i], &hashes[i]);
	if (result == RESULT_OK)
		do
			result = keys->ops->index_vins(keys, &feed->config.tenant.id, hashes, count, sets, &slot->note);
		while (wait_for_budget(result, &waits));
	for (size_t i = 0; i < count && result == RESULT_OK; i++)
		slot->chunk.rows[first + i].indexes = sets[i];
	secret_wipe(hashes, count * sizeof hashes[0]);
	return result;
}

static enum result seal_row(const struct import_feed *feed, struct slot *slot, size_t place)
{
	struct key_service *keys = feed->config.keys;
	struct vehicle *vehicle = &slot->chunk.rows[place].vehicle;
	unsigned waits = 0;
	enum result result;
	TRY(uuid_generate_v4(entropy_system(), &vehicle->reference_id));
	do
		result = keys->ops->seal_vin(keys, &feed->config.tenant.id, &vehicle->reference_id, &slot->vins[place],
					     &vehicle->sealed, &slot->note);
	while (wait_for_budget(result, &waits));
	return result;
}

static enum result prepare_rows(const struct import_feed *feed, struct slot *slot)
{
	int64_t now_ms = clock_now_ms(clock_system());
	for (size_t first = 0; first < slot->chunk.count; first += KEY_INDEX_BATCH_MAX) {
		size_t left = slot->chunk.count - first;
		TRY(index_batch(feed, slot, first, left < KEY_INDEX_BATCH_MAX ? left : KEY_INDEX_BATCH_MAX));
	}
	for (size_t i = 0; i < slot->chunk.count; i++) {
		struct vehicle *vehicle = &slot->chunk.rows[i].vehicle;
		TRY(seal_row(feed, slot, i));
		vehicle->tenant = feed->config.tenant.id;
		vehicle->state = vehicle->state_before_suspension = VEHICLE_PROVISIONED;
		vehicle->created_at_ms = vehicle->updated_at_ms = now_ms;
		vehicle->version = 1;
	}
	return RESULT_OK;
}

/* ---- the workers ------------------------------------------------------------------------------------ */

/* The slot of the next chunk, once its last content was used up; NULL when the feed stops. */
static struct slot *claim_slot(struct import_feed *feed)
{
	struct slot *slot = &feed->slots[feed->chunks_cut % feed->slot_count];
	pthread_mutex_lock(&feed->mutex);
	while (slot->state != SLOT_FREE && !feed->is_stopping)
		pthread_cond_wait(&feed->changed, &feed->mutex);
	if (feed->is_stopping)
		slot = NULL;
	else
		slot->state = SLOT_WORKING;
	pthread_mutex_unlock(&feed->mutex);
	return slot;
}

static void hand_over(struct import_feed *feed, struct slot *slot, enum result result)
{
	pthread_mutex_lock(&feed->mutex);
	slot->result = result;
	slot->state = SLOT_READY;
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->mutex);
}

static void count_cut(struct import_feed *feed, bool is_last)
{
	pthread_mutex_lock(&feed->mutex);
	feed->chunks_cut++;
	feed->is_at_end = is_last;
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->mutex);
}

/* False: there is nothing more to do. The first chunk that is no chunk (the end, or a failure) is handed over, too. */
static bool work_once(struct import_feed *feed)
{
	struct slot *slot = NULL;
	enum result result = RESULT_ABSENT;
	pthread_mutex_lock(&feed->reading);
	if (!feed->is_at_end)
		slot = claim_slot(feed);
	if (slot != NULL) {
		result = cut_chunk(feed, slot);
		count_cut(feed, result != RESULT_OK || feed->reader.offset == feed->reader.bytes.size);
	}
	pthread_mutex_unlock(&feed->reading);
	if (slot == NULL)
		return false;
	if (result == RESULT_OK)
		result = prepare_rows(feed, slot);
	secret_wipe(slot->vins, IMPORT_CHUNK_ROWS_MAX * sizeof slot->vins[0]);
	secret_scrub_stack();
	hand_over(feed, slot, result);
	return result == RESULT_OK;
}

static void *work(void *argument)
{
	while (work_once(argument))
		;
	return NULL;
}

/* ---- the feed --------------------------------------------------------------------------------------- */

static size_t skip_byte_order_mark(struct span bytes)
{
	return bytes.size >= 3 && memcmp(bytes.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/* `field` holds the reader's fields and is the caller's. */
static enum result read_header(struct span bytes, struct buf *field, struct csv_reader *ret_reader,
			       struct import_columns *ret_columns, struct note *note)
{
	struct csv_record header;
	struct csv_reader reader = {.bytes = bytes, .offset = skip_byte_order_mark(bytes), .line = 1, .field = field};
	field->size_max = CSV_RECORD_SIZE_MAX;
	enum result result = csv_next(&reader, &header, note);
	if (result == RESULT_ABSENT) {
		note_set(note, "the file is empty");
		return RESULT_INVALID;
	}
	TRY(result);
	TRY(import_columns_read(&header, ret_columns, note));
	*ret_reader = reader;
	return RESULT_OK;
}

enum result import_feed_check(struct span bytes, struct note *note)
{
	BUF_CLEANUP struct buf field = {0};
	struct csv_reader reader;
	struct import_columns columns;
	return read_header(bytes, &field, &reader, &columns, note);
}

static enum result begin_after(struct import_feed *feed, const struct import_position *position, struct note *note)
{
	TRY(read_header(feed->config.bytes, &feed->field, &feed->reader, &feed->columns, note));
	if (position->byte_offset > feed->reader.offset) {
		feed->reader.offset = position->byte_offset;
		feed->reader.line = position->line + 1;
	}
	feed->is_at_end = feed->reader.offset >= feed->reader.bytes.size;
	return RESULT_OK;
}

static enum result make_slots(struct import_feed *feed)
{
	feed->slot_count = feed->config.thread_count + 2;
	for (size_t i = 0; i < feed->slot_count; i++) {
		struct slot *slot = &feed->slots[i];
		slot->arena.size_max = CHUNK_ARENA_SIZE;
		slot->chunk.rejects.size_max = REJECTS_SIZE_MAX;
		slot->chunk.rows = calloc(IMPORT_CHUNK_ROWS_MAX, sizeof slot->chunk.rows[0]);
		slot->vins = calloc(IMPORT_CHUNK_ROWS_MAX, sizeof slot->vins[0]);
		if (slot->chunk.rows == NULL || slot->vins == NULL)
			return RESULT_MEMORY;
	}
	return RESULT_OK;
}

static enum result start_threads(struct import_feed *feed)
{
	for (; feed->thread_count < feed->config.thread_count; feed->thread_count++)
		if (pthread_create(&feed->threads[feed->thread_count], NULL, work, feed) != 0)
			return RESULT_UNAVAILABLE;
	return RESULT_OK;
}

enum result import_feed_open(const struct import_feed_config *config, const struct import_position *position,
			     struct import_feed **ret_feed, struct note *note)
{
	struct import_feed *feed = calloc(1, sizeof *feed);
	if (feed == NULL)
		return RESULT_MEMORY;
	feed->config = *config;
	pthread_mutex_init(&feed->reading, NULL);
	pthread_mutex_init(&feed->mutex, NULL);
	pthread_cond_init(&feed->changed, NULL);
	enum result result = begin_after(feed, position, note);
	if (result == RESULT_OK)
		result = make_slots(feed);
	if (result == RESULT_OK && !feed->is_at_end)
		result = start_threads(feed);
	if (result != RESULT_OK) {
		import_feed_close(feed);
		return result;
	}
	*ret_feed = feed;
	return RESULT_OK;
}

static void give_back(struct import_feed *feed)
{
	if (feed->taken == NULL)
		return;
	feed->taken->state = SLOT_FREE;
	feed->taken = NULL;
	pthread_cond_broadcast(&feed->changed);
}

/* The next chunk in the file's order; NULL when all that was ever cut has been taken. */
static struct slot *take_slot(struct import_feed *feed)
{
	struct slot *slot = &feed->slots[feed->chunks_taken % feed->slot_count];
	while (!(feed->is_at_end && feed->chunks_taken == feed->chunks_cut)) {
		if (slot->state == SLOT_READY) {
			feed->taken = slot;
			feed->chunks_taken++;
			return slot;
		}
		pthread_cond_wait(&feed->changed, &feed->mutex);
	}
	return NULL;
}

enum result import_feed_next(struct import_feed *feed, const struct import_chunk **ret_chunk, struct note *note)
{
	pthread_mutex_lock(&feed->mutex);
	give_back(feed);
	struct slot *slot = take_slot(feed);
	pthread_mutex_unlock(&feed->mutex);
	if (slot == NULL)
		return RESULT_ABSENT;
	if (slot->result != RESULT_OK) {
		note_set(note, "%s", slot->note.text);
		return slot->result;
	}
	*ret_chunk = &slot->chunk;
	return RESULT_OK;
}

void import_feed_close(struct import_feed *feed)
{
	if (feed == NULL)
		return;
	pthread_mutex_lock(&feed->mutex);
	feed->is_stopping = true;
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->mutex);
	for (size_t i = 0; i < feed->thread_count; i++)
		pthread_join(feed->threads[i], NULL);
	for (size_t i = 0; i < IMPORT_FEED_THREADS_MAX + 2; i++) {
		buf_release(&feed->slots[i].chunk.rejects);
		arena_release(&feed->slots[i].arena);
		free(feed->slots[i].chunk.rows);
		free(feed->slots[i].vins);
	}
	buf_release(&feed->field);
	pthread_cond_destroy(&feed->changed);
	pthread_mutex_destroy(&feed->mutex);
	pthread_mutex_destroy(&feed->reading);
	free(feed);
}
