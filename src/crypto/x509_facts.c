#include "crypto/x509_facts.h"

#include "base/text.h"

#include <time.h>

enum result x509_fingerprint(X509 *certificate, uint8_t ret_fingerprint[static SHA256_SIZE])
{
	unsigned int size;

	if (X509_digest(certificate, algorithms.sha256, ret_fingerprint, &size) != 1)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	return RESULT_OK;
}

static enum result time_to_ms(const ASN1_TIME *at, int64_t *ret_at_ms)
{
	struct tm parts;

	if (ASN1_TIME_to_tm(at, &parts) != 1)
		return openssl_failure(RESULT_INVALID, NULL, "");
	*ret_at_ms = (int64_t)timegm(&parts) * 1000;
	return RESULT_OK;
}

enum result x509_validity(const X509 *certificate, int64_t *ret_not_before_ms, int64_t *ret_not_after_ms)
{
	int64_t not_before_ms = 0;

	TRY(time_to_ms(X509_get0_notBefore(certificate), &not_before_ms));
	TRY(time_to_ms(X509_get0_notAfter(certificate), ret_not_after_ms));
	*ret_not_before_ms = not_before_ms;
	return RESULT_OK;
}

void x509_common_name(const X509 *certificate, char ret_name[static COMMON_NAME_SIZE])
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	const ASN1_STRING *value;
	struct span text;

	*ret_name = '\0';
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return;
	value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	text = span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
	if (text.size >= COMMON_NAME_SIZE || !text_is_printable(text, true))
		return;
	memcpy(ret_name, text.data, text.size);
	ret_name[text.size] = '\0';
}

enum result x509_serial(const X509 *certificate, struct serial *ret_serial)
{
	const ASN1_INTEGER *number = X509_get0_serialNumber(certificate);
	int size = ASN1_STRING_length(number);

	if (ASN1_STRING_type(number) != V_ASN1_INTEGER || size < 1 || size > SERIAL_SIZE)
		return RESULT_INVALID;
	memset(ret_serial->bytes, 0, SERIAL_SIZE);
	memcpy(ret_serial->bytes + SERIAL_SIZE - size, ASN1_STRING_get0_data(number), (size_t)size);
	return RESULT_OK;
}
