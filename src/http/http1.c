#include "http/http1.h"

#include <strings.h>

/* What a byte may be part of; one table serves every loop over bytes. */
enum {
	CHAR_TOKEN = 1,	 /* tchar, RFC 9110 section 5.6.2 */
	CHAR_VALUE = 2,	 /* field-vchar, SP, HTAB; obs-text too, which is opaque */
	CHAR_TARGET = 4, /* pchar, "/" and "?" of RFC 3986 section 3, "%" as it stands */
	CHAR_HOST = 8,	 /* uri-host and port */
};

#define UNRESERVED (CHAR_TOKEN | CHAR_VALUE | CHAR_TARGET | CHAR_HOST)

static const uint8_t char_class[256] = {
	['\t'] = CHAR_VALUE,
	[' '] = CHAR_VALUE,
	['!'] = UNRESERVED,
	['"'] = CHAR_VALUE,
	['#'] = CHAR_TOKEN | CHAR_VALUE,
	['$'] = UNRESERVED,
	['%'] = UNRESERVED,
	['&'] = UNRESERVED,
	['\''] = UNRESERVED,
	['('] = CHAR_VALUE | CHAR_TARGET | CHAR_HOST,
	[')'] = CHAR_VALUE | CHAR_TARGET | CHAR_HOST,
	['*'] = UNRESERVED,
	['+'] = UNRESERVED,
	[','] = CHAR_VALUE | CHAR_TARGET | CHAR_HOST,
	['-'] = UNRESERVED,
	['.'] = UNRESERVED,
	['/'] = CHAR_VALUE | CHAR_TARGET,
	['0' ... '9'] = UNRESERVED,
	[':'] = CHAR_VALUE | CHAR_TARGET | CHAR_HOST,
	[';'] = CHAR_VALUE | CHAR_TARGET | CHAR_HOST,
	['<'] = CHAR_VALUE,
	['='] = CHAR_VALUE | CHAR_TARGET | CHAR_HOST,
	['>'] = CHAR_VALUE,
	['?'] = CHAR_VALUE | CHAR_TARGET,
	['@'] = CHAR_VALUE | CHAR_TARGET,
	['A' ... 'Z'] = UNRESERVED,
	['['] = CHAR_VALUE | CHAR_HOST,
	['\\'] = CHAR_VALUE,
	[']'] = CHAR_VALUE | CHAR_HOST,
	['^'] = CHAR_TOKEN | CHAR_VALUE,
	['_'] = UNRESERVED,
	['`'] = CHAR_TOKEN | CHAR_VALUE,
	['a' ... 'z'] = UNRESERVED,
	['{'] = CHAR_VALUE,
	['|'] = CHAR_TOKEN | CHAR_VALUE,
	['}'] = CHAR_VALUE,
	['~'] = UNRESERVED,
	[0x80 ... 0xff] = CHAR_VALUE,
};

static bool is_char(uint8_t byte, unsigned class)
{
	return (char_class[byte] & class) != 0;
}

static bool is_all(struct span text, unsigned class)
{
	for (size_t i = 0; i < text.size; i++)
		if (!is_char(text.data[i], class))
			return false;
	return true;
}

static uint8_t to_lower(uint8_t byte)
{
	return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

static bool is_word(struct span text, const char *word)
{
	return text.size == strlen(word) && strncasecmp((const char *)text.data, word, text.size) == 0;
}

static struct span trim(struct span text)
{
	while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
		text = span_of(text.data + 1, text.size - 1);
	while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
		text.size--;
	return text;
}

/* Takes the next element off a comma-separated list; false at its end. Empty elements are skipped. */
static bool list_next(struct span *list, struct span *ret_element)
{
	while (list->size > 0) {
		const uint8_t *comma = memchr(list->data, ',', list->size);
		size_t size = comma != NULL ? (size_t)(comma - list->data) : list->size;
		size_t taken = comma != NULL ? size + 1 : size;
		struct span element = trim(span_of(list->data, size));
		*list = span_of(list->data + taken, list->size - taken);
		if (element.size > 0) {
			*ret_element = element;
			return true;
		}
	}
	return false;
}

static bool refuse(struct http1_reader *reader, int status, const char *reason)
{
	reader->state = HTTP1_STATE_REFUSED;
	reader->status = status;
	reader->reason = reason;
	return false;
}

void http1_reader_init(struct http1_reader *reader, struct http_request *request, uint8_t *head)
{
	*reader = (struct http1_reader){.request = request, .head = head};
	/* Not the whole struct: its header array is large, and header_count says how much of it counts. */
	request->method = HTTP_METHOD_OTHER;
	request->path = request->query = span_of(NULL, 0);
	request->header_count = 0;
	request->has_body = request->is_chunked = false;
	request->content_length = 0;
}

/* ---- request line ---------------------------------------------------------------------------------- */

static enum http_method method_of(struct span name)
{
	static const struct {
		const char *name;
		enum http_method method;
	} methods[] = {
		{"GET", HTTP_GET},     {"POST", HTTP_POST},	{"HEAD", HTTP_HEAD},	   {"PUT", HTTP_PUT},
		{"PATCH", HTTP_PATCH}, {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS},
	};
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (span_is_text(name, methods[i].name))
			return methods[i].method;
	return HTTP_METHOD_OTHER;
}

static bool read_version(struct http1_reader *reader, struct span version)
{
	if (span_is_text(version, "HTTP/1.1"))
		return true;
	if (span_is_text(version, "HTTP/1.0")) {
		reader->is_http10 = reader->close = true;
		return true;
	}
	const uint8_t *text = version.data;
	bool is_version = version.size == 8 && memcmp(text, "HTTP/", 5) == 0 && text[5] >= '0' && text[5] <= '9' &&
			  text[6] == '.' && text[7] >= '0' && text[7] <= '9';
	if (is_version)
		return refuse(reader, 505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
	return refuse(reader, 400, "The request line does not end in an HTTP version.");
}

/* "http://authority" taken off the front of an absolute-form target; what is left starts with '/' or '?', or is empty.
 */
static bool strip_authority(struct span *target)
{
	size_t scheme_size = 0;
	if (target->size > 7 && strncasecmp((const char *)target->data, "http://", 7) == 0)
		scheme_size = 7;
	else if (target->size > 8 && strncasecmp((const char *)target->data, "https://", 8) == 0)
		scheme_size = 8;
	else
		return false;
	size_t end = scheme_size;
	while (end < target->size && is_char(target->data[end], CHAR_HOST))
		end++;
	if (end == scheme_size || (end < target->size && target->data[end] != '/' && target->data[end] != '?'))
		return false;
	*target = span_of(target->data + end, target->size - end);
	return true;
}

static bool read_target(struct http1_reader *reader, struct span target)
{
	struct http_request *request = reader->request;
	if (target.size > HTTP_TARGET_SIZE_MAX)
		return refuse(reader, 414, "The request target is longer than 2048 bytes.");
	if (span_is_text(target, "*") && request->method == HTTP_OPTIONS) {
		request->path = target;
		return true;
	}
	bool is_origin_form = target.size > 0 && target.data[0] == '/';
	if (!is_origin_form && !strip_authority(&target))
		return refuse(reader, 400, "The request target is neither a path nor an http(s) URL.");
	if (!is_all(target, CHAR_TARGET))
		return refuse(reader, 400, "The request target holds a character that must be percent-encoded.");

	const uint8_t *mark = target.size > 0 ? memchr(target.data, '?', target.size) : NULL;
	size_t path_size = mark != NULL ? (size_t)(mark - target.data) : target.size;
	request->path = path_size > 0 ? span_of(target.data, path_size) : span_of("/", 1);
	if (mark != NULL)
		request->query = span_of(mark + 1, target.size - path_size - 1);
	return true;
}

static bool read_request_line(struct http1_reader *reader, struct span line)
{
	const uint8_t *space = memchr(line.data, ' ', line.size);
	size_t method_size = space != NULL ? (size_t)(space - line.data) : 0;
	struct span method = span_of(line.data, method_size);
	if (method_size == 0 || method_size > HTTP1_METHOD_MAX || !is_all(method, CHAR_TOKEN))
		return refuse(reader, 400, "The request line does not begin with a method.");
	struct span rest = span_of(space + 1, line.size - method_size - 1);
	space = rest.size > 0 ? memchr(rest.data, ' ', rest.size) : NULL;
	if (space == NULL)
		return refuse(reader, 400, "The request line does not end in an HTTP version.");
	size_t target_size = (size_t)(space - rest.data);
	if (!read_version(reader, span_of(space + 1, rest.size - target_size - 1)))
		return false;
	if (span_is_text(method, "CONNECT"))
		return refuse(reader, 501, "This server is no proxy: CONNECT is not supported.");
	reader->request->method = method_of(method);
	if (!read_target(reader, span_of(rest.data, target_size)))
		return false;
	reader->state = HTTP1_HEADER_LINES;
	return true;
}

/* ---- header lines ---------------------------------------------------------------------------------- */

static bool read_host(struct http1_reader *reader, struct span value)
{
	if (reader->has_host)
		return refuse(reader, 400, "The Host header stands twice.");
	if (value.size == 0 || !is_all(value, CHAR_HOST))
		return refuse(reader, 400, "The Host header is no host.");
	reader->has_host = true;
	return true;
}

/* RFC 9110 section 8.6: digits alone. 18 of them cannot overflow, and no body is longer. */
static bool read_content_length(struct http1_reader *reader, struct span value)
{
	if (reader->has_content_length)
		return refuse(reader, 400, "The Content-Length header stands twice.");
	if (value.size == 0 || value.size > 18)
		return refuse(reader, 400, "The Content-Length header is no usable number.");
	uint64_t length = 0;
	for (size_t i = 0; i < value.size; i++) {
		if (value.data[i] < '0' || value.data[i] > '9')
			return refuse(reader, 400, "The Content-Length header is no usable number.");
		length = length * 10 + (uint64_t)(value.data[i] - '0');
	}
	reader->has_content_length = true;
	reader->request->content_length = length;
	return true;
}

static bool read_transfer_encoding(struct http1_reader *reader, struct span value)
{
	reader->has_transfer_encoding = true;
	struct span coding;
	while (list_next(&value, &coding)) {
		if (reader->chunked_seen)
			return refuse(reader, 400, "In Transfer-Encoding, chunked must be the last and stand once.");
		if (is_word(coding, "chunked"))
			reader->chunked_seen = true;
		else
			reader->unknown_coding_seen = true;
	}
	return true;
}

static bool read_connection(struct http1_reader *reader, struct span value)
{
	struct span option;
	while (list_next(&value, &option))
		if (is_word(option, "close"))
			reader->close = true;
	return true;
}

/* RFC 9110 section 10.1.1; a client of HTTP/1.0 cannot mean it. */
static bool read_expect(struct http1_reader *reader, struct span value)
{
	if (reader->is_http10)
		return true;
	if (!is_word(value, "100-continue"))
		return refuse(reader, 417, "The only expectation that can be met is 100-continue.");
	reader->expects_continue = true;
	return true;
}

static bool read_special(struct http1_reader *reader, struct span name, struct span value)
{
	switch (name.size) {
	case 4:
		return memcmp(name.data, "host", 4) == 0 ? read_host(reader, value) : true;
	case 6:
		return memcmp(name.data, "expect", 6) == 0 ? read_expect(reader, value) : true;
	case 10:
		return memcmp(name.data, "connection", 10) == 0 ? read_connection(reader, value) : true;
	case 14:
		return memcmp(name.data, "content-length", 14) == 0 ? read_content_length(reader, value) : true;
	case 17:
		return memcmp(name.data, "transfer-encoding", 17) == 0 ? read_transfer_encoding(reader, value) : true;
	default:
		return true;
	}
}

/* line lies in reader->head, so the name can be put into lower case where it stands. */
static bool read_header_line(struct http1_reader *reader, uint8_t *line, size_t size)
{
	if (line[0] == ' ' || line[0] == '\t')
		return refuse(reader, 400, "A header line is folded.");
	size_t name_size = 0;
	while (name_size < size && is_char(line[name_size], CHAR_TOKEN)) {
		line[name_size] = to_lower(line[name_size]);
		name_size++;
	}
	if (name_size == 0 || name_size == size || line[name_size] != ':')
		return refuse(reader, 400, "A header line is not a name, a colon and a value.");
	struct span value = span_of(line + name_size + 1, size - name_size - 1);
	if (!is_all(value, CHAR_VALUE))
		return refuse(reader, 400, "A header value holds a control character.");
	struct http_request *request = reader->request;
	if (request->header_count == HTTP_HEADERS_MAX)
		return refuse(reader, 431, "The request has more than 64 headers.");
	struct http_header *header = &request->headers[request->header_count++];
	*header = (struct http_header){.name = span_of(line, name_size), .value = trim(value)};
	return read_special(reader, header->name, header->value);
}

/* RFC 9112 section 6: what the body's length is, decided once all headers are known. */
static bool finish_head(struct http1_reader *reader)
{
	struct http_request *request = reader->request;
	if (!reader->has_host && !reader->is_http10)
		return refuse(reader, 400, "The Host header is missing.");
	if (reader->has_transfer_encoding && (reader->has_content_length || reader->is_http10))
		return refuse(reader, 400, "Transfer-Encoding cannot stand beside Content-Length or in HTTP/1.0.");
	if (reader->unknown_coding_seen)
		return refuse(reader, 501, "The only transfer coding spoken here is chunked.");
	if (reader->has_transfer_encoding && !reader->chunked_seen)
		return refuse(reader, 400, "The Transfer-Encoding header is empty.");

	request->is_chunked = reader->chunked_seen;
	request->has_body = request->is_chunked || request->content_length > 0;
	reader->remaining = request->content_length;
	if (request->is_chunked)
		reader->state = HTTP1_CHUNK_SIZE_START;
	else
		reader->state = request->has_body ? HTTP1_BODY_SIZED : HTTP1_ENDED;
	return true;
}

/* A line of the head is complete in reader->head. True when it was the last one. */
static bool read_head_line(struct http1_reader *reader)
{
	uint8_t *line = reader->head + reader->line_start;
	size_t size = reader->head_size - reader->line_start;
	if (size < 2 || line[size - 2] != '\r')
		return refuse(reader, 400, "A line ends in LF alone instead of CR LF.");
	size -= 2;
	reader->line_start = reader->head_size;
	if (reader->state == HTTP1_HEADER_LINES) {
		if (size == 0)
			return finish_head(reader);
		(void)read_header_line(reader, line, size);
		return false;
	}
	if (size > 0) {
		(void)read_request_line(reader, span_of(line, size));
		return false;
	}
	/* RFC 9112 section 2.2: one empty line before a request line is forgiven. */
	if (reader->skipped_line)
		return refuse(reader, 400, "Empty lines stand before the request line.");
	reader->skipped_line = true;
	reader->head_size = reader->line_start = 0;
	return false;
}

static enum http1_event refuse_long_head(struct http1_reader *reader)
{
	if (reader->state == HTTP1_REQUEST_LINE)
		(void)refuse(reader, 414, "The request target is longer than 2048 bytes.");
	else
		(void)refuse(reader, 431, "The request's headers are longer than 16384 bytes.");
	return HTTP1_REFUSED;
}

static enum http1_event read_head(struct http1_reader *reader, struct span *input)
{
	while (input->size > 0) {
		size_t room = HTTP_HEAD_SIZE_MAX - reader->head_size;
		size_t size = input->size < room ? input->size : room;
		const uint8_t *line_feed = size > 0 ? memchr(input->data, '\n', size) : NULL;
		if (line_feed != NULL)
			size = (size_t)(line_feed - input->data) + 1;
		memcpy(reader->head + reader->head_size, input->data, size);
		reader->head_size += size;
		*input = span_of(input->data + size, input->size - size);
		if (line_feed != NULL && read_head_line(reader))
			return HTTP1_HEAD;
		if (reader->state == HTTP1_STATE_REFUSED)
			return HTTP1_REFUSED;
		if (reader->head_size == HTTP_HEAD_SIZE_MAX)
			return refuse_long_head(reader);
	}
	return HTTP1_MORE;
}

/* ---- body ------------------------------------------------------------------------------------------ */

static enum http1_event read_data(struct http1_reader *reader, struct span *input, enum http1_state next,
				  struct span *ret_data)
{
	size_t size = input->size < reader->remaining ? input->size : (size_t)reader->remaining;
	*ret_data = span_of(input->data, size);
	*input = span_of(input->data + size, input->size - size);
	reader->remaining -= size;
	if (reader->remaining == 0)
		reader->state = next;
	return HTTP1_DATA;
}

static int hex_digit(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte = to_lower(byte);
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool read_chunk_size(struct http1_reader *reader, uint8_t byte)
{
	int digit = hex_digit(byte);
	if (digit >= 0) {
		if (reader->remaining >> 56 != 0)
			return refuse(reader, 400, "A chunk's size is no usable number.");
		reader->remaining = reader->remaining << 4 | (uint64_t)digit;
		reader->state = HTTP1_CHUNK_SIZE;
		return true;
	}
	if (reader->state == HTTP1_CHUNK_SIZE_START || (byte != ';' && byte != '\r'))
		return refuse(reader, 400, "A chunk's size is no usable number.");
	reader->state = byte == ';' ? HTTP1_CHUNK_EXTENSION : HTTP1_CHUNK_SIZE_LF;
	return true;
}

static bool end_chunk_line(struct http1_reader *reader)
{
	reader->framing_size = 0;
	reader->state = reader->remaining > 0 ? HTTP1_CHUNK_DATA : HTTP1_TRAILER_START;
	return true;
}

static bool read_trailer(struct http1_reader *reader, uint8_t byte)
{
	switch (reader->state) {
	case HTTP1_TRAILER_START:
		if (byte == '\r') {
			reader->state = HTTP1_LAST_LF;
			return true;
		}
		reader->state = HTTP1_TRAILER_NAME;
		return is_char(byte, CHAR_TOKEN) || refuse(reader, 400, "A trailer line is malformed.");
	case HTTP1_TRAILER_NAME:
		if (byte == ':')
			reader->state = HTTP1_TRAILER_VALUE;
		else if (!is_char(byte, CHAR_TOKEN))
			return refuse(reader, 400, "A trailer line is malformed.");
		return true;
	default: /* HTTP1_TRAILER_VALUE */
		if (byte == '\r')
			reader->state = HTTP1_TRAILER_LF;
		else if (!is_char(byte, CHAR_VALUE))
			return refuse(reader, 400, "A trailer line is malformed.");
		return true;
	}
}

static bool expect_byte(struct http1_reader *reader, uint8_t byte, uint8_t expected, enum http1_state next)
{
	if (byte != expected)
		return refuse(reader, 400, "The chunked body is malformed.");
	reader->state = next;
	return true;
}

/* One byte of what stands around the chunks. */
static bool read_framing(struct http1_reader *reader, uint8_t byte)
{
	bool in_trailers = reader->state >= HTTP1_TRAILER_START;
	if (++reader->framing_size > (in_trailers ? HTTP1_TRAILERS_MAX : HTTP1_CHUNK_LINE_MAX))
		return refuse(reader, 400, "The chunked body's extensions or trailers are too long.");
	switch (reader->state) {
	case HTTP1_CHUNK_SIZE_START:
	case HTTP1_CHUNK_SIZE:
		return read_chunk_size(reader, byte);
	case HTTP1_CHUNK_EXTENSION:
		if (byte == '\r')
			reader->state = HTTP1_CHUNK_SIZE_LF;
		else if (!is_char(byte, CHAR_VALUE))
			return refuse(reader, 400, "The chunked body is malformed.");
		return true;
	case HTTP1_CHUNK_SIZE_LF:
		return expect_byte(reader, byte, '\n', HTTP1_CHUNK_DATA) && end_chunk_line(reader);
	case HTTP1_CHUNK_DATA_CR:
		return expect_byte(reader, byte, '\r', HTTP1_CHUNK_DATA_LF);
	case HTTP1_CHUNK_DATA_LF:
		reader->framing_size = 0;
		return expect_byte(reader, byte, '\n', HTTP1_CHUNK_SIZE_START);
	case HTTP1_TRAILER_LF:
		return expect_byte(reader, byte, '\n', HTTP1_TRAILER_START);
	case HTTP1_LAST_LF:
		return expect_byte(reader, byte, '\n', HTTP1_ENDED);
	default:
		return read_trailer(reader, byte);
	}
}

enum http1_event http1_read(struct http1_reader *reader, struct span *input, struct span *ret_data)
{
	if (http1_is_in_head(reader))
		return read_head(reader, input);
	for (;;) {
		if (reader->state == HTTP1_STATE_REFUSED)
			return HTTP1_REFUSED;
		if (reader->state == HTTP1_ENDED)
			return HTTP1_END;
		if (input->size == 0)
			return HTTP1_MORE;
		if (reader->state == HTTP1_BODY_SIZED)
			return read_data(reader, input, HTTP1_ENDED, ret_data);
		if (reader->state == HTTP1_CHUNK_DATA)
			return read_data(reader, input, HTTP1_CHUNK_DATA_CR, ret_data);
		uint8_t byte = input->data[0];
		*input = span_of(input->data + 1, input->size - 1);
		(void)read_framing(reader, byte);
	}
}
