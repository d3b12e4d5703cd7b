/*
 * What opening a registry has to know of imports.
 */
#ifndef VINVEIL_ADAPTERS_REGISTRY_SQLITE_IMPORT_H
#define VINVEIL_ADAPTERS_REGISTRY_SQLITE_IMPORT_H

#include "adapters/registry/sqlite_db.h"

/* RESULT_UNAVAILABLE when an import stopped midway and uniqueness is not enforced; *ret_is_unbuilt when all rows are
   there and sqlite_import_build() has to be run first. */
MUST_USE enum result sqlite_import_check(struct sqlite_db *db, bool *ret_is_unbuilt, struct note *note);
/* Builds the indexes; whoever calls it has the registry alone. */
MUST_USE enum result sqlite_import_build(struct sqlite_db *db, struct note *note);

#endif
