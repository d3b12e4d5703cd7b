#include "adapters/fleetwise/decoders.h"

#include "adapters/fleetwise/memory.h"
#include "adapters/fleetwise/signal_names.pb-c.h"
#include "base/file.h"
#include "base/text.h"
#include "vehicle/ports/registry.h"
#include "vehicle/telemetry.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_SUFFIX    ".names"
#define FILE_DIGITS    16
#define FILE_NAME_SIZE (FILE_DIGITS + sizeof FILE_SUFFIX)
#define FILES_MAX      (4 * (size_t)FLEETWISE_DECODERS_MAX) /* damaged ones included */
#define READING_MEMORY ((size_t)8 << 20)

/* Names and texts live in the arena. */
struct fleetwise_decoder {
	struct arena arena;
	struct span sync_id;
	struct fleetwise_signal *signals; /* by ID */
	size_t count;
	uint64_t number; /* of its file */
};

struct fleetwise_decoders {
	pthread_rwlock_t lock;
	char *directory;					   /* NULL: none */
	struct fleetwise_decoder *entries[FLEETWISE_DECODERS_MAX]; /* the one put longest ago first */
	size_t count;
	uint64_t last_number;
};

/* ---- documents ---------------------------------------------------------------------------------------- */

static void decoder_free(struct fleetwise_decoder *decoder)
{
	if (decoder == NULL)
		return;
	arena_release(&decoder->arena);
	free(decoder);
}

static int by_id(const void *a, const void *b)
{
	const struct fleetwise_signal *left = a, *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

static enum result copy_signal(struct arena *arena, const Fleetwise__SignalName *from, struct fleetwise_signal *ret)
{
	struct span name = span_of_bytes(from->name);

	if (from->signal_id == 0 || from->signal_id > FLEETWISE_SIGNAL_ID_MAX || !signal_name_is_valid(name))
		return RESULT_INVALID;
	const char *copy = arena_copy_text(arena, name);
	if (copy == NULL)
		return RESULT_MEMORY;
	*ret = (struct fleetwise_signal){from->signal_id, span_of(copy, name.size), from->is_boolean};
	return RESULT_OK;
}

static enum result fill_decoder(struct fleetwise_decoder *decoder, const Fleetwise__SignalNames *names)
{
	struct span sync_id = span_of_bytes(names->sync_id);

	if (sync_id.size == 0 || sync_id.size > SYNC_ID_LENGTH_MAX || !text_is_printable(sync_id, false))
		return RESULT_INVALID;
	const char *copy = arena_copy_text(&decoder->arena, sync_id);
	decoder->signals = arena_alloc(&decoder->arena, names->n_signals * sizeof *decoder->signals);
	if (copy == NULL || decoder->signals == NULL)
		return RESULT_MEMORY;
	decoder->sync_id = span_of(copy, sync_id.size);
	decoder->count = names->n_signals;
	for (size_t i = 0; i < names->n_signals; i++)
		TRY(copy_signal(&decoder->arena, names->signals[i], &decoder->signals[i]));
	if (decoder->count > 0)
		qsort(decoder->signals, decoder->count, sizeof *decoder->signals, by_id);
	for (size_t i = 1; i < decoder->count; i++)
		if (decoder->signals[i].id == decoder->signals[i - 1].id)
			return RESULT_INVALID;
	return RESULT_OK;
}

static enum result decoder_read(struct span document, struct fleetwise_decoder **ret_decoder, struct note *note)
{
	ARENA_CLEANUP struct arena reading = {.size_max = READING_MEMORY};
	ProtobufCMessage *message;

	if (document.size > FLEETWISE_NAMES_DOCUMENT_MAX ||
	    message_read(&fleetwise__signal_names__descriptor, document, &reading, &message) != RESULT_OK) {
		note_set(note, "not a document of signal names");
		return RESULT_INVALID;
	}
	struct fleetwise_decoder *decoder = calloc(1, sizeof *decoder);
	if (decoder == NULL)
		return RESULT_MEMORY;
	decoder->arena.size_max = READING_MEMORY;
	enum result result = fill_decoder(decoder, (const Fleetwise__SignalNames *)message);
	if (result != RESULT_OK) {
		note_set(note, "a document of signal names with a wrong sync ID, signal ID or name");
		decoder_free(decoder);
		return result;
	}
	*ret_decoder = decoder;
	return RESULT_OK;
}

/* ---- the table ---------------------------------------------------------------------------------------- */

static size_t find(const struct fleetwise_decoders *decoders, struct span sync_id)
{
	size_t i = 0;

	while (i < decoders->count && !span_equal(decoders->entries[i]->sync_id, sync_id))
		i++;
	return i;
}

static struct fleetwise_decoder *remove_at(struct fleetwise_decoders *decoders, size_t place)
{
	struct fleetwise_decoder *removed = decoders->entries[place];

	decoders->count--;
	memmove(decoders->entries + place, decoders->entries + place + 1,
		(decoders->count - place) * sizeof(struct fleetwise_decoder *));
	return removed;
}

static enum result file_path(const struct fleetwise_decoders *decoders, uint64_t number,
			     char ret_path[static PATH_SIZE])
{
	char name[FILE_NAME_SIZE];

	snprintf(name, sizeof name, "%016" PRIx64 FILE_SUFFIX, number);
	return path_join(decoders->directory, name, ret_path);
}

/* With its file; one that stays is read at the next start, and goes then. */
static void drop_at(struct fleetwise_decoders *decoders, size_t place)
{
	struct fleetwise_decoder *dropped = remove_at(decoders, place);
	char path[PATH_SIZE];

	if (decoders->directory != NULL && file_path(decoders, dropped->number, path) == RESULT_OK)
		unlink(path);
	decoder_free(dropped);
}

static struct span tenant_part(struct span sync_id)
{
	const uint8_t *slash = memchr(sync_id.data, '/', sync_id.size);

	return span_of(sync_id.data, slash != NULL ? (size_t)(slash - sync_id.data) : sync_id.size);
}

/* The tenant's one that was put longest ago, when it has as many as it may; else decoders->count. */
static size_t find_superfluous(const struct fleetwise_decoders *decoders, struct span sync_id)
{
	struct span tenant = tenant_part(sync_id);
	size_t oldest = decoders->count, found = 0;

	for (size_t i = 0; i < decoders->count; i++) {
		if (!span_equal(tenant_part(decoders->entries[i]->sync_id), tenant))
			continue;
		if (found++ == 0)
			oldest = i;
	}
	return found >= FLEETWISE_DECODERS_OF_TENANT_MAX ? oldest : decoders->count;
}

/* Takes the decoder. The lock is held. */
static void insert(struct fleetwise_decoders *decoders, struct fleetwise_decoder *decoder)
{
	size_t place = find(decoders, decoder->sync_id);

	if (place == decoders->count)
		place = find_superfluous(decoders, decoder->sync_id);
	if (place < decoders->count)
		drop_at(decoders, place);
	else if (decoders->count == FLEETWISE_DECODERS_MAX)
		drop_at(decoders, 0);
	decoders->entries[decoders->count++] = decoder;
	if (decoder->number > decoders->last_number)
		decoders->last_number = decoder->number;
}

static enum result keep(struct fleetwise_decoders *decoders, struct fleetwise_decoder *decoder, struct span document,
			struct note *note)
{
	char path[PATH_SIZE];

	decoder->number = decoders->last_number + 1;
	if (decoders->directory != NULL && (file_path(decoders, decoder->number, path) != RESULT_OK ||
					    file_replace(path, document, 0600, note) != RESULT_OK))
		return RESULT_UNAVAILABLE;
	insert(decoders, decoder);
	return RESULT_OK;
}

enum result fleetwise_decoders_put(struct fleetwise_decoders *decoders, const char *sync_id, struct span document,
				   struct note *note)
{
	struct fleetwise_decoder *decoder;

	TRY(decoder_read(document, &decoder, note));
	if (!span_is_text(decoder->sync_id, sync_id)) {
		note_set(note, "the document is of another sync ID");
		decoder_free(decoder);
		return RESULT_INVALID;
	}
	pthread_rwlock_wrlock(&decoders->lock);
	enum result result = keep(decoders, decoder, document, note);
	pthread_rwlock_unlock(&decoders->lock);
	if (result != RESULT_OK)
		decoder_free(decoder);
	return result;
}

size_t fleetwise_decoders_count(struct fleetwise_decoders *decoders)
{
	pthread_rwlock_rdlock(&decoders->lock);
	size_t count = decoders->count;
	pthread_rwlock_unlock(&decoders->lock);
	return count;
}

/* ---- opening ------------------------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static bool is_stored(const char *name, uint64_t *ret_number)
{
	uint8_t bytes[FILE_DIGITS / 2];
	uint64_t number = 0;

	if (strlen(name) != FILE_NAME_SIZE - 1 || strcmp(name + FILE_DIGITS, FILE_SUFFIX) != 0 ||
	    hex_parse(span_of(name, FILE_DIGITS), false, bytes, sizeof bytes) != RESULT_OK)
		return false;
	for (size_t i = 0; i < sizeof bytes; i++)
		number = number << 8 | bytes[i];
	*ret_number = number;
	return true;
}

/* In the arena, in the order in which they were put. */
static enum result list_stored(DIR *directory, struct arena *arena, uint64_t **ret_numbers, size_t *ret_count)
{
	uint64_t *numbers = arena_alloc(arena, FILES_MAX * sizeof *numbers);
	const struct dirent *entry;
	size_t count = 0;

	if (numbers == NULL)
		return RESULT_MEMORY;
	while (count < FILES_MAX && (entry = readdir(directory)) != NULL)
		count += is_stored(entry->d_name, &numbers[count]);
	if (count > 0)
		qsort(numbers, count, sizeof *numbers, by_number);
	*ret_numbers = numbers;
	*ret_count = count;
	return RESULT_OK;
}

static enum result load_one(struct fleetwise_decoders *decoders, uint64_t number, struct note *note)
{
	BUF_CLEANUP struct buf content = {.size_max = FLEETWISE_NAMES_DOCUMENT_MAX};
	struct fleetwise_decoder *decoder;
	char path[PATH_SIZE];

	TRY(file_path(decoders, number, path));
	TRY(file_read(path, &content, note));
	TRY(decoder_read(buf_span(&content), &decoder, note));
	decoder->number = number;
	insert(decoders, decoder);
	return RESULT_OK;
}

static enum result load(struct fleetwise_decoders *decoders, size_t *ret_skipped, struct note *note)
{
	ARENA_CLEANUP struct arena arena = {0};
	uint64_t *numbers = NULL;
	size_t count = 0, skipped = 0;
	DIR *directory = opendir(decoders->directory);

	if (directory == NULL) {
		note_set(note, "%s: %s", decoders->directory, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	enum result result = list_stored(directory, &arena, &numbers, &count);
	closedir(directory);
	for (size_t i = 0; result == RESULT_OK && i < count; i++) {
		enum result loaded = load_one(decoders, numbers[i], note);
		if (loaded == RESULT_MEMORY)
			result = loaded;
		skipped += loaded != RESULT_OK;
		if (numbers[i] > decoders->last_number)
			decoders->last_number = numbers[i];
	}
	*ret_skipped = skipped;
	return result;
}

enum result fleetwise_decoders_open(const char *directory, struct fleetwise_decoders **ret_decoders,
				    size_t *ret_skipped, struct note *note)
{
	struct fleetwise_decoders *decoders = calloc(1, sizeof *decoders);
	enum result result = RESULT_OK;
	size_t skipped = 0;

	if (decoders == NULL)
		return RESULT_MEMORY;
	pthread_rwlock_init(&decoders->lock, NULL);
	if (directory != NULL) {
		decoders->directory = strdup(directory);
		result = decoders->directory == NULL ? RESULT_MEMORY : directory_make(directory, 0700, note);
		if (result == RESULT_OK)
			result = load(decoders, &skipped, note);
	}
	if (result != RESULT_OK) {
		fleetwise_decoders_close(decoders);
		return result;
	}
	*ret_decoders = decoders;
	*ret_skipped = skipped;
	return RESULT_OK;
}

void fleetwise_decoders_close(struct fleetwise_decoders *decoders)
{
	if (decoders == NULL)
		return;
	for (size_t i = 0; i < decoders->count; i++)
		decoder_free(decoders->entries[i]);
	pthread_rwlock_destroy(&decoders->lock);
	free(decoders->directory);
	free(decoders);
}

/* ---- looking up --------------------------------------------------------------------------------------- */

void fleetwise_lookup_begin(struct fleetwise_lookup *lookup, struct fleetwise_decoders *decoders, struct span sync_id)
{
	pthread_rwlock_rdlock(&decoders->lock);
	size_t place = find(decoders, sync_id);
	*lookup = (struct fleetwise_lookup){decoders, place < decoders->count ? decoders->entries[place] : NULL};
}

const struct fleetwise_signal *fleetwise_lookup_find(const struct fleetwise_lookup *lookup, uint32_t signal_id)
{
	const struct fleetwise_signal wanted = {.id = signal_id};

	if (lookup->decoder == NULL || lookup->decoder->count == 0)
		return NULL;
	return bsearch(&wanted, lookup->decoder->signals, lookup->decoder->count, sizeof wanted, by_id);
}

void fleetwise_lookup_end(struct fleetwise_lookup *lookup)
{
	pthread_rwlock_unlock(&lookup->decoders->lock);
	lookup->decoder = NULL;
}
