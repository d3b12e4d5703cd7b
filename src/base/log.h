/*
 * Operational log: one JSON object a line on stderr, for journald or a file:
 *   {"at":"…","level":"info","program":"vinveild","event":"listening","detail":"…"}
 * Only programs/, api/ and fleet/ log, each failure once. No VIN, hash, key, query string or body goes in here:
 * as the last guard, any 17-character VIN-shaped token and any 64-digit hex run in a detail is replaced by
 * "[withheld]" before it is written. Thread-safe; a line is written by one write(2).
 */
#ifndef VINVEIL_BASE_LOG_H
#define VINVEIL_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* program must outlive the process; lines below least are dropped. */
void log_init(const char *program, enum log_level least);
void log_event(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
