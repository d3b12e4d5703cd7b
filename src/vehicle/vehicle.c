#include "vehicle/vehicle.h"

#include "base/text.h"

#define STATE_COUNT (VEHICLE_DECOMMISSIONED + 1)

static const char *const state_names[STATE_COUNT] = {
	[VEHICLE_PROVISIONED] = "provisioned",
	[VEHICLE_ACTIVE] = "active",
	[VEHICLE_SUSPENDED] = "suspended",
	[VEHICLE_DECOMMISSIONED] = "decommissioned",
};

const char *vehicle_state_name(enum vehicle_state state)
{
	return state_names[state];
}

enum result vehicle_state_parse(struct span text, enum vehicle_state *ret_state)
{
	for (size_t i = VEHICLE_PROVISIONED; i < STATE_COUNT; i++) {
		if (!span_is_text(text, state_names[i]))
			continue;
		*ret_state = (enum vehicle_state)i;
		return RESULT_OK;
	}
	return RESULT_INVALID;
}

/* What the table cannot hold: the state after resuming is the vehicle's own. */
#define STATE_BEFORE STATE_COUNT

/*
 * Product rule 2: state × event → state; 0: not allowed. A suspended vehicle that connects is refused by the
 * gateway, so the event does not reach it.
 */
static const uint8_t transitions[STATE_COUNT][VEHICLE_IS_DECOMMISSIONED + 1] = {
	[VEHICLE_PROVISIONED] =
		{
			[VEHICLE_CONNECTS] = VEHICLE_ACTIVE,
			[VEHICLE_IS_SUSPENDED] = VEHICLE_SUSPENDED,
			[VEHICLE_CHANGES_DEVICE] = VEHICLE_PROVISIONED,
			[VEHICLE_IS_DECOMMISSIONED] = VEHICLE_DECOMMISSIONED,
		},
	[VEHICLE_ACTIVE] =
		{
			[VEHICLE_CONNECTS] = VEHICLE_ACTIVE,
			[VEHICLE_IS_SUSPENDED] = VEHICLE_SUSPENDED,
			[VEHICLE_CHANGES_DEVICE] = VEHICLE_PROVISIONED,
			[VEHICLE_IS_DECOMMISSIONED] = VEHICLE_DECOMMISSIONED,
		},
	[VEHICLE_SUSPENDED] =
		{
			[VEHICLE_IS_RESUMED] = STATE_BEFORE,
			[VEHICLE_CHANGES_DEVICE] = VEHICLE_SUSPENDED,
			[VEHICLE_IS_DECOMMISSIONED] = VEHICLE_DECOMMISSIONED,
		},
};

enum result vehicle_transition(const struct vehicle *vehicle, enum vehicle_event event, enum vehicle_state *ret_state)
{
	uint8_t next = transitions[vehicle->state][event];

	if (next == 0)
		return RESULT_CONFLICT;
	*ret_state = next == STATE_BEFORE ? vehicle->state_before_suspension : (enum vehicle_state)next;
	return RESULT_OK;
}

enum result device_id_parse(struct span text, char ret_device_id[static DEVICE_ID_SIZE])
{
	if (text.size == 0 || text.size > DEVICE_ID_LENGTH_MAX || !text_is_printable(text, false))
		return RESULT_INVALID;
	memset(ret_device_id, 0, DEVICE_ID_SIZE);
	memcpy(ret_device_id, text.data, text.size);
	return RESULT_OK;
}

const char *history_event_name(enum history_event event)
{
	static const char *const names[] = {
		[HISTORY_PROVISIONED] = "provisioned",
		[HISTORY_DEVICE_CHANGED] = "device-changed",
		[HISTORY_DEVICE_REMOVED] = "device-removed",
		[HISTORY_CERTIFICATE_ISSUED] = "certificate-issued",
		[HISTORY_CERTIFICATE_REVOKED] = "certificate-revoked",
		[HISTORY_STATE_CHANGED] = "state-changed",
		[HISTORY_REFERENCE_ID_ROTATED] = "reference-id-rotated",
		[HISTORY_ATTRIBUTES_CHANGED] = "attributes-changed",
	};

	return names[event];
}
