/*
 * A fleet in several processes: a process may have so many files open only, and one vehicle needs three
 * (libmosquitto keeps a pair of sockets beside the connection).
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_SIMULATE_SPLIT_H
#define VINVEIL_PROGRAMS_VINVEIL_SIMULATE_SPLIT_H

#include "programs/vinveil/simulate_fleet.h"

/* As fleet_run(); raises the limit as far as it may, and splits the fleet when that is not enough. */
MUST_USE enum result fleet_run_split(const struct fleet_options *options, const volatile int *is_stopped,
				     struct fleet_counts *ret_counts, struct note *note);

#endif
