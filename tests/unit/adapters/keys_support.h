/* A vault in a temporary directory, a clock that the test sets, and small helpers for the tests of keys. */
#ifndef VINVEIL_TESTS_KEYS_SUPPORT_H
#define VINVEIL_TESTS_KEYS_SUPPORT_H

#include "adapters/authority/openssl.h"
#include "adapters/keys/key_material.h"
#include "adapters/keys/local.h"
#include "base/file.h"

#include <stdlib.h>

struct fake_clock {
	struct clock clock;
	int64_t now_ms, monotonic_ms;
};
void fake_clock_init(struct fake_clock *clock);
/* Time goes on: both clocks. */
void fake_clock_pass(struct fake_clock *clock, int64_t ms);

struct test_vault {
	char directory[64];
	struct fake_clock clock;
	struct key_budgets budgets;
	struct key_service *keys;
	struct cert_authority *authority;
};

/* Keys, issuer under a root of its own, state; not opened. */
void test_vault_create(struct test_vault *vault);
void test_vault_open(struct test_vault *vault);
void test_vault_close(struct test_vault *vault);
void test_vault_reopen(struct test_vault *vault);
void test_vault_remove(struct test_vault *vault);
/* Created, opened, budgets full. */
void test_vault_begin(struct test_vault *vault);

struct tenant_id tenant_named(const char *name);
struct vin vin_numbered(unsigned number);
struct hashed_vin hash_of(const struct vin *vin);
struct uuid new_uuid(void);
/* A CSR (DER) for a fresh P-256 key; the caller releases it. */
void make_csr(struct buf *ret_der);

#endif
