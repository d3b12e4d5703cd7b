#include "api/refusals.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct refusal {
	const char *action; /* NULL: free */
	enum problem problem;
	char actor[CLIENT_ID_LENGTH_MAX + 1];
	struct tenant_id tenant;
	char source_address[INET6_ADDRSTRLEN];
	struct uuid request_id; /* the first one's */
	uint64_t count;
};

struct refusals {
	const struct platform *platform;
	pthread_mutex_t lock;
	struct refusal rows[REFUSALS_SIZE + 1]; /* the last one for what finds no place */
	size_t count;				/* of rows in use, the last one apart */
	struct refusal flushing[REFUSALS_SIZE + 1];
};

enum result refusals_open(const struct platform *platform, struct refusals **ret_refusals)
{
	struct refusals *refusals = calloc(1, sizeof *refusals);
	if (refusals == NULL)
		return RESULT_MEMORY;
	refusals->platform = platform;
	pthread_mutex_init(&refusals->lock, NULL);
	*ret_refusals = refusals;
	return RESULT_OK;
}

void refusals_close(struct refusals *refusals)
{
	if (refusals == NULL)
		return;
	pthread_mutex_destroy(&refusals->lock);
	free(refusals);
}

static bool row_is_of(const struct refusal *row, const char *action, enum problem problem, const char *actor,
		      const char *source_address)
{
	/* An authenticated client is one whatever address it uses. */
	return row->problem == problem && strcmp(row->action, action) == 0 && strcmp(row->actor, actor) == 0 &&
	       (actor[0] != '\0' || strcmp(row->source_address, source_address) == 0);
}

/* The row to count in; a fresh one has no action yet. */
static struct refusal *find_row(struct refusals *refusals, const char *action, enum problem problem, const char *actor,
				const char *source_address)
{
	for (size_t i = 0; i < refusals->count; i++)
		if (row_is_of(&refusals->rows[i], action, problem, actor, source_address))
			return &refusals->rows[i];
	if (refusals->count < REFUSALS_SIZE)
		return &refusals->rows[refusals->count++];
	return &refusals->rows[REFUSALS_SIZE];
}

void refusals_add(struct refusals *refusals, const char *action, enum problem problem, const struct client *client,
		  const char *source_address, const struct uuid *request_id)
{
	const char *actor = client != NULL ? client->id : "";

	pthread_mutex_lock(&refusals->lock);
	struct refusal *row = find_row(refusals, action, problem, actor, source_address);
	if (row->action == NULL) {
		bool is_overflow = row == &refusals->rows[REFUSALS_SIZE];
		row->action = is_overflow ? "request.refused" : action;
		row->problem = problem;
		row->request_id = *request_id;
		snprintf(row->actor, sizeof row->actor, "%s", is_overflow ? "" : actor);
		snprintf(row->source_address, sizeof row->source_address, "%s", is_overflow ? "" : source_address);
		if (client != NULL && !is_overflow)
			row->tenant = client->tenant;
	}
	row->count++;
	pthread_mutex_unlock(&refusals->lock);
}

static size_t take_rows(struct refusals *refusals)
{
	pthread_mutex_lock(&refusals->lock);
	size_t count = refusals->count;
	memcpy(refusals->flushing, refusals->rows, count * sizeof refusals->rows[0]);
	if (refusals->rows[REFUSALS_SIZE].action != NULL)
		refusals->flushing[count++] = refusals->rows[REFUSALS_SIZE];
	memset(refusals->rows, 0, sizeof refusals->rows);
	refusals->count = 0;
	pthread_mutex_unlock(&refusals->lock);
	return count;
}

static void ignore_done(void *context, enum result result, uint64_t first_index)
{
	(void)context;
	(void)result;
	(void)first_index;
}

static enum result append_row(struct refusals *refusals, const struct refusal *row)
{
	struct arena arena ARENA_CLEANUP = {0};
	struct audit_log *log = refusals->platform->audit;
	struct audit_leaf leaf;
	struct audit_event event = {
		.action = row->action,
		.outcome = audit_outcome_of(row->problem),
		.problem = problem_name(row->problem),
		.actor = row->actor[0] != '\0' ? row->actor : NULL,
		.tenant = row->tenant,
		.request_id = row->request_id,
		.source_address = row->source_address[0] != '\0' ? row->source_address : NULL,
		.count = row->count,
	};
	TRY(audit_format(refusals->platform, &event, &arena, &leaf));
	return log->ops->append(log, &leaf, 1, ignore_done, NULL);
}

/* A row that the log did not take goes back, its count added to what came meanwhile. */
static void put_back(struct refusals *refusals, const struct refusal *row)
{
	pthread_mutex_lock(&refusals->lock);
	struct refusal *place = find_row(refusals, row->action, row->problem, row->actor, row->source_address);
	uint64_t counted = place->count;
	if (place->action == NULL)
		*place = *row;
	else
		place->count = counted + row->count;
	pthread_mutex_unlock(&refusals->lock);
}

void refusals_flush(struct refusals *refusals)
{
	size_t count = take_rows(refusals);
	for (size_t i = 0; i < count; i++)
		if (append_row(refusals, &refusals->flushing[i]) != RESULT_OK)
			put_back(refusals, &refusals->flushing[i]);
}
