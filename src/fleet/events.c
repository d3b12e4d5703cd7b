#include "base/log.h"
#include "fleet/call.h"
#include "vehicle/alerts.h"
#include "vehicle/vehicles.h"

#include <stdio.h>

#define ACTION_CONNECT "vehicle.connect"
#define ACTION_CLONE   "alert.raise"

/* No certificate lives longer. */
#define UNKNOWN_DENIED_MS ((int64_t)3650 * 24 * 60 * 60 * 1000)

/* ---- connecting -------------------------------------------------------------------------------------- */

static struct uuid *place_of(struct fleet *fleet, const struct uuid *reference_id)
{
	uint32_t random; /* a Reference ID is, in these bytes */

	memcpy(&random, reference_id->bytes + UUID_SIZE - sizeof(random), sizeof(random));
	return &fleet->assigned[random % FLEET_ASSIGNED_MAX];
}

/* Ingest must know whose a vehicle is before it can keep telemetry for as long as that tenant wants. */
static enum result assign(struct fleet *fleet, const struct certificate_record *record, struct note *note)
{
	struct telemetry_control *control = fleet->platform->telemetry_control;
	struct uuid *place = place_of(fleet, &record->reference_id);

	pthread_mutex_lock(&fleet->assigned_mutex);
	bool is_known = control == NULL || uuid_equal(place, &record->reference_id);
	pthread_mutex_unlock(&fleet->assigned_mutex);
	if (is_known)
		return RESULT_OK;
	TRY(control->ops->assign_vehicle(control, &record->reference_id, &record->tenant, note));
	pthread_mutex_lock(&fleet->assigned_mutex);
	*place = record->reference_id;
	pthread_mutex_unlock(&fleet->assigned_mutex);
	return RESULT_OK;
}

static enum result connected(struct fleet *fleet, const struct gateway_event *event,
			     const struct certificate_record *record, struct note *note)
{
	FLEET_CALL_CLEANUP struct fleet_call call;
	enum result result =
		fleet_call_begin(&call, fleet, ACTION_CONNECT, ACTOR_GATEWAY, &record->tenant, event->address);
	enum problem problem = PROBLEM_NONE;

	if (result == RESULT_OK)
		problem = vehicles_connected(&call.flow, record);
	*note = call.flow.note;
	TRY(result);
	if (problem == PROBLEM_UNAVAILABLE)
		return RESULT_UNAVAILABLE;
	if (problem != PROBLEM_NONE)
		log_event(LOG_ERROR, "vehicle-connected", "%s: %s", problem_name(problem), note->text);
	TRY(assign(fleet, record, note));
	atomic_fetch_add(&fleet->counters.connections, 1);
	return RESULT_OK;
}

/*
 * It must not stay: it was revoked before the gateway knew, or the registry does not know it, as one that was issued
 * after the backup that was restored.
 */
static void cut(struct fleet *fleet, const struct gateway_event *event, const struct certificate_record *record)
{
	struct device_gateway *gateway = fleet->platform->gateway;
	const struct gateway_revocation revoked = {
		.serial = event->serial,
		.reference_id = event->reference_id,
		.not_after_ms = record != NULL ? record->not_after_ms : event->at_ms + UNKNOWN_DENIED_MS,
	};
	char id[UUID_TEXT_SIZE];

	uuid_format(&event->reference_id, id);
	if (record == NULL)
		log_event(LOG_WARN, "certificate-unknown", "%s connected with a certificate that nobody was given", id);
	gateway->ops->revoke(gateway, &revoked, 1);
}

/* ---- cloned keys ------------------------------------------------------------------------------------- */

static enum result clone_suspected(struct fleet *fleet, const struct gateway_event *event,
				   const struct tenant_id *tenant, struct note *note)
{
	FLEET_CALL_CLEANUP struct fleet_call call;
	enum result result = fleet_call_begin(&call, fleet, ACTION_CLONE, ACTOR_GATEWAY, tenant, event->address);
	char detail[sizeof(((struct alert *)0)->detail)];
	bool is_raised = false;

	snprintf(detail, sizeof(detail),
		 "A second connection under this Reference ID, from %s, while one from %s was live.", event->address,
		 event->other_address);
	if (result == RESULT_OK)
		result = alerts_raise(&call.flow, ALERT_CLONED_KEY, &event->reference_id, event->at_ms, detail,
				      &is_raised);
	*note = call.flow.note;
	if (is_raised)
		atomic_fetch_add(&fleet->counters.cloned_keys, 1);
	return result;
}

/* ---- whose event it is ------------------------------------------------------------------------------- */

/* The certificate speaks for its tenant. RESULT_ABSENT: it is not, or no longer, this vehicle's. */
static enum result find_certificate(struct fleet *fleet, const struct gateway_event *event,
				    struct certificate_record *ret_record, struct note *note)
{
	struct registry *registry = fleet->platform->registry;

	TRY(registry->ops->find_certificate(registry, &event->serial, ret_record, note));
	return uuid_equal(&ret_record->reference_id, &event->reference_id) ? RESULT_OK : RESULT_ABSENT;
}

static enum result handle_of(struct fleet *fleet, const struct gateway_event *event,
			     const struct certificate_record *record, struct note *note)
{
	switch (event->kind) {
	case GATEWAY_VEHICLE_CONNECTED:
		return connected(fleet, event, record, note);
	case GATEWAY_VEHICLE_READY:
		return commands_ready(fleet, event, &record->tenant, note);
	case GATEWAY_COMMAND_RESPONSE:
		return commands_reported(fleet, event, &record->tenant, note);
	case GATEWAY_CHECKIN:
		TRY(checkins_take(fleet, event, &record->tenant));
		atomic_fetch_add(&fleet->counters.checkins, 1);
		break;
	case GATEWAY_VEHICLE_DISCONNECTED:
		break;
	case GATEWAY_CLONE_SUSPECTED:
		return clone_suspected(fleet, event, &record->tenant, note);
	}
	return RESULT_OK;
}

enum result event_handle(struct fleet *fleet, const struct gateway_event *event, struct note *note)
{
	struct certificate_record record;
	bool connects = event->kind == GATEWAY_VEHICLE_CONNECTED;

	if (event->kind == GATEWAY_VEHICLE_DISCONNECTED)
		return RESULT_OK;
	enum result result = find_certificate(fleet, event, &record, note);
	if (result == RESULT_ABSENT) {
		if (connects)
			cut(fleet, event, NULL);
		return RESULT_OK;
	}
	TRY(result);
	/* What it said before it was revoked counts. */
	if (record.is_revoked && (connects || event->at_ms >= record.revoked_at_ms)) {
		if (connects)
			cut(fleet, event, &record);
		return RESULT_OK;
	}
	return handle_of(fleet, event, &record, note);
}
