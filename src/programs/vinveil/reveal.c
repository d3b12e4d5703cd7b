/* `vinveil reveal request`, `approve`, `open`: the break-glass path from Reference ID to VIN, by two persons. */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/request.h"

#include <stdio.h>

static const struct output_member reveal_members[] = {
	{"revealRequestId", "reveal request"},
	{"status", "status"},
	{"expiresAt", "expires"},
};
#define REVEAL_MEMBERS (sizeof reveal_members / sizeof reveal_members[0])

static int run_request(const struct invocation *invocation)
{
	BUF_CLEANUP struct buf body = {0};
	struct json_writer writer;
	const char *purpose = option_get(invocation, "purpose"), *reason = option_get(invocation, "reason");
	if (purpose == NULL || reason == NULL) {
		say_error("a reveal needs --purpose and --reason; both are kept in the audit log");
		return EXIT_USAGE;
	}
	json_writer_init(&writer, &body);
	json_object_begin(&writer);
	json_member_text(&writer, "referenceId", invocation->arguments[0]);
	json_member_text(&writer, "purpose", purpose);
	json_member_text(&writer, "reason", reason);
	if (option_get(invocation, "ticket") != NULL)
		json_member_text(&writer, "ticket", option_get(invocation, "ticket"));
	json_object_end(&writer);
	return request_post(invocation, "/v1/reveal-requests", &writer, reveal_members, REVEAL_MEMBERS);
}

const struct command command_reveal_request = {
	.words = "reveal request",
	.arguments = "REFERENCE-ID",
	.summary = "ask for a vehicle's VIN",
	.description = "Another person with the scope vin:approve has to approve it; then you can open it once.",
	.run = run_request,
	.options = {{"purpose", "PURPOSE", "why: one of the client's allowed purposes", false},
		    {"reason", "TEXT", "what for, in words; kept in the audit log (no VIN in it)", false},
		    {"ticket", "TEXT", "your own reference: a case or ticket number", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

static int act(const struct invocation *invocation, const char *verb, const struct output_member *members, size_t count)
{
	char path[160];
	snprintf(path, sizeof path, "/v1/reveal-requests/%.64s/%s", invocation->arguments[0], verb);
	return request_post(invocation, path, NULL, members, count);
}

static int run_approve(const struct invocation *invocation)
{
	return act(invocation, "approve", reveal_members, REVEAL_MEMBERS);
}

static int run_open(const struct invocation *invocation)
{
	static const struct output_member members[] = {{"vin", "VIN"}};
	return act(invocation, "open", members, 1);
}

const struct command command_reveal_approve = {
	.words = "reveal approve",
	.arguments = "REVEAL-REQUEST-ID",
	.summary = "approve somebody else's request for a VIN",
	.description = "Nobody can approve what he asked for himself.",
	.run = run_approve,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};

const struct command command_reveal_open = {
	.words = "reveal open",
	.arguments = "REVEAL-REQUEST-ID",
	.summary = "see the VIN of an approved request, once",
	.description = "Only the one who asked can open it, once, before it expires.",
	.run = run_open,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};
