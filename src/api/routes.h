/*
 * The route table: one row a method and path, and everything that is decided before the handler runs.
 *
 * Patterns: "{name}" takes one segment, "{name*}" the rest of the path. No two rows of one listener match the same
 * request (a test holds this), so their order does not matter but for speed.
 */
#ifndef VINVEIL_API_ROUTES_H
#define VINVEIL_API_ROUTES_H

#include "http/http.h"
#include "vehicle/access.h"
#include "vehicle/problem.h"

struct call;

enum route_listener { ROUTE_API, ROUTE_OPERATIONS };

enum route_place {
	ROUTE_INLINE, /* on the loop: must not block */
	ROUTE_POOL,   /* blocking, straight-line, on a pool thread */
	ROUTE_BATCH,  /* the conversion worker: all of a turn at once */
	ROUTE_STREAM, /* the body in chunks, each on a pool thread */
};

/* Who may come. Nobody but clients unless a row says so. */
enum route_caller {
	ROUTE_CLIENT,  /* a client application that holds one of the scopes */
	ROUTE_DEVICE,  /* a vehicle's device, by its certificate */
	ROUTE_CLAIM,   /* by a claim certificate */
	ROUTE_ANYBODY, /* nobody is authenticated, nothing is recorded */
};

enum route_body {
	ROUTE_BODY_NONE,   /* any body is ignored, but bounded */
	ROUTE_BODY_EMPTY,  /* none, or an empty JSON object */
	ROUTE_BODY_JSON,   /* application/json */
	ROUTE_BODY_NDJSON, /* application/x-ndjson */
	ROUTE_BODY_PKCS10, /* application/pkcs10 */
};

#define ROUTE_PARAMETERS_MAX 2

/* NONE: the response is filled (by answer.h). Anything else: what the caller is told. */
typedef enum problem route_handler(struct call *call);

struct route {
	enum http_method method;
	const char *pattern;
	enum route_caller caller;
	uint32_t scopes; /* of a client: any of these */
	const char *action;
	size_t body_size_max;
	enum route_body body;
	enum route_place place;
	enum route_listener listener;
	bool is_idempotent;	     /* honours Idempotency-Key */
	const char *location_member; /* of the answer to a creation: names what Location ends in */
	route_handler *handler;
};

extern const struct route routes[];
extern const size_t route_count;

/*
 * RESULT_OK: *ret_route with its parameters. RESULT_DENIED: the path is known, the method is not; *ret_route is one
 * row of the path. RESULT_ABSENT: no such path.
 */
MUST_USE enum result route_match(enum route_listener listener, enum http_method method, struct span path,
				 const struct route **ret_route, struct span ret_parameters[ROUTE_PARAMETERS_MAX]);

/* Does the pattern match the path? Parameters in order. */
bool route_pattern_matches(const char *pattern, struct span path, struct span ret_parameters[ROUTE_PARAMETERS_MAX]);

/* "GET, PATCH": for the Allow field. */
void route_allowed_methods(enum route_listener listener, struct span path, char *ret_text, size_t size);

const char *http_method_name(enum http_method method);

#endif
