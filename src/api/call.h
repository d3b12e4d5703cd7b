/*
 * A call: one request on its way through the API, with everything that was found out about it. It lives in its
 * exchange's arena. Private to api/.
 */
#ifndef VINVEIL_API_CALL_H
#define VINVEIL_API_CALL_H

#include "api/api.h"
#include "api/client_directory.h"
#include "api/crl_keeper.h"
#include "api/handlers.h"
#include "api/rate_limit.h"
#include "api/refusals.h"
#include "base/json.h"
#include "base/pool.h"
#include "vehicle/conversion.h"
#include "vehicle/idempotency.h"
#include "vehicle/manifest.h"

#include <stdatomic.h>

struct conversion_worker;
struct housekeeping;

/* Answers counted by route and class of status (1xx to 5xx at [0] to [4]). The last row: no route. */
struct api_counters {
	atomic_uint_fast64_t answers[ROUTE_COUNT_MAX + 1][5];
	atomic_uint_fast64_t conversion_batches, conversions;
	atomic_uint_fast64_t rate_limited, unauthenticated, leaf_failures;
};

/* Of one loop: the conversions that its turn gathered. */
struct gathered {
	struct http_exchange *first, *last;
	bool is_soiled;	  /* a VIN or hash was read on the loop's stack */
	char padding[40]; /* loops do not share a cache line */
};

struct api {
	struct api_config config;
	const struct platform *platform;
	struct pool *pool;
	struct client_directory *directory;
	struct rate_limit *rates;
	struct refusals *refusals;
	struct conversion_worker *worker;
	struct crl_keeper *crl;
	struct housekeeping *housekeeping;
	struct key_rotator *rotator;
	struct gathered *gathered; /* config.loop_count */
	struct api_counters counters;
	atomic_bool is_draining;
};

struct call {
	struct pool_job job; /* first: a struct pool_job * is a struct call * */
	struct api *api;
	struct http_exchange *exchange;
	const struct route *route; /* NULL: none matched */
	struct span parameters[ROUTE_PARAMETERS_MAX];
	struct client_snapshot *snapshot;	 /* held until the exchange is released */
	const struct principal *principal;	 /* NULL: nobody (yet) */
	const struct certificate_record *device; /* ROUTE_DEVICE, once it is known */
	const struct claim *claim;		 /* ROUTE_CLAIM */
	enum problem refusal;			 /* decided from the head, told when the body is in */
	bool has_verdict;
	struct rate_verdict verdict;
	char request_id[UUID_TEXT_SIZE];
	struct audit_event event;
	struct flow_request flow;
	json_t *json; /* the body, once read */

	/* conversion */
	struct conversion conversion;

	/* POST /v1/devices */
	struct manifest_load *load;
	enum problem load_problem;

	/* Idempotency-Key */
	struct idempotency idempotency;
	bool answer_holds_key;	     /* the answer carries a private key: it is never kept */
	struct serial answer_serial; /* with answer_holds_key */
	struct uuid answer_reference_id;
};

static inline struct call *call_of(struct http_exchange *exchange)
{
	return exchange->application_data;
}

/*
 * The end of every call, on any thread: fills the problem document unless problem is NONE, and gives the exchange back
 * once the leaf is durable. The call must not be touched afterwards.
 */
void call_finish(struct call *call, enum problem problem);

/* The two halves of call_finish, for the conversion worker, which appends many leaves at once. */
void call_fill(struct call *call, enum problem problem);
void call_release_answer(struct call *call, enum result leaf_result);

/* Of a refusal by rate limit: answered at once, recorded together with others. */
void call_finish_coalesced(struct call *call, enum problem problem);

/* Takes from the client's bucket, all or nothing: NONE or RATE_LIMITED. Admission has taken one already. */
enum problem call_take_tokens(struct call *call, uint32_t cost);

/* A fresh answer of this status and type; the body is written into exchange->response.body. */
void answer_begin(struct call *call, int status, const char *content_type);
/* The same as JSON, with a writer on the body. */
void answer_json(struct call *call, int status, struct json_writer *ret_writer);
/* PROBLEM_NONE, or INTERNAL when the writer failed. */
enum problem answer_end(struct json_writer *writer);
void answer_header(struct call *call, const char *name, const char *value);

/* A sentence that says more than the problem's own; no secrets, no values. Returns the problem. */
enum problem call_explain(struct call *call, enum problem problem, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Another client's table row was changed: authenticate by the new one before this request is answered. */
void call_reload_clients(struct call *call);

/* Certificates were revoked: the CRL is to be signed anew soon. */
void call_mark_revoked(struct call *call);

/* The path parameter as a UUID; NOT_FOUND when it is none, as for one that nobody has. Notes it in the event. */
enum problem call_reference_id(struct call *call, struct uuid *ret_id);

#endif
