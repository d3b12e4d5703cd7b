/*
 * Restoration (product rule 17): a registry from a backup is older than the audit log that survived. What the log tells
 * of the time between is brought about again: revocations, device changes, states, suspended clients; claims and
 * certificates that the backup does not know are entered as revoked. What the log cannot bring back, because it holds
 * no VIN and no key, is told for the operator to see to.
 *
 * Applying an entry twice changes nothing, so the place to begin at may lie before the backup.
 */
#ifndef VINVEIL_VEHICLE_RESTORATION_H
#define VINVEIL_VEHICLE_RESTORATION_H

#include "vehicle/flow.h"

enum restoration_finding {
	RESTORATION_VEHICLE_LOST, /* provisioned after the backup: it has to be provisioned again, under another ID */
	RESTORATION_DEVICE_TAKEN, /* its new device stands at another vehicle: it has none now */
	RESTORATION_NOT_REPLAYED, /* an administrator's change, to be made again; subject names what it was about */
};

struct restoration_event {
	enum restoration_finding finding;
	uint64_t index;			       /* of the entry in the log */
	struct uuid reference_id;	       /* of a vehicle's finding */
	const char *action, *subject, *tenant; /* "" when the entry says none */
};
/* Borrowed for the call. */
typedef void restoration_found(void *context, const struct restoration_event *event);

struct restoration_report {
	uint64_t entries;  /* read */
	uint64_t vehicles; /* whose device or state was changed */
	uint64_t revoked;  /* certificates, claims' too, that the backup knew as valid */
	uint64_t entered;  /* certificates that the backup did not know: entered as revoked */
	uint64_t clients;  /* suspended or resumed */
	uint64_t vehicles_lost, findings;
};

/*
 * Replays the entries from index `from` to the log's durable end into the platform's registry. Nobody else may use the
 * registry meanwhile; keys and authority are not asked. RESULT_CORRUPT: an entry that is no leaf of this platform.
 */
MUST_USE enum result restoration_replay(const struct platform *platform, uint64_t from, restoration_found *found,
					void *context, struct restoration_report *ret_report, struct note *note);

#endif
