#include "api/crl_keeper.h"

#include "base/file.h"
#include "vehicle/certificates.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define CRL_SIZE_MAX ((size_t)64 << 20) /* some 1.5 million revoked certificates */

struct crl_keeper {
	const struct platform *platform;
	char path[PATH_SIZE];
	pthread_mutex_t lock; /* of der */
	struct buf der;
	atomic_uint_fast64_t marks; /* counts revocations, so that one that comes while signing is not lost */
	uint64_t marks_done;
	int64_t due_ms; /* monotonic */
	bool is_failing;
};

enum result crl_keeper_open(const struct platform *platform, const char *path, struct crl_keeper **ret_keeper,
			    struct note *note)
{
	struct crl_keeper *keeper = calloc(1, sizeof *keeper);
	if (keeper == NULL)
		return RESULT_MEMORY;
	keeper->platform = platform;
	keeper->der.size_max = CRL_SIZE_MAX;
	snprintf(keeper->path, sizeof keeper->path, "%s", path);
	pthread_mutex_init(&keeper->lock, NULL);
	enum result result = file_read(path, &keeper->der, note);
	if (result != RESULT_OK && result != RESULT_ABSENT) {
		crl_keeper_close(keeper);
		return result;
	}
	*ret_keeper = keeper;
	return RESULT_OK;
}

void crl_keeper_close(struct crl_keeper *keeper)
{
	if (keeper == NULL)
		return;
	pthread_mutex_destroy(&keeper->lock);
	buf_release(&keeper->der);
	free(keeper);
}

void crl_keeper_mark(struct crl_keeper *keeper)
{
	atomic_fetch_add(&keeper->marks, 1);
}

static enum result sign(struct crl_keeper *keeper, struct note *note)
{
	struct buf der BUF_CLEANUP = {.size_max = CRL_SIZE_MAX};

	TRY(crl_make(keeper->platform, &der, note));
	TRY(file_replace(keeper->path, buf_span(&der), 0644, note));
	pthread_mutex_lock(&keeper->lock);
	struct buf former = keeper->der;
	keeper->der = der;
	der = former;
	pthread_mutex_unlock(&keeper->lock);
	return RESULT_OK;
}

enum result crl_keeper_work(struct crl_keeper *keeper, struct note *note)
{
	int64_t now_ms = clock_monotonic_ms(keeper->platform->clock);
	uint64_t marks = atomic_load(&keeper->marks);

	/* After a failure even a fresh revocation waits for the retry. */
	if (now_ms < keeper->due_ms && (keeper->is_failing || marks == keeper->marks_done))
		return RESULT_OK;
	enum result result = sign(keeper, note);
	keeper->due_ms = now_ms + (result == RESULT_OK ? CRL_PERIOD_MS : CRL_RETRY_MS);
	keeper->is_failing = result != RESULT_OK;
	if (!keeper->is_failing)
		keeper->marks_done = marks;
	return result;
}

enum result crl_keeper_copy(struct crl_keeper *keeper, struct buf *ret_der)
{
	pthread_mutex_lock(&keeper->lock);
	enum result result = keeper->der.size == 0 ? RESULT_ABSENT : buf_append(ret_der, buf_span(&keeper->der));
	pthread_mutex_unlock(&keeper->lock);
	return result;
}
