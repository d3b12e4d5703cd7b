#include "base/clock.h"

#include <time.h>

static int64_t read_ms(clockid_t id)
{
	struct timespec at;
	clock_gettime(id, &at); /* cannot fail for these clocks and a valid pointer */
	return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static int64_t system_now_ms(struct clock *clock)
{
	(void)clock;
	return read_ms(CLOCK_REALTIME);
}

static int64_t system_monotonic_ms(struct clock *clock)
{
	(void)clock;
	return read_ms(CLOCK_MONOTONIC);
}

struct clock *clock_system(void)
{
	static struct clock system = {.now_ms = system_now_ms, .monotonic_ms = system_monotonic_ms};
	return &system;
}
