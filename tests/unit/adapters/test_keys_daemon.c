/* The real daemon: driven through its client, killed, restarted, refused to a stranger, not to be dumped. */
#include "../cmocka_all.h"

#include "adapters/keys/keyd_client.h"
#include "adapters/keys/keyd_config.h"
#include "adapters/keys/vault_files.h"
#include "keys_support.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_STEPS 1000 /* of 10 ms */
#define NOBODY	   65534

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER true
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER false
#endif

static const char *program;
static struct test_vault vault;
static struct keyd_client *client;
static char config_path[PATH_SIZE], socket_path[PATH_SIZE];
static pid_t daemon_pid;

static bool connects(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", socket_path);
	bool connected = connect(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(descriptor);
	return connected;
}

static uid_t daemon_uid; /* 0: that of the test */

static void start_daemon(void)
{
	daemon_pid = fork();
	if (daemon_pid == 0) {
		if (daemon_uid != 0 && (setgid(daemon_uid) != 0 || setuid(daemon_uid) != 0))
			_exit(126);
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no daemon behind */
		execl(program, program, "--config", config_path, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < WAIT_STEPS && !connects(); i++) {
		assert_int_equal(waitpid(daemon_pid, NULL, WNOHANG), 0);
		usleep(10000);
	}
	assert_true(connects());
}

static int stop_daemon(int number)
{
	int status = 0;
	kill(daemon_pid, number);
	assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
	return status;
}

static void write_config(const char *allow)
{
	struct keyd_config config;
	BUF_CLEANUP struct buf text = {0};
	keyd_config_default(&config);
	snprintf(config.directory, sizeof(config.directory), "%s", vault.directory);
	snprintf(config.socket, sizeof(config.socket), "%.100s", socket_path);
	snprintf(config.allow, sizeof(config.allow), "%s", allow);
	config.budgets.index_per_second = 1000000;
	config.budgets.index_burst = 1000000;
	assert_int_equal(keyd_config_format(&config, &text), RESULT_OK);
	assert_int_equal(file_replace(config_path, buf_span(&text), 0600, NULL), RESULT_OK);
}

static int begin(void **state)
{
	(void)state;
	struct keyd_client_config config = {.socket_path = socket_path, .fail_fast_ms = -1};
	struct tenant_id demo = tenant_named("demo");
	test_vault_create(&vault);
	assert_int_equal(path_join(vault.directory, "run/keyd.sock", socket_path), RESULT_OK);
	assert_int_equal(path_join(vault.directory, "keyd.conf", config_path), RESULT_OK);
	write_config("");
	start_daemon();
	assert_int_equal(keyd_client_open(&config, &client, NULL), RESULT_OK);
	struct key_service *keys = keyd_client_keys(client);
	struct note note = {0};
	if (keys->ops->create_tenant(keys, &demo, &note) != RESULT_OK)
		fail_msg("%s", note.text);
	return 0;
}

static int end(void **state)
{
	(void)state;
	keyd_client_close(client);
	if (daemon_pid > 0)
		stop_daemon(SIGKILL);
	test_vault_remove(&vault);
	return 0;
}

/* A budget that starts empty fills within milliseconds here. */
static enum result index_one(unsigned number, struct vin_index_set *set)
{
	struct key_service *keys = keyd_client_keys(client);
	struct tenant_id demo = tenant_named("demo");
	struct vin vin = vin_numbered(number);
	struct hashed_vin hash = hash_of(&vin);
	enum result result = RESULT_EXHAUSTED;
	for (int i = 0; i < WAIT_STEPS && result == RESULT_EXHAUSTED; i++) {
		result = keys->ops->index_vins(keys, &demo, &hash, 1, set, NULL);
		if (result == RESULT_EXHAUSTED)
			usleep(1000);
	}
	return result;
}

static void test_every_call(void **state)
{
	(void)state;
	struct key_service *keys = keyd_client_keys(client);
	struct cert_authority *authority = keyd_client_authority(client);
	struct tenant_id demo = tenant_named("demo"), none = tenant_named("none");
	struct vin vin = vin_numbered(5), opened = {0};
	struct vin_index_set set;
	struct reseal_item item = {.reference_id = new_uuid()};
	struct reveal_authorisation persons = {.requested_by = "anna", .approved_by = "ben"};
	struct key_generations generations;
	uint8_t fingerprint[SHA256_SIZE];
	assert_int_equal(index_one(5, &set), RESULT_OK);
	usleep(20000);
	assert_int_equal(keys->ops->seal_vin(keys, &demo, &item.reference_id, &vin, &item.sealed, NULL), RESULT_OK);
	assert_int_equal(keys->ops->open_vin(keys, &demo, &item.reference_id, &item.sealed, &persons, &opened, NULL),
			 RESULT_OK);
	assert_string_equal(opened.text, vin.text);
	assert_int_equal(keys->ops->fingerprint(keys, &demo, span_of_text("x"), fingerprint, NULL), RESULT_OK);
	assert_int_equal(keys->ops->fingerprint(keys, &none, span_of_text("x"), fingerprint, NULL), RESULT_ABSENT);
	assert_int_equal(keys->ops->begin_rotation(keys, &demo, &generations, NULL), RESULT_OK);
	assert_int_equal(keys->ops->reseal_vins(keys, &demo, &item, 1, NULL), RESULT_OK);
	assert_int_equal(item.result, RESULT_OK);
	assert_int_equal(item.index.generation, 2);
	assert_int_equal(keys->ops->finish_rotation(keys, &demo, NULL), RESULT_OK);
	assert_int_equal(keys->ops->get_generations(keys, &demo, &generations, NULL), RESULT_OK);
	assert_true(generations.newest == 2 && generations.oldest == 2);

	BUF_CLEANUP struct buf csr = {0};
	BUF_CLEANUP struct buf crl = {0};
	BUF_CLEANUP struct buf chain = {0};
	struct issued_certificate issued = {0};
	struct note note = {0};
	make_csr(&csr);
	assert_int_equal(authority->ops->issue_device(authority, &item.reference_id, buf_span(&csr), &issued, NULL),
			 RESULT_OK);
	struct certificate_facts facts;
	assert_int_equal(certificate_read_der(buf_span(&issued.der), &facts, NULL), RESULT_OK);
	assert_memory_equal(facts.serial.bytes, issued.serial.bytes, SERIAL_SIZE);
	buf_release(&issued.der);
	assert_int_equal(authority->ops->issue_device(authority, &item.reference_id, span_of_text("?"), &issued, &note),
			 RESULT_INVALID);
	assert_true(note.text[0] != '\0');
	struct revoked_certificate revoked[100] = {{.serial = {{0x40}}}};
	assert_int_equal(authority->ops->sign_crl(authority, revoked, 100, &crl, NULL), RESULT_OK);
	assert_int_equal(authority->ops->get_chain(authority, &chain, NULL), RESULT_OK);
}

static void test_kill_and_go_on(void **state)
{
	(void)state;
	struct key_service *keys = keyd_client_keys(client);
	struct vin_index_set before = {0}, after = {0};
	struct merkle_hash leaf, root;
	struct merkle_proof proof = {0};
	uint64_t size = 0;
	assert_int_equal(merkle_leaf_hash(span_of_text("a"), &leaf), RESULT_OK);
	assert_int_equal(index_one(6, &before), RESULT_OK);
	for (int round = 0; round < 5; round++) {
		BUF_CLEANUP struct buf text = {0};
		assert_int_equal(keys->ops->sign_checkpoint(keys, 1, &leaf, &proof, &text, NULL), RESULT_OK);
		stop_daemon(SIGKILL);
		struct tenant_id demo = tenant_named("demo");
		struct key_generations generations;
		assert_int_equal(keys->ops->get_generations(keys, &demo, &generations, NULL), RESULT_UNAVAILABLE);
		start_daemon();
		assert_int_equal(index_one(6, &after), RESULT_OK);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_int_equal(keys->ops->last_checkpoint(keys, &size, &root, NULL), RESULT_OK);
		assert_int_equal(size, 1);
		assert_memory_equal(&root, &leaf, sizeof(leaf));
	}
}

static void assert_chain_ends_with(const char *end)
{
	struct cert_authority *authority = keyd_client_authority(client);
	BUF_CLEANUP struct buf chain = {0};
	size_t size = strlen(end);
	assert_int_equal(authority->ops->get_chain(authority, &chain, NULL), RESULT_OK);
	assert_true(chain.size > size);
	assert_memory_equal(chain.data + chain.size - size, end, size);
}

/* The client keeps the chain, but not beyond the daemon that it is of. */
static void test_chain_of_another_daemon(void **state)
{
	(void)state;
	char path[PATH_SIZE];
	struct vin_index_set set;
	BUF_CLEANUP struct buf root = {0};
	assert_int_equal(path_join(vault.directory, VAULT_DEVICE_ROOT, path), RESULT_OK);
	assert_int_equal(file_read(path, &root, NULL), RESULT_OK);
	for (int i = 0; i < 3; i++)
		assert_chain_ends_with("-----END CERTIFICATE-----\n");
	stop_daemon(SIGTERM);
	assert_chain_ends_with("-----END CERTIFICATE-----\n"); /* kept */
	assert_int_equal(buf_append_text(&root, "# another\n"), RESULT_OK);
	assert_int_equal(file_replace(path, buf_span(&root), 0600, NULL), RESULT_OK);
	start_daemon();
	assert_int_equal(index_one(1, &set), RESULT_OK);
	for (int i = 0; i < 3; i++)
		assert_chain_ends_with("# another\n");
}

static void test_reveal_budget_outlives_kills(void **state)
{
	(void)state;
	struct key_service *keys = keyd_client_keys(client);
	struct tenant_id demo = tenant_named("demo");
	struct uuid id = new_uuid();
	struct vin vin = vin_numbered(5), opened = {0};
	struct sealed_vin sealed;
	struct reveal_authorisation persons = {.requested_by = "anna", .approved_by = "ben"};
	usleep(20000);
	assert_int_equal(keys->ops->seal_vin(keys, &demo, &id, &vin, &sealed, NULL), RESULT_OK);
	for (int i = 0; i < BUDGET_REVEALS_PER_HOUR_DEFAULT; i++) {
		assert_int_equal(keys->ops->open_vin(keys, &demo, &id, &sealed, &persons, &opened, NULL), RESULT_OK);
		if (i % 3 == 0) {
			stop_daemon(SIGKILL);
			start_daemon();
		}
	}
	assert_int_equal(keys->ops->open_vin(keys, &demo, &id, &sealed, &persons, &opened, NULL), RESULT_EXHAUSTED);
}

static void test_fails_fast_then_recovers(void **state)
{
	(void)state;
	struct fake_clock clock;
	struct keyd_client *other = NULL;
	fake_clock_init(&clock);
	struct keyd_client_config config = {.socket_path = socket_path, .clock = &clock.clock};
	assert_int_equal(keyd_client_open(&config, &other, NULL), RESULT_OK);
	assert_int_equal(keyd_client_check(other, NULL), RESULT_OK);
	stop_daemon(SIGKILL);
	assert_int_equal(keyd_client_check(other, NULL), RESULT_UNAVAILABLE);
	start_daemon();
	assert_int_equal(keyd_client_check(other, NULL), RESULT_UNAVAILABLE); /* by its memory */
	fake_clock_pass(&clock, 201);
	assert_int_equal(keyd_client_check(other, NULL), RESULT_OK);
	keyd_client_close(other);
}

static void *index_many(void *argument)
{
	unsigned number = *(unsigned *)argument;
	struct vin_index_set first, again;
	memset(&first, 0, sizeof(first)); /* one generation lives: the other's place is not written */
	memset(&again, 0, sizeof(again));
	for (int i = 0; i < 200; i++) {
		if (index_one(number, i == 0 ? &first : &again) != RESULT_OK ||
		    (i > 0 && memcmp(&first, &again, sizeof(first)) != 0))
			return argument;
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	(void)state;
	pthread_t threads[8];
	unsigned numbers[8];
	for (unsigned i = 0; i < 8; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, index_many, &numbers[i]), 0);
	}
	unsigned failures = 0;
	for (unsigned i = 0; i < 8; i++) {
		void *failed = NULL;
		pthread_join(threads[i], &failed);
		failures += failed != NULL;
	}
	assert_int_equal(failures, 0);
}

static void test_nonsense_closes_the_connection(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {
		{"GET / HTTP/1.1\r\n\r\n", 18},
		{"\0\0\0\x01\x0f", 5},				     /* no hello before */
		{"\0\0\0\x0b\x01vinveil\n\0\x01\0\0\0\x01\x0f", 20}, /* two at once */
		{"\xff\xff\xff\xff\x03", 5},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		char answer[64];
		int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", socket_path);
		assert_int_equal(connect(descriptor, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(send(descriptor, cases[i].bytes, cases[i].size, MSG_NOSIGNAL), cases[i].size);
		assert_true(recv(descriptor, answer, sizeof(answer), 0) <= 0);
		close(descriptor);
	}
	assert_int_equal(keyd_client_check(client, NULL), RESULT_OK);
}

static int give_to_nobody(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return chown(path, NOBODY, NOBODY);
}

/* So that it is the daemon that refuses, not the directories. */
static void open_wide(void)
{
	char run[PATH_SIZE];
	assert_int_equal(path_join(vault.directory, "run", run), RESULT_OK);
	assert_true(chmod(vault.directory, 0755) == 0 && chmod(run, 0755) == 0 && chmod(socket_path, 0666) == 0);
}

/* What the daemon says to a claim asked for by this user, in a process of its own. */
static enum result ask_for_claim(uid_t user)
{
	struct keyd_client_config config = {.socket_path = socket_path, .fail_fast_ms = -1};
	int status = 0;
	BUF_CLEANUP struct buf csr = {0};
	make_csr(&csr);
	pid_t child = fork();
	if (child == 0) {
		struct keyd_client *other = NULL;
		struct issued_certificate claim = {0};
		if ((user != 0 && (setgid(user) != 0 || setuid(user) != 0)) ||
		    keyd_client_open(&config, &other, NULL) != RESULT_OK || keyd_client_check(other, NULL) != RESULT_OK)
			_exit(99);
		struct cert_authority *authority = keyd_client_authority(other);
		_exit((int)authority->ops->issue_claim(authority, "line-1", buf_span(&csr), 30, &claim, NULL));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 99);
	return (enum result)WEXITSTATUS(status);
}

/* A user that may connect, as vinveild's may, gets no claim; root does, and so does the daemon's own. */
static void test_claims_are_for_the_owner(void **state)
{
	(void)state;
	assert_int_equal(ask_for_claim(0), RESULT_OK);
	if (geteuid() != 0)
		skip();
	stop_daemon(SIGTERM);
	write_config("root 65534");
	start_daemon();
	open_wide();
	assert_int_equal(ask_for_claim(NOBODY), RESULT_DENIED);
	assert_int_equal(ask_for_claim(0), RESULT_OK);
	stop_daemon(SIGTERM);
	assert_int_equal(nftw(vault.directory, give_to_nobody, 16, FTW_PHYS), 0);
	daemon_uid = NOBODY;
	start_daemon();
	daemon_uid = 0;
	assert_int_equal(ask_for_claim(NOBODY), RESULT_OK);
	assert_int_equal(chmod(vault.directory, 0700), 0);
}

static void test_stranger_is_refused(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	int status = 0;
	open_wide();
	pid_t child = fork();
	if (child == 0) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		char byte = 0;
		snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", socket_path);
		int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0 ||
		    connect(descriptor, (struct sockaddr *)&address, sizeof(address)) != 0)
			_exit(1);
		(void)send(descriptor, "\0\0\0\x0b\x01vinveil\n\0\x01", 15, MSG_NOSIGNAL);
		_exit(recv(descriptor, &byte, 1, 0) <= 0 ? 42 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	assert_int_equal(chmod(vault.directory, 0700), 0);
}

static void read_proc(const char *name, char *text, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)daemon_pid, name);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	size_t count = fread(text, 1, size - 1, file);
	text[count] = '\0';
	fclose(file);
}

static void test_process_is_closed_up(void **state)
{
	(void)state;
	char text[16384], path[64];
	struct stat status;
	read_proc("limits", text, sizeof(text));
	const char *line = strstr(text, "Max core file size");
	assert_non_null(line);
	assert_non_null(strstr(line, "0                    0"));
	read_proc("status", text, sizeof(text));
	assert_non_null(strstr(text, "NoNewPrivs:\t1"));
	if (!HAS_SANITIZER)
		assert_non_null(strstr(text, "Seccomp:\t2"));
	assert_int_equal(stat(socket_path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0660);
	if (geteuid() != 0)
		skip();
	/* As a user of its own: of a process that is not dumpable, root owns what stands in /proc. */
	stop_daemon(SIGTERM);
	assert_int_equal(nftw(vault.directory, give_to_nobody, 16, FTW_PHYS), 0);
	daemon_uid = NOBODY;
	start_daemon();
	daemon_uid = 0;
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)daemon_pid);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_uid, 0);
	assert_int_equal(keyd_client_check(client, NULL), RESULT_OK);
}

static void test_clean_stop_and_one_daemon_only(void **state)
{
	(void)state;
	int status = 0;
	pid_t second = fork();
	if (second == 0) {
		execl(program, program, "--config", config_path, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(second, &status, 0), second);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_int_equal(keyd_client_check(client, NULL), RESULT_OK);
	status = stop_daemon(SIGTERM);
	daemon_pid = 0;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_false(path_exists(socket_path));
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_call, begin, end),
		cmocka_unit_test_setup_teardown(test_kill_and_go_on, begin, end),
		cmocka_unit_test_setup_teardown(test_chain_of_another_daemon, begin, end),
		cmocka_unit_test_setup_teardown(test_reveal_budget_outlives_kills, begin, end),
		cmocka_unit_test_setup_teardown(test_fails_fast_then_recovers, begin, end),
		cmocka_unit_test_setup_teardown(test_many_threads, begin, end),
		cmocka_unit_test_setup_teardown(test_nonsense_closes_the_connection, begin, end),
		cmocka_unit_test_setup_teardown(test_claims_are_for_the_owner, begin, end),
		cmocka_unit_test_setup_teardown(test_stranger_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_process_is_closed_up, begin, end),
		cmocka_unit_test_setup_teardown(test_clean_stop_and_one_daemon_only, begin, end),
	};
	if (argument_count != 2 || crypto_init(NULL) != RESULT_OK)
		return 1;
	program = arguments[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
