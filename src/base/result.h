/*
 * What a fallible function says of its outcome: a small closed set of kinds, each of which tells the
 * caller what it can do next. Foreign detail (an OpenSSL error, an SQLite code) rides in a caller-owned
 * struct note and is meant for the log alone, never for an answer.
 *
 * Conventions of every function that returns enum result:
 *  - outputs come last, are named ret_*, and are untouched unless the result is RESULT_OK;
 *  - it neither logs nor exits; whoever stands at the boundary logs once;
 *  - a struct note * may always be NULL.
 */
#ifndef VINVEIL_BASE_RESULT_H
#define VINVEIL_BASE_RESULT_H

#include <stdbool.h>

#define MUST_USE __attribute__((warn_unused_result))

/* clang can hold the promise on the type itself, so that no prototype can forget it. */
#if defined(__clang__)
#define MUST_USE_TYPE __attribute__((warn_unused_result))
#else
#define MUST_USE_TYPE
#endif

enum MUST_USE_TYPE result {
	RESULT_OK = 0,
	RESULT_ABSENT,	    /* looked, and it is not there: the caller may create it or answer "unknown" */
	RESULT_INVALID,	    /* the input is wrong: tell whoever sent it; trying again cannot help */
	RESULT_CONFLICT,    /* somebody else was first, or the state has moved: read again and decide */
	RESULT_DENIED,	    /* not permitted, whoever asks again */
	RESULT_EXHAUSTED,   /* a budget or bound is used up: later, or less */
	RESULT_UNAVAILABLE, /* a component is away (also: disk full, time-out): try again later */
	RESULT_CORRUPT,	    /* stored data fails its check: stop and call an operator */
	RESULT_MEMORY,	    /* an allocation failed */
};

#define NOTE_SIZE 256

/* Foreign detail of a failure, for logs only. Zero-initialised means empty. */
struct note {
	char text[NOTE_SIZE];
};

/* Writes (and cuts to fit) the detail; note may be NULL. Never pass a VIN, a hash or a key. */
void note_set(struct note *note, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A stable lower-case word for logs: "ok", "absent", ... */
const char *result_name(enum result result);

/* Returns early from the calling function with whatever is not RESULT_OK. */
#define TRY(expression)                                 \
	do {                                            \
		enum result try_result_ = (expression); \
		if (try_result_ != RESULT_OK)           \
			return try_result_;             \
	} while (0)

#endif
