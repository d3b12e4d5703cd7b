/* A registry as of a backup, and a log that went on: what restoration brings about again. */
#include "claim_support.h"

#include "adapters/registry/sqlite.h"
#include "vehicle/clients.h"
#include "vehicle/restoration.h"

#include <stdio.h>
#include <stdlib.h>

/* What the log told that could not be replayed. */
struct findings {
	size_t count;
	enum restoration_finding last;
	struct uuid last_id;
	char last_subject[65];
};

static void take_finding(void *context, const struct restoration_event *event)
{
	struct findings *findings = context;

	findings->count++;
	findings->last = event->finding;
	findings->last_id = event->reference_id;
	snprintf(findings->last_subject, sizeof(findings->last_subject), "%s", event->subject);
}

/* The registry as it is now, to be gone back to. */
struct backup {
	char path[128];
	uint64_t log_size;
};

static struct backup back_up(struct fixture *fixture)
{
	struct backup backup = {.log_size = fixture->audit.count};
	char path[128];

	snprintf(path, sizeof(path), "%s/registry.db", fixture->directory);
	snprintf(backup.path, sizeof(backup.path), "%s/backup.db", fixture->directory);
	assert_ok(registry_sqlite_backup(path, backup.path, NULL));
	return backup;
}

/* The fixture's requests are of the action "test"; in the platform the route table names them. */
static void name_newest(struct fixture *fixture, const char *action)
{
	static const char placeholder[] = "\"action\":\"test\"";
	char *leaf = fixture->audit.leaves[fixture->audit.count - 1];
	char *place = strstr(leaf, placeholder);
	size_t size = strlen(leaf) + strlen(action) + 16;
	char *named = malloc(size);

	assert_non_null(place);
	assert_non_null(named);
	snprintf(named, size, "%.*s\"action\":\"%s\"%s", (int)(place - leaf), leaf, action,
		 place + sizeof(placeholder) - 1);
	free(leaf);
	fixture->audit.leaves[fixture->audit.count - 1] = named;
}

static void change_tcu(struct fixture *fixture, const struct uuid *id, const char *device_id, const char *new_device_id)
{
	struct vehicle vehicle;

	assert_problem(change_device(fixture, id, device_id, new_device_id, &vehicle), PROBLEM_NONE);
	name_newest(fixture, "tcu.change");
}

static struct restoration_report replay(struct fixture *fixture, uint64_t from, struct findings *findings)
{
	struct restoration_report report;
	struct note note = {0};

	*findings = (struct findings){0};
	assert_ok(restoration_replay(&fixture->platform, from, take_finding, findings, &report, &note));
	assert_int_equal(report.findings, findings->count);
	return report;
}

static struct restoration_report restore(struct fixture *fixture, const struct backup *backup,
					 struct findings *findings)
{
	const struct registry_sqlite_options options = {.clock = &fixture->clock.clock};

	registry_sqlite_close(fixture->platform.registry);
	assert_ok(registry_sqlite_open(backup->path, &options, &fixture->platform.registry, NULL));
	return replay(fixture, backup->log_size, findings);
}

static void test_nothing_happened(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct backup backup = back_up(fixture);
	struct findings findings;
	struct restoration_report report = restore(fixture, &backup, &findings);

	assert_int_equal(report.entries, 0);
	assert_int_equal(vehicle_now(fixture, &id).version, 1);
}

static void test_device_change(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct backup backup = back_up(fixture);
	struct findings findings;

	change_tcu(fixture, &id, "tcu-1", "tcu-2");
	struct restoration_report report = restore(fixture, &backup, &findings);
	assert_int_equal(report.vehicles, 1);
	assert_int_equal(report.revoked, 1);
	assert_int_equal(report.entered, 0);
	assert_int_equal(findings.count, 0);
	assert_string_equal(vehicle_now(fixture, &id).device_id, "tcu-2");
	assert_int_equal(live_certificates(fixture, &id), 0);
	assert_int_equal(history_count(fixture, &id, HISTORY_DEVICE_CHANGED), 1);
	assert_int_equal(history_count(fixture, &id, HISTORY_CERTIFICATE_REVOKED), 1);

	/* From further back than the backup, and twice, it is the same. */
	uint32_t version = vehicle_now(fixture, &id).version;
	report = replay(fixture, 0, &findings);
	assert_int_equal(report.vehicles + report.revoked + report.entered, 0);
	assert_int_equal(vehicle_now(fixture, &id).version, version);
}

/* However many were issued after the one that is revoked. */
static void test_device_change_of_a_vehicle_with_many_certificates(void **state)
{
	enum { MANY = 1024 };
	static struct certificate_record records[MANY];
	static struct registry_write writes[MANY];
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct vehicle vehicle = vehicle_now(fixture, &id);
	struct findings findings;

	for (size_t i = 0; i < MANY; i++) {
		records[i] = (struct certificate_record){.serial = {{0x42, (uint8_t)(i >> 8), (uint8_t)i}},
							 .reference_id = id,
							 .tenant = vehicle.tenant,
							 .not_before_ms = fixture->clock.now_ms,
							 .not_after_ms = fixture->clock.now_ms + 1000,
							 .is_revoked = true,
							 .revoked_at_ms = fixture->clock.now_ms,
							 .reason = REVOCATION_SUPERSEDED};
		memcpy(records[i].device_id, vehicle.device_id, sizeof(records[i].device_id));
		memcpy(records[i].spki_sha256, records[i].serial.bytes, SERIAL_SIZE);
		writes[i] = (struct registry_write){.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &records[i]};
	}
	commit_together(fixture, writes, MANY);
	struct backup backup = back_up(fixture);
	change_tcu(fixture, &id, "tcu-1", "tcu-2");
	struct restoration_report report = restore(fixture, &backup, &findings);
	assert_int_equal(report.revoked, 1);
	assert_int_equal(report.entered, 0);
	assert_int_equal(live_certificates(fixture, &id), 0);
}

static void test_device_removed(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct backup backup = back_up(fixture);
	struct findings findings;

	change_tcu(fixture, &id, "tcu-1", "");
	restore(fixture, &backup, &findings);
	assert_string_equal(vehicle_now(fixture, &id).device_id, "");
	assert_int_equal(live_certificates(fixture, &id), 0);
	assert_int_equal(history_count(fixture, &id, HISTORY_DEVICE_REMOVED), 1);
}

static void test_states(void **state)
{
	struct fixture *fixture = *state;
	struct uuid suspended = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct uuid retired = provisioned_vehicle(fixture, VIN_B, "tcu-2");
	struct backup backup = back_up(fixture);
	struct findings findings;

	assert_problem(set_state(fixture, &suspended, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_problem(set_state(fixture, &retired, VEHICLE_DECOMMISSIONED), PROBLEM_NONE);
	struct restoration_report report = restore(fixture, &backup, &findings);
	assert_int_equal(report.vehicles, 2);
	assert_int_equal(vehicle_now(fixture, &suspended).state, VEHICLE_SUSPENDED);
	assert_int_equal(vehicle_now(fixture, &suspended).state_before_suspension, VEHICLE_PROVISIONED);
	assert_int_equal(live_certificates(fixture, &suspended), 1);
	assert_int_equal(vehicle_now(fixture, &retired).state, VEHICLE_DECOMMISSIONED);
	assert_string_equal(vehicle_now(fixture, &retired).device_id, "");
	assert_int_equal(live_certificates(fixture, &retired), 0);
}

/* Leaves of two changes may come into the log in the other order: one that the log refused at first follows later. */
static void test_nothing_brings_a_decommissioned_vehicle_back(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct backup backup = back_up(fixture);
	struct findings findings;

	change_tcu(fixture, &id, "tcu-1", "tcu-2");
	assert_problem(set_state(fixture, &id, VEHICLE_DECOMMISSIONED), PROBLEM_NONE);
	char **newest = &fixture->audit.leaves[fixture->audit.count - 1];
	char *change = newest[-1];
	newest[-1] = newest[0];
	newest[0] = change;
	restore(fixture, &backup, &findings);
	assert_int_equal(vehicle_now(fixture, &id).state, VEHICLE_DECOMMISSIONED);
	assert_string_equal(vehicle_now(fixture, &id).device_id, "");
	assert_int_equal(live_certificates(fixture, &id), 0);
}

/* A certificate that nobody remembers must never pass for a good one: the CRL has to name it. */
static void test_a_certificate_issued_since_is_entered_as_revoked(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct backup backup = back_up(fixture);
	PROVISIONED_CLEANUP struct provisioned again = {0};
	struct findings findings;
	ARENA_CLEANUP struct arena arena = {0};
	struct revoked_certificate *revoked;
	size_t count, named = 0;

	change_tcu(fixture, &id, "tcu-1", "tcu-2");
	assert_problem(provision(fixture, VIN_A, "tcu-2", NULL, &again), PROBLEM_NONE);
	assert_true(again.has_credentials);
	name_newest(fixture, "vehicle.provision");
	struct restoration_report report = restore(fixture, &backup, &findings);
	assert_int_equal(report.revoked, 1);
	assert_int_equal(report.entered, 1);
	assert_int_equal(live_certificates(fixture, &id), 0);
	struct registry *registry = fixture->platform.registry;
	assert_ok(registry->ops->scan_revoked(registry, fixture->clock.now_ms, &arena, &revoked, &count, NULL));
	for (size_t i = 0; i < count; i++)
		named += memcmp(revoked[i].serial.bytes, again.credentials.serial.bytes, SERIAL_SIZE) == 0;
	assert_int_equal(named, 1);
}

static void test_a_vehicle_made_since_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct backup backup = back_up(fixture);
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct findings findings;

	name_newest(fixture, "vehicle.provision");
	change_tcu(fixture, &id, "tcu-1", "tcu-2");
	struct restoration_report report = restore(fixture, &backup, &findings);
	assert_int_equal(report.vehicles_lost, 1);
	assert_int_equal(findings.count, 1);
	assert_int_equal(findings.last, RESTORATION_VEHICLE_LOST);
	assert_true(uuid_equal(&findings.last_id, &id));
}

static void test_refused_requests_change_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct backup backup = back_up(fixture);
	struct findings findings;
	struct vehicle vehicle;

	assert_problem(change_device(fixture, &id, "tcu-9", "tcu-2", &vehicle), PROBLEM_DEVICE_MISMATCH);
	assert_problem(set_state(fixture, &id, VEHICLE_ACTIVE), PROBLEM_TRANSITION_NOT_ALLOWED);
	struct restoration_report report = restore(fixture, &backup, &findings);
	assert_int_equal(report.vehicles, 0);
	assert_string_equal(vehicle_now(fixture, &id).device_id, "tcu-1");
}

static void append_leaf(struct fixture *fixture, const char *json)
{
	assert_true(fixture->audit.count < FAKE_LEAVES_MAX);
	fixture->audit.leaves[fixture->audit.count++] = strdup(json);
}

static void append_admin(struct fixture *fixture, const char *action, const char *subject)
{
	char json[512];

	snprintf(json, sizeof(json),
		 "{\"leafId\":\"00000000-0000-4000-8000-000000000001\",\"at\":\"2026-01-02T00:00:00.000Z\","
		 "\"actor\":\"admin\",\"tenantId\":\"demo\",\"action\":\"%s\",\"outcome\":\"allowed\",\"subject\":\"%"
		 "s\"}",
		 action, subject);
	append_leaf(fixture, json);
}

static enum client_state state_of(struct fixture *fixture, const char *id)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct registry *registry = fixture->platform.registry;
	struct client *clients;
	size_t count;

	assert_ok(registry->ops->list_clients(registry, &arena, &clients, &count, NULL));
	for (size_t i = 0; i < count; i++)
		if (strcmp(clients[i].id, id) == 0)
			return clients[i].state;
	fail();
	return CLIENT_ACTIVE;
}

static void test_clients(void **state)
{
	struct fixture *fixture = *state;
	struct findings findings;

	add_client(fixture, "crm", SCOPE_REFID_LOOKUP, NULL);
	add_client(fixture, "lab", SCOPE_REFID_LOOKUP, NULL);
	struct backup backup = back_up(fixture);
	append_admin(fixture, "client.suspend", "crm");
	append_admin(fixture, "client.suspend", "lab");
	append_admin(fixture, "client.resume", "lab");
	append_admin(fixture, "client.suspend", "unknown");
	append_admin(fixture, "client.create", "newcomer");
	struct restoration_report report = restore(fixture, &backup, &findings);
	assert_int_equal(report.clients, 3);
	assert_int_equal(state_of(fixture, "crm"), CLIENT_SUSPENDED);
	assert_int_equal(state_of(fixture, "lab"), CLIENT_ACTIVE);
	assert_int_equal(findings.count, 1);
	assert_int_equal(findings.last, RESTORATION_NOT_REPLAYED);
	assert_string_equal(findings.last_subject, "newcomer");
}

/* Two changes may reach the log in the other order: the later change counts, not the later entry. */
static void test_a_late_leaf_does_not_undo_a_later_change(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct backup backup = back_up(fixture);
	struct findings findings;
	struct fake_audit *audit = &fixture->audit;

	change_tcu(fixture, &id, "tcu-1", "tcu-2");
	change_tcu(fixture, &id, "tcu-2", "tcu-3");
	char *last = audit->leaves[audit->count - 1];
	audit->leaves[audit->count - 1] = audit->leaves[audit->count - 2];
	audit->leaves[audit->count - 2] = last;
	uint32_t version = vehicle_now(fixture, &id).version;
	restore(fixture, &backup, &findings);
	assert_string_equal(vehicle_now(fixture, &id).device_id, "tcu-3");
	assert_int_equal(vehicle_now(fixture, &id).version, version);
}

/* As after two changes of two vehicles whose leaves were appended in the other order. */
static void test_a_device_that_is_taken_is_left_out(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct backup backup;
	struct findings findings;
	char text[UUID_TEXT_SIZE], json[512];

	provisioned_vehicle(fixture, VIN_B, "tcu-2");
	backup = back_up(fixture);
	uuid_format(&id, text);
	snprintf(json, sizeof(json),
		 "{\"at\":\"2026-01-02T00:00:00.000Z\",\"actor\":\"admin\",\"tenantId\":\"demo\",\"action\":\"tcu."
		 "change\","
		 "\"outcome\":\"allowed\",\"referenceId\":\"%s\",\"deviceId\":\"tcu-1\",\"newDeviceId\":\"tcu-2\","
		 "\"state\":\"provisioned\"}",
		 text);
	append_leaf(fixture, json);
	restore(fixture, &backup, &findings);
	assert_int_equal(findings.last, RESTORATION_DEVICE_TAKEN);
	assert_string_equal(vehicle_now(fixture, &id).device_id, "");
}

static void test_what_is_no_leaf_stops_it(void **state)
{
	static const char *const wrong[] = {
		"nothing",
		"{\"outcome\":\"allowed\",\"at\":\"yesterday\",\"action\":\"tcu.change\"}",
		("{\"outcome\":\"allowed\",\"at\":\"2026-01-02T00:00:00.000Z\",\"tenantId\":\"demo\","
		 "\"referenceId\":\"x\"}"),
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct restoration_report report;
		struct findings findings = {0};
		struct note note = {0};

		append_leaf(fixture, wrong[i]);
		assert_result(restoration_replay(&fixture->platform, fixture->audit.count - 1, take_finding, &findings,
						 &report, &note),
			      RESULT_CORRUPT);
		assert_non_null(strstr(note.text, "no leaf"));
	}
}

/* ---- claims ------------------------------------------------------------------------------------------ */

static bool is_denied(struct fixture *fixture, const struct serial *serial)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct registry *registry = fixture->platform.registry;
	struct denied_certificate *denied;
	size_t count;
	bool found = false;

	assert_ok(registry->ops->scan_denied(registry, fixture->clock.now_ms, &arena, &denied, &count, NULL));
	for (size_t i = 0; i < count; i++)
		found |= memcmp(denied[i].serial.bytes, serial->bytes, SERIAL_SIZE) == 0;
	return found;
}

static void revoke_claim(struct fixture *fixture, const char *name)
{
	SESSION_CLEANUP struct session session;
	struct claim claim;

	session_open(&session, fixture, &fixture->admin);
	assert_problem(claims_revoke(&session.request, name, &claim), PROBLEM_NONE);
	name_newest(fixture, "claim.revoke");
}

static struct serial create_ahead(struct fixture *fixture, const struct claim *claim, const struct test_csr *csr,
				  struct claimed_certificate *ret_certificate)
{
	*ret_certificate = created_certificate(fixture, claim, csr);
	name_newest(fixture, "claim.create-certificate");
	return facts_of(ret_certificate).serial;
}

static void test_claim_revoked(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	struct backup backup = back_up(fixture);
	struct findings findings;

	revoke_claim(fixture, "line");
	struct restoration_report report = restore(fixture, &backup, &findings);
	assert_int_equal(report.revoked, 1);
	assert_true(claim_now(fixture, &claim).is_revoked);
	assert_true(is_denied(fixture, &claim.serial));
	report = replay(fixture, backup.log_size, &findings);
	assert_int_equal(report.revoked, 0);
}

/* Its certificate is out there: nobody may connect with it, and the operator makes another. */
static void test_claim_lost(void **state)
{
	struct fixture *fixture = *state;
	struct backup backup = back_up(fixture);
	struct findings findings;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	struct test_csr csr = make_csr();
	CLAIMED_CERTIFICATE_CLEANUP struct claimed_certificate certificate = {0};

	name_newest(fixture, "claim.create");
	struct serial serial = create_ahead(fixture, &claim, &csr, &certificate);
	struct restoration_report report = restore(fixture, &backup, &findings);
	assert_int_equal(report.entered, 2);
	assert_int_equal(findings.count, 1);
	assert_string_equal(findings.last_subject, "line");
	assert_true(is_denied(fixture, &claim.serial));
	assert_true(is_denied(fixture, &serial));
	report = replay(fixture, backup.log_size, &findings);
	assert_int_equal(report.entered, 0);
}

static void test_certificate_ahead_lost(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	struct test_csr csr = make_csr();
	struct backup backup = back_up(fixture);
	struct findings findings;
	struct provisioned refused;
	CLAIMED_CERTIFICATE_CLEANUP struct claimed_certificate certificate = {0};
	struct serial serial = create_ahead(fixture, &claim, &csr, &certificate);

	struct restoration_report report = restore(fixture, &backup, &findings);
	assert_int_equal(report.entered, 1);
	assert_true(is_denied(fixture, &serial));
	assert_problem(provision_claimed(fixture, &claim, certificate.token, VIN_A, "tcu-1", &refused),
		       PROBLEM_OWNERSHIP_INVALID);
}

/* What the backup knows stays as it is, whether it waits or is a vehicle's by now. */
static void test_certificate_ahead_known(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	struct test_csr csrs[2] = {make_csr(), make_csr()};
	uint64_t before = fixture->audit.count;
	CLAIMED_CERTIFICATE_CLEANUP struct claimed_certificate used = {0}, waiting = {0};
	PROVISIONED_CLEANUP struct provisioned first = {0}, second = {0};
	struct serial serial = create_ahead(fixture, &claim, &csrs[0], &used);
	struct findings findings;

	(void)create_ahead(fixture, &claim, &csrs[1], &waiting);
	assert_problem(provision_claimed(fixture, &claim, used.token, VIN_A, "tcu-1", &first), PROBLEM_NONE);
	struct restoration_report report = replay(fixture, before, &findings);
	assert_int_equal(report.entered, 0);
	assert_false(is_denied(fixture, &serial));
	assert_problem(provision_claimed(fixture, &claim, waiting.token, VIN_B, "tcu-2", &second), PROBLEM_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_nothing_happened),
		TEST(test_device_change),
		TEST(test_device_change_of_a_vehicle_with_many_certificates),
		TEST(test_device_removed),
		TEST(test_states),
		TEST(test_nothing_brings_a_decommissioned_vehicle_back),
		TEST(test_a_certificate_issued_since_is_entered_as_revoked),
		TEST(test_a_vehicle_made_since_is_told),
		TEST(test_refused_requests_change_nothing),
		TEST(test_clients),
		TEST(test_a_device_that_is_taken_is_left_out),
		TEST(test_a_late_leaf_does_not_undo_a_later_change),
		TEST(test_what_is_no_leaf_stops_it),
		TEST(test_claim_revoked),
		TEST(test_claim_lost),
		TEST(test_certificate_ahead_lost),
		TEST(test_certificate_ahead_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
