#include "crypto/extension.h"

#include <arpa/inet.h>

#define KEY_ID_SIZE 20

DEFINE_OPENSSL_CLEANUP(ASN1_BIT_STRING)
DEFINE_OPENSSL_CLEANUP(ASN1_OCTET_STRING)
DEFINE_OPENSSL_CLEANUP(AUTHORITY_KEYID)
DEFINE_OPENSSL_CLEANUP(BASIC_CONSTRAINTS)
DEFINE_OPENSSL_CLEANUP(EXTENDED_KEY_USAGE)

static bool add(X509 *certificate, int nid, void *value, bool is_critical)
{
	return X509_add1_ext_i2d(certificate, nid, value, is_critical ? 1 : 0, X509V3_ADD_DEFAULT) == 1;
}

bool extension_add_ca(X509 *certificate, int path_length)
{
	OPENSSL_CLEANUP(BASIC_CONSTRAINTS) BASIC_CONSTRAINTS *value = BASIC_CONSTRAINTS_new();

	if (value == NULL)
		return false;
	value->ca = 0xff;
	if (path_length >= 0) {
		value->pathlen = ASN1_INTEGER_new();
		if (value->pathlen == NULL || ASN1_INTEGER_set(value->pathlen, path_length) != 1)
			return false;
	}
	return add(certificate, NID_basic_constraints, value, true);
}

bool extension_add_not_ca(X509 *certificate)
{
	OPENSSL_CLEANUP(BASIC_CONSTRAINTS) BASIC_CONSTRAINTS *value = BASIC_CONSTRAINTS_new();

	return value != NULL && add(certificate, NID_basic_constraints, value, true);
}

bool extension_add_key_usage(X509 *certificate, int first, int second)
{
	OPENSSL_CLEANUP(ASN1_BIT_STRING) ASN1_BIT_STRING *value = ASN1_BIT_STRING_new();

	return value != NULL && ASN1_BIT_STRING_set_bit(value, first, 1) == 1 &&
	       (second < 0 || ASN1_BIT_STRING_set_bit(value, second, 1) == 1) &&
	       add(certificate, NID_key_usage, value, true);
}

bool extension_add_purpose(X509 *certificate, int purpose_nid)
{
	OPENSSL_CLEANUP(EXTENDED_KEY_USAGE) EXTENDED_KEY_USAGE *value = EXTENDED_KEY_USAGE_new();

	return value != NULL && sk_ASN1_OBJECT_push(value, OBJ_nid2obj(purpose_nid)) > 0 &&
	       add(certificate, NID_ext_key_usage, value, false);
}

bool extension_add_subject_key(X509 *certificate)
{
	OPENSSL_CLEANUP(ASN1_OCTET_STRING) ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	const ASN1_BIT_STRING *key = X509_get0_pubkey_bitstr(certificate);
	uint8_t digest[SHA256_SIZE];

	if (value == NULL || key == NULL || sha256(span_of(key->data, (size_t)key->length), digest) != RESULT_OK ||
	    ASN1_OCTET_STRING_set(value, digest, KEY_ID_SIZE) != 1)
		return false;
	return add(certificate, NID_subject_key_identifier, value, false);
}

AUTHORITY_KEYID *authority_key_make(const ASN1_OCTET_STRING *key_id)
{
	AUTHORITY_KEYID *value = AUTHORITY_KEYID_new();

	if (value == NULL)
		return NULL;
	value->keyid = ASN1_OCTET_STRING_dup(key_id);
	if (value->keyid == NULL) {
		AUTHORITY_KEYID_free(value);
		return NULL;
	}
	return value;
}

bool extension_add_authority_key(X509 *certificate, const ASN1_OCTET_STRING *key_id)
{
	OPENSSL_CLEANUP(AUTHORITY_KEYID) AUTHORITY_KEYID *value = authority_key_make(key_id);

	return value != NULL && add(certificate, NID_authority_key_identifier, value, false);
}

static bool names_add(GENERAL_NAMES *names, int kind, ASN1_STRING *take_value, const void *bytes, size_t size)
{
	GENERAL_NAME *name = GENERAL_NAME_new();

	if (name == NULL || take_value == NULL || ASN1_STRING_set(take_value, bytes, (int)size) != 1) {
		GENERAL_NAME_free(name);
		ASN1_STRING_free(take_value);
		return false;
	}
	GENERAL_NAME_set0_value(name, kind, take_value);
	if (sk_GENERAL_NAME_push(names, name) <= 0) {
		GENERAL_NAME_free(name);
		return false;
	}
	return true;
}

bool names_add_uri(GENERAL_NAMES *names, const char *uri)
{
	return names_add(names, GEN_URI, ASN1_IA5STRING_new(), uri, strlen(uri));
}

bool names_add_host(GENERAL_NAMES *names, const char *host)
{
	uint8_t address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, host, address) == 1)
		return names_add(names, GEN_IPADD, ASN1_OCTET_STRING_new(), address, sizeof(struct in_addr));
	if (inet_pton(AF_INET6, host, address) == 1)
		return names_add(names, GEN_IPADD, ASN1_OCTET_STRING_new(), address, sizeof(struct in6_addr));
	return names_add(names, GEN_DNS, ASN1_IA5STRING_new(), host, strlen(host));
}

bool extension_add_names(X509 *certificate, GENERAL_NAMES *names)
{
	return add(certificate, NID_subject_alt_name, names, false);
}
