/*
 * Reading telemetry (product flow 3): of the caller's own tenant's vehicles, by Reference ID. NOT_FOUND alike for
 * unknown and foreign, whether telemetry is served or not; UNAVAILABLE when it is not.
 */
#ifndef VINVEIL_VEHICLE_SIGNALS_H
#define VINVEIL_VEHICLE_SIGNALS_H

#include "vehicle/flow.h"

#define SIGNALS_PAGE_MAX 1000

/* In the order of names, in the request's arena. */
enum problem signals_latest(struct flow_request *request, const struct uuid *reference_id,
			    struct telemetry_latest **ret_latest, size_t *ret_count);

/* query->reference_id is the vehicle. MALFORMED with a detail: a cursor of another query; VIN_NOT_ALLOWED,
   VALUE_INVALID: of the name. */
enum problem signals_range(struct flow_request *request, const struct telemetry_query *query,
			   struct telemetry_page *ret_page);

#endif
