/*
 * Leaves of changes that were committed while the audit log refused them (a full disk, say). They stand in the
 * registry's outbox, which is drained at the next start; so that a log which works again is whole again without a
 * restart, they are also remembered here and brought in as soon as it takes them. What does not fit into the memory
 * for it waits for the start. Thread-safe.
 */
#ifndef VINVEIL_VEHICLE_OWED_LEAVES_H
#define VINVEIL_VEHICLE_OWED_LEAVES_H

#include "vehicle/ports/registry.h"

#define OWED_LEAVES_MAX 4096

struct platform;
struct owed_leaves;

MUST_USE enum result owed_leaves_open(struct owed_leaves **ret_owed);
void owed_leaves_close(struct owed_leaves *owed);

/* Copies the leaf; NULL is allowed and remembers nothing. */
void owed_leaves_add(struct owed_leaves *owed, const struct audit_leaf *leaf);

/*
 * Brings them into the log, in the order in which they were added, and has the outbox forget them. RESULT_OK when
 * nothing is owed any more; otherwise what the log said. Blocks; one caller at a time.
 */
MUST_USE enum result owed_leaves_pay(const struct platform *platform, size_t *ret_paid);

#endif
