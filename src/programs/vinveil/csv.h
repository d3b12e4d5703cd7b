/*
 * A reader of CSV (RFC 4180) over bytes in memory: comma, optional double quotes, quotes doubled inside, lines
 * ended by LF or CRLF. Pure; the fields of a record live in the caller's buf, overwritten by the next record.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_CSV_H
#define VINVEIL_PROGRAMS_VINVEIL_CSV_H

#include "base/buf.h"

#define CSV_FIELDS_MAX	    32
#define CSV_RECORD_SIZE_MAX 16384

struct csv_record {
	struct span fields[CSV_FIELDS_MAX];
	size_t count;
	uint64_t line; /* where it begins; the first is 1 */
	size_t end;    /* offset of the byte after it, line end included */
};

struct csv_reader {
	struct span bytes;
	size_t offset;	   /* of the next record */
	uint64_t line;	   /* of the next record */
	struct buf *field; /* unquoted bytes of the current record */
};

/*
 * RESULT_ABSENT at the end. RESULT_INVALID for a record that cannot be read (note: why, without content): a quote
 * in the wrong place, too many fields, too long, a NUL; the reader stands after that line and may go on.
 * Empty lines are skipped.
 */
MUST_USE enum result csv_next(struct csv_reader *reader, struct csv_record *ret_record, struct note *note);

#endif
