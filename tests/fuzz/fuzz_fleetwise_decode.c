/* An agent's payload: whatever is taken is in order, bounded, finite, UTF-8, and holds no VIN. */
#include "adapters/fleetwise/decode.h"
#include "base/text.h"
#include "fuzz.h"

#include <math.h>
#include <string.h>

#define NOW_MS INT64_C(1767225600000)

/* Signal 1 is "Vehicle.Speed", 2 a boolean, 4 the VIN. */
static const char names[] = "\x0a\x0a"
			    "demo/car/1"
			    "\x12\x11\x08\x01\x12\x0d"
			    "Vehicle.Speed"
			    "\x12\x07\x08\x02\x12\x01"
			    "B\x18\x01"
			    "\x12\x25\x08\x04\x12\x21"
			    "Vehicle.VehicleIdentification.VIN";

static struct fleetwise_decoders *decoders_get(void)
{
	static struct fleetwise_decoders *decoders;
	size_t skipped;

	if (decoders != NULL)
		return decoders;
	FUZZ_CHECK(fleetwise_decoders_open(NULL, &decoders, &skipped, NULL) == RESULT_OK);
	FUZZ_CHECK(fleetwise_decoders_put(decoders, "demo/car/1", span_of(names, sizeof names - 1), NULL) == RESULT_OK);
	return decoders;
}

static void check_sample(const struct signal_sample *sample)
{
	FUZZ_CHECK(sample->name.size > 0 && sample->name.size <= SIGNAL_NAME_LENGTH_MAX);
	FUZZ_CHECK(text_is_printable(sample->name, false));
	FUZZ_CHECK(!span_is_text(sample->name, "Vehicle.VehicleIdentification.VIN"));
	FUZZ_CHECK(isfinite(sample->value.number));
	FUZZ_CHECK(sample->value.text.size <= SIGNAL_TEXT_SIZE_MAX && utf8_is_valid(sample->value.text));
	FUZZ_CHECK(!vin_stands_in(sample->value.text));
}

static void check_message(const struct telemetry_message *message)
{
	FUZZ_CHECK(message->count > 0 && message->count <= SIGNALS_PER_MESSAGE_MAX);
	FUZZ_CHECK(message->at_ms >= INT64_C(946684800000) && message->at_ms <= NOW_MS + 86400000);
	for (size_t i = 0; i < message->count; i++)
		check_sample(&message->samples[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct uuid vehicle = {{1}};
	ARENA_CLEANUP struct arena arena = {.size_max = FLEETWISE_ARENA_MAX};
	struct telemetry_message *messages;
	const char *reason = NULL;
	uint64_t withheld;
	size_t count;
	enum result result = fleetwise_decode(decoders_get(), &vehicle, NOW_MS, span_of(data, size), &arena, &messages,
					      &count, &withheld, &reason);

	FUZZ_CHECK(result == RESULT_OK || (result == RESULT_INVALID && reason != NULL));
	if (result != RESULT_OK)
		return 0;
	for (size_t i = 0; i < count; i++) {
		check_message(&messages[i]);
		FUZZ_CHECK(i == 0 || messages[i - 1].at_ms < messages[i].at_ms);
	}
	return 0;
}
