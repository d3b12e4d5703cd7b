/*
 * Claims' messages on their way to vinveild. They hold VINs, so they lie in no file and in no queue of the broker: a
 * bounded queue in memory, a thread that writes to vinveild's socket, and every copy is wiped. While vinveild is away
 * they wait a little; then they are dropped, and whoever asked asks again.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_CLAIM_CHANNEL_H
#define VINVEIL_MOSQUITTO_PLUGIN_CLAIM_CHANNEL_H

#include "adapters/gateway/protocol.h"

#define CLAIM_QUEUE_MAX	      256
#define CLAIM_QUEUE_WAIT_MS   20000 /* a message that waited longer is dropped */
#define CHANNEL_STATUS_MS     1000  /* how often the counters are told */
#define CHANNEL_RECONNECT_MS  100
#define CHANNEL_SEND_LIMIT_MS 2000

struct claim_channel;
MUST_USE enum result claim_channel_open(const char *socket_path, struct claim_channel **ret_channel, struct note *note);
/* What is queued is dropped, wiped. NULL is allowed. */
void claim_channel_close(struct claim_channel *channel);

/* Copies. RESULT_EXHAUSTED: the queue is full; RESULT_INVALID: the payload is too large. Never waits for vinveild. */
MUST_USE enum result claim_channel_put(struct claim_channel *channel, const struct gateway_claim_message *message);
/* What the next status tells. */
void claim_channel_tell(struct claim_channel *channel, const struct plugin_counters *counters);

#endif
