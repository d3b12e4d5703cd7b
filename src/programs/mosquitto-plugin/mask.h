/*
 * What must not come to a spool: tokens (runs of letters and digits) of a VIN's shape, and those that hold 64 hex
 * digits in a row. They are overwritten with 'X' where they stand, so that a payload keeps its length and, as text, its
 * form. Made to cost little: a payload without long runs is looked at every seventeenth byte.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_MASK_H
#define VINVEIL_MOSQUITTO_PLUGIN_MASK_H

#include "base/span.h"

/* Returns how many tokens were overwritten; letters that JSON writes as \u00XX are found, too. */
size_t mask_text(uint8_t *bytes, size_t size);
/* The same for protobuf, plain or in snappy: there a VIN also stands behind its own length, whatever follows it. */
size_t mask_binary(uint8_t *bytes, size_t size);
/* How many mask_text() would overwrite in a text without such escapes: a name. */
size_t mask_count(struct span text);

#endif
