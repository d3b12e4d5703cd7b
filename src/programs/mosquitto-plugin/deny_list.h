/*
 * Who may not connect, as vinveild told: serial numbers of certificates, and Reference IDs of suspended vehicles. A
 * list counts as long as its teller is heard: the time of its last heartbeat, by the monotonic clock, is its freshness.
 * Without a whole list nobody is admitted.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_DENY_LIST_H
#define VINVEIL_MOSQUITTO_PLUGIN_DENY_LIST_H

#include "programs/mosquitto-plugin/key_set.h"

#include "base/uuid.h"
#include "crypto/certificate.h"

struct deny_entries {
	struct key_set serials, vehicles;
	uint64_t serials_told, vehicles_told; /* in a snapshot: to be compared with what its end says */
};

struct deny_list {
	struct deny_entries current;
	bool is_complete; /* a whole list has come once */
	uint64_t epoch;	  /* whose heartbeats count */
	int64_t heard_at_ms;
	bool is_collecting;
	struct deny_entries collected; /* the snapshot that is coming in */
	uint64_t collected_epoch;
};

void deny_list_release(struct deny_list *list);

/* A snapshot: begin, entries, end. The old list counts until the end; RESULT_INVALID: out of turn, or entries are
 * missing. */
void deny_list_begin(struct deny_list *list, uint64_t epoch);
MUST_USE enum result deny_list_collect_serial(struct deny_list *list, const struct serial *serial);
MUST_USE enum result deny_list_collect_vehicle(struct deny_list *list, const struct uuid *reference_id);
MUST_USE enum result deny_list_end(struct deny_list *list, uint64_t epoch, uint64_t serials, uint64_t vehicles,
				   int64_t now_ms);

/* Changes of the list that counts. RESULT_MEMORY makes it incomplete: nobody is admitted until the next snapshot. */
MUST_USE enum result deny_list_deny(struct deny_list *list, const struct serial *serial);
void deny_list_activate(struct deny_list *list, const struct serial *serial);
MUST_USE enum result deny_list_refuse(struct deny_list *list, const struct uuid *reference_id);
void deny_list_admit(struct deny_list *list, const struct uuid *reference_id);

/* RESULT_CONFLICT: not of the list that counts. */
MUST_USE enum result deny_list_heartbeat(struct deny_list *list, uint64_t epoch, int64_t now_ms);
/* Since the teller was heard last; INT64_MAX without a whole list. */
int64_t deny_list_age_ms(const struct deny_list *list, int64_t now_ms);

/* reference_id: NULL for a claim. */
bool deny_list_denies(const struct deny_list *list, const struct serial *serial, const struct uuid *reference_id);

#endif
