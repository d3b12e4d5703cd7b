/*
 * Administration of tenants: the platform scope's alone (checked above, by the route).
 */
#ifndef VINVEIL_VEHICLE_TENANTS_H
#define VINVEIL_VEHICLE_TENANTS_H

#include "vehicle/flow.h"

/* Its keys are made first, then its row. id and policies from the argument, time from here. ALREADY_EXISTS. */
enum problem tenants_create(struct flow_request *request, const struct tenant *tenant, struct tenant *ret_tenant);
enum problem tenants_list(struct flow_request *request, struct tenant **ret_tenants, size_t *ret_count);

#endif
