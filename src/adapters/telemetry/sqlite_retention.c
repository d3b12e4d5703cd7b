/* Whose a vehicle is, how long its tenant keeps telemetry, and what goes. */
#include "adapters/telemetry/sqlite_store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- tenants ------------------------------------------------------------------------------------------------- */

enum result tenants_load(struct sqlite_store *store, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;
	enum result result;

	free(store->tenants.list);
	store->tenants = (struct tenants){0};
	TRY(db_prepare(&store->main, MAIN_LIST_TENANTS, &query, note));
	while ((result = db_step(&store->main, query, note)) == RESULT_OK) {
		struct known_tenant tenant = {.number = (uint32_t)sqlite3_column_int64(query, 0),
					      .days = (uint32_t)sqlite3_column_int64(query, 2),
					      .cleaned = sqlite3_column_int64(query, 3)};
		struct known_tenant *list = reallocarray(store->tenants.list, store->tenants.count + 1, sizeof(*list));

		if (list == NULL)
			return RESULT_MEMORY;
		store->tenants.list = list;
		if (tenant.number != store->tenants.count + 1 ||
		    tenant_id_parse(db_column_span(query, 1), &tenant.id) != RESULT_OK)
			return RESULT_CORRUPT;
		list[store->tenants.count++] = tenant;
	}
	return result == RESULT_ABSENT ? RESULT_OK : result;
}

static uint32_t days_of(const struct sqlite_store *store, const struct known_tenant *tenant)
{
	return tenant->days != 0 ? tenant->days : store->options.retention_days;
}

int64_t first_day_of_tenant(const struct sqlite_store *store, uint32_t tenant, int64_t now_ms)
{
	/* Numbers have no gaps: tenants are never removed. */
	bool is_known = tenant != 0 && tenant <= store->tenants.count;

	return day_of(now_ms) -
	       (is_known ? days_of(store, &store->tenants.list[tenant - 1]) : store->options.retention_days);
}

int64_t first_day_of_all(const struct sqlite_store *store, int64_t now_ms)
{
	uint32_t longest = store->options.retention_days;

	for (size_t i = 0; i < store->tenants.count; i++)
		if (store->tenants.list[i].days > longest)
			longest = store->tenants.list[i].days;
	return day_of(now_ms) - longest;
}

static enum result add_tenant(struct sqlite_store *store, const struct tenant_id *tenant, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT insert = NULL;

	TRY(db_prepare(&store->main, MAIN_ADD_TENANT, &insert, note));
	sqlite3_bind_text(insert, 1, tenant->text, -1, SQLITE_STATIC);
	return db_run(&store->main, insert, note);
}

static enum result write_retention(struct sqlite_store *store, const struct tenant_id *tenant, uint32_t days,
				   struct note *note)
{
	sqlite3_stmt *DB_STATEMENT update = NULL;

	TRY(add_tenant(store, tenant, note));
	TRY(db_prepare(&store->main, MAIN_SET_RETENTION, &update, note));
	sqlite3_bind_text(update, 1, tenant->text, -1, SQLITE_STATIC);
	sqlite3_bind_int64(update, 2, days);
	return db_run(&store->main, update, note);
}

enum result store_set_retention(struct sqlite_store *store, const struct tenant_id *tenant, uint32_t days,
				struct note *note)
{
	if (days > TELEMETRY_RETENTION_MAX_DAYS)
		return RESULT_INVALID;
	for (size_t i = 0; i < store->tenants.count; i++)
		if (tenant_id_equal(&store->tenants.list[i].id, tenant) && store->tenants.list[i].days == days)
			return RESULT_OK;
	MAIN_TRANSACTION(store, note, write_retention(store, tenant, days, note));
	memset(&store->cleaning, 0, sizeof(store->cleaning));
	return tenants_load(store, note);
}

/* ---- whose ------------------------------------------------------------------------------------------------------ */

static enum result number_of_tenant(struct sqlite_store *store, const struct tenant_id *tenant, uint32_t *ret_number,
				    struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;

	TRY(add_tenant(store, tenant, note));
	TRY(db_prepare(&store->main, MAIN_FIND_TENANT, &query, note));
	sqlite3_bind_text(query, 1, tenant->text, -1, SQLITE_STATIC);
	TRY(db_step(&store->main, query, note));
	*ret_number = (uint32_t)sqlite3_column_int64(query, 0);
	return RESULT_OK;
}

static enum result set_cleaned(struct sqlite_store *store, uint32_t tenant, int64_t day, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT update = NULL;

	TRY(db_prepare(&store->main, MAIN_SET_CLEANED, &update, note));
	sqlite3_bind_int64(update, 1, tenant);
	sqlite3_bind_int64(update, 2, day);
	return db_run(&store->main, update, note);
}

static enum result write_assignment(struct sqlite_store *store, const struct uuid *reference_id,
				    const struct tenant_id *tenant, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT update = NULL;
	struct known_vehicle vehicle;
	uint32_t number = 0;

	TRY(number_of_tenant(store, tenant, &number, note));
	enum result result = vehicle_look_up(store, reference_id, &vehicle, note);
	if (result == RESULT_ABSENT)
		return vehicle_make(store, reference_id, number, &vehicle, note);
	TRY(result);
	if (vehicle.tenant == number)
		return RESULT_OK;
	TRY(db_prepare(&store->main, MAIN_ASSIGN_VEHICLE, &update, note));
	sqlite3_bind_int64(update, 1, vehicle.number);
	sqlite3_bind_int64(update, 2, number);
	TRY(db_run(&store->main, update, note));
	/* What came before anybody knew whose it was may be too old for this tenant. */
	return set_cleaned(store, number, 0, note);
}

static enum result assign_in_transaction(struct sqlite_store *store, const struct uuid *reference_id,
					 const struct tenant_id *tenant, struct note *note)
{
	MAIN_TRANSACTION(store, note, write_assignment(store, reference_id, tenant, note));
	return RESULT_OK;
}

enum result store_assign(struct sqlite_store *store, const struct uuid *reference_id, const struct tenant_id *tenant,
			 struct note *note)
{
	enum result result = assign_in_transaction(store, reference_id, tenant, note);

	vehicles_clear(&store->vehicles); /* what it says of the tenant is old, or was not committed */
	TRY(result);
	return tenants_load(store, note);
}

/* ---- days ---------------------------------------------------------------------------------------------------------
 */

struct day_list {
	int64_t *days;
	size_t count;
};

static void day_list_release(struct day_list *list)
{
	free(list->days);
}
#define DAY_LIST_CLEANUP __attribute__((cleanup(day_list_release)))

static enum result day_list_add(struct day_list *list, int64_t day)
{
	int64_t *days = reallocarray(list->days, list->count + 1, sizeof(*days));

	if (days == NULL)
		return RESULT_MEMORY;
	list->days = days;
	days[list->count++] = day;
	return RESULT_OK;
}

/* The files that are there, also those of which the main file does not know (a crash between the two). */
static enum result list_files(struct sqlite_store *store, int64_t before, struct day_list *list, struct note *note)
{
	DIR *stream = opendir(store->directory);
	enum result result = RESULT_OK;
	struct dirent *entry;
	int64_t day;

	if (stream == NULL) {
		note_set(note, "%s: %s", store->directory, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	while (result == RESULT_OK && (entry = readdir(stream)) != NULL)
		if (day_of_name(entry->d_name, &day) && day < before)
			result = day_list_add(list, day);
	closedir(stream);
	return result;
}

static enum result forget_day(struct sqlite_store *store, int64_t day, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT retire = NULL, *DB_STATEMENT remove_day = NULL;

	TRY(db_prepare(&store->main, MAIN_RETIRE, &retire, note));
	sqlite3_bind_int64(retire, 1, day);
	TRY(db_run(&store->main, retire, note));
	TRY(db_prepare(&store->main, MAIN_REMOVE_DAY, &remove_day, note));
	sqlite3_bind_int64(remove_day, 1, day);
	return db_run(&store->main, remove_day, note);
}

static enum result remove_file(const char *path, const char *suffix, struct note *note)
{
	char whole[PATH_LENGTH + 8];

	snprintf(whole, sizeof(whole), "%s%s", path, suffix);
	if (unlink(whole) == 0 || errno == ENOENT)
		return RESULT_OK;
	note_set(note, "%s: %s", whole, strerror(errno));
	return RESULT_UNAVAILABLE;
}

/* First out of the main file, so that nobody looks for it; a crash in between leaves a file for the next time. */
static enum result drop_day(struct sqlite_store *store, int64_t day, struct note *note)
{
	char path[PATH_LENGTH];

	MAIN_TRANSACTION(store, note, forget_day(store, day, note));
	TRY(state_load(&store->main, &store->state, note));
	days_close_one(&store->days, day);
	day_path(store->directory, day, path);
	TRY(remove_file(path, "", note));
	TRY(remove_file(path, "-wal", note));
	return remove_file(path, "-shm", note);
}

/* ---- what is too old ----------------------------------------------------------------------------------------------
 */

/* A tenant that keeps less than others, and of whom something older may be left. */
static struct known_tenant *find_uncleaned(struct sqlite_store *store, int64_t now_ms)
{
	int64_t first_of_all = first_day_of_all(store, now_ms);

	for (size_t i = 0; i < store->tenants.count; i++) {
		struct known_tenant *tenant = &store->tenants.list[i];
		int64_t first = day_of(now_ms) - days_of(store, tenant);

		if (first > first_of_all && tenant->cleaned < first)
			return tenant;
	}
	return NULL;
}

static enum result next_day(struct sqlite_store *store, int64_t from, int64_t to, int64_t *ret_day, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;

	TRY(db_prepare(&store->main, MAIN_LIST_DAYS, &query, note));
	sqlite3_bind_int64(query, 1, from);
	sqlite3_bind_int64(query, 2, to);
	TRY(db_step(&store->main, query, note));
	*ret_day = sqlite3_column_int64(query, 0);
	return RESULT_OK;
}

static enum result delete_rows(struct db *db, int64_t vehicle, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT forget = NULL;

	TRY(db_prepare(db, DAY_FORGET, &forget, note));
	sqlite3_bind_int64(forget, 1, vehicle);
	return db_run(db, forget, note);
}

/* The next vehicles of the tenant; *ret_count of them. */
static enum result clean_vehicles(struct sqlite_store *store, struct db *db, uint32_t tenant, int *ret_count,
				  struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;
	enum result result;

	TRY(db_prepare(&store->main, MAIN_TENANT_VEHICLES, &query, note));
	sqlite3_bind_int64(query, 1, tenant);
	sqlite3_bind_int64(query, 2, store->cleaning.vehicle);
	sqlite3_bind_int64(query, 3, EXPIRE_VEHICLES);
	for (*ret_count = 0; (result = db_step(&store->main, query, note)) == RESULT_OK; ++*ret_count) {
		store->cleaning.vehicle = (uint32_t)sqlite3_column_int64(query, 0);
		TRY(delete_rows(db, store->cleaning.vehicle, note));
	}
	return result == RESULT_ABSENT ? RESULT_OK : result;
}

static enum result clean_step(struct sqlite_store *store, int64_t day, uint32_t tenant, int *ret_count,
			      struct note *note)
{
	uint32_t before = store->cleaning.vehicle;
	struct db *db = NULL;

	TRY(days_get(&store->days, day, &db, note));
	TRY(db_execute(db, "BEGIN IMMEDIATE", note));
	enum result result = clean_vehicles(store, db, tenant, ret_count, note);
	if (result == RESULT_OK)
		result = db_execute(db, "COMMIT", note);
	if (result == RESULT_OK)
		return RESULT_OK;
	db_rollback(db);
	store->cleaning.vehicle = before;
	return result;
}

/* One step of one tenant: some of its vehicles in one day's file. */
static enum result clean(struct sqlite_store *store, struct known_tenant *tenant, int64_t now_ms, struct note *note)
{
	int64_t first = day_of(now_ms) - days_of(store, tenant), day = 0;
	int count = 0;

	if (store->cleaning.tenant != tenant->number) {
		memset(&store->cleaning, 0, sizeof(store->cleaning));
		store->cleaning.tenant = tenant->number;
	}
	enum result result =
		next_day(store, store->cleaning.day > tenant->cleaned ? store->cleaning.day : tenant->cleaned,
			 first - 1, &day, note);
	if (result == RESULT_ABSENT) {
		memset(&store->cleaning, 0, sizeof(store->cleaning));
		tenant->cleaned = first;
		return set_cleaned(store, tenant->number, first, note);
	}
	TRY(result);
	if (day != store->cleaning.day)
		store->cleaning.vehicle = 0;
	store->cleaning.day = day;
	TRY(clean_step(store, day, tenant->number, &count, note));
	if (count < EXPIRE_VEHICLES) {
		store->cleaning.day = day + 1;
		store->cleaning.vehicle = 0;
	}
	return RESULT_OK;
}

enum result store_expire(struct sqlite_store *store, int64_t now_ms, bool *ret_more, struct note *note)
{
	DAY_LIST_CLEANUP struct day_list list = {0};
	struct known_tenant *tenant;

	TRY(list_files(store, first_day_of_all(store, now_ms), &list, note));
	if (list.count > 0) {
		TRY(drop_day(store, list.days[0], note));
		*ret_more = true;
		return RESULT_OK;
	}
	tenant = find_uncleaned(store, now_ms);
	if (tenant != NULL)
		TRY(clean(store, tenant, now_ms, note));
	*ret_more = find_uncleaned(store, now_ms) != NULL;
	return RESULT_OK;
}

/* ---- forgetting ----------------------------------------------------------------------------------------------------
 */

/* Also out of the log that the file writes ahead. */
static enum result forget_in_day(struct sqlite_store *store, int64_t day, uint32_t vehicle, struct note *note)
{
	struct db *db = NULL;

	TRY(days_get(&store->days, day, &db, note));
	TRY(delete_rows(db, vehicle, note));
	if (sqlite3_changes(db->handle) > 0)
		sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return RESULT_OK;
}

static enum result delete_of(struct sqlite_store *store, int which, uint32_t vehicle, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT statement = NULL;

	TRY(db_prepare(&store->main, which, &statement, note));
	sqlite3_bind_int64(statement, 1, vehicle);
	return db_run(&store->main, statement, note);
}

static enum result forget_in_main(struct sqlite_store *store, uint32_t vehicle, const struct uuid *reference_id,
				  struct note *note)
{
	sqlite3_stmt *DB_STATEMENT rejects = NULL;

	if (vehicle != 0) {
		TRY(delete_of(store, MAIN_FORGET_LATEST, vehicle, note));
		TRY(delete_of(store, MAIN_FORGET_VEHICLE, vehicle, note));
	}
	TRY(db_prepare(&store->main, MAIN_FORGET_REJECTS, &rejects, note));
	sqlite3_bind_blob(rejects, 1, reference_id->bytes, UUID_SIZE, SQLITE_STATIC);
	return db_run(&store->main, rejects, note);
}

/* Its number goes last: until then a crash leaves it to be forgotten again. */
enum result store_forget(struct sqlite_store *store, const struct uuid *reference_id, struct note *note)
{
	DAY_LIST_CLEANUP struct day_list list = {0};
	struct known_vehicle vehicle = {0};
	enum result result = vehicle_look_up(store, reference_id, &vehicle, note);

	if (result != RESULT_OK && result != RESULT_ABSENT)
		return result;
	if (result == RESULT_OK) {
		TRY(list_files(store, INT64_MAX, &list, note));
		for (size_t i = 0; i < list.count; i++)
			TRY(forget_in_day(store, list.days[i], vehicle.number, note));
	}
	MAIN_TRANSACTION(store, note, forget_in_main(store, vehicle.number, reference_id, note));
	vehicles_clear(&store->vehicles);
	sqlite3_wal_checkpoint_v2(store->main.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return RESULT_OK;
}
