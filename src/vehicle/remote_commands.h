/*
 * Remote commands (product flow 5). Applications send and read them by Reference ID; what the vehicle answers moves the
 * status table (remote_command.h); the platform marks those whose time is over.
 *
 * A command is written first and handed to the gateway after its commit. Whatever is lost between, or while the vehicle
 * is away, is sent again when the vehicle subscribes, and when the gateway's connection is new: a vehicle may see a
 * command twice, under one ID.
 */
#ifndef VINVEIL_VEHICLE_REMOTE_COMMANDS_H
#define VINVEIL_VEHICLE_REMOTE_COMMANDS_H

#include "vehicle/flow.h"

#include <jansson.h>

#define COMMANDS_PAGE_MAX    100
#define COMMANDS_WAITING_MAX 100 /* of a vehicle, at once */
#define COMMAND_VERSIONS_MAX 256 /* reports of progress beyond it are refused: each is a change with its leaf */

struct command_input {
	struct span name;
	const json_t *payload; /* NULL: none */
	int64_t timeout_s;     /* 0: the default */
	/* The ID to use, so that a request which is repeated finds what it has made; NULL: a fresh one. */
	const struct uuid *id;
};

/*
 * The event's subject names command and ID. UNAVAILABLE (nothing written) without a gateway; VALUE_INVALID and
 * VIN_NOT_ALLOWED with a detail; NOT_FOUND; VEHICLE_NOT_COMMANDABLE; COMMAND_LIMIT.
 */
enum problem remote_commands_send(struct flow_request *request, const struct uuid *reference_id,
				  const struct command_input *input, struct remote_command *ret_command);
enum problem remote_commands_get(struct flow_request *request, const struct uuid *reference_id,
				 const struct uuid *command_id, struct remote_command *ret_command);

struct command_page {
	struct remote_command *commands; /* newest first */
	size_t count;
	bool has_more; /* the next page begins before the last one's ID */
};
/* before: NULL for the newest. limit 0: the largest page. */
enum problem remote_commands_list(struct flow_request *request, const struct uuid *reference_id,
				  const struct uuid *before, size_t limit, struct command_page *ret_page);

/*
 * What the vehicle says became of it: {"status", "statusReason"? {"reasonCode", "reasonDescription"?}, "result"? {…}}.
 * Saying the same again changes nothing and is no problem. MALFORMED: no JSON; VALUE_INVALID: JSON, but not this;
 * VIN_NOT_ALLOWED; NOT_FOUND; TRANSITION_NOT_ALLOWED. The request's detail says what is wrong.
 */
enum problem remote_commands_report(struct flow_request *request, const struct uuid *reference_id,
				    const struct uuid *command_id, struct span payload);

/*
 * Hands what waits for a vehicle to the gateway: it has subscribed at since_ms. What was created later was handed over
 * when the vehicle could get it already.
 */
MUST_USE enum result remote_commands_resend(const struct platform *platform, const struct tenant_id *tenant,
					    const struct uuid *reference_id, int64_t since_ms, struct note *note);
/* The same for all vehicles: the gateway's connection is new since since_ms. */
MUST_USE enum result remote_commands_resend_all(const struct platform *platform, int64_t since_ms, struct note *note);

/* Marks commands whose time is over TIMED_OUT, each with its leaf; a bounded number a call, *ret_more when there may be
   more to do. */
MUST_USE enum result remote_commands_expire(const struct platform *platform, bool *ret_more, struct note *note);

#endif
