/*
 * The registry over SQLite: one writing thread (sqlite_writer), a bounded set of reading connections handed out
 * to whoever asks, and the lock that keeps an import away.
 */
#include "adapters/registry/sqlite.h"

#include "adapters/registry/sqlite_fleet_read.h"
#include "adapters/registry/sqlite_import.h"
#include "adapters/registry/sqlite_lock.h"
#include "adapters/registry/sqlite_read.h"
#include "adapters/registry/sqlite_schema.h"
#include "adapters/registry/sqlite_writer.h"

#include <stdlib.h>
#include <unistd.h>

struct reader {
	struct sqlite_db db;
	bool is_open;
	struct reader *next;
};

struct sqlite_registry {
	struct registry base;
	char *path;
	int lock_fd;
	struct clock *clock;
	struct writer *writer;
	struct sqlite_db_options reader_options;
	struct reader *readers;
	uint32_t readers_max;
	pthread_mutex_t mutex;
	pthread_cond_t reader_returned;
	struct reader *free_readers; /* the last returned first: its cache is warm */
};

static struct sqlite_registry *self_of(struct registry *registry)
{
	return (struct sqlite_registry *)registry;
}

/* ---- readers --------------------------------------------------------------------------------------- */

static void return_reader(struct sqlite_registry *self, struct reader *reader)
{
	pthread_mutex_lock(&self->mutex);
	reader->next = self->free_readers;
	self->free_readers = reader;
	pthread_cond_signal(&self->reader_returned);
	pthread_mutex_unlock(&self->mutex);
}

/* Waits for a reader when all are out. Opened at its first use, and again after an error closed it. */
static enum result borrow_reader(struct sqlite_registry *self, struct reader **ret_reader, struct note *note)
{
	pthread_mutex_lock(&self->mutex);
	while (self->free_readers == NULL)
		pthread_cond_wait(&self->reader_returned, &self->mutex);
	struct reader *reader = self->free_readers;
	self->free_readers = reader->next;
	pthread_mutex_unlock(&self->mutex);

	if (!reader->is_open) {
		enum result result = sqlite_db_open(self->path, &self->reader_options, &reader->db, note);
		if (result != RESULT_OK) {
			return_reader(self, reader);
			return result == RESULT_ABSENT ? RESULT_UNAVAILABLE : result;
		}
		reader->is_open = true;
	}
	*ret_reader = reader;
	return RESULT_OK;
}

static enum result finish_read(struct sqlite_registry *self, struct reader *reader, enum result result)
{
	if (result == RESULT_UNAVAILABLE || result == RESULT_CORRUPT) {
		sqlite_db_close(&reader->db);
		reader->is_open = false;
	}
	return_reader(self, reader);
	return result;
}

/* Evaluates a read over a borrowed connection named `db` and returns its result. */
#define READ(registry, note, expression)                           \
	do {                                                       \
		struct sqlite_registry *self_ = self_of(registry); \
		struct reader *reader_;                            \
		TRY(borrow_reader(self_, &reader_, (note)));       \
		struct sqlite_db *db = &reader_->db;               \
		return finish_read(self_, reader_, (expression));  \
	} while (0)

static enum result get_vehicle(struct registry *registry, const struct tenant_id *tenant,
			       const struct uuid *reference_id, struct arena *arena, struct vehicle *ret_vehicle,
			       struct note *note)
{
	READ(registry, note, read_vehicle(db, tenant, reference_id, arena, ret_vehicle, note));
}

static enum result find_by_device(struct registry *registry, const struct tenant_id *tenant, const char *device_id,
				  struct arena *arena, struct vehicle *ret_vehicle, struct note *note)
{
	READ(registry, note, read_vehicle_by_device(db, tenant, device_id, arena, ret_vehicle, note));
}

static enum result find_by_index(struct registry *registry, const struct tenant_id *tenant,
				 const struct vin_index_set *sets, size_t count, struct uuid *ret_ids, bool *ret_found,
				 struct note *note)
{
	READ(registry, note, read_by_index(db, tenant, sets, count, ret_ids, ret_found, note));
}

static enum result scan_vehicles(struct registry *registry, const struct tenant_id *tenant, enum vehicle_state state,
				 uint64_t cursor, size_t limit, struct arena *arena, struct vehicle_page *ret_page,
				 struct note *note)
{
	const struct page_query query = {
		.tenant = tenant,
		.statement = state == 0 ? SQL_SCAN_VEHICLES : SQL_SCAN_VEHICLES_IN_STATE,
		.has_fourth = state != 0,
		.fourth = state,
		.cursor = cursor,
		.limit = limit,
	};

	READ(registry, note, read_vehicle_page(db, &query, arena, ret_page, note));
}

static enum result scan_stale(struct registry *registry, const struct tenant_id *tenant, uint16_t generation,
			      uint64_t cursor, size_t limit, struct arena *arena, struct vehicle_page *ret_page,
			      struct note *note)
{
	const struct page_query query = {
		.tenant = tenant,
		.statement = SQL_SCAN_STALE,
		.has_fourth = true,
		.fourth = generation,
		.cursor = cursor,
		.limit = limit,
	};

	READ(registry, note, read_vehicle_page(db, &query, arena, ret_page, note));
}

static enum result get_history(struct registry *registry, const struct tenant_id *tenant,
			       const struct uuid *reference_id, uint64_t before, size_t limit, struct arena *arena,
			       struct history_entry **ret_entries, size_t *ret_count, struct note *note)
{
	READ(registry, note,
	     read_history(db, tenant, reference_id, before, limit, arena, ret_entries, ret_count, note));
}

static enum result get_certificates(struct registry *registry, const struct tenant_id *tenant,
				    const struct uuid *reference_id, size_t limit, struct arena *arena,
				    struct certificate_record **ret_records, size_t *ret_count, struct note *note)
{
	READ(registry, note,
	     read_certificates(db, tenant, reference_id, NULL, limit, arena, ret_records, ret_count, note));
}

static enum result get_valid_certificates(struct registry *registry, const struct tenant_id *tenant,
					  const struct uuid *reference_id, int64_t at_ms, size_t limit,
					  struct arena *arena, struct certificate_record **ret_records,
					  size_t *ret_count, struct note *note)
{
	READ(registry, note,
	     read_certificates(db, tenant, reference_id, &at_ms, limit, arena, ret_records, ret_count, note));
}

static enum result scan_revoked(struct registry *registry, int64_t at_ms, struct arena *arena,
				struct revoked_certificate **ret_revoked, size_t *ret_count, struct note *note)
{
	READ(registry, note, read_revoked(db, at_ms, arena, ret_revoked, ret_count, note));
}

static enum result find_certified_key(struct registry *registry, const struct tenant_id *tenant,
				      const uint8_t spki_sha256[SHA256_SIZE], struct uuid *ret_reference_id,
				      char ret_device_id[DEVICE_ID_SIZE], struct note *note)
{
	READ(registry, note, read_certified_key(db, tenant, spki_sha256, ret_reference_id, ret_device_id, note));
}

static enum result get_device(struct registry *registry, const struct tenant_id *tenant, const char *device_id,
			      struct device_manifest_entry *ret_entry, struct note *note)
{
	READ(registry, note, read_device(db, tenant, device_id, ret_entry, note));
}

static enum result get_tenant(struct registry *registry, const struct tenant_id *id, struct tenant *ret_tenant,
			      struct note *note)
{
	READ(registry, note, read_tenant(db, id, ret_tenant, note));
}

static enum result list_tenants(struct registry *registry, struct arena *arena, struct tenant **ret_tenants,
				size_t *ret_count, struct note *note)
{
	READ(registry, note, read_tenants(db, arena, ret_tenants, ret_count, note));
}

static enum result list_clients(struct registry *registry, struct arena *arena, struct client **ret_clients,
				size_t *ret_count, struct note *note)
{
	READ(registry, note, read_clients(db, arena, ret_clients, ret_count, note));
}

static enum result get_reveal(struct registry *registry, const struct tenant_id *tenant, const struct uuid *id,
			      struct reveal_request *ret_request, struct note *note)
{
	READ(registry, note, read_reveal(db, tenant, id, ret_request, note));
}

static enum result get_idempotency(struct registry *registry, const char *client_id, const char *route, const char *key,
				   struct arena *arena, struct idempotency_record *ret_record, struct note *note)
{
	int64_t now_ms = clock_now_ms(self_of(registry)->clock);

	READ(registry, note, read_idempotency(db, client_id, route, key, now_ms, arena, ret_record, note));
}

/* ---- connected vehicles ---------------------------------------------------------------------------- */

static enum result find_certificate(struct registry *registry, const struct serial *serial,
				    struct certificate_record *ret_record, struct note *note)
{
	READ(registry, note, read_certificate(db, serial, ret_record, note));
}

static enum result scan_denied(struct registry *registry, int64_t at_ms, struct arena *arena,
			       struct denied_certificate **ret_denied, size_t *ret_count, struct note *note)
{
	READ(registry, note, read_denied(db, at_ms, arena, ret_denied, ret_count, note));
}

static enum result scan_suspended(struct registry *registry, struct arena *arena, struct uuid **ret_ids,
				  size_t *ret_count, struct note *note)
{
	READ(registry, note, read_suspended(db, arena, ret_ids, ret_count, note));
}

static enum result get_command(struct registry *registry, const struct tenant_id *tenant,
			       const struct uuid *reference_id, const struct uuid *command_id, struct arena *arena,
			       struct remote_command *ret_command, struct note *note)
{
	READ(registry, note, read_command(db, tenant, reference_id, command_id, arena, ret_command, note));
}

static enum result list_commands(struct registry *registry, const struct tenant_id *tenant,
				 const struct uuid *reference_id, const struct uuid *before, size_t limit,
				 struct arena *arena, struct remote_command **ret_commands, size_t *ret_count,
				 struct note *note)
{
	READ(registry, note,
	     read_commands(db, tenant, reference_id, before, limit, arena, ret_commands, ret_count, note));
}

static enum result list_waiting_commands(struct registry *registry, const struct tenant_id *tenant,
					 const struct uuid *reference_id, int64_t at_ms, size_t limit,
					 struct arena *arena, struct remote_command **ret_commands, size_t *ret_count,
					 struct note *note)
{
	READ(registry, note,
	     read_waiting_commands(db, tenant, reference_id, at_ms, limit, arena, ret_commands, ret_count, note));
}

static enum result list_open_commands(struct registry *registry, int64_t after_ms, int64_t until_ms, size_t limit,
				      struct arena *arena, struct remote_command **ret_commands, size_t *ret_count,
				      struct note *note)
{
	READ(registry, note, read_open_commands(db, after_ms, until_ms, limit, arena, ret_commands, ret_count, note));
}

static enum result list_alerts(struct registry *registry, const struct tenant_id *tenant,
			       const struct alert_query *query, struct arena *arena, struct alert **ret_alerts,
			       size_t *ret_count, struct note *note)
{
	READ(registry, note, read_alerts(db, tenant, query, arena, ret_alerts, ret_count, note));
}

static enum result find_claim(struct registry *registry, const struct serial *serial, struct claim *ret_claim,
			      struct note *note)
{
	READ(registry, note, read_claim_by_serial(db, serial, ret_claim, note));
}

static enum result get_claim(struct registry *registry, const struct tenant_id *tenant, const char *name,
			     struct claim *ret_claim, struct note *note)
{
	READ(registry, note, read_claim(db, tenant, name, ret_claim, note));
}

static enum result list_claims(struct registry *registry, const struct tenant_id *tenant, struct arena *arena,
			       struct claim **ret_claims, size_t *ret_count, struct note *note)
{
	READ(registry, note, read_claims(db, tenant, arena, ret_claims, ret_count, note));
}

static enum result count_ownerships(struct registry *registry, const struct serial *claim, int64_t at_ms,
				    size_t *ret_count, struct note *note)
{
	READ(registry, note, read_ownership_count(db, claim, at_ms, ret_count, note));
}

static enum result find_ownership(struct registry *registry, const uint8_t token_sha256[SHA256_SIZE], int64_t at_ms,
				  struct arena *arena, struct ownership *ret_ownership, struct note *note)
{
	READ(registry, note, read_ownership(db, token_sha256, at_ms, arena, ret_ownership, note));
}

static enum result get_signal_document(struct registry *registry, const struct tenant_id *tenant,
				       enum signal_document_kind kind, bool with_bytes, struct arena *arena,
				       struct signal_document *ret_document, struct note *note)
{
	READ(registry, note, read_signal_document(db, tenant, kind, with_bytes, arena, ret_document, note));
}

/* ---- writes ---------------------------------------------------------------------------------------- */

struct change_job {
	struct writer_job job;
	const struct change_set *change;
};

static enum result run_change(struct writer_job *job, struct write *write)
{
	return write_change_set(write, ((struct change_job *)job)->change);
}

static enum result commit(struct registry *registry, const struct change_set *change,
			  enum registry_conflict *ret_conflict, struct note *note)
{
	struct change_job job = {.job.run = run_change, .change = change};

	if (change->count > CHANGE_SET_WRITES_MAX)
		return RESULT_INVALID;
	enum result result = writer_submit(self_of(registry)->writer, &job.job, note);
	if (result == RESULT_CONFLICT)
		*ret_conflict = job.job.conflict;
	return result;
}

struct drop_job {
	struct writer_job job;
	const struct tenant_id *tenant;
	uint16_t generation;
	size_t limit, removed;
};

static enum result run_drop(struct writer_job *job, struct write *write)
{
	struct drop_job *drop = (struct drop_job *)job;

	return write_drop_generation(write, drop->tenant, drop->generation, drop->limit, &drop->removed);
}

static enum result drop_generation(struct registry *registry, const struct tenant_id *tenant, uint16_t generation,
				   size_t limit, size_t *ret_removed, struct note *note)
{
	struct drop_job drop = {.job.run = run_drop, .tenant = tenant, .generation = generation, .limit = limit};

	TRY(writer_submit(self_of(registry)->writer, &drop.job, note));
	*ret_removed = drop.removed;
	return RESULT_OK;
}

static enum result run_probe(struct writer_job *job, struct write *write)
{
	SQL_CLEANUP struct sql query = {0};

	(void)job;
	TRY(sql_begin(write->db, SQL_WRITE_PROBE, &query, write->note));
	sql_number(&query, 1, write->now_ms);
	return sql_run(&query, write->note);
}

static enum result run_nothing(struct writer_job *job, struct write *write)
{
	(void)job;
	(void)write;
	return RESULT_OK;
}

/* ---- outbox and health ----------------------------------------------------------------------------- */

/* Leaves to be forgotten are deleted first, or whoever drains the outbox page by page would meet them again. */
static enum result read_outbox(struct registry *registry, size_t limit, struct arena *arena,
			       struct outbox_leaf **ret_leaves, size_t *ret_count, struct note *note)
{
	struct writer *writer = self_of(registry)->writer;

	if (writer_forgotten(writer) > 0) {
		struct writer_job flush = {.run = run_nothing};

		TRY(writer_submit(writer, &flush, note));
	}
	READ(registry, note, read_outbox_leaves(db, limit, arena, ret_leaves, ret_count, note));
}

static void forget_outbox(struct registry *registry, const struct uuid *leaf_ids, size_t count)
{
	writer_forget(self_of(registry)->writer, leaf_ids, count);
}

static enum result count_rows(struct registry *registry, struct registry_counts *ret_counts, struct note *note)
{
	READ(registry, note, read_counts(db, ret_counts, note));
}

static enum result count(struct registry *registry, struct registry_counts *ret_counts, struct note *note)
{
	struct registry_counts counts;

	TRY(count_rows(registry, &counts, note));
	uint64_t forgotten = writer_forgotten(self_of(registry)->writer);
	counts.outbox -= forgotten < counts.outbox ? forgotten : counts.outbox;
	*ret_counts = counts;
	return RESULT_OK;
}

static enum result check(struct registry *registry, struct note *note)
{
	struct writer_job probe = {.run = run_probe};
	struct registry_counts counts;

	TRY(count_rows(registry, &counts, note));
	return writer_submit(self_of(registry)->writer, &probe, note);
}

static const struct registry_ops sqlite_ops = {
	.commit = commit,
	.get_vehicle = get_vehicle,
	.find_by_device = find_by_device,
	.find_by_index = find_by_index,
	.scan_vehicles = scan_vehicles,
	.get_history = get_history,
	.get_certificates = get_certificates,
	.get_valid_certificates = get_valid_certificates,
	.find_certificate = find_certificate,
	.scan_denied = scan_denied,
	.scan_suspended = scan_suspended,
	.get_command = get_command,
	.list_commands = list_commands,
	.list_waiting_commands = list_waiting_commands,
	.list_open_commands = list_open_commands,
	.list_alerts = list_alerts,
	.find_claim = find_claim,
	.get_claim = get_claim,
	.list_claims = list_claims,
	.count_ownerships = count_ownerships,
	.find_ownership = find_ownership,
	.get_signal_document = get_signal_document,
	.scan_revoked = scan_revoked,
	.find_certified_key = find_certified_key,
	.get_device = get_device,
	.get_tenant = get_tenant,
	.list_tenants = list_tenants,
	.list_clients = list_clients,
	.get_reveal = get_reveal,
	.get_idempotency = get_idempotency,
	.scan_stale = scan_stale,
	.drop_generation = drop_generation,
	.read_outbox = read_outbox,
	.forget_outbox = forget_outbox,
	.count = count,
	.check = check,
};

static enum result read_generation_count(struct sqlite_db *db, const struct tenant_id *tenant, uint16_t generation,
					 uint64_t *ret_done, uint64_t *ret_total, struct note *note)
{
	SQL_CLEANUP struct sql query = {0};
	int64_t number;

	TRY(sqlite_db_tenant(db, tenant->text, &number, note));
	TRY(sql_begin(db, SQL_COUNT_GENERATION, &query, note));
	sql_number(&query, 1, number);
	sql_number(&query, 2, generation);
	TRY(sql_row(&query, note));
	*ret_done = (uint64_t)sql_column_number(&query, 0);
	*ret_total = (uint64_t)sql_column_number(&query, 1);
	return RESULT_OK;
}

enum result registry_sqlite_count_generation(struct registry *registry, const struct tenant_id *tenant,
					     uint16_t generation, uint64_t *ret_done, uint64_t *ret_total,
					     struct note *note)
{
	READ(registry, note, read_generation_count(db, tenant, generation, ret_done, ret_total, note));
}

/* ---- opening --------------------------------------------------------------------------------------- */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
	return value != 0 ? value : otherwise;
}

/* Brings the file to where it can be served: made, of this schema, its indexes whole. */
static enum result prepare(struct sqlite_registry *self, const struct sqlite_db_options *options, struct note *note)
{
	DB_CLEANUP struct sqlite_db db = {0};

	bool is_unbuilt = false;

	TRY(sqlite_db_open(self->path, options, &db, note));
	TRY(sqlite_migrate(&db, sqlite_migrations, sqlite_migration_count, clock_now_ms(self->clock), note));
	TRY(sqlite_import_check(&db, &is_unbuilt, note));
	if (!is_unbuilt)
		return RESULT_OK;
	TRY(registry_lock_change(self->path, self->lock_fd, REGISTRY_LOCK_ALONE, note));
	TRY(sqlite_import_build(&db, note));
	return registry_lock_change(self->path, self->lock_fd, REGISTRY_LOCK_SHARED, note);
}

static enum result open_parts(struct sqlite_registry *self, const struct registry_sqlite_options *options,
			      struct note *note)
{
	struct sqlite_db_options db_options = {
		.cache_kib = or_default(options->cache_kib, 16384),
		.busy_timeout_ms = or_default(options->busy_timeout_ms, 10000),
	};

	if (self->path == NULL || self->readers == NULL)
		return RESULT_MEMORY;
	for (uint32_t i = 0; i < self->readers_max; i++) {
		self->readers[i].next = self->free_readers;
		self->free_readers = &self->readers[i];
	}
	TRY(registry_lock_take(self->path, REGISTRY_LOCK_SHARED, &self->lock_fd, note));
	TRY(prepare(self, &db_options, note));
	db_options.must_exist = true;
	self->reader_options = db_options;
	self->reader_options.cache_kib = or_default(options->reader_cache_kib, 4096);
	self->reader_options.only_reads = true;
	self->reader_options.mmap_bytes = options->mmap_bytes == 0  ? INT64_C(2147418112)
					  : options->mmap_bytes < 0 ? 0
								    : options->mmap_bytes;
	return writer_open(self->path, &db_options, self->clock, &self->writer, note);
}

enum result registry_sqlite_open(const char *path, const struct registry_sqlite_options *options,
				 struct registry **ret_registry, struct note *note)
{
	static const struct registry_sqlite_options defaults;
	struct sqlite_registry *self = calloc(1, sizeof(*self));

	if (self == NULL)
		return RESULT_MEMORY;
	if (options == NULL)
		options = &defaults;
	self->base.ops = &sqlite_ops;
	self->lock_fd = -1;
	self->clock = options->clock != NULL ? options->clock : clock_system();
	self->path = strdup(path);
	self->readers_max = or_default(options->readers_max, 16);
	self->readers = calloc(self->readers_max, sizeof(*self->readers));
	pthread_mutex_init(&self->mutex, NULL);
	pthread_cond_init(&self->reader_returned, NULL);
	enum result result = open_parts(self, options, note);
	if (result != RESULT_OK) {
		registry_sqlite_close(&self->base);
		return result;
	}
	*ret_registry = &self->base;
	return RESULT_OK;
}

void registry_sqlite_close(struct registry *registry)
{
	if (registry == NULL)
		return;
	struct sqlite_registry *self = self_of(registry);

	for (uint32_t i = 0; self->readers != NULL && i < self->readers_max; i++)
		sqlite_db_close(&self->readers[i].db);
	/* Last: its connection folds the WAL into the file. */
	writer_close(self->writer);
	if (self->lock_fd >= 0)
		close(self->lock_fd);
	pthread_cond_destroy(&self->reader_returned);
	pthread_mutex_destroy(&self->mutex);
	free(self->readers);
	free(self->path);
	free(self);
}
