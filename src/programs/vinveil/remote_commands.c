/* `vinveil command send`, `command show`: remote commands and what became of them. */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/request.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_DEFAULT_S 60
#define TIMEOUT_MAX_S	  604800
#define GRACE_MS	  ((int64_t)10000) /* for the platform to say that the time is over */
#define POLL_FIRST_MS	  100
#define POLL_MAX_MS	  1000
#define PATH_TEXT_SIZE	  200
#define RESULT_TEXT_SIZE  65536 /* of 8 KiB, each byte an escape at worst */

static const struct output_member members[] = {
	{"commandId", "command ID"},
	{"name", "name"},
	{"status", "status"},
	{"statusReason.reasonCode", "reason"},
	{"statusReason.reasonDescription", "because"},
	{"createdAt", "created"},
	{"updatedAt", "updated"},
};

/* The vehicle's own words: nothing of them reaches the terminal but printable ASCII. */
static void show_result(const json_t *result)
{
	char text[RESULT_TEXT_SIZE];
	size_t size = json_dumpb(result, text, sizeof text, JSON_COMPACT | JSON_ENSURE_ASCII);

	if (size <= sizeof text)
		printf("%-17s %.*s\n", "result", (int)size, text);
}

static void show(const struct invocation *invocation, const struct api_answer *answer)
{
	const json_t *result = json_object_get(answer->json, "result");

	if (output_json(invocation, answer))
		return;
	output_members(answer->json, members, sizeof members / sizeof members[0]);
	if (result != NULL)
		show_result(result);
}

/* ---- send ------------------------------------------------------------------------------------------ */

static int write_payload(const struct invocation *invocation, struct json_writer *writer)
{
	JSON_CLEANUP json_t *json = NULL;
	const char *text = option_get(invocation, "payload");
	struct note note = {0};
	if (text == NULL)
		return EXIT_DONE;
	enum result result = json_read(span_of_text(text), &json, &note);
	if (result != RESULT_OK) {
		say_error("--payload: %s", note.text);
		return EXIT_USAGE;
	}
	json_key(writer, "payload");
	json_raw(writer, span_of_text(text));
	return EXIT_DONE;
}

static int write_body(const struct invocation *invocation, int64_t timeout_s, struct json_writer *writer)
{
	json_object_begin(writer);
	json_member_text(writer, "name", invocation->arguments[1]);
	int code = write_payload(invocation, writer);
	if (code != EXIT_DONE)
		return code;
	json_member_number(writer, "timeoutSeconds", timeout_s);
	json_object_end(writer);
	enum result result = json_writer_end(writer);
	return result == RESULT_OK ? EXIT_DONE : fail("building the request", result, NULL);
}

static bool is_open(const struct api_answer *answer)
{
	const char *status = json_string_value(json_object_get(answer->json, "status"));
	return status != NULL && (strcmp(status, "CREATED") == 0 || strcmp(status, "IN_PROGRESS") == 0);
}

static void sleep_ms(int64_t ms)
{
	const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
	nanosleep(&time, NULL);
}

/* Asks more and more rarely, so that a long wait uses little of the client's rate. */
static int wait_for_outcome(struct api_connection *connection, const char *path, int64_t timeout_s,
			    struct api_answer *answer)
{
	int64_t until_ms = clock_monotonic_ms(clock_system()) + timeout_s * 1000 + GRACE_MS;
	int64_t pause_ms = POLL_FIRST_MS;
	int code = EXIT_DONE;

	while (code == EXIT_DONE && is_open(answer) && clock_monotonic_ms(clock_system()) < until_ms) {
		sleep_ms(pause_ms);
		pause_ms = pause_ms * 2 < POLL_MAX_MS ? pause_ms * 2 : POLL_MAX_MS;
		api_answer_release(answer);
		*answer = (struct api_answer){0};
		code = api_request(connection, "GET", path, NULL, (struct span){0}, answer);
	}
	return code;
}

static int outcome_code(const struct api_answer *answer)
{
	const char *status = json_string_value(json_object_get(answer->json, "status"));
	if (status != NULL && strcmp(status, "SUCCEEDED") == 0)
		return EXIT_DONE;
	say_error("the command did not succeed: %s", status != NULL ? status : "no status");
	return EXIT_FAILED;
}

static int send_and_wait(const struct invocation *invocation, struct span body, int64_t timeout_s)
{
	API_CONNECTION_CLEANUP struct api_connection connection = {0};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	char path[PATH_TEXT_SIZE];
	bool waits = option_is_set(invocation, "wait");
	int code = api_connection_open(invocation, &connection);

	snprintf(path, sizeof path, "/v1/vehicles/%.64s/commands", invocation->arguments[0]);
	if (code == EXIT_DONE)
		code = api_request(&connection, "POST", path, "application/json", body, &answer);
	if (code == EXIT_DONE && waits) {
		const char *id = json_string_value(json_object_get(answer.json, "commandId"));
		snprintf(path, sizeof path, "/v1/vehicles/%.64s/commands/%.64s", invocation->arguments[0],
			 id != NULL ? id : "");
		code = wait_for_outcome(&connection, path, timeout_s, &answer);
	}
	if (code != EXIT_DONE)
		return code;
	show(invocation, &answer);
	return waits ? outcome_code(&answer) : EXIT_DONE;
}

static int run_send(const struct invocation *invocation)
{
	BUF_CLEANUP struct buf body = {.size_max = 65536};
	struct json_writer writer;
	int64_t timeout_s;
	if (!option_get_number(invocation, "timeout", 1, TIMEOUT_MAX_S, TIMEOUT_DEFAULT_S, &timeout_s))
		return EXIT_USAGE;
	json_writer_init(&writer, &body);
	int code = write_body(invocation, timeout_s, &writer);
	return code == EXIT_DONE ? send_and_wait(invocation, buf_span(&body), timeout_s) : code;
}

const struct command command_command_send = {
	.words = "command send",
	.arguments = "REFERENCE-ID NAME",
	.summary = "send a command to a vehicle",
	.description = "The vehicle gets the payload as it is; without one it gets the name. A vehicle that is away\n"
		       "gets the command when it is back, until its time is over. With --wait this waits for the\n"
		       "outcome, and succeeds only if the command did.",
	.run = run_send,
	.options = {{"payload", "JSON", "what the vehicle gets (no VIN in it)", false},
		    {"timeout", "SECONDS", "how long the vehicle has (default 60, at most 604800)", false},
		    {"wait", NULL, "wait for what becomes of it", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

/* ---- show ------------------------------------------------------------------------------------------ */

static int run_show(const struct invocation *invocation)
{
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	char path[PATH_TEXT_SIZE];
	snprintf(path, sizeof path, "/v1/vehicles/%.64s/commands/%.64s", invocation->arguments[0],
		 invocation->arguments[1]);
	int code = request_get(invocation, path, &answer);
	if (code == EXIT_DONE)
		show(invocation, &answer);
	return code;
}

const struct command command_command_show = {
	.words = "command show",
	.arguments = "REFERENCE-ID COMMAND-ID",
	.summary = "show what became of a command",
	.description = "Its status, the reason that the vehicle gave, and its result.",
	.run = run_show,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};
