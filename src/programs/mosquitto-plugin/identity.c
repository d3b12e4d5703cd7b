#include "programs/mosquitto-plugin/identity.h"

#include "adapters/gateway/protocol.h"
#include "base/text.h"
#include "programs/mosquitto-plugin/mask.h"
#include "vehicle/claim.h"

#define URN_PREFIX "urn:uuid:"

static bool is_lower_uuid(const char *text, struct uuid *ret_uuid)
{
	char again[UUID_TEXT_SIZE];
	if (uuid_parse(span_of_text(text), ret_uuid) != RESULT_OK)
		return false;
	uuid_format(ret_uuid, again);
	return strcmp(text, again) == 0;
}

static const char *judge_vehicle(const struct peer_certificate *certificate, const char *client_id,
				 struct identity *identity)
{
	if (!is_lower_uuid(certificate->common_name, &identity->reference_id))
		return "the certificate's common name is a UUID in another form than ours";
	if (strncmp(certificate->uri, URN_PREFIX, sizeof(URN_PREFIX) - 1) != 0 ||
	    strcmp(certificate->uri + sizeof(URN_PREFIX) - 1, certificate->common_name) != 0)
		return "the certificate's alternative name is not that of its common name";
	if (strcmp(client_id, certificate->common_name) != 0)
		return "the client ID is not the certificate's common name";
	identity->kind = IDENTITY_VEHICLE;
	return NULL;
}

/* [a-z0-9][a-z0-9-]*, as claims are named. */
static bool is_claim_name(const char *name)
{
	size_t length = strlen(name);
	return length > 0 && length <= CLAIM_NAME_LENGTH_MAX && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static const char *judge_claim(const struct peer_certificate *certificate, const char *client_id,
			       struct identity *identity)
{
	struct span id = span_of_text(client_id);
	struct uuid uuid;
	if (!is_claim_name(certificate->common_name) || certificate->has_alternative_names)
		return "the certificate is neither a vehicle's nor a claim's";
	if (id.size == 0 || id.size >= GATEWAY_CLIENT_ID_SIZE || !text_is_printable(id, false))
		return "a claim's client ID must be 1 to 128 printable ASCII characters";
	if (uuid_parse(id, &uuid) == RESULT_OK)
		return "a claim's client ID must not have the form of a Reference ID";
	if (strcmp(client_id, GATEWAY_CLIENT_NAME) == 0)
		return "the client ID is the platform's own";
	if (mask_count(id) > 0)
		return "a claim's client ID must not be a VIN";
	identity->kind = IDENTITY_CLAIM;
	return NULL;
}

const char *identity_judge(const struct peer_certificate *certificate, const char *client_id, int64_t now_ms,
			   struct identity *ret_identity)
{
	struct identity identity = {.serial = certificate->serial, .not_after_ms = certificate->not_after_ms};
	struct uuid uuid;
	/* TLS has judged the dates, but not those of a session that was resumed. */
	if (now_ms < certificate->not_before_ms || now_ms > certificate->not_after_ms)
		return "the certificate is not valid now";
	if (certificate->is_ca)
		return "the certificate is a CA's";
	if (!certificate->is_for_clients)
		return "the certificate is not for clients";
	const char *refusal = uuid_parse(span_of_text(certificate->common_name), &uuid) == RESULT_OK
				      ? judge_vehicle(certificate, client_id, &identity)
				      : judge_claim(certificate, client_id, &identity);
	if (!refusal)
		*ret_identity = identity;
	return refusal;
}
