#include "api/body.h"

#include "base/text.h"

#include <stdio.h>
#include <strings.h>

/* ---- JSON bodies ------------------------------------------------------------------------------------ */

enum problem body_read(struct call *call, const char *const *members, size_t count)
{
	struct note note = {0};
	struct span text = buf_span(&call->exchange->body);

	if (text.size == 0)
		return call_explain(call, PROBLEM_MALFORMED, "The body is missing; send a JSON object.");
	enum result result = json_read(text, &call->json, &note);
	if (result == RESULT_MEMORY)
		return PROBLEM_UNAVAILABLE;
	if (result != RESULT_OK)
		return call_explain(call, PROBLEM_MALFORMED, "The body is not JSON as accepted here: %s.", note.text);
	if (!json_is_object(call->json))
		return call_explain(call, PROBLEM_MALFORMED, "The body must be a JSON object.");
	if (json_check_members(call->json, members, count, &note) != RESULT_OK)
		return call_explain(call, PROBLEM_MALFORMED, "In the body: %s.", note.text);
	return PROBLEM_NONE;
}

static enum problem missing(struct call *call, const char *name)
{
	return call_explain(call, PROBLEM_MALFORMED, "The member %s is missing.", name);
}

static enum problem wrong_type(struct call *call, const char *name, const char *type)
{
	return call_explain(call, PROBLEM_MALFORMED, "The member %s must be %s.", name, type);
}

enum problem body_text(struct call *call, const char *name, enum body_need need, size_t length_max,
		       struct span *ret_text)
{
	const json_t *value = json_object_get(call->json, name);
	*ret_text = (struct span){0};
	if (value == NULL)
		return need == BODY_REQUIRED ? missing(call, name) : PROBLEM_NONE;
	if (!json_is_string(value))
		return wrong_type(call, name, "a string");
	if (json_string_length(value) > length_max)
		return call_explain(call, PROBLEM_VALUE_INVALID, "The member %s is longer than %zu bytes.", name,
				    length_max);
	*ret_text = span_of(json_string_value(value), json_string_length(value));
	return PROBLEM_NONE;
}

enum problem body_text_or_null(struct call *call, const char *name, enum body_need need, size_t length_max,
			       struct span *ret_text, bool *ret_is_null)
{
	*ret_is_null = json_is_null(json_object_get(call->json, name));
	if (!*ret_is_null)
		return body_text(call, name, need, length_max, ret_text);
	*ret_text = (struct span){0};
	return PROBLEM_NONE;
}

enum problem body_bool(struct call *call, const char *name, bool *ret_value)
{
	const json_t *value = json_object_get(call->json, name);
	if (value == NULL)
		return PROBLEM_NONE;
	if (!json_is_boolean(value))
		return wrong_type(call, name, "true or false");
	*ret_value = json_is_true(value);
	return PROBLEM_NONE;
}

enum problem body_number(struct call *call, const char *name, int64_t min, int64_t max, int64_t *ret_value)
{
	const json_t *value = json_object_get(call->json, name);
	if (value == NULL)
		return PROBLEM_NONE;
	if (!json_is_integer(value))
		return wrong_type(call, name, "a whole number");
	json_int_t number = json_integer_value(value);
	if (number < min || number > max)
		return call_explain(call, PROBLEM_VALUE_INVALID, "The member %s must be from %lld to %lld.", name,
				    (long long)min, (long long)max);
	*ret_value = number;
	return PROBLEM_NONE;
}

enum problem body_object(struct call *call, const char *name, const json_t **ret_object)
{
	const json_t *value = json_object_get(call->json, name);
	if (value != NULL && !json_is_object(value))
		return wrong_type(call, name, "an object");
	*ret_object = value;
	return PROBLEM_NONE;
}

enum problem body_array(struct call *call, const char *name, enum body_need need, const json_t **ret_array)
{
	const json_t *value = json_object_get(call->json, name);
	if (value == NULL && need == BODY_REQUIRED)
		return missing(call, name);
	if (value != NULL && !json_is_array(value))
		return wrong_type(call, name, "an array");
	*ret_array = value;
	return PROBLEM_NONE;
}

/* How many of the names are members, and which was the last. */
static size_t count_members(const struct call *call, const char *const *names, size_t count, const char **ret_name)
{
	size_t found = 0;
	for (size_t i = 0; i < count; i++)
		if (json_object_get(call->json, names[i]) != NULL) {
			*ret_name = names[i];
			found++;
		}
	return found;
}

static enum problem read_vin(struct call *call, struct vin *ret_vin)
{
	struct span text;
	enum problem problem = body_text(call, "vin", BODY_REQUIRED, 256, &text);
	if (problem == PROBLEM_VALUE_INVALID) {
		call->flow.detail[0] = '\0';
		return PROBLEM_VIN_INVALID;
	}
	if (problem != PROBLEM_NONE)
		return problem;
	return vin_parse(text, ret_vin) == RESULT_OK ? PROBLEM_NONE : PROBLEM_VIN_INVALID;
}

static enum problem read_hash(struct call *call, struct hashed_vin *ret_hash)
{
	struct span text;
	enum problem problem = body_text(call, "hashedVin", BODY_REQUIRED, 256, &text);
	if (problem != PROBLEM_NONE)
		return problem;
	if (hashed_vin_parse(text, ret_hash) != RESULT_OK)
		return call_explain(
			call, PROBLEM_VALUE_INVALID,
			"The member hashedVin must be 64 hex digits: the SHA-256 of the VIN in upper case.");
	return PROBLEM_NONE;
}

enum problem body_vehicle_name(struct call *call, struct vehicle_name *ret_name)
{
	static const char *const names[] = {"referenceId", "hashedVin", "vin"};
	const char *name = NULL;
	struct span text;
	enum problem problem;

	if (count_members(call, names, 3, &name) != 1)
		return call_explain(call, PROBLEM_MALFORMED,
				    "Name the vehicle by exactly one of referenceId, hashedVin and vin.");
	if (name == names[1]) {
		ret_name->by = VEHICLE_BY_HASHED_VIN;
		return read_hash(call, &ret_name->hashed_vin);
	}
	if (name == names[2]) {
		ret_name->by = VEHICLE_BY_VIN;
		return read_vin(call, &ret_name->vin);
	}
	ret_name->by = VEHICLE_BY_REFERENCE_ID;
	problem = body_text(call, "referenceId", BODY_REQUIRED, 64, &text);
	if (problem == PROBLEM_NONE && uuid_parse(text, &ret_name->reference_id) != RESULT_OK)
		return call_explain(call, PROBLEM_VALUE_INVALID, "The member referenceId must be a UUID.");
	return problem;
}

enum problem body_hashed_vin(struct call *call, struct hashed_vin *ret_hash)
{
	static const char *const names[] = {"hashedVin", "vin"};
	const char *name = NULL;
	struct vin vin;

	if (count_members(call, names, 2, &name) != 1)
		return call_explain(call, PROBLEM_MALFORMED, "Name the vehicle by exactly one of hashedVin and vin.");
	if (name == names[0])
		return read_hash(call, ret_hash);
	enum problem problem = read_vin(call, &vin);
	if (problem == PROBLEM_NONE && vin_hash(&vin, ret_hash) != RESULT_OK)
		problem = PROBLEM_UNAVAILABLE;
	secret_wipe(&vin, sizeof vin);
	return problem;
}

/* ---- query strings ---------------------------------------------------------------------------------- */

static bool name_is_known(struct span name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (span_is_text(name, names[i]))
			return true;
	return false;
}

static enum problem unknown_parameter(struct call *call, const char *const *names, size_t count)
{
	char list[128] = "";
	size_t used = 0;
	for (size_t i = 0; i < count && used < sizeof list; i++)
		used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", names[i]);
	return count == 0 ? call_explain(call, PROBLEM_MALFORMED, "This path takes no query parameters.")
			  : call_explain(call, PROBLEM_MALFORMED, "An unknown query parameter; known here: %s.", list);
}

enum problem query_check(struct call *call, const char *const *names, size_t count)
{
	struct span rest = call->exchange->request.query;
	while (rest.size > 0) {
		const uint8_t *end = memchr(rest.data, '&', rest.size);
		size_t size = end != NULL ? (size_t)(end - rest.data) : rest.size;
		const uint8_t *equals = memchr(rest.data, '=', size);
		struct span name = span_of(rest.data, equals != NULL ? (size_t)(equals - rest.data) : size);
		if (size > 0 && !name_is_known(name, names, count))
			return unknown_parameter(call, names, count);
		size_t step = end != NULL ? size + 1 : size;
		rest = span_of(rest.data + step, rest.size - step);
	}
	return PROBLEM_NONE;
}

#define QUERY_VALUE_SIZE 512

enum problem query_text(struct call *call, const char *name, const char **ret_text)
{
	char value[QUERY_VALUE_SIZE];
	enum result result = http_query_get(call->exchange->request.query, name, value, sizeof value);

	*ret_text = NULL;
	if (result == RESULT_ABSENT)
		return PROBLEM_NONE;
	if (result != RESULT_OK)
		return call_explain(call, PROBLEM_MALFORMED,
				    "The query parameter %s stands twice, is badly encoded or too long.", name);
	*ret_text = arena_copy_text(&call->exchange->arena, span_of_text(value));
	secret_wipe(value, sizeof value);
	return *ret_text != NULL ? PROBLEM_NONE : PROBLEM_UNAVAILABLE;
}

static enum problem bad_parameter(struct call *call, const char *name, const char *what)
{
	return call_explain(call, PROBLEM_MALFORMED, "The query parameter %s must be %s.", name, what);
}

enum problem query_number(struct call *call, const char *name, uint64_t max, uint64_t *ret_value)
{
	char what[64];
	const char *text;
	uint64_t value;
	enum problem problem = query_text(call, name, &text);
	if (problem != PROBLEM_NONE || text == NULL)
		return problem;
	snprintf(what, sizeof what, "a whole number from 1 to %llu", (unsigned long long)max);
	if (text_parse_u64(span_of_text(text), max, &value) != RESULT_OK || value < 1)
		return bad_parameter(call, name, what);
	*ret_value = value;
	return PROBLEM_NONE;
}

enum problem query_cursor(struct call *call, uint64_t max, uint64_t *ret_value)
{
	const char *text;
	uint64_t value;
	enum problem problem = query_text(call, "cursor", &text);
	if (problem != PROBLEM_NONE || text == NULL)
		return problem;
	if (text_parse_u64(span_of_text(text), max, &value) != RESULT_OK || value < 1)
		return bad_parameter(call, "cursor", "the nextCursor of an earlier answer");
	*ret_value = value;
	return PROBLEM_NONE;
}

enum problem query_time(struct call *call, const char *name, int64_t *ret_at_ms)
{
	const char *text;
	enum problem problem = query_text(call, name, &text);
	if (problem != PROBLEM_NONE || text == NULL)
		return problem;
	if (rfc3339_parse(span_of_text(text), ret_at_ms) != RESULT_OK)
		return bad_parameter(call, name, "a time as in RFC 3339 (2026-01-02T03:04:05Z)");
	return PROBLEM_NONE;
}

enum problem query_bool(struct call *call, const char *name, bool *ret_value)
{
	const char *text;
	enum problem problem = query_text(call, name, &text);
	if (problem != PROBLEM_NONE || text == NULL)
		return problem;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return bad_parameter(call, name, "true or false");
	*ret_value = text[0] == 't';
	return PROBLEM_NONE;
}

enum problem query_uuid(struct call *call, const char *name, bool *ret_given, struct uuid *ret_uuid)
{
	const char *text;
	enum problem problem = query_text(call, name, &text);
	*ret_given = false;
	if (problem != PROBLEM_NONE || text == NULL)
		return problem;
	if (uuid_parse(span_of_text(text), ret_uuid) != RESULT_OK)
		return bad_parameter(call, name, "a UUID");
	*ret_given = true;
	return PROBLEM_NONE;
}

/* ---- headers ---------------------------------------------------------------------------------------- */

static bool span_is_word(struct span a, const char *word)
{
	return a.size == strlen(word) && strncasecmp((const char *)a.data, word, a.size) == 0;
}

static struct span trim(struct span text)
{
	while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
		text = span_of(text.data + 1, text.size - 1);
	while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
		text.size--;
	return text;
}

bool content_type_is(struct span value, const char *type)
{
	const uint8_t *semicolon = value.size > 0 ? memchr(value.data, ';', value.size) : NULL;
	size_t size = semicolon != NULL ? (size_t)(semicolon - value.data) : value.size;

	if (!span_is_word(trim(span_of(value.data, size)), type))
		return false;
	if (semicolon == NULL)
		return true;
	struct span parameter = trim(span_of(semicolon + 1, value.size - size - 1));
	return parameter.size == 0 || span_is_word(parameter, "charset=utf-8") ||
	       span_is_word(parameter, "charset=\"utf-8\"");
}

static bool tag_names(struct span tag, uint32_t version)
{
	uint64_t number;
	return tag.size > 2 && tag.data[0] == '"' && tag.data[tag.size - 1] == '"' &&
	       text_parse_u64(span_of(tag.data + 1, tag.size - 2), UINT32_MAX, &number) == RESULT_OK &&
	       number == version;
}

bool if_match_names(struct span value, uint32_t version)
{
	if (span_is_text(value, "*"))
		return true;
	/* Our tags hold no comma, so what one cuts in two was none of ours. */
	while (value.size > 0) {
		const uint8_t *comma = memchr(value.data, ',', value.size);
		size_t size = comma != NULL ? (size_t)(comma - value.data) : value.size;
		if (tag_names(trim(span_of(value.data, size)), version))
			return true;
		size_t step = comma != NULL ? size + 1 : size;
		value = span_of(value.data + step, value.size - step);
	}
	return false;
}
