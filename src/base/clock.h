/*
 * Time is a port: production reads the kernel, tests set it. Wall time is UTC milliseconds since 1970
 * (what is stored and shown); monotonic time only ever measures intervals. Thread-safe.
 */
#ifndef VINVEIL_BASE_CLOCK_H
#define VINVEIL_BASE_CLOCK_H

#include <stdint.h>

struct clock {
	int64_t (*now_ms)(struct clock *clock);
	int64_t (*monotonic_ms)(struct clock *clock);
};

/* The machine's clock; never NULL, never released. */
struct clock *clock_system(void);

static inline int64_t clock_now_ms(struct clock *clock)
{
	return clock->now_ms(clock);
}

static inline int64_t clock_monotonic_ms(struct clock *clock)
{
	return clock->monotonic_ms(clock);
}

#endif
