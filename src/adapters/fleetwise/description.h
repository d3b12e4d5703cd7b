/*
 * An operator's description of signals and of what is to be collected (doc/fleetwise.md), on its way to an agent's
 * documents. Everything lives in one arena; the first fault is kept and told. Private to adapters/fleetwise/.
 */
#ifndef VINVEIL_ADAPTERS_FLEETWISE_DESCRIPTION_H
#define VINVEIL_ADAPTERS_FLEETWISE_DESCRIPTION_H

#include "adapters/fleetwise/collection_schemes.pb-c.h"
#include "adapters/fleetwise/memory.h"
#include "vehicle/ports/agent_format.h"

#define DESCRIPTION_NAME_LENGTH_MAX 48

struct described_signal {
	struct span name;
	size_t place; /* in the order described, from 0 */
	uint32_t id;
	bool is_boolean;
};

struct description {
	const struct tenant_id *tenant;
	const json_t *json;
	int64_t at_ms;
	struct arena *arena;
	struct description_fault *fault;
	char place[64]; /* where the reading is: "In signal 3", "In scheme 1" */
	const char *name;
	struct described_signal *signals; /* in the order described */
	struct described_signal *by_name;
	size_t signal_count;
	size_t collected_count; /* by all schemes so far */
};

/* manifest.c: sets the description's signals, too */
MUST_USE enum result describe_manifest(struct description *description, struct agent_documents *documents);
/* schemes.c: the manifest comes first */
MUST_USE enum result describe_schemes(struct description *description, struct agent_documents *documents);
/* condition.c: the tree; is_used is set at the place of each signal in it */
MUST_USE enum result describe_condition(struct description *description, const json_t *json, bool *is_used,
					Fleetwise__ConditionNode **ret_node);

/* Makes by_name; RESULT_INVALID when two have the same name. */
MUST_USE enum result description_index(struct description *description);
/* NULL: none is described by that name. */
const struct described_signal *description_find(const struct description *description, struct span name);

/* "{tenant}/{name}/{digest of the message as it is now}", in the arena. */
MUST_USE enum result description_sync_id(const struct description *description, const char *name,
					 const ProtobufCMessage *message, char **ret_sync_id);
/* The document of a message that goes to agents: RESULT_INVALID when it is larger than they accept. */
MUST_USE enum result description_document(struct description *description, enum signal_document_kind kind,
					  const char *sync_id, const ProtobufCMessage *message,
					  struct signal_document *ret_document);

/* ---- members: their faults are told with the description's place ------------------------------------------- */

/* Sets the fault and returns RESULT_INVALID. */
MUST_USE enum result description_refuse(struct description *description, enum problem problem, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

MUST_USE enum result member_check(struct description *description, const json_t *object, const char *const *names,
				  size_t count);
/* Absent: *value stays as it is. */
MUST_USE enum result member_whole(struct description *description, const json_t *object, const char *name,
				  uint32_t least, uint32_t greatest, uint32_t *value);
MUST_USE enum result member_real(struct description *description, const json_t *object, const char *name,
				 double *value);
MUST_USE enum result member_bool(struct description *description, const json_t *object, const char *name, int *value);
MUST_USE enum result member_time(struct description *description, const json_t *object, const char *name,
				 uint64_t *value);
/* Printable ASCII without spaces and VINs, copied; RESULT_INVALID when absent. */
MUST_USE enum result member_text(struct description *description, const json_t *object, const char *name,
				 size_t length_max, char **ret_text);
/* The same as a name: [a-z0-9] then [a-z0-9-]* */
MUST_USE enum result member_name(struct description *description, const json_t *object, const char *name,
				 char **ret_text);
/* One word of a list; its place in it. Absent: *value stays as it is. */
MUST_USE enum result member_choice(struct description *description, const json_t *object, const char *name,
				   const char *const *choices, size_t count, size_t *value);
/* RESULT_INVALID when it is absent or no object. */
MUST_USE enum result member_required(struct description *description, const json_t *object, const char *name);

#endif
