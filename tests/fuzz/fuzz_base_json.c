/* json_read: no crash, a note whenever it refuses, and what it takes is the same after writing and reading. */
#include "base/json.h"
#include "fuzz.h"

static void check_text_survives(const json_t *text)
{
	BUF_CLEANUP struct buf buf = {.size_max = (size_t)64 << 20};
	struct json_writer writer;
	json_writer_init(&writer, &buf);
	json_array_begin(&writer);
	json_text(&writer, span_of(json_string_value(text), json_string_length(text)));
	json_array_end(&writer);
	FUZZ_CHECK(json_writer_end(&writer) == RESULT_OK);
	JSON_CLEANUP json_t *again = NULL;
	FUZZ_CHECK(json_read(buf_span(&buf), &again, NULL) == RESULT_OK);
	FUZZ_CHECK(json_equal(json_array_get(again, 0), text));
}

static void check_texts(json_t *json, int depth)
{
	FUZZ_CHECK(depth <= JSON_DEPTH_MAX + 1);
	size_t index;
	const char *key;
	json_t *value;
	if (json_is_string(json))
		check_text_survives(json);
	json_array_foreach(json, index, value) check_texts(value, depth + 1);
	json_object_foreach(json, key, value) check_texts(value, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	JSON_CLEANUP json_t *json = NULL;
	struct note note = {0};
	enum result result = json_read(span_of(data, size), &json, &note);
	if (result != RESULT_OK) {
		FUZZ_CHECK(result == RESULT_INVALID && !json && note.text[0]);
		return 0;
	}
	check_texts(json, 1);
	char *text = json_dumps(json, JSON_COMPACT);
	JSON_CLEANUP json_t *again = NULL;
	FUZZ_CHECK(text && json_read(span_of_text(text), &again, NULL) == RESULT_OK);
	FUZZ_CHECK(json_equal(json, again));
	free(text);
	return 0;
}
