#include "programs/vinveil/simulate_fleet.h"

#include "base/clock.h"
#include "programs/vinveil/simulate_command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TURN_MS		   1
#define IDLE_TURN_MS	   20
#define UNACKNOWLEDGED_MAX 64 /* of one vehicle: then it holds back, as a modem's buffer would */
#define OBEY_US		   150000
#define BACK_OFF_MIN_US	   500000
#define BACK_OFF_MAX_US	   30000000
#define TRY_MAX_US	   15000000 /* who has not answered by then is not waited for, but stays welcome */
#define FAILURES_SETTLED   3 /* a broker that is not there yet is waited for; after so many it is given up for now */
#define ANSWERS_MAX	   8 /* commands that one vehicle works on at once, or remembers */
#define NAME_SIZE	   65
#define END_WAIT_US	   10000000 /* for the last acknowledgements */

struct unacknowledged {
	int message_id;
	uint64_t sent_us;
};

struct answer {
	uint64_t due_us; /* 0: none, or done */
	uint64_t done_us;
	char topic[COMMAND_TOPIC_SIZE];
	char name[NAME_SIZE];
};

struct fleet;
struct car {
	struct mqtt_client client; /* first: callbacks give us this */
	struct fleet *fleet;
	const struct vehicle_identity *identity;
	struct drive drive;
	bool is_trying;
	bool is_settled; /* was connected or refused once */
	unsigned failures;
	uint64_t connect_us;  /* when to try next, or when it was tried */
	uint64_t publish_us;  /* when to publish next */
	uint64_t advanced_us; /* how far it has driven */
	uint64_t random;
	struct unacknowledged sent[UNACKNOWLEDGED_MAX];
	unsigned sent_first, sent_count;
	struct answer *answers; /* ANSWERS_MAX; NULL until it gets its first command */
};

struct fleet {
	const struct fleet_options *options;
	struct fleet_counts *counts;
	struct mqtt_loop loop;
	struct car *cars;
	size_t settled;
	uint64_t next_connect_us, next_scan_us;
	uint64_t began_us; /* all were settled; 0: not yet */
	uint64_t acknowledged_before;
	struct buf json;
};

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct car *car_of(struct mqtt_client *client)
{
	return (struct car *)client;
}

/* 0 to 1; spreads what would otherwise happen to all vehicles at once. */
static double spread(struct car *car)
{
	car->random = car->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double)(car->random >> 11) / 9007199254740992.0;
}

/* ---- what happens to a vehicle's connection ------------------------------------------------------------------ */

static void settle(struct car *car)
{
	car->fleet->settled += !car->is_settled;
	car->is_settled = true;
}

static void on_connected(struct mqtt_client *client)
{
	struct car *car = car_of(client);
	struct fleet *fleet = car->fleet;
	char filter[COMMAND_TOPIC_SIZE];
	settle(car);
	car->failures = 0;
	fleet->counts->connections++;
	fleet->counts->connected++;
	snprintf(filter, sizeof filter, "$aws/commands/things/%s/#", car->identity->reference_id);
	if (mqtt_client_subscribe(client, filter) != RESULT_OK)
		return; /* the connection is gone already: it will be told */
	if (fleet->options->messages_per_second > 0)
		car->publish_us = now_us() + (uint64_t)(spread(car) * 1e6 / fleet->options->messages_per_second);
}

/* Twice as long each time, and never all vehicles at once. */
static void schedule_connect(struct car *car)
{
	double pause = BACK_OFF_MIN_US * pow(2, car->failures < 10 ? car->failures : 10);
	car->failures++;
	car->is_trying = false;
	car->connect_us = now_us() + (uint64_t)(fmin(pause, BACK_OFF_MAX_US) * (0.5 + spread(car)));
}

static void on_closed(struct mqtt_client *client, bool was_connected, int reason)
{
	struct car *car = car_of(client);
	struct fleet_counts *counts = car->fleet->counts;
	counts->connected -= was_connected;
	counts->disconnections += was_connected;
	counts->refusals += !was_connected && reason != 0;
	if (was_connected || reason != 0 || car->failures >= FAILURES_SETTLED)
		settle(car);
	schedule_connect(car);
}

static void on_acknowledged(struct mqtt_client *client, int message_id, int reason)
{
	struct car *car = car_of(client);
	struct fleet_counts *counts = car->fleet->counts;
	for (unsigned i = 0; i < car->sent_count; i++) {
		struct unacknowledged *sent = &car->sent[(car->sent_first + i) % UNACKNOWLEDGED_MAX];
		if (sent->message_id != message_id)
			continue;
		sent->message_id = 0;
		counts->acknowledged++;
		counts->refused += reason >= 0x80;
		latency_add(&counts->latency, now_us() - sent->sent_us);
		break;
	}
	while (car->sent_count > 0 && car->sent[car->sent_first].message_id == 0) {
		car->sent_first = (car->sent_first + 1) % UNACKNOWLEDGED_MAX;
		car->sent_count--;
	}
}

/* A place for a command; NULL when it is known (it may come twice, under one ID) or there is too much to do at once:
   then it runs into its time-out, as in a car. */
static struct answer *find_place(struct car *car, const char *topic)
{
	struct answer *place = NULL;
	if (car->answers == NULL)
		car->answers = calloc(ANSWERS_MAX, sizeof *car->answers);
	for (size_t i = 0; i < ANSWERS_MAX && car->answers != NULL; i++) {
		struct answer *answer = &car->answers[i];
		if (strcmp(answer->topic, topic) == 0)
			return NULL;
		/* The one that was done longest ago is forgotten. */
		if (answer->due_us == 0 && (place == NULL || answer->done_us < place->done_us))
			place = answer;
	}
	return place;
}

static void on_message(struct mqtt_client *client, const char *topic, struct span payload)
{
	struct car *car = car_of(client);
	struct buf *json = &car->fleet->json;
	char answer_topic[COMMAND_TOPIC_SIZE];
	int message_id;
	if (strstr(topic, "/response/rejected/") != NULL)
		car->fleet->counts->commands_rejected++;
	if (command_answer_topic(topic, answer_topic) != RESULT_OK)
		return;
	struct answer *answer = find_place(car, answer_topic);
	if (answer == NULL)
		return;
	car->fleet->counts->commands++;
	answer->due_us = now_us() + OBEY_US;
	memcpy(answer->topic, answer_topic, sizeof answer_topic);
	command_read_name(payload, answer->name, sizeof answer->name);
	buf_clear(json);
	if (command_write_progress(json) != RESULT_OK ||
	    mqtt_client_publish(client, answer->topic, buf_span(json), &message_id) != RESULT_OK)
		*answer = (struct answer){0}; /* the connection has gone: it will come again */
}

static const struct mqtt_callbacks callbacks = {on_connected, on_closed, on_acknowledged, on_message};

/* ---- what a vehicle does by itself -------------------------------------------------------------------------- */

static void drive_on(struct car *car, uint64_t at_us)
{
	drive_advance(&car->drive, (double)(at_us - car->advanced_us) / 1e6);
	car->advanced_us = at_us;
}

static void send_telemetry(struct car *car, uint64_t at_us)
{
	struct fleet *fleet = car->fleet;
	char topic[64];
	int message_id;
	car->publish_us += (uint64_t)(1e6 / fleet->options->messages_per_second);
	if (car->publish_us + 1000000 < at_us)
		car->publish_us = at_us; /* what was missed while we were busy is not made up for */
	if (car->sent_count == UNACKNOWLEDGED_MAX)
		return;
	drive_on(car, at_us);
	buf_clear(&fleet->json);
	snprintf(topic, sizeof topic, "vehicles/%s/signals", car->identity->reference_id);
	if (drive_write(&car->drive, clock_now_ms(clock_system()), &fleet->json) != RESULT_OK ||
	    mqtt_client_publish(&car->client, topic, buf_span(&fleet->json), &message_id) != RESULT_OK)
		return;
	unsigned place = (car->sent_first + car->sent_count++) % UNACKNOWLEDGED_MAX;
	car->sent[place] = (struct unacknowledged){message_id, at_us};
	fleet->counts->published++;
}

static void send_answers(struct car *car, uint64_t at_us)
{
	struct buf *json = &car->fleet->json;
	int message_id;
	for (size_t i = 0; i < ANSWERS_MAX; i++) {
		struct answer *answer = &car->answers[i];
		if (answer->due_us == 0 || answer->due_us > at_us)
			continue;
		answer->due_us = 0;
		answer->done_us = at_us;
		drive_on(car, at_us);
		buf_clear(json);
		if (command_obey(&car->drive, answer->name, car->fleet->options->failing, json) != RESULT_OK ||
		    mqtt_client_publish(&car->client, answer->topic, buf_span(json), &message_id) != RESULT_OK)
			return;
	}
}

static void tell_failure(struct car *car, const char *text)
{
	struct fleet_counts *counts = car->fleet->counts;
	snprintf(counts->failure, sizeof counts->failure, "%.127s", text);
}

static void try_connect(struct car *car)
{
	struct note note = {0};
	car->is_trying = true;
	car->connect_us = now_us();
	if (mqtt_client_connect(&car->client, &note) == RESULT_OK)
		return;
	tell_failure(car, note.text);
	if (car->failures >= FAILURES_SETTLED)
		settle(car);
	schedule_connect(car);
}

/* Everything that is due; at most once a turn of a millisecond. */
static void scan(struct fleet *fleet, uint64_t at_us)
{
	const struct fleet_options *options = fleet->options;
	if (at_us < fleet->next_scan_us)
		return;
	fleet->next_scan_us = at_us + 1000;
	if (fleet->next_connect_us + 1000000 < at_us)
		fleet->next_connect_us = at_us;
	for (size_t i = 0; i < options->count; i++) {
		struct car *car = &fleet->cars[i];
		if (car->client.is_connected) {
			if (car->answers != NULL)
				send_answers(car, at_us);
			if (options->messages_per_second > 0 && car->publish_us <= at_us)
				send_telemetry(car, at_us);
		} else if (!car->is_trying && car->connect_us <= at_us && fleet->next_connect_us <= at_us) {
			fleet->next_connect_us += (uint64_t)(1e6 / options->connects_per_second);
			try_connect(car);
		} else if (car->is_trying && !car->is_settled && car->connect_us + TRY_MAX_US < at_us) {
			tell_failure(car, "the broker takes the connection, and does not answer");
			settle(car);
		}
	}
}

/* ---- the run ------------------------------------------------------------------------------------------------ */

static enum result open_vehicles(struct fleet *fleet, struct note *note)
{
	const struct fleet_options *options = fleet->options;
	fleet->cars = calloc(options->count, sizeof *fleet->cars);
	if (fleet->cars == NULL)
		return RESULT_MEMORY;
	for (size_t i = 0; i < options->count; i++) {
		struct car *car = &fleet->cars[i];
		const struct vehicle_identity *identity = &options->vehicles[i];
		car->fleet = fleet;
		car->identity = identity;
		car->random = identity->number;
		car->advanced_us = now_us();
		drive_start(&car->drive, options->seed, identity->number);
		TRY(mqtt_client_open(&fleet->loop, &car->client, &callbacks, identity->reference_id, identity->path,
				     identity->path, note));
	}
	return RESULT_OK;
}

static void close_vehicles(struct fleet *fleet)
{
	/* The last one stands first in the loop's list. */
	for (size_t i = fleet->options->count; fleet->cars != NULL && i-- > 0;) {
		mqtt_client_close(&fleet->cars[i].client);
		free(fleet->cars[i].answers);
	}
	free(fleet->cars);
}

static bool is_over(struct fleet *fleet, uint64_t at_us)
{
	const struct fleet_options *options = fleet->options;
	if (fleet->began_us == 0 && fleet->settled == options->count) {
		fleet->began_us = at_us;
		fleet->acknowledged_before = fleet->counts->acknowledged;
		if (options->tell_settled != NULL)
			options->tell_settled(fleet->counts);
	}
	return fleet->began_us != 0 && options->seconds > 0 &&
	       at_us - fleet->began_us >= (uint64_t)(options->seconds * 1e6);
}

static void run(struct fleet *fleet, const volatile int *is_stopped)
{
	struct fleet_counts *counts = fleet->counts;
	int turn_ms = fleet->options->messages_per_second > 0 ? TURN_MS : IDLE_TURN_MS;
	uint64_t at_us = now_us();
	while (!*is_stopped && !is_over(fleet, at_us)) {
		scan(fleet, at_us);
		mqtt_loop_turn(&fleet->loop, fleet->settled < fleet->options->count ? TURN_MS : turn_ms);
		at_us = now_us();
	}
	if (fleet->began_us != 0) {
		counts->seconds = (double)(at_us - fleet->began_us) / 1e6;
		counts->measured = counts->acknowledged - fleet->acknowledged_before;
	}
	for (uint64_t until = at_us + END_WAIT_US; at_us < until && counts->acknowledged < counts->published;) {
		mqtt_loop_turn(&fleet->loop, TURN_MS);
		at_us = now_us();
	}
}

enum result fleet_run(const struct fleet_options *options, const volatile int *is_stopped,
		      struct fleet_counts *ret_counts, struct note *note)
{
	struct fleet fleet = {.options = options, .counts = ret_counts, .loop = {.epoll = -1}};
	*ret_counts = (struct fleet_counts){0};
	enum result result = mqtt_loop_open(options->endpoint, &fleet.loop);
	if (result == RESULT_OK)
		result = open_vehicles(&fleet, note);
	if (result == RESULT_OK)
		run(&fleet, is_stopped);
	close_vehicles(&fleet);
	mqtt_loop_close(&fleet.loop);
	buf_release(&fleet.json);
	return result;
}
