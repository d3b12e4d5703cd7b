/* Loading what edge agents are to have: what is told and kept, in which order, and what is not. */
#include "support.h"
#include "vehicle/signal_documents.h"

#include <stdio.h>

/* Makes one document of each kind, named after the description's "name"; "bad" is a fault. */
static enum result make_documents(struct agent_format *format, const struct tenant_id *tenant,
				  const json_t *description, int64_t at_ms, struct arena *arena,
				  struct agent_documents *ret_documents, struct description_fault *ret_fault)
{
	const char *name = json_string_value(json_object_get(description, "name"));
	struct signal_document document = {.tenant = *tenant, .created_at_ms = at_ms, .bytes = span_of_text("bytes")};

	(void)format, (void)arena;
	if (strcmp(name, "bad") == 0) {
		*ret_fault = (struct description_fault){PROBLEM_VALUE_INVALID, "In signal 1: it is bad."};
		return RESULT_INVALID;
	}
	if (strcmp(name, "large") == 0)
		return RESULT_MEMORY;
	snprintf(document.sync_id, sizeof document.sync_id, "demo/%s/1", name);
	*ret_documents = (struct agent_documents){document, document, span_of_text("names"), 3, 2};
	ret_documents->decoder_manifest.kind = SIGNAL_DECODER_MANIFEST;
	ret_documents->collection_schemes.kind = SIGNAL_COLLECTION_SCHEMES;
	return RESULT_OK;
}

static const struct agent_format_ops format_ops = {.make_documents = make_documents};
static struct agent_format format = {&format_ops};

static struct {
	struct telemetry_control control;
	enum result result;
	size_t count;
	char tenant[64], sync_id[SYNC_ID_LENGTH_MAX + 1], document[16];
	bool was_kept; /* the registry had the document when ingest was told */
	struct registry *registry;
} told;

static bool is_kept(struct registry *registry, const struct tenant_id *tenant, const char *sync_id)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct signal_document document;

	return registry->ops->get_signal_document(registry, tenant, SIGNAL_DECODER_MANIFEST, false, &arena, &document,
						  NULL) == RESULT_OK &&
	       strcmp(document.sync_id, sync_id) == 0;
}

static enum result put_decoder(struct telemetry_control *control, const struct tenant_id *tenant, const char *sync_id,
			       struct span document, struct note *note)
{
	(void)control, (void)note;
	told.count++;
	snprintf(told.tenant, sizeof told.tenant, "%s", tenant->text);
	snprintf(told.sync_id, sizeof told.sync_id, "%s", sync_id);
	snprintf(told.document, sizeof told.document, "%.*s", (int)document.size, (const char *)document.data);
	told.was_kept = is_kept(told.registry, tenant, sync_id);
	return told.result;
}

static int set_up_told(void **state)
{
	static const struct telemetry_control_ops ops = {.put_decoder = put_decoder};
	int code = set_up(state);
	struct fixture *fixture = *state;

	memset(&told, 0, sizeof told);
	told.control.ops = &ops;
	told.registry = fixture->platform.registry;
	fixture->platform.agent_format = &format;
	fixture->platform.telemetry_control = &told.control;
	return code;
}

static enum problem load(struct session *session, const char *name)
{
	JSON_CLEANUP json_t *description = json_pack("{s:s}", "name", name);
	struct agent_documents documents;
	enum problem problem = signal_documents_load(&session->request, description, &documents);

	if (problem == PROBLEM_NONE) {
		assert_int_equal(documents.signal_count, 3);
		assert_int_equal(documents.scheme_count, 2);
	}
	return problem;
}

static size_t listed(struct fixture *fixture, const struct client *client, struct signal_document *ret_documents)
{
	SESSION_CLEANUP struct session session;
	size_t count;

	session_open(&session, fixture, client);
	assert_problem(signal_documents_list(&session.request, ret_documents, &count), PROBLEM_NONE);
	return count;
}

/* ---- tests ---------------------------------------------------------------------------------------------- */

static void test_a_fault_is_told_and_nothing_is_kept(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;
	struct signal_document documents[SIGNAL_DOCUMENT_KINDS];

	session_open(&session, fixture, &fixture->admin);
	assert_problem(load(&session, "bad"), PROBLEM_VALUE_INVALID);
	assert_string_equal(session.request.detail, "In signal 1: it is bad.");
	assert_int_equal(told.count, 0);
	assert_int_equal(listed(fixture, &fixture->admin, documents), 0);
}

static void test_without_agents_it_is_unavailable(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;

	fixture->platform.agent_format = NULL;
	session_open(&session, fixture, &fixture->admin);
	assert_problem(load(&session, "car"), PROBLEM_UNAVAILABLE);
}

static void test_what_ingest_cannot_be_told_is_not_kept(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;
	struct signal_document documents[SIGNAL_DOCUMENT_KINDS];

	told.result = RESULT_UNAVAILABLE;
	session_open(&session, fixture, &fixture->admin);
	assert_problem(load(&session, "car"), PROBLEM_UNAVAILABLE);
	assert_int_equal(listed(fixture, &fixture->admin, documents), 0);
	assert_false(session.event.is_recorded);
}

static void test_both_are_kept_and_ingest_knew_before(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;
	struct signal_document documents[SIGNAL_DOCUMENT_KINDS];

	session_open(&session, fixture, &fixture->admin);
	assert_problem(load(&session, "car"), PROBLEM_NONE);
	assert_int_equal(told.count, 1);
	assert_string_equal(told.tenant, "demo");
	assert_string_equal(told.sync_id, "demo/car/1");
	assert_string_equal(told.document, "names");
	assert_false(told.was_kept);
	assert_true(session.event.is_recorded);
	assert_string_equal(session.event.subject, "demo/car/1");
	assert_int_equal(session.event.count, 3);
	assert_int_equal(listed(fixture, &fixture->admin, documents), 2);
	assert_int_equal(documents[0].kind, SIGNAL_DECODER_MANIFEST);
	assert_int_equal(documents[1].kind, SIGNAL_COLLECTION_SCHEMES);
	assert_string_equal(documents[0].sync_id, "demo/car/1");
	assert_int_equal(documents[0].created_at_ms, START_MS);
}

static void test_another_tenant_sees_nothing_of_it(void **state)
{
	struct fixture *fixture = *state;
	SESSION_CLEANUP struct session session;
	struct signal_document documents[SIGNAL_DOCUMENT_KINDS];

	session_open(&session, fixture, &fixture->admin);
	assert_problem(load(&session, "car"), PROBLEM_NONE);
	assert_int_equal(listed(fixture, &fixture->stranger, documents), 0);
}

static void test_the_newest_holds_even_when_it_was_there_before(void **state)
{
	static const char *const names[] = {"car", "truck", "car"};
	struct fixture *fixture = *state;
	struct signal_document documents[SIGNAL_DOCUMENT_KINDS];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		SESSION_CLEANUP struct session session;
		char sync_id[32];
		session_open(&session, fixture, &fixture->admin);
		assert_problem(load(&session, names[i]), PROBLEM_NONE);
		assert_int_equal(listed(fixture, &fixture->admin, documents), 2);
		snprintf(sync_id, sizeof sync_id, "demo/%s/1", names[i]);
		assert_string_equal(documents[0].sync_id, sync_id);
		assert_string_equal(documents[1].sync_id, sync_id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_fault_is_told_and_nothing_is_kept, set_up_told, tear_down),
		cmocka_unit_test_setup_teardown(test_without_agents_it_is_unavailable, set_up_told, tear_down),
		cmocka_unit_test_setup_teardown(test_what_ingest_cannot_be_told_is_not_kept, set_up_told, tear_down),
		cmocka_unit_test_setup_teardown(test_both_are_kept_and_ingest_knew_before, set_up_told, tear_down),
		cmocka_unit_test_setup_teardown(test_another_tenant_sees_nothing_of_it, set_up_told, tear_down),
		cmocka_unit_test_setup_teardown(test_the_newest_holds_even_when_it_was_there_before, set_up_told,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
