/*
 * Port: everything that needs a tenant's keys. The real one is keyd behind its socket
 * (adapters/keys/keyd_client); the vault that keyd itself runs (adapters/keys/local) has the same shape.
 * All calls block (one exchange of some 15 µs with keyd) and are thread-safe. RESULT_UNAVAILABLE when keyd is away,
 * RESULT_EXHAUSTED when its budget is used up, RESULT_ABSENT for a tenant it does not know.
 */
#ifndef VINVEIL_VEHICLE_PORTS_KEY_SERVICE_H
#define VINVEIL_VEHICLE_PORTS_KEY_SERVICE_H

#include "crypto/merkle.h"
#include "vehicle/vehicle.h"

#define KEY_GENERATIONS_MAX  2 /* live at once: the newest, and while rotating the one before */
#define KEY_INDEX_BATCH_MAX  256
#define KEY_RESEAL_BATCH_MAX 128

/* Indexes of one VIN under every live generation, newest first. */
struct vin_index_set {
	struct vin_index indexes[KEY_GENERATIONS_MAX];
	size_t count;
};

struct key_generations {
	uint16_t newest;
	uint16_t oldest; /* equal to newest unless a rotation is under way */
};

/* One vehicle to be moved to the newest generation. */
struct reseal_item {
	struct uuid reference_id;
	struct sealed_vin sealed; /* in: old; out: new */
	struct vin_index index;	  /* out: under the newest generation */
	enum result result;	  /* out, a vehicle at a time: RESULT_CORRUPT for a blob that does not open */
};

/* What a reveal carries to keyd. The approver's signature is reserved in protocol v1 (product rule 14). */
struct reveal_authorisation {
	struct uuid reveal_request_id;
	char requested_by[CLIENT_ID_LENGTH_MAX + 1];
	char approved_by[CLIENT_ID_LENGTH_MAX + 1];
};

struct key_service;
struct key_service_ops {
	enum result (*create_tenant)(struct key_service *service, const struct tenant_id *tenant, struct note *note);
	enum result (*index_vins)(struct key_service *service, const struct tenant_id *tenant,
				  const struct hashed_vin *vins, size_t count, struct vin_index_set *ret_sets,
				  struct note *note);
	enum result (*seal_vin)(struct key_service *service, const struct tenant_id *tenant,
				const struct uuid *reference_id, const struct vin *vin, struct sealed_vin *ret_sealed,
				struct note *note);
	enum result (*open_vin)(struct key_service *service, const struct tenant_id *tenant,
				const struct uuid *reference_id, const struct sealed_vin *sealed,
				const struct reveal_authorisation *authorisation, struct vin *ret_vin,
				struct note *note);
	enum result (*reseal_vins)(struct key_service *service, const struct tenant_id *tenant,
				   struct reseal_item *items, size_t count, struct note *note);
	enum result (*fingerprint)(struct key_service *service, const struct tenant_id *tenant, struct span content,
				   uint8_t ret_fingerprint[SHA256_SIZE], struct note *note);
	enum result (*get_generations)(struct key_service *service, const struct tenant_id *tenant,
				       struct key_generations *ret_generations, struct note *note);
	enum result (*begin_rotation)(struct key_service *service, const struct tenant_id *tenant,
				      struct key_generations *ret_generations, struct note *note);
	enum result (*finish_rotation)(struct key_service *service, const struct tenant_id *tenant, struct note *note);
	/*
	 * A signed checkpoint (C2SP tlog-checkpoint, signed-note) of the log at `size`, composed and signed by keyd.
	 * `proof` leads from the size it signed last. RESULT_DENIED when the proof does not hold or the tree is
	 * smaller.
	 */
	enum result (*sign_checkpoint)(struct key_service *service, uint64_t size, const struct merkle_hash *root,
				       const struct merkle_proof *proof, struct buf *ret_note, struct note *note);
	/* What keyd signed last: size and root; size 0 before the first. */
	enum result (*last_checkpoint)(struct key_service *service, uint64_t *ret_size, struct merkle_hash *ret_root,
				       struct note *note);
};

/* Embedded first in each adapter's own struct. */
struct key_service {
	const struct key_service_ops *ops;
};

#endif
