#include "adapters/keys/keyd_socket.h"

#include "adapters/keys/protocol.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#define FIRST_READ_SIZE ((size_t)16 << 10) /* a batch of indexes in one call */
#define LARGER_MAX	((size_t)24 << 20)

enum result keyd_set_timeout(int descriptor, int timeout_ms)
{
	struct timeval time = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	if (setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) != 0 ||
	    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)) != 0)
		return RESULT_UNAVAILABLE;
	return RESULT_OK;
}

enum result keyd_send(int descriptor, struct span frame)
{
	while (frame.size > 0) {
		ssize_t count = send(descriptor, frame.data, frame.size, MSG_NOSIGNAL);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return RESULT_UNAVAILABLE;
		frame = span_of(frame.data + count, frame.size - (size_t)count);
	}
	return RESULT_OK;
}

/* One read of at most `size` bytes. */
static enum result receive_some(int descriptor, struct buf *frame, size_t size)
{
	uint8_t *room = NULL;
	TRY(buf_reserve(frame, size, &room));
	for (;;) {
		ssize_t count = recv(descriptor, room, size, 0);
		if (count > 0) {
			frame->size += (size_t)count;
			return RESULT_OK;
		}
		if (count < 0 && errno == EINTR)
			continue;
		if (frame->size > 0)
			return RESULT_UNAVAILABLE;
		return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? RESULT_EXHAUSTED : RESULT_ABSENT;
	}
}

enum result keyd_receive(int descriptor, bool is_answer, struct buf *ret_frame)
{
	size_t size = KEYD_FRAME_HEADER_SIZE;
	bool knows_size = false;
	ret_frame->size_max = LARGER_MAX;
	while (ret_frame->size < size) {
		size_t wanted = knows_size ? size - ret_frame->size : FIRST_READ_SIZE;
		TRY(receive_some(descriptor, ret_frame, wanted));
		if (knows_size || ret_frame->size < KEYD_FRAME_HEADER_SIZE)
			continue;
		TRY(keyd_frame_size(span_of(ret_frame->data, KEYD_FRAME_HEADER_SIZE), is_answer, &size));
		knows_size = true;
	}
	return ret_frame->size == size ? RESULT_OK : RESULT_INVALID;
}
