#include "vehicle/device.h"

#include <stdio.h>

/* Is the text the VIN of that hash, or the hash itself? */
static enum result check_is_vin(struct span text, const struct hashed_vin *hash, bool *ret_is_vin)
{
	struct vin vin;
	struct hashed_vin other;

	*ret_is_vin = false;
	if (vin_parse(text, &vin) == RESULT_OK) {
		enum result result = vin_hash(&vin, &other);
		secret_wipe(&vin, sizeof(vin));
		TRY(result);
	} else if (hashed_vin_parse(text, &other) != RESULT_OK) {
		return RESULT_OK;
	}
	*ret_is_vin = secret_equal(other.bytes, hash->bytes, sizeof(other.bytes));
	secret_wipe(&other, sizeof(other));
	return RESULT_OK;
}

enum problem device_read_id(struct flow_request *request, struct span text, const struct hashed_vin *hash,
			    char ret_device_id[static DEVICE_ID_SIZE])
{
	bool is_vin = false;

	if (hash != NULL) {
		enum result result = check_is_vin(text, hash, &is_vin);
		if (result != RESULT_OK)
			return problem_of_result(result);
	}
	if (is_vin) {
		snprintf(request->detail, sizeof(request->detail), "A device ID must not be the vehicle's VIN.");
		return PROBLEM_VIN_NOT_ALLOWED;
	}
	if (device_id_parse(text, ret_device_id) != RESULT_OK) {
		snprintf(request->detail, sizeof(request->detail),
			 "A device ID is 1 to %d printable ASCII characters without spaces.", DEVICE_ID_LENGTH_MAX);
		return PROBLEM_VALUE_INVALID;
	}
	return PROBLEM_NONE;
}

enum problem device_refuse(struct flow_request *request, enum problem problem, const char *device_id)
{
	const char *before = "The device ", *after = " is attached to another vehicle.";

	if (problem == PROBLEM_DEVICE_UNKNOWN) {
		after = " is not in the tenant's manifest.";
	} else if (problem == PROBLEM_VEHICLE_HAS_OTHER_DEVICE) {
		before = "The vehicle is registered with another device than ";
		after = "; change it by POST /v1/tcu-changes first.";
	} else if (problem == PROBLEM_DEVICE_MISMATCH && device_id[0] != '\0') {
		before = "The vehicle's device is not ";
		after = ".";
	} else if (problem == PROBLEM_DEVICE_MISMATCH) {
		before = "The vehicle has a device: deviceId must name it.";
		after = "";
	}
	snprintf(request->detail, sizeof(request->detail), "%s%s%s", before, device_id, after);
	return problem;
}

enum problem device_check_manifest(struct flow_request *request, const char *device_id,
				   struct device_manifest_entry *ret_entry)
{
	struct registry *registry = request->platform->registry;
	enum result result =
		registry->ops->get_device(registry, &request->tenant.id, device_id, ret_entry, &request->note);

	if (result == RESULT_ABSENT) {
		if (request->tenant.manifest_required)
			return device_refuse(request, PROBLEM_DEVICE_UNKNOWN, device_id);
		*ret_entry = (struct device_manifest_entry){.has_key = false};
		return PROBLEM_NONE;
	}
	return problem_of_result(result);
}
