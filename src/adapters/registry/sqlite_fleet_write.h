/*
 * The writes of what connected vehicles bring with them: commands, alerts, claims and certificates issued ahead,
 * signal documents. Each within the writing connection's transaction, as in sqlite_write.h.
 */
#ifndef VINVEIL_ADAPTERS_REGISTRY_SQLITE_FLEET_WRITE_H
#define VINVEIL_ADAPTERS_REGISTRY_SQLITE_FLEET_WRITE_H

#include "adapters/registry/sqlite_write.h"

MUST_USE enum result write_insert_command(struct write *write, const struct remote_command *command);
MUST_USE enum result write_update_command(struct write *write, const struct remote_command *command);
MUST_USE enum result write_insert_alert(struct write *write, const struct alert *alert);
MUST_USE enum result write_insert_claim(struct write *write, const struct claim *claim);
MUST_USE enum result write_revoke_claim(struct write *write, const struct claim *claim);
MUST_USE enum result write_use_claim(struct write *write, const struct registry_write *what);
MUST_USE enum result write_insert_ownership(struct write *write, const struct ownership *ownership);
MUST_USE enum result write_take_ownership(struct write *write, const struct registry_write *what);
MUST_USE enum result write_signal_document(struct write *write, const struct signal_document *document);

#endif
