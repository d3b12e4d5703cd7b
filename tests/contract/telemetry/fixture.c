#include "tests/contract/telemetry/fixture.h"

#include "adapters/telemetry/sqlite.h"
#include "base/buf.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- adapters -------------------------------------------------------------------------------------- */

static struct telemetry_store *open_sqlite(const char *directory)
{
	const struct telemetry_sqlite_options options = {.retention_days = RETENTION_DAYS};
	struct telemetry_store *store = NULL;
	struct note note = {0};
	char path[128];

	snprintf(path, sizeof(path), "%s/telemetry", directory);
	if (telemetry_sqlite_open(path, &options, &store, &note) != RESULT_OK)
		fprintf(stderr, "%s\n", note.text);
	return store;
}

const struct telemetry_adapter telemetry_adapters[] = {
	{"sqlite", open_sqlite, telemetry_sqlite_close},
};
const size_t telemetry_adapter_count = sizeof(telemetry_adapters) / sizeof(telemetry_adapters[0]);

/* ---- fixture --------------------------------------------------------------------------------------- */

void make_directory(char ret_directory[static 64])
{
	snprintf(ret_directory, 64, "/tmp/vinveil-telemetry-XXXXXX");
	assert_non_null(mkdtemp(ret_directory));
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

void remove_directory(const char *directory)
{
	nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void fixture_open(struct fixture *fixture, const struct telemetry_adapter *adapter)
{
	*fixture = (struct fixture){.adapter = adapter, .arena = {.size_max = (size_t)256 << 20}};
	make_directory(fixture->directory);
	fixture->store = adapter->open(fixture->directory);
	assert_non_null(fixture->store);
}

void fixture_reopen(struct fixture *fixture)
{
	fixture->adapter->close(fixture->store);
	fixture->store = fixture->adapter->open(fixture->directory);
	assert_non_null(fixture->store);
}

void fixture_close(struct fixture *fixture)
{
	fixture->adapter->close(fixture->store);
	remove_directory(fixture->directory);
	arena_release(&fixture->arena);
}

struct uuid vehicle_numbered(uint32_t number)
{
	struct uuid uuid = {{0x5a, 0, 0, 0, 0, 0, 0x40, 0, 0x80}};

	memcpy(uuid.bytes + 12, &number, sizeof(number));
	return uuid;
}

struct telemetry_message message_of(struct fixture *fixture, uint32_t vehicle, int64_t at_ms, const char *signals)
{
	const struct uuid reference_id = vehicle_numbered(vehicle);
	struct telemetry_message *messages = NULL;
	size_t count = 0;
	uint64_t withheld;
	const char *reason = "";
	char *text = arena_alloc(&fixture->arena, strlen(signals) + 64);

	assert_non_null(text);
	int size = snprintf(text, strlen(signals) + 64, "{\"timestamp\":%" PRId64 ",\"signals\":%s}", at_ms, signals);
	if (telemetry_read(&reference_id, at_ms, span_of(text, (size_t)size), &fixture->arena, &messages, &count,
			   &withheld, &reason) != RESULT_OK ||
	    count != 1)
		fail_msg("%s: %s", text, reason);
	messages[0].received_at_ms = NOW_MS;
	return messages[0];
}

enum result commit_messages(struct fixture *fixture, const struct telemetry_message *messages, size_t count)
{
	const struct telemetry_batch batch = {
		.messages = messages, .message_count = count, .position = {1, fixture->offset + count}};
	struct note note = {0};
	enum result result = fixture->store->ops->commit(fixture->store, &batch, &note);

	if (result == RESULT_OK)
		fixture->offset += count;
	return result;
}

void put(struct fixture *fixture, uint32_t vehicle, int64_t at_ms, const char *signals)
{
	const struct telemetry_message message = message_of(fixture, vehicle, at_ms, signals);

	assert_int_equal(commit_messages(fixture, &message, 1), RESULT_OK);
}

/* ---- what is there ------------------------------------------------------------------------------------- */

static void append_value(struct buf *text, const struct signal_value *value)
{
	enum result result;

	if (value->type == SIGNAL_NUMBER)
		result = buf_append_format(text, "%.17g", value->number);
	else if (value->type == SIGNAL_BOOL)
		result = buf_append_text(text, value->boolean ? "true" : "false");
	else
		result = buf_append_format(text, value->type == SIGNAL_TEXT ? "'%.*s'" : "%.*s", (int)value->text.size,
					   (const char *)value->text.data);
	assert_int_equal(result, RESULT_OK);
}

static void append_points(struct buf *text, const struct telemetry_latest *points, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(buf_append_format(text, "%s%.*s@%" PRId64 "=", text->size > 0 ? " " : "",
						   (int)points[i].name.size, (const char *)points[i].name.data,
						   points[i].at_ms - NOW_MS),
				 RESULT_OK);
		append_value(text, &points[i].value);
	}
}

static const char *keep(struct fixture *fixture, struct buf *text)
{
	const char *copy = arena_copy_text(&fixture->arena, buf_span(text));

	assert_non_null(copy);
	buf_release(text);
	return copy;
}

const char *latest_text(struct fixture *fixture, uint32_t vehicle)
{
	const struct uuid reference_id = vehicle_numbered(vehicle);
	struct telemetry_latest *latest = NULL;
	struct buf text = {.size_max = (size_t)16 << 20};
	struct note note = {0};
	size_t count = 0;

	if (fixture->store->ops->get_latest(fixture->store, &reference_id, &fixture->arena, &latest, &count, &note) !=
	    RESULT_OK)
		fail_msg("%s", note.text);
	append_points(&text, latest, count);
	return keep(fixture, &text);
}

const char *range_text(struct fixture *fixture, const struct telemetry_query *query)
{
	struct telemetry_page page = {0};
	struct buf text = {.size_max = (size_t)16 << 20};
	struct note note = {0};

	if (fixture->store->ops->get_range(fixture->store, query, &fixture->arena, &page, &note) != RESULT_OK)
		fail_msg("%s", note.text);
	append_points(&text, page.points, page.count);
	return keep(fixture, &text);
}

const char *pages_text(struct fixture *fixture, struct telemetry_query query, size_t limit, size_t *ret_pages)
{
	struct telemetry_page page = {0};
	struct buf text = {.size_max = (size_t)16 << 20};
	struct note note = {0};

	query.limit = limit;
	*ret_pages = 0;
	do {
		if (fixture->store->ops->get_range(fixture->store, &query, &fixture->arena, &page, &note) != RESULT_OK)
			fail_msg("%s", note.text);
		assert_true(page.count <= limit);
		append_points(&text, page.points, page.count);
		query.cursor = page.next_cursor;
		++*ret_pages;
	} while (query.cursor != NULL);
	return keep(fixture, &text);
}

struct telemetry_counts counts_of(struct fixture *fixture)
{
	struct telemetry_counts counts = {0};
	struct note note = {0};

	if (fixture->store->ops->count(fixture->store, &counts, &note) != RESULT_OK)
		fail_msg("%s", note.text);
	return counts;
}

void expire_all(struct fixture *fixture, int64_t now_ms)
{
	struct note note = {0};
	bool more = true;

	for (int steps = 0; more; steps++) {
		assert_true(steps < 10000);
		if (fixture->store->ops->expire(fixture->store, now_ms, &more, &note) != RESULT_OK)
			fail_msg("%s", note.text);
	}
}
