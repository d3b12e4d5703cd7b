/*
 * A key service in this process with real cryptography and keys that the test can see through. Every call counts,
 * and can be made to fail.
 */
#ifndef VINVEIL_TESTS_FAKE_KEYS_H
#define VINVEIL_TESTS_FAKE_KEYS_H

#include "vehicle/ports/key_service.h"

#include <stdatomic.h>

#define FAKE_TENANTS_MAX 8

typedef void fake_keys_hook(void *context);

struct fake_keys {
	struct key_service service;
	struct tenant_id tenants[FAKE_TENANTS_MAX]; /* those it has keys of */
	size_t tenant_count;
	uint16_t newest, oldest;
	enum result index_result, seal_result, open_result, fingerprint_result; /* RESULT_OK: works */
	long index_budget; /* VINs that may still be indexed; negative: without end */
	atomic_int index_calls, seal_calls, open_calls;
	_Atomic(fake_keys_hook *) on_seal; /* called once, before the next sealing; NULL: nothing */
	void *on_seal_context;
	struct reveal_authorisation authorisation; /* of the last open */
};

void fake_keys_init(struct fake_keys *keys);

#endif
