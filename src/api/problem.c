#include "api/problem.h"

#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <stdio.h>

static const struct problem_text texts[PROBLEM_COUNT] = {
	[PROBLEM_MALFORMED] = {400, "Malformed request", "The request is not well-formed."},
	[PROBLEM_UNAUTHENTICATED] = {401, "Not authenticated",
				     "Present a client certificate that is valid and registered to a client."},
	[PROBLEM_SCOPE_MISSING] = {403, "Scope missing", "This client does not hold the scope that the request needs."},
	[PROBLEM_PURPOSE_NOT_ALLOWED] = {403, "Purpose not allowed",
					 "The purpose is not on this client's list of allowed purposes."},
	[PROBLEM_CLIENT_SUSPENDED] = {403, "Client suspended",
				      "This client is suspended; an administrator of its tenant can resume it."},
	[PROBLEM_SAME_PERSON] = {403, "Another person is needed",
				 "This step is for another principal than the one who asks."},
	[PROBLEM_CLAIM_REFUSED] = {403, "Claim refused", "The claim is revoked, over or used up."},
	[PROBLEM_NAMES_DIFFER] =
		{403, "Names differ",
		 "The request's subject and subjectAltName must be those of the certificate that asks."},
	[PROBLEM_RENEWAL_TOO_EARLY] = {403, "Renewal too early",
				       "A certificate is renewed within the last third of its life."},
	[PROBLEM_NOT_FOUND] = {404, "Not found", "There is nothing by that name that this client may see."},
	[PROBLEM_METHOD_NOT_ALLOWED] = {405, "Method not allowed", "The Allow field names the methods of this path."},
	[PROBLEM_REQUEST_TIMEOUT] = {408, "Request timeout", "The request took too long to arrive."},
	[PROBLEM_BODY_TOO_LARGE] = {413, "Body too large", "The body is larger than this path accepts."},
	[PROBLEM_TARGET_TOO_LONG] = {414, "Target too long", "The request's target is longer than the server reads."},
	[PROBLEM_MEDIA_TYPE] = {415, "Unsupported media type",
				"Send the body with the Content-Type that this path accepts: application/json."},
	[PROBLEM_EXPECTATION] = {417, "Expectation failed", "Only 100-continue may be expected."},
	[PROBLEM_HEADERS_TOO_LARGE] = {431, "Header fields too large",
				       "The header fields are larger, or more, than the server reads."},
	[PROBLEM_NOT_IMPLEMENTED] = {501, "Not implemented", "The request uses a feature that is not implemented."},
	[PROBLEM_HTTP_VERSION] = {505, "HTTP version not supported", "Use HTTP/1.1."},
	[PROBLEM_VEHICLE_HAS_OTHER_DEVICE] = {409, "Vehicle has another device",
					      "The vehicle is registered with another device; change it by "
					      "POST /v1/tcu-changes first."},
	[PROBLEM_DEVICE_IN_USE] = {409, "Device in use", "The device is attached to another vehicle."},
	[PROBLEM_DEVICE_MISMATCH] = {409, "Device mismatch", "The vehicle's device is not the one named."},
	[PROBLEM_VEHICLE_NOT_PROVISIONABLE] = {409, "Vehicle not provisionable",
					       "The vehicle is suspended or decommissioned."},
	[PROBLEM_TRANSITION_NOT_ALLOWED] = {409, "Transition not allowed",
					    "The vehicle cannot go from its state to the one asked for."},
	[PROBLEM_REVEAL_NOT_APPROVED] = {409, "Reveal not approved", "Another principal has to approve it first."},
	[PROBLEM_ALREADY_EXISTS] = {409, "Already exists", "One with that name or fingerprint exists already."},
	[PROBLEM_CERTIFICATE_LIMIT] = {409, "Certificate limit",
				       "There are two certificates already; remove one, or "
				       "ask for a renewal with revokeOthers."},
	[PROBLEM_VEHICLE_HAS_CERTIFICATE] = {409, "Vehicle has a certificate",
					     "The vehicle has a certificate that lives: renew with that one."},
	[PROBLEM_VEHICLE_NOT_COMMANDABLE] = {409, "Vehicle not commandable",
					     "The vehicle is suspended or decommissioned, or it has no device."},
	[PROBLEM_COMMAND_LIMIT] = {409, "Command limit",
				   "As many commands wait for the vehicle as may; wait for some to end."},
	[PROBLEM_REQUEST_IN_PROGRESS] = {409, "Request in progress",
					 "A request with this Idempotency-Key is still running."},
	[PROBLEM_REVEAL_GONE] = {410, "Reveal used or expired", "It can be used once, in time; ask for a new one."},
	[PROBLEM_VERSION_MISMATCH] = {412, "Version mismatch",
				      "If-Match does not name the current version; read it again."},
	[PROBLEM_VERSION_REQUIRED] = {428, "Version required", "Send If-Match with the ETag of the version to change."},
	[PROBLEM_VIN_INVALID] = {422, "VIN invalid",
				 "A VIN has 17 characters: digits and the letters A to Z without I, O and Q."},
	[PROBLEM_CHECK_DIGIT] = {422, "Check digit wrong",
				 "The VIN's check digit does not match, and this tenant demands it."},
	[PROBLEM_DEVICE_UNKNOWN] = {422, "Device unknown", "The device is not in the tenant's manifest."},
	[PROBLEM_DEVICE_UNCHANGED] = {422, "Device unchanged", "deviceId and newDeviceId are the same."},
	[PROBLEM_CSR_INVALID] = {422, "CSR invalid", "The certificate signing request cannot be accepted."},
	[PROBLEM_CSR_REQUIRED] =
		{422, "CSR required",
		 "The manifest names the device's key: send a certificate signing request made with it."},
	[PROBLEM_KEY_REUSED] = {422, "Key reused", "The key was certified before for another vehicle or device."},
	[PROBLEM_KEY_MISMATCH] = {422, "Key mismatch", "The manifest names another key for this device."},
	[PROBLEM_OWNERSHIP_INVALID] = {422, "Ownership token invalid",
				       "The token is unknown, used or over: ask for a certificate again."},
	[PROBLEM_VIN_NOT_ALLOWED] = {422, "VIN not allowed", "A text to be kept holds what looks like a VIN."},
	[PROBLEM_VALUE_INVALID] = {422, "Value invalid", "A member's value is out of its bounds."},
	[PROBLEM_IDEMPOTENCY_MISMATCH] = {422, "Idempotency-Key used",
					  "This Idempotency-Key was used with another body; choose a fresh one."},
	[PROBLEM_RATE_LIMITED] = {429, "Rate limited", "The client's rate is used up; Retry-After says when to go on."},
	[PROBLEM_BUDGET_EXHAUSTED] = {429, "Budget exhausted",
				      "The key service's budget is used up; Retry-After says when to try again."},
	[PROBLEM_INTERNAL] = {500, "Internal error", "Something failed that an operator has to look at."},
	[PROBLEM_UNAVAILABLE] = {503, "Temporarily unavailable",
				 "A component that is needed is away; Retry-After says when to try again."},
};

const struct problem_text *problem_text(enum problem problem)
{
	assert(problem > PROBLEM_NONE && problem < PROBLEM_COUNT);
	return &texts[problem];
}

enum result problem_format(enum problem problem, const char *detail, const char *request_id, struct buf *buf)
{
	const struct problem_text *text = problem_text(problem);
	char type[96], shown[256];

	snprintf(type, sizeof type, "urn:vinveil:problem:%s", problem_name(problem));
	snprintf(shown, sizeof shown, "%s", detail[0] != '\0' ? detail : text->detail);
	text_withhold(shown);

	struct json_writer writer;
	json_writer_init(&writer, buf);
	json_object_begin(&writer);
	json_member_text(&writer, "type", type);
	json_member_text(&writer, "title", text->title);
	json_member_number(&writer, "status", text->status);
	json_member_text(&writer, "detail", shown);
	json_member_text(&writer, "requestId", request_id);
	json_object_end(&writer);
	return json_writer_end(&writer);
}

enum problem problem_of_status(int status)
{
	switch (status) {
	case 408:
		return PROBLEM_REQUEST_TIMEOUT;
	case 413:
		return PROBLEM_BODY_TOO_LARGE;
	case 414:
		return PROBLEM_TARGET_TOO_LONG;
	case 417:
		return PROBLEM_EXPECTATION;
	case 431:
		return PROBLEM_HEADERS_TOO_LARGE;
	case 501:
		return PROBLEM_NOT_IMPLEMENTED;
	case 505:
		return PROBLEM_HTTP_VERSION;
	default:
		return PROBLEM_MALFORMED;
	}
}
