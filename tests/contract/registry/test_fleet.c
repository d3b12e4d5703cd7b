/*
 * The port's contract for what connected vehicles bring with them: commands, alerts, claims, certificates issued ahead,
 * what the device gateway must refuse, signal documents.
 */
#include "tests/contract/registry/fixture.h"

#include <pthread.h>
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

/* ---- records --------------------------------------------------------------------------------------- */

static struct remote_command command_numbered(uint32_t number, uint32_t vehicle)
{
	return (struct remote_command){
		.id = uuid_numbered(7000 + number),
		.tenant = demo,
		.reference_id = uuid_numbered(vehicle),
		.name = "door.lock",
		.payload = "{\"door\":1}",
		.status = COMMAND_CREATED,
		.created_by = "crm",
		.created_at_ms = NOW_MS + number,
		.updated_at_ms = NOW_MS + number,
		.expires_at_ms = NOW_MS + number + 60000,
		.version = 1,
	};
}

static void insert_command(uint32_t number, uint32_t vehicle)
{
	const struct remote_command command = command_numbered(number, vehicle);

	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_COMMAND, .command = &command});
}

static void update_command(struct remote_command *command, enum command_status status, bool is_final, int64_t at_ms)
{
	command->status = status;
	command->is_final = is_final;
	command->updated_at_ms = at_ms;
	command->version++;
	COMMIT(REGISTRY, {.kind = REGISTRY_UPDATE_COMMAND, .command = command});
}

static struct alert alert_numbered(uint32_t number, uint32_t vehicle, int64_t at_ms)
{
	struct alert alert = {
		.id = uuid_numbered(8000 + number),
		.tenant = demo,
		.kind = ALERT_CLONED_KEY,
		.at_ms = at_ms,
		.has_reference_id = vehicle != 0,
		.reference_id = uuid_numbered(vehicle),
	};

	snprintf(alert.detail, sizeof(alert.detail), "alert %u", number);
	return alert;
}

static struct claim claim_named(const char *name, uint32_t number, uint32_t count_max)
{
	struct claim claim = {
		.tenant = demo,
		.serial = serial_numbered(9000 + number),
		.count_max = count_max,
		.not_after_ms = NOW_MS + 30 * DAY_MS,
		.created_at_ms = NOW_MS + number,
	};

	snprintf(claim.name, sizeof(claim.name), "%s", name);
	return claim;
}

static void insert_claim(const char *name, uint32_t number, uint32_t count_max)
{
	const struct claim claim = claim_named(name, number, count_max);

	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_CLAIM, .claim = &claim});
}

/* claim: the number that its serial was made of. */
static void assert_waiting(uint32_t claim, int64_t at_ms, size_t expected)
{
	const struct serial serial = serial_numbered(9000 + claim);
	size_t waiting = 0;

	ASSERT_OK(ASK(count_ownerships, &serial, at_ms, &waiting, NULL));
	assert_int_equal(waiting, expected);
}

static struct ownership ownership_numbered(uint32_t number, const char *claim)
{
	struct ownership ownership = {
		.tenant = demo,
		.reference_id = uuid_numbered(number),
		.serial = serial_numbered(5000 + number),
		.not_before_ms = NOW_MS,
		.not_after_ms = NOW_MS + 365 * DAY_MS,
		.created_at_ms = NOW_MS,
		.expires_at_ms = NOW_MS + OWNERSHIP_LIFETIME_MS,
		.csr = span_of_text("a CSR"),
	};
	const struct uuid first = uuid_numbered(6000 + number), second = uuid_numbered(6500 + number);

	memcpy(ownership.token_sha256, first.bytes, UUID_SIZE);
	memcpy(ownership.token_sha256 + UUID_SIZE, second.bytes, UUID_SIZE);
	memset(ownership.spki_sha256, (int)number, SHA256_SIZE);
	snprintf(ownership.claim, sizeof(ownership.claim), "%s", claim);
	return ownership;
}

static struct registry_write take_of(const struct ownership *ownership, bool is_admitted, int64_t at_ms)
{
	return (struct registry_write){.kind = REGISTRY_TAKE_OWNERSHIP,
				       .ownership_take = {.token_sha256 = ownership->token_sha256,
							  .is_admitted = is_admitted,
							  .at_ms = at_ms}};
}

static bool is_denied(const struct serial *serial, int64_t at_ms)
{
	struct denied_certificate *denied;
	size_t count;

	ASSERT_OK(ASK(scan_denied, at_ms, &fixture.arena, &denied, &count, NULL));
	for (size_t i = 0; i < count; i++)
		if (memcmp(&denied[i].serial, serial, sizeof(*serial)) == 0)
			return true;
	return false;
}

/* -1: not on the CRL */
static int crl_reason(const struct serial *serial, int64_t at_ms)
{
	struct revoked_certificate *revoked;
	size_t count;

	ASSERT_OK(ASK(scan_revoked, at_ms, &fixture.arena, &revoked, &count, NULL));
	for (size_t i = 0; i < count; i++)
		if (memcmp(&revoked[i].serial, serial, sizeof(*serial)) == 0)
			return (int)revoked[i].reason;
	return -1;
}

/* ---- commands -------------------------------------------------------------------------------------- */

static void a_command_reads_back_as_it_was_written(void **state)
{
	(void)state;
	struct remote_command written = command_numbered(1, 1), read;

	provision_ok(REGISTRY, 1);
	insert_command(1, 1);
	ASSERT_OK(ASK(get_command, &demo, &written.reference_id, &written.id, &fixture.arena, &read, NULL));
	assert_string_equal(read.name, "door.lock");
	assert_string_equal(read.payload, "{\"door\":1}");
	assert_string_equal(read.created_by, "crm");
	assert_string_equal(read.tenant.text, "demo");
	assert_memory_equal(&read.reference_id, &written.reference_id, UUID_SIZE);
	assert_int_equal(read.status, COMMAND_CREATED);
	assert_false(read.is_final);
	assert_null(read.result);
	assert_string_equal(read.reason_code, "");
	assert_int_equal(read.created_at_ms, NOW_MS + 1);
	assert_int_equal(read.expires_at_ms, NOW_MS + 60001);
	assert_int_equal(read.version, 1);

	written.result = "{\"ok\":true}";
	snprintf(written.reason_code, sizeof(written.reason_code), "DONE");
	snprintf(written.reason_text, sizeof(written.reason_text), "It is locked.");
	update_command(&written, COMMAND_SUCCEEDED, true, NOW_MS + 7);
	ASSERT_OK(ASK(get_command, &demo, &written.reference_id, &written.id, &fixture.arena, &read, NULL));
	assert_int_equal(read.status, COMMAND_SUCCEEDED);
	assert_true(read.is_final);
	assert_string_equal(read.result, "{\"ok\":true}");
	assert_string_equal(read.reason_code, "DONE");
	assert_string_equal(read.reason_text, "It is locked.");
	assert_int_equal(read.updated_at_ms, NOW_MS + 7);
	assert_int_equal(read.version, 2);
}

static void foreign_and_absent_commands_are_absent_alike(void **state)
{
	(void)state;
	const struct remote_command command = command_numbered(1, 1);
	const struct uuid second_vehicle = uuid_numbered(2), nobodys = uuid_numbered(3);
	struct remote_command read, *list;
	size_t count;

	provision_ok(REGISTRY, 1);
	provision_ok(REGISTRY, 2);
	insert_command(1, 1);
	assert_int_equal(ASK(get_command, &other, &command.reference_id, &command.id, &fixture.arena, &read, NULL),
			 RESULT_ABSENT);
	assert_int_equal(ASK(get_command, &demo, &second_vehicle, &command.id, &fixture.arena, &read, NULL),
			 RESULT_ABSENT);
	assert_int_equal(ASK(get_command, &demo, &command.reference_id, &nobodys, &fixture.arena, &read, NULL),
			 RESULT_ABSENT);
	assert_int_equal(
		ASK(list_commands, &other, &command.reference_id, NULL, 10, &fixture.arena, &list, &count, NULL),
		RESULT_ABSENT);
	assert_int_equal(ASK(list_commands, &demo, &nobodys, NULL, 10, &fixture.arena, &list, &count, NULL),
			 RESULT_ABSENT);
}

static void commands_for_nobody_and_stale_updates_are_refused(void **state)
{
	(void)state;
	struct remote_command command = command_numbered(1, 1), again = command_numbered(1, 1);

	REFUSED(REGISTRY, REGISTRY_CONFLICT_REFERENCE_ID, {.kind = REGISTRY_INSERT_COMMAND, .command = &command});
	provision_ok(REGISTRY, 1);
	command.tenant = other;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_REFERENCE_ID, {.kind = REGISTRY_INSERT_COMMAND, .command = &command});
	command.tenant = demo;
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_COMMAND, .command = &command});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_COMMAND, {.kind = REGISTRY_INSERT_COMMAND, .command = &again});
	command.version = 3;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_COMMAND, {.kind = REGISTRY_UPDATE_COMMAND, .command = &command});
	command.version = 1;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_COMMAND, {.kind = REGISTRY_UPDATE_COMMAND, .command = &command});
}

static void commands_are_listed_newest_first_in_pages(void **state)
{
	(void)state;
	const struct uuid vehicle = uuid_numbered(1);
	struct remote_command *list;
	size_t count;

	provision_ok(REGISTRY, 1);
	provision_ok(REGISTRY, 2);
	for (uint32_t i = 1; i <= 5; i++) {
		insert_command(i, 1);
		insert_command(100 + i, 2);
	}
	ASSERT_OK(ASK(list_commands, &demo, &vehicle, NULL, 2, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 2);
	assert_int_equal(list[0].created_at_ms, NOW_MS + 5);
	assert_int_equal(list[1].created_at_ms, NOW_MS + 4);
	const struct uuid before = list[1].id;
	ASSERT_OK(ASK(list_commands, &demo, &vehicle, &before, 10, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 3);
	assert_int_equal(list[0].created_at_ms, NOW_MS + 3);
	assert_int_equal(list[2].created_at_ms, NOW_MS + 1);
	const struct uuid unknown = uuid_numbered(4);
	ASSERT_OK(ASK(list_commands, &demo, &vehicle, &unknown, 10, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 0);
}

static void waiting_commands_are_those_not_begun_and_not_over(void **state)
{
	(void)state;
	const struct uuid vehicle = uuid_numbered(1);
	struct remote_command *list, begun = command_numbered(2, 1);
	size_t count;

	provision_ok(REGISTRY, 1);
	provision_ok(REGISTRY, 2);
	for (uint32_t i = 1; i <= 4; i++)
		insert_command(i, 1);
	insert_command(5, 2);
	update_command(&begun, COMMAND_IN_PROGRESS, false, NOW_MS);
	ASSERT_OK(ASK(list_waiting_commands, &demo, &vehicle, NOW_MS, 10, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 3);
	assert_int_equal(list[0].created_at_ms, NOW_MS + 1);
	assert_int_equal(list[1].created_at_ms, NOW_MS + 3);
	/* the first one's time is over */
	ASSERT_OK(ASK(list_waiting_commands, &demo, &vehicle, NOW_MS + 60001, 1, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 1);
	assert_int_equal(list[0].created_at_ms, NOW_MS + 3);
	ASSERT_OK(ASK(list_waiting_commands, &other, &vehicle, NOW_MS, 10, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 0);
}

static void open_commands_are_those_of_all_tenants(void **state)
{
	(void)state;
	struct vehicle foreign = vehicle_numbered(2);
	struct remote_command *list, begun = command_numbered(1, 1), done = command_numbered(2, 1);
	struct remote_command abroad = command_numbered(3, 2);
	size_t count;

	provision_ok(REGISTRY, 1);
	foreign.tenant = other;
	abroad.tenant = other;
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &foreign},
	       {.kind = REGISTRY_INSERT_COMMAND, .command = &abroad});
	insert_command(1, 1);
	insert_command(2, 1);
	update_command(&begun, COMMAND_IN_PROGRESS, false, NOW_MS);
	update_command(&done, COMMAND_TIMED_OUT, false, NOW_MS);
	ASSERT_OK(ASK(list_open_commands, 0, NOW_MS + 60000, 10, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 0);
	ASSERT_OK(ASK(list_open_commands, 0, NOW_MS + 70000, 10, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 2);
	assert_string_equal(list[0].tenant.text, "demo");
	assert_int_equal(list[0].status, COMMAND_IN_PROGRESS);
	assert_string_equal(list[1].tenant.text, "other");
	ASSERT_OK(ASK(list_open_commands, 0, NOW_MS + 70000, 1, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 1);
	ASSERT_OK(ASK(list_open_commands, list[0].expires_at_ms, NOW_MS + 70000, 10, &fixture.arena, &list, &count,
		      NULL));
	assert_int_equal(count, 1);
	assert_string_equal(list[0].tenant.text, "other");
}

/* Any commit clears up, at most once a second. */
static void commit_later(int64_t ms)
{
	static uint32_t number = 1000;

	fixture.clock.now_ms += ms;
	provision_ok(REGISTRY, number++);
}

static void commands_that_are_over_go_after_thirty_days(void **state)
{
	(void)state;
	const struct uuid vehicle = uuid_numbered(1);
	struct remote_command *list, over = command_numbered(1, 1), timed_out = command_numbered(2, 1);
	size_t count;

	provision_ok(REGISTRY, 1);
	for (uint32_t i = 1; i <= 3; i++)
		insert_command(i, 1);
	update_command(&over, COMMAND_FAILED, true, NOW_MS);
	update_command(&timed_out, COMMAND_TIMED_OUT, false, NOW_MS + DAY_MS);
	commit_later(30 * DAY_MS - 1);
	ASSERT_OK(ASK(list_commands, &demo, &vehicle, NULL, 10, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 3);
	commit_later(1001);
	ASSERT_OK(ASK(list_commands, &demo, &vehicle, NULL, 10, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 2);
	commit_later(DAY_MS);
	ASSERT_OK(ASK(list_commands, &demo, &vehicle, NULL, 10, &fixture.arena, &list, &count, NULL));
	assert_int_equal(count, 1);
	assert_int_equal(list[0].status, COMMAND_CREATED);
}

/* ---- alerts ---------------------------------------------------------------------------------------- */

static void insert_alert(uint32_t number, uint32_t vehicle, int64_t at_ms)
{
	const struct alert alert = alert_numbered(number, vehicle, at_ms);

	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_ALERT, .alert = &alert});
}

static size_t list_alerts(const struct tenant_id *tenant, struct alert_query query, struct alert **ret_alerts)
{
	size_t count;

	if (query.limit == 0)
		query.limit = 100;
	ASSERT_OK(ASK(list_alerts, tenant, &query, &fixture.arena, ret_alerts, &count, NULL));
	return count;
}

static void a_vehicle_gets_one_alert_of_a_kind_in_ten_minutes(void **state)
{
	(void)state;
	const struct alert soon = alert_numbered(2, 1, NOW_MS + ALERT_INTERVAL_MS - 1);
	const struct alert same = alert_numbered(1, 3, NOW_MS + 5);
	struct alert *alerts;

	insert_alert(1, 1, NOW_MS);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_ALERT, {.kind = REGISTRY_INSERT_ALERT, .alert = &soon});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_ALERT, {.kind = REGISTRY_INSERT_ALERT, .alert = &same});
	insert_alert(3, 2, NOW_MS + 1);			/* another vehicle's */
	insert_alert(4, 0, NOW_MS + 2);			/* of no vehicle */
	insert_alert(5, 0, NOW_MS + 3);			/* of no vehicle either */
	insert_alert(6, 1, NOW_MS + ALERT_INTERVAL_MS); /* later */
	assert_int_equal(list_alerts(&demo, (struct alert_query){0}, &alerts), 5);
}

static void alerts_are_listed_newest_first_within_their_tenant(void **state)
{
	(void)state;
	struct alert *alerts, foreign = alert_numbered(50, 0, NOW_MS + 50);
	const struct uuid vehicle = uuid_numbered(9);

	insert_alert(1, 9, NOW_MS + 10);
	insert_alert(2, 0, NOW_MS + 30);
	insert_alert(3, 0, NOW_MS + 30);
	insert_alert(4, 0, NOW_MS + 20); /* it happened before what was entered before it */
	foreign.tenant = other;
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_ALERT, .alert = &foreign});
	assert_int_equal(list_alerts(&demo, (struct alert_query){0}, &alerts), 4);
	assert_string_equal(alerts[0].detail, "alert 3");
	assert_string_equal(alerts[1].detail, "alert 2");
	assert_string_equal(alerts[2].detail, "alert 4");
	assert_string_equal(alerts[3].detail, "alert 1");
	assert_true(alerts[3].has_reference_id);
	assert_memory_equal(&alerts[3].reference_id, &vehicle, UUID_SIZE);
	assert_false(alerts[0].has_reference_id);
	assert_int_equal(alerts[0].kind, ALERT_CLONED_KEY);
	assert_string_equal(alerts[0].tenant.text, "demo");
	const uint64_t before = alerts[0].number;
	assert_int_equal(list_alerts(&demo, (struct alert_query){.before = before, .limit = 2}, &alerts), 2);
	assert_string_equal(alerts[0].detail, "alert 2");
	assert_string_equal(alerts[1].detail, "alert 4");
	assert_int_equal(
		list_alerts(&demo, (struct alert_query){.from_ms = NOW_MS + 20, .to_ms = NOW_MS + 30}, &alerts), 1);
	assert_string_equal(alerts[0].detail, "alert 4");
	assert_int_equal(list_alerts(&demo, (struct alert_query){.kind = (enum alert_kind)99}, &alerts), 0);
	assert_int_equal(list_alerts(&other, (struct alert_query){0}, &alerts), 1);
}

static void alerts_go_after_a_year(void **state)
{
	(void)state;
	struct alert *alerts;

	insert_alert(1, 1, NOW_MS);
	insert_alert(2, 2, NOW_MS + DAY_MS);
	commit_later(365 * DAY_MS - 1);
	assert_int_equal(list_alerts(&demo, (struct alert_query){0}, &alerts), 2);
	commit_later(1001);
	assert_int_equal(list_alerts(&demo, (struct alert_query){0}, &alerts), 1);
}

/* ---- claims ---------------------------------------------------------------------------------------- */

static void a_claim_is_found_by_its_serial_and_by_its_name(void **state)
{
	(void)state;
	const struct serial serial = serial_numbered(9001), unknown = serial_numbered(9002);
	struct claim claim, *claims;
	size_t count;

	insert_claim("plant-7", 1, 3);
	insert_claim("plant-8", 3, 4);
	ASSERT_OK(ASK(find_claim, &serial, &claim, NULL));
	assert_string_equal(claim.name, "plant-7");
	assert_string_equal(claim.tenant.text, "demo");
	assert_int_equal(claim.count_max, 3);
	assert_int_equal(claim.used, 0);
	assert_false(claim.is_revoked);
	assert_int_equal(claim.not_after_ms, NOW_MS + 30 * DAY_MS);
	assert_int_equal(ASK(find_claim, &unknown, &claim, NULL), RESULT_ABSENT);
	ASSERT_OK(ASK(get_claim, &demo, "plant-7", &claim, NULL));
	assert_memory_equal(&claim.serial, &serial, sizeof(serial));
	assert_int_equal(ASK(get_claim, &other, "plant-7", &claim, NULL), RESULT_ABSENT);
	ASSERT_OK(ASK(list_claims, &demo, &fixture.arena, &claims, &count, NULL));
	assert_int_equal(count, 2);
	assert_string_equal(claims[0].name, "plant-7");
	ASSERT_OK(ASK(list_claims, &other, &fixture.arena, &claims, &count, NULL));
	assert_int_equal(count, 0);
}

static void a_claims_name_is_unique_in_the_installation(void **state)
{
	(void)state;
	struct claim same_name = claim_named("plant-7", 2, 1), same_serial = claim_named("plant-8", 1, 1);

	insert_claim("plant-7", 1, 3);
	same_name.tenant = other;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLAIM, {.kind = REGISTRY_INSERT_CLAIM, .claim = &same_name});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLAIM, {.kind = REGISTRY_INSERT_CLAIM, .claim = &same_serial});
}

#define USE(claim_name, time)                                                                     \
	{                                                                                         \
		.kind = REGISTRY_USE_CLAIM, .claim_use = {.name = (claim_name), .at_ms = (time) } \
	}

static void a_claim_is_used_as_often_as_it_allows(void **state)
{
	(void)state;
	struct claim claim;

	insert_claim("plant-7", 1, 2);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLAIM, USE("plant-8", NOW_MS));
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLAIM, USE("plant-7", NOW_MS + 30 * DAY_MS)); /* over */
	COMMIT(REGISTRY, USE("plant-7", NOW_MS));
	COMMIT(REGISTRY, USE("plant-7", NOW_MS));
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLAIM, USE("plant-7", NOW_MS));
	ASSERT_OK(ASK(get_claim, &demo, "plant-7", &claim, NULL));
	assert_int_equal(claim.used, 2);
}

static void a_revoked_claim_is_of_no_use_and_denied(void **state)
{
	(void)state;
	struct claim revoked = claim_named("plant-7", 1, 2), read;

	revoked.revoked_at_ms = NOW_MS + 4;
	enum registry_conflict conflict;
	const struct registry_write write = {.kind = REGISTRY_REVOKE_CLAIM, .claim = &revoked};
	assert_int_equal(commit_try(REGISTRY, &write, 1, &conflict), RESULT_ABSENT);
	insert_claim("plant-7", 1, 2);
	assert_false(is_denied(&revoked.serial, NOW_MS));
	revoked.tenant = other;
	assert_int_equal(commit_try(REGISTRY, &write, 1, &conflict), RESULT_ABSENT);
	revoked.tenant = demo;
	COMMIT(REGISTRY, write);
	revoked.revoked_at_ms = NOW_MS + 9;
	COMMIT(REGISTRY, write); /* again: nothing */
	ASSERT_OK(ASK(get_claim, &demo, "plant-7", &read, NULL));
	assert_true(read.is_revoked);
	assert_int_equal(read.revoked_at_ms, NOW_MS + 4);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLAIM, USE("plant-7", NOW_MS));
	assert_true(is_denied(&revoked.serial, NOW_MS));
	assert_int_equal(crl_reason(&revoked.serial, NOW_MS + 5), REVOCATION_PRIVILEGE_WITHDRAWN);
	assert_false(is_denied(&revoked.serial, NOW_MS + 30 * DAY_MS)); /* expired */
	assert_int_equal(crl_reason(&revoked.serial, NOW_MS + 30 * DAY_MS), -1);
}

static void *use_claim(void *context)
{
	uintptr_t used = 0;

	(void)context;
	for (int i = 0; i < 50; i++) {
		const struct registry_write write = USE("plant-7", NOW_MS);
		enum registry_conflict conflict;

		used += commit_try(REGISTRY, &write, 1, &conflict) == RESULT_OK;
	}
	return (void *)used;
}

static void no_race_uses_a_claim_too_often(void **state)
{
	(void)state;
	pthread_t threads[8];
	uintptr_t used = 0;
	struct claim claim;

	insert_claim("plant-7", 1, 123);
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_claim, NULL), 0);
	for (size_t i = 0; i < COUNT(threads); i++) {
		void *of_thread;

		pthread_join(threads[i], &of_thread);
		used += (uintptr_t)of_thread;
	}
	assert_int_equal(used, 123);
	ASSERT_OK(ASK(get_claim, &demo, "plant-7", &claim, NULL));
	assert_int_equal(claim.used, 123);
}

/* ---- certificates issued ahead --------------------------------------------------------------------- */

static void an_ownership_needs_its_claim(void **state)
{
	(void)state;
	struct ownership ownership = ownership_numbered(1, "plant-7");

	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLAIM, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownership});
	insert_claim("plant-7", 1, 2);
	ownership.tenant = other;
	REFUSED(REGISTRY, REGISTRY_CONFLICT_CLAIM, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownership});
	ownership.tenant = demo;
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownership});
	REFUSED(REGISTRY, REGISTRY_CONFLICT_OWNERSHIP, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownership});
}

static void an_ownership_is_found_by_its_token_while_it_lives(void **state)
{
	(void)state;
	const struct ownership written = ownership_numbered(1, "plant-7"), unknown = ownership_numbered(2, "plant-7");
	struct ownership read;

	insert_claim("plant-7", 1, 2);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &written});
	ASSERT_OK(ASK(find_ownership, written.token_sha256, NOW_MS, &fixture.arena, &read, NULL));
	assert_memory_equal(read.token_sha256, written.token_sha256, SHA256_SIZE);
	assert_string_equal(read.claim, "plant-7");
	assert_string_equal(read.tenant.text, "demo");
	assert_memory_equal(&read.reference_id, &written.reference_id, UUID_SIZE);
	assert_memory_equal(&read.serial, &written.serial, SERIAL_SIZE);
	assert_memory_equal(read.spki_sha256, written.spki_sha256, SHA256_SIZE);
	assert_int_equal(read.not_before_ms, NOW_MS);
	assert_int_equal(read.not_after_ms, NOW_MS + 365 * DAY_MS);
	assert_int_equal(read.expires_at_ms, NOW_MS + OWNERSHIP_LIFETIME_MS);
	assert_int_equal(read.csr.size, 5);
	assert_memory_equal(read.csr.data, "a CSR", 5);
	assert_int_equal(ASK(find_ownership, unknown.token_sha256, NOW_MS, &fixture.arena, &read, NULL), RESULT_ABSENT);
	assert_int_equal(
		ASK(find_ownership, written.token_sha256, NOW_MS + OWNERSHIP_LIFETIME_MS, &fixture.arena, &read, NULL),
		RESULT_ABSENT);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_OWNERSHIP, take_of(&written, true, NOW_MS + OWNERSHIP_LIFETIME_MS));
}

static void a_token_is_taken_once(void **state)
{
	(void)state;
	const struct ownership first = ownership_numbered(1, "plant-7"), second = ownership_numbered(2, "plant-7");
	struct ownership read;

	insert_claim("plant-7", 1, 2);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &first},
	       {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &second});
	COMMIT(REGISTRY, take_of(&first, true, NOW_MS));
	COMMIT(REGISTRY, take_of(&second, false, NOW_MS));
	for (int admitted = 0; admitted < 2; admitted++) {
		REFUSED(REGISTRY, REGISTRY_CONFLICT_OWNERSHIP, take_of(&first, admitted == 1, NOW_MS));
		REFUSED(REGISTRY, REGISTRY_CONFLICT_OWNERSHIP, take_of(&second, admitted == 1, NOW_MS));
	}
	assert_int_equal(ASK(find_ownership, second.token_sha256, NOW_MS, &fixture.arena, &read, NULL), RESULT_ABSENT);
}

static void a_certificate_issued_ahead_is_denied_until_it_is_admitted(void **state)
{
	(void)state;
	const struct ownership waiting = ownership_numbered(1, "plant-7"), admitted = ownership_numbered(2, "plant-7"),
			       replaced = ownership_numbered(3, "plant-7");

	insert_claim("plant-7", 1, 2);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &waiting},
	       {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &admitted},
	       {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &replaced});
	assert_true(is_denied(&waiting.serial, NOW_MS));
	assert_true(is_denied(&admitted.serial, NOW_MS));
	COMMIT(REGISTRY, take_of(&admitted, true, NOW_MS));
	COMMIT(REGISTRY, take_of(&replaced, false, NOW_MS));
	assert_false(is_denied(&admitted.serial, NOW_MS));
	assert_true(is_denied(&replaced.serial, NOW_MS + 364 * DAY_MS));
	assert_true(is_denied(&waiting.serial, NOW_MS + 364 * DAY_MS));
	assert_false(is_denied(&waiting.serial, NOW_MS + 365 * DAY_MS));
	/* The CRL names what can never be admitted any more. */
	assert_int_equal(crl_reason(&waiting.serial, NOW_MS), -1);
	assert_int_equal(crl_reason(&waiting.serial, NOW_MS + OWNERSHIP_LIFETIME_MS),
			 REVOCATION_CESSATION_OF_OPERATION);
	assert_int_equal(crl_reason(&replaced.serial, NOW_MS), REVOCATION_SUPERSEDED);
	assert_int_equal(crl_reason(&admitted.serial, NOW_MS + OWNERSHIP_LIFETIME_MS), -1);
}

static void an_expired_certificate_issued_ahead_is_forgotten(void **state)
{
	(void)state;
	struct ownership ownership = ownership_numbered(1, "plant-7");

	insert_claim("plant-7", 1, 2);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownership});
	commit_later(365 * DAY_MS - 1);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_OWNERSHIP, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownership});
	commit_later(1001);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownership});
}

static void so_many_of_a_claim_may_wait_and_no_more(void **state)
{
	(void)state;
	static struct ownership ownerships[OWNERSHIPS_PER_CLAIM_MAX];
	static struct registry_write writes[OWNERSHIPS_PER_CLAIM_MAX];
	struct ownership more = ownership_numbered(40000, "plant-7"), elsewhere = ownership_numbered(40001, "plant-8"),
			 read;

	insert_claim("plant-7", 1, 2);
	insert_claim("plant-8", 2, 2);
	for (uint32_t i = 0; i < OWNERSHIPS_PER_CLAIM_MAX; i++) {
		ownerships[i] = ownership_numbered(10000 + i, "plant-7");
		writes[i] = (struct registry_write){.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownerships[i]};
	}
	assert_waiting(1, NOW_MS, 0);
	assert_waiting(3, NOW_MS, 0);
	commit_ok(REGISTRY, writes, COUNT(writes));
	assert_waiting(1, NOW_MS, OWNERSHIPS_PER_CLAIM_MAX);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_OWNERSHIP, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &more});
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &elsewhere});
	COMMIT(REGISTRY, take_of(&ownerships[5], false, NOW_MS));
	assert_waiting(1, NOW_MS, OWNERSHIPS_PER_CLAIM_MAX - 1);
	assert_waiting(2, NOW_MS, 1);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &more});
	/* What was spent is good for nothing, denied, and waits all the same. */
	struct registry_write spend = take_of(&ownerships[6], false, NOW_MS);
	spend.kind = REGISTRY_SPEND_OWNERSHIP;
	COMMIT(REGISTRY, spend);
	assert_int_equal(ASK(find_ownership, ownerships[6].token_sha256, NOW_MS, &fixture.arena, &read, NULL),
			 RESULT_ABSENT);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_OWNERSHIP, spend);
	REFUSED(REGISTRY, REGISTRY_CONFLICT_OWNERSHIP, take_of(&ownerships[6], true, NOW_MS));
	assert_true(is_denied(&ownerships[6].serial, NOW_MS));
	assert_waiting(1, NOW_MS, OWNERSHIPS_PER_CLAIM_MAX);
	more = ownership_numbered(40002, "plant-7");
	REFUSED(REGISTRY, REGISTRY_CONFLICT_OWNERSHIP, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &more});
	/* Those that lapsed wait no longer. */
	assert_waiting(1, NOW_MS + OWNERSHIP_LIFETIME_MS, 0);
	more.created_at_ms = NOW_MS + OWNERSHIP_LIFETIME_MS;
	more.expires_at_ms = NOW_MS + 2 * OWNERSHIP_LIFETIME_MS;
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &more});
}

/* ---- what the gateway refuses ---------------------------------------------------------------------- */

static void a_certificate_is_found_by_its_serial(void **state)
{
	(void)state;
	const struct vehicle vehicle = vehicle_numbered(1);
	const struct certificate_record written = certificate_numbered(1, &vehicle);
	const struct serial unknown = serial_numbered(2);
	struct certificate_record read;

	provision_ok(REGISTRY, 1);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &written});
	assert_int_equal(ASK(find_certificate, &unknown, &read, NULL), RESULT_ABSENT);
	ASSERT_OK(ASK(find_certificate, &written.serial, &read, NULL));
	assert_memory_equal(&read.serial, &written.serial, SERIAL_SIZE);
	assert_memory_equal(&read.reference_id, &written.reference_id, UUID_SIZE);
	assert_string_equal(read.tenant.text, "demo");
	assert_string_equal(read.device_id, "device-1");
	assert_memory_equal(read.spki_sha256, written.spki_sha256, SHA256_SIZE);
	assert_int_equal(read.not_after_ms, written.not_after_ms);
	assert_false(read.is_revoked);
}

static void revoked_certificates_are_denied_until_they_expire(void **state)
{
	(void)state;
	const struct vehicle vehicle = vehicle_numbered(1);
	const struct certificate_record record = certificate_numbered(1, &vehicle);
	struct denied_certificate *denied;
	size_t count;

	provision_ok(REGISTRY, 1);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_CERTIFICATE, .certificate = &record});
	assert_false(is_denied(&record.serial, NOW_MS));
	COMMIT(REGISTRY, {.kind = REGISTRY_REVOKE_CERTIFICATE,
			  .revoke = {.serial = &record.serial, .reason = REVOCATION_KEY_COMPROMISE, .at_ms = NOW_MS}});
	ASSERT_OK(ASK(scan_denied, NOW_MS, &fixture.arena, &denied, &count, NULL));
	assert_int_equal(count, 1);
	assert_memory_equal(&denied[0].serial, &record.serial, SERIAL_SIZE);
	assert_memory_equal(&denied[0].reference_id, &record.reference_id, UUID_SIZE);
	assert_int_equal(denied[0].not_after_ms, record.not_after_ms);
	assert_false(is_denied(&record.serial, record.not_after_ms));
}

static void suspended_vehicles_of_all_tenants_are_scanned(void **state)
{
	(void)state;
	struct vehicle mine = vehicle_numbered(1), foreign = vehicle_numbered(2);
	struct uuid *ids;
	size_t count;

	provision_ok(REGISTRY, 3);
	ASSERT_OK(ASK(scan_suspended, &fixture.arena, &ids, &count, NULL));
	assert_int_equal(count, 0);
	mine.state = foreign.state = VEHICLE_SUSPENDED;
	mine.state_before_suspension = foreign.state_before_suspension = VEHICLE_ACTIVE;
	foreign.tenant = other;
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &mine},
	       {.kind = REGISTRY_INSERT_VEHICLE, .vehicle = &foreign});
	ASSERT_OK(ASK(scan_suspended, &fixture.arena, &ids, &count, NULL));
	assert_int_equal(count, 2);
	assert_memory_equal(&ids[0], &mine.reference_id, UUID_SIZE);
	assert_memory_equal(&ids[1], &foreign.reference_id, UUID_SIZE);
}

/* ---- signal documents and tenants ------------------------------------------------------------------ */

static void put_document(enum signal_document_kind kind, const char *sync_id, const char *bytes, int64_t at_ms)
{
	struct signal_document document = {
		.tenant = demo, .kind = kind, .bytes = span_of_text(bytes), .created_at_ms = at_ms};

	snprintf(document.sync_id, sizeof(document.sync_id), "%s", sync_id);
	COMMIT(REGISTRY, {.kind = REGISTRY_PUT_SIGNAL_DOCUMENT, .document = &document});
}

static void the_newest_document_of_a_kind_is_read(void **state)
{
	(void)state;
	struct signal_document read;

	assert_int_equal(ASK(get_signal_document, &demo, SIGNAL_DECODER_MANIFEST, true, &fixture.arena, &read, NULL),
			 RESULT_ABSENT);
	put_document(SIGNAL_DECODER_MANIFEST, "manifest-1", "one", NOW_MS);
	put_document(SIGNAL_DECODER_MANIFEST, "manifest-2", "two", NOW_MS + 1);
	put_document(SIGNAL_COLLECTION_SCHEMES, "schemes-1", "three", NOW_MS + 2);
	ASSERT_OK(ASK(get_signal_document, &demo, SIGNAL_DECODER_MANIFEST, true, &fixture.arena, &read, NULL));
	assert_string_equal(read.sync_id, "manifest-2");
	assert_int_equal(read.bytes.size, 3);
	assert_memory_equal(read.bytes.data, "two", 3);
	assert_int_equal(read.created_at_ms, NOW_MS + 1);
	/* loaded again, and so the newest */
	put_document(SIGNAL_DECODER_MANIFEST, "manifest-1", "one more", NOW_MS + 3);
	ASSERT_OK(ASK(get_signal_document, &demo, SIGNAL_DECODER_MANIFEST, false, &fixture.arena, &read, NULL));
	assert_string_equal(read.sync_id, "manifest-1");
	assert_int_equal(read.bytes.size, 0);
	assert_int_equal(ASK(get_signal_document, &other, SIGNAL_DECODER_MANIFEST, true, &fixture.arena, &read, NULL),
			 RESULT_ABSENT);
}

static void a_tenants_retention_is_kept(void **state)
{
	(void)state;
	const struct tenant written = {.id = {"third"}, .telemetry_retention_days = 30, .created_at_ms = NOW_MS};
	struct tenant read;

	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_TENANT, .tenant = &written});
	ASSERT_OK(ASK(get_tenant, &written.id, &read, NULL));
	assert_int_equal(read.telemetry_retention_days, 30);
	ASSERT_OK(ASK(get_tenant, &demo, &read, NULL));
	assert_int_equal(read.telemetry_retention_days, 0);
}

static void it_is_all_there_after_reopening(void **state)
{
	(void)state;
	const struct remote_command command = command_numbered(1, 1);
	const struct ownership ownership = ownership_numbered(2, "plant-7");
	struct remote_command read;
	struct alert *alerts;
	struct claim claim;

	provision_ok(REGISTRY, 1);
	insert_command(1, 1);
	insert_alert(1, 1, NOW_MS);
	insert_claim("plant-7", 1, 2);
	COMMIT(REGISTRY, {.kind = REGISTRY_INSERT_OWNERSHIP, .ownership = &ownership});
	fixture_reopen(&fixture);
	ASSERT_OK(ASK(get_command, &demo, &command.reference_id, &command.id, &fixture.arena, &read, NULL));
	assert_int_equal(list_alerts(&demo, (struct alert_query){0}, &alerts), 1);
	ASSERT_OK(ASK(get_claim, &demo, "plant-7", &claim, NULL));
	assert_true(is_denied(&ownership.serial, NOW_MS));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_command_reads_back_as_it_was_written),
		TEST(foreign_and_absent_commands_are_absent_alike),
		TEST(commands_for_nobody_and_stale_updates_are_refused),
		TEST(commands_are_listed_newest_first_in_pages),
		TEST(waiting_commands_are_those_not_begun_and_not_over),
		TEST(open_commands_are_those_of_all_tenants),
		TEST(commands_that_are_over_go_after_thirty_days),
		TEST(a_vehicle_gets_one_alert_of_a_kind_in_ten_minutes),
		TEST(alerts_are_listed_newest_first_within_their_tenant),
		TEST(alerts_go_after_a_year),
		TEST(a_claim_is_found_by_its_serial_and_by_its_name),
		TEST(a_claims_name_is_unique_in_the_installation),
		TEST(a_claim_is_used_as_often_as_it_allows),
		TEST(a_revoked_claim_is_of_no_use_and_denied),
		TEST(no_race_uses_a_claim_too_often),
		TEST(an_ownership_needs_its_claim),
		TEST(an_ownership_is_found_by_its_token_while_it_lives),
		TEST(a_token_is_taken_once),
		TEST(a_certificate_issued_ahead_is_denied_until_it_is_admitted),
		TEST(an_expired_certificate_issued_ahead_is_forgotten),
		TEST(so_many_of_a_claim_may_wait_and_no_more),
		TEST(a_certificate_is_found_by_its_serial),
		TEST(revoked_certificates_are_denied_until_they_expire),
		TEST(suspended_vehicles_of_all_tenants_are_scanned),
		TEST(the_newest_document_of_a_kind_is_read),
		TEST(a_tenants_retention_is_kept),
		TEST(it_is_all_there_after_reopening),
	};
	int failed = 0;

	for (size_t i = 0; i < registry_adapter_count; i++) {
		adapter = &registry_adapters[i];
		failed += cmocka_run_group_tests_name(adapter->name, tests, NULL, NULL);
	}
	return failed;
}
