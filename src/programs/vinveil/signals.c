/* `vinveil signals load`, `list`: what vehicles' edge agents are to decode and to send. */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/request.h"

#include "base/secret.h"

#include <string.h>

#define FILE_SIZE_MAX ((size_t)4 << 20)
#define PATH	      "/v1/signal-documents"

static int read_json(const char *path, json_t **ret_json)
{
	BUF_CLEANUP struct buf content = {.size_max = FILE_SIZE_MAX};
	struct note note = {0};
	enum result result = file_read(path, &content, &note);

	if (result == RESULT_EXHAUSTED)
		note_set(&note, "larger than %zu MiB", FILE_SIZE_MAX >> 20);
	if (result == RESULT_OK)
		result = json_read(buf_span(&content), ret_json, &note);
	return result == RESULT_OK ? EXIT_DONE : fail(path, result, &note);
}

/* The schemes have a file of their own, or stand in the description. */
static int read_description(const struct invocation *invocation, json_t **ret_description)
{
	const char *path = invocation->arguments[0], *schemes_path = option_get(invocation, "schemes");
	json_t *schemes = NULL;
	int code = read_json(path, ret_description);

	if (code != EXIT_DONE || schemes_path == NULL)
		return code;
	if (!json_is_object(*ret_description) || json_object_get(*ret_description, "schemes") != NULL) {
		say_error("%s: with --schemes it must be an object without the member schemes", path);
		return EXIT_FAILED;
	}
	code = read_json(schemes_path, &schemes);
	if (code == EXIT_DONE && json_object_set_new(*ret_description, "schemes", schemes) != 0)
		code = fail(schemes_path, RESULT_MEMORY, NULL);
	return code;
}

static int run_signals_load(const struct invocation *invocation)
{
	static const struct output_member members[] = {
		{"decoderManifest.syncId", "decoder manifest"},
		{"decoderManifest.signals", "signals"},
		{"collectionSchemes.syncId", "scheme list"},
		{"collectionSchemes.schemes", "schemes"},
	};
	API_CONNECTION_CLEANUP struct api_connection connection = {0};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	JSON_CLEANUP json_t *description = NULL;
	int code = read_description(invocation, &description);

	if (code != EXIT_DONE)
		return code;
	char *body = json_dumps(description, JSON_COMPACT | JSON_ENCODE_ANY);
	if (body == NULL)
		return fail("building the request", RESULT_MEMORY, NULL);
	code = api_connection_open(invocation, &connection);
	if (code == EXIT_DONE)
		code = api_request(&connection, "POST", PATH, "application/json", span_of_text(body), &answer);
	wiping_free(body);
	if (code == EXIT_DONE && !output_json(invocation, &answer))
		output_members(answer.json, members, sizeof members / sizeof members[0]);
	return code;
}

const struct command command_signals_load = {
	.words = "signals load",
	.arguments = "FILE",
	.summary = "say what FleetWise edge agents decode and send",
	.description =
		"FILE describes the signals of the tenant's vehicles, by their COVESA VSS names, and how an agent\n"
		"reads them from CAN and OBD. Agents get it when they next check in, in place of what they had;\n"
		"loading the same file again changes nothing for them. Without schemes every signal is sent, every\n"
		"ten seconds.",
	.run = run_signals_load,
	.options = {{"schemes", "FILE", "what is sent and when: an array of schemes", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

static int run_signals_list(const struct invocation *invocation)
{
	static const struct output_member columns[] = {
		{"kind", "kind"}, {"syncId", "sync ID"}, {"createdAt", "loaded"}};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	int code = request_get(invocation, PATH, &answer);

	if (code == EXIT_DONE && !output_json(invocation, &answer))
		output_table(json_object_get(answer.json, "documents"), columns, sizeof columns / sizeof columns[0]);
	return code;
}

const struct command command_signals_list = {
	.words = "signals list",
	.arguments = "",
	.summary = "show what FleetWise edge agents are to have",
	.description = "One decoder manifest and one set of collection schemes, or nothing.",
	.run = run_signals_list,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};
