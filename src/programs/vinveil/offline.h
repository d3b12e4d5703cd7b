/*
 * What the offline commands share: the installation's paths, acting as its owner, passphrases, and the ports opened in
 * this process.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_OFFLINE_H
#define VINVEIL_PROGRAMS_VINVEIL_OFFLINE_H

#include "base/buf.h"
#include "base/file.h"
#include "programs/vinveil/command.h"

struct offline_paths {
	char directory[PATH_SIZE], registry[PATH_SIZE], audit[PATH_SIZE], keys[PATH_SIZE], keyd_socket[PATH_SIZE];
	char actor[65]; /* "operator-" and the user's name, for history and audit */
};

/*
 * From --data DIR. When run by root, becomes the owner of the directory first, so that no file in it ends up belonging
 * to root where the daemons could not open it. EXIT_DONE, or the exit code with the error told.
 */
int offline_open(const struct invocation *invocation, struct offline_paths *ret_paths);

/* From --passphrase-file, or asked at the terminal without echo (twice when `confirm`). The buf is the caller's. */
int offline_read_passphrase(const struct invocation *invocation, bool confirm, struct buf *ret_passphrase);

#define PASSPHRASE_OPTION                                                                                        \
	{                                                                                                        \
		"passphrase-file", "FILE", "read the passphrase from FILE's first line instead of asking", false \
	}
#define DATA_OPTION                                                  \
	{                                                            \
		"data", "DIR", "the installation's directory", false \
	}

#endif
