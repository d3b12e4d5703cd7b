/*
 * What a claim says and is told, in the JSON of AWS IoT's "Device provisioning MQTT API". Members that are not known
 * are ignored, as there: its clients send some. Private to fleet/.
 */
#ifndef VINVEIL_FLEET_CLAIM_MESSAGES_H
#define VINVEIL_FLEET_CLAIM_MESSAGES_H

#include "base/json.h"
#include "vehicle/fleet_provisioning.h"

#define CLAIM_DETAIL_SIZE 160

/*
 * {"certificateSigningRequest": TEXT}, and {"certificateOwnershipToken": TEXT, "parameters": {"VIN": TEXT, "DeviceId":
 * TEXT}}. PROBLEM_MALFORMED with a sentence that names the member, never its value. What is read borrows from
 * *ret_json, which is the caller's to release, whatever is returned, and is secret.
 */
enum problem claim_read_create(struct span payload, json_t **ret_json, struct span *ret_csr,
			       char ret_detail[static CLAIM_DETAIL_SIZE]);
enum problem claim_read_provision(struct span payload, json_t **ret_json, struct claimed_provisioning *ret_input,
				  char ret_detail[static CLAIM_DETAIL_SIZE]);

/* {"certificateId", "certificatePem", "certificateOwnershipToken"} */
MUST_USE enum result claim_write_created(const struct claimed_certificate *certificate, struct buf *ret_payload);

/* {"deviceConfiguration": {} or {"certificateId", "certificatePem"}, "thingName"} */
MUST_USE enum result claim_write_provisioned(const struct provisioned *provisioned, struct buf *ret_payload);

/* {"statusCode", "errorCode", "errorMessage"}; detail may be empty. */
MUST_USE enum result claim_write_rejected(enum problem problem, const char *detail, struct buf *ret_payload);

#endif
