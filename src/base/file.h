/*
 * Files as this project writes them: whole, durable, with the mode said. Paths are the caller's and are
 * named in notes. All of these block.
 */
#ifndef VINVEIL_BASE_FILE_H
#define VINVEIL_BASE_FILE_H

#include "base/buf.h"

#include <sys/types.h>

/* RESULT_ABSENT when there is none; RESULT_EXHAUSTED when it holds more than buf's size_max. */
MUST_USE enum result file_read(const char *path, struct buf *ret_content, struct note *note);

/* Temporary file, fsync, rename, fsync of the directory: after a crash the old or the new content, whole. */
MUST_USE enum result file_replace(const char *path, struct span content, mode_t mode, struct note *note);

/* RESULT_CONFLICT when it exists already; else as file_replace. */
MUST_USE enum result file_create(const char *path, struct span content, mode_t mode, struct note *note);

/* Makes the directory and its missing parents; RESULT_OK when it is there already. */
MUST_USE enum result directory_make(const char *path, mode_t mode, struct note *note);

/* fsync of a directory, so that entries made or removed in it are durable. */
MUST_USE enum result directory_sync(const char *path, struct note *note);

/* RESULT_DENIED with a note that says what to do unless the file is a regular one, owned by this user
   (or root; anybody, when this is root), and readable by nobody else. */
MUST_USE enum result file_check_private(const char *path, struct note *note);

/* The same for a secret that two users share through a group: RESULT_DENIED when everybody may do anything with it. */
MUST_USE enum result file_check_not_public(const char *path, struct note *note);

#define PATH_SIZE 4096
/* Joins with one slash into ret_path[PATH_SIZE]; RESULT_EXHAUSTED when it does not fit. */
MUST_USE enum result path_join(const char *directory, const char *name, char ret_path[static PATH_SIZE]);

bool path_exists(const char *path);

#endif
