/* `vinveil claim add`, `list`, `revoke`. */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/request.h"

#include "adapters/keys/keyd_client.h"
#include "vehicle/claims.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DAYS_DEFAULT 365

static const struct output_member claim_columns[] = {
	{"name", "claim"},     {"tenantId", "tenant"},		{"state", "state"}, {"used", "used"}, {"count", "of"},
	{"notAfter", "until"}, {"serialNumber", "certificate"},
};
#define CLAIM_COLUMNS (sizeof claim_columns / sizeof claim_columns[0])

/* ---- add -------------------------------------------------------------------------------------------- */

struct claim_order {
	const char *name;
	int64_t count, days;
	char keyd_socket[PATH_SIZE], directory[PATH_SIZE], key_path[PATH_SIZE], certificate_path[PATH_SIZE];
};

static bool choose_path(const struct invocation *invocation, const char *option, const char *dev_name,
			char ret_path[static PATH_SIZE])
{
	const char *said = option_get(invocation, option), *directory = option_get(invocation, "data");
	if (said == NULL && directory == NULL) {
		say_error("say --%s", option);
		return false;
	}
	int length = said != NULL ? snprintf(ret_path, PATH_SIZE, "%s", said)
				  : snprintf(ret_path, PATH_SIZE, "%s/%s", directory, dev_name);
	return length < PATH_SIZE;
}

static bool read_order(const struct invocation *invocation, struct claim_order *ret_order)
{
	char checked[CLAIM_NAME_LENGTH_MAX + 1];
	ret_order->name = invocation->arguments[0];
	if (claim_name_parse(span_of_text(ret_order->name), checked) != RESULT_OK) {
		say_error(
			"a claim's name is a lower-case letter or digit, then letters, digits and '-', at most %d, and "
			"no UUID",
			CLAIM_NAME_LENGTH_MAX);
		return false;
	}
	if (!option_is_set(invocation, "count")) {
		say_error("say how many vehicles may be provisioned with it: --count N");
		return false;
	}
	return option_get_number(invocation, "count", 1, CLAIM_COUNT_MAX, 0, &ret_order->count) &&
	       option_get_number(invocation, "days", 1, CLAIM_DAYS_MAX, DAYS_DEFAULT, &ret_order->days) &&
	       choose_path(invocation, "keyd", "run/keyd.sock", ret_order->keyd_socket) &&
	       choose_path(invocation, "out", "claims", ret_order->directory) &&
	       snprintf(ret_order->key_path, PATH_SIZE, "%s/%s.key", ret_order->directory, ret_order->name) <
		       PATH_SIZE &&
	       snprintf(ret_order->certificate_path, PATH_SIZE, "%s/%s.pem", ret_order->directory, ret_order->name) <
		       PATH_SIZE;
}

/* The certificate, then its issuer and the device root: appended to ret_pem. */
static enum result ask_keyd(const struct claim_order *order, struct span csr, struct buf *ret_pem, struct note *note)
{
	struct keyd_client_config config = {.socket_path = order->keyd_socket};
	struct issued_certificate issued = {0};
	struct keyd_client *client;
	TRY(keyd_client_open(&config, &client, note));
	struct cert_authority *authority = keyd_client_authority(client);
	enum result result = authority->ops->issue_claim(authority, order->name, csr, order->days, &issued, note);
	if (result == RESULT_OK)
		result = certificate_der_to_pem(buf_span(&issued.der), ret_pem);
	if (result == RESULT_OK)
		result = authority->ops->get_chain(authority, ret_pem, note);
	buf_release(&issued.der);
	keyd_client_close(client);
	return result;
}

static enum result make_files(const struct claim_order *order, const struct private_key *key, struct buf *ret_pem,
			      struct note *note)
{
	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf key_pem = {0};
	TRY(csr_make(key, &csr, note));
	TRY(private_key_to_pem(key, NULL, &key_pem));
	TRY(ask_keyd(order, buf_span(&csr), ret_pem, note));
	TRY(file_create(order->key_path, buf_span(&key_pem), 0600, note));
	enum result result = file_create(order->certificate_path, buf_span(ret_pem), 0644, note);
	if (result != RESULT_OK)
		unlink(order->key_path); /* a key without its certificate would only block the next try */
	return result;
}

static int make_claim(const struct claim_order *order, struct buf *ret_pem)
{
	struct private_key *key = NULL;
	struct note note = {0};
	enum result result = directory_make(order->directory, 0700, &note);
	if (result == RESULT_OK && (path_exists(order->key_path) || path_exists(order->certificate_path))) {
		note_set(&note, "exists already; remove it or choose another directory");
		return fail(order->key_path, RESULT_CONFLICT, &note);
	}
	if (result == RESULT_OK)
		result = private_key_generate(PRIVATE_KEY_P256, &key, &note);
	if (result == RESULT_OK)
		result = make_files(order, key, ret_pem, &note);
	private_key_release(key);
	return result == RESULT_OK ? EXIT_DONE : fail("making the claim certificate", result, &note);
}

static int register_claim(const struct invocation *invocation, const struct claim_order *order, struct span pem)
{
	BUF_CLEANUP struct buf body = {0};
	struct json_writer writer;
	json_writer_init(&writer, &body);
	json_object_begin(&writer);
	json_member_text(&writer, "name", order->name);
	json_key(&writer, "certificate");
	json_text(&writer, pem);
	json_member_number(&writer, "count", order->count);
	json_object_end(&writer);
	return request_post(invocation, "/v1/claims", &writer, claim_columns, CLAIM_COLUMNS);
}

static int run_add(const struct invocation *invocation)
{
	BUF_CLEANUP struct buf pem = {0};
	struct claim_order order;
	if (!read_order(invocation, &order))
		return EXIT_USAGE;
	int code = make_claim(&order, &pem);
	if (code != EXIT_DONE)
		return code;
	code = register_claim(invocation, &order, buf_span(&pem));
	if (code != EXIT_DONE) { /* registered to nobody: of no use */
		unlink(order.key_path);
		unlink(order.certificate_path);
		return code;
	}
	say("for the units of the batch: %s, %s", order.key_path, order.certificate_path);
	return EXIT_DONE;
}

const struct command command_claim_add = {
	.words = "claim add",
	.arguments = "NAME",
	.summary = "make a claim: what a batch of new units provisions with",
	.description =
		"Makes a key and has keyd issue a claim certificate for it, over its socket; it does so for root and\n"
		"its own user only. Then registers it through the API, for the vehicles of your tenant. Whoever has\n"
		"the key can fetch certificates and provision vehicles with it, as often as --count says, and can do\n"
		"nothing else: at the gateway by AWS IoT's fleet provisioning topics, over HTTPS by EST.",
	.run = run_add,
	.options = {{"count", "N", "vehicles that may be given certificates through it", false},
		    {"days", "N", "how long it is valid (default 365)", false},
		    {"keyd", "SOCKET", "of the key daemon (with --data: DIR/run/keyd.sock)", false},
		    {"out", "DIR", "where NAME.key and NAME.pem go (with --data: DIR/claims)", false},
		    {NULL, NULL, NULL, false}},
	.uses_api = true,
};

/* ---- list and revoke -------------------------------------------------------------------------------- */

static int run_list(const struct invocation *invocation)
{
	API_ANSWER_CLEANUP struct api_answer answer = {0};
	int code = request_get(invocation, "/v1/claims", &answer);
	if (code == EXIT_DONE && !output_json(invocation, &answer))
		output_table(json_object_get(answer.json, "claims"), claim_columns, CLAIM_COLUMNS);
	return code;
}

const struct command command_claim_list = {
	.words = "claim list",
	.arguments = "",
	.summary = "list claims and what is left of them",
	.description = "Those of your own tenant.",
	.run = run_list,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};

static int run_revoke(const struct invocation *invocation)
{
	char name[CLAIM_NAME_LENGTH_MAX + 1], path[CLAIM_NAME_LENGTH_MAX + 32];
	if (claim_name_parse(span_of_text(invocation->arguments[0]), name) != RESULT_OK) {
		say_error("no claim has such a name");
		return EXIT_USAGE;
	}
	snprintf(path, sizeof path, "/v1/claims/%s/revoke", name);
	return request_post(invocation, path, NULL, claim_columns, CLAIM_COLUMNS);
}

const struct command command_claim_revoke = {
	.words = "claim revoke",
	.arguments = "NAME",
	.summary = "let nobody provision with a claim any more",
	.description =
		"For good, from the answer on; connections that are open with it end. What it has provisioned stays.",
	.run = run_revoke,
	.options = {{NULL, NULL, NULL, false}},
	.uses_api = true,
};
