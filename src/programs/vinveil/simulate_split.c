#include "programs/vinveil/simulate_split.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTORS_EACH     3
#define DESCRIPTORS_FOR_SELF 64
#define PARTS_MAX	     64

/* What a part tells on its pipe: once when its vehicles are settled, once at its end. */
struct report {
	bool is_final;
	enum result result;
	struct note note;
	struct fleet_counts counts;
};

struct part {
	pid_t pid;
	int pipe; /* -1: it has told its end */
	struct report last;
	bool is_settled;
};

/* ---- in a part ---------------------------------------------------------------------------------------------- */

static int report_pipe = -1; /* tell_settled has no context */

static void write_report(const struct report *report)
{
	const char *at = (const char *)report;
	for (size_t done = 0; done < sizeof *report;) {
		ssize_t written = write(report_pipe, at + done, sizeof *report - done);
		if (written < 0 && errno != EINTR)
			return;
		done += written > 0 ? (size_t)written : 0;
	}
}

static void report_settled(const struct fleet_counts *counts)
{
	const struct report report = {.counts = *counts};
	write_report(&report);
}

static void run_part(const struct fleet_options *options, const volatile int *is_stopped)
{
	struct report report = {.is_final = true};
	struct fleet_options own = *options;
	own.tell_settled = report_settled;
	report.result = fleet_run(&own, is_stopped, &report.counts, &report.note);
	write_report(&report);
	_exit(0);
}

/* ---- in the parent ------------------------------------------------------------------------------------------ */

static enum result start_part(const struct fleet_options *options, size_t first, size_t count,
			      const volatile int *is_stopped, struct part *part)
{
	int ends[2];
	struct fleet_options own = *options;
	own.vehicles = options->vehicles + first;
	own.count = count;
	if (pipe(ends) != 0)
		return RESULT_UNAVAILABLE;
	part->pipe = ends[0];
	part->pid = fork();
	if (part->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		close(ends[0]);
		report_pipe = ends[1];
		run_part(&own, is_stopped);
	}
	close(ends[1]);
	return part->pid > 0 ? RESULT_OK : RESULT_UNAVAILABLE;
}

static void add_counts(struct fleet_counts *sum, const struct fleet_counts *part)
{
	sum->connected += part->connected;
	sum->published += part->published;
	sum->acknowledged += part->acknowledged;
	sum->refused += part->refused;
	sum->connections += part->connections;
	sum->disconnections += part->disconnections;
	sum->refusals += part->refusals;
	if (part->failure[0] != '\0')
		memcpy(sum->failure, part->failure, sizeof sum->failure);
	sum->commands += part->commands;
	sum->commands_rejected += part->commands_rejected;
	sum->measured += part->measured;
	if (part->seconds > sum->seconds)
		sum->seconds = part->seconds;
	latency_merge(&sum->latency, &part->latency);
}

static void read_report(struct part *part)
{
	char *at = (char *)&part->last;
	size_t done = 0;
	while (done < sizeof part->last) {
		ssize_t got = read(part->pipe, at + done, sizeof part->last - done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			part->last = (struct report){.is_final = true, .result = RESULT_UNAVAILABLE};
			note_set(&part->last.note, "a part of the fleet has died");
			break;
		}
		done += (size_t)got;
	}
	part->is_settled = true;
	if (!part->last.is_final)
		return;
	close(part->pipe);
	part->pipe = -1;
}

static void tell_when_settled(const struct fleet_options *options, const struct part *parts, size_t count,
			      bool *is_told)
{
	struct fleet_counts sum = {0};
	for (size_t i = 0; i < count; i++) {
		if (!parts[i].is_settled)
			return;
		add_counts(&sum, &parts[i].last.counts);
	}
	if (!*is_told && options->tell_settled != NULL)
		options->tell_settled(&sum);
	*is_told = true;
}

static void follow(const struct fleet_options *options, struct part *parts, size_t count,
		   const volatile int *is_stopped)
{
	struct pollfd entries[PARTS_MAX];
	bool is_told = false, is_passed_on = false;
	for (size_t open = count; open > 0;) {
		for (size_t i = 0; i < count; i++)
			entries[i] = (struct pollfd){.fd = parts[i].pipe, .events = POLLIN};
		int ready = poll(entries, count, 200);
		for (size_t i = 0; i < count && ready > 0; i++)
			if (entries[i].revents != 0)
				read_report(&parts[i]);
		tell_when_settled(options, parts, count, &is_told);
		for (size_t i = 0; i < count && *is_stopped && !is_passed_on; i++)
			kill(parts[i].pid, SIGTERM);
		is_passed_on = *is_stopped;
		open = 0;
		for (size_t i = 0; i < count; i++)
			open += parts[i].pipe >= 0;
	}
}

static enum result run_parts(const struct fleet_options *options, size_t count, const volatile int *is_stopped,
			     struct fleet_counts *ret_counts, struct note *note)
{
	struct part *parts = calloc(count, sizeof *parts);
	size_t share = (options->count + count - 1) / count, started = 0;
	enum result result = parts != NULL ? RESULT_OK : RESULT_MEMORY;
	struct fleet_options own = *options;
	own.connects_per_second = options->connects_per_second / (double)count;
	for (size_t first = 0; first < options->count && result == RESULT_OK; first += share) {
		size_t left = options->count - first;
		result = start_part(&own, first, left < share ? left : share, is_stopped, &parts[started]);
		started += result == RESULT_OK;
	}
	if (result != RESULT_OK) {
		note_set(note, "starting the fleet's processes: %s", strerror(errno));
		for (size_t i = 0; i < started; i++)
			kill(parts[i].pid, SIGTERM);
	}
	if (started > 0)
		follow(options, parts, started, is_stopped);
	for (size_t i = 0; i < started; i++) {
		waitpid(parts[i].pid, NULL, 0);
		add_counts(ret_counts, &parts[i].last.counts);
		if (result == RESULT_OK && parts[i].last.result != RESULT_OK) {
			result = parts[i].last.result;
			*note = parts[i].last.note;
		}
	}
	free(parts);
	return result;
}

/* How many vehicles one process can have. */
static size_t raise_limit(size_t vehicles)
{
	struct rlimit files = {0};
	rlim_t wanted = vehicles * DESCRIPTORS_EACH + DESCRIPTORS_FOR_SELF;
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < wanted) {
		struct rlimit more = {wanted, files.rlim_max > wanted ? files.rlim_max : wanted};
		if (setrlimit(RLIMIT_NOFILE, &more) != 0) {
			more = (struct rlimit){files.rlim_max, files.rlim_max};
			setrlimit(RLIMIT_NOFILE, &more);
		}
		getrlimit(RLIMIT_NOFILE, &files);
	}
	return files.rlim_cur > DESCRIPTORS_FOR_SELF ? (files.rlim_cur - DESCRIPTORS_FOR_SELF) / DESCRIPTORS_EACH : 0;
}

enum result fleet_run_split(const struct fleet_options *options, const volatile int *is_stopped,
			    struct fleet_counts *ret_counts, struct note *note)
{
	size_t each = raise_limit(options->count);
	*ret_counts = (struct fleet_counts){0};
	if (each >= options->count)
		return fleet_run(options, is_stopped, ret_counts, note);
	size_t count = each > 0 ? (options->count + each - 1) / each : PARTS_MAX + 1;
	if (count <= PARTS_MAX)
		return run_parts(options, count, is_stopped, ret_counts, note);
	note_set(note, "too few files may be open at once (ulimit -n) for %zu vehicles", options->count);
	return RESULT_EXHAUSTED;
}
