/* A claim's two messages from payload to answer: to the asker alone, on AWS's topics, with its leaf before it. */
#include "tests/unit/vehicle/claim_support.h"

#include "base/json.h"
#include "base/text.h"
#include "fleet/call.h"

#include <stdio.h>

#define TEMPLATE  "vinveil"
#define CREATE	  "$aws/certificates/create-from-csr/json"
#define PROVISION "$aws/provisioning-templates/" TEMPLATE "/provision/json"

struct scene {
	struct fixture *fixture;
	struct fleet fleet;
	struct claim claim;
};

static struct scene scene_of(void **state)
{
	struct fixture *fixture = *state;
	struct scene scene = {.fixture = fixture,
			      .fleet = {.config = {.platform = &fixture->platform, .template_name = TEMPLATE},
					.platform = &fixture->platform}};

	scene.claim = add_claim(fixture, &fixture->admin, "line", 10);
	return scene;
}

/* What the gateway is told in answer; the payload lives until the fixture ends. */
static const struct fake_gateway_call *send(struct scene *scene, enum gateway_claim_request request,
					    const char *template_name, const struct serial *serial, const char *payload)
{
	size_t answers = fake_gateway_count(&scene->fixture->gateway, GATEWAY_TOLD_ANSWER);
	struct gateway_claim_message message = {.request = request,
						.caller = {.client_id = "tester-1", .connection = 77 + answers},
						.serial = *serial,
						.address = "192.0.2.7",
						.payload = span_of_text(payload)};

	snprintf(message.template_name, sizeof(message.template_name), "%s", template_name);
	fleet_provisioning_take(&scene->fleet, &message);
	assert_int_equal(fake_gateway_count(&scene->fixture->gateway, GATEWAY_TOLD_ANSWER), answers + 1);
	const struct fake_gateway_call *answer =
		fake_gateway_call(&scene->fixture->gateway, GATEWAY_TOLD_ANSWER, answers);
	assert_string_equal(answer->caller.client_id, "tester-1");
	assert_int_equal(answer->caller.connection, 77 + answers);
	return answer;
}

static const struct fake_gateway_call *ask_for_certificate(struct scene *scene, const struct test_csr *csr)
{
	char payload[4096];

	snprintf(payload, sizeof(payload), "{\"certificateSigningRequest\":\"%s\"}", csr->pem);
	return send(scene, GATEWAY_CREATE_FROM_CSR, "", &scene->claim.serial, payload);
}

static const struct fake_gateway_call *ask_for_vehicle(struct scene *scene, const char *token, const char *vin,
						       const char *device_id)
{
	char payload[4096];

	snprintf(payload, sizeof(payload),
		 "{\"certificateOwnershipToken\":\"%s\",\"parameters\":{\"VIN\":\"%s\",\"DeviceId\":\"%s\"}}", token,
		 vin, device_id);
	return send(scene, GATEWAY_PROVISION, TEMPLATE, &scene->claim.serial, payload);
}

static json_t *read_answer(const struct fake_gateway_call *answer, const char *topic)
{
	json_t *json = NULL;

	assert_string_equal(answer->topic, topic);
	assert_ok(json_read(span_of(answer->payload, answer->payload_size), &json, NULL));
	return json;
}

static const char *member(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	assert_non_null(text);
	return text;
}

static void check_rejected(const struct fake_gateway_call *answer, const char *topic, int status, const char *code)
{
	JSON_CLEANUP json_t *json = read_answer(answer, topic);

	assert_int_equal(json_integer_value(json_object_get(json, "statusCode")), status);
	assert_string_equal(member(json, "errorCode"), code);
	assert_string_not_equal(member(json, "errorMessage"), "");
	assert_null(strstr(answer->payload, VIN_A));
}

/* ---- refused ---------------------------------------------------------------------------------------- */

static void test_nobodys_claim(void **state)
{
	struct scene scene = scene_of(state);
	static const struct serial unknown;
	size_t leaves = scene.fixture->audit.count;

	check_rejected(send(&scene, GATEWAY_CREATE_FROM_CSR, "", &unknown, "{}"), CREATE "/rejected", 401,
		       "Unauthorized");
	check_rejected(send(&scene, GATEWAY_PROVISION, TEMPLATE, &unknown, "{}"), PROVISION "/rejected", 401,
		       "Unauthorized");
	assert_int_equal(scene.fixture->audit.count, leaves);
	assert_int_equal(scene.fleet.counters.claims_rejected, 2);
}

static void test_a_revoked_claim(void **state)
{
	struct scene scene = scene_of(state);
	SESSION_CLEANUP struct session session;
	struct test_csr csr = make_csr();
	struct claim revoked;

	session_open(&session, scene.fixture, &scene.fixture->admin);
	assert_problem(claims_revoke(&session.request, "line", &revoked), PROBLEM_NONE);
	check_rejected(ask_for_certificate(&scene, &csr), CREATE "/rejected", 403, "AccessDenied");
	assert_int_equal(scene.fixture->authority.issued, 0);
	const char *leaf = fake_audit_last(&scene.fixture->audit);
	assert_non_null(strstr(leaf, "\"actor\":\"claim:line\",\"tenantId\":\"demo\","
				     "\"action\":\"claim.create-certificate\",\"outcome\":\"refused\","
				     "\"problem\":\"claim-refused\""));
	assert_non_null(strstr(leaf, "\"sourceAddress\":\"192.0.2.7\""));
}

static void test_an_unknown_template(void **state)
{
	struct scene scene = scene_of(state);

	check_rejected(send(&scene, GATEWAY_PROVISION, "other", &scene.claim.serial, "{}"),
		       "$aws/provisioning-templates/other/provision/json/rejected", 404, "ResourceNotFound");
	assert_non_null(strstr(fake_audit_last(&scene.fixture->audit), "\"outcome\":\"absent\""));
}

static void test_bad_payloads(void **state)
{
	struct scene scene = scene_of(state);

	check_rejected(send(&scene, GATEWAY_CREATE_FROM_CSR, "", &scene.claim.serial, "{}"), CREATE "/rejected", 400,
		       "InvalidPayload");
	check_rejected(
		send(&scene, GATEWAY_CREATE_FROM_CSR, "", &scene.claim.serial, "{\"certificateSigningRequest\":\"\"}"),
		CREATE "/rejected", 400, "InvalidCSR");
	check_rejected(send(&scene, GATEWAY_PROVISION, TEMPLATE, &scene.claim.serial, "{\"" VIN_A "\":1}"),
		       PROVISION "/rejected", 400, "InvalidPayload");
	check_rejected(ask_for_vehicle(&scene, "token", VIN_A, "tcu-1"), PROVISION "/rejected", 400,
		       "InvalidCertificateOwnershipToken");
	assert_false(fake_audit_holds(&scene.fixture->audit, VIN_A));
	/* Each of them is in the trail. */
	assert_non_null(strstr(fake_audit_last(&scene.fixture->audit), "\"problem\":\"ownership-invalid\""));
}

static void test_components_away(void **state)
{
	struct scene scene = scene_of(state);
	struct test_csr csr = make_csr();

	scene.fixture->authority.issue_result = RESULT_UNAVAILABLE;
	check_rejected(ask_for_certificate(&scene, &csr), CREATE "/rejected", 503, "ServiceUnavailable");
	scene.fixture->authority.issue_result = RESULT_OK;
	/* Nobody learns what the trail does not know. */
	scene.fixture->audit.append_result = RESULT_UNAVAILABLE;
	check_rejected(ask_for_certificate(&scene, &csr), CREATE "/rejected", 503, "ServiceUnavailable");
	check_rejected(send(&scene, GATEWAY_CREATE_FROM_CSR, "", &scene.claim.serial, "{}"), CREATE "/rejected", 503,
		       "ServiceUnavailable");
}

/* ---- answered --------------------------------------------------------------------------------------- */

/* One certificate, no chain behind it; its ID is that of its bytes. */
static void check_certificate(const json_t *json, const uint8_t *spki_sha256, struct certificate_facts *ret_facts)
{
	const char *pem = member(json, "certificatePem");
	char id[2 * SHA256_SIZE + 1];

	assert_ok(certificate_read_pem(span_of_text(pem), ret_facts, NULL));
	assert_null(strstr(pem + 1, "-----BEGIN"));
	assert_memory_equal(ret_facts->spki_sha256, spki_sha256, SHA256_SIZE);
	hex_format(span_of(ret_facts->fingerprint, SHA256_SIZE), id);
	assert_string_equal(member(json, "certificateId"), id);
}

static void test_a_new_vehicle(void **state)
{
	struct scene scene = scene_of(state);
	struct test_csr csr = make_csr();
	struct certificate_facts facts;
	char token[128];

	const struct fake_gateway_call *answer = ask_for_certificate(&scene, &csr);
	JSON_CLEANUP json_t *created = read_answer(answer, CREATE "/accepted");
	check_certificate(created, csr.spki_sha256, &facts);
	assert_int_equal(json_object_size(created), 3);
	assert_true(gateway_denies(scene.fixture, &facts.serial));
	snprintf(token, sizeof(token), "%s", member(created, "certificateOwnershipToken"));

	check_rejected(ask_for_vehicle(&scene, token, "NOT-A-VIN", "tcu-1"), PROVISION "/rejected", 400,
		       "InvalidParameters");
	JSON_CLEANUP json_t *provisioned =
		read_answer(ask_for_vehicle(&scene, token, VIN_A, "tcu-1"), PROVISION "/accepted");
	assert_string_equal(member(provisioned, "thingName"), facts.common_name);
	assert_true(json_is_object(json_object_get(provisioned, "deviceConfiguration")));
	assert_int_equal(json_object_size(json_object_get(provisioned, "deviceConfiguration")), 0);
	assert_int_equal(json_object_size(provisioned), 2);
	assert_false(gateway_denies(scene.fixture, &facts.serial));
	assert_int_equal(scene.fleet.counters.claims_provisioned, 1);
	assert_non_null(strstr(fake_audit_last(&scene.fixture->audit), "\"action\":\"vehicle.provision\","
								       "\"outcome\":\"allowed\""));
	check_rejected(ask_for_vehicle(&scene, token, VIN_A, "tcu-1"), PROVISION "/rejected", 400,
		       "InvalidCertificateOwnershipToken");
	assert_false(fake_audit_holds(&scene.fixture->audit, VIN_A));
	assert_false(fake_audit_holds(&scene.fixture->audit, token));
	assert_int_equal(outbox_count(scene.fixture), 0);
}

static void test_a_known_vehicle(void **state)
{
	struct scene scene = scene_of(state);
	struct uuid id = provisioned_vehicle(scene.fixture, VIN_A, "tcu-old");
	struct test_csr csr = make_csr();
	struct certificate_facts first, second;
	struct vehicle vehicle;
	char name[UUID_TEXT_SIZE];

	assert_problem(change_device(scene.fixture, &id, "tcu-old", "tcu-1", &vehicle), PROBLEM_NONE);
	JSON_CLEANUP json_t *created = read_answer(ask_for_certificate(&scene, &csr), CREATE "/accepted");
	check_certificate(created, csr.spki_sha256, &first);
	JSON_CLEANUP json_t *provisioned =
		read_answer(ask_for_vehicle(&scene, member(created, "certificateOwnershipToken"), VIN_A, "tcu-1"),
			    PROVISION "/accepted");
	const json_t *configuration = json_object_get(provisioned, "deviceConfiguration");
	check_certificate(configuration, csr.spki_sha256, &second);
	assert_int_equal(json_object_size(configuration), 2);
	uuid_format(&id, name);
	assert_string_equal(second.common_name, name);
	assert_string_equal(member(provisioned, "thingName"), name);
	assert_true(gateway_denies(scene.fixture, &first.serial));
	assert_false(gateway_denies(scene.fixture, &second.serial));
}

static void test_a_vehicle_that_lives(void **state)
{
	struct scene scene = scene_of(state);
	struct test_csr csr = make_csr();

	provisioned_vehicle(scene.fixture, VIN_A, "tcu-1");
	JSON_CLEANUP json_t *created = read_answer(ask_for_certificate(&scene, &csr), CREATE "/accepted");
	check_rejected(ask_for_vehicle(&scene, member(created, "certificateOwnershipToken"), VIN_A, "tcu-1"),
		       PROVISION "/rejected", 409, "ResourceConflict");
	assert_non_null(strstr(fake_audit_last(&scene.fixture->audit), "\"purpose\":\"provisioning\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_nobodys_claim),   TEST(test_a_revoked_claim),	     TEST(test_an_unknown_template),
		TEST(test_bad_payloads),    TEST(test_components_away),	     TEST(test_a_new_vehicle),
		TEST(test_a_known_vehicle), TEST(test_a_vehicle_that_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
