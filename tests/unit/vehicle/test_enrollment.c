#include "support.h"

#include "base/text.h"
#include "crypto/names.h"
#include "vehicle/claims.h"
#include "vehicle/enrollment.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <pthread.h>
#include <stdio.h>

#define DAY_MS	 ((int64_t)24 * 3600 * 1000)
#define CSR_SIZE 2048

/* A device: a key, and what it calls itself. */
struct device {
	EVP_PKEY *key;
	char csr[CSR_SIZE]; /* base64 */
};

/* ---- requests for certificates --------------------------------------------------------------------- */

static void add_alternative(X509_REQ *request, const char *uri)
{
	STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
	char text[128];

	snprintf(text, sizeof(text), "URI:%s", uri);
	sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text));
	assert_int_equal(X509_REQ_add_extensions(request, extensions), 1);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}

/* uri NULL: none. */
static void write_csr(struct device *device, const char *common_name, const char *uri)
{
	BUF_CLEANUP struct buf text = {0};
	X509_REQ *request = X509_REQ_new();
	unsigned char *der = NULL;
	int size;

	assert_int_equal(X509_REQ_set_version(request, X509_REQ_VERSION_1), 1);
	X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(request), NID_commonName, MBSTRING_UTF8,
				   (const unsigned char *)common_name, -1, -1, 0);
	if (uri != NULL)
		add_alternative(request, uri);
	assert_int_equal(X509_REQ_set_pubkey(request, device->key), 1);
	assert_true(X509_REQ_sign(request, device->key, EVP_sha256()) > 0);
	size = i2d_X509_REQ(request, &der);
	assert_ok(base64_append(&text, span_of(der, (size_t)size)));
	snprintf(device->csr, sizeof(device->csr), "%.*s", (int)text.size, (const char *)text.data);
	OPENSSL_free(der);
	X509_REQ_free(request);
}

static struct device make_device(const char *common_name)
{
	struct device device = {.key = EVP_EC_gen("P-256")};

	assert_non_null(device.key);
	write_csr(&device, common_name, NULL);
	return device;
}

static void device_release(struct device *device)
{
	EVP_PKEY_free(device->key);
}
#define DEVICE_CLEANUP __attribute__((cleanup(device_release)))

/* What a vehicle's certificate names. */
static void write_renewal(struct device *device, const struct uuid *id)
{
	char name[UUID_TEXT_SIZE], uri[64];

	uuid_format(id, name);
	snprintf(uri, sizeof(uri), "urn:uuid:%s", name);
	write_csr(device, name, uri);
}

/* ---- enrolling -------------------------------------------------------------------------------------- */

static struct claim add_claim(struct fixture *fixture, const struct tenant *tenant, const char *name, uint32_t count)
{
	struct claim claim = {.tenant = tenant->id,
			      .count_max = count,
			      .created_at_ms = fixture->clock.now_ms,
			      .not_after_ms = fixture->clock.now_ms + 365 * DAY_MS};

	snprintf(claim.name, sizeof(claim.name), "%s", name);
	snprintf((char *)claim.serial.bytes, SERIAL_SIZE, "%s", name);
	commit_alone(fixture, (struct registry_write){.kind = REGISTRY_INSERT_CLAIM, .claim = &claim});
	return claim;
}

static struct claim claim_now(struct fixture *fixture, const struct claim *claim)
{
	struct registry *registry = fixture->platform.registry;
	struct claim now = {0};

	assert_ok(registry->ops->find_claim(registry, &claim->serial, &now, NULL));
	return now;
}

struct enrolled {
	struct certificate_record record;
	struct buf der;
	bool revoked;
};

static void enrolled_release(struct enrolled *enrolled)
{
	buf_release(&enrolled->der);
}
#define ENROLLED_CLEANUP __attribute__((cleanup(enrolled_release)))

/* As the next request of that device will show it. */
static void keep(struct fixture *fixture, const struct credentials *credentials, struct enrolled *enrolled)
{
	bool is_known = false;

	buf_clear(&enrolled->der);
	assert_ok(certificate_pem_to_der(buf_span(&credentials->certificate_pem), &enrolled->der, NULL));
	assert_problem(
		enrollment_authenticate(&fixture->platform, &credentials->serial, &enrolled->record, &is_known, NULL),
		PROBLEM_NONE);
	assert_true(is_known);
}

static enum problem enroll(struct fixture *fixture, const struct claim *claim, const char *csr,
			   struct enrolled *enrolled)
{
	struct client client = {.tenant = claim->tenant, .state = CLIENT_ACTIVE};
	CREDENTIALS_CLEANUP struct credentials credentials = {0};
	SESSION_CLEANUP struct session session;

	snprintf(client.id, sizeof(client.id), "claim:%s", claim->name);
	session_open(&session, fixture, &client);
	enrolled->revoked = false;
	enum problem problem =
		enrollment_enroll(&session.request, claim, span_of_text(csr), &credentials, &enrolled->revoked);
	if (problem == PROBLEM_NONE) {
		assert_true(session.event.is_recorded);
		assert_true(session.event.has_reference_id && session.event.has_serial);
		assert_int_equal(credentials.private_key_pem.size, 0);
		keep(fixture, &credentials, enrolled);
	}
	return problem;
}

static enum problem enroll_device(struct fixture *fixture, const struct claim *claim, const struct device *device)
{
	ENROLLED_CLEANUP struct enrolled enrolled = {0};

	return enroll(fixture, claim, device->csr, &enrolled);
}

static enum problem renew_as(struct fixture *fixture, struct enrolled *enrolled, const struct device *device)
{
	struct client client = {.id = ACTOR_DEVICE, .tenant = enrolled->record.tenant, .state = CLIENT_ACTIVE};
	struct reenrollment asked = {
		.record = &enrolled->record, .certificate = buf_span(&enrolled->der), .csr = span_of_text(device->csr)};
	CREDENTIALS_CLEANUP struct credentials credentials = {0};
	ENROLLED_CLEANUP struct enrolled renewed = {0};
	SESSION_CLEANUP struct session session;

	session_open(&session, fixture, &client);
	enrolled->revoked = false;
	enum problem problem = enrollment_renew(&session.request, &asked, &credentials, &enrolled->revoked);
	if (problem == PROBLEM_NONE)
		keep(fixture, &credentials, &renewed);
	return problem;
}

/* A vehicle whose device has lost its certificates: provisioned, and changed to that device. */
static struct uuid vehicle_without_certificate(struct fixture *fixture, const char *vin, const char *device_id)
{
	struct uuid id = provisioned_vehicle(fixture, vin, "factory-tcu");
	struct vehicle vehicle;

	assert_problem(change_device(fixture, &id, "factory-tcu", device_id, &vehicle), PROBLEM_NONE);
	assert_int_equal(live_certificates(fixture, &id), 0);
	return id;
}

/* ---- the first certificate -------------------------------------------------------------------------- */

static void test_enroll_refusals(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = vehicle_without_certificate(fixture, VIN_A, "tcu-1");
	struct claim claim = add_claim(fixture, &fixture->tenant, "batch", 10);
	struct claim foreign = add_claim(fixture, &fixture->other_tenant, "foreign", 10);
	DEVICE_CLEANUP struct device device = make_device("tcu-1"), unknown = make_device("tcu-2"),
				     nameless = make_device("tcu-1");
	ENROLLED_CLEANUP struct enrolled enrolled = {0};

	assert_problem(enroll_device(fixture, &claim, &unknown), PROBLEM_NOT_FOUND);
	assert_problem(enroll_device(fixture, &foreign, &device), PROBLEM_NOT_FOUND);
	write_csr(&nameless, "", NULL);
	assert_problem(enroll_device(fixture, &claim, &nameless), PROBLEM_CSR_INVALID);
	assert_problem(enroll(fixture, &claim, "", &enrolled), PROBLEM_CSR_INVALID);
	assert_problem(enroll(fixture, &claim, "!", &enrolled), PROBLEM_CSR_INVALID);
	assert_problem(enroll(fixture, &claim, "MAAA", &enrolled), PROBLEM_CSR_INVALID);
	assert_problem(set_state(fixture, &id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_problem(enroll_device(fixture, &claim, &device), PROBLEM_VEHICLE_NOT_PROVISIONABLE);
	assert_int_equal(fixture->authority.issued, 1);
	assert_int_equal(claim_now(fixture, &claim).used, 0);
	assert_int_equal(live_certificates(fixture, &id), 0);
}

static void test_enroll(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = vehicle_without_certificate(fixture, VIN_A, "tcu-1");
	struct claim claim = add_claim(fixture, &fixture->tenant, "batch", 10);
	DEVICE_CLEANUP struct device device = make_device("tcu-1"), second = make_device("tcu-1");
	ENROLLED_CLEANUP struct enrolled enrolled = {0};
	struct certified_names names;
	char name[65], text[UUID_TEXT_SIZE];

	assert_problem(enroll(fixture, &claim, device.csr, &enrolled), PROBLEM_NONE);
	assert_false(enrolled.revoked);
	assert_true(uuid_equal(&enrolled.record.reference_id, &id));
	assert_string_equal(enrolled.record.device_id, "tcu-1");
	uuid_format(&id, text);
	assert_ok(certificate_read_names(buf_span(&enrolled.der), &names));
	assert_ok(names_read_common_name(&names, name));
	assert_string_equal(name, text);
	assert_int_equal(claim_now(fixture, &claim).used, 1);
	assert_int_equal(live_certificates(fixture, &id), 1);
	assert_int_equal(history_count(fixture, &id, HISTORY_CERTIFICATE_ISSUED), 2);
	/* It has one now. */
	assert_problem(enroll_device(fixture, &claim, &second), PROBLEM_VEHICLE_HAS_CERTIFICATE);
	assert_int_equal(claim_now(fixture, &claim).used, 1);
}

/* The answer was lost: the device asks again, and the certificate that it never saw is good no more. */
static void test_enroll_again_for_the_same_key(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = vehicle_without_certificate(fixture, VIN_A, "tcu-1");
	struct claim claim = add_claim(fixture, &fixture->tenant, "batch", 10);
	DEVICE_CLEANUP struct device device = make_device("tcu-1");
	ENROLLED_CLEANUP struct enrolled first = {0}, again = {0};
	struct certificate_record record;
	bool is_known = false;

	assert_problem(enroll(fixture, &claim, device.csr, &first), PROBLEM_NONE);
	assert_problem(enroll(fixture, &claim, device.csr, &again), PROBLEM_NONE);
	assert_true(again.revoked);
	assert_int_equal(live_certificates(fixture, &id), 1);
	assert_problem(enrollment_authenticate(&fixture->platform, &first.record.serial, &record, &is_known, NULL),
		       PROBLEM_UNAUTHENTICATED);
	assert_true(is_known && record.is_revoked);
	assert_int_equal(record.reason, REVOCATION_SUPERSEDED);
	assert_int_equal(claim_now(fixture, &claim).used, 2);
}

static void test_enroll_keys(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = vehicle_without_certificate(fixture, VIN_A, "tcu-1");
	struct claim claim = add_claim(fixture, &fixture->tenant, "batch", 10);
	DEVICE_CLEANUP struct device device = make_device("tcu-1"), other = make_device("tcu-2");
	struct test_csr pinned = make_csr();
	struct vehicle vehicle;

	assert_problem(enroll_device(fixture, &claim, &device), PROBLEM_NONE);
	/* The key goes to another device: it is known again. */
	assert_problem(change_device(fixture, &id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	write_csr(&device, "tcu-2", NULL);
	assert_problem(enroll_device(fixture, &claim, &device), PROBLEM_KEY_REUSED);
	add_device(fixture, "tcu-2", pinned.spki_sha256);
	assert_problem(enroll_device(fixture, &claim, &other), PROBLEM_KEY_MISMATCH);
	assert_int_equal(live_certificates(fixture, &id), 0);
}

static void test_enroll_claim_decides_last(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = vehicle_without_certificate(fixture, VIN_A, "tcu-1");
	struct claim claim = add_claim(fixture, &fixture->tenant, "batch", 1);
	DEVICE_CLEANUP struct device device = make_device("tcu-1");

	/* What the claim was when it was authenticated counts for nothing: the change set asks it again. */
	assert_problem(enroll_device(fixture, &claim, &device), PROBLEM_NONE);
	assert_problem(enroll_device(fixture, &claim, &device), PROBLEM_CLAIM_REFUSED);
	assert_int_equal(live_certificates(fixture, &id), 1);
	assert_int_equal(history_count(fixture, &id, HISTORY_CERTIFICATE_REVOKED), 1); /* with the first TCU */
	fixture->clock.now_ms = claim.not_after_ms;
	assert_problem(enroll_device(fixture, &claim, &device), PROBLEM_CLAIM_REFUSED);
}

/* ---- the following ones ------------------------------------------------------------------------------ */

/* A vehicle with one certificate, and what its device asks with within the last third. */
struct renewing {
	struct uuid id;
	struct enrolled enrolled;
	struct device device;
};

static struct renewing make_renewing(struct fixture *fixture)
{
	struct renewing renewing = {.id = vehicle_without_certificate(fixture, VIN_A, "tcu-1"),
				    .device = make_device("tcu-1")};
	struct claim claim = add_claim(fixture, &fixture->tenant, "batch", 10);

	assert_problem(enroll(fixture, &claim, renewing.device.csr, &renewing.enrolled), PROBLEM_NONE);
	write_renewal(&renewing.device, &renewing.id);
	fixture->clock.now_ms += FAKE_VALIDITY_MS * 2 / 3;
	return renewing;
}

static void renewing_release(struct renewing *renewing)
{
	enrolled_release(&renewing->enrolled);
	device_release(&renewing->device);
}
#define RENEWING_CLEANUP __attribute__((cleanup(renewing_release)))

static void test_renew_names(void **state)
{
	struct fixture *fixture = *state;
	RENEWING_CLEANUP struct renewing renewing = make_renewing(fixture);
	struct uuid other = renewing.id;
	char name[UUID_TEXT_SIZE];

	uuid_format(&renewing.id, name);
	write_csr(&renewing.device, name, NULL);
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_NAMES_DIFFER);
	write_csr(&renewing.device, "tcu-1", "urn:uuid:7d444840-9dc0-41d1-b245-5ffdce74fad2");
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_NAMES_DIFFER);
	other.bytes[0] ^= 1;
	write_renewal(&renewing.device, &other);
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_NAMES_DIFFER);
	snprintf(renewing.device.csr, CSR_SIZE, "none");
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_CSR_INVALID);
	assert_int_equal(live_certificates(fixture, &renewing.id), 1);
}

static void test_renew_only_in_the_last_third(void **state)
{
	struct fixture *fixture = *state;
	RENEWING_CLEANUP struct renewing renewing = make_renewing(fixture);

	fixture->clock.now_ms -= 1;
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_RENEWAL_TOO_EARLY);
	fixture->clock.now_ms += 1;
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_NONE);
	assert_false(renewing.enrolled.revoked);
	/* The one that asked lives on, for the same key. */
	assert_int_equal(live_certificates(fixture, &renewing.id), 2);
}

static void test_renew_another_key(void **state)
{
	struct fixture *fixture = *state;
	RENEWING_CLEANUP struct renewing renewing = make_renewing(fixture);
	DEVICE_CLEANUP struct device fresh = make_device(""), third = make_device("");

	write_renewal(&fresh, &renewing.id);
	write_renewal(&third, &renewing.id);
	assert_problem(renew_as(fixture, &renewing.enrolled, &fresh), PROBLEM_NONE);
	assert_int_equal(live_certificates(fixture, &renewing.id), 2);
	assert_problem(renew_as(fixture, &renewing.enrolled, &third), PROBLEM_CERTIFICATE_LIMIT);
	/* The answer was lost. */
	assert_problem(renew_as(fixture, &renewing.enrolled, &fresh), PROBLEM_NONE);
	assert_true(renewing.enrolled.revoked);
	assert_problem(renew_as(fixture, &renewing.enrolled, &third), PROBLEM_CERTIFICATE_LIMIT);
	assert_int_equal(live_certificates(fixture, &renewing.id), 2);
}

/* It was good when the connection was made. */
static void test_renew_with_what_is_good_no_more(void **state)
{
	struct fixture *fixture = *state;
	RENEWING_CLEANUP struct renewing renewing = make_renewing(fixture);
	struct vehicle vehicle;

	assert_problem(set_state(fixture, &renewing.id, VEHICLE_SUSPENDED), PROBLEM_NONE);
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_VEHICLE_NOT_PROVISIONABLE);
	assert_problem(set_state(fixture, &renewing.id, VEHICLE_PROVISIONED), PROBLEM_NONE);
	assert_problem(change_device(fixture, &renewing.id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_UNAUTHENTICATED);
	assert_problem(set_state(fixture, &renewing.id, VEHICLE_DECOMMISSIONED), PROBLEM_NONE);
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_VEHICLE_NOT_PROVISIONABLE);
	assert_int_equal(live_certificates(fixture, &renewing.id), 0);
}

/* Each is one of the budget that all vehicles share, and stands in the CRL when it is replaced. */
static void test_renewals_of_a_day_are_bounded(void **state)
{
	struct fixture *fixture = *state;
	RENEWING_CLEANUP struct renewing renewing = make_renewing(fixture);

	for (int i = 0; i < RENEWALS_A_DAY_MAX; i++)
		assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_NONE);
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_CERTIFICATE_LIMIT);
	assert_int_equal(fixture->authority.issued, 2 + RENEWALS_A_DAY_MAX);
	assert_int_equal(live_certificates(fixture, &renewing.id), 2);
	fixture->clock.now_ms += DAY_MS;
	assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_NONE);
}

/* Whoever has the key can have it certified again and again, and the certificate that he asks with gets older. */
static void test_what_was_renewed_often_is_revoked_all_the_same(void **state)
{
	struct fixture *fixture = *state;
	RENEWING_CLEANUP struct renewing renewing = make_renewing(fixture);
	struct certificate_record record;
	struct vehicle vehicle;
	bool is_known = false;

	for (int i = 0; i < 512; i++) {
		assert_problem(renew_as(fixture, &renewing.enrolled, &renewing.device), PROBLEM_NONE);
		fixture->clock.now_ms += 29 * DAY_MS / 512;
	}
	assert_problem(change_device(fixture, &renewing.id, "tcu-1", "tcu-2", &vehicle), PROBLEM_NONE);
	assert_problem(
		enrollment_authenticate(&fixture->platform, &renewing.enrolled.record.serial, &record, &is_known, NULL),
		PROBLEM_UNAUTHENTICATED);
	assert_true(is_known && record.is_revoked);
}

/* ---- at once ------------------------------------------------------------------------------------------ */

#define RACERS 12

struct race {
	struct fixture *fixture;
	const struct claim *claim; /* NULL: a renewal */
	struct enrolled enrolled;
	struct device device;
	enum problem problem;
};

static void *run_race(void *context)
{
	struct race *race = context;

	race->problem = race->claim != NULL ? enroll_device(race->fixture, race->claim, &race->device)
					    : renew_as(race->fixture, &race->enrolled, &race->device);
	return NULL;
}

/* All of them, each with a key of its own; how many were given a certificate. The others are told `otherwise`. */
static size_t race_all(struct race races[RACERS], enum problem otherwise)
{
	pthread_t threads[RACERS];
	size_t given = 0;

	for (size_t i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_race, &races[i]), 0);
	for (size_t i = 0; i < RACERS; i++) {
		pthread_join(threads[i], NULL);
		device_release(&races[i].device);
		given += races[i].problem == PROBLEM_NONE;
		if (races[i].problem != PROBLEM_NONE)
			assert_problem(races[i].problem, otherwise);
	}
	return given;
}

static void test_devices_at_once_for_one_vehicle(void **state)
{
	struct fixture *fixture = *state;
	struct uuid id = vehicle_without_certificate(fixture, VIN_A, "tcu-1");
	struct claim claim = add_claim(fixture, &fixture->tenant, "batch", 100);
	struct race races[RACERS];

	for (size_t i = 0; i < RACERS; i++)
		races[i] = (struct race){.fixture = fixture, .claim = &claim, .device = make_device("tcu-1")};
	assert_int_equal(race_all(races, PROBLEM_VEHICLE_HAS_CERTIFICATE), 1);
	assert_int_equal(live_certificates(fixture, &id), 1);
	assert_int_equal(claim_now(fixture, &claim).used, 1);
}

static void test_renewals_at_once(void **state)
{
	struct fixture *fixture = *state;
	RENEWING_CLEANUP struct renewing renewing = make_renewing(fixture);
	struct race races[RACERS];

	for (size_t i = 0; i < RACERS; i++) {
		races[i] = (struct race){.fixture = fixture, .enrolled = renewing.enrolled, .device = make_device("")};
		write_renewal(&races[i].device, &renewing.id);
	}
	assert_int_equal(race_all(races, PROBLEM_CERTIFICATE_LIMIT), 1);
	assert_int_equal(live_certificates(fixture, &renewing.id), 2);
}

/* More vehicles than the claim is good for. */
static void test_a_claim_is_used_no_more_than_it_may(void **state)
{
	struct fixture *fixture = *state;
	struct claim claim = add_claim(fixture, &fixture->tenant, "batch", 3);
	static const char *const vins[] = {VIN_A, VIN_B, VIN_WITHOUT_DIGIT, "1FTFW1ET5DFC10312"};
	struct race races[RACERS];
	char device_id[16];

	for (size_t i = 0; i < sizeof(vins) / sizeof(vins[0]); i++) {
		snprintf(device_id, sizeof(device_id), "tcu-%zu", i);
		(void)vehicle_without_certificate(fixture, vins[i], device_id);
	}
	for (size_t i = 0; i < RACERS; i++) {
		snprintf(device_id, sizeof(device_id), "tcu-%zu", i % 4);
		races[i] = (struct race){.fixture = fixture, .claim = &claim, .device = make_device(device_id)};
	}
	size_t given = 0;
	for (size_t i = 0; i < RACERS; i++) {
		(void)run_race(&races[i]);
		device_release(&races[i].device);
		given += races[i].problem == PROBLEM_NONE;
	}
	assert_int_equal(given, 3);
	assert_int_equal(claim_now(fixture, &claim).used, 3);
}

/* ---- who is known ------------------------------------------------------------------------------------ */

static void test_authentication(void **state)
{
	struct fixture *fixture = *state;
	RENEWING_CLEANUP struct renewing renewing = make_renewing(fixture);
	struct serial unknown = {{1}};
	struct certificate_record record;
	bool is_known = true;

	assert_problem(enrollment_authenticate(&fixture->platform, &unknown, &record, &is_known, NULL),
		       PROBLEM_UNAUTHENTICATED);
	assert_false(is_known);
	fixture->clock.now_ms = renewing.enrolled.record.not_after_ms;
	assert_problem(
		enrollment_authenticate(&fixture->platform, &renewing.enrolled.record.serial, &record, &is_known, NULL),
		PROBLEM_UNAUTHENTICATED);
	assert_true(is_known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_enroll_refusals),
		TEST(test_enroll),
		TEST(test_enroll_again_for_the_same_key),
		TEST(test_enroll_keys),
		TEST(test_enroll_claim_decides_last),
		TEST(test_renew_names),
		TEST(test_renew_only_in_the_last_third),
		TEST(test_renew_another_key),
		TEST(test_renew_with_what_is_good_no_more),
		TEST(test_renewals_of_a_day_are_bounded),
		TEST(test_what_was_renewed_often_is_revoked_all_the_same),
		TEST(test_devices_at_once_for_one_vehicle),
		TEST(test_renewals_at_once),
		TEST(test_a_claim_is_used_no_more_than_it_may),
		TEST(test_authentication),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
