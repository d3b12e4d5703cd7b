/*
 * Growth of the registry: fills N vehicles (a 32-character device ID each, no attributes) through the import path,
 * then looks them up, and prints bytes a vehicle, rows a second and lookups a second.
 *
 *	registry_growth [VEHICLES] [DIRECTORY]
 */
#include "adapters/registry/sqlite.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOOKUPS	   200000
#define BATCH	   100
#define PATH_SPACE 512

static const struct tenant_id tenant_id = {"bench"};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Beside the wall's: comparable on a machine that has other work. */
static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void require(enum result result, const struct note *note)
{
	if (result == RESULT_OK)
		return;
	fprintf(stderr, "registry_growth: %s: %s\n", result_name(result), note->text);
	exit(1);
}

/* SplitMix64: as good as random for a B-tree, and the same for filling and for looking up. */
static void fill(void *bytes, size_t size, uint64_t number, uint64_t salt)
{
	uint64_t state = number * 1000003 + salt;

	for (size_t i = 0; i < size; i += 8) {
		uint64_t z = (state += 0x9e3779b97f4a7c15u);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		z ^= z >> 31;
		memcpy((uint8_t *)bytes + i, &z, size - i < 8 ? size - i : 8);
	}
}

static void make_row(struct import_row *row, uint64_t number, int64_t now_ms)
{
	uint8_t device[16];

	memset(row, 0, sizeof(*row));
	row->line = number;
	row->vehicle.state = VEHICLE_PROVISIONED;
	row->vehicle.created_at_ms = row->vehicle.updated_at_ms = now_ms;
	row->indexes.count = 1;
	row->indexes.indexes[0].generation = 1;
	fill(device, sizeof(device), number, 1);
	hex_format(span_of(device, sizeof(device)), row->vehicle.device_id);
	fill(row->vehicle.reference_id.bytes, UUID_SIZE, number, 2);
	fill(row->vehicle.sealed.bytes, SEALED_VIN_SIZE, number, 3);
	fill(row->indexes.indexes[0].bytes, VIN_INDEX_SIZE, number, 4);
}

static void ignore_rejected(void *context, uint64_t line, enum import_rejection why)
{
	(void)context;
	(void)line;
	(void)why;
}

static void add_chunk(struct registry_import *import, struct import_row *rows, uint64_t first, uint64_t count,
		      int64_t now_ms, double *making)
{
	struct import_position end = {.line = first + count - 1, .byte_offset = first + count - 1};
	struct audit_leaf leaf = {.json = span_of_text("{\"action\":\"import\"}")};
	struct note note = {0};
	double begun = seconds();

	for (uint64_t i = 0; i < count; i++)
		make_row(&rows[i], first + i, now_ms);
	fill(leaf.leaf_id.bytes, UUID_SIZE, first, 5);
	*making += seconds() - begun;
	require(registry_import_add(import, rows, count, &end, &leaf, 0, &note), &note);
}

static void run_import(const char *path, uint64_t vehicles)
{
	const struct tenant tenant = {.id = tenant_id, .created_at_ms = 1};
	const struct registry_import_options options = {
		.tenant = tenant_id, .actor = "registry-growth", .file_identity = "bench"};
	struct import_row *rows = calloc(IMPORT_CHUNK_ROWS_MAX, sizeof(*rows));
	struct registry_import *import = NULL;
	struct import_position position;
	struct note note = {0};
	uint64_t stored = 0;
	double making = 0;

	if (rows == NULL)
		exit(1);
	double begun = seconds(), begun_cpu = cpu_seconds();
	require(registry_import_open(path, &options, &tenant, &import, &position, &note), &note);
	for (uint64_t first = 1; first <= vehicles; first += IMPORT_CHUNK_ROWS_MAX) {
		uint64_t left = vehicles - first + 1;

		add_chunk(import, rows, first, left < IMPORT_CHUNK_ROWS_MAX ? left : IMPORT_CHUNK_ROWS_MAX,
			  clock_now_ms(clock_system()), &making);
	}
	double loaded = seconds();
	require(registry_import_finish(import, ignore_rejected, NULL, &stored, &note), &note);
	registry_import_close(import);
	double built = seconds();
	printf("import      %llu rows: load %.2f s, indexes %.2f s, %.0f rows/s, %.0f rows per second of processor "
	       "time\n",
	       (unsigned long long)stored, loaded - begun - making, built - loaded,
	       (double)stored / (built - begun - making), (double)stored / (cpu_seconds() - begun_cpu - making));
	free(rows);
}

static void look_up(struct registry *registry, uint64_t vehicles, size_t batch)
{
	struct vin_index_set sets[BATCH] = {0};
	struct uuid ids[BATCH];
	bool found[BATCH];
	struct note note = {0};
	uint64_t absent = 0, number = 0;
	double begun = seconds(), begun_cpu = cpu_seconds();

	for (size_t done = 0; done < LOOKUPS; done += batch) {
		for (size_t i = 0; i < batch; i++) {
			fill(&number, sizeof(number), done + i, 77);
			sets[i].count = 1;
			sets[i].indexes[0].generation = 1;
			fill(sets[i].indexes[0].bytes, VIN_INDEX_SIZE, number % vehicles + 1, 4);
		}
		require(registry->ops->find_by_index(registry, &tenant_id, sets, batch, ids, found, &note), &note);
		for (size_t i = 0; i < batch; i++)
			absent += !found[i];
	}
	double taken = seconds() - begun;
	printf("lookups     by %3zu: %.0f/s, %.2f us each, %.2f us of processor time%s\n", batch, LOOKUPS / taken,
	       taken * 1e6 / LOOKUPS, (cpu_seconds() - begun_cpu) * 1e6 / LOOKUPS,
	       absent > 0 ? " (SOME WERE NOT FOUND)" : "");
}

static void run_lookups(const char *path, uint64_t vehicles)
{
	struct registry *registry = NULL;
	struct note note = {0};
	double begun = seconds();

	require(registry_sqlite_open(path, NULL, &registry, &note), &note);
	printf("open        %.1f ms\n", (seconds() - begun) * 1e3);
	look_up(registry, vehicles, 1); /* warms the cache of files */
	look_up(registry, vehicles, 1);
	look_up(registry, vehicles, 10);
	look_up(registry, vehicles, BATCH);
	registry_sqlite_close(registry);
}

int main(int argc, char **argv)
{
	const char *parent = argc > 2 ? argv[2] : "/tmp";
	char directory[PATH_SPACE], path[PATH_SPACE + 16], lock[PATH_SPACE + 32];
	uint64_t vehicles = 1000000;
	struct stat status;

	if (argc > 1 && (text_parse_u64(span_of_text(argv[1]), 1000000000, &vehicles) != RESULT_OK || vehicles == 0)) {
		fprintf(stderr, "usage: registry_growth [VEHICLES] [DIRECTORY]\n");
		return 2;
	}
	snprintf(directory, sizeof(directory), "%s/registry-growth-XXXXXX", parent);
	if (mkdtemp(directory) == NULL) {
		perror(directory);
		return 1;
	}
	snprintf(path, sizeof(path), "%s/registry.db", directory);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	run_import(path, vehicles);
	if (stat(path, &status) == 0)
		printf("size        %.1f bytes a vehicle\n", (double)status.st_size / (double)vehicles);
	run_lookups(path, vehicles);
	unlink(path);
	unlink(lock);
	rmdir(directory);
	return 0;
}
