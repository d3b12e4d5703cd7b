/* Fields that both directions of the protocol have. Private to adapters/gateway/protocol*.c. */
#ifndef VINVEIL_ADAPTERS_GATEWAY_PROTOCOL_FIELDS_H
#define VINVEIL_ADAPTERS_GATEWAY_PROTOCOL_FIELDS_H

#include "adapters/keys/wire.h"
#include "base/text.h"

/* length u16 | printable ASCII. RESULT_INVALID beyond length_max. */
MUST_USE enum result put_short_text(struct buf *buf, const char *text, size_t length_max);
/* NUL-terminated; empty when the reader has failed. */
void get_short_text(struct wire_reader *reader, size_t length_min, char *ret_text, size_t text_size);
/* All that is left, at most size_max. */
struct span get_rest(struct wire_reader *reader, size_t size_max);

#endif
