#include "programs/vinveil/request.h"

#include <string.h>

int request_post(const struct invocation *invocation, const char *path, struct json_writer *writer,
		 const struct output_member *members, size_t count)
{
	API_CONNECTION_CLEANUP struct api_connection connection = {0};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	struct span body = span_of_text("{}");
	if (writer != NULL) {
		enum result result = json_writer_end(writer);
		if (result != RESULT_OK)
			return fail("building the request", result, NULL);
		body = buf_span(writer->buf);
	}
	int code = api_connection_open(invocation, &connection);
	if (code == EXIT_DONE)
		code = api_request(&connection, "POST", path, "application/json", body, &answer);
	if (code == EXIT_DONE && !output_json(invocation, &answer))
		output_members(answer.json, members, count);
	return code;
}

int request_get(const struct invocation *invocation, const char *path, struct api_answer *ret_answer)
{
	API_CONNECTION_CLEANUP struct api_connection connection = {0};
	int code = api_connection_open(invocation, &connection);
	return code == EXIT_DONE ? api_request(&connection, "GET", path, NULL, (struct span){0}, ret_answer) : code;
}

void request_write_list(const struct invocation *invocation, const char *option, const char *key,
			struct json_writer *writer)
{
	json_key(writer, key);
	json_array_begin(writer);
	for (size_t i = 0; i < invocation->value_count; i++)
		if (strcmp(invocation->values[i].name, option) == 0)
			json_text(writer, span_of_text(invocation->values[i].value));
	json_array_end(writer);
}

enum result request_append_parameter(struct buf *path, const char *name, const char *value)
{
	TRY(buf_append_format(path, "&%s=", name));
	for (; *value != '\0'; value++) {
		bool plain = (*value >= 'a' && *value <= 'z') || (*value >= 'A' && *value <= 'Z') ||
			     (*value >= '0' && *value <= '9') || strchr("-._~", *value) != NULL;
		TRY(plain ? buf_append_byte(path, (uint8_t)*value)
			  : buf_append_format(path, "%%%02X", (unsigned)(unsigned char)*value));
	}
	return RESULT_OK;
}
