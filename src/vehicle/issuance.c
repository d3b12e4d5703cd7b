#include "vehicle/issuance.h"

#include <stdio.h>

/* Of one vehicle. More than a change can revoke, so that too many fail it rather than stay. */
#define CERTIFICATES_VALID_MAX 64

void certificate_order_release(struct certificate_order *order)
{
	buf_release(&order->csr_der);
	buf_release(&order->private_key_pem);
}

static enum result make_key(struct certificate_order *order, struct note *note)
{
	struct private_key *key;

	TRY(private_key_generate(PRIVATE_KEY_P256, &key, note));
	enum result result = csr_make(key, &order->csr_der, note);
	if (result == RESULT_OK)
		result = private_key_to_pem(key, NULL, &order->private_key_pem);
	private_key_release(key);
	TRY(result);
	return csr_read_key(buf_span(&order->csr_der), order->spki_sha256, note);
}

/* The note of a judge of CSRs is fit for the caller. */
static enum problem refuse_csr(struct flow_request *request)
{
	snprintf(request->detail, sizeof(request->detail), "%.*s", (int)sizeof(request->detail) - 1,
		 request->note.text);
	return PROBLEM_CSR_INVALID;
}

static enum problem read_csr(struct flow_request *request, struct span csr, struct certificate_order *order)
{
	enum result result = csr_decode(csr, &order->csr_der, &request->note);

	if (result == RESULT_OK)
		result = csr_read_key(buf_span(&order->csr_der), order->spki_sha256, &request->note);
	if (result == RESULT_INVALID || result == RESULT_EXHAUSTED)
		return refuse_csr(request);
	return problem_of_result(result);
}

/*
 * The authority judges whether the caller has the key; when it is not asked, because of something that is known of
 * the key, this must be judged here: who has not the key may not learn what is known of it.
 */
static enum problem refuse_key(struct flow_request *request, const struct certificate_order *order,
			       enum problem problem)
{
	uint8_t spki_sha256[SHA256_SIZE];
	enum result result = csr_check(buf_span(&order->csr_der), spki_sha256, &request->note);

	if (result == RESULT_INVALID)
		return refuse_csr(request);
	return result == RESULT_OK ? problem : problem_of_result(result);
}

static enum problem fill_order(struct flow_request *request, struct span csr,
			       const struct device_manifest_entry *device, struct certificate_order *order)
{
	if (csr.size == 0)
		return device->has_key ? PROBLEM_CSR_REQUIRED : problem_of_result(make_key(order, &request->note));
	enum problem problem = read_csr(request, csr, order);
	if (problem != PROBLEM_NONE)
		return problem;
	if (device->has_key && memcmp(device->public_key_sha256, order->spki_sha256, SHA256_SIZE) != 0)
		return refuse_key(request, order, PROBLEM_KEY_MISMATCH);
	return PROBLEM_NONE;
}

enum problem certificate_order_make(struct flow_request *request, struct span csr,
				    const struct device_manifest_entry *device, struct certificate_order *ret_order)
{
	struct certificate_order order = {0};
	enum problem problem = fill_order(request, csr, device, &order);

	if (problem == PROBLEM_NONE)
		*ret_order = order;
	else
		certificate_order_release(&order);
	return problem;
}

enum problem certificate_order_make_for(struct flow_request *request, struct span csr, const struct vehicle *vehicle,
					struct certificate_order *ret_order)
{
	struct registry *registry = request->platform->registry;
	struct device_manifest_entry device = {0};
	enum result result =
		registry->ops->get_device(registry, &vehicle->tenant, vehicle->device_id, &device, &request->note);

	if (result != RESULT_OK && result != RESULT_ABSENT)
		return problem_of_result(result);
	if (csr.size == 0)
		return PROBLEM_CSR_REQUIRED;
	return certificate_order_make(request, csr, &device, ret_order);
}

enum problem certificate_order_again(const struct ownership *ownership, const struct device_manifest_entry *device,
				     struct certificate_order *ret_order)
{
	struct certificate_order order = {0};

	if (device->has_key && memcmp(device->public_key_sha256, ownership->spki_sha256, SHA256_SIZE) != 0)
		return PROBLEM_KEY_MISMATCH;
	if (buf_append(&order.csr_der, ownership->csr) != RESULT_OK)
		return PROBLEM_UNAVAILABLE;
	memcpy(order.spki_sha256, ownership->spki_sha256, SHA256_SIZE);
	*ret_order = order;
	return PROBLEM_NONE;
}

enum problem certificate_order_issue_ahead(struct flow_request *request, const struct certificate_order *order,
					   const struct uuid *reference_id, struct issued_certificate *ret_issued)
{
	struct cert_authority *authority = request->platform->authority;
	enum result result = authority->ops->issue_device(authority, reference_id, buf_span(&order->csr_der),
							  ret_issued, &request->note);

	return result == RESULT_INVALID ? refuse_csr(request) : problem_of_result(result);
}

/* Spares keyd's issuance budget; the registry decides again when the certificate is committed. */
static enum problem check_key_reuse(struct flow_request *request, const struct certificate_order *order,
				    const struct vehicle *vehicle)
{
	struct registry *registry = request->platform->registry;
	struct uuid reference_id;
	char device_id[DEVICE_ID_SIZE];
	enum result result = registry->ops->find_certified_key(registry, &vehicle->tenant, order->spki_sha256,
							       &reference_id, device_id, &request->note);

	if (result == RESULT_ABSENT)
		return PROBLEM_NONE;
	if (result != RESULT_OK)
		return problem_of_result(result);
	if (!uuid_equal(&reference_id, &vehicle->reference_id) || strcmp(device_id, vehicle->device_id) != 0)
		return refuse_key(request, order, PROBLEM_KEY_REUSED);
	return PROBLEM_NONE;
}

static enum result format_credentials(struct flow_request *request, const struct certificate_order *order,
				      const struct issued_certificate *issued, struct credentials *credentials)
{
	struct cert_authority *authority = request->platform->authority;

	credentials->serial = issued->serial;
	credentials->not_before_ms = issued->not_before_ms;
	credentials->not_after_ms = issued->not_after_ms;
	TRY(certificate_der_to_pem(buf_span(&issued->der), &credentials->certificate_pem));
	TRY(authority->ops->get_chain(authority, &credentials->chain_pem, &request->note));
	return buf_append(&credentials->private_key_pem, buf_span(&order->private_key_pem));
}

static void fill_record(const struct vehicle *vehicle, const struct issued_certificate *issued,
			struct certificate_record *record)
{
	*record = (struct certificate_record){
		.serial = issued->serial,
		.reference_id = vehicle->reference_id,
		.tenant = vehicle->tenant,
		.not_before_ms = issued->not_before_ms,
		.not_after_ms = issued->not_after_ms,
	};
	memcpy(record->device_id, vehicle->device_id, sizeof(record->device_id));
	memcpy(record->spki_sha256, issued->spki_sha256, sizeof(record->spki_sha256));
}

enum problem certificate_order_issue(struct flow_request *request, const struct certificate_order *order,
				     const struct vehicle *vehicle, struct certificate_record *ret_record,
				     struct credentials *ret_credentials)
{
	struct issued_certificate issued = {0};
	CREDENTIALS_CLEANUP struct credentials credentials = {0};
	enum problem problem = check_key_reuse(request, order, vehicle);

	if (problem == PROBLEM_NONE)
		problem = certificate_order_issue_ahead(request, order, &vehicle->reference_id, &issued);
	if (problem != PROBLEM_NONE)
		return problem;
	enum result result = format_credentials(request, order, &issued, &credentials);
	if (result == RESULT_OK) {
		fill_record(vehicle, &issued, ret_record);
		*ret_credentials = credentials;
		credentials = (struct credentials){0};
	}
	buf_release(&issued.der);
	return problem_of_result(result);
}

enum result certificates_read_valid(struct flow_request *request, const struct uuid *reference_id,
				    struct certificate_list *ret_list)
{
	struct registry *registry = request->platform->registry;

	return registry->ops->get_valid_certificates(
		registry, &request->tenant.id, reference_id, clock_now_ms(request->platform->clock),
		CERTIFICATES_VALID_MAX, request->arena, &ret_list->records, &ret_list->count, &request->note);
}
