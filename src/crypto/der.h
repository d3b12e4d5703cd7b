/*
 * Strict framing in front of OpenSSL's lenient parser: DER (X.690 section 10) and PEM (RFC 7468). Private to
 * crypto/.
 */
#ifndef VINVEIL_CRYPTO_DER_H
#define VINVEIL_CRYPTO_DER_H

#include "base/buf.h"

/*
 * One value that fills `bytes` exactly: every length definite, in its shortest form and within its parent,
 * tags of one byte, nesting at most 16. Content is not judged.
 */
bool der_is_framed(struct span bytes);

#define DER_INTEGER    0x02
#define DER_BIT_STRING 0x03
#define DER_OBJECT     0x06
#define DER_UTF8       0x0c
#define DER_PRINTABLE  0x13
#define DER_IA5	       0x16
#define DER_SEQUENCE   0x30
#define DER_SET	       0x31
#define DER_CONTEXT_0  0xa0 /* constructed */

/*
 * Takes the next value off `rest`: what is in it, and (ret_whole, unless NULL) the value with its tag and length.
 * False, and nothing taken, when there is none, it has another tag, or is not framed as DER demands.
 */
bool der_take(struct span *rest, uint8_t tag, struct span *ret_content, struct span *ret_whole);

/*
 * The base64 between the first "-----BEGIN label-----" and its END line, decoded. RESULT_ABSENT when there is
 * no such line, RESULT_INVALID when what follows it is damaged or larger than size_max.
 */
MUST_USE enum result pem_decode(struct span text, const char *label, size_t size_max, struct buf *ret_der);
MUST_USE enum result pem_encode(struct span der, const char *label, struct buf *ret_text);

/* Base64 with line breaks and blanks anywhere. */
MUST_USE enum result base64_decode_lines(struct span text, size_t size_max, struct buf *ret_bytes);

#endif
