/*
 * JSON. Reading is jansson's, with this project's strictness around it: duplicate keys, unknown keys,
 * depth over JSON_DEPTH_MAX, NUL and invalid UTF-8 are refused. Writing is a small streaming writer into a
 * buf, because answers and audit leaves are built on the hot path and their key order must be stable.
 */
#ifndef VINVEIL_BASE_JSON_H
#define VINVEIL_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/uuid.h"

#include <jansson.h>

#define JSON_DEPTH_MAX 16

/* Makes jansson allocate with the wiping allocator; once, at program start, before any thread. */
void json_init(void);

static inline void json_release(json_t **json)
{
	json_decref(*json);
}
#define JSON_CLEANUP __attribute__((cleanup(json_release)))

/* RESULT_INVALID with a note "line 1, column 7: …" (position and cause, no content). Caller owns *ret_json. */
MUST_USE enum result json_read(struct span text, json_t **ret_json, struct note *note);

/* RESULT_INVALID with a note naming the first member of the object that is not among the names. */
MUST_USE enum result json_check_members(const json_t *object, const char *const *names, size_t count,
					struct note *note);

/* A member's text, borrowed from the object. ABSENT: no such member. INVALID: not a string or too long. */
MUST_USE enum result json_get_text(const json_t *object, const char *name, size_t length_max, struct span *ret_text);

/* The value as compact JSON in the arena. RESULT_EXHAUSTED: it is larger than size_max. */
MUST_USE enum result json_copy_text(struct arena *arena, const json_t *value, size_t size_max, const char **ret_text);

/* ---- writing ------------------------------------------------------------------------------------- */

/* Commas are the writer's; nesting is the caller's. The first failure sticks and is told by json_writer_end. */
struct json_writer {
	struct buf *buf;
	enum result result;
	bool comma;
};

void json_writer_init(struct json_writer *writer, struct buf *buf);
void json_object_begin(struct json_writer *writer);
void json_object_end(struct json_writer *writer);
void json_array_begin(struct json_writer *writer);
void json_array_end(struct json_writer *writer);
void json_key(struct json_writer *writer, const char *key);
void json_text(struct json_writer *writer, struct span text); /* escaped; must be valid UTF-8 */
void json_number(struct json_writer *writer, int64_t number);
void json_bool(struct json_writer *writer, bool value);
void json_null_value(struct json_writer *writer);	   /* json_null is jansson's */
void json_time(struct json_writer *writer, int64_t at_ms); /* RFC 3339 */
void json_uuid(struct json_writer *writer, const struct uuid *uuid);
void json_hex(struct json_writer *writer, struct span bytes);
void json_raw(struct json_writer *writer, struct span json); /* already JSON, well-formed */
MUST_USE enum result json_writer_end(struct json_writer *writer);

/* key and text in one */
void json_member_text(struct json_writer *writer, const char *key, const char *text);
void json_member_number(struct json_writer *writer, const char *key, int64_t number);
void json_member_time(struct json_writer *writer, const char *key, int64_t at_ms);
void json_member_uuid(struct json_writer *writer, const char *key, const struct uuid *uuid);

#endif
