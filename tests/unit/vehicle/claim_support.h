/* What the tests of claims share: claims with their certificates, and certificates that were issued ahead. */
#ifndef VINVEIL_TESTS_VEHICLE_CLAIM_SUPPORT_H
#define VINVEIL_TESTS_VEHICLE_CLAIM_SUPPORT_H

#include "support.h"
#include "vehicle/fleet_provisioning.h"

#define CLAIM_DAYS 30

/* By what the gateway was told last of this certificate. */
bool gateway_denies(const struct fixture *fixture, const struct serial *serial);

/* A certificate of the claim profile, in PEM; the caller releases it. */
void make_claim_certificate(struct fixture *fixture, const char *name, struct buf *ret_pem);
/* A claim of the client's tenant, registered. */
struct claim add_claim(struct fixture *fixture, const struct client *client, const char *name, int64_t count_max);
/* As it stands in the registry. */
struct claim claim_now(struct fixture *fixture, const struct claim *claim);

/* As a client: what a claim's message acts as. */
struct client client_of_claim(const struct claim *claim);

/* A CSR in PEM whose subject is this common name. */
struct test_csr make_named_csr(const char *common_name);

enum problem create_certificate(struct fixture *fixture, const struct claim *claim, const struct test_csr *csr,
				struct claimed_certificate *ret_certificate);
/* Must be created. */
struct claimed_certificate created_certificate(struct fixture *fixture, const struct claim *claim,
					       const struct test_csr *csr);
enum problem provision_claimed(struct fixture *fixture, const struct claim *claim, const char *token, const char *vin,
			       const char *device_id, struct provisioned *ret_provisioned);
struct certificate_facts facts_of(const struct claimed_certificate *certificate);

#endif
