/*
 * The limit that provisioning is held against: what OpenSSL's ordinary API needs for one P-256 CSR (decode, verify,
 * sign a certificate) on one core, and what one group of 64 costs to make durable (4 KiB write and fdatasync).
 *
 *   issue_limit FILE      FILE: a scratch file on the disk in question. Prints JSON.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 2000
#define SYNCS  200
#define GROUP  64

static double now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "issue_limit: %s\n", what);
	exit(1);
}

static unsigned char *make_csr(int *ret_size)
{
	unsigned char *der = NULL;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_REQ *request = X509_REQ_new();
	check(key != NULL && request != NULL && X509_REQ_set_pubkey(request, key) == 1 &&
		      X509_REQ_sign(request, key, EVP_sha256()) > 0,
	      "making a CSR");
	*ret_size = i2d_X509_REQ(request, &der);
	X509_REQ_free(request);
	EVP_PKEY_free(key);
	return der;
}

static void issue(const unsigned char *der, int size, EVP_PKEY *issuer)
{
	X509_REQ *request = d2i_X509_REQ(NULL, &der, size);
	EVP_PKEY *key = X509_REQ_get0_pubkey(request);
	check(X509_REQ_verify(request, key) == 1, "verifying");
	X509 *certificate = X509_new();
	X509_set_version(certificate, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
				   (const unsigned char *)"00000000-0000-4000-8000-000000000000", -1, -1, 0);
	X509_set_pubkey(certificate, key);
	check(X509_sign(certificate, issuer, EVP_sha256()) > 0, "signing");
	unsigned char *out = NULL;
	check(i2d_X509(certificate, &out) > 0, "encoding");
	OPENSSL_free(out);
	X509_free(certificate);
	X509_REQ_free(request);
}

static double measure_sync(const char *path)
{
	static char page[4096];
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(file >= 0, path);
	check(posix_fallocate(file, 0, (off_t)SYNCS * (off_t)sizeof page) == 0, "preallocating");
	fsync(file);
	double from = now_us();
	for (int i = 0; i < SYNCS; i++) {
		memset(page, i, sizeof page);
		check(pwrite(file, page, sizeof page, (off_t)i * (off_t)sizeof page) == (ssize_t)sizeof page,
		      "writing");
		check(fdatasync(file) == 0, "fdatasync");
	}
	double each = (now_us() - from) / SYNCS;
	close(file);
	unlink(path);
	return each;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("usage: issue_limit FILE\n", stderr);
		return 2;
	}
	int size;
	unsigned char *csr = make_csr(&size);
	EVP_PKEY *issuer = EVP_EC_gen("P-256");
	double from = now_us();
	for (int i = 0; i < ROUNDS; i++)
		issue(csr, size, issuer);
	double crypto_us = (now_us() - from) / ROUNDS, sync_us = measure_sync(argv[1]);
	printf("{\"cryptoUs\":%.1f,\"syncUs\":%.1f,\"perSecond\":%.0f}\n", crypto_us, sync_us,
	       1e6 / (crypto_us + sync_us / GROUP));
	EVP_PKEY_free(issuer);
	OPENSSL_free(csr);
	return 0;
}
