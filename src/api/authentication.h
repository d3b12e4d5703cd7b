/*
 * Who is asking (product: 401). A client application is known by its certificate's fingerprint, which stands in memory,
 * so the head of its request is enough. A device or a claim is known by its certificate's serial number, for which the
 * registry is asked, so that is done on the pool, after the body; the head shows as much as the connection tells.
 * Operators' certificates are good for clients alone, those of the device authority for devices and claims alone.
 * Private to api/.
 */
#ifndef VINVEIL_API_AUTHENTICATION_H
#define VINVEIL_API_AUTHENTICATION_H

#include "api/call.h"

/* A route whose caller is known only once authenticate_by_registry() has been asked. */
bool is_known_later(const struct route *route);

/*
 * From the head; never blocks. PROBLEM_NONE: it may come in, and call->principal is set unless it is known later.
 * UNAUTHENTICATED or RATE_LIMITED: refused at the door, each certificate having a bucket of its own.
 */
enum problem authenticate(struct call *call);

/*
 * On the pool. UNAUTHENTICATED or CLAIM_REFUSED for a certificate that is good no more, with call->principal set when
 * it was good once: the refusal is told in that tenant's trail. Does nothing for a caller who is known already.
 */
enum problem authenticate_by_registry(struct call *call);

#endif
