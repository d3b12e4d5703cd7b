/* The described collection schemes as an agent's document. */
#include "adapters/fleetwise/description.h"

#include "base/text.h"

#include <stdio.h>

#define COUNT(array)	    (sizeof(array) / sizeof((array)[0]))
#define PERIOD_LEAST_MS	    100
#define PERIOD_GREATEST_MS  86400000
#define PERIOD_DEFAULT_MS   10000
#define INTERVAL_DEFAULT_MS 1000
#define BUFFER_DEFAULT	    100 /* the samples of a signal that one sending holds at most */
#define BUFFER_GREATEST	    10000
#define COLLECTED_MAX	    16384 /* of all schemes: more than vehicles accept */
#define PRIORITY_GREATEST   255
#define EXPIRY_DEFAULT_MS   INT64_C(253402300799000) /* the end of 9999: never */
#define ALL_SIGNALS	    "all"
#define DEFAULT_SCHEME_NAME "all"

static const char *const trigger_modes[] = {"always", "rising-edge"};

/* ---- what is collected ------------------------------------------------------------------------------------- */

static enum result add_signal(struct description *description, uint32_t id, Fleetwise__CollectionScheme *scheme,
			      Fleetwise__SignalInformation **ret_signal)
{
	Fleetwise__SignalInformation *signal = arena_alloc(description->arena, sizeof *signal);

	if (signal == NULL)
		return RESULT_MEMORY;
	fleetwise__signal_information__init(signal);
	signal->signal_id = id;
	signal->sample_buffer_size = BUFFER_DEFAULT;
	scheme->signals[scheme->n_signals++] = signal;
	if (ret_signal != NULL)
		*ret_signal = signal;
	return RESULT_OK;
}

static enum result read_details(struct description *description, const json_t *json,
				Fleetwise__SignalInformation *signal)
{
	static const char *const members[] = {"name", "sampleBufferSize", "minimumSamplePeriodMs"};

	TRY(member_check(description, json, members, COUNT(members)));
	TRY(member_whole(description, json, "sampleBufferSize", 1, BUFFER_GREATEST, &signal->sample_buffer_size));
	return member_whole(description, json, "minimumSamplePeriodMs", 0, PERIOD_GREATEST_MS,
			    &signal->minimum_sample_period_ms);
}

/* A name, or {"name", "sampleBufferSize", "minimumSamplePeriodMs"}. */
static enum result read_collected(struct description *description, const json_t *json, bool *is_listed,
				  Fleetwise__CollectionScheme *scheme)
{
	const json_t *name = json_is_object(json) ? json_object_get(json, "name") : json;
	const struct described_signal *found =
		json_is_string(name)
			? description_find(description, span_of(json_string_value(name), json_string_length(name)))
			: NULL;
	Fleetwise__SignalInformation *signal;

	if (found == NULL)
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "the member signals holds one that is not described.");
	if (is_listed[found->place])
		return description_refuse(description, PROBLEM_VALUE_INVALID, "the member signals holds one twice.");
	is_listed[found->place] = true;
	TRY(add_signal(description, found->id, scheme, &signal));
	return json_is_object(json) ? read_details(description, json, signal) : RESULT_OK;
}

static enum result collect_all(struct description *description, bool *is_listed, Fleetwise__CollectionScheme *scheme)
{
	for (size_t i = 0; i < description->signal_count; i++) {
		TRY(add_signal(description, description->signals[i].id, scheme, NULL));
		is_listed[i] = true;
	}
	return RESULT_OK;
}

static enum result read_signals(struct description *description, const json_t *json, bool *is_listed,
				Fleetwise__CollectionScheme *scheme)
{
	const json_t *signals = json_object_get(json, "signals");

	scheme->signals =
		arena_alloc(description->arena, description->signal_count * sizeof(Fleetwise__SignalInformation *));
	if (scheme->signals == NULL)
		return RESULT_MEMORY;
	if (signals == NULL || (json_is_string(signals) && strcmp(json_string_value(signals), ALL_SIGNALS) == 0))
		return collect_all(description, is_listed, scheme);
	if (!json_is_array(signals) || json_array_size(signals) == 0)
		return description_refuse(description, PROBLEM_MALFORMED,
					  "the member signals must be \"all\" or an array of signals.");
	for (size_t i = 0; i < json_array_size(signals); i++)
		TRY(read_collected(description, json_array_get(signals, i), is_listed, scheme));
	return RESULT_OK;
}

/* ---- when ------------------------------------------------------------------------------------------------ */

/* An agent evaluates only what its scheme names: the others are named for the condition's sake. */
static enum result add_condition_signals(struct description *description, const bool *is_listed, const bool *is_used,
					 Fleetwise__CollectionScheme *scheme)
{
	Fleetwise__SignalInformation *signal;

	for (size_t i = 0; i < description->signal_count; i++) {
		if (is_listed[i] || !is_used[i])
			continue;
		TRY(add_signal(description, description->signals[i].id, scheme, &signal));
		signal->condition_only = true;
	}
	return RESULT_OK;
}

static enum result read_condition(struct description *description, const json_t *json, const bool *is_listed,
				  Fleetwise__CollectionScheme *scheme)
{
	Fleetwise__ConditionBased *made = arena_alloc(description->arena, sizeof *made);
	bool *is_used = arena_alloc(description->arena, description->signal_count * sizeof *is_used);
	size_t trigger = 0;

	if (made == NULL || is_used == NULL)
		return RESULT_MEMORY;
	fleetwise__condition_based__init(made);
	made->minimum_interval_ms = INTERVAL_DEFAULT_MS;
	TRY(member_whole(description, json, "minimumIntervalMs", 0, PERIOD_GREATEST_MS, &made->minimum_interval_ms));
	TRY(member_choice(description, json, "trigger", trigger_modes, COUNT(trigger_modes), &trigger));
	made->trigger_mode = (Fleetwise__TriggerMode)trigger;
	TRY(describe_condition(description, json_object_get(json, "condition"), is_used, &made->condition));
	TRY(add_condition_signals(description, is_listed, is_used, scheme));
	scheme->kind_case = FLEETWISE__COLLECTION_SCHEME__KIND_CONDITION_BASED;
	scheme->condition_based = made;
	return RESULT_OK;
}

static enum result read_period(struct description *description, const json_t *json, Fleetwise__CollectionScheme *scheme)
{
	Fleetwise__TimeBased *made = arena_alloc(description->arena, sizeof *made);

	if (made == NULL)
		return RESULT_MEMORY;
	if (json_object_get(json, "minimumIntervalMs") != NULL || json_object_get(json, "trigger") != NULL)
		return description_refuse(description, PROBLEM_MALFORMED,
					  "minimumIntervalMs and trigger belong to a condition.");
	fleetwise__time_based__init(made);
	TRY(member_whole(description, json, "periodMs", PERIOD_LEAST_MS, PERIOD_GREATEST_MS, &made->period_ms));
	scheme->kind_case = FLEETWISE__COLLECTION_SCHEME__KIND_TIME_BASED;
	scheme->time_based = made;
	return RESULT_OK;
}

static enum result read_when(struct description *description, const json_t *json, const bool *is_listed,
			     Fleetwise__CollectionScheme *scheme)
{
	bool has_period = json_object_get(json, "periodMs") != NULL;

	if (has_period == (json_object_get(json, "condition") != NULL))
		return description_refuse(description, PROBLEM_MALFORMED,
					  "exactly one of periodMs, condition is needed.");
	return has_period ? read_period(description, json, scheme)
			  : read_condition(description, json, is_listed, scheme);
}

static enum result read_options(struct description *description, const json_t *json,
				Fleetwise__CollectionScheme *scheme)
{
	scheme->expiry_time_ms_epoch = EXPIRY_DEFAULT_MS;
	scheme->compress_collected_data = true;
	TRY(member_time(description, json, "startsAt", &scheme->start_time_ms_epoch));
	TRY(member_time(description, json, "expiresAt", &scheme->expiry_time_ms_epoch));
	if (scheme->expiry_time_ms_epoch <= scheme->start_time_ms_epoch)
		return description_refuse(description, PROBLEM_VALUE_INVALID, "it expires before it starts.");
	TRY(member_whole(description, json, "afterDurationMs", 0, PERIOD_GREATEST_MS, &scheme->after_duration_ms));
	TRY(member_whole(description, json, "priority", 0, PRIORITY_GREATEST, &scheme->priority));
	TRY(member_bool(description, json, "includeActiveDtcs", &scheme->include_active_dtcs));
	TRY(member_bool(description, json, "persist", &scheme->persist_all_collected_data));
	return member_bool(description, json, "compress", &scheme->compress_collected_data);
}

/* ---- schemes --------------------------------------------------------------------------------------------- */

static enum result new_scheme(struct description *description, const struct agent_documents *documents,
			      Fleetwise__CollectionScheme **ret_scheme)
{
	Fleetwise__CollectionScheme *scheme = arena_alloc(description->arena, sizeof *scheme);

	if (scheme == NULL)
		return RESULT_MEMORY;
	fleetwise__collection_scheme__init(scheme);
	scheme->decoder_manifest_sync_id =
		arena_copy_text(description->arena, span_of_text(documents->decoder_manifest.sync_id));
	if (scheme->decoder_manifest_sync_id == NULL)
		return RESULT_MEMORY;
	*ret_scheme = scheme;
	return RESULT_OK;
}

static enum result read_scheme(struct description *description, const json_t *json,
			       const struct agent_documents *documents, Fleetwise__CollectionScheme **ret_scheme)
{
	static const char *const members[] = {
		"name",	     "signals",	 "periodMs", "condition", "minimumIntervalMs", "trigger",	   "startsAt",
		"expiresAt", "priority", "persist",  "compress",  "afterDurationMs",   "includeActiveDtcs"};
	bool *is_listed = arena_alloc(description->arena, description->signal_count * sizeof *is_listed);
	Fleetwise__CollectionScheme *scheme;
	char *name, *sync_id;

	if (is_listed == NULL)
		return RESULT_MEMORY;
	TRY(member_check(description, json, members, COUNT(members)));
	TRY(member_name(description, json, "name", &name));
	TRY(new_scheme(description, documents, &scheme));
	TRY(read_options(description, json, scheme));
	TRY(read_signals(description, json, is_listed, scheme));
	TRY(read_when(description, json, is_listed, scheme));
	description->collected_count += scheme->n_signals;
	if (description->collected_count > COLLECTED_MAX)
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "the schemes collect more than %d signals in all.", COLLECTED_MAX);
	TRY(description_sync_id(description, name, &scheme->base, &sync_id));
	scheme->campaign_sync_id = sync_id;
	*ret_scheme = scheme;
	return RESULT_OK;
}

/* Where none are described: all signals, every ten seconds. */
static enum result default_scheme(struct description *description, const struct agent_documents *documents,
				  Fleetwise__CollectionScheme **ret_scheme)
{
	JSON_CLEANUP json_t *json = json_pack("{s:s, s:i}", "name", DEFAULT_SCHEME_NAME, "periodMs", PERIOD_DEFAULT_MS);

	if (json == NULL)
		return RESULT_MEMORY;
	return read_scheme(description, json, documents, ret_scheme);
}

static enum result check_schemes(struct description *description, const json_t *schemes, size_t *ret_count)
{
	snprintf(description->place, sizeof description->place, "In the description");
	*ret_count = schemes == NULL ? 1 : json_array_size(schemes);
	if (schemes != NULL && !json_is_array(schemes))
		return description_refuse(description, PROBLEM_MALFORMED, "the member schemes must be an array.");
	if (*ret_count == 0 || *ret_count > AGENT_SCHEMES_MAX)
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "the member schemes must hold 1 to %d schemes.", AGENT_SCHEMES_MAX);
	return RESULT_OK;
}

static enum result read_all(struct description *description, const json_t *schemes,
			    const struct agent_documents *documents, Fleetwise__CollectionSchemes *message)
{
	for (size_t i = 0; i < message->n_schemes; i++) {
		snprintf(description->place, sizeof description->place, "In scheme %zu", i + 1);
		TRY(schemes == NULL
			    ? default_scheme(description, documents, &message->schemes[i])
			    : read_scheme(description, json_array_get(schemes, i), documents, &message->schemes[i]));
		for (size_t j = 0; j < i; j++)
			if (strcmp(message->schemes[i]->campaign_sync_id, message->schemes[j]->campaign_sync_id) == 0)
				return description_refuse(description, PROBLEM_VALUE_INVALID,
							  "it is the same as scheme %zu.", j + 1);
	}
	snprintf(description->place, sizeof description->place, "In the schemes");
	return RESULT_OK;
}

enum result describe_schemes(struct description *description, struct agent_documents *documents)
{
	const json_t *schemes = json_object_get(description->json, "schemes");
	Fleetwise__CollectionSchemes message = FLEETWISE__COLLECTION_SCHEMES__INIT;
	size_t count;
	char *sync_id;

	TRY(check_schemes(description, schemes, &count));
	message.schemes = arena_alloc(description->arena, count * sizeof(Fleetwise__CollectionScheme *));
	if (message.schemes == NULL)
		return RESULT_MEMORY;
	message.n_schemes = count;
	TRY(read_all(description, schemes, documents, &message));
	TRY(description_sync_id(description, description->name, &message.base, &sync_id));
	message.timestamp_ms_epoch = (uint64_t)description->at_ms;
	documents->scheme_count = count;
	return description_document(description, SIGNAL_COLLECTION_SCHEMES, sync_id, &message.base,
				    &documents->collection_schemes);
}
