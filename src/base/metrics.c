#include "base/metrics.h"

#include <inttypes.h>

void metrics_head(struct metrics *metrics, const char *name, const char *type, const char *help)
{
	if (metrics->result == RESULT_OK)
		metrics->result = buf_append_format(metrics->buf, "# HELP vinveil_%s %s\n# TYPE vinveil_%s %s\n", name,
						    help, name, type);
}

void metrics_sample(struct metrics *metrics, const char *name, const char *type, const char *help, uint64_t value)
{
	metrics_head(metrics, name, type, help);
	if (metrics->result == RESULT_OK)
		metrics->result = buf_append_format(metrics->buf, "vinveil_%s %" PRIu64 "\n", name, value);
}
