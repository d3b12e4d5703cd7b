#include "adapters/keys/keyd_client.h"

#include "adapters/keys/keyd_socket.h"
#include "adapters/keys/protocol.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IDLE_MAX      32
#define AWAY_NOTE     "the key daemon is away"
#define NONSENSE_NOTE "the key daemon's answer is not of the protocol"

struct keyd_client {
	struct key_service keys;
	struct cert_authority authority;
	struct sockaddr_un address;
	int timeout_ms, fail_fast_ms;
	struct clock *clock;
	pthread_mutex_t mutex; /* of what follows */
	int idle[IDLE_MAX];
	size_t idle_count;
	int64_t away_until_ms; /* monotonic */
	uint64_t opened;       /* connections so far */
	struct buf chain;      /* the daemon's, which it keeps until it ends; empty: not asked yet */
};

/* ---- connections ---------------------------------------------------------------------------------- */

static bool is_failing_fast(struct keyd_client *client)
{
	pthread_mutex_lock(&client->mutex);
	bool failing = clock_monotonic_ms(client->clock) < client->away_until_ms;
	pthread_mutex_unlock(&client->mutex);
	return failing;
}

/* What was idle belonged to the daemon that has gone. */
static void close_idle(struct keyd_client *client)
{
	pthread_mutex_lock(&client->mutex);
	while (client->idle_count > 0)
		close(client->idle[--client->idle_count]);
	pthread_mutex_unlock(&client->mutex);
}

static void mark_away(struct keyd_client *client)
{
	close_idle(client);
	if (client->fail_fast_ms < 0)
		return;
	pthread_mutex_lock(&client->mutex);
	client->away_until_ms = clock_monotonic_ms(client->clock) + client->fail_fast_ms;
	pthread_mutex_unlock(&client->mutex);
}

static int take_idle(struct keyd_client *client)
{
	pthread_mutex_lock(&client->mutex);
	int descriptor = client->idle_count > 0 ? client->idle[--client->idle_count] : -1;
	pthread_mutex_unlock(&client->mutex);
	return descriptor;
}

static void give_back(struct keyd_client *client, int descriptor)
{
	pthread_mutex_lock(&client->mutex);
	bool kept = client->idle_count < IDLE_MAX;
	if (kept)
		client->idle[client->idle_count++] = descriptor;
	pthread_mutex_unlock(&client->mutex);
	if (!kept)
		close(descriptor);
}

static enum result say_hello(int descriptor, struct note *note)
{
	BUF_CLEANUP struct buf request = {0};
	BUF_CLEANUP struct buf answer = {0};
	enum result result = RESULT_OK;
	struct span body;
	uint16_t version = 0;
	TRY(keyd_put_hello(&request, KEYD_PROTOCOL_VERSION));
	if (keyd_send(descriptor, buf_span(&request)) != RESULT_OK ||
	    keyd_receive(descriptor, true, &answer) != RESULT_OK) {
		note_set(note,
			 "the key daemon does not answer: is this user allowed in keyd.conf, and is it not busy?");
		return RESULT_UNAVAILABLE;
	}
	if (keyd_get_answer(buf_span(&answer), KEYD_HELLO, &result, &body, note) != RESULT_OK) {
		note_set(note, NONSENSE_NOTE);
		return RESULT_UNAVAILABLE;
	}
	if (result != RESULT_OK)
		return RESULT_UNAVAILABLE;
	if (keyd_get_hello_answer(body, &version) == RESULT_OK && version == KEYD_PROTOCOL_VERSION)
		return RESULT_OK;
	note_set(note, "the key daemon speaks protocol version %u, this program version %d", version,
		 KEYD_PROTOCOL_VERSION);
	return RESULT_UNAVAILABLE;
}

/* The daemon behind a new connection may be another than before. */
static void forget_chain(struct keyd_client *client)
{
	pthread_mutex_lock(&client->mutex);
	client->opened++;
	buf_release(&client->chain);
	pthread_mutex_unlock(&client->mutex);
}

static enum result open_connection(struct keyd_client *client, int *ret_descriptor, struct note *note)
{
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0) {
		note_set(note, "no socket for the key daemon: %s", strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	enum result result = keyd_set_timeout(descriptor, client->timeout_ms);
	if (result == RESULT_OK &&
	    connect(descriptor, (const struct sockaddr *)&client->address, sizeof(client->address)) != 0) {
		note_set(note, "cannot reach the key daemon at %s: %s", client->address.sun_path, strerror(errno));
		result = RESULT_UNAVAILABLE;
	}
	if (result == RESULT_OK)
		result = say_hello(descriptor, note);
	if (result != RESULT_OK) {
		close(descriptor);
		return result;
	}
	forget_chain(client);
	*ret_descriptor = descriptor;
	return RESULT_OK;
}

/* ---- one exchange --------------------------------------------------------------------------------- */

struct exchange {
	enum keyd_call call;
	struct buf request, answer;
	struct span body; /* of the answer */
};

static void exchange_release(struct exchange *exchange)
{
	buf_release(&exchange->request);
	buf_release(&exchange->answer);
}
#define EXCHANGE_CLEANUP __attribute__((cleanup(exchange_release)))

enum attempt { ATTEMPT_DONE, ATTEMPT_NOT_RECEIVED, ATTEMPT_UNKNOWN };

static enum attempt attempt(int descriptor, struct exchange *exchange)
{
	buf_clear(&exchange->answer);
	if (keyd_send(descriptor, buf_span(&exchange->request)) != RESULT_OK)
		return ATTEMPT_NOT_RECEIVED;
	return keyd_receive(descriptor, true, &exchange->answer) == RESULT_OK ? ATTEMPT_DONE : ATTEMPT_UNKNOWN;
}

/*
 * An idle connection may be one to a daemon that has been restarted since: then sending fails, and a fresh one is
 * tried. Once the request has gone out whole, nobody knows whether it was carried out: that is for the caller.
 */
static enum result converse(struct keyd_client *client, struct exchange *exchange, struct note *note)
{
	int descriptor = take_idle(client);
	if (descriptor >= 0) {
		enum attempt outcome = attempt(descriptor, exchange);
		if (outcome == ATTEMPT_DONE) {
			give_back(client, descriptor);
			return RESULT_OK;
		}
		close(descriptor);
		if (outcome == ATTEMPT_UNKNOWN) {
			note_set(note, "the key daemon went away, or was too slow, in the middle of a request");
			return RESULT_UNAVAILABLE;
		}
		close_idle(client);
	}
	TRY(open_connection(client, &descriptor, note));
	if (attempt(descriptor, exchange) != ATTEMPT_DONE) {
		close(descriptor);
		note_set(note, AWAY_NOTE);
		return RESULT_UNAVAILABLE;
	}
	give_back(client, descriptor);
	return RESULT_OK;
}

/* The request is in the exchange; RESULT_OK leaves the answer's body there. `encoded`: did encoding succeed? */
static enum result call(struct keyd_client *client, struct exchange *exchange, enum result encoded, struct note *note)
{
	if (encoded != RESULT_OK)
		return encoded;
	if (is_failing_fast(client)) {
		note_set(note, AWAY_NOTE);
		return RESULT_UNAVAILABLE;
	}
	enum result result = converse(client, exchange, note);
	if (result != RESULT_OK) {
		mark_away(client);
		return result;
	}
	enum result answered = RESULT_OK;
	if (keyd_get_answer(buf_span(&exchange->answer), exchange->call, &answered, &exchange->body, note) !=
	    RESULT_OK) {
		note_set(note, NONSENSE_NOTE);
		mark_away(client);
		return RESULT_UNAVAILABLE;
	}
	return answered;
}

/* Turns a body that does not decode into what the caller can handle. */
static enum result decoded(enum result result, struct note *note)
{
	if (result != RESULT_INVALID)
		return result;
	note_set(note, NONSENSE_NOTE);
	return RESULT_UNAVAILABLE;
}

/* ---- key service ---------------------------------------------------------------------------------- */

static struct keyd_client *of_keys(struct key_service *service)
{
	return (struct keyd_client *)(void *)((char *)service - offsetof(struct keyd_client, keys));
}

static enum result create_tenant(struct key_service *service, const struct tenant_id *tenant, struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_CREATE_TENANT};
	TRY(call(of_keys(service), &exchange, keyd_put_tenant_call(&exchange.request, exchange.call, tenant), note));
	return decoded(keyd_get_fixed_answer(exchange.body, NULL, 0), note);
}

static enum result index_vins(struct key_service *service, const struct tenant_id *tenant,
			      const struct hashed_vin *vins, size_t count, struct vin_index_set *ret_sets,
			      struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_INDEX_VINS};
	TRY(call(of_keys(service), &exchange, keyd_put_index(&exchange.request, tenant, vins, count), note));
	return decoded(keyd_get_index_answer(exchange.body, count, ret_sets), note);
}

static enum result seal_vin(struct key_service *service, const struct tenant_id *tenant,
			    const struct uuid *reference_id, const struct vin *vin, struct sealed_vin *ret_sealed,
			    struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_SEAL_VIN};
	TRY(call(of_keys(service), &exchange, keyd_put_seal(&exchange.request, tenant, reference_id, vin), note));
	return decoded(keyd_get_fixed_answer(exchange.body, ret_sealed->bytes, SEALED_VIN_SIZE), note);
}

static enum result open_vin(struct key_service *service, const struct tenant_id *tenant,
			    const struct uuid *reference_id, const struct sealed_vin *sealed,
			    const struct reveal_authorisation *authorisation, struct vin *ret_vin, struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_OPEN_VIN};
	struct vin vin = {0};
	enum result encoded = keyd_put_open(&exchange.request, tenant, reference_id, sealed, authorisation);
	TRY(call(of_keys(service), &exchange, encoded, note));
	TRY(decoded(keyd_get_fixed_answer(exchange.body, vin.text, VIN_LENGTH), note));
	*ret_vin = vin;
	secret_wipe(&vin, sizeof(vin));
	return RESULT_OK;
}

static enum result reseal_vins(struct key_service *service, const struct tenant_id *tenant, struct reseal_item *items,
			       size_t count, struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_RESEAL_VINS};
	TRY(call(of_keys(service), &exchange, keyd_put_reseal(&exchange.request, tenant, items, count), note));
	return decoded(keyd_get_reseal_answer(exchange.body, items, count), note);
}

static enum result fingerprint(struct key_service *service, const struct tenant_id *tenant, struct span content,
			       uint8_t ret_fingerprint[SHA256_SIZE], struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_FINGERPRINT};
	TRY(call(of_keys(service), &exchange, keyd_put_fingerprint(&exchange.request, tenant, content), note));
	return decoded(keyd_get_fixed_answer(exchange.body, ret_fingerprint, SHA256_SIZE), note);
}

static enum result ask_generations(struct key_service *service, enum keyd_call asked, const struct tenant_id *tenant,
				   struct key_generations *ret_generations, struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = asked};
	TRY(call(of_keys(service), &exchange, keyd_put_tenant_call(&exchange.request, asked, tenant), note));
	return decoded(keyd_get_generations_answer(exchange.body, ret_generations), note);
}

static enum result get_generations(struct key_service *service, const struct tenant_id *tenant,
				   struct key_generations *ret_generations, struct note *note)
{
	return ask_generations(service, KEYD_GET_GENERATIONS, tenant, ret_generations, note);
}

static enum result begin_rotation(struct key_service *service, const struct tenant_id *tenant,
				  struct key_generations *ret_generations, struct note *note)
{
	return ask_generations(service, KEYD_BEGIN_ROTATION, tenant, ret_generations, note);
}

static enum result finish_rotation(struct key_service *service, const struct tenant_id *tenant, struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_FINISH_ROTATION};
	TRY(call(of_keys(service), &exchange, keyd_put_tenant_call(&exchange.request, exchange.call, tenant), note));
	return decoded(keyd_get_fixed_answer(exchange.body, NULL, 0), note);
}

static enum result sign_checkpoint(struct key_service *service, uint64_t size, const struct merkle_hash *root,
				   const struct merkle_proof *proof, struct buf *ret_note, struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_SIGN_CHECKPOINT};
	TRY(call(of_keys(service), &exchange, keyd_put_checkpoint(&exchange.request, size, root, proof), note));
	return buf_append(ret_note, exchange.body);
}

static enum result last_checkpoint(struct key_service *service, uint64_t *ret_size, struct merkle_hash *ret_root,
				   struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_LAST_CHECKPOINT};
	TRY(call(of_keys(service), &exchange, keyd_put_plain_call(&exchange.request, exchange.call), note));
	return decoded(keyd_get_last_checkpoint_answer(exchange.body, ret_size, ret_root), note);
}

static const struct key_service_ops keys_ops = {
	.create_tenant = create_tenant,
	.index_vins = index_vins,
	.seal_vin = seal_vin,
	.open_vin = open_vin,
	.reseal_vins = reseal_vins,
	.fingerprint = fingerprint,
	.get_generations = get_generations,
	.begin_rotation = begin_rotation,
	.finish_rotation = finish_rotation,
	.sign_checkpoint = sign_checkpoint,
	.last_checkpoint = last_checkpoint,
};

/* ---- authority ------------------------------------------------------------------------------------ */

static struct keyd_client *of_authority(struct cert_authority *authority)
{
	return (struct keyd_client *)(void *)((char *)authority - offsetof(struct keyd_client, authority));
}

static enum result issue_device(struct cert_authority *authority, const struct uuid *reference_id, struct span csr,
				struct issued_certificate *ret_certificate, struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_ISSUE_DEVICE};
	struct issued_certificate certificate = {.der = {.size_max = CERTIFICATE_SIZE_MAX}};
	/* keyd's own reason, which the frame has no room to ask for. */
	if (csr.size > CSR_SIZE_MAX) {
		note_set(note, "the CSR is too large");
		return RESULT_INVALID;
	}
	TRY(call(of_authority(authority), &exchange, keyd_put_issue(&exchange.request, reference_id, csr), note));
	TRY(decoded(keyd_get_issue_answer(exchange.body, &certificate), note));
	*ret_certificate = certificate;
	return RESULT_OK;
}

static enum result issue_claim(struct cert_authority *authority, const char *name, struct span csr, int64_t days,
			       struct issued_certificate *ret_certificate, struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_ISSUE_CLAIM};
	struct issued_certificate certificate = {.der = {.size_max = CERTIFICATE_SIZE_MAX}};
	enum result encoded = keyd_put_issue_claim(&exchange.request, name, days, csr);
	if (encoded == RESULT_INVALID)
		note_set(note, "a claim has a name, 1 to %d days and a CSR of at most %d bytes", CLAIM_DAYS_MAX,
			 CSR_SIZE_MAX);
	TRY(call(of_authority(authority), &exchange, encoded, note));
	TRY(decoded(keyd_get_issue_answer(exchange.body, &certificate), note));
	*ret_certificate = certificate;
	return RESULT_OK;
}

static enum result sign_crl(struct cert_authority *authority, const struct revoked_certificate *revoked, size_t count,
			    struct buf *ret_der, struct note *note)
{
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_SIGN_CRL};
	TRY(call(of_authority(authority), &exchange, keyd_put_crl(&exchange.request, revoked, count), note));
	return buf_append(ret_der, exchange.body);
}

/* *ret_opened: to remember_chain(). RESULT_ABSENT: it must be asked for. */
static enum result recall_chain(struct keyd_client *client, struct buf *ret_pem, uint64_t *ret_opened)
{
	pthread_mutex_lock(&client->mutex);
	enum result result = RESULT_ABSENT;
	if (client->chain.size > 0)
		result = buf_append(ret_pem, buf_span(&client->chain));
	*ret_opened = client->opened;
	pthread_mutex_unlock(&client->mutex);
	return result;
}

/* Unless a connection was opened since: then the answer may be the former daemon's. */
static void remember_chain(struct keyd_client *client, struct span chain, uint64_t opened)
{
	pthread_mutex_lock(&client->mutex);
	if (client->opened == opened && client->chain.size == 0 && buf_append(&client->chain, chain) != RESULT_OK)
		buf_release(&client->chain);
	pthread_mutex_unlock(&client->mutex);
}

/* Every certificate goes out with the chain, so it is kept. */
static enum result get_chain(struct cert_authority *authority, struct buf *ret_pem, struct note *note)
{
	struct keyd_client *client = of_authority(authority);
	EXCHANGE_CLEANUP struct exchange exchange = {.call = KEYD_GET_CHAIN};
	uint64_t opened = 0;
	enum result result = recall_chain(client, ret_pem, &opened);
	if (result != RESULT_ABSENT)
		return result;
	TRY(call(client, &exchange, keyd_put_plain_call(&exchange.request, exchange.call), note));
	remember_chain(client, exchange.body, opened);
	return buf_append(ret_pem, exchange.body);
}

static const struct cert_authority_ops authority_ops = {
	.issue_device = issue_device,
	.issue_claim = issue_claim,
	.sign_crl = sign_crl,
	.get_chain = get_chain,
};

/* ---- the client ----------------------------------------------------------------------------------- */

enum result keyd_client_open(const struct keyd_client_config *config, struct keyd_client **ret_client,
			     struct note *note)
{
	size_t length = strlen(config->socket_path);
	struct keyd_client *client = calloc(1, sizeof(*client));
	if (!client)
		return RESULT_MEMORY;
	if (length == 0 || length >= sizeof(client->address.sun_path)) {
		note_set(note, "a socket's path must have 1 to %zu bytes", sizeof(client->address.sun_path) - 1);
		free(client);
		return RESULT_INVALID;
	}
	client->keys.ops = &keys_ops;
	client->authority.ops = &authority_ops;
	client->address.sun_family = AF_UNIX;
	memcpy(client->address.sun_path, config->socket_path, length + 1);
	client->timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : KEYD_CLIENT_TIMEOUT_MS_DEFAULT;
	client->fail_fast_ms = config->fail_fast_ms != 0 ? config->fail_fast_ms : KEYD_CLIENT_FAIL_FAST_MS_DEFAULT;
	client->clock = config->clock ? config->clock : clock_system();
	client->away_until_ms = INT64_MIN;
	pthread_mutex_init(&client->mutex, NULL);
	*ret_client = client;
	return RESULT_OK;
}

void keyd_client_close(struct keyd_client *client)
{
	if (!client)
		return;
	close_idle(client);
	buf_release(&client->chain);
	pthread_mutex_destroy(&client->mutex);
	free(client);
}

struct key_service *keyd_client_keys(struct keyd_client *client)
{
	return &client->keys;
}

struct cert_authority *keyd_client_authority(struct keyd_client *client)
{
	return &client->authority;
}

enum result keyd_client_check(struct keyd_client *client, struct note *note)
{
	uint64_t size = 0;
	struct merkle_hash root;
	return last_checkpoint(&client->keys, &size, &root, note);
}
