#include "crypto/tls.h"

#include "crypto/tls_transport.h"
#include "crypto/x509_facts.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <limits.h>

struct tls_connection {
	const struct tls_server *server;
	SSL *ssl;
	const char *failure; /* static text; what made it TLS_FAILED */
	bool is_established;
	bool is_broken;	 /* no further call of OpenSSL is allowed, not even close_notify */
	bool is_drained; /* the last read took all there was: what OpenSSL still holds is part of a record */
	bool has_peer;
	struct tls_peer peer;
	unsigned char *certificate; /* what peer.certificate points to; OpenSSL's */
};

enum result tls_connection_open(struct tls_server *server, int descriptor, struct tls_connection **ret_connection)
{
	struct tls_connection *connection = OPENSSL_zalloc(sizeof(*connection));
	BIO *transport = tls_transport_new(descriptor);

	if (connection != NULL)
		connection->ssl = SSL_new(tls_server_context(server));
	if (connection == NULL || connection->ssl == NULL || transport == NULL) {
		BIO_free(transport);
		tls_connection_close(connection);
		ERR_clear_error();
		return RESULT_MEMORY;
	}
	connection->server = server;
	SSL_set_bio(connection->ssl, transport, transport);
	SSL_set_accept_state(connection->ssl);
	*ret_connection = connection;
	return RESULT_OK;
}

void tls_connection_close(struct tls_connection *connection)
{
	if (connection == NULL)
		return;
	SSL_free(connection->ssl);
	OPENSSL_free(connection->certificate);
	OPENSSL_free(connection);
}

/* A certificate that was not good says more through its verification code than through the error queue. */
static const char *failure_reason(const SSL *ssl)
{
	long verified = SSL_get_verify_result(ssl);
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	if (verified != X509_V_OK)
		return X509_verify_cert_error_string(verified);
	return reason != NULL ? reason : "unknown";
}

static enum tls_progress ended(const struct tls_connection *connection)
{
	return connection->failure != NULL ? TLS_FAILED : TLS_CLOSED;
}

/*
 * An end of the stream without close_notify, or a reset, arrives as SSL_ERROR_SYSCALL. It counts as closed: HTTP
 * frames its messages itself, so a cut is noticed above.
 */
static enum tls_progress progress_of(struct tls_connection *connection, int outcome)
{
	switch (SSL_get_error(connection->ssl, outcome)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	case SSL_ERROR_SYSCALL:
		connection->is_broken = true;
		ERR_clear_error();
		return TLS_CLOSED;
	default:
		connection->is_broken = true;
		connection->failure = failure_reason(connection->ssl);
		ERR_clear_error();
		return TLS_FAILED;
	}
}

static bool remember_certificate(struct tls_connection *connection, X509 *certificate)
{
	int size = i2d_X509(certificate, &connection->certificate);

	if (size <= 0)
		return false;
	connection->peer.certificate = span_of(connection->certificate, (size_t)size);
	return true;
}

/* After a resumption the certificate comes out of the ticket, with the verdict it had then. */
static bool remember_peer(struct tls_connection *connection)
{
	X509 *certificate = SSL_get0_peer_certificate(connection->ssl);
	struct tls_peer *peer = &connection->peer;

	if (certificate == NULL)
		return true;
	if (SSL_get_verify_result(connection->ssl) != X509_V_OK)
		return false;
	if (x509_fingerprint(certificate, peer->fingerprint) != RESULT_OK ||
	    x509_validity(certificate, &peer->not_before_ms, &peer->not_after_ms) != RESULT_OK)
		return false;
	x509_common_name(certificate, peer->common_name);
	if (x509_serial(certificate, &peer->serial) != RESULT_OK)
		peer->serial = (struct serial){0};
	peer->authority = tls_server_authority(connection->server, connection->ssl);
	if (peer->authority == 0 ||
	    (peer->authority == TLS_AUTHORITY_DEVICE && !remember_certificate(connection, certificate)))
		return false;
	connection->has_peer = true;
	return true;
}

enum tls_progress tls_handshake(struct tls_connection *connection)
{
	int outcome;

	if (connection->is_broken)
		return ended(connection);
	if (connection->is_established)
		return TLS_DONE;
	ERR_clear_error();
	outcome = SSL_do_handshake(connection->ssl);
	if (outcome != 1)
		return progress_of(connection, outcome);
	if (!remember_peer(connection)) {
		connection->is_broken = true;
		connection->failure = "the client's certificate cannot be read";
		return TLS_FAILED;
	}
	connection->is_established = true;
	return TLS_DONE;
}

const struct tls_peer *tls_connection_peer(const struct tls_connection *connection)
{
	return connection->is_established && connection->has_peer ? &connection->peer : NULL;
}

const char *tls_connection_failure(const struct tls_connection *connection)
{
	return connection->failure;
}

bool tls_connection_is_resumed(const struct tls_connection *connection)
{
	return connection->is_established && SSL_session_reused(connection->ssl) == 1;
}

enum tls_progress tls_read(struct tls_connection *connection, void *ret_bytes, size_t size_max, size_t *ret_size)
{
	enum tls_progress progress;
	int outcome;

	*ret_size = 0;
	if (connection->is_broken)
		return ended(connection);
	ERR_clear_error();
	outcome = SSL_read_ex(connection->ssl, ret_bytes, size_max, ret_size);
	if (outcome == 1) {
		connection->is_drained = false;
		return TLS_DONE;
	}
	*ret_size = 0;
	progress = progress_of(connection, outcome);
	connection->is_drained = true;
	return progress;
}

enum tls_progress tls_write(struct tls_connection *connection, struct span bytes, size_t *ret_size)
{
	int outcome;

	*ret_size = 0;
	if (connection->is_broken)
		return ended(connection);
	if (bytes.size == 0)
		return TLS_DONE;
	ERR_clear_error();
	outcome = SSL_write_ex(connection->ssl, bytes.data, bytes.size, ret_size);
	if (outcome == 1)
		return TLS_DONE;
	*ret_size = 0;
	return progress_of(connection, outcome);
}

/*
 * OpenSSL reads ahead (one recv a turn instead of two a record), so it may hold whole records that epoll
 * will never announce again. Once a read has found nothing more, what it holds is not yet a record.
 */
bool tls_has_pending(const struct tls_connection *connection)
{
	return !connection->is_broken && !connection->is_drained && SSL_has_pending(connection->ssl) == 1;
}

/* OpenSSL refuses while part of a record is in them; its owner's deadline ends that. */
void tls_rest(struct tls_connection *connection)
{
	if (!connection->is_broken)
		(void)SSL_free_buffers(connection->ssl);
}

void tls_shutdown(struct tls_connection *connection)
{
	if (connection->is_broken || !connection->is_established)
		return;
	connection->is_broken = true;
	ERR_clear_error();
	(void)SSL_shutdown(connection->ssl);
	ERR_clear_error();
}
