/* The plugin's options: plugin_opt_… lines of mosquitto.conf. */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_OPTIONS_H
#define VINVEIL_MOSQUITTO_PLUGIN_OPTIONS_H

#include "base/file.h"
#include "programs/mosquitto-plugin/flood.h"
#include "programs/mosquitto-plugin/topics.h"

struct plugin_options {
	char telemetry_spool[PATH_SIZE];
	char events_spool[PATH_SIZE];
	char socket[PATH_SIZE]; /* vinveild's, for claims */
	char token_file[PATH_SIZE];
	char template_name[TEMPLATE_NAME_SIZE];
	int64_t stale_refuse_ms, stale_close_ms;
	int64_t telemetry_spool_mib;
	struct flood_limit flood;
};

/* Defaults, where there are any. */
void options_init(struct plugin_options *options);
/* One line. RESULT_INVALID with a note that names the option: unknown, or not such a value. */
MUST_USE enum result options_set(struct plugin_options *options, const char *key, const char *value, struct note *note);
/* RESULT_INVALID: one that must be there is missing, or two do not go together. */
MUST_USE enum result options_check(const struct plugin_options *options, struct note *note);

#endif
