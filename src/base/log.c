#include "base/log.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define DETAIL_SIZE   2048
#define LINE_SIZE_MAX (DETAIL_SIZE * 6 + 512) /* each byte may become \u00xx */

static const char *_Atomic log_program = "vinveil";
static _Atomic int log_least = LOG_INFO;

void log_init(const char *program, enum log_level least)
{
	atomic_store(&log_program, program);
	atomic_store(&log_least, (int)least);
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG:
		return "debug";
	case LOG_INFO:
		return "info";
	case LOG_WARN:
		return "warn";
	case LOG_ERROR:
		return "error";
	}
	return "error";
}

/* A cut token could be most of a VIN and no longer look like one, so a token that was cut goes altogether. */
static void drop_cut_token(char *detail)
{
	size_t length = strlen(detail);
	while (length > 0 && text_is_printable(span_of(detail + length - 1, 1), false))
		length--;
	secret_wipe(detail + length, strlen(detail + length));
}

static void clean_detail(char *detail, bool cut)
{
	if (cut)
		drop_cut_token(detail);
	if (!utf8_is_valid(span_of_text(detail))) {
		for (char *c = detail; *c; c++) {
			if (*c & 0x80)
				*c = '?';
		}
	}
	text_withhold(detail);
}

/* One write, so that lines of threads and processes that share stderr never mix. */
static void write_line(enum log_level level, const char *event, const char *detail)
{
	BUF_CLEANUP struct buf line = {.size_max = LINE_SIZE_MAX};
	struct json_writer writer;
	json_writer_init(&writer, &line);
	json_object_begin(&writer);
	json_member_time(&writer, "at", clock_now_ms(clock_system()));
	json_member_text(&writer, "level", level_name(level));
	json_member_text(&writer, "program", atomic_load(&log_program));
	json_member_text(&writer, "event", event);
	if (*detail)
		json_member_text(&writer, "detail", detail);
	json_object_end(&writer);
	if (json_writer_end(&writer) != RESULT_OK || buf_append_byte(&line, '\n') != RESULT_OK)
		return;
	ssize_t written = 0;
	do
		written = write(STDERR_FILENO, line.data, line.size);
	while (written < 0 && errno == EINTR);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
	if ((int)level < atomic_load(&log_least))
		return;
	char detail[DETAIL_SIZE] = "";
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(detail, sizeof(detail), format, arguments);
	va_end(arguments);
	clean_detail(detail, length >= (int)sizeof(detail));
	write_line(level, event, detail);
	secret_wipe(detail, sizeof(detail));
}
