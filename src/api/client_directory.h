/*
 * Who is who, in memory: clients by certificate fingerprint, with their tenants. An immutable snapshot is read
 * from the registry at start, after each change of a client, and now and then (another process may have changed it);
 * a request holds the snapshot it was authenticated by until it is answered. Thread-safe.
 */
#ifndef VINVEIL_API_CLIENT_DIRECTORY_H
#define VINVEIL_API_CLIENT_DIRECTORY_H

#include "vehicle/ports/registry.h"

struct principal {
	struct client client;
	struct tenant tenant;
};

struct client_directory;
struct client_snapshot;

MUST_USE enum result client_directory_open(struct registry *registry, struct client_directory **ret_directory,
					   struct note *note);
void client_directory_close(struct client_directory *directory);

/* Reads it anew. On failure the former snapshot stays. Blocks. */
MUST_USE enum result client_directory_reload(struct client_directory *directory, struct note *note);

/* A snapshot to be given back by client_snapshot_release(). Never NULL. */
struct client_snapshot *client_directory_take(struct client_directory *directory);
void client_snapshot_release(struct client_snapshot *snapshot);

/* NULL when no client has registered it. Lives as long as the snapshot. */
const struct principal *client_snapshot_find(const struct client_snapshot *snapshot,
					     const uint8_t fingerprint[static SHA256_SIZE]);
size_t client_snapshot_count(const struct client_snapshot *snapshot);

#endif
