#include "vehicle/signals.h"

#include "vehicle/telemetry.h"
#include "vehicle/vehicles.h"

#include <stdio.h>

/* First whose the vehicle is: what is foreign must not be told from what is unknown. */
static enum problem find_store(struct flow_request *request, const struct uuid *reference_id,
			       struct telemetry_store **ret_store)
{
	struct vehicle vehicle;
	enum problem problem = vehicles_get(request, reference_id, &vehicle);

	if (problem != PROBLEM_NONE)
		return problem;
	if (request->platform->telemetry == NULL) {
		note_set(&request->note, "no telemetry store is configured");
		return PROBLEM_UNAVAILABLE;
	}
	*ret_store = request->platform->telemetry;
	return PROBLEM_NONE;
}

enum problem signals_latest(struct flow_request *request, const struct uuid *reference_id,
			    struct telemetry_latest **ret_latest, size_t *ret_count)
{
	struct telemetry_store *store = NULL;
	enum problem problem = find_store(request, reference_id, &store);

	if (problem != PROBLEM_NONE)
		return problem;
	return problem_of_result(
		store->ops->get_latest(store, reference_id, request->arena, ret_latest, ret_count, &request->note));
}

static enum problem check_name(struct flow_request *request, struct span name)
{
	if (name.size == 0)
		return PROBLEM_NONE;
	if (vin_stands_in(name))
		return PROBLEM_VIN_NOT_ALLOWED;
	if (signal_name_is_valid(name))
		return PROBLEM_NONE;
	snprintf(request->detail, sizeof(request->detail),
		 "The parameter name must be a signal's name, such as Vehicle.Speed.");
	return PROBLEM_VALUE_INVALID;
}

enum problem signals_range(struct flow_request *request, const struct telemetry_query *query,
			   struct telemetry_page *ret_page)
{
	struct telemetry_store *store = NULL;
	enum problem problem = check_name(request, query->name);

	if (problem == PROBLEM_NONE)
		problem = find_store(request, &query->reference_id, &store);
	if (problem != PROBLEM_NONE)
		return problem;
	enum result result = store->ops->get_range(store, query, request->arena, ret_page, &request->note);
	if (result != RESULT_INVALID)
		return problem_of_result(result);
	snprintf(request->detail, sizeof(request->detail),
		 "The parameter cursor must be what the last page of the same query gave.");
	return PROBLEM_MALFORMED;
}
