/*
 * A tenant: a brand, region or operator whose vehicles nobody else may see.
 */
#ifndef VINVEIL_VEHICLE_TENANT_H
#define VINVEIL_VEHICLE_TENANT_H

#include "vehicle/vin.h"

#define TENANT_ID_LENGTH_MAX	     32
#define TELEMETRY_RETENTION_MAX_DAYS 3650

/* [a-z0-9] then [a-z0-9-]*, at most 32; NUL-terminated, and zero-filled to the end. */
struct tenant_id {
	char text[TENANT_ID_LENGTH_MAX + 1];
};

struct tenant {
	struct tenant_id id;
	enum check_digit_policy check_digit;
	bool manifest_required;
	uint32_t telemetry_retention_days; /* 0: the installation's default */
	int64_t created_at_ms;
};

MUST_USE enum result tenant_id_parse(struct span text, struct tenant_id *ret_id);
bool tenant_id_equal(const struct tenant_id *a, const struct tenant_id *b);
const char *check_digit_policy_name(enum check_digit_policy policy);
MUST_USE enum result check_digit_policy_parse(struct span text, enum check_digit_policy *ret_policy);

#endif
