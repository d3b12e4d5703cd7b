/*
 * What vehicles say, as api/ is what applications say: the events of the device gateway, each turned into one flow of
 * vehicle/ and its answer. First connections make vehicles active; vehicles that are ready get what waits for them;
 * responses move the commands' status table; claims fetch certificates and provision (AWS IoT's fleet provisioning
 * topics). It sees ports only.
 */
#ifndef VINVEIL_FLEET_FLEET_H
#define VINVEIL_FLEET_FLEET_H

#include "vehicle/flow.h"

#include <stdatomic.h>

struct fleet_config {
	const struct platform *platform; /* outlives the fleet; its gateway may be set after fleet_open() */
	size_t threads;			 /* that handle events side by side, and as many for claims' messages; 0: 8 */
	size_t queue_max;		 /* claims' messages that may wait; beyond it they are rejected; 0: 1024 */
	const char *template_name;	 /* of fleet provisioning, $aws/provisioning-templates/{template}/… */
};

/* For /metrics. */
struct fleet_counters {
	atomic_uint_fast64_t connections, command_responses, checkins, cloned_keys;
	atomic_uint_fast64_t claims_provisioned, claims_rejected;
};

struct fleet;
MUST_USE enum result fleet_open(const struct fleet_config *config, struct fleet **ret_fleet, struct note *note);
/* After the gateway is closed: finishes what is queued. NULL is allowed. */
void fleet_close(struct fleet *fleet);
const struct fleet_counters *fleet_get_counters(const struct fleet *fleet);

/* For the gateway's adapter, with the fleet as its context. */
extern const struct gateway_events fleet_events;

#endif
