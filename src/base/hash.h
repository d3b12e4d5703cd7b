/*
 * A hash for tables in memory whose keys somebody else may choose: keyed with a random number of the process, so that
 * nobody outside makes keys that meet in one place. Never stored, never sent. Thread-safe.
 */
#ifndef VINVEIL_BASE_HASH_H
#define VINVEIL_BASE_HASH_H

#include "base/span.h"

uint64_t hash_bytes(struct span bytes);

#endif
