#include "programs/mosquitto-plugin/sessions.h"

#include "programs/mosquitto-plugin/key_set.h"

#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_MIN 256

static size_t client_slot(const struct sessions *sessions, const void *client)
{
	return key_hash(&client, sizeof(const void *)) & (sessions->capacity - 1);
}

static size_t name_slot(const struct sessions *sessions, const char *client_id)
{
	return key_hash(client_id, strlen(client_id)) & (sessions->capacity - 1);
}

static void link_client(struct sessions *sessions, struct session *session)
{
	struct session **slot = &sessions->by_client[client_slot(sessions, session->client)];
	session->next_by_client = *slot;
	*slot = session;
}

static void link_name(struct sessions *sessions, struct session *session)
{
	struct session **slot = &sessions->by_name[name_slot(sessions, session->client_id)];
	session->next_by_name = *slot;
	*slot = session;
}

static void unlink_client(struct sessions *sessions, struct session *session)
{
	struct session **place = &sessions->by_client[client_slot(sessions, session->client)];
	while (*place != session)
		place = &(*place)->next_by_client;
	*place = session->next_by_client;
}

static void unlink_name(struct sessions *sessions, struct session *session)
{
	struct session **place = &sessions->by_name[name_slot(sessions, session->client_id)];
	while (*place != session)
		place = &(*place)->next_by_name;
	*place = session->next_by_name;
}

static enum result grow(struct sessions *sessions)
{
	size_t capacity = sessions->capacity == 0 ? CAPACITY_MIN : sessions->capacity * 2;
	struct session **by_client = calloc(capacity, sizeof(struct session *));
	struct session **by_name = calloc(capacity, sizeof(struct session *));
	if (!by_client || !by_name) {
		free(by_client);
		free(by_name);
		return RESULT_MEMORY;
	}
	free(sessions->by_client);
	free(sessions->by_name);
	sessions->by_client = by_client;
	sessions->by_name = by_name;
	sessions->capacity = capacity;
	for (struct session *session = sessions->first; session; session = session->next) {
		link_client(sessions, session);
		if (!session->is_superseded)
			link_name(sessions, session);
	}
	return RESULT_OK;
}

static bool is_vehicle(const struct session *session)
{
	return session->identity.kind == IDENTITY_VEHICLE;
}

static void supersede(struct sessions *sessions, struct session *session)
{
	unlink_name(sessions, session);
	session->is_superseded = true;
	if (is_vehicle(session))
		sessions->vehicles--;
}

static void link_first(struct sessions *sessions, struct session *session)
{
	session->next = sessions->first;
	if (session->next)
		session->next->previous = session;
	sessions->first = session;
}

enum result sessions_add(struct sessions *sessions, const void *client, const struct identity *identity,
			 const char *client_id, const char *address, struct session **ret_session,
			 struct session **ret_superseded)
{
	size_t length = strlen(client_id);
	if (sessions->count >= sessions->capacity)
		TRY(grow(sessions));
	struct session *session = calloc(1, sizeof(*session) + length + 1);
	if (!session)
		return RESULT_MEMORY;
	session->client = client;
	session->number = ++sessions->last_number;
	session->identity = *identity;
	memcpy(session->client_id, client_id, length + 1);
	snprintf(session->address, sizeof(session->address), "%s", address);
	struct session *stale = sessions_find(sessions, client);
	if (stale)
		sessions_remove(sessions, stale); /* the broker has used its memory again without a word */
	*ret_superseded = sessions_find_name(sessions, client_id);
	if (*ret_superseded)
		supersede(sessions, *ret_superseded);
	link_client(sessions, session);
	link_name(sessions, session);
	link_first(sessions, session);
	sessions->count++;
	if (is_vehicle(session))
		sessions->vehicles++;
	*ret_session = session;
	return RESULT_OK;
}

struct session *sessions_find(const struct sessions *sessions, const void *client)
{
	if (sessions->capacity == 0)
		return NULL;
	struct session *session = sessions->by_client[client_slot(sessions, client)];
	while (session && session->client != client)
		session = session->next_by_client;
	return session;
}

struct session *sessions_find_name(const struct sessions *sessions, const char *client_id)
{
	if (sessions->capacity == 0)
		return NULL;
	struct session *session = sessions->by_name[name_slot(sessions, client_id)];
	while (session && strcmp(session->client_id, client_id) != 0)
		session = session->next_by_name;
	return session;
}

struct session *sessions_find_vehicle(const struct sessions *sessions, const struct uuid *reference_id)
{
	char client_id[UUID_TEXT_SIZE];
	uuid_format(reference_id, client_id);
	return sessions_find_name(sessions, client_id);
}

void sessions_remove(struct sessions *sessions, struct session *session)
{
	unlink_client(sessions, session);
	if (!session->is_superseded) {
		unlink_name(sessions, session);
		if (is_vehicle(session))
			sessions->vehicles--;
	}
	if (sessions->first == session)
		sessions->first = session->next;
	else
		session->previous->next = session->next;
	if (session->next)
		session->next->previous = session->previous;
	sessions->count--;
	free(session);
}

void sessions_release(struct sessions *sessions)
{
	while (sessions->first)
		sessions_remove(sessions, sessions->first);
	free(sessions->by_client);
	free(sessions->by_name);
	*sessions = (struct sessions){.last_number = sessions->last_number};
}
