#include "programs/vinveil/installation.h"

#include "adapters/keys/key_material.h"
#include "adapters/keys/keyd_config.h"
#include "adapters/keys/local.h"
#include "adapters/registry/sqlite.h"
#include "base/clock.h"
#include "crypto/certificate.h"
#include "programs/vinveil/client_certificate.h"
#include "programs/vinveil/installation_gateway.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY_MS		((int64_t)24 * 60 * 60 * 1000)
#define ISSUER_DAYS	(10 * 365)
#define SERVER_DAYS	397
#define AUDIT_ORIGIN	"vinveil/audit"
#define ALL_SCOPES	((1u << SCOPE_COUNT) - 1)
#define PLATFORM_SCOPES (SCOPE_PLATFORM | SCOPE_PLATFORM_AUDIT)

const struct dev_client dev_clients[] = {
	{"admin", "demo", ALL_SCOPES, "customer-service,legal-request"},
	{"factory", "demo", SCOPE_VEHICLE_PROVISION | SCOPE_DEVICE_MANIFEST | SCOPE_VEHICLE_READ | SCOPE_VEHICLE_WRITE,
	 NULL},
	{"crm", "demo",
	 SCOPE_REFID_LOOKUP | SCOPE_REFID_LOOKUP_BATCH | SCOPE_VEHICLE_READ | SCOPE_SIGNAL_READ | SCOPE_COMMAND_SEND,
	 "customer-service"},
	{"service-center", "demo", SCOPE_TCU_CHANGE | SCOPE_VEHICLE_READ, NULL},
	{"investigator", "demo", SCOPE_VIN_REVEAL, "legal-request"},
	{"approver", "demo", SCOPE_VIN_APPROVE, "legal-request"},
	{"auditor", "demo", SCOPE_AUDIT_READ | SCOPE_PLATFORM_AUDIT, NULL},
	{"stranger", "other", ALL_SCOPES & ~(uint32_t)PLATFORM_SCOPES, "customer-service,legal-request"},
	{NULL, NULL, 0, NULL},
};

/* The first client of a production installation: it makes tenants and their administrators. */
static const struct dev_client platform_client = {"platform", "platform", ALL_SCOPES, NULL};

static const char *const dev_names[] = {"localhost", "127.0.0.1", "::1", NULL};

/* ---- keys and certificates ------------------------------------------------------------------------- */

static void release_key(struct private_key **key)
{
	private_key_release(*key);
}
#define KEY_CLEANUP __attribute__((cleanup(release_key)))

static void release_issuer(struct issuer **issuer)
{
	issuer_close(*issuer);
}
#define ISSUER_CLEANUP __attribute__((cleanup(release_issuer)))

static enum result name_path(char ret_path[static PATH_SIZE], const char *directory, const char *name)
{
	return path_join(directory, name, ret_path);
}

/* One of the three roots: key to the roots directory, certificate to ca/. */
static enum result make_root(const struct installation *installation, const char *name, int path_length,
			     struct issuer **ret_root, struct note *note)
{
	struct private_key *key = NULL;
	BUF_CLEANUP struct buf key_pem = {0};
	BUF_CLEANUP struct buf pem = {0};
	char subject[64], file[64], path[PATH_SIZE];
	snprintf(subject, sizeof subject, "vinveil %s root", name);
	TRY(private_key_generate(PRIVATE_KEY_P256, &key, note));
	enum result result = private_key_to_pem(key, NULL, &key_pem);
	if (result == RESULT_OK)
		result = certificate_make_root(key, subject, path_length, clock_now_ms(clock_system()) - DAY_MS,
					       entropy_system(), &pem, note);
	snprintf(file, sizeof file, "%s-root.key", name);
	if (result == RESULT_OK)
		result = name_path(path, installation->roots_directory, file);
	if (result == RESULT_OK)
		result = file_create(path, buf_span(&key_pem), 0600, note);
	snprintf(file, sizeof file, "ca/%s-root.pem", name);
	if (result == RESULT_OK)
		result = name_path(path, installation->directory, file);
	if (result == RESULT_OK)
		result = file_create(path, buf_span(&pem), 0644, note);
	if (result != RESULT_OK) {
		private_key_release(key);
		return result;
	}
	return issuer_open(buf_span(&pem), key, ret_root, note);
}

static enum result make_device_issuer(const struct installation *installation, struct note *note)
{
	ISSUER_CLEANUP struct issuer *root = NULL;
	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf der = {0};
	BUF_CLEANUP struct buf pem = {0};
	BUF_CLEANUP struct buf root_pem = {0};
	char path[PATH_SIZE];
	int64_t now_ms = clock_now_ms(clock_system());
	TRY(make_root(installation, "device", 1, &root, note));
	TRY(name_path(path, installation->directory, "keyd"));
	TRY(keys_local_create(path, entropy_system(), &csr, note));
	TRY(issuer_issue_intermediate(root, entropy_system(), "vinveil device issuer", buf_span(&csr), now_ms - DAY_MS,
				      now_ms + ISSUER_DAYS * DAY_MS, &der, note));
	TRY(certificate_der_to_pem(buf_span(&der), &pem));
	TRY(name_path(path, installation->directory, "ca/device-root.pem"));
	TRY(file_read(path, &root_pem, note));
	TRY(name_path(path, installation->directory, "ca/device-issuer.pem"));
	TRY(file_create(path, buf_span(&pem), 0644, note));
	TRY(name_path(path, installation->directory, "keyd"));
	return keys_local_install_issuer(path, buf_span(&pem), buf_span(&root_pem), note);
}

static enum result issue_server(struct issuer *root, const struct private_key *key, const char *const *names,
				struct buf *ret_pem, struct note *note)
{
	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf der = {0};
	struct serial serial;
	int64_t now_ms = clock_now_ms(clock_system());
	TRY(csr_make(key, &csr, note));
	struct certificate_request request = {.profile = CERTIFICATE_SERVER,
					      .name = names[0],
					      .alternatives = names,
					      .csr = buf_span(&csr),
					      .not_before_ms = now_ms - DAY_MS,
					      .not_after_ms = now_ms + SERVER_DAYS * DAY_MS};
	TRY(issuer_issue(root, entropy_system(), &request, &der, &serial, note));
	return certificate_der_to_pem(buf_span(&der), ret_pem);
}

/* Key and certificate of one that listens: tls/NAME.{key,pem}. */
static enum result make_identity(const struct installation *installation, struct issuer *root, const char *name,
				 struct note *note)
{
	KEY_CLEANUP struct private_key *key = NULL;
	BUF_CLEANUP struct buf key_pem = {0};
	BUF_CLEANUP struct buf pem = {0};
	char file[64], path[PATH_SIZE];
	TRY(private_key_generate(PRIVATE_KEY_P256, &key, note));
	TRY(private_key_to_pem(key, NULL, &key_pem));
	TRY(issue_server(root, key, installation->server_names, &pem, note));
	snprintf(file, sizeof file, "tls/%s.key", name);
	TRY(name_path(path, installation->directory, file));
	TRY(file_create(path, buf_span(&key_pem), 0600, note));
	snprintf(file, sizeof file, "tls/%s.pem", name);
	TRY(name_path(path, installation->directory, file));
	return file_create(path, buf_span(&pem), 0644, note);
}

static enum result make_servers(const struct installation *installation, struct note *note)
{
	ISSUER_CLEANUP struct issuer *root = NULL;
	TRY(make_root(installation, "server", 0, &root, note));
	TRY(make_identity(installation, root, "server", note));
	return make_identity(installation, root, "broker", note);
}

/* ---- first rows ------------------------------------------------------------------------------------ */

static enum result commit_one(struct registry *registry, struct registry_write write, struct note *note)
{
	struct change_set change = {.writes = &write, .count = 1};
	enum registry_conflict conflict;
	return registry->ops->commit(registry, &change, &conflict, note);
}

static enum result add_tenant(struct registry *registry, struct key_service *keys, const char *id,
			      bool manifest_required, struct note *note)
{
	struct tenant tenant = {.check_digit = CHECK_DIGIT_WARN,
				.manifest_required = manifest_required,
				.created_at_ms = clock_now_ms(clock_system())};
	TRY(tenant_id_parse(span_of_text(id), &tenant.id));
	TRY(keys->ops->create_tenant(keys, &tenant.id, note));
	return commit_one(registry, (struct registry_write){.kind = REGISTRY_INSERT_TENANT, .tenant = &tenant}, note);
}

static void add_purposes(const char *list, struct client *client)
{
	while (list != NULL && *list != '\0' && client->purpose_count < PURPOSES_MAX) {
		size_t length = strcspn(list, ",");
		snprintf(client->purposes[client->purpose_count++], PURPOSE_LENGTH_MAX + 1, "%.*s", (int)length, list);
		list += length + (list[length] == ',');
	}
}

static enum result add_client(struct registry *registry, struct issuer *operator_root, const char *directory,
			      const struct dev_client *description, struct note *note)
{
	struct certificate_facts facts;
	struct client client = {.scopes = description->scopes,
				.state = CLIENT_ACTIVE,
				.fingerprint_count = 1,
				.created_at_ms = clock_now_ms(clock_system())};
	TRY(client_id_parse(span_of_text(description->name), client.id));
	TRY(tenant_id_parse(span_of_text(description->tenant), &client.tenant));
	add_purposes(description->purpose, &client);
	TRY(client_certificate_make(operator_root, directory, description->name, CLIENT_CERTIFICATE_DAYS_DEFAULT,
				    &facts, note));
	memcpy(client.fingerprints[0], facts.fingerprint, sizeof facts.fingerprint);
	return commit_one(registry, (struct registry_write){.kind = REGISTRY_INSERT_CLIENT, .client = &client}, note);
}

static enum result add_first_rows(const struct installation *installation, struct registry *registry,
				  struct key_service *keys, struct issuer *operator_root, struct note *note)
{
	char path[PATH_SIZE];
	if (!installation->is_dev) {
		TRY(add_tenant(registry, keys, "platform", true, note));
		return add_client(registry, operator_root, installation->roots_directory, &platform_client, note);
	}
	TRY(add_tenant(registry, keys, "demo", true, note));
	TRY(add_tenant(registry, keys, "other", false, note));
	TRY(name_path(path, installation->directory, "clients"));
	for (const struct dev_client *client = dev_clients; client->name != NULL; client++)
		TRY(add_client(registry, operator_root, path, client, note));
	return gateway_make_dev_claim(installation, registry, note);
}

static enum result write_audit_key(const struct installation *installation, struct note *note)
{
	BUF_CLEANUP struct buf line = {0};
	char path[PATH_SIZE];
	TRY(name_path(path, installation->directory, "keyd"));
	TRY(keys_local_verifier_key(path, AUDIT_ORIGIN, &line, note));
	TRY(buf_append_byte(&line, '\n'));
	TRY(name_path(path, installation->directory, "ca/audit-log.vkey"));
	return file_create(path, buf_span(&line), 0644, note);
}

static enum result fill_registry(const struct installation *installation, struct key_service *keys,
				 struct issuer *operator_root, struct note *note)
{
	struct registry *registry = NULL;
	char path[PATH_SIZE];
	TRY(name_path(path, installation->directory, "registry/registry.db"));
	TRY(registry_sqlite_open(path, NULL, &registry, note));
	enum result result = add_first_rows(installation, registry, keys, operator_root, note);
	registry_sqlite_close(registry);
	return result;
}

static enum result make_contents(const struct installation *installation, struct note *note)
{
	ISSUER_CLEANUP struct issuer *operator_root = NULL;
	struct key_service *keys = NULL;
	char path[PATH_SIZE];
	TRY(make_device_issuer(installation, note));
	TRY(make_servers(installation, note));
	TRY(gateway_make_contents(installation, note));
	TRY(make_root(installation, "operator", 0, &operator_root, note));
	TRY(write_audit_key(installation, note));
	TRY(name_path(path, installation->directory, "keyd"));
	struct keys_local_config config = {.directory = path, .origin = AUDIT_ORIGIN};
	TRY(keys_local_open(&config, &keys, note));
	enum result result = fill_registry(installation, keys, operator_root, note);
	keys_local_close(keys);
	return result;
}

/* ---- configuration files --------------------------------------------------------------------------- */

static enum result append_if(struct buf *text, const char *key, int64_t value)
{
	return value > 0 ? buf_append_format(text, "%s = %lld\n", key, (long long)value) : RESULT_OK;
}

static enum result write_keyd_config(const struct installation *installation, struct note *note)
{
	BUF_CLEANUP struct buf text = {0};
	struct keyd_config config = {0};
	char path[PATH_SIZE];
	keyd_config_default(&config);
	TRY(name_path(config.directory, installation->directory, "keyd"));
	if (snprintf(config.socket, sizeof config.socket, "%s", installation->keyd_socket) >= (int)sizeof config.socket)
		return RESULT_EXHAUSTED;
	snprintf(config.origin, sizeof config.origin, "%s", AUDIT_ORIGIN);
	/* In development whoever raises the rate limit means the budget behind it, too. */
	if (installation->requests_per_second > config.budgets.index_per_second) {
		config.budgets.index_per_second = installation->requests_per_second;
		config.budgets.index_burst = 2 * installation->requests_per_second + KEY_INDEX_BATCH_MAX;
	}
	if (installation->reveals_per_hour > 0) {
		config.budgets.reveals_per_hour = installation->reveals_per_hour;
		config.budgets.reveals_per_day = BUDGET_REVEALS_MAX;
	}
	TRY(keyd_config_format(&config, &text));
	TRY(name_path(path, installation->directory, "keyd.conf"));
	return file_replace(path, buf_span(&text), 0644, note);
}

static enum result write_vinveild_config(const struct installation *installation, struct note *note)
{
	BUF_CLEANUP struct buf text = {0};
	char path[PATH_SIZE];
	const char *directory = installation->directory;
	TRY(buf_append_format(&text,
			      "# vinveild --config FILE; vinveild --help lists every key\n[server]\n"
			      "listen = %s\nport = %u\noperations_listen = 127.0.0.1\noperations_port = %u\n",
			      installation->listen_address, installation->api_port, installation->operations_port));
	TRY(buf_append_format(&text,
			      "\n[tls]\ncertificate = %s/tls/server.pem\nkey = %s/tls/server.key\n"
			      "client_root = %s/ca/operator-root.pem\ndevice_root = %s/ca/device-root.pem\n"
			      "device_issuer = %s/ca/device-issuer.pem\n",
			      directory, directory, directory, directory, directory));
	TRY(buf_append_format(&text,
			      "\n[storage]\nregistry = %s/registry/registry.db\naudit = %s/audit\n"
			      "audit_origin = %s\ncrl = %s/registry/device.crl\n",
			      directory, directory, AUDIT_ORIGIN, directory));
	TRY(buf_append_format(&text, "\n[keyd]\nsocket = %s\n", installation->keyd_socket));
	if (installation->is_dev)
		TRY(buf_append_text(&text, "rotation_settle_seconds = 5\n"));
	TRY(gateway_append_vinveild_config(installation, &text));
	if (installation->requests_per_second > 0)
		TRY(buf_append_text(&text, "\n[limits]\n"));
	TRY(append_if(&text, "requests_per_second", installation->requests_per_second));
	TRY(append_if(&text, "burst", installation->requests_per_second * 2));
	if (installation->is_dev)
		TRY(buf_append_text(&text, "\n[development]\ndev = on\n"));
	TRY(name_path(path, directory, "vinveild.conf"));
	return file_replace(path, buf_span(&text), 0644, note);
}

/* ---- directories ----------------------------------------------------------------------------------- */

static enum result make_directories(const struct installation *installation, struct note *note)
{
	static const char *const names[] = {"registry", "audit", "tls", "ca", "run"};
	char path[PATH_SIZE];
	/* First what lies elsewhere: when it cannot be made, nothing has been. */
	if (!installation->is_dev)
		TRY(directory_make(installation->roots_directory, 0700, note));
	TRY(directory_make(installation->directory, 0700, note));
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		TRY(name_path(path, installation->directory, names[i]));
		TRY(directory_make(path, 0700, note));
	}
	TRY(gateway_make_directories(installation, note));
	if (!installation->is_dev)
		return RESULT_OK;
	TRY(directory_make(installation->roots_directory, 0700, note));
	TRY(name_path(path, installation->directory, "clients"));
	return directory_make(path, 0700, note);
}

static bool directory_is_empty(const char *path)
{
	DIR *directory = opendir(path);
	if (directory == NULL)
		return errno == ENOENT;
	bool empty = true;
	for (struct dirent *entry; empty && (entry = readdir(directory)) != NULL;)
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	closedir(directory);
	return empty;
}

/* The directory's absolute name, also of one that does not exist yet; and the socket's, which has a short limit. */
static enum result settle_paths(struct installation *installation, const char *directory, struct note *note)
{
	char absolute[PATH_SIZE];
	char here[PATH_SIZE];
	if (directory[0] == '/' || getcwd(here, sizeof here) == NULL)
		here[0] = '\0';
	if (snprintf(absolute, sizeof absolute, "%s%s%s", here, here[0] != '\0' ? "/" : "", directory) >=
	    (int)sizeof absolute)
		return RESULT_EXHAUSTED;
	size_t length = strlen(absolute);
	while (length > 1 && absolute[length - 1] == '/')
		absolute[--length] = '\0';
	if (length > 80) {
		note_set(note, "the directory's path is too long for a socket in it (at most 80 characters)");
		return RESULT_INVALID;
	}
	if (strpbrk(absolute, "\n\r#;\"") != NULL) {
		note_set(note, "the directory's name holds a character that a configuration file cannot");
		return RESULT_INVALID;
	}
	memcpy(installation->directory, absolute, length + 1);
	return path_join(installation->directory, "run/keyd.sock", installation->keyd_socket);
}

static enum result write_configs(const struct installation *installation, struct note *note)
{
	TRY(write_keyd_config(installation, note));
	TRY(write_vinveild_config(installation, note));
	return gateway_write_configs(installation, note);
}

static enum result create(struct installation *installation, struct note *note)
{
	TRY(make_directories(installation, note));
	TRY(make_contents(installation, note));
	return write_configs(installation, note);
}

void installation_set_gateway_defaults(struct installation *installation)
{
	installation->messages_per_second = MESSAGES_PER_SECOND_DEFAULT;
	installation->messages_burst = MESSAGES_BURST_DEFAULT;
	installation->stale_refuse_seconds = STALE_REFUSE_SECONDS_DEFAULT;
	installation->stale_close_seconds = STALE_CLOSE_SECONDS_DEFAULT;
	installation->telemetry_spool_mib = TELEMETRY_SPOOL_MIB_DEFAULT;
}

enum result installation_create(struct installation *installation, const char *directory, struct note *note)
{
	TRY(settle_paths(installation, directory, note));
	if (!directory_is_empty(installation->directory)) {
		note_set(note, "%.180s is not empty, or no directory; nothing was changed", installation->directory);
		return RESULT_CONFLICT;
	}
	return create(installation, note);
}

enum result installation_prepare_dev(struct installation *installation, const char *directory, struct note *note)
{
	char mark[PATH_SIZE];
	TRY(settle_paths(installation, directory, note));
	installation->is_dev = true;
	installation->server_names = dev_names;
	installation->gateway_endpoint = "127.0.0.1";
	snprintf(installation->listen_address, sizeof installation->listen_address, "127.0.0.1");
	snprintf(installation->mqtt_listen_address, sizeof installation->mqtt_listen_address, "127.0.0.1");
	TRY(name_path(installation->roots_directory, installation->directory, "roots"));
	TRY(name_path(mark, installation->directory, "dev"));
	if (directory_is_empty(installation->directory)) {
		TRY(create(installation, note));
		/* Last, so that a directory whose making was interrupted is never taken for a whole one. */
		return file_create(mark, span_of_text("A development installation: its root keys lie here.\n"), 0600,
				   note);
	}
	if (!path_exists(mark)) {
		note_set(note, "%.160s is neither empty nor made (to its end) by vinveil dev; choose another",
			 installation->directory);
		return RESULT_CONFLICT;
	}
	TRY(name_path(mark, installation->directory, "gateway/token"));
	if (!path_exists(mark)) {
		note_set(note,
			 "%.90s/gateway/token is not there; if the rest of gateway is: openssl rand -hex 32 "
			 ">FILE, chmod 600 FILE; else choose another directory",
			 installation->directory);
		return RESULT_CONFLICT;
	}
	return write_configs(installation, note);
}

enum result installation_program(const char *name, char ret_path[static PATH_SIZE])
{
	char self[PATH_SIZE];
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	if (length <= 0)
		return RESULT_ABSENT;
	self[length] = '\0';
	char *slash = strrchr(self, '/');
	if (slash == NULL)
		return RESULT_ABSENT;
	*slash = '\0';
	TRY(path_join(self, name, ret_path));
	return access(ret_path, X_OK) == 0 ? RESULT_OK : RESULT_ABSENT;
}
