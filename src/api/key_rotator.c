#include "api/key_rotator.h"

#include "base/log.h"
#include "vehicle/key_rotation.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define PERIOD_MS 3000

struct key_rotator {
	const struct platform *platform;
	int64_t settle_ms;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool is_closing;
	bool fails; /* so that a lasting failure is logged once */
};

/* Returns early when the rotator closes. */
static void wait_ms(void *context, int64_t ms)
{
	struct key_rotator *rotator = context;
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&rotator->lock);
	while (!rotator->is_closing)
		if (pthread_cond_timedwait(&rotator->wake, &rotator->lock, &until) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&rotator->lock);
}

static bool is_closing(struct key_rotator *rotator)
{
	pthread_mutex_lock(&rotator->lock);
	bool closing = rotator->is_closing;
	pthread_mutex_unlock(&rotator->lock);
	return closing;
}

static bool on_progress(void *context, const struct key_rotation_progress *progress)
{
	/* No generation: keyd is away and was not even asked. */
	if (progress->step == KEY_ROTATION_BEGUN && progress->generations.newest > 0)
		log_event(LOG_INFO, "key-rotation", "generation %u: re-sealing", progress->generations.newest);
	if (progress->step == KEY_ROTATION_FINISHED)
		log_event(LOG_INFO, "key-rotation",
			  "generation %u is complete; vehicles re-sealed: %" PRIu64 ", old indexes dropped: %" PRIu64,
			  progress->generations.newest, progress->resealed, progress->dropped);
	return !is_closing(context);
}

static void run_once(struct key_rotator *rotator)
{
	struct note note = {0};
	struct key_rotation rotation = {
		.platform = rotator->platform,
		.actor = "vinveil",
		.settle_ms = rotator->settle_ms,
		.progress = on_progress,
		.sleep_ms = wait_ms,
		.context = rotator,
	};
	enum result result = key_rotation_continue_all(&rotation, &note);
	bool fails = result != RESULT_OK && !is_closing(rotator);
	/* keyd being away is told by those who need it now. */
	if (fails && !rotator->fails && result != RESULT_UNAVAILABLE)
		log_event(LOG_ERROR, "key-rotation", "%s: %s", result_name(result), note.text);
	rotator->fails = fails;
}

static void *run(void *context)
{
	struct key_rotator *rotator = context;
	while (!is_closing(rotator)) {
		run_once(rotator);
		wait_ms(rotator, PERIOD_MS);
	}
	return NULL;
}

enum result key_rotator_open(const struct platform *platform, int64_t settle_ms, struct key_rotator **ret_rotator)
{
	struct key_rotator *rotator = calloc(1, sizeof(*rotator));
	if (rotator == NULL)
		return RESULT_MEMORY;
	rotator->platform = platform;
	rotator->settle_ms = settle_ms;
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&rotator->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_mutex_init(&rotator->lock, NULL);
	if (pthread_create(&rotator->thread, NULL, run, rotator) != 0) {
		free(rotator);
		return RESULT_MEMORY;
	}
	pthread_setname_np(rotator->thread, "key-rotator");
	*ret_rotator = rotator;
	return RESULT_OK;
}

void key_rotator_close(struct key_rotator *rotator)
{
	if (rotator == NULL)
		return;
	pthread_mutex_lock(&rotator->lock);
	rotator->is_closing = true;
	pthread_cond_signal(&rotator->wake);
	pthread_mutex_unlock(&rotator->lock);
	pthread_join(rotator->thread, NULL);
	pthread_cond_destroy(&rotator->wake);
	pthread_mutex_destroy(&rotator->lock);
	free(rotator);
}
