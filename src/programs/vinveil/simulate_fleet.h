/* The simulated fleet: vehicles that are connected, drive, send telemetry and obey commands. One thread. */
#ifndef VINVEIL_PROGRAMS_VINVEIL_SIMULATE_FLEET_H
#define VINVEIL_PROGRAMS_VINVEIL_SIMULATE_FLEET_H

#include "programs/vinveil/latency.h"
#include "programs/vinveil/mqtt_loop.h"
#include "programs/vinveil/simulate_credentials.h"

#define FAILING_COMMANDS_MAX 16

struct fleet_counts;
struct fleet_options {
	const struct mqtt_endpoint *endpoint;
	const struct vehicle_identity *vehicles;
	size_t count;
	uint32_t seed;
	double messages_per_second;				 /* of each vehicle; 0: silent */
	double connects_per_second;				 /* of all */
	double seconds;						 /* 0: until stopped */
	void (*tell_settled)(const struct fleet_counts *counts); /* all have been tried once; may be NULL */
	const char *failing[FAILING_COMMANDS_MAX + 1];		 /* commands that fail; ends with NULL */
};

struct fleet_counts {
	size_t connected;
	uint64_t published, acknowledged, refused; /* refused: acknowledged with an error */
	uint64_t connections, disconnections, refusals;
	char failure[128];		      /* why a connection could not be made, the last time; "" when all could */
	uint64_t commands, commands_rejected; /* rejected: what the platform said to our answers */
	double seconds;			      /* since all vehicles had been tried once */
	uint64_t measured;		      /* acknowledged in them */
	struct latency latency;		      /* publish to PUBACK */
};

/* Until options->seconds are over, counted from when all had been connected or refused once, or *is_stopped. */
MUST_USE enum result fleet_run(const struct fleet_options *options, const volatile int *is_stopped,
			       struct fleet_counts *ret_counts, struct note *note);

#endif
