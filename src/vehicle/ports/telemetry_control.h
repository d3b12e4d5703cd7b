/*
 * Port: what vinveild tells vinveil-ingest, one way: whose a vehicle is, how long a tenant keeps telemetry, how signal
 * IDs of FleetWise agents are named, which vehicle is to be forgotten. Durable, in order, and without an answer: ingest
 * may be away and reads it when it is back. Telling the same again does no harm. Does not block for ingest;
 * RESULT_UNAVAILABLE when it cannot be kept (disk full). Thread-safe.
 */
#ifndef VINVEIL_VEHICLE_PORTS_TELEMETRY_CONTROL_H
#define VINVEIL_VEHICLE_PORTS_TELEMETRY_CONTROL_H

#include "base/uuid.h"
#include "vehicle/tenant.h"

struct telemetry_control;
struct telemetry_control_ops {
	enum result (*assign_vehicle)(struct telemetry_control *control, const struct uuid *reference_id,
				      const struct tenant_id *tenant, struct note *note);
	enum result (*set_retention)(struct telemetry_control *control, const struct tenant_id *tenant, uint32_t days,
				     struct note *note);
	/* A FleetWise decoder manifest (serialised DecoderManifest with the signal names, adapters/fleetwise/) under
	   its sync ID. */
	enum result (*put_decoder)(struct telemetry_control *control, const struct tenant_id *tenant,
				   const char *sync_id, struct span document, struct note *note);
	enum result (*forget_vehicle)(struct telemetry_control *control, const struct uuid *reference_id,
				      struct note *note);
};

struct telemetry_control {
	const struct telemetry_control_ops *ops;
};

#endif
