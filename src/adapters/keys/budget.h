/*
 * keyd's own limits, which hold even when the API daemon is taken over.
 *
 * Rates (per tenant and second) are token buckets in memory that start empty with the daemon, so that a restart
 * never gives more. Counts are durable: a unit is on disk before it is given out.
 *
 * The time of durable budgets is never the wall clock alone: it is the later of wall clock and the last stored
 * time when the daemon starts, and goes on monotonically. So a clock set back refills nothing, and one that jumped
 * far ahead for a moment does not lock the budget for ever.
 */
#ifndef VINVEIL_ADAPTERS_KEYS_BUDGET_H
#define VINVEIL_ADAPTERS_KEYS_BUDGET_H

#include "base/clock.h"
#include "base/result.h"
#include "base/span.h"

#include <stddef.h>

#define BUDGET_INDEX_PER_SECOND_DEFAULT	      2000
#define BUDGET_INDEX_BURST_DEFAULT	      4000
#define BUDGET_SEAL_PER_SECOND_DEFAULT	      2000
#define BUDGET_FINGERPRINT_PER_SECOND_DEFAULT 2000
#define BUDGET_REVEALS_PER_HOUR_DEFAULT	      10
#define BUDGET_REVEALS_PER_DAY_DEFAULT	      50
#define BUDGET_ISSUANCES_PER_HOUR_DEFAULT     100000
#define BUDGET_RATE_MAX			      10000000
#define BUDGET_REVEALS_MAX		      1000

struct key_budgets {
	int64_t index_per_second; /* VIN indexes computed, a tenant */
	int64_t index_burst;
	int64_t seal_per_second; /* VINs sealed, a tenant (bounds what seal + re-seal could compute); burst: as much */
	int64_t fingerprint_per_second; /* bodies fingerprinted, a tenant: one that holds a VIN could be guessed; burst:
					   as much */
	int64_t reveals_per_hour;	/* in the whole installation, any 60 minutes; 0: none */
	int64_t reveals_per_day;	/* any 24 hours */
	int64_t issuances_per_hour;
};

/* The defaults above. */
struct key_budgets key_budgets_default(void);

/* ---- rates ---------------------------------------------------------------------------------------- */

struct token_bucket {
	int64_t per_second, burst;
	int64_t milli_tokens;
	int64_t at_ms; /* monotonic */
};

/* Empty. */
void token_bucket_init(struct token_bucket *bucket, int64_t per_second, int64_t burst, int64_t monotonic_ms);
/* All or nothing; RESULT_EXHAUSTED. Not thread-safe. */
MUST_USE enum result token_bucket_take(struct token_bucket *bucket, int64_t count, int64_t monotonic_ms);

/* ---- durable counts ------------------------------------------------------------------------------- */

struct durable_cell;

/* Time that a clock set back does not move. */
struct budget_time {
	struct clock *clock;
	int64_t start_ms, start_monotonic_ms;
};
void budget_time_init(struct budget_time *time, struct clock *clock, int64_t stored_ms);
int64_t budget_time_now(const struct budget_time *time);

/* The times of the last reveals, oldest first: exact sliding windows. Not thread-safe. */
struct reveal_budget {
	struct durable_cell *cell; /* borrowed */
	struct budget_time time;
	int64_t per_hour, per_day;
	int64_t taken_ms[BUDGET_REVEALS_MAX];
	size_t count;
};
/* stored: the cell's content. RESULT_CORRUPT when it has not the form. */
MUST_USE enum result reveal_budget_open(struct durable_cell *cell, struct clock *clock, int64_t per_hour,
					int64_t per_day, struct span stored, struct reveal_budget *ret_budget);
/* Durable when it returns RESULT_OK; RESULT_EXHAUSTED; RESULT_UNAVAILABLE when it cannot be stored. */
MUST_USE enum result reveal_budget_take(struct reveal_budget *budget, struct note *note);

/* Windows of an hour; a block is reserved on disk at once, and what is left of it is lost at a restart. */
struct issuance_budget {
	struct durable_cell *cell; /* borrowed */
	struct budget_time time;
	int64_t per_hour;
	int64_t window_start_ms;
	int64_t reserved;  /* in this window, on disk */
	int64_t remaining; /* of what is reserved, not used yet */
};
MUST_USE enum result issuance_budget_open(struct durable_cell *cell, struct clock *clock, int64_t per_hour,
					  struct span stored, struct issuance_budget *ret_budget);
MUST_USE enum result issuance_budget_take(struct issuance_budget *budget, struct note *note);
/* What was taken came to nothing. */
void issuance_budget_return(struct issuance_budget *budget);

#endif
