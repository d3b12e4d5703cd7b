#include "vehicle/change.h"

#include <stdio.h>

void change_init(struct change *change, struct flow_request *request)
{
	*change = (struct change){.request = request};
}

static void fail(struct change *change, enum result result)
{
	if (change->result == RESULT_OK)
		change->result = result;
}

void change_add(struct change *change, struct registry_write write)
{
	if (change->count == CHANGE_WRITES_MAX)
		fail(change, RESULT_UNAVAILABLE);
	else
		change->writes[change->count++] = write;
}

/* A copy that lives as long as the request; NULL fails the change. */
static const void *keep(struct change *change, const void *record, size_t size)
{
	void *kept = arena_alloc(change->request->arena, size);

	if (kept == NULL)
		fail(change, RESULT_MEMORY);
	else
		memcpy(kept, record, size);
	return kept;
}

void change_add_history(struct change *change, const struct uuid *reference_id, struct history_entry entry)
{
	struct flow_request *request = change->request;

	change->moves_state |= entry.event == HISTORY_STATE_CHANGED;
	entry.at_ms = clock_now_ms(request->platform->clock);
	snprintf(entry.actor, sizeof(entry.actor), "%s", request->client->id);
	const struct history_entry *kept = keep(change, &entry, sizeof(entry));
	const struct uuid *kept_id = keep(change, reference_id, sizeof(*reference_id));
	change_add(change, (struct registry_write){.kind = REGISTRY_APPEND_HISTORY,
						   .history = {.reference_id = kept_id, .entry = kept}});
}

void change_add_device_history(struct change *change, const struct uuid *reference_id, const char *from, const char *to)
{
	struct history_entry entry = {.event = to[0] != '\0' ? HISTORY_DEVICE_CHANGED : HISTORY_DEVICE_REMOVED};

	snprintf(entry.from, sizeof(entry.from), "%s", from);
	snprintf(entry.to, sizeof(entry.to), "%s", to);
	change_add_history(change, reference_id, entry);
}

void change_update_vehicle(struct change *change, struct vehicle *vehicle)
{
	vehicle->version++;
	vehicle->updated_at_ms = clock_now_ms(change->request->platform->clock);
	change_add(change, (struct registry_write){.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = vehicle});
}

void change_add_certificate(struct change *change, const struct certificate_record *record)
{
	const struct certificate_record *kept = keep(change, record, sizeof(*record));

	change_add(change, (struct registry_write){.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = kept});
	change_add_history(change, &record->reference_id,
			   (struct history_entry){
				   .event = HISTORY_CERTIFICATE_ISSUED, .has_serial = true, .serial = record->serial});
	change->request->event->has_serial = true;
	change->request->event->serial = record->serial;
}

void change_revoke(struct change *change, const struct certificate_record *record, enum revocation_reason reason)
{
	const struct serial *kept = keep(change, &record->serial, sizeof(record->serial));
	int64_t now_ms = clock_now_ms(change->request->platform->clock);

	change_add(change, (struct registry_write){.kind = REGISTRY_REVOKE_CERTIFICATE,
						   .revoke = {.serial = kept, .reason = reason, .at_ms = now_ms}});
	change_add_history(change, &record->reference_id,
			   (struct history_entry){.event = HISTORY_CERTIFICATE_REVOKED,
						  .has_serial = true,
						  .serial = record->serial,
						  .reason = reason});
	if (change->revoked_count < CHANGE_WRITES_MAX) /* else there were too many writes, which failed the change */
		change->revoked[change->revoked_count++] = (struct gateway_revocation){
			.serial = record->serial,
			.reference_id = record->reference_id,
			.not_after_ms = record->not_after_ms,
		};
}

void change_take_ownership(struct change *change, const struct ownership *ownership, bool is_admitted)
{
	int64_t now_ms = clock_now_ms(change->request->platform->clock);

	change_add(change, (struct registry_write){.kind = REGISTRY_USE_CLAIM,
						   .claim_use = {.name = ownership->claim, .at_ms = now_ms}});
	change_add(change, (struct registry_write){.kind = REGISTRY_TAKE_OWNERSHIP,
						   .ownership_take = {.token_sha256 = ownership->token_sha256,
								      .is_admitted = is_admitted,
								      .at_ms = now_ms}});
	change->admitted = is_admitted ? ownership : NULL;
}

/* So that a restore can bring about again what this change did. */
static enum result tell_event(struct change *change)
{
	struct audit_event *event = change->request->event;
	struct serial *revoked = arena_alloc(change->request->arena, (change->revoked_count + 1) * sizeof(*revoked));
	size_t count = 0;

	if (revoked == NULL)
		return RESULT_MEMORY;
	for (size_t i = 0; i < change->count; i++) {
		if (change->writes[i].kind == REGISTRY_UPDATE_VEHICLE) {
			event->state = vehicle_state_name(change->writes[i].vehicle->state);
			event->version = change->writes[i].vehicle->version;
		}
		if (change->writes[i].kind == REGISTRY_REVOKE_CERTIFICATE && count < change->revoked_count)
			revoked[count++] = *change->writes[i].revoke.serial;
	}
	event->revoked = revoked;
	event->revoked_count = count;
	return RESULT_OK;
}

/* ---- what the device gateway must learn of a committed change --------------------------------------- */

/* The registry has it durably already; here live sessions are cut, and what was denied until now is let in. */
static void tell_gateway(const struct change *change)
{
	struct device_gateway *gateway = change->request->platform->gateway;

	if (gateway == NULL)
		return;
	if (change->revoked_count > 0)
		gateway->ops->revoke(gateway, change->revoked, change->revoked_count);
	if (change->admitted != NULL)
		gateway->ops->activate(gateway, &change->admitted->serial);
	for (size_t i = 0; change->moves_state && i < change->count; i++)
		if (change->writes[i].kind == REGISTRY_UPDATE_VEHICLE)
			gateway->ops->refresh(gateway, &change->writes[i].vehicle->tenant,
					      &change->writes[i].vehicle->reference_id);
}

static enum result commit(struct change *change, enum registry_conflict *ret_conflict)
{
	struct flow_request *request = change->request;

	TRY(change->result);
	TRY(tell_event(change));
	return audit_commit(request->platform, request->event, request->arena, change->writes, change->count,
			    ret_conflict, &request->note);
}

enum result change_commit(struct change *change, enum registry_conflict *ret_conflict)
{
	enum registry_conflict conflict = REGISTRY_CONFLICT_NONE;
	enum result result = commit(change, &conflict);

	*ret_conflict = result == RESULT_CONFLICT ? conflict : REGISTRY_CONFLICT_NONE;
	if (change->request->event->is_recorded) /* committed, whatever became of its leaf */
		tell_gateway(change);
	else { /* it did none of this */
		change->request->event->has_serial = false;
		change->request->event->state = NULL;
		change->request->event->version = 0;
		change->request->event->revoked_count = 0;
	}
	return result;
}
