#include "crypto/x509_facts.h"

#include "crypto/certificate.h"

#include <openssl/err.h>

static enum result refuse(struct note *note, const char *reason)
{
	ERR_clear_error();
	note_set(note, "%s", reason);
	return RESULT_INVALID;
}

static enum result parse(struct span der, X509 **ret_certificate, struct note *note)
{
	const unsigned char *at = der.data;
	X509 *certificate = d2i_X509(NULL, &at, (long)der.size);

	if (certificate == NULL || at != der.data + der.size) {
		X509_free(certificate);
		return refuse(note, "the certificate cannot be read");
	}
	*ret_certificate = certificate;
	return RESULT_OK;
}

static enum result check_issuer(X509 *certificate, X509 *issuer, struct note *note)
{
	if (X509_check_issued(issuer, certificate) != X509_V_OK ||
	    X509_verify(certificate, X509_get0_pubkey(issuer)) != 1)
		return refuse(note, "the certificate is not of the device issuer");
	return RESULT_OK;
}

/* What tells a claim's from a vehicle's: no UUID as its name, and no other name beside it. */
static enum result check_profile(X509 *certificate, struct note *note)
{
	char name[COMMON_NAME_SIZE];
	struct uuid uuid;

	if (X509_check_ca(certificate) != 0 || X509_get_extended_key_usage(certificate) != XKU_SSL_CLIENT)
		return refuse(note, "the certificate is not of a client");
	x509_common_name(certificate, name);
	if (name[0] == '\0' || uuid_parse(span_of_text(name), &uuid) == RESULT_OK ||
	    X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1) >= 0)
		return refuse(note, "the certificate is not of the claim profile");
	return RESULT_OK;
}

enum result certificate_check_claim(struct span der, struct span issuer_pem, struct note *note)
{
	OPENSSL_CLEANUP(X509) X509 *certificate = NULL;
	OPENSSL_CLEANUP(X509) X509 *issuer = NULL;
	BUF_CLEANUP struct buf issuer_der = {0};

	TRY(certificate_pem_to_der(issuer_pem, &issuer_der, note));
	TRY(parse(buf_span(&issuer_der), &issuer, note));
	TRY(parse(der, &certificate, note));
	TRY(check_issuer(certificate, issuer, note));
	return check_profile(certificate, note);
}
