/*
 * TCU update and delete (product flow 6, rules 2, 4, 7): the vehicle keeps its Reference ID while its device
 * goes, or another comes. The old device's certificates are revoked in the same change.
 */
#ifndef VINVEIL_VEHICLE_TCU_CHANGE_H
#define VINVEIL_VEHICLE_TCU_CHANGE_H

#include "vehicle/flow.h"

#define PURPOSE_TCU_CHANGE "tcu-change"

/* What the body said. That newDeviceId is there at all (else 400) is checked above. */
struct tcu_change {
	struct vehicle_name name;
	struct span device_id;	   /* empty: null, the vehicle has none: the new one is attached */
	struct span new_device_id; /* empty: null, the device is deleted */
};

/*
 * Repeating a completed change is PROBLEM_NONE and changes nothing. PROBLEM_DEVICE_UNCHANGED, DEVICE_MISMATCH,
 * DEVICE_IN_USE, DEVICE_UNKNOWN, NOT_FOUND, TRANSITION_NOT_ALLOWED (decommissioned). Wipes the name.
 * ret_revoked_count tells whether certificates went: then the gateway is to be told, and the CRL made anew.
 */
enum problem tcu_change_run(struct flow_request *request, struct tcu_change *change, struct vehicle *ret_vehicle,
			    size_t *ret_revoked_count);

#endif
