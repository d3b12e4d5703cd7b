/* uuid_parse: what it takes is, but for the case of letters, what uuid_format writes. */
#include "base/uuid.h"
#include "fuzz.h"

#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct uuid uuid;
	if (uuid_parse(span_of(data, size), &uuid) != RESULT_OK)
		return 0;
	char text[UUID_TEXT_SIZE];
	uuid_format(&uuid, text);
	FUZZ_CHECK(size == UUID_TEXT_LENGTH && strncasecmp(text, (const char *)data, size) == 0);
	return 0;
}
