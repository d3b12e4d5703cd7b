/* Whole frames over a connected socket, for both sides of the protocol. Blocks within the socket's time-outs. */
#ifndef VINVEIL_ADAPTERS_KEYS_KEYD_SOCKET_H
#define VINVEIL_ADAPTERS_KEYS_KEYD_SOCKET_H

#include "base/buf.h"

/* SO_RCVTIMEO and SO_SNDTIMEO. */
MUST_USE enum result keyd_set_timeout(int descriptor, int timeout_ms);

/* RESULT_UNAVAILABLE when the other side has gone or does not read in time. */
MUST_USE enum result keyd_send(int descriptor, struct span frame);

/*
 * Into the empty buf.
 *   RESULT_ABSENT       the other side closed, between two frames
 *   RESULT_EXHAUSTED    nothing came within the time-out
 *   RESULT_UNAVAILABLE  it closed or fell silent in the middle
 *   RESULT_INVALID      not a frame, or more than one: the connection is of no more use
 */
MUST_USE enum result keyd_receive(int descriptor, bool is_answer, struct buf *ret_frame);

#endif
