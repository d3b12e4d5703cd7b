#include "base/entropy.h"

#include "../cmocka_all.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAW 32

static bool is_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i])
			return false;
	}
	return true;
}

static void any_size_is_filled_to_its_end(void **state)
{
	(void)state;
	static uint8_t bytes[5001];
	const size_t sizes[] = {16, 1000, 1008, 1023, 1024, 1025, 5000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(bytes, 0, sizeof(bytes));
		assert_int_equal(entropy_fill(entropy_system(), bytes, sizes[i]), RESULT_OK);
		assert_false(is_zero(bytes, 16));
		assert_false(is_zero(bytes + sizes[i] - 16, 16));
		assert_int_equal(bytes[sizes[i]], 0);
	}
	assert_int_equal(entropy_fill(entropy_system(), bytes, 0), RESULT_OK);
}

static void draws_never_repeat(void **state)
{
	(void)state;
	static uint8_t draws[500][DRAW]; /* many times through the block */
	for (size_t i = 0; i < 500; i++) {
		assert_int_equal(entropy_fill(entropy_system(), draws[i], DRAW), RESULT_OK);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(draws[i], draws[k], DRAW);
	}
}

static void child_draws_others_than_its_parent(void **state)
{
	(void)state;
	uint8_t mine[DRAW];
	uint8_t theirs[DRAW];
	int pipe_ends[2];
	assert_int_equal(entropy_fill(entropy_system(), mine, DRAW), RESULT_OK); /* a block is there to be shared */
	assert_int_equal(pipe(pipe_ends), 0);
	pid_t child = fork();
	if (child == 0) {
		bool drawn = entropy_fill(entropy_system(), theirs, DRAW) == RESULT_OK;
		_exit(drawn && write(pipe_ends[1], theirs, DRAW) == DRAW ? 0 : 1);
	}
	assert_true(child > 0);
	int status = 1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(pipe_ends[0], theirs, DRAW), DRAW);
	assert_int_equal(entropy_fill(entropy_system(), mine, DRAW), RESULT_OK);
	assert_memory_not_equal(mine, theirs, DRAW);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

static void *draw(void *argument)
{
	return entropy_fill(entropy_system(), argument, DRAW) == RESULT_OK ? argument : NULL;
}

static void threads_draw_differently(void **state)
{
	(void)state;
	uint8_t draws[8][DRAW];
	pthread_t threads[8];
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, draw, draws[i]), 0);
	for (size_t i = 0; i < 8; i++) {
		void *drawn = NULL;
		pthread_join(threads[i], &drawn);
		assert_non_null(drawn);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(draws[i], draws[k], DRAW);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_size_is_filled_to_its_end),
		cmocka_unit_test(draws_never_repeat),
		cmocka_unit_test(child_draws_others_than_its_parent),
		cmocka_unit_test(threads_draw_differently),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
