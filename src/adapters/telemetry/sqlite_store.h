/*
 * The store's inside (doc/telemetry-format.md). Internal to the adapter.
 *
 * Day files are committed first, the main file with the position last; numbers of new vehicles and names before both.
 * So a crash in between is completed when the same records are read again: messages by their primary key, counts
 * because each day file counts what was really inserted into it.
 */
#ifndef VINVEIL_ADAPTERS_TELEMETRY_SQLITE_STORE_H
#define VINVEIL_ADAPTERS_TELEMETRY_SQLITE_STORE_H

#include "adapters/telemetry/sqlite.h"
#include "adapters/telemetry/sqlite_db.h"
#include "base/buf.h"

#include <pthread.h>
#include <stdatomic.h>

#define DAY_MS		    INT64_C(86400000)
#define PATH_LENGTH	    4096
#define DAYS_OPEN_MAX	    8 /* for writing */
#define READER_DAYS_MAX	    4 /* … a reader */
#define READERS_MAX	    4
#define NAMES_MAX	    262144 /* of all vehicles together; samples of further ones are dropped and counted */
#define NAMES_A_VEHICLE_MAX 4096   /* that it is the first to send: none uses up the room of all */
#define VEHICLES_CACHED	    262144
#define LATEST_COUNT_MAX    4096 /* of one vehicle: the oldest go first */
#define LATEST_SIZE_MAX	    ((size_t)1 << 20)
#define BATCH_SIZE_MAX	    ((size_t)1 << 30) /* of the encoded samples of one batch */
#define ROWS_A_PAGE_MAX	    50000	      /* looked at for one page */
#define EXPIRE_VEHICLES	    200		      /* cleaned in one step */
#define POINTS_A_PAGE_MAX   10000

enum main_statement {
	MAIN_GET_STATE,
	MAIN_SET_STATE,
	MAIN_RETIRE,
	MAIN_FIND_VEHICLE,
	MAIN_ADD_VEHICLE,
	MAIN_ASSIGN_VEHICLE,
	MAIN_COUNT_NAMES,
	MAIN_FORGET_VEHICLE,
	MAIN_FORGET_LATEST,
	MAIN_FORGET_REJECTS,
	MAIN_TENANT_VEHICLES,
	MAIN_FIND_TENANT,
	MAIN_ADD_TENANT,
	MAIN_SET_RETENTION,
	MAIN_SET_CLEANED,
	MAIN_LIST_TENANTS,
	MAIN_ADD_NAME,
	MAIN_LIST_NAMES,
	MAIN_GET_LATEST,
	MAIN_PUT_LATEST,
	MAIN_PUT_DAY,
	MAIN_REMOVE_DAY,
	MAIN_LIST_DAYS,
	MAIN_ADD_REJECT,
	MAIN_TRIM_REJECTS,
	MAIN_SUM_DAYS,
};

enum day_statement { DAY_INSERT, DAY_GET_COUNTS, DAY_SET_COUNTS, DAY_SCAN, DAY_FORGET };

extern const struct db_kind main_kind, day_kind, day_reading_kind;

/* ---- day files -------------------------------------------------------------------------------------------- */

struct open_day {
	int64_t day; /* since 1970; 0: this place is free */
	uint64_t used;
	struct db db;
};

/* A few of the day files, those used last. */
struct days {
	const char *directory;
	bool is_read_only;
	mode_t mode;
	size_t count; /* of the places */
	uint64_t use_count;
	struct open_day places[DAYS_OPEN_MAX];
};

void day_path(const char *directory, int64_t day, char ret_path[static PATH_LENGTH]);
/* The day that a file's name tells. */
bool day_of_name(const char *name, int64_t *ret_day);
/* Borrowed until the next call. RESULT_ABSENT only when reading. */
MUST_USE enum result days_get(struct days *days, int64_t day, struct db **ret_db, struct note *note);
void days_close_one(struct days *days, int64_t day);
void days_close(struct days *days);

/* ---- dictionaries of the writer --------------------------------------------------------------------------- */

/* Names to numbers, from 1 on without a gap: all of them. */
struct names {
	char **texts; /* [number - 1], each with its length in front (one byte: they are at most 255) */
	uint32_t count, capacity;
	uint32_t *slots; /* numbers, 0 is free; a power of two of them */
	size_t slot_count;
};

uint32_t names_find(const struct names *names, struct span name); /* 0: not known */
/* With the next number. */
MUST_USE enum result names_add(struct names *names, struct span name);
struct span names_get(const struct names *names, uint32_t number);
void names_cut(struct names *names, uint32_t count); /* forgets those behind */
void names_release(struct names *names);
/* All that the file has and this has not. */
MUST_USE enum result names_load(struct names *names, struct db *main, struct note *note);

struct known_vehicle {
	struct uuid reference_id;
	uint32_t number; /* 0: this place is free */
	uint32_t tenant; /* 0: unknown */
	uint32_t names;	 /* that it was the first to send */
};

struct vehicles {
	struct known_vehicle *places;
	size_t place_count, count;
};

struct known_vehicle *vehicles_find(const struct vehicles *vehicles,
				    const struct uuid *reference_id); /* NULL: not here */
MUST_USE enum result vehicles_add(struct vehicles *vehicles, const struct known_vehicle *vehicle);
void vehicles_clear(struct vehicles *vehicles);

struct known_tenant {
	struct tenant_id id;
	uint32_t number, days; /* days 0: the default */
	int64_t cleaned;       /* days before this one hold nothing of it that is too old */
};

struct tenants {
	struct known_tenant *list;
	size_t count;
};

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* Connections and names of one reading thread at a time. */
struct reader {
	pthread_mutex_t mutex;
	struct db main;
	struct names names;
	struct days days;
};

/* ---- the store -------------------------------------------------------------------------------------------- */

/* A message on its way into its day's file. */
struct entry {
	int64_t day, at; /* ms within the day */
	int64_t digest;
	uint32_t vehicle;
	uint32_t sample_count;
	size_t offset, size; /* in the encoded samples */
};

/* The newest value of a signal while a vehicle's latest are merged. */
struct fresh {
	uint64_t at;
	struct span encoded;
	uint32_t stamp; /* of the vehicle's turn: others' are old */
};

struct state {
	struct telemetry_position position;
	uint64_t seen, expired, rejects, withheld; /* messages that came; of these those too old to be kept; … */
	uint64_t retired_messages, retired_samples;
};

struct sqlite_store {
	struct telemetry_store base;
	struct telemetry_sqlite_options options;
	char *directory;
	int lock_fd;
	mode_t mode;
	_Atomic uint32_t next_reader;
	struct reader readers[READERS_MAX];

	/* The writer's, under the mutex. */
	pthread_mutex_t mutex;
	struct db main;
	struct days days;
	struct names names;
	struct vehicles vehicles;
	struct tenants tenants;
	struct state state; /* as committed */
	struct buf encoded;
	struct entry *entries;
	size_t entry_count, entry_capacity;
	struct fresh *fresh; /* [name's number] */
	uint32_t fresh_capacity, stamp;
	uint32_t *touched; /* numbers of names */
	size_t touched_count, touched_capacity;
	struct buf merged;
	/* How far the cleaning of the current tenant has come. */
	struct {
		uint32_t tenant, vehicle;
		int64_t day;
	} cleaning;
};

static inline struct sqlite_store *self_of(struct telemetry_store *store)
{
	return (struct sqlite_store *)store;
}

static inline int64_t day_of(int64_t at_ms)
{
	return at_ms >= 0 ? at_ms / DAY_MS : -((-at_ms + DAY_MS - 1) / DAY_MS);
}

/* The first day that is still kept. */
int64_t first_day_of_tenant(const struct sqlite_store *store, uint32_t tenant, int64_t now_ms);
int64_t first_day_of_all(const struct sqlite_store *store, int64_t now_ms);

MUST_USE enum result tenants_load(struct sqlite_store *store, struct note *note);
MUST_USE enum result state_load(struct db *main, struct state *ret_state, struct note *note);
MUST_USE enum result state_save(struct db *main, const struct state *state, struct note *note);
/* Out of the cache or the file; RESULT_ABSENT. */
MUST_USE enum result vehicle_look_up(struct sqlite_store *store, const struct uuid *reference_id,
				     struct known_vehicle *ret_vehicle, struct note *note);
/* Within a transaction on the main file. */
MUST_USE enum result vehicle_make(struct sqlite_store *store, const struct uuid *reference_id, uint32_t tenant,
				  struct known_vehicle *ret_vehicle, struct note *note);

/* One transaction on the main file. */
#define MAIN_TRANSACTION(store, note, work)                                          \
	do {                                                                         \
		TRY(db_execute(&(store)->main, "BEGIN IMMEDIATE", (note)));          \
		enum result work_result_ = (work);                                   \
		if (work_result_ == RESULT_OK)                                       \
			work_result_ = db_execute(&(store)->main, "COMMIT", (note)); \
		if (work_result_ != RESULT_OK) {                                     \
			db_rollback(&(store)->main);                                 \
			return work_result_;                                         \
		}                                                                    \
	} while (0)

/* The operations that change something, under the mutex. */
MUST_USE enum result store_commit(struct sqlite_store *store, const struct telemetry_batch *batch, struct note *note);
MUST_USE enum result store_assign(struct sqlite_store *store, const struct uuid *reference_id,
				  const struct tenant_id *tenant, struct note *note);
MUST_USE enum result store_set_retention(struct sqlite_store *store, const struct tenant_id *tenant, uint32_t days,
					 struct note *note);
MUST_USE enum result store_forget(struct sqlite_store *store, const struct uuid *reference_id, struct note *note);
MUST_USE enum result store_expire(struct sqlite_store *store, int64_t now_ms, bool *ret_more, struct note *note);

/* Reading, with a reader that is opened and held. */
MUST_USE enum result reader_latest(struct reader *reader, const struct uuid *reference_id, struct arena *arena,
				   struct telemetry_latest **ret_latest, size_t *ret_count, struct note *note);
MUST_USE enum result reader_range(struct reader *reader, const struct telemetry_query *query, struct arena *arena,
				  struct telemetry_page *ret_page, struct note *note);
MUST_USE enum result reader_count(struct reader *reader, struct telemetry_counts *ret_counts, struct note *note);

#endif
