/*
 * /v1/reference-ids: conversion, one by one and in batches.
 */
#include "api/body.h"
#include "api/lookup_body.h"
#include "base/secret.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The client's own copy of the purpose: it lives as long as the call, and is nothing that the request made up. */
static const char *find_purpose(const struct client *client, struct span purpose)
{
	for (size_t i = 0; i < client->purpose_count; i++)
		if (span_is_text(purpose, client->purposes[i]))
			return client->purposes[i];
	return NULL;
}

static enum problem judge_purpose(struct call *call, struct span purpose)
{
	const char *known = find_purpose(&call->principal->client, purpose);
	if (known == NULL)
		return PROBLEM_PURPOSE_NOT_ALLOWED;
	call->event.purpose = known;
	return PROBLEM_NONE;
}

static enum problem read_lookup(struct call *call)
{
	static const char *const members[] = {"hashedVin", "vin", "purpose"};
	struct span purpose;

	if (lookup_body_scan(buf_span(&call->exchange->body), &purpose, &call->conversion.hashed_vin))
		return judge_purpose(call, purpose);
	enum problem problem = body_read(call, members, COUNT(members));
	if (problem == PROBLEM_NONE)
		problem = body_text(call, "purpose", BODY_REQUIRED, PURPOSE_LENGTH_MAX, &purpose);
	if (problem == PROBLEM_NONE)
		problem = judge_purpose(call, purpose);
	if (problem == PROBLEM_NONE)
		problem = body_hashed_vin(call, &call->conversion.hashed_vin);
	return problem;
}

enum problem lookup_prepare(struct call *call)
{
	call->conversion.tenant = call->principal->client.tenant;
	enum problem problem = read_lookup(call);
	/* The parsed tree holds the hash: it goes now, not when the answer is sent. */
	json_decref(call->json);
	call->json = NULL;
	return problem;
}

/* ---- batches ---------------------------------------------------------------------------------------- */

static enum problem read_hashes(struct call *call, struct hashed_vin *ret_vins, size_t *ret_count)
{
	const json_t *array;
	enum problem problem = body_array(call, "hashedVins", BODY_REQUIRED, &array);
	if (problem != PROBLEM_NONE)
		return problem;
	size_t count = json_array_size(array);
	if (count == 0 || count > CONVERSION_BATCH_MAX)
		return call_explain(call, PROBLEM_VALUE_INVALID, "The member hashedVins must hold 1 to %d items.",
				    CONVERSION_BATCH_MAX);
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(array, i);
		if (!json_is_string(item))
			return call_explain(call, PROBLEM_MALFORMED, "Item %zu of hashedVins must be a string.", i + 1);
		struct span text = span_of(json_string_value(item), json_string_length(item));
		if (hashed_vin_parse(text, &ret_vins[i]) != RESULT_OK)
			return call_explain(call, PROBLEM_VALUE_INVALID,
					    "Item %zu of hashedVins must be 64 hex digits.", i + 1);
	}
	*ret_count = count;
	return PROBLEM_NONE;
}

static enum problem answer_batch(struct call *call, const struct conversion_result *results, size_t count)
{
	struct json_writer writer;
	answer_json(call, 200, &writer);
	json_object_begin(&writer);
	json_key(&writer, "results");
	json_array_begin(&writer);
	for (size_t i = 0; i < count; i++) {
		json_object_begin(&writer);
		json_key(&writer, "referenceId");
		if (results[i].found)
			json_uuid(&writer, &results[i].reference_id);
		else
			json_null_value(&writer);
		json_object_end(&writer);
	}
	json_array_end(&writer);
	json_object_end(&writer);
	return answer_end(&writer);
}

static enum problem run_batch(struct call *call, struct hashed_vin *vins)
{
	static const char *const members[] = {"hashedVins", "purpose"};
	struct conversion_result results[CONVERSION_BATCH_MAX];
	struct span purpose;
	size_t count = 0;
	enum problem problem = body_read(call, members, COUNT(members));

	if (problem == PROBLEM_NONE)
		problem = body_text(call, "purpose", BODY_REQUIRED, PURPOSE_LENGTH_MAX, &purpose);
	if (problem == PROBLEM_NONE)
		problem = judge_purpose(call, purpose);
	if (problem == PROBLEM_NONE)
		problem = read_hashes(call, vins, &count);
	/* Admission took a token; the other items cost one each, all or nothing. */
	if (problem == PROBLEM_NONE && count > 1)
		problem = call_take_tokens(call, (uint32_t)count - 1);
	if (problem == PROBLEM_NONE)
		problem = conversion_lookup_batch(&call->flow, call->event.purpose, vins, count, results);
	return problem == PROBLEM_NONE ? answer_batch(call, results, count) : problem;
}

enum problem lookup_batch(struct call *call)
{
	struct hashed_vin vins[CONVERSION_BATCH_MAX];
	enum problem problem = run_batch(call, vins);
	secret_wipe(vins, sizeof vins);
	return problem;
}
