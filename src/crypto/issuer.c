#include "crypto/issuer.h"

#include "crypto/x509_facts.h"

#include <openssl/err.h>

#define TIME_MAX_MS ((int64_t)253402300799 * 1000) /* the end of 9999 */

enum result time_from_ms(int64_t at_ms, ASN1_TIME **ret_time)
{
	ASN1_TIME *made;

	if (at_ms < 0 || at_ms > TIME_MAX_MS)
		return RESULT_INVALID;
	made = ASN1_TIME_set(NULL, (time_t)(at_ms / 1000));
	if (made == NULL)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	*ret_time = made;
	return RESULT_OK;
}

static enum result refuse(struct note *note, const char *reason)
{
	ERR_clear_error();
	note_set(note, "%s", reason);
	return RESULT_INVALID;
}

/* Also makes OpenSSL parse and cache the extensions now, before threads share the certificate. */
static enum result check_issuer(X509 *certificate, const struct private_key *key, struct note *note)
{
	if (X509_check_private_key(certificate, private_key_pkey(key)) != 1)
		return refuse(note, "the issuer's key is not that of its certificate");
	if (X509_check_ca(certificate) != 1)
		return refuse(note, "the issuer's certificate is not a CA's");
	if ((X509_get_key_usage(certificate) & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != (KU_KEY_CERT_SIGN | KU_CRL_SIGN))
		return refuse(note, "the issuer's certificate must allow signing certificates and CRLs");
	if (X509_get0_subject_key_id(certificate) == NULL)
		return refuse(note, "the issuer's certificate has no subject key identifier");
	return RESULT_OK;
}

static enum result parse_pem(struct span pem, X509 **ret_certificate, struct note *note)
{
	BUF_CLEANUP struct buf der = {0};
	const unsigned char *at;
	X509 *certificate;

	TRY(certificate_pem_to_der(pem, &der, note));
	at = der.data;
	certificate = d2i_X509(NULL, &at, (long)der.size);
	if (certificate == NULL)
		return refuse(note, "the issuer's certificate cannot be read");
	*ret_certificate = certificate;
	return RESULT_OK;
}

enum result issuer_open(struct span certificate_pem, struct private_key *take_key, struct issuer **ret_issuer,
			struct note *note)
{
	struct issuer *issuer = OPENSSL_zalloc(sizeof(*issuer));
	enum result result;

	if (issuer == NULL)
		return RESULT_MEMORY;
	result = parse_pem(certificate_pem, &issuer->certificate, note);
	if (result == RESULT_OK)
		result = check_issuer(issuer->certificate, take_key, note);
	if (result == RESULT_OK)
		result = x509_validity(issuer->certificate, &issuer->not_before_ms, &issuer->not_after_ms);
	if (result != RESULT_OK) {
		issuer_close(issuer);
		return result;
	}
	issuer->key = take_key;
	*ret_issuer = issuer;
	return RESULT_OK;
}

void issuer_close(struct issuer *issuer)
{
	if (issuer == NULL)
		return;
	X509_free(issuer->certificate);
	private_key_release(issuer->key);
	OPENSSL_free(issuer);
}
