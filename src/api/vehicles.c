/*
 * /v1/vehicles: provisioning, reading, listing, changing, history, renewal.
 */
#include "vehicle/vehicles.h"
#include "api/body.h"
#include "api/records.h"
#include "base/secret.h"
#include "vehicle/provisioning.h"

#include <stdio.h>

#define COUNT(array)	   (sizeof(array) / sizeof((array)[0]))
#define PAGE_LIMIT_DEFAULT 100
#define VIN_TEXT_MAX	   256 /* white space around it is trimmed */
#define CSR_TEXT_MAX	   ((size_t)16 * 1024)

/* ---- provisioning ----------------------------------------------------------------------------------- */

static enum problem read_provisioning(struct call *call, struct provisioning *ret_input)
{
	static const char *const members[] = {"vin", "deviceId", "csr", "attributes"};
	enum problem problem = body_read(call, members, COUNT(members));

	if (problem == PROBLEM_NONE)
		problem = body_text(call, "vin", BODY_REQUIRED, VIN_TEXT_MAX, &ret_input->vin);
	if (problem == PROBLEM_VALUE_INVALID) {
		call->flow.detail[0] = '\0';
		problem = PROBLEM_VIN_INVALID;
	}
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "deviceId", BODY_REQUIRED, DEVICE_ID_LENGTH_MAX, &ret_input->device_id);
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "csr", BODY_OPTIONAL, CSR_TEXT_MAX, &ret_input->csr);
	if (problem == PROBLEM_NONE && ret_input->csr.data != NULL && ret_input->csr.size == 0)
		problem = PROBLEM_CSR_INVALID;
	if (problem == PROBLEM_NONE)
		problem = body_object(call, "attributes", &ret_input->attributes);
	return problem;
}

static void write_topics(struct json_writer *writer, const char *key, const char *const *formats, size_t count,
			 const char *reference_id)
{
	char topic[128];
	json_key(writer, key);
	json_array_begin(writer);
	for (size_t i = 0; i < count; i++) {
		const char *hole = strchr(formats[i], '*');
		snprintf(topic, sizeof topic, "%.*s%s%s", (int)(hole - formats[i]), formats[i], reference_id, hole + 1);
		json_text(writer, span_of_text(topic));
	}
	json_array_end(writer);
}

/* Where the vehicle goes from here. '*' stands for the Reference ID. */
static void write_connection(const struct call *call, struct json_writer *writer, const struct uuid *reference_id)
{
	static const char *const publish[] = {"vehicles/*/signals", "$aws/iotfleetwise/vehicles/*/signals",
					      "$aws/iotfleetwise/vehicles/*/checkins",
					      "$aws/commands/things/*/executions/+/response/json"};
	static const char *const subscribe[] = {"$aws/commands/things/*/executions/+/request/json"};
	const struct api_config *config = &call->api->config;
	char id[UUID_TEXT_SIZE];

	uuid_format(reference_id, id);
	json_key(writer, "connection");
	json_object_begin(writer);
	json_key(writer, "endpoint");
	if (config->gateway_endpoint[0] != '\0')
		json_text(writer, span_of_text(config->gateway_endpoint));
	else
		json_null_value(writer);
	json_key(writer, "port");
	if (config->gateway_endpoint[0] != '\0')
		json_number(writer, config->gateway_port);
	else
		json_null_value(writer);
	json_member_text(writer, "clientId", id);
	json_key(writer, "topics");
	json_object_begin(writer);
	write_topics(writer, "publish", publish, COUNT(publish), id);
	write_topics(writer, "subscribe", subscribe, COUNT(subscribe), id);
	json_object_end(writer);
	json_object_end(writer);
}

/* An answer that holds a private key is never kept for a replay: only which certificate it belongs to. */
static void note_key(struct call *call, const struct provisioned *provisioned)
{
	if (!provisioned->has_credentials || provisioned->credentials.private_key_pem.size == 0)
		return;
	call->answer_holds_key = true;
	call->answer_serial = provisioned->credentials.serial;
	call->answer_reference_id = provisioned->vehicle.reference_id;
}

static enum problem answer_provisioned(struct call *call, const struct provisioned *provisioned, int status)
{
	const struct vehicle *vehicle = &provisioned->vehicle;
	char location[64], id[UUID_TEXT_SIZE];
	struct json_writer writer;

	answer_json(call, status, &writer);
	uuid_format(&vehicle->reference_id, id);
	snprintf(location, sizeof location, "/v1/vehicles/%s", id);
	answer_header(call, "Location", location);
	answer_etag(call, vehicle->version);
	json_object_begin(&writer);
	json_member_uuid(&writer, "referenceId", &vehicle->reference_id);
	json_member_text(&writer, "deviceId", vehicle->device_id);
	json_member_text(&writer, "state", vehicle_state_name(vehicle->state));
	if (provisioned->has_credentials) {
		json_key(&writer, "credentials");
		write_credentials(&writer, &provisioned->credentials);
	}
	write_connection(call, &writer, &vehicle->reference_id);
	if (provisioned->check_digit_fails) {
		json_key(&writer, "warnings");
		json_array_begin(&writer);
		json_text(&writer, span_of_text("The VIN's check digit does not match."));
		json_array_end(&writer);
	}
	json_object_end(&writer);
	note_key(call, provisioned);
	return answer_end(&writer);
}

enum problem vehicle_provision(struct call *call)
{
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};
	struct provisioning input = {0};
	bool is_replay = call->idempotency.decision == IDEMPOTENCY_ANSWER_ANEW;
	enum problem problem = read_provisioning(call, &input);

	if (problem != PROBLEM_NONE)
		return problem;
	if (is_replay)
		input.superseded = &call->idempotency.record.serial;
	problem = provisioning_run(&call->flow, &input, &provisioned);
	if (problem != PROBLEM_NONE)
		return problem;
	if (is_replay)
		call_mark_revoked(call);
	return answer_provisioned(call, &provisioned,
				  is_replay		   ? call->idempotency.record.status
				  : provisioned.is_created ? 201
							   : 200);
}

/* ---- renewal ---------------------------------------------------------------------------------------- */

static enum problem read_renewal(struct call *call, struct certificate_renewal *ret_renewal)
{
	static const char *const members[] = {"csr", "revokeOthers", "reason"};
	struct span reason = {0};
	enum problem problem = body_read(call, members, COUNT(members));

	if (problem == PROBLEM_NONE)
		problem = body_text(call, "csr", BODY_REQUIRED, CSR_TEXT_MAX, &ret_renewal->csr);
	if (problem == PROBLEM_NONE)
		problem = body_bool(call, "revokeOthers", &ret_renewal->revoke_others);
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "reason", BODY_OPTIONAL, 64, &reason);
	if (problem != PROBLEM_NONE || reason.data == NULL)
		return problem;
	if (revocation_reason_parse(reason, &ret_renewal->reason) != RESULT_OK)
		return call_explain(call, PROBLEM_VALUE_INVALID,
				    "The member reason must be a revocation reason of RFC 5280, as keyCompromise or "
				    "superseded.");
	return PROBLEM_NONE;
}

enum problem vehicle_renew_certificate(struct call *call)
{
	CREDENTIALS_CLEANUP struct credentials credentials = {0};
	struct certificate_renewal renewal = {0};
	struct json_writer writer;
	struct uuid id;
	enum problem problem = call_reference_id(call, &id);

	if (problem == PROBLEM_NONE)
		problem = read_renewal(call, &renewal);
	if (problem == PROBLEM_NONE)
		problem = certificates_renew(&call->flow, &id, &renewal, &credentials);
	if (problem != PROBLEM_NONE)
		return problem;
	if (renewal.revoke_others)
		call_mark_revoked(call);
	answer_json(call, 201, &writer);
	write_credentials(&writer, &credentials);
	return answer_end(&writer);
}

/* ---- reading ---------------------------------------------------------------------------------------- */

enum problem vehicle_read(struct call *call)
{
	struct vehicle vehicle;
	struct uuid id;
	enum problem problem = query_check(call, NULL, 0);

	if (problem == PROBLEM_NONE)
		problem = call_reference_id(call, &id);
	if (problem == PROBLEM_NONE)
		problem = vehicles_get(&call->flow, &id, &vehicle);
	return problem == PROBLEM_NONE ? answer_vehicle(call, &vehicle) : problem;
}

static enum problem answer_page(struct call *call, const struct vehicle_page *page)
{
	struct json_writer writer;
	answer_json(call, 200, &writer);
	/* A full page of vehicles with attributes as large as they may be. */
	call->exchange->response.body.size_max = (size_t)page->count * (ATTRIBUTES_SIZE_MAX + 1024) + 1024;
	json_object_begin(&writer);
	json_key(&writer, "vehicles");
	json_array_begin(&writer);
	for (size_t i = 0; i < page->count; i++)
		write_vehicle(&writer, &page->vehicles[i]);
	json_array_end(&writer);
	write_cursor(&writer, page->next_cursor);
	json_object_end(&writer);
	return answer_end(&writer);
}

/* At most one vehicle has a device: a list all the same, so that both forms of the query answer alike. */
static enum problem list_by_device(struct call *call, const char *device_id)
{
	struct vehicle vehicle;
	struct vehicle_page page = {.vehicles = &vehicle, .count = 1};
	enum problem problem = vehicles_find_by_device(&call->flow, span_of_text(device_id), &vehicle);

	if (problem == PROBLEM_NOT_FOUND)
		page.count = 0;
	else if (problem != PROBLEM_NONE)
		return problem;
	return answer_page(call, &page);
}

static enum problem read_state(struct call *call, enum vehicle_state *ret_state)
{
	const char *text;
	enum problem problem = query_text(call, "state", &text);
	if (problem != PROBLEM_NONE || text == NULL)
		return problem;
	if (vehicle_state_parse(span_of_text(text), ret_state) != RESULT_OK)
		return call_explain(
			call, PROBLEM_MALFORMED,
			"The query parameter state must be provisioned, active, suspended or decommissioned.");
	return PROBLEM_NONE;
}

enum problem vehicle_list(struct call *call)
{
	static const char *const names[] = {"deviceId", "state", "cursor", "limit"};
	enum vehicle_state state = 0;
	uint64_t cursor = 0, limit = PAGE_LIMIT_DEFAULT;
	const char *device_id = NULL;
	struct vehicle_page page;
	enum problem problem = query_check(call, names, COUNT(names));

	if (problem == PROBLEM_NONE)
		problem = query_text(call, "deviceId", &device_id);
	if (problem == PROBLEM_NONE)
		problem = read_state(call, &state);
	if (problem == PROBLEM_NONE)
		problem = query_cursor(call, INT64_MAX, &cursor);
	if (problem == PROBLEM_NONE)
		problem = query_number(call, "limit", VEHICLES_PAGE_MAX, &limit);
	if (problem != PROBLEM_NONE)
		return problem;
	if (device_id != NULL && (state != 0 || cursor != 0))
		return call_explain(call, PROBLEM_MALFORMED, "deviceId stands alone, without state and cursor.");
	if (device_id != NULL)
		return list_by_device(call, device_id);
	problem = vehicles_list(&call->flow, state, cursor, (size_t)limit, &page);
	return problem == PROBLEM_NONE ? answer_page(call, &page) : problem;
}

static enum problem answer_history(struct call *call, const struct history_page *page)
{
	struct json_writer writer;
	answer_json(call, 200, &writer);
	json_object_begin(&writer);
	json_key(&writer, "entries");
	json_array_begin(&writer);
	for (size_t i = 0; i < page->count; i++)
		write_history_entry(&writer, &page->entries[i]);
	json_array_end(&writer);
	write_cursor(&writer, page->next_before);
	json_object_end(&writer);
	return answer_end(&writer);
}

enum problem vehicle_history(struct call *call)
{
	static const char *const names[] = {"cursor", "limit"};
	uint64_t cursor = 0, limit = PAGE_LIMIT_DEFAULT;
	struct history_page page;
	struct uuid id;
	enum problem problem = query_check(call, names, COUNT(names));

	if (problem == PROBLEM_NONE)
		problem = query_cursor(call, INT64_MAX, &cursor);
	if (problem == PROBLEM_NONE)
		problem = query_number(call, "limit", HISTORY_PAGE_MAX, &limit);
	if (problem == PROBLEM_NONE)
		problem = call_reference_id(call, &id);
	if (problem == PROBLEM_NONE)
		problem = vehicles_history(&call->flow, &id, cursor, (size_t)limit, &page);
	return problem == PROBLEM_NONE ? answer_history(call, &page) : problem;
}

/* ---- changing --------------------------------------------------------------------------------------- */

/* The version that was judged goes into the change's condition, so that nobody comes in between. */
static enum problem read_if_match(struct call *call, const struct vehicle *vehicle, struct vehicle_patch *patch)
{
	struct span value = http_request_header(&call->exchange->request, "if-match");
	if (value.data == NULL)
		return PROBLEM_VERSION_REQUIRED;
	if (!if_match_names(value, vehicle->version))
		return PROBLEM_VERSION_MISMATCH;
	patch->any_version = span_is_text(value, "*");
	patch->has_version = !patch->any_version;
	patch->version = vehicle->version;
	return PROBLEM_NONE;
}

static enum problem read_patch(struct call *call, struct vehicle_patch *ret_patch)
{
	static const char *const members[] = {"attributes", "state"};
	struct span state = {0};
	enum problem problem = body_read(call, members, COUNT(members));

	if (problem == PROBLEM_NONE)
		problem = body_object(call, "attributes", &ret_patch->attributes);
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "state", BODY_OPTIONAL, 64, &state);
	if (problem != PROBLEM_NONE)
		return problem;
	if (state.data != NULL && vehicle_state_parse(state, &ret_patch->state) != RESULT_OK)
		return call_explain(call, PROBLEM_VALUE_INVALID,
				    "The member state must be provisioned, active, suspended or decommissioned.");
	if (state.data == NULL && ret_patch->attributes == NULL)
		return call_explain(call, PROBLEM_MALFORMED, "Give at least one of attributes and state.");
	return PROBLEM_NONE;
}

enum problem vehicle_update(struct call *call)
{
	struct vehicle_patch patch = {0};
	struct vehicle vehicle;
	struct uuid id;
	size_t revoked = 0;
	enum problem problem = call_reference_id(call, &id);

	if (problem == PROBLEM_NONE)
		problem = read_patch(call, &patch);
	if (problem == PROBLEM_NONE)
		problem = vehicles_get(&call->flow, &id, &vehicle); /* unknown comes before a missing If-Match */
	if (problem == PROBLEM_NONE)
		problem = read_if_match(call, &vehicle, &patch);
	if (problem == PROBLEM_NONE)
		problem = vehicles_patch(&call->flow, &id, &patch, &vehicle, &revoked);
	if (problem != PROBLEM_NONE)
		return problem;
	if (revoked > 0)
		call_mark_revoked(call);
	return answer_vehicle(call, &vehicle);
}
