/*
 * Problem documents (RFC 9457): the one table from enum problem to status, title and sentence.
 */
#ifndef VINVEIL_API_PROBLEM_H
#define VINVEIL_API_PROBLEM_H

#include "base/buf.h"
#include "vehicle/problem.h"

struct problem_text {
	int status;
	const char *title;
	const char *detail; /* what it means and how to put it right */
};

/* Never NULL for a problem other than PROBLEM_NONE. */
const struct problem_text *problem_text(enum problem problem);

/*
 * Appends the JSON document. detail: a sentence instead of the table's own, or empty; as a last guard whatever looks
 * like a VIN or hash in it is withheld.
 */
MUST_USE enum result problem_format(enum problem problem, const char *detail, const char *request_id, struct buf *buf);

/* The problem for a status that the transport refuses with: 400, 408, 413, 414, 417, 431, 501, 505. */
enum problem problem_of_status(int status);

#endif
