/*
 * The conversion worker: one thread that takes all single lookups that wait, asks the key service once for their
 * indexes, the registry once for their Reference IDs, and gives all their leaves to the audit log with one append; each
 * answer leaves from the log's done callback, once its leaf is durable.
 */
#ifndef VINVEIL_API_CONVERSION_WORKER_H
#define VINVEIL_API_CONVERSION_WORKER_H

#include "api/call.h"

struct conversion_worker;

MUST_USE enum result conversion_worker_open(struct api *api, struct conversion_worker **ret_worker);
/* Finishes what waits; NULL is allowed. */
void conversion_worker_close(struct conversion_worker *worker);

/* Hands over a list of exchanges, linked by `next`, whose calls hold a conversion. Any thread; never blocks for long.
 */
void conversion_worker_submit(struct conversion_worker *worker, struct http_exchange *first,
			      struct http_exchange *last);

#endif
