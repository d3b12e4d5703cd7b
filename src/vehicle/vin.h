/*
 * Vehicle identification numbers (ISO 3779) and the two forms in which this system computes with them.
 * All three types are secret: wipe them (secret_wipe) when done, never log or store them.
 */
#ifndef VINVEIL_VEHICLE_VIN_H
#define VINVEIL_VEHICLE_VIN_H

#include "base/secret.h"
#include "crypto/digest.h"

#define VIN_LENGTH 17

struct vin {
	char text[VIN_LENGTH + 1]; /* upper case, NUL-terminated */
};

/* SHA-256 of the 17 upper-case ASCII bytes: reversible by brute force, so as secret as the VIN. */
struct hashed_vin {
	uint8_t bytes[SHA256_SIZE];
};

#define VIN_INDEX_SIZE 16 /* 128 bits: 470 million vehicles collide with probability 2^-70 */

/* HMAC-SHA-256 under the tenant's index key of one generation, cut: what the registry stores. Not secret. */
struct vin_index {
	uint16_t generation;
	uint8_t bytes[VIN_INDEX_SIZE];
};

enum check_digit_policy { CHECK_DIGIT_OFF, CHECK_DIGIT_WARN, CHECK_DIGIT_ENFORCE };

/*
 * Trims ASCII white space and upper-cases ASCII letters, then refuses whatever is not a VIN: another
 * length, I, O, Q, any other byte, seventeen times the same character. Nothing is ever mapped to another
 * character. RESULT_INVALID.
 */
MUST_USE enum result vin_parse(struct span text, struct vin *ret_vin);

/* Does position 9 hold the North American check digit (49 CFR 565.15)? Elsewhere it need not. */
bool vin_has_check_digit(const struct vin *vin);

MUST_USE enum result vin_hash(const struct vin *vin, struct hashed_vin *ret_hash);

/* 64 hex digits of either case. RESULT_INVALID. */
MUST_USE enum result hashed_vin_parse(struct span text, struct hashed_vin *ret_hash);

/*
 * Does the text hold a VIN-shaped token: 17 characters of the VIN's alphabet of either case, bounded by
 * characters outside [A-Za-z0-9], with at least one letter and one digit; or 64 hex digits alike bounded?
 * Strings that clients give us to keep are refused when they do (product rule 9).
 */
bool vin_stands_in(struct span text);

#endif
