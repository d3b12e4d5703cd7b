/*
 * The HTTP/1.1 reader: a stream of requests has the same outcome however it is cut, and what it takes keeps
 * the promises that routing and the application rely on.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "http/http1.h"

#define TRACE_SIZE_MAX ((size_t)1 << 20)

static void check_header(const struct http_header *header)
{
	FUZZ_CHECK(header->name.size > 0);
	for (size_t i = 0; i < header->name.size; i++)
		FUZZ_CHECK(header->name.data[i] > ' ' && header->name.data[i] < 0x7f && header->name.data[i] != ':' &&
			   !(header->name.data[i] >= 'A' && header->name.data[i] <= 'Z'));
	for (size_t i = 0; i < header->value.size; i++)
		FUZZ_CHECK(header->value.data[i] >= ' ' || header->value.data[i] == '\t');
}

static void check_request(const struct http1_reader *reader)
{
	const struct http_request *request = reader->request;
	size_t hosts = 0, lengths = 0;
	FUZZ_CHECK(request->path.size > 0 && (request->path.data[0] == '/' || span_is_text(request->path, "*")));
	FUZZ_CHECK(memchr(request->path.data, '?', request->path.size) == NULL);
	FUZZ_CHECK(request->path.size + request->query.size <= HTTP_TARGET_SIZE_MAX);
	FUZZ_CHECK(request->header_count <= HTTP_HEADERS_MAX);
	for (size_t i = 0; i < request->header_count; i++) {
		check_header(&request->headers[i]);
		hosts += span_is_text(request->headers[i].name, "host");
		lengths += span_is_text(request->headers[i].name, "content-length");
	}
	FUZZ_CHECK(hosts == 1 || (hosts == 0 && reader->is_http10));
	FUZZ_CHECK(lengths <= 1 && !(request->is_chunked && lengths > 0));
}

static void note_text(struct buf *trace, const char *text, size_t number)
{
	FUZZ_CHECK(buf_append_format(trace, "%s %zu\n", text, number) == RESULT_OK);
}

static void note_head(struct buf *trace, const struct http_request *request)
{
	FUZZ_CHECK(buf_append(trace, request->path) == RESULT_OK && buf_append(trace, request->query) == RESULT_OK);
	for (size_t i = 0; i < request->header_count; i++)
		FUZZ_CHECK(buf_append(trace, request->headers[i].name) == RESULT_OK &&
			   buf_append(trace, request->headers[i].value) == RESULT_OK);
	note_text(trace, "head", (size_t)request->method);
}

/* Reads all requests of the input in pieces of `step` bytes, and writes down what came out. */
static void read_stream(struct span input, size_t step, struct buf *trace)
{
	static struct http_request request;
	static uint8_t head[HTTP_HEAD_SIZE_MAX];
	struct http1_reader reader;
	http1_reader_init(&reader, &request, head);
	while (input.size > 0) {
		struct span piece = span_of(input.data, input.size < step ? input.size : step);
		input = span_of(input.data + piece.size, input.size - piece.size);
		for (enum http1_event event = HTTP1_HEAD; event != HTTP1_MORE;) {
			struct span data = {0};
			event = http1_read(&reader, &piece, &data);
			if (event == HTTP1_REFUSED) {
				note_text(trace, reader.reason, (size_t)reader.status);
				return;
			}
			if (event == HTTP1_DATA)
				FUZZ_CHECK(data.size > 0 && buf_append(trace, data) == RESULT_OK);
			if (event == HTTP1_HEAD) {
				check_request(&reader);
				note_head(trace, &request);
			}
			if (event == HTTP1_END) {
				note_text(trace, "end", reader.close);
				http1_reader_init(&reader, &request, head);
			}
		}
		FUZZ_CHECK(piece.size == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = {1, 2, 13};
	BUF_CLEANUP struct buf whole = {.size_max = TRACE_SIZE_MAX};
	if (size > TRACE_SIZE_MAX / 8)
		return 0;
	read_stream(span_of(data, size), size, &whole);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		BUF_CLEANUP struct buf cut = {.size_max = TRACE_SIZE_MAX};
		read_stream(span_of(data, size), steps[i], &cut);
		FUZZ_CHECK(span_equal(buf_span(&whole), buf_span(&cut)));
	}
	return 0;
}
