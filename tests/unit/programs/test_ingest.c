/*
 * vinveil-ingest, from spool to store: in this process, with a store in front of the real one that can fail; and as a
 * process that is killed again and again.
 */
#include "tests/free_port.h"
#include "tests/unit/cmocka_all.h"

#include "adapters/telemetry/control.h"
#include "adapters/telemetry/sqlite.h"
#include "crypto/digest.h"
#include "programs/ingest/ingest.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY_MS INT64_C(86400000)

static const char *ingest_program;

/* ---- a store that fails on demand ------------------------------------------------------------------------------ */

struct failing_store {
	struct telemetry_store base;
	struct telemetry_store *real;
	struct telemetry_store_ops ops;
	atomic_bool is_failing;
	atomic_int attempts;
};

static enum result failing_commit(struct telemetry_store *base, const struct telemetry_batch *batch, struct note *note)
{
	struct failing_store *store = (struct failing_store *)base;

	atomic_fetch_add(&store->attempts, 1);
	if (atomic_load(&store->is_failing)) {
		note_set(note, "the disk is full");
		return RESULT_UNAVAILABLE;
	}
	return store->real->ops->commit(store->real, batch, note);
}

#define FORWARD(name, parameters, arguments)                                         \
	static enum result forward_##name parameters                                 \
	{                                                                            \
		struct telemetry_store *real = ((struct failing_store *)base)->real; \
		return real->ops->name arguments;                                    \
	}

FORWARD(get_position, (struct telemetry_store * base, struct telemetry_position *ret, struct note *note),
	(real, ret, note))
FORWARD(assign,
	(struct telemetry_store * base, const struct uuid *id, const struct tenant_id *tenant, struct note *note),
	(real, id, tenant, note))
FORWARD(set_retention,
	(struct telemetry_store * base, const struct tenant_id *tenant, uint32_t days, struct note *note),
	(real, tenant, days, note))
FORWARD(forget, (struct telemetry_store * base, const struct uuid *id, struct note *note), (real, id, note))
FORWARD(expire, (struct telemetry_store * base, int64_t now_ms, bool *more, struct note *note),
	(real, now_ms, more, note))

/* ---- all of it around one ingest -------------------------------------------------------------------------------- */

struct fixture {
	char directory[64], telemetry_spool[96], control_spool[96], store_path[96], config_path[96];
	struct spool_writer *writer;
	struct telemetry_control *control;
	struct failing_store store;
	struct fleetwise_decoders *decoders;
	struct ingest ingest;
	pthread_t thread;
	bool is_running;
};

static atomic_int logged;

static void count_log(enum result result, const char *event, const char *text)
{
	(void)result;
	(void)event;
	(void)text;
	atomic_fetch_add(&logged, 1);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static void must(enum result result, const struct note *note)
{
	if (result != RESULT_OK)
		fail_msg("%s: %s", result_name(result), note->text);
}

static void make_paths(struct fixture *fixture)
{
	snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/vinveil-ingest-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(fixture->telemetry_spool, sizeof(fixture->telemetry_spool), "%s/telemetry-spool", fixture->directory);
	snprintf(fixture->control_spool, sizeof(fixture->control_spool), "%s/control-spool", fixture->directory);
	snprintf(fixture->store_path, sizeof(fixture->store_path), "%s/telemetry", fixture->directory);
	snprintf(fixture->config_path, sizeof(fixture->config_path), "%s/ingest.conf", fixture->directory);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct note note = {0};

	assert_non_null(fixture);
	make_paths(fixture);
	must(crypto_init(&note), &note);
	const struct spool_config telemetry = {
		.directory = fixture->telemetry_spool, .segment_size = SPOOL_BODY_SIZE_MAX + 8192, .segments_max = 4};
	const struct spool_config control = {.directory = fixture->control_spool,
					     .segment_size = SPOOL_BODY_SIZE_MAX + 8192};
	must(spool_writer_open(&telemetry, &fixture->writer, &note), &note);
	must(telemetry_control_open(&control, &fixture->control, &note), &note);
	atomic_store(&logged, 0);
	*state = fixture;
	return 0;
}

static void start(struct fixture *fixture);
static void stop(struct fixture *fixture);

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	stop(fixture);
	spool_writer_close(fixture->writer);
	telemetry_control_close(fixture->control);
	nftw(fixture->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(fixture);
	return 0;
}

static void *work(void *context)
{
	ingest_run(context);
	return NULL;
}

static void start(struct fixture *fixture)
{
	const struct telemetry_sqlite_options options = {.retention_days = 30};
	const struct ingest_config config = {
		.telemetry_spool = fixture->telemetry_spool,
		.control_spool = fixture->control_spool,
		.batch_records = 1000,
		.batch_ms = 5,
		.batch_size = (size_t)8 << 20,
		.reject_size = 200,
		.retry_ms = 10,
		.clock = clock_system(),
	};
	struct failing_store *store = &fixture->store;
	struct note note = {0};
	size_t skipped;

	memset(&fixture->ingest, 0, sizeof(fixture->ingest));
	must(telemetry_sqlite_open(fixture->store_path, &options, &store->real, &note), &note);
	store->ops = *store->real->ops;
	store->ops.commit = failing_commit;
	store->ops.get_position = forward_get_position;
	store->ops.assign = forward_assign;
	store->ops.set_retention = forward_set_retention;
	store->ops.forget = forward_forget;
	store->ops.expire = forward_expire;
	store->base.ops = &store->ops;
	must(fleetwise_decoders_open(NULL, &fixture->decoders, &skipped, &note), &note);
	fixture->ingest.log = count_log;
	must(ingest_open(&fixture->ingest, &config, &store->base, fixture->decoders, &note), &note);
	assert_int_equal(pthread_create(&fixture->thread, NULL, work, &fixture->ingest), 0);
	fixture->is_running = true;
}

static void stop(struct fixture *fixture)
{
	if (!fixture->is_running)
		return;
	ingest_stop(&fixture->ingest);
	pthread_join(fixture->thread, NULL);
	ingest_close(&fixture->ingest);
	fleetwise_decoders_close(fixture->decoders);
	telemetry_sqlite_close(fixture->store.real);
	fixture->is_running = false;
}

static struct uuid vehicle_numbered(uint32_t number)
{
	struct uuid uuid = {{0x5a}};

	memcpy(uuid.bytes + 12, &number, sizeof(number));
	return uuid;
}

static enum result append_payload(struct fixture *fixture, uint16_t kind, uint32_t vehicle, const char *payload)
{
	const struct spool_record record = {.kind = kind,
					    .at_ms = clock_now_ms(clock_system()),
					    .subject = vehicle_numbered(vehicle),
					    .body = span_of_text(payload)};

	return spool_append(fixture->writer, &record);
}

static enum result append_number(struct fixture *fixture, uint32_t vehicle, uint64_t number)
{
	char payload[128];

	snprintf(payload, sizeof(payload), "{\"timestamp\":%lld,\"signals\":{\"n\":%llu}}",
		 (long long)(clock_now_ms(clock_system()) / DAY_MS * DAY_MS + (int64_t)number % 3600000),
		 (unsigned long long)number);
	return append_payload(fixture, TELEMETRY_RECORD_JSON, vehicle, payload);
}

static struct telemetry_counts counts_of(struct fixture *fixture)
{
	struct telemetry_counts counts = {0};
	struct note note = {0};

	must(fixture->store.real->ops->count(fixture->store.real, &counts, &note), &note);
	return counts;
}

static void await_messages(struct fixture *fixture, uint64_t messages)
{
	while (counts_of(fixture).messages < messages)
		usleep(2000);
	assert_int_equal(counts_of(fixture).messages, messages);
}

static size_t latest_count(struct fixture *fixture, uint32_t vehicle)
{
	ARENA_CLEANUP struct arena arena = {0};
	const struct uuid reference_id = vehicle_numbered(vehicle);
	struct telemetry_latest *latest;
	struct note note = {0};
	size_t count;

	must(fixture->store.real->ops->get_latest(fixture->store.real, &reference_id, &arena, &latest, &count, &note),
	     &note);
	return count;
}

/* ---- bad input --------------------------------------------------------------------------------------------------- */

static void test_what_is_malformed_is_kept_aside_and_stops_nothing(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(append_payload(fixture, TELEMETRY_RECORD_JSON, 1, "{\"signals\":"), RESULT_OK);
	assert_int_equal(
		append_payload(fixture, TELEMETRY_RECORD_JSON, 1, "\x01\xff\\u0031M8GDM9AXKP042788 1M8GDM9AXKP042788"),
		RESULT_OK);
	assert_int_equal(append_payload(fixture, TELEMETRY_RECORD_FLEETWISE, 1, "neither snappy nor protobuf"),
			 RESULT_OK);
	assert_int_equal(append_payload(fixture, 77, 1, "?"), RESULT_OK);
	assert_int_equal(append_payload(fixture, TELEMETRY_RECORD_JSON, 1, ""), RESULT_OK);
	assert_int_equal(append_payload(fixture, TELEMETRY_RECORD_JSON, 1,
					"{\"signals\":{\"Vehicle.VehicleIdentification.VIN\":\"x\",\"a\":1}}"),
			 RESULT_OK);
	start(fixture);
	await_messages(fixture, 1);
	assert_int_equal(counts_of(fixture).rejects, 5);
	assert_int_equal(counts_of(fixture).withheld, 1);
	assert_int_equal(atomic_load(&fixture->ingest.counters.rejects[telemetry_reason_index("payload-malformed")]),
			 3);
	assert_int_equal(atomic_load(&fixture->ingest.counters.rejects[telemetry_reason_index("record-unknown")]), 1);
	stop(fixture);
	/* What is kept holds no VIN, in whatever form. */
	char command[256];
	snprintf(command, sizeof(command), "%s/main.db", fixture->store_path);
	FILE *file = fopen(command, "r");
	assert_non_null(file);
	static char bytes[1 << 20];
	size_t size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	assert_true(size > 0);
	assert_non_null(memmem(bytes, size, "[withheld]", 10));
	assert_null(memmem(bytes, size, "M8GDM9AXKP042788", 16));
}

static void test_a_store_that_takes_nothing_makes_the_spool_fill(void **state)
{
	struct fixture *fixture = *state;
	uint64_t count = 0;

	atomic_store(&fixture->store.is_failing, true);
	start(fixture);
	while (append_number(fixture, 1, count) == RESULT_OK)
		count++;
	assert_int_equal(append_number(fixture, 1, count), RESULT_EXHAUSTED);
	while (atomic_load(&fixture->store.attempts) < 5)
		usleep(1000);
	assert_true(atomic_load(&fixture->ingest.counters.is_failing));
	assert_true(atomic_load(&fixture->ingest.counters.records) <= 1000);
	assert_int_equal(atomic_load(&logged), 1);
	assert_int_equal(counts_of(fixture).messages, 0);
	atomic_store(&fixture->store.is_failing, false);
	await_messages(fixture, count);
	assert_false(atomic_load(&fixture->ingest.counters.is_failing));
	assert_int_equal(atomic_load(&logged), 2);
	assert_int_equal(counts_of(fixture).duplicates, 0);
	while (append_number(fixture, 1, count) != RESULT_OK)
		usleep(1000);
	await_messages(fixture, count + 1);
}

/* ---- what vinveild says ---------------------------------------------------------------------------------------------
 */

static void test_orders_are_carried_out_in_their_turn(void **state)
{
	struct fixture *fixture = *state;
	const struct uuid one = vehicle_numbered(1);
	const struct tenant_id tenant = {"demo"};
	struct note note = {0};

	for (uint64_t i = 0; i < 3000; i++)
		while (append_number(fixture, 1, i) != RESULT_OK)
			fail_msg("the spool is too small for this test");
	must(fixture->control->ops->assign_vehicle(fixture->control, &one, &tenant, &note), &note);
	must(fixture->control->ops->set_retention(fixture->control, &tenant, 3, &note), &note);
	/* Nothing that was sent before this may be stored after it. */
	must(fixture->control->ops->forget_vehicle(fixture->control, &one, &note), &note);
	must(fixture->control->ops->put_decoder(fixture->control, &tenant, "manifest-1", span_of_text("not one"),
						&note),
	     &note);
	start(fixture);
	/* A refused one counts among the orders first. */
	while (atomic_load(&fixture->ingest.counters.orders) < 4 ||
	       atomic_load(&fixture->ingest.counters.orders_refused) < 1)
		usleep(1000);
	assert_int_equal(counts_of(fixture).messages, 3000);
	assert_int_equal(latest_count(fixture, 1), 0);
	assert_int_equal(atomic_load(&fixture->ingest.counters.orders_refused), 1);
	stop(fixture);
	/* They are not read again. */
	start(fixture);
	assert_int_equal(append_number(fixture, 1, 1), RESULT_OK);
	await_messages(fixture, 3001);
	assert_int_equal(latest_count(fixture, 1), 1);
	assert_int_equal(atomic_load(&fixture->ingest.counters.orders), 0);
}

static void test_orders_survive_being_written_and_read(void **state)
{
	struct fixture *fixture = *state;
	struct spool_reader *reader = NULL;
	struct spool_record record;
	struct spool_position after;
	struct control_order order;
	const struct uuid one = vehicle_numbered(1);
	const struct tenant_id tenant = {"demo"};
	struct note note = {0};

	must(fixture->control->ops->set_retention(fixture->control, &tenant, 30, &note), &note);
	must(fixture->control->ops->put_decoder(fixture->control, &tenant, "s1", span_of("a\0b", 3), &note), &note);
	must(fixture->control->ops->assign_vehicle(fixture->control, &one, &tenant, &note), &note);
	assert_int_equal(fixture->control->ops->put_decoder(fixture->control, &tenant, "", span_of_text("x"), &note),
			 RESULT_INVALID);
	must(spool_reader_open(fixture->control_spool, NULL, &reader, &note), &note);
	must(spool_read(reader, &record, &after, &note), &note);
	must(control_order_read(&record, &order), &note);
	assert_int_equal(order.kind, ORDER_RETENTION);
	assert_int_equal(order.days, 30);
	assert_string_equal(order.tenant.text, "demo");
	must(spool_read(reader, &record, &after, &note), &note);
	must(control_order_read(&record, &order), &note);
	assert_string_equal(order.sync_id, "s1");
	assert_true(span_equal(order.document, span_of("a\0b", 3)));
	must(spool_read(reader, &record, &after, &note), &note);
	must(control_order_read(&record, &order), &note);
	assert_true(uuid_equal(&order.reference_id, &one));
	spool_reader_close(reader);

	static const struct {
		uint16_t kind;
		const char *body;
		size_t size;
	} wrong[] = {{0, "", 0},	{5, "", 0},	     {1, "", 0},	 {1, "UPPER", 5},
		     {2, "demo", 4},	{2, "demo\0x", 6},   {2, "demo\0-1", 7}, {3, "demo", 4},
		     {3, "demo\0s", 6}, {3, "demo\0\0d", 7}, {4, "x", 1}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		record = (struct spool_record){.kind = wrong[i].kind, .body = span_of(wrong[i].body, wrong[i].size)};
		assert_int_equal(control_order_read(&record, &order), RESULT_INVALID);
	}
}

/* ---- killed
 * ------------------------------------------------------------------------------------------------------------ */

static pid_t start_process(const struct fixture *fixture)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		execl(ingest_program, ingest_program, "--config", fixture->config_path, NULL);
		_exit(127);
	}
	return pid;
}

static void write_config(const struct fixture *fixture)
{
	FILE *file = fopen(fixture->config_path, "w");

	assert_non_null(file);
	fprintf(file,
		"[server]\noperations_port = %d\n[spool]\ntelemetry = %s\ncontrol = %s\n[storage]\ntelemetry = %s\n"
		"[batch]\nrecords = 700\nmilliseconds = 3\n",
		free_port(), fixture->telemetry_spool, fixture->control_spool, fixture->store_path);
	fclose(file);
}

static void end_process(pid_t pid, int signal)
{
	int status;

	kill(pid, signal);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

static void test_killing_it_loses_nothing_and_doubles_nothing(void **state)
{
	struct fixture *fixture = *state;
	uint64_t count = 0;

	write_config(fixture);
	for (int round = 0; round < 25; round++) {
		pid_t pid = start_process(fixture);
		int64_t until = clock_monotonic_ms(clock_system()) + 20 + round * 9 % 120;

		while (clock_monotonic_ms(clock_system()) < until)
			if (append_number(fixture, (uint32_t)(count % 50), count) == RESULT_OK)
				count++;
		end_process(pid, SIGKILL);
	}
	start(fixture);
	await_messages(fixture, count);
	assert_int_equal(counts_of(fixture).samples, count);
	assert_int_equal(counts_of(fixture).duplicates, 0);
	assert_int_equal(counts_of(fixture).rejects, 0);
	stop(fixture);
	/* … and a word in time makes it end by itself. */
	pid_t pid = start_process(fixture);
	for (int i = 0; i < 1000; i++)
		while (append_number(fixture, 7, count) != RESULT_OK)
			usleep(1000);
	usleep(50000);
	end_process(pid, SIGTERM);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_malformed_is_kept_aside_and_stops_nothing),
		TEST(test_a_store_that_takes_nothing_makes_the_spool_fill),
		TEST(test_orders_are_carried_out_in_their_turn),
		TEST(test_orders_survive_being_written_and_read),
		TEST(test_killing_it_loses_nothing_and_doubles_nothing),
	};

	if (argc != 2)
		return 2;
	ingest_program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
