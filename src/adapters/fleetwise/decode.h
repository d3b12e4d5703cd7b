/*
 * What a FleetWise edge agent publishes to $aws/iotfleetwise/vehicles/{id}/signals, as telemetry messages: raw snappy
 * or plain protobuf, and nothing in it says which, so both are tried: snappy first, whose check is the stricter one.
 *
 * A payload is taken whole or refused whole. Samples of one instant make one message; two of the same signal in the
 * same millisecond leave the later one. A signal is named by the decoder manifest that the payload names; without that
 * manifest, or when it does not have the signal, the name is FleetWise.{decoder sync ID}.Signal.{signal ID}: what came
 * before its manifest was loaded is stored, can be found, and cannot be confused with another manifest's. A primitive
 * member of a structured signal adds its path (.0.15.1). Active trouble codes are the array Vehicle.OBD.DTCList.
 *
 * Dropped and counted as withheld: the signal Vehicle.VehicleIdentification.VIN, whatever its value, and any text or
 * trouble code in which a VIN or a hash stands (vin_stands_in).
 */
#ifndef VINVEIL_ADAPTERS_FLEETWISE_DECODE_H
#define VINVEIL_ADAPTERS_FLEETWISE_DECODE_H

#include "adapters/fleetwise/decoders.h"
#include "vehicle/telemetry.h"

#define FLEETWISE_UNCOMPRESSED_MAX ((size_t)1 << 20)
#define FLEETWISE_ARENA_MAX	   ((size_t)12 << 20) /* no payload takes more of the caller's arena */

/*
 * RESULT_INVALID with one of these in *ret_reason:
 *   "payload-malformed"    neither snappy nor plain, or not an agent's message
 *   "payload-too-large"    over FLEETWISE_UNCOMPRESSED_MAX, or more fields than any agent sends
 *   "manifest-id-invalid"  the decoder's sync ID is missing, too long, no part of a signal's name, or
 *                          holds a VIN
 *   "timestamp-invalid"    a sample before 2000, or more than a day after received_at_ms
 *   "signal-malformed"     a sample without a signal ID or without a value
 *   "value-not-finite"     NaN or infinite
 *   "value-too-long"       over SIGNAL_TEXT_SIZE_MAX
 *   "text-malformed"       not UTF-8, or with a NUL
 *   "too-many-signals"     over TELEMETRY_SAMPLES_MAX, or over SIGNALS_PER_MESSAGE_MAX of one instant
 * RESULT_MEMORY when the arena has no room. What is returned lives there. *ret_count may be 0: nothing but withheld
 * values, or no values at all.
 */
MUST_USE enum result fleetwise_decode(struct fleetwise_decoders *decoders, const struct uuid *reference_id,
				      int64_t received_at_ms, struct span payload, struct arena *arena,
				      struct telemetry_message **ret_messages, size_t *ret_count,
				      uint64_t *ret_withheld, const char **ret_reason);

#endif
