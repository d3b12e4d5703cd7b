#include "api/housekeeping.h"

#include "base/log.h"
#include "base/text.h"
#include "vehicle/remote_commands.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define PERIOD_MS	  1000
#define CLIENTS_PERIOD_MS 10000
#define EXPIRE_MS	  500

struct housekeeping {
	struct api *api;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool is_woken, is_closing;
	int64_t refusals_due_ms, clients_due_ms;
	int64_t gateway_connected_at_ms; /* of the connection that has been given what waits */
	/* So that a lasting failure is logged once. */
	bool audit_fails, crl_fails, clients_fail, owed_fail, commands_fail, resend_fails;
};

static void tell(bool *fails, enum result result, const char *event, const struct note *note)
{
	bool now_fails = result != RESULT_OK;
	if (now_fails && !*fails)
		log_event(LOG_ERROR, event, "%s: %s", result_name(result), note->text);
	else if (!now_fails && *fails)
		log_event(LOG_INFO, event, "works again");
	*fails = now_fails;
}

/* Requests hear that the log is away; why it is stands here. */
static void watch_audit_log(struct housekeeping *housekeeping)
{
	const struct api_config *config = &housekeeping->api->config;
	struct api_audit_state state = {0};
	struct note note = {0};

	config->audit_state(config->context, &state);
	memcpy(note.text, state.failure, sizeof(note.text));
	bool fails = state.is_failing || state.failure[0] != '\0';
	tell(&housekeeping->audit_fails, fails ? RESULT_UNAVAILABLE : RESULT_OK, "audit-log", &note);
}

static void pay_owed_leaves(struct housekeeping *housekeeping)
{
	struct note note = {.text = "leaves of committed changes wait for the audit log"};
	size_t paid = 0;
	enum result result = owed_leaves_pay(housekeeping->api->platform, &paid);
	tell(&housekeeping->owed_fail, result, "owed-leaves", &note);
	if (paid > 0)
		log_event(LOG_INFO, "owed-leaves", "%zu %s into the audit log", paid,
			  text_plural(paid, "leaf followed its change", "leaves followed their changes"));
}

/* Many may be over at once; what else there is to do waits only so long. */
static void expire_commands(struct housekeeping *housekeeping)
{
	const struct platform *platform = housekeeping->api->platform;
	int64_t until_ms = clock_monotonic_ms(platform->clock) + EXPIRE_MS;
	enum result result = RESULT_OK;
	struct note note = {0};
	bool more = true;

	while (result == RESULT_OK && more && clock_monotonic_ms(platform->clock) < until_ms)
		result = remote_commands_expire(platform, &more, &note);
	tell(&housekeeping->commands_fail, result, "commands", &note);
}

/* What was handed to a connection that broke, or before this program was started, may not have arrived. */
static void resend_commands(struct housekeeping *housekeeping)
{
	const struct platform *platform = housekeeping->api->platform;
	struct gateway_status status = {0};
	struct note note = {0};

	if (platform->gateway != NULL)
		platform->gateway->ops->get_status(platform->gateway, &status);
	if (!status.is_connected || status.connected_at_ms == housekeeping->gateway_connected_at_ms)
		return;
	enum result result = remote_commands_resend_all(platform, status.connected_at_ms, &note);
	tell(&housekeeping->resend_fails, result, "commands-resend", &note);
	if (result == RESULT_OK)
		housekeeping->gateway_connected_at_ms = status.connected_at_ms;
}

static void run_once(struct housekeeping *housekeeping)
{
	struct api *api = housekeeping->api;
	int64_t now_ms = clock_monotonic_ms(api->platform->clock);
	struct note note = {0};

	if (now_ms >= housekeeping->refusals_due_ms) {
		refusals_flush(api->refusals);
		housekeeping->refusals_due_ms = now_ms + PERIOD_MS;
	}
	watch_audit_log(housekeeping);
	pay_owed_leaves(housekeeping);
	expire_commands(housekeeping);
	resend_commands(housekeeping);
	tell(&housekeeping->crl_fails, crl_keeper_work(api->crl, &note), "crl", &note);
	if (now_ms >= housekeeping->clients_due_ms) {
		enum result result = client_directory_reload(api->directory, &note);
		tell(&housekeeping->clients_fail, result, "clients", &note);
		housekeeping->clients_due_ms = now_ms + CLIENTS_PERIOD_MS;
	}
}

static void wait_for_work(struct housekeeping *housekeeping)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PERIOD_MS / 1000;
	while (!housekeeping->is_woken && !housekeeping->is_closing)
		if (pthread_cond_timedwait(&housekeeping->wake, &housekeeping->lock, &until) == ETIMEDOUT)
			break;
	housekeeping->is_woken = false;
}

static void *run(void *context)
{
	struct housekeeping *housekeeping = context;
	pthread_mutex_lock(&housekeeping->lock);
	while (!housekeeping->is_closing) {
		pthread_mutex_unlock(&housekeeping->lock);
		run_once(housekeeping);
		pthread_mutex_lock(&housekeeping->lock);
		wait_for_work(housekeeping);
	}
	pthread_mutex_unlock(&housekeeping->lock);
	return NULL;
}

enum result housekeeping_open(struct api *api, struct housekeeping **ret_housekeeping)
{
	struct housekeeping *housekeeping = calloc(1, sizeof *housekeeping);
	if (housekeeping == NULL)
		return RESULT_MEMORY;
	housekeeping->api = api;
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&housekeeping->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_mutex_init(&housekeeping->lock, NULL);
	if (pthread_create(&housekeeping->thread, NULL, run, housekeeping) != 0) {
		free(housekeeping);
		return RESULT_MEMORY;
	}
	pthread_setname_np(housekeeping->thread, "housekeeping");
	*ret_housekeeping = housekeeping;
	return RESULT_OK;
}

static void signal_flag(struct housekeeping *housekeeping, bool *flag)
{
	pthread_mutex_lock(&housekeeping->lock);
	*flag = true;
	pthread_cond_signal(&housekeeping->wake);
	pthread_mutex_unlock(&housekeeping->lock);
}

void housekeeping_wake(struct housekeeping *housekeeping)
{
	signal_flag(housekeeping, &housekeeping->is_woken);
}

void housekeeping_close(struct housekeeping *housekeeping)
{
	if (housekeeping == NULL)
		return;
	signal_flag(housekeeping, &housekeeping->is_closing);
	pthread_join(housekeeping->thread, NULL);
	refusals_flush(housekeeping->api->refusals);
	pthread_cond_destroy(&housekeeping->wake);
	pthread_mutex_destroy(&housekeeping->lock);
	free(housekeeping);
}
