#include "crypto/certificate.h"
#include "crypto/der.h"
#include "crypto/x509_facts.h"

#include <openssl/err.h>

_Static_assert(sizeof(((struct certificate_facts *)0)->common_name) == COMMON_NAME_SIZE, "one size of common names");

static enum result refuse(struct note *note, const char *reason)
{
	ERR_clear_error();
	note_set(note, "%s", reason);
	return RESULT_INVALID;
}

static enum result read_facts(X509 *certificate, struct certificate_facts *ret_facts, struct note *note)
{
	struct certificate_facts facts = {0};

	if (x509_serial(certificate, &facts.serial) != RESULT_OK)
		return refuse(note, "the certificate's serial number is negative or longer than 16 bytes");
	if (x509_validity(certificate, &facts.not_before_ms, &facts.not_after_ms) != RESULT_OK)
		return refuse(note, "the certificate's dates cannot be read");
	TRY(x509_fingerprint(certificate, facts.fingerprint));
	TRY(spki_sha256(X509_get_X509_PUBKEY(certificate), facts.spki_sha256));
	x509_common_name(certificate, facts.common_name);
	*ret_facts = facts;
	return RESULT_OK;
}

enum result certificate_read_der(struct span der, struct certificate_facts *ret_facts, struct note *note)
{
	OPENSSL_CLEANUP(X509) X509 *certificate = NULL;
	const unsigned char *at = der.data;

	if (der.size == 0 || der.size > CERTIFICATE_SIZE_MAX)
		return refuse(note, der.size == 0 ? "the certificate is empty" : "the certificate is too large");
	if (!der_is_framed(der))
		return refuse(note, "the certificate is not DER, is cut off, or has bytes behind it");
	certificate = d2i_X509(NULL, &at, (long)der.size);
	if (certificate == NULL || at != der.data + der.size)
		return refuse(note, "the certificate cannot be read");
	return read_facts(certificate, ret_facts, note);
}

enum result certificate_read_pem(struct span pem, struct certificate_facts *ret_facts, struct note *note)
{
	BUF_CLEANUP struct buf der = {0};

	TRY(certificate_pem_to_der(pem, &der, note));
	return certificate_read_der(buf_span(&der), ret_facts, note);
}

enum result certificate_der_to_pem(struct span der, struct buf *ret_pem)
{
	return pem_encode(der, "CERTIFICATE", ret_pem);
}

enum result certificate_pem_to_der(struct span pem, struct buf *ret_der, struct note *note)
{
	enum result result = pem_decode(pem, "CERTIFICATE", CERTIFICATE_SIZE_MAX, ret_der);

	if (result == RESULT_ABSENT || result == RESULT_INVALID)
		return refuse(note, "there is no certificate in PEM form");
	return result;
}
