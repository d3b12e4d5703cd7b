/* The described signals as an agent's decoder manifest, and their names as ingest's document. */
#include "adapters/fleetwise/decoder_manifest.pb-c.h"
#include "adapters/fleetwise/decoders.h"
#include "adapters/fleetwise/description.h"
#include "adapters/fleetwise/signal_names.pb-c.h"
#include "base/text.h"
#include "vehicle/telemetry.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array)	     (sizeof(array) / sizeof((array)[0]))
#define INTERFACE_LENGTH_MAX 64
#define CUSTOM_ID_LENGTH_MAX 256
#define START_BIT_MAX	     511 /* of a CAN FD frame of 64 bytes */
#define SERVICE_MODE_MAX     10
#define VIN_SIGNAL	     "Vehicle.VehicleIdentification.VIN"

struct manifest {
	struct description *description;
	Fleetwise__DecoderManifest message;
};

/* VSS's words, in the order of the agent's numbers from PRIMITIVE_BOOL on. */
static const char *const datatypes[] = {"boolean", "uint8", "uint16", "uint32", "uint64", "int8",
					"int16",   "int32", "int64",  "float",	"double", "string"};
#define DATATYPE_DOUBLE 10
#define DATATYPE_STRING 11
static const char *const raw_types[] = {"INTEGER", "FLOATING_POINT"};

/* What the three kinds of signals have in common. */
struct signal_head {
	uint32_t id;
	char *interface_id;
	Fleetwise__PrimitiveType type;
};

static enum result read_raw_type(struct description *description, const json_t *json, Fleetwise__RawType *ret_type)
{
	size_t place = 0;

	TRY(member_choice(description, json, "signalValueType", raw_types, COUNT(raw_types), &place));
	*ret_type = (Fleetwise__RawType)place;
	return RESULT_OK;
}

/* ---- the kinds -------------------------------------------------------------------------------------------- */

static enum result read_can(struct manifest *manifest, const struct signal_head *head, const json_t *json)
{
	static const char *const members[] = {"messageId", "startBit",	  "length",   "factor",
					      "offset",	   "isBigEndian", "isSigned", "signalValueType"};
	struct description *description = manifest->description;
	Fleetwise__CanSignal *signal = arena_alloc(description->arena, sizeof *signal);

	if (signal == NULL)
		return RESULT_MEMORY;
	fleetwise__can_signal__init(signal);
	signal->signal_id = head->id;
	signal->interface_id = head->interface_id;
	signal->primitive_type = head->type;
	signal->factor = 1;
	TRY(member_check(description, json, members, COUNT(members)));
	for (size_t i = 0; i < 3; i++)
		TRY(member_required(description, json, members[i]));
	TRY(member_whole(description, json, "messageId", 0, 0x9fffffff, &signal->message_id));
	TRY(member_whole(description, json, "startBit", 0, START_BIT_MAX, &signal->start_bit));
	TRY(member_whole(description, json, "length", 1, 64, &signal->length));
	TRY(member_real(description, json, "factor", &signal->factor));
	TRY(member_real(description, json, "offset", &signal->offset));
	TRY(member_bool(description, json, "isBigEndian", &signal->is_big_endian));
	TRY(member_bool(description, json, "isSigned", &signal->is_signed));
	if (signal->factor == 0)
		return description_refuse(description, PROBLEM_VALUE_INVALID, "the member factor must not be 0.");
	TRY(read_raw_type(description, json, &signal->raw_type));
	manifest->message.can_signals[manifest->message.n_can_signals++] = signal;
	return RESULT_OK;
}

static enum result read_obd(struct manifest *manifest, const struct signal_head *head, const json_t *json)
{
	static const char *const members[] = {
		"pidResponseLength", "serviceMode",   "pid",	  "byteLength",	    "startByte", "scaling", "offset",
		"bitRightShift",     "bitMaskLength", "isSigned", "signalValueType"};
	struct description *description = manifest->description;
	Fleetwise__ObdPidSignal *signal = arena_alloc(description->arena, sizeof *signal);

	if (signal == NULL)
		return RESULT_MEMORY;
	fleetwise__obd_pid_signal__init(signal);
	signal->signal_id = head->id;
	signal->interface_id = head->interface_id;
	signal->primitive_type = head->type;
	signal->scaling = 1;
	signal->bit_mask_length = 8;
	TRY(member_check(description, json, members, COUNT(members)));
	for (size_t i = 0; i < 4; i++)
		TRY(member_required(description, json, members[i]));
	TRY(member_whole(description, json, "pidResponseLength", 1, UINT8_MAX, &signal->pid_response_length));
	TRY(member_whole(description, json, "serviceMode", 1, SERVICE_MODE_MAX, &signal->service_mode));
	TRY(member_whole(description, json, "pid", 0, UINT8_MAX, &signal->pid));
	TRY(member_whole(description, json, "startByte", 0, UINT8_MAX, &signal->start_byte));
	TRY(member_whole(description, json, "byteLength", 1, 8, &signal->byte_length));
	TRY(member_whole(description, json, "bitRightShift", 0, 7, &signal->bit_right_shift));
	TRY(member_whole(description, json, "bitMaskLength", 1, 8, &signal->bit_mask_length));
	TRY(member_real(description, json, "scaling", &signal->scaling));
	TRY(member_real(description, json, "offset", &signal->offset));
	TRY(member_bool(description, json, "isSigned", &signal->is_signed));
	if (signal->scaling == 0)
		return description_refuse(description, PROBLEM_VALUE_INVALID, "the member scaling must not be 0.");
	TRY(read_raw_type(description, json, &signal->raw_type));
	manifest->message.obd_pid_signals[manifest->message.n_obd_pid_signals++] = signal;
	return RESULT_OK;
}

static enum result read_custom(struct manifest *manifest, const struct signal_head *head, const json_t *json)
{
	static const char *const members[] = {"id"};
	struct description *description = manifest->description;
	Fleetwise__CustomDecodingSignal *signal = arena_alloc(description->arena, sizeof *signal);

	if (signal == NULL)
		return RESULT_MEMORY;
	fleetwise__custom_decoding_signal__init(signal);
	signal->signal_id = head->id;
	signal->interface_id = head->interface_id;
	signal->primitive_type = head->type;
	TRY(member_check(description, json, members, COUNT(members)));
	TRY(member_text(description, json, "id", CUSTOM_ID_LENGTH_MAX, &signal->custom_decoding_id));
	manifest->message.custom_decoding_signals[manifest->message.n_custom_decoding_signals++] = signal;
	return RESULT_OK;
}

/* ---- one signal --------------------------------------------------------------------------------------------- */

static enum result read_decoding(struct manifest *manifest, const struct signal_head *head, const json_t *json)
{
	struct description *description = manifest->description;
	const json_t *can = json_object_get(json, "canSignal");
	const json_t *obd = json_object_get(json, "obdSignal");
	const json_t *custom = json_object_get(json, "customDecodingSignal");

	if ((can != NULL) + (obd != NULL) + (custom != NULL) != 1)
		return description_refuse(description, PROBLEM_MALFORMED,
					  "exactly one of canSignal, obdSignal, customDecodingSignal is needed.");
	if (custom != NULL)
		return read_custom(manifest, head, custom);
	if (head->type == FLEETWISE__PRIMITIVE_TYPE__PRIMITIVE_STRING)
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "only a customDecodingSignal can be a string.");
	return can != NULL ? read_can(manifest, head, can) : read_obd(manifest, head, obd);
}

static enum result read_signal(struct manifest *manifest, const json_t *json, size_t place)
{
	static const char *const members[] = {
		"id", "name", "datatype", "interfaceId", "canSignal", "obdSignal", "customDecodingSignal"};
	struct description *description = manifest->description;
	struct signal_head head = {.id = (uint32_t)place + 1};
	size_t type = DATATYPE_DOUBLE;
	char *name;

	TRY(member_check(description, json, members, COUNT(members)));
	TRY(member_whole(description, json, "id", 1, FLEETWISE_SIGNAL_ID_MAX, &head.id));
	TRY(member_text(description, json, "name", SIGNAL_NAME_LENGTH_MAX, &name));
	if (!signal_name_is_valid(span_of_text(name)))
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "the member name must be a dotted path without empty parts.");
	if (strcmp(name, VIN_SIGNAL) == 0)
		return description_refuse(description, PROBLEM_VIN_NOT_ALLOWED,
					  "it is the VIN, which vehicles are not to send.");
	TRY(member_choice(description, json, "datatype", datatypes, COUNT(datatypes), &type));
	TRY(member_text(description, json, "interfaceId", INTERFACE_LENGTH_MAX, &head.interface_id));
	head.type = (Fleetwise__PrimitiveType)(FLEETWISE__PRIMITIVE_TYPE__PRIMITIVE_BOOL + type);
	description->signals[place] = (struct described_signal){span_of_text(name), place, head.id,
								head.type == FLEETWISE__PRIMITIVE_TYPE__PRIMITIVE_BOOL};
	return read_decoding(manifest, &head, json);
}

/* ---- all of them ---------------------------------------------------------------------------------------------- */

static enum result make_room(struct manifest *manifest, size_t count)
{
	struct arena *arena = manifest->description->arena;
	Fleetwise__DecoderManifest *message = &manifest->message;

	fleetwise__decoder_manifest__init(message);
	message->can_signals = arena_alloc(arena, count * sizeof(Fleetwise__CanSignal *));
	message->obd_pid_signals = arena_alloc(arena, count * sizeof(Fleetwise__ObdPidSignal *));
	message->custom_decoding_signals = arena_alloc(arena, count * sizeof(Fleetwise__CustomDecodingSignal *));
	manifest->description->signals = arena_alloc(arena, count * sizeof *manifest->description->signals);
	manifest->description->signal_count = count;
	return message->can_signals != NULL && message->obd_pid_signals != NULL &&
			       message->custom_decoding_signals != NULL && manifest->description->signals != NULL
		       ? RESULT_OK
		       : RESULT_MEMORY;
}

static int by_id(const void *a, const void *b)
{
	const Fleetwise__SignalName *const *left = a, *const *right = b;

	return ((*left)->signal_id > (*right)->signal_id) - ((*left)->signal_id < (*right)->signal_id);
}

/* In the order of their IDs. */
static enum result list_names(struct description *description, Fleetwise__SignalNames *message)
{
	Fleetwise__SignalName *names = arena_alloc(description->arena, description->signal_count * sizeof *names);

	message->signals = arena_alloc(description->arena, description->signal_count * sizeof(Fleetwise__SignalName *));
	if (names == NULL || message->signals == NULL)
		return RESULT_MEMORY;
	message->n_signals = description->signal_count;
	for (size_t i = 0; i < description->signal_count; i++) {
		const struct described_signal *signal = &description->signals[i];
		fleetwise__signal_name__init(&names[i]);
		names[i].signal_id = signal->id;
		names[i].name = (ProtobufCBinaryData){signal->name.size, (uint8_t *)signal->name.data};
		names[i].is_boolean = signal->is_boolean;
		message->signals[i] = &names[i];
	}
	qsort(message->signals, message->n_signals, sizeof(Fleetwise__SignalName *), by_id);
	for (size_t i = 1; i < message->n_signals; i++)
		if (message->signals[i]->signal_id == message->signals[i - 1]->signal_id)
			return description_refuse(description, PROBLEM_VALUE_INVALID, "two of them have the same ID.");
	return RESULT_OK;
}

static enum result make_names(struct description *description, char *sync_id, struct span *ret_names)
{
	Fleetwise__SignalNames message = FLEETWISE__SIGNAL_NAMES__INIT;
	struct span bytes;

	TRY(list_names(description, &message));
	message.sync_id = (ProtobufCBinaryData){strlen(sync_id), (uint8_t *)sync_id};
	TRY(message_write(&message.base, description->arena, &bytes));
	if (bytes.size > FLEETWISE_NAMES_DOCUMENT_MAX)
		return description_refuse(description, PROBLEM_VALUE_INVALID, "their names are more than %zu KiB.",
					  FLEETWISE_NAMES_DOCUMENT_MAX >> 10);
	*ret_names = bytes;
	return RESULT_OK;
}

static enum result check_signals(struct description *description, const json_t *signals)
{
	if (!json_is_array(signals))
		return description_refuse(description, PROBLEM_MALFORMED, "the member signals must be an array.");
	if (json_array_size(signals) == 0 || json_array_size(signals) > AGENT_SIGNALS_MAX)
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "the member signals must hold 1 to %d signals.", AGENT_SIGNALS_MAX);
	return RESULT_OK;
}

enum result describe_manifest(struct description *description, struct agent_documents *documents)
{
	struct manifest manifest = {.description = description};
	const json_t *signals = json_object_get(description->json, "signals");
	char *sync_id;

	TRY(check_signals(description, signals));
	TRY(make_room(&manifest, json_array_size(signals)));
	for (size_t i = 0; i < json_array_size(signals); i++) {
		snprintf(description->place, sizeof description->place, "In signal %zu", i + 1);
		TRY(read_signal(&manifest, json_array_get(signals, i), i));
	}
	snprintf(description->place, sizeof description->place, "In the signals");
	TRY(description_index(description));
	TRY(description_sync_id(description, description->name, &manifest.message.base, &sync_id));
	TRY(make_names(description, sync_id, &documents->names));
	manifest.message.sync_id = sync_id;
	documents->signal_count = description->signal_count;
	return description_document(description, SIGNAL_DECODER_MANIFEST, sync_id, &manifest.message.base,
				    &documents->decoder_manifest);
}
