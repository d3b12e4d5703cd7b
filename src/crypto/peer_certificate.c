#include "crypto/peer_certificate.h"

#include "base/text.h"
#include "crypto/x509_facts.h"

#include <openssl/err.h>

DEFINE_OPENSSL_CLEANUP(EXTENDED_KEY_USAGE)
DEFINE_OPENSSL_CLEANUP(GENERAL_NAMES)

static enum result read_alternative_names(X509 *certificate, struct peer_certificate *facts)
{
	int critical = -1;
	OPENSSL_CLEANUP(GENERAL_NAMES)
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
	const GENERAL_NAME *name;
	struct span uri;

	/* -1: there is none; anything else without names is one that cannot be read, or two of them. */
	if (names == NULL)
		return critical == -1 ? RESULT_OK : RESULT_INVALID;
	facts->has_alternative_names = true;
	if (sk_GENERAL_NAME_num(names) != 1)
		return RESULT_OK;
	name = sk_GENERAL_NAME_value(names, 0);
	if (name->type != GEN_URI)
		return RESULT_OK;
	uri = span_of(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
		      (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier));
	if (uri.size >= PEER_URI_SIZE || !text_is_printable(uri, false))
		return RESULT_OK;
	memcpy(facts->uri, uri.data, uri.size);
	facts->uri[uri.size] = '\0';
	return RESULT_OK;
}

/* X509_get_extended_key_usage() would say "all" of a certificate that says nothing; here it must say so itself. */
static enum result read_purposes(X509 *certificate, struct peer_certificate *facts)
{
	int critical = -1;
	OPENSSL_CLEANUP(EXTENDED_KEY_USAGE)
	EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(certificate, NID_ext_key_usage, &critical, NULL);

	if (purposes == NULL)
		return critical == -1 ? RESULT_OK : RESULT_INVALID;
	for (int i = 0; i < sk_ASN1_OBJECT_num(purposes); i++) {
		if (OBJ_obj2nid(sk_ASN1_OBJECT_value(purposes, i)) == NID_client_auth)
			facts->is_for_clients = true;
	}
	return RESULT_OK;
}

static enum result read_all(X509 *certificate, struct peer_certificate *facts)
{
	uint32_t flags = X509_get_extension_flags(certificate);

	TRY(x509_serial(certificate, &facts->serial));
	TRY(x509_validity(certificate, &facts->not_before_ms, &facts->not_after_ms));
	x509_common_name(certificate, facts->common_name);
	TRY(read_alternative_names(certificate, facts));
	TRY(read_purposes(certificate, facts));
	/* X509_check_ca() would not call one a CA's that may not sign; here what it says of itself counts. */
	facts->is_ca = (flags & (EXFLAG_CA | EXFLAG_V1)) != 0;
	return flags & EXFLAG_INVALID ? RESULT_INVALID : RESULT_OK;
}

enum result peer_certificate_read(void *x509, struct peer_certificate *ret_certificate)
{
	struct peer_certificate facts = {0};

	if (read_all(x509, &facts) != RESULT_OK) {
		ERR_clear_error();
		return RESULT_INVALID;
	}
	*ret_certificate = facts;
	return RESULT_OK;
}

void peer_certificate_release(void *x509)
{
	X509_free(x509);
}
