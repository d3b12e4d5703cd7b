/*
 * An audit log in memory: leaves in order, durable at once. It can be away.
 */
#ifndef VINVEIL_TESTS_FAKE_AUDIT_H
#define VINVEIL_TESTS_FAKE_AUDIT_H

#include "vehicle/ports/audit_log.h"

#include <pthread.h>

#define FAKE_LEAVES_MAX 4096

struct fake_audit {
	struct audit_log log;
	pthread_mutex_t mutex;
	char *leaves[FAKE_LEAVES_MAX]; /* JSON */
	struct uuid ids[FAKE_LEAVES_MAX];
	size_t count;
	enum result append_result;  /* RESULT_OK: works; told by append's return */
	enum result durable_result; /* RESULT_OK: works; told by done */
};

void fake_audit_init(struct fake_audit *audit);
void fake_audit_release(struct fake_audit *audit);
/* The newest leaf, or "". */
const char *fake_audit_last(const struct fake_audit *audit);
/* Does any leaf hold the text? */
bool fake_audit_holds(const struct fake_audit *audit, const char *text);
/* An audit_contains over this log. */
enum result fake_audit_contains(void *audit, const struct uuid *leaf_id, uint64_t from_index);

#endif
