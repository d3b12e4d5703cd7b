#include "programs/vinveil/simulate_provision.h"

#include "base/clock.h"
#include "base/text.h"
#include "crypto/certificate.h"
#include "programs/vinveil/api_connection.h"
#include "programs/vinveil/simulate_drive.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PARALLEL_MAX	 64
#define PEM_LINE	 64
#define TRIES_MAX	 120
#define TRY_AGAIN_US	 250000
#define DEVICES_SIZE_MAX ((size_t)64 << 20)

static void release_key(struct private_key **key)
{
	private_key_release(*key);
}
#define KEY_CLEANUP __attribute__((cleanup(release_key)))

static enum result append_csr_pem(struct buf *pem, struct span der)
{
	BUF_CLEANUP struct buf base64 = {0};
	TRY(base64_append(&base64, der));
	TRY(buf_append_text(pem, "-----BEGIN CERTIFICATE REQUEST-----\n"));
	for (size_t at = 0; at < base64.size; at += PEM_LINE) {
		size_t length = base64.size - at < PEM_LINE ? base64.size - at : PEM_LINE;
		TRY(buf_append(pem, span_of(base64.data + at, length)));
		TRY(buf_append_byte(pem, '\n'));
	}
	return buf_append_text(pem, "-----END CERTIFICATE REQUEST-----\n");
}

enum result vehicle_make_key(struct buf *ret_key_pem, struct buf *ret_csr_pem, struct note *note)
{
	KEY_CLEANUP struct private_key *key = NULL;
	BUF_CLEANUP struct buf der = {0};
	TRY(private_key_generate(PRIVATE_KEY_P256, &key, note));
	TRY(private_key_to_pem(key, NULL, ret_key_pem));
	TRY(csr_make(key, &der, note));
	return append_csr_pem(ret_csr_pem, buf_span(&der));
}

/* ---- the manifest ------------------------------------------------------------------------------------------- */

static enum result write_devices(const struct provisioning *provisioning, struct buf *ret_lines)
{
	char device_id[DEVICE_ID_SIZE];
	for (size_t i = 0; i < provisioning->count; i++) {
		if (provisioning->vehicles[i].reference_id[0] != '\0')
			continue;
		drive_device_id(provisioning->seed, provisioning->vehicles[i].number, device_id);
		TRY(buf_append_format(ret_lines, "{\"deviceId\":\"%s\",\"model\":\"simulated\"}\n", device_id));
	}
	return RESULT_OK;
}

int provision_devices(const struct provisioning *provisioning)
{
	API_CONNECTION_CLEANUP struct api_connection connection = {0};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	BUF_CLEANUP struct buf lines = {.size_max = DEVICES_SIZE_MAX};
	enum result result = write_devices(provisioning, &lines);
	if (result != RESULT_OK)
		return fail("writing the manifest", result, NULL);
	if (lines.size == 0)
		return EXIT_DONE;
	int code = api_connection_open_as(provisioning->invocation, "factory", &connection);
	if (code == EXIT_DONE)
		code = api_request(&connection, "POST", "/v1/devices", "application/x-ndjson", buf_span(&lines),
				   &answer);
	return code;
}

/* ---- through the API ---------------------------------------------------------------------------------------- */

struct api_workers {
	const struct provisioning *provisioning;
	atomic_size_t next, done;
	atomic_int code; /* the first failure ends all */
};

struct api_worker {
	struct api_workers *all;
	struct api_connection connection;
	pthread_t thread;
};

static enum result write_request(const struct provisioning *provisioning, uint32_t number, struct span csr_pem,
				 struct buf *ret_body)
{
	struct vin vin;
	char device_id[DEVICE_ID_SIZE];
	struct json_writer writer;
	drive_vin(provisioning->seed, number, &vin);
	drive_device_id(provisioning->seed, number, device_id);
	json_writer_init(&writer, ret_body);
	json_object_begin(&writer);
	json_member_text(&writer, "vin", vin.text);
	json_member_text(&writer, "deviceId", device_id);
	json_key(&writer, "csr");
	json_text(&writer, csr_pem);
	json_object_end(&writer);
	secret_wipe(&vin, sizeof vin);
	return json_writer_end(&writer);
}

/* Again while the platform asks for patience. */
static int post_patiently(struct api_worker *worker, const char *path, struct span body, struct api_answer *ret_answer)
{
	const volatile int *is_stopped = worker->all->provisioning->is_stopped;
	int code = EXIT_AWAY;
	for (int tries = 0; tries < TRIES_MAX && !*is_stopped; tries++) {
		api_answer_release(ret_answer);
		worker->connection.is_quiet = tries < TRIES_MAX - 1;
		code = api_request(&worker->connection, "POST", path, "application/json", body, ret_answer);
		if (code != EXIT_AWAY)
			break;
		usleep(TRY_AGAIN_US);
	}
	if (code != EXIT_DONE && worker->connection.is_quiet && !*is_stopped)
		api_tell_problem(ret_answer);
	return code;
}

/* The vehicle is known and has a certificate whose key is not here: it gets another one, and the lost one ends. */
static int renew(struct api_worker *worker, const char *reference_id, struct span csr_pem,
		 struct api_answer *ret_answer)
{
	BUF_CLEANUP struct buf body = {0};
	struct json_writer writer;
	char path[128];
	snprintf(path, sizeof path, "/v1/vehicles/%s/certificates", reference_id);
	json_writer_init(&writer, &body);
	json_object_begin(&writer);
	json_key(&writer, "csr");
	json_text(&writer, csr_pem);
	json_key(&writer, "revokeOthers");
	json_bool(&writer, true);
	json_member_text(&writer, "reason", "superseded");
	json_object_end(&writer);
	enum result result = json_writer_end(&writer);
	return result == RESULT_OK ? post_patiently(worker, path, buf_span(&body), ret_answer)
				   : fail("writing a request", result, NULL);
}

static struct span member_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text != NULL ? span_of_text(text) : (struct span){0};
}

static int provision_one(struct api_worker *worker, struct vehicle_identity *identity)
{
	const struct provisioning *provisioning = worker->all->provisioning;
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	API_ANSWER_CLEANUP struct api_answer renewal = {0};
	BUF_CLEANUP struct buf body = {0};
	BUF_CLEANUP struct buf key_pem = {0};
	BUF_CLEANUP struct buf csr_pem = {0};
	struct note note = {0};
	enum result result = vehicle_make_key(&key_pem, &csr_pem, &note);
	if (result == RESULT_OK)
		result = write_request(provisioning, identity->number, buf_span(&csr_pem), &body);
	if (result != RESULT_OK)
		return fail("making a vehicle's key", result, &note);
	int code = post_patiently(worker, "/v1/vehicles", buf_span(&body), &answer);
	const char *reference_id = json_string_value(json_object_get(answer.json, "referenceId"));
	const json_t *credentials = json_object_get(answer.json, "credentials");
	if (code == EXIT_DONE && reference_id != NULL && credentials == NULL) {
		code = renew(worker, reference_id, buf_span(&csr_pem), &renewal);
		credentials = json_object_get(renewal.json, "credentials");
		if (credentials == NULL)
			credentials = renewal.json;
	}
	if (code != EXIT_DONE)
		return code;
	if (reference_id == NULL || member_text(credentials, "certificate").size == 0)
		return fail("the platform's answer", RESULT_INVALID, NULL);
	result = credentials_keep(provisioning->directory, identity, reference_id,
				  member_text(credentials, "certificate"), member_text(credentials, "chain"),
				  buf_span(&key_pem), &note);
	return result == RESULT_OK ? EXIT_DONE : fail("keeping credentials", result, &note);
}

static void *work(void *context)
{
	struct api_worker *worker = context;
	struct api_workers *all = worker->all;
	const struct provisioning *provisioning = all->provisioning;
	int none = EXIT_DONE;
	while (!*provisioning->is_stopped && atomic_load(&all->code) == EXIT_DONE) {
		size_t at = atomic_fetch_add(&all->next, 1);
		if (at >= provisioning->count)
			break;
		if (provisioning->vehicles[at].reference_id[0] != '\0')
			continue;
		int code = provision_one(worker, &provisioning->vehicles[at]);
		if (code != EXIT_DONE)
			atomic_compare_exchange_strong(&all->code, &none, code);
		else
			atomic_fetch_add(&all->done, 1);
	}
	return NULL;
}

/* Each on a connection of its own; the first failure is everybody's. */
static int run_workers(struct api_workers *all, struct api_worker *workers, size_t count)
{
	size_t started = 0;
	int code = EXIT_DONE;
	for (; started < count && code == EXIT_DONE; started += code == EXIT_DONE) {
		struct api_worker *worker = &workers[started];
		worker->all = all;
		code = api_connection_open_as(all->provisioning->invocation, "factory", &worker->connection);
		if (code == EXIT_DONE && pthread_create(&worker->thread, NULL, work, worker) != 0)
			code = fail("starting a thread", RESULT_MEMORY, NULL);
	}
	if (code != EXIT_DONE)
		atomic_store(&all->code, code);
	for (size_t i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	for (size_t i = 0; i < count; i++)
		api_connection_close(&workers[i].connection);
	return atomic_load(&all->code);
}

size_t provisioning_count_wanted(const struct provisioning *provisioning)
{
	size_t wanted = 0;
	for (size_t i = 0; i < provisioning->count; i++)
		wanted += provisioning->vehicles[i].reference_id[0] == '\0';
	return wanted;
}

int provision_by_api(const struct provisioning *provisioning, struct provisioning_counts *ret_counts)
{
	struct api_workers all = {.provisioning = provisioning};
	*ret_counts = (struct provisioning_counts){.wanted = provisioning_count_wanted(provisioning)};
	if (ret_counts->wanted == 0)
		return EXIT_DONE;
	size_t count = provisioning->parallel < PARALLEL_MAX ? provisioning->parallel : PARALLEL_MAX;
	struct api_worker *workers = calloc(count, sizeof *workers);
	if (workers == NULL)
		return fail("starting", RESULT_MEMORY, NULL);
	int64_t began_ms = clock_monotonic_ms(clock_system());
	int code = run_workers(&all, workers, count);
	ret_counts->seconds = (double)(clock_monotonic_ms(clock_system()) - began_ms) / 1000;
	ret_counts->done = atomic_load(&all.done);
	free(workers);
	return code;
}
