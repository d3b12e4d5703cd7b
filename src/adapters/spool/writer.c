#include "adapters/spool/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE	     ((size_t)4096)
#define SEGMENTS_MIN 2 /* one that is read and one that is written */

/* A segment that this writer has written into, or will. */
struct written {
	struct segment segment;
	_Atomic size_t published; /* records end here */
	size_t synced;		  /* helper's */
	bool is_retired;	  /* nothing more will come */
	struct written *next;
};

struct spool_writer {
	struct clock *clock;
	size_t segment_size;
	uint32_t segments_max;
	int64_t sync_ms;
	int directory, lock;
	mode_t mode;
	_Atomic uint32_t *wake_word;

	/* The appending thread's. */
	struct written *current; /* NULL: there was no room for one yet */
	size_t offset;		 /* of the next record in it */
	size_t reserved;	 /* size of the body that spool_reserve() gave room for */

	_Atomic uint64_t appended, bytes, refused;
	_Atomic bool is_helper_idle;

	pthread_t helper;
	bool has_helper;
	pthread_mutex_t mutex;
	pthread_cond_t to_helper, to_appender;
	/* Under the mutex. */
	struct written *oldest, *newest; /* what is not yet synced and unmapped, in order; newest is current */
	struct written *prepared;	 /* under its name of a prepared one */
	uint64_t last_number;		 /* of the newest that has a number */
	uint32_t segments;		 /* unfreed, as last counted */
	bool is_full;			 /* no segment was prepared, because there are segments_max */
	bool is_unable;			 /* … because it failed */
	bool is_sync_failing;
	bool is_closing;
};

/* ---- the helper: syncing ---------------------------------------------------------------------------------- */

/*
 * The kernel tells of a write that failed once and then takes the pages for clean. Touching them without changing
 * them (a record may be appended meanwhile) makes the next sync write them again.
 */
static void make_dirty(const struct written *written, size_t from, size_t to)
{
	for (size_t at = from; at < to; at += PAGE)
		__atomic_fetch_or(written->segment.base + at, 0, __ATOMIC_RELAXED);
}

static bool sync_one(struct written *written)
{
	size_t published = atomic_load_explicit(&written->published, memory_order_acquire);
	size_t from = written->synced / PAGE * PAGE;

	if (published == written->synced)
		return true;
	if (msync(written->segment.base + from, published - from, MS_SYNC) != 0) {
		make_dirty(written, from, published);
		return false;
	}
	written->synced = published;
	return true;
}

/* Unmaps what is synced and retired. */
static void drop_oldest(struct spool_writer *writer)
{
	struct written *oldest = NULL;

	pthread_mutex_lock(&writer->mutex);
	if (writer->oldest != NULL && writer->oldest->is_retired &&
	    writer->oldest->synced == atomic_load(&writer->oldest->published)) {
		oldest = writer->oldest;
		writer->oldest = oldest->next;
	}
	pthread_mutex_unlock(&writer->mutex);
	if (oldest == NULL)
		return;
	segment_unmap(&oldest->segment);
	free(oldest);
}

static struct written *next_of(struct spool_writer *writer, struct written *written)
{
	struct written *next;

	pthread_mutex_lock(&writer->mutex);
	next = written == NULL ? writer->oldest : written->next;
	pthread_mutex_unlock(&writer->mutex);
	return next;
}

/* A record is durable when its pages are: its segment has had a durable name since it was prepared. */
static void sync_all(struct spool_writer *writer)
{
	bool is_fine = true;
	struct written *written = NULL;

	while ((written = next_of(writer, written)) != NULL)
		is_fine = sync_one(written) && is_fine;
	pthread_mutex_lock(&writer->mutex);
	writer->is_sync_failing = !is_fine;
	pthread_mutex_unlock(&writer->mutex);
	drop_oldest(writer);
}

/* ---- the helper: preparing -------------------------------------------------------------------------------- */

static uint32_t count_mapped(const struct spool_writer *writer)
{
	uint32_t count = 0;

	for (const struct written *written = writer->oldest; written != NULL; written = written->next)
		count++;
	return count;
}

/* RESULT_EXHAUSTED: there are as many as there may be. */
static enum result make_written(struct spool_writer *writer, uint64_t number, struct written **ret_written,
				struct note *note)
{
	struct written *written = calloc(1, sizeof(*written));
	enum result result = written == NULL ? RESULT_MEMORY : RESULT_OK;

	if (result == RESULT_OK)
		result = segment_make(writer->directory, number, writer->segment_size, writer->mode, &written->segment,
				      note);
	if (result != RESULT_OK) {
		free(written);
		return result;
	}
	written->synced = SEGMENT_HEADER_SIZE;
	atomic_init(&written->published, SEGMENT_HEADER_SIZE);
	*ret_written = written;
	return RESULT_OK;
}

static enum result count_segments(struct spool_writer *writer, uint32_t *ret_count, struct note *note)
{
	SEGMENT_LIST_CLEANUP struct segment_list list = {0};

	TRY(segment_list_read(writer->directory, &list, note));
	*ret_count = (uint32_t)list.count;
	return RESULT_OK;
}

/* One segment ahead, so that the appending thread has only to give it its name. */
static void prepare(struct spool_writer *writer)
{
	struct written *prepared = NULL;
	uint32_t count = 0;
	struct note ignored;
	enum result result;

	pthread_mutex_lock(&writer->mutex);
	bool is_there = writer->prepared != NULL;
	pthread_mutex_unlock(&writer->mutex);
	if (is_there)
		return;
	result = count_segments(writer, &count, &ignored);
	pthread_mutex_lock(&writer->mutex);
	if (result == RESULT_OK && (count >= writer->segments_max || count_mapped(writer) >= writer->segments_max))
		result = RESULT_EXHAUSTED;
	uint64_t number = writer->last_number + 1;
	pthread_mutex_unlock(&writer->mutex);
	if (result == RESULT_OK)
		result = make_written(writer, number, &prepared, &ignored);
	pthread_mutex_lock(&writer->mutex);
	writer->segments = count > 0 ? count : writer->segments;
	writer->prepared = prepared;
	writer->is_full = result == RESULT_EXHAUSTED;
	writer->is_unable = result != RESULT_OK && result != RESULT_EXHAUSTED;
	pthread_cond_broadcast(&writer->to_appender);
	pthread_mutex_unlock(&writer->mutex);
}

/* ---- the helper: its rounds ------------------------------------------------------------------------------- */

/* A segment was taken, or is asked for. */
static bool is_wanted(const struct spool_writer *writer)
{
	return writer->prepared == NULL && !writer->is_full && !writer->is_unable;
}

static bool must_retry(const struct spool_writer *writer)
{
	return writer->prepared == NULL || writer->is_sync_failing ||
	       (writer->oldest != NULL && writer->oldest->is_retired);
}

/* Under the mutex; from now on an append that finds is_helper_idle signals. */
static void sleep_until_append(struct spool_writer *writer, uint64_t seen)
{
	atomic_store(&writer->is_helper_idle, true);
	while (!writer->is_closing && !is_wanted(writer) && atomic_load(&writer->appended) == seen)
		pthread_cond_wait(&writer->to_helper, &writer->mutex);
	atomic_store(&writer->is_helper_idle, false);
}

static struct timespec monotonic_in(int64_t ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += ms % 1000 * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	return at;
}

/* Under the mutex: the rest of the interval since the last sync, so that the disk is asked once in it. */
static void sleep_interval(struct spool_writer *writer, int64_t synced_at_ms)
{
	int64_t left_ms = synced_at_ms + writer->sync_ms - clock_monotonic_ms(writer->clock);
	struct timespec until = monotonic_in(left_ms < writer->sync_ms ? left_ms : writer->sync_ms);
	int code = left_ms > 0 ? 0 : ETIMEDOUT;

	while (!writer->is_closing && !is_wanted(writer) && code == 0)
		code = pthread_cond_timedwait(&writer->to_helper, &writer->mutex, &until);
}

static void wake_reader(struct spool_writer *writer, uint64_t *seen)
{
	uint64_t appended = atomic_load(&writer->appended);

	if (appended != *seen)
		spool_wake(writer->wake_word);
	*seen = appended;
}

static void *help(void *context)
{
	struct spool_writer *writer = context;
	uint64_t seen = 0;

	for (bool is_closing = false; !is_closing;) {
		int64_t started_at_ms = clock_monotonic_ms(writer->clock);

		prepare(writer); /* first: the appending thread may wait for it */
		sync_all(writer);
		pthread_mutex_lock(&writer->mutex);
		if (!must_retry(writer))
			sleep_until_append(writer, seen);
		pthread_mutex_unlock(&writer->mutex);
		wake_reader(writer, &seen); /* at once after a silence, and then in every round */
		pthread_mutex_lock(&writer->mutex);
		sleep_interval(writer, started_at_ms);
		is_closing = writer->is_closing;
		pthread_mutex_unlock(&writer->mutex);
		wake_reader(writer, &seen);
	}
	sync_all(writer);
	return NULL;
}

/* ---- appending -------------------------------------------------------------------------------------------- */

/*
 * From here on the reader sees it. A power cut may take this name back, but not the one it has had as a prepared one:
 * the next writer finds it under either, and nobody's number comes again while a reader has a position in it.
 */
static int give_name(int directory, uint64_t number)
{
	char prepared[SEGMENT_NAME_SIZE], name[SEGMENT_NAME_SIZE];

	segment_prepared_name(number, prepared);
	segment_file_name(number, name);
	return renameat(directory, prepared, directory, name);
}

static enum result take_prepared(struct spool_writer *writer)
{
	struct written *prepared = writer->prepared;

	if (give_name(writer->directory, prepared->segment.number) != 0)
		return RESULT_UNAVAILABLE;
	/* The next one has its name before this one says that it is the last of its own: the reader finds it. */
	if (writer->current != NULL) {
		atomic_store_explicit(&segment_header(&writer->current->segment)->is_finished, 1, memory_order_release);
		writer->current->is_retired = true;
	}
	if (writer->oldest == NULL)
		writer->oldest = prepared;
	else
		writer->newest->next = prepared;
	writer->newest = writer->current = prepared;
	writer->prepared = NULL;
	writer->last_number = prepared->segment.number;
	writer->segments++;
	writer->offset = SEGMENT_HEADER_SIZE;
	return RESULT_OK;
}

static enum result begin_segment(struct spool_writer *writer)
{
	enum result result;

	pthread_mutex_lock(&writer->mutex);
	while (is_wanted(writer)) {
		pthread_cond_signal(&writer->to_helper);
		pthread_cond_wait(&writer->to_appender, &writer->mutex);
	}
	if (writer->prepared != NULL)
		result = take_prepared(writer);
	else
		result = writer->is_full ? RESULT_EXHAUSTED : RESULT_UNAVAILABLE;
	pthread_cond_signal(&writer->to_helper);
	pthread_mutex_unlock(&writer->mutex);
	return result;
}

static void add(_Atomic uint64_t *counter, uint64_t count)
{
	/* One thread counts: no locked instruction is needed. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + count,
			      memory_order_relaxed);
}

enum result spool_reserve(struct spool_writer *writer, size_t body_size, uint8_t **ret_body)
{
	if (body_size > SPOOL_BODY_SIZE_MAX)
		return RESULT_INVALID;
	if (writer->current == NULL || record_size(body_size) > writer->segment_size - writer->offset) {
		enum result result = begin_segment(writer);

		if (result != RESULT_OK) {
			add(&writer->refused, 1);
			return result;
		}
	}
	writer->reserved = body_size;
	*ret_body = writer->current->segment.base + writer->offset + RECORD_HEADER_SIZE;
	return RESULT_OK;
}

void spool_publish(struct spool_writer *writer, uint16_t kind, int64_t at_ms, const struct uuid *subject)
{
	struct record_header *record = segment_record(&writer->current->segment, writer->offset);
	uint32_t length = (uint32_t)(RECORD_HEADER_SIZE + writer->reserved);

	record->tag_and_kind = writer->current->segment.tag << 16 | kind;
	record->at_ms = at_ms;
	memcpy(record->subject, subject->bytes, UUID_SIZE);
	record->crc = record_crc(record, length);
	atomic_store_explicit(&record->length, length, memory_order_release);
	writer->offset += record_size(writer->reserved);
	atomic_store_explicit(&writer->current->published, writer->offset, memory_order_release);
	add(&writer->bytes, writer->reserved);
	/* Either this thread sees that the helper sleeps, or the helper sees the record before it does. */
	atomic_store(&writer->appended, atomic_load_explicit(&writer->appended, memory_order_relaxed) + 1);
	if (!atomic_load(&writer->is_helper_idle))
		return;
	pthread_mutex_lock(&writer->mutex);
	pthread_cond_signal(&writer->to_helper);
	pthread_mutex_unlock(&writer->mutex);
}

enum result spool_append(struct spool_writer *writer, const struct spool_record *record)
{
	uint8_t *body;

	TRY(spool_reserve(writer, record->body.size, &body));
	if (record->body.size > 0)
		memcpy(body, record->body.data, record->body.size);
	spool_publish(writer, record->kind, record->at_ms, &record->subject);
	return RESULT_OK;
}

void spool_writer_status(struct spool_writer *writer, struct spool_status *ret_status)
{
	pthread_mutex_lock(&writer->mutex);
	*ret_status = (struct spool_status){
		.appended = atomic_load(&writer->appended),
		.bytes = atomic_load(&writer->bytes),
		.refused = atomic_load(&writer->refused),
		.segments = writer->segments,
		.segments_max = writer->segments_max,
		.is_failing = writer->is_sync_failing || writer->is_unable,
	};
	pthread_mutex_unlock(&writer->mutex);
}

/* ---- opening and closing ---------------------------------------------------------------------------------- */

/* What an earlier writer made and nobody ever appended to. */
struct unused {
	uint64_t named; /* the newest segment; 0: it was used */
	struct segment_list prepared;
};

static void unused_release(struct unused *unused)
{
	segment_list_release(&unused->prepared);
}
#define UNUSED_CLEANUP __attribute__((cleanup(unused_release)))

static bool has_records(const struct segment *segment)
{
	struct spool_record record;
	size_t ignored;

	return segment_look_at(segment, SEGMENT_HEADER_SIZE, &record, &ignored) != SEGMENT_EMPTY ||
	       segment_search(segment, SEGMENT_HEADER_SIZE, &ignored) == RESULT_OK;
}

/*
 * One that has records was given its name, and a power cut took that back. One that is not whole was never given one.
 * Others stay until this writer has a segment: their numbers are counted on from.
 */
static enum result adopt_prepared(struct spool_writer *writer, struct segment_list *unused, struct note *note)
{
	size_t kept = 0;

	TRY(segment_list_read_prepared(writer->directory, unused, note));
	for (size_t i = 0; i < unused->count; i++) {
		uint64_t number = unused->numbers[i];
		struct segment segment = {0};
		enum result result = segment_map_prepared(writer->directory, number, &segment, note);

		if (result == RESULT_UNAVAILABLE)
			return result;
		bool is_used = result == RESULT_OK && has_records(&segment);
		segment_unmap(&segment);
		if (is_used && give_name(writer->directory, number) != 0) {
			note_set(note, "spool: renaming a segment: %s", strerror(errno));
			return RESULT_UNAVAILABLE;
		}
		if (!is_used)
			unused->numbers[kept++] = number;
		writer->last_number = number;
	}
	unused->count = kept;
	return RESULT_OK;
}

static bool is_unused(int directory, uint64_t number)
{
	struct segment segment;

	if (segment_map(directory, number, &segment, NULL) != RESULT_OK)
		return false;
	bool is_empty = !has_records(&segment);
	segment_unmap(&segment);
	return is_empty;
}

static void count_on_from(struct spool_writer *writer, uint64_t number)
{
	if (number > writer->last_number)
		writer->last_number = number;
}

/* Finishes what an earlier writer left, and finds behind which number to go on. */
static enum result take_over(struct spool_writer *writer, struct unused *unused, struct note *note)
{
	SEGMENT_LIST_CLEANUP struct segment_list list = {0};
	struct spool_position position = {0};

	TRY(adopt_prepared(writer, &unused->prepared, note));
	TRY(segment_list_read(writer->directory, &list, note));
	for (size_t i = 0; i < list.count; i++)
		TRY(segment_finish(writer->directory, list.numbers[i], note));
	if (list.count > 0) {
		uint64_t newest = list.numbers[list.count - 1];

		unused->named = is_unused(writer->directory, newest) ? newest : 0;
		count_on_from(writer, newest);
	}
	if (spool_position_read(writer->directory, &position) == RESULT_OK)
		count_on_from(writer, position.segment);
	/* A reader's store may have a position in a spool that was here before. */
	if (writer->last_number == 0)
		writer->last_number = (uint64_t)clock_now_ms(writer->clock);
	return RESULT_OK;
}

/* Else a daemon that dies at once, again and again, would fill the spool with segments of nothing. */
static void remove_unused(const struct spool_writer *writer, const struct unused *unused)
{
	char name[SEGMENT_NAME_SIZE];

	if (unused->named != 0) {
		segment_file_name(unused->named, name);
		unlinkat(writer->directory, name, 0);
	}
	for (size_t i = 0; i < unused->prepared.count; i++) {
		segment_prepared_name(unused->prepared.numbers[i], name);
		unlinkat(writer->directory, name, 0);
	}
}

static enum result start_helper(struct spool_writer *writer)
{
	pthread_condattr_t attributes;
	sigset_t all, before;
	int code;

	pthread_mutex_init(&writer->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->to_helper, &attributes);
	pthread_cond_init(&writer->to_appender, NULL);
	pthread_condattr_destroy(&attributes);
	/* Signals are for the program's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&writer->helper, NULL, help, writer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code == 0) {
		writer->has_helper = true;
		pthread_setname_np(writer->helper, "spool");
		return RESULT_OK;
	}
	pthread_mutex_destroy(&writer->mutex);
	pthread_cond_destroy(&writer->to_helper);
	pthread_cond_destroy(&writer->to_appender);
	return RESULT_UNAVAILABLE;
}

static void release(struct spool_writer *writer)
{
	spool_wake_unmap(writer->wake_word);
	if (writer->lock >= 0)
		close(writer->lock);
	if (writer->directory >= 0)
		close(writer->directory);
	free(writer);
}

static enum result begin(struct spool_writer *writer, const char *path, struct note *note)
{
	UNUSED_CLEANUP struct unused unused = {0};

	TRY(spool_directory_open(path, WRITER_LOCK_NAME, &writer->directory, &writer->lock, &writer->mode, note));
	TRY(spool_wake_map(writer->directory, writer->mode, &writer->wake_word, note));
	TRY(take_over(writer, &unused, note));
	TRY(start_helper(writer));
	if (begin_segment(writer) == RESULT_UNAVAILABLE) {
		note_set(note,
			 "spool: no segment of %zu bytes can be made in %s: is the disk full, or the directory "
			 "read-only?",
			 writer->segment_size, path);
		return RESULT_UNAVAILABLE; /* with the helper running */
	}
	if (writer->current != NULL)
		remove_unused(writer, &unused);
	spool_wake(writer->wake_word); /* what was left is finished */
	return RESULT_OK;
}

enum result spool_writer_open(const struct spool_config *config, struct spool_writer **ret_writer, struct note *note)
{
	size_t size = config->segment_size ? config->segment_size : SPOOL_SEGMENT_SIZE_DEFAULT;
	uint32_t segments_max = config->segments_max ? config->segments_max : SPOOL_SEGMENTS_MAX_DEFAULT;
	struct spool_writer *writer;
	enum result result;

	if (size < SEGMENT_SIZE_MIN + PAGE || size % PAGE != 0 || segments_max < SEGMENTS_MIN) {
		note_set(note, "spool: segments of at least %zu bytes, a multiple of %zu, and %d of them",
			 SEGMENT_SIZE_MIN + PAGE, PAGE, SEGMENTS_MIN);
		return RESULT_INVALID;
	}
	writer = calloc(1, sizeof(*writer));
	if (writer == NULL)
		return RESULT_MEMORY;
	writer->clock = config->clock ? config->clock : clock_system();
	writer->segment_size = size;
	writer->segments_max = segments_max;
	writer->sync_ms = config->sync_ms ? config->sync_ms : SPOOL_SYNC_MS_DEFAULT;
	writer->directory = writer->lock = -1;
	result = begin(writer, config->directory, note);
	if (result == RESULT_OK)
		*ret_writer = writer;
	else if (writer->has_helper)
		spool_writer_close(writer);
	else
		release(writer);
	return result;
}

static void free_written(struct written *written)
{
	segment_unmap(&written->segment);
	free(written);
}

void spool_writer_close(struct spool_writer *writer)
{
	char name[SEGMENT_NAME_SIZE];

	if (writer == NULL)
		return;
	pthread_mutex_lock(&writer->mutex);
	writer->is_closing = true;
	pthread_cond_signal(&writer->to_helper);
	pthread_mutex_unlock(&writer->mutex);
	pthread_join(writer->helper, NULL);
	if (writer->current != NULL)
		atomic_store_explicit(&segment_header(&writer->current->segment)->is_finished, 1, memory_order_release);
	spool_wake(writer->wake_word);
	for (struct written *next, *written = writer->oldest; written != NULL; written = next) {
		next = written->next;
		free_written(written);
	}
	if (writer->prepared != NULL) {
		segment_prepared_name(writer->prepared->segment.number, name);
		unlinkat(writer->directory, name, 0);
		free_written(writer->prepared);
	}
	pthread_mutex_destroy(&writer->mutex);
	pthread_cond_destroy(&writer->to_helper);
	pthread_cond_destroy(&writer->to_appender);
	release(writer);
}
