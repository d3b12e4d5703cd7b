/*
 * OpenSSL's way to a non-blocking socket. Its own socket BIO uses write(2), which raises SIGPIPE when the
 * peer has gone; this one sends with MSG_NOSIGNAL, so no program needs to ignore the signal. Private to crypto/.
 */
#ifndef VINVEIL_CRYPTO_TLS_TRANSPORT_H
#define VINVEIL_CRYPTO_TLS_TRANSPORT_H

#include "crypto/tls.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

/* Once, before the first transport, by whoever opens the first server. */
MUST_USE enum result tls_transport_init(void);
/* NULL when the memory is used up. The descriptor stays the caller's. */
BIO *tls_transport_new(int descriptor);

SSL_CTX *tls_server_context(struct tls_server *server);
/* Of a connection whose client's certificate was verified, now or when the session began; 0 without one. */
enum tls_authority tls_server_authority(const struct tls_server *server, SSL *ssl);

#endif
