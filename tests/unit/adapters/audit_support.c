#include "audit_support.h"

#include "base/text.h"

#include <dirent.h>
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the key service -------------------------------------------------------------------------------- */

static enum result compose(const struct fake_signer *signer, uint64_t size, const struct merkle_hash *root,
			   struct buf *ret_note)
{
	uint8_t signature[4 + ED25519_SIGNATURE_SIZE];
	uint32_t id = htobe32(signer->verifier.id);

	TRY(buf_append_format(ret_note, "%s\n%" PRIu64 "\n", signer->verifier.name, size));
	TRY(base64_append(ret_note, span_of(root->bytes, SHA256_SIZE)));
	TRY(buf_append_byte(ret_note, '\n'));
	memcpy(signature, &id, 4);
	TRY(ed25519_sign(signer->key, buf_span(ret_note), signature + 4));
	TRY(buf_append_format(ret_note, "\n\xe2\x80\x94 %s ", signer->verifier.name));
	TRY(base64_append(ret_note, span_of(signature, sizeof(signature))));
	return buf_append_byte(ret_note, '\n');
}

static enum result sign_locked(struct fake_signer *signer, uint64_t size, const struct merkle_hash *root,
			       const struct merkle_proof *proof, struct buf *ret_note)
{
	if (signer->last_size > 0 &&
	    merkle_verify_consistency(proof, signer->last_size, size, &signer->last_root, root) != RESULT_OK) {
		signer->denied_count++;
		return RESULT_DENIED;
	}
	TRY(compose(signer, size, root, ret_note));
	signer->last_size = size;
	signer->last_root = *root;
	signer->signed_count++;
	return RESULT_OK;
}

static enum result sign_checkpoint(struct key_service *service, uint64_t size, const struct merkle_hash *root,
				   const struct merkle_proof *proof, struct buf *ret_note, struct note *note)
{
	struct fake_signer *signer = (struct fake_signer *)service;
	enum result result;

	(void)note;
	if (signer->is_away)
		return RESULT_UNAVAILABLE;
	pthread_mutex_lock(&signer->mutex);
	result = sign_locked(signer, size, root, proof, ret_note);
	pthread_mutex_unlock(&signer->mutex);
	return result;
}

static enum result last_checkpoint(struct key_service *service, uint64_t *ret_size, struct merkle_hash *ret_root,
				   struct note *note)
{
	struct fake_signer *signer = (struct fake_signer *)service;

	if (signer->is_away) {
		note_set(note, "the key service is away");
		return RESULT_UNAVAILABLE;
	}
	pthread_mutex_lock(&signer->mutex);
	*ret_size = signer->last_size;
	*ret_root = signer->last_root;
	pthread_mutex_unlock(&signer->mutex);
	return RESULT_OK;
}

static const struct key_service_ops signer_ops = {
	.sign_checkpoint = sign_checkpoint,
	.last_checkpoint = last_checkpoint,
};

/* ---- the fixture -------------------------------------------------------------------------------------- */

int audit_setup(void **state)
{
	struct audit_fixture *fixture = calloc(1, sizeof(*fixture));
	/* In memory where there is some: the tests sync some ten thousand times, and kills need no disk. */
	const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	uint8_t public_key[ED25519_PUBLIC_SIZE];

	assert_non_null(fixture);
	assert_int_equal(crypto_init(NULL), RESULT_OK);
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/vinveil-audit-XXXXXX", base);
	assert_non_null(mkdtemp(fixture->directory));
	fixture->signer.base.ops = &signer_ops;
	pthread_mutex_init(&fixture->signer.mutex, NULL);
	assert_int_equal(private_key_generate(PRIVATE_KEY_ED25519, &fixture->signer.key, NULL), RESULT_OK);
	assert_int_equal(ed25519_public(fixture->signer.key, public_key), RESULT_OK);
	assert_int_equal(verifier_key_make(TEST_ORIGIN, public_key, &fixture->signer.verifier), RESULT_OK);
	fixture->config = (struct audit_tlog_config){
		.directory = fixture->directory,
		.origin = TEST_ORIGIN,
		.signer = &fixture->signer.base,
		.checkpoint_interval_ms = -1,
		.preallocation = 65536,
	};
	*state = fixture;
	return 0;
}

static void remove_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *file;
	char name[PATH_SIZE];

	if (directory == NULL)
		return;
	while ((file = readdir(directory)) != NULL)
		if (file->d_name[0] != '.' && path_join(path, file->d_name, name) == RESULT_OK)
			unlink(name);
	closedir(directory);
	rmdir(path);
}

int audit_teardown(void **state)
{
	struct audit_fixture *fixture = *state;

	audit_tlog_close(fixture->log);
	remove_directory(fixture->directory);
	private_key_release(fixture->signer.key);
	free(fixture);
	return 0;
}

void audit_open(struct audit_fixture *fixture)
{
	struct note note = {0};
	enum result result = audit_tlog_open(&fixture->config, &fixture->log, &note);

	if (result != RESULT_OK)
		fail_msg("open: %s: %s", result_name(result), note.text);
}

void audit_close(struct audit_fixture *fixture)
{
	audit_tlog_close(fixture->log);
	fixture->log = NULL;
}

void audit_checkpoint(struct audit_fixture *fixture)
{
	struct note note = {0};
	enum result result = audit_tlog_checkpoint_now(fixture->log, &note);

	if (result != RESULT_OK)
		fail_msg("checkpoint: %s: %s", result_name(result), note.text);
}

/* ---- leaves ------------------------------------------------------------------------------------------- */

void number_uuid(uint64_t number, struct uuid *ret_uuid)
{
	uint64_t mixed = number * 0x9e3779b97f4a7c15ULL, big = htobe64(number);

	memcpy(ret_uuid->bytes, &mixed, 8);
	memcpy(ret_uuid->bytes + 8, &big, 8);
}

static size_t put_references(const struct test_leaf *content, char *room, size_t size)
{
	char text[UUID_TEXT_SIZE];
	struct uuid id;
	size_t at = 0;

	if (content->reference == 0)
		return 0;
	number_uuid(content->reference, &id);
	uuid_format(&id, text);
	if (content->batch == 0)
		return (size_t)snprintf(room, size, "\"referenceId\":\"%s\",", text);
	at += (size_t)snprintf(room, size, "\"referenceIds\":[");
	for (size_t i = 0; i < content->batch; i++) {
		number_uuid(content->reference + i, &id);
		uuid_format(&id, text);
		at += (size_t)snprintf(room + at, size - at, "%s\"%s\"", i > 0 ? "," : "", text);
	}
	return at + (size_t)snprintf(room + at, size - at, "],");
}

void make_leaf(uint64_t number, const struct test_leaf *content, char *room, struct audit_leaf *ret_leaf)
{
	size_t size = AUDIT_LEAF_SIZE_MAX + 1, at;
	char id[UUID_TEXT_SIZE], time[RFC3339_TEXT_SIZE];

	number_uuid(number, &ret_leaf->leaf_id);
	uuid_format(&ret_leaf->leaf_id, id);
	rfc3339_format(content->at_ms, time);
	at = (size_t)snprintf(room, size,
			      "{\"leafId\":\"%s\",\"at\":\"%s\",\"actor\":\"%s\",\"tenantId\":\"%s\",\"action\":\"%s\","
			      "\"outcome\":\"%s\",",
			      id, time, content->actor, content->tenant, content->action, content->outcome);
	at += put_references(content, room + at, size - at);
	at += (size_t)snprintf(room + at, size - at, "\"reason\":\"%.*s\",\"number\":%" PRIu64 "}",
			       (int)content->padding, "", number);
	if (content->padding > 0) {
		at = (size_t)(strstr(room, "\"reason\":\"") - room) + 10;
		memset(room + at, 'x', content->padding);
		at += content->padding;
		at += (size_t)snprintf(room + at, size - at, "\",\"number\":%" PRIu64 "}", number);
	}
	ret_leaf->json = span_of(room, at);
}

void plain_leaf(uint64_t number, char *room, struct audit_leaf *ret_leaf)
{
	make_leaf(number,
		  &(struct test_leaf){.tenant = "demo",
				      .actor = "crm",
				      .action = "reference-id.lookup",
				      .outcome = "allowed",
				      .at_ms = 1767225600000 + (int64_t)number,
				      .reference = number + 1},
		  room, ret_leaf);
}

struct waiter {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool is_done;
	enum result result;
	uint64_t first;
};

static void wake_waiter(void *context, enum result result, uint64_t first_index)
{
	struct waiter *waiter = context;

	pthread_mutex_lock(&waiter->mutex);
	waiter->is_done = true;
	waiter->result = result;
	waiter->first = first_index;
	pthread_cond_signal(&waiter->cond);
	pthread_mutex_unlock(&waiter->mutex);
}

enum result append_wait(struct audit_log *log, const struct audit_leaf *leaves, size_t count, uint64_t *ret_first)
{
	struct waiter waiter = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

	TRY(log->ops->append(log, leaves, count, wake_waiter, &waiter));
	pthread_mutex_lock(&waiter.mutex);
	while (!waiter.is_done)
		pthread_cond_wait(&waiter.cond, &waiter.mutex);
	pthread_mutex_unlock(&waiter.mutex);
	if (ret_first != NULL && waiter.result == RESULT_OK)
		*ret_first = waiter.first;
	return waiter.result;
}

void append_numbers(struct audit_log *log, uint64_t first, uint64_t count, size_t group)
{
	struct audit_leaf *leaves = calloc(group, sizeof(*leaves));
	char *rooms = malloc(group * 1024);
	char room[AUDIT_LEAF_SIZE_MAX + 1];

	while (count > 0) {
		size_t part = count < group ? (size_t)count : group;
		uint64_t index = 0;

		for (size_t i = 0; i < part; i++) {
			plain_leaf(first + i, room, &leaves[i]);
			memcpy(rooms + i * 1024, room, leaves[i].json.size);
			leaves[i].json.data = (const uint8_t *)rooms + i * 1024;
		}
		assert_int_equal(append_wait(log, leaves, part, &index), RESULT_OK);
		first += part;
		count -= part;
	}
	free(leaves);
	free(rooms);
}

void assert_entry(struct audit_log *log, uint64_t index, uint64_t number)
{
	ARENA_CLEANUP struct arena arena = {0};
	char room[AUDIT_LEAF_SIZE_MAX + 1];
	struct audit_leaf leaf;
	struct span json;

	assert_int_equal(log->ops->read(log, index, &arena, &json, NULL), RESULT_OK);
	plain_leaf(number, room, &leaf);
	assert_int_equal(json.size, leaf.json.size);
	assert_memory_equal(json.data, leaf.json.data, json.size);
}

/* ---- files ---------------------------------------------------------------------------------------------- */

void file_path(const struct audit_fixture *fixture, const char *name, char ret_path[static PATH_SIZE])
{
	assert_int_equal(path_join(fixture->directory, name, ret_path), RESULT_OK);
}

uint64_t file_size(const struct audit_fixture *fixture, const char *name)
{
	char path[PATH_SIZE];
	struct stat status;

	file_path(fixture, name, path);
	assert_int_equal(stat(path, &status), 0);
	return (uint64_t)status.st_size;
}

void load_file(const struct audit_fixture *fixture, const char *name, struct buf *ret_content)
{
	char path[PATH_SIZE];

	file_path(fixture, name, path);
	ret_content->size_max = (size_t)256 << 20;
	assert_int_equal(file_read(path, ret_content, NULL), RESULT_OK);
}

void store_file(const struct audit_fixture *fixture, const char *name, const void *bytes, size_t size)
{
	char path[PATH_SIZE];
	FILE *file;

	file_path(fixture, name, path);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

enum result verify(const struct audit_fixture *fixture, struct audit_verify_report *ret_report)
{
	struct audit_verify_config config = {
		.directory = fixture->directory, .origin = TEST_ORIGIN, .key = &fixture->signer.verifier};

	return audit_verify(&config, ret_report, NULL);
}

void naive_root(const struct merkle_hash *leaves, uint64_t size, struct merkle_hash *ret_root)
{
	struct merkle_hash left, right;
	uint64_t split = 1;

	if (size == 0) {
		assert_int_equal(sha256(span_of(NULL, 0), ret_root->bytes), RESULT_OK);
		return;
	}
	if (size == 1) {
		*ret_root = leaves[0];
		return;
	}
	while (split * 2 < size)
		split *= 2;
	naive_root(leaves, split, &left);
	naive_root(leaves + split, size - split, &right);
	assert_int_equal(merkle_node_hash(&left, &right, ret_root), RESULT_OK);
}
