/*
 * What the tests of the audit log share: a fresh directory, leaves, and a key service that signs with a key made for
 * the test and holds the log to what keyd holds it to.
 */
#ifndef VINVEIL_TESTS_AUDIT_SUPPORT_H
#define VINVEIL_TESTS_AUDIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "adapters/audit/note.h"
#include "adapters/audit/tlog.h"
#include "adapters/audit/verify.h"
#include "base/file.h"

#include <pthread.h>

#define TEST_ORIGIN "vinveil.test/audit"

struct fake_signer {
	struct key_service base;
	pthread_mutex_t mutex;
	struct private_key *key;
	struct verifier_key verifier;
	uint64_t last_size;
	struct merkle_hash last_root;
	_Atomic bool is_away;
	size_t signed_count, denied_count;
};

struct audit_fixture {
	char directory[PATH_SIZE];
	struct fake_signer signer;
	struct audit_tlog_config config; /* no checkpoint thread */
	struct audit_log *log;
};

int audit_setup(void **state);
int audit_teardown(void **state);

/* Opens or closes fixture->log. */
void audit_open(struct audit_fixture *fixture);
void audit_close(struct audit_fixture *fixture);
void audit_checkpoint(struct audit_fixture *fixture);

struct test_leaf {
	const char *tenant, *actor, *action, *outcome;
	int64_t at_ms;
	uint64_t reference; /* 0: none; the Reference ID made of the number */
	size_t batch;	    /* with it: referenceIds of reference … reference + batch - 1 */
	size_t padding;	    /* bytes of a reason */
};
void number_uuid(uint64_t number, struct uuid *ret_uuid);
/* Leaf `number` (its leaf ID) as JSON, in room of AUDIT_LEAF_SIZE_MAX + 1; fills ret_leaf. */
void make_leaf(uint64_t number, const struct test_leaf *content, char *room, struct audit_leaf *ret_leaf);

/* Appends and waits. ret_first may be NULL. */
enum result append_wait(struct audit_log *log, const struct audit_leaf *leaves, size_t count, uint64_t *ret_first);
/* Leaves first … first + count - 1, plain ones, in groups of at most `group`. */
void append_numbers(struct audit_log *log, uint64_t first, uint64_t count, size_t group);
void plain_leaf(uint64_t number, char *room, struct audit_leaf *ret_leaf);
/* Does entry `index` say that it is leaf `number`? */
void assert_entry(struct audit_log *log, uint64_t index, uint64_t number);

void file_path(const struct audit_fixture *fixture, const char *name, char ret_path[static PATH_SIZE]);
uint64_t file_size(const struct audit_fixture *fixture, const char *name);
void load_file(const struct audit_fixture *fixture, const char *name, struct buf *ret_content);
void store_file(const struct audit_fixture *fixture, const char *name, const void *bytes, size_t size);

/* audit_verify over the fixture's directory. */
enum result verify(const struct audit_fixture *fixture, struct audit_verify_report *ret_report);

/* MTH of RFC 6962 section 2.1 by its own words, for comparison. */
void naive_root(const struct merkle_hash *leaves, uint64_t size, struct merkle_hash *ret_root);

#endif
