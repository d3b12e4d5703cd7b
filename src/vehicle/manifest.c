#include "vehicle/manifest.h"

#include "base/json.h"
#include "base/text.h"

#include <stdlib.h>

/* A line of the chunk at hand: a device to be put, or why not. */
struct manifest_line {
	uint64_t number;
	enum problem problem;
	struct device_manifest_entry entry;
	enum device_put put;
};

struct manifest_load {
	struct flow_request *request;
	struct arena arena; /* of one chunk's commit */
	uint64_t line_number;
	/* the line that is arriving */
	uint8_t line[MANIFEST_LINE_SIZE_MAX];
	size_t line_size;
	bool line_is_too_long;
	/* the lines to be committed next */
	struct manifest_line chunk[MANIFEST_CHUNK_LINES];
	size_t chunk_count;
	/* the sum so far */
	uint64_t accepted, duplicates, rejected_count;
	struct manifest_rejected rejected[MANIFEST_REJECTED_MAX];
};

/* ---- one line ------------------------------------------------------------------------------------- */

/* ret_text has room for length_max and a NUL. Absent stays empty. */
static enum problem read_text(const json_t *object, const char *name, size_t length_max, char *ret_text)
{
	struct span text;
	enum result result = json_get_text(object, name, length_max, &text);

	if (result == RESULT_ABSENT)
		return PROBLEM_NONE;
	if (result != RESULT_OK)
		return PROBLEM_VALUE_INVALID;
	if (vin_stands_in(text))
		return PROBLEM_VIN_NOT_ALLOWED;
	if (text.size > 0)
		memcpy(ret_text, text.data, text.size);
	return PROBLEM_NONE;
}

static enum problem read_key(const json_t *object, struct device_manifest_entry *entry)
{
	struct span text;
	enum result result = json_get_text(object, "publicKeySha256", 2 * SHA256_SIZE, &text);

	if (result == RESULT_ABSENT)
		return PROBLEM_NONE;
	if (result != RESULT_OK || hex_parse(text, true, entry->public_key_sha256, SHA256_SIZE) != RESULT_OK)
		return PROBLEM_VALUE_INVALID;
	entry->has_key = true;
	return PROBLEM_NONE;
}

static enum problem read_entry(const json_t *object, struct device_manifest_entry *entry)
{
	static const char *const names[] = {"deviceId", "model", "manufacturer", "publicKeySha256"};
	struct span device_id;

	if (!json_is_object(object) ||
	    json_check_members(object, names, sizeof(names) / sizeof(names[0]), NULL) != RESULT_OK)
		return PROBLEM_MALFORMED;
	if (json_get_text(object, "deviceId", DEVICE_ID_LENGTH_MAX, &device_id) != RESULT_OK ||
	    device_id_parse(device_id, entry->device_id) != RESULT_OK)
		return PROBLEM_VALUE_INVALID;
	enum problem problem = read_text(object, "model", sizeof(entry->model) - 1, entry->model);
	if (problem == PROBLEM_NONE)
		problem = read_text(object, "manufacturer", sizeof(entry->manufacturer) - 1, entry->manufacturer);
	if (problem == PROBLEM_NONE)
		problem = read_key(object, entry);
	return problem;
}

enum problem manifest_parse_line(struct span line, const struct tenant_id *tenant,
				 struct device_manifest_entry *ret_entry)
{
	JSON_CLEANUP json_t *object = NULL;
	struct device_manifest_entry entry = {.tenant = *tenant};

	if (json_read(line, &object, NULL) != RESULT_OK)
		return PROBLEM_MALFORMED;
	enum problem problem = read_entry(object, &entry);
	if (problem == PROBLEM_NONE)
		*ret_entry = entry;
	return problem;
}

/* ---- one chunk ------------------------------------------------------------------------------------ */

static enum result commit_writes(struct manifest_load *load, const struct registry_write *writes, size_t count)
{
	struct flow_request *request = load->request;
	struct audit_event event = *request->event; /* each chunk has a leaf of its own */
	enum registry_conflict conflict;

	if (count == 0)
		return RESULT_OK;
	event.count = count;
	return audit_commit(request->platform, &event, &load->arena, writes, count, &conflict, &request->note);
}

static enum result put_devices(struct manifest_load *load)
{
	struct registry_write writes[MANIFEST_CHUNK_LINES];
	size_t count = 0;

	for (size_t i = 0; i < load->chunk_count; i++) {
		struct manifest_line *line = &load->chunk[i];
		if (line->problem == PROBLEM_NONE)
			writes[count++] =
				(struct registry_write){.kind = REGISTRY_PUT_DEVICE,
							.device = {.entry = &line->entry, .ret_device = &line->put}};
	}
	enum result result = commit_writes(load, writes, count);
	arena_reset(&load->arena);
	return result;
}

static void count_line(struct manifest_load *load, const struct manifest_line *line)
{
	enum problem problem = line->problem;

	if (problem == PROBLEM_NONE && line->put == DEVICE_OTHER_KEY)
		problem = PROBLEM_KEY_MISMATCH;
	if (problem == PROBLEM_NONE) {
		load->accepted += line->put == DEVICE_ADDED;
		load->duplicates += line->put == DEVICE_KNOWN;
		return;
	}
	if (load->rejected_count < MANIFEST_REJECTED_MAX)
		load->rejected[load->rejected_count] =
			(struct manifest_rejected){.line = line->number, .problem = problem};
	load->rejected_count++;
}

static enum problem flush_chunk(struct manifest_load *load)
{
	enum result result = put_devices(load);

	for (size_t i = 0; result == RESULT_OK && i < load->chunk_count; i++)
		count_line(load, &load->chunk[i]);
	load->chunk_count = 0;
	return problem_of_result(result);
}

/* ---- bytes as they arrive --------------------------------------------------------------------------- */

/* The line is complete: judge it, and make room for the next. Empty ones are passed over. */
static enum problem end_line(struct manifest_load *load)
{
	struct span text = span_of(load->line, load->line_size);
	struct manifest_line *line = &load->chunk[load->chunk_count];

	load->line_number++;
	if (text.size > 0 && text.data[text.size - 1] == '\r')
		text.size--;
	if (text.size > 0 || load->line_is_too_long) {
		*line = (struct manifest_line){.number = load->line_number, .problem = PROBLEM_VALUE_INVALID};
		if (!load->line_is_too_long)
			line->problem = manifest_parse_line(text, &load->request->tenant.id, &line->entry);
		load->chunk_count++;
	}
	load->line_size = 0;
	load->line_is_too_long = false;
	return load->chunk_count == MANIFEST_CHUNK_LINES ? flush_chunk(load) : PROBLEM_NONE;
}

static void extend_line(struct manifest_load *load, struct span bytes)
{
	if (bytes.size > sizeof(load->line) - load->line_size)
		load->line_is_too_long = true;
	if (load->line_is_too_long || bytes.size == 0)
		return;
	memcpy(load->line + load->line_size, bytes.data, bytes.size);
	load->line_size += bytes.size;
}

enum problem manifest_load_feed(struct manifest_load *load, struct span bytes)
{
	while (bytes.size > 0) {
		const uint8_t *end = memchr(bytes.data, '\n', bytes.size);
		size_t size = end == NULL ? bytes.size : (size_t)(end - bytes.data);

		extend_line(load, span_of(bytes.data, size));
		if (end == NULL)
			break;
		bytes = span_of(end + 1, bytes.size - size - 1);
		enum problem problem = end_line(load);
		if (problem != PROBLEM_NONE)
			return problem;
	}
	return PROBLEM_NONE;
}

enum problem manifest_load_finish(struct manifest_load *load, bool body_is_whole)
{
	enum problem problem = PROBLEM_NONE;

	if (body_is_whole && (load->line_size > 0 || load->line_is_too_long))
		problem = end_line(load);
	if (problem == PROBLEM_NONE)
		problem = flush_chunk(load);
	load->request->event->count = load->accepted + load->duplicates;
	return problem;
}

/* ---- the load ------------------------------------------------------------------------------------- */

enum result manifest_load_open(struct flow_request *request, struct manifest_load **ret_load)
{
	struct manifest_load *load = calloc(1, sizeof(*load));

	if (load == NULL)
		return RESULT_MEMORY;
	load->request = request;
	*ret_load = load;
	return RESULT_OK;
}

void manifest_load_report(const struct manifest_load *load, struct manifest_report *ret_report)
{
	bool all = load->rejected_count <= MANIFEST_REJECTED_MAX;

	*ret_report = (struct manifest_report){
		.accepted = load->accepted,
		.duplicates = load->duplicates,
		.rejected_count = load->rejected_count,
		.rejected = load->rejected,
		.rejected_listed = all ? (size_t)load->rejected_count : MANIFEST_REJECTED_MAX,
	};
}

void manifest_load_close(struct manifest_load *load)
{
	if (load == NULL)
		return;
	arena_release(&load->arena);
	secret_wipe(load, sizeof(*load)); /* a line may have held a VIN where none belongs */
	free(load);
}
