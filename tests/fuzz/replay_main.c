/*
 * In place of libFuzzer: runs each file of the given directories once, so that a harness and its corpus are a
 * test wherever there is no fuzzer.
 */
#include "base/file.h"
#include "fuzz.h"

#include <dirent.h>

#define INPUT_SIZE_MAX ((size_t)16 << 20)

static bool run_file(const char *path)
{
	BUF_CLEANUP struct buf content = {.size_max = INPUT_SIZE_MAX};
	struct note note = {0};
	if (file_read(path, &content, &note) != RESULT_OK) {
		fprintf(stderr, "%s\n", note.text);
		return false;
	}
	/* A block of just that size: reading beyond it is then seen by the address sanitizer. */
	uint8_t *exact = malloc(content.size ? content.size : 1);
	if (!exact)
		return false;
	if (content.size > 0)
		memcpy(exact, content.data, content.size);
	LLVMFuzzerTestOneInput(exact, content.size);
	free(exact);
	return true;
}

/* How many files were run; -1 on trouble. */
static int run_directory(const char *path)
{
	DIR *directory = opendir(path);
	if (!directory) {
		perror(path);
		return -1;
	}
	int count = 0;
	bool fine = true;
	struct dirent *entry = NULL;
	while (fine && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		char file[PATH_SIZE];
		fine = path_join(path, entry->d_name, file) == RESULT_OK && run_file(file);
		count++;
	}
	closedir(directory);
	return fine ? count : -1;
}

int main(int argument_count, char **arguments)
{
	int total = 0;
	for (int i = 1; i < argument_count; i++) {
		int count = run_directory(arguments[i]);
		if (count < 0)
			return EXIT_FAILURE;
		total += count;
	}
	printf("%d inputs\n", total);
	return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
