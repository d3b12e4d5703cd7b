/* Claims: what is registered, who sees and revokes it, and whose requests it lets through. */
#include "claim_support.h"

#include <stdio.h>

static enum problem register_claim(struct fixture *fixture, const struct client *client, const char *name,
				   const char *pem, int64_t count_max)
{
	SESSION_CLEANUP struct session session;
	struct claim_registration registration = {
		.name = span_of_text(name), .certificate_pem = span_of_text(pem), .count_max = count_max};
	struct claim claim;

	session_open(&session, fixture, client);
	enum problem problem = claims_register(&session.request, &registration, &claim);
	if (problem == PROBLEM_VALUE_INVALID)
		assert_true(session.request.detail[0] != '\0');
	return problem;
}

static enum problem register_made(struct fixture *fixture, const char *certificate_name, const char *name)
{
	BUF_CLEANUP struct buf pem = {0};

	make_claim_certificate(fixture, certificate_name, &pem);
	assert_ok(buf_append_byte(&pem, 0));
	return register_claim(fixture, &fixture->admin, name, (const char *)pem.data, 10);
}

static void test_bad_names_and_counts(void **state)
{
	struct fixture *fixture = *state;
	static const char *const bad[] = {"",
					  "-line",
					  "Line",
					  "line_1",
					  "0b9e4f1a-7c2d-4e3f-8a1b-2c3d4e5f6071",
					  "a123456789b123456789c123456789d123456789e12345678"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_problem(register_claim(fixture, &fixture->admin, bad[i], "", 1), PROBLEM_VALUE_INVALID);
	assert_problem(register_claim(fixture, &fixture->admin, "1m8gdm9axkp042788", "", 1), PROBLEM_VIN_NOT_ALLOWED);
	assert_problem(register_claim(fixture, &fixture->admin, "line", "", 0), PROBLEM_VALUE_INVALID);
	assert_problem(register_claim(fixture, &fixture->admin, "line", "", CLAIM_COUNT_MAX + 1),
		       PROBLEM_VALUE_INVALID);
}

static void make_device_certificate(struct fixture *fixture, struct buf *ret_pem)
{
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &provisioned), PROBLEM_NONE);
	assert_ok(buf_append(ret_pem, buf_span(&provisioned.credentials.certificate_pem)));
	assert_ok(buf_append_byte(ret_pem, 0));
}

static void test_only_a_claim_certificate_of_the_issuer(void **state)
{
	struct fixture *fixture = *state;
	struct fake_authority other;
	BUF_CLEANUP struct buf device = {0}, foreign = {0}, root = {0};

	assert_problem(register_claim(fixture, &fixture->admin, "line", "no PEM", 1), PROBLEM_VALUE_INVALID);
	make_device_certificate(fixture, &device);
	assert_problem(register_claim(fixture, &fixture->admin, "line", (const char *)device.data, 1),
		       PROBLEM_VALUE_INVALID);
	assert_problem(register_made(fixture, "other-name", "line"), PROBLEM_VALUE_INVALID);

	make_claim_certificate(fixture, "line", &foreign);
	assert_ok(buf_append_byte(&foreign, 0));
	assert_ok(buf_append(&root, buf_span(&fixture->authority.certificate_pem)));
	assert_ok(buf_append_byte(&root, 0));
	assert_problem(register_claim(fixture, &fixture->admin, "line", (const char *)root.data, 1),
		       PROBLEM_VALUE_INVALID);
	assert_ok(fake_authority_init(&other, &fixture->clock.clock));
	fixture->platform.authority = &other.authority;
	assert_problem(register_claim(fixture, &fixture->admin, "line", (const char *)foreign.data, 1),
		       PROBLEM_VALUE_INVALID);
	fixture->platform.authority = &fixture->authority.authority;
	fake_authority_release(&other);
	fixture->clock.now_ms += (int64_t)CLAIM_DAYS * 86400000;
	assert_problem(register_claim(fixture, &fixture->admin, "line", (const char *)foreign.data, 1),
		       PROBLEM_VALUE_INVALID);
}

static void test_names_and_certificates_are_unique(void **state)
{
	struct fixture *fixture = *state;
	BUF_CLEANUP struct buf pem = {0};

	make_claim_certificate(fixture, "line", &pem);
	assert_ok(buf_append_byte(&pem, 0));
	assert_problem(register_claim(fixture, &fixture->admin, "line", (const char *)pem.data, 5), PROBLEM_NONE);
	assert_problem(register_claim(fixture, &fixture->admin, "line", (const char *)pem.data, 5),
		       PROBLEM_ALREADY_EXISTS);
	assert_problem(register_claim(fixture, &fixture->stranger, "line", (const char *)pem.data, 5),
		       PROBLEM_ALREADY_EXISTS);
	assert_problem(register_made(fixture, "line", "line"), PROBLEM_ALREADY_EXISTS);
}

static void test_registered_and_told(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line-1", 5);

	assert_string_equal(claim.name, "line-1");
	assert_true(tenant_id_equal(&claim.tenant, &fixture->tenant.id));
	assert_int_equal(claim.count_max, 5);
	assert_int_equal(claim.used, 0);
	assert_int_equal(claim.not_after_ms, START_MS + (int64_t)CLAIM_DAYS * 86400000);
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"subject\":\"line-1\""));
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"serialNumber\":\""));
	assert_int_equal(outbox_count(fixture), 0);
}

static void test_each_tenant_sees_its_own(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session, foreign;
	struct claim *claims, claim;
	size_t count;

	add_claim(fixture, &fixture->admin, "line-1", 5);
	add_claim(fixture, &fixture->admin, "line-2", 5);
	add_claim(fixture, &fixture->stranger, "line-3", 5);
	session_open(&session, fixture, &fixture->admin);
	session_open(&foreign, fixture, &fixture->stranger);
	assert_problem(claims_list(&session.request, &claims, &count), PROBLEM_NONE);
	assert_int_equal(count, 2);
	assert_string_equal(claims[0].name, "line-1");
	assert_string_equal(claims[1].name, "line-2");
	assert_problem(claims_get(&session.request, "line-2", &claim), PROBLEM_NONE);
	assert_problem(claims_get(&session.request, "line-3", &claim), PROBLEM_NOT_FOUND);
	assert_problem(claims_get(&session.request, "none", &claim), PROBLEM_NOT_FOUND);
	assert_problem(claims_revoke(&foreign.request, "line-1", &claim), PROBLEM_NOT_FOUND);
	assert_problem(claims_revoke(&foreign.request, "line-3", &claim), PROBLEM_NONE);
}

static enum problem revoke(struct fixture *fixture, const char *name, struct claim *ret_claim)
{
	SESSION_CLEANUP struct session session;

	session_open(&session, fixture, &fixture->admin);
	return claims_revoke(&session.request, name, ret_claim);
}

static enum problem authenticate(struct fixture *fixture, const struct serial *serial)
{
	struct claim claim = {0};
	struct note note = {0};
	enum problem problem = claims_authenticate(&fixture->platform, serial, &claim, &note);

	assert_int_equal(claim.name[0] != '\0', problem == PROBLEM_NONE || problem == PROBLEM_CLAIM_REFUSED);
	return problem;
}

static void test_revoked(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 5), revoked;
	BUF_CLEANUP struct buf crl = {0};
	struct note note = {0};

	assert_problem(authenticate(fixture, &claim.serial), PROBLEM_NONE);
	fixture->clock.now_ms += 1000;
	assert_problem(revoke(fixture, "line", &revoked), PROBLEM_NONE);
	assert_true(revoked.is_revoked);
	assert_int_equal(revoked.revoked_at_ms, fixture->clock.now_ms);
	assert_problem(authenticate(fixture, &claim.serial), PROBLEM_CLAIM_REFUSED);
	assert_true(gateway_denies(fixture, &claim.serial));
	assert_ok(crl_make(&fixture->platform, &crl, &note));
	assert_int_equal(fixture->authority.revoked_count, 1);

	size_t leaves = fixture->audit.count;
	fixture->clock.now_ms += 1000;
	assert_problem(revoke(fixture, "line", &revoked), PROBLEM_NONE);
	assert_int_equal(revoked.revoked_at_ms, fixture->clock.now_ms - 1000);
	assert_int_equal(fixture->audit.count, leaves);
	assert_int_equal(fake_gateway_count(&fixture->gateway, GATEWAY_TOLD_REVOKE), 1);
}

/* The gateway's is a claim's: it cuts no vehicle. */
static void test_the_gateway_is_told_of_no_vehicle(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 5), revoked;
	static const struct uuid nobody;

	assert_problem(revoke(fixture, "line", &revoked), PROBLEM_NONE);
	const struct fake_gateway_call *told = fake_gateway_call(&fixture->gateway, GATEWAY_TOLD_REVOKE, 0);
	assert_true(uuid_equal(&told->reference_id, &nobody));
	assert_int_equal(told->not_after_ms, claim.not_after_ms);
}

static void test_authentication(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 1);
	static const struct serial unknown;
	struct registry_write use = {.kind = REGISTRY_USE_CLAIM,
				     .claim_use = {.name = "line", .at_ms = fixture->clock.now_ms}};

	assert_problem(authenticate(fixture, &unknown), PROBLEM_UNAUTHENTICATED);
	assert_problem(authenticate(fixture, &claim.serial), PROBLEM_NONE);
	fixture->clock.now_ms = claim.not_after_ms;
	assert_problem(authenticate(fixture, &claim.serial), PROBLEM_CLAIM_REFUSED);
	fixture->clock.now_ms = claim.not_after_ms - 1;
	assert_problem(authenticate(fixture, &claim.serial), PROBLEM_NONE);
	commit_alone(fixture, use);
	assert_problem(authenticate(fixture, &claim.serial), PROBLEM_CLAIM_REFUSED);
	/* A vehicle's certificate is nobody's claim. */
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};
	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &provisioned), PROBLEM_NONE);
	assert_problem(authenticate(fixture, &provisioned.credentials.serial), PROBLEM_UNAUTHENTICATED);
}

static void test_states(void **state)
{
	(void)state;
	struct claim claim = {.count_max = 2, .used = 1, .not_after_ms = 100};

	assert_string_equal(claim_state_name(&claim, 99), "active");
	assert_string_equal(claim_state_name(&claim, 100), "expired");
	claim.used = 2;
	assert_string_equal(claim_state_name(&claim, 99), "used-up");
	claim.is_revoked = true;
	assert_string_equal(claim_state_name(&claim, 100), "revoked");
}

static void test_components_away(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->admin, "line", 5), revoked;

	/* Committed, but its leaf is not durable: told as unavailable, and cut all the same. */
	fixture->audit.append_result = RESULT_UNAVAILABLE;
	assert_problem(revoke(fixture, "line", &revoked), PROBLEM_UNAVAILABLE);
	assert_true(gateway_denies(fixture, &claim.serial));
	fixture->audit.append_result = RESULT_OK;
	assert_problem(revoke(fixture, "line", &revoked), PROBLEM_NONE);
	assert_true(revoked.is_revoked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_bad_names_and_counts),
		TEST(test_only_a_claim_certificate_of_the_issuer),
		TEST(test_names_and_certificates_are_unique),
		TEST(test_registered_and_told),
		TEST(test_each_tenant_sees_its_own),
		TEST(test_revoked),
		TEST(test_the_gateway_is_told_of_no_vehicle),
		TEST(test_authentication),
		TEST(test_states),
		TEST(test_components_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
