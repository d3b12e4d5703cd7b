#include "residue.h"

#include "base/file.h"
#include "crypto/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Both ends run in this one thread over a socket pair; the client is plain OpenSSL. Certificates are made with
 * the code under test, but for those that it refuses to make.
 */

#define STEPS_MAX 10000
#define H2	  "\x02h2"
#define HTTP_1_1  "\x08http/1.1"
#define HTTP_1_0  "\x08http/1.0"

struct authority {
	struct issuer *issuer;
	EVP_PKEY *key;
	char path[PATH_SIZE];
};

struct identity {
	char certificate_path[PATH_SIZE], key_path[PATH_SIZE];
	struct certificate_facts facts;
};

static char directory[] = "/tmp/vinveil-tls-XXXXXX";
static struct authority operators, strangers, devices; /* devices: an issuer below its root */
static char device_issuer_path[PATH_SIZE];
static struct identity operator_identity, expired_identity, future_identity, foreign_identity, server_identity,
	purposeless_identity, device_identity, old_device_identity;
static struct tls_server *server;

/* ---- certificates ---------------------------------------------------------------------------------- */

static void write_file(const char *name, struct span content, mode_t mode, char ret_path[static PATH_SIZE])
{
	assert_ok(path_join(directory, name, ret_path));
	assert_ok(file_replace(ret_path, content, mode, NULL));
}

static EVP_PKEY *openssl_key(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	BIO_free(bio);
	assert_non_null(key);
	return key;
}

static void make_authority(const char *file, struct authority *ret_authority)
{
	BUF_CLEANUP struct buf pem = {0}, key_pem = {0};
	struct private_key *key;

	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(private_key_to_pem(key, NULL, &key_pem));
	assert_ok(certificate_make_root(key, file, -1, clock_now_ms(clock_system()) - 30 * DAY_MS, entropy_system(),
					&pem, NULL));
	assert_ok(issuer_open(buf_span(&pem), key, &ret_authority->issuer, NULL));
	ret_authority->key = openssl_key(buf_span(&key_pem));
	write_file(file, buf_span(&pem), 0644, ret_authority->path);
}

static void make_device_authority(const char *file, struct authority *ret_authority)
{
	BUF_CLEANUP struct buf pem = {0}, root_pem = {0}, csr = {0}, der = {0};
	int64_t now_ms = clock_now_ms(clock_system());
	struct private_key *root_key, *key;
	struct issuer *root;

	assert_ok(private_key_generate(PRIVATE_KEY_P256, &root_key, NULL));
	assert_ok(certificate_make_root(root_key, file, 1, now_ms - 30 * DAY_MS, entropy_system(), &root_pem, NULL));
	assert_ok(issuer_open(buf_span(&root_pem), root_key, &root, NULL));
	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(csr_make(key, &csr, NULL));
	assert_ok(issuer_issue_intermediate(root, entropy_system(), "device issuer", buf_span(&csr),
					    now_ms - 30 * DAY_MS, now_ms + 30 * DAY_MS, &der, NULL));
	assert_ok(certificate_der_to_pem(buf_span(&der), &pem));
	assert_ok(issuer_open(buf_span(&pem), key, &ret_authority->issuer, NULL));
	issuer_close(root);
	write_file(file, buf_span(&root_pem), 0644, ret_authority->path);
	write_file("device-issuer.pem", buf_span(&pem), 0644, device_issuer_path);
}

static void save_identity(const char *name, struct span der, const struct private_key *key, struct identity *ret)
{
	BUF_CLEANUP struct buf pem = {0}, key_pem = {0};
	char file[64];

	assert_ok(certificate_read_der(der, &ret->facts, NULL));
	assert_ok(certificate_der_to_pem(der, &pem));
	assert_ok(private_key_to_pem(key, NULL, &key_pem));
	snprintf(file, sizeof(file), "%s.pem", name);
	write_file(file, buf_span(&pem), 0644, ret->certificate_path);
	snprintf(file, sizeof(file), "%s.key", name);
	write_file(file, buf_span(&key_pem), 0600, ret->key_path);
}

/* Signs again without the extended key usage: none of our profiles lacks it. */
static void drop_purpose(const struct authority *authority, struct buf *der)
{
	const unsigned char *at = der->data;
	X509 *certificate = d2i_X509(NULL, &at, (long)der->size);
	unsigned char *encoding = NULL;
	int size;

	X509_EXTENSION_free(X509_delete_ext(certificate, X509_get_ext_by_NID(certificate, NID_ext_key_usage, -1)));
	assert_true(X509_sign(certificate, authority->key, EVP_sha256()) > 0);
	size = i2d_X509(certificate, &encoding);
	buf_clear(der);
	assert_ok(buf_append(der, span_of(encoding, (size_t)size)));
	OPENSSL_free(encoding);
	X509_free(certificate);
}

struct lifetime {
	int from_days, to_days;
};

static void make_identity(const struct authority *authority, enum certificate_profile profile, const char *name,
			  struct lifetime lifetime, bool without_purpose, struct identity *ret_identity)
{
	int64_t now_ms = clock_now_ms(clock_system());
	BUF_CLEANUP struct buf csr = {0}, der = {0};
	struct private_key *key;
	struct serial serial;
	const struct certificate_request request = {.profile = profile,
						    .name = name,
						    .not_before_ms = now_ms + lifetime.from_days * DAY_MS,
						    .not_after_ms = now_ms + lifetime.to_days * DAY_MS};
	struct certificate_request complete = request;

	assert_ok(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	assert_ok(csr_make(key, &csr, NULL));
	complete.csr = buf_span(&csr);
	assert_ok(issuer_issue(authority->issuer, entropy_system(), &complete, &der, &serial, NULL));
	if (without_purpose)
		drop_purpose(authority, &der);
	save_identity(name, buf_span(&der), key, ret_identity);
	private_key_release(key);
}

static int set_up(void **state)
{
	const struct lifetime now = {-1, 1}, past = {-3, -1}, future = {1, 3};

	if (set_up_crypto(state) != 0 || mkdtemp(directory) == NULL)
		return -1;
	make_authority("operators.pem", &operators);
	make_authority("strangers.pem", &strangers);
	make_device_authority("devices.pem", &devices);
	make_identity(&devices, CERTIFICATE_CLAIM, "batch-7", now, false, &device_identity);
	make_identity(&devices, CERTIFICATE_CLAIM, "batch-6", past, false, &old_device_identity);
	make_identity(&operators, CERTIFICATE_OPERATOR, "crm", now, false, &operator_identity);
	make_identity(&operators, CERTIFICATE_OPERATOR, "expired", past, false, &expired_identity);
	make_identity(&operators, CERTIFICATE_OPERATOR, "future", future, false, &future_identity);
	make_identity(&operators, CERTIFICATE_OPERATOR, "purposeless", now, true, &purposeless_identity);
	make_identity(&operators, CERTIFICATE_SERVER, "localhost", now, false, &server_identity);
	make_identity(&strangers, CERTIFICATE_OPERATOR, "foreign", now, false, &foreign_identity);
	return 0;
}

static int tear_down(void **state)
{
	char command_free[PATH_SIZE];
	static const char *const files[] = {"operators.pem",	 "strangers.pem", "crm.pem",	     "crm.key",
					    "expired.pem",	 "expired.key",	  "future.pem",	     "future.key",
					    "localhost.pem",	 "localhost.key", "purposeless.pem", "purposeless.key",
					    "foreign.pem",	 "foreign.key",	  "both.pem",	     "devices.pem",
					    "device-issuer.pem", "batch-7.pem",	  "batch-7.key",     "batch-6.pem",
					    "batch-6.key"};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (path_join(directory, files[i], command_free) == RESULT_OK)
			(void)unlink(command_free);
	}
	issuer_close(operators.issuer);
	issuer_close(strangers.issuer);
	issuer_close(devices.issuer);
	EVP_PKEY_free(operators.key);
	EVP_PKEY_free(strangers.key);
	return rmdir(directory);
}

static struct tls_server_config good_config(void)
{
	return (struct tls_server_config){.certificate_path = server_identity.certificate_path,
					  .key_path = server_identity.key_path,
					  .client_root_path = operators.path};
}

static int open_server_for_both(void **state)
{
	struct tls_server_config config = good_config();

	(void)state;
	config.device_root_path = devices.path;
	config.device_issuer_path = device_issuer_path;
	return tls_server_open(&config, &server, NULL) == RESULT_OK ? 0 : -1;
}

static int open_server(void **state)
{
	struct tls_server_config config = good_config();

	(void)state;
	return tls_server_open(&config, &server, NULL) == RESULT_OK ? 0 : -1;
}

static int close_server(void **state)
{
	(void)state;
	tls_server_close(server);
	server = NULL;
	return 0;
}

/* ---- the client ------------------------------------------------------------------------------------ */

struct client_options {
	const struct identity *identity;
	const char *protocols;
	int version_max;
	SSL_SESSION *session;
};

struct pair {
	struct tls_connection *connection;
	SSL_CTX *context;
	SSL *client;
	int server_end, client_end;
	enum tls_progress progress; /* of the server's handshake */
	int alert;		    /* the reason code that the client was given, or 0 */
};

static SSL_SESSION *last_session;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(last_session);
	last_session = session;
	return 1;
}

static SSL_CTX *make_client_context(const struct client_options *options)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	assert_non_null(context);
	if (options->version_max != 0)
		assert_int_equal(SSL_CTX_set_max_proto_version(context, options->version_max), 1);
	if (options->identity != NULL) {
		assert_int_equal(SSL_CTX_use_certificate_chain_file(context, options->identity->certificate_path), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(context, options->identity->key_path, SSL_FILETYPE_PEM),
				 1);
	}
	assert_int_equal(SSL_CTX_load_verify_locations(context, operators.path, NULL), 1);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, keep_session);
	return context;
}

static void open_pair(const struct client_options *options, struct pair *ret_pair)
{
	int ends[2];

	*ret_pair = (struct pair){.progress = TLS_WANT_READ};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	ret_pair->server_end = ends[0];
	ret_pair->client_end = ends[1];
	assert_ok(tls_connection_open(server, ends[0], &ret_pair->connection));
	ret_pair->context = make_client_context(options);
	ret_pair->client = SSL_new(ret_pair->context);
	SSL_set_fd(ret_pair->client, ends[1]);
	SSL_set1_host(ret_pair->client, "localhost");
	if (options->protocols != NULL)
		SSL_set_alpn_protos(ret_pair->client, (const unsigned char *)options->protocols,
				    (unsigned)strlen(options->protocols));
	if (options->session != NULL)
		SSL_set_session(ret_pair->client, options->session);
	SSL_set_connect_state(ret_pair->client);
}

static void close_pair(struct pair *pair)
{
	tls_connection_close(pair->connection);
	SSL_free(pair->client);
	SSL_CTX_free(pair->context);
	if (pair->server_end >= 0)
		close(pair->server_end);
	close(pair->client_end);
	ERR_clear_error();
}

static bool is_waiting(enum tls_progress progress)
{
	return progress == TLS_WANT_READ || progress == TLS_WANT_WRITE;
}

/* One turn of the client: handshake, then whatever comes (tickets, an alert). */
static void turn_client(struct pair *pair)
{
	char bytes[1];
	int outcome, error;

	ERR_clear_error();
	outcome =
		SSL_is_init_finished(pair->client) ? SSL_peek(pair->client, bytes, 1) : SSL_do_handshake(pair->client);
	if (outcome == 1)
		return;
	error = SSL_get_error(pair->client, outcome);
	if (error == SSL_ERROR_SSL && pair->alert == 0)
		pair->alert = ERR_GET_REASON(ERR_peek_error());
	ERR_clear_error();
}

static void shake_hands(struct pair *pair)
{
	for (int i = 0; i < 20; i++) {
		turn_client(pair);
		if (is_waiting(pair->progress))
			pair->progress = tls_handshake(pair->connection);
	}
}

static void connect_as(const struct identity *identity, struct pair *ret_pair)
{
	open_pair(&(struct client_options){.identity = identity}, ret_pair);
	shake_hands(ret_pair);
}

/* ---- who is let in --------------------------------------------------------------------------------- */

static void a_client_without_certificate_has_no_peer(void **state)
{
	struct pair pair;

	(void)state;
	connect_as(NULL, &pair);
	assert_int_equal(pair.progress, TLS_DONE);
	assert_null(tls_connection_peer(pair.connection));
	assert_null(tls_connection_failure(pair.connection));
	assert_int_equal(pair.alert, 0);
	assert_string_equal(SSL_get_version(pair.client), "TLSv1.3");
	close_pair(&pair);
}

static void assert_peer(const struct tls_connection *connection, const struct identity *identity, const char *name)
{
	const struct tls_peer *peer = tls_connection_peer(connection);

	assert_non_null(peer);
	assert_memory_equal(peer->fingerprint, identity->facts.fingerprint, SHA256_SIZE);
	assert_int_equal(peer->not_before_ms, identity->facts.not_before_ms);
	assert_int_equal(peer->not_after_ms, identity->facts.not_after_ms);
	assert_string_equal(peer->common_name, name);
	assert_memory_equal(peer->serial.bytes, identity->facts.serial.bytes, SERIAL_SIZE);
}

static void a_good_certificate_is_the_peer(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&(struct client_options){.identity = &operator_identity}, &pair);
	assert_null(tls_connection_peer(pair.connection));
	shake_hands(&pair);
	assert_int_equal(pair.progress, TLS_DONE);
	assert_peer(pair.connection, &operator_identity, "crm");
	assert_int_equal(tls_connection_peer(pair.connection)->authority, TLS_AUTHORITY_OPERATOR);
	assert_int_equal(tls_connection_peer(pair.connection)->certificate.size, 0);
	close_pair(&pair);
}

static void assert_device(const struct pair *pair)
{
	const struct tls_peer *peer = tls_connection_peer(pair->connection);
	struct certificate_facts facts;

	assert_int_equal(pair->progress, TLS_DONE);
	assert_peer(pair->connection, &device_identity, "batch-7");
	assert_int_equal(peer->authority, TLS_AUTHORITY_DEVICE);
	assert_ok(certificate_read_der(peer->certificate, &facts, NULL));
	assert_memory_equal(facts.fingerprint, peer->fingerprint, SHA256_SIZE);
}

/* The client sends its own certificate alone: its issuer is known here. */
static void a_peer_is_of_one_authority(void **state)
{
	struct pair pair;

	(void)state;
	connect_as(&device_identity, &pair);
	assert_device(&pair);
	close_pair(&pair);
	connect_as(&operator_identity, &pair);
	assert_peer(pair.connection, &operator_identity, "crm");
	assert_int_equal(tls_connection_peer(pair.connection)->authority, TLS_AUTHORITY_OPERATOR);
	close_pair(&pair);
	connect_as(&foreign_identity, &pair);
	assert_int_equal(pair.alert, SSL_R_TLSV1_ALERT_UNKNOWN_CA);
	close_pair(&pair);
	connect_as(&old_device_identity, &pair);
	assert_int_equal(pair.alert, SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED);
	close_pair(&pair);
}

static void without_their_root_devices_get_an_alert(void **state)
{
	struct pair pair;

	(void)state;
	connect_as(&device_identity, &pair);
	assert_int_equal(pair.progress, TLS_FAILED);
	assert_int_equal(pair.alert, SSL_R_TLSV1_ALERT_UNKNOWN_CA);
	close_pair(&pair);
}

static void the_client_is_told_of_both_roots(void **state)
{
	const STACK_OF(X509_NAME) * names;
	struct pair pair;

	(void)state;
	connect_as(NULL, &pair);
	names = SSL_get0_peer_CA_list(pair.client);
	assert_int_equal(sk_X509_NAME_num(names), 3);
	close_pair(&pair);
}

static void the_client_is_told_which_root_counts(void **state)
{
	const STACK_OF(X509_NAME) * names;
	struct pair pair;
	char name[64];

	(void)state;
	connect_as(&operator_identity, &pair);
	names = SSL_get0_peer_CA_list(pair.client);
	assert_int_equal(sk_X509_NAME_num(names), 1);
	assert_true(X509_NAME_get_text_by_NID(sk_X509_NAME_value(names, 0), NID_commonName, name, sizeof(name)) > 0);
	assert_string_equal(name, "operators.pem");
	close_pair(&pair);
}

static void bad_certificates_get_their_alert(void **state)
{
	static const struct {
		const struct identity *identity;
		int alert;
	} cases[] = {
		{&expired_identity, SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED},
		{&future_identity, SSL_R_SSLV3_ALERT_BAD_CERTIFICATE},
		{&foreign_identity, SSL_R_TLSV1_ALERT_UNKNOWN_CA},
		{&server_identity, SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE},
		{&purposeless_identity, SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair pair;

		connect_as(cases[i].identity, &pair);
		assert_int_equal(pair.progress, TLS_FAILED);
		assert_int_equal(pair.alert, cases[i].alert);
		assert_null(tls_connection_peer(pair.connection));
		assert_non_null(tls_connection_failure(pair.connection));
		assert_int_equal(tls_handshake(pair.connection), TLS_FAILED);
		close_pair(&pair);
	}
}

/* ---- protocols ------------------------------------------------------------------------------------- */

static void alpn_selects_http_1_1(void **state)
{
	const unsigned char *selected;
	unsigned size;
	struct pair pair;

	(void)state;
	open_pair(&(struct client_options){.protocols = H2 HTTP_1_1}, &pair);
	shake_hands(&pair);
	assert_int_equal(pair.progress, TLS_DONE);
	SSL_get0_alpn_selected(pair.client, &selected, &size);
	assert_true(span_is_text(span_of(selected, size), "http/1.1"));
	close_pair(&pair);
}

static void alpn_without_http_1_1_gets_an_alert(void **state)
{
	static const char *const offers[] = {H2, HTTP_1_0, H2 HTTP_1_0};

	(void)state;
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		struct pair pair;

		open_pair(&(struct client_options){.protocols = offers[i]}, &pair);
		shake_hands(&pair);
		assert_int_equal(pair.progress, TLS_FAILED);
		assert_int_equal(pair.alert, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
		close_pair(&pair);
	}
}

static void tls12_is_refused_unless_allowed(void **state)
{
	struct tls_server_config config = good_config();
	struct pair pair;

	open_pair(&(struct client_options){.version_max = TLS1_2_VERSION}, &pair);
	shake_hands(&pair);
	assert_int_equal(pair.progress, TLS_FAILED);
	assert_int_equal(pair.alert, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
	close_pair(&pair);

	close_server(state);
	config.allow_tls12 = true;
	assert_ok(tls_server_open(&config, &server, NULL));
	open_pair(&(struct client_options){.version_max = TLS1_2_VERSION, .identity = &operator_identity}, &pair);
	shake_hands(&pair);
	assert_int_equal(pair.progress, TLS_DONE);
	assert_string_equal(SSL_get_version(pair.client), "TLSv1.2");
	assert_peer(pair.connection, &operator_identity, "crm");
	/* And no renegotiation: the client's wish for it is refused. */
	assert_int_equal(SSL_renegotiate(pair.client), 1);
	turn_client(&pair);
	SSL_do_handshake(pair.client);
	{
		char bytes[8];
		size_t size;

		assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_WANT_READ);
	}
	SSL_do_handshake(pair.client);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
	close_pair(&pair);
}

static void garbage_fails_with_an_alert(void **state)
{
	static const char garbage[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	uint8_t answer[16];
	struct pair pair;

	(void)state;
	open_pair(&(struct client_options){0}, &pair);
	assert_int_equal(write(pair.client_end, garbage, sizeof(garbage) - 1), sizeof(garbage) - 1);
	assert_int_equal(tls_handshake(pair.connection), TLS_FAILED);
	assert_non_null(tls_connection_failure(pair.connection));
	close_pair(&pair);

	/* A well-formed record that is no ClientHello: here the protocol has an alert (21). */
	open_pair(&(struct client_options){0}, &pair);
	assert_int_equal(write(pair.client_end, "\x16\x03\x01\x00\x05hello", 10), 10);
	assert_int_equal(tls_handshake(pair.connection), TLS_FAILED);
	assert_int_equal(read(pair.client_end, answer, sizeof(answer)), 7);
	assert_int_equal(answer[0], 21);
	close_pair(&pair);
}

/* ---- resumption ------------------------------------------------------------------------------------ */

static void resume_as(const struct identity *identity, struct pair *ret_pair)
{
	SSL_SESSION *session = last_session;

	assert_non_null(session);
	last_session = NULL;
	open_pair(&(struct client_options){.session = session,
					   .identity = identity,
					   .version_max = SSL_SESSION_get_protocol_version(session)},
		  ret_pair);
	shake_hands(ret_pair);
	SSL_SESSION_free(session);
}

static void resume(struct pair *ret_pair)
{
	resume_as(&operator_identity, ret_pair);
}

/* Twice, so that the ticket of a resumed connection tells it, too; and in TLS 1.2, which makes its tickets elsewhere.
 */
static void resumption_does_not_change_the_authority(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
	struct tls_server_config config = good_config();
	struct pair pair;

	close_server(state);
	config.device_root_path = devices.path;
	config.device_issuer_path = device_issuer_path;
	config.allow_tls12 = true;
	assert_ok(tls_server_open(&config, &server, NULL));
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		open_pair(&(struct client_options){.version_max = versions[i], .identity = &device_identity}, &pair);
		shake_hands(&pair);
		assert_device(&pair);
		/* Twice, so that the ticket of a resumed connection is tried, too: TLS 1.2 makes none. */
		for (int times = 0; times < (versions[i] == TLS1_3_VERSION ? 2 : 1); times++) {
			SSL_shutdown(pair.client);
			close_pair(&pair);
			resume_as(&device_identity, &pair);
			assert_true(tls_connection_is_resumed(pair.connection));
			assert_device(&pair);
		}
		close_pair(&pair);
	}
	connect_as(&operator_identity, &pair);
	SSL_shutdown(pair.client);
	close_pair(&pair);
	resume(&pair);
	assert_true(tls_connection_is_resumed(pair.connection));
	assert_int_equal(tls_connection_peer(pair.connection)->authority, TLS_AUTHORITY_OPERATOR);
	close_pair(&pair);
}

static void a_resumed_connection_has_the_same_peer(void **state)
{
	struct pair pair;

	(void)state;
	connect_as(&operator_identity, &pair);
	assert_false(tls_connection_is_resumed(pair.connection));
	SSL_shutdown(pair.client);
	close_pair(&pair);
	resume(&pair);
	assert_int_equal(pair.progress, TLS_DONE);
	assert_true(SSL_session_reused(pair.client));
	assert_true(tls_connection_is_resumed(pair.connection));
	assert_peer(pair.connection, &operator_identity, "crm");
	close_pair(&pair);
}

static void a_ticket_is_worthless_at_another_server(void **state)
{
	struct pair pair;

	connect_as(&operator_identity, &pair);
	SSL_shutdown(pair.client);
	close_pair(&pair);
	close_server(state);
	assert_int_equal(open_server(state), 0);
	resume(&pair);
	assert_int_equal(pair.progress, TLS_DONE);
	assert_false(tls_connection_is_resumed(pair.connection));
	close_pair(&pair);
}

/* ---- bytes ----------------------------------------------------------------------------------------- */

static void bytes_go_both_ways(void **state)
{
	char bytes[16];
	struct pair pair;
	size_t size;

	(void)state;
	connect_as(NULL, &pair);
	assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_WANT_READ);
	assert_int_equal(size, 0);
	assert_int_equal(SSL_write(pair.client, "question", 8), 8);
	assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_DONE);
	assert_true(span_is_text(span_of(bytes, size), "question"));
	assert_int_equal(tls_write(pair.connection, span_of_text("answer"), &size), TLS_DONE);
	assert_int_equal(size, 6);
	assert_int_equal(SSL_read(pair.client, bytes, sizeof(bytes)), 6);
	assert_memory_equal(bytes, "answer", 6);
	assert_int_equal(tls_write(pair.connection, span_of(NULL, 0), &size), TLS_DONE);
	assert_int_equal(size, 0);
	close_pair(&pair);
}

/* Two records arrive in one recv: the second is announced by tls_has_pending alone. */
static void bytes_read_ahead_are_pending(void **state)
{
	char bytes[4];
	struct pair pair;
	size_t size;

	(void)state;
	connect_as(NULL, &pair);
	assert_int_equal(SSL_write(pair.client, "1234", 4), 4);
	assert_int_equal(SSL_write(pair.client, "5678", 4), 4);
	assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_DONE);
	assert_true(tls_has_pending(pair.connection));
	assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_DONE);
	assert_memory_equal(bytes, "5678", 4);
	assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_WANT_READ);
	assert_false(tls_has_pending(pair.connection));
	close_pair(&pair);
}

/* Half a record must not keep a loop spinning. */
static void half_a_record_is_not_pending(void **state)
{
	char bytes[4], record[64];
	struct pair pair;
	ssize_t record_size;
	size_t size;
	BIO *wire = BIO_new(BIO_s_mem());

	(void)state;
	connect_as(NULL, &pair);
	SSL_set0_wbio(pair.client, wire);
	assert_int_equal(SSL_write(pair.client, "1234", 4), 4);
	record_size = BIO_read(wire, record, sizeof(record));
	assert_true(record_size > 10);
	assert_int_equal(write(pair.client_end, record, 10), 10);
	assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_WANT_READ);
	assert_false(tls_has_pending(pair.connection));
	assert_int_equal(write(pair.client_end, record + 10, (size_t)record_size - 10), record_size - 10);
	assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_DONE);
	assert_memory_equal(bytes, "1234", 4);
	close_pair(&pair);
}

/* Writes until the socket is full, each time from another place in memory; false when it became full. */
static bool write_moving(struct tls_connection *connection, const struct buf *sent, size_t *written)
{
	enum tls_progress progress = TLS_DONE;
	size_t size;

	while (*written < sent->size && progress == TLS_DONE) {
		uint8_t *moved = malloc(sent->size - *written);

		memcpy(moved, sent->data + *written, sent->size - *written);
		progress = tls_write(connection, span_of(moved, sent->size - *written), &size);
		free(moved);
		*written += size;
	}
	assert_true(progress == TLS_DONE || progress == TLS_WANT_WRITE);
	return progress == TLS_DONE;
}

/* The socket fills: writes are partial, the buffer moves between them, and all of it arrives. */
static void large_answers_are_written_in_parts(void **state)
{
	enum { TOTAL = 1 << 20 };
	BUF_CLEANUP struct buf sent = {.size_max = TOTAL};
	uint8_t received[4096];
	size_t written = 0, read_total = 0, waits = 0;
	struct pair pair;

	(void)state;
	for (size_t i = 0; i < TOTAL; i++)
		assert_ok(buf_append_byte(&sent, (uint8_t)(i * 7 >> 3)));
	connect_as(NULL, &pair);
	for (int step = 0; step < STEPS_MAX && read_total < TOTAL; step++) {
		waits += !write_moving(pair.connection, &sent, &written);
		for (int outcome; (outcome = SSL_read(pair.client, received, sizeof(received))) > 0;) {
			assert_memory_equal(received, sent.data + read_total, outcome);
			read_total += (size_t)outcome;
		}
	}
	assert_int_equal(read_total, TOTAL);
	assert_true(waits > 0);
	close_pair(&pair);
}

/* The connection stays open, as keep-alive connections do: what it has carried must be gone all the same. */
static void what_was_read_does_not_stay(void **state)
{
	struct shifted secret = shifted_text("TIJGUFE.TFDSFU.18");
	uint8_t *bytes = wiping_malloc(secret.size);
	struct pair pair;
	size_t size;

	(void)state;
	if (RESIDUE_CANNOT_LOOK) {
		wiping_free(bytes);
		skip();
	}
	connect_as(NULL, &pair);
	unshift(&secret, bytes);
	assert_int_equal(SSL_write(pair.client, bytes, (int)secret.size), secret.size);
	secret_wipe(bytes, secret.size);
	assert_int_equal(tls_read(pair.connection, bytes, secret.size, &size), TLS_DONE);
	assert_int_equal(residue_count(&secret), 1);
	assert_int_equal(tls_write(pair.connection, span_of(bytes, size), &size), TLS_DONE);
	wiping_free(bytes);
	assert_int_equal(residue_count(&secret), 0);
	close_pair(&pair);
}

/* ---- ends ------------------------------------------------------------------------------------------ */

static void close_notify_closes(void **state)
{
	char bytes[4];
	struct pair pair;
	size_t size;

	(void)state;
	connect_as(NULL, &pair);
	SSL_shutdown(pair.client);
	assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_CLOSED);
	tls_shutdown(pair.connection);
	tls_shutdown(pair.connection);
	assert_int_equal(SSL_shutdown(pair.client), 1);
	close_pair(&pair);
}

/* No SIGPIPE: its default action would end this test. */
static void a_peer_that_vanished_closes_without_a_signal(void **state)
{
	char bytes[4];
	struct pair pair;
	size_t size;

	(void)state;
	connect_as(NULL, &pair);
	shutdown(pair.client_end, SHUT_RDWR);
	close(pair.client_end);
	pair.client_end = -1;
	assert_int_equal(tls_write(pair.connection, span_of_text("answer"), &size), TLS_CLOSED);
	assert_int_equal(size, 0);
	assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_CLOSED);
	tls_shutdown(pair.connection);
	close_pair(&pair);
}

static void an_end_during_the_handshake_closes(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&(struct client_options){0}, &pair);
	turn_client(&pair);
	shutdown(pair.client_end, SHUT_WR);
	pair.progress = tls_handshake(pair.connection);
	if (is_waiting(pair.progress))
		pair.progress = tls_handshake(pair.connection);
	assert_int_equal(pair.progress, TLS_CLOSED);
	tls_shutdown(pair.connection);
	close_pair(&pair);
}

static void a_damaged_record_fails(void **state)
{
	static const char record[] = "\x17\x03\x03\x00\x20"
				     "0123456789abcdef0123456789abcdef";
	char bytes[4];
	struct pair pair;
	size_t size;

	(void)state;
	connect_as(NULL, &pair);
	assert_int_equal(write(pair.client_end, record, 37), 37);
	assert_int_equal(tls_read(pair.connection, bytes, sizeof(bytes), &size), TLS_FAILED);
	assert_int_equal(tls_write(pair.connection, span_of_text("x"), &size), TLS_FAILED);
	assert_false(tls_has_pending(pair.connection));
	turn_client(&pair);
	assert_int_equal(pair.alert, SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
	close_pair(&pair);
}

/* ---- configuration --------------------------------------------------------------------------------- */

static void assert_refused(const struct tls_server_config *config, enum result expected, const char *said)
{
	struct tls_server *opened = NULL;
	struct note note = {0};

	assert_result(tls_server_open(config, &opened, &note), expected);
	assert_null(opened);
	if (strstr(note.text, said) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", note.text, said);
}

static void bad_configuration_is_named(void **state)
{
	struct tls_server_config config = good_config();
	char path[PATH_SIZE];

	(void)state;
	config.certificate_path = "/nonexistent/server.pem";
	assert_refused(&config, RESULT_ABSENT, "/nonexistent/server.pem");
	config = good_config();
	config.certificate_path = server_identity.key_path;
	assert_refused(&config, RESULT_INVALID, "localhost.key");
	config = good_config();
	config.key_path = operator_identity.key_path;
	assert_refused(&config, RESULT_INVALID, "crm.key");
	config = good_config();
	config.key_path = "/nonexistent/server.key";
	assert_refused(&config, RESULT_ABSENT, "/nonexistent/server.key");
	config = good_config();
	config.client_root_path = "/nonexistent/root.pem";
	assert_refused(&config, RESULT_ABSENT, "/nonexistent/root.pem");
	config = good_config();
	config.client_root_path = server_identity.certificate_path; /* no CA */
	assert_refused(&config, RESULT_INVALID, "localhost.pem");
	config = good_config();
	config.device_root_path = "/nonexistent/devices.pem";
	assert_refused(&config, RESULT_ABSENT, "/nonexistent/devices.pem");
	config.device_root_path = NULL;
	config.device_issuer_path = device_issuer_path;
	assert_refused(&config, RESULT_INVALID, "without the device root");
	config.device_issuer_path = NULL;
	config.device_root_path = operators.path;
	assert_refused(&config, RESULT_INVALID, "nothing in common");
	config.device_root_path = server_identity.certificate_path;
	assert_refused(&config, RESULT_INVALID, "localhost.pem");
	config = good_config();
	write_file("both.pem", span_of_text("nothing\n"), 0644, path);
	config.client_root_path = path;
	assert_refused(&config, RESULT_INVALID, "both.pem");
}

static void without_a_root_nobody_is_asked(void **state)
{
	struct tls_server_config config = good_config();
	struct pair pair;

	close_server(state);
	config.client_root_path = NULL;
	assert_ok(tls_server_open(&config, &server, NULL));
	connect_as(&foreign_identity, &pair);
	assert_int_equal(pair.progress, TLS_DONE);
	assert_null(tls_connection_peer(pair.connection));
	close_pair(&pair);
}

#define both_test(name)	  cmocka_unit_test_setup_teardown(name, open_server_for_both, close_server)
#define server_test(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void)
{
	const struct CMUnitTest tests[] = {
		server_test(a_client_without_certificate_has_no_peer),
		server_test(a_good_certificate_is_the_peer),
		both_test(a_peer_is_of_one_authority),
		server_test(without_their_root_devices_get_an_alert),
		both_test(the_client_is_told_of_both_roots),
		server_test(the_client_is_told_which_root_counts),
		server_test(bad_certificates_get_their_alert),
		server_test(alpn_selects_http_1_1),
		server_test(alpn_without_http_1_1_gets_an_alert),
		server_test(tls12_is_refused_unless_allowed),
		server_test(garbage_fails_with_an_alert),
		server_test(a_resumed_connection_has_the_same_peer),
		server_test(resumption_does_not_change_the_authority),
		server_test(a_ticket_is_worthless_at_another_server),
		server_test(bytes_go_both_ways),
		server_test(bytes_read_ahead_are_pending),
		server_test(half_a_record_is_not_pending),
		server_test(large_answers_are_written_in_parts),
		server_test(what_was_read_does_not_stay),
		server_test(close_notify_closes),
		server_test(a_peer_that_vanished_closes_without_a_signal),
		server_test(an_end_during_the_handshake_closes),
		server_test(a_damaged_record_fails),
		cmocka_unit_test(bad_configuration_is_named),
		server_test(without_a_root_nobody_is_asked),
	};
	int failures = cmocka_run_group_tests(tests, set_up, tear_down);

	SSL_SESSION_free(last_session);
	return failures;
}
