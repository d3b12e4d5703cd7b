#include "adapters/audit/store.h"
#include "adapters/audit/verify.h"
#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#define PROOF_HEADER "c2sp.org/tlog-proof@v1\n"

enum result audit_proof_format(uint64_t index, const struct merkle_proof *proof, struct span checkpoint,
			       struct buf *ret_text)
{
	TRY(buf_append_format(ret_text, PROOF_HEADER "index %" PRIu64 "\n", index));
	for (size_t i = 0; i < proof->count; i++) {
		TRY(base64_append(ret_text, span_of(proof->hashes[i].bytes, SHA256_SIZE)));
		TRY(buf_append_byte(ret_text, '\n'));
	}
	TRY(buf_append_byte(ret_text, '\n'));
	return buf_append(ret_text, checkpoint);
}

/* ---- making one from the files ------------------------------------------------------------------------------- */

/* By the framing alone: what is proved must not depend on the index. */
static enum result read_entry(const struct audit_store *store, uint64_t index, struct buf *ret_leaf, struct note *note)
{
	struct entry_reader reader;
	struct span entry = {NULL, 0};
	enum result result = entry_reader_open(&reader, store, index / SEGMENT_ENTRIES * SEGMENT_ENTRIES, 0);

	while (result == RESULT_OK && reader.index <= index)
		result = entry_reader_next(&reader, &entry, note);
	if (result == RESULT_OK)
		result = buf_append(ret_leaf, entry);
	entry_reader_close(&reader);
	if (result != RESULT_ABSENT)
		return result;
	note_set(note, "audit log: entry %" PRIu64 " is missing", index);
	return RESULT_CORRUPT;
}

static enum result make_proof(struct audit_store *store, const struct audit_verify_config *config, uint64_t index,
			      struct buf *ret_text, struct buf *ret_leaf, struct note *note)
{
	BUF_CLEANUP struct buf bytes = {.size_max = SIGNED_NOTE_SIZE_MAX};
	struct checkpoint checkpoint;
	struct merkle_proof proof;
	struct merkle_hash hash;
	char path[PATH_SIZE];

	TRY(path_join(config->directory, CHECKPOINT_FILE, path));
	TRY(file_read(path, &bytes, note));
	TRY(checkpoint_read(buf_span(&bytes), config->origin, config->key, &checkpoint, note));
	if (index >= checkpoint.size) {
		note_set(note, "entry %" PRIu64 " is not under the newest checkpoint, which covers %" PRIu64 " entries",
			 index, checkpoint.size);
		return RESULT_ABSENT;
	}
	buf_clear(ret_leaf);
	TRY(read_entry(store, index, ret_leaf, note));
	TRY(merkle_leaf_hash(buf_span(ret_leaf), &hash));
	if (merkle_prove_inclusion(&store->reader, index, checkpoint.size, &proof) != RESULT_OK ||
	    merkle_verify_inclusion(&proof, index, checkpoint.size, &hash, &checkpoint.root) != RESULT_OK) {
		note_set(note, "audit log: entry %" PRIu64 " or the hashes around it were changed", index);
		return RESULT_CORRUPT;
	}
	return audit_proof_format(index, &proof, buf_span(&bytes), ret_text);
}

enum result audit_proof_make(const struct audit_verify_config *config, uint64_t index, struct buf *ret_text,
			     struct buf *ret_leaf, struct note *note)
{
	struct audit_store store;
	enum result result = store_open(config->directory, false, &store, note);

	if (result == RESULT_OK)
		result = make_proof(&store, config, index, ret_text, ret_leaf, note);
	store_close(&store);
	return result;
}

/* ---- verifying ------------------------------------------------------------------------------------------------- */

static enum result invalid(struct note *note, const char *what)
{
	note_set(note, "tlog-proof: %s", what);
	return RESULT_INVALID;
}

static bool take_line(struct span *text, struct span *ret_line)
{
	const uint8_t *at = text->size == 0 ? NULL : memchr(text->data, '\n', text->size);

	if (at == NULL)
		return false;
	*ret_line = span_of(text->data, (size_t)(at - text->data));
	*text = span_of(at + 1, text->size - ret_line->size - 1);
	return true;
}

static bool take_prefix(struct span *text, const char *prefix)
{
	size_t size = strlen(prefix);

	if (text->size < size || memcmp(text->data, prefix, size) != 0)
		return false;
	*text = span_of(text->data + size, text->size - size);
	return true;
}

/* Leaves the checkpoint in *text. An `extra` line is read over: nothing here depends on it. */
static enum result parse_proof(struct span *text, uint64_t *ret_index, struct merkle_proof *ret_proof,
			       struct note *note)
{
	struct span line;
	size_t size;

	ret_proof->count = 0;
	if (!take_prefix(text, PROOF_HEADER) || !take_line(text, &line))
		return invalid(note, "it does not begin with \"c2sp.org/tlog-proof@v1\"");
	if (take_prefix(&line, "extra ") && !take_line(text, &line))
		return invalid(note, "it is cut off");
	if (!take_prefix(&line, "index ") || text_parse_u64(line, INT64_MAX, ret_index) != RESULT_OK)
		return invalid(note, "it has no proper index line");
	for (;;) {
		if (!take_line(text, &line))
			return invalid(note, "it is cut off");
		if (line.size == 0)
			return RESULT_OK;
		if (ret_proof->count == MERKLE_PROOF_MAX)
			return invalid(note, "it has too many hashes");
		if (base64_parse(line, ret_proof->hashes[ret_proof->count].bytes, SHA256_SIZE, &size) != RESULT_OK ||
		    size != SHA256_SIZE)
			return invalid(note, "a hash is not the base64 of 32 bytes");
		ret_proof->count++;
	}
}

enum result audit_proof_verify(struct span text, struct span leaf, const char *origin, const struct verifier_key *key,
			       uint64_t *ret_index, struct note *note)
{
	struct merkle_proof proof;
	struct checkpoint checkpoint;
	struct merkle_hash hash;
	uint64_t index;

	if (text.size > AUDIT_PROOF_SIZE_MAX)
		return invalid(note, "it is too large");
	TRY(parse_proof(&text, &index, &proof, note));
	TRY(checkpoint_read(text, origin, key, &checkpoint, note));
	TRY(merkle_leaf_hash(leaf, &hash));
	if (merkle_verify_inclusion(&proof, index, checkpoint.size, &hash, &checkpoint.root) != RESULT_OK) {
		note_set(note, "tlog-proof: the entry is not entry %" PRIu64 " of the signed tree", index);
		return RESULT_DENIED;
	}
	*ret_index = index;
	return RESULT_OK;
}
