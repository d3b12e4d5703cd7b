#include "adapters/telemetry/control.h"

#include "base/text.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DAYS_MAX	 UINT32_MAX
#define NUMBER_TEXT_SIZE 24

struct spool_control {
	struct telemetry_control base;
	pthread_mutex_t mutex; /* a spool has one appending thread at a time */
	struct spool_writer *writer;
	struct clock *clock;
};

/* ---- telling ------------------------------------------------------------------------------------------------ */

/* A body is its parts with a NUL between them. */
static enum result append_locked(struct spool_control *control, enum telemetry_order_kind kind,
				 const struct uuid *reference_id, const struct span *parts, size_t count)
{
	static const struct uuid nobody;
	size_t size = count > 0 ? count - 1 : 0;
	uint8_t *body = NULL;

	for (size_t i = 0; i < count; i++)
		size += parts[i].size;
	TRY(spool_reserve(control->writer, size, &body));
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			*body++ = 0;
		if (parts[i].size > 0)
			memcpy(body, parts[i].data, parts[i].size);
		body += parts[i].size;
	}
	spool_publish(control->writer, (uint16_t)kind, clock_now_ms(control->clock),
		      reference_id != NULL ? reference_id : &nobody);
	return RESULT_OK;
}

static enum result append(struct telemetry_control *base, enum telemetry_order_kind kind,
			  const struct uuid *reference_id, const struct span *parts, size_t count, struct note *note)
{
	struct spool_control *control = (struct spool_control *)base;

	pthread_mutex_lock(&control->mutex);
	enum result result = append_locked(control, kind, reference_id, parts, count);
	pthread_mutex_unlock(&control->mutex);
	if (result == RESULT_EXHAUSTED || result == RESULT_UNAVAILABLE) {
		note_set(note, "the control spool takes nothing: is vinveil-ingest away, or the disk full?");
		return RESULT_UNAVAILABLE;
	}
	return result;
}

static enum result assign_vehicle(struct telemetry_control *control, const struct uuid *reference_id,
				  const struct tenant_id *tenant, struct note *note)
{
	const struct span id = span_of_text(tenant->text);

	return append(control, ORDER_ASSIGN, reference_id, &id, 1, note);
}

static enum result set_retention(struct telemetry_control *control, const struct tenant_id *tenant, uint32_t days,
				 struct note *note)
{
	char text[NUMBER_TEXT_SIZE];

	snprintf(text, sizeof(text), "%" PRIu32, days);
	const struct span parts[] = {span_of_text(tenant->text), span_of_text(text)};
	return append(control, ORDER_RETENTION, NULL, parts, 2, note);
}

static enum result put_decoder(struct telemetry_control *control, const struct tenant_id *tenant, const char *sync_id,
			       struct span document, struct note *note)
{
	const struct span parts[] = {span_of_text(tenant->text), span_of_text(sync_id), document};

	if (parts[1].size == 0 || parts[1].size > SYNC_ID_LENGTH_MAX)
		return RESULT_INVALID;
	return append(control, ORDER_DECODER, NULL, parts, 3, note);
}

static enum result forget_vehicle(struct telemetry_control *control, const struct uuid *reference_id, struct note *note)
{
	return append(control, ORDER_FORGET, reference_id, NULL, 0, note);
}

static const struct telemetry_control_ops ops = {
	.assign_vehicle = assign_vehicle,
	.set_retention = set_retention,
	.put_decoder = put_decoder,
	.forget_vehicle = forget_vehicle,
};

enum result telemetry_control_open(const struct spool_config *config, struct telemetry_control **ret_control,
				   struct note *note)
{
	struct spool_control *control = calloc(1, sizeof(*control));

	if (control == NULL)
		return RESULT_MEMORY;
	enum result result = spool_writer_open(config, &control->writer, note);
	if (result != RESULT_OK) {
		free(control);
		return result;
	}
	control->base.ops = &ops;
	control->clock = config->clock != NULL ? config->clock : clock_system();
	pthread_mutex_init(&control->mutex, NULL);
	*ret_control = &control->base;
	return RESULT_OK;
}

void telemetry_control_close(struct telemetry_control *base)
{
	struct spool_control *control = (struct spool_control *)base;

	if (control == NULL)
		return;
	spool_writer_close(control->writer);
	pthread_mutex_destroy(&control->mutex);
	free(control);
}

/* ---- being told --------------------------------------------------------------------------------------------- */

/* Up to the next NUL, or all that is left. */
static struct span take_part(struct span *body)
{
	const uint8_t *end = body->size == 0 ? NULL : memchr(body->data, 0, body->size);
	struct span part = end == NULL ? *body : span_of(body->data, (size_t)(end - body->data));

	*body = end == NULL ? (struct span){0} : span_of(end + 1, body->size - part.size - 1);
	return part;
}

static enum result read_retention(struct span body, struct control_order *order)
{
	uint64_t days = 0;

	TRY(tenant_id_parse(take_part(&body), &order->tenant));
	TRY(text_parse_u64(body, DAYS_MAX, &days));
	order->days = (uint32_t)days;
	return RESULT_OK;
}

static enum result read_decoder(struct span body, struct control_order *order)
{
	TRY(tenant_id_parse(take_part(&body), &order->tenant));
	struct span sync_id = take_part(&body);
	if (sync_id.size == 0 || sync_id.size > SYNC_ID_LENGTH_MAX || body.size == 0)
		return RESULT_INVALID;
	memcpy(order->sync_id, sync_id.data, sync_id.size);
	order->document = body;
	return RESULT_OK;
}

enum result control_order_read(const struct spool_record *record, struct control_order *ret_order)
{
	struct control_order order = {.kind = (enum telemetry_order_kind)record->kind, .reference_id = record->subject};
	enum result result = RESULT_INVALID;

	if (record->kind == ORDER_ASSIGN)
		result = tenant_id_parse(record->body, &order.tenant);
	else if (record->kind == ORDER_RETENTION)
		result = read_retention(record->body, &order);
	else if (record->kind == ORDER_DECODER)
		result = read_decoder(record->body, &order);
	else if (record->kind == ORDER_FORGET)
		result = record->body.size == 0 ? RESULT_OK : RESULT_INVALID;
	if (result == RESULT_OK)
		*ret_order = order;
	return result;
}
