/* The HTTP/1.1 reader: what it takes, what it refuses, and that the cutting of the input changes neither. */
#include "../cmocka_all.h"

#include "base/buf.h"
#include "http/http1.h"

#include <stdio.h>
#include <stdlib.h>

#define H "Host: a\r\n"

struct outcome {
	int status; /* 0: a whole request, -1: it wants more */
	char text[512];
	size_t rest_size;
};

static const char *const method_names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"};

static void describe(const struct http1_reader *reader, const struct buf *body, struct outcome *outcome)
{
	const struct http_request *request = reader->request;
	int size = snprintf(outcome->text, sizeof(outcome->text), "%s %.*s [%.*s] %zu%s%s%s%s",
			    method_names[request->method], (int)request->path.size, (const char *)request->path.data,
			    (int)request->query.size, request->query.data ? (const char *)request->query.data : "",
			    request->header_count, request->is_chunked ? " chunked" : "", reader->close ? " close" : "",
			    reader->expects_continue ? " continue" : "", request->has_body ? " body=" : "");
	assert_in_range(size, 1, sizeof(outcome->text) - 1);
	if (request->has_body)
		(void)snprintf(outcome->text + size, sizeof(outcome->text) - (size_t)size, "%.*s", (int)body->size,
			       body->size > 0 ? (const char *)body->data : "");
}

/* Feeds the input in pieces of `step` bytes until the first request ends. */
static struct outcome read_all(struct span input, size_t step)
{
	static struct http_request request;
	static uint8_t head[HTTP_HEAD_SIZE_MAX];
	struct http1_reader reader;
	struct outcome outcome = {.status = -1};
	BUF_CLEANUP struct buf body = {0};
	http1_reader_init(&reader, &request, head);
	size_t heads = 0;
	while (input.size > 0) {
		size_t size = input.size < step ? input.size : step;
		struct span piece = span_of(input.data, size);
		input = span_of(input.data + size, input.size - size);
		for (;;) {
			struct span data = {0};
			enum http1_event event = http1_read(&reader, &piece, &data);
			if (event == HTTP1_MORE) {
				assert_int_equal(piece.size, 0);
				break;
			}
			if (event == HTTP1_REFUSED) {
				outcome.status = reader.status;
				assert_non_null(reader.reason);
				(void)snprintf(outcome.text, sizeof(outcome.text), "%s", reader.reason);
				return outcome;
			}
			if (event == HTTP1_DATA)
				assert_int_equal(buf_append(&body, data), RESULT_OK);
			if (event == HTTP1_HEAD)
				heads++;
			if (event == HTTP1_END) {
				assert_int_equal(heads, 1);
				outcome.status = 0;
				outcome.rest_size = piece.size + input.size;
				describe(&reader, &body, &outcome);
				return outcome;
			}
		}
	}
	return outcome;
}

static struct outcome read_every_way(struct span input)
{
	struct outcome whole = read_all(input, input.size);
	static const size_t steps[] = {1, 2, 3, 7, 61};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct outcome cut = read_all(input, steps[i]);
		assert_int_equal(cut.status, whole.status);
		assert_string_equal(cut.text, whole.text);
		assert_int_equal(cut.rest_size, whole.rest_size);
	}
	return whole;
}

struct taken {
	const char *input;
	const char *text;
	size_t rest_size;
};

static void test_takes_what_is_well_formed(void **state)
{
	static const struct taken cases[] = {
		{"GET / HTTP/1.1\r\n" H "\r\n", "GET / [] 1", 0},
		{"\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET / [] 1", 0},
		{"HEAD /a/b?c=d&e HTTP/1.1\r\n" H "\r\n", "HEAD /a/b [c=d&e] 1", 0},
		{"GET /a%2fb HTTP/1.1\r\n" H "\r\n", "GET /a%2fb [] 1", 0},
		{"BREW /pot HTTP/1.1\r\n" H "\r\n", "OTHER /pot [] 1", 0},
		{"get / HTTP/1.1\r\n" H "\r\n", "OTHER / [] 1", 0},
		{"OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS * [] 1", 0},
		{"GET / HTTP/1.0\r\n\r\n", "GET / [] 0 close", 0},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / [] 1 close", 0},
		{"GET / HTTP/1.0\r\nExpect: whatever\r\n\r\n", "GET / [] 1 close", 0},
		{"GET http://a.example:80/x?y HTTP/1.1\r\n" H "\r\n", "GET /x [y] 1", 0},
		{"GET HTTPS://a.example HTTP/1.1\r\n" H "\r\n", "GET / [] 1", 0},
		{"GET https://[::1]:8?q HTTP/1.1\r\n" H "\r\n", "GET / [q] 1", 0},
		{"GET / HTTP/1.1\r\nhost:a\r\nX-Y:  \t v w \t\r\nZ:\r\n\r\n", "GET / [] 3", 0},
		{"GET / HTTP/1.1\r\n" H "Connection: TE, Close\r\n\r\n", "GET / [] 2 close", 0},
		{"GET / HTTP/1.1\r\n" H "Connection: closed\r\n\r\n", "GET / [] 2", 0},
		{"GET / HTTP/1.1\r\n" H "X: \x80\xff\r\n\r\n", "GET / [] 2", 0},
		{"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhelloGET", "POST / [] 2 body=hello", 3},
		{"POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\nGET", "POST / [] 2", 3},
		{"POST / HTTP/1.1\r\n" H "Content-Length: 005\r\n\r\nhello", "POST / [] 2 body=hello", 0},
		{"POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
		 "POST / [] 3 continue body=x", 0},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
		 "POST / [] 2 chunked body=", 3},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: , Chunked\r\n\r\n5\r\nhello\r\nA;n=\"v\"\r\n0123456789\r\n"
		 "000\r\nTrailer: dropped\r\nB:\r\n\r\nG",
		 "POST / [] 2 chunked body=hello0123456789", 1},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome outcome = read_every_way(span_of_text(cases[i].input));
		if (outcome.status != 0)
			print_error("%s→ %d %s\n", cases[i].input, outcome.status, outcome.text);
		assert_int_equal(outcome.status, 0);
		assert_string_equal(outcome.text, cases[i].text);
		assert_int_equal(outcome.rest_size, cases[i].rest_size);
	}
}

struct refused {
	const char *input;
	int status;
};

static void check_refused(const struct refused *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct outcome outcome = read_every_way(span_of_text(cases[i].input));
		if (outcome.status != cases[i].status)
			print_error("%s→ %d %s\n", cases[i].input, outcome.status, outcome.text);
		assert_int_equal(outcome.status, cases[i].status);
	}
}

static void test_refuses_bad_request_lines(void **state)
{
	static const struct refused cases[] = {
		{"GET / HTTP/1.1\n", 400},
		{"GET /\rHTTP/1.1\r\n", 400},
		{"GET / HTTP/1.1\r\r\n", 400},
		{"\r\n\r\nGET / HTTP/1.1\r\n", 400},
		{"\nGET / HTTP/1.1\r\n", 400},
		{" GET / HTTP/1.1\r\n", 400},
		{"GET\r\n", 400},
		{"GET /\r\n", 400},
		{"GET  / HTTP/1.1\r\n", 400},
		{"GET /  HTTP/1.1\r\n", 400},
		{"GET / HTTP/1.1 \r\n", 400},
		{"GET /a b HTTP/1.1\r\n", 400},
		{"GET\t/ HTTP/1.1\r\n", 400},
		{"G(T / HTTP/1.1\r\n", 400},
		{"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n", 400},
		{"GET / http/1.1\r\n", 400},
		{"GET / HTTP/1.1x\r\n", 400},
		{"GET / HTTP/11\r\n", 400},
		{"GET / HTTP/1.2\r\n", 505},
		{"GET / HTTP/2.0\r\n", 505},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"GET * HTTP/1.1\r\n", 400},
		{"GET a.example HTTP/1.1\r\n", 400},
		{"GET a.example:443 HTTP/1.1\r\n", 400},
		{"CONNECT a.example:443 HTTP/1.1\r\n", 501},
		{"GET ftp://a.example/ HTTP/1.1\r\n", 400},
		{"GET http:///x HTTP/1.1\r\n", 400},
		{"GET http:// HTTP/1.1\r\n", 400},
		{"GET http://u@a.example/ HTTP/1.1\r\n", 400},
		{"GET http://a.example#x HTTP/1.1\r\n", 400},
		{"GET /a#b HTTP/1.1\r\n", 400},
		{"GET /\x01 HTTP/1.1\r\n", 400},
		{"GET /\x80 HTTP/1.1\r\n", 400},
		{"GET /\"<> HTTP/1.1\r\n", 400},
	};
	(void)state;
	check_refused(cases, sizeof(cases) / sizeof(cases[0]));
}

#define GET_LINE "GET / HTTP/1.1\r\n"

static void test_refuses_bad_headers(void **state)
{
	static const struct refused cases[] = {
		{GET_LINE "\r\n", 400},
		{GET_LINE "X: y\r\n\r\n", 400},
		{GET_LINE H H "\r\n", 400},
		{GET_LINE "Host:\r\n\r\n", 400},
		{GET_LINE "Host: a b\r\n\r\n", 400},
		{GET_LINE "Host: a/b\r\n\r\n", 400},
		{"GET / HTTP/1.0\r\n" H H "\r\n", 400},
		{GET_LINE "Host : a\r\n\r\n", 400},
		{GET_LINE H "X\t: a\r\n\r\n", 400},
		{GET_LINE H ": a\r\n\r\n", 400},
		{GET_LINE H "X\r\n\r\n", 400},
		{GET_LINE H "X(y): a\r\n\r\n", 400},
		{GET_LINE H "X: a\n\r\n", 400},
		{GET_LINE H "X: a\rb\r\n\r\n", 400},
		{GET_LINE H "X: a\r\r\n\r\n", 400},
		{GET_LINE H "X: a\r\n b\r\n\r\n", 400},
		{GET_LINE H "X: a\r\n\tb\r\n\r\n", 400},
		{GET_LINE " X: a\r\n" H "\r\n", 400},
		{GET_LINE H "X: a\x01\r\n\r\n", 400},
		{GET_LINE H "X: a\x7f\r\n\r\n", 400},
		{GET_LINE H "\n", 400},
		{GET_LINE H "Expect: 100-continue, more\r\n\r\n", 417},
		{GET_LINE H "Expect: gold\r\n\r\n", 417},
	};
	(void)state;
	check_refused(cases, sizeof(cases) / sizeof(cases[0]));

	static const char with_nul[] = GET_LINE H "X: a\0b\r\n\r\n";
	assert_int_equal(read_every_way(span_of(with_nul, sizeof(with_nul) - 1)).status, 400);
	static const char nul_in_name[] = GET_LINE H "X\0: b\r\n\r\n";
	assert_int_equal(read_every_way(span_of(nul_in_name, sizeof(nul_in_name) - 1)).status, 400);
	static const char nul_in_target[] = "GET /\0 HTTP/1.1\r\n";
	assert_int_equal(read_every_way(span_of(nul_in_target, sizeof(nul_in_target) - 1)).status, 400);
}

#define POST_LINE "POST / HTTP/1.1\r\n" H
#define TE	  "Transfer-Encoding: chunked\r\n"

static void test_refuses_ambiguous_lengths(void **state)
{
	static const struct refused cases[] = {
		{POST_LINE "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
		{POST_LINE "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
		{POST_LINE "Content-Length: 5, 5\r\n\r\nhello", 400},
		{POST_LINE "Content-Length: +5\r\n\r\nhello", 400},
		{POST_LINE "Content-Length: -5\r\n\r\nhello", 400},
		{POST_LINE "Content-Length: 5 5\r\n\r\nhello", 400},
		{POST_LINE "Content-Length: 0x5\r\n\r\nhello", 400},
		{POST_LINE "Content-Length: 5.0\r\n\r\nhello", 400},
		{POST_LINE "Content-Length:\r\n\r\n", 400},
		{POST_LINE "Content-Length: 18446744073709551621\r\n\r\nhello", 400},
		{POST_LINE TE "Content-Length: 5\r\n\r\n0\r\n\r\n", 400},
		{POST_LINE "Content-Length: 5\r\n" TE "\r\n0\r\n\r\n", 400},
		{POST_LINE "Content-Length: 0\r\n" TE "\r\n0\r\n\r\n", 400},
		{"POST / HTTP/1.0\r\n" H TE "\r\n0\r\n\r\n", 400},
		{POST_LINE TE TE "\r\n0\r\n\r\n", 400},
		{POST_LINE "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400},
		{POST_LINE "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400},
		{POST_LINE TE "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
		{POST_LINE "Transfer-Encoding:\r\n\r\n", 400},
		{POST_LINE "Transfer-Encoding: gzip\r\n\r\n", 501},
		{POST_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
		{POST_LINE "Transfer-Encoding: identity\r\n\r\n", 501},
		{POST_LINE "Transfer-Encoding: xchunked\r\n\r\n", 501},
		{POST_LINE "Transfer-Encoding: chunked;q=1\r\n\r\n", 501},
		{POST_LINE "Transfer-Encoding: \"chunked\"\r\n\r\n", 501},
	};
	(void)state;
	check_refused(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_refuses_bad_chunks(void **state)
{
	static const struct refused cases[] = {
		{POST_LINE TE "\r\n\r\n", 400},
		{POST_LINE TE "\r\n;x\r\n", 400},
		{POST_LINE TE "\r\n5 \r\nhello", 400},
		{POST_LINE TE "\r\n 5\r\nhello", 400},
		{POST_LINE TE "\r\n+5\r\nhello", 400},
		{POST_LINE TE "\r\n0x5\r\nhello", 400},
		{POST_LINE TE "\r\ng\r\n", 400},
		{POST_LINE TE "\r\n5\nhello", 400},
		{POST_LINE TE "\r\n5\rhello", 400},
		{POST_LINE TE "\r\n5;a\nb\r\nhello", 400},
		{POST_LINE TE "\r\n5;a\rb\r\nhello", 400},
		{POST_LINE TE "\r\n5\r\nhello\n0\r\n\r\n", 400},
		{POST_LINE TE "\r\n5\r\nhelloX\r\n0\r\n\r\n", 400},
		{POST_LINE TE "\r\n5\r\nhello\rX", 400},
		{POST_LINE TE "\r\nffffffffffffffff1\r\n", 400},
		{POST_LINE TE "\r\n10000000000000005\r\nhello", 400},
		{POST_LINE TE "\r\n0\r\n\n", 400},
		{POST_LINE TE "\r\n0\r\n folded\r\n\r\n", 400},
		{POST_LINE TE "\r\n0\r\nX y: z\r\n\r\n", 400},
		{POST_LINE TE "\r\n0\r\n: z\r\n\r\n", 400},
		{POST_LINE TE "\r\n0\r\nX: z\n\r\n", 400},
		{POST_LINE TE "\r\n0\r\nX: z\rY\r\n\r\n", 400},
		{POST_LINE TE "\r\n0\r\n\rX", 400},
	};
	(void)state;
	check_refused(cases, sizeof(cases) / sizeof(cases[0]));
}

/* prefix, `count` times piece, suffix */
static struct outcome read_repeated(const char *prefix, const char *piece, size_t count, const char *suffix)
{
	BUF_CLEANUP struct buf input = {0};
	assert_int_equal(buf_append_text(&input, prefix), RESULT_OK);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(buf_append_text(&input, piece), RESULT_OK);
	assert_int_equal(buf_append_text(&input, suffix), RESULT_OK);
	return read_every_way(buf_span(&input));
}

static void test_bounds(void **state)
{
	(void)state;
	const char *end = " HTTP/1.1\r\n" H "\r\n";
	assert_int_equal(read_repeated("GET /", "a", 400, end).status, 0);
	assert_int_equal(read_repeated("PUT /", "a", HTTP_TARGET_SIZE_MAX, end).status, 414);
	assert_int_equal(read_repeated("GET /", "a", HTTP_HEAD_SIZE_MAX, "").status, 414);

	assert_int_equal(read_repeated(GET_LINE H, "a: b\r\n", HTTP_HEADERS_MAX - 1, "\r\n").status, 0);
	assert_int_equal(read_repeated(GET_LINE H, "a: b\r\n", HTTP_HEADERS_MAX, "\r\n").status, 431);
	size_t fixed = strlen(GET_LINE H "a: \r\n\r\n");
	assert_int_equal(read_repeated(GET_LINE H "a: ", "b", HTTP_HEAD_SIZE_MAX - fixed, "\r\n\r\n").status, 0);
	assert_int_equal(read_repeated(GET_LINE H "a: ", "b", HTTP_HEAD_SIZE_MAX - fixed + 1, "\r\n\r\n").status, 431);
	assert_int_equal(read_repeated(GET_LINE H "a: ", "b", HTTP_HEAD_SIZE_MAX, "").status, 431);

	/* The second chunk, so that what stands around the first must not count. */
	const char *chunk = POST_LINE TE "\r\n1\r\nx\r\n5;";
	assert_int_equal(read_repeated(chunk, "x", HTTP1_CHUNK_LINE_MAX - 4, "\r\nhello\r\n0\r\n\r\n").status, 0);
	assert_int_equal(read_repeated(chunk, "x", HTTP1_CHUNK_LINE_MAX - 3, "\r\nhello\r\n0\r\n\r\n").status, 400);
	assert_int_equal(read_repeated(POST_LINE TE "\r\n", "1;abc\r\nx\r\n", 200, "0\r\n\r\n").status, 0);
	assert_int_equal(read_repeated(POST_LINE TE "\r\n0\r\n", "a: b\r\n", 600, "\r\n").status, 0);
	assert_int_equal(read_repeated(POST_LINE TE "\r\n0\r\n", "a: b\r\n", 700, "\r\n").status, 400);
}

static void test_wants_more(void **state)
{
	static const char *const inputs[] = {"G",
					     "GET / HTTP/1.1",
					     "GET / HTTP/1.1\r\n" H,
					     GET_LINE H "\r",
					     POST_LINE "Content-Length: 5\r\n\r\nhell",
					     POST_LINE TE "\r\n5\r\nhello\r\n0\r\n\r"};
	(void)state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
		assert_int_equal(read_every_way(span_of_text(inputs[i])).status, -1);
}

static void test_headers_are_lower_case_and_trimmed(void **state)
{
	static struct http_request request;
	static uint8_t head[HTTP_HEAD_SIZE_MAX];
	struct http1_reader reader;
	struct span input = span_of_text(GET_LINE "HOST: a:1\r\nX-Mixed-Case: \t Value kept \r\nEmpty: \r\n\r\n");
	struct span data = {0};
	(void)state;
	http1_reader_init(&reader, &request, head);
	assert_int_equal(http1_read(&reader, &input, &data), HTTP1_HEAD);
	assert_true(span_is_text(http_request_header(&request, "host"), "a:1"));
	assert_true(span_is_text(http_request_header(&request, "x-mixed-case"), "Value kept"));
	assert_non_null(http_request_header(&request, "empty").data);
	assert_int_equal(http_request_header(&request, "empty").size, 0);
	assert_null(http_request_header(&request, "absent").data);
	assert_int_equal(http1_read(&reader, &input, &data), HTTP1_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_what_is_well_formed),
		cmocka_unit_test(test_refuses_bad_request_lines),
		cmocka_unit_test(test_refuses_bad_headers),
		cmocka_unit_test(test_refuses_ambiguous_lengths),
		cmocka_unit_test(test_refuses_bad_chunks),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_wants_more),
		cmocka_unit_test(test_headers_are_lower_case_and_trimmed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
