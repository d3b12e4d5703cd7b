#include "programs/vinveil/broker_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const gateway_spools[SPOOL_COUNT] = {
	[SPOOL_EVENTS] = "spool/events",
	[SPOOL_TELEMETRY] = "spool/telemetry",
	[SPOOL_CONTROL] = "spool/control",
};

static const char head[] =
	"# Mosquitto as the vehicles' broker. Written by vinveil: `vinveil dev` writes it anew at each start; in\n"
	"# production it is yours, but each line says what follows from changing it.\n"
	"#\n"
	"# Who connects, and to what, is decided by the plugin alone: it must be asked for every connection.\n"
	"# The plugin is asked regularly only when the settings are the whole broker's.\n"
	"per_listener_settings false\n"
	"# A vehicle has no user name and no password: its certificate is all. The plugin answers for it.\n"
	"allow_anonymous false\n"
	"allow_zero_length_clientid false\n";

static const char manners[] =
	"\n# Without it each answer waits for the one before it to be acknowledged: 40 ms a message. (A UNIX socket "
	"has no\n"
	"# such thing: that it is \"Unable to set TCP_NODELAY\" is said whenever vinveild connects, and nothing is "
	"wrong.)\n"
	"set_tcp_nodelay true\n"
	"# What waits in a vehicle's session. Never 0: the broker then disconnects at each denied publish.\n"
	"max_queued_messages 1000\n"
	"max_queued_bytes 4194304\n"
	"queue_qos0_messages false\n"
	"# Vehicles' payloads have a bound of 128 KiB; vinveild's frames are larger. message_size_limit would not do:\n"
	"# it acknowledges to MQTT 3 what it drops.\n"
	"max_packet_size 262144\n"
	"# Sessions live in memory: commands that wait are the registry's, and nothing of a vehicle lies on this\n"
	"# disk but in the spools. An hour, as AWS IoT has it: whoever has a claim's key may leave as many as it\n"
	"# makes client IDs, and each takes 1.4 KB.\n"
	"persistence false\n"
	"persistent_client_expiration 1h\n"
	"# Nothing may be learnt about others: there is no $SYS tree; and client IDs that clients choose do not\n"
	"# reach the log.\n"
	"sys_interval 0\n"
	"connection_messages false\n"
	"log_dest stderr\n"
	"log_type error\n"
	"log_type warning\n"
	"log_timestamp_format %Y-%m-%dT%H:%M:%S\n";

/* Those of a listener that vehicles reach. With either of the two as user name, the plugin would not be asked. */
static const char tls_listener[] = "protocol %s\n"
				   "cafile %s/gateway/device-ca.pem\n"
				   "certfile %s/tls/broker.pem\n"
				   "keyfile %s/tls/broker.key\n"
				   "tls_version tlsv1.2\n"
				   "require_certificate true\n"
				   "use_identity_as_username false\n"
				   "use_subject_as_username false\n"
				   "max_qos 1\n";

static enum result append_plugin(const struct broker_config *config, struct buf *text)
{
	const struct installation *installation = config->installation;
	const char *directory = installation->directory;
	TRY(buf_append_format(text,
			      "\nplugin %s\n"
			      "# Telemetry and events: to these spools before the broker acknowledges.\n"
			      "plugin_opt_telemetry_spool %s/%s\nplugin_opt_events_spool %s/%s\n"
			      "# Provisioning requests hold VINs: to vinveild through memory alone.\n"
			      "plugin_opt_socket %s/" CLAIM_SOCKET "\n"
			      "# What vinveild shows; nobody else connects without a certificate.\n"
			      "plugin_opt_token_file %s/gateway/token\n"
			      "plugin_opt_template %s\n",
			      config->plugin, directory, gateway_spools[SPOOL_TELEMETRY], directory,
			      gateway_spools[SPOOL_EVENTS], directory, directory, GATEWAY_TEMPLATE));
	return buf_append_format(
		text,
		"# Without word from vinveild for so long: no new connections; then no connections at all.\n"
		"plugin_opt_stale_refuse_seconds %lld\nplugin_opt_stale_close_seconds %lld\n"
		"# A full spool refuses messages, so that vehicles keep them.\n"
		"plugin_opt_telemetry_spool_mib %lld\n"
		"# Of one vehicle; beyond it, it is cut off for a moment, and the others notice nothing.\n"
		"plugin_opt_messages_per_second %lld\nplugin_opt_messages_burst %lld\n",
		(long long)installation->stale_refuse_seconds, (long long)installation->stale_close_seconds,
		(long long)installation->telemetry_spool_mib, (long long)installation->messages_per_second,
		(long long)installation->messages_burst);
}

static enum result append_listener(const struct installation *installation, const char *comment, uint16_t port,
				   const char *protocol, struct buf *text)
{
	const char *directory = installation->directory;
	TRY(buf_append_format(text, "\n# %s\nlistener %u %s\n", comment, port, installation->mqtt_listen_address));
	return buf_append_format(text, tls_listener, protocol, directory, directory, directory);
}

enum result broker_config_format(const struct broker_config *config, struct buf *text)
{
	const struct installation *installation = config->installation;
	TRY(buf_append_text(text, head));
	TRY(append_plugin(config, text));
	TRY(buf_append_text(text, manners));
	TRY(buf_append_format(text, "# Whom it becomes when root starts it.\nuser %s\n", config->user));
	TRY(buf_append_format(text,
			      "\n# vinveild alone, by the token: it tells whom to refuse and what to deliver.\n"
			      "listener 0 %s/" BROKER_SOCKET "\n",
			      installation->directory));
	TRY(append_listener(installation, "Vehicles: MQTT over mutual TLS.", installation->mqtt_port, "mqtt", text));
	TRY(append_listener(
		installation,
		"The same for firmware that looks for it where AWS IoT has it; it offers ALPN x-amzn-mqtt-ca. (A port "
		"below 1024\n# needs the capability CAP_NET_BIND_SERVICE: root's goes before ports are opened.)",
		installation->alpn_port, "mqtt", text));
	TRY(append_listener(installation, "The same over WebSockets.", installation->websockets_port, "websockets",
			    text));
	/* libwebsockets takes every address otherwise, whatever the line above says. */
	return buf_append_format(text, "%s",
				 strchr(installation->mqtt_listen_address, ':') == NULL ? "socket_domain ipv4\n"
											: "socket_domain ipv6\n");
}

static bool try_plugin(const char *directory, const char *between, char ret_path[static PATH_SIZE])
{
	char folder[PATH_SIZE], path[PATH_SIZE];
	if (path_join(directory, between, folder) != RESULT_OK || path_join(folder, PLUGIN_NAME, path) != RESULT_OK)
		return false;
	return access(path, R_OK) == 0 && realpath(path, ret_path) != NULL;
}

enum result installation_plugin(char ret_path[static PATH_SIZE])
{
	/* In a build tree the plugin has a folder of its own; installed it is in the library directory. */
	static const char *const places[] = {".", "mosquitto-plugin", "../../bin"};
	char self[PATH_SIZE];
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	if (length <= 0)
		return RESULT_ABSENT;
	self[length] = '\0';
	char *slash = strrchr(self, '/');
	if (slash == NULL)
		return RESULT_ABSENT;
	*slash = '\0';
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		if (try_plugin(self, places[i], ret_path))
			return RESULT_OK;
	return try_plugin(VINVEIL_LIBDIR, "vinveil", ret_path) ? RESULT_OK : RESULT_ABSENT;
}

enum result broker_find(char ret_path[static PATH_SIZE])
{
	/* /usr/sbin is in no ordinary user's PATH. */
	const char *path = getenv("PATH");
	for (const char *at = "/usr/sbin"; at != NULL;) {
		size_t length = strcspn(at, ":");
		if (snprintf(ret_path, PATH_SIZE, "%.*s/mosquitto", (int)length, at) < PATH_SIZE && length > 0 &&
		    access(ret_path, X_OK) == 0)
			return RESULT_OK;
		const char *next = at[length] == ':' ? at + length + 1 : NULL;
		at = path != NULL ? path : next;
		path = NULL;
	}
	return RESULT_ABSENT;
}
