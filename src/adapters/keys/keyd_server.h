/*
 * keyd's side of the protocol: answering one request, and serving a listening socket with a thread a connection.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_KEYD_SERVER_H
#define VINVEIL_ADAPTERS_KEYS_KEYD_SERVER_H

#include "base/buf.h"
#include "vehicle/ports/cert_authority.h"
#include "vehicle/ports/key_service.h"

#include <sys/types.h>

struct keyd_services {
	struct key_service *keys;
	struct cert_authority *authority;
};

/* Who is at the other end. */
enum keyd_caller {
	KEYD_CALLER_SERVICE, /* another user that may connect: vinveild's */
	KEYD_CALLER_OWNER,   /* root or keyd's own user, who could read the keys themselves: may also issue claims */
};

/*
 * Answers one request frame into the empty buf. RESULT_INVALID for bytes that are no request: the connection is to be
 * closed. Wipes what it held of secrets; the frame is the caller's to wipe. Thread-safe.
 */
MUST_USE enum result keyd_answer(const struct keyd_services *services, enum keyd_caller caller, struct span request,
				 struct buf *ret_answer);

#define KEYD_ALLOWED_MAX 16

enum keyd_event {
	KEYD_EVENT_REFUSED_USER, /* by SO_PEERCRED */
	KEYD_EVENT_TOO_MANY,	 /* connections */
	KEYD_EVENT_NOT_PROTOCOL, /* closed for it */
	KEYD_EVENT_NO_THREAD,
};

struct keyd_server {
	struct keyd_services services;
	int listener;	     /* listening; borrowed */
	int stop_descriptor; /* readable: stop */
	uid_t allowed[KEYD_ALLOWED_MAX];
	size_t allowed_count;
	uid_t own_user; /* keyd's: asked for before the system calls are filtered */
	size_t connections_max;
	/* Called from any thread; uid of the other side. */
	void (*on_event)(enum keyd_event event, uid_t uid);
};

/* Serves until stop_descriptor is readable; then ends all connections and returns. RESULT_UNAVAILABLE when the
   listening socket fails. */
MUST_USE enum result keyd_server_run(const struct keyd_server *server, struct note *note);

#endif
