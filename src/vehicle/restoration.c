#include "vehicle/restoration.h"

#include "base/json.h"
#include "base/text.h"

#include <stdio.h>

/* Versions that one entry may bring a row forward by: entries between were of changes that are not replayed. */
#define VERSIONS_MAX 64
#define WRITES_MAX   256
#define ARENA_SIZE   ((size_t)8 << 20)
#define DAY_MS	     ((int64_t)24 * 60 * 60 * 1000)

/* A leaf does not say when the certificate expires: it stays on the CRL for as long as any can live. */
#define CERTIFICATE_DAYS_MAX 3650

struct replay {
	const struct platform *platform;
	restoration_found *found;
	void *context;
	struct restoration_report report;
	struct note *note;
	struct arena arena; /* of the entry at hand */

	/* the entry at hand */
	uint64_t index;
	const json_t *leaf;
	int64_t at_ms;
	struct tenant_id tenant;
	bool has_reference_id;
	struct uuid reference_id;
};

/* What one entry makes of one vehicle. */
struct replayed_vehicle {
	struct vehicle vehicle;
	const char *device_before;
	struct registry_write writes[WRITES_MAX];
	size_t write_count;
	uint64_t revoked, entered;
	bool is_changed;
};

/* ---- reading an entry ------------------------------------------------------------------------------- */

static const char *text_of(const struct replay *replay, const char *name)
{
	const char *text = json_string_value(json_object_get(replay->leaf, name));

	return text != NULL ? text : "";
}

static bool is_action(const struct replay *replay, const char *action)
{
	return strcmp(text_of(replay, "action"), action) == 0;
}

static enum result read_common(struct replay *replay)
{
	const char *reference_id = text_of(replay, "referenceId"), *tenant = text_of(replay, "tenantId");

	TRY(rfc3339_parse(span_of_text(text_of(replay, "at")), &replay->at_ms));
	replay->tenant = (struct tenant_id){0};
	if (tenant[0] != '\0')
		TRY(tenant_id_parse(span_of_text(tenant), &replay->tenant));
	replay->has_reference_id = reference_id[0] != '\0';
	if (replay->has_reference_id)
		TRY(uuid_parse(span_of_text(reference_id), &replay->reference_id));
	return RESULT_OK;
}

static void tell(struct replay *replay, enum restoration_finding finding)
{
	struct restoration_event event = {.finding = finding,
					  .index = replay->index,
					  .reference_id = replay->reference_id,
					  .action = text_of(replay, "action"),
					  .subject = text_of(replay, "subject"),
					  .tenant = replay->tenant.text};

	replay->report.findings++;
	replay->report.vehicles_lost += finding == RESTORATION_VEHICLE_LOST;
	replay->found(replay->context, &event);
}

/* ---- clients ---------------------------------------------------------------------------------------- */

static struct client *find_client(struct client *clients, size_t count, const char *id)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(clients[i].id, id) == 0)
			return &clients[i];
	return NULL;
}

static enum result replay_client(struct replay *replay, enum client_state state)
{
	struct registry *registry = replay->platform->registry;
	struct registry_write write = {.kind = REGISTRY_UPDATE_CLIENT};
	struct change_set change = {.writes = &write, .count = 1};
	enum registry_conflict conflict;
	struct client *clients;
	size_t count;

	TRY(registry->ops->list_clients(registry, &replay->arena, &clients, &count, replay->note));
	struct client *client = find_client(clients, count, text_of(replay, "subject"));
	if (client == NULL || client->state == state)
		return RESULT_OK;
	client->state = state;
	client->version++;
	write.client = client;
	TRY(registry->ops->commit(registry, &change, &conflict, replay->note));
	replay->report.clients++;
	return RESULT_OK;
}

/* ---- a vehicle -------------------------------------------------------------------------------------- */

static enum result add_write(struct replayed_vehicle *replayed, struct registry_write write)
{
	if (replayed->write_count == WRITES_MAX)
		return RESULT_EXHAUSTED;
	replayed->writes[replayed->write_count++] = write;
	return RESULT_OK;
}

/* Time and actor are those of the entry: the history then tells what happened, not when it was restored. */
static enum result add_history(struct replay *replay, struct replayed_vehicle *replayed, struct history_entry entry)
{
	struct history_entry *kept = arena_alloc(&replay->arena, sizeof(*kept));

	if (kept == NULL)
		return RESULT_MEMORY;
	entry.at_ms = replay->at_ms;
	snprintf(entry.actor, sizeof(entry.actor), "%s", text_of(replay, "actor"));
	*kept = entry;
	return add_write(replayed, (struct registry_write){.kind = REGISTRY_APPEND_HISTORY,
							   .history = {.reference_id = &replayed->vehicle.reference_id,
								       .entry = kept}});
}

static enum result set_device(struct replay *replay, struct replayed_vehicle *replayed, const char *device_id)
{
	struct vehicle *vehicle = &replayed->vehicle;
	struct history_entry entry = {.event = device_id[0] != '\0' ? HISTORY_DEVICE_CHANGED : HISTORY_DEVICE_REMOVED};

	if (strcmp(vehicle->device_id, device_id) == 0)
		return RESULT_OK;
	memcpy(entry.from, vehicle->device_id, sizeof(entry.from));
	memset(vehicle->device_id, 0, sizeof(vehicle->device_id));
	if (device_id[0] != '\0')
		TRY(device_id_parse(span_of_text(device_id), vehicle->device_id));
	memcpy(entry.to, vehicle->device_id, sizeof(entry.to));
	replayed->is_changed = true;
	return add_history(replay, replayed, entry);
}

static enum result set_state(struct replay *replay, struct replayed_vehicle *replayed, enum vehicle_state state)
{
	struct vehicle *vehicle = &replayed->vehicle;
	struct history_entry entry = {.event = HISTORY_STATE_CHANGED};

	if (vehicle->state == state)
		return RESULT_OK;
	snprintf(entry.from, sizeof(entry.from), "%s", vehicle_state_name(vehicle->state));
	snprintf(entry.to, sizeof(entry.to), "%s", vehicle_state_name(state));
	if (state == VEHICLE_SUSPENDED)
		vehicle->state_before_suspension = vehicle->state;
	vehicle->state = state;
	replayed->is_changed = true;
	return add_history(replay, replayed, entry);
}

/* The version that the entry's change gave the row; 0: the entry does not say. */
static uint32_t version_of(const struct replay *replay)
{
	json_int_t version = json_integer_value(json_object_get(replay->leaf, "version"));

	return version > 0 && version <= UINT32_MAX ? (uint32_t)version : 0;
}

/* A change of the vehicle's row says its state; which device it has then follows from the action. */
static enum result replay_row(struct replay *replay, struct replayed_vehicle *replayed)
{
	const char *state_text = text_of(replay, "state");
	enum vehicle_state state;

	if (state_text[0] == '\0')
		return RESULT_OK;
	/* Of an earlier change than one that the row has already: its leaf was late. */
	if (version_of(replay) != 0 && version_of(replay) <= replayed->vehicle.version)
		return RESULT_OK;
	TRY(vehicle_state_parse(span_of_text(state_text), &state));
	/* Final (product rule 2): what comes later in the log happened before, and its leaf was late. */
	if (replayed->vehicle.state == VEHICLE_DECOMMISSIONED)
		return RESULT_OK;
	if (is_action(replay, "tcu.change")) {
		replayed->vehicle.state_before_suspension = VEHICLE_PROVISIONED;
		TRY(set_device(replay, replayed, text_of(replay, "newDeviceId")));
	} else if (is_action(replay, "vehicle.provision")) {
		TRY(set_device(replay, replayed, text_of(replay, "deviceId")));
	} else if (state == VEHICLE_DECOMMISSIONED) {
		TRY(set_device(replay, replayed, ""));
	}
	return set_state(replay, replayed, state);
}

/* ---- its certificates ------------------------------------------------------------------------------- */

/* RESULT_ABSENT: the backup does not know it as this vehicle's. */
static enum result find_certificate(struct replay *replay, const struct replayed_vehicle *replayed,
				    const struct serial *serial, struct certificate_record **ret_record)
{
	struct registry *registry = replay->platform->registry;
	struct certificate_record *record = arena_alloc(&replay->arena, sizeof(*record));

	if (record == NULL)
		return RESULT_MEMORY;
	TRY(registry->ops->find_certificate(registry, serial, record, replay->note));
	*ret_record = record;
	return uuid_equal(&record->reference_id, &replayed->vehicle.reference_id) ? RESULT_OK : RESULT_ABSENT;
}

static enum result add_revoked_history(struct replay *replay, struct replayed_vehicle *replayed,
				       const struct serial *serial)
{
	return add_history(replay, replayed,
			   (struct history_entry){.event = HISTORY_CERTIFICATE_REVOKED,
						  .has_serial = true,
						  .serial = *serial,
						  .reason = REVOCATION_SUPERSEDED});
}

static enum result revoke_known(struct replay *replay, struct replayed_vehicle *replayed,
				const struct certificate_record *record)
{
	if (record->is_revoked)
		return RESULT_OK;
	replayed->revoked++;
	TRY(add_revoked_history(replay, replayed, &record->serial));
	return add_write(replayed, (struct registry_write){.kind = REGISTRY_REVOKE_CERTIFICATE,
							   .revoke = {.serial = &record->serial,
								      .reason = REVOCATION_SUPERSEDED,
								      .at_ms = replay->at_ms}});
}

static void choose_device(const struct replay *replay, const struct replayed_vehicle *replayed,
			  char ret_device_id[static DEVICE_ID_SIZE])
{
	const char *said = text_of(replay, "deviceId");
	const char *device_id = said[0] != '\0' ? said : replayed->device_before;

	snprintf(ret_device_id, DEVICE_ID_SIZE, "%s", device_id[0] != '\0' ? device_id : "unknown");
}

/*
 * A certificate that is out there and that the backup does not know. It is entered, so that the CRL names it. Its key
 * is not in the trail: a hash that no key has stands in for it.
 */
static enum result enter_unknown(struct replay *replay, struct replayed_vehicle *replayed, const struct serial *serial)
{
	struct certificate_record *record = arena_alloc(&replay->arena, sizeof(*record));
	const struct span parts[] = {span_of_text("vinveil restored certificate"), span_of(serial->bytes, SERIAL_SIZE)};

	if (record == NULL)
		return RESULT_MEMORY;
	*record = (struct certificate_record){.serial = *serial,
					      .reference_id = replayed->vehicle.reference_id,
					      .tenant = replay->tenant,
					      .not_before_ms = replay->at_ms,
					      .not_after_ms = replay->at_ms + CERTIFICATE_DAYS_MAX * DAY_MS,
					      .is_revoked = true,
					      .revoked_at_ms = clock_now_ms(replay->platform->clock),
					      .reason = REVOCATION_SUPERSEDED};
	TRY(sha256_parts(parts, 2, record->spki_sha256));
	choose_device(replay, replayed, record->device_id);
	replayed->entered++;
	TRY(add_write(replayed, (struct registry_write){.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = record}));
	TRY(add_history(
		replay, replayed,
		(struct history_entry){.event = HISTORY_CERTIFICATE_ISSUED, .has_serial = true, .serial = *serial}));
	return add_revoked_history(replay, replayed, serial);
}

static enum result replay_issued(struct replay *replay, struct replayed_vehicle *replayed)
{
	const char *text = text_of(replay, "serialNumber");
	struct serial serial;

	if (text[0] == '\0')
		return RESULT_OK;
	TRY(hex_parse(span_of_text(text), true, serial.bytes, SERIAL_SIZE));
	struct certificate_record *record;
	enum result result = find_certificate(replay, replayed, &serial, &record);
	return result == RESULT_ABSENT ? enter_unknown(replay, replayed, &serial) : result;
}

static enum result replay_revoked(struct replay *replay, struct replayed_vehicle *replayed)
{
	const json_t *list = json_object_get(replay->leaf, "revokedSerialNumbers");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));
		struct serial serial;

		if (text == NULL)
			return RESULT_INVALID;
		TRY(hex_parse(span_of_text(text), true, serial.bytes, SERIAL_SIZE));
		struct certificate_record *record;
		enum result result = find_certificate(replay, replayed, &serial, &record);
		if (result == RESULT_OK)
			result = revoke_known(replay, replayed, record);
		else if (result == RESULT_ABSENT)
			result = enter_unknown(replay, replayed, &serial);
		TRY(result);
	}
	return RESULT_OK;
}

/* ---- bringing it about ------------------------------------------------------------------------------ */

static enum result commit(struct replay *replay, struct replayed_vehicle *replayed,
			  enum registry_conflict *ret_conflict)
{
	struct registry *registry = replay->platform->registry;
	struct change_set change = {.writes = replayed->writes, .count = replayed->write_count};

	return registry->ops->commit(registry, &change, ret_conflict, replay->note);
}

/* A vehicle without a device is safe, and its operator is told; two vehicles with one device would not be. */
static enum result commit_without_taken(struct replay *replay, struct replayed_vehicle *replayed)
{
	enum registry_conflict conflict = REGISTRY_CONFLICT_NONE;
	enum result result = commit(replay, replayed, &conflict);

	if (result != RESULT_CONFLICT || conflict != REGISTRY_CONFLICT_DEVICE_ID)
		return result;
	tell(replay, RESTORATION_DEVICE_TAKEN);
	TRY(set_device(replay, replayed, ""));
	return commit(replay, replayed, &conflict);
}

/*
 * Updates the row, and before that as often as it takes for it to end with the version of the entry, so that a late
 * entry can be told from a new one.
 */
static enum result bring_forward(struct replay *replay, struct replayed_vehicle *replayed, const struct vehicle *before)
{
	struct vehicle *vehicle = &replayed->vehicle;
	uint32_t to = version_of(replay);

	if (to <= vehicle->version || to - vehicle->version > VERSIONS_MAX)
		to = vehicle->version + 1;
	for (uint32_t version = vehicle->version + 1; version < to; version++) {
		struct vehicle *step = arena_alloc(&replay->arena, sizeof(*step));
		if (step == NULL)
			return RESULT_MEMORY;
		*step = *before;
		step->version = version;
		TRY(add_write(replayed, (struct registry_write){.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = step}));
	}
	vehicle->version = to;
	vehicle->updated_at_ms = replay->at_ms;
	return add_write(replayed, (struct registry_write){.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = vehicle});
}

static enum result draft(struct replay *replay, struct replayed_vehicle *replayed)
{
	const struct vehicle before = replayed->vehicle;

	replayed->device_before = arena_copy_text(&replay->arena, span_of_text(before.device_id));
	if (replayed->device_before == NULL)
		return RESULT_MEMORY;
	TRY(replay_row(replay, replayed));
	TRY(replay_issued(replay, replayed));
	TRY(replay_revoked(replay, replayed));
	if (!replayed->is_changed)
		return RESULT_OK;
	return bring_forward(replay, replayed, &before);
}

static enum result apply_to(struct replay *replay, struct replayed_vehicle *replayed)
{
	TRY(draft(replay, replayed));
	if (replayed->write_count == 0)
		return RESULT_OK;
	TRY(commit_without_taken(replay, replayed));
	replay->report.vehicles += replayed->is_changed;
	replay->report.revoked += replayed->revoked;
	replay->report.entered += replayed->entered;
	return RESULT_OK;
}

/* A first provisioning has no purpose; that of a known vehicle is a conversion and has one. */
static bool made_the_vehicle(const struct replay *replay)
{
	return is_action(replay, "vehicle.provision") && text_of(replay, "purpose")[0] == '\0';
}

static enum result replay_vehicle(struct replay *replay)
{
	struct registry *registry = replay->platform->registry;
	struct replayed_vehicle *replayed = arena_alloc(&replay->arena, sizeof(*replayed));

	if (replayed == NULL)
		return RESULT_MEMORY;
	enum result result = registry->ops->get_vehicle(registry, &replay->tenant, &replay->reference_id,
							&replay->arena, &replayed->vehicle, replay->note);
	if (result == RESULT_OK)
		return apply_to(replay, replayed);
	if (result == RESULT_ABSENT && made_the_vehicle(replay))
		tell(replay, RESTORATION_VEHICLE_LOST);
	return result == RESULT_ABSENT ? RESULT_OK : result;
}

/* ---- claims ----------------------------------------------------------------------------------------- */

static enum result commit_claim_write(struct replay *replay, struct registry_write write)
{
	struct registry *registry = replay->platform->registry;
	struct change_set change = {.writes = &write, .count = 1};
	enum registry_conflict conflict;

	return registry->ops->commit(registry, &change, &conflict, replay->note);
}

/* One that is out there and that the backup does not know: entered as revoked, so that the gateway refuses it. */
static enum result enter_claim(struct replay *replay, const char *name)
{
	struct claim claim = {.tenant = replay->tenant,
			      .count_max = 1,
			      .is_revoked = true,
			      .revoked_at_ms = clock_now_ms(replay->platform->clock),
			      .not_after_ms = replay->at_ms + CERTIFICATE_DAYS_MAX * DAY_MS,
			      .created_at_ms = replay->at_ms};

	TRY(claim_name_parse(span_of_text(name), claim.name));
	TRY(hex_parse(span_of_text(text_of(replay, "serialNumber")), true, claim.serial.bytes, SERIAL_SIZE));
	TRY(commit_claim_write(replay, (struct registry_write){.kind = REGISTRY_INSERT_CLAIM, .claim = &claim}));
	replay->report.entered++;
	return RESULT_OK;
}

static enum result replay_claim(struct replay *replay, bool is_revoked)
{
	struct registry *registry = replay->platform->registry;
	const char *name = text_of(replay, "subject");
	struct claim claim;
	enum result result = registry->ops->get_claim(registry, &replay->tenant, name, &claim, replay->note);

	if (result == RESULT_ABSENT)
		return enter_claim(replay, name);
	if (result != RESULT_OK || !is_revoked || claim.is_revoked)
		return result;
	claim.revoked_at_ms = replay->at_ms;
	replay->report.revoked++;
	return commit_claim_write(replay, (struct registry_write){.kind = REGISTRY_REVOKE_CLAIM, .claim = &claim});
}

/*
 * A certificate issued ahead that the backup knows neither as that nor as a vehicle's: entered with a token that nobody
 * has and that is over, so that it is denied to its end. It is dated by when its own token was over, which leaves no
 * others beside it that wait.
 */
static enum result enter_ahead(struct replay *replay, const struct serial *serial)
{
	static const char prefix[] = "claim:";
	const char *actor = text_of(replay, "actor");
	const struct span parts[] = {span_of_text("vinveil restored ownership"), span_of(serial->bytes, SERIAL_SIZE)};
	struct ownership ownership = {.tenant = replay->tenant,
				      .serial = *serial,
				      .not_before_ms = replay->at_ms,
				      .not_after_ms = replay->at_ms + CERTIFICATE_DAYS_MAX * DAY_MS,
				      .created_at_ms = replay->at_ms + OWNERSHIP_LIFETIME_MS,
				      .expires_at_ms = replay->at_ms + OWNERSHIP_LIFETIME_MS};

	if (strncmp(actor, prefix, strlen(prefix)) != 0)
		return RESULT_INVALID;
	TRY(claim_name_parse(span_of_text(actor + strlen(prefix)), ownership.claim));
	TRY(sha256_parts(parts, 2, ownership.token_sha256));
	memcpy(ownership.spki_sha256, ownership.token_sha256, SHA256_SIZE);
	enum result result = commit_claim_write(
		replay, (struct registry_write){.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownership});
	replay->report.entered += result == RESULT_OK;
	return result == RESULT_CONFLICT ? RESULT_OK : result; /* it is known */
}

static enum result replay_ahead(struct replay *replay)
{
	struct registry *registry = replay->platform->registry;
	struct certificate_record record;
	struct serial serial;

	TRY(hex_parse(span_of_text(text_of(replay, "serialNumber")), true, serial.bytes, SERIAL_SIZE));
	enum result result = registry->ops->find_certificate(registry, &serial, &record, replay->note);
	return result == RESULT_ABSENT ? enter_ahead(replay, &serial) : result;
}

/* ---- the entries ------------------------------------------------------------------------------------ */

/* Changes whose content the trail does not hold. */
static bool needs_operator(const struct replay *replay)
{
	static const char *const actions[] = {
		"client.create",   "client.add-certificate", "client.remove-certificate",   "tenant.create",
		"device.manifest", "vehicle.import",	     "vehicle.rotate-reference-id", "vehicle.erase",
		"claim.create"};

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (is_action(replay, actions[i]))
			return true;
	return false;
}

static bool changes_vehicle(const struct replay *replay)
{
	return replay->has_reference_id && (json_object_get(replay->leaf, "state") != NULL ||
					    json_object_get(replay->leaf, "serialNumber") != NULL ||
					    json_object_get(replay->leaf, "revokedSerialNumbers") != NULL);
}

static enum result replay_leaf(struct replay *replay)
{
	if (strcmp(text_of(replay, "outcome"), "allowed") != 0)
		return RESULT_OK;
	TRY(read_common(replay));
	if (is_action(replay, "client.suspend"))
		return replay_client(replay, CLIENT_SUSPENDED);
	if (is_action(replay, "client.resume"))
		return replay_client(replay, CLIENT_ACTIVE);
	if (is_action(replay, "claim.create-certificate"))
		return replay_ahead(replay);
	if (is_action(replay, "claim.revoke"))
		return replay_claim(replay, true);
	if (is_action(replay, "claim.create"))
		TRY(replay_claim(replay, false));
	if (changes_vehicle(replay))
		TRY(replay_vehicle(replay));
	if (needs_operator(replay))
		tell(replay, RESTORATION_NOT_REPLAYED);
	return RESULT_OK;
}

static enum result replay_entry(struct replay *replay)
{
	struct audit_log *log = replay->platform->audit;
	JSON_CLEANUP json_t *leaf = NULL;
	struct span text;

	arena_reset(&replay->arena);
	TRY(log->ops->read(log, replay->index, &replay->arena, &text, replay->note));
	enum result result = json_read(text, &leaf, NULL);
	replay->leaf = leaf;
	if (result == RESULT_OK)
		result = replay_leaf(replay);
	replay->leaf = NULL;
	if (result == RESULT_INVALID) {
		note_set(replay->note, "entry %llu of the log is no leaf of this platform",
			 (unsigned long long)replay->index);
		return RESULT_CORRUPT;
	}
	return result;
}

enum result restoration_replay(const struct platform *platform, uint64_t from, restoration_found *found, void *context,
			       struct restoration_report *ret_report, struct note *note)
{
	struct replay replay = {.platform = platform,
				.found = found,
				.context = context,
				.note = note,
				.arena = {.size_max = ARENA_SIZE}};
	uint64_t end = platform->audit->ops->durable_size(platform->audit);
	enum result result = RESULT_OK;

	for (replay.index = from; replay.index < end && result == RESULT_OK; replay.index++) {
		result = replay_entry(&replay);
		replay.report.entries++;
	}
	arena_release(&replay.arena);
	if (result == RESULT_OK)
		*ret_report = replay.report;
	return result;
}
