/* `vinveil tenant add`, `list`; `vinveil devices load`. */
#include "base/text.h"
#include "programs/vinveil/commands.h"
#include "programs/vinveil/request.h"
#include "vehicle/tenant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct output_member tenant_columns[] = {
	{"tenantId", "tenant"},
	{"checkDigitPolicy", "check digit"},
	{"manifestRequired", "manifest required"},
	{"telemetryRetentionDays", "telemetry days"},
	{"createdAt", "created"},
};
#define TENANT_COLUMNS (sizeof tenant_columns / sizeof tenant_columns[0])

static int run_tenant_add(const struct invocation *invocation)
{
	BUF_CLEANUP struct buf body = {0};
	struct json_writer writer;
	const char *check_digit = option_get(invocation, "check-digit");
	const char *days = option_get(invocation, "telemetry-retention-days");
	uint64_t number = 0;
	json_writer_init(&writer, &body);
	json_object_begin(&writer);
	json_member_text(&writer, "tenantId", invocation->arguments[0]);
	json_member_text(&writer, "checkDigitPolicy", check_digit != NULL ? check_digit : "warn");
	json_key(&writer, "manifestRequired");
	json_bool(&writer, !option_is_set(invocation, "no-manifest"));
	if (days != NULL) {
		if (text_parse_u64(span_of_text(days), TELEMETRY_RETENTION_MAX_DAYS, &number) != RESULT_OK ||
		    number == 0) {
			say_error("--telemetry-retention-days: a number of days, 1 to %d",
				  TELEMETRY_RETENTION_MAX_DAYS);
			return EXIT_USAGE;
		}
		json_member_number(&writer, "telemetryRetentionDays", (int64_t)number);
	}
	json_object_end(&writer);
	return request_post(invocation, "/v1/tenants", &writer, tenant_columns, TENANT_COLUMNS);
}

const struct command command_tenant_add = {
	.words = "tenant add",
	.arguments = "NAME",
	.summary = "make a tenant: a brand, region or operator",
	.description = "Vehicles, devices, keys and clients belong to one tenant and are invisible to all others.",
	.run = run_tenant_add,
	.options = {{"check-digit", "POLICY", "off, warn (default) or enforce the VIN's check digit", false},
		    {"no-manifest", NULL, "let devices provision that no manifest names", false},
		    {"telemetry-retention-days", "N",
		     "keep its vehicles' telemetry so long (else as the installation does)", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

static int run_tenant_list(const struct invocation *invocation)
{
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	int code = request_get(invocation, "/v1/tenants", &answer);
	if (code == EXIT_DONE && !output_json(invocation, &answer))
		output_table(json_object_get(answer.json, "tenants"), tenant_columns, TENANT_COLUMNS);
	return code;
}

const struct command command_tenant_list = {
	.words = "tenant list",
	.arguments = "",
	.summary = "list the tenants and their policies",
	.description = "Needs the scope `platform`.",
	.run = run_tenant_list,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};

/* ---- devices load ---------------------------------------------------------------------------------- */

static void print_load(const json_t *answer)
{
	static const struct output_member members[] = {{"accepted", "accepted"}, {"duplicates", "known already"}};
	static const struct output_member columns[] = {{"line", "line"}, {"problem", "problem"}};
	output_members(answer, members, 2);
	const json_t *rejected = json_object_get(answer, "rejected");
	const json_t *count = json_object_get(answer, "rejectedCount");
	printf("%-17s %" JSON_INTEGER_FORMAT "\n", "rejected",
	       count != NULL ? json_integer_value(count) : (json_int_t)json_array_size(rejected));
	if (json_array_size(rejected) > 0)
		output_table(rejected, columns, 2);
}

static int run_devices_load(const struct invocation *invocation)
{
	API_CONNECTION_CLEANUP struct api_connection connection = {0};
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	const char *path = invocation->arguments[0];
	int descriptor = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	if (descriptor >= 0 && fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
		close(descriptor);
		descriptor = -1;
		errno = EISDIR;
	}
	if (descriptor < 0) {
		say_error("%s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	int code = api_connection_open(invocation, &connection);
	if (code == EXIT_DONE)
		code = api_upload(&connection, "/v1/devices", "application/x-ndjson", descriptor, &answer);
	if (descriptor != STDIN_FILENO)
		close(descriptor);
	if (code == EXIT_DONE && !output_json(invocation, &answer))
		print_load(answer.json);
	return code == EXIT_DONE && json_array_size(json_object_get(answer.json, "rejected")) > 0 ? EXIT_FAILED : code;
}

const struct command command_devices_load = {
	.words = "devices load",
	.arguments = "FILE",
	.summary = "load a manufacturer's device manifest",
	.description =
		"NDJSON, any size, `-` for standard input; a line:\n"
		"  {\"deviceId\": \"TCU-1\", \"model\": \"…\", \"manufacturer\": \"…\", \"publicKeySha256\": \"…\"}\n"
		"Good lines are taken, bad ones named; loading the same file again is safe. Exit code 1 when a\n"
		"line was rejected.",
	.run = run_devices_load,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};
