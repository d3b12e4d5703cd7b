/*
 * CSRs, for those who issue from them. Private to crypto/.
 *
 * A CSR is read in one of two ways. Nearly all have a plain form: a P-256, P-384 or Ed25519 key in its one encoding,
 * and around it nothing unusual. Such a one is read here, byte by byte, because OpenSSL's decoder of public keys takes
 * twice the time of the signature's verification. Whatever departs from the plain form goes to OpenSSL, which then
 * decides, and finds the reason when it is refused.
 */
#ifndef VINVEIL_CRYPTO_CSR_H
#define VINVEIL_CRYPTO_CSR_H

#include "crypto/certificate.h"
#include "crypto/library.h"

#define POINT_UNCOMPRESSED 0x04

/* Points into the CSR. */
struct plain_csr {
	const struct plain_key *kind;
	struct span spki;	 /* SubjectPublicKeyInfo */
	struct span key;	 /* its bits: the uncompressed point, or Ed25519's 32 bytes */
	struct span signed_part; /* CertificationRequestInfo */
	int digest;		 /* NID; NID_undef: Ed25519's own */
	struct span signature;
};

/* What stands before the bits in a SubjectPublicKeyInfo of such a key: one key must have one encoding. */
struct plain_key {
	int algorithm; /* EVP_PKEY_… */
	int curve;     /* NID_undef for Ed25519 */
	size_t prefix_size, key_size;
	const char *prefix;
};
/* NULL when spki is no such key's canonical encoding. The point may still lie beside the curve. */
const struct plain_key *plain_key_find(struct span spki);

/* False when it is not in plain form; it may be a good CSR all the same. The signature is not looked at. */
bool csr_read_plain(struct span der, struct plain_csr *ret_csr);

/* The key of a CSR that was judged, as X509_PUBKEY_set0_param() takes it. Zero-initialised is releasable. */
struct csr_key {
	int algorithm;	    /* EVP_PKEY_… */
	int parameter_kind; /* V_ASN1_… */
	int curve;	    /* NID_undef unless EC */
	struct buf bits;
	uint8_t spki_sha256[SHA256_SIZE];
};
void csr_key_release(struct csr_key *key);
#define CSR_KEY_CLEANUP __attribute__((cleanup(csr_key_release)))

/* As csr_check(). */
MUST_USE enum result csr_judge(struct span der, struct csr_key *ret_key, struct note *note);

#endif
