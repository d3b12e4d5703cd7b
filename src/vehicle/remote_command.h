/*
 * Remote commands (product flow 5): the record and its status table, after AWS IoT's rules. A time-out by the platform
 * (expires_at_ms has passed) is not final: the vehicle may still report what became of it. One that the vehicle
 * reports is.
 */
#ifndef VINVEIL_VEHICLE_REMOTE_COMMAND_H
#define VINVEIL_VEHICLE_REMOTE_COMMAND_H

#include "vehicle/vehicle.h"

#define COMMAND_NAME_LENGTH_MAX	  64 /* [A-Za-z0-9][A-Za-z0-9._-]* */
#define COMMAND_PAYLOAD_SIZE_MAX  ((size_t)8 << 10)
#define COMMAND_RESULT_SIZE_MAX	  ((size_t)8 << 10)
#define COMMAND_TIMEOUT_DEFAULT_S 60
#define COMMAND_TIMEOUT_MAX_S	  ((int64_t)7 * 24 * 3600)
#define STATUS_REASON_CODE_SIZE	  65
#define STATUS_REASON_TEXT_SIZE	  1025

/* Stored: never renumber. */
enum command_status {
	COMMAND_CREATED = 1,
	COMMAND_IN_PROGRESS = 2,
	COMMAND_SUCCEEDED = 3,
	COMMAND_FAILED = 4,
	COMMAND_REJECTED = 5,
	COMMAND_TIMED_OUT = 6,
};

struct remote_command {
	struct uuid id;
	struct tenant_id tenant;
	struct uuid reference_id;
	char name[COMMAND_NAME_LENGTH_MAX + 1];
	const char *payload; /* JSON text, in the reader's arena; "null" when there is none */
	enum command_status status;
	bool is_final; /* nothing changes it any more; a TIMED_OUT by the platform is not final */
	char reason_code[STATUS_REASON_CODE_SIZE], reason_text[STATUS_REASON_TEXT_SIZE]; /* empty: none */
	const char *result; /* JSON text, in the reader's arena; NULL: none */
	char created_by[CLIENT_ID_LENGTH_MAX + 1];
	int64_t created_at_ms, updated_at_ms, expires_at_ms;
	uint32_t version; /* 1 at creation, +1 a change */
};

const char *command_status_name(enum command_status status); /* "IN_PROGRESS" */
MUST_USE enum result command_status_parse(struct span text, enum command_status *ret_status);
/* RESULT_INVALID. */
MUST_USE enum result command_name_parse(struct span text, char ret_name[static COMMAND_NAME_LENGTH_MAX + 1]);

enum command_reporter { COMMAND_REPORTED_BY_VEHICLE, COMMAND_REPORTED_BY_PLATFORM };

/*
 * The status table. RESULT_CONFLICT when the command, as it stands, cannot go there. IN_PROGRESS may follow itself,
 * with another reason. The platform reports nothing but TIMED_OUT.
 */
MUST_USE enum result command_transition(const struct remote_command *command, enum command_status next,
					enum command_reporter reporter, bool *ret_is_final);

#endif
