/*
 * CRC-32C (Castagnoli), as in RFC 3720 appendix B.4: by the processor where it can, else eight bytes a step from
 * tables. Against damage, not against forgery. Thread-safe.
 */
#ifndef VINVEIL_ADAPTERS_SPOOL_CRC32C_H
#define VINVEIL_ADAPTERS_SPOOL_CRC32C_H

#include "base/span.h"

/* Goes on from what the bytes before gave; 0 to begin. */
uint32_t crc32c(uint32_t before, struct span bytes);
/* The table's way, whatever the processor can: the other one's oracle. */
uint32_t crc32c_by_table(uint32_t before, struct span bytes);

#endif
