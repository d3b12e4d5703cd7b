#include "programs/vinveil/api_connection.h"

#include "base/config.h"
#include "base/secret.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_SIZE_MAX ((size_t)64 << 20)
#define CONNECT_MAX_MS	5000L
#define REQUEST_MAX_MS	60000L
#define DEFAULT_PROFILE "/etc/vinveil/cli.conf"

/* ---- where and as whom ----------------------------------------------------------------------------- */

static enum result copy_member(const json_t *object, const char *name, char *ret_text, size_t size)
{
	struct span text;
	TRY(json_get_text(object, name, size - 1, &text));
	memcpy(ret_text, text.data, text.size);
	ret_text[text.size] = '\0';
	return RESULT_OK;
}

static void note_clients(json_t *clients, const char *name, struct note *note)
{
	BUF_CLEANUP struct buf names = {.size_max = 200};
	enum result result = RESULT_OK;
	for (void *at = json_object_iter(clients); at != NULL && result == RESULT_OK;
	     at = json_object_iter_next(clients, at))
		result = buf_append_format(&names, "%s%s", names.size > 0 ? ", " : "", json_object_iter_key(at));
	note_set(note, "there is no client '%.64s' in this installation, but %.*s", name, (int)names.size,
		 (const char *)names.data);
}

static enum result read_dev(const char *directory, const char *name, struct api_connection *connection,
			    struct note *note)
{
	BUF_CLEANUP struct buf content = {0};
	JSON_CLEANUP json_t *json = NULL;
	char path[PATH_SIZE];
	TRY(path_join(directory, "dev.json", path));
	enum result result = file_read(path, &content, note);
	if (result == RESULT_ABSENT)
		note_set(note, "%.180s is not there: is `vinveil dev` running?", path);
	TRY(result);
	TRY(json_read(buf_span(&content), &json, note));
	json_t *clients = json_object_get(json, "clients");
	const json_t *client = json_object_get(clients, name);
	if (client == NULL) {
		note_clients(clients, name, note);
		return RESULT_ABSENT;
	}
	TRY(copy_member(json, "api", connection->url, sizeof connection->url));
	TRY(copy_member(json, "caCertificate", connection->ca, sizeof connection->ca));
	TRY(copy_member(client, "certificate", connection->certificate, sizeof connection->certificate));
	return copy_member(client, "key", connection->key, sizeof connection->key);
}

static const struct config_key profile_keys[] = {
	{"api", "url", CONFIG_TEXT, offsetof(struct api_connection, url), 512, 0, 0, true, "https://HOST:PORT"},
	{"api", "ca", CONFIG_TEXT, offsetof(struct api_connection, ca), PATH_SIZE, 0, 0, true, "server root, PEM"},
	{"api", "certificate", CONFIG_TEXT, offsetof(struct api_connection, certificate), PATH_SIZE, 0, 0, true,
	 "client certificate, PEM"},
	{"api", "key", CONFIG_TEXT, offsetof(struct api_connection, key), PATH_SIZE, 0, 0, true, "its key, PEM"},
};

static enum result locate(const struct invocation *invocation, const char *otherwise, struct api_connection *connection,
			  struct note *note)
{
	const char *directory = option_get(invocation, "data");
	const char *client = option_get(invocation, "as");
	const char *profile = option_get(invocation, "profile");
	if (directory != NULL)
		return read_dev(directory, client != NULL ? client : otherwise, connection, note);
	if (profile == NULL)
		profile = getenv("VINVEIL_PROFILE"); /* a path, not a secret */
	if (profile == NULL)
		profile = DEFAULT_PROFILE;
	enum result result =
		config_read(profile, profile_keys, sizeof profile_keys / sizeof profile_keys[0], connection, note);
	if (result == RESULT_ABSENT)
		note_set(note, "%.150s is not there; say --data DIR or --profile FILE", profile);
	return result;
}

static void *wiping_calloc(size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	void *block = wiping_malloc(count * size);
	if (block != NULL)
		memset(block, 0, count * size);
	return block;
}

static char *wiping_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = wiping_malloc(size);
	if (copy != NULL)
		memcpy(copy, text, size);
	return copy;
}

int api_connection_open(const struct invocation *invocation, struct api_connection *ret_connection)
{
	return api_connection_open_as(invocation, "admin", ret_connection);
}

int api_connection_open_as(const struct invocation *invocation, const char *otherwise,
			   struct api_connection *ret_connection)
{
	struct note note = {0};
	memset(ret_connection, 0, sizeof *ret_connection);
	enum result result = locate(invocation, otherwise, ret_connection, &note);
	if (result != RESULT_OK)
		return fail("finding the platform", result, &note);
	/* Private bodies (a VIN) pass through curl's buffers: they are wiped when freed. */
	curl_global_init_mem(CURL_GLOBAL_DEFAULT, wiping_malloc, wiping_free, wiping_realloc, wiping_strdup,
			     wiping_calloc);
	ret_connection->handle = curl_easy_init();
	return ret_connection->handle != NULL ? EXIT_DONE : fail("starting curl", RESULT_MEMORY, NULL);
}

void api_connection_close(struct api_connection *connection)
{
	if (connection->handle != NULL)
		curl_easy_cleanup(connection->handle);
	connection->handle = NULL;
}

/* ---- one request ----------------------------------------------------------------------------------- */

static size_t take_answer(char *bytes, size_t size, size_t count, void *context)
{
	struct buf *body = context;
	return buf_append(body, span_of(bytes, size * count)) == RESULT_OK ? size * count : 0;
}

static size_t give_body(char *bytes, size_t size, size_t count, void *context)
{
	ssize_t got = read(*(int *)context, bytes, size * count);
	return got >= 0 ? (size_t)got : CURL_READFUNC_ABORT;
}

static void set_common(CURL *curl, const struct api_connection *connection, const char *url, struct buf *body)
{
	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_CAINFO, connection->ca);
	curl_easy_setopt(curl, CURLOPT_SSLCERT, connection->certificate);
	curl_easy_setopt(curl, CURLOPT_SSLKEY, connection->key);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MAX_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
}

static int exit_code_of(const struct api_answer *answer)
{
	if (answer->status >= 200 && answer->status < 300)
		return EXIT_DONE;
	if (answer->status == 503 || answer->status == 429)
		return EXIT_AWAY;
	return answer->status == 401 || answer->status == 403 ? EXIT_REFUSED : EXIT_FAILED;
}

/* In the words of a person. */
int api_tell_problem(const struct api_answer *answer)
{
	struct span title = {0}, detail = {0}, request_id = {0};
	if (answer->json != NULL) {
		if (json_get_text(answer->json, "title", 200, &title) != RESULT_OK)
			title = span_of_text("refused");
		if (json_get_text(answer->json, "detail", 1000, &detail) != RESULT_OK)
			detail = span_of_text("no detail");
		if (json_get_text(answer->json, "requestId", 36, &request_id) != RESULT_OK)
			request_id = span_of_text("-");
	}
	say_error("%.*s (%ld): %.*s [request %.*s]", (int)title.size, (const char *)title.data, answer->status,
		  (int)detail.size, (const char *)detail.data, (int)request_id.size, (const char *)request_id.data);
	if (answer->retry_after_s > 0)
		say_error("try again in %ld s%s", answer->retry_after_s,
			  answer->status == 503 ? "; /readyz at the operations listener names what is away" : "");
	return exit_code_of(answer);
}

static int perform(struct api_connection *connection, struct curl_slist *headers, struct api_answer *answer)
{
	char error[CURL_ERROR_SIZE] = "";
	CURL *curl = connection->handle;
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	CURLcode code = curl_easy_perform(curl);
	curl_slist_free_all(headers);
	if (code != CURLE_OK) {
		if (!connection->is_quiet)
			say_error("%s: %s%s", connection->url, error[0] != '\0' ? error : curl_easy_strerror(code),
				  code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT
					  ? "; is vinveild running there?"
					  : "");
		return EXIT_AWAY;
	}
	curl_off_t retry_after_s = 0;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
	curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after_s);
	answer->retry_after_s = (long)retry_after_s;
	if (answer->body.size > 0 && json_read(buf_span(&answer->body), &answer->json, NULL) != RESULT_OK)
		answer->json = NULL;
	int exit_code = exit_code_of(answer);
	return exit_code == EXIT_DONE || connection->is_quiet ? exit_code : api_tell_problem(answer);
}

static struct curl_slist *content_header(const char *content_type)
{
	char line[128];
	snprintf(line, sizeof line, "Content-Type: %s", content_type);
	return curl_slist_append(curl_slist_append(NULL, line), "Expect:");
}

int api_request(struct api_connection *connection, const char *method, const char *path, const char *content_type,
		struct span body, struct api_answer *ret_answer)
{
	char url[2048];
	CURL *curl = connection->handle;
	*ret_answer = (struct api_answer){.body = {.size_max = ANSWER_SIZE_MAX}};
	if (snprintf(url, sizeof url, "%s%s", connection->url, path) >= (int)sizeof url)
		return fail("the address", RESULT_EXHAUSTED, NULL);
	set_common(curl, connection, url, &ret_answer->body);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, REQUEST_MAX_MS);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	struct curl_slist *headers = NULL;
	if (content_type != NULL) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.size);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.size > 0 ? (const char *)body.data : "");
		headers = content_header(content_type);
	}
	return perform(connection, headers, ret_answer);
}

int api_upload(struct api_connection *connection, const char *path, const char *content_type, int descriptor,
	       struct api_answer *ret_answer)
{
	char url[2048];
	CURL *curl = connection->handle;
	*ret_answer = (struct api_answer){.body = {.size_max = ANSWER_SIZE_MAX}};
	if (snprintf(url, sizeof url, "%s%s", connection->url, path) >= (int)sizeof url)
		return fail("the address", RESULT_EXHAUSTED, NULL);
	set_common(curl, connection, url, &ret_answer->body);
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
	curl_easy_setopt(curl, CURLOPT_READDATA, &descriptor);
	/* The size is not known beforehand (a pipe): chunked. */
	struct curl_slist *headers = curl_slist_append(content_header(content_type), "Transfer-Encoding: chunked");
	return perform(connection, headers, ret_answer);
}

void api_answer_release(struct api_answer *answer)
{
	json_release(&answer->json);
	buf_release(&answer->body);
}

enum result api_profile_write(const char *path, const char *url, const char *ca, const char *certificate,
			      const char *key, struct note *note)
{
	BUF_CLEANUP struct buf content = {0};
	TRY(buf_append_format(&content,
			      "# vinveil --profile %s\n[api]\nurl = %s\nca = %s\ncertificate = %s\nkey = %s\n", path,
			      url, ca, certificate, key));
	return file_replace(path, buf_span(&content), 0600, note);
}
