/* How a simulated vehicle obeys a remote command. Pure. */
#ifndef VINVEIL_PROGRAMS_VINVEIL_SIMULATE_COMMAND_H
#define VINVEIL_PROGRAMS_VINVEIL_SIMULATE_COMMAND_H

#include "programs/vinveil/simulate_drive.h"

#define COMMAND_TOPIC_SIZE 257

/* Where a request's answer goes: "…/request/json" → "…/response/json". RESULT_INVALID: not a request. */
MUST_USE enum result command_answer_topic(const char *request_topic, char ret_topic[static COMMAND_TOPIC_SIZE]);
/* The command's name from its payload, {"name": …}; empty when it has none. */
void command_read_name(struct span payload, char *ret_name, size_t size);
/* {"status": "IN_PROGRESS"} */
MUST_USE enum result command_write_progress(struct buf *ret_json);
/* Does it, and says what became of it; `failing` (NULL-terminated) names those that do not work today. */
MUST_USE enum result command_obey(struct drive *drive, const char *name, const char *const *failing,
				  struct buf *ret_json);

#endif
