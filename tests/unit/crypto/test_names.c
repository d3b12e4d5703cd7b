#include "support.h"

#include "crypto/names.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define UUID_TEXT "7d444840-9dc0-41d1-b245-5ffdce74fad2"

/* What a request is to say; made by OpenSSL, which is the oracle, too. */
struct wish {
	const char *common_name; /* NULL: none */
	int type;		 /* MBSTRING_… or V_ASN1_… */
	const char *organization;
	const char *alternatives; /* in OpenSSL's words: "URI:urn:…,DNS:a" */
	bool with_usage;	  /* another extension before the names */
};

static EVP_PKEY *key;

static void add_part(X509_NAME *name, int nid, int type, const char *text)
{
	if (text != NULL)
		assert_int_equal(X509_NAME_add_entry_by_NID(name, nid, type, (const unsigned char *)text, -1, -1, 0),
				 1);
}

static void push(STACK_OF(X509_EXTENSION) * extensions, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(extension);
	sk_X509_EXTENSION_push(extensions, extension);
}

static void ask_for(X509_REQ *request, const struct wish *wish)
{
	STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();

	if (wish->with_usage)
		push(extensions, NID_key_usage, "critical,digitalSignature");
	if (wish->alternatives != NULL)
		push(extensions, NID_subject_alt_name, wish->alternatives);
	if (sk_X509_EXTENSION_num(extensions) > 0)
		assert_int_equal(X509_REQ_add_extensions(request, extensions), 1);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}

static X509_REQ *make_request(const struct wish *wish)
{
	X509_REQ *request = X509_REQ_new();
	X509_NAME *name = X509_REQ_get_subject_name(request);

	assert_int_equal(X509_REQ_set_version(request, X509_REQ_VERSION_1), 1);
	add_part(name, NID_organizationName, MBSTRING_UTF8, wish->organization);
	add_part(name, NID_commonName, wish->type, wish->common_name);
	ask_for(request, wish);
	assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
	return request;
}

static void encode(X509_REQ *request, struct buf *ret_der)
{
	unsigned char *encoding = NULL;
	int size;

	assert_true(X509_REQ_sign(request, key, EVP_sha256()) > 0);
	size = i2d_X509_REQ(request, &encoding);
	assert_true(size > 0);
	assert_ok(buf_append(ret_der, span_of(encoding, (size_t)size)));
	OPENSSL_free(encoding);
}

static struct certified_names names_of(const struct wish *wish, struct buf *ret_der)
{
	X509_REQ *request = make_request(wish);
	struct certified_names names = {0};

	encode(request, ret_der);
	assert_ok(csr_read_names(buf_span(ret_der), &names));
	X509_REQ_free(request);
	return names;
}

static struct certified_names certificate_names(struct buf *ret_der)
{
	struct issuer *root = make_test_root(PRIVATE_KEY_P256, 0, (int64_t)1767225600 * 1000);
	BUF_CLEANUP struct buf csr = {0};
	struct certificate_request request = {.profile = CERTIFICATE_DEVICE,
					      .not_before_ms = (int64_t)1767225600 * 1000,
					      .not_after_ms = (int64_t)1767225600 * 1000 + DAY_MS};
	struct certified_names names = {0};
	struct private_key *subject_key;
	struct serial serial;

	assert_ok(uuid_parse(span_of_text(UUID_TEXT), &request.reference_id));
	assert_ok(private_key_generate(PRIVATE_KEY_P256, &subject_key, NULL));
	assert_ok(csr_make(subject_key, &csr, NULL));
	private_key_release(subject_key);
	request.csr = buf_span(&csr);
	assert_ok(issuer_issue(root, entropy_system(), &request, ret_der, &serial, NULL));
	issuer_close(root);
	assert_ok(certificate_read_names(buf_span(ret_der), &names));
	return names;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static void assert_subject(struct span subject, const X509_NAME *oracle)
{
	unsigned char *encoding = NULL;
	int size = i2d_X509_NAME(oracle, &encoding);

	assert_int_equal(subject.size, size);
	assert_memory_equal(subject.data, encoding, (size_t)size);
	OPENSSL_free(encoding);
}

static void requests_say_what_openssl_reads(void **state)
{
	static const struct wish wishes[] = {
		{.common_name = "TCU-1", .type = MBSTRING_UTF8},
		{.common_name = "TCU-1", .type = V_ASN1_PRINTABLESTRING, .organization = "Maker"},
		{.common_name = NULL},
		{.common_name = "TCU-1", .type = MBSTRING_UTF8, .alternatives = "URI:urn:uuid:" UUID_TEXT},
		{.common_name = "TCU-1", .type = MBSTRING_UTF8, .alternatives = "DNS:a,IP:::1", .with_usage = true},
		{.common_name = "TCU-1", .type = MBSTRING_UTF8, .with_usage = true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		BUF_CLEANUP struct buf der = {0};
		X509_REQ *request = make_request(&wishes[i]);
		STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
		int at = X509v3_get_ext_by_NID(extensions, NID_subject_alt_name, -1);
		struct certified_names names;

		encode(request, &der);
		assert_ok(csr_read_names(buf_span(&der), &names));
		assert_subject(names.subject, X509_REQ_get_subject_name(request));
		if (at < 0) {
			assert_int_equal(names.alternatives.size, 0);
		} else {
			const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509v3_get_ext(extensions, at));
			assert_true(span_equal(names.alternatives, span_of(ASN1_STRING_get0_data(value),
									   (size_t)ASN1_STRING_length(value))));
		}
		sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
		X509_REQ_free(request);
	}
}

static void certificates_say_what_openssl_reads(void **state)
{
	BUF_CLEANUP struct buf der = {0};
	struct certified_names names = certificate_names(&der);
	const unsigned char *at = der.data;
	X509 *certificate = d2i_X509(NULL, &at, (long)der.size);
	X509_EXTENSION *extension =
		X509_get_ext(certificate, X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1));
	const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);

	(void)state;
	assert_subject(names.subject, X509_get_subject_name(certificate));
	assert_true(span_equal(names.alternatives,
			       span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value))));
	X509_free(certificate);
}

static void what_is_cut_or_no_csr_is_refused(void **state)
{
	const struct wish wish = {
		.common_name = "TCU-1", .type = MBSTRING_UTF8, .alternatives = "DNS:a", .with_usage = true};
	BUF_CLEANUP struct buf der = {0};
	BUF_CLEANUP struct buf certificate = {0};
	struct certified_names names = names_of(&wish, &der), ignored;

	(void)state;
	for (size_t size = 0; size < der.size; size++) {
		uint8_t *cut = malloc(size + 1);
		memcpy(cut, der.data, size);
		assert_result(csr_read_names(span_of(cut, size), &ignored), RESULT_INVALID);
		assert_result(certificate_read_names(span_of(cut, size), &ignored), RESULT_INVALID);
		free(cut);
	}
	names = certificate_names(&certificate);
	assert_result(csr_read_names(buf_span(&certificate), &names), RESULT_INVALID);
	assert_result(certificate_read_names(buf_span(&der), &names), RESULT_INVALID);
}

/* Two SubjectAltNames, or two lists of extensions: which one was meant? */
static void what_is_said_twice_is_refused(void **state)
{
	const struct wish wish = {.common_name = "TCU-1", .type = MBSTRING_UTF8, .alternatives = "DNS:a"};
	static const char like_a_list[] = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0f";
	BUF_CLEANUP struct buf lists = {0}, both = {0};
	STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
	X509_REQ *request = make_request(&wish);
	struct certified_names names;

	(void)state;
	push(extensions, NID_key_usage, "digitalSignature");
	/* OpenSSL makes no such thing: an attribute of another kind is made a second list. */
	assert_int_equal(X509_REQ_add_extensions_nid(request, extensions, NID_SMIMECapabilities), 1);
	encode(request, &lists);
	assert_ok(csr_read_names(buf_span(&lists), &names));
	((uint8_t *)memmem(lists.data, lists.size, like_a_list, 9))[8] = 0x0e;
	assert_result(csr_read_names(buf_span(&lists), &names), RESULT_INVALID);
	X509_REQ_free(request);

	request = make_request(&(struct wish){.common_name = "TCU-1", .type = MBSTRING_UTF8});
	push(extensions, NID_subject_alt_name, "DNS:a");
	push(extensions, NID_subject_alt_name, "DNS:b");
	assert_int_equal(X509_REQ_add_extensions(request, extensions), 1);
	encode(request, &both);
	assert_result(csr_read_names(buf_span(&both), &names), RESULT_INVALID);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	X509_REQ_free(request);
}

/* ---- comparing -------------------------------------------------------------------------------------- */

static bool same_as_the_certificate(const struct wish *wish)
{
	BUF_CLEANUP struct buf csr = {0}, certificate = {0};
	struct certified_names asked = names_of(wish, &csr);
	struct certified_names has = certificate_names(&certificate);

	bool same = names_are_same(&asked, &has);
	assert_int_equal(names_are_same(&has, &asked), same);
	return same;
}

static void only_the_same_names_are_the_same(void **state)
{
#define SAN "URI:urn:uuid:" UUID_TEXT
	static const struct {
		struct wish wish;
		bool is_same;
	} cases[] = {
		{{UUID_TEXT, MBSTRING_UTF8, NULL, SAN, false}, true},
		{{UUID_TEXT, MBSTRING_UTF8, NULL, SAN, true}, true},
		{{UUID_TEXT, V_ASN1_PRINTABLESTRING, NULL, SAN, false}, true},
		{{UUID_TEXT, V_ASN1_IA5STRING, NULL, SAN, false}, false},
		{{UUID_TEXT, MBSTRING_UTF8, NULL, NULL, false}, false},
		{{UUID_TEXT, MBSTRING_UTF8, NULL, SAN ",DNS:a", false}, false},
		{{UUID_TEXT, MBSTRING_UTF8, NULL, "URI:urn:uuid:7d444840-9dc0-41d1-b245-5ffdce74fad3", false}, false},
		{{UUID_TEXT, MBSTRING_UTF8, NULL, "DNS:urn.uuid", false}, false},
		{{UUID_TEXT, MBSTRING_UTF8, "Maker", SAN, false}, false},
		{{"7D444840-9DC0-41D1-B245-5FFDCE74FAD2", MBSTRING_UTF8, NULL, SAN, false}, false},
		{{"7d444840-9dc0-41d1-b245-5ffdce74fad", MBSTRING_UTF8, NULL, SAN, false}, false},
		{{NULL, MBSTRING_UTF8, NULL, SAN, false}, false},
		{{NULL, MBSTRING_UTF8, UUID_TEXT, SAN, false}, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (same_as_the_certificate(&cases[i].wish) != cases[i].is_same)
			fail_msg("case %zu", i);
	}
}

/* ---- the common name -------------------------------------------------------------------------------- */

static enum result common_name(const struct wish *wish, char ret_name[static 65])
{
	BUF_CLEANUP struct buf der = {0};
	struct certified_names names = names_of(wish, &der);

	return names_read_common_name(&names, ret_name);
}

static void a_subject_has_one_common_name(void **state)
{
	char name[65] = "untouched";
	BUF_CLEANUP struct buf der = {0};
	struct certified_names names;
	X509_REQ *request = make_request(&(struct wish){.common_name = "one", .type = MBSTRING_UTF8});

	(void)state;
	assert_result(common_name(&(struct wish){.organization = "Maker"}, name), RESULT_INVALID);
	assert_result(common_name(&(struct wish){.common_name = "T\xc3\xbc", .type = MBSTRING_UTF8}, name),
		      RESULT_INVALID);
	assert_result(common_name(&(struct wish){.common_name = "TCU", .type = V_ASN1_T61STRING}, name),
		      RESULT_INVALID);
	add_part(X509_REQ_get_subject_name(request), NID_commonName, MBSTRING_UTF8, "two");
	encode(request, &der);
	assert_ok(csr_read_names(buf_span(&der), &names));
	assert_result(names_read_common_name(&names, name), RESULT_INVALID);
	X509_REQ_free(request);
	assert_string_equal(name, "untouched");

	assert_ok(common_name(&(struct wish){.common_name = "TCU-1", .type = MBSTRING_UTF8}, name));
	assert_string_equal(name, "TCU-1");
	assert_ok(common_name(&(struct wish){.common_name = "A b", .type = V_ASN1_PRINTABLESTRING, .organization = "M"},
			      name));
	assert_string_equal(name, "A b");
}

static int set_up(void **state)
{
	if (set_up_crypto(state) != 0)
		return -1;
	key = EVP_EC_gen("P-256");
	return key != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_say_what_openssl_reads),
		cmocka_unit_test(certificates_say_what_openssl_reads),
		cmocka_unit_test(what_is_cut_or_no_csr_is_refused),
		cmocka_unit_test(what_is_said_twice_is_refused),
		cmocka_unit_test(only_the_same_names_are_the_same),
		cmocka_unit_test(a_subject_has_one_common_name),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
