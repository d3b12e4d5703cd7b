/*
 * The audit trail: a tenant's own entries, a vehicle's access report, and the log itself (C2SP tlog-tiles).
 */
#include "api/body.h"
#include "api/records.h"
#include "base/text.h"
#include "vehicle/vehicles.h"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define ENTRIES_MAX	500
#define ENTRIES_DEFAULT 100
#define REPORT_SCAN_MAX 20 /* pages looked through for one page of a report */
#define ANSWER_SIZE_MAX ((size_t)16 << 20)
#define TILE_SIZE_MAX	((size_t)256 * (2 + AUDIT_LEAF_SIZE_MAX))

/* ---- entries ---------------------------------------------------------------------------------------- */

struct entries_query {
	struct audit_query query;
	struct uuid reference_id;
	bool with_proofs;
};

static enum problem read_limits(struct call *call, struct entries_query *ret)
{
	uint64_t limit = ENTRIES_DEFAULT, cursor = UINT64_MAX;
	enum problem problem = query_number(call, "limit", ENTRIES_MAX, &limit);

	if (problem == PROBLEM_NONE)
		problem = query_cursor(call, UINT64_MAX - 1, &cursor);
	if (problem == PROBLEM_NONE)
		problem = query_time(call, "from", &ret->query.from_ms);
	if (problem == PROBLEM_NONE)
		problem = query_time(call, "to", &ret->query.to_ms);
	ret->query.limit = (size_t)limit;
	ret->query.before_index = cursor;
	ret->query.tenant = call->principal->client.tenant.text;
	return problem;
}

static enum problem read_outcome(struct call *call, const char **ret_outcome)
{
	enum problem problem = query_text(call, "outcome", ret_outcome);

	if (problem != PROBLEM_NONE || *ret_outcome == NULL)
		return problem;
	for (enum audit_outcome outcome = AUDIT_ALLOWED; outcome <= AUDIT_FAILED; outcome++)
		if (strcmp(*ret_outcome, audit_outcome_name(outcome)) == 0)
			return PROBLEM_NONE;
	return call_explain(call, PROBLEM_MALFORMED,
			    "The query parameter outcome must be allowed, refused, absent or failed.");
}

static enum problem read_entries_query(struct call *call, struct entries_query *ret)
{
	static const char *const names[] = {"from",	   "to",     "actor", "action", "outcome",
					    "referenceId", "cursor", "limit", "proof"};
	bool is_given = false;
	enum problem problem = query_check(call, names, COUNT(names));

	if (problem == PROBLEM_NONE)
		problem = read_limits(call, ret);
	if (problem == PROBLEM_NONE)
		problem = query_text(call, "actor", &ret->query.actor);
	if (problem == PROBLEM_NONE)
		problem = query_text(call, "action", &ret->query.action);
	if (problem == PROBLEM_NONE)
		problem = read_outcome(call, &ret->query.outcome);
	if (problem == PROBLEM_NONE)
		problem = query_uuid(call, "referenceId", &is_given, &ret->reference_id);
	if (problem == PROBLEM_NONE)
		problem = query_bool(call, "proof", &ret->with_proofs);
	if (is_given)
		ret->query.reference_id = &ret->reference_id;
	return problem;
}

static void write_base64(struct json_writer *writer, struct span bytes)
{
	BUF_CLEANUP struct buf text = {.size_max = AUDIT_LEAF_SIZE_MAX * 2};
	if (base64_append(&text, bytes) == RESULT_OK)
		json_text(writer, buf_span(&text));
	else
		writer->result = RESULT_MEMORY;
}

/* null: the newest checkpoint does not cover the entry yet; it will within a second. */
static enum result write_proof(struct call *call, struct json_writer *writer, uint64_t index)
{
	struct audit_log *log = call->api->platform->audit;
	struct merkle_proof proof;
	uint64_t tree_size;
	enum result result = log->ops->prove(log, index, &proof, &tree_size, &call->flow.note);

	json_key(writer, "inclusionProof");
	if (result == RESULT_ABSENT) {
		json_null_value(writer);
		return RESULT_OK;
	}
	if (result != RESULT_OK)
		return result;
	json_object_begin(writer);
	json_member_number(writer, "treeSize", (int64_t)tree_size);
	json_key(writer, "hashes");
	json_array_begin(writer);
	for (size_t i = 0; i < proof.count; i++)
		write_base64(writer, span_of(proof.hashes[i].bytes, SHA256_SIZE));
	json_array_end(writer);
	json_object_end(writer);
	return RESULT_OK;
}

/*
 * The leaf's own members behind its index. With a proof also its exact bytes, because it is those that were hashed into
 * the tree.
 */
static enum result write_entry(struct call *call, struct json_writer *writer, const struct audit_found *found,
			       bool with_proof)
{
	struct span members = span_of(found->json.data + 1, found->json.size - 2);
	enum result result = RESULT_OK;

	json_object_begin(writer);
	json_member_number(writer, "index", (int64_t)found->index);
	if (with_proof) {
		json_key(writer, "leaf");
		write_base64(writer, found->json);
		result = write_proof(call, writer, found->index);
	}
	if (result == RESULT_OK)
		result = buf_append_text(writer->buf, ",");
	if (result == RESULT_OK)
		result = buf_append(writer->buf, members);
	json_object_end(writer);
	return result;
}

static enum problem answer_entries(struct call *call, const struct audit_found *found, size_t count, bool with_proofs,
				   uint64_t next)
{
	struct json_writer writer;
	answer_json(call, 200, &writer);
	call->exchange->response.body.size_max = ANSWER_SIZE_MAX;
	json_object_begin(&writer);
	json_key(&writer, "entries");
	json_array_begin(&writer);
	for (size_t i = 0; i < count; i++) {
		enum result result = write_entry(call, &writer, &found[i], with_proofs);
		if (result != RESULT_OK)
			return problem_of_result(result);
	}
	json_array_end(&writer);
	write_cursor(&writer, next);
	json_object_end(&writer);
	return answer_end(&writer);
}

/* A page of entries needs more room than an ordinary request. */
static struct audit_found *make_room(struct call *call, size_t limit)
{
	call->exchange->arena.size_max = ANSWER_SIZE_MAX;
	return arena_alloc(&call->exchange->arena, limit * sizeof(struct audit_found));
}

enum problem audit_entries(struct call *call)
{
	struct audit_log *log = call->api->platform->audit;
	struct entries_query query = {0};
	size_t count;
	uint64_t next;
	enum problem problem = read_entries_query(call, &query);

	if (problem != PROBLEM_NONE)
		return problem;
	struct audit_found *found = make_room(call, query.query.limit);
	if (found == NULL)
		return PROBLEM_UNAVAILABLE;
	enum result result =
		log->ops->query(log, &query.query, &call->exchange->arena, found, &count, &next, &call->flow.note);
	return result == RESULT_OK ? answer_entries(call, found, count, query.with_proofs, next)
				   : problem_of_result(result);
}

/* ---- access report ---------------------------------------------------------------------------------- */

/* What makes a leaf one of an access: somebody who named the vehicle by its VIN, or learned the VIN. */
static bool is_access(const json_t *leaf)
{
	static const char *const actions[] = {"reference-id.lookup", "reference-id.lookup-batch", "reveal.open"};
	const char *outcome = json_string_value(json_object_get(leaf, "outcome"));
	const char *action = json_string_value(json_object_get(leaf, "action"));

	if (outcome == NULL || action == NULL || strcmp(outcome, "allowed") != 0)
		return false;
	for (size_t i = 0; i < COUNT(actions); i++)
		if (strcmp(action, actions[i]) == 0)
			return true;
	/* provisioning and TCU changes by VIN or hash carry their implied purpose (rule 7) */
	const char *purpose = json_string_value(json_object_get(leaf, "purpose"));
	return purpose != NULL && (strcmp(purpose, "provisioning") == 0 || strcmp(purpose, "tcu-change") == 0);
}

static void copy_member(struct json_writer *writer, const json_t *leaf, const char *name)
{
	const char *text = json_string_value(json_object_get(leaf, name));
	if (text != NULL)
		json_member_text(writer, name, text);
}

/* Without the other vehicles that a batch named. */
static void write_access(struct json_writer *writer, const json_t *leaf, uint64_t index)
{
	static const char *const members[] = {"at",	"actor",	   "action",	 "purpose",
					      "reason", "revealRequestId", "approvedBy", "requestId",
					      "ticket", "sourceAddress"};
	json_object_begin(writer);
	json_member_number(writer, "index", (int64_t)index);
	for (size_t i = 0; i < COUNT(members); i++)
		copy_member(writer, leaf, members[i]);
	json_object_end(writer);
}

static size_t write_accesses(struct json_writer *writer, const struct audit_found *found, size_t count)
{
	size_t written = 0;
	for (size_t i = 0; i < count; i++) {
		JSON_CLEANUP json_t *leaf = NULL;
		if (json_read(found[i].json, &leaf, NULL) != RESULT_OK || !is_access(leaf))
			continue;
		write_access(writer, leaf, found[i].index);
		written++;
	}
	return written;
}

/* The filter is ours, not the log's: pages are read until one has something, within bounds. */
static enum result scan_accesses(struct call *call, struct entries_query *query, struct audit_found *found,
				 struct json_writer *writer, uint64_t *ret_next)
{
	struct audit_log *log = call->api->platform->audit;
	size_t written = 0;
	for (size_t page = 0; page < REPORT_SCAN_MAX && written == 0; page++) {
		ARENA_CLEANUP struct arena arena = {.size_max = ANSWER_SIZE_MAX};
		size_t count;
		TRY(log->ops->query(log, &query->query, &arena, found, &count, ret_next, &call->flow.note));
		written = write_accesses(writer, found, count);
		if (*ret_next == 0)
			break;
		query->query.before_index = *ret_next;
	}
	return RESULT_OK;
}

static enum problem answer_report(struct call *call, struct entries_query *query)
{
	struct json_writer writer;
	uint64_t next = 0;
	struct audit_found *found = make_room(call, query->query.limit);

	if (found == NULL)
		return PROBLEM_UNAVAILABLE;
	answer_json(call, 200, &writer);
	call->exchange->response.body.size_max = ANSWER_SIZE_MAX;
	json_object_begin(&writer);
	json_member_uuid(&writer, "referenceId", &query->reference_id);
	json_key(&writer, "entries");
	json_array_begin(&writer);
	enum result result = scan_accesses(call, query, found, &writer, &next);
	if (result != RESULT_OK)
		return problem_of_result(result);
	json_array_end(&writer);
	write_cursor(&writer, next);
	json_object_end(&writer);
	return answer_end(&writer);
}

enum problem vehicle_access_report(struct call *call)
{
	static const char *const names[] = {"from", "to", "cursor", "limit"};
	struct entries_query query = {0};
	struct vehicle vehicle;
	enum problem problem = query_check(call, names, COUNT(names));

	if (problem == PROBLEM_NONE)
		problem = read_limits(call, &query);
	if (problem == PROBLEM_NONE)
		problem = call_reference_id(call, &query.reference_id);
	if (problem == PROBLEM_NONE)
		problem = vehicles_get(&call->flow, &query.reference_id, &vehicle);
	query.query.reference_id = &query.reference_id;
	return problem == PROBLEM_NONE ? answer_report(call, &query) : problem;
}

/* ---- the log itself --------------------------------------------------------------------------------- */

enum problem audit_checkpoint(struct call *call)
{
	struct audit_log *log = call->api->platform->audit;
	answer_begin(call, 200, "text/plain; charset=utf-8");
	enum result result = log->ops->checkpoint(log, &call->exchange->response.body, &call->flow.note);
	return result == RESULT_OK ? PROBLEM_NONE : problem_of_result(result);
}

struct tile_name {
	int level;
	uint64_t number;
	unsigned width;
};

/* Takes what stands before the next slash, or all. */
static struct span take_part(struct span *rest)
{
	const uint8_t *slash = rest->size > 0 ? memchr(rest->data, '/', rest->size) : NULL;
	size_t size = slash != NULL ? (size_t)(slash - rest->data) : rest->size;
	struct span part = span_of(rest->data, size);
	size_t step = slash != NULL ? size + 1 : size;
	*rest = span_of(rest->data + step, rest->size - step);
	return part;
}

static bool parse_digits(struct span text, uint64_t *ret_value)
{
	uint64_t value = 0;
	if (text.size != 3)
		return false;
	for (size_t i = 0; i < 3; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text.data[i] - '0');
	}
	*ret_value = value;
	return true;
}

/* "x001/x234/067" and then nothing, or ".p/128" (C2SP tlog-tiles, "Merkle Tree") */
static bool parse_tile_number(struct span rest, struct tile_name *ret_name)
{
	uint64_t group, number = 0, width = 256;
	struct span part = take_part(&rest);
	size_t groups = 0;

	while (part.size > 0 && part.data[0] == 'x') {
		if (groups++ == 5 || !parse_digits(span_of(part.data + 1, part.size - 1), &group))
			return false;
		/* the shortest form only */
		if (groups == 1 && group == 0)
			return false;
		number = number * 1000 + group;
		part = take_part(&rest);
	}
	bool is_partial = part.size == 5 && memcmp(part.data + 3, ".p", 2) == 0;
	if (is_partial) {
		part.size = 3;
		if (text_parse_u64(rest, 255, &width) != RESULT_OK || width == 0)
			return false;
	} else if (rest.size > 0) {
		return false;
	}
	if (!parse_digits(part, &group))
		return false;
	ret_name->number = number * 1000 + group;
	ret_name->width = (unsigned)width;
	return true;
}

static bool parse_tile_name(struct span text, struct tile_name *ret_name)
{
	uint64_t level = 0;
	struct span part = take_part(&text);
	if (span_is_text(part, "entries"))
		ret_name->level = AUDIT_TILE_ENTRIES;
	else if (text_parse_u64(part, 63, &level) == RESULT_OK)
		ret_name->level = (int)level;
	else
		return false;
	return parse_tile_number(text, ret_name);
}

enum problem audit_tile(struct call *call)
{
	struct audit_log *log = call->api->platform->audit;
	struct tile_name name;

	if (!parse_tile_name(call->parameters[0], &name))
		return PROBLEM_NOT_FOUND;
	answer_begin(call, 200, "application/octet-stream");
	call->exchange->response.body.size_max = TILE_SIZE_MAX;
	enum result result = log->ops->tile(log, name.level, name.number, name.width, &call->exchange->response.body,
					    &call->flow.note);
	return result == RESULT_OK ? PROBLEM_NONE : problem_of_result(result);
}
