/*
 * What is asked of a device before it comes to a vehicle. Internal to the flows.
 */
#ifndef VINVEIL_VEHICLE_DEVICE_H
#define VINVEIL_VEHICLE_DEVICE_H

#include "vehicle/flow.h"

/*
 * A device ID as a body said it. PROBLEM_VALUE_INVALID with a detail; PROBLEM_VIN_NOT_ALLOWED when it is the request's
 * own VIN or hash (product rule 9). hash NULL: the request names no VIN.
 */
enum problem device_read_id(struct flow_request *request, struct span text, const struct hashed_vin *hash,
			    char ret_device_id[static DEVICE_ID_SIZE]);

/*
 * The device's line of the manifest. None: PROBLEM_DEVICE_UNKNOWN when the tenant demands one, else an entry without
 * key. PROBLEM_NONE or what the registry says.
 */
enum problem device_check_manifest(struct flow_request *request, const char *device_id,
				   struct device_manifest_entry *ret_entry);

/*
 * Returns the problem, with a detail that names the device as the request did, so that a caller with many knows which
 * one is meant: PROBLEM_DEVICE_UNKNOWN, _DEVICE_IN_USE, _DEVICE_MISMATCH (an empty ID: the request named none) or
 * _VEHICLE_HAS_OTHER_DEVICE. Nothing is told that the request did not say.
 */
enum problem device_refuse(struct flow_request *request, enum problem problem, const char *device_id);

#endif
