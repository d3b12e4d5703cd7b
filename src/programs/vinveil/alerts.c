/* `vinveil alert list`: suspicious patterns that somebody should look at. */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/request.h"

#include <inttypes.h>

static const struct output_member columns[] = {
	{"at", "at"},
	{"kind", "kind"},
	{"referenceId", "Reference ID"},
	{"detail", "detail"},
};

static int run_list(const struct invocation *invocation)
{
	static const char *const filters[] = {"from", "to", "kind"};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	BUF_CLEANUP struct buf path = {.size_max = 2000};
	int64_t limit;
	if (!option_get_number(invocation, "lines", 1, 1000, 20, &limit))
		return EXIT_USAGE;
	enum result result = buf_append_format(&path, "/v1/alerts?limit=%" PRId64, limit);
	for (size_t i = 0; i < sizeof filters / sizeof filters[0] && result == RESULT_OK; i++)
		if (option_get(invocation, filters[i]) != NULL)
			result = request_append_parameter(&path, filters[i], option_get(invocation, filters[i]));
	if (result != RESULT_OK)
		return fail("the filters", result, NULL);
	int code = request_get(invocation, (const char *)path.data, &answer);
	if (code == EXIT_DONE && !output_json(invocation, &answer))
		output_table(json_object_get(answer.json, "alerts"), columns, sizeof columns / sizeof columns[0]);
	return code;
}

const struct command command_alert_list = {
	.words = "alert list",
	.arguments = "",
	.summary = "show the newest alerts of your tenant",
	.description = "Newest first. An alert says that something looks wrong, as a key that two devices use at once.",
	.run = run_list,
	.options = {{"lines", "N", "how many (default 20, at most 1000)", false},
		    {"kind", "KIND", "only this kind: cloned-key", false},
		    {"from", "TIME", "not before (RFC 3339)", false},
		    {"to", "TIME", "before (RFC 3339)", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};
