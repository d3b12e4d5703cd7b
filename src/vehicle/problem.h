/*
 * What a flow answers when it does not succeed: the closed list of problems that a caller can be told of.
 * api/problem.c maps each to its status, title and sentence (RFC 9457); the names are the stable part of
 * "urn:vinveil:problem:<name>".
 */
#ifndef VINVEIL_VEHICLE_PROBLEM_H
#define VINVEIL_VEHICLE_PROBLEM_H

enum problem {
	PROBLEM_NONE = 0,
	/* 400, 401, 403 */
	PROBLEM_MALFORMED,
	PROBLEM_UNAUTHENTICATED,
	PROBLEM_SCOPE_MISSING,
	PROBLEM_PURPOSE_NOT_ALLOWED,
	PROBLEM_CLIENT_SUSPENDED,
	PROBLEM_SAME_PERSON,   /* the asker of a reveal cannot approve it; another cannot open it */
	PROBLEM_CLAIM_REFUSED, /* the claim is revoked, over or used up */
	PROBLEM_NAMES_DIFFER,  /* a renewal's CSR names somebody else than the certificate that asks for it */
	PROBLEM_RENEWAL_TOO_EARLY,
	/* 404 */
	PROBLEM_NOT_FOUND, /* unknown, erased, or another tenant's: alike */
	/* 405, 408, 413, 414, 415, 417, 431, 501, 505: transport and routing */
	PROBLEM_METHOD_NOT_ALLOWED,
	PROBLEM_REQUEST_TIMEOUT,
	PROBLEM_BODY_TOO_LARGE,
	PROBLEM_TARGET_TOO_LONG,
	PROBLEM_MEDIA_TYPE,
	PROBLEM_EXPECTATION,
	PROBLEM_HEADERS_TOO_LARGE,
	PROBLEM_NOT_IMPLEMENTED,
	PROBLEM_HTTP_VERSION,
	/* 409 */
	PROBLEM_VEHICLE_HAS_OTHER_DEVICE,
	PROBLEM_DEVICE_IN_USE,
	PROBLEM_DEVICE_MISMATCH,
	PROBLEM_VEHICLE_NOT_PROVISIONABLE,
	PROBLEM_TRANSITION_NOT_ALLOWED,
	PROBLEM_REVEAL_NOT_APPROVED,
	PROBLEM_ALREADY_EXISTS,		 /* client, tenant, fingerprint */
	PROBLEM_CERTIFICATE_LIMIT,	 /* two live certificates already */
	PROBLEM_VEHICLE_HAS_CERTIFICATE, /* one that lives */
	PROBLEM_VEHICLE_NOT_COMMANDABLE, /* suspended, decommissioned, or without a device */
	PROBLEM_COMMAND_LIMIT,		 /* as many commands wait for the vehicle as may */
	PROBLEM_REQUEST_IN_PROGRESS,	 /* same Idempotency-Key still running */
	/* 410 */
	PROBLEM_REVEAL_GONE, /* used or expired */
	/* 412, 428 */
	PROBLEM_VERSION_MISMATCH,
	PROBLEM_VERSION_REQUIRED,
	/* 422 */
	PROBLEM_VIN_INVALID,
	PROBLEM_CHECK_DIGIT,
	PROBLEM_DEVICE_UNKNOWN,
	PROBLEM_DEVICE_UNCHANGED,
	PROBLEM_CSR_INVALID,
	PROBLEM_CSR_REQUIRED,
	PROBLEM_KEY_REUSED,
	PROBLEM_KEY_MISMATCH,	      /* the manifest pins another key for this device */
	PROBLEM_OWNERSHIP_INVALID,    /* a token that is unknown, used, over, or of another claim: alike */
	PROBLEM_VIN_NOT_ALLOWED,      /* a VIN-shaped token in a string we are to keep */
	PROBLEM_VALUE_INVALID,	      /* well-formed JSON, but a member's value is out of bounds; detail names it */
	PROBLEM_IDEMPOTENCY_MISMATCH, /* same key, other body */
	/* 429, 500, 503 */
	PROBLEM_RATE_LIMITED,
	PROBLEM_BUDGET_EXHAUSTED, /* keyd's own budget: 429 with Retry-After */
	PROBLEM_UNAVAILABLE,
	PROBLEM_INTERNAL, /* stored data fails its check and the like: never bad input */
	PROBLEM_COUNT
};

/* "vin-invalid", …: never changes once released. PROBLEM_NONE: NULL. */
const char *problem_name(enum problem problem);

#endif
