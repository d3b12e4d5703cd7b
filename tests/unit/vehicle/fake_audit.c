#include "fake_audit.h"

#include <stdlib.h>

static struct fake_audit *self_of(struct audit_log *log)
{
	return (struct fake_audit *)log;
}

static enum result append(struct audit_log *log, const struct audit_leaf *leaves, size_t count, audit_append_done *done,
			  void *context)
{
	struct fake_audit *audit = self_of(log);

	if (audit->append_result != RESULT_OK)
		return audit->append_result;
	pthread_mutex_lock(&audit->mutex);
	size_t first = audit->count;
	if (audit->durable_result != RESULT_OK)
		count = 0;
	for (size_t i = 0; i < count && audit->count < FAKE_LEAVES_MAX; i++) {
		audit->leaves[audit->count] = strndup((const char *)leaves[i].json.data, leaves[i].json.size);
		audit->ids[audit->count++] = leaves[i].leaf_id;
	}
	pthread_mutex_unlock(&audit->mutex);
	done(context, audit->durable_result, first);
	return RESULT_OK;
}

static uint64_t size(struct audit_log *log)
{
	struct fake_audit *audit = self_of(log);

	pthread_mutex_lock(&audit->mutex);
	uint64_t count = audit->count;
	pthread_mutex_unlock(&audit->mutex);
	return count;
}

static enum result read_leaf(struct audit_log *log, uint64_t index, struct arena *arena, struct span *ret_json,
			     struct note *note)
{
	struct fake_audit *audit = self_of(log);

	(void)note;
	if (index >= audit->count)
		return RESULT_ABSENT;
	char *text = arena_copy_text(arena, span_of_text(audit->leaves[index]));
	if (text == NULL)
		return RESULT_MEMORY;
	*ret_json = span_of_text(text);
	return RESULT_OK;
}

static const struct audit_log_ops ops = {.read = read_leaf, .append = append, .size = size, .durable_size = size};

void fake_audit_init(struct fake_audit *audit)
{
	*audit = (struct fake_audit){.log = {.ops = &ops}, .mutex = PTHREAD_MUTEX_INITIALIZER};
}

void fake_audit_release(struct fake_audit *audit)
{
	for (size_t i = 0; i < audit->count; i++)
		free(audit->leaves[i]);
	audit->count = 0;
}

const char *fake_audit_last(const struct fake_audit *audit)
{
	return audit->count == 0 ? "" : audit->leaves[audit->count - 1];
}

bool fake_audit_holds(const struct fake_audit *audit, const char *text)
{
	for (size_t i = 0; i < audit->count; i++)
		if (strstr(audit->leaves[i], text) != NULL)
			return true;
	return false;
}

enum result fake_audit_contains(void *context, const struct uuid *leaf_id, uint64_t from_index)
{
	const struct fake_audit *audit = context;

	for (size_t i = from_index; i < audit->count; i++)
		if (uuid_equal(&audit->ids[i], leaf_id))
			return RESULT_OK;
	return RESULT_ABSENT;
}
