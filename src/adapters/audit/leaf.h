/*
 * What the log reads from a leaf's JSON, in one pass and without allocation: it runs for every leaf that is appended,
 * where a general parser would cost ten times as much. Also the index record made from it.
 */
#ifndef VINVEIL_ADAPTERS_AUDIT_LEAF_H
#define VINVEIL_ADAPTERS_AUDIT_LEAF_H

#include "base/uuid.h"
#include "vehicle/ports/audit_log.h"

/* Texts as they stand in the JSON (escapes not undone); empty when the member is absent. Borrowed. */
struct leaf_facts {
	struct span leaf_id;
	struct span at, tenant, actor, action, outcome;
	struct span reference_id;
	struct span reference_ids; /* the array, brackets included */
};

/* RESULT_INVALID unless it is one well-formed JSON object (RFC 8259, UTF-8, no NUL, depth bounded). */
MUST_USE enum result leaf_scan(struct span json, struct leaf_facts *ret_facts);

/* ---- index records: 32 bytes an entry, big-endian ------------------------------------------------------ */

#define INDEX_RECORD_SIZE 32

#define INDEX_WRITTEN 0x01 /* always set: tells a record from a hole */
#define INDEX_BATCH   0x02 /* has referenceIds: any Reference ID may be in it */

struct index_record {
	uint32_t offset; /* of the entry's length in its file */
	uint16_t length; /* of the entry */
	uint8_t outcome; /* low byte of the text's hash */
	uint8_t flags;
	int64_t at_ms;
	uint32_t tenant, actor, action, reference_id; /* hashes; of the absent: the hash of the empty text */
};

void index_record_make(const struct leaf_facts *facts, uint32_t offset, uint16_t length,
		       struct index_record *ret_record);
void index_record_format(const struct index_record *record, uint8_t ret_bytes[static INDEX_RECORD_SIZE]);
void index_record_parse(const uint8_t bytes[static INDEX_RECORD_SIZE], struct index_record *ret_record);

/* FNV-1a with a last mix: a filter, confirmed on the JSON, so collisions cost time and nothing else. */
uint32_t index_hash(struct span text);

#endif
