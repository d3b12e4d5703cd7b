#include "adapters/keys/keyd_config.h"

#include "adapters/authority/openssl.h"
#include "adapters/keys/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>

#define OF(member)	offsetof(struct keyd_config, member)
#define SIZE_OF(member) sizeof(((struct keyd_config *)NULL)->member)

static const struct config_key keys[] = {
	{"keyd", "directory", CONFIG_TEXT, OF(directory), SIZE_OF(directory), 0, 0, true,
	 "the vault: keys and state; readable by the key daemon's user alone"},
	{"keyd", "socket", CONFIG_TEXT, OF(socket), SIZE_OF(socket), 0, 0, true, "UNIX socket for vinveild"},
	{"keyd", "origin", CONFIG_TEXT, OF(origin), SIZE_OF(origin), 0, 0, false,
	 "name of the audit log, first line of its checkpoints; never change it"},
	{"keyd", "allow", CONFIG_TEXT, OF(allow), SIZE_OF(allow), 0, 0, false,
	 "users that may connect, names or numbers separated by spaces; empty: root and the daemon's own"},
	{"keyd", "connections-max", CONFIG_NUMBER, OF(connections_max), 0, 1, 4096, false, "connections at once"},
	{"budget", "index-per-second", CONFIG_NUMBER, OF(budgets.index_per_second), 0, 1, BUDGET_RATE_MAX, false,
	 "VIN indexes computed a tenant and second"},
	{"budget", "index-burst", CONFIG_NUMBER, OF(budgets.index_burst), 0, KEY_INDEX_BATCH_MAX, BUDGET_RATE_MAX,
	 false, "the most that can be saved up"},
	{"budget", "seal-per-second", CONFIG_NUMBER, OF(budgets.seal_per_second), 0, 1, BUDGET_RATE_MAX, false,
	 "VINs sealed a tenant and second"},
	{"budget", "fingerprint-per-second", CONFIG_NUMBER, OF(budgets.fingerprint_per_second), 0, 1, BUDGET_RATE_MAX,
	 false, "request bodies fingerprinted a tenant and second (Idempotency-Key)"},
	{"budget", "reveals-per-hour", CONFIG_NUMBER, OF(budgets.reveals_per_hour), 0, 0, BUDGET_REVEALS_MAX, false,
	 "VINs revealed in any 60 minutes, in the whole installation"},
	{"budget", "reveals-per-day", CONFIG_NUMBER, OF(budgets.reveals_per_day), 0, 0, BUDGET_REVEALS_MAX, false,
	 "VINs revealed in any 24 hours, in the whole installation"},
	{"budget", "issuances-per-hour", CONFIG_NUMBER, OF(budgets.issuances_per_hour), 0, 0, INT64_C(1000000000),
	 false, "device certificates issued an hour"},
	{"certificate", "device-days", CONFIG_NUMBER, OF(device_days), 0, 1, 3650, false,
	 "validity of a device certificate"},
	{"certificate", "crl-days", CONFIG_NUMBER, OF(crl_days), 0, 1, 90, false,
	 "how long a CRL may be used (nextUpdate)"},
};

const struct config_key *keyd_config_keys(size_t *ret_count)
{
	*ret_count = sizeof(keys) / sizeof(keys[0]);
	return keys;
}

void keyd_config_default(struct keyd_config *ret_config)
{
	*ret_config = (struct keyd_config){
		.origin = KEYS_ORIGIN_DEFAULT,
		.connections_max = KEYD_CONNECTIONS_DEFAULT,
		.budgets = key_budgets_default(),
		.device_days = AUTHORITY_DEVICE_DAYS_DEFAULT,
		.crl_days = AUTHORITY_CRL_DAYS_DEFAULT,
	};
}

enum result keyd_config_read(const char *path, struct keyd_config *ret_config, struct note *note)
{
	struct keyd_config config;
	struct note cause = {0};
	keyd_config_default(&config);
	TRY(config_read(path, keys, sizeof(keys) / sizeof(keys[0]), &config, note));
	if (config.directory[0] != '/' || config.socket[0] != '/') {
		note_set(note, "%s: directory and socket must be absolute paths", path);
		return RESULT_INVALID;
	}
	if (origin_check(config.origin, &cause) != RESULT_OK) {
		note_set(note, "%s: %s", path, cause.text);
		return RESULT_INVALID;
	}
	*ret_config = config;
	return RESULT_OK;
}

static enum result append_key(const struct keyd_config *config, const struct config_key *key, struct buf *text)
{
	const char *member = (const char *)config + key->offset;
	TRY(buf_append_format(text, "; %s\n", key->help));
	if (key->type == CONFIG_TEXT)
		return buf_append_format(text, "%s = %s\n", key->key, member);
	int64_t number = 0;
	memcpy(&number, member, sizeof(number));
	return buf_append_format(text, "%s = %" PRId64 "\n", key->key, number);
}

enum result keyd_config_format(const struct keyd_config *config, struct buf *ret_text)
{
	const char *section = "";
	TRY(buf_append_text(ret_text, "; vinveil-keyd, the key daemon\n"));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(section, keys[i].section) != 0)
			TRY(buf_append_format(ret_text, "\n[%s]\n", keys[i].section));
		section = keys[i].section;
		TRY(append_key(config, &keys[i], ret_text));
	}
	return RESULT_OK;
}
