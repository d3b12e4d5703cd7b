/*
 * `vinveil audit tail` (through the API), `audit verify` and `audit prove` (offline, from the log's files and
 * its public key alone; neither needs the platform to run, nor to be trusted).
 */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/request.h"

#include "adapters/audit/verify.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- tail ------------------------------------------------------------------------------------------ */

static const struct output_member entry_columns[] = {
	{"index", "index"},	{"at", "at"},		{"actor", "actor"},
	{"action", "action"},	{"outcome", "outcome"}, {"referenceId", "Reference ID"},
	{"purpose", "purpose"},
};
#define ENTRY_COLUMNS (sizeof entry_columns / sizeof entry_columns[0])

static const struct {
	const char *option, *parameter;
} tail_filters[] = {
	{"actor", "actor"}, {"action", "action"}, {"outcome", "outcome"}, {"reference-id", "referenceId"},
	{"from", "from"},   {"to", "to"},
};

static int run_tail(const struct invocation *invocation)
{
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	BUF_CLEANUP struct buf path = {.size_max = 2000};
	int64_t limit;
	if (!option_get_number(invocation, "lines", 1, 500, 20, &limit))
		return EXIT_USAGE;
	enum result result = buf_append_format(&path, "/v1/audit/entries?limit=%" PRId64, limit);
	for (size_t i = 0; i < sizeof tail_filters / sizeof tail_filters[0] && result == RESULT_OK; i++)
		if (option_get(invocation, tail_filters[i].option) != NULL)
			result = request_append_parameter(&path, tail_filters[i].parameter,
							  option_get(invocation, tail_filters[i].option));
	if (result != RESULT_OK)
		return fail("the filters", result, NULL);
	int code = request_get(invocation, (const char *)path.data, &answer);
	if (code == EXIT_DONE && !output_json(invocation, &answer))
		output_table(json_object_get(answer.json, "entries"), entry_columns, ENTRY_COLUMNS);
	return code;
}

const struct command command_audit_tail = {
	.words = "audit tail",
	.arguments = "",
	.summary = "show the newest entries of your tenant's audit trail",
	.description = "Newest first. Filters narrow it; --json shows whole entries.",
	.run = run_tail,
	.options = {{"lines", "N", "how many (default 20, at most 500)", false},
		    {"actor", "CLIENT", "only what this client did", false},
		    {"action", "ACTION", "only this action, e.g. reference-id.lookup", false},
		    {"outcome", "OUTCOME", "allowed, refused, absent or failed", false},
		    {"reference-id", "ID", "only what concerns this vehicle", false},
		    {"from", "TIME", "not before (RFC 3339)", false},
		    {"to", "TIME", "before (RFC 3339)", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

/* ---- the log's files and its key ------------------------------------------------------------------- */

struct log_place {
	char directory[PATH_SIZE], key_path[PATH_SIZE];
	struct verifier_key key;
};

static enum result read_key(const char *path, struct verifier_key *ret_key, struct note *note)
{
	BUF_CLEANUP struct buf text = {.size_max = 1024};
	enum result result = file_read(path, &text, note);
	if (result == RESULT_EXHAUSTED) { /* later it would be no smaller */
		note_set(note, "%.180s is no audit log's public key: it is too large", path);
		result = RESULT_INVALID;
	}
	TRY(result);
	while (text.size > 0 && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r'))
		text.size--;
	return verifier_key_parse(buf_span(&text), ret_key, note);
}

static int find_log(const struct invocation *invocation, struct log_place *ret_place)
{
	const char *data = option_get(invocation, "data"), *log = option_get(invocation, "log");
	const char *key = option_get(invocation, "key");
	struct note note = {0};
	if (data == NULL && (log == NULL || key == NULL)) {
		say_error("say --data DIR, or --log DIR and --key FILE");
		return EXIT_USAGE;
	}
	bool fits = (log != NULL ? snprintf(ret_place->directory, PATH_SIZE, "%s", log)
				 : snprintf(ret_place->directory, PATH_SIZE, "%s/audit", data)) < PATH_SIZE &&
		    (key != NULL ? snprintf(ret_place->key_path, PATH_SIZE, "%s", key)
				 : snprintf(ret_place->key_path, PATH_SIZE, "%s/ca/audit-log.vkey", data)) < PATH_SIZE;
	if (!fits)
		return fail("the path", RESULT_EXHAUSTED, NULL);
	enum result result = read_key(ret_place->key_path, &ret_place->key, &note);
	return result == RESULT_OK ? EXIT_DONE : fail(ret_place->key_path, result, &note);
}

#define LOG_OPTIONS                                                                                              \
	{"data", "DIR", "an installation's directory: its log and the key in DIR/ca/audit-log.vkey", false},     \
		{"log", "DIR", "the log's files (default DIR/audit)", false},                                    \
	{                                                                                                        \
		"key", "FILE", "the log's public key, kept from the day it was made: trust your own copy", false \
	}

/* ---- verify ---------------------------------------------------------------------------------------- */

static void show_progress(void *context, uint64_t done, uint64_t total)
{
	(void)context;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " entries", done, total);
}

static int tell_verdict(const struct invocation *invocation, enum result result,
			const struct audit_verify_report *report, const struct note *note)
{
	bool json = option_is_set(invocation, "json");
	if (result == RESULT_CORRUPT && json)
		printf("{\"verified\":false,\"file\":\"%s\",\"offset\":%" PRIu64 "}\n", report->failure.file,
		       report->failure.offset);
	if (result == RESULT_CORRUPT) {
		say_error("the log does NOT verify: %s, byte %" PRIu64 ": %s", report->failure.file,
			  report->failure.offset, report->failure.what);
		if (report->failure.has_index)
			say_error("first entry concerned: %" PRIu64, report->failure.index);
		return EXIT_FAILED;
	}
	if (result != RESULT_OK)
		return fail("verifying the log", result, note);
	char root[2 * SHA256_SIZE + 1];
	hex_format(span_of(report->root.bytes, SHA256_SIZE), root);
	if (json)
		printf("{\"verified\":true,\"entries\":%" PRIu64 ",\"checkpointSize\":%" PRIu64 ",\"root\":\"%s\"}\n",
		       report->entry_count, report->checkpoint_size, root);
	else
		printf("verified: %" PRIu64 " %s, signed checkpoint over %" PRIu64 ", root %s\n", report->entry_count,
		       text_plural(report->entry_count, "entry", "entries"), report->checkpoint_size, root);
	return EXIT_DONE;
}

static int run_verify(const struct invocation *invocation)
{
	struct log_place place = {0};
	struct audit_verify_report report = {0};
	struct note note = {0};
	int code = find_log(invocation, &place);
	if (code != EXIT_DONE)
		return code;
	struct audit_verify_config config = {
		.directory = place.directory, .origin = place.key.name, .key = &place.key, .progress = show_progress};
	enum result result = audit_verify(&config, &report, &note);
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr);
	return tell_verdict(invocation, result, &report, &note);
}

const struct command command_audit_verify = {
	.words = "audit verify",
	.arguments = "",
	.summary = "verify the whole audit log, offline",
	.description =
		"Checks every entry, every hash, the tree's root and the checkpoint's signature. Changes nothing.\n"
		"Exit code 1 when anything was changed, dropped or reordered, with the place.",
	.run = run_verify,
	.options = {LOG_OPTIONS, {"json", NULL, "the verdict as JSON", false}, {NULL, NULL, NULL, false}},
};

/* ---- prove ----------------------------------------------------------------------------------------- */

static int run_prove(const struct invocation *invocation)
{
	BUF_CLEANUP struct buf proof = {.size_max = AUDIT_PROOF_SIZE_MAX};
	BUF_CLEANUP struct buf leaf = {0};
	struct log_place place = {0};
	struct note note = {0};
	uint64_t index;
	if (text_parse_u64(span_of_text(invocation->arguments[0]), INT64_MAX, &index) != RESULT_OK) {
		say_error("an entry is named by its index: 0, 1, 2, …");
		return EXIT_USAGE;
	}
	int code = find_log(invocation, &place);
	if (code != EXIT_DONE)
		return code;
	struct audit_verify_config config = {.directory = place.directory, .origin = place.key.name, .key = &place.key};
	enum result result = audit_proof_make(&config, index, &proof, &leaf, &note);
	if (result != RESULT_OK)
		return fail("making the proof", result, &note);
	fwrite(proof.data, 1, proof.size, stdout);
	say("entry: %.*s", (int)leaf.size, (const char *)leaf.data);
	return EXIT_DONE;
}

const struct command command_audit_prove = {
	.words = "audit prove",
	.arguments = "INDEX",
	.summary = "prove that one entry is in the log, offline",
	.description = "Prints a C2SP tlog-proof: inclusion proof and signed checkpoint, to be checked by anybody who\n"
		       "has the log's public key. The entry itself goes to standard error.",
	.run = run_prove,
	.options = {LOG_OPTIONS, {NULL, NULL, NULL, false}},
};
