/*
 * The part of vinveild that faces vehicles: the telemetry store it reads, what it tells ingest, the fleet's flows, and
 * the device gateway. Wiring only. Each is there only when the configuration names it.
 */
#ifndef VINVEIL_PROGRAMS_VINVEILD_DEVICES_H
#define VINVEIL_PROGRAMS_VINVEILD_DEVICES_H

#include "adapters/gateway/mosquitto.h"
#include "api/api.h"
#include "base/file.h"
#include "fleet/fleet.h"

struct devices_config {
	/* [gateway] */
	char broker_socket[PATH_SIZE]; /* empty: no broker is served */
	char broker_user[64];	       /* empty: this process's own */
	char claim_socket[PATH_SIZE], token[PATH_SIZE], events_spool[PATH_SIZE];
	char template_name[65];
	/* [telemetry] */
	char store[PATH_SIZE], control_spool[PATH_SIZE]; /* empty: none */
};

/* Zero-initialised is closable. */
struct devices {
	struct telemetry_store *telemetry;
	struct telemetry_control *control;
	struct fleet *fleet;
	struct device_gateway *gateway;
};

/* RESULT_INVALID with a note that names the key, when what belongs together is not all there. */
MUST_USE enum result devices_check_config(const struct devices_config *config, struct note *note);

/* Telemetry's two halves into the platform; the flows need the rest of it, so they begin with devices_serve(). */
MUST_USE enum result devices_open(struct devices *devices, const struct devices_config *config,
				  struct platform *platform, struct note *note);
/* From here on vehicles' events are handled. The platform is complete but for its gateway, and outlives the devices. */
MUST_USE enum result devices_serve(struct devices *devices, const struct devices_config *config,
				   struct platform *platform, struct note *note);
void devices_tell_state(const struct devices *devices, struct api_fleet_state *ret_state);

/* When the API is closed; the registry and the log are still there. */
void devices_close(struct devices *devices);

#endif
