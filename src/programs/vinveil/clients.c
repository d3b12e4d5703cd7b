/* `vinveil client add`, `list`, `suspend`, `resume`. */
#include "programs/vinveil/client_certificate.h"
#include "programs/vinveil/commands.h"
#include "programs/vinveil/request.h"

#include "base/text.h"
#include "vehicle/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct output_member client_columns[] = {
	{"clientId", "client"},	  {"tenantId", "tenant"},
	{"state", "state"},	  {"limits.requestsPerSecond", "requests/s"},
	{"purposes", "purposes"}, {"scopes", "scopes"},
};
#define CLIENT_COLUMNS (sizeof client_columns / sizeof client_columns[0])

/* Where the operator root lies: said, or in a development installation known. */
struct operator_paths {
	char certificate[PATH_SIZE], key[PATH_SIZE], out[PATH_SIZE];
};

static bool choose_path(const struct invocation *invocation, const char *option, const char *dev_name,
			char ret_path[static PATH_SIZE])
{
	const char *said = option_get(invocation, option), *directory = option_get(invocation, "data");
	if (said == NULL && directory == NULL) {
		say_error("say --%s", option);
		return false;
	}
	int length = said != NULL ? snprintf(ret_path, PATH_SIZE, "%s", said)
				  : snprintf(ret_path, PATH_SIZE, "%s/%s", directory, dev_name);
	return length < PATH_SIZE;
}

static bool find_operator_paths(const struct invocation *invocation, struct operator_paths *ret_paths)
{
	return choose_path(invocation, "operator-certificate", "ca/operator-root.pem", ret_paths->certificate) &&
	       choose_path(invocation, "operator-key", "roots/operator-root.key", ret_paths->key) &&
	       choose_path(invocation, "out", "clients", ret_paths->out);
}

static bool write_limits(const struct invocation *invocation, struct json_writer *writer)
{
	int64_t rate, burst;
	if (!option_get_number(invocation, "rate", 1, 1000000, 0, &rate) ||
	    !option_get_number(invocation, "burst", 1, 1000000, 2 * rate, &burst))
		return false;
	if (rate == 0 && option_is_set(invocation, "burst")) {
		say_error("--burst goes with --rate");
		return false;
	}
	if (rate == 0)
		return true;
	json_key(writer, "limits");
	json_object_begin(writer);
	json_member_number(writer, "requestsPerSecond", rate);
	json_member_number(writer, "burst", burst);
	json_object_end(writer);
	return true;
}

static bool write_client(const struct invocation *invocation, const struct certificate_facts *facts,
			 struct json_writer *writer)
{
	json_object_begin(writer);
	json_member_text(writer, "clientId", invocation->arguments[0]);
	if (option_get(invocation, "tenant") != NULL)
		json_member_text(writer, "tenantId", option_get(invocation, "tenant"));
	request_write_list(invocation, "scope", "scopes", writer);
	request_write_list(invocation, "purpose", "purposes", writer);
	if (!write_limits(invocation, writer))
		return false;
	json_key(writer, "fingerprints");
	json_array_begin(writer);
	json_hex(writer, span_of(facts->fingerprint, sizeof facts->fingerprint));
	json_array_end(writer);
	json_object_end(writer);
	return true;
}

/* A profile beside key and certificate, so that the new client can be used at once. */
static int write_profile(const struct invocation *invocation, const struct operator_paths *paths)
{
	API_CONNECTION_CLEANUP struct api_connection connection = {0};
	struct note note = {0};
	char directory[PATH_SIZE], profile[PATH_SIZE], certificate[PATH_SIZE], key[PATH_SIZE];
	const char *name = invocation->arguments[0];
	int code = api_connection_open(invocation, &connection);
	if (code != EXIT_DONE)
		return code;
	if (realpath(paths->out, directory) == NULL ||
	    snprintf(profile, PATH_SIZE, "%s/%s.conf", directory, name) >= PATH_SIZE ||
	    snprintf(certificate, PATH_SIZE, "%s/%s.pem", directory, name) >= PATH_SIZE ||
	    snprintf(key, PATH_SIZE, "%s/%s.key", directory, name) >= PATH_SIZE)
		return fail(paths->out, RESULT_EXHAUSTED, NULL);
	enum result result = api_profile_write(profile, connection.url, connection.ca, certificate, key, &note);
	if (result != RESULT_OK)
		return fail(profile, result, &note);
	say("use it:           vinveil … --profile %s", profile);
	return EXIT_DONE;
}

static void forget_certificate(const struct operator_paths *paths, const char *name)
{
	static const char *const endings[] = {"key", "pem"};
	char path[PATH_SIZE];
	for (size_t i = 0; i < 2; i++)
		if (snprintf(path, sizeof path, "%s/%s.%s", paths->out, name, endings[i]) < (int)sizeof path)
			unlink(path);
}

static int register_client(const struct invocation *invocation, const struct certificate_facts *facts)
{
	BUF_CLEANUP struct buf body = {0};
	struct json_writer writer;
	json_writer_init(&writer, &body);
	if (!write_client(invocation, facts, &writer))
		return EXIT_USAGE;
	return request_post(invocation, "/v1/clients", &writer, client_columns, CLIENT_COLUMNS);
}

static int make_certificate(const struct operator_paths *paths, const char *name, int64_t days,
			    struct certificate_facts *ret_facts)
{
	struct issuer *operator_root = NULL;
	struct note note = {0};
	enum result result = directory_make(paths->out, 0700, &note);
	if (result == RESULT_OK)
		result = operator_root_open(paths->certificate, paths->key, &operator_root, &note);
	if (result == RESULT_OK)
		result = client_certificate_make(operator_root, paths->out, name, days, ret_facts, &note);
	issuer_close(operator_root);
	return result == RESULT_OK ? EXIT_DONE : fail("making the certificate", result, &note);
}

static int run_add(const struct invocation *invocation)
{
	struct operator_paths paths;
	struct certificate_facts facts;
	char name[CLIENT_ID_LENGTH_MAX + 1];
	int64_t days;
	if (client_id_parse(span_of_text(invocation->arguments[0]), name) != RESULT_OK) {
		say_error("a client's name is a lower-case letter or digit, then letters, digits and '-', at most 64");
		return EXIT_USAGE;
	}
	if (!option_is_set(invocation, "scope")) {
		say_error("say what it may do: --scope SCOPE, once for each (see vinveil client add --help)");
		return EXIT_USAGE;
	}
	if (!option_get_number(invocation, "days", 1, 3650, CLIENT_CERTIFICATE_DAYS_DEFAULT, &days) ||
	    !find_operator_paths(invocation, &paths))
		return EXIT_USAGE;
	int code = make_certificate(&paths, name, days, &facts);
	if (code != EXIT_DONE)
		return code;
	code = register_client(invocation, &facts);
	if (code != EXIT_DONE) {
		forget_certificate(&paths, name); /* registered to nobody: of no use */
		return code;
	}
	return write_profile(invocation, &paths);
}

const struct command command_client_add = {
	.words = "client add",
	.arguments = "NAME",
	.summary = "make a client application: certificate, scopes, purposes",
	.description =
		"Makes a key and a certificate signed by the operator root, and registers its fingerprint through\n"
		"the API: rights come from that registration, never from the certificate. You can grant only what\n"
		"you hold yourself. Scopes:\n"
		"  vehicle:provision vehicle:read vehicle:write vehicle:erase audit:read refid:lookup\n"
		"  refid:lookup-batch tcu:change device:manifest vin:reveal vin:approve signal:read\n"
		"  command:send admin platform platform:audit",
	.run = run_add,
	.options = {{"tenant", "TENANT", "whose vehicles it works with (default: your own)", false},
		    {"scope", "SCOPE", "what it may do", true},
		    {"purpose", "PURPOSE", "what it may convert or reveal for", true},
		    {"rate", "N", "requests a second (default: the installation's)", false},
		    {"burst", "N", "how many at once (default: twice the rate)", false},
		    {"days", "N", "how long the certificate is valid (default 365)", false},
		    {"operator-certificate", "FILE", "the operator root's certificate", false},
		    {"operator-key", "FILE", "the operator root's key: offline but for this", false},
		    {"out", "DIR", "where NAME.key, NAME.pem and NAME.conf go", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

static int run_list(const struct invocation *invocation)
{
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	int code = request_get(invocation, "/v1/clients", &answer);
	if (code == EXIT_DONE && !output_json(invocation, &answer))
		output_table(json_object_get(answer.json, "clients"), client_columns, CLIENT_COLUMNS);
	return code;
}

const struct command command_client_list = {
	.words = "client list",
	.arguments = "",
	.summary = "list client applications and their rights",
	.description = "Those of your own tenant; with the scope `platform` all.",
	.run = run_list,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};

static int act(const struct invocation *invocation, const char *verb)
{
	char path[160];
	snprintf(path, sizeof path, "/v1/clients/%.64s/%s", invocation->arguments[0], verb);
	return request_post(invocation, path, NULL, client_columns, CLIENT_COLUMNS);
}

static int run_suspend(const struct invocation *invocation)
{
	return act(invocation, "suspend");
}

static int run_resume(const struct invocation *invocation)
{
	return act(invocation, "resume");
}

const struct command command_client_suspend = {
	.words = "client suspend",
	.arguments = "NAME",
	.summary = "refuse every request of a client from now on",
	.description = "Takes effect with the next request, on open connections, too.",
	.run = run_suspend,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};

const struct command command_client_resume = {
	.words = "client resume",
	.arguments = "NAME",
	.summary = "let a suspended client work again",
	.description = "The opposite of `client suspend`.",
	.run = run_resume,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};
