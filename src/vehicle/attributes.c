#include "vehicle/attributes.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

bool json_holds_vin(const json_t *value)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_string(value))
		return vin_stands_in(span_of(json_string_value(value), json_string_length(value)));
	json_array_foreach((json_t *)value, i, member)
	{
		if (json_holds_vin(member))
			return true;
	}
	json_object_foreach((json_t *)value, name, member)
	{
		if (vin_stands_in(span_of_text(name)) || json_holds_vin(member))
			return true;
	}
	return false;
}

static enum result merge(json_t *target, const json_t *patch);

/* RFC 7396 section 2, for one member. */
static enum result merge_member(json_t *target, const char *name, json_t *patch)
{
	if (json_is_null(patch)) {
		json_object_del(target, name);
		return RESULT_OK;
	}
	if (!json_is_object(patch))
		return json_object_set_new(target, name, json_deep_copy(patch)) == 0 ? RESULT_OK : RESULT_MEMORY;
	json_t *inner = json_object_get(target, name);
	if (!json_is_object(inner)) {
		inner = json_object();
		if (json_object_set_new(target, name, inner) != 0)
			return RESULT_MEMORY;
	}
	return merge(inner, patch);
}

static enum result merge(json_t *target, const json_t *patch)
{
	const char *name;
	json_t *member;

	json_object_foreach((json_t *)patch, name, member) TRY(merge_member(target, name, member));
	return RESULT_OK;
}

static enum result merge_into_text(struct arena *arena, const char *current, const json_t *patch, const char **ret_text)
{
	JSON_CLEANUP json_t *target = NULL;

	if (current == NULL)
		target = json_object();
	else if (json_read(span_of_text(current), &target, NULL) != RESULT_OK)
		return RESULT_CORRUPT;
	if (target == NULL)
		return RESULT_MEMORY;
	TRY(merge(target, patch));

	char *text = arena_alloc(arena, ATTRIBUTES_SIZE_MAX + 1);
	if (text == NULL)
		return RESULT_MEMORY;
	size_t size = json_dumpb(target, text, ATTRIBUTES_SIZE_MAX, JSON_COMPACT);
	if (size > ATTRIBUTES_SIZE_MAX)
		return RESULT_EXHAUSTED;
	text[size] = '\0';
	*ret_text = text;
	return RESULT_OK;
}

enum problem attributes_merge(struct flow_request *request, const char *current, const json_t *patch,
			      const char **ret_text)
{
	if (!json_is_object(patch)) {
		snprintf(request->detail, sizeof(request->detail), "attributes must be a JSON object.");
		return PROBLEM_VALUE_INVALID;
	}
	if (json_holds_vin(patch)) {
		snprintf(request->detail, sizeof(request->detail), "attributes must not hold a VIN or its hash.");
		return PROBLEM_VIN_NOT_ALLOWED;
	}
	enum result result = merge_into_text(request->arena, current, patch, ret_text);
	if (result == RESULT_EXHAUSTED) {
		snprintf(request->detail, sizeof(request->detail), "attributes must fit into %d bytes.",
			 ATTRIBUTES_SIZE_MAX);
		return PROBLEM_VALUE_INVALID;
	}
	return problem_of_result(result);
}
