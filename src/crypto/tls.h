/*
 * TLS for servers (OpenSSL): TLS 1.3 (RFC 8446), 1.2 only when asked for; one server certificate; client
 * certificates requested and verified against the roots of one or two authorities, but not demanded: a connection
 * without one is told so by the application (401), a bad one (unverifiable, expired) gets a TLS alert.
 *
 * Writing to a socket whose peer has gone raises no SIGPIPE (MSG_NOSIGNAL inside). A client certificate
 * counts only with extended key usage clientAuth, and never when it is a CA's.
 *
 * Configuration: no session tickets across roots (session id context set), resumption re-checked by the
 * application through tls_peer.not_after_ms and the fingerprint; no renegotiation; no compression; no auto chain;
 * buffers kept until tls_rest(). ALPN: "http/1.1".
 *
 * A struct tls_server is read-only after opening and shared by threads; a struct tls_connection belongs to
 * one thread.
 */
#ifndef VINVEIL_CRYPTO_TLS_H
#define VINVEIL_CRYPTO_TLS_H

#include "base/result.h"
#include "base/span.h"
#include "crypto/certificate.h"

#include <sys/types.h>

/* Whose certificates are let in. They have nothing in common, and what is good for one is not for the other. */
enum tls_authority {
	TLS_AUTHORITY_OPERATOR = 1, /* client_root_path */
	TLS_AUTHORITY_DEVICE = 2,   /* device_root_path */
};

/* What the application may know of a verified client certificate; the same after a resumption. */
struct tls_peer {
	enum tls_authority authority;	  /* the one whose root the chain ended in */
	uint8_t fingerprint[SHA256_SIZE]; /* of the DER certificate */
	int64_t not_before_ms, not_after_ms;
	char common_name[65];	 /* empty when it has none or it is longer */
	struct serial serial;	 /* zero when it is longer: none that was issued here */
	struct span certificate; /* DER, of a device's only: what a renewal is compared with */
};

struct tls_server;
struct tls_connection;

struct tls_server_config {
	const char *certificate_path; /* PEM chain, leaf first */
	const char *key_path;	      /* PEM, private (checked) */
	const char *client_root_path; /* PEM: the root, and issuers below it that clients need not send; NULL:
					 client certificates are not asked for */
	bool allow_tls12;
	/* Vehicles and their claims: their root, and the issuer below it (or NULL). NULL: theirs get an alert. */
	const char *device_root_path, *device_issuer_path;
};

MUST_USE enum result tls_server_open(const struct tls_server_config *config, struct tls_server **ret_server,
				     struct note *note);
void tls_server_close(struct tls_server *server);

/* The descriptor stays the caller's. RESULT_MEMORY. */
MUST_USE enum result tls_connection_open(struct tls_server *server, int descriptor,
					 struct tls_connection **ret_connection);
void tls_connection_close(struct tls_connection *connection);

enum tls_progress { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_CLOSED, TLS_FAILED };

/* One step of the handshake. On TLS_FAILED an alert has been written where the protocol has one. */
enum tls_progress tls_handshake(struct tls_connection *connection);
/* NULL until the handshake is done, or when the client sent no certificate. Lives as long as the connection. */
const struct tls_peer *tls_connection_peer(const struct tls_connection *connection);

/* Why it is TLS_FAILED, for logs; NULL when it is not. A static text of no content from the wire. */
const char *tls_connection_failure(const struct tls_connection *connection);
bool tls_connection_is_resumed(const struct tls_connection *connection);

/*
 * TLS_DONE with *ret_size > 0; the others leave it 0. TLS_CLOSED also when the peer went without close_notify:
 * the caller's framing tells a message that was cut.
 */
enum tls_progress tls_read(struct tls_connection *connection, void *ret_bytes, size_t size_max, size_t *ret_size);
enum tls_progress tls_write(struct tls_connection *connection, struct span bytes, size_t *ret_size);
/*
 * Bytes have been taken from the socket already and wait here, so epoll will not announce them: whoever stops
 * reading before TLS_WANT_READ asks this and comes back by itself. False after TLS_WANT_READ.
 */
bool tls_has_pending(const struct tls_connection *connection);
/* Gives back the buffers (33 kB) that are kept from record to record: for a connection that falls silent. */
void tls_rest(struct tls_connection *connection);
/* Sends close_notify, best effort. */
void tls_shutdown(struct tls_connection *connection);

#endif
