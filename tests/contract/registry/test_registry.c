/*
 * The port's contract, operation by operation.
 */
#include "tests/contract/registry/fixture.h"

#include <stdio.h>

static const struct registry_adapter *adapter;
static struct fixture fixture;

#define REGISTRY      (fixture.registry)
#define ASK(op, ...)  (REGISTRY->ops->op(REGISTRY, __VA_ARGS__))
#define ASSERT_OK(op) assert_int_equal((op), RESULT_OK)

static int open_fixture(void **state)
{
	(void)state;
	fixture_open(&fixture, adapter);
	return 0;
}

static int close_fixture(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

static struct vehicle get(const struct tenant_id *tenant, const struct uuid *id)
{
	struct vehicle vehicle;

	ASSERT_OK(ASK(get_vehicle, tenant, id, &fixture.arena, &vehicle, NULL));
	return vehicle;
}

static uint64_t outbox_count(void)
{
	struct registry_counts counts;

	ASSERT_OK(ASK(count, &counts, NULL));
	return counts.outbox;
}

/* ---- vehicles -------------------------------------------------------------------------------------- */

static void a_vehicle_reads_back_as_it_was_written(void **state)
{
	(void)state;
	struct vehicle written = vehicle_numbered(1);

	written.attributes = "{\"model\":\"S1\"}";
	written.updated_at_ms = NOW_MS + 5;
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &written});
	struct vehicle read = get(&demo, &written.reference_id);
	assert_memory_equal(&read.reference_id, &written.reference_id, UUID_SIZE);
	assert_string_equal(read.tenant.text, "demo");
	assert_string_equal(read.device_id, "device-1");
	assert_int_equal(read.state, VEHICLE_PROVISIONED);
	assert_memory_equal(&read.sealed, &written.sealed, SEALED_VIN_SIZE);
	assert_int_equal(read.created_at_ms, NOW_MS);
	assert_int_equal(read.updated_at_ms, NOW_MS + 5);
	assert_int_equal(read.version, 1);
	assert_string_equal(read.attributes, "{\"model\":\"S1\"}");
}

static void no_attributes_read_back_as_none(void **state)
{
	(void)state;
	struct vehicle written = vehicle_numbered(1);

	written.attributes = "{}";
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &written});
	assert_null(get(&demo, &written.reference_id).attributes);
}

static void absent_and_foreign_vehicles_are_absent_alike(void **state)
{
	(void)state;
	const struct uuid mine = uuid_numbered(1), nobodys = uuid_numbered(2);
	struct vehicle vehicle;

	provision_ok(REGISTRY, 1);
	assert_int_equal(ASK(get_vehicle, &demo, &nobodys, &fixture.arena, &vehicle, NULL), RESULT_ABSENT);
	assert_int_equal(ASK(get_vehicle, &other, &mine, &fixture.arena, &vehicle, NULL), RESULT_ABSENT);
	const struct tenant_id unknown = {"unknown"};
	assert_int_equal(ASK(get_vehicle, &unknown, &mine, &fixture.arena, &vehicle, NULL), RESULT_ABSENT);
}

static void a_vehicle_is_found_by_its_device(void **state)
{
	(void)state;
	struct vehicle vehicle;
	const struct uuid id = uuid_numbered(3);

	provision_ok(REGISTRY, 3);
	ASSERT_OK(ASK(find_by_device, &demo, "device-3", &fixture.arena, &vehicle, NULL));
	assert_memory_equal(&vehicle.reference_id, &id, UUID_SIZE);
	assert_int_equal(ASK(find_by_device, &demo, "device-4", &fixture.arena, &vehicle, NULL), RESULT_ABSENT);
	assert_int_equal(ASK(find_by_device, &other, "device-3", &fixture.arena, &vehicle, NULL), RESULT_ABSENT);
}

static void uniqueness_is_refused_by_name(void **state)
{
	(void)state;
	struct vehicle same_reference = vehicle_numbered(1), same_device = vehicle_numbered(2);
	struct vehicle same_vin = vehicle_numbered(3);
	const struct vin_index_set first = index_numbered(1, 1), second = index_numbered(2, 1);
	const struct uuid leaf = uuid_numbered(9);
	enum registry_conflict conflict;

	provision_ok(REGISTRY, 1);
	snprintf(same_reference.device_id, sizeof(same_reference.device_id), "device-x");
	assert_int_equal(provision_as(REGISTRY, &same_reference, &second, &leaf, &conflict), RESULT_CONFLICT);
	assert_int_equal(conflict, REGISTRY_CONFLICT_REFERENCE_ID);
	snprintf(same_device.device_id, sizeof(same_device.device_id), "device-1");
	assert_int_equal(provision_as(REGISTRY, &same_device, &second, &leaf, &conflict), RESULT_CONFLICT);
	assert_int_equal(conflict, REGISTRY_CONFLICT_DEVICE_ID);
	assert_int_equal(provision_as(REGISTRY, &same_vin, &first, &leaf, &conflict), RESULT_CONFLICT);
	assert_int_equal(conflict, REGISTRY_CONFLICT_VIN_INDEX);
	assert_false(vehicle_is_there(&fixture, 2));
	assert_false(vehicle_is_there(&fixture, 3));
	assert_int_equal(outbox_count(), 1);
}

static void another_tenant_may_have_the_same_vin_and_device(void **state)
{
	(void)state;
	struct vehicle foreign = vehicle_numbered(2);
	const struct vin_index_set indexes = index_numbered(1, 1);
	const struct uuid leaf = uuid_numbered(9);
	enum registry_conflict conflict;

	provision_ok(REGISTRY, 1);
	foreign.tenant = other;
	snprintf(foreign.device_id, sizeof(foreign.device_id), "device-1");
	ASSERT_OK(provision_as(REGISTRY, &foreign, &indexes, &leaf, &conflict));

	struct uuid found;
	bool is_found;
	ASSERT_OK(ASK(find_by_index, &other, &indexes, 1, &found, &is_found, NULL));
	assert_true(is_found);
	assert_memory_equal(&found, &foreign.reference_id, UUID_SIZE);
}

static void many_vehicles_may_have_no_device(void **state)
{
	(void)state;
	struct vehicle first = vehicle_numbered(1), second = vehicle_numbered(2);

	first.device_id[0] = second.device_id[0] = '\0';
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &first},
	       {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &second});
	assert_string_equal(get(&demo, &first.reference_id).device_id, "");
}

static void updates_are_versioned(void **state)
{
	(void)state;
	const struct uuid id = uuid_numbered(1);

	provision_ok(REGISTRY, 1);
	provision_ok(REGISTRY, 2);
	struct vehicle vehicle = get(&demo, &id);
	vehicle.version = 2;
	vehicle.state = VEHICLE_SUSPENDED;
	vehicle.state_before_suspension = VEHICLE_ACTIVE;
	vehicle.updated_at_ms = NOW_MS + 1000;
	vehicle.attributes = "{\"a\":1}";
	snprintf(vehicle.device_id, sizeof(vehicle.device_id), "device-new");
	COMMIT(REGISTRY, {.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &vehicle});
	struct vehicle read = get(&demo, &id);
	assert_int_equal(read.version, 2);
	assert_int_equal(read.state, VEHICLE_SUSPENDED);
	assert_int_equal(read.state_before_suspension, VEHICLE_ACTIVE);
	assert_int_equal(read.updated_at_ms, NOW_MS + 1000);
	assert_int_equal(read.created_at_ms, NOW_MS);
	assert_string_equal(read.device_id, "device-new");
	assert_string_equal(read.attributes, "{\"a\":1}");

	REFUSED(REGISTRY, REGISTRY_CONFLICT_VERSION, {.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &vehicle});
	vehicle.version = 4;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_VERSION, {.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &vehicle});
	vehicle.version = 3;
	snprintf(vehicle.device_id, sizeof(vehicle.device_id), "device-2");
	REFUSED(REGISTRY, REGISTRY_CONFLICT_DEVICE_ID, {.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &vehicle});
	vehicle.tenant = other;
	snprintf(vehicle.device_id, sizeof(vehicle.device_id), "device-3");
	REFUSED(REGISTRY, REGISTRY_CONFLICT_VERSION, {.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &vehicle});
	assert_int_equal(get(&demo, &id).version, 2);
}

static void a_decommissioned_vehicle_frees_its_device_and_is_still_found_by_vin(void **state)
{
	(void)state;
	const struct uuid id = uuid_numbered(1);
	const struct vin_index_set index = index_numbered(1, 1);
	struct vehicle found;
	struct uuid found_id;
	bool is_found;

	provision_ok(REGISTRY, 1);
	struct vehicle vehicle = get(&demo, &id);
	vehicle.version = 2;
	vehicle.state = VEHICLE_DECOMMISSIONED;
	COMMIT(REGISTRY, {.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &vehicle});
	assert_string_equal(get(&demo, &id).device_id, "");
	assert_int_equal(ASK(find_by_device, &demo, "device-1", &fixture.arena, &found, NULL), RESULT_ABSENT);
	ASSERT_OK(ASK(find_by_index, &demo, &index, 1, &found_id, &is_found, NULL));
	assert_true(is_found);
}

static void a_change_set_is_written_whole_or_not_at_all(void **state)
{
	(void)state;
	const struct vehicle good = vehicle_numbered(1), bad = vehicle_numbered(1);
	const struct device_manifest_entry device = {.tenant = demo, .device_id = "device-1"};
	enum device_put put;
	const struct audit_leaf leaf = {.json = span_of_text("{}"), .leaf_id = uuid_numbered(5)};
	struct device_manifest_entry read;

	REFUSED(REGISTRY, REGISTRY_CONFLICT_REFERENCE_ID,
		{.kind = REGISTRY_PUT_DEVICE, .device = {.entry = &device, .ret_device = &put}},
		{.kind = REGISTRY_ADD_LEAF, .leaf = &leaf}, {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &good},
		{.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &bad});
	assert_false(vehicle_is_there(&fixture, 1));
	assert_int_equal(ASK(get_device, &demo, "device-1", &read, NULL), RESULT_ABSENT);
	assert_int_equal(outbox_count(), 0);
}

static void a_name_met_first_in_a_refused_change_is_not_remembered(void **state)
{
	(void)state;
	const struct tenant fresh = {.id = {"fresh"}, .created_at_ms = NOW_MS};
	struct vehicle vehicle = vehicle_numbered(1);

	provision_ok(REGISTRY, 1);
	vehicle.tenant = fresh.id;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_REFERENCE_ID, {.kind = REGISTRY_INSERT_TENANT, .tenant = &fresh},
		{.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &vehicle});
	vehicle.reference_id = uuid_numbered(2);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_TENANT, {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &vehicle});
}

static void a_change_set_is_bounded(void **state)
{
	(void)state;
	const struct change_set change = {.count = CHANGE_SET_WRITES_MAX + 1};
	enum registry_conflict conflict;

	assert_int_equal(ASK(commit, &change, &conflict, NULL), RESULT_INVALID);
}

static void lookups_answer_in_the_order_asked(void **state)
{
	(void)state;
	struct vin_index_set sets[3] = {index_numbered(2, 1), index_numbered(9, 1), index_numbered(1, 1)};
	struct uuid ids[3];
	bool found[3];
	const struct uuid first = uuid_numbered(1), second = uuid_numbered(2);

	provision_ok(REGISTRY, 1);
	provision_ok(REGISTRY, 2);
	ASSERT_OK(ASK(find_by_index, &demo, sets, 3, ids, found, NULL));
	assert_true(found[0] && !found[1] && found[2]);
	assert_memory_equal(&ids[0], &second, UUID_SIZE);
	assert_memory_equal(&ids[2], &first, UUID_SIZE);
	ASSERT_OK(ASK(find_by_index, &other, sets, 3, ids, found, NULL));
	assert_false(found[0] || found[1] || found[2]);
	const struct tenant_id unknown = {"unknown"};
	found[0] = true;
	ASSERT_OK(ASK(find_by_index, &unknown, sets, 1, ids, found, NULL));
	assert_false(found[0]);
}

static void scanning_pages_in_insertion_order(void **state)
{
	(void)state;
	uint64_t cursor = 0;
	uint32_t seen = 0;
	struct vehicle foreign = vehicle_numbered(1000);

	foreign.tenant = other;
	for (uint32_t i = 1; i <= 25; i++) {
		provision_ok(REGISTRY, i);
		if (i == 12)
			COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &foreign});
	}
	do {
		struct vehicle_page page;

		ASSERT_OK(ASK(scan_vehicles, &demo, 0, cursor, 10, &fixture.arena, &page, NULL));
		for (size_t i = 0; i < page.count; i++) {
			const struct uuid expected = uuid_numbered(++seen);
			assert_memory_equal(&page.vehicles[i].reference_id, &expected, UUID_SIZE);
		}
		cursor = page.next_cursor;
		assert_true(page.count == 10 || cursor == 0);
	} while (cursor != 0);
	assert_int_equal(seen, 25);
}

static void scanning_by_state_sees_that_state_only(void **state)
{
	(void)state;
	struct vehicle_page page;
	const struct uuid id = uuid_numbered(2);

	for (uint32_t i = 1; i <= 4; i++)
		provision_ok(REGISTRY, i);
	struct vehicle vehicle = get(&demo, &id);
	vehicle.version = 2;
	vehicle.state = VEHICLE_ACTIVE;
	COMMIT(REGISTRY, {.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &vehicle});
	ASSERT_OK(ASK(scan_vehicles, &demo, VEHICLE_ACTIVE, 0, 10, &fixture.arena, &page, NULL));
	assert_int_equal(page.count, 1);
	assert_memory_equal(&page.vehicles[0].reference_id, &id, UUID_SIZE);
	ASSERT_OK(ASK(scan_vehicles, &demo, VEHICLE_PROVISIONED, 0, 3, &fixture.arena, &page, NULL));
	assert_int_equal(page.count, 3);
	assert_int_equal(page.next_cursor, 0);
	ASSERT_OK(ASK(scan_vehicles, &other, 0, 0, 10, &fixture.arena, &page, NULL));
	assert_int_equal(page.count, 0);
	/* Any state: still in the order of insertion, not of state. */
	ASSERT_OK(ASK(scan_vehicles, &demo, 0, 0, 10, &fixture.arena, &page, NULL));
	assert_int_equal(page.count, 4);
	assert_memory_equal(&page.vehicles[1].reference_id, &id, UUID_SIZE);
}

/* ---- history and certificates ---------------------------------------------------------------------- */

static void history_is_newest_first_and_pages(void **state)
{
	(void)state;
	const struct uuid id = uuid_numbered(1);
	const struct serial serial = serial_numbered(1);
	struct history_entry *entries;
	size_t count;

	provision_ok(REGISTRY, 1);
	const struct history_entry changed = {.at_ms = NOW_MS + 10,
					      .actor = "service-center",
					      .event = HISTORY_DEVICE_CHANGED,
					      .from = "device-1",
					      .to = "device-2"};
	const struct history_entry revoked = {.at_ms = NOW_MS + 20,
					      .actor = "admin",
					      .event = HISTORY_CERTIFICATE_REVOKED,
					      .has_serial = true,
					      .serial = serial,
					      .reason = REVOCATION_SUPERSEDED};
	COMMIT(REGISTRY, {.kind = REGISTRY_APPEND_HISTORY, .history = {.reference_id = &id, .entry = &changed}},
	       {.kind = REGISTRY_APPEND_HISTORY, .history = {.reference_id = &id, .entry = &revoked}});
	ASSERT_OK(ASK(get_history, &demo, &id, 0, 2, &fixture.arena, &entries, &count, NULL));
	assert_int_equal(count, 2);
	assert_int_equal(entries[0].event, HISTORY_CERTIFICATE_REVOKED);
	assert_int_equal(entries[0].at_ms, NOW_MS + 20);
	assert_string_equal(entries[0].actor, "admin");
	assert_true(entries[0].has_serial);
	assert_memory_equal(&entries[0].serial, &serial, SERIAL_SIZE);
	assert_int_equal(entries[0].reason, REVOCATION_SUPERSEDED);
	assert_string_equal(entries[1].from, "device-1");
	assert_string_equal(entries[1].to, "device-2");
	assert_false(entries[1].has_serial);
	ASSERT_OK(ASK(get_history, &demo, &id, entries[1].number, 2, &fixture.arena, &entries, &count, NULL));
	assert_int_equal(count, 1);
	assert_int_equal(entries[0].event, HISTORY_PROVISIONED);
	assert_int_equal(entries[0].at_ms, NOW_MS);
	assert_int_equal(ASK(get_history, &other, &id, 0, 2, &fixture.arena, &entries, &count, NULL), RESULT_ABSENT);
}

static void certificates_are_kept_and_revoked_once(void **state)
{
	(void)state;
	const struct vehicle vehicle = vehicle_numbered(1);
	const struct certificate_record first = certificate_numbered(1, &vehicle);
	const struct certificate_record second = certificate_numbered(2, &vehicle);
	struct certificate_record *records;
	struct revoked_certificate *revoked;
	size_t count;

	provision_ok(REGISTRY, 1);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &first});
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &second});
	COMMIT(REGISTRY,
	       {.kind = REGISTRY_REVOKE_CERTIFICATE,
		.revoke = {.serial = &first.serial, .reason = REVOCATION_KEY_COMPROMISE, .at_ms = NOW_MS + 1}});
	COMMIT(REGISTRY, {.kind = REGISTRY_REVOKE_CERTIFICATE,
			  .revoke = {.serial = &first.serial, .reason = REVOCATION_SUPERSEDED, .at_ms = NOW_MS + 2}});
	ASSERT_OK(ASK(get_certificates, &demo, &vehicle.reference_id, 10, &fixture.arena, &records, &count, NULL));
	assert_int_equal(count, 2);
	assert_memory_equal(&records[0].serial, &second.serial, SERIAL_SIZE);
	assert_false(records[0].is_revoked);
	assert_true(records[1].is_revoked);
	assert_int_equal(records[1].revoked_at_ms, NOW_MS + 1);
	assert_int_equal(records[1].reason, REVOCATION_KEY_COMPROMISE);
	assert_string_equal(records[1].device_id, "device-1");
	assert_memory_equal(records[1].spki_sha256, first.spki_sha256, SHA256_SIZE);
	assert_int_equal(records[1].not_after_ms, first.not_after_ms);
	assert_int_equal(
		ASK(get_certificates, &other, &vehicle.reference_id, 10, &fixture.arena, &records, &count, NULL),
		RESULT_ABSENT);

	ASSERT_OK(ASK(get_valid_certificates, &demo, &vehicle.reference_id, NOW_MS, 10, &fixture.arena, &records,
		      &count, NULL));
	assert_int_equal(count, 1);
	assert_memory_equal(&records[0].serial, &second.serial, SERIAL_SIZE);
	ASSERT_OK(ASK(get_valid_certificates, &demo, &vehicle.reference_id, second.not_after_ms, 10, &fixture.arena,
		      &records, &count, NULL));
	assert_int_equal(count, 0);
	assert_int_equal(ASK(get_valid_certificates, &other, &vehicle.reference_id, NOW_MS, 10, &fixture.arena,
			     &records, &count, NULL),
			 RESULT_ABSENT);

	ASSERT_OK(ASK(scan_revoked, NOW_MS, &fixture.arena, &revoked, &count, NULL));
	assert_int_equal(count, 1);
	assert_memory_equal(&revoked[0].serial, &first.serial, SERIAL_SIZE);
	assert_int_equal(revoked[0].reason, REVOCATION_KEY_COMPROMISE);
	ASSERT_OK(ASK(scan_revoked, first.not_after_ms, &fixture.arena, &revoked, &count, NULL));
	assert_int_equal(count, 0);
}

static void revoking_what_is_not_there_is_told(void **state)
{
	(void)state;
	const struct serial serial = serial_numbered(1);
	const struct registry_write write = {.kind = REGISTRY_REVOKE_CERTIFICATE,
					     .revoke = {.serial = &serial, .reason = REVOCATION_UNSPECIFIED}};
	enum registry_conflict conflict;

	assert_int_equal(commit_try(REGISTRY, &write, 1, &conflict), RESULT_ABSENT);
}

static void a_key_belongs_to_one_vehicle_and_device_for_ever(void **state)
{
	(void)state;
	const struct vehicle vehicle = vehicle_numbered(1), second = vehicle_numbered(2);
	struct certificate_record certificate = certificate_numbered(1, &vehicle);
	struct uuid id;
	char device_id[DEVICE_ID_SIZE];

	provision_ok(REGISTRY, 1);
	provision_ok(REGISTRY, 2);
	assert_int_equal(ASK(find_certified_key, &demo, certificate.spki_sha256, &id, device_id, NULL), RESULT_ABSENT);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &certificate});
	ASSERT_OK(ASK(find_certified_key, &demo, certificate.spki_sha256, &id, device_id, NULL));
	assert_memory_equal(&id, &vehicle.reference_id, UUID_SIZE);
	assert_string_equal(device_id, "device-1");
	assert_int_equal(ASK(find_certified_key, &other, certificate.spki_sha256, &id, device_id, NULL), RESULT_ABSENT);

	/* the same key again for its own vehicle and device: a renewal */
	certificate.serial = serial_numbered(2);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &certificate});
	/* another device of that vehicle */
	certificate.serial = serial_numbered(3);
	snprintf(certificate.device_id, sizeof(certificate.device_id), "device-new");
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CERTIFIED_KEY,
		{.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &certificate});
	/* another vehicle */
	snprintf(certificate.device_id, sizeof(certificate.device_id), "device-1");
	certificate.reference_id = second.reference_id;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CERTIFIED_KEY,
		{.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &certificate});
	/* a serial number that is taken */
	struct certificate_record taken = certificate_numbered(7, &vehicle);
	taken.serial = serial_numbered(1);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CERTIFIED_KEY,
		{.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &taken});
}

/* ---- devices, tenants, clients --------------------------------------------------------------------- */

static enum device_put put(const struct device_manifest_entry *entry)
{
	enum device_put result = DEVICE_ADDED;

	COMMIT(REGISTRY, {.kind = REGISTRY_PUT_DEVICE, .device = {.entry = entry, .ret_device = &result}});
	return result;
}

static void a_known_device_is_never_overwritten(void **state)
{
	(void)state;
	struct device_manifest_entry entry = {
		.tenant = demo, .device_id = "d-1", .model = "T", .manufacturer = "M", .has_key = true};
	struct device_manifest_entry read;

	memset(entry.public_key_sha256, 7, SHA256_SIZE);
	assert_int_equal(put(&entry), DEVICE_ADDED);
	assert_int_equal(put(&entry), DEVICE_KNOWN);
	entry.has_key = false;
	assert_int_equal(put(&entry), DEVICE_KNOWN);
	entry.has_key = true;
	entry.public_key_sha256[0] = 8;
	assert_int_equal(put(&entry), DEVICE_OTHER_KEY);
	ASSERT_OK(ASK(get_device, &demo, "d-1", &read, NULL));
	assert_true(read.has_key);
	assert_int_equal(read.public_key_sha256[0], 7);
	assert_string_equal(read.model, "T");
	assert_string_equal(read.manufacturer, "M");
	assert_string_equal(read.device_id, "d-1");
	assert_int_equal(ASK(get_device, &other, "d-1", &read, NULL), RESULT_ABSENT);
	entry.tenant = other;
	assert_int_equal(put(&entry), DEVICE_ADDED);
	/* A key for a device that was delivered without one is another key. */
	struct device_manifest_entry keyless = {.tenant = demo, .device_id = "d-2"};
	assert_int_equal(put(&keyless), DEVICE_ADDED);
	keyless.has_key = true;
	assert_int_equal(put(&keyless), DEVICE_OTHER_KEY);
}

static void tenants_are_listed(void **state)
{
	(void)state;
	struct tenant *tenants, tenant;
	const struct tenant again = {.id = demo};
	const struct tenant_id unknown = {"unknown"};
	size_t count;

	ASSERT_OK(ASK(list_tenants, &fixture.arena, &tenants, &count, NULL));
	assert_int_equal(count, 2);
	assert_string_equal(tenants[0].id.text, "demo");
	assert_true(tenants[0].manifest_required);
	ASSERT_OK(ASK(get_tenant, &other, &tenant, NULL));
	assert_int_equal(tenant.check_digit, CHECK_DIGIT_WARN);
	assert_false(tenant.manifest_required);
	assert_int_equal(tenant.created_at_ms, NOW_MS + 1);
	assert_int_equal(ASK(get_tenant, &unknown, &tenant, NULL), RESULT_ABSENT);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_TENANT, {.kind = REGISTRY_INSERT_TENANT, .tenant = &again});
}

static struct client client_named(const char *id, uint8_t fingerprint)
{
	struct client client = {
		.tenant = demo,
		.scopes = SCOPE_REFID_LOOKUP | SCOPE_PLATFORM_AUDIT,
		.purposes = {"customer-service", "legal-request"},
		.purpose_count = 2,
		.limits = {5, 10},
		.state = CLIENT_ACTIVE,
		.fingerprint_count = 1,
		.created_at_ms = NOW_MS,
		.version = 1,
	};

	snprintf(client.id, sizeof(client.id), "%s", id);
	memset(client.fingerprints[0], fingerprint, SHA256_SIZE);
	return client;
}

static void clients_are_kept_whole(void **state)
{
	(void)state;
	const struct client crm = client_named("crm", 1);
	struct client *clients, changed = crm;
	size_t count;

	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_CLIENT, .client = &crm});
	ASSERT_OK(ASK(list_clients, &fixture.arena, &clients, &count, NULL));
	assert_int_equal(count, 1);
	assert_memory_equal(&clients[0].tenant, &demo, sizeof(demo));
	assert_string_equal(clients[0].id, "crm");
	assert_int_equal(clients[0].scopes, crm.scopes);
	assert_int_equal(clients[0].purpose_count, 2);
	assert_string_equal(clients[0].purposes[1], "legal-request");
	assert_int_equal(clients[0].limits.burst, 10);
	assert_int_equal(clients[0].fingerprint_count, 1);
	assert_memory_equal(clients[0].fingerprints[0], crm.fingerprints[0], SHA256_SIZE);
	assert_int_equal(clients[0].version, 1);

	changed.version = 2;
	changed.state = CLIENT_SUSPENDED;
	changed.scopes = SCOPE_ADMIN;
	changed.purpose_count = 1;
	changed.fingerprint_count = 2;
	memset(changed.fingerprints[1], 9, SHA256_SIZE);
	COMMIT(REGISTRY, {.kind = REGISTRY_UPDATE_CLIENT, .client = &changed});
	ASSERT_OK(ASK(list_clients, &fixture.arena, &clients, &count, NULL));
	assert_int_equal(count, 1);
	assert_int_equal(clients[0].state, CLIENT_SUSPENDED);
	assert_int_equal(clients[0].scopes, SCOPE_ADMIN);
	assert_int_equal(clients[0].purpose_count, 1);
	assert_int_equal(clients[0].fingerprint_count, 2);
	assert_int_equal(clients[0].fingerprints[1][0], 9);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_VERSION, {.kind = REGISTRY_UPDATE_CLIENT, .client = &changed});
}

static void client_ids_and_fingerprints_are_unique(void **state)
{
	(void)state;
	const struct client crm = client_named("crm", 1), same_id = client_named("crm", 2);
	const struct client same_fingerprint = client_named("crm-2", 1);
	struct client foreign = client_named("crm", 1);

	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_CLIENT, .client = &crm});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLIENT, {.kind = REGISTRY_INSERT_CLIENT, .client = &same_id});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLIENT, {.kind = REGISTRY_INSERT_CLIENT, .client = &same_fingerprint});
	foreign.tenant = other;
	foreign.version = 2;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLIENT, {.kind = REGISTRY_UPDATE_CLIENT, .client = &foreign});
}

/* ---- reveals, idempotency -------------------------------------------------------------------------- */

static void a_reveal_moves_one_status_at_a_time(void **state)
{
	(void)state;
	struct reveal_request reveal = {
		.id = uuid_numbered(1),
		.tenant = demo,
		.reference_id = uuid_numbered(2),
		.purpose = "legal-request",
		.reason = "court order",
		.ticket = "T-1",
		.requested_by = "investigator",
		.status = REVEAL_PENDING,
		.created_at_ms = NOW_MS,
		.expires_at_ms = NOW_MS + 1000,
	};
	struct reveal_request read;
	const struct uuid unknown = uuid_numbered(3);

	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_REVEAL, .reveal = &reveal});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_REVEAL, {.kind = REGISTRY_INSERT_REVEAL, .reveal = &reveal});
	reveal.status = REVEAL_OPENED;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_REVEAL, {.kind = REGISTRY_UPDATE_REVEAL, .reveal = &reveal});
	reveal.status = REVEAL_APPROVED;
	snprintf(reveal.approved_by, sizeof(reveal.approved_by), "approver");
	reveal.expires_at_ms = NOW_MS + 2000;
	COMMIT(REGISTRY, {.kind = REGISTRY_UPDATE_REVEAL, .reveal = &reveal});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_REVEAL, {.kind = REGISTRY_UPDATE_REVEAL, .reveal = &reveal});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_REVEAL, {.kind = REGISTRY_RESTORE_REVEAL, .reveal = &reveal});
	reveal.status = REVEAL_OPENED;
	COMMIT(REGISTRY, {.kind = REGISTRY_UPDATE_REVEAL, .reveal = &reveal});
	COMMIT(REGISTRY, {.kind = REGISTRY_RESTORE_REVEAL, .reveal = &reveal});
	ASSERT_OK(ASK(get_reveal, &demo, &reveal.id, &read, NULL));
	assert_int_equal(read.status, REVEAL_APPROVED);
	assert_string_equal(read.purpose, "legal-request");
	assert_string_equal(read.reason, "court order");
	assert_string_equal(read.ticket, "T-1");
	assert_string_equal(read.requested_by, "investigator");
	assert_string_equal(read.approved_by, "approver");
	assert_int_equal(read.expires_at_ms, NOW_MS + 2000);
	assert_memory_equal(&read.reference_id, &reveal.reference_id, UUID_SIZE);
	assert_int_equal(ASK(get_reveal, &other, &reveal.id, &read, NULL), RESULT_ABSENT);
	assert_int_equal(ASK(get_reveal, &demo, &unknown, &read, NULL), RESULT_ABSENT);
}

static struct idempotency_record answer_keyed(const char *key)
{
	struct idempotency_record record = {.client_id = "crm", .route = "POST /v1/vehicles", .created_at_ms = NOW_MS};

	snprintf(record.key, sizeof(record.key), "%s", key);
	memset(record.fingerprint, 3, SHA256_SIZE);
	return record;
}

static enum result find_answer(const char *key, struct idempotency_record *ret_record)
{
	return ASK(get_idempotency, "crm", "POST /v1/vehicles", key, &fixture.arena, ret_record, NULL);
}

static void an_answer_is_kept_for_a_day(void **state)
{
	(void)state;
	struct idempotency_record record = answer_keyed("k"), read;

	assert_int_equal(find_answer("k", &read), RESULT_ABSENT);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_IDEMPOTENCY, .idempotency = &record});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_IDEMPOTENCY, {.kind = REGISTRY_INSERT_IDEMPOTENCY, .idempotency = &record});
	ASSERT_OK(find_answer("k", &read));
	assert_int_equal(read.status, 0);
	assert_null(read.body);
	record.status = 201;
	record.body = "{\"x\":1}";
	record.has_serial = true;
	record.serial = serial_numbered(1);
	record.reference_id = uuid_numbered(1);
	COMMIT(REGISTRY, {.kind = REGISTRY_UPDATE_IDEMPOTENCY, .idempotency = &record});
	ASSERT_OK(find_answer("k", &read));
	assert_int_equal(read.status, 201);
	assert_string_equal(read.body, "{\"x\":1}");
	assert_true(read.has_serial);
	assert_memory_equal(&read.serial, &record.serial, SERIAL_SIZE);
	assert_memory_equal(&read.reference_id, &record.reference_id, UUID_SIZE);
	assert_memory_equal(read.fingerprint, record.fingerprint, SHA256_SIZE);
	assert_int_equal(read.created_at_ms, NOW_MS);
	/* What is answered cannot be abandoned. */
	REFUSED(REGISTRY, REGISTRY_CONFLICT_IDEMPOTENCY, {.kind = REGISTRY_DELETE_IDEMPOTENCY, .idempotency = &record});

	fixture.clock.now_ms += DAY_MS;
	assert_int_equal(find_answer("k", &read), RESULT_ABSENT);
	record = answer_keyed("k");
	record.created_at_ms = fixture.clock.now_ms;
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_IDEMPOTENCY, .idempotency = &record});
	ASSERT_OK(find_answer("k", &read));
	assert_int_equal(read.status, 0);
}

static void only_the_owner_touches_a_running_answer(void **state)
{
	(void)state;
	struct idempotency_record record = answer_keyed("k"), stranger = record, read;

	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_IDEMPOTENCY, .idempotency = &record});
	stranger.created_at_ms++;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_IDEMPOTENCY,
		{.kind = REGISTRY_UPDATE_IDEMPOTENCY, .idempotency = &stranger});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_IDEMPOTENCY,
		{.kind = REGISTRY_DELETE_IDEMPOTENCY, .idempotency = &stranger});
	COMMIT(REGISTRY, {.kind = REGISTRY_DELETE_IDEMPOTENCY, .idempotency = &record});
	assert_int_equal(find_answer("k", &read), RESULT_ABSENT);
}

/* ---- key rotation ---------------------------------------------------------------------------------- */

static struct registry_write reseal_write(const struct vehicle *vehicle, const struct sealed_vin *expected,
					  const struct sealed_vin *sealed, const struct vin_index *index)
{
	return (struct registry_write){
		.kind = REGISTRY_RESEAL,
		.reseal = {.tenant = &vehicle->tenant,
			   .reference_id = &vehicle->reference_id,
			   .expected_sealed = expected,
			   .sealed = sealed,
			   .index = index},
	};
}

static void resealing_adds_an_index_and_keeps_the_version(void **state)
{
	(void)state;
	const struct vehicle vehicle = vehicle_numbered(1), second = vehicle_numbered(2);
	const struct sealed_vin sealed = vehicle_numbered(99).sealed;
	const struct vin_index_set first = index_numbered(1, 1), next = index_numbered(1, 2);
	struct vehicle_page page;
	struct uuid id;
	bool found;

	provision_ok(REGISTRY, 1);
	provision_ok(REGISTRY, 2);
	ASSERT_OK(ASK(scan_stale, &demo, 2, 0, 10, &fixture.arena, &page, NULL));
	assert_int_equal(page.count, 2);
	COMMIT(REGISTRY, reseal_write(&vehicle, &vehicle.sealed, &sealed, &next.indexes[0]));
	ASSERT_OK(ASK(scan_stale, &demo, 2, 0, 10, &fixture.arena, &page, NULL));
	assert_int_equal(page.count, 1);
	assert_memory_equal(&page.vehicles[0].reference_id, &second.reference_id, UUID_SIZE);
	struct vehicle read = get(&demo, &vehicle.reference_id);
	assert_int_equal(read.version, 1);
	assert_memory_equal(&read.sealed, &sealed, SEALED_VIN_SIZE);
	const struct vin_index_set both[2] = {first, next};
	for (size_t i = 0; i < 2; i++) {
		ASSERT_OK(ASK(find_by_index, &demo, &both[i], 1, &id, &found, NULL));
		assert_true(found);
	}
	/* The blob has moved on. */
	REFUSED(REGISTRY, REGISTRY_CONFLICT_GENERATION,
		reseal_write(&vehicle, &vehicle.sealed, &sealed, &next.indexes[0]));
	/* Another vehicle's index. */
	REFUSED(REGISTRY, REGISTRY_CONFLICT_VIN_INDEX,
		reseal_write(&second, &second.sealed, &sealed, &next.indexes[0]));
	/* An update by somebody who read before does not bring the old blob back. */
	read.version = 2;
	read.sealed = vehicle.sealed;
	COMMIT(REGISTRY, {.kind = REGISTRY_UPDATE_VEHICLE, .vehicle = &read});
	read = get(&demo, &vehicle.reference_id);
	assert_memory_equal(&read.sealed, &sealed, SEALED_VIN_SIZE);
}

static void a_generation_is_dropped_when_no_vehicle_needs_it(void **state)
{
	(void)state;
	const struct sealed_vin sealed = vehicle_numbered(99).sealed;
	struct vin_index_set sets[2];
	struct uuid ids[2];
	bool found[2];
	size_t removed = 0, total = 0;

	for (uint32_t i = 1; i <= 5; i++)
		provision_ok(REGISTRY, i);
	for (uint32_t i = 1; i <= 5; i++) {
		const struct vehicle vehicle = vehicle_numbered(i);
		const struct vin_index_set next = index_numbered(i, 2);

		assert_int_equal(ASK(drop_generation, &demo, 1, 2, &removed, NULL), RESULT_CONFLICT);
		COMMIT(REGISTRY, reseal_write(&vehicle, &vehicle.sealed, &sealed, &next.indexes[0]));
	}
	do {
		ASSERT_OK(ASK(drop_generation, &demo, 1, 2, &removed, NULL));
		assert_true(removed <= 2);
		total += removed;
	} while (removed > 0);
	assert_int_equal(total, 5);
	sets[0] = index_numbered(1, 1);
	sets[1] = index_numbered(1, 2);
	ASSERT_OK(ASK(find_by_index, &demo, sets, 2, ids, found, NULL));
	assert_false(found[0]);
	assert_true(found[1]);
	assert_int_equal(ASK(drop_generation, &demo, 2, 2, &removed, NULL), RESULT_CONFLICT);
}

static void indexes_of_a_dropped_generation_are_not_written(void **state)
{
	(void)state;
	const struct sealed_vin sealed = vehicle_numbered(99).sealed;
	const struct vehicle vehicle = vehicle_numbered(1), late = vehicle_numbered(2);
	const struct vin_index_set next = index_numbered(1, 2), late_index = index_numbered(2, 1);
	struct vin_index_set both = index_numbered(2, 2);
	const struct uuid leaf = uuid_numbered(9);
	struct uuid id;
	enum registry_conflict conflict;
	size_t removed;
	bool found;

	provision_ok(REGISTRY, 1);
	COMMIT(REGISTRY, reseal_write(&vehicle, &vehicle.sealed, &sealed, &next.indexes[0]));
	ASSERT_OK(ASK(drop_generation, &demo, 1, 10, &removed, NULL));
	/* Asked keyd before the rotation, commits after it. */
	assert_int_equal(provision_as(REGISTRY, &late, &late_index, &leaf, &conflict), RESULT_CONFLICT);
	assert_int_equal(conflict, REGISTRY_CONFLICT_GENERATION);
	both.indexes[1] = late_index.indexes[0];
	both.count = 2;
	ASSERT_OK(provision_as(REGISTRY, &late, &both, &leaf, &conflict));
	ASSERT_OK(ASK(find_by_index, &demo, &both, 1, &id, &found, NULL));
	assert_true(found);
	ASSERT_OK(ASK(find_by_index, &demo, &late_index, 1, &id, &found, NULL));
	assert_false(found);
}

/* ---- outbox, health -------------------------------------------------------------------------------- */

static void the_outbox_is_read_oldest_first_and_forgotten(void **state)
{
	(void)state;
	struct outbox_leaf *leaves;
	size_t count;

	for (uint32_t i = 1; i <= 3; i++)
		provision_ok(REGISTRY, i);
	ASSERT_OK(ASK(read_outbox, 2, &fixture.arena, &leaves, &count, NULL));
	assert_int_equal(count, 2);
	const struct uuid first = uuid_numbered(1 + 0x40000000u);
	assert_memory_equal(&leaves[0].leaf_id, &first, UUID_SIZE);
	assert_int_equal(leaves[0].log_size, 7);
	assert_true(span_is_text(leaves[0].json, "{\"action\":\"provision\"}"));
	const struct uuid forget[2] = {leaves[0].leaf_id, leaves[1].leaf_id};
	REGISTRY->ops->forget_outbox(REGISTRY, forget, 2);
	assert_int_equal(outbox_count(), 1);
	ASSERT_OK(ASK(read_outbox, 10, &fixture.arena, &leaves, &count, NULL));
	assert_int_equal(count, 1);
	REGISTRY->ops->forget_outbox(REGISTRY, &leaves[0].leaf_id, 1);
	fixture_reopen(&fixture);
	assert_int_equal(outbox_count(), 0);
}

static void counts_follow(void **state)
{
	(void)state;
	struct registry_counts counts;

	for (uint32_t i = 1; i <= 3; i++)
		provision_ok(REGISTRY, i);
	ASSERT_OK(ASK(count, &counts, NULL));
	assert_int_equal(counts.vehicles, 3);
	assert_int_equal(counts.outbox, 3);
	ASSERT_OK(ASK(check, NULL));
}

static void everything_is_there_after_reopening(void **state)
{
	(void)state;
	const struct vin_index_set index = index_numbered(1, 1);
	struct uuid id;
	bool found;

	provision_ok(REGISTRY, 1);
	fixture_reopen(&fixture);
	assert_true(vehicle_is_there(&fixture, 1));
	ASSERT_OK(ASK(find_by_index, &demo, &index, 1, &id, &found, NULL));
	assert_true(found);
	assert_int_equal(outbox_count(), 1);
}

static void writes_that_name_nobody_are_refused(void **state)
{
	(void)state;
	const struct vehicle vehicle = vehicle_numbered(1);
	const struct vin_index_set indexes = index_numbered(1, 1);
	const struct certificate_record certificate = certificate_numbered(1, &vehicle);
	const struct history_entry entry = {.at_ms = NOW_MS, .actor = "a", .event = HISTORY_STATE_CHANGED};
	struct vehicle homeless = vehicle;

	REFUSED(REGISTRY, REGISTRY_CONFLICT_REFERENCE_ID,
		{.kind = REGISTRY_INSERT_INDEXES,
		 .vin = {.reference_id = &vehicle.reference_id, .tenant = &demo, .indexes = &indexes}});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_REFERENCE_ID,
		{.kind = REGISTRY_APPEND_HISTORY, .history = {.reference_id = &vehicle.reference_id, .entry = &entry}});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_REFERENCE_ID,
		{.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &certificate});
	homeless.tenant = (struct tenant_id){"nowhere"};
	REFUSED(REGISTRY, REGISTRY_CONFLICT_TENANT, {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &homeless});
	provision_ok(REGISTRY, 1);
	/* another tenant's vehicle */
	REFUSED(REGISTRY, REGISTRY_CONFLICT_REFERENCE_ID,
		{.kind = REGISTRY_INSERT_INDEXES,
		 .vin = {.reference_id = &vehicle.reference_id, .tenant = &other, .indexes = &indexes}});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_vehicle_reads_back_as_it_was_written),
		TEST(no_attributes_read_back_as_none),
		TEST(absent_and_foreign_vehicles_are_absent_alike),
		TEST(a_vehicle_is_found_by_its_device),
		TEST(uniqueness_is_refused_by_name),
		TEST(another_tenant_may_have_the_same_vin_and_device),
		TEST(many_vehicles_may_have_no_device),
		TEST(updates_are_versioned),
		TEST(a_decommissioned_vehicle_frees_its_device_and_is_still_found_by_vin),
		TEST(a_change_set_is_written_whole_or_not_at_all),
		TEST(a_name_met_first_in_a_refused_change_is_not_remembered),
		TEST(a_change_set_is_bounded),
		TEST(lookups_answer_in_the_order_asked),
		TEST(scanning_pages_in_insertion_order),
		TEST(scanning_by_state_sees_that_state_only),
		TEST(history_is_newest_first_and_pages),
		TEST(certificates_are_kept_and_revoked_once),
		TEST(revoking_what_is_not_there_is_told),
		TEST(a_key_belongs_to_one_vehicle_and_device_for_ever),
		TEST(a_known_device_is_never_overwritten),
		TEST(tenants_are_listed),
		TEST(clients_are_kept_whole),
		TEST(client_ids_and_fingerprints_are_unique),
		TEST(a_reveal_moves_one_status_at_a_time),
		TEST(an_answer_is_kept_for_a_day),
		TEST(only_the_owner_touches_a_running_answer),
		TEST(resealing_adds_an_index_and_keeps_the_version),
		TEST(a_generation_is_dropped_when_no_vehicle_needs_it),
		TEST(indexes_of_a_dropped_generation_are_not_written),
		TEST(the_outbox_is_read_oldest_first_and_forgotten),
		TEST(counts_follow),
		TEST(everything_is_there_after_reopening),
		TEST(writes_that_name_nobody_are_refused),
	};
	int failed = 0;

	for (size_t i = 0; i < registry_adapter_count; i++) {
		adapter = &registry_adapters[i];
		failed += cmocka_run_group_tests_name(adapter->name, tests, NULL, NULL);
	}
	return failed;
}
