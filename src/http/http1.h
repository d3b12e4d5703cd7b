/*
 * The HTTP/1.1 reader (RFC 9112): bytes in, events out. It is pure: no descriptor, no clock, no allocation,
 * so it can be tested and fuzzed by itself, and another version's reader can stand in its place.
 *
 * How the bytes are cut into pieces never changes the outcome. It refuses what servers and intermediaries
 * are known to read differently, because every such difference is a smuggled request:
 *   bare CR or LF, folded lines, white space before a colon, NUL and other controls, repeated or odd
 *   Content-Length, Content-Length beside Transfer-Encoding, any coding but one final "chunked", missing or
 *   repeated Host, request targets of other than origin-form, absolute-form or "*".
 */
#ifndef VINVEIL_HTTP_HTTP1_H
#define VINVEIL_HTTP_HTTP1_H

#include "http/http.h"

enum http1_event {
	HTTP1_MORE,    /* all input is consumed and nothing is complete */
	HTTP1_HEAD,    /* the request's head is complete: request is filled; call again for the body, if any */
	HTTP1_DATA,    /* a piece of the body, inside the input */
	HTTP1_END,     /* the request is complete; what remains of the input belongs to the next one */
	HTTP1_REFUSED, /* status and reason say why; the stream is beyond repair */
};

enum http1_state {
	HTTP1_REQUEST_LINE,
	HTTP1_HEADER_LINES,
	HTTP1_BODY_SIZED,
	HTTP1_CHUNK_SIZE_START,
	HTTP1_CHUNK_SIZE,
	HTTP1_CHUNK_EXTENSION,
	HTTP1_CHUNK_SIZE_LF,
	HTTP1_CHUNK_DATA,
	HTTP1_CHUNK_DATA_CR,
	HTTP1_CHUNK_DATA_LF,
	HTTP1_TRAILER_START,
	HTTP1_TRAILER_NAME,
	HTTP1_TRAILER_VALUE,
	HTTP1_TRAILER_LF,
	HTTP1_LAST_LF,
	HTTP1_ENDED,
	HTTP1_STATE_REFUSED,
};

#define HTTP1_CHUNK_LINE_MAX 272  /* a chunk's size and its extensions, which are ignored */
#define HTTP1_TRAILERS_MAX   4096 /* all trailer bytes, which are dropped */
#define HTTP1_METHOD_MAX     32

struct http1_reader {
	struct http_request *request;
	uint8_t *head; /* HTTP_HEAD_SIZE_MAX bytes of the caller's; request points into them */
	size_t head_size;
	size_t line_start;
	enum http1_state state;
	uint64_t remaining;  /* of a sized body or of the current chunk */
	size_t framing_size; /* bytes of the current chunk line, or of the trailers */
	bool skipped_line;   /* the one empty line tolerated before a request line */
	bool has_host, has_content_length, has_transfer_encoding;
	bool chunked_seen, unknown_coding_seen;
	bool close; /* the client wants no further request on this connection, or is of HTTP/1.0 */
	bool is_http10;
	bool expects_continue; /* Expect: 100-continue */
	int status;
	const char *reason; /* a constant sentence */
};

/* Ready for one request. head must stay in place as long as request is used. */
void http1_reader_init(struct http1_reader *reader, struct http_request *request, uint8_t *head);

/* Consumes from the front of *input up to the next event. ret_data is set for HTTP1_DATA alone. */
enum http1_event http1_read(struct http1_reader *reader, struct span *input, struct span *ret_data);

/* Something of the request has arrived. */
static inline bool http1_has_begun(const struct http1_reader *reader)
{
	return reader->head_size > 0;
}

static inline bool http1_is_in_head(const struct http1_reader *reader)
{
	return reader->state <= HTTP1_HEADER_LINES;
}

#endif
