#include "http/internal.h"

#include <errno.h>
#include <sys/socket.h>

static enum tls_progress plain_progress(ssize_t size, enum tls_progress blocked, size_t *ret_size)
{
	if (size > 0) {
		*ret_size = (size_t)size;
		return TLS_DONE;
	}
	if (size == 0)
		return TLS_CLOSED;
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? blocked : TLS_FAILED;
}

enum tls_progress channel_read(struct connection *connection, uint8_t *ret_bytes, size_t size_max, size_t *ret_size)
{
	*ret_size = 0;
	if (connection->tls != NULL)
		return tls_read(connection->tls, ret_bytes, size_max, ret_size);
	return plain_progress(recv(connection->descriptor, ret_bytes, size_max, 0), TLS_WANT_READ, ret_size);
}

enum tls_progress channel_write(struct connection *connection, struct span bytes, size_t *ret_size)
{
	*ret_size = 0;
	if (connection->tls != NULL)
		return tls_write(connection->tls, bytes, ret_size);
	ssize_t size = send(connection->descriptor, bytes.data, bytes.size, MSG_NOSIGNAL);
	return plain_progress(size, TLS_WANT_WRITE, ret_size);
}
