#include "adapters/keys/sealing.h"

#include "adapters/keys/wire.h"
#include "crypto/aead.h"

#define VERSION		1
#define SALT_SIZE	12
#define COMMITMENT_SIZE 16
#define CONTEXT_SIZE	160 /* label, tenant and Reference ID fit */

#define AT_GENERATION 1
#define AT_SALT	      3
#define AT_COMMITMENT (AT_SALT + SALT_SIZE)
#define AT_CIPHERTEXT (AT_COMMITMENT + COMMITMENT_SIZE)
#define AT_TAG	      (AT_CIPHERTEXT + VIN_LENGTH)

_Static_assert(AT_TAG + AEAD_TAG_SIZE == SEALED_VIN_SIZE, "the blob's parts fill it");

/* ---- tenant keys ---------------------------------------------------------------------------------- */

static enum result derive(struct span root_key, const char *label, const struct tenant_id *tenant, uint16_t generation,
			  uint8_t ret_key[static TENANT_KEY_SIZE])
{
	BUF_CLEANUP struct buf info = {.size_max = CONTEXT_SIZE};
	TRY(buf_append_text(&info, label));
	TRY(wire_put_u8(&info, 0));
	TRY(buf_append_text(&info, tenant->text));
	TRY(wire_put_u8(&info, 0));
	TRY(wire_put_u16(&info, generation));
	return hkdf_sha256(root_key, (struct span){0}, buf_span(&info), ret_key, TENANT_KEY_SIZE);
}

enum result generation_keys_derive(struct span root_key, const struct tenant_id *tenant, uint16_t generation,
				   struct generation_keys *ret_keys)
{
	TRY(derive(root_key, "vinveil index key v1", tenant, generation, ret_keys->index));
	return derive(root_key, "vinveil sealing key v1", tenant, generation, ret_keys->sealing);
}

enum result fingerprint_key_derive(struct span root_key, const struct tenant_id *tenant,
				   uint8_t ret_key[static TENANT_KEY_SIZE])
{
	return derive(root_key, "vinveil fingerprint key v1", tenant, 0, ret_key);
}

/* ---- sealing -------------------------------------------------------------------------------------- */

struct blob_keys {
	uint8_t key[AEAD_KEY_SIZE];
	uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t commitment[COMMITMENT_SIZE];
};

static void blob_keys_wipe(struct blob_keys *keys)
{
	secret_wipe(keys, sizeof(*keys));
}
#define BLOB_KEYS_CLEANUP __attribute__((cleanup(blob_keys_wipe)))

static enum result append_binding(struct buf *buf, const struct tenant_id *tenant, const struct uuid *reference_id)
{
	TRY(buf_append_text(buf, tenant->text));
	TRY(wire_put_u8(buf, 0));
	return wire_put(buf, reference_id->bytes, UUID_SIZE);
}

static enum result derive_blob_keys(const struct generation_keys *keys, const struct tenant_id *tenant,
				    const struct uuid *reference_id, const uint8_t *salt, struct blob_keys *ret_keys)
{
	BUF_CLEANUP struct buf info = {.size_max = CONTEXT_SIZE};
	TRY(buf_append_text(&info, "vinveil sealed VIN v1"));
	TRY(wire_put_u8(&info, 0));
	TRY(append_binding(&info, tenant, reference_id));
	return hkdf_sha256(span_of(keys->sealing, TENANT_KEY_SIZE), span_of(salt, SALT_SIZE), buf_span(&info),
			   (uint8_t *)ret_keys, sizeof(*ret_keys));
}

_Static_assert(sizeof(struct blob_keys) == AEAD_KEY_SIZE + AEAD_NONCE_SIZE + COMMITMENT_SIZE, "no padding");

static enum result append_associated(struct buf *buf, const struct tenant_id *tenant, const struct uuid *reference_id,
				     uint16_t generation)
{
	TRY(append_binding(buf, tenant, reference_id));
	return wire_put_u16(buf, generation);
}

enum result vin_seal(const struct generation_keys *keys, uint16_t generation, const struct tenant_id *tenant,
		     const struct uuid *reference_id, const struct vin *vin, struct entropy *entropy,
		     struct sealed_vin *ret_sealed)
{
	struct sealed_vin sealed = {.bytes = {VERSION, (uint8_t)(generation >> 8), (uint8_t)generation}};
	BLOB_KEYS_CLEANUP struct blob_keys blob = {0};
	BUF_CLEANUP struct buf associated = {.size_max = CONTEXT_SIZE};
	TRY(entropy_fill(entropy, sealed.bytes + AT_SALT, SALT_SIZE));
	TRY(derive_blob_keys(keys, tenant, reference_id, sealed.bytes + AT_SALT, &blob));
	memcpy(sealed.bytes + AT_COMMITMENT, blob.commitment, COMMITMENT_SIZE);
	TRY(append_associated(&associated, tenant, reference_id, generation));
	TRY(aead_seal(blob.key, blob.nonce, buf_span(&associated), span_of(vin->text, VIN_LENGTH),
		      sealed.bytes + AT_CIPHERTEXT, sealed.bytes + AT_TAG));
	*ret_sealed = sealed;
	return RESULT_OK;
}

enum result sealed_vin_generation(const struct sealed_vin *sealed, uint16_t *ret_generation)
{
	if (sealed->bytes[0] != VERSION)
		return RESULT_CORRUPT;
	*ret_generation = (uint16_t)(sealed->bytes[AT_GENERATION] << 8 | sealed->bytes[AT_GENERATION + 1]);
	return RESULT_OK;
}

enum result vin_unseal(const struct generation_keys *keys, const struct tenant_id *tenant,
		       const struct uuid *reference_id, const struct sealed_vin *sealed, struct vin *ret_vin)
{
	uint16_t generation = 0;
	BLOB_KEYS_CLEANUP struct blob_keys blob = {0};
	BUF_CLEANUP struct buf associated = {.size_max = CONTEXT_SIZE};
	TRY(sealed_vin_generation(sealed, &generation));
	TRY(derive_blob_keys(keys, tenant, reference_id, sealed->bytes + AT_SALT, &blob));
	if (!secret_equal(sealed->bytes + AT_COMMITMENT, blob.commitment, COMMITMENT_SIZE))
		return RESULT_CORRUPT;
	TRY(append_associated(&associated, tenant, reference_id, generation));
	struct vin vin = {0};
	enum result result = aead_open(blob.key, blob.nonce, buf_span(&associated),
				       span_of(sealed->bytes + AT_CIPHERTEXT, VIN_LENGTH), sealed->bytes + AT_TAG,
				       (uint8_t *)vin.text);
	if (result == RESULT_OK)
		*ret_vin = vin;
	secret_wipe(&vin, sizeof(vin));
	return result;
}
