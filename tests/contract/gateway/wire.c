#include "tests/contract/gateway/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE 65536

struct wire {
	int descriptor;
	SSL_CTX *context;
	SSL *ssl;
	bool is_web;
	uint8_t input[BUFFER_SIZE]; /* of MQTT, out of its WebSocket frames */
	size_t size;
};

static int dial(int port)
{
	const struct timeval limit = {.tv_sec = WAIT_LIMIT_MS / 1000};
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(descriptor, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	return descriptor;
}

/* A process that was stopped and goes on finds its calls interrupted. */
static int read_on(struct wire *wire, void *bytes, size_t size)
{
	int count;
	do {
		errno = 0;
		count = SSL_read(wire->ssl, bytes, (int)size);
	} while (count <= 0 && errno == EINTR);
	return count;
}

static bool shake_hands(struct wire *wire)
{
	int result;
	do {
		errno = 0;
		result = SSL_connect(wire->ssl);
	} while (result != 1 && errno == EINTR);
	return result == 1;
}

/* The server's answer to the upgrade, and nothing behind it. */
static bool upgrade(struct wire *wire)
{
	static const char request[] = "GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
				      "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
				      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
	char answer[4096];
	size_t size = 0;
	if (SSL_write(wire->ssl, request, sizeof(request) - 1) <= 0)
		return false;
	do {
		int count = read_on(wire, answer + size, 1);
		if (count <= 0 || ++size == sizeof(answer))
			return false;
	} while (size < 4 || memcmp(answer + size - 4, "\r\n\r\n", 4) != 0);
	return strncmp(answer, "HTTP/1.1 101", 12) == 0;
}

struct wire *wire_open(struct fixture *fixture, const struct credential *credential, bool is_web)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	assert_non_null(wire);
	wire->is_web = is_web;
	wire->context = SSL_CTX_new(TLS_client_method());
	if (credential) {
		assert_int_equal(
			SSL_CTX_use_certificate_file(wire->context, credential->certificate_path, SSL_FILETYPE_PEM), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(wire->context, credential->key_path, SSL_FILETYPE_PEM), 1);
	}
	wire->ssl = SSL_new(wire->context);
	wire->descriptor = dial(is_web ? fixture->web_port : fixture->port);
	SSL_set_fd(wire->ssl, wire->descriptor);
	if (shake_hands(wire) && (!is_web || upgrade(wire)))
		return wire;
	wire_close(wire);
	return NULL;
}

void wire_close(struct wire *wire)
{
	if (!wire)
		return;
	SSL_free(wire->ssl);
	SSL_CTX_free(wire->context);
	close(wire->descriptor);
	free(wire);
}

/* 0 or less: the connection has ended. That nothing comes is not its end, and fails. */
static int read_some(struct wire *wire, void *bytes, size_t size)
{
	int count = read_on(wire, bytes, size);
	if (count <= 0 && SSL_get_error(wire->ssl, count) == SSL_ERROR_WANT_READ)
		fail_msg("nothing came within %d ms", WAIT_LIMIT_MS);
	return count;
}

/* One masked binary frame (RFC 6455 section 5.2), with a mask of zeros. */
static size_t frame_header(uint8_t *header, size_t size)
{
	size_t length = 0;
	header[length++] = 0x82;
	if (size < 126) {
		header[length++] = (uint8_t)(0x80 | size);
	} else {
		header[length++] = 0x80 | 126;
		header[length++] = (uint8_t)(size >> 8);
		header[length++] = (uint8_t)size;
	}
	memset(header + length, 0, 4);
	return length + 4;
}

void wire_send(struct wire *wire, const uint8_t *packet, size_t size)
{
	uint8_t frame[4096];
	size_t length = wire->is_web ? frame_header(frame, size) : 0;
	assert_true(length + size <= sizeof(frame));
	memcpy(frame + length, packet, size);
	(void)SSL_write(wire->ssl, frame, (int)(length + size)); /* whether it came shows in the answer */
}

static bool read_exactly(struct wire *wire, uint8_t *bytes, size_t size)
{
	while (size > 0) {
		int count = read_some(wire, bytes, size);
		if (count <= 0)
			return false;
		bytes += count;
		size -= (size_t)count;
	}
	return true;
}

static bool read_frame(struct wire *wire)
{
	uint8_t header[4];
	size_t size;
	if (!read_exactly(wire, header, 2))
		return false;
	size = header[1] & 0x7f;
	if (size == 126) {
		if (!read_exactly(wire, header + 2, 2))
			return false;
		size = (size_t)header[2] << 8 | header[3];
	}
	assert_true(size < 127 || header[1] == 126);
	assert_true(wire->size + size <= BUFFER_SIZE);
	if (!read_exactly(wire, wire->input + wire->size, size))
		return false;
	if ((header[0] & 0x0f) == 8)
		return false;
	wire->size += size;
	return true;
}

static bool read_more(struct wire *wire)
{
	if (wire->is_web)
		return read_frame(wire);
	int count = read_some(wire, wire->input + wire->size, BUFFER_SIZE - wire->size);
	if (count <= 0)
		return false;
	wire->size += (size_t)count;
	return true;
}

/* 0: not whole yet. */
static size_t packet_size(const struct wire *wire)
{
	size_t remaining = 0;
	for (size_t i = 1; i < wire->size && i <= 4; i++) {
		remaining |= (size_t)(wire->input[i] & 0x7f) << (7 * (i - 1));
		if (!(wire->input[i] & 0x80))
			return wire->size >= i + 1 + remaining ? i + 1 + remaining : 0;
	}
	return 0;
}

size_t wire_receive(struct wire *wire, uint8_t *ret_packet, size_t size)
{
	size_t length;
	while ((length = packet_size(wire)) == 0) {
		if (!read_more(wire))
			return 0;
	}
	assert_true(length <= size);
	memcpy(ret_packet, wire->input, length);
	memmove(wire->input, wire->input + length, wire->size - length);
	wire->size -= length;
	return length;
}

int wire_connect(struct wire *wire, const char *client_id)
{
	uint8_t packet[256] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 0};
	size_t length = strlen(client_id);
	packet[1] = (uint8_t)(12 + length);
	packet[13] = (uint8_t)length;
	memcpy(packet + 14, client_id, length);
	wire_send(wire, packet, 14 + length);
	if (wire_receive(wire, packet, sizeof(packet)) < 4)
		return -1;
	return packet[0] == 0x20 ? packet[3] : -1;
}
