#include "vehicle/remote_command.h"

static const char *const status_names[] = {
	[COMMAND_CREATED] = "CREATED", [COMMAND_IN_PROGRESS] = "IN_PROGRESS", [COMMAND_SUCCEEDED] = "SUCCEEDED",
	[COMMAND_FAILED] = "FAILED",   [COMMAND_REJECTED] = "REJECTED",	      [COMMAND_TIMED_OUT] = "TIMED_OUT",
};
#define STATUS_COUNT (sizeof(status_names) / sizeof(status_names[0]))

const char *command_status_name(enum command_status status)
{
	return status_names[status];
}

enum result command_status_parse(struct span text, enum command_status *ret_status)
{
	for (size_t i = COMMAND_CREATED; i < STATUS_COUNT; i++) {
		if (!span_is_text(text, status_names[i]))
			continue;
		*ret_status = (enum command_status)i;
		return RESULT_OK;
	}
	return RESULT_INVALID;
}

static bool is_name_character(uint8_t byte, bool is_first)
{
	if ((byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9'))
		return true;
	return !is_first && (byte == '.' || byte == '_' || byte == '-');
}

enum result command_name_parse(struct span text, char ret_name[static COMMAND_NAME_LENGTH_MAX + 1])
{
	if (text.size == 0 || text.size > COMMAND_NAME_LENGTH_MAX)
		return RESULT_INVALID;
	for (size_t i = 0; i < text.size; i++)
		if (!is_name_character(text.data[i], i == 0))
			return RESULT_INVALID;
	memset(ret_name, 0, COMMAND_NAME_LENGTH_MAX + 1);
	memcpy(ret_name, text.data, text.size);
	return RESULT_OK;
}

/* ---- the status table ------------------------------------------------------------------------------- */

#define SET(status) (1u << (status))
#define ENDS	    (SET(COMMAND_SUCCEEDED) | SET(COMMAND_FAILED) | SET(COMMAND_REJECTED) | SET(COMMAND_TIMED_OUT))

/* Status × reporter → the statuses that may follow. What is final never comes here. */
static const uint8_t transitions[STATUS_COUNT][2] = {
	[COMMAND_CREATED] = {[COMMAND_REPORTED_BY_VEHICLE] = SET(COMMAND_IN_PROGRESS) | ENDS,
			     [COMMAND_REPORTED_BY_PLATFORM] = SET(COMMAND_TIMED_OUT)},
	[COMMAND_IN_PROGRESS] = {[COMMAND_REPORTED_BY_VEHICLE] = SET(COMMAND_IN_PROGRESS) | ENDS,
				 [COMMAND_REPORTED_BY_PLATFORM] = SET(COMMAND_TIMED_OUT)},
	/* the platform's; the vehicle may say how it ended after all, but not that it has only begun */
	[COMMAND_TIMED_OUT] = {[COMMAND_REPORTED_BY_VEHICLE] = ENDS},
};

enum result command_transition(const struct remote_command *command, enum command_status next,
			       enum command_reporter reporter, bool *ret_is_final)
{
	if (command->is_final || (transitions[command->status][reporter] & SET(next)) == 0)
		return RESULT_CONFLICT;
	*ret_is_final = reporter == COMMAND_REPORTED_BY_VEHICLE && next != COMMAND_IN_PROGRESS;
	return RESULT_OK;
}
