#include "vehicle/fleet_provisioning.h"

#include "base/log.h"
#include "base/secret.h"
#include "fleet/call.h"
#include "fleet/claim_messages.h"

#include <stdio.h>

#define ACTION_CREATE	 "claim.create-certificate"
#define ACTION_PROVISION "vehicle.provision"
#define ANSWER_SIZE_MAX	 ((size_t)32 << 10)

/* One message on its way: what becomes of it, and the answer. */
struct claim_turn {
	struct fleet *fleet;
	const struct gateway_claim_message *message;
	struct claim claim;
	struct fleet_call call;
	struct buf answer; /* holds a token: wiped */
	char detail[CLAIM_DETAIL_SIZE];
};

static void turn_release(struct claim_turn *turn)
{
	fleet_call_release(&turn->call);
	buf_release(&turn->answer);
	secret_wipe(turn, sizeof(*turn));
}
#define TURN_CLEANUP __attribute__((cleanup(turn_release)))

/* ---- the two requests ------------------------------------------------------------------------------- */

static enum problem create(struct claim_turn *turn)
{
	CLAIMED_CERTIFICATE_CLEANUP struct claimed_certificate certificate = {0};
	JSON_CLEANUP json_t *json = NULL;
	struct span csr;
	enum problem problem = claim_read_create(turn->message->payload, &json, &csr, turn->detail);

	if (problem == PROBLEM_NONE)
		problem = fleet_provisioning_create(&turn->call.flow, &turn->claim, csr, &certificate);
	if (problem == PROBLEM_NONE)
		problem = problem_of_result(claim_write_created(&certificate, &turn->answer));
	return problem;
}

static enum problem provision(struct claim_turn *turn)
{
	PROVISIONED_CLEANUP struct provisioned provisioned = {0};
	JSON_CLEANUP json_t *json = NULL;
	struct claimed_provisioning input;
	enum problem problem = claim_read_provision(turn->message->payload, &json, &input, turn->detail);

	if (problem == PROBLEM_NONE)
		problem = fleet_provisioning_run(&turn->call.flow, &turn->claim, &input, &provisioned);
	if (problem == PROBLEM_NONE)
		problem = problem_of_result(claim_write_provisioned(&provisioned, &turn->answer));
	if (problem == PROBLEM_NONE)
		atomic_fetch_add(&turn->fleet->counters.claims_provisioned, 1);
	return problem;
}

static bool is_create(const struct claim_turn *turn)
{
	return turn->message->request == GATEWAY_CREATE_FROM_CSR;
}

/* The one template that there is. */
static enum problem check_template(struct claim_turn *turn)
{
	if (is_create(turn) || strcmp(turn->message->template_name, turn->fleet->config.template_name) == 0)
		return PROBLEM_NONE;
	snprintf(turn->detail, sizeof(turn->detail), "There is no such provisioning template.");
	return PROBLEM_NOT_FOUND;
}

static enum problem run_as_claim(struct claim_turn *turn, enum problem standing)
{
	enum problem problem = standing;

	if (problem == PROBLEM_NONE)
		problem = check_template(turn);
	if (problem == PROBLEM_NONE)
		problem = is_create(turn) ? create(turn) : provision(turn);
	if (turn->call.flow.detail[0] != '\0')
		snprintf(turn->detail, sizeof(turn->detail), "%s", turn->call.flow.detail);
	/* The leaf first: nobody learns anything that the trail does not know. */
	if (fleet_call_end(&turn->call, problem) != RESULT_OK)
		problem = PROBLEM_UNAVAILABLE;
	if (turn->call.flow.note.text[0] != '\0' && (problem == PROBLEM_UNAVAILABLE || problem == PROBLEM_INTERNAL))
		log_event(LOG_WARN, "provisioning-failed", "%s", turn->call.flow.note.text);
	return problem;
}

/* Whose claim is it? A refused one has its leaf in its tenant's trail; one that is nobody's has none. */
static enum problem run(struct claim_turn *turn)
{
	const struct platform *platform = turn->fleet->platform;
	const struct gateway_claim_message *message = turn->message;
	char actor[CLIENT_ID_LENGTH_MAX + 1];
	struct note note = {0};
	enum problem standing = claims_authenticate(platform, &message->serial, &turn->claim, &note);

	if (standing != PROBLEM_NONE && standing != PROBLEM_CLAIM_REFUSED)
		return standing;
	snprintf(actor, sizeof(actor), "claim:%s", turn->claim.name);
	enum result result =
		fleet_call_begin(&turn->call, turn->fleet, is_create(turn) ? ACTION_CREATE : ACTION_PROVISION, actor,
				 &turn->claim.tenant, message->address);
	return result == RESULT_OK ? run_as_claim(turn, standing) : problem_of_result(result);
}

/* ---- answering -------------------------------------------------------------------------------------- */

static void name_topic(const struct gateway_claim_message *message, const char *ending,
		       char ret_topic[static GATEWAY_TOPIC_SIZE])
{
	if (message->request == GATEWAY_CREATE_FROM_CSR)
		snprintf(ret_topic, GATEWAY_TOPIC_SIZE, "$aws/certificates/create-from-csr/json/%s", ending);
	else
		snprintf(ret_topic, GATEWAY_TOPIC_SIZE, "$aws/provisioning-templates/%s/provision/json/%s",
			 message->template_name, ending);
}

static void answer(struct claim_turn *turn, enum problem problem)
{
	struct device_gateway *gateway = turn->fleet->platform->gateway;
	char topic[GATEWAY_TOPIC_SIZE];

	if (problem != PROBLEM_NONE) {
		atomic_fetch_add(&turn->fleet->counters.claims_rejected, 1);
		buf_clear(&turn->answer);
		if (claim_write_rejected(problem, turn->detail, &turn->answer) != RESULT_OK)
			return; /* without memory there is no answer, and the client asks again */
	}
	name_topic(turn->message, problem == PROBLEM_NONE ? "accepted" : "rejected", topic);
	gateway->ops->answer(gateway, &turn->message->caller, topic, buf_span(&turn->answer));
}

/* A frame of its own, so that the scrubbing reaches what lies below it. */
__attribute__((noinline)) static void take(struct fleet *fleet, const struct gateway_claim_message *message)
{
	TURN_CLEANUP struct claim_turn turn = {
		.fleet = fleet, .message = message, .answer = {.size_max = ANSWER_SIZE_MAX}};

	answer(&turn, run(&turn));
}

void fleet_provisioning_take(struct fleet *fleet, const struct gateway_claim_message *message)
{
	take(fleet, message);
	secret_scrub_stack();
}

void fleet_provisioning_refuse(struct fleet *fleet, const struct gateway_claim_message *message, enum problem problem)
{
	TURN_CLEANUP struct claim_turn turn = {
		.fleet = fleet, .message = message, .answer = {.size_max = ANSWER_SIZE_MAX}};

	snprintf(turn.detail, sizeof(turn.detail), "The platform is busy. Try again a little later.");
	answer(&turn, problem);
}
