#include "programs/vinveil/installation_gateway.h"

#include "adapters/authority/openssl.h"
#include "adapters/keys/budget.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "crypto/certificate.h"
#include "programs/vinveil/broker_config.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#define CLAIM_NAME	"demo"
#define CLAIM_COUNT_MAX 1000000
#define CLAIM_DAYS	365
#define TOKEN_SIZE	32
#define BROKER_USER	"mosquitto" /* Debian's; in production */

static void release_key(struct private_key **key)
{
	private_key_release(*key);
}
#define KEY_CLEANUP __attribute__((cleanup(release_key)))

static enum result make_path(const struct installation *installation, const char *name, char ret_path[static PATH_SIZE])
{
	return path_join(installation->directory, name, ret_path);
}

enum result gateway_make_directories(const struct installation *installation, struct note *note)
{
	static const char *const names[] = {"gateway", "gateway/run", "spool", "telemetry"};
	char path[PATH_SIZE];
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		TRY(make_path(installation, names[i], path));
		TRY(directory_make(path, 0700, note));
	}
	for (size_t i = 0; i < SPOOL_COUNT; i++) {
		TRY(make_path(installation, gateway_spools[i], path));
		TRY(directory_make(path, 0700, note));
	}
	return RESULT_OK;
}

/* Whoever can read it can tell the broker what to refuse, and what vehicles get to hear. */
static enum result make_token(const struct installation *installation, struct note *note)
{
	uint8_t token[TOKEN_SIZE];
	char text[2 * TOKEN_SIZE + 1], path[PATH_SIZE];
	TRY(entropy_fill(entropy_system(), token, sizeof token));
	hex_format(span_of(token, sizeof token), text);
	enum result result = make_path(installation, "gateway/token", path);
	if (result == RESULT_OK)
		result = file_create(path, span_of_text(text), installation->is_dev ? 0600 : 0640, note);
	secret_wipe(token, sizeof token);
	secret_wipe(text, sizeof text);
	return result;
}

static enum result make_device_ca(const struct installation *installation, struct note *note)
{
	static const char *const names[] = {"ca/device-root.pem", "ca/device-issuer.pem"};
	BUF_CLEANUP struct buf all = {0};
	char path[PATH_SIZE];
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		BUF_CLEANUP struct buf pem = {0};
		TRY(make_path(installation, names[i], path));
		TRY(file_read(path, &pem, note));
		TRY(buf_append(&all, buf_span(&pem)));
	}
	TRY(make_path(installation, "gateway/device-ca.pem", path));
	return file_create(path, buf_span(&all), 0644, note);
}

enum result gateway_make_contents(const struct installation *installation, struct note *note)
{
	TRY(make_token(installation, note));
	return make_device_ca(installation, note);
}

/* ---- the first claim of a development installation ----------------------------------------------------- */

/* ret_certificate->der is the caller's to release. */
static enum result issue_claim(const struct installation *installation, const struct private_key *key,
			       struct issued_certificate *ret_certificate, struct note *note)
{
	BUF_CLEANUP struct buf csr = {0};
	struct cert_authority *authority = NULL;
	char path[PATH_SIZE];
	TRY(csr_make(key, &csr, note));
	TRY(make_path(installation, "keyd", path));
	struct authority_openssl_config config = {.directory = path,
						  .issuances_per_hour = BUDGET_ISSUANCES_PER_HOUR_DEFAULT};
	TRY(authority_openssl_open(&config, &authority, note));
	enum result result =
		authority->ops->issue_claim(authority, CLAIM_NAME, buf_span(&csr), CLAIM_DAYS, ret_certificate, note);
	authority_openssl_close(authority);
	return result;
}

static enum result insert_claim(struct registry *registry, const struct issued_certificate *certificate,
				struct note *note)
{
	struct claim claim = {.name = CLAIM_NAME,
			      .serial = certificate->serial,
			      .count_max = CLAIM_COUNT_MAX,
			      .not_after_ms = certificate->not_after_ms,
			      .created_at_ms = clock_now_ms(clock_system())};
	enum registry_conflict conflict;
	TRY(tenant_id_parse(span_of_text("demo"), &claim.tenant));
	struct registry_write write = {.kind = REGISTRY_INSERT_CLAIM, .claim = &claim};
	struct change_set change = {.writes = &write, .count = 1};
	return registry->ops->commit(registry, &change, &conflict, note);
}

static enum result keep_claim(const struct installation *installation, const struct private_key *key,
			      struct span certificate, struct note *note)
{
	BUF_CLEANUP struct buf key_pem = {0};
	BUF_CLEANUP struct buf pem = {0};
	char path[PATH_SIZE];
	TRY(private_key_to_pem(key, NULL, &key_pem));
	TRY(certificate_der_to_pem(certificate, &pem));
	TRY(make_path(installation, "clients/claim.key", path));
	TRY(file_create(path, buf_span(&key_pem), 0600, note));
	TRY(make_path(installation, "clients/claim.pem", path));
	return file_create(path, buf_span(&pem), 0644, note);
}

enum result gateway_make_dev_claim(const struct installation *installation, struct registry *registry,
				   struct note *note)
{
	KEY_CLEANUP struct private_key *key = NULL;
	struct issued_certificate certificate = {0};
	TRY(private_key_generate(PRIVATE_KEY_P256, &key, note));
	TRY(issue_claim(installation, key, &certificate, note));
	enum result result = keep_claim(installation, key, buf_span(&certificate.der), note);
	if (result == RESULT_OK)
		result = insert_claim(registry, &certificate, note);
	buf_release(&certificate.der);
	return result;
}

/* ---- configuration files -------------------------------------------------------------------------------- */

static enum result write_broker_config(const struct installation *installation, struct note *note)
{
	BUF_CLEANUP struct buf text = {0};
	struct broker_config config = {.installation = installation, .user = BROKER_USER};
	char path[PATH_SIZE], room[2048];
	struct passwd entry, *self = NULL;
	if (installation->is_dev && getpwuid_r(geteuid(), &entry, room, sizeof room, &self) == 0 && self != NULL)
		config.user = self->pw_name;
	if (installation_plugin(config.plugin) != RESULT_OK) {
		note_set(note, "cannot find %s beside this program or in the library directory", PLUGIN_NAME);
		return RESULT_ABSENT;
	}
	TRY(broker_config_format(&config, &text));
	TRY(make_path(installation, "gateway/mosquitto.conf", path));
	return file_replace(path, buf_span(&text), installation->is_dev ? 0600 : 0640, note);
}

static enum result write_ingest_config(const struct installation *installation, struct note *note)
{
	BUF_CLEANUP struct buf text = {0};
	char path[PATH_SIZE];
	const char *directory = installation->directory;
	TRY(buf_append_format(&text,
			      "# vinveil-ingest --config FILE; vinveil-ingest --help lists every key\n"
			      "[server]\noperations_listen = 127.0.0.1\noperations_port = %u\n\n"
			      "[spool]\ntelemetry = %s/%s\ncontrol = %s/%s\n\n[storage]\ntelemetry = %s/telemetry\n",
			      installation->ingest_port, directory, gateway_spools[SPOOL_TELEMETRY], directory,
			      gateway_spools[SPOOL_CONTROL], directory));
	TRY(make_path(installation, "ingest.conf", path));
	return file_replace(path, buf_span(&text), 0644, note);
}

enum result gateway_write_configs(const struct installation *installation, struct note *note)
{
	TRY(write_broker_config(installation, note));
	return write_ingest_config(installation, note);
}

enum result gateway_append_vinveild_config(const struct installation *installation, struct buf *text)
{
	const char *directory = installation->directory;
	TRY(buf_append_format(text,
			      "\n[gateway]\nendpoint = %s\nport = %u\ntemplate = %s\n"
			      "broker_socket = %s/" BROKER_SOCKET "\nclaim_socket = %s/" CLAIM_SOCKET "\n"
			      "token = %s/gateway/token\nevents_spool = %s/%s\n",
			      installation->gateway_endpoint, installation->mqtt_port, GATEWAY_TEMPLATE, directory,
			      directory, directory, directory, gateway_spools[SPOOL_EVENTS]));
	if (!installation->is_dev)
		TRY(buf_append_text(text, "broker_user = " BROKER_USER "\n"));
	return buf_append_format(text, "\n[telemetry]\nstore = %s/telemetry\ncontrol_spool = %s/%s\n", directory,
				 directory, gateway_spools[SPOOL_CONTROL]);
}
