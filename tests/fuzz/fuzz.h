/*
 * What a harness defines: it feeds the bytes to one reader of untrusted input and aborts (with FUZZ_CHECK)
 * when something is wrong that no sanitizer sees, such as a value that does not survive writing and reading.
 */
#ifndef VINVEIL_TESTS_FUZZ_H
#define VINVEIL_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* libFuzzer's entry point, for one input; always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert() it is there whatever the build. */
#define FUZZ_CHECK(condition)                                                                          \
	do {                                                                                           \
		if (!(condition)) {                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                       \
		}                                                                                      \
	} while (0)

#endif
