/*
 * keyd.conf: what vinveil-keyd reads and `vinveil init` writes.
 *
 *   [keyd]
 *   directory = /var/lib/vinveil/keyd       the vault (adapters/keys/local.h)
 *   socket = /run/vinveil/keyd.sock
 *   origin = vinveil.example/audit          of the audit log
 *   allow = root vinveil                    user names or numeric IDs that may connect; default: root and keyd's own
 *   connections-max = 128
 *   [budget]
 *   index-per-second, index-burst, seal-per-second, fingerprint-per-second, reveals-per-hour, reveals-per-day,
 *   issuances-per-hour
 *   [certificate]
 *   device-days = 90
 *   crl-days = 7
 */
#ifndef VINVEIL_ADAPTERS_KEYS_KEYD_CONFIG_H
#define VINVEIL_ADAPTERS_KEYS_KEYD_CONFIG_H

#include "adapters/keys/budget.h"
#include "adapters/keys/local.h"
#include "base/config.h"
#include "base/file.h"

#define KEYD_SOCKET_PATH_SIZE	 108 /* sun_path, unix(7) */
#define KEYD_CONNECTIONS_DEFAULT 128
#define KEYD_ALLOW_MAX		 16

struct keyd_config {
	char directory[PATH_SIZE];
	char socket[KEYD_SOCKET_PATH_SIZE];
	char origin[KEYS_ORIGIN_MAX + 1];
	char allow[512]; /* separated by spaces; empty: root and the daemon's own user */
	int64_t connections_max;
	struct key_budgets budgets;
	int64_t device_days, crl_days;
};

/* Everything but directory and socket. */
void keyd_config_default(struct keyd_config *ret_config);
/* Over the defaults. RESULT_INVALID with a note that names file, line and key. */
MUST_USE enum result keyd_config_read(const char *path, struct keyd_config *ret_config, struct note *note);
/* The file's text, every key with a comment. */
MUST_USE enum result keyd_config_format(const struct keyd_config *config, struct buf *ret_text);
/* The table, for --help. */
const struct config_key *keyd_config_keys(size_t *ret_count);

#endif
