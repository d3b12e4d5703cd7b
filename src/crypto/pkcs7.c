#include "crypto/pkcs7.h"

#include "crypto/library.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>

DEFINE_OPENSSL_CLEANUP(PKCS7)

/* SignedData (RFC 5652 section 5.1) of version 1 with neither content nor signers. */
static PKCS7 *make_empty(void)
{
	PKCS7 *message = PKCS7_new();

	if (message == NULL || PKCS7_set_type(message, NID_pkcs7_signed) != 1 ||
	    PKCS7_content_new(message, NID_pkcs7_data) != 1 || PKCS7_set_detached(message, 1) != 1) {
		PKCS7_free(message);
		return NULL;
	}
	return message;
}

/* PKCS7_add_certificate() counts the reference for itself. */
static enum result add_certificates(BIO *bio, PKCS7 *message, size_t *ret_count)
{
	size_t count = 0;

	for (;;) {
		OPENSSL_CLEANUP(X509) X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

		if (certificate == NULL)
			break;
		if (PKCS7_add_certificate(message, certificate) != 1)
			return RESULT_MEMORY;
		count++;
	}
	*ret_count = count;
	return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ? RESULT_OK : RESULT_INVALID;
}

static enum result append(PKCS7 *message, struct buf *ret_der)
{
	unsigned char *encoding = NULL;
	int size = i2d_PKCS7(message, &encoding);

	if (size <= 0)
		return openssl_failure(RESULT_MEMORY, NULL, "");
	enum result result = buf_append(ret_der, span_of(encoding, (size_t)size));
	OPENSSL_free(encoding);
	return result;
}

enum result pkcs7_wrap_certificates(struct span pem, struct buf *ret_der, struct note *note)
{
	OPENSSL_CLEANUP(PKCS7) PKCS7 *message = make_empty();
	OPENSSL_CLEANUP(BIO) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	size_t count = 0;

	if (message == NULL || bio == NULL)
		return openssl_failure(RESULT_MEMORY, note, "cannot build a PKCS #7 message");
	enum result result = add_certificates(bio, message, &count);
	ERR_clear_error();
	if (result == RESULT_INVALID || (result == RESULT_OK && count == 0)) {
		note_set(note, "there is no certificate in PEM form, or a damaged one");
		return RESULT_INVALID;
	}
	TRY(result);
	return append(message, ret_der);
}
