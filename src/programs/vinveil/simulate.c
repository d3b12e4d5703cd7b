/*
 * `vinveil simulate`: a fleet of vehicles that are connected over MQTT, drive, send telemetry and obey commands. For
 * demonstrations, tests and benchmarks: the connections, keys and certificates are real.
 */
#include "programs/vinveil/api_connection.h"
#include "programs/vinveil/commands.h"
#include "programs/vinveil/simulate_drive.h"
#include "programs/vinveil/simulate_provision.h"
#include "programs/vinveil/simulate_split.h"

#include "base/text.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define VEHICLES_MAX	    100000
#define RATE_MAX	    10000.0
#define CREDENTIALS_DEFAULT "simulation" /* in the development installation */
#define PARALLEL_DEFAULT    8

struct simulation {
	const struct invocation *invocation;
	struct mqtt_endpoint endpoint;
	char credentials[PATH_SIZE], claim_certificate[PATH_SIZE], claim_key[PATH_SIZE], template_name[65];
	struct fleet_options fleet;
	struct vehicle_identity *vehicles;
	size_t count;
	uint32_t seed;
	size_t parallel;
	bool by_claim, only_provision;
	struct provisioning_counts provisioned;
};

static volatile int is_stopped;

static void stop(int signal)
{
	(void)signal;
	is_stopped = 1;
}

/* ---- where the broker is --------------------------------------------------------------------------------- */

static enum result copy_text(const json_t *object, const char *name, char *ret_text, size_t size)
{
	struct span text;
	TRY(json_get_text(object, name, size - 1, &text));
	snprintf(ret_text, size, "%.*s", (int)text.size, (const char *)text.data);
	return RESULT_OK;
}

/* From dev.json, as far as nothing was said on the command line. */
static enum result read_dev(struct simulation *simulation, const char *directory, struct note *note)
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
	const json_t *mqtt = json_object_get(json, "mqtt");
	simulation->endpoint.port = (uint16_t)json_integer_value(json_object_get(mqtt, "port"));
	TRY(copy_text(mqtt, "host", simulation->endpoint.host, sizeof simulation->endpoint.host));
	TRY(copy_text(mqtt, "caCertificate", simulation->endpoint.ca, sizeof simulation->endpoint.ca));
	TRY(copy_text(mqtt, "claimCertificate", simulation->claim_certificate, PATH_SIZE));
	TRY(copy_text(mqtt, "claimKey", simulation->claim_key, PATH_SIZE));
	TRY(copy_text(mqtt, "template", simulation->template_name, sizeof simulation->template_name));
	return path_join(directory, CREDENTIALS_DEFAULT, simulation->credentials);
}

/* "mqtt.example:8883", "[::1]:8883" */
static bool parse_endpoint(const char *text, struct mqtt_endpoint *ret_endpoint)
{
	const char *colon = strrchr(text, ':');
	char *end;
	if (colon == NULL || colon == text)
		return false;
	unsigned long port = strtoul(colon + 1, &end, 10);
	size_t length = (size_t)(colon - text);
	if (text[0] == '[' && colon[-1] == ']') {
		text++;
		length -= 2;
	}
	if (*end != '\0' || port == 0 || port > 65535 || length == 0 || length >= sizeof ret_endpoint->host)
		return false;
	snprintf(ret_endpoint->host, sizeof ret_endpoint->host, "%.*s", (int)length, text);
	ret_endpoint->port = (uint16_t)port;
	return true;
}

static void take_text(const struct invocation *invocation, const char *option, char *ret_text, size_t size)
{
	const char *value = option_get(invocation, option);
	if (value != NULL)
		snprintf(ret_text, size, "%s", value);
}

static int locate(struct simulation *simulation)
{
	const struct invocation *invocation = simulation->invocation;
	const char *directory = option_get(invocation, "data"), *endpoint = option_get(invocation, "endpoint");
	struct note note = {0};
	snprintf(simulation->template_name, sizeof simulation->template_name, "vinveil");
	enum result result = directory != NULL ? read_dev(simulation, directory, &note) : RESULT_OK;
	if (result != RESULT_OK)
		return fail("where is the broker", result, &note);
	if (endpoint != NULL && !parse_endpoint(endpoint, &simulation->endpoint)) {
		say_error("--endpoint takes HOST:PORT, for example mqtt.example:8883");
		return EXIT_USAGE;
	}
	take_text(invocation, "ca", simulation->endpoint.ca, PATH_SIZE);
	take_text(invocation, "credentials", simulation->credentials, PATH_SIZE);
	take_text(invocation, "claim-certificate", simulation->claim_certificate, PATH_SIZE);
	take_text(invocation, "claim-key", simulation->claim_key, PATH_SIZE);
	if (simulation->endpoint.host[0] != '\0' && simulation->endpoint.ca[0] != '\0' &&
	    simulation->credentials[0] != '\0')
		return EXIT_DONE;
	say_error("say where: --data DIR of a development installation, or --endpoint HOST:PORT, --ca FILE and "
		  "--credentials DIR");
	return EXIT_USAGE;
}

/* ---- what to do ------------------------------------------------------------------------------------------- */

static bool get_real(const struct invocation *invocation, const char *name, double most, double otherwise,
		     double *ret_value)
{
	const char *text = option_get(invocation, name);
	char *end = NULL;
	*ret_value = text != NULL ? strtod(text, &end) : otherwise;
	if (text == NULL ||
	    (end != text && *end == '\0' && isfinite(*ret_value) && *ret_value >= 0 && *ret_value <= most))
		return true;
	say_error("--%s takes a number from 0 to %.0f", name, most);
	return false;
}

static bool take_failing(struct simulation *simulation)
{
	const struct invocation *invocation = simulation->invocation;
	size_t count = 0;
	for (size_t i = 0; i < invocation->value_count; i++) {
		if (strcmp(invocation->values[i].name, "fail") != 0)
			continue;
		if (count == FAILING_COMMANDS_MAX) {
			say_error("--fail: at most %d commands", FAILING_COMMANDS_MAX);
			return false;
		}
		simulation->fleet.failing[count++] = invocation->values[i].value;
	}
	return true;
}

static bool take_provisioning(struct simulation *simulation)
{
	const char *way = option_get(simulation->invocation, "provision");
	simulation->by_claim = way != NULL && strcmp(way, "claim") == 0;
	if (way == NULL || simulation->by_claim || strcmp(way, "api") == 0)
		return true;
	say_error("--provision takes api or claim");
	return false;
}

static int take_options(struct simulation *simulation)
{
	const struct invocation *invocation = simulation->invocation;
	int64_t vehicles, seed, parallel;
	if (!option_get_number(invocation, "vehicles", 1, VEHICLES_MAX, 10, &vehicles) ||
	    !option_get_number(invocation, "seed", 0, UINT32_MAX, 1, &seed) ||
	    !option_get_number(invocation, "parallel", 1, 64, PARALLEL_DEFAULT, &parallel) ||
	    !get_real(invocation, "rate", RATE_MAX, 1, &simulation->fleet.messages_per_second) ||
	    !get_real(invocation, "connect-rate", RATE_MAX, 500, &simulation->fleet.connects_per_second) ||
	    !get_real(invocation, "seconds", 1e7, 0, &simulation->fleet.seconds) || !take_failing(simulation) ||
	    !take_provisioning(simulation))
		return EXIT_USAGE;
	if (simulation->fleet.connects_per_second < 1)
		simulation->fleet.connects_per_second = 1;
	simulation->count = (size_t)vehicles;
	simulation->seed = (uint32_t)seed;
	simulation->parallel = (size_t)parallel;
	simulation->only_provision = option_is_set(invocation, "only-provision");
	return EXIT_DONE;
}

/* ---- the run ---------------------------------------------------------------------------------------------- */

static int provision(struct simulation *simulation)
{
	const struct provisioning provisioning = {
		.invocation = simulation->invocation,
		.directory = simulation->credentials,
		.seed = simulation->seed,
		.vehicles = simulation->vehicles,
		.count = simulation->count,
		.parallel = simulation->parallel,
		.is_stopped = &is_stopped,
		.endpoint = &simulation->endpoint,
		.claim_certificate = simulation->claim_certificate,
		.claim_key = simulation->claim_key,
		.template_name = simulation->template_name,
	};
	size_t wanted = provisioning_count_wanted(&provisioning);
	if (wanted == 0)
		return EXIT_DONE;
	if (simulation->by_claim && simulation->claim_certificate[0] == '\0') {
		say_error("say which claim: --claim-certificate FILE and --claim-key FILE");
		return EXIT_USAGE;
	}
	say("provisioning %zu %s %s …", wanted, text_plural(wanted, "vehicle", "vehicles"),
	    simulation->by_claim ? "by claim" : "through the API");
	int code = option_is_set(simulation->invocation, "no-manifest") ? EXIT_DONE : provision_devices(&provisioning);
	if (code == EXIT_DONE)
		code = simulation->by_claim ? provision_by_claim(&provisioning, &simulation->provisioned)
					    : provision_by_api(&provisioning, &simulation->provisioned);
	return code;
}

static void tell_settled(const struct fleet_counts *counts)
{
	const char *noun = text_plural(counts->connected, "vehicle is", "vehicles are");
	if (counts->refusals > 0)
		say("%zu %s connected; refused so far: %llu", counts->connected, noun,
		    (unsigned long long)counts->refusals);
	else
		say("%zu %s connected", counts->connected, noun);
	if (counts->connections == 0)
		say_error("nobody could connect%s%s%s: is the broker there, its certificate of --ca's root, and no "
			  "vehicle revoked or suspended? The broker's log says whom it refuses, and why",
			  counts->failure[0] != '\0' ? " (" : "", counts->failure,
			  counts->failure[0] != '\0' ? ")" : "");
}

static double rate_of(double count, double seconds)
{
	return seconds > 0 ? count / seconds : 0;
}

static void write_json(const struct simulation *simulation, const struct fleet_counts *counts)
{
	const struct provisioning_counts *provisioned = &simulation->provisioned;
	printf("{\"vehicles\":%zu,\"provisioned\":%zu,\"provisionedPerSecond\":%.1f,\"connected\":%zu,"
	       "\"connections\":%llu,\"disconnections\":%llu,\"refusals\":%llu,\"published\":%llu,"
	       "\"acknowledged\":%llu,\"refused\":%llu,\"commands\":%llu,\"commandsRejected\":%llu,\"seconds\":%.2f,"
	       "\"perSecond\":%.1f,\"p50us\":%llu,\"p99us\":%llu,\"maxUs\":%llu}\n",
	       simulation->count, provisioned->done, rate_of((double)provisioned->done, provisioned->seconds),
	       counts->connected, (unsigned long long)counts->connections, (unsigned long long)counts->disconnections,
	       (unsigned long long)counts->refusals, (unsigned long long)counts->published,
	       (unsigned long long)counts->acknowledged, (unsigned long long)counts->refused,
	       (unsigned long long)counts->commands, (unsigned long long)counts->commands_rejected, counts->seconds,
	       rate_of((double)counts->measured, counts->seconds),
	       (unsigned long long)latency_of(&counts->latency, 500),
	       (unsigned long long)latency_of(&counts->latency, 990), (unsigned long long)counts->latency.most_us);
}

static void write_text(const struct simulation *simulation, const struct fleet_counts *counts)
{
	const struct provisioning_counts *provisioned = &simulation->provisioned;
	printf("vehicles      %zu, %zu connected at the end\n", simulation->count, counts->connected);
	if (provisioned->wanted > 0)
		printf("provisioned   %zu in %.1f s: %.0f a second\n", provisioned->done, provisioned->seconds,
		       rate_of((double)provisioned->done, provisioned->seconds));
	printf("connections   %llu made, %llu lost, %llu refused\n", (unsigned long long)counts->connections,
	       (unsigned long long)counts->disconnections, (unsigned long long)counts->refusals);
	printf("messages      %llu published, %llu acknowledged (%.0f a second), %llu refused\n",
	       (unsigned long long)counts->published, (unsigned long long)counts->acknowledged,
	       rate_of((double)counts->measured, counts->seconds), (unsigned long long)counts->refused);
	printf("to PUBACK     p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
	       (double)latency_of(&counts->latency, 500) / 1000, (double)latency_of(&counts->latency, 990) / 1000,
	       (double)counts->latency.most_us / 1000);
	printf("commands      %llu obeyed, %llu %s rejected\n", (unsigned long long)counts->commands,
	       (unsigned long long)counts->commands_rejected,
	       text_plural(counts->commands_rejected, "answer", "answers"));
}

static int drive(struct simulation *simulation, struct fleet_counts *counts)
{
	struct note note = {0};
	simulation->fleet.endpoint = &simulation->endpoint;
	simulation->fleet.vehicles = simulation->vehicles;
	simulation->fleet.count = simulation->count;
	simulation->fleet.seed = simulation->seed;
	simulation->fleet.tell_settled = tell_settled;
	enum result result = fleet_run_split(&simulation->fleet, &is_stopped, counts, &note);
	return result == RESULT_OK ? EXIT_DONE : fail("the fleet", result, &note);
}

static int simulate(struct simulation *simulation)
{
	struct fleet_counts counts = {0};
	struct note note = {0};
	enum result result = credentials_find(simulation->credentials, simulation->vehicles, simulation->count, &note);
	if (result != RESULT_OK)
		return fail("the credentials", result, &note);
	int code = provision(simulation);
	if (code == EXIT_DONE && !simulation->only_provision && !is_stopped)
		code = drive(simulation, &counts);
	if (code != EXIT_DONE)
		return code;
	if (option_is_set(simulation->invocation, "json"))
		write_json(simulation, &counts);
	else
		write_text(simulation, &counts);
	/* All have been tried, and nobody came through. */
	return counts.seconds > 0 && counts.connections == 0 ? EXIT_FAILED : EXIT_DONE;
}

static int run_simulate(const struct invocation *invocation)
{
	struct simulation simulation = {.invocation = invocation};
	struct sigaction action = {.sa_handler = stop};
	int code = take_options(&simulation);
	if (code == EXIT_DONE)
		code = locate(&simulation);
	if (code != EXIT_DONE)
		return code;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	simulation.vehicles = calloc(simulation.count, sizeof *simulation.vehicles);
	if (simulation.vehicles == NULL)
		return fail("starting", RESULT_MEMORY, NULL);
	code = simulate(&simulation);
	free(simulation.vehicles);
	return code;
}

const struct command command_simulate = {
	.words = "simulate",
	.arguments = "",
	.summary = "let a fleet of simulated vehicles drive, over real MQTT connections",
	.description =
		"Provisions the vehicles that have no credentials yet (as client factory, or by claim as telematics\n"
		"units do themselves), connects each with its own certificate, and lets them drive: they send COVESA\n"
		"VSS signals, obey commands (lock, unlock, locate, climate-on, climate-off, honk, flash; others they\n"
		"reject) and connect again when they are cut off. VINs and drives follow from --seed; keys and\n"
		"certificates are kept, so that a second run goes on with the same vehicles. Ends after --seconds,\n"
		"or on ^C, with a summary.",
	.run = run_simulate,
	.options = {{"vehicles", "N", "how many (default 10)", false},
		    {"rate", "R", "messages a second of each; 0.1: one in ten seconds; 0: none (default 1)", false},
		    {"seconds", "S", "for how long, once all are connected (default: until ^C)", false},
		    {"provision", "WAY", "api (default) or claim", false},
		    {"only-provision", NULL, "make credentials, and do not drive", false},
		    {"no-manifest", NULL, "do not load the devices into the manifest first", false},
		    {"credentials", "DIR", "where theirs are kept (default with --data: DIR/simulation)", false},
		    {"endpoint", "ADDRESS", "the broker, HOST:PORT (default with --data: its own)", false},
		    {"ca", "FILE", "the root of the broker's certificate", false},
		    {"claim-certificate", "FILE", "for --provision claim", false},
		    {"claim-key", "FILE", "and its key", false},
		    {"parallel", "N", "how many are provisioned at once (default 8)", false},
		    {"connect-rate", "R", "new connections a second (default 500)", false},
		    {"fail", "NAME", "a command that fails", true},
		    {"seed", "N", "which fleet (default 1)", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};
