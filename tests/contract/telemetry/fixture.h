/*
 * What the telemetry store's tests share: adapters to run over, a directory that goes away, batches in one line.
 */
#ifndef VINVEIL_TESTS_CONTRACT_TELEMETRY_FIXTURE_H
#define VINVEIL_TESTS_CONTRACT_TELEMETRY_FIXTURE_H

#include "tests/unit/cmocka_all.h"

#include "base/buf.h"
#include "vehicle/ports/telemetry_store.h"
#include "vehicle/telemetry.h"

#define RETENTION_DAYS 30 /* of the store under test */
#define DAY_MS	       INT64_C(86400000)
#define NOW_MS	       (INT64_C(20500) * DAY_MS + 3600000) /* 2026-02-16T01:00:00Z */

struct telemetry_adapter {
	const char *name;
	/* NULL, with the reason on stderr, when it fails. */
	struct telemetry_store *(*open)(const char *directory);
	void (*close)(struct telemetry_store *store);
};

extern const struct telemetry_adapter telemetry_adapters[];
extern const size_t telemetry_adapter_count;

struct fixture {
	const struct telemetry_adapter *adapter;
	char directory[64];
	struct telemetry_store *store;
	struct arena arena;
	uint64_t offset; /* of the last batch's position */
};

void fixture_open(struct fixture *fixture, const struct telemetry_adapter *adapter);
void fixture_reopen(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
void make_directory(char ret_directory[static 64]);
void remove_directory(const char *directory);

struct uuid vehicle_numbered(uint32_t number);

/* One message with the signals of a JSON object, as telemetry_read() makes it; in the fixture's arena. */
struct telemetry_message message_of(struct fixture *fixture, uint32_t vehicle, int64_t at_ms, const char *signals);
enum result commit_messages(struct fixture *fixture, const struct telemetry_message *messages, size_t count);
/* Commits one message, and it must succeed. */
void put(struct fixture *fixture, uint32_t vehicle, int64_t at_ms, const char *signals);

/* "name@ms-relative-to-NOW=value name@…": what is latest, or a page of a range. */
const char *latest_text(struct fixture *fixture, uint32_t vehicle);
const char *range_text(struct fixture *fixture, const struct telemetry_query *query);
/* All pages of that size, one after the other. */
const char *pages_text(struct fixture *fixture, struct telemetry_query query, size_t limit, size_t *ret_pages);
struct telemetry_counts counts_of(struct fixture *fixture);
void expire_all(struct fixture *fixture, int64_t now_ms);

#endif
