/*
 * The export file (doc/key-export.md):
 *   magic "VVKEYS1\n" | salt 16 | nonce 12 | ciphertext | tag 16
 * key = scrypt(passphrase, salt); AES-256-GCM with the magic as associated data; plaintext: for each part, in this
 * order, size u32 BE and bytes: root key, audit key, issuer key, issuer certificate, root certificate, tenants,
 * checkpoint, CRL number.
 */
#include "adapters/keys/key_material.h"

#include "adapters/keys/durable_cell.h"
#include "adapters/keys/vault_files.h"
#include "adapters/keys/wire.h"
#include "crypto/aead.h"
#include "crypto/passphrase.h"

#define MAGIC	     "VVKEYS1\n"
#define MAGIC_SIZE   8
#define AT_SALT	     MAGIC_SIZE
#define AT_NONCE     (AT_SALT + PASSPHRASE_SALT_SIZE)
#define HEADER_SIZE  (AT_NONCE + AEAD_NONCE_SIZE)
#define FRAMING_SIZE (HEADER_SIZE + AEAD_TAG_SIZE)

/* The CRLs signed since the export was made have used numbers that it does not know: go on far above them. */
#define CRL_NUMBER_LEAP 1000000

enum part {
	PART_ROOT_KEY,
	PART_AUDIT_KEY,
	PART_ISSUER_KEY,
	PART_ISSUER_PEM,
	PART_DEVICE_ROOT,
	PART_TENANTS,
	PART_CHECKPOINT,
	PART_CRL,
	PART_COUNT,
};

/* cell_size 0: a plain file. */
static const struct part_file {
	const char *name;
	size_t cell_size;
} part_files[PART_COUNT] = {
	[PART_ROOT_KEY] = {VAULT_ROOT_KEY, 0},
	[PART_AUDIT_KEY] = {VAULT_AUDIT_KEY, 0},
	[PART_ISSUER_KEY] = {VAULT_ISSUER_KEY, 0},
	[PART_ISSUER_PEM] = {VAULT_ISSUER_PEM, 0},
	[PART_DEVICE_ROOT] = {VAULT_DEVICE_ROOT, 0},
	[PART_TENANTS] = {VAULT_TENANTS, TENANTS_CELL_SIZE},
	[PART_CHECKPOINT] = {VAULT_CHECKPOINT, CHECKPOINT_CELL_SIZE},
	[PART_CRL] = {VAULT_CRL, CRL_CELL_SIZE},
};

static enum result check_passphrase(struct span passphrase, struct note *note)
{
	if (passphrase.size >= KEY_EXPORT_PASSPHRASE_MIN)
		return RESULT_OK;
	note_set(note, "the passphrase must have at least %d characters", KEY_EXPORT_PASSPHRASE_MIN);
	return RESULT_INVALID;
}

/* ---- export --------------------------------------------------------------------------------------- */

static enum result append_part(const char *directory, const struct part_file *file, struct buf *plain,
			       struct note *note)
{
	char path[PATH_SIZE];
	BUF_CLEANUP struct buf content = {.size_max = KEY_EXPORT_SIZE_MAX / 2};
	TRY(path_join(directory, file->name, path));
	if (file->cell_size > 0)
		TRY(durable_cell_read(path, file->cell_size, &content, note));
	else
		TRY(file_read(path, &content, note));
	TRY(wire_put_u32(plain, (uint32_t)content.size));
	return buf_append(plain, buf_span(&content));
}

static enum result seal_export(struct span plain, struct span passphrase, struct entropy *entropy,
			       struct buf *ret_export)
{
	uint8_t key[AEAD_KEY_SIZE];
	uint8_t *out = NULL;
	size_t size = FRAMING_SIZE + plain.size;
	TRY(buf_reserve(ret_export, size, &out));
	memcpy(out, MAGIC, MAGIC_SIZE);
	TRY(entropy_fill(entropy, out + AT_SALT, PASSPHRASE_SALT_SIZE + AEAD_NONCE_SIZE));
	TRY(passphrase_derive(passphrase, out + AT_SALT, key, sizeof(key)));
	enum result result = aead_seal(key, out + AT_NONCE, span_of(MAGIC, MAGIC_SIZE), plain, out + HEADER_SIZE,
				       out + HEADER_SIZE + plain.size);
	secret_wipe(key, sizeof(key));
	if (result == RESULT_OK)
		ret_export->size += size;
	return result;
}

enum result keys_local_export(const char *directory, struct entropy *entropy, struct span passphrase,
			      struct buf *ret_export, struct note *note)
{
	BUF_CLEANUP struct buf plain = {.size_max = KEY_EXPORT_SIZE_MAX - FRAMING_SIZE};
	TRY(check_passphrase(passphrase, note));
	for (size_t i = 0; i < PART_COUNT; i++)
		TRY(append_part(directory, &part_files[i], &plain, note));
	return seal_export(buf_span(&plain), passphrase, entropy, ret_export);
}

/* ---- import --------------------------------------------------------------------------------------- */

static enum result open_export(struct span file, struct span passphrase, struct buf *plain, struct note *note)
{
	if (file.size < FRAMING_SIZE || file.size > KEY_EXPORT_SIZE_MAX || memcmp(file.data, MAGIC, MAGIC_SIZE) != 0) {
		note_set(note, "this is not a key export of vinveil");
		return RESULT_INVALID;
	}
	uint8_t key[AEAD_KEY_SIZE];
	uint8_t *out = NULL;
	size_t size = file.size - FRAMING_SIZE;
	TRY(buf_reserve(plain, size + 1, &out));
	TRY(passphrase_derive(passphrase, file.data + AT_SALT, key, sizeof(key)));
	enum result result = aead_open(key, file.data + AT_NONCE, span_of(MAGIC, MAGIC_SIZE),
				       span_of(file.data + HEADER_SIZE, size), file.data + HEADER_SIZE + size, out);
	secret_wipe(key, sizeof(key));
	if (result == RESULT_OK)
		plain->size += size;
	if (result != RESULT_CORRUPT)
		return result;
	note_set(note, "wrong passphrase, or the export is damaged");
	return RESULT_DENIED;
}

static enum result split_parts(struct span plain, struct span ret_parts[static PART_COUNT], struct note *note)
{
	struct wire_reader reader = {.rest = plain};
	for (size_t i = 0; i < PART_COUNT; i++)
		ret_parts[i] = wire_get_span(&reader, wire_get_u32(&reader));
	if (wire_end(&reader) == RESULT_OK && ret_parts[PART_ROOT_KEY].size == ROOT_KEY_SIZE &&
	    ret_parts[PART_CRL].size == CRL_CELL_SIZE)
		return RESULT_OK;
	note_set(note, "the export holds something else than keys");
	return RESULT_INVALID;
}

static enum result write_parts(const char *directory, const struct span parts[static PART_COUNT], struct note *note)
{
	struct wire_reader reader = {.rest = parts[PART_CRL]};
	BUF_CLEANUP struct buf crl = {.size_max = CRL_CELL_SIZE};
	TRY(wire_put_u64(&crl, wire_get_u64(&reader) + CRL_NUMBER_LEAP));
	TRY(directory_make(directory, 0700, note));
	for (size_t i = 0; i < PART_TENANTS; i++)
		TRY(vault_create_file(directory, part_files[i].name, parts[i], note));
	struct vault_state state = {
		.tenants = parts[PART_TENANTS],
		.checkpoint = parts[PART_CHECKPOINT],
		.crl = buf_span(&crl),
	};
	return vault_create_state(directory, &state, note);
}

enum result keys_local_import(const char *directory, struct span export_file, struct span passphrase, struct note *note)
{
	struct span parts[PART_COUNT];
	BUF_CLEANUP struct buf plain = {.size_max = KEY_EXPORT_SIZE_MAX};
	TRY(vault_check_none(directory, note));
	TRY(open_export(export_file, passphrase, &plain, note));
	TRY(split_parts(buf_span(&plain), parts, note));
	return write_parts(directory, parts, note);
}
