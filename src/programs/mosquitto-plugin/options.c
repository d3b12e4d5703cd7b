#include "programs/mosquitto-plugin/options.h"

#include "base/text.h"

#include <stdio.h>

enum option_type { OPTION_TEXT, OPTION_SECONDS, OPTION_NUMBER, OPTION_U32 };

struct option {
	const char *key;
	enum option_type type;
	size_t offset;
	uint64_t size_or_min, max; /* text: its size; else the bounds */
};

#define AT(member) offsetof(struct plugin_options, member)
#define WEEK_S	   ((uint64_t)7 * 24 * 3600)

static const struct option options_known[] = {
	{"telemetry_spool", OPTION_TEXT, AT(telemetry_spool), PATH_SIZE, 0},
	{"events_spool", OPTION_TEXT, AT(events_spool), PATH_SIZE, 0},
	{"socket", OPTION_TEXT, AT(socket), PATH_SIZE, 0},
	{"token_file", OPTION_TEXT, AT(token_file), PATH_SIZE, 0},
	{"template", OPTION_TEXT, AT(template_name), TEMPLATE_NAME_SIZE, 0},
	{"stale_refuse_seconds", OPTION_SECONDS, AT(stale_refuse_ms), 2, WEEK_S},
	{"stale_close_seconds", OPTION_SECONDS, AT(stale_close_ms), 2, WEEK_S},
	{"telemetry_spool_mib", OPTION_NUMBER, AT(telemetry_spool_mib), 48, (uint64_t)1 << 20},
	{"messages_per_second", OPTION_U32, AT(flood.per_second), 1, 1000000},
	{"messages_burst", OPTION_U32, AT(flood.burst), 1, 1000000},
};

void options_init(struct plugin_options *options)
{
	*options = (struct plugin_options){
		.template_name = "vinveil",
		.stale_refuse_ms = 10000,
		.stale_close_ms = 3600000,
		.telemetry_spool_mib = 1024,
		.flood = {.per_second = 100, .burst = 200},
	};
}

static enum result refuse(const struct option *option, struct note *note)
{
	if (option->type == OPTION_TEXT)
		note_set(note, "plugin_opt_%s must have 1 to %zu bytes", option->key, (size_t)option->size_or_min - 1);
	else
		note_set(note, "plugin_opt_%s must be a number from %llu to %llu", option->key,
			 (unsigned long long)option->size_or_min, (unsigned long long)option->max);
	return RESULT_INVALID;
}

static enum result set_text(const struct option *option, char *place, const char *value, struct note *note)
{
	size_t length = strlen(value);
	if (length == 0 || length >= option->size_or_min)
		return refuse(option, note);
	memcpy(place, value, length + 1);
	return RESULT_OK;
}

static enum result set(const struct option *option, char *place, const char *value, struct note *note)
{
	uint64_t number = 0;
	if (option->type == OPTION_TEXT)
		return set_text(option, place, value, note);
	if (text_parse_u64(span_of_text(value), option->max, &number) != RESULT_OK || number < option->size_or_min)
		return refuse(option, note);
	if (option->type == OPTION_U32) {
		uint32_t small = (uint32_t)number;
		memcpy(place, &small, sizeof(small));
		return RESULT_OK;
	}
	int64_t wide = (int64_t)number * (option->type == OPTION_SECONDS ? 1000 : 1);
	memcpy(place, &wide, sizeof(wide));
	return RESULT_OK;
}

enum result options_set(struct plugin_options *options, const char *key, const char *value, struct note *note)
{
	for (size_t i = 0; i < sizeof(options_known) / sizeof(options_known[0]); i++) {
		if (strcmp(options_known[i].key, key) == 0)
			return set(&options_known[i], (char *)options + options_known[i].offset, value, note);
	}
	note_set(note, "there is no plugin_opt_%.100s", key);
	return RESULT_INVALID;
}

enum result options_check(const struct plugin_options *options, struct note *note)
{
	for (size_t i = 0; i < sizeof(options_known) / sizeof(options_known[0]); i++) {
		const char *place = (const char *)options + options_known[i].offset;
		if (options_known[i].type == OPTION_TEXT && *place == '\0') {
			note_set(note, "plugin_opt_%s is missing", options_known[i].key);
			return RESULT_INVALID;
		}
	}
	if (strpbrk(options->template_name, "/+#")) {
		note_set(note, "plugin_opt_template must be one segment of a topic, without wildcards");
		return RESULT_INVALID;
	}
	if (options->stale_close_ms < options->stale_refuse_ms) {
		note_set(note, "plugin_opt_stale_close_seconds must not be less than plugin_opt_stale_refuse_seconds");
		return RESULT_INVALID;
	}
	return RESULT_OK;
}
