#include "vehicle/audit.h"

#include "base/json.h"
#include "vehicle/flow.h"

#include <pthread.h>

#define OUTBOX_BATCH	256
#define LEAF_SIZE_USUAL 512 /* reserved at once, so that a leaf of a single vehicle does not grow piece by piece */

const char *audit_outcome_name(enum audit_outcome outcome)
{
	static const char *const names[] = {
		[AUDIT_ALLOWED] = "allowed",
		[AUDIT_REFUSED] = "refused",
		[AUDIT_ABSENT] = "absent",
		[AUDIT_FAILED] = "failed",
	};

	return names[outcome];
}

enum audit_outcome audit_outcome_of(enum problem problem)
{
	switch (problem) {
	case PROBLEM_NONE:
		return AUDIT_ALLOWED;
	case PROBLEM_NOT_FOUND:
		return AUDIT_ABSENT;
	case PROBLEM_UNAVAILABLE:
	case PROBLEM_INTERNAL:
		return AUDIT_FAILED;
	default:
		return AUDIT_REFUSED;
	}
}

/* ---- the leaf ------------------------------------------------------------------------------------ */

static void write_optional(struct json_writer *writer, const char *key, const char *text)
{
	if (text != NULL && text[0] != '\0')
		json_member_text(writer, key, text);
}

static void write_vehicles(struct json_writer *writer, const struct audit_event *event)
{
	if (event->has_reference_id)
		json_member_uuid(writer, "referenceId", &event->reference_id);
	if (event->reference_id_count == 0)
		return;
	json_key(writer, "referenceIds");
	json_array_begin(writer);
	for (size_t i = 0; i < event->reference_id_count; i++)
		json_uuid(writer, &event->reference_ids[i]);
	json_array_end(writer);
}

/* A leaf has room for them all: a change revokes at most CHANGE_WRITES_MAX. */
static void write_change(struct json_writer *writer, const struct audit_event *event)
{
	write_optional(writer, "state", event->state);
	if (event->version > 0)
		json_member_number(writer, "version", event->version);
	if (event->revoked_count == 0)
		return;
	json_key(writer, "revokedSerialNumbers");
	json_array_begin(writer);
	for (size_t i = 0; i < event->revoked_count; i++)
		json_hex(writer, span_of(event->revoked[i].bytes, sizeof(event->revoked[i].bytes)));
	json_array_end(writer);
}

static void write_subject(struct json_writer *writer, const struct audit_event *event)
{
	write_optional(writer, "purpose", event->purpose);
	write_optional(writer, "deviceId", event->device_id);
	write_optional(writer, "newDeviceId", event->new_device_id);
	if (event->has_serial) {
		json_key(writer, "serialNumber");
		json_hex(writer, span_of(event->serial.bytes, sizeof(event->serial.bytes)));
	}
	write_change(writer, event);
	if (event->has_reveal_request_id)
		json_member_uuid(writer, "revealRequestId", &event->reveal_request_id);
	write_optional(writer, "reason", event->reason);
	write_optional(writer, "ticket", event->ticket);
	write_optional(writer, "approvedBy", event->approved_by);
	write_optional(writer, "subject", event->subject);
	if (event->count > 0)
		json_member_number(writer, "count", (int64_t)event->count);
}

static enum result write_leaf(const struct platform *platform, const struct audit_event *event,
			      const struct uuid *leaf_id, struct buf *buf)
{
	struct json_writer writer;

	json_writer_init(&writer, buf);
	json_object_begin(&writer);
	json_member_uuid(&writer, "leafId", leaf_id);
	json_member_time(&writer, "at", clock_now_ms(platform->clock));
	write_optional(&writer, "actor", event->actor);
	write_optional(&writer, "tenantId", event->tenant.text);
	json_member_text(&writer, "action", event->action);
	json_member_text(&writer, "outcome", audit_outcome_name(event->outcome));
	write_optional(&writer, "problem", event->problem);
	write_vehicles(&writer, event);
	write_subject(&writer, event);
	json_member_uuid(&writer, "requestId", &event->request_id);
	write_optional(&writer, "sourceAddress", event->source_address);
	json_object_end(&writer);
	return json_writer_end(&writer);
}

enum result audit_format(const struct platform *platform, const struct audit_event *event, struct arena *arena,
			 struct audit_leaf *ret_leaf)
{
	BUF_CLEANUP struct buf buf = {.size_max = AUDIT_LEAF_SIZE_MAX};
	struct uuid leaf_id;
	uint8_t *room;

	TRY(buf_reserve(&buf, LEAF_SIZE_USUAL, &room));
	TRY(uuid_generate_v4(platform->entropy, &leaf_id));
	TRY(write_leaf(platform, event, &leaf_id, &buf));
	char *text = arena_copy_text(arena, buf_span(&buf));
	if (text == NULL)
		return RESULT_MEMORY;
	*ret_leaf = (struct audit_leaf){.json = span_of(text, buf.size), .leaf_id = leaf_id};
	return RESULT_OK;
}

/* ---- appending, and waiting until it is durable ------------------------------------------------- */

struct append_wait {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool is_done;
	enum result result;
};

static void append_done(void *context, enum result result, uint64_t first_index)
{
	struct append_wait *wait = context;

	(void)first_index;
	pthread_mutex_lock(&wait->mutex);
	wait->result = result;
	wait->is_done = true;
	pthread_cond_signal(&wait->changed);
	pthread_mutex_unlock(&wait->mutex);
}

enum result audit_append(struct audit_log *log, const struct audit_leaf *leaves, size_t count)
{
	struct append_wait wait = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

	TRY(log->ops->append(log, leaves, count, append_done, &wait));
	pthread_mutex_lock(&wait.mutex);
	while (!wait.is_done)
		pthread_cond_wait(&wait.changed, &wait.mutex);
	pthread_mutex_unlock(&wait.mutex);
	pthread_cond_destroy(&wait.changed);
	pthread_mutex_destroy(&wait.mutex);
	return wait.result;
}

enum result audit_record(const struct platform *platform, struct audit_event *event, struct arena *arena)
{
	struct audit_leaf leaf;

	if (event->is_recorded)
		return RESULT_OK;
	TRY(audit_format(platform, event, arena, &leaf));
	TRY(audit_append(platform->audit, &leaf, 1));
	event->is_recorded = true;
	return RESULT_OK;
}

enum result audit_commit(const struct platform *platform, struct audit_event *event, struct arena *arena,
			 const struct registry_write *writes, size_t count, enum registry_conflict *ret_conflict,
			 struct note *note)
{
	struct registry *registry = platform->registry;
	struct audit_leaf leaf;

	TRY(audit_format(platform, event, arena, &leaf));
	struct registry_write *all = arena_alloc(arena, (count + 1) * sizeof(*all));
	if (all == NULL)
		return RESULT_MEMORY;
	memcpy(all, writes, count * sizeof(*all));
	all[count] = (struct registry_write){.kind = REGISTRY_ADD_LEAF, .leaf = &leaf};

	/* Read before the commit, so that the leaf stands in the log at this place or later. */
	struct change_set change = {
		.writes = all, .count = count + 1, .log_size = platform->audit->ops->durable_size(platform->audit)};
	TRY(registry->ops->commit(registry, &change, ret_conflict, note));
	event->is_recorded = true;
	enum result appended = audit_append(platform->audit, &leaf, 1);
	if (appended != RESULT_OK) {
		owed_leaves_add(platform->owed, &leaf);
		note_set(note, "the audit log did not take the leaf of a change that was made: %s",
			 result_name(appended));
		return appended;
	}
	registry->ops->forget_outbox(registry, &leaf.leaf_id, 1);
	return RESULT_OK;
}

/* ---- at start ------------------------------------------------------------------------------------ */

/* Appends those of the outbox's leaves that are not in the log. */
static enum result append_missing(const struct platform *platform, const struct outbox_leaf *outbox, size_t count,
				  audit_contains *contains, void *context)
{
	struct audit_leaf missing[OUTBOX_BATCH];
	size_t missing_count = 0;

	for (size_t i = 0; i < count; i++) {
		enum result found = contains(context, &outbox[i].leaf_id, outbox[i].log_size);
		if (found == RESULT_ABSENT)
			missing[missing_count++] =
				(struct audit_leaf){.json = outbox[i].json, .leaf_id = outbox[i].leaf_id};
		else
			TRY(found);
	}
	return missing_count == 0 ? RESULT_OK : audit_append(platform->audit, missing, missing_count);
}

/* They are forgotten with the next commit; at start there is none but this empty one. */
static enum result forget(struct registry *registry, const struct outbox_leaf *outbox, size_t count, struct note *note)
{
	struct uuid ids[OUTBOX_BATCH];
	struct change_set nothing = {0};
	enum registry_conflict conflict;

	for (size_t i = 0; i < count; i++)
		ids[i] = outbox[i].leaf_id;
	registry->ops->forget_outbox(registry, ids, count);
	return registry->ops->commit(registry, &nothing, &conflict, note);
}

enum result audit_drain_outbox(const struct platform *platform, audit_contains *contains, void *context,
			       size_t *ret_drained, struct note *note)
{
	struct registry *registry = platform->registry;
	size_t drained = 0;

	for (;;) {
		ARENA_CLEANUP struct arena arena = {.size_max = 2 * OUTBOX_BATCH * AUDIT_LEAF_SIZE_MAX};
		struct outbox_leaf *outbox;
		size_t count;

		TRY(registry->ops->read_outbox(registry, OUTBOX_BATCH, &arena, &outbox, &count, note));
		if (count == 0)
			break;
		TRY(append_missing(platform, outbox, count, contains, context));
		TRY(forget(registry, outbox, count, note));
		drained += count;
	}
	*ret_drained = drained;
	return RESULT_OK;
}
