/* What most API commands do: build a JSON body, send it, print the answer. */
#ifndef VINVEIL_PROGRAMS_VINVEIL_REQUEST_H
#define VINVEIL_PROGRAMS_VINVEIL_REQUEST_H

#include "programs/vinveil/output.h"

/* Posts what the writer made (NULL: no body) and prints the members named. Returns the exit code. */
int request_post(const struct invocation *invocation, const char *path, struct json_writer *writer,
		 const struct output_member *members, size_t count);

/* Gets; the answer is the caller's. Returns the exit code. */
int request_get(const struct invocation *invocation, const char *path, struct api_answer *ret_answer);

/* "key": [every value of the repeatable option]. */
void request_write_list(const struct invocation *invocation, const char *option, const char *key,
			struct json_writer *writer);

/* Appends "&name=value" percent-encoded, so that no value can add a parameter of its own. */
MUST_USE enum result request_append_parameter(struct buf *path, const char *name, const char *value);

#endif
