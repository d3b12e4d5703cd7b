#include "support.h"

#include "base/text.h"
#include "vehicle/conversion.h"

/* Provisioning one request at a time; test_provisioning_race.c has many at once. */

static void test_refuses_bad_bodies(void **state)
{
	static const struct {
		const char *vin, *device_id;
		enum problem problem;
	} cases[] = {
		{"", "tcu-1", PROBLEM_VIN_INVALID},
		{"1M8GDM9AXKPO42788", "tcu-1", PROBLEM_VIN_INVALID},
		{VIN_A, "", PROBLEM_VALUE_INVALID},
		{VIN_A, "two words", PROBLEM_VALUE_INVALID},
		{VIN_A, VIN_A, PROBLEM_VIN_NOT_ALLOWED},
		{VIN_A, "1m8gdm9axkp042788", PROBLEM_VIN_NOT_ALLOWED},
		{VIN_A, "5beaef6c3688a5ad856426a7161f577aec0fb06dd3fb2d17bc2cd973ff2aaf88", PROBLEM_VIN_NOT_ALLOWED},
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct provisioned provisioned;
		assert_problem(provision(fixture, cases[i].vin, cases[i].device_id, NULL, &provisioned),
			       cases[i].problem);
	}
	assert_int_equal(fixture->audit.count, 0);
	assert_int_equal(fixture->keys.seal_calls, 0);
	assert_int_equal(fixture->authority.issued, 0);
}

static void test_a_vin_shaped_device_id_of_another_vin_is_allowed(void **state)
{
	provisioned_vehicle(*state, VIN_A, VIN_B);
}

static void test_new_vehicle(void **state)
{
	struct fixture *fixture = *state;
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};
	struct test_csr csr = make_csr();

	assert_problem(provision(fixture, " 1m8gdm9axkp042788 ", "tcu-1", &csr, &provisioned), PROBLEM_NONE);
	assert_true(provisioned.is_created);
	assert_true(provisioned.has_credentials);
	assert_false(provisioned.check_digit_fails);
	assert_int_equal(provisioned.credentials.private_key_pem.size, 0);

	struct certificate_facts facts;
	char reference_id[UUID_TEXT_SIZE];
	assert_ok(certificate_read_pem(buf_span(&provisioned.credentials.certificate_pem), &facts, NULL));
	uuid_format(&provisioned.vehicle.reference_id, reference_id);
	assert_string_equal(facts.common_name, reference_id);
	assert_memory_equal(facts.spki_sha256, csr.spki_sha256, SHA256_SIZE);
	assert_memory_equal(facts.serial.bytes, provisioned.credentials.serial.bytes, SERIAL_SIZE);
	assert_true(provisioned.credentials.chain_pem.size > 0);

	struct vehicle vehicle = vehicle_now(fixture, &provisioned.vehicle.reference_id);
	assert_string_equal(vehicle.device_id, "tcu-1");
	assert_int_equal(vehicle.state, VEHICLE_PROVISIONED);
	assert_int_equal(vehicle.version, 1);
	assert_int_equal(vehicle.reference_id.bytes[6] >> 4, 4);
	assert_int_equal(live_certificates(fixture, &vehicle.reference_id), 1);
	assert_int_equal(history_count(fixture, &vehicle.reference_id, HISTORY_PROVISIONED), 1);
	assert_int_equal(history_count(fixture, &vehicle.reference_id, HISTORY_CERTIFICATE_ISSUED), 1);
}

static void test_leaf_tells_and_never_holds_the_vin(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	char reference_id[UUID_TEXT_SIZE];

	uuid_format(&id, reference_id);
	assert_int_equal(fixture->audit.count, 1);
	assert_non_null(strstr(fake_audit_last(&fixture->audit), reference_id));
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"deviceId\":\"tcu-1\""));
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "\"serialNumber\":\""));
	assert_false(fake_audit_holds(&fixture->audit, VIN_A));
	assert_false(fake_audit_holds(&fixture->audit, "purpose")); /* nothing known was told */
}

static void test_generated_key_fits_its_certificate(void **state)
{
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};
	BUF_CLEANUP struct buf csr = {0};
	struct private_key *key;
	struct certificate_facts facts;
	uint8_t spki_sha256[SHA256_SIZE];

	assert_problem(provision(*state, VIN_A, "tcu-1", NULL, &provisioned), PROBLEM_NONE);
	assert_ok(private_key_from_pem(buf_span(&provisioned.credentials.private_key_pem), NULL, &key, NULL));
	assert_ok(csr_make(key, &csr, NULL));
	private_key_release(key);
	assert_ok(csr_check(buf_span(&csr), spki_sha256, NULL));
	assert_ok(certificate_read_pem(buf_span(&provisioned.credentials.certificate_pem), &facts, NULL));
	assert_memory_equal(facts.spki_sha256, spki_sha256, SHA256_SIZE);
}

static void test_check_digit_policies(void **state)
{
	struct fixture *fixture = *state;
	struct provisioned refused;
	PROVISIONED_CLEANUP struct provisioned warned = {0};
	PROVISIONED_CLEANUP struct provisioned fine = {0};

	fixture->tenant.check_digit = CHECK_DIGIT_ENFORCE;
	assert_problem(provision(fixture, VIN_WITHOUT_DIGIT, "tcu-1", NULL, &refused), PROBLEM_CHECK_DIGIT);
	assert_problem(provision(fixture, VIN_A, "tcu-2", NULL, &fine), PROBLEM_NONE);
	assert_false(fine.check_digit_fails);
	fixture->tenant.check_digit = CHECK_DIGIT_WARN;
	assert_problem(provision(fixture, VIN_WITHOUT_DIGIT, "tcu-1", NULL, &warned), PROBLEM_NONE);
	assert_true(warned.check_digit_fails);
	assert_non_null(strstr(fake_audit_last(&fixture->audit), "check-digit-fails"));
}

static void test_manifest(void **state)
{
	struct fixture *fixture = *state;
	struct provisioned refused;
	struct test_csr csr = make_csr(), other = make_csr();
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	add_device(fixture, "pinned", csr.spki_sha256);
	/* A pinned key counts even where no manifest is demanded. */
	assert_problem(provision(fixture, VIN_A, "pinned", NULL, &refused), PROBLEM_CSR_REQUIRED);
	assert_problem(provision(fixture, VIN_A, "pinned", &other, &refused), PROBLEM_KEY_MISMATCH);
	set_manifest_required(fixture, true);
	assert_problem(provision(fixture, VIN_A, "unlisted", &csr, &refused), PROBLEM_DEVICE_UNKNOWN);
	assert_problem(provision(fixture, VIN_A, "pinned", &csr, &provisioned), PROBLEM_NONE);
	assert_int_equal(fixture->authority.issued, 1);
}

static void test_bad_csr(void **state)
{
	static const char *const texts[] = {"x", "-----BEGIN CERTIFICATE REQUEST-----", "AAAA", "MIIB"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		SESSION_CLEANUP struct session session;
		struct provisioned refused;
		struct provisioning input = {
			.vin = span_of_text(VIN_A), .device_id = span_of_text("tcu-1"), .csr = span_of_text(texts[i])};

		session_open(&session, fixture, &fixture->admin);
		assert_problem(provisioning_run(&session.request, &input, &refused), PROBLEM_CSR_INVALID);
		assert_true(session.request.detail[0] != '\0');
	}
}

static struct test_csr unproven(const struct test_csr *csr)
{
	struct test_csr broken = *csr;
	BUF_CLEANUP struct buf der = {0};
	BUF_CLEANUP struct buf text = {0};

	assert_ok(csr_decode(span_of_text(csr->pem), &der, NULL));
	der.data[der.size - 1] ^= 1; /* of the signature */
	assert_ok(base64_append(&text, buf_span(&der)));
	snprintf(broken.pem, sizeof(broken.pem), "%s", (const char *)text.data);
	return broken;
}

static void assert_unproven(struct fixture *fixture, const char *vin, const char *device_id, const struct test_csr *csr)
{
	struct test_csr broken = unproven(csr);
	SESSION_CLEANUP struct session session;
	struct provisioned refused;
	struct provisioning input = {
		.vin = span_of_text(vin), .device_id = span_of_text(device_id), .csr = span_of_text(broken.pem)};

	session_open(&session, fixture, &fixture->admin);
	assert_problem(provisioning_run(&session.request, &input, &refused), PROBLEM_CSR_INVALID);
	assert_string_equal(session.request.detail, "the CSR's own signature does not verify");
	assert_false(session.event.has_reference_id);
}

/* Who has only the public key gets nothing with it, and does not learn what is known of it. */
static void test_possession_must_be_proven(void **state)
{
	struct fixture *fixture = *state;
	struct test_csr csr = make_csr(), other = make_csr();
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};
	struct provisioned refused;

	assert_unproven(fixture, VIN_A, "tcu-1", &csr);
	add_device(fixture, "pinned", csr.spki_sha256);
	assert_unproven(fixture, VIN_A, "pinned", &csr);
	assert_unproven(fixture, VIN_A, "pinned", &other);
	assert_int_equal(fixture->authority.issued, 0);
	/* Nothing of it stayed. */
	assert_problem(provision(fixture, VIN_A, "tcu-1", &csr, &provisioned), PROBLEM_NONE);
	assert_true(provisioned.is_created);
	assert_unproven(fixture, VIN_B, "tcu-2", &csr);
	assert_problem(provision(fixture, VIN_B, "tcu-2", &csr, &refused), PROBLEM_KEY_REUSED);
	assert_int_equal(fixture->authority.issued, 1);
}

static void test_known_vehicle_is_only_validated(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session session;
	struct provisioning input = {.vin = span_of_text(VIN_A), .device_id = span_of_text("tcu-1")};
	PROVISIONED_CLEANUP struct provisioned again = {0};
	struct provisioned refused;

	session_open(&session, fixture, &fixture->admin);
	assert_problem(provisioning_run(&session.request, &input, &again), PROBLEM_NONE);
	assert_false(again.is_created);
	assert_false(again.has_credentials);
	assert_true(uuid_equal(&again.vehicle.reference_id, &id));
	assert_int_equal(vehicle_now(fixture, &id).version, 1);
	assert_int_equal(fixture->authority.issued, 1);
	/* A conversion, which the floor above records. */
	assert_string_equal(session.event.purpose, PURPOSE_PROVISIONING);
	assert_false(session.event.is_recorded);
	assert_false(session.event.has_serial);

	assert_problem(provision(fixture, VIN_A, "tcu-2", NULL, &refused), PROBLEM_VEHICLE_HAS_OTHER_DEVICE);
	assert_problem(provision(fixture, VIN_B, "tcu-1", NULL, &refused), PROBLEM_DEVICE_IN_USE);
}

static void test_expired_certificate_is_replaced(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	PROVISIONED_CLEANUP struct provisioned again = {0};

	fixture->clock.now_ms += FAKE_VALIDITY_MS;
	assert_int_equal(live_certificates(fixture, &id), 0);
	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &again), PROBLEM_NONE);
	assert_false(again.is_created);
	assert_true(again.has_credentials);
	assert_int_equal(live_certificates(fixture, &id), 1);
	assert_int_equal(vehicle_now(fixture, &id).version, 2);
}

static void test_attaches_to_a_vehicle_without_device(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct provisioned refused;
	PROVISIONED_CLEANUP struct provisioned attached = {0};
	struct vehicle vehicle;

	assert_problem(change_device(fixture, &id, "tcu-1", "", &vehicle), PROBLEM_NONE);
	provisioned_vehicle(fixture, VIN_B, "tcu-b");
	assert_problem(provision(fixture, VIN_A, "tcu-b", NULL, &refused), PROBLEM_DEVICE_IN_USE);
	set_manifest_required(fixture, true);
	assert_problem(provision(fixture, VIN_A, "tcu-2", NULL, &refused), PROBLEM_DEVICE_UNKNOWN);
	add_device(fixture, "tcu-2", NULL);
	assert_problem(provision(fixture, VIN_A, "tcu-2", NULL, &attached), PROBLEM_NONE);
	assert_false(attached.is_created);
	assert_true(attached.has_credentials);
	assert_true(uuid_equal(&attached.vehicle.reference_id, &id));
	assert_string_equal(vehicle_now(fixture, &id).device_id, "tcu-2");
	assert_int_equal(history_count(fixture, &id, HISTORY_DEVICE_CHANGED), 1);
	assert_int_equal(live_certificates(fixture, &id), 1);
}

static void test_suspended_and_decommissioned_are_not_provisionable(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	struct provisioned refused;

	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &refused), PROBLEM_VEHICLE_NOT_PROVISIONABLE);
	assert_problem(set_state(fixture, &id, VEHICLE_DECOMMISSIONED), PROBLEM_NONE);
	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &refused), PROBLEM_VEHICLE_NOT_PROVISIONABLE);
	/* Its device is free for another vehicle. */
	provisioned_vehicle(fixture, VIN_B, "tcu-1");
}

static void test_a_key_belongs_to_one_vehicle_and_device(void **state)
{
	struct fixture *fixture = *state;
	struct test_csr csr = make_csr();
	PROVISIONED_CLEANUP struct provisioned first = {0};
	struct provisioned refused;
	struct vehicle vehicle;

	assert_problem(provision(fixture, VIN_A, "tcu-1", &csr, &first), PROBLEM_NONE);
	assert_problem(provision(fixture, VIN_B, "tcu-2", &csr, &refused), PROBLEM_KEY_REUSED);
	/* Nor may it move to another device of the same vehicle. */
	assert_problem(change_device(fixture, &first.vehicle.reference_id, "tcu-1", "tcu-3", &vehicle), PROBLEM_NONE);
	assert_problem(provision(fixture, VIN_A, "tcu-3", &csr, &refused), PROBLEM_KEY_REUSED);
	assert_int_equal(fixture->authority.issued, 1);
}

struct twin {
	struct fixture *fixture;
	const char *vin;
	const struct test_csr *csr;
	struct provisioned provisioned;
};

static void provision_twin(void *context)
{
	struct twin *twin = context;

	assert_problem(provision(twin->fixture, twin->vin, "tcu-1", twin->csr, &twin->provisioned), PROBLEM_NONE);
}

/* The same request sent twice: one finds its own key certified between its looking and its issuing. */
static void test_a_twin_is_no_reuse_of_the_key(void **state)
{
	struct fixture *fixture = *state;
	struct test_csr csr = make_csr();
	struct twin twin = {.fixture = fixture, .vin = VIN_A, .csr = &csr};
	PROVISIONED_CLEANUP struct provisioned late = {0};

	fixture->keys.on_seal = provision_twin;
	fixture->keys.on_seal_context = &twin;
	assert_problem(provision(fixture, VIN_A, "tcu-1", &csr, &late), PROBLEM_NONE);
	assert_true(twin.provisioned.is_created);
	assert_false(late.is_created);
	assert_false(late.has_credentials);
	assert_true(uuid_equal(&late.vehicle.reference_id, &twin.provisioned.vehicle.reference_id));
	provisioned_release(&twin.provisioned);
}

/* Another vehicle's request with that key is one. */
static void test_a_key_taken_meanwhile_is_reused(void **state)
{
	struct fixture *fixture = *state;
	struct test_csr csr = make_csr();
	struct twin twin = {.fixture = fixture, .vin = VIN_B, .csr = &csr};
	struct provisioned refused;

	fixture->keys.on_seal = provision_twin;
	fixture->keys.on_seal_context = &twin;
	assert_problem(provision(fixture, VIN_A, "tcu-2", &csr, &refused), PROBLEM_KEY_REUSED);
	provisioned_release(&twin.provisioned);
}

static void test_attributes(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		const char *json;
		enum problem problem;
	} cases[] = {
		{"[]", PROBLEM_VALUE_INVALID},
		{"{\"note\":\"vin " VIN_B "\"}", PROBLEM_VIN_NOT_ALLOWED},
		{"{\"a\":[{\"b\":\"\\n" VIN_B "\"}]}", PROBLEM_VIN_NOT_ALLOWED},
		{"{\"" VIN_B "\":1}", PROBLEM_VIN_NOT_ALLOWED},
		{"{\"colour\":\"blue\",\"dropped\":null}", PROBLEM_NONE},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SESSION_CLEANUP struct session session;
		PROVISIONED_CLEANUP struct provisioned provisioned = {0};
		json_t *attributes = json_loads(cases[i].json, 0, NULL);
		struct provisioning input = {
			.vin = span_of_text(VIN_A), .device_id = span_of_text("tcu-1"), .attributes = attributes};

		session_open(&session, fixture, &fixture->admin);
		assert_problem(provisioning_run(&session.request, &input, &provisioned), cases[i].problem);
		if (cases[i].problem == PROBLEM_NONE)
			assert_string_equal(provisioned.vehicle.attributes, "{\"colour\":\"blue\"}");
		json_decref(attributes);
	}
}

static void test_one_vin_may_stand_in_two_tenants(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = provisioned_vehicle(fixture, VIN_A, "tcu-1");
	SESSION_CLEANUP struct session session;
	struct provisioning input = {.vin = span_of_text(VIN_A), .device_id = span_of_text("tcu-1")};
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};

	session_open(&session, fixture, &fixture->stranger);
	assert_problem(provisioning_run(&session.request, &input, &provisioned), PROBLEM_NONE);
	assert_true(provisioned.is_created);
	assert_false(uuid_equal(&provisioned.vehicle.reference_id, &id));
}

static void test_replay_replaces_the_lost_key(void **state)
{
	struct fixture *fixture = *state;
	PROVISIONED_CLEANUP struct provisioned first = {0}, replayed = {0}, late = {0};
	SESSION_CLEANUP struct session session;
	struct provisioning input = {.vin = span_of_text(VIN_A), .device_id = span_of_text("tcu-1")};

	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &first), PROBLEM_NONE);
	struct serial serial = first.credentials.serial;
	input.superseded = &serial;
	session_open(&session, fixture, &fixture->admin);
	assert_problem(provisioning_run(&session.request, &input, &replayed), PROBLEM_NONE);
	assert_true(replayed.has_credentials);
	assert_true(replayed.credentials.private_key_pem.size > 0);
	assert_memory_not_equal(replayed.credentials.serial.bytes, serial.bytes, SERIAL_SIZE);
	assert_int_equal(live_certificates(fixture, &first.vehicle.reference_id), 1);

	/* Once more with the same serial, which is revoked by now: another has replaced it. */
	SESSION_CLEANUP struct session later;
	session_open(&later, fixture, &fixture->admin);
	assert_problem(provisioning_run(&later.request, &input, &late), PROBLEM_NONE);
	assert_false(late.has_credentials);
}

static void test_components_away(void **state)
{
	struct fixture *fixture = *state;
	struct provisioned refused;

	fixture->keys.index_result = RESULT_UNAVAILABLE;
	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &refused), PROBLEM_UNAVAILABLE);
	fixture->keys.index_result = RESULT_EXHAUSTED;
	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &refused), PROBLEM_BUDGET_EXHAUSTED);
	fixture->keys.index_result = RESULT_OK;
	fixture->keys.seal_result = RESULT_UNAVAILABLE;
	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &refused), PROBLEM_UNAVAILABLE);
	fixture->keys.seal_result = RESULT_OK;
	fixture->authority.issue_result = RESULT_EXHAUSTED;
	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &refused), PROBLEM_BUDGET_EXHAUSTED);
	fixture->authority.issue_result = RESULT_OK;
	assert_int_equal(fixture->audit.count, 0);
	provisioned_vehicle(fixture, VIN_A, "tcu-1");
}

static void test_log_away_after_the_commit(void **state)
{
	struct fixture *fixture = *state;
	struct provisioned refused;
	PROVISIONED_CLEANUP struct provisioned again = {0};
	size_t drained;

	fixture->audit.append_result = RESULT_UNAVAILABLE;
	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &refused), PROBLEM_UNAVAILABLE);
	assert_int_equal(outbox_count(fixture), 1);
	fixture->audit.append_result = RESULT_OK;
	assert_problem(provision(fixture, VIN_A, "tcu-1", NULL, &again), PROBLEM_NONE);
	assert_false(again.is_created);

	assert_ok(audit_drain_outbox(&fixture->platform, fake_audit_contains, &fixture->audit, &drained, NULL));
	assert_int_equal(drained, 1);
	assert_int_equal(fixture->audit.count, 1);
	assert_int_equal(outbox_count(fixture), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_refuses_bad_bodies),
		TEST(test_a_vin_shaped_device_id_of_another_vin_is_allowed),
		TEST(test_new_vehicle),
		TEST(test_leaf_tells_and_never_holds_the_vin),
		TEST(test_generated_key_fits_its_certificate),
		TEST(test_check_digit_policies),
		TEST(test_manifest),
		TEST(test_bad_csr),
		TEST(test_possession_must_be_proven),
		TEST(test_known_vehicle_is_only_validated),
		TEST(test_expired_certificate_is_replaced),
		TEST(test_attaches_to_a_vehicle_without_device),
		TEST(test_suspended_and_decommissioned_are_not_provisionable),
		TEST(test_a_key_belongs_to_one_vehicle_and_device),
		TEST(test_a_twin_is_no_reuse_of_the_key),
		TEST(test_a_key_taken_meanwhile_is_reused),
		TEST(test_attributes),
		TEST(test_one_vin_may_stand_in_two_tenants),
		TEST(test_replay_replaces_the_lost_key),
		TEST(test_components_away),
		TEST(test_log_away_after_the_commit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
