/* `vinveil init`: a new production installation. */
#include "programs/vinveil/api_connection.h"
#include "programs/vinveil/commands.h"
#include "programs/vinveil/installation.h"

#include "base/text.h"
#include "crypto/certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 16

static int take_names(const struct invocation *invocation, const char **ret_names)
{
	struct note note = {0};
	size_t count = 0;
	for (size_t i = 0; i < invocation->value_count; i++) {
		if (strcmp(invocation->values[i].name, "name") != 0)
			continue;
		if (count == NAMES_MAX) {
			say_error("--name: at most %d", NAMES_MAX);
			return EXIT_USAGE;
		}
		ret_names[count++] = invocation->values[i].value;
	}
	ret_names[count] = NULL;
	if (count == 0) {
		say_error("say how clients will reach it: --name vault.example (once for each DNS name or address)");
		return EXIT_USAGE;
	}
	const struct certificate_request request = {
		.profile = CERTIFICATE_SERVER, .name = ret_names[0], .alternatives = ret_names};
	if (certificate_check_hosts(&request, &note) == RESULT_OK)
		return EXIT_DONE;
	say_error("--name: %s", note.text);
	return EXIT_USAGE;
}

static void tell_next_steps(const struct installation *installation)
{
	printf("made %s\n\n"
	       "root keys        %s/{device,operator,server}-root.key\n"
	       "                 take them off this machine: only `vinveil client add` needs the operator root\n"
	       "first client     %s/platform.{key,pem}: makes tenants and their administrators\n"
	       "                 (vinveil tenant add NAME --profile %s/platform.conf)\n"
	       "audit log key    %s/ca/audit-log.vkey: give a copy to your auditors now\n\n"
	       "start it         vinveil-keyd --config %s/keyd.conf\n"
	       "                 vinveil serve --config %s/vinveild.conf\n"
	       "                 vinveil-ingest --config %s/ingest.conf\n"
	       "                 mosquitto -c %s/gateway/mosquitto.conf\n"
	       "                 (each under a user of its own: vinveil(1), USERS AND GROUPS, has the lines to paste)\n"
	       "keep the keys    vinveil keys export --data %s --out FILE\n",
	       installation->directory, installation->roots_directory, installation->roots_directory,
	       installation->roots_directory, installation->directory, installation->directory, installation->directory,
	       installation->directory, installation->directory, installation->directory);
}

/* Whether the directory would lie in the other one, as far as their names say; both may not be there yet. */
static bool lies_in(const char *path, const char *directory)
{
	size_t length = strlen(directory);
	while (length > 1 && directory[length - 1] == '/')
		length--;
	return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* So that the first client can be used at once: `--profile ROOTS/platform.conf`. */
static enum result write_profile(const struct installation *installation, struct note *note)
{
	char roots[PATH_SIZE], url[PATH_SIZE], ca[PATH_SIZE], paths[3][PATH_SIZE];
	const char *name = installation->server_names[0];
	bool is_v6 = strchr(name, ':') != NULL;
	if (realpath(installation->roots_directory, roots) == NULL)
		return RESULT_ABSENT;
	snprintf(url, sizeof url, "https://%s%.255s%s:%u", is_v6 ? "[" : "", name, is_v6 ? "]" : "",
		 installation->api_port);
	TRY(path_join(installation->directory, "ca/server-root.pem", ca));
	TRY(path_join(roots, "platform.conf", paths[0]));
	TRY(path_join(roots, "platform.pem", paths[1]));
	TRY(path_join(roots, "platform.key", paths[2]));
	return api_profile_write(paths[0], url, ca, paths[1], paths[2], note);
}

/* Two on one port: the second process that starts would not. */
static bool check_ports(const struct installation *installation)
{
	const uint16_t ports[] = {installation->api_port,    installation->operations_port,
				  installation->ingest_port, installation->mqtt_port,
				  installation->alpn_port,   installation->websockets_port};
	for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
		for (size_t j = 0; j < i; j++)
			if (ports[i] == ports[j]) {
				say_error("port %u is wanted twice: --port takes three, N, N+1 and N+2", ports[i]);
				return false;
			}
	return true;
}

/* The ports, and the addresses behind which they are. */
static int take_ports(const struct invocation *invocation, struct installation *installation)
{
	const char *listen = option_get(invocation, "listen");
	int64_t port, mqtt_port, alpn_port, websockets_port;
	if (!option_get_number(invocation, "port", 1, 65533, 8443, &port) ||
	    !option_get_number(invocation, "mqtt-port", 1, 65535, 8883, &mqtt_port) ||
	    !option_get_number(invocation, "mqtt-alpn-port", 1, 65535, 443, &alpn_port) ||
	    !option_get_number(invocation, "mqtt-websockets-port", 1, 65535, 8884, &websockets_port))
		return EXIT_USAGE;
	installation->api_port = (uint16_t)port;
	installation->operations_port = (uint16_t)(port + 1);
	installation->ingest_port = (uint16_t)(port + 2);
	installation->mqtt_port = (uint16_t)mqtt_port;
	installation->alpn_port = (uint16_t)alpn_port;
	installation->websockets_port = (uint16_t)websockets_port;
	installation->gateway_endpoint = installation->server_names[0];
	listen = listen != NULL ? listen : "0.0.0.0";
	if (!text_is_address(listen)) {
		say_error("--listen takes a numeric address: 0.0.0.0, :: or one of this machine's");
		return EXIT_USAGE;
	}
	snprintf(installation->mqtt_listen_address, sizeof installation->mqtt_listen_address, "%s", listen);
	snprintf(installation->listen_address, sizeof installation->listen_address, "%s", listen);
	return check_ports(installation) ? EXIT_DONE : EXIT_USAGE;
}

static int run_init(const struct invocation *invocation)
{
	struct installation installation = {0};
	struct note note = {0};
	const char *names[NAMES_MAX + 1];
	const char *directory = option_get(invocation, "data"), *roots = option_get(invocation, "root-out");
	if (directory == NULL || roots == NULL) {
		say_error("say where: --data DIR for the installation, --root-out DIR for the root keys (another "
			  "medium)");
		return EXIT_USAGE;
	}
	installation.server_names = names;
	installation_set_gateway_defaults(&installation);
	if (take_names(invocation, names) != EXIT_DONE || take_ports(invocation, &installation) != EXIT_DONE)
		return EXIT_USAGE;
	if (snprintf(installation.roots_directory, PATH_SIZE, "%s", roots) >= PATH_SIZE) {
		say_error("--root-out: the path is too long");
		return EXIT_USAGE;
	}
	if (lies_in(roots, directory)) {
		say_error("the root keys must not go into the data directory: choose another --root-out");
		return EXIT_USAGE;
	}
	enum result result = installation_create(&installation, directory, &note);
	if (result == RESULT_OK)
		result = write_profile(&installation, &note);
	if (result != RESULT_OK)
		return fail("making the installation", result, &note);
	tell_next_steps(&installation);
	return EXIT_DONE;
}

const struct command command_init = {
	.words = "init",
	.arguments = "",
	.summary = "make a new installation: roots, keys, registry, configuration",
	.description =
		"Makes the three roots (device, operator, server), keyd's keys and the device issuer, the server's\n"
		"certificate, an empty registry with the tenant `platform` and its first client, and the\n"
		"configuration files of all four processes. The root keys go to --root-out, never into the data "
		"directory.",
	.run = run_init,
	.options = {{"data", "DIR", "the installation; must be empty", false},
		    {"root-out", "DIR", "where the root keys and the first client go: keep it offline", false},
		    {"name", "NAME", "DNS name or address in the server's certificate", true},
		    {"listen", "ADDRESS", "address of the API and of the broker (default 0.0.0.0)", false},
		    {"port", "N", "API on port N, operations on loopback ports N+1 and N+2 (default 8443)", false},
		    {"mqtt-port", "N", "vehicles: MQTT over mutual TLS (default 8883)", false},
		    {"mqtt-alpn-port", "N", "the same, where AWS IoT's firmware looks for it (default 443)", false},
		    {"mqtt-websockets-port", "N", "the same over WebSockets (default 8884)", false},
		    {NULL, NULL, NULL, false}},
};
