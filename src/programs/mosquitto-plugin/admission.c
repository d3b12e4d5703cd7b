/* Who is let in, and who leaves. */
#include "programs/mosquitto-plugin/gateway.h"

#include "base/secret.h"
#include "base/text.h"

#include <stdio.h>

/* ---- vinveild itself ------------------------------------------------------------------------------------------ */

static bool is_token(const struct gateway *gateway, const char *password)
{
	uint8_t token[GATEWAY_TOKEN_SIZE];
	if (!password || hex_parse(span_of_text(password), false, token, sizeof(token)) != RESULT_OK)
		return false;
	bool is_equal = secret_equal(token, gateway->token, sizeof(token));
	secret_wipe(token, sizeof(token));
	return is_equal;
}

/* The broker gives a UNIX socket's path as the address; no network address holds a slash. */
static const char *judge_platform(const struct gateway *gateway, const struct arrival *arrival,
				  struct identity *identity)
{
	if (!strchr(arrival->address, '/'))
		return "there is no client certificate";
	if (strcmp(arrival->client_id, GATEWAY_CLIENT_NAME) != 0 || !arrival->user_name ||
	    strcmp(arrival->user_name, GATEWAY_CLIENT_NAME) != 0 || !is_token(gateway, arrival->password))
		return "it is not vinveild, or has another token";
	identity->kind = IDENTITY_PLATFORM;
	return NULL;
}

/* ---- everybody else ------------------------------------------------------------------------------------------- */

static const char *judge_list(const struct gateway *gateway, const struct identity *identity)
{
	const struct deny_list *list = &gateway->deny_list;
	bool is_vehicle = identity->kind == IDENTITY_VEHICLE;
	if (identity->kind == IDENTITY_PLATFORM)
		return NULL;
	if (!list->is_complete)
		return "vinveild has not said yet whom to refuse: is it running?";
	if (deny_list_age_ms(list, clock_monotonic_ms(gateway->clock)) > gateway->options->stale_refuse_ms)
		return "the deny list is stale: is vinveild running?";
	if (deny_list_denies(list, &identity->serial, is_vehicle ? &identity->reference_id : NULL))
		return "the certificate is revoked or not admitted yet, or the vehicle is suspended";
	return NULL;
}

static const char *judge(const struct gateway *gateway, const struct arrival *arrival, struct identity *identity)
{
	if (!arrival->client_id)
		return "there is no client ID";
	if (!arrival->certificate)
		return judge_platform(gateway, arrival, identity);
	return identity_judge(arrival->certificate, arrival->client_id, clock_now_ms(gateway->clock), identity);
}

/* The very connection that was let in as the same before. */
static bool is_here(const struct gateway *gateway, const struct arrival *arrival, const struct identity *identity)
{
	const struct session *session = sessions_find(&gateway->sessions, arrival->client);
	return session && strcmp(session->client_id, arrival->client_id) == 0 &&
	       session->identity.kind == identity->kind &&
	       memcmp(&session->identity.serial, &identity->serial, sizeof(identity->serial)) == 0;
}

static enum result record_arrival(struct gateway *gateway, const struct arrival *arrival,
				  const struct identity *identity)
{
	const struct session *live = sessions_find_name(&gateway->sessions, arrival->client_id);
	struct gateway_event event = {
		.at_ms = clock_now_ms(gateway->clock),
		.reference_id = identity->reference_id,
		.serial = identity->serial,
	};
	snprintf(event.address, sizeof(event.address), "%s", arrival->address);
	if (live && strcmp(live->address, event.address) != 0) {
		event.kind = GATEWAY_CLONE_SUSPECTED;
		memcpy(event.other_address, live->address, sizeof(event.other_address));
		TRY(spooling_event(&gateway->spooling, &event));
	}
	event.kind = GATEWAY_VEHICLE_CONNECTED;
	return spooling_event(&gateway->spooling, &event);
}

/* The broker tells after this whether there was a session to come back to. */
static void expect_resumption(struct gateway *gateway, const struct session *session)
{
	const uint8_t *key = session->identity.reference_id.bytes;
	if (session->is_clean) {
		key_set_remove(&gateway->commanded, key);
		return;
	}
	if (!key_set_has(&gateway->commanded, key) || gateway->resumption_count == RESUMPTIONS_MAX)
		return;
	gateway->resumptions[gateway->resumption_count++] =
		(struct resumption){.client = session->client, .number = session->number};
}

/* What cannot be recorded does not happen: a vehicle whose connection nobody would learn of is not connected. */
static const char *let_in(struct gateway *gateway, const struct arrival *arrival, const struct identity *identity)
{
	int64_t now_ms = clock_monotonic_ms(gateway->clock);
	const struct flood_limit *limit = &gateway->options->flood;
	bool is_vehicle = identity->kind == IDENTITY_VEHICLE;
	struct flood_bucket bucket;
	struct session *session = NULL;
	struct session *superseded = NULL;
	flood_bucket_fill(&bucket, limit, now_ms);
	if (is_vehicle)
		bucket = flood_return(&gateway->flood_left, &identity->reference_id, limit, now_ms);
	if (bucket.tokens < 1)
		return "the vehicle has sent too many messages";
	if (is_vehicle && record_arrival(gateway, arrival, identity) != RESULT_OK)
		return "the events spool is full: is vinveild running?";
	if (sessions_add(&gateway->sessions, arrival->client, identity, arrival->client_id, arrival->address, &session,
			 &superseded) != RESULT_OK)
		return "there is no memory";
	session->bucket = superseded ? superseded->bucket : bucket;
	session->is_clean = arrival->is_clean;
	if (is_vehicle)
		expect_resumption(gateway, session);
	return NULL;
}

bool gateway_admit(struct gateway *gateway, const struct arrival *arrival)
{
	struct identity identity = {0};
	/*
	 * A session without a connection has no certificate to show. It may stay, and that gives it nothing: nobody may
	 * do anything who is not among the connections here. (Refusing it would have the broker count its end twice.)
	 */
	if (gateway->is_reloading && !arrival->certificate && !strchr(arrival->address, '/'))
		return true;
	const char *refusal = judge(gateway, arrival, &identity);
	if (!refusal && is_here(gateway, arrival, &identity))
		return true;
	if (!refusal)
		refusal = judge_list(gateway, &identity);
	if (!refusal)
		refusal = let_in(gateway, arrival, &identity);
	if (!refusal)
		return true;
	gateway->counters.refused++;
	char id[UUID_TEXT_SIZE] = "";
	bool is_vehicle = identity.kind == IDENTITY_VEHICLE;
	if (is_vehicle)
		uuid_format(&identity.reference_id, id);
	gateway_log(gateway, true, "vinveil: refused a connection%s%s from %.64s: %s", is_vehicle ? " of vehicle " : "",
		    id, arrival->address, refusal);
	return false;
}

void gateway_reload(struct gateway *gateway)
{
	gateway->is_reloading = true;
}

void gateway_lose(struct gateway *gateway, const void *client)
{
	struct session *session = sessions_find(&gateway->sessions, client);
	if (!session)
		return;
	if (session->identity.kind == IDENTITY_VEHICLE && !session->is_superseded) {
		flood_leave(&gateway->flood_left, &session->identity.reference_id, &session->bucket);
		if (gateway_record(gateway, session, GATEWAY_VEHICLE_DISCONNECTED) != RESULT_OK)
			gateway_log(gateway, true, "vinveil: the end of a connection could not be recorded");
	}
	sessions_remove(&gateway->sessions, session);
}

void gateway_kick(struct gateway *gateway, struct session *session)
{
	char client_id[GATEWAY_CLIENT_ID_SIZE];
	if (session->was_kicked || session->is_superseded)
		return;
	session->was_kicked = true;
	gateway->counters.kicked++;
	/* The session may be freed before the broker has read its name. */
	snprintf(client_id, sizeof(client_id), "%s", session->client_id);
	gateway->broker->kick(gateway->broker_context, client_id);
}
