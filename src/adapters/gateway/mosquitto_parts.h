/* What the files of the Mosquitto adapter share. Private to adapters/gateway/mosquitto*.c. */
#ifndef VINVEIL_ADAPTERS_GATEWAY_MOSQUITTO_PARTS_H
#define VINVEIL_ADAPTERS_GATEWAY_MOSQUITTO_PARTS_H

#include "adapters/gateway/mosquitto.h"

#include "adapters/spool/spool.h"
#include "base/file.h"

#include <pthread.h>
#include <stdatomic.h>

#define PUSHES_MAX	    ((size_t)1 << 15)
#define PUSHES_BYTES_MAX    ((size_t)64 << 20)
#define HEARTBEAT_MS	    1000
#define RETRY_MS	    100	 /* a broker that is away */
#define LIST_RETRY_MS	    1000 /* a registry that did not answer; a broker that refused us */
#define STARTING_MS	    5000 /* for a broker that is started when we are */
#define STATUS_VALID_MS	    5000
#define EVENTS_BATCH_MAX    64
#define EVENTS_RETRY_MS	    100
#define EVENTS_RETRY_MAX_MS 5000

struct mosquitto;

/* Something to be pushed: a frame, or a vehicle or certificate whose row is to be read when its turn comes. */
struct push {
	struct push *next;
	bool is_of_list; /* void when the whole list is pushed anew */
	bool is_refresh, is_activation;
	struct tenant_id tenant;
	struct uuid reference_id; /* of a refresh */
	struct serial serial;	  /* of an activation */
	struct buf frame;
};

struct gateway_mosquitto {
	struct device_gateway base;
	struct gateway_mosquitto_config config;
	char broker_socket[PATH_SIZE], token_path[PATH_SIZE], events_spool[PATH_SIZE], claim_socket[PATH_SIZE];
	struct clock *clock;
	atomic_bool is_closing;

	pthread_mutex_t mutex; /* of what follows, up to the empty line */
	pthread_cond_t closing;
	struct push *first, **last;
	size_t push_count, push_bytes;
	bool is_list_due;
	struct gateway_status status; /* without queued and vehicles */
	struct plugin_counters counters;
	int64_t counters_at_ms; /* monotonic; 0: never */
	int64_t heard_at_ms;	/* monotonic: the plugin, or a broker that has just let us in */

	/* the pushing thread's */
	pthread_t pusher;
	bool has_pusher;
	int wake; /* eventfd */
	struct mosquitto *client;
	bool is_accepted; /* CONNACK has come */
	bool is_refused;  /* and said no */
	bool is_silence_told;
	enum gateway_notice away_told; /* why there is no connection; CONNECTED: nothing has been told */
	uint64_t epoch;		       /* 0: no list has been pushed on this connection */
	int64_t starting_until_ms;     /* 0: it has been connected */
	int64_t retry_at_ms, heartbeat_at_ms;

	/* the events' */
	pthread_t reader_thread;
	bool has_reader_thread;
	struct spool_reader *reader;

	/* the claims' */
	pthread_t server;
	bool has_server;
	int listener, stop; /* stop: eventfd */
};

/* It is connected and says nothing: stopped, or in trouble. With the mutex held. */
bool gateway_is_silent(const struct gateway_mosquitto *gateway);
void gateway_notice(struct gateway_mosquitto *gateway, enum gateway_notice notice, const struct note *note);
/* Started with every signal blocked: a broken pipe must be an error, and the others are the program's. */
MUST_USE enum result gateway_start_thread(pthread_t *thread, const char *name, void *(*run)(void *argument),
					  void *argument);

/* mosquitto_push.c */
void *gateway_push_main(void *argument);
/* Takes the push; RESULT_EXHAUSTED: the queue is full. */
void gateway_push(struct gateway_mosquitto *gateway, struct push *take_push);
void gateway_push_release(struct gateway_mosquitto *gateway);

/* mosquitto_list.c: the whole list, frame by frame. */
MUST_USE enum result gateway_push_list(struct gateway_mosquitto *gateway, struct note *note);
/* REFUSE or ADMIT, as the vehicle's row stands now; RESULT_ABSENT: it has none. */
MUST_USE enum result gateway_read_vehicle(struct gateway_mosquitto *gateway, const struct push *push,
					  struct buf *ret_frame, struct note *note);
/* ACTIVATE; RESULT_ABSENT: it has been revoked by now. */
MUST_USE enum result gateway_read_certificate(struct gateway_mosquitto *gateway, const struct push *push,
					      struct buf *ret_frame, struct note *note);
/* RESULT_UNAVAILABLE: the connection is lost. */
MUST_USE enum result gateway_send_frame(struct gateway_mosquitto *gateway, const struct buf *frame);

/* mosquitto_events.c */
void *gateway_events_main(void *argument);

/* mosquitto_claims.c */
MUST_USE enum result gateway_claims_listen(struct gateway_mosquitto *gateway, struct note *note);
void *gateway_claims_main(void *argument);

#endif
