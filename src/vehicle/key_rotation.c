#include "vehicle/key_rotation.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define DROP_LIMIT 10000
#define RETRY_MS   1000

struct run {
	struct key_rotation *rotation;
	const struct platform *platform;
	struct key_rotation_progress progress;
	struct note *note;
	uint64_t found; /* vehicles that the last pass met */
};

/* ---- waiting -------------------------------------------------------------------------------------- */

static void wait_ms(const struct run *run, int64_t ms)
{
	if (run->rotation->sleep_ms) {
		run->rotation->sleep_ms(run->rotation->context, ms);
		return;
	}
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	nanosleep(&time, NULL);
}

static enum result tell(struct run *run, enum key_rotation_step step)
{
	struct key_rotation *rotation = run->rotation;
	run->progress.step = step;
	if (!rotation->progress || rotation->progress(rotation->context, &run->progress))
		return RESULT_OK;
	note_set(run->note, "stopped; it can be continued");
	return RESULT_CONFLICT;
}

/* Repeats a step while keyd or registry is away. */
static enum result persist(struct run *run, enum result (*step)(struct run *run))
{
	enum result result = RESULT_UNAVAILABLE;
	for (int i = 0; i < KEY_ROTATION_RETRIES_MAX; i++) {
		result = step(run);
		if (result != RESULT_UNAVAILABLE)
			return result;
		TRY(tell(run, run->progress.step));
		wait_ms(run, RETRY_MS);
	}
	return result;
}

/* ---- leaves --------------------------------------------------------------------------------------- */

static struct audit_event new_event(const struct run *run, const char *action)
{
	struct audit_event event = {
		.action = action,
		.outcome = AUDIT_ALLOWED,
		.actor = run->rotation->actor,
		.tenant = run->rotation->tenant,
		.source_address = "local",
	};
	/* A request of its own; without randomness it is the nil UUID, which says as much. */
	if (uuid_generate_v4(run->platform->entropy, &event.request_id) != RESULT_OK)
		event.request_id = (struct uuid){0};
	return event;
}

static enum result record(struct run *run, const char *action)
{
	ARENA_CLEANUP struct arena arena = {0};
	char subject[32];
	struct audit_event event = new_event(run, action);
	snprintf(subject, sizeof(subject), "generation %u", run->progress.generations.newest);
	event.subject = subject;
	return audit_record(run->platform, &event, &arena);
}

/* ---- re-sealing ----------------------------------------------------------------------------------- */

static enum result commit_reseals(struct run *run, const struct registry_write *writes, size_t count,
				  enum registry_conflict *ret_conflict)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct audit_event event = new_event(run, "keys.reseal");
	event.count = count;
	return audit_commit(run->platform, &event, &arena, writes, count, ret_conflict, run->note);
}

/* One of the batch has changed or gone since it was read: each by itself, and what has changed is met again. */
static enum result commit_singly(struct run *run, const struct registry_write *writes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum registry_conflict conflict = REGISTRY_CONFLICT_NONE;
		enum result result = commit_reseals(run, &writes[i], 1, &conflict);
		if (result == RESULT_OK)
			run->progress.resealed++;
		else if (result != RESULT_CONFLICT && result != RESULT_ABSENT)
			return result;
	}
	return RESULT_OK;
}

static enum result commit_batch(struct run *run, const struct registry_write *writes, size_t count)
{
	enum registry_conflict conflict = REGISTRY_CONFLICT_NONE;
	if (count == 0)
		return RESULT_OK;
	enum result result = commit_reseals(run, writes, count, &conflict);
	if (result == RESULT_CONFLICT || result == RESULT_ABSENT)
		return commit_singly(run, writes, count);
	if (result == RESULT_OK)
		run->progress.resealed += count;
	return result;
}

static struct registry_write reseal_write(const struct run *run, const struct vehicle *vehicle,
					  const struct reseal_item *item)
{
	return (struct registry_write){
		.kind = REGISTRY_RESEAL,
		.reseal =
			{
				.tenant = &run->rotation->tenant,
				.reference_id = &item->reference_id,
				.expected_sealed = &vehicle->sealed,
				.sealed = &item->sealed,
				.index = &item->index,
			},
	};
}

static enum result reseal_page(struct run *run, const struct vehicle_page *page)
{
	struct reseal_item items[KEY_RESEAL_BATCH_MAX];
	struct registry_write writes[KEY_RESEAL_BATCH_MAX];
	struct key_service *keys = run->platform->keys;
	size_t count = 0;
	if (page->count == 0)
		return RESULT_OK;
	for (size_t i = 0; i < page->count; i++)
		items[i] = (struct reseal_item){.reference_id = page->vehicles[i].reference_id,
						.sealed = page->vehicles[i].sealed};
	TRY(keys->ops->reseal_vins(keys, &run->rotation->tenant, items, page->count, run->note));
	for (size_t i = 0; i < page->count; i++) {
		if (items[i].result == RESULT_OK) {
			writes[count++] = reseal_write(run, &page->vehicles[i], &items[i]);
		} else if (items[i].result == RESULT_CORRUPT) {
			run->progress.corrupt++;
			run->progress.last_corrupt = items[i].reference_id;
		} else {
			return items[i].result;
		}
	}
	return commit_batch(run, writes, count);
}

static size_t batch_size(const struct key_rotation *rotation)
{
	if (rotation->batch == 0)
		return KEY_ROTATION_BATCH_DEFAULT;
	return rotation->batch < KEY_RESEAL_BATCH_MAX ? rotation->batch : KEY_RESEAL_BATCH_MAX;
}

/* Once over all vehicles that lack an index of the new generation. */
static enum result pass(struct run *run)
{
	struct registry *registry = run->platform->registry;
	ARENA_CLEANUP struct arena arena = {0};
	uint64_t cursor = 0;
	run->found = 0;
	run->progress.corrupt = 0;
	do {
		struct vehicle_page page = {0};
		arena_reset(&arena);
		TRY(registry->ops->scan_stale(registry, &run->rotation->tenant, run->progress.generations.newest,
					      cursor, batch_size(run->rotation), &arena, &page, run->note));
		TRY(reseal_page(run, &page));
		run->found += page.count;
		cursor = page.next_cursor;
		if (page.count > 0)
			TRY(tell(run, run->progress.step));
	} while (cursor != 0);
	return RESULT_OK;
}

/* Until a pass meets none, or only such as do not open. */
static enum result reseal_all(struct run *run)
{
	do {
		TRY(persist(run, pass));
		if (run->progress.corrupt > 0 && run->found == run->progress.corrupt) {
			note_set(run->note, "%" PRIu64 " sealed VINs do not open: the old generation is kept",
				 run->progress.corrupt);
			return RESULT_CORRUPT;
		}
	} while (run->found > 0);
	return RESULT_OK;
}

/* ---- the steps ------------------------------------------------------------------------------------ */

static enum result begin(struct run *run)
{
	struct key_service *keys = run->platform->keys;
	struct key_generations *generations = &run->progress.generations;
	TRY(keys->ops->get_generations(keys, &run->rotation->tenant, generations, run->note));
	if (generations->newest != generations->oldest)
		return RESULT_OK;
	if (run->rotation->only_continue)
		return RESULT_ABSENT;
	TRY(keys->ops->begin_rotation(keys, &run->rotation->tenant, generations, run->note));
	return record(run, "keys.rotation-begun");
}

static enum result drop_some(struct run *run)
{
	struct registry *registry = run->platform->registry;
	size_t removed = 0;
	do {
		TRY(registry->ops->drop_generation(registry, &run->rotation->tenant, run->progress.generations.oldest,
						   DROP_LIMIT, &removed, run->note));
		run->progress.dropped += removed;
		TRY(tell(run, KEY_ROTATION_DROPPING));
	} while (removed > 0);
	return RESULT_OK;
}

static enum result finish(struct run *run)
{
	struct key_service *keys = run->platform->keys;
	return keys->ops->finish_rotation(keys, &run->rotation->tenant, run->note);
}

static enum result settle(struct run *run)
{
	int64_t settle_ms = run->rotation->settle_ms;
	TRY(tell(run, KEY_ROTATION_SETTLING));
	if (settle_ms >= 0)
		wait_ms(run, settle_ms > 0 ? settle_ms : KEY_ROTATION_SETTLE_DEFAULT);
	return reseal_all(run);
}

static enum result run_steps(struct run *run)
{
	TRY(persist(run, begin));
	TRY(tell(run, KEY_ROTATION_BEGUN));
	run->progress.step = KEY_ROTATION_RESEALING;
	TRY(reseal_all(run));
	TRY(settle(run));
	run->progress.step = KEY_ROTATION_DROPPING;
	TRY(persist(run, drop_some));
	/* Whatever slipped in is still of a generation that keyd opens; the registry takes no index of it any more. */
	TRY(reseal_all(run));
	/* The leaf first: after a kill between the two there is a second one, rather than none. */
	TRY(record(run, "keys.rotation-finished"));
	TRY(persist(run, finish));
	/* Nothing is left to stop. */
	enum result told = tell(run, KEY_ROTATION_FINISHED);
	return told == RESULT_CONFLICT ? RESULT_OK : told;
}

enum result key_rotation_run(struct key_rotation *rotation, struct key_rotation_progress *ret_progress,
			     struct note *note)
{
	struct run run = {.rotation = rotation, .platform = rotation->platform, .note = note};
	TRY(run_steps(&run));
	*ret_progress = run.progress;
	return RESULT_OK;
}

enum result key_rotation_continue_all(struct key_rotation *rotation, struct note *note)
{
	struct registry *registry = rotation->platform->registry;
	ARENA_CLEANUP struct arena arena = {0};
	struct tenant *tenants = NULL;
	size_t count = 0;
	enum result first = RESULT_OK;
	TRY(registry->ops->list_tenants(registry, &arena, &tenants, &count, note));
	rotation->only_continue = true;
	for (size_t i = 0; i < count; i++) {
		struct key_rotation_progress progress;
		rotation->tenant = tenants[i].id;
		enum result result = key_rotation_run(rotation, &progress, note);
		if (result != RESULT_OK && result != RESULT_ABSENT && first == RESULT_OK)
			first = result;
	}
	return first;
}
