#include "programs/mosquitto-plugin/deny_list.h"

static void entries_release(struct deny_entries *entries)
{
	key_set_release(&entries->serials);
	key_set_release(&entries->vehicles);
	*entries = (struct deny_entries){0};
}

void deny_list_release(struct deny_list *list)
{
	entries_release(&list->current);
	entries_release(&list->collected);
	*list = (struct deny_list){0};
}

void deny_list_begin(struct deny_list *list, uint64_t epoch)
{
	entries_release(&list->collected);
	list->is_collecting = true;
	list->collected_epoch = epoch;
}

enum result deny_list_collect_serial(struct deny_list *list, const struct serial *serial)
{
	if (!list->is_collecting)
		return RESULT_INVALID;
	list->collected.serials_told++;
	return key_set_add(&list->collected.serials, serial->bytes);
}

enum result deny_list_collect_vehicle(struct deny_list *list, const struct uuid *reference_id)
{
	if (!list->is_collecting)
		return RESULT_INVALID;
	list->collected.vehicles_told++;
	return key_set_add(&list->collected.vehicles, reference_id->bytes);
}

enum result deny_list_end(struct deny_list *list, uint64_t epoch, uint64_t serials, uint64_t vehicles, int64_t now_ms)
{
	if (!list->is_collecting || epoch != list->collected_epoch || serials != list->collected.serials_told ||
	    vehicles != list->collected.vehicles_told) {
		list->is_collecting = false;
		entries_release(&list->collected);
		return RESULT_INVALID;
	}
	entries_release(&list->current);
	list->current = list->collected;
	list->collected = (struct deny_entries){0};
	list->is_collecting = false;
	list->is_complete = true;
	list->epoch = epoch;
	list->heard_at_ms = now_ms;
	return RESULT_OK;
}

static enum result add(struct deny_list *list, struct key_set *set, const uint8_t *key)
{
	enum result result = key_set_add(set, key);
	if (result != RESULT_OK)
		list->is_complete = false;
	return result;
}

enum result deny_list_deny(struct deny_list *list, const struct serial *serial)
{
	return add(list, &list->current.serials, serial->bytes);
}

void deny_list_activate(struct deny_list *list, const struct serial *serial)
{
	key_set_remove(&list->current.serials, serial->bytes);
}

enum result deny_list_refuse(struct deny_list *list, const struct uuid *reference_id)
{
	return add(list, &list->current.vehicles, reference_id->bytes);
}

void deny_list_admit(struct deny_list *list, const struct uuid *reference_id)
{
	key_set_remove(&list->current.vehicles, reference_id->bytes);
}

enum result deny_list_heartbeat(struct deny_list *list, uint64_t epoch, int64_t now_ms)
{
	if (!list->is_complete || epoch != list->epoch)
		return RESULT_CONFLICT;
	list->heard_at_ms = now_ms;
	return RESULT_OK;
}

int64_t deny_list_age_ms(const struct deny_list *list, int64_t now_ms)
{
	return list->is_complete ? now_ms - list->heard_at_ms : INT64_MAX;
}

bool deny_list_denies(const struct deny_list *list, const struct serial *serial, const struct uuid *reference_id)
{
	return key_set_has(&list->current.serials, serial->bytes) ||
	       (reference_id && key_set_has(&list->current.vehicles, reference_id->bytes));
}
