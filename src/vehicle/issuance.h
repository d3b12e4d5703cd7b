/*
 * Issuing one certificate, in two steps. An order is the key to be certified; it may be issued under one Reference ID
 * after the other, until a change that holds the certificate is committed. That the caller has the private key is
 * judged by the authority when it issues, and here before a refusal tells something about the key. Internal to the
 * flows.
 */
#ifndef VINVEIL_VEHICLE_ISSUANCE_H
#define VINVEIL_VEHICLE_ISSUANCE_H

#include "vehicle/certificates.h"

/* Zero-initialised is releasable; release wipes the private key. */
struct certificate_order {
	struct buf csr_der;
	struct buf private_key_pem; /* empty unless the key was made here */
	uint8_t spki_sha256[SHA256_SIZE];
};
#define CERTIFICATE_ORDER_CLEANUP __attribute__((cleanup(certificate_order_release)))
void certificate_order_release(struct certificate_order *order);

/*
 * csr empty: a key is made, unless the manifest pins one (CSR_REQUIRED). CSR_INVALID with a detail; KEY_MISMATCH
 * when it is not the pinned one.
 */
enum problem certificate_order_make(struct flow_request *request, struct span csr,
				    const struct device_manifest_entry *device, struct certificate_order *ret_order);

/*
 * The same for the device of a vehicle: that the manifest knew it was asked when it came to the vehicle, so only its
 * key counts. CSR_REQUIRED when csr is empty.
 */
enum problem certificate_order_make_for(struct flow_request *request, struct span csr, const struct vehicle *vehicle,
					struct certificate_order *ret_order);

/*
 * Of a key that has a certificate already, issued ahead of its vehicle: whoever has it has proved it then. KEY_MISMATCH
 * as above.
 */
enum problem certificate_order_again(const struct ownership *ownership, const struct device_manifest_entry *device,
				     struct certificate_order *ret_order);

/*
 * Issues under a Reference ID alone, before it is any vehicle's (what the key was certified for is for whoever takes
 * the certificate to a vehicle). The caller releases ret_issued->der.
 */
enum problem certificate_order_issue_ahead(struct flow_request *request, const struct certificate_order *order,
					   const struct uuid *reference_id, struct issued_certificate *ret_issued);

/*
 * Issues to the vehicle and its device: KEY_REUSED when the key was certified for another. Nobody may learn of the
 * credentials before the record is committed. ret_credentials gets a copy of the order's private key.
 */
enum problem certificate_order_issue(struct flow_request *request, const struct certificate_order *order,
				     const struct vehicle *vehicle, struct certificate_record *ret_record,
				     struct credentials *ret_credentials);

/* A vehicle's certificates that are neither revoked nor expired, whatever device they are for; newest first. */
struct certificate_list {
	struct certificate_record *records;
	size_t count;
};
MUST_USE enum result certificates_read_valid(struct flow_request *request, const struct uuid *reference_id,
					     struct certificate_list *ret_list);

#endif
