/*
 * The files of a spool (doc/spool-format.md), shared by writer and reader: layout, checks, names. Numbers are
 * little-endian, as the machine has them: a spool is read where it was written.
 */
#ifndef VINVEIL_ADAPTERS_SPOOL_SEGMENT_H
#define VINVEIL_ADAPTERS_SPOOL_SEGMENT_H

#include "adapters/spool/spool.h"

#include <stdatomic.h>
#include <sys/types.h>

#define SEGMENT_VERSION	    1
#define SEGMENT_HEADER_SIZE ((size_t)4096)
#define SEGMENT_SIZE_MIN    (SPOOL_BODY_SIZE_MAX + SEGMENT_HEADER_SIZE)
#define SEGMENT_NAME_SIZE   32
#define POSITION_NAME	    "position"
#define WAKE_NAME	    "wake"
#define WAKE_SIZE	    ((size_t)4096)
#define WRITER_LOCK_NAME    "writer.lock"
#define READER_LOCK_NAME    "reader.lock"

/* The first page of a segment. */
struct segment_header {
	char magic[8]; /* SEGMENT_MAGIC */
	uint32_t version;
	uint32_t reserved;
	uint64_t number;
	uint64_t size; /* of the file */
	uint64_t tag;  /* 48 random bits that stand in each of its records */
	uint32_t crc;  /* of what stands before */
	/* Set when nothing will be appended any more; behind the checked part, because it changes. */
	_Atomic uint32_t is_finished;
};

/*
 * In front of each body. The length is stored last and with release order: 0 is "nothing yet". The tag is what makes
 * the search for the next whole record behind a damaged one safe: nobody who sends bodies can know it.
 */
struct record_header {
	_Atomic uint32_t length; /* of header and body, without the padding to eight bytes */
	uint32_t crc;		 /* of the length and of all that follows here */
	uint64_t tag_and_kind;	 /* tag << 16 | kind */
	int64_t at_ms;
	uint8_t subject[UUID_SIZE];
};

#define RECORD_HEADER_SIZE sizeof(struct record_header)

static inline size_t record_size(size_t body_size)
{
	return (RECORD_HEADER_SIZE + body_size + 7) & ~(size_t)7;
}

/* A segment in memory, or a part of nothing when base is NULL. */
struct segment {
	uint8_t *base;
	size_t size;
	uint64_t number, tag;
};

static inline struct segment_header *segment_header(const struct segment *segment)
{
	return (struct segment_header *)(void *)segment->base;
}

static inline struct record_header *segment_record(const struct segment *segment, size_t offset)
{
	return (struct record_header *)(void *)(segment->base + offset);
}

static inline uint32_t segment_length_at(const struct segment *segment, size_t offset)
{
	return atomic_load_explicit(&segment_record(segment, offset)->length, memory_order_acquire);
}

static inline bool segment_is_finished(const struct segment *segment)
{
	return atomic_load_explicit(&segment_header(segment)->is_finished, memory_order_acquire) != 0;
}

/* ---- records -------------------------------------------------------------------------------------------- */

/* Over all but the crc itself. */
uint32_t record_crc(const struct record_header *record, uint32_t length);

enum segment_look {
	SEGMENT_RECORD, /* a whole one: *ret_record, *ret_next */
	SEGMENT_EMPTY,	/* nothing was published here */
	SEGMENT_DAMAGED,
};
/* What stands at the offset, which is a multiple of 8 within the segment. */
enum segment_look segment_look_at(const struct segment *segment, size_t offset, struct spool_record *ret_record,
				  size_t *ret_next);
/* The first whole record at or behind the offset; RESULT_ABSENT: none. */
MUST_USE enum result segment_search(const struct segment *segment, size_t offset, size_t *ret_found);

/* ---- files ---------------------------------------------------------------------------------------------- */

void segment_file_name(uint64_t number, char ret_name[static SEGMENT_NAME_SIZE]);
/* Of one that is prepared ahead: no reader looks at it. */
void segment_prepared_name(uint64_t number, char ret_name[static SEGMENT_NAME_SIZE]);

/* Makes a prepared one, whole, durable and with a durable name, and maps it. RESULT_UNAVAILABLE: no room, or the disk
   fails. */
MUST_USE enum result segment_make(int directory, uint64_t number, size_t size, mode_t mode, struct segment *ret_segment,
				  struct note *note);
/* Maps one for reading. RESULT_ABSENT: not there; RESULT_CORRUPT: its header is not right. */
MUST_USE enum result segment_map(int directory, uint64_t number, struct segment *ret_segment, struct note *note);
MUST_USE enum result segment_map_prepared(int directory, uint64_t number, struct segment *ret_segment,
					  struct note *note);
void segment_unmap(struct segment *segment);
/* Says of a segment whose writer died that nothing will follow. */
MUST_USE enum result segment_finish(int directory, uint64_t number, struct note *note);

/* What there is, in order. */
struct segment_list {
	uint64_t *numbers;
	size_t count;
};
MUST_USE enum result segment_list_read(int directory, struct segment_list *ret_list, struct note *note);
MUST_USE enum result segment_list_read_prepared(int directory, struct segment_list *ret_list, struct note *note);
void segment_list_release(struct segment_list *list);
#define SEGMENT_LIST_CLEANUP __attribute__((cleanup(segment_list_release)))

/* Makes the directory when it is missing and takes the lock. RESULT_CONFLICT: somebody has it. *ret_mode: for the files
   in it, so that who may use the directory may use them. */
MUST_USE enum result spool_directory_open(const char *path, const char *lock_name, int *ret_directory, int *ret_lock,
					  mode_t *ret_mode, struct note *note);
/* The word that the reader sleeps on: it outlives segments, so that a signal handler may touch it. */
MUST_USE enum result spool_wake_map(int directory, mode_t mode, _Atomic uint32_t **ret_word, struct note *note);
void spool_wake_unmap(_Atomic uint32_t *word);
void spool_wake(_Atomic uint32_t *word);

/* RESULT_ABSENT: there is none, or it is damaged. */
MUST_USE enum result spool_position_read(int directory, struct spool_position *ret_position);
MUST_USE enum result spool_position_write(int fd, const struct spool_position *position, struct note *note);

#endif
