#include "base/entropy.h"

#include "base/secret.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

#define BLOCK_SIZE 1024

/* Bytes not handed out yet stand in front: [0, left). What was handed out is wiped. */
static _Thread_local struct {
	uint8_t bytes[BLOCK_SIZE];
	size_t left;
} block;

static pthread_once_t fork_guard = PTHREAD_ONCE_INIT;
static int fork_guard_error;

/* A child has only the thread that forked: it must not hand out the bytes that its parent will. */
static void forget_block(void)
{
	secret_wipe(&block, sizeof(block));
}

static void register_fork_guard(void)
{
	fork_guard_error = pthread_atfork(NULL, NULL, forget_block);
}

static enum result ask_kernel(uint8_t *bytes, size_t size)
{
	size_t done = 0;
	while (done < size) {
		ssize_t count = getrandom(bytes + done, size - done, 0);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			secret_wipe(bytes, done);
			return RESULT_UNAVAILABLE;
		}
		done += (size_t)count;
	}
	return RESULT_OK;
}

static enum result system_fill(struct entropy *entropy, void *ret_bytes, size_t size)
{
	(void)entropy;
	if (size > BLOCK_SIZE)
		return ask_kernel(ret_bytes, size);
	if (size > block.left) {
		pthread_once(&fork_guard, register_fork_guard);
		if (fork_guard_error)
			return RESULT_MEMORY;
		block.left = 0;
		TRY(ask_kernel(block.bytes, BLOCK_SIZE));
		block.left = BLOCK_SIZE;
	}
	block.left -= size;
	memcpy(ret_bytes, block.bytes + block.left, size);
	secret_wipe(block.bytes + block.left, size);
	return RESULT_OK;
}

struct entropy *entropy_system(void)
{
	static struct entropy system = {.fill = system_fill};
	return &system;
}
