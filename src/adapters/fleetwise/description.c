#include "adapters/fleetwise/description.h"

#include "base/text.h"
#include "crypto/digest.h"
#include "vehicle/ports/device_gateway.h"
#include "vehicle/vin.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGEST_GROUPS	4
#define DIGEST_GROUP	2 /* bytes */
#define SYNC_ID_FORMAT	"%s/%s/%s"
#define DIGEST_TEXT_MAX (DIGEST_GROUPS * (2 * DIGEST_GROUP + 1))

enum result description_refuse(struct description *description, enum problem problem, const char *format, ...)
{
	struct description_fault *fault = description->fault;
	int length = snprintf(fault->detail, sizeof fault->detail, "%s: ", description->place);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fault->detail + length, sizeof fault->detail - (size_t)length, format, arguments);
	va_end(arguments);
	fault->problem = problem;
	return RESULT_INVALID;
}

/* ---- members ------------------------------------------------------------------------------------------ */

enum result member_check(struct description *description, const json_t *object, const char *const *names, size_t count)
{
	struct note note = {0};

	if (json_check_members(object, names, count, &note) != RESULT_OK)
		return description_refuse(description, PROBLEM_MALFORMED, "%.*s.", 100, note.text);
	return RESULT_OK;
}

enum result member_required(struct description *description, const json_t *object, const char *name)
{
	if (json_object_get(object, name) == NULL)
		return description_refuse(description, PROBLEM_MALFORMED, "the member %s is missing.", name);
	return RESULT_OK;
}

enum result member_whole(struct description *description, const json_t *object, const char *name, uint32_t least,
			 uint32_t greatest, uint32_t *value)
{
	const json_t *member = json_object_get(object, name);

	if (member == NULL)
		return RESULT_OK;
	if (!json_is_integer(member))
		return description_refuse(description, PROBLEM_MALFORMED, "the member %s must be a whole number.",
					  name);
	json_int_t number = json_integer_value(member);
	if (number < least || number > greatest)
		return description_refuse(description, PROBLEM_VALUE_INVALID, "the member %s must be from %u to %u.",
					  name, least, greatest);
	*value = (uint32_t)number;
	return RESULT_OK;
}

enum result member_real(struct description *description, const json_t *object, const char *name, double *value)
{
	const json_t *member = json_object_get(object, name);

	if (member == NULL)
		return RESULT_OK;
	if (!json_is_number(member))
		return description_refuse(description, PROBLEM_MALFORMED, "the member %s must be a number.", name);
	*value = json_number_value(member);
	return RESULT_OK;
}

enum result member_bool(struct description *description, const json_t *object, const char *name, int *value)
{
	const json_t *member = json_object_get(object, name);

	if (member == NULL)
		return RESULT_OK;
	if (!json_is_boolean(member))
		return description_refuse(description, PROBLEM_MALFORMED, "the member %s must be true or false.", name);
	*value = json_is_true(member);
	return RESULT_OK;
}

enum result member_time(struct description *description, const json_t *object, const char *name, uint64_t *value)
{
	struct span text;
	int64_t at_ms;
	enum result result = json_get_text(object, name, 64, &text);

	if (result == RESULT_ABSENT)
		return RESULT_OK;
	if (result != RESULT_OK || rfc3339_parse(text, &at_ms) != RESULT_OK)
		return description_refuse(description, PROBLEM_MALFORMED, "the member %s must be an RFC 3339 time.",
					  name);
	*value = (uint64_t)at_ms;
	return RESULT_OK;
}

enum result member_text(struct description *description, const json_t *object, const char *name, size_t length_max,
			char **ret_text)
{
	const json_t *member = json_object_get(object, name);

	TRY(member_required(description, object, name));
	if (!json_is_string(member))
		return description_refuse(description, PROBLEM_MALFORMED, "the member %s must be a string.", name);
	struct span text = span_of(json_string_value(member), json_string_length(member));
	if (text.size == 0 || text.size > length_max || !text_is_printable(text, false))
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "the member %s must be 1 to %zu printable ASCII characters without spaces.",
					  name, length_max);
	if (vin_stands_in(text))
		return description_refuse(description, PROBLEM_VIN_NOT_ALLOWED,
					  "the member %s holds what looks like a VIN.", name);
	*ret_text = arena_copy_text(description->arena, text);
	return *ret_text != NULL ? RESULT_OK : RESULT_MEMORY;
}

static bool is_name(const char *text)
{
	size_t length = strlen(text);

	return text[0] != '-' && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

enum result member_name(struct description *description, const json_t *object, const char *name, char **ret_text)
{
	char *text = NULL;

	TRY(member_text(description, object, name, DESCRIPTION_NAME_LENGTH_MAX, &text));
	if (text == NULL || !is_name(text))
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "the member %s must be a lower-case letter or digit, then those and '-'.",
					  name);
	*ret_text = text;
	return RESULT_OK;
}

enum result member_choice(struct description *description, const json_t *object, const char *name,
			  const char *const *choices, size_t count, size_t *value)
{
	struct span text;
	enum result result = json_get_text(object, name, 64, &text);

	if (result == RESULT_ABSENT)
		return RESULT_OK;
	for (size_t i = 0; result == RESULT_OK && i < count; i++) {
		if (!span_is_text(text, choices[i]))
			continue;
		*value = i;
		return RESULT_OK;
	}
	return description_refuse(description, PROBLEM_VALUE_INVALID, "the member %s is none of the words known here.",
				  name);
}

/* ---- signals and documents ------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
	const struct described_signal *left = a, *right = b;
	size_t shorter = left->name.size < right->name.size ? left->name.size : right->name.size;
	int difference = memcmp(left->name.data, right->name.data, shorter);

	return difference != 0 ? difference
			       : (left->name.size > right->name.size) - (left->name.size < right->name.size);
}

const struct described_signal *description_find(const struct description *description, struct span name)
{
	const struct described_signal wanted = {.name = name};

	if (name.size == 0)
		return NULL;
	return bsearch(&wanted, description->by_name, description->signal_count, sizeof wanted, by_name);
}

enum result description_index(struct description *description)
{
	size_t size = description->signal_count * sizeof *description->by_name;

	description->by_name = arena_alloc(description->arena, size);
	if (description->by_name == NULL)
		return RESULT_MEMORY;
	memcpy(description->by_name, description->signals, size);
	qsort(description->by_name, description->signal_count, sizeof *description->by_name, by_name);
	for (size_t i = 1; i < description->signal_count; i++)
		if (span_equal(description->by_name[i].name, description->by_name[i - 1].name))
			return description_refuse(description, PROBLEM_VALUE_INVALID,
						  "two of them have the same name.");
	return RESULT_OK;
}

/* In groups, so that no reader of VINs takes the digits, with a neighbour, for one. */
static enum result digest_text(const ProtobufCMessage *message, struct arena *arena,
			       char ret_text[static DIGEST_TEXT_MAX])
{
	uint8_t digest[SHA256_SIZE];
	struct span bytes;
	char *at = ret_text;

	TRY(message_write(message, arena, &bytes));
	TRY(sha256(bytes, digest));
	for (size_t i = 0; i < DIGEST_GROUPS; i++) {
		hex_format(span_of(digest + i * DIGEST_GROUP, DIGEST_GROUP), at);
		at += 2 * DIGEST_GROUP;
		*at++ = i + 1 < DIGEST_GROUPS ? '-' : '\0';
	}
	return RESULT_OK;
}

enum result description_sync_id(const struct description *description, const char *name,
				const ProtobufCMessage *message, char **ret_sync_id)
{
	char digest[DIGEST_TEXT_MAX], sync_id[SYNC_ID_LENGTH_MAX + 1];

	TRY(digest_text(message, description->arena, digest));
	snprintf(sync_id, sizeof sync_id, SYNC_ID_FORMAT, description->tenant->text, name, digest);
	*ret_sync_id = arena_copy_text(description->arena, span_of_text(sync_id));
	return *ret_sync_id != NULL ? RESULT_OK : RESULT_MEMORY;
}

enum result description_document(struct description *description, enum signal_document_kind kind, const char *sync_id,
				 const ProtobufCMessage *message, struct signal_document *ret_document)
{
	struct signal_document document = {
		.tenant = *description->tenant, .kind = kind, .created_at_ms = description->at_ms};

	TRY(message_write(message, description->arena, &document.bytes));
	if (document.bytes.size > GATEWAY_PAYLOAD_MAX)
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "described like this they are more than the %zu KiB that vehicles accept.",
					  GATEWAY_PAYLOAD_MAX >> 10);
	memcpy(document.sync_id, sync_id, strlen(sync_id) + 1);
	*ret_document = document;
	return RESULT_OK;
}
