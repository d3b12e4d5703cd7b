/*
 * The device manifest (product rule 5): what the TCU's manufacturer delivered, NDJSON of any size, a device a line:
 *
 *   {"deviceId": …, "model"?: …, "manufacturer"?: …, "publicKeySha256"?: hex SHA-256 of the DER SubjectPublicKeyInfo}
 *
 * Loaded as it arrives: complete lines go to the registry in changes of at most MANIFEST_CHUNK_LINES, each with its
 * leaf. Cut off in the middle, what was committed stands, and sending all of it again is safe. Memory is bounded,
 * whatever arrives.
 */
#ifndef VINVEIL_VEHICLE_MANIFEST_H
#define VINVEIL_VEHICLE_MANIFEST_H

#include "vehicle/flow.h"

#define MANIFEST_LINE_SIZE_MAX 4096 /* longer ones are rejected, and skipped without being kept */
#define MANIFEST_CHUNK_LINES   500
#define MANIFEST_REJECTED_MAX  1000 /* named; all are counted */

struct manifest_rejected {
	uint64_t line; /* from 1 */
	enum problem problem;
};

struct manifest_report {
	uint64_t accepted, duplicates, rejected_count;
	const struct manifest_rejected *rejected; /* the first MANIFEST_REJECTED_MAX, by line; the load's */
	size_t rejected_listed;
};

/* One line without its end: MALFORMED (no such JSON object), VALUE_INVALID, VIN_NOT_ALLOWED. */
enum problem manifest_parse_line(struct span line, const struct tenant_id *tenant,
				 struct device_manifest_entry *ret_entry);

/*
 * A load under way: one owner at a time, but it may go from thread to thread. feed and finish block. The request is
 * borrowed until close. After any problem the load is over: report what was loaded so far, then close.
 */
struct manifest_load;
MUST_USE enum result manifest_load_open(struct flow_request *request, struct manifest_load **ret_load);
enum problem manifest_load_feed(struct manifest_load *load, struct span bytes);
/*
 * The body's end. A last line without line feed counts when the body is whole, and is ignored when the sender was cut
 * off. The request's event then tells the sum; the caller records it.
 */
enum problem manifest_load_finish(struct manifest_load *load, bool body_is_whole);
void manifest_load_report(const struct manifest_load *load, struct manifest_report *ret_report);
void manifest_load_close(struct manifest_load *load);

#endif
