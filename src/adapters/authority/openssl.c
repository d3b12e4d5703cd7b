#include "adapters/authority/openssl.h"

#include "adapters/keys/durable_cell.h"
#include "adapters/keys/vault_files.h"
#include "adapters/keys/wire.h"
#include "vehicle/claim.h"

#include <pthread.h>
#include <stdlib.h>

#define SECOND_MS     ((int64_t)1000)
#define DAY_MS	      ((int64_t)24 * 3600 * 1000)
#define BACKDATING_MS ((int64_t)5 * 60 * 1000) /* a vehicle's clock may be behind */
#define PEM_SIZE_MAX  ((size_t)32 << 10)

struct authority {
	struct cert_authority authority;
	struct clock *clock;
	struct entropy *entropy;
	int64_t device_ms, crl_ms;
	struct issuer *issuer;
	int64_t issuer_not_after_ms;
	struct buf chain;
	pthread_mutex_t mutex; /* of what follows */
	struct durable_cell *issuance_cell, *crl_cell;
	struct issuance_budget issuances;
	uint64_t crl_number;
};

static struct authority *authority_of(struct cert_authority *authority)
{
	return (struct authority *)authority;
}

/* ---- issuing -------------------------------------------------------------------------------------- */

static enum result take_issuance(struct authority *authority, struct note *note)
{
	pthread_mutex_lock(&authority->mutex);
	enum result result = issuance_budget_take(&authority->issuances, note);
	pthread_mutex_unlock(&authority->mutex);
	return result;
}

static void return_issuance(struct authority *authority)
{
	pthread_mutex_lock(&authority->mutex);
	issuance_budget_return(&authority->issuances);
	pthread_mutex_unlock(&authority->mutex);
}

static struct certificate_request new_request(const struct authority *authority, enum certificate_profile profile,
					      struct span csr, int64_t validity_ms)
{
	int64_t now = clock_now_ms(authority->clock) / SECOND_MS * SECOND_MS; /* as a certificate's dates are */
	int64_t end = now + validity_ms;
	return (struct certificate_request){
		.profile = profile,
		.csr = csr,
		.not_before_ms = now - BACKDATING_MS,
		.not_after_ms = end < authority->issuer_not_after_ms ? end : authority->issuer_not_after_ms,
	};
}

static enum result issue(struct authority *authority, const struct certificate_request *request,
			 struct issued_certificate *certificate, struct note *note)
{
	TRY(issuer_issue(authority->issuer, authority->entropy, request, &certificate->der, &certificate->serial,
			 note));
	certificate->not_before_ms = request->not_before_ms;
	certificate->not_after_ms = request->not_after_ms;
	return csr_read_key(request->csr, certificate->spki_sha256, note);
}

/* Within the budget. */
static enum result issue_one(struct authority *authority, const struct certificate_request *request,
			     struct issued_certificate *ret_certificate, struct note *note)
{
	struct issued_certificate certificate = {.der = {.size_max = CERTIFICATE_SIZE_MAX}};
	if (request->csr.size > CSR_SIZE_MAX) {
		note_set(note, "the CSR is too large");
		return RESULT_INVALID;
	}
	TRY(take_issuance(authority, note));
	enum result result = issue(authority, request, &certificate, note);
	if (result != RESULT_OK) {
		return_issuance(authority);
		buf_release(&certificate.der);
		return result;
	}
	*ret_certificate = certificate;
	return RESULT_OK;
}

static enum result issue_device(struct cert_authority *port, const struct uuid *reference_id, struct span csr,
				struct issued_certificate *ret_certificate, struct note *note)
{
	struct authority *authority = authority_of(port);
	struct certificate_request request = new_request(authority, CERTIFICATE_DEVICE, csr, authority->device_ms);
	request.reference_id = *reference_id;
	return issue_one(authority, &request, ret_certificate, note);
}

static enum result issue_claim(struct cert_authority *port, const char *name, struct span csr, int64_t days,
			       struct issued_certificate *ret_certificate, struct note *note)
{
	struct authority *authority = authority_of(port);
	char checked[CLAIM_NAME_LENGTH_MAX + 1];
	if (days < 1 || days > CLAIM_DAYS_MAX || claim_name_parse(span_of_text(name), checked) != RESULT_OK) {
		note_set(note, "a claim has a name and 1 to %d days", CLAIM_DAYS_MAX);
		return RESULT_INVALID;
	}
	struct certificate_request request = new_request(authority, CERTIFICATE_CLAIM, csr, days * DAY_MS);
	request.name = checked;
	return issue_one(authority, &request, ret_certificate, note);
}

/* ---- CRL ------------------------------------------------------------------------------------------ */

/* Stored before it is used: a number must never stand on two CRLs (RFC 5280 section 5.2.3). */
static enum result next_crl_number(struct authority *authority, uint64_t *ret_number, struct note *note)
{
	BUF_CLEANUP struct buf content = {.size_max = CRL_CELL_SIZE};
	TRY(wire_put_u64(&content, authority->crl_number + 1));
	TRY(durable_cell_store(authority->crl_cell, buf_span(&content), note));
	*ret_number = ++authority->crl_number;
	return RESULT_OK;
}

static enum result sign_crl(struct cert_authority *port, const struct revoked_certificate *revoked, size_t count,
			    struct buf *ret_der, struct note *note)
{
	struct authority *authority = authority_of(port);
	uint64_t number = 0;
	pthread_mutex_lock(&authority->mutex);
	enum result result = next_crl_number(authority, &number, note);
	pthread_mutex_unlock(&authority->mutex);
	if (result != RESULT_OK)
		return result;
	int64_t now = clock_now_ms(authority->clock);
	return issuer_sign_crl(authority->issuer, revoked, count, number, now, now + authority->crl_ms, ret_der, note);
}

static enum result get_chain(struct cert_authority *port, struct buf *ret_pem, struct note *note)
{
	(void)note;
	return buf_append(ret_pem, buf_span(&authority_of(port)->chain));
}

static const struct cert_authority_ops authority_ops = {
	.issue_device = issue_device,
	.issue_claim = issue_claim,
	.sign_crl = sign_crl,
	.get_chain = get_chain,
};

/* ---- opening -------------------------------------------------------------------------------------- */

static enum result open_issuer(struct authority *authority, const char *directory, struct note *note)
{
	char path[PATH_SIZE];
	struct certificate_facts facts;
	struct private_key *key = NULL;
	TRY(path_join(directory, VAULT_ISSUER_PEM, path));
	TRY(file_read(path, &authority->chain, note));
	struct span issuer_pem = buf_span(&authority->chain);
	TRY(certificate_read_pem(issuer_pem, &facts, note));
	authority->issuer_not_after_ms = facts.not_after_ms;
	TRY(path_join(directory, VAULT_ISSUER_KEY, path));
	TRY(private_key_read(path, &key, note));
	enum result result = issuer_open(issuer_pem, key, &authority->issuer, note);
	if (result != RESULT_OK) {
		private_key_release(key);
		return result;
	}
	BUF_CLEANUP struct buf root = {.size_max = PEM_SIZE_MAX};
	TRY(path_join(directory, VAULT_DEVICE_ROOT, path));
	TRY(file_read(path, &root, note));
	return buf_append(&authority->chain, buf_span(&root));
}

static enum result open_issuances(struct authority *authority, const struct authority_openssl_config *config,
				  struct note *note)
{
	char path[PATH_SIZE];
	BUF_CLEANUP struct buf stored = {.size_max = ISSUANCES_CELL_SIZE};
	TRY(path_join(config->directory, VAULT_ISSUANCES, path));
	TRY(durable_cell_open(path, ISSUANCES_CELL_SIZE, &stored, &authority->issuance_cell, note));
	enum result result = issuance_budget_open(authority->issuance_cell, authority->clock,
						  config->issuances_per_hour, buf_span(&stored), &authority->issuances);
	if (result != RESULT_OK)
		note_set(note, "%s holds something else than a budget", path);
	return result;
}

static enum result open_crl(struct authority *authority, const char *directory, struct note *note)
{
	char path[PATH_SIZE];
	BUF_CLEANUP struct buf stored = {.size_max = CRL_CELL_SIZE};
	TRY(path_join(directory, VAULT_CRL, path));
	TRY(durable_cell_open(path, CRL_CELL_SIZE, &stored, &authority->crl_cell, note));
	struct wire_reader reader = {.rest = buf_span(&stored)};
	authority->crl_number = wire_get_u64(&reader);
	if (wire_end(&reader) == RESULT_OK)
		return RESULT_OK;
	note_set(note, "%s holds something else than a CRL number", path);
	return RESULT_CORRUPT;
}

static enum result open_all(struct authority *authority, const struct authority_openssl_config *config,
			    struct note *note)
{
	TRY(open_issuer(authority, config->directory, note));
	TRY(open_issuances(authority, config, note));
	return open_crl(authority, config->directory, note);
}

enum result authority_openssl_open(const struct authority_openssl_config *config, struct cert_authority **ret_authority,
				   struct note *note)
{
	struct authority *authority = calloc(1, sizeof(*authority));
	if (!authority)
		return RESULT_MEMORY;
	authority->authority.ops = &authority_ops;
	authority->clock = config->clock ? config->clock : clock_system();
	authority->entropy = config->entropy ? config->entropy : entropy_system();
	authority->device_ms = (config->device_days > 0 ? config->device_days : AUTHORITY_DEVICE_DAYS_DEFAULT) * DAY_MS;
	authority->crl_ms = (config->crl_days > 0 ? config->crl_days : AUTHORITY_CRL_DAYS_DEFAULT) * DAY_MS;
	authority->chain.size_max = 2 * PEM_SIZE_MAX;
	pthread_mutex_init(&authority->mutex, NULL);
	enum result result = open_all(authority, config, note);
	if (result != RESULT_OK) {
		authority_openssl_close(&authority->authority);
		return result;
	}
	*ret_authority = &authority->authority;
	return RESULT_OK;
}

void authority_openssl_close(struct cert_authority *port)
{
	if (!port)
		return;
	struct authority *authority = authority_of(port);
	if (authority->issuer)
		issuer_close(authority->issuer);
	durable_cell_close(authority->issuance_cell);
	durable_cell_close(authority->crl_cell);
	buf_release(&authority->chain);
	pthread_mutex_destroy(&authority->mutex);
	free(authority);
}
