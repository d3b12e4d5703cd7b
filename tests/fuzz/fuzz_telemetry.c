/*
 * Payloads of vehicles/{id}/signals: our reader takes exactly what the JSON library, with this project's strictness
 * around it, takes of this shape, and means the same by it.
 */
#include "base/json.h"
#include "base/text.h"
#include "fuzz.h"
#include "vehicle/telemetry.h"

#include <math.h>

#define RECEIVED_AT_MS INT64_C(1767225600000)

/* ---- the same in the plainest way --------------------------------------------------------------------- */

static bool is_element(const json_t *value)
{
	return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

static bool is_value(const json_t *value)
{
	size_t i;
	json_t *element;

	if (json_is_string(value))
		return json_string_length(value) <= SIGNAL_TEXT_SIZE_MAX;
	if (!json_is_array(value))
		return is_element(value);
	json_array_foreach((json_t *)value, i, element)
	{
		if (!is_element(element))
			return false;
	}
	return true;
}

static bool is_timestamp(const json_t *value)
{
	int64_t at_ms = 0;

	if (value == NULL)
		return true;
	if (json_is_string(value)) {
		if (rfc3339_parse(span_of(json_string_value(value), json_string_length(value)), &at_ms) != RESULT_OK)
			return false;
	} else if (json_is_number(value) && fabs(json_number_value(value)) < 1e15) {
		at_ms = (int64_t)json_number_value(value);
	}
	return at_ms >= TELEMETRY_AT_MIN_MS && at_ms <= RECEIVED_AT_MS + TELEMETRY_AHEAD_MAX_MS;
}

static bool is_message(const json_t *message)
{
	const json_t *signals = json_object_get(message, "signals"), *timestamp = json_object_get(message, "timestamp");
	const char *name;
	json_t *value;

	if (!json_is_object(message) || !json_is_object(signals) || !is_timestamp(timestamp) ||
	    json_object_size(message) != (timestamp != NULL ? 2 : 1) ||
	    json_object_size(signals) > SIGNALS_PER_MESSAGE_MAX)
		return false;
	json_object_foreach((json_t *)signals, name, value)
	{
		if (!signal_name_is_valid(span_of_text(name)) || !is_value(value))
			return false;
	}
	return true;
}

static bool is_payload(const json_t *payload)
{
	size_t i;
	json_t *message;

	if (!json_is_array(payload))
		return is_message(payload);
	json_array_foreach((json_t *)payload, i, message)
	{
		if (!is_message(message))
			return false;
	}
	return true;
}

/* ---- comparing ----------------------------------------------------------------------------------------- */

static void check_value(const struct signal_value *mine, json_t *its)
{
	json_t *array = NULL;

	switch (mine->type) {
	case SIGNAL_NUMBER: {
		double number = json_number_value(its);
		FUZZ_CHECK(json_is_number(its) && memcmp(&number, &mine->number, sizeof(number)) == 0);
		return;
	}
	case SIGNAL_BOOL:
		FUZZ_CHECK(json_is_boolean(its) && json_is_true(its) == mine->boolean);
		return;
	case SIGNAL_TEXT:
		FUZZ_CHECK(json_is_string(its) &&
			   span_equal(mine->text, span_of(json_string_value(its), json_string_length(its))));
		return;
	case SIGNAL_ARRAY:
		array = json_loadb((const char *)mine->text.data, mine->text.size,
				   JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
		FUZZ_CHECK(array != NULL && json_equal(array, its));
		json_decref(array);
		return;
	}
	FUZZ_CHECK(false);
}

/* Returns how many of the message's signals were withheld. */
static size_t check_message(const struct telemetry_message *mine, const json_t *its)
{
	json_t *signals = json_object_get(its, "signals");

	for (size_t i = 0; i < mine->count; i++) {
		char name[SIGNAL_NAME_LENGTH_MAX + 1] = {0};
		memcpy(name, mine->samples[i].name.data, mine->samples[i].name.size);
		json_t *value = json_object_get(signals, name);
		FUZZ_CHECK(value != NULL);
		check_value(&mine->samples[i].value, value);
	}
	FUZZ_CHECK(mine->digest == telemetry_digest(mine->samples, mine->count));
	return json_object_size(signals) - mine->count;
}

static void check_all(const struct telemetry_message *messages, size_t count, uint64_t withheld, json_t *payload)
{
	size_t its_count = json_is_array(payload) ? json_array_size(payload) : 1, at = 0;
	uint64_t missing = 0;

	for (size_t i = 0; i < its_count; i++) {
		json_t *its = json_is_array(payload) ? json_array_get(payload, i) : payload;
		size_t size = json_object_size(json_object_get(its, "signals"));

		/* One of which nothing is left is not there; which one that was shows in the next one's names. */
		if (at == count || (count < its_count && size == 0)) {
			missing += size;
			continue;
		}
		if (count == its_count)
			missing += check_message(&messages[at++], its);
		else
			return;
	}
	FUZZ_CHECK(missing == withheld);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ARENA_CLEANUP struct arena arena = {.size_max = (size_t)64 << 20};
	const struct uuid vehicle = {{1}};
	struct telemetry_message *messages = NULL;
	size_t count = 0;
	uint64_t withheld = 0;
	const char *reason = "";
	enum result result = telemetry_read(&vehicle, RECEIVED_AT_MS, span_of(data, size), &arena, &messages, &count,
					    &withheld, &reason);
	json_t *payload = size == 0 ? NULL
				    : json_loadb((const char *)data, size,
						 JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
	/* The library passes over a NUL behind a number. */
	bool is_taken = payload != NULL && memchr(data, 0, size) == NULL && is_payload(payload);

	FUZZ_CHECK(result == RESULT_OK || result == RESULT_INVALID);
	if (result == RESULT_INVALID) {
		FUZZ_CHECK(telemetry_reason_index(reason) + 1 < telemetry_reason_count);
		/* Bounds that a tree does not show. */
		FUZZ_CHECK(!is_taken || strcmp(reason, "value-too-long") == 0 || strncmp(reason, "too-many-", 9) == 0 ||
			   strcmp(reason, "payload-too-large") == 0);
	} else {
		FUZZ_CHECK(is_taken);
		check_all(messages, count, withheld, payload);
	}
	json_decref(payload);
	return 0;
}
