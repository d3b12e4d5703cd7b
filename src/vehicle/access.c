#include "vehicle/access.h"

/* In the order of the bits of enum scope. */
static const char *const scope_names[SCOPE_COUNT] = {
	"vehicle:provision",  "vehicle:read", "vehicle:write",	 "vehicle:erase",  "audit:read",  "refid:lookup",
	"refid:lookup-batch", "tcu:change",   "device:manifest", "vin:reveal",	   "vin:approve", "signal:read",
	"command:send",	      "admin",	      "platform",	 "platform:audit",
};

const char *scope_name(enum scope scope)
{
	for (size_t i = 0; i < SCOPE_COUNT; i++)
		if (scope == (enum scope)(1u << i))
			return scope_names[i];
	return "";
}

enum result scope_parse(struct span text, enum scope *ret_scope)
{
	for (size_t i = 0; i < SCOPE_COUNT; i++) {
		if (!span_is_text(text, scope_names[i]))
			continue;
		*ret_scope = (enum scope)(1u << i);
		return RESULT_OK;
	}
	return RESULT_INVALID;
}

static bool is_name_character(uint8_t byte, bool is_first)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || (byte == '-' && !is_first);
}

/* [a-z0-9] then [a-z0-9-]*; ret_name has room for length_max and a NUL, and is zero-filled. */
static enum result name_parse(struct span text, size_t length_max, char *ret_name)
{
	if (text.size == 0 || text.size > length_max)
		return RESULT_INVALID;
	for (size_t i = 0; i < text.size; i++)
		if (!is_name_character(text.data[i], i == 0))
			return RESULT_INVALID;
	memset(ret_name, 0, length_max + 1);
	memcpy(ret_name, text.data, text.size);
	return RESULT_OK;
}

enum result client_id_parse(struct span text, char ret_id[static CLIENT_ID_LENGTH_MAX + 1])
{
	return name_parse(text, CLIENT_ID_LENGTH_MAX, ret_id);
}

enum result purpose_parse(struct span text, char ret_purpose[static PURPOSE_LENGTH_MAX + 1])
{
	return name_parse(text, PURPOSE_LENGTH_MAX, ret_purpose);
}

bool client_has_scope(const struct client *client, enum scope scope)
{
	return (client->scopes & (uint32_t)scope) != 0;
}

bool client_has_purpose(const struct client *client, const char *purpose)
{
	for (size_t i = 0; i < client->purpose_count; i++)
		if (strcmp(client->purposes[i], purpose) == 0)
			return true;
	return false;
}
