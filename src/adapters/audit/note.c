#include "adapters/audit/note.h"

#include "base/text.h"

#include <endian.h>

#define SIGNATURE_ED25519    0x01
#define SIGNATURE_BYTES_MAX  8192 /* post-quantum cosignatures of others have nearly 5 kB */
#define SIGNATURE_LINE_START "\xe2\x80\x94 "

static enum result invalid(struct note *note, const char *what)
{
	note_set(note, "signed note: %s", what);
	return RESULT_INVALID;
}

/* ---- key names and verifier keys ---------------------------------------------------------------------- */

/* Is there a Unicode space (White_Space of three bytes or fewer) at the start? Well-formed UTF-8 only. */
static bool starts_with_space(const uint8_t *at, size_t size)
{
	static const char *const spaces[] = {
		" ",
		"\xc2\x85",
		"\xc2\xa0",
		"\xe1\x9a\x80",
		"\xe2\x80\x80",
		"\xe2\x80\x81",
		"\xe2\x80\x82",
		"\xe2\x80\x83",
		"\xe2\x80\x84",
		"\xe2\x80\x85",
		"\xe2\x80\x86",
		"\xe2\x80\x87",
		"\xe2\x80\x88",
		"\xe2\x80\x89",
		"\xe2\x80\x8a",
		"\xe2\x80\xa8",
		"\xe2\x80\xa9",
		"\xe2\x80\xaf",
		"\xe2\x81\x9f",
		"\xe3\x80\x80",
	};

	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		size_t length = strlen(spaces[i]);

		if (size >= length && memcmp(at, spaces[i], length) == 0)
			return true;
	}
	return *at < 0x20;
}

static bool is_key_name(struct span name)
{
	if (name.size == 0 || name.size > VERIFIER_KEY_NAME_MAX || !utf8_is_valid(name))
		return false;
	for (size_t i = 0; i < name.size; i++)
		if (name.data[i] == '+' || starts_with_space(name.data + i, name.size - i))
			return false;
	return true;
}

static enum result make_key(struct span name, const uint8_t public_key[static ED25519_PUBLIC_SIZE],
			    struct verifier_key *ret_key)
{
	static const uint8_t separator[] = {'\n', SIGNATURE_ED25519};
	const struct span parts[] = {name, span_of(separator, 2), span_of(public_key, ED25519_PUBLIC_SIZE)};
	struct verifier_key key = {0};
	uint8_t digest[SHA256_SIZE];
	uint32_t id;

	if (!is_key_name(name))
		return RESULT_INVALID;
	TRY(sha256_parts(parts, 3, digest));
	memcpy(&id, digest, sizeof(id));
	key.id = be32toh(id);
	memcpy(key.name, name.data, name.size);
	memcpy(key.public_key, public_key, ED25519_PUBLIC_SIZE);
	*ret_key = key;
	return RESULT_OK;
}

enum result verifier_key_make(const char *name, const uint8_t public_key[static ED25519_PUBLIC_SIZE],
			      struct verifier_key *ret_key)
{
	return make_key(span_of_text(name), public_key, ret_key);
}

/* Takes what stands before the separator off the front of *text. */
static bool cut_at(struct span *text, uint8_t separator, struct span *ret_front)
{
	const uint8_t *at = text->size == 0 ? NULL : memchr(text->data, separator, text->size);

	if (at == NULL)
		return false;
	*ret_front = span_of(text->data, (size_t)(at - text->data));
	*text = span_of(at + 1, text->size - ret_front->size - 1);
	return true;
}

enum result verifier_key_parse(struct span text, struct verifier_key *ret_key, struct note *note)
{
	uint8_t material[1 + ED25519_PUBLIC_SIZE], id[4];
	struct span name, hex;
	struct verifier_key key;
	uint32_t told;
	size_t size;

	if (!cut_at(&text, '+', &name) || !cut_at(&text, '+', &hex) ||
	    hex_parse(hex, false, id, sizeof(id)) != RESULT_OK)
		return invalid(note, "a verifier key has the form <name>+<8 hex digits>+<base64>");
	if (base64_parse(text, material, sizeof(material), &size) != RESULT_OK || size != sizeof(material) ||
	    material[0] != SIGNATURE_ED25519)
		return invalid(note, "the verifier key is not an Ed25519 key");
	if (make_key(name, material + 1, &key) != RESULT_OK)
		return invalid(note, "the verifier key's name must not be empty nor hold spaces");
	memcpy(&told, id, sizeof(told));
	if (be32toh(told) != key.id)
		return invalid(note, "the verifier key's ID does not fit its name and key: it was changed or mistyped");
	*ret_key = key;
	return RESULT_OK;
}

enum result verifier_key_format(const struct verifier_key *key, struct buf *ret_text)
{
	uint8_t material[1 + ED25519_PUBLIC_SIZE] = {SIGNATURE_ED25519};

	memcpy(material + 1, key->public_key, ED25519_PUBLIC_SIZE);
	TRY(buf_append_format(ret_text, "%s+%08x+", key->name, key->id));
	return base64_append(ret_text, span_of(material, sizeof(material)));
}

/* ---- notes ---------------------------------------------------------------------------------------------- */

static bool has_control(struct span bytes)
{
	for (size_t i = 0; i < bytes.size; i++)
		if (bytes.data[i] < 0x20 && bytes.data[i] != '\n')
			return true;
	return false;
}

/* The text is everything before the last empty line. */
static bool split(struct span bytes, struct span *ret_text, struct span *ret_signatures)
{
	for (size_t at = bytes.size; at >= 2; at--) {
		if (bytes.data[at - 1] != '\n' || bytes.data[at - 2] != '\n')
			continue;
		*ret_text = span_of(bytes.data, at - 1);
		*ret_signatures = span_of(bytes.data + at, bytes.size - at);
		return true;
	}
	return false;
}

static enum result parse_signature(struct span line, struct note_signature *ret_signature, struct note *note)
{
	uint8_t bytes[SIGNATURE_BYTES_MAX];
	size_t start = strlen(SIGNATURE_LINE_START), size;
	struct note_signature signature;
	uint32_t id;

	if (line.size < start || memcmp(line.data, SIGNATURE_LINE_START, start) != 0)
		return invalid(note, "a signature line does not begin with an em dash and a space");
	line = span_of(line.data + start, line.size - start);
	if (!cut_at(&line, ' ', &signature.name) || !is_key_name(signature.name))
		return invalid(note, "a signature line has no proper key name");
	if (base64_parse(line, bytes, sizeof(bytes), &size) != RESULT_OK || size <= sizeof(id))
		return invalid(note, "a signature is not base64, or too short");
	memcpy(&id, bytes, sizeof(id));
	signature.id = be32toh(id);
	signature.base64 = line;
	*ret_signature = signature;
	return RESULT_OK;
}

enum result signed_note_parse(struct span bytes, struct signed_note *ret_note, struct note *note)
{
	struct signed_note parsed = {0};
	struct span rest, line;

	if (bytes.size > SIGNED_NOTE_SIZE_MAX)
		return invalid(note, "it is too large");
	if (!utf8_is_valid(bytes) || has_control(bytes))
		return invalid(note, "it is not UTF-8 text without control characters");
	if (!split(bytes, &parsed.text, &rest))
		return invalid(note, "no empty line parts text and signatures");
	while (rest.size > 0) {
		if (parsed.signature_count == SIGNED_NOTE_SIGNATURES_MAX)
			return invalid(note, "it has too many signatures");
		if (!cut_at(&rest, '\n', &line))
			return invalid(note, "its last line is cut off");
		TRY(parse_signature(line, &parsed.signatures[parsed.signature_count], note));
		parsed.signature_count++;
	}
	if (parsed.signature_count == 0)
		return invalid(note, "it has no signature");
	*ret_note = parsed;
	return RESULT_OK;
}

static enum result verify_signature(const struct signed_note *signed_note, const struct note_signature *signature,
				    const struct verifier_key *key)
{
	uint8_t bytes[4 + ED25519_SIGNATURE_SIZE];
	size_t size;

	if (base64_parse(signature->base64, bytes, sizeof(bytes), &size) != RESULT_OK || size != sizeof(bytes))
		return RESULT_DENIED;
	return ed25519_verify(key->public_key, signed_note->text, bytes + 4);
}

enum result signed_note_verify(const struct signed_note *signed_note, const struct verifier_key *key, struct note *note)
{
	bool is_signed = false;

	for (size_t i = 0; i < signed_note->signature_count; i++) {
		const struct note_signature *signature = &signed_note->signatures[i];

		if (signature->id != key->id || !span_is_text(signature->name, key->name))
			continue;
		if (verify_signature(signed_note, signature, key) != RESULT_OK) {
			note_set(note, "signed note: the signature of %.64s+%08x does not hold", key->name, key->id);
			return RESULT_DENIED;
		}
		is_signed = true;
	}
	if (is_signed)
		return RESULT_OK;
	note_set(note, "signed note: it is not signed by %.64s+%08x", key->name, key->id);
	return RESULT_DENIED;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------- */

enum result checkpoint_parse(struct span text, struct checkpoint *ret_checkpoint, struct note *note)
{
	struct checkpoint checkpoint;
	struct span size_text, root_text;
	size_t size;

	if (!cut_at(&text, '\n', &checkpoint.origin) || checkpoint.origin.size == 0 ||
	    !cut_at(&text, '\n', &size_text) || !cut_at(&text, '\n', &root_text))
		return invalid(note, "a checkpoint has three lines: origin, size, root");
	if (text.size > 0)
		return invalid(note, "the checkpoint has more than three lines");
	if (text_parse_u64(size_text, INT64_MAX, &checkpoint.size) != RESULT_OK)
		return invalid(note, "the checkpoint's size is no decimal number");
	if (base64_parse(root_text, checkpoint.root.bytes, SHA256_SIZE, &size) != RESULT_OK || size != SHA256_SIZE)
		return invalid(note, "the checkpoint's root is not the base64 of 32 bytes");
	*ret_checkpoint = checkpoint;
	return RESULT_OK;
}

enum result checkpoint_read(struct span bytes, const char *origin, const struct verifier_key *key,
			    struct checkpoint *ret_checkpoint, struct note *note)
{
	struct signed_note signed_note;
	struct checkpoint checkpoint;

	TRY(signed_note_parse(bytes, &signed_note, note));
	TRY(checkpoint_parse(signed_note.text, &checkpoint, note));
	if (!span_is_text(checkpoint.origin, origin))
		return invalid(note, "it is the checkpoint of another log: its origin differs");
	if (key != NULL)
		TRY(signed_note_verify(&signed_note, key, note));
	*ret_checkpoint = checkpoint;
	return RESULT_OK;
}
