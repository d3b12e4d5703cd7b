#include "base/result.h"

#include <stdarg.h>
#include <stdio.h>

void note_set(struct note *note, const char *format, ...)
{
	if (!note)
		return;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(note->text, sizeof(note->text), format, arguments);
	va_end(arguments);
}

const char *result_name(enum result result)
{
	switch (result) {
	case RESULT_OK:
		return "ok";
	case RESULT_ABSENT:
		return "absent";
	case RESULT_INVALID:
		return "invalid";
	case RESULT_CONFLICT:
		return "conflict";
	case RESULT_DENIED:
		return "denied";
	case RESULT_EXHAUSTED:
		return "exhausted";
	case RESULT_UNAVAILABLE:
		return "unavailable";
	case RESULT_CORRUPT:
		return "corrupt";
	case RESULT_MEMORY:
		return "memory";
	}
	return "unknown";
}
