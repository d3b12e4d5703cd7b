#include "vehicle/conversion.h"

#include <assert.h>
#include <stdio.h>

/* One exchange with keyd and one with the registry: conversions of one tenant, gathered from a list. */
struct group {
	struct conversion *members[KEY_INDEX_BATCH_MAX];
	struct hashed_vin vins[KEY_INDEX_BATCH_MAX];
	struct vin_index_set indexes[KEY_INDEX_BATCH_MAX];
	struct uuid ids[KEY_INDEX_BATCH_MAX];
	bool found[KEY_INDEX_BATCH_MAX];
	size_t count;
};

/* Not answered yet. Every conversion leaves conversion_run with another problem than this. */
#define PROBLEM_PENDING PROBLEM_COUNT

static void gather(struct group *group, struct conversion *conversions, size_t count)
{
	const struct tenant_id *tenant = &conversions[0].tenant;

	group->count = 0;
	for (size_t i = 0; i < count && group->count < KEY_INDEX_BATCH_MAX; i++) {
		if (conversions[i].ret_problem != PROBLEM_PENDING || !tenant_id_equal(&conversions[i].tenant, tenant))
			continue;
		group->members[group->count] = &conversions[i];
		group->vins[group->count] = conversions[i].hashed_vin;
		group->count++;
	}
}

static void wipe(struct group *group)
{
	secret_wipe(group->vins, group->count * sizeof(group->vins[0]));
	secret_wipe(group->indexes, group->count * sizeof(group->indexes[0]));
}

static void settle(struct group *group, enum result result)
{
	for (size_t i = 0; i < group->count; i++) {
		struct conversion *member = group->members[i];

		secret_wipe(&member->hashed_vin, sizeof(member->hashed_vin));
		member->ret_problem = problem_of_result(result);
		if (result != RESULT_OK)
			continue;
		if (group->found[i])
			member->ret_reference_id = group->ids[i];
		else
			member->ret_problem = PROBLEM_NOT_FOUND;
	}
}

static enum result look_up(const struct platform *platform, struct group *group, struct note *note)
{
	assert(group->count > 0);
	const struct tenant_id *tenant = &group->members[0]->tenant;
	struct registry *registry = platform->registry;

	TRY(platform->keys->ops->index_vins(platform->keys, tenant, group->vins, group->count, group->indexes, note));
	return registry->ops->find_by_index(registry, tenant, group->indexes, group->count, group->ids, group->found,
					    note);
}

/*
 * What is left of keyd's budget may be enough for some of them: these are independent requests, so each is tried
 * by itself, first come first served.
 */
static void run_one_by_one(const struct platform *platform, const struct group *group, struct note *note)
{
	struct group one;
	enum result result = RESULT_OK;

	one.count = 1;

	for (size_t i = 0; i < group->count; i++) {
		one.members[0] = group->members[i];
		one.vins[0] = group->vins[i];
		if (result != RESULT_EXHAUSTED)
			result = look_up(platform, &one, note);
		settle(&one, result);
	}
	wipe(&one);
}

static void run_group(const struct platform *platform, struct conversion *conversions, size_t count, struct note *note)
{
	struct group group; /* large: only what is used is written and wiped */

	gather(&group, conversions, count);
	enum result result = look_up(platform, &group, note);
	if (result == RESULT_EXHAUSTED && group.count > 1)
		run_one_by_one(platform, &group, note);
	else
		settle(&group, result);
	wipe(&group);
}

void conversion_run(const struct platform *platform, struct conversion *conversions, size_t count, struct note *note)
{
	for (size_t i = 0; i < count; i++)
		conversions[i].ret_problem = PROBLEM_PENDING;
	for (size_t i = 0; i < count; i++)
		if (conversions[i].ret_problem == PROBLEM_PENDING)
			run_group(platform, &conversions[i], count - i, note);
}

enum problem conversion_check_purpose(const struct client *client, const char *purpose)
{
	return client_has_purpose(client, purpose) ? PROBLEM_NONE : PROBLEM_PURPOSE_NOT_ALLOWED;
}

void conversion_note(const struct conversion *conversion, struct audit_event *event)
{
	event->outcome = audit_outcome_of(conversion->ret_problem);
	event->problem = problem_name(conversion->ret_problem);
	if (conversion->ret_problem != PROBLEM_NONE)
		return;
	event->has_reference_id = true;
	event->reference_id = conversion->ret_reference_id;
}

/* ---- lookup-batch --------------------------------------------------------------------------------- */

static bool is_listed(const struct uuid *ids, size_t count, const struct uuid *id)
{
	for (size_t i = 0; i < count; i++)
		if (uuid_equal(&ids[i], id))
			return true;
	return false;
}

static enum result note_results(struct flow_request *request, const struct conversion_result *results, size_t count)
{
	struct uuid *ids = arena_alloc(request->arena, count * sizeof(*ids));
	size_t listed = 0;

	if (ids == NULL)
		return RESULT_MEMORY;
	for (size_t i = 0; i < count; i++)
		if (results[i].found && !is_listed(ids, listed, &results[i].reference_id))
			ids[listed++] = results[i].reference_id;
	request->event->reference_ids = ids;
	request->event->reference_id_count = listed;
	return RESULT_OK;
}

static enum problem look_up_all(struct flow_request *request, const struct hashed_vin *vins, size_t count,
				struct conversion_result *ret_results)
{
	const struct platform *platform = request->platform;
	const struct tenant_id *tenant = &request->tenant.id;
	struct vin_index_set indexes[CONVERSION_BATCH_MAX];
	struct uuid ids[CONVERSION_BATCH_MAX];
	bool found[CONVERSION_BATCH_MAX];

	enum result result =
		platform->keys->ops->index_vins(platform->keys, tenant, vins, count, indexes, &request->note);
	if (result == RESULT_OK)
		result = platform->registry->ops->find_by_index(platform->registry, tenant, indexes, count, ids, found,
								&request->note);
	for (size_t i = 0; result == RESULT_OK && i < count; i++) {
		ret_results[i] = (struct conversion_result){.found = found[i]};
		if (found[i])
			ret_results[i].reference_id = ids[i];
	}
	if (result == RESULT_OK)
		result = note_results(request, ret_results, count);
	return problem_of_result(result);
}

enum problem conversion_lookup_batch(struct flow_request *request, const char *purpose, struct hashed_vin *vins,
				     size_t count, struct conversion_result *ret_results)
{
	enum problem problem = conversion_check_purpose(request->client, purpose);

	if (problem == PROBLEM_NONE && (count == 0 || count > CONVERSION_BATCH_MAX)) {
		snprintf(request->detail, sizeof(request->detail), "hashedVins must name 1 to %d vehicles.",
			 CONVERSION_BATCH_MAX);
		problem = PROBLEM_VALUE_INVALID;
	}
	if (problem == PROBLEM_NONE) {
		request->event->purpose = purpose;
		problem = look_up_all(request, vins, count, ret_results);
	}
	secret_wipe(vins, count * sizeof(*vins));
	return problem;
}
