/*
 * /v1/signal-documents: what the edge agents of the caller's tenant are to decode and to send.
 */
#include "vehicle/signal_documents.h"
#include "api/body.h"
#include "api/records.h"

static void write_made(struct json_writer *writer, const char *key, const struct signal_document *document,
		       const char *count_key, size_t count)
{
	json_key(writer, key);
	json_object_begin(writer);
	json_member_text(writer, "syncId", document->sync_id);
	json_member_number(writer, count_key, (int64_t)count);
	json_member_number(writer, "size", (int64_t)document->bytes.size);
	json_object_end(writer);
}

/* Its members are judged where the description is read. */
enum problem signal_documents_create(struct call *call)
{
	static const char *const members[] = {"name", "signals", "schemes"};
	struct agent_documents documents;
	struct json_writer writer;
	enum problem problem = body_read(call, members, sizeof members / sizeof members[0]);

	if (problem == PROBLEM_NONE)
		problem = signal_documents_load(&call->flow, call->json, &documents);
	if (problem != PROBLEM_NONE)
		return problem;
	answer_json(call, 201, &writer);
	json_object_begin(&writer);
	write_made(&writer, "decoderManifest", &documents.decoder_manifest, "signals", documents.signal_count);
	write_made(&writer, "collectionSchemes", &documents.collection_schemes, "schemes", documents.scheme_count);
	json_object_end(&writer);
	return answer_end(&writer);
}

enum problem signal_documents_read(struct call *call)
{
	struct signal_document documents[SIGNAL_DOCUMENT_KINDS];
	struct json_writer writer;
	size_t count = 0;
	enum problem problem = query_check(call, NULL, 0);

	if (problem == PROBLEM_NONE)
		problem = signal_documents_list(&call->flow, documents, &count);
	if (problem != PROBLEM_NONE)
		return problem;
	answer_json(call, 200, &writer);
	json_object_begin(&writer);
	json_key(&writer, "documents");
	json_array_begin(&writer);
	for (size_t i = 0; i < count; i++) {
		json_object_begin(&writer);
		json_member_text(&writer, "kind", signal_document_kind_name(documents[i].kind));
		json_member_text(&writer, "syncId", documents[i].sync_id);
		json_member_time(&writer, "createdAt", documents[i].created_at_ms);
		json_object_end(&writer);
	}
	json_array_end(&writer);
	json_object_end(&writer);
	return answer_end(&writer);
}
