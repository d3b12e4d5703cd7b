#include "fleet/claim_messages.h"

#include "base/text.h"
#include "crypto/digest.h"

#include <stdio.h>

#define TEXT_LENGTH_MAX 1024 /* of a token or a parameter: what they may be is judged further on */

/* ---- reading ---------------------------------------------------------------------------------------- */

static enum problem refuse(char detail[static CLAIM_DETAIL_SIZE], const char *sentence)
{
	snprintf(detail, CLAIM_DETAIL_SIZE, "%s", sentence);
	return PROBLEM_MALFORMED;
}

static enum problem read_object(struct span payload, json_t **ret_json, char detail[static CLAIM_DETAIL_SIZE])
{
	struct note note = {0};
	json_t *json = NULL;
	enum result result = json_read(payload, &json, &note);

	if (result == RESULT_INVALID) {
		snprintf(detail, CLAIM_DETAIL_SIZE, "The payload is not JSON: %.100s.", note.text);
		return PROBLEM_MALFORMED;
	}
	if (result != RESULT_OK)
		return problem_of_result(result);
	*ret_json = json;
	return json_is_object(json) ? PROBLEM_NONE : refuse(detail, "The payload must be a JSON object.");
}

static enum problem read_text(const json_t *object, const char *name, size_t length_max, struct span *ret_text,
			      char detail[static CLAIM_DETAIL_SIZE])
{
	switch (json_get_text(object, name, length_max, ret_text)) {
	case RESULT_OK:
		return PROBLEM_NONE;
	case RESULT_ABSENT:
		snprintf(detail, CLAIM_DETAIL_SIZE, "The member %s is missing.", name);
		return PROBLEM_MALFORMED;
	default:
		snprintf(detail, CLAIM_DETAIL_SIZE, "The member %s must be a string of at most %zu bytes.", name,
			 length_max);
		return PROBLEM_MALFORMED;
	}
}

enum problem claim_read_create(struct span payload, json_t **ret_json, struct span *ret_csr,
			       char ret_detail[static CLAIM_DETAIL_SIZE])
{
	enum problem problem = read_object(payload, ret_json, ret_detail);

	if (problem == PROBLEM_NONE)
		problem = read_text(*ret_json, "certificateSigningRequest", CSR_TEXT_SIZE_MAX, ret_csr, ret_detail);
	return problem;
}

enum problem claim_read_provision(struct span payload, json_t **ret_json, struct claimed_provisioning *ret_input,
				  char ret_detail[static CLAIM_DETAIL_SIZE])
{
	enum problem problem = read_object(payload, ret_json, ret_detail);

	if (problem == PROBLEM_NONE)
		problem = read_text(*ret_json, "certificateOwnershipToken", TEXT_LENGTH_MAX, &ret_input->token,
				    ret_detail);
	if (problem != PROBLEM_NONE)
		return problem;
	const json_t *parameters = json_object_get(*ret_json, "parameters");
	if (!json_is_object(parameters))
		return refuse(ret_detail, "The member parameters must be an object with VIN and DeviceId.");
	problem = read_text(parameters, "VIN", TEXT_LENGTH_MAX, &ret_input->vin, ret_detail);
	if (problem == PROBLEM_NONE)
		problem = read_text(parameters, "DeviceId", TEXT_LENGTH_MAX, &ret_input->device_id, ret_detail);
	return problem;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

/*
 * The leaf alone, as AWS sends it: clients reserve room for no more, and the gateway knows the issuer. Its ID is the
 * SHA-256 of the DER, which has the form of AWS's.
 */
static enum result write_certificate(struct json_writer *writer, struct span der)
{
	BUF_CLEANUP struct buf pem = {0};
	uint8_t id[SHA256_SIZE];

	TRY(certificate_der_to_pem(der, &pem));
	TRY(sha256(der, id));
	json_key(writer, "certificateId");
	json_hex(writer, span_of(id, sizeof(id)));
	json_key(writer, "certificatePem");
	json_text(writer, buf_span(&pem));
	return RESULT_OK;
}

enum result claim_write_created(const struct claimed_certificate *certificate, struct buf *ret_payload)
{
	struct json_writer writer;

	json_writer_init(&writer, ret_payload);
	json_object_begin(&writer);
	TRY(write_certificate(&writer, buf_span(&certificate->der)));
	json_member_text(&writer, "certificateOwnershipToken", certificate->token);
	json_object_end(&writer);
	return json_writer_end(&writer);
}

enum result claim_write_provisioned(const struct provisioned *provisioned, struct buf *ret_payload)
{
	BUF_CLEANUP struct buf der = {0};
	struct json_writer writer;

	json_writer_init(&writer, ret_payload);
	json_object_begin(&writer);
	json_key(&writer, "deviceConfiguration");
	json_object_begin(&writer);
	if (provisioned->has_credentials) {
		TRY(certificate_pem_to_der(buf_span(&provisioned->credentials.certificate_pem), &der, NULL));
		TRY(write_certificate(&writer, buf_span(&der)));
	}
	json_object_end(&writer);
	json_member_uuid(&writer, "thingName", &provisioned->vehicle.reference_id);
	json_object_end(&writer);
	return json_writer_end(&writer);
}

/* ---- rejections ------------------------------------------------------------------------------------- */

/* Codes of AWS's where it has one for the case. */
struct rejection {
	int status;
	const char *code;
};

static struct rejection rejection_of(enum problem problem)
{
	switch (problem) {
	case PROBLEM_MALFORMED:
		return (struct rejection){400, "InvalidPayload"};
	case PROBLEM_CSR_INVALID:
		return (struct rejection){400, "InvalidCSR"};
	case PROBLEM_OWNERSHIP_INVALID:
		return (struct rejection){400, "InvalidCertificateOwnershipToken"};
	case PROBLEM_UNAUTHENTICATED:
		return (struct rejection){401, "Unauthorized"};
	case PROBLEM_CLAIM_REFUSED:
		return (struct rejection){403, "AccessDenied"};
	case PROBLEM_NOT_FOUND:
		return (struct rejection){404, "ResourceNotFound"};
	case PROBLEM_VEHICLE_HAS_OTHER_DEVICE:
	case PROBLEM_DEVICE_IN_USE:
	case PROBLEM_VEHICLE_NOT_PROVISIONABLE:
	case PROBLEM_CERTIFICATE_LIMIT:
		return (struct rejection){409, "ResourceConflict"};
	case PROBLEM_RATE_LIMITED:
	case PROBLEM_BUDGET_EXHAUSTED:
		return (struct rejection){429, "TooManyRequests"};
	case PROBLEM_INTERNAL:
		return (struct rejection){500, "InternalFailure"};
	case PROBLEM_UNAVAILABLE:
		return (struct rejection){503, "ServiceUnavailable"};
	default: /* what VIN and device are judged by */
		return (struct rejection){400, "InvalidParameters"};
	}
}

enum result claim_write_rejected(enum problem problem, const char *detail, struct buf *ret_payload)
{
	struct rejection rejection = rejection_of(problem);
	char message[CLAIM_DETAIL_SIZE + 64];
	struct json_writer writer;

	snprintf(message, sizeof(message), "%s%s%s", problem_name(problem), detail[0] != '\0' ? ": " : "", detail);
	text_withhold(message);
	json_writer_init(&writer, ret_payload);
	json_object_begin(&writer);
	json_member_number(&writer, "statusCode", rejection.status);
	json_member_text(&writer, "errorCode", rejection.code);
	json_member_text(&writer, "errorMessage", message);
	json_object_end(&writer);
	return json_writer_end(&writer);
}
