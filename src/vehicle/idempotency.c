#include "vehicle/idempotency.h"

#include "base/text.h"

#include <pthread.h>
#include <stdio.h>

/* Claim, lose the race, read the winner's record: two would do. */
#define ATTEMPTS_MAX 4

/* ---- what runs in this process -------------------------------------------------------------------- */

/*
 * A record without an answer is of a request that runs here, or of a process that died: one process has the registry.
 * So those that run are remembered, and nobody waits for the dead. When there is no room the clock decides, as it does
 * for whatever was never taken out.
 */
#define RUNNING_MAX 1024

static struct {
	pthread_mutex_t lock;
	struct running_key {
		char client_id[CLIENT_ID_LENGTH_MAX + 1];
		uint8_t fingerprint[SHA256_SIZE];
		int64_t created_at_ms;
	} keys[RUNNING_MAX];
	size_t count;
	bool is_overfull; /* some were not remembered */
} running = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct running_key *find_running(const struct idempotency_record *record)
{
	for (size_t i = 0; i < running.count; i++) {
		struct running_key *key = &running.keys[i];
		if (key->created_at_ms == record->created_at_ms &&
		    memcmp(key->fingerprint, record->fingerprint, SHA256_SIZE) == 0 &&
		    strcmp(key->client_id, record->client_id) == 0)
			return key;
	}
	return NULL;
}

static void mark_running(const struct idempotency_record *record)
{
	pthread_mutex_lock(&running.lock);
	if (running.count < RUNNING_MAX) {
		struct running_key *key = &running.keys[running.count++];
		memcpy(key->client_id, record->client_id, sizeof(key->client_id));
		memcpy(key->fingerprint, record->fingerprint, SHA256_SIZE);
		key->created_at_ms = record->created_at_ms;
	} else {
		running.is_overfull = true;
	}
	pthread_mutex_unlock(&running.lock);
}

static void mark_ended(const struct idempotency_record *record)
{
	pthread_mutex_lock(&running.lock);
	struct running_key *key = find_running(record);
	if (key != NULL)
		*key = running.keys[--running.count];
	pthread_mutex_unlock(&running.lock);
}

static bool may_be_running(const struct idempotency_record *record)
{
	pthread_mutex_lock(&running.lock);
	bool may_be = running.is_overfull || find_running(record) != NULL;
	pthread_mutex_unlock(&running.lock);
	return may_be;
}

/* ---- records --------------------------------------------------------------------------------------- */

/*
 * These records say what was answered, not what is true of a vehicle: they go to the registry without a leaf, which
 * the request has for itself.
 */
static enum result commit(struct flow_request *request, const struct registry_write *writes, size_t count)
{
	const struct platform *platform = request->platform;
	struct change_set change = {
		.writes = writes, .count = count, .log_size = platform->audit->ops->durable_size(platform->audit)};
	enum registry_conflict conflict;

	return platform->registry->ops->commit(platform->registry, &change, &conflict, &request->note);
}

static enum problem draft(struct flow_request *request, const char *route, struct span key,
			  const struct span content[static 2], struct idempotency_record *record)
{
	struct key_service *keys = request->platform->keys;
	BUF_CLEANUP struct buf asked = {.size_max = content[0].size + content[1].size + 1};

	if (key.size == 0 || key.size > IDEMPOTENCY_KEY_LENGTH_MAX || !text_is_printable(key, false) ||
	    vin_stands_in(key)) {
		snprintf(request->detail, sizeof(request->detail),
			 "Idempotency-Key is 1 to %d printable ASCII characters without spaces, and neither a VIN nor "
			 "its hash.",
			 IDEMPOTENCY_KEY_LENGTH_MAX);
		return PROBLEM_VALUE_INVALID;
	}
	enum result result = buf_append(&asked, content[0]);
	if (result == RESULT_OK)
		result = buf_append_byte(&asked, '\n');
	if (result == RESULT_OK)
		result = buf_append(&asked, content[1]);
	if (result == RESULT_OK)
		result = keys->ops->fingerprint(keys, &request->tenant.id, buf_span(&asked), record->fingerprint,
						&request->note);
	memcpy(record->client_id, request->client->id, sizeof(record->client_id));
	snprintf(record->route, sizeof(record->route), "%s", route);
	memcpy(record->key, key.data, key.size);
	record->created_at_ms = clock_now_ms(request->platform->clock);
	return problem_of_result(result);
}

/* The key is known: what does its record say of this request? *ret_stale: take it over. */
static enum problem judge(const struct idempotency_record *known, const struct idempotency_record *asked,
			  struct idempotency *idempotency, bool *ret_stale)
{
	if (!secret_equal(known->fingerprint, asked->fingerprint, SHA256_SIZE))
		return PROBLEM_IDEMPOTENCY_MISMATCH;
	if (known->status == 0) {
		*ret_stale =
			asked->created_at_ms - known->created_at_ms >= IDEMPOTENCY_STALE_MS || !may_be_running(known);
		return *ret_stale ? PROBLEM_NONE : PROBLEM_REQUEST_IN_PROGRESS;
	}
	idempotency->decision = known->has_serial ? IDEMPOTENCY_ANSWER_ANEW : IDEMPOTENCY_ANSWER;
	idempotency->record = *known;
	return PROBLEM_NONE;
}

/* stale: the record of a process that died, which goes in the same change; NULL: none. */
static enum result claim(struct flow_request *request, const struct idempotency_record *record,
			 const struct idempotency_record *stale)
{
	struct registry_write writes[2] = {
		{.kind = REGISTRY_DELETE_IDEMPOTENCY, .idempotency = stale},
		{.kind = REGISTRY_INSERT_IDEMPOTENCY, .idempotency = record},
	};

	return stale == NULL ? commit(request, &writes[1], 1) : commit(request, writes, 2);
}

static enum problem begin_once(struct flow_request *request, const struct idempotency_record *asked,
			       struct idempotency *idempotency, bool *ret_again)
{
	struct registry *registry = request->platform->registry;
	struct idempotency_record known;
	bool stale = false;
	enum result result = registry->ops->get_idempotency(registry, asked->client_id, asked->route, asked->key,
							    request->arena, &known, &request->note);

	if (result != RESULT_OK && result != RESULT_ABSENT)
		return problem_of_result(result);
	if (result == RESULT_OK && asked->created_at_ms - known.created_at_ms < IDEMPOTENCY_KEPT_MS) {
		enum problem problem = judge(&known, asked, idempotency, &stale);
		if (problem != PROBLEM_NONE || !stale)
			return problem;
	}
	*idempotency = (struct idempotency){.decision = IDEMPOTENCY_RUN, .record = *asked};
	/* Before its record is there, so that nobody who meets that takes it over. */
	mark_running(asked);
	result = claim(request, asked, stale ? &known : NULL);
	if (result != RESULT_OK)
		mark_ended(asked);
	*ret_again = result == RESULT_CONFLICT;
	return problem_of_result(result);
}

enum problem idempotency_begin(struct flow_request *request, const char *route, struct span key,
			       const struct span content[static 2], struct idempotency *ret_idempotency)
{
	struct idempotency_record asked = {0};
	struct idempotency idempotency = {0};
	enum problem problem = draft(request, route, key, content, &asked);
	bool again = problem == PROBLEM_NONE;

	for (int i = 0; again && i < ATTEMPTS_MAX; i++) {
		again = false;
		problem = begin_once(request, &asked, &idempotency, &again);
	}
	if (problem == PROBLEM_NONE)
		*ret_idempotency = idempotency;
	return problem;
}

enum result idempotency_complete(struct flow_request *request, struct idempotency *idempotency, int status,
				 const char *body, const struct serial *serial, const struct uuid *reference_id)
{
	struct idempotency_record *record = &idempotency->record;
	struct registry_write write = {.kind = REGISTRY_UPDATE_IDEMPOTENCY, .idempotency = record};

	/* Of two replays at once one makes the credentials: it is its record that the next replay needs. */
	if (idempotency->decision == IDEMPOTENCY_ANSWER_ANEW && serial == NULL)
		return RESULT_OK;
	record->status = status;
	record->body = serial == NULL ? body : NULL;
	record->has_serial = serial != NULL;
	if (serial != NULL) {
		record->serial = *serial;
		record->reference_id = *reference_id;
	}
	enum result result = commit(request, &write, 1);
	if (idempotency->decision == IDEMPOTENCY_RUN)
		mark_ended(record);
	return result;
}

enum result idempotency_abandon(struct flow_request *request, struct idempotency *idempotency)
{
	struct registry_write write = {.kind = REGISTRY_DELETE_IDEMPOTENCY, .idempotency = &idempotency->record};

	/* An answer that was to be made anew stands as it was. */
	if (idempotency->decision != IDEMPOTENCY_RUN)
		return RESULT_OK;
	enum result result = commit(request, &write, 1);
	mark_ended(&idempotency->record);
	return result;
}
