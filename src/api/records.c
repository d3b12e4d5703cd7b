#include "api/records.h"

#include "vehicle/claims.h"
#include "vehicle/reveal.h"

#include <inttypes.h>
#include <stdio.h>

static void write_text_or_null(struct json_writer *writer, const char *key, const char *text)
{
	json_key(writer, key);
	if (text[0] != '\0')
		json_text(writer, span_of_text(text));
	else
		json_null_value(writer);
}

static void write_serial(struct json_writer *writer, const struct serial *serial)
{
	json_key(writer, "serialNumber");
	json_hex(writer, span_of(serial->bytes, sizeof serial->bytes));
}

void write_vehicle(struct json_writer *writer, const struct vehicle *vehicle)
{
	json_object_begin(writer);
	json_member_uuid(writer, "referenceId", &vehicle->reference_id);
	json_member_text(writer, "tenantId", vehicle->tenant.text);
	write_text_or_null(writer, "deviceId", vehicle->device_id);
	json_member_text(writer, "state", vehicle_state_name(vehicle->state));
	json_key(writer, "attributes");
	json_raw(writer, span_of_text(vehicle->attributes != NULL ? vehicle->attributes : "{}"));
	json_member_time(writer, "createdAt", vehicle->created_at_ms);
	json_member_time(writer, "updatedAt", vehicle->updated_at_ms);
	json_member_number(writer, "version", vehicle->version);
	json_object_end(writer);
}

void write_history_entry(struct json_writer *writer, const struct history_entry *entry)
{
	bool is_change = entry->event == HISTORY_DEVICE_CHANGED || entry->event == HISTORY_STATE_CHANGED;

	json_object_begin(writer);
	json_member_time(writer, "at", entry->at_ms);
	json_member_text(writer, "actor", entry->actor);
	json_member_text(writer, "event", history_event_name(entry->event));
	if (is_change || entry->from[0] != '\0')
		write_text_or_null(writer, "from", entry->from);
	if (is_change || entry->to[0] != '\0')
		write_text_or_null(writer, "to", entry->to);
	if (entry->has_serial)
		write_serial(writer, &entry->serial);
	if (entry->event == HISTORY_CERTIFICATE_REVOKED)
		json_member_text(writer, "reason", revocation_reason_name(entry->reason));
	json_object_end(writer);
}

static void write_pem(struct json_writer *writer, const char *key, const struct buf *pem)
{
	json_key(writer, key);
	json_text(writer, buf_span(pem));
}

void write_credentials(struct json_writer *writer, const struct credentials *credentials)
{
	json_object_begin(writer);
	write_pem(writer, "certificate", &credentials->certificate_pem);
	write_pem(writer, "chain", &credentials->chain_pem);
	if (credentials->private_key_pem.size > 0)
		write_pem(writer, "privateKey", &credentials->private_key_pem);
	write_serial(writer, &credentials->serial);
	json_member_time(writer, "notBefore", credentials->not_before_ms);
	json_member_time(writer, "notAfter", credentials->not_after_ms);
	json_object_end(writer);
}

static void write_scopes(struct json_writer *writer, uint32_t scopes)
{
	json_key(writer, "scopes");
	json_array_begin(writer);
	for (unsigned bit = 0; bit < SCOPE_COUNT; bit++)
		if (scopes & (1U << bit))
			json_text(writer, span_of_text(scope_name((enum scope)(1U << bit))));
	json_array_end(writer);
}

void write_client(struct json_writer *writer, const struct client *client, const struct client_limits *limits)
{
	uint32_t rate = client->limits.requests_per_second, burst = client->limits.burst;

	json_object_begin(writer);
	json_member_text(writer, "clientId", client->id);
	json_member_text(writer, "tenantId", client->tenant.text);
	write_scopes(writer, client->scopes);
	json_key(writer, "purposes");
	json_array_begin(writer);
	for (size_t i = 0; i < client->purpose_count; i++)
		json_text(writer, span_of_text(client->purposes[i]));
	json_array_end(writer);
	json_key(writer, "limits");
	json_object_begin(writer);
	json_member_number(writer, "requestsPerSecond", rate > 0 ? rate : limits->requests_per_second);
	json_member_number(writer, "burst", burst > 0 ? burst : limits->burst);
	json_object_end(writer);
	json_member_text(writer, "state", client->state == CLIENT_ACTIVE ? "active" : "suspended");
	json_key(writer, "fingerprints");
	json_array_begin(writer);
	for (size_t i = 0; i < client->fingerprint_count; i++)
		json_hex(writer, span_of(client->fingerprints[i], SHA256_SIZE));
	json_array_end(writer);
	json_member_time(writer, "createdAt", client->created_at_ms);
	json_object_end(writer);
}

void write_claim(struct json_writer *writer, const struct claim *claim, int64_t now_ms)
{
	json_object_begin(writer);
	json_member_text(writer, "name", claim->name);
	json_member_text(writer, "tenantId", claim->tenant.text);
	json_key(writer, "serialNumber");
	json_hex(writer, span_of(claim->serial.bytes, sizeof(claim->serial.bytes)));
	json_member_text(writer, "state", claim_state_name(claim, now_ms));
	json_member_number(writer, "count", claim->count_max);
	json_member_number(writer, "used", claim->used);
	json_member_time(writer, "notAfter", claim->not_after_ms);
	json_member_time(writer, "createdAt", claim->created_at_ms);
	if (claim->is_revoked)
		json_member_time(writer, "revokedAt", claim->revoked_at_ms);
	json_object_end(writer);
}

void write_tenant(struct json_writer *writer, const struct tenant *tenant)
{
	json_object_begin(writer);
	json_member_text(writer, "tenantId", tenant->id.text);
	json_member_text(writer, "checkDigitPolicy", check_digit_policy_name(tenant->check_digit));
	json_key(writer, "manifestRequired");
	json_bool(writer, tenant->manifest_required);
	json_key(writer, "telemetryRetentionDays");
	if (tenant->telemetry_retention_days != 0)
		json_number(writer, tenant->telemetry_retention_days);
	else
		json_null_value(writer);
	json_member_time(writer, "createdAt", tenant->created_at_ms);
	json_object_end(writer);
}

void write_reveal_request(struct json_writer *writer, const struct reveal_request *reveal, int64_t now_ms)
{
	json_object_begin(writer);
	json_member_uuid(writer, "revealRequestId", &reveal->id);
	json_member_text(writer, "status", reveal_status_name(reveal, now_ms));
	json_member_uuid(writer, "referenceId", &reveal->reference_id);
	json_member_text(writer, "purpose", reveal->purpose);
	json_member_text(writer, "reason", reveal->reason);
	if (reveal->ticket[0] != '\0')
		json_member_text(writer, "ticket", reveal->ticket);
	json_member_text(writer, "requestedBy", reveal->requested_by);
	if (reveal->approved_by[0] != '\0')
		json_member_text(writer, "approvedBy", reveal->approved_by);
	json_member_time(writer, "createdAt", reveal->created_at_ms);
	json_member_time(writer, "expiresAt", reveal->expires_at_ms);
	json_object_end(writer);
}

static void write_status_reason(struct json_writer *writer, const struct remote_command *command)
{
	json_key(writer, "statusReason");
	json_object_begin(writer);
	json_member_text(writer, "reasonCode", command->reason_code);
	if (command->reason_text[0] != '\0')
		json_member_text(writer, "reasonDescription", command->reason_text);
	json_object_end(writer);
}

void write_command(struct json_writer *writer, const struct remote_command *command)
{
	json_object_begin(writer);
	json_member_uuid(writer, "commandId", &command->id);
	json_member_text(writer, "name", command->name);
	json_member_text(writer, "status", command_status_name(command->status));
	if (command->reason_code[0] != '\0')
		write_status_reason(writer, command);
	if (command->result != NULL) {
		json_key(writer, "result");
		json_raw(writer, span_of_text(command->result));
	}
	json_member_time(writer, "createdAt", command->created_at_ms);
	json_member_time(writer, "updatedAt", command->updated_at_ms);
	json_object_end(writer);
}

void write_alert(struct json_writer *writer, const struct alert *alert)
{
	json_object_begin(writer);
	json_member_uuid(writer, "alertId", &alert->id);
	json_member_text(writer, "kind", alert_kind_name(alert->kind));
	json_member_time(writer, "at", alert->at_ms);
	if (alert->has_reference_id)
		json_member_uuid(writer, "referenceId", &alert->reference_id);
	json_member_text(writer, "detail", alert->detail);
	json_object_end(writer);
}

void answer_etag(struct call *call, uint32_t version)
{
	char text[16];
	snprintf(text, sizeof text, "\"%u\"", version);
	answer_header(call, "ETag", text);
}

enum problem answer_vehicle(struct call *call, const struct vehicle *vehicle)
{
	struct json_writer writer;
	answer_json(call, 200, &writer);
	answer_etag(call, vehicle->version);
	write_vehicle(&writer, vehicle);
	return answer_end(&writer);
}

void write_cursor(struct json_writer *writer, uint64_t cursor)
{
	char text[24];
	if (cursor == 0)
		return;
	snprintf(text, sizeof text, "%" PRIu64, cursor);
	json_member_text(writer, "nextCursor", text);
}
