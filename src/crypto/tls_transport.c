#include "crypto/tls_transport.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method;

static int descriptor_of(BIO *bio)
{
	return (int)(intptr_t)BIO_get_data(bio);
}

static bool is_transient(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int transport_read(BIO *bio, char *ret_bytes, size_t size_max, size_t *ret_size)
{
	ssize_t size = recv(descriptor_of(bio), ret_bytes, size_max, 0);

	BIO_clear_retry_flags(bio);
	if (size < 0 && is_transient(errno))
		BIO_set_retry_read(bio);
	*ret_size = size > 0 ? (size_t)size : 0;
	return size > 0 ? 1 : 0;
}

static int transport_write(BIO *bio, const char *bytes, size_t size, size_t *ret_size)
{
	ssize_t sent = send(descriptor_of(bio), bytes, size, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (sent < 0 && is_transient(errno))
		BIO_set_retry_write(bio);
	*ret_size = sent > 0 ? (size_t)sent : 0;
	return sent > 0 ? 1 : 0;
}

static long transport_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static void make_method(void)
{
	BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without signals");

	if (made == NULL)
		return;
	if (BIO_meth_set_read_ex(made, transport_read) == 1 && BIO_meth_set_write_ex(made, transport_write) == 1 &&
	    BIO_meth_set_ctrl(made, transport_control) == 1)
		method = made;
	else
		BIO_meth_free(made);
}

enum result tls_transport_init(void)
{
	return pthread_once(&method_once, make_method) == 0 && method != NULL ? RESULT_OK : RESULT_MEMORY;
}

BIO *tls_transport_new(int descriptor)
{
	BIO *bio = BIO_new(method);

	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, (void *)(intptr_t)descriptor);
	BIO_set_init(bio, 1);
	return bio;
}
