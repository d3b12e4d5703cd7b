#include "tests/contract/gateway/certificates.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <string.h>

#define HOUR_S 3600

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static void set_serial(X509 *certificate, struct serial *ret_serial)
{
	assert_int_equal(RAND_bytes(ret_serial->bytes, SERIAL_SIZE), 1);
	ret_serial->bytes[0] = (uint8_t)((ret_serial->bytes[0] & 0x3f) | 0x40);
	ASN1_STRING_set(X509_get_serialNumber(certificate), ret_serial->bytes, SERIAL_SIZE);
}

static X509 *begin(const char *name, EVP_PKEY *key, long begins_s, long ends_s, struct serial *ret_serial)
{
	X509 *certificate = X509_new();
	assert_non_null(certificate);
	X509_set_version(certificate, X509_VERSION_3);
	set_serial(certificate, ret_serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), begins_s);
	X509_gmtime_adj(X509_getm_notAfter(certificate), ends_s);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, (const unsigned char *)name,
				   -1, -1, 0);
	X509_set_pubkey(certificate, key);
	return certificate;
}

static void sign(X509 *certificate, X509 *issuer, EVP_PKEY *key)
{
	X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
}

void authority_make(struct authority *authority, const char *name, const struct authority *above)
{
	struct serial serial;
	authority->key = EVP_EC_gen("P-256");
	assert_non_null(authority->key);
	authority->certificate = begin(name, authority->key, -HOUR_S, 24 * HOUR_S, &serial);
	const struct authority *issuer = above ? above : authority;
	add_extension(authority->certificate, issuer->certificate, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(authority->certificate, issuer->certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
	add_extension(authority->certificate, issuer->certificate, NID_subject_key_identifier, "hash");
	sign(authority->certificate, issuer->certificate, issuer->key);
}

void authority_free(struct authority *authority)
{
	X509_free(authority->certificate);
	EVP_PKEY_free(authority->key);
}

void authority_write(const struct authority *authority, const char *path, bool append)
{
	FILE *file = fopen(path, append ? "a" : "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, authority->certificate), 1);
	fclose(file);
}

static void write_files(X509 *certificate, EVP_PKEY *key, const struct credential *credential)
{
	FILE *file = fopen(credential->certificate_path, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, certificate), 1);
	fclose(file);
	file = fopen(credential->key_path, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
}

void credential_make(const struct authority *authority, const char *directory, const char *name,
		     const struct specimen *specimen, struct credential *ret_credential)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = begin(specimen->common_name, key, specimen->begins_s != 0 ? specimen->begins_s : -60,
				  specimen->ends_s != 0 ? specimen->ends_s : HOUR_S, &ret_credential->serial);
	X509 *issuer = authority->certificate;
	add_extension(certificate, issuer, NID_basic_constraints,
		      specimen->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature");
	if (specimen->purpose)
		add_extension(certificate, issuer, NID_ext_key_usage, specimen->purpose);
	if (specimen->alternative)
		add_extension(certificate, issuer, NID_subject_alt_name, specimen->alternative);
	sign(certificate, issuer, authority->key);
	snprintf(ret_credential->certificate_path, sizeof(ret_credential->certificate_path), "%s/%s.pem", directory,
		 name);
	snprintf(ret_credential->key_path, sizeof(ret_credential->key_path), "%s/%s.key", directory, name);
	snprintf(ret_credential->name, sizeof(ret_credential->name), "%s", specimen->common_name);
	write_files(certificate, key, ret_credential);
	X509_free(certificate);
	EVP_PKEY_free(key);
}
