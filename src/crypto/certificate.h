/*
 * X.509 (RFC 5280): judging CSRs (PKCS #10, RFC 2986), issuing to fixed profiles, CRLs, reading what is
 * needed from a certificate. The profiles are the only certificates this project can make; what a CSR asks
 * for beyond its public key is ignored.
 */
#ifndef VINVEIL_CRYPTO_CERTIFICATE_H
#define VINVEIL_CRYPTO_CERTIFICATE_H

#include "base/buf.h"
#include "base/entropy.h"
#include "base/uuid.h"
#include "crypto/digest.h"
#include "crypto/private_key.h"

#define SERIAL_SIZE	     16 /* random; the top bit clear and the next set, so DER is always 16 bytes */
#define CSR_SIZE_MAX	     8192
#define CSR_TEXT_SIZE_MAX    16384 /* PEM of CSR_SIZE_MAX, with room for comments */
#define CERTIFICATE_SIZE_MAX 8192

struct serial {
	uint8_t bytes[SERIAL_SIZE];
};

/* ---- CSR ------------------------------------------------------------------------------------------ */

/* PEM ("CERTIFICATE REQUEST") or base64 DER → DER. RESULT_INVALID with a reason fit for the caller in note. */
MUST_USE enum result csr_decode(struct span text, struct buf *ret_der, struct note *note);
/*
 * Judges a CSR: well-formed DER without trailing bytes, proof of possession (its own signature) verified,
 * key P-256, P-384, Ed25519 or RSA 2048..4096 bits (exponent 65537), signature hash SHA-2 (or Ed25519). RESULT_INVALID
 * with a reason fit for the caller (no content). ret_spki_sha256: SHA-256 of the DER SubjectPublicKeyInfo.
 */
MUST_USE enum result csr_check(struct span der, uint8_t ret_spki_sha256[static SHA256_SIZE], struct note *note);
/*
 * The same hash, for a caller who will hand the CSR to somebody who judges it. RESULT_INVALID, with csr_check()'s
 * reason, for much of what csr_check() refuses, but RESULT_OK proves no possession.
 */
MUST_USE enum result csr_read_key(struct span der, uint8_t ret_spki_sha256[static SHA256_SIZE], struct note *note);
/* A CSR for a fresh key: what vinveild makes for a vehicle that sends none. Subject is empty. */
MUST_USE enum result csr_make(const struct private_key *key, struct buf *ret_der, struct note *note);

/* ---- issuing -------------------------------------------------------------------------------------- */

enum certificate_profile {
	CERTIFICATE_DEVICE, /* CN = Reference ID, SAN URI urn:uuid:…, EKU clientAuth, KU digitalSignature, CA:FALSE */
	CERTIFICATE_CLAIM,  /* CN = name: may only provision (issue of a claim certificate) */
	CERTIFICATE_OPERATOR, /* CN = client name, EKU clientAuth */
	CERTIFICATE_SERVER,   /* CN and SAN DNS/IP, EKU serverAuth */
};

struct certificate_request {
	enum certificate_profile profile;
	struct uuid reference_id;	 /* DEVICE */
	const char *name;		 /* CLAIM, OPERATOR: CN; SERVER: CN and first name */
	const char *const *alternatives; /* SERVER: DNS names or numeric IP addresses, NULL-terminated */
	struct span csr;		 /* DER, judged here */
	int64_t not_before_ms, not_after_ms;
};

/* The names of a request for CERTIFICATE_SERVER, as issuer_issue() will judge them. */
MUST_USE enum result certificate_check_hosts(const struct certificate_request *request, struct note *note);

/*
 * An issuer: certificate and private key. Thread-safe to use. The key is taken only when RESULT_OK; a
 * certificate that is no CA's, or not this key's, is RESULT_INVALID.
 */
struct issuer;
MUST_USE enum result issuer_open(struct span certificate_pem, struct private_key *take_key, struct issuer **ret_issuer,
				 struct note *note);
void issuer_close(struct issuer *issuer);
/*
 * RESULT_INVALID with a reason: a CSR that csr_check() refuses, a name that does not fit the profile, an end
 * before the beginning or after the issuer's own. Dates are cut to whole seconds.
 */
MUST_USE enum result issuer_issue(struct issuer *issuer, struct entropy *entropy,
				  const struct certificate_request *request, struct buf *ret_der,
				  struct serial *ret_serial, struct note *note);
/* A self-signed root (CA, pathlen as given, keyCertSign and cRLSign), 20 years. */
MUST_USE enum result certificate_make_root(const struct private_key *key, const char *name, int path_length,
					   int64_t not_before_ms, struct entropy *entropy, struct buf *ret_pem,
					   struct note *note);
/* An intermediate (CA, pathlen 0) under a root. csr: DER. */
MUST_USE enum result issuer_issue_intermediate(struct issuer *root, struct entropy *entropy, const char *name,
					       struct span csr, int64_t not_before_ms, int64_t not_after_ms,
					       struct buf *ret_der, struct note *note);

/* ---- CRL ------------------------------------------------------------------------------------------ */

/* RFC 5280 section 5.3.1 */
enum revocation_reason {
	REVOCATION_UNSPECIFIED = 0,
	REVOCATION_KEY_COMPROMISE = 1,
	REVOCATION_AFFILIATION_CHANGED = 3,
	REVOCATION_SUPERSEDED = 4,
	REVOCATION_CESSATION_OF_OPERATION = 5,
	REVOCATION_PRIVILEGE_WITHDRAWN = 9,
};
const char *revocation_reason_name(enum revocation_reason reason); /* "superseded", "keyCompromise", … */
MUST_USE enum result revocation_reason_parse(struct span name, enum revocation_reason *ret_reason);

struct revoked_certificate {
	struct serial serial;
	int64_t revoked_at_ms;
	enum revocation_reason reason;
};

MUST_USE enum result issuer_sign_crl(struct issuer *issuer, const struct revoked_certificate *revoked, size_t count,
				     uint64_t crl_number, int64_t this_update_ms, int64_t next_update_ms,
				     struct buf *ret_der, struct note *note);

/* ---- reading -------------------------------------------------------------------------------------- */

struct certificate_facts {
	uint8_t fingerprint[SHA256_SIZE]; /* of the DER */
	uint8_t spki_sha256[SHA256_SIZE];
	struct serial serial; /* right-aligned when shorter; INVALID when longer */
	int64_t not_before_ms, not_after_ms;
	char common_name[65];
};
MUST_USE enum result certificate_read_der(struct span der, struct certificate_facts *ret_facts, struct note *note);
MUST_USE enum result certificate_read_pem(struct span pem, struct certificate_facts *ret_facts, struct note *note);
/*
 * Is it a claim certificate (CERTIFICATE_CLAIM) of this issuer (PEM; what follows it is ignored)? Its dates are not
 * judged. RESULT_INVALID with a reason fit for the caller.
 */
MUST_USE enum result certificate_check_claim(struct span der, struct span issuer_pem, struct note *note);
MUST_USE enum result certificate_der_to_pem(struct span der, struct buf *ret_pem);
/* The first certificate of a PEM text. */
MUST_USE enum result certificate_pem_to_der(struct span pem, struct buf *ret_der, struct note *note);

#endif
