#include "adapters/keys/vault_files.h"

#include "adapters/keys/durable_cell.h"

enum result vault_create_file(const char *directory, const char *name, struct span content, struct note *note)
{
	char path[PATH_SIZE];
	TRY(path_join(directory, name, path));
	return file_create(path, content, 0600, note);
}

static enum result create_cell(const char *directory, const char *name, size_t size_max, struct span content,
			       struct note *note)
{
	char path[PATH_SIZE];
	TRY(path_join(directory, name, path));
	return durable_cell_create(path, size_max, content, note);
}

enum result vault_create_state(const char *directory, const struct vault_state *state, struct note *note)
{
	static const uint8_t zeros[ISSUANCES_CELL_SIZE];
	char path[PATH_SIZE];
	TRY(path_join(directory, VAULT_STATE, path));
	TRY(directory_make(path, 0700, note));
	TRY(create_cell(directory, VAULT_TENANTS, TENANTS_CELL_SIZE, state->tenants, note));
	TRY(create_cell(directory, VAULT_REVEALS, REVEALS_CELL_SIZE, span_of(zeros, 2), note));
	TRY(create_cell(directory, VAULT_ISSUANCES, ISSUANCES_CELL_SIZE, span_of(zeros, ISSUANCES_CELL_SIZE), note));
	TRY(create_cell(directory, VAULT_CHECKPOINT, CHECKPOINT_CELL_SIZE, state->checkpoint, note));
	return create_cell(directory, VAULT_CRL, CRL_CELL_SIZE, state->crl, note);
}

enum result vault_create_empty_state(const char *directory, struct note *note)
{
	static const uint8_t zeros[CHECKPOINT_CELL_SIZE];
	struct vault_state empty = {
		.tenants = span_of(zeros, 2),
		.checkpoint = span_of(zeros, CHECKPOINT_CELL_SIZE),
		.crl = span_of(zeros, CRL_CELL_SIZE),
	};
	return vault_create_state(directory, &empty, note);
}

enum result vault_check_none(const char *directory, struct note *note)
{
	static const char *const names[] = {VAULT_ROOT_KEY,   VAULT_AUDIT_KEY,	 VAULT_ISSUER_KEY,
					    VAULT_ISSUER_PEM, VAULT_DEVICE_ROOT, VAULT_STATE};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[PATH_SIZE];
		TRY(path_join(directory, names[i], path));
		if (path_exists(path)) {
			note_set(note, "%s is there already: keys are never overwritten", path);
			return RESULT_CONFLICT;
		}
	}
	return RESULT_OK;
}
