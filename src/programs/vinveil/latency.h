/* How long things took: a histogram of microseconds whose steps are 3% wide, so that any number of them takes a few
   kilobytes. */
#ifndef VINVEIL_PROGRAMS_VINVEIL_LATENCY_H
#define VINVEIL_PROGRAMS_VINVEIL_LATENCY_H

#include <stdint.h>

#define LATENCY_STEPS	32 /* a power of two each */
#define LATENCY_BUCKETS (LATENCY_STEPS * 36)

struct latency {
	uint64_t counts[LATENCY_BUCKETS];
	uint64_t total, most_us;
};

void latency_add(struct latency *latency, uint64_t us);
void latency_merge(struct latency *latency, const struct latency *other);
/* Of so many in a thousand (500: the median), the longest; 0 when there are none. */
uint64_t latency_of(const struct latency *latency, unsigned per_mille);

#endif
