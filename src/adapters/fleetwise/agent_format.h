/* The port agent_format, for AWS IoT FleetWise's edge agents. */
#ifndef VINVEIL_ADAPTERS_FLEETWISE_AGENT_FORMAT_H
#define VINVEIL_ADAPTERS_FLEETWISE_AGENT_FORMAT_H

#include "vehicle/ports/agent_format.h"

/* It has no state: one for all, never closed. */
struct agent_format *fleetwise_agent_format(void);

#endif
