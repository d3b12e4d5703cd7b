#include "adapters/registry/sqlite_lock.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* /proc/locks is read in pieces, and what others lock and unlock in between shifts it: a line may be missed. */
#define LOOKS_MAX 5

/* "1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"; 0 when it is not to be found there. */
static int find_holder(int fd)
{
	struct stat status;
	FILE *locks = fopen("/proc/locks", "re");
	char line[256];
	int holder = 0;

	if (locks == NULL)
		return 0;
	if (fstat(fd, &status) == 0) {
		while (holder == 0 && fgets(line, sizeof(line), locks) != NULL) {
			unsigned major_number, minor_number;
			unsigned long inode;
			int pid;

			if (sscanf(line, "%*s FLOCK %*s %*s %d %x:%x:%lu", &pid, &major_number, &minor_number,
				   &inode) == 4 &&
			    inode == status.st_ino && major_number == major(status.st_dev) &&
			    minor_number == minor(status.st_dev) && pid != getpid())
				holder = pid;
		}
	}
	fclose(locks);
	return holder;
}

static void name_holder(const char *path, int fd, struct note *note)
{
	char name_path[64], name[32] = "unknown";
	int holder = 0;

	for (int i = 0; i < LOOKS_MAX && holder == 0; i++)
		holder = find_holder(fd);
	if (holder == 0) {
		note_set(note, "%s is in use", path);
		return;
	}
	snprintf(name_path, sizeof(name_path), "/proc/%d/comm", holder);
	FILE *file = fopen(name_path, "re");
	if (file != NULL) {
		if (fgets(name, sizeof(name), file) != NULL)
			name[strcspn(name, "\n")] = '\0';
		fclose(file);
	}
	note_set(note, "%s is in use by process %d (%s)", path, holder, name);
}

enum result registry_lock_change(const char *path, int fd, enum registry_lock_kind kind, struct note *note)
{
	int operation = kind == REGISTRY_LOCK_ALONE ? LOCK_EX : LOCK_SH;

	if (flock(fd, operation | LOCK_NB) == 0)
		return RESULT_OK;
	if (errno == EWOULDBLOCK) {
		name_holder(path, fd, note);
		return RESULT_CONFLICT;
	}
	note_set(note, "cannot lock %s: %s", path, strerror(errno));
	return RESULT_UNAVAILABLE;
}

enum result registry_lock_take(const char *path, enum registry_lock_kind kind, int *ret_fd, struct note *note)
{
	char lock_path[PATH_SIZE];
	int length = snprintf(lock_path, sizeof(lock_path), "%s.lock", path);

	if (length < 0 || (size_t)length >= sizeof(lock_path)) {
		note_set(note, "the path of the registry is too long");
		return RESULT_INVALID;
	}
	int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		note_set(note, "%s: %s", lock_path, strerror(errno));
		return RESULT_UNAVAILABLE;
	}
	enum result result = registry_lock_change(path, fd, kind, note);
	if (result != RESULT_OK) {
		close(fd);
		return result;
	}
	*ret_fd = fd;
	return RESULT_OK;
}
