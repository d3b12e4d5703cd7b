#include "adapters/keys/checkpoint.h"

#include "adapters/keys/durable_cell.h"
#include "adapters/keys/vault_files.h"
#include "adapters/keys/wire.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

#define NOTE_SIZE_MAX	    1024
#define SIGNATURE_TYPE	    1 /* Ed25519, C2SP signed-note */
#define CHECKPOINT_SIZE_MAX ((uint64_t)INT64_MAX)

/* ---- form ----------------------------------------------------------------------------------------- */

enum result origin_check(const char *origin, struct note *note)
{
	size_t length = strlen(origin);
	if (length > 0 && length <= KEYS_ORIGIN_MAX && utf8_is_valid(span_of_text(origin)) &&
	    strpbrk(origin, " +\t\r\n\v\f") == NULL)
		return RESULT_OK;
	note_set(note, "origin must be 1 to %d characters without space or '+', such as %s", KEYS_ORIGIN_MAX,
		 KEYS_ORIGIN_DEFAULT);
	return RESULT_INVALID;
}

enum result note_key_id(const char *name, const uint8_t public_key[static ED25519_PUBLIC_SIZE],
			uint8_t ret_id[static 4])
{
	static const uint8_t middle[] = {'\n', SIGNATURE_TYPE};
	const struct span parts[] = {span_of_text(name), span_of(middle, sizeof(middle)),
				     span_of(public_key, ED25519_PUBLIC_SIZE)};
	uint8_t digest[SHA256_SIZE];
	TRY(sha256_parts(parts, 3, digest));
	memcpy(ret_id, digest, 4);
	return RESULT_OK;
}

enum result checkpoint_state_format(uint64_t size, const struct merkle_hash *root, struct buf *ret_content)
{
	TRY(wire_put_u64(ret_content, size));
	return wire_put(ret_content, root->bytes, SHA256_SIZE);
}

static enum result read_state(struct checkpoint_signer *signer, struct span stored, const char *path, struct note *note)
{
	struct wire_reader reader = {.rest = stored};
	signer->size = wire_get_u64(&reader);
	wire_get(&reader, signer->root.bytes, SHA256_SIZE);
	if (wire_end(&reader) == RESULT_OK)
		return RESULT_OK;
	note_set(note, "%s holds something else than a checkpoint", path);
	return RESULT_CORRUPT;
}

/* ---- opening -------------------------------------------------------------------------------------- */

enum result checkpoint_signer_open(const char *directory, const char *origin, struct checkpoint_signer *signer,
				   struct note *note)
{
	char path[PATH_SIZE];
	uint8_t public_key[ED25519_PUBLIC_SIZE];
	BUF_CLEANUP struct buf stored = {.size_max = CHECKPOINT_CELL_SIZE};
	pthread_mutex_init(&signer->mutex, NULL);
	TRY(origin_check(origin, note));
	snprintf(signer->origin, sizeof(signer->origin), "%s", origin);
	TRY(path_join(directory, VAULT_AUDIT_KEY, path));
	TRY(private_key_read(path, &signer->key, note));
	TRY(ed25519_public(signer->key, public_key));
	TRY(note_key_id(origin, public_key, signer->key_id));
	TRY(path_join(directory, VAULT_CHECKPOINT, path));
	TRY(durable_cell_open(path, CHECKPOINT_CELL_SIZE, &stored, &signer->cell, note));
	return read_state(signer, buf_span(&stored), path, note);
}

void checkpoint_signer_release(struct checkpoint_signer *signer)
{
	private_key_release(signer->key);
	signer->key = NULL;
	durable_cell_close(signer->cell);
	signer->cell = NULL;
}

/* ---- signing -------------------------------------------------------------------------------------- */

static enum result check_extends(const struct checkpoint_signer *signer, uint64_t size, const struct merkle_hash *root,
				 const struct merkle_proof *proof, struct note *note)
{
	struct merkle_hash empty;
	if (size > CHECKPOINT_SIZE_MAX)
		return RESULT_INVALID;
	TRY(merkle_root(NULL, 0, &empty));
	if (size == 0 && memcmp(root->bytes, empty.bytes, SHA256_SIZE) != 0) {
		note_set(note, "an empty tree has one root, and this is another");
		return RESULT_DENIED;
	}
	if (size < signer->size) {
		note_set(note, "a tree of %" PRIu64 " was signed already, this one has %" PRIu64, signer->size, size);
		return RESULT_DENIED;
	}
	if (size == signer->size && size > 0) {
		if (memcmp(root->bytes, signer->root.bytes, SHA256_SIZE) == 0)
			return RESULT_OK;
		note_set(note, "another tree of %" PRIu64 " was signed already", size);
		return RESULT_DENIED;
	}
	if (signer->size == 0)
		return RESULT_OK;
	enum result result = merkle_verify_consistency(proof, signer->size, size, &signer->root, root);
	if (result != RESULT_OK)
		note_set(note, "the tree of %" PRIu64 " is not proved to extend the one of %" PRIu64, size,
			 signer->size);
	return result == RESULT_INVALID ? RESULT_DENIED : result;
}

static enum result remember(struct checkpoint_signer *signer, uint64_t size, const struct merkle_hash *root,
			    struct note *note)
{
	if (size == signer->size && memcmp(root->bytes, signer->root.bytes, SHA256_SIZE) == 0)
		return RESULT_OK;
	BUF_CLEANUP struct buf content = {.size_max = CHECKPOINT_CELL_SIZE};
	TRY(checkpoint_state_format(size, root, &content));
	TRY(durable_cell_store(signer->cell, buf_span(&content), note));
	signer->size = size;
	signer->root = *root;
	return RESULT_OK;
}

static enum result compose(const struct checkpoint_signer *signer, uint64_t size, const struct merkle_hash *root,
			   struct buf *text)
{
	uint8_t signature[4 + ED25519_SIGNATURE_SIZE];
	TRY(buf_append_format(text, "%s\n%" PRIu64 "\n", signer->origin, size));
	TRY(base64_append(text, span_of(root->bytes, SHA256_SIZE)));
	TRY(buf_append_text(text, "\n"));
	memcpy(signature, signer->key_id, 4);
	TRY(ed25519_sign(signer->key, buf_span(text), signature + 4));
	TRY(buf_append_format(text, "\n\xe2\x80\x94 %s ", signer->origin));
	TRY(base64_append(text, span_of(signature, sizeof(signature))));
	return buf_append_text(text, "\n");
}

static enum result sign_locked(struct checkpoint_signer *signer, uint64_t size, const struct merkle_hash *root,
			       const struct merkle_proof *proof, struct buf *ret_note, struct note *note)
{
	BUF_CLEANUP struct buf text = {.size_max = NOTE_SIZE_MAX};
	TRY(check_extends(signer, size, root, proof, note));
	/* Remembered first: a signature that nobody remembers could be contradicted after a crash. */
	TRY(remember(signer, size, root, note));
	TRY(compose(signer, size, root, &text));
	return buf_append(ret_note, buf_span(&text));
}

enum result checkpoint_sign(struct checkpoint_signer *signer, uint64_t size, const struct merkle_hash *root,
			    const struct merkle_proof *proof, struct buf *ret_note, struct note *note)
{
	pthread_mutex_lock(&signer->mutex);
	enum result result = sign_locked(signer, size, root, proof, ret_note, note);
	pthread_mutex_unlock(&signer->mutex);
	return result;
}

void checkpoint_last(struct checkpoint_signer *signer, uint64_t *ret_size, struct merkle_hash *ret_root)
{
	pthread_mutex_lock(&signer->mutex);
	*ret_size = signer->size;
	*ret_root = signer->root;
	pthread_mutex_unlock(&signer->mutex);
}
