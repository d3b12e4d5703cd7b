/*
 * The vehicle's row as its tenant sees it: reading, listing, history, attributes and lifecycle. All of it by Reference
 * ID or device, never by VIN.
 */
#ifndef VINVEIL_VEHICLE_VEHICLES_H
#define VINVEIL_VEHICLE_VEHICLES_H

#include "vehicle/flow.h"

#include <jansson.h>

#define VEHICLES_PAGE_MAX 1000
#define HISTORY_PAGE_MAX  1000

/* Texts are in the request's arena. PROBLEM_NOT_FOUND alike for unknown and foreign. */
enum problem vehicles_get(struct flow_request *request, const struct uuid *reference_id, struct vehicle *ret_vehicle);
enum problem vehicles_find_by_device(struct flow_request *request, struct span device_id, struct vehicle *ret_vehicle);
/* state 0: any. The page's next_cursor is 0 at the end. */
enum problem vehicles_list(struct flow_request *request, enum vehicle_state state, uint64_t cursor, size_t limit,
			   struct vehicle_page *ret_page);

struct history_page {
	struct history_entry *entries; /* newest first */
	size_t count;
	uint64_t next_before; /* 0: no more */
};
enum problem vehicles_history(struct flow_request *request, const struct uuid *reference_id, uint64_t before,
			      size_t limit, struct history_page *ret_page);

/*
 * attributes: merge patch (RFC 7396), bounded by ATTRIBUTES_SIZE_MAX after merging.
 * state: `suspended` suspends; `provisioned` or `active` resume a suspended vehicle to the state it had before;
 * `decommissioned` is final, revokes its certificates and frees its device. A vehicle becomes `active` by connecting,
 * never by asking. The state it has already is no change.
 */
struct vehicle_patch {
	bool has_version, any_version; /* If-Match: the version, or `*` */
	uint32_t version;
	const json_t *attributes; /* NULL: not in the patch */
	enum vehicle_state state; /* 0: not in the patch */
};
enum problem vehicles_patch(struct flow_request *request, const struct uuid *reference_id,
			    const struct vehicle_patch *patch, struct vehicle *ret_vehicle, size_t *ret_revoked_count);

/*
 * The vehicle has connected with this certificate: the first time it becomes active, with its line of history and its
 * leaf. Already active, or meanwhile suspended, decommissioned or with the certificate revoked (another device comes):
 * nothing changes and nothing is recorded, so it may be repeated.
 */
enum problem vehicles_connected(struct flow_request *request, const struct certificate_record *certificate);

#endif
