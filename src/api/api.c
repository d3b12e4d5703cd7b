#include "api/api.h"

#include "api/call.h"
#include "api/conversion_worker.h"
#include "api/housekeeping.h"
#include "api/key_rotator.h"

#include <stdlib.h>

static enum result open_parts(struct api *api, struct note *note)
{
	const struct api_config *config = &api->config;

	api->rates = calloc(1, sizeof *api->rates);
	api->gathered = calloc(config->loop_count, sizeof *api->gathered);
	if (api->rates == NULL || api->gathered == NULL)
		return RESULT_MEMORY;
	rate_limit_init(api->rates);
	TRY(client_directory_open(config->platform->registry, &api->directory, note));
	TRY(refusals_open(config->platform, &api->refusals));
	TRY(crl_keeper_open(config->platform, config->crl_path, &api->crl, note));
	/* Before the first request, so that the CRL is there when readiness is told; keyd away is no reason to stay
	 * away. */
	struct note ignored;
	enum result signed_now = crl_keeper_work(api->crl, &ignored);
	(void)signed_now;
	TRY(pool_open(config->pool_threads, config->pool_queue_max, "request", &api->pool));
	TRY(conversion_worker_open(api, &api->worker));
	TRY(housekeeping_open(api, &api->housekeeping));
	return key_rotator_open(config->platform, config->rotation_settle_ms, &api->rotator);
}

enum result api_open(const struct api_config *config, struct api **ret_api, struct note *note)
{
	struct api *api = calloc(1, sizeof *api);
	if (api == NULL)
		return RESULT_MEMORY;
	api->config = *config;
	api->platform = config->platform;
	enum result result = open_parts(api, note);
	if (result != RESULT_OK) {
		api_close(api);
		return result;
	}
	*ret_api = api;
	return RESULT_OK;
}

void api_begin_drain(struct api *api)
{
	atomic_store(&api->is_draining, true);
}

void api_close(struct api *api)
{
	if (api == NULL)
		return;
	conversion_worker_close(api->worker);
	pool_close(api->pool);
	key_rotator_close(api->rotator);
	housekeeping_close(api->housekeeping);
	crl_keeper_close(api->crl);
	refusals_close(api->refusals);
	client_directory_close(api->directory);
	if (api->rates != NULL)
		rate_limit_release(api->rates);
	free(api->rates);
	free(api->gathered);
	free(api);
}
