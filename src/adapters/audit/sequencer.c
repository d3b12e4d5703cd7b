#include "adapters/audit/tlog_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PROBE_SECONDS 1 /* between two looks whether a disk that failed works again */

/* ---- the callers' side --------------------------------------------------------------------------------- */

/* A leaf that recovery or the outbox could not read back must never be acknowledged. */
static enum result check_leaf(const struct audit_leaf *leaf)
{
	struct leaf_facts facts;
	struct uuid id;

	if (leaf->json.size == 0 || leaf->json.size > AUDIT_LEAF_SIZE_MAX)
		return RESULT_INVALID;
	TRY(leaf_scan(leaf->json, &facts));
	TRY(uuid_parse(facts.leaf_id, &id));
	return uuid_equal(&id, &leaf->leaf_id) ? RESULT_OK : RESULT_INVALID;
}

static enum result reserve_append(struct append_group *group)
{
	size_t capacity = group->append_capacity ? 2 * group->append_capacity : 256;
	struct queued_append *appends;

	if (group->append_count < group->append_capacity)
		return RESULT_OK;
	appends = reallocarray(group->appends, capacity, sizeof(*appends));
	if (appends == NULL)
		return RESULT_MEMORY;
	group->appends = appends;
	group->append_capacity = capacity;
	return RESULT_OK;
}

static enum result group_add(struct append_group *group, const struct audit_leaf *leaves, size_t count, size_t size,
			     const struct queued_append *append)
{
	uint8_t *room;

	TRY(reserve_append(group));
	TRY(buf_reserve(&group->frames, size, &room));
	for (size_t i = 0; i < count; i++) {
		*room++ = (uint8_t)(leaves[i].json.size >> 8);
		*room++ = (uint8_t)leaves[i].json.size;
		memcpy(room, leaves[i].json.data, leaves[i].json.size);
		room += leaves[i].json.size;
	}
	group->frames.size += size;
	group->appends[group->append_count++] = *append;
	group->leaf_count += count;
	return RESULT_OK;
}

enum result tlog_append(struct audit_log *base, const struct audit_leaf *leaves, size_t count, audit_append_done *done,
			void *context)
{
	struct tlog *log = tlog_of(base);
	struct queued_append append = {.done = done, .context = context, .leaf_count = count};
	size_t size = 0;
	enum result result;

	if (count == 0)
		return RESULT_INVALID;
	for (size_t i = 0; i < count; i++) {
		TRY(check_leaf(&leaves[i]));
		size += FRAME_SIZE + leaves[i].json.size;
	}
	if (atomic_load(&log->is_broken))
		return RESULT_UNAVAILABLE;
	pthread_mutex_lock(&log->queue_mutex);
	result = log->is_closing ? RESULT_UNAVAILABLE : group_add(log->queue, leaves, count, size, &append);
	if (result == RESULT_OK) {
		log->size += count;
		if (log->queue->append_count == 1)
			pthread_cond_signal(&log->queue_filled);
	}
	pthread_mutex_unlock(&log->queue_mutex);
	return result;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static enum result sync_file(struct log_end *end, int fd, struct note *note)
{
	if (fdatasync(fd) == 0)
		return RESULT_OK;
	note_set(note, "audit log: fdatasync: %s", strerror(errno));
	end->is_sync_suspect = true;
	return RESULT_UNAVAILABLE;
}

static enum result sync_directory(struct tlog *log, struct note *note)
{
	if (fsync(log->store.directory_fd) == 0)
		return RESULT_OK;
	note_set(note, "audit log: fsync of the directory: %s", strerror(errno));
	return RESULT_UNAVAILABLE;
}

/* Makes the file of end->segment when it is not there, and its name durable before the first entry in it is. */
static enum result open_end(struct tlog *log, struct log_end *end, struct note *note)
{
	int flags = O_RDWR | O_CREAT | (end->offset == 0 ? O_TRUNC : 0);

	if (end->fd >= 0)
		return RESULT_OK;
	TRY(segment_open(&log->store, end->segment, flags, &end->fd, note));
	TRY(file_size_get(end->fd, &end->prepared, note));
	return end->offset == 0 ? sync_directory(log, note) : RESULT_OK;
}

/*
 * Zeros behind the entries, written ahead in one piece: a later write into them changes no size and no extent, so its
 * fdatasync is data alone (measured: half the time of one that has metadata to journal). What cannot be written
 * ahead is no failure yet.
 */
static void prepare_ahead(struct tlog *log, struct log_end *end)
{
	uint8_t *zeros = calloc(1, log->preallocation);
	struct note ignored;

	if (zeros == NULL)
		return;
	if (write_at(end->fd, zeros, log->preallocation, end->offset, &ignored) == RESULT_OK)
		end->prepared = end->offset + log->preallocation;
	free(zeros);
}

/* How much of the frames belongs to this segment: all, or up to the entry that fills it. */
static size_t frames_until(struct span frames, uint64_t entries)
{
	size_t at = 0;

	for (; entries > 0 && at < frames.size; entries--)
		at += FRAME_SIZE + (size_t)(frames.data[at] << 8 | frames.data[at + 1]);
	return at;
}

/* One segment's part of a group. *end moves on only when it is durable. */
static enum result write_part(struct tlog *log, struct log_end *end, struct span frames, struct note *note)
{
	TRY(open_end(log, end, note));
	TRY(write_at(end->fd, frames.data, frames.size, end->offset, note));
	end->offset += frames.size;
	if (end->offset > end->prepared) {
		end->prepared = end->offset;
		if (log->preallocation > 0)
			prepare_ahead(log, end);
	}
	return sync_file(end, end->fd, note);
}

/* The whole group, durable; a group that fills a segment goes on in the next one. */
static enum result write_frames(struct tlog *log, struct log_end *end, struct span frames, uint64_t first,
				uint64_t count, struct note *note)
{
	while (count > 0) {
		uint64_t room = SEGMENT_ENTRIES - first % SEGMENT_ENTRIES;
		uint64_t part = count < room ? count : room;
		size_t size = part == count ? frames.size : frames_until(frames, part);

		TRY(write_part(log, end, span_of(frames.data, size), note));
		frames = span_of(frames.data + size, frames.size - size);
		first += part;
		count -= part;
		if (first % SEGMENT_ENTRIES == 0) {
			/* A full segment has no zeros behind it. */
			if (ftruncate(end->fd, (off_t)end->offset) != 0) {
				note_set(note, "audit log: ftruncate: %s", strerror(errno));
				return RESULT_UNAVAILABLE;
			}
			close(end->fd);
			*end = (struct log_end){.fd = -1, .segment = end->segment + 1};
		}
	}
	return RESULT_OK;
}

/* ---- after a failure ------------------------------------------------------------------------------------- */

/*
 * A failed sync may have dropped pages that the kernel had taken, and it says so once. So all entries after the last
 * checkpoint are read again, from the disk and not from the page cache, and those already hashed compared.
 */
static enum result verify_tail(struct tlog *log, uint64_t first, uint64_t offset, uint64_t until, struct note *note)
{
	struct entry_reader reader;
	struct leaf_facts facts;
	struct merkle_hash hash, known;
	struct span entry;
	uint64_t derived = atomic_load(&log->derived_size);
	enum result result = entry_reader_open(&reader, &log->store, first, offset);

	while (result == RESULT_OK && reader.index < until) {
		uint64_t index = reader.index;

		result = entry_reader_next(&reader, &entry, note);
		if (result == RESULT_OK && leaf_scan(entry, &facts) != RESULT_OK)
			result = RESULT_CORRUPT;
		if (result != RESULT_OK || index >= derived)
			continue;
		result = store_read_hashes(&log->store, 0, index, 1, &known, note);
		if (result == RESULT_OK)
			result = merkle_leaf_hash(entry, &hash);
		if (result == RESULT_OK && memcmp(hash.bytes, known.bytes, SHA256_SIZE) != 0)
			result = RESULT_CORRUPT;
	}
	entry_reader_close(&reader);
	return result == RESULT_ABSENT ? RESULT_CORRUPT : result;
}

/* Where the entry lies that the newest checkpoint does not cover any more. */
static enum result find_tail(struct tlog *log, uint64_t *ret_first, uint64_t *ret_offset, struct note *note)
{
	uint64_t first = atomic_load(&log->head_size);
	struct index_record record;

	*ret_first = first;
	*ret_offset = 0;
	if (first % SEGMENT_ENTRIES == 0)
		return RESULT_OK;
	TRY(store_read_record(&log->store, first - 1, &record, note));
	*ret_offset = (uint64_t)record.offset + FRAME_SIZE + record.length;
	return RESULT_OK;
}

static void drop_cache(struct tlog *log, uint64_t segment, uint64_t last)
{
	for (int fd; segment <= last; segment++) {
		if (segment_open(&log->store, segment, O_RDONLY, &fd, NULL) != RESULT_OK)
			continue;
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
}

static enum result verify_after_sync_failure(struct tlog *log, struct note *note)
{
	uint64_t first, offset, until = atomic_load(&log->durable_size);
	enum result result;

	TRY(find_tail(log, &first, &offset, note));
	drop_cache(log, first / SEGMENT_ENTRIES, until / SEGMENT_ENTRIES);
	result = verify_tail(log, first, offset, until, note);
	if (result == RESULT_CORRUPT) {
		note_set(note, "audit log: after a failed sync the disk does not hold what was acknowledged; "
			       "stop, check the disk, restore");
		atomic_store(&log->is_broken, true);
	}
	return result;
}

/* Removes the segments that a failed group had begun behind the one that stands. */
static enum result remove_segments_after(struct tlog *log, uint64_t segment, struct note *note)
{
	char name[STORE_NAME_SIZE];

	for (;;) {
		segment_name(++segment, name);
		if (unlinkat(log->store.directory_fd, name, 0) == 0)
			continue;
		if (errno == ENOENT)
			return RESULT_OK;
		note_set(note, "audit log: removing %s: %s", name, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
}

/* Back to what is durable, before anything is written again. */
static enum result repair(struct tlog *log, struct note *note)
{
	struct log_end *end = &log->end;

	if (end->fd >= 0)
		close(end->fd);
	end->fd = -1;
	TRY(remove_segments_after(log, end->segment, note));
	TRY(open_end(log, end, note));
	if (ftruncate(end->fd, (off_t)end->offset) != 0) {
		note_set(note, "audit log: ftruncate: %s", strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	end->prepared = end->offset;
	TRY(sync_file(end, end->fd, note));
	if (end->is_sync_suspect)
		TRY(verify_after_sync_failure(log, note));
	end->is_sync_suspect = false;
	end->needs_repair = false;
	return RESULT_OK;
}

static enum result write_group(struct tlog *log, const struct append_group *group, struct note *note)
{
	struct log_end end;
	enum result result;

	if (atomic_load(&log->is_broken))
		return RESULT_UNAVAILABLE;
	if (log->end.needs_repair)
		TRY(repair(log, note));
	end = log->end;
	result = write_frames(log, &end, buf_span(&group->frames), atomic_load(&log->durable_size), group->leaf_count,
			      note);
	if (result == RESULT_OK) {
		log->end = end;
		return RESULT_OK;
	}
	/* The copy may have gone on to another file; what stands is the old end, to be opened anew. */
	if (end.fd >= 0)
		close(end.fd);
	log->end.fd = -1;
	log->end.needs_repair = true;
	log->end.is_sync_suspect |= end.is_sync_suspect;
	return result;
}

/*
 * Would a write succeed again? Asked while nobody appends: who hears that the log fails keeps away, and would else
 * never learn that it works.
 */
static enum result probe(struct tlog *log, struct note *note)
{
	struct log_end *end = &log->end;

	if (atomic_load(&log->is_broken))
		return RESULT_UNAVAILABLE;
	TRY(repair(log, note));
	prepare_ahead(log, end);
	end->needs_repair = log->preallocation > 0 && end->prepared == end->offset;
	return end->needs_repair ? RESULT_UNAVAILABLE : sync_file(end, end->fd, note);
}

/* ---- the thread ------------------------------------------------------------------------------------------ */

static bool must_wait(const struct tlog *log)
{
	return log->queue->append_count == 0 && !log->is_closing;
}

/*
 * Waits for appends and takes them all. NULL when the log closes and nothing is left, or when it is time to probe a
 * log that fails.
 */
static struct append_group *take_group(struct tlog *log, bool *ret_is_over)
{
	struct append_group *group = NULL;
	struct timespec until;
	int code = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PROBE_SECONDS;
	pthread_mutex_lock(&log->queue_mutex);
	while (must_wait(log) && code == 0)
		code = log->end.needs_repair
			       ? pthread_cond_clockwait(&log->queue_filled, &log->queue_mutex, CLOCK_MONOTONIC, &until)
			       : pthread_cond_wait(&log->queue_filled, &log->queue_mutex);
	if (log->queue->append_count > 0) {
		group = log->queue;
		log->queue = group == &log->groups[0] ? &log->groups[1] : &log->groups[0];
	}
	*ret_is_over = group == NULL && log->is_closing;
	pthread_mutex_unlock(&log->queue_mutex);
	return group;
}

static void set_write_failure(struct tlog *log, const char *text)
{
	pthread_mutex_lock(&log->status_mutex);
	memcpy(log->write_failure, text, NOTE_SIZE);
	pthread_mutex_unlock(&log->status_mutex);
}

static void account(struct tlog *log, const struct append_group *group, enum result result, const struct note *note)
{
	int64_t none = 0;

	if (result != RESULT_OK) {
		pthread_mutex_lock(&log->queue_mutex);
		log->size -= group->leaf_count;
		pthread_mutex_unlock(&log->queue_mutex);
		atomic_fetch_add(&log->failure_count, 1);
		set_write_failure(log, note->text);
		return;
	}
	atomic_fetch_add(&log->durable_size, group->leaf_count);
	atomic_fetch_add(&log->group_count, 1);
	if (log->write_failure[0] != '\0')
		set_write_failure(log, (const char[NOTE_SIZE]){0});
	atomic_compare_exchange_strong(&log->uncovered_since_ms, &none, clock_monotonic_ms(log->clock));
}

static void tell(struct append_group *group, enum result result, uint64_t first)
{
	for (size_t i = 0; i < group->append_count; i++) {
		const struct queued_append *append = &group->appends[i];

		append->done(append->context, result, first);
		first += append->leaf_count;
	}
	buf_clear(&group->frames);
	group->append_count = 0;
	group->leaf_count = 0;
}

static void run_group(struct tlog *log, struct append_group *group)
{
	struct note note = {0};
	uint64_t first = atomic_load(&log->durable_size);
	enum result result = write_group(log, group, &note);

	/* Whatever kept the disk from it, to the caller it is one thing: not in the log. */
	if (result != RESULT_OK)
		result = RESULT_UNAVAILABLE;
	account(log, group, result, &note);
	tell(group, result, first);
	if (result == RESULT_OK)
		signing_wake(log);
}

void *sequencer_run(void *context)
{
	struct tlog *log = context;
	struct note ignored;

	for (bool is_over = false; !is_over;) {
		struct append_group *group = take_group(log, &is_over);

		if (group != NULL)
			run_group(log, group);
		else if (!is_over && probe(log, &ignored) == RESULT_OK)
			set_write_failure(log, (const char[NOTE_SIZE]){0});
	}
	return NULL;
}

void append_group_release(struct append_group *group)
{
	buf_release(&group->frames);
	free(group->appends);
	*group = (struct append_group){0};
}
