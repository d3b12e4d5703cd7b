/*
 * /v1/clients: client applications of the caller's tenant (or, with the platform scope, of any).
 */
#include "vehicle/clients.h"
#include "api/body.h"
#include "api/records.h"
#include "base/text.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIMIT_MAX    1000000

static enum problem answer_client(struct call *call, int status, const struct client *client)
{
	struct json_writer writer;
	answer_json(call, status, &writer);
	write_client(&writer, client, &call->api->config.limits);
	return answer_end(&writer);
}

/* Rights have changed: from the answer on everybody is judged by the new ones. */
static enum problem answer_changed(struct call *call, int status, enum problem problem, const struct client *client)
{
	if (problem != PROBLEM_NONE)
		return problem;
	call_reload_clients(call);
	return answer_client(call, status, client);
}

/* The client ID of the path; one that cannot exist is one that does not. */
static enum problem read_client_id(struct call *call, char ret_id[static CLIENT_ID_LENGTH_MAX + 1])
{
	if (client_id_parse(call->parameters[0], ret_id) != RESULT_OK)
		return PROBLEM_NOT_FOUND;
	call->event.subject = arena_copy_text(&call->exchange->arena, span_of_text(ret_id));
	return PROBLEM_NONE;
}

/* ---- creating --------------------------------------------------------------------------------------- */

static enum problem read_scopes(struct call *call, struct client *ret_client)
{
	const json_t *array;
	enum problem problem = body_array(call, "scopes", BODY_REQUIRED, &array);

	for (size_t i = 0; problem == PROBLEM_NONE && i < json_array_size(array); i++) {
		const json_t *item = json_array_get(array, i);
		enum scope scope;
		if (!json_is_string(item))
			return call_explain(call, PROBLEM_MALFORMED, "The member scopes must hold strings.");
		if (scope_parse(span_of(json_string_value(item), json_string_length(item)), &scope) != RESULT_OK)
			return call_explain(call, PROBLEM_VALUE_INVALID, "Item %zu of scopes is not a scope.", i + 1);
		ret_client->scopes |= scope;
	}
	if (problem == PROBLEM_NONE && ret_client->scopes == 0)
		return call_explain(call, PROBLEM_VALUE_INVALID, "The member scopes must hold at least one scope.");
	return problem;
}

static enum problem read_purposes(struct call *call, struct client *ret_client)
{
	const json_t *array;
	enum problem problem = body_array(call, "purposes", BODY_OPTIONAL, &array);

	if (problem != PROBLEM_NONE || array == NULL)
		return problem;
	if (json_array_size(array) > PURPOSES_MAX)
		return call_explain(call, PROBLEM_VALUE_INVALID, "The member purposes may hold at most %d items.",
				    PURPOSES_MAX);
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *item = json_array_get(array, i);
		if (!json_is_string(item))
			return call_explain(call, PROBLEM_MALFORMED, "The member purposes must hold strings.");
		struct span text = span_of(json_string_value(item), json_string_length(item));
		if (vin_stands_in(text))
			return PROBLEM_VIN_NOT_ALLOWED;
		if (purpose_parse(text, ret_client->purposes[i]) != RESULT_OK)
			return call_explain(call, PROBLEM_VALUE_INVALID,
					    "Item %zu of purposes must be lower-case letters, digits and '-'.", i + 1);
		ret_client->purpose_count = i + 1;
	}
	return PROBLEM_NONE;
}

static enum problem read_fingerprints(struct call *call, struct client *ret_client)
{
	const json_t *array;
	enum problem problem = body_array(call, "fingerprints", BODY_REQUIRED, &array);

	if (problem != PROBLEM_NONE)
		return problem;
	if (json_array_size(array) == 0 || json_array_size(array) > FINGERPRINTS_MAX)
		return call_explain(call, PROBLEM_VALUE_INVALID, "The member fingerprints must hold one or two items.");
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *item = json_array_get(array, i);
		struct span text = span_of(json_string_value(item), json_string_length(item));
		if (hex_parse(text, true, ret_client->fingerprints[i], SHA256_SIZE) != RESULT_OK)
			return call_explain(call, PROBLEM_VALUE_INVALID,
					    "Item %zu of fingerprints must be the SHA-256 of a certificate: 64 hex "
					    "digits.",
					    i + 1);
		ret_client->fingerprint_count = i + 1;
	}
	return PROBLEM_NONE;
}

/* {"requestsPerSecond", "burst"}: the object is read by the helpers of bodies, with itself as the body. */
static enum problem read_limits(struct call *call, struct client *ret_client)
{
	static const char *const members[] = {"requestsPerSecond", "burst"};
	const json_t *limits;
	int64_t rate = 0, burst = 0;
	struct note note = {0};
	enum problem problem = body_object(call, "limits", &limits);

	if (problem != PROBLEM_NONE || limits == NULL)
		return problem;
	if (json_check_members(limits, members, COUNT(members), &note) != RESULT_OK)
		return call_explain(call, PROBLEM_MALFORMED, "In the member limits: %s.", note.text);
	json_t *whole = call->json;
	call->json = json_object_get(whole, "limits");
	problem = body_number(call, "requestsPerSecond", 1, LIMIT_MAX, &rate);
	if (problem == PROBLEM_NONE)
		problem = body_number(call, "burst", 1, LIMIT_MAX, &burst);
	call->json = whole;
	ret_client->limits = (struct client_limits){(uint32_t)rate, (uint32_t)burst};
	return problem;
}

static enum problem read_names(struct call *call, struct client *ret_client)
{
	struct span id, tenant;
	enum problem problem = body_text(call, "clientId", BODY_REQUIRED, CLIENT_ID_LENGTH_MAX, &id);

	if (problem == PROBLEM_NONE)
		problem = body_text(call, "tenantId", BODY_OPTIONAL, TENANT_ID_LENGTH_MAX, &tenant);
	if (problem != PROBLEM_NONE)
		return problem;
	if (vin_stands_in(id))
		return PROBLEM_VIN_NOT_ALLOWED;
	if (client_id_parse(id, ret_client->id) != RESULT_OK)
		return call_explain(call, PROBLEM_VALUE_INVALID,
				    "The member clientId must be a lower-case letter or digit, then those and '-'.");
	ret_client->tenant = call->principal->client.tenant;
	if (tenant.data != NULL && tenant_id_parse(tenant, &ret_client->tenant) != RESULT_OK)
		return call_explain(call, PROBLEM_VALUE_INVALID,
				    "The member tenantId must be a lower-case letter or digit, then those and '-'.");
	return PROBLEM_NONE;
}

enum problem client_create(struct call *call)
{
	static const char *const members[] = {"clientId", "tenantId", "scopes", "purposes", "limits", "fingerprints"};
	struct client client = {0}, created;
	enum problem problem = body_read(call, members, COUNT(members));

	if (problem == PROBLEM_NONE)
		problem = read_names(call, &client);
	if (problem == PROBLEM_NONE)
		problem = read_scopes(call, &client);
	if (problem == PROBLEM_NONE)
		problem = read_purposes(call, &client);
	if (problem == PROBLEM_NONE)
		problem = read_limits(call, &client);
	if (problem == PROBLEM_NONE)
		problem = read_fingerprints(call, &client);
	if (problem != PROBLEM_NONE)
		return problem;
	call->event.subject = arena_copy_text(&call->exchange->arena, span_of_text(client.id));
	problem = clients_create(&call->flow, &client, &created);
	problem = answer_changed(call, 201, problem, &created);
	if (problem == PROBLEM_NONE) {
		char location[CLIENT_ID_LENGTH_MAX + 16];
		snprintf(location, sizeof location, "/v1/clients/%s", created.id);
		answer_header(call, "Location", location);
	}
	return problem;
}

/* ---- reading and changing --------------------------------------------------------------------------- */

enum problem client_list(struct call *call)
{
	struct client *clients;
	struct json_writer writer;
	size_t count;
	enum problem problem = query_check(call, NULL, 0);

	if (problem == PROBLEM_NONE)
		problem = clients_list(&call->flow, &clients, &count);
	if (problem != PROBLEM_NONE)
		return problem;
	answer_json(call, 200, &writer);
	call->exchange->response.body.size_max = (count + 1) * 4096;
	json_object_begin(&writer);
	json_key(&writer, "clients");
	json_array_begin(&writer);
	for (size_t i = 0; i < count; i++)
		write_client(&writer, &clients[i], &call->api->config.limits);
	json_array_end(&writer);
	json_object_end(&writer);
	return answer_end(&writer);
}

enum problem client_read(struct call *call)
{
	char id[CLIENT_ID_LENGTH_MAX + 1];
	struct client client;
	enum problem problem = read_client_id(call, id);

	if (problem == PROBLEM_NONE)
		problem = clients_get(&call->flow, id, &client);
	return problem == PROBLEM_NONE ? answer_client(call, 200, &client) : problem;
}

enum problem client_suspend(struct call *call)
{
	char id[CLIENT_ID_LENGTH_MAX + 1];
	struct client client;
	enum problem problem = read_client_id(call, id);

	if (problem == PROBLEM_NONE)
		problem = clients_suspend(&call->flow, id, &client);
	return answer_changed(call, 200, problem, &client);
}

enum problem client_resume(struct call *call)
{
	char id[CLIENT_ID_LENGTH_MAX + 1];
	struct client client;
	enum problem problem = read_client_id(call, id);

	if (problem == PROBLEM_NONE)
		problem = clients_resume(&call->flow, id, &client);
	return answer_changed(call, 200, problem, &client);
}

enum problem client_add_certificate(struct call *call)
{
	static const char *const members[] = {"fingerprint"};
	uint8_t fingerprint[SHA256_SIZE];
	char id[CLIENT_ID_LENGTH_MAX + 1];
	struct client client;
	struct span text;
	enum problem problem = read_client_id(call, id);

	if (problem == PROBLEM_NONE)
		problem = body_read(call, members, COUNT(members));
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "fingerprint", BODY_REQUIRED, 2 * SHA256_SIZE, &text);
	if (problem == PROBLEM_NONE && hex_parse(text, true, fingerprint, sizeof fingerprint) != RESULT_OK)
		problem = call_explain(call, PROBLEM_VALUE_INVALID,
				       "The member fingerprint must be the SHA-256 of a certificate: 64 hex digits.");
	if (problem == PROBLEM_NONE)
		problem = clients_add_fingerprint(&call->flow, id, fingerprint, &client);
	return answer_changed(call, 200, problem, &client);
}

enum problem client_remove_certificate(struct call *call)
{
	uint8_t fingerprint[SHA256_SIZE];
	char id[CLIENT_ID_LENGTH_MAX + 1];
	struct client client;
	enum problem problem = read_client_id(call, id);

	if (problem == PROBLEM_NONE &&
	    hex_parse(call->parameters[1], true, fingerprint, sizeof fingerprint) != RESULT_OK)
		problem = PROBLEM_NOT_FOUND;
	if (problem == PROBLEM_NONE)
		problem = clients_remove_fingerprint(&call->flow, id, fingerprint, &client);
	return answer_changed(call, 200, problem, &client);
}
