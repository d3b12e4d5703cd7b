/*
 * The key daemon behind its socket: adapter `keyd` of the ports key_service and cert_authority, for vinveild and the
 * command line. A small pool of connections, one a call in flight; keyd's restart is noticed and connected through.
 *
 * RESULT_UNAVAILABLE when keyd is away, does not answer within the time-out, or speaks another protocol version
 * (the note says which); for fail_fast_ms after such a failure calls return it at once, rather than pile up.
 * Thread-safe.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_KEYD_CLIENT_H
#define VINVEIL_ADAPTERS_KEYS_KEYD_CLIENT_H

#include "base/clock.h"
#include "vehicle/ports/cert_authority.h"
#include "vehicle/ports/key_service.h"

#define KEYD_CLIENT_TIMEOUT_MS_DEFAULT	 2000
#define KEYD_CLIENT_FAIL_FAST_MS_DEFAULT 200

struct keyd_client_config {
	const char *socket_path;
	int timeout_ms;	     /* of connecting, and of each read and write; 0: default */
	int fail_fast_ms;    /* 0: default; negative: never */
	struct clock *clock; /* NULL: clock_system() */
};

struct keyd_client;

/* Connects to nobody yet: keyd may come later. RESULT_INVALID for a path that is too long for a socket. */
MUST_USE enum result keyd_client_open(const struct keyd_client_config *config, struct keyd_client **ret_client,
				      struct note *note);
/* No call may run beside it; NULL is allowed. */
void keyd_client_close(struct keyd_client *client);

/* Both live as long as the client. */
struct key_service *keyd_client_keys(struct keyd_client *client);
struct cert_authority *keyd_client_authority(struct keyd_client *client);

/* Does keyd answer? For /readyz. Follows fail_fast_ms like every call. */
MUST_USE enum result keyd_client_check(struct keyd_client *client, struct note *note);

#endif
