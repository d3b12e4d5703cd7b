/*
 * Reading what clients send: JSON bodies, query strings, conditional headers. Strict: what is unknown, of another type
 * or missing is MALFORMED, what is out of bounds VALUE_INVALID, and a sentence names the member, never its value.
 */
#ifndef VINVEIL_API_BODY_H
#define VINVEIL_API_BODY_H

#include "api/call.h"
#include "vehicle/flow.h"

/* Parses the body into call->json (released with the call): an object with no members but these. */
enum problem body_read(struct call *call, const char *const *members, size_t count);

enum body_need { BODY_OPTIONAL, BODY_REQUIRED };

/* Optional and absent: an empty span with NULL data. */
enum problem body_text(struct call *call, const char *name, enum body_need need, size_t length_max,
		       struct span *ret_text);
/* The same where null is a value: *ret_is_null. */
enum problem body_text_or_null(struct call *call, const char *name, enum body_need need, size_t length_max,
			       struct span *ret_text, bool *ret_is_null);
/* Absent: ret is left as it was. */
enum problem body_bool(struct call *call, const char *name, bool *ret_value);
enum problem body_number(struct call *call, const char *name, int64_t min, int64_t max, int64_t *ret_value);
/* Absent: NULL. */
enum problem body_object(struct call *call, const char *name, const json_t **ret_object);
enum problem body_array(struct call *call, const char *name, enum body_need need, const json_t **ret_array);

/* Exactly one of referenceId, hashedVin, vin. The caller wipes the name. */
enum problem body_vehicle_name(struct call *call, struct vehicle_name *ret_name);
/* Exactly one of hashedVin, vin; the caller wipes it. */
enum problem body_hashed_vin(struct call *call, struct hashed_vin *ret_hash);

/* ---- query strings ---------------------------------------------------------------------------------- */

/* MALFORMED when there is a parameter not among the names, or one stands twice. */
enum problem query_check(struct call *call, const char *const *names, size_t count);
/* Absent: *ret_text is NULL. In the call's arena. */
enum problem query_text(struct call *call, const char *name, const char **ret_text);
/* From 1 to max; left as it is when absent. */
enum problem query_number(struct call *call, const char *name, uint64_t max, uint64_t *ret_value);
/* The same of "cursor", for places that are numbers: what they are is nobody's business. */
enum problem query_cursor(struct call *call, uint64_t max, uint64_t *ret_value);
enum problem query_time(struct call *call, const char *name, int64_t *ret_at_ms);
enum problem query_bool(struct call *call, const char *name, bool *ret_value);
enum problem query_uuid(struct call *call, const char *name, bool *ret_given, struct uuid *ret_uuid);

/* ---- headers ---------------------------------------------------------------------------------------- */

/* The type of a Content-Type field, without parameters, is this (charset, if said, is UTF-8). */
bool content_type_is(struct span value, const char *type);

/*
 * Does an If-Match field (RFC 9110 section 13.1.1) name this version? "*" names any; of a list one is enough; weak tags
 * and whatever is none of ours name nothing.
 */
bool if_match_names(struct span value, uint32_t version);

#endif
