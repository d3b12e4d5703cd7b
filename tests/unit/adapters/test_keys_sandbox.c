/* What the key daemon may do once it is filtered, and what kills it: each tried in a process of its own. */
#include "../cmocka_all.h"

#include "adapters/keys/sandbox.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNFILTERED 77 /* built with a sanitizer */

static void *touch(void *argument)
{
	char *memory = malloc((size_t)1 << 20);
	if (memory)
		memset(memory, 1, (size_t)1 << 20);
	free(memory);
	return argument;
}

static bool work(void)
{
	static char argument;
	pthread_t thread;
	void *returned = NULL;
	(void)prctl(PR_SET_NAME, "worker", 0, 0, 0);
	return pthread_create(&thread, NULL, touch, &argument) == 0 && pthread_join(thread, &returned) == 0 &&
	       returned == &argument && open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0;
}

static bool map_to_run(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool protect_to_run(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory != MAP_FAILED && mprotect(memory, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool become_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}

static bool open_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool run_program(void)
{
	return execl("/bin/true", "true", (char *)NULL) == 0;
}

/* How the process ended that was filtered and then did it. */
static int status_of(bool (*what)(void))
{
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		struct note note = {0};
		if (sandbox_begin(&note) != RESULT_OK)
			_exit(1);
		enum result result = sandbox_filter_calls(AT_FDCWD, "nothing", &note);
		if (result == RESULT_OK)
			_exit(what() ? 0 : 2);
		_exit(result == RESULT_ABSENT ? UNFILTERED : 1);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNFILTERED)
		skip();
	return status;
}

static void test_work_goes_on(void **state)
{
	(void)state;
	int status = status_of(work);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_the_rest_kills(void **state)
{
	static bool (*const forbidden[])(void) = {map_to_run, protect_to_run, become_dumpable, open_socket,
						  run_program};
	(void)state;
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		int status = status_of(forbidden[i]);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_work_goes_on),
		cmocka_unit_test(test_the_rest_kills),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
