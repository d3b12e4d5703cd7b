/* Fleet provisioning by claim: certificates ahead, tokens, and the vehicles that come of them. */
#include "claim_support.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

#define HOUR_MS ((int64_t)3600 * 1000)

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
	/* Whoever starts anew must learn what the running gateway was told. */
	assert_int_equal(found, gateway_denies(fixture, serial));
	return found;
}

static struct uuid name_on(const struct claimed_certificate *certificate)
{
	struct certificate_facts facts = facts_of(certificate);
	struct uuid id = {0};

	assert_ok(uuid_parse(span_of_text(facts.common_name), &id));
	return id;
}

static struct certificate_facts facts_of_credentials(const struct provisioned *provisioned)
{
	struct certificate_facts facts;

	assert_true(provisioned->has_credentials);
	assert_ok(certificate_read_pem(buf_span(&provisioned->credentials.certificate_pem), &facts, NULL));
	return facts;
}

static uint64_t vehicle_count(struct fixture *fixture)
{
	struct registry_counts counts = {0};

	assert_ok(fixture->platform.registry->ops->count(fixture->platform.registry, &counts, NULL));
	return counts.vehicles;
}

/* One certificate, of a fresh key. */
struct start {
	struct claim claim;
	struct test_csr csr;
	struct claimed_certificate certificate;
	struct serial serial;
};
static void start_release(struct start *start)
{
	claimed_certificate_release(&start->certificate);
}
#define START_CLEANUP __attribute__((cleanup(start_release)))

static struct start start_with(struct fixture *fixture, struct claim claim, struct test_csr csr)
{
	struct start start = {.claim = claim, .csr = csr};

	start.certificate = created_certificate(fixture, &start.claim, &start.csr);
	start.serial = facts_of(&start.certificate).serial;
	return start;
}

static struct start start_fresh(struct fixture *fixture, int64_t count_max)
{
	return start_with(fixture, add_claim(fixture, &fixture->admin, "line", count_max), make_csr());
}

static enum problem go_on(struct fixture *fixture, const struct start *start, const char *vin, const char *device_id,
			  struct provisioned *ret_provisioned)
{
	return provision_claimed(fixture, &start->claim, start->certificate.token, vin, device_id, ret_provisioned);
}

static void refuse(struct fixture *fixture, const struct start *start, const char *vin, const char *device_id,
		   enum problem expected)
{
	PROVISIONED_CLEANUP struct provisioned refused = {0};

	assert_problem(go_on(fixture, start, vin, device_id, &refused), expected);
}

/* ---- a certificate ahead ---------------------------------------------------------------------------- */

static void test_bad_csrs(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	struct claimed_certificate certificate = {0};
	struct test_csr bad[] = {{.pem = ""}, {.pem = "no CSR"}, make_csr()};

	bad[2].pem[60] = bad[2].pem[60] == 'A' ? 'B' : 'A'; /* another key than that which signed it */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_problem(create_certificate(fixture, &claim, &bad[i], &certificate), PROBLEM_CSR_INVALID);
	assert_null(certificate.der.data);
	assert_int_equal(fixture->authority.issued, 0);
	assert_int_equal(fake_gateway_count(&fixture->gateway, GATEWAY_TOLD_REVOKE), 0);
}

static void test_a_certificate_ahead_is_denied(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start start = start_fresh(fixture, 10);
	struct certificate_facts facts = facts_of(&start.certificate);
	uint8_t token[OWNERSHIP_TOKEN_BYTES];

	assert_memory_equal(facts.spki_sha256, start.csr.spki_sha256, SHA256_SIZE);
	assert_true(is_denied(fixture, &start.serial));
	assert_int_equal(vehicle_count(fixture), 0);
	assert_int_equal(claim_now(fixture, &start.claim).used, 0);
	assert_ok(hex_parse(span_of_text(start.certificate.token), false, token, sizeof(token)));
	assert_false(fake_audit_holds(&fixture->audit, start.certificate.token));
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"actor\":\"claim:line\""));
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"serialNumber\":\""));
	assert_null(strstr(fake_audit_last(&fixture->audit), "\"referenceId\":\""));
	/* It stays denied when its hour is over. */
	fixture->clock.now_ms += 2 * HOUR_MS;
	assert_true(is_denied(fixture, &start.serial));
	/* Nobody else's session is looked at for it. */
	struct uuid name = name_on(&start.certificate);
	assert_true(uuid_equal(&fake_gateway_call(&fixture->gateway, GATEWAY_TOLD_REVOKE, 0)->reference_id, &name));
}

static void test_names_and_tokens_are_never_the_same(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start one = start_fresh(fixture, 10);
	START_CLEANUP struct start other = start_with(fixture, one.claim, one.csr);
	struct uuid first = name_on(&one.certificate), second = name_on(&other.certificate);

	assert_false(uuid_equal(&first, &second));
	assert_string_not_equal(one.certificate.token, other.certificate.token);
}

static void test_components_away_at_the_first_step(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	struct claimed_certificate certificate = {0};
	struct test_csr csr = make_csr();

	fixture->authority.issue_result = RESULT_UNAVAILABLE;
	assert_problem(create_certificate(fixture, &claim, &csr, &certificate), PROBLEM_UNAVAILABLE);
	fixture->authority.issue_result = RESULT_EXHAUSTED;
	assert_problem(create_certificate(fixture, &claim, &csr, &certificate), PROBLEM_BUDGET_EXHAUSTED);
	assert_int_equal(fake_gateway_count(&fixture->gateway, GATEWAY_TOLD_REVOKE), 0);
	assert_null(certificate.der.data);
}

static void test_too_many_wait(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	struct claim other = add_claim(fixture, &fixture->admin, "other-line", 10);
	struct claimed_certificate refused = {0};
	struct test_csr csr = make_csr();

	for (int i = 0; i < OWNERSHIPS_PER_CLAIM_MAX; i++) {
		CLAIMED_CERTIFICATE_CLEANUP struct claimed_certificate certificate =
			created_certificate(fixture, &claim, &csr);
		assert_true(certificate.der.size > 0);
	}
	int issued = fixture->authority.issued;
	/* The refusal costs no certificate. */
	assert_problem(create_certificate(fixture, &claim, &csr, &refused), PROBLEM_RATE_LIMITED);
	assert_int_equal(fixture->authority.issued, issued);
	CLAIMED_CERTIFICATE_CLEANUP struct claimed_certificate others = created_certificate(fixture, &other, &csr);
	assert_true(others.der.size > 0);
	fixture->clock.now_ms += HOUR_MS;
	CLAIMED_CERTIFICATE_CLEANUP struct claimed_certificate later = created_certificate(fixture, &claim, &csr);
	assert_true(later.der.size > 0);
}

/* ---- a VIN seen for the first time ------------------------------------------------------------------ */

static void test_first_time(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start start = start_fresh(fixture, 10);
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};
	struct uuid name = name_on(&start.certificate);

	assert_problem(go_on(fixture, &start, VIN_A, "tcu-1", &provisioned), PROBLEM_NONE);
	assert_true(provisioned.is_created);
	assert_false(provisioned.has_credentials);
	assert_true(uuid_equal(&provisioned.vehicle.reference_id, &name));
	assert_false(is_denied(fixture, &start.serial));
	assert_int_equal(live_certificates(fixture, &name), 1);
	assert_string_equal(vehicle_now(fixture, &name).device_id, "tcu-1");
	assert_int_equal(claim_now(fixture, &start.claim).used, 1);
	assert_int_equal(fixture->authority.issued, 1);
	assert_int_equal(history_count(fixture, &name, HISTORY_PROVISIONED), 1);
	assert_int_equal(history_count(fixture, &name, HISTORY_CERTIFICATE_ISSUED), 1);
	assert_null(strstr(fake_audit_last(&fixture->audit), "\"purpose\""));
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"deviceId\":\"tcu-1\""));
	assert_false(fake_audit_holds(&fixture->audit, VIN_A));
	assert_int_equal(outbox_count(fixture), 0);
}

static void test_revoked_like_any_other(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start start = start_fresh(fixture, 10);
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};
	struct vehicle vehicle;

	assert_problem(go_on(fixture, &start, VIN_A, "tcu-1", &provisioned), PROBLEM_NONE);
	assert_problem(change_device(fixture, &provisioned.vehicle.reference_id, "tcu-1", "tcu-2", &vehicle),
		       PROBLEM_NONE);
	assert_true(is_denied(fixture, &start.serial));
}

static void test_bad_parameters_leave_the_token(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start start = start_fresh(fixture, 10);
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	refuse(fixture, &start, "", "tcu-1", PROBLEM_VIN_INVALID);
	refuse(fixture, &start, "NOT-A-VIN", "tcu-1", PROBLEM_VIN_INVALID);
	refuse(fixture, &start, VIN_A, "", PROBLEM_VALUE_INVALID);
	refuse(fixture, &start, VIN_A, "tcu 1", PROBLEM_VALUE_INVALID);
	refuse(fixture, &start, VIN_A, VIN_A, PROBLEM_VIN_NOT_ALLOWED);
	fixture->keys.index_result = RESULT_UNAVAILABLE;
	refuse(fixture, &start, VIN_A, "tcu-1", PROBLEM_UNAVAILABLE);
	fixture->keys.index_result = RESULT_EXHAUSTED;
	refuse(fixture, &start, VIN_A, "tcu-1", PROBLEM_BUDGET_EXHAUSTED);
	fixture->keys.index_result = RESULT_OK;
	fixture->keys.seal_result = RESULT_UNAVAILABLE;
	refuse(fixture, &start, VIN_A, "tcu-1", PROBLEM_UNAVAILABLE);
	fixture->keys.seal_result = RESULT_OK;
	assert_int_equal(claim_now(fixture, &start.claim).used, 0);
	assert_true(is_denied(fixture, &start.serial));
	assert_problem(go_on(fixture, &start, VIN_A, "tcu-1", &provisioned), PROBLEM_NONE);
}

static void test_the_manifest(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start stranger = start_fresh(fixture, 10);
	START_CLEANUP struct start other_key = start_with(fixture, stranger.claim, make_csr());
	START_CLEANUP struct start pinned = start_with(fixture, stranger.claim, make_csr());
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	set_manifest_required(fixture, true);
	add_device(fixture, "tcu-1", pinned.csr.spki_sha256);
	refuse(fixture, &stranger, VIN_A, "tcu-9", PROBLEM_DEVICE_UNKNOWN);
	refuse(fixture, &other_key, VIN_A, "tcu-1", PROBLEM_KEY_MISMATCH);
	assert_problem(go_on(fixture, &pinned, VIN_A, "tcu-1", &provisioned), PROBLEM_NONE);
}

static void test_keys_are_not_reused(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start start = start_fresh(fixture, 10);
	PROVISIONED_CLEANUP struct provisioned first = {0};

	assert_problem(provision(fixture, VIN_B, "tcu-b", &start.csr, &first), PROBLEM_NONE);
	refuse(fixture, &start, VIN_A, "tcu-1", PROBLEM_KEY_REUSED);
	assert_int_equal(vehicle_count(fixture), 1);
	assert_int_equal(claim_now(fixture, &start.claim).used, 0);
	assert_true(is_denied(fixture, &start.serial));
}

/* ---- a VIN that is known ---------------------------------------------------------------------------- */

static struct uuid vehicle_without_device(struct fixture *fixture, const char *vin)
{
	struct uuid id = provisioned_vehicle(fixture, vin, "tcu-old");
	struct vehicle vehicle;

	assert_problem(change_device(fixture, &id, "tcu-old", "", &vehicle), PROBLEM_NONE);
	return id;
}

static void test_known_under_another_name(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = vehicle_without_device(fixture, VIN_A);
	START_CLEANUP struct start start = start_fresh(fixture, 10);
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};
	char name[UUID_TEXT_SIZE];

	assert_problem(go_on(fixture, &start, VIN_A, "tcu-1", &provisioned), PROBLEM_NONE);
	assert_false(provisioned.is_created);
	assert_true(uuid_equal(&provisioned.vehicle.reference_id, &id));
	struct certificate_facts facts = facts_of_credentials(&provisioned);
	uuid_format(&id, name);
	assert_string_equal(facts.common_name, name);
	assert_memory_equal(facts.spki_sha256, start.csr.spki_sha256, SHA256_SIZE);
	assert_int_equal(provisioned.credentials.private_key_pem.size, 0);
	assert_true(is_denied(fixture, &start.serial));
	assert_false(is_denied(fixture, &facts.serial));
	assert_int_equal(live_certificates(fixture, &id), 1);
	assert_string_equal(vehicle_now(fixture, &id).device_id, "tcu-1");
	assert_int_equal(claim_now(fixture, &start.claim).used, 1);
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"purpose\":\"provisioning\""));
	refuse(fixture, &start, VIN_A, "tcu-1", PROBLEM_OWNERSHIP_INVALID);
}

static void test_a_device_that_waits_is_named_in_the_csr(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-old");
	struct vehicle vehicle;
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	assert_problem(change_device(fixture, &id, "tcu-old", "tcu-new", &vehicle), PROBLEM_NONE);
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	START_CLEANUP struct start start = start_with(fixture, claim, make_named_csr("tcu-new"));
	struct uuid name = name_on(&start.certificate);
	assert_true(uuid_equal(&name, &id));
	assert_true(is_denied(fixture, &start.serial));
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"deviceId\":\"tcu-new\""));
	assert_problem(go_on(fixture, &start, VIN_A, "tcu-new", &provisioned), PROBLEM_NONE);
	assert_false(provisioned.is_created);
	assert_false(provisioned.has_credentials);
	assert_false(is_denied(fixture, &start.serial));
	assert_int_equal(live_certificates(fixture, &id), 1);
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"purpose\":\"provisioning\""));
}

static void test_who_does_not_wait_gives_no_name(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	struct claim foreign = add_claim(fixture, &fixture->stranger, "foreign", 10);
	struct vehicle vehicle;

	START_CLEANUP struct start live = start_with(fixture, claim, make_named_csr("tcu-1"));
	struct uuid name = name_on(&live.certificate);
	assert_false(uuid_equal(&name, &id));
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	START_CLEANUP struct start others = start_with(fixture, foreign, make_named_csr("tcu-2"));
	name = name_on(&others.certificate);
	assert_false(uuid_equal(&name, &id));
	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	START_CLEANUP struct start suspended = start_with(fixture, claim, make_named_csr("tcu-2"));
	name = name_on(&suspended.certificate);
	assert_false(uuid_equal(&name, &id));
}

/* Issued under a known vehicle's name, and then used for a VIN that is new. */
static void test_a_name_that_is_taken(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-old");
	struct vehicle vehicle;
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	assert_problem(change_device(fixture, &id, "tcu-old", "tcu-new", &vehicle), PROBLEM_NONE);
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	START_CLEANUP struct start start = start_with(fixture, claim, make_named_csr("tcu-new"));
	assert_problem(go_on(fixture, &start, VIN_B, "tcu-b", &provisioned), PROBLEM_NONE);
	assert_true(provisioned.is_created);
	assert_false(uuid_equal(&provisioned.vehicle.reference_id, &id));
	struct certificate_facts facts = facts_of_credentials(&provisioned);
	assert_true(is_denied(fixture, &start.serial));
	assert_false(is_denied(fixture, &facts.serial));
	assert_int_equal(live_certificates(fixture, &id), 0);
}

static void test_a_live_certificate_is_not_replaced(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	START_CLEANUP struct start start = start_fresh(fixture, 10);

	refuse(fixture, &start, VIN_A, "tcu-1", PROBLEM_CERTIFICATE_LIMIT);
	assert_int_equal(live_certificates(fixture, &id), 1);
	assert_int_equal(claim_now(fixture, &start.claim).used, 0);
	assert_true(is_denied(fixture, &start.serial));
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"purpose\":\"provisioning\""));
}

/* Each of them tells something of the VIN, so each costs the token. */
static void test_refusals_that_tell_use_the_token(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	struct uuid suspended = provisioned_vehicle(fixture, VIN_B, "tcu-b");
	static const struct {
		const char *vin, *device_id;
		enum problem problem;
	} cases[] = {
		{VIN_A, "tcu-1", PROBLEM_CERTIFICATE_LIMIT},
		{VIN_A, "tcu-2", PROBLEM_VEHICLE_HAS_OTHER_DEVICE},
		{VIN_WITHOUT_DIGIT, "tcu-1", PROBLEM_DEVICE_IN_USE},
		{VIN_B, "tcu-b", PROBLEM_VEHICLE_NOT_PROVISIONABLE},
	};

	provisioned_vehicle(fixture, VIN_A, "tcu-1");
	assert_problem(set_state(fixture, &suspended, VEHICLE_SUSPENDED), PROBLEM_NONE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		START_CLEANUP struct start start = start_with(fixture, claim, make_csr());
		refuse(fixture, &start, cases[i].vin, cases[i].device_id, cases[i].problem);
		refuse(fixture, &start, cases[i].vin, cases[i].device_id, PROBLEM_OWNERSHIP_INVALID);
		refuse(fixture, &start, VIN_WITHOUT_DIGIT, "tcu-9", PROBLEM_OWNERSHIP_INVALID);
		assert_true(is_denied(fixture, &start.serial));
	}
	assert_int_equal(claim_now(fixture, &claim).used, 0);
}

/* Or a stolen claim could ask about as many VINs as keyd issues certificates, and use up what all tenants share. */
static void test_a_used_token_counts_until_its_hour_is_over(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 10);
	struct claimed_certificate refused = {0};
	struct test_csr csr = make_csr();

	provisioned_vehicle(fixture, VIN_A, "tcu-1");
	for (int i = 0; i < OWNERSHIPS_PER_CLAIM_MAX; i++) {
		START_CLEANUP struct start start = start_with(fixture, claim, csr);
		refuse(fixture, &start, VIN_A, "tcu-1", PROBLEM_CERTIFICATE_LIMIT);
	}
	assert_problem(create_certificate(fixture, &claim, &csr, &refused), PROBLEM_RATE_LIMITED);
	fixture->clock.now_ms += HOUR_MS;
	START_CLEANUP struct start later = start_with(fixture, claim, csr);
	assert_true(is_denied(fixture, &later.serial));
}

/* ---- tokens ------------------------------------------------------------------------------------------ */

static void test_tokens_of_nobody(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start start = start_fresh(fixture, 10);
	struct provisioned refused;
	char upper[OWNERSHIP_TOKEN_LENGTH + 1], random[OWNERSHIP_TOKEN_LENGTH + 1];

	memset(random, 'a', OWNERSHIP_TOKEN_LENGTH);
	random[OWNERSHIP_TOKEN_LENGTH] = '\0';
	for (size_t i = 0; i <= OWNERSHIP_TOKEN_LENGTH; i++) {
		char digit = start.certificate.token[i];
		upper[i] = (char)(digit >= 'a' ? digit - 'a' + 'A' : digit);
	}
	const char *const bad[] = {"", "token", random, upper, start.certificate.token + 1};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_problem(provision_claimed(fixture, &start.claim, bad[i], VIN_A, "tcu-1", &refused),
			       PROBLEM_OWNERSHIP_INVALID);
	/* Nothing was asked of keyd, and so nothing told. */
	assert_int_equal(fixture->keys.index_calls, 0);
}

static void test_a_token_is_used_once(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start start = start_fresh(fixture, 10);
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	assert_problem(go_on(fixture, &start, VIN_A, "tcu-1", &provisioned), PROBLEM_NONE);
	refuse(fixture, &start, VIN_A, "tcu-1", PROBLEM_OWNERSHIP_INVALID);
	refuse(fixture, &start, VIN_B, "tcu-2", PROBLEM_OWNERSHIP_INVALID);
	assert_int_equal(claim_now(fixture, &start.claim).used, 1);
}

static void test_a_token_is_good_for_an_hour(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start late = start_fresh(fixture, 10);
	START_CLEANUP struct start in_time = start_with(fixture, late.claim, make_csr());
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	fixture->clock.now_ms += HOUR_MS - 1;
	assert_problem(go_on(fixture, &in_time, VIN_A, "tcu-1", &provisioned), PROBLEM_NONE);
	fixture->clock.now_ms += 1;
	refuse(fixture, &late, VIN_B, "tcu-2", PROBLEM_OWNERSHIP_INVALID);
}

static void let_an_hour_pass(void *context)
{
	struct fixture *fixture = context;

	fixture->clock.now_ms += HOUR_MS;
}

/* Between its being looked up and its being used. */
static void test_a_token_that_is_over_meanwhile(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start start = start_fresh(fixture, 10);

	fixture->keys.on_seal_context = fixture;
	fixture->keys.on_seal = let_an_hour_pass;
	refuse(fixture, &start, VIN_A, "tcu-1", PROBLEM_OWNERSHIP_INVALID);
	assert_int_equal(vehicle_count(fixture), 0);
	assert_int_equal(claim_now(fixture, &start.claim).used, 0);
}

static void test_a_token_is_of_its_claim(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start start = start_fresh(fixture, 10);
	struct claim other = add_claim(fixture, &fixture->admin, "other-line", 10);
	struct claim foreign = add_claim(fixture, &fixture->stranger, "foreign-line", 10);
	struct provisioned refused;
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	assert_problem(provision_claimed(fixture, &other, start.certificate.token, VIN_A, "tcu-1", &refused),
		       PROBLEM_OWNERSHIP_INVALID);
	assert_problem(provision_claimed(fixture, &foreign, start.certificate.token, VIN_A, "tcu-1", &refused),
		       PROBLEM_OWNERSHIP_INVALID);
	assert_problem(go_on(fixture, &start, VIN_A, "tcu-1", &provisioned), PROBLEM_NONE);
}

static void test_each_tenants_claim_makes_its_own_vehicle(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct claim foreign = add_claim(fixture, &fixture->stranger, "foreign-line", 10);
	START_CLEANUP struct start start = start_with(fixture, foreign, make_csr());
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	assert_problem(go_on(fixture, &start, VIN_A, "tcu-1", &provisioned), PROBLEM_NONE);
	assert_true(provisioned.is_created);
	assert_false(uuid_equal(&provisioned.vehicle.reference_id, &id));
	assert_true(tenant_id_equal(&provisioned.vehicle.tenant, &fixture->other_tenant.id));
}

/* ---- claims that are no longer good, by what was true when they were asked about ---------------------- */

static void test_a_claim_revoked_meanwhile(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start start = start_fresh(fixture, 10);
	SESSION_CLEANUP struct session session;
	struct claim revoked;

	session_open(&session, fixture, &fixture->admin);
	assert_problem(claims_revoke(&session.request, "line", &revoked), PROBLEM_NONE);
	refuse(fixture, &start, VIN_A, "tcu-1", PROBLEM_CLAIM_REFUSED);
	assert_int_equal(vehicle_count(fixture), 0);
	assert_true(is_denied(fixture, &start.serial));
}

static void test_a_claim_used_up_meanwhile(void **state)
{
	struct fixture *fixture = *state;
	START_CLEANUP struct start first = start_fresh(fixture, 1);
	START_CLEANUP struct start second = start_with(fixture, first.claim, make_csr());
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	assert_problem(go_on(fixture, &first, VIN_A, "tcu-1", &provisioned), PROBLEM_NONE);
	refuse(fixture, &second, VIN_B, "tcu-2", PROBLEM_CLAIM_REFUSED);
	assert_int_equal(vehicle_count(fixture), 1);
	assert_true(is_denied(fixture, &second.serial));
}

/* ---- many at once ------------------------------------------------------------------------------------ */

#define REQUESTS 60
#define THREADS	 20

struct race {
	struct fixture *fixture;
	struct claim claim;
	struct start starts[REQUESTS];
	bool is_one_token, is_one_vin;
	pthread_barrier_t barrier;
	enum problem problems[REQUESTS];
	struct provisioned provisioned[REQUESTS];
};

struct runner {
	struct race *race;
	size_t first;
};

static void run_one(struct race *race, size_t i)
{
	const struct start *start = &race->starts[race->is_one_token ? 0 : i];
	char vin[VIN_LENGTH + 1], device_id[DEVICE_ID_SIZE];

	snprintf(vin, sizeof(vin), "1M8GDM9AXKP%06zu", race->is_one_vin ? 0 : i);
	snprintf(device_id, sizeof(device_id), "tcu-%zu", race->is_one_vin ? 0 : i);
	race->problems[i] = go_on(race->fixture, start, vin, device_id, &race->provisioned[i]);
}

static void *run(void *context)
{
	struct runner *runner = context;

	pthread_barrier_wait(&runner->race->barrier);
	for (size_t i = runner->first; i < REQUESTS; i += THREADS)
		run_one(runner->race, i);
	return NULL;
}

static struct race *race_new(struct fixture *fixture, int64_t count_max)
{
	struct race *race = calloc(1, sizeof(*race));

	assert_non_null(race);
	race->fixture = fixture;
	race->claim = add_claim(fixture, &fixture->admin, "line", count_max);
	for (size_t i = 0; i < REQUESTS; i++)
		race->starts[i] = start_with(fixture, race->claim, make_csr());
	return race;
}

static void race_run(struct race *race)
{
	pthread_t threads[THREADS];
	struct runner runners[THREADS];

	pthread_barrier_init(&race->barrier, NULL, THREADS);
	for (size_t i = 0; i < THREADS; i++) {
		runners[i] = (struct runner){race, i};
		assert_int_equal(pthread_create(&threads[i], NULL, run, &runners[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&race->barrier);
}

static size_t race_count(const struct race *race, enum problem problem)
{
	size_t count = 0;

	for (size_t i = 0; i < REQUESTS; i++)
		count += race->problems[i] == problem;
	return count;
}

/* Exactly the certificates of those that won are let in. */
static void race_check_admitted(struct race *race, size_t expected)
{
	size_t admitted = 0;

	for (size_t i = 0; i < REQUESTS; i++)
		admitted += !is_denied(race->fixture, &race->starts[i].serial);
	assert_int_equal(admitted, expected);
}

static void race_free(struct race *race)
{
	for (size_t i = 0; i < REQUESTS; i++) {
		provisioned_release(&race->provisioned[i]);
		start_release(&race->starts[i]);
	}
	free(race);
}

static void test_a_count_is_never_exceeded(void **state)
{
	struct race *race = race_new(*state, 10);

	race_run(race);
	assert_int_equal(race_count(race, PROBLEM_NONE), 10);
	assert_int_equal(race_count(race, PROBLEM_CLAIM_REFUSED), REQUESTS - 10);
	assert_int_equal(vehicle_count(race->fixture), 10);
	assert_int_equal(claim_now(race->fixture, &race->claim).used, 10);
	race_check_admitted(race, 10);
	race_free(race);
}

static void test_one_token_makes_one_vehicle(void **state)
{
	struct race *race = race_new(*state, REQUESTS);

	race->is_one_token = true;
	race_run(race);
	assert_int_equal(race_count(race, PROBLEM_NONE), 1);
	assert_int_equal(race_count(race, PROBLEM_OWNERSHIP_INVALID), REQUESTS - 1);
	assert_int_equal(vehicle_count(race->fixture), 1);
	assert_int_equal(claim_now(race->fixture, &race->claim).used, 1);
	race_free(race);
}

static void test_one_vin_is_one_vehicle(void **state)
{
	struct race *race = race_new(*state, REQUESTS);

	race->is_one_vin = true;
	race_run(race);
	assert_int_equal(race_count(race, PROBLEM_NONE), 1);
	assert_int_equal(race_count(race, PROBLEM_CERTIFICATE_LIMIT), REQUESTS - 1);
	assert_int_equal(vehicle_count(race->fixture), 1);
	assert_int_equal(claim_now(race->fixture, &race->claim).used, 1);
	race_check_admitted(race, 1);
	race_free(race);
}

/* The same message, delivered again and again. */
static void test_one_message_many_times(void **state)
{
	struct race *race = race_new(*state, REQUESTS);

	race->is_one_token = race->is_one_vin = true;
	race_run(race);
	assert_int_equal(race_count(race, PROBLEM_NONE), 1);
	assert_int_equal(race_count(race, PROBLEM_OWNERSHIP_INVALID), REQUESTS - 1);
	assert_int_equal(vehicle_count(race->fixture), 1);
	race_free(race);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_bad_csrs),
		TEST(test_a_certificate_ahead_is_denied),
		TEST(test_names_and_tokens_are_never_the_same),
		TEST(test_components_away_at_the_first_step),
		TEST(test_too_many_wait),
		TEST(test_first_time),
		TEST(test_revoked_like_any_other),
		TEST(test_bad_parameters_leave_the_token),
		TEST(test_the_manifest),
		TEST(test_keys_are_not_reused),
		TEST(test_known_under_another_name),
		TEST(test_a_device_that_waits_is_named_in_the_csr),
		TEST(test_who_does_not_wait_gives_no_name),
		TEST(test_a_name_that_is_taken),
		TEST(test_a_live_certificate_is_not_replaced),
		TEST(test_refusals_that_tell_use_the_token),
		TEST(test_a_used_token_counts_until_its_hour_is_over),
		TEST(test_tokens_of_nobody),
		TEST(test_a_token_is_used_once),
		TEST(test_a_token_is_good_for_an_hour),
		TEST(test_a_token_that_is_over_meanwhile),
		TEST(test_a_token_is_of_its_claim),
		TEST(test_each_tenants_claim_makes_its_own_vehicle),
		TEST(test_a_claim_revoked_meanwhile),
		TEST(test_a_claim_used_up_meanwhile),
		TEST(test_a_count_is_never_exceeded),
		TEST(test_one_token_makes_one_vehicle),
		TEST(test_one_vin_is_one_vehicle),
		TEST(test_one_message_many_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
