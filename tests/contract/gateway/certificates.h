/* Certificates of every kind, also such as this project cannot make: the broker's plugin must refuse those. */
#ifndef VINVEIL_TESTS_CONTRACT_GATEWAY_CERTIFICATES_H
#define VINVEIL_TESTS_CONTRACT_GATEWAY_CERTIFICATES_H

#include "tests/unit/cmocka_all.h"

#include "crypto/certificate.h"

#include <openssl/x509.h>

struct authority {
	X509 *certificate;
	EVP_PKEY *key;
};

struct specimen {
	const char *common_name;
	const char *alternative; /* as OpenSSL writes it: "URI:urn:uuid:…", "DNS:x"; NULL: none */
	const char *purpose;	 /* "clientAuth", "serverAuth"; NULL: none */
	bool is_ca;
	long begins_s, ends_s; /* from now; ends 0: in an hour */
};

/* A certificate with its key, in two files. */
struct credential {
	char certificate_path[256], key_path[256];
	struct serial serial;
	char name[65]; /* the common name */
};

void authority_make(struct authority *authority, const char *name, const struct authority *above);
void authority_free(struct authority *authority);
void authority_write(const struct authority *authority, const char *path, bool append);
/* In DIRECTORY/NAME.pem and .key. */
void credential_make(const struct authority *authority, const char *directory, const char *name,
		     const struct specimen *specimen, struct credential *ret_credential);

#endif
