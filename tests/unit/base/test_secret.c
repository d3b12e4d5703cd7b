#include "base/secret.h"

#include "../cmocka_all.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers make mlock() a no-op, and the address sanitizer keeps frames elsewhere. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* The line of /proc/self/smaps that says what the kernel was told about the mapping at this address. */
static bool mapping_has_flag(const void *address, const char *flag)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	assert_non_null(maps);
	char line[1024];
	bool inside = false;
	bool found = false;
	while (fgets(line, sizeof(line), maps)) {
		unsigned long from, to;
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)address >= from && (uintptr_t)address < to;
		if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(maps);
	return found;
}

static void secrets_are_zeroed_locked_and_not_dumped(void **state)
{
	(void)state;
	SECRET_CLEANUP struct secret secret = {0};
	assert_int_equal(secret_init(&secret, 5000, NULL), RESULT_OK);
	assert_int_equal(secret.size, 5000);
	assert_true(secret.mapped_size >= 5000);
	for (size_t i = 0; i < 5000; i++)
		assert_int_equal(secret.data[i], 0);
	memset(secret.data, 'x', 5000);
#ifndef SANITIZED
	assert_true(mapping_has_flag(secret.data, " lo ")); /* locked */
#endif
	assert_true(mapping_has_flag(secret.data, " dd ")); /* not dumped */
	assert_true(mapping_has_flag(secret.data, " dc ")); /* not copied on fork */
	secret_release(&secret);
	assert_null(secret.data);
	secret_release(&secret);
}

#ifndef SANITIZED
static void no_lock_is_told(void **state)
{
	(void)state;
	/* In a child, and as nobody: root may lock whatever the limit says. */
	pid_t child = fork();
	if (child == 0) {
		struct rlimit none = {0, 0};
		struct secret secret = {0};
		struct note note = {0};
		if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0))
			_exit(2);
		enum result result = secret_init(&secret, 32, &note);
		_exit(result == RESULT_UNAVAILABLE && strstr(note.text, "RLIMIT_MEMLOCK") && !secret.data ? 0 : 1);
	}
	int status = 1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}
#endif

static void comparison_sees_every_byte(void **state)
{
	(void)state;
	uint8_t a[40] = {0};
	uint8_t b[40] = {0};
	assert_true(secret_equal(a, b, sizeof(a)));
	assert_true(secret_equal(NULL, NULL, 0));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] = 0x80;
		assert_false(secret_equal(a, b, sizeof(a)));
		b[i] = 0;
	}
}

static void wiping_wipes(void **state)
{
	(void)state;
	char text[] = "a secret";
	secret_wipe(text, sizeof(text));
	for (size_t i = 0; i < sizeof(text); i++)
		assert_int_equal(text[i], 0);
	secret_wipe(NULL, 0);
}

#ifndef SANITIZED
#define MARK UINT64_C(0x5ec4e7c0ffee5ec4)

static uintptr_t marked;

/* Leaves the mark in a frame that is then gone, and tells where. */
__attribute__((noinline)) static void leave_mark(void)
{
	volatile uint64_t places[512];
	for (size_t i = 0; i < 512; i++)
		places[i] = MARK;
	marked = (uintptr_t)&places[256];
}

static void stack_below_is_scrubbed(void **state)
{
	(void)state;
	leave_mark();
	volatile uint64_t *place = (volatile uint64_t *)marked;
	uint64_t before = *place;
	secret_scrub_stack();
	uint64_t after = *place;
	assert_true(before == MARK);
	assert_true(after != MARK);
}
#endif

static void wiping_allocator_behaves(void **state)
{
	(void)state;
	char *block = wiping_malloc(10);
	assert_non_null(block);
	assert_int_equal((uintptr_t)block % 16, 0);
	memcpy(block, "012345678", 10);
	block = wiping_realloc(block, 100000);
	assert_non_null(block);
	assert_string_equal(block, "012345678");
	assert_int_equal((uintptr_t)block % 16, 0);
	block = wiping_realloc(block, 5);
	assert_non_null(block);
	assert_memory_equal(block, "01234", 5);
	wiping_free(block);
	wiping_free(NULL);

	block = wiping_realloc(NULL, 4);
	assert_non_null(block);
	assert_null(wiping_realloc(block, 0));
	block = wiping_malloc(0);
	assert_non_null(block);
	wiping_free(block);
}

static void shrinking_wipes_the_tail(void **state)
{
	(void)state;
	char *block = wiping_malloc(16);
	assert_non_null(block);
	memcpy(block, "0123456789abcdef", 16);
	char *shrunk = wiping_realloc(block, 10);
	assert_ptr_equal(shrunk, block);
	assert_memory_equal(shrunk, "0123456789\0\0\0\0\0\0", 16);
	wiping_free(shrunk);
}

static void allocator_survives_absurd_sizes(void **state)
{
	(void)state;
	volatile size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_null(wiping_malloc(sizes[i]));
	char *block = wiping_malloc(8);
	assert_non_null(block);
	memcpy(block, "kept", 5);
	assert_null(wiping_realloc(block, sizes[0]));
	assert_string_equal(block, "kept");
	wiping_free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_are_zeroed_locked_and_not_dumped),
		cmocka_unit_test(comparison_sees_every_byte),
		cmocka_unit_test(wiping_wipes),
#ifndef SANITIZED
		cmocka_unit_test(no_lock_is_told),
		cmocka_unit_test(stack_below_is_scrubbed),
#endif
		cmocka_unit_test(wiping_allocator_behaves),
		cmocka_unit_test(shrinking_wipes_the_tail),
		cmocka_unit_test(allocator_survives_absurd_sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
