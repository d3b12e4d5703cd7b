/* config_read: all or nothing, bounds kept, and a note that names the file whenever it refuses. */
#include "base/config.h"
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct settings {
	char listen[16];
	int64_t workers;
	bool manifest;
	char end[8]; /* nothing may be written here */
};

static const struct config_key keys[] = {
	{"server", "listen", CONFIG_TEXT, offsetof(struct settings, listen), 16, 0, 0, true, ""},
	{"server", "workers", CONFIG_NUMBER, offsetof(struct settings, workers), 0, -5, 64, false, ""},
	{"policy", "manifest", CONFIG_SWITCH, offsetof(struct settings, manifest), 0, 0, 0, false, ""},
};

/* A file in memory with the input as content; returns its path. */
static const char *file_of(const uint8_t *data, size_t size)
{
	static int descriptor = -1;
	static char path[64];
	if (descriptor < 0) {
		descriptor = memfd_create("config", MFD_CLOEXEC);
		FUZZ_CHECK(descriptor >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
	}
	FUZZ_CHECK(ftruncate(descriptor, 0) == 0);
	FUZZ_CHECK(pwrite(descriptor, data, size, 0) == (ssize_t)size);
	return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = file_of(data, size);
	struct settings settings;
	memset(&settings, 0, sizeof(settings));
	memcpy(settings.end, "the end", 8);
	struct settings before = settings;
	struct note note = {0};
	enum result result = config_read(path, keys, sizeof(keys) / sizeof(keys[0]), &settings, &note);
	if (result != RESULT_OK) {
		FUZZ_CHECK(memcmp(&settings, &before, sizeof(settings)) == 0);
		FUZZ_CHECK(strstr(note.text, path));
		return 0;
	}
	FUZZ_CHECK(memchr(settings.listen, '\0', sizeof(settings.listen)) && settings.listen[0]);
	FUZZ_CHECK(settings.workers >= -5 && settings.workers <= 64);
	FUZZ_CHECK(memcmp(settings.end, "the end", 8) == 0);
	return 0;
}
