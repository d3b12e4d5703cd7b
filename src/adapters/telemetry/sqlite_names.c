#include "adapters/telemetry/sqlite_store.h"
#include "base/hash.h"

#include <stdlib.h>

/* ---- names ------------------------------------------------------------------------------------------------ */

struct span names_get(const struct names *names, uint32_t number)
{
	const char *text = names->texts[number - 1];

	return span_of(text + 1, (uint8_t)text[0]);
}

static size_t slot_of(const struct names *names, struct span name)
{
	size_t slot = hash_bytes(name) & (names->slot_count - 1);

	while (names->slots[slot] != 0 && !span_equal(names_get(names, names->slots[slot]), name))
		slot = (slot + 1) & (names->slot_count - 1);
	return slot;
}

uint32_t names_find(const struct names *names, struct span name)
{
	return names->slot_count == 0 ? 0 : names->slots[slot_of(names, name)];
}

static enum result rehash(struct names *names, size_t slot_count)
{
	uint32_t *slots = calloc(slot_count, sizeof(*slots));

	if (slots == NULL)
		return RESULT_MEMORY;
	free(names->slots);
	names->slots = slots;
	names->slot_count = slot_count;
	for (uint32_t number = 1; number <= names->count; number++)
		slots[slot_of(names, names_get(names, number))] = number;
	return RESULT_OK;
}

static enum result names_grow(struct names *names)
{
	if (names->count == names->capacity) {
		uint32_t capacity = names->capacity ? 2 * names->capacity : 256;
		char **texts = reallocarray(names->texts, capacity, sizeof(*texts));

		if (texts == NULL)
			return RESULT_MEMORY;
		names->texts = texts;
		names->capacity = capacity;
	}
	if (2 * ((size_t)names->count + 1) > names->slot_count)
		return rehash(names, names->slot_count ? 2 * names->slot_count : 512);
	return RESULT_OK;
}

enum result names_add(struct names *names, struct span name)
{
	char *text;

	if (name.size == 0 || name.size > SIGNAL_NAME_LENGTH_MAX)
		return RESULT_CORRUPT;
	TRY(names_grow(names));
	text = malloc(1 + name.size);
	if (text == NULL)
		return RESULT_MEMORY;
	text[0] = (char)name.size;
	memcpy(text + 1, name.data, name.size);
	names->texts[names->count++] = text;
	names->slots[slot_of(names, name)] = names->count;
	return RESULT_OK;
}

void names_cut(struct names *names, uint32_t count)
{
	if (names->count <= count)
		return;
	while (names->count > count)
		free(names->texts[--names->count]);
	/* Without memory for it: the table stays, emptied. */
	memset(names->slots, 0, names->slot_count * sizeof(*names->slots));
	for (uint32_t number = 1; number <= names->count; number++)
		names->slots[slot_of(names, names_get(names, number))] = number;
}

void names_release(struct names *names)
{
	for (uint32_t i = 0; i < names->count; i++)
		free(names->texts[i]);
	free(names->texts);
	free(names->slots);
	*names = (struct names){0};
}

enum result names_load(struct names *names, struct db *main, struct note *note)
{
	sqlite3_stmt *DB_STATEMENT query = NULL;
	enum result result;

	TRY(db_prepare(main, MAIN_LIST_NAMES, &query, note));
	sqlite3_bind_int64(query, 1, names->count);
	while ((result = db_step(main, query, note)) == RESULT_OK) {
		if (sqlite3_column_int64(query, 0) != (int64_t)names->count + 1) {
			note_set(note, "telemetry: the names' numbers have a gap");
			return RESULT_CORRUPT;
		}
		TRY(names_add(names, db_column_span(query, 1)));
	}
	return result == RESULT_ABSENT ? RESULT_OK : result;
}

/* ---- vehicles --------------------------------------------------------------------------------------------- */

static struct known_vehicle *vehicle_place(const struct vehicles *vehicles, const struct uuid *reference_id)
{
	size_t place = hash_bytes(span_of(reference_id->bytes, UUID_SIZE)) & (vehicles->place_count - 1);

	while (vehicles->places[place].number != 0 && !uuid_equal(&vehicles->places[place].reference_id, reference_id))
		place = (place + 1) & (vehicles->place_count - 1);
	return &vehicles->places[place];
}

struct known_vehicle *vehicles_find(const struct vehicles *vehicles, const struct uuid *reference_id)
{
	struct known_vehicle *place = vehicles->place_count == 0 ? NULL : vehicle_place(vehicles, reference_id);

	return place != NULL && place->number != 0 ? place : NULL;
}

static enum result vehicles_grow(struct vehicles *vehicles)
{
	struct vehicles larger = {.place_count = vehicles->place_count ? 2 * vehicles->place_count : 1024,
				  .count = vehicles->count};

	if (2 * (vehicles->count + 1) <= vehicles->place_count)
		return RESULT_OK;
	larger.places = calloc(larger.place_count, sizeof(*larger.places));
	if (larger.places == NULL)
		return RESULT_MEMORY;
	for (size_t i = 0; i < vehicles->place_count; i++)
		if (vehicles->places[i].number != 0)
			*vehicle_place(&larger, &vehicles->places[i].reference_id) = vehicles->places[i];
	free(vehicles->places);
	*vehicles = larger;
	return RESULT_OK;
}

enum result vehicles_add(struct vehicles *vehicles, const struct known_vehicle *vehicle)
{
	TRY(vehicles_grow(vehicles));
	*vehicle_place(vehicles, &vehicle->reference_id) = *vehicle;
	vehicles->count++;
	return RESULT_OK;
}

void vehicles_clear(struct vehicles *vehicles)
{
	free(vehicles->places);
	*vehicles = (struct vehicles){0};
}
