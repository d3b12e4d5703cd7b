/*
 * Port: the vehicle registry, the one source of truth. Reads block and are thread-safe (a connection per
 * thread inside). A change is one value, struct change_set: conditional writes that are committed whole and
 * durably or not at all, together with the audit leaf that tells of them (the outbox). Uniqueness is decided here and
 * only here: Reference ID; (tenant, VIN index generation, VIN index); (tenant, device ID) over vehicles; (tenant,
 * certified key).
 *
 * Reads of records with variable parts take an arena; what they return lives there. Every read of tenant data takes
 * the tenant: another tenant's row is RESULT_ABSENT.
 */
#ifndef VINVEIL_VEHICLE_PORTS_REGISTRY_H
#define VINVEIL_VEHICLE_PORTS_REGISTRY_H

#include "base/arena.h"
#include "vehicle/access.h"
#include "vehicle/alert.h"
#include "vehicle/claim.h"
#include "vehicle/ports/audit_log.h"
#include "vehicle/ports/key_service.h"
#include "vehicle/remote_command.h"

/* ---- records that are the registry's alone --------------------------------------------------------- */

enum reveal_status { REVEAL_PENDING = 1, REVEAL_APPROVED = 2, REVEAL_OPENED = 3 };

struct reveal_request {
	struct uuid id;
	struct tenant_id tenant;
	struct uuid reference_id;
	char purpose[PURPOSE_LENGTH_MAX + 1];
	char reason[1025];
	char ticket[129];
	char requested_by[CLIENT_ID_LENGTH_MAX + 1];
	char approved_by[CLIENT_ID_LENGTH_MAX + 1];
	enum reveal_status status;
	int64_t created_at_ms, expires_at_ms;
};

/* An answer kept for an Idempotency-Key. Holds no private key and no VIN. */
struct idempotency_record {
	char client_id[CLIENT_ID_LENGTH_MAX + 1];
	char route[64];
	char key[129];
	uint8_t fingerprint[SHA256_SIZE];
	int status;	  /* 0: still running */
	const char *body; /* the answer's JSON, NULL while running or when it must be made anew */
	bool has_serial;  /* the certificate whose key was returned with it */
	struct serial serial;
	struct uuid reference_id; /* with has_serial */
	int64_t created_at_ms;
};

/* A FleetWise document that an operator loaded for a tenant's vehicles (adapters/fleetwise/). */
#define SIGNAL_DOCUMENT_SIZE_MAX ((size_t)4 << 20)
#define SYNC_ID_LENGTH_MAX	 128

/* Stored: never renumber. */
enum signal_document_kind { SIGNAL_DECODER_MANIFEST = 1, SIGNAL_COLLECTION_SCHEMES = 2 };

struct signal_document {
	struct tenant_id tenant;
	enum signal_document_kind kind;
	char sync_id[SYNC_ID_LENGTH_MAX + 1];
	struct span bytes; /* serialised, as it goes to the agent; in the reader's arena */
	int64_t created_at_ms;
};

/* What the device gateway must refuse. */
struct denied_certificate {
	struct serial serial;
	struct uuid reference_id; /* zero for a claim's */
	int64_t not_after_ms;
};

/* ---- changes ---------------------------------------------------------------------------------------- */

/* Which condition of a change set did not hold. */
enum registry_conflict {
	REGISTRY_CONFLICT_NONE,
	REGISTRY_CONFLICT_REFERENCE_ID,
	REGISTRY_CONFLICT_VIN_INDEX,
	REGISTRY_CONFLICT_DEVICE_ID,
	REGISTRY_CONFLICT_VERSION,
	REGISTRY_CONFLICT_CERTIFIED_KEY, /* same key, other vehicle or device */
	REGISTRY_CONFLICT_CLIENT,	 /* client ID or fingerprint */
	REGISTRY_CONFLICT_TENANT,
	REGISTRY_CONFLICT_REVEAL, /* its status has moved */
	REGISTRY_CONFLICT_IDEMPOTENCY,
	REGISTRY_CONFLICT_GENERATION, /* the vehicle is not at the generation expected */
	REGISTRY_CONFLICT_COMMAND,    /* its ID is taken, or its version has moved */
	REGISTRY_CONFLICT_CLAIM,      /* its name is taken; or it is used up, revoked or over */
	REGISTRY_CONFLICT_OWNERSHIP,  /* the token was used or is over, or too many wait */
	REGISTRY_CONFLICT_ALERT,      /* the vehicle has one of this kind that is not older than ALERT_INTERVAL_MS */
};

enum registry_write_kind {
	REGISTRY_INSERT_VEHICLE,     /* vehicle */
	REGISTRY_UPDATE_VEHICLE,     /* vehicle: its row must be at version - 1 */
	REGISTRY_INSERT_INDEXES,     /* vin.reference_id + vin.indexes: one row a generation */
	REGISTRY_RESEAL,	     /* reseal: new blob and new index beside the old one, when the stored blob equals
					expected_sealed; version unchanged */
	REGISTRY_APPEND_HISTORY,     /* history.reference_id + history.entry */
	REGISTRY_INSERT_CERTIFICATE, /* certificate; remembers its key for its device */
	REGISTRY_REVOKE_CERTIFICATE, /* revoke: no-op when revoked already */
	REGISTRY_PUT_DEVICE,	     /* device: insert; a known one with an equal key (or none) is left as it is: see
				      *ret_device */
	REGISTRY_INSERT_TENANT,	     /* tenant */
	REGISTRY_INSERT_CLIENT,	     /* client */
	REGISTRY_UPDATE_CLIENT,	     /* client: state, fingerprints, limits, scopes, purposes by ID; its row must be at
				      * version - 1, else REGISTRY_CONFLICT_VERSION */
	REGISTRY_INSERT_REVEAL,	     /* reveal */
	REGISTRY_UPDATE_REVEAL,	     /* reveal: status, approved_by, expires_at_ms; its row must have status - 1 */
	REGISTRY_RESTORE_REVEAL,     /* reveal: from opened back to approved, because keyd could not open it */
	/* A record is owned by whoever knows its created_at_ms; REGISTRY_CONFLICT_IDEMPOTENCY when it is not there. */
	REGISTRY_INSERT_IDEMPOTENCY, /* idempotency: conflict when the key is there and younger than 24 h */
	REGISTRY_UPDATE_IDEMPOTENCY, /* idempotency: status, body and serial of the one created at created_at_ms */
	REGISTRY_DELETE_IDEMPOTENCY, /* idempotency: the running one created at created_at_ms, which came to nothing */
	REGISTRY_INSERT_COMMAND,     /* command */
	REGISTRY_UPDATE_COMMAND, /* command: status, is_final, reason, result, times; its row must be at version - 1 */
	REGISTRY_INSERT_ALERT,	 /* alert: REGISTRY_CONFLICT_ALERT when its vehicle has a recent one of its kind */
	REGISTRY_INSERT_CLAIM,	 /* claim */
	REGISTRY_REVOKE_CLAIM,	 /* claim: by name and tenant, with revoked_at_ms; no-op when revoked already */
	REGISTRY_USE_CLAIM,	 /* claim_use: used + 1 while it is not used up, revoked or over at at_ms, else
				    REGISTRY_CONFLICT_CLAIM */
	REGISTRY_INSERT_OWNERSHIP, /* ownership; its certificate is denied from here on */
	REGISTRY_TAKE_OWNERSHIP,   /* ownership_take: once, before it is over at at_ms. is_admitted: the certificate
				      becomes the vehicle's (the change set inserts it, too) and is denied no more; else
				      it stays denied to its end */
	REGISTRY_SPEND_OWNERSHIP,  /* ownership_take, not admitted: the same, for nothing, and the ownership counts as
				      waiting until it is over */
	REGISTRY_PUT_SIGNAL_DOCUMENT, /* document: replaces that of the same tenant, kind and sync ID */
	REGISTRY_ADD_LEAF,	      /* leaf: the outbox */
};

enum device_put { DEVICE_ADDED, DEVICE_KNOWN, DEVICE_OTHER_KEY };

struct registry_write {
	enum registry_write_kind kind;
	union {
		const struct vehicle *vehicle;
		struct {
			const struct uuid *reference_id;
			const struct tenant_id *tenant;
			const struct vin_index_set *indexes;
		} vin;
		struct {
			const struct tenant_id *tenant;
			const struct uuid *reference_id;
			const struct sealed_vin *expected_sealed, *sealed;
			const struct vin_index *index;
		} reseal;
		struct {
			const struct uuid *reference_id;
			const struct history_entry *entry;
		} history;
		const struct certificate_record *certificate;
		struct {
			const struct serial *serial;
			enum revocation_reason reason;
			int64_t at_ms;
		} revoke;
		struct {
			const struct device_manifest_entry *entry;
			enum device_put *ret_device;
		} device;
		const struct tenant *tenant;
		const struct client *client;
		const struct reveal_request *reveal;
		const struct idempotency_record *idempotency;
		const struct remote_command *command;
		const struct alert *alert;
		const struct claim *claim;
		struct {
			const char *name;
			int64_t at_ms;
		} claim_use;
		const struct ownership *ownership;
		struct {
			const uint8_t *token_sha256; /* SHA256_SIZE */
			bool is_admitted;
			int64_t at_ms;
		} ownership_take;
		const struct signal_document *document;
		const struct audit_leaf *leaf;
	};
};

#define CHANGE_SET_WRITES_MAX 1024

/* The writes are borrowed until commit returns. */
struct change_set {
	const struct registry_write *writes;
	size_t count;
	uint64_t log_size; /* the audit log's durable size before the leaf is appended: where recovery looks from */
};

struct outbox_leaf {
	struct uuid leaf_id;
	struct span json;
	uint64_t log_size;
};

struct vehicle_page {
	struct vehicle *vehicles;
	size_t count;
	uint64_t next_cursor; /* 0: no more */
};

struct registry_counts {
	uint64_t vehicles, outbox;
};

struct registry;
struct registry_ops {
	/* Blocks until durable. RESULT_CONFLICT sets *ret_conflict and nothing was written. */
	enum result (*commit)(struct registry *registry, const struct change_set *change,
			      enum registry_conflict *ret_conflict, struct note *note);

	enum result (*get_vehicle)(struct registry *registry, const struct tenant_id *tenant,
				   const struct uuid *reference_id, struct arena *arena, struct vehicle *ret_vehicle,
				   struct note *note);
	enum result (*find_by_device)(struct registry *registry, const struct tenant_id *tenant, const char *device_id,
				      struct arena *arena, struct vehicle *ret_vehicle, struct note *note);
	/*
	 * The hot path: for each set the Reference ID of the vehicle that any of its indexes names.
	 * ret_found[i] tells whether ret_ids[i] was written. Decommissioned vehicles are found, too.
	 */
	enum result (*find_by_index)(struct registry *registry, const struct tenant_id *tenant,
				     const struct vin_index_set *sets, size_t count, struct uuid *ret_ids,
				     bool *ret_found, struct note *note);
	/* In insertion order from the cursor (0: start). state 0: any. */
	enum result (*scan_vehicles)(struct registry *registry, const struct tenant_id *tenant,
				     enum vehicle_state state, uint64_t cursor, size_t limit, struct arena *arena,
				     struct vehicle_page *ret_page, struct note *note);
	/* Newest first; before: 0 or the number of the last entry seen. */
	enum result (*get_history)(struct registry *registry, const struct tenant_id *tenant,
				   const struct uuid *reference_id, uint64_t before, size_t limit, struct arena *arena,
				   struct history_entry **ret_entries, size_t *ret_count, struct note *note);
	/* Of one vehicle, newest first, at most limit. */
	enum result (*get_certificates)(struct registry *registry, const struct tenant_id *tenant,
					const struct uuid *reference_id, size_t limit, struct arena *arena,
					struct certificate_record **ret_records, size_t *ret_count, struct note *note);
	/* The same, of those alone that are neither revoked nor over at at_ms, however many were issued after them. */
	enum result (*get_valid_certificates)(struct registry *registry, const struct tenant_id *tenant,
					      const struct uuid *reference_id, int64_t at_ms, size_t limit,
					      struct arena *arena, struct certificate_record **ret_records,
					      size_t *ret_count, struct note *note);
	/* Whoever's it is: the certificate speaks for its tenant. Device certificates only. */
	enum result (*find_certificate)(struct registry *registry, const struct serial *serial,
					struct certificate_record *ret_record, struct note *note);
	/* Everything whose certificate must not connect at at_ms: revoked ones, revoked claims', and those issued ahead
	   that are not admitted (whether their token lives or not), each until it expires. */
	enum result (*scan_denied)(struct registry *registry, int64_t at_ms, struct arena *arena,
				   struct denied_certificate **ret_denied, size_t *ret_count, struct note *note);
	/* Suspended vehicles of all tenants. */
	enum result (*scan_suspended)(struct registry *registry, struct arena *arena, struct uuid **ret_ids,
				      size_t *ret_count, struct note *note);

	enum result (*get_command)(struct registry *registry, const struct tenant_id *tenant,
				   const struct uuid *reference_id, const struct uuid *command_id, struct arena *arena,
				   struct remote_command *ret_command, struct note *note);
	/* Of one vehicle, newest first; before: NULL, or the ID of the last one seen. */
	enum result (*list_commands)(struct registry *registry, const struct tenant_id *tenant,
				     const struct uuid *reference_id, const struct uuid *before, size_t limit,
				     struct arena *arena, struct remote_command **ret_commands, size_t *ret_count,
				     struct note *note);
	/* CREATED and not over at at_ms, oldest first: what a vehicle that subscribes is to be sent (again). */
	enum result (*list_waiting_commands)(struct registry *registry, const struct tenant_id *tenant,
					     const struct uuid *reference_id, int64_t at_ms, size_t limit,
					     struct arena *arena, struct remote_command **ret_commands,
					     size_t *ret_count, struct note *note);
	/* CREATED or IN_PROGRESS, of all tenants, whose time is over in (after_ms, until_ms], in that order. */
	enum result (*list_open_commands)(struct registry *registry, int64_t after_ms, int64_t until_ms, size_t limit,
					  struct arena *arena, struct remote_command **ret_commands, size_t *ret_count,
					  struct note *note);
	/* Newest first. */
	enum result (*list_alerts)(struct registry *registry, const struct tenant_id *tenant,
				   const struct alert_query *query, struct arena *arena, struct alert **ret_alerts,
				   size_t *ret_count, struct note *note);

	/* Whoever's it is: authentication. */
	enum result (*find_claim)(struct registry *registry, const struct serial *serial, struct claim *ret_claim,
				  struct note *note);
	enum result (*get_claim)(struct registry *registry, const struct tenant_id *tenant, const char *name,
				 struct claim *ret_claim, struct note *note);
	/* Oldest first. */
	enum result (*list_claims)(struct registry *registry, const struct tenant_id *tenant, struct arena *arena,
				   struct claim **ret_claims, size_t *ret_count, struct note *note);
	/* How many wait at at_ms, of the claim with this certificate: 0 to OWNERSHIPS_PER_CLAIM_MAX. */
	enum result (*count_ownerships)(struct registry *registry, const struct serial *claim, int64_t at_ms,
					size_t *ret_count, struct note *note);
	/* RESULT_ABSENT: unknown, used, or over at at_ms. */
	enum result (*find_ownership)(struct registry *registry, const uint8_t token_sha256[SHA256_SIZE], int64_t at_ms,
				      struct arena *arena, struct ownership *ret_ownership, struct note *note);
	/* The newest of its kind, with bytes only when with_bytes. RESULT_ABSENT: none. */
	enum result (*get_signal_document)(struct registry *registry, const struct tenant_id *tenant,
					   enum signal_document_kind kind, bool with_bytes, struct arena *arena,
					   struct signal_document *ret_document, struct note *note);

	/* Revoked and not expired at at_ms, claims' and lapsed ones issued ahead included: the CRL's content. */
	enum result (*scan_revoked)(struct registry *registry, int64_t at_ms, struct arena *arena,
				    struct revoked_certificate **ret_revoked, size_t *ret_count, struct note *note);
	/* Which vehicle and device a key was certified for. */
	enum result (*find_certified_key)(struct registry *registry, const struct tenant_id *tenant,
					  const uint8_t spki_sha256[SHA256_SIZE], struct uuid *ret_reference_id,
					  char ret_device_id[DEVICE_ID_SIZE], struct note *note);
	enum result (*get_device)(struct registry *registry, const struct tenant_id *tenant, const char *device_id,
				  struct device_manifest_entry *ret_entry, struct note *note);
	enum result (*get_tenant)(struct registry *registry, const struct tenant_id *id, struct tenant *ret_tenant,
				  struct note *note);
	enum result (*list_tenants)(struct registry *registry, struct arena *arena, struct tenant **ret_tenants,
				    size_t *ret_count, struct note *note);
	/* All tenants' clients: what authentication caches. */
	enum result (*list_clients)(struct registry *registry, struct arena *arena, struct client **ret_clients,
				    size_t *ret_count, struct note *note);
	enum result (*get_reveal)(struct registry *registry, const struct tenant_id *tenant, const struct uuid *id,
				  struct reveal_request *ret_request, struct note *note);
	enum result (*get_idempotency)(struct registry *registry, const char *client_id, const char *route,
				       const char *key, struct arena *arena, struct idempotency_record *ret_record,
				       struct note *note);
	/* Vehicles of a tenant with no index of `generation` yet, in insertion order from the cursor. */
	enum result (*scan_stale)(struct registry *registry, const struct tenant_id *tenant, uint16_t generation,
				  uint64_t cursor, size_t limit, struct arena *arena, struct vehicle_page *ret_page,
				  struct note *note);
	/* Removes a tenant's indexes of a generation; call it again until *ret_removed is 0. RESULT_CONFLICT unless
	 * every vehicle has a newer one. */
	enum result (*drop_generation)(struct registry *registry, const struct tenant_id *tenant, uint16_t generation,
				       size_t limit, size_t *ret_removed, struct note *note);

	/* The outbox: leaves committed but perhaps not in the log yet, oldest first. */
	enum result (*read_outbox)(struct registry *registry, size_t limit, struct arena *arena,
				   struct outbox_leaf **ret_leaves, size_t *ret_count, struct note *note);
	/* These are durably in the log: forget them, together with the next commit. Never blocks. */
	void (*forget_outbox)(struct registry *registry, const struct uuid *leaf_ids, size_t count);
	enum result (*count)(struct registry *registry, struct registry_counts *ret_counts, struct note *note);
	/* Can it read and write now? For /readyz. */
	enum result (*check)(struct registry *registry, struct note *note);
};

struct registry {
	const struct registry_ops *ops;
};

#endif
