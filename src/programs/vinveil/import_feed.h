/*
 * The rows of an import, prepared beside the thread that stores them: a CSV is cut into chunks, each line is judged by
 * the rules of provisioning, and its VIN is hashed, indexed and sealed. Chunks come out in the file's order, and the
 * same file from the same place gives the same chunks' bounds.
 *
 * VINs live in a worker's own memory, which is wiped after each chunk; what comes out holds none.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_IMPORT_FEED_H
#define VINVEIL_PROGRAMS_VINVEIL_IMPORT_FEED_H

#include "adapters/registry/sqlite.h"

#define IMPORT_FEED_THREADS_MAX 16

struct import_feed_config {
	struct span bytes;	  /* the whole file, mapped */
	struct tenant tenant;	  /* with its policy of check digits */
	struct key_service *keys; /* thread-safe */
	size_t thread_count;	  /* 1 to IMPORT_FEED_THREADS_MAX */
};

struct import_chunk {
	struct import_row *rows;
	size_t count;
	struct buf rejects; /* "LINE,REASON\n" a rejected line */
	size_t reject_count;
	struct import_position end; /* byte_offset and line */
};

struct import_feed;

/* Is the header right? Asked before an import begins, because one that began must be finished with the same file. */
MUST_USE enum result import_feed_check(struct span bytes, struct note *note);

/*
 * Reads the header line and begins after `position` (all zero: at the first row). RESULT_INVALID with a note for a
 * header that is not "vin,deviceId[,NAME…]".
 */
MUST_USE enum result import_feed_open(const struct import_feed_config *config, const struct import_position *position,
				      struct import_feed **ret_feed, struct note *note);
/* Waits for the next chunk; RESULT_ABSENT after the last. Borrowed until the next call. */
MUST_USE enum result import_feed_next(struct import_feed *feed, const struct import_chunk **ret_chunk,
				      struct note *note);
/* Stops the threads; NULL is allowed. */
void import_feed_close(struct import_feed *feed);

#endif
