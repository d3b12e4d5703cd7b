#include "adapters/keys/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define ROOM_NEEDED ((size_t)64 << 20) /* what threads, requests and a large CRL may take beyond the start */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

static enum result fail(struct note *note, const char *what)
{
	note_set(note, "%s: %s", what, strerror(errno));
	return RESULT_DENIED;
}

enum result sandbox_begin(struct note *note)
{
	const struct rlimit none = {0};
	umask(077);
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return fail(note, "cannot forbid core dumps");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return fail(note, "cannot forbid dumps");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(note, "cannot give up new privileges");
	return RESULT_OK;
}

/* With future mappings locked, one beyond the limit fails: better none locked than a daemon without memory. */
static bool has_room(void)
{
	void *probe = mmap(NULL, ROOM_NEEDED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (probe == MAP_FAILED)
		return false;
	munmap(probe, ROOM_NEEDED);
	return true;
}

enum result sandbox_lock_memory(struct note *note)
{
	if (HAS_SANITIZER) {
		note_set(note, "built with a sanitizer: memory is not locked");
		return RESULT_ABSENT;
	}
	struct rlimit limit;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_MEMLOCK, &limit);
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0) {
		if (has_room())
			return RESULT_OK;
		munlockall();
	}
	note_set(note, "not all memory is locked against swapping (keys are): raise the locked memory limit "
		       "(LimitMEMLOCK=infinity, ulimit -l), or give CAP_IPC_LOCK");
	return RESULT_DENIED;
}

/* ---- seccomp -------------------------------------------------------------------------------------- */

static const int allowed_calls[] = {
	/* what is open */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwrite64),
	SCMP_SYS(pread64),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fsync),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(lseek),
	/* connections */
	SCMP_SYS(accept4),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(mlock),
	SCMP_SYS(mlock2),
	SCMP_SYS(munlock),
	/* threads and time */
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(futex),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),
	SCMP_SYS(sysinfo),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(restart_syscall),
	/* signals of its own */
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(tgkill),
	SCMP_SYS(sigaltstack),
};

/* The library probes for files (how many processors there are, say): these it must be able to do without. */
static const int failing_calls[] = {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2)};

/* Memory, but none that could be run; a name for a thread or a mapping, but nothing that would undo the start. */
static int add_conditional_rules(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp not_run = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_run);
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_run);
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
					 SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
					 SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA, 0));
	return error;
}

static int add_rules(scmp_filter_ctx filter, int unlink_directory, const char *unlink_name)
{
	int error = add_conditional_rules(filter);
	for (size_t i = 0; error == 0 && i < sizeof(allowed_calls) / sizeof(allowed_calls[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	for (size_t i = 0; error == 0 && i < sizeof(failing_calls) / sizeof(failing_calls[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), failing_calls[i], 0);
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(unlinkat), 2,
					 SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)unlink_directory),
					 SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)(uintptr_t)unlink_name, 0));
	if (error == 0)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	return error == 0 ? seccomp_load(filter) : error;
}

enum result sandbox_filter_calls(int unlink_directory, const char *unlink_name, struct note *note)
{
	if (HAS_SANITIZER) {
		note_set(note, "built with a sanitizer: system calls are not filtered");
		return RESULT_ABSENT;
	}
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return RESULT_MEMORY;
	int error = add_rules(filter, unlink_directory, unlink_name);
	seccomp_release(filter);
	if (error == 0)
		return RESULT_OK;
	note_set(note, "cannot filter system calls: %s", strerror(-error));
	return RESULT_UNAVAILABLE;
}
