/*
 * The live connections that were admitted: found by the broker's object and by client ID. A connection number is never
 * used twice. When a second connection comes under a live client ID, the first is superseded: it may do nothing more
 * (its last will included), until the broker says that it is gone.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_SESSIONS_H
#define VINVEIL_MOSQUITTO_PLUGIN_SESSIONS_H

#include "adapters/gateway/protocol.h"
#include "programs/mosquitto-plugin/flood.h"
#include "programs/mosquitto-plugin/identity.h"

struct session {
	const void *client; /* the broker's */
	uint64_t number;
	struct identity identity;
	char address[GATEWAY_ADDRESS_SIZE];
	bool is_clean; /* it began anew, without what an earlier connection had subscribed to */
	bool is_ready; /* takes command requests */
	bool is_superseded;
	bool was_kicked;
	struct flood_bucket bucket; /* of what it sends */
	struct flood_bucket direct; /* of what it is sent without having subscribed to it */
	struct session *next_by_client, *next_by_name;
	struct session *next, *previous; /* of all */
	char client_id[];
};

struct sessions {
	struct session **by_client, **by_name;
	size_t capacity; /* of each; a power of two, or 0 */
	size_t count;
	size_t vehicles; /* that are not superseded */
	uint64_t last_number;
	struct session *first;
};

/* client_id, address: copied (cut, the latter). What the fresh one supersedes is marked, and returned in
 *ret_superseded (NULL: nothing). RESULT_MEMORY. */
MUST_USE enum result sessions_add(struct sessions *sessions, const void *client, const struct identity *identity,
				  const char *client_id, const char *address, struct session **ret_session,
				  struct session **ret_superseded);
struct session *sessions_find(const struct sessions *sessions, const void *client);
/* That is not superseded. */
struct session *sessions_find_name(const struct sessions *sessions, const char *client_id);
struct session *sessions_find_vehicle(const struct sessions *sessions, const struct uuid *reference_id);
/* Frees it. */
void sessions_remove(struct sessions *sessions, struct session *session);
void sessions_release(struct sessions *sessions);

#endif
