/* The manifest's load: the same sum however the bytes are cut up, and every device that is put is a device. */
#include "fuzz.h"
#include "vehicle/manifest.h"

static bool is_good_write(const struct registry_write *write)
{
	char device_id[DEVICE_ID_SIZE];

	if (write->kind != REGISTRY_PUT_DEVICE)
		return write->kind == REGISTRY_ADD_LEAF;
	return device_id_parse(span_of_text(write->device.entry->device_id), device_id) == RESULT_OK &&
	       !vin_stands_in(span_of_text(write->device.entry->model)) &&
	       !vin_stands_in(span_of_text(write->device.entry->manufacturer));
}

static enum result commit(struct registry *registry, const struct change_set *change,
			  enum registry_conflict *ret_conflict, struct note *note)
{
	(void)registry;
	(void)ret_conflict;
	(void)note;
	for (size_t i = 0; i < change->count; i++) {
		FUZZ_CHECK(is_good_write(&change->writes[i]));
		if (change->writes[i].kind == REGISTRY_PUT_DEVICE)
			*change->writes[i].device.ret_device = DEVICE_ADDED;
	}
	return RESULT_OK;
}

static void forget_outbox(struct registry *registry, const struct uuid *leaf_ids, size_t count)
{
	(void)registry;
	(void)leaf_ids;
	(void)count;
}

static enum result append(struct audit_log *log, const struct audit_leaf *leaves, size_t count, audit_append_done *done,
			  void *context)
{
	(void)log;
	(void)leaves;
	(void)count;
	done(context, RESULT_OK, 0);
	return RESULT_OK;
}

static uint64_t size_of_log(struct audit_log *log)
{
	(void)log;
	return 0;
}

static void load(struct span bytes, size_t step, struct manifest_report *ret_report)
{
	static const struct registry_ops registry_ops = {.commit = commit, .forget_outbox = forget_outbox};
	static const struct audit_log_ops audit_ops = {.append = append, .durable_size = size_of_log};
	struct registry registry = {&registry_ops};
	struct audit_log audit = {&audit_ops};
	struct platform platform = {
		.registry = &registry, .audit = &audit, .clock = clock_system(), .entropy = entropy_system()};
	struct client client = {.id = "fuzz"};
	struct audit_event event = {.action = "device.manifest", .actor = client.id};
	struct flow_request request = {
		.platform = &platform, .client = &client, .tenant = {.id = {"demo"}}, .event = &event};
	struct manifest_load *manifest;

	FUZZ_CHECK(manifest_load_open(&request, &manifest) == RESULT_OK);
	for (size_t at = 0; at < bytes.size; at += step) {
		size_t count = bytes.size - at < step ? bytes.size - at : step;
		FUZZ_CHECK(manifest_load_feed(manifest, span_of(bytes.data + at, count)) == PROBLEM_NONE);
	}
	FUZZ_CHECK(manifest_load_finish(manifest, true) == PROBLEM_NONE);
	manifest_load_report(manifest, ret_report);
	manifest_load_close(manifest);
	ret_report->rejected = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest_report whole, cut;

	if (size == 0)
		return 0;
	load(span_of(data, size), size, &whole);
	load(span_of(data, size), 1 + data[0] % 16, &cut);
	FUZZ_CHECK(whole.accepted == cut.accepted && whole.duplicates == cut.duplicates);
	FUZZ_CHECK(whole.rejected_count == cut.rejected_count && whole.rejected_listed == cut.rejected_listed);
	return 0;
}
