/* What vinveild tells, and what time tells. */
#include "programs/mosquitto-plugin/gateway.h"

#define TELL_MS		 1000
#define TELL_REFUSALS_MS 60000

/* ---- kicks ---------------------------------------------------------------------------------------------------- */

static bool is_platform(const struct session *session)
{
	return session->identity.kind == IDENTITY_PLATFORM;
}

/* The list is right before anybody is looked for: who is connecting meanwhile is refused by it. */
static void kick_if_denied(struct gateway *gateway, struct session *session)
{
	const struct identity *identity = &session->identity;
	const struct uuid *vehicle = identity->kind == IDENTITY_VEHICLE ? &identity->reference_id : NULL;
	if (!is_platform(session) && deny_list_denies(&gateway->deny_list, &identity->serial, vehicle))
		gateway_kick(gateway, session);
}

static void kick_denied(struct gateway *gateway)
{
	struct session *next = NULL;
	for (struct session *session = gateway->sessions.first; session; session = next) {
		next = session->next;
		kick_if_denied(gateway, session);
	}
}

static void kick_vehicle(struct gateway *gateway, const struct uuid *reference_id)
{
	struct session *session = sessions_find_vehicle(&gateway->sessions, reference_id);
	if (session)
		kick_if_denied(gateway, session);
}

/* ---- frames --------------------------------------------------------------------------------------------------- */

static enum result collect_serials(struct gateway *gateway, const struct control_frame *frame)
{
	struct serial serial;
	for (size_t i = 0; i < frame->count; i++) {
		control_frame_serial(frame, i, &serial);
		TRY(deny_list_collect_serial(&gateway->deny_list, &serial));
	}
	return RESULT_OK;
}

static enum result collect_vehicles(struct gateway *gateway, const struct control_frame *frame)
{
	struct uuid reference_id;
	for (size_t i = 0; i < frame->count; i++) {
		control_frame_refused(frame, i, &reference_id);
		TRY(deny_list_collect_vehicle(&gateway->deny_list, &reference_id));
	}
	return RESULT_OK;
}

static enum result take_snapshot(struct gateway *gateway, const struct control_frame *frame)
{
	TRY(deny_list_end(&gateway->deny_list, frame->epoch, frame->serial_count, frame->refused_count,
			  clock_monotonic_ms(gateway->clock)));
	kick_denied(gateway);
	return RESULT_OK;
}

static enum result deny(struct gateway *gateway, const struct control_frame *frame)
{
	static const struct uuid nobody;
	struct control_denial denial;
	bool has_claims = false;
	for (size_t i = 0; i < frame->count; i++) {
		control_frame_denial(frame, i, &denial);
		TRY(deny_list_deny(&gateway->deny_list, &denial.serial));
		has_claims = has_claims || uuid_equal(&denial.reference_id, &nobody);
	}
	for (size_t i = 0; i < frame->count; i++) {
		control_frame_denial(frame, i, &denial);
		kick_vehicle(gateway, &denial.reference_id);
	}
	if (has_claims)
		kick_denied(gateway);
	return RESULT_OK;
}

static enum result refuse(struct gateway *gateway, const struct uuid *reference_id)
{
	TRY(deny_list_refuse(&gateway->deny_list, reference_id));
	kick_vehicle(gateway, reference_id);
	return RESULT_OK;
}

static enum result obey(struct gateway *gateway, const struct control_frame *frame)
{
	struct deny_list *list = &gateway->deny_list;
	switch (frame->kind) {
	case CONTROL_HELLO:
		return RESULT_OK;
	case CONTROL_SNAPSHOT_BEGIN:
		deny_list_begin(list, frame->epoch);
		return RESULT_OK;
	case CONTROL_SNAPSHOT_SERIALS:
		return collect_serials(gateway, frame);
	case CONTROL_SNAPSHOT_REFUSED:
		return collect_vehicles(gateway, frame);
	case CONTROL_SNAPSHOT_END:
		return take_snapshot(gateway, frame);
	case CONTROL_DENY:
		return deny(gateway, frame);
	case CONTROL_ACTIVATE:
		deny_list_activate(list, &frame->serial);
		return RESULT_OK;
	case CONTROL_REFUSE:
		return refuse(gateway, &frame->reference_id);
	case CONTROL_ADMIT:
		deny_list_admit(list, &frame->reference_id);
		return RESULT_OK;
	case CONTROL_HEARTBEAT:
		return deny_list_heartbeat(list, frame->epoch, clock_monotonic_ms(gateway->clock));
	case CONTROL_DELIVER:
	case CONTROL_ANSWER:
		deliveries_add(&gateway->deliveries, frame);
		return RESULT_OK;
	}
	return RESULT_INVALID;
}

void gateway_control(struct gateway *gateway, const void *client, struct span payload)
{
	const struct session *session = sessions_find(&gateway->sessions, client);
	struct control_frame frame;
	if (!session || !is_platform(session) || session->is_superseded)
		return;
	enum result result = control_get(payload, &frame);
	if (result == RESULT_OK)
		result = obey(gateway, &frame);
	if (result != RESULT_OK)
		gateway_log(gateway, true, "vinveil: a message of vinveild's was not taken: %s", result_name(result));
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

static void resume(struct gateway *gateway)
{
	for (size_t i = 0; i < gateway->resumption_count; i++) {
		const struct resumption *resumption = &gateway->resumptions[i];
		struct session *session = sessions_find(&gateway->sessions, resumption->client);
		if (!session || session->number != resumption->number || session->is_superseded ||
		    gateway->broker->count_subscriptions(gateway->broker_context, session->client) == 0)
			continue;
		if (gateway_record(gateway, session, GATEWAY_VEHICLE_READY) == RESULT_OK)
			session->is_ready = true;
		else
			gateway_kick(gateway, session);
	}
	gateway->resumption_count = 0;
}

/* Whose certificate has ended while it was connected; and everybody, when nobody has told for too long who may stay. */
static void kick_overdue(struct gateway *gateway, int64_t monotonic_ms)
{
	bool is_too_stale = deny_list_age_ms(&gateway->deny_list, monotonic_ms) > gateway->options->stale_close_ms;
	int64_t now_ms = clock_now_ms(gateway->clock);
	struct session *next = NULL;
	for (struct session *session = gateway->sessions.first; session; session = next) {
		next = session->next;
		if (!is_platform(session) && (is_too_stale || now_ms > session->identity.not_after_ms))
			gateway_kick(gateway, session);
	}
}

static void tell_counters(struct gateway *gateway)
{
	struct plugin_counters *counters = &gateway->counters;
	counters->vehicles = gateway->sessions.vehicles;
	counters->masked = gateway->spooling.masked;
	counters->telemetry = gateway->spooling.appended;
	counters->spool_refused = gateway->spooling.refused;
	claim_channel_tell(gateway->channel, counters);
}

/* Whoever is cut off for it comes back at once: a line a minute is enough. */
static void tell_refusals(struct gateway *gateway, int64_t monotonic_ms)
{
	const struct spooling *spooling = &gateway->spooling;
	bool is_due = gateway->refusals_told_ms == 0 || monotonic_ms - gateway->refusals_told_ms >= TELL_REFUSALS_MS;
	if (spooling->refused == gateway->refusals_told || !is_due)
		return;
	gateway_log(gateway, true,
		    "vinveil: vehicles are disconnected because what they say cannot be kept (count: %llu): %s",
		    (unsigned long long)(spooling->refused - gateway->refusals_told), spooling->refusal);
	gateway->refusals_told = spooling->refused;
	gateway->refusals_told_ms = monotonic_ms;
}

void gateway_tick(struct gateway *gateway)
{
	int64_t monotonic_ms = clock_monotonic_ms(gateway->clock);
	gateway->is_reloading = false;
	if (gateway->resumption_count > 0)
		resume(gateway);
	if (gateway->deliveries.first)
		deliveries_flush(&gateway->deliveries, &gateway->sessions, gateway->broker->publish,
				 gateway->broker_context);
	if (gateway->told_at_ms != 0 && monotonic_ms - gateway->told_at_ms < TELL_MS)
		return;
	gateway->told_at_ms = monotonic_ms;
	gateway->log_tokens = LOG_LINES_MAX;
	kick_overdue(gateway, monotonic_ms);
	tell_refusals(gateway, monotonic_ms);
	tell_counters(gateway);
}
