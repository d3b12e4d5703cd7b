/*
 * Provisioning by claim over MQTT: some connections under one claim certificate, each of which fetches certificates
 * for one vehicle after the other.
 */
#include "programs/vinveil/simulate_provision.h"

#include "base/clock.h"
#include "base/json.h"
#include "programs/vinveil/simulate_drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CREATE_TOPIC   "$aws/certificates/create-from-csr/json"
#define TOPIC_SIZE     257
#define CLIENT_ID_SIZE 64
#define ANSWER_WAIT_MS 30000
#define RETRY_MS       300
#define TRIES_MAX      40

enum claim_step { CLAIM_CONNECTING, CLAIM_CREATING, CLAIM_PROVISIONING, CLAIM_RESTING, CLAIM_DONE };

struct claims;
struct claim_worker {
	struct mqtt_client client; /* first: callbacks give us this */
	struct claims *all;
	enum claim_step step;
	struct vehicle_identity *vehicle; /* the one under way */
	unsigned tries;
	int64_t due_ms; /* until when an answer is waited for; when resting, until when */
	struct buf key_pem, csr_pem, certificate_pem;
};

struct claims {
	const struct provisioning *provisioning;
	struct provisioning_counts *counts;
	struct mqtt_loop loop;
	struct claim_worker *workers;
	size_t next;
	char provision_topic[TOPIC_SIZE];
	int code;
};

static struct claim_worker *worker_of(struct mqtt_client *client)
{
	return (struct claim_worker *)client;
}

static void give_up(struct claim_worker *worker, const char *why)
{
	if (worker->vehicle != NULL)
		say_error("claim: vehicle %u: %s", worker->vehicle->number, why);
	else
		say_error("claim: %s", why);
	worker->all->code = EXIT_FAILED;
}

static void expect_answer(struct claim_worker *worker, enum claim_step step)
{
	worker->step = step;
	worker->due_ms = clock_monotonic_ms(clock_system()) + ANSWER_WAIT_MS;
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

static void send_json(struct claim_worker *worker, const char *topic, struct json_writer *writer, struct buf *json,
		      enum claim_step step)
{
	int message_id;
	enum result result = json_writer_end(writer);
	if (result == RESULT_OK)
		result = mqtt_client_publish(&worker->client, topic, buf_span(json), &message_id);
	if (result == RESULT_OK)
		expect_answer(worker, step);
	else if (result != RESULT_UNAVAILABLE) /* a connection that is gone is told as closed */
		give_up(worker, result_name(result));
}

static void send_csr(struct claim_worker *worker)
{
	BUF_CLEANUP struct buf json = {0};
	struct json_writer writer;
	json_writer_init(&writer, &json);
	json_object_begin(&writer);
	json_key(&writer, "certificateSigningRequest");
	json_text(&writer, buf_span(&worker->csr_pem));
	json_object_end(&writer);
	send_json(worker, CREATE_TOPIC, &writer, &json, CLAIM_CREATING);
}

static void send_vin(struct claim_worker *worker, const char *token)
{
	const struct provisioning *provisioning = worker->all->provisioning;
	BUF_CLEANUP struct buf json = {0};
	struct json_writer writer;
	struct vin vin;
	char device_id[DEVICE_ID_SIZE];
	drive_vin(provisioning->seed, worker->vehicle->number, &vin);
	drive_device_id(provisioning->seed, worker->vehicle->number, device_id);
	json_writer_init(&writer, &json);
	json_object_begin(&writer);
	json_member_text(&writer, "certificateOwnershipToken", token);
	json_key(&writer, "parameters");
	json_object_begin(&writer);
	json_member_text(&writer, "VIN", vin.text);
	json_member_text(&writer, "DeviceId", device_id);
	json_object_end(&writer);
	json_object_end(&writer);
	secret_wipe(&vin, sizeof vin);
	send_json(worker, worker->all->provision_topic, &writer, &json, CLAIM_PROVISIONING);
}

/* Takes the next vehicle that has no credentials; none left: this worker is done. */
static void begin_next(struct claim_worker *worker)
{
	const struct provisioning *provisioning = worker->all->provisioning;
	struct note note = {0};
	worker->vehicle = NULL;
	worker->step = CLAIM_DONE;
	while (worker->all->next < provisioning->count && worker->vehicle == NULL) {
		struct vehicle_identity *candidate = &provisioning->vehicles[worker->all->next++];
		if (candidate->reference_id[0] == '\0')
			worker->vehicle = candidate;
	}
	if (worker->vehicle == NULL)
		return;
	worker->tries = 0;
	buf_clear(&worker->key_pem);
	buf_clear(&worker->csr_pem);
	if (vehicle_make_key(&worker->key_pem, &worker->csr_pem, &note) != RESULT_OK)
		give_up(worker, note.text);
	else
		send_csr(worker);
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static void take_created(struct claim_worker *worker, const json_t *answer)
{
	const char *token = json_string_value(json_object_get(answer, "certificateOwnershipToken"));
	const char *pem = json_string_value(json_object_get(answer, "certificatePem"));
	buf_clear(&worker->certificate_pem);
	if (token == NULL || pem == NULL || buf_append_text(&worker->certificate_pem, pem) != RESULT_OK)
		give_up(worker, "the answer to the CSR lacks token or certificate");
	else
		send_vin(worker, token);
}

static void take_provisioned(struct claim_worker *worker, const json_t *answer)
{
	const char *name = json_string_value(json_object_get(answer, "thingName"));
	const char *other =
		json_string_value(json_object_get(json_object_get(answer, "deviceConfiguration"), "certificatePem"));
	struct span certificate = other != NULL ? span_of_text(other) : buf_span(&worker->certificate_pem);
	struct note note = {0};
	if (name == NULL || strlen(name) != UUID_TEXT_LENGTH) {
		give_up(worker, "the answer lacks a thing name");
		return;
	}
	if (credentials_keep(worker->all->provisioning->directory, worker->vehicle, name, certificate, (struct span){0},
			     buf_span(&worker->key_pem), &note) != RESULT_OK) {
		give_up(worker, note.text);
		return;
	}
	worker->all->counts->done++;
	begin_next(worker);
}

/* AWS's form: {"statusCode", "errorCode", "errorMessage"}. What may get better is tried again. */
static void take_rejected(struct claim_worker *worker, const json_t *answer)
{
	json_int_t status = json_integer_value(json_object_get(answer, "statusCode"));
	const char *text = json_string_value(json_object_get(answer, "errorMessage"));
	if ((status == 429 || status >= 500) && ++worker->tries < TRIES_MAX) {
		worker->step = CLAIM_RESTING;
		worker->due_ms = clock_monotonic_ms(clock_system()) + RETRY_MS;
		return;
	}
	give_up(worker, text != NULL ? text : "rejected without a reason");
}

static bool topic_is(const char *topic, const char *base, const char *suffix)
{
	size_t length = strlen(base);
	return strncmp(topic, base, length) == 0 && strcmp(topic + length, suffix) == 0;
}

static void on_message(struct mqtt_client *client, const char *topic, struct span payload)
{
	struct claim_worker *worker = worker_of(client);
	const char *provision_topic = worker->all->provision_topic;
	JSON_CLEANUP json_t *answer = NULL;
	if (worker->vehicle == NULL)
		return;
	if (json_read(payload, &answer, NULL) != RESULT_OK)
		give_up(worker, "an answer is not JSON");
	else if (worker->step == CLAIM_CREATING && topic_is(topic, CREATE_TOPIC, "/accepted"))
		take_created(worker, answer);
	else if (worker->step == CLAIM_PROVISIONING && topic_is(topic, provision_topic, "/accepted"))
		take_provisioned(worker, answer);
	else if (topic_is(topic, CREATE_TOPIC, "/rejected") || topic_is(topic, provision_topic, "/rejected"))
		take_rejected(worker, answer);
}

static void on_connected(struct mqtt_client *client)
{
	struct claim_worker *worker = worker_of(client);
	static const char *const suffixes[] = {"/accepted", "/rejected"};
	char filter[TOPIC_SIZE + 16];
	for (size_t i = 0; i < 2; i++) {
		snprintf(filter, sizeof filter, CREATE_TOPIC "%s", suffixes[i]);
		enum result result = mqtt_client_subscribe(client, filter);
		snprintf(filter, sizeof filter, "%s%s", worker->all->provision_topic, suffixes[i]);
		if (result == RESULT_OK)
			result = mqtt_client_subscribe(client, filter);
		if (result != RESULT_OK)
			return; /* the connection is gone, and will be told so */
	}
	if (worker->vehicle != NULL)
		send_csr(worker);
	else
		begin_next(worker);
}

static void on_closed(struct mqtt_client *client, bool was_connected, int reason)
{
	struct claim_worker *worker = worker_of(client);
	if (!was_connected && reason != 0)
		give_up(worker, "the claim's connection is refused: is it revoked, used up or over?");
	else if (++worker->tries >= TRIES_MAX)
		give_up(worker, "the claim's connection is lost again and again");
	worker->step = CLAIM_CONNECTING;
	worker->due_ms = clock_monotonic_ms(clock_system()) + RETRY_MS;
}

static void on_acknowledged(struct mqtt_client *client, int message_id, int reason)
{
	(void)client;
	(void)message_id;
	(void)reason;
}

static const struct mqtt_callbacks callbacks = {on_connected, on_closed, on_acknowledged, on_message};

/* ---- the run ------------------------------------------------------------------------------------------------ */

static enum result open_workers(struct claims *claims, size_t count, struct note *note)
{
	const struct provisioning *provisioning = claims->provisioning;
	char client_id[CLIENT_ID_SIZE];
	for (size_t i = 0; i < count; i++) {
		struct claim_worker *worker = &claims->workers[i];
		worker->all = claims;
		worker->client.descriptor = -1;
		snprintf(client_id, sizeof client_id, "simulate-%d-%zu", (int)getpid(), i);
		TRY(mqtt_client_open(&claims->loop, &worker->client, &callbacks, client_id,
				     provisioning->claim_certificate, provisioning->claim_key, note));
		worker->step = CLAIM_CONNECTING;
		worker->due_ms = 0;
	}
	return RESULT_OK;
}

static void look_after(struct claim_worker *worker, int64_t now_ms)
{
	struct note note = {0};
	if (now_ms < worker->due_ms)
		return;
	switch (worker->step) {
	case CLAIM_CONNECTING:
		worker->due_ms = now_ms + ANSWER_WAIT_MS;
		if (mqtt_client_connect(&worker->client, &note) != RESULT_OK)
			give_up(worker, note.text);
		break;
	case CLAIM_RESTING:
		send_csr(worker);
		break;
	case CLAIM_CREATING:
	case CLAIM_PROVISIONING:
		give_up(worker, "no answer within 30 seconds");
		break;
	case CLAIM_DONE:
		break;
	}
}

static bool all_done(const struct claims *claims, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (claims->workers[i].step != CLAIM_DONE)
			return false;
	return true;
}

static int run(struct claims *claims, size_t count)
{
	while (claims->code == EXIT_DONE && !all_done(claims, count) && !*claims->provisioning->is_stopped) {
		int64_t now_ms = clock_monotonic_ms(clock_system());
		for (size_t i = 0; i < count; i++)
			look_after(&claims->workers[i], now_ms);
		mqtt_loop_turn(&claims->loop, 10);
	}
	return claims->code;
}

static void close_workers(struct claims *claims, size_t count)
{
	for (size_t i = 0; i < count && claims->workers != NULL; i++) {
		mqtt_client_close(&claims->workers[i].client);
		buf_release(&claims->workers[i].key_pem);
		buf_release(&claims->workers[i].csr_pem);
		buf_release(&claims->workers[i].certificate_pem);
	}
	free(claims->workers);
}

int provision_by_claim(const struct provisioning *provisioning, struct provisioning_counts *ret_counts)
{
	struct claims claims = {.provisioning = provisioning, .counts = ret_counts, .loop = {.epoll = -1}};
	struct note note = {0};
	size_t count = provisioning->parallel;
	*ret_counts = (struct provisioning_counts){.wanted = provisioning_count_wanted(provisioning)};
	if (ret_counts->wanted == 0)
		return EXIT_DONE;
	snprintf(claims.provision_topic, sizeof claims.provision_topic,
		 "$aws/provisioning-templates/%.64s/provision/json", provisioning->template_name);
	claims.workers = calloc(count, sizeof *claims.workers);
	if (claims.workers == NULL)
		return fail("starting", RESULT_MEMORY, NULL);
	int64_t began_ms = clock_monotonic_ms(clock_system());
	enum result result = mqtt_loop_open(provisioning->endpoint, &claims.loop);
	if (result == RESULT_OK)
		result = open_workers(&claims, count, &note);
	int code = result == RESULT_OK ? run(&claims, count) : fail("the claim", result, &note);
	ret_counts->seconds = (double)(clock_monotonic_ms(clock_system()) - began_ms) / 1000;
	close_workers(&claims, count);
	mqtt_loop_close(&claims.loop);
	return code;
}
