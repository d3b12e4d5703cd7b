#include "fleetwise_support.h"

#include "base/file.h"
#include "base/text.h"

#include <stdlib.h>

static struct buf vectors = {.size_max = (size_t)4 << 20};
static struct arena decoded = {.size_max = (size_t)4 << 20};

int read_vectors(void **state)
{
	(void)state;
	return file_read(VECTORS "/fleetwise.tsv", &vectors, NULL) == RESULT_OK ? 0 : -1;
}

int release_vectors(void **state)
{
	(void)state;
	buf_release(&vectors);
	arena_release(&decoded);
	return 0;
}

static struct span from_hex(const char *digits, size_t count)
{
	uint8_t *bytes = arena_alloc(&decoded, count / 2);

	assert_non_null(bytes);
	assert_int_equal(hex_parse(span_of(digits, count), false, bytes, count / 2), RESULT_OK);
	return span_of(bytes, count / 2);
}

struct span vector(const char *name)
{
	const char *line = (const char *)vectors.data;
	size_t length = strlen(name);

	while (line != NULL && *line != '\0') {
		const char *end = strchr(line, '\n');
		assert_non_null(end);
		if (strncmp(line, name, length) == 0 && line[length] == '\t')
			return from_hex(line + length + 1, (size_t)(end - line) - length - 1);
		line = end + 1;
	}
	fail_msg("no vector %s", name);
	return span_of(NULL, 0);
}
