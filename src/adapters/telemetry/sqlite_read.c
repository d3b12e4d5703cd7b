#include "adapters/telemetry/sqlite_codec.h"
#include "adapters/telemetry/sqlite_store.h"
#include "base/text.h"

#include <stdlib.h>

#define CURSOR_SIZE   28		/* at, digest, sample, check */
#define PAGE_TEXT_MAX ((size_t)1 << 20) /* bytes of texts in one page */

/* ---- names and vehicles --------------------------------------------------------------------------------- */

/* Names are only added, and before anything that holds their numbers. */
static enum result name_of(struct reader *reader, uint64_t number, struct span *ret_name, struct note *note)
{
	if (number > reader->names.count)
		TRY(names_load(&reader->names, &reader->main, note));
	if (number == 0 || number > reader->names.count) {
		note_set(note, "telemetry: a sample's name is not known");
		return RESULT_CORRUPT;
	}
	*ret_name = names_get(&reader->names, (uint32_t)number);
	return RESULT_OK;
}

/* RESULT_ABSENT: nobody ever sent such a signal. */
static enum result find_name(struct reader *reader, struct span name, uint32_t *ret_number, struct note *note)
{
	uint32_t number = names_find(&reader->names, name);

	if (number == 0) {
		TRY(names_load(&reader->names, &reader->main, note));
		number = names_find(&reader->names, name);
	}
	*ret_number = number;
	return number != 0 ? RESULT_OK : RESULT_ABSENT;
}

static enum result find_vehicle(struct reader *reader, const struct uuid *reference_id, int64_t *ret_number,
				struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;

	TRY(db_prepare(&reader->main, MAIN_FIND_VEHICLE, &query, note));
	sqlite3_bind_blob(query, 1, reference_id->bytes, UUID_SIZE, SQLITE_STATIC);
	TRY(db_step(&reader->main, query, note));
	*ret_number = sqlite3_column_int64(query, 0);
	return RESULT_OK;
}

static enum result copy_span(struct arena *arena, struct span from, struct span *ret_copy)
{
	const char *copy = arena_copy_text(arena, from);

	if (copy == NULL)
		return RESULT_MEMORY;
	*ret_copy = span_of(copy, from.size);
	return RESULT_OK;
}

/* Name and text move into the caller's arena. */
static enum result copy_point(struct arena *arena, struct span name, const struct signal_value *value, int64_t at_ms,
			      struct telemetry_latest *ret_point)
{
	struct telemetry_latest point = {.value = *value, .at_ms = at_ms};

	TRY(copy_span(arena, name, &point.name));
	if (value->type == SIGNAL_TEXT || value->type == SIGNAL_ARRAY)
		TRY(copy_span(arena, value->text, &point.value.text));
	*ret_point = point;
	return RESULT_OK;
}

/* ---- the latest values ------------------------------------------------------------------------------------ */

static int compare_names(const void *left, const void *right)
{
	const struct telemetry_latest *a = left, *b = right;
	size_t shorter = a->name.size < b->name.size ? a->name.size : b->name.size;
	int order = memcmp(a->name.data, b->name.data, shorter);

	return order != 0 ? order : a->name.size < b->name.size ? -1 : a->name.size > b->name.size;
}

static enum result take_latest(struct reader *reader, struct span *bytes, struct arena *arena,
			       struct telemetry_latest *ret_latest, struct note *note)
{
	struct signal_value value;
	struct span name = {0};
	uint64_t number = 0, at = 0;

	TRY(take_varint(bytes, &number));
	TRY(take_varint(bytes, &at));
	TRY(take_value(bytes, &value));
	TRY(name_of(reader, number, &name, note));
	return copy_point(arena, name, &value, (int64_t)at, ret_latest);
}

static enum result decode_latest(struct reader *reader, struct span bytes, struct arena *arena,
				 struct telemetry_latest **ret_latest, size_t *ret_count, struct note *note)
{
	struct telemetry_latest *latest;
	struct span rest = bytes, ignored;
	size_t count = 0, at = 0;
	uint64_t number;

	for (; rest.size > 0; count++) {
		TRY(take_varint(&rest, &number));
		TRY(take_varint(&rest, &number));
		TRY(take_encoded_value(&rest, &ignored));
	}
	latest = arena_alloc(arena, (count + 1) * sizeof(*latest));
	if (latest == NULL)
		return RESULT_MEMORY;
	while (bytes.size > 0)
		TRY(take_latest(reader, &bytes, arena, &latest[at++], note));
	qsort(latest, count, sizeof(*latest), compare_names);
	*ret_latest = latest;
	*ret_count = count;
	return RESULT_OK;
}

enum result reader_latest(struct reader *reader, const struct uuid *reference_id, struct arena *arena,
			  struct telemetry_latest **ret_latest, size_t *ret_count, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;
	int64_t number = 0;
	enum result result = find_vehicle(reader, reference_id, &number, note);

	if (result == RESULT_OK) {
		TRY(db_prepare(&reader->main, MAIN_GET_LATEST, &query, note));
		sqlite3_bind_int64(query, 1, number);
		result = db_step(&reader->main, query, note);
	}
	if (result == RESULT_ABSENT) {
		*ret_latest = NULL;
		*ret_count = 0;
		return RESULT_OK;
	}
	TRY(result);
	/* A row without any signal is a NULL blob. */
	return decode_latest(reader, db_column_span(query, 0), arena, ret_latest, ret_count, note);
}

/* ---- cursors ------------------------------------------------------------------------------------------------ */

/* A point: the sample of a message. */
struct place {
	int64_t at_ms, digest;
	uint32_t sample;
};

static uint64_t hash_on(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
	return hash;
}

/* Ties a cursor to its query, against mistakes. */
static uint64_t check_of(const struct telemetry_query *query)
{
	uint64_t hash = hash_on(UINT64_C(0xcbf29ce484222325), query->reference_id.bytes, UUID_SIZE);

	hash = hash_on(hash, &query->from_ms, sizeof(query->from_ms));
	hash = hash_on(hash, &query->to_ms, sizeof(query->to_ms));
	return hash_on(hash, query->name.data, query->name.size);
}

static enum result parse_cursor(const struct telemetry_query *query, struct place *ret_place)
{
	uint8_t bytes[CURSOR_SIZE];
	uint64_t check = check_of(query);

	TRY(hex_parse(span_of_text(query->cursor), false, bytes, sizeof(bytes)));
	if (memcmp(bytes + 20, &check, sizeof(check)) != 0)
		return RESULT_INVALID;
	memcpy(&ret_place->at_ms, bytes, 8);
	memcpy(&ret_place->digest, bytes + 8, 8);
	memcpy(&ret_place->sample, bytes + 16, 4);
	return RESULT_OK;
}

static const char *format_cursor(const struct telemetry_query *query, const struct place *place, struct arena *arena)
{
	uint8_t bytes[CURSOR_SIZE];
	uint64_t check = check_of(query);
	char *text = arena_alloc(arena, 2 * CURSOR_SIZE + 1);

	memcpy(bytes, &place->at_ms, 8);
	memcpy(bytes + 8, &place->digest, 8);
	memcpy(bytes + 16, &place->sample, 4);
	memcpy(bytes + 20, &check, sizeof(check));
	if (text != NULL)
		hex_format(span_of(bytes, sizeof(bytes)), text);
	return text;
}

/* ---- ranges -------------------------------------------------------------------------------------------------- */

struct scan {
	struct reader *reader;
	const struct telemetry_query *query;
	struct arena *arena;
	int64_t vehicle, from_ms, to_ms;
	uint32_t name; /* 0: every one */
	size_t limit;
	struct place start; /* nothing before it is wanted */
	struct telemetry_latest *points;
	size_t count, text_size, rows;
	bool is_full; /* *next is where the next page begins */
	struct place next;
};

static bool is_before_start(const struct scan *scan, const struct place *place)
{
	if (place->at_ms != scan->start.at_ms)
		return place->at_ms < scan->start.at_ms;
	if (place->digest != scan->start.digest)
		return place->digest < scan->start.digest;
	return place->sample < scan->start.sample;
}

static enum result scan_sample(struct scan *scan, struct span *bytes, const struct place *place, struct note *note)
{
	struct signal_value value;
	struct span name = {0};
	uint64_t number = 0;

	TRY(take_varint(bytes, &number));
	TRY(take_value(bytes, &value));
	if ((scan->name != 0 && number != scan->name) || is_before_start(scan, place))
		return RESULT_OK;
	if (scan->count == scan->limit || scan->text_size > PAGE_TEXT_MAX) {
		scan->is_full = true;
		scan->next = *place;
		return RESULT_OK;
	}
	TRY(name_of(scan->reader, number, &name, note));
	TRY(copy_point(scan->arena, name, &value, place->at_ms, &scan->points[scan->count]));
	scan->text_size += name.size + value.text.size;
	scan->count++;
	return RESULT_OK;
}

static enum result scan_row(struct scan *scan, int64_t at_ms, int64_t digest, struct span bytes, struct note *note)
{
	struct place place = {.at_ms = at_ms, .digest = digest};

	/* What finds little may look at much: the page ends, and the next one goes on here. */
	if (++scan->rows > ROWS_A_PAGE_MAX) {
		scan->is_full = true;
		scan->next = place;
		return RESULT_OK;
	}
	for (; bytes.size > 0 && !scan->is_full; place.sample++)
		TRY(scan_sample(scan, &bytes, &place, note));
	return RESULT_OK;
}

static enum result scan_rows(struct scan *scan, struct db *db, int64_t day, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;
	int64_t start_ms = day * DAY_MS;
	enum result result = RESULT_OK;

	TRY(db_prepare(db, DAY_SCAN, &query, note));
	sqlite3_bind_int64(query, 1, scan->vehicle);
	sqlite3_bind_int64(query, 2, scan->from_ms > start_ms ? scan->from_ms - start_ms : 0);
	sqlite3_bind_int64(query, 3, scan->to_ms - start_ms < DAY_MS ? scan->to_ms - start_ms : DAY_MS);
	while (!scan->is_full && (result = db_step(db, query, note)) == RESULT_OK)
		TRY(scan_row(scan, start_ms + sqlite3_column_int64(query, 0), sqlite3_column_int64(query, 1),
			     db_column_span(query, 2), note));
	return result == RESULT_ABSENT ? RESULT_OK : result;
}

/* A day that is dropped while it is read is as if it had been dropped before. */
static enum result scan_day(struct scan *scan, int64_t day, struct note *note)
{
	struct db *db = NULL;
	enum result result = days_get(&scan->reader->days, day, &db, note);

	return result == RESULT_ABSENT ? RESULT_OK : result != RESULT_OK ? result : scan_rows(scan, db, day, note);
}

static enum result scan_days(struct scan *scan, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;
	enum result result = RESULT_OK;

	TRY(db_prepare(&scan->reader->main, MAIN_LIST_DAYS, &query, note));
	sqlite3_bind_int64(query, 1, day_of(scan->from_ms));
	sqlite3_bind_int64(query, 2, day_of(scan->to_ms - 1));
	while (!scan->is_full && (result = db_step(&scan->reader->main, query, note)) == RESULT_OK)
		TRY(scan_day(scan, sqlite3_column_int64(query, 0), note));
	return result == RESULT_ABSENT ? RESULT_OK : result;
}

static enum result prepare_scan(struct scan *scan, struct note *note)
{
	const struct telemetry_query *query = scan->query;

	scan->start = (struct place){.at_ms = INT64_MIN};
	if (query->cursor != NULL)
		TRY(parse_cursor(query, &scan->start));
	scan->from_ms = query->from_ms > scan->start.at_ms ? query->from_ms : scan->start.at_ms;
	if (scan->from_ms < 0)
		scan->from_ms = 0;
	scan->to_ms = query->to_ms != 0 ? query->to_ms : INT64_MAX;
	scan->limit = query->limit < POINTS_A_PAGE_MAX ? query->limit : POINTS_A_PAGE_MAX;
	scan->points = arena_alloc(scan->arena, (scan->limit + 1) * sizeof(*scan->points));
	if (scan->points == NULL)
		return RESULT_MEMORY;
	TRY(find_vehicle(scan->reader, &query->reference_id, &scan->vehicle, note));
	return query->name.size > 0 ? find_name(scan->reader, query->name, &scan->name, note) : RESULT_OK;
}

enum result reader_range(struct reader *reader, const struct telemetry_query *query, struct arena *arena,
			 struct telemetry_page *ret_page, struct note *note)
{
	struct scan scan = {.reader = reader, .query = query, .arena = arena};
	enum result result = prepare_scan(&scan, note);
	const char *cursor = NULL;

	if (result != RESULT_OK && result != RESULT_ABSENT)
		return result;
	if (result == RESULT_OK && scan.from_ms < scan.to_ms)
		TRY(scan_days(&scan, note));
	if (scan.is_full) {
		cursor = format_cursor(query, &scan.next, arena);
		if (cursor == NULL)
			return RESULT_MEMORY;
	}
	*ret_page = (struct telemetry_page){.points = scan.points, .count = scan.count, .next_cursor = cursor};
	return RESULT_OK;
}

/* ---- counts ---------------------------------------------------------------------------------------------------- */

/* What came and was neither inserted nor too old is there twice. */
enum result reader_count(struct reader *reader, struct telemetry_counts *ret_counts, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;
	struct state state;

	TRY(state_load(&reader->main, &state, note));
	TRY(db_prepare(&reader->main, MAIN_SUM_DAYS, &query, note));
	TRY(db_step(&reader->main, query, note));
	uint64_t messages = state.retired_messages + (uint64_t)sqlite3_column_int64(query, 0);
	uint64_t samples = state.retired_samples + (uint64_t)sqlite3_column_int64(query, 1);
	uint64_t kept = state.seen - state.expired;
	*ret_counts = (struct telemetry_counts){
		.messages = messages,
		.samples = samples,
		.duplicates = kept > messages ? kept - messages : 0,
		.rejects = state.rejects,
		.withheld = state.withheld,
	};
	return RESULT_OK;
}
