#include "vehicle/signal_documents.h"

#include <stdio.h>

#define DESCRIPTION_MEMORY ((size_t)16 << 20)

const char *signal_document_kind_name(enum signal_document_kind kind)
{
	return kind == SIGNAL_DECODER_MANIFEST ? "decoder-manifest" : "collection-schemes";
}

static enum problem make(struct flow_request *request, const json_t *description, struct agent_documents *ret_documents)
{
	const struct platform *platform = request->platform;
	struct agent_format *format = platform->agent_format;
	struct description_fault fault;

	if (format == NULL)
		return PROBLEM_UNAVAILABLE;
	request->arena->size_max = DESCRIPTION_MEMORY;
	enum result result =
		format->ops->make_documents(format, &request->client->tenant, description,
					    clock_now_ms(platform->clock), request->arena, ret_documents, &fault);
	if (result != RESULT_INVALID)
		return problem_of_result(result);
	snprintf(request->detail, sizeof request->detail, "%s", fault.detail);
	return fault.problem;
}

static enum result tell_names(struct flow_request *request, const struct agent_documents *documents)
{
	struct telemetry_control *control = request->platform->telemetry_control;

	if (control == NULL)
		return RESULT_OK;
	return control->ops->put_decoder(control, &request->client->tenant, documents->decoder_manifest.sync_id,
					 documents->names, &request->note);
}

/* Both or neither: schemes that were made for another manifest collect nothing. */
static enum result commit(struct flow_request *request, const struct agent_documents *documents)
{
	const struct registry_write writes[] = {
		{.kind = REGISTRY_PUT_SIGNAL_DOCUMENT, .document = &documents->decoder_manifest},
		{.kind = REGISTRY_PUT_SIGNAL_DOCUMENT, .document = &documents->collection_schemes},
	};
	enum registry_conflict conflict;

	request->event->subject = arena_copy_text(request->arena, span_of_text(documents->decoder_manifest.sync_id));
	request->event->count = documents->signal_count;
	return audit_commit(request->platform, request->event, request->arena, writes, sizeof writes / sizeof writes[0],
			    &conflict, &request->note);
}

enum problem signal_documents_load(struct flow_request *request, const json_t *description,
				   struct agent_documents *ret_documents)
{
	struct agent_documents documents;
	enum problem problem = make(request, description, &documents);

	if (problem != PROBLEM_NONE)
		return problem;
	enum result result = tell_names(request, &documents);
	if (result == RESULT_OK)
		result = commit(request, &documents);
	if (result == RESULT_OK)
		*ret_documents = documents;
	return problem_of_result(result);
}

enum problem signal_documents_list(struct flow_request *request,
				   struct signal_document ret_documents[static SIGNAL_DOCUMENT_KINDS],
				   size_t *ret_count)
{
	struct registry *registry = request->platform->registry;
	size_t count = 0;

	for (int kind = SIGNAL_DECODER_MANIFEST; kind <= SIGNAL_COLLECTION_SCHEMES; kind++) {
		enum result result = registry->ops->get_signal_document(
			registry, &request->client->tenant, (enum signal_document_kind)kind, false, request->arena,
			&ret_documents[count], &request->note);
		if (result == RESULT_OK)
			count++;
		else if (result != RESULT_ABSENT)
			return problem_of_result(result);
	}
	*ret_count = count;
	return PROBLEM_NONE;
}
