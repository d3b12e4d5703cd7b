/* DIR/dev.json: where a running development installation is, for tools and tests. */
#ifndef VINVEIL_PROGRAMS_VINVEIL_DEV_JSON_H
#define VINVEIL_PROGRAMS_VINVEIL_DEV_JSON_H

#include "programs/vinveil/installation.h"

struct dev_process {
	const char *name;
	pid_t pid;
};

MUST_USE enum result dev_json_write(const struct installation *installation, const struct dev_process *processes,
				    size_t count, struct note *note);

#endif
