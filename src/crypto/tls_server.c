#include "crypto/library.h"
#include "crypto/tls_transport.h"

#include "base/file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#define CERTIFICATE_FILE_SIZE_MAX ((size_t)1 << 20)
/* What a client may send: a leaf and an intermediate or two. */
#define CLIENT_CHAIN_SIZE_MAX 16384
#define CLIENT_CHAIN_DEPTH    2
#define TICKET_LIFETIME_S     3600

#define CIPHERS_TLS12                                                                              \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

struct tls_server {
	SSL_CTX *context;
	STACK_OF(X509) * operators, *devices; /* the authorities: roots, and issuers below them */
};

SSL_CTX *tls_server_context(struct tls_server *server)
{
	return server->context;
}

/* A client that asks for another protocol is told so; one that does not ask gets HTTP/1.1. */
static int select_protocol(SSL *ssl, const unsigned char **ret_protocol, unsigned char *ret_size,
			   const unsigned char *offered, unsigned int offered_size, void *opaque)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *selected;

	(void)ssl;
	(void)opaque;
	if (SSL_select_next_proto(&selected, ret_size, ours, sizeof(ours) - 1, offered, offered_size) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret_protocol = selected;
	return SSL_TLSEXT_ERR_OK;
}

/*
 * OpenSSL takes a certificate without any extended key usage as good for every purpose; here the leaf must
 * say clientAuth itself.
 */
static int check_client_leaf(int is_good, X509_STORE_CTX *store)
{
	X509 *leaf;

	if (is_good != 1 || X509_STORE_CTX_get_error_depth(store) != 0)
		return is_good;
	leaf = X509_STORE_CTX_get_current_cert(store);
	if ((X509_get_extension_flags(leaf) & EXFLAG_XKUSAGE) != 0 &&
	    (X509_get_extended_key_usage(leaf) & XKU_SSL_CLIENT) != 0 && X509_check_ca(leaf) == 0)
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
	return 0;
}

static void set_habits(SSL_CTX *context)
{
	SSL_CTX_set_security_level(context, 2);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					     SSL_OP_CLEANSE_PLAINTEXT);
	/*
	 * Not SSL_MODE_RELEASE_BUFFERS: it takes, wipes and gives back 33 kB for every request. The buffers are kept
	 * while a connection is busy (tls_rest()); what was read does not lie in them, since it is wiped at once
	 * (SSL_OP_CLEANSE_PLAINTEXT), and what is written is encrypted where it lies.
	 */
	SSL_CTX_set_mode(context,
			 SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_max_cert_list(context, CLIENT_CHAIN_SIZE_MAX);
	/* Tickets hold the session, the server nothing; a key per SSL_CTX, so a restart ends them all. */
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(context, TICKET_LIFETIME_S);
	SSL_CTX_set_alpn_select_cb(context, select_protocol, NULL);
}

static enum result set_protocol(SSL_CTX *context, const struct tls_server_config *config, struct note *note)
{
	int version_min = config->allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;

	set_habits(context);
	if (SSL_CTX_set_min_proto_version(context, version_min) != 1 ||
	    SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(context, CIPHERS_TLS12) != 1 ||
	    SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") != 1 || SSL_CTX_set_num_tickets(context, 1) != 1)
		return openssl_failure(RESULT_UNAVAILABLE, note, "OpenSSL lacks TLS");
	return RESULT_OK;
}

static enum result set_identity(SSL_CTX *context, const struct tls_server_config *config, struct note *note)
{
	OPENSSL_CLEANUP(EVP_PKEY) EVP_PKEY *key = NULL;

	if (!path_exists(config->certificate_path)) {
		note_set(note, "%s: there is no such certificate", config->certificate_path);
		return RESULT_ABSENT;
	}
	if (SSL_CTX_use_certificate_chain_file(context, config->certificate_path) != 1) {
		note_set(note, "%s: holds no certificate chain in PEM form", config->certificate_path);
		return openssl_failure(RESULT_INVALID, NULL, "");
	}
	TRY(pkey_read(config->key_path, &key, note));
	if (SSL_CTX_use_PrivateKey(context, key) != 1 || SSL_CTX_check_private_key(context) != 1) {
		note_set(note, "%s: is not the key of %s", config->key_path, config->certificate_path);
		return openssl_failure(RESULT_INVALID, NULL, "");
	}
	return RESULT_OK;
}

/* ---- who is let in ---------------------------------------------------------------------------------- */

/* Every certificate of the file is a trust anchor, or an issuer below one. */
static enum result read_authority(BIO *bio, STACK_OF(X509) * certificates)
{
	for (;;) {
		X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

		if (certificate == NULL)
			break;
		if (sk_X509_push(certificates, certificate) == 0) {
			X509_free(certificate);
			return RESULT_MEMORY;
		}
		if (X509_check_ca(certificate) == 0)
			return RESULT_INVALID;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return RESULT_INVALID;
	return sk_X509_num(certificates) == 0 ? RESULT_INVALID : RESULT_OK;
}

/* Appends the file to `seen`. */
static enum result load_authority(const char *path, struct buf *seen, STACK_OF(X509) * certificates, struct note *note)
{
	BUF_CLEANUP struct buf pem = {.size_max = CERTIFICATE_FILE_SIZE_MAX};
	enum result result = RESULT_MEMORY;

	if (path == NULL)
		return RESULT_OK;
	TRY(file_read(path, &pem, note));
	OPENSSL_CLEANUP(BIO) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	if (bio != NULL)
		result = read_authority(bio, certificates);
	ERR_clear_error();
	if (result != RESULT_OK) {
		note_set(note, "%s: must hold CA certificates in PEM form and nothing else", path);
		return result;
	}
	return buf_append(seen, buf_span(&pem));
}

static bool holds(const STACK_OF(X509) * certificates, const X509 *wanted)
{
	for (int i = 0; i < sk_X509_num(certificates); i++) {
		if (X509_cmp(sk_X509_value(certificates, i), wanted) == 0)
			return true;
	}
	return false;
}

/* The client is told all their names, so that it can choose its certificate. */
static enum result trust(SSL_CTX *context, const STACK_OF(X509) * certificates, STACK_OF(X509_NAME) * names)
{
	for (int i = 0; i < sk_X509_num(certificates); i++) {
		X509 *certificate = sk_X509_value(certificates, i);
		X509_NAME *name;

		if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate) != 1)
			return RESULT_MEMORY;
		name = X509_NAME_dup(X509_get_subject_name(certificate));
		if (name == NULL || sk_X509_NAME_push(names, name) == 0) {
			X509_NAME_free(name);
			return RESULT_MEMORY;
		}
	}
	return RESULT_OK;
}

static enum result trust_all(const struct tls_server *server)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	enum result result = names == NULL ? RESULT_MEMORY : trust(server->context, server->operators, names);

	if (result == RESULT_OK)
		result = trust(server->context, server->devices, names);
	ERR_clear_error();
	if (result == RESULT_OK)
		SSL_CTX_set0_CA_list(server->context, names);
	else
		sk_X509_NAME_pop_free(names, X509_NAME_free);
	return result;
}

static enum result load_authorities(struct tls_server *server, const struct tls_server_config *config, struct buf *seen,
				    struct note *note)
{
	server->operators = sk_X509_new_null();
	server->devices = sk_X509_new_null();
	if (server->operators == NULL || server->devices == NULL)
		return RESULT_MEMORY;
	if (config->device_issuer_path != NULL && config->device_root_path == NULL) {
		note_set(note, "a device issuer is worth nothing without the device root");
		return RESULT_INVALID;
	}
	TRY(load_authority(config->client_root_path, seen, server->operators, note));
	TRY(load_authority(config->device_root_path, seen, server->devices, note));
	TRY(load_authority(config->device_issuer_path, seen, server->devices, note));
	for (int i = 0; i < sk_X509_num(server->devices); i++) {
		if (!holds(server->operators, sk_X509_value(server->devices, i)))
			continue;
		note_set(note, "the device root and issuer must have nothing in common with %s",
			 config->client_root_path);
		return RESULT_INVALID;
	}
	return trust_all(server);
}

/* A ticket tells whose certificate it was: after a resumption there is no chain to see it by. */
static int mark_ticket(SSL *ssl, void *opaque)
{
	uint8_t mark = (uint8_t)tls_server_authority(opaque, ssl);

	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &mark, sizeof(mark));
}

static enum tls_authority authority_of_ticket(SSL *ssl)
{
	void *mark;
	size_t size;

	if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(ssl), &mark, &size) != 1 || size != 1)
		return 0;
	return (enum tls_authority) * (const uint8_t *)mark;
}

enum tls_authority tls_server_authority(const struct tls_server *server, SSL *ssl)
{
	const STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	const X509 *root;

	if (SSL_session_reused(ssl) == 1)
		return authority_of_ticket(ssl);
	if (chain == NULL || sk_X509_num(chain) == 0)
		return 0;
	root = sk_X509_value(chain, sk_X509_num(chain) - 1);
	if (holds(server->devices, root))
		return TLS_AUTHORITY_DEVICE;
	return holds(server->operators, root) ? TLS_AUTHORITY_OPERATOR : 0;
}

static enum result set_client_verification(struct tls_server *server, const struct tls_server_config *config,
					   struct note *note)
{
	BUF_CLEANUP struct buf seen = {.size_max = 2 * CERTIFICATE_FILE_SIZE_MAX};
	SSL_CTX *context = server->context;
	uint8_t session_context[SHA256_SIZE];

	if (config->client_root_path == NULL && config->device_root_path == NULL) {
		SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
		return RESULT_OK;
	}
	TRY(load_authorities(server, config, &seen, note));
	/* A ticket is only good where the same roots are trusted. */
	TRY(sha256(buf_span(&seen), session_context));
	if (SSL_CTX_set_session_id_context(context, session_context, sizeof(session_context)) != 1 ||
	    SSL_CTX_set_session_ticket_cb(context, mark_ticket, NULL, server) != 1 ||
	    SSL_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT) != 1)
		return openssl_failure(RESULT_MEMORY, note, "cannot set up client certificates");
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, check_client_leaf);
	SSL_CTX_set_verify_depth(context, CLIENT_CHAIN_DEPTH);
	return RESULT_OK;
}

/* ---- the server ------------------------------------------------------------------------------------- */

enum result tls_server_open(const struct tls_server_config *config, struct tls_server **ret_server, struct note *note)
{
	struct tls_server *server;
	enum result result;

	TRY(tls_transport_init());
	server = OPENSSL_zalloc(sizeof(*server));
	if (server == NULL)
		return RESULT_MEMORY;
	server->context = SSL_CTX_new(TLS_server_method());
	if (server->context == NULL)
		result = openssl_failure(RESULT_UNAVAILABLE, note, "OpenSSL lacks TLS");
	else
		result = set_protocol(server->context, config, note);
	if (result == RESULT_OK)
		result = set_identity(server->context, config, note);
	if (result == RESULT_OK)
		result = set_client_verification(server, config, note);
	if (result != RESULT_OK) {
		tls_server_close(server);
		return result;
	}
	*ret_server = server;
	return RESULT_OK;
}

void tls_server_close(struct tls_server *server)
{
	if (server == NULL)
		return;
	SSL_CTX_free(server->context);
	sk_X509_pop_free(server->operators, X509_free);
	sk_X509_pop_free(server->devices, X509_free);
	OPENSSL_free(server);
}
