#include "programs/vinveil/client_certificate.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)
/* A client whose clock is a little behind must not find its own certificate "not yet valid". */
#define BACKDATE_MS ((int64_t)60 * 60 * 1000)

static void release_key(struct private_key **key)
{
	private_key_release(*key);
}
#define KEY_CLEANUP __attribute__((cleanup(release_key)))

static enum result issue(struct issuer *operator_root, const struct private_key *key, const char *client_id,
			 int64_t days, struct buf *ret_der, struct note *note)
{
	BUF_CLEANUP struct buf csr = {0};
	struct serial serial;
	int64_t now_ms = clock_now_ms(clock_system());
	TRY(csr_make(key, &csr, note));
	struct certificate_request request = {.profile = CERTIFICATE_OPERATOR,
					      .name = client_id,
					      .csr = buf_span(&csr),
					      .not_before_ms = now_ms - BACKDATE_MS,
					      .not_after_ms = now_ms + days * DAY_MS};
	return issuer_issue(operator_root, entropy_system(), &request, ret_der, &serial, note);
}

static enum result name_files(const char *directory, const char *client_id, char ret_key[static PATH_SIZE],
			      char ret_certificate[static PATH_SIZE])
{
	if (snprintf(ret_key, PATH_SIZE, "%s/%s.key", directory, client_id) >= PATH_SIZE ||
	    snprintf(ret_certificate, PATH_SIZE, "%s/%s.pem", directory, client_id) >= PATH_SIZE)
		return RESULT_EXHAUSTED;
	return RESULT_OK;
}

enum result client_certificate_make(struct issuer *operator_root, const char *directory, const char *client_id,
				    int64_t days, struct certificate_facts *ret_facts, struct note *note)
{
	KEY_CLEANUP struct private_key *key = NULL;
	BUF_CLEANUP struct buf key_pem = {0};
	BUF_CLEANUP struct buf der = {0};
	BUF_CLEANUP struct buf pem = {0};
	char key_path[PATH_SIZE], certificate_path[PATH_SIZE];
	TRY(name_files(directory, client_id, key_path, certificate_path));
	if (path_exists(key_path) || path_exists(certificate_path)) {
		note_set(note, "%.200s exists already; remove it or choose another directory", key_path);
		return RESULT_CONFLICT;
	}
	TRY(private_key_generate(PRIVATE_KEY_P256, &key, note));
	TRY(private_key_to_pem(key, NULL, &key_pem));
	TRY(issue(operator_root, key, client_id, days, &der, note));
	TRY(certificate_der_to_pem(buf_span(&der), &pem));
	TRY(certificate_read_der(buf_span(&der), ret_facts, note));
	TRY(file_create(key_path, buf_span(&key_pem), 0600, note));
	enum result result = file_create(certificate_path, buf_span(&pem), 0644, note);
	if (result != RESULT_OK)
		unlink(key_path); /* a key without its certificate would only block the next try */
	return result;
}

enum result operator_root_open(const char *certificate_path, const char *key_path, struct issuer **ret_issuer,
			       struct note *note)
{
	BUF_CLEANUP struct buf pem = {0};
	struct private_key *key = NULL;
	TRY(file_read(certificate_path, &pem, note));
	TRY(private_key_read(key_path, &key, note));
	return issuer_open(buf_span(&pem), key, ret_issuer, note);
}
