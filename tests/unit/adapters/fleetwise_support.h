/* The vectors of tests/vectors/fleetwise.tsv, made by tests/vectors/fleetwise.py. */
#ifndef VINVEIL_TESTS_FLEETWISE_SUPPORT_H
#define VINVEIL_TESTS_FLEETWISE_SUPPORT_H

#include "../cmocka_all.h"
#include "adapters/fleetwise/decode.h"

#define AT_MS INT64_C(1767225600000) /* the vectors' event time, 2026-01-01 */

/* A group's setup and teardown. */
int read_vectors(void **state);
int release_vectors(void **state);
struct span vector(const char *name);

#endif
