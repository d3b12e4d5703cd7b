/*
 * Tenant keys and what is done with them: VIN indexes, sealed VINs. Pure but for randomness; thread-safe.
 *
 * Sealed VIN, 64 bytes:
 *   version 1 (u8) | generation u16 BE | salt 12 | commitment 16 | ciphertext 17 | tag 16
 *   key 32, nonce 12, commitment 16 = HKDF-SHA-256(tenant's sealing key of the generation, salt,
 *                                                  "vinveil sealed VIN v1" | 00 | tenant | 00 | Reference ID (16))
 *   AES-256-GCM; associated data: tenant | 00 | Reference ID (16) | generation u16 BE
 *
 * The salt makes the AES key, so no nonce repeats under one key. The commitment binds the blob to one key (GCM
 * alone does not) and is compared in constant time before anything is opened.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_SEALING_H
#define VINVEIL_ADAPTERS_KEYS_SEALING_H

#include "base/entropy.h"
#include "vehicle/vehicle.h"

#define TENANT_KEY_SIZE 32

/* Of one generation. Lives in struct secret only. */
struct generation_keys {
	uint8_t index[TENANT_KEY_SIZE];
	uint8_t sealing[TENANT_KEY_SIZE];
};

MUST_USE enum result generation_keys_derive(struct span root_key, const struct tenant_id *tenant, uint16_t generation,
					    struct generation_keys *ret_keys);
MUST_USE enum result fingerprint_key_derive(struct span root_key, const struct tenant_id *tenant,
					    uint8_t ret_key[static TENANT_KEY_SIZE]);

MUST_USE enum result vin_seal(const struct generation_keys *keys, uint16_t generation, const struct tenant_id *tenant,
			      const struct uuid *reference_id, const struct vin *vin, struct entropy *entropy,
			      struct sealed_vin *ret_sealed);
/* Under which generation was it sealed? RESULT_CORRUPT for a blob of another version. */
MUST_USE enum result sealed_vin_generation(const struct sealed_vin *sealed, uint16_t *ret_generation);
/* RESULT_CORRUPT unless it was sealed with these keys for this tenant and Reference ID. */
MUST_USE enum result vin_unseal(const struct generation_keys *keys, const struct tenant_id *tenant,
				const struct uuid *reference_id, const struct sealed_vin *sealed, struct vin *ret_vin);

#endif
