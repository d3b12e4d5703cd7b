#include "api/lookup_body.h"

#include "vehicle/access.h"

static void skip_space(struct span *rest)
{
	size_t at = 0;
	while (at < rest->size &&
	       (rest->data[at] == ' ' || rest->data[at] == '\t' || rest->data[at] == '\n' || rest->data[at] == '\r'))
		at++;
	*rest = span_of(rest->data + at, rest->size - at);
}

/* Takes one of JSON's structural characters, with white space around it. */
static bool take(struct span *rest, char wanted)
{
	skip_space(rest);
	if (rest->size == 0 || rest->data[0] != (uint8_t)wanted)
		return false;
	*rest = span_of(rest->data + 1, rest->size - 1);
	skip_space(rest);
	return true;
}

/* A string that stands for itself: no escapes, and nothing of which UTF-8 would have to be judged. */
static bool take_string(struct span *rest, struct span *ret_text)
{
	if (rest->size == 0 || rest->data[0] != '"')
		return false;
	size_t end = 1;
	while (end < rest->size && rest->data[end] >= 0x20 && rest->data[end] < 0x7f && rest->data[end] != '\\' &&
	       rest->data[end] != '"')
		end++;
	if (end == rest->size || rest->data[end] != '"')
		return false;
	*ret_text = span_of(rest->data + 1, end - 1);
	*rest = span_of(rest->data + end + 1, rest->size - end - 1);
	return true;
}

/* A member stands once at most: whatever would be the second is no plain body. */
static bool take_member(struct span *rest, struct span *purpose, struct span *hash, struct span *vin)
{
	struct span name, value;
	struct span *place = NULL;
	if (!take_string(rest, &name) || !take(rest, ':') || !take_string(rest, &value))
		return false;
	if (span_is_text(name, "purpose"))
		place = purpose;
	else if (span_is_text(name, "hashedVin"))
		place = hash;
	else if (span_is_text(name, "vin"))
		place = vin;
	if (place == NULL || place->data != NULL)
		return false;
	*place = value;
	return true;
}

static bool hash_vin(struct span text, struct hashed_vin *ret_hash)
{
	struct vin vin;
	/* One with white space around it is good too, but within bounds that are body_read()'s to judge. */
	bool is_good =
		text.size == VIN_LENGTH && vin_parse(text, &vin) == RESULT_OK && vin_hash(&vin, ret_hash) == RESULT_OK;
	secret_wipe(&vin, sizeof vin);
	return is_good;
}

bool lookup_body_scan(struct span body, struct span *ret_purpose, struct hashed_vin *ret_hash)
{
	struct span purpose = {0}, hash = {0}, vin = {0};
	if (!take(&body, '{') || !take_member(&body, &purpose, &hash, &vin) || !take(&body, ',') ||
	    !take_member(&body, &purpose, &hash, &vin) || !take(&body, '}') || body.size > 0)
		return false;
	if (purpose.data == NULL || purpose.size > PURPOSE_LENGTH_MAX)
		return false;
	*ret_purpose = purpose;
	return hash.data != NULL ? hashed_vin_parse(hash, ret_hash) == RESULT_OK : hash_vin(vin, ret_hash);
}
