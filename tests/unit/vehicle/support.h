/*
 * What the tests of vehicle/ share: a platform with the real SQLite registry in a directory of its own, and fakes at
 * the other ports; clients, requests, and the flows' plainest use.
 */
#ifndef VINVEIL_TESTS_VEHICLE_SUPPORT_H
#define VINVEIL_TESTS_VEHICLE_SUPPORT_H

#include "../cmocka_all.h"
#include "fake_audit.h"
#include "fake_authority.h"
#include "fake_gateway.h"
#include "fake_keys.h"
#include "vehicle/certificates.h"
#include "vehicle/provisioning.h"
#include "vehicle/tcu_change.h"
#include "vehicle/vehicles.h"

#define assert_result(expression, expected)  assert_string_equal(result_name(expression), result_name(expected))
#define assert_ok(expression)		     assert_result(expression, RESULT_OK)
#define assert_problem(expression, expected) assert_string_equal(name_of(expression), name_of(expected))

/* Public VINs of decoders' documentation; the last has no North American check digit. */
#define VIN_A		  "1M8GDM9AXKP042788"
#define VIN_B		  "5YJSA1H12FFP71790"
#define VIN_WITHOUT_DIGIT "WP0ZZZ99ZTS392124"
#define START_MS	  ((int64_t)1767225600 * 1000) /* 2026-01-01T00:00:00Z */
#define ALL_SCOPES	  ((1u << SCOPE_COUNT) - 1)

struct fake_clock {
	struct clock clock;
	int64_t now_ms;
};

struct fixture {
	char directory[64];
	struct fake_clock clock;
	struct fake_keys keys;
	struct fake_authority authority;
	struct fake_audit audit;
	struct fake_gateway gateway; /* the platform's, from the start */
	struct platform platform;
	struct tenant tenant, other_tenant; /* "demo" (no manifest demanded, check digit off) and "other" */
	struct client admin, stranger;	    /* of demo and of other; all scopes; purpose legal-request */
};

const char *name_of(enum problem problem);

int set_up(void **state); /* a fixture in *state */
int tear_down(void **state);

/* One request, with its arena and event. */
struct session {
	struct arena arena;
	struct audit_event event;
	struct flow_request request;
};
void session_open(struct session *session, struct fixture *fixture, const struct client *client);
void session_close(struct session *session);
#define SESSION_CLEANUP __attribute__((cleanup(session_close)))

/* One write without a leaf. */
void commit_alone(struct fixture *fixture, struct registry_write write);
void commit_together(struct fixture *fixture, const struct registry_write *writes, size_t count);
struct vin vin_of(const char *text);
struct hashed_vin hash_of(const char *text);
/* A client of demo, registered. */
struct client add_client(struct fixture *fixture, const char *id, uint32_t scopes, const char *purpose);
void add_device(struct fixture *fixture, const char *device_id, const uint8_t *key_sha256);
void set_manifest_required(struct fixture *fixture, bool required);

/* A key, its CSR in PEM, and its hash. */
struct test_csr {
	char pem[2048];
	uint8_t spki_sha256[SHA256_SIZE];
};
struct test_csr make_csr(void);

/* Provisions as admin. csr NULL: the key is made by the flow. */
enum problem provision(struct fixture *fixture, const char *vin, const char *device_id, const struct test_csr *csr,
		       struct provisioned *ret_provisioned);
/* Must be created; its credentials are dropped. */
struct uuid provisioned_vehicle(struct fixture *fixture, const char *vin, const char *device_id);
struct vehicle vehicle_now(struct fixture *fixture, const struct uuid *reference_id); /* without attributes */
size_t live_certificates(struct fixture *fixture, const struct uuid *reference_id);
/* How many lines of the vehicle's history tell of the event. */
size_t history_count(struct fixture *fixture, const struct uuid *reference_id, enum history_event event);
enum problem change_device(struct fixture *fixture, const struct uuid *reference_id, const char *device_id,
			   const char *new_device_id, struct vehicle *ret_vehicle);
enum problem set_state(struct fixture *fixture, const struct uuid *reference_id, enum vehicle_state state);
uint64_t outbox_count(struct fixture *fixture);

#endif
