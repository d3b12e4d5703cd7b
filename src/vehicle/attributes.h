/*
 * A vehicle's attributes: a JSON object that its tenant keeps with it; and the rule that every JSON which is to be kept
 * must follow. Internal to the flows.
 */
#ifndef VINVEIL_VEHICLE_ATTRIBUTES_H
#define VINVEIL_VEHICLE_ATTRIBUTES_H

#include "vehicle/flow.h"

#include <jansson.h>

/* Does any name or text within, decoded, hold a VIN-shaped token (product rule 9)? An escape must not hide it. */
bool json_holds_vin(const json_t *value);

/*
 * Applies a merge patch (RFC 7396) to the stored text (NULL: {}); the new text lives in the request's arena.
 * VALUE_INVALID with a detail (not an object, or too large), VIN_NOT_ALLOWED (product rule 9: any name or text within).
 */
enum problem attributes_merge(struct flow_request *request, const char *current, const json_t *patch,
			      const char **ret_text);

#endif
