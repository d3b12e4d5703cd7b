#include "fake_keys.h"

#include "crypto/aead.h"

#define NONCE_SIZE AEAD_NONCE_SIZE

static struct fake_keys *self_of(struct key_service *service)
{
	return (struct fake_keys *)service;
}

static enum result check_tenant(const struct fake_keys *keys, const struct tenant_id *tenant)
{
	for (size_t i = 0; i < keys->tenant_count; i++)
		if (tenant_id_equal(&keys->tenants[i], tenant))
			return RESULT_OK;
	return RESULT_ABSENT;
}

static enum result derive(const struct tenant_id *tenant, const char *label, uint16_t generation,
			  uint8_t ret_key[SHA256_SIZE])
{
	uint8_t number[2] = {(uint8_t)(generation >> 8), (uint8_t)generation};
	struct span parts[] = {span_of_text(label), span_of_text(tenant->text), span_of(number, 2)};

	return sha256_parts(parts, 3, ret_key);
}

static enum result keyed(const uint8_t key[SHA256_SIZE], struct span message, uint8_t ret_code[SHA256_SIZE])
{
	struct hmac_key *hmac;

	TRY(hmac_key_open(span_of(key, SHA256_SIZE), &hmac));
	enum result result = hmac_sha256(hmac, message, ret_code);
	hmac_key_close(hmac);
	return result;
}

static enum result create_tenant(struct key_service *service, const struct tenant_id *tenant, struct note *note)
{
	struct fake_keys *keys = self_of(service);

	(void)note;
	if (check_tenant(keys, tenant) == RESULT_OK)
		return RESULT_CONFLICT;
	if (keys->tenant_count == FAKE_TENANTS_MAX)
		return RESULT_EXHAUSTED;
	keys->tenants[keys->tenant_count++] = *tenant;
	return RESULT_OK;
}

static enum result index_one(const struct fake_keys *keys, const struct tenant_id *tenant, const struct hashed_vin *vin,
			     struct vin_index_set *set)
{
	set->count = 0;
	for (uint16_t generation = keys->newest;; generation--) {
		struct vin_index *index = &set->indexes[set->count++];
		uint8_t key[SHA256_SIZE], code[SHA256_SIZE];

		TRY(derive(tenant, "index", generation, key));
		TRY(keyed(key, span_of(vin->bytes, sizeof(vin->bytes)), code));
		index->generation = generation;
		memcpy(index->bytes, code, VIN_INDEX_SIZE);
		if (generation == keys->oldest)
			return RESULT_OK;
	}
}

static enum result index_vins(struct key_service *service, const struct tenant_id *tenant,
			      const struct hashed_vin *vins, size_t count, struct vin_index_set *ret_sets,
			      struct note *note)
{
	struct fake_keys *keys = self_of(service);

	(void)note;
	atomic_fetch_add(&keys->index_calls, 1);
	TRY(keys->index_result);
	TRY(check_tenant(keys, tenant));
	if (count > KEY_INDEX_BATCH_MAX)
		return RESULT_INVALID;
	if (keys->index_budget >= 0) {
		if (keys->index_budget < (long)count)
			return RESULT_EXHAUSTED;
		keys->index_budget -= (long)count;
	}
	for (size_t i = 0; i < count; i++)
		TRY(index_one(keys, tenant, &vins[i], &ret_sets[i]));
	return RESULT_OK;
}

static void call_on_seal(struct fake_keys *keys)
{
	fake_keys_hook *on_seal = atomic_exchange(&keys->on_seal, NULL);

	if (on_seal != NULL)
		on_seal(keys->on_seal_context);
}

/* nonce | ciphertext | tag, bound to the Reference ID */
static enum result seal_vin(struct key_service *service, const struct tenant_id *tenant,
			    const struct uuid *reference_id, const struct vin *vin, struct sealed_vin *ret_sealed,
			    struct note *note)
{
	struct fake_keys *keys = self_of(service);
	struct sealed_vin sealed = {0};
	uint8_t key[SHA256_SIZE];

	(void)note;
	atomic_fetch_add(&keys->seal_calls, 1);
	call_on_seal(keys);
	TRY(keys->seal_result);
	TRY(check_tenant(keys, tenant));
	TRY(derive(tenant, "seal", 0, key));
	TRY(entropy_fill(entropy_system(), sealed.bytes, NONCE_SIZE));
	TRY(aead_seal(key, sealed.bytes, span_of(reference_id->bytes, UUID_SIZE), span_of(vin->text, VIN_LENGTH),
		      sealed.bytes + NONCE_SIZE, sealed.bytes + NONCE_SIZE + VIN_LENGTH));
	*ret_sealed = sealed;
	return RESULT_OK;
}

static enum result open_vin(struct key_service *service, const struct tenant_id *tenant,
			    const struct uuid *reference_id, const struct sealed_vin *sealed,
			    const struct reveal_authorisation *authorisation, struct vin *ret_vin, struct note *note)
{
	struct fake_keys *keys = self_of(service);
	struct vin vin = {0};
	uint8_t key[SHA256_SIZE];

	(void)note;
	atomic_fetch_add(&keys->open_calls, 1);
	keys->authorisation = *authorisation;
	TRY(keys->open_result);
	TRY(derive(tenant, "seal", 0, key));
	TRY(aead_open(key, sealed->bytes, span_of(reference_id->bytes, UUID_SIZE),
		      span_of(sealed->bytes + NONCE_SIZE, VIN_LENGTH), sealed->bytes + NONCE_SIZE + VIN_LENGTH,
		      (uint8_t *)vin.text));
	*ret_vin = vin;
	return RESULT_OK;
}

static enum result fingerprint(struct key_service *service, const struct tenant_id *tenant, struct span content,
			       uint8_t ret_fingerprint[SHA256_SIZE], struct note *note)
{
	struct fake_keys *keys = self_of(service);
	uint8_t key[SHA256_SIZE];

	(void)note;
	TRY(keys->fingerprint_result);
	TRY(derive(tenant, "fingerprint", 0, key));
	return keyed(key, content, ret_fingerprint);
}

static enum result get_generations(struct key_service *service, const struct tenant_id *tenant,
				   struct key_generations *ret_generations, struct note *note)
{
	struct fake_keys *keys = self_of(service);

	(void)note;
	TRY(check_tenant(keys, tenant));
	*ret_generations = (struct key_generations){.newest = keys->newest, .oldest = keys->oldest};
	return RESULT_OK;
}

static const struct key_service_ops ops = {
	.create_tenant = create_tenant,
	.index_vins = index_vins,
	.seal_vin = seal_vin,
	.open_vin = open_vin,
	.fingerprint = fingerprint,
	.get_generations = get_generations,
};

void fake_keys_init(struct fake_keys *keys)
{
	*keys = (struct fake_keys){.service = {.ops = &ops}, .newest = 1, .oldest = 1, .index_budget = -1};
}
