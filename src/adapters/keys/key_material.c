#include "adapters/keys/key_material.h"

#include "adapters/keys/checkpoint.h"
#include "adapters/keys/durable_cell.h"
#include "adapters/keys/vault_files.h"
#include "adapters/keys/wire.h"
#include "base/text.h"
#include "crypto/certificate.h"

#define PEM_SIZE_MAX ((size_t)32 << 10)

static void key_cleanup(struct private_key **key)
{
	if (*key)
		private_key_release(*key);
}
#define PRIVATE_KEY_CLEANUP __attribute__((cleanup(key_cleanup)))

/* ---- creating ------------------------------------------------------------------------------------- */

static enum result create_root_key(const char *directory, struct entropy *entropy, struct note *note)
{
	uint8_t root_key[ROOT_KEY_SIZE];
	TRY(entropy_fill(entropy, root_key, sizeof(root_key)));
	enum result result = vault_create_file(directory, VAULT_ROOT_KEY, span_of(root_key, sizeof(root_key)), note);
	secret_wipe(root_key, sizeof(root_key));
	return result;
}

static enum result create_private_key(const char *directory, const char *name, enum private_key_kind kind,
				      struct private_key **ret_key, struct note *note)
{
	PRIVATE_KEY_CLEANUP struct private_key *key = NULL;
	BUF_CLEANUP struct buf pem = {.size_max = PEM_SIZE_MAX};
	TRY(private_key_generate(kind, &key, note));
	TRY(private_key_to_pem(key, NULL, &pem));
	TRY(vault_create_file(directory, name, buf_span(&pem), note));
	*ret_key = key;
	key = NULL;
	return RESULT_OK;
}

enum result keys_local_create(const char *directory, struct entropy *entropy, struct buf *ret_issuer_csr,
			      struct note *note)
{
	PRIVATE_KEY_CLEANUP struct private_key *audit_key = NULL;
	PRIVATE_KEY_CLEANUP struct private_key *issuer_key = NULL;
	TRY(vault_check_none(directory, note));
	TRY(directory_make(directory, 0700, note));
	TRY(create_root_key(directory, entropy, note));
	TRY(create_private_key(directory, VAULT_AUDIT_KEY, PRIVATE_KEY_ED25519, &audit_key, note));
	TRY(create_private_key(directory, VAULT_ISSUER_KEY, PRIVATE_KEY_P256, &issuer_key, note));
	TRY(vault_create_empty_state(directory, note));
	return csr_make(issuer_key, ret_issuer_csr, note);
}

/* ---- the device issuer's certificate --------------------------------------------------------------- */

static enum result read_key(const char *directory, const char *name, struct private_key **ret_key, struct note *note)
{
	char path[PATH_SIZE];
	TRY(path_join(directory, name, path));
	return private_key_read(path, ret_key, note);
}

/* A CSR is made only to learn the key's hash. */
static enum result check_certificate_of_key(const struct private_key *key, struct span issuer_pem, struct note *note)
{
	struct certificate_facts facts;
	uint8_t spki_sha256[SHA256_SIZE];
	BUF_CLEANUP struct buf csr = {.size_max = CSR_SIZE_MAX};
	TRY(certificate_read_pem(issuer_pem, &facts, note));
	TRY(csr_make(key, &csr, note));
	TRY(csr_check(buf_span(&csr), spki_sha256, note));
	if (memcmp(facts.spki_sha256, spki_sha256, SHA256_SIZE) == 0)
		return RESULT_OK;
	note_set(note, "the certificate is not of the device issuer's key");
	return RESULT_INVALID;
}

enum result keys_local_install_issuer(const char *directory, struct span issuer_pem, struct span root_pem,
				      struct note *note)
{
	PRIVATE_KEY_CLEANUP struct private_key *key = NULL;
	struct certificate_facts root_facts;
	TRY(read_key(directory, VAULT_ISSUER_KEY, &key, note));
	TRY(check_certificate_of_key(key, issuer_pem, note));
	TRY(certificate_read_pem(root_pem, &root_facts, note));
	char path[PATH_SIZE];
	TRY(path_join(directory, VAULT_DEVICE_ROOT, path));
	TRY(file_replace(path, root_pem, 0644, note));
	TRY(path_join(directory, VAULT_ISSUER_PEM, path));
	return file_replace(path, issuer_pem, 0644, note);
}

/* ---- the audit log -------------------------------------------------------------------------------- */

enum result keys_local_verifier_key(const char *directory, const char *origin, struct buf *ret_text, struct note *note)
{
	PRIVATE_KEY_CLEANUP struct private_key *key = NULL;
	uint8_t typed_key[1 + ED25519_PUBLIC_SIZE] = {1};
	uint8_t id[4];
	char id_text[2 * sizeof(id) + 1];
	TRY(origin_check(origin, note));
	TRY(read_key(directory, VAULT_AUDIT_KEY, &key, note));
	TRY(ed25519_public(key, typed_key + 1));
	TRY(note_key_id(origin, typed_key + 1, id));
	hex_format(span_of(id, sizeof(id)), id_text);
	BUF_CLEANUP struct buf text = {.size_max = 1024};
	TRY(buf_append_format(&text, "%s+%s+", origin, id_text));
	TRY(base64_append(&text, span_of(typed_key, sizeof(typed_key))));
	return buf_append(ret_text, buf_span(&text));
}

enum result keys_local_accept_loss(const char *directory, uint64_t size, const struct merkle_hash *root,
				   struct note *note)
{
	char path[PATH_SIZE];
	struct durable_cell *cell = NULL;
	BUF_CLEANUP struct buf stored = {.size_max = CHECKPOINT_CELL_SIZE};
	BUF_CLEANUP struct buf content = {.size_max = CHECKPOINT_CELL_SIZE};
	TRY(path_join(directory, VAULT_CHECKPOINT, path));
	TRY(checkpoint_state_format(size, root, &content));
	TRY(durable_cell_open(path, CHECKPOINT_CELL_SIZE, &stored, &cell, note));
	enum result result = durable_cell_store(cell, buf_span(&content), note);
	durable_cell_close(cell);
	return result;
}
