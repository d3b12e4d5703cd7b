/*
 * What a vehicle says became of a command, in AWS IoT's words:
 *
 *   {"status": TEXT, "statusReason"?: {"reasonCode": TEXT, "reasonDescription"?: TEXT}, "result"?: {…}}
 *
 * Pure. Internal to the flows.
 */
#ifndef VINVEIL_VEHICLE_COMMAND_REPORT_H
#define VINVEIL_VEHICLE_COMMAND_REPORT_H

#include "base/arena.h"
#include "vehicle/problem.h"
#include "vehicle/remote_command.h"

struct command_report {
	enum command_status status; /* never CREATED */
	char reason_code[STATUS_REASON_CODE_SIZE], reason_text[STATUS_REASON_TEXT_SIZE];
	const char *result; /* compact JSON, in the arena; NULL: none */
};

/*
 * MALFORMED: no JSON; VALUE_INVALID: JSON, but not this; VIN_NOT_ALLOWED: it holds what looks like a VIN. *ret_detail
 * is then a sentence for the vehicle, which holds nothing of what it said.
 */
enum problem command_report_read(struct span payload, struct arena *arena, struct command_report *ret_report,
				 const char **ret_detail);

#endif
