#include "crypto/extension.h"
#include "crypto/issuer.h"

#include <openssl/err.h>

DEFINE_OPENSSL_CLEANUP(ASN1_ENUMERATED)
DEFINE_OPENSSL_CLEANUP(ASN1_INTEGER)
DEFINE_OPENSSL_CLEANUP(ASN1_TIME)
DEFINE_OPENSSL_CLEANUP(AUTHORITY_KEYID)
DEFINE_OPENSSL_CLEANUP(X509_REVOKED)

static const struct reason_name {
	enum revocation_reason reason;
	const char *name;
} reason_names[] = {
	{REVOCATION_UNSPECIFIED, "unspecified"},
	{REVOCATION_KEY_COMPROMISE, "keyCompromise"},
	{REVOCATION_AFFILIATION_CHANGED, "affiliationChanged"},
	{REVOCATION_SUPERSEDED, "superseded"},
	{REVOCATION_CESSATION_OF_OPERATION, "cessationOfOperation"},
	{REVOCATION_PRIVILEGE_WITHDRAWN, "privilegeWithdrawn"},
};

#define REASON_COUNT (sizeof(reason_names) / sizeof(reason_names[0]))

const char *revocation_reason_name(enum revocation_reason reason)
{
	for (size_t i = 0; i < REASON_COUNT; i++) {
		if (reason_names[i].reason == reason)
			return reason_names[i].name;
	}
	return "unspecified";
}

enum result revocation_reason_parse(struct span name, enum revocation_reason *ret_reason)
{
	for (size_t i = 0; i < REASON_COUNT; i++) {
		if (span_is_text(name, reason_names[i].name)) {
			*ret_reason = reason_names[i].reason;
			return RESULT_OK;
		}
	}
	return RESULT_INVALID;
}

static enum result fail_to_build(struct note *note)
{
	return openssl_failure(RESULT_MEMORY, note, "cannot build a CRL");
}

/* RFC 5280 section 5.3.1: a reason of unspecified is left out. */
static bool set_reason(X509_REVOKED *entry, enum revocation_reason reason)
{
	OPENSSL_CLEANUP(ASN1_ENUMERATED) ASN1_ENUMERATED *value = NULL;

	if (reason == REVOCATION_UNSPECIFIED)
		return true;
	value = ASN1_ENUMERATED_new();
	return value != NULL && ASN1_ENUMERATED_set(value, (long)reason) == 1 &&
	       X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, value, 0, X509V3_ADD_DEFAULT) == 1;
}

/* DER integers have no leading zeros, but serials that were read from other issuers may be shorter than ours. */
static struct span significant_bytes(const struct serial *serial)
{
	size_t skip = 0;

	while (skip < SERIAL_SIZE - 1 && serial->bytes[skip] == 0)
		skip++;
	return span_of(serial->bytes + skip, SERIAL_SIZE - skip);
}

static enum result add_entry(X509_CRL *crl, const struct revoked_certificate *revoked, struct note *note)
{
	OPENSSL_CLEANUP(X509_REVOKED) X509_REVOKED *entry = X509_REVOKED_new();
	OPENSSL_CLEANUP(ASN1_INTEGER) ASN1_INTEGER *serial = ASN1_INTEGER_new();
	OPENSSL_CLEANUP(ASN1_TIME) ASN1_TIME *at = NULL;
	struct span bytes = significant_bytes(&revoked->serial);

	TRY(time_from_ms(revoked->revoked_at_ms, &at));
	if (entry == NULL || serial == NULL || ASN1_STRING_set(serial, bytes.data, (int)bytes.size) != 1 ||
	    X509_REVOKED_set_serialNumber(entry, serial) != 1 || X509_REVOKED_set_revocationDate(entry, at) != 1 ||
	    !set_reason(entry, revoked->reason) || X509_CRL_add0_revoked(crl, entry) != 1)
		return fail_to_build(note);
	entry = NULL; /* the CRL's now */
	return RESULT_OK;
}

static enum result set_dates(X509_CRL *crl, int64_t this_update_ms, int64_t next_update_ms, struct note *note)
{
	OPENSSL_CLEANUP(ASN1_TIME) ASN1_TIME *this_update = NULL;
	OPENSSL_CLEANUP(ASN1_TIME) ASN1_TIME *next_update = NULL;

	if (next_update_ms <= this_update_ms) {
		note_set(note, "a CRL's next update must come after this one");
		return RESULT_INVALID;
	}
	TRY(time_from_ms(this_update_ms, &this_update));
	TRY(time_from_ms(next_update_ms, &next_update));
	if (X509_CRL_set1_lastUpdate(crl, this_update) != 1 || X509_CRL_set1_nextUpdate(crl, next_update) != 1)
		return fail_to_build(note);
	return RESULT_OK;
}

static bool add_extensions(X509_CRL *crl, const struct issuer *issuer, uint64_t crl_number)
{
	OPENSSL_CLEANUP(ASN1_INTEGER) ASN1_INTEGER *number = ASN1_INTEGER_new();
	OPENSSL_CLEANUP(AUTHORITY_KEYID)
	AUTHORITY_KEYID *authority = authority_key_make(X509_get0_subject_key_id(issuer->certificate));

	return number != NULL && authority != NULL && ASN1_INTEGER_set_uint64(number, crl_number) == 1 &&
	       X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, authority, 0, X509V3_ADD_DEFAULT) == 1 &&
	       X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, X509V3_ADD_DEFAULT) == 1;
}

enum result issuer_sign_crl(struct issuer *issuer, const struct revoked_certificate *revoked, size_t count,
			    uint64_t crl_number, int64_t this_update_ms, int64_t next_update_ms, struct buf *ret_der,
			    struct note *note)
{
	OPENSSL_CLEANUP(X509_CRL) X509_CRL *crl = X509_CRL_new();
	EVP_PKEY *pkey = private_key_pkey(issuer->key);

	if (crl == NULL || X509_CRL_set_version(crl, X509_CRL_VERSION_2) != 1 ||
	    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->certificate)) != 1)
		return fail_to_build(note);
	TRY(set_dates(crl, this_update_ms, next_update_ms, note));
	for (size_t i = 0; i < count; i++)
		TRY(add_entry(crl, &revoked[i], note));
	if (!add_extensions(crl, issuer, crl_number) || X509_CRL_sort(crl) != 1)
		return fail_to_build(note);
	if (X509_CRL_sign(crl, pkey, signature_digest(pkey)) <= 0)
		return openssl_failure(RESULT_MEMORY, note, "cannot sign a CRL");
	return der_append_crl(ret_der, crl);
}
