/*
 * Randomness is a port: production asks getrandom(2), tests inject. Thread-safe.
 */
#ifndef VINVEIL_BASE_ENTROPY_H
#define VINVEIL_BASE_ENTROPY_H

#include "base/result.h"

#include <stddef.h>

struct entropy {
	enum result (*fill)(struct entropy *entropy, void *ret_bytes, size_t size);
};

/* The kernel's generator, buffered per thread in wiped memory; never NULL, never released. */
struct entropy *entropy_system(void);

/* Anything but RESULT_OK means that nothing random was written: fail closed. */
MUST_USE static inline enum result entropy_fill(struct entropy *entropy, void *ret_bytes, size_t size)
{
	return entropy->fill(entropy, ret_bytes, size);
}

#endif
