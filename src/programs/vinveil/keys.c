/* `vinveil keys list`, `rotate`, `export`, `import`: the operator's side of the key daemon. */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/offline.h"

#include "adapters/keys/key_material.h"
#include "adapters/keys/keyd_client.h"
#include "adapters/registry/sqlite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The registry beside the running daemon, and keyd through its socket. */
struct ports {
	struct registry *registry;
	struct keyd_client *client;
	struct key_service *keys;
};

static void ports_close(struct ports *ports)
{
	registry_sqlite_close(ports->registry);
	keyd_client_close(ports->client);
}
#define PORTS_CLEANUP __attribute__((cleanup(ports_close)))

static int ports_open(const struct offline_paths *paths, struct ports *ret_ports)
{
	struct note note = {0};
	struct keyd_client_config config = {.socket_path = paths->keyd_socket};
	enum result result = registry_sqlite_open(paths->registry, NULL, &ret_ports->registry, &note);
	if (result != RESULT_OK)
		return fail(paths->registry, result, &note);
	result = keyd_client_open(&config, &ret_ports->client, &note);
	if (result == RESULT_OK)
		result = keyd_client_check(ret_ports->client, &note);
	if (result != RESULT_OK)
		return fail("vinveil-keyd (it must be running)", result, &note);
	ret_ports->keys = keyd_client_keys(ret_ports->client);
	return EXIT_DONE;
}

/* ---- list ------------------------------------------------------------------------------------------ */

static int print_generations(struct ports *ports, bool json)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct note note = {0};
	struct tenant *tenants;
	size_t count;
	enum result result = ports->registry->ops->list_tenants(ports->registry, &arena, &tenants, &count, &note);
	if (result != RESULT_OK)
		return fail("listing the tenants", result, &note);
	puts(json ? "[" : "tenant                            generation  state");
	for (size_t i = 0; i < count; i++) {
		struct key_generations generations;
		result = ports->keys->ops->get_generations(ports->keys, &tenants[i].id, &generations, &note);
		if (result != RESULT_OK)
			return fail(tenants[i].id.text, result, &note);
		bool rotating = generations.oldest != generations.newest;
		if (json)
			printf("  {\"tenantId\":\"%s\",\"newest\":%u,\"oldest\":%u}%s\n", tenants[i].id.text,
			       generations.newest, generations.oldest, i + 1 < count ? "," : "");
		else
			printf("%-32s  %10u  %s\n", tenants[i].id.text, generations.newest,
			       rotating ? "rotating: vinveild is at it, vinveil keys rotate watches" : "complete");
	}
	if (json)
		puts("]");
	return EXIT_DONE;
}

static int run_list(const struct invocation *invocation)
{
	PORTS_CLEANUP struct ports ports = {0};
	struct offline_paths paths;
	int code = offline_open(invocation, &paths);
	if (code == EXIT_DONE)
		code = ports_open(&paths, &ports);
	return code == EXIT_DONE ? print_generations(&ports, option_is_set(invocation, "json")) : code;
}

const struct command command_keys_list = {
	.words = "keys list",
	.arguments = "",
	.summary = "show each tenant's key generation",
	.description = "Keys themselves never leave keyd.",
	.run = run_list,
	.options = {DATA_OPTION, {"json", NULL, "as JSON", false}, {NULL, NULL, NULL, false}},
};

/* ---- rotate ---------------------------------------------------------------------------------------- */

#define POLL_MS 500

/*
 * The rotation itself is vinveild's: it re-seals and re-indexes while it serves, and goes on after a restart
 * wherever it was. This command asks keyd for the new generation and then watches.
 */
static enum result begin(struct ports *ports, const struct tenant_id *tenant, struct key_generations *ret_generations,
			 struct note *note)
{
	TRY(ports->keys->ops->get_generations(ports->keys, tenant, ret_generations, note));
	if (ret_generations->oldest != ret_generations->newest) {
		say("a rotation to generation %u is under way already", ret_generations->newest);
		return RESULT_OK;
	}
	TRY(ports->keys->ops->begin_rotation(ports->keys, tenant, ret_generations, note));
	say("generation %u begins", ret_generations->newest);
	return RESULT_OK;
}

static enum result show_progress(struct ports *ports, const struct tenant_id *tenant, uint16_t generation,
				 struct note *note)
{
	uint64_t done, total;
	TRY(registry_sqlite_count_generation(ports->registry, tenant, generation, &done, &total, note));
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " vehicles under generation %u ", done, total, generation);
	return RESULT_OK;
}

static enum result watch(struct ports *ports, const struct tenant_id *tenant, struct note *note)
{
	struct key_generations generations;
	for (;;) {
		TRY(ports->keys->ops->get_generations(ports->keys, tenant, &generations, note));
		TRY(show_progress(ports, tenant, generations.newest, note));
		if (generations.oldest == generations.newest)
			break;
		usleep(POLL_MS * 1000);
	}
	printf("%s%s: generation %u is complete, the one before is gone\n", isatty(STDERR_FILENO) ? "\n" : "",
	       tenant->text, generations.newest);
	return RESULT_OK;
}

static int run_rotate(const struct invocation *invocation)
{
	PORTS_CLEANUP struct ports ports = {0};
	struct offline_paths paths;
	struct tenant_id tenant;
	struct key_generations generations;
	struct note note = {0};
	const char *name = option_get(invocation, "tenant");
	if (name == NULL || tenant_id_parse(span_of_text(name), &tenant) != RESULT_OK) {
		say_error("say whose keys: --tenant TENANT (vinveil keys list shows them)");
		return EXIT_USAGE;
	}
	int code = offline_open(invocation, &paths);
	if (code == EXIT_DONE)
		code = ports_open(&paths, &ports);
	if (code != EXIT_DONE)
		return code;
	enum result result = begin(&ports, &tenant, &generations, &note);
	if (result == RESULT_OK && !option_is_set(invocation, "no-wait"))
		result = watch(&ports, &tenant, &note);
	return result == RESULT_OK ? EXIT_DONE : fail("rotating the keys", result, &note);
}

const struct command command_keys_rotate = {
	.words = "keys rotate",
	.arguments = "",
	.summary = "give a tenant new index and sealing keys",
	.description =
		"Makes a new generation and watches vinveild re-seal and re-index every vehicle in the background,\n"
		"while provisioning and conversion go on. The old generation is dropped only when the new one is\n"
		"complete. Interrupting this command stops nothing; run it again to go on watching.",
	.run = run_rotate,
	.options = {DATA_OPTION,
		    {"tenant", "TENANT", "whose keys", false},
		    {"no-wait", NULL, "begin, and do not watch", false},
		    {NULL, NULL, NULL, false}},
};

/* ---- export, import -------------------------------------------------------------------------------- */

static int run_export(const struct invocation *invocation)
{
	BUF_CLEANUP struct buf passphrase = {0};
	BUF_CLEANUP struct buf export = {.size_max = KEY_EXPORT_SIZE_MAX};
	struct offline_paths paths;
	struct note note = {0};
	const char *out = option_get(invocation, "out");
	if (out == NULL) {
		say_error("say where to: --out FILE");
		return EXIT_USAGE;
	}
	int code = offline_open(invocation, &paths);
	if (code == EXIT_DONE)
		code = offline_read_passphrase(invocation, true, &passphrase);
	if (code != EXIT_DONE)
		return code;
	enum result result = keys_local_export(paths.keys, entropy_system(), buf_span(&passphrase), &export, &note);
	if (result == RESULT_OK)
		result = file_create(out, buf_span(&export), 0600, &note);
	if (result != RESULT_OK)
		return fail("exporting the keys", result, &note);
	say("wrote %s: keep it apart from the backups, and the passphrase apart from it", out);
	return EXIT_DONE;
}

const struct command command_keys_export = {
	.words = "keys export",
	.arguments = "",
	.summary = "wrap keyd's keys under a passphrase, for the safe",
	.description =
		"Root key, device issuer, audit key and key generations in one file (scrypt, AES-256-GCM). Without it\n"
		"a backup of the registry cannot be opened on another machine. Export again after each rotation\n"
		"and each new tenant.",
	.run = run_export,
	.options = {DATA_OPTION,
		    {"out", "FILE", "the file to make (0600)", false},
		    PASSPHRASE_OPTION,
		    {NULL, NULL, NULL, false}},
};

static int run_import(const struct invocation *invocation)
{
	BUF_CLEANUP struct buf passphrase = {0};
	BUF_CLEANUP struct buf content = {.size_max = KEY_EXPORT_SIZE_MAX};
	struct offline_paths paths;
	struct note note = {0};
	int code = offline_open(invocation, &paths);
	if (code != EXIT_DONE)
		return code;
	enum result result = file_read(invocation->arguments[0], &content, &note);
	if (result != RESULT_OK)
		return fail(invocation->arguments[0], result, &note);
	code = offline_read_passphrase(invocation, false, &passphrase);
	if (code != EXIT_DONE)
		return code;
	result = keys_local_import(paths.keys, buf_span(&content), buf_span(&passphrase), &note);
	if (result != RESULT_OK)
		return fail("importing the keys", result, &note);
	say("keys are in %s", paths.keys);
	return EXIT_DONE;
}

const struct command command_keys_import = {
	.words = "keys import",
	.arguments = "FILE",
	.summary = "unwrap an export into an installation without keys",
	.description = "For a new machine, before `vinveil restore`. Overwrites nothing.",
	.run = run_import,
	.options = {DATA_OPTION, PASSPHRASE_OPTION, {NULL, NULL, NULL, false}},
};
