/*
 * /.well-known/est (RFC 7030, with RFC 8951): the authority's certificates for anybody, a first certificate for a
 * claim, a following one for a device. Bodies are base64 whatever Content-Transfer-Encoding says. There is nothing to
 * wait for, so 202 is never answered; labels are not known, so they are not found.
 */
#include "api/call.h"
#include "base/text.h"
#include "crypto/pkcs7.h"
#include "vehicle/enrollment.h"

/* pem: what was issued here, so it can only fail by want of memory. */
static enum problem answer_certificates(struct call *call, struct span pem)
{
	BUF_CLEANUP struct buf message = {0};
	enum result result = pkcs7_wrap_certificates(pem, &message, &call->flow.note);

	if (result == RESULT_INVALID)
		return PROBLEM_INTERNAL;
	if (result != RESULT_OK)
		return problem_of_result(result);
	answer_begin(call, 200, "application/pkcs7-mime; smime-type=certs-only");
	answer_header(call, "Content-Transfer-Encoding", "base64");
	/* In one line (RFC 8951 section 3.1): there are clients that stumble over the end of one. */
	return problem_of_result(base64_append(&call->exchange->response.body, buf_span(&message)));
}

enum problem est_cacerts(struct call *call)
{
	struct cert_authority *authority = call->api->platform->authority;
	BUF_CLEANUP struct buf chain = {0};
	enum result result = authority->ops->get_chain(authority, &chain, &call->flow.note);

	return result == RESULT_OK ? answer_certificates(call, buf_span(&chain)) : problem_of_result(result);
}

/* Only what was issued: the others are at cacerts (RFC 7030 section 4.2.3). */
static enum problem answer_issued(struct call *call, const struct credentials *credentials, bool is_revoking)
{
	if (is_revoking)
		call_mark_revoked(call);
	return answer_certificates(call, buf_span(&credentials->certificate_pem));
}

enum problem est_enroll(struct call *call)
{
	CREDENTIALS_CLEANUP struct credentials credentials = {0};
	bool is_revoking = false;
	enum problem problem = enrollment_enroll(&call->flow, call->claim, buf_span(&call->exchange->body),
						 &credentials, &is_revoking);

	return problem == PROBLEM_NONE ? answer_issued(call, &credentials, is_revoking) : problem;
}

enum problem est_renew(struct call *call)
{
	CREDENTIALS_CLEANUP struct credentials credentials = {0};
	struct reenrollment asked = {
		.record = call->device,
		.certificate = call->exchange->peer->certificate,
		.csr = buf_span(&call->exchange->body),
	};
	bool is_revoking = false;
	enum problem problem = enrollment_renew(&call->flow, &asked, &credentials, &is_revoking);

	return problem == PROBLEM_NONE ? answer_issued(call, &credentials, is_revoking) : problem;
}
