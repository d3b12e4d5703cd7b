/*
 * The body of a single lookup, read without a JSON tree: most of what this service is asked, day in, day out, is one
 * short object of two plain strings, and a tree of a dozen allocations for it costs more than anything else done to
 * such a request. What is not plain is left to body_read() and its sentences.
 */
#ifndef VINVEIL_API_LOOKUP_BODY_H
#define VINVEIL_API_LOOKUP_BODY_H

#include "base/span.h"
#include "vehicle/vin.h"

/*
 * True when the body is an object of "purpose" and one of "hashedVin" and "vin", in either order, both strings of
 * printable ASCII without escapes, and the vehicle's name is good: then body_read() and what follows it would find
 * the same. False says nothing about the body. The purpose lies in the body; the caller wipes the hash.
 */
bool lookup_body_scan(struct span body, struct span *ret_purpose, struct hashed_vin *ret_hash);

#endif
