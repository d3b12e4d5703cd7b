#include "crypto/certificate.h"

#include "base/text.h"
#include "crypto/csr.h"
#include "crypto/extension.h"
#include "crypto/issuer.h"

#include <openssl/err.h>

#include <arpa/inet.h>
#include <stdio.h>

#define ROOT_LIFETIME_MS  ((int64_t)7305 * 24 * 3600 * 1000) /* 20 years */
#define COMMON_NAME_MAX	  64
#define HOST_NAME_MAX_DNS 253
#define URN_SIZE	  (sizeof("urn:uuid:") + UUID_TEXT_LENGTH)

DEFINE_OPENSSL_CLEANUP(ASN1_INTEGER)
DEFINE_OPENSSL_CLEANUP(GENERAL_NAMES)
DEFINE_OPENSSL_CLEANUP(X509_NAME)

static enum result refuse(struct note *note, const char *reason)
{
	ERR_clear_error();
	note_set(note, "%s", reason);
	return RESULT_INVALID;
}

static enum result fail_to_build(struct note *note)
{
	return openssl_failure(RESULT_MEMORY, note, "cannot build a certificate");
}

/* ---- parts of every certificate ------------------------------------------------------------------- */

static enum result serial_generate(struct entropy *entropy, struct serial *ret_serial)
{
	struct serial serial;

	TRY(entropy_fill(entropy, serial.bytes, sizeof(serial.bytes)));
	serial.bytes[0] = (uint8_t)((serial.bytes[0] & 0x3f) | 0x40);
	*ret_serial = serial;
	return RESULT_OK;
}

static bool set_serial(X509 *certificate, const struct serial *serial)
{
	OPENSSL_CLEANUP(ASN1_INTEGER) ASN1_INTEGER *number = ASN1_INTEGER_new();

	return number != NULL && ASN1_STRING_set(number, serial->bytes, SERIAL_SIZE) == 1 &&
	       X509_set_serialNumber(certificate, number) == 1;
}

static enum result set_validity(X509 *certificate, int64_t not_before_ms, int64_t not_after_ms, struct note *note)
{
	ASN1_TIME *from = NULL, *to = NULL;
	enum result result;

	if (not_after_ms <= not_before_ms)
		return refuse(note, "a certificate must end after it begins");
	result = time_from_ms(not_before_ms, &from);
	if (result == RESULT_OK)
		result = time_from_ms(not_after_ms, &to);
	if (result == RESULT_OK &&
	    (X509_set1_notBefore(certificate, from) != 1 || X509_set1_notAfter(certificate, to) != 1))
		result = fail_to_build(note);
	if (result == RESULT_INVALID)
		note_set(note, "a certificate's dates must lie between 1970 and 9999");
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	return result;
}

static bool set_subject(X509 *certificate, const char *common_name)
{
	OPENSSL_CLEANUP(X509_NAME) X509_NAME *name = X509_NAME_new();

	return name != NULL &&
	       X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING, (const unsigned char *)common_name,
					  -1, -1, 0) == 1 &&
	       X509_set_subject_name(certificate, name) == 1;
}

static enum result check_common_name(const char *name, struct note *note)
{
	struct span text = span_of_text(name == NULL ? "" : name);

	if (text.size == 0 || text.size > COMMON_NAME_MAX || !text_is_printable(text, true))
		return refuse(note, "a certificate's name must be 1 to 64 printable ASCII characters");
	return RESULT_OK;
}

/*
 * The key of a CSR as its bytes stand, which csr_judge() has found to be canonical: X509_set_pubkey() would
 * encode them anew, at a third of the cost of the whole certificate.
 */
static bool copy_public_key(X509 *certificate, const struct csr_key *key)
{
	ASN1_OBJECT *curve = key->parameter_kind == V_ASN1_OBJECT ? OBJ_nid2obj(key->curve) : NULL;
	unsigned char *copy = OPENSSL_memdup(key->bits.data, key->bits.size);

	if (copy == NULL || X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(certificate), OBJ_nid2obj(key->algorithm),
						   key->parameter_kind, curve, copy, (int)key->bits.size) != 1) {
		OPENSSL_free(copy);
		return false;
	}
	return true;
}

/* Version, serial, validity and subject: what stands before the public key and the extensions. */
static enum result fill_body(X509 *certificate, struct entropy *entropy, const char *name, int64_t not_before_ms,
			     int64_t not_after_ms, struct serial *ret_serial, struct note *note)
{
	TRY(serial_generate(entropy, ret_serial));
	TRY(set_validity(certificate, not_before_ms, not_after_ms, note));
	if (X509_set_version(certificate, X509_VERSION_3) != 1 || !set_serial(certificate, ret_serial) ||
	    !set_subject(certificate, name))
		return fail_to_build(note);
	return RESULT_OK;
}

static enum result sign(X509 *certificate, const struct private_key *key, struct note *note)
{
	EVP_PKEY *pkey = private_key_pkey(key);

	if (X509_sign(certificate, pkey, signature_digest(pkey)) <= 0)
		return openssl_failure(RESULT_MEMORY, note, "cannot sign a certificate");
	return RESULT_OK;
}

/* ---- profiles ------------------------------------------------------------------------------------- */

/* A claim certificate must not be taken for a vehicle's, whose common name is a UUID. */
static enum result check_claim_name(const char *name, struct note *note)
{
	struct uuid uuid;

	TRY(check_common_name(name, note));
	if (uuid_parse(span_of_text(name), &uuid) == RESULT_OK)
		return refuse(note, "a claim certificate's name must not be a UUID");
	return RESULT_OK;
}

/* Letters, digits, '-' and '.', or a numeric address; wildcards are not issued. */
static bool is_host(const char *host)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
	uint8_t address[sizeof(struct in6_addr)];
	size_t size = strlen(host);

	if (inet_pton(AF_INET6, host, address) == 1)
		return true;
	return size > 0 && size <= HOST_NAME_MAX_DNS && strspn(host, allowed) == size && *host != '.' && *host != '-';
}

enum result certificate_check_hosts(const struct certificate_request *request, struct note *note)
{
	TRY(check_common_name(request->name, note));
	if (!is_host(request->name))
		return refuse(note, "a server's name must be a DNS name or a numeric IP address");
	for (const char *const *host = request->alternatives; host != NULL && *host != NULL; host++) {
		if (!is_host(*host))
			return refuse(note, "a server's alternative name must be a DNS name or a numeric IP address");
	}
	return RESULT_OK;
}

static enum result choose_name(const struct certificate_request *request, char ret_name[static COMMON_NAME_MAX + 1],
			       struct note *note)
{
	switch (request->profile) {
	case CERTIFICATE_DEVICE:
		uuid_format(&request->reference_id, ret_name);
		return RESULT_OK;
	case CERTIFICATE_CLAIM:
		TRY(check_claim_name(request->name, note));
		break;
	case CERTIFICATE_OPERATOR:
		TRY(check_common_name(request->name, note));
		break;
	case CERTIFICATE_SERVER:
		TRY(certificate_check_hosts(request, note));
		break;
	default:
		return refuse(note, "there is no such certificate profile");
	}
	memcpy(ret_name, request->name, strlen(request->name) + 1);
	return RESULT_OK;
}

static bool add_vehicle_name(X509 *certificate, const char *reference_id)
{
	OPENSSL_CLEANUP(GENERAL_NAMES) GENERAL_NAMES *names = GENERAL_NAMES_new();
	char urn[URN_SIZE];

	snprintf(urn, sizeof(urn), "urn:uuid:%s", reference_id);
	return names != NULL && names_add_uri(names, urn) && extension_add_names(certificate, names);
}

static bool add_hosts(X509 *certificate, const struct certificate_request *request)
{
	OPENSSL_CLEANUP(GENERAL_NAMES) GENERAL_NAMES *names = GENERAL_NAMES_new();

	if (names == NULL || !names_add_host(names, request->name))
		return false;
	for (const char *const *host = request->alternatives; host != NULL && *host != NULL; host++) {
		if (!names_add_host(names, *host))
			return false;
	}
	return extension_add_names(certificate, names);
}

static enum result add_leaf_extensions(X509 *certificate, const struct issuer *issuer,
				       const struct certificate_request *request, const char *name, struct note *note)
{
	int purpose = request->profile == CERTIFICATE_SERVER ? NID_server_auth : NID_client_auth;
	bool is_good = extension_add_not_ca(certificate) &&
		       extension_add_key_usage(certificate, USAGE_DIGITAL_SIGNATURE, -1) &&
		       extension_add_purpose(certificate, purpose) && extension_add_subject_key(certificate) &&
		       extension_add_authority_key(certificate, X509_get0_subject_key_id(issuer->certificate));

	if (is_good && request->profile == CERTIFICATE_DEVICE)
		is_good = add_vehicle_name(certificate, name);
	if (is_good && request->profile == CERTIFICATE_SERVER)
		is_good = add_hosts(certificate, request);
	return is_good ? RESULT_OK : fail_to_build(note);
}

/* ---- issuing -------------------------------------------------------------------------------------- */

/* Beyond its issuer's end a certificate would verify nowhere: better to learn it now. */
static enum result check_within_issuer(const struct issuer *issuer, int64_t not_after_ms, struct note *note)
{
	if (not_after_ms > issuer->not_after_ms)
		return refuse(note, "a certificate must not end after its issuer's certificate");
	return RESULT_OK;
}

static enum result begin(const struct issuer *issuer, X509 **ret_certificate, struct note *note)
{
	X509 *certificate = X509_new();

	if (certificate == NULL || X509_set_issuer_name(certificate, X509_get_subject_name(issuer->certificate)) != 1) {
		X509_free(certificate);
		return fail_to_build(note);
	}
	*ret_certificate = certificate;
	return RESULT_OK;
}

enum result issuer_issue(struct issuer *issuer, struct entropy *entropy, const struct certificate_request *request,
			 struct buf *ret_der, struct serial *ret_serial, struct note *note)
{
	CSR_KEY_CLEANUP struct csr_key key = {0};
	OPENSSL_CLEANUP(X509) X509 *certificate = NULL;
	char name[COMMON_NAME_MAX + 1];
	struct serial serial = {0};

	TRY(choose_name(request, name, note));
	TRY(check_within_issuer(issuer, request->not_after_ms, note));
	TRY(csr_judge(request->csr, &key, note));
	TRY(begin(issuer, &certificate, note));
	TRY(fill_body(certificate, entropy, name, request->not_before_ms, request->not_after_ms, &serial, note));
	if (!copy_public_key(certificate, &key))
		return fail_to_build(note);
	TRY(add_leaf_extensions(certificate, issuer, request, name, note));
	TRY(sign(certificate, issuer->key, note));
	TRY(der_append_certificate(ret_der, certificate));
	*ret_serial = serial;
	return RESULT_OK;
}

static bool add_ca_extensions(X509 *certificate, int path_length, const ASN1_OCTET_STRING *authority_key)
{
	return extension_add_ca(certificate, path_length) &&
	       extension_add_key_usage(certificate, USAGE_KEY_CERT_SIGN, USAGE_CRL_SIGN) &&
	       extension_add_subject_key(certificate) &&
	       (authority_key == NULL || extension_add_authority_key(certificate, authority_key));
}

enum result issuer_issue_intermediate(struct issuer *root, struct entropy *entropy, const char *name, struct span csr,
				      int64_t not_before_ms, int64_t not_after_ms, struct buf *ret_der,
				      struct note *note)
{
	CSR_KEY_CLEANUP struct csr_key key = {0};
	OPENSSL_CLEANUP(X509) X509 *certificate = NULL;
	struct serial serial;

	TRY(check_common_name(name, note));
	TRY(check_within_issuer(root, not_after_ms, note));
	TRY(csr_judge(csr, &key, note));
	TRY(begin(root, &certificate, note));
	TRY(fill_body(certificate, entropy, name, not_before_ms, not_after_ms, &serial, note));
	if (!copy_public_key(certificate, &key) ||
	    !add_ca_extensions(certificate, 0, X509_get0_subject_key_id(root->certificate)))
		return fail_to_build(note);
	TRY(sign(certificate, root->key, note));
	return der_append_certificate(ret_der, certificate);
}

enum result certificate_make_root(const struct private_key *key, const char *name, int path_length,
				  int64_t not_before_ms, struct entropy *entropy, struct buf *ret_pem,
				  struct note *note)
{
	BUF_CLEANUP struct buf der = {0};
	OPENSSL_CLEANUP(X509) X509 *certificate = X509_new();
	struct serial serial;

	if (certificate == NULL)
		return fail_to_build(note);
	TRY(check_common_name(name, note));
	TRY(fill_body(certificate, entropy, name, not_before_ms, not_before_ms + ROOT_LIFETIME_MS, &serial, note));
	if (X509_set_pubkey(certificate, private_key_pkey(key)) != 1 ||
	    X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) != 1 ||
	    !add_ca_extensions(certificate, path_length, NULL))
		return fail_to_build(note);
	TRY(sign(certificate, key, note));
	TRY(der_append_certificate(&der, certificate));
	return certificate_der_to_pem(buf_span(&der), ret_pem);
}
