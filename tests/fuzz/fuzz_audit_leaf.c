/*
 * The scanner of audit leaves against the project's JSON reader: it takes no more than that one does (but for
 * repeated names and numbers out of range, which the writer never makes), and no less.
 */
#include "adapters/audit/leaf.h"
#include "base/json.h"
#include "fuzz.h"

static void check_member(const json_t *object, const char *name, struct span fact)
{
	const json_t *member = json_object_get(object, name);

	FUZZ_CHECK((member != NULL) == (fact.data != NULL));
	/* Without escapes the text is the same. */
	if (json_is_string(member) && memchr(fact.data, '\\', fact.size) == NULL)
		FUZZ_CHECK(span_equal(fact, span_of(json_string_value(member), json_string_length(member))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	JSON_CLEANUP json_t *json = NULL;
	struct index_record record, back;
	uint8_t bytes[INDEX_RECORD_SIZE];
	struct leaf_facts facts;

	if (leaf_scan(text, &facts) != RESULT_OK) {
		FUZZ_CHECK(json_read(text, &json, NULL) != RESULT_OK || !json_is_object(json) ||
			   json_object_size(json) > 0); /* escaped names may differ, but not in the empty object */
		return 0;
	}
	index_record_make(&facts, 1, 2, &record);
	index_record_format(&record, bytes);
	index_record_parse(bytes, &back);
	FUZZ_CHECK(memcmp(&record, &back, sizeof(record)) == 0);
	if (json_read(text, &json, NULL) != RESULT_OK || memchr(data, '\\', size) != NULL)
		return 0;
	FUZZ_CHECK(json_is_object(json));
	check_member(json, "leafId", facts.leaf_id);
	check_member(json, "actor", facts.actor);
	check_member(json, "tenantId", facts.tenant);
	check_member(json, "referenceIds", facts.reference_ids);
	return 0;
}
