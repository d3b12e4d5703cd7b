#include "base/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SCRUB_SIZE  65536
#define HEADER_SIZE 16

/* Stands in front of each block; as large as malloc's alignment, so that the block keeps it. */
struct block_header {
	_Alignas(HEADER_SIZE) size_t capacity;
};

_Static_assert(sizeof(struct block_header) == HEADER_SIZE, "blocks must stay aligned");

enum result secret_init(struct secret *secret, size_t size, struct note *note)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	if (size > SIZE_MAX - page)
		return RESULT_MEMORY;
	size_t mapped = size == 0 ? page : (size + page - 1) / page * page;
	void *data = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED)
		return RESULT_MEMORY;
	if (mlock(data, mapped) != 0 || madvise(data, mapped, MADV_DONTDUMP) != 0 ||
	    madvise(data, mapped, MADV_DONTFORK) != 0) {
		note_set(note, "cannot lock %zu bytes of memory: %s (raise RLIMIT_MEMLOCK)", mapped, strerror(errno));
		munmap(data, mapped);
		return RESULT_UNAVAILABLE;
	}
	*secret = (struct secret){.data = data, .size = size, .mapped_size = mapped};
	return RESULT_OK;
}

void secret_release(struct secret *secret)
{
	if (secret->data) {
		secret_wipe(secret->data, secret->mapped_size);
		munmap(secret->data, secret->mapped_size);
	}
	*secret = (struct secret){0};
}

void secret_wipe(void *data, size_t size)
{
	if (size > 0)
		explicit_bzero(data, size);
}

bool secret_equal(const void *a, const void *b, size_t size)
{
	/* volatile: or the compiler may stop at the first difference */
	const volatile uint8_t *left = a;
	const volatile uint8_t *right = b;
	uint8_t difference = 0;
	for (size_t i = 0; i < size; i++)
		difference |= left[i] ^ right[i];
	return difference == 0;
}

__attribute__((noinline)) void secret_scrub_stack(void)
{
	uint8_t below[SCRUB_SIZE];
	explicit_bzero(below, sizeof(below));
	/* The buffer must be a real one on this frame, and the call must not become a jump. */
	__asm__ volatile("" : : "r"(below) : "memory");
}

static struct block_header *header_of(void *block)
{
	return (struct block_header *)block - 1;
}

void *wiping_malloc(size_t size)
{
	if (size > (size_t)PTRDIFF_MAX - HEADER_SIZE)
		return NULL;
	struct block_header *header = malloc(HEADER_SIZE + size);
	if (!header)
		return NULL;
	header->capacity = size;
	return header + 1;
}

void wiping_free(void *block)
{
	if (!block)
		return;
	struct block_header *header = header_of(block);
	secret_wipe(block, header->capacity);
	free(header);
}

void *wiping_realloc(void *block, size_t size)
{
	if (!block)
		return wiping_malloc(size);
	if (size == 0) {
		wiping_free(block);
		return NULL;
	}
	size_t capacity = header_of(block)->capacity;
	if (size <= capacity && size >= capacity / 2) {
		secret_wipe((uint8_t *)block + size, capacity - size);
		return block;
	}
	void *moved = wiping_malloc(size);
	if (!moved)
		return NULL;
	memcpy(moved, block, size < capacity ? size : capacity);
	wiping_free(block);
	return moved;
}
