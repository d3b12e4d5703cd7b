#include "adapters/telemetry/sqlite_store.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define DATE_LENGTH 10

void day_path(const char *directory, int64_t day, char ret_path[static PATH_LENGTH])
{
	char text[RFC3339_TEXT_SIZE];

	rfc3339_format(day * DAY_MS, text);
	snprintf(ret_path, PATH_LENGTH, "%s/%.*s.db", directory, DATE_LENGTH, text);
}

bool day_of_name(const char *name, int64_t *ret_day)
{
	char text[RFC3339_TEXT_SIZE];
	int64_t at_ms;

	if (strlen(name) != DATE_LENGTH + 3 || strcmp(name + DATE_LENGTH, ".db") != 0)
		return false;
	snprintf(text, sizeof(text), "%.*sT00:00:00Z", DATE_LENGTH, name);
	if (rfc3339_parse(span_of_text(text), &at_ms) != RESULT_OK)
		return false;
	*ret_day = at_ms / DAY_MS;
	return true;
}

static struct open_day *find_place(struct days *days, int64_t day)
{
	struct open_day *oldest = &days->places[0];

	for (size_t i = 0; i < days->count; i++) {
		if (days->places[i].day == day)
			return &days->places[i];
		if (days->places[i].used < oldest->used)
			oldest = &days->places[i];
	}
	return oldest;
}

enum result days_get(struct days *days, int64_t day, struct db **ret_db, struct note *note)
{
	struct open_day *place = find_place(days, day);
	char path[PATH_LENGTH];

	if (place->day != day || place->db.handle == NULL) {
		db_close(&place->db);
		*place = (struct open_day){0};
		day_path(days->directory, day, path);
		TRY(db_open(path, days->is_read_only ? &day_reading_kind : &day_kind, days->is_read_only, days->mode,
			    &place->db, note));
		place->day = day;
	}
	place->used = ++days->use_count;
	*ret_db = &place->db;
	return RESULT_OK;
}

void days_close_one(struct days *days, int64_t day)
{
	struct open_day *place = find_place(days, day);

	if (place->day != day)
		return;
	db_close(&place->db);
	*place = (struct open_day){0};
}

void days_close(struct days *days)
{
	for (size_t i = 0; i < days->count; i++)
		db_close(&days->places[i].db);
	memset(days->places, 0, sizeof(days->places));
}
