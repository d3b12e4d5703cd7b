#include "vehicle/owed_leaves.h"

#include "vehicle/flow.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct owed_leaf {
	struct owed_leaf *next;
	struct uuid leaf_id;
	size_t size;
	uint8_t json[];
};

struct owed_leaves {
	pthread_mutex_t mutex;
	struct owed_leaf *first, **last;
	size_t count;
};

enum result owed_leaves_open(struct owed_leaves **ret_owed)
{
	struct owed_leaves *owed = calloc(1, sizeof(*owed));

	if (owed == NULL)
		return RESULT_MEMORY;
	pthread_mutex_init(&owed->mutex, NULL);
	owed->last = &owed->first;
	*ret_owed = owed;
	return RESULT_OK;
}

/* The oldest, which only the payer removes; it may be read without the lock until then. */
static struct owed_leaf *oldest(struct owed_leaves *owed)
{
	pthread_mutex_lock(&owed->mutex);
	struct owed_leaf *leaf = owed->first;
	pthread_mutex_unlock(&owed->mutex);
	return leaf;
}

static void remove_oldest(struct owed_leaves *owed)
{
	pthread_mutex_lock(&owed->mutex);
	struct owed_leaf *leaf = owed->first;
	owed->first = leaf->next;
	if (owed->first == NULL)
		owed->last = &owed->first;
	owed->count--;
	pthread_mutex_unlock(&owed->mutex);
	free(leaf);
}

void owed_leaves_close(struct owed_leaves *owed)
{
	if (owed == NULL)
		return;
	while (owed->first != NULL)
		remove_oldest(owed);
	pthread_mutex_destroy(&owed->mutex);
	free(owed);
}

void owed_leaves_add(struct owed_leaves *owed, const struct audit_leaf *leaf)
{
	if (owed == NULL)
		return;
	struct owed_leaf *copy = malloc(sizeof(*copy) + leaf->json.size);
	if (copy == NULL)
		return; /* the outbox has it */
	*copy = (struct owed_leaf){.leaf_id = leaf->leaf_id, .size = leaf->json.size};
	memcpy(copy->json, leaf->json.data, leaf->json.size);
	pthread_mutex_lock(&owed->mutex);
	bool fits = owed->count < OWED_LEAVES_MAX;
	if (fits) {
		*owed->last = copy;
		owed->last = &copy->next;
		owed->count++;
	}
	pthread_mutex_unlock(&owed->mutex);
	if (!fits)
		free(copy);
}

enum result owed_leaves_pay(const struct platform *platform, size_t *ret_paid)
{
	size_t paid = 0;

	for (struct owed_leaf *leaf; platform->owed != NULL && (leaf = oldest(platform->owed)) != NULL; paid++) {
		struct audit_leaf due = {.json = span_of(leaf->json, leaf->size), .leaf_id = leaf->leaf_id};
		TRY(audit_append(platform->audit, &due, 1));
		platform->registry->ops->forget_outbox(platform->registry, &leaf->leaf_id, 1);
		remove_oldest(platform->owed);
	}
	*ret_paid = paid;
	return RESULT_OK;
}
