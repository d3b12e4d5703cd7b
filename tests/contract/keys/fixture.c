#include "tests/contract/keys/fixture.h"

#include "adapters/keys/keyd_config.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_STEPS 1000 /* of 10 ms */

static const char *keyd_program;

/* ---- local: in this process ------------------------------------------------------------------------ */

static void open_local(struct fixture *fixture)
{
	test_vault_open(&fixture->vault);
	fixture->keys = fixture->vault.keys;
	fixture->authority = fixture->vault.authority;
}

static void close_local(struct fixture *fixture)
{
	test_vault_close(&fixture->vault);
}

static void refill_local(struct fixture *fixture)
{
	fake_clock_pass(&fixture->vault.clock, 1000);
}

/* ---- keyd: the daemon behind its socket ------------------------------------------------------------- */

static void write_config(const struct fixture *fixture)
{
	struct keyd_config config;
	BUF_CLEANUP struct buf text = {0};

	keyd_config_default(&config);
	snprintf(config.directory, sizeof(config.directory), "%s", fixture->vault.directory);
	snprintf(config.socket, sizeof(config.socket), "%.100s", fixture->socket_path);
	config.budgets = fixture->vault.budgets;
	assert_int_equal(keyd_config_format(&config, &text), RESULT_OK);
	assert_int_equal(file_replace(fixture->config_path, buf_span(&text), 0600, NULL), RESULT_OK);
}

static bool connects(const struct fixture *fixture)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", fixture->socket_path);
	bool is_connected = connect(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(descriptor);
	return is_connected;
}

static void start_daemon(struct fixture *fixture)
{
	fixture->daemon = fork();
	assert_true(fixture->daemon >= 0);
	if (fixture->daemon == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no daemon behind */
		execl(keyd_program, keyd_program, "--config", fixture->config_path, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < WAIT_STEPS && !connects(fixture); i++) {
		assert_int_equal(waitpid(fixture->daemon, NULL, WNOHANG), 0);
		usleep(10000);
	}
	assert_true(connects(fixture));
}

static void open_keyd(struct fixture *fixture)
{
	const struct keyd_client_config config = {.socket_path = fixture->socket_path, .fail_fast_ms = -1};

	assert_int_equal(path_join(fixture->vault.directory, "run/keyd.sock", fixture->socket_path), RESULT_OK);
	assert_int_equal(path_join(fixture->vault.directory, "keyd.conf", fixture->config_path), RESULT_OK);
	write_config(fixture);
	start_daemon(fixture);
	if (fixture->client == NULL)
		assert_int_equal(keyd_client_open(&config, &fixture->client, NULL), RESULT_OK);
	fixture->keys = keyd_client_keys(fixture->client);
	fixture->authority = keyd_client_authority(fixture->client);
}

/* The client stays: it must find the next daemon by itself. */
static void close_keyd(struct fixture *fixture)
{
	kill(fixture->daemon, SIGKILL);
	assert_int_equal(waitpid(fixture->daemon, NULL, 0), fixture->daemon);
}

/* The daemon's clock is the real one; 20 ms of its budgets here are 20,000 calls. */
static void refill_keyd(struct fixture *fixture)
{
	(void)fixture;
	usleep(20000);
}

const struct keys_adapter keys_adapters[] = {
	{"local", open_local, close_local, refill_local},
	{"keyd", open_keyd, close_keyd, refill_keyd},
};
const size_t keys_adapter_count = COUNT(keys_adapters);

/* ---- fixture --------------------------------------------------------------------------------------- */

static void create(struct fixture *fixture, const char *name)
{
	const struct tenant_id tenant = tenant_named(name);
	struct note note = {0};

	if (fixture->keys->ops->create_tenant(fixture->keys, &tenant, &note) != RESULT_OK)
		fail_msg("%s", note.text);
}

void fixture_open(struct fixture *fixture, const struct keys_adapter *adapter)
{
	*fixture = (struct fixture){.adapter = adapter};
	test_vault_create(&fixture->vault);
	fixture->vault.budgets.index_per_second = 1000000;
	fixture->vault.budgets.index_burst = 1000000;
	fixture->vault.budgets.seal_per_second = 1000000;
	fixture->vault.budgets.fingerprint_per_second = 1000000;
	fixture->vault.budgets.reveals_per_hour = REVEALS_PER_HOUR;
	fixture->vault.budgets.issuances_per_hour = ISSUANCES_PER_HOUR;
	adapter->open(fixture);
	create(fixture, "demo");
	create(fixture, "other");
	adapter->refill(fixture);
}

void fixture_reopen(struct fixture *fixture)
{
	fixture->adapter->close(fixture);
	fixture->adapter->open(fixture);
	fixture->adapter->refill(fixture);
}

void fixture_close(struct fixture *fixture)
{
	fixture->adapter->close(fixture);
	keyd_client_close(fixture->client);
	test_vault_remove(&fixture->vault);
}

bool begin_program(int argument_count, char **arguments)
{
	if (argument_count == 2 && crypto_init(NULL) == RESULT_OK) {
		keyd_program = arguments[1];
		return true;
	}
	fprintf(stderr, "usage: %s VINVEIL-KEYD\n", arguments[0]);
	return false;
}
