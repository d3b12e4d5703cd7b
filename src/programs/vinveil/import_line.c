#include "programs/vinveil/import_line.h"

#include "base/json.h"
#include "base/text.h"
#include "vehicle/problem.h"

#include <stdio.h>

/* ---- the header ------------------------------------------------------------------------------------ */

static bool is_repeated(const struct import_columns *columns, struct span name)
{
	for (size_t i = 0; i < columns->count; i++)
		if (span_is_text(name, columns->names[i]))
			return true;
	return false;
}

static enum result add_column(struct import_columns *columns, struct span name, struct note *note)
{
	size_t place = columns->count;
	if (name.size == 0 || name.size >= sizeof columns->names[0] || !utf8_is_valid(name) || vin_stands_in(name)) {
		note_set(note, "header: column %zu needs a name of 1 to 64 bytes; is the header line missing?",
			 place + 1);
		return RESULT_INVALID;
	}
	if (is_repeated(columns, name)) {
		note_set(note, "header: column %zu repeats a name", place + 1);
		return RESULT_INVALID;
	}
	memcpy(columns->names[place], name.data, name.size);
	columns->names[place][name.size] = '\0';
	columns->count++;
	return RESULT_OK;
}

enum result import_columns_read(const struct csv_record *header, struct import_columns *ret_columns, struct note *note)
{
	struct import_columns columns = {0};
	if (header->count < 2 || !span_is_text(header->fields[0], "vin") ||
	    !span_is_text(header->fields[1], "deviceId")) {
		note_set(note, "the first line has to be: vin,deviceId[,NAME…] (further columns become attributes)");
		return RESULT_INVALID;
	}
	for (size_t i = 0; i < header->count; i++)
		TRY(add_column(&columns, header->fields[i], note));
	*ret_columns = columns;
	return RESULT_OK;
}

/* ---- a line ---------------------------------------------------------------------------------------- */

static enum result refuse(const char *reason, const char **ret_reason)
{
	*ret_reason = reason;
	return RESULT_INVALID;
}

static enum result judge_vin(struct span text, enum check_digit_policy policy, struct vin *ret_vin,
			     const char **ret_reason)
{
	if (vin_parse(text, ret_vin) != RESULT_OK)
		return refuse(problem_name(PROBLEM_VIN_INVALID), ret_reason);
	if (policy == CHECK_DIGIT_ENFORCE && !vin_has_check_digit(ret_vin))
		return refuse(problem_name(PROBLEM_CHECK_DIGIT), ret_reason);
	return RESULT_OK;
}

/* A device ID must not be the line's own VIN (or its hash), as in provisioning. */
static enum result is_own_vin(struct span text, const struct vin *vin, bool *ret_is_own)
{
	struct vin other = {0};
	struct hashed_vin said = {0}, own = {0};
	*ret_is_own = false;
	if (vin_parse(text, &other) == RESULT_OK)
		*ret_is_own = secret_equal(other.text, vin->text, VIN_LENGTH);
	else if (hashed_vin_parse(text, &said) == RESULT_OK && vin_hash(vin, &own) == RESULT_OK)
		*ret_is_own = secret_equal(said.bytes, own.bytes, sizeof own.bytes);
	secret_wipe(&other, sizeof other);
	secret_wipe(&said, sizeof said);
	secret_wipe(&own, sizeof own);
	return RESULT_OK;
}

static enum result judge_device(struct span text, const struct vin *vin, struct vehicle *vehicle,
				const char **ret_reason)
{
	bool is_own;
	if (text.size == 0)
		return RESULT_OK;
	if (device_id_parse(text, vehicle->device_id) != RESULT_OK)
		return refuse("value-invalid: deviceId", ret_reason);
	TRY(is_own_vin(text, vin, &is_own));
	return is_own ? refuse(problem_name(PROBLEM_VIN_NOT_ALLOWED), ret_reason) : RESULT_OK;
}

static enum result write_attributes(const struct csv_record *record, const struct import_columns *columns,
				    struct buf *text)
{
	struct json_writer writer;
	json_writer_init(&writer, text);
	json_object_begin(&writer);
	for (size_t i = 2; i < record->count; i++) {
		if (record->fields[i].size == 0)
			continue;
		json_key(&writer, columns->names[i]);
		json_text(&writer, record->fields[i]);
	}
	json_object_end(&writer);
	return json_writer_end(&writer);
}

static enum result judge_attributes(const struct csv_record *record, const struct import_columns *columns,
				    struct arena *arena, struct vehicle *vehicle, const char **ret_reason)
{
	BUF_CLEANUP struct buf text = {.size_max = ATTRIBUTES_SIZE_MAX};
	bool has_any = false;
	for (size_t i = 2; i < record->count; i++) {
		if (!utf8_is_valid(record->fields[i]))
			return refuse("value-invalid: an attribute is not UTF-8", ret_reason);
		if (vin_stands_in(record->fields[i]))
			return refuse(problem_name(PROBLEM_VIN_NOT_ALLOWED), ret_reason);
		has_any = has_any || record->fields[i].size > 0;
	}
	if (!has_any)
		return RESULT_OK;
	enum result result = write_attributes(record, columns, &text);
	if (result == RESULT_EXHAUSTED)
		return refuse("value-invalid: attributes over 8192 bytes", ret_reason);
	TRY(result);
	vehicle->attributes = arena_copy_text(arena, buf_span(&text));
	return vehicle->attributes != NULL ? RESULT_OK : RESULT_MEMORY;
}

enum result import_line_judge(const struct csv_record *record, const struct import_columns *columns,
			      enum check_digit_policy policy, struct arena *arena, struct vin *ret_vin,
			      struct vehicle *ret_vehicle, const char **ret_reason)
{
	struct vehicle vehicle = {0};
	if (record->count != columns->count)
		return refuse("malformed: not as many fields as the header", ret_reason);
	TRY(judge_vin(record->fields[0], policy, ret_vin, ret_reason));
	TRY(judge_device(record->fields[1], ret_vin, &vehicle, ret_reason));
	TRY(judge_attributes(record, columns, arena, &vehicle, ret_reason));
	*ret_vehicle = vehicle;
	return RESULT_OK;
}
