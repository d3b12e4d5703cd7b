#include "adapters/telemetry/sqlite_codec.h"
#include "adapters/telemetry/sqlite_store.h"

#include <stdlib.h>

/* ---- state -------------------------------------------------------------------------------------------------- */

enum result state_load(struct db *main, struct state *ret_state, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;

	TRY(db_prepare(main, MAIN_GET_STATE, &query, note));
	enum result result = db_step(main, query, note);
	if (result == RESULT_ABSENT)
		return RESULT_CORRUPT;
	TRY(result);
	*ret_state = (struct state){
		.position = {.segment = (uint64_t)sqlite3_column_int64(query, 0),
			     .offset = (uint64_t)sqlite3_column_int64(query, 1)},
		.seen = (uint64_t)sqlite3_column_int64(query, 2),
		.expired = (uint64_t)sqlite3_column_int64(query, 3),
		.rejects = (uint64_t)sqlite3_column_int64(query, 4),
		.withheld = (uint64_t)sqlite3_column_int64(query, 5),
		.retired_messages = (uint64_t)sqlite3_column_int64(query, 6),
		.retired_samples = (uint64_t)sqlite3_column_int64(query, 7),
	};
	return RESULT_OK;
}

enum result state_save(struct db *main, const struct state *state, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT update = NULL;
	const uint64_t values[] = {
		state->position.segment, state->position.offset, state->seen,
		state->expired,		 state->rejects,	 state->withheld,
		state->retired_messages, state->retired_samples,
	};

	TRY(db_prepare(main, MAIN_SET_STATE, &update, note));
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		sqlite3_bind_int64(update, (int)i + 1, (int64_t)values[i]);
	return db_run(main, update, note);
}

/* ---- vehicles ------------------------------------------------------------------------------------------------ */

enum result vehicle_look_up(struct sqlite_store *store, const struct uuid *reference_id,
			    struct known_vehicle *ret_vehicle, struct note *note)
{
	const struct known_vehicle *known = vehicles_find(&store->vehicles, reference_id);
	struct known_vehicle vehicle = {.reference_id = *reference_id};
	sqlite3_stmt *DB_STATEMENT query = NULL;

	if (known != NULL) {
		*ret_vehicle = *known;
		return RESULT_OK;
	}
	TRY(db_prepare(&store->main, MAIN_FIND_VEHICLE, &query, note));
	sqlite3_bind_blob(query, 1, reference_id->bytes, UUID_SIZE, SQLITE_STATIC);
	TRY(db_step(&store->main, query, note));
	vehicle.number = (uint32_t)sqlite3_column_int64(query, 0);
	vehicle.tenant = (uint32_t)sqlite3_column_int64(query, 1);
	vehicle.names = (uint32_t)sqlite3_column_int64(query, 2);
	TRY(vehicles_add(&store->vehicles, &vehicle));
	*ret_vehicle = vehicle;
	return RESULT_OK;
}

enum result vehicle_make(struct sqlite_store *store, const struct uuid *reference_id, uint32_t tenant,
			 struct known_vehicle *ret_vehicle, struct note *note)
{
	struct known_vehicle vehicle = {.reference_id = *reference_id, .tenant = tenant};
	sqlite3_stmt *DB_STATEMENT insert = NULL;

	TRY(db_prepare(&store->main, MAIN_ADD_VEHICLE, &insert, note));
	sqlite3_bind_blob(insert, 1, reference_id->bytes, UUID_SIZE, SQLITE_STATIC);
	sqlite3_bind_int64(insert, 2, tenant);
	TRY(db_run(&store->main, insert, note));
	vehicle.number = (uint32_t)sqlite3_last_insert_rowid(store->main.handle);
	TRY(vehicles_add(&store->vehicles, &vehicle));
	*ret_vehicle = vehicle;
	return RESULT_OK;
}

/* ---- first: numbers for what is new, and the samples encoded --------------------------------------------------- */

/* New numbers go into the main file before anything that holds them. */
static enum result begin_numbers(struct sqlite_store *store, struct note *note)
{
	if (sqlite3_get_autocommit(store->main.handle) == 0)
		return RESULT_OK;
	return db_execute(&store->main, "BEGIN IMMEDIATE", note);
}

static enum result number_of_vehicle(struct sqlite_store *store, const struct uuid *reference_id,
				     struct known_vehicle *ret_vehicle, struct note *note)
{
	enum result result = vehicle_look_up(store, reference_id, ret_vehicle, note);

	if (result != RESULT_ABSENT)
		return result;
	TRY(begin_numbers(store, note));
	return vehicle_make(store, reference_id, 0, ret_vehicle, note);
}

/* 0: there are too many names already, or too many of this vehicle's making. */
static enum result number_of_name(struct sqlite_store *store, struct known_vehicle *vehicle, struct span name,
				  uint32_t *ret_number, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT insert = NULL;
	uint32_t number = names_find(&store->names, name);

	*ret_number = number;
	if (number != 0 || store->names.count >= NAMES_MAX || vehicle->names >= NAMES_A_VEHICLE_MAX)
		return RESULT_OK;
	TRY(begin_numbers(store, note));
	TRY(db_prepare(&store->main, MAIN_ADD_NAME, &insert, note));
	sqlite3_bind_int64(insert, 1, (int64_t)store->names.count + 1);
	sqlite3_bind_text(insert, 2, (const char *)name.data, (int)name.size, SQLITE_STATIC);
	TRY(db_run(&store->main, insert, note));
	TRY(names_add(&store->names, name));
	*ret_number = store->names.count;
	vehicle->names++;
	return RESULT_OK;
}

/* Within the transaction that has the names. */
static enum result count_names(struct sqlite_store *store, const struct known_vehicle *vehicle, struct note *note)
{
	struct known_vehicle *known = vehicles_find(&store->vehicles, &vehicle->reference_id);
	sqlite3_stmt *DB_STATEMENT update = NULL;

	TRY(db_prepare(&store->main, MAIN_COUNT_NAMES, &update, note));
	sqlite3_bind_int64(update, 1, vehicle->number);
	sqlite3_bind_int64(update, 2, vehicle->names);
	TRY(db_run(&store->main, update, note));
	if (known != NULL)
		known->names = vehicle->names;
	return RESULT_OK;
}

static enum result encode(struct sqlite_store *store, const struct telemetry_message *message,
			  struct known_vehicle *vehicle, struct entry *entry, uint64_t *withheld, struct note *note)
{
	uint32_t names_before = vehicle->names;
	uint8_t *room = NULL, *at;
	size_t size_max = 0;
	uint32_t number = 0;

	for (size_t i = 0; i < message->count; i++)
		size_max += VARINT_SIZE_MAX + value_size_max(&message->samples[i].value);
	TRY(buf_reserve(&store->encoded, size_max, &room));
	at = room;
	for (size_t i = 0; i < message->count; i++) {
		TRY(number_of_name(store, vehicle, message->samples[i].name, &number, note));
		if (number == 0) {
			++*withheld;
			continue;
		}
		at = put_value(put_varint(at, number), &message->samples[i].value);
		entry->sample_count++;
	}
	entry->offset = store->encoded.size;
	entry->size = (size_t)(at - room);
	store->encoded.size += entry->size;
	return vehicle->names != names_before ? count_names(store, vehicle, note) : RESULT_OK;
}

static enum result entries_reserve(struct sqlite_store *store, size_t count)
{
	struct entry *entries;

	if (count <= store->entry_capacity)
		return RESULT_OK;
	entries = reallocarray(store->entries, count, sizeof(*entries));
	if (entries == NULL)
		return RESULT_MEMORY;
	store->entries = entries;
	store->entry_capacity = count;
	return RESULT_OK;
}

/* *expired counts those that nobody keeps any more. */
static enum result make_entries(struct sqlite_store *store, const struct telemetry_batch *batch, uint64_t *expired,
				uint64_t *withheld, struct note *note)
{
	TRY(entries_reserve(store, batch->message_count));
	for (size_t i = 0; i < batch->message_count; i++) {
		const struct telemetry_message *message = &batch->messages[i];
		struct entry *entry = &store->entries[store->entry_count];
		struct known_vehicle vehicle;

		TRY(number_of_vehicle(store, &message->reference_id, &vehicle, note));
		*entry = (struct entry){
			.day = day_of(message->at_ms), .digest = (int64_t)message->digest, .vehicle = vehicle.number};
		entry->at = message->at_ms - entry->day * DAY_MS;
		if (entry->day < first_day_of_tenant(store, vehicle.tenant, message->received_at_ms)) {
			++*expired;
			continue;
		}
		TRY(encode(store, message, &vehicle, entry, withheld, note));
		store->entry_count++;
	}
	return RESULT_OK;
}

static enum result take_numbers(struct sqlite_store *store, const struct telemetry_batch *batch, uint64_t *expired,
				uint64_t *withheld, struct note *note)
{
	uint32_t names_before = store->names.count;

	store->entry_count = 0;
	buf_clear(&store->encoded);
	if (store->vehicles.count > VEHICLES_CACHED)
		vehicles_clear(&store->vehicles);
	enum result result = make_entries(store, batch, expired, withheld, note);
	if (sqlite3_get_autocommit(store->main.handle) == 0 && result == RESULT_OK)
		result = db_execute(&store->main, "COMMIT", note);
	if (result == RESULT_OK)
		return RESULT_OK;
	/* What was numbered is not. */
	db_rollback(&store->main);
	names_cut(&store->names, names_before);
	vehicles_clear(&store->vehicles);
	return result;
}

/* ---- second: each day's file ----------------------------------------------------------------------------------- */

static int compare_numbers(int64_t left, int64_t right)
{
	return left < right ? -1 : left > right;
}

/* By day, then in the order of the day's primary key: neighbours go into one page. */
static int compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	int order = compare_numbers(a->day, b->day);

	if (order == 0)
		order = compare_numbers(a->vehicle, b->vehicle);
	if (order == 0)
		order = compare_numbers(a->at, b->at);
	return order != 0 ? order : compare_numbers(a->digest, b->digest);
}

struct day_counts {
	int64_t messages, samples; /* ever put into the file */
};

static enum result insert_entries(struct sqlite_store *store, struct db *db, const struct entry *entries, size_t count,
				  struct day_counts *counts, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT insert = NULL;

	TRY(db_prepare(db, DAY_INSERT, &insert, note));
	for (size_t i = 0; i < count; i++) {
		sqlite3_bind_int64(insert, 1, entries[i].vehicle);
		sqlite3_bind_int64(insert, 2, entries[i].at);
		sqlite3_bind_int64(insert, 3, entries[i].digest);
		sqlite3_bind_blob(insert, 4, store->encoded.data + entries[i].offset, (int)entries[i].size,
				  SQLITE_STATIC);
		TRY(db_run(db, insert, note));
		if (sqlite3_changes(db->handle) == 0)
			continue;
		counts->messages++;
		counts->samples += entries[i].sample_count;
	}
	return RESULT_OK;
}

static enum result write_day_inside(struct sqlite_store *store, struct db *db, const struct entry *entries,
				    size_t count, struct day_counts *ret_counts, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL, *DB_STATEMENT update = NULL;
	struct day_counts counts;

	TRY(db_prepare(db, DAY_GET_COUNTS, &query, note));
	enum result result = db_step(db, query, note);
	if (result != RESULT_OK)
		return result == RESULT_ABSENT ? RESULT_CORRUPT : result;
	counts = (struct day_counts){sqlite3_column_int64(query, 0), sqlite3_column_int64(query, 1)};
	sqlite3_reset(query);
	TRY(insert_entries(store, db, entries, count, &counts, note));
	TRY(db_prepare(db, DAY_SET_COUNTS, &update, note));
	sqlite3_bind_int64(update, 1, counts.messages);
	sqlite3_bind_int64(update, 2, counts.samples);
	TRY(db_run(db, update, note));
	*ret_counts = counts;
	return RESULT_OK;
}

static enum result write_day(struct sqlite_store *store, const struct entry *entries, size_t count,
			     struct day_counts *ret_counts, struct note *note)
{
	struct db *db = NULL;

	TRY(days_get(&store->days, entries[0].day, &db, note));
	TRY(db_execute(db, "BEGIN IMMEDIATE", note));
	enum result result = write_day_inside(store, db, entries, count, ret_counts, note);
	if (result == RESULT_OK)
		result = db_execute(db, "COMMIT", note);
	if (result != RESULT_OK) {
		db_rollback(db);
		days_close_one(&store->days, entries[0].day); /* after an error of the disk a fresh start is best */
	}
	return result;
}

/* How many entries from `from` on have its day. */
static size_t run_of_day(const struct sqlite_store *store, size_t from)
{
	size_t to = from;

	while (to < store->entry_count && store->entries[to].day == store->entries[from].day)
		to++;
	return to - from;
}

static enum result put_day(struct sqlite_store *store, int64_t day, const struct day_counts *counts, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT put = NULL;

	TRY(db_prepare(&store->main, MAIN_PUT_DAY, &put, note));
	sqlite3_bind_int64(put, 1, day);
	sqlite3_bind_int64(put, 2, counts->messages);
	sqlite3_bind_int64(put, 3, counts->samples);
	return db_run(&store->main, put, note);
}

/* ---- third: the latest values ---------------------------------------------------------------------------------- */

static enum result reserve_fresh(struct sqlite_store *store)
{
	uint32_t wanted = store->names.count + 1;

	if (wanted <= store->fresh_capacity)
		return RESULT_OK;
	wanted = wanted < 1024 ? 1024 : 2 * wanted;
	struct fresh *fresh = reallocarray(store->fresh, wanted, sizeof(*fresh));
	if (fresh == NULL)
		return RESULT_MEMORY;
	store->fresh = fresh;
	uint32_t *touched = reallocarray(store->touched, wanted, sizeof(*touched));
	if (touched == NULL)
		return RESULT_MEMORY;
	store->touched = touched;
	memset(fresh + store->fresh_capacity, 0, (wanted - store->fresh_capacity) * sizeof(*fresh));
	store->fresh_capacity = wanted;
	return RESULT_OK;
}

/* The later of two of one name stays; of one instant, the one that came last. */
static void offer(struct sqlite_store *store, uint32_t number, uint64_t at, struct span encoded)
{
	struct fresh *fresh = &store->fresh[number];

	if (fresh->stamp != store->stamp)
		store->touched[store->touched_count++] = number;
	else if (at < fresh->at)
		return;
	*fresh = (struct fresh){.at = at, .encoded = encoded, .stamp = store->stamp};
}

static enum result offer_entry(struct sqlite_store *store, const struct entry *entry)
{
	struct span bytes = span_of(store->encoded.data + entry->offset, entry->size), encoded = {0};
	uint64_t number = 0, at = (uint64_t)(entry->day * DAY_MS + entry->at);

	while (bytes.size > 0) {
		TRY(take_varint(&bytes, &number));
		TRY(take_encoded_value(&bytes, &encoded));
		offer(store, (uint32_t)number, at, encoded);
	}
	return RESULT_OK;
}

/* What is stored already, as if it had come first. */
static enum result offer_stored(struct sqlite_store *store, struct span bytes)
{
	struct span encoded = {0};
	uint64_t number = 0, at = 0;

	while (bytes.size > 0) {
		TRY(take_varint(&bytes, &number));
		TRY(take_varint(&bytes, &at));
		TRY(take_encoded_value(&bytes, &encoded));
		if (number == 0 || number > store->names.count)
			return RESULT_CORRUPT;
		offer(store, (uint32_t)number, at, encoded);
	}
	return RESULT_OK;
}

static int compare_touched(const void *left, const void *right, void *context)
{
	const struct sqlite_store *store = context;
	uint64_t a = store->fresh[*(const uint32_t *)left].at, b = store->fresh[*(const uint32_t *)right].at;

	return a > b ? -1 : a < b;
}

static size_t fresh_size(const struct sqlite_store *store)
{
	size_t size = 0;

	for (size_t i = 0; i < store->touched_count; i++)
		size += 2 * (size_t)VARINT_SIZE_MAX + store->fresh[store->touched[i]].encoded.size;
	return size;
}

/* A vehicle may invent names without end: the newest values stay. */
static void bound_touched(struct sqlite_store *store)
{
	size_t size = fresh_size(store), kept = 0;

	if (store->touched_count <= LATEST_COUNT_MAX && size <= LATEST_SIZE_MAX)
		return;
	qsort_r(store->touched, store->touched_count, sizeof(*store->touched), compare_touched, store);
	for (size = 0; kept < store->touched_count && kept < LATEST_COUNT_MAX; kept++) {
		size += 2 * (size_t)VARINT_SIZE_MAX + store->fresh[store->touched[kept]].encoded.size;
		if (size > LATEST_SIZE_MAX)
			break;
	}
	store->touched_count = kept;
}

static enum result write_merged(struct sqlite_store *store)
{
	uint8_t *room = NULL, *at;

	buf_clear(&store->merged);
	TRY(buf_reserve(&store->merged, fresh_size(store) + 1, &room));
	at = room;
	for (size_t i = 0; i < store->touched_count; i++) {
		const struct fresh *fresh = &store->fresh[store->touched[i]];

		at = put_varint(put_varint(at, store->touched[i]), fresh->at);
		memcpy(at, fresh->encoded.data, fresh->encoded.size);
		at += fresh->encoded.size;
	}
	store->merged.size = (size_t)(at - room);
	return RESULT_OK;
}

static enum result put_latest(struct sqlite_store *store, uint32_t vehicle, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT put = NULL;

	TRY(db_prepare(&store->main, MAIN_PUT_LATEST, &put, note));
	sqlite3_bind_int64(put, 1, vehicle);
	sqlite3_bind_blob(put, 2, store->merged.data, (int)store->merged.size, SQLITE_STATIC);
	return db_run(&store->main, put, note);
}

static enum result merge_latest(struct sqlite_store *store, const struct entry *entries, size_t count,
				struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;
	enum result result;

	store->stamp++;
	store->touched_count = 0;
	TRY(db_prepare(&store->main, MAIN_GET_LATEST, &query, note));
	sqlite3_bind_int64(query, 1, entries[0].vehicle);
	result = db_step(&store->main, query, note);
	if (result == RESULT_OK)
		result = offer_stored(store, db_column_span(query, 0)); /* lives until the query is done */
	if (result != RESULT_OK && result != RESULT_ABSENT)
		return result;
	for (size_t i = 0; i < count; i++)
		TRY(offer_entry(store, &entries[i]));
	bound_touched(store);
	TRY(write_merged(store));
	return put_latest(store, entries[0].vehicle, note);
}

static enum result merge_all_latest(struct sqlite_store *store, struct note *note)
{
	size_t from = 0;

	TRY(reserve_fresh(store));
	while (from < store->entry_count) {
		size_t to = from + 1;

		while (to < store->entry_count && store->entries[to].vehicle == store->entries[from].vehicle &&
		       store->entries[to].day == store->entries[from].day)
			to++;
		TRY(merge_latest(store, store->entries + from, to - from, note));
		from = to;
	}
	return RESULT_OK;
}

/* ---- last: rejects, counts and the position -----------------------------------------------------------------------
 */

static enum result add_rejects(struct sqlite_store *store, const struct telemetry_batch *batch, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT insert = NULL, *DB_STATEMENT trim = NULL;
	size_t kept =
		batch->reject_count < store->options.rejects_max ? batch->reject_count : store->options.rejects_max;

	if (batch->reject_count == 0)
		return RESULT_OK;
	TRY(db_prepare(&store->main, MAIN_ADD_REJECT, &insert, note));
	for (size_t i = batch->reject_count - kept; i < batch->reject_count; i++) {
		const struct telemetry_reject *reject = &batch->rejects[i];
		size_t size = reject->payload.size < store->options.reject_size ? reject->payload.size
										: store->options.reject_size;

		sqlite3_bind_blob(insert, 1, reject->reference_id.bytes, UUID_SIZE, SQLITE_STATIC);
		sqlite3_bind_int64(insert, 2, reject->received_at_ms);
		sqlite3_bind_text(insert, 3, reject->reason, -1, SQLITE_STATIC);
		sqlite3_bind_blob(insert, 4, size > 0 ? (const void *)reject->payload.data : "", (int)size,
				  SQLITE_STATIC);
		TRY(db_run(&store->main, insert, note));
	}
	TRY(db_prepare(&store->main, MAIN_TRIM_REJECTS, &trim, note));
	sqlite3_bind_int64(trim, 1, store->options.rejects_max);
	return db_run(&store->main, trim, note);
}

struct written_day {
	int64_t day;
	struct day_counts counts;
};

static enum result write_main(struct sqlite_store *store, const struct telemetry_batch *batch,
			      const struct written_day *days, size_t day_count, const struct state *state,
			      struct note *note)
{
	TRY(merge_all_latest(store, note));
	for (size_t i = 0; i < day_count; i++)
		TRY(put_day(store, days[i].day, &days[i].counts, note));
	TRY(add_rejects(store, batch, note));
	return state_save(&store->main, state, note);
}

static enum result write_days(struct sqlite_store *store, struct written_day *days, size_t *ret_count,
			      struct note *note)
{
	size_t count = 0;

	for (size_t from = 0, size; from < store->entry_count; from += size) {
		size = run_of_day(store, from);
		days[count].day = store->entries[from].day;
		TRY(write_day(store, store->entries + from, size, &days[count].counts, note));
		count++;
	}
	*ret_count = count;
	return RESULT_OK;
}

static size_t count_days(const struct sqlite_store *store)
{
	size_t count = 0;

	for (size_t from = 0; from < store->entry_count; from += run_of_day(store, from))
		count++;
	return count;
}

static enum result commit_sorted(struct sqlite_store *store, const struct telemetry_batch *batch,
				 struct written_day *days, const struct state *state, struct note *note)
{
	size_t day_count = 0;

	TRY(write_days(store, days, &day_count, note));
	MAIN_TRANSACTION(store, note, write_main(store, batch, days, day_count, state, note));
	return RESULT_OK;
}

enum result store_commit(struct sqlite_store *store, const struct telemetry_batch *batch, struct note *note)
{
	uint64_t expired = 0, withheld = batch->withheld;
	struct state state = store->state;
	struct written_day *days;
	enum result result;

	TRY(take_numbers(store, batch, &expired, &withheld, note));
	if (store->entry_count > 0)
		qsort(store->entries, store->entry_count, sizeof(*store->entries), compare_entries);
	state.position = batch->position;
	state.seen += batch->message_count;
	state.expired += expired;
	state.rejects += batch->reject_count;
	state.withheld += withheld;
	days = calloc(count_days(store) + 1, sizeof(*days));
	if (days == NULL)
		return RESULT_MEMORY;
	result = commit_sorted(store, batch, days, &state, note);
	free(days);
	if (result == RESULT_OK)
		store->state = state;
	return result;
}
