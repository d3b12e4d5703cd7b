#include "programs/vinveild_devices.h"

#include "adapters/telemetry/control.h"
#include "adapters/telemetry/sqlite.h"
#include "base/log.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>

#define CONTROL_SEGMENT_SIZE ((size_t)8 << 20)

/* ---- configuration ---------------------------------------------------------------------------------- */

static enum result demand(const char *value, const char *key, struct note *note)
{
	if (value[0] != '\0')
		return RESULT_OK;
	note_set(note, "[gateway] broker_socket is set, so %s must be, too", key);
	return RESULT_INVALID;
}

static enum result find_broker_user(const char *name, uid_t *ret_uid, struct note *note)
{
	char room[4096];
	struct passwd entry, *user = NULL;

	if (getpwnam_r(name, &entry, room, sizeof room, &user) != 0 || user == NULL) {
		note_set(note, "[gateway] broker_user: there is no user %.64s", name);
		return RESULT_INVALID;
	}
	*ret_uid = user->pw_uid;
	return RESULT_OK;
}

enum result devices_check_config(const struct devices_config *config, struct note *note)
{
	uid_t broker;

	if (config->broker_socket[0] == '\0')
		return RESULT_OK;
	if (config->broker_user[0] != '\0')
		TRY(find_broker_user(config->broker_user, &broker, note));
	TRY(demand(config->claim_socket, "[gateway] claim_socket", note));
	TRY(demand(config->token, "[gateway] token", note));
	return demand(config->events_spool, "[gateway] events_spool", note);
}

/* ---- the gateway -------------------------------------------------------------------------------------- */

/* What an operator at night wants to read once, and what he can do. */
static void log_notice(void *context, enum gateway_notice notice, const struct note *note)
{
	static const struct {
		enum log_level level;
		const char *text;
	} lines[] = {
		[GATEWAY_NOTICE_CONNECTED] = {LOG_INFO, "the broker has the deny list; vehicles may connect"},
		[GATEWAY_NOTICE_DISCONNECTED] = {LOG_WARN, "the broker is away; it is tried again"},
		[GATEWAY_NOTICE_REFUSED] = {LOG_ERROR, "the broker does not accept the token: it must be the same "
						       "file as the plugin's token_file"},
		[GATEWAY_NOTICE_SILENT] = {LOG_WARN, "the broker is connected, but its plugin has not been heard for "
						     "seconds: is mosquitto stopped or overloaded?"},
		[GATEWAY_NOTICE_HEARD] = {LOG_INFO, "the broker is heard again"},
		[GATEWAY_NOTICE_LIST_UNAVAILABLE] = {LOG_ERROR, "the registry did not give the deny list; tried again"},
		[GATEWAY_NOTICE_EVENTS_DELAYED] = {LOG_WARN, "vehicles' events wait; tried again"},
		[GATEWAY_NOTICE_EVENTS_DAMAGED] = {LOG_ERROR, "a stretch of the events spool was damaged and skipped"},
		[GATEWAY_NOTICE_PEER_REFUSED] = {LOG_ERROR, "somebody who is not the broker was refused at the claims' "
							    "socket ([gateway] broker_user)"},
		[GATEWAY_NOTICE_PEER_NONSENSE] = {LOG_ERROR, "the broker's plugin speaks another protocol"},
	};

	(void)context;
	log_event(lines[notice].level, "gateway", "%s%s%s", lines[notice].text, note->text[0] != '\0' ? ": " : "",
		  note->text);
}

static enum result allow_broker(const struct devices_config *config, struct gateway_mosquitto_config *gateway,
				struct note *note)
{
	if (config->broker_user[0] == '\0')
		return RESULT_OK;
	TRY(find_broker_user(config->broker_user, &gateway->allowed[gateway->allowed_count], note));
	gateway->allowed_count++;
	return RESULT_OK;
}

static enum result open_gateway(struct devices *devices, const struct devices_config *config,
				const struct platform *platform, struct note *note)
{
	struct gateway_mosquitto_config gateway = {
		.broker_socket = config->broker_socket,
		.token_path = config->token,
		.events_spool = config->events_spool,
		.claim_socket = config->claim_socket,
		.claim_socket_mode = config->broker_user[0] != '\0' ? 0660 : 0600,
		.registry = platform->registry,
		.events = &fleet_events,
		.events_context = devices->fleet,
		.clock = platform->clock,
		.on_notice = log_notice,
	};

	TRY(allow_broker(config, &gateway, note));
	return gateway_mosquitto_open(&gateway, &devices->gateway, note);
}

/* ---- opening and closing ------------------------------------------------------------------------------ */

enum result devices_open(struct devices *devices, const struct devices_config *config, struct platform *platform,
			 struct note *note)
{
	struct telemetry_sqlite_options options = {.is_read_only = true};
	/* Told now and then, and little: a small spool lasts, and is looked through quickly. */
	struct spool_config control = {
		.directory = config->control_spool,
		.segment_size = CONTROL_SEGMENT_SIZE,
		.clock = platform->clock,
	};

	if (config->store[0] != '\0')
		TRY(telemetry_sqlite_open(config->store, &options, &devices->telemetry, note));
	if (config->control_spool[0] != '\0')
		TRY(telemetry_control_open(&control, &devices->control, note));
	platform->telemetry = devices->telemetry;
	platform->telemetry_control = devices->control;
	return RESULT_OK;
}

enum result devices_serve(struct devices *devices, const struct devices_config *config, struct platform *platform,
			  struct note *note)
{
	struct fleet_config fleet = {.platform = platform, .template_name = config->template_name};

	if (config->broker_socket[0] == '\0')
		return RESULT_OK;
	TRY(fleet_open(&fleet, &devices->fleet, note));
	TRY(open_gateway(devices, config, platform, note));
	platform->gateway = devices->gateway;
	return gateway_mosquitto_start(devices->gateway);
}

static void tell_broker(const struct devices *devices, struct api_broker_state *ret_state)
{
	struct plugin_counters counters;

	if (gateway_mosquitto_counters(devices->gateway, &counters) != RESULT_OK)
		return;
	*ret_state = (struct api_broker_state){
		.is_known = true,
		.refused = counters.refused,
		.kicked = counters.kicked,
		.flooded = counters.flooded,
		.masked = counters.masked,
		.telemetry = counters.telemetry,
		.spool_refused = counters.spool_refused,
		.claims_dropped = counters.claims_dropped,
	};
}

void devices_tell_state(const struct devices *devices, struct api_fleet_state *ret_state)
{
	if (devices->fleet == NULL)
		return;
	const struct fleet_counters *counters = fleet_get_counters(devices->fleet);
	*ret_state = (struct api_fleet_state){
		.connections = atomic_load(&counters->connections),
		.command_responses = atomic_load(&counters->command_responses),
		.checkins = atomic_load(&counters->checkins),
		.cloned_keys = atomic_load(&counters->cloned_keys),
		.claims_provisioned = atomic_load(&counters->claims_provisioned),
		.claims_rejected = atomic_load(&counters->claims_rejected),
	};
	tell_broker(devices, &ret_state->broker);
}

void devices_close(struct devices *devices)
{
	/* First nothing new comes, then what is queued is finished, which may still answer. */
	gateway_mosquitto_stop(devices->gateway);
	fleet_close(devices->fleet);
	gateway_mosquitto_close(devices->gateway);
	telemetry_control_close(devices->control);
	telemetry_sqlite_close(devices->telemetry);
	*devices = (struct devices){0};
}
