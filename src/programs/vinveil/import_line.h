/*
 * One line of an import, judged: what of it may become a vehicle, or why it may not.
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_IMPORT_LINE_H
#define VINVEIL_PROGRAMS_VINVEIL_IMPORT_LINE_H

#include "programs/vinveil/csv.h"
#include "vehicle/tenant.h"
#include "vehicle/vehicle.h"

#include "base/arena.h"

/* The header's names; the first two are vin and deviceId, the others name attributes. */
struct import_columns {
	char names[CSV_FIELDS_MAX][65];
	size_t count;
};

/* RESULT_INVALID with a note that says what a header has to be. */
MUST_USE enum result import_columns_read(const struct csv_record *header, struct import_columns *ret_columns,
					 struct note *note);

/*
 * Fills VIN, device ID and attributes (in the arena). A line that cannot be taken is RESULT_INVALID, and *ret_reason
 * (constant text, fit for the reject file) says why; the caller wipes ret_vin whatever the result.
 */
MUST_USE enum result import_line_judge(const struct csv_record *record, const struct import_columns *columns,
				       enum check_digit_policy policy, struct arena *arena, struct vin *ret_vin,
				       struct vehicle *ret_vehicle, const char **ret_reason);

#endif
