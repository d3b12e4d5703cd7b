/*
 * Certificates that a vehicle's device fetches itself, over EST (RFC 7030): the first one with a claim (claim.h), each
 * following one with the one before. Only an attached device gets one: a vehicle comes to be by provisioning.
 *
 * An answer may be lost on its way. So whoever asks again for the same key gets another certificate for it, and the one
 * before is revoked (superseded) in the same change: else the device would be shut out by a certificate that it never
 * saw.
 */
#ifndef VINVEIL_VEHICLE_ENROLLMENT_H
#define VINVEIL_VEHICLE_ENROLLMENT_H

#include "vehicle/certificates.h"

#define ACTOR_DEVICE "device" /* in the trail and the history, with the Reference ID beside it */

#define RENEWALS_A_DAY_MAX 20 /* of a vehicle; more than answers are lost */

/*
 * The certificate that a device has shown, as the registry knows it. UNAUTHENTICATED: it is nobody's, revoked or over;
 * *ret_is_known says whether the record was filled all the same, because the refusal is its tenant's. Else as
 * problem_of_result().
 */
enum problem enrollment_authenticate(const struct platform *platform, const struct serial *serial,
				     struct certificate_record *ret_record, bool *ret_is_known, struct note *note);

/*
 * simpleenroll: a certificate under the Reference ID of the vehicle that the CSR's CN, a device ID, is attached to.
 * csr: base64 of DER, or PEM. Uses the claim in the same change set. NOT_FOUND: the device is attached to no vehicle of
 * the claim's tenant. VEHICLE_HAS_CERTIFICATE: one that lives, for another key. VEHICLE_NOT_PROVISIONABLE, CSR_INVALID,
 * KEY_MISMATCH, KEY_REUSED; CLAIM_REFUSED when the claim was used up, revoked or over meanwhile.
 * *ret_revoked: certificates were revoked.
 */
enum problem enrollment_enroll(struct flow_request *request, const struct claim *claim, struct span csr,
			       struct credentials *ret_credentials, bool *ret_revoked);

/* What a device asks with: its own certificate. */
struct reenrollment {
	const struct certificate_record *record; /* as enrollment_authenticate() found it */
	struct span certificate;		 /* DER */
	struct span csr;
};

/*
 * simplereenroll: one more certificate, for the same or another key; the one that asks lives to its end. NAMES_DIFFER:
 * the CSR's subject or subjectAltName is not the certificate's (RFC 7030 section 4.2.2). RENEWAL_TOO_EARLY: before the
 * last third of its life. CERTIFICATE_LIMIT: there are CERTIFICATES_LIVE_MAX, and none of them but the one that asks is
 * for this key; or the vehicle was given RENEWALS_A_DAY_MAX within a day. UNAUTHENTICATED: it lives no more.
 * VEHICLE_NOT_PROVISIONABLE, CSR_INVALID, KEY_MISMATCH, KEY_REUSED.
 */
enum problem enrollment_renew(struct flow_request *request, const struct reenrollment *asked,
			      struct credentials *ret_credentials, bool *ret_revoked);

#endif
