/* Mosquitto's configuration file as an installation needs it. */
#ifndef VINVEIL_PROGRAMS_VINVEIL_BROKER_CONFIG_H
#define VINVEIL_PROGRAMS_VINVEIL_BROKER_CONFIG_H

#include "programs/vinveil/installation.h"

#define PLUGIN_NAME	 "mosquitto_vinveil.so"
#define GATEWAY_TEMPLATE "vinveil" /* of fleet provisioning */
/* In the data directory. */
#define BROKER_SOCKET "gateway/run/broker.sock"
#define CLAIM_SOCKET  "gateway/run/gateway.sock"

enum { SPOOL_EVENTS, SPOOL_TELEMETRY, SPOOL_CONTROL, SPOOL_COUNT };
extern const char *const gateway_spools[SPOOL_COUNT];

struct broker_config {
	const struct installation *installation;
	const char *user; /* whom the broker becomes when root starts it */
	char plugin[PATH_SIZE];
};

MUST_USE enum result broker_config_format(const struct broker_config *config, struct buf *text);
/* Where the plugin is: beside this program, or where it was installed. */
MUST_USE enum result installation_plugin(char ret_path[static PATH_SIZE]);
/* Debian's mosquitto, or the one in PATH. RESULT_ABSENT: there is none. */
MUST_USE enum result broker_find(char ret_path[static PATH_SIZE]);

#endif
