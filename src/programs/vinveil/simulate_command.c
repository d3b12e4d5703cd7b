#include "programs/vinveil/simulate_command.h"

#include <stdio.h>

#define REQUEST_SUFFIX "/request/json"

static const struct {
	const char *name;
	enum { DO_LOCK, DO_UNLOCK, DO_LOCATE, DO_CLIMATE_ON, DO_CLIMATE_OFF, DO_SIGNAL } what;
} commands[] = {
	{"lock", DO_LOCK},
	{"unlock", DO_UNLOCK},
	{"locate", DO_LOCATE},
	{"climate-on", DO_CLIMATE_ON},
	{"climate-off", DO_CLIMATE_OFF},
	{"honk", DO_SIGNAL},
	{"flash", DO_SIGNAL},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

enum result command_answer_topic(const char *request_topic, char ret_topic[static COMMAND_TOPIC_SIZE])
{
	size_t length = strlen(request_topic), suffix = sizeof REQUEST_SUFFIX - 1;
	if (length <= suffix || strcmp(request_topic + length - suffix, REQUEST_SUFFIX) != 0 ||
	    length + 1 >= COMMAND_TOPIC_SIZE)
		return RESULT_INVALID;
	snprintf(ret_topic, COMMAND_TOPIC_SIZE, "%.*s/response/json", (int)(length - suffix), request_topic);
	return RESULT_OK;
}

void command_read_name(struct span payload, char *ret_name, size_t size)
{
	/* The platform hands on the payload as it was given; this firmware understands these. */
	static const char *const members[] = {"name", "command", "action"};
	JSON_CLEANUP json_t *json = NULL;
	struct span name;
	ret_name[0] = '\0';
	if (json_read(payload, &json, NULL) != RESULT_OK)
		return;
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
		if (json_get_text(json, members[i], size - 1, &name) == RESULT_OK) {
			snprintf(ret_name, size, "%.*s", (int)name.size, (const char *)name.data);
			return;
		}
}

enum result command_write_progress(struct buf *ret_json)
{
	return buf_append_text(ret_json, "{\"status\":\"IN_PROGRESS\"}");
}

static enum result write_refusal(const char *status, const char *code, const char *text, struct buf *ret_json)
{
	return buf_append_format(ret_json,
				 "{\"status\":\"%s\",\"statusReason\":{\"reasonCode\":\"%s\","
				 "\"reasonDescription\":\"%s\"}}",
				 status, code, text);
}

/* AWS IoT's form of results: each value in an object that names its type. */
static enum result write_success(const struct drive *drive, bool is_location, struct buf *ret_json)
{
	TRY(buf_append_text(ret_json, "{\"status\":\"SUCCEEDED\",\"result\":{"));
	if (is_location)
		TRY(buf_append_format(ret_json,
				      "\"latitude\":{\"s\":\"%.6f\"},\"longitude\":{\"s\":\"%.6f\"},"
				      "\"heading\":{\"s\":\"%.0f\"},",
				      drive->latitude, drive->longitude, drive->heading_deg));
	return buf_append_format(ret_json, "\"locked\":{\"b\":%s},\"climate\":{\"b\":%s}}}",
				 drive->is_locked ? "true" : "false", drive->is_climate_on ? "true" : "false");
}

enum result command_obey(struct drive *drive, const char *name, const char *const *failing, struct buf *ret_json)
{
	size_t which = 0;
	while (which < COMMANDS && strcmp(commands[which].name, name) != 0)
		which++;
	if (which == COMMANDS)
		return write_refusal("REJECTED", "UNKNOWN_COMMAND", "this vehicle does not know it", ret_json);
	for (; *failing != NULL; failing++)
		if (strcmp(*failing, name) == 0)
			return write_refusal("FAILED", "SIMULATED", "told to fail", ret_json);
	switch (commands[which].what) {
	case DO_UNLOCK:
		if (drive->speed_kmh > 5)
			return write_refusal("REJECTED", "MOVING", "not while it moves", ret_json);
		drive->is_locked = false;
		break;
	case DO_LOCK:
		drive->is_locked = true;
		break;
	case DO_CLIMATE_ON:
	case DO_CLIMATE_OFF:
		drive->is_climate_on = commands[which].what == DO_CLIMATE_ON;
		break;
	case DO_LOCATE:
	case DO_SIGNAL:
		break;
	}
	return write_success(drive, commands[which].what == DO_LOCATE, ret_json);
}
