/*
 * Who may publish to what, and subscribe to what. A vehicle's topics are those of its own Reference ID, literal through
 * the ID's segment; a claim's are those of fleet provisioning. Pure.
 */
#ifndef VINVEIL_MOSQUITTO_PLUGIN_TOPICS_H
#define VINVEIL_MOSQUITTO_PLUGIN_TOPICS_H

#include "base/uuid.h"

#define TEMPLATE_NAME_SIZE 65

enum topic_use {
	TOPIC_REFUSED = 0,
	TOPIC_OWN,		 /* under vehicles/{referenceId}/: nobody but the vehicle itself can read it */
	TOPIC_SIGNALS_JSON,	 /* vehicles/{referenceId}/signals */
	TOPIC_SIGNALS_FLEETWISE, /* $aws/iotfleetwise/vehicles/{referenceId}/signals */
	TOPIC_CHECKIN,		 /* $aws/iotfleetwise/vehicles/{referenceId}/checkins */
	TOPIC_COMMAND_RESPONSE,	 /* $aws/commands/things/{referenceId}/executions/{commandId}/response/json */
	TOPIC_CREATE_FROM_CSR,	 /* $aws/certificates/create-from-csr/json */
	TOPIC_PROVISION,	 /* $aws/provisioning-templates/{template}/provision/json */
};

/* What a vehicle publishes; ret_command_id is filled for TOPIC_COMMAND_RESPONSE. */
enum topic_use topic_of_vehicle(const struct uuid *reference_id, const char *topic, struct uuid *ret_command_id);
enum topic_use topic_of_claim(const char *template_name, const char *topic);

bool vehicle_may_subscribe(const struct uuid *reference_id, const char *filter);
/* What comes to it through a subscription. */
bool vehicle_may_read(const struct uuid *reference_id, const char *topic);
/* Does the filter take the requests of whatever command? */
bool filter_takes_commands(const struct uuid *reference_id, const char *filter);
bool claim_may_subscribe(const char *template_name, const char *filter);

#endif
