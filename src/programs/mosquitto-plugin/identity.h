/*
 * Who a connection is, from its certificate (whose chain TLS has verified) and the client ID that it asks for. A
 * vehicle: client ID = common name = the UUID of its urn:uuid: alternative name. A claim: a certificate that names no
 * vehicle, under a client ID that could be none's.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_IDENTITY_H
#define VINVEIL_MOSQUITTO_PLUGIN_IDENTITY_H

#include "crypto/peer_certificate.h"

enum identity_kind {
	IDENTITY_NONE = 0,
	IDENTITY_VEHICLE,
	IDENTITY_CLAIM,
	IDENTITY_PLATFORM, /* vinveild itself, by its token over the UNIX socket */
};

struct identity {
	enum identity_kind kind;
	struct uuid reference_id; /* a vehicle's */
	struct serial serial;
	int64_t not_after_ms;
};

/* NULL, or why it is refused: a sentence for the log, with nothing of the client's in it. */
const char *identity_judge(const struct peer_certificate *certificate, const char *client_id, int64_t now_ms,
			   struct identity *ret_identity);

#endif
