/* What the registry says of who may not connect. */
#include "adapters/gateway/mosquitto_parts.h"

#include "base/entropy.h"

#define LIST_SIZE_MAX ((size_t)4 << 30) /* some forty million entries */

static enum result send_epoch(struct gateway_mosquitto *gateway, enum control_kind kind, uint64_t epoch)
{
	BUF_CLEANUP struct buf frame = {0};
	TRY(control_put_epoch(&frame, kind, epoch));
	return gateway_send_frame(gateway, &frame);
}

static enum result send_serials(struct gateway_mosquitto *gateway, const struct denied_certificate *denied,
				size_t count)
{
	BUF_CLEANUP struct buf frame = {0};
	struct serial serials[CONTROL_ENTRIES_MAX];
	for (size_t i = 0; i < count; i++)
		serials[i] = denied[i].serial;
	TRY(control_put_serials(&frame, serials, count));
	return gateway_send_frame(gateway, &frame);
}

static enum result send_refused(struct gateway_mosquitto *gateway, const struct uuid *ids, size_t count)
{
	BUF_CLEANUP struct buf frame = {0};
	TRY(control_put_refused(&frame, ids, count));
	return gateway_send_frame(gateway, &frame);
}

static size_t part(size_t count, size_t at)
{
	return count - at < CONTROL_ENTRIES_MAX ? count - at : CONTROL_ENTRIES_MAX;
}

static enum result send_all(struct gateway_mosquitto *gateway, const struct denied_certificate *denied,
			    size_t denied_count, const struct uuid *suspended, size_t suspended_count, uint64_t epoch)
{
	BUF_CLEANUP struct buf end = {0};
	TRY(send_epoch(gateway, CONTROL_HELLO, epoch));
	TRY(send_epoch(gateway, CONTROL_SNAPSHOT_BEGIN, epoch));
	for (size_t at = 0; at < denied_count; at += CONTROL_ENTRIES_MAX)
		TRY(send_serials(gateway, denied + at, part(denied_count, at)));
	for (size_t at = 0; at < suspended_count; at += CONTROL_ENTRIES_MAX)
		TRY(send_refused(gateway, suspended + at, part(suspended_count, at)));
	TRY(control_put_end(&end, epoch, denied_count, suspended_count));
	return gateway_send_frame(gateway, &end);
}

enum result gateway_push_list(struct gateway_mosquitto *gateway, struct note *note)
{
	ARENA_CLEANUP struct arena arena = {.size_max = LIST_SIZE_MAX};
	struct registry *registry = gateway->config.registry;
	struct denied_certificate *denied = NULL;
	struct uuid *suspended = NULL;
	size_t denied_count = 0;
	size_t suspended_count = 0;
	uint64_t epoch = 0;
	TRY(entropy_fill(entropy_system(), &epoch, sizeof(epoch)));
	epoch |= 1; /* 0 is none */
	TRY(registry->ops->scan_denied(registry, clock_now_ms(gateway->clock), &arena, &denied, &denied_count, note));
	TRY(registry->ops->scan_suspended(registry, &arena, &suspended, &suspended_count, note));
	TRY(send_all(gateway, denied, denied_count, suspended, suspended_count, epoch));
	gateway->epoch = epoch;
	pthread_mutex_lock(&gateway->mutex);
	gateway->status.denied = denied_count + suspended_count;
	pthread_mutex_unlock(&gateway->mutex);
	return RESULT_OK;
}

enum result gateway_read_vehicle(struct gateway_mosquitto *gateway, const struct push *push, struct buf *ret_frame,
				 struct note *note)
{
	ARENA_CLEANUP struct arena arena = {0};
	struct registry *registry = gateway->config.registry;
	struct vehicle vehicle;
	TRY(registry->ops->get_vehicle(registry, &push->tenant, &push->reference_id, &arena, &vehicle, note));
	enum control_kind kind = vehicle.state == VEHICLE_SUSPENDED ? CONTROL_REFUSE : CONTROL_ADMIT;
	return control_put_vehicle(ret_frame, kind, &push->reference_id);
}

enum result gateway_read_certificate(struct gateway_mosquitto *gateway, const struct push *push, struct buf *ret_frame,
				     struct note *note)
{
	struct registry *registry = gateway->config.registry;
	struct certificate_record record;
	TRY(registry->ops->find_certificate(registry, &push->serial, &record, note));
	return record.is_revoked ? RESULT_ABSENT : control_put_activate(ret_frame, &push->serial);
}
