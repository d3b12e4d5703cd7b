/*
 * A spool: a durable queue between two processes, one that writes and one that reads, in memory-mapped segment files
 * (doc/spool-format.md). Appending is a copy into mapped memory: what was appended survives the death of either
 * process at once, and a power cut once a helper thread has synced it (sync_ms). The reader frees whole segments when
 * what stood in them is safe elsewhere. A spool that is full refuses; it never drops.
 *
 *   DIRECTORY/                  0700 or 0770 (a group that both processes share)
 *     %016x.spool               segments, in order; allocated (posix_fallocate) before they are mapped
 *     %016x.next                the segment that is prepared ahead
 *     position                  where the reader stands (spool_mark); it may lag behind, so records may come twice
 *     wake                      a word that the reader sleeps on
 *     writer.lock, reader.lock  held by whoever writes and reads
 */
#ifndef VINVEIL_ADAPTERS_SPOOL_SPOOL_H
#define VINVEIL_ADAPTERS_SPOOL_SPOOL_H

#include "base/clock.h"
#include "base/result.h"
#include "base/uuid.h"

#define SPOOL_BODY_SIZE_MAX	   ((size_t)256 << 10)
#define SPOOL_SEGMENT_SIZE_DEFAULT ((size_t)16 << 20)
#define SPOOL_SEGMENTS_MAX_DEFAULT 64
#define SPOOL_SYNC_MS_DEFAULT	   5

struct spool_config {
	const char *directory;
	size_t segment_size;   /* 0: default; at least SPOOL_BODY_SIZE_MAX and 8 KiB more, a multiple of 4096 */
	uint32_t segments_max; /* 0: default; with this many unread, the spool is full */
	int64_t sync_ms;       /* 0: default */
	struct clock *clock;   /* NULL: clock_system() */
};

/* Kinds and bodies are the users'. Borrowed by the writer for the call; a reader's record borrows the mapping until the
   next spool_read(). */
struct spool_record {
	uint16_t kind;
	int64_t at_ms;
	struct uuid subject; /* the Reference ID it is about */
	struct span body;
};

/* Just behind a record; {0, 0} is before the first of all. */
struct spool_position {
	uint64_t segment, offset;
};

/* ---- writing: one process, one thread appends ------------------------------------------------------------------ */

struct spool_writer;
/* Takes the directory (RESULT_CONFLICT when another writer has it), makes it when it is missing, and begins a segment
   behind all others. RESULT_UNAVAILABLE: no room on the disk. */
MUST_USE enum result spool_writer_open(const struct spool_config *config, struct spool_writer **ret_writer,
				       struct note *note);
/* Syncs what was appended. NULL is allowed. */
void spool_writer_close(struct spool_writer *writer);
/* Never blocks for the disk but when it begins a segment that the helper thread has not prepared yet.
   RESULT_EXHAUSTED: full; RESULT_UNAVAILABLE: a segment cannot be made; RESULT_INVALID: the body is too large. */
MUST_USE enum result spool_append(struct spool_writer *writer, const struct spool_record *record);
/*
 * The same in two steps, so that a body can be put together in its place: reserve gives room for body_size bytes;
 * nothing is seen by the reader before spool_publish(). No other append may come between.
 */
MUST_USE enum result spool_reserve(struct spool_writer *writer, size_t body_size, uint8_t **ret_body);
void spool_publish(struct spool_writer *writer, uint16_t kind, int64_t at_ms, const struct uuid *subject);

struct spool_status {
	uint64_t appended, bytes, refused; /* since it was opened */
	uint32_t segments, segments_max;   /* unfreed ones, the current one included */
	bool is_failing;		   /* the last sync or allocation failed */
};
void spool_writer_status(struct spool_writer *writer, struct spool_status *ret_status);

/* ---- reading: one process, one thread ------------------------------------------------------------------------- */

struct spool_reader;
/* from: NULL reads the position file (the start when there is none). A directory that is missing is made. A position in
   a segment that is gone goes on with the first that is there. RESULT_CONFLICT: another reader has it. */
MUST_USE enum result spool_reader_open(const char *directory, const struct spool_position *from,
				       struct spool_reader **ret_reader, struct note *note);
void spool_reader_close(struct spool_reader *reader);
/* RESULT_ABSENT: nothing more for now. RESULT_CORRUPT: a damaged stretch was skipped (the note says where and how
   much); call it again to go on. */
MUST_USE enum result spool_read(struct spool_reader *reader, struct spool_record *ret_record,
				struct spool_position *ret_after, struct note *note);
/* Sleeps until something may have been appended, or for timeout_ms. */
void spool_wait(struct spool_reader *reader, int64_t timeout_ms);
/* Ends a spool_wait(), also the next one; from another thread or a signal handler. */
void spool_interrupt(struct spool_reader *reader);
/* How much stands behind what was read last: an estimate, for whoever watches. */
void spool_behind(struct spool_reader *reader, uint64_t *ret_bytes, uint32_t *ret_segments);
/* Everything before the position is safe elsewhere: remembers it, and removes whole segments before it. */
MUST_USE enum result spool_mark(struct spool_reader *reader, const struct spool_position *position, struct note *note);

#endif
