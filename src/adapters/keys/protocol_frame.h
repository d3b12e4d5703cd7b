/* What protocol.c and protocol_answers.c share. */
#ifndef VINVEIL_ADAPTERS_KEYS_PROTOCOL_FRAME_H
#define VINVEIL_ADAPTERS_KEYS_PROTOCOL_FRAME_H

#include "base/buf.h"

#define KEYD_ANSWER_BIT 0x80

/* On an empty buf; the length is filled in by keyd_frame_end(). */
MUST_USE enum result keyd_frame_begin(struct buf *frame, uint8_t call, size_t size_max);
MUST_USE enum result keyd_frame_end(struct buf *frame);

#endif
