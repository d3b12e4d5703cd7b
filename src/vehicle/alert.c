#include "vehicle/alert.h"

static const char *const kind_names[] = {[ALERT_CLONED_KEY] = "cloned-key"};
#define KIND_COUNT (sizeof(kind_names) / sizeof(kind_names[0]))

const char *alert_kind_name(enum alert_kind kind)
{
	return kind_names[kind];
}

enum result alert_kind_parse(struct span text, enum alert_kind *ret_kind)
{
	for (size_t i = ALERT_CLONED_KEY; i < KIND_COUNT; i++) {
		if (!span_is_text(text, kind_names[i]))
			continue;
		*ret_kind = (enum alert_kind)i;
		return RESULT_OK;
	}
	return RESULT_INVALID;
}
