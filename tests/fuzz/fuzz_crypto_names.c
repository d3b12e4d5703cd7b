/*
 * csr_read_names and certificate_read_names. What is read must be what OpenSSL reads, and lie within the input; what is
 * the same as itself is, and nothing is the same as something else.
 */
#include "crypto/library.h"
#include "crypto/names.h"
#include "fuzz.h"

#include <openssl/err.h>

static void check_subject(struct span subject, const X509_NAME *oracle)
{
	unsigned char *encoding = NULL;
	int size = i2d_X509_NAME(oracle, &encoding);

	FUZZ_CHECK(size > 0 && span_equal(subject, span_of(encoding, (size_t)size)));
	OPENSSL_free(encoding);
}

static void check_alternatives(struct span alternatives, const STACK_OF(X509_EXTENSION) * extensions)
{
	int at = X509v3_get_ext_by_NID(extensions, NID_subject_alt_name, -1);
	const ASN1_OCTET_STRING *value;

	if (at < 0) {
		FUZZ_CHECK(alternatives.size == 0);
		return;
	}
	value = X509_EXTENSION_get_data(X509v3_get_ext(extensions, at));
	FUZZ_CHECK(span_equal(alternatives, span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value))));
}

static void check_names(const struct certified_names *names)
{
	char name[65] = "";

	FUZZ_CHECK(names_are_same(names, names));
	if (names_read_common_name(names, name) == RESULT_OK)
		FUZZ_CHECK(name[0] != '\0');
}

/* OpenSSL takes what a strict reader does not; but what it refuses need not be refused here: the issuer judges. */
static void check_csr(struct span der)
{
	const unsigned char *at = der.data;
	struct certified_names names;
	X509_REQ *request;

	if (csr_read_names(der, &names) != RESULT_OK)
		return;
	check_names(&names);
	request = d2i_X509_REQ(NULL, &at, (long)der.size);
	if (request == NULL)
		return;
	STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
	check_subject(names.subject, X509_REQ_get_subject_name(request));
	if (X509_REQ_get_attr_by_NID(request, NID_ext_req, -1) < 0)
		FUZZ_CHECK(names.alternatives.size == 0);
	else if (extensions != NULL)
		check_alternatives(names.alternatives, extensions);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	X509_REQ_free(request);
}

static void check_certificate(struct span der)
{
	const unsigned char *at = der.data;
	struct certified_names names;
	X509 *certificate;

	if (certificate_read_names(der, &names) != RESULT_OK)
		return;
	check_names(&names);
	certificate = d2i_X509(NULL, &at, (long)der.size);
	if (certificate == NULL)
		return;
	check_subject(names.subject, X509_get_subject_name(certificate));
	check_alternatives(names.alternatives, X509_get0_extensions(certificate));
	X509_free(certificate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_csr(span_of(data, size));
	check_certificate(span_of(data, size));
	ERR_clear_error();
	return 0;
}
