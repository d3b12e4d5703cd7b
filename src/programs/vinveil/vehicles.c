/* `vinveil provision`, `lookup`, `vehicle list`, `show`, `signals` and `history`, `tcu change`, `tcu delete`. */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/request.h"
#include "programs/vinveil/vin_input.h"

#include "base/secret.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct output_member vehicle_members[] = {
	{"referenceId", "Reference ID"}, {"tenantId", "tenant"},   {"deviceId", "device ID"}, {"state", "state"},
	{"createdAt", "created"},	 {"updatedAt", "updated"}, {"version", "version"},
};
#define VEHICLE_MEMBERS (sizeof vehicle_members / sizeof vehicle_members[0])

/* ---- provision ------------------------------------------------------------------------------------- */

static int write_csr(const struct invocation *invocation, struct json_writer *writer)
{
	BUF_CLEANUP struct buf pem = {.size_max = 65536};
	struct note note = {0};
	const char *path = option_get(invocation, "csr");
	if (path == NULL)
		return EXIT_DONE;
	enum result result = file_read(path, &pem, &note);
	if (result != RESULT_OK)
		return fail(path, result, &note);
	json_key(writer, "csr");
	json_text(writer, buf_span(&pem));
	return EXIT_DONE;
}

static int write_attributes(const struct invocation *invocation, struct json_writer *writer)
{
	JSON_CLEANUP json_t *json = NULL;
	struct note note = {0};
	const char *text = option_get(invocation, "attributes");
	if (text == NULL)
		return EXIT_DONE;
	enum result result = json_read(span_of_text(text), &json, &note);
	if (result != RESULT_OK) {
		say_error("--attributes: %s", note.text);
		return EXIT_USAGE;
	}
	json_key(writer, "attributes");
	json_raw(writer, span_of_text(text));
	return EXIT_DONE;
}

static int write_file(const char *directory, const char *name, const json_t *credentials, const char *member,
		      const char *label, mode_t mode)
{
	struct note note = {0};
	char path[PATH_SIZE];
	const char *text = json_string_value(json_object_get(credentials, member));
	if (text == NULL)
		return EXIT_DONE;
	enum result result = path_join(directory, name, path);
	if (result == RESULT_OK)
		result = file_create(path, span_of_text(text), mode, &note);
	if (result != RESULT_OK)
		return fail(name, result, &note);
	printf("%-17s %s\n", label, path);
	return EXIT_DONE;
}

static int keep_credentials(const struct invocation *invocation, const json_t *answer)
{
	const json_t *credentials = json_object_get(answer, "credentials");
	const char *directory = option_get(invocation, "out");
	if (credentials == NULL)
		puts("credentials       none: the vehicle has a live certificate");
	if (credentials == NULL || directory == NULL)
		return EXIT_DONE;
	int code = write_file(directory, "vehicle.key", credentials, "privateKey", "private key", 0600);
	if (code == EXIT_DONE)
		code = write_file(directory, "vehicle.pem", credentials, "certificate", "certificate", 0644);
	return code == EXIT_DONE ? write_file(directory, "chain.pem", credentials, "chain", "chain", 0644) : code;
}

/* Asked before the vehicle is: a private key that is returned once must find its place free. */
static int make_room(const struct invocation *invocation)
{
	static const char *const names[] = {"vehicle.key", "vehicle.pem", "chain.pem"};
	const char *directory = option_get(invocation, "out");
	struct note note = {0};
	char path[PATH_SIZE];
	if (directory == NULL)
		return EXIT_DONE;
	enum result result = directory_make(directory, 0700, &note);
	if (result == RESULT_OK && access(directory, W_OK | X_OK) != 0) {
		note_set(&note, "%.200s: %s", directory, strerror(errno));
		result = RESULT_INVALID;
	}
	for (size_t i = 0; i < sizeof names / sizeof names[0] && result == RESULT_OK; i++) {
		result = path_join(directory, names[i], path);
		if (result == RESULT_OK && access(path, F_OK) == 0) {
			note_set(&note, "%.200s is there already: choose another --out", path);
			result = RESULT_CONFLICT;
		}
	}
	return result == RESULT_OK ? EXIT_DONE : fail(directory, result, &note);
}

static int write_provisioning(const struct invocation *invocation, struct json_writer *writer)
{
	json_object_begin(writer);
	int code = vin_input_write_plain(invocation, writer);
	json_member_text(writer, "deviceId", option_get(invocation, "device-id"));
	if (code == EXIT_DONE)
		code = write_csr(invocation, writer);
	if (code == EXIT_DONE)
		code = write_attributes(invocation, writer);
	json_object_end(writer);
	return code;
}

static int run_provision(const struct invocation *invocation)
{
	static const struct output_member members[] = {
		{"referenceId", "Reference ID"},
		{"deviceId", "device ID"},
		{"state", "state"},
		{"credentials.serialNumber", "serial number"},
		{"credentials.notAfter", "valid until"},
	};
	API_CONNECTION_CLEANUP struct api_connection connection = {0};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	BUF_CLEANUP struct buf body = {0};
	struct json_writer writer;
	if (option_get(invocation, "device-id") == NULL) {
		say_error("say which device: --device-id ID");
		return EXIT_USAGE;
	}
	if (option_get(invocation, "csr") == NULL && option_get(invocation, "out") == NULL &&
	    !option_is_set(invocation, "json")) {
		say_error(
			"the private key is returned once: say --out DIR to keep it, or --csr FILE to bring your own");
		return EXIT_USAGE;
	}
	json_writer_init(&writer, &body);
	int code = make_room(invocation);
	if (code == EXIT_DONE)
		code = write_provisioning(invocation, &writer);
	if (code == EXIT_DONE && json_writer_end(&writer) != RESULT_OK)
		code = fail("building the request", writer.result, NULL);
	if (code == EXIT_DONE)
		code = api_connection_open(invocation, &connection);
	if (code == EXIT_DONE)
		code = api_request(&connection, "POST", "/v1/vehicles", "application/json", buf_span(&body), &answer);
	if (code != EXIT_DONE || output_json(invocation, &answer))
		return code;
	output_members(answer.json, members, sizeof members / sizeof members[0]);
	return keep_credentials(invocation, answer.json);
}

const struct command command_provision = {
	.words = "provision",
	.arguments = "",
	.summary = "give a vehicle its Reference ID and certificate",
	.description = "Reads the VIN from standard input or --vin-file. A vehicle that is known already is only\n"
		       "validated; it gets new credentials only when it has none that live.",
	.run = run_provision,
	.options = {{"device-id", "ID", "the TCU's identifier, as in the manufacturer's manifest", false},
		    {"csr", "FILE", "PKCS #10 request made by the TCU (PEM); else a key is generated", false},
		    {"attributes", "JSON", "attributes to store with the vehicle", false},
		    {"out", "DIR", "write vehicle.key, vehicle.pem and chain.pem there; replaces none", false},
		    {"vin-file", "FILE", "read the VIN from FILE instead of standard input", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

/* ---- lookup ---------------------------------------------------------------------------------------- */

static int run_lookup(const struct invocation *invocation)
{
	static const struct output_member members[] = {{"referenceId", "Reference ID"}};
	BUF_CLEANUP struct buf body = {0};
	struct json_writer writer;
	if (option_get(invocation, "purpose") == NULL) {
		say_error("say why: --purpose PURPOSE (one of those your client was given)");
		return EXIT_USAGE;
	}
	json_writer_init(&writer, &body);
	json_object_begin(&writer);
	int code = vin_input_write(invocation, &writer);
	json_member_text(&writer, "purpose", option_get(invocation, "purpose"));
	json_object_end(&writer);
	return code == EXIT_DONE ? request_post(invocation, "/v1/reference-ids/lookup", &writer, members, 1) : code;
}

const struct command command_lookup = {
	.words = "lookup",
	.arguments = "",
	.summary = "convert a VIN or its hash to the Reference ID",
	.description = "Reads the VIN, or its SHA-256 as 64 hex digits, from standard input or --vin-file. Every\n"
		       "attempt is in the audit log before the answer is given.",
	.run = run_lookup,
	.options = {{"purpose", "PURPOSE", "why: one of the client's allowed purposes", false},
		    VIN_INPUT_OPTION,
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

/* ---- vehicle show, history ------------------------------------------------------------------------- */

static int run_show(const struct invocation *invocation)
{
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	char path[128];
	snprintf(path, sizeof path, "/v1/vehicles/%.64s", invocation->arguments[0]);
	int code = request_get(invocation, path, &answer);
	if (code != EXIT_DONE || output_json(invocation, &answer))
		return code;
	output_members(answer.json, vehicle_members, VEHICLE_MEMBERS);
	char *attributes = json_dumps(json_object_get(answer.json, "attributes"), JSON_COMPACT);
	if (attributes != NULL)
		printf("%-17s %s\n", "attributes", attributes);
	wiping_free(attributes);
	return EXIT_DONE;
}

const struct command command_vehicle_show = {
	.words = "vehicle show",
	.arguments = "REFERENCE-ID",
	.summary = "show a vehicle's row (never its VIN)",
	.description = "Device, state, attributes and version of one vehicle.",
	.run = run_show,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};

static int run_history(const struct invocation *invocation)
{
	static const struct output_member columns[] = {
		{"at", "at"},	      {"event", "event"}, {"actor", "actor"},
		{"from", "from"},     {"to", "to"},	  {"serialNumber", "serial number"},
		{"reason", "reason"},
	};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	BUF_CLEANUP struct buf path = {.size_max = 2000};
	const char *cursor = option_get(invocation, "cursor");
	enum result result = buf_append_format(&path, "/v1/vehicles/%s/history?limit=100", invocation->arguments[0]);
	if (result == RESULT_OK && cursor != NULL)
		result = request_append_parameter(&path, "cursor", cursor);
	if (result != RESULT_OK)
		return fail("--cursor", result, NULL);
	int code = request_get(invocation, (const char *)path.data, &answer);
	if (code != EXIT_DONE || output_json(invocation, &answer))
		return code;
	output_table(json_object_get(answer.json, "entries"), columns, sizeof columns / sizeof columns[0]);
	const char *next = json_string_value(json_object_get(answer.json, "nextCursor"));
	if (next != NULL)
		say("older entries: --cursor %s", next);
	return EXIT_DONE;
}

const struct command command_vehicle_history = {
	.words = "vehicle history",
	.arguments = "REFERENCE-ID",
	.summary = "show what happened to a vehicle, newest first",
	.description = "Device changes, state changes, certificates; who did it and when.",
	.run = run_history,
	.options = {{"cursor", "CURSOR", "continue an earlier page", false}, {NULL, NULL, NULL, false}},
	.uses_api = true,
};

/* ---- vehicle list, signals -------------------------------------------------------------------------- */

static int run_list(const struct invocation *invocation)
{
	static const struct output_member columns[] = {
		{"referenceId", "Reference ID"}, {"deviceId", "device"},   {"state", "state"},
		{"createdAt", "created"},	 {"updatedAt", "updated"},
	};
	static const char *const filters[] = {"state", "deviceId", "cursor"};
	static const char *const options[] = {"state", "device-id", "cursor"};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	BUF_CLEANUP struct buf path = {.size_max = 2000};
	enum result result = buf_append_text(&path, "/v1/vehicles?limit=100");
	for (size_t i = 0; i < sizeof filters / sizeof filters[0] && result == RESULT_OK; i++)
		if (option_get(invocation, options[i]) != NULL)
			result = request_append_parameter(&path, filters[i], option_get(invocation, options[i]));
	if (result != RESULT_OK)
		return fail("the filters", result, NULL);
	int code = request_get(invocation, (const char *)path.data, &answer);
	if (code != EXIT_DONE || output_json(invocation, &answer))
		return code;
	output_table(json_object_get(answer.json, "vehicles"), columns, sizeof columns / sizeof columns[0]);
	const char *next = json_string_value(json_object_get(answer.json, "nextCursor"));
	if (next != NULL)
		say("more vehicles: --cursor %s", next);
	return EXIT_DONE;
}

const struct command command_vehicle_list = {
	.words = "vehicle list",
	.arguments = "",
	.summary = "list your tenant's vehicles",
	.description = "A page of 100, oldest first.",
	.run = run_list,
	.options = {{"state", "STATE", "only provisioned, active, suspended or decommissioned ones", false},
		    {"device-id", "ID", "only the one with this telematics unit", false},
		    {"cursor", "CURSOR", "continue an earlier page", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

/* A text is the vehicle's own, so it is shown with its control characters escaped. */
static json_t *signal_rows(const json_t *signals)
{
	json_t *rows = json_array(), *signal;
	const char *name;
	json_object_foreach((json_t *)signals, name, signal)
	{
		char *value = json_dumps(json_object_get(signal, "value"),
					 JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
		json_array_append_new(rows, json_pack("{s:s, s:s*, s:O}", "name", name, "value", value, "at",
						      json_object_get(signal, "at")));
		wiping_free(value);
	}
	return rows;
}

static int run_signals(const struct invocation *invocation)
{
	static const struct output_member columns[] = {{"at", "at"}, {"name", "signal"}, {"value", "value"}};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	char path[256];
	snprintf(path, sizeof path, "/v1/vehicles/%.64s/signals/latest", invocation->arguments[0]);
	int code = request_get(invocation, path, &answer);
	if (code != EXIT_DONE || output_json(invocation, &answer))
		return code;
	JSON_CLEANUP json_t *rows = signal_rows(json_object_get(answer.json, "signals"));
	output_table(rows, columns, sizeof columns / sizeof columns[0]);
	return EXIT_DONE;
}

const struct command command_vehicle_signals = {
	.words = "vehicle signals",
	.arguments = "REFERENCE-ID",
	.summary = "show the latest value of every signal of a vehicle",
	.description = "With the time at which the vehicle says it measured it.",
	.run = run_signals,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};

/* ---- tcu change, delete ---------------------------------------------------------------------------- */

static int change_tcu(const struct invocation *invocation, const char *new_device_id)
{
	BUF_CLEANUP struct buf body = {0};
	struct json_writer writer;
	const char *device_id = option_get(invocation, "device-id");
	json_writer_init(&writer, &body);
	json_object_begin(&writer);
	int code = vehicle_name_write(invocation, &writer);
	json_key(&writer, "deviceId");
	if (device_id != NULL)
		json_text(&writer, span_of_text(device_id));
	else
		json_null_value(&writer);
	json_key(&writer, "newDeviceId");
	if (new_device_id != NULL)
		json_text(&writer, span_of_text(new_device_id));
	else
		json_null_value(&writer);
	json_object_end(&writer);
	return code == EXIT_DONE
		       ? request_post(invocation, "/v1/tcu-changes", &writer, vehicle_members, VEHICLE_MEMBERS)
		       : code;
}

static int run_tcu_change(const struct invocation *invocation)
{
	const char *new_device_id = option_get(invocation, "new-device-id");
	if (new_device_id != NULL)
		return change_tcu(invocation, new_device_id);
	say_error("say which device comes: --new-device-id ID (to remove one: vinveil tcu delete)");
	return EXIT_USAGE;
}

static int run_tcu_delete(const struct invocation *invocation)
{
	if (option_get(invocation, "device-id") != NULL)
		return change_tcu(invocation, NULL);
	say_error("say which device goes: --device-id ID");
	return EXIT_USAGE;
}

#define REFERENCE_ID_OPTION                                                                                  \
	{                                                                                                    \
		"reference-id", "ID", "the vehicle; else its VIN or hash is read from standard input", false \
	}

const struct command command_tcu_change = {
	.words = "tcu change",
	.arguments = "",
	.summary = "replace a vehicle's telematics unit",
	.description = "The old unit's certificates are revoked; the vehicle keeps its Reference ID and the new unit\n"
		       "provisions under it. Without --device-id the vehicle must have no unit now.",
	.run = run_tcu_change,
	.options = {{"device-id", "ID", "the unit that is in it now", false},
		    {"new-device-id", "ID", "the unit that comes", false},
		    REFERENCE_ID_OPTION,
		    VIN_INPUT_OPTION,
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

const struct command command_tcu_delete = {
	.words = "tcu delete",
	.arguments = "",
	.summary = "remove a vehicle's telematics unit",
	.description = "The unit's certificates are revoked and the vehicle has no device until one is attached.",
	.run = run_tcu_delete,
	.options = {{"device-id", "ID", "the unit that is in it now", false},
		    REFERENCE_ID_OPTION,
		    VIN_INPUT_OPTION,
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};
