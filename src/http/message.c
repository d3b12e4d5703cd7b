#include "http/internal.h"

#include "base/secret.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- exchanges ------------------------------------------------------------------------------------- */

static void exchange_reset(struct exchange *exchange)
{
	struct http_exchange *public = &exchange->public;
	public->response.status = 0;
	public->response.static_body = span_of(NULL, 0);
	public->response.close = false;
	public->response.headers.size_max = HTTP_RESPONSE_HEADER_MAX;
	public->response.body.size_max = 0;
	public->body.size_max = 0;
	public->body_complete = false;
	public->body_size_max = BUF_SIZE_MAX_DEFAULT;
	public->application_data = NULL;
	public->arena.size_max = 0;
	public->next = NULL;
	exchange->mode = HTTP_BODY_COLLECT;
	exchange->is_announced = exchange->is_out = exchange->is_body_ended = exchange->is_broken = false;
}

struct exchange *exchange_take(struct connection *connection)
{
	struct http_loop *loop = connection->loop;
	struct exchange *exchange = loop->free_exchanges;
	if (exchange != NULL) {
		loop->free_exchanges = exchange->next_free;
		loop->free_exchange_count--;
	} else {
		exchange = malloc(sizeof(*exchange));
		if (exchange == NULL)
			return NULL;
		/* The head's memory stays as it is: what counts of it is what the reader wrote. */
		memset(exchange, 0, offsetof(struct exchange, head));
	}
	exchange_reset(exchange);
	http1_reader_init(&exchange->reader, &exchange->public.request, exchange->head);
	exchange->connection = connection;
	exchange->public.peer = connection->tls != NULL ? tls_connection_peer(connection->tls) : NULL;
	exchange->public.source_address = connection->address;
	exchange->public.loop = loop;
	exchange->public.listener = connection->listener;
	return exchange;
}

static void clear_or_release(struct buf *buf)
{
	if (buf->capacity > BODY_KEPT_SIZE_MAX)
		buf_release(buf);
	else
		buf_clear(buf);
}

void exchange_free(struct exchange *exchange)
{
	buf_release(&exchange->public.response.headers);
	buf_release(&exchange->public.response.body);
	buf_release(&exchange->public.body);
	arena_release(&exchange->public.arena);
	free(exchange);
}

void exchange_release(struct exchange *exchange)
{
	struct http_loop *loop = exchange->connection->loop;
	const struct http_server_config *config = &loop->server->config;
	if (exchange->is_announced && config->application->on_release != NULL)
		config->application->on_release(config->application_context, &exchange->public);
	server_forget_unread(loop->server, exchange);
	secret_wipe(exchange->head, exchange->reader.head_size);
	clear_or_release(&exchange->public.response.headers);
	clear_or_release(&exchange->public.response.body);
	clear_or_release(&exchange->public.body);
	arena_reset(&exchange->public.arena);
	exchange->connection = NULL;
	if (loop->free_exchange_count == EXCHANGES_KEPT_MAX) {
		exchange_free(exchange);
		return;
	}
	exchange->next_free = loop->free_exchanges;
	loop->free_exchanges = exchange;
	loop->free_exchange_count++;
}

/* ---- the response's head --------------------------------------------------------------------------- */

static const char *status_line(int status)
{
	static const struct {
		int status;
		const char *line;
	} lines[] = {
		{200, "HTTP/1.1 200 OK\r\n"},
		{201, "HTTP/1.1 201 Created\r\n"},
		{202, "HTTP/1.1 202 Accepted\r\n"},
		{204, "HTTP/1.1 204 No Content\r\n"},
		{304, "HTTP/1.1 304 Not Modified\r\n"},
		{400, "HTTP/1.1 400 Bad Request\r\n"},
		{401, "HTTP/1.1 401 Unauthorized\r\n"},
		{403, "HTTP/1.1 403 Forbidden\r\n"},
		{404, "HTTP/1.1 404 Not Found\r\n"},
		{405, "HTTP/1.1 405 Method Not Allowed\r\n"},
		{406, "HTTP/1.1 406 Not Acceptable\r\n"},
		{408, "HTTP/1.1 408 Request Timeout\r\n"},
		{409, "HTTP/1.1 409 Conflict\r\n"},
		{410, "HTTP/1.1 410 Gone\r\n"},
		{412, "HTTP/1.1 412 Precondition Failed\r\n"},
		{413, "HTTP/1.1 413 Content Too Large\r\n"},
		{414, "HTTP/1.1 414 URI Too Long\r\n"},
		{415, "HTTP/1.1 415 Unsupported Media Type\r\n"},
		{417, "HTTP/1.1 417 Expectation Failed\r\n"},
		{422, "HTTP/1.1 422 Unprocessable Content\r\n"},
		{428, "HTTP/1.1 428 Precondition Required\r\n"},
		{429, "HTTP/1.1 429 Too Many Requests\r\n"},
		{431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
		{500, "HTTP/1.1 500 Internal Server Error\r\n"},
		{501, "HTTP/1.1 501 Not Implemented\r\n"},
		{503, "HTTP/1.1 503 Service Unavailable\r\n"},
		{505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (lines[i].status == status)
			return lines[i].line;
	return NULL;
}

static enum result append_status_line(struct buf *head, int status)
{
	const char *line = status_line(status);
	if (line != NULL)
		return buf_append_text(head, line);
	return buf_append_format(head, "HTTP/1.1 %d \r\n", status);
}

/* RFC 9110 section 5.6.7, made anew once a second. */
static struct span date_line(struct http_loop *loop)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t second = (time_t)(clock_now_ms(loop->server->config.clock) / 1000);
	if (second != loop->date_second) {
		struct tm at;
		gmtime_r(&second, &at);
		(void)snprintf(loop->date_line, sizeof(loop->date_line),
			       "Date: %s, %02u %s %04u %02u:%02u:%02u GMT\r\n", days[at.tm_wday % 7],
			       (unsigned)at.tm_mday % 100U, months[at.tm_mon % 12],
			       (unsigned)(at.tm_year + 1900) % 10000U, (unsigned)at.tm_hour % 100U,
			       (unsigned)at.tm_min % 100U, (unsigned)at.tm_sec % 100U);
		loop->date_second = second;
	}
	return span_of(loop->date_line, strlen(loop->date_line));
}

static enum result append_content_length(struct buf *head, size_t size)
{
	char digits[20];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + size % 10);
		size /= 10;
	} while (size > 0);
	TRY(buf_append_text(head, "Content-Length: "));
	TRY(buf_append(head, span_of(digits + at, sizeof(digits) - at)));
	return buf_append_text(head, "\r\n");
}

enum result response_format_head(struct exchange *exchange, bool close, struct buf *head)
{
	const struct http_response *response = &exchange->public.response;
	assert(response->status >= 200 && response->status <= 599);
	TRY(append_status_line(head, response->status));
	TRY(buf_append(head, date_line(exchange->public.loop)));
	TRY(buf_append(head, buf_span(&response->headers)));
	if (response->status != 204 && response->status != 304)
		TRY(append_content_length(head, response_body(response).size));
	if (close)
		TRY(buf_append_text(head, "Connection: close\r\n"));
	return buf_append_text(head, "\r\n");
}

/* ---- for the holder of an exchange ----------------------------------------------------------------- */

struct span http_request_header(const struct http_request *request, const char *name)
{
	struct span wanted = span_of_text(name);
	for (size_t i = 0; i < request->header_count; i++)
		if (span_equal(request->headers[i].name, wanted))
			return request->headers[i].value;
	return span_of(NULL, 0);
}

enum result http_response_header(struct http_response *response, const char *name, const char *value)
{
	assert(strpbrk(value, "\r\n") == NULL && strpbrk(name, "\r\n: ") == NULL);
	struct buf *headers = &response->headers;
	uint8_t *room;
	/* Whole or not at all: half a line would take the next one with it. */
	TRY(buf_reserve(headers, strlen(name) + strlen(value) + 4, &room));
	TRY(buf_append_text(headers, name));
	TRY(buf_append_text(headers, ": "));
	TRY(buf_append_text(headers, value));
	return buf_append_text(headers, "\r\n");
}

static int hex_value(uint8_t digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

/* Decodes into text, which has room for size_max bytes with the NUL. False when badly encoded or too long. */
static bool percent_decode(struct span encoded, char *text, size_t size_max)
{
	size_t size = 0;
	for (size_t i = 0; i < encoded.size; i++) {
		uint8_t byte = encoded.data[i];
		if (byte == '%') {
			if (encoded.size - i < 3)
				return false;
			int high = hex_value(encoded.data[i + 1]), low = hex_value(encoded.data[i + 2]);
			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return false;
			byte = (uint8_t)(high << 4 | low);
			i += 2;
		}
		if (size + 1 >= size_max)
			return false;
		text[size++] = (char)byte;
	}
	text[size] = '\0';
	return true;
}

enum result http_query_get(struct span query, const char *name, char *ret_value, size_t size_max)
{
	struct span found = {0};
	struct span wanted = span_of_text(name);
	bool is_found = false;
	while (query.size > 0) {
		const uint8_t *ampersand = memchr(query.data, '&', query.size);
		size_t size = ampersand != NULL ? (size_t)(ampersand - query.data) : query.size;
		const uint8_t *equals = size > 0 ? memchr(query.data, '=', size) : NULL;
		size_t name_size = equals != NULL ? (size_t)(equals - query.data) : size;
		if (span_equal(span_of(query.data, name_size), wanted)) {
			if (is_found)
				return RESULT_INVALID;
			is_found = true;
			if (equals != NULL)
				found = span_of(equals + 1, size - name_size - 1);
		}
		size_t taken = ampersand != NULL ? size + 1 : size;
		query = span_of(query.data + taken, query.size - taken);
	}
	if (!is_found)
		return RESULT_ABSENT;
	/* ret_value stays untouched on failure, so the first pass only measures. */
	char value[HTTP_TARGET_SIZE_MAX + 1];
	if (!percent_decode(found, value, size_max < sizeof(value) ? size_max : sizeof(value)))
		return RESULT_INVALID;
	memcpy(ret_value, value, strlen(value) + 1);
	return RESULT_OK;
}
