#include "vehicle/problem.h"

#include <stddef.h>

static const char *const names[PROBLEM_COUNT] = {
	[PROBLEM_MALFORMED] = "malformed",
	[PROBLEM_UNAUTHENTICATED] = "unauthenticated",
	[PROBLEM_SCOPE_MISSING] = "scope-missing",
	[PROBLEM_PURPOSE_NOT_ALLOWED] = "purpose-not-allowed",
	[PROBLEM_CLIENT_SUSPENDED] = "client-suspended",
	[PROBLEM_SAME_PERSON] = "same-person",
	[PROBLEM_CLAIM_REFUSED] = "claim-refused",
	[PROBLEM_NAMES_DIFFER] = "names-differ",
	[PROBLEM_RENEWAL_TOO_EARLY] = "renewal-too-early",
	[PROBLEM_NOT_FOUND] = "not-found",
	[PROBLEM_METHOD_NOT_ALLOWED] = "method-not-allowed",
	[PROBLEM_REQUEST_TIMEOUT] = "request-timeout",
	[PROBLEM_BODY_TOO_LARGE] = "body-too-large",
	[PROBLEM_TARGET_TOO_LONG] = "target-too-long",
	[PROBLEM_MEDIA_TYPE] = "media-type",
	[PROBLEM_EXPECTATION] = "expectation",
	[PROBLEM_HEADERS_TOO_LARGE] = "headers-too-large",
	[PROBLEM_NOT_IMPLEMENTED] = "not-implemented",
	[PROBLEM_HTTP_VERSION] = "http-version",
	[PROBLEM_VEHICLE_HAS_OTHER_DEVICE] = "vehicle-has-other-device",
	[PROBLEM_DEVICE_IN_USE] = "device-in-use",
	[PROBLEM_DEVICE_MISMATCH] = "device-mismatch",
	[PROBLEM_VEHICLE_NOT_PROVISIONABLE] = "vehicle-not-provisionable",
	[PROBLEM_TRANSITION_NOT_ALLOWED] = "transition-not-allowed",
	[PROBLEM_REVEAL_NOT_APPROVED] = "reveal-not-approved",
	[PROBLEM_ALREADY_EXISTS] = "already-exists",
	[PROBLEM_CERTIFICATE_LIMIT] = "certificate-limit",
	[PROBLEM_VEHICLE_HAS_CERTIFICATE] = "vehicle-has-certificate",
	[PROBLEM_REQUEST_IN_PROGRESS] = "request-in-progress",
	[PROBLEM_REVEAL_GONE] = "reveal-gone",
	[PROBLEM_VERSION_MISMATCH] = "version-mismatch",
	[PROBLEM_VERSION_REQUIRED] = "version-required",
	[PROBLEM_VIN_INVALID] = "vin-invalid",
	[PROBLEM_CHECK_DIGIT] = "check-digit",
	[PROBLEM_DEVICE_UNKNOWN] = "device-unknown",
	[PROBLEM_DEVICE_UNCHANGED] = "device-unchanged",
	[PROBLEM_CSR_INVALID] = "csr-invalid",
	[PROBLEM_CSR_REQUIRED] = "csr-required",
	[PROBLEM_KEY_REUSED] = "key-reused",
	[PROBLEM_KEY_MISMATCH] = "key-mismatch",
	[PROBLEM_OWNERSHIP_INVALID] = "ownership-invalid",
	[PROBLEM_VIN_NOT_ALLOWED] = "vin-not-allowed",
	[PROBLEM_VALUE_INVALID] = "value-invalid",
	[PROBLEM_IDEMPOTENCY_MISMATCH] = "idempotency-mismatch",
	[PROBLEM_RATE_LIMITED] = "rate-limited",
	[PROBLEM_BUDGET_EXHAUSTED] = "budget-exhausted",
	[PROBLEM_UNAVAILABLE] = "unavailable",
	[PROBLEM_INTERNAL] = "internal",
};

const char *problem_name(enum problem problem)
{
	return names[problem];
}
