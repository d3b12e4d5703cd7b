#include "fake_authority.h"

static struct fake_authority *self_of(struct cert_authority *authority)
{
	return (struct fake_authority *)authority;
}

static enum result issue(struct fake_authority *self, struct certificate_request request, int64_t validity_ms,
			 struct issued_certificate *ret_certificate, struct note *note)
{
	struct issued_certificate issued = {0};

	TRY(self->issue_result);
	issued.not_before_ms = request.not_before_ms = clock_now_ms(self->clock);
	issued.not_after_ms = request.not_after_ms = request.not_before_ms + validity_ms;
	TRY(csr_check(request.csr, issued.spki_sha256, note));
	TRY(issuer_issue(self->issuer, entropy_system(), &request, &issued.der, &issued.serial, note));
	atomic_fetch_add(&self->issued, 1);
	*ret_certificate = issued;
	return RESULT_OK;
}

static enum result issue_device(struct cert_authority *authority, const struct uuid *reference_id, struct span csr,
				struct issued_certificate *ret_certificate, struct note *note)
{
	struct certificate_request request = {.profile = CERTIFICATE_DEVICE, .reference_id = *reference_id, .csr = csr};

	return issue(self_of(authority), request, FAKE_VALIDITY_MS, ret_certificate, note);
}

static enum result issue_claim(struct cert_authority *authority, const char *name, struct span csr, int64_t days,
			       struct issued_certificate *ret_certificate, struct note *note)
{
	struct certificate_request request = {.profile = CERTIFICATE_CLAIM, .name = name, .csr = csr};

	return issue(self_of(authority), request, days * 86400000, ret_certificate, note);
}

static enum result sign_crl(struct cert_authority *authority, const struct revoked_certificate *revoked, size_t count,
			    struct buf *ret_der, struct note *note)
{
	struct fake_authority *self = self_of(authority);
	int64_t now_ms = clock_now_ms(self->clock);

	self->revoked_count = count;
	return issuer_sign_crl(self->issuer, revoked, count, 1, now_ms, now_ms + 7 * (int64_t)86400000, ret_der, note);
}

static enum result get_chain(struct cert_authority *authority, struct buf *ret_pem, struct note *note)
{
	(void)note;
	return buf_append(ret_pem, buf_span(&self_of(authority)->certificate_pem));
}

static const struct cert_authority_ops ops = {
	.issue_device = issue_device, .issue_claim = issue_claim, .sign_crl = sign_crl, .get_chain = get_chain};

enum result fake_authority_init(struct fake_authority *authority, struct clock *clock)
{
	struct private_key *key;

	*authority = (struct fake_authority){.authority = {.ops = &ops}, .clock = clock};
	TRY(private_key_generate(PRIVATE_KEY_P256, &key, NULL));
	TRY(certificate_make_root(key, "fake device root", 0, clock_now_ms(clock), entropy_system(),
				  &authority->certificate_pem, NULL));
	return issuer_open(buf_span(&authority->certificate_pem), key, &authority->issuer, NULL);
}

void fake_authority_release(struct fake_authority *authority)
{
	issuer_close(authority->issuer);
	buf_release(&authority->certificate_pem);
}
