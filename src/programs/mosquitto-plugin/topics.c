#include "programs/mosquitto-plugin/topics.h"

#include "adapters/gateway/protocol.h"

#include <string.h>

#define OWN_PREFIX	 "vehicles/"
#define FLEETWISE_PREFIX "$aws/iotfleetwise/vehicles/"
#define COMMANDS_PREFIX	 "$aws/commands/things/"
#define CREATE_FROM_CSR	 "$aws/certificates/create-from-csr/json"
#define PROVISION_PREFIX "$aws/provisioning-templates/"
#define PROVISION_SUFFIX "/provision/json"

/* What follows PREFIX{referenceId}/ in the topic; NULL when it does not begin so, or nothing follows. */
static const char *behind(const char *topic, const char *prefix, const struct uuid *reference_id)
{
	char id[UUID_TEXT_SIZE];
	size_t length = strlen(prefix);
	if (strncmp(topic, prefix, length) != 0)
		return NULL;
	topic += length;
	uuid_format(reference_id, id);
	if (strncmp(topic, id, UUID_TEXT_LENGTH) != 0 || topic[UUID_TEXT_LENGTH] != '/' ||
	    topic[UUID_TEXT_LENGTH + 1] == '\0')
		return NULL;
	return topic + UUID_TEXT_LENGTH + 1;
}

/* executions/{commandId}/response/json */
static bool is_response(const char *rest, struct uuid *ret_command_id)
{
	static const char begin[] = "executions/";
	static const char end[] = "/response/json";
	if (strncmp(rest, begin, sizeof(begin) - 1) != 0)
		return false;
	rest += sizeof(begin) - 1;
	return strlen(rest) == UUID_TEXT_LENGTH + sizeof(end) - 1 && strcmp(rest + UUID_TEXT_LENGTH, end) == 0 &&
	       uuid_parse(span_of(rest, UUID_TEXT_LENGTH), ret_command_id) == RESULT_OK;
}

enum topic_use topic_of_vehicle(const struct uuid *reference_id, const char *topic, struct uuid *ret_command_id)
{
	if (strlen(topic) >= GATEWAY_TOPIC_SIZE)
		return TOPIC_REFUSED;
	const char *rest = behind(topic, OWN_PREFIX, reference_id);
	if (rest)
		return strcmp(rest, "signals") == 0 ? TOPIC_SIGNALS_JSON : TOPIC_OWN;
	rest = behind(topic, FLEETWISE_PREFIX, reference_id);
	if (rest && strcmp(rest, "signals") == 0)
		return TOPIC_SIGNALS_FLEETWISE;
	if (rest && strcmp(rest, "checkins") == 0)
		return TOPIC_CHECKIN;
	rest = behind(topic, COMMANDS_PREFIX, reference_id);
	return rest && is_response(rest, ret_command_id) ? TOPIC_COMMAND_RESPONSE : TOPIC_REFUSED;
}

/* What is left behind the topic of one of the two requests; NULL when it is neither. */
static const char *behind_request(const char *template_name, const char *topic, enum topic_use *ret_use)
{
	size_t length = strlen(template_name);
	if (strncmp(topic, CREATE_FROM_CSR, sizeof(CREATE_FROM_CSR) - 1) == 0) {
		*ret_use = TOPIC_CREATE_FROM_CSR;
		return topic + sizeof(CREATE_FROM_CSR) - 1;
	}
	if (strncmp(topic, PROVISION_PREFIX, sizeof(PROVISION_PREFIX) - 1) != 0)
		return NULL;
	topic += sizeof(PROVISION_PREFIX) - 1;
	if (strncmp(topic, template_name, length) != 0 ||
	    strncmp(topic + length, PROVISION_SUFFIX, sizeof(PROVISION_SUFFIX) - 1) != 0)
		return NULL;
	*ret_use = TOPIC_PROVISION;
	return topic + length + sizeof(PROVISION_SUFFIX) - 1;
}

enum topic_use topic_of_claim(const char *template_name, const char *topic)
{
	enum topic_use use = TOPIC_REFUSED;
	const char *rest = behind_request(template_name, topic, &use);
	return rest && *rest == '\0' ? use : TOPIC_REFUSED;
}

bool claim_may_subscribe(const char *template_name, const char *filter)
{
	enum topic_use use = TOPIC_REFUSED;
	const char *rest = behind_request(template_name, filter, &use);
	return rest && (*rest == '\0' || strcmp(rest, "/accepted") == 0 || strcmp(rest, "/rejected") == 0);
}

bool vehicle_may_subscribe(const struct uuid *reference_id, const char *filter)
{
	if (strlen(filter) >= GATEWAY_TOPIC_SIZE)
		return false;
	return vehicle_may_read(reference_id, filter);
}

bool vehicle_may_read(const struct uuid *reference_id, const char *topic)
{
	return behind(topic, OWN_PREFIX, reference_id) || behind(topic, FLEETWISE_PREFIX, reference_id) ||
	       behind(topic, COMMANDS_PREFIX, reference_id);
}

bool filter_takes_commands(const struct uuid *reference_id, const char *filter)
{
	/* NULL: any, so only a wildcard takes all of them. */
	static const char *const segments[] = {"executions", NULL, "request", "json"};
	const char *rest = behind(filter, COMMANDS_PREFIX, reference_id);
	if (!rest)
		return false;
	for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
		size_t length = strcspn(rest, "/");
		if (length == 1 && rest[0] == '#')
			return true;
		bool is_any = length == 1 && rest[0] == '+';
		bool is_it = segments[i] && strlen(segments[i]) == length && memcmp(rest, segments[i], length) == 0;
		if (!is_any && !is_it)
			return false;
		rest += length;
		bool is_last = i + 1 == sizeof(segments) / sizeof(segments[0]);
		if (is_last)
			return *rest == '\0' || strcmp(rest, "/#") == 0;
		if (*rest != '/')
			return false;
		rest++;
	}
	return false;
}
