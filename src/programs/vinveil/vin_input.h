/*
 * How a command takes a VIN: from a file or standard input, never from the command line (where every user of the
 * machine could read it, and the shell would keep it).
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_VIN_INPUT_H
#define VINVEIL_PROGRAMS_VINVEIL_VIN_INPUT_H

#include "base/json.h"
#include "programs/vinveil/command.h"

#define VIN_INPUT_OPTION                                                                                       \
	{                                                                                                      \
		"vin-file", "FILE", "read the VIN (or its SHA-256) from FILE instead of standard input", false \
	}

/*
 * Reads one line from --vin-file or standard input and writes the member "vin" or "hashedVin" (64 hex digits) with
 * it. EXIT_DONE, or the exit code with the error told.
 */
int vin_input_write(const struct invocation *invocation, struct json_writer *writer);

/* As vin_input_write where only the VIN itself will do. */
int vin_input_write_plain(const struct invocation *invocation, struct json_writer *writer);

/* As vin_input_write, or the member "referenceId" when --reference-id is given. */
int vehicle_name_write(const struct invocation *invocation, struct json_writer *writer);

#endif
