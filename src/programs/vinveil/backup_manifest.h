/*
 * backup.json: what a backup holds, when it was made, and the digest of each of its files. Written last, so that a
 * directory without it is no backup.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_BACKUP_MANIFEST_H
#define VINVEIL_PROGRAMS_VINVEIL_BACKUP_MANIFEST_H

#include "base/result.h"

#include <stddef.h>
#include <stdint.h>

#define BACKUP_MANIFEST_FILE "backup.json"
#define BACKUP_REGISTRY_FILE "registry.db"
#define BACKUP_NAME_SIZE     128
#define BACKUP_FILES_MAX     65536

struct backup_file {
	char name[BACKUP_NAME_SIZE]; /* "audit/entries-000000" */
	uint64_t size;
	char sha256[65];
};

struct backup_manifest {
	int64_t created_at_ms;
	uint64_t log_size;    /* entries in the backup's log */
	uint64_t replay_from; /* every change that the registry lacks has its leaf at this index or later */
	struct backup_file *files;
	size_t file_count;
};
#define BACKUP_MANIFEST_CLEANUP __attribute__((cleanup(backup_manifest_release)))
void backup_manifest_release(struct backup_manifest *manifest);

/* Adds DIRECTORY/NAME as it is on disk now. */
MUST_USE enum result backup_manifest_add(struct backup_manifest *manifest, const char *directory, const char *name,
					 struct note *note);
MUST_USE enum result backup_manifest_write(const struct backup_manifest *manifest, const char *directory,
					   struct note *note);
/* Reads it and compares every file with it. RESULT_ABSENT: no backup; RESULT_CORRUPT: a file is not as it was. */
MUST_USE enum result backup_manifest_read(const char *directory, struct backup_manifest *ret_manifest,
					  struct note *note);

#endif
