/*
 * Faults on demand, for LD_PRELOAD: what a file system, a clock or an allocator may do on a bad day. Armed through a
 * small shared file (FAULTS_CONTROL), mapped at start so that it works inside a sandbox, too. Nothing in it: no fault.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
	_Atomic int64_t clock_offset_ms;
	_Atomic int64_t sync_errno, write_errno; /* 0: none; a sync of -1 does nothing, and says that it did */
	_Atomic int64_t allocation;		 /* in vinveild: fails the Nth from now on, once; 0: none */
	_Atomic int64_t hits;			 /* how many faults were made */
	char path[88];				 /* in the name of a file whose writes and syncs fail */
};

static struct control *control;
static int is_vinveild, is_kept;

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("FAULTS_CONTROL");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *at = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	is_vinveild = strcmp(program_invocation_short_name, "vinveild") == 0;
	/* Not the key daemon, whose sandbox would kill it for looking at its own descriptors. */
	is_kept = is_vinveild || strcmp(program_invocation_short_name, "vinveil-ingest") == 0 ||
		  strcmp(program_invocation_short_name, "mosquitto") == 0;
	if (at != MAP_FAILED)
		control = at;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_hit(const char *name, _Atomic int64_t *armed)
{
	if (!strstr(name, control->path))
		return 0;
	atomic_fetch_add(&control->hits, 1);
	errno = (int)atomic_load(armed);
	return 1;
}

static int fails(int fd, _Atomic int64_t *armed)
{
	char link[32], name[512];
	int saved = errno;

	if (!control || !is_kept || !atomic_load(armed))
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t size = readlink(link, name, sizeof name - 1);
	errno = saved;
	if (size <= 0)
		return 0;
	name[size] = '\0';
	return is_hit(name, armed);
}

static int sync_result(void)
{
	errno = (int)atomic_load(&control->sync_errno);
	return errno == -1 ? 0 : -1;
}

#define FAIL_WRITE(fd)                                   \
	if (control && fails(fd, &control->write_errno)) \
	return -1
#define FAIL_SYNC(fd)                                   \
	if (control && fails(fd, &control->sync_errno)) \
	return sync_result()

int fsync(int fd)
{
	FAIL_SYNC(fd);
	return REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	FAIL_SYNC(fd);
	return REAL(fdatasync)(fd);
}

ssize_t write(int fd, const void *data, size_t size)
{
	FAIL_WRITE(fd);
	return REAL(write)(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	FAIL_WRITE(fd);
	return REAL(pwrite)(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
	FAIL_WRITE(fd);
	return REAL(pwrite64)(fd, data, size, at);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
	if (control && fails(fd, &control->write_errno))
		return errno;
	return REAL(posix_fallocate)(fd, offset, length);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
	if (control && fails(fd, &control->write_errno))
		return errno;
	return REAL(posix_fallocate64)(fd, offset, length);
}

int msync(void *at, size_t size, int flags)
{
	char line[1024];
	int found = 0;
	FILE *maps = control && is_kept && atomic_load(&control->sync_errno) ? fopen("/proc/self/maps", "re") : NULL;

	while (maps && !found && fgets(line, sizeof line, maps)) {
		unsigned long begin, end;

		if (sscanf(line, "%lx-%lx", &begin, &end) == 2 && (unsigned long)at >= begin && (unsigned long)at < end)
			found = is_hit(line, &control->sync_errno);
	}
	if (maps)
		fclose(maps);
	return found ? sync_result() : REAL(msync)(at, size, flags);
}

/* ---- the clock on the wall -------------------------------------------------------------------------------- */

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int result = REAL(clock_gettime)(clock, ret);

	if (result == 0 && control && clock == CLOCK_REALTIME)
		ret->tv_sec += atomic_load(&control->clock_offset_ms) / 1000;
	return result;
}

time_t time(time_t *ret)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	int result = REAL(gettimeofday)(ret, zone);

	if (result == 0 && control)
		ret->tv_sec += atomic_load(&control->clock_offset_ms) / 1000;
	return result;
}

/* ---- memory ----------------------------------------------------------------------------------------------- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static int is_refused(void)
{
	if (!control || !is_vinveild || atomic_load(&control->allocation) <= 0 ||
	    atomic_fetch_sub(&control->allocation, 1) != 1)
		return 0;
	atomic_fetch_add(&control->hits, 1);
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return is_refused() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return is_refused() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return is_refused() ? NULL : __libc_realloc(old, size);
}
