#include "adapters/keys/budget.h"

#include "adapters/keys/durable_cell.h"
#include "adapters/keys/vault_files.h"
#include "adapters/keys/wire.h"

#define HOUR_MS	       ((int64_t)3600 * 1000)
#define DAY_MS	       (24 * HOUR_MS)
#define ELAPSED_MAX_MS DAY_MS /* keeps the bucket's arithmetic far from overflow */

struct key_budgets key_budgets_default(void)
{
	return (struct key_budgets){
		.index_per_second = BUDGET_INDEX_PER_SECOND_DEFAULT,
		.index_burst = BUDGET_INDEX_BURST_DEFAULT,
		.seal_per_second = BUDGET_SEAL_PER_SECOND_DEFAULT,
		.fingerprint_per_second = BUDGET_FINGERPRINT_PER_SECOND_DEFAULT,
		.reveals_per_hour = BUDGET_REVEALS_PER_HOUR_DEFAULT,
		.reveals_per_day = BUDGET_REVEALS_PER_DAY_DEFAULT,
		.issuances_per_hour = BUDGET_ISSUANCES_PER_HOUR_DEFAULT,
	};
}

/* ---- rates ---------------------------------------------------------------------------------------- */

void token_bucket_init(struct token_bucket *bucket, int64_t per_second, int64_t burst, int64_t monotonic_ms)
{
	*bucket = (struct token_bucket){.per_second = per_second, .burst = burst, .at_ms = monotonic_ms};
}

enum result token_bucket_take(struct token_bucket *bucket, int64_t count, int64_t monotonic_ms)
{
	int64_t elapsed = monotonic_ms - bucket->at_ms;
	if (elapsed > 0) {
		if (elapsed > ELAPSED_MAX_MS)
			elapsed = ELAPSED_MAX_MS;
		bucket->milli_tokens += elapsed * bucket->per_second;
		if (bucket->milli_tokens > bucket->burst * 1000)
			bucket->milli_tokens = bucket->burst * 1000;
		bucket->at_ms = monotonic_ms;
	}
	if (count * 1000 > bucket->milli_tokens)
		return RESULT_EXHAUSTED;
	bucket->milli_tokens -= count * 1000;
	return RESULT_OK;
}

/* ---- time ----------------------------------------------------------------------------------------- */

void budget_time_init(struct budget_time *time, struct clock *clock, int64_t stored_ms)
{
	int64_t now = clock_now_ms(clock);
	*time = (struct budget_time){
		.clock = clock,
		.start_ms = now > stored_ms ? now : stored_ms,
		.start_monotonic_ms = clock_monotonic_ms(clock),
	};
}

int64_t budget_time_now(const struct budget_time *time)
{
	return time->start_ms + (clock_monotonic_ms(time->clock) - time->start_monotonic_ms);
}

/* ---- reveals: count u16 | times i64 … -------------------------------------------------------------- */

enum result reveal_budget_open(struct durable_cell *cell, struct clock *clock, int64_t per_hour, int64_t per_day,
			       struct span stored, struct reveal_budget *ret_budget)
{
	struct reveal_budget budget = {.cell = cell, .per_hour = per_hour, .per_day = per_day};
	struct wire_reader reader = {.rest = stored};
	budget.count = wire_get_u16(&reader);
	if (budget.count > BUDGET_REVEALS_MAX)
		return RESULT_CORRUPT;
	for (size_t i = 0; i < budget.count; i++)
		budget.taken_ms[i] = (int64_t)wire_get_u64(&reader);
	if (wire_end(&reader) != RESULT_OK)
		return RESULT_CORRUPT;
	budget_time_init(&budget.time, clock, budget.count > 0 ? budget.taken_ms[budget.count - 1] : 0);
	*ret_budget = budget;
	return RESULT_OK;
}

static int64_t count_since(const struct reveal_budget *budget, int64_t since_ms)
{
	int64_t count = 0;
	for (size_t i = 0; i < budget->count; i++)
		count += budget->taken_ms[i] > since_ms;
	return count;
}

static enum result store_reveals(struct reveal_budget *budget, const int64_t *taken_ms, size_t count, int64_t now,
				 struct note *note)
{
	BUF_CLEANUP struct buf content = {.size_max = REVEALS_CELL_SIZE};
	TRY(wire_put_u16(&content, (uint16_t)(count + 1)));
	for (size_t i = 0; i < count; i++)
		TRY(wire_put_u64(&content, (uint64_t)taken_ms[i]));
	TRY(wire_put_u64(&content, (uint64_t)now));
	return durable_cell_store(budget->cell, buf_span(&content), note);
}

enum result reveal_budget_take(struct reveal_budget *budget, struct note *note)
{
	int64_t now = budget_time_now(&budget->time);
	if (count_since(budget, now - HOUR_MS) >= budget->per_hour ||
	    count_since(budget, now - DAY_MS) >= budget->per_day) {
		note_set(note, "the key daemon's budget of reveals is used up");
		return RESULT_EXHAUSTED;
	}
	/* Only the last day counts, and of that at most per_day - 1 stand here. */
	size_t old = budget->count - (size_t)count_since(budget, now - DAY_MS);
	size_t kept = budget->count - old;
	if (kept >= BUDGET_REVEALS_MAX)
		return RESULT_EXHAUSTED;
	TRY(store_reveals(budget, budget->taken_ms + old, kept, now, note));
	memmove(budget->taken_ms, budget->taken_ms + old, kept * sizeof(budget->taken_ms[0]));
	budget->taken_ms[kept] = now;
	budget->count = kept + 1;
	return RESULT_OK;
}

/* ---- issuances: window start i64 | reserved u64 ---------------------------------------------------- */

enum result issuance_budget_open(struct durable_cell *cell, struct clock *clock, int64_t per_hour, struct span stored,
				 struct issuance_budget *ret_budget)
{
	struct issuance_budget budget = {.cell = cell, .per_hour = per_hour};
	struct wire_reader reader = {.rest = stored};
	budget.window_start_ms = (int64_t)wire_get_u64(&reader);
	budget.reserved = (int64_t)wire_get_u64(&reader);
	if (wire_end(&reader) != RESULT_OK || budget.window_start_ms < 0 || budget.reserved < 0)
		return RESULT_CORRUPT;
	budget_time_init(&budget.time, clock, budget.window_start_ms);
	*ret_budget = budget;
	return RESULT_OK;
}

static enum result reserve_block(struct issuance_budget *budget, int64_t window_start, int64_t reserved,
				 struct note *note)
{
	int64_t block = budget->per_hour / 100 > 0 ? budget->per_hour / 100 : 1;
	if (block > budget->per_hour - reserved)
		block = budget->per_hour - reserved;
	if (block <= 0) {
		note_set(note, "the key daemon's budget of certificates is used up for this hour");
		return RESULT_EXHAUSTED;
	}
	BUF_CLEANUP struct buf content = {.size_max = ISSUANCES_CELL_SIZE};
	TRY(wire_put_u64(&content, (uint64_t)window_start));
	TRY(wire_put_u64(&content, (uint64_t)(reserved + block)));
	TRY(durable_cell_store(budget->cell, buf_span(&content), note));
	budget->window_start_ms = window_start;
	budget->reserved = reserved + block;
	budget->remaining = block;
	return RESULT_OK;
}

enum result issuance_budget_take(struct issuance_budget *budget, struct note *note)
{
	int64_t now = budget_time_now(&budget->time);
	if (now - budget->window_start_ms >= HOUR_MS)
		TRY(reserve_block(budget, now, 0, note));
	else if (budget->remaining == 0)
		TRY(reserve_block(budget, budget->window_start_ms, budget->reserved, note));
	budget->remaining--;
	return RESULT_OK;
}

void issuance_budget_return(struct issuance_budget *budget)
{
	budget->remaining++;
}
