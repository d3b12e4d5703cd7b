/*
 * What vinveild and the broker's plugin say to each other (doc/gateway-protocol.md), version 1. Encoding and decoding
 * for both sides; decoding is strict: every length is bounded, every value in range, no byte left over
 * (RESULT_INVALID); what is decoded borrows from the bytes unless it is an array. Pure and thread-safe.
 *
 *   control   vinveild → plugin: one frame a message to GATEWAY_CONTROL_TOPIC        version u8 | kind u8 | body
 *   channel   plugin → vinveild: frames over a UNIX stream socket                    length u32 | kind u8 | body
 *   events    plugin → vinveild: bodies of the records of the events spool; the record's kind is enum
 *             gateway_event_kind, its subject the Reference ID
 */
#ifndef VINVEIL_ADAPTERS_GATEWAY_PROTOCOL_H
#define VINVEIL_ADAPTERS_GATEWAY_PROTOCOL_H

#include "base/buf.h"
#include "vehicle/ports/device_gateway.h"

#define GATEWAY_PROTOCOL_VERSION 1
#define GATEWAY_CONTROL_TOPIC	 "$CONTROL/vinveil/v1"
#define GATEWAY_CLIENT_NAME	 "vinveild" /* its MQTT client ID and user name */
#define GATEWAY_TOKEN_SIZE	 32	    /* of the password: as many bytes, in hex */
#define GATEWAY_TOKEN_TEXT_SIZE	 (2 * GATEWAY_TOKEN_SIZE + 1)

/* ---- control ------------------------------------------------------------------------------------------------- */

#define CONTROL_ENTRIES_MAX    4096 /* of one frame */
#define CONTROL_FRAME_SIZE_MAX (GATEWAY_PAYLOAD_MAX + 1024)

/* Never renumber. */
enum control_kind {
	CONTROL_HELLO = 1,	    /* epoch: one push of the whole list, and what follows it */
	CONTROL_SNAPSHOT_BEGIN = 2, /* epoch */
	CONTROL_SNAPSHOT_SERIALS = 3,
	CONTROL_SNAPSHOT_REFUSED = 4, /* Reference IDs */
	CONTROL_SNAPSHOT_END = 5,     /* epoch, and how many of both there were: only then the list is taken */
	CONTROL_DENY = 6,	      /* serials, each with the Reference ID whose session ends (zero: a claim's) */
	CONTROL_ACTIVATE = 7,	      /* a serial that is denied no more */
	CONTROL_REFUSE = 8,	      /* a Reference ID */
	CONTROL_ADMIT = 9,	      /* a Reference ID */
	CONTROL_HEARTBEAT = 10,	      /* epoch: everything committed until now has been told */
	CONTROL_DELIVER = 11,	      /* to a vehicle */
	CONTROL_ANSWER = 12,	      /* to one connection */
};

struct control_denial {
	struct serial serial;
	struct uuid reference_id;
};

struct control_frame {
	enum control_kind kind;
	uint64_t epoch;
	uint64_t serial_count, refused_count; /* SNAPSHOT_END */
	/* SNAPSHOT_SERIALS, SNAPSHOT_REFUSED and DENY: at least one, read one by one with control_frame_… below */
	struct span entries;
	size_t count;
	struct serial serial;	  /* ACTIVATE */
	struct uuid reference_id; /* REFUSE, ADMIT, DELIVER */
	bool only_when_ready;	  /* DELIVER */
	uint64_t connection;	  /* ANSWER */
	char client_id[GATEWAY_CLIENT_ID_SIZE];
	char topic[GATEWAY_TOPIC_SIZE]; /* DELIVER, ANSWER */
	struct span payload;
};

/* Each appends a whole frame to the empty buf. */
MUST_USE enum result control_put_epoch(struct buf *frame, enum control_kind kind, uint64_t epoch);
MUST_USE enum result control_put_serials(struct buf *frame, const struct serial *serials, size_t count);
MUST_USE enum result control_put_refused(struct buf *frame, const struct uuid *reference_ids, size_t count);
MUST_USE enum result control_put_end(struct buf *frame, uint64_t epoch, uint64_t serial_count, uint64_t refused_count);
MUST_USE enum result control_put_denials(struct buf *frame, const struct control_denial *denials, size_t count);
MUST_USE enum result control_put_activate(struct buf *frame, const struct serial *serial);
/* REFUSE, ADMIT */
MUST_USE enum result control_put_vehicle(struct buf *frame, enum control_kind kind, const struct uuid *reference_id);
/* RESULT_INVALID: the topic or the payload is too long. */
MUST_USE enum result control_put_deliver(struct buf *frame, const struct uuid *reference_id, bool only_when_ready,
					 const char *topic, struct span payload);
MUST_USE enum result control_put_answer(struct buf *frame, const struct gateway_caller *caller, const char *topic,
					struct span payload);

MUST_USE enum result control_get(struct span bytes, struct control_frame *ret_frame);
/* Entry i, i < count, of the kinds that have them. */
void control_frame_serial(const struct control_frame *frame, size_t i, struct serial *ret_serial);
void control_frame_refused(const struct control_frame *frame, size_t i, struct uuid *ret_reference_id);
void control_frame_denial(const struct control_frame *frame, size_t i, struct control_denial *ret_denial);

/* ---- channel ------------------------------------------------------------------------------------------------- */

#define CHANNEL_HEADER_SIZE    5
#define CHANNEL_PAYLOAD_MAX    ((size_t)32 << 10) /* a CSR, or a provisioning request */
#define CHANNEL_FRAME_SIZE_MAX (CHANNEL_PAYLOAD_MAX + 512)

/* Never renumber. */
enum channel_kind {
	CHANNEL_HELLO = 1, /* protocol version; first, and only first */
	CHANNEL_CLAIM = 2,
	CHANNEL_STATUS = 3,
};

/* Since the plugin was loaded, but for the first. */
struct plugin_counters {
	uint64_t vehicles;	 /* connected now */
	uint64_t refused;	 /* connections */
	uint64_t kicked;	 /* sessions that a change of the list ended */
	uint64_t flooded;	 /* sessions that ended for too many messages */
	uint64_t masked;	 /* VIN-shaped tokens overwritten */
	uint64_t telemetry;	 /* messages spooled */
	uint64_t spool_refused;	 /* messages that the spools had no room for */
	uint64_t claims_dropped; /* claims' messages that found the channel's queue full */
};

struct channel_frame {
	enum channel_kind kind;
	uint16_t version;		    /* HELLO */
	struct gateway_claim_message claim; /* CLAIM; its payload borrows */
	struct plugin_counters counters;    /* STATUS */
};

MUST_USE enum result channel_put_hello(struct buf *frame);
MUST_USE enum result channel_put_claim(struct buf *frame, const struct gateway_claim_message *claim);
MUST_USE enum result channel_put_status(struct buf *frame, const struct plugin_counters *counters);
/* Of the frame whose first CHANNEL_HEADER_SIZE bytes these are: RESULT_INVALID beyond the maximum. */
MUST_USE enum result channel_frame_size(struct span header, size_t *ret_size);
/* A whole frame, header included. */
MUST_USE enum result channel_get(struct span bytes, struct channel_frame *ret_frame);

/* ---- events -------------------------------------------------------------------------------------------------- */

#define EVENT_BODY_SIZE_MAX (GATEWAY_PAYLOAD_MAX + 256)

/* at_ms and reference_id go into the record, not into the body. */
MUST_USE enum result event_put(struct buf *body, const struct gateway_event *event);
/* kind: the record's. */
MUST_USE enum result event_get(uint16_t kind, struct span body, struct gateway_event *ret_event);

#endif
