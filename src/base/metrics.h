/*
 * Metrics in Prometheus' text format 0.0.4, for whoever has some to show. Names are written without their common
 * "vinveil_"; counters end in "_total". The first failure sticks, and what follows is left out.
 */
#ifndef VINVEIL_BASE_METRICS_H
#define VINVEIL_BASE_METRICS_H

#include "base/buf.h"

struct metrics {
	struct buf *buf;
	enum result result;
};

/* type: "counter", "gauge", "histogram"; help: one sentence. Samples of a metric with labels follow by hand. */
void metrics_head(struct metrics *metrics, const char *name, const char *type, const char *help);
/* The head, and the one value. */
void metrics_sample(struct metrics *metrics, const char *name, const char *type, const char *help, uint64_t value);

#endif
