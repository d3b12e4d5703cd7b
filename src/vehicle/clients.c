#include "vehicle/clients.h"

#include <stdio.h>

#define ATTEMPTS_MAX  16
#define LIST_SIZE_MAX ((size_t)128 << 20) /* some hundred thousand clients */

/* ---- reading -------------------------------------------------------------------------------------- */

static bool may_administer(const struct client *caller, const struct tenant_id *tenant)
{
	return client_has_scope(caller, SCOPE_PLATFORM) || tenant_id_equal(&caller->tenant, tenant);
}

/* Those that the caller may administer. */
static enum problem list_own(struct flow_request *request, struct arena *arena, struct client **ret_clients,
			     size_t *ret_count)
{
	struct registry *registry = request->platform->registry;
	struct client *clients;
	size_t count, kept = 0;
	enum result result = registry->ops->list_clients(registry, arena, &clients, &count, &request->note);

	if (result != RESULT_OK)
		return problem_of_result(result);
	for (size_t i = 0; i < count; i++)
		if (may_administer(request->client, &clients[i].tenant))
			clients[kept++] = clients[i];
	*ret_clients = clients;
	*ret_count = kept;
	return PROBLEM_NONE;
}

enum problem clients_list(struct flow_request *request, struct client **ret_clients, size_t *ret_count)
{
	request->arena->size_max = LIST_SIZE_MAX;
	return list_own(request, request->arena, ret_clients, ret_count);
}

enum problem clients_get(struct flow_request *request, const char *client_id, struct client *ret_client)
{
	ARENA_CLEANUP struct arena arena = {.size_max = LIST_SIZE_MAX};
	struct client *clients = NULL;
	size_t count = 0;
	enum problem problem = list_own(request, &arena, &clients, &count);

	if (problem != PROBLEM_NONE)
		return problem;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(clients[i].id, client_id) != 0)
			continue;
		*ret_client = clients[i];
		return PROBLEM_NONE;
	}
	return PROBLEM_NOT_FOUND;
}

/* ---- changing ------------------------------------------------------------------------------------- */

static bool holds_all_scopes(const struct client *caller, const struct client *client)
{
	return (client->scopes & ~caller->scopes) == 0;
}

/* The trail tells which client it was about. */
static enum result commit(struct flow_request *request, enum registry_write_kind kind, const struct client *client,
			  enum registry_conflict *ret_conflict)
{
	struct registry_write write = {.kind = kind, .client = client};

	*ret_conflict = REGISTRY_CONFLICT_NONE;
	request->event->subject = arena_copy_text(request->arena, span_of_text(client->id));
	return audit_commit(request->platform, request->event, request->arena, &write, 1, ret_conflict, &request->note);
}

static enum problem problem_of_commit(enum result result, enum registry_conflict conflict)
{
	if (result == RESULT_CONFLICT && conflict == REGISTRY_CONFLICT_CLIENT)
		return PROBLEM_ALREADY_EXISTS;
	return problem_of_result(result);
}

/* How a client is to be different. PROBLEM_NONE with *ret_changed false: it is so already. */
struct client_edit {
	enum problem (*apply)(struct client *client, const uint8_t *fingerprint, bool *ret_changed);
	const uint8_t *fingerprint;
};

static enum problem edit_once(struct flow_request *request, const char *client_id, const struct client_edit *edit,
			      struct client *ret_client, bool *ret_again)
{
	enum registry_conflict conflict;
	struct client client;
	bool changed = false;
	enum problem problem = clients_get(request, client_id, &client);

	if (problem == PROBLEM_NONE && !holds_all_scopes(request->client, &client))
		problem = PROBLEM_SCOPE_MISSING;
	if (problem == PROBLEM_NONE)
		problem = edit->apply(&client, edit->fingerprint, &changed);
	if (problem == PROBLEM_NONE && changed) {
		client.version++;
		enum result result = commit(request, REGISTRY_UPDATE_CLIENT, &client, &conflict);
		*ret_again = result == RESULT_CONFLICT && conflict == REGISTRY_CONFLICT_VERSION;
		problem = problem_of_commit(result, conflict);
	}
	if (problem == PROBLEM_NONE)
		*ret_client = client;
	return problem;
}

static enum problem edit_client(struct flow_request *request, const char *client_id, const struct client_edit *edit,
				struct client *ret_client)
{
	enum problem problem = PROBLEM_UNAVAILABLE;
	bool again = true;

	for (int i = 0; again && i < ATTEMPTS_MAX; i++) {
		again = false;
		problem = edit_once(request, client_id, edit, ret_client, &again);
	}
	return problem;
}

/* ---- the edits ------------------------------------------------------------------------------------ */

static enum problem set_state(struct client *client, enum client_state state, bool *ret_changed)
{
	*ret_changed = client->state != state;
	client->state = state;
	return PROBLEM_NONE;
}

static enum problem suspend(struct client *client, const uint8_t *fingerprint, bool *ret_changed)
{
	(void)fingerprint;
	return set_state(client, CLIENT_SUSPENDED, ret_changed);
}

static enum problem resume(struct client *client, const uint8_t *fingerprint, bool *ret_changed)
{
	(void)fingerprint;
	return set_state(client, CLIENT_ACTIVE, ret_changed);
}

/* The place of a fingerprint, or fingerprint_count. */
static size_t find_fingerprint(const struct client *client, const uint8_t *fingerprint)
{
	size_t i = 0;

	while (i < client->fingerprint_count && memcmp(client->fingerprints[i], fingerprint, SHA256_SIZE) != 0)
		i++;
	return i;
}

static enum problem add_fingerprint(struct client *client, const uint8_t *fingerprint, bool *ret_changed)
{
	if (find_fingerprint(client, fingerprint) < client->fingerprint_count)
		return PROBLEM_NONE;
	if (client->fingerprint_count == FINGERPRINTS_MAX)
		return PROBLEM_CERTIFICATE_LIMIT;
	memcpy(client->fingerprints[client->fingerprint_count++], fingerprint, SHA256_SIZE);
	*ret_changed = true;
	return PROBLEM_NONE;
}

static enum problem remove_fingerprint(struct client *client, const uint8_t *fingerprint, bool *ret_changed)
{
	size_t place = find_fingerprint(client, fingerprint);

	if (place == client->fingerprint_count)
		return PROBLEM_NOT_FOUND;
	size_t last = --client->fingerprint_count;
	memmove(client->fingerprints[place], client->fingerprints[last], SHA256_SIZE);
	memset(client->fingerprints[last], 0, SHA256_SIZE);
	*ret_changed = true;
	return PROBLEM_NONE;
}

/* ---- what administrators ask for ---------------------------------------------------------------------- */

static enum problem check_creation(struct flow_request *request, const struct client *client)
{
	struct registry *registry = request->platform->registry;
	struct tenant tenant;

	if (!may_administer(request->client, &client->tenant))
		return PROBLEM_NOT_FOUND;
	if (!holds_all_scopes(request->client, client)) {
		snprintf(request->detail, sizeof(request->detail), "Only scopes that you hold can be granted.");
		return PROBLEM_SCOPE_MISSING;
	}
	if (vin_stands_in(span_of_text(client->id)))
		return PROBLEM_VIN_NOT_ALLOWED;
	for (size_t i = 0; i < client->purpose_count; i++)
		if (vin_stands_in(span_of_text(client->purposes[i])))
			return PROBLEM_VIN_NOT_ALLOWED;
	return problem_of_result(registry->ops->get_tenant(registry, &client->tenant, &tenant, &request->note));
}

enum problem clients_create(struct flow_request *request, const struct client *client, struct client *ret_client)
{
	enum registry_conflict conflict;
	struct client created = *client;
	enum problem problem = check_creation(request, client);

	if (problem != PROBLEM_NONE)
		return problem;
	created.state = CLIENT_ACTIVE;
	created.version = 1;
	created.created_at_ms = clock_now_ms(request->platform->clock);
	enum result result = commit(request, REGISTRY_INSERT_CLIENT, &created, &conflict);
	if (result == RESULT_OK)
		*ret_client = created;
	return problem_of_commit(result, conflict);
}

enum problem clients_suspend(struct flow_request *request, const char *client_id, struct client *ret_client)
{
	struct client_edit edit = {.apply = suspend};

	if (strcmp(request->client->id, client_id) == 0) {
		snprintf(request->detail, sizeof(request->detail), "Nobody can suspend himself.");
		return PROBLEM_SAME_PERSON;
	}
	return edit_client(request, client_id, &edit, ret_client);
}

enum problem clients_resume(struct flow_request *request, const char *client_id, struct client *ret_client)
{
	struct client_edit edit = {.apply = resume};

	return edit_client(request, client_id, &edit, ret_client);
}

enum problem clients_add_fingerprint(struct flow_request *request, const char *client_id,
				     const uint8_t fingerprint[static SHA256_SIZE], struct client *ret_client)
{
	struct client_edit edit = {.apply = add_fingerprint, .fingerprint = fingerprint};

	return edit_client(request, client_id, &edit, ret_client);
}

enum problem clients_remove_fingerprint(struct flow_request *request, const char *client_id,
					const uint8_t fingerprint[static SHA256_SIZE], struct client *ret_client)
{
	struct client_edit edit = {.apply = remove_fingerprint, .fingerprint = fingerprint};

	return edit_client(request, client_id, &edit, ret_client);
}
