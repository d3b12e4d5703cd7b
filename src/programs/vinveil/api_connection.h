/*
 * The CLI's way to the platform: HTTPS with a client certificate (libcurl). Where and as whom comes from
 * --data DIR [--as NAME] (a development installation), or from a profile file:
 *
 *   [api]
 *   url = https://vault.example:8443
 *   ca = /etc/vinveil/server-root.pem
 *   certificate = /etc/vinveil/clients/ops.pem
 *   key = /etc/vinveil/clients/ops.key
 */
#ifndef VINVEIL_PROGRAMS_VINVEIL_API_CONNECTION_H
#define VINVEIL_PROGRAMS_VINVEIL_API_CONNECTION_H

#include "base/file.h"
#include "base/json.h"
#include "programs/vinveil/command.h"

struct api_connection {
	char url[512], ca[PATH_SIZE], certificate[PATH_SIZE], key[PATH_SIZE];
	void *handle;  /* CURL * */
	bool is_quiet; /* problems are the caller's to tell */
};
#define API_CONNECTION_CLEANUP __attribute__((cleanup(api_connection_close)))

struct api_answer {
	long status;
	long retry_after_s; /* what Retry-After says; 0: nothing */
	struct buf body;
	json_t *json; /* NULL when the body is not JSON */
};
#define API_ANSWER_CLEANUP __attribute__((cleanup(api_answer_release)))

/* EXIT_DONE, or the exit code with the error told. */
int api_connection_open(const struct invocation *invocation, struct api_connection *ret_connection);
/* The same with another client of a development installation when --as names none. */
int api_connection_open_as(const struct invocation *invocation, const char *otherwise,
			   struct api_connection *ret_connection);
void api_connection_close(struct api_connection *connection);

/*
 * One request. content_type NULL: no body. EXIT_DONE when the answer's status is 2xx; otherwise the problem has
 * been told (title, detail, request ID, when to try again) and the exit code fits it. The answer is the caller's either
 * way.
 */
int api_request(struct api_connection *connection, const char *method, const char *path, const char *content_type,
		struct span body, struct api_answer *ret_answer);
/* The same, streaming the body from a descriptor. */
int api_upload(struct api_connection *connection, const char *path, const char *content_type, int descriptor,
	       struct api_answer *ret_answer);
/* Tells the problem of an answer that is not 2xx; gives the exit code that fits. */
int api_tell_problem(const struct api_answer *answer);
void api_answer_release(struct api_answer *answer);

/* Writes a profile for a client, to be used with --profile. */
MUST_USE enum result api_profile_write(const char *path, const char *url, const char *ca, const char *certificate,
				       const char *key, struct note *note);

#endif
